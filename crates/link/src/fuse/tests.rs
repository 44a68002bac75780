//! Images put together by hand, fused, and looked at.

use bpfweld_btf::TypeId;
use bpfweld_insn::{CALL, EXIT, Insn, JA, LD_IMM64, pseudo};
use bpfweld_object::{FuncId, ProgramSpec, ProgramType};

use super::*;
use crate::image::{ImageTarget, InstanceId, MapIndex, Missing};

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

fn mov(dst: u8, imm: i32) -> Insn {
    insn(0xb7, dst, 0, 0, imm)
}

fn copy(dst: u8, src: u8) -> Insn {
    insn(0xbf, dst, src, 0, 0)
}

fn add(dst: u8, imm: i32) -> Insn {
    insn(0x07, dst, 0, 0, imm)
}

fn helper(number: i32) -> Insn {
    insn(CALL, 0, 0, 0, number)
}

/// A call of the function of this index; the image's builder fills the distance in.
fn call(f: i32) -> Insn {
    insn(CALL, 0, pseudo::CALL, 0, f)
}

fn exit() -> Insn {
    insn(EXIT, 0, 0, 0, 0)
}

/// `if r0 != imm goto +off`, 32 bits.
fn unless(imm: i32, off: i16) -> Insn {
    insn(0x56, 0, 0, off, imm)
}

/// An image of some functions, each of an instance of its own, with a line for every instruction.
fn image(functions: &[&[Insn]]) -> Image {
    let mut starts = vec![0u32];
    for f in functions {
        starts.push(starts.last().unwrap() + f.len() as u32);
    }
    let mut insns: Vec<Insn> = functions.concat();
    for (at, insn) in insns.iter_mut().enumerate() {
        if insn.is_bpf_call() || insn.is_ld_imm64() && insn.src() == pseudo::FUNC {
            insn.imm = starts[insn.imm as usize] as i32 - at as i32 - 1;
        }
    }
    let mut lines: Vec<ImageLine> = Vec::new();
    let mut at = 0;
    while let Some(insn) = insns.get(at) {
        let line_col = (at as u32 + 1) << 10;
        lines.push(ImageLine { insn: at as u32, file_off: 0, line_off: 0, line_col });
        at += insn.slots();
    }
    let functions = functions.iter().enumerate().map(|(i, code)| ImageFunction {
        name: format!("f{i}"),
        origin: (InstanceId(i as u32), FuncId(0)),
        start: starts[i],
        len: code.len() as u32,
        type_id: TypeId(1),
        global: true,
    });
    Image {
        name: "f0".into(),
        instance: "root".into(),
        section: "xdp".into(),
        program: ProgramSpec { prog_type: ProgramType::XDP, ..ProgramSpec::unknown() },
        license: "GPL".into(),
        kernel_version: None,
        functions: functions.collect(),
        insns,
        relocs: vec![],
        lines,
        poisoned: vec![],
        jump_tables: vec![],
    }
}

fn fused(image: &Image) -> (Vec<Insn>, ImageReport) {
    let (new, report) = fuse_image(image, &FuseOptions::default());
    check(&new);
    (new.insns, report)
}

/// What holds of every image.
fn check(image: &Image) {
    let mut end = 0;
    for f in &image.functions {
        assert_eq!(f.start, end);
        end += f.len;
        assert!(image.lines.iter().any(|l| l.insn == f.start));
    }
    assert_eq!(end as usize, image.insns.len());
    assert!(image.lines.is_sorted_by(|a, b| a.insn < b.insn));
}

fn why(image: &Image) -> Vec<Why> {
    let (insns, report) = fused(image);
    assert_eq!(insns, image.insns);
    report.kept.into_iter().map(|k| k.why).collect()
}

/// A root that calls `n` others as long as they return 2.
fn root(n: i32) -> Vec<Insn> {
    let mut code = vec![copy(6, 1)];
    for i in 0..n {
        if i > 0 {
            code.push(copy(1, 6));
        }
        code.push(call(i + 1));
        let left = 3 * (n - 1 - i) as i16;
        code.push(unless(2, left + 1));
    }
    code.extend([insn(0xb4, 0, 0, 0, 2), exit()]);
    // What is returned otherwise is there already.
    code
}

#[test]
fn constant_verdicts_leave_no_test() {
    // r0 = (*(u32 *)(ctx + 12) == 7) ? 1 : 2
    let member = [insn(0x61, 1, 1, 12, 0), mov(0, 1), insn(0x15, 1, 0, 1, 7), mov(0, 2), exit()];
    let (insns, report) = fused(&image(&[&root(2), &member, &member]));
    assert_eq!(report.fused.len(), 2);
    assert!(report.kept.is_empty());
    // Two loads, two tests, both verdicts, one of them in two places with a jump, exit.
    let tests = insns.iter().filter(|i| i.code == 0x15 || i.code == 0x55).count();
    assert_eq!(tests, 2, "{insns:?}");
    assert!(!insns.iter().any(|i| i.code == 0x56 || i.code == CALL));
    assert!(insns.len() <= 11, "{insns:?}");
}

#[test]
fn a_constant_that_is_there_is_not_made_again() {
    // *(u32 *)(ctx + 16) = 7, and on to the next
    let member = [mov(2, 7), insn(0x63, 1, 2, 16, 0), mov(0, 2), exit()];
    let (insns, _) = fused(&image(&[&root(3), &member, &member, &member]));
    assert_eq!(insns.iter().filter(|i| i.code == 0x63).count(), 3, "{insns:?}");
    assert_eq!(insns.iter().filter(|i| i.code == 0xb7 && i.imm == 7).count(), 1, "{insns:?}");
}

#[test]
fn frames_are_shifted_and_shared() {
    // The root keeps 8 bytes over both calls, the members use 16 each.
    let code = [
        copy(6, 1),
        mov(2, 5),
        insn(0x7b, 10, 2, -8, 0),
        call(1),
        copy(1, 6),
        call(2),
        insn(0x79, 0, 10, -8, 0),
        exit(),
    ];
    let member = [
        mov(2, 1),
        insn(0x7b, 10, 2, -16, 0),
        copy(2, 10),
        add(2, -16),
        copy(3, 10),
        insn(0x79, 0, 3, -16, 0),
        insn(0x7b, 1, 0, 0, 0),
        insn(0x7b, 1, 2, 8, 0),
        exit(),
    ];
    let (insns, _) = fused(&image(&[&code, &member, &member]));
    let at = |off| insns.iter().filter(|i| i.code == 0x7b && i.off == off).count();
    assert_eq!((at(-8), at(-24)), (1, 2));
    // The sum is folded, and made where there was none.
    assert_eq!(insns.iter().filter(|i| i.code == 0x07 && i.imm == -24).count(), 2);
    assert_eq!(insns.iter().filter(|i| i.code == 0x07 && i.imm == -8).count(), 2);
}

#[test]
fn registers_that_the_caller_reads_again_are_kept() {
    // All four are alive across the call; the callee uses two, one of them for the context.
    let mut code: Vec<Insn> = vec![copy(6, 1)];
    code.extend((7..10).map(|r| insn(0x61, r, 6, i16::from(r) * 4 - 16, 0)));
    code.extend([copy(1, 6), call(1)]);
    code.extend((7..10).map(|r| insn(0x0f, 0, r, 0, 0)));
    code.extend([insn(0x61, 1, 6, 16, 0), insn(0x0f, 0, 1, 0, 0), exit()]);
    let member = [
        copy(7, 1),
        insn(0x61, 8, 7, 12, 0),
        helper(5),
        insn(0x61, 0, 7, 12, 0),
        insn(0x0f, 0, 8, 0, 0),
        exit(),
    ];
    let (insns, report) = fused(&image(&[&code, &member]));
    assert_eq!(report.fused.len(), 1);
    // r7 shares the root's r6; r8 is saved.
    let saved = insns.iter().filter(|i| i.code == 0x7b && i.dst() == 10).collect::<Vec<_>>();
    assert_eq!(saved.len(), 1, "{insns:?}");
    assert_eq!((saved[0].src(), saved[0].off), (8, -8));
    assert!(insns.contains(&insn(0x79, 8, 10, -8, 0)));
    assert!(insns.contains(&insn(0x61, 8, 6, 12, 0)));
    assert!(insns.contains(&insn(0x61, 0, 6, 12, 0)));
}

#[test]
fn what_cannot_go_inline_stays_and_says_why() {
    let with = |body: &[Insn]| image(&[&root(1), body]);
    assert_eq!(why(&with(&[helper(12), mov(0, 2), exit()])), [Why::TailCall]);
    assert_eq!(
        why(&with(&[copy(6, 1), insn(0x20, 0, 0, 0, 0), mov(0, 2), exit()])),
        [Why::LegacyLoad]
    );
    assert_eq!(
        why(&with(&[insn(0xe5, 0, 0, 1, 0), insn(JA, 0, 0, -2, 0), mov(0, 2), exit()])),
        [Why::MayGoto]
    );
    assert_eq!(why(&with(&[insn(0x7b, 10, 10, -8, 0), mov(0, 2), exit()])), [Why::FramePointer]);
    assert_eq!(why(&with(&[insn(0x8d, 1, 0, 0, 0), exit()])), [Why::Control]);
    // Together more than 512 bytes.
    let big = [mov(2, 0), insn(0x7b, 10, 2, -512, 0), mov(0, 2), exit()];
    let mut keeps = root(1);
    keeps.insert(1, insn(0x7b, 10, 6, -8, 0));
    keeps[4] = insn(0x79, 0, 10, -8, 0);
    assert_eq!(why(&image(&[&keeps, &big])), [Why::Stack]);
    // Its own address leaves the root's hands in memory.
    let mut stores = root(1);
    stores.splice(1..1, [copy(2, 10), insn(0x7b, 10, 2, -8, 0)]);
    let member = [mov(0, 2), exit()];
    assert_eq!(why(&image(&[&stores, &member])), [Why::CallersFrame]);
}

#[test]
fn callbacks_and_recursion_stay() {
    // The member's address goes to bpf_loop besides.
    let mut code = vec![insn(0x18, 2, pseudo::FUNC, 0, 1), Insn::default(), mov(1, 1)];
    code.extend([mov(3, 0), mov(4, 0), helper(181), call(1), exit()]);
    assert_eq!(why(&image(&[&code, &[mov(0, 0), exit()]])), [Why::Callback]);
    // f1 and f2 call each other; f3, which f2 calls too, goes inline.
    let one = [insn(0x15, 1, 0, 1, 0), call(2), mov(0, 2), exit()];
    let two = [copy(6, 1), call(3), copy(1, 6), call(1), exit()];
    let (new, report) =
        fuse_image(&image(&[&root(1), &one, &two, &[mov(0, 7), exit()]]), &Default::default());
    check(&new);
    let kept: Vec<_> = report.kept.iter().map(|k| (k.name.as_str(), k.why)).collect();
    for name in ["f1", "f2"] {
        assert!(kept.contains(&(name, Why::Recursion)), "{kept:?}");
    }
    assert_eq!(report.fused.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["f3"]);
    assert!(kept.iter().all(|k| k.1 == Why::Recursion), "{kept:?}");
}

/// A member of so many slots, which leaves out the first part of itself for odd contexts; twice.
fn long_member(slots: usize) -> Vec<Insn> {
    let half = slots / 2;
    let mut code = vec![copy(6, 1), insn(0x61, 7, 6, 12, 0), insn(0x45, 7, 0, half as i16, 1)];
    code.extend((0..half).map(|_| helper(5)));
    code.extend([insn(0x15, 7, 0, half as i16, 3), mov(0, 0)]);
    code.extend((1..half).map(|_| helper(5)));
    code.extend([insn(0xb4, 0, 0, 0, 2), exit()]);
    code
}

#[test]
fn a_program_that_gets_too_long_keeps_calls_or_jumps_far() {
    let long = long_member(700);
    let functions: Vec<Vec<Insn>> =
        std::iter::once(root(50)).chain((0..50).map(|_| long.clone())).collect();
    let functions: Vec<&[Insn]> = functions.iter().map(Vec::as_slice).collect();
    let before = image(&functions);
    let always = FuseOptions { policy: Policy::Always, ..FuseOptions::default() };
    let (new, report) = fuse_image(&before, &always);
    check(&new);
    assert!(new.insns.len() > before.insns.len() / 2);
    assert!(report.fused.len() < 50 && !report.fused.is_empty(), "{}", report.fused.len());
    assert_eq!(report.fused.len() + report.kept.len(), 50);
    assert!(report.kept.iter().all(|k| k.why == Why::Length), "{:?}", report.kept);
    assert!(!new.insns.iter().any(|i| i.code == bpfweld_insn::JA32));
    // Where long jumps are known, all of it is one function.
    let (new, report) = fuse_image(&before, &FuseOptions { long_jumps: true, ..always });
    check(&new);
    assert_eq!((report.fused.len(), new.functions.len()), (50, 1));
    assert!(report.kept.is_empty());
}

#[test]
fn far_blocks_are_jumped_to_by_long_jumps_or_not_at_all() {
    // Two blocks of which either is longer than a jump, for each kind of condition.
    let like = code::listing(&image(&[&[exit()]]), 0).unwrap()[0];
    let at = |insn| like.with(insn);
    for (code, slots) in [(0x15, 2), (0x45, 3), (0x1d, 2), (0x4e, 3)] {
        let far = vec![at(mov(0, 1)); 40_000];
        let end = code::End::Exit(at(exit()));
        let test = at(insn(code, 1, 2, 0, 7));
        let mut body = Body::default();
        body.add(&[at(mov(1, 7))], code::End::Branch { test, taken: 1, next: 2 });
        body.add(&far, end);
        body.add(&far, end);
        assert_eq!(code::flatten(&body, false), Err(Why::JumpRange));
        let flat: Vec<Insn> =
            code::flatten(&body, true).unwrap().into_iter().map(|i| i.insn).collect();
        assert_eq!(flat.len(), 1 + slots + 2 * 40_001);
        let jump = flat[slots];
        assert_eq!((jump.code, jump.imm), (bpfweld_insn::JA32, 40_001));
        // The other way leads past the long jump.
        let through = if slots == 2 { flat[1].off } else { 1 + flat[2].off };
        assert_eq!(through, slots as i16 - 1);
        assert_eq!(slots == 3, flat[1].code == code);
    }
}

#[test]
fn policies() {
    let member = [mov(0, 2), exit()];
    let mut one = image(&[&root(1), &member]);
    let never = FuseOptions { policy: Policy::Never, ..FuseOptions::default() };
    assert_eq!(fuse_image(&one, &never).0.insns, one.insns);
    let except = FuseOptions { except: [one.functions[1].origin].into(), ..Default::default() };
    assert_eq!(fuse_image(&one, &except).1.kept[0].why, Why::Excluded);
    // Within one object, and no more.
    one.functions[1].origin.0 = InstanceId(0);
    assert_eq!(why(&one), [Why::SameObject]);
    let always = FuseOptions { policy: Policy::Always, ..FuseOptions::default() };
    assert_eq!(fuse_image(&one, &always).0.functions.len(), 1);
}

#[test]
fn a_long_function_with_many_callers_stays_one() {
    let mut long = vec![mov(0, 0)];
    long.extend((0..400).map(|_| helper(5)));
    long.push(exit());
    let code: Vec<Insn> = (0..6).map(|_| call(1)).chain([exit()]).collect();
    assert_eq!(why(&image(&[&code, &long])), [Why::Size]);
    // With one caller it goes inline.
    assert_eq!(fused(&image(&[&[call(1), exit()], &long])).1.fused.len(), 1);
}

#[test]
fn what_belongs_to_an_instruction_moves_with_it() {
    let load = [insn(0x18, 1, 0, 0, 0), Insn::default()];
    let member = [load[0], load[1], helper(4242), insn(0xb4, 0, 0, 0, 2), exit()];
    let mut before = image(&[&root(1), &member]);
    let start = before.functions[1].start;
    before.relocs = vec![ImageReloc { insn: start, target: ImageTarget::Map(MapIndex(0)) }];
    before.poisoned =
        vec![Poisoned { insn: start + 2, missing: Missing::Function, reason: "not there".into() }];
    let (after, report) = fuse_image(&before, &FuseOptions::default());
    check(&after);
    assert_eq!(after.functions.len(), 1);
    assert!(after.insns[after.relocs[0].insn as usize].is_ld_imm64());
    assert_eq!(after.insns[after.poisoned[0].insn as usize].helper(), Some(4242));
    // Each instruction has the line that it had.
    let line = |image: &Image, at: u32| {
        let last = image.lines.iter().rfind(|l| l.insn <= at).unwrap();
        last.line_col
    };
    assert_eq!(line(&after, after.poisoned[0].insn), line(&before, start + 2));
    let region = report.regions.iter().find(|r| r.function == 1).unwrap();
    assert_eq!(region.start, after.relocs[0].insn);
}

#[test]
fn bounds_of_the_packet_are_loaded_once() {
    let member = [
        insn(0x61, 2, 1, 0, 0),
        insn(0x61, 3, 1, 4, 0),
        copy(4, 2),
        add(4, 14),
        insn(0x2d, 4, 3, 2, 0),
        insn(0x71, 0, 2, 0, 0),
        insn(0x15, 0, 0, 2, 9),
        mov(0, 2),
        exit(),
        mov(0, 1),
        exit(),
    ];
    let loads = |insns: &[Insn]| insns.iter().filter(|i| i.code == 0x61).count();
    let tests = |insns: &[Insn]| insns.iter().filter(|i| matches!(i.code, 0x2d | 0xbd)).count();
    let (insns, _) = fused(&image(&[&root(3), &member, &member, &member]));
    assert_eq!(loads(&insns), 2, "{insns:?}");
    // A packet that was long enough for the first is for all.
    assert!(tests(&insns) < 3, "{insns:?}");
    // A helper that may move the packet makes all of it void.
    let mut moving = member.to_vec();
    moving.splice(0..0, [copy(6, 1), mov(2, -4), helper(44), copy(1, 6)]);
    let (insns, _) = fused(&image(&[&root(3), &moving, &moving, &moving]));
    assert_eq!(loads(&insns), 6);
}

#[test]
fn what_is_no_image_is_left_alone() {
    // Functions that call each other, calls into the middle, jumps out.
    let circle = image(&[&[call(1), exit()], &[call(0), exit()]]);
    assert_eq!(fused(&circle).0, circle.insns);
    let mut middle = image(&[&[call(1), exit()], &[mov(0, 0), exit()]]);
    middle.insns[0].imm += 1;
    assert_eq!(fused(&middle).0, middle.insns);
    let out = image(&[&[call(1), exit()], &[insn(JA, 0, 0, 100, 0), exit()]]);
    assert_eq!(fused(&out).0, out.insns);
    let none = Image { insns: vec![], functions: vec![], ..image(&[&[exit()]]) };
    fuse_image(&none, &FuseOptions::default());
}

#[test]
fn jump_tables_follow_their_functions() {
    let [load, high] = [insn(LD_IMM64, 1, 0, 0, 0), Insn::default()];
    let jump = insn(bpfweld_insn::flow::JAX, 1, 0, 0, 0);
    let mut image = image(&[
        &[call(1), call(2), exit()],
        &[mov(0, 1), mov(0, 2), exit()],
        &[load, high, jump, exit(), exit()],
    ]);
    image.relocs.push(ImageReloc { insn: 6, target: ImageTarget::JumpTable(0) });
    image.jump_tables.push(vec![10, 9]);
    let (new, report) = fuse_image(&image, &FuseOptions::default());
    check(&new);
    assert_eq!((report.fused.len(), new.functions.len()), (1, 2));
    assert_eq!(report.kept[0].why, Why::Control);
    let start = new.functions[1].start;
    assert_ne!(start, 6);
    assert_eq!(new.jump_tables, [[start + 4, start + 3]]);
}

#[test]
fn a_circle_with_two_ways_in_is_looked_at_whichever_is_taken() {
    // Two blocks that go round, each with a way in from the start, of which one is taken always; the other is
    // reached by way of the circle. Both lead to the end, with another verdict.
    let member = [
        copy(6, 1),
        mov(1, 1),
        insn(0x15, 1, 0, 3, 1), // always to the second
        // The first block: to the end with 5, or to the second.
        mov(0, 5),
        insn(0x61, 2, 6, 12, 0),
        insn(0x15, 2, 0, 3, 7),
        // The second: to the end with 3, or to the first.
        mov(0, 3),
        insn(0x61, 2, 6, 16, 0),
        insn(0x55, 2, 0, -6, 8),
        // The end, which is not copied to where its test is decided.
        insn(0x7b, 10, 6, -8, 0),
        insn(0x15, 0, 0, 1, 3),
        mov(0, 9),
        exit(),
    ];
    let (insns, report) = fused(&image(&[&[call(1), exit()], &member]));
    assert_eq!(report.fused.len(), 1);
    assert!(insns.iter().any(|i| i.imm == 9), "{insns:?}");
}

#[test]
fn distances_in_the_packet_that_no_packet_has() {
    let [low, high] = [insn(LD_IMM64, 3, 0, 0, -1), insn(0, 0, 0, 0, i32::MAX)];
    let member = [
        insn(0x61, 2, 1, 0, 0),
        low,
        high,
        insn(0x0f, 2, 3, 0, 0),
        insn(0x7a, 2, 0, 0, 1), // a store at 2^63 - 1
        insn(0x79, 0, 2, -8, 0),
        insn(0x7a, 2, 0, i16::MAX, 1),
        insn(0x79, 0, 2, i16::MIN, 0),
        insn(0x79, 0, 2, 0, 0),
        exit(),
    ];
    assert_eq!(fused(&image(&[&[call(1), exit()], &member])).1.fused.len(), 1);
}
