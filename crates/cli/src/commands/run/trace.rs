//! What `--trace` shows of a packet: the functions that ran, what each returned and did.

use std::io::{self, Write};

use bpfweld::kernel::Verdict;
use bpfweld::link::trace::{
    ByteChange, Change, Happening, Redirected, Story, TracePlan, ValueKind, Visit,
};
use bpfweld::{ImageSet, insn};
use serde::Serialize;

use crate::output::{Align, Style, Table, count};

/// Bytes of a change that are shown, and changes of a function; all with `--verbose` and in JSON.
const SHOWN_BYTES: usize = 16;
const SHOWN_CHANGES: usize = 8;
/// Numbers of `bpf_clone_redirect` and `bpf_redirect_map`.
const CLONE_REDIRECT: u32 = 13;
const REDIRECT_MAP: u32 = 51;

/// What happened to a packet; its fields are the JSON's.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    steps: Vec<Step>,
    /// Events that there was no room for.
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

/// Something that happened in a function, or the function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    Call(Call),
    Change(Changed),
    Redirect(Asked),
}

/// A function that was entered.
#[derive(Debug, Serialize)]
struct Call {
    function: String,
    instance: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tail_call: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<serde_json::Number>,
    /// Did it return?
    #[serde(skip)]
    returned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
}

/// What became different in the packet.
#[derive(Debug, Serialize)]
struct Changed {
    length: (u32, u32),
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "is_nothing")]
    front: i64,
    #[serde(skip_serializing_if = "is_nothing")]
    back: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bytes: Vec<ChangedBytes>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

#[derive(Debug, Serialize)]
struct ChangedBytes {
    offset: u32,
    old: String,
    new: String,
}

/// A redirect that was asked for.
#[derive(Debug, Serialize)]
struct Asked {
    helper: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<String>,
    /// The map's instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u64,
    result: String,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_nothing(n: &i64) -> bool {
    *n == 0
}

impl Trace {
    /// Tells a story in names.
    pub(super) fn new(story: &Story, plan: &TracePlan, images: &ImageSet) -> Self {
        Self { steps: steps(&story.happenings, plan, images), lost: story.lost }
    }

    /// Prints it behind an indent.
    pub(super) fn print(
        &self,
        out: &mut impl Write,
        style: Style,
        verbose: bool,
    ) -> io::Result<()> {
        let mut width = (0, 0);
        widths(&self.steps, 0, &mut width);
        let printer = Printer { style, verbose, width };
        printer.steps(out, &self.steps, 0)?;
        if self.lost > 0 {
            let lost = count(self.lost, "further event");
            writeln!(out, "  {}", style.yellow(&format!("… {lost} found no room in the trace")))?;
        }
        Ok(())
    }
}

fn steps(happenings: &[Happening], plan: &TracePlan, images: &ImageSet) -> Vec<Step> {
    let step = |happening: &Happening| match happening {
        Happening::Visit(visit) => Step::Call(call(visit, plan, images)),
        Happening::Change(change) => Step::Change(changed(change)),
        Happening::Redirect(redirect) => Step::Redirect(asked(redirect, plan, images)),
    };
    happenings.iter().map(step).collect()
}

fn call(visit: &Visit, plan: &TracePlan, images: &ImageSet) -> Call {
    let function = plan.function(visit.image, visit.function);
    let (verdict, value) = match (visit.returned, function.map(|f| f.value)) {
        (Some(value), Some(ValueKind::Verdict)) => {
            (verdict_of(plan, visit).map(|v| v.to_string()), Some((value as u32).into()))
        }
        (Some(value), Some(ValueKind::Unsigned(bits))) => {
            (None, Some((value & u64::MAX >> (64 - u32::from(bits.clamp(1, 64)))).into()))
        }
        (Some(value), Some(ValueKind::Signed(bits))) => {
            let unused = 64 - u32::from(bits.clamp(1, 64));
            (None, Some(((value << unused).cast_signed() >> unused).into()))
        }
        _ => (None, None),
    };
    Call {
        function: function.map(|f| f.name.clone()).unwrap_or_default(),
        instance: function.map(|f| f.instance.clone()).unwrap_or_default(),
        tail_call: visit.tail_called,
        verdict,
        value,
        returned: visit.returned.is_some(),
        length: visit.lengths,
        steps: steps(&visit.happenings, plan, images),
    }
}

/// The verdict of a visit that returned one.
pub(super) fn verdict_of(plan: &TracePlan, visit: &Visit) -> Option<Verdict> {
    let image = plan.images.get(usize::from(visit.image))?;
    let function = image.functions.get(visit.function as usize)?;
    let code = visit.returned.filter(|_| function.value == ValueKind::Verdict)?;
    Some(Verdict { code: code as u32, prog_type: image.prog_type })
}

fn changed(change: &Change) -> Changed {
    let bytes =
        |b: &ByteChange| ChangedBytes { offset: b.offset, old: hex(&b.old), new: hex(&b.new) };
    Changed {
        length: change.length,
        metadata: Some(change.metadata).filter(|(old, new)| old != new),
        front: change.front,
        back: change.back,
        bytes: change.bytes.iter().map(bytes).collect(),
        partial: change.partial,
    }
}

fn asked(redirect: &Redirected, plan: &TracePlan, images: &ImageSet) -> Asked {
    let image = plan.images.get(usize::from(redirect.image));
    let site = image.and_then(|i| i.sites.get(redirect.site as usize));
    let helper = site.map_or(0, |s| s.helper);
    let into_map = helper == REDIRECT_MAP;
    let map = site.and_then(|s| images.maps.get(s.map?.index()));
    let code = redirect.result as u32;
    let verdict = image.map(|i| Verdict { code, prog_type: i.prog_type });
    // `bpf_clone_redirect` returns an error number, the others a verdict.
    let verdict = verdict.filter(|_| helper != CLONE_REDIRECT);
    Asked {
        helper: insn::helper_name(helper).unwrap_or_default().to_owned(),
        map: map.map(|m| m.name.clone()),
        instance: map.map(|m| m.label.clone()),
        interface: (!into_map).then_some(redirect.target as u32),
        key: into_map.then_some(redirect.target),
        flags: redirect.flags,
        result: verdict.map_or_else(|| code.cast_signed().to_string(), |v| v.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Of the first two columns.
fn widths(steps: &[Step], depth: usize, width: &mut (usize, usize)) {
    for step in steps {
        if let Step::Call(call) = step {
            width.0 = width.0.max(2 * depth + call.title().chars().count());
            width.1 = width.1.max(call.instance.chars().count());
            widths(&call.steps, depth + 1, width);
        }
    }
}

impl Call {
    fn title(&self) -> String {
        let arrow = if self.tail_call { "↪ " } else { "" };
        format!("{arrow}{}", self.function)
    }

    fn result(&self, style: Style) -> String {
        match (&self.verdict, &self.value) {
            (Some(verdict), _) => style.bold(verdict),
            (None, Some(value)) => format!("= {value}"),
            (None, None) if self.returned => String::new(),
            _ if self.steps.iter().any(|s| matches!(s, Step::Call(c) if c.tail_call)) => {
                style.dim("tail-called")
            }
            _ => style.red("did not return"),
        }
    }
}

struct Printer {
    style: Style,
    verbose: bool,
    width: (usize, usize),
}

impl Printer {
    fn steps(&self, out: &mut impl Write, steps: &[Step], depth: usize) -> io::Result<()> {
        let indent = "  ".repeat(depth);
        for step in steps {
            match step {
                Step::Call(call) => {
                    let title = format!("{indent}{}", call.title());
                    let (first, second) = self.width;
                    let result = call.result(self.style);
                    let line = format!("  {title:first$}  {:second$}  {result}", call.instance);
                    writeln!(out, "{}", line.trim_end())?;
                    self.steps(out, &call.steps, depth + 1)?;
                }
                Step::Change(change) => {
                    for line in self.change(change) {
                        writeln!(out, "  {indent}{} {line}", self.style.cyan("·"))?;
                    }
                }
                Step::Redirect(asked) => {
                    writeln!(out, "  {indent}{} {}", self.style.cyan("·"), asked.text())?;
                }
            }
        }
        Ok(())
    }

    fn change(&self, change: &Changed) -> Vec<String> {
        let limit = if self.verbose { usize::MAX } else { SHOWN_BYTES };
        let mut lines = Vec::new();
        let (old, new) = change.length;
        if change.front != 0 || change.back != 0 {
            let end = |n: i64, place: &str| match n {
                0 => None,
                1.. => Some(format!("{} added {place}", count(n.unsigned_abs(), "byte"))),
                _ => Some(format!("{} taken away {place}", count(n.unsigned_abs(), "byte"))),
            };
            let ends = [end(change.front, "in front"), end(change.back, "at the end")];
            let ends: Vec<_> = ends.into_iter().flatten().collect();
            lines.push(format!("length {old} → {new}: {}", ends.join(", ")));
        }
        if let Some((old, new)) = change.metadata {
            lines.push(format!("metadata {old} → {new} bytes"));
        }
        let shown = if self.verbose { usize::MAX } else { SHOWN_CHANGES };
        for bytes in change.bytes.iter().take(shown) {
            let len = bytes.old.len().max(bytes.new.len()) / 2;
            let place = match len {
                1 => format!("byte {}", bytes.offset),
                _ => format!("bytes {} to {}", bytes.offset, bytes.offset as usize + len - 1),
            };
            let cut = |text: &str| match text.get(..limit.saturating_mul(2)) {
                Some(start) if start.len() < text.len() => format!("{start}…"),
                _ => text.to_owned(),
            };
            lines.push(match (bytes.old.is_empty(), bytes.new.is_empty()) {
                (true, _) => format!("{place} added: {}", cut(&bytes.new)),
                (_, true) => format!("{place} taken away: {}", cut(&bytes.old)),
                _ => format!("{place}: {} → {}", cut(&bytes.old), cut(&bytes.new)),
            });
        }
        if change.bytes.len() > shown {
            let more = count((change.bytes.len() - shown) as u64, "further place");
            lines.push(format!("… {more}; --verbose lists them"));
        }
        if change.partial && !change.bytes.is_empty() {
            lines.push("only the beginning of the packet was compared".into());
        }
        lines
    }
}

impl Asked {
    fn text(&self) -> String {
        let target = match (&self.map, self.key, self.interface) {
            (Some(map), Some(key), _) => {
                let instance = self.instance.as_deref().unwrap_or_default();
                format!("entry {key} of {map} ({instance})")
            }
            (None, Some(key), _) => format!("entry {key} of a map"),
            (_, _, Some(interface)) => format!("interface {interface}"),
            _ => String::new(),
        };
        let flags =
            if self.flags == 0 { String::new() } else { format!(", flags {:#x}", self.flags) };
        format!("{} to {target}{flags}: {}", self.helper, self.result)
    }
}

/// Per program and verdict, how many packets; its fields are the JSON's.
#[derive(Debug, Serialize)]
pub(super) struct ProgramCounts {
    pub(super) function: String,
    pub(super) instance: String,
    /// By the verdicts' numbers.
    #[serde(serialize_with = "as_map")]
    pub(super) verdicts: Vec<(Verdict, u64)>,
}

fn as_map<S: serde::Serializer>(verdicts: &[(Verdict, u64)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(verdicts.iter().map(|(verdict, n)| (verdict.to_string(), n)))
}

impl ProgramCounts {
    /// Counts a packet.
    pub(super) fn add(&mut self, verdict: Verdict) {
        match self.verdicts.binary_search_by_key(&verdict.code, |(v, _)| v.code) {
            Ok(at) => self.verdicts[at].1 += 1,
            Err(at) => self.verdicts.insert(at, (verdict, 1)),
        }
    }
}

/// The table of programs and verdicts.
pub(super) fn print_counts(
    programs: &[ProgramCounts],
    out: &mut impl Write,
    style: Style,
) -> io::Result<()> {
    let columns = [
        ("program", Align::Left),
        ("instance", Align::Left),
        ("verdict", Align::Left),
        ("packets", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for program in programs {
        for (i, (verdict, n)) in program.verdicts.iter().enumerate() {
            let once = |text: &str| if i == 0 { text.to_owned() } else { String::new() };
            table.row([
                once(&program.function),
                once(&program.instance),
                verdict.to_string(),
                n.to_string(),
            ]);
        }
    }
    table.print(out, style, "")
}
