//! What need not be read in full: an object of which every part is like what was read in full before, in
//! another object of the link, or plain enough to be seen to be whole here. A link of many objects would
//! spend most of its time on checking once more what it has seen.
//!
//! Whatever is not plain is not known: then [`bpfweld_object::Object::check`] decides, and tells what is
//! wrong. Should something slip through here, it is found when the output is read back.

use crate::hash::HashSet;

use bpfweld_btf::{Endian, Linkage, TypeId};
use bpfweld_insn::{CALL, INSN_SIZE, Insn, LD_IMM64, pseudo};
use bpfweld_object::{FileReloc, RelocKind};

use crate::elf;
use crate::input::{Chunk, Core, Datasec, Described, Lists, Role, Section, Shared, Symbol};
use crate::inputs::Input;
use crate::names::{Name, Names};

/// What has been read in full, in this link.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Number of types in the link's builder: all of them were part of an object that was.
    types: u32,
    /// Types of functions.
    protos: HashSet<TypeId>,
    /// Types of variables, the sections that list them, the bytes that they get there.
    vars: HashSet<(TypeId, Option<Name>, u32)>,
}

/// Bytes of contents, sections, and lists of variables from which on an object is not plain.
const MAX_BYTES: usize = 1 << 24;
const MAX_PARTS: usize = 128;
/// Largest section of variables, in bytes.
const MAX_SECTION: u64 = 1 << 20;

impl Known {
    /// The same, when the builder has more types that are no plain ones.
    pub(crate) fn with(self, types: u32) -> Self {
        Self { types, ..self }
    }

    /// Was nothing read so far?
    pub(crate) fn is_empty(&self) -> bool {
        self.types == 0
    }

    /// Number of types, `void` included, that were part of inputs.
    pub(crate) fn types(&self) -> u32 {
        self.types
    }

    /// Did all of so many types come from inputs that were read?
    pub(crate) fn has_all(&self, types: u32) -> bool {
        self.types == types
    }

    /// Remembers an object that was read in full; the builder now has so many types.
    pub(crate) fn learn(&mut self, input: &Input, types: u32) {
        self.types = types;
        self.protos.extend(input.funcs().iter().map(|f| f.proto));
        self.vars.extend(vars(input));
    }
}

impl Shared {
    /// Is all of the object known or plain? If so, does its code have references without relocations? The
    /// builder has so many types, with this object's.
    pub(crate) fn covers(
        &self,
        input: &Input,
        data: &[u8],
        types: u32,
        endian: Endian,
    ) -> Option<bool> {
        let (known, lists) = (&self.known, &self.lists);
        let code = |s: &&Section| s.is_code();
        let bytes: usize = input.sections().iter().map(|s| s.data.len()).sum();
        let kept = |s: &Section| matches!(s.role, Role::Maps | Role::Data) && s.size > 0;
        let has_parts = input.has_code || input.sections().iter().any(kept);
        // A tag may be on a member that is not there.
        let is_plain =
            has_parts && input.has_types && input.tags().is_empty() && bytes <= MAX_BYTES;
        let is_plain = is_plain
            && known.types == types
            && input.funcs().iter().all(|f| known.protos.contains(&f.proto))
            && vars(input).all(|var| known.vars.contains(&var))
            && input.symbols().iter().all(is_plain_symbol)
            && are_plain_sections(input, &self.names)
            && have_vars_places(input);
        let mut code = input.sections().iter().filter(code).filter(|_| is_plain);
        let bare = code.try_fold(false, |bare, section| {
            Some(bare | is_plain_code(section.data.of(data), lists, input, section, endian)?)
        });
        bare.filter(|_| is_plain)
    }
}

/// What is to be known of variables.
fn vars(input: &Input) -> impl Iterator<Item = (TypeId, Option<Name>, u32)> {
    let listed = input.datasecs().iter().flat_map(|d| d.entries.of(input.entries()));
    let listed = listed.filter_map(|entry| match entry.what {
        Described::Var(at) => {
            let var = input.vars().get(at as usize)?;
            Some((var.type_id, var.section, entry.size))
        }
        Described::Func(_) => None,
    });
    let others = input.vars().iter().filter(|v| v.section.is_none());
    listed.chain(others.map(|v| (v.type_id, None, 0)))
}

fn is_plain_symbol(symbol: &Symbol) -> bool {
    let is_place = !symbol.names_section() && symbol.kind != elf::STT_FILE;
    match symbol.section() {
        _ if symbol.name == Name::EMPTY || !is_place => true,
        None => symbol.described().is_some() && !symbol.is_absolute(),
        Some(_) => true,
    }
}

fn are_plain_sections(input: &Input, names: &Names) -> bool {
    let kept = input.sections().get(1..).unwrap_or_default();
    let lists = input.datasecs().len();
    if kept.len() > MAX_PARTS || lists > MAX_PARTS {
        return false;
    }
    let once = |at: usize, name: Name| {
        kept.get(at + 1..).unwrap_or_default().iter().all(|s| s.old_name != name)
    };
    let listed_once = |at: usize, name: Name| {
        input.datasecs().get(at + 1..).unwrap_or_default().iter().all(|d| d.name != name)
    };
    input.datasecs().iter().enumerate().all(|(at, d)| listed_once(at, d.name))
        && kept.iter().enumerate().all(|(at, section)| {
            once(at, section.old_name)
                && match section.role {
                    Role::Dropped => false,
                    Role::Data => is_plain_data(section, names),
                    // A note of such a name, or one without contents, is taken for something else.
                    _ if section.kind != elf::SHT_PROGBITS => false,
                    Role::Text | Role::Entries | Role::Single => true,
                    // Slots of maps are filled by relocations.
                    Role::Maps => {
                        let mut listed = input.datasecs().iter().filter(|d| d.name == section.name);
                        section.relocs.is_empty()
                            && listed.next().is_some_and(|d| are_maps_apart(input, section, d))
                    }
                }
        })
}

fn is_plain_data(section: &Section, names: &Names) -> bool {
    let name = names.bytes(section.name);
    let is = |kind: &[u8]| {
        let rest = name.strip_prefix(kind);
        rest.is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'.'))
    };
    let kind = match section.kind {
        elf::SHT_NOBITS => is(b".bss"),
        elf::SHT_PROGBITS => is(b".data") || is(b".rodata"),
        _ => false,
    };
    kind && section.flags & elf::SHF_ALLOC != 0 && (1..=MAX_SECTION).contains(&section.size)
}

/// Each map is alone in its place.
fn are_maps_apart(input: &Input, section: &Section, datasec: &Datasec) -> bool {
    input.defined_vars(datasec).all(|(entry, var)| {
        let symbol = var.symbol.and_then(|s| input.symbol(s));
        symbol.and_then(|s| input.chunk_from(section, s.value)).is_some_and(|chunk| {
            u64::from(entry.size) <= chunk.end - chunk.start && input.starting(chunk).len() == 1
        })
    })
}

/// Variables have a place, and a size. Of externs there is no place.
fn have_vars_places(input: &Input) -> bool {
    input.datasecs().iter().all(|datasec| {
        datasec.entries.of(input.entries()).iter().all(|entry| {
            let Described::Var(at) = entry.what else { return true };
            let Some(var) = input.vars().get(at as usize) else { return false };
            let symbol = var.symbol.and_then(|s| input.symbol(s));
            var.linkage == Linkage::Extern
                || entry.size > 0 && symbol.is_some_and(|s| s.section().is_some())
        })
    })
}

/// The function that a chunk is: where it ends. `None` when it is not plain.
fn end_of(input: &Input, chunk: &Chunk) -> Option<u64> {
    let [symbol] = *input.starting(chunk) else { return None };
    let size = input.symbol(symbol)?.size;
    let end = chunk.start.checked_add(size)?;
    let aligned = (chunk.start | size).is_multiple_of(INSN_SIZE as u64);
    (aligned && size > 0 && end <= chunk.end).then_some(end)
}

fn starts_at(input: &Input, section: &Section, offset: u64) -> bool {
    input.chunk_from(section, offset).is_some()
}

/// If code is plain: does it have references without relocations?
fn is_plain_code(
    data: &[u8],
    lists: &Lists,
    input: &Input,
    section: &Section,
    endian: Endian,
) -> Option<bool> {
    let mut bare = false;
    let mut relocs = lists.relocs_of(section).iter().peekable();
    let plain = input.chunks_of(section).iter().all(|chunk| {
        let end = end_of(input, chunk);
        let range =
            usize::try_from(chunk.start).ok().zip(end.and_then(|e| usize::try_from(e).ok()));
        let code = range.and_then(|(start, end)| data.get(start..end));
        code.is_some_and(|code| {
            let mut slots = code.as_chunks::<INSN_SIZE>().0.iter();
            let mut offset = chunk.start;
            while let Some(&slot) = slots.next() {
                // The opcode comes first in either byte order. A relocation of anything else is left over.
                if !matches!(slot[0], CALL | LD_IMM64) {
                    offset += INSN_SIZE as u64;
                    continue;
                }
                let insn = match endian {
                    Endian::Little => Insn::from_le(slot),
                    Endian::Big => Insn::from_be(slot),
                };
                let reloc = relocs.next_if(|r| r.offset == offset);
                let fine = match reloc {
                    Some(reloc) => is_plain_reference(input, insn, reloc),
                    None if !may_refer(insn) => true,
                    None => {
                        bare = true;
                        is_plain_alone(input, section, insn, offset)
                    }
                };
                offset += INSN_SIZE as u64;
                if !fine {
                    return false;
                }
                if insn.is_ld_imm64() {
                    offset += INSN_SIZE as u64;
                    if slots.next().is_none_or(|second| second[0] != 0) {
                        return false;
                    }
                }
            }
            true
        })
    });
    // What is left was in a gap, within an instruction, or on one that refers to nothing.
    let plain = plain
        && relocs.next().is_none()
        && (!input.chunks_of(section).is_empty() || section.size == 0)
        && are_plain_accesses(data, lists.core_of(input, section));
    plain.then_some(bare)
}

/// Can it be a reference without a relocation?
fn may_refer(insn: Insn) -> bool {
    insn.src() != 0 && (insn.code == CALL || insn.is_ld_imm64())
}

fn is_plain_alone(input: &Input, section: &Section, insn: Insn, offset: u64) -> bool {
    let is_function = match (insn.code, insn.src()) {
        (CALL, pseudo::CALL) => true,
        (CALL, pseudo::KFUNC_CALL) => return false,
        _ if !insn.is_ld_imm64() || insn.src() == 0 => return true,
        (_, src) if src == pseudo::FUNC => true,
        _ => return false,
    };
    let distance = (i64::from(insn.imm) + 1) * INSN_SIZE as i64;
    let target = offset.checked_add_signed(distance);
    is_function && target.is_some_and(|target| starts_at(input, section, target))
}

fn is_plain_reference(input: &Input, insn: Insn, reloc: &FileReloc) -> bool {
    let Some(symbol) = input.symbol(reloc.symbol) else { return false };
    let is_call = match reloc.kind {
        RelocKind::Call if insn.code == CALL && matches!(insn.src(), 0 | pseudo::CALL) => true,
        RelocKind::LoadImm64 if insn.is_ld_imm64() => false,
        _ => return false,
    };
    let Some(home) = symbol.section() else {
        return match symbol.described() {
            Some(Described::Func(_)) => !is_call || matches!(insn.imm, -1 | 0),
            Some(Described::Var(_)) => !is_call,
            None => false,
        };
    };
    let Some(home) = input.section(home) else { return false };
    let Some(offset) = symbol.value.checked_add_signed(reloc.addend) else { return false };
    match home.role {
        Role::Text | Role::Entries => starts_at(input, home, offset),
        _ if is_call => false,
        // Each is a variable that was looked at.
        Role::Maps => is_described_map(input, home, offset),
        Role::Data => offset <= home.size,
        Role::Single | Role::Dropped => false,
    }
}

fn is_described_map(input: &Input, section: &Section, offset: u64) -> bool {
    let chunk = input.chunk_from(section, offset);
    let symbol = chunk.and_then(|chunk| input.starting(chunk).first().copied());
    matches!(symbol.and_then(|s| input.described(s)), Some(Described::Var(_)))
}

/// CO-RE records are about the first halves of instructions of functions.
fn are_plain_accesses(data: &[u8], core: &[Core]) -> bool {
    core.iter().all(|core| {
        let at = core.offset as usize;
        let before = at.checked_sub(INSN_SIZE).and_then(|at| data.get(at));
        at.is_multiple_of(INSN_SIZE)
            && at < data.len()
            && before.is_none_or(|&code| code != LD_IMM64)
    })
}
