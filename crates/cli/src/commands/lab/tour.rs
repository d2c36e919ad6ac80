//! `peerage lab tour`: the kinds of network, one after the other, with live runs.

use std::path::Path;

use anyhow::Context as _;
use peerage_api::error::{ExitCode, Failure};
use peerage_lab::run::Progress;
use peerage_lab::tour::{self, KINDS, Station};
use peerage_node::Stop;
use serde::Serialize;

use super::super::Context;
use super::super::transfer::drive;
use crate::output::Output;

#[derive(Serialize)]
struct Toured<'a> {
    schema_version: u32,
    /// Whether it was stopped before its end.
    partial: bool,
    seed: u64,
    stations: &'a [Station],
}

pub(super) fn tour(context: &mut Context, seed: u64, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let stop = Stop::new();
    let output = &mut context.output;
    let json = output.is_json();
    // The runs are this thread's; signals have one of their own.
    let stations = drive(&stop, async { Ok(walk(seed, json, &stop, output)) })???;
    let partial = stations.len() < KINDS.len();
    let toured = Toured { schema_version: peerage_api::SCHEMA_VERSION, partial, seed, stations: &stations };
    // As text, the stations were told when they came.
    output.reply(
        &toured,
        |toured| if toured.partial { String::new() } else { tour::closing(toured.stations) },
    )?;
    if let Some(folder) = out {
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(folder.join("index.html"), tour::page(&stations, partial)))
            .with_context(|| format!("writing the page to {}", folder.display()))?;
        output.say(&format!("page: {}", folder.join("index.html").display()));
    }
    if partial {
        let message = "the walk was stopped: stations are missing";
        return Err(Failure::new(ExitCode::Interrupted, "E_INTERRUPTED", message).into());
    }
    Ok(ExitCode::Ok)
}

/// The stations until the end, or until it is stopped.
fn walk(seed: u64, json: bool, stop: &Stop, output: &mut Output) -> anyhow::Result<Vec<Station>> {
    let mut stations = Vec::new();
    if !json {
        output.text(&tour::opening())?;
    }
    for kind in &KINDS {
        let mut watch = |progress: &Progress| {
            output.simulating(progress);
            !stop.is_requested()
        };
        let Some(station) = tour::visit(kind, seed, &mut watch)? else { break };
        if !json {
            output.text(&tour::station(stations.len() + 1, &station))?;
        }
        stations.push(station);
    }
    output.clear();
    Ok(stations)
}
