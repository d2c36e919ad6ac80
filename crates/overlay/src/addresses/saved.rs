//! What is remembered between runs: a bencoded document.
//!
//! Saved are the key, the anchors, and every address with its teller and whether it was met. A document that
//! somebody has changed costs what it says, and is bounded like what strangers say.

use std::net::{IpAddr, SocketAddr};

use peerage_base::{Instant, Rng};
use peerage_wire::bencode::{self, Encoder, Limits, Value};

use super::{Addresses, Config, Entry, NEW_COPIES_MAX, is_host, network};

/// Why nothing is remembered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Not bencode, or too much of it.
    #[error("the remembered addresses are damaged: {0}")]
    Bencode(#[from] bencode::Error),
    /// Something is missing.
    #[error("the remembered addresses are damaged: no {0}")]
    Missing(&'static str),
}

impl Addresses {
    /// What the next run is to know.
    #[must_use]
    pub fn save(&self, now: Instant) -> Vec<u8> {
        let (low, high) = self.slots.key();
        let list = |out: &mut Encoder, met: bool| {
            out.list(|list| {
                for (addr, entry) in self.entries.iter().filter(|(_, entry)| (entry.copies == 0) == met) {
                    list.bytes(&bytes(*addr, Some(entry.teller)));
                }
            });
        };
        let mut out = Encoder::new();
        out.dict(|dict| {
            dict.entry(b"anchors", |out| {
                out.list(|list| {
                    self.anchors(now).into_iter().for_each(|addr| list.bytes(&bytes(addr, None)))
                });
            });
            dict.entry(b"key", |out| out.bytes(&[low.to_be_bytes(), high.to_be_bytes()].concat()));
            dict.entry(b"met", |out| list(out, true));
            dict.entry(b"new", |out| list(out, false));
        });
        out.finish()
    }

    /// What the last run knew.
    ///
    /// # Errors
    /// See [`SavedError`].
    pub fn load(config: Config, rng: Rng, saved: &[u8]) -> Result<Self, SavedError> {
        let document = bencode::decode(saved, Limits::TORRENT.strict())?;
        let root = document.root().as_dict().ok_or(SavedError::Missing("dictionary"))?;
        let key = root.bytes(b"key").ok_or(SavedError::Missing("key"))?;
        let (low, high) = key.split_first_chunk().ok_or(SavedError::Missing("key"))?;
        let high = high.try_into().map_err(|_| SavedError::Missing("key"))?;
        let mut loaded = Self::with_key(config, rng, (u64::from_be_bytes(*low), u64::from_be_bytes(high)));
        let list = |name: &'static str| {
            let list = root.list(name.as_bytes()).ok_or(SavedError::Missing(name))?;
            Ok::<_, SavedError>(list.into_iter().filter_map(|item| parse(&item)).collect::<Vec<_>>())
        };
        // Those that were met first: they have one place each.
        for (addr, teller) in list("met")? {
            loaded.restore_met(addr, teller.unwrap_or(addr.ip()));
        }
        for (addr, teller) in list("new")? {
            loaded.add(Instant::ZERO, addr, teller.unwrap_or(addr.ip()));
        }
        let anchors = list("anchors")?.into_iter().map(|(addr, _)| addr).filter(|addr| is_host(*addr));
        loaded.anchors = anchors.take(loaded.config.anchors).collect();
        Ok(loaded)
    }

    fn restore_met(&mut self, addr: SocketAddr, teller: IpAddr) {
        let place = self.slots.tried_place(addr);
        if !is_host(addr) || self.slots.get(place).is_some() {
            return;
        }
        self.slots.set(place, Some(addr));
        let met_at = Some(Instant::ZERO);
        let entry = Entry { teller: network(teller), copies: 0, failures: 0, tried_at: None, met_at };
        debug_assert!(entry.copies < NEW_COPIES_MAX);
        self.entries.insert(addr, entry);
    }
}

/// Address and port, then the teller's network, of the same or the other family.
fn bytes(addr: SocketAddr, teller: Option<IpAddr>) -> Vec<u8> {
    let mut out = ip_bytes(addr.ip());
    out.extend(addr.port().to_be_bytes());
    out.extend(teller.map(ip_bytes).into_iter().flatten());
    out
}

fn ip_bytes(ip: IpAddr) -> Vec<u8> {
    // As IPv6, so that lengths tell what is there.
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn parse(item: &Value<'_>) -> Option<(SocketAddr, Option<IpAddr>)> {
    let bytes = item.as_bytes()?;
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let addr = SocketAddr::new(IpAddr::from(*ip).to_canonical(), u16::from_be_bytes(*port));
    let teller = <[u8; 16]>::try_from(rest).ok().map(|ip| IpAddr::from(ip).to_canonical());
    Some((addr, teller))
}
