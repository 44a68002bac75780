//! A program that is to join a chain: which one of which object, and how it wants to run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bpfweld::link::chain_root::Verdicts;
use bpfweld::object::{FuncId, Function, Object, ProgramType};
use sha2::{Digest, Sha256};

use crate::error::ChainError;
use crate::run_config::RunConfig;
use crate::state::Entry;
use crate::variables;

/// Where maps that ask to be pinned by name are, unless asked otherwise: libbpf's default.
const PIN_PATH: &str = "/sys/fs/bpf";

/// Which program of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Select {
    /// The first in the file.
    #[default]
    First,
    /// The one of this name.
    Program(String),
    /// The first in the section of this name.
    Section(String),
}

/// Where a map that is not a program's own comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SharedMap {
    /// A pin on a BPF file system.
    Pin(PathBuf),
    /// A map of another program of the chain.
    Member {
        /// The program's name in the chain.
        name: String,
        /// The map's name.
        map: String,
    },
}

impl SharedMap {
    /// From `PROG:MAP`, or else a path, which has a slash.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((member, map)) if !text.contains('/') => {
                Self::Member { name: member.to_owned(), map: map.to_owned() }
            }
            _ => Self::Pin(text.into()),
        }
    }
}

impl std::fmt::Display for SharedMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pin(path) => write!(f, "{}", path.display()),
            Self::Member { name, map } => write!(f, "{name}:{map}"),
        }
    }
}

/// A program that is to join a chain.
#[derive(Clone, Debug)]
pub struct NewMember {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) object: Arc<Object>,
    pub(crate) function: FuncId,
    pub(crate) config: RunConfig,
    pub(crate) name: Option<String>,
    pub(crate) sets: Vec<(String, String)>,
    pub(crate) maps: Vec<(String, SharedMap)>,
    pub(crate) pin_path: PathBuf,
    pub(crate) dev_bound: bool,
}

impl NewMember {
    /// Reads an object file. The program that `select` names runs as its metadata in `.xdp_run_config`
    /// says: priority 50 and going on after `XDP_PASS` where it says nothing.
    pub fn open(path: impl AsRef<Path>, select: &Select) -> Result<Self, ChainError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| ChainError::File {
            step: "read",
            path: path.into(),
            source,
        })?;
        Self::parse(path, bytes.into(), select)
    }

    fn parse(path: &Path, bytes: Arc<[u8]>, select: &Select) -> Result<Self, ChainError> {
        let object = Object::parse(&path.display().to_string(), &bytes)?;
        let function = find(&object, select)?;
        let name = object.functions.get(function.index()).map_or("", |f| &f.name);
        let config = match &object.btf {
            Some(btf) => RunConfig::of(btf, name).map_err(|problem| ChainError::RunConfig {
                object: object.name.clone(),
                program: name.to_owned(),
                problem,
            })?,
            None => RunConfig::default(),
        };
        Ok(Self {
            path: path.into(),
            bytes,
            object: Arc::new(object),
            function,
            config,
            name: None,
            sets: Vec::new(),
            maps: Vec::new(),
            pin_path: PIN_PATH.into(),
            dev_bound: false,
        })
    }

    /// Its place: programs with smaller numbers run earlier.
    pub fn priority(mut self, priority: u32) -> Self {
        self.config.priority = priority;
        self
    }

    /// After which of its verdicts the chain goes on.
    pub fn goes_on(mut self, verdicts: Verdicts) -> Self {
        self.config.goes_on = verdicts;
        self
    }

    /// What the chain calls it. Without, it is the function's name, with a number behind it where the
    /// chain has that already.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets a global variable, see the values that [`crate`] describes.
    pub fn set(mut self, variable: &str, value: &str) -> Result<Self, ChainError> {
        let mut object = Object::clone(&self.object);
        set_variable(&mut object, variable, value)?;
        self.object = Arc::new(object);
        self.sets.push((variable.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// Uses a map that exists as one of the program's.
    pub fn share(mut self, map: &str, with: SharedMap) -> Self {
        self.maps.push((map.to_owned(), with));
        self
    }

    /// Where maps that ask to be pinned by name are shared, a directory on a BPF file system; without,
    /// `/sys/fs/bpf`. Such pins stay when the program goes.
    pub fn pin_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.pin_path = path.into();
        self
    }

    /// Binds it to the interface (`BPF_F_XDP_DEV_BOUND_ONLY`, Linux 6.3): it runs there and nowhere else, and
    /// may ask the driver what that knows of a packet. All programs of a chain are, or none.
    pub fn dev_bound(mut self, bound: bool) -> Self {
        self.dev_bound = bound;
        self
    }

    /// Is its object, as it is linked, that of a member, of which these are the bytes?
    pub(crate) fn has_object_of(&self, entry: &Entry, bytes: &[u8]) -> bool {
        let named = self.path.as_os_str() == entry.path.as_str();
        named && self.sets == entry.sets && *self.bytes == *bytes
    }

    /// How it is going to run.
    pub fn config(&self) -> RunConfig {
        self.config
    }

    /// Name of its function.
    pub fn program(&self) -> &str {
        self.object.functions.get(self.function.index()).map_or("", |f| &f.name)
    }
}

fn set_variable(object: &mut Object, variable: &str, value: &str) -> Result<(), ChainError> {
    let name = object.name.clone();
    variables::set(object, variable, value).map_err(|problem| ChainError::Variable {
        object: name,
        variable: variable.to_owned(),
        problem,
    })
}

/// A member whose object is read, ready to be linked.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) entry: Arc<Entry>,
    pub(crate) object: Arc<Object>,
    pub(crate) function: FuncId,
    /// Its object file, as it is kept; of what was taken in without one, none.
    pub(crate) bytes: Arc<[u8]>,
}

impl Opened {
    /// A member of the chain, its object's bytes from the state.
    pub(crate) fn stored(entry: &Arc<Entry>, bytes: Arc<[u8]>) -> Result<Self, ChainError> {
        let mut object = Object::parse(&entry.path, &bytes)?;
        for (variable, value) in &entry.sets {
            set_variable(&mut object, variable, value)?;
        }
        Self::with(entry, Arc::new(object), bytes)
    }

    /// A member of the chain, its object read and its variables set.
    pub(crate) fn with(
        entry: &Arc<Entry>,
        object: Arc<Object>,
        bytes: Arc<[u8]>,
    ) -> Result<Self, ChainError> {
        let function = find(&object, &Select::Program(entry.program.clone()))?;
        Ok(Self { entry: entry.clone(), object, function, bytes })
    }

    /// What stands for a program that was taken in without its object: the first function of one that was
    /// made for it.
    pub(crate) fn made(entry: &Arc<Entry>, object: Object) -> Self {
        let object = Arc::new(object);
        Self { entry: entry.clone(), object, function: FuncId(0), bytes: [].into() }
    }

    pub(crate) fn of(&self) -> Option<&Function> {
        self.object.functions.get(self.function.index())
    }

    /// Does it take multi-buffer packets?
    pub(crate) fn frags(&self) -> bool {
        self.of().and_then(|f| f.program.as_ref()).is_some_and(|p| p.frags)
    }
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// What tells two versions of a program apart: the start of a hash of its instructions. Not the
/// kernel's tag, which only a program that is loaded has.
pub(crate) fn tag(object: &Object, function: FuncId) -> String {
    let Some(function) = object.functions.get(function.index()) else { return String::new() };
    let bytes: Vec<u8> = function.insns.iter().flat_map(|i| i.to_le()).collect();
    hash(&bytes).chars().take(16).collect()
}

/// Is it a program for XDP, or one of which its section does not say what it is for?
fn is_xdp(function: &Function) -> bool {
    let kind = function.program.as_ref().map(|p| p.prog_type);
    matches!(kind, Some(ProgramType::XDP | ProgramType::UNSPEC))
}

fn find(object: &Object, select: &Select) -> Result<FuncId, ChainError> {
    let functions = || (0..).map(FuncId).zip(&object.functions);
    let programs = || functions().filter(|(_, f)| is_xdp(f));
    let found = match select {
        Select::First => programs().next(),
        Select::Program(name) => programs().find(|(_, f)| f.name == *name),
        Select::Section(name) => programs().find(|(_, f)| *f.section == **name),
    };
    found.map(|(id, _)| id).ok_or_else(|| {
        let has_any = programs().next().is_some();
        let told = |f: &Function| if has_any { is_xdp(f) } else { f.program.is_some() };
        ChainError::NoProgram {
            object: object.name.clone(),
            wanted: match select {
                Select::First => "at all".into(),
                Select::Program(name) => format!("called `{name}`"),
                Select::Section(name) => format!("in section `{name}`"),
            },
            there: functions()
                .filter(|(_, f)| told(f))
                .map(|(_, f)| format!("{} ({})", f.name, f.section))
                .collect(),
        }
    })
}
