//! The UDP sockets beside the listening ones.

use std::net::SocketAddr;
use std::sync::Arc;

use peerage_base::Rng;
use peerage_net::egress::Egress;
use peerage_net::udp::Socket;
use peerage_net::utp::{Config, UtpSocket, UtpStream};

/// One socket for each family, or none.
#[derive(Default)]
pub(super) struct Utp {
    sockets: Vec<Arc<UtpSocket>>,
}

impl Utp {
    /// Opens the ports of TCP for UDP too. One that is taken costs uTP, and nothing else.
    pub(super) fn open(addrs: &[SocketAddr], egress: &Egress, rng: &mut Rng) -> Self {
        let open = |addr: &SocketAddr| match Socket::bind(*addr, egress) {
            Ok(socket) => Some(Arc::new(UtpSocket::spawn(socket, Config::default(), rng.fork()))),
            Err(error) => {
                tracing::warn!(%error, "no uTP");
                None
            }
        };
        Self { sockets: addrs.iter().filter_map(open).collect() }
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
