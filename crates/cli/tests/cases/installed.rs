//! Objects that others built and that happen to be installed: each XDP program among those of
//! Debian's xdp-tools and libxdp1 is bound to the root of `cases/installed` and run.
//!
//! They lie in `/usr/lib/TRIPLET/bpf`; BPFWELD_INSTALLED=DIR names another directory. What is not
//! installed is one test that is passed over and counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Completion, Trial};
use serde_json::Value;

use crate::Place;
use crate::check::{call, told};
use crate::directives::Run;
use crate::needs::{Machine, bpfweld};

/// One test for each XDP program.
pub(crate) fn trials(place: &Place, machine: &Arc<Machine>) -> Vec<Trial> {
    let objects = find();
    if objects.is_empty() {
        let body =
            || Ok(Completion::ignored_with("Debian's xdp-tools and libxdp1 are not installed"));
        return vec![Trial::ignorable_test("installed::xdp-tools", body)];
    }
    let mut trials = Vec::new();
    for object in objects {
        let file = object.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (path, at) = (object.clone(), place.clone());
        trials.push(Trial::test(format!("installed::{file}::inspect"), move || {
            let args = ["inspect".into(), path.to_string_lossy().into_owned(), "--json".into()];
            let output = call(&Run::default(), &at, &args)?;
            if output.status.success() { Ok(()) } else { Err(told(&output).into()) }
        }));
        for program in xdp_programs(&object) {
            let (place, machine, object) = (place.clone(), machine.clone(), object.clone());
            let name = format!("installed::{file}::{program}");
            trials.push(Trial::ignorable_test(name, move || {
                if let Some(reason) = machine.lacks(&Run::default(), &place) {
                    return Ok(Completion::ignored_with(reason));
                }
                runs(&place, &object, &program)?;
                Ok(Completion::Completed)
            }));
        }
    }
    trials
}

fn find() -> Vec<PathBuf> {
    let dirs = match std::env::var_os("BPFWELD_INSTALLED") {
        Some(dir) => vec![PathBuf::from(dir)],
        None => {
            let triplets = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
            triplets.map(|triplet| triplet.path().join("bpf")).collect()
        }
    };
    let files = dirs.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    let mut objects: Vec<PathBuf> =
        files.map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "o")).collect();
    objects.sort();
    objects
}

/// Names of the XDP programs of an object; none when it cannot be read, which its own test tells.
fn xdp_programs(object: &Path) -> Vec<String> {
    let output = Command::new(bpfweld()).arg("inspect").arg(object).arg("--json").output();
    let json: Value = output
        .ok()
        .and_then(|output| serde_json::from_slice(&output.stdout).ok())
        .unwrap_or_default();
    let programs = json["programs"].as_array().into_iter().flatten();
    let is_xdp = |p: &&Value| {
        let section = p["section"].as_str().unwrap_or_default();
        section == "xdp" || section == "xdp.frags"
    };
    programs.filter(is_xdp).filter_map(|p| p["name"].as_str().map(String::from)).collect()
}

/// Runs an object's program behind a root, linked and fused: the verdicts are the same.
fn runs(place: &Place, object: &Path, program: &str) -> Result<(), String> {
    let verdicts = |fuse| -> Result<Vec<String>, String> {
        let packets = run(place, object, program, fuse)?;
        Ok(packets.iter().filter_map(|p| p["verdict"].as_str().map(String::from)).collect())
    };
    let (linked, fused) = (verdicts("never")?, verdicts("always")?);
    match linked == fused {
        true => Ok(()),
        false => Err(format!("fused, the verdicts are {fused:?}, else {linked:?}")),
    }
}

fn run(place: &Place, object: &Path, program: &str, fuse: &str) -> Result<Vec<Value>, String> {
    let capture = place.cases.join("captures/real.pcap");
    let args: Vec<String> = vec![
        "run".into(),
        "root.o".into(),
        "--bind".into(),
        format!("prog={}:{program}", object.display()),
        "--pcap".into(),
        capture.to_string_lossy().into_owned(),
        "--json".into(),
        "--fuse".into(),
        fuse.into(),
    ];
    let output = call(&Run::default(), place, &args)?;
    let fail =
        |what: &str| Err(format!("{what}\n--- bpfweld {}\n{}", args.join(" "), told(&output)));
    if !output.status.success() {
        return fail("it does not run");
    }
    let json: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let packets = json["packets"].as_array().cloned().unwrap_or_default();
    let is_named = |p: &&Value| p["verdict"].as_str().is_some_and(|v| v.starts_with("XDP_"));
    // The whole capture has a verdict that XDP knows.
    if packets.iter().filter(is_named).count() != 348 {
        return fail("not every packet has a verdict");
    }
    Ok(packets)
}
