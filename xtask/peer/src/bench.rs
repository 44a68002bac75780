//! `cargo xtask peer-bench`: what opening and preparing take, beside libbpf.
//!
//! Instructions are counted by callgrind, in processes of their own, one a side: a count is the same
//! whatever else the machine does. Times are of the processor, both sides in turn in one process, and
//! their medians are compared. Memory is the largest resident set of a process that does one object.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::work::{Outcome, Party, Work};

/// What bpfweld may take of what libbpf takes.
const OPEN_LIMIT: f64 = 1.0 / 3.0;
const PREPARE_LIMIT: f64 = 1.0 / 5.0;
/// Objects that one callgrind gets: each leaves a file until all are read.
const BATCH: usize = 200;
/// Processes for each round whose memory is looked at.
const PROCESSES: usize = 4;

#[derive(Args)]
pub struct Options {
    /// Object files, or directories to look for them in
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Only objects whose path contains this
    #[arg(long)]
    filter: Option<String>,
    /// Prepare this many objects: those with the most CO-RE records
    #[arg(long, default_value_t = 20)]
    prepare: usize,
    /// Rounds of the times
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Do not open all objects, only prepare
    #[arg(long)]
    no_open: bool,
    /// Show this many of the objects that are opened worst
    #[arg(long, default_value_t = 3)]
    worst: usize,
}

/// Are the limits kept?
pub fn run(options: &Options) -> Result<bool> {
    let objects = crate::objects(&options.paths, options.filter.as_deref())?;
    let opened = options.no_open || open(options, &objects)?;
    let prepared = options.prepare == 0 || prepare(options, &objects)?;
    Ok(opened && prepared)
}

/// One object on both sides.
struct Pair<'o> {
    object: &'o Path,
    ours: u64,
    theirs: u64,
}

impl Pair<'_> {
    fn ratio(&self) -> f64 {
        self.ours as f64 / self.theirs as f64
    }
}

fn open(options: &Options, objects: &[PathBuf]) -> Result<bool> {
    let (ours, theirs) = both(|party| counts(Work::Open, party, objects))?;
    let mut pairs = Vec::new();
    let (mut refused_ours, mut refused_theirs) = (0, 0);
    for ((object, ours), theirs) in objects.iter().zip(&ours).zip(&theirs) {
        refused_ours += usize::from(ours.is_none());
        refused_theirs += usize::from(theirs.is_none());
        if let (Some(ours), Some(theirs)) = (*ours, *theirs) {
            pairs.push(Pair { object, ours, theirs });
        }
    }
    if pairs.is_empty() {
        bail!("no object that both sides can open");
    }
    let sum = |side: fn(&Pair<'_>) -> u64| pairs.iter().map(side).sum::<u64>();
    let (ours, theirs) = (sum(|p| p.ours), sum(|p| p.theirs));
    let ratio = ours as f64 / theirs as f64;
    println!("opening {} objects from memory, instructions:", pairs.len());
    println!(
        "  bpfweld {:.1} million, libbpf {:.1} million: {ratio:.3}",
        million(ours),
        million(theirs)
    );
    pairs.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    println!("  median of the objects' ratios {:.3}; the worst:", pairs[pairs.len() / 2].ratio());
    for pair in pairs.iter().rev().take(options.worst) {
        let Pair { object, ours, theirs } = pair;
        println!("    {:.3} ({ours} / {theirs})  {}", pair.ratio(), object.display());
    }
    println!(
        "  left out: {refused_theirs} that libbpf refuses, {refused_ours} that bpfweld refuses"
    );
    println!("  limit {OPEN_LIMIT:.3}: {}", kept(ratio <= OPEN_LIMIT));
    Ok(ratio <= OPEN_LIMIT)
}

fn prepare(options: &Options, objects: &[PathBuf]) -> Result<bool> {
    let counted = spawn(Work::Count, Party::Ours, objects, None)?;
    let mut heavy: Vec<(usize, &PathBuf)> = counted
        .iter()
        .map(|o| o.records)
        .zip(objects)
        .filter(|(records, _)| *records > 0)
        .collect();
    heavy.sort_by_key(|(records, object)| (std::cmp::Reverse(*records), *object));
    let mut chosen = Vec::new();
    for (records, object) in heavy {
        if chosen.len() == options.prepare {
            break;
        }
        // What one side cannot load measures nothing.
        let one = std::slice::from_ref(object);
        let (ours, theirs) = both(|party| spawn(Work::Prepare, party, one, None))?;
        if ours.iter().chain(&theirs).all(|o| o.error.is_none()) {
            chosen.push((records, object.clone()));
        } else {
            let words = |o: &[Outcome]| o[0].error.clone().unwrap_or_else(|| "fine".into());
            let (ours, theirs) = (words(&ours), words(&theirs));
            println!("left out {}: bpfweld {ours}; libbpf {theirs}", object.display());
        }
    }
    if chosen.is_empty() {
        bail!("no object with CO-RE records that both sides can load");
    }
    let paths: Vec<PathBuf> = chosen.iter().map(|(_, object)| object.clone()).collect();
    let (ours, theirs) = both(|party| counts(Work::Prepare, party, &paths))?;
    let times = times(options.rounds, &paths)?;
    let memory = peaks(Work::Prepare, options.rounds, &paths)?;
    println!("opening and preparing the {} objects with the most CO-RE records:", chosen.len());
    println!(
        "{:>7} {:>24} {:>6} {:>18} {:>6} {:>20}",
        "CO-RE", "million instructions", "", "milliseconds", "", "KiB at most"
    );
    println!(
        "{:>7} {:>12}{:>12} {:>6} {:>9}{:>9} {:>6} {:>10}{:>10}",
        "records", "bpfweld", "libbpf", "ratio", "bpfweld", "libbpf", "ratio", "bpfweld", "libbpf"
    );
    let (mut worst, mut worst_time, mut leaner) = (0.0f64, 0.0f64, true);
    for (i, (records, object)) in chosen.iter().enumerate() {
        let (Some(ours), Some(theirs)) = (ours[i], theirs[i]) else {
            bail!("{}: not loaded under callgrind", object.display());
        };
        let (ms, their_ms) = times[i];
        let (peak, their_peak) = memory[i];
        let (ratio, time) = (ours as f64 / theirs as f64, ms / their_ms);
        (worst, worst_time) = (worst.max(ratio), worst_time.max(time));
        leaner &= peak <= their_peak;
        println!(
            "{records:>7} {:>12.1}{:>12.1} {ratio:>6.3} {ms:>9.2}{their_ms:>9.2} {time:>6.3} \
             {peak:>10}{their_peak:>10}  {}",
            million(ours),
            million(theirs),
            object.display()
        );
    }
    let nothing = peaks(Work::Nothing, options.rounds, &paths[..1])?[0].0;
    println!("  (a process that only reads the first of them: {nothing} KiB)");
    println!("  worst ratio of instructions {worst:.3}, of times {worst_time:.3}");
    println!("  limit {PREPARE_LIMIT:.3}: {}", kept(worst <= PREPARE_LIMIT));
    println!("  memory no higher: {}", kept(leaner));
    Ok(worst <= PREPARE_LIMIT && leaner)
}

fn kept(is: bool) -> &'static str {
    if is { "kept" } else { "MISSED" }
}

fn million(count: u64) -> f64 {
    count as f64 / 1e6
}

/// Both sides at the same time.
fn both<T: Send>(work: impl Fn(Party) -> Result<T> + Sync) -> Result<(T, T)> {
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| work(Party::Theirs));
        let ours = work(Party::Ours)?;
        Ok((ours, theirs.join().ok().context("libbpf's side broke off")??))
    })
}

/// Median milliseconds on each side: (bpfweld, libbpf), an object each.
fn times(rounds: usize, objects: &[PathBuf]) -> Result<Vec<(f64, f64)>> {
    let mut all = vec![(Vec::new(), Vec::new()); objects.len()];
    for _ in 0..rounds {
        let ours = spawn(Work::Prepare, Party::Ours, objects, None)?;
        let theirs = spawn(Work::Prepare, Party::Theirs, objects, None)?;
        for ((of, ours), theirs) in all.iter_mut().zip(ours).zip(theirs) {
            of.0.push(ours.time);
            of.1.push(theirs.time);
        }
    }
    let ms = |times| median(times) as f64 / 1e6;
    Ok(all.into_iter().map(|(ours, theirs)| (ms(ours), ms(theirs))).collect())
}

/// Median KiB on each side of processes that do one object, in turn. Where the system puts a program in memory
/// decides how many pages it brings in around those that are touched, and the kernel counts them in batches on
/// each processor: so few processes tell little.
fn peaks(work: Work, rounds: usize, objects: &[PathBuf]) -> Result<Vec<(u64, u64)>> {
    let both = |object| {
        let one = std::slice::from_ref(object);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds * PROCESSES {
            ours.push(spawn(work, Party::Ours, one, None)?[0].peak);
            theirs.push(spawn(work, Party::Theirs, one, None)?[0].peak);
        }
        Ok((median(ours), median(theirs)))
    };
    objects.iter().map(both).collect()
}

fn median(mut of: Vec<u64>) -> u64 {
    of.sort_unstable();
    of.get(of.len() / 2).copied().unwrap_or(0)
}

/// Instructions that the work on each object took; none where it failed.
fn counts(work: Work, party: Party, objects: &[PathBuf]) -> Result<Vec<Option<u64>>> {
    let mut counts = Vec::with_capacity(objects.len());
    for batch in objects.chunks(BATCH) {
        let at = std::env::temp_dir().join(format!(
            "bpfweld-bench-{}-{}",
            std::process::id(),
            party.name()
        ));
        fs::create_dir_all(&at)?;
        let counted = batch_counts(work, party, batch, &at);
        fs::remove_dir_all(&at)?;
        counts.extend(counted?);
    }
    Ok(counts)
}

fn batch_counts(
    work: Work,
    party: Party,
    objects: &[PathBuf],
    at: &Path,
) -> Result<Vec<Option<u64>>> {
    let outcomes = spawn(work, party, objects, Some(at))?;
    let count = |(n, outcome): (usize, Outcome)| -> Result<Option<u64>> {
        // Callgrind writes and begins anew behind each call of the function that is measured.
        let path = at.join(format!("out.{n}"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let total = text.lines().rev().find_map(|line| {
            line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: "))
        });
        let total: u64 = total.context("callgrind counted nothing")?.trim().parse()?;
        Ok(outcome.error.is_none().then_some(total))
    };
    (1..).zip(outcomes).map(count).collect()
}

/// A child does the work; under callgrind, which leaves its counts in the directory `counted`.
fn spawn(
    work: Work,
    party: Party,
    objects: &[PathBuf],
    counted: Option<&Path>,
) -> Result<Vec<Outcome>> {
    let measured = crate::measured()?;
    let mut command = match counted {
        None => Command::new(&measured),
        Some(at) => {
            let mut command = Command::new("valgrind");
            let out = format!("--callgrind-out-file={}", at.join("out").display());
            command
                .args(["--tool=callgrind", "-q", "--dump-line=no", &out])
                .arg("--toggle-collect=bpfweld_peer_measured")
                .arg("--dump-after=bpfweld_peer_measured")
                .arg(&measured);
            command
        }
    };
    let mut child = command
        .args([work.name(), party.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("valgrind cannot be run (Debian: package valgrind)")?;
    let mut stdin = child.stdin.take().context("no input")?;
    let list: Vec<String> = objects.iter().map(|o| format!("{}\n", o.display())).collect();
    // Lists are short, and a child that does not read them ends with an error of its own.
    let _ = stdin.write_all(list.concat().as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        bail!("{work:?} {party:?}: {}: {}", output.status, last.join(" / "));
    }
    let outcomes: Vec<Outcome> = serde_json::from_slice(&output.stdout)?;
    if outcomes.len() != objects.len() {
        bail!("{} of {} objects were done", outcomes.len(), objects.len());
    }
    Ok(outcomes)
}
