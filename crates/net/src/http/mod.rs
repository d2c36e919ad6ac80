//! A guarded HTTP client: for trackers, web seeds and `.torrent` URLs that strangers name.
//!
//! Only `GET`, HTTP/1.1, over connections of our own, so that the address that [`crate::guard`]
//! checked is the address that is dialled. Each redirect (at most [`Config::redirects_max`]) is
//! checked anew: a public server cannot send us to a local one, `https` cannot become `http`, and
//! credentials stay with the origin that they were meant for. Time, headers and bodies are bounded,
//! also when a body is compressed. Proxies are not supported: a proxy resolves names by itself.
//!
//! Start at [`Client::get`].

mod body;
mod connect;
mod error;
mod redirect;
mod tls;

pub use body::Body;
pub use error::Error;
pub use hyper::{HeaderMap, StatusCode, header};
pub use url::Url;

use crate::{Boxed, dns::Resolver, egress::Egress, guard::Policy};
use std::{net::SocketAddr, ops::Range, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// What a [`Client`] may do, and how long it waits.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which addresses may be dialled.
    pub policy: Policy,
    /// Where names are resolved.
    pub resolver: Resolver,
    /// The interface by which requests leave.
    pub egress: Egress,
    /// A PEM file of certificate authorities that are trusted besides the system's: for a private
    /// tracker, and for tests.
    pub extra_roots: Option<PathBuf>,
    /// PEM files of certificate revocation lists. Without one, revocation is not known: there is no
    /// online check.
    pub revocation_lists: Vec<PathBuf>,
    /// What we call ourselves.
    pub user_agent: String,
    /// For a connection with its TLS handshake; default 10 s.
    pub connect_timeout: Duration,
    /// From the request to the end of the response's headers; default 20 s.
    pub header_timeout: Duration,
    /// Between two parts of a body; default 20 s.
    pub idle_timeout: Duration,
    /// For the whole of a request with its redirects and its body, where [`Request::timeout`] does
    /// not say otherwise; default 60 s. Bounds servers that send one byte a second.
    pub total_timeout: Duration,
    /// Redirects followed at most; default 5.
    pub redirects_max: u32,
    /// Connections kept open for the next request to the same origin, in all; default 16.
    pub idle_connections_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            resolver: Resolver::default(),
            egress: Egress::default(),
            extra_roots: None,
            revocation_lists: Vec::new(),
            user_agent: concat!("Peerage/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_secs(60),
            redirects_max: 5,
            idle_connections_max: 16,
        }
    }
}

/// One `GET`.
#[derive(Clone, Debug)]
pub struct Request {
    /// `http` or `https`. Credentials before an `@` become an `Authorization` header.
    pub url: String,
    /// Bytes of the body at most, decoded; one more is [`Error::BodyTooLarge`].
    pub body_bytes_max: u64,
    /// The part of the resource that is wanted; none for all of it.
    pub range: Option<Range<u64>>,
    /// Whether the server may compress the body. Not together with `range`.
    pub gzip: bool,
    /// For the whole of the request; [`Config::total_timeout`] where there is none.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A `GET` of `url`, of a body of at most `body_bytes_max` bytes.
    #[must_use]
    pub fn new(url: impl Into<String>, body_bytes_max: u64) -> Self {
        Self { url: url.into(), body_bytes_max, range: None, gzip: true, timeout: None }
    }
}

/// The answer to a request; any status but a redirect that was followed.
#[derive(Debug)]
pub struct Response {
    /// The status, of whatever class.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Where the answer came from, after redirects; without credentials.
    pub url: Url,
    /// The address that answered.
    pub addr: SocketAddr,
    /// What follows.
    pub body: Body,
}

/// The client. Cheap to clone; clones share the kept connections.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    tls: tls::Lazy,
    pool: connect::Pool,
}

impl Client {
    /// A client; certificates are loaded at the first `https` request.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let pool = connect::Pool::new(config.idle_connections_max);
        let tls = tls::Lazy::new(config.extra_roots.clone(), config.revocation_lists.clone());
        Self(Arc::new(Inner { config, tls, pool }))
    }

    /// A client that believes in public addresses, and dials `detour` of them instead.
    #[cfg(test)]
    pub(crate) fn with_detour(config: Config, detour: fn(SocketAddr) -> SocketAddr) -> Self {
        let pool = connect::Pool::with_detour(config.idle_connections_max, detour);
        let tls = tls::Lazy::new(config.extra_roots.clone(), config.revocation_lists.clone());
        Self(Arc::new(Inner { config, tls, pool }))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Sends `request`, follows redirects, and returns the answer once its headers are here. The
    /// body is read from [`Response::body`].
    pub fn get<'a>(&'a self, request: &'a Request) -> Boxed<'a, Result<Response, Error>> {
        Box::pin(async move {
            let config = &self.0.config;
            let deadline = Instant::now() + request.timeout.unwrap_or(config.total_timeout);
            let mut hop = redirect::Hop::first(&request.url)?;
            for _ in 0..=config.redirects_max {
                let found = timeout_at(deadline, self.hop(&hop, request)).await;
                let (addr, lease, response) = found.map_err(|_| Error::Timeout("the whole request"))??;
                let (parts, incoming) = response.into_parts();
                if let Some(location) = redirect::location(parts.status, &parts.headers) {
                    hop = hop.follow(location, addr)?;
                    continue;
                }
                let limits = body::Limits {
                    bytes_max: request.body_bytes_max,
                    idle_timeout: config.idle_timeout,
                    deadline,
                };
                let body = Body::new(incoming, &parts.headers, limits, lease)?;
                let url = hop.into_url();
                return Ok(Response { status: parts.status, headers: parts.headers, url, addr, body });
            }
            Err(Error::TooManyRedirects(config.redirects_max))
        })
    }

    /// One request and the headers of its answer, on a kept connection or a new one.
    async fn hop(&self, hop: &redirect::Hop, request: &Request) -> Result<Answer, Error> {
        let config = &self.0.config;
        let origin = hop.origin()?;
        let mut kept = self.0.pool.take(&origin).filter(|lease| hop.may_dial(lease.addr()));
        loop {
            let reused = kept.is_some();
            let mut lease = match kept.take() {
                Some(lease) => lease,
                None => {
                    let addrs = config.resolver.resolve(&origin.host, origin.port, config.policy).await?;
                    let addrs: Vec<_> = addrs.into_iter().filter(|addr| hop.may_dial(*addr)).collect();
                    if addrs.is_empty() {
                        return Err(Error::RedirectToLocal);
                    }
                    let tls = if origin.tls { Some(self.0.tls.connector().await?) } else { None };
                    let dialled = connect::connect(&self.0.pool, origin.clone(), &addrs, tls, &config.egress);
                    timeout(config.connect_timeout, dialled)
                        .await
                        .map_err(|_| Error::Timeout("the connection"))??
                }
            };
            let sent = lease.send(hop.request(request, &config.user_agent)?);
            match timeout(config.header_timeout, sent).await {
                Err(_) => return Err(Error::Timeout("the response")),
                Ok(Ok(response)) => return Ok((lease.addr(), lease, response)),
                // A server may close a kept connection at any moment: try once more on a new one.
                Ok(Err(_)) if reused => {}
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }
}

type Answer = (SocketAddr, connect::Lease, hyper::Response<hyper::body::Incoming>);

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
