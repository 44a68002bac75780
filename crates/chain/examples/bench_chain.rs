//! How long adding the n-th program to a chain takes: `bench_chain IFACE OBJECT COUNT`, as root. The
//! interface ends with nothing on it. `docs/performance.md` has the figures.

#![allow(clippy::print_stdout, reason = "it reports")]

use std::time::{Duration, Instant};

use bpfweld::Kernel;
use bpfweld_chain::{Chains, Dirs, NewMember, Options, Select, XdpMode};

/// Chains built, of which the median of each place counts.
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, interface, object, count] = args.as_slice() else {
        return Err("usage: bench_chain IFACE OBJECT COUNT".into());
    };
    let count: usize = count.parse()?;
    let kernel = Kernel::new();
    let chains = Chains::new(&kernel, Dirs::default())?;
    let options = Options { mode: XdpMode::Native, ..Options::default() };
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); count];
    for _ in 0..ROUNDS {
        for place in &mut times {
            let start = Instant::now();
            // All that a command does, but for starting: lock, recover, read, link, verify, swap, commit.
            let member = NewMember::open(object, &Select::First)?;
            chains.open(interface)?.load(&[member], &options)?;
            place.push(start.elapsed());
        }
        chains.open(interface)?.unload_all(&options)?;
    }
    println!("programs  median ms");
    for (n, place) in times.iter_mut().enumerate() {
        place.sort_unstable();
        let n = n + 1;
        if let Some(median) = place.get(ROUNDS / 2).filter(|_| n <= 2 || n % 10 == 0) {
            println!("{n:>8}  {:>9.2}", median.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}
