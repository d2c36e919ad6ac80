//! Connections: how many, how long, how large.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

use super::{Listeners, Shared, routes};
use crate::Stop;

/// Connections at a time; more wait in the socket's own queue.
const CONNECTIONS_MAX: usize = 512;
/// The head of a request must be there by then, also that of the next one on a connection that stays open.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A client that takes nothing for so long is left.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// Before the next try, where the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A process of this user, or root, on the UNIX socket.
    Owner,
    /// A process of another user, on the UNIX socket.
    Stranger,
    /// Somebody at this address.
    At(IpAddr),
}

/// Serves until `stop`.
pub(super) async fn serve(listeners: Listeners, shared: Arc<Shared>, stop: Stop) -> io::Result<()> {
    let unix = UnixListener::from_std(listeners.socket)?;
    let tcp = listeners.tcp.map(|(tcp, _)| TcpListener::from_std(tcp)).transpose()?;
    let router = routes::router(&shared);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
            () = stop.requested() => return Ok(()),
        };
        tokio::select! {
            accepted = unix.accept() => match accepted {
                Ok((stream, _)) => {
                    let caller = match stream.peer_cred() {
                        Ok(peer) if peer.uid() == 0 || peer.uid() == rustix::process::getuid().as_raw() => Caller::Owner,
                        _ => Caller::Stranger,
                    };
                    spawn(stream, caller, router.clone(), place);
                }
                Err(error) => pause(&error).await,
            },
            accepted = accept(tcp.as_ref()) => match accepted {
                Ok((stream, addr)) => {
                    let _ = stream.set_nodelay(true);
                    spawn(stream, Caller::At(addr.ip().to_canonical()), router.clone(), place);
                }
                Err(error) => pause(&error).await,
            },
            () = stop.requested() => return Ok(()),
        }
    }
}

async fn accept(tcp: Option<&TcpListener>) -> io::Result<(tokio::net::TcpStream, std::net::SocketAddr)> {
    match tcp {
        Some(tcp) => tcp.accept().await,
        None => std::future::pending().await,
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "the control server cannot accept");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn spawn<S>(stream: S, caller: Caller, router: Router, place: tokio::sync::OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    tokio::spawn(async move {
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller);
            let mut router = router.clone();
            async move {
                use hyper::service::Service as _;
                let _ = &mut router;
                hyper_util::service::TowerToHyperService::new(router).call(request.map(Body::new)).await
            }
        });
        let stream = TokioIo::new(Patient::new(stream));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(stream, service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection of the control server");
        }
        drop(place);
    });
}

/// A stream that breaks when its other end takes nothing for [`STALL_LIMIT`].
struct Patient<S> {
    stream: S,
    stalled: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
        Self { stream, stalled: Box::pin(tokio::time::sleep(STALL_LIMIT)), waiting: false }
    }

    /// What a write has come to, with the time watched.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !std::mem::replace(&mut self.waiting, true) {
            self.stalled.as_mut().reset(Instant::now() + STALL_LIMIT);
        }
        match self.stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, shut)
    }
}
