//! The `peerage` command.
//!
//! **What it is.** The thin outer layer: it parses the command line ([`args`]), reads the
//! configuration ([`config`]), asks a node to do the work, and shows what the node tells ([`output`]).
//! What the node is asked and what it answers are the types of `peerage-api`.
//!
//! **Invariants.** stdout carries results only; every failure ends with one of
//! [`ExitCode`]'s numbers and says what to do next; nothing waits for input.
//!
//! **Where to start.** [`args::Command`] lists the commands, `commands/` has one file for each group.

mod args;
mod commands;
mod config;
mod output;
mod paths;
mod units;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode as ProcessExit;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use peerage_api::error::{ExitCode, Failure};

use args::Cli;
use output::Output;

fn main() -> ProcessExit {
    let arguments: Vec<OsString> = link_as_command(std::env::args_os().collect());
    let cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage_error(&error, &arguments),
    };
    if cli.global.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    let json = cli.global.json;
    start_log(&cli.global);
    let output = Output::new(&cli.global);
    match commands::run(cli, output) {
        Ok(code) => ProcessExit::from(code as u8),
        Err(error) => {
            let failure = error.downcast::<Failure>().unwrap_or_else(unclassified);
            output::failure(&failure, json);
            ProcessExit::from(failure.exit)
        }
    }
}

/// Parses the command line. clap takes what a variable says for something typed, in the usage that an
/// error shows and where it asks whether there is any argument: errors are those of the command line
/// alone, where it has any.
fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments).map_err(|error| {
        if is_asked_for(&error) {
            return error;
        }
        without_variables(Cli::command()).try_get_matches_from(arguments).err().unwrap_or(error)
    })
}

fn without_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| argument.env(Resettable::<clap::builder::OsStr>::Reset))
        .mut_subcommands(without_variables)
}

/// Whether help or the version is what the user wanted.
fn is_asked_for(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// `peerage <anything that looks like a link>` gets it.
fn link_as_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_link = |text: &OsString| {
        let Some(text) = text.to_str() else { return false };
        let hash = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let torrent =
            text.ends_with(".torrent") && (std::path::Path::new(text).exists() || text.contains("://"));
        let magnet = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("magnet:"));
        magnet || hash || torrent || text.starts_with("peerage:") || peerage_node::is_code(text)
    };
    if arguments.get(1).is_some_and(is_link) {
        arguments.insert(1, "get".into());
    }
    arguments
}

fn usage_error(error: &clap::Error, arguments: &[OsString]) -> ProcessExit {
    let asked = is_asked_for(error);
    if !asked && arguments.iter().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        output::failure(
            &Failure::new(ExitCode::Usage, "E_USAGE", message).hint("see `peerage --help`"),
            true,
        );
    } else if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // The whole help: the error's own may be without the names of the variables.
        let _ = write!(anstream::stderr(), "{}", Cli::command().render_help().ansi());
    } else {
        let _ = error.print();
    }
    ProcessExit::from(if asked { ExitCode::Ok as u8 } else { ExitCode::Usage as u8 })
}

fn unclassified(error: anyhow::Error) -> Failure {
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return Failure::of_kind(io.kind(), format!("{error:#}"));
    }
    Failure::new(ExitCode::Unclassified, "E_FAILED", format!("{error:#}"))
}

/// Logs go to stderr; `-v` shows decisions, `-vv` every message. `PEERAGE_LOG` takes filters of
/// `tracing-subscriber` (such as `peerage_swarm=trace`).
fn start_log(global: &args::Global) {
    let level = match (global.quiet, global.verbose) {
        // Of what QUIC and relays do the library tells in its own words; what matters is said in ours.
        (true, _) => "error,iroh=off,iroh_relay=off",
        (_, 0) => "warn,iroh=off,iroh_relay=off",
        (_, 1) => "warn,peerage_node=debug,peerage_net=debug,peerage_store=debug",
        (_, _) => "trace",
    };
    let filter = std::env::var("PEERAGE_LOG").unwrap_or_else(|_| level.to_owned());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(
            !global.no_color
                && std::env::var_os("NO_COLOR").is_none()
                && std::io::IsTerminal::is_terminal(&std::io::stderr()),
        );
    if global.json { subscriber.json().init() } else { subscriber.init() }
}
