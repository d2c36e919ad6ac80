//! UDP sockets that several protocols share.
//!
//! A node has one port. Datagrams to it are told apart by their first byte: uTP begins with a type and its
//! version, the messages of the DHT with the `d` of a bencoded dictionary; nothing else is read.
//!
//! Runs of datagrams cross into the kernel with one call, where it can (segmentation offload, by
//! `quinn-udp`): the cost of uTP is per packet.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use peerage_wire::utp;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::egress::Egress;
use crate::road::ListenError;

/// Bytes that the kernel keeps for a socket while we do something else. It gives less where the system's
/// limit is lower.
const KERNEL_BYTES: usize = 4 * 1024 * 1024;

/// Runs received with one call, and the bytes of each: the longest that UDP has.
const RUNS: usize = 8;
const RUN_BYTES: usize = 65_536;

/// What a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocols {
    /// A stream over UDP (BEP 29).
    Utp,
    /// A message of the DHT (BEP 5).
    Krpc,
    /// Neither.
    Unknown,
}

impl Protocols {
    /// Tells by the first byte.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(b'd') => Self::Krpc,
            Some(first) if utp::is_utp(*first) => Self::Utp,
            _ => Self::Unknown,
        }
    }
}

/// One UDP socket.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Socket {
    /// Opens `addr`: that of a TCP listener, so that one port serves both. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// The address is in use, not on this machine, or not permitted.
    pub fn bind(addr: SocketAddr, egress: &Egress) -> Result<Self, ListenError> {
        Self::open(addr, egress).map_err(|source| ListenError { addr, source })
    }

    fn open(addr: SocketAddr, egress: &Egress) -> io::Result<Self> {
        let socket =
            RawSocket::new(Domain::for_address(addr), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Failing to get more room costs speed only.
        let _ = socket.set_recv_buffer_size(KERNEL_BYTES);
        let _ = socket.set_send_buffer_size(KERNEL_BYTES);
        egress.hold(&SockRef::from(&socket))?;
        socket.bind(&addr.into())?;
        let io = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        Ok(Self { local: io.local_addr()?, io, state })
    }

    /// Where it is.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Datagrams that one [`Self::try_send`] may hold.
    #[must_use]
    pub fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Waits until there is something to receive.
    ///
    /// # Errors
    /// The runtime ends.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until there is room to send.
    ///
    /// # Errors
    /// The runtime ends.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Sends one datagram, without asking the runtime first whether there is room: of a new socket it does not
    /// know.
    ///
    /// # Errors
    /// What the system says; the datagram is lost.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let transmit =
            Transmit { destination: to, ecn: None, contents: bytes, segment_size: None, src_ip: None };
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)
    }

    /// Sends datagrams of `segment` bytes each, the last of which may be shorter.
    ///
    /// # Errors
    /// `WouldBlock`: nothing was sent, see [`Self::writable`]. Any other: they are lost.
    pub fn try_send(&self, to: SocketAddr, bytes: &[u8], segment: usize) -> io::Result<()> {
        let segment_size = (bytes.len() > segment).then_some(segment);
        let transmit = Transmit { destination: to, ecn: None, contents: bytes, segment_size, src_ip: None };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.io), &transmit))
    }

    /// Receives what is there into `batch`.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is there, see [`Self::readable`].
    pub fn try_receive(&self, batch: &mut Batch) -> io::Result<()> {
        batch.runs = 0;
        let Batch { bytes, metas, runs } = batch;
        let mut rest = bytes.chunks_exact_mut(RUN_BYTES);
        let mut slices: [IoSliceMut<'_>; RUNS] =
            std::array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()));
        *runs = self
            .io
            .try_io(Interest::READABLE, || self.state.recv(UdpSockRef::from(&self.io), &mut slices, metas))?;
        Ok(())
    }
}

/// Room for datagrams, used again and again.
pub struct Batch {
    bytes: Vec<u8>,
    metas: [RecvMeta; RUNS],
    runs: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { bytes: vec![0; RUNS * RUN_BYTES], metas: [RecvMeta::default(); RUNS], runs: 0 }
    }
}

impl Batch {
    /// The datagrams that were received last, in order, with where they came from.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.bytes.chunks_exact(RUN_BYTES).zip(&self.metas).take(self.runs).flat_map(|(bytes, meta)| {
            let run = bytes.get(..meta.len).unwrap_or_default();
            run.chunks(meta.stride.max(1)).map(|datagram| (meta.addr, datagram))
        })
    }
}
