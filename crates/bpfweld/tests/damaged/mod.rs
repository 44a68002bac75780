//! Damage to files, and the files to do it to.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;

/// One damage.
#[derive(Debug, Clone)]
pub enum Damage {
    /// Flip one bit.
    Flip(Index, u8),
    /// Overwrite four bytes with a number that is likely to overflow something.
    Word(Index, u32),
    /// Cut the file off.
    Cut(Index),
}

/// Any damage.
pub fn damage() -> impl Strategy<Value = Damage> {
    let words = prop_oneof![
        Just(0),
        Just(u32::MAX),
        Just(0x7fff_ffff),
        Just(0x8000_0000),
        any::<u32>(),
        0u32..64,
    ];
    prop_oneof![
        6 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        6 => (any::<Index>(), words).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => any::<Index>().prop_map(Damage::Cut),
    ]
}

/// Does it to the bytes of a file.
pub fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    match damage {
        Damage::Flip(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Damage::Word(at, word) => {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + 4);
            bytes[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
        }
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
}

/// Where the test cases are.
pub fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases")
}

/// All objects of `cases/`.
pub fn fixtures() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for case in std::fs::read_dir(cases()).unwrap() {
        let case = case.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let files = std::fs::read_dir(case).unwrap().map(|f| f.unwrap().path());
        found.extend(files.filter(|f| f.extension().is_some_and(|e| e == "o")));
    }
    found.sort();
    assert!(found.len() > 50, "only {} fixtures", found.len());
    found
}
