//! The machine itself: its parts, what it is told, and how it is drained. Each part of its work has
//! its own file below.

mod commands;
mod download;
mod extended;
mod messages;
mod reveal;
mod serve;
mod store;
mod timers;
mod v2;
mod web;

use crate::{
    Bitfield, Block, BlockVerdict, Bucket, Config, Event, Handshake, Local, Message, Meter, Output,
    PauseReason, PeerChange, PeerStats, Priority, Reason, Stats, StoreEvent,
    blame::{Blame, Source},
    choker::Choker,
    geometry::Geometry,
    hashes::LayerFetch,
    metadata::Metadata,
    peers::{Peer, Peers},
    picker::{Pick, Picker},
    superseed::SuperSeed,
    web::WebSeed,
};
use peerage_base::{ConnId, Duration, InfoHashes, Instant, Rng};
use peerage_content::Hashes;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

/// What is known once the metadata is.
#[derive(Clone, Debug)]
pub struct Content {
    /// The info dictionary and the hashes of its pieces.
    pub hashes: Hashes,
    /// The pieces that are verified already.
    pub have: Bitfield,
    /// How much each file is wanted; shorter than the list of files: the rest is [`Priority::Normal`].
    pub priorities: Vec<Priority>,
}

/// What exists once the metadata is known.
#[derive(Debug)]
pub(crate) struct Body {
    hashes: Hashes,
    picker: Picker,
    /// Pieces of each file that are not verified.
    missing: Vec<u32>,
    /// Per piece, while the upload rate is limited: the party that was first sent some of it, plus 1.
    first_sent: Vec<u32>,
    /// Pieces that failed and whose digests were asked for.
    digests_due: BTreeSet<u32>,
    was_done: bool,
    /// Pieces that we said we have, and lost.
    lost: BTreeSet<u32>,
}

/// One torrent.
#[derive(Debug)]
pub struct Swarm {
    config: Config,
    local: Local,
    rng: Rng,
    peers: Peers,
    body: Option<Box<Body>>,
    metadata: Metadata,
    blame: Blame,
    choker: Choker,
    up: Bucket,
    down: Bucket,
    /// Peers that may be asked for more, and peers that may be sent more; those first that have waited.
    ready_down: Vec<u32>,
    ready_up: VecDeque<u32>,
    picks: Vec<Pick>,
    outputs: VecDeque<Output>,
    stats: Stats,
    paused: Option<PauseReason>,
    private: bool,
    /// Bytes asked for; bytes accepted and not yet written.
    asked: u64,
    unwritten: u64,
    /// A slot may be free.
    slots_changed: bool,
    pumped_epoch: u64,
    was_endgame: bool,
    /// [`Stats::downloaded`] at the last tick.
    ticked_at: u64,
    tick_at: Option<Instant>,
    wake_at: Option<Instant>,
    /// The node's upload limit, as the last pump told it.
    node_limit: Option<u64>,
    metadata_done: bool,
    info_hash: [u8; 20],
    layers: LayerFetch,
    super_seed: Option<SuperSeed>,
    web_seeds: Vec<WebSeed>,
    web_rate: Meter,
    busy: bool,
    ticks: u64,
    /// What the one that was served least of those waiting got, see [`Peer::share`].
    least_share: u64,
}

impl Swarm {
    /// A torrent of which only the hashes are known. [`Self::set_content`] makes it move content;
    /// before, it fetches the metadata from its peers (BEP 9).
    #[must_use]
    pub fn new(config: Config, local: Local, hashes: InfoHashes, rng: Rng) -> Self {
        config.check();
        let (up, down) = (Bucket::new(config.upload_rate_max), Bucket::new(config.download_rate_max));
        Self {
            choker: Choker::new(Instant::ZERO, &config),
            config,
            local,
            rng,
            peers: Peers::default(),
            body: None,
            metadata: Metadata::new(hashes),
            blame: Blame::default(),
            up,
            down,
            ready_down: Vec::new(),
            ready_up: VecDeque::new(),
            picks: Vec::new(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            paused: None,
            private: false,
            asked: 0,
            unwritten: 0,
            slots_changed: false,
            pumped_epoch: 0,
            was_endgame: false,
            ticked_at: 0,
            tick_at: None,
            wake_at: None,
            node_limit: None,
            metadata_done: false,
            info_hash: hashes.primary(),
            layers: LayerFetch::default(),
            super_seed: None,
            web_seeds: Vec::new(),
            web_rate: Meter::new(Instant::ZERO, Duration::from_secs(3)),
            busy: false,
            ticks: 0,
            least_share: 0,
        }
    }

    /// The metadata is known: from a file, or from [`Event::Metadata`]. Once only; later calls are
    /// ignored. [`Event::Done`] comes when nothing is wanted that is not there.
    pub fn set_content(&mut self, now: Instant, content: Content) {
        if self.body.is_some() {
            return;
        }
        let Content { hashes, have, priorities } = content;
        let info = hashes.info().clone();
        self.private = info.private;
        let mut picker = Picker::new(Geometry::new(&info.layout), have);
        picker.set_sequential(self.config.sequential.then_some(0));
        self.web_seeds.iter().for_each(|_| picker.availability().add_whole());
        let unverified =
            |pieces: std::ops::Range<u32>| pieces.filter(|piece| !picker.have().get(*piece)).count() as u32;
        let missing = info.layout.files().iter().map(|file| unverified(file.pieces.clone())).collect();
        self.stats.pieces = picker.geometry().pieces();
        self.stats.pieces_done = picker.have().count();
        self.body = Some(Box::new(Body {
            hashes,
            picker,
            missing,
            first_sent: Vec::new(),
            digests_due: BTreeSet::new(),
            was_done: false,
            lost: BTreeSet::new(),
        }));
        self.lock_unverifiable();
        self.want_layers();
        self.begin_super_seeding(now);
        if !priorities.is_empty() {
            self.set_priorities(now, &priorities);
        }
        for slot in self.peers.all() {
            self.announce_late(slot);
            self.learn_early(now, slot);
        }
        self.check_done();
    }

    /// Whether the metadata is known.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.body.is_some()
    }

    /// A connection came up, went down or can take more.
    pub fn handle_peer(&mut self, now: Instant, conn: ConnId, change: PeerChange) {
        match (self.peers.slot(conn), change) {
            (None, PeerChange::Up { addr, outgoing, utp, handshake }) => {
                self.join(now, conn, addr, (outgoing, utp), &handshake)
            }
            (Some(slot), PeerChange::Down) => self.remove(slot),
            (Some(slot), PeerChange::Writable { bytes }) => {
                if let Some(peer) = self.peers.get_mut(slot) {
                    peer.credit = bytes;
                    self.mark_up(slot);
                }
            }
            _ => {}
        }
    }

    fn join(
        &mut self,
        now: Instant,
        conn: ConnId,
        addr: SocketAddr,
        (outgoing, utp): (bool, bool),
        handshake: &Handshake,
    ) {
        let slot = self.peers.vacant();
        let mut peer = Peer::new(now, slot, conn, addr, outgoing, handshake, &self.config);
        peer.utp = utp;
        peer.party = self.blame.join(Source::Peer { conn, addr });
        if let Some(body) = &self.body {
            peer.have = Bitfield::new(body.picker.geometry().pieces());
        }
        self.peers.insert(peer);
        self.say_pieces(now, slot);
        self.say_extensions(slot);
        if let Some(port) = self.config.dht_port.filter(|_| handshake.dht() && !self.private) {
            self.peers.send(slot, &Message::Port(port));
        }
        self.tick_at.get_or_insert(now + timers::TICK);
    }

    /// A block arrived. See [`BlockVerdict`].
    pub fn handle_block(&mut self, now: Instant, conn: ConnId, block: Block) -> BlockVerdict {
        let Some(slot) = self.peers.slot(conn) else { return BlockVerdict::Drop };
        self.on_block(now, slot, block)
    }

    /// A message arrived. One that breaks the protocol ends the connection.
    pub fn handle_message(&mut self, now: Instant, conn: ConnId, message: Message) {
        let Some(slot) = self.peers.slot(conn) else { return };
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.last_received = now;
        }
        if let Err(reason) = self.on_message(now, slot, message) {
            self.disconnect(slot, reason);
        }
    }

    /// The store reports.
    pub fn handle_store(&mut self, now: Instant, event: StoreEvent) {
        self.on_store(now, event);
    }

    /// Sends blocks and asks for new ones as far as the budgets allow (`up` and `down` are the node's,
    /// beside the torrent's own): once per batch of inputs, and after each `handle_timeout`.
    pub fn pump(&mut self, now: Instant, up: &mut Bucket, down: &mut Bucket) {
        for bucket in [&mut *up, &mut *down, &mut self.up, &mut self.down] {
            bucket.refill(now);
        }
        self.wake_at = None;
        if self.slots_changed {
            self.fill_slots(now, up.rate());
        }
        self.pump_uploads(now, up);
        self.pump_requests(now, down);
        self.pump_web(now, down);
    }

    /// What is to be done next; to be drained to `None` after every batch of inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let (conn, bytes) = self.peers.next_flush()?;
        Some(Output::Send { conn, bytes })
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let tick = self.tick_at.map(|at| (at, "tick"));
        let wake = self.wake_at.map(|at| (at, "rate limit"));
        tick.into_iter().chain(wake).min()
    }

    /// Counters. Rates and peer counts are as of the last tick.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The peers, in the order of their connections.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStats> {
        let mut peers: Vec<PeerStats> = self.peers.iter().map(peer_stats).collect();
        peers.sort_by_key(|peer| peer.conn);
        peers
    }

    /// The verified pieces; `None` while the metadata is unknown.
    #[must_use]
    pub fn have(&self) -> Option<&Bitfield> {
        Some(self.body.as_ref()?.picker.have())
    }

    /// Whether all that is wanted is verified.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.picker.wanted().is_empty())
    }

    /// Why nothing is fetched; `None` while it is.
    #[must_use]
    pub fn paused(&self) -> Option<PauseReason> {
        self.paused
    }

    /// Forgets a peer, and asks others for what it was asked for.
    fn remove(&mut self, slot: u32) {
        self.release_all(slot);
        let Some(peer) = self.peers.remove(slot) else { return };
        // The slot may be given to another peer.
        self.ready_up.retain(|ready| *ready != slot);
        self.ready_down.retain(|ready| *ready != slot);
        self.choker.remove(slot);
        self.metadata.remove(slot);
        self.layers.remove(slot);
        if let Some(machine) = &mut self.super_seed {
            machine.remove(slot);
        }
        self.blame.leave(peer.party);
        self.slots_changed = true;
        if let Some(body) = &mut self.body {
            let availability = body.picker.availability();
            if peer.whole {
                availability.remove_whole();
            } else {
                peer.have.iter().for_each(|piece| availability.remove(piece));
            }
            body.first_sent.iter_mut().filter(|first| **first == peer.party + 1).for_each(|first| *first = 0);
        }
        if self.peers.is_empty() && self.web_seeds.is_empty() {
            self.tick_at = None;
            self.update_counts();
        }
    }

    fn disconnect(&mut self, slot: u32, reason: Reason) {
        let Some(peer) = self.peers.get(slot) else { return };
        let conn = peer.conn;
        self.remove(slot);
        self.outputs.push_back(Output::Disconnect { conn, reason });
    }

    /// Bans a party, and disconnects it when it is a peer that is still here.
    fn ban_party(&mut self, now: Instant, party: u32, reason: Reason) {
        let Some(source) = self.blame.source(party) else { return };
        self.blame.forget(party);
        match source {
            Source::Peer { conn, addr } => {
                self.stats.bans += 1;
                self.outputs.push_back(Output::Ban { conn, addr, reason });
                if let Some(slot) = self.peers.slot(conn) {
                    self.disconnect(slot, reason);
                }
            }
            Source::Web(web_seed) => self.drop_web_seed(now, web_seed),
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn mark_down(&mut self, slot: u32) {
        if let Some(peer) = self.peers.get_mut(slot)
            && !peer.in_down
        {
            peer.in_down = true;
            self.ready_down.push(slot);
        }
    }

    fn mark_up(&mut self, slot: u32) {
        if let Some(peer) = self.peers.get_mut(slot)
            && !peer.in_up
            && peer.credit > 0
            && !peer.uploads.is_empty()
        {
            peer.in_up = true;
            // Whoever asked for nothing for a while has no claim on that time.
            peer.share = peer.share.max(self.least_share);
            self.ready_up.push_back(slot);
        }
    }
}

fn peer_stats(peer: &Peer) -> PeerStats {
    PeerStats {
        conn: peer.conn,
        addr: peer.addr,
        outgoing: peer.outgoing,
        client: peer.client.clone(),
        downloaded: peer.down.total(),
        uploaded: peer.up.total(),
        download_rate: peer.down.rate() as u64,
        upload_rate: peer.up.rate() as u64,
        pieces: peer.have.count(),
        am_choking: peer.am_choking,
        am_interested: peer.am_interested,
        peer_choking: peer.peer_choking,
        peer_interested: peer.peer_interested,
        snubbed: peer.pipeline.is_snubbed(),
        requests_out: peer.pipeline.len() as u32,
        requests_in: peer.uploads.len() as u32,
    }
}
