//! System calls: this program stands in for the C library's `syscall`, with `stand_in` at its root.

use std::arch::asm;
use std::ffi::{c_int, c_long};

/// Number and arguments of a system call.
pub type Call = (c_long, [c_long; 6]);

/// As the C library's, which libbpf and bpfweld make their bpf(2) calls with.
///
/// # Safety
///
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    unsafe { crate::stand_in((number, [a, b, c, d, e, f])) }
}

/// The kernel's answer, an error as a negative number.
///
/// # Safety
///
/// As the call's.
pub unsafe fn raw((number, [a, b, c, d, e, f]): Call) -> c_long {
    let result;
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// The answer as the C library gives it: an error in `errno`.
pub fn answer(result: c_long) -> c_long {
    if (-4095..0).contains(&result) {
        unsafe { *libc::__errno_location() = -result as c_int };
        return -1;
    }
    result
}
