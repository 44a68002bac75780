//! What was made, read again as the inputs are, and compared with what it was to be. Nothing leaves the
//! linker that does not pass here.

use bpfweld_object::{FileParts, ReadProblem};

use crate::elf::{File, Section};
use crate::error::LinkError;
use crate::hash::HashMap;
use crate::input::{Role, Shared};
use crate::inputs::{Input, Taken};
use crate::names::Names;

/// What an output is to have.
pub(crate) struct Expected {
    /// Name and size.
    sections: Vec<(Vec<u8>, u64)>,
    relocs: Vec<usize>,
    symbols: usize,
}

impl Expected {
    /// Of the file that it is made from.
    pub(crate) fn of(file: &File, names: &Names) -> Self {
        let name = |s: &Section| names.bytes(s.name).to_vec();
        Self {
            sections: file.sections.iter().map(|s| (name(s), s.size)).collect(),
            relocs: file.sections.iter().map(|s| s.rels.len()).collect(),
            symbols: file.symbols.len(),
        }
    }
}

/// Checks the bytes of an output, with what is known from the inputs.
pub(crate) fn check(
    bytes: &[u8],
    expected: &Expected,
    shared: &mut Shared,
) -> Result<(), LinkError> {
    const NAME: &str = "output";
    let mut parts = FileParts::default();
    let read = parts.read(NAME, bytes).map_err(|e| LinkError::ReadBack(e.problem))?;
    let broken = |what: String| Err(LinkError::Output(what));
    // Null entries come first; tables of symbols, strings and relocations behind.
    let sections = read.sections().skip(1);
    let wanted = expected.sections.iter().zip(&expected.relocs);
    for (section, ((name, size), relocs)) in sections.zip(wanted) {
        let same = section.name == name.as_slice()
            && section.size == *size
            && section.relocs.len() == *relocs;
        if !same {
            let name = String::from_utf8_lossy(section.name);
            return broken(format!("section {name} is not as it was made"));
        }
    }
    let symbols = read.symbols().len().saturating_sub(1);
    if symbols != expected.symbols {
        return broken(format!("{symbols} symbols instead of {}", expected.symbols));
    }
    let mut taken = Taken::default();
    shared.passes_over_lines = true;
    match taken.take(NAME, bytes, &mut parts, shared) {
        Ok(()) => {}
        // Types and symbols alone are for others to link.
        Err(LinkError::Read(error)) if matches!(*error.problem, ReadProblem::Nothing) => {
            return Ok(());
        }
        Err(LinkError::Read(error)) => return Err(LinkError::ReadBack(error.problem)),
        Err(error) => return Err(error),
    }
    check_variables(&taken.view(), shared)
}

fn check_variables(input: &Input, shared: &Shared) -> Result<(), LinkError> {
    let broken = |what: String| Err(LinkError::Output(what));
    // One section has a name in an output.
    let sections = input.sections().iter().filter(|s| s.role != Role::Dropped);
    let sections: HashMap<_, _> = sections.map(|s| (s.name, s)).collect();
    for datasec in input.datasecs() {
        let Some(section) = sections.get(&datasec.name) else { continue };
        let name = shared.names.text(datasec.name);
        let mut end = 0;
        for (entry, var) in input.defined_vars(datasec) {
            // Aliases share a place, in one object already.
            let behind = entry.offset.saturating_add(entry.size);
            if u64::from(behind) > section.size || entry.offset < end && entry.size == 0 {
                let var = shared.names.text(var.name);
                return broken(format!("variable {var} is not within {name}"));
            }
            end = entry.offset;
        }
        if u64::from(datasec.size) != section.size {
            return broken(format!("the types give section {name} another size"));
        }
    }
    Ok(())
}
