//! Where a participant can be reached.

use crate::PeerId;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// Addresses of one kind in a contact.
pub const CONTACT_ADDRS_MAX: usize = 8;

/// Bytes of a relay's URL.
pub const RELAY_URL_BYTES_MAX: usize = 256;

/// A participant and where it can be reached. Its text is `ID,tcp/ADDR:PORT,udp/ADDR:PORT,relay/URL`,
/// each address as often as there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Who.
    pub id: PeerId,
    /// Where it takes TLS over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Where it takes QUIC.
    pub udp: Vec<SocketAddr>,
    /// The relay through which it can be reached from anywhere: an `https:` or `http:` URL.
    pub relay: Option<String>,
}

impl Contact {
    /// Somebody of whom no address is known.
    #[must_use]
    pub fn new(id: PeerId) -> Self {
        Self { id, tcp: Vec::new(), udp: Vec::new(), relay: None }
    }
}

/// The range of [`placeholder`]: what is sent there is discarded (RFC 6666).
const PLACEHOLDERS: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];

/// What stands for a peer in tables of addresses when its road has none: never dialled as it is, and never
/// told to others.
#[must_use]
pub fn placeholder(id: PeerId) -> SocketAddr {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&PLACEHOLDERS);
    octets[8..].copy_from_slice(&id.0[..8]);
    SocketAddr::new(Ipv6Addr::from(octets).into(), 1)
}

/// Whether an address is a [`placeholder`].
#[must_use]
pub fn is_placeholder(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.octets().starts_with(&PLACEHOLDERS))
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.tcp.iter().try_for_each(|addr| write!(f, ",tcp/{addr}"))?;
        self.udp.iter().try_for_each(|addr| write!(f, ",udp/{addr}"))?;
        self.relay.iter().try_for_each(|url| write!(f, ",relay/{url}"))
    }
}

impl FromStr for Contact {
    type Err = BadContact;

    /// Parts of an unknown kind are passed over, and so are addresses beyond [`CONTACT_ADDRS_MAX`].
    fn from_str(text: &str) -> Result<Self, BadContact> {
        let mut parts = text.split(',');
        let mut contact = Self::new(parts.next().unwrap_or_default().parse()?);
        for part in parts {
            let Some((kind, value)) = part.split_once('/') else { continue };
            match kind {
                "tcp" => push(&mut contact.tcp, value)?,
                "udp" => push(&mut contact.udp, value)?,
                "relay" if is_relay(value) => contact.relay = Some(value.to_owned()),
                "relay" => return Err(BadContact),
                _ => {}
            }
        }
        Ok(contact)
    }
}

fn push(addrs: &mut Vec<SocketAddr>, text: &str) -> Result<(), BadContact> {
    let addr: SocketAddr = text.parse().map_err(|_| BadContact)?;
    if addr.port() == 0 {
        return Err(BadContact);
    }
    if addrs.len() < CONTACT_ADDRS_MAX && !addrs.contains(&addr) {
        addrs.push(addr);
    }
    Ok(())
}

fn is_relay(url: &str) -> bool {
    let scheme = url.starts_with("https://") || url.starts_with("http://");
    scheme && url.len() <= RELAY_URL_BYTES_MAX && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Text that does not say who can be reached where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a contact: ID,tcp/ADDR:PORT,udp/ADDR:PORT,relay/URL")]
pub struct BadContact;

impl From<crate::id::BadPeerId> for BadContact {
    fn from(_: crate::id::BadPeerId) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> Contact {
        Contact {
            id: PeerId([7; 32]),
            tcp: vec!["192.0.2.1:6881".parse().unwrap(), "[2001:db8::1]:6881".parse().unwrap()],
            udp: vec!["192.0.2.1:40000".parse().unwrap()],
            relay: Some("https://relay.example:8443".to_owned()),
        }
    }

    #[test]
    fn text_both_ways() {
        let text = contact().to_string();
        assert!(text.ends_with(
            ",tcp/192.0.2.1:6881,tcp/[2001:db8::1]:6881,udp/192.0.2.1:40000,relay/https://relay.example:8443"
        ));
        assert_eq!(text.parse(), Ok(contact()));
        let alone = Contact::new(PeerId([9; 32]));
        assert_eq!(alone.to_string().parse(), Ok(alone.clone()));
        assert_eq!(format!("{alone},later/version,and").parse(), Ok(alone));
    }

    #[test]
    fn a_placeholder_is_no_address_of_a_host() {
        let (a, b) = (placeholder(PeerId([7; 32])), placeholder(PeerId([8; 32])));
        assert!(a != b && is_placeholder(a.ip()));
        assert!(!is_placeholder("2001:db8::1".parse().unwrap()) && !is_placeholder([1, 0, 0, 0].into()));
    }

    #[test]
    fn what_is_no_contact_is_refused() {
        let id = PeerId([7; 32]).to_string();
        for text in [
            "",
            "abc",
            &id[1..],
            &format!("{id}a"),
            &format!("{id},tcp/1.2.3.4"),
            &format!("{id},tcp/1.2.3.4:0"),
            &format!("{id},udp/host:5"),
            &format!("{id},relay/ftp://x"),
            &format!("{id},relay/https://a b"),
            &format!("{id},relay/https://{}", "x".repeat(RELAY_URL_BYTES_MAX)),
        ] {
            assert_eq!(text.parse::<Contact>(), Err(BadContact), "{text}");
        }
    }

    #[test]
    fn no_more_addresses_are_kept_than_are_of_use() {
        let many: String = (1..100).map(|port| format!(",tcp/192.0.2.1:{port}")).collect();
        let contact: Contact = format!("{}{many}", PeerId([7; 32])).parse().unwrap();
        assert_eq!(contact.tcp.len(), CONTACT_ADDRS_MAX);
    }
}
