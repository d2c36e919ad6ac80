//! What a protocol is to the lab: the narrow adapter through which its machine is driven.
//!
//! **To add a protocol**, write one file below this one with a type that implements [`Protocol`] and an [`Info`],
//! add a line to [`PROTOCOLS`], and a scenario to `scenarios/`. The type holds what all nodes share (settings,
//! ground truth); [`Protocol::Node`] is one participant: usually the protocol's machine and a table of the searches
//! that it has under way. The adapter translates: a [`NodeId`] is an address ([`Context::send`] takes bytes of a real
//! frame), and the machine's outputs are drained to `None` within each call. A machine that names others by socket
//! addresses finds them with [`addr_of`] and [`node_at`].
//!
//! **Whose messages.** What is sent for a search is charged to it: [`Context::send`] takes its id. A protocol whose
//! messages wander (a flood, a walk) carries the [`SearchId`] in its query's identifier, so that whoever passes it on
//! charges the same search.
//!
//! **When it ends.** Whoever has the result calls [`Context::done`], once; later calls are ignored, later messages
//! still count. `success` must be judged by ground truth where an attacker could lie: [`Context::is_online`],
//! [`Context::is_honest`] are there for that, and for nothing else.

pub mod central;
pub mod chord;
pub mod flooding;
pub mod gia;
pub mod kademlia;
pub mod mainline;
pub mod pastry;
pub mod searching;
pub mod superpeer;
pub mod walk;

use crate::NodeId;
use crate::report::Report;
use crate::run::{Inputs, Progress};
use crate::scenario::{Scenario, ScenarioError};
use crate::sim::{Context, Role};
use crate::workload::Objects;
use crate::{ObjectId, SearchId};
use peerage_base::{Instant, Rng};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// A protocol: what its nodes share, and how one of them is driven.
pub trait Protocol: Sized {
    /// One participant.
    type Node;

    /// What readers of its figures must know; empty where there is nothing.
    const NOTE: &'static str = "";

    /// A protocol for a scenario. `roles` says who is honest; a protocol in which attackers choose where they are may
    /// reorder it.
    ///
    /// # Errors
    /// Where the scenario's `[settings]` are wrong.
    fn new(scenario: &Scenario, roles: &mut [Role], rng: &mut Rng) -> Result<Self, ScenarioError>;

    /// Checks the scenario's `[settings]`.
    ///
    /// # Errors
    /// Where they are wrong.
    fn check(scenario: &Scenario) -> Result<(), ScenarioError>;

    /// A participant that knows nobody.
    fn node(&mut self, id: NodeId, rng: &mut Rng) -> Self::Node;

    /// Gives all nodes the tables that a settled network of those online would have; `false` where that cannot be
    /// done, and nodes have to join.
    fn fill(&mut self, _nodes: &mut [Self::Node], _online: &[bool], _rng: &mut Rng) -> bool {
        false
    }

    /// Puts copies of the workload's objects where the protocol would have them.
    fn place(&mut self, _nodes: &mut [Self::Node], _objects: &Objects, _online: &[bool], _rng: &mut Rng) {}

    /// A node begins, knowing these others. Also after it was away: what it keeps of before is the protocol's choice.
    fn join(&mut self, node: &mut Self::Node, cx: &mut Context<'_>, known: &[NodeId]);

    /// A datagram came.
    fn handle_message(&mut self, node: &mut Self::Node, cx: &mut Context<'_>, from: NodeId, frame: &[u8]);

    /// A datagram came to a node that lies. A liar says nothing unless the protocol has lies of its own.
    fn lie(&mut self, _node: &mut Self::Node, _cx: &mut Context<'_>, _from: NodeId, _frame: &[u8]) {}

    /// Time has come to [`Self::poll_timeout`]'s moment, or near it.
    fn handle_timeout(&mut self, node: &mut Self::Node, cx: &mut Context<'_>);

    /// When a node wants to be woken.
    fn poll_timeout(&self, node: &Self::Node) -> Option<Instant>;

    /// A node begins a search; [`Context::done`] ends it.
    fn search(&mut self, node: &mut Self::Node, cx: &mut Context<'_>, search: SearchId, object: ObjectId);

    /// The nodes that a node knows: its part of the overlay's graph.
    fn neighbours(&self, node: &Self::Node) -> Vec<NodeId>;
}

/// What people are told of a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Its name in scenarios.
    pub name: &'static str,
    /// In a line.
    pub about: &'static str,
    /// How it works, in some paragraphs.
    pub text: &'static str,
    /// Its settings: key, default, meaning.
    pub settings: &'static [(&'static str, &'static str, &'static str)],
}

/// Runs a scenario with one protocol.
pub type Runner = fn(&Scenario, Inputs, &mut dyn FnMut(&Progress) -> bool) -> Result<Report, ScenarioError>;

/// A protocol that scenarios can name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What people are told.
    pub info: &'static Info,
    /// Runs it.
    pub run: Runner,
    /// Checks its settings.
    pub check: fn(&Scenario) -> Result<(), ScenarioError>,
}

/// An entry for a protocol.
const fn entry<P: Protocol>(info: &'static Info) -> Entry {
    Entry { info, run: crate::run::simulate::<P>, check: P::check }
}

/// The protocols.
pub const PROTOCOLS: &[Entry] = &[
    entry::<central::Central>(&central::INFO),
    entry::<kademlia::Kademlia>(&kademlia::INFO),
    entry::<mainline::Mainline>(&mainline::INFO),
    entry::<chord::Adapter>(&chord::INFO),
    entry::<pastry::Adapter>(&pastry::INFO),
    entry::<flooding::Adapter>(&flooding::INFO),
    entry::<walk::Adapter>(&walk::INFO),
    entry::<superpeer::Adapter>(&superpeer::INFO),
    entry::<gia::Adapter>(&gia::INFO),
];

/// A protocol by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    PROTOCOLS.iter().find(|entry| entry.info.name == name)
}

/// Spreads neighbours in number over networks; odd, so that it can be undone.
const SPREAD: u32 = 0x9E37_79B1;
/// `SPREAD * UNSPREAD` is 1 in the 22 bits of a network.
const UNSPREAD: u32 = inverse(SPREAD);
/// Networks: /24s from 11.0.0.0 on, where no address is special.
const NETS: u32 = 1 << 22;

const fn inverse(number: u32) -> u32 {
    // Newton's iteration doubles the right bits each time.
    let mut inverse = number;
    let mut round = 0;
    while round < 5 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(number.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

/// A node's socket address: a global one, each in a /24 of its own.
#[must_use]
pub fn addr_of(node: NodeId) -> SocketAddr {
    let net = node.0.wrapping_mul(SPREAD) % NETS;
    let ip = Ipv4Addr::from((11 << 24) + (net << 8) + 7);
    SocketAddrV4::new(ip, 6881).into()
}

/// The node at an address of [`addr_of`], which need not exist; `None` for all other addresses.
#[must_use]
pub fn node_at(addr: SocketAddr) -> Option<NodeId> {
    let SocketAddr::V4(v4) = addr else { return None };
    let net = u32::from(*v4.ip()).checked_sub((11 << 24) + 7)?;
    let known = v4.port() == 6881 && net % 256 == 0 && net >> 8 < NETS;
    known.then_some(NodeId((net >> 8).wrapping_mul(UNSPREAD) % NETS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::addr::{self, Scope};

    #[test]
    fn every_node_has_an_address_of_its_own() {
        for node in (0..10_000).chain([crate::scenario::NODES_MAX as u32 - 1]).map(NodeId) {
            let addr = addr_of(node);
            assert_eq!(node_at(addr), Some(node));
            assert!(matches!(addr::scope(addr.ip()), Scope::Global), "{addr}");
        }
        for other in ["10.0.0.7:6881", "11.0.0.7:1", "11.0.0.8:6881", "[::1]:6881", "75.0.0.7:6881"] {
            assert_eq!(node_at(other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn protocols_are_told_apart_and_explained() {
        for entry in PROTOCOLS {
            assert_eq!(find(entry.info.name).map(|found| found.info.about), Some(entry.info.about));
            assert!(entry.info.text.len() > 200, "{} is explained", entry.info.name);
        }
        assert!(find("none").is_none());
    }
}
