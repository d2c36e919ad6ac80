//! Trackers: what is said and what comes of it.

use super::Peer;
use crate::event::{Announce, Output, Source};
use crate::trackers::{AnnounceReply, TrackerFailure, TrackerId};
use peerage_base::{Instant, TorrentId, limits::TRACKER_PEERS_MAX};

/// Characters of a tracker's own words that are passed on.
const FAILURE_CHARS_MAX: usize = 300;

impl Peer {
    /// A tracker answered, or failed, with the reason in words.
    pub fn handle_tracker(
        &mut self,
        now: Instant,
        id: TorrentId,
        tracker: TrackerId,
        result: Result<AnnounceReply, TrackerFailure>,
    ) {
        self.now = now;
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        let judged = result.as_ref().map_err(|failure| failure.retry);
        let Some(outcome) = torrent.trackers.handle(now, tracker, judged, &mut self.rng) else { return };
        let status = match result {
            Ok(mut reply) => {
                reply.peers.truncate(TRACKER_PEERS_MAX);
                self.add_candidates(now, id, Source::Tracker, None, &reply.peers);
                Ok(reply.peers.len())
            }
            Err(failure) => Err(failure.message.chars().take(FAILURE_CHARS_MAX).collect()),
        };
        // Trackers that know a hybrid by one hash only are no news.
        if outcome.primary || status.is_ok() {
            self.outputs.push_back(Output::TrackerStatus { torrent: id, url: outcome.url, result: status });
        }
        self.announce(now, id);
        self.touch(id);
    }

    /// Makes the announces of a torrent that are due.
    pub(super) fn announce(&mut self, now: Instant, id: TorrentId) {
        loop {
            let full = self.conns.of_torrent(id) >= self.config.connections_per_torrent_max;
            let num_want = if full { 0 } else { self.config.num_want };
            let Some(torrent) = self.torrents.get_mut(&id) else { return };
            let progress = torrent.progress(num_want);
            let Some(announce) = torrent.trackers.poll(now, progress, &mut self.rng) else { return };
            self.emit_announce(id, announce);
        }
    }

    pub(super) fn emit_announce(&mut self, torrent: TorrentId, announce: Announce) {
        let Announce { tracker, url, request } = announce;
        self.stats.announces += 1;
        self.outputs.push_back(Output::Announce { torrent, tracker, url, request });
    }

    /// Torrents that lack everything and know nobody ask their trackers sooner.
    pub(super) fn hurry_trackers(&mut self) {
        let lonely: Vec<TorrentId> = self
            .torrents
            .iter()
            .filter(|(id, torrent)| !torrent.is_done() && self.conns.of_torrent(**id) == 0)
            .map(|(id, _)| *id)
            .collect();
        for id in lonely {
            if let Some(torrent) = self.torrents.get_mut(&id) {
                torrent.trackers.hurry();
            }
            self.touch(id);
        }
    }
}
