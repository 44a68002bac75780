//! `cargo xtask peer-link-bench`: how long linking many objects takes, and how much memory: bpfweld, libbpf (the one that
//! this tool is built with) and `bpftool gen object`, each in a process of its own, in turn. bpfweld's is a program that
//! has nothing else in it (`link_only.rs`), as bpftool has no other linker in it.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bpfweld::btf::{Btf, BtfBuilder, SourceMap};
use bpfweld::static_link::{self, Linker};
use libbpf_sys as sys;

use crate::link_ours;

/// Rounds of each size, in turn; the median counts.
const ROUNDS: usize = 9;
/// What a linker may take for one link. Whoever takes longer is not run on more objects.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub struct Options {
    /// How many objects
    #[arg(value_name = "N", required = true)]
    sizes: Vec<usize>,
    /// Each object carries all types of this file
    #[arg(long, value_name = "BTF")]
    types: Option<PathBuf>,
}

/// The linkers to measure.
const LINKERS: [&str; 3] = ["bpfweld", "libbpf", "bpftool"];

/// Links objects with one of the linkers that are in this process.
pub fn once(linker: &str, out: &Path, objects: &[PathBuf]) -> Result<()> {
    match linker {
        "bpfweld" => link_ours::link(out, objects)?,
        _ => {
            let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
            let linker = unsafe { sys::bpf_linker__new(text(out)?.as_ptr(), std::ptr::null_mut()) };
            if linker.is_null() {
                bail!("libbpf makes no linker");
            }
            for object in objects {
                let name = text(object)?;
                let result =
                    unsafe { sys::bpf_linker__add_file(linker, name.as_ptr(), std::ptr::null()) };
                if result != 0 {
                    bail!("{}: {}", object.display(), std::io::Error::from_raw_os_error(-result));
                }
            }
            let result = unsafe { sys::bpf_linker__finalize(linker) };
            unsafe { sys::bpf_linker__free(linker) };
            if result != 0 {
                bail!("cannot finish: {}", std::io::Error::from_raw_os_error(-result));
            }
        }
    }
    Ok(())
}

/// Measures.
pub fn run(options: &Options) -> Result<()> {
    let (sizes, vmlinux) = (&options.sizes, options.types.as_deref());
    let dir = std::env::temp_dir().join(format!("bpfweld-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let result = measure(sizes, vmlinux, &dir);
    fs::remove_dir_all(&dir)?;
    result
}

fn measure(sizes: &[usize], vmlinux: Option<&Path>, dir: &Path) -> Result<()> {
    let most = sizes.iter().copied().max().context("no sizes")?;
    // In a process of its own: a process counts the memory of the one that it comes from as its own.
    let mut generate = Command::new(std::env::current_exe()?);
    generate.args(["link-generate", &most.to_string()]).arg(dir).args(vmlinux);
    if !generate.status()?.success() {
        bail!("no objects to link");
    }
    let objects: Vec<_> = (0..most).map(|number| object_path(dir, number)).collect();
    let bytes: u64 = fs::metadata(&objects[0])?.len();
    println!("objects of {bytes} bytes each, median of {ROUNDS} rounds in turn");
    println!(
        "{:>8} {:>9} {:>12} {:>10} {:>12} {:>10} {:>12}",
        "objects", "linker", "time", "times ours", "processor", "times ours", "peak"
    );
    let mut tired: Vec<&str> = Vec::new();
    for &size in sizes {
        let mut taken: Vec<(&str, Vec<Run>)> =
            LINKERS.iter().filter(|l| !tired.contains(l)).map(|l| (*l, Vec::new())).collect();
        for _ in 0..ROUNDS {
            for (linker, runs) in &mut taken {
                let out = dir.join("out.o");
                runs.push(one(linker, &out, &objects[..size])?);
                // To remove what another one wrote is none's work.
                fs::remove_file(out)?;
            }
        }
        let mut ours = None;
        for (linker, runs) in &mut taken {
            let time = median(runs.iter().map(|r| r.time));
            let processor = median(runs.iter().map(|r| r.processor));
            let peak = runs.iter().map(|r| r.peak).max().unwrap_or(0);
            let (our_time, our_processor) = *ours.get_or_insert((time, processor));
            println!(
                "{size:>8} {linker:>9} {:>9.1} ms {:>10.1} {:>9.1} ms {:>10.1} {:>8.1} MiB",
                time * 1e3,
                time / our_time,
                processor * 1e3,
                processor / our_processor,
                peak as f64 / 1024.0,
            );
            if runs.iter().any(|r| r.time > PATIENCE) {
                tired.push(linker);
            }
        }
    }
    Ok(())
}

/// What one link took, in a process of its own.
struct Run {
    time: Duration,
    /// Of the process and of the kernel for it. Other load counts less than for the time.
    processor: Duration,
    /// Of resident memory, in KiB.
    peak: u64,
}

fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<_> = times.collect();
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn one(linker: &str, out: &Path, objects: &[PathBuf]) -> Result<Run> {
    let mut command = match linker {
        "bpftool" => {
            let mut command = Command::new("bpftool");
            command.args(["gen", "object"]).arg(out);
            command
        }
        "bpfweld" => {
            let mut command = Command::new(crate::measured()?);
            command.arg(out);
            command
        }
        _ => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["link-once", linker]).arg(out);
            command
        }
    };
    command.args(objects).stdin(Stdio::null()).stdout(Stdio::null());
    // Something to do between `fork` and `exec` has the library fork at all: a child that borrows this process' memory
    // until its `exec` has its peak counted as its own.
    unsafe { command.pre_exec(|| Ok(())) };
    let begin = Instant::now();
    let child = command.spawn().with_context(|| linker.to_owned())?;
    let pid = i32::try_from(child.id())?;
    let (mut status, mut usage) = (0, unsafe { std::mem::zeroed::<libc::rusage>() });
    if unsafe { libc::wait4(pid, &mut status, 0, &mut usage) } != pid {
        bail!("{linker}: {}", std::io::Error::last_os_error());
    }
    let time = begin.elapsed();
    if status != 0 {
        bail!("{linker} failed on {} objects", objects.len());
    }
    let duration = |t: libc::timeval| {
        Duration::new(t.tv_sec.cast_unsigned(), u32::try_from(t.tv_usec).unwrap_or(0) * 1000)
    };
    let processor = duration(usage.ru_utime) + duration(usage.ru_stime);
    Ok(Run { time, processor, peak: usage.ru_maxrss.cast_unsigned() })
}

/// Objects that differ in the names of what they define.
pub fn generate(count: usize, vmlinux: Option<&Path>, dir: &Path) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = dir.join("template.o");
    let status = Command::new("clang-19")
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-c", "-I"])
        .arg(root.join("../../cases/include"))
        .arg(root.join("bench/template.c"))
        .arg("-o")
        .arg(&template)
        .status()
        .context("clang-19")?;
    if !status.success() {
        bail!("clang-19 does not compile the template");
    }
    if let Some(vmlinux) = vmlinux {
        add_types(&template, vmlinux, dir)?;
    }
    let bytes = fs::read(&template)?;
    (0..count).try_for_each(|number| {
        let mut linker = Linker::new();
        let id = linker.add("template", &bytes)?;
        linker.prefix(id, &format!("o{number}_"));
        let linked = linker.link(&static_link::Options::default())?;
        Ok(fs::write(object_path(dir, number), linked.bytes)?)
    })
}

fn object_path(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("{number}.o"))
}

/// Adds all types of a kernel to those of an object, as if it used every one of its headers.
fn add_types(object: &Path, vmlinux: &Path, dir: &Path) -> Result<()> {
    let bytes = fs::read(object)?;
    let own =
        bpfweld::Object::parse("template", &bytes)?.btf.context("the template has no types")?;
    let kernel = Arc::new(Btf::parse(&fs::read(vmlinux)?)?);
    let mut builder = BtfBuilder::extending(&own);
    builder.import_all(&mut SourceMap::new(&kernel), &kernel)?;
    let types = dir.join("types");
    fs::write(&types, builder.finish()?.to_bytes())?;
    let status = Command::new("llvm-objcopy-19")
        .arg(format!("--update-section=.BTF={}", types.display()))
        .arg(object)
        .status()
        .context("llvm-objcopy-19")?;
    if !status.success() {
        bail!("llvm-objcopy-19 does not take the types");
    }
    Ok(())
}
