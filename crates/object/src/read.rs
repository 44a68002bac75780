//! From the bytes of a file to an [`Object`]: the order of the steps, and the small sections.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bpfweld_btf::{Btf, Bytes, Endian};

use crate::contents::{FunctionBody, Later, Unread};
use crate::data::{self, Data, Places};
use crate::elf::{Elf, Section};
use crate::entries;
use crate::error::{ReadError, ReadProblem};
use crate::externs::{self, Externs};
use crate::files;
use crate::functions::Code;
use crate::kept::Kept;
use crate::maps::Maps;
use crate::model::Object;
use crate::roles::{Role, Symbols};
use crate::struct_ops;
use crate::types::TypeIndex;

impl Object {
    /// Opens the object file at `path`; [`Object::name`] is the path.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or [`Object::parse`] does not take its contents.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        match files::append(path, &mut bytes) {
            Ok(()) => Self::parse_shared(&name, bytes.into()),
            Err(problem) => Err(ReadError { object: name, problem: Box::new(problem) }),
        }
    }

    /// Opens the object file whose contents are `bytes`; messages call it `name`. What is read on first
    /// use is copied; [`Object::parse_shared`] copies nothing.
    ///
    /// # Errors
    ///
    /// `bytes` is not a relocatable ELF file for BPF, or what is read of it is broken or refers to
    /// something that is not there. What is wrong with the contents of functions,
    /// [`Object::check`] tells.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ReadError> {
        let read = Elf::parse(bytes).and_then(|elf| read(name, &elf, Kept::copied(&elf)));
        read.map_err(|problem| ReadError { object: name.to_owned(), problem: Box::new(problem) })
    }

    /// Like [`Object::parse`], with bytes that the object may keep: nothing is copied.
    ///
    /// # Errors
    ///
    /// As of [`Object::parse`].
    pub fn parse_shared(name: &str, bytes: Bytes) -> Result<Self, ReadError> {
        let read = Elf::parse(&bytes).and_then(|elf| {
            let kept = Kept::shared(&elf, bytes.clone());
            read(name, &elf, kept)
        });
        read.map_err(|problem| ReadError { object: name.to_owned(), problem: Box::new(problem) })
    }

    /// Reads what is otherwise read on first use, the [`Body`](crate::Body) of every function, and
    /// checks it and the types. Done once; whoever links an object does it first. Gives what is worth
    /// knowing and no error: line records left out, and why.
    ///
    /// # Errors
    ///
    /// An instruction, reference, record or type is broken or refers to something that is not
    /// there. The functions of such an object are empty.
    pub fn check(&self) -> Result<&[String], ReadError> {
        self.unread.check()
    }
}

/// The pipeline. Each step may rely on what those before it have checked.
fn read(name: &str, elf: &Elf<'_>, kept: Kept) -> Result<Object, ReadProblem> {
    let mut notes = Vec::new();
    // Sections lie within the file and share no bytes; symbols are in sections that exist.
    let symbols = Symbols::of(elf);
    data::refuse_common(elf, &symbols)?;
    let btf = types(elf, &kept)?;
    // All type ids and string offsets name something.
    let types = TypeIndex::new(btf.as_deref());
    let code = Code::read(elf, &symbols)?;
    // Functions lie within their sections, sorted, and overlap only where they are the same.
    let Externs { list: mut externs, index: extern_index } = Externs::read(elf, &symbols, &types)?;
    let places = Places::read(elf, &symbols)?;
    let data = Data::read(elf, &kept, &types, &places, &mut notes)?;
    let mut maps = Maps::read(elf, &symbols, &types, &places, &mut notes)?;
    // Everything that can be referred to is known.
    maps.fill_slots(elf, &code)?;
    let struct_ops = struct_ops::read(elf, &types, &places, &code, &mut notes)?;
    let later = Arc::new(Later {
        object: name.to_owned(),
        kept,
        btf: btf.clone(),
        code,
        data: data.index,
        maps: maps.index,
        externs: extern_index,
        contents: OnceLock::new(),
    });
    let body = |index| FunctionBody::later(&later, index);
    let mut functions = later.code.functions(elf, body)?;
    if later.externs.has_unknown() || entries::depend_on_references(&functions) {
        let contents = later.contents().map_err(ReadProblem::clone)?;
        externs::are_called(&mut externs, &contents.called);
    }
    entries::mark(&mut functions, &maps.defs, &mut notes);
    struct_ops::mark(&mut functions, &struct_ops, &types);
    note_rest(elf, &mut notes);

    let object = Object {
        name: name.to_owned(),
        endian: elf.endian,
        license: license(elf)?,
        kernel_version: kernel_version(elf)?,
        functions,
        maps: maps.defs,
        data: data.sections,
        struct_ops,
        externs,
        btf,
        notes,
        unread: Unread::of(later),
    };
    match object.functions.is_empty() && object.maps.is_empty() && object.data.is_empty() {
        true => Err(ReadProblem::Nothing),
        false => Ok(object),
    }
}

fn types(elf: &Elf<'_>, kept: &Kept) -> Result<Option<Arc<Btf>>, ReadProblem> {
    let found = elf.sections.iter().position(|s| s.name == ".BTF" && !s.data.is_empty());
    let Some(index) = found else { return Ok(None) };
    let btf = Btf::parse_shared(&kept.data(index));
    let btf = btf.map_err(|error| ReadProblem::Btf { section: ".BTF", error })?;
    Ok(Some(Arc::new(btf)))
}

fn find<'e, 'a>(elf: &'e Elf<'a>, name: &str) -> Option<&'e Section<'a>> {
    elf.sections.iter().find(|s| s.name == name && !s.data.is_empty())
}

fn license(elf: &Elf<'_>) -> Result<Option<String>, ReadProblem> {
    let Some(section) = find(elf, "license") else { return Ok(None) };
    let text = section.data.split(|&b| b == 0).next().unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(ReadProblem::Section {
            section: section.name.to_owned(),
            problem: "the licence is not text".to_owned(),
        }),
    }
}

fn kernel_version(elf: &Elf<'_>) -> Result<Option<u32>, ReadProblem> {
    let Some(section) = find(elf, "version") else { return Ok(None) };
    match (<[u8; 4]>::try_from(section.data), elf.endian) {
        (Ok(bytes), Endian::Little) => Ok(Some(u32::from_le_bytes(bytes))),
        (Ok(bytes), Endian::Big) => Ok(Some(u32::from_be_bytes(bytes))),
        (Err(_), _) => Err(ReadProblem::Section {
            section: section.name.to_owned(),
            problem: format!("{} bytes, not the 4 of a kernel version", section.data.len()),
        }),
    }
}

/// Says which sections are passed over although a program might miss them.
fn note_rest(elf: &Elf<'_>, notes: &mut Vec<String>) {
    /// What other tools read: libxdp, and unwinders.
    const OF_OTHERS: [&str; 4] = ["license", "version", "xdp_metadata", ".xdp_run_config"];
    if elf.counts_twice() {
        notes.push(
            "made by GCC with binutils before 2.41, which count the offset of a variable twice: taken \
             once"
                .to_owned(),
        );
    }
    for section in &elf.sections {
        let variables = matches!(section.kind, object::elf::SHT_PROGBITS | object::elf::SHT_NOBITS)
            && section.is_allocated()
            && section.role == Role::Other
            && section.size > 0;
        let known = || OF_OTHERS.contains(&section.name) || section.name.starts_with(".eh_frame");
        if !variables || known() {
            continue;
        }
        let (name, size) = (section.name, section.size);
        notes.push(format!("section {name}: {size} bytes that programs cannot use, passed over"));
    }
}
