//! `crates/cli/order.ld`, a script for the linker: the functions that runs of the command need, what each start and then
//! what changing chains needs before the rest, and behind the usual ones what only few runs need. Found by callgrind, of the
//! command and of what `peer-bench` measures, whose code is built for size and so cut into other functions. Of the C library,
//! whole files of its archive are placed: it has no section for each function. What these only read goes before the
//! constants of the rest, and those before tables and texts.
//!
//! A name that no longer exists does nothing, so the file need not be written anew with each change.

use std::cmp::Reverse;
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
/// How valgrind runs a program: with its tool that counts calls, what comes before `main` included.
const CALLGRIND: [&str; 4] = ["--tool=callgrind", "-q", "--demangle=no", "--show-below-main=yes"];

/// What runs when a program starts and callgrind does not tell: files of the C library by which it finds the kernel's own
/// functions (vDSO), which valgrind hides, and what compilers have run first.
const HIDDEN: [&str; 5] = [
    "libc.a(dl-object.o)",
    "libc.a(dl-lookup.o)",
    "libc.a(pthread_mutex_lock.o)",
    "libc.a(strcmp-sse2.o)",
    "crtbegin*.o",
];

/// The kinds of runs: what programs need to start, which libbpf's side of what is measured needs as well; changing chains,
/// loading, linking.
const KINDS: usize = 4;
const START: usize = 0;
const CHAIN: usize = 1;
const LOAD: usize = 2;
const LINK: usize = 3;

/// The file.
pub(super) fn file(root: &Path) -> PathBuf {
    root.join("crates/cli/order.ld")
}

/// Writes the file.
pub(super) fn write(root: &Path, dirs: &[PathBuf]) -> Result<()> {
    let objects = choose(dirs)?;
    let target = target_dir(root);
    let temp = tempfile::tempdir()?;
    let map = temp.path().join("map");
    // Without the file: what is measured is not to depend on how it was.
    let command =
        cargo(root, &COMMAND, &target.join("dist"), &[format!("-Map={}", map.display())])?;
    let measured = cargo(root, &MEASURED, &target.join("peer"), &[])?;
    let map = fs::read_to_string(&map).context("the linker wrote no map")?;
    let out = temp.path().join("linked.o");
    let at = temp.path().join("callgrind");
    let mut runs = Runs { at, places: places(&map), current: 0, found: BTreeMap::new() };
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
    runs.chain(&command, &root.join("cases"))?;
    let usual = std::array::from_fn(|_| vec![0; USUAL]);
    runs.found.extend(HIDDEN.map(|file| (in_file(file), usual.clone())));
    let found = runs.in_order();
    fs::write(file(root), script(&found)).context("crates/cli/order.ld")?;
    println!("crates/cli/order.ld: {} places, from {} objects", found.len(), objects.len());
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
    /// Where functions of C are.
    places: BTreeMap<String, String>,
    /// The number of the object that is run with, or of the programs in a chain behind those.
    current: usize,
    /// For each place of functions, as [`script`] wants it, in which runs of each kind it was.
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
            .args(CALLGRIND)
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

    /// A chain that gets one program more with each run, in a network namespace and with state of its own.
    fn chain(&mut self, command: &Path, cases: &Path) -> Result<()> {
        let run = r#"
            mount -t bpf none /sys/fs/bpf && mount -t tmpfs none /run || exit
            ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up || exit
            n=0
            for program in chain10/m0 chain10/m1 chain10/m2 capture/filter capture/count chain10/m5 \
                chain10/m6 capture/filter capture/count chain10/m9; do
                valgrind $4 --callgrind-out-file="$1.$n" "$2" xdp load v0 "$3/$program.o" || exit
                n=$((n + 1))
            done"#;
        let status = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", run, "sh"])
            .args([&self.at, command, cases])
            .arg(CALLGRIND.join(" "))
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
        let names = lines.filter_map(|line| Some(line.split_once(") ")?.1));
        let found: BTreeSet<String> = names.filter_map(|name| self.place(name)).collect();
        for place in found {
            self.found.entry(place).or_default()[kind].push(self.current);
        }
        Ok(())
    }

    /// Where a function is.
    fn place(&self, name: &str) -> Option<String> {
        let rust = pattern(name).map(|pattern| in_sections(&pattern));
        rust.or_else(|| self.places.get(plain(name)).cloned())
    }

    /// Usual places by the kinds of runs that need them: what the first kind needs, then what the second needs besides; so
    /// what the first kinds need is in few pieces. Of the same kinds by the number of runs. Others behind them, those of
    /// the same runs side by side: kernel configuration takes unpacking, say, so who needs one needs both.
    fn in_order(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.found.iter().collect();
        all.sort_by_cached_key(|(_, runs)| {
            let without = runs.each_ref().map(|runs| runs.len() < USUAL);
            let of_whom = (without == [true; KINDS]).then_some(*runs);
            let total: usize = runs.iter().map(Vec::len).sum();
            (without, of_whom, Reverse(total))
        });
        all.into_iter().map(|(place, _)| place.as_str()).collect()
    }
}

/// Where the functions of C are, by what the linker said (its option `-Map`): a file of a library, else a section of their
/// own. What several files call alike (`free_mem`) is nowhere.
fn places(map: &str) -> BTreeMap<String, String> {
    let mut places: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut place = None;
    // Two addresses, size, alignment; behind them `FILE:(SECTION)`, or a name of what is in it.
    for line in map.lines() {
        let rest = line.split_whitespace().skip(4).collect::<Vec<_>>().join(" ");
        if let Some((file, section)) = rest.split_once(":(") {
            place = section.strip_prefix(".text").map(|section| {
                let library = file.rsplit('/').next().filter(|name| name.ends_with(".o)"));
                match (library, section.trim_end_matches(')').strip_prefix('.')) {
                    (None, Some(name)) => in_sections(name),
                    _ => in_file(file),
                }
            });
        } else if let (Some(place), false) = (&place, rest.starts_with('.')) {
            let known = places.entry(plain(&rest).to_owned()).or_insert(Some(place.clone()));
            if known.as_ref() != Some(place) {
                *known = None;
            }
        }
    }
    places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect()
}

/// The functions of a file, `crt1.o` or `libc.a(malloc.o)`. Where the machine chooses among several by the instructions that
/// it has (`memmove-sse2-….o`), with all of them: so each machine has its own.
fn in_file(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.trim_end_matches(')').replace('(', ":");
    let version =
        |v: &str| ["avx", "evex", "sse", "erms", "fma"].iter().any(|of| v.starts_with(of));
    match name.split_once('-') {
        Some((family, rest)) if version(rest) => format!("*{family}-*.o(.text*)"),
        _ => format!("*{name}(.text*)"),
    }
}

/// A name without what is behind it for a copy (`.llvm.123`, `.12`, `.part.0`) or a call (`'2`, by callgrind).
fn plain(name: &str) -> &str {
    name.split(['.', '\'']).next().unwrap_or(name)
}

/// A function's name wherever it is built, as far as [`LENGTH`] goes: [`plain`] and without the numbers of crates (`Cs`, the
/// number, `_`). None: C.
fn pattern(name: &str) -> Option<String> {
    let name = name.strip_prefix("_R").filter(|name| name.is_ascii())?;
    let mut pieces = plain(name).split("Cs");
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

/// A function by its name's pattern: of `.text.NAME` and, for what compilers take to be called rarely,
/// `.text.unlikely.NAME`.
fn in_sections(pattern: &str) -> String {
    format!("*(.text*.{pattern})")
}

/// The linker's script: into the section of what is only read, what files of these have in it, then constants without a
/// name; into the one where all functions go, these first, and in front of it what runs before and after all others.
fn script(places: &[&str]) -> String {
    let mut text = String::from(
        "/* Written by `cargo xtask dist --order`: functions in the order in which they are placed. */\n\
         SECTIONS { .rodata : {\n*(.rodata.cst*)\n",
    );
    for file in places.iter().filter_map(|place| place.strip_suffix("(.text*)")) {
        let _ = writeln!(text, "{file}(.rodata*)");
    }
    text += "*(.rodata..L*)\n} } INSERT AFTER .gcc_except_table;\n\
             SECTIONS { .init : { *(.init) } .fini : { *(.fini) } .text : {\n*(.iplt)\n";
    for place in places {
        let _ = writeln!(text, "{place}");
    }
    text + "} } INSERT AFTER .eh_frame;\n"
}

#[cfg(test)]
mod tests {
    use super::{pattern, places};

    #[test]
    fn names_lose_what_a_build_adds() {
        let name =
            "_RNvXsZ_NtCslNYArtu3iFV_5alloc6stringNtB5_6StringNtNtCsgEmfK2I1SDS_4core3fmt.13";
        let wanted = "_RNvXsZ_NtCs*_5alloc6stringNtB5_6StringNtNtCs*_4core3fmt*";
        assert_eq!(pattern(name).as_deref(), Some(wanted));
        assert_eq!(pattern("malloc"), None);
    }

    #[test]
    fn functions_of_c_are_in_files_and_sections() {
        let map = "  VMA  LMA  Size  Align Out  In  Symbol
            10 10 20 16 .text
            10 10  8  1     /lib/libc.a(malloc.o):(.text)
            10 10  8  1         _int_malloc
            18 18  4  1         free_mem
            20 20  8  1     /lib/libc.a(fclose.o):(.text)
            20 20  4  1         free_mem
            28 28  8  1     /lib/libc.a(memset-sse2-erms.o):(.text.sse2)
            28 28  8  1         __memset_sse2
            30 30  8  1     /target/a.o:(.text.main)
            30 30  8  1         main.llvm.12
            40 40 10 16 .data
            40 40  8  1     /lib/libc.a(malloc.o):(.data)
            40 40  8  1         main_arena
";
        let wanted = [
            ("__memset_sse2", "*libc.a:memset-*.o(.text*)"),
            ("_int_malloc", "*libc.a:malloc.o(.text*)"),
            ("main", "*(.text*.main)"),
        ];
        let found = places(map);
        let found: Vec<_> = found.iter().map(|(name, place)| (&**name, &**place)).collect();
        assert_eq!(found, wanted);
    }
}
