//! Building BTF: types are added one by one, [`BtfBuilder::finish`] gives a [`Btf`] to read or to hand
//! to the kernel. Copying types over from other blobs is in [`crate::merge`].
//!
//! Adding cannot fail: what does not fit (65,535 members, 24-bit offsets of bitfields, limits on the
//! whole) is remembered and comes out as the error of `finish`.

use std::hash::{BuildHasher, RandomState};

use foldhash::HashMap;

use crate::intern::{HashIndex, fold, hash_words};
use crate::kind::{MAX_TYPES, RECORD_HEAD};
use crate::read::write_blob;
use crate::strings::Strings;
use crate::{Btf, BtfError, Endian, IntEncoding, Kind, Linkage, SectionVar, TypeId, order};

/// BTF in the making.
#[derive(Clone, Debug)]
pub struct BtfBuilder {
    pub(crate) words: Vec<u32>,
    /// Where each record starts, from type 1 on, and the end of the last.
    pub(crate) starts: Vec<u32>,
    strings: Strings,
    /// Records by content, the declaration tags on them included.
    record_index: HashIndex,
    /// Declaration tags on each type that has any, in rising order: they are part of what a type is
    /// when types are compared.
    tags: HashMap<u32, Vec<Tag>>,
    /// Groups of types that refer to each other: by hash of the group, one of its types.
    pub(crate) cycles: HashMap<u64, Vec<u32>>,
    /// So that nobody can craft names that all fall on one hash.
    seed: u64,
    error: Option<BtfError>,
    /// A record in the making.
    pub(crate) scratch: Vec<u32>,
}

/// A declaration tag, apart from what it is on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Tag {
    /// `u32::MAX` for the whole.
    pub(crate) component: u32,
    pub(crate) name_off: u32,
    /// An attribute instead of a tag (kernel 6.15)?
    pub(crate) kflag: bool,
}

/// A member of a struct or union to add.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemberSpec<'a> {
    /// Its name; empty for an anonymous one.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
    /// Offset from the start of the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits of a bitfield, else 0.
    pub bitfield_size: u32,
}

/// The kernel takes no string offset above this (`BTF_MAX_NAME_OFFSET`).
const MAX_STRINGS: u32 = 0x00ff_ffff;
/// Room for the types of a small program, so that they need not be moved while they become more.
const USUAL_TYPES: usize = 64;
/// Bounds the type section to 1 GiB, so that every offset in it fits a header field.
const MAX_WORDS: usize = 1 << 28;

impl Default for BtfBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BtfBuilder {
    /// An empty one: only `void` and the empty string.
    pub fn new() -> Self {
        let mut starts = Vec::with_capacity(USUAL_TYPES);
        starts.push(0);
        Self {
            words: Vec::with_capacity(USUAL_TYPES * 4),
            starts,
            strings: Strings::new(),
            record_index: HashIndex::default(),
            tags: HashMap::default(),
            cycles: HashMap::default(),
            seed: RandomState::new().hash_one(0),
            error: None,
            scratch: Vec::new(),
        }
    }

    /// No types yet, and the strings of a stand-alone blob at the offsets that they have there.
    pub(crate) fn with_strings_of(btf: &Btf) -> Self {
        Self { strings: Strings::with_bytes(btf.own_strings().to_vec()), ..Self::new() }
    }

    /// All types and strings of a stand-alone blob, with the ids and offsets that they have there; what
    /// is added comes behind. Of split BTF, only its own strings are taken over and no types.
    pub fn extending(btf: &Btf) -> Self {
        let mut new = Self::with_strings_of(btf);
        if btf.base().is_none() {
            for ty in btf.types() {
                // What fits one blob fits another.
                let record: Vec<u32> = ty.raw().collect();
                if let Err(error) = new.push(&record) {
                    new.error.get_or_insert(error);
                }
            }
        }
        new
    }

    /// The finished blob, in this machine's byte order. Fails when something that was added did not
    /// fit or refers to a type that was never added.
    pub fn finish(self) -> Result<Btf, BtfError> {
        match self.error {
            Some(error) => Err(error),
            None => Btf::from_parts(&self.words, self.strings.into_bytes()),
        }
    }

    /// Writes the finished blob behind what is there. What is in it is not looked at once more.
    ///
    /// # Errors
    ///
    /// Something that was added did not fit.
    pub fn write_to(&self, out: &mut Vec<u8>, endian: Endian) -> Result<(), BtfError> {
        self.first_error()?;
        write_blob(out, self.words.iter().copied(), self.strings.bytes(), endian);
        Ok(())
    }

    /// What is there so far, to look at.
    ///
    /// # Errors
    ///
    /// As of [`BtfBuilder::finish`].
    pub fn snapshot(&self) -> Result<Btf, BtfError> {
        self.first_error()?;
        Btf::from_parts(&self.words, self.strings.bytes().to_vec())
    }

    /// Number of types so far, `void` included: the id that the next one gets.
    pub fn type_count(&self) -> u32 {
        // `push` keeps the number below MAX_TYPES.
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// The string's offset; it is added when it is new. A zero byte ends it.
    pub fn add_str(&mut self, string: &[u8]) -> u32 {
        let offset = self.strings.add(string, MAX_STRINGS);
        self.string_or_fail(offset)
    }

    /// [`BtfBuilder::add_str`] of a string that is asked for no more: if it is new, it will not be found.
    pub fn append_str(&mut self, string: &[u8]) -> u32 {
        let offset = self.strings.add_last(string, MAX_STRINGS);
        self.string_or_fail(offset)
    }

    fn string_or_fail(&mut self, offset: Option<u32>) -> u32 {
        match offset {
            Some(offset) => offset,
            None => self.fail(format!("more than {MAX_STRINGS} bytes of strings"), 0),
        }
    }

    /// Adds an integer of `size` bytes.
    pub fn add_int(&mut self, name: &str, size: u32, encoding: IntEncoding) -> TypeId {
        let IntEncoding { signed, is_char, is_bool, bit_offset, bits } = encoding;
        let flags = u8::from(signed) | u8::from(is_char) << 1 | u8::from(is_bool) << 2;
        self.add(
            Kind::Int,
            name,
            0,
            false,
            size,
            &[u32::from_le_bytes([bits, 0, bit_offset, flags])],
        )
    }

    /// Adds a pointer. For a type that refers to itself: point to [`TypeId::VOID`] first and call
    /// [`BtfBuilder::set_target`] when the target has its id.
    pub fn add_ptr(&mut self, target: TypeId) -> TypeId {
        self.add(Kind::Ptr, "", 0, false, target.0, &[])
    }

    /// Adds an array of `len` elements. The kernel wants an integer as index type.
    pub fn add_array(&mut self, element: TypeId, index: TypeId, len: u32) -> TypeId {
        self.add(Kind::Array, "", 0, false, 0, &[element.0, index.0, len])
    }

    /// Adds a struct of `size` bytes. The kernel wants the members by rising offset.
    pub fn add_struct(&mut self, name: &str, size: u32, members: &[MemberSpec<'_>]) -> TypeId {
        self.add_composite(Kind::Struct, name, size, members)
    }

    /// Adds a union of `size` bytes.
    pub fn add_union(&mut self, name: &str, size: u32, members: &[MemberSpec<'_>]) -> TypeId {
        self.add_composite(Kind::Union, name, size, members)
    }

    /// Adds an enumeration of `size` bytes (up to 4); of each value the lower 32 bits are kept.
    pub fn add_enum(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, i64)],
    ) -> TypeId {
        let mut trailer = Vec::with_capacity(values.len() * 2);
        for &(name, value) in values {
            let [low, _] = halves(value);
            trailer.extend([self.add_str(name.as_bytes()), low]);
        }
        self.add(Kind::Enum, name, values.len(), signed, size, &trailer)
    }

    /// Adds an enumeration of 64-bit values.
    pub fn add_enum64(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, i64)],
    ) -> TypeId {
        let mut trailer = Vec::with_capacity(values.len() * 3);
        for &(name, value) in values {
            let [low, high] = halves(value);
            trailer.extend([self.add_str(name.as_bytes()), low, high]);
        }
        self.add(Kind::Enum64, name, values.len(), signed, size, &trailer)
    }

    /// Adds a forward declaration of a struct, or of a union.
    pub fn add_fwd(&mut self, name: &str, union: bool) -> TypeId {
        self.add(Kind::Fwd, name, 0, union, 0, &[])
    }

    /// Adds a typedef.
    pub fn add_typedef(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(Kind::Typedef, name, 0, false, target.0, &[])
    }

    /// Adds a `const`.
    pub fn add_const(&mut self, target: TypeId) -> TypeId {
        self.add(Kind::Const, "", 0, false, target.0, &[])
    }

    /// Adds a `volatile`.
    pub fn add_volatile(&mut self, target: TypeId) -> TypeId {
        self.add(Kind::Volatile, "", 0, false, target.0, &[])
    }

    /// Adds a `restrict`.
    pub fn add_restrict(&mut self, target: TypeId) -> TypeId {
        self.add(Kind::Restrict, "", 0, false, target.0, &[])
    }

    /// Adds a type tag.
    pub fn add_type_tag(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(Kind::TypeTag, name, 0, false, target.0, &[])
    }

    /// Adds an attribute of a type: a type tag with the kind flag (kernel 6.15).
    pub fn add_type_attr(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(Kind::TypeTag, name, 0, true, target.0, &[])
    }

    /// Adds a function with a prototype added before.
    pub fn add_func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.add(Kind::Func, name, linkage as usize, false, proto.0, &[])
    }

    /// Adds a prototype. A variadic one ends in `("", TypeId::VOID)`. The kernel wants every other
    /// parameter of a function with code to have a name.
    pub fn add_func_proto(&mut self, returns: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let mut trailer = Vec::with_capacity(params.len() * 2);
        for &(name, type_id) in params {
            trailer.extend([self.add_str(name.as_bytes()), type_id.0]);
        }
        self.add(Kind::FuncProto, "", params.len(), false, returns.0, &trailer)
    }

    /// Adds a variable.
    pub fn add_var(&mut self, name: &str, type_id: TypeId, linkage: Linkage) -> TypeId {
        self.add(Kind::Var, name, 0, false, type_id.0, &[linkage as u32])
    }

    /// Adds a section of `size` bytes. The kernel wants the variables sorted and apart.
    pub fn add_datasec(&mut self, name: &str, size: u32, vars: &[SectionVar]) -> TypeId {
        let trailer: Vec<_> = vars.iter().flat_map(|v| [v.type_id.0, v.offset, v.size]).collect();
        self.add(Kind::Datasec, name, vars.len(), false, size, &trailer)
    }

    /// [`BtfBuilder::add_func`] with the offset of the name, of a function that nothing refers to but
    /// tags and sections: later types are not compared with it. So with the next three.
    pub fn append_func(&mut self, name: u32, proto: TypeId, linkage: Linkage) -> TypeId {
        self.append(&[name, (Kind::Func as u32) << 24 | linkage as u32, proto.0])
    }

    /// [`BtfBuilder::add_var`], see [`BtfBuilder::append_func`].
    pub fn append_var(&mut self, name: u32, type_id: TypeId, linkage: Linkage) -> TypeId {
        self.append(&[name, (Kind::Var as u32) << 24, type_id.0, linkage as u32])
    }

    /// [`BtfBuilder::add_decl_tag`], or [`BtfBuilder::add_decl_attr`], see [`BtfBuilder::append_func`].
    pub fn append_decl_tag(
        &mut self,
        name: u32,
        target: TypeId,
        component: Option<u32>,
        attribute: bool,
    ) -> TypeId {
        let info = u32::from(attribute) << 31 | (Kind::DeclTag as u32) << 24;
        self.append(&[name, info, target.0, component.unwrap_or(u32::MAX)])
    }

    /// [`BtfBuilder::add_datasec`], see [`BtfBuilder::append_func`].
    pub fn append_datasec(&mut self, name: u32, size: u32, vars: &[SectionVar]) -> TypeId {
        let Ok(vlen) = u16::try_from(vars.len()) else {
            let problem = format!("a section of {} variables, {} fit", vars.len(), u16::MAX);
            return self.fail(problem, TypeId::VOID);
        };
        let mut record = vec![name, (Kind::Datasec as u32) << 24 | u32::from(vlen), size];
        record.extend(vars.iter().flat_map(|v| [v.type_id.0, v.offset, v.size]));
        self.append(&record)
    }

    fn append(&mut self, record: &[u32]) -> TypeId {
        match self.push(record) {
            Ok(id) => TypeId(id),
            Err(error) => self.fail_with(error, TypeId::VOID),
        }
    }

    /// Adds a floating point number of `size` bytes.
    pub fn add_float(&mut self, name: &str, size: u32) -> TypeId {
        self.add(Kind::Float, name, 0, false, size, &[])
    }

    /// Adds a declaration tag on a type, or on one of its members or parameters.
    pub fn add_decl_tag(&mut self, name: &str, target: TypeId, component: Option<u32>) -> TypeId {
        self.add(Kind::DeclTag, name, 0, false, target.0, &[component.unwrap_or(u32::MAX)])
    }

    /// Adds an attribute of a declaration: a declaration tag with the kind flag (kernel 6.15).
    pub fn add_decl_attr(&mut self, name: &str, target: TypeId, component: Option<u32>) -> TypeId {
        self.add(Kind::DeclTag, name, 0, true, target.0, &[component.unwrap_or(u32::MAX)])
    }

    /// Changes what a type refers to: a pointer's, typedef's or qualifier's target, an array's
    /// element, a function's prototype, a variable's type, a prototype's return type.
    pub fn set_target(&mut self, id: TypeId, target: TypeId) {
        let at = match self.record(id.0).get(1).and_then(|&info| Kind::of_info(info)) {
            Some(Kind::Array) => RECORD_HEAD,
            Some(Kind::DeclTag) | None => return self.fail(no_target(id), ()),
            Some(kind) if kind.refers() => 2,
            Some(_) => return self.fail(no_target(id), ()),
        };
        self.patch(id, at, target.0);
    }

    /// Changes the type of a struct's or union's member.
    pub fn set_member_type(&mut self, id: TypeId, member: usize, type_id: TypeId) {
        let record = self.record(id.0);
        let kind = record.get(1).and_then(|&info| Kind::of_info(info));
        let at = member.saturating_mul(3).saturating_add(RECORD_HEAD + 1);
        if !matches!(kind, Some(Kind::Struct | Kind::Union)) || at >= record.len() {
            return self.fail(format!("type [{}] has no member {member} to change", id.0), ());
        }
        self.patch(id, at, type_id.0);
    }

    fn patch(&mut self, id: TypeId, word: usize, value: u32) {
        let start = self.starts.get((id.0 as usize).wrapping_sub(1)).copied().unwrap_or(0);
        if let Some(word) = self.words.get_mut(start as usize + word) {
            *word = value;
        }
        // The entry under the old content stays; whoever finds it there sees that it differs.
        self.enter(id.0);
    }

    fn add_composite(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[MemberSpec<'_>],
    ) -> TypeId {
        let kflag = members.iter().any(|m| m.bitfield_size != 0);
        let mut trailer = Vec::with_capacity(members.len() * 3);
        for m in members {
            if kflag && (m.bit_offset > 0xff_ffff || m.bitfield_size > 0xff) {
                let MemberSpec { name: member, bit_offset, bitfield_size, .. } = m;
                let problem = format!(
                    "{name}.{member}: bit offset {bit_offset}, width {bitfield_size} do not fit \
                     beside a bitfield"
                );
                return self.fail(problem, TypeId::VOID);
            }
            let offset = if kflag { m.bitfield_size << 24 | m.bit_offset } else { m.bit_offset };
            trailer.extend([self.add_str(m.name.as_bytes()), m.type_id.0, offset]);
        }
        self.add(kind, name, members.len(), kflag, size, &trailer)
    }

    fn add(
        &mut self,
        kind: Kind,
        name: &str,
        vlen: usize,
        kflag: bool,
        size_or_type: u32,
        trailer: &[u32],
    ) -> TypeId {
        let Ok(vlen) = u16::try_from(vlen) else {
            let problem = format!("{kind:?} {name:?} has {vlen} parts, {} fit", u16::MAX);
            return self.fail(problem, TypeId::VOID);
        };
        let info = u32::from(kflag) << 31 | (kind as u32) << 24 | u32::from(vlen);
        let mut record = vec![self.add_str(name.as_bytes()), info, size_or_type];
        record.extend(trailer);
        let id = match self.push(&record) {
            Ok(id) => id,
            Err(error) => {
                self.error.get_or_insert(error);
                return TypeId::VOID;
            }
        };
        self.enter(id);
        if let (Kind::DeclTag, &[name_off, _, target, component]) = (kind, record.as_slice()) {
            self.tags.entry(target).or_default().push(Tag { component, name_off, kflag });
            order::sort(self.tags.entry(target).or_default());
            // With the tag it is another type than without.
            self.enter(target);
        }
        TypeId(id)
    }

    fn fail<T>(&mut self, problem: String, value: T) -> T {
        let id = self.type_count();
        self.fail_with(BtfError::Type { id, problem }, value)
    }

    fn fail_with<T>(&mut self, error: BtfError, value: T) -> T {
        self.error.get_or_insert(error);
        value
    }
}

/// Records as words: what [`crate::merge`] and [`crate::gather`] need.
impl BtfBuilder {
    /// All records.
    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }

    /// All strings.
    pub(crate) fn strings(&self) -> &[u8] {
        self.strings.bytes()
    }

    /// Where each of the first types starts (`void` counts, and has no record), and how many words they
    /// take; `None` when any type has declaration tags.
    pub(crate) fn first_untagged(&self, count: u32) -> Option<(&[u32], usize)> {
        let (&end, starts) = self.starts.get(..count as usize)?.split_last()?;
        self.tags.is_empty().then_some((starts, end as usize))
    }

    pub(crate) fn first_error(&self) -> Result<(), BtfError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, record: &[u32]) -> Result<u32, BtfError> {
        let id = self.type_count();
        if self.starts.len() > MAX_TYPES || self.words.len() + record.len() > MAX_WORDS {
            let problem = format!("more than {MAX_TYPES} types or {MAX_WORDS} words of them");
            return Err(BtfError::Type { id, problem });
        }
        self.words.extend(record);
        self.starts.push(u32::try_from(self.words.len()).unwrap_or(u32::MAX));
        Ok(id)
    }

    /// The words of a type's record; none for `void` and for what is not there.
    pub(crate) fn record(&self, id: u32) -> &[u32] {
        let Some(before) = (id as usize).checked_sub(1) else { return &[] };
        let span = self.starts.get(before).zip(self.starts.get(before + 1));
        span.and_then(|(&from, &to)| self.words.get(from as usize..to as usize)).unwrap_or(&[])
    }

    /// The declaration tags on a type.
    pub(crate) fn tags_on(&self, id: u32) -> &[Tag] {
        match self.tags.is_empty() {
            true => &[],
            false => self.tags.get(&id).map_or(&[], Vec::as_slice),
        }
    }

    /// The type with this record and these tags; it is added when it is new.
    pub(crate) fn intern(&mut self, record: &[u32], tags: &[Tag]) -> Result<u32, BtfError> {
        let same = |id| self.record(id) == record && self.tags_on(id) == tags;
        match self.record_index.find(self.record_hash(record, tags), same) {
            Ok(id) => Ok(id),
            Err(vacant) => {
                let id = self.push(record)?;
                match tags {
                    [] => self.record_index.insert(vacant, id),
                    _ => self.set_tags(id, tags)?,
                }
                Ok(id)
            }
        }
    }

    /// Says which declaration tags are on a new type, adds their records and makes the type known.
    /// `tags` is in rising order.
    pub(crate) fn set_tags(&mut self, id: u32, tags: &[Tag]) -> Result<(), BtfError> {
        if !tags.is_empty() {
            self.tags.insert(id, tags.to_vec());
        }
        self.enter(id);
        for tag in tags {
            let info = u32::from(tag.kflag) << 31 | (Kind::DeclTag as u32) << 24;
            self.intern(&[tag.name_off, info, id, tag.component], &[])?;
        }
        Ok(())
    }

    /// Makes a type known by its present content.
    fn enter(&mut self, id: u32) {
        let (record, tags) = (self.record(id), self.tags_on(id));
        let same = |other| self.record(other) == record && self.tags_on(other) == tags;
        let found = self.record_index.find(self.record_hash(record, tags), same);
        if let Err(vacant) = found {
            self.record_index.insert(vacant, id);
        }
    }

    fn record_hash(&self, record: &[u32], tags: &[Tag]) -> u64 {
        hash_tags(hash_words(self.seed, record), tags)
    }
}

/// Folds declaration tags into a record's hash.
pub(crate) fn hash_tags(hash: u64, tags: &[Tag]) -> u64 {
    tags.iter().fold(hash, |hash, tag| {
        let hash = fold(hash, u64::from(tag.component) << 32 | u64::from(tag.name_off));
        fold(hash, tag.kflag.into())
    })
}

/// A value's lower and upper 32 bits.
fn halves(value: i64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn no_target(id: TypeId) -> String {
    format!("type [{}] refers to no other type that could be changed", id.0)
}

#[cfg(test)]
mod tests;
