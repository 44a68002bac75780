//! `bpfweld run`: one program over packet after packet, on one load.
//!
//! | module | what lives there |
//! |---|---|
//! | `trace` | what happened to a packet, function by function |
//! | `maps` | what the maps hold afterwards |
//! | `captures` | packets as they left the program, by verdict |
//! | `progress` | how far a long run is |

mod captures;
mod maps;
mod progress;
mod trace;

use std::collections::BTreeMap;
use std::io::{self, Write};

use bpfweld::engine::{EngineOptions, Fault};
use bpfweld::kernel::{self, RunOptions, Verdict};
use bpfweld::{Backend, BackendChoice, ImageSet, RunError, Traced};
use clap::ArgMatches;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::args::{EngineArg, RunArgs};
use crate::error::Failure;
use crate::output::{self, Align, Style, Table, count};
use crate::packets::Packets;
use crate::routes;
use crate::session::{Session, show_log};
use captures::Captures;
use maps::MapReport;
use progress::Progress;
use trace::{ProgramCounts, Trace};

/// Packets that are listed one by one; of a longer capture, this many of its beginning.
const LISTED: usize = 20;

/// The whole answer; its fields are the JSON's.
#[derive(serde::Serialize)]
struct Report {
    /// What ran the program.
    engine: &'static str,
    /// Why it is not the kernel, where that was left open.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_reason: Option<String>,
    packets: Vec<PacketReport>,
    /// With `--trace` of every program that was linked, else of the entry program.
    programs: Vec<ProgramCounts>,
    /// What the maps hold, with `--maps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    maps: Option<Vec<MapReport>>,
    /// Mean over all packets that ran; `null` when none did.
    ns_per_packet: Option<f64>,
    warnings: Vec<String>,
    #[serde(skip)]
    traced: bool,
}

/// What became of a packet. Small: a capture may hold millions.
struct PacketReport {
    index: usize,
    /// Bytes, as given.
    length: usize,
    result: Result<Verdict, String>,
    /// Why the program did not come to its end.
    fault: Option<Box<Fault>>,
    /// What happened to it, where that is to be shown.
    trace: Option<Trace>,
}

impl Serialize for PacketReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("index", &self.index)?;
        match &self.result {
            Ok(verdict) => {
                map.serialize_entry("verdict", &verdict.to_string())?;
                map.serialize_entry("code", &verdict.code)?;
                map.serialize_entry("length", &self.length)?;
                if let Some(fault) = &self.fault {
                    map.serialize_entry("fault", &fault.to_string())?;
                }
            }
            Err(error) => {
                map.serialize_entry("length", &self.length)?;
                map.serialize_entry("error", error)?;
            }
        }
        if let Some(trace) = &self.trace {
            map.serialize_entry("trace", trace)?;
        }
        map.end()
    }
}

/// `bpfweld run`.
pub(crate) fn run(args: &RunArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let session = Session::new(&args.link)?;
    let packets = Packets::open(&args.packet_args(matches))?;
    let images = session.image()?;
    // Before the load: where it fails, they may say why.
    output::warn(&images.warnings);
    let choice = match args.engine {
        EngineArg::Auto => BackendChoice::Auto,
        EngineArg::Kernel => BackendChoice::Kernel,
        EngineArg::Engine => BackendChoice::Engine,
    };
    let routes = args.routes.as_deref().map(routes::read).transpose()?.unwrap_or_default();
    let engine_options =
        || EngineOptions { routes, seed: args.seed, cpus: args.cpus, ..session.engine_options() };
    let (kernel, options) = (&session.kernel, &session.options);
    let (loaded, reason) = match args.trace {
        true => {
            let (traced, reason) = Traced::load(choice, &images, kernel, options, engine_options)?;
            (Loaded::Traced(traced), reason)
        }
        false => {
            let policy = args.link.fuse.policy();
            let (backend, reason) =
                Backend::load_fused(choice, &images, policy, kernel, options, engine_options)?;
            (Loaded::Plain(backend), reason)
        }
    };
    if let Some(reason) = &reason {
        output::note(&format!("run by the engine, not by the kernel: {reason}"));
    }
    if let Loaded::Plain(Backend::Kernel(loaded)) = &loaded
        && let Some(program) = loaded.entries().first()
    {
        show_log(program.name(), program.log(), args.output);
    }
    let mut warnings = images.warnings.clone();
    warnings.extend_from_slice(loaded.backend().warnings());
    if let Loaded::Traced(traced) = &loaded {
        warnings.extend_from_slice(traced.notes());
    }
    let job = Job { images: &images, loaded: &loaded, args };
    let mut report = job.run(packets, warnings)?;
    report.engine_reason = reason;

    output::warn(report.warnings.get(images.warnings.len()..).unwrap_or_default());
    let stdout = io::stdout();
    let style = Style::of(&stdout);
    let mut out = io::BufWriter::new(stdout.lock());
    if args.output.json {
        return output::json(&mut out, &report);
    }
    report.print(&mut out, style, args.output.verbose)?;
    out.flush()?;
    Ok(())
}

/// What runs, watched or not.
enum Loaded {
    Plain(Backend),
    Traced(Traced),
}

impl Loaded {
    fn backend(&self) -> &Backend {
        match self {
            Self::Plain(backend) => backend,
            Self::Traced(traced) => traced.backend(),
        }
    }
}

/// What to run, and how.
struct Job<'a> {
    images: &'a ImageSet,
    loaded: &'a Loaded,
    args: &'a RunArgs,
}

impl Job<'_> {
    fn run(&self, mut packets: Packets, mut warnings: Vec<String>) -> Result<Report, Failure> {
        let backend = self.loaded.backend();
        let Some(mut runner) = backend.runner() else {
            return Err(Failure::new("no program was loaded"));
        };
        let options = RunOptions { repeat: self.args.repeat, context: None };
        let mut reports: Vec<PacketReport> = Vec::new();
        let mut programs = Programs::new(self);
        let mut nanoseconds: u64 = 0;
        let mut ran: u64 = 0;
        let mut captures = self.args.pcap_out.as_deref().map(Captures::new).transpose()?;
        let mut progress = Progress::new();
        while let Some(given) = packets.next_packet() {
            let mut fault = None;
            let mut trace = None;
            let result = match runner.run(&given.data, &options) {
                Ok(outcome) => {
                    ran += 1;
                    fault = outcome.fault.map(Box::new);
                    nanoseconds += u64::from(outcome.duration_ns);
                    let verdict = outcome.verdict;
                    if let Some(captures) = &mut captures {
                        let packet = outcome.packet.get(outcome.metadata as usize..);
                        captures.add(verdict, &given, packet.unwrap_or_default())?;
                    }
                    let listed =
                        self.args.output.json || self.args.output.verbose || reports.len() < LISTED;
                    trace = programs.count(verdict, listed)?;
                    Ok(verdict)
                }
                // It is the program that cannot be run, not this packet.
                Err(RunError::Kernel(error @ kernel::RunError::NoTestRun(_))) => {
                    return Err(Failure::from(error));
                }
                Err(error) => Err(error.to_string()),
            };
            let (index, length) = (reports.len(), given.data.len());
            reports.push(PacketReport { index, length, result, fault, trace });
            progress.packet(|| packets.progress());
        }
        progress.finish();
        captures.map_or(Ok(()), Captures::finish)?;
        let refused = reports.len() as u64 - ran;
        if let Some(PacketReport { index, result: Err(error), .. }) =
            reports.iter().find(|report| report.result.is_err())
        {
            let (name, packets) = (backend.name(), count(refused, "packet"));
            warnings.push(format!(
                "the {name} did not take {packets}, the first of them {index}: {error}"
            ));
        }
        let faults =
            reports.iter().filter_map(|report| Some((report.index, report.fault.as_ref()?)));
        if let Some((index, fault)) = faults.clone().next() {
            let packets = count(faults.count() as u64, "packet");
            warnings.push(format!(
                "the program did not come to its end for {packets}, the first of them {index}: \
                 {fault}"
            ));
        }
        warnings.extend(packets.into_warnings());
        // Nanoseconds of a run are far below 2^53.
        let mean = (ran > 0).then(|| nanoseconds as f64 / ran as f64);
        Ok(Report {
            engine: backend.name(),
            engine_reason: None,
            packets: reports,
            programs: programs.counts,
            maps: self.args.maps.then(|| maps::read(self.images, backend)),
            ns_per_packet: mean,
            warnings,
            traced: self.args.trace,
        })
    }
}

/// Counts verdicts by program.
struct Programs<'a> {
    job: &'a Job<'a>,
    counts: Vec<ProgramCounts>,
    /// Image and function that stand behind each.
    functions: Vec<(u16, u32)>,
}

impl<'a> Programs<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        Self { job, counts: Vec::new(), functions: Vec::new() }
    }

    /// Counts a packet that just ran; gives what happened to it, if that is `wanted`.
    fn count(&mut self, verdict: Verdict, wanted: bool) -> Result<Option<Trace>, Failure> {
        let Loaded::Traced(traced) = self.job.loaded else {
            let entry = self.job.images.images.first();
            let name = entry.map(|e| (e.name.as_str(), e.instance.as_str())).unwrap_or_default();
            self.add((0, 0), name, verdict);
            return Ok(None);
        };
        let failed = |e: io::Error| Failure::new(format!("cannot read what was traced: {e}"));
        let story = traced.story().map_err(failed)?;
        let plan = traced.plan();
        let visits = story.visits().into_iter();
        let mut seen: Vec<_> = visits
            .filter_map(|v| Some((v.image, v.function, trace::verdict_of(plan, v)?)))
            .collect();
        // By where they are in the program, each once a packet.
        seen.sort_by_key(|(image, function, verdict)| (*image, *function, verdict.code));
        seen.dedup();
        for (image, function, verdict) in seen {
            let Some(f) = plan.function(image, function) else { continue };
            self.add((image, function), (&f.name, &f.instance), verdict);
        }
        Ok(wanted.then(|| Trace::new(&story, plan, self.job.images)))
    }

    fn add(&mut self, at: (u16, u32), (function, instance): (&str, &str), verdict: Verdict) {
        let place = self.functions.binary_search(&at).unwrap_or_else(|place| {
            self.functions.insert(place, at);
            let (function, instance) = (function.to_owned(), instance.to_owned());
            self.counts.insert(place, ProgramCounts { function, instance, verdicts: Vec::new() });
            place
        });
        if let Some(counts) = self.counts.get_mut(place) {
            counts.add(verdict);
        }
    }
}

impl PacketReport {
    /// With what happened to it.
    fn print(&self, out: &mut impl Write, style: Style, verbose: bool) -> io::Result<()> {
        let result = match &self.result {
            Ok(verdict) => verdict.to_string(),
            Err(error) => format!("not run: {error}"),
        };
        let head =
            format!("packet {}: {}, {result}", self.index, count(self.length as u64, "byte"));
        writeln!(out, "{}", style.bold(&head))?;
        if let Some(trace) = &self.trace {
            trace.print(out, style, verbose)?;
        }
        if let Some(fault) = &self.fault {
            writeln!(out, "  {}", style.red(&fault.to_string()))?;
        }
        Ok(())
    }
}

impl Report {
    fn print(&self, out: &mut impl Write, style: Style, verbose: bool) -> io::Result<()> {
        let all = verbose || self.packets.len() <= LISTED;
        let listed = if all { self.packets.len() } else { LISTED };
        if self.traced {
            for packet in &self.packets[..listed] {
                packet.print(out, style, verbose)?;
                writeln!(out)?;
            }
            if !all {
                let more = count((self.packets.len() - listed) as u64, "more packet");
                writeln!(out, "{}\n", style.dim(&format!("… {more}; --verbose shows them")))?;
            }
        } else if listed > 0 {
            let columns =
                [("packet", Align::Right), ("length", Align::Right), ("verdict", Align::Left)];
            let mut table = Table::new(&columns);
            for packet in &self.packets[..listed] {
                let result = match &packet.result {
                    Ok(verdict) => verdict.to_string(),
                    Err(error) => format!("not run: {error}"),
                };
                table.row([packet.index.to_string(), packet.length.to_string(), result]);
            }
            table.print(out, style, "")?;
            if !all {
                let more = count((self.packets.len() - listed) as u64, "more packet");
                writeln!(out, "{}", style.dim(&format!("… {more}; --verbose lists them")))?;
            }
            writeln!(out)?;
        }
        self.print_summary(out, style)?;
        if self.traced && !self.programs.is_empty() {
            writeln!(out)?;
            trace::print_counts(&self.programs, out, style)?;
        }
        maps::print(self.maps.as_deref().unwrap_or_default(), out, style, verbose)
    }

    fn print_summary(&self, out: &mut impl Write, style: Style) -> io::Result<()> {
        let mut verdicts: BTreeMap<u32, (Verdict, usize)> = BTreeMap::new();
        let mut refused = 0;
        for packet in &self.packets {
            match &packet.result {
                Ok(verdict) => verdicts.entry(verdict.code).or_insert((*verdict, 0)).1 += 1,
                Err(_) => refused += 1,
            }
        }
        let time = match self.ns_per_packet {
            Some(ns) => format!(", {ns:.0} ns a packet"),
            None => String::new(),
        };
        let packets = count(self.packets.len() as u64, "packet");
        writeln!(out, "{}{time}", style.bold(&packets))?;
        let rows = verdicts.into_values().map(|(verdict, n)| (verdict.to_string(), n));
        let rest = (refused > 0).then(|| ("not run".to_owned(), refused));
        let rows: Vec<_> = rows.chain(rest).collect();
        let widest =
            |width: fn(&(String, usize)) -> usize| rows.iter().map(width).max().unwrap_or(0);
        let name_width = widest(|row| row.0.len());
        let number_width = widest(|row| row.1.to_string().len());
        for (name, n) in &rows {
            let share = 100.0 * *n as f64 / self.packets.len().max(1) as f64;
            writeln!(out, "  {name:name_width$}  {n:>number_width$}  {share:5.1} %")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bpfweld::object::ProgramType;

    use super::*;

    const TOO_SHORT: &str = "7 bytes are shorter than an Ethernet header (14)";

    fn report(n: usize) -> Report {
        let packet = |index: usize| PacketReport {
            index,
            length: 60 + index,
            result: match index % 3 {
                0 => Ok(Verdict { code: 2, prog_type: ProgramType::XDP }),
                1 => Ok(Verdict { code: 1, prog_type: ProgramType::XDP }),
                _ => Err(TOO_SHORT.into()),
            },
            fault: None,
            trace: None,
        };
        Report {
            engine: "kernel",
            engine_reason: None,
            packets: (0..n).map(packet).collect(),
            programs: vec![],
            maps: None,
            ns_per_packet: Some(41.6),
            warnings: vec![],
            traced: false,
        }
    }

    fn printed(report: &Report, verbose: bool) -> String {
        let mut out = Vec::new();
        report.print(&mut out, Style::plain(), verbose).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let json = serde_json::to_value(report(3)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "engine": "kernel",
                "packets": [
                    {"index": 0, "verdict": "XDP_PASS", "code": 2, "length": 60},
                    {"index": 1, "verdict": "XDP_DROP", "code": 1, "length": 61},
                    {"index": 2, "length": 62, "error": TOO_SHORT},
                ],
                "programs": [],
                "ns_per_packet": 41.6,
                "warnings": [],
            })
        );
    }

    #[test]
    fn few_packets_are_listed_and_summed_up() {
        let text = format!(
            "\
packet  length  verdict
     0      60  XDP_PASS
     1      61  XDP_DROP
     2      62  not run: {TOO_SHORT}

3 packets, 42 ns a packet
  XDP_DROP  1   33.3 %
  XDP_PASS  1   33.3 %
  not run   1   33.3 %
"
        );
        assert_eq!(printed(&report(3), false), text);
    }

    #[test]
    fn of_many_packets_the_beginning_is_listed() {
        let text = printed(&report(1000), false);
        assert!(text.lines().count() < 30, "{text}");
        assert!(text.contains("… 980 more packets; --verbose lists them"));
        assert!(text.contains("  XDP_PASS  334   33.4 %"));
        assert!(printed(&report(1000), true).contains("\n   999    1059  XDP_PASS\n"));
    }

    #[test]
    fn no_packet_at_all() {
        let empty = Report { ns_per_packet: None, ..report(0) };
        assert_eq!(printed(&empty, false), "0 packets\n");
    }
}
