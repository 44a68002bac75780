//! What the loader does when the kernel misbehaves: a script answers in its place, so these run
//! everywhere.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

mod common;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bpfweld_kernel::facts::map_type;
use bpfweld_kernel::sys::{Command, MapInfo, Reply, Scripted, fake_fd};
use bpfweld_kernel::{Capability, Feature, Features, LoadError, LoadOptions, load_all};
use bpfweld_link::{ImageSet, MapSpec};
use bpfweld_object::DataKind;
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
        if buf.len() < 1 << 20 { libc::ENOSPC } else { libc::EACCES }
    });
    assert_eq!(sizes, [64 << 10, 256 << 10, 1 << 20]);
    let LoadError::Rejected(rejected) = error else { panic!() };
    assert!(!rejected.log.truncated());
    assert_eq!(rejected.log.text().len(), (1 << 20) - 1);
    assert_eq!(rejected.errno.raw_os_error(), Some(libc::EACCES));
}

#[test]
fn the_log_buffer_stops_growing_at_the_limit() {
    let options = LoadOptions { log_limit: 100_000, ..Default::default() };
    let (sizes, error) = log_sizes(&options, |buf| {
        full(buf);
        libc::ENOSPC
    });
    assert_eq!(sizes, [65536, 100_000]);
    assert!(error.log().unwrap().truncated());
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
    assert_eq!(sizes, [64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]);
    let log = error.log().unwrap();
    assert!(log.truncated());
    assert_eq!(log.text().len(), (4 << 20) - 1);
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
