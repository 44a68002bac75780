//! What `--trace` tells is the same from kernel and engine, whatever the case is about: the kernel is
//! told by a copy of the program that tells, the engine by itself.

use libtest_mimic::Completion;
use serde_json::Value;

use crate::Place;
use crate::check::{call, link_arguments, link_first, told};
use crate::directives::Run;
use crate::scratch::Scratch;

/// Can the run be compared at all?
pub(crate) fn wanted(run: &Run) -> bool {
    let repeats = run.args.iter().any(|a| a.starts_with("--repeat") || a == "--engine");
    run.subcommand() == "run"
        && run.expected_exit() == 0
        && !repeats
        // The engine's answers are other ones, unless it is about the trace alone.
        && (!run.needs.iter().any(|need| need == "kernel") || run.args.iter().any(|a| a == "--trace"))
        && !run.unprivileged
        && run.loaded.is_empty()
        && !run.stdin_closed
}

/// Runs in both and compares.
pub(crate) fn check(run: &Run, place: &Place) -> Result<Completion, String> {
    let by_engine = match trace(run, place, "engine")? {
        Ok(json) => json,
        // Kernel functions, program types: `BPFWELD_ENGINE=engine` finds out whether it should.
        Err(told) => {
            let why = told.lines().find(|line| line.starts_with("error")).unwrap_or(&told);
            return Ok(Completion::ignored_with(format!("the engine does not run it: {why}")));
        }
    };
    let by_kernel = trace(run, place, "kernel")?.map_err(|e| format!("the kernel: {e}"))?;
    let less = by_kernel["warnings"].as_array().into_iter().flatten();
    let less = less.filter_map(Value::as_str).find(|w| w.contains("not traced"));
    let lengths_only = less.is_some();
    if let Some(less) = less
        && !run.args.iter().any(|a| a == "xdp-load-bytes")
        && std::env::var_os("BPFWELD_BIN").is_none()
    {
        // Other kernels may not have the helpers.
        return Err(format!("the kernel refused to tell all: {less}"));
    }
    let packets = |json: &Value| json["packets"].as_array().cloned().unwrap_or_default();
    let (engine, kernel) = (packets(&by_engine), packets(&by_kernel));
    if engine.len() != kernel.len() {
        return Err(format!(
            "{} packets in the engine, {} in the kernel",
            engine.len(),
            kernel.len()
        ));
    }
    for (engine, kernel) in engine.iter().zip(&kernel) {
        if engine.get("error").is_some() && kernel.get("error").is_some() {
            continue;
        }
        if kernel["trace"]["steps"].as_array().is_none_or(Vec::is_empty) {
            return Err(format!("packet {} has no trace", kernel["index"]));
        }
        let index = &engine["index"];
        for what in ["verdict", "trace"] {
            let (mut engine, mut kernel) = (engine[what].clone(), kernel[what].clone());
            if lengths_only {
                without_bytes(&mut engine);
                without_bytes(&mut kernel);
            }
            if engine != kernel {
                return Err(format!(
                    "{what} of packet {index} differs\n--- engine\n{engine:#}\n--- kernel\n{kernel:#}"
                ));
            }
        }
    }
    if by_engine["programs"] != by_kernel["programs"] {
        return Err("the counts of verdicts differ".into());
    }
    Ok(Completion::Completed)
}

/// Takes away what a kernel without helpers for it does not tell.
fn without_bytes(json: &mut Value) {
    match json {
        Value::Array(steps) => {
            let only_bytes = |step: &Value| {
                let change = &step["change"];
                change.is_object()
                    && ["front", "back", "metadata"].iter().all(|key| change[key].is_null())
            };
            steps.retain(|step| !only_bytes(step));
            steps.iter_mut().for_each(without_bytes);
        }
        Value::Object(members) => {
            members.remove("bytes");
            members.remove("partial");
            members.values_mut().for_each(without_bytes);
            // One that lost all its steps is like one that has none.
            members.retain(|key, value| key != "steps" || *value != Value::Array(vec![]));
        }
        _ => {}
    }
}

/// The JSON, or why there is none.
fn trace(run: &Run, place: &Place, engine: &str) -> Result<Result<Value, String>, String> {
    let scratch = Scratch::new(run, place)?;
    link_first(run, place, &scratch)?;
    let mut args = vec!["run".to_string()];
    args.extend(link_arguments(run, &scratch));
    args.extend(scratch.packet_args(run)?);
    args.retain(|arg| arg != "--trace");
    args.extend(["--trace", "--json", "--engine", engine].map(String::from));
    let output = call(run, place, &args)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("panicked at") {
        return Err(format!("it panicked\n--- bpfweld {}\n{}", args.join(" "), told(&output)));
    }
    if !output.status.success() {
        return Ok(Err(told(&output)));
    }
    // Objects that the run linked first are called by their paths, which differ from run to run.
    let scratch = scratch.path().to_string_lossy().into_owned();
    let said = String::from_utf8_lossy(&output.stdout).replace(&scratch, "$TMP");
    serde_json::from_str(&said).map(Ok).map_err(|e| e.to_string())
}
