//! What goes into a torrent's machine and what comes out.

use crate::{Block, Handshake};
use peerage_base::ConnId;
use peerage_wire::extension::Holepunch;
use std::net::SocketAddr;

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerChange {
    /// Both handshakes are done; messages may follow.
    Up {
        /// The other end of the connection.
        addr: SocketAddr,
        /// Whether we opened it: then `addr` is where the peer listens.
        outgoing: bool,
        /// Whether it is over uTP: then `addr` is where the peer listens, in either case.
        utp: bool,
        /// The peer's own handshake.
        handshake: Handshake,
    },
    /// The connection is gone. Nothing more may be sent to it.
    Down,
    /// The send queue has room for so many bytes of blocks from now on. It replaces the room told
    /// before; each [`Output::SendBlock`] uses up its length and 13 bytes. A new peer has none.
    Writable {
        /// Room in bytes.
        bytes: u64,
    },
}

/// What the store reports.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreEvent {
    /// Accepted bytes are written. Several blocks of one piece may be reported at once.
    Written {
        /// The piece.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// Bytes written.
        len: u32,
    },
    /// The answer to [`Output::Verify`].
    Verified {
        /// The piece.
        piece: u32,
        /// Whether its bytes have the right hash.
        ok: bool,
        /// One digest per block of 16 KiB, where they were asked for.
        digests: Option<Vec<[u8; 32]>>,
    },
    /// Accepted bytes could not be written. The torrent pauses; `resume` asks for them again.
    Failed {
        /// The piece.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// Bytes not written.
        len: u32,
        /// Whether there was no room.
        full_disk: bool,
        /// They were reported written before: what failed is reading them back.
        written: bool,
    },
    /// A read found that the piece changed on disk or is gone: we do not have it any more.
    Lost {
        /// The piece.
        piece: u32,
    },
    /// A lost piece was hashed again and is right.
    Regained {
        /// The piece.
        piece: u32,
    },
}

/// What becomes of a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockVerdict {
    /// Asked for and new: write it. The bytes must be on their way to the store before outputs are
    /// drained, since [`Output::Verify`] may be next.
    Accept,
    /// Not asked for, or had already: throw it away.
    Drop,
}

/// What a web seed's request came to (BEP 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebChange {
    /// The request is answered in full.
    Done,
    /// It failed; what was not delivered is asked for elsewhere. The web seed rests for a while.
    Failed,
    /// It will never work (404, or its content is not the torrent's): the web seed is given up.
    Gone,
}

/// A web seed, as [`crate::Swarm::add_web_seed`] named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebSeedId(pub u32);

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send encoded frames, in the order of the outputs.
    Send {
        /// To whom.
        conn: ConnId,
        /// One or more whole frames.
        bytes: Vec<u8>,
    },
    /// Send a piece message; its bytes come from the store.
    SendBlock {
        /// To whom.
        conn: ConnId,
        /// Which bytes.
        block: Block,
    },
    /// Close the connection. No [`PeerChange::Down`] is needed: the machine has forgotten it.
    Disconnect {
        /// Which one.
        conn: ConnId,
        /// Why.
        reason: Reason,
    },
    /// Hash a piece whose accepted blocks are all with the store; answer with
    /// [`StoreEvent::Verified`].
    Verify {
        /// The piece.
        piece: u32,
        /// Whether a digest of each block (16 KiB; any one digest, always the same kind) is wanted.
        digests: bool,
    },
    /// Addresses heard of in peer exchange, not yet judged by range.
    Candidates {
        /// Whom we heard it from.
        from: ConnId,
        /// Where peers may listen.
        addrs: Vec<SocketAddr>,
    },
    /// A peer asks to be introduced, or introduces (BEP 55).
    Holepunch {
        /// Who says so.
        from: ConnId,
        /// What it says.
        message: Holepunch,
    },
    /// The peer is to be banned: it gave us bad data or broke the protocol on purpose. Its connection,
    /// when still up, gets its own [`Output::Disconnect`].
    Ban {
        /// Its connection; it may be gone already.
        conn: ConnId,
        /// Its address then.
        addr: SocketAddr,
        /// Why.
        reason: Reason,
    },
    /// Fetch bytes of one piece from a web seed; deliver them block by block with
    /// [`crate::Swarm::handle_web_block`], end with [`crate::Swarm::handle_web`].
    WebRequest {
        /// Which web seed.
        web_seed: WebSeedId,
        /// The piece.
        piece: u32,
        /// First byte within the piece.
        begin: u32,
        /// Bytes.
        len: u32,
    },
    /// News.
    Event(Event),
}

/// News from a torrent's machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The info dictionary, checked against the infohash. `set_content` comes next.
    Metadata {
        /// Its exact bytes.
        info: Vec<u8>,
    },
    /// A version 2 file's piece layer was fetched and checked (BEP 52).
    PieceLayer {
        /// Root of the file.
        root: [u8; 32],
        /// The layer.
        layer: Vec<[u8; 32]>,
    },
    /// A piece is verified.
    PieceDone {
        /// Which one.
        piece: u32,
    },
    /// Every piece of a file is verified.
    FileDone {
        /// Its index in the layout.
        file: usize,
    },
    /// All that is wanted is verified.
    Done,
    /// A piece was bad.
    PieceFailed {
        /// Which one.
        piece: u32,
    },
    /// Nothing is fetched until `resume`.
    Paused {
        /// Why.
        reason: PauseReason,
    },
}

/// Why a torrent does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// Somebody asked for it.
    Command,
    /// No room on disk.
    DiskFull,
    /// The disk failed otherwise.
    DiskError,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// A message breaks the protocol.
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// It sent data that fails the hash.
    #[error("sent bad data")]
    BadData,
    /// It sent wrong metadata.
    #[error("sent bad metadata")]
    BadMetadata,
    /// More requests than any honest client makes.
    #[error("request flood")]
    RequestFlood,
    /// More of some message than any honest client sends.
    #[error("message flood: {0}")]
    Flood(&'static str),
    /// It said nothing for too long.
    #[error("idle for too long")]
    Idle,
    /// Neither side has what the other lacks.
    #[error("both sides are complete")]
    Redundant,
    /// Its data was bad before.
    #[error("banned")]
    Banned,
    /// The torrent is paused or removed.
    #[error("torrent stopped")]
    Stopped,
    /// Its send queue stayed full.
    #[error("stalled")]
    Stalled,
}
