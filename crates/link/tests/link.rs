//! Linking of objects made by hand: resolution, reachability, limits, licences, layout.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::sync::Arc;

use bpfweld_btf::{BtfBuilder, Endian, IntEncoding, Linkage as BtfLinkage, TypeId};
use bpfweld_insn::{CALL, EXIT, Insn, LD_IMM64, pseudo};
use bpfweld_link::{ImageSet, Link, LinkError, LinkOptions, read_back};
use bpfweld_object::{
    AttachType, Body, DataId, DataKind, DataSection, Extern, ExternId, ExternKind, FuncId,
    Function, Linkage, Object, ProgramSpec, ProgramType, Reloc, RelocTarget, Unread,
};

/// An object under construction. Functions take the XDP context and return an int.
struct Maker {
    object: Object,
    btf: Option<BtfBuilder>,
    proto: TypeId,
}

impl Maker {
    fn new(name: &str) -> Self {
        let mut btf = BtfBuilder::new();
        let int = IntEncoding { signed: true, bits: 32, ..IntEncoding::default() };
        let int = btf.add_int("int", 4, int);
        let md = btf.add_struct("xdp_md", 0, &[]);
        let ctx = btf.add_ptr(md);
        let proto = btf.add_func_proto(int, &[("ctx", ctx)]);
        let object = Object {
            name: name.into(),
            endian: Endian::Little,
            license: Some("GPL".into()),
            kernel_version: None,
            functions: Vec::new(),
            maps: Vec::new(),
            data: Vec::new(),
            struct_ops: Vec::new(),
            externs: Vec::new(),
            btf: None,
            notes: Vec::new(),
            unread: Unread::default(),
        };
        Self { object, btf: Some(btf), proto }
    }

    fn licence(mut self, licence: &str) -> Self {
        self.object.license = Some(licence.into());
        self
    }

    fn without_btf(mut self) -> Self {
        self.btf = None;
        self
    }

    fn extern_(mut self, name: &str, weak: bool) -> Self {
        let proto = self.proto;
        let btf = self.btf.as_mut().map(|b| b.add_func(name, proto, BtfLinkage::Extern));
        let kind = ExternKind::Function;
        let type_id = btf.map(|_| proto);
        self.object.externs.push(Extern { name: name.into(), kind, weak, btf, type_id });
        self
    }

    /// A function that calls what it is given, in order, then returns.
    fn function(mut self, name: &str, linkage: Linkage, xdp: bool, calls: &[RelocTarget]) -> Self {
        let mut insns = Vec::new();
        let mut relocs = Vec::new();
        for &target in calls {
            relocs.push(Reloc { insn: insns.len() as u32, target });
            if matches!(target, RelocTarget::Call(_) | RelocTarget::CallExtern(_)) {
                insns.push(Insn::new(CALL, 0, pseudo::CALL, 0, -1));
            } else {
                insns.push(Insn::new(LD_IMM64, 2, 0, 0, 0));
                insns.push(Insn::default());
                insns.push(Insn { code: CALL, imm: 181, ..Insn::default() });
            }
        }
        insns.push(Insn { code: 0xb7, imm: 2, ..Insn::default() });
        insns.push(Insn { code: EXIT, ..Insn::default() });
        let btf_linkage = match linkage {
            Linkage::Static => BtfLinkage::Static,
            _ => BtfLinkage::Global,
        };
        let proto = self.proto;
        let btf_func = self.btf.as_mut().map(|b| b.add_func(name, proto, btf_linkage));
        let spec = ProgramSpec {
            prog_type: ProgramType::XDP,
            attach_type: Some(AttachType::XDP),
            sleepable: false,
            frags: false,
            attach_to: None,
            autoload: true,
        };
        let offset = self.object.functions.iter().map(|f| f.insns.len() as u64 * 8).sum();
        self.object.functions.push(Function {
            name: name.into(),
            section: if xdp { "xdp".into() } else { ".text".into() },
            section_index: 1 + usize::from(xdp),
            offset,
            linkage,
            program: xdp.then_some(spec),
            body: Body { insns: insns.into(), relocs, btf_func, ..Body::default() }.into(),
        });
        self
    }

    fn entry(self, name: &str, calls: &[RelocTarget]) -> Self {
        self.function(name, Linkage::Global, true, calls)
    }

    fn edit(mut self, edit: impl FnOnce(&mut Object)) -> Self {
        edit(&mut self.object);
        self
    }

    fn done(self) -> Arc<Object> {
        let btf = self.btf.map(|b| Arc::new(b.finish().unwrap()));
        Arc::new(Object { btf, ..self.object })
    }
}

fn call(i: u32) -> RelocTarget {
    RelocTarget::Call(FuncId(i))
}

fn call_extern(i: u32) -> RelocTarget {
    RelocTarget::CallExtern(ExternId(i))
}

/// Links objects labelled by their names, nothing bound, and lays out the first one's only entry.
fn link(objects: &[Arc<Object>]) -> Result<ImageSet, LinkError> {
    let mut link = Link::new();
    for object in objects {
        link.add(&object.name, object.clone())?;
    }
    finish(link, &LinkOptions::default())
}

fn finish(link: Link, options: &LinkOptions) -> Result<ImageSet, LinkError> {
    let linked = link.link(options)?;
    let entry = linked.entry(bpfweld_link::InstanceId(0), None)?;
    let set = linked.images(&[entry])?;
    assert_eq!(read_back::check(&set), Ok(()));
    assert_eq!(read_back::check_types(&set), Ok(()));
    Ok(set)
}

fn names(set: &ImageSet) -> Vec<String> {
    let of = |f: &bpfweld_link::ImageFunction| format!("{}:{}", f.origin.0.0, f.name);
    set.images[0].functions.iter().map(of).collect()
}

fn caller() -> Maker {
    Maker::new("root").extern_("f", false).entry("main", &[call_extern(0)])
}

#[test]
fn strong_wins_over_weak_and_the_first_weak_over_the_next() {
    let weak1 = Maker::new("w1").function("f", Linkage::Weak, false, &[]).done();
    let weak2 = Maker::new("w2").function("f", Linkage::Weak, false, &[]).done();
    let strong = Maker::new("s").function("f", Linkage::Global, false, &[]).done();
    let set = link(&[caller().done(), weak1.clone(), strong, weak2.clone()]).unwrap();
    assert_eq!(names(&set), ["0:main", "2:f"]);
    let set = link(&[caller().done(), weak2, weak1]).unwrap();
    assert_eq!(names(&set), ["0:main", "1:f"]);
}

#[test]
fn two_strong_definitions_are_named() {
    let a = Maker::new("a").function("f", Linkage::Global, false, &[]).done();
    let b = Maker::new("b").function("f", Linkage::Global, false, &[]).done();
    let error = link(&[caller().done(), a, b]).unwrap_err();
    let LinkError::TwoDefinitions { first, second, .. } = &error else { panic!("{error}") };
    assert_eq!((first.to_string(), second.to_string()), ("a:f".into(), "b:f".into()));
}

#[test]
fn two_definitions_that_nobody_asks_for_are_fine() {
    let root = Maker::new("root").entry("main", &[]).done();
    let a = Maker::new("a").function("f", Linkage::Global, false, &[]).done();
    let b = Maker::new("b").function("f", Linkage::Global, false, &[]).done();
    assert!(link(&[root, a, b]).is_ok());
}

#[test]
fn static_and_hidden_functions_are_found_by_binding_only() {
    for linkage in [Linkage::Static, Linkage::Hidden] {
        let other = Maker::new("a").function("f", linkage, false, &[]).done();
        let error = link(&[caller().done(), other.clone()]).unwrap_err();
        assert!(matches!(error, LinkError::Unresolved(_)), "{error}");
        let mut explicit = Link::new();
        let root = explicit.add("root", caller().done()).unwrap();
        let at = explicit.add("a", other).unwrap();
        // Who names it, gets it.
        explicit.bind(root, "f", at, Some("f")).unwrap();
        let set = finish(explicit, &LinkOptions::default()).unwrap();
        assert_eq!(names(&set), ["0:main", "1:f"]);
        assert!(!set.images[0].functions[1].global);
    }
}

#[test]
fn every_unresolved_extern_is_listed_with_its_call() {
    let root = Maker::new("root")
        .extern_("first", false)
        .extern_("unused", false)
        .extern_("second", false)
        .entry("main", &[call_extern(0), call_extern(2), call_extern(0)])
        .done();
    let near = Maker::new("near").function("firsts", Linkage::Global, false, &[]).done();
    let Err(LinkError::Unresolved(list)) = link(&[root, near]) else { panic!() };
    let found: Vec<_> = list.iter().map(|u| (u.name.as_str(), u.sites.len())).collect();
    assert_eq!(found, [("first", 2), ("second", 1)]);
    assert_eq!(list[0].nearest[0].to_string(), "near:firsts");
    assert_eq!(list[0].declaration.as_deref(), Some("int first(struct xdp_md *ctx)"));
}

#[test]
fn explicit_bindings_win_and_default_to_the_only_entry() {
    let byname = Maker::new("byname").function("f", Linkage::Global, false, &[]).done();
    let other = Maker::new("other")
        .function("helper", Linkage::Global, false, &[])
        .entry("prog", &[])
        .done();
    let mut explicit = Link::new();
    let root = explicit.add("root", caller().done()).unwrap();
    explicit.add("byname", byname).unwrap();
    let at = explicit.add("other", other).unwrap();
    explicit.bind(root, "f", at, None).unwrap();
    let set = finish(explicit, &LinkOptions::default()).unwrap();
    assert_eq!(names(&set), ["0:main", "2:prog"]);
}

#[test]
fn without_a_single_entry_the_externs_own_name_is_taken() {
    let lib = Maker::new("lib").entry("f", &[]).entry("g", &[]).done();
    let mut link = Link::new();
    let root = link.add("root", caller().done()).unwrap();
    let at = link.add("lib", lib).unwrap();
    link.bind(root, "f", at, None).unwrap();
    assert_eq!(names(&finish(link, &LinkOptions::default()).unwrap()), ["0:main", "1:f"]);

    let lib = Maker::new("lib").entry("x", &[]).entry("y", &[]).done();
    let mut link = Link::new();
    let root = link.add("root", caller().done()).unwrap();
    let at = link.add("lib", lib).unwrap();
    let error = link.bind(root, "f", at, None).unwrap_err();
    assert!(matches!(&error, LinkError::NoDefaultTarget { entries, .. } if entries.len() == 2));
}

#[test]
fn wrong_names_in_bindings_are_told_apart() {
    let lib = Maker::new("lib").entry("prog", &[]).done();
    let mut link = Link::new();
    let root = link.add("root", caller().done()).unwrap();
    let at = link.add("lib", lib).unwrap();
    let error = link.bind(root, "g", at, None).unwrap_err();
    assert!(
        matches!(&error, LinkError::UnknownExtern { nearest, defined: false, .. } if nearest == &["f"])
    );
    let error = link.bind(root, "main", at, None).unwrap_err();
    assert!(matches!(error, LinkError::UnknownExtern { defined: true, .. }));
    let error = link.bind(root, "f", at, Some("progg")).unwrap_err();
    assert!(matches!(&error, LinkError::UnknownFunction { nearest, .. } if nearest == &["prog"]));
    let error = link.bind(bpfweld_link::InstanceId(7), "f", at, None).unwrap_err();
    assert_eq!(error, LinkError::ForeignInstance(7));
}

#[test]
fn a_target_is_copied_once_per_instance() {
    let root = Maker::new("root")
        .extern_("a", false)
        .extern_("b", false)
        .extern_("c", false)
        .entry("main", &[call_extern(0), call_extern(1), call_extern(2), call_extern(0)])
        .done();
    let lib = Maker::new("lib")
        .function("helper", Linkage::Static, false, &[])
        .entry("prog", &[call(0)])
        .done();
    let mut link = Link::new();
    let root = link.add("root", root).unwrap();
    let one = link.add("one", lib.clone()).unwrap();
    let two = link.add("two", lib).unwrap();
    link.bind(root, "a", one, None).unwrap();
    link.bind(root, "b", one, None).unwrap();
    link.bind(root, "c", two, None).unwrap();
    let set = finish(link, &LinkOptions::default()).unwrap();
    assert_eq!(names(&set), ["0:main", "1:prog", "2:prog", "1:helper", "2:helper"]);
    // The call of the last function, from where it stands.
    let image = &set.images[0];
    let targets: Vec<_> = (0..image.insns.len())
        .filter(|&i| image.insns[i].is_bpf_call())
        .map(|i| (i as i32 + 1 + image.insns[i].imm) as u32)
        .map(|start| image.functions.iter().position(|f| f.start == start).unwrap())
        .collect();
    assert_eq!(targets, [1, 1, 2, 1, 3, 4]);
}

#[test]
fn what_is_not_reached_is_left_out_with_its_externs() {
    let root = Maker::new("root")
        .extern_("missing", false)
        .function("unused", Linkage::Global, false, &[call_extern(0)])
        .entry("main", &[])
        .done();
    assert_eq!(names(&link(&[root]).unwrap()), ["0:main"]);
}

#[test]
fn cycles_are_shown() {
    let root = Maker::new("root").extern_("f", false).entry("main", &[call_extern(0)]).done();
    let a = Maker::new("a")
        .extern_("main", false)
        .function("inner", Linkage::Static, false, &[call_extern(0)])
        .function("f", Linkage::Global, false, &[call(0)])
        .done();
    let error = link(&[root, a]).unwrap_err();
    assert_eq!(error.to_string(), "recursion: root:main -> a:f -> a:inner -> root:main");
    let own = Maker::new("own").entry("main", &[call(0)]).done();
    assert_eq!(link(&[own]).unwrap_err().to_string(), "recursion: own:main -> own:main");
}

#[test]
fn frames_are_counted_along_the_deepest_path() {
    let deep = |n: u32| {
        let mut maker = Maker::new("deep").entry("main", &[call(1), call(n)]);
        for i in 1..=n {
            let callee = call(i + 1);
            let calls = if i < n { std::slice::from_ref(&callee) } else { &[] };
            maker = maker.function(&format!("f{i}"), Linkage::Static, false, calls);
        }
        maker.done()
    };
    assert!(link(&[deep(7)]).is_ok());
    let error = link(&[deep(8)]).unwrap_err();
    let LinkError::TooManyFrames { path, limit: 8 } = &error else { panic!("{error}") };
    assert_eq!(path.len(), 9);
    assert_eq!(path[8].to_string(), "deep:f8");
}

#[test]
fn functions_are_counted() {
    let wide = |n: u32| {
        let calls: Vec<_> = (1..=n).map(call).collect();
        let mut maker = Maker::new("wide").entry("main", &calls);
        for i in 1..=n {
            maker = maker.function(&format!("f{i}"), Linkage::Static, false, &[]);
        }
        maker.done()
    };
    assert!(link(&[wide(255)]).is_ok());
    let error = link(&[wide(256)]).unwrap_err();
    assert!(matches!(error, LinkError::TooManyFunctions { count: 257, limit: 256, .. }));
}

#[test]
fn maps_are_counted() {
    let with_maps = |n: u32| {
        let targets: Vec<_> =
            (0..n).map(|i| RelocTarget::Data { data: DataId(i), offset: 0 }).collect();
        let object = Maker::new("maps").entry("main", &targets);
        object
            .edit(|o| {
                o.data = (0..n)
                    .map(|i| DataSection {
                        name: format!(".data.{i}"),
                        kind: DataKind::Data,
                        align: 4,
                        size: 4,
                        bytes: vec![0; 4].into(),
                        datasec: None,
                        vars: Vec::new(),
                    })
                    .collect();
            })
            .done()
    };
    assert!(link(&[with_maps(64)]).is_ok());
    let error = link(&[with_maps(65)]).unwrap_err();
    assert!(matches!(error, LinkError::TooManyMaps { count: 65, limit: 64, .. }));
}

#[test]
fn instructions_are_counted() {
    // Of main: a call, a verdict, an exit; of the others what is asked for.
    let long = |counts: [usize; 2]| {
        let object = Maker::new("long").entry("main", &[call(1), call(2)]);
        let named = |maker: Maker, name: &str| maker.function(name, Linkage::Static, false, &[]);
        let object = named(named(object, "f1"), "f2").edit(|o| {
            for (function, count) in o.functions[1..].iter_mut().zip(counts) {
                let mut body = (*function.body).clone();
                let mut insns = vec![body.insns[0]; count - 1];
                insns.push(Insn { code: EXIT, ..Insn::default() });
                body.insns = insns.into();
                function.body = body.into();
            }
            let offset = o.functions[1].offset;
            o.functions[2].offset = offset + 8 * counts[0] as u64;
        });
        object.done()
    };
    assert!(link(&[long([600_000, 399_996])]).is_ok());
    let error = link(&[long([600_000, 399_997])]).unwrap_err();
    assert!(matches!(error, LinkError::TooLong { limit: 1_000_000, .. }), "{error}");
}

#[test]
fn weak_externs_may_stay_unresolved() {
    let root = Maker::new("root")
        .extern_("f", true)
        .entry("main", &[RelocTarget::ExternAddr { id: ExternId(0), addend: 0 }, call_extern(0)])
        .done();
    let set = link(&[root]).unwrap();
    let insns = &set.images[0].insns;
    assert_eq!((insns[0].src(), insns[0].imm, insns[1].imm), (0, 0, 0));
    assert_eq!((insns[3].src(), insns[3].imm), (0, bpfweld_link::lay_out::POISONED_CALL));
}

#[test]
fn the_address_of_an_extern_makes_its_target_static() {
    let root = Maker::new("root")
        .extern_("f", false)
        .entry("main", &[RelocTarget::ExternAddr { id: ExternId(0), addend: 0 }])
        .done();
    let lib = Maker::new("lib").function("f", Linkage::Global, false, &[]).done();
    let set = link(&[root, lib]).unwrap();
    let image = &set.images[0];
    assert_eq!(image.insns[0].src(), pseudo::FUNC);
    assert_eq!({ image.insns[0].imm }, image.functions[1].start as i32 - 1);
    assert!(!image.functions[1].global);
}

#[test]
fn entry_programs_go_in_as_global_functions_unless_asked_or_without_types() {
    let lib = || Maker::new("lib").entry("f", &[]);
    let global = |set: &ImageSet| set.images[0].functions[1].global;
    assert!(global(&link(&[caller().done(), lib().done()]).unwrap()));
    let mut link1 = Link::new();
    link1.add("root", caller().done()).unwrap();
    link1.add("lib", lib().done()).unwrap();
    let options = LinkOptions { static_functions: true, ..LinkOptions::default() };
    assert!(!global(&finish(link1, &options).unwrap()));
    // Without BTF of its own the extern's type serves.
    let set = link(&[caller().done(), lib().without_btf().done()]).unwrap();
    assert!(global(&set));
    assert_eq!(set.warnings.len(), 1);
    let both = link(&[caller().without_btf().done(), lib().without_btf().done()]).unwrap();
    assert!(!global(&both));
}

#[test]
fn licences_are_never_upgraded() {
    let gpl_only = |o: &mut Object| {
        o.functions[0].insns.to_mut().insert(0, Insn { code: CALL, imm: 6, ..Insn::default() });
    };
    let lib = |licence| Maker::new("lib").licence(licence).entry("f", &[]);
    let set = link(&[caller().done(), lib("Proprietary").done()]).unwrap();
    assert_eq!(set.images[0].license, "Proprietary");
    let set = link(&[caller().licence("MIT").done(), lib("GPL").done()]).unwrap();
    assert_eq!(set.images[0].license, "MIT");
    let set = link(&[caller().licence("Dual BSD/GPL").done(), lib("GPL").done()]).unwrap();
    assert_eq!(set.images[0].license, "Dual BSD/GPL");
    let error = link(&[caller().done(), lib("Proprietary").edit(gpl_only).done()]).unwrap_err();
    assert!(matches!(error, LinkError::Licence { .. }), "{error}");
    let error =
        link(&[caller().licence("MIT").done(), lib("GPL").edit(gpl_only).done()]).unwrap_err();
    let LinkError::Licence { function, instance, .. } = &error else { panic!("{error}") };
    assert_eq!((function.to_string(), instance.as_str()), ("lib:f".into(), "root"));
}

#[test]
fn other_program_types_are_refused_and_frags_is_the_and() {
    let spec = |edit: fn(&mut ProgramSpec)| {
        move |o: &mut Object| edit(o.functions[0].program.as_mut().unwrap())
    };
    let lib = |edit| Maker::new("lib").entry("f", &[]).edit(spec(edit)).done();
    let tc = lib(|s| {
        s.prog_type = ProgramType::SCHED_CLS;
        s.attach_type = None;
    });
    let error = link(&[caller().done(), tc]).unwrap_err();
    assert!(matches!(error, LinkError::ProgramType { .. }), "{error}");
    let sleepy = lib(|s| s.sleepable = true);
    let error = link(&[caller().done(), sleepy]).unwrap_err();
    assert!(matches!(error, LinkError::Sleepable { .. }), "{error}");
    let frags = |s: &mut ProgramSpec| s.frags = true;
    let root = || caller().edit(spec(frags)).done();
    let both = link(&[root(), lib(frags)]).unwrap();
    assert!(both.images[0].program.frags);
    let one = link(&[root(), lib(|_| {})]).unwrap();
    assert!(!one.images[0].program.frags);
    assert_eq!(one.warnings.len(), 1);
}

#[test]
fn a_tail_calling_target_stays_global() {
    let tail = |o: &mut Object| {
        o.functions[0].insns.to_mut().insert(0, Insn { code: CALL, imm: 12, ..Insn::default() });
    };
    let lib = Maker::new("lib").entry("f", &[]).edit(tail).done();
    let mut link = Link::new();
    link.add("root", caller().done()).unwrap();
    link.add("lib", lib).unwrap();
    let options = LinkOptions { static_functions: true, ..LinkOptions::default() };
    assert!(finish(link, &options).unwrap().images[0].functions[1].global);
}

#[test]
fn one_object_under_two_labels_merges_its_types_once() {
    let lib = Maker::new("lib").entry("prog", &[]).done();
    let root = Maker::new("root")
        .extern_("a", false)
        .extern_("b", false)
        .entry("main", &[call_extern(0), call_extern(1)])
        .done();
    let mut link = Link::new();
    let root = link.add("root", root).unwrap();
    let one = link.add("one", lib.clone()).unwrap();
    let two = link.add("two", lib).unwrap();
    link.bind(root, "a", one, None).unwrap();
    link.bind(root, "b", two, None).unwrap();
    let set = finish(link, &LinkOptions::default()).unwrap();
    let functions = &set.images[0].functions;
    assert_eq!(functions[1].type_id, functions[2].type_id);
    // int, xdp_md, its pointer, the prototype, two functions, and void.
    assert_eq!(set.btf.type_count(), 7);
}

#[test]
fn labels_are_unique_and_big_endian_objects_are_refused() {
    let mut link = Link::new();
    link.add("a", caller().done()).unwrap();
    assert_eq!(link.add("a", caller().done()), Err(LinkError::DuplicateLabel("a".into())));
    let big = caller().edit(|o| o.endian = Endian::Big).done();
    assert_eq!(link.add("b", big), Err(LinkError::BigEndian("b".into())));
}

#[test]
fn a_stack_that_outgrows_the_kernels_is_told() {
    // *(u64 *)(r10 - n) = 0 in each of two functions.
    let store = |n: i16| {
        move |o: &mut Object| {
            let store = Insn::new(0x7a, 10, 0, -n, 0);
            // In front of nothing that is relocated: at the end, before the return.
            let end = o.functions[0].insns.len() - 2;
            o.functions[0].insns.to_mut().insert(end, store);
        }
    };
    let lib = |n| Maker::new("lib").entry("f", &[]).edit(store(n)).done();
    let fits = link(&[caller().edit(store(256)).done(), lib(256)]).unwrap();
    assert_eq!(fits.warnings, [""; 0]);
    let deep = link(&[caller().edit(store(256)).done(), lib(264)]).unwrap();
    assert_eq!(
        deep.warnings,
        [
            "the functions of this call path ask for 528 bytes of stack, the kernel allows 512: root:main \
          (256) -> lib:f (272)"
        ]
    );
}

/// `main` and a function `thrown`; `main` has these tags.
fn thrower(linkage: Linkage, tags: &[&str]) -> Arc<Object> {
    let maker = Maker::new("root").entry("main", &[]).function("thrown", linkage, false, &[]);
    let mut maker = maker.function("bystander", Linkage::Global, false, &[]);
    let main = maker.object.functions[0].btf_func.unwrap();
    for tag in tags {
        maker.btf.as_mut().unwrap().add_decl_tag(tag, main, None);
    }
    maker.done()
}

#[test]
fn the_exception_callback_comes_along() {
    let object = thrower(Linkage::Global, &["exception_callback:thrown"]);
    for static_functions in [false, true] {
        let mut one = Link::new();
        one.add("root", object.clone()).unwrap();
        let set = finish(one, &LinkOptions { static_functions, ..LinkOptions::default() }).unwrap();
        assert_eq!(names(&set), ["0:main", "0:thrown"]);
        assert!(set.images[0].functions[1].global);
    }
    assert_eq!(names(&link(&[thrower(Linkage::Global, &["other:thrown"])]).unwrap()), ["0:main"]);
    for (linkage, tags) in [
        (Linkage::Static, &["exception_callback:thrown"][..]),
        (Linkage::Global, &["exception_callback:nobody"]),
        (Linkage::Global, &["exception_callback:thrown", "exception_callback:bystander"]),
    ] {
        let error = link(&[thrower(linkage, tags)]).unwrap_err();
        assert!(matches!(error, LinkError::ExceptionCallback { .. }), "{error}");
    }
}
