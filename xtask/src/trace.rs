//! The same seed gives the same trace, in another process too.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scenarios: examples of `peerage-peer`, `peerage-overlay` and `peerage-lab`.
const SCENARIOS: [&str; 3] = ["trace", "dht-trace", "lab-trace"];

/// Runs the scenarios (`crates/peer/examples/trace.rs` and its like) in processes of their own and compares.
///
/// # Errors
/// When a scenario cannot be built or run.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let programs = build(root)?;
    let mut problems = Vec::new();
    for scenario in SCENARIOS {
        let program = programs.join(scenario);
        let first = run(&program, 1, "one")?;
        let second = run(&program, 1, "another")?;
        let other_seed = run(&program, 2, "one")?;
        problems.extend(judge(&first, &second, &other_seed));
    }
    Ok(problems)
}

/// Builds the examples of the whole workspace, as its tests do (one package alone would have its dependencies
/// compiled anew, with fewer features), in the profile that this program was built in; the folder they are in.
fn build(root: &Path) -> Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    let profile = own.parent().context("the folder of this program")?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--examples", "--locked"]);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    if !command.current_dir(root).status().context("cargo build")?.success() {
        bail!("the scenarios do not build");
    }
    Ok(profile.join("examples"))
}

fn judge(first: &str, second: &str, other_seed: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if first != second {
        problems.push(format!("seed 1 gave {first:?} in one process and {second:?} in another"));
    }
    if first == other_seed {
        problems.push(format!("seeds 1 and 2 both gave {first:?}: the trace does not see what happens"));
    }
    problems
}

/// `environment` differs between processes that must agree, as addresses and hash keys do anyway.
fn run(program: &Path, seed: u64, environment: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(seed.to_string())
        .env("PEERAGE_TRACE_ENVIRONMENT", environment)
        .output()
        .with_context(|| format!("the scenario {}", program.display()))?;
    if !output.status.success() {
        bail!("the scenario failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_differs_or_sees_nothing_is_a_problem() {
        assert!(judge("a", "a", "b").is_empty());
        assert_eq!(judge("a", "c", "b").len(), 1);
        assert_eq!(judge("a", "a", "a").len(), 1);
    }
}
