//! Records applied to small objects and kernels made by hand, and what all the tests need for that.

use std::sync::Arc;

use bpfweld_btf::{Btf, BtfBuilder, IntEncoding, MemberSpec, TypeId};
use bpfweld_insn::{Insn, LD_IMM64};
use bpfweld_object::CoreReloc;

use super::*;

mod fields;
mod hostile;
mod instructions;
mod search;
mod types;

/// Every access string that a test uses. They are in each local BTF.
const ACCESSES: [&str; 22] = [
    "0",
    "1",
    "2",
    "3",
    "0:0",
    "0:1",
    "0:2",
    "0:3",
    "2:1",
    "0:0:0",
    "0:0:1",
    "0:0:2",
    "0:1:0",
    "0:1:1",
    "0:1:2",
    "0:1:5",
    "0:1:1:1",
    "0:x",
    ":0",
    "0:",
    "0:-1",
    "0:2147483648",
];

/// An object whose type `root` is asked about, and the kernel that it is to run on.
struct Case {
    local: Btf,
    root: TypeId,
    targets: Targets,
    accesses: Vec<(String, u32)>,
}

impl Case {
    fn new<T>(
        local: impl FnOnce(&mut BtfBuilder) -> TypeId,
        target: impl FnOnce(&mut BtfBuilder) -> T,
    ) -> Self {
        let mut b = BtfBuilder::new();
        let root = local(&mut b);
        let add = |text: &str| (text.to_owned(), b.add_str(text.as_bytes()));
        let mut accesses: Vec<_> = ACCESSES.map(add).into();
        let long = |n: usize| vec!["0"; n].join(":");
        accesses.extend([64, 65].map(|n| (long(n), b.add_str(long(n).as_bytes()))));
        let local = b.finish().unwrap();
        Self { local, root, targets: Targets::new(kernel(target), vec![]), accesses }
    }

    fn reloc(&self, kind: CoreKind, access: &str) -> CoreReloc {
        let access_off = self.accesses.iter().find(|known| known.0 == access).unwrap().1;
        CoreReloc { insn: 0, type_id: self.root, access_off, kind: kind as u32 }
    }

    fn relocator(&self) -> Relocator<'_> {
        Relocator::new("prog.o", &self.local, Some(&self.targets))
    }

    /// Applies one record to the first of these instructions.
    fn apply(
        &self,
        kind: CoreKind,
        access: &str,
        insns: &mut [Insn],
    ) -> Result<Applied, CoreProblem> {
        let done = self.relocator().apply("f", &self.reloc(kind, access), insns);
        done.map_err(|err| *err.problem)
    }

    /// What a record gives, from an instruction that holds `old`.
    fn value(&self, kind: CoreKind, access: &str, old: i32) -> Result<u64, CoreProblem> {
        match self.apply(kind, access, &mut [mov(old)])? {
            Applied::Patched { new, .. } => Ok(new),
            Applied::LocalTypeId(id) => Ok(id.0.into()),
            Applied::Poisoned(reason) => panic!("poisoned: {reason:?}"),
        }
    }

    fn poisoned(&self, kind: CoreKind, access: &str) -> bool {
        let done = self.apply(kind, access, &mut [mov(0)]);
        done == Ok(Applied::Poisoned(PoisonReason::NoMatch))
    }
}

fn kernel<T>(build: impl FnOnce(&mut BtfBuilder) -> T) -> Arc<Btf> {
    let mut b = BtfBuilder::new();
    build(&mut b);
    Arc::new(b.finish().unwrap())
}

fn int(b: &mut BtfBuilder, size: u32, signed: bool) -> TypeId {
    let bits = (size * 8) as u8;
    let encoding = IntEncoding { signed, is_char: false, is_bool: false, bit_offset: 0, bits };
    let name = format!("{}{bits}", if signed { "s" } else { "u" });
    b.add_int(&name, size, encoding)
}

fn u32_(b: &mut BtfBuilder) -> TypeId {
    int(b, 4, false)
}

/// At a byte.
fn member(name: &str, type_id: TypeId, byte: u32) -> MemberSpec<'_> {
    MemberSpec { name, type_id, bit_offset: byte * 8, bitfield_size: 0 }
}

/// At a bit.
fn bits(name: &str, type_id: TypeId, bit_offset: u32, bitfield_size: u32) -> MemberSpec<'_> {
    MemberSpec { name, type_id, bit_offset, bitfield_size }
}

/// `rX = imm`.
fn mov(imm: i32) -> Insn {
    Insn::new(0xb7, 3, 0, 0, imm)
}

/// `rX = *(size *)(rY + off)`, by the opcode.
fn load(code: u8, off: i16) -> Insn {
    Insn::new(code, 1, 2, off, 0)
}

const LDX_B: u8 = 0x71;
const LDX_H: u8 = 0x69;
const LDX_W: u8 = 0x61;
const LDX_DW: u8 = 0x79;

/// `rX = imm64`.
fn load_imm64(value: u64) -> [Insn; 2] {
    [
        Insn::new(LD_IMM64, 4, 0, 0, value as u32 as i32),
        Insn { imm: (value >> 32) as i32, ..Insn::default() },
    ]
}

#[test]
fn kinds_are_the_kernels_numbers() {
    for raw in 0..13 {
        assert_eq!(CoreKind::from_raw(raw).unwrap() as u32, raw);
        assert_eq!(poisoned_kind(POISON_HELPER + raw as i32), CoreKind::from_raw(raw));
    }
    assert_eq!(CoreKind::from_raw(13), None);
    assert_eq!(poisoned_kind(POISON_HELPER + 13), None);
    assert_eq!(poisoned_kind(POISON_HELPER - 1), None);
    assert_eq!(poisoned_kind(i32::MIN), None);
}

#[test]
fn an_error_says_what_where_and_why() {
    let conn = |b: &mut BtfBuilder, at| {
        let t = u32_(b);
        let inner = b.add_struct("", 8, &[member("x", t, 0), member("y", t, 4)]);
        let array = b.add_array(inner, t, 3);
        b.add_struct("conn", at + 24, &[member("id", t, 0), member("peers", array, at)])
    };
    let case = Case::new(|b| conn(b, 4), |b| conn(b, 8));
    let reloc = CoreReloc { insn: 7, ..case.reloc(CoreKind::FieldByteOffset, "0:1:1:1") };
    let err = case.relocator().apply("filter", &reloc, &mut [mov(1); 8]).unwrap_err();
    assert!(matches!(*err.problem, CoreProblem::OldValue { found: 1, expected: 16, .. }), "{err}");
    assert_eq!(
        err.to_string(),
        "prog.o: function filter, instruction 7: CO-RE byte offset of struct conn, member \
         peers[1].y (0:1:1:1): the instruction holds 0x1 where 0x10 was expected (to become 0x14)"
    );

    let case = Case::new(|b| conn(b, 4), |_| {});
    let mut relocator = case.relocator();
    relocator.apply("filter", &reloc, &mut [mov(16); 8]).unwrap();
    assert_eq!(
        relocator.explain(&reloc),
        "byte offset of struct conn, member peers[1].y (0:1:1:1) does not fit the target: \
         searched vmlinux (1 types), no type of that name is there"
    );
}
