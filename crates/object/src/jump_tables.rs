//! Jump tables: where LLVM 22 lets the `switch` statements of a function lead to.

use std::collections::BTreeMap;

use bpfweld_btf::Endian;
use bpfweld_insn::INSN_SIZE;

use crate::contents::Reading;
use crate::elf::Section;
use crate::error::RelocProblem;
use crate::functions::slice;

/// Where they are. Each has a symbol of its size; an entry has eight bytes, the offset of an instruction in
/// the section of the function that jumps.
pub(crate) const SECTION: &str = ".jumptables";
/// Entries of all tables of an object, each counted for every function that uses it: more than any
/// kernel's limit on instructions, and a bound to what a small file can ask for.
const MAX_ENTRIES: usize = 1 << 20;

/// The tables of the function that is being read.
#[derive(Default)]
pub(crate) struct JumpTables {
    tables: Vec<Vec<u32>>,
    /// Which is at an offset, of a size.
    known: BTreeMap<(u64, u64), u32>,
    /// Entries of the object's functions so far.
    entries: usize,
}

impl JumpTables {
    /// Index of the table at an offset of its section, of a size, in bytes. Apart from what all objects have.
    #[inline(never)]
    pub(crate) fn find(
        &mut self,
        section: &Section<'_>,
        (offset, size): (u64, u64),
        function: &Reading<'_>,
        endian: Endian,
    ) -> Result<u32, RelocProblem> {
        if let Some(&known) = self.known.get(&(offset, size)) {
            return Ok(known);
        }
        let data = offset.checked_add(size).and_then(|end| slice(section.data, offset, end));
        let (entries, rest) = data.unwrap_or_default().as_chunks::<8>();
        if entries.is_empty() || !rest.is_empty() {
            return Err(RelocProblem::JumpTable("is not made of entries of eight bytes"));
        }
        self.entries = self.entries.saturating_add(entries.len());
        if self.entries > MAX_ENTRIES {
            return Err(RelocProblem::JumpTable("is one of too many"));
        }
        let slot = |entry: &[u8; 8]| {
            let at = match endian {
                Endian::Little => u64::from_le_bytes(*entry),
                Endian::Big => u64::from_be_bytes(*entry),
            };
            function.slot_at(at).ok_or(RelocProblem::JumpTable("leads out of the function"))
        };
        let table = entries.iter().map(slot).collect::<Result<_, _>>()?;
        // There are no more tables than entries.
        let index = u32::try_from(self.tables.len()).unwrap_or(u32::MAX);
        self.tables.push(table);
        self.known.insert((offset, size), index);
        Ok(index)
    }

    /// Those of the function that was read; the next one has none yet.
    pub(crate) fn take(&mut self) -> Vec<Vec<u32>> {
        self.known.clear();
        std::mem::take(&mut self.tables)
    }
}

impl Reading<'_> {
    /// Index of the slot at an offset of the function's section, if an instruction begins there.
    fn slot_at(&self, offset: u64) -> Option<u32> {
        let distance = offset.checked_sub(self.place.offset)?;
        let slot = usize::try_from(distance / INSN_SIZE as u64).ok()?;
        let insns = &self.body.insns;
        let second =
            slot.checked_sub(1).and_then(|at| insns.get(at)).is_some_and(|i| i.is_ld_imm64());
        let begins = distance.is_multiple_of(INSN_SIZE as u64) && slot < insns.len() && !second;
        u32::try_from(slot).ok().filter(|_| begins)
    }
}
