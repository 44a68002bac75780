//! `cargo xtask corpus`: the objects that `cargo xtask peer-diff` is run on.
//!
//! They are the kernel's own BPF selftests, from Debian's package `linux-source-6.1`, compiled against
//! the types of the running kernel by every compiler there is, and what Debian packages install. None
//! of them is committed: they are another project's, and there are thousands. What those selftests lack
//! is made of the sources in `xtask/peer/objects` (`own_*.o`).
//!
//! | directory | what is in there |
//! |---|---|
//! | `src` | the part of the kernel's source that is needed |
//! | `include` | `vmlinux.h` of the running kernel; libbpf's headers are the system's (`libbpf-dev`) |
//! | `clang-14`, `clang-19-v1` … `-v4`, `gcc` | objects, and `failed.txt`: what did not compile |
//! | `installed` | `/usr/lib/*/bpf/*.o` (`xdp-tools`, `libxdp1`) |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to
    #[arg(long, value_name = "DIR", default_value = "target/corpus")]
    out: PathBuf,
    /// Only these sets, as in `clang-19-v3`
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only sources whose name contains one of these
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// The kernel's source
    #[arg(long, value_name = "TAR", default_value = "/usr/src/linux-source-6.1.tar.xz")]
    source: PathBuf,
}

/// The parts of the kernel's source that the selftests include.
const PARTS: [&str; 4] =
    ["tools/testing/selftests/bpf", "tools/include", "tools/lib/bpf", "include/uapi"];

/// Name of the set, Debian package, compiler, arguments of its own.
const COMPILERS: [(&str, &str, &str, &[&str]); 6] = [
    ("clang-14", "clang-14", "clang-14", &["-target", "bpf", "-mcpu=v3"]),
    ("clang-19-v1", "clang-19", "clang-19", &["-target", "bpf", "-mcpu=v1"]),
    ("clang-19-v2", "clang-19", "clang-19", &["-target", "bpf", "-mcpu=v2"]),
    ("clang-19-v3", "clang-19", "clang-19", &["-target", "bpf", "-mcpu=v3"]),
    ("clang-19-v4", "clang-19", "clang-19", &["-target", "bpf", "-mcpu=v4"]),
    ("gcc", "gcc-bpf", "bpf-gcc", &["-gbtf", "-mcpu=v3", "-mco-re"]),
];

/// Objects that the selftests join with `bpftool gen object`.
const JOINED: [(&str, &[&str]); 7] = [
    ("test_static_linked", &["test_static_linked1", "test_static_linked2"]),
    ("linked_funcs", &["linked_funcs1", "linked_funcs2"]),
    ("linked_vars", &["linked_vars1", "linked_vars2"]),
    ("linked_maps", &["linked_maps1", "linked_maps2"]),
    (
        "test_subskeleton_whole",
        &["test_subskeleton_lib2", "test_subskeleton_lib", "test_subskeleton"],
    ),
    ("test_subskeleton_lib_whole", &["test_subskeleton_lib2", "test_subskeleton_lib"]),
    ("test_usdt_whole", &["test_usdt", "test_usdt_multispec"]),
];

/// The task.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let out = root.join(&options.out);
    let include = out.join("include");
    fs::create_dir_all(&include)?;
    let source = unpack(&options.source, &out)?;
    if !include.join("vmlinux.h").exists() {
        write_vmlinux(&include)?;
    }
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|o| o == name);
    for (name, package, compiler, arguments) in COMPILERS {
        if !wanted(name) {
            continue;
        }
        if Command::new(compiler).arg("--version").output().is_err() {
            println!("{name}: passed over, {compiler} is not installed (Debian: {package})");
            continue;
        }
        let own = root.join("xtask/peer/objects");
        let set = Set {
            dir: out.join(name),
            compiler,
            arguments,
            source: &source,
            own: &own,
            filter: &options.filter,
            include: &include,
        };
        let (made, failed) = set.build()?;
        println!("{name}: {made} objects, {failed} sources did not compile");
    }
    if wanted("installed") {
        println!("installed: {} objects", copy_installed(&out.join("installed"))?);
    }
    Ok(())
}

/// Unpacks what is needed; gives the top of the tree.
fn unpack(tar: &Path, out: &Path) -> Result<PathBuf> {
    let name = tar.file_name().unwrap_or_default().to_string_lossy();
    let top = name.split(".tar").next().unwrap_or_default();
    let source = out.join("src").join(top);
    if source.join(PARTS[0]).exists() {
        return Ok(source);
    }
    if !tar.exists() {
        bail!("{} is not there; install it (Debian: package linux-source-6.1)", tar.display());
    }
    fs::create_dir_all(out.join("src"))?;
    let parts = PARTS.iter().map(|part| format!("{top}/{part}"));
    let status = Command::new("tar")
        .args(["-C".as_ref(), out.join("src").as_os_str(), "-xf".as_ref(), tar.as_os_str()])
        .args(parts)
        .status()?;
    if !status.success() {
        bail!("tar could not unpack {}", tar.display());
    }
    Ok(source)
}

fn write_vmlinux(include: &Path) -> Result<()> {
    let dump = Command::new("bpftool")
        .args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"])
        .output()
        .context("bpftool cannot be run (Debian: package bpftool)")?;
    if !dump.status.success() {
        bail!("bpftool: {}", String::from_utf8_lossy(&dump.stderr));
    }
    fs::write(include.join("vmlinux.h"), dump.stdout)?;
    Ok(())
}

struct Set<'a> {
    dir: PathBuf,
    compiler: &'a str,
    arguments: &'a [&'a str],
    source: &'a Path,
    own: &'a Path,
    filter: &'a [String],
    include: &'a Path,
}

impl Set<'_> {
    /// Compiles all; gives how many did and how many did not.
    fn build(&self) -> Result<(usize, usize)> {
        fs::create_dir_all(&self.dir)?;
        let progs = self.source.join("tools/testing/selftests/bpf/progs");
        let mut sources = Vec::new();
        for (dir, prefix) in [(progs.as_path(), ""), (self.own, "own_")] {
            for file in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
                let path = file?.path();
                if path.extension().is_some_and(|e| e == "c") {
                    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                    sources.push((format!("{prefix}{stem}"), path));
                }
            }
        }
        if !self.filter.is_empty() {
            sources.retain(|(name, _)| self.filter.iter().any(|f| name.contains(f.as_str())));
        }
        sources.sort();
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(Vec::new());
        let work = || {
            while let Some((stem, source)) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(e) = self.compile(stem, source)
                    && let Ok(mut failed) = failed.lock()
                {
                    failed.push(format!("{e:#}"));
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let mut failed = failed.into_inner().unwrap_or_default();
        failed.sort();
        fs::write(self.dir.join("failed.txt"), failed.join("\n"))?;
        let joined = JOINED.iter().filter(|(name, parts)| self.join(name, parts)).count();
        Ok((sources.len() - failed.len() + joined, failed.len()))
    }

    fn compile(&self, stem: &str, source: &Path) -> Result<()> {
        let object = self.dir.join(format!("{stem}.o"));
        if object.exists() {
            return Ok(());
        }
        let arch = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            "x86_64" => "x86",
            other => other,
        };
        let selftests = self.source.join("tools/testing/selftests/bpf");
        let mut command = Command::new(self.compiler);
        command
            .args(self.arguments)
            .args(["-O2", "-g", "-DENABLE_ATOMICS_TESTS", "-w"])
            .arg(format!("-D__TARGET_ARCH_{arch}"))
            .arg("-I")
            .arg(self.include)
            .arg("-I")
            .arg(&selftests)
            .arg("-I")
            .arg(self.source.join("tools/include/uapi"))
            .args(["-idirafter", "/usr/include"])
            .arg("-idirafter")
            .arg(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH));
        // As in the selftests' Makefile.
        if ["test_l4lb_noinline", "test_xdp_noinline"].contains(&stem) {
            command.arg("-fno-inline");
        }
        let output = command
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(&object)
            .current_dir(&selftests)
            .output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let first = text.lines().find(|l| l.contains("error")).unwrap_or("");
            bail!("{stem}.c: {first}");
        }
        Ok(())
    }

    fn join(&self, name: &str, parts: &[&str]) -> bool {
        let object = |name: &str| self.dir.join(format!("{name}.o"));
        let made = Command::new("bpftool")
            .args(["gen", "object"])
            .arg(object(name))
            .args(parts.iter().map(|part| object(part)))
            .output();
        made.is_ok_and(|output| output.status.success())
    }
}

fn copy_installed(to: &Path) -> Result<usize> {
    fs::create_dir_all(to)?;
    let mut count = 0;
    for arch in fs::read_dir("/usr/lib")?.filter_map(Result::ok) {
        let Ok(files) = fs::read_dir(arch.path().join("bpf")) else { continue };
        for file in files.filter_map(Result::ok) {
            if file.path().extension().is_some_and(|e| e == "o") {
                fs::copy(file.path(), to.join(file.file_name()))?;
                count += 1;
            }
        }
    }
    Ok(count)
}
