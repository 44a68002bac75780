//! Names and source lines, each kept once: a thousand objects say mostly the same.

use std::borrow::Cow;
use std::num::NonZeroU32;

use bpfweld_btf::Numbered;

use crate::hash::HashSet;

/// A string of [`Names`]: its number and one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Name(NonZeroU32);

impl Name {
    /// The empty string.
    pub(crate) const EMPTY: Self = Self(NonZeroU32::MIN);

    fn of(number: u32) -> Self {
        // Numbers are below those of bytes.
        Self(NonZeroU32::MIN.saturating_add(number))
    }

    /// Numbers of names are below [`Names::count`].
    pub(crate) fn number(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// All strings of a link. Bytes, not text: BTF does not say what its source lines are written in.
#[derive(Debug, Default)]
pub(crate) struct Names(Numbered);

impl Names {
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Name {
        // 4 GiB of different strings come from no inputs that fit the format together.
        Name::of(self.0.add(bytes).unwrap_or(0))
    }

    pub(crate) fn find(&self, text: &str) -> Option<Name> {
        self.0.find(text.as_bytes()).map(Name::of)
    }

    pub(crate) fn find_bytes(&self, bytes: &[u8]) -> Option<Name> {
        self.0.find(bytes).map(Name::of)
    }

    pub(crate) fn bytes(&self, name: Name) -> &[u8] {
        self.0.get(name.0.get() - 1)
    }

    /// For messages.
    pub(crate) fn text(&self, name: Name) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(name))
    }

    /// This name, if it is not taken, else one made from it; it is taken then.
    pub(crate) fn add_own(&mut self, taken: &mut HashSet<Name>, name: Name, suffix: &str) -> Name {
        if suffix.is_empty() && taken.insert(name) {
            return name;
        }
        let text = format!("{}{suffix}", self.text(name));
        let mut new = self.add(text.as_bytes());
        for number in 2u32.. {
            if taken.insert(new) {
                break;
            }
            new = self.add(format!("{text}_{number}").as_bytes());
        }
        new
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count()
    }
}
