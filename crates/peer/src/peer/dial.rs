//! Whom to dial, when, and who has to go to make room.

use super::Peer;
use super::conns::Stage;
use crate::addr::{self, LocalRange, Scope};
use crate::candidates::Ending;
use crate::event::{CloseReason, Output, Refusal, Source};
use crate::{Encryption, Via};
use peerage_base::{ConnId, Duration, Instant, TorrentId};
use peerage_swarm::PeerStats;
use std::net::{IpAddr, SocketAddr};

/// Dials that may begin at once before pacing sets in.
const DIAL_BURST: u32 = 20;

/// Candidates that nobody may dial now (host full) are looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// At most one connection is evicted in this time: newcomers cannot churn the table.
const EVICT_INTERVAL: Duration = Duration::from_secs(1);

/// A connection is not evicted before it had this time to show its worth: two rounds of choking.
const PROBATION: Duration = Duration::from_secs(30);

impl Peer {
    /// Takes addresses in, judged by range, ban and source. Returns how many are new.
    pub(super) fn add_candidates(
        &mut self,
        now: Instant,
        id: TorrentId,
        source: Source,
        teller: Option<IpAddr>,
        addrs: &[SocketAddr],
    ) -> usize {
        let mut added = 0;
        for addr in addrs {
            let addr = addr::canonical(*addr);
            let mut refused = self.refusal(now, addr, source);
            let Some(torrent) = self.torrents.get_mut(&id) else { return 0 };
            if refused.is_none() {
                added += usize::from(torrent.candidates.add(now, addr, source, teller, &mut self.rng));
                refused = torrent.candidates.source(addr).is_none().then_some(Refusal::NoRoom);
            }
            self.outputs.push_back(Output::Found { torrent: id, addr, source, refused });
        }
        if added > 0 {
            self.dial(now, id);
            self.touch(id);
        }
        added
    }

    /// Why an address that `source` names is not dialled.
    pub(super) fn refusal(&mut self, now: Instant, addr: SocketAddr, source: Source) -> Option<Refusal> {
        let allowed = match source {
            Source::User => addr::is_dialable(addr),
            // It is there: its datagram came from that address, by a wire of ours.
            Source::Lan => {
                let nearby = |range| range != LocalRange::Loopback && addr.port() != 0;
                matches!(addr::scope(addr.ip()), Scope::Local(range) if nearby(range))
                    || self.ranges.allow(addr)
            }
            _ => self.ranges.allow(addr),
        };
        let refusal = if self.config.via == Via::Relay {
            Refusal::NoWay
        } else if !allowed {
            Refusal::Range
        } else if self.bans.reason(now, addr).is_some() {
            Refusal::Banned
        } else if addr.port() == self.local.listen_port && self.local.addresses.contains(&addr.ip()) {
            Refusal::Ourselves
        } else {
            return None;
        };
        self.stats.addresses_refused += u64::from(matches!(refusal, Refusal::Range | Refusal::Banned));
        Some(refusal)
    }

    /// Dials for a torrent as long as there are candidates and places.
    pub(super) fn dial(&mut self, now: Instant, id: TorrentId) {
        loop {
            let Some(torrent) = self.torrents.get_mut(&id) else { return };
            let Some(ready) = torrent.candidates.next_at() else {
                torrent.dial_at = None;
                self.waiting_to_dial.remove(&id);
                return;
            };
            if ready > now {
                torrent.dial_at = Some(ready);
                self.waiting_to_dial.remove(&id);
                return;
            }
            // Woken by the end of a connection, not by time.
            torrent.dial_at = None;
            if !self.has_place(id) || self.next_dial_at() > now {
                self.waiting_to_dial.insert(id);
                return;
            }
            let Some(addr) = self.next_candidate(now, id) else {
                self.waiting_to_dial.remove(&id);
                if let Some(torrent) = self.torrents.get_mut(&id) {
                    torrent.dial_at = Some(now + LOOK_AGAIN);
                }
                return;
            };
            let road = self.road(id, addr);
            let Some(torrent) = self.torrents.get_mut(&id) else { return };
            torrent.candidates.begin(addr);
            match road {
                Some(road) => {
                    self.dial_clock = self.dial_clock.max(now) + self.dial_gap();
                    self.open(now, id, addr, road);
                }
                None => torrent.candidates.ended(now, addr, Ending::Useless, &mut self.rng),
            }
        }
    }

    fn next_candidate(&self, now: Instant, id: TorrentId) -> Option<SocketAddr> {
        let torrent = self.torrents.get(&id)?;
        let free = |addr: SocketAddr, source: Source| {
            source == Source::User
                || addr::scope(addr.ip()) == Scope::Local(LocalRange::Loopback)
                || self.conns.of_host(id, addr::host(addr.ip())) < self.config.connections_per_host_max
        };
        torrent
            .candidates
            .next(now, |addr, source| free(addr, source) && self.bans.reason(now, addr).is_none())
    }

    /// What a dial over TCP is to be encrypted with.
    pub(super) fn encrypted_start(&self, id: TorrentId, addr: SocketAddr) -> Option<[u8; 20]> {
        let torrent = self.torrents.get(&id)?;
        let encrypted = match self.config.encryption {
            Encryption::Off => false,
            Encryption::Allow => torrent.candidates.turned(addr),
            Encryption::Prefer => !torrent.candidates.turned(addr),
            Encryption::Require => true,
        };
        encrypted.then(|| torrent.hashes.primary())
    }

    fn has_place(&self, id: TorrentId) -> bool {
        self.can_dial_later() && self.conns.of_torrent(id) < self.config.connections_per_torrent_max
    }

    fn dial_gap(&self) -> Duration {
        Duration::from_secs(1) / self.config.dials_per_second
    }

    /// When pacing allows the next dial: the clock advances by a gap with each dial, and may be ahead
    /// of time by a burst.
    fn next_dial_at(&self) -> Instant {
        self.dial_clock - self.dial_gap() * (DIAL_BURST - 1)
    }

    /// When somebody who waits for nothing but pacing may dial.
    pub(super) fn paced_until(&self) -> Option<Instant> {
        let waits = self.waiting_to_dial.iter().any(|id| self.has_place(*id));
        waits.then(|| self.next_dial_at())
    }

    fn can_dial_later(&self) -> bool {
        !self.stopped
            && self.conns.half_open_out() < self.config.half_open_max
            && self.conns.len() < self.config.connections_max
    }

    /// A place may be free: those that found none try again, the least connected first.
    pub(super) fn dial_waiting(&mut self, now: Instant) {
        if self.waiting_to_dial.is_empty() || !self.can_dial_later() || self.next_dial_at() > now {
            return;
        }
        let mut waiting: Vec<TorrentId> = self.waiting_to_dial.iter().copied().collect();
        waiting.sort_by_key(|id| (self.conns.of_torrent(*id), *id));
        for id in waiting {
            self.dial(now, id);
            self.touch(id);
        }
    }

    /// Closes the worst connection, of `torrent` or of all, when it is plainly worthless. Returns
    /// whether there is a free place now.
    pub(super) fn evict(&mut self, now: Instant, torrent: Option<TorrentId>) -> bool {
        if self.evicted_at.is_some_and(|at| now - at < EVICT_INTERVAL) {
            return false;
        }
        let Some(worst) = self.worst(now, torrent) else { return false };
        self.evicted_at = Some(now);
        self.stats.evicted += 1;
        self.close(now, worst, CloseReason::Evicted);
        true
    }

    /// The connection that moves least: nothing at all, or less than a tenth of the mean.
    fn worst(&self, now: Instant, torrent: Option<TorrentId>) -> Option<ConnId> {
        let ids = self.torrents.keys().filter(|id| torrent.is_none_or(|torrent| torrent == **id));
        let peers: Vec<PeerStats> = ids.flat_map(|id| self.torrents[id].swarm.peers()).collect();
        let rate = |peer: &PeerStats| peer.download_rate.saturating_add(peer.upload_rate);
        let mean = peers.iter().map(rate).fold(0, u64::saturating_add) / (peers.len() as u64).max(1);
        let may_go = |peer: &&PeerStats| {
            let Some(conn) = self.conns.get(peer.conn) else { return false };
            let user = || {
                let torrent = conn.torrent.and_then(|id| self.torrents.get(&id));
                torrent.zip(conn.listen).and_then(|(torrent, listen)| torrent.candidates.source(listen))
                    == Some(Source::User)
            };
            conn.stage == Stage::Up && now - conn.since >= PROBATION && rate(peer) <= mean / 10 && !user()
        };
        let worth = |peer: &&PeerStats| {
            let wants = peer.am_interested || peer.peer_interested;
            (rate(peer), wants, peer.downloaded.saturating_add(peer.uploaded), peer.conn)
        };
        peers.iter().filter(may_go).min_by_key(worth).map(|peer| peer.conn)
    }

    /// When all places are taken and somebody waits to be dialled, a worthless connection goes.
    pub(super) fn turn_over(&mut self, now: Instant) {
        let full = self.conns.len() >= self.config.connections_max;
        if full && !self.waiting_to_dial.is_empty() && self.evict(now, None) {
            self.dial_waiting(now);
        }
        let crowded = |id: &TorrentId| self.conns.of_torrent(*id) >= self.config.connections_per_torrent_max;
        if let Some(id) = self.waiting_to_dial.iter().copied().find(crowded) {
            self.evict(now, Some(id));
            self.dial(now, id);
        }
    }
}
