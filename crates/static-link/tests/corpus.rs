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
        RelocTarget::Arena { map: id, offset } => {
            format!("arena {}+{offset}", id.map_or("?", |id| map(id)))
        }
    }
}

/// All that is said about functions, one a line.
fn functions(object: &Object) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for f in &object.functions {
        let mut insns = f.insns.to_vec();
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
        let mut linker = Linker::new();
        linker.add(name, bytes).unwrap();
        let strip = Options { strip_unreachable: true, ..Options::default() };
        let stripped = linker.link(&strip).unwrap().bytes;
        let again = link(&[&(name.clone(), stripped.clone())]).unwrap();
        assert!(stripped == again.bytes, "{name}: stripped and linked again it differs");
        assert!(stripped.len() <= once.bytes.len(), "{name}: it is longer, stripped");
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

#[test]
fn types_that_only_stripped_code_used_are_stripped() {
    let objects = objects();
    let wanted = ["static-link/uses.o", "static-link/defines.o", "static-link/unused.o"];
    for strip_unreachable in [false, true] {
        let mut linker = Linker::new();
        for (name, bytes) in objects.iter().filter(|o| wanted.iter().any(|w| o.0.ends_with(w))) {
            linker.add(name, bytes).unwrap();
        }
        let options = Options { strip_unreachable, ..Options::default() };
        let output = Object::parse("", &linker.link(&options).unwrap().bytes).unwrap();
        let btf = output.btf.as_ref().unwrap();
        let has = |name: &str| btf.types().any(|t| t.name() == name);
        assert!(has("state") && has("uses"));
        assert_eq!(has("only_here"), !strip_unreachable);
        assert_eq!(has("unused"), !strip_unreachable);
    }
}

/// Where the id of a type stands in an instruction, it is the one of the record.
#[test]
fn ids_of_types_in_instructions_are_renumbered() {
    let mut seen = 0;
    let objects = objects();
    let first = objects.iter().find(|o| o.0.ends_with("static-link/defines.o")).unwrap();
    for object in objects.iter().filter(|o| o.0.ends_with("/type-id.o")) {
        let before = Object::parse(&object.0, &object.1).unwrap();
        let Ok(output) = link(&[first, object]) else { continue };
        let after = Object::parse("", &output.bytes).unwrap();
        for (f, g) in before
            .functions
            .iter()
            .filter_map(|f| Some((f, after.functions.iter().find(|g| g.name == f.name)?)))
        {
            assert_eq!(f.core_relocs.len(), g.core_relocs.len());
            for (old, new) in f.core_relocs.iter().zip(&g.core_relocs) {
                let text = |object: &Object, id| object.btf.as_ref().unwrap().c_declaration(id, "");
                assert_eq!(text(&before, old.type_id), text(&after, new.type_id));
                // `BPF_CORE_TYPE_ID_LOCAL`.
                if old.kind == 6 {
                    let imm = |function: &bpfweld_object::Function, insn: u32| {
                        function.insns[insn as usize].imm as u32
                    };
                    assert_eq!(imm(f, old.insn), old.type_id.0);
                    assert_eq!(imm(g, new.insn), new.type_id.0);
                    assert_ne!(old.type_id, new.type_id, "{}", object.0);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 0, "no object with such a record");
}

#[test]
fn nothing_for_debuggers_is_left() {
    for object in objects() {
        let output = link(&[&object]).unwrap();
        let mut parts = bpfweld_object::FileParts::default();
        let file = parts.read("", &output.bytes).unwrap();
        let debug = file.sections().find(|s| s.name.starts_with(b".debug"));
        assert!(debug.is_none(), "{}", object.0);
    }
}

/// Of the same sources, the two byte orders give the same programs, and the same values.
#[test]
fn big_endian_objects_are_linked_as_little_endian_ones() {
    let objects = objects();
    for order in [["first", "second"], ["second", "first"]] {
        let [little, big] = ["el", "eb"].map(|endian| {
            let pair = order.map(|name| {
                let file = format!("static-link-kinds/{name}-{endian}.o");
                objects.iter().find(|o| o.0.ends_with(&file)).unwrap()
            });
            let output = link(&pair).unwrap();
            let again = link(&[&("again".to_owned(), output.bytes.clone())]).unwrap();
            assert!(again.bytes == output.bytes);
            Object::parse("", &output.bytes).unwrap()
        });
        assert_eq!((little.endian, big.endian), (Endian::Little, Endian::Big));
        assert!(little.externs.is_empty() && big.externs.is_empty());
        assert_eq!(functions(&little), functions(&big));
        let value = |object: &Object, name: &str| -> Vec<u8> {
            let btf = object.btf.as_ref().unwrap();
            let mut vars =
                object.data.iter().flat_map(|d| d.vars.iter().map(move |v| (&d.bytes, v)));
            let (bytes, var) = vars.find(|(_, v)| btf.ty(v.type_id).name() == name).unwrap();
            let at = var.offset as usize;
            let mut value = bytes[at..at + var.size as usize].to_vec();
            if object.endian == Endian::Big {
                value.reverse();
            }
            value
        };
        for name in ["mine", "shared", "place"] {
            assert_eq!(value(&little, name), value(&big, name), "{name}");
        }
        assert_eq!(value(&big, "shared"), 0x0102_0304u32.to_le_bytes());
    }
}

#[test]
fn tables_name_functions_of_other_objects() {
    let objects = objects();
    let [table, function] = ["table", "function"].map(|name| {
        let file = format!("static-link-struct-ops/{name}.o");
        objects.iter().find(|o| o.0.ends_with(&file)).unwrap()
    });
    for pair in [[table, function], [function, table]] {
        let output = Object::parse("", &link(&pair).unwrap().bytes).unwrap();
        let mut tables: Vec<_> = (output.struct_ops.iter())
            .map(|ops| {
                let name =
                    |&(at, id): &(u32, FuncId)| (at, output.functions[id.index()].name.clone());
                (ops.name.clone(), ops.functions.iter().map(name).collect::<Vec<_>>())
            })
            .collect();
        tables.sort();
        let slots = |undo: &str| vec![(0, "ssthresh".to_owned()), (8, undo.to_owned())];
        let wanted = [("first", slots("undo")), ("second", slots("undo_second"))];
        assert_eq!(tables, wanted.map(|(name, slots)| (name.to_owned(), slots)));
    }
}
