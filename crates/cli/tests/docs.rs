//! What the documents say of files and options is so.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "so a test's helper fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(workspace().join(file)).unwrap()
}

/// What stands between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The last cell of a row of the phase table: a path, and further names in the same directory.
#[test]
fn the_phase_table_names_files_that_exist() {
    let text = read("docs/ARCHITECTURE.md");
    let table = text.lines().skip_while(|l| !l.starts_with("| Phase")).skip(2);
    let mut seen = 0;
    for row in table.take_while(|l| l.starts_with('|')) {
        let files = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut dir = PathBuf::new();
        for name in quoted(files) {
            let path = if name.contains('/') { PathBuf::from(name) } else { dir.join(name) };
            assert!(workspace().join(&path).exists(), "{} of {row:?}", path.display());
            dir = path.parent().unwrap().to_owned();
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} files found in the table");
}

#[test]
fn relative_links_lead_somewhere() {
    for file in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/ARCHITECTURE.md",
        "docs/explaining.md",
        "cases/README.md",
    ] {
        let text = read(file);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = workspace().join(file).parent().unwrap().join(link);
            assert!(link.starts_with("http") || target.exists(), "{file}: {link}");
        }
    }
}

#[test]
fn options_of_the_readme_exist() {
    let mut help = String::new();
    for command in ["inspect", "check", "run", "load", "features"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_bpfweld")).args([command, "--help"]).output().unwrap();
        help.push_str(std::str::from_utf8(&output.stdout).unwrap());
    }
    let readme = read("README.md");
    let table: String = readme.lines().filter(|l| l.starts_with("| `-")).collect();
    let words = table.split(['`', ' ', ',']).filter(|word| word.starts_with("--"));
    let mut seen = 0;
    for option in words {
        assert!(
            help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
            "{option}"
        );
        seen += 1;
    }
    assert!(seen >= 10, "{seen} options found in the README");
}

/// Runs the command in `cases/`.
fn in_cases(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bpfweld"));
    let output = command.args(args).current_dir(workspace().join("cases")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(", ") {
        Some((packets, rest)) if rest.ends_with(" ns a packet") => packets,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `docs/explaining.md`: behind each `$ bpfweld …` stands what the command prints, and a picture is
/// what the command before it draws. BPFWELD_WRITE_EXAMPLES=1 writes both anew.
#[test]
fn examples_of_explaining_are_what_the_command_prints() {
    let path = workspace().join("docs/explaining.md");
    let text = read("docs/explaining.md");
    let write = std::env::var_os("BPFWELD_WRITE_EXAMPLES").is_some();
    let mut made = String::new();
    let mut seen = 0;
    for (i, part) in text.split("```").enumerate() {
        made.push_str(if i > 0 { "```" } else { "" });
        let block = part.strip_prefix("sh\n").or(part.strip_prefix("text\n"));
        let lines = block.and_then(|block| block.strip_prefix("$ bpfweld ")).filter(|_| i % 2 == 1);
        let Some(lines) = lines else {
            made.push_str(part);
            continue;
        };
        // A command may go on behind a backslash.
        let mut command = String::new();
        let mut rest = lines;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            match line.strip_suffix('\\') {
                Some(line) => command.push_str(line),
                None => {
                    command.push_str(line);
                    break;
                }
            }
        }
        let shown = &part[..part.len() - rest.len()];
        let args: Vec<&str> = command.split_whitespace().collect();
        seen += 1;
        let printed = match args.iter().position(|a| *a == "-o") {
            Some(at) => {
                let picture = workspace().join("docs").join(args[at + 1]);
                let drawn = in_cases(&[&args[..at], &args[at + 2..]].concat());
                if write {
                    std::fs::write(&picture, &drawn).unwrap();
                }
                let there = std::fs::read_to_string(&picture).unwrap();
                assert_eq!(there, drawn, "{} is not what `{command}` draws", picture.display());
                String::new()
            }
            None => without_times(&in_cases(&args)) + "\n",
        };
        if !write {
            assert_eq!(rest, printed, "`bpfweld {command}`");
        }
        made.extend([shown, printed.as_str()]);
    }
    assert!(seen >= 4, "{seen} examples");
    if write {
        std::fs::write(path, made).unwrap();
    }
}

/// The first command of the README works for a user without any privilege, and prints the verdicts
/// that it prints for root.
#[test]
fn the_readmes_first_command_works_without_privileges() {
    let readme = read("README.md");
    let first = readme.lines().find(|line| line.starts_with("cargo run ")).unwrap();
    let (_, args) = first.split_once(" -- ").unwrap();
    let args: Vec<&str> = args.split_whitespace().chain(["--json"]).collect();
    // Where everybody may read, whoever built this.
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let command = dir.path().join("bpfweld");
    std::fs::copy(env!("CARGO_BIN_EXE_bpfweld"), &command).unwrap();
    for file in args.iter().flat_map(|a| a.split('=')).filter(|a| a.starts_with("cases/")) {
        let to = dir.path().join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(workspace().join(file), to).unwrap();
    }
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(&command).args(&args).current_dir(dir.path());
        let output = shell.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {stderr}");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packets = json["packets"].as_array().unwrap();
        let verdicts: Vec<_> = packets.iter().map(|p| p["verdict"].to_string()).collect();
        (verdicts, json["engine"].to_string(), stderr)
    };
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let (verdicts, engine, stderr) = match root {
        true => shell(
            "chmod -R a+rX . && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
             --bounding-set=-all --inh-caps=-all -- \"$@\"",
        ),
        false => shell("exec \"$@\""),
    };
    assert_eq!(verdicts.len(), 348);
    assert!(verdicts.iter().any(|v| v == "\"XDP_DROP\""), "{verdicts:?}");
    if root {
        assert_eq!(engine, "\"engine\"");
        assert!(stderr.contains("CAP_BPF"), "{stderr}");
        // The kernel, where it lets root use it.
        let (by_root, _, _) = shell("exec \"$@\"");
        assert_eq!(by_root, verdicts);
    }
}
