//! The command as a user meets it: exit codes, help, JSON on standard output and nothing else there,
//! closed pipes, missing privileges; completions and manual pages that agree with `--help`. What it
//! does to objects is tested by the cases (`tests/cases`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "so a test's helper fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const COMMANDS: [&str; 12] = [
    "inspect",
    "check",
    "run",
    "load",
    "disasm",
    "graph",
    "link",
    "xdp",
    "features",
    "explain",
    "completions",
    "man",
];

fn case(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases").join(file)
}

fn capture_case(file: &str) -> String {
    case("capture").join(file).to_str().unwrap().to_owned()
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bpfweld"));
    command.stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

fn bpfweld(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Asserts exit status, and that standard error is `error: …` where it failed.
#[track_caller]
fn fails(args: &[&str], code: i32, says: &[&str]) {
    let output = bpfweld(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "", "{args:?}");
    assert!(stderr(&output).starts_with("error"), "{args:?}: {}", stderr(&output));
    for word in says {
        assert!(stderr(&output).contains(word), "{args:?}: no {word:?} in {}", stderr(&output));
    }
}

/// All `--options` in a help text or in any other.
fn options(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let name: String =
            text[at + 2..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if name.len() > 1 && !text[..at].ends_with('-') {
            found.insert(name);
        }
    }
    found
}

#[test]
fn help_explains_every_command() {
    let output = bpfweld(&["--help"]);
    assert!(output.status.success());
    for word in COMMANDS.iter().chain(&["INSTANCE", "EXTERN", "Exit status"]) {
        assert!(stdout(&output).contains(word), "no {word}");
    }
    for name in COMMANDS {
        let output = bpfweld(&[name, "--help"]);
        assert!(output.status.success(), "{name}");
        assert!(stdout(&output).contains("Example"), "{name} --help has no example");
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn the_version_is_the_packages() {
    let output = bpfweld(&["--version"]);
    assert_eq!(stdout(&output), concat!("bpfweld ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_command_line_is_exit_status_2() {
    let root = capture_case("root.o");
    let label = format!("a={root}");
    fails(&["run", &root], 2, &["--pcap", "--packet"]);
    fails(&["nonsense"], 2, &["nonsense"]);
    fails(&["inspect"], 2, &["OBJECT"]);
    fails(&["inspect", "--jsn", &root], 2, &["--json"]);
    fails(&["check"], 2, &["OBJECT"]);
    fails(&["load", &root], 2, &["--pin"]);
    fails(&["run", &root, "--packet", "x", "--repeat", "0"], 2, &["repeat"]);
    fails(&["check", &root, "--log-level", "9"], 2, &["log-level"]);
    fails(&["check", &root, "--object", "nothing"], 2, &["LABEL=PATH"]);
    fails(&["check", &root, "--object", &label, "--object", &label], 2, &["twice"]);
    fails(&["check", &root, "--bind", "prog1"], 2, &["no `=`", "[INSTANCE:]EXTERN"]);
    fails(&["check", &root, "--bind", "prog1="], 2, &["names no instance"]);
    fails(&["check", &root, "--object", &label, "--bind", "prog1=b"], 2, &["neither a label", "a"]);
    fails(&["check", &root, "--without", "btf-dataset"], 2, &["btf-dataset", "btf-datasec"]);
    fails(&["completions", "tcsh"], 2, &["bash"]);
    assert_eq!(bpfweld(&[]).status.code(), Some(2));
}

#[test]
fn probes_can_be_overridden() {
    if !is_root() {
        return;
    }
    let output = bpfweld(&["features", "--without", "btf", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str| {
        let all = json["features"].as_array().unwrap();
        let feature = all.iter().find(|f| f["name"] == name).unwrap();
        (feature["supported"].as_bool().unwrap(), feature["reason"].to_string())
    };
    assert_eq!(of("btf"), (false, "\"said on the command line\"".into()));
    assert_eq!(of("btf-enum64"), (false, "\"rests on btf, which is missing\"".into()));
    assert!(of("names").0);
}

#[test]
fn a_missing_file_is_exit_status_1_with_the_nearest_name() {
    let wrong = capture_case("rooot.o");
    let root = capture_case("root.o");
    for name in ["inspect", "check"] {
        fails(&[name, &wrong], 1, &[&wrong, "did you mean", "root.o"]);
    }
    let bind = format!("prog1={}", capture_case("fliter.o"));
    fails(&["check", &root, "--bind", &bind], 1, &["fliter.o", "did you mean", "filter.o"]);
    let filter = format!("prog1={}", capture_case("filter.o"));
    let count = format!("prog2={}", capture_case("count.o"));
    let bound = ["run", &root, "--bind", &filter, "--bind", &count];
    let with = |more: [&'static str; 2]| [&bound[..], &more].concat();
    fails(&with(["--pcap", "gone.pcap"]), 1, &["gone.pcap"]);
    fails(&with(["--packet", "/"]), 1, &["directory"]);
    fails(
        &with(["--kconfig", "gone.config"])
            .into_iter()
            .chain(["--packet", "/dev/null"])
            .collect::<Vec<_>>(),
        1,
        &["gone.config"],
    );
}

#[test]
fn what_is_no_object_is_exit_status_1() {
    fails(&["inspect", "/dev/null"], 1, &["/dev/null"]);
    fails(&["inspect", "/"], 1, &["directory"]);
    fails(&["inspect", env!("CARGO_BIN_EXE_bpfweld")], 1, &["BPF"]);
    fails(&["inspect", case("capture/root.c").to_str().unwrap()], 1, &["ELF"]);
}

#[test]
fn inspect_prints_the_facts() {
    let output = bpfweld(&["inspect", "--json", &capture_case("root.o")]);
    assert_eq!(stderr(&output), "");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["license"], "GPL");
    assert_eq!(json["endian"], "little");
    assert_eq!(json["btf"], true);
    let program = &json["programs"][0];
    assert_eq!((&program["name"], &program["section"]), (&"root".into(), &"xdp".into()));
    assert_eq!(program["type"], "xdp");
    assert!(program["insns"].as_u64().unwrap() > 4);
    assert_eq!(json["functions"][0]["linkage"], "global");
    let names: Vec<_> = json["externs"].as_array().unwrap().iter().map(|e| &e["name"]).collect();
    assert_eq!(names, ["prog1", "prog2"]);
    for ext in json["externs"].as_array().unwrap() {
        assert_eq!((&ext["kind"], &ext["weak"]), (&"function".into(), &false.into()));
        let declaration = ext["type"].as_str().unwrap();
        assert!(declaration.contains(ext["name"].as_str().unwrap()), "{declaration}");
        assert!(declaration.contains("struct xdp_md *"), "{declaration}");
    }
    assert_eq!(json["maps"], Value::Array(vec![]));

    let output = bpfweld(&["inspect", "--json", &capture_case("count.o")]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let map = &json["maps"][0];
    assert_eq!((&map["name"], &map["type"]), (&"seen".into(), &"array".into()));
    assert_eq!(
        (&map["key_size"], &map["value_size"], &map["max_entries"]),
        (&4.into(), &8.into(), &1.into())
    );
}

#[test]
fn people_get_words_without_colours() {
    let output = bpfweld(&["inspect", "-v", &capture_case("root.o")]);
    let text = stdout(&output);
    for word in ["little-endian", "programs", "externs", "prog1", "prog2"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    assert!(!text.contains('\x1b'), "colours into a pipe");
    assert!(text.lines().all(|line| line.trim_end() == line), "trailing blanks:\n{text}");
}

#[test]
fn errors_are_explained_by_their_codes() {
    let output = bpfweld(&["explain", "e0201"]);
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(text.starts_with("E0201: ") && text.contains("error[E0201]: "), "{text}");
    assert!(text.contains("**Cure.**") && !text.contains("E0202: "), "{text}");
    assert!(stdout(&bpfweld(&["explain"])).lines().count() > 80);
    fails(&["explain", "E0299"], 2, &["there is no error `E0299`"]);
}

#[test]
fn with_json_a_failure_is_json_too() {
    let root = case("unbound/root.o").to_str().unwrap().to_owned();
    let output = bpfweld(&["run", "--json", "--engine", "engine", "--packet", &root, &root]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(json["error"]["code"], "E0201");
    assert_eq!(json["error"]["places"][0]["line"], 16);
    assert!(json["error"]["hints"][0].as_str().unwrap().contains("--bind"));
    assert!(stderr(&output).starts_with("error[E0201]: "), "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let root = capture_case("root.o");
    for args in [
        &["inspect", &root][..],
        &["inspect", "--json", &root],
        &["--help"],
        &["run", "--help"],
        &["man"],
        &["completions", "bash"],
    ] {
        // The reading end is closed before the command starts: its first write fails.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command().args(args).stdout(writer).output().unwrap();
        assert_eq!(stderr(&output), "", "{args:?}");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output =
        command().args(["inspect", &capture_case("root.o")]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard output"), "{}", stderr(&output));
}

#[test]
fn manual_pages_agree_with_help() {
    let dir = tempfile::tempdir().unwrap();
    let output = bpfweld(&["man", dir.path().join("man1").to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    let mut pages = BTreeSet::from(["bpfweld.1".to_owned()]);
    for name in COMMANDS {
        let file = format!("bpfweld-{name}.1");
        let page = std::fs::read_to_string(dir.path().join("man1").join(&file)).unwrap();
        let page = page.replace("\\-", "-");
        let help = bpfweld(&[name, "--help"]);
        for option in options(stdout(&help)) {
            assert!(page.contains(&format!("--{option}")), "{file} lacks --{option}");
        }
        assert!(page.contains(&format!("bpfweld {name}")) && page.contains(".SH NAME"), "{file}");
        pages.insert(file);
    }
    let written = std::fs::read_dir(dir.path().join("man1")).unwrap();
    let written: BTreeSet<_> =
        written.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(written, pages);
    let main = std::fs::read(dir.path().join("man1/bpfweld.1")).unwrap();
    assert_eq!(main, bpfweld(&["man"]).stdout);
}

#[test]
fn completions_agree_with_help() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = bpfweld(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = stdout(&output);
        // fish writes `-l name`, the others `--name`.
        let offered = |option: &str| {
            script.contains(&format!("--{option}")) || script.contains(&format!("-l {option}"))
        };
        for name in COMMANDS {
            assert!(script.contains(name), "{shell} lacks {name}");
            let help = bpfweld(&[name, "--help"]);
            let usage = stdout(&help).split("Example").next().unwrap().to_owned();
            for option in options(&usage) {
                assert!(offered(&option), "{shell} lacks --{option} of {name}");
            }
        }
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    fails(&["man", "/dev/null/man1"], 1, &["/dev/null/man1"]);
}

/// The command without any capability, though still as the same user: the files are readable.
fn without_capabilities(args: &[&str]) -> Output {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
    setpriv.arg(env!("CARGO_BIN_EXE_bpfweld")).args(args).stdin(Stdio::null());
    setpriv.output().expect("setpriv (util-linux) is needed")
}

/// May this process change capability sets, or has it none to begin with?
fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

#[test]
fn without_privileges_the_capability_is_named() {
    let root = capture_case("root.o");
    let filter = format!("prog1={}", capture_case("filter.o"));
    let count = format!("prog2={}", capture_case("count.o"));
    let bound = [&root, "--bind", &filter, "--bind", &count];
    let call = |command: &str, more: &[&str]| {
        let args = [&[command], &bound[..], more].concat();
        if is_root() { without_capabilities(&args) } else { bpfweld(&args) }
    };
    for output in [
        call("check", &[]),
        call("run", &["--engine", "kernel", "--packet", &root]),
        call("load", &["--pin", "/nowhere"]),
        if is_root() { without_capabilities(&["features"]) } else { bpfweld(&["features"]) },
    ] {
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("CAP_BPF"), "{text}");
        assert!(text.contains("inspect"), "what works without is not said: {text}");
    }
    // What needs no privilege works. Left the choice, `run` says why it runs the program itself.
    let output = call("run", &["--packet", &root]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("CAP_BPF"), "{}", stderr(&output));
    let output = if is_root() {
        without_capabilities(&["inspect", &root])
    } else {
        bpfweld(&["inspect", &root])
    };
    assert!(output.status.success(), "{}", stderr(&output));
}

/// What `--pcap-out` writes can be run again: each capture has the packets of its verdict, with their
/// times, as they left the program.
#[test]
fn captures_by_verdict_can_be_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (root, capture) = (capture_case("root.o"), case("captures/real.pcap"));
    let filter = format!("prog1={}", capture_case("filter.o"));
    let count = format!("prog2={}", capture_case("count.o"));
    let bound = ["run", &root, "--bind", &filter, "--bind", &count, "--engine", "engine", "--json"];
    let run = |pcap: &Path| {
        let output = command()
            .args(bound)
            .arg("--pcap")
            .arg(pcap)
            .arg("--pcap-out")
            .arg(&out)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["packets"].as_array().unwrap().len()
    };
    assert_eq!(run(&capture), 348);
    let drops = dir.path().join("drops.pcap");
    std::fs::copy(out.join("XDP_DROP.pcap"), &drops).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["XDP_DROP.pcap", "XDP_PASS.pcap", "XDP_TX.pcap"]);
    assert_eq!(run(&drops), 40);
    // The same 40 packets with the same times once more: the file is as it was.
    assert_eq!(std::fs::read(&drops).unwrap(), std::fs::read(out.join("XDP_DROP.pcap")).unwrap());
    let time = |file: &Path| std::fs::read(file).unwrap()[24..28].to_vec();
    assert_eq!(time(&out.join("XDP_DROP.pcap")).len(), 4);
    assert!(time(&drops) >= time(&capture), "times of the capture");
}

/// A capture that was cut off runs up to there and says so.
#[test]
fn a_capture_that_is_cut_off_runs_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(case("captures/real.pcap")).unwrap();
    let cut = dir.path().join("cut.pcap");
    std::fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let filter = capture_case("filter.o");
    let output =
        bpfweld(&["run", &filter, "--engine", "engine", "--json", "--pcap", cut.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["packets"].as_array().unwrap().len(), 347);
    assert!(stderr(&output).contains("347 packets before that run"), "{}", stderr(&output));
}
