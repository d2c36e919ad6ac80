//! What a peer says about itself and its pieces.

use super::Swarm;
use crate::{Bitfield, Message, Reason};
use peerage_base::{Instant, limits};

/// Chokes per minute after which a peer only wastes our time.
const CHOKES_MAX: u32 = 300;
/// Pieces that a peer may allow us while choked; BEP 6 suggests 10.
const ALLOWED_MAX: usize = 64;

pub(super) type Result = core::result::Result<(), Reason>;

const NO_SUCH_PIECE: Reason = Reason::Protocol("no such piece");
const NOT_FAST: Reason = Reason::Protocol("fast extension not agreed on");

impl Swarm {
    pub(super) fn on_message(&mut self, now: Instant, slot: u32, message: Message) -> Result {
        let fast = self.peers.get(slot).is_some_and(|peer| peer.fast);
        match message {
            Message::Request(block) => self.on_request(now, slot, block),
            Message::Have(piece) => self.on_have(now, slot, piece),
            Message::Cancel(block) => {
                self.on_cancel(slot, block);
                Ok(())
            }
            Message::Choke => self.on_choke(slot),
            Message::Unchoke => {
                self.on_unchoke(slot);
                Ok(())
            }
            Message::Interested => {
                self.on_interest(slot, true);
                Ok(())
            }
            Message::NotInterested => {
                self.on_interest(slot, false);
                Ok(())
            }
            Message::Bitfield(bytes) => self.on_bitfield(now, slot, bytes),
            Message::Extended { id, payload } => self.on_extended(now, slot, id, &payload),
            Message::HaveAll
            | Message::HaveNone
            | Message::Suggest(_)
            | Message::Reject(_)
            | Message::AllowedFast(_)
                if !fast =>
            {
                Err(NOT_FAST)
            }
            Message::HaveAll => {
                self.on_have_all(now, slot);
                Ok(())
            }
            Message::Reject(block) => {
                self.on_reject(slot, block);
                Ok(())
            }
            Message::AllowedFast(piece) => self.on_allowed_fast(slot, piece),
            Message::HashRequest(_) | Message::Hashes { .. } | Message::HashReject(_) => {
                self.on_hash_message(now, slot, message)
            }
            Message::HaveNone
            | Message::KeepAlive
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::Unknown(_) => Ok(()),
        }
    }

    fn on_have(&mut self, now: Instant, slot: u32, piece: u32) -> Result {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let Some(body) = &mut self.body else {
            if piece >= limits::PIECES_MAX {
                return Err(NO_SUCH_PIECE);
            }
            peer.early.note(piece);
            return Ok(());
        };
        if piece >= body.picker.geometry().pieces() {
            return Err(NO_SUCH_PIECE);
        }
        if !peer.have.set(piece) {
            return Ok(());
        }
        body.picker.availability().add(piece);
        if body.picker.wanted().get(piece) {
            peer.wants += 1;
            peer.idle_epoch = None;
            self.update_interest(slot);
            self.mark_down(slot);
        }
        self.on_told(now, slot, piece);
        self.part_if_redundant(slot);
        Ok(())
    }

    /// BEP 3 has one bitfield, at the beginning. aria2 sends another one in place of many `have`s, so a
    /// later one is no offence: like `have`, it only ever adds pieces.
    fn on_bitfield(&mut self, now: Instant, slot: u32, bytes: Vec<u8>) -> Result {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let Some(body) = &self.body else {
            peer.early.bitfield = Some(bytes);
            return Ok(());
        };
        let wrong = Reason::Protocol("bitfield of the wrong size or with spare bits");
        let have = Bitfield::from_bytes(&bytes, body.picker.geometry().pieces()).ok_or(wrong)?;
        self.learn(now, slot, have);
        Ok(())
    }

    fn on_have_all(&mut self, now: Instant, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        match &self.body {
            Some(body) => {
                let all = Bitfield::full(body.picker.geometry().pieces());
                self.learn(now, slot, all);
            }
            None => peer.early.all = true,
        }
    }

    /// The peer has these pieces, too.
    fn learn(&mut self, now: Instant, slot: u32, mut have: Bitfield) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else { return };
        peer.have.iter().for_each(|piece| _ = have.set(piece));
        if have == peer.have && !have.is_empty() {
            return;
        }
        let availability = body.picker.availability();
        peer.have.iter().for_each(|piece| availability.remove(piece));
        peer.whole = !have.is_empty() && have.is_full();
        if peer.whole {
            availability.add_whole();
        } else {
            have.iter().for_each(|piece| availability.add(piece));
        }
        peer.wants = have.common(body.picker.wanted()).count() as u32;
        peer.have = have;
        peer.idle_epoch = None;
        self.update_interest(slot);
        self.mark_down(slot);
        self.poll_hashes(now);
        self.part_if_redundant(slot);
    }

    /// The metadata is known now: what the peer said before is judged.
    pub(super) fn learn_early(&mut self, now: Instant, slot: u32) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &self.body) else { return };
        let pieces = body.picker.geometry().pieces();
        let early = std::mem::take(&mut peer.early);
        peer.have = Bitfield::new(pieces);
        let have = match &early.bitfield {
            _ if early.all => Some(Bitfield::full(pieces)),
            Some(bytes) => Bitfield::from_bytes(bytes, pieces),
            None => Some(Bitfield::new(pieces)),
        };
        let Some(mut have) = have.filter(|_| early.noted().all(|piece| piece < pieces)) else {
            self.disconnect(slot, NO_SUCH_PIECE);
            return;
        };
        early.noted().for_each(|piece| _ = have.set(piece));
        self.learn(now, slot, have);
    }

    fn on_choke(&mut self, slot: u32) -> Result {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        peer.chokes += 1;
        if peer.chokes > CHOKES_MAX {
            return Err(Reason::Flood("choke"));
        }
        if !std::mem::replace(&mut peer.peer_choking, true) && !peer.fast {
            // BEP 3: choking forgets all requests. With the fast extension each one is rejected.
            self.release_all(slot);
        }
        self.let_go(slot);
        Ok(())
    }

    fn on_unchoke(&mut self, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.peer_choking = false;
        peer.idle_epoch = None;
        self.mark_down(slot);
    }

    fn on_allowed_fast(&mut self, slot: u32, piece: u32) -> Result {
        if self.body.as_ref().is_some_and(|body| piece >= body.picker.geometry().pieces()) {
            // BEP 6 says nothing of it; libtorrent ignores it, too.
            return Ok(());
        }
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        if peer.allowed_in.len() < ALLOWED_MAX && !peer.allowed_in.contains(&piece) {
            peer.allowed_in.push(piece);
            peer.idle_epoch = None;
            self.mark_down(slot);
        }
        Ok(())
    }

    /// Tells the peer what we have: the first message, BEP 3.
    pub(super) fn say_pieces(&mut self, now: Instant, slot: u32) {
        let Some(peer) = self.peers.get(slot) else { return };
        let (fast, have) = (peer.fast, self.body.as_ref().map(|body| body.picker.have()));
        let message = match have {
            _ if self.is_super_seeding() => fast.then_some(Message::HaveNone),
            Some(have) if fast && have.is_full() => Some(Message::HaveAll),
            Some(have) if !have.is_empty() => Some(Message::Bitfield(have.to_bytes())),
            _ => fast.then_some(Message::HaveNone),
        };
        if let Some(message) = message {
            self.peers.send(slot, &message);
        }
        self.reveal(now, slot);
        self.allow_fast(slot);
    }

    /// Tells a peer, that came while the metadata was unknown, of the pieces we had all along.
    pub(super) fn announce_late(&mut self, slot: u32) {
        let Some(body) = &self.body else { return };
        for piece in body.picker.have().iter() {
            self.peers.send(slot, &Message::Have(piece));
        }
        self.say_extensions(slot);
    }

    /// Says whether we want something of the peer, when that changed.
    pub(super) fn update_interest(&mut self, slot: u32) {
        let paused = self.paused.is_some();
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let interested = peer.wants > 0 && !paused;
        if interested != peer.am_interested {
            peer.am_interested = interested;
            let message = if interested { Message::Interested } else { Message::NotInterested };
            self.peers.send(slot, &message);
        }
    }

    /// Parts when neither side can ever want something of the other.
    pub(super) fn part_if_redundant(&mut self, slot: u32) {
        let Some(peer) = self.peers.get(slot) else { return };
        let useless = peer.wants == 0 && (peer.is_seed() || peer.upload_only);
        if useless && self.config.close_redundant && self.is_done() {
            self.disconnect(slot, Reason::Redundant);
        }
    }
}
