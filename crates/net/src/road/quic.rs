//! QUIC between two Peerage nodes, through iroh: a peer is dialled by its key and found at its addresses,
//! through holes in NATs or by way of a relay; the connection moves to better paths by itself.
//!
//! Nobody's servers are contacted but the relays that the user or a link names. One connection carries one
//! peer wire, on one stream.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use iroh::endpoint::{
    Connection, Incoming, QuicTransportConfig, RecvStream, RelayStatus, SendStream, VarInt,
    WeakConnectionHandle, presets,
};
use iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayConfig, RelayMode, RelayUrl, SecretKey, TransportAddr, Watcher,
};
use peerage_base::{Contact, PeerId};
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::greet::Greeted;
use super::stream::Stream;
use super::tls;
use crate::Boxed;
use crate::identity::Identity;
use crate::relay::{Pins, RelayAddr};

/// The protocol and its version.
const ALPN: &[u8] = b"peerage/1";
/// Bytes on their way in one stream. More than 2 MB makes noq close the connection when they come in
/// disorder ("too many gaps").
const STREAM_WINDOW: u32 = 2_000_000;
/// The same of a connection, which carries one stream of bulk data.
const CONNECTION_WINDOW: u32 = 4_000_000;
/// How long a contact may take, from the first packet to the stream.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// How long to wait for the home relay before a link is printed without it.
const ONLINE_LIMIT: Duration = Duration::from_secs(10);
/// How long peers are given to hear that we are going.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Why there is no QUIC.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// No socket could be opened.
    #[error("cannot open a UDP socket: {0}")]
    Bind(String),
    /// A relay that cannot be understood.
    #[error(transparent)]
    Relay(#[from] crate::relay::BadRelay),
}

/// Which ways an end of QUIC may take.
#[derive(Clone, Debug, Default)]
pub struct QuicConfig {
    /// The address of its UDP port; `None`: every one of the machine.
    pub addr: Option<IpAddr>,
    /// Relays that it keeps in touch with.
    pub relays: Vec<String>,
    /// No UDP port at all: relays see its address, and nobody else does.
    pub relayed_only: bool,
}

/// The node's end of QUIC. Clones share it.
#[derive(Clone, Debug)]
pub struct Quic {
    endpoint: Endpoint,
    relayed_only: bool,
    pins: Pins,
    id: PeerId,
}

/// An open stream, and the connection that it keeps.
#[derive(Debug)]
pub struct QuicStream {
    connection: Connection,
    source: RecvStream,
    sink: SendStream,
}

/// What a QUIC connection runs on at the moment.
#[derive(Clone, Debug)]
pub struct QuicPath(WeakConnectionHandle);

impl QuicPath {
    /// The relay's host, if it goes by one, and the time there and back. `None`: the connection is over.
    #[must_use]
    pub fn now(&self) -> Option<(Option<String>, Duration)> {
        let connection = self.0.upgrade()?;
        let paths = connection.paths();
        let path = paths.iter().find(|path| path.is_selected())?;
        let relay = match path.remote_addr() {
            TransportAddr::Relay(url) => Some(url.host_str().unwrap_or("unnamed").to_owned()),
            _ => None,
        };
        Some((relay, path.rtt()))
    }
}

impl Quic {
    /// Opens a UDP port and keeps in touch with the relays. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// No socket, or a malformed relay.
    pub fn bind<'a>(identity: &'a Identity, ways: &'a QuicConfig) -> Boxed<'a, Result<Self, QuicError>> {
        Box::pin(async move {
            let QuicConfig { addr, ref relays, relayed_only } = *ways;
            let pins = Pins::default();
            let mut configs = Vec::new();
            for relay in relays {
                configs.push(config(relay.parse()?, &pins, relayed_only)?);
            }
            let transport = QuicTransportConfig::builder()
                .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
                .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
                .send_window(u64::from(CONNECTION_WINDOW))
                .build();
            let mut builder = Endpoint::builder(presets::Empty)
                .crypto_provider(Arc::new(provider()))
                .secret_key(SecretKey::from_bytes(identity.seed()))
                .alpns(vec![ALPN.to_vec()])
                .transport_config(transport)
                .ca_tls_config(pins.trust())
                .relay_mode(RelayMode::Custom(configs.into_iter().collect()));
            if relayed_only {
                builder = builder.clear_ip_transports();
            } else if let Some(addr) = addr.filter(|addr| !addr.is_unspecified()) {
                builder = builder.clear_ip_transports();
                builder = builder.bind_addr(SocketAddr::new(addr, 0)).map_err(bind_error)?;
            }
            let endpoint = builder.bind().await.map_err(bind_error)?;
            Ok(Self { endpoint, relayed_only, pins, id: identity.id() })
        })
    }

    /// How others reach this node: its addresses, and its relay once it is connected to one.
    pub fn contact(&self) -> Boxed<'_, Contact> {
        Box::pin(async move {
            let relays = !self.pins.is_empty();
            if relays {
                let _ = tokio::time::timeout(ONLINE_LIMIT, self.endpoint.online()).await;
            }
            let addr = self.endpoint.addr();
            // One may have been chosen, and not let us in. One that is slow will be there by the time it is needed.
            let chosen = addr.relay_urls().next().filter(|_| self.denial().is_none());
            let relay = chosen.map(|url| self.pins.full(url));
            Contact { udp: addr.ip_addrs().copied().collect(), relay, ..Contact::new(self.id) }
        })
    }

    /// Opens a connection and a stream to a peer, and proves who is at either end.
    ///
    /// # Errors
    /// Nobody answers, or somebody else.
    pub fn dial<'a>(&'a self, contact: &'a Contact) -> Boxed<'a, io::Result<Greeted>> {
        Box::pin(async move {
            let id = EndpointId::from_bytes(&contact.id.0).map_err(io::Error::other)?;
            let direct = contact.udp.iter().filter(|_| !self.relayed_only);
            let mut addr = EndpointAddr::new(id).with_addrs(direct.map(|addr| TransportAddr::Ip(*addr)));
            if let Some(relay) = &contact.relay {
                let relay: RelayAddr = relay.parse().map_err(io::Error::other)?;
                let config = config(relay, &self.pins, self.relayed_only).map_err(io::Error::other)?;
                addr = addr.with_relay_url(config.url.clone());
                // From the relay we learn our own address, without which no hole is punched.
                self.endpoint.insert_relay(config.url.clone(), Arc::new(config)).await;
            }
            let open = async {
                let connection = self.endpoint.connect(addr, ALPN).await.map_err(io::Error::other)?;
                let (sink, source) = connection.open_bi().await?;
                Ok::<_, io::Error>(QuicStream { connection, source, sink })
            };
            let hopeless = contact.udp.is_empty() || self.relayed_only;
            tokio::select! {
                opened = tokio::time::timeout(OPEN_LIMIT, open) => greeted(opened??),
                denial = self.denied(), if hopeless => {
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, denial))
                }
            }
        })
    }

    /// Waits until a relay does not let us in.
    async fn denied(&self) -> String {
        let mut statuses = self.endpoint.home_relay_status();
        loop {
            if let Some(denial) = self.denial() {
                return denial;
            }
            if statuses.updated().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether a relay serves us now.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.endpoint.home_relay_status().get().iter().any(RelayStatus::is_connected)
    }

    /// What a relay says that does not let us in.
    #[must_use]
    pub fn denial(&self) -> Option<String> {
        let told = |status: &RelayStatus| {
            let host = status.url().host_str()?.to_owned();
            let reason = peerage_wire::text::printable(status.auth_denied_reason()?.as_bytes(), 200);
            Some(format!("the relay {host} does not let {} in: {reason}", self.id))
        };
        self.endpoint.home_relay_status().get().iter().find_map(told)
    }

    /// The next incoming connection, still to be opened; `None` at the end.
    pub async fn accept(&self) -> Option<QuicIncoming> {
        self.endpoint.accept().await.map(QuicIncoming)
    }

    /// Says goodbye to all.
    pub fn close(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            let _ = tokio::time::timeout(CLOSE_LIMIT, self.endpoint.close()).await;
        })
    }
}

/// An incoming connection on its way.
pub struct QuicIncoming(Incoming);

impl QuicIncoming {
    /// Proves who is at either end, and waits for the stream. With `prove_address`, an address that is not
    /// proved gets a token and nothing else (RFC 9000 section 8.1.2), for when there are too many: a peer
    /// that comes over its relay and directly at once may fail to be let in, since the token it got over
    /// one path ends the connection when it arrives by the other. Without, an unproved address gets at most
    /// three times the bytes that it sent (section 8.1).
    ///
    /// # Errors
    /// The peer closes, or takes too long.
    pub fn open(self, prove_address: bool) -> Boxed<'static, io::Result<Greeted>> {
        Box::pin(async move {
            if prove_address && !self.0.remote_addr_validated() {
                self.0.retry().map_err(io::Error::other)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let open = async {
                let connection =
                    self.0.accept().map_err(io::Error::other)?.await.map_err(io::Error::other)?;
                let (sink, source) = connection.accept_bi().await?;
                Ok::<_, io::Error>(QuicStream { connection, source, sink })
            };
            greeted(tokio::time::timeout(OPEN_LIMIT, open).await??)
        })
    }
}

fn greeted(stream: QuicStream) -> io::Result<Greeted> {
    let peer = PeerId(*stream.connection.remote_id().as_bytes());
    Ok(Greeted::authenticated(Stream::Quic(Box::new(stream)), peer))
}

fn config(relay: RelayAddr, pins: &Pins, relayed_only: bool) -> Result<RelayConfig, crate::relay::BadRelay> {
    let url: RelayUrl = relay.url.parse().map_err(|_| crate::relay::BadRelay)?;
    // Over UDP a relay tells us our address, which is of no use where it may be told to nobody.
    let quic = (!relayed_only).then(|| iroh_relay::RelayQuicConfig::new(relay.port));
    pins.add(&relay);
    Ok(RelayConfig::new(url, quic))
}

/// The suites of [`tls`], and AES-128 behind them, which QUIC's first packets need (RFC 9001 section 5.2).
fn provider() -> CryptoProvider {
    let mut provider = tls::provider();
    provider.cipher_suites.push(rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256);
    provider
}

fn bind_error(error: impl std::fmt::Display) -> QuicError {
    QuicError::Bind(error.to_string())
}

impl QuicStream {
    /// A way to ask what the connection runs on, which does not keep it open.
    #[must_use]
    pub fn path(&self) -> QuicPath {
        QuicPath(self.connection.weak_handle())
    }

    pub(super) fn split(self) -> (QuicSource, QuicSink) {
        let Self { connection, source, sink } = self;
        (QuicSource { _connection: connection.clone(), source }, QuicSink { _connection: connection, sink })
    }
}

/// Where its bytes come from.
pub(super) struct QuicSource {
    _connection: Connection,
    source: RecvStream,
}

/// Where its bytes go.
pub(super) struct QuicSink {
    _connection: Connection,
    sink: SendStream,
}

macro_rules! read_from_source {
    ($stream:ty) => {
        impl AsyncRead for $stream {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                AsyncRead::poll_read(Pin::new(&mut self.source), context, buffer)
            }
        }
    };
}
read_from_source!(QuicSource);
read_from_source!(QuicStream);

macro_rules! write_to_sink {
    ($stream:ty) => {
        impl AsyncWrite for $stream {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write(Pin::new(&mut self.sink), context, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_flush(Pin::new(&mut self.sink), context)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_shutdown(Pin::new(&mut self.sink), context)
            }
        }
    };
}
write_to_sink!(QuicSink);
write_to_sink!(QuicStream);

#[cfg(test)]
mod tests;
