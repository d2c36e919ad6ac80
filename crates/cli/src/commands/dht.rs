//! `peerage dht`.

use std::fmt::Write as _;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::{DhtLookup, DhtStatus};
use peerage_api::request::{DhtGet, DhtPut, NodeConfig};
use peerage_node::Stop;

use super::Context;
use super::transfer::drive;
use crate::args::{Dht, DhtCommand, DhtNetwork, Network};

fn node_config(context: &Context, network: &DhtNetwork) -> anyhow::Result<NodeConfig> {
    let DhtNetwork { listen, bootstrap, allow_local } = network.clone();
    context.node_config(&Network { listen, bootstrap, allow_local, ..Network::default() })
}

/// `peerage dht …`: 5 where nobody has what is sought, 6 where nobody answers.
pub fn dht(context: &Context, args: Dht) -> anyhow::Result<ExitCode> {
    let config = node_config(context, &args.network)?;
    let stop = Stop::new();
    let other = stop.clone();
    let output = &context.output;
    match args.command {
        DhtCommand::Status => {
            let status = drive(&stop, peerage_node::dht_status(config, other))??;
            output.reply(&status, status_text)?;
        }
        DhtCommand::Lookup { key } => {
            let found = drive(&stop, peerage_node::dht_lookup(&key, config, other))??;
            output.reply(&found, lookup_text)?;
            if found.peers.is_empty() {
                if !context.global.json {
                    let message = format!("no peer has announced it (asked {} nodes)", found.asked);
                    return Err(Failure::new(ExitCode::NotFound, "E_NO_PROVIDERS", message)
                        .hint("a share announces itself when it starts, and each quarter of an hour")
                        .into());
                }
                return Ok(ExitCode::NotFound);
            }
        }
        DhtCommand::Put { value, key, salt, seq } => {
            let request = DhtPut { value, key, salt, seq };
            let stored = drive(&stop, peerage_node::dht_put(request, config, other))??;
            output.reply(&stored, |stored| match (&stored.public_key, stored.seq) {
                (Some(key), Some(seq)) => format!("{}\nkey {key}, version {seq}\n", stored.target),
                _ => format!("{}\n", stored.target),
            })?;
            if !context.global.json {
                output.say(&format!("stored at {} of {} nodes asked", stored.stored, stored.asked));
            }
        }
        DhtCommand::Get { target, salt } => {
            let item = drive(&stop, peerage_node::dht_get(DhtGet { target, salt }, config, other))??;
            output.reply(&item, |item| match &item.text {
                Some(text) => format!("{}\n", printable(text)),
                None => format!("{}\n", item.bencoded),
            })?;
        }
        DhtCommand::Ping { addr } => {
            let answer = drive(&stop, peerage_node::dht_ping(&addr, config, other))??;
            output.reply(&answer, |answer| {
                format!("{} is {}, {:.1} ms\n", answer.addr, answer.node_id, answer.rtt_ms)
            })?;
        }
    }
    Ok(ExitCode::Ok)
}

/// What a stranger stored must not drive the user's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn status_text(status: &DhtStatus) -> String {
    let about = |nodes: Option<u64>| nodes.map_or("?".to_owned(), |nodes| nodes.to_string());
    let mut text = format!("listening  {}\n", status.listen.join(", "));
    let external =
        if status.external.is_empty() { "not told yet".to_owned() } else { status.external.join(", ") };
    let _ = writeln!(text, "seen at    {external}");
    let _ = writeln!(text, "           identifier                                 nodes  network of about");
    let families = [
        ("IPv4", &status.node_id, status.nodes, status.network_about),
        ("IPv6", &status.node_id_v6, status.nodes_v6, status.network_v6_about),
    ];
    for (family, id, nodes, network) in families {
        let _ = writeln!(text, "{family:<9}  {id}  {nodes:>6}  {:>16}", about(network));
    }
    let _ = writeln!(text, "remembered {} nodes of earlier runs", status.remembered);
    let _ = writeln!(text, "asked      {} questions, {} not answered", status.asked, status.failed);
    text
}

fn lookup_text(found: &DhtLookup) -> String {
    let mut text = found.peers.iter().fold(String::new(), |text, peer| text + peer + "\n");
    let swarm = match (found.seeds_about, found.others_about) {
        (Some(seeds), Some(others)) if seeds + others > 0 => {
            format!(", about {seeds} seeds and {others} others in all")
        }
        _ => String::new(),
    };
    let crowded = if found.crowded { "; suspiciously many nodes are close to it" } else { "" };
    let _ = writeln!(
        text,
        "{}: {} from {} nodes in {:.2} s{swarm}{crowded}",
        found.key,
        peerage_api::counted(found.peers.len(), "peer"),
        found.asked,
        found.seconds
    );
    for node in &found.closest {
        let _ = writeln!(text, "  {}  {}", node.id, node.addr);
    }
    text
}
