//! Names and source lines, each kept once: a thousand objects say mostly the same.

use std::borrow::Cow;

use bpfweld_btf::Numbered;

/// A string of [`Names`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Name(u32);

impl Name {
    /// The empty string.
    pub(crate) const EMPTY: Self = Self(0);

    /// Numbers of names are below [`Names::count`].
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }
}

/// All strings of a link. Bytes, not text: BTF does not say what its source lines are written in.
#[derive(Debug, Default)]
pub(crate) struct Names(Numbered);

impl Names {
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Name {
        // 4 GiB of different strings come from no inputs that fit the format together.
        Name(self.0.add(bytes).unwrap_or(0))
    }

    pub(crate) fn find(&self, text: &str) -> Option<Name> {
        self.0.find(text.as_bytes()).map(Name)
    }

    pub(crate) fn find_bytes(&self, bytes: &[u8]) -> Option<Name> {
        self.0.find(bytes).map(Name)
    }

    pub(crate) fn bytes(&self, name: Name) -> &[u8] {
        self.0.get(name.0)
    }

    /// For messages.
    pub(crate) fn text(&self, name: Name) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(name))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count()
    }
}
