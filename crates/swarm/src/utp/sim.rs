//! Endpoints in virtual time, on links with delay, loss, reordering, duplication and a bottleneck.

use super::{Config, Endpoint, Event, Output, Read, Reason, UtpId, Written};
use peerage_base::{Duration, Instant, Rng};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// One way from an endpoint into the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub delay: Duration,
    /// Shares of datagrams that are lost, come twice, or come late by up to `jitter`.
    pub loss: f64,
    pub twice: f64,
    pub late: f64,
    pub jitter: Duration,
}

impl Link {
    pub(super) fn new(delay: Duration, loss: f64) -> Self {
        Self { delay, loss, twice: 0.0, late: 0.0, jitter: Duration::ZERO }
    }
}

/// A queue with a rate that several ways share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bottleneck {
    /// Bytes per second.
    pub rate: f64,
    /// Bytes that may wait; more are dropped.
    pub room: usize,
    free_at: Instant,
}

impl Bottleneck {
    pub(super) fn new(rate: f64, room: usize) -> Self {
        Self { rate, room, free_at: Instant::ZERO }
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self, now: Instant) -> f64 {
        self.free_at.since(now).as_secs_f64() * self.rate
    }

    /// When a datagram is through; `None`: dropped.
    pub(super) fn pass(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        if self.waiting(now) + bytes as f64 > self.room as f64 {
            return None;
        }
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64((bytes + 28) as f64 / self.rate);
        Some(self.free_at)
    }
}

/// One stream of one connection, as its user sees it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Bytes still to be written: [`pattern`] from the place of each.
    pub to_write: u64,
    pub written: u64,
    /// Bytes that were read, all of them right.
    pub read: u64,
    pub reads: bool,
    pub ended: bool,
    pub closed: Option<Reason>,
    pub close_when_written: bool,
}

pub(super) struct Host {
    pub addr: SocketAddr,
    pub endpoint: Endpoint,
    pub link: Link,
    /// Through which bottleneck its datagrams go.
    pub via: Option<usize>,
    pub streams: BTreeMap<UtpId, Stream>,
    pub accepted: Vec<UtpId>,
    pub connected: Vec<UtpId>,
    /// Clock readings are off by so much, and run fast by so much (in millionths).
    pub clock_offset: u64,
    pub clock_drift: i64,
    pub sent_bytes: u64,
    pub sent_datagrams: u64,
}

impl Host {
    pub(super) fn clock(&self, now: Instant) -> Instant {
        let drift = i128::from(now.as_micros()) * i128::from(self.clock_drift) / 1_000_000;
        Instant::from_micros((i128::from(now.as_micros() + self.clock_offset) + drift) as u64)
    }

    fn true_time(&self, local: Instant) -> Instant {
        let off = i128::from(local.as_micros()) - i128::from(self.clock_offset);
        let exact = off * 1_000_000 / (1_000_000 + i128::from(self.clock_drift));
        Instant::from_micros(u64::try_from(exact + 1).unwrap_or(0))
    }
}

type Filter = Box<dyn FnMut(Instant, usize, &mut Vec<u8>) -> bool>;
type Datagram = (usize, SocketAddr, Vec<u8>);

/// Hosts and what is between them.
pub(super) struct Net {
    pub now: Instant,
    pub hosts: Vec<Host>,
    pub bottlenecks: Vec<Bottleneck>,
    rng: Rng,
    flying: BTreeMap<(Instant, u64), Datagram>,
    count: u64,
    /// Bytes that those who accept a connection write.
    pub answer: u64,
    /// What is done with each datagram before it enters the network: `false` drops it.
    pub filter: Filter,
}

impl Net {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1000),
            hosts: Vec::new(),
            bottlenecks: Vec::new(),
            rng: Rng::from_number(seed),
            flying: BTreeMap::new(),
            count: 0,
            answer: 0,
            filter: Box::new(|_, _, _| true),
        }
    }

    pub(super) fn host(&mut self, config: Config, link: Link) -> usize {
        let index = self.hosts.len();
        self.hosts.push(Host {
            addr: SocketAddr::from(([10, 0, 0, index as u8 + 1], 6881)),
            endpoint: Endpoint::new(config, self.rng.fork()),
            link,
            via: None,
            streams: BTreeMap::new(),
            accepted: Vec::new(),
            connected: Vec::new(),
            // Clocks agree on nothing; one wraps soon.
            clock_offset: u64::from(u32::MAX) - 3_000_000 * (index as u64 + 1),
            clock_drift: 0,
            sent_bytes: 0,
            sent_datagrams: 0,
        });
        index
    }

    /// Opens a connection over which `bytes` are to be written.
    pub(super) fn connect(&mut self, from: usize, to: usize, bytes: u64) -> UtpId {
        let addr = self.hosts[to].addr;
        let host = &mut self.hosts[from];
        let id = host.endpoint.connect(host.clock(self.now), addr).unwrap();
        let stream = Stream { to_write: bytes, reads: true, close_when_written: true, ..Stream::default() };
        host.streams.insert(id, stream);
        self.settle(from);
        id
    }

    /// Lets time pass until `end`.
    pub(super) fn run_until(&mut self, end: Instant) {
        while self.step(end) {}
        self.now = self.now.max(end);
    }

    /// Lets time pass until `done`, at most `limit`. Tells whether it came to that.
    pub(super) fn run(&mut self, limit: Duration, mut done: impl FnMut(&Net) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if !self.step(end) {
                return false;
            }
        }
        true
    }

    /// The next thing that happens, if it does before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let datagram = self.flying.first_key_value().map(|((at, _), _)| *at);
        let timer = self
            .hosts
            .iter()
            .enumerate()
            .filter_map(|(index, host)| Some((host.true_time(host.endpoint.poll_timeout()?.0), index)))
            .min();
        let next = datagram.into_iter().chain(timer.map(|(at, _)| at)).min();
        let Some(next) = next.filter(|next| *next <= end) else { return false };
        self.now = self.now.max(next);
        let touched = if datagram == Some(next) {
            let Some((_, (to, from, bytes))) = self.flying.pop_first() else { return false };
            let host = &mut self.hosts[to];
            host.endpoint.handle_datagram(host.clock(self.now), from, &bytes);
            to
        } else {
            let Some((_, index)) = timer else { return false };
            let host = &mut self.hosts[index];
            host.endpoint.handle_timeout(host.clock(self.now));
            index
        };
        self.settle(touched);
        true
    }

    /// Does what a driver does after an input.
    pub(super) fn settle(&mut self, index: usize) {
        loop {
            self.drain(index);
            let host = &mut self.hosts[index];
            let now = host.clock(self.now);
            let mut moved = false;
            for (id, stream) in &mut host.streams {
                moved |= pump(&mut host.endpoint, now, *id, stream);
            }
            if !moved {
                break;
            }
        }
        self.drain(index);
    }

    fn drain(&mut self, index: usize) {
        let mut buf = Vec::new();
        loop {
            let host = &mut self.hosts[index];
            let now = host.clock(self.now);
            match host.endpoint.poll_output(now, &mut buf) {
                None => break,
                Some(Output::Event(id, event)) => on_event(host, id, event, self.answer),
                Some(Output::Send { to, segment }) => {
                    buf.chunks(segment).for_each(|datagram| self.send(index, to, datagram.to_vec()));
                }
            }
        }
    }

    /// Puts a datagram into the network.
    pub(super) fn send(&mut self, from: usize, to: SocketAddr, mut bytes: Vec<u8>) {
        let host = &mut self.hosts[from];
        host.sent_bytes += bytes.len() as u64;
        host.sent_datagrams += 1;
        let (addr, link, via) = (host.addr, host.link, host.via);
        if !(self.filter)(self.now, from, &mut bytes) || self.rng.unit() < link.loss {
            return;
        }
        let Some(target) = self.hosts.iter().position(|host| host.addr == to) else { return };
        let through = match via.map(|via| self.bottlenecks[via].pass(self.now, bytes.len())) {
            None => self.now,
            Some(None) => return,
            Some(Some(at)) => at,
        };
        let copies = 1 + usize::from(self.rng.unit() < link.twice);
        for _ in 0..copies {
            let late = match self.rng.unit() < link.late {
                true => Duration::from_micros(self.rng.below(link.jitter.as_micros() as u64)),
                false => Duration::ZERO,
            };
            self.count += 1;
            self.flying.insert((through + link.delay + late, self.count), (target, addr, bytes.clone()));
        }
    }
}

fn on_event(host: &mut Host, id: UtpId, event: Event, answer: u64) {
    match event {
        Event::Connected => host.connected.push(id),
        Event::Accepted(_) => {
            host.accepted.push(id);
            let stream =
                Stream { to_write: answer, reads: true, close_when_written: true, ..Stream::default() };
            host.streams.insert(id, stream);
        }
        Event::Closed(reason) => {
            if let Some(stream) = host.streams.get_mut(&id) {
                stream.closed = Some(reason);
            }
        }
        Event::Readable | Event::Writable => {}
    }
}

/// What is written at `place` and behind it, up to 20,000 bytes.
fn pattern(place: u64) -> &'static [u8] {
    const PERIOD: usize = 10_007;
    static BYTES: [u8; PERIOD + 20_000] = {
        let mut bytes = [0; PERIOD + 20_000];
        let mut at = 0;
        while at < bytes.len() {
            bytes[at] = ((at % PERIOD) * 7 + (at % PERIOD) / 251) as u8;
            at += 1;
        }
        bytes
    };
    let at = (place % PERIOD as u64) as usize;
    &BYTES[at..at + 20_000]
}

/// Writes and reads what is possible. Tells whether that was anything.
fn pump(endpoint: &mut Endpoint, now: Instant, id: UtpId, stream: &mut Stream) -> bool {
    let mut moved = false;
    while stream.to_write > 0 {
        let len = stream.to_write.min(20_000) as usize;
        let Written::Bytes(len) = endpoint.write(now, id, &pattern(stream.written)[..len]) else { break };
        stream.to_write -= len as u64;
        stream.written += len as u64;
        moved = true;
    }
    if stream.to_write == 0 && stream.close_when_written {
        stream.close_when_written = false;
        endpoint.close(now, id);
        moved = true;
    }
    let mut buf = [0; 20_000];
    while stream.reads {
        match endpoint.read(now, id, &mut buf) {
            Read::Bytes(len) => {
                assert_eq!(buf[..len], pattern(stream.read)[..len], "wrong bytes after {}", stream.read);
                stream.read += len as u64;
                moved = true;
            }
            Read::End => {
                stream.ended = true;
                break;
            }
            Read::Pending | Read::Closed(_) => break,
        }
    }
    moved
}

/// A sender that reacts to loss alone, as TCP Reno does: what LEDBAT yields to. It speaks no protocol:
/// packets of 1,400 bytes pass the bottleneck, and are acknowledged a round trip later.
pub(super) struct Reno {
    window: f64,
    threshold: f64,
    flying: VecDeque<(Instant, bool)>,
    in_flight: usize,
    blind_until: Instant,
    pub delivered: u64,
}

impl Reno {
    pub(super) fn new() -> Self {
        let (window, threshold) = (10.0, f64::INFINITY);
        Self {
            window,
            threshold,
            flying: VecDeque::new(),
            in_flight: 0,
            blind_until: Instant::ZERO,
            delivered: 0,
        }
    }

    /// Takes the acknowledgements up to now, and sends.
    pub(super) fn turn(&mut self, now: Instant, bottleneck: &mut Bottleneck, round_trip: Duration) {
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, arrived)) = self.flying.pop_front() else { break };
            self.in_flight -= 1;
            if arrived {
                self.delivered += 1400;
                self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
            } else if now >= self.blind_until {
                self.window = (self.window / 2.0).max(2.0);
                self.threshold = self.window;
                self.blind_until = now + round_trip + round_trip;
            }
        }
        while (self.in_flight as f64) < self.window {
            let waits = Duration::from_secs_f64(bottleneck.waiting(now) / bottleneck.rate);
            let passed = bottleneck.pass(now, 1400);
            self.flying.push_back((passed.unwrap_or(now + waits) + round_trip, passed.is_some()));
            self.in_flight += 1;
        }
    }
}
