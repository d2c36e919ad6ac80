//! Requests of peers: who is served, with what, and in which order.

use super::{Swarm, messages::Result};
use crate::{
    Block, Bucket, Message, Output, PauseReason, Reason,
    choker::{Choker, Contender},
    upload::Pushed,
};
use peerage_base::{Duration, Instant, limits};

/// Requests that were under way when we choked the peer are refused without counting.
const CHOKE_GRACE: Duration = Duration::from_secs(5);
/// Requests for what cannot be: another client's mistake, up to a point (libtorrent: 300).
const INVALID_MAX: u32 = 100;
/// While the rate is limited: how far, in seconds of the whole rate, a peer may get ahead of another
/// because it asks for rarer pieces.
const AHEAD_TIME: f64 = 0.25;
/// Bytes of a piece message beside the block.
const PIECE_OVERHEAD: u64 = 13;

impl Swarm {
    /// A request: it waits, or is refused, or ends the connection, but it is never dropped in silence
    /// (see [`crate::upload`]); except that choking drops all, which BEP 3 says.
    pub(super) fn on_request(&mut self, now: Instant, slot: u32, block: Block) -> Result {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let valid = match &self.body {
            Some(body) => body.picker.geometry().is_valid_request(block),
            None => block.len <= limits::BLOCK_LEN,
        };
        if !valid {
            peer.invalid += 1;
            if !peer.fast || peer.invalid > INVALID_MAX {
                return Err(Reason::Protocol("a request for what cannot be"));
            }
            self.refuse(slot, &[block]);
            return Ok(());
        }
        if peer.am_choking && !peer.allowed_out.contains(&block.piece) {
            if now.since(peer.changed) > CHOKE_GRACE {
                peer.refused_choked += 1;
            }
            if peer.refused_choked > limits::REJECTS_MAX {
                return Err(Reason::Flood("requests while choked"));
            }
            self.refuse(slot, &[block]);
            return Ok(());
        }
        if !self.body.as_ref().is_some_and(|body| body.picker.have().get(block.piece)) {
            peer.invalid += 1;
            if !peer.fast || peer.invalid > INVALID_MAX {
                return Err(Reason::Protocol("a request for a piece that is not here"));
            }
            self.refuse(slot, &[block]);
            return Ok(());
        }
        match peer.uploads.push(block, peer.fast) {
            Pushed::Queued => {
                if !peer.in_up {
                    self.mark_up(slot);
                }
            }
            Pushed::Refused => self.refuse(slot, &[block]),
            Pushed::Flood => return Err(Reason::RequestFlood),
        }
        Ok(())
    }

    pub(super) fn on_cancel(&mut self, slot: u32, block: Block) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.uploads.cancel(block) {
            self.refuse(slot, &[block]);
        }
    }

    pub(super) fn on_interest(&mut self, slot: u32, interested: bool) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if std::mem::replace(&mut peer.peer_interested, interested) != interested {
            self.slots_changed = true;
            if !interested {
                self.choker.remove(slot);
            }
        }
    }

    /// Says that requests will not be served, where the peer understands it (BEP 6).
    fn refuse(&mut self, slot: u32, blocks: &[Block]) {
        if !self.peers.get(slot).is_some_and(|peer| peer.fast) {
            return;
        }
        for block in blocks {
            self.peers.send(slot, &Message::Reject(*block));
        }
        self.stats.rejects_sent += blocks.len() as u64;
    }

    fn contenders(&self) -> Vec<Contender> {
        self.peers.iter().map(|peer| peer.contender()).collect()
    }

    fn upload_limit(&self, node: Option<u64>) -> Option<u64> {
        node.into_iter().chain(self.up.rate()).min()
    }

    /// Slots that became free are given away at once.
    pub(super) fn fill_slots(&mut self, now: Instant, node_limit: Option<u64>) {
        self.slots_changed = false;
        self.node_limit = node_limit;
        if self.paused == Some(PauseReason::Command) {
            return;
        }
        let contenders = self.contenders();
        let mut slots = self.choker.slots(&self.config, self.upload_limit(node_limit));
        if !self.is_done() {
            let interested = contenders.iter().filter(|peer| peer.interested).count();
            slots = Choker::scarce(&self.config, slots, interested);
        }
        for slot in self.choker.fill(&contenders, slots) {
            self.set_choked(now, slot, false);
        }
    }

    pub(super) fn rechoke(&mut self, now: Instant) {
        if self.paused == Some(PauseReason::Command) {
            return;
        }
        let (limit, seeding) = (self.upload_limit(self.node_limit), self.is_done());
        let contenders = self.contenders();
        let changes = self.choker.rechoke(now, &self.config, &contenders, seeding, limit, &mut self.rng);
        changes.choke.into_iter().for_each(|slot| self.set_choked(now, slot, true));
        changes.unchoke.into_iter().for_each(|slot| self.set_choked(now, slot, false));
    }

    pub(super) fn set_choked(&mut self, now: Instant, slot: u32, choked: bool) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.am_choking == choked {
            return;
        }
        (peer.am_choking, peer.changed, peer.refused_choked) = (choked, now, 0);
        let dropped: Vec<Block> = if choked { peer.uploads.clear().collect() } else { Vec::new() };
        self.peers.send(slot, if choked { &Message::Choke } else { &Message::Unchoke });
        self.refuse(slot, &dropped);
    }

    /// Sends blocks to whoever asked and has room.
    pub(super) fn pump_uploads(&mut self, now: Instant, up: &mut Bucket) {
        if self.ready_up.is_empty() {
            return;
        }
        if up.rate().is_some() || self.up.rate().is_some() {
            self.pump_limited(now, up);
            return;
        }
        while let Some(slot) = self.ready_up.pop_front() {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            peer.in_up = false;
            let mut refused = Vec::new();
            while self.peers.get(slot).is_some_and(|peer| peer.credit > 0) {
                let Some(block) = self.peers.get_mut(slot).and_then(|peer| peer.uploads.pop(&mut refused))
                else {
                    break;
                };
                self.send_block(now, slot, block);
            }
            self.refuse(slot, &refused);
        }
    }

    /// The line is the bottleneck: it matters what goes first. A piece that went to nobody else yet
    /// goes before one that others can pass on, so that a seed sends each piece about once. Shares stay
    /// equal nevertheless: nobody gets ahead of another by more than [`AHEAD_TIME`].
    fn pump_limited(&mut self, now: Instant, up: &mut Bucket) {
        let rate = self.upload_limit(up.rate()).unwrap_or(0);
        let ahead = (rate as f64 * AHEAD_TIME) as u64;
        while up.is_open() && self.up.is_open() {
            let Some(at) = self.next_turn(ahead) else { return };
            let Some(slot) = self.ready_up.remove(at) else { return };
            let block = self.take_ranked(slot);
            if let Some(block) = block {
                self.send_block(now, slot, block);
                up.take(u64::from(block.len));
                self.up.take(u64::from(block.len));
            }
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            peer.in_up = false;
            peer.share += block.map_or(0, |block| u64::from(block.len));
            self.mark_up(slot);
        }
        let own = self.up.opens_at();
        self.wake_at = self.wake_at.into_iter().chain(own).chain(up.opens_at()).min();
    }

    /// Whose turn it is: of those that are not ahead of the others, the one with the best to send.
    fn next_turn(&mut self, ahead: u64) -> Option<usize> {
        let peers = &self.peers;
        let share = |slot: &u32| peers.get(*slot).map_or(0, |peer| peer.share);
        let least = self.ready_up.iter().map(share).min()?;
        self.least_share = least;
        let fair = self.ready_up.iter().enumerate().filter(|(_, slot)| share(slot) <= least + ahead);
        let rank = |slot: &u32| {
            let peer = peers.get(*slot)?;
            peer.uploads.best_rank(|block| self.rank(peer.party, block))
        };
        fair.min_by_key(|(_, slot)| (rank(slot), share(slot))).map(|(at, _)| at)
    }

    /// 0: nobody else was sent any of it; otherwise the more others have it, the more.
    fn rank(&self, party: u32, block: Block) -> u32 {
        let Some(body) = &self.body else { return 0 };
        match body.first_sent.get(block.piece as usize) {
            Some(&first) if first != 0 && first != party + 1 => 1 + body.picker.count(block.piece),
            _ => 0,
        }
    }

    fn take_ranked(&mut self, slot: u32) -> Option<Block> {
        let party = self.peers.get(slot)?.party;
        let mut uploads = std::mem::take(&mut self.peers.get_mut(slot)?.uploads);
        let mut refused = Vec::new();
        let taken = uploads.pop_by(|block| self.rank(party, block), &mut refused);
        self.peers.get_mut(slot)?.uploads = uploads;
        self.refuse(slot, &refused);
        let (_, block) = taken?;
        if let Some(body) = &mut self.body {
            let pieces = body.picker.geometry().pieces() as usize;
            body.first_sent.resize(pieces, 0);
            if let Some(first) = body.first_sent.get_mut(block.piece as usize).filter(|first| **first == 0) {
                *first = party + 1;
            }
        }
        Some(block)
    }

    fn send_block(&mut self, now: Instant, slot: u32, block: Block) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let len = u64::from(block.len);
        peer.credit = peer.credit.saturating_sub(len + PIECE_OVERHEAD);
        peer.up.add(len);
        peer.last_sent = now;
        self.stats.uploaded += len;
        self.busy = true;
        // What was said to the peer before goes before.
        if !peer.out.is_empty() {
            let (conn, bytes) = (peer.conn, std::mem::take(&mut peer.out));
            self.outputs.push_back(Output::Send { conn, bytes });
        }
        let conn = peer.conn;
        self.outputs.push_back(Output::SendBlock { conn, block });
    }

    /// A piece is not here any more: nobody is served from it.
    pub(super) fn withdraw(&mut self, piece: u32) {
        for slot in self.peers.all() {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            let refused = peer.uploads.remove_piece(piece);
            self.refuse(slot, &refused);
            let told = self.say_dont_have(slot, piece) || self.peers.get(slot).is_some_and(|peer| peer.fast);
            if !told && !refused.is_empty() {
                // It cannot be told: better a new connection than two minutes of waiting.
                self.disconnect(slot, Reason::Protocol("a piece was lost, and the peer cannot be told"));
            }
        }
    }
}
