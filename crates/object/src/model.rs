//! What an object file says, once read: plain data, the same on every machine.
//!
//! References inside the object are symbolic: an index into the list that holds the thing. So a
//! function's instructions may be copied anywhere; what has to be patched is listed in its
//! [`Body::relocs`] (calls without an ELF relocation included).

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bpfweld_btf::{Btf, Bytes, Endian, TypeId};

pub use crate::contents::{FunctionBody, Unread};
use crate::insns::Insns;
use crate::lines::Lines;
use crate::program::ProgramSpec;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index into the list.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// Index into [`Object::functions`].
    FuncId
);
index!(
    /// Index into [`Object::maps`].
    MapId
);
index!(
    /// Index into [`Object::data`].
    DataId
);
index!(
    /// Index into [`Object::externs`].
    ExternId
);

/// One object file. Nothing in it depends on the running kernel.
///
/// Opening a file reads what there is in it: functions, maps, variables, externs. What functions do
/// ([`Body`]) is read on first use or, with all that may be wrong with it, by [`Object::check`].
#[derive(Debug, Clone)]
pub struct Object {
    /// What messages call it: the path it was read from, or what the caller said.
    pub name: String,
    /// Byte order of the file. Only [`Endian::Little`] can be linked for running on this machine.
    pub endian: Endian,
    /// Contents of the `license` section, without the zero byte.
    pub license: Option<String>,
    /// Contents of the `version` section (`LINUX_VERSION_CODE` of old objects).
    pub kernel_version: Option<u32>,
    /// All functions, in the order of their sections and offsets.
    pub functions: Vec<Function>,
    /// Map definitions (`.maps`), in section order.
    pub maps: Vec<MapDef>,
    /// Sections that become maps of global variables.
    pub data: Vec<DataSection>,
    /// Tables of functions that the kernel calls (`.struct_ops`), in section order.
    pub struct_ops: Vec<StructOps>,
    /// What the object wants and does not define.
    pub externs: Vec<Extern>,
    /// Its types.
    pub btf: Option<Arc<Btf>>,
    /// What a reader may want to know and what was no error: sections passed over and why, static
    /// entry programs, … See [`Object::check`] for more.
    pub notes: Vec<String>,
    /// What of the file is read on first use; [`Unread::default`] for an object that comes from no file.
    pub unread: Unread,
}

/// Visibility of a function outside its object (ELF symbol binding and visibility).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Linkage {
    /// `STB_LOCAL`: not visible outside.
    Static,
    /// `STB_GLOBAL` or `STB_WEAK` with visibility hidden or internal: not visible outside.
    Hidden,
    /// `STB_WEAK`: visible, gives way to a strong definition.
    Weak,
    /// `STB_GLOBAL`: visible.
    Global,
}

/// A function: an entry program or a subprogram.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its symbol's name.
    pub name: String,
    /// Name of the ELF section that holds it.
    pub section: Arc<str>,
    /// Index of that section in the file.
    pub section_index: usize,
    /// Where it starts in the section, in bytes.
    pub offset: u64,
    /// Visibility.
    pub linkage: Linkage,
    /// Set for an entry program: what its section's name says about it.
    pub program: Option<ProgramSpec>,
    /// What it does, read on first use. A [`Function`] dereferences to it: `function.insns`.
    pub body: FunctionBody,
}

impl Deref for Function {
    type Target = Body;

    fn deref(&self) -> &Body {
        &self.body
    }
}

impl DerefMut for Function {
    fn deref_mut(&mut self) -> &mut Body {
        &mut self.body
    }
}

/// What a function does.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// Instructions, as in the file. What [`Body::relocs`] lists is to be patched.
    pub insns: Insns,
    /// References, by rising instruction index.
    pub relocs: Vec<Reloc>,
    /// The FUNC in [`Object::btf`], from func_info or, without, by name.
    pub btf_func: Option<TypeId>,
    /// Line info: strictly rising instruction indices.
    pub lines: Lines,
    /// CO-RE relocation records, by rising instruction index.
    pub core_relocs: Vec<CoreReloc>,
    /// Tables that it jumps through (LLVM 22, section `.jumptables`): indices of its instruction slots.
    pub jump_tables: Vec<Vec<u32>>,
}

impl Body {
    pub(crate) const EMPTY: Self = Self {
        insns: Insns::EMPTY,
        relocs: Vec::new(),
        btf_func: None,
        lines: Lines::EMPTY,
        core_relocs: Vec::new(),
        jump_tables: Vec::new(),
    };
}

/// A reference from an instruction of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reloc {
    /// Index of the instruction slot in the function (of an `ldimm64`: its first).
    pub insn: u32,
    /// What it refers to, and thereby what has to be patched.
    pub target: RelocTarget,
}

/// What an instruction refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RelocTarget {
    /// A `call` of a function of this object.
    Call(FuncId),
    /// A `call` of an extern.
    CallExtern(ExternId),
    /// An `ldimm64` of the address of a function of this object (a callback).
    FuncAddr(FuncId),
    /// An `ldimm64` of a map.
    Map(MapId),
    /// An `ldimm64` of the address of a byte in a data section.
    Data {
        /// The section.
        data: DataId,
        /// Offset in it, addend included.
        offset: u32,
    },
    /// An `ldimm64` of the address of a byte in the arena.
    Arena {
        /// The map; `None` where another object has it.
        map: Option<MapId>,
        /// Offset in the variables of this object, addend included.
        offset: u32,
    },
    /// An `ldimm64` of a jump table.
    JumpTable {
        /// Index into the function's [`Body::jump_tables`].
        table: u32,
    },
    /// An `ldimm64` of the address of an extern: a function, variable, map or kernel symbol.
    ExternAddr {
        /// The extern.
        id: ExternId,
        /// Addend (offset into a variable), in bytes.
        addend: i32,
    },
}

/// One CO-RE relocation record (`struct bpf_core_relo`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreReloc {
    /// Index of the instruction slot in the function.
    pub insn: u32,
    /// Root type of the access, in the object's BTF.
    pub type_id: TypeId,
    /// String offset of the access string ("0:1:2") in the object's BTF.
    pub access_off: u32,
    /// `enum bpf_core_relo_kind`, 0 to 12.
    pub kind: u32,
}

/// A map definition (a variable of the `.maps` section, described by BTF).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapDef {
    /// Name of the variable.
    pub name: String,
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of entries. 0 where the loader fills it in (CPU count, ring buffer page).
    pub max_entries: u32,
    /// `BPF_F_*` flags.
    pub map_flags: u32,
    /// NUMA node, when the definition names one.
    pub numa_node: Option<u32>,
    /// `map_extra`.
    pub map_extra: u64,
    /// Of an arena: what its start holds (the section `.addr_space.1`).
    pub arena_data: Vec<u8>,
    /// Pinned by name (`LIBBPF_PIN_BY_NAME`)?
    pub pin_by_name: bool,
    /// Type of the key in the object's BTF.
    pub key_type: Option<TypeId>,
    /// Type of the value in the object's BTF.
    pub value_type: Option<TypeId>,
    /// Of a map of maps: what the inner maps look like.
    pub inner: Option<Box<MapDef>>,
    /// Initial slots of a map of maps or a prog array: (index, what goes there).
    pub values: Vec<(u32, SlotValue)>,
}

/// Initial value of a slot of a map of maps or a prog array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotValue {
    /// A map of this object.
    Map(MapId),
    /// An entry program of this object.
    Program(FuncId),
}

/// How a data section may be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DataKind {
    /// `.data`, `.data.*`: written, has contents.
    Data,
    /// `.rodata`, `.rodata.*`: read only, frozen before programs are loaded.
    Rodata,
    /// `.bss`, `.bss.*`: written, starts as zeros.
    Bss,
}

/// A section of global variables; becomes an array map of one value.
#[derive(Debug, Clone)]
pub struct DataSection {
    /// ELF section name.
    pub name: String,
    /// What may be done with it.
    pub kind: DataKind,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes that its variables need, a power of two in files from a compiler.
    pub align: u32,
    /// Contents; empty for [`DataKind::Bss`].
    pub bytes: Bytes,
    /// The DATASEC in the object's BTF, if there is one.
    pub datasec: Option<TypeId>,
    /// Its variables with their offsets mended from the symbol table, by rising offset. Empty
    /// without a DATASEC.
    pub vars: Vec<DataVar>,
}

/// A variable of a data section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataVar {
    /// The VAR in the object's BTF.
    pub type_id: TypeId,
    /// Offset in the section, in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Hidden from other objects and from user space (ELF visibility hidden or internal).
    pub hidden: bool,
}

/// A table of functions that the kernel calls: a variable of a `.struct_ops` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructOps {
    /// Name of the variable.
    pub name: String,
    /// Name of its ELF section.
    pub section: String,
    /// Its struct in the object's BTF, of the name that the kernel's has (a flavour `___x` included).
    pub type_id: TypeId,
    /// Its contents; zeros where functions belong.
    pub bytes: Vec<u8>,
    /// Attached by a link (`.struct_ops.link`), not by setting the map's value?
    pub by_link: bool,
    /// Made unless asked not to (`false` for section names that begin with `?`).
    pub autocreate: bool,
    /// Offset of a member in bytes, and the function that belongs there.
    pub functions: Vec<(u32, FuncId)>,
}

/// Something that the object wants and does not define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extern {
    /// Its symbol's name.
    pub name: String,
    /// What it is.
    pub kind: ExternKind,
    /// May it stay unresolved?
    pub weak: bool,
    /// The FUNC or VAR in the object's BTF.
    pub btf: Option<TypeId>,
    /// Type of a function extern: the FUNC_PROTO, in either encoding. Type of any other: the VAR's.
    pub type_id: Option<TypeId>,
}

/// Kinds of externs, told apart by BTF alone (and without BTF by how they are used).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExternKind {
    /// A function of another object.
    Function,
    /// A map of another object.
    Map,
    /// A variable of another object.
    Variable,
    /// A value of the kernel's configuration (`.kconfig`).
    Kconfig(KconfigType),
    /// A kernel variable of known type (`.ksyms`).
    TypedKsym,
    /// The address of a kernel symbol, its type `void` (`.ksyms`).
    TypelessKsym,
    /// A kernel function (`.ksyms`).
    KernelFunction,
}

/// Type of a kconfig extern.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KconfigType {
    /// `bool`, or an integer with the encoding bool.
    Bool,
    /// `enum libbpf_tristate`: n = 0, y = 1, m = 2.
    Tristate,
    /// `char`: takes y, m, n or a number.
    Char {
        /// Is the type signed?
        signed: bool,
    },
    /// An integer of 1, 2, 4 or 8 bytes.
    Int {
        /// Bytes.
        size: u8,
        /// Is the type signed?
        signed: bool,
    },
    /// `char[len]`: takes a string, cut and zero-terminated.
    CharArray {
        /// Elements, the zero byte included.
        len: u32,
    },
}
