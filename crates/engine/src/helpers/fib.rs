//! `bpf_fib_lookup`, answered from the table in the options.
//!
//! Layout of `struct bpf_fib_lookup` (`linux/bpf.h`), 64 bytes: family 0, length 6 (MTU in answers),
//! ifindex 8, source 16, destination 32, VLAN 48, source MAC 52, destination MAC 58.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::helpers::{Value, code, read, write};
use crate::maps::errno;
use crate::options::Route;
use crate::vm::Vm;

const SIZE: u32 = 64;
/// Flags that there are: DIRECT, OUTPUT, SKIP_NEIGH, TBID, SRC, MARK.
const FLAGS: u32 = 0x3f;
const SKIP_NEIGH: u32 = 4;
/// Answers.
const SUCCESS: u64 = 0;
const NOT_FORWARDED: u64 = 4;
const NO_NEIGHBOUR: u64 = 7;
const FRAGMENTATION_NEEDED: u64 = 8;
/// Address families.
const INET: u8 = 2;
const INET6: u8 = 10;

/// r2 parameters, r3 their length, r4 flags.
pub(crate) fn lookup(vm: &mut Vm<'_>, params: u64, len: i32, flags: u32) -> Value {
    if len < SIZE as i32 || flags & !FLAGS != 0 {
        return Ok(code(errno::EINVAL));
    }
    let mut asked = [0; SIZE as usize];
    asked.copy_from_slice(read(vm, params, SIZE.into())?);
    let word = |at: usize| [asked[at], asked[at + 1], asked[at + 2], asked[at + 3]];
    let destination = match asked[0] {
        INET => IpAddr::from(Ipv4Addr::from(word(32))),
        INET6 => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&asked[32..48]);
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return Ok(code(errno::EAFNOSUPPORT)),
    };
    let routes = vm.options.routes.iter().filter(|route| covers(route, destination));
    let Some(route) = routes.max_by_key(|route| route.len) else { return Ok(NOT_FORWARDED) };
    let total = u16::from_ne_bytes([asked[6], asked[7]]);
    let answer = if total != 0 && route.mtu != 0 && total > route.mtu {
        asked[6..8].copy_from_slice(&route.mtu.to_ne_bytes());
        FRAGMENTATION_NEEDED
    } else {
        asked[8..12].copy_from_slice(&route.ifindex.to_ne_bytes());
        match route.gateway {
            Some(IpAddr::V4(hop)) => {
                asked[0] = INET;
                asked[32..36].copy_from_slice(&hop.octets());
            }
            Some(IpAddr::V6(hop)) => {
                asked[0] = INET6;
                asked[32..48].copy_from_slice(&hop.octets());
            }
            None => {}
        }
        match (route.neighbour, flags & SKIP_NEIGH != 0) {
            (_, true) => SUCCESS,
            (None, _) => NO_NEIGHBOUR,
            (Some(neighbour), _) => {
                asked[48..52].fill(0);
                asked[52..58].copy_from_slice(&neighbour.source);
                asked[58..64].copy_from_slice(&neighbour.destination);
                asked[6..8].copy_from_slice(&route.mtu.to_ne_bytes());
                SUCCESS
            }
        }
    };
    write(vm, params, SIZE.into())?.copy_from_slice(&asked);
    Ok(answer)
}

fn covers(route: &Route, to: IpAddr) -> bool {
    let (prefix, to, bits) = match (route.prefix, to) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let ignored = bits - u32::from(route.len).min(bits);
    prefix.checked_shr(ignored).unwrap_or(0) == to.checked_shr(ignored).unwrap_or(0)
}
