//! Tables that programs jump through (since Linux 6.19): to the kernel, maps that hold places in the one program
//! that is loaded with them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::facts::map_type;
use crate::sys::{MapCreate, Sys};

/// Bytes of `struct bpf_insn_array_value`: the place as loaded, the place as translated, the place as
/// compiled, a hole. The kernel fills in the last two.
const VALUE_SIZE: u32 = 16;

/// Makes a table of slots of a program and freezes it, as the verifier wants it.
pub(crate) fn make(sys: &dyn Sys, slots: &[u32]) -> io::Result<OwnedFd> {
    let max_entries = u32::try_from(slots.len()).map_err(io::Error::other)?;
    let attr = MapCreate {
        map_type: map_type::INSN_ARRAY,
        key_size: 4,
        value_size: VALUE_SIZE,
        max_entries,
        name: "jump_table",
        ..Default::default()
    };
    let table = sys.create_map(&attr)?;
    for (key, slot) in (0u32..).zip(slots) {
        let mut value = [0; VALUE_SIZE as usize];
        value[..4].copy_from_slice(&slot.to_ne_bytes());
        sys.update(table.as_fd(), &key.to_ne_bytes(), &value)?;
    }
    sys.freeze(table.as_fd())?;
    Ok(table)
}
