//! The local network: what is announced there, and what others announce (BEP 14).

use super::Peer;
use super::torrent::Torrent;
use crate::Via;
use crate::event::{Output, Source};
use crate::lan::LanSchedule;
use peerage_base::limits::LSD_HASHES_MAX;
use peerage_base::{Duration, Instant, TorrentId};
use std::net::SocketAddr;

/// Peers of one torrent that named themselves on the local network: one host could name any number.
pub const LAN_PEERS_MAX: usize = 200;

/// What is due so soon goes with what is due now: one datagram for many torrents.
const TOGETHER: Duration = Duration::from_secs(30);

impl Peer {
    /// Announces a torrent on the local network from now on. Never a private one.
    pub(super) fn begin_lan(&mut self, now: Instant, id: TorrentId) {
        let on = self.config.lan && self.config.via != Via::Relay && self.local.listen_port != 0;
        let Some(torrent) = self.torrents.get_mut(&id).filter(|torrent| on && !torrent.private) else {
            return;
        };
        if torrent.lan.is_none() {
            torrent.lan = Some(LanSchedule::new(now));
            self.announce_lan(now, id);
        }
    }

    /// Somebody on the local network announced these info hashes, and is to be dialled at `addr`. Returns how
    /// many torrents of ours have a new peer by that.
    pub fn handle_lan(&mut self, now: Instant, addr: SocketAddr, info_hashes: &[[u8; 20]]) -> usize {
        self.now = now;
        let mut ids: Vec<TorrentId> =
            info_hashes.iter().filter_map(|hash| self.by_hash.get(hash)).copied().collect();
        // Both hashes of a hybrid are one torrent.
        ids.sort_unstable();
        ids.dedup();
        let mut new = 0;
        for id in ids {
            let takes = |torrent: &Torrent| {
                let named = torrent.candidates.by_source().get(&Source::Lan).copied().unwrap_or_default();
                torrent.lan.is_some() && named < LAN_PEERS_MAX
            };
            if !self.torrents.get(&id).is_some_and(takes)
                || self.add_candidates(now, id, Source::Lan, None, &[addr]) == 0
            {
                continue;
            }
            new += 1;
            if let Some(schedule) = self.torrents.get_mut(&id).and_then(|torrent| torrent.lan.as_mut()) {
                schedule.answer(now, &mut self.rng);
            }
            self.touch(id);
        }
        new
    }

    /// Announces a torrent if that is due, and others with it that soon are.
    pub(super) fn announce_lan(&mut self, now: Instant, id: TorrentId) {
        let due_at = |torrent: &Torrent| torrent.lan.as_ref().map(LanSchedule::next_at);
        if self.torrents.get(&id).and_then(due_at).is_none_or(|at| at > now) {
            return;
        }
        let soon = |torrent: &&TorrentId| {
            **torrent != id
                && self.torrents.get(torrent).and_then(due_at).is_some_and(|at| at <= now + TOGETHER)
        };
        let mut ids = vec![id];
        ids.extend(self.torrents.keys().filter(soon).copied());
        let mut info_hashes = Vec::new();
        for id in ids {
            let Some(torrent) = self.torrents.get_mut(&id) else { continue };
            let own: Vec<[u8; 20]> = torrent.hashes.wire().collect();
            if info_hashes.len() + own.len() > LSD_HASHES_MAX {
                break;
            }
            info_hashes.extend(own);
            if let Some(schedule) = &mut torrent.lan {
                schedule.announced(now, &mut self.rng);
            }
            self.touch(id);
        }
        self.outputs.push_back(Output::AnnounceLan { info_hashes });
    }
}
