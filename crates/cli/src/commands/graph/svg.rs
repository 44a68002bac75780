//! The drawing: SVG 1.1, with colours for light and dark pages.

use std::fmt::Write as _;

use bpfweld::link::graph::{Graph, GraphEdgeKind, GraphNodeKind};

use super::layout::{Layout, Rect, Wire, small_width};
use super::{node_note, shortened};

const STYLE: &str = "\
text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2328}
.small{font-size:10px;fill:#59636e}
.title{font-weight:bold}
.page{fill:#ffffff}
.block{fill:#f6f8fa;stroke:#d1d9e0}
.program{fill:#ddf4ff;stroke:#0969da;stroke-width:1.5}
.function{fill:#ffffff;stroke:#818b98}
.map{fill:#fff8c5;stroke:#9a6700}
.missing{fill:#ffebe9;stroke:#cf222e;stroke-dasharray:4 3}
.red,.small.red{fill:#cf222e}
path.wire{fill:none}
.binding{stroke:#0969da;stroke-width:1.6}
.call{stroke:#59636e;stroke-width:1.2}
.address{stroke:#59636e;stroke-width:1.2;stroke-dasharray:1 3}
.use{stroke:#9a6700;stroke-width:1.2;stroke-dasharray:5 3}
.unbound{stroke:#cf222e;stroke-width:1.6;stroke-dasharray:5 3}
.halo{fill:#ffffff;opacity:.85}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.page{fill:#0d1117}\
.block{fill:#151b23;stroke:#3d444d}.program{fill:#121d2f;stroke:#4493f8}\
.function{fill:#212830;stroke:#656c76}.map{fill:#272115;stroke:#d29922}\
.missing{fill:#25171c;stroke:#f85149}.red,.small.red{fill:#f85149}.binding{stroke:#4493f8}\
.call,.address{stroke:#9198a1}.use{stroke:#d29922}.unbound{stroke:#f85149}.halo{fill:#0d1117}}
";

/// Classes of wires; each has an arrow of its colour.
const WIRES: [(&str, &str); 5] = [
    ("binding", "#0969da"),
    ("call", "#59636e"),
    ("address", "#59636e"),
    ("use", "#9a6700"),
    ("unbound", "#cf222e"),
];
/// Pixels of the line that says what is what.
const LEGEND: i64 = 40;

/// The graph as SVG.
pub(super) fn draw(graph: &Graph) -> String {
    let layout = Layout::new(graph);
    let legend = Legend::new(graph);
    let (width, height) = (layout.width.max(legend.width), layout.height + LEGEND);
    let mut out = String::new();
    // Writing into a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">"
    );
    let names: Vec<_> = graph.objects.iter().map(|o| shortened(&o.label)).collect();
    let _ = writeln!(out, "<title>{}</title>", escaped(&names.join(", ")));
    let _ = writeln!(out, "<style>\n{STYLE}</style>\n<defs>");
    for (class, colour) in WIRES {
        let _ = writeln!(
            out,
            "<marker id=\"to-{class}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
             <path d=\"M0 0L8 4L0 8z\" fill=\"{colour}\"/></marker>"
        );
    }
    let _ = writeln!(out, "</defs>\n<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>");
    for block in &layout.blocks {
        let Rect { x, y, w, h } = block.rect;
        let (class, red) = if block.unresolved { ("missing", " red") } else { ("block", "") };
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"10\"/>\n\
             <text class=\"title{red}\" x=\"{}\" y=\"{}\">{}</text>",
            x + 18,
            y + 25,
            escaped(&block.title)
        );
    }
    for wire in &layout.wires {
        draw_wire(graph, wire, &mut out);
    }
    for (id, rect) in &layout.nodes {
        if let Some(node) = graph.node(*id) {
            draw_node(&node.name, &node.kind, *rect, &mut out);
        }
    }
    // Over everything, so that they can be read.
    for (x, y, text) in layout.wires.iter().filter_map(|w| w.label.as_ref()) {
        let _ = writeln!(
            out,
            "<rect class=\"halo\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"12\"/>\
             <text class=\"small\" x=\"{x}\" y=\"{y}\">{}</text>",
            x - 1,
            y - 9,
            small_width(text) + 2,
            escaped(text)
        );
    }
    legend.draw(layout.height, &mut out);
    out.push_str("</svg>\n");
    out
}

fn wire_class(graph: &Graph, edge: usize) -> &'static str {
    let Some(edge) = graph.edges.get(edge) else { return "call" };
    let to = graph.node(edge.to).map(|n| &n.kind);
    match (&edge.kind, to) {
        (_, Some(GraphNodeKind::Unresolved { .. })) => "unbound",
        (GraphEdgeKind::Binding(_), _) => "binding",
        (GraphEdgeKind::Call, _) => "call",
        (GraphEdgeKind::Address, _) => "address",
        (GraphEdgeKind::Use | GraphEdgeKind::Share(_) | GraphEdgeKind::Slot(_), _) => "use",
    }
}

fn draw_wire(graph: &Graph, wire: &Wire, out: &mut String) {
    let class = wire_class(graph, wire.edge);
    let _ = writeln!(
        out,
        "<path class=\"wire {class}\" d=\"{}\" marker-end=\"url(#to-{class})\"/>",
        wire.path
    );
}

fn draw_node(name: &str, kind: &GraphNodeKind, rect: Rect, out: &mut String) {
    let Rect { x, y, w, h } = rect;
    let (class, red) = match kind {
        GraphNodeKind::Program(_) => ("program", ""),
        GraphNodeKind::Function => ("function", ""),
        GraphNodeKind::Map(_) | GraphNodeKind::Data => ("map", ""),
        GraphNodeKind::Unresolved { .. } => ("missing", " red"),
    };
    let _ = write!(out, "<g><title>{}</title>", escaped(&shortened(name)));
    match kind {
        GraphNodeKind::Map(_) | GraphNodeKind::Data => {
            let _ = write!(out, "{}", cylinder(rect));
        }
        _ => {
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"6\"/>"
            );
        }
    }
    let weight = if matches!(kind, GraphNodeKind::Program(_)) { " title" } else { "" };
    let base = y + h / 2 + if class == "map" { 6 } else { 4 };
    let _ = write!(
        out,
        "<text class=\"name{weight}{red}\" x=\"{}\" y=\"{base}\">{}</text>",
        x + 12,
        escaped(&shortened(name))
    );
    let note = node_note(kind);
    if !note.is_empty() {
        let _ = write!(
            out,
            "<text class=\"small{red}\" x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
            x + w - 12,
            escaped(&note)
        );
    }
    out.push_str("</g>\n");
}

fn cylinder(Rect { x, y, w, h }: Rect) -> String {
    let r = w / 2;
    format!(
        "<path class=\"map\" d=\"M{x} {top}a{r} 5 0 0 1 {w} 0v{side}a{r} 5 0 0 1 -{w} 0z\"/>\
         <path class=\"map\" style=\"fill:none\" d=\"M{x} {top}a{r} 5 0 0 0 {w} 0\"/>",
        top = y + 5,
        side = h - 10
    )
}

/// What the colours mean, of those that are there.
struct Legend {
    parts: Vec<(&'static str, &'static str)>,
    width: i64,
}

impl Legend {
    fn new(graph: &Graph) -> Self {
        let all = [
            ("binding", "binding of an extern"),
            ("call", "call inside an object"),
            ("address", "address for a callback"),
            ("use", "use of a map"),
            ("unbound", "extern without a function"),
        ];
        let there = |class: &str| (0..graph.edges.len()).any(|e| wire_class(graph, e) == class);
        let parts: Vec<_> = all.into_iter().filter(|(class, _)| there(class)).collect();
        let width = parts.iter().map(|(_, text)| Self::step(text)).sum::<i64>() + 48;
        Self { parts, width }
    }

    fn step(text: &str) -> i64 {
        small_width(text) + 64
    }

    fn draw(&self, top: i64, out: &mut String) {
        let mut x = 24;
        let y = top + 12;
        for (class, text) in &self.parts {
            let _ = writeln!(
                out,
                "<path class=\"wire {class}\" d=\"M{x} {y}H{}\" marker-end=\"url(#to-{class})\"/>\
                 <text class=\"small\" x=\"{}\" y=\"{}\">{text}</text>",
                x + 32,
                x + 40,
                y + 3
            );
            x += Self::step(text);
        }
    }
}

/// Text in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What XML 1.0 does not take at all.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::graph::tests::sample;

    #[test]
    fn what_is_unresolved_is_red() {
        let text = draw(&sample("a.o"));
        assert!(text.contains("<path class=\"wire unbound\""));
        assert!(text.contains("<text class=\"name red\""), "{text}");
        assert!(text.contains(">extern without a function<"));
        assert!(!draw(&Graph::default()).contains("unbound\" d="));
    }

    #[test]
    fn names_stay_names() {
        let evil = "<script>\"&'\u{1}\u{ffff}]]></svg>";
        let text = draw(&sample(evil));
        assert!(!text.contains("<script") && !text.contains('\u{1}') && !text.contains('\u{ffff}'));
        assert_eq!(text.matches("</svg>").count(), 1);
        // Every `<` begins a tag of the drawing's own, every `&` an entity.
        for (at, _) in text.match_indices('<') {
            let rest = text[at + 1..].trim_start_matches('/');
            let tags = ["svg", "title", "style", "defs", "marker", "path", "rect", "g>", "text"];
            assert!(tags.iter().any(|tag| rest.starts_with(tag)), "{}", &rest[..20]);
        }
        for (at, _) in text.match_indices('&') {
            let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
            assert!(entities.iter().any(|e| text[at..].starts_with(e)));
        }
    }
}
