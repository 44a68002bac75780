//! The table of routes that the engine answers `bpf_fib_lookup` from: a text file, a route a line.
//!
//! ```text
//! # network        interface   and, where known: next hop, MTU, addresses of the interface and the next hop
//! 192.0.2.0/24     dev 3       via 198.51.100.1 mtu 1500 from 02:00:00:00:00:01 to 02:00:00:00:00:02
//! default          dev 2
//! ```

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use bpfweld::engine::{Neighbour, Route};

use crate::error::{Failure, INPUT};

/// Bytes of a file that are looked at.
const MAX_FILE: u64 = 16 << 20;

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Route>, Failure> {
    let failed = |problem: String| {
        Failure::new(format!("cannot read the routes {}: {problem}", path.display())).code(INPUT)
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|error| failed(error.to_string()))?;
    parse(&text).map_err(|problem| {
        failed(problem)
            .hint("a line reads: 192.0.2.0/24 dev 3 [via ADDRESS] [mtu BYTES] [from MAC to MAC]")
    })
}

fn parse(text: &str) -> Result<Vec<Route>, String> {
    let lines =
        text.lines().enumerate().map(|(at, line)| (at + 1, line.split('#').next().unwrap_or("")));
    let routes = lines.filter(|(_, line)| !line.trim().is_empty());
    routes.map(|(at, line)| route(line).map_err(|e| format!("line {at}: {e}"))).collect()
}

fn route(line: &str) -> Result<Route, String> {
    let mut words = line.split_whitespace();
    let (prefix, len) = network(words.next().unwrap_or_default())?;
    let (mut ifindex, mut mtu, mut gateway) = (None, 0, None);
    let (mut source, mut destination) = (None, None);
    while let Some(key) = words.next() {
        let value = words.next().ok_or_else(|| format!("nothing behind `{key}`"))?;
        let bad = || format!("`{key} {value}` makes no sense");
        match key {
            "dev" => ifindex = Some(value.parse().ok().filter(|&i| i > 0).ok_or_else(bad)?),
            "mtu" => mtu = value.parse().map_err(|_| bad())?,
            "via" => {
                let hop: IpAddr = value.parse().map_err(|_| bad())?;
                gateway = Some(hop);
            }
            "from" => source = Some(mac(value).ok_or_else(bad)?),
            "to" => destination = Some(mac(value).ok_or_else(bad)?),
            _ => return Err(format!("`{key}` is none of dev, via, mtu, from, to")),
        }
    }
    let ifindex = ifindex.ok_or("no `dev` with the index of an interface")?;
    let neighbour = match (source, destination) {
        (Some(source), Some(destination)) => Some(Neighbour { source, destination }),
        (None, None) => None,
        _ => return Err("`from` and `to` go together".into()),
    };
    Ok(Route { prefix, len, ifindex, mtu, gateway, neighbour })
}

/// `192.0.2.0/24`, an address alone, or `default`.
fn network(text: &str) -> Result<(IpAddr, u8), String> {
    if text == "default" {
        return Ok((IpAddr::from(Ipv4Addr::UNSPECIFIED), 0));
    }
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let bad = || format!("`{text}` is no network");
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    match len {
        None => Ok((address, bits)),
        Some(len) => {
            let len = len.parse().ok().filter(|&len| len <= bits).ok_or_else(bad)?;
            Ok((address, len))
        }
    }
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let text = "# my table\n\n192.0.2.0/24 dev 3 via 198.51.100.1 mtu 1500 from 2:0:0:0:0:1 to 02:00:00:00:00:ff\n\
                    default dev 2 # the rest\n2001:db8::/32 dev 4\n192.0.2.9 dev 5\n";
        let routes = parse(text).unwrap();
        assert_eq!(routes.len(), 4);
        let first = &routes[0];
        assert_eq!((first.prefix.to_string().as_str(), first.len), ("192.0.2.0", 24));
        assert_eq!((first.ifindex, first.mtu), (3, 1500));
        assert_eq!(first.gateway.unwrap().to_string(), "198.51.100.1");
        assert_eq!(first.neighbour.unwrap().destination, [2, 0, 0, 0, 0, 255]);
        assert_eq!((routes[1].len, routes[2].len, routes[3].len), (0, 32, 32));
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        for (text, says) in [
            ("default dev 1\nhere dev 2", "line 2: `here` is no network"),
            ("10.0.0.0/33 dev 1", "no network"),
            ("10.0.0.0/8", "no `dev`"),
            ("10.0.0.0/8 dev 0", "`dev 0`"),
            ("10.0.0.0/8 dev", "nothing behind `dev`"),
            ("10.0.0.0/8 dev 1 metric 3", "`metric` is none of"),
            ("10.0.0.0/8 dev 1 from 1:2:3:4:5:6", "go together"),
            ("10.0.0.0/8 dev 1 to 1:2:3:4:5:6:7 from 1:2:3:4:5:6", "`to 1:2"),
            ("10.0.0.0/8 dev 1 mtu 70000", "`mtu 70000`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
