//! `.BTF` and `.BTF.ext` of the output. The merged types are there; behind them come functions,
//! variables and sections, each in the order of the inputs, so that linking the output again finds them
//! in the order in which it would write them.

use crate::hash::{HashMap, HashSet};

use bpfweld_btf::{
    BtfBuilder, CoreRecord, ExtWriter, FuncInfo, LineRecord, Linkage, SectionVar, TypeId,
};

use crate::Context;
use crate::elf;
use crate::error::LinkError;
use crate::input::{Bases, Core, Described, Entry, Func, Line, Role, Section, Tag, Var};
use crate::inputs::Input;
use crate::lay_out::{Layout, OutSection, Piece};
use crate::names::{Name, Names};
use crate::plan::{ChunkAt, Plan};
use crate::symbols::{At, Table};

/// What the two sections are to be: all types, and how many records there are.
pub(crate) struct Gathered {
    made: Made,
    counts: Vec<Counts>,
}

impl Gathered {
    /// Is there anything for `.BTF.ext`?
    pub(crate) fn has_records(&self) -> bool {
        self.counts.iter().flatten().any(|&(_, count)| count > 0)
    }

    /// Writes both sections. Gives where they are, offset and size, and what types they are of.
    pub(crate) fn write(
        self,
        context: &Context,
        layout: &Layout,
        file: &mut elf::Out,
    ) -> Result<Written, LinkError> {
        let endian = context.endian;
        let btf = file.align(4);
        self.made.builder.write_to(&mut file.bytes, endian)?;
        let btf = (btf, file.bytes.len() as u64 - btf);
        let ext = file.align(4);
        self.made.write_records(Records { context, layout }, &self.counts, &mut file.bytes);
        let ext = (ext, file.bytes.len() as u64 - ext);
        Ok(([btf, ext], self.made.builder))
    }
}

/// Both sections in a file, and what types they are of.
pub(crate) type Written = ([(u64, u64); 2], BtfBuilder);

pub(crate) struct Types<'c> {
    context: &'c Context,
    table: &'c Table,
    plan: &'c Plan,
    layout: &'c Layout,
    made: Made,
    /// Variables that got a new name, by their symbols.
    renamed: &'c HashMap<At, Name>,
    /// Prototype of functions of objects without types.
    synthesised: Option<TypeId>,
    vars: Ids,
    /// Ids that several inputs have.
    shared: HashSet<TypeId>,
}

/// What is known of the output's types.
struct Made {
    builder: BtfBuilder,
    /// New ids of the functions (there: variables) of all inputs; `void` of what is left out.
    funcs: Ids,
    /// Offsets of names among the strings, by the names' numbers; 0 before they are asked for.
    strings: Vec<u32>,
    /// Functions that entry programs became, and functions without types, by chunk.
    called: HashMap<ChunkAt, TypeId>,
    chunks: HashMap<ChunkAt, TypeId>,
}

/// New ids of items of inputs.
struct Ids {
    bases: Bases,
    list: Vec<TypeId>,
}

impl Ids {
    fn new(counts: impl Iterator<Item = usize>) -> Self {
        let bases = Bases::new(counts);
        Self { list: vec![TypeId::VOID; bases.total()], bases }
    }

    fn get(&self, input: u32, at: u32) -> Option<TypeId> {
        self.list.get(self.bases.at(input, at)).copied().filter(|&id| id != TypeId::VOID)
    }

    fn set(&mut self, input: u32, at: u32, id: TypeId) {
        if let Some(slot) = self.list.get_mut(self.bases.at(input, at)) {
            *slot = id;
        }
    }
}

/// Of the functions, lines and CO-RE records of a section of code: string offset of its name, number.
type Counts = [(u32, u32); 3];

impl<'c> Types<'c> {
    /// Of what links, and where it is; the types of inputs are in the builder.
    pub(crate) fn new(
        context: &'c Context,
        table: &'c Table,
        plan: &'c Plan,
        layout: &'c Layout,
        renamed: &'c HashMap<At, Name>,
        builder: BtfBuilder,
        synthesised: Option<TypeId>,
    ) -> Self {
        let made = Made {
            builder,
            funcs: Ids::new(context.inputs.iter().map(|i| i.funcs().len())),
            strings: vec![0; context.names.count()],
            called: HashMap::default(),
            chunks: HashMap::default(),
        };
        let vars = Ids::new(context.inputs.iter().map(|i| i.vars().len()));
        let shared = HashSet::default();
        Self { context, table, plan, layout, made, renamed, synthesised, vars, shared }
    }

    /// Puts all types together.
    pub(crate) fn gather(mut self) -> Gathered {
        self.add_funcs();
        self.add_vars();
        self.add_sections();
        let mut made = self.made;
        let Self { context, layout, .. } = self;
        let counts = made.count_records(Records { context, layout });
        Gathered { made, counts }
    }

    fn add_funcs(&mut self) {
        let mut externs: HashMap<Name, TypeId> = HashMap::default();
        let inputs = &self.context.inputs;
        for (number, input) in inputs.numbered() {
            for (at, func) in (0u32..).zip(input.funcs()) {
                if func.linkage == Linkage::Extern {
                    let undefined = func.symbol.is_none_or(|s| self.stays_undefined((number, s)));
                    if undefined {
                        let name = self.name_of(number, func.symbol, func.name);
                        let id = match externs.get(&name) {
                            Some(&id) => id,
                            None => self.add_func(&input, func, name, Linkage::Extern),
                        };
                        self.shared.insert(id);
                        externs.insert(name, id);
                        self.made.funcs.set(number, at, id);
                    }
                } else {
                    self.add_defined(number, at, &input, func);
                }
            }
            if !input.has_types {
                self.add_synthesised(number, &input);
            }
        }
    }

    fn add_defined(&mut self, number: u32, at: u32, input: &Input, func: &Func) {
        let name = self.name_of(number, func.symbol, func.name);
        let place = func.symbol.and_then(|s| {
            let symbol = input.symbol(s)?;
            let section = symbol.section()?;
            Some((s, symbol, section, input.chunk_at(input.section(section)?, symbol.value)?))
        });
        let Some((index, symbol, section, chunk)) = place else {
            // A function of which only the type is there.
            let id = self.add_func(input, func, name, func.linkage);
            self.made.funcs.set(number, at, id);
            return;
        };
        let chunk = (number, section, chunk);
        let fate = self.plan.fate(chunk);
        let removed = self.table.is_removed((number, index));
        let linkage = if symbol.is_local() || removed { Linkage::Static } else { func.linkage };
        if fate.stays {
            let id = self.add_func(input, func, name, linkage);
            self.made.funcs.set(number, at, id);
        }
        if fate.called
            && let Some((called, _)) =
                self.layout.called_at(&self.context.inputs, number, section, symbol.value)
            && called.symbol == Some(index)
        {
            let linkage = if called.global { Linkage::Global } else { Linkage::Static };
            let id = self.add_func(input, func, called.name, linkage);
            self.made.called.insert(chunk, id);
        }
    }

    /// The kernel wants all functions of a program to have a type, or none.
    fn add_synthesised(&mut self, number: u32, input: &Input) {
        let Some(proto) = self.synthesised else { return };
        for (index, section) in (0u32..).zip(input.sections()) {
            if !matches!(section.role, Role::Text | Role::Entries) {
                continue;
            }
            for (at, chunk) in (0u32..).zip(input.chunks_of(section)) {
                let here = (number, index, at);
                let fate = self.plan.fate(here);
                let Some(symbol) = input.starting(chunk).first().and_then(|&s| input.symbol(s))
                else {
                    continue;
                };
                // Without types, the verifier takes every function for a static one. And a static type of a
                // name that others see tells later links that it was made up.
                if fate.stays {
                    let id = self.add_named(symbol.name, proto, Linkage::Static, &[]);
                    self.made.chunks.insert(here, id);
                }
                if fate.called
                    && let Some((called, _)) =
                        self.layout.called_at(&self.context.inputs, number, index, chunk.start)
                {
                    let id = self.add_named(called.name, proto, Linkage::Static, &[]);
                    self.made.called.insert(here, id);
                }
            }
        }
    }

    fn add_func(&mut self, input: &Input, func: &Func, name: Name, linkage: Linkage) -> TypeId {
        let tags = func.tags.of(input.tags());
        self.add_named(name, self.context.type_id(func.proto), linkage, tags)
    }

    fn add_named(&mut self, name: Name, proto: TypeId, linkage: Linkage, tags: &[Tag]) -> TypeId {
        let name = self.made.string(&self.context.names, name);
        let id = self.made.builder.append_func(name, proto, linkage);
        self.add_tags(id, tags);
        id
    }

    fn add_tags(&mut self, id: TypeId, tags: &[Tag]) {
        for tag in tags {
            let name = self.made.string(&self.context.names, tag.name);
            self.made.builder.append_decl_tag(name, id, tag.component, tag.attribute);
        }
    }

    fn add_vars(&mut self) {
        let mut externs: HashMap<Name, TypeId> = HashMap::default();
        let inputs = &self.context.inputs;
        for (number, input) in inputs.numbered() {
            for (at, var) in (0u32..).zip(input.vars()) {
                let name = self.name_of(number, var.symbol, var.name);
                if var.linkage == Linkage::Extern {
                    let undefined = var.symbol.is_none_or(|s| self.stays_undefined((number, s)));
                    if undefined {
                        let id = match externs.get(&name) {
                            Some(&id) => id,
                            None => self.add_var(&input, var, name, Linkage::Extern),
                        };
                        self.shared.insert(id);
                        externs.insert(name, id);
                        self.vars.set(number, at, id);
                    }
                    continue;
                }
                if self.is_there(number, &input, var) {
                    let symbol = var.symbol.and_then(|s| input.symbol(s));
                    let local = symbol.is_some_and(|s| s.is_local());
                    let linkage = if local { Linkage::Static } else { var.linkage };
                    let id = self.add_var(&input, var, name, linkage);
                    self.vars.set(number, at, id);
                }
            }
        }
    }

    fn add_var(&mut self, input: &Input, var: &Var, name: Name, linkage: Linkage) -> TypeId {
        let name = self.made.string(&self.context.names, name);
        let id = self.made.builder.append_var(name, self.context.type_id(var.type_id), linkage);
        self.add_tags(id, var.tags.of(input.tags()));
        id
    }

    /// Is a variable part of the output?
    fn is_there(&self, number: u32, input: &Input, var: &Var) -> bool {
        let Some((index, symbol)) = var.symbol.and_then(|s| Some((s, input.symbol(s)?))) else {
            // Several statics of one name: their places are in the DATASEC.
            let section = var.section.and_then(|s| input.section_named(s));
            return section.is_some_and(|s| self.layout.has(number, s));
        };
        let alive = symbol.section().is_none_or(|section| {
            self.plan.is_alive(&self.context.inputs, number, section, symbol.value)
        });
        alive && !self.table.is_removed((number, index))
    }

    fn add_sections(&mut self) {
        let mut order: Vec<Name> = Vec::new();
        let mut entries: HashMap<Name, Vec<SectionVar>> = HashMap::default();
        // The section that last listed what is one for several inputs.
        let mut listed: HashMap<TypeId, Name> = HashMap::default();
        let inputs = &self.context.inputs;
        for (number, input) in inputs.numbered() {
            for datasec in input.datasecs() {
                // Of a section that has only what no variable names, there is one without variables.
                let list = entries.entry(datasec.name).or_insert_with(|| {
                    order.push(datasec.name);
                    Vec::new()
                });
                for entry in datasec.entries.of(input.entries()) {
                    let found = self.entry(number, &input, datasec.name, entry);
                    let Some((type_id, offset)) = found else { continue };
                    let shared = self.shared.contains(&type_id);
                    if !shared || listed.insert(type_id, datasec.name) != Some(datasec.name) {
                        list.push(SectionVar { type_id, offset, size: entry.size });
                    }
                }
            }
        }
        for name in order {
            let mut list = entries.remove(&name).unwrap_or_default();
            if !list.is_sorted_by_key(|v| v.offset) {
                list.sort_by_key(|v| v.offset);
            }
            let section = self.layout.section_named(name);
            if list.is_empty() && section.is_none() {
                continue;
            }
            // Of externs there is no section.
            let size = section.map_or(0, |s| s.size);
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            let name = self.made.string(&self.context.names, name);
            self.made.builder.append_datasec(name, size, &list);
        }
    }

    /// New id of what a DATASEC lists, and its offset in the output's section.
    fn entry(
        &self,
        number: u32,
        input: &Input,
        section: Name,
        entry: &Entry,
    ) -> Option<(TypeId, u32)> {
        let at = match entry.what {
            Described::Func(at) => return Some((self.made.funcs.get(number, at)?, entry.offset)),
            Described::Var(at) => at,
        };
        let id = self.vars.get(number, at)?;
        let var = input.vars().get(at as usize)?;
        let symbol = var.symbol.and_then(|s| input.symbol(s));
        let place = match symbol {
            Some(symbol) => symbol.section().map(|section| (section, symbol.value)),
            None if var.linkage == Linkage::Extern => None,
            None => Some((input.section_named(section)?, entry.offset.into())),
        };
        let Some((section, offset)) = place else { return Some((id, 0)) };
        let (_, at) = self.layout.spot(number, section, offset)?;
        Some((id, u32::try_from(at).ok()?))
    }

    /// Does a symbol stay an extern?
    fn stays_undefined(&self, at: At) -> bool {
        !self.table.is_bound(at)
            && self.table.definition(at).is_none_or(|definition| definition == at)
    }

    /// The name of what has this symbol, or else is called this in the types.
    fn name_of(&self, number: u32, symbol: Option<u32>, name: Name) -> Name {
        let Some(index) = symbol else { return name };
        if let Some(&new) = self.renamed.get(&(number, index)) {
            return new;
        }
        let inputs = &self.context.inputs;
        match inputs.get(number).and_then(|i| i.symbol(index)) {
            Some(symbol) if symbol.renamed => symbol.name,
            _ => name,
        }
    }
}

impl Made {
    /// The offset of a name among the strings.
    fn string(&mut self, names: &Names, name: Name) -> u32 {
        match self.strings.get_mut(name.number()) {
            Some(known) if *known != 0 => *known,
            slot => {
                // Names are asked for once, and all strings are names.
                let offset = self.builder.append_str(names.bytes(name));
                slot.into_iter().for_each(|slot| *slot = offset);
                offset
            }
        }
    }

    /// That of a name that was added.
    fn known_string(&self, name: Name) -> u32 {
        self.strings.get(name.number()).copied().unwrap_or(0)
    }

    /// Counts what is known about instructions, by section of the output, and adds all strings of it.
    fn count_records(&mut self, records: Records<'_>) -> Vec<Counts> {
        let names = &records.context.names;
        let mut counts = Vec::new();
        for out in records.sections() {
            let (mut funcs, mut lines, mut core) = (0, 0, 0);
            // One part after the other, as they stand in the output: their strings have to come in the
            // same order when that is linked.
            records.each_func(self, out, |_| funcs += 1);
            records.each_line(out, |line| {
                self.string(names, line.file);
                self.string(names, line.text);
                lines += 1;
            });
            records.each_core(out, |record| {
                self.string(names, record.access);
                core += 1;
            });
            let any = funcs + lines + core > 0;
            let name_off = if any { self.string(names, out.name) } else { 0 };
            counts.push([(name_off, funcs), (name_off, lines), (name_off, core)]);
        }
        counts
    }

    /// Writes it.
    fn write_records(&self, records: Records<'_>, counts: &[Counts], bytes: &mut Vec<u8>) {
        let context = records.context;
        let blocks = [0, 1, 2]
            .map(|part: usize| counts.iter().filter_map(move |blocks| blocks.get(part).copied()));
        let mut ext = ExtWriter::new(bytes, context.endian, blocks);
        for out in records.sections() {
            records.each_func(self, out, |func| ext.func(func));
        }
        for out in records.sections() {
            records.each_line(out, |line| {
                ext.line(LineRecord {
                    insn_off: line.offset,
                    file_off: self.known_string(line.file),
                    line_off: self.known_string(line.text),
                    line_col: line.line_col,
                });
            });
        }
        for out in records.sections() {
            records.each_core(out, |core| {
                ext.core(CoreRecord {
                    insn_off: core.offset,
                    type_id: context.type_id(core.type_id),
                    access_off: self.known_string(core.access),
                    kind: core.kind,
                });
            });
        }
    }

    /// The type of a function that is known by its place.
    fn chunk_type(
        &self,
        piece: &Piece,
        input: &Input<'_>,
        section: &Section,
        start: u64,
    ) -> Option<TypeId> {
        let chunk = input.chunk_at(section, start)?;
        let here = (piece.input, piece.section, chunk);
        let list = if piece.called().is_some() { &self.called } else { &self.chunks };
        list.get(&here).copied()
    }
}

/// What inputs say about instructions, and where these are.
#[derive(Clone, Copy)]
struct Records<'c> {
    context: &'c Context,
    layout: &'c Layout,
}

impl<'c> Records<'c> {
    /// The sections with instructions.
    fn sections(self) -> impl Iterator<Item = &'c OutSection> {
        let is_code = |out: &&OutSection| matches!(out.role, Role::Text | Role::Entries);
        self.layout.sections.iter().filter(is_code)
    }

    /// Functions, with their places in the output and their types there.
    fn each_func(self, made: &Made, out: &OutSection, mut each: impl FnMut(FuncInfo)) {
        for (piece, input, section) in self.pieces(out) {
            for &(offset, func) in self.context.lists.func_infos_of(&input, section) {
                let id = match piece.called() {
                    Some(_) => made.chunk_type(piece, &input, section, offset.into()),
                    None => made.funcs.get(piece.input, func),
                };
                if let (Some(insn_off), Some(type_id)) = (moved(piece, offset), id) {
                    each(FuncInfo { insn_off, type_id });
                }
            }
            for chunk in input.chunks_of(section).iter().filter(|_| !input.has_types) {
                let start = u32::try_from(chunk.start).unwrap_or(u32::MAX);
                let id = made.chunk_type(piece, &input, section, chunk.start);
                if let (Some(insn_off), Some(type_id)) = (moved(piece, start), id) {
                    each(FuncInfo { insn_off, type_id });
                }
            }
        }
    }

    /// Lines, with their places in the output.
    fn each_line(self, out: &OutSection, mut each: impl FnMut(Line)) {
        for (piece, input, section) in self.pieces(out) {
            let lines = self.context.lists.lines_of(&input, section);
            let from = lines.partition_point(|l| u64::from(l.offset) < piece.start());
            for &line in lines.get(from..).unwrap_or_default() {
                let Some(offset) = moved(piece, line.offset) else { break };
                each(Line { offset, ..line });
            }
        }
    }

    /// CO-RE records, with their places in the output.
    fn each_core(self, out: &OutSection, mut each: impl FnMut(Core)) {
        for (piece, input, section) in self.pieces(out) {
            let core = self.context.lists.core_of(&input, section);
            let from = core.partition_point(|c| u64::from(c.offset) < piece.start());
            for &core in core.get(from..).unwrap_or_default() {
                let Some(offset) = moved(piece, core.offset) else { break };
                each(Core { offset, ..core });
            }
        }
    }

    /// The pieces of a section of the output.
    fn pieces(self, out: &OutSection) -> impl Iterator<Item = (&Piece, Input<'c>, &'c Section)> {
        out.pieces.iter().filter_map(move |piece| {
            let input = self.context.inputs.get(piece.input)?;
            Some((piece, input, input.section(piece.section)?))
        })
    }
}

/// Where something of a piece is in the output's section; `None` for what is not of it.
fn moved(piece: &Piece, offset: u32) -> Option<u32> {
    let offset = u64::from(offset);
    let inside = (piece.start()..piece.end()).contains(&offset);
    inside.then(|| u32::try_from(piece.at() + (offset - piece.start())).ok()).flatten()
}
