//! Map definitions and initial slots.

use super::*;

/// A file whose `.maps` holds the map `m`, defined by the type that `make` makes.
fn map_file(make: impl Fn(&mut BtfBuilder) -> TypeId) -> Builder {
    let mut types = BtfBuilder::new();
    let definition = make(&mut types);
    let type_id = types.add_var("m", definition, BtfLinkage::Global);
    types.add_datasec(".maps", 0, &[SectionVar { type_id, offset: 0, size: 64 }]);
    let mut b = program(&[EXIT]);
    let maps = b.data(".maps", &[0; 64]);
    b.symbol("m", (GLOBAL, OBJECT), maps, (0, 64));
    b.btf(&types.finish().unwrap());
    b
}

fn definition(
    b: &mut BtfBuilder,
    numbers: &[(&'static str, u32)],
    more: &[(&'static str, TypeId)],
) -> TypeId {
    let mut members = Vec::new();
    for &(name, value) in numbers {
        let index = members.len() as u32;
        members.push(uint(b, name, value, index));
    }
    for &(name, type_id) in more {
        members.push(member(name, type_id, members.len() as u32));
    }
    b.add_struct("", 8 * members.len() as u32, &members)
}

#[test]
fn a_map_of_many_members() {
    let object = map_file(|b| {
        let key = int(b, "unsigned int", 4, false);
        let value = int(b, "unsigned long", 8, false);
        let (key, value) = (b.add_ptr(key), b.add_ptr(value));
        let extra = b.add_enum64("", 8, false, &[("unique", 1 << 40)]);
        let numbers = [
            ("type", 1),
            ("max_entries", 64),
            ("map_flags", 3),
            ("numa_node", 2),
            ("pinning", 1),
            ("key_size", 4),
        ];
        let id = definition(b, &numbers, &[("key", key), ("value", value), ("map_extra", extra)]);
        let id = b.add_const(id);
        b.add_typedef("definition", id)
    })
    .parse();
    let [map] = &object.maps[..] else { panic!() };
    assert_eq!((map.name.as_str(), map.map_type, map.max_entries), ("m", 1, 64));
    assert_eq!((map.key_size, map.value_size, map.map_flags), (4, 8, 3));
    assert_eq!((map.numa_node, map.map_extra, map.pin_by_name), (Some(2), 1 << 40, true));
    let btf = object.btf.as_ref().unwrap();
    assert_eq!(btf.ty(map.key_type.unwrap()).name(), "unsigned int");
    assert_eq!(btf.ty(map.value_type.unwrap()).name(), "unsigned long");
}

#[test]
fn definitions_that_make_no_sense() {
    let fails = |make: fn(&mut BtfBuilder) -> TypeId| {
        let (member, problem) = map_problem(map_file(make).fails());
        (member.unwrap_or_default(), problem)
    };
    assert_eq!(fails(|b| int(b, "int", 4, true)).1, M::NotAStruct("int".to_owned()));
    assert_eq!(fails(|b| definition(b, &[("max_entries", 1)], &[])).1, M::NoType);
    let unknown = fails(|b| definition(b, &[("type", 1), ("max_entires", 1)], &[]));
    assert_eq!(unknown, ("max_entires".to_owned(), M::UnknownMember));
    let pinned = fails(|b| definition(b, &[("type", 1), ("pinning", 2)], &[]));
    assert_eq!(pinned, ("pinning".to_owned(), M::Range(2)));
    let conflict = fails(|b| {
        let key = int(b, "unsigned int", 4, false);
        let key = b.add_ptr(key);
        definition(b, &[("type", 1), ("key_size", 8)], &[("key", key)])
    });
    assert_eq!(conflict, ("key".to_owned(), M::Conflict { one: 4, other: 8 }));
    let shape = fails(|b| {
        let id = int(b, "int", 4, true);
        definition(b, &[], &[("type", id)])
    });
    assert!(matches!(shape.1, M::Shape { found, .. } if found == "int"));
    let no_pointer = fails(|b| {
        let id = int(b, "int", 4, true);
        definition(b, &[("type", 1)], &[("value", id)])
    });
    assert!(matches!(no_pointer.1, M::Shape { .. }));
    let forward = fails(|b| {
        let fwd = b.add_fwd("later", false);
        let id = b.add_ptr(fwd);
        definition(b, &[("type", 1)], &[("value", id)])
    });
    assert_eq!(forward, ("value".to_owned(), M::NoSize("struct later".to_owned())));
    let large = fails(|b| {
        let extra = b.add_enum64("", 8, false, &[("unique", 1 << 40)]);
        definition(b, &[("type", 1)], &[("max_entries", extra)])
    });
    assert_eq!(large, ("max_entries".to_owned(), M::Range(1 << 40)));
    let values = fails(|b| {
        let inner = definition(b, &[("type", 2)], &[]);
        let inner = b.add_ptr(inner);
        let int = int(b, "int", 4, true);
        let values = b.add_array(inner, int, 0);
        definition(b, &[("type", 1)], &[("values", values)])
    });
    assert_eq!(values.1, M::NoValues);
    let nested = fails(|b| {
        let inner = definition(b, &[("type", 12)], &[]);
        let inner = b.add_ptr(inner);
        let int = int(b, "int", 4, true);
        let values = b.add_array(inner, int, 0);
        definition(b, &[("type", 12)], &[("values", values)])
    });
    assert_eq!(nested.1, M::Inner);
}

#[test]
fn maps_need_types() {
    let mut b = program(&[EXIT]);
    b.data(".maps", &[0; 8]);
    assert!(b.fails().to_string().contains("map definitions need BTF"));
    let mut b = program(&[EXIT]);
    b.data(".maps", &[0; 8]);
    b.btf(&BtfBuilder::new().finish().unwrap());
    assert!(b.fails().to_string().contains("BTF says nothing about the maps"));
}

#[test]
fn references_to_maps() {
    let file = |insn, value| {
        let mut types = BtfBuilder::new();
        let id = definition(&mut types, &[("type", 2)], &[]);
        let type_id = types.add_var("m", id, BtfLinkage::Global);
        types.add_datasec(".maps", 0, &[SectionVar { type_id, offset: 0, size: 8 }]);
        let mut b = program(&[&load(0, insn)[..], &[EXIT]].concat());
        let maps = b.data(".maps", &[0; 16]);
        b.symbol("m", (GLOBAL, OBJECT), maps, (8, 8));
        let by = b.symbol("", (LOCAL, SECTION), maps, (value, 0));
        b.rel(1, 0, by, R_64);
        b.btf(&types.finish().unwrap());
        b
    };
    assert_eq!(targets(&file(0, 8).parse()), [RelocTarget::Map(MapId(0))]);
    assert_eq!(targets(&file(8, 0).parse()), [RelocTarget::Map(MapId(0))]);
    for (insn, value) in [(0, 0), (4, 8), (-8, 8), (i32::MIN, 0)] {
        let (_, problem) = reloc_problem(file(insn, value).fails());
        assert!(matches!(problem, R::NoMap { .. }), "{problem}");
    }
}

#[test]
fn old_style_maps() {
    let mut b = program(&[&load(0, 0)[..], &[EXIT]].concat());
    let words = [1u32, 4, 8, 16, 1, 0, 0];
    let record: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let maps = b.data("maps", &[&record[..], &record].concat());
    b.symbol("one", (GLOBAL, OBJECT), maps, (0, 28));
    let two = b.symbol("two", (GLOBAL, OBJECT), maps, (28, 28));
    b.rel(1, 0, two, R_64);
    let object = b.parse();
    assert_eq!(targets(&object), [RelocTarget::Map(MapId(1))]);
    let map = &object.maps[1];
    assert_eq!((map.name.as_str(), map.map_type, map.key_size), ("two", 1, 4));
    assert_eq!((map.value_size, map.max_entries, map.map_flags), (8, 16, 1));
    assert!(object.notes[0].contains("old-style map definitions"));

    let mut b = program(&[EXIT]);
    let maps = b.data("maps", &[0; 28]);
    b.symbol("late", (GLOBAL, OBJECT), maps, (12, 0));
    assert_eq!(map_problem(b.fails()).1, M::ShortRecord(16));
}

/// A prog array with `max_entries` 2 whose slots are relocated at these offsets against `prog`.
fn prog_array(offsets: &[u64], kind: u32) -> Builder {
    let mut b = map_file(|b| {
        let int = int(b, "int", 4, true);
        let proto = b.add_func_proto(int, &[]);
        let pointer = b.add_ptr(proto);
        let values = b.add_array(pointer, int, 0);
        definition(b, &[("type", 3), ("max_entries", 2), ("key_size", 4)], &[("values", values)])
    });
    for &offset in offsets {
        b.rel(2, offset, 1, kind);
    }
    b
}

#[test]
fn slots_of_a_prog_array() {
    // `values` is the fourth member, 8 bytes each.
    let object = prog_array(&[32, 24], R_ABS64).parse();
    let map = &object.maps[0];
    assert_eq!(map.value_size, 4);
    let prog = SlotValue::Program(FuncId(0));
    assert_eq!(map.values, [(0, prog), (1, prog)]);
    for offset in [40, 28, 16] {
        assert!(matches!(prog_array(&[offset], R_ABS64).fails(), P::Map { .. }), "{offset}");
    }
    let (_, problem) = reloc_problem(prog_array(&[60], R_ABS64).fails());
    assert_eq!(problem, R::OutOfSection { size: 64 });
    let (_, problem) = reloc_problem(prog_array(&[24], R_CALL).fails());
    assert_eq!(problem, R::UnknownType(R_CALL));
}

/// A program that refers to `x`, at 4 of 8 bytes in address space 1, and `count` arenas.
fn arena_file(count: u32, imm: i32) -> Builder {
    let insns: Vec<Insn> = load(0, imm).into_iter().chain([EXIT]).collect();
    let mut b = program(&insns);
    let section = b.data(".addr_space.1", &[1, 0, 0, 0, 2, 0, 0, 0]);
    let x = b.symbol("x", (GLOBAL, OBJECT), section, (4, 4));
    b.rel(1, 0, x, R_64);
    let mut btf = BtfBuilder::new();
    let maps = b.data(".maps", &vec![0; 16 * count as usize]);
    let mut vars = Vec::new();
    for i in 0..count {
        let ty = definition(&mut btf, &[("type", 33), ("max_entries", 1)], &[]);
        let name = format!("arena{i}");
        b.symbol(&name, (GLOBAL, OBJECT), maps, (16 * u64::from(i), 16));
        let type_id = btf.add_var(&name, ty, BtfLinkage::Global);
        vars.push(SectionVar { type_id, offset: 16 * i, size: 16 });
    }
    if count > 0 {
        btf.add_datasec(".maps", 16 * count, &vars);
    }
    b.btf(&btf.finish().unwrap());
    b
}

#[test]
fn variables_in_an_arena() {
    let object = arena_file(1, 0).parse();
    assert_eq!(targets(&object), [RelocTarget::Arena { map: Some(MapId(0)), offset: 4 }]);
    assert_eq!(object.maps[0].arena_data, [1, 0, 0, 0, 2, 0, 0, 0]);
    assert!(object.data.is_empty() && object.notes.is_empty(), "{:?}", object.notes);
    assert!(matches!(reloc_problem(arena_file(1, 5).fails()), (0, R::OutOfData { size: 8, .. })));
    let P::Section { section, problem } = arena_file(2, 0).fails() else { panic!() };
    assert!(section == ".addr_space.1" && problem.contains("arena"), "{problem}");
    // Another object has it.
    let object = arena_file(0, 0).parse();
    assert_eq!(targets(&object), [RelocTarget::Arena { map: None, offset: 4 }]);
    assert!(object.notes[0].contains("another object"), "{:?}", object.notes);
    assert!(matches!(reloc_problem(arena_file(0, 5).fails()), (0, R::OutOfData { size: 8, .. })));
}
