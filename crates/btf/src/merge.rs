//! Copying types from parsed blobs into a builder, on demand: a root and what it reaches.
//!
//! Identical types of different sources become one. A type is what its record says, with names and
//! referred types for string offsets and ids, together with the declaration tags on it. Types that
//! reach themselves (`struct list_head`) are compared as groups: two groups are one when walking both in
//! step meets no difference. A forward declaration stays one, and structs that share no more than
//! their name stay two.
//!
//! The walk finds the groups as strongly connected components (Tarjan's algorithm, without
//! recursion): when a component is complete, all that it refers to outside has its new id already.
//! So a type in no cycle is looked up by its finished record; only cycles need comparing.

use foldhash::HashMap;

use crate::build::{BtfBuilder, Tag, hash_tags};
use crate::intern::{fold, hash_words};
use crate::kind::{RECORD_HEAD, Slots};
use crate::read::Word;
use crate::validate::{MAX_IDENTIFIER, is_identifier};
use crate::{Btf, BtfError, IntEncoding, Kind, Linkage, TypeId, order};

/// Records and strings to copy from: a parsed blob, or one that is only looked at in passing.
pub(crate) trait Source {
    /// A type's record; none for `void` and for what is not there.
    fn words_of(&self, id: u32) -> &[Word];
    /// The string at an offset; empty when outside.
    fn string(&self, offset: u32) -> &[u8];
}

impl Source for Btf {
    fn words_of(&self, id: u32) -> &[Word] {
        self.ty(TypeId(id)).as_words()
    }

    fn string(&self, offset: u32) -> &[u8] {
        self.bytes_at(offset).unwrap_or(&[])
    }
}

/// The word at this place of a record; 0 behind its end.
pub(crate) fn word(record: &[Word], at: usize) -> u32 {
    record.get(at).map_or(0, |&word| u32::from_ne_bytes(word))
}

/// Kind and number of parts of a record.
pub(crate) fn head(record: &[Word]) -> (Kind, usize) {
    let info = word(record, 1);
    (Kind::of_info(info).unwrap_or(Kind::Void), (info & 0xffff) as usize)
}

/// Which words of a record hold string offsets and type ids.
pub(crate) fn slots(record: &[Word]) -> Slots {
    let (kind, vlen) = head(record);
    kind.slots(vlen)
}

/// What has been copied from one source blob into one builder so far. Goes with that pair, and with
/// no other.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    /// New id of each type; 0 for what is not copied.
    pub(crate) types: Vec<u32>,
    /// Old and new offset of strings, one of those that begin in the same few bytes.
    strings: Vec<(u32, u32)>,
    /// Bytes of strings, without those of `same_strings`.
    strings_len: usize,
    /// Strings below this offset have it in the builder, too.
    same_strings: u32,
    /// New ids of prototypes whose parameters have been given names.
    named_protos: HashMap<u32, u32>,
    /// DECL_TAGs by what they are on.
    tags: HashMap<u32, Vec<u32>>,
    /// Tarjan's numbers: when a type was first seen (0: never), and the earliest type that is
    /// reachable from it and not complete. Empty until there is something to walk.
    seen: Vec<u32>,
    low: Vec<u32>,
    clock: u32,
}

impl SourceMap {
    /// For a source of which nothing is copied yet.
    pub fn new(btf: &Btf) -> Self {
        let mut map = Self::default();
        map.start([0, btf.type_count() as usize], [0, btf.string_len() as usize]);
        for tag in btf.types().filter(|t| t.kind() == Kind::DeclTag) {
            // A tag on a tag means nothing, and would let tags go on for ever.
            if tag.target().kind() != Kind::DeclTag {
                map.add_tag(tag.type_id().0, tag.id().0);
            }
        }
        map
    }

    /// For another source, of so many types and bytes of strings, which begins like the one before:
    /// what is known of so many of them stays.
    pub(crate) fn start(&mut self, types: [usize; 2], strings: [usize; 2]) {
        let [same_types, len] = types;
        self.types.truncate(same_types);
        self.types.resize(len, 0);
        let [same, len] = strings.map(|len| len.saturating_sub(self.same_strings as usize));
        self.strings.truncate(same / STRINGS_BESIDE);
        self.strings.resize(len.div_ceil(STRINGS_BESIDE), (0, 0));
        self.strings_len = len;
        self.named_protos.retain(|&old, _| (old as usize) < same_types);
        self.tags.clear();
        self.seen.clear();
        self.low.clear();
        self.clock = 0;
    }

    /// For a source that begins like the builder: its first types, and these strings, have the ids and
    /// offsets there that they have here.
    pub(crate) fn keep(&mut self, types: u32, strings: usize) {
        self.types = (0..types).collect();
        self.strings = Vec::new();
        self.strings_len = 0;
        self.same_strings = u32::try_from(strings).unwrap_or(0);
    }

    /// Notes a DECL_TAG.
    pub(crate) fn add_tag(&mut self, on: u32, tag: u32) {
        self.tags.entry(on).or_default().push(tag);
    }

    /// The new id of a type, if it is copied.
    pub fn get(&self, id: TypeId) -> Option<TypeId> {
        match self.types.get(id.0 as usize) {
            _ if id == TypeId::VOID => Some(id),
            Some(&new) if new != 0 => Some(TypeId(new)),
            _ => None,
        }
    }

    /// The new id of the prototype of a function with code, if it is copied.
    pub fn proto(&self, id: TypeId) -> Option<TypeId> {
        self.named_protos.get(&id.0).map(|&new| TypeId(new)).or_else(|| self.get(id))
    }

    fn new_id(&self, id: u32) -> u32 {
        self.types.get(id as usize).copied().unwrap_or(0)
    }

    fn low(&self, id: u32) -> u32 {
        self.low.get(id as usize).copied().unwrap_or(0)
    }
}

/// Strings that begin in so many bytes share a place: names are longer, mostly.
const STRINGS_BESIDE: usize = 8;

fn set(list: &mut [u32], at: u32, value: u32) {
    if let Some(slot) = list.get_mut(at as usize) {
        *slot = value;
    }
}

/// A reference to a type of the same, not yet complete, component. No new id is that high.
const INTERNAL: u32 = 1 << 31;
/// How many groups of the same hash are compared. Different ones of one hash take a forger; they end
/// up as types of their own, which is correct, if longer.
const MAX_CANDIDATES: usize = 16;

impl BtfBuilder {
    /// Copies a type and everything that it refers to, with the declaration tags on all of these.
    /// What an earlier call copied, or what another source had as well, is not copied again.
    pub fn import(
        &mut self,
        map: &mut SourceMap,
        btf: &Btf,
        root: TypeId,
    ) -> Result<TypeId, BtfError> {
        let count = btf.type_count();
        if map.types.len() != count as usize || map.strings_len != btf.string_len() as usize {
            let problem = "the source map belongs to another blob".to_owned();
            return Err(BtfError::Type { id: root.0, problem });
        }
        if root.0 >= count {
            let what = "the type to import";
            return Err(BtfError::TypeId { id: root.0, what, target: root.0, count });
        }
        let id = self.copy(map, btf, root.0)?;
        self.first_error()?;
        Ok(TypeId(id))
    }

    /// [`BtfBuilder::import`] of a type that is there.
    #[inline]
    pub(crate) fn copy(
        &mut self,
        map: &mut SourceMap,
        source: &impl Source,
        root: u32,
    ) -> Result<u32, BtfError> {
        if root == 0 {
            return Ok(0);
        }
        match map.new_id(root) {
            0 => {
                if !self.copy_alone(map, source, root)? {
                    self.walk(map, source, root)?;
                }
                Ok(map.new_id(root))
            }
            known => Ok(known),
        }
    }

    /// Copies a type when all that it refers to is copied already, as it is in most of what compilers
    /// write.
    fn copy_alone(
        &mut self,
        map: &mut SourceMap,
        source: &impl Source,
        id: u32,
    ) -> Result<bool, BtfError> {
        let record = source.words_of(id);
        let slots = slots(record);
        let known = |at| {
            let target = word(record, at);
            target == 0 || map.new_id(target) != 0
        };
        if !slots.refs().all(known) {
            return Ok(false);
        }
        let mut new = std::mem::take(&mut self.scratch);
        new.clear();
        new.extend(record.iter().map(|&word| u32::from_ne_bytes(word)));
        for at in slots.refs() {
            if let Some(word) = new.get_mut(at) {
                *word = map.new_id(*word);
            }
        }
        for at in slots.names() {
            if let Some(word) = new.get_mut(at) {
                *word = self.copy_str(map, source, *word);
            }
        }
        let tags = self.import_tags(map, source, id);
        let settled = self.intern(&new, &tags);
        self.scratch = new;
        set(&mut map.types, id, settled?);
        Ok(true)
    }

    /// Copies a string; for line info and the access strings of CO-RE records.
    pub fn import_str(&mut self, map: &mut SourceMap, btf: &Btf, offset: u32) -> u32 {
        self.copy_str(map, btf, offset)
    }

    #[inline]
    pub(crate) fn copy_str(
        &mut self,
        map: &mut SourceMap,
        source: &impl Source,
        offset: u32,
    ) -> u32 {
        let Some(at) = offset.checked_sub(map.same_strings) else { return offset };
        let at = at as usize / STRINGS_BESIDE;
        match map.strings.get(at) {
            _ if offset == 0 => 0,
            Some(&(old, new)) if old == offset => new,
            _ => {
                let new = self.add_str(source.string(offset));
                if let Some(slot) = map.strings.get_mut(at) {
                    *slot = (offset, new);
                }
                new
            }
        }
    }

    /// Copies a FUNC as one with code: with the linkage that it is to have, and with a name for every
    /// parameter (`arg0`, `arg1`, …), because the kernel refuses a function without. Characters that
    /// the kernel takes in no name become `_`.
    pub fn import_func(
        &mut self,
        map: &mut SourceMap,
        btf: &Btf,
        func: TypeId,
        linkage: Linkage,
    ) -> Result<TypeId, BtfError> {
        let func = btf.ty(func);
        let proto = func.target();
        if func.kind() != Kind::Func || proto.kind() != Kind::FuncProto {
            let problem = "is no FUNC with a FUNC_PROTO".to_owned();
            return Err(BtfError::Type { id: func.id().0, problem });
        }
        let proto = self.copy_named_proto(map, btf, proto.id().0)?;
        let name = match is_identifier(func.name_bytes()) {
            true => self.import_str(map, btf, func.name_off()),
            false => self.add_str(&mend_name(func.name_bytes(), false)),
        };
        let tags = self.import_tags(map, btf, func.id().0);
        let id = self.intern(&[name, info(Kind::Func, linkage as u32), proto], &tags)?;
        self.first_error()?;
        Ok(TypeId(id))
    }

    /// Copies a VAR with the linkage that it is to have.
    pub fn import_var(
        &mut self,
        map: &mut SourceMap,
        btf: &Btf,
        var: TypeId,
        linkage: Linkage,
    ) -> Result<TypeId, BtfError> {
        let var = btf.ty(var);
        if var.kind() != Kind::Var {
            return Err(BtfError::Type { id: var.id().0, problem: "is no VAR".to_owned() });
        }
        let ty = self.import(map, btf, var.type_id())?;
        let name = self.import_str(map, btf, var.name_off());
        let tags = self.import_tags(map, btf, var.id().0);
        let id = self.intern(&[name, info(Kind::Var, 0), ty.0, linkage as u32], &tags)?;
        self.first_error()?;
        Ok(TypeId(id))
    }

    /// Adds a FUNC for code that has none: it returns `int` and takes no parameters.
    pub fn synth_func(&mut self, name: &str, linkage: Linkage) -> Result<TypeId, BtfError> {
        let proto = self.synth_proto()?.0;
        let name = self.add_str(&mend_name(name.as_bytes(), false));
        let id = self.intern(&[name, info(Kind::Func, linkage as u32), proto], &[])?;
        self.first_error()?;
        Ok(TypeId(id))
    }

    /// The prototype of [`BtfBuilder::synth_func`].
    pub fn synth_proto(&mut self) -> Result<TypeId, BtfError> {
        let encoding = IntEncoding { signed: true, bits: 32, ..IntEncoding::default() };
        let int = self.intern_int("int", 4, encoding)?;
        let proto = self.intern(&[0, info(Kind::FuncProto, 0), int.0], &[])?;
        self.first_error()?;
        Ok(TypeId(proto))
    }

    /// Copies a prototype of a function with code, with a name for every parameter. Anything else is
    /// copied as it is.
    pub(crate) fn copy_proto(
        &mut self,
        map: &mut SourceMap,
        source: &impl Source,
        proto: u32,
    ) -> Result<(), BtfError> {
        match head(source.words_of(proto)).0 {
            Kind::FuncProto => self.copy_named_proto(map, source, proto).map(|_| ()),
            _ => self.copy(map, source, proto).map(|_| ()),
        }
    }

    /// Copies a prototype, with a name for every parameter.
    fn copy_named_proto(
        &mut self,
        map: &mut SourceMap,
        source: &impl Source,
        proto: u32,
    ) -> Result<u32, BtfError> {
        if let Some(&known) = map.named_protos.get(&proto) {
            return Ok(known);
        }
        let record = source.words_of(proto);
        let vlen = head(record).1;
        let returns = self.copy(map, source, word(record, 2))?;
        let mut new = vec![0, info(Kind::FuncProto, 0) | low_half(vlen), returns];
        for (i, param) in
            record.get(RECORD_HEAD..).unwrap_or(&[]).as_chunks::<2>().0.iter().enumerate()
        {
            let [name_off, old] = param.map(u32::from_ne_bytes);
            let type_id = self.copy(map, source, old)?;
            let variadic = old == 0 && i + 1 == vlen;
            let name = match is_identifier(source.string(name_off)) {
                true => self.copy_str(map, source, name_off),
                false if variadic => 0,
                false => self.add_str(format!("arg{i}").as_bytes()),
            };
            new.extend([name, type_id]);
        }
        let new = self.intern(&new, &[])?;
        self.first_error()?;
        map.named_protos.insert(proto, new);
        Ok(new)
    }

    /// Finds the components behind a root, dependencies first, and settles each.
    fn walk(
        &mut self,
        map: &mut SourceMap,
        source: &impl Source,
        root: u32,
    ) -> Result<(), BtfError> {
        struct Frame<'a> {
            id: u32,
            record: &'a [Word],
            slots: Slots,
            next: usize,
        }
        let types = map.types.len();
        map.seen.resize(types, 0);
        map.low.resize(types, 0);
        let enter = |map: &mut SourceMap, open: &mut Vec<u32>, id: u32| {
            map.clock += 1;
            set(&mut map.seen, id, map.clock);
            set(&mut map.low, id, map.clock);
            open.push(id);
            let record = source.words_of(id);
            Frame { id, record, slots: slots(record), next: 0 }
        };
        let mut open = Vec::new();
        let mut frames = vec![enter(map, &mut open, root)];
        let mut group = Group::default();
        while let Some(frame) = frames.last_mut() {
            let id = frame.id;
            if frame.next < frame.slots.ref_count() {
                let at = frame.slots.nth_ref(frame.next);
                frame.next += 1;
                let target = word(frame.record, at);
                if target == 0 || map.new_id(target) != 0 {
                    continue;
                }
                match map.seen.get(target as usize).copied().unwrap_or(0) {
                    0 => frames.push(enter(map, &mut open, target)),
                    seen => {
                        let low = map.low(id).min(seen);
                        set(&mut map.low, id, low);
                    }
                }
                continue;
            }
            frames.pop();
            let low = map.low(id);
            if let Some(parent) = frames.last() {
                let joint = map.low(parent.id).min(low);
                set(&mut map.low, parent.id, joint);
            }
            if map.seen.get(id as usize) == Some(&low) {
                let settled = match open.last() == Some(&id) {
                    // Alone, unless it refers to itself.
                    true => self.copy_alone(map, source, id),
                    false => Ok(false),
                };
                let from = match settled {
                    Ok(true) => open.len() - 1,
                    _ => open.iter().rposition(|&o| o == id).unwrap_or(0),
                };
                let settled = settled.and_then(|done| match done {
                    true => Ok(()),
                    false => self.settle(map, source, open.get(from..).unwrap_or(&[]), &mut group),
                });
                if let Err(error) = settled {
                    // What is open was never settled; a later call must not take it for a cycle.
                    open.iter().for_each(|&id| set(&mut map.seen, id, 0));
                    return Err(error);
                }
                open.truncate(from);
            }
        }
        Ok(())
    }

    /// Gives the types of one component their new ids. All that they refer to outside has one.
    fn settle(
        &mut self,
        map: &mut SourceMap,
        source: &impl Source,
        ids: &[u32],
        group: &mut Group,
    ) -> Result<(), BtfError> {
        group.clear();
        let mut ids = ids.to_vec();
        order::sort(&mut ids);
        for (local, &id) in (0..).zip(&ids) {
            // Tarjan is done with these; the number now says which of the group it is.
            set(&mut map.low, id, local);
        }
        for &id in &ids {
            let record = source.words_of(id);
            let (start, edges) = (group.words.len(), group.edges.len());
            group.words.extend(record.iter().map(|&word| u32::from_ne_bytes(word)));
            let slots = slots(record);
            for at in slots.names() {
                if let Some(word) = group.words.get_mut(start + at) {
                    *word = self.copy_str(map, source, *word);
                }
            }
            for at in slots.refs() {
                if let Some(word) = group.words.get_mut(start + at)
                    && *word != 0
                {
                    let new = map.new_id(*word);
                    if new == 0 {
                        group.edges.push(map.low(*word));
                    }
                    *word = if new == 0 { INTERNAL } else { new };
                }
            }
            let tags = self.import_tags(map, source, id);
            let words = start..group.words.len();
            group.nodes.push(Node { words, edges: edges..group.edges.len(), slots, tags });
        }
        let (hash, anchor) = group.hash();
        let known = self.cycles.get(&hash).map_or(&[][..], Vec::as_slice);
        let known = known.iter().take(MAX_CANDIDATES);
        let news = match known.copied().find_map(|known| group.matches(self, anchor, known)) {
            Some(news) => news,
            None => self.add_group(group, hash, anchor)?,
        };
        for (&id, new) in ids.iter().zip(news) {
            set(&mut map.types, id, new);
        }
        Ok(())
    }

    /// Adds the types of a component that none before is like.
    fn add_group(
        &mut self,
        group: &mut Group,
        hash: u64,
        anchor: usize,
    ) -> Result<Vec<u32>, BtfError> {
        let first = self.type_count();
        for node in &group.nodes {
            let mut edges = group.edges.get(node.edges.clone()).unwrap_or(&[]).iter();
            let words = group.words.get_mut(node.words.clone()).unwrap_or(&mut []);
            for at in node.slots.refs() {
                if let Some(word) = words.get_mut(at)
                    && *word == INTERNAL
                    && let Some(local) = edges.next()
                {
                    *word = first + local;
                }
            }
            self.push(words)?;
        }
        let news: Vec<u32> = (first..self.type_count()).collect();
        // Tags behind the whole group, so that its ids are in one run.
        for (&id, node) in news.iter().zip(&group.nodes) {
            self.set_tags(id, &node.tags)?;
        }
        let known = self.cycles.entry(hash).or_default();
        known.extend(news.get(anchor));
        Ok(news)
    }

    /// The declaration tags on a source type, in the form in which types are compared.
    fn import_tags(&mut self, map: &mut SourceMap, source: &impl Source, id: u32) -> Vec<Tag> {
        if map.tags.is_empty() {
            return Vec::new();
        }
        let mut ids = map.tags.get(&id).cloned().unwrap_or_default();
        // In the order in which they are written, so that their strings come in that order, too.
        order::sort_by_key(&mut ids, |&id| word(source.words_of(id), 3));
        let mut tags = Vec::with_capacity(ids.len());
        for id in ids {
            let tag = source.words_of(id);
            let (name, info, component) = (word(tag, 0), word(tag, 1), word(tag, 3));
            let name_off = self.copy_str(map, source, name);
            tags.push(Tag { component, name_off, kflag: info >> 31 == 1 });
        }
        order::sort(&mut tags);
        tags.dedup();
        tags
    }

    fn intern_int(
        &mut self,
        name: &str,
        size: u32,
        encoding: IntEncoding,
    ) -> Result<TypeId, BtfError> {
        let word = u32::from_le_bytes([encoding.bits, 0, 0, encoding.signed.into()]);
        let name = self.add_str(name.as_bytes());
        Ok(TypeId(self.intern(&[name, info(Kind::Int, 0), size, word], &[])?))
    }
}

fn info(kind: Kind, vlen: u32) -> u32 {
    (kind as u32) << 24 | vlen
}

/// A number of parts, which came from a record's 16 bits.
fn low_half(vlen: usize) -> u32 {
    u16::try_from(vlen).unwrap_or(u16::MAX).into()
}

/// A name that the kernel takes: characters that it does not become `_`.
pub(crate) fn mend_name(name: &[u8], dots: bool) -> Vec<u8> {
    let ok = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || dots && c == b'.';
    let mut mended: Vec<u8> = name.iter().map(|&c| if ok(c) { c } else { b'_' }).collect();
    if mended.first().is_none_or(u8::is_ascii_digit) {
        mended.insert(0, b'_');
    }
    mended.truncate(MAX_IDENTIFIER);
    mended
}

/// A component that is about to be settled: its records with new string offsets and new ids, where
/// these are known.
#[derive(Default)]
struct Group {
    words: Vec<u32>,
    /// For each [`INTERNAL`] reference, in order, which type of the group it is to.
    edges: Vec<u32>,
    nodes: Vec<Node>,
}

struct Node {
    words: std::ops::Range<usize>,
    edges: std::ops::Range<usize>,
    slots: Slots,
    tags: Vec<Tag>,
}

impl Group {
    fn clear(&mut self) {
        self.words.clear();
        self.edges.clear();
        self.nodes.clear();
    }

    /// A hash that does not depend on the order of the types in their blob, and the type to start
    /// comparing at, chosen by hash too.
    fn hash(&self) -> (u64, usize) {
        /// Each round lets a type's hash see one reference further. The names of structs lie at most
        /// this far apart in most cycles (pointer, qualifier, struct).
        const ROUNDS: usize = 3;
        // A fixed seed: which types are merged must not differ from run to run.
        let mut hashes: Vec<u64> = self
            .nodes
            .iter()
            .map(|n| {
                hash_tags(hash_words(1, self.words.get(n.words.clone()).unwrap_or(&[])), &n.tags)
            })
            .collect();
        for _ in 0..ROUNDS {
            let next = self.nodes.iter().zip(&hashes).map(|(node, &hash)| {
                let edges = self.edges.get(node.edges.clone()).unwrap_or(&[]).iter();
                let targets = edges.filter_map(|&local| hashes.get(local as usize));
                targets.fold(fold(hash, 2), |hash, &target| fold(hash, target))
            });
            hashes = next.collect();
        }
        let anchor = (0..hashes.len()).min_by_key(|&i| hashes.get(i)).unwrap_or(0);
        let sum = hashes.iter().fold(hashes.len() as u64, |sum, &hash| sum.wrapping_add(hash));
        (sum, anchor)
    }

    /// Walks the group and, from `known` on, the types of the builder in step. The new ids when both
    /// are the same throughout.
    fn matches(&self, builder: &BtfBuilder, anchor: usize, known: u32) -> Option<Vec<u32>> {
        let mut news = vec![0; self.nodes.len()];
        *news.get_mut(anchor)? = known;
        let mut todo = vec![anchor];
        while let Some(local) = todo.pop() {
            let node = self.nodes.get(local)?;
            let new = *news.get(local)?;
            let ours = self.words.get(node.words.clone())?;
            let theirs = builder.record(new);
            // Same kind and vlen, so the same slots.
            if ours.len() != theirs.len()
                || ours.get(1) != theirs.get(1)
                || builder.tags_on(new) != node.tags
            {
                return None;
            }
            let mut edges = self.edges.get(node.edges.clone())?.iter();
            let mut refs = node.slots.refs().peekable();
            for (at, (&our, &their)) in ours.iter().zip(theirs).enumerate() {
                let is_ref = refs.next_if_eq(&at).is_some();
                if !is_ref || our != INTERNAL {
                    if our != their {
                        return None;
                    }
                    continue;
                }
                let target = *edges.next()? as usize;
                match news.get_mut(target)? {
                    _ if their == 0 => return None,
                    slot @ 0 => {
                        *slot = their;
                        todo.push(target);
                    }
                    slot if *slot != their => return None,
                    _ => {}
                }
            }
        }
        // A component is reachable from each of its types: nothing is left out.
        news.iter().all(|&new| new != 0).then_some(news)
    }
}

#[cfg(test)]
mod tests;
