//! The task of one socket, and what it shares with the streams.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use peerage_base::{Instant, Rng};
use peerage_swarm::utp::{Config, Endpoint, Event, Output, UtpId};
use tokio::sync::{Notify, mpsc};

use super::UtpStream;
use crate::udp::{Batch, Protocols, Socket};

/// Calls to the kernel in one turn, each way: acknowledgements must not wait for the end of a flood.
const CALLS_MAX: usize = 8;

/// How long streams may still deliver after the socket was dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What streams and task share.
pub(super) struct Shared {
    pub(super) socket: Socket,
    started: std::time::Instant,
    inner: Mutex<Inner>,
    /// There is something to send.
    work: Notify,
}

pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    /// Who waits for each connection, by [`UtpId::slot`].
    waiting: Vec<Waiting>,
    pub(super) krpc: Option<mpsc::Sender<(SocketAddr, Bytes)>>,
    pub(super) dropped: u64,
    /// The socket was dropped; and the task has ended, or is to end at once.
    closing: bool,
    pub(super) ended: bool,
}

/// Who waits for one connection.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) connected: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Waiting {
    fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }
}

impl Inner {
    pub(super) fn waiting(&mut self, id: UtpId) -> &mut Waiting {
        let slot = id.slot();
        if self.waiting.len() <= slot {
            self.waiting.resize_with(slot + 1, Waiting::default);
        }
        &mut self.waiting[slot]
    }
}

impl Shared {
    pub(super) fn new(socket: Socket, config: Config, rng: Rng) -> Arc<Self> {
        let inner = Inner {
            endpoint: Endpoint::new(config, rng),
            waiting: Vec::new(),
            krpc: None,
            dropped: 0,
            closing: false,
            ended: false,
        };
        let (started, work) = (std::time::Instant::now(), Notify::new());
        Arc::new(Self { socket, started, inner: Mutex::new(inner), work })
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the task send what a command left to be sent.
    pub(super) fn hasten(&self, inner: &Inner) {
        if inner.endpoint.has_output() {
            self.work.notify_one();
        }
    }

    pub(super) fn connect(self: &Arc<Self>, addr: SocketAddr) -> io::Result<UtpStream> {
        let mut inner = self.lock();
        if inner.ended {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let connected = inner.endpoint.connect(self.now(), addr);
        let id = connected.map_err(|full| io::Error::new(io::ErrorKind::QuotaExceeded, full))?;
        *inner.waiting(id) = Waiting::default();
        self.hasten(&inner);
        drop(inner);
        Ok(UtpStream::new(Arc::clone(self), id, addr))
    }

    /// The task ends without a word.
    #[cfg(test)]
    pub(super) fn vanish(&self) {
        self.lock().ended = true;
        self.work.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }
}

/// What does not fit into the kernel yet.
struct Stuck {
    to: SocketAddr,
    segment: usize,
}

/// Drives the machine until the socket is dropped.
pub(super) async fn drive(shared: Arc<Shared>, accepted: mpsc::Sender<UtpStream>) {
    let (mut batch, mut out) = (Batch::default(), Vec::new());
    let mut stuck: Option<Stuck> = None;
    let mut close_at = None;
    loop {
        let timeout = {
            let mut inner = shared.lock();
            if inner.ended {
                break;
            }
            receive(&shared, &mut inner, &mut batch);
            let more = send(&shared, &mut inner, &mut out, &mut stuck, &accepted);
            if inner.closing {
                let limit = *close_at.get_or_insert_with(|| tokio::time::Instant::now() + CLOSE_LIMIT);
                if inner.endpoint.is_empty() || tokio::time::Instant::now() >= limit {
                    break;
                }
            }
            if more { Some(shared.now()) } else { inner.endpoint.poll_timeout().map(|(at, _)| at) }
        };
        let wait = timeout.map(|at| at.since(shared.now()));
        let wait = if close_at.is_some() { Some(wait.unwrap_or(CLOSE_LIMIT).min(CLOSE_LIMIT)) } else { wait };
        if wait == Some(Duration::ZERO) {
            tokio::task::yield_now().await;
            continue;
        }
        let timer = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        let woken = tokio::select! {
            readable = shared.socket.readable() => readable,
            writable = shared.socket.writable(), if stuck.is_some() => writable,
            () = shared.work.notified() => Ok(()),
            () = timer => Ok(()),
        };
        if let Err(error) = woken {
            tracing::debug!(%error, "the UDP socket broke");
            break;
        }
    }
    let mut inner = shared.lock();
    inner.ended = true;
    inner.waiting.iter_mut().for_each(Waiting::wake);
}

/// Gives the machine what the kernel has, and what time it is.
fn receive(shared: &Shared, inner: &mut Inner, batch: &mut Batch) {
    for _ in 0..CALLS_MAX {
        // Any error but that nothing is there is about a datagram that was sent before.
        if shared.socket.try_receive(batch).is_err() {
            break;
        }
        let now = shared.now();
        for (from, datagram) in batch.datagrams() {
            match Protocols::of(datagram) {
                Protocols::Utp => inner.endpoint.handle_datagram(now, from, datagram),
                Protocols::Krpc => {
                    let message = || Bytes::copy_from_slice(datagram);
                    let taken =
                        inner.krpc.as_ref().is_some_and(|krpc| krpc.try_send((from, message())).is_ok());
                    inner.dropped += u64::from(!taken);
                }
                Protocols::Unknown => inner.dropped += 1,
            }
        }
    }
    let now = shared.now();
    if inner.endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
        inner.endpoint.handle_timeout(now);
    }
}

/// Sends what the machine wants to, as far as the kernel takes it. Tells whether there is more though the
/// kernel takes it.
fn send(
    shared: &Arc<Shared>,
    inner: &mut Inner,
    out: &mut Vec<u8>,
    stuck: &mut Option<Stuck>,
    accepted: &mpsc::Sender<UtpStream>,
) -> bool {
    if let Some(Stuck { to, segment }) = stuck {
        if would_block(shared.socket.try_send(*to, out, *segment)) {
            return false;
        }
        *stuck = None;
    }
    inner.endpoint.set_segments_max(shared.socket.segments_max());
    for _ in 0..4 * CALLS_MAX {
        match inner.endpoint.poll_output(shared.now(), out) {
            None => return false,
            Some(Output::Event(id, event)) => on_event(shared, inner, id, event, accepted),
            Some(Output::Send { to, segment }) => {
                if would_block(shared.socket.try_send(to, out, segment)) {
                    *stuck = Some(Stuck { to, segment });
                    return false;
                }
            }
        }
    }
    true
}

/// Other errors are about one datagram, which counts as lost.
fn would_block(sent: io::Result<()>) -> bool {
    sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn on_event(
    shared: &Arc<Shared>,
    inner: &mut Inner,
    id: UtpId,
    event: Event,
    accepted: &mpsc::Sender<UtpStream>,
) {
    match event {
        Event::Connected => {
            inner.waiting(id).connected = true;
            inner.waiting(id).wake();
        }
        Event::Accepted(addr) => {
            *inner.waiting(id) = Waiting { connected: true, ..Waiting::default() };
            match accepted.try_reserve() {
                Ok(permit) => permit.send(UtpStream::new(Arc::clone(shared), id, addr)),
                Err(_) => inner.endpoint.reset(shared.now(), id),
            }
        }
        Event::Readable => inner.waiting(id).reader.take().into_iter().for_each(Waker::wake),
        Event::Writable => inner.waiting(id).writer.take().into_iter().for_each(Waker::wake),
        Event::Closed(_) => inner.waiting(id).wake(),
    }
}
