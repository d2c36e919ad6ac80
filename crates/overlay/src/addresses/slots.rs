//! Buckets, and which places in them an address may have.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

use super::{Config, network};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Where {
    tried: bool,
    index: u32,
}

/// All places.
#[derive(Debug)]
pub(super) struct Slots {
    key: (u64, u64),
    new_buckets: u32,
    tried_buckets: u32,
    bucket_len: u32,
    per_teller: u32,
    per_network: u32,
    new: Vec<Option<SocketAddr>>,
    tried: Vec<Option<SocketAddr>>,
}

impl Slots {
    pub(super) fn new(config: &Config, key: (u64, u64)) -> Self {
        let places = |buckets: u32| vec![None; buckets as usize * config.bucket_len as usize];
        Self {
            key,
            new_buckets: config.new_buckets,
            tried_buckets: config.tried_buckets,
            bucket_len: config.bucket_len,
            per_teller: config.buckets_per_teller,
            per_network: config.buckets_per_network,
            new: places(config.new_buckets),
            tried: places(config.tried_buckets),
        }
    }

    pub(super) fn key(&self) -> (u64, u64) {
        self.key
    }

    /// Where an address goes of which somebody tells: its network and the teller's decide about the bucket.
    pub(super) fn new_place(&self, addr: SocketAddr, teller: IpAddr) -> Where {
        let (own, teller) = (network(addr.ip()), network(teller));
        let choice = self.hash(1, |hash| {
            put_ip(hash, own);
            put_ip(hash, teller);
        }) % u64::from(self.per_teller);
        let bucket = self.hash(2, |hash| {
            put_ip(hash, teller);
            hash.write_u64(choice);
        }) % u64::from(self.new_buckets);
        self.place(false, bucket as u32, addr)
    }

    /// Where an address goes that was met: its network decides about the buckets, itself about which of them.
    pub(super) fn tried_place(&self, addr: SocketAddr) -> Where {
        let choice = self.hash(3, |hash| put_addr(hash, addr)) % u64::from(self.per_network);
        let bucket = self.hash(4, |hash| {
            put_ip(hash, network(addr.ip()));
            hash.write_u64(choice);
        }) % u64::from(self.tried_buckets);
        self.place(true, bucket as u32, addr)
    }

    pub(super) fn get(&self, place: Where) -> Option<SocketAddr> {
        self.at(place.tried, place.index)
    }

    pub(super) fn set(&mut self, place: Where, addr: Option<SocketAddr>) {
        let places = if place.tried { &mut self.tried } else { &mut self.new };
        if let Some(slot) = places.get_mut(place.index as usize) {
            *slot = addr;
        }
    }

    /// Empties all new places of an address.
    pub(super) fn leave_all_new(&mut self, addr: SocketAddr) {
        self.new.iter_mut().filter(|slot| **slot == Some(addr)).for_each(|slot| *slot = None);
    }

    pub(super) fn len(&self, tried: bool) -> u32 {
        self.bucket_len * if tried { self.tried_buckets } else { self.new_buckets }
    }

    pub(super) fn at(&self, tried: bool, index: u32) -> Option<SocketAddr> {
        let places = if tried { &self.tried } else { &self.new };
        places.get(index as usize).copied().flatten()
    }

    fn place(&self, tried: bool, bucket: u32, addr: SocketAddr) -> Where {
        let within = self.hash(5, |hash| {
            hash.write_u8(u8::from(tried));
            hash.write_u32(bucket);
            put_addr(hash, addr);
        }) % u64::from(self.bucket_len);
        Where { tried, index: bucket * self.bucket_len + within as u32 }
    }

    fn hash(&self, what: u8, put: impl FnOnce(&mut SipHasher24)) -> u64 {
        let mut hash = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hash.write_u8(what);
        put(&mut hash);
        hash.finish()
    }
}

fn put_ip(hash: &mut SipHasher24, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => hash.write(&ip.octets()),
        IpAddr::V6(ip) => hash.write(&ip.octets()),
    }
}

fn put_addr(hash: &mut SipHasher24, addr: SocketAddr) {
    put_ip(hash, addr.ip());
    hash.write_u16(addr.port());
}
