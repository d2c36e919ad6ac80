//! What the driver tells of each address and connection, for those who ask why.

use std::net::SocketAddr;

use peerage_api::event as api;
use peerage_base::ConnId;
use peerage_net::road::{GreetError, Obstacle};
use peerage_peer::{CloseReason, Refusal, Road, RoadKind, Source};

use super::{Driver, News};

/// Something that happened on the way to a peer.
#[derive(Debug)]
pub(crate) enum Trace {
    /// An address was named; where there is a reason, it is not dialled.
    Found(SocketAddr, Source, Option<Refusal>),
    /// A dial began, or (without a road) somebody came.
    Opening(ConnId, SocketAddr, api::Road, bool),
    /// A connection is open, on this road.
    Open(ConnId, api::Road),
    /// Both handshakes are done.
    Greeted(ConnId),
    /// A connection ended, or never came to be.
    Closed(ConnId, End),
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// While it was being opened.
    Failed(Obstacle, String),
    /// We closed it.
    Left(CloseReason),
    /// The other end closed it, or it broke; in words.
    Lost(String),
}

impl Driver {
    pub(super) fn trace(&mut self, trace: Trace) {
        self.news.push_back(News::Trace(trace));
    }

    pub(super) fn trace_dial(&mut self, conn: ConnId, addr: SocketAddr, road: &Road, encrypted: bool) {
        let relay = match road {
            Road::Quic(contact) => contact.relay.as_deref().map(host),
            _ => None,
        };
        let road = api::Road { relay, ..road_of(road.kind(), encrypted) };
        self.trace(Trace::Opening(conn, addr, road, false));
    }

    pub(super) fn trace_arrival(&mut self, conn: ConnId, addr: SocketAddr, kind: RoadKind) {
        self.trace(Trace::Opening(conn, addr, road_of(kind, false), true));
    }

    pub(super) fn trace_failure(&mut self, conn: ConnId, error: &GreetError) {
        self.trace(Trace::Closed(conn, End::Failed(error.into(), error.to_string())));
    }
}

fn road_of(kind: RoadKind, encrypted: bool) -> api::Road {
    let kind = match kind {
        RoadKind::Tcp if encrypted => api::RoadKind::Encrypted,
        RoadKind::Tcp => api::RoadKind::Tcp,
        RoadKind::Utp => api::RoadKind::Utp,
        RoadKind::Tls => api::RoadKind::Tls,
        RoadKind::Quic => api::RoadKind::Quic,
    };
    api::Road { kind, rtt_ms: None, relay: None }
}

/// The host of a relay's URL, as roads name it.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '#', '?']).next().unwrap_or(rest);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned()
}
