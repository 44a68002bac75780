//! Ids, kinds and linkages, and how a record of each kind is laid out in words. A new kind goes in
//! here first: everything that walks records asks `Kind::slots`.

/// Index of a type in a BTF blob; 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// The type id of `void`.
    pub const VOID: Self = Self(0);
}

/// Byte order of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endian {
    /// Least significant byte first (`bpfel`).
    Little,
    /// Most significant byte first (`bpfeb`).
    Big,
}

impl Endian {
    /// The byte order of the machine that this code runs on.
    pub const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };
}

impl Endian {
    /// Four bytes in this byte order as a number.
    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The number at an offset, in this byte order; `None` when outside.
    pub(crate) fn u32_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        Some(self.u32(*bytes.get(at..)?.first_chunk()?))
    }
}

/// Words of every record's head: name, info (kind, vlen, kflag), size or type.
pub(crate) const RECORD_HEAD: usize = 3;

/// The kernel's own limit on type ids (`BTF_MAX_TYPE`) is lower; this one bounds the work.
pub(crate) const MAX_TYPES: usize = 1 << 24;

/// By the five bits that say the kind: see [`Shape`].
const SHAPES: [Shape; 32] = {
    let mut shapes = [Shape(0); 32];
    let mut raw = 1;
    while raw < 32 {
        #[expect(clippy::indexing_slicing, reason = "at compile time")]
        if let Some(kind) = Kind::from_raw(raw) {
            let (fixed, one) = (kind.record_len(0), kind.record_len(1));
            let is_declared = if kind.is_declared() { Shape::DECLARED } else { 0 };
            let lengths = Shape::lengths(fixed - RECORD_HEAD, one - fixed);
            shapes[raw as usize] = Shape(lengths | is_declared | Shape::KNOWN);
        }
        raw += 1;
    }
    shapes
};

/// What is to be known of a kind to walk over its records: words of a record without members behind
/// its head, words of each member, and whether it [`Kind::is_declared`].
#[derive(Clone, Copy)]
pub(crate) struct Shape(u32);

impl Shape {
    pub(crate) const DECLARED: u32 = 1 << 16;
    const KNOWN: u32 = 1 << 17;
    /// The part that [`Shape::lengths`] makes.
    pub(crate) const LENGTHS: u32 = 0xffff;

    #[expect(clippy::cast_possible_truncation, reason = "at most 3")]
    pub(crate) const fn lengths(fixed: usize, member: usize) -> u32 {
        fixed as u32 | (member as u32) << 8
    }

    /// A bit for each kind that is like `pattern` in these bits of its shape.
    pub(crate) const fn kinds(bits: u32, pattern: u32) -> u32 {
        let (mut kinds, mut raw) = (0, 0);
        while raw < SHAPES.len() {
            #[expect(clippy::indexing_slicing, reason = "at compile time")]
            let Self(shape) = SHAPES[raw];
            if shape & Self::KNOWN != 0 && shape & bits == pattern {
                kinds |= 1 << raw;
            }
            raw += 1;
        }
        kinds
    }

    /// By the second word of a record.
    #[inline]
    pub(crate) fn of(info: u32) -> Self {
        #[expect(clippy::indexing_slicing, reason = "five bits, 32 entries")]
        SHAPES[(info >> 24 & 0x1f) as usize]
    }

    /// Words of a record, its head included; that alone of what is no kind.
    #[inline]
    pub(crate) fn record_len(self, info: u32) -> usize {
        RECORD_HEAD + ((self.0 & 0xff) + (info & 0xffff) * (self.0 >> 8 & 0xff)) as usize
    }
}

/// Evenly spaced words of a record.
#[derive(Clone, Copy)]
struct Run {
    first: usize,
    step: usize,
    count: usize,
}

impl Run {
    fn iter(self) -> impl Iterator<Item = usize> + Clone {
        (0..self.count).map(move |i| self.first + i * self.step)
    }
}

/// Which words of a record hold string offsets and which type ids.
#[derive(Clone, Copy)]
pub(crate) struct Slots {
    head_ref: usize,
    names: Run,
    refs: Run,
}

impl Slots {
    /// Indices of the words that hold string offsets.
    pub(crate) fn names(self) -> impl Iterator<Item = usize> + Clone {
        std::iter::once(0).chain(self.names.iter())
    }

    /// Indices of the words that hold type ids.
    pub(crate) fn refs(self) -> impl Iterator<Item = usize> {
        std::iter::repeat_n(2, self.head_ref).chain(self.refs.iter())
    }

    /// Number of type ids in the record.
    pub(crate) fn ref_count(self) -> usize {
        self.head_ref + self.refs.count
    }

    /// Index of the word that holds the `n`th type id; `n` is below [`Slots::ref_count`].
    pub(crate) fn nth_ref(self, n: usize) -> usize {
        match n.checked_sub(self.head_ref) {
            None => 2,
            Some(n) => self.refs.first + n * self.refs.step,
        }
    }
}

/// Kinds of BTF types, by the kernel's numbers (`BTF_KIND_*`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// `void`, type id 0. Never stored.
    Void = 0,
    /// Integer.
    Int = 1,
    /// Pointer.
    Ptr = 2,
    /// Array.
    Array = 3,
    /// Struct.
    Struct = 4,
    /// Union.
    Union = 5,
    /// Enumeration of 32-bit (or smaller) values.
    Enum = 6,
    /// Forward declaration of a struct or union.
    Fwd = 7,
    /// Typedef.
    Typedef = 8,
    /// `volatile`.
    Volatile = 9,
    /// `const`.
    Const = 10,
    /// `restrict`.
    Restrict = 11,
    /// Function: a name and a prototype.
    Func = 12,
    /// Function prototype.
    FuncProto = 13,
    /// Variable.
    Var = 14,
    /// The variables of one ELF section.
    Datasec = 15,
    /// Floating point number.
    Float = 16,
    /// `btf_decl_tag`: a tag on a type, member, parameter, function or variable.
    DeclTag = 17,
    /// `btf_type_tag`: a tag on what a pointer points to.
    TypeTag = 18,
    /// Enumeration of 64-bit values.
    Enum64 = 19,
}

impl Kind {
    /// The kind by the kernel's number; `None` for 0 and for what is unknown.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::Datasec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// The kind in the second word of a record.
    pub(crate) fn of_info(info: u32) -> Option<Self> {
        Self::from_raw(info >> 24 & 0x1f)
    }

    /// Words of a record, its head included.
    const fn record_len(self, vlen: usize) -> usize {
        RECORD_HEAD
            + match self {
                Self::Int | Self::Var | Self::DeclTag => 1,
                Self::Array => 3,
                Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => vlen * 3,
                Self::Enum | Self::FuncProto => vlen * 2,
                _ => 0,
            }
    }

    /// Which words of a record hold string offsets and type ids.
    pub(crate) fn slots(self, vlen: usize) -> Slots {
        let run = |first, step, count| Run { first, step, count };
        let none = run(0, 0, 0);
        let (names, refs) = match self {
            Self::Struct | Self::Union => (run(3, 3, vlen), run(4, 3, vlen)),
            Self::Enum => (run(3, 2, vlen), none),
            Self::Enum64 => (run(3, 3, vlen), none),
            Self::FuncProto => (run(3, 2, vlen), run(4, 2, vlen)),
            Self::Datasec => (none, run(3, 3, vlen)),
            Self::Array => (none, run(3, 1, 2)),
            _ => (none, none),
        };
        Slots { head_ref: usize::from(self.refers()), names, refs }
    }

    /// Does the third word of the record hold a type id (and not a size)?
    pub const fn refers(self) -> bool {
        matches!(
            self,
            Self::Ptr
                | Self::Typedef
                | Self::Volatile
                | Self::Const
                | Self::Restrict
                | Self::Func
                | Self::FuncProto
                | Self::Var
                | Self::DeclTag
                | Self::TypeTag
        )
    }

    /// Can a type of this kind be declared with its own name? Types that are only made of others,
    /// functions and variables cannot.
    pub(crate) const fn is_declared(self) -> bool {
        matches!(
            self,
            Self::Int
                | Self::Struct
                | Self::Union
                | Self::Enum
                | Self::Enum64
                | Self::Fwd
                | Self::Typedef
                | Self::Float
        )
    }

    /// `const`, `volatile`, `restrict` or a type tag?
    pub fn is_qualifier(self) -> bool {
        matches!(self, Self::Const | Self::Volatile | Self::Restrict | Self::TypeTag)
    }
}

/// Linkage of a [`Kind::Func`] or [`Kind::Var`], by the kernel's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Linkage {
    /// Only visible in its own object.
    Static = 0,
    /// Defined here and visible elsewhere (for a variable: allocated).
    Global = 1,
    /// Wanted here, defined elsewhere.
    Extern = 2,
}

impl Linkage {
    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Self::Static),
            1 => Some(Self::Global),
            2 => Some(Self::Extern),
            _ => None,
        }
    }
}
