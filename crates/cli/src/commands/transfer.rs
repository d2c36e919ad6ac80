//! Commands that talk to peers: `share`, `get`, `tracker`, `relay`.

use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::request::{self, NodeConfig};
use peerage_node::{Outcome, Stop};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, finish, sink};
use crate::args::{Get, Relay, Share, Tracker};

/// One thread drives all connections; the store has its own threads for disk and hashes.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime does not start")
}

/// Ctrl-C or SIGTERM asks for an orderly end; a second one ends at once. On a thread of its own: the
/// one that drives the node may be waiting for a disk just then.
fn watch_signals(stop: Stop, first: Arc<AtomicU8>) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let watch = async move {
        let mut asked = false;
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => ExitCode::Interrupted,
                _ = terminate.recv() => ExitCode::Terminated,
            };
            if asked {
                std::process::exit(code as i32);
            }
            asked = true;
            first.store(code as u8, Ordering::Relaxed);
            stop.request();
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(watch))
        .map(drop)
        .context("the thread for signals does not start")
}

/// Runs `work` until it ends, with signals watched beside it. Work that a signal cancelled ends with the
/// signal's code.
pub(super) fn drive<T>(
    stop: &Stop,
    work: impl Future<Output = Result<T, Failure>>,
) -> anyhow::Result<Result<T, Failure>> {
    let signal = Arc::new(AtomicU8::new(ExitCode::Interrupted as u8));
    watch_signals(stop.clone(), Arc::clone(&signal))?;
    let runtime = runtime()?;
    let result = runtime.block_on(work).map_err(|mut failure| {
        if failure.exit == ExitCode::Interrupted as u8 {
            failure.exit = signal.load(Ordering::Relaxed);
        }
        failure
    });
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    Ok(result)
}

/// `peerage share`: 0 when it was ended by Ctrl-C or SIGTERM, which is how a share ends; 130 or 143 when
/// that was before it had printed its link.
pub fn share(mut context: Context, args: Share) -> anyhow::Result<ExitCode> {
    if let Some(code) = super::handover::share(&mut context, &args)? {
        return Ok(code);
    }
    let config = context.node_config(&args.network)?;
    let request = request::Share {
        paths: args.paths,
        torrent: args.torrent,
        name: args.name,
        trackers: args.network.trackers,
        peers: args.network.peers,
        super_seeding: args.super_seeding,
        code: args.code,
        publish: None,
    };
    run_share(context, request, config)
}

/// Shares until Ctrl-C.
pub(super) fn run_share(
    context: Context,
    request: request::Share,
    config: NodeConfig,
) -> anyhow::Result<ExitCode> {
    let (sink, output) = sink(context.output);
    let stop = Stop::new();
    let result = drive(&stop, peerage_node::share(request, config, stop.clone(), sink))?;
    finish(&output);
    result?;
    Ok(ExitCode::Ok)
}

/// `peerage get`: 0 when complete and verified, 7 when it was interrupted and can go on.
pub fn get(mut context: Context, args: Get) -> anyhow::Result<ExitCode> {
    if args.stdout && context.global.json {
        let message = "with --stdout the content goes to stdout, where --json would print its events";
        return Err(Failure::new(ExitCode::Usage, "E_USAGE", message)
            .hint("leave one of the two away; PEERAGE_JSON in the environment counts as --json")
            .into());
    }
    let config = context.node_config(&args.network)?;
    let settings = context.config()?;
    let stall_timeout = match (args.wait, args.stall_timeout) {
        (true, _) => None,
        (_, Some(time)) => Some(time).filter(|time| !time.is_zero()),
        (_, None) => settings.stall_timeout(),
    };
    let into = args.output.clone().or_else(|| settings.download_folder()).unwrap_or_else(|| ".".into());
    if let Some(code) = super::handover::get(&mut context, &args, &into, stall_timeout)? {
        return Ok(code);
    }
    let request = request::Get {
        link: args.link,
        into,
        peers: args.network.peers,
        select: args.select,
        sequential: args.sequential || args.stdout,
        stdout: args.stdout,
        seed: args.seed,
        known: args.known,
        trackers: args.network.trackers,
        timeout: args.timeout.map(|time| time.as_secs_f64()),
        stall_timeout: stall_timeout.map(|time| time.as_secs_f64()),
        resume_command: command_line(),
    };
    let (sink, output) = sink(context.output);
    let stop = Stop::new();
    let result = drive(&stop, peerage_node::get(request, config, stop.clone(), sink))?;
    finish(&output);
    Ok(match result? {
        Outcome::Complete => ExitCode::Ok,
        // As quiet as a program that ends by SIGPIPE: `| head` wants no more, and has said so.
        Outcome::Interrupted | Outcome::ReaderGone => ExitCode::Unfinished,
    })
}

/// `peerage tracker`.
pub fn tracker(context: Context, args: &Tracker) -> anyhow::Result<ExitCode> {
    let (sink, output) = sink(context.output);
    let stop = Stop::new();
    let interval = args.interval.max(Duration::from_secs(1));
    let result = drive(&stop, peerage_node::tracker(args.listen, interval, stop.clone(), sink))?;
    finish(&output);
    result?;
    Ok(ExitCode::Ok)
}

/// `peerage relay`.
pub fn relay(context: Context, args: &Relay) -> anyhow::Result<ExitCode> {
    let state = context.paths.state.clone();
    let (sink, output) = sink(context.output);
    let stop = Stop::new();
    let rate = NonZeroU32::try_from(u32::try_from(args.client_limit).unwrap_or(u32::MAX))
        .map_err(|_| Failure::new(ExitCode::Usage, "E_USAGE", "a relay without a rate passes nothing"))?;
    let request = request::Relay { listen: args.listen, rate, allow: args.allow.clone() };
    let result = drive(&stop, peerage_node::relay(&request, &state, stop.clone(), sink))?;
    finish(&output);
    result?;
    Ok(ExitCode::Ok)
}

/// The command as the user can paste it again.
fn command_line() -> String {
    // Under its own name it is found on the path; under another, only as it was called.
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    let named = std::path::Path::new(&called).file_name().is_none_or(|name| name == "peerage");
    let program = if named { "peerage".into() } else { quoted(&called) };
    std::iter::once(program).chain(arguments.map(|argument| quoted(&argument))).collect::<Vec<_>>().join(" ")
}

/// An argument as a shell reads it; what is no text is shown as well as it can be.
fn quoted(argument: &OsStr) -> String {
    let text = argument.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn arguments_are_quoted_for_the_shell() {
        assert_eq!(quoted(OsStr::new("a/b.torrent")), "a/b.torrent");
        assert_eq!(quoted(OsStr::new("it's")), "'it'\\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
        assert_eq!(quoted(OsStr::from_bytes(b"\xff")), "'\u{fffd}'");
    }
}
