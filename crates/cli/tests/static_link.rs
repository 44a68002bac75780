//! What `bpfweld link` writes, and bpftool's linker: each takes the other's output. Runs in the engine, so
//! no privilege is needed; where bpftool is missing there is nothing to compare.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "so a test fails or is passed over"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/static-link").join(name)
}

fn call(program: &str, arguments: &[&Path]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn bpfweld_link(out: &Path, objects: &[&Path]) {
    let start = [Path::new("link"), Path::new("-o"), out];
    let output = call(env!("CARGO_BIN_EXE_bpfweld"), &[&start, objects].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn bpftool_link(out: &Path, objects: &[&Path]) {
    let start = [Path::new("gen"), Path::new("object"), out];
    let output = call("bpftool", &[&start, objects].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn runs(object: &Path, dir: &Path) {
    let frame = dir.join("frame");
    std::fs::write(&frame, [0; 64]).unwrap();
    let arguments = ["run", "--engine", "engine", "--packet"].map(Path::new);
    let output = call(env!("CARGO_BIN_EXE_bpfweld"), &[&arguments[..], &[&frame, object]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("XDP_PASS"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn has_bpftool() -> bool {
    let found = Command::new("bpftool").arg("version").output().is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("there is no bpftool: nothing is compared");
    }
    found
}

#[test]
fn bpftool_links_our_outputs_further() {
    if !has_bpftool() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    bpfweld_link(&at("one.o"), &[&case("uses.o")]);
    bpfweld_link(&at("two.o"), &[&case("defines.o")]);
    for pair in [["one.o", "two.o"], ["two.o", "one.o"]] {
        bpftool_link(&at("all.o"), &[&at(pair[0]), &at(pair[1])]);
        runs(&at("all.o"), dir.path());
    }
}

#[test]
fn we_link_the_outputs_of_bpftool_further() {
    if !has_bpftool() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    bpftool_link(&at("two.o"), &[&case("defines.o")]);
    for pair in [[case("uses.o"), at("two.o")], [at("two.o"), case("uses.o")]] {
        bpfweld_link(&at("all.o"), &pair.each_ref().map(PathBuf::as_path));
        runs(&at("all.o"), dir.path());
    }
    bpftool_link(&at("whole.o"), &[&case("uses.o"), &case("defines.o")]);
    bpfweld_link(&at("again.o"), &[&at("whole.o")]);
    runs(&at("again.o"), dir.path());
}

#[test]
fn an_output_on_the_standard_output_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("all.o");
    bpfweld_link(&out, &[&case("uses.o"), &case("defines.o")]);
    let arguments = ["link", "-o", "-"].map(Path::new);
    let objects = [case("uses.o"), case("defines.o")];
    let objects = objects.each_ref().map(PathBuf::as_path);
    let streamed = call(env!("CARGO_BIN_EXE_bpfweld"), &[&arguments[..], &objects].concat());
    assert!(streamed.status.success());
    assert!(streamed.stdout == std::fs::read(&out).unwrap());
}

#[test]
fn a_file_stays_as_it_was_when_a_link_fails() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.o");
    std::fs::write(&out, "as before").unwrap();
    for (objects, works) in [(["defines.o", "twice.o"], false), (["defines.o", "uses.o"], true)] {
        let objects = objects.map(case);
        let start = [Path::new("link"), Path::new("-o"), &out];
        let objects = objects.each_ref().map(PathBuf::as_path);
        let output = call(env!("CARGO_BIN_EXE_bpfweld"), &[&start[..], &objects].concat());
        assert_eq!(output.status.success(), works);
        assert_eq!(std::fs::read(&out).unwrap() != b"as before", works);
        // Nothing temporary is left beside it.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_output_does_not_replace_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::copy(case("defines.o"), at("one.o")).unwrap();
    std::fs::hard_link(at("one.o"), at("hard.o")).unwrap();
    std::os::unix::fs::symlink("one.o", at("soft.o")).unwrap();
    let before = std::fs::read(at("one.o")).unwrap();
    for out in ["one.o", "hard.o", "soft.o"] {
        let start = [Path::new("link"), Path::new("-o"), &at(out)];
        let objects = [&*case("uses.o"), &*at("one.o")];
        let output = call(env!("CARGO_BIN_EXE_bpfweld"), &[&start[..], &objects].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(out) && said.contains("one.o"), "{said}");
        assert!(std::fs::read(at(out)).unwrap() == before);
    }
}
