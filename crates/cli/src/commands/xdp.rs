//! `bpfweld xdp`: chains of XDP programs. One module for what changes them, one for what shows them.

use std::sync::Arc;

use bpfweld::Kernel;
use bpfweld::kernel::sys::{Killed, When};
use bpfweld::kernel::{RealSys, Sys};
use bpfweld_chain::{Chain, Chains, Dirs, Plan, enter_net_ns};

use super::apart;
use crate::args::xdp::{XdpArgs, XdpCommand, XdpCommon};
use crate::error::Failure;
use crate::output;
use crate::session::feature;

mod change;
mod show;

/// A test switch: `N` or `N:after` in the environment ends the process at its n-th system call.
const KILL_AT: &str = "BPFWELD_KILL_AT";

/// `bpfweld xdp`.
pub(crate) fn xdp(args: &XdpArgs) -> Result<(), Failure> {
    let common = args.command.common();
    let kernel = kernel()?;
    if let Some(name) = &common.netns {
        enter_net_ns(&kernel, name)?;
    }
    let chains = Chains::new(&kernel, dirs(common))?;
    match &args.command {
        XdpCommand::Load(args) => apart(|| change::load(&chains, &kernel, args)),
        XdpCommand::Unload(args) => apart(|| change::unload(&chains, &kernel, args)),
        XdpCommand::Replace(args) => apart(|| change::replace(&chains, &kernel, args)),
        XdpCommand::Rollback(args) => apart(|| change::rollback(&chains, &kernel, args)),
        XdpCommand::Adopt(args) => apart(|| change::adopt(&chains, &kernel, args)),
        XdpCommand::Apply(args) => apart(|| change::apply(&chains, &kernel, args)),
        XdpCommand::Diff(args) => apart(|| show::diff(&chains, args)),
        XdpCommand::Status(args) => apart(|| show::status(&chains, args)),
        XdpCommand::Stats(args) => apart(|| show::stats(&chains, args)),
        XdpCommand::Features(args) => apart(|| show::features(&chains, args)),
        XdpCommand::Clean(args) => apart(|| show::clean(&chains, args)),
    }
}

fn dirs(common: &XdpCommon) -> Dirs {
    Dirs { state: common.state_dir.clone(), pins: common.pin_dir.clone() }
}

/// The running kernel, behind the test switch if that is thrown.
fn kernel() -> Result<Kernel, Failure> {
    let Some(switch) = std::env::var_os(KILL_AT) else { return Ok(Kernel::new()) };
    let text = switch.to_string_lossy();
    let (number, when) = match text.strip_suffix(":after") {
        Some(number) => (number, When::After),
        None => (&*text, When::Before),
    };
    let at = number.parse().map_err(|_| Failure::usage(format!("{KILL_AT}: no number: {text}")))?;
    let real: Arc<dyn Sys> = Arc::new(RealSys);
    Ok(Kernel::with_sys(Arc::new(Killed::new(real, at, when))))
}

/// Takes features away that the command line says to be missing.
fn without(kernel: &Kernel, names: &[String]) -> Result<(), Failure> {
    for name in names {
        kernel.features().force(feature(name)?, false);
    }
    Ok(())
}

/// What is found on the interfaces of a plan is told.
fn tell_of_all(chains: &Chains<'_>, plan: &Plan) -> Result<(), Failure> {
    let names: Vec<_> = plan.interfaces.iter().map(|i| i.interface.as_str()).collect();
    for chain in chains.open_all(&names)? {
        output::warn(chain.notices());
    }
    Ok(())
}

/// The chain on an interface; what was found there is told.
fn open<'h>(chains: &'h Chains<'_>, interface: &str) -> Result<Chain<'h>, Failure> {
    let chain = chains.open(interface)?;
    output::warn(chain.notices());
    Ok(chain)
}
