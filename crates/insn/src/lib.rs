//! BPF instructions (RFC 9669): encoding, opcodes, pseudo source registers, helper names.
//!
//! | module | what lives there |
//! |---|---|
//! | [`flow`] | where an instruction goes next, which registers it reads and writes |
//! | [`text`] | instructions as text |
//! | [`helpers`] | names of kernel helpers, which ones are GPL-only |
//!
//! Knows nothing of files, BTF or the kernel. A new opcode or helper goes here and nowhere else.

pub mod flow;
pub mod helpers;
pub mod text;

pub use flow::{Flow, RegUse, Regs};
pub use helpers::{helper_gpl_only, helper_name, helper_number};
pub use text::Text;

/// Bytes of one instruction slot. A 64-bit immediate load takes two slots.
pub const INSN_SIZE: usize = 8;

/// One instruction slot, decoded (RFC 9669, section 3).
///
/// A 64-bit immediate load is two slots: the second has `code`, `dst`, `src` and `off` zero, and
/// `imm` holds the upper half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
// 9 bytes, not 12: objects have hundreds of thousands of them, and each is there more than once.
#[repr(Rust, packed)]
pub struct Insn {
    /// Opcode: class, operation and source, or class, size and mode.
    pub code: u8,
    /// Destination register, 0 to 10 (4 bits on the wire).
    pub dst: u8,
    /// Source register, or the kind of a pseudo reference (4 bits on the wire).
    pub src: u8,
    /// Offset: of a jump in slots, of a memory access in bytes.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

/// `dst = imm64`: the first slot of a 64-bit immediate load (`BPF_LD | BPF_IMM | BPF_DW`).
pub const LD_IMM64: u8 = 0x18;
/// Call of a helper, a BPF function or a kernel function (`BPF_JMP | BPF_CALL`).
pub const CALL: u8 = 0x85;
/// Return from a function (`BPF_JMP | BPF_EXIT`).
pub const EXIT: u8 = 0x95;
/// Unconditional jump with a 16-bit offset (`BPF_JMP | BPF_JA`).
pub const JA: u8 = 0x05;
/// Unconditional jump with a 32-bit offset in `imm` (`BPF_JMP32 | BPF_JA`, instruction set v4).
pub const JA32: u8 = 0x06;

/// Values of `src` in an [`LD_IMM64`] (kernel header `linux/bpf.h`).
pub mod pseudo {
    /// `imm` is the fd of a map; the result is the map's address.
    pub const MAP_FD: u8 = 1;
    /// `imm` is the fd of a map, the second slot's `imm` an offset into its value.
    pub const MAP_VALUE: u8 = 2;
    /// `imm` is a BTF id of a kernel variable, the second slot's `imm` the fd of a module's BTF.
    pub const BTF_ID: u8 = 3;
    /// `imm` is the distance in slots to a function whose address is wanted (from the next slot).
    pub const FUNC: u8 = 4;
    /// In a [`super::CALL`]: `imm` is the distance in slots to the function (from the next slot).
    pub const CALL: u8 = 1;
    /// In a [`super::CALL`]: `imm` is the BTF id of a kernel function, `off` selects the module.
    pub const KFUNC_CALL: u8 = 2;
}

/// Instruction classes: the low three bits of the opcode.
pub mod class {
    /// Non-standard loads: 64-bit immediates and legacy packet access.
    pub const LD: u8 = 0;
    /// Loads from memory.
    pub const LDX: u8 = 1;
    /// Stores of an immediate.
    pub const ST: u8 = 2;
    /// Stores of a register, and atomics.
    pub const STX: u8 = 3;
    /// 32-bit arithmetic.
    pub const ALU: u8 = 4;
    /// Jumps on 64-bit comparison, calls and exit.
    pub const JMP: u8 = 5;
    /// Jumps on 32-bit comparison.
    pub const JMP32: u8 = 6;
    /// 64-bit arithmetic.
    pub const ALU64: u8 = 7;
}

impl Insn {
    /// Decodes one slot of a little-endian object.
    pub fn from_le(b: [u8; INSN_SIZE]) -> Self {
        Self {
            code: b[0],
            dst: b[1] & 0xf,
            src: b[1] >> 4,
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// Decodes one slot of a big-endian object, whose register halves are swapped too.
    pub fn from_be(b: [u8; INSN_SIZE]) -> Self {
        Self {
            code: b[0],
            dst: b[1] >> 4,
            src: b[1] & 0xf,
            off: i16::from_be_bytes([b[2], b[3]]),
            imm: i32::from_be_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// Encodes the slot for a little-endian machine.
    pub fn to_le(self) -> [u8; INSN_SIZE] {
        let off = self.off.to_le_bytes();
        let imm = self.imm.to_le_bytes();
        [self.code, self.dst & 0xf | self.src << 4, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
    }

    /// The instruction class, see [`class`].
    pub fn class(self) -> u8 {
        self.code & 7
    }

    /// The first slot of a 64-bit immediate load?
    pub fn is_ld_imm64(self) -> bool {
        self.code == LD_IMM64
    }

    /// A call of a BPF function (`src` = [`pseudo::CALL`])?
    pub fn is_bpf_call(self) -> bool {
        self.code == CALL && self.src == pseudo::CALL
    }

    /// A call of a helper: the helper's number.
    pub fn helper(self) -> Option<u32> {
        (self.code == CALL && self.src == 0).then_some(self.imm as u32)
    }
}
