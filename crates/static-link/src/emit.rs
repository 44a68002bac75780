//! The contents of the output's sections: the pieces copied, and every reference in them adjusted.

use bpfweld_btf::Endian;
use bpfweld_insn::INSN_SIZE;
use bpfweld_object::{FileReloc, RelocKind};

use crate::Context;
use crate::elf;
use crate::error::LinkError;
use crate::input::{Data, Lists, Role, Section};
use crate::inputs::Input;
use crate::jump_tables;
use crate::lay_out::{Layout, OutSection, Piece};
use crate::plan::bare_references;
use crate::symbols::{At, Meaning, Table};

/// What a relocation of the output is against.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Target {
    /// The start of a section.
    Section(u32),
    /// A local symbol of an input.
    Symbol(At),
    /// A global name.
    Global(u32),
    /// An entry program that became a global function, by its place in [`Layout::called`].
    Called(u32),
}

/// A relocation of the output; its addend is in place already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutReloc {
    pub(crate) offset: u64,
    pub(crate) kind: RelocKind,
    pub(crate) target: Target,
}

/// A section's contents.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Where they are in the file.
    pub(crate) offset: u64,
    /// By rising offset.
    pub(crate) relocs: Vec<OutReloc>,
}

/// A section that is being filled.
struct Filling<'o> {
    /// Empty for `SHT_NOBITS`.
    data: &'o mut [u8],
    relocs: Vec<OutReloc>,
}

pub(crate) struct Emit<'c> {
    pub(crate) context: &'c Context,
    pub(crate) table: &'c Table,
    pub(crate) layout: &'c Layout,
    /// The inputs' relocations.
    pub(crate) code: &'c Lists,
}

impl Emit<'_> {
    /// The contents of all sections.
    pub(crate) fn all(
        &self,
        mut data: Data,
        file: &mut elf::Out,
    ) -> Result<Vec<Contents>, LinkError> {
        let mut all = Vec::with_capacity(self.layout.sections.len());
        for (index, out) in self.layout.sections.iter().enumerate() {
            all.push(self.section(index, out, &data, file)?);
            // An entry program can go into two sections.
            if self.layout.called.is_empty() {
                let inputs = &self.context.inputs;
                let from = |p: &Piece| inputs.get(p.input)?.section(p.section);
                out.pieces.iter().filter_map(from).for_each(|section| data.forget(section));
            }
        }
        Ok(all)
    }

    fn section(
        &self,
        index: usize,
        out: &OutSection,
        from: &Data,
        file: &mut elf::Out,
    ) -> Result<Contents, LinkError> {
        let offset = file.align(out.align);
        let start = file.bytes.len();
        if out.kind != elf::SHT_NOBITS {
            let size = usize::try_from(out.size).ok();
            let too_large = || LinkError::TooLarge(format!("a section of {} bytes", out.size));
            file.bytes.resize(start + size.ok_or_else(too_large)?, 0);
        }
        let data = file.bytes.get_mut(start..).unwrap_or_default();
        // Those that have none in the inputs may come on top.
        let relocs = out.pieces.iter().map(|p| self.relocs_of(p).len()).sum();
        let mut contents = Filling { data, relocs: Vec::with_capacity(relocs) };
        for piece in &out.pieces {
            let Some(input) = self.context.inputs.get(piece.input) else { continue };
            let Some(section) = input.section(piece.section) else { continue };
            copy(contents.data, from.of(section), piece);
            if out.role == Role::Single && self.context.names.bytes(out.name) == b"license" {
                self.set_licence(contents.data);
            }
            if jump_tables::is_section(section, &self.context.names) {
                self.move_targets(&input, section, from.of(section), piece, contents.data)?;
            }
            self.relocate(index, &input, section, from.of(section), piece, &mut contents)?;
        }
        let mut relocs = contents.relocs;
        if !relocs.is_sorted_by_key(|r| r.offset) {
            relocs.sort_by_key(|r| r.offset);
        }
        Ok(Contents { offset, relocs })
    }

    /// The inputs' relocations of a piece.
    fn relocs_of(&self, piece: &Piece) -> &[FileReloc] {
        let section = self.context.inputs.get(piece.input).and_then(|i| i.section(piece.section));
        section.map_or(&[], |section| self.code.relocs_in(section, piece.start(), piece.end()))
    }

    /// The text never is longer than what stands there.
    fn set_licence(&self, data: &mut [u8]) {
        let Some(licence) = &self.context.licence else { return };
        let text =
            self.context.names.bytes(licence.text).iter().copied().chain(std::iter::repeat(0));
        for (to, from) in data.iter_mut().zip(text) {
            *to = from;
        }
    }

    fn relocate(
        &self,
        index: usize,
        input: &Input,
        section: &Section,
        from: &[u8],
        piece: &Piece,
        contents: &mut Filling<'_>,
    ) -> Result<(), LinkError> {
        let endian = self.context.endian;
        let is_code = matches!(section.role, Role::Text | Role::Entries);
        for reloc in self.relocs_of(piece) {
            let offset = piece.at() + (reloc.offset - piece.start());
            let from_code = is_code && matches!(reloc.kind, RelocKind::Call | RelocKind::LoadImm64);
            let (target, addend) = self.target(piece.input, reloc, from_code).ok_or_else(|| {
                self.broken(input, section, reloc.offset, "what is not part of the output")
            })?;
            put(contents.data, offset, reloc.kind, addend, endian)
                .ok_or_else(|| self.broken(input, section, reloc.offset, "a place too far away"))?;
            contents.relocs.push(OutReloc { offset, kind: reloc.kind, target });
        }
        if !is_code {
            return Ok(());
        }
        // Where an entry program is both called and named by data, it is there twice, and its section whole.
        let moved = !self.layout.called.is_empty()
            || !self.layout.is_whole(piece.input, section, piece.section);
        if moved {
            self.move_bare(index, input, section, from, piece, contents)?;
        }
        for core in self.context.lists.core_of(input, section) {
            let offset = u64::from(core.offset);
            // `BPF_CORE_TYPE_ID_LOCAL` and `BPF_CORE_TYPE_ID_TARGET`: the id stands in the instruction.
            if matches!(core.kind, 6 | 7) && (piece.start()..piece.end()).contains(&offset) {
                let at = piece.at() + (offset - piece.start()) + 4;
                let new = self.context.type_id(core.type_id).0;
                if let Some(place) = word_at(contents.data, at)
                    && elf::get(*place, endian) == core.old_id
                {
                    *place = bytes(new, endian);
                }
            }
        }
        Ok(())
    }

    /// Calls within a section have no relocation; when what lies between goes, so does the distance.
    fn move_bare(
        &self,
        index: usize,
        input: &Input,
        section: &Section,
        from: &[u8],
        piece: &Piece,
        contents: &mut Filling<'_>,
    ) -> Result<(), LinkError> {
        let endian = self.context.endian;
        for bare in bare_references(from, self.code, section, piece.start(), piece.end(), endian) {
            // Who goes together keeps the distance.
            let together = piece.called().is_some() || section.role == Role::Text;
            if together && (piece.start()..piece.end()).contains(&bare.target) {
                continue;
            }
            let offset = piece.at() + (bare.offset - piece.start());
            let spot = self.function_spot(piece.input, piece.section, bare.target);
            let (out, target) = spot.ok_or_else(|| {
                self.broken(input, section, bare.offset, "a function that is not there")
            })?;
            let kind = if bare.is_call { RelocKind::Call } else { RelocKind::LoadImm64 };
            let too_far = || self.broken(input, section, bare.offset, "a place too far away");
            let signed = |n: u64| i64::try_from(n).ok();
            if out == index {
                let distance = signed(target).zip(signed(offset)).map(|(t, o)| t - o);
                let slots =
                    distance.map(|d| d / INSN_SIZE as i64 - 1).and_then(|d| i32::try_from(d).ok());
                let place = word_at(contents.data, offset + 4).zip(slots);
                let (place, slots) = place.ok_or_else(too_far)?;
                *place = bytes(slots.cast_unsigned(), endian);
                continue;
            }
            if !bare.is_call {
                // With a relocation, the instruction does not say what kind of address it is.
                clear_source(contents.data, offset, endian);
            }
            put(contents.data, offset, kind, signed(target).ok_or_else(too_far)?, endian)
                .ok_or_else(too_far)?;
            contents.relocs.push(OutReloc { offset, kind, target: section_target(out) });
        }
        Ok(())
    }

    /// What a relocation is against in the output, and the addend.
    fn target(&self, number: u32, reloc: &FileReloc, from_code: bool) -> Option<(Target, i64)> {
        let inputs = &self.context.inputs;
        let input = inputs.get(number)?;
        let symbol = input.symbol(reloc.symbol)?;
        let here = (number, reloc.symbol);
        let addend = reloc.addend;
        if symbol.names_section() {
            let offset = symbol.value.checked_add_signed(addend)?;
            return self.place(number, symbol.section()?, offset, from_code);
        }
        match self.table.meaning(here) {
            Meaning::Global(id) => {
                let home = self.table.global(id)?.definition.and_then(|(input, at)| {
                    let symbol = inputs.get(input)?.symbol(at)?;
                    Some((input, symbol.section()?, symbol.value))
                });
                if home.is_some_and(|(input, section, _)| self.is_dropped(input, section)) {
                    return None;
                }
                let function = home.filter(|_| from_code).and_then(|(input, section, offset)| {
                    self.layout.called_at(inputs, input, section, offset)
                });
                match function {
                    None => Some((Target::Global(id), addend)),
                    Some((called, _)) if called.global => {
                        Some((Target::Called(self.layout.number_of(called)?), addend))
                    }
                    Some((called, offset)) => {
                        let at = i64::try_from(called.at + offset).ok()?.checked_add(addend)?;
                        Some((section_target(self.layout.text()?), at))
                    }
                }
            }
            Meaning::Symbol(at) => {
                let symbol = inputs.get(at.0)?.symbol(at.1)?;
                let Some(section) = symbol.section() else {
                    return Some((Target::Symbol(at), addend));
                };
                let home = inputs.get(at.0)?.section(section)?;
                if home.role == Role::Dropped {
                    return None;
                }
                let offset = symbol.value.checked_add_signed(addend);
                let is_function = from_code && home.role == Role::Entries;
                match at == here && !is_function && !self.table.is_removed(at) {
                    true => Some((Target::Symbol(at), addend)),
                    false => self.place(at.0, section, offset?, from_code),
                }
            }
        }
    }

    fn is_dropped(&self, input: u32, section: u32) -> bool {
        let input = self.context.inputs.get(input);
        input.and_then(|i| i.section(section)).is_none_or(|s| s.role == Role::Dropped)
    }

    /// A place of an input as a place in a section of the output.
    fn place(
        &self,
        input: u32,
        section: u32,
        offset: u64,
        from_code: bool,
    ) -> Option<(Target, i64)> {
        let (out, at) = match from_code {
            true => self.function_spot(input, section, offset)?,
            false => self.layout.spot(input, section, offset)?,
        };
        Some((section_target(out), i64::try_from(at).ok()?))
    }

    /// Where code finds a function, or anything else.
    fn function_spot(&self, input: u32, section: u32, offset: u64) -> Option<(usize, u64)> {
        match self.layout.called_at(&self.context.inputs, input, section, offset) {
            Some((called, rest)) => Some((self.layout.text()?, called.at + rest)),
            None => self.layout.spot(input, section, offset),
        }
    }

    pub(crate) fn broken(
        &self,
        input: &Input,
        section: &Section,
        offset: u64,
        what: &str,
    ) -> LinkError {
        LinkError::Reference {
            object: input.label().to_owned(),
            section: self.context.names.text(section.old_name).into_owned(),
            offset,
            what: what.to_owned(),
        }
    }
}

fn section_target(index: usize) -> Target {
    // Fewer than a file can number.
    Target::Section(u32::try_from(index).unwrap_or(u32::MAX))
}

fn copy(data: &mut [u8], from: &[u8], piece: &Piece) {
    let range = |start: u64, end: u64| usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let from = range(piece.start(), piece.end()).and_then(|(a, b)| from.get(a..b));
    let to = range(piece.at(), piece.at() + (piece.end() - piece.start()));
    let to = to.and_then(|(a, b)| data.get_mut(a..b));
    // A piece of `SHT_NOBITS` has no bytes to copy: zeros are there already.
    if let (Some(from), Some(to)) = (from, to) {
        to.copy_from_slice(from);
    }
}

/// Writes an addend where a relocation of this kind has it.
pub(crate) fn put(
    data: &mut [u8],
    offset: u64,
    kind: RelocKind,
    addend: i64,
    endian: Endian,
) -> Option<()> {
    match kind {
        RelocKind::Call => {
            let slots = i32::try_from(addend / INSN_SIZE as i64 - 1).ok()?;
            *word_at(data, offset + 4)? = bytes(slots.cast_unsigned(), endian);
        }
        RelocKind::LoadImm64 => {
            let imm = i32::try_from(addend).ok()?;
            *word_at(data, offset + 4)? = bytes(imm.cast_unsigned(), endian);
        }
        RelocKind::Abs64 => {
            let value = addend.cast_unsigned();
            let (low, high) = (value & 0xffff_ffff, value >> 32);
            let (first, second) = match endian {
                Endian::Little => (low, high),
                Endian::Big => (high, low),
            };
            *word_at(data, offset)? = bytes(u32::try_from(first).ok()?, endian);
            *word_at(data, offset + 4)? = bytes(u32::try_from(second).ok()?, endian);
        }
        RelocKind::Abs32 | RelocKind::NoDyld32 => {
            *word_at(data, offset)? = bytes(u32::try_from(addend).ok()?, endian);
        }
    }
    Some(())
}

fn word_at(data: &mut [u8], offset: u64) -> Option<&mut [u8; 4]> {
    data.get_mut(usize::try_from(offset).ok()?..)?.first_chunk_mut()
}

fn clear_source(data: &mut [u8], offset: u64, endian: Endian) {
    let registers = usize::try_from(offset + 1).ok().and_then(|at| data.get_mut(at));
    if let Some(registers) = registers {
        *registers &= if endian == Endian::Little { 0x0f } else { 0xf0 };
    }
}

fn bytes(value: u32, endian: Endian) -> [u8; 4] {
    match endian {
        Endian::Little => value.to_le_bytes(),
        Endian::Big => value.to_be_bytes(),
    }
}
