//! What a program attaches to, of those types that want to know when they are loaded: a type of the
//! kernel's BTF.

use bpfweld_btf::{Btf, Kind};
use bpfweld_link::Image;
use bpfweld_object::sections;

use crate::error::LoadError;
use crate::facts::{attach_type, prog_type};
use crate::features::{Feature, Features};
use crate::running::{Running, without_flavour};

/// What `BPF_PROG_LOAD` is told.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Attach {
    /// `attach_btf_id`; 0 for none.
    pub(crate) btf_id: u32,
    /// `expected_attach_type`, where it is not what the section's name says.
    pub(crate) attach_type: Option<u32>,
}

pub(crate) fn find(
    features: &Features,
    running: &Running,
    kernel_btf: Option<&Btf>,
    image: &Image,
) -> Result<Attach, LoadError> {
    let error = |problem: String| LoadError::Target {
        program: image.name.clone(),
        instance: image.instance.clone(),
        problem,
    };
    let sys = &**features.sys();
    let section = &image.section;
    let attach = image.program.attach_type.map_or(0, |a| a.0);
    let target = image.program.attach_to.as_deref().unwrap_or("");
    let (kind, name) = match (image.program.prog_type.0, attach) {
        (prog_type::UNSPEC, _) => {
            return Err(error(format!(
                "section `{section}` stands for no program type; the nearest names that do: {}",
                sections::nearest(section).join(", ")
            )));
        }
        (prog_type::TRACING, attach_type::TRACE_RAW_TP) => {
            (Kind::Typedef, format!("btf_trace_{target}"))
        }
        (prog_type::TRACING, attach_type::TRACE_ITER) => (Kind::Func, format!("bpf_iter_{target}")),
        (prog_type::TRACING, _) => (Kind::Func, target.to_owned()),
        (prog_type::LSM, _) => (Kind::Func, format!("bpf_lsm_{target}")),
        (prog_type::EXT, _) => {
            let problem = "programs that replace functions of others (freplace) cannot be \
                           loaded by this loader: bind the function instead";
            return Err(error(problem.into()));
        }
        (prog_type::STRUCT_OPS, _) => {
            let btf = running.kernel_btf(sys, kernel_btf).map_err(|e| error(e.to_string()))?;
            return struct_ops(btf, target).map_err(error);
        }
        // One program for all places of a probe, where the kernel can.
        (prog_type::KPROBE, _) if is_usdt(section) && features.get(Feature::UprobeMulti) => {
            return Ok(Attach { btf_id: 0, attach_type: Some(attach_type::TRACE_UPROBE_MULTI) });
        }
        _ => return Ok(Attach::default()),
    };
    if target.is_empty() {
        return Err(error(format!(
            "section `{section}` does not say what it attaches to; name it `{section}/FUNCTION`"
        )));
    }
    let id = running.type_id(sys, kernel_btf, kind, &name).map_err(|e| error(e.to_string()))?;
    let btf_id = id.ok_or_else(|| {
        error(format!(
            "it attaches to `{target}`, but the kernel's BTF has no `{name}` (functions of modules \
             cannot be attached to yet)"
        ))
    })?;
    Ok(Attach { btf_id, attach_type: None })
}

fn is_usdt(section: &str) -> bool {
    let name = section.trim_start_matches('?').split('/').next();
    matches!(name, Some("usdt" | "usdt.s"))
}

/// The struct, and the number of the member among its members (kernel, `check_struct_ops_btf_id`).
fn struct_ops(btf: &Btf, target: &str) -> Result<Attach, String> {
    let Some((name, member)) = target.split_once('.') else {
        return Err("no variable of a section `.struct_ops` names it, so it is unknown what it \
                    implements"
            .into());
    };
    let name = without_flavour(name);
    let ty = btf.find(Kind::Struct, name).ok_or_else(|| {
        format!(
            "it implements `{target}`, but the kernel's BTF has no struct `{name}` (those of modules \
             cannot be implemented yet)"
        )
    })?;
    let index = ty.members().position(|m| m.name == member);
    let index = index.and_then(|at| u32::try_from(at).ok()).ok_or_else(|| {
        format!("it implements `{target}`, but the kernel's struct `{name}` has no such member")
    })?;
    Ok(Attach { btf_id: ty.id().0, attach_type: Some(index) })
}

#[cfg(test)]
mod tests {
    use bpfweld_btf::{BtfBuilder, IntEncoding, MemberSpec};

    use super::*;

    #[test]
    fn usdt_sections() {
        for section in ["usdt", "usdt//usr/lib/libc.so.6:libc:setjmp", "?usdt.s/x:y:z"] {
            assert!(is_usdt(section), "{section}");
        }
        assert!(!is_usdt("uprobe/usdt") && !is_usdt("usdt2/x"));
    }

    #[test]
    fn members_of_struct_ops() {
        let mut b = BtfBuilder::new();
        let int = b.add_int("int", 4, IntEncoding { bits: 32, ..IntEncoding::default() });
        let member = |name, at| MemberSpec { name, type_id: int, bit_offset: at, bitfield_size: 0 };
        let id = b.add_struct("tcp_congestion_ops", 8, &[member("flags", 0), member("init", 32)]);
        let btf = b.finish().unwrap();
        let found = struct_ops(&btf, "tcp_congestion_ops___old.init").unwrap();
        assert_eq!(found, Attach { btf_id: id.0, attach_type: Some(1) });
        assert!(struct_ops(&btf, "tcp_congestion_ops.get").unwrap_err().contains("no such member"));
        assert!(struct_ops(&btf, "hid_ops.get").unwrap_err().contains("no struct `hid_ops`"));
        assert!(struct_ops(&btf, "").unwrap_err().contains(".struct_ops"));
    }
}
