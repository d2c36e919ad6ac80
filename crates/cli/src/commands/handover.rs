//! `share` and `get` through a running daemon of the same folders.
//!
//! What a command line asks of the node itself (its ports, limits, ways) a running daemon cannot take on: such
//! commands stay in the foreground, as with `--here`.

use std::path::Path;
use std::time::{Duration, Instant};

use peerage_api::client::{Client, Endpoint};
use peerage_api::control::{Add, Job, JobState, NewShare, Status, TransferDetail, TransferState};
use peerage_api::error::{ExitCode, Failure};
use peerage_api::event::{Event, Progress, Stage};

use super::Context;
use super::control::wait;
use crate::args::{Get, Share};
use crate::output::Output;

/// Options that are about the node itself, or about this process.
const OWN: &[&str] = &[
    "--here",
    "--listen",
    "--upload-limit",
    "--download-limit",
    "--allow-local",
    "--encryption",
    "--relay",
    "--port-mapping",
    "--tls",
    "--utp",
    "--dht",
    "--bootstrap",
    "--via",
    "--bind",
    "--known",
    "--no-lan",
    "--stdout",
    "--super-seeding",
    "--code",
    "--torrent",
    "--set",
    "--timeout",
];
/// How often the daemon is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(500);

/// The daemon of these folders, where one runs and may take this command on.
fn daemon(context: &Context) -> Option<(Client, Status)> {
    let own = |argument: std::ffi::OsString| {
        let text = argument.to_string_lossy().into_owned();
        OWN.contains(&text.split('=').next().unwrap_or_default())
    };
    let socket = context.paths.runtime.join("api.sock");
    if !socket.exists() {
        return None;
    }
    let client = Client::new(Endpoint::Socket(socket));
    let status: Status = wait(client.get("/status")).ok()?;
    if std::env::args_os().any(own) {
        context.output.say(&format!(
            "a daemon runs (pid {}); this command has options of its own, and so stays here",
            status.pid
        ));
        return None;
    }
    context.output.say(&format!("handed over to the daemon (pid {}); --here keeps it here", status.pid));
    Some((client, status))
}

fn absolute(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path)?;
    path.into_os_string().into_string().map_err(|path| {
        Failure::new(ExitCode::Usage, "E_USAGE", format!("{} is not text; --here takes it", path.display()))
            .into()
    })
}

/// Shares through the daemon; `None`: there is none.
pub fn share(context: &mut Context, args: &Share) -> anyhow::Result<Option<ExitCode>> {
    let Some((client, status)) = daemon(context) else { return Ok(None) };
    let paths: anyhow::Result<Vec<String>> = args.paths.iter().map(|path| absolute(path)).collect();
    let share = NewShare {
        paths: paths?,
        name: args.name.clone(),
        trackers: args.network.trackers.clone(),
        ..NewShare::default()
    };
    let output = &mut context.output;
    let detail = wait(async {
        let mut job: Job = client.post("/shares", &share).await?;
        while job.state == JobState::Running {
            tokio::time::sleep(INTERVAL / 5).await;
            job = client.get(&format!("/jobs/{}", job.id)).await?;
            output.event(Event::Hashing { done: job.done, total: job.total });
        }
        let id = match (job.transfer, job.error) {
            (Some(id), _) => id,
            // The very same share is there already.
            (None, Some(error)) => known(&error).ok_or(error)?,
            (None, None) => {
                return Err(Failure::new(ExitCode::Unclassified, "E_JOB", "the daemon tells nothing of it"));
            }
        };
        client.get::<TransferDetail>(&format!("/transfers/{id}")).await
    })?;
    let ready = Event::Ready {
        listen: status.listen,
        infohash_v1: detail.transfer.infohash_v1,
        infohash_v2: detail.transfer.infohash_v2,
        link: detail.link,
        code: None,
        name: detail.transfer.name,
        total: detail.transfer.total,
    };
    if context.global.json {
        output.event(ready);
    } else if let Event::Ready { link, .. } = ready {
        output.clear();
        output.text(&(link + "\n"))?;
    }
    output.say("the daemon serves it to anyone with the link; `peerage rm` ends that");
    Ok(Some(ExitCode::Ok))
}

/// The transfer that a failure names as being there already.
fn known(failure: &Failure) -> Option<String> {
    (failure.code == "E_TRANSFER_EXISTS")
        .then(|| failure.message.rsplit(' ').next().unwrap_or_default().to_owned())
}

/// Gets through the daemon; `None`: there is none.
pub fn get(
    context: &mut Context,
    args: &Get,
    into: &Path,
    stall: Option<Duration>,
) -> anyhow::Result<Option<ExitCode>> {
    // What a code or a name stands for is found out here; the daemon knows links.
    if peerage_node::is_code(&args.link) || peerage_node::is_name(&args.link) {
        return Ok(None);
    }
    let Some((client, _)) = daemon(context) else { return Ok(None) };
    let is_file = Path::new(&args.link).is_file();
    let torrent = is_file.then(|| std::fs::read(&args.link)).transpose()?;
    let add = Add {
        link: (!is_file).then(|| args.link.clone()),
        torrent: torrent.map(|bytes| base64(&bytes)),
        folder: Some(absolute(into)?),
        select: args.select.clone(),
        sequential: args.sequential,
        peers: args.network.peers.clone(),
        trackers: args.network.trackers.clone(),
        ..Add::default()
    };
    let output = &mut context.output;
    let code = wait(async {
        let id = match client.post::<TransferDetail>("/transfers", &add).await {
            Ok(detail) => detail.transfer.id,
            Err(failure) => {
                let id = known(&failure).ok_or(failure)?;
                output.say("the daemon has it already");
                id
            }
        };
        tokio::select! {
            ended = follow(&client, &id, output, stall) => ended,
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::Unfinished),
        }
    })?;
    if code == ExitCode::Unfinished {
        context.output.clear();
        context.output.say("the daemon goes on with it; `peerage ls` shows it, `peerage rm` ends it");
    }
    Ok(Some(code))
}

/// Shows a download until it is complete.
async fn follow(
    client: &Client,
    id: &str,
    output: &mut Output,
    stall: Option<Duration>,
) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let mut moved = (begun, 0);
    let mut named = false;
    let path = format!("/transfers/{id}");
    loop {
        let detail: TransferDetail = client.get(&path).await?;
        let shown = &detail.transfer;
        if !named && shown.files > 0 {
            named = true;
            let files = shown.files as usize;
            output.event(Event::Metadata { name: shown.name.clone(), total: shown.wanted, files });
        }
        if shown.complete && shown.state != TransferState::Checking {
            let path = shown.path.clone().unwrap_or_else(|| shown.folder.clone());
            output.event(Event::Complete {
                path: path.into(),
                downloaded: shown.downloaded,
                seconds: begun.elapsed().as_secs_f64(),
                sources: peerage_api::event::Sources::default(),
            });
            return Ok(ExitCode::Ok);
        }
        if let Some(error) = shown.error.clone() {
            return Err(error);
        }
        if shown.done + shown.downloaded != moved.1 {
            moved = (Instant::now(), shown.done + shown.downloaded);
        }
        if stall.is_some_and(|stall| moved.0.elapsed() >= stall) {
            return Err(Failure::new(ExitCode::Timeout, "E_STALLED", "nothing has moved for too long")
                .hint("the daemon goes on trying; `peerage ls` shows it"));
        }
        output.event(Event::Progress(progress(&detail)));
        tokio::time::sleep(INTERVAL).await;
    }
}

fn progress(detail: &TransferDetail) -> Progress {
    let shown = &detail.transfer;
    Progress {
        stage: match shown.state {
            TransferState::Checking | TransferState::Moving => Stage::Checking,
            TransferState::Metadata => Stage::Metadata,
            TransferState::Downloading => Stage::Downloading,
            TransferState::Seeding => Stage::Seeding,
            TransferState::Queued | TransferState::Paused | TransferState::Error => Stage::Paused,
        },
        done: shown.done,
        total: shown.wanted,
        down_rate: shown.down_rate,
        up_rate: shown.up_rate,
        peers: shown.peers as usize,
        seeds: shown.seeds as usize,
        known: shown.known as usize,
        eta: shown.eta,
        road: detail.road.clone(),
        ..Progress::default()
    }
}

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}
