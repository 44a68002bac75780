//! bpfweld's side.

use std::os::fd::AsRawFd as _;
use std::path::Path;

use bpfweld::{InstanceId, Kernel, Link, LinkOptions, LoadOptions, Object};

use crate::record::{Program, Side};
use crate::watch;

/// Links and loads every entry program alone.
pub fn run(path: &Path, pins: &Path) -> Side {
    let object = match Object::open(path) {
        Ok(object) => std::sync::Arc::new(object),
        Err(e) => return Side { open_error: Some(e.to_string()), ..Side::default() },
    };
    let kernel = Kernel::new();
    let options = LoadOptions { pin_root: Some(pins.into()), ..LoadOptions::default() };
    let mut link = Link::new();
    let linked = link.add("object", object.clone()).map_err(|e| e.to_string()).and_then(|_| {
        let core_targets = match link.core_object() {
            Some(_) => Some(kernel.core_targets().map_err(|e| e.to_string())?),
            None => None,
        };
        let options = LinkOptions { core_targets, ..LinkOptions::default() };
        link.link(&options).map_err(|e| e.to_string())
    });
    let linked = match linked {
        Ok(linked) => linked,
        Err(e) => return Side { open_error: Some(e), ..Side::default() },
    };
    let programs = object.functions.iter().filter_map(|function| {
        let spec = function.program.as_ref()?;
        let mut program = Program {
            name: function.name.clone(),
            section: function.section.to_string(),
            prog_type: spec.prog_type.0,
            attach_type: spec.attach_type.map_or(0, |a| a.0),
            autoload: spec.autoload,
            ..Program::default()
        };
        let entry = linked.entry(InstanceId(0), Some(&function.name)).map_err(|e| e.to_string());
        let images = entry.and_then(|e| linked.images(&[e]).map_err(|e| e.to_string()));
        let loaded = images.and_then(|images| {
            let mut prepared = kernel.prepare(&images, &options).map_err(|e| e.to_string())?;
            let maps = |m: &bpfweld::kernel::Map| (m.name().to_owned(), m.fd().as_raw_fd());
            let maps: Vec<(String, i32)> = prepared.maps().iter().map(maps).collect();
            watch::start(&function.name, Box::new(move || maps.clone()));
            let result = prepared.load(0).map_err(|e| e.to_string());
            program.load = watch::stop();
            result
        });
        program.error = loaded.err();
        let _ = watch::clear(pins);
        Some(program)
    });
    let programs = programs.collect();
    Side { programs, ..Side::default() }
}
