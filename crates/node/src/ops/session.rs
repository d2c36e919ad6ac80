//! What `share` and `get` have in common: a driver, one torrent in it, and a user to be told.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::event::{Progress, Sources, Stage, Stats};
use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_base::contact::shown;
use peerage_base::{Contact, Instant, TorrentId};
use peerage_content::Hashes;
use peerage_peer::{Source, TorrentParams};
use peerage_store::{AddError, AddTorrent, CheckMode, CheckOutcome, PieceSet, Report};
use peerage_swarm::{Bitfield, Content, Priority};

use super::ways::{self, Interface};
use crate::driver::{Driver, News, Torrent, Who};
use crate::{Sink, Stop};

/// How often progress is told.
const TICK: Duration = Duration::from_secs(1);
/// A rest that would take longer is not foretold: such a rate is that of something that stands still.
const ETA_MAX: Duration = Duration::from_hours(99 * 24);
/// How long the goodbye to trackers and peers may take.
const GOODBYE_LIMIT: Duration = Duration::from_secs(3);

/// An announce that is late by less is on its way.
const LAG_TOLD: Duration = Duration::from_secs(60);

/// A running node with one torrent.
pub(super) struct Session {
    pub driver: Driver,
    pub torrent: TorrentId,
    pub sink: Sink,
    pub stop: Stop,
    /// Bytes that are wanted; 0 while unknown.
    pub wanted: u64,
    /// Peers served at once, where the user limits it.
    pub upload_slots: Option<usize>,
    /// The ways that the user permits.
    pub via: ViaPolicy,
    interface: Interface,
    next_tick: Instant,
}

/// What the opening of a torrent has found and done.
pub(super) struct Opened {
    pub outcome: CheckOutcome,
    /// Of files that took their names, or could not: [`Report::FileDone`], [`Report::FileBlocked`].
    pub files: Vec<Report>,
}

impl Session {
    pub fn start(config: &NodeConfig, who: Who, sink: Sink, stop: Stop) -> Result<Self, Failure> {
        ways::check(config)?;
        let driver = Driver::start(config, who)?;
        ways::tell(config, &sink);
        if let Some(error) = driver.udp_failure() {
            let message = format!("{error}: no uTP and no DHT there");
            sink(Event::Warning { message });
        }
        if driver.has_borrowed_key() {
            let message = "another run shows this machine's key at its relay, which serves each key once: this one has a key of its own, which its link names".to_owned();
            sink(Event::Warning { message });
        }
        let next_tick = driver.now() + TICK;
        let upload_slots = config.upload_slots;
        let (via, interface) = (config.via, Interface::new());
        let torrent = TorrentId(0);
        Ok(Self { driver, torrent, sink, stop, wanted: 0, upload_slots, via, interface, next_tick })
    }

    /// Adds the torrent that this session is about.
    pub fn add_torrent(&mut self, params: TorrentParams) -> Result<(), Failure> {
        let now = self.driver.now();
        let added = self.driver.peer.add_torrent(now, params);
        let failure = |error: peerage_peer::AddError| {
            Failure::new(ExitCode::Unclassified, "E_TORRENT", error.to_string())
        };
        self.torrent = added.map_err(failure)?;
        Ok(())
    }

    /// Begins to look for peers: those that are named, and those that trackers, the DHT and the local network
    /// name.
    pub fn look_for_peers(&mut self, contacts: &[Contact], named: Named, trackers: Vec<Vec<String>>) {
        let now = self.driver.now();
        let (peer, torrent) = (&mut self.driver.peer, self.torrent);
        for contact in contacts.iter().chain(&named.contacts) {
            peer.add_contact(now, torrent, contact);
        }
        for addr in named.addrs {
            peer.add_peer(now, torrent, addr);
        }
        peer.add_trackers(now, torrent, trackers);
        peer.search(now, torrent);
    }

    pub fn tell(&self, event: Event) {
        (self.sink)(event);
    }

    /// Opens the torrent's files and checks them as `mode` says. `None` when the user stopped it, or it
    /// went on `until` the end of the time there is.
    ///
    /// # Errors
    /// The check ended by itself.
    pub async fn open(
        &mut self,
        add: AddTorrent,
        torrent: Torrent,
        mode: CheckMode,
        until: Option<Instant>,
    ) -> Result<Option<Opened>, Failure> {
        debug_assert_eq!(add.id, self.torrent);
        let store = torrent.store.clone();
        self.driver.torrents.insert(self.torrent, torrent);
        store.check(mode);
        let mut cancelled = false;
        let mut files = Vec::new();
        loop {
            // Nobody else looks at the time meanwhile, and a turn ends at once where it has come.
            self.tick();
            let late = until.is_some_and(|until| self.driver.now() >= until);
            if (self.stop.is_requested() || late) && !cancelled {
                store.cancel_check();
                cancelled = true;
            }
            self.turn().await;
            while let Some(news) = self.driver.news() {
                match news {
                    News::Store(Report::CheckProgress { done, total, .. }) => {
                        self.tell(Event::Hashing { done, total });
                    }
                    News::Store(report @ (Report::FileDone { .. } | Report::FileBlocked { .. })) => {
                        files.push(report);
                    }
                    News::Store(Report::Checked { outcome, .. }) if outcome.cancelled && !cancelled => {
                        let why = outcome.errors.first().map_or("it was cancelled", String::as_str);
                        let message = format!("what is there could not be checked: {why}");
                        return Err(Failure::new(ExitCode::Unclassified, "E_STORE", message));
                    }
                    News::Store(Report::Checked { outcome, .. }) => {
                        return Ok((!outcome.cancelled).then_some(Opened { outcome, files }));
                    }
                    other => self.report(other),
                }
            }
        }
    }

    /// The content is known and checked: the torrent can serve and fetch.
    pub fn set_content(&mut self, hashes: &Hashes, have: &PieceSet, priorities: Vec<Priority>) {
        let pieces = have.pieces();
        let have = Bitfield::from_bytes(have.as_bytes(), pieces).unwrap_or_else(|| Bitfield::new(pieces));
        let now = self.driver.now();
        self.driver.peer.set_content(now, self.torrent, Content { hashes: hashes.clone(), have, priorities });
    }

    /// One turn of the driver, at most until the next tick or the user's wish to stop.
    pub async fn turn(&mut self) {
        let wake = self.next_tick;
        tokio::select! {
            biased;
            () = self.driver.turn(wake) => {}
            () = self.stop.requested(), if !self.stop.is_requested() => {}
        }
    }

    /// Whether a second has passed since the last time this was true.
    pub fn tick(&mut self) -> bool {
        let now = self.driver.now();
        let due = now >= self.next_tick;
        if due {
            self.next_tick = now + TICK;
            self.interface.watch(self.driver.egress(), &self.sink);
        }
        due
    }

    /// Why nothing moves, where it is the interface that the user named.
    pub fn interface_failure(&self) -> Option<Failure> {
        self.interface.failure(self.driver.egress())
    }

    /// Tells the user what needs no decision.
    pub fn report(&self, news: News) {
        let event = match news {
            News::Banned(addr, reason) => Event::PeerBanned { addr: shown(addr), reason },
            News::Tracker(_, url, result) => {
                let url = printable(&url);
                match result {
                    Ok(peers) => Event::Tracker { url, peers, error: None },
                    Err(error) => Event::Tracker { url, peers: 0, error: Some(printable(&error)) },
                }
            }
            News::Searched(report, nodes) => {
                Event::Dht { peers: report.peers, nodes, announced: report.stored }
            }
            News::PortMapped(external, method) => {
                Event::PortMapped { external: external.to_string(), method: method.to_owned() }
            }
            News::Connected(addr, road, peer) => {
                let peer = peer.map(|peer| peer.to_string());
                Event::PeerConnected { addr: shown(addr), road, peer }
            }
            News::Disconnected(addr, reason) => {
                Event::PeerDisconnected { addr: shown(addr), reason: printable(&reason) }
            }
            News::Store(Report::Warning { message, .. }) => Event::Warning { message },
            News::Store(Report::Lost { file, .. }) => {
                let name = self.file_name(file);
                Event::Warning {
                    message: format!(
                        "{name} changed on the disk; it is not served until it was checked again"
                    ),
                }
            }
            News::Store(Report::Rechecked { file, pieces, good, .. }) => {
                let name = self.file_name(file);
                let message = if good.len() == pieces.len() {
                    format!("{name} is as it was, and served again")
                } else {
                    format!("{name}: {} of {} pieces are still right, and served", good.len(), pieces.len())
                };
                Event::Warning { message }
            }
            News::Store(_) | News::Swarm(..) | News::Trace(_) => return,
        };
        self.tell(event);
    }

    /// A file's path below the torrent's folder, for people.
    pub fn file_name(&self, file: usize) -> String {
        let info = self.driver.torrents.get(&self.torrent).map(|torrent| &torrent.info);
        info.and_then(|info| info.layout.files().get(file))
            .map_or_else(String::new, |file| file.path.to_string())
    }

    pub fn stats(&self) -> Stats {
        let peers = self.driver.peer.peers(self.torrent).len();
        let Some(swarm) = self.driver.peer.swarm(self.torrent) else {
            return Stats { peers, ..Stats::default() };
        };
        let stats = swarm.stats();
        Stats {
            downloaded: stats.downloaded,
            uploaded: stats.uploaded,
            wasted: stats.wasted,
            hash_failures: stats.pieces_failed.into(),
            banned: stats.bans.into(),
            peers,
        }
    }

    /// Bytes of what is wanted that are verified.
    pub fn done(&self) -> u64 {
        let left = self.driver.peer.swarm(self.torrent).map_or(0, |swarm| swarm.stats().left);
        self.wanted.saturating_sub(left)
    }

    pub fn progress(&self, stage: Stage) -> Progress {
        let peer_stats = self.driver.peer.stats();
        let Some(swarm) = self.driver.peer.swarm(self.torrent) else { return Progress::default() };
        let stats = swarm.stats();
        let left = self.wanted.saturating_sub(self.done());
        let eta = if stage == Stage::Paused { None } else { eta(left, stats.download_rate) };
        Progress {
            stage,
            done: self.done(),
            total: self.wanted,
            down_rate: stats.download_rate,
            up_rate: stats.upload_rate,
            peers: stats.peers as usize,
            seeds: stats.seeds as usize,
            known: self.driver.peer.known(self.torrent).max(peer_stats.half_open),
            eta,
            sources: self.sources(),
            announce_lag: self.announce_lag(),
            road: self.driver.busiest_road(self.torrent),
        }
    }

    /// Who named the peers that are known.
    pub fn sources(&self) -> Sources {
        let counts = self.driver.peer.sources(self.torrent);
        let count = |source| counts.get(&source).copied().unwrap_or_default();
        Sources {
            user: count(Source::User),
            tracker: count(Source::Tracker),
            lan: count(Source::Lan),
            dht: count(Source::Dht),
            pex: count(Source::Pex),
            incoming: count(Source::Incoming),
        }
    }

    /// Seconds for which an announce to the DHT has been due, once they are worth telling.
    fn announce_lag(&self) -> Option<u64> {
        let lag = self.driver.peer.announce_lag(self.driver.now(), self.torrent);
        (lag >= LAG_TOLD).then_some(lag.as_secs())
    }

    /// Says goodbye to trackers and peers, and closes the store.
    pub async fn finish(mut self) {
        let now = self.driver.now();
        let stats = self.driver.peer.swarm(self.torrent).map(|_| self.stats());
        let unmapping = self.driver.close_mapping();
        self.driver.peer.stop(now);
        // The last announces begin when the machine's outputs are carried out, not before.
        self.driver.turn(now).await;
        let limit = now + GOODBYE_LIMIT;
        while self.driver.is_announcing() && self.driver.now() < limit {
            self.driver.turn(limit).await;
        }
        if let Some(unmapping) = unmapping {
            let _ = unmapping.await;
        }
        if let Some(stats) = stats {
            self.tell(Event::Stats(stats));
        }
        self.driver.close_dht().await;
        self.driver.go_offline().await;
        self.driver.store.close();
    }
}

/// Seconds until `left` bytes have come; `None` where that would be no more than a number.
pub(crate) fn eta(left: u64, rate: u64) -> Option<u64> {
    left.checked_div(rate).filter(|seconds| left > 0 && *seconds <= ETA_MAX.as_secs())
}

/// Why a torrent's files cannot be used, in the user's words.
pub(crate) fn add_failure(error: &AddError) -> Failure {
    match error {
        AddError::InUse => Failure::new(ExitCode::Locked, "E_IN_USE", error.to_string())
            .hint("wait for the other command to end, or stop it"),
        AddError::Dir { source, .. } => dir_failure(error.to_string(), source.kind()),
        AddError::Paths { .. } | AddError::Closing => {
            Failure::new(ExitCode::Unclassified, "E_STORE", error.to_string())
        }
    }
}

fn dir_failure(message: String, kind: ErrorKind) -> Failure {
    // A path through a file meets what a path to it meets.
    let kind = if kind == ErrorKind::NotADirectory { ErrorKind::AlreadyExists } else { kind };
    let failure = Failure::of_kind(kind, message);
    match kind {
        ErrorKind::AlreadyExists => failure.hint("a file stands there; choose a folder with -o DIR"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            failure.hint("choose another folder with -o DIR")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            failure.hint("free space there, or choose another folder with -o DIR")
        }
        _ => failure,
    }
}

/// Peers that the user or a link names.
#[derive(Default)]
pub(crate) struct Named {
    /// Who proves a key.
    pub contacts: Vec<Contact>,
    /// Whoever is there.
    pub addrs: Vec<SocketAddr>,
}

/// Whether text says who a peer is and where, as links do.
#[must_use]
pub fn is_contact(text: &str) -> bool {
    text.parse::<Contact>().is_ok()
}

/// What the user or a link names: `host:port`, or a [`Contact`]. Names are resolved here, once; not where
/// nobody of them would be dialled.
pub(crate) async fn resolve(peers: &[String], via: ViaPolicy, sink: &Sink) -> Named {
    let mut named = Named::default();
    for peer in peers {
        if let Ok(contact) = peer.parse() {
            named.contacts.push(contact);
            continue;
        }
        if via == ViaPolicy::Relay {
            continue;
        }
        if let Ok(addr) = peer.parse() {
            named.addrs.push(addr);
            continue;
        }
        let name = peer.clone();
        let found = tokio::task::spawn_blocking(move || name.to_socket_addrs().map(Vec::from_iter)).await;
        match found {
            Ok(Ok(found)) => named.addrs.extend(found),
            _ => sink(Event::Warning {
                message: format!("the peer {} is not an address that can be found", printable(peer)),
            }),
        }
    }
    named
}

/// Text from the network, without control characters: a tracker must not drive the user's terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The stage to show before any content has come.
pub(super) fn early_stage(peers: u32) -> Stage {
    if peers == 0 { Stage::Finding } else { Stage::Metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_foretold_where_nothing_moves() {
        assert_eq!(eta(1 << 20, 1 << 10), Some(1 << 10));
        assert_eq!((eta(0, 5), eta(5, 0)), (None, None));
        assert_eq!(eta(41_600_000, 1), None, "11555 hours");
    }
}
