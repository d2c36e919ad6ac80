//! The routing table on disk: a node that comes back needs no bootstrap.

use peerage_base::Key;
use peerage_base::limits::KRPC_BYTES_MAX;
use peerage_wire::bencode::{self, Encoder, Limits};
use peerage_wire::krpc::{Body, Id, Message, Node, Response};

/// Contacts that are kept of each family.
pub(super) const NODES_MAX: usize = 256;

/// Why bytes are no saved table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not bencode.
    #[error("not a saved routing table: {0}")]
    Bencode(#[from] bencode::Error),
    /// Another thing, or of another version.
    #[error("not a saved routing table")]
    Form,
}

/// Writes identifiers (IPv4, IPv6), where they are to be kept, and contacts.
pub(super) fn encode(ids: Option<[Id; 2]>, nodes: &[Node]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.dict(|dict| {
        if let Some([v4, v6]) = ids {
            dict.bytes(b"id", &v4.0);
            dict.bytes(b"id6", &v6.0);
        }
        dict.entry(b"nodes", |encoder| {
            // As in a reply, a few at a time.
            encoder.list(|list| {
                for some in nodes.chunks(16) {
                    let response =
                        Response { id: Some(Key([0; 20])), nodes: some.to_vec(), ..Response::default() };
                    let body = Body::Response(Box::new(response));
                    list.bytes(&Message { transaction: Vec::new(), version: None, body }.encode());
                }
            });
        });
        dict.int(b"version", 1);
    });
    encoder.finish()
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<(Option<[Id; 2]>, Vec<Node>), SnapshotError> {
    let limits = Limits { depth: 4, tokens: 1000, bytes: 1000 * KRPC_BYTES_MAX, strict: true };
    let document = bencode::decode(bytes, limits)?;
    let root = document.root().as_dict().ok_or(SnapshotError::Form)?;
    if root.int(b"version") != Some(1) {
        return Err(SnapshotError::Form);
    }
    let id = |name: &[u8]| root.bytes(name).and_then(|id| id.try_into().ok()).map(Key);
    let ids = id(b"id").zip(id(b"id6")).map(Into::into);
    let mut nodes = Vec::new();
    for some in root.list(b"nodes").ok_or(SnapshotError::Form)? {
        let message = peerage_wire::krpc::decode(some.as_bytes().unwrap_or_default());
        let Ok(Message { body: Body::Response(response), .. }) = message else {
            return Err(SnapshotError::Form);
        };
        nodes.extend(response.nodes);
    }
    nodes.truncate(2 * NODES_MAX);
    Ok((ids, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ([Id; 2], Vec<Node>) {
        let node = |n: u8| Node {
            id: Key([n; 20]),
            addr: if n.is_multiple_of(3) {
                format!("[2a00::{n}]:7").parse().unwrap()
            } else {
                format!("8.8.8.{n}:7").parse().unwrap()
            },
        };
        ([Key([1; 20]), Key([2; 20])], (1..200).map(node).collect())
    }

    #[test]
    fn a_table_comes_back() {
        let (ids, nodes) = sample();
        for ids in [Some(ids), None] {
            let (read_ids, mut read) = decode(&encode(ids, &nodes)).unwrap();
            read.sort_unstable();
            assert_eq!((read_ids, &read), (ids, &nodes));
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_an_error_or_a_table() {
        let bytes = encode(Some(sample().0), &sample().1);
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err());
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x41;
            if let Ok((_, nodes)) = decode(&flipped) {
                assert!(nodes.len() <= 2 * NODES_MAX);
            }
        }
    }
}
