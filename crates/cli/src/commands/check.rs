//! `bpfweld check`: every entry program of the root is linked and verified, each for itself, so that one
//! that is refused hides nothing of the others. Nothing is attached and nothing stays.

use std::io::{self, Write};

use bpfweld::link::fuse::ImageReport;
use bpfweld::{Entry, Image, InstanceId, Linked};
use serde::Serialize;

use crate::args::CheckArgs;
use crate::error::{Failure, Sources};
use crate::output::{self, Align, Style, Table};
use crate::session::{Session, show_log};

/// The whole answer; its fields are the JSON's.
#[derive(Serialize)]
struct Report {
    programs: Vec<ProgramReport>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct ProgramReport {
    name: String,
    section: String,
    #[serde(rename = "type")]
    prog_type: String,
    loaded: bool,
    /// Why not: everything there is to say.
    error: Option<String>,
    /// Its code.
    code: Option<&'static str>,
    /// Instructions after linking; `null` where it did not link.
    insns: Option<usize>,
    /// Its functions after linking, the entry first; `null` where it did not link.
    functions: Option<Vec<FunctionReport>>,
    /// Calls that went inline, as `INSTANCE:FUNCTION`.
    fused: Vec<String>,
    /// Calls that stayed.
    calls: Vec<CallReport>,
}

#[derive(Serialize)]
struct CallReport {
    /// `INSTANCE:FUNCTION`
    function: String,
    /// Why it did not go inline.
    why: String,
}

#[derive(Serialize)]
struct FunctionReport {
    name: String,
    instance: String,
    insns: u32,
    /// Verified alone and not along each path?
    global: bool,
}

/// `bpfweld check`.
pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let session = Session::new(&args.link)?;
    let linked = session.link()?;
    let mut report = Report { programs: Vec::new(), warnings: Vec::new() };
    let mut failures: Vec<Failure> = Vec::new();
    for entry in session.request().entries(&linked)? {
        let (program, failure) = check_one(&session, &linked, entry, args, &mut report.warnings);
        // What stands in the way of all, such as a missing privilege, is told once.
        let said = report.programs.iter().any(|other| other.error == program.error);
        failures.extend(failure.filter(|_| !said).map(|f| f.of_program(&program.name)));
        report.programs.push(program);
    }

    output::warn(&report.warnings);
    let stdout = io::stdout();
    let style = Style::of(&stdout);
    let mut out = stdout.lock();
    if args.output.json {
        output::json(&mut out, &report)?;
    } else {
        report.print(&mut out, style)?;
        out.flush()?;
    }
    if failures.is_empty() {
        return Ok(());
    }
    let stderr = io::stderr();
    let mut sources = Sources::beside(args.link.object_paths());
    for failure in &failures {
        let (style, whole) = (Style::of(&stderr), args.output.verbose);
        // Where standard error is closed, the exit code has to do.
        let _ = failure.render(&mut stderr.lock(), style, whole, &mut sources);
    }
    Err(Failure::told())
}

fn check_one(
    session: &Session,
    linked: &Linked,
    entry: Entry,
    args: &CheckArgs,
    warnings: &mut Vec<String>,
) -> (ProgramReport, Option<Failure>) {
    let mut report = ProgramReport::of(linked, entry);
    let outcome = (|| {
        let images = linked.images(&[entry])?;
        add(warnings, &images.warnings);
        if let Some(image) = images.images.first() {
            report.describe(linked, image);
        }
        let policy = args.link.fuse.policy();
        let fused = session.kernel.load_fused(&images, &session.options, policy)?;
        if let (Some(image), Some(calls)) =
            (fused.images.images.first(), fused.report.images.first())
        {
            report.describe(linked, image);
            report.fuse(linked, calls);
        }
        let loaded = fused.loaded;
        add(warnings, loaded.warnings());
        for program in loaded.programs() {
            show_log(program.name(), program.log(), args.output);
        }
        Ok::<_, Failure>(())
    })();
    match outcome {
        Ok(()) => {
            report.loaded = true;
            (report, None)
        }
        Err(failure) => {
            report.error = Some(failure.to_text());
            report.code = Some(failure.code_name());
            (report, Some(failure))
        }
    }
}

/// Each warning once: programs of one object have many in common.
fn add(warnings: &mut Vec<String>, more: &[String]) {
    for warning in more {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
}

impl ProgramReport {
    fn of(linked: &Linked, entry: Entry) -> Self {
        let instance = linked.instances().get(entry.instance().index());
        let function = instance.and_then(|i| i.object.functions.get(entry.function().index()));
        let prog_type = function.and_then(|f| f.program.as_ref()).map(|spec| spec.prog_type.name());
        Self {
            name: function.map(|f| f.name.clone()).unwrap_or_default(),
            section: function.map(|f| f.section.to_string()).unwrap_or_default(),
            prog_type: prog_type.unwrap_or("unknown").to_owned(),
            loaded: false,
            error: None,
            code: None,
            insns: None,
            functions: None,
            fused: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn describe(&mut self, linked: &Linked, image: &Image) {
        self.insns = Some(image.insns.len());
        let functions = image.functions.iter().map(|function| FunctionReport {
            name: function.name.clone(),
            instance: linked
                .instances()
                .get(function.origin.0.index())
                .map(|instance| instance.label.clone())
                .unwrap_or_default(),
            insns: function.len,
            global: function.global,
        });
        self.functions = Some(functions.collect());
    }
}

impl ProgramReport {
    fn fuse(&mut self, linked: &Linked, calls: &ImageReport) {
        let name = |instance: InstanceId, function: &str| {
            let label = linked.instances().get(instance.index()).map(|i| i.label.as_str());
            format!("{}:{function}", label.unwrap_or_default())
        };
        let fused = calls.fused.iter().map(|call| name(call.callee.0, &call.name));
        self.fused = fused.collect();
        let kept = calls.kept.iter().map(|call| CallReport {
            function: name(call.callee.0, &call.name),
            why: call.why.to_string(),
        });
        self.calls = kept.collect();
    }
}

impl Report {
    fn print(&self, out: &mut impl Write, style: Style) -> io::Result<()> {
        let mut table = Table::new(&[
            ("program", Align::Left),
            ("section", Align::Left),
            ("type", Align::Left),
            ("insns", Align::Right),
            ("functions", Align::Right),
            ("result", Align::Left),
        ]);
        let number = |n: Option<usize>| n.map_or("-".to_owned(), |n| n.to_string());
        for program in &self.programs {
            let result = match (program.loaded, program.insns) {
                (true, _) => style.green("loaded"),
                (false, Some(_)) => style.red("refused"),
                (false, None) => style.red("not linked"),
            };
            table.row([
                program.name.clone(),
                program.section.clone(),
                program.prog_type.clone(),
                number(program.insns),
                number(program.functions.as_ref().map(Vec::len)),
                result,
            ]);
        }
        table.print(out, style, "")
    }
}
