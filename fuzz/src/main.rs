//! Runs fuzz targets for a bounded time; see `README.md`.

use peerage_fuzz::{CANARY, CANARY_SONG, TARGETS, seeds, target};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const USAGE: &str = "usage: TARGET SECONDS | all SECONDS | canary SECONDS | keep TARGET | seeds | list";

/// What instruments a program for libFuzzer; all of it works with the stable compiler.
const COVERAGE_FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// An input that takes longer than this fails (threats.md P2 and P8: 2 s at most; slow machines).
const INPUT_SECONDS_MAX: u32 = 5;

/// More than this fails.
const MEMORY_MB_MAX: u32 = 1024;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every run ended as it should.
fn run(arguments: &[&str]) -> Result<bool> {
    match arguments {
        ["list"] => {
            TARGETS.iter().chain([&CANARY]).for_each(|(name, _)| println!("{name}"));
            Ok(true)
        }
        ["seeds"] => write_seeds(),
        ["keep", name] if target(name).is_some() => keep(name),
        ["all", seconds] => {
            let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            fuzz(&names, seconds.parse()?)
        }
        [name, seconds] if *name == CANARY.0 => canary(seconds.parse()?),
        [name, seconds] if target(name).is_some() => fuzz(&[name], seconds.parse()?),
        _ => Err(USAGE.into()),
    }
}

fn fuzz(names: &[&str], seconds: u32) -> Result<bool> {
    let program = build()?;
    let mut failed = Vec::new();
    println!("{:<24} {:>12} {:>8} {:>8} {:>8}  ", "target", "executions", "edges", "inputs", "peak MB");
    for name in names {
        let report = fuzz_one(&program, name, seconds)?;
        let verdict = if report.ok { "ok" } else { "FAILED" };
        let Report { executions, edges, inputs, peak_mb, .. } = &report;
        println!("{name:<24} {executions:>12} {edges:>8} {inputs:>8} {peak_mb:>8}  {verdict}");
        if !report.ok {
            println!("{}", report.tail);
            failed.push(*name);
        }
    }
    println!("{} passed, {} failed", names.len() - failed.len(), failed.len());
    Ok(failed.is_empty())
}

/// The negative control: passes when the fuzzer finds the planted bug.
fn canary(seconds: u32) -> Result<bool> {
    let program = build()?;
    // What an earlier run found would make it easy.
    let _ = fs::remove_dir_all(top().join("corpus-grown").join(CANARY.0));
    let report = fuzz_one(&program, CANARY.0, seconds)?;
    let found = !report.ok && report.tail.contains(CANARY_SONG);
    println!(
        "the planted bug was {}found in {} executions",
        if found { "" } else { "NOT " },
        report.executions
    );
    println!("{} passed, {} failed", u8::from(found), u8::from(!found));
    Ok(found)
}

struct Report {
    ok: bool,
    executions: String,
    edges: String,
    inputs: String,
    peak_mb: String,
    /// The end of what libFuzzer said.
    tail: String,
}

fn fuzz_one(program: &Path, name: &str, seconds: u32) -> Result<Report> {
    let artifacts = top().join("artifacts").join(name);
    fs::create_dir_all(&artifacts)?;
    let mut command = command(program, name)?;
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-max_len=65536", "-print_final_stats=1", "-use_value_profile=1"]);
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    fs::write(artifacts.join("log"), &text)?;
    let lines: Vec<&str> = text.lines().collect();
    let field = |line: &str, key: &str| {
        line.split_once(key).and_then(|(_, rest)| rest.split_whitespace().next().map(str::to_owned))
    };
    let last = |key: &str| lines.iter().rev().find_map(|line| field(line, key)).unwrap_or_else(|| "?".into());
    Ok(Report {
        ok: output.status.success(),
        executions: last("stat::number_of_executed_units:"),
        edges: last(" cov: "),
        inputs: last(" corp: "),
        peak_mb: last("stat::peak_rss_mb:"),
        tail: lines[lines.len().saturating_sub(60)..].join("\n"),
    })
}

/// Copies into `seeds/` those grown inputs that reach more than the kept ones do.
fn keep(name: &str) -> Result<bool> {
    let program = build()?;
    let grown = top().join("corpus-grown").join(name);
    fs::create_dir_all(&grown)?;
    let status = Command::new(program)
        .env("PEERAGE_FUZZ_TARGET", name)
        .args(["-set_cover_merge=1", "-max_len=4096"])
        .args([top().join("seeds").join(name), grown])
        .status()?;
    Ok(status.success())
}

/// A run that reads the kept and the grown inputs, and adds to the grown ones.
fn command(program: &Path, name: &str) -> Result<Command> {
    let grown = top().join("corpus-grown").join(name);
    fs::create_dir_all(&grown)?;
    let mut command = Command::new(program);
    command.env("PEERAGE_FUZZ_TARGET", name).args([grown, top().join("seeds").join(name)]);
    Ok(command)
}

fn write_seeds() -> Result<bool> {
    for (target, name, bytes) in seeds::all() {
        let folder = top().join("seeds").join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(true)
}

/// Builds the program with coverage, in a folder of its own: its flags differ.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let folder = top().join("target").join("coverage");
    let host = host()?;
    let status = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "--features",
            "coverage",
            "--bin",
            "coverage",
            "--target",
            &host,
        ])
        .arg("--manifest-path")
        .arg(top().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", COVERAGE_FLAGS)
        .status()?;
    if !status.success() {
        return Err("the program with coverage was not built".into());
    }
    Ok(folder.join(host).join("release").join("coverage"))
}

/// The machine's own target: named, so that build scripts are built without the flags.
fn host() -> Result<String> {
    let output =
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    Ok(host.to_owned())
}

/// The folder `fuzz/`.
fn top() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("fuzz"), PathBuf::from)
}
