//! What the loader does when the kernel misbehaves: a script answers in its place, so these run
//! everywhere.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

mod common;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bpfweld_insn::{CALL, Insn, pseudo};
use bpfweld_kernel::facts::{map_type, prog_type};
use bpfweld_kernel::sys::{Command, MapInfo, Reply, Scripted, Uname, fake_fd};
use bpfweld_kernel::{Capability, Feature, Features, LoadError, LoadOptions, load_all};
use bpfweld_link::{ImageSet, MapSpec};
use bpfweld_object::{DataKind, ProgramType};
use common::*;

fn errno(code: i32) -> Option<io::Result<Reply>> {
    Some(Err(io::Error::from_raw_os_error(code)))
}

fn fd() -> Option<io::Result<Reply>> {
    Some(fake_fd().map(Reply::Fd))
}

/// A kernel that takes everything.
fn willing(command: &mut Command<'_>) -> Option<io::Result<Reply>> {
    match command {
        Command::MapCreate(_) | Command::ProgLoad { .. } | Command::BtfLoad { .. } => fd(),
        Command::MapUpdate { .. } | Command::MapFreeze { .. } => Some(Ok(Reply::Done)),
        Command::MapInfo { .. } => {
            let info = MapInfo { map_type: map_type::ARRAY, value_size: 4, ..Default::default() };
            Some(Ok(Reply::Map(info)))
        }
        Command::PageSize => Some(Ok(Reply::Number(4096))),
        _ => None,
    }
}

/// `script` first, then a kernel that takes everything and has every feature.
fn kernel(
    script: impl Fn(&mut Command<'_>) -> Option<io::Result<Reply>> + Send + Sync + 'static,
) -> (Arc<Features>, Arc<Scripted>) {
    let sys = Scripted::new(move |command| script(command).or_else(|| willing(command)))
        .with_file("/proc/self/status", "CapEff:\t0000000000000000\n")
        .with_file("/sys/devices/system/cpu/possible", "0-7\n");
    let sys = Arc::new(sys);
    let features = Features::new(sys.clone());
    Feature::ALL.iter().for_each(|&f| features.force(f, true));
    (Arc::new(features), sys)
}

fn set() -> ImageSet {
    let mut set = SetBuilder::new();
    let rodata = set.data(".rodata", DataKind::Rodata, &[2]);
    return_variable(&mut set, rodata);
    set.finish()
}

#[test]
fn the_order_of_calls() {
    let (features, sys) = kernel(|_| None);
    load(&set(), &features).unwrap();
    assert_eq!(
        sys.calls(),
        ["BtfLoad", "MapCreate", "MapUpdate", "MapFreeze", "MapInfo", "ProgLoad"]
    );
}

#[test]
fn versions_reach_the_kernel() {
    let release = Uname { release: "5.10.205-test".into(), ..Uname::default() };
    // (program type, of the section `version`, of the program as loaded)
    let cases = [
        (prog_type::XDP, None, 0),
        (prog_type::XDP, Some(0x04_03_02), 0x04_03_02),
        // Kernels before 5.0 want their own, whatever the object says.
        (prog_type::KPROBE, Some(0x04_03_02), 0x05_0a_cd),
        (prog_type::KPROBE, None, 0x05_0a_cd),
    ];
    for (kind, section, expected) in cases {
        let release = release.clone();
        let (features, sys) = kernel(move |command| match command {
            Command::ProgLoad { program, .. } => {
                assert_eq!(program.kern_version, expected, "{kind} {section:?}");
                None
            }
            Command::Uname => Some(Ok(Reply::Uname(release.clone()))),
            _ => None,
        });
        let mut set = pass_set().finish();
        set.images[0].program.prog_type = ProgramType(kind);
        set.images[0].kernel_version = section;
        load(&set, &features).unwrap();
        assert_eq!(sys.count("ProgLoad"), 1);
    }
}

#[test]
fn a_load_that_was_broken_off_is_tried_again() {
    for (failures, succeeds) in [(1, true), (4, true), (1000, false)] {
        let left = AtomicUsize::new(failures);
        let (features, sys) = kernel(move |command| match command {
            Command::ProgLoad { .. } => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .ok()
                .and_then(|_| errno(libc::EAGAIN)),
            _ => None,
        });
        let result = load(&set(), &features);
        assert_eq!(result.is_ok(), succeeds, "{failures}: {result:?}");
        // Five times without a log, five with one.
        let tries = if succeeds { failures + 1 } else { 10 };
        assert_eq!(sys.count("ProgLoad"), tries);
        if let Err(error) = result {
            let LoadError::Program { source, .. } = error else { panic!("{error}") };
            assert_eq!(source.raw_os_error(), Some(libc::EAGAIN));
        }
    }
}

#[test]
fn a_program_that_is_too_long_for_this_process_is_told() {
    let (features, sys) = kernel(|command| match command {
        Command::ProgLoad { .. } => errno(libc::E2BIG),
        _ => None,
    });
    for (count, told) in [(4096, false), (4097, true)] {
        let mut set = SetBuilder::new();
        let mut insns = vec![mov(0, 2); count - 1];
        insns.push(exit());
        set.image("long", insns, &[]);
        let error = load(&set.finish(), &features).unwrap_err();
        match &error {
            LoadError::TooLong { count: 4097, limit: 4096, .. } if told => {}
            LoadError::Program { .. } if !told => {}
            _ => panic!("{count}: {error}"),
        }
    }
    // Without a log and with one: the verifier says no word either time.
    assert_eq!(sys.count("ProgLoad"), 4);
}

#[test]
fn a_denied_program_names_the_capabilities() {
    let (features, _) = kernel(|command| match command {
        Command::ProgLoad { .. } => errno(libc::EPERM),
        _ => None,
    });
    let error = load(&set(), &features).unwrap_err();
    let LoadError::Privilege(privilege) = &error else { panic!("{error}") };
    assert_eq!(privilege.missing, [Capability::Bpf, Capability::NetAdmin]);
    let text = error.to_string();
    assert!(text.contains("load program `return_variable`"), "{text}");
    assert!(text.contains("CAP_BPF and CAP_NET_ADMIN"), "{text}");
    assert!(text.contains("bpfweld inspect"), "{text}");
}

#[test]
fn eperm_with_a_log_is_the_verifiers() {
    let (features, _) = kernel(|command| match command {
        Command::ProgLoad { log, .. } => {
            if let Some(log) = log {
                log.buf[..9].copy_from_slice(b"R1 leaks\0");
            }
            errno(libc::EPERM)
        }
        _ => None,
    });
    let error = load(&set(), &features).unwrap_err();
    assert_eq!(error.log().unwrap().text(), "R1 leaks");
    assert!(error.to_string().contains("R1 leaks"), "{error}");
}

#[test]
fn a_denied_map_names_the_capability() {
    let (features, sys) = kernel(|command| match command {
        Command::MapCreate(_) => errno(libc::EPERM),
        _ => None,
    });
    let text = load(&set(), &features).unwrap_err().to_string();
    assert!(text.contains("make map `.rodata`") && text.contains("CAP_BPF missing"), "{text}");
    assert_eq!(sys.count("MapCreate"), 1, "not tried again without types");
    assert_eq!(sys.count("ProgLoad"), 0);
}

#[test]
fn without_bpf_nothing_is_tried() {
    let sys = Scripted::new(|_| errno(libc::EPERM))
        .with_file("/proc/self/status", "CapEff:\t0000000000000000\n");
    let features = Arc::new(Features::new(Arc::new(sys)));
    let text = load(&set(), &features).unwrap_err().to_string();
    assert!(text.contains("use bpf(2)") && text.contains("CAP_BPF missing"), "{text}");
    let features = Arc::new(Features::new(Arc::new(Scripted::new(|_| errno(libc::ENOSYS)))));
    assert!(matches!(
        load(&set(), &features),
        Err(LoadError::Unsupported { feature: Feature::Bpf, .. })
    ));
}

#[test]
fn refused_btf_is_a_warning() {
    let (features, _) = kernel(|command| match command {
        Command::BtfLoad { log, .. } => {
            if let Some(log) = log {
                log.buf[..16].copy_from_slice(b"[3] FUNC oh dear");
            }
            errno(libc::EINVAL)
        }
        Command::MapCreate(map) => {
            assert!(map.btf.is_none());
            None
        }
        Command::ProgLoad { program, .. } => {
            assert!(program.btf.is_none() && program.func_info.is_empty());
            assert!(program.line_info.is_empty());
            None
        }
        _ => None,
    });
    let loaded = load(&set(), &features).unwrap();
    let [warning] = loaded.warnings() else { panic!("{:?}", loaded.warnings()) };
    assert!(warning.contains("oh dear"), "{warning}");
}

#[test]
fn a_map_whose_types_are_refused_is_made_without() {
    let (features, sys) = kernel(|command| match command {
        Command::MapCreate(map) if map.btf.is_some() => errno(libc::EINVAL),
        _ => None,
    });
    let loaded = load(&set(), &features).unwrap();
    assert_eq!(sys.count("MapCreate"), 2);
    assert!(loaded.warnings()[0].contains("without type information"));
}

#[test]
fn map_errors_say_what_may_be_wrong() {
    for (code, hint) in [(libc::EINVAL, "one of these is not possible"), (libc::E2BIG, "too large")]
    {
        let (features, _) = kernel(move |command| match command {
            Command::MapCreate(_) => errno(code),
            _ => None,
        });
        let mut set = SetBuilder::new();
        set.defined("huge", MapSpec { max_entries: 77, ..array(1) });
        let text = load(&set.finish(), &features).unwrap_err().to_string();
        assert!(text.contains(hint) && text.contains("77 entries"), "{text}");
    }
}

/// The sizes of the log buffers that the kernel was given, and what became of the load.
fn log_sizes(
    options: &LoadOptions,
    answer: impl Fn(&mut [u8]) -> i32 + Send + Sync + 'static,
) -> (Vec<usize>, LoadError) {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let (features, _) = kernel(move |command| match command {
        Command::ProgLoad { log: None, .. } => errno(libc::EACCES),
        Command::ProgLoad { log: Some(log), .. } => {
            seen.lock().unwrap().push(log.buf.len());
            errno(answer(log.buf))
        }
        _ => None,
    });
    let error = load_all(&set(), &features, options).unwrap_err();
    (sizes.lock().unwrap().clone(), error)
}

fn full(buf: &mut [u8]) {
    let last = buf.len() - 1;
    buf[..last].fill(b'x');
}

#[test]
fn the_log_buffer_grows_until_the_log_fits() {
    let (sizes, error) = log_sizes(&LoadOptions::default(), |buf| {
        full(buf);
        if buf.len() < 32 << 20 { libc::ENOSPC } else { libc::EACCES }
    });
    let second = ((16 << 20) - 1) * 4;
    assert_eq!(sizes, [(16 << 20) - 1, second]);
    let LoadError::Rejected(rejected) = error else { panic!() };
    assert!(!rejected.log.truncated());
    assert_eq!(rejected.log.text().len(), second - 1);
    assert_eq!(rejected.errno.raw_os_error(), Some(libc::EACCES));
}

#[test]
fn the_log_buffer_stops_growing_at_the_limit() {
    let options = LoadOptions { log_limit: 20 << 20, ..Default::default() };
    let (sizes, error) = log_sizes(&options, |buf| {
        // The last one is for the end alone.
        if buf.len() < 1 << 20 {
            let end = b"R0 !read_ok\nprocessed 1 insns (limit 1000000)\n";
            buf[..end.len()].copy_from_slice(end);
            return libc::EACCES;
        }
        full(buf);
        libc::ENOSPC
    });
    assert_eq!(sizes, [(16 << 20) - 1, 20 << 20, 16 << 10]);
    let log = error.log().unwrap();
    assert!(log.truncated() && log.text().len() == 20 << 20);
    assert_eq!(log.reason(), Some("R0 !read_ok"));
    assert!(error.to_string().len() < 400);
}

#[test]
fn old_kernels_take_no_large_buffer() {
    // Before 5.2: below 16 MiB, or EINVAL without a word.
    let (sizes, error) = log_sizes(&LoadOptions::default(), |buf| {
        if buf.len() > u32::MAX as usize >> 8 {
            return libc::EINVAL;
        }
        full(buf);
        libc::ENOSPC
    });
    assert_eq!(sizes, [(16 << 20) - 1, ((16 << 20) - 1) * 4]);
    let log = error.log().unwrap();
    assert!(log.truncated());
    assert_eq!(log.text().len(), (16 << 20) - 2);
}

#[test]
fn what_the_machine_decides_comes_from_its_files() {
    let (features, _) = kernel(|command| match command {
        Command::MapCreate(map) => {
            let expected = if map.map_type == map_type::RINGBUF { 4096 } else { 8 };
            assert_eq!(map.max_entries, expected);
            None
        }
        _ => None,
    });
    let mut set = SetBuilder::new();
    let ring = MapSpec { map_type: map_type::RINGBUF, key_size: 0, value_size: 0, ..array(0) };
    set.defined("ring", ring);
    set.defined("events", MapSpec { map_type: map_type::PERF_EVENT_ARRAY, ..array(0) });
    load(&set.finish(), &features).unwrap();
}

#[test]
fn names_reach_the_kernel_in_its_alphabet() {
    let (features, _) = kernel(|command| {
        let name = match command {
            Command::MapCreate(map) => map.name,
            Command::ProgLoad { program, .. } => program.name,
            _ => return None,
        };
        assert!(name.len() <= 15 && !name.is_empty());
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.'), "{name}");
        None
    });
    let mut set = SetBuilder::new();
    set.defined("naïve map-name that is long", array(1));
    set.image("naïve::program<T> that is long", vec![mov(0, 2), exit()], &[]);
    load(&set.finish(), &features).unwrap();
}

/// BTF of a module: `int mod_func(int)`, `void mod_func2(void)`, on top of `base`, whose only type is
/// `int`.
fn module_btf(base: &bpfweld_btf::Btf) -> Vec<u8> {
    let name = base.string_len();
    let (func, proto) = (12 << 24, 13 << 24);
    let (first, second) = (2, 4); // ids of the prototypes
    let words =
        [0, proto | 1, 1, 0, 1, name + 1, func, first, 0, proto, 0, name + 10, func, second];
    let strings = b"\0mod_func\0mod_func2\0";
    let types = words.len() as u32 * 4;
    let mut blob = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, types, types, strings.len() as u32].into_iter().chain(words) {
        blob.extend(word.to_le_bytes());
    }
    blob.extend(strings);
    blob
}

#[test]
fn functions_of_modules() {
    use bpfweld_btf::{BtfBuilder, IntEncoding};
    use bpfweld_kernel::sys::{BtfInfo, ObjectKind};
    use bpfweld_link::{ImageTarget, KernelRef};

    let mut b = BtfBuilder::new();
    b.add_int("int", 4, IntEncoding { signed: true, bits: 32, ..IntEncoding::default() });
    let base = b.finish().unwrap();
    let asked = Arc::new(Mutex::new(0u32));
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let (last, note) = (asked.clone(), seen.clone());
    let sys = Scripted::new(move |command| match command {
        // 1 is the kernel's own, 2 a program's, 3 the module's.
        Command::NextId { kind: ObjectKind::Btf, after } => Some(match *after {
            3.. => Err(io::Error::from_raw_os_error(libc::ENOENT)),
            after => Ok(Reply::Number(u64::from(after) + 1)),
        }),
        Command::FdById { kind: ObjectKind::Btf, id } => {
            *last.lock().unwrap() = *id;
            fd()
        }
        Command::BtfInfo { .. } => {
            let id = *last.lock().unwrap();
            let name = ["vmlinux", "", "mod"][id as usize - 1].to_owned();
            Some(Ok(Reply::Btf(BtfInfo { id, name, kernel: id != 2 })))
        }
        Command::ProgLoad { program, .. } => {
            *note.lock().unwrap() = (program.insns.to_vec(), program.fd_array.to_vec());
            fd()
        }
        command => willing(command),
    });
    let sys = sys
        .with_file("/sys/kernel/btf/vmlinux", base.to_bytes())
        .with_file("/sys/kernel/btf/mod", module_btf(&base));
    let features = Features::new(Arc::new(sys));
    Feature::ALL.iter().for_each(|&f| features.force(f, true));
    let features = Arc::new(features);
    let run = |name: &str, weak: bool| {
        let mut set = SetBuilder::new();
        let int = set.int;
        let proto = set.btf.add_func_proto(int, &[("x", int)]);
        let wanted = ImageTarget::KernelFunction(Box::new(KernelRef {
            name: name.into(),
            weak,
            instance: LABEL.into(),
            type_id: Some(proto),
            addend: 0,
        }));
        set.image("calls", vec![call_kernel(), exit()], &[(0, wanted)]);
        load(&set.finish(), &features).map(|_| seen.lock().unwrap().clone())
    };
    // The second BTF object of the array, FUNC 3.
    let (insns, fds) = run("mod_func___flavour", false).unwrap();
    assert_eq!(insns[0], Insn::new(CALL, 0, pseudo::KFUNC_CALL, 1, 3));
    assert!(fds.len() == 2 && fds[1] > 0, "{fds:?}");
    // Another type: not that version of it.
    let error = run("mod_func2", false).unwrap_err().to_string();
    assert!(error.contains("int mod_func2(int x)") && error.contains("void mod_func2("), "{error}");
    let (insns, fds) = run("mod_func2", true).unwrap();
    assert_eq!((insns[0].code, insns[0].src()), (CALL, 0));
    assert!(fds.is_empty());
    assert!(run("mod_func3", false).is_err());
}
