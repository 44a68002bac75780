//! Names and source lines, each kept once: a thousand objects say mostly the same.

use crate::hash::HashMap;
use std::borrow::Cow;
use std::sync::Arc;

/// A string of [`Names`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Name(u32);

impl Name {
    /// The empty string.
    pub(crate) const EMPTY: Self = Self(0);
}

/// All strings of a link. Bytes, not text: BTF does not say what its source lines are written in.
#[derive(Debug)]
pub(crate) struct Names {
    list: Vec<Arc<[u8]>>,
    index: HashMap<Arc<[u8]>, Name>,
}

impl Names {
    pub(crate) fn new() -> Self {
        let mut names = Self { list: Vec::new(), index: HashMap::default() };
        names.add(b"");
        names
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) -> Name {
        if let Some(&name) = self.index.get(bytes) {
            return name;
        }
        // 4 billion different strings do not fit into memory.
        let name = Name(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        let bytes: Arc<[u8]> = bytes.into();
        self.list.push(bytes.clone());
        self.index.insert(bytes, name);
        name
    }

    pub(crate) fn find(&self, text: &str) -> Option<Name> {
        self.index.get(text.as_bytes()).copied()
    }

    pub(crate) fn bytes(&self, name: Name) -> &[u8] {
        self.list.get(name.0 as usize).map_or(&[], |bytes| bytes)
    }

    /// For messages.
    pub(crate) fn text(&self, name: Name) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(name))
    }
}
