//! How a connection begins: its first bytes tell what is spoken on it.
//!
//! One port serves the plain peer wire (BEP 3), message stream encryption ([`crate::mse`]) and TLS.

use crate::handshake::PROTOCOL;

/// Where a TLS record has the type of the handshake message in it (RFC 8446 sections 4, 5.1).
const TLS_MESSAGE_AT: usize = 5;
/// Bytes of a TLS record at most (RFC 8446 section 5.1), so its length begins with at most 0x40.
const TLS_RECORD_LEN_MAX: u8 = 0x40;

/// What the first bytes of an incoming connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// More bytes are needed to tell.
    Unknown,
    /// The handshake of BEP 3.
    Plain,
    /// A TLS client's hello.
    Tls,
    /// Anything else, which may be an encrypted start: that looks like noise.
    Encrypted,
}

/// Tells the starts apart. Noise looks like TLS once in 2^38 times, and then its sender tries again.
#[must_use]
pub fn start(first: &[u8]) -> Start {
    let len = first.len().min(PROTOCOL.len());
    if first.get(..len) == PROTOCOL.get(..len) {
        return if len == PROTOCOL.len() { Start::Plain } else { Start::Unknown };
    }
    // A handshake record, of a version 3.x, that begins with a client's hello.
    let like_tls = first.iter().zip(0..=TLS_MESSAGE_AT).all(|(byte, at)| match at {
        0 => *byte == 22,
        1 => *byte == 3,
        2 => matches!(byte, 1 | 3),
        3 => *byte <= TLS_RECORD_LEN_MAX,
        TLS_MESSAGE_AT => *byte == 1,
        _ => true,
    });
    match like_tls {
        true if first.len() > TLS_MESSAGE_AT => Start::Tls,
        true => Start::Unknown,
        false => Start::Encrypted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_is_told_as_soon_as_it_can_be() {
        let plain = b"\x13BitTorrent protocol\0\0";
        let tls = [22, 3, 1, 2, 0, 1, 0, 1, 252];
        for (bytes, what, from) in [(&plain[..], Start::Plain, 20), (&tls[..], Start::Tls, 6)] {
            for len in 0..bytes.len() {
                let expected = if len < from { Start::Unknown } else { what };
                assert_eq!(start(&bytes[..len]), expected, "{len} bytes of {what:?}");
            }
        }
    }

    #[test]
    fn all_else_may_be_encrypted() {
        for bytes in [&b"\x13bitTorrent"[..], b"GET / HTTP/1.1", &[22, 2], &[22, 3, 2], &[22, 3, 1, 0x41]] {
            assert_eq!(start(bytes), Start::Encrypted, "{bytes:?}");
        }
        assert_eq!(start(&[22, 3, 1, 0, 9, 2]), Start::Encrypted, "a record that is no client's hello");
    }
}
