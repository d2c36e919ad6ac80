//! The bytes of a road, in order, both ways; and nothing of what is below.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::quic::{QuicSink, QuicSource, QuicStream};
use super::tls::Session;
use crate::utp::UtpStream;

/// An open road.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<Session>),
    /// A stream of a QUIC connection.
    Quic(Box<QuicStream>),
    /// uTP.
    Utp(UtpStream),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UtpStream> for Stream {
    fn from(stream: UtpStream) -> Self {
        Self::Utp(stream)
    }
}

/// Where its bytes come from.
pub(super) enum Source {
    Tcp(OwnedReadHalf),
    Tls(tokio::io::ReadHalf<Box<Session>>),
    Quic(QuicSource),
    Utp(tokio::io::ReadHalf<UtpStream>),
}

/// Where its bytes go.
pub(super) enum Sink {
    Tcp(OwnedWriteHalf),
    Tls(tokio::io::WriteHalf<Box<Session>>),
    Quic(QuicSink),
    Utp(tokio::io::WriteHalf<UtpStream>),
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
            Self::Quic(stream) => {
                let (source, sink) = stream.split();
                (Source::Quic(source), Sink::Quic(sink))
            }
            Self::Utp(stream) => {
                let (source, sink) = tokio::io::split(stream);
                (Source::Utp(source), Sink::Utp(sink))
            }
        }
    }
}

/// What a method does on the road that it is.
macro_rules! of_road {
    ($road:expr, $method:ident($($argument:expr),*)) => {
        match $road.get_mut() {
            Self::Tcp(road) => Pin::new(road).$method($($argument),*),
            Self::Tls(road) => Pin::new(road).$method($($argument),*),
            Self::Quic(road) => Pin::new(road).$method($($argument),*),
            Self::Utp(road) => Pin::new(road).$method($($argument),*),
        }
    };
}

macro_rules! reads {
    ($road:ty) => {
        impl AsyncRead for $road {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                of_road!(self, poll_read(context, buffer))
            }
        }
    };
}

macro_rules! writes {
    ($road:ty) => {
        impl AsyncWrite for $road {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                of_road!(self, poll_write(context, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                of_road!(self, poll_write_vectored(context, slices))
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                of_road!(self, poll_flush(context))
            }

            fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                of_road!(self, poll_shutdown(context))
            }
        }
    };
}

// Greetings read and write a stream before it is split.
reads!(Stream);
writes!(Stream);
reads!(Source);
writes!(Sink);
