//! How far down a function uses its stack frame, and whether that can be told.
//!
//! Frames of fused functions lie below what the caller uses itself, so the answer must not be too small
//! for a function into which something goes inline. It is exact under this rule, which the analysis
//! checks: every address is the frame pointer plus constants that stand in the code, plus at most numbers
//! that cannot be negative. What does not keep to it (the address is stored, a signed number added, an
//! address handed to a function that goes down from it) is [`Extent::loose`], and nothing goes inline
//! there. For a function that itself goes inline the answer is an estimate only: nothing lies below it.

use bpfweld_insn::class;

use super::code::{ADD64_IMM, Body, End, FP, Inst, MOV64};
use super::order::Waiting;

/// Visits of a block before the answer is "loose": an address that moves down in a loop.
const MAX_VISITS: u8 = 40;

/// What a function uses of its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Extent {
    /// Lowest offset from the frame pointer, 0 or below.
    pub(super) lowest: i32,
    /// May there be lower ones?
    pub(super) loose: bool,
}

impl Extent {
    /// Bytes of the frame, rounded up to whole slots.
    pub(super) fn bytes(&self) -> u32 {
        self.lowest.unsigned_abs().next_multiple_of(8)
    }
}

/// What a register may hold. Ordered: each may stand for those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    /// A number below 2^32.
    Small,
    /// A number below 2^62.
    Wide,
    /// Anything but an address in the frame.
    Other,
    /// An address in the frame, this far from the frame pointer or higher; or anything else.
    Frame(i32),
}

impl Class {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Frame(a), Self::Frame(b)) => Self::Frame(a.min(b)),
            (a, b) => a.max(b),
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Small | Self::Wide)
    }
}

type State = [Class; 11];

/// What a body's own code uses of its frame. `calls` says whether a function of the image that is called
/// with addresses in these argument registers (bit n: register n) keeps to what lies above them.
pub(super) fn extent(body: &Body, calls: &dyn Fn(u32, u16) -> bool) -> Extent {
    if !body.any(|inst| inst.own && inst.reg_use().reads.has(FP)) {
        return Extent::default();
    }
    let mut state = [Class::Other; 11];
    state[usize::from(FP)] = Class::Frame(0);
    run(body, state, calls)
}

/// Does a function keep to what lies above the addresses that it is given in these registers?
pub(super) fn upward(body: &Body, args: u16, calls: &dyn Fn(u32, u16) -> bool) -> bool {
    let mut state = [Class::Other; 11];
    for (reg, class) in state.iter_mut().enumerate().take(6).skip(1) {
        if args & 1 << reg != 0 {
            *class = Class::Frame(0);
        }
    }
    let found = run(body, state, calls);
    !found.loose && found.lowest >= 0
}

fn run(body: &Body, entry: State, calls: &dyn Fn(u32, u16) -> bool) -> Extent {
    let callbacks = body.any(|i| i.callee.is_some() && i.insn.is_ld_imm64());
    let mut walk = Walk { extent: Extent { lowest: 0, loose: false }, callbacks, calls };
    let mut known: Vec<Option<State>> = vec![None; body.blocks.len()];
    let mut visits = vec![0u8; body.blocks.len()];
    known[0] = Some(entry);
    let mut waiting = Waiting::at_entry(body);
    while let Some(at) = waiting.next() {
        let Some(mut state) = known[at] else { continue };
        visits[at] += 1;
        if visits[at] > MAX_VISITS {
            walk.extent.loose = true;
            break;
        }
        for inst in body.code(at) {
            walk.step(inst, &mut state);
        }
        let end = body.blocks[at].end;
        if let End::Exit(_) = end
            && matches!(state[0], Class::Frame(_))
        {
            walk.extent.loose = true;
        }
        for to in end.successors() {
            let news = match &mut known[to] {
                Some(known) => join(known, &state),
                unknown => unknown.replace(state).is_none(),
            };
            if news {
                waiting.add(to);
            }
        }
    }
    walk.extent
}

/// Adds what registers may hold where one more way comes in. Is that more than before?
fn join(known: &mut State, arriving: &State) -> bool {
    let mut more = false;
    for (old, new) in known.iter_mut().zip(arriving).filter(|(old, new)| old != new) {
        let joined = old.join(*new);
        more |= joined != *old;
        *old = joined;
    }
    more
}

struct Walk<'a> {
    extent: Extent,
    /// Does the function hand out functions? They may get addresses too.
    callbacks: bool,
    calls: &'a dyn Fn(u32, u16) -> bool,
}

impl Walk<'_> {
    fn touch(&mut self, base: Class, offset: i32) {
        if let Class::Frame(at) = base {
            self.extent.lowest = self.extent.lowest.min(at.saturating_add(offset));
        }
    }

    fn step(&mut self, inst: &Inst, state: &mut State) {
        let insn = inst.insn;
        let frame = state[usize::from(FP)];
        if !inst.own {
            // The frame of a function that went inline, below this one.
            state[usize::from(FP)] = Class::Other;
        }
        let (dst, src) = (usize::from(insn.dst().min(FP)), usize::from(insn.src().min(FP)));
        match insn.class() {
            class::LD if insn.is_ld_imm64() => state[dst] = Class::Other,
            class::LD => clobber(state),
            class::LDX => {
                self.touch(state[src], insn.off.into());
                // Sign-extending loads have another mode.
                let small = insn.code & 0xe0 == 0x60 && insn.code & 0x18 != 0x18;
                state[dst] = if small { Class::Small } else { Class::Other };
            }
            class::ST => self.touch(state[dst], insn.off.into()),
            class::STX => {
                self.touch(state[dst], insn.off.into());
                self.touch(state[src], 0);
                self.extent.loose |= matches!(state[src], Class::Frame(_));
                let writes = inst.reg_use().writes;
                for (reg, class) in state.iter_mut().enumerate().take(10) {
                    if writes.has(reg as u8) {
                        *class = Class::Other;
                    }
                }
            }
            class::ALU => state[dst] = Class::Small,
            class::ALU64 => state[dst] = self.arithmetic(inst, state[dst], state[src]),
            _ if inst.is_call() => self.call(inst, state),
            _ => {}
        }
        state[usize::from(FP)] = frame;
    }

    fn arithmetic(&mut self, inst: &Inst, dst: Class, src: Class) -> Class {
        let insn = inst.insn;
        let by_reg = insn.code & 8 != 0;
        match insn.code & 0xf0 {
            0xb0 if insn.code == MOV64 && insn.off == 0 => return src,
            0xb0 if !by_reg => {
                return if insn.imm >= 0 { Class::Small } else { Class::Other };
            }
            0x00 if insn.code == ADD64_IMM => {
                if let Class::Frame(at) = dst {
                    return Class::Frame(at.saturating_add(insn.imm));
                }
            }
            // Going up by a number, or from a number.
            0x00 => match (dst, src) {
                (Class::Frame(at), number) | (number, Class::Frame(at)) if number.is_number() => {
                    return Class::Frame(at);
                }
                _ => {}
            },
            // The distance of two addresses.
            0x10 if by_reg && matches!((dst, src), (Class::Frame(_), Class::Frame(_))) => {
                return Class::Other;
            }
            0x50 if !by_reg && insn.imm >= 0 && !matches!(dst, Class::Frame(_)) => {
                return Class::Small;
            }
            // A shift of a small number to the left, to the right of anything.
            0x60 if !by_reg && dst == Class::Small && (0..=30).contains(&{ insn.imm }) => {
                return Class::Wide;
            }
            0x70 if !by_reg && insn.imm >= 32 && !matches!(dst, Class::Frame(_)) => {
                return Class::Small;
            }
            _ => {}
        }
        let moved = insn.code & 0xf0 != 0xb0 && matches!(dst, Class::Frame(_));
        self.extent.loose |= moved || by_reg && matches!(src, Class::Frame(_));
        Class::Other
    }

    fn call(&mut self, inst: &Inst, state: &mut State) {
        let mut addresses = 0u16;
        for reg in 1..=5u16 {
            if let Class::Frame(_) = state[usize::from(reg)] {
                self.touch(state[usize::from(reg)], 0);
                addresses |= 1 << reg;
            }
        }
        if addresses != 0 {
            let kept = match inst.bpf_call() {
                Some(callee) => (self.calls)(callee, addresses),
                // Helpers go up from what they are given; a kernel function may hand it back, and a
                // callback may do anything with it.
                None => inst.insn.helper().is_some() && inst.reloc.is_none() && !self.callbacks,
            };
            self.extent.loose |= !kept;
        }
        clobber(state);
    }
}

fn clobber(state: &mut State) {
    state[..6].fill(Class::Other);
}
