//! Entry programs that other code calls run as programs of the caller's type: that has to go together.

use bpfweld_object::ProgramSpec;
use bpfweld_object::sections::classify;

use crate::Context;
use crate::error::{LinkError, ProgramMismatch};
use crate::hash::HashSet;
use crate::plan::{ChunkAt, Plan, Which, references};
use crate::report::declaration;
use crate::symbols::Table;

/// Compares each entry program of the output with those that it reaches by calls.
pub(crate) fn check(
    context: &Context,
    table: &Table,
    plan: &Plan,
    notes: &mut Vec<String>,
    errors: &mut Vec<LinkError>,
) {
    // As it is with most links.
    if !plan.calls_entries() {
        return;
    }
    let programs = programs(context);
    let called: Vec<_> = programs.iter().filter(|(at, _)| plan.fate(*at).called).collect();
    for &(entry, ref spec) in programs.iter().filter(|(at, _)| plan.fate(*at).stays) {
        let mut seen: HashSet<ChunkAt> = HashSet::default();
        let mut todo = vec![entry];
        while let Some(at) = todo.pop() {
            references(context, table, at, Which::All, |to, from_code| {
                if from_code && to != entry && seen.insert(to) {
                    todo.push(to);
                }
            });
        }
        for &&(at, ref callee) in called.iter().filter(|(at, _)| seen.contains(at)) {
            let why = if !callee.may_run_in(spec) {
                ProgramMismatch::Type
            } else if callee.sleepable && !spec.sleepable {
                ProgramMismatch::Sleepable
            } else {
                if spec.frags && !callee.frags {
                    let (caller, callee) = (name(context, entry), name(context, at));
                    notes.push(format!(
                        "{caller} takes multi-buffer packets (frags) and calls {callee}, which \
                         was not written for them"
                    ));
                }
                continue;
            };
            let (Some(first), Some(second)) = (symbol(context, entry), symbol(context, at)) else {
                continue;
            };
            errors.push(LinkError::Program {
                caller: name(context, entry),
                caller_type: spec.type_name(),
                callee: name(context, at),
                callee_type: callee.type_name(),
                why,
                first: Box::new(declaration(context, (entry.0, first))),
                second: Box::new(declaration(context, (at.0, second))),
            });
        }
    }
}

/// All entry programs of the inputs, with what their section names say.
fn programs(context: &Context) -> Vec<(ChunkAt, ProgramSpec)> {
    let mut found = Vec::new();
    for (number, input) in context.inputs.numbered() {
        for (index, section) in (0u32..).zip(input.sections()) {
            let chunks = (0u32..).zip(input.chunks_of(section)).filter(|(_, c)| c.is_entry);
            for (at, _) in chunks {
                let spec = classify(&context.names.text(section.old_name)).into_spec();
                found.push(((number, index, at), spec));
            }
        }
    }
    found
}

/// The symbol that a chunk goes by.
fn symbol(context: &Context, (input, section, chunk): ChunkAt) -> Option<u32> {
    let input = context.inputs.get(input)?;
    let chunk = input.chunks_of(input.section(section)?).get(chunk as usize)?;
    input.starting(chunk).first().copied()
}

/// `FUNCTION of OBJECT`.
fn name(context: &Context, at: ChunkAt) -> String {
    let Some(input) = context.inputs.get(at.0) else { return String::new() };
    let symbol = symbol(context, at).and_then(|s| input.symbol(s));
    let name = symbol.map(|s| context.names.text(s.name)).unwrap_or_default();
    format!("`{name}` of {}", input.label())
}
