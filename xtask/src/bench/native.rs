//! Time per packet on the running kernel, all variants in turn, round after round; time and memory that
//! linking takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::guests::Costs;
use super::sources::{Kind, Objects, packet};
use super::{Options, Variant};
use crate::toolchain;

/// Packets of a run: some tenths of a second.
const REPEAT: u32 = 200_000;
/// What is timed; libxdp's dispatcher needs programs of a kind that not every kernel permits.
const VARIANTS: [Variant; 4] =
    [Variant::Linked, Variant::Fused, Variant::Merged, Variant::TailCalls];

/// Nanoseconds per packet: the medians over all rounds.
pub(super) struct Times {
    /// `uname -r`.
    pub(super) release: String,
    pub(super) rounds: usize,
    pub(super) costs: Costs,
    /// Medians over the rounds of fused by hand-merged, in one round each.
    pub(super) ratios: BTreeMap<(Kind, usize), f64>,
}

/// Runs all variants in turn.
pub(super) fn times(command: &Path, objects: &Objects, options: &Options) -> Result<Times> {
    let frame = objects.dir.join("packet");
    std::fs::write(&frame, packet())?;
    let path = |file: &Path| file.to_string_lossy().into_owned();
    let mut costs = Costs::new();
    let mut ratios = BTreeMap::new();
    for kind in Kind::ALL {
        for &members in &options.members {
            let mut samples: BTreeMap<Variant, Vec<f64>> = BTreeMap::new();
            let mut lines = Vec::new();
            for variant in VARIANTS.into_iter().filter(|v| v.takes(members)) {
                if let Some(args) = variant.arguments(objects, kind, members, &path)? {
                    lines.push((variant, args));
                }
            }
            for round in 0..options.rounds {
                for at in 0..lines.len() {
                    // Another one begins each round.
                    let (variant, args) = &lines[(at + round) % lines.len()];
                    let ns = run(command, args, &frame)
                        .with_context(|| format!("{} {members} {}", kind.name(), variant.name()))?;
                    samples.entry(*variant).or_default().push(ns);
                }
            }
            if let (Some(fused), Some(merged)) =
                (samples.get(&Variant::Fused), samples.get(&Variant::Merged))
            {
                let pairs = fused.iter().zip(merged).map(|(a, b)| a / b).collect();
                ratios.insert((kind, members), median(pairs));
            }
            for (variant, samples) in samples {
                costs.insert((kind, variant, members), median(samples));
            }
        }
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    Ok(Times { release, rounds: options.rounds, costs, ratios })
}

fn run(command: &Path, args: &[String], frame: &Path) -> Result<f64> {
    let output = Command::new(command)
        .arg("run")
        .args(args)
        .arg("--packet")
        .arg(frame)
        .args(["--repeat", &REPEAT.to_string(), "--engine", "kernel", "--json"])
        .output()?;
    let json: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("no answer: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    match (json["ns_per_packet"].as_f64(), json["packets"][0]["code"].as_u64()) {
        (Some(ns), Some(2)) => Ok(ns),
        _ => bail!("{json}"),
    }
}

pub(super) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match samples.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => samples[middle],
        _ => (samples[middle - 1] + samples[middle]) / 2.0,
    }
}

/// What linking so many objects takes.
pub(super) struct Linking {
    pub(super) kind: Kind,
    pub(super) objects: usize,
    /// Milliseconds: reading and linking, fusing, and linking anew with one member another.
    pub(super) link: f64,
    pub(super) fuse: f64,
    pub(super) change: f64,
    /// Peak resident memory in KiB.
    pub(super) memory: u64,
}

/// Members of one root at most: a program has 64 maps.
const PER_ROOT: usize = 50;
/// Objects that are linked.
const OBJECTS: [usize; 3] = [10, 100, 1000];
/// The chain that is to be fused in no time.
const CHAIN: usize = 50;

/// Measures linking by the library's example, a process for each size.
pub(super) fn linking(root: &Path, objects: &Objects, options: &Options) -> Result<Vec<Linking>> {
    let many = OBJECTS.map(|count| (Kind::Counter, count));
    let chains = Kind::ALL.map(|kind| (kind, CHAIN));
    let all = many.into_iter().chain(chains);
    all.map(|(kind, count)| link(root, objects, options, kind, count)).collect()
}

fn link(
    root: &Path,
    objects: &Objects,
    options: &Options,
    kind: Kind,
    count: usize,
) -> Result<Linking> {
    let chain = objects.chain(count.min(PER_ROOT))?;
    // Each member is a file of its own, read on its own.
    let dir = objects.dir.join("many");
    std::fs::create_dir_all(&dir)?;
    let distinct = count.min(CHAIN);
    let members: Result<Vec<_>> = (0..distinct).map(|i| objects.member(kind, i)).collect();
    let mut files = Vec::new();
    for (i, member) in members?.iter().cycle().take(count).enumerate() {
        let file = dir.join(format!("m{i}.o"));
        std::fs::copy(member, &file).with_context(|| member.display().to_string())?;
        files.push(file);
    }
    let output = toolchain::cargo()
        .args(["run", "--quiet", "--release", "-p", "bpfweld", "--example", "bench_fuse", "--"])
        .arg((options.rounds * 5).to_string())
        .arg(&chain)
        .args(&files)
        .current_dir(root)
        .output()?;
    let json: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("bench_fuse: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    let number = |key: &str| json[key].as_f64().with_context(|| format!("{key} in {json}"));
    Ok(Linking {
        kind,
        objects: count,
        link: number("link_ms")?,
        fuse: number("fuse_ms")?,
        change: number("change_ms")?,
        memory: number("memory_kib")? as u64,
    })
}
