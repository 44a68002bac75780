//! `xdp load`, `unload`, `replace`, `rollback`, `adopt`, `apply`.

use std::mem::ManuallyDrop;

use bpfweld::{Kernel, LoadOptions};
use bpfweld_chain::{
    Chain, ChainError, Chains, Change, NewMember, Options, Plan, Select, SharedMap, XdpMode,
};

use super::{tell_of_all, without};
use crate::args::xdp::{
    XdpApplyArgs, XdpChangeArgs, XdpInterfaceArgs, XdpLoadArgs, XdpProgramArgs, XdpReplaceArgs,
    XdpUnloadArgs,
};
use crate::error::Failure;
use crate::output;

/// As libxdp has it: no dispatcher.
const SKIP_DISPATCHER: &str = "LIBXDP_SKIP_DISPATCHER";

pub(super) fn load(
    chains: &Chains<'_>,
    kernel: &Kernel,
    args: &XdpLoadArgs,
) -> Result<(), Failure> {
    without(kernel, &args.change.without)?;
    if args.name.is_some() && args.objects.len() > 1 {
        return Err(Failure::usage("--name is for one program; load the objects one by one"));
    }
    let mut members = Vec::with_capacity(args.objects.len());
    for path in &args.objects {
        let mut member = member(path, &args.program)?;
        if let Some(priority) = args.prio {
            member = member.priority(priority);
        }
        if let Some(actions) = args.actions {
            member = member.goes_on(actions);
        }
        if let Some(name) = &args.name {
            member = member.named(name);
        }
        members.push(member);
    }
    let mut chain = open(chains, &args.interface)?;
    let mut options = options(&args.change, args.common.verbose);
    options.mode = args.mode.into();
    options.counters = args.stats;
    let alone = std::env::var_os(SKIP_DISPATCHER).is_some_and(|v| !v.is_empty() && v != "0");
    let change = match members.as_slice() {
        [only] if alone => chain.load_alone(only, &options)?,
        _ if alone => {
            return Err(Failure::usage(format!("{SKIP_DISPATCHER}: one program only")));
        }
        all => chain.load(all, &options)?,
    };
    tell(&args.interface, &change, args.common.verbose, args.change.dry_run);
    Ok(())
}

pub(super) fn unload(
    chains: &Chains<'_>,
    kernel: &Kernel,
    args: &XdpUnloadArgs,
) -> Result<(), Failure> {
    without(kernel, &args.change.without)?;
    let mut chain = open(chains, &args.interface)?;
    let options = options(&args.change, args.common.verbose);
    let change = match (args.id, &args.name) {
        _ if args.all => chain.unload_all(&options)?,
        (Some(id), _) => chain.unload(&[id], &options)?,
        (_, Some(name)) => chain.unload_named(name, &options)?,
        _ => chain.unload_all(&options)?,
    };
    tell(&args.interface, &change, args.common.verbose, args.change.dry_run);
    Ok(())
}

pub(super) fn replace(
    chains: &Chains<'_>,
    kernel: &Kernel,
    args: &XdpReplaceArgs,
) -> Result<(), Failure> {
    without(kernel, &args.change.without)?;
    let member = member(&args.object, &args.program)?;
    let mut chain = open(chains, &args.interface)?;
    let options = options(&args.change, args.common.verbose);
    let change = chain.replace(&args.name, &member, &options)?;
    tell(&args.interface, &change, args.common.verbose, args.change.dry_run);
    Ok(())
}

pub(super) fn rollback(
    chains: &Chains<'_>,
    kernel: &Kernel,
    args: &XdpInterfaceArgs,
) -> Result<(), Failure> {
    on_interface(chains, kernel, args, |chain, options| chain.rollback(options))
}

pub(super) fn adopt(
    chains: &Chains<'_>,
    kernel: &Kernel,
    args: &XdpInterfaceArgs,
) -> Result<(), Failure> {
    on_interface(chains, kernel, args, |chain, options| chain.adopt(options))
}

fn on_interface(
    chains: &Chains<'_>,
    kernel: &Kernel,
    args: &XdpInterfaceArgs,
    change: impl Fn(&mut Chain<'_>, &Options) -> Result<Change, ChainError>,
) -> Result<(), Failure> {
    without(kernel, &args.change.without)?;
    let mut chain = open(chains, &args.interface)?;
    let change = change(&mut chain, &options(&args.change, args.common.verbose))?;
    tell(&args.interface, &change, args.common.verbose, args.change.dry_run);
    Ok(())
}

pub(super) fn apply(
    chains: &Chains<'_>,
    kernel: &Kernel,
    args: &XdpApplyArgs,
) -> Result<(), Failure> {
    without(kernel, &args.change.without)?;
    let plan = Plan::open(&args.file)?;
    let verbose = args.common.verbose;
    tell_of_all(chains, &plan)?;
    let changes = chains.apply(&plan, &options(&args.change, verbose))?;
    for (interface, change) in &changes {
        tell(interface, change, verbose, args.change.dry_run);
    }
    if changes.is_empty() && verbose > 0 {
        output::note("nothing differs");
    }
    Ok(())
}

/// The chain on an interface, for as long as this process runs, which ends without taking it apart.
fn open<'h>(chains: &'h Chains<'_>, interface: &str) -> Result<ManuallyDrop<Chain<'h>>, Failure> {
    super::open(chains, interface).map(ManuallyDrop::new)
}

fn member(path: &std::path::Path, args: &XdpProgramArgs) -> Result<NewMember, Failure> {
    let select = match (&args.prog_name, &args.section) {
        (Some(name), _) => Select::Program(name.clone()),
        (None, Some(section)) => Select::Section(section.clone()),
        (None, None) => Select::First,
    };
    let mut member = NewMember::open(path, &select)?;
    for (name, value) in &args.set {
        member = member.set(name, value)?;
    }
    for (name, with) in &args.map {
        member = member.share(name, SharedMap::parse(with));
    }
    if let Some(path) = &args.pin_path {
        member = member.pin_path(path);
    }
    Ok(member.dev_bound(args.dev_bound))
}

fn options(args: &XdpChangeArgs, verbose: u8) -> Options {
    // Statistics, which cost little.
    let log_level = if verbose > 1 { 4 } else { 0 };
    Options {
        mode: XdpMode::Unspecified,
        dry_run: args.dry_run,
        fuse: args.fuse.policy(),
        load: LoadOptions { log_level, ..LoadOptions::default() },
        ..Options::default()
    }
}

/// What was done; little unless asked for more, as `xdp-loader` has it.
fn tell(interface: &str, change: &Change, verbose: u8, dry_run: bool) {
    output::warn(&change.warnings);
    if dry_run {
        output::note(&format!("{interface}: verified, nothing changed"));
    } else if verbose > 0 && change.generation == 0 {
        output::note(&format!("{interface}: the chain is gone"));
    } else if verbose > 0 {
        let (generation, program) = (change.generation, change.program);
        output::note(&format!("{interface}: generation {generation}, program id {program}"));
    }
}
