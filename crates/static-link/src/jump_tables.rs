//! Jump tables (LLVM 22, section `.jumptables`): eight bytes an entry, each the offset of an instruction in the
//! section of the function that jumps. No relocation says so: where functions go, their tables have to follow.

use bpfweld_btf::Endian;
use bpfweld_insn::INSN_SIZE;
use bpfweld_object::RelocKind;

use crate::elf;
use crate::emit::{Emit, put};
use crate::error::LinkError;
use crate::input::{Role, Section};
use crate::inputs::{Input, Parts};
use crate::lay_out::Piece;
use crate::names::Names;

const SECTION: &[u8] = b".jumptables";
/// Bytes of an entry.
const ENTRY: u64 = 8;

/// Is this the section of tables?
pub(crate) fn is_section(section: &Section, names: &Names) -> bool {
    names.bytes(section.name) == SECTION
}

/// Tables are their object's own: compilers call the first one of each object the same.
pub(crate) fn hide(parts: &mut Parts, names: &Names) {
    let sections = &parts.sections;
    for symbol in &mut parts.symbols {
        let home = symbol.section().and_then(|s| sections.get(s as usize));
        if home.is_some_and(|s| is_section(s, names)) {
            symbol.bind = elf::STB_LOCAL;
            symbol.visibility = elf::STV_DEFAULT;
        }
    }
}

impl Emit<'_> {
    /// Has the tables of a piece that was copied lead to where the instructions are now.
    pub(crate) fn move_targets(
        &self,
        input: &Input,
        tables: &Section,
        from: &[u8],
        piece: &Piece,
        data: &mut [u8],
    ) -> Result<(), LinkError> {
        for (index, code) in (0u32..).zip(input.sections()) {
            if !matches!(code.role, Role::Text | Role::Entries) {
                continue;
            }
            for reloc in self.code.relocs_of(code).iter().filter(|r| r.kind == RelocKind::LoadImm64)
            {
                let Some(symbol) = input.symbol(reloc.symbol) else { continue };
                if symbol.section() != Some(piece.section) || symbol.names_section() {
                    continue;
                }
                let broken = |what| self.broken(input, code, reloc.offset, what);
                let end = symbol.value.saturating_add(symbol.size);
                let fits = symbol.value.is_multiple_of(ENTRY) && symbol.size.is_multiple_of(ENTRY);
                if !fits || end > tables.size {
                    return Err(broken("a jump table that is not made of entries of 8 bytes"));
                }
                let mut at = symbol.value;
                while at < end {
                    let old = self.entry(from, at).ok_or_else(|| broken("no jump table"))?;
                    let new = self.new_place(input, index, code, piece.input, reloc.offset, old)?;
                    let new = i64::try_from(new).map_err(|_| broken("a place too far away"))?;
                    let to = piece.at() + (at - piece.start());
                    put(data, to, RelocKind::Abs64, new, self.context.endian)
                        .ok_or_else(|| broken("no jump table"))?;
                    at += ENTRY;
                }
            }
        }
        Ok(())
    }

    /// An entry as it stands in the input.
    fn entry(&self, from: &[u8], at: u64) -> Option<u64> {
        let bytes = from.get(usize::try_from(at).ok()?..)?.first_chunk()?;
        Some(match self.context.endian {
            Endian::Little => u64::from_le_bytes(*bytes),
            Endian::Big => u64::from_be_bytes(*bytes),
        })
    }

    /// Where an instruction is in the output, in the section that its function is in there.
    fn new_place(
        &self,
        input: &Input,
        index: u32,
        code: &Section,
        number: u32,
        jump: u64,
        old: u64,
    ) -> Result<u64, LinkError> {
        let broken = |what| self.broken(input, code, jump, what);
        if old >= code.size || !old.is_multiple_of(INSN_SIZE as u64) {
            return Err(broken("a jump table that leads out of the section"));
        }
        let called = self.layout.called_at(&self.context.inputs, number, index, old);
        match (called, self.layout.spot(number, index, old)) {
            (Some((called, rest)), _) if called.moved => Ok(called.at + rest),
            (Some(_), _) => Err(broken(
                "a jump table that an entry program and the function made of it would share (keep \
                 one of them: --root)",
            )),
            (None, Some((_, at))) => Ok(at),
            // The function is left out, and its table leads nowhere.
            (None, None) => Ok(0),
        }
    }
}
