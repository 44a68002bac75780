//! Gathering the types of one object file after the other in one builder, as a linker of object files
//! does. A blob is looked at in passing, nothing of it is kept but what is new.
//!
//! Objects of one project mostly begin with the same types, those of one header. What a blob has in
//! common with one before, at its start, is compared in one go and not looked at type by type.

use std::borrow::Cow;

use crate::ext::{CoreRecord, FuncInfo, LineRecord};
use crate::kind::{MAX_TYPES, Shape};
use crate::merge::{Source, SourceMap, head, slots, word};
use crate::read::{MAX_NAME, Word, magic};
use crate::{BtfBuilder, BtfError, Endian, Kind, Linkage, SectionVar, TypeId, text};

const HEADER_LEN: usize = 24;
/// Of `.BTF.ext`, with the part about CO-RE.
const HEADER_WITH_CORE: usize = 32;

/// Types of several blobs, put together.
#[derive(Debug, Default)]
pub struct Gatherer {
    builder: BtfBuilder,
    /// Of the blob that is being looked at, as the next two.
    map: SourceMap,
    starts: Vec<u32>,
    native: Vec<Word>,
    /// Functions, variables, sections and tags of the blob that is being looked at.
    items: Vec<u32>,
    common: Common,
    only_used: bool,
}

/// The first types of a blob, which others may begin with as well: no functions, variables, sections
/// and tags; none refers to what is behind them. All blobs since have begun with them, so that
/// [`Gatherer::map`] and [`Gatherer::starts`] begin with what belongs to them.
#[derive(Debug, Default)]
struct Common {
    words: Vec<Word>,
    strings: Vec<u8>,
    types: usize,
    /// The builder's own, of which there is no copy: so many words, and bytes of strings.
    own: Option<[usize; 2]>,
}

/// Records and strings of a blob, in this machine's byte order.
struct Blob<'a> {
    words: &'a [Word],
    /// Of each type from 1 on.
    starts: &'a [u32],
    strings: &'a [u8],
}

impl Source for Blob<'_> {
    #[inline]
    fn words_of(&self, id: u32) -> &[Word] {
        let at = (id as usize).wrapping_sub(1);
        let Some(&start) = self.starts.get(at) else { return &[] };
        let rest = self.words.get(start as usize..).unwrap_or(&[]);
        rest.get(..record_len(rest)).unwrap_or(&[])
    }

    #[inline]
    fn string(&self, offset: u32) -> &[u8] {
        self.strings.get(offset as usize..).and_then(text::until_zero).unwrap_or(&[])
    }
}

/// A blob whose types are gathered: what is left to ask it.
pub struct Gathered<'g> {
    blob: Blob<'g>,
    map: &'g mut SourceMap,
    builder: &'g mut BtfBuilder,
    /// Its functions, variables, sections and tags.
    items: &'g [u32],
}

/// What a linker puts together by itself. Ids are those of the blob, but for [`Item::Func`]'s
/// prototype and [`Item::Var`]'s type: these are the builder's.
#[derive(Debug)]
pub enum Item<'a> {
    /// A function.
    Func {
        /// Its id.
        id: TypeId,
        /// Its name.
        name: &'a [u8],
        /// Its linkage.
        linkage: Linkage,
        /// Its prototype; of one with code, with a name for every parameter.
        proto: TypeId,
    },
    /// A variable.
    Var {
        /// Its id.
        id: TypeId,
        /// Its name.
        name: &'a [u8],
        /// Its linkage.
        linkage: Linkage,
        /// Its type.
        type_id: TypeId,
    },
    /// A section.
    Datasec {
        /// Its name.
        name: &'a [u8],
        /// Its size in bytes.
        size: u32,
        /// The words of its entries.
        entries: &'a [Word],
    },
    /// A declaration tag.
    Tag {
        /// What it is on.
        on: TypeId,
        /// Its text.
        text: &'a [u8],
        /// The member or parameter; `None` for the whole.
        component: Option<u32>,
        /// An attribute instead of a tag (kernel 6.15)?
        attribute: bool,
    },
}

/// How many items a blob has.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Functions.
    pub funcs: usize,
    /// Variables.
    pub vars: usize,
    /// Sections.
    pub datasecs: usize,
    /// What these list, all together.
    pub entries: usize,
}

impl Item<'_> {
    /// The variables and functions of an [`Item::Datasec`]'s entries.
    pub fn section_vars(entries: &[Word]) -> impl ExactSizeIterator<Item = SectionVar> {
        entries.as_chunks::<3>().0.iter().map(|entry| {
            let [id, offset, size] = entry.map(u32::from_ne_bytes);
            SectionVar { type_id: TypeId(id), offset, size }
        })
    }
}

/// What `.BTF.ext` says, record by record.
#[derive(Debug, Clone, Copy)]
pub enum ExtItem<'a> {
    /// What follows is about the ELF section of this name.
    Section(&'a [u8]),
    /// Where a function starts.
    Func(FuncInfo),
    /// A source line.
    Line(LineRecord),
    /// A CO-RE relocation.
    Core(CoreRecord),
}

impl Gatherer {
    /// Without types.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the types of a builder, of which so many came first, `void` included: functions, variables and
    /// sections are none of them, nor do they refer to any. A blob that begins with the same records and
    /// strings is taken as it is.
    pub fn with(builder: BtfBuilder, plain: u32) -> Self {
        let mut new = Self { builder, ..Self::default() };
        if let Some((starts, words)) = new.builder.first_untagged(plain) {
            new.starts.extend_from_slice(starts);
            let strings = new.builder.strings().len();
            new.common = Common::own(starts.len(), words, strings);
            new.map.keep(plain, strings);
        }
        new
    }

    /// The types so far.
    pub fn into_builder(self) -> BtfBuilder {
        self.builder
    }

    /// One that copies only what functions, variables and records of CO-RE refer to.
    pub fn of_used_types() -> Self {
        Self { only_used: true, ..Self::default() }
    }

    /// Number of types so far, `void` included.
    pub fn type_count(&self) -> u32 {
        self.builder.type_count()
    }

    /// Copies all types of a blob but functions, variables and sections, as
    /// [`BtfBuilder::import_all`] does.
    ///
    /// # Errors
    ///
    /// The blob is broken, which [`crate::Btf::parse`] may say better, or the types become too many.
    pub fn add<'g>(&'g mut self, blob: &'g [u8]) -> Result<Gathered<'g>, BtfError> {
        let (words, strings) = parts(blob)?;
        let words: &[Word] = match words {
            Cow::Borrowed(words) => words,
            Cow::Owned(words) => {
                self.native = words;
                &self.native
            }
        };
        if !self.common.is_start_of(words, strings, &self.builder) {
            self.common.forget(&mut self.map);
        }
        self.starts.truncate(self.common.types);
        let behind = self.common.own.map_or(self.common.words.len(), |[words, _]| words);
        self.items.clear();
        let seen = scan(words, behind, strings, &mut self.starts, &mut self.items)?;
        if seen.least_tagged as usize <= self.common.types {
            // With a tag it is another type than without.
            self.common.forget(&mut self.map);
        }
        let common = u32::try_from(self.common.types).unwrap_or(0);
        let count = u32::try_from(self.starts.len() + 1).unwrap_or(u32::MAX);
        let same = if common > 0 { self.common.types + 1 } else { 0 };
        self.map.start([same, count as usize], [self.common.strings.len(), strings.len()]);
        let blob = Blob { words, starts: &self.starts, strings };
        for &(on, tag) in &seen.tags {
            // Not on tags, which would go on for ever.
            let kind = head(blob.words_of(on)).0;
            let may = [Kind::Struct, Kind::Union, Kind::Typedef, Kind::Func, Kind::Var];
            if !may.contains(&kind) {
                let problem = format!("a declaration tag on a {kind:?}");
                return Err(BtfError::Type { id: tag, problem });
            }
            self.map.add_tag(on, tag);
        }
        for id in common + 1..count {
            let record = blob.words_of(id);
            match head(record).0 {
                Kind::Func if word(record, 1) & 0xffff != Linkage::Extern as u32 => {
                    self.builder.copy_proto(&mut self.map, &blob, word(record, 2))?;
                }
                Kind::Func | Kind::Var => {
                    self.builder.copy(&mut self.map, &blob, word(record, 2))?;
                }
                // Tags come with what they are on.
                Kind::Datasec | Kind::DeclTag => {}
                _ if self.only_used => {}
                _ => {
                    self.builder.copy(&mut self.map, &blob, id)?;
                }
            }
        }
        self.builder.first_error()?;
        let many = |now: usize, before: usize| now / 2 > before;
        // Which of them are used is another matter in the next one.
        let take = common == 0 || many(words.len(), behind);
        if take && !self.only_used && self.common.own.is_none() {
            self.common.take(&blob, seen.least_tagged, &self.builder);
        }
        let (map, builder, items) = (&mut self.map, &mut self.builder, &self.items);
        Ok(Gathered { blob, map, builder, items })
    }
}

impl<'g> Gathered<'g> {
    /// Functions and variables.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.items_of([Kind::Func, Kind::Var])
    }

    /// Sections and tags, which are about these.
    pub fn items_about(&self) -> impl Iterator<Item = Item<'_>> {
        self.items_of([Kind::Datasec, Kind::DeclTag])
    }

    fn items_of(&self, kinds: [Kind; 2]) -> impl Iterator<Item = Item<'_>> {
        self.items.iter().filter_map(move |&id| {
            let record = self.blob.words_of(id);
            if !kinds.contains(&head(record).0) {
                return None;
            }
            let (info, third) = (word(record, 1), word(record, 2));
            let name = || self.blob.string(word(record, 0));
            let linkage = |raw| Linkage::from_raw(raw).unwrap_or(Linkage::Static);
            Some(match head(record).0 {
                Kind::Func => {
                    let linkage = linkage(info & 0xffff);
                    let proto = match linkage {
                        Linkage::Extern => self.map.get(TypeId(third)),
                        _ => self.map.proto(TypeId(third)),
                    };
                    let proto = proto.unwrap_or(TypeId::VOID);
                    Item::Func { id: TypeId(id), name: name(), linkage, proto }
                }
                Kind::Var => Item::Var {
                    id: TypeId(id),
                    name: name(),
                    linkage: linkage(word(record, 3)),
                    type_id: self.map.get(TypeId(third)).unwrap_or(TypeId::VOID),
                },
                Kind::Datasec => Item::Datasec {
                    name: name(),
                    size: third,
                    entries: record.get(3..).unwrap_or(&[]),
                },
                Kind::DeclTag => {
                    let component = word(record, 3);
                    Item::Tag {
                        on: TypeId(third),
                        text: name(),
                        component: (component != u32::MAX).then_some(component),
                        attribute: info >> 31 == 1,
                    }
                }
                _ => return None,
            })
        })
    }

    /// How many items there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for &id in self.items {
            match head(self.blob.words_of(id)) {
                (Kind::Func, _) => counts.funcs += 1,
                (Kind::Var, _) => counts.vars += 1,
                (Kind::Datasec, vlen) => {
                    counts.datasecs += 1;
                    counts.entries += vlen;
                }
                _ => {}
            }
        }
        counts
    }

    /// Number of types, `void` included.
    pub fn type_count(&self) -> u32 {
        u32::try_from(self.blob.starts.len() + 1).unwrap_or(u32::MAX)
    }

    /// End of the string offsets.
    pub fn string_len(&self) -> usize {
        self.blob.strings.len()
    }

    /// The string at an offset; empty when outside.
    pub fn string(&self, offset: u32) -> &[u8] {
        self.blob.string(offset)
    }

    /// Is this the string at an offset?
    pub fn is_string(&self, offset: u32, string: &[u8]) -> bool {
        let tail = self.blob.strings.get(offset as usize..).unwrap_or(&[]);
        tail.get(string.len()) == Some(&0) && tail.starts_with(string)
    }

    /// The kind of a type.
    pub fn kind(&self, id: TypeId) -> Kind {
        head(self.blob.words_of(id.0)).0
    }

    /// The builder's id of any type; it is copied if it was not.
    ///
    /// # Errors
    ///
    /// The types become too many.
    pub fn import(&mut self, id: TypeId) -> Result<TypeId, BtfError> {
        let new = self.builder.copy(self.map, &self.blob, id.0)?;
        self.builder.first_error()?;
        Ok(TypeId(new))
    }

    /// Reads a `.BTF.ext` section that goes with the blob; `each` gets every record, functions first,
    /// then lines, then CO-RE, in the order of the file. Offsets need not rise.
    ///
    /// # Errors
    ///
    /// The section is broken, which [`crate::BtfExt::parse`] may say better.
    pub fn ext(&self, bytes: &[u8], mut each: impl FnMut(ExtItem<'_>)) -> Result<(), BtfError> {
        let broken = || BtfError::Ext("a header, block or record is out of place".to_owned());
        let (endian, version) = magic(bytes).ok_or_else(broken)??;
        if version != 1 {
            return Err(BtfError::Version(version));
        }
        let field = |at| endian.u32_at(bytes, at).ok_or_else(broken);
        let header_len = field(4)? as usize;
        let body = bytes.get(header_len..).filter(|_| header_len >= HEADER_LEN);
        let body = body.ok_or_else(broken)?;
        let part = |at| {
            let (offset, len) = (field(at)? as usize, field(at + 4)? as usize);
            let end = offset.checked_add(len);
            end.and_then(|end| body.get(offset..end)).ok_or_else(broken)
        };
        let count = self.type_count();
        let strings = self.blob.strings.len();
        self.part(part(8)?, endian, &mut each, |&[insn_off, id]| {
            let type_id = TypeId(id);
            let is_func = self.kind(type_id) == Kind::Func;
            is_func.then_some(ExtItem::Func(FuncInfo { insn_off, type_id }))
        })?;
        self.part(part(16)?, endian, &mut each, |&[insn_off, file_off, line_off, line_col]| {
            let line = LineRecord { insn_off, file_off, line_off, line_col };
            let known = (file_off as usize) < strings && (line_off as usize) < strings;
            known.then_some(ExtItem::Line(line))
        })?;
        if header_len >= HEADER_WITH_CORE {
            self.part(part(24)?, endian, &mut each, |&[insn_off, id, access_off, kind]| {
                let known = id < count && (access_off as usize) < strings;
                let core = CoreRecord { insn_off, type_id: TypeId(id), access_off, kind };
                known.then_some(ExtItem::Core(core))
            })?;
        }
        Ok(())
    }

    fn part<const N: usize>(
        &self,
        bytes: &[u8],
        endian: Endian,
        each: &mut impl FnMut(ExtItem<'_>),
        item: impl Fn(&[u32; N]) -> Option<ExtItem<'static>>,
    ) -> Result<(), BtfError> {
        let broken = || BtfError::Ext("a block or record is out of place".to_owned());
        if bytes.is_empty() {
            return Ok(());
        }
        let step = endian.u32_at(bytes, 0).ok_or_else(broken)? as usize;
        let mut rest = bytes.get(4..).unwrap_or(&[]);
        if step < N * 4 || !step.is_multiple_of(4) {
            return Err(broken());
        }
        while !rest.is_empty() {
            let fields = endian.u32_at(rest, 0).zip(endian.u32_at(rest, 4));
            let (name, count) = fields.ok_or_else(broken)?;
            let name = self.blob.string(name);
            let len = (count as usize).checked_mul(step).and_then(|len| len.checked_add(8));
            let (block, behind) =
                len.and_then(|len| rest.split_at_checked(len)).ok_or_else(broken)?;
            rest = behind;
            if name.is_empty() || name.len() > MAX_NAME || std::str::from_utf8(name).is_err() {
                return Err(broken());
            }
            each(ExtItem::Section(name));
            for record in block.get(8..).unwrap_or(&[]).chunks_exact(step) {
                let Some(words) = record.as_chunks().0.first_chunk::<N>() else { continue };
                each(item(&words.map(|word| endian.u32(word))).ok_or_else(broken)?);
            }
        }
        Ok(())
    }
}

/// Words that are compared at once: without a branch for each.
const COMPARED: usize = 64;

/// Are these the same words, as far as both go?
fn are_same((words, own): (&[Word], &[u32])) -> bool {
    words.iter().zip(own).fold(true, |same, (&a, &b)| same & (u32::from_ne_bytes(a) == b))
}

impl Common {
    /// The first types of the builder.
    fn own(types: usize, words: usize, strings: usize) -> Self {
        Self { types, own: Some([words, strings]), ..Self::default() }
    }

    fn is_start_of(&self, words: &[Word], strings: &[u8], builder: &BtfBuilder) -> bool {
        match self.own {
            None => words.starts_with(&self.words) && strings.starts_with(&self.strings),
            Some([count, len]) => {
                let own = builder.words().get(..count).unwrap_or(&[]);
                words.len() >= own.len()
                    && words.chunks(COMPARED).zip(own.chunks(COMPARED)).all(are_same)
                    && strings.starts_with(builder.strings().get(..len).unwrap_or(&[]))
            }
        }
    }

    fn forget(&mut self, map: &mut SourceMap) {
        *self = Self::default();
        map.keep(0, 0);
    }

    /// Remembers how a blob begins.
    fn take(&mut self, blob: &Blob<'_>, least_tagged: u32, builder: &BtfBuilder) {
        // As a linker wrote it.
        let all = builder.first_untagged(builder.type_count());
        let all =
            all.map(|(starts, words)| Self::own(starts.len(), words, builder.strings().len()));
        if let Some(own) = all.filter(|own| own.is_start_of(blob.words, blob.strings, builder)) {
            *self = own;
            return;
        }
        let (mut types, mut words, mut strings) = (0, 0, 0);
        let (mut highest_ref, mut highest_name) = (0, 0);
        for (id, &start) in (1u32..).zip(blob.starts) {
            let record = blob.words_of(id);
            let kind = head(record).0;
            if is_item(kind) {
                break;
            }
            let slots = slots(record);
            highest_ref = slots.refs().map(|at| word(record, at)).fold(highest_ref, u32::max);
            highest_name = slots.names().map(|at| word(record, at)).fold(highest_name, u32::max);
            if highest_ref <= id && id < least_tagged {
                (types, words, strings) = (id, start as usize + record.len(), highest_name);
            }
        }
        let strings = strings as usize + blob.string(strings).len() + 1;
        self.types = types as usize;
        self.words.clear();
        self.words.extend_from_slice(blob.words.get(..words).unwrap_or(&[]));
        self.strings.clear();
        self.strings.extend_from_slice(blob.strings.get(..strings).unwrap_or(&[]));
    }
}

/// Words and strings of a blob.
fn parts(blob: &[u8]) -> Result<(Cow<'_, [Word]>, &[u8]), BtfError> {
    let cut = || BtfError::Truncated {
        what: "the header",
        need: HEADER_LEN as u64,
        have: blob.len() as u64,
    };
    let (endian, version) = magic(blob).ok_or_else(cut)??;
    if version != 1 {
        return Err(BtfError::Version(version));
    }
    let field = |at| endian.u32_at(blob, at).ok_or_else(cut);
    let header_len = field(4)? as usize;
    let body = blob.get(header_len..).filter(|_| header_len >= HEADER_LEN).ok_or_else(cut)?;
    let section = |what, offset: u32, len: u32| {
        let end = (offset as usize).checked_add(len as usize);
        let total = body.len() as u64;
        let (offset, len) = (offset as usize, len.into());
        end.and_then(|end| body.get(offset..end)).ok_or(BtfError::Section {
            what,
            offset: offset as u64,
            len,
            total,
        })
    };
    let types = section("type", field(8)?, field(12)?)?;
    let strings = section("string", field(16)?, field(20)?)?;
    if strings.first() != Some(&0) || strings.last() != Some(&0) {
        return Err(BtfError::Strings);
    }
    let (words, []) = types.as_chunks::<4>() else { return Err(cut()) };
    let words = match endian == Endian::NATIVE {
        true => Cow::Borrowed(words),
        false => words.iter().map(|&word| endian.u32(word).to_ne_bytes()).collect(),
    };
    Ok((words, strings))
}

/// What a look at records finds.
struct Seen {
    /// Target and id of each DECL_TAG.
    tags: Vec<(u32, u32)>,
    /// The lowest of these targets.
    least_tagged: u32,
}

/// Notes where the records from `from` on start, and which are [`Item`]s; checks what they refer to.
fn scan(
    words: &[Word],
    from: usize,
    strings: &[u8],
    starts: &mut Vec<u32>,
    items: &mut Vec<u32>,
) -> Result<Seen, BtfError> {
    let long_strings = text::any_longer(strings, MAX_NAME);
    let mut seen = Seen { tags: Vec::new(), least_tagged: u32::MAX };
    let (mut highest_ref, mut highest_name) = (0, 0);
    let mut rest = words.get(from..).unwrap_or(&[]);
    while !rest.is_empty() {
        let (info, len) = (word(rest, 1), record_len(rest));
        let id = u32::try_from(starts.len() + 1).unwrap_or(u32::MAX);
        let offset = words.len() - rest.len();
        let Some(record) = rest.get(..len) else {
            let (need, have) = ((offset + len) as u64 * 4, words.len() as u64 * 4);
            return Err(BtfError::Truncated { what: "a type record", need, have });
        };
        let Some(kind) = Kind::of_info(info) else {
            return Err(BtfError::Kind { id, offset: offset * 4, kind: info >> 24 & 0x1f });
        };
        let broken = |problem: String| Err(BtfError::Type { id, problem });
        if starts.len() >= MAX_TYPES {
            return broken(format!("more than {MAX_TYPES} types"));
        }
        let linkage = match kind {
            Kind::Func => info & 0xffff,
            Kind::Var => word(record, 3),
            _ => 0,
        };
        if linkage > 2 {
            return broken(format!("linkage {linkage} is unknown"));
        }
        if is_item(kind) {
            items.push(id);
        }
        if kind == Kind::DeclTag {
            seen.tags.push((word(record, 2), id));
            seen.least_tagged = seen.least_tagged.min(word(record, 2));
        }
        let slots = kind.slots((info & 0xffff) as usize);
        highest_ref = slots.refs().map(|at| word(record, at)).fold(highest_ref, u32::max);
        highest_name = slots.names().map(|at| word(record, at)).fold(highest_name, u32::max);
        let is_long = |at| {
            let tail = strings.get(word(record, at) as usize..).unwrap_or(&[]);
            text::until_zero(tail).is_some_and(|name| name.len() > MAX_NAME)
        };
        if long_strings && slots.names().any(is_long) {
            return broken(format!("a name is longer than {MAX_NAME} bytes"));
        }
        starts.push(u32::try_from(offset).unwrap_or(u32::MAX));
        rest = rest.get(len..).unwrap_or(&[]);
    }
    let count = u32::try_from(starts.len() + 1).unwrap_or(u32::MAX);
    if highest_ref >= count {
        let (id, what) = (0, "some type's target");
        return Err(BtfError::TypeId { id, what, target: highest_ref, count });
    }
    if highest_name as usize >= strings.len() {
        let len = u32::try_from(strings.len()).unwrap_or(u32::MAX);
        return Err(BtfError::StringOffset { id: 0, what: "some name", offset: highest_name, len });
    }
    Ok(seen)
}

/// Is it nothing that other types refer to?
fn is_item(kind: Kind) -> bool {
    matches!(kind, Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag)
}

/// Words of the record at the start of these; more than there are when it is cut.
#[inline]
fn record_len(words: &[Word]) -> usize {
    let info = word(words, 1);
    Shape::of(info).record_len(info)
}
