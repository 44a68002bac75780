//! The images' BTF as the running kernel takes it: what it lacks is rewritten, by probed feature.

use std::borrow::Cow;

use bpfweld_btf::{Btf, BtfFeatures, TypeId, sanitize};
use bpfweld_link::{Image, ImageFunction, ImageSet};

use crate::arg_ctx::{self, Contexts};
use crate::features::{Feature, Features};
use crate::map_options::{self, MapOption};
use crate::resize::{self, Resized};

/// What the kernel is given of the images' BTF.
pub(crate) struct Upload {
    count: u32,
    contexts: Contexts,
    resized: Resized,
}

impl Features {
    /// What parts of BTF the kernel knows. Of parts that `btf` does not have it is not asked; they count
    /// as known.
    pub fn btf(&self, btf: &Btf) -> BtfFeatures {
        let used = BtfFeatures::used_by(btf);
        let known = |used: bool, feature| !used || self.get(feature);
        BtfFeatures {
            func: known(used.func, Feature::BtfFunc),
            datasec: known(used.datasec, Feature::BtfDatasec),
            func_global: known(used.func_global, Feature::BtfFuncGlobal),
            float: known(used.float, Feature::BtfFloat),
            decl_tag: known(used.decl_tag, Feature::BtfDeclTag),
            type_tag: known(used.type_tag, Feature::BtfTypeTag),
            enum64: known(used.enum64, Feature::BtfEnum64),
            enum_kflag: known(used.enum_kflag, Feature::BtfEnumKflag),
            tag_kflag: known(used.tag_kflag, Feature::BtfTagKflag),
        }
    }
}

impl Upload {
    /// With the bytes for the kernel.
    pub(crate) fn new(
        set: &ImageSet,
        options: &[MapOption],
        features: &Features,
    ) -> (Self, Vec<u8>) {
        let mut btf: Cow<'_, Btf> = Cow::Borrowed(&set.btf);
        let mut contexts = Contexts::default();
        if arg_ctx::is_used(&btf) && !features.get(Feature::ArgCtxTag) {
            (btf, contexts) = arg_ctx::rewrite(set);
        }
        let (btf, resized) = resize::rewrite(btf, map_options::larger_sections(options, set));
        let btf = sanitize(&btf, &features.btf(&btf));
        (Self { count: btf.type_count(), contexts, resized }, btf.to_bytes())
    }

    /// Nothing in it but `void`?
    pub(crate) fn is_empty(&self) -> bool {
        self.count <= 1
    }

    /// What the kernel is told of a function's type.
    pub(crate) fn function_id(&self, image: &Image, function: &ImageFunction) -> Option<u32> {
        let own = function.type_id;
        let id = self.contexts.of(image.program.prog_type, function).unwrap_or(own);
        if id == TypeId::VOID { None } else { self.type_id(id) }
    }

    /// What is told of a section of variables of this size.
    pub(crate) fn datasec_id(&self, id: TypeId, size: u32) -> Option<u32> {
        self.type_id(self.resized.of(id, size))
    }

    /// What a type of the images' BTF is called in the kernel's; `None` for one that is not there.
    /// Sanitising keeps ids and string offsets.
    pub(crate) fn type_id(&self, id: TypeId) -> Option<u32> {
        (id.0 < self.count).then_some(id.0)
    }
}
