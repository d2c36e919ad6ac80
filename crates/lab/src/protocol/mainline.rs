//! The mainline DHT: each node is the very machine that `peerage share` runs, with its real datagrams.
//!
//! It is heavy (tens of kilobytes a node): for networks of up to some ten thousand nodes. It cannot be built at once,
//! since a table of it holds only nodes that have answered: nodes join one after the other.

use super::{Info, Protocol, addr_of, node_at};
use crate::scenario::{Scenario, ScenarioError};
use crate::sim::{Context, Outcome, Role};
use crate::workload::Objects;
use crate::{NodeId, ObjectId, SearchId};
use peerage_base::{Instant, Key, Rng};
use peerage_overlay::mainline::{Config, Dht, Local, LookupId, Output};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What people are told.
pub const INFO: Info = Info {
    name: "mainline",
    about: "the DHT of BitTorrent (BEP 5), by the very machine that peerage share runs",
    text: "A Kademlia of 160-bit keys over UDP, in which BitTorrent clients find who has a torrent. Keys are bound to \
addresses (BEP 42), so that nobody chooses where in the keyspace he is. A node announces a torrent to the nodes closest \
to its infohash, which keep the address for half an hour; a look-up goes along four disjoint paths and ends for its \
user with the first peers.\n\n\
In the lab, objects are torrents: their holders announce them, and a search succeeds when it is told the address of a \
holder. Without objects a search looks for the nodes closest to a random key, and succeeds when eight answered.",
    settings: &[
        ("paths", "4", "disjoint paths of a look-up"),
        ("alpha", "4", "questions on the way at once, for each path"),
        ("enforce_ids", "true", "keys must fit addresses (BEP 42)"),
    ],
};

/// The scenario's `[settings]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`INFO`].
    pub paths: usize,
    /// See [`INFO`].
    pub alpha: usize,
    /// See [`INFO`].
    pub enforce_ids: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { paths: 4, alpha: 4, enforce_ids: true }
    }
}

/// What all nodes share.
#[derive(Debug)]
pub struct Mainline {
    config: Config,
    holders: BTreeMap<u32, Vec<NodeId>>,
    /// Objects are announced at the start of the workload.
    objects: bool,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    dht: Dht,
    searches: BTreeMap<LookupId, Under>,
    /// What it will announce as soon as it is driven.
    announces: Vec<u32>,
}

/// A search under way.
#[derive(Clone, Copy, Debug)]
struct Under {
    search: SearchId,
    object: u32,
    asked_before: u64,
}

/// The infohash of an object.
fn hash_of(object: u32) -> Key<20> {
    super::kademlia::key_of(ObjectId(object))
}

impl Mainline {
    /// The one way from the machine to the network.
    fn drain(&self, node: &mut Node, cx: &mut Context<'_>) {
        // Questions of the only look-up under way are its own; with several they cannot be told apart.
        let only = (node.searches.len() == 1)
            .then(|| node.searches.values().next().map(|under| under.search))
            .flatten();
        while let Some(output) = node.dht.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    if let Some(to) = node_at(to) {
                        cx.send(to, bytes, only);
                    }
                }
                Output::Peers { lookup, addrs } => {
                    let Some(under) = node.searches.get(&lookup) else { continue };
                    let holders = self.holders.get(&under.object);
                    let right = |addr: &std::net::SocketAddr| {
                        node_at(*addr)
                            .is_some_and(|peer| holders.is_some_and(|holders| holders.contains(&peer)))
                    };
                    if addrs.iter().any(right) {
                        let hops = (node.dht.stats().asked - under.asked_before).min(255) as u32;
                        cx.done(under.search, Outcome { success: true, hops });
                    }
                }
                Output::Done { lookup, report } => {
                    if let Some(under) = node.searches.remove(&lookup) {
                        let success = !self.objects && report.closest.len() >= 8;
                        cx.done(under.search, Outcome { success, hops: report.asked as u32 });
                    }
                }
                Output::Item { .. } | Output::Samples { .. } | Output::Address(_) => {}
            }
        }
    }

    fn machine(&self, id: NodeId, rng: &mut Rng) -> Dht {
        Dht::new(self.config.clone(), Local { external: vec![addr_of(id).ip()] }, rng.fork())
    }
}

impl Protocol for Mainline {
    type Node = Node;

    const NOTE: &'static str =
        "hops are the questions that were asked until the result: the machine does not tell steps";

    fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
        let settings: Settings = scenario.settings()?;
        for (key, value) in [("paths", settings.paths), ("alpha", settings.alpha)] {
            if !(1..=16).contains(&value) {
                return Err(
                    scenario.problem(&format!("settings.{key}"), format!("{value} is not between 1 and 16"))
                );
            }
        }
        Ok(())
    }

    fn new(scenario: &Scenario, _: &mut [Role], _: &mut Rng) -> Result<Self, ScenarioError> {
        let settings: Settings = scenario.settings()?;
        let mut config = Config { enforce_ids: settings.enforce_ids, ..Config::default() };
        config.lookup.paths = settings.paths;
        config.lookup.alpha = settings.alpha;
        Ok(Self { config, holders: BTreeMap::new(), objects: scenario.workload.objects > 0 })
    }

    fn node(&mut self, id: NodeId, rng: &mut Rng) -> Node {
        Node { id, dht: self.machine(id, rng), searches: BTreeMap::new(), announces: Vec::new() }
    }

    fn place(&mut self, nodes: &mut [Node], objects: &Objects, online: &[bool], rng: &mut Rng) {
        let there: Vec<usize> = (0..online.len()).filter(|index| online[*index]).collect();
        for object in 0..objects.len() {
            for _ in 0..objects.copies(object) {
                let Some(index) = rng.choose(&there).copied() else { return };
                nodes[index].announces.push(object as u32);
                self.holders.entry(object as u32).or_default().push(NodeId(index as u32));
            }
        }
    }

    fn join(&mut self, node: &mut Node, cx: &mut Context<'_>, known: &[NodeId]) {
        node.dht = self.machine(node.id, cx.rng());
        node.searches.clear();
        node.dht.bootstrap(cx.now(), known.iter().map(|node| addr_of(*node)));
        self.drain(node, cx);
    }

    fn handle_message(&mut self, node: &mut Node, cx: &mut Context<'_>, from: NodeId, frame: &[u8]) {
        node.dht.handle_datagram(cx.now(), addr_of(from), frame);
        self.drain(node, cx);
    }

    fn handle_timeout(&mut self, node: &mut Node, cx: &mut Context<'_>) {
        node.dht.handle_timeout(cx.now());
        for object in std::mem::take(&mut node.announces) {
            node.dht.announce(cx.now(), hash_of(object), None, true);
        }
        self.drain(node, cx);
    }

    fn poll_timeout(&self, node: &Node) -> Option<Instant> {
        node.dht.poll_timeout().map(|(at, _)| at)
    }

    fn search(&mut self, node: &mut Node, cx: &mut Context<'_>, search: SearchId, object: ObjectId) {
        let asked_before = node.dht.stats().asked;
        let key = hash_of(object.0);
        let lookup = if self.objects {
            node.dht.get_peers(cx.now(), key, false)
        } else {
            node.dht.find_node(cx.now(), key)
        };
        node.searches.insert(lookup, Under { search, object: object.0, asked_before });
        self.drain(node, cx);
    }

    fn neighbours(&self, node: &Node) -> Vec<NodeId> {
        node.dht.nodes(false).filter_map(|known| node_at(known.addr)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::run::{Inputs, run};
    use crate::scenario::Scenario;

    const TEXT: &str = "protocol = \"mainline\"\nnodes = 150\nstart = \"joined\"\njoin_s = 30\nsettle_s = 60\n\
[workload]\nsearches = 100\nobjects = 20\ncopies = 3\nstart_s = 30\nover_s = 20\n";

    #[test]
    fn torrents_that_were_announced_are_found() {
        let run = || {
            let scenario = Scenario::parse("test", TEXT).unwrap();
            run(&scenario, Inputs::default(), &mut |_| true).unwrap()
        };
        let report = run();
        assert!(report.figure("success") >= 0.98, "{}", report.figure("success"));
        assert!(report.figure("latency_p50_ms") < 600.0, "{}", report.figure("latency_p50_ms"));
        assert_eq!(report.trace_hash, run().trace_hash);
    }
}
