//! Hash requests (BEP 52), both sides.

use super::{Swarm, messages::Result};
use crate::{
    Event, Message, Reason,
    hashes::{LayerFetch, Outcome},
};
use peerage_base::Instant;
use peerage_wire::HashRequest;

/// Hashes that one peer is answered per minute, 8 MiB of them, each request counting at least as 64:
/// the layers of a terabyte in pieces of 4 MiB.
const ANSWERED_MAX: u32 = 262_144;
const REQUEST_COST: u32 = 64;
/// Bytes that wait to be sent to a peer beyond which it is refused more: it does not read what it asks for.
const WAITING_MAX: usize = 256 * 1024;

impl Swarm {
    /// Pieces whose hash is unknown are not fetched until their layer is.
    pub(super) fn lock_unverifiable(&mut self) {
        let Some(body) = &mut self.body else { return };
        let info = body.hashes.info().clone();
        if info.version.has_v1() {
            return;
        }
        for piece in 0..body.picker.geometry().pieces() {
            if body.hashes.check(piece).is_none() {
                body.picker.lock(piece);
            }
        }
    }

    /// Begins to fetch the layers that are missing.
    pub(super) fn want_layers(&mut self) {
        let Some(body) = &self.body else { return };
        let info = body.hashes.info();
        if !info.version.has_v1() {
            self.layers = LayerFetch::new(&info.layout, body.hashes.missing_layers());
        }
    }

    pub(super) fn poll_hashes(&mut self, now: Instant) {
        if self.layers.is_empty() {
            return;
        }
        // Whoever has pieces of a version 2 torrent has their hashes.
        let able: Vec<u32> =
            self.peers.iter().filter(|peer| !peer.have.is_empty()).map(|peer| peer.slot).collect();
        for (slot, request) in self.layers.poll(now, &able) {
            self.peers.send(slot, &Message::HashRequest(request));
        }
    }

    pub(super) fn on_hash_message(&mut self, now: Instant, slot: u32, message: Message) -> Result {
        match message {
            Message::HashRequest(request) => return self.on_hash_request(slot, &request),
            Message::Hashes { request, hashes } => {
                match self.layers.handle_hashes(slot, &request, &hashes) {
                    Outcome::Going => {}
                    Outcome::Layer { root, files, layer } => self.on_layer(root, &files, layer),
                    Outcome::Bad => {
                        if let Some(party) = self.peers.get(slot).map(|peer| peer.party) {
                            self.ban_party(now, party, Reason::BadMetadata);
                        }
                    }
                }
                self.poll_hashes(now);
            }
            Message::HashReject(request) => {
                self.layers.handle_reject(now, slot, &request);
                self.poll_hashes(now);
            }
            _ => {}
        }
        Ok(())
    }

    fn on_hash_request(&mut self, slot: u32, request: &HashRequest) -> Result {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        peer.hashes_served = peer.hashes_served.saturating_add(request.length.max(REQUEST_COST));
        if peer.hashes_served > 2 * ANSWERED_MAX {
            return Err(Reason::Flood("hash requests"));
        }
        let may = peer.hashes_served <= ANSWERED_MAX && peer.out.len() <= WAITING_MAX;
        let answer = self.body.as_ref().filter(|_| may).and_then(|body| body.hashes.answer(request).ok());
        let reply = match answer {
            Some(hashes) => Message::Hashes { request: *request, hashes },
            None => Message::HashReject(*request),
        };
        self.peers.send(slot, &reply);
        Ok(())
    }

    fn on_layer(&mut self, root: [u8; 32], files: &[usize], layer: Vec<[u8; 32]>) {
        let Some(body) = &mut self.body else { return };
        let info = body.hashes.info().clone();
        for &file in files {
            if body.hashes.set_layer(file, &layer).is_err() {
                continue;
            }
            let pieces = info.layout.files().get(file).map(|file| file.pieces.clone());
            pieces.into_iter().flatten().for_each(|piece| body.picker.unlock(piece));
        }
        self.event(Event::PieceLayer { root, layer });
    }
}
