//! One probe for every [`Feature`]: the smallest thing that a kernel without it refuses.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use bpfweld_btf::Kind;
use bpfweld_insn::flow::JAX;
use bpfweld_insn::{CALL, EXIT, Insn, LD_IMM64, pseudo};

use crate::facts::{attach_type, map_flag, map_type, prog_flag, prog_type};
use crate::features::Feature;
use crate::jump_table;
use crate::sys::{MapCreate, ProgLoad, Sys, TestRun, Uprobes};

/// `dst = *(u64 *)(src + off)`: `BPF_LDX | BPF_MEM | BPF_DW`.
const LOAD_U64: u8 = 0x79;

/// Numbers of helpers that tell kernels apart (`enum bpf_func_id`).
mod helper {
    pub(super) const TAIL_CALL: i32 = 12;
    pub(super) const XDP_LOAD_BYTES: i32 = 189;
    /// Came with the release that stopped charging RLIMIT_MEMLOCK.
    pub(super) const KTIME_GET_COARSE_NS: i32 = 160;
    pub(super) const FOR_EACH_MAP_ELEM: i32 = 164;
    pub(super) const GET_ATTACH_COOKIE: i32 = 174;
    pub(super) const LOOP: i32 = 181;
}

/// `ldimm64` of a map by its place in the array of fds (`BPF_PSEUDO_MAP_IDX`).
const PSEUDO_MAP_IDX: u8 = 5;

pub(crate) fn probe(sys: &dyn Sys, feature: Feature) -> io::Result<()> {
    match feature {
        Feature::Bpf => load(sys, &[mov(0, 0), exit()]),
        Feature::Btf => btf(sys, |_| {}),
        Feature::BtfFunc => btf(sys, |b| {
            b.proto_and_func("f", 0);
        }),
        Feature::BtfDatasec => btf(sys, |b| {
            let var = b.var("x");
            b.add(".d", Kind::Datasec, 1, 4, &[var, 0, 4]);
        }),
        Feature::BtfFuncGlobal => btf(sys, |b| {
            b.proto_and_func("f", 1);
        }),
        Feature::BtfFloat => btf(sys, |b| {
            b.add("float", Kind::Float, 0, 4, &[]);
        }),
        Feature::BtfDeclTag => btf(sys, |b| {
            let var = b.var("x");
            b.add("tag", Kind::DeclTag, 0, var, &[u32::MAX]);
        }),
        Feature::BtfTypeTag => btf(sys, |b| {
            let tag = b.add("tag", Kind::TypeTag, 0, INT, &[]);
            b.add("", Kind::Ptr, 0, tag, &[]);
        }),
        Feature::BtfEnum64 => btf(sys, |b| {
            let name = b.string("E");
            b.add("e", Kind::Enum64, 1, 8, &[name, 0, 1]);
        }),
        Feature::BtfEnumKflag => btf(sys, |b| {
            let name = b.string("E");
            b.add("e", Kind::Enum, KFLAG | 1, 4, &[name, u32::MAX]);
        }),
        Feature::BtfTagKflag => btf(sys, |b| {
            let tag = b.add("attr", Kind::TypeTag, KFLAG, INT, &[]);
            b.add("", Kind::Ptr, 0, tag, &[]);
        }),
        Feature::FuncInfo => {
            let mut b = Types::new();
            let main = b.proto_and_func("main", 0);
            let line = b.string("line");
            let line_info = words(&[0, line, line, 1 << 10]);
            load_typed(sys, &b, &[mov(0, 0), exit()], &[(0, main)], &line_info)
        }
        Feature::Names => {
            let insns = [mov(0, 0), exit()];
            done(sys.load_program(&ProgLoad { name: "probe", ..filter(&insns) }, None))?;
            done(sys.create_map(&MapCreate { name: "probe", ..ARRAY }))
        }
        Feature::ExpectedAttachType => {
            // The type means nothing to an XDP program by itself; a kernel that does not know the
            // field refuses anything but 0 in it.
            let insns = [mov(0, 0), exit()];
            let expected_attach_type = attach_type::XDP;
            done(sys.load_program(
                &ProgLoad { prog_type: prog_type::XDP, expected_attach_type, ..filter(&insns) },
                None,
            ))
        }
        Feature::GlobalData => {
            let map = sys.create_map(&ARRAY)?;
            let [first, second] = ld_imm64(1, pseudo::MAP_VALUE, map.as_raw_fd());
            load(sys, &[first, second, mov(0, 0), exit()])
        }
        Feature::MmapableArray => {
            done(sys.create_map(&MapCreate { map_flags: map_flag::MMAPABLE, ..ARRAY }))
        }
        Feature::MapFreeze => {
            let map = sys.create_map(&MapCreate { map_flags: map_flag::RDONLY_PROG, ..ARRAY })?;
            sys.freeze(map.as_fd())
        }
        Feature::BpfCalls => load(sys, &[call_function(1), exit(), mov(0, 0), exit()]),
        Feature::GlobalFunctions => {
            let mut b = Types::new();
            let main = b.proto_and_func("main", 0);
            let sub = b.proto_and_func("sub", 1);
            let insns = [call_function(1), exit(), mov(0, 0), exit()];
            load_typed(sys, &b, &insns, &[(0, main), (2, sub)], &[])
        }
        Feature::ArgCtxTag => {
            // A `void *` is nothing that a function verified alone could read from; a context is.
            let mut b = Types::new();
            let pointer = b.add("", Kind::Ptr, 0, 0, &[]);
            let name = b.string("ctx");
            let main = b.proto_and_func("main", 0);
            let proto = b.add("", Kind::FuncProto, 1, INT, &[name, pointer]);
            let sub = b.add("sub", Kind::Func, 1, proto, &[]);
            b.add("arg:ctx", Kind::DeclTag, 0, sub, &[0]);
            let read = Insn::new(0x61, 0, 1, 0, 0);
            let insns = [call_function(1), exit(), read, exit()];
            load_typed(sys, &b, &insns, &[(0, main), (2, sub)], &[])
        }
        Feature::FuncPointers => {
            let map = sys.create_map(&ARRAY)?;
            let map = ld_imm64(1, pseudo::MAP_FD, map.as_raw_fd());
            with_callback(sys, &map, helper::FOR_EACH_MAP_ELEM)
        }
        Feature::BpfLoop => with_callback(sys, &[mov(1, 1)], helper::LOOP),
        Feature::Kfuncs => {
            // A call of kernel function 0 stands for one that is not there: kernels that know such
            // calls drop it when it cannot be reached; those that cannot make any refuse it.
            // Kernels before kernel functions would drop it too, but have no array of fds, which
            // this feature requires.
            let call = Insn::new(CALL, 0, pseudo::KFUNC_CALL, 0, 0);
            load(sys, &[mov(0, 0), Insn::new(0x15, 0, 0, 1, 0), call, exit()])
        }
        Feature::Extensions => {
            // One that replaces a whole XDP program: both are `int main(struct xdp_md *)`.
            let mut b = Types::new();
            let context = b.add("xdp_md", Kind::Struct, 0, 24, &[]);
            let pointer = b.add("", Kind::Ptr, 0, context, &[]);
            let name = b.string("ctx");
            let proto = b.add("", Kind::FuncProto, 1, INT, &[name, pointer]);
            let main = b.add("main", Kind::Func, 1, proto, &[]);
            let btf = sys.load_btf(&b.blob(), None)?;
            let (insns, func_info) = ([mov(0, 0), exit()], words(&[0, main]));
            let program = ProgLoad {
                prog_type: prog_type::XDP,
                btf: Some(btf.as_fd()),
                func_info: &func_info,
                ..filter(&insns)
            };
            let replaced = sys.load_program(&program, None)?;
            done(sys.load_program(
                &ProgLoad {
                    prog_type: prog_type::EXT,
                    attach_btf_id: main,
                    attach_prog: Some(replaced.as_fd()),
                    ..program
                },
                None,
            ))
        }
        Feature::MixedTailCalls => {
            let map = sys.create_map(&MapCreate { map_type: map_type::PROG_ARRAY, ..ARRAY })?;
            let [first, second] = ld_imm64(2, pseudo::MAP_FD, map.as_raw_fd());
            let mut b = Types::new();
            let main = b.proto_and_func("main", 0);
            let sub = b.proto_and_func("sub", 0);
            let tail_call = call_helper(helper::TAIL_CALL);
            let insns =
                [call_function(1), exit(), first, second, mov(3, 0), tail_call, mov(0, 0), exit()];
            load_typed(sys, &b, &insns, &[(0, main), (2, sub)], &[])
        }
        Feature::XdpFrags => {
            let insns = [mov(0, 0), exit()];
            let prog_flags = prog_flag::XDP_HAS_FRAGS;
            done(sys.load_program(
                &ProgLoad { prog_type: prog_type::XDP, prog_flags, ..filter(&insns) },
                None,
            ))
        }
        Feature::XdpDevBound => {
            let insns = [mov(0, 0), exit()];
            // The loopback interface has this index in every namespace, and its driver no XDP, which is
            // what kernels that know the flag stumble over.
            let bound = ProgLoad {
                prog_type: prog_type::XDP,
                prog_flags: prog_flag::XDP_DEV_BOUND_ONLY,
                ifindex: 1,
                ..filter(&insns)
            };
            match sys.load_program(&bound, None) {
                Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
                other => done(other),
            }
        }
        Feature::XdpLoadBytes => {
            // 8 bytes from the packet's start, to the stack.
            let to =
                [Insn::new(0xbf, 3, 10, 0, 0), Insn::new(0x07, 3, 0, 0, -8), mov(2, 0), mov(4, 8)];
            let call = [call_helper(helper::XDP_LOAD_BYTES), mov(0, 0), exit()];
            let insns = [&to[..], &call].concat();
            let prog_type = prog_type::XDP;
            done(sys.load_program(&ProgLoad { prog_type, ..filter(&insns) }, None))
        }
        Feature::Sleepable => {
            let insns = [mov(0, 0), exit()];
            let prog_flags = prog_flag::SLEEPABLE;
            let try_type = |prog_type| {
                done(sys.load_program(&ProgLoad { prog_type, prog_flags, ..filter(&insns) }, None))
            };
            // The two types that need nothing to attach to.
            try_type(prog_type::SYSCALL).or_else(|_| try_type(prog_type::KPROBE))
        }
        Feature::TestRunXdp => test_run(sys, prog_type::XDP, &[]),
        Feature::TestRunSkb => test_run(sys, prog_type::SCHED_CLS, &[]),
        // A `struct xdp_md`: all of the data is packet. Kernels that take none refuse any.
        Feature::TestRunContext => test_run(sys, prog_type::XDP, &words(&[0, 64, 0, 0, 0, 0])),
        Feature::BpfLink => match sys.create_link(None, 0, 0, 0) {
            // A kernel that knows the command stumbles over the fd.
            Err(e) if e.raw_os_error() == Some(libc::EBADF) => Ok(()),
            other => done(other),
        },
        Feature::MemcgAccounting => {
            load(sys, &[call_helper(helper::KTIME_GET_COARSE_NS), mov(0, 0), exit()])
        }
        Feature::FdArray => {
            let map = sys.create_map(&ARRAY)?;
            let [first, second] = ld_imm64(1, PSEUDO_MAP_IDX, 0);
            let insns = [first, second, mov(0, 0), exit()];
            let fds = [map.as_raw_fd()];
            done(sys.load_program(&ProgLoad { fd_array: &fds, ..filter(&insns) }, None))
        }
        Feature::KernelCore => {
            // The id of a type in the program's own BTF: the one relocation that needs no BTF of
            // the kernel.
            const TYPE_ID_LOCAL: u32 = 6;
            let mut b = Types::new();
            let main = b.proto_and_func("main", 0);
            let access = b.string("0");
            let btf = sys.load_btf(&b.blob(), None)?;
            let insns = [mov(0, 1), mov(0, 0), exit()];
            let program = ProgLoad {
                btf: Some(btf.as_fd()),
                func_info: &words(&[0, main]),
                core_relos: &words(&[0, INT, access, TYPE_ID_LOCAL]),
                ..filter(&insns)
            };
            done(sys.load_program(&program, None))
        }
        Feature::RingBuffer => done(sys.create_map(&MapCreate {
            map_type: map_type::RINGBUF,
            max_entries: sys.page_size()?,
            ..Default::default()
        })),
        Feature::Arena => done(sys.create_map(&MapCreate {
            map_type: map_type::ARENA,
            map_flags: map_flag::MMAPABLE,
            max_entries: 1,
            ..Default::default()
        })),
        Feature::JumpTables => {
            let table = jump_table::make(sys, &[4, 4])?;
            let [first, second] = ld_imm64(1, pseudo::MAP_VALUE, table.as_raw_fd());
            let load_entry = Insn::new(LOAD_U64, 1, 1, 0, 0);
            let jump = Insn::new(JAX, 1, 0, 0, 0);
            load(sys, &[first, second, load_entry, jump, mov(0, 0), exit()])
        }
        Feature::FarOffsets => {
            // The kernel gives an arena no memory before it is used.
            const FAR: u32 = 1 << 29;
            let arena = sys.create_map(&MapCreate {
                map_type: map_type::ARENA,
                map_flags: map_flag::MMAPABLE,
                max_entries: FAR / sys.page_size()?.max(1) + 1,
                // Programs want it to have an address.
                map_extra: 1 << 44,
                ..Default::default()
            })?;
            let [first, second] = ld_imm64(1, pseudo::MAP_VALUE, arena.as_raw_fd());
            let second = Insn { imm: FAR.cast_signed(), ..second };
            load(sys, &[first, second, mov(0, 0), exit()])
        }
        Feature::BpfCookie => {
            let insns = [call_helper(helper::GET_ATTACH_COOKIE), mov(0, 0), exit()];
            let prog_type = prog_type::TRACEPOINT;
            done(sys.load_program(&ProgLoad { prog_type, ..filter(&insns) }, None))
        }
        Feature::UprobeMulti => {
            let insns = [mov(0, 0), exit()];
            let program = sys.load_program(
                &ProgLoad {
                    prog_type: prog_type::KPROBE,
                    expected_attach_type: attach_type::TRACE_UPROBE_MULTI,
                    ..filter(&insns)
                },
                None,
            )?;
            let nowhere = Uprobes { path: Path::new("/"), offsets: &[0] };
            match sys.create_uprobe_link(program.as_fd(), nowhere) {
                // A kernel that knows such links finds that this is no regular file.
                Err(e) if e.raw_os_error() == Some(libc::EBADF) => Ok(()),
                other => done(other),
            }
        }
        // r0 < 1 by JLT, r0 == 0 by JMP32, long jump and sign extension.
        Feature::IsaV2 => load(sys, &[mov(0, 0), Insn::new(0xa5, 0, 0, 0, 1), exit()]),
        Feature::IsaV3 => load(sys, &[mov(0, 0), Insn::new(0x16, 0, 0, 0, 0), exit()]),
        Feature::IsaV4 => {
            let long_jump = Insn::new(bpfweld_insn::JA32, 0, 0, 0, 0);
            load(sys, &[mov(0, 0), long_jump, Insn::new(0xbf, 0, 0, 8, 0), exit()])
        }
    }
}

/// Loads a program that needs all of [`TOGETHER`](crate::features::TOGETHER). Names of maps came with those of
/// programs.
pub(crate) fn together(sys: &dyn Sys) -> io::Result<()> {
    let mut b = Types::new();
    let var = b.var("x");
    b.add(".d", Kind::Datasec, 1, 4, &[var, 0, 4]);
    let main = b.proto_and_func("main", 1);
    let line = b.string("line");
    let btf = sys.load_btf(&b.blob(), None)?;
    let insns = [call_helper(helper::KTIME_GET_COARSE_NS), mov(0, 0), exit()];
    let program = ProgLoad {
        name: "probe",
        btf: Some(btf.as_fd()),
        func_info: &words(&[0, main]),
        line_info: &words(&[0, line, line, 1 << 10]),
        expected_attach_type: attach_type::XDP,
        ..filter(&insns)
    };
    done(sys.load_program(&program, None))
}

const ARRAY: MapCreate<'static> = MapCreate {
    map_type: map_type::ARRAY,
    key_size: 4,
    value_size: 4,
    max_entries: 1,
    map_flags: 0,
    inner_map: None,
    numa_node: 0,
    name: "",
    btf: None,
    btf_key_type_id: 0,
    btf_value_type_id: 0,
    kernel_value_type_id: 0,
    kernel_value_btf: None,
    map_extra: 0,
    ifindex: 0,
};

/// The program type that needs the fewest privileges.
fn filter(insns: &[Insn]) -> ProgLoad<'_> {
    ProgLoad { prog_type: prog_type::SOCKET_FILTER, insns, license: "GPL", ..Default::default() }
}

fn done(result: io::Result<OwnedFd>) -> io::Result<()> {
    result.map(drop)
}

fn load(sys: &dyn Sys, insns: &[Insn]) -> io::Result<()> {
    done(sys.load_program(&filter(insns), None))
}

fn load_typed(
    sys: &dyn Sys,
    types: &Types,
    insns: &[Insn],
    functions: &[(u32, u32)],
    line_info: &[u8],
) -> io::Result<()> {
    let btf = sys.load_btf(&types.blob(), None)?;
    let func_info: Vec<u32> = functions.iter().flat_map(|&(start, id)| [start, id]).collect();
    let program = ProgLoad {
        btf: Some(btf.as_fd()),
        func_info: &words(&func_info),
        line_info,
        ..filter(insns)
    };
    done(sys.load_program(&program, None))
}

/// Calls `helper` with `first` in r1, a callback in r2 and zeros behind.
fn with_callback(sys: &dyn Sys, first: &[Insn], helper: i32) -> io::Result<()> {
    let mut b = Types::new();
    let main = b.proto_and_func("main", 0);
    let callback = b.proto_and_func("callback", 0);
    // From the load's second slot it is five instructions to the callback.
    let address = ld_imm64(2, pseudo::FUNC, 6);
    let rest = [mov(3, 0), mov(4, 0), call_helper(helper), mov(0, 0), exit(), mov(0, 0), exit()];
    let insns = [first, &address, &rest].concat();
    let start = first.len() + address.len() + 5;
    // A handful of instructions.
    load_typed(sys, &b, &insns, &[(0, main), (start as u32, callback)], &[])
}

fn test_run(sys: &dyn Sys, prog_type: u32, ctx_in: &[u8]) -> io::Result<()> {
    let insns = [mov(0, 1), exit()];
    let program = sys.load_program(&ProgLoad { prog_type, ..filter(&insns) }, None)?;
    let reply = sys.test_run(TestRun {
        program: program.as_fd(),
        data_in: &[0; 64],
        data_out: &mut [],
        ctx_in,
        ctx_out: &mut [],
        repeat: 1,
        flags: 0,
    })?;
    if reply.retval == 1 { Ok(()) } else { Err(io::Error::other("the test run ran nothing")) }
}

fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb7, dst, 0, 0, imm)
}

fn exit() -> Insn {
    Insn::new(EXIT, 0, 0, 0, 0)
}

fn call_helper(number: i32) -> Insn {
    Insn::new(CALL, 0, 0, 0, number)
}

fn call_function(delta: i32) -> Insn {
    Insn::new(CALL, 0, pseudo::CALL, 0, delta)
}

fn ld_imm64(dst: u8, src: u8, imm: i32) -> [Insn; 2] {
    [Insn::new(LD_IMM64, dst, src, 0, imm), Insn::default()]
}

pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; words.len() * 4];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.to_ne_bytes();
    }
    bytes
}

/// The type that every probe's BTF begins with.
const INT: u32 = 1;
const KFLAG: u32 = 1 << 31;

/// A handful of types, written down record by record: a probe must give the kernel exactly the kind
/// that it asks about, which a builder with checks of its own might not.
struct Types {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Types {
    fn new() -> Self {
        let mut new = Self { types: Vec::new(), strings: vec![0], count: 0 };
        // A signed integer of 32 bits.
        new.add("int", Kind::Int, 0, 4, &[1 << 24 | 32]);
        new
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(
        &mut self,
        name: &str,
        kind: Kind,
        flags_vlen: u32,
        size_or_type: u32,
        tail: &[u32],
    ) -> u32 {
        let name = self.string(name);
        let info = (kind as u32) << 24 | flags_vlen;
        self.types.extend(words(&[name, info, size_or_type]));
        self.types.extend(words(tail));
        self.count += 1;
        self.count
    }

    /// `int name(void)`.
    fn proto_and_func(&mut self, name: &str, linkage: u32) -> u32 {
        let proto = self.add("", Kind::FuncProto, 0, INT, &[]);
        self.add(name, Kind::Func, linkage, proto, &[])
    }

    /// `static int name`.
    fn var(&mut self, name: &str) -> u32 {
        self.add(name, Kind::Var, 0, INT, &[0])
    }

    fn blob(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut blob = 0xeb9f_u16.to_ne_bytes().to_vec();
        blob.extend([1, 0]); // version, flags
        blob.extend(words(&[24, 0, types, types, strings]));
        blob.extend(&self.types);
        blob.extend(&self.strings);
        blob
    }
}

fn btf(sys: &dyn Sys, add: impl FnOnce(&mut Types)) -> io::Result<()> {
    let mut types = Types::new();
    add(&mut types);
    done(sys.load_btf(&types.blob(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_types_are_btf() {
        let mut types = Types::new();
        let func = types.proto_and_func("f", 1);
        let parsed = bpfweld_btf::Btf::parse(&types.blob()).unwrap();
        assert_eq!(parsed.ty(bpfweld_btf::TypeId(func)).name(), "f");
        assert_eq!(parsed.ty(bpfweld_btf::TypeId(INT)).size(), 4);
    }
}
