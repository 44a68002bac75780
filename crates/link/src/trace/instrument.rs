//! A copy of a set whose functions tell when they begin and end.

use std::sync::Arc;

use bpfweld_object::{Bytes, DataKind};

use super::code::{self, Site};
use super::event::SIZE;
use super::plan::{TracePlan, code as insns_of};
use super::rewrite::{Insertions, TooFar, rewrite};
use crate::image::{Image, ImageMap, ImageSet, InstanceId, MapContent, MapIndex};
use crate::stack;

/// Name of the map that the copy writes into.
pub const TRACE_MAP: &str = ".trace";
/// The most stack that a function can use (`MAX_BPF_STACK`, linux/filter.h).
const MAX_STACK: u32 = 512;

/// Why there is no copy that traces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A jump in a long function would not reach its target any more.
    #[error(
        "program `{program}` of `{instance}` has a function so long that a jump over what tracing \
         adds cannot be encoded"
    )]
    TooFar {
        /// Name of the entry function.
        program: String,
        /// Label of its instance.
        instance: String,
    },
}

impl TraceError {
    /// The stable code, a section of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooFar { .. } => "E0801",
        }
    }
}

/// Makes the copy. It has one map more than the set, the last: what happens goes there, in the format
/// of [`Events::read`](super::Events::read). The plan is corrected where the stack of a function is
/// full.
pub fn instrument(
    set: &ImageSet,
    plan: &mut TracePlan,
) -> Result<(ImageSet, MapIndex), TraceError> {
    let map = MapIndex(set.maps.len() as u32);
    let mut copy = set.clone();
    copy.maps.push(ImageMap {
        name: TRACE_MAP.into(),
        // No instance has it.
        instance: InstanceId(u32::MAX),
        label: "bpfweld".into(),
        content: MapContent::Data {
            kind: DataKind::Bss,
            size: SIZE,
            bytes: Bytes::new(),
            datasec: None,
        },
        existing: None,
    });
    copy.images.clear();
    for index in 0..set.images.len() {
        copy.images.push(one_image(set, plan, index, map)?);
    }
    // What a later link needs to know is the original's to tell.
    copy.origin = Arc::default();
    debug_assert_eq!(crate::read_back::check(&copy), Ok(()));
    Ok((copy, map))
}

fn one_image(
    set: &ImageSet,
    plan: &mut TracePlan,
    index: usize,
    map: MapIndex,
) -> Result<Image, TraceError> {
    let image = &set.images[index];
    let detail = plan.detail;
    let traced = &mut plan.images[index];
    // The kernel's limit on functions is far below 2^16, and so is that on images.
    let number = index as u16;
    let mut insertions = Vec::with_capacity(image.functions.len());
    for (i, (function, watched)) in (0u32..).zip(image.functions.iter().zip(&mut traced.functions))
    {
        let mut ours = Insertions::default();
        if watched.watched {
            let insns = insns_of(image, function).unwrap_or_default();
            let slot = stack::depth(insns).next_multiple_of(8) + 8;
            watched.packet &= slot <= MAX_STACK;
            let site = Site {
                image: number,
                index: i,
                function: watched,
                prog_type: traced.prog_type,
                detail,
                slot: -(slot as i16),
            };
            ours.enter = site.enter();
            ours.exit = site.exit();
        }
        insertions.push(ours);
    }
    for (number_of_site, site) in (0u32..).zip(&traced.sites) {
        let at = image.functions.partition_point(|f| f.start <= site.insn).checked_sub(1);
        let place = at.and_then(|i| Some((image.functions.get(i)?, insertions.get_mut(i)?)));
        if let Some((function, ours)) = place
            && let Some(around) = code::redirect(number, number_of_site, site.helper)
        {
            ours.around.insert((site.insn - function.start) as usize, around);
        }
    }
    rewrite(image, &insertions, map).map_err(|TooFar| TraceError::TooFar {
        program: image.name.clone(),
        instance: image.instance.clone(),
    })
}
