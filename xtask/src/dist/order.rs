//! `crates/cli/order.ld`, a script for the linker: the functions that runs of the command need, those that most kinds of
//! runs need before others, and behind the usual ones what only few runs need. Found by callgrind, of the command and of what
//! `peer-bench` measures, whose code is built for size and so cut into other functions.
//!
//! A name that no longer exists does nothing, so the file need not be written anew with each change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{COMMAND, cargo};
use crate::peer::MEASURED;
use crate::toolchain::target_dir;

/// How many objects are looked at.
const OBJECTS: usize = 48;
/// How much of a name is looked at: behind it are the names of types of types.
const LENGTH: usize = 100;
/// In so many runs of one kind a function is usual.
const USUAL: usize = 2;

/// The kinds of runs.
const KINDS: usize = 4;
const START: usize = 0;
const LOAD: usize = 1;
const CHAIN: usize = 2;
const LINK: usize = 3;

/// The file.
pub(super) fn file(root: &Path) -> PathBuf {
    root.join("crates/cli/order.ld")
}

/// Writes the file.
pub(super) fn write(root: &Path, dirs: &[PathBuf]) -> Result<()> {
    let objects = choose(dirs)?;
    let target = target_dir(root);
    // Without the file: what is measured is not to depend on how it was.
    let command = cargo(root, &COMMAND, &target.join("dist"), None)?;
    let measured = cargo(root, &MEASURED, &target.join("peer"), None)?;
    let temp = tempfile::tempdir()?;
    let out = temp.path().join("linked.o");
    let mut runs = Runs { at: temp.path().join("callgrind"), current: 0, found: BTreeMap::new() };
    for object in &objects {
        runs.current += 1;
        let line = format!("{}\n", object.display());
        runs.add(START, &measured, ["prepare", "theirs"], &line)?;
        runs.add(LOAD, &measured, ["prepare", "ours"], &line)?;
        runs.add(LOAD, &command, ["check".as_ref(), object.as_os_str()], "")?;
        let link = ["link".as_ref(), "-o".as_ref(), out.as_os_str(), object.as_os_str()];
        runs.add(LINK, &command, link, "")?;
    }
    runs.add(START, &command, ["--version"], "")?;
    runs.chain(&command, &root.join("cases/chain10"))?;
    let names = runs.names();
    fs::write(file(root), script(&names)).context("crates/cli/order.ld")?;
    println!("crates/cli/order.ld: {} functions, from {} objects", names.len(), objects.len());
    Ok(())
}

/// Objects that are spread over all that there are.
fn choose(dirs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for dir in dirs {
        let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
        let paths = entries.map(|e| Ok(e?.path()));
        all.extend(paths.collect::<Result<Vec<_>>>()?);
    }
    all.retain(|path| path.extension().is_some_and(|e| e == "o"));
    all.sort();
    if all.len() < OBJECTS {
        bail!("{} objects are too few to tell what is usual; {OBJECTS} are wanted", all.len());
    }
    Ok((0..OBJECTS).map(|n| all[n * all.len() / OBJECTS].clone()).collect())
}

/// What ran.
struct Runs {
    /// A file to use.
    at: PathBuf,
    /// The number of the object that is run with, or of the programs in a chain behind those.
    current: usize,
    /// For each function, in which runs of each kind it was.
    found: BTreeMap<String, [Vec<usize>; KINDS]>,
}

impl Runs {
    /// A run of a program. One that fails does not count: there are objects that this kernel does not take.
    fn add<S: AsRef<std::ffi::OsStr>>(
        &mut self,
        kind: usize,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        input: &str,
    ) -> Result<()> {
        let mut child = Command::new("valgrind")
            .args(["--tool=callgrind", "-q", "--demangle=no"])
            .arg(format!("--callgrind-out-file={}", self.at.display()))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("valgrind cannot be run (Debian: package valgrind)")?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it ends with an error of its own.
            let _ = stdin.write_all(input.as_bytes());
        }
        if child.wait()?.success() {
            self.read(kind, &self.at.clone())?;
        }
        Ok(())
    }

    /// Chains of ten programs, in a network namespace and with state of their own.
    fn chain(&mut self, command: &Path, cases: &Path) -> Result<()> {
        let run = r#"
            mount -t bpf none /sys/fs/bpf && mount -t tmpfs none /run || exit
            ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up || exit
            for n in 0 1 2 3 4 5 6 7 8 9; do
                valgrind --tool=callgrind -q --demangle=no --callgrind-out-file="$1.$n" \
                    "$2" xdp load v0 "$3/m$n.o" || exit
            done"#;
        let status = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", run, "sh"])
            .args([&self.at, command, cases])
            .stdout(Stdio::null())
            .status()
            .context("unshare cannot be run")?;
        if !status.success() {
            bail!("no chain can be made here, see above; it takes root");
        }
        (0..10).try_for_each(|n| {
            self.current += 1;
            self.read(CHAIN, &self.at.with_extension(n.to_string()))
        })
    }

    /// What callgrind found: `fn=(1) name` and `cfn=(1) name`, for one that is called; no name but the first time.
    fn read(&mut self, kind: usize, at: &Path) -> Result<()> {
        let text = fs::read_to_string(at).context("callgrind wrote nothing")?;
        let lines =
            text.lines().filter_map(|l| l.strip_prefix('c').unwrap_or(l).strip_prefix("fn=("));
        let names = lines.filter_map(|line| pattern(line.split_once(") ")?.1));
        let names: BTreeSet<_> = names.collect();
        for name in names {
            self.found.entry(name).or_default()[kind].push(self.current);
        }
        Ok(())
    }

    /// Usual functions by the kinds of runs that need them, and of the same kinds by the number of runs. First what
    /// programs need to start, which libbpf's side of what is measured needs as well. Others behind them, those of the
    /// same runs side by side: kernel configuration takes unpacking, say, so who needs one needs both.
    fn names(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.found.iter().collect();
        all.sort_by_cached_key(|(_, runs)| {
            let kinds = runs.each_ref().map(|runs| runs.len() < USUAL);
            let without = kinds.iter().filter(|without| **without).count();
            let total: usize = runs.iter().map(Vec::len).sum();
            let of_whom = (without == KINDS).then_some(*runs);
            (kinds[START], without, kinds, of_whom, std::cmp::Reverse(total))
        });
        all.into_iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// A function's name wherever it is built, as far as [`LENGTH`] goes: without the numbers of crates (`Cs`, the number,
/// `_`), and what is behind it for a copy (`.llvm.123`, `.12`) or a call (`'2`, by callgrind). None: C, whose functions are
/// of libraries that are placed as they come.
fn pattern(name: &str) -> Option<String> {
    let name = name.strip_prefix("_R").filter(|name| name.is_ascii())?;
    let mut pieces = name.split(['.', '\'']).next().unwrap_or(name).split("Cs");
    let mut all = format!("_R{}", pieces.next().unwrap_or_default());
    for piece in pieces {
        match piece.split_once('_') {
            Some((number, rest)) if number.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                let _ = write!(all, "Cs*_{rest}");
            }
            _ => {
                let _ = write!(all, "Cs{piece}");
            }
        }
    }
    all.truncate(LENGTH);
    Some(all + "*")
}

/// The linker's script: into the section where all functions go, these first, from `.text.NAME` and, for what compilers take
/// to be called rarely, `.text.unlikely.NAME`.
fn script(names: &[&str]) -> String {
    let mut text = String::from(
        "/* Written by `cargo xtask dist --order`: functions in the order in which they are placed. */\n\
         SECTIONS { .text : {\n",
    );
    for name in names {
        let _ = writeln!(text, "*(.text*.{name})");
    }
    text + "} } INSERT AFTER .eh_frame;\n"
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn names_lose_what_a_build_adds() {
        let name =
            "_RNvXsZ_NtCslNYArtu3iFV_5alloc6stringNtB5_6StringNtNtCsgEmfK2I1SDS_4core3fmt.13";
        let wanted = "_RNvXsZ_NtCs*_5alloc6stringNtB5_6StringNtNtCs*_4core3fmt*";
        assert_eq!(pattern(name).as_deref(), Some(wanted));
        assert_eq!(pattern("malloc"), None);
    }
}
