//! What the types and `.BTF.ext` of an input say about its symbols and instructions, and where its
//! sections can be cut.

use crate::hash::{HashMap, HashSet};

use bpfweld_btf::{Btf, BtfBuilder, BtfError, BtfExt, Kind, Linkage, SourceMap, TypeId};
use bpfweld_object::{Object, ProgramSpec};

use crate::elf;
use crate::input::{
    Chunk, Core, Datasec, Described, Entry, Func, Info, Input, Line, Role, Section, Symbol, Tag,
    Var,
};
use crate::names::{Name, Names};

impl Input {
    /// Adds the types of the object to the builder, and notes what it says about functions, variables,
    /// sections and instructions.
    pub(crate) fn add_types(
        &mut self,
        btf: &Btf,
        ext: &BtfExt,
        names: &mut Names,
        builder: &mut BtfBuilder,
    ) -> Result<(), BtfError> {
        let mut map = SourceMap::new(btf);
        builder.import_all(&mut map, btf)?;
        let string = |off: u32| btf.bytes_at(off).unwrap_or_default();
        let mut ids: HashMap<TypeId, Described> = HashMap::default();
        for ty in btf.types() {
            match ty.kind() {
                Kind::Func => {
                    let extern_ = ty.linkage() == Linkage::Extern;
                    let proto = ty.type_id();
                    let proto = if extern_ { map.get(proto) } else { map.proto(proto) };
                    ids.insert(ty.id(), Described::Func(count(&self.funcs)));
                    self.funcs.push(Func {
                        name: names.add(string(ty.name_off())),
                        proto: proto.unwrap_or(TypeId::VOID),
                        linkage: ty.linkage(),
                        tags: Vec::new(),
                        symbol: None,
                        kernel: false,
                    });
                }
                Kind::Var => {
                    ids.insert(ty.id(), Described::Var(count(&self.vars)));
                    self.vars.push(Var {
                        name: names.add(string(ty.name_off())),
                        type_id: map.get(ty.type_id()).unwrap_or(TypeId::VOID),
                        linkage: ty.linkage(),
                        tags: Vec::new(),
                        symbol: None,
                        section: None,
                    });
                }
                _ => {}
            }
        }
        for ty in btf.types() {
            match ty.kind() {
                Kind::DeclTag => {
                    let tags = match ids.get(&ty.type_id()) {
                        Some(&Described::Func(at)) => {
                            self.funcs.get_mut(at as usize).map(|f| &mut f.tags)
                        }
                        Some(&Described::Var(at)) => {
                            self.vars.get_mut(at as usize).map(|v| &mut v.tags)
                        }
                        None => None,
                    };
                    if let Some(tags) = tags {
                        let name = names.add(string(ty.name_off()));
                        let (component, attribute) = (ty.component(), ty.kflag());
                        tags.push(Tag { name, component, attribute });
                    }
                }
                Kind::Datasec => {
                    let name = names.add(string(ty.name_off()));
                    let kernel = ty.name() == ".ksyms";
                    let mut entries = Vec::with_capacity(ty.vlen());
                    for entry in ty.section_vars() {
                        let Some(&what) = ids.get(&entry.type_id) else { continue };
                        match what {
                            Described::Func(at) => {
                                if let Some(func) = self.funcs.get_mut(at as usize) {
                                    func.kernel |= kernel;
                                }
                            }
                            Described::Var(at) => {
                                if let Some(var) = self.vars.get_mut(at as usize) {
                                    var.section = Some(name);
                                }
                            }
                        }
                        entries.push(Entry { what, offset: entry.offset, size: entry.size });
                    }
                    self.datasecs.push(Datasec { name, entries });
                }
                _ => {}
            }
        }
        let mut taken: HashSet<Name> = HashSet::default();
        for section in ext.sections() {
            let name = names.add(section.name.as_bytes());
            let code = |s: &Section| matches!(s.role, Role::Text | Role::Entries);
            let found = self.sections.iter().position(|s| code(s) && s.old_name == name);
            // The reader refuses CO-RE records of two sections of one name; the rest is worth nothing then.
            let Some(at) = found.filter(|_| taken.insert(name)) else { continue };
            let mut info = Info::default();
            for record in &section.funcs {
                if let Some(&Described::Func(at)) = ids.get(&record.type_id) {
                    info.funcs.push((record.insn_off, at));
                }
            }
            info.lines.extend(section.lines.iter().map(|r| Line {
                offset: r.insn_off,
                file: names.add(string(r.file_off)),
                text: names.add(string(r.line_off)),
                line_col: r.line_col,
            }));
            for record in &section.core {
                // A function or variable as the root of an access is nothing that compilers make.
                let type_id = builder.import(&mut map, btf, record.type_id)?;
                info.core.push(Core {
                    offset: record.insn_off,
                    type_id,
                    old_id: record.type_id.0,
                    access: names.add(string(record.access_off)),
                    kind: record.kind,
                });
            }
            if let Some(section) = self.sections.get_mut(at) {
                section.info = info;
            }
        }
        self.describe();
        Ok(())
    }

    /// Finds the symbol of each FUNC and VAR.
    fn describe(&mut self) {
        let mut undefined: HashMap<Name, u32> = HashMap::default();
        // By section and name; `None` where there are several.
        let mut places: HashMap<(u32, Name), Option<u32>> = HashMap::default();
        // Functions by name, local ones apart.
        let mut code: HashMap<(Name, bool), Option<u32>> = HashMap::default();
        let mut starts: HashMap<(u32, u64), Vec<u32>> = HashMap::default();
        let externs: Vec<Name> =
            self.vars.iter().filter(|v| v.linkage == Linkage::Extern).map(|v| v.name).collect();
        for (at, symbol) in (0u32..).zip(&mut self.symbols) {
            if symbol.names_section() || symbol.name == Name::EMPTY || symbol.kind == elf::STT_FILE
            {
                continue;
            }
            let section = symbol.section.and_then(|s| self.sections.get(s as usize));
            // libbpf's linker gives an extern map that it did not find a place at the start of `.maps`.
            if section.is_some_and(|s| s.role == Role::Maps)
                && (symbol.kind, symbol.size) == (elf::STT_NOTYPE, 0)
                && !symbol.is_local()
                && externs.contains(&symbol.name)
            {
                symbol.section = None;
                symbol.value = 0;
            }
            let Some(index) = symbol.section else {
                undefined.entry(symbol.name).or_insert(at);
                continue;
            };
            let slot = places.entry((index, symbol.name)).or_insert(Some(at));
            *slot = slot.filter(|&s| s == at);
            if section.is_some_and(|s| matches!(s.role, Role::Text | Role::Entries)) {
                let slot = code.entry((symbol.name, symbol.is_local())).or_insert(Some(at));
                *slot = slot.filter(|&s| s == at);
                starts.entry((index, symbol.value)).or_default().push(at);
            }
        }
        for (index, section) in (0u32..).zip(&self.sections) {
            for &(offset, func) in &section.info.funcs {
                let Some(func) = self.funcs.get_mut(func as usize) else { continue };
                let here = starts.get(&(index, offset.into())).map_or(&[][..], Vec::as_slice);
                let named = here
                    .iter()
                    .find(|&&s| self.symbols.get(s as usize).is_some_and(|s| s.name == func.name));
                func.symbol = func.symbol.or(named.or(here.first()).copied());
            }
        }
        for func in &mut self.funcs {
            if func.linkage == Linkage::Extern {
                func.symbol = undefined.get(&func.name).copied();
            } else if func.symbol.is_none() {
                let is_static = func.linkage == Linkage::Static;
                let with = |local| code.get(&(func.name, local)).copied().flatten();
                func.symbol = with(is_static).or_else(|| with(!is_static));
            }
        }
        for var in &mut self.vars {
            let of_extern = || undefined.get(&var.name).copied();
            let of_section = |name: Name| {
                let is = |s: &Section| s.role != Role::Dropped && s.name == name;
                let mut sections = (0u32..).zip(&self.sections).filter(|(_, s)| is(s));
                sections.find_map(|(index, _)| places.get(&(index, var.name)).copied().flatten())
            };
            var.symbol = match var.linkage {
                Linkage::Extern => of_extern(),
                _ => var.section.and_then(of_section),
            };
        }
        let funcs =
            (0u32..).zip(&self.funcs).filter_map(|(i, f)| Some((f.symbol?, Described::Func(i))));
        let vars =
            (0u32..).zip(&self.vars).filter_map(|(i, v)| Some((v.symbol?, Described::Var(i))));
        let mut described = HashMap::default();
        for (symbol, what) in funcs.chain(vars) {
            described.entry(symbol).or_insert(what);
        }
        self.described = described;
    }

    /// Cuts code at functions and `.maps` at definitions.
    pub(crate) fn cut(&mut self, object: &Object) {
        let mut starts: Vec<Vec<(u64, u32)>> = vec![Vec::new(); self.sections.len()];
        let mut has_functions = vec![false; self.sections.len()];
        for symbol in &self.symbols {
            if symbol.kind == elf::STT_FUNC
                && let Some(flag) = symbol.section.and_then(|s| has_functions.get_mut(s as usize))
            {
                *flag = true;
            }
        }
        for (at, symbol) in (0u32..).zip(&self.symbols) {
            let Some(index) = symbol.section.map(|s| s as usize) else { continue };
            let Some(section) = self.sections.get(index) else { continue };
            let begins = match section.role {
                // Where a section has no functions, its global labels count.
                Role::Text | Role::Entries if has_functions.get(index) == Some(&true) => {
                    symbol.kind == elf::STT_FUNC
                }
                Role::Text | Role::Entries => symbol.kind == elf::STT_NOTYPE && !symbol.is_local(),
                Role::Maps => symbol.kind == elf::STT_OBJECT,
                _ => false,
            };
            if begins
                && symbol.value < section.size
                && let Some(starts) = starts.get_mut(index)
            {
                starts.push((symbol.value, at));
            }
        }
        let programs: HashMap<(usize, u64), &ProgramSpec> = object
            .functions
            .iter()
            .filter_map(|f| Some(((f.section_index, f.offset), f.program.as_ref()?)))
            .collect();
        for (index, (section, mut starts)) in self.sections.iter_mut().zip(starts).enumerate() {
            if starts.is_empty() {
                continue;
            }
            starts.sort_unstable();
            let mut chunks: Vec<Chunk> = Vec::with_capacity(starts.len());
            let chunk = |start| Chunk {
                start,
                end: section.size,
                symbols: Vec::new(),
                program: programs.get(&(index, start)).map(|&spec| spec.clone()),
                is_static: false,
            };
            if starts.first().is_some_and(|&(start, _)| start > 0) {
                chunks.push(chunk(0));
            }
            for (start, symbol) in starts {
                match chunks.last_mut() {
                    Some(last) if last.start == start => last.symbols.push(symbol),
                    last => {
                        if let Some(last) = last {
                            last.end = start;
                        }
                        let mut new = chunk(start);
                        new.symbols.push(symbol);
                        chunks.push(new);
                    }
                }
            }
            for chunk in &mut chunks {
                let local = |&s: &u32| self.symbols.get(s as usize).is_some_and(Symbol::is_local);
                chunk.is_static = !chunk.symbols.is_empty() && chunk.symbols.iter().all(local);
            }
            section.chunks = chunks;
        }
    }
}

/// The place in a list that the next one gets.
fn count<T>(list: &[T]) -> u32 {
    // Lists of what a 4 GiB file holds.
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
