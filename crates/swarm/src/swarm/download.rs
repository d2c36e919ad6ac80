//! Asking for blocks, and taking them.

use super::Swarm;
use crate::{
    Block, BlockVerdict, Bucket, Message, Output, Reason,
    picker::{Asker, Pick},
    requests::Asked,
};
use peerage_base::{Instant, limits::BLOCK_LEN};

/// Blocks that nobody asked for, beyond those that are explained, after which a peer is left.
const STRAYS_MAX: u32 = 256;
/// Blocks that an idle peer is asked for in the endgame at once.
const ENDGAME_MAX: usize = 16;

/// Requests that a peer refuses, though it does not choke us, before it is left: since its last block.
const REFUSALS_MAX: u32 = 4000;

/// How asking one peer ended.
enum Filled {
    /// It has enough, or nothing for us.
    Enough,
    /// It would get more, if a budget allowed.
    Starved,
}

impl Swarm {
    /// The hot path: once per block.
    pub(super) fn on_block(&mut self, now: Instant, slot: u32, block: Block) -> BlockVerdict {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else {
            return BlockVerdict::Drop;
        };
        peer.last_received = now;
        self.busy = true;
        let index = body.picker.geometry().index_of(block);
        let asked = index.and_then(|index| peer.pipeline.take(block.piece, index));
        let Some(asked) = asked else {
            if index.is_none() {
                self.on_misshapen(slot, block);
            }
            self.on_stray(slot, block);
            return BlockVerdict::Drop;
        };
        let len = u64::from(block.len);
        self.asked -= len;
        peer.pipeline.delivered(now, &asked, &self.config);
        if !peer.in_down {
            peer.in_down = true;
            self.ready_down.push(slot);
        }
        peer.down.add(len);
        peer.refusals_in = 0;
        let party = peer.party;
        let verdict = self.accept(now, party, slot, asked.pick, block);
        self.let_go(slot);
        verdict
    }

    /// A peer that cannot be asked for more owns no piece any more: others may go on with it.
    pub(super) fn let_go(&mut self, slot: u32) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else { return };
        if peer.peer_choking && peer.pipeline.is_empty() {
            peer.current = None;
            body.picker.disown(slot);
        }
    }

    /// A block that was asked for, from a peer or a web seed.
    pub(super) fn accept(
        &mut self,
        _now: Instant,
        party: u32,
        slot: u32,
        pick: Pick,
        block: Block,
    ) -> BlockVerdict {
        let Some(body) = &mut self.body else { return BlockVerdict::Drop };
        let len = u64::from(block.len);
        let Some(received) = body.picker.receive(pick, party) else {
            self.stats.wasted += len;
            return BlockVerdict::Drop;
        };
        self.stats.downloaded += len;
        self.unwritten += len;
        if received.complete {
            let digests = self.blame.needs_digests(block.piece);
            self.outputs.push_back(Output::Verify { piece: block.piece, digests });
        }
        if received.duplicates {
            self.cancel_others(slot, pick, block);
            self.cancel_web(pick);
        }
        BlockVerdict::Accept
    }

    /// A block of another length than asked for: the peer will not send the right one any more.
    fn on_misshapen(&mut self, slot: u32, block: Block) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else { return };
        if !block.begin.is_multiple_of(BLOCK_LEN) {
            return;
        }
        let Some(asked) = peer.pipeline.take(block.piece, block.begin / BLOCK_LEN) else { return };
        self.asked -= u64::from(asked.len);
        body.picker.release(asked.pick);
        self.let_go(slot);
        self.mark_down(slot);
    }

    fn on_stray(&mut self, slot: u32, block: Block) {
        self.stats.wasted += u64::from(block.len);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.strays_due > 0 {
            peer.strays_due -= 1;
            return;
        }
        peer.invalid += 1;
        if peer.invalid > STRAYS_MAX {
            self.disconnect(slot, Reason::Flood("blocks that nobody asked for"));
        }
    }

    /// The endgame is over for a block: others need not send it.
    fn cancel_others(&mut self, but: u32, pick: Pick, block: Block) {
        for slot in self.peers.all() {
            let Some(peer) = self.peers.get_mut(slot).filter(|peer| peer.slot != but) else { continue };
            if peer.pipeline.take(pick.piece, pick.index).is_some() {
                self.asked -= u64::from(block.len);
                peer.strays_due += 1;
                self.peers.send(slot, &Message::Cancel(block));
                self.mark_down(slot);
            }
        }
    }

    /// A peer refuses a request (BEP 6).
    pub(super) fn on_reject(&mut self, slot: u32, block: Block) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else { return };
        let index = body.picker.geometry().index_of(block);
        let Some(asked) = index.and_then(|index| peer.pipeline.take(block.piece, index)) else { return };
        self.asked -= u64::from(asked.len);
        body.picker.release(asked.pick);
        peer.allowed_in.retain(|piece| *piece != block.piece);
        if !peer.peer_choking {
            peer.refusals_in += 1;
            peer.pipeline.refused();
            // Whoever refuses everything is asked again at the next tick, not at once.
            if peer.pipeline.is_empty() {
                peer.idle_epoch = Some(body.picker.epoch());
            }
        }
        let flood = peer.refusals_in > REFUSALS_MAX;
        if peer.pipeline.is_empty() {
            body.picker.disown(slot);
            peer.current = None;
        }
        self.mark_down(slot);
        if flood {
            self.disconnect(slot, Reason::Flood("refusals"));
        }
    }

    /// All requests of a peer go back: it is gone, chokes us, or does not answer.
    pub(super) fn release_all(&mut self, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let asked = peer.pipeline.clear();
        self.give_back(slot, &asked);
    }

    pub(super) fn give_back(&mut self, slot: u32, asked: &[Asked]) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else { return };
        for request in asked {
            self.asked -= u64::from(request.len);
            body.picker.release(request.pick);
        }
        peer.strays_due += asked.len() as u32;
        peer.current = None;
        body.picker.disown(slot);
    }

    pub(super) fn pump_requests(&mut self, now: Instant, down: &mut Bucket) {
        let Some(body) = &self.body else { return };
        if self.paused.is_some() || !self.config.fetch {
            return;
        }
        let endgame = body.picker.is_endgame();
        if body.picker.epoch() != self.pumped_epoch || (endgame && !self.was_endgame) {
            self.pumped_epoch = body.picker.epoch();
            self.mark_all_down();
        }
        self.was_endgame = endgame;
        let mut ready = std::mem::take(&mut self.ready_down);
        let mut starved = Vec::new();
        // Who does not answer comes last, lest it take again and again what it was just relieved of; in
        // the endgame those go first that delivered most.
        ready.sort_by_key(|slot| {
            let peer = self.peers.get(*slot);
            let delivered = peer.filter(|_| endgame).map_or(0, |peer| peer.down.total());
            (peer.is_some_and(|peer| peer.pipeline.is_snubbed()), std::cmp::Reverse(delivered))
        });
        for slot in ready.drain(..) {
            match self.fill(now, slot, down) {
                Filled::Enough => {
                    if let Some(peer) = self.peers.get_mut(slot) {
                        peer.in_down = false;
                    }
                }
                Filled::Starved => starved.push(slot),
            }
        }
        // The storage is used again; whoever got nothing is first next time.
        ready.append(&mut starved);
        ready.append(&mut self.ready_down);
        self.ready_down = ready;
        if !self.ready_down.is_empty() {
            self.wake_when_open(&[&*down]);
            let own = self.down.opens_at();
            self.wake_at = self.wake_at.into_iter().chain(own).min();
        }
    }

    fn mark_all_down(&mut self) {
        for slot in self.peers.all() {
            if self.peers.get(slot).is_some_and(|peer| peer.wants > 0) {
                self.mark_down(slot);
            }
        }
    }

    pub(super) fn wake_when_open(&mut self, buckets: &[&Bucket]) {
        let opens = buckets.iter().filter_map(|bucket| bucket.opens_at());
        self.wake_at = self.wake_at.into_iter().chain(opens).min();
    }

    /// Asks one peer for as much as it should be asked for.
    fn fill(&mut self, now: Instant, slot: u32, down: &mut Bucket) -> Filled {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else {
            return Filled::Enough;
        };
        let open = !peer.peer_choking || !peer.allowed_in.is_empty();
        let room = peer.pipeline.room(&self.config);
        if !peer.am_interested || !open || room == 0 {
            return Filled::Enough;
        }
        let epoch = body.picker.epoch();
        let endgame = self.was_endgame && peer.pipeline.is_empty();
        if peer.idle_epoch == Some(epoch) && !endgame {
            return Filled::Enough;
        }
        let mut count = room;
        let budget = self.config.inflight_bytes_max;
        let fits = (budget.saturating_sub(self.asked + self.unwritten) / u64::from(BLOCK_LEN)) as usize;
        if fits < count {
            // Some for everybody: one fast peer must not keep the others from showing what they can.
            let least = self.config.requests_out_min.saturating_sub(peer.pipeline.len());
            count = fits.max(if self.unwritten < budget { least.min(room) } else { 0 });
        }
        let allowance = |bucket: &Bucket| bucket.allowance(u64::from(BLOCK_LEN));
        let allowed = allowance(down).min(allowance(&self.down));
        count = count.min(usize::try_from(allowed).unwrap_or(usize::MAX));
        if count == 0 {
            return Filled::Starved;
        }
        let starved = count < room;
        let whole = peer.pipeline.takes_whole(now, body.picker.geometry().piece_len(0));
        let only = if peer.peer_choking { Some(&peer.allowed_in[..]) } else { None };
        let asker = Asker { slot, have: &peer.have, whole, only };
        self.picks.clear();
        body.picker.pick(&asker, &mut peer.current, count, &mut self.rng, &mut self.picks);
        if self.picks.len() < count {
            peer.idle_epoch = Some(body.picker.epoch());
            let idle = peer.pipeline.is_empty() && !peer.pipeline.is_snubbed();
            if self.picks.is_empty() && idle && body.picker.is_endgame() {
                let pipeline = &peer.pipeline;
                let is_mine = |pick: &Pick| pipeline.contains(pick);
                body.picker.pick_endgame(
                    &asker,
                    count.min(ENDGAME_MAX),
                    &mut self.rng,
                    is_mine,
                    &mut self.picks,
                );
                self.stats.endgame_requests += self.picks.len() as u64;
            }
        }
        for pick in &self.picks {
            let block = body.picker.geometry().block(pick.piece, pick.index);
            let len = u64::from(block.len);
            Message::Request(block).encode(&mut peer.out);
            peer.pipeline.push(now, *pick, block.len);
            self.asked += len;
            down.take(len);
            self.down.take(len);
        }
        if !self.picks.is_empty() {
            peer.last_sent = now;
            self.peers.wrote(slot);
        }
        if starved && self.picks.len() == count { Filled::Starved } else { Filled::Enough }
    }
}
