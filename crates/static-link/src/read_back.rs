//! What was made, read again by the reader of objects, and compared with what it was to be. Nothing
//! leaves the linker that does not pass here.

use bpfweld_btf::{Kind, Linkage};
use bpfweld_object::{Object, ObjectFile, ReadProblem};

use crate::elf::File;
use crate::error::LinkError;

/// What an output is to have.
pub(crate) struct Expected {
    /// Name and size.
    sections: Vec<(Vec<u8>, u64)>,
    relocs: Vec<usize>,
    symbols: usize,
}

impl Expected {
    /// Of the file that it is made from.
    pub(crate) fn of(file: &File<'_>) -> Self {
        Self {
            sections: file.sections.iter().map(|s| (s.name.to_vec(), s.size)).collect(),
            relocs: file.sections.iter().map(|s| s.rels.len()).collect(),
            symbols: file.symbols.len(),
        }
    }
}

/// Checks the bytes of an output.
pub(crate) fn check(bytes: &[u8], expected: &Expected) -> Result<(), LinkError> {
    const NAME: &str = "output";
    let object = match Object::parse(NAME, bytes) {
        Ok(object) => {
            object.check().map_err(|e| LinkError::ReadBack(e.problem))?;
            Some(object)
        }
        // Types and symbols alone are for others to link.
        Err(error) if matches!(*error.problem, ReadProblem::Nothing) => None,
        Err(error) => return Err(LinkError::ReadBack(error.problem)),
    };
    let read = ObjectFile::parse(NAME, bytes).map_err(|e| LinkError::ReadBack(e.problem))?;
    let broken = |what: String| Err(LinkError::Output(what));
    // Null entries come first; tables of symbols, strings and relocations behind.
    let sections = read.sections.get(1..).unwrap_or_default();
    let wanted = expected.sections.iter().zip(&expected.relocs);
    for (section, ((name, size), relocs)) in sections.iter().zip(wanted) {
        let same = section.name.as_bytes() == name.as_slice()
            && section.size == *size
            && section.relocs.len() == *relocs;
        if !same {
            return broken(format!("section {} is not as it was made", section.name));
        }
    }
    let symbols = read.symbols.get(1..).unwrap_or_default();
    if symbols.len() != expected.symbols {
        return broken(format!("{} symbols instead of {}", symbols.len(), expected.symbols));
    }
    for symbol in symbols {
        let section = symbol.section.and_then(|s| read.sections.get(s as usize));
        let end = symbol.value.saturating_add(symbol.size);
        if section.is_some_and(|s| end > s.size) {
            return broken(format!("symbol {} ends behind its section", symbol.name));
        }
    }
    let Some(btf) = object.as_ref().and_then(|o| o.btf.as_ref()) else { return Ok(()) };
    for datasec in btf.types().filter(|t| t.kind() == Kind::Datasec) {
        let Some(section) = read.sections.iter().find(|s| s.name == datasec.name()) else {
            continue;
        };
        let mut end = 0;
        for var in datasec.section_vars() {
            if btf.ty(var.type_id).linkage() == Linkage::Extern {
                continue;
            }
            // Aliases share a place, in one object already.
            let behind = var.offset.saturating_add(var.size);
            if u64::from(behind) > section.size || var.offset < end && var.size == 0 {
                let name = btf.ty(var.type_id).name();
                return broken(format!("variable {name} is not within {}", datasec.name()));
            }
            end = var.offset;
        }
        if u64::from(datasec.size()) != section.size {
            return broken(format!("the types give section {} another size", datasec.name()));
        }
    }
    Ok(())
}
