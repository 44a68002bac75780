//! Why a CO-RE record could not be applied.

use super::CoreKind;

/// A record that could not be applied: where it is, what it is about, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{object}: function {function}, instruction {insn}: CO-RE {} of {subject}: {problem}",
    self.kind_words()
)]
pub struct CoreError {
    /// The object.
    pub object: String,
    /// The function that holds the instruction.
    pub function: String,
    /// Index of the instruction slot in the function.
    pub insn: u32,
    /// The record's kind, as in the file; see [`CoreError::core_kind`].
    pub kind: u32,
    /// Type, member and access string, as in `struct task_struct, member a.b (0:1:2)`.
    pub subject: String,
    /// What is wrong.
    #[source]
    pub problem: Box<CoreProblem>,
}

impl CoreError {
    /// The record's kind; `None` when its number is unknown.
    pub fn core_kind(&self) -> Option<CoreKind> {
        CoreKind::from_raw(self.kind)
    }

    fn kind_words(&self) -> &'static str {
        self.core_kind().map_or("relocation", CoreKind::words)
    }
}

/// What is wrong with a record, its targets or its instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreProblem {
    /// A kind that is not among 0 to 12.
    #[error("record kind {0} is unknown (0 to 12 are known)")]
    Kind(u32),
    /// The access string is no list of numbers, or does not go with the root type.
    #[error("access string {text:?} is malformed: {problem}")]
    Access {
        /// The string.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The root type has no name to search for.
    #[error("the type has no name, so no type of the kernel can be found for it")]
    Anonymous,
    /// The record asks about the kernel's types and none were handed in.
    #[error("this needs the kernel's BTF and there is none: name a file that holds it")]
    NoTargets,
    /// Several target types match and give different answers.
    #[error(
        "several types match and do not agree, give the type a more telling shape: {}",
        list(candidates)
    )]
    Ambiguous {
        /// All that matched.
        candidates: Vec<MatchedCandidate>,
    },
    /// A bitfield that no load of 8 bytes covers.
    #[error(
        "the bitfield at bit {bit_offset}, {bits} bits wide, does not fit into one 64-bit load"
    )]
    Bitfield {
        /// Offset from the start of the root type.
        bit_offset: u64,
        /// Width.
        bits: u32,
    },
    /// Shifts and signedness are asked of an array element.
    #[error("this cannot be asked of an array element, only of a member")]
    ArrayElement,
    /// A shift of something wider than 64 bits.
    #[error("a field of {0} bits cannot be shifted in a 64-bit register")]
    TooWide(u64),
    /// A type without a size, or with one beyond 32 bits.
    #[error("type [{id}] {name} has no usable size")]
    NoSize {
        /// The type, in the BTF that it is from.
        id: u32,
        /// Its name.
        name: String,
    },
    /// Types nested deeper than any real ones.
    #[error("types are nested too deeply (more than {0} levels)")]
    TooDeep(usize),
    /// Types that take too many steps to compare.
    #[error("types take too many steps to compare; the BTF is malformed")]
    TooComplex,
    /// The record points outside its function.
    #[error("the function has only {0} instructions")]
    OutOfFunction(usize),
    /// The instruction does not hold what the compiler must have put there.
    #[error(
        "the instruction holds {found:#x} where {expected:#x} was expected (to become {new:#x})"
    )]
    OldValue {
        /// What the instruction holds.
        found: u64,
        /// What the object's own BTF gives.
        expected: u64,
        /// What the target gives.
        new: u64,
    },
    /// The value does not fit where it has to go.
    #[error("value {value:#x} does not fit into the instruction's {room}")]
    Range {
        /// The value.
        value: u64,
        /// `offset` or `immediate`.
        room: &'static str,
    },
    /// A load or store whose width is not that of the field.
    #[error("the instruction accesses {found} bytes, the field has {expected}")]
    AccessWidth {
        /// Bytes that the instruction accesses.
        found: u32,
        /// Bytes of the field in the object's own BTF.
        expected: u32,
    },
    /// The target's field has a size that no load or store has.
    #[error("the target's field has {0} bytes; a load or store takes 1, 2, 4 or 8")]
    TargetWidth(u32),
    /// A 64-bit immediate load that is more than that, or lacks its second half.
    #[error("the 64-bit immediate load is incomplete or refers to something else")]
    LdImm64,
    /// An instruction that takes no value.
    #[error("an instruction with opcode {0:#04x} takes no value")]
    Opcode(u8),
}

/// One of several target types that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchedCandidate {
    /// Its name, id and BTF.
    pub name: String,
    /// Offset of the field from the start of the type, when a field is asked for.
    pub bit_offset: Option<u64>,
    /// What the record asks for.
    pub value: u64,
}

impl std::fmt::Display for MatchedCandidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.value)?;
        match self.bit_offset {
            Some(bits) if bits % 8 == 0 => write!(f, " (at byte {})", bits / 8),
            Some(bits) => write!(f, " (at byte {}, bit {})", bits / 8, bits % 8),
            None => Ok(()),
        }
    }
}

fn list(candidates: &[MatchedCandidate]) -> String {
    const SHOWN: usize = 8;
    let mut list: Vec<_> = candidates.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = candidates.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        list.push(format!("and {more} more"));
    }
    list.join("; ")
}
