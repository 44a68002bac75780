//! The instructions of a function.

use std::ops::Deref;

use bpfweld_btf::{Bytes, Endian};
use bpfweld_insn::{INSN_SIZE, Insn};

/// The instructions of a function. Those of a file stay where they are in its bytes, unless they are of
/// the other byte order.
#[derive(Clone, Default)]
pub struct Insns {
    /// What the file has; none when they were made.
    file: Bytes,
    made: Vec<Insn>,
}

impl Insns {
    pub(crate) const EMPTY: Self = Self { file: Bytes::new(), made: Vec::new() };

    /// Of the bytes that a file has of them.
    pub(crate) fn of(file: Bytes, endian: Endian) -> Self {
        if endian == Endian::NATIVE {
            return Self { file, ..Self::EMPTY };
        }
        let decode = match endian {
            Endian::Little => Insn::from_le,
            Endian::Big => Insn::from_be,
        };
        let (slots, _) = file.as_chunks::<INSN_SIZE>();
        slots.iter().map(|&slot| decode(slot)).collect::<Vec<_>>().into()
    }

    /// For changes. The file, and other clones, stay as they are.
    pub fn to_mut(&mut self) -> &mut Vec<Insn> {
        if !self.file.is_empty() {
            *self = self.to_vec().into();
        }
        &mut self.made
    }
}

impl Deref for Insns {
    type Target = [Insn];

    fn deref(&self) -> &[Insn] {
        if self.file.is_empty() { &self.made } else { Insn::in_bytes(&self.file) }
    }
}

impl From<Vec<Insn>> for Insns {
    fn from(made: Vec<Insn>) -> Self {
        Self { made, ..Self::EMPTY }
    }
}

impl std::fmt::Debug for Insns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
