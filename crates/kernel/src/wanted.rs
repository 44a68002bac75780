//! What a set of images wants of the running kernel, told beforehand: so each source (BTF, symbols,
//! configuration) is gone through once, for all of it, and no more is kept.

use bpfweld_btf::{Kind, order};
use bpfweld_link::{Image, ImageSet, ImageTarget, MapContent};

use crate::attach;
use crate::running::without_flavour;

/// Names, each list sorted and without duplicates.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Functions and variables of the kernel's BTF.
    pub(crate) functions: Vec<String>,
    pub(crate) variables: Vec<String>,
    /// Symbols.
    pub(crate) symbols: Vec<String>,
    /// Lines of the kernel's configuration.
    pub(crate) config: Vec<String>,
}

impl Wanted {
    pub(crate) fn of(set: &ImageSet) -> Self {
        let mut wanted = Self::default();
        for image in &set.images {
            wanted.add(image);
        }
        for map in &set.maps {
            if let MapContent::Kconfig { vars, .. } = &map.content {
                wanted.config.extend(vars.iter().map(|var| var.name.clone()));
            }
        }
        let Self { functions, variables, symbols, config } = &mut wanted;
        for list in [functions, variables, symbols, config] {
            order::sort(list);
            list.dedup();
        }
        wanted
    }

    fn add(&mut self, image: &Image) {
        for reloc in &image.relocs {
            let (list, wanted) = match &reloc.target {
                ImageTarget::KernelFunction(wanted) | ImageTarget::KernelFunctionAddr(wanted) => {
                    (&mut self.functions, wanted)
                }
                ImageTarget::TypedKsym(wanted) => (&mut self.variables, wanted),
                ImageTarget::TypelessKsym(wanted) => (&mut self.symbols, wanted),
                ImageTarget::Map(_) | ImageTarget::MapValue { .. } | ImageTarget::JumpTable(_) => {
                    continue;
                }
            };
            list.push(without_flavour(&wanted.name).to_owned());
        }
        let attach_to = image.program.attach_to.as_deref().unwrap_or("");
        if let Some((Kind::Func, name)) = attach::type_of(image, attach_to) {
            self.functions.push(name);
        }
    }

    /// Functions and variables, by kind and name.
    pub(crate) fn types(&self) -> Vec<(Kind, &str)> {
        let functions = self.functions.iter().map(|name| (Kind::Func, name.as_str()));
        functions.chain(self.variables.iter().map(|name| (Kind::Var, name.as_str()))).collect()
    }

    /// Index in [`Wanted::types`].
    pub(crate) fn index(&self, kind: Kind, name: &str) -> Option<usize> {
        let at = |list: &[String]| list.binary_search_by(|n| n.as_str().cmp(name)).ok();
        match kind {
            Kind::Func => at(&self.functions),
            Kind::Var => at(&self.variables).map(|at| self.functions.len() + at),
            _ => None,
        }
    }
}
