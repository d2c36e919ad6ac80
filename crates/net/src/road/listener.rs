//! Listening and dialling.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use peerage_base::addr::canonical;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::egress::Egress;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct ListenError {
    /// The address asked for.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// One or two listening sockets: an address given by the user, or both families on one port.
pub struct Listener {
    sockets: Vec<TcpListener>,
}

impl Listener {
    /// Listens nowhere: nobody is let in.
    #[must_use]
    pub fn none() -> Self {
        Self { sockets: Vec::new() }
    }

    /// Listens on `addr`. Port 0 takes a free one.
    ///
    /// # Errors
    /// The address is in use, not on this machine, or not permitted.
    pub fn bind(addr: SocketAddr, egress: &Egress) -> Result<Self, ListenError> {
        bind_one(addr, egress)
            .map(|socket| Self { sockets: vec![socket] })
            .map_err(|source| ListenError { addr, source })
    }

    /// Listens on `port` on every address of the machine, IPv4 and, where there is one, IPv6; on a
    /// free port when that one is in use.
    ///
    /// # Errors
    /// No port can be opened at all.
    pub fn bind_any(port: u16, egress: &Egress) -> Result<Self, ListenError> {
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let v4 = bind_one(any(port), egress)
            .or_else(|_| bind_one(any(0), egress))
            .map_err(|source| ListenError { addr: any(port), source })?;
        let port = v4.local_addr().map_err(|source| ListenError { addr: any(port), source })?.port();
        // A machine without IPv6 is served on IPv4 alone.
        let v6 = bind_one(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port), egress).ok();
        Ok(Self { sockets: std::iter::once(v4).chain(v6).collect() })
    }

    /// The addresses that accept connections.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// The next incoming connection. Waits out a lack of descriptors instead of spinning on it
    /// (threats.md C10).
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = match self.sockets.as_slice() {
                [one] => one.accept().await,
                [first, second, ..] => tokio::select! {
                    accepted = first.accept() => accepted,
                    accepted = second.accept() => accepted,
                },
                [] => std::future::pending().await,
            };
            match accepted {
                Ok((stream, addr)) => {
                    prepare(&stream);
                    return (stream, canonical(addr));
                }
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

fn bind_one(addr: SocketAddr, egress: &Egress) -> io::Result<TcpListener> {
    let addr = egress.listen_on(addr);
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    egress.hold(&SockRef::from(&socket))?;
    socket.bind(&addr.into())?;
    socket.listen(256)?;
    TcpListener::from_std(socket.into())
}

/// Opens a connection to `addr` within `limit`.
///
/// # Errors
/// What the system says, or `TimedOut`.
pub async fn dial(addr: SocketAddr, limit: Duration, egress: &Egress) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limit, egress.connect(addr))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    prepare(&stream);
    Ok(stream)
}

/// What goes unanswered for so long leads nowhere: an interface went down, an address changed, a NAT forgot.
/// The peer is then dialled again, within the 30 s of threats.md W15.
const UNANSWERED_MAX: Duration = Duration::from_secs(20);

/// Requests are small and urgent: no Nagle. A peer that vanished is noticed by keep-alive even when
/// nothing is being sent. Failing to set either is harmless.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(2);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(UNANSWERED_MAX));
}
