//! The UDP exchange: connect, then ask; each try with a socket of its own.

use super::{AnnounceReply, AnnounceRequest, Config, Error, Retry, ScrapeEntry};
use crate::egress::Egress;
use peerage_base::Rng;
use peerage_wire::tracker::udp::{Family, PACKET_BYTES_MAX, Reply, Request};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};
use url::Url;

/// BEP 15: "A client can use a connection ID until one minute after it has received it."
const ID_LIFE: Duration = Duration::from_secs(60);

/// Connection ids kept at most.
const IDS_MAX: usize = 256;

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    Announce(&'a AnnounceRequest),
    Scrape(&'a [[u8; 20]]),
}

/// What came back.
pub(super) enum Answer {
    Announce(AnnounceReply),
    Scrape(Vec<ScrapeEntry>),
}

/// A `udp:` URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query for BEP 41; empty where they say nothing, since not every tracker likes them.
    pub(super) url_data: Vec<u8>,
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        // Parsed as `http`, so that a host has one spelling, whatever the scheme.
        let (_, rest) = text.split_once(':').ok_or(Error::BadUrl)?;
        let url = Url::parse(&format!("http:{rest}")).map_err(|_| Error::BadUrl)?;
        let host = url.host_str().ok_or(Error::BadUrl)?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(Error::BadUrl)?;
        let mut url_data = url.path().to_owned();
        if let Some(query) = url.query() {
            url_data = format!("{url_data}?{query}");
        }
        let plain = matches!(url_data.as_str(), "" | "/" | "/announce");
        Ok(Self { host, port, url_data: if plain { Vec::new() } else { url_data.into_bytes() } })
    }
}

#[derive(Debug)]
struct State {
    rng: Rng,
    ids: HashMap<SocketAddr, (u64, Instant)>,
}

/// Connection ids and randomness, shared by all exchanges.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub(super) fn new(rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(State { rng, ids: HashMap::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transaction(&self) -> u32 {
        self.state().rng.next_u32()
    }

    fn known_id(&self, addr: SocketAddr) -> Option<u64> {
        let mut state = self.state();
        state.ids.retain(|_, (_, since)| since.elapsed() < ID_LIFE);
        state.ids.get(&addr).map(|(id, _)| *id)
    }

    fn remember(&self, addr: SocketAddr, id: u64) {
        let mut state = self.state();
        if state.ids.len() < IDS_MAX {
            state.ids.insert(addr, (id, Instant::now()));
        }
    }

    fn forget(&self, addr: SocketAddr) {
        self.state().ids.remove(&addr);
    }

    /// Tries `addrs` in turn, each time for twice as long.
    pub(super) async fn ask(
        &self,
        addrs: &[SocketAddr],
        ask: Ask<'_>,
        url_data: &[u8],
        config: &Config,
        egress: &Egress,
    ) -> Result<Answer, Error> {
        let mut last = Error::Timeout;
        let mut wait = config.udp_timeout;
        // An address that fails at once costs no try: there may be no route for its family.
        let tries = usize::try_from(config.udp_tries).unwrap_or(usize::MAX).max(addrs.len());
        for addr in addrs.iter().cycle().take(tries) {
            match self.attempt(*addr, ask, url_data, Instant::now() + wait, egress).await {
                Err(Error::Timeout) => {
                    last = Error::Timeout;
                    wait = wait.saturating_mul(2);
                    if wait
                        > config
                            .udp_timeout
                            .saturating_mul(1 << config.udp_tries.clamp(1, 16).saturating_sub(1))
                    {
                        break;
                    }
                }
                Err(error @ Error::Socket(_)) => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    async fn attempt(
        &self,
        addr: SocketAddr,
        ask: Ask<'_>,
        url_data: &[u8],
        until: Instant,
        egress: &Egress,
    ) -> Result<Answer, Error> {
        let socket = egress.connect_udp(addr).await?;
        loop {
            let known = self.known_id(addr);
            let connection = match known {
                Some(id) => id,
                None => self.connect(&socket, addr, until).await?,
            };
            let transaction = self.transaction();
            let request = match ask {
                Ask::Announce(request) => Request::Announce {
                    connection,
                    transaction,
                    request: request.clone(),
                    url_data: url_data.to_vec(),
                },
                Ask::Scrape(hashes) => {
                    Request::Scrape { connection, transaction, info_hashes: hashes.to_vec() }
                }
            };
            let reply = exchange(&socket, addr, &request, transaction, until).await;
            if !matches!(reply, Ok(Reply::Announce { .. } | Reply::Scrape { .. })) {
                self.forget(addr);
            }
            match reply? {
                Reply::Announce { reply, .. } => return Ok(Answer::Announce(reply)),
                Reply::Scrape { entries, .. } => return Ok(Answer::Scrape(entries)),
                // The tracker may have forgotten an id that we kept: ask for a new one, once.
                Reply::Error { .. } | Reply::Connect { .. } if known.is_some() => {}
                Reply::Error { message, .. } => {
                    return Err(Error::Refused { reason: message, retry: Retry::Unknown });
                }
                Reply::Connect { .. } => return Err(Error::Timeout),
            }
        }
    }

    async fn connect(&self, socket: &UdpSocket, addr: SocketAddr, until: Instant) -> Result<u64, Error> {
        let transaction = self.transaction();
        match exchange(socket, addr, &Request::Connect { transaction }, transaction, until).await? {
            Reply::Connect { connection, .. } => {
                self.remember(addr, connection);
                Ok(connection)
            }
            Reply::Error { message, .. } => Err(Error::Refused { reason: message, retry: Retry::Unknown }),
            _ => Err(Error::Timeout),
        }
    }
}

/// Sends `request`, and waits for the reply of its kind with its transaction. All else is ignored.
async fn exchange(
    socket: &UdpSocket,
    addr: SocketAddr,
    request: &Request,
    transaction: u32,
    until: Instant,
) -> Result<Reply, Error> {
    socket.send(&request.encode()).await?;
    let family = if addr.is_ipv4() { Family::V4 } else { Family::V6 };
    let mut buf = vec![0; PACKET_BYTES_MAX];
    loop {
        let len = timeout_at(until, socket.recv(&mut buf)).await.map_err(|_| Error::Timeout)??;
        let Some(Ok(reply)) = buf.get(..len).map(|packet| Reply::decode(packet, family)) else { continue };
        let fits = matches!(
            (request, &reply),
            (Request::Connect { .. }, Reply::Connect { .. })
                | (Request::Announce { .. }, Reply::Announce { .. })
                | (Request::Scrape { .. }, Reply::Scrape { .. })
                | (_, Reply::Error { .. })
        );
        if fits && reply.transaction() == transaction {
            return Ok(reply);
        }
    }
}
