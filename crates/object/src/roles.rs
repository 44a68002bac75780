//! What sections are for, told once by name and header; and the symbols by what they are in.

use object::elf as raw;

use crate::elf::{Elf, Place, Symbol};
use crate::model::DataKind;

/// What a section is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Instructions.
    Code,
    /// Map definitions that BTF describes.
    Maps,
    /// Old-style map definitions.
    LegacyMaps,
    /// Variables in an arena, in address space 1.
    Arena,
    /// Global variables.
    Data(DataKind),
    /// Tables of functions that the kernel calls.
    StructOps,
    /// Debugging information.
    Debug,
    Other,
}

impl Role {
    /// By name, `sh_type`, `sh_flags` and `sh_size`.
    pub(crate) fn of(name: &str, kind: u32, flags: u64, size: u64) -> Self {
        if kind == raw::SHT_PROGBITS && flags & u64::from(raw::SHF_EXECINSTR) != 0 {
            return Self::Code;
        }
        let is = |start: &str, end: u8| {
            let rest = name.as_bytes().strip_prefix(start.as_bytes());
            rest.is_some_and(|rest| rest.first().is_none_or(|&b| b == end))
        };
        let contents = kind == raw::SHT_PROGBITS;
        let variables = flags & u64::from(raw::SHF_ALLOC) != 0 && size > 0;
        match name.as_bytes() {
            b".maps" if contents || kind == raw::SHT_NOBITS => Self::Maps,
            [b'm', ..] if contents && is("maps", b'/') => Self::LegacyMaps,
            [b'.', b'd', b'e', ..] if name.starts_with(".debug_") => Self::Debug,
            [b'.', b'b', ..] if variables && is(".bss", b'.') => match kind {
                raw::SHT_NOBITS => Self::Data(DataKind::Bss),
                // One with contents is data.
                raw::SHT_PROGBITS => Self::Data(DataKind::Data),
                _ => Self::Other,
            },
            [b'.', b'd', ..] if variables && is(".data", b'.') => match kind {
                raw::SHT_NOBITS => Self::Data(DataKind::Bss),
                raw::SHT_PROGBITS => Self::Data(DataKind::Data),
                _ => Self::Other,
            },
            [b'.', b'r', ..] if variables && contents && is(".rodata", b'.') => {
                Self::Data(DataKind::Rodata)
            }
            [b'.', b'a', ..]
                if flags & u64::from(raw::SHF_ALLOC) != 0 && name == ".addr_space.1" =>
            {
                Self::Arena
            }
            [b'.' | b'?', b's' | b'.' | b'?', ..] if contents && size > 0 => {
                match name.trim_start_matches('?') {
                    ".struct_ops" | ".struct_ops.link" => Self::StructOps,
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }
}

/// The symbols of a file by what they are in; a list is in the order of the table. One pass finds
/// them all.
#[derive(Default)]
pub(crate) struct Symbols {
    /// Functions and global labels in code, with their sections.
    pub(crate) code: Vec<(usize, Symbol)>,
    /// Variables, maps and tables, with their sections.
    pub(crate) variables: Vec<(usize, Symbol)>,
    /// Old-style map definitions, with their sections.
    pub(crate) legacy_maps: Vec<(usize, Symbol)>,
    /// What is not defined; and labels among map definitions: libbpf's linker gives an extern map that
    /// it did not find a place at the start of `.maps`, where another map is.
    pub(crate) undefined: Vec<Symbol>,
    /// A tentative definition.
    pub(crate) common: Option<Symbol>,
}

impl Symbols {
    pub(crate) fn of(elf: &Elf<'_>) -> Self {
        let mut symbols = Self { code: Vec::with_capacity(8), ..Self::default() };
        symbols.variables.reserve_exact(8);
        for symbol in elf.symbols().filter(Symbol::names_a_place) {
            let at = match symbol.place {
                Place::Section(at) => at,
                Place::Undefined => {
                    symbols.undefined.push(symbol);
                    continue;
                }
                Place::Common => {
                    symbols.common.get_or_insert(symbol);
                    continue;
                }
                Place::Nowhere => continue,
            };
            let is_label = symbol.is_untyped() && !symbol.is_local();
            let role = elf.section(at).map_or(Role::Other, |s| s.role);
            match role {
                Role::Code if symbol.is_function() || is_label => symbols.code.push((at, symbol)),
                Role::Maps | Role::Data(_) | Role::StructOps => {
                    symbols.variables.push((at, symbol));
                    if role == Role::Maps && is_label && symbol.size == 0 {
                        symbols.undefined.push(symbol);
                    }
                }
                Role::LegacyMaps => symbols.legacy_maps.push((at, symbol)),
                _ => {}
            }
        }
        symbols
    }
}
