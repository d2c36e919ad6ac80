//! Message stream encryption (MSE, also called PE): how BitTorrent clients hide what they speak from
//! those who sort traffic by its looks. Source: "Message Stream Encryption", Azureus wiki, version 1.0.
//!
//! ```text
//! opener                                                       listener
//!   Ya, pad                                              ->
//!                                                        <-    Yb, pad
//!   H("req1" S), H("req2" K) ^ H("req3" S),
//!   rc4(VC, methods, pad, early)                         ->
//!                                                        <-    rc4(VC, method, pad)
//!   ... the peer wire, in the method that was chosen ...
//! ```
//!
//! S is a Diffie-Hellman secret, K the info hash, VC eight zero bytes. RC4's first 1024 bytes are thrown
//! away.
//!
//! **What it does not do.** Nobody is authenticated: who knows the info hash and sits on the path reads
//! everything. RC4 is broken as a cipher, and nothing protects the bytes from being changed (pieces are
//! verified by hash all the same). It is an obfuscation. For secrecy there is TLS between Peerage nodes.
//!
//! [`Opener`] and [`Listener`] are machines: bytes in, bytes out, [`Established`] in the end.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

mod exchange;
mod listener;
mod opener;
mod rc4;
#[cfg(test)]
mod tests;

pub use exchange::Cipher;
pub use listener::Listener;
pub use opener::Opener;

/// Bytes of a public key.
pub const KEY_LEN: usize = 96;
/// Random bytes that may follow or precede each part.
pub const PAD_MAX: usize = 512;

/// How the peer wire goes on after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// In plain: only the start is hidden.
    Plain,
    /// In RC4, both ways.
    Rc4,
}

impl Method {
    fn bit(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Rc4 => 2,
        }
    }
}

/// Methods that one side offers or accepts, the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Plain if the other side has it, else RC4.
    PlainFirst,
    /// RC4 if the other side has it, else plain.
    Rc4First,
    /// RC4 alone.
    Rc4Only,
}

impl Methods {
    fn in_order(self) -> &'static [Method] {
        match self {
            Self::PlainFirst => &[Method::Plain, Method::Rc4],
            Self::Rc4First => &[Method::Rc4, Method::Plain],
            Self::Rc4Only => &[Method::Rc4],
        }
    }

    fn bits(self) -> u32 {
        self.in_order().iter().fold(0, |bits, method| bits | method.bit())
    }
}

/// The handshake is done.
#[derive(Debug)]
pub struct Established {
    /// How to go on.
    pub method: Method,
    /// The info hash that both sides know.
    pub info_hash: [u8; 20],
    /// For what we send and what we receive, when the method is [`Method::Rc4`].
    pub ciphers: Option<Ciphers>,
    /// What the peer already said on the wire, in plain.
    pub early: Vec<u8>,
}

/// The state of RC4 in each direction.
#[derive(Debug)]
pub struct Ciphers {
    /// For what we send.
    pub send: Cipher,
    /// For what we receive.
    pub receive: Cipher,
}

/// Why a handshake fails. The connection must be closed; nothing may be said in plain instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A public key with which the secret would be no secret.
    #[error("its public key is degenerate")]
    WeakKey,
    /// What must follow the padding does not.
    #[error("its answer does not fit the key exchange: another protocol, or another torrent")]
    NoSync,
    /// None of the info hashes that we know.
    #[error("it wants a torrent that is not shared here")]
    UnknownTorrent,
    /// The verification constant is not zero.
    #[error("its first encrypted bytes are wrong")]
    BadConstant,
    /// No method that we accept, or not one of those that we offered.
    #[error("no common encryption method")]
    NoMethod,
    /// More padding than allowed.
    #[error("its padding is longer than {PAD_MAX} bytes")]
    LongPad,
}

/// What a machine says after it took bytes in.
#[derive(Debug)]
pub enum Progress {
    /// It needs more. What it wants sent now may be empty.
    Send(Vec<u8>),
    /// It is done, after these bytes are sent.
    Done(Vec<u8>, Established),
}
