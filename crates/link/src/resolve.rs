//! From names to functions: the instances of a link, explicit bindings, resolution by name.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bpfweld_btf::{Endian, Kind, Linkage as BtfLinkage, TypeId, compat, order};
use bpfweld_object::{
    DataId, Extern, ExternId, ExternKind, FuncId, Function, Linkage, MapId, Object, RelocTarget,
};
use foldhash::{HashMap, HashSet};

use crate::error::{FunctionRef, LinkError, Site, SourceLine, UnresolvedExtern};
use crate::image::{Binding, InstanceId, Origin};
use crate::maps::Key;

/// Maps of an instance that is loaded already, by name (data sections by section name, the kconfig
/// map as `.kconfig`).
pub type ExistingMaps = std::collections::HashMap<String, Arc<OwnedFd>>;

/// One use of an object in a link.
#[derive(Debug, Clone)]
pub struct Instance {
    /// What messages and pins call it.
    pub label: String,
    /// The object.
    pub object: Arc<Object>,
    /// Set for an instance that is loaded already: its maps.
    pub existing: Option<ExistingMaps>,
}

impl Instance {
    pub(crate) fn function(&self, id: FuncId) -> Option<&Function> {
        self.object.functions.get(id.index())
    }

    pub(crate) fn extern_(&self, id: ExternId) -> Option<&Extern> {
        self.object.externs.get(id.index())
    }

    pub(crate) fn function_ref(&self, id: FuncId) -> FunctionRef {
        let name = self.function(id).map_or("?", |f| &f.name);
        FunctionRef { instance: self.label.clone(), function: name.to_owned() }
    }

    /// Names of the entry programs.
    pub fn entry_names(&self) -> Vec<String> {
        self.entries().map(|(_, f)| f.name.clone()).collect()
    }

    fn entries(&self) -> impl Iterator<Item = (FuncId, &Function)> {
        self.functions().filter(|(_, f)| f.program.is_some())
    }

    fn functions(&self) -> impl Iterator<Item = (FuncId, &Function)> {
        (0..).map(FuncId).zip(&self.object.functions)
    }

    /// A function by name. A name may be there twice (statics of two files that libbpf's linker
    /// joined): the visible one is meant.
    fn find(&self, name: &str) -> Option<(FuncId, &Function)> {
        let named = || self.functions().filter(|(_, f)| f.name == name);
        named().find(|(_, f)| visible(f)).or_else(|| named().next())
    }

    /// What the instruction was made from, as far as the object tells.
    pub(crate) fn site(&self, function: &Function, insn: u32) -> Site {
        let name = FunctionRef { instance: self.label.clone(), function: function.name.clone() };
        let line = function.lines.iter().rev().find(|l| l.insn <= insn);
        let source = line.zip(self.object.btf.as_ref()).map(|(line, btf)| {
            let text = |off| String::from_utf8_lossy(btf.bytes_at(off).unwrap_or(&[])).into_owned();
            SourceLine {
                file: text(line.file_off),
                line: line.line(),
                column: line.column(),
                text: text(line.line_off),
            }
        });
        Site { function: name, insn, source }
    }

    /// The extern as a C declaration, where BTF tells.
    pub(crate) fn declaration(&self, ext: &Extern) -> Option<String> {
        let btf = self.object.btf.as_ref()?;
        Some(btf.c_declaration(ext.type_id?, &ext.name))
    }
}

/// Visible outside its object? A static entry program is: nothing else could ever run it.
fn visible(f: &Function) -> bool {
    matches!(f.linkage, Linkage::Global | Linkage::Weak) || f.program.is_some()
}

/// What was bound explicitly to which function.
pub(crate) type Bindings = BTreeMap<(InstanceId, ExternId), (InstanceId, FuncId)>;

/// A link that is being put together: instances and bindings.
///
/// Next phase: [`Link::link`].
#[derive(Debug, Clone, Default)]
pub struct Link {
    instances: Vec<Instance>,
    bindings: Bindings,
    wishes: Wishes,
}

/// What the caller wants otherwise than the objects say.
#[derive(Debug, Clone, Default)]
struct Wishes {
    /// Maps to be made or not.
    autocreate: BTreeMap<(InstanceId, Key), bool>,
    /// Entry programs to be loaded or not.
    autoload: BTreeMap<(InstanceId, FuncId), bool>,
}

impl Link {
    /// An empty link.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a use of an object. The label is what messages, bindings and pins call it.
    pub fn add(
        &mut self,
        label: &str,
        object: impl Into<Arc<Object>>,
    ) -> Result<InstanceId, LinkError> {
        self.push(Instance { label: label.into(), object: object.into(), existing: None })
    }

    /// Adds an instance that is loaded already: code linked from it uses the maps that exist.
    pub fn add_existing(
        &mut self,
        label: &str,
        object: Arc<Object>,
        maps: ExistingMaps,
    ) -> Result<InstanceId, LinkError> {
        self.push(Instance { label: label.into(), object, existing: Some(maps) })
    }

    /// Adds an instance of an earlier link that is loaded, with those that its externs are bound to.
    /// Code linked from them uses the maps that exist; `maps` gives those of each instance.
    ///
    /// The instance gets the label; those that come with it are called `label/` and their old label.
    pub fn add_loaded(
        &mut self,
        label: &str,
        origin: &Origin,
        instance: InstanceId,
        maps: impl Fn(InstanceId) -> ExistingMaps,
    ) -> Result<InstanceId, LinkError> {
        let mut new_ids: BTreeMap<InstanceId, InstanceId> = BTreeMap::new();
        let mut wanted = vec![instance];
        while let Some(old) = wanted.pop() {
            if new_ids.contains_key(&old) {
                continue;
            }
            let from = get(&origin.instances, old)?;
            let label = match old == instance {
                true => label.to_owned(),
                false => format!("{label}/{}", from.label),
            };
            new_ids.insert(old, self.add_existing(&label, from.object.clone(), maps(old))?);
            wanted.extend(origin.bindings.iter().filter(|b| b.from == old).map(|b| b.to));
        }
        for binding in &origin.bindings {
            if let (Some(&from), Some(&to)) = (new_ids.get(&binding.from), new_ids.get(&binding.to))
            {
                self.bindings.insert((from, binding.id), (to, binding.function));
            }
        }
        new_ids.get(&instance).copied().ok_or(LinkError::ForeignInstance(instance.0))
    }

    fn push(&mut self, instance: Instance) -> Result<InstanceId, LinkError> {
        if self.instances.iter().any(|i| i.label == instance.label) {
            return Err(LinkError::DuplicateLabel(instance.label));
        }
        if instance.object.endian != Endian::Little {
            return Err(LinkError::BigEndian(instance.label));
        }
        // From here on, nothing looks whether the object is sound.
        instance.object.check()?;
        self.instances.push(instance);
        Ok(InstanceId(self.instances.len() as u32 - 1))
    }

    /// The instances, in the order in which they were added.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The label of an instance whose object carries CO-RE records, if there is one:
    /// [`LinkOptions::core_targets`] has to be set then.
    pub fn core_object(&self) -> Option<&str> {
        let carries = |i: &&Instance| i.object.functions.iter().any(|f| !f.core_relocs.is_empty());
        self.instances.iter().find(carries).map(|i| i.label.as_str())
    }

    /// Says which function stands behind an extern.
    ///
    /// Without a function name: the target's only entry program, else its function of the extern's
    /// own name.
    pub fn bind(
        &mut self,
        from: InstanceId,
        extern_name: &str,
        to: InstanceId,
        function: Option<&str>,
    ) -> Result<(), LinkError> {
        let caller = get(&self.instances, from)?;
        let target = get(&self.instances, to)?;
        let ext = find_extern(caller, extern_name)?;
        let func = match function {
            Some(name) => find_target(target, name)?,
            None => default_target(target, extern_name)?,
        };
        let new = (to, func);
        match self.bindings.insert((from, ext), new) {
            Some(old) if old != new => Err(LinkError::BoundTwice {
                instance: caller.label.clone(),
                name: extern_name.into(),
                first: get(&self.instances, old.0)?.function_ref(old.1),
                second: target.function_ref(func),
            }),
            _ => Ok(()),
        }
    }

    /// Says whether a map is made: a map, a struct_ops table, or variables by their section's name.
    /// What refers to one that is not made is replaced by an instruction that the verifier refuses
    /// where it comes by; slots that would hold it stay empty.
    ///
    /// Without a word, all are made that code refers to, but for tables of sections that begin with
    /// `?`.
    pub fn set_autocreate(
        &mut self,
        instance: InstanceId,
        map: &str,
        wanted: bool,
    ) -> Result<(), LinkError> {
        let at = get(&self.instances, instance)?;
        let key = Key::of(&at.object, map).ok_or_else(|| LinkError::UnknownMap {
            instance: at.label.clone(),
            name: map.into(),
            nearest: nearest(map, Key::names(&at.object)),
        })?;
        self.wishes.autocreate.insert((instance, key), wanted);
        Ok(())
    }

    /// Says whether an entry program is among [`Linked::entries`] and in the slots and tables that name
    /// it.
    ///
    /// Without a word, those of sections that begin with `?` are not, and those of struct_ops tables
    /// with their tables.
    pub fn set_autoload(
        &mut self,
        instance: InstanceId,
        program: &str,
        wanted: bool,
    ) -> Result<(), LinkError> {
        let at = get(&self.instances, instance)?;
        let entry = named_entry(at, program)?;
        self.wishes.autoload.insert((instance, entry), wanted);
        Ok(())
    }

    /// Resolves every extern of every instance. What is missing or ambiguous is an error only where
    /// an image comes to need it, see [`Linked::images`].
    pub fn link(self, options: &LinkOptions) -> Result<Linked, LinkError> {
        // Looked for by name is only what nobody bound.
        let exports = LazyCell::new(|| exports(&self.instances));
        let mut resolutions = Vec::with_capacity(self.instances.len());
        let mut warnings = Vec::new();
        for (at, instance) in (0..).map(InstanceId).zip(&self.instances) {
            let mut of_instance = Vec::with_capacity(instance.object.externs.len());
            for (id, ext) in (0..).map(ExternId).zip(&instance.object.externs) {
                of_instance.push(match self.bindings.get(&(at, id)) {
                    Some(&(to, func)) => {
                        let target = get(&self.instances, to)?;
                        check_types(instance, id, ext, target, func, &mut warnings)?;
                        Resolution::Function(to, func)
                    }
                    None => by_name(ext, &exports),
                });
            }
            resolutions.push(of_instance);
        }
        let options = options.clone();
        let wishes = self.wishes;
        let (instances, bindings) = (self.instances.into(), self.bindings);
        Ok(Linked { instances, bindings, resolutions, warnings, options, wishes })
    }
}

/// How to link.
#[derive(Debug, Clone, Default)]
pub struct LinkOptions {
    /// All linked functions go in as static ones: verified along every path that calls them.
    pub static_functions: bool,
    /// BTF of the kernel to relocate CO-RE accesses against.
    pub core_targets: Option<Arc<crate::core_reloc::Targets>>,
}

/// What stands behind an extern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// A function of an instance.
    Function(InstanceId, FuncId),
    /// A map of an instance.
    Map(InstanceId, MapId),
    /// A variable of an instance: its section and its place in the section's list.
    Variable(InstanceId, DataId, usize),
    /// Nothing, and that is allowed.
    Absent,
    /// Nothing, and that is an error.
    Unresolved,
    /// Two strong definitions, in these instances.
    Ambiguous(InstanceId, InstanceId),
    /// The backend resolves it: kconfig values, kernel symbols, kernel functions.
    Backend,
}

/// A resolved link.
///
/// Invariants: every instance has one resolution per extern; ids in resolutions are valid; explicit
/// bindings agree in type. Next phase: [`Linked::images`].
#[derive(Debug, Clone)]
pub struct Linked {
    pub(crate) instances: Arc<[Instance]>,
    pub(crate) bindings: Bindings,
    pub(crate) resolutions: Vec<Vec<Resolution>>,
    pub(crate) warnings: Vec<String>,
    pub(crate) options: LinkOptions,
    wishes: Wishes,
}

impl Linked {
    /// The instances, by id.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The entry program of an instance: the one of that name, or its only one.
    pub fn entry(&self, instance: InstanceId, name: Option<&str>) -> Result<Entry, LinkError> {
        let at = get(&self.instances, instance)?;
        let function = match name {
            Some(name) => named_entry(at, name)?,
            None => only_entry(at)?,
        };
        Ok(Entry { instance, function })
    }

    /// All entry programs of an instance that are loaded unless asked not to.
    pub fn entries(&self, instance: InstanceId) -> Result<Vec<Entry>, LinkError> {
        let at = get(&self.instances, instance)?;
        let wanted = at.entries().filter(|(id, _)| self.loads(instance, *id));
        let entries: Vec<_> = wanted.map(|(function, _)| Entry { instance, function }).collect();
        match entries.is_empty() {
            true => Err(LinkError::NoEntry { instance: at.label.clone() }),
            false => Ok(entries),
        }
    }

    /// Is this entry program loaded without being asked for?
    fn loads(&self, instance: InstanceId, function: FuncId) -> bool {
        let Some(at) = self.instances.get(instance.index()) else { return false };
        let Some(spec) = at.function(function).and_then(|f| f.program.as_ref()) else {
            return false;
        };
        if let Some(wish) = self.loads_by_wish(instance, function) {
            return wish;
        }
        // What is in tables goes by these.
        let tables = (0..).zip(&at.object.struct_ops);
        let mut of = tables.filter(|(_, t)| t.functions.iter().any(|(_, f)| *f == function));
        match of.next() {
            Some(first) => std::iter::once(first)
                .chain(of)
                .any(|(t, _)| self.makes(instance, Key::StructOps(t))),
            None => spec.autoload,
        }
    }

    /// What the caller said of it.
    pub(crate) fn loads_by_wish(&self, instance: InstanceId, function: FuncId) -> Option<bool> {
        self.wishes.autoload.get(&(instance, function)).copied()
    }

    /// Is this map made when something refers to it?
    pub(crate) fn makes(&self, instance: InstanceId, key: Key) -> bool {
        let by_itself = || match key {
            Key::StructOps(at) => {
                let instance = self.instances.get(instance.index());
                instance.and_then(|i| i.object.struct_ops.get(at)).is_some_and(|t| t.autocreate)
            }
            _ => true,
        };
        self.wishes.autocreate.get(&(instance, key)).copied().unwrap_or_else(by_itself)
    }

    /// The instances and their function bindings, explicit and by name.
    pub fn origin(&self) -> Origin {
        let mut bindings = Vec::new();
        for (from, resolutions) in (0..).map(InstanceId).zip(&self.resolutions) {
            for (id, resolution) in (0..).map(ExternId).zip(resolutions) {
                if let &Resolution::Function(to, function) = resolution {
                    bindings.push(Binding { from, id, to, function });
                }
            }
        }
        Origin { instances: self.instances.clone(), bindings }
    }

    pub(crate) fn resolution(&self, at: InstanceId, id: ExternId) -> Option<&Resolution> {
        self.resolutions.get(at.index())?.get(id.index())
    }

    /// Describes an unresolved extern: where it is called from, what is on offer.
    pub(crate) fn unresolved(&self, at: InstanceId, id: ExternId) -> Option<UnresolvedExtern> {
        let instance = self.instances.get(at.index())?;
        let ext = instance.extern_(id)?;
        let mut sites = Vec::new();
        for f in &instance.object.functions {
            let refers = |r: &&bpfweld_object::Reloc| match r.target {
                RelocTarget::CallExtern(e) | RelocTarget::ExternAddr { id: e, .. } => e == id,
                _ => false,
            };
            sites.extend(f.relocs.iter().filter(refers).map(|r| instance.site(f, r.insn)));
        }
        let mut offered: Vec<(f64, FunctionRef)> = Vec::new();
        for (other_at, other) in (0..).map(InstanceId).zip(&*self.instances) {
            for (func, f) in other.functions().filter(|(_, f)| other_at != at && visible(f)) {
                let likeness = strsim::jaro_winkler(&ext.name, &f.name);
                if likeness > 0.75 || f.program.is_some() {
                    offered.push((likeness, other.function_ref(func)));
                }
            }
        }
        order::sort_by(&mut offered, |a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        offered.truncate(5);
        Some(UnresolvedExtern {
            instance: instance.label.clone(),
            name: ext.name.clone(),
            kind: kind_name(ext.kind),
            declaration: instance.declaration(ext),
            sites,
            nearest: offered.into_iter().map(|(_, f)| f).collect(),
        })
    }
}

/// An entry program of an instance, found by [`Linked::entry`] or [`Linked::entries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    pub(crate) instance: InstanceId,
    pub(crate) function: FuncId,
}

impl Entry {
    /// The instance that it is in.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The function.
    pub fn function(&self) -> FuncId {
        self.function
    }
}

pub(crate) fn get(instances: &[Instance], id: InstanceId) -> Result<&Instance, LinkError> {
    instances.get(id.index()).ok_or(LinkError::ForeignInstance(id.0))
}

pub(crate) fn kind_name(kind: ExternKind) -> &'static str {
    match kind {
        ExternKind::Function => "function",
        ExternKind::Map => "map",
        ExternKind::Variable => "variable",
        ExternKind::Kconfig(_) => "kconfig value",
        ExternKind::TypedKsym | ExternKind::TypelessKsym => "kernel symbol",
        ExternKind::KernelFunction => "kernel function",
    }
}

fn find_extern(caller: &Instance, name: &str) -> Result<ExternId, LinkError> {
    let found = (0..).map(ExternId).zip(&caller.object.externs).find(|(_, e)| e.name == name);
    let instance = caller.label.clone();
    match found {
        Some((id, e)) if matches!(e.kind, ExternKind::Function | ExternKind::KernelFunction) => {
            Ok(id)
        }
        Some((_, e)) => {
            Err(LinkError::NotAFunction { instance, name: name.into(), kind: kind_name(e.kind) })
        }
        None => {
            let functions = caller.object.externs.iter().filter(|e| e.kind == ExternKind::Function);
            Err(LinkError::UnknownExtern {
                instance,
                name: name.into(),
                defined: caller.find(name).is_some(),
                nearest: nearest(name, functions.map(|e| e.name.clone()).collect()),
            })
        }
    }
}

/// A binding that names a function may name any: static ones too. Only names that are *looked for*
/// stop at an object's border.
fn find_target(target: &Instance, name: &str) -> Result<FuncId, LinkError> {
    target.find(name).map(|(id, _)| id).ok_or_else(|| LinkError::UnknownFunction {
        instance: target.label.clone(),
        function: name.into(),
        nearest: nearest(name, target.functions().map(|(_, f)| f.name.clone()).collect()),
    })
}

fn default_target(target: &Instance, extern_name: &str) -> Result<FuncId, LinkError> {
    if let Ok(only) = only_entry(target) {
        return Ok(only);
    }
    find_target(target, extern_name).map_err(|e| match e {
        LinkError::UnknownFunction { instance, .. } => LinkError::NoDefaultTarget {
            instance,
            name: extern_name.into(),
            entries: target.entry_names(),
        },
        other => other,
    })
}

fn named_entry(at: &Instance, name: &str) -> Result<FuncId, LinkError> {
    let found = at.entries().find(|(_, f)| f.name == name);
    found.map(|(id, _)| id).ok_or_else(|| LinkError::UnknownEntry {
        instance: at.label.clone(),
        name: name.into(),
        nearest: nearest(name, at.entry_names()),
    })
}

fn only_entry(at: &Instance) -> Result<FuncId, LinkError> {
    let mut entries = at.entries();
    match (entries.next(), entries.next()) {
        (Some((id, _)), None) => Ok(id),
        (None, _) => Err(LinkError::NoEntry { instance: at.label.clone() }),
        (Some(_), Some(_)) => {
            Err(LinkError::SeveralEntries { instance: at.label.clone(), entries: at.entry_names() })
        }
    }
}

/// The candidates, those of a like name first, at most eight.
fn nearest(name: &str, mut candidates: Vec<String>) -> Vec<String> {
    let likeness = |c: &String| strsim::jaro_winkler(name, c);
    order::sort_by(&mut candidates, |a, b| {
        likeness(b).total_cmp(&likeness(a)).then_with(|| a.cmp(b))
    });
    candidates.truncate(8);
    candidates
}

/// What is visible outside its object, by name, in the order of the instances.
#[derive(Default)]
struct Exports<'a> {
    strong: HashMap<&'a str, Vec<(InstanceId, FuncId)>>,
    weak: HashMap<&'a str, (InstanceId, FuncId)>,
    maps: HashMap<&'a str, Vec<(InstanceId, MapId)>>,
    variables: HashMap<&'a str, Vec<(InstanceId, DataId, usize)>>,
}

fn exports(instances: &[Instance]) -> Exports<'_> {
    let mut exports = Exports::default();
    for (at, instance) in (0..).map(InstanceId).zip(instances) {
        for (id, f) in instance.functions() {
            match f.linkage {
                Linkage::Global => {
                    exports.strong.entry(f.name.as_str()).or_default().push((at, id));
                }
                Linkage::Weak => {
                    exports.weak.entry(f.name.as_str()).or_insert((at, id));
                }
                Linkage::Static | Linkage::Hidden => {}
            }
        }
        // Variables and maps are told global from static by BTF.
        let Some(btf) = instance.object.btf.as_deref() else { continue };
        let global =
            |id| btf.ty(id).kind() == Kind::Var && btf.ty(id).linkage() == BtfLinkage::Global;
        let section = btf.find(Kind::Datasec, ".maps");
        let vars = section.iter().flat_map(|s| s.section_vars()).filter(|v| global(v.type_id));
        let names: HashSet<&str> = vars.map(|v| btf.ty(v.type_id).name()).collect();
        for (id, map) in (0..).map(MapId).zip(&instance.object.maps) {
            if names.contains(map.name.as_str()) {
                exports.maps.entry(map.name.as_str()).or_default().push((at, id));
            }
        }
        for (id, data) in (0..).map(DataId).zip(&instance.object.data) {
            for (i, var) in data.vars.iter().enumerate().filter(|(_, v)| global(v.type_id)) {
                let name = btf.ty(var.type_id).name();
                exports.variables.entry(name).or_default().push((at, id, i));
            }
        }
    }
    exports
}

fn by_name<'a>(ext: &Extern, exports: &impl Deref<Target = Exports<'a>>) -> Resolution {
    let missing = || if ext.weak { Resolution::Absent } else { Resolution::Unresolved };
    let name = ext.name.as_str();
    match ext.kind {
        ExternKind::Function => match exports.strong.get(name).map_or(&[][..], Vec::as_slice) {
            &[(first, _), (second, _), ..] => Resolution::Ambiguous(first, second),
            &[(i, f)] => Resolution::Function(i, f),
            [] => match exports.weak.get(name) {
                Some(&(i, f)) => Resolution::Function(i, f),
                None => missing(),
            },
        },
        ExternKind::Map => match exports.maps.get(name).map_or(&[][..], Vec::as_slice) {
            &[(first, _), (second, _), ..] => Resolution::Ambiguous(first, second),
            &[(i, map)] => Resolution::Map(i, map),
            [] => missing(),
        },
        ExternKind::Variable => match exports.variables.get(name).map_or(&[][..], Vec::as_slice) {
            &[(first, ..), (second, ..), ..] => Resolution::Ambiguous(first, second),
            &[(i, data, var)] => Resolution::Variable(i, data, var),
            [] => missing(),
        },
        _ => Resolution::Backend,
    }
}

/// Do an extern variable or map and what stands behind it agree?
pub(crate) fn check_data(
    caller: &Instance,
    ext: &Extern,
    target: &Instance,
    found: TypeId,
) -> Result<(), LinkError> {
    let wanted = caller.object.btf.as_deref().zip(ext.btf);
    let (Some(wanted), Some(found_btf)) = (wanted, target.object.btf.as_deref()) else {
        return Ok(());
    };
    compat::check_variable(wanted, (found_btf, found)).map_err(|mismatch| LinkError::Mismatch {
        instance: caller.label.clone(),
        name: ext.name.clone(),
        target: FunctionRef { instance: target.label.clone(), function: ext.name.clone() },
        wanted: wanted.0.c_declaration(wanted.1, &ext.name),
        found: found_btf.c_declaration(found, &ext.name),
        reason: mismatch.to_string(),
        site: None,
    })
}

/// Do extern and target agree in type? One side without BTF: a warning.
pub(crate) fn check_types(
    caller: &Instance,
    id: ExternId,
    ext: &Extern,
    target: &Instance,
    func: FuncId,
    warnings: &mut Vec<String>,
) -> Result<(), LinkError> {
    let wanted = caller.object.btf.as_ref().zip(ext.type_id);
    let function = target.function(func);
    let found = target.object.btf.as_ref().zip(function.and_then(|f| f.btf_func));
    let (Some((wanted_btf, wanted)), Some((found_btf, found))) = (wanted, found) else {
        let missing = if wanted.is_none() { &caller.label } else { &target.label };
        let to = target.function_ref(func);
        let note = format!(
            "{missing} has no BTF: the type of extern `{}` of {} was not checked against {to}",
            ext.name, caller.label
        );
        if !warnings.contains(&note) {
            warnings.push(note);
        }
        return Ok(());
    };
    let found = found_btf.ty(found).type_id();
    compat::check_prototype((wanted_btf, wanted), (found_btf, found)).map_err(|mismatch| {
        let name = function.map_or("", |f| &f.name);
        let uses = |r: &&bpfweld_object::Reloc| r.target == RelocTarget::CallExtern(id);
        let calls = caller.object.functions.iter();
        let site = calls.flat_map(|f| f.relocs.iter().filter(uses).map(move |r| (f, r))).next();
        LinkError::Mismatch {
            instance: caller.label.clone(),
            name: ext.name.clone(),
            target: target.function_ref(func),
            wanted: wanted_btf.c_declaration(wanted, &ext.name),
            found: found_btf.c_declaration(found, name),
            reason: mismatch.to_string(),
            site: site.map(|(f, r)| Box::new(caller.site(f, r.insn))),
        }
    })
}
