//! What the two ends of a code say to each other.
//!
//! | from | bytes | what |
//! |---|---|---|
//! | getter | 1 + 33 | version 1, and its half of SPAKE2 |
//! | sharer | 33 | its half |
//! | getter | 32 | proof that it has the same key: HMAC-SHA-256 under a key derived for that |
//! | sharer | 2 + n + 16 | the link's length, and the link, sealed with ChaCha20-Poly1305 under another |
//!
//! The sharer says nothing under the key before the getter's proof, so each guess costs a contact.

use std::io;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Code;

const VERSION: u8 = 1;
/// A side and a point.
const HALF_LEN: usize = 33;
const PROOF_LEN: usize = 32;
const TAG_LEN: usize = 16;
const PROOF_TEXT: &[u8] = b"the getter has the key";
/// Bytes of a link that is handed over.
pub const LINK_BYTES_MAX: usize = 16 * 1024;

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The other end has other words.
    #[error("the other side has other words: say the code again")]
    WrongWords,
    /// The other end speaks something else.
    #[error("what waits there speaks something else")]
    Garbage,
    /// The link is longer than [`LINK_BYTES_MAX`].
    #[error("the link is too long to be handed over by a code")]
    TooLong,
    /// The connection broke.
    #[error("the exchange broke off: {0}")]
    Io(#[from] io::Error),
}

/// Keys that only who knows the words has.
struct Keys {
    proof: hmac::Key,
    link: LessSafeKey,
}

impl Keys {
    fn new(secret: &[u8]) -> Result<Self, ExchangeError> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"peerage code 1").extract(secret);
        let impossible = |_| ExchangeError::Garbage;
        let proof = root.expand(&[b"proof"], hmac::HMAC_SHA256).map_err(impossible)?.into();
        let link = root.expand(&[b"link"], &CHACHA20_POLY1305).map_err(impossible)?;
        Ok(Self { proof, link: LessSafeKey::new(UnboundKey::from(link)) })
    }
}

/// The same for both, and for one place only.
fn parties(code: &Code) -> (Password, Identity, Identity) {
    let name = |side: &str| Identity::new(format!("peerage code 1, place {}, {side}", code.place).as_bytes());
    (Password::new(code.words.join("-")), name("getter"), name("sharer"))
}

/// A key is used for one message.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// The sharer's side.
pub(super) async fn give<S>(stream: &mut S, code: &Code, link: &str) -> Result<(), ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let len = u16::try_from(link.len()).ok().filter(|len| usize::from(*len) <= LINK_BYTES_MAX);
    let len = len.ok_or(ExchangeError::TooLong)?;
    let (password, getter, sharer) = parties(code);
    let mut first = [0; 1 + HALF_LEN];
    stream.read_exact(&mut first).await?;
    let [version, theirs @ ..] = &first;
    if *version != VERSION {
        return Err(ExchangeError::Garbage);
    }
    let (state, ours) = Spake2::<Ed25519Group>::start_b(&password, &getter, &sharer);
    let keys = Keys::new(&state.finish(theirs).map_err(|_| ExchangeError::Garbage)?)?;
    stream.write_all(&ours).await?;
    stream.flush().await?;
    let mut proof = [0; PROOF_LEN];
    // Who goes away now has seen nothing under the key, and learned nothing.
    stream.read_exact(&mut proof).await?;
    if hmac::verify(&keys.proof, PROOF_TEXT, &proof).is_err() {
        return Err(ExchangeError::WrongWords);
    }
    let mut sealed = link.as_bytes().to_vec();
    let sealing = keys.link.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed);
    sealing.map_err(|_| ExchangeError::TooLong)?;
    stream.write_all(&len.to_be_bytes()).await?;
    stream.write_all(&sealed).await?;
    stream.shutdown().await?;
    // The other end closes when it has read all; a connection that is dropped before may lose the end.
    let _ = stream.read_u8().await;
    Ok(())
}

/// The getter's side. Returns the link.
pub(super) async fn take<S>(stream: &mut S, code: &Code) -> Result<String, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (password, getter, sharer) = parties(code);
    let (state, ours) = Spake2::<Ed25519Group>::start_a(&password, &getter, &sharer);
    stream.write_all(&[&[VERSION], &ours[..]].concat()).await?;
    stream.flush().await?;
    let mut theirs = [0; HALF_LEN];
    stream.read_exact(&mut theirs).await?;
    let keys = Keys::new(&state.finish(&theirs).map_err(|_| ExchangeError::Garbage)?)?;
    stream.write_all(hmac::sign(&keys.proof, PROOF_TEXT).as_ref()).await?;
    stream.flush().await?;
    // A sharer with other words says nothing more.
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => ExchangeError::Io(error),
        _ => ExchangeError::WrongWords,
    };
    let len = usize::from(stream.read_u16().await.map_err(refused)?);
    if len > LINK_BYTES_MAX {
        return Err(ExchangeError::Garbage);
    }
    let mut sealed = vec![0; len + TAG_LEN];
    stream.read_exact(&mut sealed).await?;
    let link = keys.link.open_in_place(nonce(), Aad::empty(), &mut sealed);
    let link = link.map_err(|_| ExchangeError::WrongWords)?;
    String::from_utf8(link.to_vec()).map_err(|_| ExchangeError::Garbage)
}
