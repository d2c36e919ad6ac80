//! Local service discovery (BEP 14): who on the local network takes part in which torrents.
//!
//! One datagram to a multicast group, in the dress of an HTTP request:
//!
//! ```text
//! BT-SEARCH * HTTP/1.1\r\n
//! Host: 239.192.152.143:6771\r\n
//! Port: 6881\r\n
//! Infohash: 0123456789abcdef0123456789abcdef01234567\r\n     (one line each)
//! cookie: any text\r\n                                       (to know oneself again)
//! \r\n
//! \r\n
//! ```
//!
//! Programs differ in the case of names and in the number of blank lines: both are read leniently. What is
//! no infohash of 20 bytes is passed over, since later versions may name others.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use peerage_base::limits::{LSD_BYTES_MAX, LSD_COOKIE_BYTES_MAX, LSD_HASHES_MAX};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The port of both groups (BEP 14).
pub const PORT: u16 = 6771;

/// The group of IPv4, of the scope of an organisation (BEP 14).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);

/// The group of IPv6, of the scope of a site (BEP 14).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);

/// Lines of a datagram; the rest is not read.
const LINES_MAX: usize = 64;

/// What one datagram says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announce {
    /// Where the sender accepts connections, at the address from which the datagram comes. Never 0.
    pub port: u16,
    /// What it takes part in: 1 to [`LSD_HASHES_MAX`].
    pub info_hashes: Vec<[u8; 20]>,
    /// What the sender knows itself by.
    pub cookie: Option<String>,
}

/// What is no announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LsdError {
    /// More than [`LSD_BYTES_MAX`].
    #[error("longer than {LSD_BYTES_MAX} bytes")]
    TooLong,
    /// It begins otherwise, or is no text.
    #[error("not a BT-SEARCH")]
    NotLsd,
    /// No port, or none that can be.
    #[error("it names no port")]
    NoPort,
    /// No infohash of 20 bytes.
    #[error("it names no infohash")]
    NoHash,
    /// More than [`LSD_HASHES_MAX`].
    #[error("more than {LSD_HASHES_MAX} infohashes")]
    TooManyHashes,
}

impl Announce {
    /// The datagram to `group`. Of a cookie and of infohashes beyond what fits, nothing is sent.
    #[must_use]
    pub fn encode(&self, group: IpAddr) -> Vec<u8> {
        let mut text = String::with_capacity(LSD_BYTES_MAX);
        let host = SocketAddr::new(group, PORT);
        // Writing to a string never fails.
        let _ = write!(text, "BT-SEARCH * HTTP/1.1\r\nHost: {host}\r\nPort: {}\r\n", self.port);
        for hash in self.info_hashes.iter().take(LSD_HASHES_MAX) {
            text.push_str("Infohash: ");
            hash.iter().for_each(|byte| _ = write!(text, "{byte:02x}"));
            text.push_str("\r\n");
        }
        if let Some(cookie) = self.cookie.as_deref().filter(|cookie| is_cookie(cookie)) {
            let _ = write!(text, "cookie: {cookie}\r\n");
        }
        text.push_str("\r\n\r\n");
        text.into_bytes()
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// See [`LsdError`].
    pub fn decode(datagram: &[u8]) -> Result<Self, LsdError> {
        if datagram.len() > LSD_BYTES_MAX {
            return Err(LsdError::TooLong);
        }
        let text = str::from_utf8(datagram).map_err(|_| LsdError::NotLsd)?;
        let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r')).take(LINES_MAX);
        if !lines.next().is_some_and(|line| line.starts_with("BT-SEARCH * HTTP/1.")) {
            return Err(LsdError::NotLsd);
        }
        let (mut port, mut announce) = (None, Self::default());
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("port") {
                port = port.or(value.parse().ok());
            } else if name.eq_ignore_ascii_case("cookie") && is_cookie(value) {
                announce.cookie = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("infohash")
                && let Some(hash) = parse_hash(value)
                && !announce.info_hashes.contains(&hash)
            {
                if announce.info_hashes.len() >= LSD_HASHES_MAX {
                    return Err(LsdError::TooManyHashes);
                }
                announce.info_hashes.push(hash);
            }
        }
        announce.port = port.filter(|port| *port != 0).ok_or(LsdError::NoPort)?;
        if announce.info_hashes.is_empty() { Err(LsdError::NoHash) } else { Ok(announce) }
    }
}

fn is_cookie(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LSD_COOKIE_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && text.trim() == text
}

/// Forty hexadecimal digits.
fn parse_hash(text: &str) -> Option<[u8; 20]> {
    if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 20];
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of BEP 14, as libtorrent 2 and transmission 4 write it.
    const THEIRS: &str = "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: 0123456789ABCDEF0123456789abcdef01234567\r\ncookie: 7f3a\r\n\r\n\r\n";

    fn hash() -> [u8; 20] {
        parse_hash("0123456789abcdef0123456789abcdef01234567").unwrap()
    }

    #[test]
    fn the_example_of_the_bep_is_read_and_written() {
        let announce = Announce { port: 6881, info_hashes: vec![hash()], cookie: Some("7f3a".into()) };
        assert_eq!(Announce::decode(THEIRS.as_bytes()).as_ref(), Ok(&announce));
        assert_eq!(
            announce.encode(GROUP_V4.into()),
            THEIRS
                .to_lowercase()
                .replace("bt-search", "BT-SEARCH")
                .replace("http", "HTTP")
                .replace("host", "Host")
                .replace("port", "Port")
                .replace("infohash", "Infohash")
                .into_bytes()
        );
        let v6 = String::from_utf8(announce.encode(GROUP_V6.into())).unwrap();
        assert!(v6.contains("Host: [ff15::efc0:988f]:6771\r\n"), "{v6}");
    }

    #[test]
    fn what_deployed_programs_vary_is_read() {
        for text in [
            THEIRS.replace("\r\n", "\n"),
            THEIRS.replace("Infohash", "INFOHASH").replace("Port:", "port :"),
            THEIRS.replace("cookie: 7f3a\r\n", "cookie: 7f3a\r\nUnknown: x\r\nno colon\r\n"),
            THEIRS.replace("Port: 6881", "Port: 6881\r\nInfohash: of another version\r\nPort: 5"),
            THEIRS.trim_end().to_owned(),
        ] {
            let read = Announce::decode(text.as_bytes()).unwrap();
            assert_eq!((read.port, read.info_hashes), (6881, vec![hash()]), "{text}");
        }
        let long = THEIRS.replace("7f3a", &"x".repeat(LSD_COOKIE_BYTES_MAX + 1));
        assert_eq!(Announce::decode(long.as_bytes()).unwrap().cookie, None);
    }

    #[test]
    fn what_is_no_announce_is_refused_by_name() {
        let cases = [
            (String::new(), LsdError::NotLsd),
            ("M-SEARCH * HTTP/1.1\r\n\r\n".into(), LsdError::NotLsd),
            (THEIRS.replace("6881", "0"), LsdError::NoPort),
            (THEIRS.replace("6881", "65536"), LsdError::NoPort),
            (THEIRS.replace("6881", "-1"), LsdError::NoPort),
            (THEIRS.replace("Port: 6881\r\n", ""), LsdError::NoPort),
            (THEIRS.replace("4567\r\n", "45\r\n"), LsdError::NoHash),
            (THEIRS.replace("4567\r\n", "45é7\r\n"), LsdError::NoHash),
            (format!("{THEIRS}{}", " ".repeat(LSD_BYTES_MAX)), LsdError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(Announce::decode(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(Announce::decode(b"BT-SEARCH * HTTP/1.1\r\n\xff"), Err(LsdError::NotLsd));
        // Short lines would let more in than one of our own datagrams has.
        let many: String = (0..=LSD_HASHES_MAX).map(|n| format!("Infohash:{n:040x}\n")).collect();
        let many = format!("BT-SEARCH * HTTP/1.1\nPort:1\n{many}");
        assert_eq!(Announce::decode(many.as_bytes()), Err(LsdError::TooManyHashes));
    }

    #[test]
    fn the_longest_of_ours_fits() {
        let info_hashes = (0..40).map(|n| [n; 20]).collect();
        let announce = Announce { port: 65_535, info_hashes, cookie: Some("c".repeat(LSD_COOKIE_BYTES_MAX)) };
        let bytes = announce.encode(GROUP_V6.into());
        assert!(bytes.len() <= LSD_BYTES_MAX, "{}", bytes.len());
        assert_eq!(Announce::decode(&bytes).unwrap().info_hashes.len(), LSD_HASHES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(port in 1..=u16::MAX, hashes in prop::collection::btree_set(any::<[u8; 20]>(), 1..=LSD_HASHES_MAX), cookie in "[!-~]{1,64}") {
            let announce = Announce { port, info_hashes: hashes.into_iter().collect(), cookie: Some(cookie) };
            prop_assert_eq!(Announce::decode(&announce.encode(GROUP_V4.into())), Ok(announce));
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Announce::decode(&[b"BT-SEARCH * HTTP/1.1\r\n", &bytes[..]].concat());
        }
    }
}
