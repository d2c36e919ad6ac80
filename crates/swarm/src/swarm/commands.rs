//! What the user asks for.

use super::Swarm;
use crate::{Event, Message, PauseReason, Priority, Reason};
use peerage_base::{ConnId, Instant};

impl Swarm {
    /// Others reach us on this port from now on; peers are told when they connect.
    pub fn set_listen_port(&mut self, port: u16) {
        self.local.listen_port = port;
    }

    /// Changes how much each file is wanted; files beyond the list are [`Priority::Normal`]. A piece
    /// counts as much as the file in it that is wanted most.
    pub fn set_priorities(&mut self, _now: Instant, priorities: &[Priority]) {
        let Some(body) = &mut self.body else { return };
        let info = body.hashes.info().clone();
        let mut pieces = vec![Priority::Skip; info.layout.pieces() as usize];
        for (index, file) in info.layout.files().iter().enumerate() {
            if file.is_pad() {
                continue;
            }
            let priority = priorities.get(index).copied().unwrap_or_default();
            for piece in file.pieces.clone() {
                if let Some(of_piece) = pieces.get_mut(piece as usize) {
                    *of_piece = priority.max(*of_piece);
                }
            }
        }
        body.picker.set_priorities(|piece| pieces.get(piece as usize).copied().unwrap_or_default());
        self.lock_unverifiable();
        let Some(body) = &self.body else { return };
        for peer in self.peers.iter_mut() {
            peer.wants = peer.have.common(body.picker.wanted()).count() as u32;
            peer.idle_epoch = None;
        }
        for slot in self.peers.all() {
            self.update_interest(slot);
            self.mark_down(slot);
        }
        self.check_done();
    }

    /// Pieces are asked for in order from piece `from` on, and from the start when the end is reached;
    /// `None`: rarest first.
    pub fn set_sequential(&mut self, _now: Instant, from: Option<u32>) {
        self.config.sequential = from.is_some();
        if let Some(body) = &mut self.body {
            body.picker.set_sequential(from);
        }
    }

    /// Limits of this torrent alone, in bytes per second.
    pub fn set_rates(&mut self, now: Instant, upload: Option<u64>, download: Option<u64>) {
        self.up.set_rate(now, upload);
        self.down.set_rate(now, download);
    }

    /// Bytes in flight at most, see [`crate::Config::inflight_bytes_max`]: a node divides its budget.
    pub fn set_inflight_max(&mut self, bytes: u64) {
        self.config.inflight_bytes_max = bytes.max(u64::from(peerage_base::limits::BLOCK_LEN));
    }

    /// Nothing is fetched or sent until `resume`. Connections stay.
    pub fn pause(&mut self, now: Instant) {
        self.pause_for(now, PauseReason::Command);
    }

    pub(super) fn pause_for(&mut self, now: Instant, reason: PauseReason) {
        // What the user says goes over what the disk says.
        if self.paused.is_some_and(|old| old == PauseReason::Command || reason != PauseReason::Command) {
            return;
        }
        self.paused = Some(reason);
        for slot in self.peers.all() {
            self.cancel_all(slot);
            self.update_interest(slot);
            // A full disk is no reason not to share what is there.
            if reason == PauseReason::Command {
                self.set_choked(now, slot, true);
            }
        }
        self.event(Event::Paused { reason });
    }

    /// Goes on after a pause, whatever its reason; when the disk is still full it pauses again.
    pub fn resume(&mut self, _now: Instant) {
        if self.paused.take().is_none() {
            return;
        }
        self.slots_changed = true;
        for slot in self.peers.all() {
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.idle_epoch = None;
            }
            self.update_interest(slot);
            self.mark_down(slot);
        }
    }

    fn cancel_all(&mut self, slot: u32) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &self.body) else { return };
        for asked in peer.pipeline.iter() {
            let block = body.picker.geometry().block(asked.pick.piece, asked.pick.index);
            Message::Cancel(block).encode(&mut peer.out);
        }
        self.peers.wrote(slot);
        self.release_all(slot);
    }

    /// Disconnects a peer and tells the parent to ban it.
    pub fn ban(&mut self, now: Instant, conn: ConnId) {
        let party = self.peers.slot(conn).and_then(|slot| self.peers.get(slot)).map(|peer| peer.party);
        if let Some(party) = party {
            self.ban_party(now, party, Reason::Banned);
        }
    }

    /// Disconnects everybody: the torrent ends.
    pub fn stop(&mut self, _now: Instant) {
        for slot in self.peers.all() {
            self.disconnect(slot, Reason::Stopped);
        }
    }
}
