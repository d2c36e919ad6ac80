//! The DHT: what is looked up there, and what comes of it. The look in the local network begins here too.

use super::Peer;
use super::torrent::Torrent;
use crate::config::Dht;
use crate::event::{Output, SearchAnnounce, Source};
use crate::search::{Search, SearchReport};
use peerage_base::contact::is_placeholder;
use peerage_base::{ConnId, Duration, Instant, TorrentId};
use std::net::SocketAddr;

impl Peer {
    /// Looks for a torrent's peers in the DHT and on the local network from now on, and announces it there: in
    /// the DHT as soon as there is something to serve. Does nothing for a private torrent, nor where both are off.
    pub fn search(&mut self, now: Instant, id: TorrentId) {
        self.now = now;
        self.begin_lan(now, id);
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        if torrent.private || self.config.dht == Dht::Off || !torrent.searches.is_empty() {
            return;
        }
        torrent.searches = torrent.hashes.wire().map(|hash| Search::new(now, hash)).collect();
        self.search_due(now, id);
        self.touch(id);
    }

    /// A node of the DHT named these peers of a torrent. Returns how many are new.
    pub fn handle_found(&mut self, now: Instant, id: TorrentId, addrs: &[SocketAddr]) -> usize {
        self.now = now;
        // Private, or gone, since it was looked up.
        if self.torrents.get(&id).is_none_or(|torrent| torrent.searches.is_empty()) {
            return 0;
        }
        self.add_candidates(now, id, Source::Dht, None, addrs)
    }

    /// A look-up ended ([`Output::Search`]).
    pub fn handle_search(&mut self, now: Instant, id: TorrentId, info_hash: [u8; 20], report: SearchReport) {
        self.now = now;
        let connected = self.conns.of_torrent(id) > 0;
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        let lonely = !connected && !torrent.is_done();
        if let Some(search) = torrent.searches.iter_mut().find(|search| search.info_hash == info_hash) {
            search.end(now, report, lonely);
        }
        self.touch(id);
    }

    /// For how long a torrent's announce has been due that no node took.
    #[must_use]
    pub fn announce_lag(&self, now: Instant, id: TorrentId) -> Duration {
        let searches = self.torrents.get(&id).map(|torrent| torrent.searches.iter()).into_iter().flatten();
        searches.map(|search| search.lag(now)).max().unwrap_or_default()
    }

    /// Begins the look-ups of a torrent that are due.
    pub(super) fn search_due(&mut self, now: Instant, id: TorrentId) {
        let (ours, outer) = (self.local.listen_port, self.announcer.port);
        // Where our datagrams come from is a port for uTP; where a router leads one here, it is for TCP too.
        let port = if self.config.utp && ours == outer { None } else { Some(outer) };
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        let serves = torrent.serves();
        let seed = torrent.swarm.have().is_some_and(peerage_swarm::Bitfield::is_full);
        for search in &mut torrent.searches {
            if search.poll(now, serves, &mut self.rng) {
                let announce = serves.then_some(SearchAnnounce { port, seed });
                let info_hash = search.info_hash;
                self.outputs.push_back(Output::Search { torrent: id, info_hash, announce });
            }
        }
    }

    /// Who can serve now says so; who lacks something and knows nobody looks again.
    pub(super) fn hurry_searches(&mut self, now: Instant) {
        let mut changed = Vec::new();
        for (id, torrent) in &mut self.torrents {
            let serves = torrent.serves();
            let lonely = !torrent.is_done() && self.conns.of_torrent(*id) == 0;
            if torrent.searches.is_empty() || !(serves || lonely) {
                continue;
            }
            if serves {
                torrent.searches.iter_mut().for_each(|search| search.hurry(now));
            }
            if lonely {
                torrent.searches.iter_mut().for_each(|search| search.seek(now));
            }
            changed.push(*id);
        }
        changed.into_iter().for_each(|id| self.touch(id));
    }

    /// Whether peers of this torrent are told that we have a node of the DHT.
    pub(super) fn has_dht(&self, torrent: &Torrent) -> bool {
        self.config.dht != Dht::Off && !torrent.private
    }

    /// A peer says at which port its node of the DHT is.
    pub(super) fn on_dht_port(&mut self, id: ConnId, port: u16) {
        let Some(conn) = self.conns.get(id) else { return };
        let private =
            conn.torrent.and_then(|id| self.torrents.get(&id)).is_none_or(|torrent| torrent.private);
        let addr = SocketAddr::new(conn.addr.ip(), port);
        if !private && self.config.dht != Dht::Off && port != 0 && !is_placeholder(addr.ip()) {
            self.outputs.push_back(Output::DhtNode { addr });
        }
    }
}
