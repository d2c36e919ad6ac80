//! The life of a connection: accepted or dialled, greeted, up, closed.

use super::Peer;
use super::conns::{Conn, Stage};
use crate::Via;
use crate::addr::{self, LocalRange, Scope};
use crate::candidates::Ending;
use crate::event::{CloseReason, Output, Source};
use crate::road::RoadKind;
use peerage_base::contact::is_placeholder;
use peerage_base::{ConnId, Duration, Instant, TorrentId};
use peerage_swarm::{Handshake, Message, PeerChange, Reason, Swarm};
use peerage_wire::extension;
use std::net::SocketAddr;

/// A connection that lasted so long was worth it, whatever it moved.
const LASTING: Duration = Duration::from_secs(60);

/// Incoming connections may wait this long for their handshake in peace; then they make room for
/// newer ones.
const GRACE: Duration = Duration::from_secs(1);

impl Peer {
    /// A connection came in over TCP. See [`Self::accept_over`].
    pub fn accept(&mut self, now: Instant, addr: SocketAddr) -> Option<ConnId> {
        self.accept_over(now, addr, RoadKind::Tcp)
    }

    /// A connection came in, on this road. `None`: close it at once (banned, over budget, or at the end).
    pub fn accept_over(&mut self, now: Instant, addr: SocketAddr, road: RoadKind) -> Option<ConnId> {
        self.now = now;
        let addr = addr::canonical(addr);
        let room = !self.stopped
            && (self.config.via != Via::Relay || is_placeholder(addr.ip()))
            && self.bans.reason(now, addr).is_none()
            && self.room_for_greeting(now)
            && (self.conns.len() < self.config.connections_max || self.evict(now, None))
            // What was evicted may have made room for a dial instead.
            && self.conns.len() < self.config.connections_max;
        if !room {
            self.stats.refused += 1;
            return None;
        }
        self.stats.accepted += 1;
        let id = self.conns.insert(now, addr, None, now + self.config.handshake_timeout);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.road = road;
        }
        Some(id)
    }

    /// Incoming connections without a handshake fill at most half the table (threats.md W5): the
    /// one that has waited longest goes.
    fn room_for_greeting(&mut self, now: Instant) -> bool {
        if self.conns.half_open_in() < (self.config.connections_max / 2).max(1) {
            return true;
        }
        let slow =
            self.conns.oldest_half_open_in().filter(|conn| now - conn.since >= GRACE).map(|conn| conn.id);
        slow.inspect(|conn| self.close(now, *conn, CloseReason::HandshakeTimeout)).is_some()
    }

    pub(super) fn on_connected(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get(id).filter(|conn| conn.stage == Stage::Dialling) else { return };
        let Some(torrent) = conn.torrent.and_then(|torrent| self.torrents.get(&torrent)) else { return };
        let dht = self.has_dht(torrent);
        let bytes = self.handshake(torrent.hashes.primary(), torrent.hashes.v2.is_some(), dht);
        self.conns.set_greeting(now, id, now + self.config.handshake_timeout);
        self.outputs.push_back(Output::Send { conn: id, bytes });
    }

    fn handshake(&self, info_hash: [u8; 20], v2: bool, dht: bool) -> Vec<u8> {
        let handshake = Handshake::new(info_hash, self.local.peer_id);
        let handshake = if v2 { handshake.with_v2() } else { handshake };
        let handshake = if self.offers_tls() { handshake.with_tls() } else { handshake };
        let handshake = if dht { handshake.with_dht() } else { handshake };
        handshake.encode().to_vec()
    }

    /// The first frame of a connection.
    pub fn handle_handshake(&mut self, now: Instant, id: ConnId, handshake: Handshake) {
        self.now = now;
        let Some(conn) = self.conns.get(id) else { return };
        let (addr, outgoing, utp) = (conn.addr, conn.outgoing, conn.road == RoadKind::Utp);
        if conn.stage != Stage::Greeting {
            return self.close(now, id, CloseReason::Garbage("an untimely handshake".to_owned()));
        }
        if handshake.peer_id == self.local.peer_id {
            return self.close(now, id, CloseReason::SelfConnection);
        }
        let torrent = match self.by_hash.get(&handshake.info_hash) {
            // BEP 52: a hybrid's other hash is a fine answer too, another torrent's is not.
            Some(torrent) if conn.torrent.is_none_or(|dialled_for| dialled_for == *torrent) => *torrent,
            _ => return self.close(now, id, CloseReason::UnknownTorrent),
        };
        if !outgoing {
            if let Err(reason) = self.admit(now, torrent, addr) {
                return self.close(now, id, reason);
            }
            self.conns.set_torrent(id, torrent);
        }
        if self.turns_to_tls(id, &handshake) {
            return self.close(now, id, CloseReason::Upgrade);
        }
        if let Some(twin) = self.twin(torrent, id, handshake.peer_id) {
            if self.keeps_older(&twin, id, handshake.peer_id) {
                self.adopt(torrent, id, twin.id);
                return self.close(now, id, CloseReason::Duplicate);
            }
            self.adopt(torrent, twin.id, id);
            self.close(now, twin.id, CloseReason::Duplicate);
        }
        if !outgoing {
            let known = self.torrents.get(&torrent);
            let v2 = known.is_some_and(|torrent| torrent.hashes.v2.is_some());
            let dht = known.is_some_and(|torrent| self.has_dht(torrent));
            let bytes = self.handshake(handshake.info_hash, v2, dht);
            self.outputs.push_back(Output::Send { conn: id, bytes });
        }
        self.conns.set_up(now, id, handshake.peer_id);
        self.outputs.push_back(Output::Greeted { torrent, conn: id });
        if let Some(torrent) = self.torrents.get_mut(&torrent) {
            torrent.candidates.proven(addr);
            torrent.swarm.handle_peer(now, id, PeerChange::Up { addr, outgoing, utp, handshake });
        }
        self.touch(torrent);
        self.dial_waiting(now);
    }

    /// Whether an incoming connection finds a place in its torrent.
    fn admit(&mut self, now: Instant, torrent: TorrentId, addr: SocketAddr) -> Result<(), CloseReason> {
        let host = addr::host(addr.ip());
        let exempt = addr::scope(addr.ip()) == Scope::Local(LocalRange::Loopback);
        if !exempt && self.conns.of_host(torrent, host) >= self.config.connections_per_host_max {
            return Err(CloseReason::Full);
        }
        let full = self.conns.of_torrent(torrent) >= self.config.connections_per_torrent_max;
        if full && !self.evict(now, Some(torrent)) { Err(CloseReason::Full) } else { Ok(()) }
    }

    /// Another connection of the torrent with the same peer.
    fn twin(&self, torrent: TorrentId, id: ConnId, peer_id: [u8; 20]) -> Option<Conn> {
        let key = self.conns.get(id).and_then(|conn| conn.key);
        let same = |conn: &&Conn| {
            conn.stage == Stage::Up
                && conn.id != id
                && conn.torrent == Some(torrent)
                && (conn.peer_id == peer_id || (key.is_some() && conn.key == key))
        };
        self.conns.iter().find(same).cloned()
    }

    /// Which of two connections with one peer stays. Both ends decide alike: that on the better road;
    /// else, when each end opened one, that of the end with the greater id; else the older one.
    ///
    /// A peer id is easily copied, so a connection from elsewhere never displaces the older one, unless
    /// both have proved to be the same peer; and nothing displaces one that has by one that has not.
    fn keeps_older(&self, older: &Conn, newer: ConnId, peer_id: [u8; 20]) -> bool {
        let Some(newer) = self.conns.get(newer) else { return true };
        let same = newer.key.is_some() && older.key == newer.key;
        if !same && (older.key.is_some() || older.addr.ip() != newer.addr.ip()) {
            return true;
        }
        if older.road != newer.road {
            return older.road > newer.road;
        }
        older.outgoing == newer.outgoing || newer.outgoing != (self.local.peer_id > peer_id)
    }

    /// `heir` stays where `gone` goes: it inherits the entry among the candidates.
    fn adopt(&mut self, torrent: TorrentId, gone: ConnId, heir: ConnId) {
        let listen = self.conns.get(gone).and_then(|conn| conn.listen);
        let Some(heir) = self.conns.get_mut(heir) else { return };
        let Some(listen) = listen.filter(|listen| heir.listen.is_none() && listen.ip() == heir.addr.ip())
        else {
            return;
        };
        heir.listen = Some(listen);
        if let Some(torrent) = self.torrents.get_mut(&torrent) {
            torrent.candidates.proven(listen);
        }
    }

    pub(super) fn on_message(&mut self, now: Instant, id: ConnId, message: Message) {
        if let Message::Extended { id: extension::HANDSHAKE_ID, payload } = &message
            && let Ok(handshake) = extension::Handshake::decode(payload)
            && let Some(port) = handshake.port
        {
            self.on_listen_port(now, id, port);
        }
        if let Message::Port(port) = message {
            self.on_dht_port(id, port);
        }
        self.with_swarm(id, |swarm| swarm.handle_message(now, id, message));
    }

    /// An incoming peer tells where it listens (BEP 10 `p`): it can be dialled later.
    fn on_listen_port(&mut self, now: Instant, id: ConnId, port: u16) {
        let unknown = |conn: &&mut Conn| conn.listen.is_none() && !is_placeholder(conn.addr.ip());
        let Some(conn) = self.conns.get_mut(id).filter(unknown) else { return };
        let Some(torrent) = conn.torrent else { return };
        // uTP comes from the port on which the peer listens, or from the hole in front of it.
        let port = if conn.road == RoadKind::Utp { conn.addr.port() } else { port };
        // With the scope of a link-local address.
        let mut listen = conn.addr;
        listen.set_port(port);
        conn.listen = Some(listen);
        if self.bans.reason(now, listen).is_some() {
            return self.close(now, id, CloseReason::Banned);
        }
        // The peer is there, so its range is one that we are on: no question of leave.
        let Some(torrent) = self.torrents.get_mut(&torrent) else { return };
        torrent.candidates.add(now, listen, Source::Incoming, None, &mut self.rng);
        torrent.candidates.begin(listen);
        torrent.candidates.proven(listen);
    }

    pub(super) fn with_swarm(&mut self, id: ConnId, act: impl FnOnce(&mut Swarm)) {
        let Some(conn) = self.conns.get(id).filter(|conn| conn.stage == Stage::Up) else { return };
        let Some(torrent) = conn.torrent else { return };
        if let Some(known) = self.torrents.get_mut(&torrent) {
            act(&mut known.swarm);
            self.touch(torrent);
        }
    }

    /// The driver says that a connection, or a dial, ended.
    pub(super) fn on_closed(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.remove(id) else { return };
        let ending = if conn.stage != Stage::Up {
            Ending::Failed
        } else if conn.useful || now - conn.since >= LASTING {
            Ending::Useful
        } else {
            Ending::Short
        };
        self.stats.dials_failed += u64::from(conn.outgoing && conn.stage != Stage::Up);
        self.after_close(now, conn, ending, true);
    }

    /// Closes a connection.
    pub(super) fn close(&mut self, now: Instant, id: ConnId, reason: CloseReason) {
        let Some(conn) = self.conns.remove(id) else { return };
        let useful = conn.useful || (conn.stage == Stage::Up && now - conn.since >= LASTING);
        let ending = match &reason {
            CloseReason::SelfConnection | CloseReason::Banned => Ending::Never,
            CloseReason::Swarm(Reason::Banned | Reason::BadData | Reason::BadMetadata) => Ending::Short,
            CloseReason::Swarm(Reason::Redundant) | CloseReason::Duplicate | CloseReason::Evicted => {
                Ending::Useless
            }
            CloseReason::Upgrade => Ending::Again,
            CloseReason::Garbage(_) | CloseReason::HandshakeTimeout | CloseReason::DialTimeout => {
                Ending::Failed
            }
            _ if useful => Ending::Useful,
            _ => Ending::Short,
        };
        self.stats.dials_failed += u64::from(conn.outgoing && conn.stage != Stage::Up);
        let from_swarm = matches!(reason, CloseReason::Swarm(_));
        self.outputs.push_back(Output::Disconnect { conn: id, reason });
        self.after_close(now, conn, ending, !from_swarm);
    }

    fn after_close(&mut self, now: Instant, conn: Conn, ending: Ending, tell_swarm: bool) {
        if let Some(id) = conn.torrent
            && let Some(torrent) = self.torrents.get_mut(&id)
        {
            if conn.stage == Stage::Up && tell_swarm {
                torrent.swarm.handle_peer(now, conn.id, PeerChange::Down);
            }
            let shared = |other: &Conn| other.torrent == Some(id) && other.listen == conn.listen;
            if let Some(listen) = conn.listen
                && !self.conns.iter().any(shared)
            {
                let ending = self.choose_next_way(id, &conn, ending);
                if let Some(torrent) = self.torrents.get_mut(&id) {
                    torrent.candidates.ended(now, listen, ending, &mut self.rng);
                    torrent.dial_at = torrent.candidates.next_at();
                }
            }
            self.learn_from(now, id, &conn, ending);
            self.touch(id);
        }
        self.dial_waiting(now);
    }

    pub(super) fn close_overdue(&mut self, now: Instant) {
        while let Some((_, id)) = self.conns.next_deadline().filter(|(at, _)| *at <= now) {
            let dialling = self.conns.get(id).is_some_and(|conn| conn.stage == Stage::Dialling);
            let reason = if dialling { CloseReason::DialTimeout } else { CloseReason::HandshakeTimeout };
            self.close(now, id, reason);
        }
    }

    /// Bans an address: its connections end, it is forgotten as a candidate, the user is told.
    pub(super) fn ban_addr(&mut self, now: Instant, addr: SocketAddr, reason: String) {
        let news = self.bans.reason(now, addr).is_none();
        self.bans.add(now, addr, self.config.ban_duration, reason.clone());
        let banned = |bans: &crate::Bans, conn: &Conn| {
            bans.reason(now, conn.addr).or_else(|| bans.reason(now, conn.listen?)).is_some()
        };
        let conns: Vec<ConnId> =
            self.conns.iter().filter(|conn| banned(&self.bans, conn)).map(|conn| conn.id).collect();
        for conn in conns {
            self.close(now, conn, CloseReason::Banned);
        }
        for torrent in self.torrents.values_mut() {
            torrent.candidates.retain(|addr, _| self.bans.reason(now, addr).is_none());
        }
        if news {
            self.stats.bans += 1;
            self.outputs.push_back(Output::Banned { addr, reason, duration: self.config.ban_duration });
        }
    }
}
