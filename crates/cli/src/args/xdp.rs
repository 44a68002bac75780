//! The commands of `bpfweld xdp`: chains of XDP programs on interfaces. Options, defaults and output are
//! those that users of `xdp-loader` know.

use std::path::{Path, PathBuf};

use super::FuseArg;
use super::deferred::Deferred;
use bpfweld::link::chain_root::Verdicts;
use bpfweld_chain::XdpMode;
use clap::{ArgAction, Args, Subcommand, ValueEnum};

/// `xdp`.
#[derive(Args, Debug)]
#[command(version, propagate_version = true)]
pub(crate) struct XdpArgs {
    #[command(subcommand)]
    pub(crate) command: XdpCommand,
}

/// What to do with the chain on an interface.
#[derive(Subcommand, Debug)]
pub(crate) enum XdpCommand {
    /// Add XDP programs to the chain on an interface
    #[command(after_help = AFTER_LOAD)]
    Load(Deferred<XdpLoadArgs>),
    /// Take XDP programs out of the chain on an interface
    #[command(after_help = AFTER_UNLOAD)]
    Unload(Deferred<XdpUnloadArgs>),
    /// Put another program in the place of one of a chain
    #[command(after_help = AFTER_REPLACE)]
    Replace(Deferred<XdpReplaceArgs>),
    /// Go back to the generation of a chain before the last change
    #[command(after_help = AFTER_ROLLBACK)]
    Rollback(Deferred<XdpInterfaceArgs>),
    /// Take somebody else's program on an interface into a chain, without its object
    #[command(after_help = AFTER_ADOPT)]
    Adopt(Deferred<XdpInterfaceArgs>),
    /// Make chains what a file says, on all its interfaces or on none
    #[command(after_help = AFTER_APPLY)]
    Apply(Deferred<XdpApplyArgs>),
    /// Show how chains differ from what a file says
    #[command(after_help = AFTER_DIFF)]
    Diff(Deferred<XdpDiffArgs>),
    /// Show which XDP programs run on which interface
    #[command(after_help = AFTER_STATUS)]
    Status(Deferred<XdpStatusArgs>),
    /// Show how often each program of a chain returned which verdict
    #[command(after_help = AFTER_STATS)]
    Stats(Deferred<XdpStatsArgs>),
    /// Show what an interface can do with XDP
    #[command(after_help = AFTER_FEATURES)]
    Features(Deferred<XdpFeaturesArgs>),
    /// Remove what is left of chains whose interface is gone
    #[command(after_help = AFTER_CLEAN)]
    Clean(Deferred<XdpCleanArgs>),
}

const AFTER_LOAD: &str = "\
All programs are linked into one, which the kernel verifies and which then takes the place of the one \
that runs, in one step: traffic meets the old chain or the new one. Programs run by rising priority (ties: \
by name, then in the order of loading). What a program's object says of its priority and verdicts in \
.xdp_run_config holds where no option says otherwise.

Somebody else's XDP program on the interface is left alone: the command fails and names it. \
LIBXDP_SKIP_DISPATCHER=1 in the environment loads one program by itself, without a chain.

Examples:
  bpfweld xdp load eth0 filter.o count.o
  bpfweld xdp load eth0 -n xdp_filter -P 10 -A XDP_PASS,XDP_TX --name front filter.o
  bpfweld xdp load eth0 limit.o --set rate=1000 --map flows=/sys/fs/bpf/flows";

const AFTER_UNLOAD: &str = "\
The rest of the chain takes the place of the chain in one step. With the last program the chain goes, its \
pins and its state too.

Examples:
  bpfweld xdp unload eth0 -i 3
  bpfweld xdp unload eth0 --name front
  bpfweld xdp unload eth0 -a";

const AFTER_REPLACE: &str = "\
Name, priority and verdicts stay. Maps that both objects define, of one name and one shape, keep their \
contents; global variables start anew.

Example:
  bpfweld xdp replace eth0 front filter-v2.o";

const AFTER_ROLLBACK: &str = "\
Its programs keep the maps that they had. A second rollback undoes the first.

Example:
  bpfweld xdp rollback eth0";

const AFTER_ADOPT: &str = "\
The chain tail-calls the program through a prog array and goes on with its verdict (priority 50, \
XDP_PASS). It stays the very program, with its maps; libxdp's dispatcher comes as a whole. Needs Linux 5.10.

Example:
  bpfweld xdp adopt eth0 && bpfweld xdp load eth0 count.o";

const AFTER_APPLY: &str = "\
Every new chain is built and verified before the first is put on its interface; where one cannot be, those \
before it are taken back. Where nothing differs, nothing is done. Programs that stay keep their maps.

The file (TOML):
  [[interface]]
  name = \"eth0\"                      # mode = native|skb|hw|unspecified, stats = true|false
  [[interface.program]]
  object = \"filter.o\"                # from the file's directory; program = or section = as well
  name = \"front\"                     # priority = 10, actions = [\"XDP_PASS\"], pin_path = \"DIR\"
  set = { rate = 1000 }
  map = { flows = \"/sys/fs/bpf/flows\" }

Examples:
  bpfweld xdp apply /etc/bpfweld/xdp.toml --dry-run
  bpfweld xdp apply /etc/bpfweld/xdp.toml";

const AFTER_DIFF: &str = "\
Exit status 0 when nothing differs, 1 when something does.

Example:
  bpfweld xdp diff /etc/bpfweld/xdp.toml";

const AFTER_STATUS: &str = "\
Lines that begin with => are the programs of a chain, with their ids in it (for unload -i). Of libxdp's \
dispatcher they are the programs in it.

JSON: [{\"interface\", \"index\", \"mode\", \"program\": null|{id, name, tag}, \"ours\", \"generation\", \
\"programs\": [{id, name, program, path, priority, actions, tag, maps, set, dev_bound}], \"components\": […]}]

Examples:
  bpfweld xdp status
  bpfweld xdp status eth0 --json";

const AFTER_STATS: &str = "\
The chain has to be loaded with --stats: its root then counts the verdicts of each program, on each CPU \
for itself. A program's counters live as long as it is in the chain, whatever comes and goes around it.

JSON: {\"interface\", \"programs\": [{id, name, aborted, drop, pass, tx, redirect, unknown}]}

Examples:
  bpfweld xdp stats eth0 --watch 1
  bpfweld xdp stats eth0 --prometheus > /var/lib/node_exporter/xdp.prom";

const AFTER_FEATURES: &str = "\
The kernel tells from Linux 6.3 on.

Example:
  bpfweld xdp features eth0";

const AFTER_CLEAN: &str = "\
Chains that run are left alone.

Example:
  bpfweld xdp clean";

/// Where state is, in which namespace, how much to say: of all `xdp` commands.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "General")]
pub(crate) struct XdpCommon {
    /// Work in this network namespace: a name of `ip netns`, or a path
    #[arg(long, value_name = "NS")]
    pub(crate) netns: Option<String>,
    /// Keep state in this directory
    #[arg(long, value_name = "DIR", env = "BPFWELD_STATE_DIR", default_value = "/run/bpfweld")]
    pub(crate) state_dir: PathBuf,
    /// Keep links and maps in this directory on a BPF file system
    #[arg(
        long,
        value_name = "DIR",
        env = "BPFWELD_PIN_DIR",
        default_value = "/sys/fs/bpf/bpfweld"
    )]
    pub(crate) pin_dir: PathBuf,
    /// Say more; twice: still more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How a change is built.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Change")]
pub(crate) struct XdpChangeArgs {
    /// Have the kernel verify the new chain, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make the programs part of one function instead of calling them
    ///
    /// A call costs more than many a program. What the kernel does not take so stays a call.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = FuseArg::Auto)]
    pub(crate) fuse: FuseArg,
    /// Treat a feature of the kernel as missing (names: `bpfweld features`)
    ///
    /// `bpf-link` attaches over netlink instead. May be given several times.
    #[arg(long, value_name = "FEATURE")]
    pub(crate) without: Vec<String>,
}

/// What a new program is and has.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Program")]
pub(crate) struct XdpProgramArgs {
    /// Take the first program in this ELF section (default: the first in the file)
    #[arg(short, long, value_name = "SECTION", conflicts_with = "prog_name")]
    pub(crate) section: Option<String>,
    /// Take the program of this name (default: the first in the file)
    #[arg(short = 'n', long, value_name = "PROG")]
    pub(crate) prog_name: Option<String>,
    /// Set a global variable before loading, typed by BTF
    ///
    /// Numbers, true and false, enumerators, strings, [a, b, …]. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Use a map that exists as map NAME: a pin, or MAP of another program of the chain
    ///
    /// May be given several times.
    #[arg(long, value_name = "NAME=PATH|PROG:MAP", value_parser = pair)]
    pub(crate) map: Vec<(String, String)>,
    /// Bind the program to the interface, so that it may ask the driver about packets
    ///
    /// BPF_F_XDP_DEV_BOUND_ONLY, Linux 6.3; what `bpftool prog load` calls xdpmeta_dev. All programs of a
    /// chain are bound, or none.
    #[arg(long)]
    pub(crate) dev_bound: bool,
    /// Pin maps that ask for it by name under this directory (default: /sys/fs/bpf)
    #[arg(short, long, value_name = "PIN_PATH")]
    pub(crate) pin_path: Option<PathBuf>,
}

/// `xdp load`.
#[derive(Args, Debug)]
pub(crate) struct XdpLoadArgs {
    /// The interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: String,
    /// The object files, a program of each
    #[arg(value_name = "OBJECT", required = true, num_args = 1..)]
    pub(crate) objects: Vec<PathBuf>,
    /// Where to run
    #[arg(short, long, value_enum, default_value_t = ModeArg::Native)]
    pub(crate) mode: ModeArg,
    /// Run by rising priority (default: what the object says, else 50)
    #[arg(short = 'P', long, value_name = "PRIO")]
    pub(crate) prio: Option<u32>,
    /// Verdicts after which the chain goes on (default: what the object says, else XDP_PASS)
    ///
    /// Of XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX and XDP_REDIRECT, with commas between them.
    #[arg(short = 'A', long, value_name = "ACTIONS", value_parser = actions)]
    pub(crate) actions: Option<Verdicts>,
    /// What the chain is to call the program (default: its function's name)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Count the verdicts of each program from now on
    #[arg(long)]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) program: XdpProgramArgs,
    #[command(flatten)]
    pub(crate) change: XdpChangeArgs,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp unload`.
#[derive(Args, Debug)]
#[command(group(
    clap::ArgGroup::new("which").required(true).multiple(true).args(["id", "name", "all"])
))]
pub(crate) struct XdpUnloadArgs {
    /// The interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: String,
    /// The program of this id in `xdp status`
    #[arg(short, long)]
    pub(crate) id: Option<u32>,
    /// The program of this name
    #[arg(long, conflicts_with = "id")]
    pub(crate) name: Option<String>,
    /// All programs, whatever else is said
    #[arg(short, long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) change: XdpChangeArgs,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp replace`.
#[derive(Args, Debug)]
pub(crate) struct XdpReplaceArgs {
    /// The interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: String,
    /// What the chain calls the program that goes
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The object file of the one that comes
    #[arg(value_name = "OBJECT")]
    pub(crate) object: PathBuf,
    #[command(flatten)]
    pub(crate) program: XdpProgramArgs,
    #[command(flatten)]
    pub(crate) change: XdpChangeArgs,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp rollback`, `xdp adopt`: a change of which nothing more has to be said.
#[derive(Args, Debug)]
pub(crate) struct XdpInterfaceArgs {
    /// The interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: String,
    #[command(flatten)]
    pub(crate) change: XdpChangeArgs,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp apply`.
#[derive(Args, Debug)]
pub(crate) struct XdpApplyArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) change: XdpChangeArgs,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp diff`.
#[derive(Args, Debug)]
pub(crate) struct XdpDiffArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp status`.
#[derive(Args, Debug)]
pub(crate) struct XdpStatusArgs {
    /// The interface (default: all)
    #[arg(value_name = "IFACE")]
    pub(crate) interface: Option<String>,
    /// Print JSON on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp stats`.
#[derive(Args, Debug)]
pub(crate) struct XdpStatsArgs {
    /// The interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: String,
    /// Print again every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) watch: Option<u64>,
    /// Print JSON on standard output, and nothing else there
    #[arg(long, conflicts_with = "prometheus")]
    pub(crate) json: bool,
    /// Print in the text format of Prometheus
    #[arg(long)]
    pub(crate) prometheus: bool,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp features`.
#[derive(Args, Debug)]
pub(crate) struct XdpFeaturesArgs {
    /// The interface
    #[arg(value_name = "IFACE")]
    pub(crate) interface: String,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// `xdp clean`.
#[derive(Args, Debug)]
pub(crate) struct XdpCleanArgs {
    /// Only of the interface that was called so (default: of all)
    #[arg(value_name = "IFACE")]
    pub(crate) interface: Option<String>,
    #[command(flatten)]
    pub(crate) common: XdpCommon,
}

/// Where a chain runs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ModeArg {
    /// In the driver
    Native,
    /// In the stack, on any interface
    Skb,
    /// In the card
    Hw,
    /// In the driver where it can, else in the stack
    Unspecified,
}

impl From<ModeArg> for XdpMode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Native => Self::Native,
            ModeArg::Skb => Self::Skb,
            ModeArg::Hw => Self::Hw,
            ModeArg::Unspecified => Self::Unspecified,
        }
    }
}

impl XdpCommand {
    /// What all of them have.
    pub(crate) fn common(&self) -> &XdpCommon {
        match self {
            Self::Load(args) => &args.common,
            Self::Unload(args) => &args.common,
            Self::Replace(args) => &args.common,
            Self::Rollback(args) | Self::Adopt(args) => &args.common,
            Self::Apply(args) => &args.common,
            Self::Diff(args) => &args.common,
            Self::Status(args) => &args.common,
            Self::Stats(args) => &args.common,
            Self::Features(args) => &args.common,
            Self::Clean(args) => &args.common,
        }
    }
}

impl XdpCommand {
    /// Was `--json` given?
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Status(args) => args.json,
            Self::Stats(args) => args.json,
            _ => false,
        }
    }

    /// Paths of the objects that it is about.
    pub(crate) fn object_paths(&self) -> Vec<&Path> {
        match self {
            Self::Load(args) => args.objects.iter().map(PathBuf::as_path).collect(),
            Self::Replace(args) => vec![&args.object],
            _ => Vec::new(),
        }
    }
}

fn actions(text: &str) -> Result<Verdicts, String> {
    let mut verdicts = Verdicts::NONE;
    for name in text.split(',') {
        let number = Verdicts::number(name).ok_or_else(|| {
            format!("`{name}` is none of XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT")
        })?;
        verdicts = verdicts.with(number);
    }
    Ok(verdicts)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it has to be NAME=…".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_verdicts() {
        assert_eq!(actions("XDP_PASS,XDP_TX").unwrap().bits(), 0b1100);
        assert_eq!(actions("drop").unwrap().bits(), 0b10);
        assert!(actions("XDP_PASS,").is_err() && actions("XDP_NONE").is_err());
    }

    #[test]
    fn pairs_have_a_name() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(pair("=b").is_err() && pair("ab").is_err());
    }
}
