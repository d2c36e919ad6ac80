//! The same seed gives the same trace, in another process too.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// The scenarios: package and example.
const SCENARIOS: [(&str, &str); 3] =
    [("peerage-peer", "trace"), ("peerage-overlay", "dht-trace"), ("peerage-lab", "lab-trace")];

/// Runs the scenarios (`crates/peer/examples/trace.rs` and its like) in processes of their own and compares.
///
/// # Errors
/// When the scenario cannot be built or run.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for scenario in SCENARIOS {
        let first = run(root, scenario, 1, "one")?;
        let second = run(root, scenario, 1, "another")?;
        let other_seed = run(root, scenario, 2, "one")?;
        problems.extend(judge(&first, &second, &other_seed));
    }
    Ok(problems)
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
fn run(root: &Path, (package, example): (&str, &str), seed: u64, environment: &str) -> Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--package", package, "--example", example, "--"])
        .arg(seed.to_string())
        .env("PEERAGE_TRACE_ENVIRONMENT", environment)
        .current_dir(root)
        .output()
        .context("the scenario")?;
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
