//! The UDP sockets beside the listening ones, for uTP and the DHT.

use std::net::SocketAddr;
use std::sync::Arc;

use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_base::Rng;
use peerage_net::egress::Egress;
use peerage_net::road::{ListenError, Listener};
use peerage_net::udp::Socket;
use peerage_net::utp::{Config, UtpSocket, UtpStream};

use super::dht;

/// One socket for each family, or none.
#[derive(Default)]
pub(super) struct Utp {
    sockets: Vec<Arc<UtpSocket>>,
    /// Why one of them did not open.
    failure: Option<String>,
}

/// Opens the ports, for TCP and for UDP. Where the user chose none, and the usual one is taken for either,
/// both move to a free one.
pub(super) fn listen(
    config: &NodeConfig,
    egress: &Egress,
    rng: &mut Rng,
) -> Result<(Listener, Utp), ListenError> {
    let listener = match config.listen {
        _ if config.via == ViaPolicy::Relay => Listener::none(),
        Some(addr) => Listener::bind(addr, egress)?,
        None => Listener::bind_any(config.port, egress)?,
    };
    let utp = Utp::open(config, &listener.local_addrs(), egress, rng);
    if utp.failure.is_none() || config.listen.is_some() {
        return Ok((listener, utp));
    }
    let listener = Listener::bind_any(0, egress)?;
    let utp = Utp::open(config, &listener.local_addrs(), egress, rng);
    Ok((listener, utp))
}

impl Utp {
    /// Opens the ports of TCP for UDP too, where something needs them. One that is taken costs uTP and the
    /// DHT, and nothing else.
    fn open(config: &NodeConfig, addrs: &[SocketAddr], egress: &Egress, rng: &mut Rng) -> Self {
        if !config.utp && !dht::is_on(config) {
            return Self::default();
        }
        // Who wants the DHT alone takes no connections over uTP.
        let connections_max = if config.utp { Config::default().connections_max } else { 0 };
        let settings = Config { connections_max, ..Config::default() };
        let mut utp = Self::default();
        for addr in addrs {
            match Socket::bind(*addr, egress) {
                Ok(socket) => utp.sockets.push(Arc::new(UtpSocket::spawn(socket, settings, rng.fork()))),
                Err(error) => utp.failure = Some(error.to_string()),
            }
        }
        utp
    }

    /// Why there is less than there should be.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
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
