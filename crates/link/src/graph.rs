//! What calls what, across the objects of a link: [`Graph`], for drawing. Says what is unresolved
//! instead of failing for it.

use std::collections::{BTreeMap, BTreeSet};

use bpfweld_object::{
    DataId, DataKind, ExternId, ExternKind, FuncId, MapId, Object, RelocTarget, SlotValue,
};

use crate::image::InstanceId;
use crate::resolve::{Entry, Linked, Resolution};

/// The functions that some entry programs reach, and what they refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The instances of the link, by [`InstanceId`]; those that nothing reaches have no nodes.
    pub objects: Vec<GraphObject>,
    /// References, each once, in the order of the functions and of their instructions.
    pub edges: Vec<GraphEdge>,
}

/// An instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphObject {
    /// Its label.
    pub label: String,
    /// Where the object is from, if the label does not say.
    pub name: String,
    /// Functions, maps and unresolved externs; functions come first, externs last.
    pub nodes: Vec<GraphNode>,
}

/// Something in an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: GraphNodeKind,
}

/// What a [`GraphNode`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphNodeKind {
    /// An entry program; its section.
    Program(String),
    /// Any other function.
    Function,
    /// A map; its `enum bpf_map_type`.
    Map(u32),
    /// A section of variables.
    Data,
    /// A function extern that nothing stands behind, or that two definitions do.
    Unresolved {
        /// May it be missing?
        weak: bool,
    },
}

/// A node: an instance, and the place in its list.
pub type NodeId = (usize, usize);

/// A reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphEdge {
    /// A function, or a map whose slots hold something.
    pub from: NodeId,
    /// What it refers to.
    pub to: NodeId,
    /// How.
    pub kind: GraphEdgeKind,
}

/// How a node refers to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GraphEdgeKind {
    /// A call in an object.
    Call,
    /// A call through an extern of this name.
    Binding(String),
    /// Its address is taken, for a callback.
    Address,
    /// It uses a map or variables of its own.
    Use,
    /// It uses a map or variable of another object, by this name.
    Share(String),
    /// A slot of a prog array or map of maps.
    Slot(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Function(FuncId),
    Map(MapId),
    Data(DataId),
    Extern(ExternId),
}

type Place = (InstanceId, Key);

impl Graph {
    /// Follows entry programs.
    pub fn new(linked: &Linked, entries: &[Entry]) -> Self {
        let mut seen: BTreeSet<Place> = BTreeSet::new();
        let mut edges: Vec<(Place, Place, GraphEdgeKind)> = Vec::new();
        let mut work: Vec<Place> =
            entries.iter().rev().map(|e| (e.instance, Key::Function(e.function))).collect();
        while let Some(place) = work.pop() {
            if !seen.insert(place) {
                continue;
            }
            let first = edges.len();
            references(linked, place, &mut edges);
            work.extend(edges.iter().skip(first).rev().map(|(_, to, _)| *to));
        }
        // In an object: functions, maps, data, externs, each as the object has them.
        let mut nodes: BTreeMap<Place, NodeId> = BTreeMap::new();
        let mut objects: Vec<GraphObject> = Vec::new();
        for (at, instance) in (0..).map(InstanceId).zip(linked.instances()) {
            let keys = seen.iter().filter(|(i, _)| *i == at).map(|(_, key)| *key);
            let mut object = GraphObject {
                label: instance.label.clone(),
                name: instance.object.name.clone(),
                nodes: Vec::new(),
            };
            for key in keys {
                let Some(node) = node(&instance.object, key) else { continue };
                nodes.insert((at, key), (at.index(), object.nodes.len()));
                object.nodes.push(node);
            }
            objects.push(object);
        }
        let mut once = BTreeSet::new();
        let edges = edges.into_iter().filter_map(|(from, to, kind)| {
            let edge = GraphEdge { from: *nodes.get(&from)?, to: *nodes.get(&to)?, kind };
            once.insert((edge.from, edge.to, edge.kind.clone())).then_some(edge)
        });
        Self { edges: edges.collect(), objects }
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&GraphNode> {
        self.objects.get(id.0)?.nodes.get(id.1)
    }
}

fn node(object: &Object, key: Key) -> Option<GraphNode> {
    Some(match key {
        Key::Function(id) => {
            let function = object.functions.get(id.index())?;
            let kind = match function.program {
                Some(_) => GraphNodeKind::Program(function.section.to_string()),
                None => GraphNodeKind::Function,
            };
            GraphNode { name: function.name.clone(), kind }
        }
        Key::Map(id) => {
            let map = object.maps.get(id.index())?;
            GraphNode { name: map.name.clone(), kind: GraphNodeKind::Map(map.map_type) }
        }
        Key::Data(id) => {
            let data = object.data.get(id.index())?;
            GraphNode { name: data.name.clone(), kind: GraphNodeKind::Data }
        }
        Key::Extern(id) => {
            let ext = object.externs.get(id.index())?;
            let kind = GraphNodeKind::Unresolved { weak: ext.weak };
            GraphNode { name: ext.name.clone(), kind }
        }
    })
}

/// What a function or map refers to.
fn references(linked: &Linked, from: Place, edges: &mut Vec<(Place, Place, GraphEdgeKind)>) {
    let (at, key) = from;
    let Some(object) = linked.instances.get(at.index()).map(|i| &i.object) else { return };
    // Constants are no state that anyone shares.
    let data = |of: &Object, id: DataId| {
        let section = of.data.get(id.index());
        section.is_some_and(|d| d.kind != DataKind::Rodata).then_some(Key::Data(id))
    };
    match key {
        Key::Function(id) => {
            for reloc in object.functions.get(id.index()).into_iter().flat_map(|f| &f.relocs) {
                let own = |key| ((at, key), GraphEdgeKind::Use);
                let found = match reloc.target {
                    RelocTarget::Call(to) => Some(((at, Key::Function(to)), GraphEdgeKind::Call)),
                    RelocTarget::FuncAddr(to) => {
                        Some(((at, Key::Function(to)), GraphEdgeKind::Address))
                    }
                    RelocTarget::Map(map) | RelocTarget::Arena { map: Some(map), .. } => {
                        Some(own(Key::Map(map)))
                    }
                    RelocTarget::Data { data: id, .. } => data(object, id).map(own),
                    RelocTarget::JumpTable { .. } | RelocTarget::Arena { map: None, .. } => None,
                    RelocTarget::CallExtern(id) | RelocTarget::ExternAddr { id, .. } => {
                        through_extern(linked, at, object, id, &data)
                    }
                };
                edges.extend(found.map(|(to, kind)| (from, to, kind)));
            }
        }
        Key::Map(id) => {
            for (slot, value) in object.maps.get(id.index()).into_iter().flat_map(|m| &m.values) {
                let to = match *value {
                    SlotValue::Map(map) => Key::Map(map),
                    SlotValue::Program(function) => Key::Function(function),
                };
                edges.push((from, (at, to), GraphEdgeKind::Slot(*slot)));
            }
        }
        Key::Data(_) | Key::Extern(_) => {}
    }
}

fn through_extern(
    linked: &Linked,
    at: InstanceId,
    object: &Object,
    id: ExternId,
    data: &impl Fn(&Object, DataId) -> Option<Key>,
) -> Option<(Place, GraphEdgeKind)> {
    let ext = object.externs.get(id.index())?;
    let name = || ext.name.clone();
    Some(match linked.resolution(at, id)? {
        Resolution::Function(to, function) => {
            ((*to, Key::Function(*function)), GraphEdgeKind::Binding(name()))
        }
        Resolution::Map(to, map) => ((*to, Key::Map(*map)), GraphEdgeKind::Share(name())),
        Resolution::Variable(to, section, _) => {
            let of = &linked.instances.get(to.index())?.object;
            ((*to, data(of, *section)?), GraphEdgeKind::Share(name()))
        }
        Resolution::Absent | Resolution::Unresolved | Resolution::Ambiguous(..)
            if ext.kind == ExternKind::Function =>
        {
            ((at, Key::Extern(id)), GraphEdgeKind::Binding(name()))
        }
        _ => return None,
    })
}
