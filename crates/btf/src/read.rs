//! Reading BTF: a blob is checked once, as a whole, when it is parsed; afterwards every view on it is
//! a plain look-up that cannot fail.
//!
//! What is checked: header, section bounds, every record's kind and length, every type id and every
//! string offset. What is not: that types make sense together (cycles by value, a FUNC whose type is
//! no prototype); see [`crate::validate`].

use std::borrow::Cow;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::index::{Names, place};
use crate::rising::Rising;
use crate::scan::{Highest, Scan};
use crate::text;
use crate::walk::{self, SPARSE, record_len, walk};
use crate::{BtfError, Endian, Kind, Type, TypeId};

/// A word of a record as it lies in memory, in this machine's byte order.
pub(crate) type Word = [u8; 4];

/// A parsed BTF blob. Cheap to keep: its bytes, shared with whoever gave them, and at most one offset a
/// type.
#[derive(Debug)]
pub struct Btf {
    /// The type section in native byte order.
    types: Bytes,
    /// Where records start in `words`, of every `1 << shift`th type; index 0 is the first type behind
    /// the base.
    starts: Rising,
    /// 0 but for the kernel's own, whose many types are seldom asked for one by one.
    shift: u32,
    /// Number of its own types.
    count: u32,
    /// See [`Btf::landmarks`].
    landmarks: Vec<u32>,
    strings: Bytes,
    /// Split BTF (a module's): types and strings continue where the base's end.
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_str: u32,
    endian: Endian,
    /// Made with it, of a kernel's, or when first asked for.
    pub(crate) names: OnceLock<Names>,
}

impl Clone for Btf {
    fn clone(&self) -> Self {
        let (types, strings) = (self.types.clone(), self.strings.clone());
        let (starts, landmarks) = (self.starts.clone(), self.landmarks.clone());
        let (base, names) = (self.base.clone(), self.names.clone());
        Self { types, strings, base, names, starts, landmarks, ..*self }
    }
}

pub(crate) const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;

/// Longest name of a type or member, in bytes. The kernel takes 511 (`KSYM_NAME_LEN`). Without a
/// bound, a blob whose many names are the ends of one huge string would take quadratic time.
pub(crate) const MAX_NAME: usize = 4096;

/// How much of a blob is looked at when it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Every type id and string offset.
    All,
    /// Where records start and end.
    Records,
}

impl Btf {
    /// Parses a stand-alone blob of either byte order.
    pub fn parse(blob: &[u8]) -> Result<Self, BtfError> {
        Self::parse_shared(&Bytes::copy_from_slice(blob))
    }

    /// [`Btf::parse`] without a copy: the blob's bytes are kept as long as the result is.
    pub fn parse_shared(blob: &Bytes) -> Result<Self, BtfError> {
        Self::parse_with(blob, None, Check::All)
    }

    /// Parses split BTF: the type ids and string offsets go on where those of `base` end.
    pub fn parse_split(blob: &[u8], base: Arc<Btf>) -> Result<Self, BtfError> {
        Self::parse_with(&Bytes::copy_from_slice(blob), Some(base), Check::All)
    }

    /// Parses what the running kernel says of its own types: a stand-alone blob or, with a base, a
    /// module's. Bytes are not copied, and references are not checked beforehand: one that
    /// leads nowhere leads to `void` or an empty name when it is followed.
    pub fn parse_kernel(
        blob: Cow<'static, [u8]>,
        base: Option<Arc<Btf>>,
    ) -> Result<Self, BtfError> {
        let blob = match blob {
            Cow::Borrowed(blob) => Bytes::from_static(blob),
            Cow::Owned(blob) => Bytes::from(blob),
        };
        Self::parse_with(&blob, base, Check::Records)
    }

    fn parse_with(blob: &Bytes, base: Option<Arc<Btf>>, check: Check) -> Result<Self, BtfError> {
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
            let start = header_len.saturating_add(offset as usize);
            let end = start.saturating_add(len as usize);
            // `Bytes::slice` would panic.
            (end <= blob.len()).then(|| blob.slice(start..end)).ok_or(BtfError::Section {
                what,
                offset: offset.into(),
                len: len.into(),
                total: body.len() as u64,
            })
        };
        let types = section("type", field(8)?, field(12)?)?;
        let strings = section("string", field(16)?, field(20)?)?;
        // A module's string section may be empty; a stand-alone one has at least the empty string.
        let bounded = strings.first() == Some(&0) || base.is_some();
        if !bounded || strings.last().is_some_and(|&b| b != 0) {
            return Err(BtfError::Strings);
        }
        let first_id = base.as_ref().map_or(1, |b| b.type_count());
        let first_str = base.as_ref().map_or(0, |b| b.string_len());
        let types = native(types, endian)?;
        let words = types.as_chunks().0;
        let names = OnceLock::new();
        let scan = match check {
            Check::All => Scan::all(words, first_id)?,
            Check::Records => {
                // Of a kernel's types, one in nine has a name.
                let mut places = Vec::with_capacity(words.len() / 32);
                let scan = Scan::records(words, first_id, |at| places.push(place(at)))?;
                let tail = |name| tail(&strings, first_str, &base, name);
                names.get_or_init(|| Names::new(words, places, tail));
                scan
            }
        };
        let btf = Self {
            types,
            starts: scan.starts.into(),
            shift: scan.shift,
            count: scan.count,
            landmarks: scan.landmarks,
            strings,
            base,
            first_id,
            first_str,
            endian,
            names,
        };
        if check == Check::All {
            btf.check_references(&scan.highest)?;
        }
        Ok(btf)
    }

    /// What a builder made: records and strings of a stand-alone blob.
    pub(crate) fn from_parts(words: &[u32], strings: Vec<u8>) -> Result<Self, BtfError> {
        let mut types = vec![0; words.len() * size_of::<Word>()];
        for (to, word) in types.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_ne_bytes();
        }
        let scan = Scan::all(types.as_chunks().0, 1)?;
        let btf = Self {
            types: types.into(),
            starts: scan.starts.into(),
            shift: scan.shift,
            count: scan.count,
            landmarks: scan.landmarks,
            strings: strings.into(),
            base: None,
            first_id: 1,
            first_str: 0,
            endian: Endian::NATIVE,
            names: Default::default(),
        };
        btf.check_references(&scan.highest)?;
        Ok(btf)
    }

    /// The blob in this machine's byte order, as the kernel takes it. Of split BTF: its own part.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_endian(Endian::NATIVE)
    }

    /// The blob in the byte order asked for. Of split BTF: its own part.
    pub fn to_bytes_endian(&self, endian: Endian) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.blob_len());
        let words = self.words().iter().copied().map(u32::from_ne_bytes);
        write_blob(&mut out, words, &self.strings, endian);
        out
    }

    /// A stand-alone blob in which what refers to a key of `targets` refers to its value instead.
    pub(crate) fn with_targets(
        &self,
        targets: &std::collections::HashMap<TypeId, TypeId>,
    ) -> Result<Self, BtfError> {
        let mut words = Vec::with_capacity(self.types.len() / 4);
        for ty in self.types() {
            let start = words.len();
            words.extend(ty.raw());
            for at in ty.slots().refs() {
                if let Some(word) = words.get_mut(start + at)
                    && let Some(target) = targets.get(&TypeId(*word))
                {
                    *word = target.0;
                }
            }
        }
        Self::from_parts(&words, self.strings.to_vec())
    }

    /// The string section.
    pub(crate) fn own_strings(&self) -> &[u8] {
        &self.strings
    }

    /// Bytes of [`Btf::to_bytes`].
    pub(crate) fn blob_len(&self) -> usize {
        HEADER_LEN + self.types.len() + self.strings.len()
    }

    /// Number of types, `void` and those of the base included: ids run from 0 to this, exclusive.
    pub fn type_count(&self) -> u32 {
        self.first_id.saturating_add(self.count)
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
        text::until_zero(tail)
    }

    /// All bytes from `offset` on; none when outside. Of split BTF, up to where the base ends.
    #[inline]
    pub(crate) fn tail_at(&self, offset: u32) -> &[u8] {
        tail(&self.strings, self.first_str, &self.base, offset)
    }

    /// Its own records.
    #[inline]
    pub(crate) fn words(&self) -> &[Word] {
        self.types.as_chunks().0
    }

    /// Its own sections ([`Kind::Datasec`]), and the functions and variables of linkage extern, in id
    /// order: few among many types. None of what [`Btf::parse_kernel`] has read.
    pub fn landmarks(&self) -> impl Iterator<Item = Type<'_>> + '_ {
        self.landmarks.iter().map(|&n| self.ty(TypeId(self.first_id.saturating_add(n))))
    }

    /// [`Btf::bytes_at`] for what is to be a name: `None` when it is longer than [`MAX_NAME`].
    pub(crate) fn name_at(&self, offset: u32) -> Option<&[u8]> {
        self.bytes_at(offset).filter(|name| name.len() <= MAX_NAME)
    }

    /// Is this the string at `offset`?
    pub(crate) fn is_at(&self, offset: u32, string: &[u8]) -> bool {
        let Some(own) = offset.checked_sub(self.first_str) else {
            return self.base.as_ref().is_some_and(|base| base.is_at(offset, string));
        };
        let tail = self.strings.get(own as usize..).unwrap_or(&[]);
        tail.first() == string.first()
            && tail.strip_prefix(string).is_some_and(|rest| rest.first() == Some(&0))
            || string.is_empty() && matches!(tail.first(), None | Some(0))
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
        let own = id.0 - btf.first_id;
        if own >= btf.count {
            return Type::void(self);
        }
        let start = btf.starts.get((own >> btf.shift) as usize).unwrap_or(u32::MAX);
        let mut rest = btf.words().get(start as usize..).unwrap_or(&[]);
        for _ in 0..own & ((1 << btf.shift) - 1) {
            rest = rest.get(record_len(rest)..).unwrap_or(&[]);
        }
        // Ids in a base's record are the base's own, so `self` can look them up as well.
        Type::new(self, id, rest.get(..record_len(rest)).unwrap_or(&[]))
    }

    /// The words of one record of stand-alone BTF; none for what is not there.
    #[inline]
    pub(crate) fn record(&self, id: u32) -> &[Word] {
        if self.shift > 0 {
            return self.ty(TypeId(id)).as_words();
        }
        let start = self.starts.get((id as usize).wrapping_sub(1));
        let rest = start.and_then(|start| self.words().get(start as usize..)).unwrap_or(&[]);
        rest.get(..record_len(rest)).unwrap_or(&[])
    }

    /// Is there a type with this id (`void` counts)?
    pub fn contains(&self, id: TypeId) -> bool {
        id.0 < self.type_count()
    }

    /// All types that this blob itself defines (not its base's), in id order.
    pub fn types(&self) -> impl ExactSizeIterator<Item = Type<'_>> + '_ {
        let mut rest = self.words();
        (self.first_id..self.type_count()).map(move |id| {
            let (raw, behind) = rest.split_at_checked(record_len(rest)).unwrap_or((rest, &[]));
            rest = behind;
            Type::new(self, TypeId(id), raw)
        })
    }

    /// The first type with this kind and name. Looks at every type; of a large blob, by way of an
    /// index, but for functions and variables. For several of these there is [`Btf::find_each`].
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        let own = match self.shift > 0 && kind.is_declared() {
            true => {
                let is = |name_off| self.is_at(name_off, name.as_bytes());
                self.named(name.as_bytes(), is).into_iter().find(|t| t.kind() == kind)
            }
            false => {
                let mut found = None;
                walk(self.words(), 0, 1 << kind as u32, |record| {
                    if !self.is_at(walk::name(self.words(), record.at), name.as_bytes()) {
                        return Continue(());
                    }
                    found = self.at(record.at);
                    Break(())
                });
                found
            }
        };
        // Looked up again so that the view is on this blob, not on its base.
        own.or_else(|| self.base.as_ref()?.find(kind, name).map(|t| self.ty(t.id())))
    }

    /// Where the first record of so many groups of `1 << SPARSE` types starts.
    #[inline]
    pub(crate) fn start_of_group(&self, group: usize) -> Option<u32> {
        self.starts.get(group << SPARSE >> self.shift)
    }

    /// The type of this blob itself whose record is at this place of its words.
    pub(crate) fn at(&self, at: usize) -> Option<Type<'_>> {
        let behind = self.starts.count_to(place(at));
        let group = behind.checked_sub(1)?;
        let mut start = self.starts.get(group)? as usize;
        let mut own = u32::try_from(group << self.shift).ok()?;
        loop {
            let rest = self.words().get(start..)?;
            if start >= at {
                let raw = rest.get(..record_len(rest))?;
                return Some(Type::new(self, TypeId(self.first_id.checked_add(own)?), raw));
            }
            start += record_len(rest);
            own += 1;
        }
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

    /// `highest` has seen every record.
    fn check_references(&self, highest: &Highest) -> Result<(), BtfError> {
        let count = self.type_count();
        let str_len = self.string_len();
        // Source lines may be longer than names may be, so a long string alone is no error.
        let long_strings = text::any_longer(&self.strings, MAX_NAME);
        let names = highest.name < str_len || highest.name == 0;
        if highest.target < count && names && highest.linkage <= 2 && !long_strings {
            return Ok(());
        }
        for ty in self.types() {
            let id = ty.id().0;
            if matches!(ty.kind(), Kind::Func | Kind::Var) && ty.linkage_raw() > 2 {
                let problem = format!("linkage {} is unknown", ty.linkage_raw());
                return Err(BtfError::Type { id, problem });
            }
            let slots = ty.slots();
            let bad = |target: &u32| *target >= count;
            if let Some(target) = slots.refs().map(|at| ty.word(at)).find(bad) {
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
            let mut names = slots.names().map(|at| ty.word(at));
            if let Some(offset) = names.clone().find(bad) {
                let what = match ty.kind() {
                    _ if bad(&ty.name_off()) => "its name",
                    Kind::FuncProto => "a parameter",
                    Kind::Enum | Kind::Enum64 => "an enumerator",
                    _ => "a member",
                };
                return Err(BtfError::StringOffset { id, what, offset, len: str_len });
            }
            if long_strings && names.any(|offset| self.name_at(offset).is_none()) {
                let problem = format!("a name is longer than {MAX_NAME} bytes");
                return Err(BtfError::Type { id, problem });
            }
        }
        Ok(())
    }
}

/// Writes a blob of these records and strings behind what is there.
pub(crate) fn write_blob(
    out: &mut Vec<u8>,
    words: impl ExactSizeIterator<Item = u32>,
    strings: &[u8],
    endian: Endian,
) {
    // Both lengths were 32-bit fields of a blob or are bounded by the builder.
    let types_len = u32::try_from(words.len() * 4).unwrap_or(u32::MAX);
    let strings_len = u32::try_from(strings.len()).unwrap_or(u32::MAX);
    out.reserve(HEADER_LEN + words.len() * 4 + strings.len());
    match endian {
        Endian::Little => out.extend(MAGIC.to_le_bytes()),
        Endian::Big => out.extend(MAGIC.to_be_bytes()),
    }
    out.extend([1, 0]);
    // Header length, type offset and length, string offset and length.
    for word in [24, 0, types_len, types_len, strings_len] {
        out.extend(endian.u32(word.to_ne_bytes()).to_ne_bytes());
    }
    let from = out.len();
    out.resize(from + words.len() * size_of::<Word>(), 0);
    let places = out.get_mut(from..).unwrap_or(&mut []).as_chunks_mut().0;
    for (place, word) in places.iter_mut().zip(words) {
        *place = endian.u32(word.to_ne_bytes()).to_ne_bytes();
    }
    out.extend_from_slice(strings);
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

/// See [`Btf::tail_at`].
#[inline]
fn tail<'s>(
    strings: &'s [u8],
    first_str: u32,
    base: &'s Option<Arc<Btf>>,
    offset: u32,
) -> &'s [u8] {
    let own = match (offset.checked_sub(first_str), base) {
        (Some(own), _) => own,
        (None, Some(base)) => return of_base(base, offset),
        (None, None) => 0,
    };
    strings.get(own as usize..).unwrap_or(&[])
}

/// Apart, so that the rest goes into loops.
#[inline(never)]
fn of_base(base: &Btf, offset: u32) -> &[u8] {
    base.tail_at(offset)
}

/// All fields of all records are 32-bit words.
fn native(types: Bytes, endian: Endian) -> Result<Bytes, BtfError> {
    let (words, rest) = types.as_chunks::<4>();
    if !rest.is_empty() {
        let have = types.len();
        return Err(BtfError::Truncated {
            what: "a type record",
            need: have.next_multiple_of(4) as u64,
            have: have as u64,
        });
    }
    match endian == Endian::NATIVE {
        true => Ok(types),
        false => Ok(words.iter().flat_map(|&word| endian.u32(word).to_ne_bytes()).collect()),
    }
}
