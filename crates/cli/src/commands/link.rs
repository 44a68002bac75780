//! `bpfweld link`: objects in, one object file out.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use bpfweld::static_link::{InputId, Linker, Options};
use serde::Serialize;

use crate::args::static_link::StaticLinkArgs;
use crate::error::Failure;
use crate::instances::{Edits, Instance};
use crate::output;

/// The whole answer; its fields are the JSON's.
#[derive(Serialize)]
struct Report {
    output: String,
    bytes: usize,
    objects: Vec<String>,
    notes: Vec<String>,
}

/// `bpfweld link`.
pub(crate) fn link(args: &StaticLinkArgs) -> Result<(), Failure> {
    let to_stdout = args.out == Path::new("-");
    if to_stdout && args.output.json {
        return Err(Failure::usage("standard output cannot take both the object and JSON"));
    }
    let edits = Edits::new(args)?;
    let instances = &edits.wiring.instances;
    if let Some(input) = instances.iter().find(|i| is_same_file(&i.path, &args.out)) {
        let (out, label) = (args.out.display(), &input.label);
        let problem = format!("--out {out} is one of the objects, {label}, and would replace it");
        return Err(Failure::usage(problem).hint("give the output a name of its own"));
    }
    let mut linker = Linker::new();
    let files: Vec<(&str, &Path)> =
        instances.iter().map(|i| (i.label.as_str(), i.path.as_path())).collect();
    let ids = linker.add_files(&files)?;
    let id = |at: usize| ids[at];
    for wire in &edits.wiring.bindings {
        linker.bind(id(wire.caller), &wire.name, id(wire.target), wire.function.as_deref());
    }
    for (of, old, new) in &edits.renames {
        linker.rename(of.map(id), old, new);
    }
    for (of, pattern) in &edits.localize {
        linker.localize(of.map(id), pattern);
    }
    tell_instances_apart(&mut linker, args, instances, &ids);
    let options = Options {
        root: edits.root.map(id),
        strip_unreachable: args.strip_unreachable,
        keep_going: args.keep_going,
    };
    let linked = linker.link(&options)?;
    output::warn(&linked.notes);
    if to_stdout {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&linked.bytes)?;
        return Ok(stdout.flush()?);
    }
    write(&args.out, &linked.bytes)?;
    let mut stdout = io::stdout().lock();
    let report = Report {
        output: args.out.display().to_string(),
        bytes: linked.bytes.len(),
        objects: edits.wiring.instances.into_iter().map(|i| i.label).collect(),
        notes: linked.notes,
    };
    if args.output.json {
        return output::json(&mut stdout, &report);
    }
    if args.output.verbose {
        let count = report.objects.len();
        writeln!(stdout, "{}: {} bytes from {count} objects", report.output, report.bytes)?;
    }
    Ok(())
}

/// Do both lead to one file, by whatever names?
fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).ok().filter(Metadata::is_file);
    let both = file(one).zip(file(other));
    both.is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// What one file defines twice needs two names: that of the label comes first.
fn tell_instances_apart(
    linker: &mut Linker,
    args: &StaticLinkArgs,
    instances: &[Instance],
    ids: &[InputId],
) {
    if args.labels.is_empty() {
        return;
    }
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let paths: Vec<PathBuf> = instances.iter().map(|i| real(&i.path)).collect();
    for ((instance, &id), path) in instances.iter().zip(ids).zip(&paths) {
        let labelled = args.labels.iter().any(|(label, _)| *label == instance.label);
        if labelled && paths.iter().filter(|p| *p == path).count() > 1 {
            let identifier = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            let prefix: String = instance.label.chars().map(identifier).collect();
            let first_is_digit = prefix.starts_with(|c: char| c.is_ascii_digit());
            let lead = if first_is_digit { "_" } else { "" };
            linker.prefix(id, &format!("{lead}{prefix}_"));
        }
    }
}

/// Under another name first: whoever looks sees the old file or the new one, whole.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
    // What a link leads to is replaced, not the link; devices and pipes cannot be.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
        let mut file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        return file.write_all(bytes).map_err(failed);
    }
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidInput, "it names no file")))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", process::id()));
    let temporary = path.with_file_name(temporary);
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|error| {
        // It may not even be there.
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}
