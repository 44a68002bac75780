//! Which functions an entry program needs, in which order, and whether the kernel's limits allow it.

use bpfweld_btf::Kind;
use bpfweld_object::{ExternId, ExternKind, FuncId, Function, Linkage, RelocTarget};
use foldhash::{HashMap, HashMapExt as _};

use crate::error::{FunctionRef, LinkError, Site};
use crate::image::InstanceId;
use crate::liveness;
use crate::resolve::{Entry, Instance, Linked, Resolution, check_types, kind_name};

/// The kernel's limit on functions in one program (`BPF_MAX_SUBPROGS`, linux/bpf_verifier.h).
const MAX_FUNCTIONS: usize = 256;
/// The kernel's limit on frames of one call path (`MAX_CALL_FRAMES`, linux/bpf_verifier.h).
const MAX_FRAMES: usize = 8;

/// The functions of one image.
///
/// Invariants: the entry function is the first; each (instance, function) is there once; all indices
/// in `edges` are valid; calls have no cycle and no path of more than [`MAX_FRAMES`] functions.
pub(crate) struct Plan {
    pub(crate) functions: Vec<Planned>,
    /// The function that the kernel calls when the program throws. Nothing in the program refers to
    /// it.
    pub(crate) exception_callback: Option<usize>,
    index: HashMap<(InstanceId, FuncId), usize>,
}

/// One function of an image.
pub(crate) struct Planned {
    pub(crate) instance: InstanceId,
    pub(crate) func: FuncId,
    /// One per relocation of the function that refers to code, by rising relocation index.
    pub(crate) edges: Vec<Edge>,
    /// Is its address taken for a callback? Then the kernel wants it static.
    pub(crate) callback: bool,
    /// The extern through which it was entered first, and by whom.
    pub(crate) bound_from: Option<(InstanceId, ExternId)>,
}

/// A reference from a function of the plan to another, or to nothing.
#[derive(Clone, Copy)]
pub(crate) struct Edge {
    /// Index into the function's relocations.
    pub(crate) reloc: usize,
    pub(crate) kind: EdgeKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EdgeKind {
    /// A call of that function of the plan.
    Call(usize),
    /// The address of that function of the plan.
    Address(usize),
    /// The address of a resolved extern, only ever compared with 0.
    Exists,
    /// A call of a weak extern that stayed unresolved.
    PoisonedCall(ExternId),
    /// The address of a weak extern that stayed unresolved.
    Null,
}

impl Plan {
    pub(crate) fn new(
        linked: &Linked,
        entry: Entry,
        warnings: &mut Vec<String>,
    ) -> Result<Self, LinkError> {
        let plan = collect(linked, entry, warnings)?;
        plan.check_calls(linked)?;
        Ok(plan)
    }

    /// No cycle and no call path that is too deep. Iterative: a hostile object may nest as deep as
    /// it has functions.
    fn check_calls(&self, linked: &Linked) -> Result<(), LinkError> {
        let names = |path: &[usize]| path.iter().map(|&i| self.name(linked, i)).collect::<Vec<_>>();
        // Height of the tallest call path from a function on, and the callee that it goes through.
        let mut height: Vec<Option<(usize, Option<usize>)>> = vec![None; self.functions.len()];
        let mut on_path = vec![false; self.functions.len()];
        let roots = 0..self.functions.len();
        for root in roots {
            // (function, next edge)
            let mut path: Vec<(usize, usize)> = vec![(root, 0)];
            if height.get(root).is_some_and(Option::is_some) {
                continue;
            }
            on_path[root] = true;
            while let Some(top) = path.last_mut() {
                let at = top.0;
                let Some(edge) = self.functions[at].edges.get(top.1) else {
                    height[at] = Some(self.tallest(at, &height));
                    on_path[at] = false;
                    path.pop();
                    continue;
                };
                top.1 += 1;
                let EdgeKind::Call(callee) = edge.kind else { continue };
                if on_path[callee] {
                    let from = path.iter().position(|p| p.0 == callee).unwrap_or(0);
                    let mut cycle: Vec<_> = path.iter().skip(from).map(|p| p.0).collect();
                    cycle.push(callee);
                    let hops = cycle.windows(2);
                    let sites = hops.filter_map(|hop| self.call_site(linked, hop[0], hop[1]));
                    return Err(LinkError::Cycle { path: names(&cycle), sites: sites.collect() });
                }
                if height[callee].is_none() {
                    on_path[callee] = true;
                    path.push((callee, 0));
                }
            }
        }
        let mut path = vec![0];
        while let Some(Some((_, Some(next)))) = path.last().and_then(|&at| height.get(at)) {
            path.push(*next);
        }
        match path.len() > MAX_FRAMES {
            true => Err(LinkError::TooManyFrames { path: names(&path), limit: MAX_FRAMES }),
            false => Ok(()),
        }
    }

    fn tallest(
        &self,
        at: usize,
        height: &[Option<(usize, Option<usize>)>],
    ) -> (usize, Option<usize>) {
        let mut best = (1, None);
        for edge in &self.functions[at].edges {
            if let EdgeKind::Call(callee) = edge.kind
                && let Some(Some((h, _))) = height.get(callee)
                && h + 1 > best.0
            {
                best = (h + 1, Some(callee));
            }
        }
        best
    }

    /// Where one function refers to another the first time.
    fn call_site(&self, linked: &Linked, from: usize, to: usize) -> Option<Site> {
        let planned = self.functions.get(from)?;
        let leads_there =
            |kind| matches!(kind, EdgeKind::Call(i) | EdgeKind::Address(i) if i == to);
        let edge = planned.edges.iter().find(|edge| leads_there(edge.kind))?;
        let instance = &linked.instances[planned.instance.index()];
        let function = instance.function(planned.func)?;
        let insn = function.relocs.get(edge.reloc)?.insn;
        Some(instance.site(function, insn))
    }

    /// Where a function is referred to the first time.
    pub(crate) fn first_site(&self, linked: &Linked, to: usize) -> Option<Box<Site>> {
        let mut callers = 0..self.functions.len();
        callers.find_map(|from| self.call_site(linked, from, to)).map(Box::new)
    }

    pub(crate) fn name(&self, linked: &Linked, index: usize) -> FunctionRef {
        let planned = &self.functions[index];
        linked.instances[planned.instance.index()].function_ref(planned.func)
    }
}

/// Walks from the entry over all references to code, in the order of the instructions.
fn collect(linked: &Linked, entry: Entry, warnings: &mut Vec<String>) -> Result<Plan, LinkError> {
    let mut plan = Plan { functions: Vec::new(), exception_callback: None, index: HashMap::new() };
    let mut missing = Vec::new();
    add(&mut plan, entry.instance, entry.function, None);
    if let Some(callback) = exception_callback(linked, entry)? {
        plan.exception_callback = Some(add(&mut plan, entry.instance, callback, None));
    }
    // `add` appends: this is a breadth-first walk with the list as its own queue.
    let mut at = 0;
    while at < plan.functions.len() {
        let (instance_id, func) = (plan.functions[at].instance, plan.functions[at].func);
        let instance = &linked.instances[instance_id.index()];
        let Some(function) = instance.function(func) else {
            return Err(LinkError::BrokenReference {
                function: instance.function_ref(func),
                insn: 0,
            });
        };
        let mut edges = Vec::new();
        for (reloc_index, reloc) in function.relocs.iter().enumerate() {
            let broken = || LinkError::BrokenReference {
                function: instance.function_ref(func),
                insn: reloc.insn,
            };
            let kind = match reloc.target {
                RelocTarget::Call(f) => EdgeKind::Call(add(&mut plan, instance_id, f, None)),
                RelocTarget::FuncAddr(f) => {
                    let to = add(&mut plan, instance_id, f, None);
                    plan.functions[to].callback = true;
                    EdgeKind::Address(to)
                }
                RelocTarget::CallExtern(id) | RelocTarget::ExternAddr { id, .. } => {
                    let ext = instance.extern_(id).ok_or_else(broken)?;
                    let is_call = matches!(reloc.target, RelocTarget::CallExtern(_));
                    let resolutions = &linked.resolutions[instance_id.index()];
                    match resolutions.get(id.index()).ok_or_else(broken)? {
                        Resolution::Function(to, f) => {
                            let target = &linked.instances[to.index()];
                            // A binding's agree already.
                            if !linked.bindings.contains_key(&(instance_id, id)) {
                                check_types(instance, id, ext, target, *f, warnings)?;
                            }
                            let via = Some((instance_id, id));
                            if is_call {
                                EdgeKind::Call(add(&mut plan, *to, *f, via))
                            } else if liveness::only_tested(
                                &function.insns,
                                reloc.insn as usize,
                                |slot| arity(instance, function, slot),
                            ) {
                                EdgeKind::Exists
                            } else {
                                let to = add(&mut plan, *to, *f, via);
                                plan.functions[to].callback = true;
                                EdgeKind::Address(to)
                            }
                        }
                        Resolution::Absent if is_call => EdgeKind::PoisonedCall(id),
                        Resolution::Absent => EdgeKind::Null,
                        Resolution::Map(..) | Resolution::Variable(..) if !is_call => continue,
                        Resolution::Backend
                            if !is_call || ext.kind == ExternKind::KernelFunction =>
                        {
                            continue;
                        }
                        // A call of something that is no function.
                        Resolution::Backend | Resolution::Map(..) | Resolution::Variable(..) => {
                            return Err(broken());
                        }
                        Resolution::Unresolved => {
                            if !missing.contains(&(instance_id, id)) {
                                missing.push((instance_id, id));
                            }
                            continue;
                        }
                        Resolution::Ambiguous(first, second) => {
                            let there = |i: &InstanceId| FunctionRef {
                                instance: linked.instances[i.index()].label.clone(),
                                function: ext.name.clone(),
                            };
                            return Err(LinkError::TwoDefinitions {
                                kind: kind_name(ext.kind),
                                instance: instance.label.clone(),
                                name: ext.name.clone(),
                                first: there(first),
                                second: there(second),
                            });
                        }
                    }
                }
                RelocTarget::Arena { map: None, .. } => {
                    return Err(LinkError::NoArena { function: plan.name(linked, at) });
                }
                RelocTarget::Map(_)
                | RelocTarget::Data { .. }
                | RelocTarget::Arena { .. }
                | RelocTarget::JumpTable { .. } => continue,
            };
            edges.push(Edge { reloc: reloc_index, kind });
        }
        plan.functions[at].edges = edges;
        at += 1;
    }
    if !missing.is_empty() {
        let all = missing.into_iter().filter_map(|(i, e)| linked.unresolved(i, e));
        return Err(LinkError::Unresolved(all.collect()));
    }
    if plan.functions.len() > MAX_FUNCTIONS {
        return Err(LinkError::TooManyFunctions {
            entry: plan.name(linked, 0),
            count: plan.functions.len(),
            limit: MAX_FUNCTIONS,
        });
    }
    Ok(plan)
}

/// The function that the entry's declaration tag `exception_callback:NAME` names.
fn exception_callback(linked: &Linked, entry: Entry) -> Result<Option<FuncId>, LinkError> {
    let Some(instance) = linked.instances.get(entry.instance.index()) else { return Ok(None) };
    let function = instance.function(entry.function);
    let typed = function.and_then(|f| f.btf_func).zip(instance.object.btf.as_ref());
    let Some((func, btf)) = typed else { return Ok(None) };
    let tags = btf.types().filter(|t| t.kind() == Kind::DeclTag && t.type_id() == func);
    let mut names = tags.filter_map(|t| t.name().strip_prefix("exception_callback:"));
    let Some(name) = names.next() else { return Ok(None) };
    let found = (0..)
        .map(FuncId)
        .zip(&instance.object.functions)
        .find(|(_, f)| f.name == name && matches!(f.linkage, Linkage::Global | Linkage::Weak));
    match (found, names.next()) {
        (Some((id, _)), None) => Ok(Some(id)),
        (_, other) => Err(LinkError::ExceptionCallback {
            function: instance.function_ref(entry.function),
            name: name.to_owned(),
            other: other.map(str::to_owned),
        }),
    }
}

/// Number of arguments of the function called at a slot; 5, the most there can be, where nothing tells.
fn arity(instance: &Instance, function: &Function, slot: usize) -> u8 {
    let reloc = function.relocs.iter().find(|r| r.insn as usize == slot);
    let proto = match reloc.map(|r| r.target) {
        Some(RelocTarget::Call(f)) => {
            let func = instance.function(f).and_then(|f| f.btf_func);
            func.zip(instance.object.btf.as_ref()).map(|(id, btf)| btf.ty(id).target())
        }
        Some(RelocTarget::CallExtern(id)) => {
            let ext = instance.extern_(id).and_then(|e| e.type_id);
            ext.zip(instance.object.btf.as_ref()).map(|(id, btf)| btf.ty(id))
        }
        _ => None,
    };
    let proto = proto.filter(|p| p.kind() == bpfweld_btf::Kind::FuncProto);
    proto.map_or(5, |p| p.vlen().min(5) as u8)
}

fn add(
    plan: &mut Plan,
    instance: InstanceId,
    func: FuncId,
    bound_from: Option<(InstanceId, ExternId)>,
) -> usize {
    let next = plan.functions.len();
    let at = *plan.index.entry((instance, func)).or_insert(next);
    if at == next {
        let edges = Vec::new();
        plan.functions.push(Planned { instance, func, edges, callback: false, bound_from });
    } else if plan.functions[at].bound_from.is_none() {
        plan.functions[at].bound_from = bound_from;
    }
    at
}
