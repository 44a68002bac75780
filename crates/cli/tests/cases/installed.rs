//! Objects that others built and that happen to be installed: each XDP program among those of
//! Debian's xdp-tools and libxdp1 is bound to the root of `cases/installed` and run.
//!
//! They lie in `/usr/lib/TRIPLET/bpf`; BPFWELD_INSTALLED=DIR names another directory. What is not
//! installed is one test that is passed over and counted.

use std::collections::BTreeMap;
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

/// What a run leaves behind, to be compared with another's.
#[derive(PartialEq)]
struct Traces {
    verdicts: Vec<String>,
    maps: Value,
    /// Files of packets by name.
    captures: BTreeMap<String, Vec<u8>>,
}

/// Runs an object's program behind a root, linked and fused: verdicts, packets and maps are the same.
fn runs(place: &Place, object: &Path, program: &str) -> Result<(), String> {
    let (linked, fused) =
        (run(place, object, program, "never")?, run(place, object, program, "always")?);
    let differ = |what: &str, linked: &dyn std::fmt::Debug, fused: &dyn std::fmt::Debug| {
        Err(format!("fused, the {what} are {fused:?}, else {linked:?}"))
    };
    if linked.verdicts != fused.verdicts {
        return differ("verdicts", &linked.verdicts, &fused.verdicts);
    }
    if linked.maps != fused.maps {
        return differ("maps", &linked.maps, &fused.maps);
    }
    match linked == fused {
        true => Ok(()),
        false => differ("captures", &linked.captures.keys(), &fused.captures.keys()),
    }
}

fn run(place: &Place, object: &Path, program: &str, fuse: &str) -> Result<Traces, String> {
    let capture = place.cases.join("captures/real.pcap");
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let args: Vec<String> = vec![
        "run".into(),
        "root.o".into(),
        "--bind".into(),
        format!("prog={}:{program}", object.display()),
        "--pcap".into(),
        capture.to_string_lossy().into_owned(),
        "--json".into(),
        "--maps".into(),
        "--pcap-out".into(),
        dir.path().to_string_lossy().into_owned(),
        "--fuse".into(),
        fuse.into(),
    ];
    let output = call(&Run::default(), place, &args)?;
    let fail =
        |what: &str| Err(format!("{what}\n--- bpfweld {}\n{}", args.join(" "), told(&output)));
    if !output.status.success() {
        return fail("it does not run");
    }
    let mut json: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let packets = json["packets"].as_array().into_iter().flatten();
    let verdicts: Vec<String> =
        packets.filter_map(|p| p["verdict"].as_str().map(String::from)).collect();
    // The whole capture has a verdict that XDP knows.
    if verdicts.iter().filter(|v| v.starts_with("XDP_")).count() != 348 {
        return fail("not every packet has a verdict");
    }
    let mut maps = json["maps"].take();
    if !maps.is_array() {
        return fail("no maps are told");
    }
    any_cpu(&mut maps);
    let mut captures = BTreeMap::new();
    for entry in fs::read_dir(dir.path()).map_err(|e| e.to_string())?.flatten() {
        let bytes = fs::read(entry.path()).map_err(|e| e.to_string())?;
        captures.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    if captures.is_empty() {
        return fail("no packets are written");
    }
    Ok(Traces { verdicts, maps, captures })
}

/// Which CPU a packet was on is not the program's doing: of values per CPU, their sum counts.
fn any_cpu(json: &mut Value) {
    match json {
        Value::Array(all) => all.iter_mut().for_each(any_cpu),
        Value::Object(fields) => {
            if let Some(Value::Array(values)) = fields.get_mut("values") {
                *values = std::mem::take(values).into_iter().reduce(sum).into_iter().collect();
            }
            fields.values_mut().for_each(any_cpu);
        }
        _ => {}
    }
}

/// Number by number; what is no number is the same on each CPU, or the first one's.
fn sum(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_u64(), b.as_u64()) {
            (Some(a), Some(b)) => a.wrapping_add(b).into(),
            _ => Value::Number(a),
        },
        (Value::Array(a), Value::Array(b)) => {
            a.into_iter().zip(b).map(|(a, b)| sum(a, b)).collect()
        }
        (Value::Object(mut a), Value::Object(mut b)) => {
            for (name, of_a) in &mut a {
                *of_a = sum(of_a.take(), b.remove(name).unwrap_or_default());
            }
            Value::Object(a)
        }
        (a, _) => a,
    }
}
