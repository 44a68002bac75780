//! What a program attaches to, of those types that want to know when they are loaded: a type of the
//! kernel's BTF, or of another program's.

use std::os::fd::BorrowedFd;

use bpfweld_btf::{Btf, Kind};
use bpfweld_link::Image;
use bpfweld_object::sections;

use crate::error::{LoadError, SymbolProblem};
use crate::facts::{attach_type, prog_type};
use crate::features::{Feature, Features};
use crate::modules::Module;
use crate::running::{KernelType, Running, without_flavour};
use crate::target::{self, AttachTarget};

/// What `BPF_PROG_LOAD` is told.
#[derive(Default, Debug)]
pub(crate) struct Attach<'r> {
    /// `attach_btf_id`; 0 for none.
    pub(crate) btf_id: u32,
    /// The module that has the type, if it is not the kernel itself.
    pub(crate) module: Option<&'r Module>,
    /// The program that has it.
    pub(crate) program: Option<BorrowedFd<'r>>,
    /// `expected_attach_type`, where it is not what the section's name says.
    pub(crate) attach_type: Option<u32>,
}

pub(crate) fn find<'r>(
    features: &Features,
    running: &'r Running,
    kernel_btf: Option<&'r Btf>,
    image: &Image,
    wanted: Option<&'r AttachTarget>,
) -> Result<Attach<'r>, LoadError> {
    let error = |problem: String| LoadError::Target {
        program: image.name.clone(),
        instance: image.instance.clone(),
        problem,
    };
    let sys = &**features.sys();
    let section = &image.section;
    let mut to = image.program.attach_to.as_deref().unwrap_or("");
    match wanted {
        Some(AttachTarget::Program { program, function }) => {
            if !matches!(image.program.prog_type.0, prog_type::EXT | prog_type::TRACING) {
                return Err(error(format!(
                    "programs of section `{section}` do not attach to functions of others"
                )));
            }
            let name = function.as_deref().or((!to.is_empty()).then_some(to));
            let found = target::function(sys, program, name).map_err(error)?;
            let (btf_id, program) = (found.btf_id, Some(found.program));
            return Ok(Attach { btf_id, program, ..Attach::default() });
        }
        Some(AttachTarget::Kernel(name)) => to = name,
        None => {}
    }
    match image.program.prog_type.0 {
        prog_type::UNSPEC => {
            return Err(error(format!(
                "section `{section}` stands for no program type; the nearest names that do: {}",
                sections::nearest(section).join(", ")
            )));
        }
        prog_type::EXT => {
            let problem = "it replaces a function of another program (freplace), and which \
                           program that is has to be said when it is loaded (--attach-target)";
            return Err(error(problem.into()));
        }
        prog_type::STRUCT_OPS => {
            let find = |name: &str| running.find(sys, kernel_btf, Kind::Struct, name);
            return struct_ops(to, find).map_err(error);
        }
        // One program for all places of a probe, where the kernel can.
        prog_type::KPROBE if is_usdt(section) && features.get(Feature::UprobeMulti) => {
            let attach_type = Some(attach_type::TRACE_UPROBE_MULTI);
            return Ok(Attach { attach_type, ..Attach::default() });
        }
        _ => {}
    }
    let Some((kind, name)) = type_of(image, to) else { return Ok(Attach::default()) };
    if to.is_empty() {
        return Err(error(format!(
            "section `{section}` does not say what it attaches to; name it `{section}/FUNCTION`"
        )));
    }
    let found = match module_of(to) {
        Some(module) => running.find_in_module(sys, module, kind, &name),
        None => running.find(sys, kernel_btf, kind, &name),
    };
    match found.map_err(|e| error(e.to_string()))? {
        Some(found) => Ok(Attach { btf_id: found.id.0, module: found.module, ..Attach::default() }),
        None => Err(error(format!(
            "it attaches to `{to}`, but no BTF has `{name}` (searched {}); check the name, and load the \
             module that has it",
            match module_of(to) {
                Some(module) => format!("that of the module {module}"),
                None => running.searched(sys, kernel_btf),
            }
        ))),
    }
}

/// The type that stands for what a program attaches to, of those programs that have one.
pub(crate) fn type_of(image: &Image, to: &str) -> Option<(Kind, String)> {
    let attach = image.program.attach_type.map_or(0, |a| a.0);
    // `module:function` says whose.
    let name = to.split_once(':').map_or(to, |(_, name)| name);
    Some(match (image.program.prog_type.0, attach) {
        (prog_type::TRACING, attach_type::TRACE_RAW_TP) => {
            (Kind::Typedef, format!("btf_trace_{name}"))
        }
        (prog_type::TRACING, attach_type::TRACE_ITER) => (Kind::Func, format!("bpf_iter_{name}")),
        (prog_type::TRACING, _) => (Kind::Func, name.to_owned()),
        (prog_type::LSM, _) => (Kind::Func, format!("bpf_lsm_{name}")),
        _ => return None,
    })
}

/// The module that is named; otherwise the kernel's own types go first.
fn module_of(target: &str) -> Option<&str> {
    target.split_once(':').map(|(module, _)| module).filter(|&module| module != "vmlinux")
}

fn is_usdt(section: &str) -> bool {
    let name = section.trim_start_matches('?').split('/').next();
    matches!(name, Some("usdt" | "usdt.s"))
}

/// The struct, and the number of the member among its members (kernel, `check_struct_ops_btf_id`).
fn struct_ops<'r>(
    target: &str,
    find: impl Fn(&str) -> Result<Option<KernelType<'r>>, SymbolProblem>,
) -> Result<Attach<'r>, String> {
    let Some((name, member)) = target.split_once('.') else {
        return Err("no variable of a section `.struct_ops` names it, so it is unknown what it \
                    implements"
            .into());
    };
    let name = without_flavour(name);
    let found = find(name).map_err(|e| e.to_string())?.ok_or_else(|| {
        format!(
            "it implements `{target}`, but neither the kernel's BTF nor those of its modules have a \
             struct `{name}`"
        )
    })?;
    let ty = found.btf.ty(found.id);
    let index = ty.members().position(|m| m.name == member);
    let index = index.and_then(|at| u32::try_from(at).ok()).ok_or_else(|| {
        format!("it implements `{target}`, but the kernel's struct `{name}` has no such member")
    })?;
    let module = found.module;
    Ok(Attach { btf_id: found.id.0, module, attach_type: Some(index), ..Attach::default() })
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
        let find = |name: &str| {
            let found = btf.find(Kind::Struct, name);
            Ok(found.map(|ty| KernelType { id: ty.id(), btf: &btf, module: None }))
        };
        let found = struct_ops("tcp_congestion_ops___old.init", find).unwrap();
        assert_eq!((found.btf_id, found.attach_type), (id.0, Some(1)));
        let refused = |target| struct_ops(target, find).unwrap_err();
        assert!(refused("tcp_congestion_ops.get").contains("no such member"));
        assert!(refused("hid_ops.get").contains("struct `hid_ops`"));
        assert!(refused("").contains(".struct_ops"));
    }
}
