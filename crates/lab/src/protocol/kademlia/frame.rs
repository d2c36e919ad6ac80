//! The frames of the lab's Kademlia: a fixed layout, big-endian.
//!
//! ```text
//! kind (1)  transaction (4)  search (4)  sender's key (20)  body
//!   0 ping      -
//!   1 find      target (20)
//!   2 get       target (20)
//! 128 nodes     contacts: key (20), IPv4 address (4), port (2), each
//! 129 value     the value
//! ```
//!
//! `search` is the number of the search that a question is for, `FFFFFFFF` for upkeep; the answer repeats it.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::{NodeId, SearchId};
use peerage_base::Key;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Contacts of one answer, at most.
pub const CONTACTS_MAX: usize = 32;

/// Bytes of a value, at most.
pub const VALUE_BYTES_MAX: usize = 1000;

const HEADER: usize = 29;
const CONTACT: usize = 26;
const NO_SEARCH: u32 = u32::MAX;
const PORT: u16 = 7731;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Chosen by who asks, repeated by who answers.
    pub transaction: u32,
    /// For which search.
    pub search: Option<SearchId>,
    /// The sender's key.
    pub key: Key<20>,
    /// What it says.
    pub body: Body<'a>,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Are you there?
    Ping,
    /// Who is close to this key?
    Find(Key<20>),
    /// What is kept under this key? If nothing: who is close to it?
    Get(Key<20>),
    /// These.
    Nodes(Contacts<'a>),
    /// This.
    Value(&'a [u8]),
}

/// Contacts within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contacts<'a>(&'a [u8]);

impl Contacts<'_> {
    /// Each: its key, and who it is.
    pub fn iter(&self) -> impl Iterator<Item = (Key<20>, NodeId)> + Clone {
        let contacts = self.0.as_chunks::<CONTACT>().0;
        contacts.iter().filter_map(|contact| {
            let (key, addr) = contact.split_first_chunk::<20>()?;
            let (ip, port) = addr.split_first_chunk::<4>()?;
            let addr = SocketAddrV4::new(Ipv4Addr::from(*ip), u16::from_be_bytes(port.try_into().ok()?));
            Some((Key(*key), node_at(addr.into())?))
        })
    }
}

/// A node's address: one of 10.0.0.0/8, for which the look-up has no limits on networks, as the paper has none.
#[must_use]
pub fn addr_of(node: NodeId) -> SocketAddr {
    SocketAddrV4::new(Ipv4Addr::from(10 << 24 | node.0 & 0x00FF_FFFF), PORT).into()
}

/// The node at an address.
#[must_use]
pub fn node_at(addr: SocketAddr) -> Option<NodeId> {
    let SocketAddr::V4(addr) = addr else { return None };
    let ip = u32::from(*addr.ip());
    (ip >> 24 == 10 && addr.port() == PORT).then_some(NodeId(ip & 0x00FF_FFFF))
}

fn header(out: &mut Vec<u8>, kind: u8, transaction: u32, search: Option<SearchId>, key: &Key<20>) {
    out.push(kind);
    out.extend_from_slice(&transaction.to_be_bytes());
    out.extend_from_slice(&search.map_or(NO_SEARCH, |search| search.0).to_be_bytes());
    out.extend_from_slice(&key.0);
}

/// Writes a frame that is no list of nodes.
pub fn encode(out: &mut Vec<u8>, message: &Message<'_>) {
    let (kind, body): (u8, &[u8]) = match &message.body {
        Body::Ping => (0, &[]),
        Body::Find(target) => (1, &target.0),
        Body::Get(target) => (2, &target.0),
        Body::Nodes(contacts) => (128, contacts.0),
        Body::Value(value) => (129, value),
    };
    header(out, kind, message.transaction, message.search, &message.key);
    out.extend_from_slice(body);
}

/// Writes an answer that names nodes.
pub fn encode_nodes(
    out: &mut Vec<u8>,
    transaction: u32,
    search: Option<SearchId>,
    key: &Key<20>,
    nodes: impl Iterator<Item = (Key<20>, NodeId)>,
) {
    header(out, 128, transaction, search, key);
    for (key, node) in nodes.take(CONTACTS_MAX) {
        out.extend_from_slice(&key.0);
        out.extend_from_slice(&(10 << 24 | node.0 & 0x00FF_FFFF).to_be_bytes());
        out.extend_from_slice(&PORT.to_be_bytes());
    }
}

/// Reads a frame; `None` where it is none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Message<'_>> {
    let (header, body) = bytes.split_first_chunk::<HEADER>()?;
    let (kind, header) = header.split_first()?;
    let (transaction, header) = header.split_first_chunk::<4>()?;
    let (search, key) = header.split_first_chunk::<4>()?;
    let search = Some(u32::from_be_bytes(*search)).filter(|search| *search != NO_SEARCH).map(SearchId);
    let target = || body.try_into().ok().map(Key);
    let body = match kind {
        0 => body.is_empty().then_some(Body::Ping)?,
        1 => Body::Find(target()?),
        2 => Body::Get(target()?),
        128 => {
            let whole = body.len() % CONTACT == 0 && body.len() / CONTACT <= CONTACTS_MAX;
            whole.then_some(Body::Nodes(Contacts(body)))?
        }
        129 => (body.len() <= VALUE_BYTES_MAX).then_some(Body::Value(body))?,
        _ => return None,
    };
    Some(Message {
        transaction: u32::from_be_bytes(*transaction),
        search,
        key: Key(key.try_into().ok()?),
        body,
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test knows its lengths")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_both_ways() {
        let key = Key([7; 20]);
        for body in [Body::Ping, Body::Find(Key([1; 20])), Body::Get(Key([2; 20])), Body::Value(b"value")] {
            for search in [None, Some(SearchId(5))] {
                let message = Message { transaction: 9, search, key, body };
                let mut out = Vec::new();
                encode(&mut out, &message);
                assert_eq!(decode(&out), Some(message));
            }
        }
        let nodes: Vec<(Key<20>, NodeId)> =
            (0..40).map(|n| (Key([n; 20]), NodeId(u32::from(n) * 70_000))).collect();
        let mut out = Vec::new();
        encode_nodes(&mut out, 3, None, &key, nodes.iter().copied());
        let Some(Message { body: Body::Nodes(contacts), .. }) = decode(&out) else { panic!("no nodes") };
        assert!(contacts.iter().eq(nodes.into_iter().take(CONTACTS_MAX)));
    }

    #[test]
    fn wrong_lengths_are_no_frames() {
        let message =
            Message { transaction: 9, search: None, key: Key([7; 20]), body: Body::Find(Key([1; 20])) };
        let mut out = Vec::new();
        encode(&mut out, &message);
        for len in 0..out.len() {
            assert_eq!(decode(&out[..len]), None, "{len}");
        }
        out.push(0);
        assert_eq!(decode(&out), None);
        let header = &out[..HEADER];
        let with = |kind: u8, body: usize| [&[kind], &header[1..], &vec![0; body][..]].concat();
        assert!(decode(&with(0, 1)).is_none() && decode(&with(3, 0)).is_none());
        assert!(decode(&with(128, 27)).is_none() && decode(&with(128, 33 * 26)).is_none());
        assert!(decode(&with(128, 32 * 26)).is_some() && decode(&with(129, 1001)).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(Message { body: Body::Nodes(contacts), .. }) = decode(&bytes) {
                prop_assert!(contacts.iter().count() <= CONTACTS_MAX);
            }
        }
    }
}
