//! How many instructions the engine runs in a second: links the objects given (the first is the
//! root; the extern `memberN` is bound to object N + 1) and runs the root's program on one packet.
//!
//! ```sh
//! cargo run --release -p bpfweld-engine --example bench_engine -- cases/chain10/root.o cases/chain10/m?.o
//! ```

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bpfweld_engine::{Engine, EngineOptions, RunOptions};
use bpfweld_link::{InstanceId, Link, LinkOptions};
use bpfweld_object::Object;

/// Runs in a round, and rounds.
const RUNS: u32 = 200_000;
const ROUNDS: u32 = 11;

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
    let mut runner = loaded.entries().first().ok_or("no program")?.runner();
    // The first packets are those that the members drop.
    for _ in 0..100 {
        runner.run(&[0; 64], &RunOptions::default())?;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let outcome =
            runner.run(&[0; 64], &RunOptions { repeat: RUNS, ..RunOptions::default() })?;
        let seconds = begin.elapsed().as_secs_f64();
        rounds.push((outcome.instructions as f64 / seconds, seconds * 1e9 / f64::from(RUNS)));
    }
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (rate, time) = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
    println!(
        "median of {ROUNDS} rounds: {:.0} million instructions a second, {time:.0} ns a packet",
        rate / 1e6
    );
    Ok(())
}
