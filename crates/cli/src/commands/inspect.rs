//! `bpfweld inspect`: what one object holds and what it wants. Reads the file and asks no kernel.

use std::io::{self, Write};

use bpfweld::btf::Endian;
use bpfweld::kernel::facts::map_type_name;
use bpfweld::object::{
    DataKind, DataSection, Extern, ExternKind, Function, KconfigType, Linkage, MapDef, Object,
    ProgramSpec,
};
use serde::Serialize;

use crate::args::InspectArgs;
use crate::error::Failure;
use crate::output::{self, Align, Style, Table};

/// The whole answer; its fields are the JSON's.
#[derive(Serialize)]
struct Inspection<'a> {
    name: &'a str,
    license: Option<&'a str>,
    endian: &'static str,
    btf: bool,
    /// Types of its BTF.
    btf_types: Option<u32>,
    programs: Vec<Program<'a>>,
    functions: Vec<FunctionEntry<'a>>,
    externs: Vec<ExternEntry<'a>>,
    maps: Vec<MapEntry<'a>>,
    data: Vec<DataEntry<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Program<'a> {
    name: &'a str,
    section: &'a str,
    #[serde(rename = "type")]
    prog_type: String,
    attach_type: Option<String>,
    attach_to: Option<&'a str>,
    sleepable: bool,
    frags: bool,
    autoload: bool,
    insns: usize,
}

#[derive(Serialize)]
struct FunctionEntry<'a> {
    name: &'a str,
    linkage: &'static str,
    section: &'a str,
    insns: usize,
    /// Its prototype as a C declaration, where BTF tells.
    #[serde(rename = "type")]
    declaration: Option<String>,
}

#[derive(Serialize)]
struct ExternEntry<'a> {
    name: &'a str,
    kind: &'static str,
    weak: bool,
    /// As a C declaration, where BTF tells.
    #[serde(rename = "type")]
    declaration: Option<String>,
    /// Of a kconfig value: what it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

#[derive(Serialize)]
struct MapEntry<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    map_type: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    pinned_by_name: bool,
    /// Types as C declarations, where BTF tells.
    key: Option<String>,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner: Option<Box<MapEntry<'a>>>,
}

#[derive(Serialize)]
struct DataEntry<'a> {
    name: &'a str,
    kind: &'static str,
    size: u32,
    variables: Vec<Variable>,
}

#[derive(Serialize)]
struct Variable {
    name: String,
    offset: u32,
    size: u32,
    #[serde(rename = "type")]
    declaration: String,
}

/// `bpfweld inspect`.
pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let mut object = Object::open(&args.object)?;
    let notes = object.check()?.to_vec();
    object.notes.extend(notes);
    let inspection = Inspection::of(&object);
    let stdout = io::stdout();
    let style = Style::of(&stdout);
    let mut out = stdout.lock();
    if args.output.json {
        return output::json(&mut out, &inspection);
    }
    inspection.print(&mut out, style, args.output.verbose)?;
    out.flush()?;
    Ok(())
}

impl<'a> Inspection<'a> {
    fn of(object: &'a Object) -> Self {
        let entries = object.functions.iter().filter_map(|f| Some((f, f.program.as_ref()?)));
        Self {
            name: &object.name,
            license: object.license.as_deref(),
            endian: match object.endian {
                Endian::Little => "little",
                Endian::Big => "big",
            },
            btf: object.btf.is_some(),
            btf_types: object.btf.as_ref().map(|btf| btf.type_count().saturating_sub(1)),
            programs: entries.map(|(f, spec)| Program::of(f, spec)).collect(),
            functions: object.functions.iter().map(|f| FunctionEntry::of(object, f)).collect(),
            externs: object.externs.iter().map(|e| ExternEntry::of(object, e)).collect(),
            maps: object.maps.iter().map(|m| MapEntry::of(object, m)).collect(),
            data: object.data.iter().map(|d| DataEntry::of(object, d)).collect(),
            notes: &object.notes,
        }
    }

    fn print(&self, out: &mut impl Write, style: Style, verbose: bool) -> io::Result<()> {
        let btf = match self.btf_types {
            Some(types) => output::count(u64::from(types), "BTF type"),
            None => "no BTF".to_owned(),
        };
        let license = self.license.map_or("no licence".to_owned(), |l| format!("licence {l:?}"));
        let byte_order = format!("{}-endian", self.endian);
        writeln!(out, "{}: BPF object, {byte_order}, {license}, {btf}", style.bold(self.name))?;

        let mut table = Table::new(&[
            ("name", Align::Left),
            ("section", Align::Left),
            ("type", Align::Left),
            ("insns", Align::Right),
            ("", Align::Left),
        ]);
        for p in &self.programs {
            table.row([
                p.name.into(),
                p.section.into(),
                p.full_type(),
                p.insns.to_string(),
                p.flags(),
            ]);
        }
        section(out, style, "programs", &table)?;

        let mut table = Table::new(&[
            ("name", Align::Left),
            ("section", Align::Left),
            ("linkage", Align::Left),
            ("insns", Align::Right),
        ]);
        let programs: Vec<_> = self.programs.iter().map(|p| (p.name, p.section)).collect();
        for f in
            self.functions.iter().filter(|f| verbose || !programs.contains(&(f.name, f.section)))
        {
            table.row([f.name.into(), f.section.into(), f.linkage.into(), f.insns.to_string()]);
        }
        section(out, style, if verbose { "functions" } else { "other functions" }, &table)?;

        let mut table = Table::new(&[
            ("name", Align::Left),
            ("kind", Align::Left),
            ("", Align::Left),
            ("type", Align::Left),
        ]);
        for e in &self.externs {
            let weak = if e.weak { "weak" } else { "" };
            let declaration =
                e.declaration.clone().or_else(|| e.value.clone()).unwrap_or("-".into());
            table.row([e.name.into(), e.kind.into(), weak.into(), declaration]);
        }
        section(out, style, "externs", &table)?;

        let mut table = Table::new(&[
            ("name", Align::Left),
            ("type", Align::Left),
            ("key", Align::Right),
            ("value", Align::Right),
            ("entries", Align::Right),
            ("", Align::Left),
        ]);
        for m in &self.maps {
            table.row([
                m.name.into(),
                m.map_type.clone(),
                m.key_size.to_string(),
                m.value_size.to_string(),
                m.max_entries.to_string(),
                m.remarks(),
            ]);
        }
        section(out, style, "maps", &table)?;

        let mut table =
            Table::new(&[("name", Align::Left), ("kind", Align::Left), ("bytes", Align::Right)]);
        for d in &self.data {
            table.row([d.name.into(), d.kind.into(), d.size.to_string()]);
            for v in d.variables.iter().filter(|_| verbose) {
                table.row([
                    format!("  {}", v.declaration),
                    format!("at {}", v.offset),
                    v.size.to_string(),
                ]);
            }
        }
        section(out, style, "data", &table)?;

        if !self.notes.is_empty() {
            writeln!(out, "\n{}", style.bold("notes"))?;
            for note in self.notes {
                writeln!(out, "  {note}")?;
            }
        }
        Ok(())
    }
}

/// A heading and its table; nothing where the table is empty.
fn section(out: &mut impl Write, style: Style, name: &str, table: &Table) -> io::Result<()> {
    if table.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold(name))?;
    table.print(out, style, "  ")
}

impl<'a> Program<'a> {
    fn of(function: &'a Function, spec: &'a ProgramSpec) -> Self {
        Self {
            name: &function.name,
            section: &function.section,
            prog_type: spec.prog_type.name().to_owned(),
            attach_type: spec.attach_type.map(|attach| attach.name().to_owned()),
            attach_to: spec.attach_to.as_deref(),
            sleepable: spec.sleepable,
            frags: spec.frags,
            autoload: spec.autoload,
            insns: function.insns.len(),
        }
    }

    /// Program type, and attach type where that says more.
    fn full_type(&self) -> String {
        match &self.attach_type {
            Some(attach) if *attach != self.prog_type => format!("{} ({attach})", self.prog_type),
            _ => self.prog_type.clone(),
        }
    }

    fn flags(&self) -> String {
        let flags = [
            (self.sleepable, "sleepable"),
            (self.frags, "frags"),
            (!self.autoload, "not loaded unless asked for"),
        ];
        let set: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        set.join(", ")
    }
}

impl<'a> FunctionEntry<'a> {
    fn of(object: &Object, function: &'a Function) -> Self {
        let prototype = object.btf.as_ref().zip(function.btf_func).map(|(btf, id)| {
            let func = btf.ty(id);
            btf.c_declaration(func.type_id(), func.name())
        });
        Self {
            name: &function.name,
            linkage: match function.linkage {
                Linkage::Static => "static",
                Linkage::Hidden => "hidden",
                Linkage::Weak => "weak",
                Linkage::Global => "global",
            },
            section: &function.section,
            insns: function.insns.len(),
            declaration: prototype,
        }
    }
}

impl<'a> ExternEntry<'a> {
    fn of(object: &Object, ext: &'a Extern) -> Self {
        let declaration =
            object.btf.as_ref().zip(ext.type_id).map(|(btf, id)| btf.c_declaration(id, &ext.name));
        let (kind, value) = match ext.kind {
            ExternKind::Function => ("function", None),
            ExternKind::Map => ("map", None),
            ExternKind::Variable => ("variable", None),
            ExternKind::Kconfig(ty) => ("kconfig", Some(kconfig_type(ty))),
            ExternKind::TypedKsym => ("kernel variable", None),
            ExternKind::TypelessKsym => ("kernel symbol", None),
            ExternKind::KernelFunction => ("kernel function", None),
        };
        Self { name: &ext.name, kind, weak: ext.weak, declaration, value }
    }
}

fn kconfig_type(ty: KconfigType) -> String {
    match ty {
        KconfigType::Bool => "bool".to_owned(),
        KconfigType::Tristate => "tristate".to_owned(),
        KconfigType::Char { .. } => "char".to_owned(),
        KconfigType::Int { size, signed } => {
            format!("{} integer of {size} bytes", if signed { "signed" } else { "unsigned" })
        }
        KconfigType::CharArray { len } => {
            format!("string of up to {} characters", len.saturating_sub(1))
        }
    }
}

impl<'a> MapEntry<'a> {
    fn of(object: &Object, map: &'a MapDef) -> Self {
        let type_name = |id| Some(object.btf.as_ref()?.c_declaration(id, ""));
        Self {
            name: &map.name,
            map_type: map_type_name(map.map_type).to_lowercase(),
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            flags: map.map_flags,
            pinned_by_name: map.pin_by_name,
            key: map.key_type.and_then(type_name),
            value: map.value_type.and_then(type_name),
            inner: map.inner.as_deref().map(|inner| Box::new(Self::of(object, inner))),
        }
    }

    fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        if self.flags != 0 {
            remarks.push(format!("flags {:#x}", self.flags));
        }
        if self.pinned_by_name {
            remarks.push("pinned by name".to_owned());
        }
        if let Some(inner) = &self.inner {
            remarks.push(format!("of {}", inner.map_type));
        }
        remarks.join(", ")
    }
}

impl<'a> DataEntry<'a> {
    fn of(object: &Object, data: &'a DataSection) -> Self {
        let variable = |var: &bpfweld::object::DataVar| {
            let btf = object.btf.as_ref()?;
            let ty = btf.ty(var.type_id);
            Some(Variable {
                name: ty.name().to_owned(),
                offset: var.offset,
                size: var.size,
                declaration: btf.c_declaration(ty.type_id(), ty.name()),
            })
        };
        Self {
            name: &data.name,
            kind: match data.kind {
                DataKind::Data => "data",
                DataKind::Rodata => "rodata",
                DataKind::Bss => "bss",
            },
            size: data.size,
            variables: data.vars.iter().filter_map(variable).collect(),
        }
    }
}
