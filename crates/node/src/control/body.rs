//! Bodies: read whole within a limit, or written piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

/// A body that is written while it is sent. Its writer waits while the client does.
pub(super) struct Flow(mpsc::Receiver<Bytes>);

/// Parts that wait for the client.
const PARTS_MAX: usize = 4;

impl Flow {
    /// The writing end, and the body. The body ends when the writing end is dropped.
    pub fn open() -> (mpsc::Sender<Bytes>, Body) {
        let (sender, receiver) = mpsc::channel(PARTS_MAX);
        (sender, Body::new(Self(receiver)))
    }
}

impl hyper::body::Body for Flow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}
