//! Sections of variables that the user makes larger: the room goes to the last variable, when that is an
//! array, and the types say so. Otherwise the kernel refuses the types, and the map is made without.

use std::borrow::Cow;
use std::collections::HashMap;

use bpfweld_btf::{Btf, BtfBuilder, Kind, SectionVar, TypeId};

/// Sections with another size than their own, in bytes.
#[derive(Default)]
pub(crate) struct Resized(HashMap<(TypeId, u32), TypeId>);

impl Resized {
    /// The DATASEC to name for a section of this size.
    pub(crate) fn of(&self, datasec: TypeId, size: u32) -> TypeId {
        self.0.get(&(datasec, size)).copied().unwrap_or(datasec)
    }
}

/// The types, with those of the sections that are wanted larger behind them.
pub(crate) fn rewrite<'a>(
    btf: Cow<'a, Btf>,
    wanted: impl Iterator<Item = (TypeId, u32)>,
) -> (Cow<'a, Btf>, Resized) {
    let mut wanted = wanted.peekable();
    if wanted.peek().is_none() {
        return (btf, Resized::default());
    }
    let mut out = BtfBuilder::extending(&btf);
    let mut resized = Resized::default();
    for (datasec, size) in wanted {
        if let Some(new) = with_size(&mut out, &btf, datasec, size) {
            resized.0.insert((datasec, size), new);
        }
    }
    match out.finish() {
        Ok(extended) => (Cow::Owned(extended), resized),
        // Too many types for one blob: then the kernel has none for these maps.
        Err(_) => (btf, Resized::default()),
    }
}

/// A copy of a DATASEC whose last variable is an array of as many elements as there is room for; `None`
/// when it is none, or the room is not that of whole elements.
fn with_size(out: &mut BtfBuilder, btf: &Btf, datasec: TypeId, size: u32) -> Option<TypeId> {
    let section = btf.ty(datasec);
    let mut vars: Vec<SectionVar> = section.section_vars().collect();
    let last = vars.last_mut()?;
    let var = btf.ty(last.type_id);
    let array = btf.resolve(var.type_id());
    if var.kind() != Kind::Var || array.kind() != Kind::Array {
        return None;
    }
    let room = size.checked_sub(last.offset)?;
    let element = u32::try_from(array.target().byte_size()?).ok().filter(|&bytes| bytes > 0)?;
    if !room.is_multiple_of(element) {
        return None;
    }
    let array = out.add_array(array.type_id(), array.array_index_type(), room / element);
    last.type_id = out.add_var(var.name(), array, var.linkage());
    last.size = room;
    Some(out.add_datasec(section.name(), size, &vars))
}
