//! One run: call the command, compare what it says with what the directives expect.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;

use crate::Place;
use crate::directives::Run;
use crate::dump::BpfFs;
use crate::examples;
use crate::needs::{Machine, bpfweld};
use crate::query;
use crate::scratch::Scratch;

/// Longer than any case takes, on a slow machine under emulation too.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Calls the command and compares.
pub(crate) fn check(run: &Run, place: &Place, machine: &Machine) -> Result<(), String> {
    let mut run = run.clone();
    run.unprivileged &= machine.is_privileged();
    let run = &run;
    let scratch = Scratch::new(run, place)?;
    link_first(run, place, &scratch)?;
    let mut args = arguments(run, &scratch)?;
    if run.stdout.is_empty() {
        args.push("--json".into());
    }
    let loads = run.subcommand() == "load";
    let mount = match loads || !run.loaded.is_empty() {
        true => Some(BpfFs::mount(&scratch.path().join("bpffs"))?),
        false => None,
    };
    if let Some(mount) = &mount {
        load_first(run, place, &scratch, mount)?;
    }
    if let Some(mount) = mount.as_ref().filter(|_| loads) {
        args.extend(["--pin".into(), mount.dir.join("pins").to_string_lossy().into_owned()]);
    }
    let output = call(run, place, &args)?;
    let left = mount.as_ref().filter(|_| !output.status.success()).map(|m| m.dir.join("pins"));
    compare(run, &scratch, &output)
        .and_then(|()| match engine().is_none() && place.objects == place.source {
            true => examples::check(run, &scratch, &args, &output),
            false => Ok(()),
        })
        .and_then(|()| match left {
            Some(pins) if pins.exists() => Err("a load that failed left its pins behind".into()),
            _ => Ok(()),
        })
        .map_err(|e| format!("{e}\n--- bpfweld {}\n{}", args.join(" "), told(&output)))
}

/// What runs programs, where BPFWELD_ENGINE says it.
pub(crate) fn engine() -> Option<String> {
    std::env::var("BPFWELD_ENGINE").ok()
}

/// Makes the objects that `linked:` names.
pub(crate) fn link_first(run: &Run, place: &Place, scratch: &Scratch) -> Result<(), String> {
    for (name, how) in &run.linked {
        call_first(["link", "-o"], &scratch.path().join(name), how, run, place, scratch)?;
    }
    Ok(())
}

/// Loads and pins what `loaded:` names.
fn load_first(run: &Run, place: &Place, scratch: &Scratch, mount: &BpfFs) -> Result<(), String> {
    for (name, how) in &run.loaded {
        call_first(["load", "--pin"], &mount.dir.join(name), how, run, place, scratch)?;
    }
    Ok(())
}

/// Calls a command that the run itself builds on: subcommand and option, what it makes, and how.
fn call_first(
    command: [&str; 2],
    made: &Path,
    how: &[String],
    run: &Run,
    place: &Place,
    scratch: &Scratch,
) -> Result<(), String> {
    let mut args = command.map(String::from).to_vec();
    args.push(made.to_string_lossy().into_owned());
    args.extend(how.iter().map(|a| scratch.expand(a)));
    let output = call(run, place, &args)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("--- bpfweld {}\n{}", args.join(" "), told(&output))),
    }
}

/// Subcommand and arguments, `--json` and `--pin` left out.
pub(crate) fn arguments(run: &Run, scratch: &Scratch) -> Result<Vec<String>, String> {
    let mut args = vec![run.subcommand().to_string()];
    if run.subcommand() == "inspect" {
        args.extend(run.objects.iter().map(|o| scratch.expand(o)));
        return Ok(args);
    }
    args.extend(link_arguments(run, scratch));
    if run.subcommand() == "run" {
        args.extend(scratch.packet_args(run)?);
        if let Some(engine) = engine().filter(|_| !run.args.iter().any(|a| a == "--engine")) {
            args.extend(["--engine".into(), engine]);
        }
    }
    Ok(args)
}

/// The arguments that `check`, `run` and `load` share.
pub(crate) fn link_arguments(run: &Run, scratch: &Scratch) -> Vec<String> {
    let mut args: Vec<String> = run.objects.iter().map(|o| scratch.expand(o)).collect();
    for (option, values) in [("--object", &run.labels), ("--bind", &run.bind)] {
        for value in values {
            args.extend([option.into(), scratch.expand(value)]);
        }
    }
    if let Some(entry) = &run.entry {
        args.extend(["--entry".into(), entry.clone()]);
    }
    if !run.kconfig.is_empty() {
        args.extend(["--kconfig".into(), scratch.expand("$TMP/kconfig")]);
    }
    args.extend(run.args.iter().map(|a| scratch.expand(a)));
    match (run.fused, run.fused()) {
        (true, _) => args.extend(["--fuse".into(), "always".into()]),
        (false, Some(_)) => args.extend(["--fuse".into(), "never".into()]),
        // As it comes.
        (false, None) => {}
    }
    args
}

/// Calls the command in the directory of the case's objects; ends it when it hangs.
pub(crate) fn call(run: &Run, place: &Place, args: &[String]) -> Result<Output, String> {
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(bpfweld());
        shell
    };
    let mut command = match (run.stdin_closed, run.no_memlock, run.unprivileged) {
        (true, ..) => shell("exec \"$0\" \"$@\" <&-"),
        (_, true, _) => shell("ulimit -l 0 && exec \"$0\" \"$@\""),
        (.., true) => {
            let mut user = Command::new("setpriv");
            user.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(bpfweld());
            user
        }
        _ => Command::new(bpfweld()),
    };
    let mut child = command
        .args(args)
        .current_dir(&place.objects)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start bpfweld in {}: {e}", place.objects.display()))?;
    let begin = Instant::now();
    // Both pipes are read at the same time as it runs, or a long log would block it.
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).unwrap();
            }
            bytes
        })
    };
    let stdout = read(child.stdout.take().map(|p| Box::new(p) as _));
    let stderr = read(child.stderr.take().map(|p| Box::new(p) as _));
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            break status;
        }
        if begin.elapsed() > TIME_LIMIT {
            child.kill().map_err(|e| e.to_string())?;
            return Err(format!("bpfweld {} hangs", args.join(" ")));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ok(Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() })
}

fn compare(run: &Run, scratch: &Scratch, output: &Output) -> Result<(), String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    if stderr.contains("panicked at") {
        return Err("it panicked".into());
    }
    let exit = output.status.code();
    if exit != Some(run.expected_exit()) {
        return Err(format!("exit status is {exit:?}, expected {}", run.expected_exit()));
    }
    for pattern in run.errors.iter().chain(&run.warnings) {
        if !matches(&scratch.expand(pattern), &stderr)? {
            return Err(format!("standard error does not match {pattern:?}"));
        }
    }
    if run.fused && (stderr.contains("stayed a call") || stderr.contains("without fused calls")) {
        return Err("the kernel does not take it fused".into());
    }
    for pattern in &run.without {
        if matches(pattern, &stderr)? {
            return Err(format!("standard error matches {pattern:?}"));
        }
    }
    for pattern in &run.stdout {
        if !matches(pattern, &stdout)? {
            return Err(format!("standard output does not match {pattern:?}"));
        }
    }
    if !run.stdout.is_empty() || stdout.is_empty() && run.expected_exit() != 0 {
        return Ok(());
    }
    let json: Value =
        serde_json::from_str(&stdout).map_err(|e| format!("standard output is no JSON: {e}"))?;
    for question in &run.json {
        query::check(&json, &scratch.expand(question))?;
    }
    compare_packets(run, &json)
}

fn compare_packets(run: &Run, json: &Value) -> Result<(), String> {
    let none = Vec::new();
    let packets = json["packets"].as_array().unwrap_or(&none);
    for (i, packet) in packets.iter().enumerate() {
        if packet["index"] != i {
            return Err(format!("packet {i} has the index {}", packet["index"]));
        }
    }
    if let Some(wanted) = &run.verdicts {
        let verdict = |p: &Value| p["verdict"].as_str().unwrap_or("-").to_string();
        let found: Vec<String> = packets.iter().map(verdict).collect();
        if found != *wanted {
            return Err(format!("verdicts are {found:?}, expected {wanted:?}"));
        }
    }
    if let Some(wanted) = &run.codes {
        let found: Vec<Option<i64>> = packets.iter().map(|p| p["code"].as_i64()).collect();
        if found != *wanted {
            return Err(format!("codes are {found:?}, expected {wanted:?}"));
        }
    }
    for (verdict, wanted) in &run.counts {
        let found = packets.iter().filter(|p| p["verdict"] == verdict.as_str()).count();
        if found != *wanted {
            return Err(format!("{found} packets are {verdict}, expected {wanted}"));
        }
    }
    let counted: usize = run.counts.iter().map(|(_, n)| n).sum();
    if counted != 0 && counted != packets.len() {
        return Err(format!("{} packets were run, {counted} are accounted for", packets.len()));
    }
    Ok(())
}

fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let regex = Regex::new(&format!("(?s){pattern}")).map_err(|e| e.to_string())?;
    Ok(regex.is_match(text))
}

/// What the command said, for a failed test's report.
pub(crate) fn told(output: &Output) -> String {
    let short = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let cut = text.char_indices().nth(4000).map(|(at, _)| at);
        cut.map_or(text.to_string(), |at| format!("{}…", &text[..at]))
    };
    format!(
        "--- {}\n--- standard output\n{}\n--- standard error\n{}",
        output.status,
        short(&output.stdout),
        short(&output.stderr)
    )
}
