//! bpfweld and libbpf side by side.
//!
//! `cargo xtask peer-diff`: every program of every object, loaded by both, each alone; and what differs.
//! `cargo xtask peer-bench`: what opening and preparing take.
//!
//! Both run in processes of their own, for `peer-diff` one an object and side, so that a crash or a hang of either is
//! a finding and no end. Both are watched at the same place: this program defines the C function
//! `syscall`, which libbpf and bpfweld make their bpf(2) calls with.
//!
//! | module | what lives there |
//! |---|---|
//! | [`record`] | what is noted of an object, a program, a load |
//! | [`watch`] | `syscall`: notes `BPF_PROG_LOAD` on its way to the kernel |
//! | [`canon`] | instructions with names in place of descriptors, whatever the order of functions |
//! | [`ours`], [`theirs`] | the two sides, in a child |
//! | [`link_bench`] | `link-bench`: how long linking many objects takes |
//! | [`link_ours`] | bpfweld's part in it |
//! | [`relink`] | objects linked ahead of time, for libbpf on both sides |
//! | [`groups`] | `groups`: the selftests of several objects, in every order |
//! | [`usdt`] | probes of this process, for programs of theirs |
//! | [`compare`] | two records → differences |
//! | [`report`] | the table; differences that are meant to be |
//! | [`bench`] | `peer-bench`: counts, times, memory |
//! | [`work`] | what it asks of its child, the program `bpfweld-measured`, and what comes back |
//! | [`system_call`] | the system calls of `syscall` |
//!
//! `unsafe` is everywhere in here: this is a tool, and no part of bpfweld depends on it.

mod bench;
mod canon;
mod compare;
mod groups;
mod link_bench;
mod link_ours;
mod ours;
mod record;
mod relink;
mod report;
mod system_call;
mod theirs;
mod usdt;
mod watch;
mod work;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};

use record::Side;
use report::Report;
use watch::stand_in;

#[derive(Parser)]
#[command(name = "bpfweld-peer")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Load every program of every object with bpfweld and with libbpf, and compare
    Diff(Options),
    /// Count and time what opening and preparing take
    Bench(bench::Options),
    /// Link the selftests of several objects in every order; load and run them with both
    Groups(groups::Options),
    /// Measure linking generated objects with bpfweld, libbpf and bpftool
    LinkBench(link_bench::Options),
    /// Link with one of them
    #[command(hide = true)]
    LinkOnce { linker: String, out: PathBuf, objects: Vec<PathBuf> },
    /// Make objects to link
    #[command(hide = true)]
    LinkGenerate { count: usize, dir: PathBuf, types: Option<PathBuf> },
    /// Print one side's record of one object
    #[command(hide = true)]
    Side { side: String, object: PathBuf },
}

#[derive(Args)]
struct Options {
    /// Object files, or directories to look for them in
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Differences that are meant to be
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/allowed.toml"))]
    allowed: PathBuf,
    /// Only objects whose path contains this
    #[arg(long)]
    filter: Option<String>,
    /// Show at most this many lines of a difference
    #[arg(long, default_value_t = 6)]
    lines: usize,
    /// Show the differences that are meant to be as well
    #[arg(long)]
    all: bool,
    /// Tell which entries of the list explain nothing here
    #[arg(long)]
    unused: bool,
    /// Keep libbpf's answers here, which do not change with bpfweld; by kernel and object
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peer-cache"))]
    cache: PathBuf,
    /// Compare libbpf with libbpf: each object with what `bpfweld link` makes of it alone, or of it and
    /// others
    #[arg(long)]
    relink: bool,
    /// With --relink: link random groups of this many objects
    #[arg(long, value_name = "N", default_value_t = 1)]
    group: usize,
    /// Seconds that one side has for one object
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Diff(options) => diff(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Groups(options) => groups::run(&options),
        Task::LinkBench(options) => link_bench::run(&options).map(|()| true),
        Task::LinkOnce { linker, out, objects } => {
            link_bench::once(&linker, &out, &objects).map(|()| true)
        }
        Task::LinkGenerate { count, dir, types } => {
            link_bench::generate(count, types.as_deref(), &dir).map(|()| true)
        }
        Task::Side { side, object } => side_of(&side, &object).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// One side's record of one object, on the standard output.
fn side_of(side: &str, object: &Path) -> Result<()> {
    let pins = watch::private_bpffs()?;
    let record = match side {
        "ours" => ours::run(object, &pins),
        _ => theirs::run(object, &pins),
    };
    serde_json::to_writer(std::io::stdout().lock(), &record)?;
    Ok(())
}

/// The program that is measured, which `cargo xtask` builds.
fn measured() -> Result<PathBuf> {
    let path = std::env::var_os("BPFWELD_MEASURED");
    path.map(PathBuf::from).context("what is measured is built by `cargo xtask peer-bench` and `peer-link-bench`")
}

/// Is all the same?
fn diff(options: &Options) -> Result<bool> {
    fs::create_dir_all(&options.cache)?;
    let objects = objects(&options.paths, options.filter.as_deref())?;
    let report = Mutex::new(Report::new(&options.allowed, options.lines, options.all)?);
    if options.relink {
        return relinked(options, &objects, report);
    }
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            let theirs = cached(options, object);
            let ours = child(options, "ours", object);
            let differences = compare::compare(&ours, &theirs);
            if let Ok(mut report) = report.lock() {
                report.add(object, &ours, &theirs, differences);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let report = report.into_inner().ok().context("a comparison broke off")?;
    report.print(options.unused);
    Ok(report.all_explained())
}

/// The object files under these paths, sorted.
fn objects(paths: &[PathBuf], filter: Option<&str>) -> Result<Vec<PathBuf>> {
    let mut objects = Vec::new();
    for path in paths {
        find(path, &mut objects)?;
    }
    if let Some(filter) = filter {
        objects.retain(|o| o.to_string_lossy().contains(filter));
    }
    objects.sort();
    Ok(objects)
}

/// libbpf on the objects, and on what they are linked into.
fn relinked(options: &Options, objects: &[PathBuf], report: Mutex<Report>) -> Result<bool> {
    let groups = match options.group {
        0 | 1 => objects.iter().map(|o| vec![o.clone()]).collect(),
        size => {
            let fine = |o: &&PathBuf| relink::is_loaded_whole(&cached(options, o));
            let fine: Vec<PathBuf> = objects.iter().filter(fine).cloned().collect();
            println!("{} of {} objects are loaded by libbpf in whole", fine.len(), objects.len());
            relink::groups(&fine, size)
        }
    };
    let next = AtomicUsize::new(0);
    let refused = AtomicUsize::new(0);
    let scratch = std::env::temp_dir().join(format!("bpfweld-relink-{}", std::process::id()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(number) else { break };
            let mut theirs = Side::default();
            for object in group {
                let side = cached(options, object);
                theirs.open_error = theirs.open_error.or(side.open_error);
                theirs.crash = theirs.crash.or(side.crash);
                theirs.programs.extend(side.programs);
            }
            if theirs.open_error.is_some() && group.len() > 1 {
                refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let dir = scratch.join(number.to_string());
            let mut ours = match relink::link(group, &dir) {
                Ok(relink::Linked::File(path)) => child(options, "theirs", &path),
                Ok(relink::Linked::Refused(_)) if group.len() > 1 => {
                    refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Ok(relink::Linked::Refused(why)) => {
                    Side { open_error: Some(why), ..Side::default() }
                }
                Err(e) => Side { crash: Some(format!("{e:#}")), ..Side::default() },
            };
            // What could not be removed is in the directory for temporary files.
            let _ = fs::remove_dir_all(&dir);
            if group.len() > 1 {
                relink::without_neighbours(&mut ours);
                relink::without_neighbours(&mut theirs);
            }
            let differences = compare::compare(&ours, &theirs);
            if let Ok(mut report) = report.lock() {
                let name = group.iter().map(|o| o.to_string_lossy()).collect::<Vec<_>>().join("+");
                report.add(Path::new(&name), &ours, &theirs, differences);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let _ = fs::remove_dir_all(&scratch);
    let report = report.into_inner().ok().context("a comparison broke off")?;
    report.print(options.unused);
    if options.group > 1 {
        let refused = refused.into_inner();
        println!("{refused} of {} groups cannot be one object (names clash, …)", groups.len());
    }
    Ok(report.all_explained())
}

fn find(path: &Path, objects: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        objects.push(path.into());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, objects)?;
        } else if path.extension().is_some_and(|e| e == "o") {
            objects.push(path);
        }
    }
    Ok(())
}

/// libbpf's record, from the cache if it has been there before.
fn cached(options: &Options, object: &Path) -> Side {
    let mut hasher = DefaultHasher::new();
    fs::read(object).unwrap_or_default().hash(&mut hasher);
    fs::read("/proc/sys/kernel/version").unwrap_or_default().hash(&mut hasher);
    record::VERSION.hash(&mut hasher);
    let at = options.cache.join(format!("{:016x}.json", hasher.finish()));
    if let Ok(bytes) = fs::read(&at)
        && let Ok(side) = serde_json::from_slice(&bytes)
    {
        return side;
    }
    let side = child(options, "theirs", object);
    if let Ok(bytes) = serde_json::to_vec(&side) {
        // Without a cache it is slower, no more.
        let _ = fs::write(at, bytes);
    }
    side
}

/// One side's record of one object, made in a child.
fn child(options: &Options, side: &str, object: &Path) -> Side {
    child_with(options.timeout, side, object)
}

fn child_with(timeout: u64, side: &str, object: &Path) -> Side {
    try_child(timeout, side, object)
        .unwrap_or_else(|e| Side { crash: Some(format!("{e:#}")), ..Side::default() })
}

fn try_child(timeout: u64, side: &str, object: &Path) -> Result<Side> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["side", side])
        .arg(object)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().context("no output")?;
    let mut stderr = child.stderr.take().context("no output")?;
    let out = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let end = Instant::now() + Duration::from_secs(timeout);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            let _ = fs::remove_dir(watch::bpffs_of(child.id()));
            bail!("does not come to an end in {timeout} s");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // The mount went with the child; if it did not come that far, there is nothing to remove.
    let _ = fs::remove_dir(watch::bpffs_of(child.id()));
    let out = out.join().ok().context("output lost")??;
    let err = err.join().ok().context("output lost")??;
    if !status.success() {
        let text = String::from_utf8_lossy(&err);
        bail!("{status}: {}", text.lines().take(3).collect::<Vec<_>>().join(" / "));
    }
    Ok(serde_json::from_slice(&out)?)
}
