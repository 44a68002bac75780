//! CO-RE relocation: instructions that were compiled against one version of the kernel's types are
//! patched to fit the types of the kernel that will run them.
//!
//! The compiler leaves a record for each access ([`CoreReloc`]): a root type in the object's own
//! BTF, an access string (`0:1:2`, indices of members and array elements) and what is wanted of it
//! ([`CoreKind`]). [`Relocator::apply`] is the whole way of one record:
//!
//! | step | module |
//! |---|---|
//! | read the access string against the object's BTF | `access` |
//! | find the target types of the same name | [`targets`] |
//! | walk the same path, by member names, through each of them | `matching` |
//! | compute what is wanted on both sides | `value` |
//! | compare the instruction with the old value, write the new one | `patch` |
//!
//! No system call: the target BTFs are handed in. A new kind of record goes into [`CoreKind`] and
//! `value`.
//!
//! The outcome of a record is libbpf's, but for these odd corners:
//!
//! * an enumerator from 2^31 on of an unsigned 32-bit enumeration is accepted as the compiler wrote
//!   it (libbpf refuses the object);
//! * a load with sign extension that would have to change its width is poisoned (libbpf writes an
//!   invalid opcode, or a load that takes an unsigned value for a signed one);
//! * an integer flagged signed and char (gcc's `char`) counts as signed when a load's width is to
//!   change (libbpf takes it for unsigned);
//! * a value that does not fit its instruction's immediate is an error, and is not cut;
//! * work is bounded on types that no compiler makes.

use std::collections::HashMap;

use bpfweld_btf::{Btf, TypeId};
use bpfweld_insn::Insn;
use bpfweld_object::CoreReloc;

mod access;
mod error;
mod matching;
mod patch;
pub mod targets;
#[cfg(test)]
mod tests;
mod value;

pub use error::{CoreError, CoreProblem, MatchedCandidate};
pub use matching::alike;
pub use patch::set_immediate;
pub use targets::{Candidate, Targets};

use access::Path;
use matching::Work;
use value::Resolution;

/// Helper number in the call that replaces an instruction whose record could not be resolved; the
/// record's kind is added to it. Far above every helper, so that the verifier refuses the call,
/// unless the code is dead: that is how programs guard accesses with existence checks.
pub const POISON_HELPER: i32 = 0x2c0e_ba00;

/// Is this helper number one of those that stand for an unresolved record? Gives its kind.
pub fn poisoned_kind(helper: i32) -> Option<CoreKind> {
    CoreKind::from_raw(u32::try_from(helper.checked_sub(POISON_HELPER)?).ok()?)
}

/// What a record wants to know (`enum bpf_core_relo_kind` of the kernel header `linux/bpf.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum CoreKind {
    /// Offset of a field, in bytes.
    FieldByteOffset = 0,
    /// Size of a field, in bytes.
    FieldByteSize = 1,
    /// Is there such a field?
    FieldExists = 2,
    /// Is the field signed?
    FieldSigned = 3,
    /// Left shift that brings a bitfield to the top of a `u64`.
    FieldLshiftU64 = 4,
    /// Right shift that brings it down again.
    FieldRshiftU64 = 5,
    /// Id of a type in the object's own BTF.
    TypeIdLocal = 6,
    /// Id of a type in the target's BTF.
    TypeIdTarget = 7,
    /// Is there such a type?
    TypeExists = 8,
    /// Size of a type, in bytes.
    TypeSize = 9,
    /// Is there such an enumerator?
    EnumvalExists = 10,
    /// Value of an enumerator.
    EnumvalValue = 11,
    /// Is there a type that has all that the local one has?
    TypeMatches = 12,
}

impl CoreKind {
    /// By the kernel's number.
    pub fn from_raw(raw: u32) -> Option<Self> {
        const KINDS: [CoreKind; 13] = [
            CoreKind::FieldByteOffset,
            CoreKind::FieldByteSize,
            CoreKind::FieldExists,
            CoreKind::FieldSigned,
            CoreKind::FieldLshiftU64,
            CoreKind::FieldRshiftU64,
            CoreKind::TypeIdLocal,
            CoreKind::TypeIdTarget,
            CoreKind::TypeExists,
            CoreKind::TypeSize,
            CoreKind::EnumvalExists,
            CoreKind::EnumvalValue,
            CoreKind::TypeMatches,
        ];
        KINDS.get(raw as usize).copied()
    }

    /// In words, to go before "of struct x, member y".
    pub fn words(self) -> &'static str {
        match self {
            Self::FieldByteOffset => "byte offset",
            Self::FieldByteSize => "byte size",
            Self::FieldExists => "field existence",
            Self::FieldSigned => "signedness",
            Self::FieldLshiftU64 => "bitfield left shift",
            Self::FieldRshiftU64 => "bitfield right shift",
            Self::TypeIdLocal => "local type id",
            Self::TypeIdTarget => "target type id",
            Self::TypeExists => "type existence",
            Self::TypeSize => "type size",
            Self::EnumvalExists => "enumerator existence",
            Self::EnumvalValue => "enumerator value",
            Self::TypeMatches => "type match",
        }
    }

    fn is_field(self) -> bool {
        (self as u8) <= Self::FieldRshiftU64 as u8
    }

    fn is_enumerator(self) -> bool {
        matches!(self, Self::EnumvalExists | Self::EnumvalValue)
    }
}

impl std::fmt::Display for CoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// The instruction now holds the target's value.
    Patched {
        /// What it held.
        old: u64,
        /// What it holds.
        new: u64,
    },
    /// The instruction now holds the id of a type in the object's own BTF. Where types are
    /// renumbered later, [`set_immediate`] writes the final id.
    LocalTypeId(TypeId),
    /// The instruction cannot be made to fit and was replaced by a call that the verifier refuses,
    /// unless it is dead code. [`Relocator::explain`] says more.
    Poisoned(PoisonReason),
}

/// Why an instruction was poisoned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PoisonReason {
    /// No target type has such a field or enumerator.
    NoMatch,
    /// The target's field has another size, and a load or store of the other width would give a
    /// wrong value: only pointers and unsigned integers can change theirs.
    Width,
}

/// Applies the records of one object against one set of targets.
///
/// Candidates and results are kept from record to record. As in libbpf, a record that matches some
/// of several equally named types narrows the choice for all later ones with that root type, so
/// records belong in here in the order of the file: by section, then by offset.
pub struct Relocator<'a> {
    object: &'a str,
    local: &'a Btf,
    targets: Option<&'a Targets>,
    candidates: HashMap<TypeId, Vec<Candidate<'a>>>,
    results: HashMap<(TypeId, u32, CoreKind), Resolution>,
    work: Work,
}

impl<'a> Relocator<'a> {
    /// `object` is what messages call the object. Without targets only local type ids resolve.
    pub fn new(object: &'a str, local: &'a Btf, targets: Option<&'a Targets>) -> Self {
        Self {
            object,
            local,
            targets,
            candidates: HashMap::new(),
            results: HashMap::new(),
            work: Work::default(),
        }
    }

    /// Applies one record to the instructions of its function.
    pub fn apply(
        &mut self,
        function: &str,
        reloc: &CoreReloc,
        insns: &mut [Insn],
    ) -> Result<Applied, CoreError> {
        let done = self.resolve(reloc).and_then(|(kind, resolution)| {
            patch::apply(kind, &resolution, reloc.insn as usize, insns)
        });
        done.map_err(|problem| CoreError {
            object: self.object.into(),
            function: function.into(),
            insn: reloc.insn,
            kind: reloc.kind,
            subject: access::describe(self.local, reloc),
            problem: Box::new(problem),
        })
    }

    /// Says what a record is about and what was searched for it: for the message when the verifier
    /// meets a poisoned instruction.
    pub fn explain(&self, reloc: &CoreReloc) -> String {
        let subject = access::describe(self.local, reloc);
        let kind = CoreKind::from_raw(reloc.kind).map_or("unknown", CoreKind::words);
        let searched = self.targets.map_or("nothing".into(), Targets::describe);
        let candidates = match self.candidates.get(&reloc.type_id).map(Vec::as_slice) {
            None | Some([]) => "no type of that name is there".to_owned(),
            Some(list) => {
                let list: Vec<_> = list.iter().take(8).map(ToString::to_string).collect();
                format!("looked at {}", list.join(", "))
            }
        };
        format!("{kind} of {subject} does not fit the target: searched {searched}, {candidates}")
    }

    fn resolve(&mut self, reloc: &CoreReloc) -> Result<(CoreKind, Resolution), CoreProblem> {
        let kind = CoreKind::from_raw(reloc.kind).ok_or(CoreProblem::Kind(reloc.kind))?;
        let key = (reloc.type_id, reloc.access_off, kind);
        // The same answer as the first time: narrowing candidates keeps those that matched.
        if let Some(known) = self.results.get(&key) {
            return Ok((kind, *known));
        }
        let local = access::parse(self.local, reloc, kind)?;
        let resolution = match kind {
            CoreKind::TypeIdLocal => Resolution::local_type_id(reloc.type_id),
            _ => self.resolve_in_targets(reloc.type_id, kind, &local)?,
        };
        self.results.insert(key, resolution);
        Ok((kind, resolution))
    }

    fn resolve_in_targets(
        &mut self,
        root: TypeId,
        kind: CoreKind,
        local: &Path<'a>,
    ) -> Result<Resolution, CoreProblem> {
        let ty = self.local.ty(root);
        let targets = self.targets.ok_or(CoreProblem::NoTargets)?;
        if ty.name_off() == 0 || ty.name().is_empty() {
            return Err(CoreProblem::Anonymous);
        }
        let candidates = self.candidates.entry(root).or_insert_with(|| targets.candidates(ty));
        self.work.next_record();
        let mut matched: Vec<(Candidate<'a>, Path<'a>, Resolution)> = Vec::new();
        for candidate in candidates.iter() {
            if let Some(path) = matching::match_root(kind, local, *candidate, &mut self.work)? {
                let resolution = value::resolve(kind, local, Some(&path))?;
                matched.push((*candidate, path, resolution));
            }
        }

        let Some(((_, first_path, first), rest)) = matched.split_first() else {
            return value::resolve(kind, local, None);
        };
        let resolution = *first;
        let agrees = |path: &Path<'_>, other: &Resolution| {
            path.bit_offset == first_path.bit_offset && other.new == resolution.new
        };
        if !rest.iter().all(|(_, path, other)| agrees(path, other)) {
            let candidates = matched.iter().map(|(candidate, path, found)| MatchedCandidate {
                name: candidate.to_string(),
                bit_offset: kind.is_field().then_some(path.bit_offset),
                value: found.new,
            });
            return Err(CoreProblem::Ambiguous { candidates: candidates.collect() });
        }
        // Types that did not match once are no candidates for later records.
        *candidates = matched.iter().map(|(candidate, ..)| *candidate).collect();
        Ok(resolution)
    }
}
