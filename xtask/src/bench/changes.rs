//! How long a command that adds a program to a chain takes, beside xdp-loader's, in one virtual machine,
//! in turn. Its clock goes on by a nanosecond with each instruction (`-icount shift=0`), and where nothing
//! runs it goes on to the next timer at once (`sleep=off`), so waiting for the kernel counts, and what else
//! this machine does counts not.
//!
//! Up to Linux 6.12, putting another program on an interface ends with a tick of that clock. Commands that
//! follow each other at once would all begin right behind one; so there is a pause before each, a little
//! longer each round, and the rounds begin at all moments between two ticks.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::guests::{Run, place};
use super::native::median;
use super::sources::{Kind, Objects};
use super::{LIBXDP_SLOTS, Setup};
use crate::kernels::guest::MARK;
use crate::kernels::packages::Kernel;

/// Kernels on which xdp-loader loads its dispatcher and links to attach XDP programs are the rule.
const SERIES: [&str; 3] = ["6.1", "6.12", "7.2"];
/// Programs that pass: one with a map of its own, one that the verifier has more work with.
pub(super) const KINDS: [Kind; 2] = [Kind::Counter, Kind::Parser];
/// Of a longer chain, how long the last of so many takes.
const LONGER: [usize; 4] = [20, 30, 40, 50];
/// Most rounds in a guest.
const MOST_ROUNDS: usize = 8;
/// Microseconds from one tick of a guest to the next: Debian's kernels have `CONFIG_HZ=250`.
const TICK: usize = 4000;
/// Ticks of the pause before a command: time for what the one before has left to the kernel.
const PAUSE: usize = 8;
/// A guest that does not end is ended.
const TIME_LIMIT: Duration = Duration::from_secs(1500);

/// Who adds a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Loader {
    Libxdp,
    Bpfweld,
}

impl Loader {
    pub(super) const ALL: [Self; 2] = [Self::Libxdp, Self::Bpfweld];

    /// The command, but for what it is to do.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Libxdp => "xdp-loader",
            Self::Bpfweld => "bpfweld xdp",
        }
    }
}

/// What one kernel took.
pub(super) struct Changes {
    /// As the guest says.
    pub(super) release: String,
    pub(super) rounds: usize,
    /// Milliseconds of the guest's clock to add the n-th program, the medians.
    pub(super) times: BTreeMap<(Kind, Loader, usize), f64>,
}

impl Changes {
    /// What bpfweld's tenth takes, by what libxdp's takes.
    pub(super) fn ratio(&self, kind: Kind) -> Option<f64> {
        let of = |loader| self.times.get(&(kind, loader, LIBXDP_SLOTS));
        Some(of(Loader::Bpfweld)? / of(Loader::Libxdp)?)
    }

    /// bpfweld's times as a line over the number of programs: milliseconds for none, for each more, and
    /// the share of the variance that the line explains.
    pub(super) fn line(&self, kind: Kind) -> (f64, f64, f64) {
        let of = self.times.iter().filter(|((k, l, _), _)| (*k, *l) == (kind, Loader::Bpfweld));
        let points: Vec<(f64, f64)> = of.map(|((_, _, n), ms)| (*n as f64, *ms)).collect();
        fit(&points)
    }
}

/// The line with the least squares: its value at 0, its slope, and r².
fn fit(points: &[(f64, f64)]) -> (f64, f64, f64) {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let (xx, yy) = (mean(&|p| (p.0 - x).powi(2)), mean(&|p| (p.1 - y).powi(2)));
    let xy = mean(&|p| (p.0 - x) * (p.1 - y));
    let slope = xy / xx;
    (y - slope * x, slope, xy * xy / (xx * yy))
}

/// Boots the kernels one after the other.
pub(super) fn measure(setup: &Setup<'_>) -> Result<Vec<Changes>> {
    let kernels = setup.kernels(|name| SERIES.contains(&name))?;
    let one = |kernel| one(setup, kernel).with_context(|| format!("kernel {}", kernel.release));
    kernels.iter().map(one).collect()
}

fn one(setup: &Setup<'_>, kernel: &Kernel) -> Result<Changes> {
    let clock = ["-icount", "shift=0,sleep=off"];
    let run = Run { name: "changes", limit: TIME_LIMIT, clock };
    let script = || script(setup.objects, setup.options.rounds.min(MOST_ROUNDS));
    read(kernel, &run.said(setup, kernel, script)?)
}

/// The commands that the guest runs: whole commands are timed, by the shell's own clock.
fn script(objects: &Objects, rounds: usize) -> Result<String> {
    let mut script = format!(
        "ip link add v0 type veth peer name v1\nip link set v0 up\nip link set v1 up\n\
         timed() {{\n\
         what=$1; shift\n\
         usleep $pause\n\
         begin=$EPOCHREALTIME\n\
         \"$@\" >/tmp/said 2>&1\n\
         status=$? end=$EPOCHREALTIME\n\
         echo \"{MARK} time $what $status $begin $end\"\n\
         [ $status = 0 ] || cat /tmp/said\n\
         }}\n"
    );
    for kind in KINDS {
        let members: Result<Vec<String>> =
            (0..LONGER[LONGER.len() - 1]).map(|i| Ok(place(&objects.member(kind, i)?))).collect();
        let members = members?;
        // A first one of each, so that what is read from files is in memory.
        for round in 0..=rounds {
            script += &format!("pause={}\n", PAUSE * TICK + TICK * round / rounds.max(1));
            for loader in Loader::ALL {
                let name = loader.name();
                let tag = |n: usize| format!("{}:{loader:?}:{n}:{round}", kind.name());
                for (n, member) in (1..=LIBXDP_SLOTS).zip(&members) {
                    script += &format!("timed {} {name} load v0 {member}\n", tag(n));
                }
                let longer: &[usize] = if loader == Loader::Bpfweld { &LONGER } else { &[] };
                let mut there = LIBXDP_SLOTS;
                for &n in longer {
                    let more = members[there..n - 1].join(" ");
                    script += &format!("{name} load v0 {more} 2>&1\n");
                    script += &format!("timed {} {name} load v0 {}\n", tag(n), members[n - 1]);
                    there = n;
                }
                script += &format!("{name} unload v0 --all >/dev/null 2>&1\n");
            }
        }
    }
    Ok(script)
}

/// What the guest said.
fn read(kernel: &Kernel, output: &str) -> Result<Changes> {
    let mut release = kernel.release.clone();
    let mut samples: BTreeMap<(Kind, Loader, usize), Vec<f64>> = BTreeMap::new();
    let mut ended = false;
    for part in output.split(MARK).skip(1) {
        let (line, text) = part.split_once('\n').unwrap_or((part, ""));
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["release"] => release = text.trim().into(),
            ["time", what, status, begin, end] => {
                if *status != "0" {
                    bail!("{what}: {}", text.trim());
                }
                let (key, round) = key(what).with_context(|| format!("what is {what}?"))?;
                let ms = (end.parse::<f64>()? - begin.parse::<f64>()?) * 1e3;
                if round > 0 {
                    samples.entry(key).or_default().push(ms);
                }
            }
            ["end"] => ended = true,
            _ => {}
        }
    }
    if !ended {
        bail!("the guest did not come to its end");
    }
    let rounds = samples.values().map(Vec::len).min().unwrap_or_default();
    let times = samples.into_iter().map(|(key, samples)| (key, median(samples))).collect();
    Ok(Changes { release, rounds, times })
}

/// `counter:Bpfweld:10:2` taken apart.
fn key(text: &str) -> Option<((Kind, Loader, usize), usize)> {
    let [kind, loader, n, round] = text.split(':').collect::<Vec<_>>()[..] else { return None };
    let kind = KINDS.into_iter().find(|k| k.name() == kind)?;
    let loader = Loader::ALL.into_iter().find(|l| format!("{l:?}") == loader)?;
    Some(((kind, loader, n.parse().ok()?), round.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_through_points() {
        let (at_none, slope, r2) = fit(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]);
        assert!((at_none - 3.0).abs() < 1e-9 && (slope - 2.0).abs() < 1e-9);
        assert!((r2 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_was_timed() {
        assert_eq!(key("parser:Libxdp:7:2"), Some(((Kind::Parser, Loader::Libxdp, 7), 2)));
        assert_eq!(key("parser:nobody:7:2"), None);
    }
}
