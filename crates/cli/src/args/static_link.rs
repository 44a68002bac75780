//! The arguments of `link`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use crate::binding::parse_label;

pub(super) const AFTER: &str = "\
Functions, variables and maps that one object wants and another defines come together by name, as for \
other linkers: strong definitions win over weak ones, the first weak one over later ones, static ones are \
nobody else's. What has a --bind is taken from where it says. What nothing defines stays an extern. \
An entry program that other code calls becomes a function (too), since loaders refuse such calls.

Where --object gives one file several labels, what it defines is called LABEL_NAME.

The output is read back and checked before it is written; when anything fails, nothing is.

JSON: {\"output\": path, \"bytes\", \"objects\": [label, …], \"notes\": […]}

Examples:
  bpfweld link -o all.o a.o b.o c.o
  bpfweld link -o chain.o dispatcher.o --root dispatcher.o --bind prog1=filter.o --bind prog2=count.o
  bpfweld link -o two.o root.o --object a=count.o --object b=count.o --bind first=a --bind second=b
  bpfweld link -o - a.o b.o --localize 'b.o:helper_*' --rename b.o:state=b_state > ab.o";

/// `link`.
#[derive(Args, Debug)]
pub(crate) struct StaticLinkArgs {
    /// The objects to link
    ///
    /// Each is a path or a label of --object. What only a --bind names need not be listed.
    #[arg(value_name = "OBJECT", required = true, num_args = 1..)]
    pub(crate) objects: Vec<PathBuf>,
    /// Write the object here; `-` is standard output
    ///
    /// A file appears when it is complete, and only then. It may not be one of the objects.
    #[arg(short = 'o', long = "out", value_name = "OUT", required = true)]
    pub(crate) out: PathBuf,
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
                     INSTANCE is a path or a label; the left one defaults to the root, which is the \
                     first object if --root names none. FUNCTION defaults to the object's only entry \
                     program, else to the function of the extern's own name.",
        help_heading = "Link"
    )]
    pub(crate) bind: Vec<String>,
    /// Keep the entry programs of this object only
    ///
    /// Those of the other objects become functions where something calls them, and are left out
    /// otherwise. Without the option all entry programs stay.
    #[arg(long, value_name = "OBJECT", help_heading = "Link")]
    pub(crate) root: Option<String>,
    #[arg(
        long,
        value_name = "R",
        help = "Give a name another one: [INSTANCE:]OLD=NEW",
        long_help = "Give a name another one, in one object or in all: [INSTANCE:]OLD=NEW\n\n\
                     Definitions and uses alike.",
        help_heading = "Link"
    )]
    pub(crate) rename: Vec<String>,
    #[arg(
        long,
        value_name = "PATTERN",
        help = "Make definitions invisible to other objects: [INSTANCE:]PATTERN",
        long_help = "Make definitions invisible to other objects, in one object or in all: \
                     [INSTANCE:]PATTERN\n\nIn the pattern, `*` stands for anything and `?` for one \
                     character.",
        help_heading = "Link"
    )]
    pub(crate) localize: Vec<String>,
    /// Look for more errors when one is found, and tell all of them
    #[arg(long, help_heading = "Link")]
    pub(crate) keep_going: bool,
    /// Leave out what no entry program reaches: functions, maps, data, types
    ///
    /// Data goes by the section of an object, if nothing in it is used.
    #[arg(long, help_heading = "Link")]
    pub(crate) strip_unreachable: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
