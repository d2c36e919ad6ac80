//! Search machines on a network in virtual time: real frames, a latency for each pair, nodes that die.

#![allow(dead_code, reason = "each test uses its part")]

use peerage_base::{Duration, Instant, Key, Rng};
use peerage_overlay::search::{Local, Machine, Output, Report, SearchId, Stats};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

/// Addresses on the internet, one for each index.
pub fn addr(index: usize) -> SocketAddr {
    let [_, a, b, c] = u32::try_from(index).expect("few").to_be_bytes();
    SocketAddr::from(([11, a, b, c], 4000))
}

pub fn index(addr: SocketAddr) -> usize {
    let std::net::IpAddr::V4(ip) = addr.ip() else { panic!("{addr}") };
    let [_, a, b, c] = ip.octets();
    u32::from_be_bytes([0, a, b, c]) as usize
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Frame { to: usize, from: SocketAddr, bytes: Vec<u8> },
    Timer(usize),
}

/// A network.
pub struct Net {
    pub now: Instant,
    pub rng: Rng,
    pub nodes: Vec<Option<Machine>>,
    /// What nodes told.
    pub told: Vec<(usize, Output)>,
    /// Frames delivered.
    pub frames: u64,
    /// Share of frames that are lost.
    pub loss: f64,
    wakes: Vec<Instant>,
    queue: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            rng: Rng::from_number(seed),
            nodes: Vec::new(),
            told: Vec::new(),
            frames: 0,
            loss: 0.0,
            wakes: Vec::new(),
            queue: BinaryHeap::new(),
            count: 0,
        }
    }

    /// What the next node knows of itself.
    pub fn local(&mut self, capacity: u32) -> Local {
        Local { id: Key::random(&mut self.rng), addr: addr(self.nodes.len()), capacity }
    }

    pub fn add(&mut self, machine: impl Into<Machine>) -> usize {
        self.nodes.push(Some(machine.into()));
        self.wakes.push(Instant::FAR_FUTURE);
        let at = self.nodes.len() - 1;
        self.settle(at);
        at
    }

    /// An input, then all outputs.
    pub fn with<T>(&mut self, at: usize, input: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        let machine = self.nodes[at].as_mut().expect("a living node");
        let result = input(machine, self.now);
        self.settle(at);
        result
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((at, self.count, event)));
    }

    /// Between 10 and 110 ms, always the same for a pair.
    pub fn one_way(a: usize, b: usize) -> Duration {
        let (low, high) = (a.min(b) as u64, a.max(b) as u64);
        Duration::from_micros(10_000 + Rng::from_number(low << 32 | high).below(100_000))
    }

    fn settle(&mut self, at: usize) {
        let Some(mut machine) = self.nodes[at].take() else { return };
        while let Some(output) = machine.poll_output() {
            let Output::Send { to, bytes, .. } = output else {
                self.told.push((at, output));
                continue;
            };
            let to = index(to);
            assert_ne!(to, at, "it sends to itself");
            if self.rng.unit() >= self.loss {
                self.push(self.now + Self::one_way(at, to), Event::Frame { to, from: addr(at), bytes });
            }
        }
        let wake = machine.poll_timeout().map_or(Instant::FAR_FUTURE, |(at, _)| at);
        if wake < self.wakes[at] {
            self.wakes[at] = wake;
            self.push(wake.max(self.now), Event::Timer(at));
        }
        self.nodes[at] = Some(machine);
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, event))) = self.queue.pop() else { break };
            self.now = at;
            match event {
                Event::Timer(node) => {
                    self.wakes[node] = Instant::FAR_FUTURE;
                    if self.nodes[node].is_some() {
                        self.with(node, |machine, now| machine.handle_timeout(now));
                    }
                }
                Event::Frame { to, from, bytes } => {
                    if self.nodes.get(to).is_some_and(Option::is_some) {
                        self.frames += 1;
                        self.with(to, |machine, now| machine.handle_frame(now, from, &bytes));
                    }
                }
            }
        }
        self.now = end;
    }

    pub fn kill(&mut self, at: usize) {
        self.nodes[at] = None;
    }

    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some()).collect()
    }

    /// Begins a search at a node for each of these, waits, and gives the reports, in order: `true` for found.
    pub fn search(&mut self, wanted: &[(usize, Key<20>)], patience: Duration) -> Vec<(bool, Report)> {
        self.told.clear();
        let ids: Vec<(usize, SearchId)> = wanted
            .iter()
            .map(|(at, key)| (*at, self.with(*at, |machine, now| machine.search(now, *key))))
            .collect();
        self.run_for(patience);
        ids.iter().map(|id| self.ended(id)).collect()
    }

    fn ended(&self, id: &(usize, SearchId)) -> (bool, Report) {
        let mut ends =
            self.told.iter().filter(|(at, _)| *at == id.0).filter_map(|(_, output)| match output {
                Output::Found { search, report } if *search == id.1 => Some((true, report.clone())),
                Output::NotFound { search, report } if *search == id.1 => Some((false, report.clone())),
                _ => None,
            });
        let end = ends.next().expect("each search ends");
        assert!(ends.next().is_none(), "each search ends once");
        end
    }

    /// The sum of all nodes' counters.
    pub fn total(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        self.nodes.iter().flatten().map(|machine| of(machine.stats())).sum()
    }
}
