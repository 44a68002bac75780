//! The examples of `docs/errors.md`: what the command says in the runs that document an error.
//!
//! `BPFWELD_WRITE_EXAMPLES=1` writes them.

use std::path::Path;
use std::process::Output;
use std::sync::{Mutex, PoisonError};

use crate::directives::Run;
use crate::scratch::Scratch;

/// The page is read and written by one test at a time.
static PAGE: Mutex<()> = Mutex::new(());

/// Compares what was said with the example of the section of the error that the run documents.
pub(crate) fn check(
    run: &Run,
    scratch: &Scratch,
    args: &[String],
    output: &Output,
) -> Result<(), String> {
    let Some(code) = &run.documents else { return Ok(()) };
    let _one = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    // Elsewhere than where it was built (on other kernels), there is no page.
    let Ok(text) = std::fs::read_to_string(&page) else { return Ok(()) };
    let tmp = scratch.path().to_string_lossy().into_owned();
    let said = String::from_utf8_lossy(&output.stderr).replace(&tmp, "$TMP");
    let args: Vec<_> = args.iter().filter(|arg| *arg != "--json").cloned().collect();
    let example = format!("$ bpfweld {}\n{said}", args.join(" ").replace(&tmp, "$TMP"));
    if !said.contains(&format!("error[{code}]: ")) {
        return Err(format!("it documents {code} and says something else"));
    }
    let start = text.find(&format!("\n## {code}: ")).ok_or(format!("no section {code}"))?;
    let begin = "```text\n";
    let from = text[start..].find(begin).ok_or(format!("{code} has no example"))? + begin.len();
    let from = start + from;
    let to = from + text[from..].find("```").ok_or("an example without an end")?;
    if std::env::var_os("BPFWELD_WRITE_EXAMPLES").is_some() {
        let new = format!("{}{example}{}", &text[..from], &text[to..]);
        return std::fs::write(&page, new).map_err(|e| e.to_string());
    }
    match without_log(&text[from..to]) == without_log(&example) {
        true => Ok(()),
        false => {
            Err(format!("docs/errors.md shows another example of {code}:\n{}", &text[from..to]))
        }
    }
}

/// The verifier's log differs from kernel to kernel.
fn without_log(text: &str) -> Vec<&str> {
    let mut in_log = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        in_log = line == "  the verifier's log:" || in_log && line.starts_with("    ");
        if !in_log && !line.contains("shows the whole log") {
            lines.push(line);
        }
    }
    lines
}
