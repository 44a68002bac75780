//! The `bpfweld` command: the library behind a command line. Prints, renders errors, chooses exit
//! codes; knows nothing about linking.
//!
//! | module | what lives there |
//! |---|---|
//! | [`args`] | the definition of the command line: help, man pages, completions |
//! | [`binding`] | the syntax of `--bind` and `--object` |
//! | [`instances`] | which files, under which labels, bound how |
//! | [`session`] | the command line as a request to the library |
//! | [`packets`], [`capture`] | the packets of `run`; pcap and pcapng |
//! | [`routes`] | the engine's table of routes |
//! | [`commands`] | one module a command |
//! | [`values`] | bytes of maps by their types |
//! | [`output`] | colours, tables, JSON |
//! | [`error`] | what a failure looks like |

mod args;
mod binding;
mod capture;
mod commands;
mod error;
mod instances;
mod output;
mod packets;
mod routes;
mod session;
mod values;
mod wishes;

use std::io;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use args::{Cli, Command};
use commands::apart;
use error::{Failure, FailureReport, Sources};
use output::Style;

fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|mut matches| {
        // In which order they were given, matches alone know.
        let run = matches.subcommand_matches("run").cloned();
        Ok((Cli::from_arg_matches_mut(&mut matches)?, run.unwrap_or_default()))
    });
    let (cli, run) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help goes to standard output, whose reader may have gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match perform(&cli.command, &run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => tell(&failure, &cli.command),
    }
}

/// Says why a command failed.
#[cold]
fn tell(failure: &Failure, command: &Command) -> ExitCode {
    let stderr = io::stderr();
    let style = Style::of(&stderr);
    let mut sources = Sources::beside(command.object_paths());
    // Where standard error is closed, the exit code has to do.
    let _ = failure.render(&mut stderr.lock(), style, command.verbose(), &mut sources);
    if command.json() && !failure.is_silent() {
        // Likewise.
        let _ = output::json(&mut io::stdout().lock(), &Failed { error: failure.report() });
    }
    ExitCode::from(failure.exit_code())
}

/// What `--json` prints in place of an answer.
#[derive(serde::Serialize)]
struct Failed<'a> {
    error: FailureReport<'a>,
}

/// `run`: the matches of that command, if it is given.
fn perform(command: &Command, run: &ArgMatches) -> Result<(), Failure> {
    match command {
        Command::Inspect(args) => apart(|| commands::inspect::inspect(args)),
        Command::Check(args) => apart(|| commands::check::check(args)),
        Command::Run(args) => apart(|| commands::run::run(args, run)),
        Command::Load(args) => apart(|| commands::load::load(args)),
        Command::Link(args) => apart(|| commands::link::link(args)),
        Command::Disasm(args) => apart(|| commands::disasm::disasm(args)),
        Command::Xdp(args) => apart(|| commands::xdp::xdp(args)),
        Command::Graph(args) => apart(|| commands::graph::graph(args)),
        Command::Features(args) => apart(|| commands::features::features(args)),
        Command::Explain(args) => apart(|| commands::explain::explain(args)),
        Command::Completions(args) => apart(|| commands::manual::completions(args)),
        Command::Man(args) => apart(|| commands::manual::man(args)),
    }
}
