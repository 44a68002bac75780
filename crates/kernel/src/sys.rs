//! Every system call of the project, and the one place where `unsafe` is allowed.
//!
//! A [`Command`] is one call with its arguments as plain Rust values; [`Sys::call`] makes it.
//! [`RealSys`] asks the running kernel, [`Scripted`] lets a test answer in its place. All other code
//! holds a `dyn Sys` and uses the typed short forms below (`sys.create_map(…)` and so on). Files of `/proc` and `/sys` are read through [`Sys::read`], so that a test can replace them
//! too.
//!
//! To add a call: a variant of [`Command`], its arm in `sys/real.rs` (layout in `sys/attr.rs`), a
//! short form here.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use bpfweld_insn::Insn;

mod attr;
mod files;
mod kill;
mod net;
mod real;
mod real_net;
mod scripted;

pub use files::FileCall;
pub use kill::{Killed, When};
pub use net::{LinkInfo, NetCall};
pub use real::RealSys;
pub(crate) use real::line_records;
pub use scripted::{Scripted, fake_fd};

/// Longest name that the kernel keeps of a program or map, without the zero byte
/// (`BPF_OBJ_NAME_LEN` - 1).
pub const OBJ_NAME_MAX: usize = 15;

/// Bytes of one packed `struct bpf_func_info`: instruction index, type id.
pub const FUNC_INFO_SIZE: usize = 8;

/// Bytes of one packed `struct bpf_line_info`: instruction index, file, line, line and column.
pub const LINE_INFO_SIZE: usize = 16;

/// Bytes of one packed `struct bpf_core_relo`: byte offset, type id, access string, kind.
pub const CORE_RELO_SIZE: usize = 16;

/// Who answers system calls.
pub trait Sys: Send + Sync {
    /// Makes one call.
    fn call(&self, command: Command<'_>) -> io::Result<Reply>;

    /// Reads a whole file of `/proc`, `/sys` or `/boot`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    /// Reads such a file line by line (without their ends), until `see` says that it is enough: the list
    /// of the kernel's symbols has 10 MB.
    fn lines(&self, path: &Path, see: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        for line in self.read(path)?.split(|&b| b == b'\n') {
            if !see(line) {
                break;
            }
        }
        Ok(())
    }

    /// Reads a file that stays as it is while the kernel runs, its own BTF: without a copy where it
    /// can be mapped.
    fn read_lasting(&self, path: &Path) -> io::Result<Cow<'static, [u8]>> {
        self.read(path).map(Cow::Owned)
    }
}

/// One system call with its arguments. bpf(2) commands unless said otherwise; field names are those
/// of `union bpf_attr` (`linux/bpf.h`).
#[derive(Debug)]
pub enum Command<'a> {
    /// `BPF_MAP_CREATE`. Replies with the fd.
    MapCreate(&'a MapCreate<'a>),
    /// `BPF_MAP_LOOKUP_ELEM`. `value` is filled; for per-CPU maps it holds one value, rounded up
    /// to 8 bytes, for every possible CPU.
    MapLookup {
        /// The map.
        map: BorrowedFd<'a>,
        /// Exactly one key.
        key: &'a [u8],
        /// Exactly one value (or one for every CPU).
        value: &'a mut [u8],
    },
    /// `BPF_MAP_UPDATE_ELEM`.
    MapUpdate {
        /// The map.
        map: BorrowedFd<'a>,
        /// Exactly one key.
        key: &'a [u8],
        /// Exactly one value (or one for every CPU).
        value: &'a [u8],
        /// `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`.
        flags: u64,
    },
    /// `BPF_MAP_DELETE_ELEM`.
    MapDelete {
        /// The map.
        map: BorrowedFd<'a>,
        /// Exactly one key.
        key: &'a [u8],
    },
    /// `BPF_MAP_GET_NEXT_KEY`; without a key, the first one.
    MapNextKey {
        /// The map.
        map: BorrowedFd<'a>,
        /// The key before.
        key: Option<&'a [u8]>,
        /// Takes the key behind it.
        next: &'a mut [u8],
    },
    /// `BPF_MAP_FREEZE`: user space can no longer write to the map.
    MapFreeze {
        /// The map.
        map: BorrowedFd<'a>,
    },
    /// mmap(2) of all of an arena's memory, a part of which is filled; then munmap(2). The address
    /// stays the arena's.
    FillMemory {
        /// The map.
        map: BorrowedFd<'a>,
        /// Where in this process; 0 leaves it to the kernel.
        address: u64,
        /// Bytes.
        len: u64,
        /// Where in them `contents` go; these do not reach beyond the end.
        at: u64,
        /// What is written there.
        contents: &'a [u8],
    },
    /// `BPF_PROG_LOAD`. Replies with the fd.
    ProgLoad {
        /// The program.
        program: &'a ProgLoad<'a>,
        /// Where the verifier writes; `None` is log level 0.
        log: Option<Log<'a>>,
    },
    /// `BPF_BTF_LOAD`. Replies with the fd.
    BtfLoad {
        /// The blob.
        blob: &'a [u8],
        /// Where the kernel writes its complaints.
        log: Option<Log<'a>>,
    },
    /// `BPF_PROG_TEST_RUN`. Replies with [`Reply::TestRun`].
    TestRun(TestRun<'a>),
    /// `BPF_OBJ_PIN`.
    ObjPin {
        /// Program, map or link.
        fd: BorrowedFd<'a>,
        /// A path on a BPF file system that does not exist.
        path: &'a Path,
    },
    /// `BPF_OBJ_GET`. Replies with the fd.
    ObjGet {
        /// Where it is pinned.
        path: &'a Path,
    },
    /// `BPF_OBJ_GET_INFO_BY_FD` of a map. Replies with [`Reply::Map`].
    MapInfo {
        /// The map.
        fd: BorrowedFd<'a>,
    },
    /// `BPF_OBJ_GET_INFO_BY_FD` of a program. Replies with [`Reply::Prog`].
    ProgInfo {
        /// The program.
        fd: BorrowedFd<'a>,
    },
    /// `BPF_OBJ_GET_INFO_BY_FD` of a BTF object. Replies with [`Reply::Btf`].
    BtfInfo {
        /// The BTF object.
        fd: BorrowedFd<'a>,
    },
    /// `BPF_OBJ_GET_INFO_BY_FD` of a BTF object, for its contents. Replies with [`Reply::Bytes`].
    BtfBlob {
        /// The BTF object.
        fd: BorrowedFd<'a>,
    },
    /// `BPF_PROG_GET_NEXT_ID` and its like. Replies with [`Reply::Number`].
    NextId {
        /// Of which list.
        kind: ObjectKind,
        /// The id before; 0 asks for the first.
        after: u32,
    },
    /// `BPF_PROG_GET_FD_BY_ID` and its like. Replies with the fd.
    FdById {
        /// In which list.
        kind: ObjectKind,
        /// The id.
        id: u32,
    },
    /// `BPF_LINK_CREATE`. Replies with the fd.
    LinkCreate {
        /// The program (with `BPF_STRUCT_OPS` the map); `None` passes an fd that is none (for
        /// probing).
        program: Option<BorrowedFd<'a>>,
        /// Interface index or fd, by attach type.
        target: u32,
        /// `enum bpf_attach_type`.
        attach_type: u32,
        /// By attach type.
        flags: u32,
        /// Of a program that replaces a function (`BPF_PROG_TYPE_EXT`): the function's type in the BTF of
        /// the target, a program. 0: where it was loaded for, or another type of program.
        btf_id: u32,
        /// With `BPF_TRACE_UPROBE_MULTI`: where.
        uprobes: Option<Uprobes<'a>>,
    },
    /// `BPF_LINK_UPDATE`.
    LinkUpdate {
        /// The link.
        link: BorrowedFd<'a>,
        /// The program that it is to run.
        program: BorrowedFd<'a>,
        /// The program that it has to run now, or the call fails with EPERM (`BPF_F_REPLACE`).
        old: BorrowedFd<'a>,
    },
    /// `BPF_LINK_DETACH`.
    LinkDetach {
        /// The link.
        link: BorrowedFd<'a>,
    },
    /// `BPF_OBJ_GET_INFO_BY_FD` of a link. Replies with [`Reply::Link`].
    LinkInfo {
        /// The link.
        fd: BorrowedFd<'a>,
    },
    /// Calls on the network, see [`NetCall`].
    Net(NetCall<'a>),
    /// Calls on files that have to last, see [`FileCall`].
    File(FileCall<'a>),
    /// uname(2). Replies with [`Reply::Uname`].
    Uname,
    /// sysconf(_SC_PAGESIZE). Replies with [`Reply::Number`].
    PageSize,
    /// setrlimit(2): no limit on locked memory, which kernels before 5.11 charge BPF objects to.
    RaiseMemlock,
    /// statfs(2). Replies with the file system's magic number as [`Reply::Number`].
    FsMagic {
        /// Any file or directory of the file system.
        path: &'a Path,
    },
}

/// Places in a program or library in user space.
#[derive(Clone, Copy, Debug)]
pub struct Uprobes<'a> {
    /// The file.
    pub path: &'a Path,
    /// Offsets in it, in bytes.
    pub offsets: &'a [u64],
}

/// What a [`Command`] gave.
#[derive(Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// A new file descriptor, close-on-exec.
    Fd(OwnedFd),
    /// An id, a size, a magic number.
    Number(u64),
    /// Facts on a map.
    Map(MapInfo),
    /// Facts on a program.
    Prog(ProgInfo),
    /// Facts on a BTF object.
    Btf(BtfInfo),
    /// Facts on a link.
    Link(LinkInfo),
    /// What came over a socket, or out of a file; the contents of a BTF object.
    Bytes(Vec<u8>),
    /// The outcome of a test run.
    TestRun(TestRunReply),
    /// What uname(2) says.
    Uname(Uname),
}

/// Lists that the kernel keeps ids of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    /// Programs.
    Prog,
    /// Maps.
    Map,
    /// BTF objects.
    Btf,
    /// Links.
    Link,
}

/// Arguments of `BPF_MAP_CREATE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MapCreate<'a> {
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Number of entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub map_flags: u32,
    /// What the maps inside look like, for maps of maps.
    pub inner_map: Option<BorrowedFd<'a>>,
    /// Used with `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// At most [`OBJ_NAME_MAX`] bytes of letters, digits, `_` and `.`; empty for none.
    pub name: &'a str,
    /// BTF object that the type ids refer to.
    pub btf: Option<BorrowedFd<'a>>,
    /// Type of the key.
    pub btf_key_type_id: u32,
    /// Type of the value.
    pub btf_value_type_id: u32,
    /// Type of the value in the kernel's BTF or a module's (`btf_vmlinux_value_type_id`), of
    /// struct_ops maps.
    pub kernel_value_type_id: u32,
    /// The module's BTF; used with `BPF_F_VTYPE_BTF_OBJ_FD`.
    pub kernel_value_btf: Option<BorrowedFd<'a>>,
    /// By map type.
    pub map_extra: u64,
    /// Index of the interface in whose card it is to be; 0 for the host.
    pub ifindex: u32,
}

/// Arguments of `BPF_PROG_LOAD`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgLoad<'a> {
    /// `enum bpf_prog_type`.
    pub prog_type: u32,
    /// Instructions.
    pub insns: &'a [Insn],
    /// Licence.
    pub license: &'a str,
    /// `LINUX_VERSION_CODE`; looked at by kernels before 5.0 for kprobes.
    pub kern_version: u32,
    /// `BPF_F_*`.
    pub prog_flags: u32,
    /// At most [`OBJ_NAME_MAX`] bytes of letters, digits, `_` and `.`; empty for none.
    pub name: &'a str,
    /// `enum bpf_attach_type`.
    pub expected_attach_type: u32,
    /// Index of the interface that the program is for (`prog_ifindex`); 0 for any.
    pub ifindex: u32,
    /// BTF object for func and line info.
    pub btf: Option<BorrowedFd<'a>>,
    /// Records of [`FUNC_INFO_SIZE`] bytes.
    pub func_info: &'a [u8],
    /// Records of [`LINE_INFO_SIZE`] bytes.
    pub line_info: &'a [u8],
    /// Type in the kernel's BTF that the program attaches to.
    pub attach_btf_id: u32,
    /// Program that the program attaches to, or the BTF object that `attach_btf_id` is of, where that is
    /// not the kernel's own (`attach_prog_fd` and `attach_btf_obj_fd` are one field).
    pub attach_prog: Option<BorrowedFd<'a>>,
    /// Fds that instructions name by index.
    pub fd_array: &'a [i32],
    /// Records of [`CORE_RELO_SIZE`] bytes.
    pub core_relos: &'a [u8],
}

/// Where the verifier (or the BTF checker) writes its log.
#[derive(Debug)]
pub struct Log<'a> {
    /// 1: what leads to the error; 2: every instruction; | 4: statistics.
    pub level: u32,
    /// Takes the log, zero-terminated.
    pub buf: &'a mut [u8],
}

/// Arguments of `BPF_PROG_TEST_RUN`.
#[derive(Debug)]
pub struct TestRun<'a> {
    /// The program.
    pub program: BorrowedFd<'a>,
    /// The packet; metadata in front of it when `ctx_in` says so.
    pub data_in: &'a [u8],
    /// Takes the packet afterwards. Empty: not wanted. Otherwise at least a page longer than
    /// `data_in`, because kernels before 5.0 do not look at its length.
    pub data_out: &'a mut [u8],
    /// The context; empty for none.
    pub ctx_in: &'a [u8],
    /// Takes the context afterwards; empty: not wanted.
    pub ctx_out: &'a mut [u8],
    /// How often to run.
    pub repeat: u32,
    /// `BPF_F_TEST_*`.
    pub flags: u32,
}

/// Outcome of a test run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestRunReply {
    /// What the program returned (the last time).
    pub retval: u32,
    /// Mean time of one run in nanoseconds.
    pub duration: u32,
    /// Bytes of the packet afterwards.
    pub data_size_out: u32,
    /// Bytes of the context afterwards.
    pub ctx_size_out: u32,
}

/// Facts on a map (`struct bpf_map_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapInfo {
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// The kernel's id of it.
    pub id: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Number of entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub map_flags: u32,
    /// Name, cut to [`OBJ_NAME_MAX`] bytes.
    pub name: String,
    /// Id of its BTF object, 0 for none.
    pub btf_id: u32,
    /// Type of the key in it.
    pub btf_key_type_id: u32,
    /// Type of the value in it.
    pub btf_value_type_id: u32,
    /// By map type.
    pub map_extra: u64,
}

/// Facts on a program (`struct bpf_prog_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgInfo {
    /// `enum bpf_prog_type`.
    pub prog_type: u32,
    /// The kernel's id of it.
    pub id: u32,
    /// Hash of its instructions.
    pub tag: [u8; 8],
    /// Name, cut to [`OBJ_NAME_MAX`] bytes.
    pub name: String,
    /// Bytes of machine code.
    pub jited_len: u32,
    /// Bytes of instructions after the verifier rewrote them.
    pub xlated_len: u32,
    /// Number of functions for which the kernel keeps func info.
    pub func_infos: u32,
    /// Number of line info records that the kernel keeps.
    pub line_infos: u32,
    /// Id of its BTF object, 0 for none.
    pub btf_id: u32,
    /// The kernel's ids of the maps that it uses, at most 64 (`MAX_USED_MAPS`).
    pub map_ids: Vec<u32>,
    /// Instructions that the verifier walked (from Linux 5.16).
    pub verified_insns: u32,
}

/// Facts on a BTF object (`struct bpf_btf_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfInfo {
    /// The kernel's id of it.
    pub id: u32,
    /// Of the kernel's own: `vmlinux`, or the name of a module. Empty for any other.
    pub name: String,
    /// Is it the kernel's own?
    pub kernel: bool,
}

/// What uname(2) says, in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uname {
    /// `6.1.0-18-amd64`.
    pub release: String,
    /// `#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)`.
    pub version: String,
    /// `x86_64`.
    pub machine: String,
}

fn unexpected<T>(reply: Reply) -> io::Result<T> {
    // Only a test's script can get this wrong.
    Err(io::Error::other(format!("the reply does not fit the call: {reply:?}")))
}

impl dyn Sys + '_ {
    fn fd(&self, command: Command<'_>) -> io::Result<OwnedFd> {
        match self.call(command)? {
            Reply::Fd(fd) => Ok(fd),
            reply => unexpected(reply),
        }
    }

    fn done(&self, command: Command<'_>) -> io::Result<()> {
        match self.call(command)? {
            Reply::Done => Ok(()),
            reply => unexpected(reply),
        }
    }

    fn number(&self, command: Command<'_>) -> io::Result<u64> {
        match self.call(command)? {
            Reply::Number(n) => Ok(n),
            reply => unexpected(reply),
        }
    }

    /// [`Command::MapCreate`].
    pub fn create_map(&self, map: &MapCreate<'_>) -> io::Result<OwnedFd> {
        self.fd(Command::MapCreate(map))
    }

    /// [`Command::MapLookup`].
    pub fn lookup(&self, map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.done(Command::MapLookup { map, key, value })
    }

    /// [`Command::MapUpdate`] with flags `BPF_ANY`.
    pub fn update(&self, map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.done(Command::MapUpdate { map, key, value, flags: 0 })
    }

    /// [`Command::MapDelete`].
    pub fn delete(&self, map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
        self.done(Command::MapDelete { map, key })
    }

    /// [`Command::MapNextKey`].
    pub fn next_key(
        &self,
        map: BorrowedFd<'_>,
        key: Option<&[u8]>,
        next: &mut [u8],
    ) -> io::Result<()> {
        self.done(Command::MapNextKey { map, key, next })
    }

    /// [`Command::MapFreeze`].
    pub fn freeze(&self, map: BorrowedFd<'_>) -> io::Result<()> {
        self.done(Command::MapFreeze { map })
    }

    /// [`Command::FillMemory`].
    pub fn fill_memory(
        &self,
        map: BorrowedFd<'_>,
        address: u64,
        len: u64,
        at: u64,
        contents: &[u8],
    ) -> io::Result<()> {
        self.done(Command::FillMemory { map, address, len, at, contents })
    }

    /// [`Command::ProgLoad`].
    pub fn load_program(
        &self,
        program: &ProgLoad<'_>,
        log: Option<Log<'_>>,
    ) -> io::Result<OwnedFd> {
        self.fd(Command::ProgLoad { program, log })
    }

    /// [`Command::BtfLoad`].
    pub fn load_btf(&self, blob: &[u8], log: Option<Log<'_>>) -> io::Result<OwnedFd> {
        self.fd(Command::BtfLoad { blob, log })
    }

    /// [`Command::TestRun`].
    pub fn test_run(&self, run: TestRun<'_>) -> io::Result<TestRunReply> {
        match self.call(Command::TestRun(run))? {
            Reply::TestRun(reply) => Ok(reply),
            reply => unexpected(reply),
        }
    }

    /// [`Command::ObjPin`].
    pub fn pin(&self, fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        self.done(Command::ObjPin { fd, path })
    }

    /// [`Command::ObjGet`].
    pub fn pinned(&self, path: &Path) -> io::Result<OwnedFd> {
        self.fd(Command::ObjGet { path })
    }

    /// [`Command::MapInfo`].
    pub fn map_info(&self, fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
        match self.call(Command::MapInfo { fd })? {
            Reply::Map(info) => Ok(info),
            reply => unexpected(reply),
        }
    }

    /// [`Command::ProgInfo`].
    pub fn prog_info(&self, fd: BorrowedFd<'_>) -> io::Result<ProgInfo> {
        match self.call(Command::ProgInfo { fd })? {
            Reply::Prog(info) => Ok(info),
            reply => unexpected(reply),
        }
    }

    /// [`Command::BtfInfo`].
    pub fn btf_info(&self, fd: BorrowedFd<'_>) -> io::Result<BtfInfo> {
        match self.call(Command::BtfInfo { fd })? {
            Reply::Btf(info) => Ok(info),
            reply => unexpected(reply),
        }
    }

    /// [`Command::BtfBlob`].
    pub fn btf_blob(&self, fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
        match self.call(Command::BtfBlob { fd })? {
            Reply::Bytes(blob) => Ok(blob),
            reply => unexpected(reply),
        }
    }

    /// [`Command::NextId`]; `None` behind the last.
    pub fn next_id(&self, kind: ObjectKind, after: u32) -> io::Result<Option<u32>> {
        match self.number(Command::NextId { kind, after }) {
            // The kernel's ids have 32 bits.
            Ok(id) => Ok(u32::try_from(id).ok()),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// [`Command::FdById`].
    pub fn fd_by_id(&self, kind: ObjectKind, id: u32) -> io::Result<OwnedFd> {
        self.fd(Command::FdById { kind, id })
    }

    /// [`Command::LinkCreate`].
    pub fn create_link(
        &self,
        program: Option<BorrowedFd<'_>>,
        target: u32,
        attach_type: u32,
        flags: u32,
    ) -> io::Result<OwnedFd> {
        let (btf_id, uprobes) = (0, None);
        self.fd(Command::LinkCreate { program, target, attach_type, flags, btf_id, uprobes })
    }

    /// [`Command::LinkCreate`] with a program that replaces functions: it stands in for the function with
    /// that type in the BTF of a program, beside those that it stands in for already (Linux 5.10).
    pub fn replace_function(
        &self,
        with: BorrowedFd<'_>,
        of: BorrowedFd<'_>,
        btf_id: u32,
    ) -> io::Result<OwnedFd> {
        // Descriptors are not negative.
        let target = of.as_raw_fd().cast_unsigned();
        let (program, attach_type, flags, uprobes) = (Some(with), 0, 0, None);
        self.fd(Command::LinkCreate { program, target, attach_type, flags, btf_id, uprobes })
    }

    /// [`Command::LinkCreate`] with `BPF_TRACE_UPROBE_MULTI`.
    pub fn create_uprobe_link(
        &self,
        program: BorrowedFd<'_>,
        uprobes: Uprobes<'_>,
    ) -> io::Result<OwnedFd> {
        self.fd(Command::LinkCreate {
            program: Some(program),
            target: 0,
            attach_type: crate::facts::attach_type::TRACE_UPROBE_MULTI,
            flags: 0,
            btf_id: 0,
            uprobes: Some(uprobes),
        })
    }

    /// [`Command::Uname`].
    pub fn uname(&self) -> io::Result<Uname> {
        match self.call(Command::Uname)? {
            Reply::Uname(uname) => Ok(uname),
            reply => unexpected(reply),
        }
    }

    /// [`Command::PageSize`].
    pub fn page_size(&self) -> io::Result<u32> {
        let size = self.number(Command::PageSize)?;
        u32::try_from(size).map_err(io::Error::other)
    }

    /// [`Command::RaiseMemlock`].
    pub fn raise_memlock(&self) -> io::Result<()> {
        self.done(Command::RaiseMemlock)
    }

    /// [`Command::FsMagic`].
    pub fn fs_magic(&self, path: &Path) -> io::Result<u64> {
        self.number(Command::FsMagic { path })
    }
}
