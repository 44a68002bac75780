//! `bpfweld disasm`: the code of linked and fused programs, with what the link knows of it. Asks no kernel.

use std::io::{self, Write};

use bpfweld::insn::{Insn, Text, pseudo};
use bpfweld::link::ImageTarget;
use bpfweld::link::fuse::{FuseOptions, ImageReport, Policy, fuse};
use bpfweld::{Image, ImageSet, InstanceId, Linked};
use serde::Serialize;

use crate::args::DisasmArgs;
use crate::error::Failure;
use crate::output::{self, Style};
use crate::session::Session;

/// The whole answer; its fields are the JSON's.
#[derive(Serialize)]
struct Report {
    programs: Vec<Listing>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Listing {
    name: String,
    form: &'static str,
    functions: Vec<FunctionEntry>,
    insns: Vec<Line>,
    /// Calls that were not fused.
    calls: Vec<CallEntry>,
}

#[derive(Serialize)]
struct FunctionEntry {
    name: String,
    instance: String,
    /// Its first slot.
    start: u32,
    /// Slots.
    insns: u32,
}

#[derive(Serialize)]
struct CallEntry {
    function: String,
    why: String,
}

#[derive(Serialize)]
struct Line {
    /// Its (first) slot.
    index: usize,
    text: String,
    /// The function that it was written in.
    function: String,
    instance: String,
    #[serde(flatten)]
    source: Option<Source>,
}

#[derive(Serialize, PartialEq, Clone)]
struct Source {
    file: String,
    line: u32,
    source: String,
}

/// `bpfweld disasm`.
pub(crate) fn disasm(args: &DisasmArgs) -> Result<(), Failure> {
    let session = Session::new(&args.link)?;
    let linked = session.link()?;
    let images = linked.images(&session.request().entries(&linked)?)?;
    output::warn(&images.warnings);
    let never = FuseOptions { policy: Policy::Never, ..FuseOptions::default() };
    let asked = FuseOptions { policy: args.link.fuse.policy(), ..FuseOptions::default() };
    let mut forms = vec![fuse(&images, &asked)];
    if args.both {
        forms.insert(0, fuse(&images, &never));
    }
    let mut programs = Vec::new();
    for at in 0..images.images.len() {
        for (set, report) in &forms {
            let image = (images.images.get(at), set.images.get(at), report.images.get(at));
            if let (Some(old), Some(new), Some(report)) = image {
                let form = if report.fused.is_empty() { "linked" } else { "fused" };
                programs.push(Reader { linked: &linked, set, old, new, report }.listing(form));
            }
        }
    }
    let report = Report { programs, warnings: images.warnings.clone() };
    let stdout = io::stdout();
    let style = Style::of(&stdout);
    let mut out = io::BufWriter::new(stdout.lock());
    if args.output.json {
        return output::json(&mut out, &report);
    }
    for (i, listing) in report.programs.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        listing.print(&mut out, style)?;
    }
    out.flush()?;
    Ok(())
}

/// What reading one image draws on.
struct Reader<'a> {
    linked: &'a Linked,
    set: &'a ImageSet,
    /// Before fusing.
    old: &'a Image,
    /// After.
    new: &'a Image,
    report: &'a ImageReport,
}

impl Reader<'_> {
    fn listing(&self, form: &'static str) -> Listing {
        let functions = self.new.functions.iter().map(|f| FunctionEntry {
            name: f.name.clone(),
            instance: self.label(f.origin.0),
            start: f.start,
            insns: f.len,
        });
        let mut insns = Vec::new();
        let mut at = 0;
        while let Some(&insn) = self.new.insns.get(at) {
            let region = self.report.regions.partition_point(|r| r.start as usize <= at);
            let region = region.checked_sub(1).and_then(|i| self.report.regions.get(i));
            let from = region.and_then(|r| self.old.functions.get(r.function as usize));
            insns.push(Line {
                index: at,
                text: self.text(at, insn),
                function: from.map(|f| f.name.clone()).unwrap_or_default(),
                instance: from.map(|f| self.label(f.origin.0)).unwrap_or_default(),
                source: self.source(at),
            });
            at += insn.slots();
        }
        let calls = self.report.kept.iter().map(|call| CallEntry {
            function: format!("{}:{}", self.label(call.callee.0), call.name),
            why: call.why.to_string(),
        });
        Listing {
            name: self.new.name.clone(),
            form,
            functions: functions.collect(),
            insns,
            calls: calls.collect(),
        }
    }

    fn label(&self, instance: InstanceId) -> String {
        let found = self.linked.instances().get(instance.index());
        found.map(|i| i.label.clone()).unwrap_or_default()
    }

    /// An instruction as text, with what it refers to by name.
    fn text(&self, at: usize, insn: Insn) -> String {
        let reloc = self.new.relocs.iter().find(|r| r.insn as usize == at);
        let load = |what: String| format!("r{} = {what}", insn.dst());
        let map = |index: bpfweld::link::MapIndex| {
            let map = self.set.maps.get(index.index());
            map.map(|m| format!("{} of {}", m.name, m.label)).unwrap_or_default()
        };
        match reloc.map(|r| &r.target) {
            Some(ImageTarget::Map(index)) => return load(format!("map {}", map(*index))),
            Some(ImageTarget::MapValue { map: index, offset }) => {
                return load(format!("address {} + {offset}", map(*index)));
            }
            Some(ImageTarget::JumpTable(table)) => {
                let places = self.new.jump_tables.get(*table as usize);
                let places: Vec<_> = places.into_iter().flatten().map(u32::to_string).collect();
                return load(format!("jump table to {}", places.join(", ")));
            }
            Some(ImageTarget::KernelFunction(wanted)) => return format!("call {}", wanted.name),
            Some(
                ImageTarget::KernelFunctionAddr(wanted)
                | ImageTarget::TypedKsym(wanted)
                | ImageTarget::TypelessKsym(wanted),
            ) => return load(format!("address {}", wanted.name)),
            None => {}
        }
        let high = self.new.insns.get(at + 1).map_or(0, |second| second.imm);
        let text = Text { insn, high }.to_string();
        let target = at as i64 + 1 + i64::from(insn.imm);
        let function = self.new.functions.iter().find(|f| i64::from(f.start) == target);
        match function {
            Some(f) if insn.is_bpf_call() => {
                format!("call {} of {}", f.name, self.label(f.origin.0))
            }
            Some(f) if insn.is_ld_imm64() && insn.src() == pseudo::FUNC => {
                load(format!("function {} of {}", f.name, self.label(f.origin.0)))
            }
            _ => match insn.jump_target(at) {
                Some(target) => format!("{text} <{target}>"),
                None => text,
            },
        }
    }

    fn source(&self, at: usize) -> Option<Source> {
        let before = self.new.lines.partition_point(|l| l.insn as usize <= at);
        let line = self.new.lines.get(before.checked_sub(1)?)?;
        let text = |offset| self.set.btf.str_at(offset).trim().to_owned();
        let (file, source) = (text(line.file_off), text(line.line_off));
        Some(Source { file, line: line.line_col >> 10, source })
    }
}

impl Listing {
    fn print(&self, out: &mut impl Write, style: Style) -> io::Result<()> {
        let slots: u32 = self.functions.iter().map(|f| f.insns).sum();
        let instructions = output::count(slots.into(), "instruction");
        writeln!(out, "{}", style.bold(&format!("{}, {}: {instructions}", self.name, self.form)))?;
        for call in &self.calls {
            let text = format!("; {} stays a call: {}", call.function, call.why);
            writeln!(out, "{}", style.dim(&text))?;
        }
        let (mut from, mut source) = (("", ""), None);
        for line in &self.insns {
            let starts = self.functions.iter().find(|f| f.start as usize == line.index);
            if let Some(function) = starts {
                let header = format!("{} of {}:", function.name, function.instance);
                writeln!(out, "\n{}", style.bold(&header))?;
                from = (function.name.as_str(), function.instance.as_str());
                source = None;
            }
            let here = (line.function.as_str(), line.instance.as_str());
            if here != from {
                let text = format!("; --- {} of {}", here.0, here.1);
                writeln!(out, "{}", style.cyan(&text))?;
                (from, source) = (here, None);
            }
            if line.source != source {
                if let Some(Source { file, line, source }) = &line.source {
                    let file = file.rsplit('/').next().unwrap_or(file);
                    writeln!(out, "{}", style.dim(&format!("; {file}:{line}  {source}")))?;
                }
                source = line.source.clone();
            }
            writeln!(out, "{:5}: {}", line.index, line.text)?;
        }
        Ok(())
    }
}
