//! From the bytes of a file to an [`Object`]: the order of the steps, and the small sections.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bpfweld_btf::Endian;

use crate::data::{self, Data, Places};
use crate::elf::{Elf, Section};
use crate::entries;
use crate::error::{ReadError, ReadProblem};
use crate::externs::Externs;
use crate::functions::Code;
use crate::info;
use crate::maps::{self, Maps};
use crate::model::Object;
use crate::relocs::{self, Resolver};
use crate::struct_ops;
use crate::types::{TypeIndex, TypeInfo};

/// Largest file that is read. Objects with debugging information have a few megabytes.
const MAX_FILE: u64 = 256 << 20;

impl Object {
    /// Reads the object file at `path`; [`Object::name`] is the path.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or [`Object::parse`] does not take its contents.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        match contents(path) {
            Ok(bytes) => Self::parse(&name, &bytes),
            Err(problem) => Err(ReadError { object: name, problem: Box::new(problem) }),
        }
    }

    /// Reads the object file whose contents are `bytes`; messages call it `name`.
    ///
    /// # Errors
    ///
    /// `bytes` is not a relocatable ELF file for BPF, or something in it is broken or refers to
    /// something that is not there.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ReadError> {
        let problem = match read(name, bytes) {
            Ok(object) => return Ok(object),
            Err(problem) => Box::new(problem),
        };
        Err(ReadError { object: name.to_owned(), problem })
    }
}

/// The pipeline. Each step may rely on what those before it have checked.
fn read(name: &str, bytes: &[u8]) -> Result<Object, ReadProblem> {
    let mut notes = Vec::new();
    let elf = Elf::parse(bytes)?;
    // Sections lie within the file and share no bytes; symbols are in sections that exist.
    data::refuse_common(&elf)?;
    let info = TypeInfo::read(&elf)?;
    // All type ids and string offsets name something, no type contains itself.
    let types = TypeIndex::new(info.btf.as_deref());
    let mut code = Code::read(&elf)?;
    // Functions lie within their sections, sorted, and overlap only where they are the same.
    let mut externs = Externs::read(&elf, &types)?;
    let wanted = |s: &Section<'_>| {
        maps::is_described(s) || data::kind(s).is_some() || struct_ops::is_table(s)
    };
    let places = Places::read(&elf, wanted)?;
    let data = Data::read(&elf, &types, &places, &mut notes)?;
    let mut maps = Maps::read(&elf, &types, &places, &mut notes)?;
    // Everything that can be referred to is known.
    let mut resolver =
        Resolver { elf: &elf, code: &code, data: &data, maps: &maps, externs: &mut externs };
    let relocs = resolver.resolve()?;
    for (function, relocs) in code.functions.iter_mut().zip(relocs) {
        function.relocs = relocs;
    }
    // No instruction refers to anything but by its entry in `relocs`.
    maps.fill_slots(&elf, &code)?;
    relocs::note_data(&elf, &data, &mut notes)?;
    info::attach(&mut code, &info, &types, &mut notes)?;
    let struct_ops = struct_ops::read(&elf, &types, &places, &code, &mut notes)?;
    entries::mark(&mut code, &maps, &mut notes);
    struct_ops::mark(&mut code, &struct_ops, &types);
    note_rest(&elf, &mut notes);

    let object = Object {
        name: name.to_owned(),
        endian: elf.endian,
        license: license(&elf)?,
        kernel_version: kernel_version(&elf)?,
        functions: code.functions,
        maps: maps.defs,
        data: data.sections,
        struct_ops,
        externs: externs.finish(),
        btf: info.btf.clone(),
        notes,
    };
    match object.functions.is_empty() && object.maps.is_empty() && object.data.is_empty() {
        true => Err(ReadProblem::Nothing),
        false => Ok(object),
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, ReadProblem> {
    let file = File::open(path).map_err(ReadProblem::Io)?;
    let meta = file.metadata().map_err(ReadProblem::Io)?;
    if meta.is_dir() {
        return Err(ReadProblem::Directory);
    }
    // What is no regular file tells no size beforehand.
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).unwrap_or(0));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(ReadProblem::Io)?;
    match bytes.len() as u64 {
        size if size > MAX_FILE => {
            Err(ReadProblem::TooLarge { size: meta.len().max(size), limit: MAX_FILE })
        }
        _ => Ok(bytes),
    }
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
            && !section.has_code()
            && section.size > 0;
        let known = data::kind(section).is_some()
            || maps::is_described(section)
            || maps::is_legacy(section)
            || maps::is_arena(section)
            || struct_ops::is_table(section)
            || OF_OTHERS.contains(&section.name)
            || section.name.starts_with(".eh_frame");
        if !variables || known {
            continue;
        }
        let (name, size) = (section.name, section.size);
        notes.push(format!("section {name}: {size} bytes that programs cannot use, passed over"));
    }
}
