//! What messages say about a symbol: its object, its declaration in C, a source line.

use bpfweld_object::RelocKind;

use crate::Context;
use crate::error::Declaration;
use crate::input::{Described, Line, Lists, Section, Symbol};
use crate::inputs::Input;
use crate::names::Names;
use crate::symbols::At;

/// A symbol for a message.
pub(crate) fn declaration(context: &Context, (number, at): At) -> Declaration {
    let Some(input) = context.inputs.get(number) else {
        return Declaration { object: String::new(), text: None, line: None };
    };
    let symbol = input.symbol(at);
    let name = symbol.map(|s| context.names.text(s.name)).unwrap_or_default();
    let text = input.described(at).and_then(|described| {
        let id = match described {
            Described::Func(f) => input.funcs().get(f as usize)?.proto,
            Described::Var(v) => input.vars().get(v as usize)?.type_id,
        };
        Some(context.types.c_declaration(context.type_id(id), &name))
    });
    let line = symbol.and_then(|symbol| line_of(&context.lists, &input, symbol, at));
    let line = line.map(|line| line_text(&context.names, line));
    Declaration { object: input.label().to_owned(), text, line }
}

/// Of a function its first line, of anything else the first line that uses it.
fn line_of(lists: &Lists, input: &Input, symbol: &Symbol, at: u32) -> Option<Line> {
    let home = symbol.section().and_then(|s| input.section(s));
    if let Some(section) = home.filter(|s| s.is_code()) {
        let lines = lists.lines_of(input, section);
        let first = lines.partition_point(|l| u64::from(l.offset) < symbol.value);
        return lines.get(first).copied();
    }
    input.sections().iter().find_map(|section| use_in(lists, input, section, at))
}

fn use_in(lists: &Lists, input: &Input, section: &Section, symbol: u32) -> Option<Line> {
    let uses = |k| matches!(k, RelocKind::Call | RelocKind::LoadImm64);
    let reloc = lists.relocs_of(section).iter().find(|r| r.symbol == symbol && uses(r.kind))?;
    line_at(lists, input, section, reloc.offset)
}

/// The line of an instruction.
pub(crate) fn line_at(
    lists: &Lists,
    input: &Input,
    section: &Section,
    offset: u64,
) -> Option<Line> {
    let lines = lists.lines_of(input, section);
    let behind = lines.partition_point(|l| u64::from(l.offset) <= offset);
    lines.get(behind.checked_sub(1)?).copied()
}

/// `file:line: text`, as far as it is known.
pub(crate) fn line_text(names: &Names, line: Line) -> String {
    let (file, text) = (names.text(line.file), names.text(line.text));
    let line = format!("{file}:{}: {}", line.line_col >> 10, text.trim());
    line.trim_end_matches([':', ' ']).to_owned()
}
