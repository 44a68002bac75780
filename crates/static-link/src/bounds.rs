//! Do symbols and variables lie in their sections? Whoever reads an object for loading looks at those that
//! programs use; an output has all of them.

use bpfweld_object::{ReadProblem, error::VariableProblem};

use crate::input::{Role, Section};
use crate::inputs::Input;
use crate::names::Names;

/// Checks all of an object.
pub(crate) fn check(input: &Input, names: &Names) -> Result<(), ReadProblem> {
    for symbol in input.symbols() {
        let Some(home) = symbol.section().and_then(|s| input.section(s)) else { continue };
        if !is_inside(home, symbol.value, symbol.size) {
            let (name, section) = (names.text(symbol.name), names.text(home.old_name));
            let (offset, size, section_size) = (symbol.value, symbol.size, home.size);
            let problem = format!(
                "symbol {name}: {size} bytes at {offset:#x} do not fit into its {section_size:#x}"
            );
            return Err(ReadProblem::Section { section: section.into_owned(), problem });
        }
    }
    for datasec in input.datasecs() {
        for (entry, var) in input.defined_vars(datasec) {
            let symbol = var.symbol.and_then(|s| input.symbol(s));
            let (home, offset) = match symbol {
                Some(symbol) => (symbol.section(), symbol.value),
                None => (input.section_named(datasec.name), entry.offset.into()),
            };
            let Some(home) = home.and_then(|s| input.section(s)) else { continue };
            let size = entry.size.into();
            if !is_inside(home, offset, size) {
                return Err(ReadProblem::Variable {
                    section: names.text(home.old_name).into_owned(),
                    variable: names.text(var.name).into_owned(),
                    problem: VariableProblem::OutOfSection {
                        offset,
                        size,
                        section_size: home.size,
                    },
                });
            }
        }
    }
    Ok(())
}

/// What is not linked may be anything.
fn is_inside(home: &Section, offset: u64, size: u64) -> bool {
    home.role == Role::Dropped || offset.checked_add(size).is_some_and(|end| end <= home.size)
}
