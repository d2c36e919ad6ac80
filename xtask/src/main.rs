//! Checks of the workspace that neither the compiler nor clippy makes: `cargo xtask check`.
//!
//! Each check is a module with a function that returns the problems it found, in words; no problem
//! is a passed check. Start with [`graph`] for what crates may depend on.

mod docs;
mod graph;
mod policy;
mod purity;
mod size;
mod trace;

use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  check         all of the checks below
  edges         dependencies between crates point down, as the table in xtask/src/policy.rs says
  pure          pure crates reach no clock, no runtime, no socket, no entropy, and their lints say so
  size          files and functions stay small, but for those in xtask/size-allow.txt
  docs          ARCHITECTURE.md names every crate
  determinism   one seeded scenario gives the same trace in two processes";

/// A check: its name, and what finds its problems.
type Check = (&'static str, fn(&Path) -> Result<Vec<String>>);

const CHECKS: [Check; 5] = [
    ("edges", graph::check),
    ("pure", purity::check),
    ("size", size::check),
    ("docs", docs::check),
    ("determinism", trace::check),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Does what the arguments say; tells whether everything is in order.
fn run() -> Result<bool> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".to_owned());
    if args.next().is_some() || command == "help" || command == "--help" {
        println!("{USAGE}");
        return Ok(true);
    }
    let wanted: Vec<&Check> =
        CHECKS.iter().filter(|(name, _)| command == "check" || command == *name).collect();
    if wanted.is_empty() {
        anyhow::bail!("unknown command {command:?}\n{USAGE}");
    }
    let mut passed = true;
    for (name, check) in wanted {
        let problems = check(&root())?;
        println!("{} {name}", if problems.is_empty() { "ok  " } else { "FAIL" });
        for problem in &problems {
            println!("     {problem}");
        }
        passed &= problems.is_empty();
    }
    Ok(passed)
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
