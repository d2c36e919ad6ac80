//! The bytes of a road, in order, both ways; and nothing of what is below.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::tls::Session;

/// An open road.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<Session>),
}

/// Where its bytes come from.
pub(super) enum Source {
    Tcp(OwnedReadHalf),
    Tls(tokio::io::ReadHalf<Box<Session>>),
}

/// Where its bytes go.
pub(super) enum Sink {
    Tcp(OwnedWriteHalf),
    Tls(tokio::io::WriteHalf<Box<Session>>),
}

impl Stream {
    pub(super) fn split(self) -> (Source, Sink) {
        match self {
            Self::Tcp(stream) => {
                let (source, sink) = stream.into_split();
                (Source::Tcp(source), Sink::Tcp(sink))
            }
            Self::Tls(session) => {
                let (source, sink) = tokio::io::split(session);
                (Source::Tls(source), Sink::Tls(sink))
            }
        }
    }
}

impl AsyncRead for Source {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(source) => Pin::new(source).poll_read(context, buffer),
            Self::Tls(source) => Pin::new(source).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(sink) => Pin::new(sink).poll_write(context, bytes),
            Self::Tls(sink) => Pin::new(sink).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(sink) => Pin::new(sink).poll_write_vectored(context, slices),
            Self::Tls(sink) => Pin::new(sink).poll_write_vectored(context, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(sink) => Pin::new(sink).poll_flush(context),
            Self::Tls(sink) => Pin::new(sink).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(sink) => Pin::new(sink).poll_shutdown(context),
            Self::Tls(sink) => Pin::new(sink).poll_shutdown(context),
        }
    }
}
