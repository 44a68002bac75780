//! Probes of this process as `sys/sdt.h` makes them: an instruction that does nothing, and a note in the file
//! that says where it is and where its arguments are. libbpf attaches programs of `usdt` sections there.

use std::arch::asm;

/// Of all probes here.
pub const PROVIDER: &str = "test";

/// A probe: its name, its arguments as the note describes them, the registers that they are in.
macro_rules! probe {
    ($name:literal, $arguments:literal $(, $register:tt = $value:expr)*) => {
        unsafe {
            asm!(
                "990: nop",
                ".pushsection .note.stapsdt, \"\", \"note\"",
                ".balign 4",
                ".4byte 992f - 991f, 994f - 993f, 3",
                "991: .asciz \"stapsdt\"",
                "992: .balign 4",
                // Where it is; no base, no semaphore.
                "993: .8byte 990b, 0, 0",
                ".asciz \"test\"",
                concat!(".asciz \"", $name, "\""),
                concat!(".asciz \"", $arguments, "\""),
                "994: .balign 4",
                ".popsection",
                $(in($register) $value,)*
            )
        }
    };
}

/// Comes by the probe of this name.
pub fn fire(name: &str) {
    match name {
        "usdt0" => probe!("usdt0", ""),
        "usdt3" => {
            probe!("usdt3", "-4@%edi 8@%rsi 8@%rdx", "edi" = 7, "rsi" = 42u64, "rdx" = 1u64 << 40)
        }
        "usdt_100" => probe!("usdt_100", "-4@%edi", "edi" = 100),
        _ => {}
    }
}
