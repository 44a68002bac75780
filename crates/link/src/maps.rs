//! The maps of a link: those that the code refers to, and those that these hold; each instance has its
//! own.

use std::collections::{BTreeMap, BTreeSet};

use bpfweld_object::{
    DataId, Extern, ExternId, ExternKind, KconfigType, MapDef, MapId, Object, RelocTarget,
    SlotValue, StructOps,
};

use crate::error::LinkError;
use crate::image::{
    ImageMap, InstanceId, KconfigVar, MapContent, MapIndex, MapSpec, SlotRef, StructOpsSpec,
};
use crate::plan::Plan;
use crate::resolve::{Entry, Instance, Linked, Resolution};
use crate::types::Types;

/// `BPF_MAP_TYPE_STRUCT_OPS`.
const STRUCT_OPS: u32 = 26;
/// Name of the kconfig map of an instance.
pub(crate) const KCONFIG: &str = ".kconfig";

/// A map of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Defined(MapId),
    Data(DataId),
    /// A struct_ops table, by its index in the object.
    StructOps(usize),
    Kconfig,
}

impl Key {
    /// The map of this name: defined, a section of variables, or a struct_ops table.
    pub(crate) fn of(object: &Object, name: &str) -> Option<Self> {
        let defined = (0..).zip(&object.maps).find(|(_, m)| m.name == name);
        let data = || (0..).zip(&object.data).find(|(_, d)| d.name == name);
        let table = || (0..).zip(&object.struct_ops).find(|(_, t)| t.name == name);
        defined
            .map(|(at, _)| Self::Defined(MapId(at)))
            .or_else(|| data().map(|(at, _)| Self::Data(DataId(at))))
            .or_else(|| table().map(|(at, _)| Self::StructOps(at)))
    }

    /// Its name.
    pub(crate) fn name(self, object: &Object) -> &str {
        let name = match self {
            Self::Defined(id) => object.maps.get(id.index()).map(|m| &m.name),
            Self::Data(id) => object.data.get(id.index()).map(|d| &d.name),
            Self::StructOps(at) => object.struct_ops.get(at).map(|t| &t.name),
            Self::Kconfig => return KCONFIG,
        };
        name.map_or("?", String::as_str)
    }

    /// All names that [`of`](Self::of) finds.
    pub(crate) fn names(object: &Object) -> Vec<String> {
        let maps = object.maps.iter().map(|m| &m.name);
        let data = object.data.iter().map(|d| &d.name);
        let tables = object.struct_ops.iter().map(|t| &t.name);
        maps.chain(data).chain(tables).cloned().collect()
    }
}

/// The map of an instance that an instruction refers to.
pub(crate) fn map_of(
    linked: &Linked,
    at: InstanceId,
    target: &RelocTarget,
) -> Option<(InstanceId, Key)> {
    match *target {
        RelocTarget::Map(id) | RelocTarget::Arena { map: Some(id), .. } => {
            Some((at, Key::Defined(id)))
        }
        RelocTarget::Data { data, .. } => Some((at, Key::Data(data))),
        RelocTarget::ExternAddr { id, .. } => match linked.resolution(at, id)? {
            Resolution::Map(to, map) => Some((*to, Key::Defined(*map))),
            Resolution::Variable(to, data, _) => Some((*to, Key::Data(*data))),
            _ => None,
        },
        _ => None,
    }
}

/// The maps that the code of each instance refers to.
pub(crate) type Reached = BTreeMap<InstanceId, BTreeSet<Key>>;

/// The maps of a link and where each is.
pub(crate) struct MapTable {
    maps: Vec<ImageMap>,
    index: BTreeMap<(InstanceId, Key), MapIndex>,
    /// Offset of each kconfig extern in its instance's map.
    kconfig: BTreeMap<(InstanceId, ExternId), u32>,
}

impl MapTable {
    pub(crate) fn new(
        linked: &Linked,
        plans: &[(Entry, Plan)],
        reached: &Reached,
        types: &mut Types<'_>,
    ) -> Result<Self, LinkError> {
        let mut table = Self { maps: Vec::new(), index: BTreeMap::new(), kconfig: BTreeMap::new() };
        for (&at, keys) in reached {
            let instance = &linked.instances[at.index()];
            table.number(at, instance, keys);
            for key in keys {
                let Key::Data(id) = *key else { continue };
                let Some(data) = instance.object.data.get(id.index()) else { continue };
                let content = MapContent::Data {
                    kind: data.kind,
                    size: data.size,
                    bytes: data.bytes.clone(),
                    datasec: types.data_section(at, data)?,
                };
                table.put(at, instance, *key, &data.name, content);
            }
            let used = used_externs(linked, plans, at);
            let externs = (0..).map(ExternId).zip(&instance.object.externs);
            let wanted: Vec<_> = externs.filter(|(id, _)| used.contains(id)).collect();
            let (size, vars) = place_kconfig(&wanted);
            if !vars.is_empty() {
                table.kconfig.extend(vars.iter().map(|v| ((at, v.id), v.offset)));
                let datasec = types.kconfig_section(at, instance, size, &vars)?;
                let content = MapContent::Kconfig { size, vars, datasec };
                table.put(at, instance, Key::Kconfig, KCONFIG, content);
            }
            // When all of this instance's maps have their numbers, so that slots can name them.
            for key in keys {
                let Key::Defined(id) = *key else { continue };
                let Some(def) = instance.object.maps.get(id.index()) else { continue };
                let spec = table.spec(at, def, plans, types)?;
                table.fill(at, id, MapContent::Defined(spec));
            }
            for key in keys {
                let Key::StructOps(index) = *key else { continue };
                let Some(ops) = instance.object.struct_ops.get(index) else { continue };
                let spec = struct_ops(at, ops, plans, types)?;
                table.put(at, instance, *key, &ops.name, MapContent::Defined(spec));
            }
        }
        Ok(table)
    }

    pub(crate) fn defined(&self, at: InstanceId, id: MapId) -> Option<MapIndex> {
        self.index.get(&(at, Key::Defined(id))).copied()
    }

    pub(crate) fn data(&self, at: InstanceId, id: DataId) -> Option<MapIndex> {
        self.index.get(&(at, Key::Data(id))).copied()
    }

    /// Where a kconfig extern is: its map and its offset.
    pub(crate) fn kconfig(&self, at: InstanceId, id: ExternId) -> Option<(MapIndex, u32)> {
        let offset = self.kconfig.get(&(at, id))?;
        Some((*self.index.get(&(at, Key::Kconfig))?, *offset))
    }

    pub(crate) fn map_type(&self, map: MapIndex) -> Option<u32> {
        match &self.maps.get(map.index())?.content {
            MapContent::Defined(spec) => Some(spec.map_type),
            _ => None,
        }
    }

    /// A map as `instance:map`.
    pub(crate) fn name(&self, map: MapIndex) -> String {
        self.maps.get(map.index()).map_or_else(String::new, |m| format!("{}:{}", m.label, m.name))
    }

    pub(crate) fn into_maps(self) -> Vec<ImageMap> {
        self.maps
    }

    /// Gives the defined maps of an instance their places: a map of maps behind those that it may
    /// hold.
    fn number(&mut self, at: InstanceId, instance: &Instance, keys: &BTreeSet<Key>) {
        let all = || (0..).map(MapId).zip(&instance.object.maps);
        let reached = |(id, _): &(MapId, &MapDef)| keys.contains(&Key::Defined(*id));
        let holds = |m: &MapDef| m.values.iter().any(|(_, v)| matches!(v, SlotValue::Map(_)));
        let order = all().filter(|(_, m)| !holds(m)).chain(all().filter(|(_, m)| holds(m)));
        for (id, map) in order.filter(reached) {
            // A place; `fill` puts the real content there.
            let empty = MapContent::Kconfig { size: 0, vars: Vec::new(), datasec: None };
            self.put(at, instance, Key::Defined(id), &map.name, empty);
        }
    }

    fn put(
        &mut self,
        at: InstanceId,
        instance: &Instance,
        key: Key,
        name: &str,
        content: MapContent,
    ) {
        let existing = instance.existing.as_ref().and_then(|maps| maps.get(name)).cloned();
        self.index.insert((at, key), MapIndex(self.maps.len() as u32));
        self.maps.push(ImageMap {
            name: name.to_owned(),
            instance: at,
            label: instance.label.clone(),
            content,
            existing,
        });
    }

    fn fill(&mut self, at: InstanceId, id: MapId, content: MapContent) {
        let place = self.defined(at, id).and_then(|m| self.maps.get_mut(m.index()));
        if let Some(map) = place {
            map.content = content;
        }
    }

    fn spec(
        &self,
        at: InstanceId,
        def: &MapDef,
        plans: &[(Entry, Plan)],
        types: &mut Types<'_>,
    ) -> Result<MapSpec, LinkError> {
        let mut import = |id: Option<_>| id.map(|id| types.import(at, id)).transpose();
        let (key_type, value_type) = (import(def.key_type)?, import(def.value_type)?);
        let inner = match &def.inner {
            Some(inner) => Some(Box::new(self.spec(at, inner, plans, types)?)),
            None => None,
        };
        let mut values = Vec::with_capacity(def.values.len());
        for &(slot, value) in &def.values {
            let value = match value {
                SlotValue::Map(id) => self.defined(at, id).map(SlotRef::Map),
                SlotValue::Program(function) => image_of(plans, Entry { instance: at, function }),
            };
            values.extend(value.map(|v| (slot, v)));
        }
        Ok(MapSpec {
            map_type: def.map_type,
            key_size: def.key_size,
            value_size: def.value_size,
            max_entries: def.max_entries,
            map_flags: def.map_flags,
            numa_node: def.numa_node,
            map_extra: def.map_extra,
            arena_data: def.arena_data.clone(),
            pin_by_name: def.pin_by_name,
            key_type,
            value_type,
            inner,
            values,
            struct_ops: None,
        })
    }
}

/// The map of a table of functions, all of which have plans by now.
fn struct_ops(
    at: InstanceId,
    ops: &StructOps,
    plans: &[(Entry, Plan)],
    types: &mut Types<'_>,
) -> Result<MapSpec, LinkError> {
    let image = |function| image_of(plans, Entry { instance: at, function });
    let values = ops.functions.iter().filter_map(|&(member, f)| Some((member, image(f)?)));
    Ok(MapSpec {
        value_type: Some(types.import(at, ops.type_id)?),
        values: values.collect(),
        struct_ops: Some(StructOpsSpec { bytes: ops.bytes.clone(), by_link: ops.by_link }),
        ..MapSpec::new(STRUCT_OPS, 4, 0, 1)
    })
}

fn image_of(plans: &[(Entry, Plan)], entry: Entry) -> Option<SlotRef> {
    let index = plans.iter().position(|(e, _)| *e == entry)?;
    Some(SlotRef::Image(index as u32))
}

/// Adds what the functions of a plan refer to, and what these maps hold. Gives the entry programs that
/// slots of newly reached prog arrays and struct_ops tables name: they want plans of their own.
pub(crate) fn reach(linked: &Linked, plan: &Plan, reached: &mut Reached) -> Vec<Entry> {
    let mut work: Vec<(InstanceId, Key)> = Vec::new();
    for planned in &plan.functions {
        let at = planned.instance;
        // Also of an instance without maps: kconfig externs are looked for in all of them.
        reached.entry(at).or_default();
        let function = linked.instances[at.index()].function(planned.func);
        let relocs = function.into_iter().flat_map(|f| &f.relocs);
        work.extend(relocs.filter_map(|r| map_of(linked, at, &r.target)));
    }
    // A program of a struct_ops table brings the table, and that its other programs: the kernel takes
    // tables as wholes.
    let entry = plan.functions.first().map(|entry| (entry.instance, entry.func));
    if let Some((at, function)) = entry {
        let tables = linked.instances[at.index()].object.struct_ops.iter().enumerate();
        let holds = |t: &StructOps| t.functions.iter().any(|f| f.1 == function);
        work.extend(tables.filter(|(_, t)| holds(t)).map(|(index, _)| (at, Key::StructOps(index))));
    }
    let mut programs = Vec::new();
    while let Some((at, key)) = work.pop() {
        if !linked.makes(at, key) || !reached.entry(at).or_default().insert(key) {
            continue;
        }
        let instance = &linked.instances[at.index()];
        if let Key::StructOps(index) = key
            && let Some(table) = instance.object.struct_ops.get(index)
        {
            let entry = |&(_, function): &(u32, _)| Entry { instance: at, function };
            let wanted = |e: &Entry| linked.loads_by_wish(at, e.function) != Some(false);
            programs.extend(table.functions.iter().map(entry).filter(wanted));
        }
        // The slots of a map that exists are as they are.
        let Key::Defined(id) = key else { continue };
        let Some(map) = instance.object.maps.get(id.index()) else { continue };
        if instance.existing.as_ref().is_some_and(|maps| maps.contains_key(&map.name)) {
            continue;
        }
        for (_, value) in &map.values {
            match *value {
                SlotValue::Map(id) => work.push((at, Key::Defined(id))),
                SlotValue::Program(function) => {
                    if linked.loads_by_wish(at, function) != Some(false) {
                        programs.push(Entry { instance: at, function });
                    }
                }
            }
        }
    }
    programs
}

/// Externs that the functions of the plans refer to.
fn used_externs(linked: &Linked, plans: &[(Entry, Plan)], at: InstanceId) -> BTreeSet<ExternId> {
    let instance = &linked.instances[at.index()];
    let planned = plans.iter().flat_map(|(_, p)| &p.functions).filter(|f| f.instance == at);
    let relocs = planned.filter_map(|f| instance.function(f.func)).flat_map(|f| &f.relocs);
    let ids = relocs.filter_map(|r| match r.target {
        RelocTarget::ExternAddr { id, .. } => Some(id),
        _ => None,
    });
    ids.collect()
}

/// Lays out the kconfig externs one behind the other, each aligned to its size.
fn place_kconfig(externs: &[(ExternId, &Extern)]) -> (u32, Vec<KconfigVar>) {
    let mut vars = Vec::new();
    let mut end: u32 = 0;
    for &(id, ext) in externs {
        let ExternKind::Kconfig(ty) = ext.kind else { continue };
        let (size, align) = match ty {
            KconfigType::Bool | KconfigType::Char { .. } => (1, 1),
            KconfigType::Tristate => (4, 4),
            KconfigType::Int { size, .. } => (u32::from(size), u32::from(size).max(1)),
            KconfigType::CharArray { len } => (len, 1),
        };
        let offset = end.saturating_add(align - 1) / align * align;
        end = offset.saturating_add(size);
        vars.push(KconfigVar { id, name: ext.name.clone(), ty, weak: ext.weak, offset, size });
    }
    (end, vars)
}
