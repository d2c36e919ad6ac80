//! One node: its table, what it keeps, and its look-ups under way.

use super::frame::{self, Body, Message};
use super::{Kademlia, Table, key_of, keyspace};
use crate::sim::{Context, Outcome};
use crate::{NodeId, ObjectId, SearchId};
use peerage_base::{Duration, Instant, Key};
use peerage_overlay::kademlia::{Contact, Lookup, RttEstimate};

/// Look-ups of one node at a time; further searches fail at once.
const LOOKUPS_MAX: usize = 64;

/// Nodes that are asked whether they are there, at a time.
const PINGS_MAX: usize = 8;

/// What a stored value looks like on the wire.
const VALUE: [u8; 32] = *b"a value that is kept in the net.";

/// A node of the network.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    table: Table,
    /// First bits of the keys that it keeps values of.
    kept: Vec<u64>,
    lookups: Vec<Active>,
    questions: Vec<Question>,
    rtt: RttEstimate,
    transaction: u32,
    /// The next bucket to be filled by a look-up after a join.
    refresh: u8,
    pub(super) upkeep_at: Instant,
}

/// A question on the way.
#[derive(Clone, Copy, Debug)]
struct Question {
    to: NodeId,
    /// Who that should be.
    key: Key<20>,
    transaction: u32,
    sent: Instant,
    late_at: Instant,
    /// The look-up's number; `None` for a ping.
    lookup: Option<u32>,
    late: bool,
}

/// A look-up under way.
#[derive(Debug)]
struct Active {
    number: u32,
    /// For whom; `None` for upkeep.
    search: Option<SearchId>,
    get: bool,
    lookup: Lookup<20>,
    /// How many steps away each node is that was named, in the order of the nodes.
    steps: Vec<(NodeId, u8)>,
    /// Who had the value.
    value_from: Option<NodeId>,
}

impl Active {
    fn steps_to(&self, node: NodeId) -> u8 {
        let at = self.steps.binary_search_by_key(&node, |(named, _)| *named).ok();
        at.and_then(|at| self.steps.get(at)).map_or(0, |(_, steps)| *steps)
    }

    fn name(&mut self, node: NodeId, steps: u8) {
        if let Err(at) = self.steps.binary_search_by_key(&node, |(named, _)| *named) {
            self.steps.insert(at, (node, steps));
        }
    }
}

impl Node {
    /// A node that knows nobody; `prefix` is the beginning of its key.
    #[must_use]
    pub fn new(id: NodeId, prefix: u64) -> Self {
        Self {
            id,
            table: Table::new(prefix),
            kept: Vec::new(),
            lookups: Vec::new(),
            questions: Vec::new(),
            rtt: RttEstimate::default(),
            transaction: 0,
            refresh: u8::MAX,
            upkeep_at: Instant::FAR_FUTURE,
        }
    }

    /// Which node it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Whom it knows.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// Keeps a value under this key.
    pub(super) fn keep(&mut self, key: &Key<20>) {
        self.kept.push(keyspace::prefix_of(key));
    }

    /// Begins anew: nothing of before is remembered.
    pub(super) fn join(&mut self, net: &mut Kademlia, cx: &mut Context<'_>, known: &[NodeId]) {
        self.table.clear();
        self.kept.clear();
        self.lookups.clear();
        self.questions.clear();
        self.refresh = 0;
        let upkeep = net.settings().upkeep_s * 1_000_000;
        if upkeep > 0 {
            self.upkeep_at = cx.now() + Duration::from_micros(upkeep / 2 + cx.rng().below(upkeep));
        }
        let own = net.keys().key(self.id);
        let known: Vec<(Contact<20>, bool)> = known.iter().map(|node| (contact(net, *node), false)).collect();
        self.begin(net, cx, None, own, false, &known);
    }

    pub(super) fn search(
        &mut self,
        net: &mut Kademlia,
        cx: &mut Context<'_>,
        search: SearchId,
        object: ObjectId,
    ) {
        // The workload's objects have values; other keys are looked up for the nodes around them.
        let get = net.has_objects();
        let target = key_of(object);
        if get && self.kept.contains(&keyspace::prefix_of(&target)) {
            cx.done(search, Outcome { success: true, hops: 0 });
            return;
        }
        let known = self.known(net, &target);
        self.begin(net, cx, Some(search), target, get, &known);
    }

    fn known(&mut self, net: &mut Kademlia, target: &Key<20>) -> Vec<(Contact<20>, bool)> {
        let mut found = std::mem::take(&mut net.scratch);
        let count = net.settings().k * net.settings().paths;
        self.table.closest(keyspace::prefix_of(target), count, &mut found);
        let known = found.iter().map(|(_, index)| (contact(net, NodeId(*index)), false)).collect();
        net.scratch = found;
        known
    }

    fn begin(
        &mut self,
        net: &mut Kademlia,
        cx: &mut Context<'_>,
        search: Option<SearchId>,
        target: Key<20>,
        get: bool,
        known: &[(Contact<20>, bool)],
    ) {
        if self.lookups.len() >= LOOKUPS_MAX || known.is_empty() {
            if let Some(search) = search {
                cx.done(search, Outcome { success: false, hops: 0 });
            }
            return;
        }
        self.transaction = self.transaction.wrapping_add(1);
        let number = self.transaction;
        let lookup = Lookup::new(target, net.lookup_config(), known, []);
        let mut active = Active { number, search, get, lookup, steps: Vec::new(), value_from: None };
        for (contact, _) in known {
            if let Some(node) = frame::node_at(contact.addr) {
                active.name(node, 1);
            }
        }
        self.lookups.push(active);
        self.go_on(net, cx, self.lookups.len() - 1);
    }

    /// Asks what the look-up wants to ask, and ends it when there is nothing left.
    fn go_on(&mut self, net: &mut Kademlia, cx: &mut Context<'_>, at: usize) {
        let Some(active) = self.lookups.get_mut(at) else { return };
        let target = active.lookup.target();
        if active.value_from.is_none() {
            while let Some(ask) = active.lookup.poll() {
                let Some(to) = frame::node_at(ask.addr) else { continue };
                let body = if active.get { Body::Get(target) } else { Body::Find(target) };
                self.transaction = self.transaction.wrapping_add(1);
                let question = Question {
                    to,
                    key: ask.key.unwrap_or_else(|| net.keys().key(to)),
                    transaction: self.transaction,
                    sent: cx.now(),
                    late_at: cx.now() + self.rtt.late_after(),
                    lookup: Some(active.number),
                    late: false,
                };
                self.questions.push(question);
                send(net, cx, (self.id, to), self.transaction, active.search, body);
            }
            if !active.lookup.is_done() {
                return;
            }
        }
        let active = self.lookups.swap_remove(at);
        match active.search {
            Some(search) => report(net, cx, &active, search),
            None => self.refresh(net, cx),
        }
    }

    /// After a join: a look-up in each bucket, one after the other.
    fn refresh(&mut self, net: &mut Kademlia, cx: &mut Context<'_>) {
        if usize::from(self.refresh) >= self.table.depth() {
            return;
        }
        let own = net.keys().key(self.id);
        let bit = usize::from(self.refresh);
        let target = own.flipped(bit).random_beside(bit + 1, cx.rng());
        self.refresh += 1;
        let known = self.known(net, &target);
        self.begin(net, cx, None, target, false, &known);
    }

    pub(super) fn on_query(
        &mut self,
        net: &mut Kademlia,
        cx: &mut Context<'_>,
        from: NodeId,
        query: &Message<'_>,
    ) {
        let own = net.keys().key(self.id);
        let mut out = cx.buffer();
        match query.body {
            Body::Get(target) if self.kept.contains(&keyspace::prefix_of(&target)) => {
                let Message { transaction, search, .. } = *query;
                frame::encode(
                    &mut out,
                    &Message { transaction, search, key: own, body: Body::Value(&VALUE) },
                );
            }
            Body::Find(target) | Body::Get(target) => {
                let mut found = std::mem::take(&mut net.scratch);
                self.table.closest(keyspace::prefix_of(&target), net.settings().k, &mut found);
                let nodes = found.iter().map(|(_, index)| NodeId(*index));
                let nodes = nodes.filter(|node| *node != from).map(|node| (net.keys().key(node), node));
                frame::encode_nodes(&mut out, query.transaction, query.search, &own, nodes);
                net.scratch = found;
            }
            _ => frame::encode_nodes(&mut out, query.transaction, query.search, &own, std::iter::empty()),
        }
        cx.send(from, out, query.search);
        // Who asks is known once it has answered.
        let prefix = keyspace::prefix_of(&query.key);
        if self.table.wants(prefix, from.0, net.settings().k) {
            self.ping(net, cx, from);
        }
    }

    fn ping(&mut self, net: &mut Kademlia, cx: &mut Context<'_>, to: NodeId) {
        let pings = self.questions.iter().filter(|question| question.lookup.is_none());
        if pings.clone().count() >= PINGS_MAX || pings.clone().any(|question| question.to == to) {
            return;
        }
        self.transaction = self.transaction.wrapping_add(1);
        let (transaction, sent) = (self.transaction, cx.now());
        let key = net.keys().key(to);
        self.questions.push(Question { to, key, transaction, sent, late_at: sent, lookup: None, late: true });
        send(net, cx, (self.id, to), transaction, None, Body::Ping);
    }

    pub(super) fn on_answer(
        &mut self,
        net: &mut Kademlia,
        cx: &mut Context<'_>,
        from: NodeId,
        answer: &Message<'_>,
    ) {
        let awaited = |question: &Question| {
            (question.to, question.transaction, question.key) == (from, answer.transaction, answer.key)
        };
        let Some(at) = self.questions.iter().position(awaited) else { return };
        let question = self.questions.swap_remove(at);
        self.rtt.add(cx.now().since(question.sent));
        // A key that does not fit the address enters no table: what BEP 42 checks in the mainline DHT.
        if answer.key == net.keys().key(from) {
            self.table.confirm(cx.now(), keyspace::prefix_of(&answer.key), from.0, net.settings().k);
        }
        let wanted = |active: &Active| Some(active.number) == question.lookup;
        let Some(at) = self.lookups.iter().position(wanted) else { return };
        let Some(active) = self.lookups.get_mut(at) else { return };
        let steps = active.steps_to(from).saturating_add(1);
        let sender = Contact { key: answer.key, addr: frame::addr_of(from) };
        match answer.body {
            Body::Value(_) => active.value_from = Some(from),
            Body::Nodes(contacts) => {
                let others = contacts.iter().filter(|(_, node)| *node != self.id);
                others.clone().for_each(|(_, node)| active.name(node, steps));
                // A key can be checked against its address, as BEP 42 does; a liar cannot choose it then.
                let check = net.settings().check_keys;
                let suspect = |key: &Key<20>, node: NodeId| check && *key != net.keys().key(node);
                let named = others
                    .map(|(key, node)| (Contact { key, addr: frame::addr_of(node) }, suspect(&key, node)));
                active.lookup.answer(sender, suspect(&answer.key, from), named);
            }
            _ => return,
        }
        self.go_on(net, cx, at);
    }

    pub(super) fn on_timeout(&mut self, net: &mut Kademlia, cx: &mut Context<'_>) {
        let now = cx.now();
        let timeout = Duration::from_millis(net.settings().timeout_ms);
        let mut at = 0;
        let mut touched = Vec::new();
        while at < self.questions.len() {
            let question = &mut self.questions[at];
            let addr = frame::addr_of(question.to);
            let number = question.lookup;
            let active = self.lookups.iter_mut().find(|active| Some(active.number) == number);
            if now >= question.sent + timeout {
                if let Some(active) = active {
                    active.lookup.fail(addr);
                }
                let prefix = net.keys().prefix(question.to);
                self.table.fail(prefix, question.to.0);
                touched.extend(number);
                self.questions.swap_remove(at);
                continue;
            }
            if !question.late && now >= question.late_at {
                question.late = true;
                if let Some(active) = active {
                    active.lookup.late(addr);
                }
                touched.extend(number);
            }
            at += 1;
        }
        for number in touched {
            if let Some(at) = self.lookups.iter().position(|active| active.number == number) {
                self.go_on(net, cx, at);
            }
        }
        if now >= self.upkeep_at {
            let upkeep = Duration::from_secs(net.settings().upkeep_s.max(1));
            self.upkeep_at = now + upkeep;
            if let Some(stalest) = self.table.stalest() {
                self.ping(net, cx, NodeId(stalest.index));
            }
        }
    }

    /// When something is late, has failed, or is due.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        let due =
            |question: &Question| if question.late { question.sent + timeout } else { question.late_at };
        let first = self.questions.iter().map(due).min().unwrap_or(Instant::FAR_FUTURE);
        Some(first.min(self.upkeep_at)).filter(|at| *at < Instant::FAR_FUTURE)
    }
}

fn contact(net: &Kademlia, node: NodeId) -> Contact<20> {
    Contact { key: net.keys().key(node), addr: frame::addr_of(node) }
}

fn send(
    net: &Kademlia,
    cx: &mut Context<'_>,
    (from, to): (NodeId, NodeId),
    transaction: u32,
    search: Option<SearchId>,
    body: Body<'_>,
) {
    let mut out = cx.buffer();
    frame::encode(&mut out, &Message { transaction, search, key: net.keys().key(from), body });
    cx.send(to, out, search);
}

/// A search's look-up ended: a value is right; a look-up for nodes is right when the closest honest node that is
/// there is among those found.
fn report(net: &Kademlia, cx: &mut Context<'_>, active: &Active, search: SearchId) {
    if active.get {
        let hops = active.value_from.map_or(0, |node| active.steps_to(node));
        cx.done(search, Outcome { success: active.value_from.is_some(), hops: u32::from(hops) });
        return;
    }
    let target = active.lookup.target();
    let me = cx.me();
    let fits = |index: usize| {
        let node = NodeId(index as u32);
        node != me && cx.is_online(node) && cx.is_honest(node)
    };
    let closest = net.keys().closest(&target, 1, fits).first().copied();
    let found = active.lookup.closest(net.settings().k);
    let found =
        closest.filter(|closest| found.iter().any(|contact| contact.addr == frame::addr_of(*closest)));
    let hops = found.map_or(0, |node| active.steps_to(node));
    cx.done(search, Outcome { success: found.is_some(), hops: u32::from(hops) });
}
