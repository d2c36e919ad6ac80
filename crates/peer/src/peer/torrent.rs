//! One torrent, as the peer holds it.

use crate::candidates::Candidates;
use crate::lan::LanSchedule;
use crate::search::Search;
use crate::trackers::{Progress, Trackers};
use peerage_base::{InfoHashes, Instant};
use peerage_swarm::Swarm;

/// A torrent.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) hashes: InfoHashes,
    pub(crate) private: bool,
    pub(crate) swarm: Swarm,
    pub(crate) candidates: Candidates,
    pub(crate) trackers: Trackers,
    /// One for each info hash, once it may be looked for in the DHT.
    pub(crate) searches: Vec<Search>,
    /// Once it may be announced on the local network.
    pub(crate) lan: Option<LanSchedule>,
    /// By [`peerage_swarm::WebSeedId`], as the swarm numbered them.
    pub(crate) web_seeds: Vec<(peerage_swarm::WebSeedId, String)>,
    /// When to look for somebody to dial; `None`: there is nobody, or no place.
    pub(crate) dial_at: Option<Instant>,
    /// The entry in the table of timers.
    pub(crate) timer: Option<Instant>,
    /// It has outputs to drain.
    pub(crate) dirty: bool,
    /// Its budgets may have changed, or it has new wants.
    pub(crate) wants_pump: bool,
    /// Bytes moved when the window of fairness began: uploaded, downloaded.
    pub(crate) window: (u64, u64),
}

impl Torrent {
    pub(crate) fn progress(&self, num_want: u32) -> Progress {
        let stats = self.swarm.stats();
        let left = if self.swarm.has_content() { stats.left } else { u64::MAX };
        Progress { uploaded: stats.uploaded, downloaded: stats.downloaded, left, num_want }
    }

    /// Bytes moved in the window of fairness: uploaded, downloaded.
    pub(crate) fn moved(&self) -> (u64, u64) {
        let stats = self.swarm.stats();
        (stats.uploaded.saturating_sub(self.window.0), stats.downloaded.saturating_sub(self.window.1))
    }

    /// Whether everything that is wanted is there: then it downloads nothing.
    pub(crate) fn is_done(&self) -> bool {
        self.swarm.has_content() && self.swarm.is_done()
    }

    /// Whether there is something that others can have.
    pub(crate) fn serves(&self) -> bool {
        self.swarm.have().is_some_and(|have| !have.is_empty())
    }

    /// When something of it is due.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let swarm = self.swarm.poll_timeout().map(|(at, _)| at);
        let search = self.searches.iter().map(Search::next_at).min();
        let lan = self.lan.as_ref().map(LanSchedule::next_at);
        [swarm, self.trackers.next_at(), self.dial_at, search, lan].into_iter().flatten().min()
    }
}
