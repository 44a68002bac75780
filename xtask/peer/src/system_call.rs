//! System calls, for who stands in for the C library's `syscall`.

use std::arch::asm;
use std::ffi::{c_int, c_long};

/// The kernel's answer, an error as a negative number.
///
/// # Safety
///
/// As the call's.
pub unsafe fn raw(number: c_long, [a, b, c, d, e, f]: [c_long; 6]) -> c_long {
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
