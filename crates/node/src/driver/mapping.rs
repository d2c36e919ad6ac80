//! The router's part: the port that strangers reach us on.

use std::net::{IpAddr, SocketAddr};

use peerage_api::request::NodeConfig;
use peerage_net::portmap::{PortMap, Status, Transport};
use tokio::task::JoinHandle;

use super::{Driver, News};

/// Begins to map the port, where the user wants it and others than this machine may connect.
pub(super) fn start(config: &NodeConfig, addrs: &[SocketAddr]) -> Option<PortMap> {
    let addr = addrs.first()?;
    let host = match config.listen.map(|listen| listen.ip().to_canonical()) {
        Some(IpAddr::V4(ip)) if !ip.is_unspecified() => Some(ip),
        // One IPv6 address: no router translates it.
        Some(IpAddr::V6(ip)) if !ip.is_unspecified() => return None,
        _ => None,
    };
    // The router is asked on sockets of the library's, and about the way by which the system goes.
    let reachable = config.bind.is_none() && !host.is_some_and(|host| host.is_loopback());
    (config.port_mapping && reachable).then(|| PortMap::start(host, addr.port(), Transport::Tcp))
}

/// The next change; never without a mapping.
pub(super) async fn changed(mapping: &mut Option<PortMap>) -> Status {
    match mapping {
        Some(mapping) => mapping.changed().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    pub(super) fn on_mapping(&mut self, status: Status) {
        let now = self.now();
        match status {
            Status::Mapped { external, method } => {
                self.peer.set_external_port(now, external.port());
                self.news.push_back(News::PortMapped(external.into(), method.name()));
            }
            Status::Searching | Status::Unavailable(_) => {
                let port = self.local_addrs().first().map_or(0, SocketAddr::port);
                self.peer.set_external_port(now, port);
            }
        }
    }

    /// Begins to take the port back from the router.
    pub(crate) fn close_mapping(&mut self) -> Option<JoinHandle<()>> {
        self.mapping.take().map(|mapping| tokio::spawn(mapping.close()))
    }
}
