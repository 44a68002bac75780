//! The root's instructions.

use bpfweld_insn::{CALL, EXIT, Insn, JA, LD_IMM64, class, pseudo};
use bpfweld_object::{MapId, Reloc, RelocTarget};

use super::{Root, Verdicts, call, counters};
use crate::XDP_VERDICTS;

/// What [`emit`] gives.
pub(super) struct Code {
    pub(super) insns: Vec<Insn>,
    pub(super) relocs: Vec<Reloc>,
    /// Instruction and text of each line of the listing.
    pub(super) lines: Vec<(u32, String)>,
}

/// Verdict, arguments and the context, which outlives calls.
pub(super) const R0: u8 = 0;
pub(super) const R1: u8 = 1;
pub(super) const R2: u8 = 2;
const R3: u8 = 3;
const CTX: u8 = 6;
/// Greatest number of `enum xdp_action`.
const LAST: i32 = XDP_VERDICTS.len() as i32 - 1;
/// Helper number of `bpf_tail_call` (linux/bpf.h).
const TAIL_CALL: i32 = 12;
/// Helper number of `bpf_xdp_adjust_head` (linux/bpf.h).
const ADJUST_HEAD: i32 = 44;
/// Where `struct xdp_md` has `ingress_ifindex`.
const INGRESS_IFINDEX: i16 = 12;

// Operations and sources (RFC 9669, section 4).
const MOV: u8 = 0xb0;
const JEQ: u8 = 0x10;
const JNE: u8 = 0x50;
pub(super) const JLE: u8 = 0xb0;
const JGT: u8 = 0x20;
const X: u8 = 0x08;
/// A load of 32 bits, with [`class::LDX`].
const MEM: u8 = 0x60;

/// Where a jump goes whose distance is not known yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// To the next member.
    Next,
    /// To the end, with the verdict in r0.
    Out,
    /// To the end of the chain.
    End,
}

pub(super) fn emit(root: &Root<'_>) -> Code {
    let mut code = Code { insns: vec![mov(CTX, R1)], relocs: Vec::new(), lines: Vec::new() };
    let mut jumps: Vec<(usize, Label)> = Vec::new();
    let last = root.members.len().checked_sub(1);
    for (i, member) in root.members.iter().enumerate() {
        let start = if i == 0 { 0 } else { code.insns.len() };
        let (name, verdicts) = (member.name, member.goes_on);
        let text = match verdicts {
            Verdicts::NONE => format!("verdict = {name}(ctx); // never goes on"),
            _ => format!("verdict = {name}(ctx); // goes on after {verdicts}"),
        };
        code.lines.push((start as u32, text));
        code.insns.push(mov(R1, CTX));
        code.relocs.push(call(code.insns.len(), i));
        code.insns.push(Insn::new(CALL, 0, pseudo::CALL, 0, -1));
        // The kernel looks at 32 bits of a verdict; what else is in the register is of no account.
        code.insns.push(Insn::new(class::ALU | MOV | X, R0, R0, 0, 0));
        if root.counters {
            counters::count(&mut code, member.slot);
        }
        let first_jump = jumps.len();
        decide(&mut code.insns, &mut jumps, member.goes_on);
        for (at, label) in jumps.iter_mut().skip(first_jump).filter(|(_, l)| *l == Label::Next) {
            if Some(i) == last {
                *label = Label::End;
            } else {
                let here = code.insns.len();
                set_distance(&mut code.insns, *at, here);
            }
        }
    }
    jumps.retain(|(_, label)| *label != Label::Next);
    let end = code.insns.len();
    let name = XDP_VERDICTS.get(root.end as usize).copied().unwrap_or("?");
    let start = if root.members.is_empty() { 0 } else { end };
    code.lines.push((start as u32, format!("return {name}; // the end of the chain")));
    code.insns.push(mov_imm(R0, root.end as i32));
    code.insns.push(exit());
    let out = code.insns.len();
    for &(at, label) in &jumps {
        set_distance(&mut code.insns, at, if label == Label::End { end } else { out });
    }
    if jumps.iter().any(|(_, label)| *label == Label::Out) {
        let text = "return verdict <= XDP_REDIRECT ? verdict : XDP_ABORTED;";
        code.lines.push((out as u32, text.to_owned()));
        code.insns.push(jump(JLE, R0, LAST, 1));
        code.insns.push(mov_imm(R0, 0));
        code.insns.push(exit());
    }
    code
}

/// Goes on behind these instructions if r0 is one of the verdicts, else out.
fn decide(insns: &mut Vec<Insn>, jumps: &mut Vec<(usize, Label)>, goes_on: Verdicts) {
    let mut to = |insns: &mut Vec<Insn>, insn: Insn, label: Label| {
        jumps.push((insns.len(), label));
        insns.push(insn);
    };
    let verdicts: Vec<i32> = goes_on.iter().map(|v| v as i32).collect();
    match verdicts.as_slice() {
        _ if goes_on == Verdicts::ALL => {}
        // Never: r0 is zero-extended, and the number compared with is not. The code behind has to be
        // reachable in the verifier's eyes.
        [] => {
            to(insns, jump(JNE, R0, -1, 0), Label::Out);
        }
        // XDP_ABORTED stands for unknown verdicts as well.
        &[one] if one != 0 => to(insns, jump(JNE, R0, one, 0), Label::Out),
        several => {
            for &verdict in several {
                to(insns, jump(JEQ, R0, verdict, 0), Label::Next);
            }
            if goes_on.contains(0) {
                to(insns, jump(JGT, R0, LAST, 0), Label::Next);
            }
            to(insns, Insn { code: JA, ..Insn::default() }, Label::Out);
        }
    }
}

/// The whole of a function that tail-calls slot 0 of map 0.
pub(super) fn tail_call(otherwise: u32) -> (Vec<Insn>, Vec<Reloc>) {
    let insns = vec![
        // r1 is the context already.
        Insn::new(LD_IMM64, R2, 0, 0, 0),
        Insn::default(),
        mov_imm(R3, 0),
        Insn { code: CALL, imm: TAIL_CALL, ..Insn::default() },
        mov_imm(R0, otherwise as i32),
        exit(),
    ];
    (insns, vec![Reloc { insn: 0, target: RelocTarget::Map(MapId(0)) }])
}

/// The function of a program that others are to replace. Packets come from an interface, so that it does
/// nothing to them when it runs; the verifier does not know.
pub(super) fn replaceable(otherwise: u32) -> Vec<Insn> {
    let index = Insn::new(class::LDX | MEM, R2, R1, INGRESS_IFINDEX, 0);
    vec![
        index,
        jump(JNE, R2, 0, 2),
        // r1 is the context still, r2 is 0.
        mov_imm(R2, 0),
        Insn { code: CALL, imm: ADJUST_HEAD, ..Insn::default() },
        mov_imm(R0, otherwise as i32),
        exit(),
    ]
}

/// Sets the distance of the jump at `at`, which counts from the instruction behind it.
fn set_distance(insns: &mut [Insn], at: usize, target: usize) {
    // Bounded by MAX_MEMBERS of at most 25 instructions: below 2^13.
    if let Some(insn) = insns.get_mut(at) {
        insn.off = target.saturating_sub(at + 1) as i16;
    }
}

pub(super) fn mov(dst: u8, src: u8) -> Insn {
    Insn::new(class::ALU64 | MOV | X, dst, src, 0, 0)
}

pub(super) fn mov_imm(dst: u8, imm: i32) -> Insn {
    Insn::new(class::ALU64 | MOV, dst, 0, 0, imm)
}

pub(super) fn jump(op: u8, dst: u8, imm: i32, off: i16) -> Insn {
    Insn::new(class::JMP | op, dst, 0, off, imm)
}

fn exit() -> Insn {
    Insn { code: EXIT, ..Insn::default() }
}
