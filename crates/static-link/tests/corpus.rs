//! The objects of the cases, linked ahead of time: alone, in pairs, and again.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::fs;
use std::path::Path;

use bpfweld_btf::Endian;
use bpfweld_object::{FuncId, Object, RelocTarget};
use bpfweld_static_link::{LinkError, LinkErrors, Linker, Options, Output};

type File = (String, Vec<u8>);

/// Every object under `cases/` that can be read.
fn objects() -> Vec<File> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut found = Vec::new();
    for case in fs::read_dir(cases).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for file in fs::read_dir(case).unwrap().map(|e| e.unwrap().path()) {
            if file.extension().is_some_and(|e| e == "o") {
                let bytes = fs::read(&file).unwrap();
                let name = file.display().to_string();
                if Object::parse(&name, &bytes).is_ok() {
                    found.push((name, bytes));
                }
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "only {} objects", found.len());
    found
}

fn link(objects: &[&File]) -> Result<Output, LinkErrors> {
    let mut linker = Linker::new();
    for (name, bytes) in objects {
        linker.add(name, bytes)?;
    }
    linker.link(&Options::default())
}

/// What a function refers to, with names in place of indices.
fn reference(object: &Object, target: RelocTarget) -> String {
    let function = |id: FuncId| &object.functions[id.index()].name;
    let map = |id: bpfweld_object::MapId| &object.maps[id.index()].name;
    let external = |id: bpfweld_object::ExternId| &object.externs[id.index()].name;
    match target {
        RelocTarget::Call(id) => format!("call {}", function(id)),
        RelocTarget::FuncAddr(id) => format!("address of {}", function(id)),
        RelocTarget::CallExtern(id) => format!("call extern {}", external(id)),
        RelocTarget::ExternAddr { id, addend } => format!("extern {}+{addend}", external(id)),
        RelocTarget::Map(id) => format!("map {}", map(id)),
        RelocTarget::Data { data, offset } => {
            format!("{}+{offset}", object.data[data.index()].name)
        }
        RelocTarget::JumpTable { .. } => "jump table".to_owned(),
        RelocTarget::Arena { map: id, offset } => format!("arena {}+{offset}", map(id)),
    }
}

/// All that is said about functions, one a line.
fn functions(object: &Object) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for f in &object.functions {
        let mut insns = f.insns.clone();
        let mut references = Vec::new();
        for reloc in &f.relocs {
            // What is to be patched says nothing.
            insns[reloc.insn as usize].imm = 0;
            references.push(reference(object, reloc.target));
        }
        let lines: Vec<_> = f.lines.iter().map(|l| (l.insn, l.line_col)).collect();
        let core: Vec<_> = f.core_relocs.iter().map(|c| (c.insn, c.kind)).collect();
        for &(insn, kind) in &core {
            // The id of a type stands in the instruction.
            if matches!(kind, 6 | 7) {
                insns[insn as usize].imm = 0;
            }
        }
        let program = f.program.as_ref().map(|p| (p.prog_type, p.attach_type));
        let proto = f.btf_func.zip(object.btf.as_ref());
        let proto = proto.map(|(id, btf)| btf.c_declaration(id, ""));
        let name = &f.name;
        all.push(format!(
            "{name} {program:?} {proto:?} {insns:?} {references:?} {lines:?} {core:?}"
        ));
    }
    all.sort();
    all
}

#[test]
fn an_object_linked_alone_says_the_same_and_linked_again_is_the_same() {
    let mut same = 0;
    for object in objects() {
        let (name, bytes) = &object;
        let once = link(&[&object]).unwrap_or_else(|e| panic!("{e}"));
        let before = Object::parse(name, bytes).unwrap();
        let after = Object::parse(name, &once.bytes).unwrap();
        assert_eq!(before.license, after.license, "{name}");
        assert_eq!(before.maps.len(), after.maps.len(), "{name}");
        assert_eq!(before.externs.len(), after.externs.len(), "{name}");
        // What an entry program that is called becomes is a function more.
        if before.functions.len() == after.functions.len() {
            assert_eq!(functions(&before), functions(&after), "{name}");
            same += 1;
        }
        let again = link(&[&(name.clone(), once.bytes.clone())]).unwrap();
        assert!(once.bytes == again.bytes, "{name}: linked again it differs");
    }
    assert!(same > 100, "only {same} objects compared");
}

#[test]
fn pairs_link_or_say_why() {
    let objects = objects();
    let mut linked = 0;
    for (i, one) in objects.iter().enumerate() {
        // Each with some others, not all: a test is to end.
        for other in objects.iter().skip(i % 31).step_by(31).filter(|other| other.0 != one.0) {
            let names = format!("{} {}", one.0, other.0);
            let results = [[one, other], [other, one]].map(|pair| match link(&pair) {
                Ok(output) => {
                    let file = ("pair".to_owned(), output.bytes);
                    let again = link(&[&file]).unwrap_or_else(|e| panic!("{names}: {e}"));
                    assert!(again.bytes == file.1, "{names}: linked again it differs");
                    true
                }
                Err(LinkErrors(errors)) => {
                    let fault =
                        |e: &&LinkError| matches!(e, LinkError::ReadBack(_) | LinkError::Output(_));
                    let fault = errors.iter().find(fault);
                    assert!(fault.is_none(), "{names}: {fault:?}");
                    false
                }
            });
            assert_eq!(results[0], results[1], "{names}: the order counts");
            linked += usize::from(results[0]);
        }
    }
    assert!(linked > 100, "only {linked} pairs could be linked");
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let objects = objects();
    let wanted = ["static-link/uses.o", "static-link/defines.o", "static-link/unused.o"];
    let some: Vec<_> = objects.iter().filter(|o| wanted.iter().any(|w| o.0.ends_with(w))).collect();
    assert_eq!(some.len(), wanted.len());
    let outputs: Vec<_> = (0..3).map(|_| link(&some).unwrap().bytes).collect();
    assert!(outputs.iter().all(|o| *o == outputs[0]));
}

#[test]
fn big_endian_objects_stay_so() {
    let mut any = false;
    for object in objects() {
        if Object::parse("", &object.1).unwrap().endian == Endian::Big {
            let output = link(&[&object]).unwrap();
            assert_eq!(Object::parse("", &output.bytes).unwrap().endian, Endian::Big);
            any = true;
        }
    }
    assert!(any);
}
