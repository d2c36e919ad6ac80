//! Kademlia (Maymounkov and Mazières 2002), compact enough for a million nodes.
//!
//! The look-up is [`overlay::kademlia::Lookup`](peerage_overlay::kademlia::Lookup), the very one of the mainline DHT,
//! with disjoint paths (S/Kademlia) where the scenario wants them. The routing table has the same rules without the
//! limits on networks: contacts that answered, in buckets, old ones first; 16 bytes each. Frames are Peerage's own
//! fixed layout ([`frame`]). [`mainline`](super::mainline) runs the whole DHT of BEP 5 instead.

pub mod frame;
mod keyspace;
mod node;
mod table;
#[cfg(test)]
mod tests;

pub use keyspace::Keyspace;
pub use node::Node;
pub use table::Table;

use super::{Info, Protocol};
use crate::scenario::{AttackKind, Scenario, ScenarioError};
use crate::sim::{Context, Role};
use crate::workload::Objects;
use crate::{NodeId, ObjectId, SearchId};
use peerage_base::{Duration, Instant, Key, Rng};
use peerage_overlay::kademlia::LookupConfig;
use serde::Deserialize;

/// What people are told.
pub const INFO: Info = Info {
    name: "kademlia",
    about: "a structured overlay: the exclusive or of keys is the distance, look-ups halve it with each step",
    text: "Every node has a random key. The distance of two keys is their exclusive or, read as a number. A node \
keeps, for each number of first bits that another key can share with its own, a bucket of up to k contacts: many of \
the far half of the keyspace in one bucket, few of its own corner in many.\n\n\
To find the nodes closest to a key, a node asks the alpha closest contacts it knows; each names the k closest that it \
knows, and the closest of all those are asked next, until the closest k have answered. Each step gains at least one \
bit, so that a network of n nodes needs about log2(n) / log2(k) steps, all chosen and watched by the searching node.\n\n\
With several disjoint paths (S/Kademlia) each node is asked by one path, and what it says counts for that path alone: \
a liar spoils one path. Objects are kept by the nodes closest to their key.",
    settings: &[
        ("k", "8", "contacts in a bucket, and nodes that a look-up ends with"),
        ("alpha", "3", "questions on the way at once, for each path"),
        ("paths", "1", "disjoint paths of a look-up"),
        ("asked_max", "256", "questions of a look-up, at most"),
        ("timeout_ms", "2000", "a question has failed after this time"),
        ("check_keys", "true", "a key must fit its address (BEP 42); those that do not are asked last"),
        ("upkeep_s", "0", "time between two looks at the oldest contact; 0: none"),
    ],
};

/// The scenario's `[settings]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`INFO`].
    pub k: usize,
    /// See [`INFO`].
    pub alpha: usize,
    /// See [`INFO`].
    pub paths: usize,
    /// See [`INFO`].
    pub asked_max: usize,
    /// See [`INFO`].
    pub timeout_ms: u64,
    /// See [`INFO`].
    pub check_keys: bool,
    /// See [`INFO`].
    pub upkeep_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { k: 8, alpha: 3, paths: 1, asked_max: 256, timeout_ms: 2000, check_keys: true, upkeep_s: 0 }
    }
}

impl Settings {
    fn of(scenario: &Scenario) -> Result<Self, ScenarioError> {
        let settings: Self = scenario.settings()?;
        let ranges = [
            ("k", settings.k, 1..=32),
            ("alpha", settings.alpha, 1..=64),
            ("paths", settings.paths, 1..=16),
            ("asked_max", settings.asked_max, 1..=10_000),
            ("timeout_ms", settings.timeout_ms as usize, 1..=600_000),
            ("upkeep_s", settings.upkeep_s as usize, 0..=86_400),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                let text = format!("{value} is not between {} and {}", range.start(), range.end());
                return Err(scenario.problem(&format!("settings.{key}"), text));
            }
        }
        Ok(settings)
    }
}

/// What all nodes share.
#[derive(Debug)]
pub struct Kademlia {
    settings: Settings,
    keys: Keyspace,
    /// Whether the workload has objects, or searches are for random keys.
    objects: bool,
    /// Whether liars pretend to be next to whatever is looked up.
    forge: bool,
    /// Room for a frame's contacts.
    scratch: Vec<(u64, u32)>,
}

/// The key under which a liar is next to a target.
fn forged(target: &Key<20>, liar: NodeId) -> Key<20> {
    let mut key = *target;
    if let Some(last) = key.0.last_chunk_mut::<4>() {
        *last = liar.0.to_be_bytes();
    }
    key
}

/// The key of an object.
#[must_use]
pub fn key_of(object: ObjectId) -> Key<20> {
    Key::random(&mut Rng::from_number(u64::from(object.0) | 1 << 32))
}

impl Kademlia {
    pub(crate) fn lookup_config(&self) -> LookupConfig {
        let Settings { k, alpha, paths, asked_max, .. } = self.settings;
        LookupConfig { k, alpha, paths, asked_max, subnet_max: usize::MAX }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn has_objects(&self) -> bool {
        self.objects
    }

    pub(crate) fn keys(&self) -> &Keyspace {
        &self.keys
    }
}

impl Protocol for Kademlia {
    type Node = Node;

    fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
        Settings::of(scenario).map(|_| ())
    }

    fn new(scenario: &Scenario, roles: &mut [Role], rng: &mut Rng) -> Result<Self, ScenarioError> {
        let settings = Settings::of(scenario)?;
        let keys = Keyspace::new(scenario, settings.k, roles, rng);
        let forge = scenario.attack.is_some_and(|attack| attack.kind == AttackKind::Liars);
        Ok(Self { settings, keys, objects: scenario.workload.objects > 0, forge, scratch: Vec::new() })
    }

    fn node(&mut self, id: NodeId, _: &mut Rng) -> Node {
        Node::new(id, self.keys.prefix(id))
    }

    fn fill(&mut self, nodes: &mut [Node], online: &[bool], rng: &mut Rng) -> bool {
        self.keys.fill(nodes, online, self.settings.k, rng);
        let upkeep_us = self.settings.upkeep_s * 1_000_000;
        if upkeep_us > 0 {
            for node in nodes.iter_mut() {
                node.upkeep_at = Instant::from_micros(rng.below(upkeep_us));
            }
        }
        true
    }

    fn place(&mut self, nodes: &mut [Node], objects: &Objects, online: &[bool], _: &mut Rng) {
        for object in 0..objects.len() {
            let key = key_of(ObjectId(object as u32));
            for holder in self.keys.closest(&key, objects.copies(object), |index| online[index]) {
                nodes[holder.index()].keep(&key);
            }
        }
    }

    fn join(&mut self, node: &mut Node, cx: &mut Context<'_>, known: &[NodeId]) {
        node.join(self, cx, known);
    }

    fn handle_message(&mut self, node: &mut Node, cx: &mut Context<'_>, from: NodeId, bytes: &[u8]) {
        let Some(message) = frame::decode(bytes) else { return };
        match message.body {
            frame::Body::Ping | frame::Body::Find(_) | frame::Body::Get(_) => {
                node.on_query(self, cx, from, &message);
            }
            frame::Body::Value(_) | frame::Body::Nodes(_) => node.on_answer(self, cx, from, &message),
        }
    }

    /// Liars have nothing, and name each other: under keys next to whatever is looked up, or, where they have placed
    /// themselves around objects, those of them that are closest.
    fn lie(&mut self, node: &mut Node, cx: &mut Context<'_>, from: NodeId, bytes: &[u8]) {
        let Some(message) = frame::decode(bytes) else { return };
        let target = match message.body {
            frame::Body::Find(target) | frame::Body::Get(target) => Some(target),
            frame::Body::Ping => None,
            frame::Body::Value(_) | frame::Body::Nodes(_) => return,
        };
        let k = self.settings.k;
        let own = self.keys.key(node.id());
        let mut names = vec![own];
        let named: Vec<(Key<20>, NodeId)> = match target {
            Some(target) if self.forge => {
                // It may have been asked under its own key or under one that a liar made up: it answers as both.
                names.push(forged(&target, node.id()));
                let count = cx.liars().len();
                let places: Vec<usize> = (0..k).map(|_| cx.rng().index(count)).collect();
                places.into_iter().map(|at| (forged(&target, cx.liars()[at]), cx.liars()[at])).collect()
            }
            Some(target) => {
                let near = self.keys.closest_liars(cx.liars(), &target, k);
                near.into_iter().map(|liar| (self.keys.key(liar), liar)).collect()
            }
            None => Vec::new(),
        };
        for own in names {
            let mut out = cx.buffer();
            frame::encode_nodes(&mut out, message.transaction, message.search, &own, named.iter().copied());
            cx.send(from, out, message.search);
        }
    }

    fn handle_timeout(&mut self, node: &mut Node, cx: &mut Context<'_>) {
        node.on_timeout(self, cx);
    }

    fn poll_timeout(&self, node: &Node) -> Option<Instant> {
        node.deadline(Duration::from_millis(self.settings.timeout_ms))
    }

    fn search(&mut self, node: &mut Node, cx: &mut Context<'_>, search: SearchId, object: ObjectId) {
        node.search(self, cx, search, object);
    }

    fn neighbours(&self, node: &Node) -> Vec<NodeId> {
        node.table().contacts().map(|contact| NodeId(contact.index)).collect()
    }
}
