//! What the linker hands on: programs laid out, relocated, with map and kernel references still
//! symbolic. Every backend takes the same [`ImageSet`].

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bpfweld_btf::{Btf, Bytes, TypeId};
use bpfweld_insn::Insn;
use bpfweld_object::{DataKind, ExternId, FuncId, KconfigType, ProgramSpec};

use crate::error::{FunctionRef, Site, SourceLine};
use crate::resolve::Instance;

/// One use of an object in a link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// As an index into the list of instances.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Index into [`ImageSet::maps`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MapIndex(pub u32);

impl MapIndex {
    /// As an index into the list.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The programs of one link that are loaded together: they share maps and BTF.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// Every map that the code refers to, and those that such a map holds, in the order in which they
    /// are to be made (a map of maps behind the maps that it holds).
    pub maps: Vec<ImageMap>,
    /// The merged BTF; all type ids and string offsets of the set refer to it. Written for a kernel
    /// that knows all of BTF: a backend sanitises it.
    pub btf: Arc<Btf>,
    /// One for each entry program asked for, in that order, then those that slots of prog arrays
    /// name.
    pub images: Vec<Image>,
    /// Number of images that were asked for; the rest are there for the prog arrays.
    pub entries: usize,
    /// What was not as one might expect and did not stop the link.
    pub warnings: Vec<String>,
    /// The instances and what their function externs are bound to: what a later link needs to use
    /// one of them as a target, see [`Link::add_loaded`](crate::Link::add_loaded). Empty for a set
    /// that no link made.
    pub origin: Arc<Origin>,
}

/// The instances of a finished link and their bindings.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The instances, by [`InstanceId`].
    pub instances: Arc<[Instance]>,
    /// What stands behind the function externs of each.
    pub bindings: Vec<Binding>,
}

/// What stands behind one function extern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The instance that has the extern.
    pub from: InstanceId,
    /// The extern.
    pub id: ExternId,
    /// The instance that has the function.
    pub to: InstanceId,
    /// The function.
    pub function: FuncId,
}

/// One program, ready but for the addresses of maps and kernel symbols.
#[derive(Debug, Clone)]
pub struct Image {
    /// Name of the entry function.
    pub name: String,
    /// Label of the instance that the entry function is from.
    pub instance: String,
    /// Name of the ELF section of the entry function.
    pub section: String,
    /// Program type, attach type and flags after all functions had their say (frags is the AND).
    pub program: ProgramSpec,
    /// The licence to load it under: never more permissive to the kernel than any contributor's.
    pub license: String,
    /// `LINUX_VERSION_CODE` of the entry's object, for kernels that ask (kprobes before 5.0).
    pub kernel_version: Option<u32>,
    /// The instruction stream. Calls and callback addresses inside it are final.
    pub insns: Vec<Insn>,
    /// Functions in layout order; the entry function is the first. Gapless.
    pub functions: Vec<ImageFunction>,
    /// References that the backend fills in, by rising instruction index.
    pub relocs: Vec<ImageReloc>,
    /// Line info: strictly rising, one at each function's start, or empty when no function has any.
    pub lines: Vec<ImageLine>,
    /// Instructions that no program may reach, by rising index.
    pub poisoned: Vec<Poisoned>,
    /// Tables that it jumps through: instruction slots of the image, those of one table all in one function.
    pub jump_tables: Vec<Vec<u32>>,
}

impl Image {
    /// Where an instruction slot comes from; `None` when it is not in the image. `types` and `origin`
    /// are those of the image's set.
    pub fn site(&self, types: &Btf, origin: &Origin, insn: u32) -> Option<Site> {
        let at = self.functions.partition_point(|f| f.start <= insn).checked_sub(1)?;
        let function = self.functions.get(at).filter(|f| insn - f.start < f.len)?;
        let instance = origin.instances.get(function.origin.0.index());
        let instance = instance.map_or_else(|| self.instance.clone(), |i| i.label.clone());
        let before = self.lines.partition_point(|line| line.insn <= insn).checked_sub(1);
        let line = before.and_then(|at| self.lines.get(at)).filter(|l| l.insn >= function.start);
        let text = |off| String::from_utf8_lossy(types.bytes_at(off).unwrap_or(&[])).into_owned();
        Some(Site {
            function: FunctionRef { instance, function: function.name.clone() },
            insn: insn - function.start,
            source: line.map(|line| SourceLine {
                file: text(line.file_off),
                line: line.line_col >> 10,
                column: line.line_col & 0x3ff,
                text: text(line.line_off),
            }),
        })
    }
}

/// An instruction that was made unusable, because what it refers to is not there. A verifier that
/// prunes the way to it does not mind; one that gets there refuses the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poisoned {
    /// Index of the instruction slot in the image.
    pub insn: u32,
    /// What is not there.
    pub missing: Missing,
    /// The same, as a sentence for the user.
    pub reason: String,
}

/// What a poisoned instruction refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A weak extern function, which nothing defines.
    Function,
    /// A weak kernel function, which the kernel does not have, or not so.
    KernelFunction,
    /// A map that is switched off.
    Map,
    /// What a CO-RE relocation wants of the kernel's types.
    KernelType,
}

/// One function of an [`Image`].
#[derive(Debug, Clone)]
pub struct ImageFunction {
    /// Its name in its object.
    pub name: String,
    /// Where it comes from.
    pub origin: (InstanceId, FuncId),
    /// Index of its first instruction slot.
    pub start: u32,
    /// Number of instruction slots.
    pub len: u32,
    /// Its FUNC in [`ImageSet::btf`]; synthesised where its object has none.
    pub type_id: TypeId,
    /// Verified alone (global) or along each path (static)?
    pub global: bool,
}

/// A line_info record of an [`Image`], laid out as the kernel's (`struct bpf_line_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct ImageLine {
    /// Index of the instruction slot in the image.
    pub insn: u32,
    /// String offset of the file name in [`ImageSet::btf`].
    pub file_off: u32,
    /// String offset of the source line in [`ImageSet::btf`].
    pub line_off: u32,
    /// Line number << 10 | column.
    pub line_col: u32,
}

/// A reference that a backend fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReloc {
    /// Index of the instruction slot in the image (of an `ldimm64`: its first).
    pub insn: u32,
    /// What it refers to.
    pub target: ImageTarget,
}

/// What an instruction of an [`Image`] refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageTarget {
    /// `ldimm64` of a map.
    Map(MapIndex),
    /// `ldimm64` of the address of a byte of the map's (only) value.
    MapValue {
        /// The map.
        map: MapIndex,
        /// Offset into its value.
        offset: u32,
    },
    /// `ldimm64` of the address of a table, by its index in [`Image::jump_tables`].
    JumpTable(u32),
    /// `call` of a kernel function.
    KernelFunction(Box<KernelRef>),
    /// `ldimm64` of the address of a kernel function, or of 0 when it is weak and not there.
    KernelFunctionAddr(Box<KernelRef>),
    /// `ldimm64` of a kernel variable of known type.
    TypedKsym(Box<KernelRef>),
    /// `ldimm64` of the address of a kernel symbol.
    TypelessKsym(Box<KernelRef>),
}

/// A symbol of the kernel that an image wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRef {
    /// Its name in the object (a flavour `___x` included).
    pub name: String,
    /// May it be missing?
    pub weak: bool,
    /// Label of the instance that wants it.
    pub instance: String,
    /// Its type in [`ImageSet::btf`]: the FUNC_PROTO or the variable's type.
    pub type_id: Option<TypeId>,
    /// Addend in bytes.
    pub addend: i32,
}

/// A map that the images refer to.
#[derive(Debug, Clone)]
pub struct ImageMap {
    /// Its name in its object (a section name for data).
    pub name: String,
    /// The instance that it belongs to.
    pub instance: InstanceId,
    /// Label of that instance.
    pub label: String,
    /// What it is.
    pub content: MapContent,
    /// Of an instance that is loaded already: the map that exists.
    pub existing: Option<Arc<OwnedFd>>,
}

/// What an [`ImageMap`] is.
#[derive(Debug, Clone)]
pub enum MapContent {
    /// A map that the object defines.
    Defined(MapSpec),
    /// A section of global variables.
    Data {
        /// How it may be used.
        kind: DataKind,
        /// Size in bytes.
        size: u32,
        /// Contents; empty for zeros.
        bytes: Bytes,
        /// The DATASEC in [`ImageSet::btf`].
        datasec: Option<TypeId>,
    },
    /// The values of the kconfig externs of an instance; read only.
    Kconfig {
        /// Size in bytes.
        size: u32,
        /// Its variables, by rising offset.
        vars: Vec<KconfigVar>,
        /// The DATASEC in [`ImageSet::btf`].
        datasec: Option<TypeId>,
    },
}

/// A map definition with its types in [`ImageSet::btf`].
#[derive(Debug, Clone)]
pub struct MapSpec {
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of entries as written; 0 where the loader fills it in.
    pub max_entries: u32,
    /// `BPF_F_*` flags.
    pub map_flags: u32,
    /// NUMA node.
    pub numa_node: Option<u32>,
    /// `map_extra`.
    pub map_extra: u64,
    /// Of an arena: what its start holds.
    pub arena_data: Vec<u8>,
    /// Pinned by name?
    pub pin_by_name: bool,
    /// Type of the key.
    pub key_type: Option<TypeId>,
    /// Type of the value.
    pub value_type: Option<TypeId>,
    /// Of a map of maps: what the inner maps look like.
    pub inner: Option<Box<MapSpec>>,
    /// Initial slots; of a struct_ops map the programs in it, each with the offset in bytes of its
    /// member in `value_type`.
    pub values: Vec<(u32, SlotRef)>,
    /// Of a struct_ops map: what the object has in its variable. The sizes of such a map are the
    /// kernel's to say and 0 here.
    pub struct_ops: Option<StructOpsSpec>,
}

impl MapSpec {
    /// A map of these sizes and nothing else: no flags, no types, no initial values.
    pub fn new(map_type: u32, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        Self {
            map_type,
            key_size,
            value_size,
            max_entries,
            map_flags: 0,
            numa_node: None,
            map_extra: 0,
            arena_data: Vec::new(),
            pin_by_name: false,
            key_type: None,
            value_type: None,
            inner: None,
            values: Vec::new(),
            struct_ops: None,
        }
    }
}

/// A table of functions that the kernel calls. Its struct is the map's
/// [`value_type`](MapSpec::value_type).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructOpsSpec {
    /// The variable's contents in the object's layout; zeros where functions belong.
    pub bytes: Vec<u8>,
    /// Attached by a link, not by setting the map's value?
    pub by_link: bool,
}

/// Initial value of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotRef {
    /// A map of the set.
    Map(MapIndex),
    /// An image of the set, by its index.
    Image(u32),
}

/// One kconfig extern in the map of its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KconfigVar {
    /// The extern in its object.
    pub id: ExternId,
    /// Its name: `CONFIG_…` or `LINUX_…`.
    pub name: String,
    /// Its type.
    pub ty: KconfigType,
    /// May it be missing (then it is 0)?
    pub weak: bool,
    /// Offset in the map's value.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}
