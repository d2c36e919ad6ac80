//! `peerage lab reproduce`: published experiments, run again.

use peerage_api::error::{ExitCode, Failure};
use peerage_lab::reproduction::{self, EXPERIMENTS, Row};
use peerage_node::Stop;
use serde::Serialize;

use super::super::Context;
use super::super::transfer::drive;
use crate::output::Output;

#[derive(Serialize)]
struct Reproduced<'a> {
    schema_version: u32,
    /// Whether it was stopped before its end.
    partial: bool,
    rows: &'a [Row],
}

pub(super) fn reproduce(context: &mut Context, nodes: usize) -> anyhow::Result<ExitCode> {
    let stop = Stop::new();
    let output = &mut context.output;
    // The experiments are this thread's; signals have one of their own.
    let rows = drive(&stop, async { Ok(run(nodes, &stop, output)) })??;
    output.clear();
    let reproduced =
        Reproduced { schema_version: peerage_api::SCHEMA_VERSION, partial: stop.is_requested(), rows: &rows };
    output.reply(&reproduced, |reproduced| reproduction::page(reproduced.rows, reproduced.partial))?;
    if reproduced.partial {
        let message = "the run was stopped: the page is partial";
        return Err(Failure::new(ExitCode::Interrupted, "E_INTERRUPTED", message).into());
    }
    Ok(if rows.iter().all(Row::holds) { ExitCode::Ok } else { ExitCode::Integrity })
}

fn run(nodes: usize, stop: &Stop, output: &mut Output) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, (name, experiment)) in EXPERIMENTS.iter().enumerate() {
        if stop.is_requested() {
            break;
        }
        output.say(&format!("running {name}"));
        let detail = format!("experiment {} of {}", at + 1, EXPERIMENTS.len());
        rows.extend(experiment(nodes, &mut |share| {
            output.working(name, share, &detail);
            !stop.is_requested()
        }));
    }
    rows
}
