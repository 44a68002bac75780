//! The source lines of a function.

use bpfweld_btf::{LineRecord, LineRecords};

/// The size of an instruction slot, in bytes.
pub(crate) const SLOT: u32 = 8;

/// One line_info record (`struct bpf_line_info`), its offset in instructions of the function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineInfo {
    /// Index of the instruction slot in the function.
    pub insn: u32,
    /// String offset of the file name in the object's BTF.
    pub file_off: u32,
    /// String offset of the source line's text in the object's BTF.
    pub line_off: u32,
    /// Line number << 10 | column.
    pub line_col: u32,
}

impl LineInfo {
    /// Of a record, where the function starts so many bytes into its section.
    pub(crate) fn of(record: LineRecord, start: u32) -> Self {
        let LineRecord { insn_off, file_off, line_off, line_col } = record;
        Self { insn: insn_off.wrapping_sub(start) / SLOT, file_off, line_off, line_col }
    }

    /// Line number, from 1.
    pub fn line(&self) -> u32 {
        self.line_col >> 10
    }

    /// Column, from 1; 0 when unknown.
    pub fn column(&self) -> u32 {
        self.line_col & 0x3ff
    }
}

/// The lines of a function, by strictly rising instruction indices. Those of a file are read where they
/// are whenever they are wanted: few are ever looked at.
#[derive(Clone, Default)]
pub struct Lines {
    records: LineRecords,
    /// Where the function starts in the section that the records are about, in bytes.
    start: u32,
}

impl Lines {
    pub(crate) const EMPTY: Self = Self { records: LineRecords::EMPTY, start: 0 };

    /// Of records that are all the function's, each at another instruction; it starts so many bytes
    /// into its section.
    pub(crate) fn of(records: LineRecords, start: u32) -> Self {
        Self { records, start }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All. Quickest when they are not asked for one by one (`for_each`, `extend`).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = LineInfo> + '_ {
        self.records.iter().map(|record| LineInfo::of(record, self.start))
    }
}

/// Of lines by strictly rising indices below 2^29, which is more than a function of an ELF file can have.
impl FromIterator<LineInfo> for Lines {
    fn from_iter<I: IntoIterator<Item = LineInfo>>(lines: I) -> Self {
        let record = |line: LineInfo| {
            let LineInfo { insn, file_off, line_off, line_col } = line;
            LineRecord { insn_off: insn.wrapping_mul(SLOT), file_off, line_off, line_col }
        };
        Self { records: lines.into_iter().map(record).collect(), start: 0 }
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
