//! What the linker made is read back and checked: in debug builds after every link, and in tests.

use std::collections::BTreeSet;

use bpfweld_btf::{Btf, Kind, TypeId};
use bpfweld_insn::{Insn, pseudo};

use crate::image::{Image, ImageSet, ImageTarget, MapContent};

/// Will the kernel take the merged BTF? Not if the types of some object were wrong to begin with,
/// which is that object's fault and no reason to refuse it: the loader goes on without types.
pub fn check_types(set: &ImageSet) -> Result<(), String> {
    set.btf.check_for_kernel().map_err(|e| format!("merged BTF: {e}"))
}

/// Checks every invariant that the types of [`crate::image`] state. The error says which broke; it is
/// the linker's fault, whatever the objects.
pub fn check(set: &ImageSet) -> Result<(), String> {
    let btf = Btf::parse(&set.btf.to_bytes()).map_err(|e| format!("merged BTF: {e}"))?;
    let is = |id: TypeId, kind: Kind| btf.contains(id) && btf.ty(id).kind() == kind;
    for map in &set.maps {
        let datasec = match &map.content {
            MapContent::Defined(spec) => {
                let types = [spec.key_type, spec.value_type];
                if types.into_iter().flatten().any(|id| !btf.contains(id)) {
                    return Err(format!("map {}: a type that is not in the merged BTF", map.name));
                }
                None
            }
            MapContent::Data { datasec, size, bytes, .. } => {
                if !bytes.is_empty() && bytes.len() != *size as usize {
                    return Err(format!("map {}: {} bytes, size {size}", map.name, bytes.len()));
                }
                *datasec
            }
            MapContent::Kconfig { datasec, .. } => *datasec,
        };
        if datasec.is_some_and(|id| !is(id, Kind::Datasec)) {
            return Err(format!("map {}: its section is no DATASEC", map.name));
        }
    }
    for image in &set.images {
        check_image(set, &btf, image).map_err(|e| format!("image {}: {e}", image.name))?;
    }
    Ok(())
}

fn check_image(set: &ImageSet, btf: &Btf, image: &Image) -> Result<(), String> {
    let mut end = 0;
    let mut starts = BTreeSet::new();
    for f in &image.functions {
        if f.start != end || f.len == 0 {
            return Err(format!("function {} starts at {}, not {end}", f.name, f.start));
        }
        let func = btf.ty(f.type_id);
        if func.kind() != Kind::Func {
            return Err(format!("function {} has the type {func:?}", f.name));
        }
        starts.insert(i64::from(f.start));
        end += f.len;
    }
    if end as usize != image.insns.len() {
        return Err(format!("{} instructions, functions end at {end}", image.insns.len()));
    }
    let second = second_slots(&image.insns);
    // What a backend is yet to patch (a call of a kernel function, say) is as the compiler left it.
    let open: BTreeSet<_> = image.relocs.iter().map(|r| r.insn as usize).collect();
    let done = |at: &usize| !second.contains(at) && !open.contains(at);
    for (at, insn) in image.insns.iter().enumerate().filter(|(at, _)| done(at)) {
        let refers = insn.is_bpf_call() || insn.is_ld_imm64() && insn.src() == pseudo::FUNC;
        let target = at as i64 + 1 + i64::from(insn.imm);
        if refers && !starts.contains(&target) {
            return Err(format!("instruction {at} refers to {target}, where no function starts"));
        }
    }
    let mut last = None;
    for reloc in &image.relocs {
        let at = reloc.insn as usize;
        if last.is_some_and(|l| l >= at) || at >= image.insns.len() || second.contains(&at) {
            return Err(format!("relocation of instruction {at}"));
        }
        last = Some(at);
        if let ImageTarget::Map(m) | ImageTarget::MapValue { map: m, .. } = &reloc.target
            && set.maps.get(m.index()).is_none()
        {
            return Err(format!("relocation of instruction {at}: no map {}", m.0));
        }
        if let ImageTarget::JumpTable(table) = reloc.target
            && image.jump_tables.get(table as usize).is_none()
        {
            return Err(format!("relocation of instruction {at}: no jump table {table}"));
        }
    }
    let function_of = |slot: &u32| image.functions.partition_point(|f| f.start <= *slot);
    for (i, table) in image.jump_tables.iter().enumerate() {
        let wrong = |slot: &u32| *slot >= end || second.contains(&(*slot as usize));
        if table.iter().any(wrong) {
            return Err(format!("jump table {i} leads to no instruction"));
        }
        if table.windows(2).any(|w| function_of(&w[0]) != function_of(&w[1])) {
            return Err(format!("jump table {i} leads into two functions"));
        }
    }
    let mut last = None;
    for line in &image.lines {
        let at = line.insn as usize;
        if last.is_some_and(|l| l >= at) || at >= image.insns.len() || second.contains(&at) {
            return Err(format!("line info of instruction {at}"));
        }
        last = Some(at);
        if btf.bytes_at(line.file_off).is_none() || btf.bytes_at(line.line_off).is_none() {
            return Err(format!("line info of instruction {at}: string outside"));
        }
    }
    let covered = |f: &crate::image::ImageFunction| image.lines.iter().any(|l| l.insn == f.start);
    match image.lines.is_empty() || image.functions.iter().all(covered) {
        true => Ok(()),
        false => Err("a function without line info at its start".into()),
    }
}

fn second_slots(insns: &[Insn]) -> BTreeSet<usize> {
    let mut second = BTreeSet::new();
    let mut at = 0;
    while let Some(insn) = insns.get(at) {
        if insn.is_ld_imm64() {
            second.insert(at + 1);
        }
        at += insn.slots();
    }
    second
}
