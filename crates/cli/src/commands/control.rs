//! Commands for a running daemon: `status`, `ls`, `peers`, `pause`, `resume`, `rm`, `move`, `limits`, `events`, `health`,
//! `token`. They speak its API alone.

use std::fmt::Write as _;

use peerage_api::client::{Client, Endpoint};
use peerage_api::control::{
    Health, Limits, LimitsPatch, LoginLink, Move, NewToken, Notice, Pause, PeerList, Status, TokenCreated,
    TokenList, Transfer, TransferDetail, TransferList, TransferState,
};
use peerage_api::counted;
use peerage_api::error::{ExitCode, Failure};
use serde_json::json;

use super::Context;
use super::transfer::runtime;
use crate::args::{Limit, List, Reach, TokenCommand, Which};
use crate::units;

/// Transfers of one page.
const PAGE: usize = 1000;

/// The daemon that is meant: that of `--api`, else that of this home.
pub(super) fn client(context: &Context, reach: &Reach) -> anyhow::Result<Client> {
    let Some(url) = &reach.api else {
        return Ok(Client::new(Endpoint::Socket(context.paths.runtime.join("api.sock"))));
    };
    let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    if authority.is_empty() || authority.contains(['/', '@', '#', '?']) {
        return Err(Failure::new(ExitCode::Usage, "E_USAGE", format!("{url} is not the URL of an API"))
            .hint("write it as the daemon prints it: http://127.0.0.1:PORT")
            .into());
    }
    let file = reach.token_file.clone().unwrap_or_else(|| context.paths.state.join("api-token"));
    let token = match std::fs::read_to_string(&file) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if reach.token_file.is_some() => {
            return Err(Failure::of_kind(error.kind(), format!("{}: {error}", file.display())).into());
        }
        Err(_) => None,
    };
    Ok(Client::new(Endpoint::Tcp { authority: authority.to_owned(), token }))
}

/// Runs a question to the end.
pub(super) fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> anyhow::Result<T> {
    Ok(runtime()?.block_on(work)?)
}

/// The transfer that is meant by an id, the beginning of one, or a name.
async fn find(client: &Client, text: &str) -> Result<Transfer, Failure> {
    let query = query(text);
    let found: TransferList = client.get(&format!("/transfers?limit={PAGE}&q={query}")).await?;
    let is_whole = |transfer: &&Transfer| transfer.name == text || transfer.id == text.to_lowercase();
    let mut whole = found.transfers.iter().filter(is_whole);
    match (whole.next(), whole.next(), found.transfers.as_slice()) {
        (Some(one), None, _) | (None, _, [one]) => Ok(one.clone()),
        (None, _, []) => {
            Err(Failure::new(ExitCode::NotFound, "E_NO_TRANSFER", format!("there is no transfer {text}"))
                .hint("`peerage ls` lists them"))
        }
        _ => Err(Failure::new(
            ExitCode::Usage,
            "E_AMBIGUOUS",
            format!("{} transfers are called {text}", found.total),
        )
        .hint("give more of the id; `peerage ls` shows them")),
    }
}

/// Text as a query has it.
fn query(text: &str) -> String {
    text.bytes().fold(String::new(), |mut query, byte| {
        if byte.is_ascii_alphanumeric() {
            query.push(char::from(byte));
        } else {
            let _ = write!(query, "%{byte:02X}");
        }
        query
    })
}

/// `peerage status`.
pub fn status(context: &Context, reach: &Reach) -> anyhow::Result<ExitCode> {
    let client = client(context, reach)?;
    let status: Status = wait(client.get("/status"))?;
    context.output.reply(&status, status_text)?;
    Ok(ExitCode::Ok)
}

fn status_text(status: &Status) -> String {
    let Status { transfers, rates, totals, .. } = status;
    let mut text = format!("peerage {} (pid {})\n", status.build.version, status.pid);
    let _ = writeln!(text, "peers      {} connected, {} being dialled", status.peers, status.half_open);
    let _ = writeln!(text, "listening  {}", status.listen.join(", "));
    let states = [
        (transfers.downloading, "downloading"),
        (transfers.seeding, "seeding"),
        (transfers.checking, "checking"),
        (transfers.metadata, "asking what it is"),
        (transfers.queued, "queued"),
        (transfers.paused, "paused"),
        (transfers.error, "failed"),
    ];
    let states: Vec<String> = states
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let _ = writeln!(
        text,
        "transfers  {}{}",
        transfers.all,
        if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) }
    );
    let _ = writeln!(
        text,
        "now        down {}/s, up {}/s (in all {} and {})",
        units::size(rates.down),
        units::size(rates.up),
        units::size(totals.downloaded),
        units::size(totals.uploaded)
    );
    if let Some(dht) = &status.dht {
        let _ = writeln!(text, "DHT        {} nodes", dht.nodes);
    }
    let _ = writeln!(text, "downloads  {} ({} free)", status.folder, units::size(status.free_bytes));
    if status.paused {
        let _ = writeln!(text, "everything is paused; `peerage resume --all` goes on");
    }
    for warning in &status.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// `peerage ls`.
pub fn list(context: &Context, args: &List) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    let all = wait(async {
        let mut all = TransferList::default();
        let filter = args.text.as_deref().map(|text| format!("&q={}", query(text))).unwrap_or_default();
        let mut cursor = String::new();
        loop {
            let page: TransferList = client.get(&format!("/transfers?limit={PAGE}{filter}{cursor}")).await?;
            all.total = page.total;
            all.transfers.extend(page.transfers);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    })?;
    context.output.reply(&all, |all| {
        let mut text = String::new();
        for transfer in &all.transfers {
            let _ = writeln!(text, "{}", line(transfer));
        }
        text
    })?;
    Ok(ExitCode::Ok)
}

fn line(transfer: &Transfer) -> String {
    let percent =
        if transfer.wanted == 0 { 0.0 } else { transfer.done as f64 * 100.0 / transfer.wanted as f64 };
    let mut line = format!(
        "{}  {:<11} {percent:>5.1} %  {:>10}  {}",
        transfer.id.get(..8).unwrap_or(&transfer.id),
        state(transfer.state),
        units::size(transfer.total),
        printable(&transfer.name)
    );
    if transfer.down_rate > 0 {
        let _ = write!(line, "  down {}/s", units::size(transfer.down_rate));
    }
    if transfer.up_rate > 0 {
        let _ = write!(line, "  up {}/s", units::size(transfer.up_rate));
    }
    if let Some(note) = &transfer.note {
        let _ = write!(line, "  ({})", printable(note));
    }
    line
}

fn state(state: TransferState) -> &'static str {
    match state {
        TransferState::Queued => "queued",
        TransferState::Checking => "checking",
        TransferState::Metadata => "metadata",
        TransferState::Downloading => "downloading",
        TransferState::Seeding => "seeding",
        TransferState::Paused => "paused",
        TransferState::Moving => "moving",
        TransferState::Error => "error",
    }
}

/// What strangers have named must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `peerage peers`.
pub fn peers(context: &Context, args: &Which) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    let peers: PeerList = wait(async {
        let transfer = find(&client, &args.transfer).await?;
        client.get(&format!("/transfers/{}/peers", transfer.id)).await
    })?;
    context.output.reply(&peers, |peers| {
        let mut text = String::new();
        for peer in &peers.peers {
            let road = peer.road.as_ref().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(
                text,
                "{:<24} {road:<20} {}  down {}/s, up {}/s",
                peer.addr,
                printable(&peer.client),
                units::size(peer.down_rate),
                units::size(peer.up_rate)
            );
        }
        text
    })?;
    Ok(ExitCode::Ok)
}

/// `peerage pause`.
pub fn pause(context: &Context, args: &crate::args::Pause) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    let (transfer, time) = args.meant()?;
    let pause = Pause { seconds: time.map(|time| time.as_secs()) };
    let done = wait(async {
        match &transfer {
            Some(text) => {
                let transfer = find(&client, text).await?;
                let path = format!("/transfers/{}/pause", transfer.id);
                client.post::<TransferDetail>(&path, &pause).await.map(Some)
            }
            None => client.post::<()>("/pause", &pause).await.map(|()| None),
        }
    })?;
    said(context, done, "paused")
}

/// `peerage resume`.
pub fn resume(context: &Context, args: &crate::args::Resume) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    let done = wait(async {
        match &args.transfer {
            Some(text) => {
                let transfer = find(&client, text).await?;
                let path = format!("/transfers/{}/resume", transfer.id);
                client.post::<TransferDetail>(&path, &json!({})).await.map(Some)
            }
            None => client.post::<()>("/resume", &json!({})).await.map(|()| None),
        }
    })?;
    said(context, done, "goes on")
}

/// Tells what was done with one transfer, or with all.
fn said(context: &Context, done: Option<TransferDetail>, what: &str) -> anyhow::Result<ExitCode> {
    match done {
        Some(detail) if context.global.json => context.output.reply(&detail, |_| String::new())?,
        Some(detail) => context.output.say(&format!("{}: {what}", printable(&detail.transfer.name))),
        None if context.global.json => context.output.reply(&json!({ "ok": true }), |_| String::new())?,
        None => context.output.say(&format!("everything: {what}")),
    }
    Ok(ExitCode::Ok)
}

/// `peerage rm`.
pub fn remove(context: &Context, args: &crate::args::Remove) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    let removed = wait(async {
        let transfer = find(&client, &args.transfer).await?;
        client.delete(&format!("/transfers/{}?data={}", transfer.id, args.data)).await?;
        Ok(transfer)
    })?;
    if context.global.json {
        context.output.reply(&json!({ "removed": removed.id }), |_| String::new())?;
    } else {
        let files = if args.data { "with its files" } else { "its files stay" };
        context.output.say(&format!("{}: removed, {files}", printable(&removed.name)));
    }
    Ok(ExitCode::Ok)
}

/// `peerage move`.
pub fn relocate(context: &Context, args: &crate::args::MoveTo) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    let folder = std::path::absolute(&args.folder)?.to_string_lossy().into_owned();
    let done = wait(async {
        let transfer = find(&client, &args.transfer).await?;
        client.post::<TransferDetail>(&format!("/transfers/{}/move", transfer.id), &Move { folder }).await
    })?;
    said(context, Some(done), "being moved")
}

/// `peerage limits`.
pub fn limits(context: &Context, args: &Limit) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    let patch = LimitsPatch {
        upload: args.upload.as_deref().map(rate).transpose()?,
        download: args.download.as_deref().map(rate).transpose()?,
        downloads: args.downloads,
        alternative: args.alternative,
    };
    let limits: Limits = if patch == LimitsPatch::default() {
        wait(client.get("/limits"))?
    } else {
        wait(client.patch("/limits", &patch))?
    };
    context.output.reply(&limits, |limits| {
        let mut text = String::new();
        for limit in &limits.limits {
            let shown = |number: u64| match limit.unit.as_str() {
                "bytes_per_second" => format!("{}/s", units::size(number)),
                _ => number.to_string(),
            };
            let of = limit.limit.map_or("unlimited".to_owned(), shown);
            let _ = writeln!(
                text,
                "{:<20} {} of {of}    # {} ({})",
                limit.key,
                shown(limit.used),
                limit.help,
                limit.origin
            );
        }
        if limits.in_force == "alternative" {
            text.push_str("the alternative limits are in force\n");
        }
        text
    })?;
    Ok(ExitCode::Ok)
}

/// A rate, or `off`.
fn rate(text: &str) -> anyhow::Result<u64> {
    if text == "off" {
        return Ok(0);
    }
    units::parse_rate(text)
        .map_err(|why| Failure::new(ExitCode::Usage, "E_USAGE", format!("`{text}` {why}")).into())
}

/// `peerage events`: one line for each, until Ctrl-C.
pub fn events(context: &Context, reach: &Reach) -> anyhow::Result<ExitCode> {
    let client = client(context, reach)?;
    wait(async {
        let mut events = client.events("").await?;
        while let Some(data) = events.next().await? {
            let text = if context.global.json { data } else { event_text(&data) };
            if context.output.text(&(text + "\n")).is_err() {
                return Ok(());
            }
        }
        Ok(())
    })?;
    Ok(ExitCode::Ok)
}

/// An event in one line: its kind, then its parts.
fn event_text(data: &str) -> String {
    let Ok(notice) = serde_json::from_str::<Notice>(data) else { return printable(data) };
    let parts = serde_json::to_value(&notice.change).unwrap_or_default();
    let parts =
        parts.as_object().into_iter().flatten().filter(|(name, _)| *name != "type").map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            format!("{name}={}", printable(&value))
        });
    std::iter::once(notice.change.kind().to_owned()).chain(parts).collect::<Vec<_>>().join(" ")
}

/// `peerage health`: 0 where the daemon is well, 13 where none runs.
pub fn health(context: &Context, reach: &Reach) -> anyhow::Result<ExitCode> {
    let client = client(context, reach)?;
    let status: Status = wait(client.get("/status"))?;
    let health = Health { status: "ok".to_owned() };
    context
        .output
        .reply(&health, |_| format!("ok: {}\n", counted(status.transfers.all as usize, "transfer")))?;
    Ok(ExitCode::Ok)
}

/// `peerage token …`.
pub fn token(context: &Context, args: &crate::args::Token) -> anyhow::Result<ExitCode> {
    let client = client(context, &args.reach)?;
    match &args.command {
        TokenCommand::Ls => {
            let tokens: TokenList = wait(client.get("/tokens"))?;
            context.output.reply(&tokens, |tokens| {
                tokens.tokens.iter().fold(String::new(), |mut text, token| {
                    let _ = writeln!(
                        text,
                        "{:<10} {:<8} {}",
                        token.id,
                        token.scope.to_string(),
                        printable(&token.name)
                    );
                    text
                })
            })?;
        }
        TokenCommand::New { name, scope } => {
            let request = NewToken { name: name.clone(), scope: *scope };
            let created: TokenCreated = wait(client.post("/tokens", &request))?;
            context.output.reply(&created, |created| format!("{}\n", created.secret))?;
            if !context.global.json {
                context.output.say("this is shown once; send it as Authorization: Bearer");
            }
        }
        TokenCommand::Revoke { id } => {
            wait(client.delete(&format!("/tokens/{}", query(id))))?;
            context.output.say("revoked");
        }
        TokenCommand::Url => {
            let link: LoginLink = wait(client.post("/login-links", &json!({})))?;
            context.output.reply(&link, |link| format!("{}\n", link.url))?;
        }
    }
    Ok(ExitCode::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_name_is_quoted_and_shown_harmless() {
        assert_eq!(query("a b&c=1"), "a%20b%26c%3D1");
        assert_eq!(printable("a\u{1b}[2J"), "a\u{fffd}[2J");
        assert!(event_text("{").starts_with('{'));
    }
}
