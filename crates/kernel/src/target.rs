//! What a program attaches to when the user says it: a function of another program, or of the kernel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bpfweld_btf::{Btf, Kind};
use bpfweld_link::{Image, ImageSet};

use crate::error::LoadError;
use crate::sys::{ObjectKind, Sys};

/// What one program of a set attaches to, in place of what its section's name says.
#[derive(Clone, Debug)]
pub struct AttachOption {
    /// Label of the instance that the program's entry function is from; any instance without one.
    pub instance: Option<String>,
    /// Name of the entry function.
    pub program: String,
    /// What it attaches to.
    pub target: AttachTarget,
}

/// What a program attaches to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AttachTarget {
    /// A function of a program that is loaded: what a program of a section `freplace` replaces, one of
    /// `fentry` or `fexit` watches.
    Program {
        /// The program.
        program: Arc<OwnedFd>,
        /// The function's name; without one, that of the section's name (`freplace/NAME`), else the
        /// program itself.
        function: Option<String>,
    },
    /// Something of the kernel, written as behind the `/` of a section's name.
    Kernel(String),
}

impl AttachOption {
    fn is_about(&self, image: &Image) -> bool {
        self.program == image.name
            && self.instance.as_ref().is_none_or(|label| *label == image.instance)
    }
}

/// The wish about this program, if there is one; the last counts.
pub(crate) fn of<'o>(options: &'o [AttachOption], image: &Image) -> Option<&'o AttachTarget> {
    options.iter().rev().find(|option| option.is_about(image)).map(|option| &option.target)
}

/// Every wish is about a program that is there.
pub(crate) fn check(options: &[AttachOption], set: &ImageSet) -> Result<(), LoadError> {
    let lost = options.iter().find(|o| !set.images.iter().any(|image| o.is_about(image)));
    lost.map_or(Ok(()), |option| {
        let there: Vec<_> =
            set.images.iter().map(|i| format!("{}:{}", i.instance, i.name)).collect();
        Err(LoadError::Target {
            program: option.program.clone(),
            instance: option.instance.clone().unwrap_or_else(|| "any instance".into()),
            problem: format!(
                "an attach target was given for it, and it is not loaded; there are: {}",
                there.join(", ")
            ),
        })
    })
}

/// A function of a loaded program.
#[derive(Debug)]
pub(crate) struct ProgramFunction<'o> {
    pub(crate) program: BorrowedFd<'o>,
    /// The FUNC in that program's BTF.
    pub(crate) btf_id: u32,
}

/// Looks the function up in the program's types; the problem in words otherwise.
pub(crate) fn function<'o>(
    sys: &dyn Sys,
    program: &'o OwnedFd,
    name: Option<&str>,
) -> Result<ProgramFunction<'o>, String> {
    let failed = |what: &str, e: std::io::Error| format!("the target program's {what}: {e}");
    let info =
        sys.prog_info(program.as_fd()).map_err(|e| failed("description cannot be had", e))?;
    if info.btf_id == 0 {
        return Err(format!(
            "the target, program {} `{}`, was loaded without types (BTF), by which its functions are \
             named",
            info.id, info.name
        ));
    }
    let blob = sys
        .fd_by_id(ObjectKind::Btf, info.btf_id)
        .and_then(|btf| sys.btf_blob(btf.as_fd()))
        .map_err(|e| failed("types cannot be read", e))?;
    let types = Btf::parse(&blob).map_err(|e| format!("the target program's types: {e}"))?;
    let functions = || types.types().filter(|ty| ty.kind() == Kind::Func);
    let found = match name {
        Some(name) => functions().find(|ty| ty.name() == name),
        // The kernel cuts the names of programs.
        None => functions().find(|ty| {
            ty.name() == info.name
                || info.name.len() == crate::sys::OBJ_NAME_MAX && ty.name().starts_with(&info.name)
        }),
    };
    match found {
        Some(ty) => Ok(ProgramFunction { program: program.as_fd(), btf_id: ty.id().0 }),
        None => Err(format!(
            "the target, program {} `{}`, has no function `{}`; it has: {}",
            info.id,
            info.name,
            name.unwrap_or(&info.name),
            functions().map(|ty| ty.name().to_owned()).collect::<Vec<_>>().join(", ")
        )),
    }
}
