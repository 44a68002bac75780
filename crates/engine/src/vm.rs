//! The machine: runs decoded programs. Calls, callbacks, tail calls, budgets.
//!
//! The loop allocates nothing. Calls between functions are frames of the machine; only helpers that
//! call back (`bpf_loop`) run the loop inside itself, and not deeper than there are frames.

pub(crate) mod alu;
mod watch;

use bpfweld_link::trace::Recorder;

use crate::decode::Program;
use crate::error::FaultKind;
use crate::helpers;
use crate::maps::Map;
use crate::memory::{
    CTX, FRAME, FRAMES, FUNCTIONS, MAPS, Memory, OFFSET, STACK, address, region_of,
};
use crate::op::{Code, Op};
use crate::options::EngineOptions;
use crate::packet::Packet;
use crate::run::Effects;
use alu::{alu32, alu64, jump};

/// Tail calls of one run (`MAX_TAIL_CALL_CNT` of `linux/bpf.h`).
const MAX_TAIL_CALLS: u32 = 33;
/// How often a frame may pass by its `may_goto` (`BPF_MAX_LOOPS` of `linux/bpf.h`).
pub(crate) const MAX_LOOPS: u32 = 8 << 20;

/// r0 to r10; the rest only makes every index valid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Regs([u64; 16]);

impl Regs {
    #[inline(always)]
    pub(crate) fn get(&self, reg: u8) -> u64 {
        self.0[usize::from(reg & 15)]
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, reg: u8, value: u64) {
        self.0[usize::from(reg & 15)] = value;
    }

    /// r1 to r5.
    pub(crate) fn args(&self) -> [u64; 5] {
        [self.0[1], self.0[2], self.0[3], self.0[4], self.0[5]]
    }
}

/// Why the loop stops; where is filled in by the innermost loop.
#[derive(Debug)]
pub(crate) struct Trap {
    /// Program and slot.
    pub(crate) at: Option<(usize, usize)>,
    pub(crate) kind: FaultKind,
}

/// Boxed: the loop's results stay small.
pub(crate) type Result<T> = std::result::Result<T, Box<Trap>>;

/// A trap whose place is not known here.
#[cold]
pub(crate) fn trap<T>(kind: FaultKind) -> Result<T> {
    Err(Box::new(Trap { at: None, kind }))
}

/// What a program can change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) maps: Vec<Map>,
    pub(crate) packet: Packet,
    pub(crate) effects: Effects,
    pub(crate) random: u64,
    /// Where open records of ring buffers are, each in a region of its own.
    pub(crate) windows: Vec<Window>,
    /// A value on its way from one region into another; kept, so that nothing is allocated.
    pub(crate) scratch: Vec<u8>,
    /// Frames that a run has touched.
    pub(crate) touched: usize,
    /// Instructions of all runs.
    pub(crate) instructions: u64,
    /// What the last run was noted for.
    pub(crate) trace: Recorder,
}

/// A region for a record of a ring buffer from its reservation to its commit, so that a program cannot
/// reach the records beside it. Used again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) region: u64,
    /// Index of the map, and where the record is in the ring's own region; `None` while it is free.
    pub(crate) record: Option<(usize, u64)>,
}

/// What a call keeps for its return.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// r6 to r9 of the caller.
    saved: [u64; 4],
    program: usize,
    pc: usize,
    /// What `may_goto` has left in this frame.
    loops: u32,
}

/// One run.
pub(crate) struct Vm<'a> {
    pub(crate) programs: &'a [Program],
    pub(crate) state: &'a mut State,
    pub(crate) options: &'a EngineOptions,
    left: u64,
    calls: u64,
    tail_calls: u32,
    depth: usize,
    frames: [Frame; FRAMES],
    /// Is the next exit none that the program wrote?
    silent: bool,
}

impl<'a> Vm<'a> {
    pub(crate) fn new(
        programs: &'a [Program],
        state: &'a mut State,
        options: &'a EngineOptions,
    ) -> Self {
        Self {
            programs,
            state,
            options,
            left: options.instructions,
            calls: options.calls,
            tail_calls: 0,
            depth: 0,
            frames: [Frame::default(); FRAMES],
            silent: false,
        }
    }

    /// Runs a program from its start on the packet in place; gives r0.
    pub(crate) fn run(&mut self, program: usize) -> Result<u64> {
        // What one run left on the stack, the next one does not see.
        for frame in
            self.state.memory.regions.iter_mut().skip(STACK as usize).take(self.state.touched)
        {
            frame.bytes.fill(0);
        }
        self.state.touched = 1;
        let mut regs = Regs::default();
        regs.set(1, address(CTX, 0));
        regs.set(10, address(STACK, FRAME as u64));
        self.frames[0].loops = MAX_LOOPS;
        let result = self.start(&mut regs, program, 0);
        self.state.instructions += self.options.instructions - self.left;
        if result.is_err() {
            helpers::ring::discard_all(self);
        }
        result.map(|()| regs.get(0))
    }

    /// Takes from the instruction budget for work that a helper does in a loop.
    pub(crate) fn charge(&mut self, work: u64) -> Result<()> {
        match self.left.checked_sub(work) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => trap(FaultKind::Instructions { limit: self.options.instructions }),
        }
    }

    /// Frames above the first.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    fn count_call(&mut self) -> Result<()> {
        match self.calls.checked_sub(1) {
            Some(calls) => {
                self.calls = calls;
                Ok(())
            }
            None => trap(FaultKind::Calls { limit: self.options.calls }),
        }
    }

    /// Enters a function: a frame more.
    fn enter(&mut self, regs: &mut Regs, program: usize, pc: usize) -> Result<()> {
        self.count_call()?;
        let depth = self.depth + 1;
        let Some(frame) = self.frames.get_mut(depth) else { return trap(FaultKind::Frames) };
        let saved = [regs.get(6), regs.get(7), regs.get(8), regs.get(9)];
        *frame = Frame { saved, program, pc, loops: MAX_LOOPS };
        self.depth = depth;
        self.state.touched = self.state.touched.max(depth + 1);
        regs.set(10, address(STACK + depth as u64, FRAME as u64));
        Ok(())
    }

    /// Leaves a function: gives where to go on.
    fn leave(&mut self, regs: &mut Regs) -> (usize, usize) {
        let frame = self.frames[self.depth % FRAMES];
        for (reg, value) in (6..).zip(frame.saved) {
            regs.set(reg, value);
        }
        self.depth = self.depth.saturating_sub(1);
        regs.set(10, address(STACK + self.depth as u64, FRAME as u64));
        (frame.program, frame.pc)
    }

    /// Calls a function by its address, for a helper; gives its r0.
    pub(crate) fn call_back(
        &mut self,
        regs: &mut Regs,
        function: u64,
        args: [u64; 4],
    ) -> Result<u64> {
        let offset = function & OFFSET;
        let (program, pc) = ((offset >> 32) as usize, (offset & u64::from(u32::MAX)) as usize);
        if region_of(function) != FUNCTIONS {
            return trap(FaultKind::Instruction("a helper is to call what is no function"));
        }
        self.enter(regs, 0, 0)?;
        for (reg, value) in (1..).zip(args) {
            regs.set(reg, value);
        }
        self.start(regs, program, pc)?;
        self.leave(regs);
        Ok(regs.get(0))
    }

    /// Runs a function, watched or not.
    fn start(&mut self, regs: &mut Regs, program: usize, pc: usize) -> Result<()> {
        if self.options.trace.is_none() {
            return self.exec::<false>(regs, program, pc);
        }
        self.note_enter(program, pc);
        self.exec::<true>(regs, program, pc)
    }

    /// The loop: runs until the frame that is the current one now exits. There are two of it, so that
    /// the one that does not watch loses nothing.
    #[allow(clippy::too_many_lines, reason = "one arm for each opcode is the clearest form")]
    fn exec<const WATCHED: bool>(
        &mut self,
        regs: &mut Regs,
        mut program: usize,
        mut pc: usize,
    ) -> Result<()> {
        let base = self.depth;
        let programs = self.programs;
        let mut ops: &[Op] = programs.get(program).map_or(&[], |p| &p.ops);
        let mut left = self.left;
        // A trap of the instruction that was fetched last.
        macro_rules! fail {
            ($kind:expr) => {{
                self.left = left;
                return Err(Box::new(Trap {
                    at: Some((program, pc.wrapping_sub(1))),
                    kind: $kind,
                }));
            }};
        }
        macro_rules! ok {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(mut trap) => {
                        self.left = left;
                        trap.at = trap.at.or(Some((program, pc.wrapping_sub(1))));
                        return Err(trap);
                    }
                }
            };
        }
        loop {
            let Some(&op) = ops.get(pc) else {
                pc += 1;
                fail!(FaultKind::LeftProgram)
            };
            pc += 1;
            if left == 0 {
                fail!(FaultKind::Instructions { limit: self.options.instructions });
            }
            left -= 1;
            macro_rules! load {
                ($n:literal) => {{
                    let at = regs.get(op.src).wrapping_add_signed(op.off.into());
                    match self.state.memory.load::<$n>(at) {
                        Some(value) => value,
                        None => ok!(self.load_slowly(at, $n)),
                    }
                }};
            }
            macro_rules! store {
                ($n:literal, $value:expr) => {{
                    let at = regs.get(op.dst).wrapping_add_signed(op.off.into());
                    if self.state.memory.store::<$n>(at, $value).is_none() {
                        ok!(self.store_slowly(at, $value, $n));
                    }
                }};
            }
            // A helper may call back: the budget goes along.
            macro_rules! call_out {
                ($result:expr) => {{
                    self.left = left;
                    let result = $result;
                    left = self.left;
                    ok!(result)
                }};
            }
            match op.code {
                Code::Imm64 => {
                    regs.set(op.dst, op.imm);
                    pc += 1;
                }
                Code::Mov64X => regs.set(op.dst, regs.get(op.src)),
                Code::Mov64K => regs.set(op.dst, op.imm),
                Code::Mov32X => regs.set(op.dst, u64::from(regs.get(op.src) as u32)),
                Code::Mov32K => regs.set(op.dst, u64::from(op.imm as u32)),
                Code::Ja => pc = op.off as usize,
                Code::Load8 => regs.set(op.dst, load!(1)),
                Code::Load16 => regs.set(op.dst, load!(2)),
                Code::Load32 => regs.set(op.dst, load!(4)),
                Code::Load64 => regs.set(op.dst, load!(8)),
                Code::LoadS8 => regs.set(op.dst, alu::extend(load!(1), 8)),
                Code::LoadS16 => regs.set(op.dst, alu::extend(load!(2), 16)),
                Code::LoadS32 => regs.set(op.dst, alu::extend(load!(4), 32)),
                Code::StoreK8 => store!(1, op.imm),
                Code::StoreK16 => store!(2, op.imm),
                Code::StoreK32 => store!(4, op.imm),
                Code::StoreK64 => store!(8, op.imm),
                Code::StoreX8 => store!(1, regs.get(op.src)),
                Code::StoreX16 => store!(2, regs.get(op.src)),
                Code::StoreX32 => store!(4, regs.get(op.src)),
                Code::StoreX64 => store!(8, regs.get(op.src)),
                Code::Atomic32 => ok!(self.atomic::<4>(regs, op)),
                Code::Atomic64 => ok!(self.atomic::<8>(regs, op)),
                Code::Call => {
                    ok!(self.enter(regs, program, pc));
                    pc = op.off as usize;
                    if WATCHED {
                        self.note_enter(program, pc);
                    }
                }
                Code::Exit => {
                    if WATCHED {
                        self.note_exit(program, pc - 1, regs.get(0));
                    }
                    if self.depth == base {
                        self.left = left;
                        return Ok(());
                    }
                    let (to, at) = self.leave(regs);
                    pc = at;
                    if to != program {
                        program = to;
                        ops = programs.get(program).map_or(&[], |p| &p.ops);
                    }
                }
                Code::MapLookup => {
                    ok!(self.count_call());
                    let [map, key, ..] = regs.args();
                    let found = ok!(helpers::map::lookup(self, map, key));
                    regs.set(0, found);
                }
                Code::Helper => {
                    ok!(self.count_call());
                    let args = regs.args();
                    let result = call_out!(helpers::call(self, regs, op.imm as u32));
                    regs.set(0, result);
                    if WATCHED {
                        self.note_redirect(program, pc - 1, args, result);
                    }
                }
                Code::TailCall => {
                    ok!(self.count_call());
                    if let Some(to) = ok!(self.tail_call(regs)) {
                        program = to;
                        ops = programs.get(program).map_or(&[], |p| &p.ops);
                        pc = 0;
                        if WATCHED {
                            self.note_enter(program, pc);
                        }
                    }
                }
                Code::MayGoto => {
                    let frame = &mut self.frames[self.depth % FRAMES];
                    match frame.loops.checked_sub(1) {
                        Some(loops) => frame.loops = loops,
                        None => pc = op.off as usize,
                    }
                }
                Code::Abs8 => ok!(self.legacy(regs, 1, op.imm as u32, &mut pc, program)),
                Code::Abs16 => ok!(self.legacy(regs, 2, op.imm as u32, &mut pc, program)),
                Code::Abs32 => ok!(self.legacy(regs, 4, op.imm as u32, &mut pc, program)),
                Code::Ind8 | Code::Ind16 | Code::Ind32 => {
                    let at = (op.imm as u32).wrapping_add(regs.get(op.src) as u32);
                    let size = match op.code {
                        Code::Ind8 => 1,
                        Code::Ind16 => 2,
                        _ => 4,
                    };
                    ok!(self.legacy(regs, size, at, &mut pc, program));
                }
                Code::Nothing => regs.set(0, 0),
                Code::KernelFunction => {
                    let name = programs.get(program).map(|p| p.kernel_function(op.imm));
                    fail!(FaultKind::KernelFunction { name: name.unwrap_or_default() })
                }
                Code::Half => fail!(FaultKind::Instruction(
                    "control enters the second half of a 64-bit immediate load"
                )),
                Code::Indirect => fail!(FaultKind::Instruction(
                    "a call of an address in a register, which no kernel takes"
                )),
                code => {
                    // The three groups are apart so that each match compiles to one jump table.
                    if let Some(taken) = jump(code, regs.get(op.dst), regs.get(op.src), op.imm) {
                        if taken {
                            pc = op.off as usize;
                        }
                    } else if let Some(value) =
                        alu64(code, regs.get(op.dst), regs.get(op.src), op.imm)
                    {
                        regs.set(op.dst, value);
                    } else {
                        let value = alu32(code, regs.get(op.dst), regs.get(op.src), op.imm);
                        regs.set(op.dst, value);
                    }
                }
            }
        }
    }

    /// A read that is not of plain memory: of the context, or one that may not be.
    #[cold]
    #[inline(never)]
    fn load_slowly(&mut self, at: u64, size: u64) -> Result<u64> {
        let field =
            (region_of(at) == CTX).then(|| self.state.packet.load_context(at & OFFSET, size));
        match field.flatten() {
            Some(value) => Ok(value),
            None => trap(self.access(at, size, false)),
        }
    }

    #[cold]
    #[inline(never)]
    fn store_slowly(&mut self, at: u64, value: u64, size: u64) -> Result<()> {
        let done = (region_of(at) == CTX)
            .then(|| self.state.packet.store_context(at & OFFSET, value, size));
        match done.flatten() {
            Some(()) => Ok(()),
            None => trap(self.access(at, size, true)),
        }
    }

    /// The fault of an access.
    #[cold]
    pub(crate) fn access(&self, at: u64, size: u64, write: bool) -> FaultKind {
        FaultKind::Access { size, write, place: self.state.memory.describe(at) }
    }

    fn atomic<const N: usize>(&mut self, regs: &mut Regs, op: Op) -> Result<()> {
        let at = regs.get(op.dst).wrapping_add_signed(op.off.into());
        let memory = &mut self.state.memory;
        let Some(old) = memory.load::<N>(at) else {
            return trap(self.access(at, N as u64, true));
        };
        let operand = regs.get(op.src);
        let mask = if N == 4 { u64::from(u32::MAX) } else { u64::MAX };
        let new = match op.imm as u32 & !1 {
            0x00 => old.wrapping_add(operand),
            0x40 => old | operand,
            0x50 => old & operand,
            0xa0 => old ^ operand,
            0xf0 if old != regs.get(0) & mask => old,
            // Exchange, or a comparison that holds.
            _ => operand,
        };
        if memory.store::<N>(at, new).is_none() {
            return trap(self.access(at, N as u64, true));
        }
        match op.imm {
            0xf1 => regs.set(0, old),
            imm if imm & 1 != 0 => regs.set(op.src, old),
            _ => {}
        }
        Ok(())
    }

    /// r1 context, r2 prog array, r3 slot: the program to go on with, `None` to go on behind.
    fn tail_call(&mut self, regs: &mut Regs) -> Result<Option<usize>> {
        let [ctx, map, slot, ..] = regs.args();
        let maps = &self.state.maps;
        let map = if region_of(map) == MAPS { maps.get((map & OFFSET) as usize) } else { None };
        let target = map.and_then(|map| map.program(slot as u32));
        let Some(target) = target else {
            return trap(FaultKind::Argument {
                helper: "bpf_tail_call".into(),
                problem: "the map is no prog array".into(),
            });
        };
        if self.tail_calls >= MAX_TAIL_CALLS {
            return Ok(None);
        }
        let Some(target) = target.filter(|&t| (t as usize) < self.programs.len()) else {
            return Ok(None);
        };
        self.tail_calls += 1;
        self.frames[self.depth % FRAMES].loops = MAX_LOOPS;
        regs.set(1, ctx);
        Ok(Some(target as usize))
    }

    /// A legacy load: r0 in host order; outside the packet, the function returns 0.
    fn legacy(
        &mut self,
        regs: &mut Regs,
        size: u64,
        at: u32,
        pc: &mut usize,
        program: usize,
    ) -> Result<()> {
        let found = self.state.packet.legacy(&self.state.memory, at.cast_signed(), size);
        match found {
            Some(value) => regs.set(0, value),
            None => {
                regs.set(0, 0);
                // Any exit will do; every function ends with one.
                let ops = self.programs.get(program).map_or(&[][..], |p| &p.ops);
                let exit = ops.iter().position(|op| op.code == Code::Exit);
                *pc = exit.unwrap_or(ops.len());
                self.silent = true;
            }
        }
        Ok(())
    }
}
