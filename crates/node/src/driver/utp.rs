//! The UDP sockets beside the listening ones, for uTP and the DHT.

use std::net::SocketAddr;
use std::sync::Arc;

use peerage_api::request::NodeConfig;
use peerage_base::Rng;
use peerage_net::egress::Egress;
use peerage_net::udp::Socket;
use peerage_net::utp::{Config, UtpSocket, UtpStream};

use super::dht;

/// One socket for each family, or none.
#[derive(Default)]
pub(super) struct Utp {
    sockets: Vec<Arc<UtpSocket>>,
}

impl Utp {
    /// Opens the ports of TCP for UDP too, where something needs them. One that is taken costs uTP and the
    /// DHT, and nothing else.
    pub(super) fn open(config: &NodeConfig, addrs: &[SocketAddr], egress: &Egress, rng: &mut Rng) -> Self {
        if !config.utp && !dht::is_on(config) {
            return Self::default();
        }
        // Who wants the DHT alone takes no connections over uTP.
        let connections_max = if config.utp { Config::default().connections_max } else { 0 };
        let settings = Config { connections_max, ..Config::default() };
        let open = |addr: &SocketAddr| match Socket::bind(*addr, egress) {
            Ok(socket) => Some(Arc::new(UtpSocket::spawn(socket, settings, rng.fork()))),
            Err(error) => {
                tracing::warn!(%error, "no uTP and no DHT");
                None
            }
        };
        Self { sockets: addrs.iter().filter_map(open).collect() }
    }

    /// The sockets.
    pub(super) fn sockets(&self) -> &[Arc<UtpSocket>] {
        &self.sockets
    }

    /// The socket that leads to `addr`.
    pub(super) fn of(&self, addr: SocketAddr) -> Option<Arc<UtpSocket>> {
        self.sockets.iter().find(|socket| socket.local_addr().is_ipv4() == addr.is_ipv4()).cloned()
    }

    /// The next connection that another opened.
    pub(super) async fn accept(&self) -> UtpStream {
        match self.sockets.as_slice() {
            [] => std::future::pending().await,
            [one] => one.accept().await,
            [first, second, ..] => tokio::select! {
                stream = first.accept() => stream,
                stream = second.accept() => stream,
            },
        }
    }
}
