//! Members of chains that any verifier takes, at random: registers are always set, jumps go forward, the
//! packet's length is checked first. And what came of running a chain.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

#[path = "../../../engine/tests/generate/basic.rs"]
pub mod basic;

use bpfweld_engine::{Engine, EngineOptions};
use bpfweld_insn::{Insn, pseudo};
use bpfweld_link::{ImageSet, ImageTarget, InstanceId, MapIndex, MapSpec};
use proptest::prelude::*;

use super::common::{self, *};
use basic::emit as emit_basic;
use basic::{Basic, WEIGHT, again, basic, body, number, pointer};

pub const ENTRIES: u32 = 4;

/// One step of a program, each of one instruction or a few.
#[derive(Clone, Debug)]
pub enum Step {
    /// One that all generated programs may take.
    Basic(Basic),
    /// Look a key up and change the value.
    Lookup(u8, bool),
    /// Update or delete: register of key, hash map?, flags; `None` deletes.
    Update(u8, bool, Option<u8>),
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        WEIGHT => basic().prop_map(Step::Basic),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(k, h)| Step::Lookup(k, h)),
        1 => (any::<u8>(), any::<bool>(), prop::option::of(0..4u8))
            .prop_map(|(k, h, f)| Step::Update(k, h, f)),
    ]
}

/// Instructions of a step, and which of them is to get the address of which map.
fn emit(step: &Step) -> (Vec<Insn>, Option<(u32, bool)>) {
    let key = |k: u8| [mov_reg(1, number(k)), ins(0x57, 1, 0, 0, 7), ins(0x63, 10, 1, -72, 0)];
    match *step {
        Step::Basic(ref step) => (emit_basic(step), None),
        Step::Lookup(k, hash) => {
            let mut out: Vec<Insn> = key(k).into();
            out.extend(pointer(2, -72));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper(1));
            out.push(ins(0x15, 0, 0, 3, 0));
            out.extend([ins(0x79, 1, 0, 0, 0), ins(0x0f, 1, 9, 0, 0), ins(0x7b, 0, 1, 0, 0)]);
            out.push(ins(0x79, 0, 10, -8, 0));
            out.extend(again());
            (out, Some((at, hash)))
        }
        Step::Update(k, hash, flags) => {
            let mut out: Vec<Insn> = key(k).into();
            out.push(ins(0x7b, 10, 9, -80, 0));
            out.extend(pointer(2, -72));
            out.extend(pointer(3, -80));
            out.push(mov(4, flags.unwrap_or(0).into()));
            let at = out.len() as u32;
            out.extend(imm64(1));
            out.push(call_helper(if flags.is_some() { 2 } else { 3 }));
            out.extend(again());
            (out, Some((at, hash)))
        }
    }
}

/// The maps that steps work on.
pub fn maps(set: &mut SetBuilder) -> [MapIndex; 2] {
    let spec = |map_type| MapSpec { map_type, value_size: 8, ..array(ENTRIES) };
    [set.defined("numbers", spec(2)), set.defined("table", spec(1))]
}

/// A function that takes the context and does some steps: its code but for the exit, its r0 a number, and
/// its references to the maps.
pub fn function(steps: &[Step], maps: [MapIndex; 2]) -> (Vec<Insn>, Vec<(u32, ImageTarget)>) {
    let (insns, relocs) = body((0, 4), steps, emit, |step| match step {
        Step::Basic(basic) => Some(basic),
        _ => None,
    });
    let target = |(at, hash)| (at, ImageTarget::Map(maps[usize::from(hash)]));
    (insns, relocs.into_iter().map(target).collect())
}

/// A function's instructions, and its references to maps.
pub type Code = (Vec<Insn>, Vec<(u32, ImageTarget)>);

/// A call of the function of this index, to be patched.
pub fn call(f: usize) -> Insn {
    ins(0x85, 0, pseudo::CALL, 0, f as i32)
}

/// The functions in a row, each of an instance of its own.
pub fn assemble(mut set: SetBuilder, code: Vec<Code>) -> ImageSet {
    let starts: Vec<u32> = code
        .iter()
        .scan(0, |at, (c, _)| {
            *at += c.len() as u32;
            Some(*at - c.len() as u32)
        })
        .collect();
    let (mut insns, mut relocs, mut functions) = (vec![], vec![], vec![]);
    let names: Vec<String> = (0..code.len()).map(|i| format!("f{i}")).collect();
    for (i, (body, refs)) in code.into_iter().enumerate() {
        let start = starts[i];
        functions.push((names[i].as_str(), start, body.len() as u32));
        relocs.extend(refs.into_iter().map(|(at, to)| (start + at, to)));
        for (at, mut insn) in body.into_iter().enumerate() {
            if insn.is_bpf_call() {
                insn.imm = starts[insn.imm as usize] as i32 - (start as i32 + at as i32) - 1;
            }
            insns.push(insn);
        }
    }
    set.functions("chain", insns, &relocs, &functions);
    let mut set = set.finish();
    for (i, f) in set.images[0].functions.iter_mut().enumerate() {
        f.origin.0 = InstanceId(i as u32);
    }
    set
}

/// Verdict, packet, entries of each map in order.
pub type Seen = (u32, Vec<u8>, Vec<Vec<(Vec<u8>, Vec<u8>)>>);

pub fn in_engine(set: &ImageSet, packets: &[[u8; 64]]) -> Vec<Seen> {
    let loaded = Engine::load(set, &EngineOptions::default()).unwrap();
    let mut runner = loaded.entries()[0].runner();
    let mut seen = Vec::new();
    for packet in packets {
        let outcome = runner.run(packet, &Default::default()).unwrap();
        assert_eq!(outcome.fault, None);
        let maps = loaded.maps().iter().map(|map| {
            let keys = map.keys().unwrap();
            let entry = |k: Vec<u8>| map.lookup(&k).unwrap().map(|v| (k, v));
            let mut all: Vec<_> = keys.into_iter().filter_map(entry).collect();
            all.sort();
            all
        });
        seen.push((outcome.verdict.code, outcome.packet.to_vec(), maps.collect()));
    }
    seen
}

pub fn in_kernel(loaded: &bpfweld_kernel::Loaded, packets: &[[u8; 64]]) -> Vec<Seen> {
    let mut runner = loaded.entries()[0].runner();
    let mut seen = Vec::new();
    for packet in packets {
        let outcome = runner.run(packet, &Default::default()).unwrap();
        let maps = loaded.maps().iter().map(|map| {
            let keys = map.keys().unwrap();
            let entry = |k: Vec<u8>| map.lookup(&k).unwrap().map(|v| (k, v));
            let mut all: Vec<_> = keys.into_iter().filter_map(entry).collect();
            all.sort();
            all
        });
        seen.push((outcome.verdict.code, outcome.packet.to_vec(), maps.collect()));
    }
    seen
}
