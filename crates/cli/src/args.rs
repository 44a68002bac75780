//! The command line's one definition: `--help`, man pages and completions all come from here.

use std::path::{Path, PathBuf};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgMatches, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::binding::parse_label;
use deferred::Deferred;
use static_link::StaticLinkArgs;

pub(crate) mod deferred;
pub(crate) mod static_link;
pub(crate) mod xdp;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_MAIN: &str = "\
Words:
  OBJECT    A compiled BPF object (`clang -target bpf -g -O2 -c x.c`): a path, or a label that
            --object gave to one. The first OBJECT is the root.
  INSTANCE  One use of an object in a link, with maps and data of its own: a path or a label. One
            path under two labels is two instances.
  extern    A function that an object declares `extern`, calls, and does not define.
  B         [INSTANCE:]EXTERN=INSTANCE[:FUNCTION], which function stands behind which extern. The
            left INSTANCE defaults to the root; FUNCTION to the object's only entry program, else to
            the function of the extern's own name.

Exit status:
  0  done
  1  the job failed: an object is broken, the link is refused, the kernel refuses a program, …
  2  the command line is wrong

Where a command fails, standard error says `error[CODE]: …`, and `bpfweld explain CODE` more. With --json, \
standard output then has {\"error\": {\"code\", \"message\", \"text\", \"hints\", \"places\"}}.

Example: what would the dispatcher, with these two programs behind it, do to these packets?
  bpfweld run dispatcher.o --bind prog1=filter.o --bind prog2=count.o:xdp_count --pcap web.pcap

`bpfweld COMMAND --help` tells more about each command.";

/// Link BPF programs at load time: call a function of another object.
///
/// BPF programs call functions inside one object file. bpfweld resolves their `extern` functions to
/// functions of other object files, entry programs included, by an explicit mapping: it checks the
/// types, copies the code, relocates it, merges the BTF, and hands one ordinary program to the
/// kernel.
#[derive(Parser, Debug)]
#[command(
    name = "bpfweld",
    version,
    styles = STYLES,
    after_help = AFTER_MAIN,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show what an object holds and what it wants
    #[command(after_help = AFTER_INSPECT)]
    Inspect(Deferred<InspectArgs>),
    /// Link, load and verify every entry program; attach nothing, leave nothing
    #[command(after_help = AFTER_CHECK)]
    Check(Deferred<CheckArgs>),
    /// Link, load and run a program over packets; attach nothing, leave nothing
    #[command(after_help = AFTER_RUN)]
    Run(Deferred<RunArgs>),
    /// Link, load and pin programs and maps
    #[command(after_help = AFTER_LOAD)]
    Load(Deferred<LoadArgs>),
    /// Link objects into one object file, for bpfweld, libbpf and other loaders
    #[command(after_help = static_link::AFTER)]
    Link(Deferred<StaticLinkArgs>),
    /// Show the linked and fused code with function names, source lines and map names
    #[command(after_help = AFTER_DISASM)]
    Disasm(Deferred<DisasmArgs>),
    /// Run many XDP programs on one interface, as one program
    #[command(after_help = AFTER_XDP, disable_help_subcommand = true)]
    Xdp(Deferred<xdp::XdpArgs>),
    /// Draw objects, functions, calls, bindings and maps
    #[command(after_help = AFTER_GRAPH)]
    Graph(Deferred<GraphArgs>),
    /// Show what the running kernel can do
    #[command(after_help = AFTER_FEATURES)]
    Features(Deferred<FeaturesArgs>),
    /// Explain an error by its code
    #[command(after_help = AFTER_EXPLAIN)]
    Explain(Deferred<ExplainArgs>),
    /// Print a completion script for a shell
    #[command(after_help = AFTER_COMPLETIONS)]
    Completions(Deferred<CompletionsArgs>),
    /// Print the manual page, or write one page a command
    #[command(after_help = AFTER_MAN)]
    Man(Deferred<ManArgs>),
}

impl Command {
    /// Was `--verbose` given?
    pub(crate) fn verbose(&self) -> bool {
        match self {
            Self::Xdp(args) => args.command.common().verbose > 0,
            _ => self.output().is_some_and(|output| output.verbose),
        }
    }

    /// Was `--json` given?
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Xdp(args) => args.command.json(),
            _ => self.output().is_some_and(|output| output.json),
        }
    }

    fn output(&self) -> Option<&OutputArgs> {
        Some(match self {
            Self::Inspect(args) => &args.output,
            Self::Check(args) => &args.output,
            Self::Run(args) => &args.output,
            Self::Load(args) => &args.output,
            Self::Link(args) => &args.output,
            Self::Disasm(args) => &args.output,
            Self::Features(args) => &args.output,
            Self::Xdp(_) | Self::Explain(_) | Self::Graph(_) => return None,
            Self::Completions(_) | Self::Man(_) => return None,
        })
    }

    /// Paths of the objects that it is about.
    pub(crate) fn object_paths(&self) -> Vec<&Path> {
        match self {
            Self::Inspect(args) => vec![&args.object],
            Self::Check(args) => args.link.object_paths(),
            Self::Run(args) => args.link.object_paths(),
            Self::Load(args) => args.link.object_paths(),
            Self::Disasm(args) => args.link.object_paths(),
            Self::Link(args) => args.objects.iter().map(PathBuf::as_path).collect(),
            Self::Xdp(args) => args.command.object_paths(),
            _ => Vec::new(),
        }
    }
}

const AFTER_INSPECT: &str = "\
Reads the file and nothing else: no privilege is needed, and a big-endian object or one for another \
kernel will do.

JSON: {\"name\", \"license\", \"endian\", \"btf\", \"programs\": [{name, section, type, insns, …}], \
\"functions\": [{name, linkage, section, insns}], \"externs\": [{name, kind, weak, type}], \
\"maps\": [{name, type, key_size, value_size, max_entries, …}], \"data\": […], \"notes\": […]}

Examples:
  bpfweld inspect filter.o
  bpfweld inspect filter.o --json | jq -r '.externs[] | .type'";

const AFTER_CHECK: &str = "\
Checks every entry program of the root, each for itself, or the one that --entry names. Exit status 1 \
when any of them does not link or load. What stands in the way of all (a broken object, a binding \
that names nothing or differs in type) is told on standard error alone.

JSON: {\"programs\": [{\"name\", \"section\", \"type\", \"loaded\": true|false, \"error\": null|string, \
\"code\": null|string, \"insns\", \"functions\": [{name, instance, insns, global}], \"fused\": [string], \
\"calls\": [{function, why}]}], \"warnings\": […]}

Needs CAP_BPF and, for XDP and TC programs, CAP_NET_ADMIN.

Examples:
  bpfweld check dispatcher.o --bind prog1=filter.o --bind prog2=count.o
  bpfweld check filter.o --log-level 2 -v        the verifier's whole log";

const AFTER_RUN: &str = "\
Packets of all --pcap and --packet options run in the order given, on one load: map state carries \
over from packet to packet. One that the kernel cannot take (shorter than an Ethernet header) is \
reported as such and the rest go on.

A capture that ends in the middle of a packet runs up to there, with a warning.

JSON: {\"engine\": \"kernel\"|\"engine\", \"engine_reason\"?, \"packets\": [{\"index\", \"verdict\", \"code\", \
\"length\", \"fault\"?, \"trace\"?} or {\"index\", \"length\", \"error\"}], \"programs\": [{\"function\", \
\"instance\", \"verdicts\": {VERDICT: packets}}], \"maps\"?: [{\"name\", \"instance\", \"type\", \"variables\": {…} \
or \"entries\": [{\"key\", \"value\" or (per CPU) \"values\"}]}], \"ns_per_packet\", \"warnings\"} \
\"trace\": {\"steps\": [{\"call\": {function, instance, verdict?, value?, length?, steps?}} or {\"change\": \
{length, metadata?, front?, back?, bytes?}} or {\"redirect\": {helper, interface or map and key, …}}]}

The kernel needs CAP_BPF and, for XDP and TC programs, CAP_NET_ADMIN; the engine needs nothing.

Examples:
  bpfweld run filter.o --pcap web.pcap
  bpfweld run dispatcher.o --bind prog1=filter.o --bind prog2=count.o:xdp_count --pcap web.pcap
  bpfweld run chain.o --object a=count.o --object b=count.o \\
      --bind first=a --bind second=b --packet syn.bin --repeat 100000
  tcpdump -w - -c 100 | bpfweld run filter.o --pcap -";

const AFTER_LOAD: &str = "\
DIR must be on a BPF file system (mount -t bpf bpf /sys/fs/bpf), and must not exist or be empty. Programs \
are pinned as DIR/PROGRAM, maps as DIR/maps/INSTANCE/MAP. When any pin fails, none stays.

Tables of functions that the kernel calls (struct_ops) are put to use. One of a section `.struct_ops.link` \
is in use as long as its link, pinned as DIR/TABLE_link; one of `.struct_ops` until somebody ends it \
(bpftool struct_ops unregister name TABLE).

JSON: {\"pins\": [{\"path\", \"kind\": \"program\"|\"map\"|\"link\", \"name\", \"instance\"}], \
\"warnings\": […]}

Needs CAP_BPF and, for XDP and TC programs, CAP_NET_ADMIN; and the right to write to DIR.

Examples:
  bpfweld load dispatcher.o --bind prog1=filter.o --bind prog2=count.o --pin /sys/fs/bpf/chain
  ip link set dev eth1 xdp pinned /sys/fs/bpf/chain/dispatcher";

const AFTER_XDP: &str = "\
A chain is one ordinary XDP program, linked from as many objects as wanted. Commands, options and defaults \
are those of xdp-loader, whose scripts work with `bpfweld xdp` in its place.

Exit status: 0 done, 1 it failed and the interface runs what it ran before, 2 the command line is wrong.

`bpfweld xdp COMMAND --help` tells more about each command.

Example:
  bpfweld xdp load eth0 filter.o count.o
  bpfweld xdp status eth0";

const AFTER_DISASM: &str = "\
Links and fuses as `load` does, and loads nothing: no privilege is needed, unless an object wants the \
running kernel's types. What the kernel would refuse fused is shown fused.

JSON: {\"programs\": [{\"name\", \"form\": \"linked\"|\"fused\", \"functions\": [{name, instance, start, insns}], \
\"insns\": [{\"index\", \"text\", \"function\", \"instance\", \"file\"?, \"line\"?, \"source\"?}], \
\"calls\": [{function, why}]}], \"warnings\": […]}

Examples:
  bpfweld disasm dispatcher.o --bind prog1=filter.o --bind prog2=count.o
  bpfweld disasm dispatcher.o --bind prog1=filter.o --bind prog2=count.o --both";

const AFTER_GRAPH: &str = "\
Draws what the root's entry programs reach, or the one that --entry names. An extern that nothing stands \
behind is drawn in red, with a warning; it is no failure. Needs no privilege and no kernel.

Examples:
  bpfweld graph dispatcher.o --bind prog1=filter.o --bind prog2=count.o -o chain.svg
  bpfweld graph dispatcher.o --format mermaid
  bpfweld graph dispatcher.o --format dot | dot -Tpdf > chain.pdf";

const AFTER_FEATURES: &str = "\
Each feature is probed by trying it, never told from the kernel's version. Without the privilege to \
try, the command fails and names the capability.

JSON: {\"kernel\": release, \"features\": [{\"name\", \"supported\": true|false, \"description\"}]}

Example:
  bpfweld features --json | jq -r '.features[] | select(.supported | not) | .name'";

const AFTER_EXPLAIN: &str = "\
Prints the section of docs/errors.md that belongs to a code: what the error means, an example, and what \
to do. Codes stand behind `error` where a command fails, and in the output of --json.

Example:
  bpfweld explain E0201";

const AFTER_COMPLETIONS: &str = "\
Examples:
  bpfweld completions bash > /etc/bash_completion.d/bpfweld
  bpfweld completions zsh  > /usr/share/zsh/site-functions/_bpfweld
  bpfweld completions fish > ~/.config/fish/completions/bpfweld.fish";

const AFTER_MAN: &str = "\
Examples:
  bpfweld man | man -l -
  bpfweld man /usr/local/share/man/man1";

/// `inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The object file to read
    #[arg(value_name = "OBJECT")]
    pub(crate) object: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `run`.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("packets").required(true).multiple(true).args(["pcap", "packet"])))]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// Run over every packet of a capture
    ///
    /// A pcap or pcapng file of either byte order whose link type is Ethernet; `-` reads standard
    /// input. May be given several times and mixed with --packet; the order counts.
    #[arg(long, value_name = "FILE", help_heading = "Packets")]
    pub(crate) pcap: Vec<PathBuf>,
    /// Run over one packet: the file's bytes are the frame, Ethernet header first
    ///
    /// `-` reads standard input. May be given several times and mixed with --pcap; the order counts.
    #[arg(long, value_name = "FILE", help_heading = "Packets")]
    pub(crate) packet: Vec<PathBuf>,
    /// Run every packet N times and take the time of one
    ///
    /// Map state sees every one of the N runs.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Packets"
    )]
    pub(crate) repeat: u32,
    /// What runs the program: the kernel, the engine in this process, or the kernel where permitted
    ///
    /// The engine needs no privilege. It has no verifier: a program that does something wrong ends
    /// with a fault, and its packet counts as XDP_ABORTED (TC_ACT_SHOT, 0).
    #[arg(long, value_enum, default_value_t = EngineArg::Auto, help_heading = "Packets")]
    pub(crate) engine: EngineArg,
    /// Answer bpf_fib_lookup from a table of routes, in the engine
    ///
    /// A text file, a route a line: `192.0.2.0/24 dev 3 via 198.51.100.1 mtu 1500 from MAC to MAC`; all
    /// behind the index of the interface may be left out. Without a table nothing is forwarded. The
    /// kernel has routes of its own.
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    pub(crate) routes: Option<PathBuf>,
    /// Let bpf_get_prandom_u32 give the same numbers in every run of the engine
    #[arg(long, value_name = "N", help_heading = "Engine")]
    pub(crate) seed: Option<u64>,
    /// How many CPUs there are for the engine's maps with values per CPU
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1024),
        help_heading = "Engine"
    )]
    pub(crate) cpus: u32,
    /// Show the way of each packet through the linked program
    ///
    /// Which function of which object was entered, what it returned, what it changed in the packet,
    /// which redirect it asked for. The kernel runs a copy of the program, with no call fused, that tells
    /// all this; so the times are those of the copy. What happened between two functions that have the context is told
    /// of the one that was running. Of a packet, the first 2048 bytes are compared.
    #[arg(long, conflicts_with = "repeat", help_heading = "Explain")]
    pub(crate) trace: bool,
    /// Show what the maps hold after the last packet, by their types
    ///
    /// Entries of arrays that are all zeros are left out.
    #[arg(long, help_heading = "Explain")]
    pub(crate) maps: bool,
    /// Write packets as they left the program to DIR/VERDICT.pcap, one capture per verdict
    ///
    /// With the times of the captures that they are from. DIR is made if it is not there.
    #[arg(long, value_name = "DIR", help_heading = "Explain")]
    pub(crate) pcap_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `--engine`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum EngineArg {
    /// The kernel where permitted, else the engine; says which if it is the engine
    Auto,
    /// The running kernel
    Kernel,
    /// The engine in this process
    Engine,
}

/// `load`.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// The directory to pin programs and maps in
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) pin: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `disasm`.
#[derive(Args, Debug)]
pub(crate) struct DisasmArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// Show each program twice: as it is linked, then fused
    #[arg(long, help_heading = "Output")]
    pub(crate) both: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `graph`.
#[derive(Args, Debug)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// The language of the drawing; without it, what the ending of -o says, else svg
    #[arg(long, value_enum, help_heading = "Output")]
    pub(crate) format: Option<GraphFormat>,
    /// Write the drawing into this file instead of to standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,
}

impl GraphArgs {
    /// The language of the drawing.
    pub(crate) fn format(&self) -> GraphFormat {
        let ending = self.output.as_deref().and_then(|path| path.extension()?.to_str());
        self.format.unwrap_or(match ending {
            Some("dot" | "gv") => GraphFormat::Dot,
            Some("mmd" | "mermaid") => GraphFormat::Mermaid,
            _ => GraphFormat::Svg,
        })
    }
}

/// `--format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum GraphFormat {
    /// A picture for browsers and documents
    Svg,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
}

/// `features`.
#[derive(Args, Debug)]
pub(crate) struct FeaturesArgs {
    /// Treat a feature as missing, and with it all that rests on it
    #[arg(long, value_name = "FEATURE", help_heading = "Kernel")]
    pub(crate) without: Vec<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The code, as in `error[E0201]`; without it, all codes are listed
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

/// `completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// `man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Write bpfweld.1, bpfweld-inspect.1, … into this directory instead
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// How to print.
#[derive(Args, Debug, Clone, Copy)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print JSON on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
    /// Say more: every packet, every map, whole verifier logs
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// What goes into a link and into a load; shared by `check`, `run`, `load` and `disasm`.
#[derive(Args, Debug)]
pub(crate) struct LinkArgs {
    /// The objects to link, the root first
    ///
    /// Each is a path or a label of --object. What only a --bind names need not be listed. An extern
    /// that no --bind names resolves by name among the global and weak functions of all objects.
    #[arg(value_name = "OBJECT", required = true, num_args = 1..)]
    pub(crate) objects: Vec<PathBuf>,
    /// Name an instance of an object file
    ///
    /// One path under two labels is two instances, each with its own maps and data.
    #[arg(long = "object", value_name = "LABEL=PATH", value_parser = parse_label, help_heading = "Link")]
    pub(crate) labels: Vec<(String, String)>,
    // As attributes: rustdoc would take the brackets for links.
    #[arg(
        long,
        value_name = "B",
        help = "Bind an extern to a function: [INSTANCE:]EXTERN=INSTANCE[:FUNCTION]",
        long_help = "Bind an extern to a function: [INSTANCE:]EXTERN=INSTANCE[:FUNCTION]\n\n\
                     INSTANCE is a path or a label; the left one defaults to the root. FUNCTION \
                     defaults to the object's only entry program, else to the function of the \
                     extern's own name. A path may hold `=` and `:`; what names a label, a listed \
                     object or an existing file is preferred.",
        help_heading = "Link"
    )]
    pub(crate) bind: Vec<String>,
    /// The root's entry program to take, by its function's name
    ///
    /// `run` needs it where the root has several; `check` and `load` take all without it.
    #[arg(long, value_name = "PROG", help_heading = "Link")]
    pub(crate) entry: Option<String>,
    /// Link every function as a static one
    ///
    /// Static functions are verified along every path that calls them, and need no BTF; global ones
    /// once, alone. Without the option, functions go in as global ones where kernel and BTF allow.
    #[arg(long, help_heading = "Link")]
    pub(crate) static_functions: bool,
    /// Replace calls by the code that they call
    ///
    /// A fused chain costs what one program costs. What the kernel does not take fused stays a call,
    /// with a warning.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = FuseArg::Auto, help_heading = "Link")]
    pub(crate) fuse: FuseArg,
    /// Take kernel configuration values (CONFIG_…) from this file
    ///
    /// In the format of /proc/config.gz or /boot/config-*, compressed or not. Without the option the
    /// running kernel's own configuration is looked for.
    #[arg(long, value_name = "FILE", help_heading = "Kernel")]
    pub(crate) kconfig: Option<PathBuf>,
    /// Take the kernel's types from this file instead of /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "FILE", help_heading = "Kernel")]
    pub(crate) kernel_btf: Option<PathBuf>,
    /// Share maps that ask to be pinned by name with others, in this directory on a BPF file system
    ///
    /// One that is pinned there already is used, if it is as the object defines it; one that is not is
    /// made and pinned. Without the option such maps are not shared.
    #[arg(long, value_name = "DIR", help_heading = "Maps")]
    pub(crate) pin_root: Option<PathBuf>,
    // As attributes: rustdoc would take the brackets for links.
    #[arg(
        long = "map",
        value_name = "M",
        help = "Change a map: [INSTANCE:]MAP=entries:N, =value-size:N, =reuse:PIN, =off or =on",
        long_help = "Change a map: [INSTANCE:]MAP=entries:N, =value-size:N, =reuse:PIN, =off or =on\n\n\
                     `entries` sets the number of its entries, `value-size` the bytes of a value; of \
                     variables (MAP is their section: .data, .rodata, …) those of the section, which \
                     can only grow: a last variable that is an array gets the room. `reuse` takes the \
                     map that is pinned at PIN instead of making one; it must be as the object defines \
                     it. `off` makes no map: a program that comes to use it is refused. `on` makes a \
                     table of a section `?.struct_ops`, which is not made otherwise. Without INSTANCE, \
                     maps of that name of all instances are meant. May be given several times.",
        help_heading = "Maps"
    )]
    pub(crate) map_changes: Vec<String>,
    // As attributes: rustdoc would take the brackets for links.
    #[arg(
        long = "program",
        value_name = "P",
        help = "Load an entry program or do not: [INSTANCE:]PROG=on or =off",
        long_help = "Load an entry program or do not: [INSTANCE:]PROG=on or =off\n\n\
                     Where no --entry says which, `check` and `load` take all of the root, but for those \
                     of sections whose names begin with `?`. What is off stays out of prog arrays and \
                     struct_ops tables too. May be given several times.",
        help_heading = "Link"
    )]
    pub(crate) programs: Vec<String>,
    // As attributes: rustdoc would take the brackets for links.
    #[arg(
        long = "attach-target",
        value_name = "T",
        help = "What a program attaches to: [INSTANCE:]PROG=id:ID[:FUNCTION], =pin:PIN[:FUNCTION] or =kernel:NAME",
        long_help = "What a program attaches to: [INSTANCE:]PROG=id:ID[:FUNCTION], =pin:PIN[:FUNCTION] or =kernel:NAME\n\n\
                     A program of a section `freplace` replaces a function of another program, which only \
                     this option names: by its id, or by where it is pinned. One of `fentry` or `fexit` \
                     may watch such a function. Without FUNCTION, the one that the section names behind \
                     the `/` is meant, else the program itself. `kernel` stands for what is behind the \
                     `/`. May be given several times.",
        help_heading = "Kernel"
    )]
    pub(crate) targets: Vec<String>,
    /// Ask for the verifier's log: 1 states at branches, 2 every instruction, +4 statistics
    ///
    /// The log goes to standard error. Without the option, a log is made only when a program is
    /// refused.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=7),
        help_heading = "Kernel"
    )]
    pub(crate) log_level: u32,
    /// Treat a feature of the kernel as missing (names: `bpfweld features`)
    ///
    /// Shows how objects load where the feature is not there. May be given several times.
    #[arg(long, value_name = "FEATURE", help_heading = "Kernel")]
    pub(crate) without: Vec<String>,
}

impl LinkArgs {
    /// Paths of objects that the command line lists, labels or binds to.
    pub(crate) fn object_paths(&self) -> Vec<&Path> {
        let labelled = self.labels.iter().map(|(_, path)| Path::new(path));
        // Up to the function's name, if one is there: `x=dir/a.o:f`.
        let bound = self.bind.iter().filter_map(|text| {
            let target = text.split_once('=')?.1;
            Some(Path::new(target.rsplit_once(':').map_or(target, |(path, _)| path)))
        });
        self.objects.iter().map(PathBuf::as_path).chain(labelled).chain(bound).collect()
    }
}

/// `--fuse`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum FuseArg {
    /// Calls from one object to another, but for long functions called from several places
    Auto,
    /// Every call that can be
    Always,
    /// No call
    Never,
}

impl FuseArg {
    /// As the library says it.
    pub(crate) fn policy(self) -> bpfweld::link::fuse::Policy {
        use bpfweld::link::fuse::Policy;
        match self {
            Self::Auto => Policy::Auto,
            Self::Always => Policy::Always,
            Self::Never => Policy::Never,
        }
    }
}

/// One `--pcap` or `--packet` option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PacketArg {
    /// A capture.
    Capture(PathBuf),
    /// A raw frame.
    Frame(PathBuf),
}

impl RunArgs {
    /// All `--pcap` and `--packet` options in the order of the command line, which only the raw
    /// matches of the `run` subcommand know.
    pub(crate) fn packet_args(&self, matches: &ArgMatches) -> Vec<PacketArg> {
        let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let captures =
            places("pcap").into_iter().zip(self.pcap.iter().cloned().map(PacketArg::Capture));
        let frames =
            places("packet").into_iter().zip(self.packet.iter().cloned().map(PacketArg::Frame));
        let mut all: Vec<_> = captures.chain(frames).collect();
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, arg)| arg).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;

    fn run_args(args: &[&str]) -> (Deferred<RunArgs>, ArgMatches) {
        let matches = Cli::command().try_get_matches_from(args).unwrap();
        let Command::Run(run) = Cli::from_arg_matches(&matches).unwrap().command else {
            panic!("not run");
        };
        (run, matches.subcommand_matches("run").unwrap().clone())
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn packets_keep_the_order_of_the_command_line() {
        let (run, matches) = run_args(&[
            "bpfweld", "run", "--packet", "1", "a.o", "--pcap=2", "--packet", "3", "--pcap", "4",
            "--json", "--pcap", "5",
        ]);
        let order: Vec<_> = run
            .packet_args(&matches)
            .into_iter()
            .map(|arg| match arg {
                PacketArg::Capture(p) => format!("c{}", p.display()),
                PacketArg::Frame(p) => format!("f{}", p.display()),
            })
            .collect();
        assert_eq!(order, ["f1", "c2", "f3", "c4", "c5"]);
    }

    #[test]
    fn every_argument_says_what_it_is() {
        let mut main = Cli::command();
        main.build();
        for command in main.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert!(command.get_after_help().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
        }
    }

    #[test]
    fn run_wants_packets() {
        assert!(Cli::command().try_get_matches_from(["bpfweld", "run", "a.o"]).is_err());
    }
}
