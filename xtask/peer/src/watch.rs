//! `syscall`, as libbpf and bpfweld call it: passes everything on and notes `BPF_PROG_LOAD`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_char, c_long};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use bpfweld::btf::Btf;

use crate::canon;
use crate::record::{Load, Map};
use crate::system_call::{Call, answer, raw};

const MAP_LOOKUP_ELEM: c_long = 1;
const PROG_LOAD: c_long = 5;
const OBJ_GET_INFO_BY_FD: c_long = 15;
const BTF_GET_FD_BY_ID: c_long = 19;
/// Both sides call it that.
pub const KCONFIG: &str = ".kconfig";
/// Bytes of `union bpf_attr` that are looked at.
const ATTR: usize = 192;

/// Where the maps of the load under way are to be had: name and fd.
type Maps = Box<dyn Fn() -> Vec<(String, i32)> + Send>;

struct Watched {
    /// The program.
    name: String,
    maps: Maps,
    load: Option<Load>,
}

static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

/// Notes loads of this program from now on.
pub fn start(name: &str, maps: Maps) {
    let name = name.to_owned();
    if let Ok(mut watched) = WATCHED.lock() {
        *watched = Some(Watched { name, maps, load: None });
    }
}

/// What was noted.
pub fn stop() -> Option<Load> {
    WATCHED.lock().ok()?.take()?.load
}

/// What `syscall` does here.
///
/// # Safety
///
/// As the C library's.
pub unsafe fn stand_in(call: Call) -> c_long {
    let result = unsafe { raw(call) };
    if let (libc::SYS_bpf, [PROG_LOAD, attr, size, ..]) = call {
        unsafe { note(attr as *const u8, size as usize, result) };
    }
    answer(result)
}

fn bpf(cmd: c_long, attr: &mut [u8]) -> c_long {
    let at = attr.as_mut_ptr() as c_long;
    unsafe { raw((libc::SYS_bpf, [cmd, at, attr.len() as c_long, 0, 0, 0])) }
}

/// A `BPF_PROG_LOAD` with its arguments, which the kernel has answered with `result`.
unsafe fn note(attr: *const u8, size: usize, result: c_long) {
    // A load by a callback of the watched one would be a surprise.
    let Ok(mut watched) = WATCHED.try_lock() else { return };
    let Some(watched) = &mut *watched else { return };
    let mut bytes = [0; ATTR];
    unsafe { std::ptr::copy_nonoverlapping(attr, bytes.as_mut_ptr(), size.min(ATTR)) };
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let functions = match word(72) {
        0 => HashMap::new(),
        fd => unsafe { function_names(fd, long(80), word(76), word(88)) },
    };
    let short = bytes[48..64].split(|&b| b == 0).next().unwrap();
    // The kernel's names are cut; those of two programs may be the same.
    let same = match functions.get(&0) {
        Some(name) => *name == watched.name,
        None => watched.name.bytes().take(15).eq(short.iter().copied()),
    };
    if !same {
        return;
    }
    let errno = if result < 0 { -result as i32 } else { 0 };
    let (log_level, log_size, log_buf) = (word(24), word(28), long(32));
    let reason = if log_level > 0 && log_buf != 0 && errno != 0 {
        let log = unsafe { std::slice::from_raw_parts(log_buf as *const u8, log_size as usize) };
        last_words(log.split(|&b| b == 0).next().unwrap())
    } else {
        String::new()
    };
    // Later tries are there for the log; what matters is what was tried first.
    if let Some(load) = &mut watched.load {
        if load.errno == libc::EAGAIN || errno != libc::EAGAIN && errno != libc::ENOSPC {
            load.errno = errno;
        }
        if !reason.is_empty() {
            load.reason = reason;
        }
        return;
    }
    let insns = unsafe { std::slice::from_raw_parts(long(8) as *const u64, word(4) as usize) };
    let maps = (watched.maps)();
    let kconfig = maps.iter().find(|(name, _)| name == KCONFIG);
    let kconfig = kconfig.map(|(_, fd)| variables(*fd)).unwrap_or_default();
    let fd_array = match long(120) {
        0 => &[][..],
        // Its length is not told by those who do not have to; indices are below 256.
        at => unsafe { std::slice::from_raw_parts(at as *const i32, 257) },
    };
    watched.load = Some(Load {
        errno,
        reason,
        prog_type: word(0),
        attach_type: word(68),
        flags: word(44),
        attach_btf_id: word(108),
        attach_fd: word(112) != 0,
        license: match long(16) {
            0 => String::new(),
            at => unsafe { CStr::from_ptr(at as *const c_char) }.to_string_lossy().into_owned(),
        },
        has_btf: word(72) != 0,
        func_infos: word(88),
        line_infos: word(104),
        functions: canon::canonical(insns, &functions, &maps, &kconfig, fd_array),
        maps: maps.iter().filter_map(|(name, fd)| map_info(name, *fd)).collect(),
    });
}

/// Name of each function with func_info, by its first instruction.
unsafe fn function_names(fd: u32, at: u64, size: u32, count: u32) -> HashMap<usize, String> {
    let Some(btf) = btf_of(fd as i32) else { return HashMap::new() };
    let record = |i: u32| {
        let at = (at + u64::from(i) * u64::from(size)) as *const u32;
        let (insn, id) = unsafe { (at.read_unaligned(), at.add(1).read_unaligned()) };
        (insn as usize, btf.ty(bpfweld::btf::TypeId(id)).name().to_string())
    };
    (0..count).map(record).collect()
}

fn btf_of(fd: i32) -> Option<Btf> {
    let mut blob = vec![0u8; 64 << 20];
    let mut info = [0u8; 48];
    info[0..8].copy_from_slice(&(blob.as_mut_ptr() as u64).to_ne_bytes());
    info[8..12].copy_from_slice(&(blob.len() as u32).to_ne_bytes());
    get_info(fd, &mut info)?;
    blob.truncate(u32::from_ne_bytes(info[8..12].try_into().ok()?) as usize);
    Btf::parse(&blob).ok()
}

fn get_info(fd: i32, info: &mut [u8]) -> Option<()> {
    let mut attr = [0u8; 16];
    attr[0..4].copy_from_slice(&fd.to_ne_bytes());
    attr[4..8].copy_from_slice(&(info.len() as u32).to_ne_bytes());
    attr[8..16].copy_from_slice(&(info.as_mut_ptr() as u64).to_ne_bytes());
    (bpf(OBJ_GET_INFO_BY_FD, &mut attr) >= 0).then_some(())
}

/// What the kernel says of a map (`struct bpf_map_info`).
pub fn map_info(name: &str, fd: i32) -> Option<Map> {
    let mut info = [0u8; 88];
    get_info(fd, &mut info)?;
    let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap());
    let mut map = Map {
        name: name.into(),
        map_type: word(0),
        key_size: word(8),
        value_size: word(12),
        max_entries: word(16),
        flags: word(20),
        extra: u64::from_ne_bytes(info[80..88].try_into().unwrap()),
        has_key_type: word(68) != 0,
        has_value_type: word(72) != 0,
        content: 0,
        values: BTreeMap::new(),
    };
    if map.name.starts_with('.') {
        let (key, mut value) = (0u32, vec![0u8; map.value_size as usize]);
        let mut attr = [0u8; 32];
        attr[0..4].copy_from_slice(&fd.to_ne_bytes());
        attr[8..16].copy_from_slice(&(&raw const key as u64).to_ne_bytes());
        attr[16..24].copy_from_slice(&(value.as_mut_ptr() as u64).to_ne_bytes());
        if bpf(MAP_LOOKUP_ELEM, &mut attr) >= 0 {
            if name == KCONFIG {
                let bytes = |v: &Variable| value.get(v.offset..v.offset + v.size);
                let named = |v: Variable| Some((v.name.clone(), bytes(&v)?.to_vec()));
                map.values = variables(fd).into_iter().filter_map(named).collect();
                map.value_size = 0;
            } else {
                let mut hasher = DefaultHasher::new();
                value.hash(&mut hasher);
                map.content = hasher.finish();
            }
        }
    }
    Some(map)
}

/// A variable of a map that stands for a section.
pub struct Variable {
    pub name: String,
    pub offset: usize,
    size: usize,
}

/// The variables of such a map.
fn variables(fd: i32) -> Vec<Variable> {
    let find = || {
        let mut info = [0u8; 88];
        get_info(fd, &mut info)?;
        let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap());
        let mut attr = [0u8; 16];
        attr[0..4].copy_from_slice(&word(64).to_ne_bytes());
        let btf_fd = i32::try_from(bpf(BTF_GET_FD_BY_ID, &mut attr)).ok().filter(|fd| *fd >= 0)?;
        let btf = btf_of(btf_fd);
        unsafe { libc::close(btf_fd) };
        let btf = btf?;
        let section = btf.ty(bpfweld::btf::TypeId(word(72)));
        let variable = |v: bpfweld::btf::SectionVar| Variable {
            name: btf.ty(v.type_id).name().to_owned(),
            offset: v.offset as usize,
            size: v.size as usize,
        };
        Some(section.section_vars().map(variable).collect())
    };
    find().unwrap_or_default()
}

/// Name that the kernel has for what an fd stands for; for what nobody has named.
pub fn kernel_map_name(fd: i32) -> Option<String> {
    let mut info = [0u8; 88];
    get_info(fd, &mut info)?;
    let name = info[24..40].split(|&b| b == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Name of the BTF behind an fd.
pub fn btf_name(fd: i32) -> String {
    let mut name = [0u8; 64];
    let mut info = [0u8; 32];
    info[16..24].copy_from_slice(&(name.as_mut_ptr() as u64).to_ne_bytes());
    info[24..28].copy_from_slice(&(name.len() as u32).to_ne_bytes());
    match get_info(fd, &mut info) {
        Some(()) => String::from_utf8_lossy(name.split(|&b| b == 0).next().unwrap()).into_owned(),
        None => format!("fd {fd}"),
    }
}

/// The last line of a log that is not statistics.
fn last_words(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let statistics =
        ["processed ", "verification time", "stack depth", "max_states", "peak_states"];
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !statistics.iter().any(|word| line.starts_with(word)));
    line.unwrap_or("").to_owned()
}

/// A BPF file system that only this process sees.
pub fn private_bpffs() -> Result<PathBuf> {
    let at = bpffs_of(std::process::id());
    std::fs::create_dir_all(&at)?;
    let path = CString::new(at.to_string_lossy().as_bytes())?;
    let mount = |source: &CStr, at: &CStr, kind: &CStr, flags| unsafe {
        libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, std::ptr::null())
    };
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0
        || mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE) != 0
        || mount(c"bpf", &path, c"bpf", 0) != 0
    {
        bail!("no BPF file system of our own (are you root?): {}", std::io::Error::last_os_error());
    }
    Ok(at)
}

/// Where that of a process is.
pub fn bpffs_of(process: u32) -> PathBuf {
    std::env::temp_dir().join(format!("bpfweld-peer-{process}"))
}

/// Takes away what is pinned.
pub fn clear(pins: &std::path::Path) -> Result<()> {
    for entry in std::fs::read_dir(pins).context("pins")? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}
