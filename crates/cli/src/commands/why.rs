//! `peerage why`.

use std::fmt::Write as _;

use peerage_api::counted;
use peerage_api::error::ExitCode;
use peerage_api::request;
use peerage_api::why::{Attempt, Found, Met, Obstacle, Origin, Step, Why as Report};

use super::Context;
use super::transfer::drive;
use crate::args::Why;

/// `peerage why`: 0 when somebody has it and can be met, else the code of the reason.
pub fn why(context: &Context, args: Why) -> anyhow::Result<ExitCode> {
    let config = context.node_config(&args.network)?;
    let request = request::Why {
        link: args.link,
        peers: args.network.peers,
        trackers: args.network.trackers,
        known: args.known,
        timeout: args.timeout.as_secs_f64(),
    };
    let stop = peerage_node::Stop::new();
    let report = drive(&stop, peerage_node::why(request, config, stop.clone()))??;
    context.output.reply(&report, text)?;
    Ok(exit(report.verdict.exit))
}

fn exit(code: u8) -> ExitCode {
    let all = [ExitCode::Ok, ExitCode::Partial, ExitCode::NotFound, ExitCode::Unreachable];
    all.into_iter().find(|known| *known as u8 == code).unwrap_or(ExitCode::Unclassified)
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let name = report.name.as_deref().unwrap_or("a torrent without a known name");
    let pieces = match report.pieces {
        Some(pieces) => counted(pieces as usize, "piece"),
        None => "nobody has told what is in it".to_owned(),
    };
    let _ = writeln!(text, "{name}: {pieces}; looked for {:.1} s", report.seconds);
    for source in &report.sources {
        let _ = writeln!(text, "{}", source_line(source));
    }
    for peer in &report.peers {
        let by = if peer.sources.is_empty() {
            String::new()
        } else {
            format!(", by {}", peer.sources.join(" and "))
        };
        let _ = writeln!(text, "peer {}{by}", peer.addr);
        for line in peer_lines(peer, report.pieces) {
            let _ = writeln!(text, "  {line}");
        }
    }
    for seed in &report.web_seeds {
        let found = match (&seed.error, seed.asked) {
            (Some(error), _) => error.as_str(),
            (None, true) => "has it",
            (None, false) => "not asked",
        };
        let _ = writeln!(text, "web seed {}: {found}", seed.url);
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "⚠ {warning}");
    }
    let mark = if report.verdict.exit == 0 { '✓' } else { '✗' };
    let code = if report.verdict.exit == 0 { String::new() } else { format!("{}: ", report.verdict.code) };
    let _ = writeln!(text, "{mark} {code}{}", report.verdict.message);
    if let Some(advice) = &report.verdict.advice {
        let _ = writeln!(text, "  {advice}");
    }
    text
}

fn source_line(source: &Origin) -> String {
    let url = source.url.as_deref().map(|url| format!(" {url}")).unwrap_or_default();
    let found = match (source.peers, &source.error) {
        (_, Some(error)) => error.clone(),
        (Some(peers), None) => counted(peers, "peer"),
        (None, None) => "no answer in time".to_owned(),
    };
    format!("{}{url}: {found}", source.kind)
}

fn peer_lines(peer: &Found, total: Option<u32>) -> Vec<String> {
    let mut lines: Vec<String> = peer.refused.iter().map(|reason| format!("not dialled: {reason}")).collect();
    lines.extend(peer.attempts.iter().map(attempt_line));
    lines.extend(peer.met.as_ref().map(|met| met_line(met, total)));
    if lines.is_empty() {
        lines.push("not dialled in this time".to_owned());
    }
    lines
}

fn attempt_line(attempt: &Attempt) -> String {
    let road = if attempt.incoming { format!("it came: {}", attempt.road) } else { attempt.road.to_string() };
    let times = if attempt.times > 1 { format!(" ({} times)", attempt.times) } else { String::new() };
    let result = match (attempt.result, attempt.obstacle) {
        (Step::Up, _) => "connected".to_owned(),
        (_, Some(Obstacle::GoesOn)) => attempt.reason.clone().unwrap_or_default(),
        (Step::Closed, _) => {
            format!("connected, then closed: {}", attempt.reason.as_deref().unwrap_or_default())
        }
        (_, Some(obstacle)) => obstacle_text(obstacle, attempt.reason.as_deref()),
        (_, None) => "under way".to_owned(),
    };
    format!("{road}: {result}{times}")
}

fn obstacle_text(obstacle: Obstacle, reason: Option<&str>) -> String {
    let text = match obstacle {
        Obstacle::Refused => "refused, nobody listens there",
        Obstacle::NoRoute => "no way to its network",
        Obstacle::NoAnswer => "no answer",
        Obstacle::Mute => "open, and no handshake came",
        Obstacle::HungUp => "closed by the other end before its handshake",
        Obstacle::OtherTorrent => "it serves another torrent",
        Obstacle::Ourselves => "it is we ourselves",
        Obstacle::OtherPeer
        | Obstacle::Denied
        | Obstacle::OtherProtocol
        | Obstacle::Encryption
        | Obstacle::GoesOn
        | Obstacle::Other => {
            return reason.unwrap_or("failed").to_owned();
        }
    };
    text.to_owned()
}

fn met_line(met: &Met, total: Option<u32>) -> String {
    let client = if met.client.is_empty() { "a client without a name" } else { &met.client };
    let has = match (met.pieces, total) {
        (_, None) => "has not told what is in it".to_owned(),
        (pieces, Some(total)) if pieces == total => "has all of it".to_owned(),
        (pieces, Some(total)) => format!("has {pieces} of {total} pieces"),
    };
    let serves = match (total, met.pieces, met.chokes) {
        (None, ..) | (_, 0, _) => "",
        (.., true) => ", serves others first",
        (.., false) => ", serves us",
    };
    let gone = if met.connected { "" } else { "; gone again" };
    format!("{client}: {has}{serves}{gone}")
}
