//! `bpfweld explain`: the sections of `docs/errors.md`, which is part of the command.

use std::io::{self, Write};

use crate::args::ExplainArgs;
use crate::error::Failure;
use crate::instances::nearest;

/// The page. Each section begins with `## CODE: title`.
const PAGE: &str = include_str!("../../../../docs/errors.md");

/// `bpfweld explain`.
pub(crate) fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match &args.code {
        Some(code) => {
            let code = code.to_ascii_uppercase();
            let (title, text) = sections()
                .find(|(title, _)| title.split(':').next() == Some(code.as_str()))
                .ok_or_else(|| unknown(&code))?;
            writeln!(out, "{title}\n{}", text.trim_end())?;
        }
        None => {
            for (title, _) in sections() {
                writeln!(out, "{title}")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Titles and texts.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    let sections = PAGE.split("\n## ").skip(1);
    sections.filter(|text| text.starts_with("E0")).filter_map(|text| text.split_once('\n'))
}

fn unknown(code: &str) -> Failure {
    let failure = Failure::usage(format!("there is no error `{code}`"));
    let codes = sections().filter_map(|(title, _)| Some(title.split_once(':')?.0.to_owned()));
    match nearest(code, codes) {
        near if near.is_empty() => failure.hint("`bpfweld explain` lists them"),
        near => failure.hint(format!("did you mean {}?", near.join(" or "))),
    }
}
