//! `cargo xtask kernels`: runs the test cases on other kernels, each in a virtual machine, and prints a
//! table case × kernel.
//!
//! | step | module |
//! |---|---|
//! | which kernels, and their packages | [`series`] |
//! | fetch and unpack them, once | [`packages`], by an apt of our own: [`apt`] |
//! | build command and case runner so that they run anywhere | [`build`] |
//! | pack them into the guest's file system | [`guest`], [`initramfs`], [`modules`] |
//! | boot, wait, end | [`machine`] |
//! | read what the guest wrote | [`report`] |
//! | print | [`table`] |
//!
//! Nothing here needs root. What a run leaves (kernels, logs of the guests) lies in `target/kernels`, or
//! in $BPFWELD_CACHE; removing it makes the next run fetch again. A new kernel is a line in
//! [`series::ALL`].

mod apt;
// It uses the virtual machines; a directory of its own, as it is a task of its own.
#[path = "../bench/mod.rs"]
pub(crate) mod bench;
mod build;
mod guest;
mod initramfs;
mod machine;
mod modules;
mod packages;
mod report;
mod series;
mod table;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use build::{Binaries, Suite};
use guest::Job;
use report::Report;
use series::Series;

use crate::toolchain;

/// Options of the task.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only this kernel; may be given several times
    #[arg(long = "kernel", value_name = "SERIES", value_parser = series::parse)]
    kernels: Vec<&'static Series>,
    /// Only this test program; may be given several times
    #[arg(long = "suite", value_name = "NAME", value_parser = build::parse)]
    suites: Vec<&'static Suite>,
    /// Only test cases whose name contains this
    #[arg(long, value_name = "CASE")]
    filter: Option<String>,
    /// All of what takes long in an emulated machine: every packet of the tests of chains, and a kill at
    /// every system call. Otherwise a tenth of the packets and a thirteenth of the kills
    #[arg(long)]
    all: bool,
    /// Look for a newer kernel of each series, also when one is unpacked already
    #[arg(long)]
    refresh: bool,
    /// A Debian archive to fetch from [default: those that the machine's apt has]
    #[arg(long = "mirror", value_name = "URI")]
    mirrors: Vec<String>,
    /// Virtual machines at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// End a virtual machine after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
    /// Print each kernel's features instead of running the cases
    #[arg(long, conflicts_with = "peer")]
    features: bool,
    /// Instead of running the cases, compare with libbpf over the objects in DIR, as `cargo xtask
    /// peer-diff` does here; may be given several times, wants a long --timeout
    #[arg(long, value_name = "DIR")]
    peer: Vec<PathBuf>,
}

/// Programs that the task needs, and the Debian package of each.
const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("apt-get", "apt"),
    ("dpkg", "dpkg"),
    ("xz", "xz-utils"),
];

/// The task.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    need_tools()?;
    let wanted: Vec<&Series> = match options.kernels.as_slice() {
        [] => series::ALL.iter().collect(),
        some => some.to_vec(),
    };
    let cache = cache_dir(root);
    std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;

    // Building uses every core, fetching none.
    let (kernels, binaries) = std::thread::scope(|scope| {
        let fetch = scope.spawn(|| packages::provide(&wanted, &cache, options));
        let binaries = build::build(root, &cache);
        let wanted = |suite: &Suite| {
            options.suites.is_empty() || options.suites.iter().any(|s| s.test == suite.test)
        };
        let peer = match options.peer.is_empty() {
            true => Ok(None),
            false => build::build_peer(root, &cache).map(Some),
        };
        let kernels = fetch.join().map_err(|_| anyhow::anyhow!("fetching failed"))?;
        let mut binaries = Binaries { peer: peer?, ..binaries? };
        binaries.suites.retain(|(suite, _)| wanted(suite));
        Ok::<_, anyhow::Error>((kernels?, binaries))
    })?;
    let reports = run_all(root, &cache, &kernels, &binaries, options);

    if options.features {
        table::print_features(&reports);
    } else if !options.peer.is_empty() {
        table::print_peers(&reports);
    } else {
        table::print(&reports);
    }
    let failures: usize = reports.iter().map(Report::failures).sum();
    if failures > 0 {
        bail!("{failures} failed; logs of the guests: {}", cache.join("logs").display());
    }
    Ok(())
}

/// Boots the kernels, some at a time, and gives their reports in the same order.
fn run_all(
    root: &Path,
    cache: &Path,
    kernels: &[packages::Kernel],
    binaries: &Binaries,
    options: &Options,
) -> Vec<Report> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..kernels.len()).collect());
    let reports: Mutex<Vec<Option<Report>>> = Mutex::new(kernels.iter().map(|_| None).collect());
    let work = || {
        loop {
            // A thread that panicked has said so; what it held is still sound.
            let next = queue.lock().unwrap_or_else(|e| e.into_inner()).pop_front();
            let Some(index) = next else { return };
            let kernel = &kernels[index];
            let begin = Instant::now();
            let report = run_one(root, cache, kernel, binaries, options)
                .unwrap_or_else(|e| Report::broken(kernel, &e));
            println!("{}: {}, {:.0?}", kernel.release, report.summary(), begin.elapsed());
            reports.lock().unwrap_or_else(|e| e.into_inner())[index] = Some(report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, kernels.len().max(1)) {
            scope.spawn(work);
        }
    });
    let reports = reports.into_inner().unwrap_or_else(|e| e.into_inner());
    // Every index was taken from the queue by one of the threads, all of which have ended.
    reports.into_iter().flatten().collect()
}

fn run_one(
    root: &Path,
    cache: &Path,
    kernel: &packages::Kernel,
    binaries: &Binaries,
    options: &Options,
) -> Result<Report> {
    let logs = cache.join("logs").join(kernel.series);
    std::fs::create_dir_all(&logs)?;
    let scratch = tempfile::tempdir_in(cache)?;
    let initrd = scratch.path().join("initramfs");
    let filter = options.filter.as_deref();
    let job = match (options.features, options.peer.as_slice()) {
        (true, _) => Job::Features,
        (false, []) => Job::Tests { filter, all: options.all },
        (false, dirs) => Job::Peer(dirs, filter),
    };
    guest::pack(root, kernel, binaries, &job, &initrd)?;
    let limit = Duration::from_secs(options.timeout);
    machine::boot(&kernel.image, &initrd, &logs, limit, &[])?;
    report::read(kernel, &logs)
}

/// `target/kernels`, or what BPFWELD_CACHE names.
fn cache_dir(root: &Path) -> PathBuf {
    if let Some(dir) = std::env::var_os("BPFWELD_CACHE") {
        return root.join(dir);
    }
    toolchain::target_dir(root).join("kernels")
}

fn need_tools() -> Result<()> {
    let mut missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| find_tool(tool).is_none()).map(|t| t.1).collect();
    if guest::busybox().is_none() {
        missing.push("busybox-static");
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("missing: {0} (apt-get install {0})", missing.join(" "))
}

/// Where a program is installed.
fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|p| p.is_file())
}
