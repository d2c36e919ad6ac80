//! Network address translators: who lets whose datagrams in (RFC 4787).
//!
//! Three kinds suffice to tell which pairs meet. The address that a node behind a *strict* NAT shows differs for
//! each other node: what it told one is of no use to another. So a datagram comes in to a node behind a NAT when
//! that node has sent to its sender lately and knew the sender's address for it, and so on in the other direction.

use peerage_base::{Duration, Instant, Rng};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A kind of NAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// None, or one that lets everybody in: endpoint-independent mapping and filtering.
    #[default]
    Open,
    /// Endpoint-independent mapping, address-and-port-dependent filtering.
    Moderate,
    /// Address-and-port-dependent mapping and filtering ("symmetric").
    Strict,
}

/// The shares of nodes behind NATs; the others are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shares {
    /// Of all nodes.
    pub moderate: f64,
    /// Of all nodes.
    pub strict: f64,
}

/// How long a mapping lasts without traffic (RFC 4787 asks for two minutes at least, many have less).
const LIFETIME: Duration = Duration::from_secs(60);

/// Mappings of one node, at most; beyond, the oldest is forgotten, as in a router's full table.
pub const MAPPINGS_MAX: usize = 1024;

/// A way out that lets answers in.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    sent_at: Instant,
    /// The other had sent before: its address for us was known.
    in_reply: bool,
}

/// What a node behind a NAT has sent and got.
#[derive(Clone, Debug, Default)]
struct Router {
    out: BTreeMap<u32, Mapping>,
    /// Who has reached us, and when.
    reached: BTreeMap<u32, Instant>,
}

/// The NATs of a network.
#[derive(Clone, Debug, Default)]
pub struct Nats {
    kinds: Vec<Kind>,
    routers: Vec<Router>,
}

impl Nats {
    /// Nodes with NATs by these shares; nothing is kept where there is none.
    #[must_use]
    pub fn new(nodes: usize, shares: Shares, rng: &mut Rng) -> Self {
        if shares == Shares::default() {
            return Self::default();
        }
        let kind = |unit: f64| match unit {
            unit if unit < shares.strict => Kind::Strict,
            unit if unit < shares.strict + shares.moderate => Kind::Moderate,
            _ => Kind::Open,
        };
        Self::of((0..nodes).map(|_| kind(rng.unit())).collect())
    }

    /// Nodes with these NATs.
    #[must_use]
    pub fn of(kinds: Vec<Kind>) -> Self {
        let routers = vec![Router::default(); kinds.len()];
        Self { kinds, routers }
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// A node's kind.
    #[must_use]
    pub fn kind(&self, node: usize) -> Kind {
        self.kinds.get(node).copied().unwrap_or_default()
    }

    /// A datagram leaves `from` for `to`.
    pub fn sent(&mut self, now: Instant, from: usize, to: usize) {
        let Some(router) = self.routers.get_mut(from) else { return };
        let in_reply = alive(router.reached.get(&(to as u32)).copied(), now);
        let known = router
            .out
            .get(&(to as u32))
            .is_some_and(|mapping| mapping.in_reply && alive(Some(mapping.sent_at), now));
        bound(&mut router.out, now, |mapping| mapping.sent_at);
        router.out.insert(to as u32, Mapping { sent_at: now, in_reply: in_reply || known });
    }

    /// Whether a datagram from `from` comes in at `to`.
    pub fn admits(&mut self, now: Instant, from: usize, to: usize) -> bool {
        if !self.is_active() {
            return true;
        }
        let mapping = |node: usize, other: usize| {
            let mapping = self.routers.get(node)?.out.get(&(other as u32))?;
            alive(Some(mapping.sent_at), now).then_some(*mapping)
        };
        // Our filter: we sent there, to the address that the sender shows us.
        let filter = match (self.kind(to), mapping(to, from)) {
            (Kind::Open, _) => true,
            (_, None) => false,
            (_, Some(mapping)) => self.kind(from) != Kind::Strict || mapping.in_reply,
        };
        // Our address, if it differs for each other: the sender has it from us.
        let heard = || self.routers.get(from).and_then(|router| router.reached.get(&(to as u32)).copied());
        let address = self.kind(to) != Kind::Strict || alive(heard(), now);
        let admitted = filter && address;
        if admitted && let Some(router) = self.routers.get_mut(to) {
            bound(&mut router.reached, now, |at| *at);
            router.reached.insert(from as u32, now);
        }
        admitted
    }
}

fn alive(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.since(at) < LIFETIME)
}

/// Makes room in a table that is full.
fn bound<T>(table: &mut BTreeMap<u32, T>, now: Instant, at: impl Fn(&T) -> Instant) {
    if table.len() < MAPPINGS_MAX {
        return;
    }
    table.retain(|_, entry| alive(Some(at(entry)), now));
    if table.len() >= MAPPINGS_MAX
        && let Some(oldest) = table.iter().min_by_key(|(_, entry)| at(entry)).map(|(node, _)| *node)
    {
        table.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both send to each other, twice, as hole punching does; whether they meet.
    fn punch(a: Kind, b: Kind) -> bool {
        let mut nats = Nats::of(vec![a, b]);
        let mut met = [false; 2];
        for round in 0..4 {
            let now = Instant::from_micros(round * 100_000);
            for (from, to) in [(0, 1), (1, 0)] {
                nats.sent(now, from, to);
                met[to] |= nats.admits(now, from, to);
            }
        }
        met == [true; 2]
    }

    /// papers.md, section 11 (iroh's truth table): of 16 ordered pairs all go direct but three.
    #[test]
    fn exactly_three_pairs_need_a_relay() {
        // "None" and "Open" of that table let everybody in.
        let kinds = [Kind::Open, Kind::Open, Kind::Moderate, Kind::Strict];
        let pairs = kinds.iter().flat_map(|a| kinds.iter().map(move |b| (*a, *b)));
        let relayed: Vec<(Kind, Kind)> = pairs.filter(|(a, b)| !punch(*a, *b)).collect();
        let expected =
            [(Kind::Moderate, Kind::Strict), (Kind::Strict, Kind::Moderate), (Kind::Strict, Kind::Strict)];
        assert_eq!(relayed, expected);
    }

    #[test]
    fn nobody_comes_in_unasked_and_mappings_end() {
        let mut nats = Nats::of(vec![Kind::Open, Kind::Moderate]);
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        assert!(!nats.admits(at(1), 0, 1));
        nats.sent(at(2), 1, 0);
        assert!(nats.admits(at(61), 0, 1));
        assert!(!nats.admits(at(62), 0, 1));
    }

    #[test]
    fn a_routers_table_has_a_maximum() {
        let mut nats = Nats::of(vec![Kind::Moderate; 3000]);
        for other in 1..3000 {
            nats.sent(Instant::from_micros(other as u64), 0, other);
        }
        assert_eq!(nats.routers[0].out.len(), MAPPINGS_MAX);
        assert!(
            nats.admits(Instant::from_micros(3000), 2999, 0)
                && !nats.admits(Instant::from_micros(3000), 1, 0)
        );
    }
}
