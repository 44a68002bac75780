//! Build directives: what a source under `cases/` says about how to compile it.
//!
//! A directive is a line that begins with `//@`. Those that this module does not know belong to the
//! case runner (`crates/cli/tests/cases`); [`KNOWN_TO_RUNNER`] names them, so that a misspelt one is
//! an error here and not a test that silently checks less.

use anyhow::{Context as _, Result, bail};

/// How to build one source. The defaults are what most sources want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build {
    /// Replaces the optimisation and debug flags.
    pub(crate) cflags: Vec<String>,
    /// `-mcpu`: the instruction set version.
    pub(crate) cpu: String,
    /// `-target`.
    pub(crate) target: String,
    /// Remove `.BTF` and `.BTF.ext` afterwards.
    pub(crate) strip_btf: bool,
    /// Rewrite extern functions to the encoding of 2019.
    pub(crate) extern_2019: bool,
    /// Pad line_info records to this many bytes.
    pub(crate) line_record_size: Option<u32>,
    /// Compilers that cannot build it: (name, reason).
    pub(crate) unsupported: Vec<(String, String)>,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            cflags: vec!["-O2".into(), "-g".into()],
            cpu: "v3".into(),
            target: "bpf".into(),
            strip_btf: false,
            extern_2019: false,
            line_record_size: None,
            unsupported: Vec::new(),
        }
    }
}

/// Directives of the case runner.
pub(crate) const KNOWN_TO_RUNNER: &[&str] = &[
    "args",
    "bind",
    "codes",
    "command",
    "counts",
    "documents",
    "dump",
    "entry",
    "error",
    "exit",
    "file",
    "functions",
    "json",
    "kconfig",
    "lines",
    "linked",
    "loaded",
    "needs",
    "no-memlock",
    "object",
    "objects",
    "packet",
    "pcap",
    "run",
    "stdin-closed",
    "stdout",
    "unprivileged",
    "verdicts",
    "warning",
    "without",
];

/// Reads the build directives of a source.
pub(crate) fn parse(source: &str) -> Result<Build> {
    let mut build = Build::default();
    for (number, line) in source.lines().enumerate() {
        let Some(text) = line.trim_start().strip_prefix("//@") else { continue };
        let (key, value) = text.split_once(':').unwrap_or((text, ""));
        let (key, value) = (key.trim(), value.trim());
        match key {
            "cflags" => build.cflags = value.split_whitespace().map(Into::into).collect(),
            "cpu" => build.cpu = value.into(),
            "target" => build.target = value.into(),
            "strip-btf" => build.strip_btf = true,
            "extern-2019" => build.extern_2019 = true,
            "line-record-size" => {
                let size = value.parse().with_context(|| format!("line {}", number + 1))?;
                build.line_record_size = Some(size);
            }
            // `no-compiler: clang-14 why not`
            "no-compiler" => {
                let (compiler, reason) = value.split_once(' ').unwrap_or((value, ""));
                if compiler.is_empty() || reason.is_empty() {
                    bail!("line {}: no-compiler wants a compiler and a reason", number + 1);
                }
                build.unsupported.push((compiler.into(), reason.trim().into()));
            }
            key if KNOWN_TO_RUNNER.contains(&key) => {}
            key => bail!("line {}: directive {key:?} is unknown", number + 1),
        }
    }
    Ok(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_source_says() {
        let build = parse(
            "//@ cpu: v4\n//@ cflags: -O1 -g0\n  //@ strip-btf\n//@ no-compiler: clang-14 no v4\nint x;\n",
        )
        .unwrap();
        assert_eq!(build.cpu, "v4");
        assert_eq!(build.cflags, ["-O1", "-g0"]);
        assert!(build.strip_btf && !build.extern_2019);
        assert_eq!(build.unsupported, [("clang-14".to_string(), "no v4".to_string())]);
    }

    #[test]
    fn a_misspelt_directive_is_an_error() {
        assert!(parse("//@ verdict: XDP_PASS").unwrap_err().to_string().contains("\"verdict\""));
        assert_eq!(parse("//@ verdicts: XDP_PASS").unwrap(), Build::default());
    }
}
