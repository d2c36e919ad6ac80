//! What follows from what was found out: one sentence, and what to do.

use super::super::ways::RELAY_DENIES;
use peerage_api::counted;
use peerage_api::error::ExitCode;
use peerage_api::why::{Conclusion, Found, Met, Obstacle, Origin, Step, Why};

/// What is nearest to a connection, or tells most, first.
const TELLING: [Obstacle; 13] = [
    Obstacle::OtherPeer,
    Obstacle::OtherTorrent,
    Obstacle::Ourselves,
    Obstacle::Encryption,
    Obstacle::Denied,
    Obstacle::Mute,
    Obstacle::HungUp,
    Obstacle::OtherProtocol,
    Obstacle::Refused,
    Obstacle::NoRoute,
    Obstacle::NoAnswer,
    Obstacle::Other,
    Obstacle::GoesOn,
];

const NO_NODE: &str =
    "does UDP get through (`peerage doctor`)? --bootstrap ADDR:PORT names a node, --peer ADDR:PORT a peer";
const NAME_SOMEONE: &str = "name someone who has it with --peer ADDR:PORT, or a tracker with --tracker URL";
const IS_IT_RUNNING: &str = "is the sharer still running, and is this its newest link?";

/// Judges everything but the verdict itself.
pub(super) fn conclude(why: &Why) -> Conclusion {
    let met: Vec<(&Found, &Met)> =
        why.peers.iter().filter_map(|found| Some((found, found.met.as_ref()?))).collect();
    if let Some(verdict) = served(why, &met) {
        return verdict;
    }
    if !met.is_empty() {
        return met_in_vain(why, &met);
    }
    let (tried, refused): (Vec<&Found>, Vec<&Found>) =
        why.peers.iter().partition(|found| found.refused.is_none());
    match (tried.is_empty(), refused.first()) {
        (false, _) => unreached(why, &tried),
        (true, Some(first)) => {
            let reason = first.refused.as_deref().unwrap_or_default();
            let message = format!("{} named, and none may be dialled: {reason}", were(refused.len()));
            let advice = if reason.contains("--via") {
                "ask the sharer for a link with another way (--relay URL), or leave --via away"
            } else {
                "--allow-local permits addresses of the local network; --peer ADDR:PORT any"
            };
            conclusion(ExitCode::Unreachable, "E_REFUSED", message, advice)
        }
        (true, None) => nobody(why),
    }
}

fn were(peers: usize) -> String {
    if peers == 1 { "1 peer was".to_owned() } else { format!("{peers} peers were") }
}

fn conclusion(exit: ExitCode, code: &str, message: String, advice: impl Into<String>) -> Conclusion {
    Conclusion { code: code.to_owned(), message, advice: Some(advice.into()), exit: exit as u8 }
}

/// Somebody has all of it.
fn served(why: &Why, met: &[(&Found, &Met)]) -> Option<Conclusion> {
    let ok = |message: String| Conclusion { code: "OK".to_owned(), message, advice: None, exit: 0 };
    let whole = |met: &Met| why.pieces == Some(met.pieces);
    let seeds: Vec<_> = met.iter().filter(|(_, met)| whole(met)).collect();
    let web: Vec<_> = why.web_seeds.iter().filter(|seed| seed.asked && seed.error.is_none()).collect();
    if let Some((found, _)) = seeds.iter().find(|(_, met)| !met.chokes) {
        let others = match seeds.len() {
            1 => String::new(),
            count => format!(" (one of {count})"),
        };
        return Some(ok(format!("it works: {} has all of it and serves us{others}", found.addr)));
    }
    if let Some(seed) = web.first() {
        return Some(ok(format!("it works: the web seed {} has it", seed.url)));
    }
    let (found, _) = seeds.first()?;
    let message =
        format!("{} has all of it, and served others first in these {:.0} s", found.addr, why.seconds);
    Some(Conclusion { advice: Some("`peerage get` waits its turn".to_owned()), ..ok(message) })
}

/// Connected, and nothing to be had.
fn met_in_vain(why: &Why, met: &[(&Found, &Met)]) -> Conclusion {
    let peers = counted(met.len(), "peer");
    let Some(total) = why.pieces else {
        let message = format!("connected to {peers}, and nobody gave the description of the content");
        let advice = "they may have nothing but the link themselves; ask the sharer for the .torrent file";
        return conclusion(ExitCode::NotFound, "E_NO_METADATA", message, advice);
    };
    let most = met.iter().map(|(_, met)| met.pieces).max().unwrap_or_default();
    if most > 0 {
        let message =
            format!("connected to {peers}, none of which has all of it: {most} of {total} pieces at most");
        let advice = "what is there can be had; --wait goes on until the rest comes";
        return conclusion(ExitCode::Partial, "E_INCOMPLETE", message, advice);
    }
    let message = format!("connected to {peers}, and none has any of it");
    conclusion(
        ExitCode::NotFound,
        "E_NO_PROVIDERS",
        message,
        "`peerage get LINK --wait` waits for somebody who has it",
    )
}

/// Peers are known, none was met.
fn unreached(why: &Why, tried: &[&Found]) -> Conclusion {
    let obstacles: Vec<Obstacle> = tried.iter().map(|found| main_obstacle(found)).collect();
    let count = |obstacle: Obstacle| obstacles.iter().filter(|other| **other == obstacle).count();
    let mut kinds: Vec<Obstacle> = TELLING.into_iter().filter(|obstacle| count(*obstacle) > 0).collect();
    kinds.sort_by_key(|obstacle| std::cmp::Reverse(count(*obstacle)));
    let first = kinds.first().copied().unwrap_or(Obstacle::Other);
    let message = match (kinds.len(), tried.len()) {
        (1, 1) => format!("the one peer found {}", words(first)),
        (1, all) => format!("all {all} peers found {}", plural(first)),
        (_, all) => {
            let part = |obstacle: &Obstacle| match count(*obstacle) {
                1 => format!("1 {}", words(*obstacle)),
                many => format!("{many} {}", plural(*obstacle)),
            };
            format!("none of {all} peers was met: {}", kinds.iter().map(part).collect::<Vec<_>>().join(", "))
        }
    };
    let elsewhere = [Obstacle::OtherTorrent, Obstacle::HungUp, Obstacle::Ourselves];
    let exit = if kinds.iter().all(|kind| elsewhere.contains(kind)) {
        ExitCode::NotFound
    } else {
        ExitCode::Unreachable
    };
    let code = if exit == ExitCode::NotFound { "E_NO_PROVIDERS" } else { "E_UNREACHABLE" };
    conclusion(exit, code, format!("{message}{}", web_trouble(why)), advice(first))
}

/// The one thing to tell of a peer that was not met.
fn main_obstacle(found: &Found) -> Obstacle {
    let seen = |obstacle: &Obstacle| {
        found.attempts.iter().any(|attempt| attempt.result != Step::Up && attempt.obstacle == Some(*obstacle))
    };
    TELLING.into_iter().find(seen).unwrap_or(Obstacle::NoAnswer)
}

fn words(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Refused => "refused the connection",
        Obstacle::NoRoute => "cannot be reached from this network",
        Obstacle::NoAnswer => "did not answer",
        Obstacle::Mute => "took the connection and said nothing",
        Obstacle::HungUp => "hung up before its handshake",
        Obstacle::OtherPeer => "is another one than the link names",
        Obstacle::OtherTorrent => "serves another torrent",
        Obstacle::Denied => "is behind a relay that does not let us in",
        Obstacle::OtherProtocol => "speaks something else",
        Obstacle::Encryption => "did not agree on encryption",
        Obstacle::Ourselves => "is this machine's own address",
        Obstacle::GoesOn | Obstacle::Other => "could not be met",
    }
}

fn plural(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::OtherPeer => "are others than the link names",
        Obstacle::OtherTorrent => "serve another torrent",
        Obstacle::Denied => "are behind a relay that does not let us in",
        Obstacle::OtherProtocol => "speak something else",
        Obstacle::Ourselves => "are this machine's own addresses",
        same => words(same),
    }
}

fn advice(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Refused => {
            "nobody listens there: is the sharer still running, and is this its newest link?"
        }
        Obstacle::NoRoute => "`peerage doctor` tells what this machine can reach (IPv6, for example)",
        Obstacle::NoAnswer => {
            "the sharer may be gone, or behind a NAT or firewall: have it share with --relay, or forward its port"
        }
        Obstacle::Mute => "a firewall in between, or a program that hangs; try again, or restart the sharer",
        Obstacle::HungUp => "it has another torrent, or no place for us: is this its newest link?",
        Obstacle::OtherPeer => "the sharer has moved, or somebody stands in its place: ask it for a new link",
        Obstacle::OtherTorrent => IS_IT_RUNNING,
        Obstacle::Denied => RELAY_DENIES,
        Obstacle::OtherProtocol => "check the address: another program is there",
        Obstacle::Encryption => "try --encryption prefer, or --encryption allow",
        Obstacle::Ourselves => NAME_SOMEONE,
        Obstacle::GoesOn | Obstacle::Other => "`--verbose` tells more",
    }
}

/// No peer was named.
fn nobody(why: &Why) -> Conclusion {
    let web = web_trouble(why);
    let trackers: Vec<&Origin> = why.sources.iter().filter(|origin| origin.kind == "tracker").collect();
    let others = why.sources.iter().any(|origin| !matches!(origin.kind.as_str(), "tracker" | "link" | "lan"));
    let failed: Vec<_> = trackers.iter().filter(|tracker| tracker.peers.is_none()).collect();
    let (exit, message, advice) = match (trackers.len(), failed.first()) {
        (0, _) if others => {
            let silent = why.sources.iter().any(|origin| origin.kind == "dht" && origin.peers.is_none());
            let (exit, what, advice) = if silent {
                (ExitCode::Unreachable, ": no node of the DHT has answered", NO_NODE)
            } else {
                (ExitCode::NotFound, "", IS_IT_RUNNING)
            };
            (exit, format!("no peer found{what}"), advice)
        }
        (0, _) => (
            ExitCode::NotFound,
            "no peer found: the link names no peer and no tracker".to_owned(),
            NAME_SOMEONE,
        ),
        (all, Some(first)) if failed.len() == all => {
            let url = first.url.as_deref().unwrap_or_default();
            let error = first.error.as_deref().unwrap_or("no answer in time");
            let more = if all == 1 { String::new() } else { format!(" (and so for {} more)", all - 1) };
            let message = format!("no peer found: {url}: {error}{more}");
            (ExitCode::Unreachable, message, "check the tracker's address; --tracker URL names another one")
        }
        (1, _) => (ExitCode::NotFound, "no peer found: the tracker knows nobody".to_owned(), IS_IT_RUNNING),
        (all, _) => (ExitCode::NotFound, format!("no peer found: {all} trackers know nobody"), IS_IT_RUNNING),
    };
    let code = match exit {
        ExitCode::NotFound => "E_NO_PROVIDERS",
        _ if trackers.is_empty() => "E_NO_NODES",
        _ => "E_TRACKER",
    };
    conclusion(exit, code, message + &web, advice)
}

fn web_trouble(why: &Why) -> String {
    let failed = why.web_seeds.iter().find(|seed| seed.error.is_some());
    let told = |seed: &peerage_api::why::WebSeed| {
        format!("; the web seed {}: {}", seed.url, seed.error.as_deref().unwrap_or_default())
    };
    failed.map(told).unwrap_or_default()
}

#[cfg(test)]
mod tests;
