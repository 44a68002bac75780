//! `bpfweld load`: programs and maps are loaded and pinned, all of them or none.

use std::io::{self, Write};

use bpfweld::kernel::PinKind;
use serde::Serialize;

use crate::args::LoadArgs;
use crate::error::Failure;
use crate::output::{self, Align, Style, Table};
use crate::session::{Session, show_log};

/// The whole answer; its fields are the JSON's.
#[derive(Serialize)]
struct Report {
    pins: Vec<PinReport>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct PinReport {
    path: String,
    kind: &'static str,
    name: String,
    instance: String,
}

/// `bpfweld load`.
pub(crate) fn load(args: &LoadArgs) -> Result<(), Failure> {
    let session = Session::new(&args.link)?;
    let linked = session.link()?;
    let images = linked.images(&session.request().entries(&linked)?)?;
    // Before the load: where it fails, they may say why.
    output::warn(&images.warnings);
    let mut loaded =
        session.kernel.load_fused(&images, &session.options, args.link.fuse.policy())?.loaded;
    for program in loaded.programs() {
        show_log(program.name(), program.log(), args.output);
    }
    loaded.register()?;
    let pins = match loaded.pin(&args.pin) {
        Ok(pins) => pins,
        Err(error) => {
            // All or nothing.
            loaded.unregister();
            return Err(error.into());
        }
    };
    let mut warnings = images.warnings.clone();
    warnings.extend_from_slice(loaded.warnings());
    let pins = pins.into_iter().map(|pin| PinReport {
        path: pin.path.display().to_string(),
        kind: match pin.kind {
            PinKind::Program => "program",
            PinKind::Map => "map",
            PinKind::Link => "link",
        },
        name: pin.name,
        instance: pin.instance,
    });
    let report = Report { pins: pins.collect(), warnings };

    output::warn(loaded.warnings());
    for table in loaded.lasting_tables() {
        output::note(&format!(
            "table `{}` of {} is in use until `bpftool struct_ops unregister id {}`, whatever becomes of its pin",
            table.name(),
            table.label(),
            table.info().id
        ));
    }
    let stdout = io::stdout();
    let style = Style::of(&stdout);
    let mut out = stdout.lock();
    if args.output.json {
        return output::json(&mut out, &report);
    }
    let mut table = Table::new(&[
        ("kind", Align::Left),
        ("name", Align::Left),
        ("instance", Align::Left),
        ("pin", Align::Left),
    ]);
    for pin in report.pins {
        table.row([pin.kind.to_owned(), pin.name, pin.instance, pin.path]);
    }
    table.print(&mut out, style, "")?;
    out.flush()?;
    Ok(())
}
