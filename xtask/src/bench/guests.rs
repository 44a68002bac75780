//! Instructions per packet on other kernels. The virtual machine counts instructions and lets its clock
//! go on by a nanosecond with each (`-icount shift=0`), so the kernel's own timing of test runs counts
//! them, whatever else this machine does.
//!
//! It counts those of other processes too, where the kernel lets them in between: Linux 7.2 (`PREEMPT_LAZY`)
//! interrupts test runs, and tests its ciphers in the background for the first seconds. So what is measured
//! runs at a real-time priority, and programs of known length say before and after whether that is enough.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::sources::{Kind, Objects, packet};
use super::{Options, Setup, Variant};
use crate::kernels::guest::{Guest, MARK};
use crate::kernels::packages::Kernel;
use crate::kernels::{find_tool, machine};

/// Packets of a run.
const REPEAT: u32 = 4000;
/// Each run is done so many times; the shortest counts, which the fewest interrupts hit.
const TIMES: usize = 3;
/// Lengths of the programs that tell how long an instruction takes.
const KNOWN: [usize; 2] = [1000, 3000];
/// How far the time of an instruction may be another at the end than at the beginning.
const DRIFT: f64 = 0.01;
/// Nothing comes in between what runs so but interrupts.
const ALONE: &str = "chrt -f 1";
/// Where the guest has objects.
const PLACE: &str = "/bench";
/// A guest that does not end is ended.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Nanoseconds per packet by kind, variant, members.
pub(super) type Costs = BTreeMap<(Kind, Variant, usize), f64>;

/// What one kernel took.
pub(super) struct Measured {
    /// `6.1`.
    pub(super) series: &'static str,
    /// As the guest says.
    pub(super) release: String,
    /// Nanoseconds of the guest's clock for one instruction.
    pub(super) ns_per_instruction: f64,
    /// In nanoseconds of the guest's clock.
    pub(super) costs: Costs,
}

/// Boots the kernels one after the other.
pub(super) fn measure(setup: &Setup<'_>) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for kernel in &setup.kernels(|_| true)? {
        let measured = one(setup, kernel).with_context(|| format!("kernel {}", kernel.release))?;
        println!(
            "{}: {} figures, {:.3} ns an instruction",
            measured.release,
            measured.costs.len(),
            measured.ns_per_instruction
        );
        all.push(measured);
    }
    Ok(all)
}

fn one(setup: &Setup<'_>, kernel: &Kernel) -> Result<Measured> {
    let run = Run { name: "bench", limit: TIME_LIMIT, clock: ["-icount", "shift=0"] };
    read(kernel, &run.said(setup, kernel, || script(setup.objects, setup.options))?)
}

/// The commands that the guest runs, each behind a line that says what comes.
fn script(objects: &Objects, options: &Options) -> Result<String> {
    let path = |file: &Path| place(file);
    let run = format!("--packet {PLACE}/packet --repeat {REPEAT} --engine kernel --json");
    let known = |when: &str| -> Result<String> {
        let mut script = String::new();
        for count in KNOWN {
            let object = path(&objects.known(count)?);
            let line = format!("{ALONE} bpfweld run {object} {run} 2>&1");
            script += &times(&format!("known:{when}:{count}"), &line);
        }
        Ok(script)
    };
    let mut script = known("before")?;
    for kind in Kind::ALL {
        for &members in &options.members {
            for variant in [Variant::Libxdp, Variant::Linked, Variant::Fused, Variant::Merged] {
                if !variant.takes(members) {
                    continue;
                }
                let name = format!("run:{}:{}:{members}", kind.name(), variant.name());
                match variant.arguments(objects, kind, members, &path)? {
                    Some(args) => {
                        let line = format!("{ALONE} bpfweld run {} {run} 2>&1", args.join(" "));
                        script += &times(&name, &line);
                    }
                    None => script += &libxdp(objects, kind, members, &path, &name)?,
                }
            }
        }
    }
    script += &known("after")?;
    Ok(script)
}

/// A command so many times, each with its mark.
fn times(name: &str, line: &str) -> String {
    format!("echo '{MARK} {name}'\n{line}\n").repeat(TIMES)
}

/// Loads the members with xdp-loader and runs its dispatcher.
fn libxdp(
    objects: &Objects,
    kind: Kind,
    members: usize,
    path: &dyn Fn(&Path) -> String,
    name: &str,
) -> Result<String> {
    let members: Result<Vec<String>> =
        (0..members).map(|i| Ok(path(&objects.member(kind, i)?))).collect();
    let line = format!(
        "cat /tmp/loader; {ALONE} bpftool --json prog run id $id data_in {PLACE}/packet repeat {REPEAT} 2>&1"
    );
    Ok(format!(
        "xdp-loader load -m skb lo {} >/tmp/loader 2>&1 && : >/tmp/loader\n\
         id=$(bpftool prog show | awk '/name xdp_dispatcher/ {{ sub(\":\", \"\", $1); id = $1 }} END {{ print id }}')\n\
         {}\
         xdp-loader unload lo --all >/dev/null 2>&1\n",
        members?.join(" "),
        times(name, &line)
    ))
}

/// Where the guest has an object.
pub(super) fn place(file: &Path) -> String {
    format!("{PLACE}/{}", file.file_name().unwrap_or_default().to_string_lossy())
}

/// How a script runs in a guest.
pub(super) struct Run<'a> {
    /// Begins the name of the directory of its logs.
    pub(super) name: &'a str,
    /// A guest that does not end by then is ended.
    pub(super) limit: Duration,
    /// qemu's arguments that say how its clock goes.
    pub(super) clock: [&'a str; 2],
}

impl Run<'_> {
    /// What a guest says that has `bpfweld`, libxdp's loader and all objects; or what it said the last time.
    pub(super) fn said(
        &self,
        setup: &Setup<'_>,
        kernel: &Kernel,
        script: impl FnOnce() -> Result<String>,
    ) -> Result<String> {
        let logs = setup.cache.join("logs").join(format!("{}-{}", self.name, kernel.series));
        std::fs::create_dir_all(&logs)?;
        if !setup.options.from_logs {
            let scratch = tempfile::tempdir_in(setup.cache)?;
            let initrd = scratch.path().join("initramfs");
            pack(setup, kernel, &script()?, &initrd)?;
            machine::boot(&kernel.image, &initrd, &logs, self.limit, &self.clock)?;
        }
        Ok(std::fs::read_to_string(logs.join(machine::OUTPUT))?)
    }
}

fn pack(setup: &Setup<'_>, kernel: &Kernel, script: &str, to: &Path) -> Result<()> {
    let mut guest = Guest::new(kernel, setup.command, to)?;
    let tools = [("xdp-loader", "xdp-tools"), ("bpftool", "bpftool"), ("chrt", "util-linux")];
    for (tool, package) in tools {
        let program =
            find_tool(tool).with_context(|| format!("missing: {package} (apt-get install)"))?;
        guest.copy_program(&program, tool)?;
    }
    guest.copy_installed()?;
    guest.archive.copy_tree(&setup.objects.dir, PLACE)?;
    guest.archive.file(&format!("{PLACE}/packet"), 0o644, &packet())?;
    guest.finish(script)
}

/// What the guest said, part by part.
fn read(kernel: &Kernel, output: &str) -> Result<Measured> {
    let mut release = kernel.release.clone();
    let mut known: BTreeMap<(&str, usize), f64> = BTreeMap::new();
    let mut costs = Costs::new();
    let mut ended = false;
    for part in output.split(MARK).skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        let name = name.trim();
        match name.split(':').collect::<Vec<_>>().as_slice() {
            ["release"] => release = text.trim().into(),
            ["known", when, count] => {
                let ns = nanoseconds(name, text)?;
                let shortest = known.entry((when, count.parse()?)).or_insert(ns);
                *shortest = shortest.min(ns);
            }
            ["run", kind, variant, members] => {
                let kind = Kind::ALL.into_iter().find(|k| k.name() == *kind);
                let variant = [Variant::Libxdp, Variant::Linked, Variant::Fused, Variant::Merged]
                    .into_iter()
                    .find(|v| v.name() == *variant);
                let (Some(kind), Some(variant)) = (kind, variant) else { continue };
                match nanoseconds(name, text) {
                    Ok(ns) => {
                        let shortest = costs.entry((kind, variant, members.parse()?)).or_insert(ns);
                        *shortest = shortest.min(ns);
                    }
                    Err(error) => println!("{}: {error:#}", kernel.series),
                }
            }
            ["end"] => ended = true,
            _ => {}
        }
    }
    if !ended {
        bail!("the guest did not come to its end");
    }
    let per_instruction = |when| {
        let took =
            |count| known.get(&(when, count)).context("a program of known length did not run");
        anyhow::Ok((took(KNOWN[1])? - took(KNOWN[0])?) / (KNOWN[1] - KNOWN[0]) as f64)
    };
    let (before, after) = (per_instruction("before")?, per_instruction("after")?);
    if (after / before - 1.0).abs() > DRIFT {
        bail!(
            "an instruction took {before:.3} ns at the beginning and {after:.3} ns at the end: \
             something else runs in the guest"
        );
    }
    Ok(Measured { series: kernel.series, release, ns_per_instruction: before, costs })
}

/// Time per packet from the JSON of `bpfweld run` or `bpftool prog run`.
fn nanoseconds(name: &str, text: &str) -> Result<f64> {
    let start = text.find('{').with_context(|| format!("{name}: {}", text.trim()))?;
    let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    let json = stream.next().with_context(|| format!("{name}: no JSON"))??;
    let ns = json["ns_per_packet"].as_f64().or_else(|| json["duration"].as_f64());
    let verdict = json["packets"][0]["code"].as_u64().or_else(|| json["retval"].as_u64());
    match (ns, verdict) {
        (Some(ns), Some(2)) => Ok(ns),
        _ => bail!("{name}: {}", text.trim()),
    }
}
