//! Blocks on their way to peers: read by a few threads in runs, with their headers in place, so that
//! one read and one write serve many blocks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Sender, TrySendError, bounded};
use peerage_base::{ConnId, Instant, TorrentId};
use peerage_store::{BlockRange, ReadError, TorrentStore};
use peerage_wire::Block;
use peerage_wire::message::{PIECE_HEADER_LEN, piece_header};

use super::Input;
use crate::inbox::Inbox;

/// Blocks read at once. 64 (1 MiB) is where larger runs stop gaining, as measured by `bench/run`.
const RUN_BLOCKS_MAX: usize = 64;
/// Runs up to here are read without another thread where they are in the page cache: handing a small run
/// over and back costs more than reading it. Larger ones are read while the one before is sent.
const AT_ONCE_BLOCKS_MAX: usize = 16;
/// Runs that wait for one reading thread; more stay with the driver.
const RUNS_MAX: usize = 64;
/// Least and most bytes of blocks that may be on their way to one peer: a slow peer must not hold
/// memory, a fast one must never run dry.
const ROOM_MIN: u64 = 128 * 1024;
const ROOM_MAX: u64 = 4 * 1024 * 1024;
const ROOM_FIRST: u64 = 1024 * 1024;
/// A peer's room is what it takes in this time.
const ROOM_SECONDS: f64 = 0.1;

/// A run of blocks of one torrent for one peer.
struct Run {
    conn: ConnId,
    store: TorrentStore,
    blocks: Vec<Block>,
}

fn payload(blocks: &[Block]) -> usize {
    blocks.iter().map(|block| block.len as usize + PIECE_HEADER_LEN).sum()
}

/// A run that was read, or could not be.
pub struct ReadDone {
    /// For whom.
    pub conn: ConnId,
    /// Bytes of blocks, headers included.
    pub payload: usize,
    /// Headers and blocks.
    pub result: Result<Bytes, ReadError>,
}

/// Reading threads. Runs of one connection stay in order.
struct Readers(Vec<Sender<Run>>);

impl Readers {
    fn start(threads: usize, inbox: &Inbox<Input>, buffers: &Buffers) -> std::io::Result<Self> {
        let senders = (0..threads.max(1)).map(|number| {
            let (sender, runs) = bounded::<Run>(RUNS_MAX);
            let (inbox, buffers) = (inbox.clone(), buffers.clone());
            std::thread::Builder::new().name(format!("read-{number}")).spawn(move || {
                for run in runs {
                    let result = read(&run, &buffers);
                    inbox.put(Input::Read(ReadDone {
                        conn: run.conn,
                        payload: payload(&run.blocks),
                        result,
                    }));
                }
            })?;
            Ok(sender)
        });
        senders.collect::<std::io::Result<_>>().map(Self)
    }

    /// Gives a run to its thread, or gives it back when that has enough to do.
    fn submit(&self, run: Run) -> Result<(), Run> {
        let index = (run.conn.0 % self.0.len().max(1) as u64) as usize;
        match self.0.get(index) {
            Some(sender) => sender.try_send(run).map_err(|error| match error {
                TrySendError::Full(run) | TrySendError::Disconnected(run) => run,
            }),
            None => Err(run),
        }
    }
}

fn read(run: &Run, buffers: &Buffers) -> Result<Bytes, ReadError> {
    let mut buffer = buffers.take();
    run.store.read_blocks(&ranges(&run.blocks), PIECE_HEADER_LEN, &mut buffer.bytes)?;
    Ok(with_headers(buffer, &run.blocks))
}

fn ranges(blocks: &[Block]) -> Vec<BlockRange> {
    let range = |block: &Block| BlockRange { piece: block.piece, begin: block.begin, len: block.len };
    blocks.iter().map(range).collect()
}

/// Writes the headers into the room before each block.
fn with_headers(mut buffer: Buffer, blocks: &[Block]) -> Bytes {
    let mut at = 0;
    for block in blocks {
        if let Some(room) = buffer.bytes.get_mut(at..at + PIECE_HEADER_LEN) {
            room.copy_from_slice(&piece_header(*block));
        }
        at += PIECE_HEADER_LEN + block.len as usize;
    }
    Bytes::from_owner(buffer)
}

/// `None` where it would have to wait for the disk.
fn read_at_once(
    store: &TorrentStore,
    blocks: &[Block],
    buffers: &Buffers,
) -> Option<Result<Bytes, ReadError>> {
    let mut buffer = buffers.take();
    match store.try_read_blocks(&ranges(blocks), PIECE_HEADER_LEN, &mut buffer.bytes) {
        Ok(true) => Some(Ok(with_headers(buffer, blocks))),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Send buffers that are used again: the first touch of new memory costs more than the copy.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Unused send buffers that are kept.
const BUFFERS_KEPT_MAX: usize = 8;

impl Buffers {
    fn take(&self) -> Buffer {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: bytes.unwrap_or_default(), pool: self.clone() }
    }
}

struct Buffer {
    bytes: Vec<u8>,
    pool: Buffers,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < BUFFERS_KEPT_MAX {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// What is on its way to one peer.
#[derive(Debug)]
struct Flow {
    torrent: Option<TorrentId>,
    /// Named by the machine, not yet given to a reader.
    waiting: Vec<Block>,
    /// Bytes named and not yet with the kernel.
    under_way: u64,
    /// Runs with the readers, which what comes behind must not overtake.
    reading: u32,
    room: u64,
    sent_since: u64,
    since: Instant,
}

/// The uploads of all peers.
pub struct Uploads {
    readers: Readers,
    buffers: Buffers,
    flows: HashMap<ConnId, Flow>,
    /// Connections with blocks to be read, in the order in which they were named.
    ready: Vec<ConnId>,
}

impl Uploads {
    /// Starts the reading threads.
    pub fn start(threads: usize, inbox: &Inbox<Input>) -> std::io::Result<Self> {
        let buffers = Buffers::default();
        let readers = Readers::start(threads, inbox, &buffers)?;
        Ok(Self { readers, buffers, flows: HashMap::new(), ready: Vec::new() })
    }

    /// A connection opened.
    pub fn open(&mut self, now: Instant, conn: ConnId) {
        let flow = Flow {
            torrent: None,
            waiting: Vec::new(),
            under_way: 0,
            reading: 0,
            room: ROOM_FIRST,
            sent_since: 0,
            since: now,
        };
        self.flows.insert(conn, flow);
    }

    /// How much may be named for a peer now.
    pub fn room(&self, conn: ConnId) -> Option<u64> {
        self.flows.get(&conn).map(|flow| flow.room.saturating_sub(flow.under_way))
    }

    /// A connection is gone.
    pub fn close(&mut self, conn: ConnId) {
        self.flows.remove(&conn);
    }

    /// The machine names a block for a peer.
    pub fn push(&mut self, conn: ConnId, torrent: TorrentId, block: Block) {
        let Some(flow) = self.flows.get_mut(&conn) else { return };
        flow.torrent = Some(torrent);
        flow.under_way += u64::from(block.len) + PIECE_HEADER_LEN as u64;
        flow.waiting.push(block);
        if flow.waiting.len() == 1 {
            self.ready.push(conn);
        }
    }

    /// Reads what is waiting and can be had at once, and gives the rest to the readers.
    pub fn submit(&mut self, store_of: impl Fn(TorrentId) -> Option<TorrentStore>) -> Vec<ReadDone> {
        let ready = std::mem::take(&mut self.ready);
        let mut done = Vec::new();
        for conn in ready {
            let Some(flow) = self.flows.get_mut(&conn) else { continue };
            let Some(store) = flow.torrent.and_then(&store_of) else {
                flow.waiting.clear();
                continue;
            };
            while !flow.waiting.is_empty() {
                let rest = flow.waiting.split_off(flow.waiting.len().min(RUN_BLOCKS_MAX));
                let blocks = std::mem::replace(&mut flow.waiting, rest);
                if blocks.len() <= AT_ONCE_BLOCKS_MAX
                    && flow.reading == 0
                    && let Some(result) = read_at_once(&store, &blocks, &self.buffers)
                {
                    done.push(ReadDone { conn, payload: payload(&blocks), result });
                    continue;
                }
                flow.reading += 1;
                if let Err(run) = self.readers.submit(Run { conn, store: store.clone(), blocks }) {
                    flow.reading -= 1;
                    let mut blocks = run.blocks;
                    blocks.append(&mut flow.waiting);
                    flow.waiting = blocks;
                    self.ready.push(conn);
                    break;
                }
            }
        }
        done
    }

    /// A reader is done with a run.
    pub fn read(&mut self, conn: ConnId) {
        if let Some(flow) = self.flows.get_mut(&conn) {
            flow.reading = flow.reading.saturating_sub(1);
        }
    }

    /// Bytes went to the kernel.
    pub fn sent(&mut self, now: Instant, conn: ConnId, bytes: u64) {
        let Some(flow) = self.flows.get_mut(&conn) else { return };
        flow.under_way = flow.under_way.saturating_sub(bytes);
        flow.sent_since += bytes;
        let elapsed = now.since(flow.since).as_secs_f64();
        if elapsed >= ROOM_SECONDS {
            flow.room = ((flow.sent_since as f64 / elapsed * ROOM_SECONDS) as u64).clamp(ROOM_MIN, ROOM_MAX);
            flow.sent_since = 0;
            flow.since = now;
        } else if flow.sent_since >= flow.room {
            flow.room = (flow.room * 2).min(ROOM_MAX);
        }
    }
}
