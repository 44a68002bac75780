//! DOT (graphviz.org) and Mermaid (mermaid.js.org).

use std::fmt::Write as _;

use bpfweld::link::graph::{Graph, GraphEdgeKind, GraphNodeKind};

use super::{edge_label, node_note, shortened};

/// The graph in DOT.
pub(super) fn dot(graph: &Graph) -> String {
    let mut out = String::from(
        "digraph bpfweld {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=monospace];\n  \
         edge [fontname=monospace, fontsize=11];\n",
    );
    for (o, object) in graph.objects.iter().enumerate().filter(|(_, o)| !o.nodes.is_empty()) {
        // Writing into a string cannot fail, here and below.
        let _ = writeln!(out, "  subgraph cluster_{o} {{\n    label={};", quoted(&object.label));
        for (n, node) in object.nodes.iter().enumerate() {
            let note = node_note(&node.kind);
            let gap = if note.is_empty() { "" } else { "\n" };
            let label = quoted(&format!("{}{gap}{note}", shortened(&node.name)));
            let style = match node.kind {
                GraphNodeKind::Program(_) => ", penwidth=2",
                GraphNodeKind::Function => "",
                GraphNodeKind::Map(_) | GraphNodeKind::Data => ", shape=cylinder, style=solid",
                GraphNodeKind::Unresolved { .. } => ", color=red, fontcolor=red, style=dashed",
            };
            let _ = writeln!(out, "    n{o}_{n} [label={label}{style}];");
        }
        out.push_str("  }\n");
    }
    for edge in &graph.edges {
        let ((a, b), (c, d)) = (edge.from, edge.to);
        let label = edge_label(&edge.kind).map(|label| format!("label={}", quoted(&label)));
        let style = match edge.kind {
            _ if is_unresolved(graph, edge.to) => Some("color=red, fontcolor=red".to_owned()),
            GraphEdgeKind::Use | GraphEdgeKind::Share(_) | GraphEdgeKind::Slot(_) => {
                Some("style=dashed".to_owned())
            }
            GraphEdgeKind::Address => Some("style=dotted".to_owned()),
            GraphEdgeKind::Binding(_) => Some("penwidth=2".to_owned()),
            GraphEdgeKind::Call => None,
        };
        let attributes: Vec<_> = label.into_iter().chain(style).collect();
        let _ = writeln!(out, "  n{a}_{b} -> n{c}_{d} [{}];", attributes.join(", "));
    }
    out.push_str("}\n");
    out
}

/// A DOT string: in it only `\` and `"` mean something.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The graph in Mermaid.
pub(super) fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    for (o, object) in graph.objects.iter().enumerate().filter(|(_, o)| !o.nodes.is_empty()) {
        let _ = writeln!(out, "  subgraph o{o}[\"{}\"]", coded(&object.label));
        for (n, node) in object.nodes.iter().enumerate() {
            let note = node_note(&node.kind);
            let gap = if note.is_empty() { "" } else { "<br/>" };
            let label = format!("{}{gap}{}", coded(&shortened(&node.name)), coded(&note));
            let (open, close) = match node.kind {
                GraphNodeKind::Program(_) => ("([\"", "\"])"),
                GraphNodeKind::Map(_) | GraphNodeKind::Data => ("[(\"", "\")]"),
                _ => ("[\"", "\"]"),
            };
            let class = match node.kind {
                GraphNodeKind::Unresolved { .. } => ":::unresolved",
                _ => "",
            };
            let _ = writeln!(out, "    n{o}_{n}{open}{label}{close}{class}");
        }
        out.push_str("  end\n");
    }
    let mut red = Vec::new();
    for (i, edge) in graph.edges.iter().enumerate() {
        let ((a, b), (c, d)) = (edge.from, edge.to);
        let label = edge_label(&edge.kind)
            .map_or_else(String::new, |label| format!("|\"{}\"|", coded(&label)));
        let arrow = match edge.kind {
            GraphEdgeKind::Binding(_) => "==>",
            GraphEdgeKind::Call => "-->",
            _ => "-.->",
        };
        let _ = writeln!(out, "  n{a}_{b} {arrow}{label} n{c}_{d}");
        if is_unresolved(graph, edge.to) {
            red.push(i.to_string());
        }
    }
    if !red.is_empty() {
        out.push_str("  classDef unresolved stroke:#c00,color:#c00,stroke-dasharray:4 3\n");
        let _ = writeln!(out, "  linkStyle {} stroke:#c00,color:#c00", red.join(","));
    }
    out
}

/// Text in a Mermaid string: all but plain characters by their numbers.
fn coded(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || " _./:-,[]".contains(c) {
            out.push(c);
        } else {
            let c = if c.is_control() { '\u{fffd}' } else { c };
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}

fn is_unresolved(graph: &Graph, node: (usize, usize)) -> bool {
    graph.node(node).is_some_and(|n| matches!(n.kind, GraphNodeKind::Unresolved { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::graph::tests::sample;

    #[test]
    fn dot_as_it_is_written() {
        let text = dot(&sample("a.o"));
        for line in [
            "  subgraph cluster_1 {\n    label=\"a.o\";",
            "    n0_0 [label=\"root\\nxdp\", penwidth=2];",
            "    n0_1 [label=\"gone\\nunresolved\", color=red, fontcolor=red, style=dashed];",
            "    n1_2 [label=\"seen\\narray\", shape=cylinder, style=solid];",
            "  n0_0 -> n1_0 [label=\"a.o\", penwidth=2];",
            "  n0_0 -> n0_1 [label=\"gone\", color=red, fontcolor=red];",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn mermaid_as_it_is_written() {
        let text = mermaid(&sample("a.o"));
        for line in [
            "  subgraph o1[\"a.o\"]",
            "    n0_0([\"root<br/>xdp\"])",
            "    n1_2[(\"seen<br/>array\")]",
            "    n0_1[\"gone<br/>unresolved\"]:::unresolved",
            "  n0_0 ==>|\"gone\"| n0_1",
            "  linkStyle 1 stroke:#c00,color:#c00",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn names_stay_names() {
        let evil = "\"]; evil [\\\n<script>&#x41;|end";
        let text = dot(&sample(evil));
        assert!(!text.contains("\n<script") && !text.contains("]; evil [\\\n"), "{text}");
        for line in text.lines() {
            // Quotes that no backslash is before come in pairs.
            let plain = line.replace("\\\\", "").replace("\\\"", "");
            assert!(plain.matches('"').count().is_multiple_of(2), "{line}");
        }
        let text = mermaid(&sample(evil));
        assert!(!text.contains("<script") && !text.contains("&#x41;") && !text.contains("|end"));
        assert!(text.lines().all(|l| l.matches('"').count().is_multiple_of(2)), "{text}");
    }
}
