//! Reading BTF: a blob is checked once, as a whole, when it is parsed; afterwards every view on it is
//! a plain look-up that cannot fail.
//!
//! What is checked: header, section bounds, every record's kind and length, every type id and every
//! string offset. What is not: that types make sense together (cycles by value, a FUNC whose type is
//! no prototype); see [`crate::validate`].

use std::ffi::CStr;
use std::sync::{Arc, OnceLock};

use crate::index::Entries;
use crate::kind::{MAX_TYPES, RECORD_HEAD};
use crate::{BtfError, Endian, Kind, Type, TypeId};

/// A parsed BTF blob. Cheap to keep: the blob's words in native byte order and one offset a type.
#[derive(Clone, Debug)]
pub struct Btf {
    /// The type section.
    words: Vec<u32>,
    /// Where each type's record starts in `words`; index 0 is the first type behind the base. One
    /// more than there are types: the last is the end.
    starts: Vec<u32>,
    strings: Vec<u8>,
    /// Split BTF (a module's): types and strings continue where the base's end.
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_str: u32,
    endian: Endian,
    /// Made when [`Btf::index`] is first asked for.
    pub(crate) names: OnceLock<Entries>,
}

pub(crate) const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;

/// Longest name of a type or member, in bytes. The kernel takes 511 (`KSYM_NAME_LEN`). Without a
/// bound, a blob whose many names are the ends of one huge string would take quadratic time.
pub(crate) const MAX_NAME: usize = 4096;

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
        let truncated = |need: usize| BtfError::Truncated {
            what: "the header",
            need: need as u64,
            have: blob.len() as u64,
        };
        let (endian, version) = magic(blob).ok_or_else(|| truncated(HEADER_LEN))??;
        if version != 1 {
            return Err(BtfError::Version(version));
        }
        let field = |at| endian.u32_at(blob, at).ok_or_else(|| truncated(HEADER_LEN));
        let header_len = field(4)? as usize;
        if header_len < HEADER_LEN {
            return Err(BtfError::Truncated {
                what: "the header",
                need: HEADER_LEN as u64,
                have: header_len as u64,
            });
        }
        let body = blob.get(header_len..).ok_or_else(|| truncated(header_len))?;
        let section = |what, offset: u32, len: u32| {
            let end = (offset as usize).checked_add(len as usize);
            end.and_then(|end| body.get(offset as usize..end)).ok_or(BtfError::Section {
                what,
                offset: offset.into(),
                len: len.into(),
                total: body.len() as u64,
            })
        };
        let types = section("type", field(8)?, field(12)?)?;
        let strings = section("string", field(16)?, field(20)?)?.to_vec();
        // A module's string section may be empty; a stand-alone one has at least the empty string.
        let bounded = strings.first() == Some(&0) || base.is_some();
        if !bounded || strings.last().is_some_and(|&b| b != 0) {
            return Err(BtfError::Strings);
        }
        let first_id = base.as_ref().map_or(1, |b| b.type_count());
        let first_str = base.as_ref().map_or(0, |b| b.string_len());
        let words = words(types, endian)?;
        let starts = scan(&words, first_id)?;
        let names = OnceLock::new();
        let btf = Self { words, starts, strings, base, first_id, first_str, endian, names };
        btf.check_references()?;
        Ok(btf)
    }

    /// What a builder made: records and strings of a stand-alone blob.
    pub(crate) fn from_parts(
        words: Vec<u32>,
        starts: Vec<u32>,
        strings: Vec<u8>,
    ) -> Result<Self, BtfError> {
        let endian = Endian::NATIVE;
        let (base, first_id, first_str, names) = (None, 1, 0, OnceLock::new());
        let btf = Self { words, starts, strings, base, first_id, first_str, endian, names };
        btf.check_references()?;
        Ok(btf)
    }

    /// The blob in this machine's byte order, as the kernel takes it. Of split BTF: its own part.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_endian(Endian::NATIVE)
    }

    /// The blob in the byte order asked for. Of split BTF: its own part.
    pub fn to_bytes_endian(&self, endian: Endian) -> Vec<u8> {
        // Both lengths were 32-bit fields of a blob or are bounded by the builder.
        let types_len = u32::try_from(self.words.len() * 4).unwrap_or(u32::MAX);
        let strings_len = u32::try_from(self.strings.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(self.blob_len());
        match endian {
            Endian::Little => out.extend(MAGIC.to_le_bytes()),
            Endian::Big => out.extend(MAGIC.to_be_bytes()),
        }
        out.extend([1, 0]);
        // Header length, type offset and length, string offset and length.
        let header = [24, 0, types_len, types_len, strings_len];
        for &word in header.iter().chain(&self.words) {
            match endian {
                Endian::Little => out.extend(word.to_le_bytes()),
                Endian::Big => out.extend(word.to_be_bytes()),
            }
        }
        out.extend(&self.strings);
        out
    }

    /// A stand-alone blob in which what refers to a key of `targets` refers to its value instead.
    pub(crate) fn with_targets(
        &self,
        targets: &std::collections::HashMap<TypeId, TypeId>,
    ) -> Result<Self, BtfError> {
        let mut words = self.words.clone();
        for (ty, &start) in self.types().zip(&self.starts) {
            for at in ty.slots().refs() {
                if let Some(word) = words.get_mut(start as usize + at)
                    && let Some(target) = targets.get(&TypeId(*word))
                {
                    *word = target.0;
                }
            }
        }
        Self::from_parts(words, self.starts.clone(), self.strings.clone())
    }

    /// The string section.
    pub(crate) fn own_strings(&self) -> &[u8] {
        &self.strings
    }

    /// Bytes of [`Btf::to_bytes`].
    pub(crate) fn blob_len(&self) -> usize {
        HEADER_LEN + self.words.len() * 4 + self.strings.len()
    }

    /// Number of types, `void` and those of the base included: ids run from 0 to this, exclusive.
    pub fn type_count(&self) -> u32 {
        self.first_id.saturating_add(self.own_count())
    }

    fn own_count(&self) -> u32 {
        // `scan` and the builder keep the number below MAX_TYPES.
        u32::try_from(self.starts.len().saturating_sub(1)).unwrap_or(u32::MAX)
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
        self.first_str.saturating_add(u32::try_from(self.strings.len()).unwrap_or(u32::MAX))
    }

    /// The bytes of the string at `offset`, without its zero; `None` when outside.
    pub fn bytes_at(&self, offset: u32) -> Option<&[u8]> {
        if offset < self.first_str {
            return self.base.as_ref()?.bytes_at(offset);
        }
        let tail = self.strings.get((offset - self.first_str) as usize..)?;
        Some(CStr::from_bytes_until_nul(tail).ok()?.to_bytes())
    }

    /// [`Btf::bytes_at`] for what is to be a name: `None` when it is longer than [`MAX_NAME`].
    pub(crate) fn name_at(&self, offset: u32) -> Option<&[u8]> {
        if offset < self.first_str {
            return self.base.as_ref()?.name_at(offset);
        }
        let tail = self.strings.get((offset - self.first_str) as usize..)?;
        let tail = tail.get(..=MAX_NAME).unwrap_or(tail);
        Some(CStr::from_bytes_until_nul(tail).ok()?.to_bytes())
    }

    /// The string at `offset`; empty when outside or no UTF-8.
    pub fn str_at(&self, offset: u32) -> &str {
        self.bytes_at(offset).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }

    /// The view on one type. Total: an id that names nothing gives `void`.
    pub fn ty(&self, id: TypeId) -> Type<'_> {
        let mut btf = self;
        // Split BTF on split BTF does not exist, but nothing forbids to build it.
        while id.0 < btf.first_id {
            match &btf.base {
                Some(base) => btf = base,
                None => return Type::void(self),
            }
        }
        let at = (id.0 - btf.first_id) as usize;
        let span = btf.starts.get(at).zip(btf.starts.get(at + 1));
        match span.and_then(|(&from, &to)| btf.words.get(from as usize..to as usize)) {
            // Ids in a base's record are the base's own, so `self` can look them up as well.
            Some(raw) => Type::new(self, id, raw),
            None => Type::void(self),
        }
    }

    /// Is there a type with this id (`void` counts)?
    pub fn contains(&self, id: TypeId) -> bool {
        id.0 < self.type_count()
    }

    /// All types that this blob itself defines (not its base's), in id order.
    pub fn types(&self) -> impl ExactSizeIterator<Item = Type<'_>> + '_ {
        let spans = self.starts.iter().zip(self.starts.get(1..).unwrap_or(&[]));
        (self.first_id..self.type_count()).zip(spans).map(|(id, (&from, &to))| {
            let raw = self.words.get(from as usize..to as usize).unwrap_or(&[]);
            Type::new(self, TypeId(id), raw)
        })
    }

    /// The first type with this kind and name. Looks at every type: whoever asks for many names of
    /// a large blob makes a [`Btf::index`] first.
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        let own = self.types().find(|t| t.kind() == kind && t.name_is(name));
        // Looked up again so that the view is on this blob, not on its base.
        own.or_else(|| self.base.as_ref()?.find(kind, name).map(|t| self.ty(t.id())))
    }

    /// Follows typedefs and qualifiers to the type behind them. Bounded: a cycle ends in `void`.
    pub fn resolve(&self, id: TypeId) -> Type<'_> {
        self.follow(id, |kind| kind == Kind::Typedef || kind.is_qualifier())
    }

    /// Like [`Btf::resolve`], but stops at typedefs.
    pub fn skip_qualifiers(&self, id: TypeId) -> Type<'_> {
        self.follow(id, Kind::is_qualifier)
    }

    fn follow(&self, id: TypeId, through: impl Fn(Kind) -> bool) -> Type<'_> {
        let mut ty = self.ty(id);
        // 256 links are more than any compiler makes and keep a hostile blob cheap.
        for _ in 0..256 {
            if !through(ty.kind()) {
                return ty;
            }
            ty = self.ty(ty.type_id());
        }
        Type::void(self)
    }

    fn check_references(&self) -> Result<(), BtfError> {
        let count = self.type_count();
        let str_len = self.string_len();
        // Source lines may be longer than names may be, so a long string alone is no error.
        let long_strings = self.strings.split(|&b| b == 0).any(|s| s.len() > MAX_NAME);
        for ty in self.types() {
            let id = ty.id().0;
            if matches!(ty.kind(), Kind::Func | Kind::Var) && ty.linkage_raw() > 2 {
                let problem = format!("linkage {} is unknown", ty.linkage_raw());
                return Err(BtfError::Type { id, problem });
            }
            let raw = ty.raw();
            let slots = ty.slots();
            let bad = |target: &u32| *target >= count;
            if let Some(&target) = slots.refs().filter_map(|at| raw.get(at)).find(|t| bad(t)) {
                let what = match ty.kind() {
                    Kind::Array => "its element or index",
                    Kind::Struct | Kind::Union => "a member",
                    Kind::FuncProto if ty.type_id().0 < count => "a parameter",
                    Kind::Datasec => "a variable",
                    _ => "its target",
                };
                return Err(BtfError::TypeId { id, what, target, count });
            }
            let bad = |offset: &u32| *offset >= str_len && *offset != 0;
            if let Some(&offset) = slots.names().filter_map(|at| raw.get(at)).find(|o| bad(o)) {
                let what = match ty.kind() {
                    _ if bad(&ty.name_off()) => "its name",
                    Kind::FuncProto => "a parameter",
                    Kind::Enum | Kind::Enum64 => "an enumerator",
                    _ => "a member",
                };
                return Err(BtfError::StringOffset { id, what, offset, len: str_len });
            }
            let mut names = slots.names().filter_map(|at| raw.get(at));
            if long_strings && names.any(|&offset| self.name_at(offset).is_none()) {
                let problem = format!("a name is longer than {MAX_NAME} bytes");
                return Err(BtfError::Type { id, problem });
            }
        }
        Ok(())
    }
}

/// Byte order and version, told by the magic number; `None` when there are not even these bytes.
pub(crate) fn magic(blob: &[u8]) -> Option<Result<(Endian, u8), BtfError>> {
    let &[a, b, version, ..] = blob else { return None };
    Some(match u16::from_le_bytes([a, b]) {
        MAGIC => Ok((Endian::Little, version)),
        m if m.swap_bytes() == MAGIC => Ok((Endian::Big, version)),
        m => Err(BtfError::Magic(m)),
    })
}

/// All fields of all records are 32-bit words.
fn words(types: &[u8], endian: Endian) -> Result<Vec<u32>, BtfError> {
    let (words, rest) = types.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(BtfError::Truncated {
            what: "a type record",
            need: types.len().next_multiple_of(4) as u64,
            have: types.len() as u64,
        });
    }
    Ok(words.iter().map(|&word| endian.u32(word)).collect())
}

/// Finds each record's start, and the end of the last.
fn scan(words: &[u32], first_id: u32) -> Result<Vec<u32>, BtfError> {
    let mut starts = Vec::with_capacity(words.len() / 4);
    let mut at = 0;
    while at < words.len() {
        let id = u32::try_from(starts.len()).unwrap_or(u32::MAX).saturating_add(first_id);
        let truncated = |need: usize| BtfError::Truncated {
            what: "a type record",
            need: need as u64 * 4,
            have: words.len() as u64 * 4,
        };
        let &info = words.get(at + 1).ok_or_else(|| truncated(at + RECORD_HEAD))?;
        let kind = Kind::of_info(info).ok_or(BtfError::Kind {
            id,
            offset: at * 4,
            kind: info >> 24 & 0x1f,
        })?;
        let end = at + kind.record_len((info & 0xffff) as usize);
        if end > words.len() {
            return Err(truncated(end));
        }
        if starts.len() >= MAX_TYPES {
            return Err(BtfError::Type { id, problem: format!("more than {MAX_TYPES} types") });
        }
        starts.push(u32::try_from(at).map_err(|_| truncated(end))?);
        at = end;
    }
    starts.push(u32::try_from(at).unwrap_or(u32::MAX));
    Ok(starts)
}
