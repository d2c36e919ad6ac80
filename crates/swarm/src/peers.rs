//! The connected peers and what is known of each.

use crate::{
    Bitfield, Config, Handshake, Message, Meter, choker::Contender, pex::Exchange, requests::Pipeline,
    upload::Uploads,
};
use peerage_base::contact::is_placeholder;
use peerage_base::{ConnId, Duration, Instant, limits};
use peerage_wire::extension::Ids;
use std::net::SocketAddr;

/// Rates for choking are averaged over 20 s (Cohen 2003).
const CHOKE_WINDOW: Duration = Duration::from_secs(20);

/// A peer that gave at least this part of what it got gives back.
const GIVES_BACK: u64 = 4;

/// What a peer said it has before the number of pieces is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early {
    /// `HaveAll`.
    pub all: bool,
    /// The bytes of its bitfield; at most one bit per piece that a torrent may have.
    pub bitfield: Option<Vec<u8>>,
    /// Pieces that it announced one by one, a bit each: as large as a bitfield may be.
    pub haves: Vec<u8>,
}

impl Early {
    /// It announced a piece, below [`limits::PIECES_MAX`].
    pub(crate) fn note(&mut self, piece: u32) {
        let at = piece as usize / 8;
        if self.haves.len() <= at {
            self.haves.resize(at + 1, 0);
        }
        self.haves[at] |= 0x80 >> (piece % 8);
    }

    /// The pieces announced one by one.
    pub(crate) fn noted(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = (0..).zip(&self.haves).flat_map(|(at, byte)| (0..8).map(move |bit| (at * 8 + bit, *byte)));
        bits.filter(|(piece, byte)| byte & (0x80 >> (piece % 8)) != 0).map(|(piece, _)| piece)
    }
}

/// One connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub slot: u32,
    pub conn: ConnId,
    pub addr: SocketAddr,
    pub outgoing: bool,
    pub utp: bool,
    pub fast: bool,
    pub extended: bool,
    pub up_at: Instant,
    /// Its number in [`crate::blame`].
    pub party: u32,

    pub early: Early,
    pub have: Bitfield,
    /// Counted as having everything, not piece by piece.
    pub whole: bool,
    /// Pieces it has that we want.
    pub wants: u32,
    pub upload_only: bool,
    /// Its extension handshake came; ours said that we only upload.
    pub said_extensions: bool,
    pub said_upload_only: bool,
    pub ids: Ids,
    pub client: String,
    pub listen_port: Option<u16>,

    pub am_choking: bool,
    pub am_interested: bool,
    pub peer_choking: bool,
    pub peer_interested: bool,
    /// When it was last choked or unchoked by us.
    pub changed: Instant,
    /// Pieces that may be asked for while choked: of it, and of us (BEP 6).
    pub allowed_in: Vec<u32>,
    pub allowed_out: Vec<u32>,

    pub pipeline: Pipeline,
    /// The piece that it fetches alone.
    pub current: Option<u32>,
    /// The picker's epoch when it last had nothing for this peer.
    pub idle_epoch: Option<u64>,
    pub uploads: Uploads,
    /// Room in the driver's send queue.
    pub credit: u64,
    /// Bytes it was sent while the rate was limited, for equal shares.
    pub share: u64,
    pub down: Meter,
    pub up: Meter,

    /// Encoded messages that wait for the next drain.
    pub out: Vec<u8>,
    pub in_flush: bool,
    pub in_down: bool,
    pub in_up: bool,
    pub last_sent: Instant,
    pub last_received: Instant,
    pub exchange: Exchange,
    pub metadata_served: u64,
    pub hashes_served: u32,

    /// Blocks that may arrive though nobody waits for them any more.
    pub strays_due: u32,
    /// Requests of it that we refused while it was choked, and of ours that it refused.
    pub refused_choked: u32,
    pub refusals_in: u32,
    pub chokes: u32,
    pub invalid: u32,
}

impl Peer {
    pub(crate) fn new(
        now: Instant,
        slot: u32,
        conn: ConnId,
        addr: SocketAddr,
        outgoing: bool,
        handshake: &Handshake,
        config: &Config,
    ) -> Self {
        Self {
            slot,
            conn,
            addr,
            outgoing,
            utp: false,
            fast: handshake.fast(),
            extended: handshake.extension(),
            up_at: now,
            party: 0,
            early: Early::default(),
            have: Bitfield::default(),
            whole: false,
            wants: 0,
            upload_only: false,
            said_extensions: false,
            said_upload_only: false,
            ids: Ids::default(),
            client: String::new(),
            listen_port: None,
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            changed: now,
            allowed_in: Vec::new(),
            allowed_out: Vec::new(),
            pipeline: Pipeline::new(now, config),
            current: None,
            idle_epoch: None,
            uploads: Uploads::default(),
            credit: 0,
            share: 0,
            down: Meter::new(now, CHOKE_WINDOW),
            up: Meter::new(now, CHOKE_WINDOW),
            out: Vec::new(),
            in_flush: false,
            in_down: false,
            in_up: false,
            last_sent: now,
            last_received: now,
            exchange: Exchange::new(now),
            metadata_served: 0,
            hashes_served: 0,
            strays_due: limits::REQUESTS_OUT_DEFAULT as u32,
            refused_choked: 0,
            refusals_in: 0,
            chokes: 0,
            invalid: 0,
        }
    }

    pub(crate) fn contender(&self) -> Contender {
        Contender {
            slot: self.slot,
            interested: self.peer_interested,
            unchoked: !self.am_choking,
            snubbed: self.pipeline.is_snubbed(),
            gives: self.down.rate(),
            gave: self.down.total() > 0 && self.down.total() >= self.up.total() / GIVES_BACK,
            takes: self.up.rate(),
            since: self.up_at,
            changed: self.changed,
        }
    }

    /// Whether it has everything.
    pub(crate) fn is_seed(&self) -> bool {
        !self.have.is_empty() && self.have.is_full()
    }

    /// Where it listens, as far as we know.
    pub(crate) fn listens_at(&self) -> Option<SocketAddr> {
        if is_placeholder(self.addr.ip()) {
            return None;
        }
        if self.outgoing || self.utp {
            return Some(self.addr);
        }
        self.listen_port.map(|port| SocketAddr::new(self.addr.ip(), port))
    }
}

/// All connected peers, by slot and by connection. Slots are used again.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    /// Sorted: connections are few, and mostly the last one is asked for again.
    index: Vec<(ConnId, u32)>,
    last: Option<(ConnId, u32)>,
    /// Peers with encoded messages to send.
    flush: Vec<u32>,
}

impl Peers {
    /// The slot that the next peer gets.
    pub(crate) fn vacant(&self) -> u32 {
        self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len()) as u32
    }

    pub(crate) fn insert(&mut self, peer: Peer) {
        let slot = peer.slot as usize;
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        let entry = (peer.conn, peer.slot);
        let at = self.index.partition_point(|other| other.0 < peer.conn);
        self.index.insert(at, entry);
        self.slots[slot] = Some(Box::new(peer));
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<Peer>> {
        let peer = self.slots.get_mut(slot as usize)?.take()?;
        self.index.retain(|(_, other)| *other != slot);
        self.flush.retain(|other| *other != slot);
        self.last = None;
        Some(peer)
    }

    pub(crate) fn slot(&mut self, conn: ConnId) -> Option<u32> {
        if let Some((last, slot)) = self.last
            && last == conn
        {
            return Some(slot);
        }
        let at = self.index.binary_search_by_key(&conn, |entry| entry.0).ok()?;
        self.last = Some(self.index[at]);
        Some(self.index[at].1)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Peer> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Peer> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// All slots in use, to go through while peers may leave.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.iter().map(|peer| peer.slot).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().filter_map(Option::as_deref)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.slots.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// Encodes a message for a peer; it leaves with the next drain.
    pub(crate) fn send(&mut self, slot: u32, message: &Message) {
        if let Some(peer) = self.get_mut(slot) {
            message.encode(&mut peer.out);
            self.wrote(slot);
        }
    }

    /// Something was encoded into a peer's `out`.
    pub(crate) fn wrote(&mut self, slot: u32) {
        if let Some(Some(peer)) = self.slots.get_mut(slot as usize)
            && !peer.in_flush
        {
            peer.in_flush = true;
            self.flush.push(slot);
        }
    }

    /// The encoded messages of the next peer that has any.
    pub(crate) fn next_flush(&mut self) -> Option<(ConnId, Vec<u8>)> {
        while let Some(slot) = self.flush.pop() {
            if let Some(peer) = self.get_mut(slot) {
                peer.in_flush = false;
                if !peer.out.is_empty() {
                    return Some((peer.conn, std::mem::take(&mut peer.out)));
                }
            }
        }
        None
    }
}
