//! From a message to a datagram.

use super::{Body, Message, Method, Node, Query, Response, Want};
use crate::addr;
use crate::bencode::{DictEncoder, Encoder};
use core::net::SocketAddr;

impl Message {
    /// The datagram, in canonical form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::append_to(Vec::with_capacity(256));
        encoder.dict(|dict| {
            match &self.body {
                Body::Query(query) => dict.entry(b"a", |encoder| encoder.dict(|args| query.arguments(args))),
                Body::Error { code, text, observed } => {
                    dict.entry(b"e", |encoder| {
                        encoder.list(|list| {
                            list.int(*code);
                            list.str(text);
                        });
                    });
                    observed.inspect(|addr| dict.bytes(b"ip", &compact(addr)));
                }
                Body::Response(response) => {
                    response.observed.inspect(|addr| dict.bytes(b"ip", &compact(addr)));
                }
            }
            let kind: &[u8] = match &self.body {
                Body::Query(query) => {
                    dict.bytes(b"q", query.method.name());
                    if query.read_only {
                        dict.int(b"ro", 1);
                    }
                    b"q"
                }
                Body::Response(response) => {
                    dict.entry(b"r", |encoder| encoder.dict(|reply| response.values(reply)));
                    b"r"
                }
                Body::Error { .. } => b"e",
            };
            dict.bytes(b"t", &self.transaction);
            self.version.inspect(|version| dict.bytes(b"v", version));
            dict.bytes(b"y", kind);
        });
        encoder.finish()
    }
}

impl Method {
    fn name(&self) -> &'static [u8] {
        match self {
            Self::Ping => b"ping",
            Self::FindNode { .. } => b"find_node",
            Self::GetPeers { .. } => b"get_peers",
            Self::AnnouncePeer { .. } => b"announce_peer",
            Self::Get { .. } => b"get",
            Self::Put { .. } => b"put",
            Self::SampleInfohashes { .. } => b"sample_infohashes",
        }
    }
}

impl Query {
    fn arguments(&self, args: &mut DictEncoder<'_>) {
        if let Method::Put { cas: Some(cas), .. } = &self.method {
            args.int(b"cas", *cas);
        }
        args.bytes(b"id", &self.id.0);
        match &self.method {
            Method::Ping => {}
            Method::FindNode { target } | Method::SampleInfohashes { target } => {
                args.bytes(b"target", &target.0)
            }
            Method::GetPeers { info_hash, no_seeds, scrape } => {
                args.bytes(b"info_hash", &info_hash.0);
                if *no_seeds {
                    args.int(b"noseed", 1);
                }
                if *scrape {
                    args.int(b"scrape", 1);
                }
            }
            Method::AnnouncePeer { info_hash, port, seed, token } => {
                if port.is_none() {
                    args.int(b"implied_port", 1);
                }
                args.bytes(b"info_hash", &info_hash.0);
                // Old programs want a port in any case.
                args.uint(b"port", u64::from(port.unwrap_or(1)));
                if *seed {
                    args.int(b"seed", 1);
                }
                args.bytes(b"token", token);
            }
            Method::Get { target, seq } => {
                seq.inspect(|seq| args.int(b"seq", *seq));
                args.bytes(b"target", &target.0);
            }
            Method::Put { token, value, signed, salt, .. } => {
                signed.inspect(|signed| args.bytes(b"k", &signed.key));
                if !salt.is_empty() {
                    args.bytes(b"salt", salt);
                }
                if let Some(signed) = signed {
                    args.int(b"seq", signed.seq);
                    args.bytes(b"sig", &signed.signature);
                }
                args.bytes(b"token", token);
                args.raw(b"v", value);
            }
        }
        want(self.want, args);
    }
}

fn want(want: Want, args: &mut DictEncoder<'_>) {
    if want.v4 || want.v6 {
        args.entry(b"want", |encoder| {
            encoder.list(|list| {
                if want.v4 {
                    list.bytes(b"n4");
                }
                if want.v6 {
                    list.bytes(b"n6");
                }
            });
        });
    }
}

impl Response {
    fn values(&self, reply: &mut DictEncoder<'_>) {
        if let Some((seeds, peers)) = &self.filters {
            reply.bytes(b"BFpe", peers.as_bytes());
            reply.bytes(b"BFsd", seeds.as_bytes());
        }
        self.id.inspect(|id| reply.bytes(b"id", &id.0));
        self.samples.as_ref().inspect(|samples| reply.uint(b"interval", samples.interval_s));
        self.signed.inspect(|signed| reply.bytes(b"k", &signed.key));
        let compact = |v4: bool| -> Vec<u8> {
            self.nodes.iter().filter(|node| node.addr.is_ipv4() == v4).flat_map(compact_node).collect()
        };
        for (name, nodes) in [(&b"nodes"[..], compact(true)), (b"nodes6", compact(false))] {
            if !nodes.is_empty() {
                reply.bytes(name, &nodes);
            }
        }
        self.samples.as_ref().inspect(|samples| reply.uint(b"num", samples.total));
        if let Some(samples) = &self.samples {
            reply.bytes(b"samples", samples.hashes.as_flattened());
        }
        let seq = self.signed.map(|signed| signed.seq).or(self.seq);
        seq.inspect(|seq| reply.int(b"seq", *seq));
        self.signed.inspect(|signed| reply.bytes(b"sig", &signed.signature));
        self.token.as_ref().inspect(|token| reply.bytes(b"token", token));
        self.value.as_ref().inspect(|value| reply.raw(b"v", value));
        if !self.values.is_empty() {
            reply.entry(b"values", |encoder| {
                encoder.list(|list| self.values.iter().for_each(|addr| list.bytes(&self::compact(addr))));
            });
        }
    }
}

fn compact_node(node: &Node) -> Vec<u8> {
    [&node.id.0[..], &compact(&node.addr)].concat()
}

fn compact(addr: &SocketAddr) -> Vec<u8> {
    let mut bytes = addr::encode_ip(addr.ip());
    bytes.extend_from_slice(&addr.port().to_be_bytes());
    bytes
}
