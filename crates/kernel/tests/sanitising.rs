//! BTF of every kind, with each feature forced off in turn and all of them at once, loaded into the
//! running kernel together with a program and a map that refer to it. Needs root; what cannot run here
//! says `SKIPPED`.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

mod common;

use std::sync::{Arc, Mutex};

use bpfweld_btf::{Btf, IntEncoding, Kind, Linkage, MemberSpec, SectionVar, TypeId};
use bpfweld_kernel::facts::prog_type;
use bpfweld_kernel::sys::{Command, Scripted};
use bpfweld_kernel::{Feature, Features, LoadError, RealSys, RunOptions};
use bpfweld_link::{ImageSet, ImageTarget, MapContent, MapSpec};
use bpfweld_object::{DataKind, ProgramType};
use common::*;

/// Does a blob have what a kernel without some feature does not know?
type Lingers = fn(&Btf) -> bool;

const STEPS: [(Feature, Lingers); 9] = [
    (Feature::BtfFunc, |btf| has(btf, Kind::Func) || has(btf, Kind::FuncProto)),
    (Feature::BtfDatasec, |btf| has(btf, Kind::Var) || has(btf, Kind::Datasec)),
    (Feature::BtfFuncGlobal, |btf| {
        btf.types().any(|t| t.kind() == Kind::Func && t.linkage() != Linkage::Static)
    }),
    (Feature::BtfFloat, |btf| has(btf, Kind::Float)),
    (Feature::BtfDeclTag, |btf| has(btf, Kind::DeclTag)),
    (Feature::BtfTypeTag, |btf| has(btf, Kind::TypeTag)),
    (Feature::BtfEnum64, |btf| has(btf, Kind::Enum64)),
    (Feature::BtfEnumKflag, |btf| btf.types().any(|t| t.kind() == Kind::Enum && t.kflag())),
    (Feature::BtfTagKflag, |btf| {
        let tags = [Kind::TypeTag, Kind::DeclTag];
        btf.types().any(|t| tags.contains(&t.kind()) && t.kflag())
    }),
];

fn has(btf: &Btf, kind: Kind) -> bool {
    btf.types().any(|t| t.kind() == kind)
}

/// A program with a static and a global function, a section that holds a variable of every kind of
/// type, and a map with a struct as its value.
fn set() -> ImageSet {
    let mut set = SetBuilder::new();
    let int = set.int;
    let b = &mut set.btf;
    let bits =
        |bits| IntEncoding { signed: false, is_char: false, is_bool: false, bit_offset: 0, bits };
    let wide = b.add_int("unsigned long", 8, bits(64));
    let float = b.add_float("double", 8);
    let fwd = b.add_fwd("somewhere", false);
    let fwd_union = b.add_fwd("elsewhere", true);
    let ptr = b.add_ptr(fwd);
    let ptr_union = b.add_ptr(fwd_union);
    let pair = b.add_array(wide, int, 2);
    let signed = b.add_enum("sign", 4, true, &[("MINUS", -1), ("PLUS", 1)]);
    let unsigned = b.add_enum("count", 4, false, &[("ONE", 1)]);
    let enum64 = b.add_enum64("huge", 8, false, &[("HUGE", 1 << 40)]);
    let typedef = b.add_typedef("number", wide);
    let qualified = b.add_volatile(typedef);
    let qualified = b.add_const(qualified);
    let tagged = b.add_type_tag("user", int);
    let tagged = b.add_ptr(tagged);
    let restrict = b.add_restrict(tagged);
    let attributed = b.add_type_attr("address_space(1)", int);
    let attributed = b.add_ptr(attributed);
    let members = [
        ("wide", wide),
        ("real", float),
        ("ptr", ptr),
        ("ptr_union", ptr_union),
        ("array", pair),
        ("enum64", enum64),
        ("qualified", qualified),
        ("restricted", restrict),
        ("attributed", attributed),
        ("signed", signed),
        ("unsigned", unsigned),
    ];
    let mut at = 0;
    let mut specs = Vec::new();
    for (name, type_id) in members {
        specs.push(MemberSpec { name, type_id, bit_offset: at * 8, bitfield_size: 0 });
        at += match type_id {
            t if t == pair => 16,
            t if t == signed || t == unsigned => 4,
            _ => 8,
        };
    }
    let all = b.add_struct("all", at, &specs);
    let bitfields = b.add_struct(
        "bitfields",
        4,
        &[
            MemberSpec { name: "low", type_id: int, bit_offset: 0, bitfield_size: 3 },
            MemberSpec { name: "high", type_id: int, bit_offset: 3, bitfield_size: 29 },
        ],
    );
    let either = [("one", int), ("other", bitfields)].map(|(name, type_id)| MemberSpec {
        name,
        type_id,
        bit_offset: 0,
        bitfield_size: 0,
    });
    let either = b.add_union("either", 4, &either);
    b.add_decl_tag("tag", all, Some(1));
    b.add_decl_tag("tag", all, None);
    b.add_decl_attr("attr", bitfields, None);
    let vars = [("state", all, at), ("flags", bitfields, 4), ("either", either, 4)];
    let mut offset = 0;
    let mut section = Vec::new();
    for (name, ty, size) in vars {
        let linkage = if name == "flags" { Linkage::Static } else { Linkage::Global };
        let type_id = b.add_var(name, ty, linkage);
        b.add_decl_tag("var_tag", type_id, None);
        section.push(SectionVar { type_id, offset, size });
        offset += size;
    }
    let datasec = Some(b.add_datasec(".data", offset, &section));
    let bytes = vec![1; offset as usize];
    let content =
        MapContent::Data { kind: DataKind::Data, size: offset, bytes: bytes.into(), datasec };
    let data = set.map(".data", content);
    set.defined(
        "states",
        MapSpec { value_size: at, key_type: Some(int), value_type: Some(all), ..array(4) },
    );
    let [first, second] = imm64(1);
    let insns = vec![
        call_function(1),
        exit(),
        // The static function returns a byte of the section.
        first,
        second,
        ins(0x71, 0, 1, 4, 0),
        exit(),
    ];
    let target = ImageTarget::MapValue { map: data, offset: 4 };
    set.functions("main", insns, &[(2, target)], &[("main", 0, 2), ("sub", 2, 4)]);
    let proto = set.btf.add_func_proto(int, &[("value", int)]);
    set.images[0].functions[0].type_id = set.btf.add_func("main", proto, Linkage::Global);
    set.finish()
}

type Blobs = Arc<Mutex<Vec<Vec<u8>>>>;

/// The real kernel, keeping the BTF that it is given.
fn watched() -> (Arc<Features>, Blobs) {
    let blobs = Arc::new(Mutex::new(Vec::new()));
    let seen = blobs.clone();
    let sys = Scripted::new(move |command| {
        if let Command::BtfLoad { blob, .. } = command {
            seen.lock().unwrap().push(blob.to_vec());
        }
        None
    })
    .before(RealSys);
    (Arc::new(Features::new(Arc::new(sys))), blobs)
}

#[test]
fn every_step_loads() {
    let Some(real) = real_kernel() else { return };
    let set = set();
    for (feature, lingers) in STEPS {
        assert!(lingers(&set.btf), "{feature} has nothing to do here");
    }
    let single = STEPS.iter().map(|&(f, _)| vec![f]);
    let from_each = (0..STEPS.len()).map(|n| STEPS[n..].iter().map(|&(f, _)| f).collect());
    for off in std::iter::once(Vec::new()).chain(single).chain(from_each) {
        let (features, blobs) = watched();
        for feature in Feature::ALL {
            features.force(*feature, real.get(*feature));
        }
        off.iter().for_each(|&f| features.force(f, false));
        blobs.lock().unwrap().clear();
        let loaded = load(&set, &features).unwrap_or_else(|e| panic!("without {off:?}: {e}"));
        assert_eq!(loaded.warnings(), &[] as &[String], "without {off:?}");
        let blobs = blobs.lock().unwrap();
        let [blob] = blobs.as_slice() else { panic!("{} blobs", blobs.len()) };
        let sent = Btf::parse(blob).unwrap();
        for (feature, lingers) in STEPS {
            assert!(!off.contains(&feature) || !lingers(&sent), "{feature} is still in use");
        }
        let program = &loaded.programs()[0];
        let mut runner = program.runner();
        assert_eq!(runner.run(&[0; 64], &RunOptions::default()).unwrap().verdict.code, 1);
        let info = program.info().unwrap();
        let functions = if off.contains(&Feature::BtfFunc) { 0 } else { 2 };
        assert_eq!(info.func_infos, functions, "without {off:?}");
        // The map of a struct has its type whatever is missing.
        assert_ne!(loaded.maps()[1].info().btf_value_type_id, 0, "without {off:?}");
        let data_typed = loaded.maps()[0].info().btf_value_type_id != 0;
        assert_eq!(data_typed, !off.contains(&Feature::BtfDatasec), "without {off:?}");
    }
}

#[test]
fn no_btf_at_all() {
    let Some(features) = real_kernel() else { return };
    features.force(Feature::Btf, false);
    let loaded = load(&set(), &features).unwrap();
    assert!(loaded.warnings()[0].contains("no BTF"));
    assert_eq!(loaded.programs()[0].info().unwrap().btf_id, 0);
    assert_eq!(loaded.maps()[1].info().btf_id, 0);
}

/// Every kernel follows 32 types into each other and no more, where the outer ones come first.
#[test]
fn types_that_the_kernel_refuses() {
    let Some(features) = real_kernel() else { return };
    let mut set = SetBuilder::new();
    let data = set.data(".data", DataKind::Data, &[7]);
    let first = set.btf.add_struct("level0", 4, &[]).0;
    let depth = 40;
    for level in 1..=depth {
        let inner = if level == depth { set.int } else { TypeId(first + level + 1) };
        let member = MemberSpec { name: "inner", type_id: inner, bit_offset: 0, bitfield_size: 0 };
        set.btf.add_struct(&format!("level{level}"), 4, &[member]);
    }
    let value_type = Some(TypeId(first + 1));
    let spec = MapSpec { value_size: 4, key_type: Some(set.int), value_type, ..array(1) };
    set.defined("deep", spec);
    let [a, b] = imm64(1);
    let insns = vec![call_function(1), exit(), a, b, load_u32(0, 1, 0), exit()];
    let target = ImageTarget::MapValue { map: data, offset: 0 };
    set.functions("main", insns, &[(2, target)], &[("main", 0, 2), ("sub", 2, 4)]);
    let loaded = load(&set.finish(), &features).unwrap();
    let [warning] = loaded.warnings() else { panic!("{:?}", loaded.warnings()) };
    assert!(warning.starts_with("the kernel refused the BTF, programs are loaded without types"));
    let program = &loaded.programs()[0];
    assert_eq!(program.runner().run(&PACKET, &RunOptions::default()).unwrap().verdict.code, 7);
    assert_eq!(program.info().unwrap().btf_id, 0);
    assert_eq!(loaded.maps()[1].info().btf_id, 0);
}

const PACKET: [u8; 64] = [0; 64];

/// Two programs of different types with the same global function, `int reads(void *ctx __arg_ctx)`, which
/// reads a word of the context.
fn context_set() -> ImageSet {
    let mut set = SetBuilder::new();
    let anything = set.btf.add_ptr(TypeId::VOID);
    let proto = set.btf.add_func_proto(set.int, &[("ctx", anything)]);
    let reads = set.btf.add_func("reads", proto, Linkage::Global);
    set.btf.add_decl_tag("arg:ctx", reads, Some(0));
    // The length of a classifier's packet, the interface of an XDP program's.
    for (name, prog, offset) in [("tc", prog_type::SCHED_CLS, 0), ("xdp", prog_type::XDP, 12)] {
        let insns = vec![call_function(1), exit(), load_u32(0, 1, offset), exit()];
        let at = set.functions(name, insns, &[], &[(name, 0, 2), ("reads", 2, 2)]);
        let image = &mut set.images[at as usize];
        image.program.prog_type = ProgramType(prog);
        image.functions[1].type_id = reads;
        image.functions[1].global = true;
    }
    set.finish()
}

#[test]
fn tagged_contexts_on_kernels_that_do_not_know_the_tag() {
    let Some(features) = real_kernel() else { return };
    let knows = features.get(Feature::ArgCtxTag);
    let set = context_set();
    let run = |features| {
        let loaded = load(&set, &features)?;
        let mut runner = loaded.programs()[0].runner();
        Ok::<_, LoadError>(runner.run(&PACKET, &RunOptions::default()).unwrap().verdict.code)
    };
    // As it is; with the prototype made for each type of program; as if the kernel knew.
    assert_eq!(run(features.clone()).unwrap(), PACKET.len() as u32);
    features.force(Feature::ArgCtxTag, false);
    assert_eq!(run(features).unwrap(), PACKET.len() as u32);
    let pretended = real_kernel().unwrap();
    pretended.force(Feature::ArgCtxTag, true);
    assert_eq!(run(pretended).is_ok(), knows, "the probe is wrong, or nothing needs to be done");
}

#[test]
fn a_tag_on_what_is_no_pointer_is_left_to_the_kernel() {
    let features = Features::new(Arc::new(Scripted::new(|_| None)));
    for &feature in Feature::ALL {
        features.force(feature, feature != Feature::ArgCtxTag);
    }
    let mut set = SetBuilder::new();
    let proto = set.btf.add_func_proto(set.int, &[("n", set.int)]);
    let func = set.btf.add_func("odd", proto, Linkage::Global);
    set.btf.add_decl_tag("arg:ctx", func, Some(0));
    // A parameter that is not there.
    set.btf.add_decl_tag("arg:ctx", func, Some(7));
    let insns = vec![call_function(1), exit(), mov(0, 1), exit()];
    let at = set.functions("main", insns, &[], &[("main", 0, 2), ("odd", 2, 2)]);
    set.images[at as usize].functions[1].type_id = func;
    set.images[at as usize].functions[1].global = true;
    // The scripted kernel refuses the program; what matters is that it came to be asked.
    assert!(matches!(load(&set.finish(), &Arc::new(features)), Err(LoadError::Program { .. })));
}
