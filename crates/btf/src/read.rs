//! Reading BTF: a blob is checked once, as a whole, when it is parsed; afterwards every view on it is
//! a plain look-up that cannot fail.
//!
//! What is checked: header, section bounds, every record's kind and length, every type id and every
//! string offset. What is not: that types make sense together (cycles by value, a FUNC whose type is
//! no prototype); see [`crate::validate`].

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::index::{Class, Entries};
use crate::kind::{MAX_TYPES, RECORD_HEAD, Shape};
use crate::text;
use crate::{BtfError, Endian, Kind, Type, TypeId};

/// A word of a record as it lies in memory, in this machine's byte order.
pub(crate) type Word = [u8; 4];

/// A parsed BTF blob. Cheap to keep: its bytes in native byte order and at most one offset a type.
#[derive(Debug)]
pub struct Btf {
    /// The type section.
    words: Cow<'static, [Word]>,
    /// Where records start in `words`, of every `1 << shift`th type; index 0 is the first type behind
    /// the base.
    starts: Vec<u32>,
    /// 0 but for the kernel's own, whose many types are seldom asked for one by one.
    shift: u32,
    /// Number of its own types.
    count: u32,
    strings: Cow<'static, [u8]>,
    /// Split BTF (a module's): types and strings continue where the base's end.
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_str: u32,
    endian: Endian,
    /// Made when names of a class are first asked for.
    pub(crate) names: [OnceLock<Entries>; Class::COUNT],
    /// Calls of [`Btf::find`].
    finds: AtomicU32,
}

impl Clone for Btf {
    fn clone(&self) -> Self {
        let (words, strings) = (self.words.clone(), self.strings.clone());
        let base = self.base.clone();
        let (names, finds) = Default::default();
        Self { words, strings, base, names, finds, starts: self.starts.clone(), ..*self }
    }
}

pub(crate) const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;

/// Longest name of a type or member, in bytes. The kernel takes 511 (`KSYM_NAME_LEN`). Without a
/// bound, a blob whose many names are the ends of one huge string would take quadratic time.
pub(crate) const MAX_NAME: usize = 4096;

/// Types, from which on not each has its start kept.
const MANY_TYPES: usize = 1 << 16;
/// One in so many (as a power of 2) has, then.
const SPARSE: u32 = 3;
/// From so many calls of [`Btf::find`] on, an index is worth its making.
const MANY_FINDS: u32 = 2;

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
        Self::parse_with(&Bytes::Lent(blob), None, Check::All)
    }

    /// Parses split BTF: the type ids and string offsets go on where those of `base` end.
    pub fn parse_split(blob: &[u8], base: Arc<Btf>) -> Result<Self, BtfError> {
        Self::parse_with(&Bytes::Lent(blob), Some(base), Check::All)
    }

    /// Parses what the running kernel says of its own types: a stand-alone blob or, with a base, a
    /// module's. Borrowed bytes are not copied, and references are not checked beforehand: one that
    /// leads nowhere leads to `void` or an empty name when it is followed.
    pub fn parse_kernel(
        blob: Cow<'static, [u8]>,
        base: Option<Arc<Btf>>,
    ) -> Result<Self, BtfError> {
        let bytes = match &blob {
            Cow::Borrowed(blob) => Bytes::Lasting(blob),
            Cow::Owned(blob) => Bytes::Lent(blob),
        };
        Self::parse_with(&bytes, base, Check::Records)
    }

    fn parse_with(
        bytes: &Bytes<'_>,
        base: Option<Arc<Btf>>,
        check: Check,
    ) -> Result<Self, BtfError> {
        let blob = bytes.all();
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
            let range = start..start.saturating_add(len as usize);
            bytes.part(range).ok_or(BtfError::Section {
                what,
                offset: offset.into(),
                len: len.into(),
                total: body.len() as u64,
            })
        };
        let types = section("type", field(8)?, field(12)?)?;
        let strings = section("string", field(16)?, field(20)?)?.into_bytes();
        // A module's string section may be empty; a stand-alone one has at least the empty string.
        let bounded = strings.first() == Some(&0) || base.is_some();
        if !bounded || strings.last().is_some_and(|&b| b != 0) {
            return Err(BtfError::Strings);
        }
        let first_id = base.as_ref().map_or(1, |b| b.type_count());
        let first_str = base.as_ref().map_or(0, |b| b.string_len());
        let words = words(types, endian)?;
        let names: [OnceLock<Entries>; Class::COUNT] = Default::default();
        let mut highest = Highest::default();
        let scan = match check {
            Check::All => Scan::new(&words, first_id, check, |_, name, record| {
                highest.see(name, record);
            })?,
            Check::Records => {
                let mut types = Entries::empty(words.len());
                let scan = Scan::new(&words, first_id, check, |n, name, _| {
                    let tail = tail(&strings, first_str, &base, name);
                    types.add(Class::Types, first_id.saturating_add(n), tail);
                })?;
                let [of_types, _] = &names;
                of_types.get_or_init(|| types);
                scan
            }
        };
        let btf = Self {
            words,
            starts: scan.starts,
            shift: scan.shift,
            count: scan.count,
            strings,
            base,
            first_id,
            first_str,
            endian,
            names,
            finds: AtomicU32::new(0),
        };
        if check == Check::All {
            btf.check_references(&highest)?;
        }
        Ok(btf)
    }

    /// What a builder made: records and strings of a stand-alone blob.
    pub(crate) fn from_parts(words: &[u32], strings: Vec<u8>) -> Result<Self, BtfError> {
        let words: Vec<Word> = words.iter().map(|word| word.to_ne_bytes()).collect();
        let mut highest = Highest::default();
        let scan = Scan::new(&words, 1, Check::All, |_, name, record| {
            highest.see(name, record);
        })?;
        let btf = Self {
            words: words.into(),
            starts: scan.starts,
            shift: scan.shift,
            count: scan.count,
            strings: strings.into(),
            base: None,
            first_id: 1,
            first_str: 0,
            endian: Endian::NATIVE,
            names: Default::default(),
            finds: AtomicU32::new(0),
        };
        btf.check_references(&highest)?;
        Ok(btf)
    }

    /// The blob in this machine's byte order, as the kernel takes it. Of split BTF: its own part.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_endian(Endian::NATIVE)
    }

    /// The blob in the byte order asked for. Of split BTF: its own part.
    pub fn to_bytes_endian(&self, endian: Endian) -> Vec<u8> {
        blob(self.words.iter().copied().map(u32::from_ne_bytes), &self.strings, endian)
    }

    /// A stand-alone blob in which what refers to a key of `targets` refers to its value instead.
    pub(crate) fn with_targets(
        &self,
        targets: &std::collections::HashMap<TypeId, TypeId>,
    ) -> Result<Self, BtfError> {
        let mut words = Vec::with_capacity(self.words.len());
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
        HEADER_LEN + self.words.len() * 4 + self.strings.len()
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
    pub(crate) fn tail_at(&self, offset: u32) -> &[u8] {
        tail(&self.strings, self.first_str, &self.base, offset)
    }

    /// Its own records.
    pub(crate) fn words(&self) -> &[Word] {
        &self.words
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
        let start = btf.starts.get((own >> btf.shift) as usize).copied().unwrap_or(u32::MAX);
        let mut rest = btf.words.get(start as usize..).unwrap_or(&[]);
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
        let rest = start.and_then(|&start| self.words.get(start as usize..)).unwrap_or(&[]);
        rest.get(..record_len(rest)).unwrap_or(&[])
    }

    /// Is there a type with this id (`void` counts)?
    pub fn contains(&self, id: TypeId) -> bool {
        id.0 < self.type_count()
    }

    /// All types that this blob itself defines (not its base's), in id order.
    pub fn types(&self) -> impl ExactSizeIterator<Item = Type<'_>> + '_ {
        let mut rest = &*self.words;
        (self.first_id..self.type_count()).map(move |id| {
            let (raw, behind) = rest.split_at_checked(record_len(rest)).unwrap_or((rest, &[]));
            rest = behind;
            Type::new(self, TypeId(id), raw)
        })
    }

    /// The first type with this kind and name. Looks at every type; when it has been asked for some
    /// names of a large blob, by way of [`Btf::index`].
    pub fn find(&self, kind: Kind, name: &str) -> Option<Type<'_>> {
        let many = || self.finds.fetch_add(1, Ordering::Relaxed) >= MANY_FINDS;
        let index = self.names.get(Class::of(kind) as usize).and_then(OnceLock::get);
        if index.is_some() || self.shift > 0 && many() {
            return self.index().find(kind, name);
        }
        let mut found = None;
        walk(&self.words, |n, at, info| {
            let is = info >> 24 & 0x1f == kind as u32 && self.is_at(at, name.as_bytes());
            found = is.then_some(n);
            is
        });
        let own = found.map(|n| self.ty(TypeId(self.first_id.saturating_add(n))));
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

/// A blob of these records and strings.
pub(crate) fn blob(
    words: impl ExactSizeIterator<Item = u32>,
    strings: &[u8],
    endian: Endian,
) -> Vec<u8> {
    // Both lengths were 32-bit fields of a blob or are bounded by the builder.
    let types_len = u32::try_from(words.len() * 4).unwrap_or(u32::MAX);
    let strings_len = u32::try_from(strings.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER_LEN + words.len() * 4 + strings.len());
    match endian {
        Endian::Little => out.extend(MAGIC.to_le_bytes()),
        Endian::Big => out.extend(MAGIC.to_be_bytes()),
    }
    out.extend([1, 0]);
    // Header length, type offset and length, string offset and length.
    for word in [24, 0, types_len, types_len, strings_len].into_iter().chain(words) {
        match endian {
            Endian::Little => out.extend_from_slice(&word.to_le_bytes()),
            Endian::Big => out.extend_from_slice(&word.to_be_bytes()),
        }
    }
    out.extend_from_slice(strings);
    out
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
fn tail<'s>(
    strings: &'s [u8],
    first_str: u32,
    base: &'s Option<Arc<Btf>>,
    offset: u32,
) -> &'s [u8] {
    match (offset.checked_sub(first_str), base) {
        (None, Some(base)) => base.tail_at(offset),
        (own, _) => strings.get(own.unwrap_or(0) as usize..).unwrap_or(&[]),
    }
}

/// A blob, and whether it stays.
enum Bytes<'b> {
    Lent(&'b [u8]),
    Lasting(&'static [u8]),
}

impl Bytes<'_> {
    fn all(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Lasting(bytes) => bytes,
        }
    }

    fn part(&self, range: std::ops::Range<usize>) -> Option<Self> {
        Some(match self {
            Self::Lent(bytes) => Self::Lent(bytes.get(range)?),
            Self::Lasting(bytes) => Self::Lasting(bytes.get(range)?),
        })
    }

    fn into_bytes(self) -> Cow<'static, [u8]> {
        match self {
            Self::Lent(bytes) => Cow::Owned(bytes.to_vec()),
            Self::Lasting(bytes) => Cow::Borrowed(bytes),
        }
    }
}

/// All fields of all records are 32-bit words.
fn words(types: Bytes<'_>, endian: Endian) -> Result<Cow<'static, [Word]>, BtfError> {
    let (words, rest) = types.all().as_chunks::<4>();
    if !rest.is_empty() {
        let have = types.all().len();
        return Err(BtfError::Truncated {
            what: "a type record",
            need: have.next_multiple_of(4) as u64,
            have: have as u64,
        });
    }
    Ok(match types {
        _ if endian != Endian::NATIVE => {
            words.iter().map(|&word| endian.u32(word).to_ne_bytes()).collect()
        }
        Bytes::Lent(_) => words.to_vec().into(),
        Bytes::Lasting(bytes) => bytes.as_chunks().0.into(),
    })
}

/// Words of the record at the start of these; more than there are when it is cut.
fn record_len(words: &[Word]) -> usize {
    let info = words.get(1).map_or(0, |&info| u32::from_ne_bytes(info));
    Shape::of(info).record_len(info)
}

/// What one pass over all records finds out.
struct Scan {
    starts: Vec<u32>,
    shift: u32,
    count: u32,
}

/// The highest numbers in all records.
#[derive(Default)]
struct Highest {
    target: u32,
    name: u32,
    linkage: u32,
}

impl Scan {
    /// `see` gets number, name and words from the record's head on, of every record or, with
    /// [`Check::Records`], of named types.
    #[inline]
    fn new(
        words: &[Word],
        first_id: u32,
        check: Check,
        mut see: impl FnMut(u32, u32, &[Word]),
    ) -> Result<Self, BtfError> {
        let shift = if words.len() / 4 < MANY_TYPES { 0 } else { SPARSE };
        let mask = (1 << shift) - 1;
        let mut starts = Vec::with_capacity((words.len() / 4) >> shift);
        let mut rest = words;
        let mut count = 0;
        while let Some((&[name, info, _], behind)) = rest.split_first_chunk() {
            if count & mask == 0 {
                if count as usize >= MAX_TYPES {
                    let (id, problem) = (count, format!("more than {MAX_TYPES} types"));
                    return Err(BtfError::Type { id, problem });
                }
                starts.push(u32::try_from(words.len() - rest.len()).unwrap_or(u32::MAX));
            }
            let (name, info) = (u32::from_ne_bytes(name), u32::from_ne_bytes(info));
            let shape = Shape::of(info);
            count += 1;
            // Most of a kernel's records.
            if check == Check::Records && shape.is_bare() {
                rest = behind;
                continue;
            }
            if check == Check::All || shape.is_type() && name != 0 {
                see(count - 1, name, rest);
            }
            let len = shape.record_len(info);
            if !shape.known() {
                let (id, at) = (first_id.saturating_add(count - 1), words.len() - rest.len());
                let kind = info >> 24 & 0x1f;
                return Err(BtfError::Kind { id, offset: at * 4, kind });
            }
            rest = rest.get(len..).ok_or_else(|| cut(words, rest, len))?;
        }
        match rest {
            [] => Ok(Self { starts, shift, count }),
            _ => Err(cut(words, rest, RECORD_HEAD)),
        }
    }
}

/// Goes over records that are known to be whole; `see` gets number, name and info of each and says
/// when it is enough.
#[inline]
pub(crate) fn walk(words: &[Word], mut see: impl FnMut(u32, u32, u32) -> bool) {
    let (mut rest, mut count) = (words, 0);
    while let Some((&[name, info, _], behind)) = rest.split_first_chunk() {
        let (name, info) = (u32::from_ne_bytes(name), u32::from_ne_bytes(info));
        if see(count, name, info) {
            return;
        }
        let shape = Shape::of(info);
        rest = match shape.is_bare() {
            true => behind,
            false => rest.get(shape.record_len(info)..).unwrap_or(&[]),
        };
        count += 1;
    }
}

/// `rest` should hold a record of `len` words.
#[cold]
fn cut(words: &[Word], rest: &[Word], len: usize) -> BtfError {
    BtfError::Truncated {
        what: "a type record",
        need: (words.len() - rest.len() + len) as u64 * 4,
        have: words.len() as u64 * 4,
    }
}

impl Highest {
    #[inline]
    fn see(&mut self, name: u32, words: &[Word]) {
        let &[_, info, third, ref rest @ ..] = words else { return };
        let info = u32::from_ne_bytes(info);
        // One that is cut is an error anyway.
        let len = Shape::of(info).record_len(info);
        let rest = rest.get(..len - RECORD_HEAD).unwrap_or(&[]);
        let Some(kind) = Kind::of_info(info) else { return };
        self.name = self.name.max(name);
        if kind.refers() {
            self.target = self.target.max(u32::from_ne_bytes(third));
        }
        let target = |highest: u32, word: &Word| highest.max(u32::from_ne_bytes(*word));
        match kind {
            Kind::Struct | Kind::Union => {
                for [name, ty, _] in rest.as_chunks().0 {
                    self.name = target(self.name, name);
                    self.target = target(self.target, ty);
                }
            }
            Kind::FuncProto => {
                for [name, ty] in rest.as_chunks().0 {
                    self.name = target(self.name, name);
                    self.target = target(self.target, ty);
                }
            }
            Kind::Enum => {
                let names = rest.as_chunks().0.iter().map(|[name, _]| name);
                self.name = names.fold(self.name, target);
            }
            Kind::Enum64 => {
                let names = rest.as_chunks().0.iter().map(|[name, _, _]| name);
                self.name = names.fold(self.name, target);
            }
            Kind::Datasec => {
                let types = rest.as_chunks().0.iter().map(|[ty, _, _]| ty);
                self.target = types.fold(self.target, target);
            }
            Kind::Array => {
                self.target = rest.iter().take(2).fold(self.target, target);
            }
            Kind::Func => self.linkage = self.linkage.max(info & 0xffff),
            Kind::Var => self.linkage = rest.iter().take(1).fold(self.linkage, target),
            _ => {}
        }
    }
}
