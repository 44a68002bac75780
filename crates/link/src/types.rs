//! The merged BTF of a link: what the images' functions, maps and lines refer to, and nothing else.
//!
//! Extern FUNCs and VARs never get in, because nothing that is loaded refers to them; so the kernel,
//! which accepts neither encoding of them, never meets one.

use foldhash::HashMap;
use std::sync::Arc;

use bpfweld_btf::{Btf, BtfBuilder, BtfError, Kind, Linkage, SectionVar, SourceMap, Type, TypeId};
use bpfweld_object::{DataSection, Function, Lines, Object, ProgramSpec};

use crate::error::LinkError;
use crate::image::{ImageLine, InstanceId, KconfigVar};
use crate::plan::Plan;
use crate::resolve::{Instance, Linked, get};
use crate::tail_calls::TailCalls;

/// Collects types and strings from the objects of a link.
pub(crate) struct Types<'l> {
    linked: &'l Linked,
    builder: BtfBuilder,
    /// What is copied already, by object: two instances of one object share it.
    sources: HashMap<*const Object, SourceMap>,
}

/// How a function goes into an image.
pub(crate) struct FunctionType {
    /// Its FUNC.
    pub(crate) type_id: TypeId,
    /// Global or static?
    pub(crate) global: bool,
    /// What the user should know about it.
    pub(crate) warning: Option<String>,
}

impl<'l> Types<'l> {
    pub(crate) fn new(linked: &'l Linked) -> Self {
        Self { linked, builder: BtfBuilder::new(), sources: HashMap::default() }
    }

    pub(crate) fn finish(self) -> Result<Arc<Btf>, LinkError> {
        let merged = self.builder.finish();
        merged
            .map(Arc::new)
            .map_err(|source| LinkError::Btf { instance: "the link".into(), source })
    }

    /// Copies a type of an instance's object.
    pub(crate) fn import(&mut self, at: InstanceId, id: TypeId) -> Result<TypeId, LinkError> {
        self.with(at, |builder, map, btf| builder.import(map, btf, id))
            .map(Option::unwrap_or_default)
    }

    /// Copies the lines of a function that starts at `start`, with their strings.
    pub(crate) fn lines(
        &mut self,
        at: InstanceId,
        lines: &Lines,
        start: u32,
        copied: &mut Vec<ImageLine>,
    ) -> Result<(), LinkError> {
        let all = self.with(at, |builder, map, btf| {
            let mut text = |offset| builder.import_str(map, btf, offset);
            copied.extend(lines.iter().map(|line| ImageLine {
                insn: start + line.insn,
                file_off: text(line.file_off),
                line_off: text(line.line_off),
                line_col: line.line_col,
            }));
            Ok(())
        });
        all.map(|_| ())
    }

    /// Adds a string of the linker's own.
    pub(crate) fn text(&mut self, text: &[u8]) -> u32 {
        self.builder.add_str(text)
    }

    /// `None` when the object has no BTF.
    fn with<T>(
        &mut self,
        at: InstanceId,
        work: impl FnOnce(&mut BtfBuilder, &mut SourceMap, &Btf) -> Result<T, BtfError>,
    ) -> Result<Option<T>, LinkError> {
        let instance = get(&self.linked.instances, at)?;
        let Some(btf) = instance.object.btf.as_deref() else { return Ok(None) };
        let key = Arc::as_ptr(&instance.object);
        let map = self.sources.entry(key).or_insert_with(|| SourceMap::new(btf));
        let failed = |source| LinkError::Btf { instance: instance.label.clone(), source };
        work(&mut self.builder, map, btf).map(Some).map_err(failed)
    }

    /// The FUNC of a function of a plan, with the linkage that it goes in with.
    pub(crate) fn function(
        &mut self,
        plan: &Plan,
        i: usize,
        program: &ProgramSpec,
        tail_calls: &TailCalls,
    ) -> Result<FunctionType, LinkError> {
        let planned = &plan.functions[i];
        let instance = get(&self.linked.instances, planned.instance)?;
        let Some(function) = instance.function(planned.func) else {
            let function = instance.function_ref(planned.func);
            return Err(LinkError::BrokenReference { function, insn: 0 });
        };
        let signature = self.signature(plan, i, instance, function);
        // Recognised by the kernel when it verifies the function alone: context pointer, scalar return.
        let stands_alone =
            signature.as_ref().is_some_and(|s| program.prog_type.verifies_alone(s.proto));
        let bound = planned.bound_from.is_some();
        let tails = tail_calls.may(i) && bound;
        let visible = matches!(
            function.linkage,
            bpfweld_object::Linkage::Global | bpfweld_object::Linkage::Weak
        );
        let own_linkage = signature.as_ref().and_then(|s| s.linkage);
        let global = if i == 0 || plan.exception_callback == Some(i) {
            true
        } else if planned.callback {
            false
        } else if bound {
            // Written to be called, not to be verified alone: what its arguments point to, and which
            // of them may be null, only the call tells. With the context for its only argument there
            // is nothing to tell.
            let meant = visible || function.program.is_some();
            stands_alone && (tails || meant && !self.linked.options.static_functions)
        } else {
            // In its own object it is what its author made it, but for what no kernel takes.
            own_linkage == Some(Linkage::Global)
                && visible
                && signature.as_ref().is_some_and(|s| s.proto.may_be_global())
                && !self.linked.options.static_functions
        };
        let warning = (tails && !global).then(|| {
            format!(
                "{} tail-calls and cannot go in as a global function: the verifier may take the \
                 verdict behind its tail call for the only one",
                plan.name(self.linked, i)
            )
        });
        let linkage = if global { Linkage::Global } else { Linkage::Static };
        let type_id = match signature {
            Some(Signature { linkage: Some(_), func, owner, .. }) => {
                let func =
                    self.with(owner, |b, map, btf| b.import_func(map, btf, func, linkage))?;
                func.unwrap_or_default()
            }
            Some(Signature { proto, owner, .. }) => {
                self.borrowed(owner, proto, &function.name, linkage)?
            }
            None => {
                let made = self.builder.synth_func(&function.name, linkage);
                made.map_err(|source| LinkError::Btf { instance: instance.label.clone(), source })?
            }
        };
        Ok(FunctionType { type_id, global, warning })
    }

    /// Where the type of a function is from: its own BTF, else the extern through which it was
    /// entered.
    fn signature(
        &self,
        plan: &Plan,
        i: usize,
        instance: &'l Instance,
        function: &'l Function,
    ) -> Option<Signature<'l>> {
        let planned = &plan.functions[i];
        if let (Some(btf), Some(func)) = (instance.object.btf.as_deref(), function.btf_func) {
            let ty = btf.ty(func);
            let linkage = Some(ty.linkage());
            let proto = Some(ty.target()).filter(|p| p.kind() == Kind::FuncProto)?;
            return Some(Signature { owner: planned.instance, func, proto, linkage });
        }
        let (owner, id) = planned.bound_from?;
        let caller = self.linked.instances.get(owner.index())?;
        let btf = caller.object.btf.as_deref()?;
        let proto = btf.ty(caller.extern_(id)?.type_id?);
        (proto.kind() == Kind::FuncProto).then_some(Signature {
            owner,
            func: TypeId::VOID,
            proto,
            linkage: None,
        })
    }

    /// A FUNC for code without BTF that is called through an extern with a type.
    fn borrowed(
        &mut self,
        owner: InstanceId,
        proto: Type<'_>,
        name: &str,
        linkage: Linkage,
    ) -> Result<TypeId, LinkError> {
        let returns = self.import(owner, proto.type_id())?;
        let mut params = Vec::with_capacity(proto.vlen());
        for (i, param) in proto.params().enumerate() {
            params.push((format!("arg{i}"), self.import(owner, param.type_id)?));
        }
        let params: Vec<_> = params.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
        let proto = self.builder.add_func_proto(returns, &params);
        Ok(self.builder.add_func(name, proto, linkage))
    }

    /// The DATASEC of a section of global variables. Like the next, apart from what all objects have.
    #[inline(never)]
    pub(crate) fn data_section(
        &mut self,
        at: InstanceId,
        data: &DataSection,
    ) -> Result<Option<TypeId>, LinkError> {
        let mut vars = Vec::with_capacity(data.vars.len());
        let mut end = 0;
        for var in &data.vars {
            // The kernel wants them apart and with a size; a flexible array or an alias is left out.
            if var.size == 0 || var.offset < end {
                continue;
            }
            let Some(var_end) = var.offset.checked_add(var.size).filter(|&e| e <= data.size) else {
                continue;
            };
            let type_id = match var.hidden {
                // As the kernel and who maps the section into memory know it: not to be found.
                true => self
                    .with(at, |b, map, btf| b.import_var(map, btf, var.type_id, Linkage::Static))?
                    .unwrap_or_default(),
                false => self.import(at, var.type_id)?,
            };
            vars.push(SectionVar { type_id, offset: var.offset, size: var.size });
            end = var_end;
        }
        Ok(match vars.is_empty() {
            true => None,
            false => Some(self.builder.add_datasec(&data.name, data.size, &vars)),
        })
    }

    /// The DATASEC of the kconfig map of an instance.
    #[inline(never)]
    pub(crate) fn kconfig_section(
        &mut self,
        at: InstanceId,
        instance: &Instance,
        size: u32,
        vars: &[KconfigVar],
    ) -> Result<Option<TypeId>, LinkError> {
        let mut section = Vec::with_capacity(vars.len());
        for var in vars {
            let Some(ty) = instance.extern_(var.id).and_then(|e| e.type_id) else { continue };
            let ty = self.import(at, ty)?;
            let type_id = self.builder.add_var(&var.name, ty, Linkage::Global);
            section.push(SectionVar { type_id, offset: var.offset, size: var.size });
        }
        Ok(match section.is_empty() {
            true => None,
            false => Some(self.builder.add_datasec(crate::maps::KCONFIG, size, &section)),
        })
    }
}

/// The type of a function, and whose BTF it is in.
struct Signature<'l> {
    owner: InstanceId,
    /// Its FUNC; void when the type is an extern's.
    func: TypeId,
    proto: Type<'l>,
    /// Linkage of its FUNC; none when the type is an extern's.
    linkage: Option<Linkage>,
}
