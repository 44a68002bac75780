//! Reading BTF: a blob is checked once, as a whole, when it is parsed; afterwards every view on it is
//! a plain look-up that cannot fail.
//!
//! What is checked: header, section bounds, every record's kind and length, every type id and every
//! string offset. What is not: that types make sense together (cycles by value, a FUNC whose type is
//! no prototype); see `validate`.

use std::sync::Arc;

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
    fn from_raw(raw: u32) -> Option<Self> {
        const KINDS: [Kind; 19] = [
            Kind::Int,
            Kind::Ptr,
            Kind::Array,
            Kind::Struct,
            Kind::Union,
            Kind::Enum,
            Kind::Fwd,
            Kind::Typedef,
            Kind::Volatile,
            Kind::Const,
            Kind::Restrict,
            Kind::Func,
            Kind::FuncProto,
            Kind::Var,
            Kind::Datasec,
            Kind::Float,
            Kind::DeclTag,
            Kind::TypeTag,
            Kind::Enum64,
        ];
        KINDS.get((raw as usize).checked_sub(1)?).copied()
    }

    /// Bytes that follow the 12-byte record head.
    fn trailer_len(self, vlen: usize) -> usize {
        match self {
            Self::Int | Self::Var | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => vlen * 12,
            Self::Enum | Self::FuncProto => vlen * 8,
            _ => 0,
        }
    }

    /// Does the third word of the record hold a type id (and not a size)?
    pub fn refers(self) -> bool {
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
    fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Self::Static),
            1 => Some(Self::Global),
            2 => Some(Self::Extern),
            _ => None,
        }
    }
}

/// Why a blob is no BTF that this crate can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The blob ends before its header or one of its sections does.
    #[error("BTF is truncated: {what} needs {need} bytes, {have} are there")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes needed.
        need: u64,
        /// Bytes there.
        have: u64,
    },
    /// The first two bytes are not the BTF magic number in either byte order.
    #[error("not BTF: magic number is {0:#06x}, not 0xeb9f")]
    Magic(u16),
    /// Unknown version.
    #[error("BTF version {0} is unknown (1 is known)")]
    Version(u8),
    /// A section of the blob lies outside it.
    #[error("BTF {what} section at {offset} of {len} bytes does not fit into the blob of {total}")]
    Section {
        /// `type` or `string`.
        what: &'static str,
        /// Its offset from the end of the header.
        offset: u64,
        /// Its length.
        len: u64,
        /// Bytes behind the header.
        total: u64,
    },
    /// The string section does not begin and end with a zero byte.
    #[error("BTF string section must begin and end with a zero byte")]
    Strings,
    /// A kind that is not among 1 to 19.
    #[error("BTF type [{id}] at {offset:#x}: kind {kind} is unknown")]
    Kind {
        /// The type.
        id: u32,
        /// Its offset in the type section.
        offset: usize,
        /// The raw kind.
        kind: u32,
    },
    /// A type id that names no type.
    #[error("BTF type [{id}]: {what} is type [{target}], but there are only {count}")]
    TypeId {
        /// The type that refers.
        id: u32,
        /// Which of its references.
        what: &'static str,
        /// The id that it refers to.
        target: u32,
        /// How many types there are.
        count: u32,
    },
    /// A string offset outside the string section.
    #[error("BTF type [{id}]: {what} has string offset {offset}, the strings end at {len}")]
    StringOffset {
        /// The type.
        id: u32,
        /// Which of its names.
        what: &'static str,
        /// The offset.
        offset: u32,
        /// Length of the string section.
        len: u32,
    },
    /// Something else about one type.
    #[error("BTF type [{id}]: {problem}")]
    Type {
        /// The type.
        id: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// Something about a `.BTF.ext` section.
    #[error(".BTF.ext: {0}")]
    Ext(String),
}

/// A parsed BTF blob. Cheap to keep: the blob in native byte order and one offset a type.
#[derive(Clone, Debug)]
pub struct Btf {
    /// The type section, in native byte order.
    types: Vec<u8>,
    /// Offset of each type's record in `types`; index 0 is the first type behind the base.
    offsets: Vec<u32>,
    strings: Vec<u8>,
    /// Split BTF (a module's): types and strings continue where the base's end.
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_str: u32,
    endian: Endian,
}

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
const RECORD_HEAD: usize = 12;
/// The kernel's own limit on type ids (`BTF_MAX_TYPE`) is lower; this one bounds the work.
const MAX_TYPES: usize = 1 << 24;

impl Btf {
    /// Parses a stand-alone blob of either byte order.
    pub fn parse(blob: &[u8]) -> Result<Self, BtfError> {
        Self::parse_with(blob, None)
    }

    /// Parses split BTF: the type ids and string offsets go on where those of `base` end.
    pub fn parse_split(blob: &[u8], base: Arc<Btf>) -> Result<Self, BtfError> {
        Self::parse_with(blob, Some(base))
    }

    fn parse_with(blob: &[u8], base: Option<Arc<Btf>>) -> Result<Self, BtfError> {
        let truncated = |what, need: usize| BtfError::Truncated {
            what,
            need: need as u64,
            have: blob.len() as u64,
        };
        let head = blob.get(..HEADER_LEN).ok_or_else(|| truncated("the header", HEADER_LEN))?;
        let endian = match u16::from_le_bytes([head[0], head[1]]) {
            MAGIC => Endian::Little,
            m if m.swap_bytes() == MAGIC => Endian::Big,
            m => return Err(BtfError::Magic(m)),
        };
        if head[2] != 1 {
            return Err(BtfError::Version(head[2]));
        }
        let word = |at: usize| match (head.get(at..at + 4), endian) {
            (Some(b), Endian::Little) => u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            (Some(b), Endian::Big) => u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
            (None, _) => 0,
        };
        let header_len = word(4) as usize;
        let body = blob
            .get(header_len.max(HEADER_LEN)..)
            .ok_or_else(|| truncated("the header", header_len))?;
        let section = |what, offset: u32, len: u32| {
            let end = offset as usize + len as usize;
            body.get(offset as usize..end).ok_or(BtfError::Section {
                what,
                offset: offset.into(),
                len: len.into(),
                total: body.len() as u64,
            })
        };
        let mut types = section("type", word(8), word(12))?.to_vec();
        let strings = section("string", word(16), word(20))?.to_vec();
        // A module's string section may be empty; a stand-alone one has at least the empty string.
        let bounded = strings.first() == Some(&0) || base.is_some();
        if !bounded || strings.last().is_some_and(|&b| b != 0) {
            return Err(BtfError::Strings);
        }
        let first_id = base.as_ref().map_or(1, |b| b.type_count());
        let first_str = base.as_ref().map_or(0, |b| b.string_len());
        let offsets = scan(&mut types, endian, first_id)?;
        let btf = Self { types, offsets, strings, base, first_id, first_str, endian };
        btf.check_references()?;
        Ok(btf)
    }

    /// Number of types, `void` and those of the base included: ids run from 0 to this, exclusive.
    pub fn type_count(&self) -> u32 {
        // `scan` keeps the number below MAX_TYPES.
        self.first_id + self.offsets.len() as u32
    }

    /// The first id that this blob itself defines: 1, or behind the base's last.
    pub fn first_id(&self) -> TypeId {
        TypeId(self.first_id)
    }

    /// The base of split BTF.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// The byte order that the blob had.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// End of the string offsets, the base's included.
    pub fn string_len(&self) -> u32 {
        // A section's length is a 32-bit number; with a base the sum is checked by the kernel's
        // own limit on strings, far below.
        self.first_str.saturating_add(self.strings.len() as u32)
    }

    /// The bytes of the string at `offset`, without its zero; `None` when outside.
    pub fn bytes_at(&self, offset: u32) -> Option<&[u8]> {
        if offset < self.first_str {
            return self.base.as_ref()?.bytes_at(offset);
        }
        let tail = self.strings.get((offset - self.first_str) as usize..)?;
        let end = tail.iter().position(|&b| b == 0)?;
        tail.get(..end)
    }

    /// The string at `offset`; empty when outside or no UTF-8.
    pub fn str_at(&self, offset: u32) -> &str {
        self.bytes_at(offset).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }

    /// The view on one type. Total: an id that names nothing gives `void`.
    pub fn ty(&self, id: TypeId) -> Type<'_> {
        if id.0 < self.first_id {
            return match &self.base {
                Some(base) => base.ty(id),
                None => Type::void(self),
            };
        }
        let at = self.offsets.get((id.0 - self.first_id) as usize);
        let raw = at.and_then(|&at| self.types.get(at as usize..));
        match raw {
            Some(raw) => Type { btf: self, id, raw },
            None => Type::void(self),
        }
    }

    /// Is there a type with this id (`void` counts)?
    pub fn contains(&self, id: TypeId) -> bool {
        id.0 < self.type_count()
    }

    /// All types that this blob itself defines (not its base's), in id order.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> + '_ {
        (self.first_id..self.type_count()).map(|id| self.ty(TypeId(id)))
    }

    /// The first type with this kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        let own = self.types().find(|t| t.kind() == kind && t.name() == name);
        own.or_else(|| self.base.as_ref().and_then(|b| b.find(kind, name)))
    }

    /// Follows typedefs and qualifiers to the type behind them. Bounded: a cycle ends in `void`.
    pub fn resolve(&self, id: TypeId) -> Type<'_> {
        let mut ty = self.ty(id);
        // A chain without a cycle has no more links than there are types; 256 is deep enough for
        // every compiler and keeps a hostile blob cheap.
        for _ in 0..256 {
            if ty.kind() == Kind::Typedef || ty.kind().is_qualifier() {
                ty = self.ty(ty.type_id());
            } else {
                return ty;
            }
        }
        Type::void(self)
    }

    /// Like [`Btf::resolve`], but stops at typedefs.
    pub fn skip_qualifiers(&self, id: TypeId) -> Type<'_> {
        let mut ty = self.ty(id);
        for _ in 0..256 {
            if ty.kind().is_qualifier() {
                ty = self.ty(ty.type_id());
            } else {
                return ty;
            }
        }
        Type::void(self)
    }

    fn check_references(&self) -> Result<(), BtfError> {
        let count = self.type_count();
        let str_len = self.string_len();
        for ty in self.types() {
            let id = ty.id.0;
            let type_ok = |what, target: TypeId| match target.0 < count {
                true => Ok(()),
                false => Err(BtfError::TypeId { id, what, target: target.0, count }),
            };
            let str_ok = |what, offset: u32| match offset < str_len || offset == 0 {
                true => Ok(()),
                false => Err(BtfError::StringOffset { id, what, offset, len: str_len }),
            };
            str_ok("its name", ty.name_off())?;
            if ty.kind().refers() {
                type_ok("its target", ty.type_id())?;
            }
            match ty.kind() {
                Kind::Array => {
                    type_ok("its element", ty.type_id())?;
                    type_ok("its index", ty.array_index_type())?;
                }
                Kind::Struct | Kind::Union => {
                    for m in ty.members() {
                        str_ok("a member", m.name_off)?;
                        type_ok("a member", m.type_id)?;
                    }
                }
                Kind::FuncProto => {
                    for p in ty.params() {
                        str_ok("a parameter", p.name_off)?;
                        type_ok("a parameter", p.type_id)?;
                    }
                }
                Kind::Enum | Kind::Enum64 => {
                    for e in ty.enumerators() {
                        str_ok("an enumerator", e.name_off)?;
                    }
                }
                Kind::Datasec => {
                    for v in ty.section_vars() {
                        type_ok("a variable", v.type_id)?;
                    }
                }
                Kind::Func | Kind::Var if ty.linkage_raw() > 2 => {
                    let problem = format!("linkage {} is unknown", ty.linkage_raw());
                    return Err(BtfError::Type { id, problem });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Finds each record's start; turns the words into native byte order on the way (all fields of all
/// records are 32-bit words).
fn scan(types: &mut [u8], endian: Endian, first_id: u32) -> Result<Vec<u32>, BtfError> {
    if endian != Endian::NATIVE {
        for word in types.chunks_exact_mut(4) {
            word.reverse();
        }
    }
    let mut offsets = Vec::with_capacity(types.len() / 16);
    let mut at = 0;
    while at < types.len() {
        let id = first_id.saturating_add(offsets.len() as u32);
        let truncated = |need: usize| BtfError::Truncated {
            what: "a type record",
            need: need as u64,
            have: types.len() as u64,
        };
        let info = word(types, at + 4).ok_or_else(|| truncated(at + RECORD_HEAD))?;
        let raw_kind = info >> 24 & 0x1f;
        let kind =
            Kind::from_raw(raw_kind).ok_or(BtfError::Kind { id, offset: at, kind: raw_kind })?;
        let end = at + RECORD_HEAD + kind.trailer_len((info & 0xffff) as usize);
        if end > types.len() {
            return Err(truncated(end));
        }
        if offsets.len() >= MAX_TYPES {
            return Err(BtfError::Type { id, problem: format!("more than {MAX_TYPES} types") });
        }
        offsets.push(u32::try_from(at).map_err(|_| truncated(end))?);
        at = end;
    }
    Ok(offsets)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

/// View on one type of a [`Btf`].
#[derive(Clone, Copy)]
pub struct Type<'a> {
    btf: &'a Btf,
    id: TypeId,
    /// From the record's start on; empty for `void`.
    raw: &'a [u8],
}

impl std::fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {:?} {:?}", self.id.0, self.kind(), self.name())
    }
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name; empty for an anonymous one.
    pub name: &'a str,
    /// String offset of the name.
    pub name_off: u32,
    /// Its type.
    pub type_id: TypeId,
    /// Offset from the start of the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits when it is a bitfield that says so itself (kflag), else 0.
    pub bitfield_size: u32,
}

/// A parameter of a prototype. The last one of a variadic function has type `void` and no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its name; may be empty.
    pub name: &'a str,
    /// String offset of the name.
    pub name_off: u32,
    /// Its type.
    pub type_id: TypeId,
}

/// One value of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enumerator<'a> {
    /// Its name.
    pub name: &'a str,
    /// String offset of the name.
    pub name_off: u32,
    /// Its value; sign-extended when the enumeration is signed.
    pub value: u64,
}

/// One variable (or, for kernel functions, one function) of a [`Kind::Datasec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVar {
    /// The VAR or FUNC.
    pub type_id: TypeId,
    /// Offset in the section, in bytes. clang leaves 0 and a relocation.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

/// What the trailing word of a [`Kind::Int`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntEncoding {
    /// Is it signed?
    pub signed: bool,
    /// Is it a `char`? (No compiler sets this today.)
    pub is_char: bool,
    /// Is it a `bool`?
    pub is_bool: bool,
    /// Offset of the value in the storage, in bits.
    pub bit_offset: u8,
    /// Width in bits.
    pub bits: u8,
}

impl<'a> Type<'a> {
    fn void(btf: &'a Btf) -> Self {
        Self { btf, id: TypeId::VOID, raw: &[] }
    }

    fn at(&self, offset: usize) -> u32 {
        word(self.raw, offset).unwrap_or(0)
    }

    /// Its id.
    pub fn id(&self) -> TypeId {
        self.id
    }

    /// The blob that it is in.
    pub fn btf(&self) -> &'a Btf {
        self.btf
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        Kind::from_raw(self.at(4) >> 24 & 0x1f).unwrap_or(Kind::Void)
    }

    /// Its name; empty when it has none.
    pub fn name(&self) -> &'a str {
        self.btf.str_at(self.at(0))
    }

    /// String offset of its name.
    pub fn name_off(&self) -> u32 {
        self.at(0)
    }

    /// Number of members, parameters, enumerators or variables.
    pub fn vlen(&self) -> usize {
        (self.at(4) & 0xffff) as usize
    }

    /// The kind flag: bitfields in a struct, union forward, signed enumeration, attribute tag.
    pub fn kflag(&self) -> bool {
        self.at(4) >> 31 == 1
    }

    /// The size in bytes that the record itself states (ints, structs, unions, enums, floats,
    /// datasecs); 0 for all others. See [`Type::byte_size`] for the size of any type.
    pub fn size(&self) -> u32 {
        match self.kind() {
            Kind::Int
            | Kind::Struct
            | Kind::Union
            | Kind::Enum
            | Kind::Enum64
            | Kind::Float
            | Kind::Datasec => self.at(8),
            _ => 0,
        }
    }

    /// What it refers to: a pointer's or qualifier's target, an array's element, a prototype's
    /// return type, a function's prototype, a variable's type. `void` for all others.
    pub fn type_id(&self) -> TypeId {
        match self.kind() {
            Kind::Array => TypeId(self.at(12)),
            k if k.refers() => TypeId(self.at(8)),
            _ => TypeId::VOID,
        }
    }

    /// [`Type::type_id`], looked up.
    pub fn target(&self) -> Type<'a> {
        self.btf.ty(self.type_id())
    }

    /// Bytes that a value of this type takes; `None` when it has no size (void, a forward
    /// declaration) or the arithmetic overflows. A prototype counts as a pointer: that is how the
    /// 2019 encoding of extern functions uses it. Pointers are 8 bytes, BPF is a 64-bit machine.
    pub fn byte_size(&self) -> Option<u64> {
        let mut ty = *self;
        let mut times: u64 = 1;
        for _ in 0..256 {
            match ty.kind() {
                Kind::Ptr | Kind::FuncProto => return times.checked_mul(8),
                Kind::Array => {
                    times = times.checked_mul(ty.array_len().into())?;
                    ty = ty.target();
                }
                Kind::Typedef | Kind::Var => ty = ty.target(),
                k if k.is_qualifier() => ty = ty.target(),
                Kind::Void | Kind::Fwd | Kind::Func | Kind::DeclTag => return None,
                _ => return times.checked_mul(ty.size().into()),
            }
        }
        None
    }

    /// Type of an array's index.
    pub fn array_index_type(&self) -> TypeId {
        TypeId(if self.kind() == Kind::Array { self.at(16) } else { 0 })
    }

    /// Number of an array's elements.
    pub fn array_len(&self) -> u32 {
        if self.kind() == Kind::Array { self.at(20) } else { 0 }
    }

    /// What an integer's trailing word says.
    pub fn int_encoding(&self) -> IntEncoding {
        let word = if self.kind() == Kind::Int { self.at(12) } else { 0 };
        let [_, enc, offset, bits] = [word >> 28, word >> 24 & 0xf, word >> 16 & 0xff, word & 0xff];
        IntEncoding {
            signed: enc & 1 != 0,
            is_char: enc & 2 != 0,
            is_bool: enc & 4 != 0,
            bit_offset: offset as u8,
            bits: bits as u8,
        }
    }

    fn linkage_raw(&self) -> u32 {
        match self.kind() {
            Kind::Func => self.at(4) & 0xffff,
            Kind::Var => self.at(12),
            _ => 0,
        }
    }

    /// Linkage of a function or variable.
    pub fn linkage(&self) -> Linkage {
        Linkage::from_raw(self.linkage_raw()).unwrap_or(Linkage::Static)
    }

    /// What a declaration tag is on: a member or parameter by index, or the whole (`None`).
    pub fn component(&self) -> Option<u32> {
        let idx = if self.kind() == Kind::DeclTag { self.at(12) } else { u32::MAX };
        (idx != u32::MAX).then_some(idx)
    }

    /// Members of a struct or union; nothing for all others.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'a>> + use<'a> {
        let ty = *self;
        let n = if matches!(ty.kind(), Kind::Struct | Kind::Union) { ty.vlen() } else { 0 };
        let kflag = ty.kflag();
        (0..n).map(move |i| {
            let at = RECORD_HEAD + i * 12;
            let (name_off, offset) = (ty.at(at), ty.at(at + 8));
            Member {
                name: ty.btf.str_at(name_off),
                name_off,
                type_id: TypeId(ty.at(at + 4)),
                bit_offset: if kflag { offset & 0xff_ffff } else { offset },
                bitfield_size: if kflag { offset >> 24 } else { 0 },
            }
        })
    }

    /// Parameters of a prototype; nothing for all others.
    pub fn params(&self) -> impl ExactSizeIterator<Item = Param<'a>> + use<'a> {
        let ty = *self;
        let n = if ty.kind() == Kind::FuncProto { ty.vlen() } else { 0 };
        (0..n).map(move |i| {
            let name_off = ty.at(RECORD_HEAD + i * 8);
            let type_id = TypeId(ty.at(RECORD_HEAD + i * 8 + 4));
            Param { name: ty.btf.str_at(name_off), name_off, type_id }
        })
    }

    /// Values of an enumeration of either width; nothing for all others.
    pub fn enumerators(&self) -> impl ExactSizeIterator<Item = Enumerator<'a>> + use<'a> {
        let ty = *self;
        let (n, step) = match ty.kind() {
            Kind::Enum => (ty.vlen(), 8),
            Kind::Enum64 => (ty.vlen(), 12),
            _ => (0, 8),
        };
        (0..n).map(move |i| {
            let at = RECORD_HEAD + i * step;
            let low = ty.at(at + 4);
            let value = match (step, ty.kflag()) {
                (12, _) => u64::from(ty.at(at + 8)) << 32 | u64::from(low),
                (_, true) => i64::from(low as i32) as u64,
                (_, false) => low.into(),
            };
            let name_off = ty.at(at);
            Enumerator { name: ty.btf.str_at(name_off), name_off, value }
        })
    }

    /// Variables of a section; nothing for all others.
    pub fn section_vars(&self) -> impl ExactSizeIterator<Item = SectionVar> + use<'a> {
        let ty = *self;
        let n = if ty.kind() == Kind::Datasec { ty.vlen() } else { 0 };
        (0..n).map(move |i| {
            let at = RECORD_HEAD + i * 12;
            SectionVar { type_id: TypeId(ty.at(at)), offset: ty.at(at + 4), size: ty.at(at + 8) }
        })
    }
}
