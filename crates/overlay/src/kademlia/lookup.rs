//! Finding the nodes closest to a key.
//!
//! A look-up asks the closest nodes it knows for closer ones, a few at a time, until the closest `k`
//! have answered (Kademlia, section 2.3). With several paths (S/Kademlia, section 4.4) each node is
//! asked by one path, and what it says counts for that path alone: a liar spoils one path.
//!
//! A late answer does not hold a path up: the next closest node is asked, and the late one counts again
//! when it comes. Suspects, whose key does not fit their address (BEP 42), come after all others.
//!
//! **Wide.** When the closest nodes are closer than chance allows, somebody crowds the key. The caller
//! then says [`Lookup::widen`]: all nodes within the radius in which as many are to be expected are
//! asked too, and to find those that the crowd hides, nodes are asked for keys around the target.

mod candidates;

use super::{Contact, subnet};
use candidates::{Candidate, Candidates, Place, tag};
use peerage_base::{Key, Rng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// How a look-up goes.
#[derive(Clone, Debug)]
pub struct LookupConfig {
    /// Closest nodes that must have answered (BEP 5: 8).
    pub k: usize,
    /// Questions on the way per path. Each more costs a message and saves waiting.
    pub alpha: usize,
    /// Disjoint paths. 1 is plain Kademlia. 4 take twice as many messages, are faster, since the fastest
    /// path counts, and withstand a fifth of hostile nodes (S/Kademlia, figure 4).
    pub paths: usize,
    /// Questions altogether; a look-up that needs more ends with what it has.
    pub asked_max: usize,
    /// Nodes of one /24 (IPv6: /64) among the closest that are told.
    pub subnet_max: usize,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self { k: 8, alpha: 4, paths: 4, asked_max: 256, subnet_max: 2 }
    }
}

/// Keys around a crowded target that are asked for.
const EXPLORE_MAX: usize = 32;

/// A question to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<const N: usize> {
    /// To whom.
    pub addr: SocketAddr,
    /// Who that should be, where it is known.
    pub key: Option<Key<N>>,
    /// For which nodes: the target, or a key near it when the crowd is walked around. The latter asks
    /// for nodes only.
    pub target: Key<N>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Late,
    Answered,
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    addr: SocketAddr,
    state: State,
    path: usize,
}

#[derive(Clone, Debug, Default)]
struct Path<const N: usize> {
    candidates: Candidates<N>,
    /// Of how many networks they are: a /24 full of identifiers near the target crowds nobody out.
    subnets: BTreeMap<IpAddr, usize>,
    /// Questions on the way that are not late.
    waiting: usize,
}

/// One look-up.
#[derive(Clone, Debug)]
pub struct Lookup<const N: usize> {
    target: Key<N>,
    config: LookupConfig,
    paths: Vec<Path<N>>,
    /// Addresses without a key, to begin with.
    strangers: VecDeque<SocketAddr>,
    /// In the order in which they were asked.
    asked: Vec<Asked>,
    /// The tags of their addresses, to find them by.
    tags: Vec<u32>,
    /// How many of them have answered, and how many are late.
    answered: usize,
    late: usize,
    /// Hosts asked; one question each, but for those nearby.
    hosts: BTreeSet<IpAddr>,
    /// The path whose turn it is.
    turn: usize,
    wide: Option<Wide<N>>,
}

/// A look-up around a crowd.
#[derive(Clone, Debug)]
struct Wide<const N: usize> {
    radius: Key<N>,
    /// Contacts to ask first, with their path and a key near the target.
    scouts: Vec<(Contact<N>, usize, Key<N>)>,
    /// Keys within the radius still to be asked for.
    explore: Vec<Key<N>>,
    /// On the way.
    exploring: BTreeSet<SocketAddr>,
    /// Asked for a key near the target already.
    explored: BTreeSet<SocketAddr>,
}

impl<const N: usize> Lookup<N> {
    /// A look-up that begins at `contacts`, dealt to the paths in turn, and at `strangers`.
    #[must_use]
    pub fn new(
        target: Key<N>,
        config: LookupConfig,
        contacts: &[(Contact<N>, bool)],
        strangers: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let mut lookup = Self {
            target,
            paths: vec![Path::default(); config.paths.max(1)],
            config,
            strangers: strangers.into_iter().collect(),
            asked: Vec::new(),
            tags: Vec::new(),
            answered: 0,
            late: 0,
            hosts: BTreeSet::new(),
            turn: 0,
            wide: None,
        };
        let count = lookup.paths.len();
        for (index, (contact, suspect)) in contacts.iter().enumerate() {
            lookup.add(index % count, contact, *suspect);
        }
        lookup
    }

    /// What is looked up.
    #[must_use]
    pub fn target(&self) -> Key<N> {
        self.target
    }

    /// The next question, while there is one. Ask until `None`, then wait for what happens.
    pub fn poll(&mut self) -> Option<Ask<N>> {
        if self.asked.len() >= self.config.asked_max {
            return None;
        }
        if let Some(ask) = self.poll_strangers().or_else(|| self.poll_explore()) {
            return Some(ask);
        }
        for _ in 0..self.paths.len() {
            let path = self.turn;
            self.turn = (self.turn + 1) % self.paths.len();
            if let Some((key, addr)) = self.next_of(path) {
                return Some(self.ask(path, addr, Some(key), self.target));
            }
        }
        None
    }

    /// An answer came, of the node with this key, naming these contacts (with `true` for a suspect).
    /// Whether it was awaited.
    pub fn answer(
        &mut self,
        from: Contact<N>,
        suspect: bool,
        named: impl IntoIterator<Item = (Contact<N>, bool)>,
    ) -> bool {
        let Some((path, before)) = self.state_of(from.addr) else { return false };
        self.set_state(from.addr, State::Answered);
        self.arrived(path, before, from.addr);
        // One that was a stranger gets its place; another one has it.
        self.insert(path, (suspect, from.key.distance(&self.target), from.addr));
        for (contact, suspect) in named {
            self.add(path, &contact, suspect);
        }
        true
    }

    /// An answer takes longer than usual.
    pub fn late(&mut self, addr: SocketAddr) {
        let Some((path, before)) = self.state_of(addr) else { return };
        if before == State::Asked {
            self.set_state(addr, State::Late);
            // Whoever named a wrong port must not keep us from the right one.
            self.hosts.remove(&addr.ip());
            self.arrived(path, State::Asked, addr);
        }
    }

    /// No answer came, or one that cannot be believed.
    pub fn fail(&mut self, addr: SocketAddr) {
        let Some((path, before)) = self.state_of(addr) else { return };
        // A node that answered before stays: it may only refuse to be asked for another key.
        if before != State::Answered {
            self.set_state(addr, State::Failed);
            self.hosts.remove(&addr.ip());
        }
        self.arrived(path, before, addr);
    }

    /// Whether nothing more is to be asked or awaited.
    #[must_use]
    pub fn is_done(&self) -> bool {
        // A machine that was held up takes all answers for late: without those there would be none.
        if self.answered < self.config.k && self.late > 0 {
            return false;
        }
        let spent = self.asked.len() >= self.config.asked_max;
        if spent {
            return self.paths.iter().all(|path| path.waiting == 0);
        }
        let exploring = self.wide.as_ref().is_some_and(|wide| !wide.exploring.is_empty());
        let scouts = self.wide.as_ref().is_some_and(|wide| !wide.scouts.is_empty());
        !exploring
            && !scouts
            && self.strangers.is_empty()
            && self.paths.iter().all(|path| self.path_done(path))
    }

    /// Asks all nodes within `radius` too. To find those that the crowd hides, nodes are asked for keys
    /// around the target: first those that `scouts` gives for each key, then those that answered.
    pub fn widen(
        &mut self,
        radius: Key<N>,
        rng: &mut Rng,
        scouts: impl Fn(&Key<N>) -> Vec<(Contact<N>, bool)>,
    ) {
        if self.wide.is_some() {
            return;
        }
        let bits = Key([0; N]).common_bits(&radius);
        let mut explore: Vec<Key<N>> =
            (0..EXPLORE_MAX).map(|_| self.target.random_beside(bits, rng)).collect();
        let mut first = Vec::new();
        for key in explore.split_off(EXPLORE_MAX / 2) {
            for (contact, suspect) in scouts(&key) {
                if self.state_of(contact.addr).is_some() {
                    continue;
                }
                let path = first.len() % self.paths.len();
                self.add(path, &contact, suspect);
                first.push((contact, path, key));
            }
        }
        let (exploring, explored) = (BTreeSet::new(), BTreeSet::new());
        self.wide = Some(Wide { radius, scouts: first, explore, exploring, explored });
    }

    /// Whether it goes around a crowd.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.wide.is_some()
    }

    /// The distances of the closest `count` nodes that answered and are no suspects, closest first.
    #[must_use]
    pub fn distances(&self, count: usize) -> Vec<Key<N>> {
        let mut distances: Vec<Key<N>> = self
            .paths
            .iter()
            .flat_map(|path| path.candidates.answered())
            .filter(|(suspect, ..)| !suspect)
            .map(|(_, distance, _)| distance)
            .collect();
        distances.sort_unstable();
        distances.dedup();
        distances.truncate(count);
        distances
    }

    /// The closest nodes that answered, each path's in turn, so that no path's lies hide another's
    /// truth: `count` of them, or all within the radius of a wide one, of each network a few.
    #[must_use]
    pub fn closest(&self, count: usize) -> Vec<Contact<N>> {
        let mut found = Vec::new();
        let (mut addrs, mut subnets) = (BTreeSet::new(), BTreeMap::new());
        let mut rows: Vec<VecDeque<Place<N>>> =
            self.paths.iter().map(|path| path.candidates.answered().collect()).collect();
        while rows.iter().any(|row| !row.is_empty()) {
            for row in &mut rows {
                // Where paths agree they name the same nodes: each of them counts once.
                while let Some((_, distance, addr)) = row.pop_front() {
                    let enough = found.len() >= count;
                    if enough && self.wide.as_ref().is_none_or(|wide| distance > wide.radius) {
                        row.clear();
                    } else if addrs.insert(addr) && self.has_room(&mut subnets, addr.ip()) {
                        found.push(Contact { key: self.target.distance(&distance), addr });
                        break;
                    }
                }
            }
        }
        found
    }

    /// How many were asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.len()
    }

    fn has_room(&self, subnets: &mut BTreeMap<IpAddr, usize>, ip: IpAddr) -> bool {
        let Some(net) = subnet(ip) else { return true };
        let count = subnets.entry(net).or_default();
        *count += 1;
        *count <= self.config.subnet_max
    }

    fn position(&self, addr: &SocketAddr, tag: u32) -> Option<usize> {
        let mut tags = self.tags.iter().zip(&self.asked);
        tags.position(|(own, asked)| *own == tag && asked.addr == *addr)
    }

    /// By which path an address was asked, and what came of it.
    fn state_of(&self, addr: SocketAddr) -> Option<(usize, State)> {
        let asked = self.asked.get(self.position(&addr, tag(&addr))?)?;
        Some((asked.path, asked.state))
    }

    /// What became of an address that was asked.
    fn set_state(&mut self, addr: SocketAddr, state: State) {
        let tag = tag(&addr);
        let Some(asked) = self.position(&addr, tag).and_then(|at| self.asked.get_mut(at)) else { return };
        let before = core::mem::replace(&mut asked.state, state);
        for (counter, counted) in [(&mut self.answered, State::Answered), (&mut self.late, State::Late)] {
            *counter -= usize::from(before == counted);
            *counter += usize::from(state == counted);
        }
        self.paths.iter_mut().for_each(|path| path.candidates.note(&addr, tag, state));
    }

    fn poll_strangers(&mut self) -> Option<Ask<N>> {
        while let Some(addr) = self.strangers.pop_front() {
            if self.state_of(addr).is_none() {
                let path = self.turn;
                self.turn = (self.turn + 1) % self.paths.len();
                return Some(self.ask(path, addr, None, self.target));
            }
        }
        None
    }

    /// A scout, or a node that answered, is asked for a key near the target.
    fn poll_explore(&mut self) -> Option<Ask<N>> {
        let busy = 2 * self.config.alpha * self.paths.len();
        while let Some((contact, path, key)) =
            self.wide.as_mut().filter(|wide| wide.exploring.len() < busy).and_then(|wide| wide.scouts.pop())
        {
            if self.state_of(contact.addr).is_none() {
                let ask = self.ask(path, contact.addr, Some(contact.key), key);
                if let Some(wide) = &mut self.wide {
                    wide.exploring.insert(contact.addr);
                }
                return Some(ask);
            }
        }
        let wide = self.wide.as_mut().filter(|wide| wide.exploring.len() < 2 * self.config.alpha)?;
        let answered = self.asked.iter().filter(|asked| asked.state == State::Answered);
        // The farthest: the crowd is near.
        let asked = answered.filter(|asked| !wide.explored.contains(&asked.addr)).max_by_key(|asked| {
            let candidates = self.paths.get(asked.path).map(|path| &path.candidates).into_iter();
            let places =
                candidates.flat_map(|candidates| candidates.iter().filter_map(|one| candidates.at(one)));
            (places.filter(|place| place.1 == asked.addr).map(|place| place.0).max(), asked.addr)
        })?;
        let (addr, target) = (asked.addr, wide.explore.pop()?);
        wide.explored.insert(addr);
        wide.exploring.insert(addr);
        Some(Ask { addr, key: None, target })
    }

    fn ask(&mut self, path: usize, addr: SocketAddr, key: Option<Key<N>>, target: Key<N>) -> Ask<N> {
        // Whoever asks has seen that it was not asked yet.
        self.asked.push(Asked { addr, state: State::Asked, path });
        self.tags.push(tag(&addr));
        self.set_state(addr, State::Asked);
        if subnet(addr.ip()).is_some() {
            self.hosts.insert(addr.ip());
        }
        if let Some(path) = self.paths.get_mut(path) {
            path.waiting += 1;
        }
        Ask { addr, key, target }
    }

    fn arrived(&mut self, path: usize, before: State, addr: SocketAddr) {
        if let Some(wide) = &mut self.wide {
            wide.exploring.remove(&addr);
        }
        if before == State::Asked
            && let Some(path) = self.paths.get_mut(path)
        {
            path.waiting = path.waiting.saturating_sub(1);
        }
    }

    fn add(&mut self, path: usize, contact: &Contact<N>, suspect: bool) {
        self.insert(path, (suspect, contact.key.distance(&self.target), contact.addr));
    }

    fn insert(&mut self, path: usize, place: Place<N>) {
        let Some(Err(at)) = self.paths.get(path).map(|path| path.candidates.position(&place)) else { return };
        let state = self.state_of(place.2).map(|(_, state)| state);
        let Some(path) = self.paths.get_mut(path) else { return };
        if let Some(net) = subnet(place.2.ip()) {
            let count = path.subnets.entry(net).or_default();
            if *count >= 2 * self.config.subnet_max {
                return;
            }
            *count += 1;
        }
        if let Some(addr) = path.candidates.insert(at, &place, state)
            && let Some(count) = subnet(addr.ip()).and_then(|net| path.subnets.get_mut(&net))
        {
            *count = count.saturating_sub(1);
        }
    }

    /// The candidates that a path is about: its closest `k` that are neither late nor failed, and all
    /// within the radius of a wide look-up.
    fn window<'a>(&'a self, candidates: &'a Candidates<N>) -> impl Iterator<Item = &'a Candidate> {
        let k = self.config.k;
        let radius = self.wide.as_ref().map(|wide| wide.radius);
        let mut count = 0;
        candidates
            .iter()
            .filter(|candidate| match candidate.state {
                Some(State::Late | State::Failed) => false,
                // Another address of a host that was asked already.
                None => self.hosts.is_empty() || !self.host_was_asked(candidates, candidate),
                Some(State::Asked | State::Answered) => true,
            })
            .take_while(move |candidate| {
                count += 1;
                let within =
                    |radius| candidates.at(candidate).is_some_and(|(distance, _)| distance <= radius);
                count <= k || radius.is_some_and(within)
            })
    }

    fn host_was_asked(&self, candidates: &Candidates<N>, candidate: &Candidate) -> bool {
        candidates.at(candidate).is_some_and(|(_, addr)| self.hosts.contains(&addr.ip()))
    }

    fn next_of(&self, path: usize) -> Option<(Key<N>, SocketAddr)> {
        let path = self.paths.get(path).filter(|path| path.waiting < self.config.alpha)?;
        let next = self.window(&path.candidates).find(|candidate| candidate.state.is_none())?;
        let (distance, addr) = path.candidates.at(next)?;
        Some((self.target.distance(&distance), addr))
    }

    fn path_done(&self, path: &Path<N>) -> bool {
        let strangers = path.candidates.is_empty() && path.waiting > 0;
        !strangers && self.window(&path.candidates).all(|candidate| candidate.state == Some(State::Answered))
    }
}

#[cfg(test)]
mod tests;
