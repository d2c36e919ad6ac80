//! The machine itself: inputs, outputs, timers. What belongs to one concern is in the files below.

use crate::addr::Ranges;
use crate::bans::Bans;
use crate::candidates::{Backoff, Candidates};
use crate::event::{AddError, BlockVerdict, CloseReason, Output, PeerChange, Source, TorrentParams};
use crate::trackers::{Announcer, Trackers};
use crate::{Config, Dht, Local, PeerInfo, Stats, TORRENTS_MAX, Via};
use conns::{Conns, Stage};
use peerage_base::{ConnId, Contact, Duration, InfoHashes, Instant, Rng, TorrentId};
use peerage_swarm::{Block, Bucket, Content, Message, StoreEvent, Swarm, WebChange, WebSeedId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use torrent::Torrent;

mod announce;
mod budget;
mod connect;
mod conns;
mod dial;
mod drain;
mod lan;
mod punch;
mod roads;
mod search;
mod torrent;

/// The whole peer.
///
/// Call order: any inputs, then [`Self::pump`], then [`Self::poll_output`] to `None`, then
/// [`Self::poll_timeout`]. `now` never goes back. Inputs that name a connection or torrent which is
/// gone are ignored.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    local: Local,
    rng: Rng,
    announcer: Announcer,
    ranges: Ranges,
    bans: Bans,
    /// Peers that are dialled by their keys, by what stands for them among the candidates.
    contacts: BTreeMap<SocketAddr, Contact>,
    conns: Conns,
    torrents: BTreeMap<TorrentId, Torrent>,
    by_hash: BTreeMap<[u8; 20], TorrentId>,
    next_torrent: u32,
    outputs: VecDeque<Output>,
    /// Torrents whose machines have outputs.
    dirty: Vec<TorrentId>,
    /// Torrents to pump.
    unpumped: Vec<TorrentId>,
    /// Torrents that found a bucket shut.
    starved: BTreeSet<TorrentId>,
    /// Torrents that would dial but found no place.
    waiting_to_dial: BTreeSet<TorrentId>,
    timers: BTreeSet<(Instant, TorrentId)>,
    up: Bucket,
    down: Bucket,
    /// Advances with each dial, see `next_dial_at`.
    dial_clock: Instant,
    /// When the last connection was evicted.
    evicted_at: Option<Instant>,
    housekeeping_at: Instant,
    stopped: bool,
    /// The last moment that an input told.
    now: Instant,
    stats: Stats,
}

pub use lan::LAN_PEERS_MAX;

/// How often tables are tidied, budgets shared anew, and useless connections looked for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(5);

impl Peer {
    /// A peer without torrents. `rng` decides all that is left to chance; seed it from the system.
    #[must_use]
    pub fn new(config: Config, local: Local, mut rng: Rng) -> Self {
        config.check();
        let announcer = Announcer { peer_id: local.peer_id, port: local.listen_port, key: rng.next_u32() };
        Self {
            ranges: Ranges::new(config.allow_local, &local.addresses),
            up: Bucket::new(config.upload_rate_max),
            down: Bucket::new(config.download_rate_max),
            config,
            local,
            rng,
            announcer,
            bans: Bans::default(),
            contacts: BTreeMap::new(),
            conns: Conns::default(),
            torrents: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            next_torrent: 0,
            outputs: VecDeque::new(),
            dirty: Vec::new(),
            unpumped: Vec::new(),
            starved: BTreeSet::new(),
            waiting_to_dial: BTreeSet::new(),
            timers: BTreeSet::new(),
            dial_clock: Instant::ZERO,
            evicted_at: None,
            housekeeping_at: Instant::ZERO,
            stopped: false,
            now: Instant::ZERO,
            stats: Stats::default(),
        }
    }

    /// Others reach us on `port`, not on the one that we listen on: a router leads it to us. Trackers
    /// are told as soon as they allow, peers when they connect.
    pub fn set_external_port(&mut self, now: Instant, port: u16) {
        self.now = now;
        if self.announcer.port == port {
            return;
        }
        self.announcer.port = port;
        let ids: Vec<TorrentId> = self.torrents.keys().copied().collect();
        for id in ids {
            if let Some(torrent) = self.torrents.get_mut(&id) {
                torrent.trackers.set_port(port);
                torrent.swarm.set_listen_port(port);
            }
            self.touch(id);
        }
    }

    /// The info hashes that a connection may be about.
    pub fn info_hashes(&self) -> impl Iterator<Item = [u8; 20]> {
        self.by_hash.keys().copied()
    }

    /// Takes part in a torrent: dials and announces are outputs at once.
    ///
    /// # Errors
    /// See [`AddError`].
    pub fn add_torrent(&mut self, now: Instant, params: TorrentParams) -> Result<TorrentId, AddError> {
        self.now = now;
        if params.hashes.wire().next().is_none() {
            return Err(AddError::NoHash);
        }
        if let Some(id) = params.hashes.wire().find_map(|hash| self.by_hash.get(&hash)) {
            return Err(AddError::Exists(*id));
        }
        if self.torrents.len() >= TORRENTS_MAX || self.stopped {
            return Err(AddError::TooMany);
        }
        let id = TorrentId(self.next_torrent);
        self.next_torrent += 1;
        for hash in params.hashes.wire() {
            self.by_hash.insert(hash, id);
        }
        let TorrentParams { hashes, content, private, trackers, peers, contacts, web_seeds, config } = params;
        let torrent = self.torrent(hashes, private, config);
        self.torrents.insert(id, torrent);
        self.add_trackers(now, id, trackers);
        for url in web_seeds {
            self.add_web_seed(now, id, url);
        }
        if let Some(content) = content {
            self.set_content(now, id, content);
        }
        for contact in &contacts {
            self.add_contact(now, id, contact);
        }
        for addr in peers {
            self.add_peer(now, id, addr);
        }
        self.share_inflight();
        self.touch(id);
        Ok(id)
    }

    fn torrent(&mut self, hashes: InfoHashes, private: bool, mut config: peerage_swarm::Config) -> Torrent {
        let told = self.config.via != Via::Relay;
        config.pex &= !private && told;
        config.holepunch = self.config.utp && told;
        config.dht_port = (self.config.dht == Dht::Server && told).then_some(self.local.listen_port);
        let local = peerage_swarm::Local { peer_id: self.local.peer_id, listen_port: self.announcer.port };
        let backoff = Backoff {
            first: self.config.retry_first,
            max: self.config.retry_max,
            user_max: self.config.retry_user_max,
        };
        Torrent {
            hashes,
            private,
            swarm: Swarm::new(config, local, hashes, self.rng.fork()),
            candidates: Candidates::new(backoff),
            trackers: Trackers::new(self.announcer, hashes.wire().collect()),
            searches: Vec::new(),
            lan: None,
            web_seeds: Vec::new(),
            dial_at: None,
            timer: None,
            dirty: false,
            wants_pump: false,
            window: (0, 0),
        }
    }

    /// The metadata of a torrent is known: after [`peerage_swarm::Event::Metadata`]. When it turns
    /// out to be private (BEP 27), addresses from peers, the DHT and the local network are forgotten, and it is
    /// looked for there no more.
    pub fn set_content(&mut self, now: Instant, id: TorrentId, content: Content) {
        self.now = now;
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        let private = content.hashes.info().private;
        torrent.swarm.set_content(now, content);
        torrent.private |= private;
        if torrent.private {
            torrent.candidates.retain(|_, source| !matches!(source, Source::Pex | Source::Dht | Source::Lan));
            torrent.searches.clear();
            torrent.lan = None;
        }
        if torrent.swarm.stats().left == 0 {
            torrent.trackers.was_complete();
        }
        self.touch(id);
    }

    /// Leaves a torrent: its connections end, its trackers are told. Returns whether it was there.
    pub fn remove_torrent(&mut self, now: Instant, id: TorrentId) -> bool {
        self.now = now;
        let Some(torrent) = self.torrents.get(&id) else { return false };
        let progress = torrent.progress(0);
        let conns: Vec<ConnId> =
            self.conns.iter().filter(|conn| conn.torrent == Some(id)).map(|conn| conn.id).collect();
        for conn in conns {
            self.close(now, conn, CloseReason::Removed);
        }
        let Some(mut torrent) = self.torrents.remove(&id) else { return false };
        for announce in torrent.trackers.stop(progress) {
            self.emit_announce(id, announce);
        }
        self.by_hash.retain(|_, torrent| *torrent != id);
        if let Some(at) = torrent.timer {
            self.timers.remove(&(at, id));
        }
        self.waiting_to_dial.remove(&id);
        self.starved.remove(&id);
        self.share_inflight();
        self.dial_waiting(now);
        true
    }

    /// The end: every connection is closed, every tracker is told (`stopped`). Nothing new begins.
    pub fn stop(&mut self, now: Instant) {
        self.stopped = true;
        let ids: Vec<TorrentId> = self.torrents.keys().copied().collect();
        for id in ids {
            self.remove_torrent(now, id);
        }
        let rest: Vec<ConnId> = self.conns.iter().map(|conn| conn.id).collect();
        for conn in rest {
            self.close(now, conn, CloseReason::Removed);
        }
    }

    /// Adds a peer that the user or the link names: any range but those that are no hosts. It is
    /// dialled at once. Returns whether it can be dialled at all.
    pub fn add_peer(&mut self, now: Instant, id: TorrentId, addr: SocketAddr) -> bool {
        self.now = now;
        self.add_candidates(now, id, Source::User, None, &[addr]) > 0
    }

    /// Adds trackers, as tiers after the others.
    #[allow(clippy::needless_pass_by_value)]
    pub fn add_trackers(&mut self, now: Instant, id: TorrentId, tiers: Vec<Vec<String>>) {
        self.now = now;
        let Some(torrent) = self.torrents.get_mut(&id).filter(|_| self.config.via != Via::Relay) else {
            return;
        };
        torrent.trackers.add(now, &tiers, &mut self.rng);
        self.announce(now, id);
        self.touch(id);
    }

    /// Adds a web seed. `None`: no such torrent, the URL is known already, or there are too many.
    pub fn add_web_seed(&mut self, now: Instant, id: TorrentId, url: String) -> Option<WebSeedId> {
        self.now = now;
        let torrent = self.torrents.get_mut(&id).filter(|_| self.config.via != Via::Relay)?;
        let known = torrent.web_seeds.iter().any(|(_, other)| *other == url);
        if known || torrent.web_seeds.len() >= peerage_base::limits::WEB_SEEDS_MAX {
            return None;
        }
        let web_seed = torrent.swarm.add_web_seed(now)?;
        torrent.web_seeds.push((web_seed, url));
        self.touch(id);
        Some(web_seed)
    }

    /// A connection's state changed.
    pub fn handle_peer(&mut self, now: Instant, conn: ConnId, change: PeerChange) {
        self.now = now;
        match change {
            PeerChange::Authenticated(road, key) => self.on_authenticated(conn, road, key),
            PeerChange::Connected => self.on_connected(now, conn),
            PeerChange::Closed(_) => self.on_closed(now, conn),
            PeerChange::Writable { bytes } => {
                let change = peerage_swarm::PeerChange::Writable { bytes };
                self.with_swarm(conn, |swarm| swarm.handle_peer(now, conn, change));
            }
        }
    }

    /// Any frame but the handshake and blocks, without its length prefix.
    pub fn handle_frame(&mut self, now: Instant, conn: ConnId, frame: &[u8]) {
        self.now = now;
        match Message::decode(frame) {
            Ok(message) => self.on_message(now, conn, message),
            Err(error) => self.close(now, conn, CloseReason::Garbage(error.to_string())),
        }
    }

    /// A `piece` message arrived. On [`BlockVerdict::Accept`] its bytes must be on their way to the
    /// store before outputs are drained.
    pub fn handle_block(&mut self, now: Instant, conn: ConnId, block: Block) -> BlockVerdict {
        self.now = now;
        let Some(known) = self.conns.get_mut(conn).filter(|known| known.stage == Stage::Up) else {
            return BlockVerdict::Drop;
        };
        let Some(id) = known.torrent else { return BlockVerdict::Drop };
        let Some(torrent) = self.torrents.get_mut(&id) else { return BlockVerdict::Drop };
        let verdict = torrent.swarm.handle_block(now, conn, block);
        known.useful |= verdict == peerage_swarm::BlockVerdict::Accept;
        self.touch(id);
        match verdict {
            peerage_swarm::BlockVerdict::Accept => BlockVerdict::Accept(id),
            peerage_swarm::BlockVerdict::Drop => BlockVerdict::Drop,
        }
    }

    /// The bytes of a connection could not be split into frames; `error` says how, in words.
    pub fn handle_garbage(&mut self, now: Instant, conn: ConnId, error: &str) {
        self.now = now;
        self.close(now, conn, CloseReason::Garbage(error.to_owned()));
    }

    /// The store reports.
    pub fn handle_store(&mut self, now: Instant, id: TorrentId, event: StoreEvent) {
        self.now = now;
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        torrent.swarm.handle_store(now, event);
        self.touch(id);
    }

    /// A web seed delivered a block; as [`Self::handle_block`].
    pub fn handle_web_block(
        &mut self,
        now: Instant,
        id: TorrentId,
        web_seed: WebSeedId,
        block: Block,
    ) -> BlockVerdict {
        self.now = now;
        let Some(torrent) = self.torrents.get_mut(&id) else { return BlockVerdict::Drop };
        let verdict = torrent.swarm.handle_web_block(now, web_seed, block);
        self.touch(id);
        match verdict {
            peerage_swarm::BlockVerdict::Accept => BlockVerdict::Accept(id),
            peerage_swarm::BlockVerdict::Drop => BlockVerdict::Drop,
        }
    }

    /// A web request ended.
    pub fn handle_web(&mut self, now: Instant, id: TorrentId, web_seed: WebSeedId, change: WebChange) {
        self.now = now;
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        torrent.swarm.handle_web(now, web_seed, change);
        self.touch(id);
    }

    /// A deadline passed; early and late calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.close_overdue(now);
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.on_torrent_timer(now, id);
        }
        self.dial_waiting(now);
        self.feed_starved(now);
        if now >= self.housekeeping_at {
            self.housekeeping_at = now + HOUSEKEEPING_INTERVAL;
            self.housekeep(now);
        }
    }

    fn on_torrent_timer(&mut self, now: Instant, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        torrent.timer = None;
        torrent.swarm.handle_timeout(now);
        self.announce(now, id);
        self.search_due(now, id);
        self.announce_lan(now, id);
        self.dial(now, id);
        self.touch(id);
    }

    fn housekeep(&mut self, now: Instant) {
        self.bans.expire(now);
        self.share_inflight();
        self.turn_over(now);
        for torrent in self.torrents.values_mut() {
            let stats = torrent.swarm.stats();
            torrent.window = (stats.uploaded, stats.downloaded);
        }
        self.hurry_trackers();
        self.hurry_searches(now);
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let half_open = self.conns.next_deadline().map(|(at, _)| (at, "handshake"));
        let torrent = self.timers.first().map(|(at, _)| (*at, "torrent"));
        let paced = self.paced_until().map(|at| (at, "dial"));
        let rate = self.starved_until().map(|at| (at, "rate"));
        let housekeeping = (!self.torrents.is_empty()).then_some((self.housekeeping_at, "housekeeping"));
        [half_open, torrent, paced, rate, housekeeping].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Bans an address by the user's wish; its connections end.
    pub fn ban(&mut self, now: Instant, addr: SocketAddr) {
        self.now = now;
        self.ban_addr(now, addr, "banned by the user".to_owned());
    }

    /// Lifts the ban of an address. Returns whether there was one.
    pub fn unban(&mut self, addr: SocketAddr) -> bool {
        self.bans.lift(addr)
    }

    /// Limits of all torrents together, in bytes per second; `None`: unlimited.
    pub fn set_rates(&mut self, now: Instant, upload: Option<u64>, download: Option<u64>) {
        self.now = now;
        self.up.set_rate(now, upload);
        self.down.set_rate(now, download);
        let ids: Vec<TorrentId> = self.torrents.keys().copied().collect();
        ids.into_iter().for_each(|id| self.touch(id));
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Counters, up to date.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.conns.len(),
            half_open: self.conns.half_open_out() + self.conns.half_open_in(),
            ..self.stats.clone()
        }
    }

    /// The torrents.
    pub fn torrents(&self) -> impl Iterator<Item = TorrentId> {
        self.torrents.keys().copied()
    }

    /// A torrent's machine, to look at.
    #[must_use]
    pub fn swarm(&self, id: TorrentId) -> Option<&Swarm> {
        self.torrents.get(&id).map(|torrent| &torrent.swarm)
    }

    /// A torrent's machine, for its commands (priorities, sequential, rates, pause, resume). Call
    /// [`Self::pump`] and drain afterwards.
    pub fn swarm_mut(&mut self, id: TorrentId) -> Option<&mut Swarm> {
        self.touch(id);
        self.torrents.get_mut(&id).map(|torrent| &mut torrent.swarm)
    }

    /// Addresses known for a torrent.
    #[must_use]
    pub fn known(&self, id: TorrentId) -> usize {
        self.torrents.get(&id).map_or(0, |torrent| torrent.candidates.len())
    }

    /// The same, by the best source that named each.
    #[must_use]
    pub fn sources(&self, id: TorrentId) -> BTreeMap<Source, usize> {
        self.torrents.get(&id).map(|torrent| torrent.candidates.by_source()).unwrap_or_default()
    }

    /// The open connections of a torrent.
    #[must_use]
    pub fn peers(&self, id: TorrentId) -> Vec<PeerInfo> {
        let Some(torrent) = self.torrents.get(&id) else { return Vec::new() };
        let info = |stats: peerage_swarm::PeerStats| {
            let conn = self.conns.get(stats.conn)?;
            Some(PeerInfo { conn: conn.id, addr: conn.addr, road: conn.road, key: conn.key, stats })
        };
        torrent.swarm.peers().into_iter().filter_map(info).collect()
    }

    /// Whether an address is banned, and why.
    #[must_use]
    pub fn ban_reason(&self, now: Instant, addr: SocketAddr) -> Option<&str> {
        self.bans.reason(now, addr)
    }
}
