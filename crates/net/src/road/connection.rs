//! One road, a reading task and a writing task.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use peerage_base::ConnId;
use peerage_wire::frame::{Frame, Splitter};
use peerage_wire::mse::Cipher;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::stream::{Sink, Source};
use super::{BufferPool, Greeted};

/// Buffers that wait for one socket. The peer machine names no more block data than its credit, so
/// only a peer that reads nothing while it asks for a lot fills this; it is then left.
const OUTGOING_MAX: usize = 1024;

/// Bytes of frames without block data that wait for one socket. Blocks are bounded by the machine's
/// credit, but replies to what a peer asks (hashes, metadata) are not: each is small, and one that asks
/// without reading would have us keep them all.
const FRAMES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Buffers given to the kernel in one call.
const VECTORED_MAX: usize = 32;

/// How long a closed connection may still take what was written before (an announcement that we are
/// going, a last piece).
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// What a connection tells its driver.
#[derive(Debug)]
pub enum ConnEvent {
    /// Whole frames came in.
    Received(ConnId, Received),
    /// Bytes that are not the peer wire, with what is wrong. [`ConnEvent::Closed`] follows.
    Garbage(ConnId, String),
    /// So many bytes of block data went to the kernel.
    Sent(ConnId, usize),
    /// The connection is over. Nothing follows.
    Closed(ConnId, String),
}

/// A receive buffer and the frames in it, in order.
pub struct Received {
    /// The bytes, shared: slicing it for a block copies nothing.
    pub bytes: Bytes,
    /// Where each frame begins in `bytes`, and the frame, whose ranges count from there.
    pub frames: Vec<(usize, Frame)>,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} frames in {} bytes", self.frames.len(), self.bytes.len())
    }
}

/// What a driver gives a connection to send, in order.
#[derive(Debug)]
pub enum Outgoing {
    /// Encoded frames without block data.
    Frames(Vec<u8>),
    /// Frames with block data; `payload` bytes of it are blocks.
    Blocks {
        /// Headers and blocks, ready for the wire.
        bytes: Bytes,
        /// Bytes of blocks in it, told back as [`ConnEvent::Sent`].
        payload: usize,
    },
}

/// The driver's end of a connection. Dropping it closes the connection after what was queued is out,
/// or after two seconds.
pub struct Connection {
    outgoing: mpsc::Sender<Outgoing>,
    /// Bytes of [`Outgoing::Frames`] that are not with the kernel yet.
    frames_queued: Arc<AtomicUsize>,
    reader: AbortHandle,
    /// Never sent on: that it is gone tells the writer, wherever it waits, that we are.
    _open: oneshot::Sender<()>,
}

impl Connection {
    /// Takes over an open connection. Must be called within a tokio runtime.
    #[must_use]
    pub fn spawn(id: ConnId, greeted: Greeted, events: mpsc::Sender<ConnEvent>, pool: BufferPool) -> Self {
        let Greeted { stream, ciphers, early, .. } = greeted;
        let (encrypt, decrypt) = ciphers.map(|ciphers| (ciphers.send, ciphers.receive)).unzip();
        let (source, sink) = stream.split();
        let source = Incoming { source, decrypt };
        let sink = Outlet { sink, encrypt };
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        let reader_events = events.clone();
        let reader = tokio::spawn(async move {
            let reason = match read_frames(id, source, early, &reader_events, &pool).await {
                Ok(()) => "closed by the peer".to_owned(),
                Err(error) => error.to_string(),
            };
            let _ = reader_events.send(ConnEvent::Closed(id, reason)).await;
        });
        let reader_abort = reader.abort_handle();
        let frames_queued = Arc::new(AtomicUsize::new(0));
        let queued = Arc::clone(&frames_queued);
        let (open, dropped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            // A peer that reads nothing would keep the writer, the socket and the queue for ever.
            let limit = async {
                let _ = dropped.await;
                tokio::time::sleep(FLUSH_LIMIT).await;
            };
            tokio::select! {
                // A failed write shows at the reader too, which reports it.
                _ = write_buffers(id, sink, queue, &queued, &events) => {}
                () = limit => {}
            }
        });
        Self { outgoing, frames_queued, reader: reader_abort, _open: open }
    }

    /// Queues something to send. `false` when the peer has not taken what was queued before: the
    /// caller should leave it.
    #[must_use]
    pub fn send(&self, outgoing: Outgoing) -> bool {
        let frames = match &outgoing {
            Outgoing::Frames(bytes) => bytes.len(),
            Outgoing::Blocks { .. } => 0,
        };
        // Counted in before the writer can count it out.
        let before = self.frames_queued.fetch_add(frames, Ordering::Relaxed);
        let taken = before.saturating_add(frames) <= FRAMES_BYTES_MAX || frames == 0;
        if taken && self.outgoing.try_send(outgoing).is_ok() {
            return true;
        }
        self.frames_queued.fetch_sub(frames, Ordering::Relaxed);
        false
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Why reading ended, other than by the peer closing in good order.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("broke the protocol: {0}")]
    Wire(#[from] peerage_wire::frame::Error),
    #[error("the node stopped")]
    Stopped,
}

/// Receives until the peer closes.
///
/// Between two receives only the bytes of an unfinished frame are kept, in a vector of their own size,
/// so that two hundred idle connections hold no buffers.
async fn read_frames(
    id: ConnId,
    mut source: Incoming,
    early: Vec<u8>,
    events: &mpsc::Sender<ConnEvent>,
    pool: &BufferPool,
) -> Result<(), ReadError> {
    let mut splitter = Splitter::new();
    let mut unfinished: Vec<u8> = Vec::new();
    let mut early = Some(early).filter(|early| !early.is_empty());
    loop {
        let (bytes, ended) = match early.take() {
            Some(early) => (early.into(), false),
            None => poll_fn(|context| source.receive(context, &unfinished, pool)).await?,
        };
        let mut frames = Vec::new();
        let mut at = 0;
        let broken = loop {
            match splitter.next(bytes.get(at..).unwrap_or_default()) {
                Ok(Some((frame, consumed))) => {
                    frames.push((at, frame));
                    at += consumed;
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        unfinished.clear();
        unfinished.extend_from_slice(bytes.get(at..).unwrap_or_default());
        unfinished.shrink_to(64 * 1024);
        if !frames.is_empty() {
            let received = ConnEvent::Received(id, Received { bytes, frames });
            events.send(received).await.map_err(|_| ReadError::Stopped)?;
        }
        if let Some(error) = broken {
            events.send(ConnEvent::Garbage(id, error.to_string())).await.map_err(|_| ReadError::Stopped)?;
            return Err(error.into());
        }
        if ended {
            return Ok(());
        }
    }
}

/// Where bytes come from.
struct Incoming {
    source: Source,
    decrypt: Option<Cipher>,
}

impl Incoming {
    /// Receives what there is, behind the bytes of an unfinished frame. Also tells whether the peer has
    /// closed its side. While there is nothing, no buffer is held.
    fn receive(
        &mut self,
        context: &mut Context<'_>,
        unfinished: &[u8],
        pool: &BufferPool,
    ) -> Poll<io::Result<(Bytes, bool)>> {
        let mut buffer = pool.take();
        if unfinished.len() * 2 > buffer.room().len() {
            // A long bitfield or hash list: it gets a vector that grows with what has arrived.
            let mut bytes = vec![0; unfinished.len() * 2];
            bytes[..unfinished.len()].copy_from_slice(unfinished);
            let (len, ended) = ready!(self.fill(context, &mut bytes, unfinished.len()))?;
            bytes.truncate(len);
            return Poll::Ready(Ok((bytes.into(), ended)));
        }
        buffer.room()[..unfinished.len()].copy_from_slice(unfinished);
        let (len, ended) = ready!(self.fill(context, buffer.room(), unfinished.len()))?;
        // A slow peer must not hold a whole buffer for a few bytes.
        if len * 4 < buffer.room().len() {
            return Poll::Ready(Ok((Bytes::copy_from_slice(&buffer.room()[..len]), ended)));
        }
        Poll::Ready(Ok((buffer.freeze(len), ended)))
    }

    /// Reads into `room` from `at` until there is no more or the room is full.
    fn fill(
        &mut self,
        context: &mut Context<'_>,
        room: &mut [u8],
        at: usize,
    ) -> Poll<io::Result<(usize, bool)>> {
        let mut buffer = ReadBuf::new(room);
        buffer.set_filled(at);
        let mut ended = false;
        while buffer.remaining() > 0 {
            let before = buffer.filled().len();
            match Pin::new(&mut self.source).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                    ended = true;
                    break;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if before == at => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        let len = buffer.filled().len();
        if let Some(cipher) = &mut self.decrypt {
            cipher.apply(&mut room[at..len]);
        }
        Poll::Ready(Ok((len, ended)))
    }
}

/// Where bytes go.
struct Outlet {
    sink: Sink,
    encrypt: Option<Cipher>,
}

/// Sends what is queued, until the driver has dropped its end and all is out.
async fn write_buffers(
    id: ConnId,
    mut outlet: Outlet,
    mut queue: mpsc::Receiver<Outgoing>,
    frames_queued: &AtomicUsize,
    events: &mpsc::Sender<ConnEvent>,
) -> io::Result<()> {
    let mut pending: VecDeque<Pending> = VecDeque::new();
    loop {
        if pending.is_empty() {
            // What an encrypting road holds back goes out before we wait for more.
            outlet.sink.flush().await?;
            match queue.recv().await {
                Some(outgoing) => pending.push_back(Pending::new(outgoing, &mut outlet.encrypt)),
                None => return outlet.sink.shutdown().await,
            }
        }
        while pending.len() < VECTORED_MAX {
            match queue.try_recv() {
                Ok(outgoing) => pending.push_back(Pending::new(outgoing, &mut outlet.encrypt)),
                Err(_) => break,
            }
        }
        let out = poll_fn(|context| write_some(context, &mut outlet.sink, &mut pending)).await?;
        frames_queued.fetch_sub(out.frames, Ordering::Relaxed);
        if out.payload > 0 && events.send(ConnEvent::Sent(id, out.payload)).await.is_err() {
            return Ok(());
        }
    }
}

/// A buffer on its way to the kernel.
struct Pending {
    bytes: Bytes,
    counts: Counts,
}

/// What counts as out once the last byte of its buffer is.
#[derive(Default)]
struct Counts {
    /// Bytes of blocks.
    payload: usize,
    /// Bytes of frames without block data.
    frames: usize,
}

impl Pending {
    /// Encrypts, if need be: into a copy, since blocks may be shared.
    fn new(outgoing: Outgoing, cipher: &mut Option<Cipher>) -> Self {
        let (mut bytes, counts) = match outgoing {
            Outgoing::Frames(bytes) => {
                let counts = Counts { payload: 0, frames: bytes.len() };
                (Bytes::from(bytes), counts)
            }
            Outgoing::Blocks { bytes, payload } => (bytes, Counts { payload, frames: 0 }),
        };
        if let Some(cipher) = cipher {
            let mut copy = bytes.to_vec();
            cipher.apply(&mut copy);
            bytes = copy.into();
        }
        Self { bytes, counts }
    }
}

/// Writes until no more is taken. Returns what was in the buffers that are out whole.
fn write_some(
    context: &mut Context<'_>,
    sink: &mut Sink,
    pending: &mut VecDeque<Pending>,
) -> Poll<io::Result<Counts>> {
    let mut sent = Counts::default();
    let mut progress = false;
    while !pending.is_empty() {
        let slices: Vec<IoSlice<'_>> =
            pending.iter().take(VECTORED_MAX).map(|buffer| IoSlice::new(&buffer.bytes)).collect();
        let mut written = match Pin::new(&mut *sink).poll_write_vectored(context, &slices) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending if !progress => return Poll::Pending,
            Poll::Pending => break,
        };
        progress = true;
        while let Some(buffer) = pending.front_mut() {
            if written < buffer.bytes.len() {
                buffer.bytes.advance(written);
                break;
            }
            written -= buffer.bytes.len();
            sent.payload += buffer.counts.payload;
            sent.frames += buffer.counts.frames;
            pending.pop_front();
        }
    }
    Poll::Ready(Ok(sent))
}

#[cfg(test)]
mod tests;
