//! What a connection runs on, as far as the machine decides about it.

use peerage_base::{Contact, PeerId};

/// The road of a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Road {
    /// TCP, in plain or with an encrypted start: any client.
    Tcp,
    /// TLS 1.3 over TCP, under both ends' keys. The other end must be this peer, if one is named.
    Tls(Option<PeerId>),
    /// QUIC to this peer, wherever it can be reached: directly, through holes in NATs, by its relay.
    Quic(Contact),
}

impl Road {
    /// Who must answer.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Tcp => None,
            Self::Tls(peer) => *peer,
            Self::Quic(contact) => Some(contact.id),
        }
    }

    /// Which it is.
    #[must_use]
    pub fn kind(&self) -> RoadKind {
        match self {
            Self::Tcp => RoadKind::Tcp,
            Self::Tls(_) => RoadKind::Tls,
            Self::Quic(_) => RoadKind::Quic,
        }
    }
}

/// Roads in the order of their worth between two nodes that could use either: a byte over TLS costs a
/// quarter of one over QUIC, and one over TCP is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoadKind {
    /// TCP, in plain or with message stream encryption.
    Tcp,
    /// QUIC.
    Quic,
    /// TLS.
    Tls,
}
