//! From a resolved link to images: reachable functions in one stream, references patched, types and
//! line info merged. [`Linked::images`] is the linker's pipeline and reads like one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bpfweld_btf::{Kind, order};
use bpfweld_insn::{CALL, Insn, LD_IMM64, pseudo};
use bpfweld_object::{ExternId, ExternKind, Function, RelocTarget};

use crate::core_reloc::{Applied, CoreError, Relocator, set_immediate};
use crate::error::{LinkError, Site};
use crate::image::{
    Image, ImageFunction, ImageLine, ImageReloc, ImageSet, ImageTarget, InstanceId, KernelRef,
    MapIndex, Missing, Poisoned,
};
use crate::maps::{MapTable, Reached, map_of, reach};
use crate::plan::{EdgeKind, Plan};
use crate::program::{merge_licences, merge_specs};
use crate::resolve::{Entry, Instance, Linked, Resolution, check_data, get};
use crate::tail_calls::TailCalls;
use crate::types::Types;

/// The kernel's limit on maps of one program (`MAX_USED_MAPS`, linux/bpf_verifier.h).
const MAX_MAPS: usize = 64;
/// The kernel's limit on instructions that the verifier looks at; no longer program can pass.
const MAX_INSNS: usize = 1_000_000;
/// `BPF_MAP_TYPE_ARENA`.
const ARENA: u32 = 33;

/// Helper number in the call of a weak extern that stayed unresolved, plus the extern's number. No
/// helper has such a number: a path that reaches the call is refused by the verifier, one that it
/// prunes (`if (f)` with `f` = 0) is not looked at.
pub const POISONED_CALL: i32 = 0x0bad_0000;
/// The same in the place of a map that is not made.
pub const POISONED_MAP: i32 = 0x0bae_0000;

impl Linked {
    /// Lays out the images of some entry programs. They share maps and BTF.
    ///
    /// Pipeline, with what holds after each step:
    pub fn images(&self, entries: &[Entry]) -> Result<ImageSet, LinkError> {
        let mut warnings = self.warnings.clone();
        // Every function that an entry needs is in its plan, externs have targets of their type,
        // calls are free of cycles. Programs that prog arrays name have plans too.
        let (plans, reached) = plan_all(self, entries, &mut warnings)?;
        // Every map that the code refers to, and what such a map holds, has its place in the table.
        let mut types = Types::new(self);
        let maps = MapTable::new(self, &plans, &reached, &mut types)?;
        // One stream per program; what is left to patch is listed.
        let mut images = Vec::with_capacity(plans.len());
        let mut relocators = Relocators::new();
        for (_, plan) in &plans {
            let emitter =
                Emitter::new(self, plan, &maps, &mut types, &mut relocators, &mut warnings)?;
            images.push(emitter.emit()?);
        }
        // Types and strings of all images and maps, each once.
        let btf = types.finish()?;
        let maps = maps.into_maps();
        let mut seen = BTreeSet::new();
        warnings.retain(|w| seen.insert(w.clone()));
        let origin = Arc::new(self.origin());
        let set = ImageSet { maps, btf, images, entries: entries.len(), warnings, origin };
        debug_assert_eq!(crate::read_back::check(&set), Ok(()));
        Ok(set)
    }
}

/// Plans of the entries asked for, then of those that slots of prog arrays name; and the maps that all
/// of them refer to.
fn plan_all(
    linked: &Linked,
    entries: &[Entry],
    warnings: &mut Vec<String>,
) -> Result<(Vec<(Entry, Plan)>, Reached), LinkError> {
    let mut plans: Vec<(Entry, Plan)> = Vec::new();
    let mut reached = Reached::new();
    let mut wanted: VecDeque<Entry> = entries.iter().copied().collect();
    let mut asked_for = entries.len();
    while let Some(entry) = wanted.pop_front() {
        get(&linked.instances, entry.instance)?;
        // One asked for twice is made twice; one that a slot names is there once.
        if asked_for == 0 && plans.iter().any(|(e, _)| *e == entry) {
            continue;
        }
        asked_for = asked_for.saturating_sub(1);
        let plan = Plan::new(linked, entry, warnings)?;
        wanted.extend(reach(linked, &plan, &mut reached));
        plans.push((entry, plan));
    }
    Ok((plans, reached))
}

/// CO-RE relocators by instance: what one found out about an object's types serves all its functions.
type Relocators<'l> = BTreeMap<InstanceId, Relocator<'l>>;

/// Makes one image of a plan.
struct Emitter<'a, 'l> {
    linked: &'l Linked,
    plan: &'a Plan,
    maps: &'a MapTable,
    types: &'a mut Types<'l>,
    relocators: &'a mut Relocators<'l>,
    warnings: &'a mut Vec<String>,
    /// Start of each function of the plan, in slots.
    starts: Vec<u32>,
    image: Image,
}

impl<'a, 'l> Emitter<'a, 'l> {
    fn new(
        linked: &'l Linked,
        plan: &'a Plan,
        maps: &'a MapTable,
        types: &'a mut Types<'l>,
        relocators: &'a mut Relocators<'l>,
        warnings: &'a mut Vec<String>,
    ) -> Result<Self, LinkError> {
        let program = merge_specs(linked, plan, warnings)?;
        let license = merge_licences(linked, plan)?;
        let (instance, function) = parts(linked, plan, 0)?;
        let mut starts = Vec::with_capacity(plan.functions.len());
        let (mut end, mut relocs) = (0usize, 0);
        for i in 0..plan.functions.len() {
            let function = parts(linked, plan, i)?.1;
            starts.push(end as u32);
            end += function.insns.len();
            // References to code are among them, which need no entry.
            relocs += function.relocs.len().saturating_sub(plan.functions[i].edges.len());
            if end > MAX_INSNS {
                let entry = plan.name(linked, 0);
                return Err(LinkError::TooLong { entry, limit: MAX_INSNS });
            }
        }
        let image = Image {
            name: function.name.clone(),
            instance: instance.label.clone(),
            section: function.section.to_string(),
            program,
            license,
            kernel_version: instance.object.kernel_version,
            insns: Vec::with_capacity(end),
            functions: Vec::with_capacity(plan.functions.len()),
            relocs: Vec::with_capacity(relocs),
            lines: Vec::new(),
            poisoned: Vec::new(),
            jump_tables: Vec::new(),
        };
        Ok(Self { linked, plan, maps, types, relocators, warnings, starts, image })
    }

    fn emit(mut self) -> Result<Image, LinkError> {
        let tail_calls = TailCalls::new(self.linked, self.plan);
        self.warnings.extend(crate::stack::check(self.linked, self.plan, &tail_calls));
        for i in 0..self.plan.functions.len() {
            self.function(i, &tail_calls)?;
        }
        order::sort_by_key(&mut self.image.poisoned, |p| p.insn);
        self.lines()?;
        self.check_maps()?;
        Ok(self.image)
    }

    /// Copies a function behind those that are there and patches what is known by now.
    fn function(&mut self, i: usize, tail_calls: &TailCalls) -> Result<(), LinkError> {
        let planned = &self.plan.functions[i];
        let (instance, function) = parts(self.linked, self.plan, i)?;
        let start = self.starts[i];
        let linkage = self.types.function(self.plan, i, &self.image.program, tail_calls)?;
        if let Some(warning) = linkage.warning {
            self.warnings.push(warning);
        }
        self.image.functions.push(ImageFunction {
            name: function.name.clone(),
            origin: (planned.instance, planned.func),
            start,
            len: function.insns.len() as u32,
            type_id: linkage.type_id,
            global: linkage.global,
        });
        self.image.insns.extend_from_slice(&function.insns);
        // A program has at most a million instructions, and tables are counted with its maps.
        let first_table = self.image.jump_tables.len() as u32;
        let moved = |table: &Vec<u32>| table.iter().map(|slot| start + slot).collect();
        self.image.jump_tables.extend(function.jump_tables.iter().map(moved));
        if !function.core_relocs.is_empty() {
            self.core_relocs(planned.instance, function, start)?;
        }
        let mut edges = planned.edges.iter().peekable();
        for (reloc_index, reloc) in function.relocs.iter().enumerate() {
            let at = start + reloc.insn;
            let target = match edges.next_if(|e| e.reloc == reloc_index) {
                Some(edge) => {
                    if let EdgeKind::PoisonedCall(id) = edge.kind {
                        let name = instance.extern_(id).map_or("?", |e| &e.name);
                        let site = instance.site(function, reloc.insn);
                        let reason = format!(
                            "{site} calls the weak extern `{name}`, which is unresolved, without \
                             asking first whether it is there"
                        );
                        let missing = Missing::Function;
                        self.image.poisoned.push(Poisoned { insn: at, missing, reason });
                    }
                    self.patch_code(edge.kind, at);
                    continue;
                }
                None => reloc.target,
            };
            if let Some((of, key)) = map_of(self.linked, planned.instance, &target)
                && !self.linked.makes(of, key)
            {
                let map = key.name(&get(&self.linked.instances, of)?.object);
                self.poison_map(instance.site(function, reloc.insn), map, at);
                continue;
            }
            let target = match target {
                RelocTarget::Map(id) => {
                    self.maps.defined(planned.instance, id).map(ImageTarget::Map)
                }
                RelocTarget::Data { data, offset } => self
                    .maps
                    .data(planned.instance, data)
                    .map(|map| ImageTarget::MapValue { map, offset }),
                RelocTarget::Arena { map: Some(map), offset } => self
                    .maps
                    .defined(planned.instance, map)
                    .map(|map| ImageTarget::MapValue { map, offset }),
                RelocTarget::CallExtern(id) => {
                    let kernel = self.kernel_ref(planned.instance, instance, id, 0)?;
                    kernel.map(|(_, k)| ImageTarget::KernelFunction(k))
                }
                RelocTarget::ExternAddr { id, addend } => {
                    self.extern_address(planned.instance, instance, id, addend)?
                }
                RelocTarget::JumpTable { table } => {
                    Some(ImageTarget::JumpTable(first_table + table))
                }
                RelocTarget::Call(_)
                | RelocTarget::FuncAddr(_)
                | RelocTarget::Arena { map: None, .. } => None,
            };
            let target = target.ok_or_else(|| LinkError::BrokenReference {
                function: instance.function_ref(planned.func),
                insn: reloc.insn,
            })?;
            self.image.relocs.push(ImageReloc { insn: at, target });
        }
        Ok(())
    }

    /// Replaces the load of a map that is not made; a verifier that prunes the way to it does not
    /// mind.
    fn poison_map(&mut self, site: Site, map: &str, at: u32) {
        let reason = format!("{site} uses map `{map}`, which is switched off");
        // Both slots: the second of a load means nothing by itself.
        for at in [at, at + 1] {
            if let Some(slot) = self.image.insns.get_mut(at as usize) {
                *slot = Insn { code: CALL, imm: POISONED_MAP, ..Insn::default() };
                let (missing, reason) = (Missing::Map, reason.clone());
                self.image.poisoned.push(Poisoned { insn: at, missing, reason });
            }
        }
    }

    /// Patches a reference to code.
    fn patch_code(&mut self, kind: EdgeKind, at: u32) {
        // Distances count from the slot behind the instruction. Both are below MAX_INSNS.
        let distance = |to: usize| self.starts[to] as i32 - at as i32 - 1;
        let (first, second) = match kind {
            EdgeKind::Call(to) => (Insn::new(CALL, 0, pseudo::CALL, 0, distance(to)), None),
            EdgeKind::Address(to) => (self.load(at, pseudo::FUNC, distance(to)), Some(0)),
            // Any value but 0 says that the function is there.
            EdgeKind::Exists => (self.load(at, 0, 1), Some(0)),
            EdgeKind::Null => (self.load(at, 0, 0), Some(0)),
            EdgeKind::PoisonedCall(id) => {
                let imm = POISONED_CALL.wrapping_add((id.0 & 0xffff) as i32);
                (Insn { code: CALL, imm, ..Insn::default() }, None)
            }
        };
        let at = at as usize;
        if let Some(slot) = self.image.insns.get_mut(at) {
            *slot = first;
        }
        if let Some((slot, imm)) = self.image.insns.get_mut(at + 1).zip(second) {
            *slot = Insn { imm, ..Insn::default() };
        }
    }

    fn load(&self, at: u32, src: u8, imm: i32) -> Insn {
        let dst = self.image.insns.get(at as usize).map_or(0, |i| i.dst());
        Insn::new(LD_IMM64, dst, src, 0, imm)
    }

    fn extern_address(
        &mut self,
        instance_id: InstanceId,
        instance: &Instance,
        id: ExternId,
        addend: i32,
    ) -> Result<Option<ImageTarget>, LinkError> {
        if let Some((map, offset)) = self.maps.kconfig(instance_id, id) {
            let offset = offset.checked_add_signed(addend);
            return Ok(offset.map(|offset| ImageTarget::MapValue { map, offset }));
        }
        if let Some(target) = self.other_data(instance_id, instance, id, addend)? {
            return Ok(Some(target));
        }
        let kernel = self.kernel_ref(instance_id, instance, id, addend)?;
        Ok(kernel.and_then(|(kind, k)| match kind {
            ExternKind::TypedKsym => Some(ImageTarget::TypedKsym(k)),
            ExternKind::TypelessKsym => Some(ImageTarget::TypelessKsym(k)),
            ExternKind::KernelFunction => Some(ImageTarget::KernelFunctionAddr(k)),
            _ => None,
        }))
    }

    /// A map or variable of another instance.
    fn other_data(
        &self,
        instance_id: InstanceId,
        instance: &Instance,
        id: ExternId,
        addend: i32,
    ) -> Result<Option<ImageTarget>, LinkError> {
        let linked = self.linked;
        let Some(ext) = instance.extern_(id) else { return Ok(None) };
        match linked.resolution(instance_id, id) {
            Some(&Resolution::Map(to, map)) => {
                let target = get(&linked.instances, to)?;
                let var = target.object.btf.as_ref().and_then(|b| b.find(Kind::Var, &ext.name));
                if let Some(var) = var {
                    check_data(instance, ext, target, var.id())?;
                }
                Ok(self.maps.defined(to, map).map(ImageTarget::Map))
            }
            Some(&Resolution::Variable(to, data, var)) => {
                let target = get(&linked.instances, to)?;
                let section = target.object.data.get(data.index());
                let Some(var) = section.and_then(|s| s.vars.get(var)) else { return Ok(None) };
                check_data(instance, ext, target, var.type_id)?;
                let offset = var.offset.checked_add_signed(addend);
                let map = self.maps.data(to, data);
                Ok(map.zip(offset).map(|(map, offset)| ImageTarget::MapValue { map, offset }))
            }
            _ => Ok(None),
        }
    }

    fn kernel_ref(
        &mut self,
        instance_id: InstanceId,
        instance: &Instance,
        id: ExternId,
        addend: i32,
    ) -> Result<Option<(ExternKind, Box<KernelRef>)>, LinkError> {
        let Some(ext) = instance.extern_(id) else { return Ok(None) };
        let type_id = match ext.type_id {
            Some(type_id) => Some(self.types.import(instance_id, type_id)?),
            None => None,
        };
        let kernel = KernelRef {
            name: ext.name.clone(),
            weak: ext.weak,
            instance: instance.label.clone(),
            type_id,
            addend,
        };
        Ok(Some((ext.kind, Box::new(kernel))))
    }

    /// CO-RE relocations, on the copy of the function. Apart from what is done to all functions.
    #[inline(never)]
    fn core_relocs(
        &mut self,
        at: InstanceId,
        function: &Function,
        start: u32,
    ) -> Result<(), LinkError> {
        let linked = self.linked;
        let instance = get(&linked.instances, at)?;
        let Some(btf) = instance.object.btf.as_deref() else { return Ok(()) };
        let targets = linked.options.core_targets.as_deref();
        let relocator = self
            .relocators
            .entry(at)
            .or_insert_with(|| Relocator::new(&instance.object.name, btf, targets));
        let Some(insns) = self.image.insns.get_mut(start as usize..) else { return Ok(()) };
        for reloc in &function.core_relocs {
            let failed = |source| LinkError::Core {
                site: Box::new(instance.site(function, reloc.insn)),
                source,
            };
            let applied = relocator.apply(&function.name, reloc, insns).map_err(failed)?;
            if let Applied::Poisoned(_) = applied {
                let site = instance.site(function, reloc.insn);
                let reason = format!("{site}: {}", relocator.explain(reloc));
                let (insn, missing) = (start + reloc.insn, Missing::KernelType);
                self.image.poisoned.push(Poisoned { insn, missing, reason });
            }
            if let Applied::LocalTypeId(id) = applied {
                // A local type id means one in the BTF that the kernel gets: the merged one.
                let merged = self.types.import(at, id)?;
                let at = reloc.insn as usize;
                set_immediate(insns, at, merged.0.into()).map_err(|problem| {
                    failed(CoreError {
                        object: instance.object.name.clone(),
                        function: function.name.clone(),
                        insn: reloc.insn,
                        kind: reloc.kind,
                        subject: btf.ty(reloc.type_id).name().to_owned(),
                        problem: Box::new(problem),
                    })
                })?;
            }
        }
        Ok(())
    }

    /// Line info of all functions. The kernel wants a record at the start of each function if there
    /// are any at all; a function that has none gets one that names its object.
    fn lines(&mut self) -> Result<(), LinkError> {
        let functions = 0..self.plan.functions.len();
        let counts = functions.map(|i| Ok(parts(self.linked, self.plan, i)?.1.lines.len()));
        let count = counts.sum::<Result<usize, LinkError>>()?;
        if count == 0 {
            return Ok(());
        }
        // Nearly every function has one at its start.
        let mut lines: Vec<ImageLine> = Vec::with_capacity(count);
        for (i, planned) in self.plan.functions.iter().enumerate() {
            let (instance, function) = parts(self.linked, self.plan, i)?;
            let start = self.starts[i];
            let first = lines.len();
            self.types.lines(planned.instance, &function.lines, start, &mut lines)?;
            match lines.get(first).copied() {
                Some(line) if line.insn == start => {}
                Some(line) => lines.insert(first, ImageLine { insn: start, ..line }),
                None => {
                    let file_off = self.types.text(instance.object.name.as_bytes());
                    let text = format!("{}: no line info", function.name);
                    let line_off = self.types.text(text.as_bytes());
                    lines.push(ImageLine { insn: start, file_off, line_off, line_col: 0 });
                }
            }
        }
        self.image.lines = lines;
        Ok(())
    }

    /// The kernel's limits on maps.
    fn check_maps(&self) -> Result<(), LinkError> {
        let mut used: BTreeSet<MapIndex> = BTreeSet::new();
        for reloc in &self.image.relocs {
            if let ImageTarget::Map(map) | ImageTarget::MapValue { map, .. } = reloc.target {
                used.insert(map);
            }
        }
        let entry = || self.plan.name(self.linked, 0);
        // A jump table is a map to the kernel.
        let count = used.len() + self.image.jump_tables.len();
        if count > MAX_MAPS {
            return Err(LinkError::TooManyMaps { entry: entry(), count, limit: MAX_MAPS });
        }
        let mut arenas = used.iter().filter(|&&m| self.maps.map_type(m) == Some(ARENA));
        if let (Some(&first), Some(&second)) = (arenas.next(), arenas.next()) {
            return Err(LinkError::TwoArenas {
                entry: entry(),
                first: self.maps.name(first),
                second: self.maps.name(second),
            });
        }
        Ok(())
    }
}

/// The instance and function at a place of a plan.
fn parts<'l>(
    linked: &'l Linked,
    plan: &Plan,
    i: usize,
) -> Result<(&'l Instance, &'l Function), LinkError> {
    let planned = &plan.functions[i];
    let instance = get(&linked.instances, planned.instance)?;
    let function = instance.function(planned.func).ok_or_else(|| LinkError::BrokenReference {
        function: instance.function_ref(planned.func),
        insn: 0,
    })?;
    Ok((instance, function))
}
