//! UDP trackers (BEP 15), with the request path of BEP 41.
//!
//! ```text
//! connect    | 0x41727101980: u64 | 0: u32 | transaction: u32 |          16 bytes
//!  reply     | 0: u32 | transaction: u32 | connection: u64 |             16 bytes
//! announce   | connection: u64 | 1: u32 | transaction: u32 | info hash: 20 | peer id: 20
//!            | downloaded: u64 | left: u64 | uploaded: u64 | event: u32 | ip: u32 | key: u32
//!            | num want: i32 | port: u16 |                               98 bytes, then options
//!  reply     | 1 | transaction | interval: u32 | leechers: u32 | seeds: u32 | 6 or 18 bytes per peer
//! scrape     | connection | 2 | transaction | 20 bytes per hash
//!  reply     | 2 | transaction | seeds: u32, completed: u32, leechers: u32 per hash
//! error      | 3 | transaction | text
//! ```
//!
//! A client must compare the transaction, and a tracker must make connection ids that only the
//! owner of an address can know: both are their callers' work.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use super::{
    AnnounceReply, AnnounceRequest, Event, SCRAPE_HASHES_MAX, ScrapeEntry, TEXT_CHARS_MAX, interval, seconds,
};
use crate::addr;
use crate::read::Reader;
use crate::text::printable;
use peerage_base::limits::TRACKER_PEERS_MAX;

/// What a connect request begins with.
pub const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// Bytes of the largest packet that is sent or read.
pub const PACKET_BYTES_MAX: usize = 16 * 1024;

mod action {
    pub(super) const CONNECT: u32 = 0;
    pub(super) const ANNOUNCE: u32 = 1;
    pub(super) const SCRAPE: u32 = 2;
    pub(super) const ERROR: u32 = 3;
}

/// BEP 41: option types, and the longest piece of a path.
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_URL_DATA: u8 = 2;
const URL_DATA_MAX: usize = 1024;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a connection id.
    Connect {
        /// Comes back in the reply.
        transaction: u32,
    },
    /// Announces.
    Announce {
        /// From the reply to `Connect`.
        connection: u64,
        /// Comes back in the reply.
        transaction: u32,
        /// The announce. Its tracker id does not travel.
        request: AnnounceRequest,
        /// Path and query of the tracker's URL, where it has one (BEP 41); at most 1,024 bytes.
        url_data: Vec<u8>,
    },
    /// Asks for the numbers of swarms.
    Scrape {
        /// From the reply to `Connect`.
        connection: u64,
        /// Comes back in the reply.
        transaction: u32,
        /// 1 to [`SCRAPE_HASHES_MAX`] swarms.
        info_hashes: Vec<[u8; 20]>,
    },
}

/// What a tracker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection id: good for a minute or two.
    Connect {
        /// The request's.
        transaction: u32,
        /// To be sent with what follows.
        connection: u64,
    },
    /// Peers.
    Announce {
        /// The request's.
        transaction: u32,
        /// Interval, counts and peers.
        reply: AnnounceReply,
    },
    /// Numbers of swarms, in the order of the request.
    Scrape {
        /// The request's.
        transaction: u32,
        /// One per hash.
        entries: Vec<ScrapeEntry>,
    },
    /// A refusal.
    Error {
        /// The request's.
        transaction: u32,
        /// Printable, cut to [`TEXT_CHARS_MAX`] characters.
        message: String,
    },
}

/// The IP version of the socket, which decides how long the peers of a reply are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 6 bytes per peer.
    V4,
    /// 18 bytes per peer.
    V6,
}

/// A packet that is too short, too long or of an unknown kind: to be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a packet of the UDP tracker protocol")]
pub struct BadPacket;

impl Request {
    /// The packet.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(98);
        match self {
            Self::Connect { transaction } => put_head(&mut out, PROTOCOL_ID, action::CONNECT, *transaction),
            Self::Announce { connection, transaction, request, url_data } => {
                put_head(&mut out, *connection, action::ANNOUNCE, *transaction);
                put_announce(&mut out, request);
                for part in url_data.get(..URL_DATA_MAX).unwrap_or(url_data).chunks(usize::from(u8::MAX)) {
                    out.extend_from_slice(&[OPTION_URL_DATA, u8::try_from(part.len()).unwrap_or(u8::MAX)]);
                    out.extend_from_slice(part);
                }
            }
            Self::Scrape { connection, transaction, info_hashes } => {
                put_head(&mut out, *connection, action::SCRAPE, *transaction);
                info_hashes.iter().take(SCRAPE_HASHES_MAX).for_each(|hash| out.extend_from_slice(hash));
            }
        }
        out
    }

    /// Reads a packet that a client sent.
    ///
    /// # Errors
    /// [`BadPacket`].
    pub fn decode(packet: &[u8]) -> Result<Self, BadPacket> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(BadPacket);
        }
        Self::decode_opt(packet).ok_or(BadPacket)
    }

    fn decode_opt(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(packet);
        let connection = reader.u64()?;
        let action = reader.u32()?;
        let transaction = reader.u32()?;
        match action {
            action::CONNECT => (connection == PROTOCOL_ID).then_some(Self::Connect { transaction }),
            action::ANNOUNCE => {
                let request = read_announce(&mut reader)?;
                Some(Self::Announce { connection, transaction, request, url_data: url_data(reader) })
            }
            action::SCRAPE => {
                let (hashes, rest) = reader.rest().as_chunks::<20>();
                let right = rest.is_empty() && (1..=SCRAPE_HASHES_MAX).contains(&hashes.len());
                right.then(|| Self::Scrape { connection, transaction, info_hashes: hashes.to_vec() })
            }
            _ => None,
        }
    }
}

impl Reply {
    /// The packet. Of an announce's peers it has those of `family`.
    #[must_use]
    pub fn encode(&self, family: Family) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put =
            |numbers: &[u32]| numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        match self {
            Self::Connect { transaction, connection } => {
                put(&[action::CONNECT, *transaction]);
                out.extend_from_slice(&connection.to_be_bytes());
            }
            Self::Announce { transaction, reply } => {
                let (leechers, seeds) = (reply.leechers.unwrap_or(0), reply.seeds.unwrap_or(0));
                put(&[action::ANNOUNCE, *transaction, seconds(reply.interval), leechers, seeds]);
                let (v4, v6) = addr::encode(&reply.peers);
                out.extend_from_slice(if family == Family::V4 { &v4 } else { &v6 });
            }
            Self::Scrape { transaction, entries } => {
                put(&[action::SCRAPE, *transaction]);
                entries.iter().for_each(|entry| put(&[entry.seeds, entry.completed, entry.leechers]));
            }
            Self::Error { transaction, message } => {
                put(&[action::ERROR, *transaction]);
                out.extend_from_slice(message.as_bytes());
            }
        }
        out
    }

    /// Reads a packet that a tracker sent to a socket of this `family`.
    ///
    /// # Errors
    /// [`BadPacket`].
    pub fn decode(packet: &[u8], family: Family) -> Result<Self, BadPacket> {
        if packet.len() > PACKET_BYTES_MAX {
            return Err(BadPacket);
        }
        Self::decode_opt(packet, family).ok_or(BadPacket)
    }

    fn decode_opt(packet: &[u8], family: Family) -> Option<Self> {
        let mut reader = Reader::new(packet);
        let action = reader.u32()?;
        let transaction = reader.u32()?;
        match action {
            action::CONNECT => Some(Self::Connect { transaction, connection: reader.u64()? }),
            action::ANNOUNCE => {
                let interval = interval(u64::from(reader.u32()?));
                let leechers = Some(reader.u32()?);
                let seeds = Some(reader.u32()?);
                let peers = match family {
                    Family::V4 => addr::decode_v4(reader.rest()).take(TRACKER_PEERS_MAX).collect(),
                    Family::V6 => addr::decode_v6(reader.rest()).take(TRACKER_PEERS_MAX).collect(),
                };
                let reply = AnnounceReply { interval, peers, seeds, leechers, ..AnnounceReply::default() };
                Some(Self::Announce { transaction, reply })
            }
            action::SCRAPE => {
                let mut entries = Vec::new();
                while !reader.is_empty() && entries.len() < SCRAPE_HASHES_MAX {
                    let (seeds, completed, leechers) = (reader.u32()?, reader.u32()?, reader.u32()?);
                    entries.push(ScrapeEntry { seeds, completed, leechers });
                }
                Some(Self::Scrape { transaction, entries })
            }
            action::ERROR => {
                Some(Self::Error { transaction, message: printable(reader.rest(), TEXT_CHARS_MAX) })
            }
            _ => None,
        }
    }

    /// The request's transaction.
    #[must_use]
    pub fn transaction(&self) -> u32 {
        match self {
            Self::Connect { transaction, .. }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. }
            | Self::Error { transaction, .. } => *transaction,
        }
    }
}

fn put_head(out: &mut Vec<u8>, connection: u64, action: u32, transaction: u32) {
    out.extend_from_slice(&connection.to_be_bytes());
    out.extend_from_slice(&action.to_be_bytes());
    out.extend_from_slice(&transaction.to_be_bytes());
}

fn put_announce(out: &mut Vec<u8>, request: &AnnounceRequest) {
    out.extend_from_slice(&request.info_hash);
    out.extend_from_slice(&request.peer_id);
    // Trackers keep 63 bits at most.
    for number in [request.downloaded, request.left.min(i64::MAX as u64), request.uploaded] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    let event: u32 = match request.event {
        Event::None => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    };
    let num_want = request.num_want.map_or(-1, |wanted| i32::try_from(wanted).unwrap_or(i32::MAX));
    out.extend_from_slice(&event.to_be_bytes());
    // 0: the tracker takes the packet's source address.
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&request.key.to_be_bytes());
    out.extend_from_slice(&num_want.to_be_bytes());
    out.extend_from_slice(&request.port.to_be_bytes());
}

fn read_announce(reader: &mut Reader<'_>) -> Option<AnnounceRequest> {
    let (info_hash, peer_id) = (reader.array()?, reader.array()?);
    let (downloaded, left, uploaded) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let event = match reader.u32()? {
        1 => Event::Completed,
        2 => Event::Started,
        3 => Event::Stopped,
        _ => Event::None,
    };
    // The address that the client claims is not believed.
    let _ip = reader.u32()?;
    let key = reader.u32()?;
    let num_want = u32::try_from(i32::from_be_bytes(reader.array()?)).ok();
    let port = reader.u16()?;
    Some(AnnounceRequest {
        info_hash,
        peer_id,
        port,
        uploaded,
        downloaded,
        left,
        event,
        num_want,
        key,
        tracker_id: None,
    })
}

/// The path from the options after an announce; what is no option ends the reading.
fn url_data(mut reader: Reader<'_>) -> Vec<u8> {
    let mut path = Vec::new();
    while let Some(kind) = reader.u8() {
        match kind {
            OPTION_END => break,
            OPTION_NOP => {}
            _ => {
                let Some(content) = reader.u8().and_then(|len| reader.bytes(usize::from(len))) else {
                    break;
                };
                if kind == OPTION_URL_DATA && path.len().saturating_add(content.len()) <= URL_DATA_MAX {
                    path.extend_from_slice(content);
                }
            }
        }
    }
    path
}

#[cfg(test)]
mod tests;
