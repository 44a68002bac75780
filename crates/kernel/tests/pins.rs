//! Pinning in a bpf file system of the test's own. Needs root; what cannot run here says `SKIPPED`.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

mod common;

use std::sync::Arc;

use bpfweld_kernel::{LoadOptions, PinError, PinKind, load_all};
use bpfweld_link::MapSpec;
use bpfweld_object::DataKind;
use common::*;

#[test]
fn pins_are_made_at_once_and_rolled_back() {
    let Some(features) = real_kernel() else { return };
    let Some(fs) = BpfFs::mount() else { return };
    let mut set = pass_set();
    set.image("pass", vec![mov(0, 2), exit()], &[]);
    set.image("maps", vec![mov(0, 2), exit()], &[]);
    let data = set.data(".data", DataKind::Data, &[1]);
    return_variable(&mut set, data);
    set.defined("a_map", array(1));
    let loaded = load(&set.finish(), &features).unwrap();
    let dir = fs.path().join("some/where");
    let pins = loaded.pin(&dir).unwrap();
    let instance = "some/where/maps/dir_unit_bpf_o";
    assert_eq!(
        fs.tree(),
        [
            "some".to_owned(),
            "some/where".into(),
            "some/where/maps".into(),
            instance.into(),
            format!("{instance}/_data"),
            format!("{instance}/a_map"),
            "some/where/maps_2".into(),
            "some/where/pass".into(),
            "some/where/pass_2".into(),
            "some/where/return_variable".into(),
        ]
    );
    assert_eq!(pins.len(), 6);
    assert!(pins.iter().all(|p| p.path.exists()), "{pins:?}");
    assert_eq!(pins[5].kind, PinKind::Map);
    let sys: &dyn bpfweld_kernel::Sys = &bpfweld_kernel::RealSys;
    let again = sys.pinned(&pins[5].path).unwrap();
    let info = sys.map_info(std::os::fd::AsFd::as_fd(&again)).unwrap();
    assert_eq!(info.id, loaded.maps()[1].info().id);
    // Once more: the directory is taken.
    let before = fs.tree();
    assert!(matches!(loaded.pin(&dir), Err(PinError::Exists { .. })));
    let pinned = fs.path().join("some/where/pass");
    assert!(matches!(loaded.pin(&pinned), Err(PinError::NoDirectory { .. })));
    assert!(matches!(loaded.pin(&fs.path().join("a.b")), Err(PinError::Name { .. })));
    assert_eq!(fs.tree(), before);
    // An empty directory is as good as none.
    let empty = fs.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    loaded.pin(&empty).unwrap();
    assert!(empty.join("pass_2").exists());
}

#[test]
fn a_pin_that_fails_half_way_leaves_nothing() {
    let Some(_) = real_kernel() else { return };
    let Some(fs) = BpfFs::mount() else { return };
    // The last of three pins fails.
    let pins = std::sync::atomic::AtomicU32::new(0);
    let sys = bpfweld_kernel::sys::Scripted::new(move |command| {
        let bpfweld_kernel::sys::Command::ObjPin { .. } = command else { return None };
        let n = pins.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (n == 2).then(|| Err(std::io::Error::from_raw_os_error(libc::ENOMEM)))
    })
    .before(bpfweld_kernel::RealSys);
    let features = Arc::new(bpfweld_kernel::Features::new(Arc::new(sys)));
    let mut set = pass_set();
    set.defined("first", array(1));
    set.defined("second", array(1));
    let loaded = load(&set.finish(), &features).unwrap();
    let error = loaded.pin(&fs.path().join("deep/down/here")).unwrap_err();
    assert!(error.to_string().contains("/second"), "{error}");
    assert_eq!(fs.tree(), [] as [String; 0]);
    // The script lets the next try through.
    loaded.pin(&fs.path().join("deep/down/here")).unwrap();
}

#[test]
fn pinning_elsewhere_says_how_to_mount() {
    let Some(features) = real_kernel() else { return };
    let dir = TempDir::new();
    let loaded = load(&pass_set().finish(), &features).unwrap();
    let error = loaded.pin(&dir.path().join("x/y")).unwrap_err();
    assert!(matches!(error, PinError::NoBpfFs { .. }));
    assert!(error.to_string().contains("mount -t bpf bpf"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn maps_pinned_by_name_are_shared() {
    let Some(features) = real_kernel() else { return };
    let Some(fs) = BpfFs::mount() else { return };
    let options = LoadOptions { pin_root: Some(fs.path().into()), ..Default::default() };
    let set = |value_size, image_ok: bool| {
        let mut set = SetBuilder::new();
        set.defined("shared", MapSpec { pin_by_name: true, value_size, ..array(1) });
        set.defined("private", array(1));
        let insns = if image_ok { vec![mov(0, 2), exit()] } else { vec![exit()] };
        set.image("pass", insns, &[]);
        set.finish()
    };
    // What fails later leaves no pin.
    load_all(&set(4, false), &features, &options).unwrap_err();
    assert_eq!(fs.tree(), [] as [String; 0]);
    let first = load_all(&set(4, true), &features, &options).unwrap();
    assert_eq!(fs.tree(), ["shared"]);
    let second = load_all(&set(4, true), &features, &options).unwrap();
    assert_eq!(first.maps()[0].info().id, second.maps()[0].info().id);
    assert_ne!(first.maps()[1].info().id, second.maps()[1].info().id);
    let error = load_all(&set(8, true), &features, &options).unwrap_err().to_string();
    assert!(
        error.contains(
            "another value size: there is ARRAY (key 4 bytes, value 4 bytes, 1 entries, flags 0x0), the \
             object defines ARRAY (key 4 bytes, value 8 bytes, 1 entries, flags 0x0)"
        ),
        "{error}"
    );
    // Neither does a failure remove a pin of someone else.
    load_all(&set(4, false), &features, &options).unwrap_err();
    assert_eq!(fs.tree(), ["shared"]);
    load(&set(4, true), &features).unwrap();
}
