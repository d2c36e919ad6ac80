//! The HTTP side.

use super::State;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use peerage_wire::tracker::{AnnounceReply, http as wire};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

/// Bytes of a request's head at most, and its headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// How long a connection is left alone when others wait: an honest request takes milliseconds.
const GRACE: Duration = Duration::from_millis(100);

/// Accepts for ever. One request is served per connection.
pub(super) async fn serve(state: Arc<State>, listener: TcpListener) {
    let mut open = Open { tasks: JoinSet::new(), order: VecDeque::new() };
    loop {
        open.make_room(&state).await;
        let (stream, addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: wait for connections to end.
                tracing::warn!(%error, "tracker: accept");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let handle = open.tasks.spawn(connection(state.clone(), stream, addr));
        open.order.push_back(Waiting { site: site(addr.ip()), since: Instant::now(), handle });
    }
}

/// The connections of one server.
struct Open {
    tasks: JoinSet<()>,
    /// Oldest first; may name some that have ended.
    order: VecDeque<Waiting>,
}

struct Waiting {
    site: IpAddr,
    since: Instant,
    handle: AbortHandle,
}

impl Open {
    /// Returns once there is room for one more connection. Where there is none, the oldest one of
    /// the site that holds the most is ended, but not before its grace is over.
    async fn make_room(&mut self, state: &State) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            state.counters.connections.store(self.tasks.len() as u64, Relaxed);
            let max = state.config.connections_max.max(1);
            if self.order.len() >= max {
                self.order.retain(|waiting| !waiting.handle.is_finished());
            }
            if self.tasks.len() < max {
                return;
            }
            let Some(index) = self.victim() else { return };
            let Some(victim) = self.order.get(index) else { return };
            let age = victim.since.elapsed();
            if age >= GRACE {
                victim.handle.abort();
                self.order.remove(index);
                state.counters.dropped.fetch_add(1, Relaxed);
                self.tasks.join_next().await;
            } else {
                // One that ends by itself is better.
                let _ = timeout(GRACE.saturating_sub(age), self.tasks.join_next()).await;
            }
        }
    }

    fn victim(&self) -> Option<usize> {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for waiting in &self.order {
            *held.entry(waiting.site).or_default() += 1;
        }
        let most = held.values().copied().max()?;
        self.order.iter().position(|waiting| held.get(&waiting.site) == Some(&most))
    }
}

/// Who counts as one: an IPv4 address, or an IPv6 network of 64 bits, which one host can fill.
fn site(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

async fn connection(state: Arc<State>, stream: TcpStream, addr: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(&state, addr, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    // Without the timer hyper would leave the header timeout unset, in silence.
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.config.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(state.config.connection_timeout, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let slow = error.is_timeout();
            state.counters.dropped.fetch_add(u64::from(slow), Relaxed);
            tracing::trace!(%error, "tracker: connection");
        }
        Err(_) => {
            state.counters.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn respond(state: &State, addr: SocketAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    let query = request.uri().query().unwrap_or("");
    match request.uri().path() {
        "/announce" => announce(state, addr.ip(), query),
        "/scrape" => scrape(state, query),
        "/" | "/stats" => text(StatusCode::OK, statistics(state)),
        _ => text(StatusCode::NOT_FOUND, "not here\n".to_owned()),
    }
}

fn announce(state: &State, ip: IpAddr, query: &str) -> Response<Full<Bytes>> {
    let done = match wire::parse_announce_query(query) {
        Err(error) => Err(error.to_string()),
        Ok(query) => {
            let reply = state.announce(ip, &query.request, |_| true).map_err(str::to_owned);
            reply
                .map(|reply| AnnounceReply { external_ip: Some(ip), ..reply })
                .map(|reply| (reply, query.compact))
        }
    };
    match done {
        Ok((answer, compact)) => {
            state.counters.announces_http.fetch_add(1, Relaxed);
            bencoded(wire::encode_announce_reply(&answer, compact))
        }
        Err(reason) => refuse(state, &reason),
    }
}

fn scrape(state: &State, query: &str) -> Response<Full<Bytes>> {
    let hashes = match wire::parse_scrape_query(query) {
        Ok(hashes) => hashes,
        Err(error) => return refuse(state, &error.to_string()),
    };
    state.counters.scrapes.fetch_add(1, Relaxed);
    let entries: BTreeMap<_, _> = {
        let table = state.table();
        hashes.into_iter().map(|hash| (hash, table.0.scrape(&hash))).collect()
    };
    bencoded(wire::encode_scrape_reply(entries.iter().map(|(hash, entry)| (hash, *entry))))
}

/// A refusal has status 200: old clients read the reason only then.
fn refuse(state: &State, reason: &str) -> Response<Full<Bytes>> {
    state.counters.refused.fetch_add(1, Relaxed);
    bencoded(wire::encode_failure(reason))
}

fn bencoded(body: Vec<u8>) -> Response<Full<Bytes>> {
    reply(StatusCode::OK, "text/plain", body.into())
}

/// Counts only: no torrent and no peer is named.
fn statistics(state: &State) -> String {
    let s = state.stats();
    format!(
        "Peerage tracker\n\n\
         uptime_s {}\ntorrents {}\npeers {}\nannounces_http {}\nannounces_udp {}\nscrapes {}\n\
         refused {}\ndropped {}\nconnections {}\n",
        state.start.elapsed().as_secs(),
        s.torrents,
        s.peers,
        s.announces_http,
        s.announces_udp,
        s.scrapes,
        s.refused,
        s.dropped,
        s.connections,
    )
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", body.into())
}

fn reply(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}
