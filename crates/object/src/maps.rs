//! Map definitions: structs that BTF describes (`.maps`), the records of old objects (`maps`), and the
//! initial values of maps of maps and prog arrays.
//!
//! A new member of map definitions goes into [`Definition::member`] and nowhere else.

use bpfweld_btf::{Btf, Endian, Kind, Member, Type, TypeId, order};

use crate::data::{Places, variables};
use crate::elf::{Elf, Place, Rel, Section, Symbol};
use crate::error::{MapProblem, ReadProblem, RelocProblem};
use crate::functions::{Code, slice};
use crate::model::{MapDef, MapId, SlotValue};
use crate::pointers::{self, Pointer};
use crate::roles::{Role, Symbols};
use crate::types::{TypeIndex, describe};

/// `enum bpf_map_type`, as far as definitions depend on it.
mod map_type {
    pub(super) const ARENA: u32 = 33;
    pub(super) const PROG_ARRAY: u32 = 3;
    pub(super) const ARRAY_OF_MAPS: u32 = 12;
    pub(super) const HASH_OF_MAPS: u32 = 13;
}

/// `struct bpf_map_def`: five words. Some loaders' own structs are longer and begin alike.
const RECORD_LEN: u64 = 20;
/// Maps of maps and prog arrays hold file descriptors to user space.
const FD_SIZE: u64 = 4;

/// The maps of an object and where their definitions are in the file.
#[derive(Default)]
pub(crate) struct Maps {
    pub(crate) defs: Vec<MapDef>,
    pub(crate) index: MapIndex,
}

/// Where map definitions are in the file.
#[derive(Default)]
pub(crate) struct MapIndex {
    /// Of each map, sorted by section and offset.
    sites: Vec<Site>,
    arena: Option<MapId>,
}

struct Site {
    section: usize,
    offset: u64,
    /// Where in the section the member `values` begins, where there is one.
    values: Option<u64>,
}

impl Maps {
    pub(crate) fn read(
        elf: &Elf<'_>,
        symbols: &Symbols,
        types: &TypeIndex<'_>,
        places: &Places<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Self, ReadProblem> {
        let mut maps = Self::default();
        let mut seen = false;
        let legacy = legacy_symbols(symbols);
        for (index, section) in elf.sections.iter().enumerate() {
            if section.size == 0 {
                continue;
            }
            if section.role == Role::Maps {
                let problem = match types.section(section.name) {
                    _ if seen => "there are two sections of this name",
                    Some(datasec) => {
                        seen = true;
                        maps.read_described(datasec, section, index, places, notes)?;
                        continue;
                    }
                    None if types.btf.is_none() => {
                        "map definitions need BTF, and the object has none; compile with -g"
                    }
                    None => "BTF says nothing about the maps in it",
                };
                return Err(ReadProblem::Section {
                    section: section.name.to_owned(),
                    problem: problem.to_owned(),
                });
            }
            if section.role == Role::LegacyMaps {
                let from = legacy.partition_point(|&(at, _)| at < index);
                let to = legacy.partition_point(|&(at, _)| at <= index);
                let symbols = legacy.get(from..to).unwrap_or_default();
                maps.read_legacy(elf, (index, section), symbols, notes)?;
            }
        }
        maps.read_arena(elf, notes)?;
        let arena = maps.defs.iter().position(|def| def.map_type == map_type::ARENA);
        maps.index.arena = arena.and_then(|at| u32::try_from(at).ok()).map(MapId);
        Ok(maps)
    }

    fn read_arena(&mut self, elf: &Elf<'_>, notes: &mut Vec<String>) -> Result<(), ReadProblem> {
        let mut sections = elf.sections.iter().filter(|s| s.role == Role::Arena && s.size > 0);
        let Some(section) = sections.next() else { return Ok(()) };
        let fail = |problem: &str| {
            let problem = problem.to_owned();
            Err(ReadProblem::Section { section: section.name.to_owned(), problem })
        };
        let mut arenas = self.defs.iter_mut().filter(|def| def.map_type == map_type::ARENA);
        match (arenas.next(), arenas.next(), sections.next()) {
            (_, _, Some(_)) => fail("there are two sections of this name"),
            (None, ..) => {
                let name = section.name;
                notes.push(format!(
                    "section {name}: variables in an arena that another object defines"
                ));
                Ok(())
            }
            (Some(_), Some(_), _) => fail("there are two arenas, and its variables go into one"),
            (Some(arena), None, None) => {
                // Zeros need not be written.
                arena.arena_data = section.data.to_vec();
                Ok(())
            }
        }
    }

    fn read_described(
        &mut self,
        datasec: Type<'_>,
        section: &Section<'_>,
        index: usize,
        places: &Places<'_>,
        notes: &mut Vec<String>,
    ) -> Result<(), ReadProblem> {
        let btf = datasec.btf();
        for var in variables(datasec, section, index, places, notes)? {
            let ty = btf.resolve(btf.ty(var.type_id).type_id());
            let (def, values) = define(var.name, ty, false)?;
            let offset = u64::from(var.offset);
            let values = values.map(|v| offset + v);
            self.defs.push(def);
            self.index.sites.push(Site { section: index, offset, values });
        }
        Ok(())
    }

    fn read_legacy(
        &mut self,
        elf: &Elf<'_>,
        (index, section): (usize, &Section<'_>),
        symbols: &[(usize, Symbol)],
        notes: &mut Vec<String>,
    ) -> Result<(), ReadProblem> {
        for (i, (_, symbol)) in symbols.iter().enumerate() {
            let name = elf.symbol_name(symbol)?;
            let next = symbols.get(i + 1);
            let next = next.map_or(section.size, |(_, s)| s.value.min(section.size));
            let size =
                if symbol.size == 0 { next.saturating_sub(symbol.value) } else { symbol.size };
            let record = (size >= RECORD_LEN)
                .then(|| slice(section.data, symbol.value, symbol.value.checked_add(RECORD_LEN)?));
            let Some(record) = record.flatten() else {
                return Err(problem(name, None, MapProblem::ShortRecord(size)));
            };
            let mut words = [0; 5];
            for (word, &bytes) in words.iter_mut().zip(record.as_chunks::<4>().0) {
                *word = match elf.endian {
                    Endian::Little => u32::from_le_bytes(bytes),
                    Endian::Big => u32::from_be_bytes(bytes),
                };
            }
            let [map_type, key_size, value_size, max_entries, map_flags] = words;
            self.defs.push(MapDef {
                map_type,
                key_size,
                value_size,
                max_entries,
                map_flags,
                ..empty(name)
            });
            self.index.sites.push(Site { section: index, offset: symbol.value, values: None });
        }
        notes.push(format!(
            "section {}: old-style map definitions (struct bpf_map_def), without types",
            section.name
        ));
        Ok(())
    }

    /// Reads the relocations of `.maps`: what goes into the slots of maps of maps and prog arrays.
    pub(crate) fn fill_slots(&mut self, elf: &Elf<'_>, code: &Code) -> Result<(), ReadProblem> {
        for (index, section) in elf.sections.iter().enumerate() {
            if section.role != Role::Maps {
                continue;
            }
            for rel in elf.relocs(index) {
                self.fill_slot(elf, code, (index, section), rel)?;
            }
        }
        for def in &mut self.defs {
            order::sort_by_key(&mut def.values, |&(slot, _)| slot);
        }
        Ok(())
    }

    // Apart from what all objects have.
    #[inline(never)]
    fn fill_slot(
        &mut self,
        elf: &Elf<'_>,
        code: &Code,
        (index, section): (usize, &Section<'_>),
        rel: Rel,
    ) -> Result<(), ReadProblem> {
        let Pointer { symbol, addend } = pointers::read(elf, section, rel)?;
        let key = (index, rel.offset);
        let behind = self.index.sites.partition_point(|s| (s.section, s.offset) <= key);
        let owner = behind.checked_sub(1);
        let no_map = || {
            let offset = i64::try_from(rel.offset).unwrap_or(i64::MAX);
            let no_map = RelocProblem::NoMap { section: section.name.to_owned(), offset };
            pointers::failure(elf, section, rel, Some(&symbol), no_map)
        };
        let (site, def) = owner
            .and_then(|i| Some((self.index.sites.get(i)?, self.defs.get(i)?)))
            .filter(|(site, _)| site.section == index)
            .ok_or_else(no_map)?;
        let Some(distance) = site.values.and_then(|values| rel.offset.checked_sub(values)) else {
            return Err(problem(&def.name, None, MapProblem::NoValues));
        };
        let slot = distance / 8;
        let bad =
            |what| problem(&def.name, Some("values"), MapProblem::Slot { slot, problem: what });
        let number = u32::try_from(slot).map_err(|_| bad("its number is too large"))?;
        if !distance.is_multiple_of(8) {
            return Err(bad("the relocation is not at the start of a slot"));
        }
        if def.max_entries > 0 && number >= def.max_entries {
            return Err(bad("the map has fewer entries"));
        }
        let value = match symbol.place {
            Place::Section(at) => {
                let offset = elf.base(&symbol).wrapping_add_signed(addend);
                match def.map_type {
                    map_type::PROG_ARRAY => code
                        .at(at, offset, Some(symbol.index))
                        .map(SlotValue::Program)
                        .ok_or_else(|| bad("it refers to something that is no function"))?,
                    _ => self
                        .index
                        .at(at, offset)
                        .map(SlotValue::Map)
                        .ok_or_else(|| bad("it refers to something that is no map"))?,
                }
            }
            _ => return Err(bad("it refers to something that this object does not define")),
        };
        if let Some(def) = owner.and_then(|i| self.defs.get_mut(i)) {
            def.values.push((number, value));
        }
        Ok(())
    }
}

impl MapIndex {
    /// The arena that the variables in address space 1 are in.
    pub(crate) fn arena(&self) -> Option<MapId> {
        self.arena
    }

    /// The map whose definition starts at this place.
    pub(crate) fn at(&self, section: usize, offset: u64) -> Option<MapId> {
        let found = self.sites.binary_search_by_key(&(section, offset), |s| (s.section, s.offset));
        Some(MapId(u32::try_from(found.ok()?).ok()?))
    }
}

/// The symbols of old-style definitions with their sections, sorted, one for each place.
fn legacy_symbols(symbols: &Symbols) -> Vec<(usize, Symbol)> {
    let mut symbols = symbols.legacy_maps.clone();
    order::sort_by_key(&mut symbols, |(section, s)| (*section, s.value, s.index));
    symbols.dedup_by_key(|(section, s)| (*section, s.value));
    symbols
}

fn problem(map: &str, member: Option<&str>, problem: MapProblem) -> ReadProblem {
    ReadProblem::Map { map: map.to_owned(), member: member.map(str::to_owned), problem }
}

fn empty(name: &str) -> MapDef {
    MapDef { name: name.to_owned(), ..MapDef::default() }
}

/// Reads one definition: `ty` is the struct (behind typedefs and qualifiers). Gives the offset of its
/// member `values`, too.
pub(crate) fn define(
    name: &str,
    ty: Type<'_>,
    is_inner: bool,
) -> Result<(MapDef, Option<u64>), ReadProblem> {
    if ty.kind() != Kind::Struct {
        return Err(problem(name, None, MapProblem::NotAStruct(describe(ty))));
    }
    let mut definition = Definition { def: empty(name), ..Definition::default() };
    for member in ty.members() {
        definition
            .member(ty.btf(), member, is_inner)
            .map_err(|what| what.into_problem(name, member.name))?;
    }
    definition.finish(is_inner).map_err(|what| problem(name, None, what))
}

/// A definition while its members are read.
#[derive(Default)]
struct Definition {
    def: MapDef,
    map_type: Option<u32>,
    /// From `key_size` or `key`, whichever came first.
    key_size: Option<u64>,
    value_size: Option<u64>,
    values: Option<(u64, Values)>,
}

enum Values {
    Maps(Box<MapDef>),
    Programs,
}

/// Wrong member, or something wrong in the inner definition.
enum MemberError {
    Here(MapProblem),
    Inner(ReadProblem),
}

impl From<MapProblem> for MemberError {
    fn from(problem: MapProblem) -> Self {
        Self::Here(problem)
    }
}

impl MemberError {
    fn into_problem(self, map: &str, member: &str) -> ReadProblem {
        match self {
            Self::Here(what) => problem(map, Some(member), what),
            Self::Inner(problem) => problem,
        }
    }
}

impl Definition {
    fn member(&mut self, btf: &Btf, member: Member<'_>, is_inner: bool) -> Result<(), MemberError> {
        let ty = btf.resolve(member.type_id);
        let def = &mut self.def;
        match member.name {
            "type" => self.map_type = Some(number32(ty)?),
            "max_entries" => def.max_entries = number32(ty)?,
            "map_flags" => def.map_flags = number32(ty)?,
            "numa_node" => def.numa_node = Some(number32(ty)?),
            "map_extra" => def.map_extra = number(ty)?,
            "key_size" => agree(&mut self.key_size, number32(ty)?.into())?,
            "value_size" => agree(&mut self.value_size, number32(ty)?.into())?,
            "key" => {
                let (id, size) = pointee(ty)?;
                agree(&mut self.key_size, size)?;
                def.key_type = Some(id);
            }
            "value" => {
                let (id, size) = pointee(ty)?;
                agree(&mut self.value_size, size)?;
                def.value_type = Some(id);
            }
            // `enum libbpf_pin_type`.
            "pinning" => match number(ty)? {
                0 => {}
                1 if is_inner => return Err(MapProblem::Inner.into()),
                1 => def.pin_by_name = true,
                other => return Err(MapProblem::Range(other).into()),
            },
            "values" if is_inner => return Err(MapProblem::Inner.into()),
            "values" => {
                agree(&mut self.value_size, FD_SIZE)?;
                let values = self.values_of(ty)?;
                self.values = Some((u64::from(member.bit_offset / 8), values));
            }
            _ => return Err(MapProblem::UnknownMember.into()),
        }
        Ok(())
    }

    fn values_of(&self, ty: Type<'_>) -> Result<Values, MemberError> {
        let shape = || MapProblem::Shape {
            want: "an array of pointers to a map definition or to functions",
            found: describe(ty),
        };
        let element = ty.btf().resolve(ty.type_id());
        if ty.kind() != Kind::Array || element.kind() != Kind::Ptr {
            return Err(shape().into());
        }
        let target = ty.btf().resolve(element.type_id());
        match target.kind() {
            Kind::FuncProto => Ok(Values::Programs),
            Kind::Struct => {
                let name = format!("{}.inner", self.def.name);
                let (inner, _) = define(&name, target, true).map_err(MemberError::Inner)?;
                Ok(Values::Maps(Box::new(inner)))
            }
            _ => Err(shape().into()),
        }
    }

    fn finish(mut self, is_inner: bool) -> Result<(MapDef, Option<u64>), MapProblem> {
        let map_type = self.map_type.ok_or(MapProblem::NoType)?;
        let of_maps = matches!(map_type, map_type::ARRAY_OF_MAPS | map_type::HASH_OF_MAPS);
        if of_maps && is_inner {
            return Err(MapProblem::Inner);
        }
        if of_maps {
            agree(&mut self.value_size, FD_SIZE)?;
        }
        let size = |size: Option<u64>| {
            let size = size.unwrap_or(0);
            u32::try_from(size).map_err(|_| MapProblem::Range(size))
        };
        self.def.map_type = map_type;
        self.def.key_size = size(self.key_size)?;
        self.def.value_size = size(self.value_size)?;
        let values = match self.values {
            None => None,
            Some((offset, Values::Maps(inner))) if of_maps => {
                self.def.inner = Some(inner);
                Some(offset)
            }
            Some((offset, Values::Programs)) if map_type == map_type::PROG_ARRAY => Some(offset),
            Some(_) => return Err(MapProblem::NoValues),
        };
        Ok((self.def, values))
    }
}

/// Sets a size, or compares it with what another member said.
fn agree(known: &mut Option<u64>, size: u64) -> Result<(), MapProblem> {
    match *known {
        Some(other) if other != size => Err(MapProblem::Conflict { one: size, other }),
        _ => {
            *known = Some(size);
            Ok(())
        }
    }
}

/// A number, written as the length of an array that is pointed to (`__uint`) or as the only value of
/// an enumeration (`__ulong`).
fn number(ty: Type<'_>) -> Result<u64, MapProblem> {
    let btf = ty.btf();
    match ty.kind() {
        Kind::Ptr => {
            let array = btf.resolve(ty.type_id());
            if array.kind() == Kind::Array {
                return Ok(array.array_len().into());
            }
        }
        Kind::Enum | Kind::Enum64 => {
            let mut values = ty.enumerators();
            if let (Some(only), None) = (values.next(), values.next()) {
                return Ok(only.value);
            }
        }
        _ => {}
    }
    Err(MapProblem::Shape {
        want: "a number, written with __uint() or __ulong()",
        found: describe(ty),
    })
}

fn number32(ty: Type<'_>) -> Result<u32, MapProblem> {
    let value = number(ty)?;
    u32::try_from(value).map_err(|_| MapProblem::Range(value))
}

/// The type that a pointer (`__type`) points to, and its size.
fn pointee(ty: Type<'_>) -> Result<(TypeId, u64), MapProblem> {
    if ty.kind() != Kind::Ptr {
        let want = "a type, written with __type()";
        return Err(MapProblem::Shape { want, found: describe(ty) });
    }
    let target = ty.target();
    let size = target.byte_size();
    let size = size.ok_or_else(|| MapProblem::NoSize(describe(ty.btf().resolve(target.id()))))?;
    Ok((target.id(), size))
}
