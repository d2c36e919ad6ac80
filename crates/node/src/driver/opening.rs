//! From a dial, or an accepted socket, to a connection that speaks the peer wire.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_api::event as api;
use peerage_api::request::{EncryptionPolicy, TlsPolicy, ViaPolicy};
use peerage_base::ConnId;
use peerage_net::road::{
    Admission, Connection, GreetError, Greeted, Stream, authenticate, dial, encrypt, greet,
};
use peerage_peer::{Authentication, Encryption, PeerChange, Road, RoadKind, Via};
use peerage_wire::handshake::Handshake;
use peerage_wire::mse::Methods;
use tokio::task::AbortHandle;

use super::{Driver, Input, Link, News, Trace};

/// Openings end by then even if the machine does not give them up.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// A connection that is not open yet.
pub(super) struct Opening {
    task: AbortHandle,
    addr: SocketAddr,
    outgoing: bool,
}

/// What the user chose, as the machine calls it.
pub(super) fn policy(chosen: EncryptionPolicy) -> Encryption {
    match chosen {
        EncryptionPolicy::Off => Encryption::Off,
        EncryptionPolicy::Allow => Encryption::Allow,
        EncryptionPolicy::Prefer => Encryption::Prefer,
        EncryptionPolicy::Require => Encryption::Require,
    }
}

/// The same of proof.
pub(super) fn authentication(chosen: TlsPolicy) -> Authentication {
    match chosen {
        TlsPolicy::Off => Authentication::Off,
        TlsPolicy::On => Authentication::Prefer,
        TlsPolicy::Require => Authentication::Require,
    }
}

/// The same of ways.
pub(super) fn via(chosen: ViaPolicy) -> Via {
    match chosen {
        ViaPolicy::Any => Via::Any,
        ViaPolicy::Direct => Via::Direct,
        ViaPolicy::Relay => Via::Relay,
    }
}

fn methods(encryption: Encryption) -> Methods {
    match encryption {
        Encryption::Off | Encryption::Allow => Methods::PlainFirst,
        Encryption::Prefer => Methods::Rc4First,
        Encryption::Require => Methods::Rc4Only,
    }
}

fn kind(greeted: &Greeted) -> RoadKind {
    match greeted.stream {
        Stream::Tcp(_) => RoadKind::Tcp,
        Stream::Tls(_) => RoadKind::Tls,
        Stream::Quic(_) => RoadKind::Quic,
        Stream::Utp(_) => RoadKind::Utp,
    }
}

/// What the user is told of a road.
fn told(greeted: &Greeted) -> api::Road {
    let kind = match (&greeted.stream, greeted.method) {
        (Stream::Tls(_), _) => api::RoadKind::Tls,
        (Stream::Quic(_), _) => api::RoadKind::Quic,
        (Stream::Utp(_), _) => api::RoadKind::Utp,
        (Stream::Tcp(_), Some(_)) => api::RoadKind::Encrypted,
        (Stream::Tcp(_), None) => api::RoadKind::Tcp,
    };
    let rtt_ms = greeted.rtt.map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX));
    api::Road { kind, rtt_ms, relay: None }
}

impl Driver {
    pub(super) fn dial(&mut self, conn: ConnId, addr: SocketAddr, road: Road, info_hash: Option<[u8; 20]>) {
        let (methods, rng) = (methods(self.encryption), self.rng.fork());
        let (tls, quic, utp) = (self.tls.clone(), self.quic.clone(), self.utp.of(addr));
        let egress = self.egress.clone();
        self.begin(conn, addr, true, async move {
            if let Road::Quic(contact) = road {
                let quic = quic.ok_or(GreetError::Off("QUIC"))?;
                return quic.dial(contact).await;
            }
            let begun = Instant::now();
            let stream = match &road {
                Road::Utp => Stream::from(utp.ok_or(GreetError::Off("uTP"))?.dial(addr, OPEN_LIMIT).await?),
                _ => Stream::from(dial(addr, OPEN_LIMIT, &egress).await?),
            };
            let rtt = Some(begun.elapsed());
            let greeted = match (road, stream, info_hash, tls) {
                (Road::Tls(peer), Stream::Tcp(stream), _, Some(tls)) => {
                    authenticate(stream, peer, &tls).await
                }
                (Road::Tcp | Road::Utp, stream, Some(info_hash), _) => {
                    encrypt(stream, info_hash, methods, rng).await
                }
                (Road::Tcp | Road::Utp, stream, None, _) => Ok(Greeted::plain(stream)),
                (Road::Tls(_) | Road::Quic(_), ..) => Err(GreetError::Off("this road")),
            }?;
            Ok(Greeted { rtt, ..greeted })
        });
    }

    pub(super) fn on_accept(&mut self, stream: Stream, addr: SocketAddr) {
        let now = self.now();
        let road = if matches!(stream, Stream::Utp(_)) { RoadKind::Utp } else { RoadKind::Tcp };
        let Some(conn) = self.peer.accept_over(now, addr, road) else { return };
        self.trace_arrival(conn, addr, road);
        let strangers = self.authentication != Authentication::Require;
        let admission = Admission {
            plain: strangers && self.encryption != Encryption::Require,
            encrypted: Some(methods(self.encryption))
                .filter(|_| strangers && self.encryption != Encryption::Off),
            tls: self.tls.clone(),
            known: self.peer.info_hashes().collect(),
        };
        let rng = self.rng.fork();
        self.begin(conn, addr, false, greet(stream, admission, rng));
    }

    fn begin<F>(&mut self, conn: ConnId, addr: SocketAddr, outgoing: bool, opening: F)
    where
        F: Future<Output = Result<Greeted, GreetError>> + Send + 'static,
    {
        let inbox = self.inbox.clone();
        let task = tokio::spawn(async move {
            let late = |_| GreetError::Io(std::io::ErrorKind::TimedOut.into());
            let result = tokio::time::timeout(OPEN_LIMIT, opening).await.unwrap_or_else(|at| Err(late(at)));
            inbox.put(Input::Opened(conn, result));
        });
        self.openings.insert(conn, Opening { task: task.abort_handle(), addr, outgoing });
    }

    /// The machine gives up an opening.
    pub(super) fn give_up(&mut self, conn: ConnId) {
        if let Some(opening) = self.openings.remove(&conn) {
            opening.task.abort();
        }
    }

    pub(super) fn on_opened(
        &mut self,
        now: peerage_base::Instant,
        conn: ConnId,
        result: Result<Greeted, GreetError>,
    ) {
        let Some(opening) = self.openings.remove(&conn) else { return };
        match result {
            Ok(greeted) => {
                // Of a dial the machine knows what it was for.
                let named = greeted.info_hash.filter(|_| !opening.outgoing);
                self.open(now, conn, greeted, opening.addr, named);
                if opening.outgoing {
                    self.peer.handle_peer(now, conn, PeerChange::Connected);
                }
            }
            Err(error) => {
                self.trace_failure(conn, &error);
                self.peer.handle_peer(now, conn, PeerChange::Closed(error.to_string()));
            }
        }
    }

    /// A socket becomes a connection.
    pub(super) fn open(
        &mut self,
        now: peerage_base::Instant,
        conn: ConnId,
        greeted: Greeted,
        addr: SocketAddr,
        info_hash: Option<[u8; 20]>,
    ) {
        let (kind, road, path, peer) = (kind(&greeted), told(&greeted), greeted.path(), greeted.peer);
        let connection = Connection::spawn(conn, greeted, self.net_sender.clone(), self.buffers.clone());
        let link = Link { connection, addr, road, path, info_hash };
        let road = link.road();
        tracing::debug!(%addr, %road, "connected");
        self.connections.insert(conn, link);
        self.trace(Trace::Open(conn, road.clone()));
        self.news.push_back(News::Connected(addr, road, peer));
        self.uploads.open(now, conn);
        if let Some(peer) = peer {
            self.peer.handle_peer(now, conn, PeerChange::Authenticated(kind, peer));
        }
    }

    /// Whether a handshake is about another torrent than the encrypted start before it.
    pub(super) fn contradicts(&self, conn: ConnId, handshake: &Handshake) -> bool {
        let link = self.connections.get(&conn);
        link.and_then(|link| link.info_hash).is_some_and(|info_hash| info_hash != handshake.info_hash)
    }
}
