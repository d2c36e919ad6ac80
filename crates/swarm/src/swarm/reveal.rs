//! What is shown to newcomers: super-seeding (BEP 16), pieces allowed while choked (BEP 6).

use super::Swarm;
use crate::{Message, allowed, superseed::SuperSeed};
use peerage_base::Instant;

impl Swarm {
    /// Shows each peer a few pieces only, while this is the only seed (BEP 16). When it is turned off,
    /// or another seed comes, all is shown.
    pub fn set_super_seeding(&mut self, now: Instant, on: bool) {
        self.config.super_seeding = on;
        if on {
            self.begin_super_seeding(now);
        } else {
            self.end_super_seeding();
        }
    }

    /// Peers that are connected already have seen all there is: those that come are shown less.
    pub(super) fn begin_super_seeding(&mut self, _now: Instant) {
        let Some(body) = &mut self.body else { return };
        let complete = body.picker.have().is_full() && body.picker.availability().whole() == 0;
        if self.config.super_seeding && complete && self.super_seed.is_none() && self.peers.is_empty() {
            self.super_seed = Some(SuperSeed::new(body.picker.geometry().pieces()));
        }
    }

    fn end_super_seeding(&mut self) {
        let (Some(machine), Some(body)) = (self.super_seed.take(), &self.body) else { return };
        for peer in self.peers.iter().map(|peer| peer.slot).collect::<Vec<_>>() {
            let Some(have) = self.peers.get(peer).map(|peer| peer.have.clone()) else { continue };
            for piece in
                body.picker.have().iter().filter(|piece| !have.get(*piece) && !machine.is_shown(peer, *piece))
            {
                self.peers.send(peer, &Message::Have(piece));
            }
        }
    }

    pub(super) fn is_super_seeding(&self) -> bool {
        self.super_seed.is_some()
    }

    /// Shows a peer what is due to it.
    pub(super) fn reveal(&mut self, now: Instant, slot: u32) {
        let alone = self.peers.iter().filter(|peer| !peer.is_seed()).count() <= 1;
        let (Some(machine), Some(body), Some(peer)) =
            (&mut self.super_seed, &self.body, self.peers.get(slot))
        else {
            return;
        };
        let mut messages = Vec::new();
        while let Some(piece) = machine.show(now, slot, &peer.have, alone, |piece| body.picker.count(piece)) {
            messages.push(Message::Have(piece));
            if messages.len() >= 2 {
                break;
            }
        }
        messages.iter().for_each(|message| self.peers.send(slot, message));
    }

    /// A peer has a piece: whoever was shown it has passed it on.
    pub(super) fn on_told(&mut self, now: Instant, slot: u32, piece: u32) {
        let Some(machine) = &mut self.super_seed else { return };
        let passed = machine.seen(slot, piece);
        passed.into_iter().for_each(|slot| self.reveal(now, slot));
        self.reveal(now, slot);
    }

    pub(super) fn tick_super_seeding(&mut self, now: Instant) {
        if self.super_seed.is_none() {
            return;
        }
        let web = self.body.as_mut().is_some_and(|body| body.picker.availability().whole() > 0);
        if web || self.peers.iter().any(|peer| peer.is_seed()) {
            self.end_super_seeding();
            return;
        }
        self.peers.all().into_iter().for_each(|slot| self.reveal(now, slot));
    }

    /// Names the pieces that a newcomer may ask for while choked.
    pub(super) fn allow_fast(&mut self, slot: u32) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &self.body) else { return };
        if !peer.fast || self.super_seed.is_some() {
            return;
        }
        let have = body.picker.have();
        let set = allowed::set(peer.addr, &self.info_hash, have.len(), allowed::SET_LEN);
        peer.allowed_out = set.into_iter().filter(|piece| have.get(*piece)).collect();
        for piece in peer.allowed_out.clone() {
            self.peers.send(slot, &Message::AllowedFast(piece));
        }
    }
}
