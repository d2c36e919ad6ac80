//! The first bytes of a connection: plain, message stream encryption, or TLS.

use std::io;
use std::time::Duration;

use peerage_base::{PeerId, Rng};
use peerage_wire::mse::{self, Ciphers, Established, Listener, Method, Methods, Opener, Progress};
use peerage_wire::start::{Start, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Stream, Tls};

/// Bytes received at once.
const READ_LEN: usize = 2048;

/// A stream on which the peer wire begins.
#[derive(Debug)]
pub struct Greeted {
    /// Its bytes.
    pub stream: Stream,
    /// How to read and write them; `None`: as they are.
    pub ciphers: Option<Ciphers>,
    /// What came in already, decrypted.
    pub early: Vec<u8>,
    /// The info hash of an encrypted start. The handshake of BEP 3 must name the same.
    pub info_hash: Option<[u8; 20]>,
    /// How an encrypted start went on.
    pub method: Option<Method>,
    /// Who the other end has shown to be.
    pub peer: Option<PeerId>,
    /// From the dial to the open connection: one way there and back.
    pub rtt: Option<Duration>,
}

impl Greeted {
    /// Nothing but the socket.
    #[must_use]
    pub fn plain(stream: TcpStream) -> Self {
        let stream = Stream::Tcp(stream);
        Self {
            stream,
            ciphers: None,
            early: Vec::new(),
            info_hash: None,
            method: None,
            peer: None,
            rtt: None,
        }
    }

    fn encrypted(stream: TcpStream, done: Established) -> Self {
        let Established { method, info_hash, ciphers, early } = done;
        let plain = Self::plain(stream);
        Self { ciphers, early, info_hash: Some(info_hash), method: Some(method), ..plain }
    }

    fn authenticated(stream: Stream, peer: PeerId) -> Self {
        let (early, peer) = (Vec::new(), Some(peer));
        Self { stream, ciphers: None, early, info_hash: None, method: None, peer, rtt: None }
    }
}

/// Why a connection does not get as far as the peer wire.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// What the system says; the peer closing is `UnexpectedEof`.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The encrypted start failed.
    #[error("encryption: {0}")]
    Encryption(#[from] mse::Error),
    /// It speaks in plain, and encryption is required.
    #[error("it does not encrypt, and encryption is required here")]
    Plain,
    /// It starts in a way that is switched off.
    #[error("it starts with {0}, which is switched off here")]
    Off(&'static str),
}

/// What is let in.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Whether a plain start is.
    pub plain: bool,
    /// How a start with message stream encryption may go on; `None`: it is not let in.
    pub encrypted: Option<Methods>,
    /// What accepts TLS; `None`: it is not let in.
    pub tls: Option<Tls>,
    /// The torrents that it may be about.
    pub known: Vec<[u8; 20]>,
}

/// Encrypts a connection that we opened. The caller limits the time.
///
/// # Errors
/// The peer closes, or does not speak this protocol.
pub async fn encrypt(
    mut stream: TcpStream,
    info_hash: [u8; 20],
    methods: Methods,
    rng: Rng,
) -> Result<Greeted, GreetError> {
    let (mut opener, first) = Opener::new(info_hash, methods, Vec::new(), rng);
    stream.write_all(&first).await?;
    loop {
        let bytes = read_some(&mut stream).await?;
        if let Some(done) = answer(&mut stream, opener.receive(&bytes)?).await? {
            return Ok(Greeted::encrypted(stream, done));
        }
    }
}

/// Opens TLS on a connection that we dialled. The other end must be `peer`, where one is named. The caller
/// limits the time.
///
/// # Errors
/// The other end closes, is somebody else, or does not speak this.
pub async fn authenticate(stream: TcpStream, peer: Option<PeerId>, tls: &Tls) -> Result<Greeted, GreetError> {
    let (session, peer) = tls.connect(stream, peer).await?;
    Ok(Greeted::authenticated(Stream::Tls(Box::new(session)), peer))
}

/// Tells how an incoming connection begins, and does its part. The caller limits the time.
///
/// # Errors
/// The peer closes, speaks neither protocol, or is not admitted.
pub async fn greet(mut stream: TcpStream, admission: Admission, rng: Rng) -> Result<Greeted, GreetError> {
    let mut first = Vec::new();
    let begun = loop {
        match start(&first) {
            Start::Unknown => first.extend(read_some(&mut stream).await?),
            begun => break begun,
        }
    };
    let methods = match (begun, admission.encrypted) {
        (Start::Unknown | Start::Plain, _) if admission.plain => {
            return Ok(Greeted { early: first, ..Greeted::plain(stream) });
        }
        (Start::Unknown | Start::Plain, _) => return Err(GreetError::Plain),
        (Start::Tls, _) => {
            let tls = admission.tls.ok_or(GreetError::Off("TLS"))?;
            let (session, peer) = tls.accept(stream, first).await?;
            return Ok(Greeted::authenticated(Stream::Tls(Box::new(session)), peer));
        }
        (Start::Encrypted, None) => return Err(GreetError::Off("message stream encryption")),
        (Start::Encrypted, Some(methods)) => methods,
    };
    let mut listener = Listener::new(admission.known, methods, rng);
    loop {
        if let Some(done) = answer(&mut stream, listener.receive(&first)?).await? {
            return Ok(Greeted::encrypted(stream, done));
        }
        first = read_some(&mut stream).await?;
    }
}

/// The machines bound what they read; each read is small.
async fn read_some(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; READ_LEN];
    let len = stream.read(&mut bytes).await?;
    bytes.truncate(len);
    if bytes.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

async fn answer(stream: &mut TcpStream, progress: Progress) -> io::Result<Option<Established>> {
    let (bytes, done) = match progress {
        Progress::Send(bytes) => (bytes, None),
        Progress::Done(bytes, done) => (bytes, Some(done)),
    };
    stream.write_all(&bytes).await?;
    Ok(done)
}

#[cfg(test)]
pub(super) mod tests;
