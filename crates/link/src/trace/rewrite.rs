//! Inserting instructions into a function: jumps, calls, references and lines stay what they were.

use std::collections::BTreeMap;

use bpfweld_btf::order;
use bpfweld_insn::{Insn, JA, JA32, pseudo};

use super::code::Code;
use crate::image::{Image, ImageFunction, ImageLine, ImageReloc, ImageTarget, MapIndex, Poisoned};

/// What to insert into a function. Slots count from its start.
#[derive(Default)]
pub(super) struct Insertions {
    /// Where it begins. What jumps to its first instruction passes it by.
    pub(super) enter: Code,
    /// In place of every exit, which becomes a jump there; empty to leave exits as they are.
    pub(super) exit: Code,
    /// Before and behind the instruction of a slot.
    pub(super) around: BTreeMap<usize, (Code, Code)>,
}

/// A jump became longer than an instruction can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooFar;

/// Makes the image anew with insertions in each function, its references to `map` included.
pub(super) fn rewrite(
    image: &Image,
    insertions: &[Insertions],
    map: MapIndex,
) -> Result<Image, TooFar> {
    let mut made = Image {
        insns: Vec::new(),
        functions: Vec::new(),
        relocs: Vec::new(),
        lines: Vec::new(),
        poisoned: Vec::new(),
        jump_tables: vec![Vec::new(); image.jump_tables.len()],
        ..image.clone()
    };
    // New slot of every old one, and of every function's start.
    let mut slots = vec![0u32; image.insns.len()];
    let mut starts: BTreeMap<u32, u32> = BTreeMap::new();
    for (function, insertions) in image.functions.iter().zip(insertions) {
        let start = made.insns.len() as u32;
        starts.insert(function.start, start);
        one_function(image, function, insertions, map, &mut made, &mut slots)?;
        let len = made.insns.len() as u32 - start;
        made.functions.push(ImageFunction { start, len, ..function.clone() });
    }
    calls(image, &mut made, &slots, &starts);
    let new = |slot: u32| slots.get(slot as usize).copied().unwrap_or(0);
    let moved = |r: &ImageReloc| ImageReloc { insn: new(r.insn), target: r.target.clone() };
    made.relocs.extend(image.relocs.iter().map(moved));
    order::sort_by_key(&mut made.relocs, |r| r.insn);
    // A function's first line is at its very start.
    let line = |l: &ImageLine| ImageLine {
        insn: starts.get(&l.insn).copied().unwrap_or_else(|| new(l.insn)),
        ..*l
    };
    made.lines = image.lines.iter().map(line).collect();
    let poisoned = |p: &Poisoned| Poisoned { insn: new(p.insn), ..p.clone() };
    made.poisoned = image.poisoned.iter().map(poisoned).collect();
    Ok(made)
}

fn one_function(
    image: &Image,
    function: &ImageFunction,
    insertions: &Insertions,
    map: MapIndex,
    made: &mut Image,
    slots: &mut [u32],
) -> Result<(), TooFar> {
    let first = function.start as usize;
    let old = super::plan::code(image, function).unwrap_or_default();
    insert(made, &insertions.enter, map);
    // Where jumps to a slot go: before what was inserted before it.
    let mut targets = vec![0usize; old.len()];
    let mut at = 0;
    while let Some(insn) = old.get(at) {
        if let Some(target) = targets.get_mut(at) {
            *target = made.insns.len();
        }
        let around = insertions.around.get(&at);
        if let Some((before, _)) = around {
            insert(made, before, map);
        }
        for i in at..(at + insn.slots()).min(old.len()) {
            if let Some(slot) = slots.get_mut(first + i) {
                *slot = made.insns.len() as u32;
            }
            made.insns.extend(old.get(i));
        }
        if let Some((_, behind)) = around {
            insert(made, behind, map);
        }
        at += insn.slots();
    }
    for (table, made) in image.jump_tables.iter().zip(&mut made.jump_tables) {
        let to = |slot: &u32| targets.get((*slot as usize).checked_sub(first)?).copied();
        if let Some(moved) = table.iter().map(to).collect::<Option<Vec<_>>>() {
            *made = moved.into_iter().map(|slot| slot as u32).collect();
        }
    }
    let exit = made.insns.len();
    insert(made, &insertions.exit, map);
    let mut at = 0;
    while let Some(insn) = old.get(at) {
        let now = slots.get(first + at).copied().unwrap_or(0) as usize;
        let to = match insn.jump_target(at) {
            Some(target) => {
                // A jump out of the function is as wrong as it was, and the backend says so.
                usize::try_from(target).ok().and_then(|t| targets.get(t)).copied()
            }
            None if insn.code == bpfweld_insn::EXIT && !insertions.exit.insns.is_empty() => {
                Some(exit)
            }
            None => None,
        };
        if let Some((to, place)) = to.zip(made.insns.get_mut(now)) {
            let distance = to as i64 - now as i64 - 1;
            let short = i16::try_from(distance);
            *place = match (insn.code, short) {
                (JA32, _) => Insn { imm: i32::try_from(distance).map_err(|_| TooFar)?, ..*insn },
                (bpfweld_insn::EXIT, Ok(off)) => Insn { code: JA, off, ..Insn::default() },
                (_, Ok(off)) => Insn { off, ..*insn },
                (_, Err(_)) => return Err(TooFar),
            };
        }
        at += insn.slots();
    }
    Ok(())
}

fn insert(made: &mut Image, code: &Code, map: MapIndex) {
    let start = made.insns.len();
    made.insns.extend_from_slice(&code.insns);
    made.relocs.extend(code.maps.iter().map(|at| ImageReloc {
        insn: (start + at) as u32,
        target: ImageTarget::MapValue { map, offset: 0 },
    }));
}

/// Calls and addresses of functions: they name the distance to a function's start.
fn calls(image: &Image, made: &mut Image, slots: &[u32], starts: &BTreeMap<u32, u32>) {
    let mut at = 0;
    while let Some(insn) = image.insns.get(at) {
        let open = image.relocs.binary_search_by_key(&(at as u32), |r| r.insn).is_ok();
        let refers = insn.is_bpf_call() || insn.is_ld_imm64() && insn.src() == pseudo::FUNC;
        if refers && !open {
            let target = at as i64 + 1 + i64::from(insn.imm);
            let target = u32::try_from(target).ok().and_then(|t| starts.get(&t));
            let now = slots.get(at).copied().unwrap_or(0);
            if let Some((target, place)) = target.zip(made.insns.get_mut(now as usize)) {
                // Both are far below 2^31.
                place.imm = *target as i32 - now as i32 - 1;
            }
        }
        at += insn.slots();
    }
}
