//! Programs that a verifier takes, at random: registers are always set, jumps go forward, the packet's
//! length is checked first.

mod basic;

use bpfweld_insn::Insn;
use bpfweld_link::{ImageSet, ImageTarget, MapSpec, SlotRef};
use bpfweld_object::{ProgramSpec, ProgramType};
use proptest::prelude::*;

use crate::common::{self, *};
use basic::emit as emit_basic;
use basic::{Basic, SEEN, WEIGHT, again, basic, body, number, pointer};

const ENTRIES: u32 = 4;
/// Types of the maps with keys, in the order of the set (`linux/bpf.h`): array, hash, LRU hash, LPM trie;
/// then those per CPU.
const KEYED_TYPES: [u32; 7] = [2, 1, 9, 11, 6, 5, 10];
/// So many maps have keys.
pub(crate) const KEYED: u8 = KEYED_TYPES.len() as u8;
/// Index of the first map with values per CPU.
pub(crate) const PER_CPU: usize = 4;
/// Index of the queue, behind it the stack and the prog array.
const QUEUE: usize = KEYED_TYPES.len();
const SLOTS: usize = QUEUE + 2;
/// A call of the other function, to be patched.
const CALL_OTHER: Insn = Insn::new(0x85, 0, 1, 0, 0);

/// One step of a program, each of one instruction or a few.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// One that all generated programs may take.
    Basic(Basic),
    /// Look a key up and change the value: register of key, map.
    Lookup(u8, u8),
    /// Update or delete: register of key, map, flags; `None` deletes.
    Update(u8, u8, Option<u8>),
    /// Push, pop or peek; of the stack map, not the queue?
    Queue(u8, bool),
    /// Call the other function with two registers.
    Call(u8, u8),
    /// Move head, metadata or tail: which, by how many times 4 bytes.
    Move(u8, i8),
    /// Tail-call the program in a slot, or none.
    TailCall(bool),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        WEIGHT => basic().prop_map(Step::Basic),
        2 => (any::<u8>(), 0..KEYED).prop_map(|(k, m)| Step::Lookup(k, m)),
        2 => (any::<u8>(), 0..KEYED, prop::option::of(0..4u8))
            .prop_map(|(k, m, f)| Step::Update(k, m, f)),
        1 => (0..3u8, any::<bool>()).prop_map(|(o, s)| Step::Queue(o, s)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Call(a, b)),
        1 => (0..3u8, -3..4i8).prop_map(|(k, by)| Step::Move(k, by)),
        1 => any::<bool>().prop_map(Step::TailCall),
    ]
}

/// Instructions of a step, and which of them is to get the address of which map.
fn emit(step: &Step, tc: bool) -> (Vec<Insn>, Option<(u32, usize)>) {
    // The key's second half is there for the trie, whose first half is the length of a prefix.
    let key = |k: u8, map: u8| {
        let trie = if KEYED_TYPES[usize::from(map)] == 11 { 2 } else { 0 };
        [
            ins(0x63, 10, number(k), -68, 0),
            mov_reg(1, number(k)),
            ins(0x57, 1, 0, 0, 7),
            ins(0x67, 1, 0, 0, trie),
            ins(0x63, 10, 1, -72, 0),
        ]
    };
    match *step {
        Step::Basic(ref step) => (emit_basic(step), None),
        Step::Lookup(k, map) => {
            let mut out: Vec<Insn> = key(k, map).into();
            out.extend(pointer(2, -72));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper(1));
            out.push(ins(0x15, 0, 0, 3, 0));
            out.extend([ins(0x79, 1, 0, 0, 0), ins(0x0f, 1, 9, 0, 0), ins(0x7b, 0, 1, 0, 0)]);
            out.push(ins(0x79, 0, 10, -8, 0));
            out.extend(again());
            (out, Some((at, map.into())))
        }
        Step::Update(k, map, flags) => {
            let mut out: Vec<Insn> = key(k, map).into();
            out.push(ins(0x7b, 10, 9, -80, 0));
            out.extend(pointer(2, -72));
            out.extend(pointer(3, -80));
            out.push(mov(4, flags.unwrap_or(0).into()));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper(if flags.is_some() { 2 } else { 3 }));
            out.extend(again());
            (out, Some((at, map.into())))
        }
        Step::Queue(op, stack) => {
            let mut out = vec![ins(0x7b, 10, 9, -80, 0)];
            out.extend(pointer(2, -80));
            out.push(mov(3, 0));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper([87, 88, 89][usize::from(op)]));
            out.push(ins(0x79, 9, 10, -80, 0));
            out.extend(again());
            (out, Some((at, QUEUE + usize::from(stack))))
        }
        Step::Call(a, b) => {
            let mut out = vec![ins(0x7b, 10, number(b), -80, 0), mov_reg(1, number(a))];
            out.extend([ins(0x79, 2, 10, -80, 0), CALL_OTHER]);
            out.extend(again());
            (out, None)
        }
        Step::Move(kind, by) => {
            let by = i32::from(by) * 4;
            let mut out = vec![mov_reg(1, 6), mov(2, if tc { 60 + by } else { by }), mov(3, 0)];
            out.push(call_helper(match tc {
                true => 38,
                false => [44, 54, 65][usize::from(kind)],
            }));
            let (data, end) = if tc { (76, 80) } else { (0, 4) };
            out.extend([load_u32(7, 6, data), load_u32(2, 6, end), mov_reg(1, 7)]);
            // Too short to go on.
            out.extend([add(1, SEEN.into()), ins(0xbd, 1, 2, 2, 0), mov(0, 3), exit()]);
            out.extend(again());
            (out, None)
        }
        Step::TailCall(there) => {
            let mut out = vec![mov_reg(1, 6), mov(3, if there { 0 } else { 1 })];
            let at = out.len() as u32;
            out.extend(imm64(2));
            out.extend([call_helper(12), ins(0x79, 0, 10, -8, 0)]);
            out.extend(again());
            (out, Some((at, SLOTS)))
        }
    }
}

/// What a set is made of: the steps of its program, of the function that it calls, and of the program
/// in the slot of its prog array.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    called: Vec<Step>,
    second: Vec<Step>,
    /// A program of type TC, not XDP?
    tc: bool,
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let steps = |n| prop::collection::vec(step(), 1..n);
    let parts = (steps(40), steps(12), steps(12), any::<bool>());
    parts.prop_map(|(steps, called, second, tc)| Plan { steps, called, second, tc })
}

/// The set of a plan.
pub(crate) fn program(plan: &Plan) -> ImageSet {
    let mut set = SetBuilder::new();
    let mut maps = Vec::new();
    for (i, map_type) in KEYED_TYPES.into_iter().enumerate() {
        let spec = MapSpec { map_type, value_size: 8, ..array(ENTRIES) };
        let spec = match map_type {
            11 => MapSpec { key_size: 8, map_flags: 1, ..spec },
            // As many as there are keys: which one an LRU map gives up is the kernel's affair.
            9 | 10 => MapSpec { max_entries: 64, ..spec },
            _ => spec,
        };
        maps.push(set.defined(&format!("m{i}"), spec));
    }
    for (name, map_type) in [("queue", 22), ("stack", 23)] {
        let spec = MapSpec { map_type, key_size: 0, value_size: 8, ..array(ENTRIES) };
        maps.push(set.defined(name, spec));
    }
    let values = vec![(0, SlotRef::Image(1))];
    maps.push(set.defined("slots", MapSpec { map_type: 3, values, ..array(2) }));
    for (name, steps) in [("generated", &plan.steps), ("second", &plan.second)] {
        let (insns, relocs, main) = code(steps, &plan.called, plan.tc);
        let relocs: Vec<_> =
            relocs.into_iter().map(|(at, map)| (at, ImageTarget::Map(maps[map]))).collect();
        let rest = insns.len() as u32 - main;
        let functions = [(name, 0, main), ("called", main, rest)];
        let functions = if rest == 0 { &functions[..1] } else { &functions[..] };
        let image = set.functions(name, insns, &relocs, functions);
        if plan.tc {
            let image = &mut set.images[image as usize];
            image.section = "tc".into();
            image.program =
                ProgramSpec { prog_type: ProgramType::SCHED_CLS, ..ProgramSpec::unknown() };
        }
    }
    let mut set = set.finish();
    set.entries = 1;
    set
}

/// Instructions, where they refer to which map, and how many of them are the entry function's.
fn code(steps: &[Step], called: &[Step], tc: bool) -> (Vec<Insn>, Vec<(u32, usize)>, u32) {
    let packet = if tc { (76, 80) } else { (0, 4) };
    let emit = |step: &Step| emit(step, tc);
    let (mut insns, relocs) = body(packet, steps, emit, |step| match step {
        Step::Basic(basic) => Some(basic),
        _ => None,
    });
    insns.push(exit());
    let main = insns.len();
    let mut calls = false;
    for (at, insn) in insns.iter_mut().enumerate().filter(|(_, insn)| **insn == CALL_OTHER) {
        insn.imm = (main - at - 1) as i32;
        calls = true;
    }
    if calls {
        // A function of numbers only.
        insns.extend([0, 3, 5, 8].map(|reg| mov_reg(reg, 1)));
        insns.extend([4, 9].map(|reg| mov_reg(reg, 2)));
        for step in called {
            if let Step::Basic(
                step @ (Basic::Alu(..) | Basic::Swap(..) | Basic::Extend(..) | Basic::Imm64(..)),
            ) = step
            {
                insns.extend(emit_basic(step));
            }
        }
        insns.extend([1, 2, 3, 4, 5, 8, 9].map(|reg| ins(0xaf, 0, reg, 0, 0)));
        insns.push(exit());
    }
    (insns, relocs, main as u32)
}
