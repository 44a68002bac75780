//! How fast the engine is beside the kernel: links the objects given (the first is the root; the extern
//! `memberN` is bound to object N + 1) and runs the root's program on one packet, in the engine and, where
//! that is permitted, in the kernel, in turn.
//!
//! ```sh
//! cargo run --release -p bpfweld-engine --example bench_engine -- cases/chain10/root.o cases/chain10/m?.o
//! ```

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bpfweld_engine::{Engine, EngineOptions, RunOptions};
use bpfweld_kernel::{Features, LoadOptions, RealSys, load_all};
use bpfweld_link::{InstanceId, Link, LinkOptions};
use bpfweld_object::Object;

/// Runs in a round, and rounds: short ones, most of which nothing else interrupts.
const RUNS: u32 = 500;
const ROUNDS: usize = 2001;

fn main() -> Result<(), Box<dyn Error>> {
    let mut link = Link::new();
    for (i, path) in std::env::args().skip(1).enumerate() {
        let id = link.add(&path, Arc::new(Object::open(&path)?))?;
        if let Some(member) = i.checked_sub(1) {
            link.bind(InstanceId(0), &format!("member{member}"), id, None)?;
        }
    }
    let linked = link.link(&LinkOptions::default())?;
    let images = linked.images(&[linked.entry(InstanceId(0), None)?])?;
    let loaded = Engine::load(&images, &EngineOptions::default())?;
    let mut engine = loaded.entries().first().ok_or("no program")?.runner();
    let features = Arc::new(Features::new(Arc::new(RealSys)));
    let in_kernel = load_all(&images, &features, &LoadOptions::default());
    if let Err(error) = &in_kernel {
        println!("without the kernel: {error}");
    }
    let mut kernel = in_kernel.as_ref().ok().and_then(|l| Some(l.entries().first()?.runner()));
    // The first packets are those that the members drop.
    for _ in 0..100 {
        engine.run(&[0; 64], &RunOptions::default())?;
        if let Some(kernel) = &mut kernel {
            kernel.run(&[0; 64], &Default::default())?;
        }
    }
    let (mut rates, mut times, mut kernel_times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let options = RunOptions { repeat: RUNS, ..RunOptions::default() };
        let outcome = engine.run(&[0; 64], &options)?;
        let seconds = begin.elapsed().as_secs_f64();
        rates.push(outcome.instructions as f64 / seconds);
        times.push(seconds * 1e9 / f64::from(RUNS));
        if let Some(kernel) = &mut kernel {
            let options = bpfweld_kernel::RunOptions { repeat: RUNS, ..Default::default() };
            kernel_times.push(f64::from(kernel.run(&[0; 64], &options)?.duration_ns));
        }
    }
    let (rate, time) = (median(&mut rates), median(&mut times));
    println!(
        "engine: median of {ROUNDS} rounds: {:.0} million instructions a second, {time:.0} ns a packet",
        rate / 1e6
    );
    if kernel.is_some() {
        let kernel = median(&mut kernel_times);
        println!(
            "kernel, in turn: {kernel:.0} ns a packet; the engine takes {:.1} times as long",
            time / kernel
        );
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
