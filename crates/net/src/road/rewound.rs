//! A stream that is read ahead: of some bytes were read before, to tell what is spoken on it, and of others
//! more are taken from the kernel at once than are asked for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes taken from the kernel with one call. rustls asks for 4 KiB at a time.
const AHEAD: usize = 64 * 1024;

/// Gives back what was read, then goes on with the stream.
#[derive(Debug)]
pub struct Rewound<S> {
    /// Without room while there is nothing in it: an idle connection holds no buffer.
    ahead: Vec<u8>,
    /// What of it is not given back yet.
    at: usize,
    end: usize,
    stream: S,
}

impl<S> Rewound<S> {
    pub(super) fn new(stream: S, first: Vec<u8>) -> Self {
        let end = first.len();
        Self { ahead: first, at: 0, end, stream }
    }
}

impl<S: AsyncRead + Unpin> Rewound<S> {
    /// Reads what there is. Nothing is kept while there is nothing.
    fn read_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = std::mem::take(&mut self.ahead);
        (self.at, self.end) = (0, 0);
        room.resize(AHEAD, 0);
        let mut buffer = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.end = buffer.filled().len();
        self.ahead = room;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.at == self.end {
            ready!(self.read_ahead(context))?;
        }
        let rest = &self.ahead[self.at..self.end];
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        self.at += taken;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
