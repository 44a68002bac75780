//! What is in `examples/`: the plan, the systemd unit and the DaemonSet, run as they say.

use std::path::PathBuf;
use std::process::Command;

use serde_yaml_ng::Value;

use crate::world::{HERE, World, bpfweld, skip, tool};

/// Where the examples expect the command and the plan.
const COMMAND: &str = "/usr/bin/bpfweld";
const PLAN: &str = "/etc/bpfweld/xdp.toml";

fn example(name: &str) -> String {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    std::fs::read_to_string(dir.join(name)).unwrap()
}

/// The interfaces and objects that the plan names, and the plan beside them.
fn planned(world: &World) -> PathBuf {
    world.pair("eth0", "eth2");
    world.pair("eth1", "eth3");
    let dir = world.temp("etc");
    std::fs::create_dir(&dir).unwrap();
    for name in ["filter.o", "count.o"] {
        std::fs::copy(World::object("chain/step.o"), dir.join(name)).unwrap();
    }
    // The stand-in's variable has another name.
    let text = example("xdp.toml");
    assert!(text.contains("rate = 1000"));
    std::fs::write(dir.join("xdp.toml"), text.replace("rate = 1000", "id = 1000")).unwrap();
    dir.join("xdp.toml")
}

const MADE: &str = "eth0: front[id=1000] step; eth1: step";

/// A command in the world's namespace with its directories, and no more capabilities than these.
fn restricted(world: &World, capabilities: &[&str], line: &[&str]) -> Command {
    let names = capabilities.iter().map(|c| format!(",+{}", c.to_lowercase()));
    let mut command = Command::new("ip");
    // Memory that may be locked counts before Linux 5.11: the unit says LimitMEMLOCK, as runtimes of
    // containers do.
    let unlimited = "ulimit -l unlimited; exec \"$@\"";
    command.args(["netns", "exec", &world.here, "sh", "-c", unlimited, "sh"]);
    // By its path: busybox's shell would take its own.
    command.arg(installed("setpriv")).arg("--no-new-privs");
    command.arg(format!("--bounding-set=-all{}", names.collect::<String>()));
    command.args(line);
    command.env("BPFWELD_STATE_DIR", world.state()).env("BPFWELD_PIN_DIR", world.pins());
    command
}

fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file()).unwrap()
}

fn run(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

fn unload_all(world: &World) {
    world.does("unload eth0 -a");
    world.does("unload eth1 -a");
    world.nothing_is_left();
}

#[test]
fn systemd_unit() {
    let Some(world) = World::new() else { return };
    let plan = planned(&world);
    let plan = plan.to_str().unwrap();
    let command = bpfweld();
    let command = command.to_str().unwrap();
    let unit = example("bpfweld-xdp.service");
    let of = |key: &str| -> &str {
        let line = unit.lines().find_map(|l| l.strip_prefix(&format!("{key}=")));
        line.unwrap_or_else(|| panic!("no {key}"))
    };
    let capabilities: Vec<_> =
        of("CapabilityBoundingSet").split(' ').map(|c| c.strip_prefix("CAP_").unwrap()).collect();
    for key in ["ExecStart", "ExecReload"] {
        let line = of(key).replace(COMMAND, command).replace(PLAN, plan);
        assert!(line.contains(command) && line.contains(plan));
        run(restricted(&world, &capabilities, &line.split(' ').collect::<Vec<_>>()));
        assert_eq!(world.shape(&["eth0", "eth1"]), MADE);
    }
    assert_eq!(world.status_of("eth0")["generation"], 1);
    assert_eq!(world.status_of("eth1")["mode"], "skb");
    unload_all(&world);
}

/// Who may load programs may put the first one on an interface, and no second: that one comes in the place of another,
/// which is opened by its id.
#[test]
fn without_the_capability_to_open_what_runs() {
    let Some(world) = World::new() else { return };
    let object = World::object("chain/step.o");
    world.does(&format!("load {HERE} chain/step.o"));
    let bpfweld = bpfweld();
    let line = [bpfweld.to_str().unwrap(), "xdp", "load", HERE, &object, "--name", "second"];
    let capabilities = ["BPF", "NET_ADMIN", "PERFMON", "DAC_OVERRIDE"];
    let output = restricted(&world, &capabilities, &line).output().unwrap();
    let says = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{says}");
    assert!(says.contains("E0706") && says.contains("it takes CAP_SYS_ADMIN"), "{says}");
    assert_eq!(world.names(), ["step"]);
    world.does(&format!("unload {HERE} -a"));
    world.nothing_is_left();
}

/// What systemd itself thinks of it, with paths that are there.
#[test]
fn systemd_takes_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bpfweld-xdp.service");
    let unit = example("bpfweld-xdp.service").replace(COMMAND, bpfweld().to_str().unwrap());
    let unit = unit.lines().filter(|l| !l.starts_with("Documentation=")).collect::<Vec<_>>();
    std::fs::write(&path, unit.join("\n")).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        Err(e) => skip(&format!("systemd-analyze: {e}")),
        Ok(output) => {
            let says = String::from_utf8_lossy(&output.stderr).into_owned();
            let about = says.lines().find(|l| l.contains("bpfweld-xdp"));
            assert!(output.status.success() && about.is_none(), "{says}");
        }
    }
}

#[test]
fn daemon_set() {
    let Some(world) = World::new() else { return };
    let plan = planned(&world);
    let set: Value = serde_yaml_ng::from_str(&example("daemonset.yaml")).unwrap();
    assert_eq!((&set["apiVersion"], &set["kind"]), (&"apps/v1".into(), &"DaemonSet".into()));
    let (selector, template) = (&set["spec"]["selector"], &set["spec"]["template"]);
    assert_eq!(selector["matchLabels"], template["metadata"]["labels"]);
    let pod = &template["spec"];
    assert_eq!(pod["hostNetwork"], true);
    let list = |value: &Value| value.as_sequence().unwrap().clone();
    let volumes: Vec<_> = list(&pod["volumes"]).iter().map(|v| v["name"].clone()).collect();
    let containers = list(&pod["containers"]);
    assert_eq!(containers.len(), 1);
    for container in &containers {
        let mounts = list(&container["volumeMounts"]);
        assert!(mounts.iter().all(|m| volumes.contains(&m["name"])), "{mounts:?}");
        // The defaults of the command, and the plan.
        let paths: Vec<_> = mounts.iter().map(|m| m["mountPath"].as_str().unwrap()).collect();
        assert_eq!(paths, ["/etc/bpfweld", "/sys/fs/bpf", "/run/bpfweld"]);
        let added = list(&container["securityContext"]["capabilities"]["add"]);
        let added: Vec<_> = added.iter().map(|c| c.as_str().unwrap()).collect();
        // Once around the loop, with a shell that finds the command.
        let command = list(&container["command"]);
        let command: Vec<_> = command
            .iter()
            .map(|word| word.as_str().unwrap().replace(PLAN, plan.to_str().unwrap()))
            .map(|word| word.replace("sleep 30", "exit 0"))
            .collect();
        assert!(command.iter().any(|w| w.contains("exit 0")), "{command:?}");
        let mut run_it =
            restricted(&world, &added, &command.iter().map(String::as_str).collect::<Vec<_>>());
        let bin = bpfweld();
        let path = std::env::var("PATH").unwrap();
        run_it.env("PATH", format!("{}:{path}", bin.parent().unwrap().display()));
        run(run_it);
        assert_eq!(world.shape(&["eth0", "eth1"]), MADE);
    }
    tool(&format!("ip -n {} link del eth1", world.here));
    world.does("unload eth0 -a");
    world.does("clean");
    world.nothing_is_left();
}
