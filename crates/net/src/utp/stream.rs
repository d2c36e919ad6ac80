//! One connection, as its user holds it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use peerage_swarm::utp::{Read, Reason, UtpId, Written};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::task::Shared;

/// A stream over UDP. Dropping it ends the connection once what was written has arrived.
pub struct UtpStream {
    shared: Arc<Shared>,
    id: UtpId,
    peer: SocketAddr,
}

impl std::fmt::Debug for UtpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uTP with {}", self.peer)
    }
}

impl UtpStream {
    pub(super) fn new(shared: Arc<Shared>, id: UtpId, peer: SocketAddr) -> Self {
        Self { shared, id, peer }
    }

    /// Where the other end is.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until the connection is open.
    pub(super) async fn connected(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            if inner.waiting(self.id).connected {
                return Poll::Ready(Ok(()));
            }
            if inner.ended {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            }
            // A connection that failed says so to who reads.
            match inner.endpoint.read(self.shared.now(), self.id, &mut []) {
                Read::Closed(reason) => Poll::Ready(Err(error(reason))),
                _ => {
                    inner.waiting(self.id).reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Ends the connection at once, and tells the peer.
    pub fn reset(&self) {
        let mut inner = self.shared.lock();
        inner.endpoint.reset(self.shared.now(), self.id);
        self.shared.hasten(&inner);
    }

    /// Reads what is there; 0 bytes are the end. `WouldBlock`, and the waker is kept, when there is nothing.
    fn read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.shared.lock();
        let read = inner.endpoint.read(self.shared.now(), self.id, out);
        self.shared.hasten(&inner);
        match read {
            Read::Bytes(len) => Poll::Ready(Ok(len)),
            Read::End => Poll::Ready(Ok(0)),
            Read::Closed(reason) => Poll::Ready(Err(error(reason))),
            Read::Pending if inner.ended => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Read::Pending => {
                inner.waiting(self.id).reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn write(&self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut inner = self.shared.lock();
        if inner.ended {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let now = self.shared.now();
        let mut total = 0;
        for buffer in buffers.iter().filter(|buffer| !buffer.is_empty()) {
            match inner.endpoint.write(now, self.id, buffer) {
                Written::Bytes(len) => {
                    total += len;
                    if len < buffer.len() {
                        break;
                    }
                }
                _ if total > 0 => break,
                Written::Finished => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Written::Closed(reason) => return Poll::Ready(Err(error(reason))),
                Written::Full => {
                    inner.waiting(self.id).writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        self.shared.hasten(&inner);
        Poll::Ready(Ok(total))
    }
}

impl AsyncRead for UtpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = self.read(cx, buf.initialize_unfilled());
        read.map_ok(|len| buf.advance(len))
    }
}

impl AsyncWrite for UtpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is on its way already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our stream behind what was written; the peer's may go on.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.shared.lock();
        inner.endpoint.close(self.shared.now(), self.id);
        self.shared.hasten(&inner);
        Poll::Ready(Ok(()))
    }
}

impl Drop for UtpStream {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.endpoint.release(self.shared.now(), self.id);
        self.shared.hasten(&inner);
    }
}

fn error(reason: Reason) -> io::Error {
    let kind = match reason {
        Reason::TimedOut => io::ErrorKind::TimedOut,
        Reason::Reset => io::ErrorKind::ConnectionReset,
        Reason::Lied => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, reason)
}
