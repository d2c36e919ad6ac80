//! A small tracker of our own: HTTP (BEP 3, 7, 23, 48) and UDP (BEP 15) on one port number.
//!
//! It keeps, in memory and in bounded tables, which addresses share which torrent. A peer's address
//! is the one that its packets come from: what it claims otherwise (`ip=`) is ignored, since a
//! tracker that believes it can be made to point swarms at a victim.
//!
//! **Invariants.**
//! - Torrents, peers, connections, header sizes and times are bounded by [`Config`].
//! - A UDP sender gets no more bytes than it sent until it has shown, with a connection id, that
//!   it receives at its address (threats.md W10 asks for at most three times as many).
//! - A client that sends its request slowly, or never, loses its connection: after
//!   [`Config::header_timeout`], or sooner when others wait (threats.md H6).
//!
//! Residual: whoever can use many addresses can fill the tables for [`Config::interval`] times
//! [`EXPIRY_FACTOR`]; honest peers then get what is left.
//!
//! Start at [`Server::start`].

mod connection_id;
mod http;
mod table;
mod udp;

use connection_id::ConnectionIds;
use peerage_base::Rng;
use peerage_wire::tracker::{AnnounceReply, AnnounceRequest, Event, INTERVAL_MIN};
use socket2::{Domain, Socket, Type};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use table::{Announce, Bounds, Full, Table};
use tokio::{net::TcpListener, net::UdpSocket, task::JoinSet};

/// A peer that was silent for so many intervals is forgotten.
pub const EXPIRY_FACTOR: u32 = 2;

/// How often the table is swept.
const SWEEP: Duration = Duration::from_secs(15);

/// Tries to find a port number that is free for both protocols.
const PORT_TRIES: usize = 32;

/// Settings of a tracker.
#[derive(Clone)]
pub struct Config {
    /// Where to listen, TCP and UDP; port 0 takes one that is free for both. `[::]` also takes IPv4.
    pub listen: SocketAddr,
    /// What connection ids are derived from. Fresh random bytes for each start.
    pub secret: [u8; 32],
    /// How often peers are told to announce, at least 60 s; default 1800 s.
    pub interval: Duration,
    /// Torrents at most; default 50,000 (about 200 bytes each).
    pub torrents_max: usize,
    /// Peers of all torrents at most; default 500,000 (about 200 bytes each).
    pub peers_max: usize,
    /// Peers of one torrent at most; default 5,000.
    pub peers_per_torrent_max: usize,
    /// Peers in one answer, where the client does not say; default 50.
    pub numwant_default: usize,
    /// Peers in one answer at most; default 200.
    pub numwant_max: usize,
    /// HTTP connections at a time; default 512. One more ends the oldest
    /// of the address (IPv6: of the /64) that holds the most.
    pub connections_max: usize,
    /// For the request's head; default 5 s.
    pub header_timeout: Duration,
    /// For a whole HTTP connection, one request; default 15 s.
    pub connection_timeout: Duration,
}

impl Config {
    /// The defaults, at `listen`, with a fresh `secret`.
    #[must_use]
    pub fn new(listen: SocketAddr, secret: [u8; 32]) -> Self {
        Self {
            listen,
            secret,
            interval: Duration::from_secs(1800),
            torrents_max: 50_000,
            peers_max: 500_000,
            peers_per_torrent_max: 5_000,
            numwant_default: 50,
            numwant_max: 200,
            connections_max: 512,
            header_timeout: Duration::from_secs(5),
            connection_timeout: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("listen", &self.listen).field("secret", &"...").finish_non_exhaustive()
    }
}

/// What a tracker did since its start, and what it knows now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Torrents known.
    pub torrents: u64,
    /// Peers known, over all torrents.
    pub peers: u64,
    /// Announces answered over HTTP.
    pub announces_http: u64,
    /// Announces answered over UDP.
    pub announces_udp: u64,
    /// Scrapes answered, over both.
    pub scrapes: u64,
    /// Requests refused: malformed, without a valid connection id, or over a bound.
    pub refused: u64,
    /// HTTP connections ended because they took too long or because others waited.
    pub dropped: u64,
    /// HTTP connections open.
    pub connections: u64,
}

#[derive(Debug, Default)]
struct Counters {
    announces_http: AtomicU64,
    announces_udp: AtomicU64,
    scrapes: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    connections: AtomicU64,
}

/// What both protocols share.
struct State {
    config: Config,
    ids: ConnectionIds,
    start: Instant,
    table: Mutex<(Table, Rng)>,
    counters: Counters,
}

impl State {
    fn table(&self) -> MutexGuard<'_, (Table, Rng)> {
        // No code panics while it holds the lock; the table would be whole even then.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an announce and makes its reply; `fits` chooses the peers that can be told.
    fn announce(
        &self,
        ip: IpAddr,
        request: &AnnounceRequest,
        fits: impl Fn(&SocketAddr) -> bool,
    ) -> Result<AnnounceReply, &'static str> {
        if request.port == 0 {
            return Err("port 0");
        }
        let addr = SocketAddr::new(ip, request.port);
        let announce =
            Announce { info_hash: request.info_hash, addr, left: request.left, event: request.event };
        let (table, rng) = &mut *self.table();
        let counts = table.announce(Instant::now(), rng, &announce).map_err(|Full| "this tracker is full")?;
        let want = request
            .num_want
            .map_or(self.config.numwant_default, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let want = if request.event == Event::Stopped { 0 } else { want.min(self.config.numwant_max) };
        Ok(AnnounceReply {
            interval: self.config.interval.max(INTERVAL_MIN),
            peers: table.peers(rng, &announce, want, fits),
            seeds: Some(counts.seeds),
            leechers: Some(counts.leechers),
            ..AnnounceReply::default()
        })
    }

    fn stats(&self) -> Stats {
        let (torrents, peers) = self.table().0.len();
        let c = &self.counters;
        Stats {
            torrents: torrents as u64,
            peers: peers as u64,
            announces_http: c.announces_http.load(Relaxed),
            announces_udp: c.announces_udp.load(Relaxed),
            scrapes: c.scrapes.load(Relaxed),
            refused: c.refused.load(Relaxed),
            dropped: c.dropped.load(Relaxed),
            connections: c.connections.load(Relaxed),
        }
    }
}

/// A running tracker. Dropping it ends it at once.
pub struct Server {
    addr: SocketAddr,
    state: Arc<State>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds both sockets and starts to serve, on the current runtime.
    pub async fn start(config: Config) -> io::Result<Self> {
        let (listener, socket, addr) = bind(config.listen)?;
        let bounds = Bounds {
            torrents_max: config.torrents_max,
            peers_max: config.peers_max,
            peers_per_torrent_max: config.peers_per_torrent_max.max(1),
            expiry: config.interval.max(INTERVAL_MIN).saturating_mul(EXPIRY_FACTOR),
        };
        let ids = ConnectionIds::new(&config.secret);
        // Which peers are told to whom is drawn from the secret too; it is not the hash's key.
        let mut seed = config.secret;
        seed.iter_mut().for_each(|byte| *byte ^= 0x5c);
        let table = Mutex::new((Table::new(bounds), Rng::new(seed)));
        let state =
            Arc::new(State { config, ids, start: Instant::now(), table, counters: Counters::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(state.clone(), listener));
        tasks.spawn(udp::serve(state.clone(), socket));
        tasks.spawn(sweep(state.clone()));
        Ok(Self { addr, state, tasks })
    }

    /// The address of both sockets, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it did and knows.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Ends it, and returns once its sockets are closed.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn sweep(state: Arc<State>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        state.table().0.expire(Instant::now());
    }
}

/// Both sockets on one port number.
fn bind(listen: SocketAddr) -> io::Result<(TcpListener, UdpSocket, SocketAddr)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = socket(listen, Type::STREAM)?;
        tcp.set_reuse_address(true)?;
        tcp.bind(&listen.into())?;
        tcp.listen(1024)?;
        let tcp: std::net::TcpListener = tcp.into();
        let addr = tcp.local_addr()?;
        let udp = socket(addr, Type::DGRAM)?;
        match udp.bind(&addr.into()) {
            // Taken by another program's UDP socket: another free port, if we may choose.
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && listen.port() == 0 && tries < PORT_TRIES => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let udp = UdpSocket::from_std(StdUdpSocket::from(udp))?;
                return Ok((TcpListener::from_std(tcp)?, udp, addr));
            }
        }
    }
}

fn socket(addr: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
