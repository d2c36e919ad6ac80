//! The loop that drives the pure peer with sockets and disks.
//!
//! One thread owns the machine. Each turn takes what has come in (frames, finished jobs, connections,
//! a deadline), gives it to the machine, and carries out what the machine wants. Nothing here waits for
//! a peer or a disk: work goes to tasks and threads, and comes back through the [`Inbox`].
//!
//! The bytes of blocks do not pass through the machine. It is told which block came and says whether to
//! keep it; kept bytes go straight to the store, and a block to be sent is named, read and written by
//! `uploads`.

mod dht;
mod lan;
mod mapping;
mod opening;
mod outputs;
mod quic;
mod trace;
mod uploads;
mod utp;
mod web;
mod writes;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use peerage_api::event::Road;
use peerage_api::request::{NodeConfig, TlsPolicy, ViaPolicy};
use peerage_base::{ConnId, Instant, PeerId, Rng, TorrentId};
use peerage_content::{Hashes, Info};
use peerage_net::egress::{Egress, EgressError};
use peerage_net::lan::Lan;
use peerage_net::portmap::PortMap;
use peerage_net::road::{
    BufferPool, ConnEvent, Connection, GreetError, Greeted, Listener, Outgoing, QuicPath, Received, Tls,
};
use peerage_peer::{
    AnnounceReply, Authentication, BlockVerdict, Encryption, Peer, PeerChange, PeerInfo, SearchReport,
    TrackerFailure, TrackerId,
};
use peerage_store::{Report, ReportSink, Store, StoreConfig, TorrentStore};
use peerage_swarm::{Block, Event, StoreEvent, WebChange, WebSeedId};
use peerage_wire::frame::Frame;
use peerage_wire::handshake::Handshake;
use tokio::sync::mpsc;

use crate::dht::Dht;
use crate::identity::{self, Claim, IdentityError};
use crate::inbox::Inbox;
use opening::Opening;
pub(crate) use trace::{End, Trace};
use uploads::{ReadDone, Uploads};
use utp::Utp;
use writes::Writes;

/// Events of connections that wait for the driver. A reader that finds it full waits, and so does its
/// peer, by TCP's own flow control.
const NET_EVENTS_MAX: usize = 256;
/// Events handled before the machine's outputs are carried out.
const EVENTS_PER_TURN: usize = 32;
/// Receive buffers: as large as the largest read that still gains, and as many as the in-flight budget
/// fills (measured by `bench/run`).
const BUFFER_LEN: usize = 1024 * 1024;
const BUFFERS_KEPT_MAX: usize = 24;
/// Bytes that may be asked for and not yet written.
const INFLIGHT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Results of work that the driver gave out.
pub(crate) enum Input {
    /// The store reports.
    Store(Report),
    /// A peer came in by QUIC.
    Arrived(Box<Greeted>),
    /// A connection is ready for the peer wire, or never will be.
    Opened(ConnId, Result<Greeted, GreetError>),
    /// Blocks were read for a peer.
    Read(ReadDone),
    /// The DHT named peers.
    Found(TorrentId, Vec<SocketAddr>),
    /// A look-up in the DHT ended: of this info hash, so, after so many nodes were asked.
    Searched(TorrentId, [u8; 20], SearchReport, usize),
    /// A tracker answered.
    Tracker(TorrentId, TrackerId, Result<AnnounceReply, TrackerFailure>),
    /// A web seed sent a block.
    WebBlock(TorrentId, WebSeedId, Block, Bytes),
    /// A web seed's request ended.
    WebEnd(TorrentId, WebSeedId, WebChange),
}

/// News for the operation that runs the node.
#[derive(Debug)]
pub(crate) enum News {
    /// From a torrent's machine.
    Swarm(TorrentId, Event),
    /// From the store, what concerns the user.
    Store(Report),
    /// A peer was banned.
    Banned(SocketAddr, String),
    /// A tracker answered, or why not.
    Tracker(TorrentId, String, Result<usize, String>),
    /// A look-up in the DHT ended: how, and how many nodes were asked.
    Searched(SearchReport, usize),
    /// The router leads a port here: its outer address, and how it was asked.
    PortMapped(SocketAddr, &'static str),
    /// A connection opened.
    Connected(SocketAddr, Road, Option<PeerId>),
    /// A connection closed, with the reason.
    Disconnected(SocketAddr, String),
    /// A step on the way to a peer.
    Trace(Trace),
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Listen(#[from] peerage_net::road::ListenError),
    #[error(transparent)]
    Store(#[from] peerage_store::StoreError),
    #[error("the system gives no random numbers: {0}")]
    Entropy(getrandom::Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the node's key cannot be used: {0}")]
    Tls(String),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error(transparent)]
    Egress(#[from] EgressError),
}

/// A torrent as the driver sees it.
pub(crate) struct Torrent {
    pub store: TorrentStore,
    pub info: Arc<Info>,
    pub hashes: Arc<Hashes>,
}

/// Who a node is for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The one that links name, in each run.
    Known,
    /// Somebody new in each run.
    Anyone,
}

/// The running node.
pub(crate) struct Driver {
    started: std::time::Instant,
    pub(crate) peer: Peer,
    pub(crate) store: Store,
    pub(crate) torrents: BTreeMap<TorrentId, Torrent>,
    listener: Listener,
    egress: Egress,
    utp: Utp,
    dht: Option<Dht>,
    lan: Option<Lan>,
    mapping: Option<PortMap>,
    /// Nobody is let in before the content is known and checked: what a new peer is told first should be
    /// the truth.
    accepting: bool,
    connections: HashMap<ConnId, Link>,
    openings: HashMap<ConnId, Opening>,
    encryption: Encryption,
    authentication: Authentication,
    key: Option<PeerId>,
    tls: Option<Tls>,
    quic: Option<quic::Road>,
    /// Kept as long as the node runs.
    claim: Claim,
    /// For keys and paddings of encrypted starts.
    rng: Rng,
    uploads: Uploads,
    writes: Writes,
    net: mpsc::Receiver<ConnEvent>,
    net_sender: mpsc::Sender<ConnEvent>,
    inbox: Inbox<Input>,
    buffers: BufferPool,
    web: peerage_net::http::Client,
    trackers: peerage_net::tracker::Client,
    /// Announces under way.
    announces: usize,
    news: VecDeque<News>,
    inputs: Vec<Input>,
}

/// What the machine is told of the user's choices.
fn peer_config(config: &NodeConfig, who: Who) -> peerage_peer::Config {
    peerage_peer::Config {
        connections_max: config.connections_max,
        half_open_max: config.half_open_max,
        allow_local: config.allow_local,
        upload_rate_max: config.upload_limit,
        download_rate_max: config.download_limit,
        inflight_bytes_max: INFLIGHT_BYTES_MAX,
        encryption: opening::policy(config.encryption),
        authentication: opening::authentication(config.tls),
        utp: config.utp,
        dht: dht::role(config, who),
        lan: lan::is_on(config),
        quic: config.bind.is_none(),
        via: opening::via(config.via),
        ..peerage_peer::Config::default()
    }
}

/// An open connection and where it leads.
struct Link {
    connection: Connection,
    addr: SocketAddr,
    road: Road,
    /// Where the road may change under way.
    path: Option<QuicPath>,
    /// What an incoming encrypted start was about: the handshake must name the same torrent.
    info_hash: Option<[u8; 20]>,
}

impl Driver {
    /// Opens the port and starts the threads.
    pub(crate) fn start(config: &NodeConfig, who: Who) -> Result<Self, StartError> {
        let Proof { key, tls, quic, claim } = prove(config, who)?;
        let egress = config.bind.as_deref().map(Egress::by).transpose()?.unwrap_or_default();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(StartError::Entropy)?;
        let mut rng = Rng::new(seed);
        let inbox = Inbox::new();
        let sink_inbox = inbox.clone();
        let sink: ReportSink =
            Arc::new(move |reports| sink_inbox.put_all(reports.into_iter().map(Input::Store)));
        let store_config = StoreConfig {
            workers: config.io_threads,
            queue_bytes_max: 2 * INFLIGHT_BYTES_MAX,
            state_dir: Some(config.state_dir.join("torrents")),
            ..StoreConfig::default()
        };
        let (listener, utp) = utp::listen(config, &egress, &mut rng)?;
        let dht = dht::start(config, who, &utp).map_err(StartError::Entropy)?;
        let lan = lan::start(config, &egress, listener.local_addrs(), &mut rng);
        let mapping = mapping::start(config, &listener.local_addrs());
        let local = peerage_peer::Local {
            peer_id: peer_id(&mut rng),
            listen_port: listener.local_addrs().first().map_or(0, SocketAddr::port),
            key,
            addresses: config.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect(),
        };
        let web = web::client(config.allow_local, egress.clone());
        let trackers = peerage_net::tracker::Client::new(
            web.clone(),
            peerage_net::tracker::Config::default(),
            rng.fork(),
        );
        let (net_sender, net) = mpsc::channel(NET_EVENTS_MAX);
        Ok(Self {
            started: std::time::Instant::now(),
            peer: Peer::new(peer_config(config, who), local, rng.fork()),
            store: Store::open(store_config, sink)?,
            torrents: BTreeMap::new(),
            mapping,
            listener,
            egress,
            utp,
            dht,
            lan,
            accepting: false,
            connections: HashMap::new(),
            openings: HashMap::new(),
            encryption: opening::policy(config.encryption),
            authentication: opening::authentication(config.tls),
            key,
            tls,
            quic,
            claim,
            rng,
            uploads: Uploads::start(config.io_threads, &inbox).map_err(StartError::Thread)?,
            writes: Writes::default(),
            net,
            net_sender,
            inbox,
            buffers: BufferPool::new(BUFFER_LEN, BUFFERS_KEPT_MAX),
            web,
            trackers,
            announces: 0,
            news: VecDeque::new(),
            inputs: Vec::new(),
        })
    }

    /// Time since the start, which is what the machine calls time.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Addresses that accept connections.
    pub(crate) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listener.local_addrs()
    }

    /// Who this node is on roads that prove it.
    pub(crate) fn udp_failure(&self) -> Option<&str> {
        self.utp.failure()
    }

    /// Whether another run at a relay had our key already, so that this one shows another.
    pub(crate) fn has_borrowed_key(&self) -> bool {
        matches!(self.claim, Claim::Taken)
    }

    pub(crate) fn key(&self) -> Option<PeerId> {
        self.key
    }

    /// The interface by which everything leaves, where the user named one.
    pub(crate) fn egress(&self) -> &Egress {
        &self.egress
    }

    /// How the peer is connected with which a torrent exchanges most.
    pub(crate) fn busiest_road(&self, torrent: TorrentId) -> Option<Road> {
        let peers = self.peer.peers(torrent);
        let moved = |peer: &&PeerInfo| {
            let stats = &peer.stats;
            (stats.download_rate + stats.upload_rate, stats.downloaded + stats.uploaded)
        };
        let busiest = peers.iter().max_by_key(moved)?;
        self.connections.get(&busiest.conn).map(Link::road)
    }

    /// How a connection is made.
    pub(crate) fn road(&self, conn: ConnId) -> Option<Road> {
        self.connections.get(&conn).map(Link::road)
    }

    /// A piece layer came from peers (BEP 52): the store judges by it from now on.
    pub(crate) fn add_layer(&mut self, torrent: TorrentId, root: [u8; 32], layer: &[[u8; 32]]) {
        let Some(torrent) = self.torrents.get_mut(&torrent) else { return };
        let mut hashes = Hashes::clone(&torrent.hashes);
        let files = hashes.info().layout.files().iter().enumerate();
        let of_root: Vec<usize> =
            files.filter(|(_, file)| file.root == Some(root)).map(|(index, _)| index).collect();
        for file in of_root {
            // The machine has checked the layer against the root.
            let _ = hashes.set_layer(file, layer);
        }
        torrent.hashes = Arc::new(hashes);
        torrent.store.set_hashes(Arc::clone(&torrent.hashes));
    }

    /// Whether announces are under way.
    pub(crate) fn is_announcing(&self) -> bool {
        self.announces > 0
    }

    /// Lets peers in from now on.
    pub(crate) fn accept_peers(&mut self) {
        self.accepting = true;
    }

    /// What another thread calls to have the turn under way end.
    pub(crate) fn waker(&self) -> impl Fn() + Send + 'static {
        let inbox = self.inbox.clone();
        move || inbox.put_all([])
    }

    /// The guarded HTTP client.
    pub(crate) fn http(&self) -> &peerage_net::http::Client {
        &self.web
    }

    /// The next news, if any.
    pub(crate) fn news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Waits for something to happen, at most until `wake`, and deals with it.
    pub(crate) async fn turn(&mut self, wake: Instant) {
        // A command may have been given since the last turn: its outputs come first.
        self.settle();
        let deadline = self.peer.poll_timeout().map_or(wake, |(at, _)| at.min(wake));
        let deadline = self.started + std::time::Duration::from_micros(deadline.as_micros().min(1 << 52));
        tokio::select! {
            biased;
            // First, as the others are never idle on a busy node, and are looked at below in any case.
            (stream, addr) = self.listener.accept(), if self.accepting => self.on_accept(stream.into(), addr),
            stream = self.utp.accept(), if self.accepting => {
                let addr = stream.peer_addr();
                self.on_accept(stream.into(), addr);
            }
            () = self.inbox.wait() => {}
            status = mapping::changed(&mut self.mapping) => self.on_mapping(status),
            heard = lan::heard(&mut self.lan) => self.on_heard(&heard),
            event = self.net.recv() => {
                if let Some(event) = event {
                    self.on_net(event);
                }
            }
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        for _ in 0..EVENTS_PER_TURN {
            match self.net.try_recv() {
                Ok(event) => self.on_net(event),
                Err(_) => break,
            }
        }
        let mut inputs = std::mem::take(&mut self.inputs);
        self.inbox.take(&mut inputs);
        for input in inputs.drain(..) {
            self.on_input(input);
        }
        self.inputs = inputs;
        let now = self.now();
        if self.peer.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.peer.handle_timeout(now);
        }
        self.settle();
    }

    /// Lets the machine act on its inputs, and carries out what it wants.
    fn settle(&mut self) {
        self.flush_writes();
        let now = self.now();
        self.peer.pump(now);
        while let Some(output) = self.peer.poll_output() {
            self.carry_out(now, output);
        }
        let torrents = &self.torrents;
        let read = self.uploads.submit(|id| torrents.get(&id).map(|torrent| torrent.store.clone()));
        for done in read {
            self.on_read(now, done);
        }
    }

    fn on_net(&mut self, event: ConnEvent) {
        tracing::trace!(?event);
        let now = self.now();
        match event {
            ConnEvent::Received(conn, received) => self.on_received(now, conn, &received),
            ConnEvent::Garbage(conn, error) => {
                if self.connections.contains_key(&conn) {
                    self.peer.handle_garbage(now, conn, &error);
                }
            }
            ConnEvent::Sent(conn, bytes) => {
                self.uploads.sent(now, conn, bytes as u64);
                self.offer_room(now, conn);
            }
            ConnEvent::Closed(conn, reason) => {
                // A connection that the machine closed is forgotten already.
                if self.forget(conn, &reason) {
                    self.trace(Trace::Closed(conn, End::Lost(reason.clone())));
                    self.peer.handle_peer(now, conn, PeerChange::Closed(reason));
                }
            }
        }
    }

    /// Tells the machine how much may be named for a peer. Before both handshakes it would not listen.
    fn offer_room(&mut self, now: Instant, conn: ConnId) {
        if let Some(bytes) = self.uploads.room(conn) {
            self.peer.handle_peer(now, conn, PeerChange::Writable { bytes });
        }
    }

    fn on_received(&mut self, now: Instant, conn: ConnId, received: &Received) {
        if !self.connections.contains_key(&conn) {
            return;
        }
        for (at, frame) in &received.frames {
            let bytes = |range: &std::ops::Range<usize>| at + range.start..at + range.end;
            match frame {
                Frame::Block { block, data } => match self.peer.handle_block(now, conn, *block) {
                    BlockVerdict::Accept(torrent) => {
                        let refused = self.writes.push(torrent, *block, received.bytes.slice(bytes(data)));
                        self.write(refused);
                    }
                    BlockVerdict::Drop => {}
                },
                Frame::Message(range) => {
                    let frame = received.bytes.get(bytes(range)).unwrap_or_default();
                    self.peer.handle_frame(now, conn, frame);
                }
                Frame::Handshake(range) => {
                    let frame = received.bytes.get(bytes(range)).unwrap_or_default();
                    match Handshake::decode(frame) {
                        Ok(handshake) if self.contradicts(conn, &handshake) => {
                            let what = "the encrypted start names another torrent than the handshake";
                            self.peer.handle_garbage(now, conn, what);
                        }
                        Ok(handshake) => {
                            self.peer.handle_handshake(now, conn, handshake);
                            self.offer_room(now, conn);
                        }
                        Err(error) => self.peer.handle_garbage(now, conn, &error.to_string()),
                    }
                }
            }
        }
    }

    fn on_input(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Store(report) => self.on_report(now, report),
            Input::Arrived(greeted) => self.on_arrived(now, *greeted),
            Input::Opened(conn, result) => self.on_opened(now, conn, result),
            Input::Read(done) => {
                self.uploads.read(done.conn);
                self.on_read(now, done);
            }
            Input::Found(torrent, addrs) => drop(self.peer.handle_found(now, torrent, &addrs)),
            Input::Searched(torrent, info_hash, report, asked) => {
                self.peer.handle_search(now, torrent, info_hash, report);
                self.news.push_back(News::Searched(report, asked));
            }
            Input::Tracker(torrent, tracker, result) => {
                self.announces = self.announces.saturating_sub(1);
                self.peer.handle_tracker(now, torrent, tracker, result);
            }
            Input::WebBlock(torrent, web_seed, block, bytes) => {
                if let BlockVerdict::Accept(torrent) =
                    self.peer.handle_web_block(now, torrent, web_seed, block)
                {
                    let refused = self.writes.push(torrent, block, bytes);
                    self.write(refused);
                }
            }
            Input::WebEnd(torrent, web_seed, change) => self.peer.handle_web(now, torrent, web_seed, change),
        }
    }

    fn on_read(&mut self, now: Instant, done: ReadDone) {
        match done.result {
            Ok(bytes) => {
                let Some(link) = self.connections.get(&done.conn) else { return };
                if !link.connection.send(Outgoing::Blocks { bytes, payload: done.payload }) {
                    self.drop_connection(now, done.conn, "does not take what it asked for");
                }
            }
            // The store has reported which pieces are lost; what this peer was promised cannot be kept.
            Err(error) => self.drop_connection(now, done.conn, &error.to_string()),
        }
    }

    fn on_report(&mut self, now: Instant, report: Report) {
        match report {
            Report::Written { torrent, piece, begin, len } => {
                self.peer.handle_store(now, torrent, StoreEvent::Written { piece, begin, len });
            }
            Report::Verified { torrent, piece, ok, digests } => {
                self.peer.handle_store(now, torrent, StoreEvent::Verified { piece, ok, digests });
            }
            Report::Failed { torrent, piece, begin, len, written, full, .. } => {
                self.peer.handle_store(
                    now,
                    torrent,
                    StoreEvent::Failed { piece, begin, len, full_disk: full, written },
                );
                self.news.push_back(News::Store(report));
            }
            Report::Lost { torrent, ref pieces, .. } => {
                for piece in pieces.clone() {
                    self.peer.handle_store(now, torrent, StoreEvent::Lost { piece });
                }
                self.news.push_back(News::Store(report));
            }
            Report::Rechecked { torrent, ref good, .. } => {
                for piece in good.iter().copied() {
                    self.peer.handle_store(now, torrent, StoreEvent::Regained { piece });
                }
                self.news.push_back(News::Store(report));
            }
            Report::FileDone { .. }
            | Report::FileBlocked { .. }
            | Report::CheckProgress { .. }
            | Report::Checked { .. }
            | Report::Warning { .. } => self.news.push_back(News::Store(report)),
        }
    }

    /// Leaves a connection by the driver's own decision.
    fn drop_connection(&mut self, now: Instant, conn: ConnId, reason: &str) {
        if self.forget(conn, reason) {
            self.trace(Trace::Closed(conn, End::Lost(reason.to_owned())));
            self.peer.handle_peer(now, conn, PeerChange::Closed(reason.to_owned()));
        }
    }

    /// Drops what is kept of a connection; whether there was something.
    fn forget(&mut self, conn: ConnId, reason: &str) -> bool {
        self.uploads.close(conn);
        match self.connections.remove(&conn) {
            Some(link) => {
                self.news.push_back(News::Disconnected(link.addr, reason.to_owned()));
                true
            }
            None => false,
        }
    }
}

impl Link {
    /// What the user is told of it.
    fn road(&self) -> Road {
        let Some((relay, rtt)) = self.path.as_ref().and_then(QuicPath::now) else { return self.road.clone() };
        Road { relay, rtt_ms: u64::try_from(rtt.as_millis()).ok(), ..self.road.clone() }
    }
}

/// Our key, and the roads on which we prove that we hold it.
#[derive(Default)]
struct Proof {
    key: Option<PeerId>,
    tls: Option<Tls>,
    quic: Option<quic::Road>,
    claim: Claim,
}

fn prove(config: &NodeConfig, who: Who) -> Result<Proof, StartError> {
    let relayed = !config.relays.is_empty() && config.via != ViaPolicy::Direct && config.bind.is_none();
    let (identity, claim) = match (config.tls, who) {
        (TlsPolicy::Off, _) => return Ok(Proof::default()),
        (_, Who::Known) if relayed => identity::claimed(&config.state_dir, &config.relays)?,
        (_, Who::Known) => (identity::kept(&config.state_dir)?, Claim::None),
        (_, Who::Anyone) => (identity::fresh()?, Claim::None),
    };
    let tls = Tls::new(&identity).map_err(|error| StartError::Tls(error.to_string()))?;
    let key = Some(identity.id());
    // Its sockets are the library's, and cannot be bound to an interface.
    let quic = config.bind.is_none().then(|| quic::Road::new(identity, config));
    Ok(Proof { key, tls: Some(tls), quic, claim })
}

/// Our id in handshakes (BEP 20): client, version, random.
fn peer_id(rng: &mut Rng) -> [u8; 20] {
    let mut id = *b"-PG0100-000000000000";
    rng.fill(&mut id[8..]);
    id
}
