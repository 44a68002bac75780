//! Which unusable instruction the verifier came by, and why it is one.

use bpfweld_link::{Image, ImageTarget, KernelRef, Missing, Poisoned};

use crate::log::VerifierLog;

/// The poisoned instruction that the verifier stopped at, if it stopped at one: the linker's, or a call of a weak kernel
/// function, of which `missing` tells why it is not there.
///
/// The verifier's last lines are then the instruction ("7: (85) call unknown#…") and the reason
/// ("invalid func unknown#…"); it counts instructions as the image does.
pub(crate) fn explain(
    image: &Image,
    log: &VerifierLog,
    missing: impl FnOnce(u32, &KernelRef) -> String,
) -> Option<Poisoned> {
    log.reason().filter(|reason| reason.contains("invalid func"))?;
    let at = log.lines().rev().find_map(|line| {
        let (index, rest) = line.trim_start().split_once(':')?;
        rest.trim_start().starts_with("(85)").then(|| index.parse().ok())?
    });
    let insn: u32 = at?;
    if let Some(known) = image.poisoned.iter().find(|p| p.insn == insn) {
        return Some(known.clone());
    }
    let reloc = image.relocs.iter().find(|reloc| reloc.insn == insn)?;
    let ImageTarget::KernelFunction(wanted) = &reloc.target else { return None };
    Some(Poisoned { insn, missing: Missing::KernelFunction, reason: missing(insn, wanted) })
}
