//! One machine, driven by hand.

#![allow(dead_code, clippy::unwrap_used)]

use peerage_base::{ConnId, Duration, InfoHashV1, InfoHashes, Instant, PeerId, Rng, TorrentId};
use peerage_peer::{Config, Handshake, Local, Output, Peer, PeerChange, TorrentParams};
use std::net::SocketAddr;

/// Our id: in the middle, so that others may have greater and smaller ones.
pub const OUR_ID: [u8; 20] = [100; 20];
pub const HASH: [u8; 20] = [7; 20];

/// A machine at a moment.
pub struct Bench {
    pub peer: Peer,
    pub now: Instant,
}

impl Bench {
    pub fn new(config: Config) -> Self {
        Self::with(config, None)
    }

    /// A machine that can prove who it is.
    pub fn with_key(config: Config, key: PeerId) -> Self {
        Self::with(config, Some(key))
    }

    fn with(config: Config, key: Option<PeerId>) -> Self {
        let local = Local { peer_id: OUR_ID, listen_port: 6881, key, addresses: Vec::new() };
        Self { peer: Peer::new(config, local, Rng::from_number(1)), now: Instant::ZERO }
    }

    pub fn with_torrent() -> (Self, TorrentId) {
        let mut bench = Self::new(Config::default());
        let torrent = bench.add(params());
        (bench, torrent)
    }

    pub fn add(&mut self, params: TorrentParams) -> TorrentId {
        self.peer.add_torrent(self.now, params).unwrap()
    }

    pub fn drain(&mut self) -> Vec<Output> {
        self.peer.pump(self.now);
        std::iter::from_fn(|| self.peer.poll_output()).collect()
    }

    /// Lets time pass; the machine is woken whenever it wants.
    pub fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = self.drain();
        let mut calls = 0;
        while let Some((at, why)) = self.peer.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.peer.handle_timeout(self.now);
            outputs.extend(self.drain());
            calls += 1;
            assert!(calls < 100_000, "it never rests: {why}");
        }
        self.now = end;
        outputs
    }

    pub fn change(&mut self, conn: ConnId, change: PeerChange) -> Vec<Output> {
        self.peer.handle_peer(self.now, conn, change);
        self.drain()
    }

    pub fn greet(&mut self, conn: ConnId, handshake: Handshake) -> Vec<Output> {
        self.peer.handle_handshake(self.now, conn, handshake);
        self.drain()
    }

    /// An incoming connection, up.
    pub fn incoming(&mut self, addr: SocketAddr, peer_id: [u8; 20]) -> Option<ConnId> {
        let conn = self.peer.accept(self.now, addr)?;
        let outputs = self.greet(conn, Handshake::new(HASH, peer_id));
        closed(&outputs, conn).is_none().then_some(conn)
    }
}

pub fn hashes(byte: u8) -> InfoHashes {
    InfoHashes { v1: Some(InfoHashV1([byte; 20])), v2: None }
}

pub fn params() -> TorrentParams {
    TorrentParams::new(hashes(7))
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The n-th address of the internet.
pub fn global(n: u32) -> SocketAddr {
    SocketAddr::from(((0x0b00_0000 + n).to_be_bytes(), 6881))
}

pub fn dials(outputs: &[Output]) -> Vec<(ConnId, SocketAddr)> {
    let dial = |output: &Output| match output {
        Output::Dial { conn, addr, .. } => Some((*conn, *addr)),
        _ => None,
    };
    outputs.iter().filter_map(dial).collect()
}

/// Why a connection was closed.
pub fn closed(outputs: &[Output], wanted: ConnId) -> Option<String> {
    outputs.iter().find_map(|output| match output {
        Output::Disconnect { conn, reason } if *conn == wanted => Some(reason.to_string()),
        _ => None,
    })
}

/// Bytes sent on a connection.
pub fn sent(outputs: &[Output], wanted: ConnId) -> Vec<u8> {
    let bytes = |output: &Output| match output {
        Output::Send { conn, bytes } if *conn == wanted => bytes.clone(),
        _ => Vec::new(),
    };
    outputs.iter().flat_map(bytes).collect()
}
