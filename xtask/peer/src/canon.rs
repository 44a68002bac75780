//! Instructions in a form that can be compared: functions in the order in which they are first
//! mentioned, names in place of descriptors and distances.

use std::collections::{BTreeSet, HashMap};

use crate::record::Function;
use crate::watch::{self, Variable};

#[derive(Clone, Copy)]
struct Insn {
    code: u8,
    dst: u8,
    src: u8,
    off: i16,
    imm: i32,
}

const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
/// bpfweld's; the number of the record is added. libbpf's is always the same.
const CORE_POISON: std::ops::Range<i32> = 739_162_624..739_262_624;

/// The functions of a program: the entry first, then by first mention, depth first; those that nothing
/// mentions last, by name.
pub fn canonical(
    words: &[u64],
    names: &HashMap<usize, String>,
    maps: &[(String, i32)],
    kconfig: &[Variable],
    fd_array: &[i32],
) -> Vec<Function> {
    let insns: Vec<Insn> = words
        .iter()
        .map(|&w| Insn {
            code: w as u8,
            dst: (w >> 8) as u8 & 15,
            src: (w >> 12) as u8 & 15,
            off: (w >> 16) as i16,
            imm: (w >> 32) as i32,
        })
        .collect();
    let target = |at: usize, insn: &Insn| match (insn.code, insn.src) {
        (CALL, 1) | (LD_IMM64, 4) => Some((at as i64 + i64::from(insn.imm) + 1) as usize),
        _ => None,
    };
    let mut starts: BTreeSet<usize> = names.keys().copied().collect();
    starts.insert(0);
    starts.extend(insns.iter().enumerate().filter_map(|(at, insn)| target(at, insn)));
    let end = |start: usize| starts.range(start + 1..).next().copied().unwrap_or(insns.len());

    let mut order: Vec<usize> = Vec::new();
    let mut roots: Vec<usize> = starts.iter().copied().collect();
    roots.sort_by_key(|start| (*start != 0, names.get(start).cloned()));
    let mentioned: BTreeSet<usize> =
        insns.iter().enumerate().filter_map(|(at, insn)| target(at, insn)).collect();
    for root in roots.into_iter().filter(|r| *r == 0 || !mentioned.contains(r)) {
        let mut todo = vec![root];
        while let Some(start) = todo.pop() {
            if order.contains(&start) {
                continue;
            }
            order.push(start);
            let body = start..end(start).min(insns.len());
            let calls: Vec<usize> =
                body.filter_map(|at| insns.get(at).and_then(|i| target(at, i))).collect();
            todo.extend(calls.into_iter().rev());
        }
    }
    let label = |start: usize| match order.iter().position(|s| *s == start) {
        Some(at) => format!("F{at}"),
        None => format!("?{start}"),
    };
    let map_name = |fd: i32| {
        let named = maps.iter().find(|(_, f)| *f == fd).map(|(name, _)| name.clone());
        named.or_else(|| watch::kernel_map_name(fd)).unwrap_or_else(|| format!("fd {fd}"))
    };
    let module = |fd: i32| if fd == 0 { "vmlinux".into() } else { watch::btf_name(fd) };
    let text = |at: usize| {
        let i = insns[at];
        let high = insns.get(at + 1).map_or(0, |n| n.imm);
        match (i.code, i.src) {
            (LD_IMM64, 1) => format!("r{} = map {}", i.dst, map_name(i.imm)),
            (LD_IMM64, 2) => {
                let map = map_name(i.imm);
                let variable = kconfig.iter().find(|v| v.offset == high as usize);
                match variable.filter(|_| map == watch::KCONFIG) {
                    Some(variable) => format!("r{} = kconfig {}", i.dst, variable.name),
                    None => format!("r{} = map {map} value + {high}", i.dst),
                }
            }
            (LD_IMM64, 3) => format!("r{} = btf {} of {}", i.dst, i.imm, module(high)),
            (LD_IMM64, 4) => {
                format!("r{} = function {}", i.dst, label(target(at, &i).unwrap_or(0)))
            }
            (LD_IMM64, 5 | 6) => {
                let fd = fd_array.get(i.imm as usize).copied().unwrap_or(-1);
                let value = if i.src == 6 { format!(" value + {high}") } else { String::new() };
                format!("r{} = map {}{value}", i.dst, map_name(fd))
            }
            (LD_IMM64, _) => format!(
                "r{} = {:#x} ll{}",
                i.dst,
                (i.imm as u32 as u64) | (high as u32 as u64) << 32,
                if i.src != 0 { format!(" src {}", i.src) } else { String::new() }
            ),
            (CALL, 1) => format!("call {}", label(target(at, &i).unwrap_or(0))),
            (CALL, 2) => {
                let fd = match i.off {
                    0 => 0,
                    off => fd_array.get(off as usize).copied().unwrap_or(-1),
                };
                format!("call kernel function {} of {}", i.imm, module(fd))
            }
            // Helpers that no kernel has lead back to what was not found, each loader's in its own
            // way.
            (CALL, 0) if (2_000_000_000..2_110_000_000).contains(&i.imm) => "call poison".into(),
            (CALL, 0) if i.imm == 195_896_080 || CORE_POISON.contains(&i.imm) => {
                "call poison of CO-RE".into()
            }
            _ => format!("{:02x} r{} r{} {:+} {}", i.code, i.dst, i.src, i.off, i.imm),
        }
    };
    let function = |start: &usize| {
        let mut lines = Vec::new();
        let mut at = *start;
        while at < end(*start).min(insns.len()) {
            lines.push(text(at));
            at += if insns[at].code == LD_IMM64 { 2 } else { 1 };
        }
        Function { name: names.get(start).cloned().unwrap_or_default(), insns: lines }
    };
    order.iter().map(function).collect()
}
