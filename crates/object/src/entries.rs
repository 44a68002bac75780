//! Entry programs: which functions the kernel can run by themselves, by the section that they are in.

use crate::functions::Code;
use crate::maps::Maps;
use crate::model::{FuncId, Linkage, RelocTarget, SlotValue};
use crate::program::ProgramSpec;
use crate::sections::{SectionName, classify};

/// Sets [`Function::program`](crate::Function::program) of entry programs: functions outside `.text`
/// that are not static, or static ones that nothing in the object refers to.
pub(crate) fn mark(code: &mut Code, maps: &Maps, notes: &mut Vec<String>) {
    let uses = Uses::of(code, maps);
    let mut current: Option<(usize, ProgramSpec)> = None;
    for (i, function) in code.functions.iter_mut().enumerate() {
        if is_text(&function.section) {
            continue;
        }
        let is_static = function.linkage == Linkage::Static;
        let in_slot = uses.slots.get(i) == Some(&true);
        if is_static && !in_slot && uses.referred.get(i) == Some(&true) {
            continue;
        }
        if is_static && !in_slot {
            let name = &function.name;
            notes.push(format!(
                "function {name} is static and nothing calls it: taken for an entry program"
            ));
        }
        let spec = match &current {
            Some((section, spec)) if *section == function.section_index => spec.clone(),
            _ => {
                let spec = spec_of(&function.section, notes);
                current = Some((function.section_index, spec.clone()));
                spec
            }
        };
        function.program = Some(spec);
    }
}

/// Subprograms live here (`.text.x` with -ffunction-sections).
fn is_text(section: &str) -> bool {
    section == ".text" || section.starts_with(".text.")
}

fn spec_of(section: &str, notes: &mut Vec<String>) -> ProgramSpec {
    let name = classify(section);
    match &name {
        SectionName::Known(_) => {}
        SectionName::Legacy { spec, like } => notes.push(format!(
            "section {section}: an old-style name, taken for {like} (program type {})",
            spec.prog_type
        )),
        SectionName::Unknown(_) => notes.push(format!(
            "section {section}: the name stands for no program type; its functions can be linked to"
        )),
    }
    name.into_spec()
}

/// Which functions something in the object refers to.
struct Uses {
    /// By a call or by its address, from another function.
    referred: Vec<bool>,
    /// By a slot of a prog array.
    slots: Vec<bool>,
}

impl Uses {
    fn of(code: &Code, maps: &Maps) -> Self {
        let count = code.functions.len();
        let mut uses = Self { referred: vec![false; count], slots: vec![false; count] };
        for (i, function) in code.functions.iter().enumerate() {
            for reloc in &function.relocs {
                if let RelocTarget::Call(FuncId(id)) | RelocTarget::FuncAddr(FuncId(id)) =
                    reloc.target
                    && id as usize != i
                {
                    set(&mut uses.referred, FuncId(id));
                }
            }
        }
        for (_, value) in maps.defs.iter().flat_map(|def| &def.values) {
            if let SlotValue::Program(id) = value {
                set(&mut uses.slots, *id);
            }
        }
        uses
    }
}

fn set(flags: &mut [bool], id: FuncId) {
    if let Some(flag) = flags.get_mut(id.index()) {
        *flag = true;
    }
}
