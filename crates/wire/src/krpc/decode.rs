//! From a datagram to a message.

use super::{
    Bloom, Body, Id, Message, Method, Node, Query, Response, SAMPLE_INTERVAL_S_MAX, Samples, Signed, Want,
    code,
};
use crate::addr;
use crate::bencode::{self, Dict, Limits, Value};
use crate::text::printable;
use core::net::SocketAddr;
use peerage_base::Key;
use peerage_base::limits::{
    KRPC_BYTES_MAX, KRPC_DEPTH_MAX, KRPC_NODES_MAX, KRPC_SAMPLES_MAX, KRPC_TOKEN_BYTES_MAX, KRPC_TOKENS_MAX,
    KRPC_TRANSACTION_BYTES_MAX, KRPC_VALUES_MAX,
};

/// What a datagram may be: see the module for why it is lenient.
const LIMITS: Limits =
    Limits { depth: KRPC_DEPTH_MAX, tokens: KRPC_TOKENS_MAX, bytes: KRPC_BYTES_MAX, strict: false };

/// Characters of an error's text that are kept.
const TEXT_CHARS_MAX: usize = 100;

/// Why a datagram is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not bencode, or beyond the limits.
    #[error("not a DHT message: {0}")]
    Bencode(#[from] bencode::Error),
    /// Bencode, but nothing that could be answered or believed.
    #[error("not a DHT message: {0}")]
    NotKrpc(&'static str),
    /// A query that can be answered with an error only.
    #[error("a bad query: {what}")]
    BadQuery {
        /// The query's transaction, to be repeated.
        transaction: Vec<u8>,
        /// The answer's code, see [`code`].
        code: i64,
        /// The answer's text.
        what: &'static str,
    },
}

/// Reads a datagram.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(datagram: &[u8]) -> Result<Message, DecodeError> {
    let document = bencode::decode(datagram, LIMITS)?;
    let root = document.root().as_dict().ok_or(DecodeError::NotKrpc("no dictionary"))?;
    let transaction = root.bytes(b"t").ok_or(DecodeError::NotKrpc("no transaction"))?;
    if transaction.len() > KRPC_TRANSACTION_BYTES_MAX {
        return Err(DecodeError::NotKrpc("a long transaction"));
    }
    let transaction = transaction.to_vec();
    let body = match root.bytes(b"y") {
        Some(b"q") => match query(&root) {
            Ok(query) => Body::Query(query),
            Err((code, what)) => return Err(DecodeError::BadQuery { transaction, code, what }),
        },
        Some(b"r") => Body::Response(Box::new(response(&root)?)),
        Some(b"e") => error(&root)?,
        _ => return Err(DecodeError::NotKrpc("no known type")),
    };
    Ok(Message { transaction, version: array(&root, b"v"), body })
}

type Bad = (i64, &'static str);

fn query(root: &Dict<'_>) -> Result<Query, Bad> {
    let name = root.bytes(b"q").ok_or((code::PROTOCOL, "no method"))?;
    let args = root.dict(b"a").ok_or((code::PROTOCOL, "no arguments"))?;
    Ok(Query {
        id: key(&args, b"id").ok_or((code::PROTOCOL, "no id"))?,
        read_only: root.int(b"ro") == Some(1),
        want: want(&args),
        method: method(name, &args)?,
    })
}

fn method(name: &[u8], args: &Dict<'_>) -> Result<Method, Bad> {
    let target = || key(args, b"target").ok_or((code::PROTOCOL, "no target"));
    let info_hash = || key(args, b"info_hash").ok_or((code::PROTOCOL, "no info hash"));
    let flag = |name: &[u8]| args.int(name).is_some_and(|number| number != 0);
    Ok(match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: target()? },
        b"get_peers" => {
            let (no_seeds, scrape) = (args.int(b"noseed") == Some(1), args.int(b"scrape") == Some(1));
            Method::GetPeers { info_hash: info_hash()?, no_seeds, scrape }
        }
        b"announce_peer" => {
            let implied = flag(b"implied_port");
            let port = args.uint(b"port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
            if !implied && port.is_none() {
                return Err((code::PROTOCOL, "no port"));
            }
            let port = if implied { None } else { port };
            let seed = args.int(b"seed") == Some(1);
            Method::AnnouncePeer { info_hash: info_hash()?, port, seed, token: token(args)? }
        }
        b"get" => Method::Get { target: target()?, seq: args.int(b"seq") },
        b"put" => put(args)?,
        b"sample_infohashes" => Method::SampleInfohashes { target: target()? },
        _ => match target().or_else(|_| info_hash()) {
            Ok(target) => Method::FindNode { target },
            Err(_) => return Err((code::METHOD, "unknown method")),
        },
    })
}

fn put(args: &Dict<'_>) -> Result<Method, Bad> {
    let value = args.get(b"v").ok_or((code::PROTOCOL, "no value"))?.raw().to_vec();
    let signed = if args.get(b"k").is_some() {
        // Whether the signature is right is another matter; one of another length cannot be.
        let signature = array(args, b"sig").ok_or((code::SIGNATURE, "no signature"))?;
        let key = array(args, b"k").ok_or((code::PROTOCOL, "no public key"))?;
        let seq = args.int(b"seq").ok_or((code::PROTOCOL, "no sequence number"))?;
        Some(Signed { key, seq, signature })
    } else {
        None
    };
    let salt = args.bytes(b"salt").unwrap_or_default().to_vec();
    Ok(Method::Put { token: token(args)?, value, signed, salt, cas: args.int(b"cas") })
}

fn token(args: &Dict<'_>) -> Result<Vec<u8>, Bad> {
    let token = args.bytes(b"token").filter(|token| token.len() <= KRPC_TOKEN_BYTES_MAX);
    token.map(<[u8]>::to_vec).ok_or((code::PROTOCOL, "no token"))
}

fn want(args: &Dict<'_>) -> Want {
    let names = || args.list(b"want").into_iter().flatten().filter_map(|name| name.as_bytes());
    Want { v4: names().any(|name| name == b"n4"), v6: names().any(|name| name == b"n6") }
}

fn response(root: &Dict<'_>) -> Result<Response, DecodeError> {
    let reply = root.dict(b"r").ok_or(DecodeError::NotKrpc("no return values"))?;
    let id = key(&reply, b"id").ok_or(DecodeError::NotKrpc("no id"))?;
    let mut nodes: Vec<Node> = nodes::<26>(&reply, b"nodes").collect();
    nodes.extend(self::nodes::<38>(&reply, b"nodes6"));
    let token = reply.bytes(b"token").filter(|token| token.len() <= KRPC_TOKEN_BYTES_MAX);
    let values = reply.list(b"values").into_iter().flatten().filter_map(value_addr);
    let filter = |name: &[u8]| reply.bytes(name).and_then(Bloom::from_bytes);
    let seq = reply.int(b"seq");
    let signed =
        (|| Some(Signed { key: array(&reply, b"k")?, seq: seq?, signature: array(&reply, b"sig")? }))();
    Ok(Response {
        id: Some(id),
        observed: observed(root),
        nodes,
        token: token.map(<[u8]>::to_vec),
        values: values.take(KRPC_VALUES_MAX).collect(),
        filters: filter(b"BFsd").zip(filter(b"BFpe")),
        value: reply.get(b"v").map(|value| value.raw().to_vec()),
        signed,
        seq,
        samples: samples(&reply),
    })
}

fn samples(reply: &Dict<'_>) -> Option<Samples> {
    let hashes = reply.bytes(b"samples")?.as_chunks::<20>().0;
    Some(Samples {
        hashes: hashes.iter().take(KRPC_SAMPLES_MAX).copied().collect(),
        total: reply.uint(b"num").unwrap_or(hashes.len() as u64),
        interval_s: reply.uint(b"interval").unwrap_or(0).min(SAMPLE_INTERVAL_S_MAX),
    })
}

fn error(root: &Dict<'_>) -> Result<Body, DecodeError> {
    let list = root.list(b"e").ok_or(DecodeError::NotKrpc("no error"))?;
    let mut items = list.iter();
    let code = items.next().and_then(|code| code.as_int()).ok_or(DecodeError::NotKrpc("no code"))?;
    let text = items.next().and_then(|text| text.as_bytes()).unwrap_or_default();
    Ok(Body::Error { code, text: printable(text, TEXT_CHARS_MAX), observed: observed(root) })
}

fn observed(root: &Dict<'_>) -> Option<SocketAddr> {
    let bytes = root.bytes(b"ip")?;
    match bytes.len() {
        6 => addr::decode_v4(bytes).next(),
        18 => addr::decode_v6(bytes).next(),
        _ => None,
    }
}

/// Compact nodes of `N` bytes: an id, an address, a port.
fn nodes<const N: usize>(reply: &Dict<'_>, name: &[u8]) -> impl Iterator<Item = Node> {
    let entries = reply.bytes(name).unwrap_or_default().as_chunks::<N>().0;
    entries.iter().take(KRPC_NODES_MAX).filter_map(|entry| {
        let (id, rest) = entry.split_first_chunk::<20>()?;
        // A mapped IPv4 address has no place among IPv6 ones (BEP 32: the two networks are separate).
        let addr = if N == 26 {
            addr::decode_v4(rest).next()
        } else {
            addr::decode_v6(rest).next().filter(SocketAddr::is_ipv6)
        };
        Some(Node { id: Key(*id), addr: addr? })
    })
}

fn value_addr(value: Value<'_>) -> Option<SocketAddr> {
    let bytes = value.as_bytes()?;
    match bytes.len() {
        6 => addr::decode_v4(bytes).next(),
        18 => addr::decode_v6(bytes).next(),
        _ => None,
    }
}

fn key(dict: &Dict<'_>, name: &[u8]) -> Option<Id> {
    array(dict, name).map(Key)
}

fn array<const N: usize>(dict: &Dict<'_>, name: &[u8]) -> Option<[u8; N]> {
    dict.bytes(name)?.try_into().ok()
}
