//! From a dial, or an accepted socket, to a connection that speaks the peer wire.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_api::request::EncryptionPolicy;
use peerage_base::{ConnId, Instant};
use peerage_net::tcp::{Admission, Connection, GreetError, Greeted, dial, encrypt, greet};
use peerage_peer::{Encryption, PeerChange};
use peerage_wire::handshake::Handshake;
use peerage_wire::mse::Methods;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::{Driver, Input, Link, News};

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

fn methods(encryption: Encryption) -> Methods {
    match encryption {
        Encryption::Off | Encryption::Allow => Methods::PlainFirst,
        Encryption::Prefer => Methods::Rc4First,
        Encryption::Require => Methods::Rc4Only,
    }
}

impl Driver {
    pub(super) fn dial(&mut self, conn: ConnId, addr: SocketAddr, info_hash: Option<[u8; 20]>) {
        let (methods, rng) = (methods(self.encryption), self.rng.fork());
        self.begin(conn, addr, true, async move {
            let stream = dial(addr, OPEN_LIMIT).await?;
            match info_hash {
                Some(info_hash) => encrypt(stream, info_hash, methods, rng).await,
                None => Ok(Greeted::plain(stream)),
            }
        });
    }

    pub(super) fn on_accept(&mut self, stream: TcpStream, addr: SocketAddr) {
        let now = self.now();
        let Some(conn) = self.peer.accept(now, addr) else { return };
        if self.encryption == Encryption::Off {
            return self.open(now, conn, Greeted::plain(stream), addr, None);
        }
        let admission = Admission {
            plain: self.encryption != Encryption::Require,
            methods: methods(self.encryption),
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

    pub(super) fn on_opened(&mut self, now: Instant, conn: ConnId, result: Result<Greeted, GreetError>) {
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
            Err(error) => self.peer.handle_peer(now, conn, PeerChange::Closed(error.to_string())),
        }
    }

    /// A socket becomes a connection.
    fn open(
        &mut self,
        now: Instant,
        conn: ConnId,
        greeted: Greeted,
        addr: SocketAddr,
        info_hash: Option<[u8; 20]>,
    ) {
        tracing::debug!(%addr, method = ?greeted.method, "connected");
        let connection = Connection::spawn(conn, greeted, self.net_sender.clone(), self.buffers.clone());
        self.connections.insert(conn, Link { connection, addr, info_hash });
        self.news.push_back(News::Connected(addr));
        self.uploads.open(now, conn);
    }

    /// Whether a handshake is about another torrent than the encrypted start before it.
    pub(super) fn contradicts(&self, conn: ConnId, handshake: &Handshake) -> bool {
        let link = self.connections.get(&conn);
        link.and_then(|link| link.info_hash).is_some_and(|info_hash| info_hash != handshake.info_hash)
    }
}
