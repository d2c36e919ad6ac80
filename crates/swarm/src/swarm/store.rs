//! What the store reports: pieces done, bad, lost; a disk that is full.

use super::Swarm;
use crate::{
    Event, Message, Output, PauseReason, Reason, StoreEvent,
    blame::{Digest, Verdict},
};
use peerage_base::Instant;

impl Swarm {
    pub(super) fn on_store(&mut self, now: Instant, event: StoreEvent) {
        match event {
            StoreEvent::Written { len, .. } => self.on_settled(u64::from(len)),
            StoreEvent::Verified { piece, ok: true, digests } => {
                self.on_right(now, piece, digests.as_deref())
            }
            StoreEvent::Verified { piece, ok: false, digests } => self.on_wrong(now, piece, digests),
            StoreEvent::Failed { piece, begin, len, full_disk, written } => {
                if !written {
                    self.on_settled(u64::from(len));
                }
                if let Some(body) = &mut self.body {
                    body.picker.unreceive(piece, begin, len);
                }
                let reason = if full_disk { PauseReason::DiskFull } else { PauseReason::DiskError };
                self.pause_for(now, reason);
            }
            StoreEvent::Lost { piece } => self.on_lost(piece),
            StoreEvent::Regained { piece } => self.on_regained(piece),
        }
    }

    /// Accepted bytes do not wait for the disk any more.
    fn on_settled(&mut self, len: u64) {
        self.unwritten = self.unwritten.saturating_sub(len);
    }

    fn on_right(&mut self, now: Instant, piece: u32, digests: Option<&[Digest]>) {
        let Some(body) = &mut self.body else { return };
        if !body.picker.verified(piece, true) {
            return;
        }
        body.digests_due.remove(&piece);
        body.lost.remove(&piece);
        let guilty = self.blame.verified(piece, digests);
        self.announce(piece);
        guilty.into_iter().for_each(|party| self.ban_party(now, party, Reason::BadData));
        self.check_done();
    }

    fn on_regained(&mut self, piece: u32) {
        let Some(body) = &mut self.body else { return };
        if body.lost.contains(&piece) && body.picker.regain(piece) {
            body.lost.remove(&piece);
            self.announce(piece);
            self.check_done();
        }
    }

    /// A piece became ours: files may be whole now, and peers are told.
    fn announce(&mut self, piece: u32) {
        self.stats.pieces_done += 1;
        self.event(Event::PieceDone { piece });
        self.count_files(piece);
        for slot in self.peers.all() {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            // Whoever has everything needs no telling. Others are told of pieces that they have, too:
            // a super-seed waits for it (BEP 16), and looks like a leecher.
            let tell = !peer.is_seed();
            if peer.have.get(piece) {
                peer.wants = peer.wants.saturating_sub(1);
                self.update_interest(slot);
            }
            if tell {
                self.peers.send(slot, &Message::Have(piece));
            }
        }
    }

    fn count_files(&mut self, piece: u32) {
        let Some(body) = &mut self.body else { return };
        let info = body.hashes.info().clone();
        for file in info.layout.files_of(piece) {
            let holds = info
                .layout
                .files()
                .get(file)
                .is_some_and(|entry| entry.pieces.contains(&piece) && !entry.is_pad());
            let Some(missing) = body.missing.get_mut(file).filter(|_| holds) else { continue };
            *missing = missing.saturating_sub(1);
            if *missing == 0 {
                self.outputs.push_back(Output::Event(Event::FileDone { file }));
            }
        }
    }

    fn on_wrong(&mut self, now: Instant, piece: u32, digests: Option<Vec<Digest>>) {
        let Some(body) = &mut self.body else { return };
        let Some(parties) = body.picker.parties(piece).map(<[u32]>::to_vec) else { return };
        let verdict = self.blame.failed(piece, &parties, digests);
        // A store that has no digests to give is not asked twice.
        if verdict == Verdict::Digests && body.digests_due.insert(piece) {
            self.outputs.push_back(Output::Verify { piece, digests: true });
            return;
        }
        body.digests_due.remove(&piece);
        body.picker.verified(piece, false);
        self.stats.pieces_failed += 1;
        self.stats.failed += u64::from(body.picker.geometry().data_len(piece));
        self.event(Event::PieceFailed { piece });
        if let Verdict::Guilty(guilty) = verdict {
            guilty.into_iter().for_each(|party| self.ban_party(now, party, Reason::BadData));
        }
    }

    fn on_lost(&mut self, piece: u32) {
        let Some(body) = &mut self.body else { return };
        if !body.picker.lose(piece) {
            return;
        }
        self.stats.pieces_done = self.stats.pieces_done.saturating_sub(1);
        let info = body.hashes.info().clone();
        for file in info.layout.files_of(piece) {
            if let Some(missing) = body.missing.get_mut(file) {
                *missing += 1;
            }
        }
        body.lost.insert(piece);
        let wanted = body.picker.wanted().get(piece);
        if let Some(first) = body.first_sent.get_mut(piece as usize) {
            *first = 0;
        }
        self.withdraw(piece);
        for slot in self.peers.all() {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            if wanted && peer.have.get(piece) {
                peer.wants += 1;
                self.update_interest(slot);
                self.mark_down(slot);
            }
        }
        self.check_done();
    }

    /// Says when all that is wanted became there, and to peers when we only upload (BEP 21).
    pub(super) fn check_done(&mut self) {
        let Some(body) = &mut self.body else { return };
        let done = body.picker.wanted().is_empty();
        self.stats.left = body.picker.left();
        if std::mem::replace(&mut body.was_done, done) == done {
            return;
        }
        for slot in self.peers.all() {
            let Some(peer) = self.peers.get(slot) else { continue };
            if let Some(id) = peer.ids.upload_only {
                let payload = peerage_wire::extension::encode_upload_only(done);
                self.peers.send(slot, &Message::Extended { id, payload });
            } else if !peer.said_extensions {
                // Its numbers are not known yet: what we said at first is said anew.
                self.say_extensions(slot);
            }
            self.part_if_redundant(slot);
        }
        if done {
            self.event(Event::Done);
        }
    }
}
