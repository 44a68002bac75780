use super::*;
use crate::testing::{INT, everything, find, list_head, member};

fn import_all(b: &mut BtfBuilder, btf: &Btf) -> Vec<TypeId> {
    let mut map = SourceMap::new(btf);
    btf.types().map(|t| b.import(&mut map, btf, t.id()).unwrap()).collect()
}

/// Kinds and names, in any order.
fn inventory(btf: &Btf) -> Vec<(u8, String)> {
    let mut all: Vec<_> = btf.types().map(|t| (t.kind() as u8, t.name().to_owned())).collect();
    all.sort();
    all
}

#[test]
fn importing_everything_keeps_every_type() {
    let source = everything(0);
    let mut b = BtfBuilder::new();
    let ids = import_all(&mut b, &source);
    let merged = b.finish().unwrap();
    assert_eq!(inventory(&merged), inventory(&source));
    for (old, new) in source.types().zip(ids) {
        let new = merged.ty(new);
        assert_eq!((new.kind(), new.name(), new.vlen()), (old.kind(), old.name(), old.vlen()));
        assert_eq!((new.size(), new.kflag()), (old.size(), old.kflag()));
        let members = |t: crate::Type<'_>| {
            t.members()
                .map(|m| (m.name.to_owned(), t.btf().ty(m.type_id).name(), m.bit_offset))
                .map(|(a, b, c)| (a, b.to_owned(), c))
                .collect::<Vec<_>>()
        };
        assert_eq!(members(new), members(old));
        let values = |t: crate::Type<'_>| {
            t.enumerators().map(|e| (e.name.to_owned(), e.value)).collect::<Vec<_>>()
        };
        assert_eq!(values(new), values(old));
    }
}

#[test]
fn the_same_types_of_two_objects_become_one() {
    let (one, two) = (everything(0), everything(7));
    let mut b = BtfBuilder::new();
    let first = import_all(&mut b, &one);
    let count = b.type_count();
    let second = import_all(&mut b, &two);
    assert_eq!(second[7..], first, "ids of the second object's types");
    assert_eq!(b.type_count(), count + 7, "only the seven fillers are new");
}

#[test]
fn a_group_with_one_difference_deep_inside_stays_apart() {
    let make = |size: u32| {
        let mut b = BtfBuilder::new();
        let list = list_head(&mut b);
        let ptr = b.add_ptr(TypeId::VOID);
        let inner = b.add_struct("inner", size, &[member("outer", ptr, 0)]);
        let outer =
            b.add_struct("outer", 24 + size, &[member("l", list, 0), member("i", inner, 16)]);
        b.set_target(ptr, outer);
        b.finish().unwrap()
    };
    let (one, two) = (make(8), make(16));
    let mut b = BtfBuilder::new();
    let x = import_all(&mut b, &one);
    let y = import_all(&mut b, &two);
    assert_eq!(x[..2], y[..2], "list_head and its pointer");
    for (x, y) in x[2..].iter().zip(&y[2..]) {
        assert_ne!(x, y);
    }
}

#[test]
fn a_forward_declaration_does_not_become_its_struct() {
    let mut b = BtfBuilder::new();
    b.add_fwd("list_head", false);
    let one = b.finish().unwrap();
    let mut b = BtfBuilder::new();
    list_head(&mut b);
    let two = b.finish().unwrap();
    let mut b = BtfBuilder::new();
    import_all(&mut b, &one);
    import_all(&mut b, &two);
    assert_eq!(b.type_count(), 4);
}

#[test]
fn declaration_tags_come_along_and_keep_types_apart() {
    let make = |tag: Option<&str>| {
        let mut b = BtfBuilder::new();
        let int = b.add_int("int", 4, INT);
        let proto = b.add_func_proto(int, &[("ctx", int)]);
        let func = b.add_func("f", proto, Linkage::Global);
        if let Some(tag) = tag {
            b.add_decl_tag(tag, func, Some(0));
            b.add_decl_tag("whole", func, None);
        }
        (b.finish().unwrap(), func)
    };
    let (plain, func) = make(None);
    let (tagged, _) = make(Some("arg:ctx"));
    let mut b = BtfBuilder::new();
    let mut map = SourceMap::new(&plain);
    let plain_func = b.import(&mut map, &plain, func).unwrap();
    let mut map = SourceMap::new(&tagged);
    let tagged_func = b.import_func(&mut map, &tagged, func, Linkage::Global).unwrap();
    assert_ne!(plain_func, tagged_func);
    let mut map = SourceMap::new(&tagged);
    assert_eq!(b.import_func(&mut map, &tagged, func, Linkage::Global), Ok(tagged_func));
    let merged = b.finish().unwrap();
    let tags: Vec<_> = merged
        .types()
        .filter(|t| t.kind() == Kind::DeclTag)
        .map(|t| (t.name(), t.type_id(), t.component()))
        .collect();
    assert_eq!(tags, [("arg:ctx", tagged_func, Some(0)), ("whole", tagged_func, None)]);
}

#[test]
fn a_declaration_tag_can_be_the_root() {
    let source = everything(0);
    let tag = find(&source, Kind::DeclTag, "contains:node:list");
    let mut b = BtfBuilder::new();
    let mut map = SourceMap::new(&source);
    let new = b.import(&mut map, &source, tag).unwrap();
    let merged = b.finish().unwrap();
    assert_eq!(merged.ty(new).target().name(), "node");
    assert_eq!(merged.types().filter(|t| t.kind() == Kind::DeclTag).count(), 1);
}

#[test]
fn functions_get_linkage_and_parameter_names() {
    let mut b = BtfBuilder::new();
    let int = b.add_int("int", 4, INT);
    let proto = b.add_func_proto(int, &[("", int), ("named", int), ("", TypeId::VOID)]);
    let func = b.add_func("wanted", proto, Linkage::Extern);
    let source = b.finish().unwrap();
    let mut b = BtfBuilder::new();
    let mut map = SourceMap::new(&source);
    let func = b.import_func(&mut map, &source, func, Linkage::Static).unwrap();
    assert!(b.import_func(&mut map, &source, int, Linkage::Static).is_err());
    let synth = b.synth_func("no btf", Linkage::Global).unwrap();
    let merged = b.finish().unwrap();
    let params: Vec<_> = merged.ty(func).target().params().map(|p| p.name).collect();
    assert_eq!(params, ["arg0", "named", ""]);
    assert_eq!(merged.ty(func).linkage(), Linkage::Static);
    let synth = merged.ty(synth);
    assert_eq!((synth.name(), synth.linkage()), ("no_btf", Linkage::Global));
    assert_eq!((synth.target().target().name(), synth.target().vlen()), ("int", 0));
    assert_eq!(merged.types().filter(|t| t.kind() == Kind::Int).count(), 1);
}

#[test]
fn long_chains_and_loops_end() {
    let mut b = BtfBuilder::new();
    let mut last = b.add_int("int", 4, INT);
    for _ in 0..200_000 {
        last = b.add_ptr(last);
    }
    // Loops that no C can make: a typedef of itself, and a ring of pointers.
    let typedef = b.add_typedef("t", TypeId::VOID);
    b.set_target(typedef, typedef);
    let first = b.add_ptr(TypeId::VOID);
    let mut ring = first;
    for _ in 0..100_000 {
        ring = b.add_const(ring);
    }
    b.set_target(first, ring);
    let source = b.finish().unwrap();
    let mut b = BtfBuilder::new();
    import_all(&mut b, &source);
    assert_eq!(b.type_count(), source.type_count());
    import_all(&mut b, &source);
    assert_eq!(b.type_count(), source.type_count());
}

#[test]
fn a_map_of_another_blob_is_refused() {
    let (one, two) = (everything(0), everything(1));
    let mut map = SourceMap::new(&one);
    let mut b = BtfBuilder::new();
    assert!(b.import(&mut map, &two, TypeId(1)).is_err());
    assert!(b.import(&mut map, &one, TypeId(one.type_count())).is_err());
    assert_eq!(b.import(&mut map, &one, TypeId::VOID), Ok(TypeId::VOID));
}

#[test]
fn the_kernel_s_own_types_merge_with_themselves() {
    let Ok(blob) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: /sys/kernel/btf/vmlinux is not there");
        return;
    };
    let start = std::time::Instant::now();
    let kernel = Btf::parse(&blob).unwrap();
    let parsed = start.elapsed();
    let mut b = BtfBuilder::new();
    import_all(&mut b, &kernel);
    let imported = start.elapsed() - parsed;
    let count = b.type_count();
    import_all(&mut b, &kernel);
    println!(
        "{} types: parsed in {parsed:?}, imported in {imported:?} to {count}, again in {:?}",
        kernel.type_count(),
        start.elapsed() - parsed - imported
    );
    assert_eq!(b.type_count(), count, "the second time everything is known");
    assert!(count <= kernel.type_count());
    let merged = b.finish().unwrap();
    assert_eq!(Btf::parse(&merged.to_bytes()).unwrap().type_count(), count);
}

#[test]
fn a_variable_with_another_linkage_keeps_its_tags() {
    let mut b = BtfBuilder::new();
    let list = list_head(&mut b);
    let var = b.add_var("v", list, Linkage::Global);
    b.add_decl_tag("contains:x:y", var, None);
    let source = b.finish().unwrap();
    let mut b = BtfBuilder::new();
    let mut map = SourceMap::new(&source);
    let id = b.import_var(&mut map, &source, var, Linkage::Static).unwrap();
    assert!(b.import_var(&mut map, &source, list, Linkage::Static).is_err());
    let merged = b.finish().unwrap();
    let var = merged.ty(id);
    assert_eq!(
        (var.name(), var.linkage(), var.target().name()),
        ("v", Linkage::Static, "list_head")
    );
    let tag = find(&merged, Kind::DeclTag, "contains:x:y");
    assert_eq!(merged.ty(tag).type_id(), id);
}
