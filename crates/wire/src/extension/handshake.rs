//! The extension handshake (BEP 10).

use super::Error;
use crate::addr;
use crate::bencode::{self, Dict, Encoder, Limits};
use crate::text::printable;
use core::net::IpAddr;
use peerage_base::limits::METADATA_BYTES_MAX;

/// Characters of a client's name that are kept.
const CLIENT_CHARS_MAX: usize = 64;

const UT_METADATA: &[u8] = b"ut_metadata";
const UT_PEX: &[u8] = b"ut_pex";
const UT_HOLEPUNCH: &[u8] = b"ut_holepunch";
const UPLOAD_ONLY: &[u8] = b"upload_only";
const LT_DONTHAVE: &[u8] = b"lt_donthave";

/// The number that one side gave to each extension. `None`: it said nothing about it; `Some(0)`: it
/// does not want it (any more).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// `ut_metadata` (BEP 9).
    pub metadata: Option<u8>,
    /// `ut_pex` (BEP 11).
    pub pex: Option<u8>,
    /// `upload_only` (BEP 21).
    pub upload_only: Option<u8>,
    /// `lt_donthave` (BEP 54).
    pub dont_have: Option<u8>,
    /// `ut_holepunch` (BEP 55).
    pub holepunch: Option<u8>,
}

impl Ids {
    /// These numbers after a further handshake said `newer`. Numbers that were 0 become `None`.
    #[must_use]
    pub fn updated(self, newer: Self) -> Self {
        let pick = |old: Option<u8>, new: Option<u8>| new.or(old).filter(|id| *id != 0);
        Self {
            metadata: pick(self.metadata, newer.metadata),
            pex: pick(self.pex, newer.pex),
            upload_only: pick(self.upload_only, newer.upload_only),
            dont_have: pick(self.dont_have, newer.dont_have),
            holepunch: pick(self.holepunch, newer.holepunch),
        }
    }
}

/// What one side tells about itself. A field that is missing, or has a value that cannot be true,
/// is `None`: a strange handshake alone is no reason to part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// `m`: the sender's numbers.
    pub ids: Ids,
    /// `v`: name and version of the program, made printable.
    pub client: Option<String>,
    /// `p`: the port on which the sender listens. Never 0.
    pub port: Option<u16>,
    /// `reqq`: requests that the sender keeps waiting without dropping any. Never 0.
    pub reqq: Option<u32>,
    /// `metadata_size`: bytes of the info dictionary, 1 to
    /// [`METADATA_BYTES_MAX`] (other values are `None`).
    pub metadata_size: Option<u32>,
    /// `yourip`: the receiver's address, as the sender sees it.
    pub your_ip: Option<IpAddr>,
    /// `upload_only` (BEP 21): the sender wants nothing.
    pub upload_only: Option<bool>,
}

impl Handshake {
    /// Reads the payload of extension message 0.
    ///
    /// # Errors
    /// Not bencode, or not a dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        let document = bencode::decode(payload, Limits::MESSAGE)?;
        let dict = document.root().as_dict().ok_or(Error::NotADict)?;
        let (mut port, mut reqq, mut metadata_size) = (None, None, None);
        let mut handshake = Self::default();
        for (key, value) in dict {
            let number = value.as_uint();
            match key {
                b"m" => handshake.ids = value.as_dict().map(ids).unwrap_or_default(),
                b"p" => port = number.and_then(|port| u16::try_from(port).ok()),
                b"reqq" => reqq = number.map(|reqq| u32::try_from(reqq).unwrap_or(u32::MAX)),
                b"metadata_size" => metadata_size = number,
                b"v" => handshake.client = value.as_bytes().map(|name| printable(name, CLIENT_CHARS_MAX)),
                b"yourip" => handshake.your_ip = value.as_bytes().and_then(addr::decode_ip),
                b"upload_only" => handshake.upload_only = value.as_int().map(|flag| flag != 0),
                _ => {}
            }
        }
        handshake.port = port.filter(|port| *port != 0);
        handshake.reqq = reqq.filter(|reqq| *reqq != 0);
        handshake.metadata_size = metadata_size
            .filter(|size| (1..=METADATA_BYTES_MAX as u64).contains(size))
            .and_then(|size| u32::try_from(size).ok());
        Ok(handshake)
    }

    /// The payload of extension message 0.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.dict(|dict| {
            dict.entry(b"m", |encoder| {
                encoder.dict(|m| {
                    let names = [
                        (LT_DONTHAVE, self.ids.dont_have),
                        (UPLOAD_ONLY, self.ids.upload_only),
                        (UT_HOLEPUNCH, self.ids.holepunch),
                        (UT_METADATA, self.ids.metadata),
                        (UT_PEX, self.ids.pex),
                    ];
                    names
                        .iter()
                        .filter_map(|(name, id)| Some((name, (*id)?)))
                        .for_each(|(name, id)| m.int(name, i64::from(id)));
                });
            });
            self.metadata_size.inspect(|size| dict.uint(b"metadata_size", u64::from(*size)));
            self.port.inspect(|port| dict.uint(b"p", u64::from(*port)));
            self.reqq.inspect(|reqq| dict.uint(b"reqq", u64::from(*reqq)));
            self.upload_only.inspect(|flag| dict.int(b"upload_only", i64::from(*flag)));
            self.client.as_ref().inspect(|client| dict.str(b"v", client));
            self.your_ip.inspect(|ip| dict.bytes(b"yourip", &addr::encode_ip(*ip)));
        });
        encoder.finish()
    }
}

fn ids(m: Dict<'_>) -> Ids {
    let mut ids = Ids::default();
    for (name, value) in m {
        let id = value.as_uint().and_then(|id| u8::try_from(id).ok());
        match name {
            UT_METADATA => ids.metadata = id,
            UT_PEX => ids.pex = id,
            UPLOAD_ONLY => ids.upload_only = id,
            UT_HOLEPUNCH => ids.holepunch = id,
            LT_DONTHAVE => ids.dont_have = id,
            _ => {}
        }
    }
    ids
}
