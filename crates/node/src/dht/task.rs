//! The task that drives the machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_base::{Instant, Rng, addr};
use peerage_net::utp::UtpSocket;
use peerage_overlay::mainline::{Config, Dht, Local, LookupId, Output};
use tokio::sync::mpsc;

use super::memory::Memory;
use super::seeds::Seeds;
use super::{Answer, Answers, Command, Lookup, Setup, Status};

/// Datagrams handled before anything else has its turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// Time between two saves of the table.
const SAVE_INTERVAL: Duration = Duration::from_secs(300);

/// Remembered nodes are asked again after this time where none answered: the network may be back.
const REMEMBER_INTERVAL: Duration = Duration::from_secs(30);

type Incoming = mpsc::Receiver<(SocketAddr, Bytes)>;

/// The machine and what is around it.
pub(super) struct Task {
    machine: Dht,
    started: std::time::Instant,
    sockets: Vec<Arc<UtpSocket>>,
    incoming: Vec<Incoming>,
    seeds: Seeds,
    memory: Option<Memory>,
    /// The table of the last run, and how many nodes it has.
    saved: Vec<u8>,
    remembered: usize,
    remember_at: Instant,
    save_at: Instant,
    lookups: BTreeMap<LookupId, Answers>,
    external: Vec<IpAddr>,
}

impl Task {
    pub(super) fn new(setup: Setup, seed: [u8; 32]) -> Self {
        let config = Config { ranges: setup.ranges, read_only: setup.read_only, ..setup.config };
        let bound = setup.sockets.iter().map(|socket| socket.local_addr().ip());
        let external = bound.filter(|ip| addr::scope(*ip) == addr::Scope::Global).collect();
        let memory = setup.state_dir.map(Memory::open);
        let saved = memory.as_ref().and_then(Memory::load).unwrap_or_default();
        let loopback = setup.sockets.iter().all(|socket| socket.local_addr().ip().is_loopback());
        let seeds: Vec<String> = setup.seeds.into_iter().filter(|seed| !loopback || is_here(seed)).collect();
        Self {
            machine: Dht::new(config, Local { external }, Rng::new(seed)),
            started: std::time::Instant::now(),
            incoming: setup.sockets.iter().map(|socket| socket.subscribe_krpc()).collect(),
            sockets: setup.sockets,
            seeds: Seeds::new(&seeds, !saved.is_empty()),
            memory,
            saved,
            remembered: 0,
            remember_at: Instant::ZERO + REMEMBER_INTERVAL,
            save_at: Instant::ZERO + SAVE_INTERVAL,
            lookups: BTreeMap::new(),
            external: Vec::new(),
        }
    }

    /// Runs until it is told to close, or nobody is left to tell it anything.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.remember();
        self.machine.bootstrap(self.now(), self.seeds.addrs().iter().copied());
        loop {
            self.drain();
            let nodes = self.nodes().iter().sum();
            let wake = self.started + self.wake_at().since(Instant::ZERO);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Close) | None => break,
                    Some(command) => self.on_command(command),
                },
                (from, datagram) = receive(&mut self.incoming) => self.on_datagrams(from, &datagram),
                found = self.seeds.next(nodes) => {
                    tracing::debug!(?found, "seed nodes of the DHT");
                    self.machine.bootstrap(self.now(), found);
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.on_time();
        }
        self.save();
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn nodes(&self) -> [usize; 2] {
        [false, true].map(|v6| self.machine.nodes(v6).count())
    }

    fn wake_at(&self) -> Instant {
        let machine = self.machine.poll_timeout().map(|(at, _)| at);
        machine.into_iter().chain([self.save_at, self.remember_at]).min().unwrap_or(self.save_at)
    }

    fn on_time(&mut self) {
        let now = self.now();
        if self.machine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.machine.handle_timeout(now);
        }
        if now >= self.remember_at {
            self.remember_at = now + REMEMBER_INTERVAL;
            if self.nodes() == [0, 0] {
                self.remember();
            }
        }
        if now >= self.save_at {
            self.save_at = now + SAVE_INTERVAL;
            self.save();
        }
    }

    /// Goes on from what was saved. The identifier is that of the last run only where no other run has it.
    fn remember(&mut self) {
        let Some(memory) = self.memory.as_ref().filter(|_| !self.saved.is_empty()) else { return };
        match self.machine.restore(self.now(), &self.saved, memory.is_ours()) {
            Ok(nodes) => self.remembered = nodes,
            Err(error) => {
                tracing::warn!(%error, "the DHT begins anew");
                self.saved.clear();
            }
        }
    }

    /// A table of nobody is not worth an older one.
    fn save(&self) {
        if self.nodes() != [0, 0]
            && let Some(memory) = &self.memory
        {
            memory.save(&self.machine.snapshot());
        }
    }

    fn on_datagrams(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.machine.handle_datagram(self.now(), from, datagram);
        for _ in 0..DATAGRAMS_PER_TURN {
            self.drain();
            let Some((from, datagram)) = self.incoming.iter_mut().find_map(|queue| queue.try_recv().ok())
            else {
                return;
            };
            self.machine.handle_datagram(self.now(), from, &datagram);
        }
    }

    fn on_command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Look(lookup, answers) => {
                let id = match lookup {
                    Lookup::Ping(addr) => self.machine.ping(now, addr),
                    Lookup::Peers(hash) => self.machine.get_peers(now, hash, false),
                    Lookup::Scrape(hash) => self.machine.get_peers(now, hash, true),
                    Lookup::Announce(hash, port, seed) => self.machine.announce(now, hash, port, seed),
                    Lookup::Get(target, salt) => self.machine.get_item(now, target, &salt),
                    Lookup::Put(item) => self.machine.put_item(now, item, None),
                };
                self.lookups.insert(id, answers);
            }
            Command::Meet(addr) => drop(self.machine.ping(now, addr)),
            Command::Status(reply) => drop(reply.send(self.status())),
            Command::Close => {}
        }
    }

    fn status(&self) -> Status {
        Status {
            ids: [false, true].map(|v6| self.machine.id(v6)),
            nodes: self.nodes(),
            network: [false, true].map(|v6| self.machine.network_size(v6)),
            external: self.external.clone(),
            kept: self.machine.kept(),
            remembered: self.remembered,
            stats: *self.machine.stats(),
        }
    }

    /// Carries out what the machine wants, all of it.
    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    let socket =
                        self.sockets.iter().find(|socket| socket.local_addr().is_ipv4() == to.is_ipv4());
                    // What the kernel does not take is lost, as on the way.
                    let _ = socket.map(|socket| socket.send_krpc(to, &bytes));
                }
                Output::Peers { lookup, addrs } => self.answer(lookup, Answer::Peers(addrs)),
                Output::Item { lookup, item } => self.answer(lookup, Answer::Item(item)),
                Output::Done { lookup, report } => {
                    self.answer(lookup, Answer::Done(report));
                    self.lookups.remove(&lookup);
                }
                Output::Address(ip) => {
                    self.external.retain(|other| other.is_ipv4() != ip.is_ipv4());
                    self.external.push(ip);
                }
                Output::Samples { .. } => {}
            }
        }
    }

    fn answer(&mut self, lookup: LookupId, answer: Answer) {
        if let Some(answers) = self.lookups.get_mut(&lookup) {
            answers(answer);
        }
    }
}

/// Whether a seed can be reached from a node that is on loopback alone.
fn is_here(seed: &str) -> bool {
    let host = seed.rsplit_once(':').map_or(seed, |(host, _)| host);
    match seed.parse::<SocketAddr>() {
        Ok(addr) => addr.ip().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// The next datagram of either socket; never from one that is broken.
async fn receive(incoming: &mut [Incoming]) -> (SocketAddr, Bytes) {
    let next = match incoming {
        [] => None,
        [one] => one.recv().await,
        [first, second, ..] => tokio::select! {
            Some(message) = first.recv() => Some(message),
            Some(message) = second.recv() => Some(message),
            else => None,
        },
    };
    match next {
        Some(message) => message,
        None => std::future::pending().await,
    }
}
