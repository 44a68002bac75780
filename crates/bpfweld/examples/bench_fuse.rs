//! How long linking and fusing takes, and changing a chain; for `cargo xtask bench link`.
//!
//! ```sh
//! cargo run --release -p bpfweld --example bench_fuse -- ROUNDS ROOT OBJECT…
//! ```
//!
//! Each extern of the root is bound to the next object; when there are more objects than externs, the root
//! is there several times. Prints medians in milliseconds and the peak of resident memory as JSON.

#![allow(clippy::print_stdout)] // A benchmark prints.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bpfweld::link::fuse::{FuseOptions, fuse};
use bpfweld::object::ExternKind;
use bpfweld::{ImageSet, Link, LinkError, LinkOptions, Object};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let rounds = args.next().and_then(|n| n.to_str()?.parse::<usize>().ok());
    let paths: Vec<PathBuf> = args.map(PathBuf::from).collect();
    let (Some(rounds), [root, members @ ..]) = (rounds.filter(|n| *n > 0), paths.as_slice()) else {
        return Err("usage: bench_fuse ROUNDS ROOT OBJECT…".into());
    };
    let (mut link, mut fusing, mut change) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        let root = Arc::new(Object::open(root)?);
        let mut objects = Vec::with_capacity(members.len());
        for path in members {
            objects.push(Arc::new(Object::open(path)?));
        }
        let images = chain(&root, &objects)?;
        link.push(start.elapsed());
        let start = Instant::now();
        let (fused, report) = fuse(&images, &FuseOptions::default());
        fusing.push(start.elapsed());
        let calls: usize = report.images.iter().map(|image| image.fused.len()).sum();
        if calls != members.len() {
            return Err(format!("{calls} calls fused of {}", members.len()).into());
        }
        std::hint::black_box(fused);
        // One member is another; the rest is read already.
        let start = Instant::now();
        if let (Some(first), Some(path)) = (objects.first_mut(), members.last()) {
            *first = Arc::new(Object::open(path)?);
        }
        std::hint::black_box(fuse(&chain(&root, &objects)?, &FuseOptions::default()));
        change.push(start.elapsed());
    }
    let median = |mut times: Vec<std::time::Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    println!(
        "{{\"link_ms\": {:.3}, \"fuse_ms\": {:.3}, \"change_ms\": {:.3}, \"memory_kib\": {}}}",
        median(link),
        median(fusing),
        median(change),
        peak_memory()?
    );
    Ok(())
}

fn chain(root: &Arc<Object>, members: &[Arc<Object>]) -> Result<ImageSet, LinkError> {
    let externs: Vec<&str> = root
        .externs
        .iter()
        .filter(|e| e.kind == ExternKind::Function)
        .map(|e| e.name.as_str())
        .collect();
    let mut link = Link::new();
    let mut roots = Vec::new();
    for (i, some) in members.chunks(externs.len().max(1)).enumerate() {
        let at = link.add(&format!("root{i}"), root.clone())?;
        roots.push(at);
        for (j, (member, name)) in some.iter().zip(&externs).enumerate() {
            let to = link.add(&format!("m{i}-{j}"), member.clone())?;
            link.bind(at, name, to, None)?;
        }
    }
    let linked = link.link(&LinkOptions::default())?;
    let entries: Result<Vec<_>, _> = roots.iter().map(|&at| linked.entry(at, None)).collect();
    linked.images(&entries?)
}

/// In KiB.
fn peak_memory() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let number = peak.and_then(|l| l.trim().split(' ').next()).ok_or("no VmHWM")?;
    Ok(number.parse()?)
}
