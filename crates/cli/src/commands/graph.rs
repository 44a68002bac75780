//! `bpfweld graph`: objects, functions, calls, bindings and maps as a drawing. Needs no kernel.
//!
//! | module | what lives there |
//! |---|---|
//! | `text` | DOT and Mermaid, which other programs lay out |
//! | `layout` | where everything goes |
//! | `svg` | the drawing |
//!
//! Names are out of files: each format has its own way to keep them from meaning anything.

mod layout;
mod svg;
mod text;

use std::io::{self, Write};
use std::path::Path;

use bpfweld::LinkOptions;
use bpfweld::link::graph::{Graph, GraphEdgeKind, GraphNodeKind};

use crate::args::{GraphArgs, GraphFormat};
use crate::error::Failure;
use crate::output;
use crate::session::Session;

/// Characters of a name that are shown.
const MAX_NAME: usize = 48;

/// `bpfweld graph`.
pub(crate) fn graph(args: &GraphArgs) -> Result<(), Failure> {
    let session = Session::new(&args.link)?;
    let request = session.request();
    // CO-RE records wait for a kernel: nothing here is about offsets.
    let linked = request.open()?.link(&LinkOptions::default()).map_err(bpfweld::Error::from)?;
    let entries = request.entries(&linked)?;
    let graph = Graph::new(&linked, &entries);
    let drawing = match args.format() {
        GraphFormat::Svg => svg::draw(&graph),
        GraphFormat::Dot => text::dot(&graph),
        GraphFormat::Mermaid => text::mermaid(&graph),
    };
    let unresolved = graph.objects.iter().flat_map(|object| {
        let externs = object.nodes.iter();
        let externs = externs.filter(|n| n.kind == GraphNodeKind::Unresolved { weak: false });
        externs.map(|node| format!("extern `{}` of {} is unresolved", node.name, object.label))
    });
    output::warn(&unresolved.collect::<Vec<_>>());
    match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => std::fs::write(path, drawing).map_err(|error| {
            Failure::new(format!("cannot write {}: {error}", path.display())).code("E0002")
        }),
        None => {
            let mut out = io::stdout().lock();
            out.write_all(drawing.as_bytes())?;
            Ok(out.flush()?)
        }
    }
}

/// What stands at an edge.
fn edge_label(kind: &GraphEdgeKind) -> Option<String> {
    match kind {
        GraphEdgeKind::Binding(name) | GraphEdgeKind::Share(name) => Some(shortened(name)),
        GraphEdgeKind::Slot(slot) => Some(format!("[{slot}]")),
        GraphEdgeKind::Address => Some("callback".into()),
        GraphEdgeKind::Call | GraphEdgeKind::Use => None,
    }
}

/// What stands beside a node's name.
fn node_note(kind: &GraphNodeKind) -> String {
    match kind {
        GraphNodeKind::Program(section) => shortened(section),
        GraphNodeKind::Function => String::new(),
        GraphNodeKind::Map(kind) => {
            bpfweld::kernel::facts::map_type_name(*kind).to_lowercase().replace('_', " ")
        }
        GraphNodeKind::Data => "variables".into(),
        GraphNodeKind::Unresolved { weak: true } => "weak, unresolved".into(),
        GraphNodeKind::Unresolved { weak: false } => "unresolved".into(),
    }
}

/// A name as it is shown: cut, and without what cannot be seen.
fn shortened(name: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = name.chars().take(MAX_NAME).map(visible).collect();
    if name.chars().nth(MAX_NAME).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
pub(super) mod tests {
    use bpfweld::link::graph::{GraphEdge, GraphNode, GraphObject};

    use super::*;

    /// A root that calls through two externs, one of them unresolved, and a map; with names that mean
    /// something in every format.
    pub(super) fn sample(name: &str) -> Graph {
        let node = |name: &str, kind| GraphNode { name: name.into(), kind };
        let root = GraphObject {
            label: "root.o".into(),
            name: "root.o".into(),
            nodes: vec![
                node("root", GraphNodeKind::Program("xdp".into())),
                node("gone", GraphNodeKind::Unresolved { weak: false }),
            ],
        };
        let other = GraphObject {
            label: name.into(),
            name: name.into(),
            nodes: vec![
                node(name, GraphNodeKind::Program(name.into())),
                node("inner", GraphNodeKind::Function),
                node("seen", GraphNodeKind::Map(2)),
            ],
        };
        let edge = |from, to, kind| GraphEdge { from, to, kind };
        Graph {
            objects: vec![root, other],
            edges: vec![
                edge((0, 0), (1, 0), GraphEdgeKind::Binding(name.into())),
                edge((0, 0), (0, 1), GraphEdgeKind::Binding("gone".into())),
                edge((1, 0), (1, 1), GraphEdgeKind::Call),
                edge((1, 1), (1, 2), GraphEdgeKind::Use),
            ],
        }
    }

    #[test]
    fn names_are_cut_and_have_no_control_characters() {
        assert_eq!(shortened("a\x1b[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(shortened(&"x".repeat(1000)).chars().count(), MAX_NAME + 1);
    }
}
