//! Views on the types of a [`Btf`]: plain look-ups that cannot fail.

use crate::kind::{RECORD_HEAD, Slots};
use crate::read::Word;
use crate::{Btf, Kind, Linkage, TypeId};

/// View on one type of a [`Btf`].
#[derive(Clone, Copy)]
pub struct Type<'a> {
    btf: &'a Btf,
    id: TypeId,
    /// The record's words; empty for `void`.
    raw: &'a [Word],
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    pub(crate) fn void(btf: &'a Btf) -> Self {
        Self { btf, id: TypeId::VOID, raw: &[] }
    }

    pub(crate) fn new(btf: &'a Btf, id: TypeId, raw: &'a [Word]) -> Self {
        Self { btf, id, raw }
    }

    /// The record's words.
    pub(crate) fn raw(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.raw.iter().copied().map(u32::from_ne_bytes)
    }

    /// Which of the record's words hold string offsets and type ids.
    pub(crate) fn slots(&self) -> Slots {
        self.kind().slots(self.vlen())
    }

    /// The word at this place of the record; 0 behind its end.
    pub(crate) fn word(&self, at: usize) -> u32 {
        self.raw.get(at).map_or(0, |&word| u32::from_ne_bytes(word))
    }

    /// The record's words as they lie there.
    pub(crate) fn as_words(&self) -> &'a [Word] {
        self.raw
    }

    /// The words behind the record's head.
    pub(crate) fn rest(&self) -> &'a [Word] {
        self.raw.get(RECORD_HEAD..).unwrap_or(&[])
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
        Kind::of_info(self.word(1)).unwrap_or(Kind::Void)
    }

    /// Its name; empty when it has none.
    pub fn name(&self) -> &'a str {
        self.btf.str_at(self.word(0))
    }

    /// Its name, whether UTF-8 or not.
    pub(crate) fn name_bytes(&self) -> &'a [u8] {
        self.btf.bytes_at(self.name_off()).unwrap_or(&[])
    }

    /// String offset of its name.
    pub fn name_off(&self) -> u32 {
        self.word(0)
    }

    /// Number of members, parameters, enumerators or variables.
    pub fn vlen(&self) -> usize {
        (self.word(1) & 0xffff) as usize
    }

    /// The kind flag: bitfields in a struct, union forward, signed enumeration, attribute tag.
    pub fn kflag(&self) -> bool {
        self.word(1) >> 31 == 1
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
            | Kind::Datasec => self.word(2),
            _ => 0,
        }
    }

    /// What it refers to: a pointer's or qualifier's target, an array's element, a prototype's
    /// return type, a function's prototype, a variable's type. `void` for all others.
    pub fn type_id(&self) -> TypeId {
        match self.kind() {
            Kind::Array => TypeId(self.word(3)),
            k if k.refers() => TypeId(self.word(2)),
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
        TypeId(if self.kind() == Kind::Array { self.word(4) } else { 0 })
    }

    /// Number of an array's elements.
    pub fn array_len(&self) -> u32 {
        if self.kind() == Kind::Array { self.word(5) } else { 0 }
    }

    /// What an integer's trailing word says.
    pub fn int_encoding(&self) -> IntEncoding {
        let word = if self.kind() == Kind::Int { self.word(3) } else { 0 };
        let [bits, _, bit_offset, enc] = word.to_le_bytes();
        IntEncoding {
            signed: enc & 1 != 0,
            is_char: enc & 2 != 0,
            is_bool: enc & 4 != 0,
            bit_offset,
            bits,
        }
    }

    pub(crate) fn linkage_raw(&self) -> u32 {
        match self.kind() {
            Kind::Func => self.word(1) & 0xffff,
            Kind::Var => self.word(3),
            _ => 0,
        }
    }

    /// Linkage of a function or variable.
    pub fn linkage(&self) -> Linkage {
        Linkage::from_raw(self.linkage_raw()).unwrap_or(Linkage::Static)
    }

    /// What a declaration tag is on: a member or parameter by index, or the whole (`None`).
    pub fn component(&self) -> Option<u32> {
        let idx = if self.kind() == Kind::DeclTag { self.word(3) } else { u32::MAX };
        (idx != u32::MAX).then_some(idx)
    }

    /// Members of a struct or union; nothing for all others.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'a>> + use<'a> {
        let ty = *self;
        let n = if matches!(ty.kind(), Kind::Struct | Kind::Union) { ty.vlen() } else { 0 };
        let kflag = ty.kflag();
        (0..n).map(move |i| {
            let at = RECORD_HEAD + i * 3;
            let (name_off, offset) = (ty.word(at), ty.word(at + 2));
            Member {
                name: ty.btf.str_at(name_off),
                name_off,
                type_id: TypeId(ty.word(at + 1)),
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
            let name_off = ty.word(RECORD_HEAD + i * 2);
            let type_id = TypeId(ty.word(RECORD_HEAD + i * 2 + 1));
            Param { name: ty.btf.str_at(name_off), name_off, type_id }
        })
    }

    /// Does a prototype return a number (an integer or an enumeration, behind typedefs and
    /// qualifiers)? The verifier asks it of global functions.
    pub fn returns_number(&self) -> bool {
        let returns = self.btf.resolve(self.type_id()).kind();
        self.kind() == Kind::FuncProto && matches!(returns, Kind::Int | Kind::Enum | Kind::Enum64)
    }

    /// May the verifier look at a function of this prototype by itself, as it does with global ones? It has to return
    /// a number, and to take nothing but numbers and pointers.
    pub fn may_be_global(&self) -> bool {
        let passes = |id| {
            let kind = self.btf.resolve(id).kind();
            matches!(kind, Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Ptr)
        };
        self.returns_number() && self.params().all(|param| passes(param.type_id))
    }

    /// Values of an enumeration of either width; nothing for all others.
    pub fn enumerators(&self) -> impl ExactSizeIterator<Item = Enumerator<'a>> + use<'a> {
        let ty = *self;
        let (n, step) = match ty.kind() {
            Kind::Enum => (ty.vlen(), 2),
            Kind::Enum64 => (ty.vlen(), 3),
            _ => (0, 2),
        };
        (0..n).map(move |i| {
            let at = RECORD_HEAD + i * step;
            let low = ty.word(at + 1);
            let value = match (step, ty.kflag()) {
                (3, _) => u64::from(ty.word(at + 2)) << 32 | u64::from(low),
                (_, true) => i64::from(low as i32) as u64,
                (_, false) => low.into(),
            };
            let name_off = ty.word(at);
            Enumerator { name: ty.btf.str_at(name_off), name_off, value }
        })
    }

    /// Variables of a section; nothing for all others.
    pub fn section_vars(&self) -> impl ExactSizeIterator<Item = SectionVar> + use<'a> {
        let ty = *self;
        let n = if ty.kind() == Kind::Datasec { ty.vlen() } else { 0 };
        (0..n).map(move |i| {
            let at = RECORD_HEAD + i * 3;
            SectionVar {
                type_id: TypeId(ty.word(at)),
                offset: ty.word(at + 1),
                size: ty.word(at + 2),
            }
        })
    }
}
