//! Frames of gossip between Peerage nodes: membership (HyParView), broadcast (Plumtree), failure detection
//! (SWIM). The road under them keeps frames apart and says who sent each: a sender is never named.
//!
//! ```text
//! version 1 | kind 1 | topic 32 | body
//! member:  peer id 32 | family 1 (0, 4 or 6) | address 0, 4 or 16 | port 0 or 2
//! members: count 1 | member ...
//! ```
//!
//! Numbers are big-endian. A frame of another version is refused by that name: versions that can be spoken
//! together will have one number. What follows a body is an error, so that a frame has one form.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use crate::read::Reader;
use peerage_base::PeerId;
use peerage_base::limits::{
    GOSSIP_IHAVES_MAX, GOSSIP_MEMBERS_MAX, GOSSIP_PAYLOAD_BYTES_MAX, SWIM_UPDATES_MAX,
};
use std::net::{IpAddr, SocketAddr};

/// The version that is spoken.
pub const VERSION: u8 = 1;

/// What a conversation is about: the hash of its name, or an info hash.
pub type Topic = [u8; 32];

/// A broadcast message: the SHA-256 of its payload, so that nobody can spoil one under another's name.
pub type MessageId = [u8; 32];

/// A peer, and where it was last reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Who.
    pub id: PeerId,
    /// Where, if anybody knows; hostile until it was proved by a handshake with that key.
    pub addr: Option<SocketAddr>,
}

/// A frame: the topic and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is about.
    pub topic: Topic,
    /// What is said.
    pub message: Message,
}

/// Any message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Of membership.
    Membership(Membership),
    /// Of broadcast.
    Broadcast(Broadcast),
    /// Of failure detection.
    Liveness(Liveness),
}

/// HyParView (Leitão, Pereira, Rodrigues 2007, section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// The sender is new, and asks to be made known; with its own address, where it knows that.
    Join {
        /// Where the sender accepts connections.
        addr: Option<SocketAddr>,
    },
    /// Somebody new, on a random walk.
    ForwardJoin {
        /// Who.
        member: Member,
        /// Steps left.
        ttl: u8,
    },
    /// The sender asks for a place in the active view.
    Neighbor {
        /// It has nobody else: not to be refused.
        urgent: bool,
        /// Where the sender accepts connections.
        addr: Option<SocketAddr>,
    },
    /// The answer.
    NeighborReply {
        /// There is a place.
        accepted: bool,
    },
    /// The sender has left the receiver out of its active view.
    Disconnect,
    /// A sample of the origin's views, on a random walk.
    Shuffle {
        /// Whom to answer.
        origin: Member,
        /// Steps left.
        ttl: u8,
        /// The sample.
        members: Vec<Member>,
    },
    /// The sample of where the walk ended.
    ShuffleReply {
        /// The sample.
        members: Vec<Member>,
    },
}

/// Plumtree (Leitão, Pereira, Rodrigues 2007b, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// The message itself.
    Gossip {
        /// Hops that it has made.
        round: u16,
        /// What it says.
        payload: Vec<u8>,
    },
    /// The sender has these.
    IHave {
        /// Which, and after how many hops they came to it.
        messages: Vec<(MessageId, u16)>,
    },
    /// Send this one, and those to come.
    Graft {
        /// Which; `None`: only those to come.
        message: Option<MessageId>,
    },
    /// Send no more but names.
    Prune,
}

/// SWIM (Das, Gupta, Motivala 2002, section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// What is asked or answered.
    pub body: LivenessBody,
    /// News that go along.
    pub updates: Vec<Update>,
}

/// What is asked or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivenessBody {
    /// Are you there?
    Ping {
        /// Comes back.
        number: u32,
    },
    /// Ask that one for me.
    PingReq {
        /// Comes back.
        number: u32,
        /// Whom.
        target: Member,
    },
    /// I am, or that one is.
    Ack {
        /// Whose question it answers.
        number: u32,
    },
}

/// How somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It answers.
    Alive,
    /// It did not answer somebody.
    Suspect,
    /// It is gone.
    Dead,
}

/// News of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Of whom.
    pub member: Member,
    /// The newer of two pieces of news has the greater number: only the one concerned counts it up.
    pub incarnation: u32,
    /// How it is.
    pub health: Health,
}

/// What is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GossipError {
    /// Of a version that is not spoken here.
    #[error("version {0} of gossip is not spoken here")]
    Version(u8),
    /// Of a kind that this version does not have.
    #[error("no message of kind {0}")]
    Kind(u8),
    /// It ends too soon, or goes on behind its end.
    #[error("a body of the wrong length")]
    Length,
    /// More of something than is permitted.
    #[error("too many, or too much, in one frame")]
    TooMuch,
    /// A field that has no such value.
    #[error("a field without meaning")]
    Value,
}

impl Frame {
    /// The bytes. Lists and payloads must be within their maxima.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.message.kind()];
        out.extend_from_slice(&self.topic);
        self.message.encode(&mut out);
        out
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// See [`GossipError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, GossipError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8().ok_or(GossipError::Length)?;
        if version != VERSION {
            return Err(GossipError::Version(version));
        }
        let kind = reader.u8().ok_or(GossipError::Length)?;
        let topic = reader.array().ok_or(GossipError::Length)?;
        let message = Message::decode(kind, &mut reader)?;
        if reader.is_empty() { Ok(Self { topic, message }) } else { Err(GossipError::Length) }
    }
}

impl Message {
    fn kind(&self) -> u8 {
        match self {
            Self::Membership(Membership::Join { .. }) => 0,
            Self::Membership(Membership::ForwardJoin { .. }) => 1,
            Self::Membership(Membership::Neighbor { .. }) => 2,
            Self::Membership(Membership::NeighborReply { .. }) => 3,
            Self::Membership(Membership::Disconnect) => 4,
            Self::Membership(Membership::Shuffle { .. }) => 5,
            Self::Membership(Membership::ShuffleReply { .. }) => 6,
            Self::Broadcast(Broadcast::Gossip { .. }) => 16,
            Self::Broadcast(Broadcast::IHave { .. }) => 17,
            Self::Broadcast(Broadcast::Graft { .. }) => 18,
            Self::Broadcast(Broadcast::Prune) => 19,
            Self::Liveness(Liveness { body: LivenessBody::Ping { .. }, .. }) => 32,
            Self::Liveness(Liveness { body: LivenessBody::PingReq { .. }, .. }) => 33,
            Self::Liveness(Liveness { body: LivenessBody::Ack { .. }, .. }) => 34,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Membership(message) => message.encode(out),
            Self::Broadcast(message) => message.encode(out),
            Self::Liveness(message) => message.encode(out),
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, GossipError> {
        match kind {
            0..=15 => Membership::decode(kind, reader).map(Self::Membership),
            16..=31 => Broadcast::decode(kind, reader).map(Self::Broadcast),
            _ => Liveness::decode(kind, reader).map(Self::Liveness),
        }
    }
}

impl Membership {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Join { addr } => put_addr(out, *addr),
            Self::ForwardJoin { member, ttl } => {
                put_member(out, member);
                out.push(*ttl);
            }
            Self::Neighbor { urgent, addr } => {
                out.push(u8::from(*urgent));
                put_addr(out, *addr);
            }
            Self::NeighborReply { accepted } => out.push(u8::from(*accepted)),
            Self::Disconnect => {}
            Self::Shuffle { origin, ttl, members } => {
                put_member(out, origin);
                out.push(*ttl);
                put_members(out, members);
            }
            Self::ShuffleReply { members } => put_members(out, members),
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, GossipError> {
        Ok(match kind {
            0 => Self::Join { addr: addr(reader)? },
            1 => Self::ForwardJoin { member: member(reader)?, ttl: byte(reader)? },
            2 => Self::Neighbor { urgent: flag(reader)?, addr: addr(reader)? },
            3 => Self::NeighborReply { accepted: flag(reader)? },
            4 => Self::Disconnect,
            5 => Self::Shuffle { origin: member(reader)?, ttl: byte(reader)?, members: members(reader)? },
            6 => Self::ShuffleReply { members: members(reader)? },
            _ => return Err(GossipError::Kind(kind)),
        })
    }
}

impl Broadcast {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gossip { round, payload } => {
                out.extend(round.to_be_bytes());
                out.extend_from_slice(payload);
            }
            Self::IHave { messages } => {
                out.push(count(messages.len(), GOSSIP_IHAVES_MAX));
                for (id, round) in messages.iter().take(GOSSIP_IHAVES_MAX) {
                    out.extend_from_slice(id);
                    out.extend(round.to_be_bytes());
                }
            }
            Self::Graft { message } => out.extend(message.iter().flatten()),
            Self::Prune => {}
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, GossipError> {
        Ok(match kind {
            16 => {
                let round = reader.u16().ok_or(GossipError::Length)?;
                let payload = reader.rest();
                if payload.len() > GOSSIP_PAYLOAD_BYTES_MAX {
                    return Err(GossipError::TooMuch);
                }
                reader.bytes(payload.len());
                Self::Gossip { round, payload: payload.to_vec() }
            }
            17 => {
                let mut messages = Vec::new();
                for _ in 0..counted(reader, GOSSIP_IHAVES_MAX)? {
                    let id = reader.array().ok_or(GossipError::Length)?;
                    messages.push((id, reader.u16().ok_or(GossipError::Length)?));
                }
                Self::IHave { messages }
            }
            18 if reader.is_empty() => Self::Graft { message: None },
            18 => Self::Graft { message: Some(reader.array().ok_or(GossipError::Length)?) },
            19 => Self::Prune,
            _ => return Err(GossipError::Kind(kind)),
        })
    }
}

impl Liveness {
    fn encode(&self, out: &mut Vec<u8>) {
        match &self.body {
            LivenessBody::Ping { number } | LivenessBody::Ack { number } => out.extend(number.to_be_bytes()),
            LivenessBody::PingReq { number, target } => {
                out.extend(number.to_be_bytes());
                put_member(out, target);
            }
        }
        out.push(count(self.updates.len(), SWIM_UPDATES_MAX));
        for update in self.updates.iter().take(SWIM_UPDATES_MAX) {
            put_member(out, &update.member);
            out.extend(update.incarnation.to_be_bytes());
            out.push(match update.health {
                Health::Alive => 0,
                Health::Suspect => 1,
                Health::Dead => 2,
            });
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, GossipError> {
        if !(32..=34).contains(&kind) {
            return Err(GossipError::Kind(kind));
        }
        let number = reader.u32().ok_or(GossipError::Length)?;
        let body = match kind {
            32 => LivenessBody::Ping { number },
            33 => LivenessBody::PingReq { number, target: member(reader)? },
            _ => LivenessBody::Ack { number },
        };
        let mut updates = Vec::new();
        for _ in 0..counted(reader, SWIM_UPDATES_MAX)? {
            let member = member(reader)?;
            let incarnation = reader.u32().ok_or(GossipError::Length)?;
            let health = match byte(reader)? {
                0 => Health::Alive,
                1 => Health::Suspect,
                2 => Health::Dead,
                _ => return Err(GossipError::Value),
            };
            updates.push(Update { member, incarnation, health });
        }
        Ok(Self { body, updates })
    }
}

fn count(len: usize, max: usize) -> u8 {
    debug_assert!(len <= max, "{len} of {max}");
    u8::try_from(len.min(max)).unwrap_or(u8::MAX)
}

fn counted(reader: &mut Reader<'_>, max: usize) -> Result<usize, GossipError> {
    let count = usize::from(byte(reader)?);
    if count > max { Err(GossipError::TooMuch) } else { Ok(count) }
}

fn byte(reader: &mut Reader<'_>) -> Result<u8, GossipError> {
    reader.u8().ok_or(GossipError::Length)
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, GossipError> {
    match byte(reader)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(GossipError::Value),
    }
}

fn put_addr(out: &mut Vec<u8>, addr: Option<SocketAddr>) {
    let Some(addr) = addr else { return out.push(0) };
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(addr.port().to_be_bytes());
}

fn addr(reader: &mut Reader<'_>) -> Result<Option<SocketAddr>, GossipError> {
    let ip: IpAddr = match byte(reader)? {
        0 => return Ok(None),
        4 => reader.array::<4>().ok_or(GossipError::Length)?.into(),
        6 => reader.array::<16>().ok_or(GossipError::Length)?.into(),
        _ => return Err(GossipError::Value),
    };
    Ok(Some(SocketAddr::new(ip, reader.u16().ok_or(GossipError::Length)?)))
}

fn put_member(out: &mut Vec<u8>, member: &Member) {
    out.extend_from_slice(&member.id.0);
    put_addr(out, member.addr);
}

fn member(reader: &mut Reader<'_>) -> Result<Member, GossipError> {
    let id = PeerId(reader.array().ok_or(GossipError::Length)?);
    Ok(Member { id, addr: addr(reader)? })
}

fn put_members(out: &mut Vec<u8>, members: &[Member]) {
    out.push(count(members.len(), GOSSIP_MEMBERS_MAX));
    members.iter().take(GOSSIP_MEMBERS_MAX).for_each(|member| put_member(out, member));
}

fn members(reader: &mut Reader<'_>) -> Result<Vec<Member>, GossipError> {
    (0..counted(reader, GOSSIP_MEMBERS_MAX)?).map(|_| member(reader)).collect()
}

#[cfg(test)]
mod tests;
