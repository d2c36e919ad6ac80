//! A central index, as Napster had (1999): node 0 is the server, to which all others say what they have.
//!
//! There is nothing to be learned from its frames, so that they are the lab's own, big-endian:
//!
//! ```text
//! 1 have      keys (20 each)
//! 2 find      search (4)  key (20)
//! 3 holders   search (4)  nodes (4 each)
//! ```

use super::kademlia::key_of;
use super::{Info, Protocol};
use crate::scenario::{Scenario, ScenarioError};
use crate::sim::{Context, Outcome, Role};
use crate::workload::Objects;
use crate::{NodeId, ObjectId, SearchId};
use peerage_base::{Duration, Instant, Key, Rng};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What people are told.
pub const INFO: Info = Info {
    name: "central",
    about: "a central index: one server knows who has what, the peers have the files",
    text: "Every node tells one server what it has, and says so again each minute. Whoever searches asks the server, \
and is told who has it; the file itself goes from peer to peer.\n\n\
A search costs a question and an answer, whatever the size of the network, and finds all there is. All of it hangs on \
one machine: its load grows with the network, and when it is switched off nothing is found any more.",
    settings: &[
        ("server_fails_s", "0", "the server is switched off at this virtual second; 0: never"),
        ("answer", "20", "holders that an answer names, at most"),
    ],
};

/// The server.
const SERVER: NodeId = NodeId(0);
/// Nodes say in this rhythm what they have.
const REPORT: Duration = Duration::from_secs(60);
/// Who has not said so for so long is forgotten.
const FORGET: Duration = Duration::from_secs(150);
/// A question is asked again after this time.
const AGAIN: Duration = Duration::from_secs(2);
/// Questions for one search, at most.
const QUESTIONS_MAX: u32 = 3;
/// Keys of one frame, at most: a node that has more names its first.
const KEYS_MAX: usize = 1000;

const HAVE: u8 = 1;
const FIND: u8 = 2;
const HOLDERS: u8 = 3;

/// The scenario's `[settings]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// See [`INFO`].
    pub server_fails_s: u64,
    /// See [`INFO`].
    pub answer: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { server_fails_s: 0, answer: 20 }
    }
}

impl Settings {
    fn of(scenario: &Scenario) -> Result<Self, ScenarioError> {
        let settings: Self = scenario.settings()?;
        if !(1..=100).contains(&settings.answer) {
            let text = format!("{} is not between 1 and 100", settings.answer);
            return Err(scenario.problem("settings.answer", text));
        }
        if scenario.workload.objects == 0 {
            return Err(scenario.problem("workload.objects", "this protocol searches objects: give some"));
        }
        Ok(settings)
    }
}

/// What all nodes share.
#[derive(Debug)]
pub struct Central {
    settings: Settings,
    /// Who has what: the truth.
    holders: BTreeSet<(u32, NodeId)>,
}

/// A node, the server among them.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    holds: BTreeSet<u32>,
    report_at: Option<Instant>,
    questions: Vec<Question>,
    /// The server's: by key and node, when it was said.
    index: BTreeMap<(Key<20>, NodeId), Instant>,
}

/// A search that the server has not answered yet.
#[derive(Clone, Copy, Debug)]
struct Question {
    search: SearchId,
    object: ObjectId,
    asked: u32,
    again_at: Instant,
}

/// The search and the rest of a frame about one.
fn of_search(bytes: &[u8]) -> Option<(SearchId, &[u8])> {
    let (search, rest) = bytes.split_first_chunk::<4>()?;
    Some((SearchId(u32::from_be_bytes(*search)), rest))
}

impl Central {
    fn is_off(&self, now: Instant) -> bool {
        let off = self.settings.server_fails_s;
        off > 0 && now >= Instant::ZERO + Duration::from_secs(off)
    }

    fn report(node: &mut Node, cx: &mut Context<'_>) {
        node.report_at = Some(cx.now() + REPORT);
        if node.holds.is_empty() || node.id == SERVER {
            return;
        }
        let mut out = cx.buffer();
        out.push(HAVE);
        for object in node.holds.iter().take(KEYS_MAX) {
            out.extend_from_slice(&key_of(ObjectId(*object)).0);
        }
        cx.send(SERVER, out, None);
    }

    fn ask(cx: &mut Context<'_>, search: SearchId, object: ObjectId) {
        let mut out = cx.buffer();
        out.push(FIND);
        out.extend_from_slice(&search.0.to_be_bytes());
        out.extend_from_slice(&key_of(object).0);
        cx.send(SERVER, out, Some(search));
    }

    /// Those that have said that they have it, a random part of them where they are many.
    fn known(&self, server: &mut Node, cx: &mut Context<'_>, key: Key<20>) -> Vec<NodeId> {
        let range = (key, NodeId(0))..=(key, NodeId(u32::MAX));
        let now = cx.now();
        let (fresh, old): (Vec<_>, Vec<_>) = server
            .index
            .range(range)
            .map(|(of, said)| (of.1, *said))
            .partition(|(_, said)| *said + FORGET > now);
        for (node, _) in old {
            server.index.remove(&(key, node));
        }
        let mut nodes: Vec<NodeId> = fresh.into_iter().map(|(node, _)| node).collect();
        cx.rng().shuffle(&mut nodes);
        nodes.truncate(self.settings.answer);
        nodes
    }

    fn on_find(&self, server: &mut Node, cx: &mut Context<'_>, from: NodeId, search: SearchId, key: Key<20>) {
        let own = server.holds.iter().any(|object| key_of(ObjectId(*object)) == key);
        let mut nodes = self.known(server, cx, key);
        nodes.extend(own.then_some(SERVER));
        let mut out = cx.buffer();
        out.push(HOLDERS);
        out.extend_from_slice(&search.0.to_be_bytes());
        nodes.iter().for_each(|node| out.extend_from_slice(&node.0.to_be_bytes()));
        cx.send(from, out, Some(search));
    }

    fn on_holders(&self, node: &mut Node, cx: &mut Context<'_>, search: SearchId, named: &[u8]) {
        let Some(at) = node.questions.iter().position(|question| question.search == search) else { return };
        let object = node.questions.swap_remove(at).object;
        let has = |holder: &[u8; 4]| {
            let holder = NodeId(u32::from_be_bytes(*holder));
            cx.is_online(holder) && self.holders.contains(&(object.0, holder))
        };
        let success = named.as_chunks::<4>().0.iter().any(has);
        cx.done(search, Outcome { success, hops: 1 });
    }
}

impl Protocol for Central {
    type Node = Node;

    fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
        Settings::of(scenario).map(|_| ())
    }

    fn new(scenario: &Scenario, roles: &mut [Role], _: &mut Rng) -> Result<Self, ScenarioError> {
        // Attackers are peers: the server's own fault has a setting.
        if let Some(honest) = roles.iter().position(|role| *role == Role::Honest) {
            roles.swap(0, honest);
        }
        Ok(Self { settings: Settings::of(scenario)?, holders: BTreeSet::new() })
    }

    fn node(&mut self, id: NodeId, _: &mut Rng) -> Node {
        Node { id, holds: BTreeSet::new(), report_at: None, questions: Vec::new(), index: BTreeMap::new() }
    }

    fn fill(&mut self, nodes: &mut [Node], _: &[bool], rng: &mut Rng) -> bool {
        for node in nodes {
            node.report_at = Some(Instant::from_micros(rng.below(REPORT.as_micros() as u64)));
        }
        true
    }

    fn place(&mut self, nodes: &mut [Node], objects: &Objects, online: &[bool], rng: &mut Rng) {
        for (object, index) in objects.deal(online, rng) {
            let holder = NodeId(index as u32);
            self.holders.insert((object, holder));
            nodes[index].holds.insert(object);
            // The network stands: the server knows already.
            if let Some(at) = nodes[index].report_at {
                nodes[SERVER.index()].index.insert((key_of(ObjectId(object)), holder), at);
            }
        }
    }

    fn join(&mut self, node: &mut Node, cx: &mut Context<'_>, _: &[NodeId]) {
        node.questions.clear();
        node.index.clear();
        Self::report(node, cx);
    }

    fn handle_message(&mut self, node: &mut Node, cx: &mut Context<'_>, from: NodeId, frame: &[u8]) {
        let Some((kind, rest)) = frame.split_first() else { return };
        if node.id == SERVER && self.is_off(cx.now()) {
            return;
        }
        match *kind {
            HAVE if node.id == SERVER => {
                for key in rest.as_chunks::<20>().0.iter().take(KEYS_MAX) {
                    node.index.insert((Key(*key), from), cx.now());
                }
            }
            FIND if node.id == SERVER => {
                let Some((search, key)) = of_search(rest) else { return };
                if let Ok(key) = key.try_into() {
                    self.on_find(node, cx, from, search, Key(key));
                }
            }
            HOLDERS if from == SERVER => {
                let Some((search, named)) = of_search(rest) else { return };
                self.on_holders(node, cx, search, named);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, node: &mut Node, cx: &mut Context<'_>) {
        let now = cx.now();
        if node.report_at.is_some_and(|at| at <= now) {
            Self::report(node, cx);
        }
        node.questions.retain_mut(|question| {
            if question.again_at > now {
                return true;
            }
            if question.asked >= QUESTIONS_MAX {
                cx.done(question.search, Outcome { success: false, hops: 0 });
                return false;
            }
            question.asked += 1;
            question.again_at = now + AGAIN;
            Self::ask(cx, question.search, question.object);
            true
        });
    }

    fn poll_timeout(&self, node: &Node) -> Option<Instant> {
        node.questions.iter().map(|question| question.again_at).chain(node.report_at).min()
    }

    fn search(&mut self, node: &mut Node, cx: &mut Context<'_>, search: SearchId, object: ObjectId) {
        if node.holds.contains(&object.0) {
            cx.done(search, Outcome { success: true, hops: 0 });
            return;
        }
        if node.id == SERVER {
            let named = if self.is_off(cx.now()) { Vec::new() } else { self.known(node, cx, key_of(object)) };
            let has = |holder: &NodeId| cx.is_online(*holder) && self.holders.contains(&(object.0, *holder));
            let success = named.iter().any(has);
            cx.done(search, Outcome { success, hops: 0 });
            return;
        }
        node.questions.push(Question { search, object, asked: 1, again_at: cx.now() + AGAIN });
        Self::ask(cx, search, object);
    }

    fn neighbours(&self, node: &Node) -> Vec<NodeId> {
        if node.id == SERVER { Vec::new() } else { vec![SERVER] }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::Report;
    use crate::run::{Inputs, run};
    use crate::scenario::Scenario;

    fn report(more: &str) -> Report {
        with(more, "[workload]\n")
    }

    fn with(more: &str, workload: &str) -> Report {
        let text = format!(
            "protocol = \"central\"\nnodes = 200\n{more}{workload}searches = 200\nobjects = 50\ncopies = 5\nover_s = 100\n"
        );
        let scenario = Scenario::parse("test", &text).unwrap();
        run(&scenario, Inputs::default(), &mut |_| true).unwrap()
    }

    #[test]
    fn a_search_is_a_question_and_an_answer() {
        for start in ["", "start = \"joined\"\nsettle_s = 100\n"] {
            let report = report(start);
            assert_eq!(report.figure("success"), 1.0, "{start}");
            // Some find it at home, some are the server.
            assert!(
                (1.5..=2.0).contains(&report.figure("messages_mean")),
                "{}",
                report.figure("messages_mean")
            );
            assert_eq!(report.figure("hops_max"), 1.0);
        }
    }

    #[test]
    fn nothing_is_found_without_the_server_and_questions_end() {
        let report = report("settings = { server_fails_s = 1 }\n");
        assert!(report.figure("success") < 0.1, "{}", report.figure("success"));
        assert_eq!(report.figure("messages_mean").round(), 3.0);
    }

    #[test]
    fn who_is_gone_is_forgotten_and_who_comes_back_is_known_again() {
        // The server names one holder: would it still name those that are gone, three in ten were wrong. It may itself
        // be one of them, but not each time.
        let settings = "settings = { answer = 1 }\n";
        let fault = "[[fault]]\nkind = \"crash\"\nat_s = 0\nshare = 0.3\n";
        let late = "[workload]\nstart_s = 300\n";
        let found = |seed| with(&format!("seed = {seed}\n{settings}{fault}"), late).figure("success");
        assert!((1..9).map(found).fold(0.0, f64::max) > 0.98);
        assert_eq!(with(&format!("{settings}{fault}for_s = 50\n"), late).figure("success"), 1.0);
    }
}
