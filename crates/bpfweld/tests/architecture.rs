//! The layering rules of docs/ARCHITECTURE.md, held by reading the sources and manifests.

#![allow(clippy::unwrap_used, clippy::panic)] // That is how a test fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Crates of the pipeline, each with what it may depend on. A new crate needs a line here, and with
/// it a decision.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    BTreeMap::from([
        ("insn", BTreeSet::from([])),
        ("btf", BTreeSet::from([])),
        ("object", BTreeSet::from(["btf", "insn"])),
        ("link", BTreeSet::from(["btf", "insn", "object"])),
        ("static-link", BTreeSet::from(["btf", "insn", "object"])),
        ("kernel", BTreeSet::from(["btf", "insn", "object", "link"])),
        ("engine", BTreeSet::from(["btf", "insn", "object", "link"])),
        (
            "bpfweld",
            BTreeSet::from(["btf", "insn", "object", "link", "kernel", "engine", "static-link"]),
        ),
        // The library whole, which re-exports what it needs.
        ("chain", BTreeSet::from([])),
    ])
}

/// The names of a manifest's `[dependencies]`.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let section = text.split("\n[dependencies]\n").nth(1).unwrap_or("");
    let lines = section.lines().take_while(|l| !l.starts_with('['));
    let name = |l: &str| l.split(['.', ' ', '=']).next().unwrap_or("").to_owned();
    lines.map(name).filter(|n| !n.is_empty() && !n.starts_with('#')).collect()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file: without comments, so that prose may name what code may not.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|l| l.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn crates_depend_only_on_what_lies_below() {
    for (krate, allowed) in allowed() {
        let manifest = workspace().join("crates").join(krate).join("Cargo.toml");
        for name in dependencies(&manifest) {
            if let Some(ours) = name.strip_prefix("bpfweld-") {
                assert!(allowed.contains(ours), "crate {krate} may not depend on {ours}");
            }
        }
    }
}

#[test]
fn reading_and_linking_make_no_system_call() {
    // Files that open what the caller names, by std, are the one exception.
    let may_open_files = ["crates/object/src/lib.rs", "crates/object/src/files.rs"];
    for krate in ["insn", "btf", "object", "link", "static-link", "engine"] {
        let dir = workspace().join("crates").join(krate);
        for name in dependencies(&dir.join("Cargo.toml")) {
            assert!(!["libc", "nix", "rustix"].contains(&name.as_str()), "{krate} uses {name}");
        }
        for path in sources(&dir.join("src")) {
            let code = code(&path);
            let tests_only = path.file_name().is_some_and(|n| n == "tests.rs");
            let opens = may_open_files.iter().any(|f| path.ends_with(f)) || tests_only;
            for word in ["libc::", "std::process", "std::net", "/proc/", "/sys/"] {
                let product = code.split("#[cfg(test)]").next().unwrap_or("");
                assert!(tests_only || !product.contains(word), "{}: {word}", path.display());
            }
            let product = code.split("#[cfg(test)]").next().unwrap_or("");
            assert!(opens || !product.contains("fs::"), "{}: std::fs", path.display());
        }
    }
}

#[test]
fn system_calls_and_unsafe_live_in_one_module() {
    let crates = [
        "insn",
        "btf",
        "object",
        "link",
        "static-link",
        "kernel",
        "engine",
        "bpfweld",
        "chain",
        "cli",
    ];
    for krate in crates {
        for path in sources(&workspace().join("crates").join(krate).join("src")) {
            let sys = path.ends_with("kernel/src/sys.rs")
                || path.parent().is_some_and(|p| p.ends_with("kernel/src/sys"));
            if sys {
                continue;
            }
            let code = code(&path);
            // Numbers of libc (errno, flags) are no calls; its functions are all unsafe.
            for word in ["unsafe ", "unsafe_code", "libc::syscall"] {
                assert!(
                    !code.contains(word),
                    "{}: `{word}` outside the sys module",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn files_stay_readable_in_one_sitting() {
    for krate in fs::read_dir(workspace().join("crates")).unwrap() {
        for path in sources(&krate.unwrap().path().join("src")) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(
                lines <= 800,
                "{}: {lines} lines; which two things live there?",
                path.display()
            );
        }
    }
}

#[test]
fn every_module_says_what_lives_there() {
    for krate in fs::read_dir(workspace().join("crates")).unwrap() {
        for path in sources(&krate.unwrap().path().join("src")) {
            if path.components().any(|c| c.as_os_str().to_string_lossy().starts_with("tests")) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//!"), "{} has no header", path.display());
        }
    }
}
