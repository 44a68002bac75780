//! `cargo xtask fixtures`: compiles every `cases/CASE/*.c` and `*.rs` to the object beside it.
//!
//! The objects are committed, so that nothing but a Rust toolchain is needed to run the tests. For
//! that the output depends on the source, its directives and the compiler alone: paths are relative
//! to the workspace, debug sections (which name the compiler's build) are stripped, only `.BTF` and
//! `.BTF.ext` stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::btf;
use crate::directives::{self, Build};
use crate::elf::Elf;
use crate::toolchain;

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build into a temporary directory and fail if anything differs from what is committed
    #[arg(long)]
    check: bool,
    /// The compiler
    #[arg(long, default_value = "clang-19")]
    clang: String,
    /// Build the whole tree elsewhere, as DIR/CASE/NAME.o
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Build only cases whose name contains this
    filter: Option<String>,
}

/// One source, in C or Rust.
struct Source {
    case: String,
    stem: String,
    /// Relative to the workspace.
    path: PathBuf,
    build: Build,
}

/// The task.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let tools = Tools::find(&options.clang)?;
    let sources = find_sources(root, options.filter.as_deref())?;
    let scratch = tempfile::tempdir()?;
    let out = match (&options.out, options.check) {
        (_, true) => scratch.path().to_path_buf(),
        (Some(dir), _) => dir.clone(),
        (None, _) => root.join("cases"),
    };
    let unsupported = build_all(root, &tools, &sources, &out)?;
    let built = sources.len() - unsupported.len();
    for (path, reason) in &unsupported {
        println!("not built by {}: {}: {reason}", options.clang, path.display());
    }
    let what = if options.check { "built for comparison" } else { "built" };
    println!("{built} objects {what}, {} not for {}", unsupported.len(), options.clang);
    if options.check { compare(root, &sources, &out) } else { Ok(()) }
}

struct Tools {
    clang: String,
    strip: String,
    objcopy: String,
}

impl Tools {
    fn find(clang: &str) -> Result<Self> {
        let tools = Self {
            clang: clang.into(),
            strip: "llvm-strip-19".into(),
            objcopy: "llvm-objcopy-19".into(),
        };
        let missing: Vec<&str> = [&tools.clang, &tools.strip, &tools.objcopy]
            .into_iter()
            .filter(|tool| Command::new(tool).arg("--version").output().is_err())
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            bail!(
                "cannot run {}; install them (Debian: packages {clang} and llvm-19)",
                missing.join(", ")
            );
        }
        Ok(tools)
    }
}

fn find_sources(root: &Path, filter: Option<&str>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for case in fs::read_dir(root.join("cases")).context("cases/")? {
        let case = case?;
        let name = case.file_name().to_string_lossy().into_owned();
        // What sources include is none.
        let is_case = case.file_type()?.is_dir() && name != "include";
        if !is_case || filter.is_some_and(|f| !name.contains(f)) {
            continue;
        }
        for file in fs::read_dir(case.path())? {
            let path = file?.path();
            if path.extension().is_none_or(|e| e != "c" && e != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let build = directives::parse(&text).with_context(|| path.display().to_string())?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let path = path.strip_prefix(root)?.to_path_buf();
            sources.push(Source { case: name.clone(), stem, path, build });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// Builds everything; returns what this compiler cannot build, with the reason.
fn build_all(
    root: &Path,
    tools: &Tools,
    sources: &[Source],
    out: &Path,
) -> Result<Vec<(PathBuf, String)>> {
    let mut unsupported = Vec::new();
    for source in sources {
        let reason = source.build.unsupported.iter().find(|(c, _)| *c == tools.clang);
        let object = object_path(out, source);
        if let Some((_, reason)) = reason {
            unsupported.push((source.path.clone(), reason.clone()));
            // One that an earlier run left would be taken for this compiler's.
            if object.exists() {
                fs::remove_file(&object)?;
            }
            continue;
        }
        build_one(root, tools, source, &object)
            .with_context(|| source.path.display().to_string())?;
    }
    Ok(unsupported)
}

fn object_path(out: &Path, source: &Source) -> PathBuf {
    out.join(&source.case).join(format!("{}.o", source.stem))
}

fn build_one(root: &Path, tools: &Tools, source: &Source, object: &Path) -> Result<()> {
    let dir = object.parent().context("no directory")?;
    fs::create_dir_all(dir)?;
    let scratch = tempfile::tempdir()?;
    let fresh = scratch.path().join("object.o");
    let build = &source.build;
    let mut compiler = match source.path.extension().is_some_and(|e| e == "rs") {
        true => rustc(root, scratch.path(), build)?,
        false => clang(tools, build),
    };
    call(compiler.current_dir(root).arg(&source.path).arg("-o").arg(&fresh))?;
    call(Command::new(&tools.strip).arg("-g").arg(&fresh))?;
    if build.strip_btf {
        let sections = [".BTF", ".BTF.ext", ".rel.BTF", ".rel.BTF.ext"];
        let args = sections.map(|s| format!("--remove-section={s}"));
        call(Command::new(&tools.objcopy).args(args).arg(&fresh))?;
    }
    let mut elf = fs::read(&fresh)?;
    if build.extern_2019 || build.line_record_size.is_some() {
        let mut patched = Elf::new(elf)?;
        if build.extern_2019 {
            btf::extern_2019(&mut patched)?;
        }
        if let Some(size) = build.line_record_size {
            btf::line_record_size(&mut patched, size as usize)?;
        }
        elf = patched.into_bytes();
    }
    // An unchanged object keeps its time stamp.
    if fs::read(object).ok().as_deref() != Some(&elf) {
        fs::write(object, elf)?;
    }
    Ok(())
}

/// The compiler of C. File names in line info become relative to the workspace, wherever that lies.
fn clang(tools: &Tools, build: &Build) -> Command {
    let mut clang = Command::new(&tools.clang);
    clang
        .args(["-target", &build.target, &format!("-mcpu={}", build.cpu)])
        .args(&build.cflags)
        .args(["-ffile-compilation-dir=.", "-Icases/include", "-nostdinc"])
        .args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-c"]);
    clang
}

/// The toolchain's own compiler of Rust, by which this is built: it has code for BPF, but makes bitcode of it unless
/// told otherwise, and comes without `core`, in place of which the sources have `include/weld.rs`.
fn rustc(root: &Path, scratch: &Path, build: &Build) -> Result<Command> {
    const TARGET: &str = "bpfel-unknown-none";
    let rustc = || {
        let mut rustc = toolchain::rustc();
        // Unstable options of a compiler that is pinned.
        rustc.env("RUSTC_BOOTSTRAP", "1").arg("-Zunstable-options");
        rustc
    };
    let output = rustc().args(["--print", "target-spec-json", "--target", TARGET]).output();
    let output = output.context("rustc cannot be run")?;
    let mut spec: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    spec["obj-is-bitcode"] = false.into();
    let target = scratch.join("bpf.json");
    fs::write(&target, spec.to_string())?;
    let mut rustc = rustc();
    rustc
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "obj", "--target"])
        .arg(target)
        .arg("-Zcrate-attr=feature(no_core, lang_items, auto_traits)")
        .arg("-Zcrate-attr=allow(internal_features, dead_code, unused_imports, non_camel_case_types)")
        .args(["-D", "warnings", "-C", "opt-level=2", "-C", "debuginfo=2"])
        // Addresses in tables of jumps, not differences.
        .args(["-C", "relocation-model=static", "-C", &format!("target-cpu={}", build.cpu)])
        .arg(format!("--remap-path-prefix={}=.", root.display()));
    Ok(rustc)
}

fn call(command: &mut Command) -> Result<()> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {tool}"))?;
    if !output.status.success() {
        bail!("{tool} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Compares a fresh build with the committed objects, byte by byte; objects without a source count.
fn compare(root: &Path, sources: &[Source], out: &Path) -> Result<()> {
    let mut differ = Vec::new();
    let cases = root.join("cases");
    for source in sources {
        let (fresh, committed) = (object_path(out, source), object_path(&cases, source));
        let name = committed.strip_prefix(root).unwrap_or(&committed).display().to_string();
        match (fs::read(&fresh).ok(), fs::read(&committed).ok()) {
            (a, b) if a == b => {}
            (Some(_), None) => differ.push(format!("{name}: missing")),
            (None, Some(_)) => differ.push(format!("{name}: its source is not for this compiler")),
            _ => differ.push(format!("{name}: differs from what its source compiles to")),
        }
    }
    let mut dirs: Vec<&str> = sources.iter().map(|s| s.case.as_str()).collect();
    dirs.dedup();
    for case in dirs {
        for file in fs::read_dir(cases.join(case))? {
            let path = file?.path();
            let is_object = path.extension().is_some_and(|e| e == "o");
            let has_source = ["c", "rs"].iter().any(|e| path.with_extension(e).exists());
            if is_object && !has_source {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                differ.push(format!("{name}: has no source"));
            }
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    bail!(
        "{} objects are stale; run `cargo xtask fixtures` and commit them:\n  {}",
        differ.len(),
        differ.join("\n  ")
    )
}
