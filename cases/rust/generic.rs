// What Rust does and C does not: names of types with `<>` and `&`, a section for each function and variable,
// structures by value in the prototypes of global functions.
#![no_core]

#[path = "../include/weld.rs"]
mod weld;
use weld::{Copy, xdp_md};

pub enum Maybe<T> {
    No,
    Yes(T),
}

pub struct Pair<A, B> {
    first: A,
    second: B,
}

#[unsafe(no_mangle)]
pub static mut STATE: Pair<Maybe<u32>, &'static Maybe<u64>> =
    Pair { first: Maybe::Yes(1), second: &Maybe::No };

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
pub static LICENSE: [u8; 4] = *b"GPL\0";

#[inline(never)]
#[unsafe(no_mangle)]
#[allow(improper_ctypes_definitions)]
pub extern "C" fn either(ctx: &xdp_md, value: Maybe<u32>) -> u32 {
    match value {
        Maybe::No => ctx.rx_queue_index + 60,
        Maybe::Yes(value) => value + 70,
    }
}

/// 71 and 60 in turn.
#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
pub unsafe extern "C" fn generic(ctx: &xdp_md) -> u32 {
    unsafe {
        match STATE.first {
            Maybe::No => {
                STATE.first = Maybe::Yes(1);
                either(ctx, Maybe::No)
            }
            Maybe::Yes(value) => {
                STATE.first = Maybe::No;
                either(ctx, Maybe::Yes(value))
            }
        }
    }
}

//@ run: generic
//@ objects: generic.o
//@ packet: 64 * 3
//@ codes: 71 60 71
//@ functions: generic either
//@ lines: generic.rs

//@ run: generic-linked
//@ linked: all.o = generic.o
//@ objects: $TMP/all.o
//@ packet: 64 * 3
//@ codes: 71 60 71

//@ run: called-by-c
//@ objects: root.o
//@ bind: prog=generic.o:generic
//@ packet: 64 * 3
//@ codes: 171 160 171
//@ lines: root.c generic.rs
