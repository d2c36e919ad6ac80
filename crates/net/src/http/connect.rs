//! Connections: dialled to checked addresses, and kept for the next request to the same origin.

use super::Error;
use crate::egress::Egress;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_rustls::TlsConnector;

/// Head start of each address over the next (RFC 8305: 250 ms).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long an unused connection is kept. Servers commonly close after 5 to 75 s.
const KEEP: Duration = Duration::from_secs(20);

/// Bytes of a response's status line and headers at most.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Headers of a response at most.
const HEADERS_MAX: usize = 100;

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

type Sender = http1::SendRequest<Empty<Bytes>>;

#[derive(Debug)]
struct Kept {
    origin: Origin,
    addr: SocketAddr,
    sender: Sender,
    since: Instant,
}

/// Idle connections, oldest first, of a bounded number.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Vec<Kept>>,
    max: usize,
    /// Tests have no public addresses: they say where one is dialled instead.
    #[cfg(test)]
    detour: Option<fn(SocketAddr) -> SocketAddr>,
}

impl Pool {
    pub(super) fn new(max: usize) -> Self {
        let kept = Mutex::new(Vec::new());
        #[cfg(test)]
        let shared = Shared { kept, max, detour: None };
        #[cfg(not(test))]
        let shared = Shared { kept, max };
        Self(Arc::new(shared))
    }

    #[cfg(test)]
    pub(super) fn with_detour(max: usize, detour: fn(SocketAddr) -> SocketAddr) -> Self {
        Self(Arc::new(Shared { kept: Mutex::new(Vec::new()), max, detour: Some(detour) }))
    }

    #[cfg(test)]
    fn target(&self, addr: SocketAddr) -> SocketAddr {
        self.0.detour.map_or(addr, |detour| detour(addr))
    }

    #[cfg(not(test))]
    fn target(&self, addr: SocketAddr) -> SocketAddr {
        addr
    }

    /// A kept connection to `origin`: its address was checked when it was dialled.
    pub(super) fn take(&self, origin: &Origin) -> Option<Lease> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.since.elapsed() < KEEP && !kept.sender.is_closed());
        let index = kept.iter().rposition(|kept| kept.origin == *origin)?;
        let Kept { origin, addr, sender, .. } = kept.remove(index);
        Some(Lease { pool: self.clone(), origin, addr, sender })
    }

    fn put(&self, kept: Kept) {
        let mut all = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(kept);
        if all.len() > self.0.max {
            all.remove(0);
        }
    }
}

/// A connection in use by one request.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Pool,
    origin: Origin,
    addr: SocketAddr,
    sender: Sender,
}

impl Lease {
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) async fn send(
        &mut self,
        request: hyper::Request<Empty<Bytes>>,
    ) -> Result<hyper::Response<Incoming>, hyper::Error> {
        // A kept connection's task may not have seen yet that the last body is over.
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Gives the connection back. Only after the whole body was read: a rest would otherwise be
    /// taken for the next answer.
    pub(super) fn keep(self) {
        let Self { pool, origin, addr, sender } = self;
        pool.clone().put(Kept { origin, addr, sender, since: Instant::now() });
    }
}

/// Dials one of `addrs`, and shakes hands.
pub(super) async fn connect(
    pool: &Pool,
    origin: Origin,
    addrs: &[SocketAddr],
    tls: Option<TlsConnector>,
    egress: &Egress,
) -> Result<Lease, Error> {
    let (stream, addr) = dial(pool, addrs, egress).await.map_err(Error::Connect)?;
    let sender = match tls {
        None => handshake(stream).await?,
        Some(connector) => {
            // A name may end in a dot, a certificate's does not; brackets are a URL's, not a name's.
            let name = origin.host.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(name.to_owned()).map_err(|e| Error::Tls(io::Error::other(e)))?;
            handshake(connector.connect(name, stream).await.map_err(Error::Tls)?).await?
        }
    };
    Ok(Lease { pool: pool.clone(), origin, addr, sender })
}

/// The first connection that opens, each address with a head start over the next.
async fn dial(pool: &Pool, addrs: &[SocketAddr], egress: &Egress) -> io::Result<(TcpStream, SocketAddr)> {
    let mut attempts = JoinSet::new();
    for (step, addr) in addrs.iter().copied().enumerate() {
        let delay = ATTEMPT_DELAY.saturating_mul(u32::try_from(step).unwrap_or(u32::MAX));
        let (target, egress) = (pool.target(addr), egress.clone());
        attempts.spawn(async move {
            sleep(delay).await;
            Ok::<_, io::Error>((egress.connect(target).await?, addr))
        });
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    while let Some(done) = attempts.join_next().await {
        match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((stream, addr)) => {
                stream.set_nodelay(true)?;
                return Ok((stream, addr));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn handshake<S>(stream: S) -> Result<Sender, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends when the sender and the body are dropped, or the server closes.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "HTTP connection ended");
        }
    });
    Ok(sender)
}
