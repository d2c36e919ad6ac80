//! The first bytes of a connection: plain, or message stream encryption.

use std::io;

use peerage_base::Rng;
use peerage_wire::mse::{self, Ciphers, Established, Listener, Method, Methods, Opener, Progress, Start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes received at once.
const READ_LEN: usize = 2048;

/// A stream on which the peer wire begins.
#[derive(Debug)]
pub struct Greeted {
    /// The socket.
    pub stream: TcpStream,
    /// How to read and write it; `None`: as it is.
    pub ciphers: Option<Ciphers>,
    /// What came in already, decrypted.
    pub early: Vec<u8>,
    /// The info hash of an encrypted start. The handshake of BEP 3 must name the same.
    pub info_hash: Option<[u8; 20]>,
    /// How an encrypted start went on.
    pub method: Option<Method>,
}

impl Greeted {
    /// Nothing but the socket.
    #[must_use]
    pub fn plain(stream: TcpStream) -> Self {
        Self { stream, ciphers: None, early: Vec::new(), info_hash: None, method: None }
    }

    fn encrypted(stream: TcpStream, done: Established) -> Self {
        let Established { method, info_hash, ciphers, early } = done;
        Self { stream, ciphers, early, info_hash: Some(info_hash), method: Some(method) }
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
}

/// What is let in.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Whether a plain start is.
    pub plain: bool,
    /// How an encrypted one may go on.
    pub methods: Methods,
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

/// Tells how an incoming connection begins, and does its part. The caller limits the time.
///
/// # Errors
/// The peer closes, speaks neither protocol, or is not admitted.
pub async fn greet(mut stream: TcpStream, admission: Admission, rng: Rng) -> Result<Greeted, GreetError> {
    let mut first = Vec::new();
    let encrypted = loop {
        match mse::start(&first) {
            Start::Plain => break false,
            Start::Encrypted => break true,
            Start::Unknown => first.extend(read_some(&mut stream).await?),
        }
    };
    if !encrypted {
        return match admission.plain {
            true => Ok(Greeted { early: first, ..Greeted::plain(stream) }),
            false => Err(GreetError::Plain),
        };
    }
    let mut listener = Listener::new(admission.known, admission.methods, rng);
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
mod tests;
