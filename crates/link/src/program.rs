//! What the whole image is allowed to be: program type, flags and licence, from those of every
//! function that goes in.

use bpfweld_insn::helpers::{helper_gpl_only, helper_name};
use bpfweld_object::ProgramSpec;

use crate::error::{FunctionRef, LinkError};
use crate::plan::Plan;
use crate::resolve::{Instance, Linked};

/// Licences that make a program GPL-compatible (kernel, `license_is_gpl_compatible`).
const GPL_COMPATIBLE: [&str; 6] =
    ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

/// The entry's program type and flags, narrowed by every entry program that was linked in.
pub(crate) fn merge_specs(
    linked: &Linked,
    plan: &Plan,
    warnings: &mut Vec<String>,
) -> Result<ProgramSpec, LinkError> {
    let spec_of = |i: usize| {
        let planned = &plan.functions[i];
        linked.instances[planned.instance.index()].function(planned.func)
    };
    let entry_name = plan.name(linked, 0);
    let no_entry = || LinkError::NoEntry { instance: entry_name.instance.clone() };
    let mut merged = spec_of(0).and_then(|f| f.program.clone()).ok_or_else(no_entry)?;
    for i in 1..plan.functions.len() {
        let Some((function, spec)) = spec_of(i).and_then(|f| Some((f, f.program.as_ref()?))) else {
            continue;
        };
        if !spec.may_run_in(&merged) {
            return Err(LinkError::ProgramType {
                target: plan.name(linked, i),
                section: function.section.to_string(),
                found: spec.type_name(),
                entry: entry_name,
                wanted: merged.type_name(),
                site: plan.first_site(linked, i),
            });
        }
        if spec.sleepable && !merged.sleepable {
            let target = plan.name(linked, i);
            let site = plan.first_site(linked, i);
            return Err(LinkError::Sleepable { target, entry: entry_name, site });
        }
        if merged.frags && !spec.frags {
            merged.frags = false;
            warnings.push(format!(
                "{entry_name} takes multi-buffer packets (frags) and {} does not: loaded without \
                 frags",
                plan.name(linked, i)
            ));
        }
    }
    Ok(merged)
}

/// The licence of the image. Never more permissive to the kernel than that of any object in it: one
/// object that is not GPL-compatible makes the whole program so, and then no function may call a
/// GPL-only helper.
pub(crate) fn merge_licences(linked: &Linked, plan: &Plan) -> Result<String, LinkError> {
    let instance_of = |i: usize| &linked.instances[plan.functions[i].instance.index()];
    let licence_of = |instance: &Instance| instance.object.license.clone().unwrap_or_default();
    let root = instance_of(0);
    let all = 0..plan.functions.len();
    let Some(strict) = all.clone().map(instance_of).find(|i| !gpl_compatible(i)) else {
        return Ok(licence_of(root));
    };
    // A single object is its author's own affair: the verifier says the same, and newer kernels may
    // be more generous than the list of helpers here.
    let mixed = all.clone().map(instance_of).any(gpl_compatible);
    for i in all.filter(|_| mixed) {
        let planned = &plan.functions[i];
        let Some(function) = instance_of(i).function(planned.func) else { continue };
        let helpers =
            function.insns.iter().enumerate().filter_map(|(at, i)| Some((at, i.helper()?)));
        if let Some((at, helper)) = helpers.clone().find(|&(_, h)| helper_gpl_only(h)) {
            return Err(LinkError::Licence {
                function: FunctionRef {
                    instance: instance_of(i).label.clone(),
                    function: function.name.clone(),
                },
                helper: helper_name(helper).map_or_else(|| format!("#{helper}"), str::to_owned),
                instance: strict.label.clone(),
                licence: strict.object.license.clone(),
                site: u32::try_from(at).ok().map(|at| Box::new(instance_of(i).site(function, at))),
            });
        }
    }
    Ok(match gpl_compatible(root) {
        true => licence_of(strict),
        false => licence_of(root),
    })
}

fn gpl_compatible(instance: &Instance) -> bool {
    let licence = instance.object.license.as_deref().unwrap_or("");
    GPL_COMPATIBLE.contains(&licence)
}
