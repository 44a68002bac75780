//! The images' BTF as the running kernel takes it: what it lacks is rewritten, by probed feature.

use std::borrow::Cow;

use bpfweld_btf::{Btf, BtfFeatures, TypeId, sanitize};
use bpfweld_link::{Image, ImageFunction, ImageSet};

use crate::arg_ctx::{self, Contexts};
use crate::features::{Feature, Features};

/// BTF on its way to the kernel.
pub(crate) struct Upload {
    blob: Vec<u8>,
    count: u32,
    contexts: Contexts,
}

impl Features {
    /// What parts of BTF the kernel knows.
    pub fn btf(&self) -> BtfFeatures {
        BtfFeatures {
            func: self.get(Feature::BtfFunc),
            datasec: self.get(Feature::BtfDatasec),
            func_global: self.get(Feature::BtfFuncGlobal),
            float: self.get(Feature::BtfFloat),
            decl_tag: self.get(Feature::BtfDeclTag),
            type_tag: self.get(Feature::BtfTypeTag),
            enum64: self.get(Feature::BtfEnum64),
            enum_kflag: self.get(Feature::BtfEnumKflag),
            tag_kflag: self.get(Feature::BtfTagKflag),
        }
    }
}

impl Upload {
    pub(crate) fn new(set: &ImageSet, features: &Features) -> Self {
        let mut btf: Cow<'_, Btf> = Cow::Borrowed(&set.btf);
        let mut contexts = Contexts::default();
        if arg_ctx::is_used(&btf) && !features.get(Feature::ArgCtxTag) {
            (btf, contexts) = arg_ctx::rewrite(set);
        }
        let btf = sanitize(&btf, &features.btf());
        Self { blob: btf.to_bytes(), count: btf.type_count(), contexts }
    }

    /// The bytes for the kernel.
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
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

    /// What a type of the images' BTF is called in the kernel's; `None` for one that is not there.
    /// Sanitising keeps ids and string offsets.
    pub(crate) fn type_id(&self, id: TypeId) -> Option<u32> {
        (id.0 < self.count).then_some(id.0)
    }
}
