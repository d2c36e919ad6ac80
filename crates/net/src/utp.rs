//! uTP (BEP 29): streams over UDP.
//!
//! A [`UtpSocket`] is a UDP socket and a task that drives the pure machine of all its connections
//! ([`peerage_swarm::utp`]). A [`UtpStream`] shares the machine with the task: reading and writing copy
//! bytes out of it and into it, and wake the task when there is something to send. What waits in both
//! directions is bounded by the machine.

mod stream;
mod task;

pub use peerage_swarm::utp::Config;
pub use stream::UtpStream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_base::Rng;
use tokio::sync::{Mutex, mpsc};

use crate::udp::Socket;
use task::Shared;

/// Connections that others opened and that nobody took yet; more are reset.
const ACCEPT_MAX: usize = 64;

/// Messages of the DHT that wait for their reader; more are dropped.
const KRPC_MAX: usize = 256;

/// A UDP socket for uTP and the DHT. Dropping it ends its streams, after what was written is out or two
/// seconds.
pub struct UtpSocket {
    shared: Arc<Shared>,
    accepted: Mutex<mpsc::Receiver<UtpStream>>,
}

impl UtpSocket {
    /// Takes over an open socket. Must be called within a tokio runtime.
    #[must_use]
    pub fn spawn(socket: Socket, config: Config, rng: Rng) -> Self {
        let (sender, accepted) = mpsc::channel(ACCEPT_MAX);
        let config = Config { segments_max: socket.segments_max(), ..config };
        let shared = Shared::new(socket, config, rng);
        tokio::spawn(task::drive(Arc::clone(&shared), sender));
        Self { shared, accepted: Mutex::new(accepted) }
    }

    /// Where it is.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.socket.local_addr()
    }

    /// Opens a connection to `addr`, of the socket's own family, within `limit`.
    ///
    /// # Errors
    /// `TimedOut`; `ConnectionReset`, when nobody there speaks uTP; `QuotaExceeded`, when there are too many.
    pub async fn dial(&self, addr: SocketAddr, limit: Duration) -> io::Result<UtpStream> {
        let stream = self.shared.connect(addr)?;
        tokio::time::timeout(limit, stream.connected())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(stream)
    }

    /// The next connection that another opened. Never returns once the socket is broken.
    pub async fn accept(&self) -> UtpStream {
        match self.accepted.lock().await.recv().await {
            Some(stream) => stream,
            None => std::future::pending().await,
        }
    }

    /// The messages of the DHT that come in from now on. Who called before gets no more.
    #[must_use]
    pub fn subscribe_krpc(&self) -> mpsc::Receiver<(SocketAddr, Bytes)> {
        let (sender, receiver) = mpsc::channel(KRPC_MAX);
        self.shared.lock().krpc = Some(sender);
        receiver
    }

    /// Sends a message of the DHT.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` when it has no room: the message is lost.
    pub fn send_krpc(&self, to: SocketAddr, message: &[u8]) -> io::Result<()> {
        self.shared.socket.send(to, message)
    }

    /// Datagrams of no protocol that is known, and those of the DHT that nobody took.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }
}

impl Drop for UtpSocket {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests;
