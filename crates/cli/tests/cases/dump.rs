//! What the kernel holds: loads and pins a run's program, and asks bpftool for its functions and
//! source lines. So what is compared is what a user sees, not what bpfweld believes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::Place;
use crate::check::{call, link_arguments, link_first, told};
use crate::directives::Run;
use crate::scratch::Scratch;

/// Compares the functions and lines of the loaded program with the directives.
pub(crate) fn check(run: &Run, place: &Place) -> Result<(), String> {
    let scratch = Scratch::new(run, place)?;
    link_first(run, place, &scratch)?;
    let mount = BpfFs::mount(&scratch.path().join("bpffs"))?;
    let pins = mount.dir.join("pins");
    let mut args = vec!["load".to_string()];
    args.extend(link_arguments(run, &scratch));
    args.extend(["--pin".into(), pins.to_string_lossy().into_owned(), "--json".into()]);
    let output = call(run, place, &args)?;
    if !output.status.success() {
        return Err(format!("cannot load\n--- bpfweld {}\n{}", args.join(" "), told(&output)));
    }
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let pinned = json["pins"].as_array().into_iter().flatten().find(|p| p["kind"] == "program");
    let program = pinned.and_then(|p| p["path"].as_str()).ok_or("no program was pinned")?;
    let dump = xlated(Path::new(program))?;
    compare(run, &dump)
}

fn compare(run: &Run, dump: &str) -> Result<(), String> {
    // `int name(struct xdp_md * ctx):` begins a function.
    let header = Regex::new(r"(?m)^\S.*?(\w+)\(.*\):$").unwrap();
    let found: Vec<&str> =
        header.captures_iter(dump).map(|c| c.get(1).map_or("", |m| m.as_str())).collect();
    if let Some(wanted) = &run.functions {
        let sorted = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
            names.sort();
            names
        };
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        // The entry comes first; the order of the others is the linker's business.
        if found.first() != wanted.first() || sorted(&found) != sorted(&wanted) {
            return Err(format!("functions are {found:?}, expected {wanted:?}"));
        }
    }
    let file = Regex::new(r"\[file:(\S+) line_num:(\d+)").unwrap();
    let files: BTreeSet<&str> =
        file.captures_iter(dump).map(|c| c.get(1).map_or("", |m| m.as_str())).collect();
    for name in &run.lines {
        if !files.iter().any(|f| f.ends_with(&format!("/{name}"))) {
            return Err(format!("no line is from {name}, only from {files:?}"));
        }
    }
    for pattern in &run.dump {
        let wanted = Regex::new(&format!("(?m){pattern}")).map_err(|e| e.to_string())?;
        if !wanted.is_match(dump) {
            return Err(format!("nothing matches {pattern:?}\n{dump}"));
        }
    }
    Ok(())
}

fn xlated(program: &Path) -> Result<String, String> {
    // bpftool reads all of the kernel's symbols first, which takes most of such a test's time and says
    // nothing of our functions: it gets to see none.
    let output = Command::new("unshare")
        .args([
            "-m",
            "sh",
            "-c",
            "mount --bind /dev/null /proc/kallsyms && exec bpftool \"$@\"",
            "sh",
        ])
        .args(["prog", "dump", "xlated", "pinned"])
        .arg(program)
        .arg("linum")
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("bpftool: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A BPF file system of our own. Dropping it unmounts, which drops every pin.
pub(crate) struct BpfFs {
    pub(crate) dir: PathBuf,
}

impl BpfFs {
    /// Mounts one on a new directory.
    pub(crate) fn mount(dir: &Path) -> Result<Self, String> {
        std::fs::create_dir(dir).map_err(|e| e.to_string())?;
        let output = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(dir).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self { dir: dir.into() }),
            Ok(output) => Err(format!("mount: {}", String::from_utf8_lossy(&output.stderr))),
            Err(e) => Err(format!("mount: {e}")),
        }
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}
