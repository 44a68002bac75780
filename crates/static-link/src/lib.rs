//! Linking BPF objects ahead of time: objects in, the bytes of one relocatable object out, which bpfweld,
//! libbpf and other loaders take (what `ld -r` does for other machines).
//!
//! Works on sections, as such linkers do: sections of one name are joined, symbols resolved,
//! relocations adjusted, types merged. Functions and map definitions are the smallest parts that are left
//! out or moved.
//!
//! | module | what lives there |
//! |---|---|
//! | [`error`] | [`LinkError`] |
//! | `input`, `describe` | an object taken apart; what its types say about its symbols |
//! | `inputs` | all objects |
//! | `known`, `bounds` | what need not be read in full; what is looked at in any case |
//! | `names` | names and source lines, each kept once |
//! | `edit` | bindings by name, renaming, making local |
//! | `licence` | the licence of the whole |
//! | `symbols` | which definition stands behind each symbol |
//! | `check` | do declarations and definitions agree? |
//! | `plan` | which functions, maps and data go in |
//! | `programs` | may what is called run where it is called? |
//! | `lay_out` | sections of the output and what they are made of |
//! | `emit`, `symtab` | their contents; the symbols |
//! | `both` | two things at once |
//! | `jump_tables` | tables of instructions, which have to follow them |
//! | `types` | `.BTF` and `.BTF.ext` |
//! | `elf` | the file |
//! | `hash` | hash tables |
//! | `read_back` | what was made, read again |
//!
//! Makes no system call; files that the caller names are read by [`bpfweld_object::read_files`].

// What comes in was checked, but sizes and offsets are added and cut all over again here.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod both;
mod bounds;
mod check;
mod describe;
mod edit;
mod elf;
mod emit;
pub mod error;
mod hash;
mod input;
mod inputs;
mod jump_tables;
mod known;
mod lay_out;
mod licence;
mod names;
mod plan;
mod programs;
mod read_back;
mod report;
mod symbols;
mod symtab;
mod types;

use std::path::Path;

use bpfweld_btf::{Btf, Endian, Gatherer, Linkage, TypeId, resolve_forwards};
use bpfweld_object::{FileParts, ReadError, map_definition, read_files};

pub use error::{Declaration, LinkError, LinkErrors, ProgramMismatch};

use both::both;
use edit::Edit;
use elf::Strtab;
use emit::Emit;
use hash::{HashMap, HashSet};
use input::{Bases, Lists, Role, Shared, Var};
use inputs::{Input, Inputs, Taken};
use lay_out::Layout;
use licence::Licence;
use names::{Name, Names};
use plan::Plan;
use read_back::Expected;
use symbols::Table;
use symtab::Symtab;
use types::Types;

/// An object of a [`Linker`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InputId(u32);

/// How to link.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only this object's entry programs stay entry programs; those of the others become functions when
    /// something calls them, and are left out otherwise.
    pub root: Option<InputId>,
    /// Leave out functions, maps, data and types that no entry program reaches.
    pub strip_unreachable: bool,
    /// Look for more errors when one is found, and tell all of them.
    pub keep_going: bool,
}

/// What a link gives.
#[derive(Debug, Clone)]
pub struct Output {
    /// The object file.
    pub bytes: Vec<u8>,
    /// What the user may want to know: licences merged, entry programs left out, …
    pub notes: Vec<String>,
}

/// A link that is being put together: objects, then what is to be done to them, then [`Linker::link`].
///
/// Each object is taken apart when it is added; its bytes are not needed any longer.
#[derive(Debug)]
pub struct Linker {
    inputs: Inputs,
    labels: HashSet<Name>,
    shared: Shared,
    /// Empty lists.
    taken: Taken,
    /// Size of all objects together.
    bytes: usize,
    /// Byte order, and the first object.
    endian: Option<(Endian, String)>,
    edits: Vec<Edit>,
}

impl Default for Linker {
    fn default() -> Self {
        Self::new()
    }
}

/// What all phases look at.
pub(crate) struct Context {
    pub(crate) inputs: Inputs,
    /// Of these, what is in the output is gone.
    pub(crate) lists: Lists,
    pub(crate) names: Names,
    /// Numbers of the symbols of all inputs.
    pub(crate) symbols: Bases,
    pub(crate) endian: Endian,
    /// All types but functions, variables and sections.
    pub(crate) types: Btf,
    /// Ids of the inputs' types in `types`, where they have changed.
    ids: Option<Vec<TypeId>>,
    pub(crate) root: Option<u32>,
    pub(crate) strip: bool,
    pub(crate) licence: Option<Licence>,
    /// The input whose `license` and `version` are taken, by section.
    pub(crate) owners: HashMap<Name, u32>,
    /// Names that only one symbol of the output can have, where new ones are made.
    taken: HashSet<Name>,
}

impl Context {
    /// The id that a type of an input has in the output.
    pub(crate) fn type_id(&self, id: TypeId) -> TypeId {
        new_id(self.ids.as_deref(), id)
    }

    /// Is this variable of `.maps` an arena?
    pub(crate) fn is_arena(&self, var: &Var) -> bool {
        map_definition("", &self.types, self.type_id(var.type_id))
            .is_ok_and(|map| map.map_type == ARENA)
    }
}

/// The id that a type of an input has in the output; these are the new ones, where they have changed.
pub(crate) fn new_id(ids: Option<&[TypeId]>, id: TypeId) -> TypeId {
    match ids {
        None => id,
        Some(ids) => ids.get(id.0 as usize).copied().unwrap_or(TypeId::VOID),
    }
}

impl Linker {
    /// An empty link.
    pub fn new() -> Self {
        Self {
            inputs: Inputs::default(),
            labels: HashSet::default(),
            shared: Shared::default(),
            taken: Taken::default(),
            bytes: 0,
            endian: None,
            edits: Vec::new(),
        }
    }

    /// Adds an object, whose file's contents are `bytes`. The label is what messages call it.
    ///
    /// # Errors
    ///
    /// The object is broken, its byte order is not that of the others, or the label is taken.
    pub fn add(&mut self, label: &str, bytes: &[u8]) -> Result<InputId, LinkError> {
        let mut parts = FileParts::default();
        let read = parts.read(label, bytes).map(|_| ());
        self.add_parts(label, bytes, read.map(|()| &mut parts))
    }

    /// Adds the objects that these files are, each with its label. Another thread reads some while this one
    /// adds others.
    ///
    /// # Errors
    ///
    /// As of [`Linker::add`], or a file cannot be read. The objects before it were added.
    pub fn add_files<L, P>(&mut self, files: &[(L, P)]) -> Result<Vec<InputId>, LinkError>
    where
        L: AsRef<str>,
        P: AsRef<Path> + Sync,
    {
        let paths: Vec<&P> = files.iter().map(|(_, path)| path).collect();
        let mut ids = Vec::with_capacity(files.len());
        read_files(&paths, |number, bytes, parts| {
            let label = files.get(number).map_or("", |(label, _)| label.as_ref());
            let parts = parts.map_err(|problem| ReadError {
                object: label.to_owned(),
                problem: Box::new(problem),
            });
            ids.push(self.add_parts(label, bytes, parts)?);
            Ok::<_, LinkError>(())
        })?;
        Ok(ids)
    }

    fn add_parts(
        &mut self,
        label: &str,
        bytes: &[u8],
        parts: Result<&mut FileParts, ReadError>,
    ) -> Result<InputId, LinkError> {
        if !self.labels.insert(self.shared.names.add(label.as_bytes())) {
            return Err(LinkError::DuplicateLabel(label.to_owned()));
        }
        let mut taken = std::mem::take(&mut self.taken);
        let endian = taken.read(label, bytes, parts?, &mut self.shared)?;
        jump_tables::hide(&mut taken.parts, &self.shared.names);
        match &self.endian {
            Some((first_endian, first)) if *first_endian != endian => {
                return Err(LinkError::Endian {
                    first: first.clone(),
                    first_endian: *first_endian,
                    second: label.to_owned(),
                    second_endian: endian,
                });
            }
            Some(_) => {}
            None => self.endian = Some((endian, label.to_owned())),
        }
        let number = self.inputs.add(label, &mut taken);
        self.taken = taken;
        self.bytes = self.bytes.saturating_add(bytes.len());
        Ok(InputId(number))
    }

    /// Links all objects into one.
    ///
    /// # Errors
    ///
    /// Everything that [`LinkError`] lists; the first thing that is found, or with
    /// [`Options::keep_going`] all.
    pub fn link(self, options: &Options) -> Result<Output, LinkErrors> {
        let (mut output, mut expected, mut shared) = self.make(options)?;
        if options.strip_unreachable {
            // What is left of functions and data says which types are left. Those come in the order of their
            // use then, and once more in that of all outputs.
            for types in [Gatherer::of_used_types(), Gatherer::default()] {
                let mut linker = Self::new();
                linker.shared.types = types;
                linker.add("output", &output.bytes)?;
                let (stripped, what, known) = linker.make(&Options::default())?;
                (output.bytes, expected, shared) = (stripped.bytes, what, known);
            }
        }
        // Reading needs memory of its own; all but the bytes and what inputs had in common is gone.
        read_back::check(&output.bytes, &expected, &mut shared)?;
        Ok(output)
    }

    /// The pipeline, up to what is to be read back.
    fn make(mut self, options: &Options) -> Result<(Output, Expected, Shared), LinkErrors> {
        let mut errors = Errors { list: Vec::new(), all: options.keep_going };
        let mut notes = Vec::new();
        let (endian, _) = self.endian.take().ok_or(LinkError::NoInput)?;
        if let Some(root) = options.root.filter(|r| r.0 as usize >= self.inputs.numbers().len()) {
            return Err(LinkError::ForeignInput(root.0).into());
        }
        let bound = errors.many(|errors| self.edit(errors))?;
        self.hide_entries(options.root, &bound);
        // Symbols have their final names. Every binding is between an undefined symbol and a function.
        let (inputs, size) = (self.inputs, self.bytes);
        let Shared { names, types, known, lists, .. } = self.shared;
        let mut builder = types.into_builder();
        let untyped = |i: Input<'_>| !i.has_types && i.has_code;
        let mixed = inputs.iter().any(|i| i.has_types) && inputs.iter().any(untyped);
        let synthesised = match mixed {
            true => Some(builder.synth_proto().map_err(LinkError::Types)?),
            false => None,
        };
        let resolved = resolve_forwards(builder).map_err(LinkError::Types)?;
        let is_known = resolved.ids.is_none() && known.has_all(resolved.builder.type_count());
        let mut context = Context {
            symbols: Bases::new(inputs.iter().map(|i| i.symbols().len())),
            inputs,
            lists,
            names,
            endian,
            types: resolved.btf,
            ids: resolved.ids,
            root: options.root.map(|r| r.0),
            strip: options.strip_unreachable,
            licence: None,
            owners: HashMap::default(),
            taken: HashSet::default(),
        };
        // Types that are equal have one id.
        context.licence = errors
            .one(licence::merge(
                &context.inputs,
                &mut context.names,
                &context.lists,
                endian,
                &mut notes,
            ))?
            .flatten();
        choose_owners(&mut context, &mut notes);
        errors.one(one_arena(&context))?;
        let table = errors.many(|errors| Table::resolve(&context, bound, errors))?;
        errors.many(|errors| check::check(&context, &table, errors))?;
        // Every name has at most one definition, and all that use it agree with it in type.
        let plan = Plan::make(&context, &table);
        if plan.calls_entries() {
            context.taken = table.globals.iter().map(|g| g.name).collect();
        }
        errors.many(|errors| programs::check(&context, &table, &plan, &mut notes, errors))?;
        note_left_out(&context, &plan, &mut notes);
        let layout = errors.many(|errors| Layout::make(&mut context, &plan, errors))?;
        errors.end()?;
        // Every function, map and byte of data that goes in has its place.
        let renamed = symtab::tell_apart(&mut context, &table, &plan);
        let Lists { data, relocs, .. } = &mut context.lists;
        let (data, relocs) = (std::mem::take(data), std::mem::take(relocs));
        let code = Lists { relocs, ..Lists::default() };
        let synthesised = synthesised.map(|id| context.type_id(id));
        let builder = resolved.builder;
        let types = Types::new(&context, &table, &plan, &layout, &renamed, builder, synthesised);
        // What comes out is mostly smaller than what goes in.
        let mut out = elf::Out::new(endian, size);
        let fill = || {
            let (context, table, layout) = (&context, &table, &layout);
            let contents = Emit { context, table, layout, code: &code }.all(data, &mut out)?;
            drop(code);
            let symtab = Symtab::make(context, table, &plan, layout, &contents, &renamed);
            Ok::<_, LinkError>((contents, symtab))
        };
        let any = context.inputs.iter().any(|i| i.has_types);
        let (filled, gathered) = both(fill, || types.gather());
        let (contents, symtab) = filled?;
        let gathered = gathered.filter(|_| any);
        let own = [any, gathered.as_ref().is_some_and(|g| g.has_records())];
        drop((table, plan, renamed));
        context.inputs.keep_code();
        let mut file = file(&mut context, &layout, contents, symtab, own)?;
        let write = || gathered.map(|g| g.write(&context, &layout, &mut out));
        let (strtab, written) = both(|| Strtab::new(&file, &context.names), write);
        let (places, builder) = written.flatten().transpose()?.unwrap_or_default();
        for (section, place) in file.sections.iter_mut().skip(layout.sections.len()).zip(places) {
            (section.offset, section.size) = place;
        }
        let strtab = strtab?;
        // What comes next needs none of the inputs, but memory.
        let names = std::mem::take(&mut context.names);
        drop((context, layout));
        let expected = Expected::of(&file, &names);
        let bytes = elf::write(&file, strtab, out)?;
        let mut shared = Shared::default();
        if is_known {
            // Functions, variables and sections came behind the types.
            shared.types = Gatherer::with(builder, known.types());
            shared.known = known.with(shared.types.type_count());
            shared.names = names;
        }
        Ok((Output { bytes, notes }, expected, shared))
    }
}

/// Errors of a link, the first or all of them.
struct Errors {
    list: Vec<LinkError>,
    all: bool,
}

impl Errors {
    fn one<T>(&mut self, result: Result<T, LinkError>) -> Result<Option<T>, LinkErrors> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.list.push(error);
                self.stop().map(|()| None)
            }
        }
    }

    fn many<T>(&mut self, step: impl FnOnce(&mut Vec<LinkError>) -> T) -> Result<T, LinkErrors> {
        let value = step(&mut self.list);
        self.stop().map(|()| value)
    }

    fn stop(&mut self) -> Result<(), LinkErrors> {
        match self.all {
            true => Ok(()),
            false => {
                self.list.truncate(1);
                self.end()
            }
        }
    }

    fn end(&mut self) -> Result<(), LinkErrors> {
        match self.list.is_empty() {
            true => Ok(()),
            false => Err(LinkErrors(std::mem::take(&mut self.list))),
        }
    }
}

/// `BPF_MAP_TYPE_ARENA`.
const ARENA: u32 = 33;

/// Of licence and version there is one in the output.
fn choose_owners(context: &mut Context, notes: &mut Vec<String>) {
    for (number, input) in context.inputs.numbered() {
        for section in input.sections().iter().filter(|s| s.role == Role::Single) {
            let owner = match context.names.bytes(section.name) {
                b"license" => context.licence.as_ref().map_or(number, |l| l.owner),
                _ => number,
            };
            context.owners.entry(section.name).or_insert(owner);
        }
    }
    let mut versions = context.inputs.iter().filter_map(|i| Some((i.label(), i.version?)));
    if let Some((first, version)) = versions.next()
        && let Some((other, _)) = versions.find(|&(_, v)| v != version)
    {
        notes.push(format!("{first} and {other} name different kernel versions; the first counts"));
    }
}

fn one_arena(context: &Context) -> Result<(), LinkError> {
    let mut is_arena: HashMap<TypeId, bool> = HashMap::default();
    let mut first: Option<(Input<'_>, Name)> = None;
    for input in context.inputs.iter() {
        let defined = |v: &&Var| {
            let in_maps = v.section.is_some_and(|s| context.names.bytes(s) == b".maps");
            in_maps && v.linkage != Linkage::Extern
        };
        let mut maps = input.vars().iter().filter(defined);
        let arena = maps.find(|v| {
            *is_arena.entry(context.type_id(v.type_id)).or_insert_with(|| context.is_arena(v))
        });
        match (first, arena) {
            (None, Some(arena)) => first = Some((input, arena.name)),
            (Some((other, name)), Some(arena)) if name != arena.name => {
                let text = |name| context.names.text(name).into_owned();
                return Err(LinkError::TwoArenas {
                    first: other.label().to_owned(),
                    first_map: text(name),
                    second: input.label().to_owned(),
                    second_map: text(arena.name),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Entry programs of objects that are not the root, and that nothing calls.
fn note_left_out(context: &Context, plan: &Plan, notes: &mut Vec<String>) {
    let Some(root) = context.root else { return };
    for (number, input) in context.inputs.numbered().filter(|&(n, _)| n != root) {
        for (index, section) in (0u32..).zip(input.sections()) {
            for (at, chunk) in (0u32..).zip(input.chunks_of(section)) {
                let dead = plan.fate((number, index, at)).is_dead();
                let symbol = input.starting(chunk).first().and_then(|&s| input.symbol(s));
                if let (true, true, Some(symbol)) = (dead, chunk.is_entry, symbol) {
                    notes.push(format!(
                        "{} of {} is left out: nothing calls it, and {} is not the root",
                        context.names.text(symbol.name),
                        input.label(),
                        input.label()
                    ));
                }
            }
        }
    }
}

/// Everything put together, but for where sections of types are: that one of them is there, and is called this.
fn file(
    context: &mut Context,
    layout: &Layout,
    contents: Vec<emit::Contents>,
    symtab: Symtab,
    has_types: [bool; 2],
) -> Result<elf::File, LinkError> {
    let mut sections = Vec::with_capacity(contents.len() + 2);
    for (out, contents) in layout.sections.iter().zip(contents) {
        let rel = |reloc: emit::OutReloc| {
            let symbol = symtab.number(context, reloc.target).ok_or_else(|| {
                let name = context.names.text(out.name);
                LinkError::Output(format!("section {name}, {:#x}: no symbol", reloc.offset))
            })?;
            Ok(elf::Rel { offset: reloc.offset, symbol, kind: reloc.kind.number() })
        };
        let rels: Result<_, LinkError> = contents.relocs.into_iter().map(rel).collect();
        sections.push(elf::Section {
            name: out.name,
            kind: out.kind,
            flags: out.flags,
            align: out.align,
            entry_size: out.entry_size,
            size: out.size,
            offset: contents.offset,
            rels: rels?,
            rel_name: context.names.add(&[b".rel", context.names.bytes(out.name)].concat()),
        });
    }
    let type_names = [b".BTF", &b".BTF.ext"[..]].map(|name| context.names.add(name));
    for (name, _) in type_names.into_iter().zip(has_types).filter(|&(_, is_there)| is_there) {
        sections.push(elf::Section {
            name,
            kind: elf::SHT_PROGBITS,
            flags: 0,
            align: 4,
            entry_size: 0,
            size: 0,
            offset: 0,
            rels: Vec::new(),
            rel_name: Name::EMPTY,
        });
    }
    let tables = [b".symtab", b".strtab"].map(|name| context.names.add(name));
    Ok(elf::File { endian: context.endian, sections, symbols: symtab.symbols, tables })
}
