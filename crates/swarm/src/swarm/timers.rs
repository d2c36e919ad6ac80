//! What happens by the clock.

use super::Swarm;
use crate::{Message, Reason};
use peerage_base::{Duration, Instant};

/// Between ticks while blocks flow, and while they do not.
pub(super) const TICK: Duration = Duration::from_millis(250);
const IDLE_TICK: Duration = Duration::from_secs(1);
/// BEP 3: peers close a connection after two minutes of silence.
const KEEPALIVE: Duration = Duration::from_secs(100);
/// A peer with the fast extension that chokes us rejects each request; those it forgets go back.
const REJECTS_DUE: Duration = Duration::from_secs(10);
/// Counters of misbehaviour start anew each minute.
const TICKS_PER_PARDON: u64 = 240;

impl Swarm {
    /// A deadline passed; too early or too late does no harm. [`Self::pump`] comes next.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
        }
        if self.tick_at.is_none_or(|at| at > now) {
            return;
        }
        let busy = std::mem::take(&mut self.busy);
        self.tick_at = Some(now + if busy { TICK } else { IDLE_TICK });
        self.ticks += 1;
        let stuck = self.was_endgame && self.stats.downloaded == self.ticked_at;
        self.ticked_at = self.stats.downloaded;
        if let Some(body) = &mut self.body {
            body.picker.allow_copies(stuck);
        }
        for slot in self.peers.all() {
            self.tick_peer(now, slot);
        }
        if now >= self.choker.due_at() {
            self.rechoke(now);
        }
        self.poll_metadata(now);
        self.exchange(now);
        self.poll_hashes(now);
        self.tick_super_seeding(now);
        self.web_rate.tick(now);
        self.update_counts();
    }

    fn tick_peer(&mut self, now: Instant, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.down.tick(now);
        peer.up.tick(now);
        peer.pipeline.tick(now, &self.config);
        if self.ticks.is_multiple_of(TICKS_PER_PARDON) {
            (peer.chokes, peer.invalid, peer.refused_choked, peer.hashes_served) = (0, 0, 0, 0);
        }
        if now.since(peer.last_received) >= self.config.idle_timeout {
            self.disconnect(slot, Reason::Idle);
            return;
        }
        let forgotten = peer.peer_choking && peer.allowed_in.is_empty();
        let overdue = peer.pipeline.is_overdue(now, self.config.snub_timeout);
        if forgotten && peer.pipeline.is_overdue(now, REJECTS_DUE) {
            self.release_all(slot);
        } else if overdue {
            let asked = peer.pipeline.snub(now);
            for request in &asked {
                let Some(body) = &self.body else { break };
                let block = body.picker.geometry().block(request.pick.piece, request.pick.index);
                self.peers.send(slot, &Message::Cancel(block));
            }
            self.give_back(slot, &asked);
            self.mark_down(slot);
        } else {
            // Depths grow with the clock, too, and who had nothing or refused is asked again.
            peer.idle_epoch = None;
            self.mark_down(slot);
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if now.since(peer.last_sent) >= KEEPALIVE {
            peer.last_sent = now;
            self.peers.send(slot, &Message::KeepAlive);
        }
    }

    pub(super) fn update_counts(&mut self) {
        let stats = &mut self.stats;
        stats.peers = self.peers.len() as u32;
        stats.seeds = self.peers.iter().filter(|peer| peer.is_seed()).count() as u32;
        // Rates of choking look back 20 s; what people see is the sum of the quicker meters.
        let from_peers: u64 = self.peers.iter().map(|peer| peer.pipeline.rate() as u64).sum();
        stats.download_rate = from_peers + self.web_rate.rate() as u64;
        stats.upload_rate = self.peers.iter().map(|peer| peer.up.rate() as u64).sum();
        stats.requests_out = self.peers.iter().map(|peer| peer.pipeline.len() as u32).sum();
        stats.requests_in = self.peers.iter().map(|peer| peer.uploads.len() as u32).sum();
        if let Some(body) = &self.body {
            stats.left = body.picker.left();
        }
    }
}
