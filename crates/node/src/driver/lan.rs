//! The local network's part: who takes part in our torrents there.

use std::net::SocketAddr;

use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_base::Rng;
use peerage_net::egress::Egress;
use peerage_net::lan::{Heard, Lan, Setup};

use super::Driver;

/// Whether peers are looked for there: not where nobody but relays is contacted.
pub(super) fn is_on(config: &NodeConfig) -> bool {
    config.local_discovery && config.via != ViaPolicy::Relay
}

/// Joins the groups, where that is wanted and we can be reached from a local network. Failing costs this alone.
pub(super) fn start(
    config: &NodeConfig,
    egress: &Egress,
    listen: Vec<SocketAddr>,
    rng: &mut Rng,
) -> Option<Lan> {
    if !is_on(config) {
        return None;
    }
    let cookie = format!("{:016x}", rng.next_u64());
    Lan::open(Setup { egress: egress.clone(), listen, cookie })
        .inspect_err(|error| tracing::info!(%error, "no local discovery"))
        .ok()
        .flatten()
}

/// The next announce of somebody else; never where nothing is heard.
pub(super) async fn heard(lan: &mut Option<Lan>) -> Heard {
    match lan {
        Some(lan) => lan.heard().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    pub(super) fn on_heard(&mut self, heard: &Heard) {
        let now = self.now();
        self.peer.handle_lan(now, heard.addr, &heard.info_hashes);
    }

    /// Announces on the local network: at our own port, which a router's mapping does not change there.
    pub(super) fn announce_lan(&self, info_hashes: Vec<[u8; 20]>) {
        let port = self.listener.local_addrs().first().map(SocketAddr::port);
        if let (Some(lan), Some(port)) = (&self.lan, port) {
            lan.announce(port, info_hashes);
        }
    }

    /// Whether the local network is asked.
    pub(crate) fn has_lan(&self) -> bool {
        self.lan.is_some()
    }
}
