//! The search machines of [`peerage_overlay::search`] in the lab: what their six adapters have in common.
//!
//! Objects are published by their holders, again after each absence. A search succeeds when it is told of a holder
//! that really has the object and is there. Frames carry a transaction or the number of a query: by that, whoever sends
//! one charges the search that it is for.

use super::{Info, Protocol, addr_of, node_at};
use crate::scenario::{Scenario, ScenarioError};
use crate::sim::{Context, Outcome, Role};
use crate::workload::Objects;
use crate::{NodeId, ObjectId, SearchId};
use peerage_base::{Duration, Instant, Key, Rng};
use peerage_overlay::search::{self, Local, Machine, Output};
use peerage_wire::overlay::{Frame, chord, flooding, gia, pastry, superpeer, walk};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

/// A newcomer publishes what it has after this time: it has neighbours by then.
const PUBLISH_AFTER: Duration = Duration::from_secs(15);

/// One of the protocols: its settings, and a machine by them.
pub trait Kind {
    /// What people are told.
    const INFO: Info;
    /// The scenario's `[settings]`.
    type Settings: DeserializeOwned + Default + Clone;
    /// Settings with their values and the ranges that they must be in.
    fn ranges(settings: &Self::Settings) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)>;
    /// A machine that knows nobody.
    fn machine(settings: &Self::Settings, local: Local, rng: Rng) -> Machine;
}

/// What all nodes share.
#[derive(Debug)]
pub struct Searching<K: Kind> {
    settings: K::Settings,
    /// By transaction or query: which search it is for.
    accounts: BTreeMap<u64, SearchId>,
    /// Who has what: the truth.
    holders: BTreeSet<(u32, NodeId)>,
    kind: PhantomData<K>,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    machine: Machine,
    searches: BTreeMap<search::SearchId, (SearchId, ObjectId)>,
    /// Objects that it has, there or not.
    holds: BTreeSet<u32>,
    publish_at: Option<Instant>,
}

/// The key of an object.
fn key_of(object: u32) -> Key<20> {
    super::kademlia::key_of(ObjectId(object))
}

/// What a node can carry, by the classes of Gia (SIGCOMM 2003, table 1): 1, 10, 100, 1,000 and 10,000 for 20, 45, 30,
/// 4.9 and 0.1 % of nodes. The same for a node each time.
fn capacity(id: NodeId) -> u32 {
    match Rng::from_number(u64::from(id.0) | 1 << 40).below(1000) {
        0..200 => 1,
        200..650 => 10,
        650..950 => 100,
        950..999 => 1_000,
        _ => 10_000,
    }
}

/// The number by which a frame's search is known.
fn account(frame: &Frame) -> Option<u64> {
    match frame {
        Frame::Chord(
            chord::Message::Find { transaction, .. }
            | chord::Message::Nodes { transaction, .. }
            | chord::Message::Get { transaction, .. }
            | chord::Message::Holders { transaction, .. },
        ) => Some(u64::from(*transaction)),
        Frame::Pastry(
            pastry::Message::Route { transaction, .. }
            | pastry::Message::Hops { transaction, .. }
            | pastry::Message::Leaves { transaction }
            | pastry::Message::Nodes { transaction, .. }
            | pastry::Message::Get { transaction, .. }
            | pastry::Message::Holders { transaction, .. },
        ) => Some(u64::from(*transaction)),
        Frame::Flooding(flooding::Message::Query { guid, .. } | flooding::Message::Hit { guid, .. }) => {
            Some(*guid)
        }
        Frame::Walk(
            walk::Message::Query { guid, .. }
            | walk::Message::Check { guid, .. }
            | walk::Message::Go { guid, .. }
            | walk::Message::Hit { guid, .. },
        ) => Some(*guid),
        Frame::Superpeer(superpeer::Message::Query { guid, .. } | superpeer::Message::Hit { guid, .. }) => {
            Some(*guid)
        }
        Frame::Gia(gia::Message::Query { guid, .. } | gia::Message::Hit { guid, .. }) => Some(*guid),
        _ => None,
    }
}

impl<K: Kind> Searching<K> {
    fn machine(&self, id: NodeId, rng: &mut Rng) -> Machine {
        let local = Local { id: Key::random(rng), addr: addr_of(id), capacity: capacity(id) };
        K::machine(&self.settings, local, rng.fork())
    }

    /// The one way from the machine to the network.
    fn drain(&mut self, node: &mut Node, cx: &mut Context<'_>) {
        while let Some(output) = node.machine.poll_output() {
            match output {
                Output::Send { to, bytes, search } => {
                    let Some(to) = node_at(to) else { continue };
                    let number = Frame::decode(&bytes).ok().as_ref().and_then(account);
                    let own = search.and_then(|search| node.searches.get(&search)).map(|(search, _)| *search);
                    if let (Some(number), Some(own)) = (number, own) {
                        self.accounts.insert(number, own);
                    }
                    let charged = own.or_else(|| self.accounts.get(&number?).copied());
                    cx.send(to, bytes, charged);
                }
                Output::Found { search, report } => {
                    let Some((search, object)) = node.searches.remove(&search) else { continue };
                    let holders = report.holders.iter().filter_map(|addr| node_at(*addr));
                    let success = holders
                        .into_iter()
                        .any(|holder| cx.is_online(holder) && self.holders.contains(&(object.0, holder)));
                    cx.done(search, Outcome { success, hops: report.hops });
                }
                Output::NotFound { search, report } => {
                    if let Some((search, _)) = node.searches.remove(&search) {
                        cx.done(search, Outcome { success: false, hops: report.hops });
                    }
                }
                Output::Published { .. } | Output::Closest { .. } => {}
            }
        }
    }

    fn publish(node: &mut Node, now: Instant) {
        node.publish_at = None;
        for object in node.holds.clone() {
            node.machine.publish(now, key_of(object));
        }
    }
}

impl<K: Kind> Protocol for Searching<K> {
    type Node = Node;

    fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
        let settings: K::Settings = scenario.settings()?;
        for (key, value, range) in K::ranges(&settings) {
            if !range.contains(&value) {
                let text = format!("{value} is not between {} and {}", range.start(), range.end());
                return Err(scenario.problem(&format!("settings.{key}"), text));
            }
        }
        if scenario.workload.objects == 0 {
            return Err(scenario.problem("workload.objects", "this protocol searches objects: give some"));
        }
        Ok(())
    }

    fn new(scenario: &Scenario, _: &mut [Role], _: &mut Rng) -> Result<Self, ScenarioError> {
        let (accounts, holders) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { settings: scenario.settings()?, accounts, holders, kind: PhantomData })
    }

    fn node(&mut self, id: NodeId, rng: &mut Rng) -> Node {
        let machine = self.machine(id, rng);
        Node { id, machine, searches: BTreeMap::new(), holds: BTreeSet::new(), publish_at: None }
    }

    fn place(&mut self, nodes: &mut [Node], objects: &Objects, online: &[bool], rng: &mut Rng) {
        for (object, index) in objects.deal(online, rng) {
            nodes[index].holds.insert(object);
            nodes[index].publish_at = Some(Instant::ZERO);
            self.holders.insert((object, NodeId(index as u32)));
        }
    }

    fn join(&mut self, node: &mut Node, cx: &mut Context<'_>, known: &[NodeId]) {
        let now = cx.now();
        node.machine = self.machine(node.id, cx.rng());
        node.searches.clear();
        if !node.holds.is_empty() {
            node.publish_at = Some(now + PUBLISH_AFTER);
        }
        if let Machine::Superpeer(superpeer) = &mut node.machine {
            superpeer.start(now);
        }
        for other in known {
            node.machine.join(now, addr_of(*other));
        }
        self.drain(node, cx);
    }

    fn handle_message(&mut self, node: &mut Node, cx: &mut Context<'_>, from: NodeId, frame: &[u8]) {
        node.machine.handle_frame(cx.now(), addr_of(from), frame);
        self.drain(node, cx);
    }

    fn handle_timeout(&mut self, node: &mut Node, cx: &mut Context<'_>) {
        node.machine.handle_timeout(cx.now());
        if node.publish_at.is_some_and(|at| at <= cx.now()) {
            Self::publish(node, cx.now());
        }
        self.drain(node, cx);
    }

    fn poll_timeout(&self, node: &Node) -> Option<Instant> {
        node.machine.poll_timeout().map(|(at, _)| at).into_iter().chain(node.publish_at).min()
    }

    fn search(&mut self, node: &mut Node, cx: &mut Context<'_>, search: SearchId, object: ObjectId) {
        let id = node.machine.search(cx.now(), key_of(object.0));
        node.searches.insert(id, (search, object));
        // The machine's first questions are out already: they are drained with the search known.
        self.drain(node, cx);
    }

    fn neighbours(&self, node: &Node) -> Vec<NodeId> {
        let addrs: BTreeSet<_> = match &node.machine {
            Machine::Chord(chord) => {
                let table = chord.table();
                table.successors().iter().copied().chain(table.fingers()).map(|node| node.addr).collect()
            }
            Machine::Pastry(pastry) => {
                let table = pastry.table();
                table.leaves().chain(table.cells()).map(|node| node.addr).collect()
            }
            Machine::Flooding(flooding) => flooding.neighbours().into_iter().collect(),
            Machine::Walk(walk) => walk.neighbours().into_iter().collect(),
            Machine::Superpeer(superpeer) => superpeer.neighbours().into_iter().collect(),
            Machine::Gia(gia) => gia.neighbours().into_iter().collect(),
        };
        addrs.into_iter().filter_map(node_at).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::run::{Inputs, run};
    use crate::scenario::Scenario;

    fn text(protocol: &str) -> String {
        format!(
            "protocol = \"{protocol}\"\nnodes = 100\nstart = \"joined\"\njoin_s = 60\nsettle_s = 240\n\
             [workload]\nsearches = 100\nobjects = 30\ncopies = 5\nstart_s = 60\nover_s = 60\n"
        )
    }

    #[test]
    fn one_workload_runs_on_each() {
        for protocol in ["chord", "pastry", "flooding", "walk", "superpeer", "gia"] {
            let run = || {
                let scenario = Scenario::parse("test", &text(protocol)).unwrap();
                run(&scenario, Inputs::default(), &mut |_| true).unwrap()
            };
            let report = run();
            assert!(report.figure("success") >= 0.97, "{protocol}: {}", report.figure("success"));
            assert_eq!(report.trace_hash, run().trace_hash, "{protocol}");
        }
    }

    #[test]
    fn wrong_settings_are_told_by_their_key() {
        for (protocol, setting) in
            [("chord", "successors = 0"), ("walk", "walkers = 0"), ("gia", "steps = 9999")]
        {
            let text = format!("{}[settings]\n{setting}\n", text(protocol));
            let problem = Scenario::parse("test", &text).unwrap_err().to_string();
            assert!(problem.contains(setting.split(' ').next().unwrap()), "{problem}");
        }
        let problem = Scenario::parse("test", "protocol = \"gia\"\nnodes = 10\n").unwrap_err().to_string();
        assert!(problem.contains("objects"), "{problem}");
    }
}
