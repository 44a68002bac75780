//! Which instruction that the linker made unusable the verifier came by.

use bpfweld_link::{Image, Poisoned};

use crate::log::VerifierLog;

/// The linker's word on the poisoned instruction that the verifier stopped at, if it stopped at one.
///
/// The verifier's last lines are then the instruction ("7: (85) call unknown#…") and the reason
/// ("invalid func unknown#…"); it counts instructions as the image does.
pub(crate) fn explain(image: &Image, log: &VerifierLog) -> Option<Poisoned> {
    log.reason().filter(|reason| reason.contains("invalid func"))?;
    let at = log.lines().rev().find_map(|line| {
        let (index, rest) = line.trim_start().split_once(':')?;
        rest.trim_start().starts_with("(85)").then(|| index.parse().ok())?
    });
    let at: u32 = at?;
    image.poisoned.iter().find(|p| p.insn == at).cloned()
}
