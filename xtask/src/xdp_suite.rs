//! Runs the test suite of xdp-tools for its `xdp-loader` with `bpfweld xdp` in xdp-loader's place. The
//! suite is fetched (Debian's source package, in a temporary directory) and nothing of it stays.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Objects that the suite loads, by the name of their sources.
const OBJECTS: &str = "lib/testing";
/// The tests.
const TESTS: &str = "xdp-loader/tests/test-xdp-loader.sh";
/// What the runner wants to find, by Debian's names of the packages.
const PACKAGES: &str =
    "clang-19 ethtool iproute2 tcpdump tshark nftables socat ndisc6 arping libbpf-dev";

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The sources of xdp-tools, unpacked [default: Debian's source package, fetched]
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// The suite of Debian to fetch from
    #[arg(long, value_name = "SUITE", default_value = "sid")]
    suite: String,
    /// The compiler of the objects
    #[arg(long, value_name = "PROGRAM", default_value = "clang-19")]
    clang: String,
    /// The command to try instead of `bpfweld xdp`, for comparison: xdp-loader
    #[arg(long, value_name = "PROGRAM")]
    loader: Option<PathBuf>,
    /// Only these tests [default: all of the suite]
    tests: Vec<String>,
}

/// Runs the task. Fails if a test does, or if one was skipped.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let temp = tempfile::tempdir()?;
    let source = match &options.source {
        Some(source) => source.canonicalize().with_context(|| source.display().to_string())?,
        None => fetch(temp.path(), &options.suite)?,
    };
    let work = temp.path().join("run");
    fs::create_dir(&work)?;
    compile(&options.clang, &source, &work)?;
    let loader = match &options.loader {
        Some(loader) => loader.clone(),
        None => stand_in(root, &work)?,
    };
    for entry in fs::read_dir(source.join(OBJECTS))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "sh") {
            fs::copy(&path, work.join(path.file_name().unwrap_or_default()))?;
        }
    }
    let output = Command::new("unshare")
        .args(["--mount", "bash", "-c", "mount -t tmpfs none /run && exec bash \"$@\"", "bash"])
        .arg(work.join("test_runner.sh"))
        .arg(source.join(TESTS))
        .args(&options.tests)
        .env("XDP_LOADER", &loader)
        .env("TEST_PROG_DIR", &work)
        // The runner lifts the limit on locked memory, which not every root may. Kernels since 5.11 have
        // no such limit, and bpfweld lifts it itself where they do.
        .env("BASH_FUNC_ulimit%%", "() { echo unlimited; }")
        .envs(
            ["XDPDUMP", "XDP_BENCH", "XDP_FILTER", "XDP_FORWARD", "XDP_MONITOR", "XDP_TRAFFICGEN"]
                .map(|n| (n, "")),
        )
        .stderr(Stdio::inherit())
        .output()
        .context("unshare")?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let count = |word: &str| text.lines().filter(|l| l.trim_end().ends_with(word)).count();
    let (passed, failed, skipped) = (count("PASS"), count("FAIL"), count("SKIPPED"));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if !output.status.success() || passed == 0 || failed + skipped > 0 {
        bail!("the suite did not pass; it needs root and {PACKAGES}");
    }
    Ok(())
}

/// `bpfweld xdp` as one command.
fn stand_in(root: &Path, work: &Path) -> Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "bpfweld-cli", "--message-format=json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo build")?;
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let mut programs = messages.filter_map(|m| Some(m.get("executable")?.as_str()?.to_owned()));
    let program = programs.next_back().context("cargo build made no bpfweld")?;
    let path = work.join("xdp-loader");
    fs::write(&path, format!("#!/bin/sh\nexec '{program}' xdp \"$@\"\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn compile(clang: &str, source: &Path, into: &Path) -> Result<()> {
    for entry in fs::read_dir(source.join(OBJECTS))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        // The rest are programs of the host.
        if path.extension().is_none_or(|e| e != "c") || !text.contains("SEC(\"xdp") {
            continue;
        }
        let object = into.join(path.file_name().unwrap_or_default()).with_extension("o");
        let status = Command::new(clang)
            .args(["-O2", "-g", "-target", "bpf"])
            .arg(format!("-I{}", source.join("headers").display()))
            .arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH))
            .arg("-c")
            .arg(&path)
            .arg("-o")
            .arg(&object)
            .status()
            .with_context(|| clang.to_owned())?;
        if !status.success() {
            bail!("{} does not compile", path.display());
        }
    }
    Ok(())
}

/// Fetches Debian's source package with an apt of its own and unpacks it.
fn fetch(dir: &Path, suite: &str) -> Result<PathBuf> {
    let targets = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            "Component: main",
        ])
        .output()
        .context("apt-get")?;
    let text = String::from_utf8_lossy(&targets.stdout);
    let archive = text.lines().map(|l| l.trim().trim_end_matches('/'));
    let archive = archive.into_iter().find(|l| l.ends_with("/debian"));
    let archive = archive.context("this machine's apt knows no Debian archive; name --source")?;
    let lists = dir.join("lists");
    fs::create_dir_all(lists.join("partial"))?;
    let sources = dir.join("sources.list");
    fs::write(&sources, format!("deb-src {archive} {suite} main\n"))?;
    let apt = |args: &[&str]| -> Result<()> {
        let output = Command::new("apt-get")
            .args(["-qq", "-o", &format!("Dir::Etc::SourceList={}", sources.display())])
            .args(["-o", "Dir::Etc::SourceParts=-"])
            .args(["-o", &format!("Dir::State::Lists={}", lists.display())])
            .args(["-o", "APT::Sandbox::User=root"])
            .args(args)
            .current_dir(dir)
            .output()
            .context("apt-get")?;
        match output.status.success() {
            true => Ok(()),
            false => bail!("apt-get {args:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    };
    apt(&["update"])?;
    apt(&["source", "--download-only", "xdp-tools"])?;
    let tarball = fs::read_dir(dir)?.flatten().map(|e| e.path());
    let tarball = tarball.into_iter().find(|p| p.to_string_lossy().contains(".orig.tar"));
    let tarball = tarball.context("the source package has no .orig.tar")?;
    let source = dir.join("source");
    fs::create_dir(&source)?;
    let status = Command::new("tar")
        .args(["--strip-components=1", "-xf"])
        .arg(&tarball)
        .arg("-C")
        .arg(&source)
        .status()
        .context("tar")?;
    match status.success() {
        true => Ok(source),
        false => bail!("{} cannot be unpacked", tarball.display()),
    }
}
