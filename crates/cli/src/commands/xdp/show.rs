//! `xdp status`, `stats`, `features`, `clean`.

use std::io::{self, Write};
use std::time::Duration;

use bpfweld::link::chain_root::COUNTERS;
use bpfweld_chain::{
    Chain, Chains, KernelProgram, MemberInfo, Plan, features as interface_features,
};
use serde::Serialize;

use super::{open, tell_of_all};
use crate::args::xdp::{XdpCleanArgs, XdpDiffArgs, XdpFeaturesArgs, XdpStatsArgs, XdpStatusArgs};
use crate::error::Failure;
use crate::output::{self, Align, Style, Table};

/// Names of `enum netdev_xdp_act` (`linux/netdev.h`), by bit.
const FEATURES: [&str; 7] = [
    "NETDEV_XDP_ACT_BASIC",
    "NETDEV_XDP_ACT_REDIRECT",
    "NETDEV_XDP_ACT_NDO_XMIT",
    "NETDEV_XDP_ACT_XSK_ZEROCOPY",
    "NETDEV_XDP_ACT_HW_OFFLOAD",
    "NETDEV_XDP_ACT_RX_SG",
    "NETDEV_XDP_ACT_NDO_XMIT_SG",
];

#[derive(Serialize)]
struct StatusReport {
    interface: String,
    index: u32,
    mode: Option<&'static str>,
    program: Option<ProgramReport>,
    ours: bool,
    generation: u64,
    programs: Vec<MemberReport>,
    components: Vec<ProgramReport>,
}

#[derive(Serialize)]
struct ProgramReport {
    id: u32,
    name: String,
    tag: String,
}

#[derive(Serialize)]
struct MemberReport {
    id: u32,
    name: String,
    program: String,
    path: String,
    priority: u32,
    actions: String,
    tag: String,
    maps: Vec<(String, String)>,
    set: Vec<(String, String)>,
    dev_bound: bool,
}

impl From<KernelProgram> for ProgramReport {
    fn from(KernelProgram { id, name, tag }: KernelProgram) -> Self {
        Self { id, name, tag }
    }
}

impl From<MemberInfo> for MemberReport {
    fn from(m: MemberInfo) -> Self {
        Self {
            id: m.id,
            name: m.name,
            program: m.program,
            path: m.path,
            priority: m.priority,
            actions: m.goes_on.to_string(),
            tag: m.tag,
            maps: m.maps.into_iter().map(|(n, p)| (n, p.display().to_string())).collect(),
            set: m.sets,
            dev_bound: m.dev_bound,
        }
    }
}

pub(super) fn status(chains: &Chains<'_>, args: &XdpStatusArgs) -> Result<(), Failure> {
    let found = match &args.interface {
        Some(interface) => vec![open(chains, interface)?],
        None => chains.every()?,
    };
    if args.interface.is_none() {
        for chain in &found {
            output::warn(chain.notices());
        }
    }
    let reports: Vec<_> = found.iter().map(report).collect();
    drop(found);
    let stdout = io::stdout();
    let mut out = stdout.lock();
    if args.json {
        return output::json(&mut out, &reports);
    }
    // Columns and widths are what scripts around xdp-loader take apart.
    writeln!(out, "CURRENT XDP PROGRAM STATUS:\n")?;
    writeln!(
        out,
        "{:<16} {:<5} {:<17} Mode     ID   {:<17} Chain actions",
        "Interface", "Prio", "Program name", "Tag"
    )?;
    writeln!(out, "{}", "-".repeat(86))?;
    for report in &reports {
        line(&mut out, report)?;
    }
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

fn report(chain: &Chain<'_>) -> StatusReport {
    let status = chain.status();
    StatusReport {
        interface: chain.interface().name.clone(),
        index: chain.interface().index,
        mode: status.program.is_some().then(|| status.mode.name()),
        program: status.program.map(Into::into),
        ours: status.ours,
        generation: chain.generation(),
        programs: status.members.into_iter().map(Into::into).collect(),
        components: status.components.into_iter().map(Into::into).collect(),
    }
}

fn line(out: &mut impl Write, report: &StatusReport) -> io::Result<()> {
    let Some(program) = &report.program else {
        return writeln!(out, "{:<22} <No XDP program loaded!>", report.interface);
    };
    let mode = report.mode.unwrap_or_default();
    let (interface, ProgramReport { id, name, tag }) = (&report.interface, program);
    writeln!(out, "{interface:<16} {:<5} {name:<17} {mode:<8} {id:<4} {tag:<17}", "")?;
    for m in &report.programs {
        writeln!(
            out,
            "{:<16} {:<5}  {:<16} {:<8} {:<4} {:<17} {}",
            " =>", m.priority, m.name, "", m.id, m.tag, m.actions
        )?;
    }
    for c in &report.components {
        writeln!(
            out,
            "{:<16} {:<5}  {:<16} {:<8} {:<4} {:<17}",
            " =>", "-", c.name, "", c.id, c.tag
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct StatsReport {
    interface: String,
    programs: Vec<CountersReport>,
}

#[derive(Serialize)]
struct CountersReport {
    id: u32,
    name: String,
    #[serde(flatten)]
    counters: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    numbers: [u64; COUNTERS.len()],
}

pub(super) fn stats(chains: &Chains<'_>, args: &XdpStatsArgs) -> Result<(), Failure> {
    loop {
        let report = counters(chains, &args.interface)?;
        let stdout = io::stdout();
        let style = Style::of(&stdout);
        let mut out = stdout.lock();
        match (args.json, args.prometheus) {
            (true, _) => output::json(&mut out, &report)?,
            (_, true) => prometheus(&mut out, &report)?,
            _ => table(&mut out, style, &report)?,
        }
        out.flush()?;
        drop(out);
        let Some(seconds) = args.watch else { return Ok(()) };
        std::thread::sleep(Duration::from_secs(seconds.max(1)));
    }
}

fn counters(chains: &Chains<'_>, interface: &str) -> Result<StatsReport, Failure> {
    let chain = open(chains, interface)?;
    let Some(counters) = chain.counters()? else {
        return Err(Failure::new(format!("the chain on {interface} does not count verdicts"))
            .hint("load a program with --stats; its chain counts from then on"));
    };
    let programs = counters.into_iter().map(|(member, numbers)| CountersReport {
        id: member.id,
        name: member.name,
        counters: COUNTERS.iter().zip(numbers).map(|(c, n)| ((*c).to_owned(), n.into())).collect(),
        numbers,
    });
    Ok(StatsReport { interface: interface.to_owned(), programs: programs.collect() })
}

fn table(out: &mut impl Write, style: Style, report: &StatsReport) -> Result<(), Failure> {
    let mut columns = vec![("id", Align::Right), ("program", Align::Left)];
    columns.extend(COUNTERS.iter().map(|c| (*c, Align::Right)));
    let mut table = Table::new(&columns);
    for program in &report.programs {
        let numbers = program.numbers.iter().map(u64::to_string);
        table.row([program.id.to_string(), program.name.clone()].into_iter().chain(numbers));
    }
    table.print(out, style, "")?;
    Ok(())
}

/// The text format of Prometheus (exposition format 0.0.4).
fn prometheus(out: &mut impl Write, report: &StatsReport) -> Result<(), Failure> {
    writeln!(out, "# HELP bpfweld_xdp_verdicts_total Verdicts of the programs of an XDP chain.")?;
    writeln!(out, "# TYPE bpfweld_xdp_verdicts_total counter")?;
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let interface = quoted(&report.interface);
    for program in &report.programs {
        let (id, name) = (program.id, quoted(&program.name));
        for (verdict, number) in COUNTERS.iter().zip(program.numbers) {
            writeln!(
                out,
                "bpfweld_xdp_verdicts_total{{interface=\"{interface}\",program=\"{name}\",id=\"{id}\",\
                 verdict=\"{verdict}\"}} {number}"
            )?;
        }
    }
    Ok(())
}

pub(super) fn diff(chains: &Chains<'_>, args: &XdpDiffArgs) -> Result<(), Failure> {
    let plan = Plan::open(&args.file)?;
    tell_of_all(chains, &plan)?;
    let differences = chains.diff(&plan)?;
    let mut out = io::stdout().lock();
    let mut any = false;
    for difference in differences.iter().filter(|d| !d.lines.is_empty()) {
        any = true;
        writeln!(out, "{}:", difference.interface)?;
        for line in &difference.lines {
            writeln!(out, "  {line}")?;
        }
    }
    out.flush()?;
    // As diff(1) has it.
    if any { Err(Failure::told()) } else { Ok(()) }
}

pub(super) fn features(chains: &Chains<'_>, args: &XdpFeaturesArgs) -> Result<(), Failure> {
    let Some(bits) = interface_features(chains, &args.interface)? else {
        return Err(Failure::new("the kernel does not tell what interfaces can do with XDP")
            .hint("Linux 6.3 and later do"));
    };
    let mut out = io::stdout().lock();
    for (bit, name) in FEATURES.iter().enumerate() {
        let tabs = if name.len() < 23 { "\t\t" } else { "\t" };
        let answer = if bits >> bit & 1 == 1 { "yes" } else { "no" };
        writeln!(out, "{name}:{tabs}{answer}")?;
    }
    out.flush()?;
    Ok(())
}

pub(super) fn clean(chains: &Chains<'_>, args: &XdpCleanArgs) -> Result<(), Failure> {
    let cleaned = chains.clean(args.interface.as_deref())?;
    let mut out = io::stdout().lock();
    let of = args.interface.as_deref().unwrap_or("all interfaces");
    writeln!(out, "Cleaning up what is left of XDP chains for {of}")?;
    for line in cleaned {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}
