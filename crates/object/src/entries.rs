//! Entry programs: which functions the kernel can run by themselves, by the section that they are in.

use crate::model::{FuncId, Function, Linkage, MapDef, RelocTarget, SlotValue};
use crate::program::ProgramSpec;
use crate::sections::{SectionName, classify};

/// Does it take all functions' references to tell which are entry programs? So it is with static
/// functions outside `.text`.
pub(crate) fn depend_on_references(functions: &[Function]) -> bool {
    functions.iter().any(|f| f.linkage == Linkage::Static && !is_text(&f.section))
}

/// Sets [`Function::program`](crate::Function::program) of entry programs: functions outside `.text`
/// that are not static, or static ones that nothing in the object refers to.
pub(crate) fn mark(functions: &mut [Function], maps: &[MapDef], notes: &mut Vec<String>) {
    let uses = match depend_on_references(functions) {
        true => Uses::of(functions, maps),
        false => Uses::default(),
    };
    let mut current: Option<(usize, ProgramSpec)> = None;
    for (i, function) in functions.iter_mut().enumerate() {
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
#[derive(Default)]
struct Uses {
    /// By a call or by its address, from another function.
    referred: Vec<bool>,
    /// By a slot of a prog array.
    slots: Vec<bool>,
}

impl Uses {
    fn of(functions: &[Function], maps: &[MapDef]) -> Self {
        let count = functions.len();
        let mut uses = Self { referred: vec![false; count], slots: vec![false; count] };
        for (i, function) in functions.iter().enumerate() {
            for reloc in &function.relocs {
                if let RelocTarget::Call(FuncId(id)) | RelocTarget::FuncAddr(FuncId(id)) =
                    reloc.target
                    && id as usize != i
                {
                    set(&mut uses.referred, FuncId(id));
                }
            }
        }
        for (_, value) in maps.iter().flat_map(|def| &def.values) {
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
