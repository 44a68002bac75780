//! How long opening and linking takes, loading excluded, and how much memory the process needs.
//!
//! ```sh
//! cargo run --release -p bpfweld --example bench_link -- cases/chain10/root.o cases/chain10/m?.o
//! ```
//!
//! Each round reads all files, binds the function externs of the first one, in order, to the others
//! and lays out its entry program. Prints
//! the median, minimum and maximum of 1001 rounds and the peak of the process's resident memory.

#![allow(clippy::print_stdout)] // A benchmark prints.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bpfweld::object::ExternKind;
use bpfweld::{Error, Kernel, Object, Request, Wire};

const ROUNDS: usize = 1001;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        return Err("usage: bench_link ROOT OBJECT…".into());
    }
    let root = Object::open(&paths[0])?;
    let externs = root.externs.iter().filter(|e| e.kind == ExternKind::Function);
    let wire = |(e, to): (&bpfweld::object::Extern, usize)| Wire {
        from: 0,
        name: e.name.clone(),
        to,
        function: None,
    };
    let bindings = externs.zip(1..paths.len()).map(wire).collect();
    let objects = paths.into_iter().map(|p| (p.display().to_string(), p)).collect();
    let request = Request { objects, bindings, ..Request::default() };
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let functions = round(&request)?;
        times.push(start.elapsed());
        std::hint::black_box(functions);
    }
    times.sort();
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let (min, median, max) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
    println!("{} objects, {} functions", request.objects.len(), round(&request)?);
    println!("open and link: median {:.3} ms, min {:.3}, max {:.3}", ms(median), ms(min), ms(max));
    println!("peak resident memory: {}", peak_memory()?);
    Ok(())
}

/// Opens and links once; gives the number of functions in the image.
fn round(request: &Request) -> Result<usize, Error> {
    let linked = request.link(request.open()?, &Kernel::new())?;
    let images = linked.images(&[request.entry(&linked)?])?;
    Ok(images.images.iter().map(|i| i.functions.len()).sum())
}

fn peak_memory() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    Ok(peak.unwrap_or("unknown").trim().to_owned())
}
