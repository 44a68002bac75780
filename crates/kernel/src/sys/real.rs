//! The running kernel. All of the project's `unsafe` code is in this file (and in the contract of
//! `sys/attr.rs`).

// bpf(2) takes pointers as numbers; uname(2), statfs(2) fill structs; new fds are plain numbers.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::io::{BufRead as _, BufReader};
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use bpfweld_link::ImageLine;

use super::attr::{
    Attr, BtfLoadAttr, IdAttr, InfoAttr, LinkCreateAttr, LinkUpdateAttr, MapCreateAttr,
    MapElemAttr, ObjAttr, ProgLoadAttr, RawBtfInfo, RawLinkInfo, RawMapInfo, RawProgInfo,
    TestRunAttr,
};
use super::{
    BtfInfo, CORE_RELO_SIZE, Command, FUNC_INFO_SIZE, LINE_INFO_SIZE, LinkInfo, Log, MapCreate,
    MapInfo, OBJ_NAME_MAX, ObjectKind, ProgInfo, ProgLoad, Reply, Sys, TestRun, TestRunReply,
    Uname,
};
use crate::facts::{is_per_cpu, parse_cpu_list};

/// The running kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealSys;

/// `BPF_F_REPLACE` (`linux/bpf.h`).
const BPF_F_REPLACE: u32 = 4;

/// `enum bpf_cmd`.
mod cmd {
    pub(super) const MAP_CREATE: libc::c_int = 0;
    pub(super) const MAP_LOOKUP_ELEM: libc::c_int = 1;
    pub(super) const MAP_UPDATE_ELEM: libc::c_int = 2;
    pub(super) const MAP_DELETE_ELEM: libc::c_int = 3;
    pub(super) const MAP_GET_NEXT_KEY: libc::c_int = 4;
    pub(super) const PROG_LOAD: libc::c_int = 5;
    pub(super) const OBJ_PIN: libc::c_int = 6;
    pub(super) const OBJ_GET: libc::c_int = 7;
    pub(super) const PROG_TEST_RUN: libc::c_int = 10;
    pub(super) const PROG_GET_NEXT_ID: libc::c_int = 11;
    pub(super) const MAP_GET_NEXT_ID: libc::c_int = 12;
    pub(super) const PROG_GET_FD_BY_ID: libc::c_int = 13;
    pub(super) const MAP_GET_FD_BY_ID: libc::c_int = 14;
    pub(super) const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    pub(super) const BTF_LOAD: libc::c_int = 18;
    pub(super) const BTF_GET_FD_BY_ID: libc::c_int = 19;
    pub(super) const MAP_FREEZE: libc::c_int = 22;
    pub(super) const BTF_GET_NEXT_ID: libc::c_int = 23;
    pub(super) const LINK_CREATE: libc::c_int = 28;
    pub(super) const LINK_UPDATE: libc::c_int = 29;
    pub(super) const LINK_GET_FD_BY_ID: libc::c_int = 30;
    pub(super) const LINK_GET_NEXT_ID: libc::c_int = 31;
    pub(super) const LINK_DETACH: libc::c_int = 34;
}

impl Sys for RealSys {
    fn lines(&self, path: &Path, see: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut file = BufReader::with_capacity(64 << 10, File::open(path)?);
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            if !see(line.strip_suffix(b"\n").unwrap_or(&line)) {
                break;
            }
            line.clear();
        }
        Ok(())
    }

    fn read_lasting(&self, path: &Path) -> io::Result<Cow<'static, [u8]>> {
        match map_lasting(path) {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => self.read(path).map(Cow::Owned),
        }
    }

    fn call(&self, command: Command<'_>) -> io::Result<Reply> {
        match command {
            Command::MapCreate(map) => map_create(map).map(Reply::Fd),
            Command::MapLookup { map, key, value } => {
                check_sizes(map, Some(key.len()), Some(value.len()))?;
                elem(cmd::MAP_LOOKUP_ELEM, map, addr(key), addr_mut(value), 0)
            }
            Command::MapUpdate { map, key, value, flags } => {
                check_sizes(map, Some(key.len()), Some(value.len()))?;
                elem(cmd::MAP_UPDATE_ELEM, map, addr(key), addr(value), flags)
            }
            Command::MapDelete { map, key } => {
                check_sizes(map, Some(key.len()), None)?;
                elem(cmd::MAP_DELETE_ELEM, map, addr(key), 0, 0)
            }
            Command::MapNextKey { map, key, next } => {
                check_sizes(map, Some(key.map_or(next.len(), <[u8]>::len)), None)?;
                check_sizes(map, Some(next.len()), None)?;
                elem(cmd::MAP_GET_NEXT_KEY, map, key.map_or(0, addr), addr_mut(next), 0)
            }
            Command::MapFreeze { map } => elem(cmd::MAP_FREEZE, map, 0, 0, 0),
            Command::FillMemory { map, address, len, at, contents } => {
                fill_memory(map, address, len, at, contents).map(|()| Reply::Done)
            }
            Command::ProgLoad { program, log } => prog_load(program, log).map(Reply::Fd),
            Command::BtfLoad { blob, log } => btf_load(blob, log).map(Reply::Fd),
            Command::TestRun(run) => test_run(run).map(Reply::TestRun),
            Command::ObjPin { fd, path } => {
                let path = c_path(path)?;
                let mut attr = ObjAttr {
                    pathname: addr(path.as_bytes_with_nul()),
                    bpf_fd: raw(fd),
                    file_flags: 0,
                };
                bpf(cmd::OBJ_PIN, &mut attr, 0).map(|_| Reply::Done)
            }
            Command::ObjGet { path } => {
                let path = c_path(path)?;
                let mut attr =
                    ObjAttr { pathname: addr(path.as_bytes_with_nul()), ..Default::default() };
                bpf_fd(cmd::OBJ_GET, &mut attr).map(Reply::Fd)
            }
            Command::MapInfo { fd } => map_info(fd).map(Reply::Map),
            Command::ProgInfo { fd } => prog_info(fd).map(Reply::Prog),
            Command::BtfInfo { fd } => btf_info(fd).map(Reply::Btf),
            Command::BtfBlob { fd } => btf_blob(fd).map(Reply::Bytes),
            Command::NextId { kind, after } => {
                let mut attr = IdAttr { id: after, ..Default::default() };
                let cmd = match kind {
                    ObjectKind::Prog => cmd::PROG_GET_NEXT_ID,
                    ObjectKind::Map => cmd::MAP_GET_NEXT_ID,
                    ObjectKind::Btf => cmd::BTF_GET_NEXT_ID,
                    ObjectKind::Link => cmd::LINK_GET_NEXT_ID,
                };
                // The reply is in the second word, which an all-zero attr would not reach.
                bpf(cmd, &mut attr, 8).map(|_| Reply::Number(attr.next_id.into()))
            }
            Command::FdById { kind, id } => {
                let mut attr = IdAttr { id, ..Default::default() };
                let cmd = match kind {
                    ObjectKind::Prog => cmd::PROG_GET_FD_BY_ID,
                    ObjectKind::Map => cmd::MAP_GET_FD_BY_ID,
                    ObjectKind::Btf => cmd::BTF_GET_FD_BY_ID,
                    ObjectKind::Link => cmd::LINK_GET_FD_BY_ID,
                };
                bpf_fd(cmd, &mut attr).map(Reply::Fd)
            }
            Command::LinkCreate { program, target, attach_type, flags, btf_id, uprobes } => {
                let prog_fd = program.map_or(u32::MAX, raw);
                let mut attr =
                    LinkCreateAttr { prog_fd, target, attach_type, flags, ..Default::default() };
                // The same bytes: `target_btf_id` and `uprobe_multi.path` are of one union.
                attr.path = btf_id.into();
                let path = uprobes.map(|u| c_path(u.path)).transpose()?;
                if let (Some(path), Some(uprobes)) = (&path, uprobes) {
                    attr.path = addr(path.as_bytes_with_nul());
                    attr.offsets = uprobes.offsets.as_ptr().expose_provenance() as u64;
                    attr.count = u32::try_from(uprobes.offsets.len()).map_err(io::Error::other)?;
                }
                bpf_fd(cmd::LINK_CREATE, &mut attr).map(Reply::Fd)
            }
            Command::LinkUpdate { link, program, old } => {
                let mut attr = LinkUpdateAttr {
                    link_fd: raw(link),
                    new_prog_fd: raw(program),
                    flags: BPF_F_REPLACE,
                    old_prog_fd: raw(old),
                };
                // An fd of 0 is a valid one, and the kernel has to see it.
                bpf(cmd::LINK_UPDATE, &mut attr, size_of::<LinkUpdateAttr>()).map(|_| Reply::Done)
            }
            Command::LinkDetach { link } => {
                let mut attr = LinkUpdateAttr { link_fd: raw(link), ..Default::default() };
                bpf(cmd::LINK_DETACH, &mut attr, 0).map(|_| Reply::Done)
            }
            Command::LinkInfo { fd } => link_info(fd).map(Reply::Link),
            Command::Net(call) => super::real_net::call(call),
            Command::File(call) => super::files::call(call),
            Command::Uname => uname().map(Reply::Uname),
            Command::PageSize => {
                // SAFETY: takes and gives integers.
                let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
                u64::try_from(size).map(Reply::Number).map_err(|_| io::Error::last_os_error())
            }
            Command::RaiseMemlock => {
                let limit =
                    libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
                // SAFETY: `limit` lives through the call, which only reads it.
                let result = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
                if result == 0 { Ok(Reply::Done) } else { Err(io::Error::last_os_error()) }
            }
            Command::FsMagic { path } => fs_magic(path).map(Reply::Number),
        }
    }
}

/// Makes the call. The size passed ends at the last word that was filled (but is at least `least`):
/// an older kernel, whose attr is shorter, then need not look for zeros behind what it knows.
fn bpf<A: Attr>(cmd: libc::c_int, attr: &mut A, least: usize) -> io::Result<i64> {
    let full = size_of::<A>();
    // SAFETY: an `Attr` is integers without padding, so all its bytes may be read.
    let bytes = unsafe { std::slice::from_raw_parts((attr as *const A).cast::<u8>(), full) };
    let filled = bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    let size = filled.max(least).next_multiple_of(8).min(full);
    // SAFETY: the kernel reads at most `size` bytes of `attr` and writes, whatever the size, only
    // to the fields that the command answers in, which lie within the full struct. Addresses in it
    // were taken from slices that outlive this call, with their lengths (see each caller).
    let result = unsafe { libc::syscall(libc::SYS_bpf, cmd, attr as *mut A, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn bpf_fd<A: Attr>(cmd: libc::c_int, attr: &mut A) -> io::Result<OwnedFd> {
    let result = bpf(cmd, attr, 0)?;
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this fd for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    // Fds are not negative.
    fd.as_raw_fd().unsigned_abs()
}

fn fill_memory(
    map: BorrowedFd<'_>,
    address: u64,
    len: u64,
    start: u64,
    contents: &[u8],
) -> io::Result<()> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let start = usize::try_from(start).map_err(io::Error::other)?;
    if start.checked_add(contents.len()).is_none_or(|end| end > len) {
        return Err(invalid("more contents than memory"));
    }
    let at = usize::try_from(address).map_err(io::Error::other)? as *mut libc::c_void;
    // Not MAP_FIXED: memory of this process that is at that address already stays.
    let fixed = if address == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which replaces no other.
    let mapped =
        unsafe { libc::mmap(at, len, protection, libc::MAP_SHARED | fixed, map.as_raw_fd(), 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is `len` bytes, into which `contents` fit from `start` on, and nothing else
    // knows of it.
    unsafe {
        let to = mapped.cast::<u8>().add(start);
        std::ptr::copy_nonoverlapping(contents.as_ptr(), to, contents.len())
    };
    // SAFETY: the mapping just made, and no reference into it.
    match unsafe { libc::munmap(mapped, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Maps a file of sysfs that the kernel lets be mapped (its BTF, since 6.16), once and for good;
/// `None` where that cannot be.
fn map_lasting(path: &Path) -> Option<&'static [u8]> {
    static MAPPED: Mutex<Vec<(PathBuf, &'static [u8])>> = Mutex::new(Vec::new());
    let mut mapped = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, bytes)) = mapped.iter().find(|(of, _)| of == path) {
        return Some(bytes);
    }
    // In a container it may be something else, which others can write.
    if fs_magic(path).ok()? != libc::SYSFS_MAGIC as u64 & 0xffff_ffff {
        return None;
    }
    let file = File::open(path).ok()?;
    let len = usize::try_from(file.metadata().ok()?.len()).ok().filter(|&len| len > 0)?;
    let (at, shared) = (std::ptr::null_mut(), libc::MAP_PRIVATE);
    // SAFETY: a new mapping, which replaces no other.
    let start = unsafe { libc::mmap(at, len, libc::PROT_READ, shared, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the kernel maps its own read-only memory, which does not change and is as long as it
    // says; nothing unmaps it.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) };
    mapped.push((path.into(), bytes));
    Some(bytes)
}

fn addr<T>(of: &[T]) -> u64 {
    if of.is_empty() { 0 } else { of.as_ptr() as u64 }
}

fn addr_mut(bytes: &mut [u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_mut_ptr() as u64 }
}

fn len32(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| invalid("more than 4 GiB"))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| invalid("zero byte in a path"))
}

fn name_bytes(name: &str) -> [u8; OBJ_NAME_MAX + 1] {
    let mut out = [0; OBJ_NAME_MAX + 1];
    for (to, from) in out.iter_mut().take(OBJ_NAME_MAX).zip(name.bytes()) {
        *to = from;
    }
    out
}

fn name_string(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn elem(
    cmd: libc::c_int,
    map: BorrowedFd<'_>,
    key: u64,
    value: u64,
    flags: u64,
) -> io::Result<Reply> {
    let mut attr = MapElemAttr { map_fd: raw(map), key, value, flags, ..Default::default() };
    bpf(cmd, &mut attr, 0).map(|_| Reply::Done)
}

/// The kernel reads and writes as many bytes as the map says, whatever the caller's slices hold: so
/// ask it first.
fn check_sizes(
    map: BorrowedFd<'_>,
    key_len: Option<usize>,
    value_len: Option<usize>,
) -> io::Result<()> {
    let info = map_info(map)?;
    if key_len.is_some_and(|len| len != info.key_size as usize) {
        return Err(invalid("the key has not the size of the map's keys"));
    }
    if let Some(len) = value_len {
        let want = match is_per_cpu(info.map_type) {
            true => (info.value_size as usize).next_multiple_of(8) * possible_cpus()?,
            // Maps of maps and program arrays take and give 4 bytes, as their value_size says.
            false => info.value_size as usize,
        };
        if len != want {
            return Err(invalid("the value has not the size of the map's values"));
        }
    }
    Ok(())
}

fn possible_cpus() -> io::Result<usize> {
    static CPUS: OnceLock<usize> = OnceLock::new();
    if let Some(&n) = CPUS.get() {
        return Ok(n);
    }
    let list = std::fs::read_to_string(crate::facts::POSSIBLE_CPUS)?;
    let n = parse_cpu_list(&list).ok_or_else(|| invalid("list of possible CPUs is unreadable"))?;
    Ok(*CPUS.get_or_init(|| n as usize))
}

fn map_create(map: &MapCreate<'_>) -> io::Result<OwnedFd> {
    let mut attr = MapCreateAttr {
        map_type: map.map_type,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        map_flags: map.map_flags,
        inner_map_fd: map.inner_map.map_or(0, raw),
        numa_node: map.numa_node,
        map_name: name_bytes(map.name),
        btf_fd: map.btf.map_or(0, raw),
        btf_key_type_id: map.btf_key_type_id,
        btf_value_type_id: map.btf_value_type_id,
        btf_vmlinux_value_type_id: map.kernel_value_type_id,
        map_extra: map.map_extra,
        value_type_btf_obj_fd: map.kernel_value_btf.map_or(0, raw),
        map_ifindex: map.ifindex,
        ..Default::default()
    };
    bpf_fd(cmd::MAP_CREATE, &mut attr)
}

const _: () = assert!(size_of::<ImageLine>() == LINE_INFO_SIZE);

/// Lines as [`ProgLoad`] takes them.
pub(crate) fn line_records(lines: &[ImageLine]) -> &[u8] {
    // SAFETY: repr(C), integers only; the assertion excludes padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

fn prog_load(program: &ProgLoad<'_>, log: Option<Log<'_>>) -> io::Result<OwnedFd> {
    let license = CString::new(program.license).map_err(|_| invalid("zero byte in a licence"))?;
    let records = |bytes: &[u8], size: usize| -> io::Result<(u64, u32, u32)> {
        if !bytes.len().is_multiple_of(size) {
            return Err(invalid("records of another size"));
        }
        // The record sizes are below 100.
        let record = if bytes.is_empty() { 0 } else { size as u32 };
        Ok((addr(bytes), len32(bytes)? / size as u32, record))
    };
    let insn_cnt = u32::try_from(program.insns.len()).map_err(|_| invalid("too many"))?;
    let (func_info, func_info_cnt, func_info_rec_size) =
        records(program.func_info, FUNC_INFO_SIZE)?;
    let (line_info, line_info_cnt, line_info_rec_size) =
        records(program.line_info, LINE_INFO_SIZE)?;
    let (core_relos, core_relo_cnt, core_relo_rec_size) =
        records(program.core_relos, CORE_RELO_SIZE)?;
    let fds = program.fd_array;
    let mut attr = ProgLoadAttr {
        prog_type: program.prog_type,
        insn_cnt,
        insns: addr(program.insns),
        license: addr(license.as_bytes_with_nul()),
        kern_version: program.kern_version,
        prog_flags: program.prog_flags,
        prog_name: name_bytes(program.name),
        expected_attach_type: program.expected_attach_type,
        prog_ifindex: program.ifindex,
        prog_btf_fd: program.btf.map_or(0, raw),
        func_info_rec_size,
        func_info,
        func_info_cnt,
        line_info_rec_size,
        line_info,
        line_info_cnt,
        attach_btf_id: program.attach_btf_id,
        attach_prog_fd: program.attach_prog.map_or(0, raw),
        core_relo_cnt,
        fd_array: if fds.is_empty() { 0 } else { fds.as_ptr() as u64 },
        core_relos,
        core_relo_rec_size,
        ..Default::default()
    };
    if let Some(log) = log {
        attr.log_level = log.level;
        attr.log_size = len32(log.buf)?;
        attr.log_buf = addr_mut(log.buf);
    }
    bpf_fd(cmd::PROG_LOAD, &mut attr)
}

fn btf_load(blob: &[u8], log: Option<Log<'_>>) -> io::Result<OwnedFd> {
    let mut attr = BtfLoadAttr { btf: addr(blob), btf_size: len32(blob)?, ..Default::default() };
    if let Some(log) = log {
        attr.btf_log_level = log.level;
        attr.btf_log_size = len32(log.buf)?;
        attr.btf_log_buf = addr_mut(log.buf);
    }
    bpf_fd(cmd::BTF_LOAD, &mut attr)
}

fn test_run(run: TestRun<'_>) -> io::Result<TestRunReply> {
    // Before 5.0 the kernel copies the whole packet out, whatever data_size_out says; a packet in
    // a test run then had at most one page.
    let room = run.data_in.len().saturating_add(4096);
    if !run.data_out.is_empty() && run.data_out.len() < room {
        return Err(invalid("the buffer for the packet is too short"));
    }
    let mut attr = TestRunAttr {
        prog_fd: raw(run.program),
        data_size_in: len32(run.data_in)?,
        data_size_out: len32(run.data_out)?,
        data_in: addr(run.data_in),
        data_out: addr_mut(run.data_out),
        repeat: run.repeat,
        ctx_size_in: len32(run.ctx_in)?,
        ctx_size_out: len32(run.ctx_out)?,
        ctx_in: addr(run.ctx_in),
        ctx_out: addr_mut(run.ctx_out),
        flags: run.flags,
        ..Default::default()
    };
    bpf(cmd::PROG_TEST_RUN, &mut attr, offset_of!(TestRunAttr, ctx_size_in))?;
    Ok(TestRunReply {
        retval: attr.retval,
        duration: attr.duration,
        data_size_out: attr.data_size_out,
        ctx_size_out: attr.ctx_size_out,
    })
}

fn info<I: Attr>(fd: BorrowedFd<'_>) -> io::Result<I> {
    info_into(fd, I::default())
}

/// What `out` holds says what else the kernel is to write, and where: the caller answers for that.
fn info_into<I: Attr>(fd: BorrowedFd<'_>, mut out: I) -> io::Result<I> {
    let mut attr = InfoAttr {
        bpf_fd: raw(fd),
        // These structs have a few hundred bytes.
        info_len: size_of::<I>() as u32,
        info: &raw mut out as u64,
    };
    bpf(cmd::OBJ_GET_INFO_BY_FD, &mut attr, 0)?;
    Ok(out)
}

fn btf_info(fd: BorrowedFd<'_>) -> io::Result<BtfInfo> {
    // Names of modules are shorter (`MODULE_NAME_LEN`).
    let mut name = [0u8; 64];
    let wanted =
        RawBtfInfo { name: addr_mut(&mut name), name_len: name.len() as u32, ..Default::default() };
    let raw = info_into(fd, wanted)?;
    let len = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    Ok(BtfInfo {
        id: raw.id,
        name: String::from_utf8_lossy(name.get(..len).unwrap_or_default()).into_owned(),
        kernel: raw.kernel_btf != 0,
    })
}

fn btf_blob(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    // Without room for it, the kernel says how much it wants. The contents never change.
    let size = info_into(fd, RawBtfInfo::default())?.btf_size;
    let mut blob = vec![0u8; size as usize];
    let wanted = RawBtfInfo { btf: addr_mut(&mut blob), btf_size: size, ..Default::default() };
    info_into(fd, wanted)?;
    Ok(blob)
}

fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let raw: RawMapInfo = info(fd)?;
    Ok(MapInfo {
        map_type: raw.map_type,
        id: raw.id,
        key_size: raw.key_size,
        value_size: raw.value_size,
        max_entries: raw.max_entries,
        map_flags: raw.map_flags,
        name: name_string(&raw.name),
        btf_id: raw.btf_id,
        btf_key_type_id: raw.btf_key_type_id,
        btf_value_type_id: raw.btf_value_type_id,
        map_extra: raw.map_extra,
    })
}

fn link_info(fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let raw: RawLinkInfo = info(fd)?;
    Ok(LinkInfo {
        link_type: raw.link_type,
        id: raw.id,
        prog_id: raw.prog_id,
        ifindex: if raw.link_type == LinkInfo::XDP { raw.word0 } else { 0 },
        // Behind the attach type.
        target: if raw.link_type == LinkInfo::TRACING { raw.word1 } else { 0 },
    })
}

fn prog_info(fd: BorrowedFd<'_>) -> io::Result<ProgInfo> {
    let mut ids = [0u8; 64 * 4];
    let wanted = RawProgInfo { nr_map_ids: 64, map_ids: addr_mut(&mut ids), ..Default::default() };
    let raw = info_into(fd, wanted)?;
    let ids = ids.as_chunks::<4>().0.iter().take(raw.nr_map_ids as usize);
    Ok(ProgInfo {
        prog_type: raw.prog_type,
        id: raw.id,
        tag: raw.tag,
        name: name_string(&raw.name),
        jited_len: raw.jited_prog_len,
        xlated_len: raw.xlated_prog_len,
        func_infos: raw.nr_func_info,
        line_infos: raw.nr_line_info,
        btf_id: raw.btf_id,
        map_ids: ids.map(|id| u32::from_ne_bytes(*id)).collect(),
        verified_insns: raw.verified_insns,
    })
}

fn uname() -> io::Result<Uname> {
    let mut raw = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the kernel fills the struct that it is given.
    if unsafe { libc::uname(raw.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was zeroed and then filled; arrays of bytes have no invalid values.
    let raw = unsafe { raw.assume_init() };
    let text = |field: &[libc::c_char]| {
        let bytes: Vec<u8> = field.iter().map(|&c| c.to_ne_bytes()[0]).collect();
        name_string(&bytes)
    };
    Ok(Uname {
        release: text(&raw.release),
        version: text(&raw.version),
        machine: text(&raw.machine),
    })
}

fn fs_magic(path: &Path) -> io::Result<u64> {
    let path = c_path(path)?;
    let mut raw = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `path` is zero-terminated and the kernel fills the struct that it is given.
    if unsafe { libc::statfs(path.as_ptr(), raw.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was zeroed and then filled; integers have no invalid values.
    let raw = unsafe { raw.assume_init() };
    // Signed on some machines; magic numbers have 32 bits.
    Ok(raw.f_type as u64 & 0xffff_ffff)
}
