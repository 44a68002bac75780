//! `bpfweld features`: what the running kernel can do.

use std::io::{self, Write};

use bpfweld::kernel::Support;
use bpfweld::kernel::loader::ensure_bpf;
use bpfweld::{Feature, Kernel};
use serde::Serialize;

use crate::args::FeaturesArgs;
use crate::error::Failure;
use crate::output::{self, Align, Style, Table};
use crate::session;

/// The whole answer; its fields are the JSON's.
#[derive(Serialize)]
struct Report {
    kernel: String,
    features: Vec<FeatureReport>,
}

#[derive(Serialize)]
struct FeatureReport {
    name: &'static str,
    supported: bool,
    description: &'static str,
    /// The release of Linux that brought it.
    since: &'static str,
    /// Why it is not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `bpfweld features`.
pub(crate) fn features(args: &FeaturesArgs) -> Result<(), Failure> {
    let kernel = Kernel::new();
    let features = kernel.features();
    for name in &args.without {
        features.force(session::feature(name)?, false);
    }
    ensure_bpf(features)?;
    let report = Report {
        kernel: features.sys().uname().map(|uname| uname.release).unwrap_or_default(),
        features: features.all().into_iter().map(|(f, s)| FeatureReport::of(f, s)).collect(),
    };
    let stdout = io::stdout();
    let style = Style::of(&stdout);
    let mut out = stdout.lock();
    if args.output.json {
        return output::json(&mut out, &report);
    }
    writeln!(out, "Linux {}\n", style.bold(&report.kernel))?;
    let mut table = Table::new(&[
        ("feature", Align::Left),
        ("", Align::Left),
        ("since", Align::Left),
        ("what", Align::Left),
    ]);
    for feature in &report.features {
        let what = match &feature.reason {
            Some(reason) if args.output.verbose => format!("{} ({reason})", feature.description),
            _ => feature.description.to_owned(),
        };
        let supported = if feature.supported { style.green("yes") } else { style.red("no") };
        table.row([feature.name.to_owned(), supported, feature.since.to_owned(), what]);
    }
    table.print(&mut out, style, "")?;
    out.flush()?;
    Ok(())
}

impl FeatureReport {
    fn of(feature: Feature, support: Support) -> Self {
        let reason = match support {
            Support::Present => None,
            Support::Forced(_) => Some("said on the command line".to_owned()),
            Support::Absent(errno) => {
                Some(format!("refused: {}", io::Error::from_raw_os_error(errno)))
            }
            Support::Denied => Some("not permitted to this process, or on this kernel".to_owned()),
            Support::Missing(other) => Some(format!("rests on {other}, which is missing")),
        };
        Self {
            name: feature.name(),
            supported: support.usable(),
            description: feature.description(),
            since: feature.since(),
            reason,
        }
    }
}
