//! The network's tracker.

use crate::{AnnounceEvent, AnnounceReply, AnnounceRequest};
use peerage_base::{Duration, Instant, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Who takes part in what.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    swarms: BTreeMap<[u8; 20], BTreeSet<SocketAddr>>,
    pub(super) log: Vec<(Instant, SocketAddr, AnnounceRequest)>,
}

impl Tracker {
    pub(super) fn announce(
        &mut self,
        now: Instant,
        from: SocketAddr,
        request: &AnnounceRequest,
        rng: &mut Rng,
    ) -> AnnounceReply {
        self.log.push((now, from, request.clone()));
        let swarm = self.swarms.entry(request.info_hash).or_default();
        if request.event == AnnounceEvent::Stopped {
            swarm.remove(&from);
        } else {
            swarm.insert(from);
        }
        let mut peers: Vec<SocketAddr> = swarm.iter().copied().filter(|peer| *peer != from).collect();
        rng.shuffle(&mut peers);
        peers.truncate(request.num_want.unwrap_or(50).min(50) as usize);
        AnnounceReply { interval: Duration::from_secs(1800), peers, ..AnnounceReply::default() }
    }
}
