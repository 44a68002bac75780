//! What of an object is read on first use: instructions, references, types and lines of functions.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use bpfweld_btf::{Btf, BtfExt};
use bpfweld_insn::INSN_SIZE;

use crate::data::DataIndex;
use crate::elf::Elf;
use crate::error::{ReadError, ReadProblem};
use crate::externs::ExternIndex;
use crate::functions::{Code, FunctionPlace, check_loads, linkage};
use crate::info;
use crate::insns::Insns;
use crate::jump_tables::JumpTables;
use crate::kept::Kept;
use crate::maps::MapIndex;
use crate::model::{Body, ExternId, Linkage};
use crate::relocs::{self, Resolver};
use crate::types::FunctionTypes;

/// What of an object's file is read on first use. See [`Object::check`](crate::Object::check).
#[derive(Clone, Default)]
pub struct Unread(Option<Arc<Later>>);

impl Unread {
    pub(crate) fn of(later: Arc<Later>) -> Self {
        Self(Some(later))
    }

    /// See [`Object::check`](crate::Object::check).
    pub(crate) fn check(&self) -> Result<&[String], ReadError> {
        let Some(later) = &self.0 else { return Ok(&[]) };
        match later.contents() {
            Ok(contents) => Ok(&contents.notes),
            Err(problem) => {
                let (object, problem) = (later.object.clone(), Box::new(problem.clone()));
                Err(ReadError { object, problem })
            }
        }
    }
}

impl std::fmt::Debug for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unread")
    }
}

/// The [`Body`] of a function, which it dereferences to. One from a file is read on first use, with
/// all others of its object, and empty where [`Object::check`](crate::Object::check) is an error; one
/// that was made is there. Changing it leaves the file's, and other clones, as they are.
#[derive(Clone)]
pub struct FunctionBody {
    /// What was made.
    own: Option<Box<Body>>,
    /// The object to read it from, and the function's number there.
    later: Option<(Arc<Later>, usize)>,
}

impl FunctionBody {
    /// Of the function with this number.
    pub(crate) fn later(later: &Arc<Later>, function: usize) -> Self {
        Self { own: None, later: Some((later.clone(), function)) }
    }
}

impl From<Body> for FunctionBody {
    fn from(body: Body) -> Self {
        Self { own: Some(Box::new(body)), later: None }
    }
}

impl Deref for FunctionBody {
    type Target = Body;

    fn deref(&self) -> &Body {
        static EMPTY: Body = Body::EMPTY;
        let read = || {
            let (later, function) = self.later.as_ref()?;
            later.contents().ok()?.bodies.get(*function)
        };
        self.own.as_deref().or_else(read).unwrap_or(&EMPTY)
    }
}

impl DerefMut for FunctionBody {
    fn deref_mut(&mut self) -> &mut Body {
        if self.own.is_none() {
            self.own = Some(Box::new(Body::clone(self)));
        }
        self.own.get_or_insert_default()
    }
}

impl std::fmt::Debug for FunctionBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// What it takes to read the bodies of functions when they are wanted.
pub(crate) struct Later {
    pub(crate) object: String,
    pub(crate) kept: Kept,
    pub(crate) btf: Option<Arc<Btf>>,
    pub(crate) code: Code,
    pub(crate) data: DataIndex,
    pub(crate) maps: MapIndex,
    pub(crate) externs: ExternIndex,
    pub(crate) contents: OnceLock<Result<Contents, ReadProblem>>,
}

/// What was read.
pub(crate) struct Contents {
    /// Of each function.
    bodies: Vec<Body>,
    notes: Vec<String>,
    /// Externs that are functions because they are called.
    pub(crate) called: Vec<ExternId>,
}

/// A function while its body is read.
pub(crate) struct Reading<'a> {
    pub(crate) name: &'a str,
    /// Name of its section.
    pub(crate) section: &'a str,
    pub(crate) place: FunctionPlace,
    pub(crate) linkage: Linkage,
    pub(crate) body: Body,
}

impl Later {
    /// Reads everything, unless that was done before.
    pub(crate) fn contents(&self) -> Result<&Contents, &ReadProblem> {
        self.contents.get_or_init(|| self.read()).as_ref()
    }

    /// The pipeline. Each step may rely on what those before it have checked.
    fn read(&self) -> Result<Contents, ReadProblem> {
        let mut notes = Vec::new();
        let elf = self.kept.elf();
        let info = self.types(&elf)?;
        // No type contains itself.
        let mut functions = self.functions(&elf)?;
        // Both halves of each load are there.
        let mut resolver = Resolver {
            elf: &elf,
            code: &self.code,
            data: &self.data,
            maps: &self.maps,
            externs: &self.externs,
            called: Vec::new(),
            tables: JumpTables::default(),
        };
        resolver.resolve(&mut functions)?;
        // No instruction refers to anything but by its entry in `relocs`.
        let called = resolver.called;
        relocs::note_data(&elf, &self.data, &mut notes)?;
        let types = FunctionTypes::new(self.btf.as_deref());
        info::attach(&mut functions, &info, &types, &mut notes)?;
        let bodies = functions.into_iter().map(|f| f.body).collect();
        Ok(Contents { bodies, notes, called })
    }

    /// Checks the types, and reads what they say about code.
    fn types(&self, elf: &Elf<'_>) -> Result<BtfExt, ReadProblem> {
        let broken = |section| move |error| ReadProblem::Btf { section, error };
        let Some(btf) = &self.btf else { return Ok(BtfExt::default()) };
        btf.validate().map_err(broken(".BTF"))?;
        match elf.sections.iter().position(|s| s.name == ".BTF.ext" && !s.data.is_empty()) {
            Some(section) => {
                BtfExt::parse(self.kept.data(section), btf).map_err(broken(".BTF.ext"))
            }
            None => Ok(BtfExt::default()),
        }
    }

    /// The functions with their instructions.
    fn functions<'a>(&self, elf: &Elf<'a>) -> Result<Vec<Reading<'a>>, ReadProblem> {
        let mut functions = Vec::with_capacity(self.code.places.len());
        for &place in &self.code.places {
            // There is one of each: they were found by their symbols.
            let Some(symbol) = elf.symbol(place.symbol) else { continue };
            let Some(section) = elf.section(place.section) else { continue };
            let name = elf.symbol_name(&symbol)?;
            let insns =
                Insns::of(self.kept.part(place.section, place.offset, place.end), elf.endian);
            check_loads(&insns).map_err(|(slot, problem)| ReadProblem::Function {
                section: section.name.to_owned(),
                function: name.to_owned(),
                offset: place.offset + slot * INSN_SIZE as u64,
                problem,
            })?;
            functions.push(Reading {
                name,
                section: section.name,
                place,
                linkage: linkage(&symbol),
                body: Body { insns, ..Body::EMPTY },
            });
        }
        Ok(functions)
    }
}
