//! After the command has ended nothing of it is left: no program and no map in the kernel, no file
//! on the BPF file system. Only `load` leaves something, and only when it succeeds.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Trial};
use serde_json::Value;

use crate::Place;
use crate::check::{call, told};
use crate::directives::Run;
use crate::dump::BpfFs;
use crate::needs::Machine;

/// The kernel frees programs and maps some time after their last user is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// One test a command.
pub(crate) fn trials(place: &Place, machine: &Arc<Machine>) -> Vec<Trial> {
    let link = ["root.o", "--bind", "prog=target.o"];
    let one = ["--entry", "leftover_root"];
    let frame = ["--packet", "/proc/sys/kernel/random/uuid"];
    let commands: [(&str, Vec<&str>, bool); 5] = [
        ("run", [&["run"], &link[..], &one, &frame].concat(), true),
        ("check", [&["check"], &link[..]].concat(), false),
        ("load", [&["load"], &link[..], &one, &["--pin", "PINS"]].concat(), true),
        ("load-refused", [&["load"], &link[..], &["--pin", "PINS"]].concat(), false),
        (
            "load-no-bpffs",
            [&["load"], &link[..], &one, &["--pin", "/tmp/bpfweld-no-bpffs"]].concat(),
            false,
        ),
    ];
    let trial = |(name, args, succeeds): (&str, Vec<&str>, bool)| {
        let args: Vec<String> = args.into_iter().map(String::from).collect();
        let (place, machine) = (place.clone(), machine.clone());
        Trial::ignorable_test(format!("leftovers::{name}"), move || {
            let lacks = machine.lacks(&Run::default(), &place).or_else(|| machine.lacks_bpftool());
            if let Some(reason) = lacks {
                return Ok(Completion::ignored_with(reason));
            }
            leaves_nothing(&place, args, succeeds)?;
            Ok(Completion::Completed)
        })
    };
    commands.into_iter().map(trial).collect()
}

fn leaves_nothing(place: &Place, mut args: Vec<String>, succeeds: bool) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mount = BpfFs::mount(&scratch.path().join("bpffs"))?;
    let pins = mount.dir.join("deep/pins");
    for arg in &mut args {
        if arg == "PINS" {
            *arg = pins.to_string_lossy().into_owned();
        }
    }
    let output = call(&Run::default(), place, &args)?;
    if output.status.success() != succeeds {
        return Err(format!("bpfweld {}\n{}", args.join(" "), told(&output)));
    }
    // The kernel itself puts `maps.debug` and `progs.debug` there.
    let entries = mount.dir.read_dir().map_err(|e| e.to_string())?.flatten();
    let pinned = entries.filter(|e| !e.file_name().to_string_lossy().ends_with(".debug")).count();
    let loads = succeeds && args.contains(&"--pin".to_string());
    match (loads, pinned) {
        // Loaded and pinned: then it must be there, or looking for it means nothing.
        (true, 0) => return Err("nothing was pinned".into()),
        (true, _) if alive()?.is_empty() => {
            return Err("it is pinned, and not in the kernel".into());
        }
        (false, n) if n > 0 => return Err(format!("{n} entries are left on the BPF file system")),
        _ => {}
    }
    drop(mount);
    let begin = Instant::now();
    loop {
        let alive = alive()?;
        if alive.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("still in the kernel: {}", alive.join(", ")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Programs and maps of these tests that the kernel holds.
fn alive() -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for kind in ["prog", "map"] {
        let output = Command::new("bpftool").args(["-j", kind, "show"]).output();
        let output = output.map_err(|e| e.to_string())?;
        let json: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
        let names = json.as_array().into_iter().flatten().filter_map(|o| o["name"].as_str());
        found.extend(names.filter(|n| n.starts_with("leftover_")).map(|n| format!("{kind} {n}")));
    }
    Ok(found)
}
