//! What is watched in each function of a set.

use std::collections::BTreeMap;

use bpfweld_btf::{Btf, Kind, Type, order};
use bpfweld_insn::{CALL, Flow, Insn, Regs, pseudo};
use bpfweld_object::{Function, Linkage, ProgramSpec, ProgramType};

use crate::image::{Image, ImageFunction, ImageSet, ImageTarget, MapIndex};

/// How much a trace tells. What a backend cannot give in one step it may be able to give in the next
/// lower one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Detail {
    /// Which functions were entered, what they returned, which redirects they asked for.
    Calls,
    /// How long the packet was, too.
    Lengths,
    /// And what of it changed.
    Bytes,
}

/// What is watched in a set.
#[derive(Debug, Clone)]
pub struct TracePlan {
    /// How much is told.
    pub detail: Detail,
    /// By image.
    pub images: Vec<TracedImage>,
}

/// What is watched in an image.
#[derive(Debug, Clone)]
pub struct TracedImage {
    /// Its type, which gives verdicts their names.
    pub prog_type: ProgramType,
    /// By function.
    pub functions: Vec<TracedFunction>,
    /// Calls of redirect helpers, by rising slot.
    pub sites: Vec<RedirectSite>,
}

/// What is watched in a function.
#[derive(Debug, Clone)]
pub struct TracedFunction {
    /// Its name in its object.
    pub name: String,
    /// Label of its instance.
    pub instance: String,
    /// Index of its first slot in the image.
    pub start: u32,
    /// Is it watched at all? Not what runs beside the program: callbacks of timers.
    pub watched: bool,
    /// Is the packet looked at where it begins and ends?
    pub packet: bool,
    /// What its r0 means.
    pub value: ValueKind,
    /// How many of r1 to r5 are arguments that its code needs; bit n is register n.
    pub(super) arguments: u16,
}

/// What a function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing, or nothing that is a number.
    None,
    /// A verdict of the program's type.
    Verdict,
    /// A number of so many bits.
    Signed(u8),
    /// A number of so many bits.
    Unsigned(u8),
}

/// A call of a helper that redirects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectSite {
    /// Slot of the call in the image.
    pub insn: u32,
    /// The helper's number.
    pub helper: u32,
    /// The map, where the code before the call says which.
    pub map: Option<MapIndex>,
}

impl RedirectSite {
    /// Registers that hold what the packet is redirected to (interface or key) and the flags.
    pub fn registers(helper: u32) -> Option<(u8, u8)> {
        Some(match helper {
            // redirect, redirect_peer
            23 | 155 => (1, 2),
            // redirect_map, clone_redirect
            51 | 13 => (2, 3),
            // redirect_neigh
            152 => (1, 4),
            _ => return None,
        })
    }
}

/// `bpf_redirect_map`.
pub(super) const REDIRECT_MAP: u32 = 51;
/// Bounds the search for arguments in code that no compiler made.
const MAX_ROUNDS: usize = 64;
/// `bpf_timer_set_callback`.
const TIMER_SET_CALLBACK: u32 = 170;

impl TracePlan {
    /// What to watch in a set.
    pub fn new(set: &ImageSet, detail: Detail) -> Self {
        let images = set.images.iter().map(|image| traced(set, image, detail)).collect();
        Self { detail, images }
    }

    /// A function, by the indices that events have.
    pub fn function(&self, image: u16, function: u32) -> Option<&TracedFunction> {
        self.images.get(usize::from(image))?.functions.get(function as usize)
    }

    /// Is the packet looked at in this function?
    pub fn has_packet(&self, image: u16, function: u32) -> bool {
        self.function(image, function).is_some_and(|f| f.packet)
    }
}

impl TracedImage {
    /// Index of the function that a slot is in.
    pub fn function_at(&self, slot: u32) -> Option<usize> {
        self.functions.partition_point(|f| f.start <= slot).checked_sub(1)
    }

    /// The site of a call.
    pub fn site_at(&self, slot: u32) -> Option<usize> {
        self.sites.binary_search_by_key(&slot, |s| s.insn).ok()
    }
}

fn traced(set: &ImageSet, image: &Image, detail: Detail) -> TracedImage {
    let starts: BTreeMap<i64, usize> =
        (0..).zip(&image.functions).map(|(i, f)| (i64::from(f.start), i)).collect();
    let mut bound = vec![false; image.functions.len()];
    let mut callback = vec![false; image.functions.len()];
    let mut timers = false;
    for (caller, function) in image.functions.iter().enumerate() {
        let Some(insns) = code(image, function) else { continue };
        let mut at = 0;
        while let Some(insn) = insns.get(at) {
            let target = i64::from(function.start) + at as i64 + 1 + i64::from(insn.imm);
            timers |= insn.helper() == Some(TIMER_SET_CALLBACK);
            if let Some(&to) = starts.get(&target) {
                if insn.is_bpf_call() {
                    let from = image.functions.get(caller).map(|f| f.origin.0);
                    bound[to] |= from != image.functions.get(to).map(|f| f.origin.0);
                }
                callback[to] |= insn.is_ld_imm64() && insn.src() == pseudo::FUNC;
            }
            at += insn.slots();
        }
    }
    let mut reads = Vec::with_capacity(image.functions.len());
    let functions = image.functions.iter().enumerate().map(|(i, function)| {
        let insns = code(image, function).unwrap_or_default();
        let source = set.origin.instances.get(function.origin.0.index());
        let label = source.map_or_else(|| image.instance.clone(), |s| s.label.clone());
        let source = source.and_then(|s| s.function(function.origin.1));
        let proto = set.btf.contains(function.type_id).then(|| set.btf.ty(function.type_id));
        let proto = proto.map(|f| f.target()).filter(|p| p.kind() == Kind::FuncProto);
        let is_entry = i == 0 || source.is_some_and(|f| f.program.is_some());
        let takes = Arguments::new(proto, &image.program, is_entry, source, insns);
        reads.push(takes.registers);
        TracedFunction {
            name: function.name.clone(),
            instance: label,
            start: function.start,
            watched: !(timers && callback[i]),
            packet: takes.context && detail > Detail::Calls && has_packets(&image.program),
            value: value_kind(proto, takes.context && (is_entry || bound[i]), is_entry, insns),
            arguments: takes.registers,
        }
    });
    TracedImage {
        prog_type: image.program.prog_type,
        functions: functions.collect(),
        sites: redirect_sites(image),
    }
}

/// A function's instructions.
pub(super) fn code<'a>(image: &'a Image, function: &ImageFunction) -> Option<&'a [Insn]> {
    image.insns.get(function.start as usize..)?.get(..function.len as usize)
}

/// Types whose context leads to a packet that helpers can copy out.
fn has_packets(program: &ProgramSpec) -> bool {
    matches!(
        program.prog_type,
        ProgramType::XDP
            | ProgramType::SCHED_CLS
            | ProgramType::SCHED_ACT
            | ProgramType::SOCKET_FILTER
            | ProgramType::CGROUP_SKB
    )
}

/// What a function is called with.
struct Arguments {
    /// Is r1 the context?
    context: bool,
    /// Those of r1 to r5 that hold arguments and are not overwritten before they are read.
    registers: u16,
}

impl Arguments {
    fn new(
        proto: Option<Type<'_>>,
        program: &ProgramSpec,
        is_entry: bool,
        source: Option<&Function>,
        insns: &[Insn],
    ) -> Self {
        let count = match (is_entry, proto) {
            (true, _) => 1,
            (false, proto) => proto.map_or(0, |p| p.vlen().min(5)),
        };
        // r1 to r`count`.
        let declared = ((1u16 << (count + 1)) - 1) & Regs::ARGS.0;
        let (surely, maybe) = arguments_read(insns);
        let first_is_context = proto.is_some_and(|p| points_to_context(p, program));
        // A compiler may drop arguments of a static function that nothing reads, and then its type
        // says what is no longer so. One whose code reads them all has lost none.
        let kept =
            source.is_some_and(|f| f.linkage != Linkage::Static) || surely & declared == declared;
        let context = is_entry || first_is_context && kept;
        Self { context, registers: declared & maybe }
    }
}

/// Is the first parameter a pointer to the context of such programs?
fn points_to_context(proto: Type<'_>, program: &ProgramSpec) -> bool {
    let btf: &Btf = proto.btf();
    let Some(param) = proto.params().next() else { return false };
    let pointer = btf.resolve(param.type_id);
    let pointee = btf.resolve(pointer.type_id());
    pointer.kind() == Kind::Ptr
        && matches!(pointee.kind(), Kind::Struct | Kind::Fwd)
        && program.prog_type.ctx_type_name() == Some(pointee.name())
}

/// Which of r1 to r5 a function reads before it writes them: surely, with helpers taken to read none;
/// and maybe, with helpers taken to read what they can.
fn arguments_read(insns: &[Insn]) -> (u16, u16) {
    let live = |calls_read: u16| {
        // Backwards until nothing changes; each round can only add registers. Compilers' code needs a
        // round more than its loops are deep; what is left out of other code is looked at less.
        let mut live = vec![0u16; insns.len() + 1];
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for at in (0..insns.len()).rev() {
                let insn = insns[at];
                let flow = insn.flow(at);
                // Nobody knows what is read where an indirect jump goes.
                let nowhere = if flow == Flow::Unknown { calls_read } else { 0 };
                let after = flow.successors().fold(nowhere, |all, to| {
                    all | usize::try_from(to).ok().and_then(|t| live.get(t)).copied().unwrap_or(0)
                });
                let mut used = insn.reg_use();
                if insn.code == CALL {
                    used.reads = Regs(used.reads.0 & calls_read);
                }
                // The second half of a 64-bit load is never a successor.
                let before = after & !used.writes.0 | used.reads.0;
                changed |= before != live[at];
                live[at] = before;
            }
            if !changed {
                break;
            }
        }
        live[0] & Regs::ARGS.0
    };
    (live(0), live(u16::MAX))
}

/// What r0 means where a function ends.
fn value_kind(proto: Option<Type<'_>>, verdict: bool, is_entry: bool, insns: &[Insn]) -> ValueKind {
    if is_entry {
        return ValueKind::Verdict;
    }
    let Some(proto) = proto else { return ValueKind::None };
    let returned = proto.btf().resolve(proto.type_id());
    let bits = u8::try_from(returned.byte_size().unwrap_or(0).min(8) * 8).unwrap_or(64);
    let number = match returned.kind() {
        Kind::Int if returned.int_encoding().signed => ValueKind::Signed(bits),
        Kind::Enum => ValueKind::Signed(32),
        Kind::Int | Kind::Enum64 => ValueKind::Unsigned(bits),
        _ => return ValueKind::None,
    };
    // A compiler may drop a return value that nothing reads.
    if !sets_r0(insns) {
        return ValueKind::None;
    }
    if verdict { ValueKind::Verdict } else { number }
}

/// Is r0 written on every way to every exit?
fn sets_r0(insns: &[Insn]) -> bool {
    // Slots that can be reached with r0 as the caller left it.
    let mut unset = vec![false; insns.len()];
    let mut work = vec![0usize];
    while let Some(at) = work.pop() {
        let Some((seen, insn)) = unset.get_mut(at).zip(insns.get(at)) else { continue };
        if std::mem::replace(seen, true) {
            continue;
        }
        if insn.code == bpfweld_insn::EXIT {
            return false;
        }
        if insn.flow(at) == Flow::Unknown {
            return false;
        }
        if !insn.reg_use().writes.has(0) {
            work.extend(insn.flow(at).successors().filter_map(|to| usize::try_from(to).ok()));
        }
    }
    true
}

fn redirect_sites(image: &Image) -> Vec<RedirectSite> {
    let mut sites = Vec::new();
    for function in &image.functions {
        let Some(insns) = code(image, function) else { continue };
        let mut at = 0;
        while let Some(insn) = insns.get(at) {
            if let Some(helper) = insn.helper().filter(|&h| RedirectSite::registers(h).is_some()) {
                let slot = function.start + at as u32;
                let map = (helper == REDIRECT_MAP).then(|| map_in_r1(image, function, insns, at));
                sites.push(RedirectSite { insn: slot, helper, map: map.flatten() });
            }
            at += insn.slots();
        }
    }
    sites
}

/// The map in r1 at a call, if the straight line of code before it loads one.
fn map_in_r1(
    image: &Image,
    function: &ImageFunction,
    insns: &[Insn],
    call: usize,
) -> Option<MapIndex> {
    // Where something jumps to, the code before is not all there is.
    let mut targets: Vec<usize> = insns
        .iter()
        .enumerate()
        .filter_map(|(at, i)| usize::try_from(i.jump_target(at)?).ok())
        .collect();
    order::sort(&mut targets);
    let mut wanted = 1;
    let mut at = call;
    while at > 0 && targets.binary_search(&at).is_err() {
        at -= 1;
        let insn = insns.get(at)?;
        // The second half of a 64-bit load does nothing.
        if insn.code == 0 {
            continue;
        }
        if insn.is_ld_imm64() && insn.dst() == wanted {
            let slot = function.start + at as u32;
            let reloc = image.relocs.binary_search_by_key(&slot, |r| r.insn).ok()?;
            return match image.relocs.get(reloc)?.target {
                ImageTarget::Map(map) => Some(map),
                _ => None,
            };
        }
        let copy = insn.code == 0xbf && insn.off == 0;
        if copy && insn.dst() == wanted {
            wanted = insn.src();
        } else if insn.reg_use().writes.has(wanted)
            || insn.is_jump() && insn.code == bpfweld_insn::JA
        {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

    fn mov(dst: u8, src: u8) -> Insn {
        Insn::new(0xbf, dst, src, 0, 0)
    }

    fn helper(number: i32) -> Insn {
        Insn { code: CALL, imm: number, ..Insn::default() }
    }

    #[test]
    fn arguments_that_are_read() {
        assert_eq!(arguments_read(&[mov(0, 1), mov(2, 0), mov(3, 2), EXIT]), (2, 2));
        // Whether the helper reads r2 to r5, its number alone does not say: bpf_trace_printk.
        assert_eq!(arguments_read(&[mov(1, 10), helper(6), EXIT]), (0, 0b11_1100));
        // bpf_map_lookup_elem has two arguments.
        assert_eq!(arguments_read(&[mov(1, 10), helper(1), EXIT]), (0, 0b100));
        assert_eq!(arguments_read(&[]), (0, 0));
        // A loop: r2 is read when it comes round.
        let back = Insn { code: 0x05, off: -2, ..Insn::default() };
        assert_eq!(arguments_read(&[mov(0, 2), back]).0, 4);
    }

    #[test]
    fn r0_at_the_exits() {
        assert!(sets_r0(&[mov(0, 1), EXIT]));
        assert!(sets_r0(&[helper(6), EXIT]));
        assert!(!sets_r0(&[EXIT]));
        let skip = Insn::new(0x15, 1, 0, 1, 0);
        assert!(!sets_r0(&[skip, mov(0, 1), EXIT]));
        assert!(!sets_r0(&[mov(6, 1), EXIT]));
    }
}
