//! Roads to peers that prove who they are: which a dial takes, and when a better one is opened.
//!
//! A peer that is known by its key may be reached in several ways. TLS is dialled at once and QUIC after
//! a head start; who is there already is not dialled again, and of two connections with one peer the
//! better one stays (`keeps_older`). A stranger that turns out to be a Peerage node is left before anything
//! but handshakes was said, and dialled again over TLS.

use super::Peer;
use super::conns::{Conn, Stage};
use crate::addr;
use crate::candidates::{Ending, Key};
use crate::config::Authentication;
use crate::event::{Output, Refusal, Source};
use crate::road::{Road, RoadKind};
use crate::{Encryption, Via};
use peerage_base::contact::{is_placeholder, placeholder};
use peerage_base::{ConnId, Contact, Duration, Instant, PeerId, TorrentId};
use peerage_swarm::Handshake;
use std::net::SocketAddr;

/// How much later QUIC is dialled than TLS, where both are possible. RFC 8305 section 5 recommends 250 ms
/// between two attempts.
const QUIC_DELAY: Duration = Duration::from_millis(250);

/// How long TCP is waited for before uTP is tried.
const UTP_DELAY: Duration = Duration::from_millis(2500);

/// From the dial over uTP to the open connection: three SYNs, at 0, 1 and 3 s (BEP 29). Then it is TCP's turn
/// again, which a peer that has just started should be reached by.
const UTP_LIMIT: Duration = Duration::from_secs(4);

impl Peer {
    /// Adds a peer by its key, as the user or the link names it. Where it is reached it must prove that
    /// it is the one.
    pub fn add_contact(&mut self, now: Instant, id: TorrentId, contact: &Contact) {
        self.now = now;
        let source = Source::User;
        let unfit = match self.offers_tls() {
            false => Some(Refusal::Unprovable),
            true => (self.local.key == Some(contact.id)).then_some(Refusal::Ourselves),
        };
        if unfit.is_some() {
            let addr = placeholder(contact.id);
            return self.outputs.push_back(Output::Found { torrent: id, addr, source, refused: unfit });
        }
        let contact = self.permitted(contact);
        if contact.tcp.is_empty() && contact.udp.is_empty() && contact.relay.is_none() {
            let (addr, refused) = (placeholder(contact.id), Some(Refusal::NoWay));
            return self.outputs.push_back(Output::Found { torrent: id, addr, source, refused });
        }
        let key = Key::Of(contact.id);
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        for addr in contact.tcp.iter().map(|addr| addr::canonical(*addr)) {
            let refused = (!addr::is_dialable(addr)).then_some(Refusal::Range);
            self.outputs.push_back(Output::Found { torrent: id, addr, source, refused });
            if refused.is_none() {
                torrent.candidates.add(now, addr, source, None, &mut self.rng);
                torrent.candidates.set_key(addr, key);
            }
        }
        if self.config.quic && (!contact.udp.is_empty() || contact.relay.is_some()) {
            let addr = placeholder(contact.id);
            self.contacts.insert(addr, contact.clone());
            self.outputs.push_back(Output::Found { torrent: id, addr, source, refused: None });
            let delay = if contact.tcp.is_empty() { Duration::ZERO } else { QUIC_DELAY };
            torrent.candidates.add(now + delay, addr, Source::User, None, &mut self.rng);
            torrent.candidates.set_key(addr, key);
        }
        self.dial(now, id);
        self.touch(id);
    }

    /// The ways to a peer that may be taken.
    fn permitted(&self, contact: &Contact) -> Contact {
        match self.config.via {
            Via::Any => contact.clone(),
            Via::Direct => Contact { relay: None, ..contact.clone() },
            Via::Relay => Contact { relay: contact.relay.clone(), ..Contact::new(contact.id) },
        }
    }

    /// The road of the next dial of `addr`. `None`: there is none to take, now or ever.
    pub(super) fn road(&self, torrent: TorrentId, addr: SocketAddr) -> Option<Road> {
        if is_placeholder(addr.ip()) {
            let contact = self.contacts.get(&addr)?;
            return (!self.is_connected(torrent, contact.id)).then(|| Road::Quic(contact.clone()));
        }
        let candidates = &self.torrents.get(&torrent)?.candidates;
        match (self.config.authentication, candidates.key(addr)) {
            (Authentication::Off, _) | (Authentication::Prefer, None) => {
                Some(if candidates.utp(addr) { Road::Utp } else { Road::Tcp })
            }
            (_, Some(Key::Of(peer))) => Some(Road::Tls(Some(peer))),
            (_, _) => Some(Road::Tls(None)),
        }
    }

    /// Whether a peer is connected already, on a road that proves it.
    fn is_connected(&self, torrent: TorrentId, peer: PeerId) -> bool {
        let it = |conn: &Conn| conn.torrent == Some(torrent) && conn.key == Some(peer);
        self.conns.iter().any(|conn| conn.stage == Stage::Up && it(conn))
    }

    /// Whether to go on over TLS with a peer that we have reached on a plain road and that says it could.
    /// Once: when it fails, the word of a stranger counts no more.
    pub(super) fn turns_to_tls(&mut self, id: ConnId, handshake: &Handshake) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        let (Some(torrent), Some(addr)) = (conn.torrent, conn.listen) else { return false };
        let plain = conn.outgoing && conn.road == RoadKind::Tcp;
        if !plain || !handshake.tls() || !self.offers_tls() {
            return false;
        }
        let Some(known) = self.torrents.get_mut(&torrent) else { return false };
        if known.candidates.lied(addr) {
            return false;
        }
        known.candidates.set_key(addr, Key::Any);
        true
    }

    /// Whether we prove who we are to those who ask.
    pub(super) fn offers_tls(&self) -> bool {
        self.local.key.is_some() && self.config.authentication != Authentication::Off
    }

    /// Begins a dial.
    pub(super) fn open(&mut self, now: Instant, torrent: TorrentId, addr: SocketAddr, road: Road) {
        let encrypt = match road {
            Road::Tcp | Road::Utp => self.encrypted_start(torrent, addr),
            Road::Tls(_) | Road::Quic(_) => None,
        };
        let deadline = now + self.dial_limit(torrent, addr, &road);
        let conn = self.conns.insert(now, addr, Some(torrent), deadline);
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.encrypted = encrypt.is_some();
            conn.road = road.kind();
        }
        self.stats.dials += 1;
        self.outputs.push_back(Output::Dial { conn, torrent, addr, road, encrypt });
    }

    /// How long a dial may take. The first one over TCP soon gives way to uTP; later ones are given the
    /// time that a slow path needs.
    fn dial_limit(&self, torrent: TorrentId, addr: SocketAddr, road: &Road) -> Duration {
        let failed = || self.torrents.get(&torrent).is_some_and(|known| known.candidates.has_failed(addr));
        let limit = match road {
            Road::Tcp if self.config.utp && !failed() => UTP_DELAY,
            Road::Utp => UTP_LIMIT,
            // First a relay is found, then the peer at it, then a hole.
            Road::Quic(_) => return 2 * self.config.dial_timeout,
            _ => self.config.dial_timeout,
        };
        limit.min(self.config.dial_timeout)
    }

    /// Chooses how an address is dialled next, after a dial of it ended. Returns how it ended: what goes on
    /// over uTP does so at once.
    pub(super) fn choose_next_way(&mut self, torrent: TorrentId, conn: &Conn, ending: Ending) -> Ending {
        let (Some(known), Some(addr)) = (self.torrents.get_mut(&torrent), conn.listen) else { return ending };
        if !conn.outgoing || !matches!(conn.road, RoadKind::Tcp | RoadKind::Utp) {
            return ending;
        }
        if ending != Ending::Failed {
            known.candidates.set_utp(addr, false);
            return ending;
        }
        let over_tcp = conn.road == RoadKind::Tcp;
        let (turn, change) = match self.config.encryption {
            Encryption::Off | Encryption::Require => (false, true),
            // A peer that was not reached says nothing on what it speaks.
            Encryption::Allow if conn.encrypted => (true, true),
            Encryption::Allow => (conn.stage == Stage::Greeting, conn.stage == Stage::Dialling),
            // Each way over both roads.
            Encryption::Prefer => (!self.config.utp || !over_tcp, true),
        };
        if turn {
            known.candidates.turn(addr);
        }
        // A client whose TCP is switched off may still hold the port, and close what comes: so also where
        // TCP opened, but took no handshake.
        let utp = if change { self.config.utp && over_tcp } else { !over_tcp };
        known.candidates.set_utp(addr, utp);
        if !over_tcp && conn.stage == Stage::Dialling {
            self.ask_for_introduction(torrent, addr);
        }
        if change && utp { Ending::Again } else { ending }
    }

    /// The other end has proved who it is.
    pub(super) fn on_authenticated(&mut self, id: ConnId, road: RoadKind, key: PeerId) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.road = road;
            conn.key = Some(key);
        }
    }

    /// What the end of a connection says of the roads to its peer.
    pub(super) fn learn_from(&mut self, now: Instant, torrent: TorrentId, conn: &Conn, ending: Ending) {
        let Some(known) = self.torrents.get_mut(&torrent) else { return };
        if ending == Ending::Failed && conn.outgoing && conn.road == RoadKind::Tls {
            conn.listen.inspect(|addr| known.candidates.forget_key(*addr));
        }
        // The other road to it need not wait any longer.
        if let Some(key) = conn.key {
            known.candidates.wake(now, placeholder(key));
        }
    }
}
