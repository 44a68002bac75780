//! Files made by hand: what is read from them, and which error a broken one gives. Here: the file as
//! a whole.

mod data;
mod externs;
mod functions;
mod maps;
mod references;
mod struct_ops;

use bpfweld_btf::{BtfBuilder, Endian, Linkage as BtfLinkage, SectionVar, TypeId};
use bpfweld_insn::Insn;

use crate::error::{
    ExternProblem, FunctionProblem as F, MapProblem as M, ReadProblem as P, RelocProblem as R,
    VariableProblem,
};
use crate::testing::*;
use crate::*;

fn function_problem(problem: P) -> F {
    match problem {
        P::Function { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

/// Offset and problem.
fn reloc_problem(problem: P) -> (u64, R) {
    match problem {
        P::Reloc { offset, problem, .. } => (offset, problem),
        other => panic!("{other}"),
    }
}

fn map_problem(problem: P) -> (Option<String>, M) {
    match problem {
        P::Map { member, problem, .. } => (member, problem),
        other => panic!("{other}"),
    }
}

fn parse_error(bytes: &[u8]) -> String {
    checked(bytes).unwrap_err().to_string()
}
#[test]
fn files_that_are_no_bpf_objects() {
    assert_eq!(parse_error(b""), "test.o: the file is empty");
    assert!(parse_error(b"#!/bin/sh\n").starts_with("test.o: not an ELF file"));
    for archive in [b"!<arch>\n", b"!<thin>\n"] {
        assert!(parse_error(archive).contains("`ar x`"));
    }
    assert!(parse_error(b"BC\xc0\xde5\x14\0\0").contains("-flto"));
    assert!(parse_error(b"\x7fELF").contains("malformed ELF: the class"));
    assert!(parse_error(b"\x7fELF\x02\x01\x01").contains("malformed ELF: the header is cut"));
    let mut narrow = program(&[EXIT]).finish();
    narrow[4] = 1;
    assert!(parse_error(&narrow).contains("32-bit"));
    let mut order = program(&[EXIT]).finish();
    order[5] = 3;
    assert!(parse_error(&order).contains("malformed ELF"));
    let mut x86 = program(&[EXIT]);
    x86.machine = 62;
    assert!(matches!(x86.fails(), P::Machine { machine: 62 }));
    let mut executable = program(&[EXIT]);
    executable.e_type = 2;
    let problem = executable.fails();
    assert!(problem.to_string().starts_with("ELF executable, not a relocatable object"));
    assert!(matches!(Builder::new().fails(), P::Nothing));
}

#[test]
fn files_that_cannot_be_opened() {
    let missing = Object::open("/nonexistent/x.o").unwrap_err();
    assert!(missing.to_string().starts_with("/nonexistent/x.o: cannot be read: No such file"));
    assert!(matches!(*Object::open("/").unwrap_err().problem, P::Directory));
    assert!(matches!(*Object::open("/dev/null").unwrap_err().problem, P::EmptyFile));
    assert!(matches!(*Object::open("/dev/zero").unwrap_err().problem, P::TooLarge { .. }));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = program(&[EXIT]).finish();
    for len in 0..bytes.len() {
        assert!(Object::parse("test.o", &bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn broken_tables() {
    // Offset of the section headers, and of a field of the n-th.
    let patch = |section: usize, field: usize, value: u32| {
        let mut b = program(&[EXIT, EXIT]);
        b.data(".data", &[0; 8]);
        let text = b.undefined("other");
        b.rel(1, 0, text, R_CALL);
        let mut bytes = b.finish();
        let at = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let at = at + section * 64 + field;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        parse_error(&bytes)
    };
    // 1 xdp, 2 .data, 3 .rel, 4 .symtab, 5 .strtab; fields as in Elf64_Shdr.
    assert!(patch(1, 0, 9999).contains("the name of section 1 cannot be read"));
    assert!(patch(1, 24, 0x7fff_ffff).contains("does not fit into the file"));
    assert!(patch(1, 36, 0x7fff_ffff).contains("does not fit into the file"));
    assert!(patch(2, 24, 64).contains("sections 1 and 2 overlap"));
    assert!(patch(3, 44, 77).contains("relocates section 77, there are only 6"));
    assert!(patch(3, 40, 5).contains("does not name the symbol table"));
    assert!(patch(3, 56, 24).contains("is not made of 16-byte entries"));
    assert!(patch(3, 4, 0x4000_0014).contains("are not supported"));
    assert!(patch(4, 56, 16).contains("24-byte symbols"));
    assert!(patch(4, 40, 2).contains("names no string table"));
    assert!(patch(2, 4, 2).contains("two symbol tables"));
    assert!(patch(1, 8, 0x806).contains("section xdp is compressed"));
}

#[test]
fn symbols_out_of_range() {
    let mut b = program(&[EXIT]);
    b.func("far", 77, 0, 8);
    assert!(b.fails().to_string().contains("symbol 2 is in section 77, there are only 4"));
    let mut b = program(&[EXIT]);
    b.func("f", 1, 0, 8);
    let mut bytes = b.finish();
    assert!(Object::parse("test.o", &bytes).is_ok());
    // The name of the last symbol is its first word.
    let headers = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    let symtab = u64::from_le_bytes(bytes[headers + 2 * 64 + 24..][..8].try_into().unwrap());
    let name = symtab as usize + 48;
    bytes[name..name + 4].copy_from_slice(&0xffff_u32.to_le_bytes());
    assert!(parse_error(&bytes).contains("the name of symbol 2 cannot be read"));
}
