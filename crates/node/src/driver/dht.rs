//! The DHT as the driver uses it: look-ups for torrents, and what comes of them.

use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_base::{Key, TorrentId};
use peerage_overlay::mainline::Config;
use peerage_peer::{Dht as Role, SearchAnnounce, SearchReport};

use super::utp::Utp;
use super::{Driver, Input, Who};
use crate::dht::{self, Answer, Answers, Dht, Lookup, Setup};

/// Whether there is to be a DHT: not where nobody but relays is contacted.
pub(super) fn is_on(config: &NodeConfig) -> bool {
    config.dht && config.via != ViaPolicy::Relay
}

/// What the node is to the DHT: who only fetches asks, as it is gone before it could be of use to others.
pub(super) fn role(config: &NodeConfig, who: Who) -> Role {
    match (is_on(config), who) {
        (false, _) => Role::Off,
        (true, Who::Anyone) => Role::Client,
        (true, Who::Known) => Role::Server,
    }
}

/// Starts the node of the DHT, where there is to be one and it has a socket.
pub(super) fn start(config: &NodeConfig, who: Who, utp: &Utp) -> Result<Option<Dht>, getrandom::Error> {
    if !is_on(config) || utp.sockets().is_empty() {
        return Ok(None);
    }
    let setup = Setup {
        sockets: utp.sockets().to_vec(),
        seeds: config.bootstrap.clone(),
        ranges: dht::ranges(config),
        read_only: role(config, who) == Role::Client,
        state_dir: Some(config.state_dir.clone()),
        config: Config::default(),
    };
    Dht::start(setup).map(Some)
}

impl Driver {
    /// Looks a torrent up; what is found comes back as inputs.
    pub(super) fn search(&self, torrent: TorrentId, info_hash: [u8; 20], announce: Option<SearchAnnounce>) {
        let Some(dht) = &self.dht else { return };
        let lookup = match announce {
            Some(SearchAnnounce { port, seed }) => Lookup::Announce(Key(info_hash), port, seed),
            None => Lookup::Peers(Key(info_hash)),
        };
        let inbox = self.inbox.clone();
        let mut peers = 0;
        let answers = move |answer| match answer {
            Answer::Peers(addrs) => {
                peers += addrs.len();
                inbox.put(Input::Found(torrent, addrs));
            }
            Answer::Done(report) => {
                let done = SearchReport { answered: report.closest.len(), stored: report.stored, peers };
                inbox.put(Input::Searched(torrent, info_hash, done, report.asked));
            }
            Answer::Item(_) => {}
        };
        dht.look(lookup, Box::new(answers));
    }

    /// How the DHT is doing, where there is one.
    pub(crate) async fn dht_status(&self) -> Option<dht::Status> {
        self.dht.as_ref()?.status().await
    }

    /// Begins a look-up of the operation's own. Whether there is a DHT for it.
    pub(crate) fn look(&self, lookup: Lookup, answers: Answers) -> bool {
        self.dht.as_ref().map(|dht| dht.look(lookup, answers)).is_some()
    }

    /// Whether there is a DHT to ask.
    pub(crate) fn has_dht(&self) -> bool {
        self.dht.is_some()
    }

    /// Ends the DHT: its table is on disk then.
    pub(crate) async fn close_dht(&mut self) {
        if let Some(dht) = self.dht.take() {
            dht.close().await;
        }
    }
}
