//! `peerage dht`: questions to the mainline DHT, each by a node of its own that lives as long as the question.

mod alone;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use peerage_api::SCHEMA_VERSION;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::{DhtItem, DhtLookup, DhtNode, DhtPing, DhtStatus, DhtStored};
use peerage_api::request::{DhtGet, DhtPut, NodeConfig};
use peerage_base::Key;
use peerage_overlay::mainline::{Item, Report};
use peerage_wire::bencode::{self, Encoder, Limits};
use peerage_wire::krpc::{Id, Signed};
use tokio::sync::mpsc;

use super::io_failure;
use super::source::{self, Source};
use crate::dht::{Answer, Dht, Lookup, Status};
use crate::{Boxed, Stop, identity};

/// How long the first node may take to answer.
const JOIN_LIMIT: Duration = Duration::from_secs(15);

/// How long a table may take to fill before it is shown.
const FILL_LIMIT: Duration = Duration::from_secs(8);

/// Time between two looks at a node that joins.
const LOOK: Duration = Duration::from_millis(50);

/// Looks without a change after which a table counts as full.
const LOOKS_UNCHANGED: u32 = 20;

/// Answers of one look-up that wait here; more are dropped.
const ANSWERS_MAX: usize = 2_048;

/// How the node of a question does, once it has joined.
///
/// # Errors
/// Nobody answers, or `stop` came first.
pub fn dht_status(config: NodeConfig, stop: Stop) -> Boxed<'static, Result<DhtStatus, Failure>> {
    Box::pin(async move {
        brief(&config, &stop, async |node| {
            node.join().await?;
            let status = node.fill().await?;
            Ok(status_reply(&status, &node.listen))
        })
        .await
    })
}

/// The peers of what a link, an infohash or a torrent file names, and the nodes closest to it.
///
/// # Errors
/// The key is none, nobody answers, or `stop` came first.
pub fn dht_lookup<'a>(key: &'a str, config: NodeConfig, stop: Stop) -> Boxed<'a, Result<DhtLookup, Failure>> {
    Box::pin(async move {
        let hashes = match source::open_known(key)? {
            Source::Torrent(metainfo) => metainfo.info.hashes,
            Source::Magnet(magnet) => magnet.hashes,
        };
        let key = Key(hashes.primary());
        brief(&config, &stop, async |node| {
            node.join().await?;
            let (answers, report) = node.look(Lookup::Scrape(key)).await?;
            let peers = answers.iter().filter_map(|answer| match answer {
                Answer::Peers(addrs) => Some(addrs),
                _ => None,
            });
            let mut peers: Vec<SocketAddr> = peers.flatten().copied().collect();
            peers.sort_unstable();
            peers.dedup();
            Ok(DhtLookup {
                schema_version: SCHEMA_VERSION,
                key: key.to_string(),
                peers: peers.iter().map(ToString::to_string).collect(),
                seeds_about: report.swarm.map(|(seeds, _)| seeds.round() as u64),
                others_about: report.swarm.map(|(_, others)| others.round() as u64),
                asked: report.asked,
                seconds: report.took.as_secs_f64(),
                first_seconds: report.first.map(|first| first.as_secs_f64()),
                crowded: report.crowded,
                closest: report
                    .closest
                    .iter()
                    .map(|node| DhtNode { id: node.id.to_string(), addr: node.addr.to_string() })
                    .collect(),
            })
        })
        .await
    })
}

/// Stores a text: under its hash, or under a key, as a newer version of what is there.
///
/// # Errors
/// It is too long, the key file is none, nobody stores it, or `stop` came first.
pub fn dht_put(
    request: DhtPut,
    config: NodeConfig,
    stop: Stop,
) -> Boxed<'static, Result<DhtStored, Failure>> {
    Box::pin(async move {
        let mut value = Encoder::new();
        value.bytes(request.value.as_bytes());
        let value = value.finish();
        let salt = request.salt.as_bytes();
        let unsigned = Item::new(value.clone(), None, salt.to_vec());
        unsigned.map_err(|error| Failure::new(ExitCode::Usage, "E_ITEM", error.to_string()))?;
        let key = request.key.as_deref().map(open_key).transpose()?;
        brief(&config, &stop, async |node| {
            node.join().await?;
            let signed = match &key {
                None => None,
                Some(identity) => {
                    let target = Item::mutable_target(&identity.id().0, salt);
                    let (known, _) = node.get(target, salt).await?;
                    let seq =
                        request.seq.unwrap_or_else(|| known.map_or(1, |item| item.seq().saturating_add(1)));
                    let signature = identity.sign(&Item::signed_bytes(salt, seq, &value));
                    Some(Signed { key: identity.id().0, seq, signature })
                }
            };
            let salt = if signed.is_some() { salt.to_vec() } else { Vec::new() };
            let item = Item::new(value.clone(), signed, salt)
                .map_err(|error| Failure::new(ExitCode::Usage, "E_ITEM", error.to_string()))?;
            let (_, report) = node.look(Lookup::Put(item.clone())).await?;
            if report.stored == 0 {
                return Err(refused(&report));
            }
            Ok(DhtStored {
                schema_version: SCHEMA_VERSION,
                target: item.target().to_string(),
                public_key: signed.map(|signed| data_encoding::HEXLOWER.encode(&signed.key)),
                seq: signed.map(|signed| signed.seq),
                stored: report.stored,
                asked: report.asked,
                seconds: report.took.as_secs_f64(),
            })
        })
        .await
    })
}

/// Reads what is stored under a hash, or under a public key.
///
/// # Errors
/// The target is none, nobody has it, nobody answers, or `stop` came first.
pub fn dht_get(request: DhtGet, config: NodeConfig, stop: Stop) -> Boxed<'static, Result<DhtItem, Failure>> {
    Box::pin(async move {
        let target = target(&request)?;
        brief(&config, &stop, async |node| {
            node.join().await?;
            let (item, report) = node.get(target, request.salt.as_bytes()).await?;
            let Some(item) = item else {
                let message = format!("nothing is stored there (asked {} nodes)", report.asked);
                return Err(Failure::new(ExitCode::NotFound, "E_NO_ITEM", message)
                    .hint("what nobody renews is forgotten after two hours; a salt makes another place"));
            };
            Ok(DhtItem {
                schema_version: SCHEMA_VERSION,
                target: target.to_string(),
                text: text_of(item.value()),
                bencoded: data_encoding::HEXLOWER.encode(item.value()),
                public_key: item.signed().map(|signed| data_encoding::HEXLOWER.encode(&signed.key)),
                seq: item.signed().map(|signed| signed.seq),
                asked: report.asked,
                seconds: report.took.as_secs_f64(),
            })
        })
        .await
    })
}

/// Asks one node whether it is there.
///
/// # Errors
/// The address leads nowhere, the node does not answer, or `stop` came first.
pub fn dht_ping<'a>(addr: &'a str, config: NodeConfig, stop: Stop) -> Boxed<'a, Result<DhtPing, Failure>> {
    Box::pin(async move {
        let name = addr.to_owned();
        let found = tokio::task::spawn_blocking(move || name.to_socket_addrs().map(Vec::from_iter)).await;
        let Ok(Ok(addrs)) = found else {
            return Err(Failure::new(ExitCode::NotFound, "E_NOT_FOUND", format!("{addr} leads nowhere")));
        };
        // No other node is needed.
        let config = NodeConfig { bootstrap: Vec::new(), ..config };
        brief(&config, &stop, async |node| {
            let reached = |to: &&SocketAddr| node.listen.iter().any(|own| own.is_ipv4() == to.is_ipv4());
            let Some(to) = addrs.iter().find(reached).copied() else {
                return Err(Failure::new(ExitCode::Unreachable, "E_UNREACHABLE", "no socket of its family"));
            };
            let (_, report) = node.look(Lookup::Ping(to)).await?;
            let Some(answered) = report.closest.first().filter(|_| report.found) else {
                return Err(Failure::new(
                    ExitCode::Unreachable,
                    "E_NO_ANSWER",
                    format!("{to} does not answer"),
                )
                .hint("is a node of the DHT there, and does UDP get through?"));
            };
            Ok(DhtPing {
                schema_version: SCHEMA_VERSION,
                addr: to.to_string(),
                node_id: answered.id.to_string(),
                rtt_ms: report.took.as_secs_f64() * 1000.0,
            })
        })
        .await
    })
}

/// A node's state in the types of the API.
pub(crate) fn status_reply(status: &Status, listen: &[SocketAddr]) -> DhtStatus {
    let network = status.network.map(|nodes| nodes.map(|nodes| nodes.round() as u64));
    DhtStatus {
        schema_version: SCHEMA_VERSION,
        listen: listen.iter().map(ToString::to_string).collect(),
        node_id: status.ids[0].to_string(),
        node_id_v6: status.ids[1].to_string(),
        external: status.external.iter().map(ToString::to_string).collect(),
        nodes: status.nodes[0],
        nodes_v6: status.nodes[1],
        network_about: network[0],
        network_v6_about: network[1],
        remembered: status.remembered,
        torrents: status.kept.0,
        items: status.kept.1,
        received: status.stats.received,
        answered: status.stats.answered,
        asked: status.stats.asked,
        failed: status.stats.failed,
    }
}

/// A node for one question.
pub(super) struct Node {
    dht: Dht,
    listen: Vec<SocketAddr>,
}

/// Runs a question on a node of its own, read-only as it is gone after it.
pub(super) async fn brief<T>(
    config: &NodeConfig,
    stop: &Stop,
    question: impl AsyncFnOnce(&Node) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let sockets = alone::open(config, 0)?;
    let listen = sockets.iter().map(|socket| socket.local_addr()).collect();
    let node = Node { dht: alone::start(config, sockets, true)?, listen };
    let result = tokio::select! {
        result = question(&node) => result,
        () = stop.requested() => {
            Err(Failure::new(ExitCode::Interrupted, "E_CANCELLED", "stopped before there was an answer"))
        }
    };
    node.dht.close().await;
    result
}

impl Node {
    /// Waits for the first node that answers.
    pub(super) async fn join(&self) -> Result<(), Failure> {
        let joined = async {
            loop {
                if self.status().await?.nodes != [0, 0] {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(JOIN_LIMIT, joined).await.unwrap_or_else(|_| {
            let message = format!("no node of the DHT has answered in {} s", JOIN_LIMIT.as_secs());
            Err(Failure::new(ExitCode::Unreachable, "E_NO_NODES", message)
                .hint("name one with --bootstrap ADDR:PORT; `peerage doctor` tells whether UDP gets through"))
        })
    }

    /// Waits until the table grows no more; its state then.
    async fn fill(&self) -> Result<Status, Failure> {
        let until = tokio::time::Instant::now() + FILL_LIMIT;
        let (mut last, mut unchanged) = (self.status().await?, 0);
        while unchanged < LOOKS_UNCHANGED && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK).await;
            let now = self.status().await?;
            unchanged = if now.nodes == last.nodes { unchanged + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }

    async fn status(&self) -> Result<Status, Failure> {
        self.dht.status().await.ok_or_else(ended)
    }

    /// All answers of a look-up, and its report.
    async fn look(&self, lookup: Lookup) -> Result<(Vec<Answer>, Report), Failure> {
        let (sender, mut receiver) = mpsc::channel(ANSWERS_MAX);
        self.dht.look(lookup, Box::new(move |answer| drop(sender.try_send(answer))));
        let mut answers = Vec::new();
        while let Some(answer) = receiver.recv().await {
            match answer {
                Answer::Done(report) => return Ok((answers, report)),
                answer => answers.push(answer),
            }
        }
        Err(ended())
    }

    /// The newest version of an item.
    pub(super) async fn get(&self, target: Id, salt: &[u8]) -> Result<(Option<Item>, Report), Failure> {
        let (answers, report) = self.look(Lookup::Get(target, salt.to_vec())).await?;
        let items = answers.into_iter().filter_map(|answer| match answer {
            Answer::Item(item) => Some(item),
            _ => None,
        });
        Ok((items.max_by_key(Item::seq), report))
    }
}

fn ended() -> Failure {
    Failure::new(ExitCode::Unclassified, "E_SYSTEM", "the node of the DHT has ended")
}

fn refused(report: &Report) -> Failure {
    let message = match report.refusal {
        Some(code) => format!("none of {} nodes stored it (the last error was {code})", report.asked),
        None => format!("none of {} nodes stored it", report.asked),
    };
    Failure::new(ExitCode::Unreachable, "E_NOT_STORED", message)
        .hint("try again; with 302 a newer version is stored, and --seq names a higher one")
}

fn open_key(file: &Path) -> Result<peerage_net::identity::Identity, Failure> {
    identity::kept_at(file).map_err(|error| match error {
        identity::IdentityError::File { ref source, .. } => io_failure(&file.display().to_string(), source),
        error => Failure::new(ExitCode::Usage, "E_KEY", error.to_string()),
    })
}

/// A hash of 20 bytes, or a public key of 32.
fn target(request: &DhtGet) -> Result<Id, Failure> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(request.target.as_bytes()).unwrap_or_default();
    if let Ok(hash) = <[u8; 20]>::try_from(bytes.as_slice()) {
        return Ok(Key(hash));
    }
    <[u8; 32]>::try_from(bytes.as_slice())
        .map(|key| Item::mutable_target(&key, request.salt.as_bytes()))
        .map_err(|_| {
            Failure::new(ExitCode::Usage, "E_USAGE", "this is neither a hash nor a public key")
                .hint("40 hexadecimal digits, as `peerage dht put` prints them, or 64 for a key")
        })
}

/// What a value says, where it is a text.
fn text_of(value: &[u8]) -> Option<String> {
    let document = bencode::decode(value, Limits::MESSAGE).ok()?;
    String::from_utf8(document.root().as_bytes()?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hashes_or_keys() {
        let request = |target: &str, salt: &str| DhtGet { target: target.to_owned(), salt: salt.to_owned() };
        // BEP 46's second vector: this key, with the salt "n".
        let key = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";
        let place = "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f";
        assert_eq!(target(&request(key, "n")).unwrap().to_string(), place);
        assert_eq!(target(&request(&place.to_uppercase(), "")).unwrap().to_string(), place);
        for wrong in ["", "xyz", &place[1..], &key[2..]] {
            assert_eq!(target(&request(wrong, "")).unwrap_err().exit, 2, "{wrong}");
        }
    }

    #[test]
    fn only_texts_are_shown_as_texts() {
        assert_eq!(text_of(b"5:hello").as_deref(), Some("hello"));
        assert_eq!(text_of(b"2:\xff\xfe"), None);
        assert_eq!(text_of(b"i5e"), None);
    }
}
