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
pub use helpers::{helper_arguments, helper_gpl_only, helper_name, helper_number};
pub use text::Text;

/// Bytes of one instruction slot. A 64-bit immediate load takes two slots.
pub const INSN_SIZE: usize = 8;

/// One instruction slot (RFC 9669, section 3), laid out as the kernel's (`struct bpf_insn`).
///
/// A 64-bit immediate load is two slots: the second has all but `imm` zero, which holds the upper half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
// Packed, so that one may lie anywhere in a file's bytes.
#[repr(C, packed)]
pub struct Insn {
    /// Opcode: class, operation and source, or class, size and mode.
    pub code: u8,
    /// Both registers, where this machine has C's bit fields: [`dst`](Self::dst) and [`src`](Self::src).
    pub regs: u8,
    /// Offset: of a jump in slots, of a memory access in bytes.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

const _: () = assert!(size_of::<Insn>() == INSN_SIZE);

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
    /// An instruction of these fields, of the registers the lower 4 bits.
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        let regs = match cfg!(target_endian = "little") {
            true => dst & 0xf | src << 4,
            false => dst << 4 | src & 0xf,
        };
        Self { code, regs, off, imm }
    }

    /// What [`Insn::new`] takes.
    pub const fn fields(self) -> (u8, u8, u8, i16, i32) {
        (self.code, self.dst(), self.src(), self.off, self.imm)
    }

    /// Destination register, 0 to 10.
    pub const fn dst(self) -> u8 {
        if cfg!(target_endian = "little") { self.regs & 0xf } else { self.regs >> 4 }
    }

    /// Source register, or the kind of a pseudo reference.
    pub const fn src(self) -> u8 {
        if cfg!(target_endian = "little") { self.regs >> 4 } else { self.regs & 0xf }
    }

    /// With another destination register.
    pub const fn with_dst(self, dst: u8) -> Self {
        Self::new(self.code, dst, self.src(), self.off, self.imm)
    }

    /// With another source register.
    pub const fn with_src(self, src: u8) -> Self {
        Self::new(self.code, self.dst(), src, self.off, self.imm)
    }

    /// The instructions that these bytes are to this machine; what is left behind whole slots does not
    /// count.
    pub fn in_bytes(bytes: &[u8]) -> &[Self] {
        bytemuck::must_cast_slice(bytes.as_chunks::<INSN_SIZE>().0)
    }

    /// Decodes one slot of a little-endian object.
    pub fn from_le(b: [u8; INSN_SIZE]) -> Self {
        let (off, imm) = ([b[2], b[3]], [b[4], b[5], b[6], b[7]]);
        Self::new(b[0], b[1] & 0xf, b[1] >> 4, i16::from_le_bytes(off), i32::from_le_bytes(imm))
    }

    /// Decodes one slot of a big-endian object, whose register halves are swapped too.
    pub fn from_be(b: [u8; INSN_SIZE]) -> Self {
        let (off, imm) = ([b[2], b[3]], [b[4], b[5], b[6], b[7]]);
        Self::new(b[0], b[1] >> 4, b[1] & 0xf, i16::from_be_bytes(off), i32::from_be_bytes(imm))
    }

    /// Encodes the slot for a little-endian machine.
    pub fn to_le(self) -> [u8; INSN_SIZE] {
        let off = self.off.to_le_bytes();
        let imm = self.imm.to_le_bytes();
        let regs = self.dst() | self.src() << 4;
        [self.code, regs, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
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
        self.code == CALL && self.src() == pseudo::CALL
    }

    /// A call of a helper: the helper's number.
    pub fn helper(self) -> Option<u32> {
        (self.code == CALL && self.src() == 0).then_some(self.imm as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_byte_order() {
        let insn = Insn::new(0x7b, 10, 1, -8, 0x0102_0304);
        assert_eq!(insn.fields(), (0x7b, 10, 1, -8, 0x0102_0304));
        assert_eq!(insn.with_dst(3).with_src(12).fields(), (0x7b, 3, 12, -8, 0x0102_0304));
        let little = [0x7b, 0x1a, 0xf8, 0xff, 4, 3, 2, 1];
        assert_eq!(insn.to_le(), little);
        let native = if cfg!(target_endian = "little") { Insn::from_le } else { Insn::from_be };
        let bytes: Vec<u8> = (0..21).collect();
        let (slots, _) = bytes[1..].as_chunks();
        assert_eq!(Insn::in_bytes(&bytes[1..]), [native(slots[0]), native(slots[1])]);
        assert_eq!(Insn::from_le(little), insn);
        assert_eq!(Insn::from_be([0x7b, 0xa1, 0xff, 0xf8, 1, 2, 3, 4]), insn);
    }
}
