//! Which target types are looked at: flavours, several of one name, modules.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use CoreKind::*;
use bpfweld_btf::essential_name;

#[test]
fn essential_names() {
    let names = [
        ("task_struct", "task_struct"),
        ("task_struct___v6", "task_struct"),
        ("a___b___c", "a___b"),
        ("a____b", "a____b"),
        ("a___", "a___"),
        ("___a", "___a"),
        ("a___b", "a"),
        ("", ""),
        ("a__b", "a__b"),
        ("a_____b___c", "a_____b"),
    ];
    for (name, essential) in names {
        assert_eq!(essential_name(name.as_bytes()), essential.as_bytes(), "{name}");
    }
}

/// struct s___mine { u32 a; u32 b; u32 c; }
fn local(b: &mut BtfBuilder) -> TypeId {
    let t = u32_(b);
    b.add_struct("s___mine", 12, &[member("a", t, 0), member("b", t, 4), member("c", t, 8)])
}

#[test]
fn all_flavours_must_agree() {
    let at = |name: &'static str, a, b_at| {
        move |b: &mut BtfBuilder| {
            let t = u32_(b);
            b.add_struct(name, 64, &[member("a", t, a), member("b", t, b_at)]);
        }
    };
    let case = Case::new(local, |b| {
        at("s", 8, 16)(b);
        at("s___2", 8, 20)(b);
        at("s_no_flavour", 40, 40)(b);
    });
    assert_eq!(case.value(FieldByteOffset, "0:0", 0), Ok(8));
    let refused = case.value(FieldByteOffset, "0:1", 4).unwrap_err();
    let CoreProblem::Ambiguous { candidates } = &refused else { panic!("{refused}") };
    assert_eq!(candidates.len(), 2);
    assert_eq!((candidates[0].value, candidates[1].value), (16, 20));
    let text = refused.to_string();
    assert!(text.contains("struct s ([2] in vmlinux): 16 (at byte 16)"), "{text}");
    assert!(text.contains("struct s___2 ([4] in vmlinux): 20 (at byte 20)"), "{text}");
    // Where fields stand must agree even for what does not depend on it.
    let refused = case.value(FieldExists, "0:1", 1);
    assert!(matches!(refused, Err(CoreProblem::Ambiguous { .. })), "{refused:?}");
    // Two types have two ids.
    let refused = case.value(TypeIdTarget, "0", 0);
    assert!(matches!(refused, Err(CoreProblem::Ambiguous { .. })), "{refused:?}");
    assert_eq!(case.value(TypeSize, "0", 12), Ok(64));
}

#[test]
fn a_long_list_of_candidates_is_cut() {
    let case = Case::new(local, |b| {
        for i in 0..12 {
            b.add_struct(&format!("s___{i}"), 4 + i, &[]);
        }
    });
    let refused = case.value(TypeSize, "0", 12).unwrap_err();
    assert!(refused.to_string().ends_with("and 4 more"), "{refused}");
}

#[test]
fn what_matched_once_narrows_the_choice() {
    let case = Case::new(local, |b| {
        let t = u32_(b);
        b.add_struct("s", 64, &[member("a", t, 0), member("b", t, 16)]);
        b.add_struct("s___2", 64, &[member("b", t, 20), member("c", t, 24)]);
    });
    let mut relocator = case.relocator();
    let mut apply = |kind, access, old| {
        let done = relocator.apply("f", &case.reloc(kind, access), &mut [mov(old)]);
        done.map_err(|err| *err.problem)
    };
    let ambiguous = apply(FieldByteOffset, "0:1", 4);
    assert!(matches!(ambiguous, Err(CoreProblem::Ambiguous { .. })), "{ambiguous:?}");
    // Only the first has `a`; after that it is the one.
    assert_eq!(apply(FieldByteOffset, "0:0", 0), Ok(Applied::Patched { old: 0, new: 0 }));
    assert_eq!(apply(FieldByteOffset, "0:1", 4), Ok(Applied::Patched { old: 4, new: 16 }));
    assert_eq!(apply(FieldExists, "0:2", 1), Ok(Applied::Patched { old: 1, new: 0 }));
}

fn module(base: &Arc<Btf>, size: u32) -> Arc<Btf> {
    // A type section with one struct, `s`, whose name is the module's own string.
    let name = base.string_len();
    let words = [name + 1, 4 << 24, size];
    let mut blob = vec![];
    blob.extend(0xeb9fu16.to_ne_bytes());
    blob.extend([1, 0]);
    for word in [24, 0, 12, 12, 3].into_iter().chain(words) {
        blob.extend(u32::to_ne_bytes(word));
    }
    blob.extend(b"\0s\0");
    Arc::new(Btf::parse_split(&blob, Arc::clone(base)).unwrap())
}

#[test]
fn modules_come_in_where_the_kernel_has_nothing() {
    let bare = kernel(u32_);
    let targets = |sizes: &[u32]| {
        let modules = (0..).zip(sizes).map(|(i, size)| (format!("mod{i}"), module(&bare, *size)));
        Targets::new(Arc::clone(&bare), modules.collect())
    };
    let case = |sizes: &[u32]| Case { targets: targets(sizes), ..Case::new(local, |_| {}) };
    assert_eq!(case(&[]).value(TypeSize, "0", 12), Ok(0));
    assert_eq!(case(&[20]).value(TypeSize, "0", 12), Ok(20));
    assert_eq!(case(&[20]).value(TypeIdTarget, "0", 0), Ok(2));
    let refused = case(&[20, 24]).value(TypeSize, "0", 12).unwrap_err();
    assert!(refused.to_string().contains("struct s ([2] in mod1): 24"), "{refused}");
    assert_eq!(case(&[20, 24]).targets.describe(), "vmlinux (2 types) and 2 modules");

    let full = kernel(|b| b.add_struct("s", 32, &[]));
    let modules = vec![("mod0".to_owned(), module(&full, 20))];
    let case = Case { targets: Targets::new(full, modules), ..Case::new(local, |_| {}) };
    assert_eq!(case.value(TypeSize, "0", 12), Ok(32));
}

#[test]
fn modules_are_asked_for_once_and_only_when_needed() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let kernel = kernel(|b| b.add_struct("other", 32, &[]));
    let base = Arc::clone(&kernel);
    let load = move || {
        ASKED.fetch_add(1, Ordering::Relaxed);
        vec![("mod0".to_owned(), module(&base, 20))]
    };
    let targets = Targets::with_lazy_modules(kernel, Box::new(load));
    let other = |b: &mut BtfBuilder| b.add_struct("other", 12, &[]);
    let case = Case { targets, ..Case::new(other, |_| {}) };
    assert_eq!(case.value(TypeSize, "0", 12), Ok(32));
    assert_eq!(ASKED.load(Ordering::Relaxed), 0);
    let case = Case { targets: case.targets, ..Case::new(local, |_| {}) };
    assert_eq!(case.value(TypeSize, "0", 12), Ok(20));
    assert_eq!(case.value(TypeSize, "0", 12), Ok(20));
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
}
