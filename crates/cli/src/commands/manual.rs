//! `completions` and `man`: made from the same definition as `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap::builder::Resettable;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::error::Failure;

/// `bpfweld completions`.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    // Into memory first: the generator panics on a broken pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bpfweld", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(())
}

/// `bpfweld man`.
pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let pages = pages()?;
    match &args.dir {
        Some(dir) => write_all(dir, &pages),
        None => {
            let main = pages.first().map_or(&[][..], |(_, page)| page);
            io::stdout().lock().write_all(main)?;
            Ok(())
        }
    }
}

/// Every page with its file's name, the main one first.
fn pages() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut main = Cli::command();
    main.build();
    let rendered = |name: String, command: clap::Command| {
        let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut page = Vec::new();
        Man::new(command.after_help(Resettable::Reset))
            .source(concat!("bpfweld ", env!("CARGO_PKG_VERSION")))
            .render(&mut page)?;
        page.extend(notes_section(&notes).into_bytes());
        Ok((format!("{name}.1"), page))
    };
    let subcommands = main.get_subcommands().map(|command| {
        // `build` gave it the display name `bpfweld-COMMAND`, which the page takes for its own.
        let name = format!("bpfweld-{}", command.get_name());
        rendered(name, command.clone().version(env!("CARGO_PKG_VERSION")))
    });
    let subcommands: Vec<_> = subcommands.collect::<Result<_, Failure>>()?;
    let mut pages = vec![rendered("bpfweld".to_owned(), main.clone())?];
    pages.extend(subcommands);
    Ok(pages)
}

/// What `--help` says behind the options, its lines as they are: examples are no running text.
fn notes_section(notes: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]).control("nf", []);
    for line in notes.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []).to_roff()
}

fn write_all(dir: &Path, pages: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::new(format!("cannot write {}: {error}", path.display())).code(crate::error::OUTPUT)
    };
    fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    for (name, page) in pages {
        let path = dir.join(name);
        fs::write(&path, page).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}
