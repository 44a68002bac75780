//! `cargo xtask bench`: what a chain costs per packet, linked, fused, written by hand as one program, by
//! libxdp's dispatcher, by tail calls; and how long linking takes.
//!
//! | module | what lives there |
//! |---|---|
//! | [`sources`] | the programs that are measured |
//! | [`guests`] | instructions per packet in virtual machines, where each takes a nanosecond |
//! | [`changes`] | time to add a program to a chain, beside xdp-loader, in virtual machines |
//! | [`native`] | time per packet on the running kernel; time and memory of linking |
//! | [`report`] | tables and plots in `docs/performance.md` |
//!
//! Every part replaces its own tables and leaves the others. A new kind of member goes into
//! [`sources::Kind`].

mod changes;
mod guests;
mod native;
mod report;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::packages::{self, Kernel};
use super::series;
use crate::dist;
use sources::{Kind, Objects};

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these parts [default: all]
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// Only this kernel, of the virtual machines; may be given several times
    #[arg(long = "kernel", value_name = "SERIES", value_parser = series::parse)]
    kernels: Vec<&'static series::Series>,
    /// Numbers of members
    #[arg(long, value_delimiter = ',', default_value = "1,3,10,30,50")]
    members: Vec<usize>,
    /// Rounds over all variants, for what is timed on this machine
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Measure this `bpfweld`, one without shared libraries, instead of building one
    #[arg(long, value_name = "FILE")]
    command: Option<PathBuf>,
    /// Take what the virtual machines said the last time instead of starting them
    #[arg(long)]
    from_logs: bool,
    /// Print only; leave the documentation as it is
    #[arg(long)]
    dry: bool,
}

/// Parts of the benchmark.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// Instructions per packet, in virtual machines
    Instructions,
    /// Time per packet, on the running kernel (root)
    Time,
    /// Time and memory of linking
    Link,
    /// Time of the commands that add programs to a chain, in virtual machines
    Changes,
}

/// libxdp's dispatcher has so many slots.
const LIBXDP_SLOTS: usize = 10;
/// The kernel's limit on tail calls in a row.
const TAIL_CALLS: usize = 33;

/// How a chain is put together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Variant {
    Libxdp,
    TailCalls,
    Linked,
    Fused,
    Merged,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Libxdp => "libxdp",
            Self::TailCalls => "tail calls",
            Self::Linked => "linked",
            Self::Fused => "fused",
            Self::Merged => "by hand",
        }
    }

    /// Can there be a chain of so many?
    fn takes(self, members: usize) -> bool {
        match self {
            Self::Libxdp => members <= LIBXDP_SLOTS,
            Self::TailCalls => members <= TAIL_CALLS,
            _ => true,
        }
    }

    /// Arguments of `bpfweld` that link a chain, but for `run` and what follows; paths are taken through
    /// `path`. `None` for what bpfweld has nothing to do with.
    fn arguments(
        self,
        objects: &Objects,
        kind: Kind,
        members: usize,
        path: &dyn Fn(&Path) -> String,
    ) -> Result<Option<Vec<String>>> {
        let one = |object: PathBuf| vec![path(&object), "--entry".into(), "chain".into()];
        Ok(match self {
            Self::Libxdp => None,
            Self::TailCalls => Some(one(objects.tail_calls(kind, members)?)),
            Self::Merged => Some(one(objects.merged(kind, members)?)),
            Self::Linked | Self::Fused => {
                let mut args = vec![path(&objects.chain(members)?)];
                for i in 0..members {
                    let member = path(&objects.member(kind, i)?);
                    args.extend(["--object".into(), format!("i{i}={member}")]);
                    args.extend(["--bind".into(), format!("m{i}=i{i}")]);
                }
                let when = if self == Self::Fused { "auto" } else { "never" };
                args.extend(["--fuse".into(), when.into()]);
                Some(args)
            }
        })
    }
}

/// What is measured, and how.
struct Setup<'a> {
    /// Where kernels and logs are.
    cache: &'a Path,
    /// The command, without shared libraries.
    command: &'a Path,
    objects: &'a Objects,
    options: &'a Options,
}

impl Setup<'_> {
    /// The kernels that were asked for, or those of these series.
    fn kernels(&self, by_default: impl Fn(&str) -> bool) -> Result<Vec<Kernel>> {
        let wanted: Vec<_> = match self.options.kernels.as_slice() {
            [] => series::ALL.iter().filter(|s| by_default(s.name)).collect(),
            some => some.to_vec(),
        };
        packages::provide(&wanted, self.cache, &super::Options::default())
    }
}

/// The task.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let cache = super::cache_dir(root);
    let objects = Objects::new(root, &cache.join("bench"))?;
    let wanted = |part| options.parts.is_empty() || options.parts.contains(&part);
    let command = match &options.command {
        Some(command) => command.clone(),
        None if options.from_logs && !wanted(Part::Time) => PathBuf::new(),
        None => dist::build(root, &dist::COMMAND, &cache.join("dist"))?,
    };
    let setup = Setup { cache: &cache, command: &command, objects: &objects, options };
    let mut report = report::Report::new(root);
    if wanted(Part::Instructions) {
        let measured = guests::measure(&setup)?;
        report.instructions(&measured)?;
    }
    if wanted(Part::Time) {
        let measured = native::times(&command, &objects, options)?;
        report.times(&measured)?;
    }
    if wanted(Part::Link) {
        let measured = native::linking(root, &objects, options)?;
        report.linking(&measured)?;
    }
    let mut slower = Vec::new();
    if wanted(Part::Changes) {
        let measured = changes::measure(&setup)?;
        report.changes(&measured)?;
        slower = report::slower(&measured);
    }
    report.finish(options.dry)?;
    if !slower.is_empty() {
        bail!("adding the tenth program takes longer than xdp-loader: {}", slower.join(", "));
    }
    Ok(())
}
