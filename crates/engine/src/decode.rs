//! From the instructions of an image to those of the loop. What can be told from the instruction
//! alone is checked here; everything else as it runs.

use std::sync::Arc;

use bpfweld_btf::Btf;
use bpfweld_insn::{CALL, EXIT, Insn, JA, JA32, LD_IMM64, class, pseudo};
use bpfweld_link::{Image, ImageTarget, KernelRef};

use crate::error::{LoadError, SourceLine};
use crate::memory::{FUNCTIONS, MAPS, address};
use crate::op::{Code, Op};

/// Helper numbers with an opcode of their own.
const MAP_LOOKUP: i32 = 1;
const TAIL_CALL: i32 = 12;
/// Kernel functions without an effect where nothing runs at the same time.
const NO_EFFECT: [&str; 4] =
    ["bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_preempt_disable", "bpf_preempt_enable"];
/// The frame pointer.
const FP: u8 = 10;

/// A program, ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) image: Arc<Image>,
    pub(crate) btf: Arc<Btf>,
}

impl Program {
    /// The function that a slot is in.
    pub(crate) fn function(&self, insn: u32) -> &str {
        let at = self.image.functions.partition_point(|f| f.start <= insn);
        at.checked_sub(1).and_then(|i| self.image.functions.get(i)).map_or("", |f| &f.name)
    }

    /// The source line of a slot.
    pub(crate) fn line(&self, insn: u32) -> Option<SourceLine> {
        let at = self.image.lines.partition_point(|l| l.insn <= insn);
        let line = self.image.lines.get(at.checked_sub(1)?)?;
        let text = |off| self.btf.str_at(off).to_owned();
        Some(SourceLine {
            file: text(line.file_off),
            line: line.line_col >> 10,
            column: line.line_col & 0x3ff,
            text: text(line.line_off),
        })
    }

    /// Name of the kernel function that the reloc of this index wants.
    pub(crate) fn kernel_function(&self, reloc: u64) -> String {
        match self.image.relocs.get(reloc as usize).map(|r| &r.target) {
            Some(ImageTarget::KernelFunction(wanted)) => wanted.name.clone(),
            _ => String::new(),
        }
    }
}

/// Where the value of a map's only element is.
pub(crate) type ValueAddress<'a> = &'a dyn Fn(usize, u32) -> Option<u64>;

/// Decodes image `index` of a set.
pub(crate) fn decode(
    image: &Image,
    index: usize,
    value: ValueAddress<'_>,
) -> Result<Vec<Op>, LoadError> {
    let mut decoder = Decoder { image, index: index as u64, value, relocs: 0 };
    let mut ops = Vec::with_capacity(image.insns.len());
    while ops.len() < image.insns.len() {
        decoder.step(&mut ops)?;
    }
    Ok(ops)
}

struct Decoder<'a> {
    image: &'a Image,
    index: u64,
    value: ValueAddress<'a>,
    /// Relocs before this one are done.
    relocs: usize,
}

impl Decoder<'_> {
    fn error(&self, insn: usize, problem: impl Into<String>) -> LoadError {
        LoadError::Instruction { program: self.image.name.clone(), insn, problem: problem.into() }
    }

    /// Decodes the next instruction, one slot or two.
    fn step(&mut self, ops: &mut Vec<Op>) -> Result<(), LoadError> {
        let at = ops.len();
        let Some(&insn) = self.image.insns.get(at) else { return Ok(()) };
        if insn.dst() > FP || (insn.src() > FP && insn.code != LD_IMM64) {
            return Err(self.error(at, "there are only registers 0 to 10"));
        }
        let reloc = self.reloc(at);
        if insn.code == LD_IMM64 {
            let imm = self.immediate(at, insn, reloc)?;
            ops.push(Op { code: Code::Imm64, dst: insn.dst(), src: 0, off: 0, imm });
            ops.push(Op { code: Code::Half, dst: 0, src: 0, off: 0, imm: 0 });
            return Ok(());
        }
        let imm = i64::from(insn.imm).cast_unsigned();
        let plain = |code| Op { code, dst: insn.dst(), src: insn.src(), off: insn.off.into(), imm };
        let unknown = || self.error(at, format!("there is no opcode {:#04x} like this", insn.code));
        let op = match insn.class() {
            class::ALU | class::ALU64 => plain(arithmetic(insn).ok_or_else(unknown)?),
            class::JMP | class::JMP32 => self.jump(at, insn, reloc)?.ok_or_else(unknown)?,
            class::LD => plain(legacy(insn).ok_or_else(unknown)?),
            class::LDX => plain(load(insn).ok_or_else(unknown)?),
            class::ST => plain(store(insn).ok_or_else(unknown)?),
            _ if insn.code & 0xe0 == 0xc0 => self.atomic(at, insn)?,
            _ => plain(store(insn).ok_or_else(unknown)?),
        };
        let writes_dst = matches!(insn.class(), class::ALU | class::ALU64 | class::LDX);
        if writes_dst && insn.dst() == FP {
            return Err(self.error(at, "r10 is read only"));
        }
        ops.push(op);
        Ok(())
    }

    /// Index of the reloc of a slot.
    fn reloc(&mut self, at: usize) -> Option<usize> {
        let relocs = &self.image.relocs;
        while relocs.get(self.relocs).is_some_and(|r| (r.insn as usize) < at) {
            self.relocs += 1;
        }
        relocs.get(self.relocs).filter(|r| r.insn as usize == at).map(|_| self.relocs)
    }

    fn immediate(&self, at: usize, insn: Insn, reloc: Option<usize>) -> Result<u64, LoadError> {
        let Some(second) = self.image.insns.get(at + 1) else {
            return Err(self.error(at, "the second half of a 64-bit immediate load is missing"));
        };
        let reloc = reloc.and_then(|i| self.image.relocs.get(i));
        match reloc.map(|r| &r.target) {
            Some(ImageTarget::Map(map)) => Ok(address(MAPS, map.index() as u64)),
            Some(ImageTarget::MapValue { map, offset }) => {
                let value = (self.value)(map.index(), *offset);
                value.ok_or_else(|| self.error(at, "the map has no value that has an address"))
            }
            Some(
                ImageTarget::KernelFunctionAddr(wanted)
                | ImageTarget::TypedKsym(wanted)
                | ImageTarget::TypelessKsym(wanted),
            ) => self.missing(wanted).map(|()| 0),
            Some(ImageTarget::KernelFunction(_)) => Err(self.error(at, "is no call")),
            Some(ImageTarget::JumpTable(_)) => {
                Err(self
                    .error(at, "jumps through a table, which takes a kernel (feature jump-tables)"))
            }
            None if insn.src() == pseudo::FUNC => {
                let target = (at as i64 + 1).saturating_add(insn.imm.into());
                match self.slot(target) {
                    Some(slot) => Ok(address(FUNCTIONS, self.index << 32 | u64::from(slot))),
                    None => Err(self.error(at, "the function lies outside the program")),
                }
            }
            None if insn.src() == 0 => {
                let low = u64::from(insn.imm.cast_unsigned());
                Ok(u64::from(second.imm.cast_unsigned()) << 32 | low)
            }
            None => Err(self.error(at, "refers to something that no reloc names")),
        }
    }

    /// A kernel symbol: fine when it may be missing.
    fn missing(&self, wanted: &KernelRef) -> Result<(), LoadError> {
        match wanted.weak {
            true => Ok(()),
            false => Err(LoadError::KernelSymbol {
                program: self.image.name.clone(),
                instance: wanted.instance.clone(),
                symbol: wanted.name.clone(),
            }),
        }
    }

    fn slot(&self, target: i64) -> Option<u32> {
        let inside = usize::try_from(target).is_ok_and(|t| t < self.image.insns.len());
        if inside { u32::try_from(target).ok() } else { None }
    }

    fn jump(&self, at: usize, insn: Insn, reloc: Option<usize>) -> Result<Option<Op>, LoadError> {
        let imm = i64::from(insn.imm).cast_unsigned();
        let op = |code, off: u32| Op {
            code,
            dst: insn.dst(),
            src: insn.src(),
            off: off.cast_signed(),
            imm,
        };
        match insn.code {
            EXIT => return Ok(Some(op(Code::Exit, 0))),
            CALL => return self.call(at, insn, reloc).map(Some),
            bpfweld_insn::flow::CALLX => return Ok(Some(op(Code::Indirect, 0))),
            _ => {}
        }
        let distance = if insn.code == JA32 { i64::from(insn.imm) } else { i64::from(insn.off) };
        let Some(code) = condition(insn) else { return Ok(None) };
        match self.slot((at as i64 + 1).saturating_add(distance)) {
            Some(target) => Ok(Some(op(code, target))),
            None => Err(self.error(at, "jumps out of the program")),
        }
    }

    fn call(&self, at: usize, insn: Insn, reloc: Option<usize>) -> Result<Op, LoadError> {
        let op = |code, off: u32, imm| Op { code, dst: 0, src: 0, off: off.cast_signed(), imm };
        let target = reloc.and_then(|i| self.image.relocs.get(i)).map(|r| &r.target);
        match (insn.src(), target) {
            (_, Some(ImageTarget::KernelFunction(wanted))) => {
                if NO_EFFECT.contains(&wanted.name.split("___").next().unwrap_or_default()) {
                    return Ok(op(Code::Nothing, 0, 0));
                }
                self.missing(wanted)?;
                Ok(op(Code::KernelFunction, 0, reloc.unwrap_or_default() as u64))
            }
            (pseudo::CALL, _) => match self.slot((at as i64 + 1).saturating_add(insn.imm.into())) {
                Some(slot) => Ok(op(Code::Call, slot, 0)),
                None => Err(self.error(at, "calls out of the program")),
            },
            (0, _) => {
                let number = u64::from(insn.imm.cast_unsigned());
                Ok(match insn.imm {
                    MAP_LOOKUP => op(Code::MapLookup, 0, number),
                    TAIL_CALL => op(Code::TailCall, 0, number),
                    _ => op(Code::Helper, 0, number),
                })
            }
            (pseudo::KFUNC_CALL, _) => {
                Err(self.error(at, "calls a kernel function that no reloc names"))
            }
            _ => Err(self.error(at, "is no call")),
        }
    }

    fn atomic(&self, at: usize, insn: Insn) -> Result<Op, LoadError> {
        let op = |code| Op {
            code,
            dst: insn.dst(),
            src: insn.src(),
            off: insn.off.into(),
            imm: insn.imm as u32 as u64,
        };
        let size = insn.code & 0x18;
        let code = match (insn.imm, size) {
            // Load-acquire and store-release (v4): nothing runs at the same time.
            (0x100, 0x10) => Code::Load8,
            (0x100, 0x08) => Code::Load16,
            (0x100, 0x00) => Code::Load32,
            (0x100, _) => Code::Load64,
            (0x110, 0x10) => Code::StoreX8,
            (0x110, 0x08) => Code::StoreX16,
            (0x110, 0x00) => Code::StoreX32,
            (0x110, _) => Code::StoreX64,
            (0x00 | 0x01 | 0x40 | 0x41 | 0x50 | 0x51 | 0xa0 | 0xa1 | 0xe1 | 0xf1, 0x00) => {
                Code::Atomic32
            }
            (0x00 | 0x01 | 0x40 | 0x41 | 0x50 | 0x51 | 0xa0 | 0xa1 | 0xe1 | 0xf1, 0x18) => {
                Code::Atomic64
            }
            _ => {
                let problem =
                    format!("there is no atomic operation {:#x} of this size", { insn.imm });
                return Err(self.error(at, problem));
            }
        };
        Ok(op(code))
    }
}

/// By width and operand: 64-bit immediate, 64-bit register, 32-bit immediate, 32-bit register.
macro_rules! forms {
    ($wide:expr, $reg:expr, $a:ident, $b:ident, $c:ident, $d:ident) => {
        match ($wide, $reg) {
            (true, false) => Code::$a,
            (true, true) => Code::$b,
            (false, false) => Code::$c,
            (false, true) => Code::$d,
        }
    };
}

fn arithmetic(insn: Insn) -> Option<Code> {
    let wide = insn.class() == class::ALU64;
    let reg = insn.code & 8 != 0;
    let op = insn.code & 0xf0;
    let signed = match (op, insn.off) {
        (_, 0) => false,
        (0x30 | 0x90, 1) => true,
        (0xb0, 8 | 16 | 32) if reg => true,
        _ => return None,
    };
    Some(match op {
        0x00 => forms!(wide, reg, Add64K, Add64X, Add32K, Add32X),
        0x10 => forms!(wide, reg, Sub64K, Sub64X, Sub32K, Sub32X),
        0x20 => forms!(wide, reg, Mul64K, Mul64X, Mul32K, Mul32X),
        0x30 if signed => forms!(wide, reg, SDiv64K, SDiv64X, SDiv32K, SDiv32X),
        0x30 => forms!(wide, reg, Div64K, Div64X, Div32K, Div32X),
        0x40 => forms!(wide, reg, Or64K, Or64X, Or32K, Or32X),
        0x50 => forms!(wide, reg, And64K, And64X, And32K, And32X),
        0x60 => forms!(wide, reg, Lsh64K, Lsh64X, Lsh32K, Lsh32X),
        0x70 => forms!(wide, reg, Rsh64K, Rsh64X, Rsh32K, Rsh32X),
        0x80 if !reg => {
            if wide {
                Code::Neg64
            } else {
                Code::Neg32
            }
        }
        0x90 if signed => forms!(wide, reg, SMod64K, SMod64X, SMod32K, SMod32X),
        0x90 => forms!(wide, reg, Mod64K, Mod64X, Mod32K, Mod32X),
        0xa0 => forms!(wide, reg, Xor64K, Xor64X, Xor32K, Xor32X),
        0xb0 if signed => match (wide, insn.off) {
            (true, 8) => Code::Mov8To64,
            (true, 16) => Code::Mov16To64,
            (true, _) => Code::Mov32To64,
            (false, 8) => Code::Mov8To32,
            (false, 16) => Code::Mov16To32,
            (false, _) => return None,
        },
        0xb0 => forms!(wide, reg, Mov64K, Mov64X, Mov32K, Mov32X),
        0xc0 => forms!(wide, reg, Arsh64K, Arsh64X, Arsh32K, Arsh32X),
        0xd0 => match (wide, reg, insn.imm) {
            (true, false, 16) => Code::Swap16,
            (true, false, 32) => Code::Swap32,
            (true, false, 64) => Code::Swap64,
            (false, false, 16) => Code::Le16,
            (false, false, 32) => Code::Le32,
            (false, false, 64) => Code::Le64,
            (false, true, 16) => Code::Be16,
            (false, true, 32) => Code::Be32,
            (false, true, 64) => Code::Be64,
            _ => return None,
        },
        _ => return None,
    })
}

fn condition(insn: Insn) -> Option<Code> {
    let wide = insn.class() == class::JMP;
    let reg = insn.code & 8 != 0;
    Some(match insn.code & 0xf0 {
        0x00 if insn.code == JA || insn.code == JA32 => Code::Ja,
        0x10 => forms!(wide, reg, JEq64K, JEq64X, JEq32K, JEq32X),
        0x20 => forms!(wide, reg, JGt64K, JGt64X, JGt32K, JGt32X),
        0x30 => forms!(wide, reg, JGe64K, JGe64X, JGe32K, JGe32X),
        0x40 => forms!(wide, reg, JSet64K, JSet64X, JSet32K, JSet32X),
        0x50 => forms!(wide, reg, JNe64K, JNe64X, JNe32K, JNe32X),
        0x60 => forms!(wide, reg, JSGt64K, JSGt64X, JSGt32K, JSGt32X),
        0x70 => forms!(wide, reg, JSGe64K, JSGe64X, JSGe32K, JSGe32X),
        0xa0 => forms!(wide, reg, JLt64K, JLt64X, JLt32K, JLt32X),
        0xb0 => forms!(wide, reg, JLe64K, JLe64X, JLe32K, JLe32X),
        0xc0 => forms!(wide, reg, JSLt64K, JSLt64X, JSLt32K, JSLt32X),
        0xd0 => forms!(wide, reg, JSLe64K, JSLe64X, JSLe32K, JSLe32X),
        0xe0 if insn.code == bpfweld_insn::flow::JCOND && insn.src() == 0 => Code::MayGoto,
        _ => return None,
    })
}

/// Size bits: 0 word, 8 half, 16 byte, 24 double word.
fn load(insn: Insn) -> Option<Code> {
    Some(match (insn.code & 0xe0, insn.code & 0x18) {
        (0x60, 0x10) => Code::Load8,
        (0x60, 0x08) => Code::Load16,
        (0x60, 0x00) => Code::Load32,
        (0x60, _) => Code::Load64,
        (0x80, 0x10) => Code::LoadS8,
        (0x80, 0x08) => Code::LoadS16,
        (0x80, 0x00) => Code::LoadS32,
        _ => return None,
    })
}

fn store(insn: Insn) -> Option<Code> {
    Some(match (insn.class(), insn.code & 0xe0, insn.code & 0x18) {
        (class::ST, 0x60, 0x10) => Code::StoreK8,
        (class::ST, 0x60, 0x08) => Code::StoreK16,
        (class::ST, 0x60, 0x00) => Code::StoreK32,
        (class::ST, 0x60, _) => Code::StoreK64,
        (class::STX, 0x60, 0x10) => Code::StoreX8,
        (class::STX, 0x60, 0x08) => Code::StoreX16,
        (class::STX, 0x60, 0x00) => Code::StoreX32,
        (class::STX, 0x60, _) => Code::StoreX64,
        _ => return None,
    })
}

fn legacy(insn: Insn) -> Option<Code> {
    Some(match (insn.code & 0xe0, insn.code & 0x18) {
        (0x20, 0x10) => Code::Abs8,
        (0x20, 0x08) => Code::Abs16,
        (0x20, 0x00) => Code::Abs32,
        (0x40, 0x10) => Code::Ind8,
        (0x40, 0x08) => Code::Ind16,
        (0x40, 0x00) => Code::Ind32,
        _ => return None,
    })
}
