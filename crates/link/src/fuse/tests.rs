//! Images put together by hand, fused, and looked at.

use bpfweld_btf::TypeId;
use bpfweld_insn::{CALL, EXIT, Insn, JA, pseudo};
use bpfweld_object::{FuncId, ProgramSpec, ProgramType};

use super::*;
use crate::image::{ImageTarget, InstanceId, MapIndex};

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
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
        if insn.is_bpf_call() || insn.is_ld_imm64() && insn.src == pseudo::FUNC {
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
    // Two loads, two tests, both verdicts, exit.
    let tests = insns.iter().filter(|i| i.code == 0x15 || i.code == 0x55).count();
    assert_eq!(tests, 2, "{insns:?}");
    assert!(!insns.iter().any(|i| i.code == 0x56 || i.code == CALL));
    assert!(insns.len() <= 10, "{insns:?}");
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
    let saved = insns.iter().filter(|i| i.code == 0x7b && i.dst == 10).collect::<Vec<_>>();
    assert_eq!(saved.len(), 1, "{insns:?}");
    assert_eq!((saved[0].src, saved[0].off), (8, -8));
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
    before.poisoned = vec![Poisoned { insn: start + 2, reason: "not there".into() }];
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
