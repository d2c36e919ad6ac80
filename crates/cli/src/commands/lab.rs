//! `peerage lab`: protocols on a simulated internet. Files, the clock, threads and signals are here; the rest is
//! `peerage-lab`'s.

mod reproduce;
mod swarm_test;
mod tour;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use peerage_api::error::{ExitCode, Failure};
use peerage_lab::report::{Report, csv, html, text};
use peerage_lab::run::{Inputs, Progress};
use peerage_lab::scenario::{Scenario, ScenarioError};
use peerage_lab::{catalogue, protocol};
use peerage_node::Stop;
use serde::Serialize;

use super::Context;
use super::transfer::drive;
use crate::args::{Lab, LabCommand, LabRun};
use crate::output::Output;

/// Where scenarios are sought by name, before those that are built in.
const FOLDER: &str = "scenarios";

/// `peerage lab …`.
pub fn lab(mut context: Context, args: Lab) -> anyhow::Result<ExitCode> {
    match args.command {
        LabCommand::Run { scenario, options } => run(&mut context, &scenario, &options),
        LabCommand::Compare { scenarios, options } => compare(&mut context, &scenarios, &options),
        LabCommand::SwarmTest(options) => swarm_test::swarm_test(&mut context, &options),
        LabCommand::Reproduce { nodes } => reproduce::reproduce(&mut context, nodes),
        LabCommand::Tour { seed, out } => tour::tour(&mut context, seed, out.as_deref()),
        LabCommand::List => list(&context.output),
        LabCommand::Explain { protocol } => explain(&context.output, &protocol),
    }
}

/// A report and what the run took on this machine.
#[derive(Serialize)]
struct Ran<'a> {
    schema_version: u32,
    #[serde(flatten)]
    report: &'a Report,
    /// Seconds on this machine's clock.
    wall_s: f64,
    events_per_s: f64,
    /// The most memory that the program had, in bytes; 0 where the system does not tell.
    peak_bytes: u64,
}

fn run(context: &mut Context, name: &str, options: &LabRun) -> anyhow::Result<ExitCode> {
    let scenario = load(name, options)?;
    let stop = Stop::new();
    let output = &mut context.output;
    let began = Instant::now();
    let other = stop.clone();
    // The run is this thread's; signals have one of their own.
    let result = drive(&stop, async { Ok(simulate(&scenario, &other, output)) })?;
    output.clear();
    let report = result??;
    let wall_s = began.elapsed().as_secs_f64();
    let ran = Ran {
        schema_version: peerage_api::SCHEMA_VERSION,
        report: &report,
        wall_s,
        events_per_s: report.counters.events as f64 / wall_s.max(1e-9),
        peak_bytes: peak_bytes(),
    };
    if let Some(folder) = &options.out {
        write(folder, &ran).with_context(|| format!("writing the report to {}", folder.display()))?;
        output.say(&format!("report: {}", folder.join("index.html").display()));
    }
    output.reply(&ran, |ran| text::text(ran.report))?;
    output.say(&format!(
        "{:.1} s on this machine, {:.0} events per second, {} MiB",
        wall_s,
        ran.events_per_s,
        ran.peak_bytes >> 20
    ));
    if report.partial {
        return Err(Failure::new(
            ExitCode::Interrupted,
            "E_INTERRUPTED",
            "the run was stopped: the report is partial",
        )
        .hint("run it again with the same seed for the whole of it")
        .into());
    }
    match report.broken().next() {
        None => Ok(ExitCode::Ok),
        Some(broken) => {
            let message = format!(
                "{} expects {} {}, and it is {:.4}",
                report.scenario, broken.figure, broken.condition, broken.value
            );
            let hint = format!("the same run again: peerage lab run {name} --seed {}", report.seed);
            Err(Failure::new(ExitCode::Integrity, "E_EXPECTATION", message).hint(hint).into())
        }
    }
}

#[derive(Serialize)]
struct Compared<'a> {
    schema_version: u32,
    reports: &'a [Report],
}

fn compare(context: &mut Context, names: &[String], options: &LabRun) -> anyhow::Result<ExitCode> {
    // All are read before the first one runs: a typing error is not found out after minutes.
    let scenarios: Vec<Scenario> =
        names.iter().map(|name| load(name, options)).collect::<anyhow::Result<_>>()?;
    let stop = Stop::new();
    let (other, output) = (stop.clone(), &mut context.output);
    let work = async {
        let mut reports = Vec::new();
        for scenario in &scenarios {
            if other.is_requested() {
                break;
            }
            output.say(&format!("running {}", scenario.name));
            match simulate(scenario, &other, output) {
                Ok(report) => reports.push(report),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(reports))
    };
    let result = drive(&stop, work)?;
    output.clear();
    let reports = result??;
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(folder.join("index.html"), html::page(&reports)))
            .with_context(|| format!("writing the page to {}", folder.display()))?;
        output.say(&format!("page: {}", folder.join("index.html").display()));
    }
    let compared = Compared { schema_version: peerage_api::SCHEMA_VERSION, reports: &reports };
    output.reply(&compared, |compared| text::comparison(compared.reports))?;
    if reports.len() < names.len() || reports.iter().any(|report| report.partial) {
        return Err(
            Failure::new(ExitCode::Interrupted, "E_INTERRUPTED", "stopped: not everything was run").into()
        );
    }
    Ok(ExitCode::Ok)
}

fn simulate(scenario: &Scenario, stop: &Stop, output: &mut Output) -> anyhow::Result<Report> {
    let inputs = read_inputs(scenario)?;
    let mut watch = |progress: &Progress| {
        output.simulating(progress);
        !stop.is_requested()
    };
    peerage_lab::run::run(scenario, inputs, &mut watch).map_err(|error| bad(&scenario.name, &error).into())
}

/// A scenario by its file or name, with what the command line changes.
fn load(name: &str, options: &LabRun) -> anyhow::Result<Scenario> {
    let (path, text) = find(name)?;
    let mut scenario = Scenario::parse(&name_of(name), &text).map_err(|error| bad(&path, &error))?;
    scenario.seed = options.seed.unwrap_or(scenario.seed);
    if let Some(nodes) = options.nodes {
        if !(2..=peerage_lab::scenario::NODES_MAX).contains(&nodes) {
            let message = format!("{nodes} nodes: a network has 2 to {}", peerage_lab::scenario::NODES_MAX);
            return Err(Failure::new(ExitCode::Usage, "E_USAGE", message).into());
        }
        scenario.nodes = nodes;
    }
    Ok(scenario)
}

fn name_of(name: &str) -> String {
    Path::new(name).file_stem().map_or(name.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Where a scenario is, and its text.
fn find(name: &str) -> anyhow::Result<(String, String)> {
    let path = if name.ends_with(".toml") || name.contains('/') {
        Path::new(name).to_owned()
    } else {
        Path::new(FOLDER).join(format!("{name}.toml"))
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => match catalogue::find(name) {
            Some(text) => Ok((name.to_owned(), text.to_owned())),
            None if error.kind() == std::io::ErrorKind::NotFound => {
                let message =
                    format!("there is no scenario {name}: neither {} nor one built in", path.display());
                Err(Failure::new(ExitCode::NotFound, "E_NO_SCENARIO", message)
                    .hint("see `peerage lab list`")
                    .into())
            }
            None => Err(Failure::of_kind(error.kind(), format!("{}: {error}", path.display())).into()),
        },
    }
}

fn bad(path: &str, error: &ScenarioError) -> Failure {
    Failure::new(ExitCode::Config, "E_SCENARIO", format!("{path}: {error}")).hint(
        "docs/lab.md describes scenarios; `peerage lab explain PROTOCOL` lists the settings of a protocol",
    )
}

/// Reads the files that a scenario names; the measured matrix may be absent.
fn read_inputs(scenario: &Scenario) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs::default();
    for (key, path) in scenario.files() {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                inputs.files.insert(key, text);
            }
            Err(error) if key == "latency.file" && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let problem = scenario.problem(key, format!("{path}: {error}"));
                return Err(bad(&scenario.name, &problem).into());
            }
        }
    }
    Ok(inputs)
}

fn write(folder: &Path, ran: &Ran<'_>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(ran)? + "\n")?;
    for (name, content) in csv::files(ran.report) {
        std::fs::write(folder.join(name), content)?;
    }
    std::fs::write(folder.join("index.html"), html::page(std::slice::from_ref(ran.report)))?;
    Ok(())
}

/// The most memory that this process had (`VmHWM` of Linux).
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[derive(Serialize)]
struct Listed {
    schema_version: u32,
    scenarios: Vec<ListedScenario>,
    protocols: Vec<ListedProtocol>,
}

#[derive(Serialize)]
struct ListedScenario {
    name: String,
    about: String,
    /// The file, or `built in`.
    from: String,
}

#[derive(Serialize)]
struct ListedProtocol {
    name: &'static str,
    about: &'static str,
}

fn list(output: &Output) -> anyhow::Result<ExitCode> {
    let mut scenarios: Vec<ListedScenario> = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let files = files.iter().filter_map(|path| Some((path, std::fs::read_to_string(path).ok()?)));
    let files =
        files.map(|(path, text)| (name_of(&path.display().to_string()), path.display().to_string(), text));
    let built_in = catalogue::SCENARIOS
        .iter()
        .map(|(name, text)| ((*name).to_owned(), "built in".to_owned(), (*text).to_owned()));
    for (name, from, text) in files.chain(built_in) {
        if scenarios.iter().any(|listed| listed.name == name) {
            continue;
        }
        let about = Scenario::parse(&name, &text)
            .map_or_else(|error| format!("({error})"), |scenario| scenario.about);
        scenarios.push(ListedScenario { name, about, from });
    }
    let protocols = protocol::PROTOCOLS
        .iter()
        .map(|entry| ListedProtocol { name: entry.info.name, about: entry.info.about });
    let listed =
        Listed { schema_version: peerage_api::SCHEMA_VERSION, scenarios, protocols: protocols.collect() };
    output.reply(&listed, |listed| {
        let mut text = "SCENARIOS (peerage lab run NAME)\n".to_owned();
        for scenario in &listed.scenarios {
            let _ = writeln!(text, "  {:<20} {}", scenario.name, scenario.about);
        }
        text += "\nPROTOCOLS (peerage lab explain NAME)\n";
        for protocol in &listed.protocols {
            let _ = writeln!(text, "  {:<20} {}", protocol.name, protocol.about);
        }
        text
    })?;
    Ok(ExitCode::Ok)
}

#[derive(Serialize)]
struct Explained {
    schema_version: u32,
    name: &'static str,
    about: &'static str,
    text: &'static str,
    settings: Vec<ExplainedSetting>,
}

#[derive(Serialize)]
struct ExplainedSetting {
    key: &'static str,
    default: &'static str,
    meaning: &'static str,
}

fn explain(output: &Output, name: &str) -> anyhow::Result<ExitCode> {
    let Some(entry) = protocol::find(name) else {
        let names: Vec<&str> = protocol::PROTOCOLS.iter().map(|entry| entry.info.name).collect();
        let message = format!("there is no protocol {name}; there are {}", names.join(", "));
        return Err(Failure::new(ExitCode::NotFound, "E_NO_PROTOCOL", message)
            .hint("see `peerage lab list`")
            .into());
    };
    let info = entry.info;
    let settings =
        info.settings.iter().map(|(key, default, meaning)| ExplainedSetting { key, default, meaning });
    let explained = Explained {
        schema_version: peerage_api::SCHEMA_VERSION,
        name: info.name,
        about: info.about,
        text: info.text,
        settings: settings.collect(),
    };
    output.reply(&explained, |explained| {
        let mut text = format!("{}: {}\n\n{}\n", explained.name, explained.about, wrapped(explained.text));
        if !explained.settings.is_empty() {
            text += "\nSETTINGS (in the scenario's [settings])\n";
        }
        for setting in &explained.settings {
            let _ =
                writeln!(text, "  {:<16} {} [default: {}]", setting.key, setting.meaning, setting.default);
        }
        text
    })?;
    Ok(ExitCode::Ok)
}

/// Paragraphs in lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.len() + word.len() >= 100 {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        lines.push(line);
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}
