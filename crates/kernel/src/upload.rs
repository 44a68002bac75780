//! The images' BTF as the running kernel takes it: what it lacks is rewritten, by probed feature.

use bpfweld_btf::{Btf, BtfFeatures, TypeId, sanitize};

use crate::features::{Feature, Features};

/// BTF on its way to the kernel.
pub(crate) struct Upload {
    blob: Vec<u8>,
    count: u32,
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
    pub(crate) fn new(btf: &Btf, features: &Features) -> Self {
        let btf = sanitize(btf, &features.btf());
        Self { blob: btf.to_bytes(), count: btf.type_count() }
    }

    /// The bytes for the kernel.
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Nothing in it but `void`?
    pub(crate) fn is_empty(&self) -> bool {
        self.count <= 1
    }

    /// What a type of the images' BTF is called in the kernel's; `None` for one that is not there.
    /// Sanitising keeps ids and string offsets.
    pub(crate) fn type_id(&self, id: TypeId) -> Option<u32> {
        (id.0 < self.count).then_some(id.0)
    }
}
