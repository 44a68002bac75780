//! Addresses of the kernel's symbols.

use std::path::Path;

use crate::error::SymbolProblem;
use crate::sys::Sys;

pub(crate) const KALLSYMS: &str = "/proc/kallsyms";

/// What was found of symbols looked for.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// The names looked for, sorted, each with the address of the first symbol of that name.
    found: Vec<(String, Option<u64>)>,
    /// Is any address shown that is not 0?
    shown: bool,
}

impl Symbols {
    /// Reads the list once; names are sorted.
    pub(crate) fn find(sys: &dyn Sys, names: &[String]) -> Result<Self, SymbolProblem> {
        let found = names.iter().map(|name| (name.clone(), None)).collect();
        let mut symbols = Self { found, shown: false };
        let mut missing = names.len();
        let read = sys.lines(Path::new(KALLSYMS), &mut |line| {
            symbols.shown = symbols.shown || shows_address(line);
            missing -= usize::from(symbols.see(line));
            missing > 0 || !symbols.shown
        });
        read.map_err(|e| SymbolProblem::Hidden(format!("{KALLSYMS} cannot be read: {e}")))?;
        Ok(symbols)
    }

    /// Is this the first line of a symbol looked for?
    fn see(&mut self, line: &[u8]) -> bool {
        // "ffffffff81000000 T _text", for modules with "\t[name]" behind.
        let mut words = line.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
        let (Some(address), Some(_), Some(symbol)) = (words.next(), words.next(), words.next())
        else {
            return false;
        };
        let at = self.found.binary_search_by(|(name, _)| name.as_bytes().cmp(symbol));
        let Some((_, found @ None)) = at.ok().and_then(|at| self.found.get_mut(at)) else {
            return false;
        };
        let address = std::str::from_utf8(address).ok();
        *found = Some(address.and_then(|a| u64::from_str_radix(a, 16).ok()).unwrap_or(0));
        true
    }

    /// Was this name looked for?
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.index(name).is_some()
    }

    /// Address of a symbol; `None` when there is none of that name.
    pub(crate) fn address(&self, name: &str) -> Result<Option<u64>, SymbolProblem> {
        match self.index(name).and_then(|at| self.found.get(at)) {
            // Symbols of the per-CPU section did count from 0 (x86 before 6.15).
            Some((_, Some(0))) if !self.shown => Err(SymbolProblem::Hidden(format!(
                "{KALLSYMS} shows no addresses to this process; run it as root, with \
                 kernel.kptr_restrict below 2"
            ))),
            Some((_, address)) => Ok(*address),
            None => Ok(None),
        }
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.found.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()
    }
}

/// Does a line begin with an address that is not 0?
fn shows_address(line: &[u8]) -> bool {
    line.iter().take_while(|b| b.is_ascii_hexdigit()).any(|&b| b != b'0')
}
