//! What chains are to be, as a TOML file says it: [`Plan`].
//!
//! ```toml
//! [[interface]]
//! name = "eth0"
//! mode = "native"                  # native (default), skb, hw, unspecified
//! stats = true                     # count verdicts; without, as it is
//!
//! [[interface.program]]
//! object = "filter.o"              # relative paths: from the file's directory
//! program = "xdp_filter"           # or section = "xdp"; without, the first in the file
//! name = "front"                   # without, the program's name
//! priority = 10                    # without, what the object says, else 50
//! actions = ["XDP_PASS", "XDP_TX"] # without, what the object says, else XDP_PASS
//! dev_bound = true                 # bound to the interface, for programs that ask its driver
//! pin_path = "/sys/fs/bpf/shared"  # where maps that ask to be pinned by name are
//! set = { rate = 1000, mode = "STRICT", ports = [80, 443] }
//! map = { flows = "/sys/fs/bpf/flows", seen = "front:seen" }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bpfweld::kernel::netlink::XdpMode;
use bpfweld::link::chain_root::Verdicts;
use serde::Deserialize;

use crate::error::ChainError;
use crate::member::{NewMember, Select, SharedMap};
use crate::state::Mode;

/// Longest file that is read.
const MAX_FILE: u64 = 4 << 20;

/// What the chains on some interfaces are to be. Other interfaces stay as they are.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One for each interface, each unlike the others.
    pub interfaces: Vec<PlannedChain>,
}

/// What the chain on one interface is to be.
#[derive(Clone, Debug)]
pub struct PlannedChain {
    /// The interface's name.
    pub interface: String,
    /// Where it is to run.
    pub mode: XdpMode,
    /// Whether verdicts are to be counted; `None` leaves that as it is.
    pub counters: Option<bool>,
    /// The programs, each with a name of its own. None takes everything off.
    pub members: Vec<NewMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    interface: Vec<Interface>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    name: String,
    mode: Option<Mode>,
    stats: Option<bool>,
    #[serde(default)]
    program: Vec<Program>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    object: PathBuf,
    program: Option<String>,
    section: Option<String>,
    name: Option<String>,
    priority: Option<u32>,
    actions: Option<Vec<String>>,
    pin_path: Option<PathBuf>,
    #[serde(default)]
    dev_bound: bool,
    #[serde(default)]
    set: BTreeMap<String, toml::Value>,
    #[serde(default)]
    map: BTreeMap<String, String>,
}

impl Plan {
    /// Reads the file and the objects that it names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ChainError> {
        let path = path.as_ref();
        let file = |source| ChainError::File { step: "read", path: path.into(), source };
        let problem = |problem: String| ChainError::Plan { path: path.into(), problem };
        if std::fs::metadata(path).map_err(file)?.len() > MAX_FILE {
            return Err(problem(format!("it has more than {MAX_FILE} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(file)?;
        let parsed: File = toml::from_str(&text).map_err(|e| problem(e.to_string()))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let mut seen = BTreeSet::new();
        let mut interfaces = Vec::with_capacity(parsed.interface.len());
        for interface in parsed.interface {
            if !seen.insert(interface.name.clone()) {
                return Err(problem(format!("`{}` is there twice", interface.name)));
            }
            let mut members = Vec::with_capacity(interface.program.len());
            let mut names = BTreeSet::new();
            for program in interface.program {
                let member = program.open(base).map_err(|e| match e {
                    Trouble::Chain(error) => *error,
                    Trouble::Words(words) => problem(format!("`{}`: {words}", interface.name)),
                })?;
                let name = member.name.clone().unwrap_or_default();
                if !names.insert(name.clone()) {
                    let interface = &interface.name;
                    return Err(problem(format!(
                        "`{interface}` has two programs called `{name}`; give one another name"
                    )));
                }
                members.push(member);
            }
            interfaces.push(PlannedChain {
                interface: interface.name,
                mode: interface.mode.map_or(XdpMode::Native, Into::into),
                counters: interface.stats,
                members,
            });
        }
        Ok(Self { interfaces })
    }
}

/// Why a program of a file cannot be had.
enum Trouble {
    Chain(Box<ChainError>),
    Words(String),
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        Self::Chain(Box::new(error))
    }
}

impl Program {
    fn open(self, base: &Path) -> Result<NewMember, Trouble> {
        let select = match (self.program, self.section) {
            (Some(_), Some(_)) => {
                let path = self.object.display();
                return Err(Trouble::Words(format!(
                    "{path}: `program` and `section` exclude each other"
                )));
            }
            (Some(name), None) => Select::Program(name),
            (None, Some(section)) => Select::Section(section),
            (None, None) => Select::First,
        };
        let mut member = NewMember::open(base.join(&self.object), &select)?;
        let name = self.name.unwrap_or_else(|| member.program().to_owned());
        member = member.named(name);
        if let Some(priority) = self.priority {
            member = member.priority(priority);
        }
        if let Some(actions) = self.actions {
            let mut verdicts = Verdicts::NONE;
            for action in actions {
                let number = Verdicts::number(&action)
                    .ok_or_else(|| Trouble::Words(format!("`{action}` is no verdict")))?;
                verdicts = verdicts.with(number);
            }
            member = member.goes_on(verdicts);
        }
        for (variable, value) in self.set {
            let value = text(&value).ok_or_else(|| {
                Trouble::Words(format!("`{variable}` cannot be set to a {}", value.type_str()))
            })?;
            member = member.set(&variable, &value)?;
        }
        for (map, with) in self.map {
            member = member.share(&map, SharedMap::parse(&with));
        }
        if let Some(path) = self.pin_path {
            member = member.pin_path(path);
        }
        Ok(member.dev_bound(self.dev_bound))
    }
}

/// A value as [`NewMember::set`] takes it.
fn text(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        toml::Value::Array(values) => {
            let values = values.iter().map(text).collect::<Option<Vec<_>>>()?;
            format!("[{}]", values.join(", "))
        }
        _ => return None,
    })
}
