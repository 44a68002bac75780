//! bpf(2) without a kernel: whatever is to be made is there at once, whatever is to be verified is
//! fine. For measuring what a loader does itself.
//!
//! A map's descriptor stands for a file in memory, so that mapping it works; any other for the standard
//! input, which costs next to nothing. What asks for BTF and other things that the kernel has is passed on.

use std::collections::HashMap;
use std::ffi::{c_int, c_long};
use std::sync::Mutex;

use crate::system_call::{self, Call};

const MAP_CREATE: c_long = 0;
const MAP_UPDATE_ELEM: c_long = 2;
const PROG_LOAD: c_long = 5;
const OBJ_PIN: c_long = 6;
const PROG_BIND_MAP: c_long = 35;
const OBJ_GET_INFO_BY_FD: c_long = 15;
const BTF_LOAD: c_long = 18;
const MAP_FREEZE: c_long = 22;

/// What was asked for of each map (`union bpf_attr`), by descriptor.
static MAPS: Mutex<Option<HashMap<c_int, Attr>>> = Mutex::new(None);

type Attr = [u8; 72];

/// What `syscall` does here.
///
/// # Safety
///
/// As the C library's.
pub unsafe fn stand_in(call: Call) -> c_long {
    let pretended = match call {
        (libc::SYS_bpf, [a, b, c, ..]) => unsafe { answer(a, b as *const u8, c as usize) },
        _ => None,
    };
    pretended.unwrap_or_else(|| system_call::answer(unsafe { system_call::raw(call) }))
}

/// The answer to a call of bpf(2); `None` when the kernel has to give it.
///
/// # Safety
///
/// `attr` and `size` are those of the call.
unsafe fn answer(cmd: c_long, attr: *const u8, size: usize) -> Option<c_long> {
    let mut bytes: Attr = [0; 72];
    unsafe { std::ptr::copy_nonoverlapping(attr, bytes.as_mut_ptr(), size.min(bytes.len())) };
    let mut maps = MAPS.try_lock().ok()?;
    let maps = maps.get_or_insert_default();
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    match cmd {
        MAP_CREATE => {
            let fd = descriptor();
            maps.insert(fd, bytes);
            Some(fd.into())
        }
        PROG_LOAD | BTF_LOAD => Some(unsafe { libc::dup(0) }.into()),
        MAP_UPDATE_ELEM | OBJ_PIN | MAP_FREEZE | PROG_BIND_MAP => Some(0),
        OBJ_GET_INFO_BY_FD => {
            let made = maps.get(&(word(0) as c_int))?;
            let mut info = [0; 88];
            for (to, from, len) in [(0, 0, 4), (8, 4, 16), (24, 28, 16), (68, 52, 8), (80, 64, 8)] {
                info[to..to + len].copy_from_slice(&made[from..from + len]);
            }
            let to = u64::from_ne_bytes(bytes[8..16].try_into().unwrap()) as *mut u8;
            let len = info.len().min(word(4) as usize);
            unsafe { std::ptr::copy_nonoverlapping(info.as_ptr(), to, len) };
            Some(0)
        }
        _ => None,
    }
}

/// A file in memory: whatever is mapped of it is there.
fn descriptor() -> c_int {
    let fd = unsafe { libc::memfd_create(c"pretended".as_ptr(), libc::MFD_CLOEXEC) };
    unsafe { libc::ftruncate(fd, 1 << 40) };
    fd
}
