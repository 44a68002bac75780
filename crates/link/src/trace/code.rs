//! The instructions that write records into the trace map.
//!
//! What they may use, and nothing else:
//!
//! * Where a function begins, r1 to r5 are its arguments; r0 and r6 to r9 hold nothing that the function
//!   may read.
//! * Where it ends, r0 is its result and the rest is dead.
//! * Behind the call of a helper, r0 is its result and r1 to r5 are dead; before it, only r0 is free.
//!
//! The context is needed at the end and may be gone by then: it is kept in a slot of the stack below all
//! that the function uses. No helper that is called here changes the packet, so none makes the verifier
//! forget what it knows of packet pointers.

use bpfweld_insn::{CALL, Insn, JA, LD_IMM64};
use bpfweld_object::ProgramType;

use super::event::{LIMIT, RECORD, RECORDS, SNAPSHOT, STASH, kind};
use super::plan::{Detail, RedirectSite, TracedFunction, ValueKind};

/// `bpf_skb_load_bytes`, `bpf_xdp_get_buff_len`, `bpf_xdp_load_bytes`.
const SKB_LOAD_BYTES: i32 = 26;
const XDP_GET_BUFF_LEN: i32 = 188;
const XDP_LOAD_BYTES: i32 = 189;
/// Offsets in `struct xdp_md`, and of the length in `struct __sk_buff`.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const DATA_META: i16 = 8;
const SKB_LEN: i16 = 0;
/// Offsets in a record, from the map's value plus the record's place.
const KIND: i16 = RECORDS as i16;
const INDEX: i16 = KIND + 4;
const VALUE: i16 = KIND + 8;
const ADDRESS: i16 = KIND + 16;
const LEN: i16 = KIND + 24;
const METADATA: i16 = KIND + 28;
const TAKEN: i16 = KIND + 32;

/// Opcodes.
mod op {
    pub(super) const MOV: u8 = 0xbf;
    pub(super) const MOV_K: u8 = 0xb7;
    pub(super) const ADD: u8 = 0x0f;
    pub(super) const ADD_K: u8 = 0x07;
    pub(super) const SUB: u8 = 0x1f;
    pub(super) const AND_K: u8 = 0x57;
    pub(super) const LOAD_W: u8 = 0x61;
    pub(super) const LOAD_DW: u8 = 0x79;
    pub(super) const STORE_W: u8 = 0x63;
    pub(super) const STORE_DW: u8 = 0x7b;
    pub(super) const STORE_W_K: u8 = 0x62;
    pub(super) const STORE_DW_K: u8 = 0x7a;
    pub(super) const JGT_K: u8 = 0x25;
    pub(super) const JLE_K: u8 = 0xb5;
    pub(super) const JLT_K: u8 = 0xa5;
    pub(super) const JEQ_K: u8 = 0x15;
}

/// Instructions to insert, and which of them load the address of the trace map's value.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    pub(super) insns: Vec<Insn>,
    /// Indices of the loads.
    pub(super) maps: Vec<usize>,
}

/// A jump whose target is not known yet.
struct Jump(usize);

/// Registers that hold the map's value, the place of the record in it, and their sum.
#[derive(Clone, Copy)]
struct Use {
    base: u8,
    cursor: u8,
    record: u8,
}

/// A function, as the code in it needs to know it.
pub(super) struct Site<'a> {
    pub(super) image: u16,
    pub(super) index: u32,
    pub(super) function: &'a TracedFunction,
    pub(super) prog_type: ProgramType,
    pub(super) detail: Detail,
    /// Offset of the stack slot of the context from r10.
    pub(super) slot: i16,
}

impl Site<'_> {
    /// What runs where the function begins.
    pub(super) fn enter(&self) -> Code {
        let mut code = Code::default();
        if !self.function.packet {
            code.plain(self, kind::ENTER, Use { base: 6, cursor: 7, record: 8 }, None);
            return code;
        }
        code.op(op::STORE_DW, 10, 1, self.slot, 0);
        if self.detail == Detail::Lengths {
            code.lengths(self, kind::ENTER, Use { base: 6, cursor: 7, record: 8 }, (1, 9, 0), None);
            return code;
        }
        let saved = || (2..=5u8).filter(|r| self.function.arguments & 1 << r != 0);
        saved().for_each(|r| code.op(op::MOV, r + 4, r, 0, 0));
        code.bytes(self, kind::ENTER, None);
        code.op(op::LOAD_DW, 1, 10, self.slot, 0);
        saved().for_each(|r| code.op(op::MOV, r, r + 4, 0, 0));
        code
    }

    /// What runs where it ends, the return included.
    pub(super) fn exit(&self) -> Code {
        let mut code = Code::default();
        let value = self.function.value != ValueKind::None;
        if !self.function.packet {
            let value = value.then_some(0);
            code.plain(self, kind::EXIT, Use { base: 1, cursor: 2, record: 3 }, value);
        } else {
            let kept = value.then_some(6);
            if value {
                code.op(op::MOV, 6, 0, 0, 0);
            }
            code.op(op::LOAD_DW, 1, 10, self.slot, 0);
            match self.detail {
                Detail::Bytes => code.bytes(self, kind::EXIT, kept),
                _ => {
                    let used = Use { base: 2, cursor: 3, record: 4 };
                    code.lengths(self, kind::EXIT, used, (1, 5, 7), kept);
                }
            }
            if value {
                code.op(op::MOV, 0, 6, 0, 0);
            }
        }
        code.op(bpfweld_insn::EXIT, 0, 0, 0, 0);
        code
    }
}

/// What runs before and behind the call of a redirect helper.
pub(super) fn redirect(image: u16, site: u32, helper: u32) -> Option<(Code, Code)> {
    let (target, flags) = RedirectSite::registers(helper)?;
    let stash = STASH as i16;
    let mut before = Code::default();
    before.map(0);
    before.op(op::STORE_DW, 0, target, stash, 0);
    before.op(op::STORE_DW, 0, flags, stash + 8, 0);

    let mut behind = Code::default();
    let used = Use { base: 1, cursor: 2, record: 3 };
    let full = behind.open(used);
    behind.head(used, kind::REDIRECT, image, site);
    for (from, to) in [(stash, VALUE), (stash + 8, ADDRESS)] {
        behind.op(op::LOAD_DW, 4, 1, from, 0);
        behind.op(op::STORE_DW, 3, 4, to, 0);
    }
    behind.op(op::STORE_DW, 3, 0, LEN, 0);
    behind.op(op::STORE_DW_K, 3, 0, TAKEN, 0);
    behind.op(op::ADD_K, 2, 0, 0, RECORD as i32);
    behind.close(used, full);
    Some((before, behind))
}

impl Code {
    fn op(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.insns.push(Insn::new(code, dst, src, off, imm));
    }

    /// `dst = &value`.
    fn map(&mut self, dst: u8) {
        self.maps.push(self.insns.len());
        self.op(LD_IMM64, dst, 0, 0, 0);
        self.insns.push(Insn::default());
    }

    fn jump(&mut self, code: u8, dst: u8, imm: i32) -> Jump {
        self.op(code, dst, 0, 0, imm);
        Jump(self.insns.len() - 1)
    }

    /// The jump goes to what comes next. Distances here are far below 2^15.
    fn land(&mut self, jump: Jump) {
        let distance = self.insns.len() - jump.0 - 1;
        if let Some(insn) = self.insns.get_mut(jump.0) {
            insn.off = distance as i16;
        }
    }

    /// Finds the place of the next record; the jump is taken when there is none.
    fn open(&mut self, used: Use) -> Jump {
        self.map(used.base);
        self.op(op::LOAD_DW, used.cursor, used.base, 0, 0);
        let full = self.jump(op::JGT_K, used.cursor, LIMIT as i32);
        // It always is a multiple of 8; now the verifier knows.
        self.op(op::AND_K, used.cursor, 0, 0, -8);
        self.op(op::MOV, used.record, used.base, 0, 0);
        self.op(op::ADD, used.record, used.cursor, 0, 0);
        full
    }

    /// Ends a record: the next one goes where the cursor says.
    fn close(&mut self, used: Use, full: Jump) {
        self.op(op::STORE_DW, used.base, used.cursor, 0, 0);
        let done = self.jump(JA, 0, 0);
        self.land(full);
        self.lose(used);
        self.land(done);
    }

    /// Counts a record that finds no room.
    fn lose(&mut self, used: Use) {
        self.op(op::LOAD_DW, used.cursor, used.base, 8, 0);
        self.op(op::ADD_K, used.cursor, 0, 0, 1);
        self.op(op::STORE_DW, used.base, used.cursor, 8, 0);
    }

    fn head(&mut self, used: Use, kind: u8, image: u16, index: u32) {
        let kind = u32::from(kind) | u32::from(image) << 16;
        self.op(op::STORE_W_K, used.record, 0, KIND, kind.cast_signed());
        self.op(op::STORE_W_K, used.record, 0, INDEX, index.cast_signed());
    }

    fn value(&mut self, used: Use, value: Option<u8>) {
        match value {
            Some(reg) => self.op(op::STORE_DW, used.record, reg, VALUE, 0),
            None => self.op(op::STORE_DW_K, used.record, 0, VALUE, 0),
        }
    }

    /// A record without a packet.
    fn plain(&mut self, site: &Site<'_>, kind: u8, used: Use, value: Option<u8>) {
        let full = self.open(used);
        self.head(used, kind, site.image, site.index);
        self.value(used, value);
        for field in [ADDRESS, LEN, TAKEN] {
            self.op(op::STORE_DW_K, used.record, 0, field, 0);
        }
        self.op(op::ADD_K, used.cursor, 0, 0, RECORD as i32);
        self.close(used, full);
    }

    /// A record with the packet's lengths. `context` and two registers to work with.
    fn lengths(
        &mut self,
        site: &Site<'_>,
        kind: u8,
        used: Use,
        (context, data, other): (u8, u8, u8),
        value: Option<u8>,
    ) {
        let full = self.open(used);
        self.head(used, kind, site.image, site.index);
        self.value(used, value);
        if site.prog_type == ProgramType::XDP {
            self.op(op::LOAD_W, data, context, DATA, 0);
            self.op(op::LOAD_W, other, context, DATA_END, 0);
            self.op(op::SUB, other, data, 0, 0);
            self.op(op::STORE_W, used.record, other, LEN, 0);
            self.addresses(used.record, context, data, other);
        } else {
            self.op(op::LOAD_W, other, context, SKB_LEN, 0);
            self.op(op::STORE_W, used.record, other, LEN, 0);
            self.op(op::STORE_W_K, used.record, 0, METADATA, 0);
            self.op(op::STORE_DW_K, used.record, 0, ADDRESS, 0);
        }
        self.op(op::STORE_DW_K, used.record, 0, TAKEN, 0);
        self.op(op::ADD_K, used.cursor, 0, 0, RECORD as i32);
        self.close(used, full);
    }

    /// Where the packet is, and the length of its metadata; `data` is its address already.
    fn addresses(&mut self, record: u8, context: u8, data: u8, other: u8) {
        self.op(op::STORE_DW, record, data, ADDRESS, 0);
        self.op(op::LOAD_W, other, context, DATA_META, 0);
        self.op(op::SUB, data, other, 0, 0);
        self.op(op::STORE_W, record, data, METADATA, 0);
    }

    /// A record with the packet's bytes; the context is in r1. Uses r0 to r5.
    fn bytes(&mut self, site: &Site<'_>, kind: u8, value: Option<u8>) {
        let xdp = site.prog_type == ProgramType::XDP;
        let used = Use { base: 1, cursor: 2, record: 3 };
        if xdp {
            self.op(CALL, 0, 0, 0, XDP_GET_BUFF_LEN);
        } else {
            self.op(op::LOAD_W, 0, 1, SKB_LEN, 0);
        }
        let full = self.open(used);
        self.head(used, kind, site.image, site.index);
        self.value(used, value);
        self.op(op::MOV, 5, 0, 0, 0);
        self.op(op::STORE_W, 3, 5, LEN, 0);
        self.op(op::LOAD_DW, 4, 10, site.slot, 0);
        if xdp {
            self.op(op::LOAD_W, 0, 4, DATA, 0);
            self.addresses(3, 4, 0, 2);
        } else {
            self.op(op::STORE_W_K, 3, 0, METADATA, 0);
            self.op(op::STORE_DW_K, 3, 0, ADDRESS, 0);
        }
        let short = self.jump(op::JLE_K, 5, SNAPSHOT as i32);
        self.op(op::MOV_K, 5, 0, 0, SNAPSHOT as i32);
        self.land(short);
        self.op(op::STORE_DW, 3, 5, TAKEN, 0);
        self.op(op::MOV_K, 0, 0, 0, 0);
        let nothing = self.jump(op::JLT_K, 5, 1);
        self.op(op::MOV, 1, 4, 0, 0);
        self.op(op::MOV_K, 2, 0, 0, 0);
        self.op(op::ADD_K, 3, 0, 0, (RECORDS + RECORD) as i32);
        self.op(op::MOV, 4, 5, 0, 0);
        self.op(CALL, 0, 0, 0, if xdp { XDP_LOAD_BYTES } else { SKB_LOAD_BYTES });
        self.land(nothing);
        // The call took all registers. There still is room, but the verifier does not know.
        let full_now = self.open(used);
        let copied = self.jump(op::JEQ_K, 0, 0);
        self.op(op::STORE_DW_K, 3, 0, TAKEN, 0);
        self.land(copied);
        self.op(op::LOAD_DW, 4, 3, TAKEN, 0);
        self.op(op::ADD_K, 4, 0, 0, 7 + RECORD as i32);
        self.op(op::AND_K, 4, 0, 0, -8);
        self.op(op::ADD, 2, 4, 0, 0);
        self.land(full_now);
        self.close(used, full);
    }
}
