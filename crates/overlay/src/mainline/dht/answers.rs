//! The server: what others ask of us.

use super::{Dht, VERSION, node};
use crate::kademlia::Contact;
use crate::mainline::item::Item;
use peerage_base::Instant;
use peerage_wire::krpc::{Body, Id, Message, Method, Node, Query, Response, Samples, Signed, Want, code};
use std::net::SocketAddr;

/// Bytes of an answer: a stored item of the longest kind with its signature and some nodes, within one
/// Ethernet frame.
const ANSWER_BYTES_MAX: usize = 1_400;

/// Bytes of an answer per byte of a question from an address that has proven nothing.
const AMPLIFICATION_MAX: usize = 3;

/// Bytes of the ping that [`Dht::verify`] sends.
const PING_BYTES: usize = 58;

/// Peers in an answer: with nodes and a token they stay below BEP 32's 1,024 bytes.
const VALUES_MAX: usize = 50;

/// Info hashes in an answer.
const SAMPLES_MAX: usize = 20;

/// Seconds between different samples.
const SAMPLE_INTERVAL_S: u64 = 60;

type Refusal = (i64, &'static str);

/// Whether an answer may be shortened, or must wait for the asker's proof of its address.
enum Answer {
    /// The fewer nodes and peers the worse, but it will do.
    Partial(Response),
    /// All but the nodes, or nothing.
    Whole(Response),
}

impl Dht {
    /// A query of `len` bytes.
    pub(super) fn on_query(&mut self, now: Instant, from: SocketAddr, message: Message, len: usize) {
        let Body::Query(query) = &message.body else { return };
        // To answer nothing at all would be to get no long items: who has one asks first whether we are at
        // this address.
        if self.config.read_only && !(query.method == Method::Ping && self.pending.awaits(from)) {
            return;
        }
        let answer = match self.answer(now, from, query) {
            Ok(answer) => answer,
            Err(refusal) => return self.refuse(now, from, message.transaction, refusal, len),
        };
        let mut allowed = ANSWER_BYTES_MAX;
        let contact = Contact { key: query.id, addr: from };
        let welcome = !query.read_only && !self.is_suspect(&contact) && self.config.ranges.allow(from);
        let wanted = welcome && self.families[usize::from(from.is_ipv6())].table.wants(&contact);
        if !self.is_proven(now, from) {
            allowed = allowed.min(len.saturating_mul(AMPLIFICATION_MAX));
            if let Answer::Whole(response) = &answer
                && bytes_without_nodes(&message.transaction, response) > allowed
            {
                return self.defer(now, from, message, len);
            }
            let (Answer::Partial(response) | Answer::Whole(response)) = &answer;
            let some_nodes = response.nodes.len().min(4) * 26;
            let least = bytes_without_nodes(&message.transaction, response) + some_nodes;
            if wanted && allowed >= least + PING_BYTES && self.verify(now, &contact) {
                allowed -= PING_BYTES;
            }
        } else if wanted {
            self.verify(now, &contact);
        }
        let (Answer::Partial(mut response) | Answer::Whole(mut response)) = answer;
        let transaction = message.transaction;
        let bytes = loop {
            let body = Body::Response(Box::new(response.clone()));
            let bytes = Message { transaction: transaction.clone(), version: Some(VERSION), body }.encode();
            if bytes.len() <= allowed || !shorten(&mut response, bytes.len() - allowed) {
                break bytes;
            }
        };
        self.stats.answered += 1;
        self.send_answer(now, from, bytes, allowed);
    }

    /// Answers with an error, where that is not longer than allowed.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        from: SocketAddr,
        transaction: Vec<u8>,
        (code, text): Refusal,
        len: usize,
    ) {
        if self.config.read_only {
            return;
        }
        self.stats.refused += 1;
        let body = Body::Error { code, text: text.into(), observed: None };
        let bytes = Message { transaction, version: None, body }.encode();
        let proven = self.is_proven(now, from);
        self.send_answer(now, from, bytes, if proven { ANSWER_BYTES_MAX } else { len * AMPLIFICATION_MAX });
    }

    /// The only way by which an answer leaves: within what is allowed, and the upload limit.
    fn send_answer(&mut self, now: Instant, to: SocketAddr, bytes: Vec<u8>, allowed: usize) {
        if bytes.len() > allowed || !self.flood.spend(now, bytes.len()) {
            self.stats.unsent += 1;
            return;
        }
        self.stats.answer_bytes += bytes.len() as u64;
        self.outputs.push_back(super::Output::Send { to, bytes });
    }

    fn answer(&mut self, now: Instant, from: SocketAddr, query: &Query) -> Result<Answer, Refusal> {
        let id = self.families[usize::from(from.is_ipv6())].id;
        let mut response = Response { id: Some(id), observed: Some(from), ..Response::default() };
        match &query.method {
            Method::Ping => {}
            Method::FindNode { target } => response.nodes = self.near(target, query.want, from),
            Method::GetPeers { info_hash, no_seeds, scrape } => {
                response.nodes = self.near(info_hash, query.want, from);
                response.token = Some(self.tokens.make(now, from.ip(), info_hash).to_vec());
                let kind = (from.is_ipv4(), *no_seeds);
                let count = if *scrape { VALUES_MAX / 5 } else { VALUES_MAX };
                response.values = self.peers.some(now, info_hash, kind, count, &mut self.rng);
                if *scrape {
                    response.filters = self.peers.filters(now, info_hash);
                    return Ok(Answer::Whole(response));
                }
            }
            Method::AnnouncePeer { info_hash, port, seed, token } => {
                self.check_token(now, from, info_hash, token)?;
                let addr = SocketAddr::new(from.ip(), port.unwrap_or(from.port()));
                self.peers.announce(now, info_hash, addr, *seed, &mut self.rng);
            }
            Method::Get { target, seq } => {
                response.nodes = self.near(target, query.want, from);
                response.token = Some(self.tokens.make(now, from.ip(), target).to_vec());
                if let Some(item) = self.items.get(now, target) {
                    fill(&mut response, item, *seq);
                    return Ok(Answer::Whole(response));
                }
            }
            Method::Put { token, value, signed, salt, cas } => {
                self.put(now, from, (token, value), *signed, salt, *cas)?;
            }
            Method::SampleInfohashes { target } => {
                response.nodes = self.near(target, query.want, from);
                response.samples = Some(Samples {
                    hashes: self.peers.sample(SAMPLES_MAX, &mut self.rng),
                    total: self.peers.torrents() as u64,
                    interval_s: SAMPLE_INTERVAL_S,
                });
            }
        }
        Ok(Answer::Partial(response))
    }

    fn put(
        &mut self,
        now: Instant,
        from: SocketAddr,
        (token, value): (&[u8], &[u8]),
        signed: Option<Signed>,
        salt: &[u8],
        cas: Option<i64>,
    ) -> Result<(), Refusal> {
        // Lengths first, then the token, which is cheaper than a signature.
        if value.len() > peerage_base::limits::DHT_ITEM_BYTES_MAX {
            return Err((code::VALUE_TOO_LONG, "value too long"));
        }
        if salt.len() > peerage_base::limits::DHT_SALT_BYTES_MAX {
            return Err((code::SALT_TOO_LONG, "salt too long"));
        }
        let target = match &signed {
            Some(signed) => Item::mutable_target(&signed.key, salt),
            None => Item::immutable_target(value),
        };
        self.check_token(now, from, &target, token)?;
        let item =
            Item::new(value.to_vec(), signed, if signed.is_some() { salt.to_vec() } else { Vec::new() })
                .map_err(|error| (error.code(), "invalid item"))?;
        self.items.put(now, item, cas).map_err(|code| match code {
            code::CAS_MISMATCH => (code, "another version is stored"),
            _ => (code, "a newer version is stored"),
        })
    }

    fn check_token(
        &mut self,
        now: Instant,
        from: SocketAddr,
        target: &Id,
        token: &[u8],
    ) -> Result<(), Refusal> {
        if !self.tokens.check(now, from.ip(), target, token) {
            return Err((code::PROTOCOL, "bad token"));
        }
        self.prove(now, from);
        Ok(())
    }

    /// The nodes closest to a target, of the families wanted: that of the datagram when none is (BEP 32).
    fn near(&self, target: &Id, want: Want, from: SocketAddr) -> Vec<Node> {
        let none = !want.v4 && !want.v6;
        let wanted = [want.v4 || none && from.is_ipv4(), want.v6 || none && from.is_ipv6()];
        let tables = self.families.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        tables.flat_map(|(family, _)| family.table.closest(target, 8)).map(|contact| node(&contact)).collect()
    }
}

fn fill(response: &mut Response, item: &Item, known: Option<i64>) {
    match item.signed() {
        Some(signed) if known.is_some_and(|known| signed.seq <= known) => response.seq = Some(signed.seq),
        signed => {
            response.signed = signed.copied();
            response.seq = signed.map(|signed| signed.seq);
            response.value = Some(item.value().to_vec());
        }
    }
}

/// Takes nodes, then peers, then samples out, `over` bytes or a little more; whether there were any.
fn shorten(response: &mut Response, over: usize) -> bool {
    // Peers are what was asked for: half of them stay while there are nodes.
    let nodes = response.nodes.len();
    let values = response.values.len();
    if nodes > 0 && (nodes > 4 || values <= 4) {
        response.nodes.truncate(nodes.saturating_sub(over.div_ceil(26)).max(if values > 4 { 4 } else { 0 }));
    } else if values > 0 {
        response.values.truncate(
            values.saturating_sub(over.div_ceil(8)).max(usize::from(nodes > 0) * 4).min(values - 1),
        );
    } else if let Some(samples) = response.samples.as_mut().filter(|samples| !samples.hashes.is_empty()) {
        samples.hashes.truncate(samples.hashes.len().saturating_sub(over.div_ceil(20)));
    } else {
        return false;
    }
    true
}

fn bytes_without_nodes(transaction: &[u8], response: &Response) -> usize {
    let response = Response { nodes: Vec::new(), values: Vec::new(), ..response.clone() };
    let body = Body::Response(Box::new(response));
    Message { transaction: transaction.to_vec(), version: Some(VERSION), body }.encode().len()
}
