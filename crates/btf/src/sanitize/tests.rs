use super::*;
use crate::testing::{everything, find, oddities};

/// Every combination of features.
fn combinations() -> impl Iterator<Item = BtfFeatures> {
    (0..1 << 9).map(|bits: u32| {
        let on = |bit: u32| bits >> bit & 1 == 1;
        BtfFeatures {
            func: on(0),
            datasec: on(1),
            func_global: on(2),
            float: on(3),
            decl_tag: on(4),
            type_tag: on(5),
            enum64: on(6),
            enum_kflag: on(7),
            tag_kflag: on(8),
        }
    })
}

/// Is everything gone that a kernel with these features does not know?
fn assert_fits(btf: &Btf, f: &BtfFeatures) {
    for ty in btf.types() {
        let known = match ty.kind() {
            Kind::Func => f.func && (f.func_global || ty.linkage() == Linkage::Static),
            Kind::FuncProto => f.func,
            Kind::Var | Kind::Datasec => f.datasec,
            Kind::Float => f.float,
            Kind::DeclTag => f.decl_tag && (f.tag_kflag || !ty.kflag()),
            Kind::TypeTag => f.type_tag && (f.tag_kflag || !ty.kflag()),
            Kind::Enum => f.enum_kflag || !ty.kflag(),
            Kind::Enum64 => f.enum64 && (f.enum_kflag || !ty.kflag()),
            Kind::Struct | Kind::Union | Kind::Fwd => f.func || !ty.kflag(),
            _ => true,
        };
        assert!(known, "{f:?}: {ty:?}");
    }
}

#[test]
fn features_that_are_not_used_make_no_difference() {
    let alone = |add: fn(&mut BtfBuilder)| {
        let mut b = BtfBuilder::new();
        add(&mut b);
        b.finish().unwrap()
    };
    let fwd = alone(|b| {
        b.add_fwd("somewhere", true);
    });
    let float = alone(|b| {
        b.add_float("double", 8);
    });
    let signs = alone(|b| {
        b.add_enum("sign", 4, true, &[("MINUS", -1)]);
    });
    let only = |set: fn(&mut BtfFeatures)| {
        let mut features = BtfFeatures::NONE;
        set(&mut features);
        features
    };
    assert_eq!(BtfFeatures::used_by(&fwd), only(|f| f.func = true));
    assert_eq!(BtfFeatures::used_by(&float), only(|f| f.float = true));
    assert_eq!(BtfFeatures::used_by(&signs), only(|f| f.enum_kflag = true));
    let all_but_attributes = BtfFeatures { tag_kflag: false, ..BtfFeatures::ALL };
    assert_eq!(BtfFeatures::used_by(&everything(2)), all_but_attributes);
    // Every combination of the small ones, some of the large.
    for (source, step) in [(fwd, 1), (float, 1), (signs, 1), (everything(2), 37), (oddities(), 37)]
    {
        let used = BtfFeatures::used_by(&source);
        for features in combinations().step_by(step) {
            let rest = BtfFeatures {
                func: features.func || !used.func,
                datasec: features.datasec || !used.datasec,
                func_global: features.func_global || !used.func_global,
                float: features.float || !used.float,
                decl_tag: features.decl_tag || !used.decl_tag,
                type_tag: features.type_tag || !used.type_tag,
                enum64: features.enum64 || !used.enum64,
                enum_kflag: features.enum_kflag || !used.enum_kflag,
                tag_kflag: features.tag_kflag || !used.tag_kflag,
            };
            let same =
                sanitize(&source, &features).to_bytes() == sanitize(&source, &rest).to_bytes();
            assert!(same, "{features:?}, {used:?}");
        }
    }
}

#[test]
fn every_combination_gives_what_the_kernel_takes() {
    for source in [everything(2), oddities()] {
        source.validate().unwrap();
        for features in combinations() {
            let clean = sanitize(&source, &features);
            assert_fits(&clean, &features);
            assert_eq!(clean.check_for_kernel(), Ok(()), "{features:?}");
            assert_eq!(clean.type_count(), source.type_count());
            assert!(clean.own_strings().starts_with(source.own_strings()), "offsets still hold");
            assert_eq!(Btf::parse(&clean.to_bytes()).unwrap().to_bytes(), clean.to_bytes());
            // Whatever is a value of some size is so still.
            for ty in source.types().filter(|t| !matches!(t.kind(), Kind::Datasec | Kind::Var)) {
                let size = ty.byte_size().filter(|_| ty.kind() != Kind::FuncProto);
                let same = size.is_none() || size == clean.ty(ty.id()).byte_size();
                assert!(same, "{ty:?} under {features:?}");
            }
            assert_eq!(sanitize(&clean, &features).to_bytes(), clean.to_bytes(), "twice is once");
        }
    }
}

#[test]
fn a_kernel_that_knows_all_gets_what_was_there() {
    let source = everything(0);
    assert_eq!(sanitize(&source, &BtfFeatures::ALL).to_bytes(), source.to_bytes());
}

#[test]
fn the_first_kernel_with_btf() {
    let source = everything(0);
    let clean = sanitize(&source, &BtfFeatures::NONE);
    let now = |kind, name| {
        let ty = clean.ty(find(&source, kind, name));
        (ty.kind(), ty.name(), ty.vlen())
    };
    assert_eq!(now(Kind::Func, "work"), (Kind::Typedef, "work", 0));
    assert_eq!(now(Kind::Float, "double"), (Kind::Struct, "", 0));
    assert_eq!(now(Kind::TypeTag, "rcu"), (Kind::Const, "", 0));
    assert_eq!(now(Kind::DeclTag, "arg:nonnull"), (Kind::Int, "arg:nonnull", 0));
    assert_eq!(now(Kind::Var, "counter"), (Kind::Int, "counter", 0));
    assert_eq!(now(Kind::Enum64, "big"), (Kind::Int, "big", 0));
    assert_eq!(now(Kind::Datasec, ".bss"), (Kind::Struct, "_bss", 1));
    // Its two bitfields are gone.
    assert_eq!(now(Kind::Struct, "node"), (Kind::Struct, "node", 7));
    let bss = clean.ty(find(&source, Kind::Datasec, ".bss"));
    let counter = bss.members().next().unwrap();
    assert_eq!((counter.name, clean.ty(counter.type_id).name()), ("counter", "unsigned int"));
}

#[test]
fn sections_that_no_kernel_takes_become_structs() {
    let source = oddities();
    let clean = sanitize(&source, &BtfFeatures::ALL);
    let now = |name| {
        let ty = clean.ty(find(&source, Kind::Datasec, name));
        let members: Vec<_> = ty.members().map(|m| (m.name, m.bit_offset)).collect();
        (ty.kind(), ty.name(), ty.size(), members)
    };
    let two = clean.ty(find(&source, Kind::Datasec, ".data.my-sec"));
    assert_eq!((two.kind(), two.name()), (Kind::Datasec, ".data.my_sec"));
    assert_eq!(now(".bss"), (Kind::Struct, "_bss", 48, vec![("two", 0), ("f_one", 0)]));
    assert_eq!(now(".kconfig"), (Kind::Struct, "_kconfig", 4, vec![("CONFIG_X", 0)]));
    assert_eq!(now(".extern"), (Kind::Struct, "_extern", 0, vec![]));
    assert_eq!(now(".ksyms"), (Kind::Struct, "_ksyms", 0, vec![]));
    let func = |name| {
        let ty = clean.ty(find(&source, Kind::Func, name));
        (ty.kind(), ty.name())
    };
    assert_eq!(func("wanted"), (Kind::Typedef, "wanted"));
    assert_eq!(func("{closure#0}"), (Kind::Func, "_closure_0_"));
    let proto = clean.ty(find(&source, Kind::Func, "wanted")).target();
    let params: Vec<_> = proto.params().map(|p| p.name).collect();
    assert_eq!(params, ["arg0", "self_x", ""]);
}

#[test]
fn a_tag_on_itself_ends() {
    let mut b = BtfBuilder::new();
    let tag = b.add_decl_tag("t", TypeId(1), None);
    assert_eq!(tag, TypeId(1));
    let clean = sanitize(&b.finish().unwrap(), &BtfFeatures::ALL);
    assert_eq!(clean.ty(tag).kind(), Kind::Int);
}
