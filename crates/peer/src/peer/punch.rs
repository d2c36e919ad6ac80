//! Hole punching between plain BitTorrent peers (BEP 55).
//!
//! A peer that neither TCP nor uTP reaches sits behind a NAT or a firewall. Who told us of it is connected
//! to it, so we ask for an introduction: both ends are told the other's endpoint and open uTP connections at
//! once, each of which is let in as the answer to the other. We introduce others in the same way.
//!
//! An introduction makes the other end dial an address that it has not chosen. It is judged like an address
//! from peer exchange, dialled at its pace, and each connection brings about a few per minute.

use super::Peer;
use super::conns::{Conn, Stage};
use crate::addr;
use crate::event::{Output, Source};
use crate::road::RoadKind;
use peerage_base::contact::is_placeholder;
use peerage_base::limits::HOLEPUNCHES_PER_MINUTE_MAX;
use peerage_base::{ConnId, Duration, Instant, TorrentId};
use peerage_wire::extension::{Holepunch, HolepunchError};
use std::net::SocketAddr;

/// Peers that are asked for one introduction: first who told us of it, then others that may know it too.
const INTRODUCERS_MAX: usize = 3;

/// How many messages of one connection are heeded in a minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowance {
    since: Option<Instant>,
    used: u32,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since >= Duration::from_secs(60)) {
            *self = Self { since: Some(now), used: 0 };
        }
        self.used += 1;
        self.used <= HOLEPUNCHES_PER_MINUTE_MAX
    }
}

impl Peer {
    pub(super) fn on_holepunch(&mut self, torrent: TorrentId, from: ConnId, message: Holepunch) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(from).filter(|conn| conn.stage == Stage::Up) else { return };
        if !conn.punches.take(now) {
            return;
        }
        match message {
            Holepunch::Rendezvous(target) => self.introduce(torrent, from, target),
            Holepunch::Connect(endpoint) => self.punch(now, torrent, from, endpoint),
            // It stays a candidate, and is dialled again as any that did not answer.
            Holepunch::Failed(..) | Holepunch::Unknown => {}
        }
    }

    /// A peer is reached on no road: those who may know it are asked to introduce us, once.
    pub(super) fn ask_for_introduction(&mut self, torrent: TorrentId, addr: SocketAddr) {
        let Some(known) = self.torrents.get_mut(&torrent) else { return };
        if !self.config.utp || !known.candidates.begin_punch(addr) {
            return;
        }
        let teller = known.candidates.teller(addr);
        let up = |conn: &&Conn| conn.stage == Stage::Up && conn.torrent == Some(torrent);
        let able = self.conns.iter().filter(up).filter(|conn| known.swarm.punches(conn.id));
        let mut asked: Vec<_> =
            able.map(|conn| (teller != Some(addr::host(conn.addr.ip())), conn.id)).collect();
        asked.sort_unstable();
        for (_, conn) in asked.into_iter().take(INTRODUCERS_MAX) {
            known.swarm.say_holepunch(conn, Holepunch::Rendezvous(addr));
        }
        self.touch(torrent);
    }

    /// A peer asks for another: both are told where the other is.
    fn introduce(&mut self, torrent: TorrentId, from: ConnId, target: SocketAddr) {
        let it =
            |conn: &&Conn| conn.stage == Stage::Up && conn.torrent == Some(torrent) && conn.is_at(target);
        let found = self.conns.iter().find(it).map(|conn| conn.id);
        let asking = self.conns.get(from).and_then(endpoint);
        let Some(known) = self.torrents.get_mut(&torrent) else { return };
        let error = match (found, asking) {
            (None, _) => HolepunchError::NotConnected,
            (Some(found), _) if found == from => HolepunchError::NoSelf,
            (Some(found), Some(asking)) if known.swarm.punches(found) => {
                known.swarm.say_holepunch(found, Holepunch::Connect(asking));
                known.swarm.say_holepunch(from, Holepunch::Connect(target));
                self.stats.introductions += 1;
                return self.touch(torrent);
            }
            _ => HolepunchError::NoSupport,
        };
        known.swarm.say_holepunch(from, Holepunch::Failed(target, error));
        self.touch(torrent);
    }

    /// We are introduced: the other end opens a connection at the same moment.
    fn punch(&mut self, now: Instant, torrent: TorrentId, from: ConnId, endpoint: SocketAddr) {
        let Some(teller) = self.conns.get(from).map(|conn| addr::host(conn.addr.ip())) else { return };
        let endpoint = addr::canonical(endpoint);
        let there = |conn: &Conn| conn.torrent == Some(torrent) && conn.is_at(endpoint);
        if !self.config.utp
            || self.conns.iter().any(there)
            || self.refusal(now, endpoint, Source::Pex).is_some()
        {
            return;
        }
        let Some(known) = self.torrents.get_mut(&torrent) else { return };
        known.candidates.add(now, endpoint, Source::Pex, Some(teller), &mut self.rng);
        known.candidates.begin_punch(endpoint);
        known.candidates.set_utp(endpoint, true);
        known.candidates.wake(now, endpoint);
        self.stats.punches += 1;
        let (source, refused) = (Source::Pex, None);
        self.outputs.push_back(Output::Found { torrent, addr: endpoint, source, refused });
        self.dial(now, torrent);
        self.touch(torrent);
    }
}

/// Where a uTP connection to the other end leads: the hole that its own one has made, or its port.
fn endpoint(conn: &Conn) -> Option<SocketAddr> {
    if is_placeholder(conn.addr.ip()) {
        return None;
    }
    if conn.road == RoadKind::Utp { Some(conn.addr) } else { conn.listen }
}
