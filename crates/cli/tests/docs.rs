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
    for file in ["README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "cases/README.md"] {
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
