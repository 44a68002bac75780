//! Loading into the running kernel. Needs root (or CAP_BPF and CAP_NET_ADMIN); what cannot run here
//! says `SKIPPED`.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

mod common;

use std::os::fd::AsFd as _;

use bpfweld_kernel::facts::{map_type, prog_type};
use bpfweld_kernel::{
    Feature, LoadError, LoadOptions, MapKind, MapProblem, Prepared, RunOptions, SymbolProblem,
    load_all,
};
use bpfweld_link::{
    ImageTarget, KconfigVar, KernelRef, MapContent, MapSpec, SlotRef, kconfig::Config,
};
use bpfweld_object::{AttachType, Bytes, DataKind, ExternId, KconfigType, ProgramType};
use common::*;

#[test]
fn contents_of_a_section_decide_the_verdict() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let data = set.data(".data", DataKind::Data, &[1, 77]);
    return_variable(&mut set, data);
    let loaded = load(&set.finish(), &features).unwrap();
    assert_eq!(loaded.warnings(), &[] as &[String]);
    let program = &loaded.programs()[0];
    assert_eq!(program.info().unwrap().name, "return_variable");
    let outcome_name = |code: u32| {
        let mut runner = program.runner();
        let outcome = runner.run(&PACKET, &RunOptions::default()).unwrap();
        assert_eq!(outcome.packet, PACKET);
        assert_eq!(outcome.verdict.code, code);
        outcome.verdict.to_string()
    };
    assert_eq!(outcome_name(1), "XDP_DROP");
    let map = &loaded.maps()[0];
    assert_eq!(map.kind(), MapKind::Data(DataKind::Data));
    assert_eq!(map.info().name, "unit_bpf.data");
    assert_ne!(map.info().btf_value_type_id, 0, "made with types");
    map.write_data(0, &2u32.to_ne_bytes()).unwrap();
    assert_eq!(outcome_name(2), "XDP_PASS");
    assert_eq!(map.data().unwrap()[4..], 77u32.to_ne_bytes());
    assert!(map.write_data(5, &[0; 4]).is_err());
    // Short of a key or a value, nothing reaches the kernel.
    assert!(map.lookup(&[0; 3]).is_err());
    assert!(map.update(&[0; 4], &[0; 7]).is_err());
}

#[test]
fn read_only_data_is_frozen() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let rodata = set.data(".rodata", DataKind::Rodata, &[2]);
    return_variable(&mut set, rodata);
    let loaded = load(&set.finish(), &features).unwrap();
    assert_eq!(verdict(&loaded.programs()[0]), 2);
    let refused = loaded.maps()[0].update(&[0; 4], &[0; 4]).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    // The program cannot write to it either.
    let mut set = SetBuilder::new();
    let map = set.data(".rodata", DataKind::Rodata, &[2]);
    let [a, b] = imm64(1);
    let insns = vec![mov(0, 0), a, b, store_u32(1, 0, 0), exit()];
    set.image("writer", insns, &[(1, ImageTarget::MapValue { map, offset: 0 })]);
    let error = load(&set.finish(), &features).unwrap_err();
    assert!(error.log().unwrap().text().contains("write into map forbidden"), "{error}");
}

#[test]
fn zeroed_data_keeps_its_state_from_packet_to_packet() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let map = set.data(".bss", DataKind::Bss, &[0, 0]);
    let [a, b] = imm64(1);
    let insns = vec![a, b, load_u32(0, 1, 0), add(0, 1), store_u32(1, 0, 0), exit()];
    set.image("count", insns, &[(0, ImageTarget::MapValue { map, offset: 4 })]);
    let loaded = load(&set.finish(), &features).unwrap();
    let program = &loaded.programs()[0];
    let mut runner = program.runner();
    for n in 1..=3 {
        let outcome = runner.run(&PACKET, &RunOptions::default()).unwrap();
        assert_eq!(outcome.verdict.code, n);
    }
    let repeated = RunOptions { repeat: 10, ..Default::default() };
    assert_eq!(runner.run(&PACKET, &repeated).unwrap().verdict.code, 13);
    assert_eq!(loaded.maps()[0].data().unwrap(), [0, 0, 0, 0, 13, 0, 0, 0]);
}

#[test]
fn programs_see_what_is_written_to_their_data() {
    let Some(features) = real_kernel() else { return };
    for (name, kind) in [(".data", DataKind::Data), (".bss", DataKind::Bss)] {
        let mut set = SetBuilder::new();
        let data = set.data(name, kind, &[0, 0]);
        return_variable(&mut set, data);
        let loaded = load(&set.finish(), &features).unwrap();
        let (program, map) = (&loaded.programs()[0], &loaded.maps()[0]);
        assert_eq!(verdict(program), 0);
        map.write_data(0, &2u32.to_ne_bytes()).unwrap();
        assert_eq!(verdict(program), 2, "{name}");
        if !features.get(Feature::MmapableArray) {
            continue;
        }
        // Through memory of this process, too.
        let sys = features.sys();
        sys.fill_memory(map.fd().as_fd(), 0, 4096, 0, &3u32.to_ne_bytes()).unwrap();
        assert_eq!(verdict(program), 3, "{name}");
        assert_eq!(map.data().unwrap(), [3, 0, 0, 0, 0, 0, 0, 0]);
    }
}

fn kconfig_set(name: &str, weak: bool) -> SetBuilder {
    let mut set = SetBuilder::new();
    let var = KconfigVar {
        id: ExternId(0),
        name: name.into(),
        ty: KconfigType::Int { size: 4, signed: false },
        weak,
        offset: 0,
        size: 4,
    };
    let content = MapContent::Kconfig { size: 4, vars: vec![var], datasec: None };
    let map = set.map(".kconfig", content);
    return_variable(&mut set, map);
    set
}

#[test]
fn kconfig_from_text_and_from_the_kernel() {
    let Some(features) = real_kernel() else { return };
    let options = LoadOptions {
        kconfig: Some(Config::parse("CONFIG_BPFWELD_TEST=4711\n")),
        ..Default::default()
    };
    let set = kconfig_set("CONFIG_BPFWELD_TEST", false).finish();
    let loaded = load_all(&set, &features, &options).unwrap();
    assert_eq!(verdict(&loaded.programs()[0]), 4711);
    let frozen = loaded.maps()[0].update(&[0; 4], &[0; 4]).unwrap_err();
    assert_eq!(frozen.raw_os_error(), Some(libc::EPERM));
    // Without the text the running kernel is asked, which has no such option.
    let error = load(&set, &features).unwrap_err();
    assert!(error.to_string().contains("CONFIG_BPFWELD_TEST"), "{error}");
    let weak = kconfig_set("CONFIG_BPFWELD_TEST", true).finish();
    assert_eq!(verdict(&load(&weak, &features).unwrap().programs()[0]), 0);
    let version = load(&kconfig_set("LINUX_KERNEL_VERSION", false).finish(), &features).unwrap();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let major: u32 = release.split('.').next().unwrap().parse().unwrap();
    assert_eq!(verdict(&version.programs()[0]) >> 16, major);
}

#[test]
fn a_refused_program_brings_the_whole_log() {
    let Some(features) = real_kernel() else { return };
    let mut set = pass_set();
    // r0 is never set; the jump around makes the verifier walk all of it.
    let mut insns = vec![mov(1, 0)];
    insns.extend((0..5000).map(|n| add(1, n)));
    insns.push(exit());
    set.image("no_verdict", insns, &[]);
    let set = set.finish();
    let options = LoadOptions::default();
    let mut prepared = Prepared::new(&set, &features, &options).unwrap();
    prepared.load(0).unwrap();
    let error = prepared.load(1).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`no_verdict`") && text.contains("R0 !read_ok"), "{text}");
    assert!(!text.contains('\n') && text.len() < 400, "{text}");
    let log = error.log().unwrap();
    assert!(log.text().len() > 64 << 10, "{}", log.text().len());
    assert!(!log.truncated());
    assert!(log.text().contains("\n5000: ") && log.text().contains("\n0: "), "{}", log.head(5));
    assert!(log.condensed().lines().count() < 50);
    assert!(matches!(prepared.load(2), Err(LoadError::NoImage { index: 2, count: 2 })));
    // A limit below what there is to say.
    let options = LoadOptions { log_limit: 100_000, ..Default::default() };
    let mut prepared = Prepared::new(&set, &features, &options).unwrap();
    let error = prepared.load(1).unwrap_err();
    let LoadError::Rejected(rejected) = &error else { panic!("{error}") };
    assert_eq!(rejected.errno.raw_os_error(), Some(libc::EACCES), "not ENOSPC");
    assert!(rejected.log.truncated());
    assert!(rejected.log.text().len() <= 100_000);
    // Whether the kernel keeps the log's end or its beginning.
    assert_eq!(rejected.log.reason(), Some("R0 !read_ok"));
}

#[test]
fn a_log_of_success_when_asked_for() {
    let Some(features) = real_kernel() else { return };
    let set = pass_set().finish();
    let options = LoadOptions { log_level: 2, ..Default::default() };
    let loaded = load_all(&set, &features, &options).unwrap();
    assert!(loaded.programs()[0].log().unwrap().text().contains("processed 2 insns"));
    assert_eq!(load(&set, &features).unwrap().programs()[0].log(), None);
}

#[test]
fn functions_and_lines_reach_the_kernel() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let insns = vec![call_function(1), exit(), mov(0, 2), exit()];
    set.functions("main", insns, &[], &[("main", 0, 2), ("sub", 2, 2)]);
    let set = set.finish();
    let info = load(&set, &features).unwrap().programs()[0].info().unwrap();
    assert_eq!((info.func_infos, info.line_infos), (2, 2));
    assert_ne!(info.btf_id, 0);
    // Without, it loads all the same.
    let bare = real_kernel().unwrap();
    bare.force(Feature::FuncInfo, false);
    let loaded = load(&set, &bare).unwrap();
    let info = loaded.programs()[0].info().unwrap();
    assert_eq!((info.func_infos, info.line_infos), (0, 0));
    assert_eq!(verdict(&loaded.programs()[0]), 2);
}

#[test]
fn each_fallback_loads_on_a_kernel_that_would_not_need_it() {
    let Some(_) = real_kernel() else { return };
    let off = [
        Feature::Btf,
        Feature::BtfFunc,
        Feature::BtfDatasec,
        Feature::BtfFuncGlobal,
        Feature::BtfFloat,
        Feature::BtfDeclTag,
        Feature::BtfTypeTag,
        Feature::BtfEnum64,
        Feature::FuncInfo,
        Feature::Names,
        Feature::ExpectedAttachType,
        Feature::MmapableArray,
        Feature::MapFreeze,
        Feature::XdpFrags,
    ];
    let mut set = SetBuilder::new();
    let rodata = set.data(".rodata", DataKind::Rodata, &[1]);
    return_variable(&mut set, rodata);
    set.images[0].program.frags = true;
    let set = set.finish();
    let single = off.iter().map(|&f| vec![f]);
    for forced in single.chain([off.to_vec()]) {
        let features = real_kernel().unwrap();
        forced.iter().for_each(|&f| features.force(f, false));
        let loaded = load(&set, &features).unwrap_or_else(|e| panic!("{forced:?}: {e}"));
        assert_eq!(verdict(&loaded.programs()[0]), 1, "{forced:?}");
        let frags = loaded.warnings().iter().any(|w| w.contains("frags"));
        assert_eq!(frags, !features.get(Feature::XdpFrags), "{forced:?}");
        if forced.contains(&Feature::Names) {
            assert_eq!(loaded.programs()[0].info().unwrap().name, "");
        }
        let flags = loaded.maps()[0].info().map_flags;
        assert_eq!(flags & 1 << 10 == 0, forced.contains(&Feature::MmapableArray));
        assert_eq!(flags & 1 << 7 == 0, forced.contains(&Feature::MapFreeze));
    }
    let features = real_kernel().unwrap();
    features.force(Feature::GlobalData, false);
    let error = load(&set, &features).unwrap_err().to_string();
    assert!(error.contains("global variables") && error.contains(".rodata"), "{error}");
}

#[test]
fn sizes_that_the_machine_decides() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let events = MapSpec { map_type: map_type::PERF_EVENT_ARRAY, max_entries: 0, ..array(0) };
    set.defined("events", events);
    let ring = MapSpec {
        map_type: map_type::RINGBUF,
        key_size: 0,
        value_size: 0,
        max_entries: 5000,
        ..array(0)
    };
    set.defined("ring", ring);
    let per_cpu = MapSpec { map_type: map_type::PERCPU_ARRAY, ..array(2) };
    set.defined("per_cpu", per_cpu);
    let loaded = load(&set.finish(), &features).unwrap();
    let cpus = loaded.maps()[0].info().max_entries;
    assert!(cpus > 0);
    assert_eq!(loaded.maps()[1].info().max_entries, 8192);
    let per_cpu = &loaded.maps()[2];
    assert_eq!(per_cpu.value_len(), 8 * cpus as usize);
    let value = per_cpu.lookup(&1u32.to_ne_bytes()).unwrap().unwrap();
    assert_eq!(value, vec![0; per_cpu.value_len()]);
    assert!(per_cpu.lookup(&9u32.to_ne_bytes()).unwrap().is_none());
    assert_eq!(per_cpu.keys().unwrap().len(), 2);
}

#[test]
fn maps_of_maps_and_of_programs_get_their_slots() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let inner = set.defined("inner", array(1));
    let outer = MapSpec {
        map_type: map_type::ARRAY_OF_MAPS,
        inner: Some(Box::new(array(1))),
        values: vec![(1, SlotRef::Map(inner))],
        ..array(2)
    };
    set.defined("outer", outer);
    let jumps = MapSpec {
        map_type: map_type::PROG_ARRAY,
        values: vec![(3, SlotRef::Image(1))],
        ..array(4)
    };
    let jumps = set.defined("jumps", jumps);
    // bpf_tail_call(ctx, jumps, 3), then fall through.
    let [a, b] = imm64(2);
    let insns = vec![a, b, mov(3, 3), call_helper(12), mov(0, 1), exit()];
    set.image("jumper", insns, &[(0, ImageTarget::Map(jumps))]);
    set.image("target", vec![mov(0, 4), exit()], &[]);
    let mut set = set.finish();
    set.entries = 1;
    let loaded = load(&set, &features).unwrap();
    assert_eq!(loaded.entries().len(), 1);
    assert_eq!(verdict(&loaded.programs()[0]), 4);
    let slot = |n: u32| loaded.maps()[1].lookup(&n.to_ne_bytes()).unwrap();
    assert_eq!(slot(0), None);
    let id = loaded.maps()[0].info().id;
    assert_eq!(slot(1), Some(id.to_ne_bytes().to_vec()));
    // Slots that lead nowhere.
    set.images.truncate(1);
    let error = load(&set, &features).unwrap_err().to_string();
    assert!(error.contains("`jumps`") && error.contains("slot 3"), "{error}");
}

#[test]
fn a_map_that_exists_is_shared() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let data = set.data(".data", DataKind::Data, &[1]);
    return_variable(&mut set, data);
    let mut set = set.finish();
    let first = load(&set, &features).unwrap();
    let instance = set.maps[0].instance;
    set.maps[0].existing = first.map_fd(instance, ".data");
    assert!(set.maps[0].existing.is_some());
    assert!(first.map_fd(instance, ".bss").is_none());
    let second = load(&set, &features).unwrap();
    first.maps()[0].write_data(0, &3u32.to_ne_bytes()).unwrap();
    assert_eq!(verdict(&second.programs()[0]), 3);
    assert_eq!(first.maps()[0].info().id, second.maps()[0].info().id);
}

#[test]
fn bad_maps_are_named() {
    let Some(features) = real_kernel() else { return };
    let failure = |spec: MapSpec| {
        let mut set = SetBuilder::new();
        set.defined("bad_map", spec);
        load(&set.finish(), &features).unwrap_err()
    };
    let error = failure(MapSpec { key_size: 3, ..array(1) });
    assert!(matches!(error, LoadError::Map { problem: MapProblem::Call { .. }, .. }));
    let text = error.to_string();
    assert!(text.contains("`bad_map`") && text.contains("ARRAY, key 3 bytes"), "{text}");
    let text = failure(MapSpec { map_type: map_type::STRUCT_OPS, ..array(1) }).to_string();
    assert!(text.contains("struct_ops"), "{text}");
    let mut set = SetBuilder::new();
    set.map(
        ".bss",
        MapContent::Data { kind: DataKind::Bss, size: 0, bytes: Bytes::new(), datasec: None },
    );
    assert!(load(&set.finish(), &features).unwrap_err().to_string().contains("empty"));
    let content =
        MapContent::Data { kind: DataKind::Data, size: 4, bytes: vec![0; 5].into(), datasec: None };
    let mut set = SetBuilder::new();
    set.map(".data", content);
    assert!(load(&set.finish(), &features).unwrap_err().to_string().contains("5 bytes"));
}

#[test]
fn broken_images_are_errors() {
    let Some(features) = real_kernel() else { return };
    let failure = |insn: u32, target: ImageTarget| {
        let mut set = SetBuilder::new();
        set.image("broken", vec![mov(0, 2), exit()], &[(insn, target)]);
        load(&set.finish(), &features).unwrap_err().to_string()
    };
    let map = bpfweld_link::MapIndex(5);
    assert!(failure(0, ImageTarget::Map(map)).contains("map 5 of 0"));
    let symbol = symbol("_text", true);
    for at in [0, 1, 2, u32::MAX] {
        let text = failure(at, ImageTarget::TypelessKsym(symbol.clone()));
        assert!(text.contains("is no 64-bit immediate load"), "{text}");
        let text = failure(at, ImageTarget::KernelFunction(symbol.clone()));
        assert!(text.contains("is no call"), "{text}");
    }
}

fn symbol(name: &str, weak: bool) -> Box<KernelRef> {
    let instance = LABEL.into();
    Box::new(KernelRef { name: name.into(), weak, instance, type_id: None, addend: 0 })
}

#[test]
fn kernel_functions() {
    let Some(features) = real_kernel() else { return };
    if !features.get(Feature::Kfuncs) {
        return skip("needs feature:kfuncs");
    }
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    if !symbols.contains(" bpf_rcu_read_lock\n") {
        return skip("needs kernel-symbol:bpf_rcu_read_lock");
    }
    // lock(); unlock(); return 2, the second in a variant's name.
    let mut set = SetBuilder::new();
    let calls = vec![call_kernel(), call_kernel(), mov(0, 2), exit()];
    let lock = ImageTarget::KernelFunction(symbol("bpf_rcu_read_lock", false));
    let unlock = ImageTarget::KernelFunction(symbol("bpf_rcu_read_unlock___old", false));
    set.image("locks", calls, &[(0, lock), (1, unlock)]);
    let loaded = load(&set.finish(), &features).unwrap();
    assert_eq!(verdict(&loaded.programs()[0]), 2);
    // if (missing) missing(); return missing ? 1 : 2;
    let guarded = |name: &str, weak: bool| {
        let mut set = SetBuilder::new();
        let [a, b] = imm64(1);
        // r0 = 2; if r1 == 0 goto exit; call; call; r0 = 1; exit
        let insns = vec![
            a,
            b,
            mov(0, 2),
            ins(0x15, 1, 0, 3, 0),
            call_kernel(),
            call_kernel(),
            mov(0, 1),
            exit(),
        ];
        let address = ImageTarget::KernelFunctionAddr(symbol(name, weak));
        let call = ImageTarget::KernelFunction(symbol(name, weak));
        let second = ImageTarget::KernelFunction(symbol("bpf_rcu_read_unlock", weak));
        set.image("guarded", insns, &[(0, address), (4, call), (5, second)]);
        load(&set.finish(), &features)
    };
    assert_eq!(verdict(&guarded("bpfweld_is_no_kfunc", true).unwrap().programs()[0]), 2);
    assert_eq!(verdict(&guarded("bpf_rcu_read_lock", true).unwrap().programs()[0]), 1);
    let error = guarded("bpfweld_is_no_kfunc", false).unwrap_err();
    assert!(matches!(error, LoadError::Symbol { problem: SymbolProblem::NotInBtf { .. }, .. }));
    // A call that is not guarded is the verifier's to refuse, and the loader's to explain.
    let mut set = SetBuilder::new();
    let missing = ImageTarget::KernelFunction(symbol("bpfweld_is_no_kfunc", true));
    set.image("unguarded", vec![call_kernel(), mov(0, 2), exit()], &[(0, missing)]);
    let error = load(&set.finish(), &features).unwrap_err();
    assert!(error.to_string().contains("weak kernel function `bpfweld_is_no_kfunc`"), "{error}");
}

#[test]
fn kernel_symbols() {
    let Some(features) = real_kernel() else { return };
    let upper_half = |name: &str, weak: bool| {
        let mut set = SetBuilder::new();
        let [a, b] = imm64(0);
        let shift = ins(0x77, 0, 0, 0, 32);
        let insns = vec![a, b, shift, exit()];
        set.image("address", insns, &[(0, ImageTarget::TypelessKsym(symbol(name, weak)))]);
        load(&set.finish(), &features)
    };
    let address = verdict(&upper_half("_stext", false).unwrap().programs()[0]);
    assert!(address >= 0xffff_0000, "{address:#x}");
    assert_eq!(verdict(&upper_half("bpfweld_nowhere", true).unwrap().programs()[0]), 0);
    let error = upper_half("bpfweld_nowhere", false).unwrap_err();
    assert!(error.to_string().contains("`bpfweld_nowhere`"), "{error}");
    // A variable of known type: its address is a pointer that the verifier knows.
    let typed = |name: &str, weak: bool| {
        let mut set = SetBuilder::new();
        let [a, b] = imm64(1);
        let insns = vec![a, b, mov(0, 2), ins(0x55, 1, 0, 1, 0), mov(0, 1), exit()];
        set.image("typed", insns, &[(0, ImageTarget::TypedKsym(symbol(name, weak)))]);
        load(&set.finish(), &features)
    };
    assert_eq!(verdict(&typed("bpfweld_nowhere", true).unwrap().programs()[0]), 1);
    assert!(typed("bpfweld_nowhere", false).is_err());
    if features.get(Feature::Kfuncs) {
        match typed("bpf_prog_active", false) {
            Ok(loaded) => assert_eq!(verdict(&loaded.programs()[0]), 2),
            // Without CONFIG_KALLSYMS_ALL the kernel has the type and not the address.
            Err(e) if e.to_string().contains("failed to find the address") => {
                skip("the kernel keeps no addresses of variables");
            }
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn tracing_is_loaded_or_explained() {
    let Some(features) = real_kernel() else { return };
    let tracing = |target: Option<&str>| {
        let mut set = SetBuilder::new();
        set.image("trace", vec![mov(0, 0), exit()], &[]);
        let spec = &mut set.images[0].program;
        spec.prog_type = ProgramType(prog_type::TRACING);
        spec.attach_type = Some(AttachType(24));
        spec.attach_to = target.map(Into::into);
        set.images[0].section = "fentry".into();
        load(&set.finish(), &features)
    };
    match tracing(Some("bpf_prog_put")) {
        Ok(loaded) => assert!(loaded.programs()[0].info().unwrap().id > 0),
        Err(LoadError::Privilege(p)) => assert!(p.to_string().contains("`trace`"), "{p}"),
        Err(e) => panic!("{e}"),
    }
    let text = tracing(Some("bpfweld_nowhere")).unwrap_err().to_string();
    assert!(text.contains("`bpfweld_nowhere`"), "{text}");
    let text = tracing(None).unwrap_err().to_string();
    assert!(text.contains("fentry/FUNCTION"), "{text}");
}

#[test]
fn maps_are_made_as_the_user_wants_them() {
    use bpfweld_kernel::{MapChange, MapOption};
    let Some(features) = real_kernel() else { return };
    let set = || {
        let mut set = SetBuilder::new();
        set.defined("table", array(1));
        set.image("pass", vec![mov(0, 2), exit()], &[]);
        set.finish()
    };
    let wish = |map: &str, change| LoadOptions {
        maps: vec![MapOption { instance: None, map: map.into(), change }],
        ..Default::default()
    };
    let set = set();
    let first = load_all(&set, &features, &wish("table", MapChange::Entries(7))).unwrap();
    assert_eq!(first.maps()[0].info().max_entries, 7);
    let wide = load_all(&set, &features, &wish("table", MapChange::ValueSize(24))).unwrap();
    assert_eq!(wide.maps()[0].info().value_size, 24);

    let plain = load(&set, &features).unwrap();
    let reuse = |of: &bpfweld_kernel::Loaded| MapChange::Reuse(of.maps()[0].fd().clone());
    let shared = load_all(&set, &features, &wish("table", reuse(&plain))).unwrap();
    assert_eq!(shared.maps()[0].info().id, plain.maps()[0].info().id);
    // Both definitions are told where they differ, and which maps there are where none is meant.
    let error = load_all(&set, &features, &wish("table", reuse(&first))).unwrap_err().to_string();
    assert!(error.contains("7 entries") && error.contains("1 entries"), "{error}");
    let error = load_all(&set, &features, &wish("tabel", reuse(&plain))).unwrap_err().to_string();
    assert!(
        error.contains("no program refers to such a map") && error.contains(":table"),
        "{error}"
    );
}

#[test]
fn larger_sections_have_types_where_an_array_takes_the_room() {
    use bpfweld_kernel::{MapChange, MapOption};
    let Some(features) = real_kernel() else { return };
    let set = || {
        let mut set = SetBuilder::new();
        set.data_with_array(".data.grows", &[7, 8, 9]);
        set.data(".data.fixed", DataKind::Data, &[1]);
        set.image("pass", vec![mov(0, 2), exit()], &[]);
        set.finish()
    };
    let set = set();
    let can_be_typed = features.get(Feature::BtfDatasec);
    for (map, size, typed) in
        [(".data.grows", 40, true), (".data.grows", 38, false), (".data.fixed", 8, false)]
    {
        let change = MapChange::ValueSize(size);
        let maps = vec![MapOption { instance: None, map: map.into(), change }];
        let options = LoadOptions { maps, ..Default::default() };
        let loaded = load_all(&set, &features, &options).unwrap();
        let at = set.maps.iter().position(|m| m.name == map).unwrap();
        let made = &loaded.maps()[at];
        assert_eq!(made.info().value_size, size);
        let MapContent::Data { bytes, .. } = &set.maps[at].content else { panic!("{map}") };
        assert!(made.data().unwrap().starts_with(bytes), "{map}");
        let without = |w: &&String| w.contains(map) && w.contains("without type information");
        let warned = loaded.warnings().iter().filter(without).count();
        assert_eq!(warned, usize::from(can_be_typed && !typed), "{map}: {:?}", loaded.warnings());
    }
}

#[test]
fn nothing_is_left_behind() {
    use bpfweld_kernel::sys::ObjectKind;
    let Some(features) = real_kernel() else { return };
    let name = "bpfweld_leak_ck";
    let mut set = SetBuilder::new();
    set.defined(name, array(1));
    set.image(name, vec![mov(0, 2), exit()], &[]);
    set.image("refused", vec![exit()], &[]);
    let set = set.finish();
    let sys = &**features.sys();
    let count = |kind| {
        let (mut found, mut id) = (0, 0);
        while let Some(next) = sys.next_id(kind, id).unwrap() {
            id = next;
            // It may be gone meanwhile: other tests run beside this one.
            let Ok(fd) = sys.fd_by_id(kind, id) else { continue };
            let fd = std::os::fd::AsFd::as_fd(&fd);
            let this = match kind {
                ObjectKind::Map => sys.map_info(fd).unwrap().name,
                _ => sys.prog_info(fd).unwrap().name,
            };
            found += usize::from(this == name);
        }
        found
    };
    let options = LoadOptions::default();
    let mut prepared = Prepared::new(&set, &features, &options).unwrap();
    let program = prepared.load(0).unwrap();
    assert_eq!((count(ObjectKind::Map), count(ObjectKind::Prog)), (1, 1));
    prepared.load(1).unwrap_err();
    drop(program);
    drop(prepared);
    load(&set, &features).unwrap_err();
    // The kernel frees a program a moment after its last fd closes.
    for _ in 0..100 {
        if (count(ObjectKind::Map), count(ObjectKind::Prog)) == (0, 0) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} maps, {} programs", count(ObjectKind::Map), count(ObjectKind::Prog));
}

#[test]
fn variables_in_an_arena() {
    let Some(features) = real_kernel() else { return };
    if !features.get(Feature::Arena) {
        return skip("needs feature:arena");
    }
    let arena = |entries, data: &[u8]| MapSpec {
        map_type: map_type::ARENA,
        key_size: 0,
        value_size: 0,
        map_flags: 1 << 10,
        arena_data: data.to_vec(),
        ..array(entries)
    };
    let set = |entries, data: &[u8]| {
        let mut set = SetBuilder::new();
        let map = set.defined("arena", arena(entries, data));
        let [a, b] = imm64(1);
        // From address space 1 to the kernel's.
        let cast = ins(0xbf, 1, 1, 1, 1);
        let insns = vec![a, b, cast, load_u32(0, 1, 0), exit()];
        set.image("arena", insns, &[(0, ImageTarget::MapValue { map, offset: 4 })]);
        set.finish()
    };
    let loaded = load(&set(1, &[9, 0, 0, 0, 5, 0, 0, 0]), &features).unwrap();
    assert_eq!(verdict(&loaded.programs()[0]), 5);
    assert_eq!(loaded.maps()[0].variables_at(), 0);
    let large = load(&set(300_000, &[9, 0, 0, 0, 6, 0, 0, 0]), &features).unwrap();
    assert_eq!(verdict(&large.programs()[0]), 6);
    let end = match features.get(Feature::FarOffsets) {
        true => 299_999 * 4096,
        false => 0,
    };
    assert_eq!(large.maps()[0].variables_at(), end);
    let too_small = load(&set(1, &[0; 70000]), &features).unwrap_err().to_string();
    assert!(too_small.contains("70000"), "{too_small}");
}
