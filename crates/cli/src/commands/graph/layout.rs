//! Where everything of a graph goes: objects in columns, callers left of what they call.
//!
//! Between the steps of [`Layout::new`]:
//! * blocks: every object that is reached is one; what it wants in vain is one more, beside it.
//! * columns: a block stands right of all that refer to it, but for circles.
//! * sizes: a function has a line for every reference that leaves its block; references within a block
//!   run in lanes on its left, one lane for each target.
//! * places: from left to right, in the order in which blocks are first referred to.

use std::collections::BTreeMap;

use bpfweld::link::graph::{Graph, GraphEdge, GraphEdgeKind, GraphNodeKind, NodeId};

use super::{edge_label, node_note, shortened};

/// Everything in pixels.
const MARGIN: i64 = 24;
const HEADER: i64 = 40;
const NODE: i64 = 32;
const LINE: i64 = 20;
const BETWEEN_NODES: i64 = 12;
const BETWEEN_BLOCKS: i64 = 28;
const PAD: i64 = 18;
const LANE: i64 = 10;
/// Room for the bends between two columns, beside the labels.
const BENDS: i64 = 96;

/// Where everything goes.
pub(super) struct Layout {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) blocks: Vec<Block>,
    pub(super) nodes: BTreeMap<NodeId, Rect>,
    pub(super) wires: Vec<Wire>,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) w: i64,
    pub(super) h: i64,
}

/// A box around the nodes of an object, or around what it wants in vain.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) title: String,
    pub(super) unresolved: bool,
    pub(super) nodes: Vec<NodeId>,
    pub(super) rect: Rect,
    column: usize,
    /// Targets of references within the block; the place is the lane.
    lanes: Vec<NodeId>,
    /// Width of the labels of these references.
    labels: i64,
}

/// A line.
#[derive(Debug)]
pub(super) struct Wire {
    /// Index of the edge.
    pub(super) edge: usize,
    /// An SVG path.
    pub(super) path: String,
    /// Where its label begins.
    pub(super) label: Option<(i64, i64, String)>,
}

/// Width of a text in the drawing's 12 pixel monospace font.
pub(super) fn text_width(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX / 64) * 15 / 2
}

/// The same in 10 pixels.
pub(super) fn small_width(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX / 64) * 25 / 4
}

impl Layout {
    pub(super) fn new(graph: &Graph) -> Self {
        let mut blocks = blocks(graph);
        let home: BTreeMap<NodeId, usize> = blocks
            .iter()
            .enumerate()
            .flat_map(|(b, block)| block.nodes.iter().map(move |node| (*node, b)))
            .collect();
        columns(graph, &mut blocks, &home);
        let mut placer = Placer { graph, home: &home, nodes: BTreeMap::new() };
        let (width, height) = placer.place(&mut blocks);
        let nodes = placer.nodes;
        let wires = wires(graph, &blocks, &home, &nodes);
        Self { width, height, blocks, nodes, wires }
    }
}

impl Block {
    /// From its border to its nodes.
    fn left(&self) -> i64 {
        PAD + self.labels + LANE * i64::try_from(self.lanes.len()).unwrap_or(0)
    }
}

fn blocks(graph: &Graph) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (o, object) in graph.objects.iter().enumerate() {
        let ids = || (0..object.nodes.len()).map(|n| (o, n));
        let in_vain = |id: &NodeId| {
            graph.node(*id).is_some_and(|n| matches!(n.kind, GraphNodeKind::Unresolved { .. }))
        };
        let (missing, own): (Vec<_>, Vec<_>) = ids().partition(in_vain);
        let block = |title: &str, unresolved, nodes| Block {
            title: shortened(title),
            unresolved,
            nodes,
            rect: Rect::default(),
            column: 0,
            lanes: Vec::new(),
            labels: 0,
        };
        if !own.is_empty() {
            blocks.push(block(&object.label, false, own));
        }
        if !missing.is_empty() {
            blocks.push(block("nothing is bound", true, missing));
        }
    }
    blocks
}

/// Longest way from the first block, by edges that close no circle.
fn columns(graph: &Graph, blocks: &mut [Block], home: &BTreeMap<NodeId, usize>) {
    let mut to: Vec<Vec<usize>> = vec![Vec::new(); blocks.len()];
    for edge in &graph.edges {
        if let (Some(&a), Some(&b)) = (home.get(&edge.from), home.get(&edge.to)) {
            if a == b {
                let Some(block) = blocks.get_mut(a) else { continue };
                if !block.lanes.contains(&edge.to) {
                    block.lanes.push(edge.to);
                }
                let label = inner_label(edge).map_or(0, |text| small_width(&text) + 6);
                block.labels = block.labels.max(label);
            } else if !to[a].contains(&b) {
                to[a].push(b);
            }
        }
    }
    // The nearer the target, the nearer its lane.
    for block in blocks.iter_mut() {
        let distance = |to: &NodeId| {
            let into = graph.edges.iter().filter(|e| e.to == *to && e.from.0 == to.0);
            into.map(|e| e.from.1.abs_diff(to.1)).min()
        };
        block.lanes.sort_by_key(distance);
    }
    // In this order every block comes before those that it refers to, circles left out.
    let mut order = Vec::new();
    let mut state = vec![0u8; blocks.len()];
    let mut forward: Vec<(usize, usize)> = Vec::new();
    for start in 0..blocks.len() {
        let mut stack = vec![(start, 0)];
        while let Some((at, next)) = stack.pop() {
            if next == 0 && std::mem::replace(&mut state[at], 1) != 0 {
                continue;
            }
            match to[at].get(next) {
                Some(&target) => {
                    stack.push((at, next + 1));
                    if state[target] != 1 {
                        forward.push((at, target));
                    }
                    if state[target] == 0 {
                        stack.push((target, 0));
                    }
                }
                None => {
                    state[at] = 2;
                    order.push(at);
                }
            }
        }
    }
    for at in order.into_iter().rev() {
        let column = blocks[at].column + 1;
        for (_, target) in forward.iter().filter(|(from, _)| *from == at) {
            blocks[*target].column = blocks[*target].column.max(column);
        }
    }
}

/// What stands at an edge within a block: that an address is taken, its dots say.
fn inner_label(edge: &GraphEdge) -> Option<String> {
    match edge.kind {
        GraphEdgeKind::Address => None,
        ref kind => edge_label(kind),
    }
}

struct Placer<'a> {
    graph: &'a Graph,
    home: &'a BTreeMap<NodeId, usize>,
    nodes: BTreeMap<NodeId, Rect>,
}

impl Placer<'_> {
    /// Edges of a node that leave its block.
    fn leaving(&self, node: NodeId) -> impl Iterator<Item = &GraphEdge> {
        self.graph
            .edges
            .iter()
            .filter(move |e| e.from == node && self.home.get(&e.to) != self.home.get(&node))
    }

    fn place(&mut self, blocks: &mut [Block]) -> (i64, i64) {
        let sizes: Vec<(i64, i64)> = blocks.iter().map(|block| self.size(block)).collect();
        let count = blocks.iter().map(|b| b.column + 1).max().unwrap_or(0);
        let mut x = MARGIN;
        let (mut width, mut tallest) = (0, 0);
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (b, block) in blocks.iter().enumerate() {
            columns[block.column].push(b);
        }
        for column in &mut columns {
            let first_edge = |b: &usize| {
                let into = |e: &GraphEdge| {
                    self.home.get(&e.to) == Some(b) && self.home.get(&e.from) != Some(b)
                };
                self.graph.edges.iter().position(into).unwrap_or(usize::MAX)
            };
            column.sort_by_key(|b| (first_edge(b), *b));
            let height: i64 = column.iter().map(|&b| sizes[b].1 + BETWEEN_BLOCKS).sum();
            tallest = tallest.max(height - BETWEEN_BLOCKS);
        }
        for column in &columns {
            let height: i64 = column.iter().map(|&b| sizes[b].1 + BETWEEN_BLOCKS).sum();
            let mut y = MARGIN + (tallest - (height - BETWEEN_BLOCKS)) / 2;
            let widest = column.iter().map(|&b| sizes[b].0).max().unwrap_or(0);
            let mut labels = 0;
            for &b in column {
                let (_, h) = sizes[b];
                let block = &mut blocks[b];
                block.rect = Rect { x, y, w: widest, h };
                let left = block.left();
                let mut top = y + HEADER;
                for &node in &block.nodes {
                    let h = self.node_height(node);
                    let rect = Rect { x: x + left, y: top, w: widest - left - PAD, h };
                    self.nodes.insert(node, rect);
                    top += h + BETWEEN_NODES;
                    let label =
                        |e: &GraphEdge| small_width(&edge_label(&e.kind).unwrap_or_default());
                    labels = labels.max(self.leaving(node).map(label).max().unwrap_or(0));
                }
                y += h + BETWEEN_BLOCKS;
            }
            width = x + widest + MARGIN;
            x += widest + labels + BENDS;
        }
        (width, tallest + 2 * MARGIN)
    }

    fn node_height(&self, node: NodeId) -> i64 {
        let lines = i64::try_from(self.leaving(node).count()).unwrap_or(0);
        NODE.max(lines * LINE + 8)
    }

    fn size(&self, block: &Block) -> (i64, i64) {
        let mut width = text_width(&block.title);
        let mut height = HEADER + PAD - BETWEEN_NODES;
        for &id in &block.nodes {
            height += self.node_height(id) + BETWEEN_NODES;
            let Some(node) = self.graph.node(id) else { continue };
            let note = node_note(&node.kind);
            let inner = text_width(&shortened(&node.name)) + small_width(&note);
            width = width.max(inner + if note.is_empty() { 28 } else { 44 });
        }
        (width + PAD + block.left(), height)
    }
}

fn wires(
    graph: &Graph,
    blocks: &[Block],
    home: &BTreeMap<NodeId, usize>,
    nodes: &BTreeMap<NodeId, Rect>,
) -> Vec<Wire> {
    // Of each node, the edges that leave its block, from top to bottom by where they go.
    let mut ports: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    for (i, edge) in graph.edges.iter().enumerate() {
        if home.get(&edge.from) != home.get(&edge.to) {
            ports.entry(edge.from).or_default().push(i);
        }
    }
    let middle = |id: NodeId| nodes.get(&id).map_or(0, |r| r.y + r.h / 2);
    for list in ports.values_mut() {
        list.sort_by_key(|&i| graph.edges.get(i).map(|e| (middle(e.to), i)));
    }
    let wire = |(i, edge): (usize, &GraphEdge)| {
        let (from, to) = (nodes.get(&edge.from)?, nodes.get(&edge.to)?);
        let (a, b) = (*home.get(&edge.from)?, *home.get(&edge.to)?);
        if a == b {
            let block = blocks.get(a)?;
            let lane = block.lanes.iter().position(|n| *n == edge.to)?;
            let x = from.x - block.labels - LANE - LANE * i64::try_from(lane).ok()?;
            // Below the middle out, above it in: so they do not meet at a node that has both.
            let (y0, y1) = (from.y + from.h / 2 + 6, to.y + to.h / 2 - 4);
            let bend = 5.min((y1 - y0).abs() / 2) * (y1 - y0).signum();
            let round = bend.abs();
            let path = format!(
                "M{} {y0}H{}Q{x} {y0} {x} {}V{}Q{x} {y1} {} {y1}H{}",
                from.x,
                x + round,
                y0 + bend,
                y1 - bend,
                x + round,
                to.x - 2
            );
            let label = inner_label(edge);
            let label = label.map(|text| (to.x - small_width(&text) - 6, y1 - 4, text));
            return Some(Wire { edge: i, path, label });
        }
        let label = edge_label(&edge.kind);
        let list = ports.get(&edge.from)?;
        let place = i64::try_from(list.iter().position(|p| *p == i)?).ok()?;
        let count = i64::try_from(list.len()).ok()?;
        let y0 = from.y + from.h / 2 - (count - 1) * LINE / 2 + place * LINE;
        let y1 = to.y + to.h / 2;
        let x0 = from.x + from.w;
        let start = x0 + PAD + 6;
        let after = start + label.as_deref().map_or(0, small_width) + 4;
        let end = to.x - 2;
        let pull = ((end - after).abs() / 2).max(40);
        let path =
            format!("M{x0} {y0}H{after}C{} {y0} {} {y1} {end} {y1}", after + pull, end - pull);
        Some(Wire { edge: i, path, label: label.map(|text| (start, y0 - 4, text)) })
    };
    graph.edges.iter().enumerate().filter_map(wire).collect()
}

#[cfg(test)]
mod tests {
    use bpfweld::link::graph::{GraphEdgeKind, GraphNode, GraphObject};

    use super::*;
    use crate::commands::graph::tests::sample;

    fn overlap(a: Rect, b: Rect) -> bool {
        a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
    }

    fn holds(graph: &Graph) {
        let layout = Layout::new(graph);
        let nodes: usize = graph.objects.iter().map(|o| o.nodes.len()).sum();
        assert_eq!(layout.nodes.len(), nodes);
        assert_eq!(layout.wires.len(), graph.edges.len());
        let page = Rect { x: 0, y: 0, w: layout.width, h: layout.height };
        for (i, block) in layout.blocks.iter().enumerate() {
            let inside = |inner: Rect, outer: Rect| {
                inner.x >= outer.x
                    && inner.y >= outer.y
                    && inner.x + inner.w <= outer.x + outer.w
                    && inner.y + inner.h <= outer.y + outer.h
            };
            assert!(inside(block.rect, page), "{:?} in {page:?}", block.rect);
            assert!(layout.blocks[..i].iter().all(|other| !overlap(other.rect, block.rect)));
            for (n, node) in block.nodes.iter().enumerate() {
                assert!(inside(layout.nodes[node], block.rect));
                let others = &block.nodes[..n];
                assert!(others.iter().all(|o| !overlap(layout.nodes[o], layout.nodes[node])));
            }
        }
    }

    #[test]
    fn nothing_lies_on_anything_else() {
        holds(&sample("a.o"));
        holds(&sample(&"long ".repeat(100)));
        holds(&Graph::default());
    }

    #[test]
    fn callers_stand_left_of_what_they_call_and_circles_end() {
        let object = |i: usize| GraphObject {
            label: format!("o{i}"),
            name: String::new(),
            nodes: vec![GraphNode { name: "f".into(), kind: GraphNodeKind::Function }; 3],
        };
        let edge = |from: usize, to: usize| GraphEdge {
            from: (from, 0),
            to: (to, 1),
            kind: GraphEdgeKind::Binding("x".into()),
        };
        let graph = Graph {
            objects: (0..5).map(object).collect(),
            // 0 calls 1 and 3, 1 calls 2, 2 calls 3 and, in a circle, 0 and itself.
            edges: vec![edge(0, 3), edge(0, 1), edge(1, 2), edge(2, 3), edge(2, 0), edge(2, 2)],
        };
        holds(&graph);
        let layout = Layout::new(&graph);
        let x = |b: usize| layout.blocks[b].rect.x;
        assert!(x(0) < x(1) && x(1) < x(2) && x(2) < x(3));
        assert_eq!(x(4), x(0));
    }
}
