//! The licence of the output: that of all objects, or the stricter of compatible ones. The kernel knows
//! two classes, and what a program may call depends on nothing else: none is ever upgraded in silence.

use bpfweld_btf::Endian;
use bpfweld_insn::{INSN_SIZE, Insn, helper_gpl_only, helper_name};

use crate::error::{Declaration, LinkError};
use crate::input::{Line, Lists, Symbol};
use crate::inputs::{Input, Inputs};
use crate::names::{Name, Names};
use crate::report::{line_at, line_text};

/// Licences that make a program GPL-compatible (kernel, `license_is_gpl_compatible`), the strictest first.
const GPL_COMPATIBLE: [&str; 6] =
    ["GPL v2", "GPL", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
/// From here on, each gives a choice between the GPL and something else.
const FIRST_DUAL: usize = 3;

/// The output's licence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Licence {
    /// The input whose section is taken.
    pub(crate) owner: u32,
    /// What is to stand there; no longer than what does.
    pub(crate) text: Name,
}

/// Merges the licences of all inputs.
pub(crate) fn merge(
    inputs: &Inputs,
    names: &mut Names,
    lists: &Lists,
    endian: Endian,
    notes: &mut Vec<String>,
) -> Result<Option<Licence>, LinkError> {
    let chosen = choose(inputs, names, lists, endian, notes)?;
    Ok(chosen.map(|(owner, text)| Licence { owner, text: names.add(text.as_bytes()) }))
}

fn choose(
    inputs: &Inputs,
    names: &Names,
    lists: &Lists,
    endian: Endian,
    notes: &mut Vec<String>,
) -> Result<Option<(u32, String)>, LinkError> {
    let text = |input: &Input| std::str::from_utf8(names.bytes(input.licence?)).ok();
    let licensed = inputs.numbered().filter_map(|(at, input)| Some((at, input, text(&input)?)));
    let Some((_, first, first_text)) = licensed.clone().next() else { return Ok(None) };
    let mut strict = licensed.clone().filter(|(_, _, l)| rank(l).is_none());
    let text = match strict.next() {
        Some((_, one, text)) => {
            if let Some((_, other, different)) = strict.find(|(_, _, l)| *l != text) {
                let why = "neither is compatible with the GPL, and they are not the same";
                let first = declaration(&one, text, None, names);
                let second = declaration(&other, different, None, names);
                return Err(conflict((first, text), (second, different), why.to_owned()));
            }
            for (_, input, licence) in licensed.clone().filter(|(_, _, l)| rank(l).is_some()) {
                let Some(call) = gpl_only(&input, lists, endian) else { continue };
                let function = names.text(call.function);
                let helper = helper_name(call.helper)
                    .map_or_else(|| format!("#{}", call.helper), str::to_owned);
                let why = format!(
                    "with the first the whole is not compatible with the GPL, and `{function}` of \
                     the second calls {helper}, which only such programs may"
                );
                let first = declaration(&one, text, None, names);
                let second = declaration(&input, licence, call.line, names);
                return Err(conflict((first, text), (second, licence), why));
            }
            text.to_owned()
        }
        None => {
            let ranks = licensed.clone().filter_map(|(_, _, l)| rank(l));
            let strictest = ranks.min().unwrap_or(0);
            let same = licensed.clone().all(|(_, _, l)| l == first_text);
            match GPL_COMPATIBLE.get(strictest) {
                Some(text) if strictest < FIRST_DUAL || same => (*text).to_owned(),
                // What all of them allow.
                _ => "GPL".to_owned(),
            }
        }
    };
    let same = |(_, _, l): &(u32, Input<'_>, &str)| *l == text;
    let fits = |(_, _, l): &(u32, Input<'_>, &str)| l.len() >= text.len();
    let owner = licensed.clone().find(same).or_else(|| licensed.clone().find(fits));
    if let Some((_, input, licence)) = licensed.clone().find(|(_, _, l)| *l != text) {
        notes.push(format!(
            "the licence of the output is {text:?}, as the stricter one; {} has {licence:?}",
            input.label()
        ));
    }
    if let Some(input) = inputs.iter().find(|i| i.has_code && i.licence.is_none()) {
        notes.push(format!(
            "{} has no licence; the output has {text:?}, that of {}",
            input.label(),
            first.label()
        ));
    }
    Ok(owner.map(|(owner, _, _)| (owner, text)))
}

/// A call of a helper which the kernel gives to GPL programs only.
struct GplCall {
    /// What calls it.
    function: Name,
    helper: u32,
    line: Option<Line>,
}

fn gpl_only(input: &Input, lists: &Lists, endian: Endian) -> Option<GplCall> {
    let code = input.sections().iter().filter(|s| s.is_code());
    let mut chunks = code.flat_map(|s| input.chunks_of(s).iter().map(move |c| (s, c)));
    chunks.find_map(|(section, chunk)| {
        let symbol = input.symbol(*input.starting(chunk).first()?)?;
        let (start, end) = (usize::try_from(chunk.start).ok()?, usize::try_from(chunk.end).ok()?);
        let bytes = lists.data.of(section).get(start..end)?;
        let insns = bytes.as_chunks::<INSN_SIZE>().0.iter().map(|&bytes| match endian {
            Endian::Little => Insn::from_le(bytes),
            Endian::Big => Insn::from_be(bytes),
        });
        let mut insns = (chunk.start..).step_by(INSN_SIZE).zip(insns);
        let (offset, helper) =
            insns.find_map(|(at, i)| Some((at, i.helper().filter(|&h| helper_gpl_only(h))?)))?;
        let line = line_at(lists, input, section, offset);
        Some(GplCall { function: symbol.name, helper, line })
    })
}

/// A licence for a message.
fn declaration(input: &Input, licence: &str, line: Option<Line>, names: &Names) -> Declaration {
    let here = |s: &&Symbol| {
        let section = s.section().and_then(|s| input.section(s));
        !s.names_section() && section.is_some_and(|s| names.bytes(s.name) == b"license")
    };
    let symbol = input.symbols().iter().find(here);
    let text = symbol.map(|s| format!("char {}[] = {licence:?}", names.text(s.name)));
    let line = line.map(|line| line_text(names, line));
    Declaration { object: input.label().to_owned(), text, line }
}

fn rank(licence: &str) -> Option<usize> {
    GPL_COMPATIBLE.iter().position(|&l| l == licence)
}

fn conflict(
    (first, first_licence): (Declaration, &str),
    (second, second_licence): (Declaration, &str),
    why: String,
) -> LinkError {
    let (first_licence, second_licence) = (first_licence.to_owned(), second_licence.to_owned());
    LinkError::Licence { first, first_licence, second, second_licence, why }
}
