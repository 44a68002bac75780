//! What is noted of an object, a program and a load; the same for both sides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Raised when the records change, so that old ones in the cache are not read.
pub const VERSION: u32 = 3;

/// One object on one side.
#[derive(Default, Debug, Serialize, Deserialize)]
pub struct Side {
    /// The process did not come to a good end.
    pub crash: Option<String>,
    /// Why the object could not be opened.
    pub open_error: Option<String>,
    pub programs: Vec<Program>,
}

/// One program.
#[derive(Default, Debug, Serialize, Deserialize)]
pub struct Program {
    pub name: String,
    pub section: String,
    pub prog_type: u32,
    pub attach_type: u32,
    pub autoload: bool,
    /// Why it did not come to `BPF_PROG_LOAD`, or what the loader said of its refusal.
    pub error: Option<String>,
    /// What the kernel was asked to load.
    pub load: Option<Load>,
}

/// One `BPF_PROG_LOAD`.
#[derive(Default, Debug, Serialize, Deserialize)]
pub struct Load {
    /// 0: it is loaded.
    pub errno: i32,
    /// The verifier's last words.
    pub reason: String,
    pub prog_type: u32,
    pub attach_type: u32,
    pub flags: u32,
    pub attach_btf_id: u32,
    pub attach_fd: bool,
    pub license: String,
    pub has_btf: bool,
    pub func_infos: u32,
    pub line_infos: u32,
    pub functions: Vec<Function>,
    pub maps: Vec<Map>,
}

/// One function of a program.
#[derive(Default, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub insns: Vec<String>,
}

/// One map as the kernel made it.
#[derive(Clone, Default, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Map {
    pub name: String,
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub extra: u64,
    pub has_key_type: bool,
    pub has_value_type: bool,
    /// Hash of the first value, of maps that stand for a data section.
    pub content: u64,
    /// Of the map of kconfig externs instead: the values of its variables. Where each of them is,
    /// and whether those that the program does not use are there, is each loader's business.
    pub values: BTreeMap<String, Vec<u8>>,
}
