// A `match` that becomes jumps through a table, by a compiler that makes them (LLVM 22, of Rust 1.95).
#![no_core]

#[path = "../include/weld.rs"]
mod weld;
use weld::xdp_md;

#[unsafe(no_mangle)]
pub static mut NEXT: u32 = 0;

/// Another verdict for each packet.
#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
pub unsafe extern "C" fn jumps(ctx: *const xdp_md) -> u32 {
    let next = unsafe { NEXT };
    unsafe { NEXT = next + 1 };
    match next {
        0 => 3,
        1 => unsafe { (*ctx).rx_queue_index + 40 },
        2 => 17,
        3 => 2,
        4 => 5,
        5 => 11,
        6 => unsafe { (*ctx).rx_queue_index + 50 },
        7 => 9,
        8 => 23,
        9 => 4,
        10 => 8,
        11 => 77,
        12 => 1,
        13 => 31,
        14 => 29,
        _ => 2,
    }
}

//@ cpu: v4

//@ run: jumps
//@ objects: jumps.o
//@ needs: feature:jump-tables kernel
//@ packet: 64 * 17
//@ codes: 3 40 17 2 5 11 50 9 23 4 8 77 1 31 29 2 2

//@ run: jumps-linked
//@ linked: all.o = jumps.o
//@ objects: $TMP/all.o
//@ needs: feature:jump-tables kernel
//@ packet: 64 * 3
//@ codes: 3 40 17

//@ run: jumps-shown
//@ objects: jumps.o
//@ command: disasm
//@ stdout: jump table to (\d+, ){14}\d+(.|\n)*gotox
