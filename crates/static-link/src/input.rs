//! One object of a link, taken apart: its sections, its symbols, and what its types say about them. The
//! types themselves go into the link's one builder right away, so that what the objects have in common
//! is kept once.

use crate::hash::HashMap;

use bpfweld_btf::{BtfBuilder, BtfExt, Endian, Linkage, TypeId};
use bpfweld_insn::helper_gpl_only;
use bpfweld_object::{
    FileReloc, FileSection, FileSymbol, Object, ObjectFile, ProgramSpec, ReadProblem,
};

use crate::elf;
use crate::error::LinkError;
use crate::names::{Name, Names};

/// An object of the link.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) label: String,
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) has_types: bool,
    pub(crate) funcs: Vec<Func>,
    pub(crate) vars: Vec<Var>,
    pub(crate) datasecs: Vec<Datasec>,
    /// The FUNC or VAR of each symbol that has one.
    pub(crate) described: HashMap<u32, Described>,
    pub(crate) licence: Option<String>,
    pub(crate) version: Option<u32>,
    /// A function with code that calls a helper which the kernel gives to GPL programs only, and the
    /// helper.
    pub(crate) gpl_only: Option<(String, u32)>,
    pub(crate) arena: Option<String>,
    pub(crate) has_code: bool,
}

/// What a section is to the linker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Not in the output, or made anew there.
    Dropped,
    /// Code that only other code runs: `.text`.
    Text,
    /// Code with entry programs.
    Entries,
    /// `.maps`.
    Maps,
    /// `license` and `version`: one each in the output.
    Single,
    /// Anything else.
    Data,
}

#[derive(Debug)]
pub(crate) struct Section {
    /// In the output: `.text` for `.text.x`.
    pub(crate) name: Name,
    /// In the object.
    pub(crate) old_name: Name,
    pub(crate) role: Role,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
    pub(crate) size: u64,
    pub(crate) data: Vec<u8>,
    pub(crate) relocs: Vec<FileReloc>,
    /// Functions of code, definitions of `.maps`: what may be left out or moved by itself. Without gaps,
    /// by rising offset; empty where the section is one piece.
    pub(crate) chunks: Vec<Chunk>,
    /// What `.BTF.ext` says about it.
    pub(crate) info: Info,
}

#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Symbols that begin here.
    pub(crate) symbols: Vec<u32>,
    /// Set for an entry program.
    pub(crate) program: Option<ProgramSpec>,
    /// No other object can name it.
    pub(crate) is_static: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Info {
    /// Offset in the section, index into [`Input::funcs`].
    pub(crate) funcs: Vec<(u32, u32)>,
    pub(crate) lines: Vec<Line>,
    pub(crate) core: Vec<Core>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) offset: u32,
    pub(crate) file: Name,
    pub(crate) text: Name,
    pub(crate) line_col: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Core {
    pub(crate) offset: u32,
    /// In the link's builder.
    pub(crate) type_id: TypeId,
    /// In the object, where the instruction may have it, too.
    pub(crate) old_id: u32,
    pub(crate) access: Name,
    pub(crate) kind: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: Name,
    /// What it was called in the object.
    pub(crate) old_name: Name,
    pub(crate) kind: u8,
    pub(crate) bind: u8,
    pub(crate) visibility: u8,
    pub(crate) section: Option<u32>,
    pub(crate) absolute: bool,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

impl Symbol {
    pub(crate) fn is_local(&self) -> bool {
        self.bind == elf::STB_LOCAL
    }

    pub(crate) fn is_undefined(&self) -> bool {
        self.section.is_none() && !self.absolute && !self.names_section()
    }

    pub(crate) fn names_section(&self) -> bool {
        self.kind == elf::STT_SECTION
    }
}

/// A FUNC or VAR of an input, by its place in the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Described {
    Func(u32),
    Var(u32),
}

#[derive(Debug)]
pub(crate) struct Func {
    pub(crate) name: Name,
    pub(crate) proto: TypeId,
    pub(crate) linkage: Linkage,
    pub(crate) tags: Vec<Tag>,
    pub(crate) symbol: Option<u32>,
    /// Listed in `.ksyms`: a function of the kernel.
    pub(crate) kernel: bool,
}

#[derive(Debug)]
pub(crate) struct Var {
    pub(crate) name: Name,
    pub(crate) type_id: TypeId,
    pub(crate) linkage: Linkage,
    pub(crate) tags: Vec<Tag>,
    pub(crate) symbol: Option<u32>,
    /// The DATASEC that lists it.
    pub(crate) section: Option<Name>,
}

/// A declaration tag on a FUNC or VAR.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag {
    pub(crate) name: Name,
    pub(crate) component: Option<u32>,
    pub(crate) attribute: bool,
}

#[derive(Debug)]
pub(crate) struct Datasec {
    pub(crate) name: Name,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) what: Described,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

impl Input {
    /// Takes an object apart.
    pub(crate) fn read(
        label: &str,
        bytes: &[u8],
        names: &mut Names,
        builder: &mut BtfBuilder,
    ) -> Result<(Self, Endian), LinkError> {
        // Everything that can be wrong with a file is found here, and told with its name.
        let object = Object::parse(label, bytes)?;
        let file = ObjectFile::parse(label, bytes)?;
        let broken = |problem| {
            LinkError::Read(bpfweld_object::ReadError {
                object: label.to_owned(),
                problem: Box::new(problem),
            })
        };
        let mut input = Self {
            label: label.to_owned(),
            sections: file.sections.iter().map(|s| section(s, names)).collect(),
            symbols: file.symbols.iter().map(|s| symbol(s, names)).collect(),
            has_types: object.btf.is_some(),
            funcs: Vec::new(),
            vars: Vec::new(),
            datasecs: Vec::new(),
            described: HashMap::default(),
            licence: object.license.clone(),
            version: object.kernel_version,
            gpl_only: gpl_only(&object),
            arena: object.maps.iter().find(|m| m.map_type == ARENA).map(|m| m.name.clone()),
            has_code: !object.functions.is_empty(),
        };
        if let Some(btf) = &object.btf {
            let ext = file.sections.iter().find(|s| s.name == ".BTF.ext" && !s.data.is_empty());
            let ext = ext.map_or(Ok(BtfExt::default()), |s| BtfExt::parse(s.data, btf));
            let ext =
                ext.map_err(|error| broken(ReadProblem::Btf { section: ".BTF.ext", error }))?;
            let add = input.add_types(btf, &ext, names, builder);
            add.map_err(|error| broken(ReadProblem::Btf { section: ".BTF", error }))?;
        }
        input.cut(&object);
        Ok((input, object.endian))
    }

    pub(crate) fn symbol(&self, at: u32) -> Option<&Symbol> {
        self.symbols.get(at as usize)
    }

    pub(crate) fn section(&self, at: u32) -> Option<&Section> {
        self.sections.get(at as usize)
    }

    /// The FUNC of a symbol.
    pub(crate) fn func_of(&self, symbol: u32) -> Option<&Func> {
        match self.described.get(&symbol)? {
            Described::Func(at) => self.funcs.get(*at as usize),
            Described::Var(_) => None,
        }
    }
}

/// `BPF_MAP_TYPE_ARENA`.
const ARENA: u32 = 33;

fn section(section: &FileSection<'_>, names: &mut Names) -> Section {
    let role = role(section);
    let name = if role == Role::Text { ".text" } else { section.name };
    let kept = role != Role::Dropped;
    Section {
        name: names.add(name.as_bytes()),
        old_name: names.add(section.name.as_bytes()),
        role,
        kind: section.kind,
        flags: section.flags & !elf::SHF_GROUP,
        align: section.align.max(1),
        entry_size: section.entry_size,
        size: section.size,
        data: if kept { section.data.to_vec() } else { Vec::new() },
        relocs: if kept { section.relocs.clone() } else { Vec::new() },
        chunks: Vec::new(),
        info: Info::default(),
    }
}

fn role(section: &FileSection<'_>) -> Role {
    let name = section.name;
    match section.kind {
        elf::SHT_PROGBITS | elf::SHT_NOBITS | elf::SHT_NOTE => {}
        _ => return Role::Dropped,
    }
    if section.has_code() {
        return if name == ".text" || name.starts_with(".text.") {
            Role::Text
        } else {
            Role::Entries
        };
    }
    match name {
        // What compilers leave for debuggers and for themselves. Types are put together anew.
        ".BTF" | ".BTF.ext" | ".eh_frame" | ".comment" | ".note.GNU-stack" => Role::Dropped,
        _ if name.starts_with(".debug_") || name.starts_with(".llvm") => Role::Dropped,
        ".maps" => Role::Maps,
        "license" | "version" => Role::Single,
        _ => Role::Data,
    }
}

fn symbol(symbol: &FileSymbol<'_>, names: &mut Names) -> Symbol {
    let name = names.add(symbol.name.as_bytes());
    Symbol {
        name,
        old_name: name,
        kind: symbol.kind,
        bind: symbol.bind,
        visibility: symbol.visibility,
        section: symbol.section,
        absolute: symbol.absolute,
        value: symbol.value,
        size: symbol.size,
    }
}

fn gpl_only(object: &Object) -> Option<(String, u32)> {
    object.functions.iter().find_map(|f| {
        let helper = f.insns.iter().filter_map(|i| i.helper()).find(|&h| helper_gpl_only(h))?;
        Some((f.name.clone(), helper))
    })
}
