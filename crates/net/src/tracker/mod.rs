//! Asking trackers for peers: HTTP and HTTPS (BEP 3, 7, 23, 31, 48), and UDP (BEP 15, 41).
//!
//! A tracker's URL comes from whoever wrote the torrent, so it is dialled only where
//! [`crate::guard`] allows, over UDP too. Replies are bounded in size, time and peers, and the
//! numbers in them are clamped (by [`peerage_wire::tracker`]); texts are made printable.
//!
//! Start at [`Client::announce`].

mod udp;

pub use peerage_wire::tracker::{AnnounceReply, AnnounceRequest, Event, ScrapeEntry, http::Retry};

use crate::{
    Boxed, dns,
    http::{self, StatusCode, header},
};
use peerage_base::{Rng, limits::TRACKER_REPLY_BYTES_MAX};
use peerage_wire::tracker::{INTERVAL_MAX, INTERVAL_MIN, http as wire};
use std::{io, time::Duration};

/// How long a [`Client`] waits.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// For a whole HTTP announce or scrape; default 40 s.
    pub timeout: Duration,
    /// For a whole announce with [`Event::Stopped`], over both protocols, so that a node ends soon;
    /// default 5 s.
    pub stopped_timeout: Duration,
    /// For the first UDP try; each further one waits twice as long. Default 5 s. BEP 15 begins with
    /// 15 s and tries nine times, for over an hour in all: the node's own back-off does that here.
    pub udp_timeout: Duration,
    /// UDP tries, in turn over the tracker's addresses; default 3 (35 s in all).
    pub udp_tries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(40),
            stopped_timeout: Duration::from_secs(5),
            udp_timeout: Duration::from_secs(5),
            udp_tries: 3,
        }
    }
}

/// Why a tracker gave no peers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP request failed.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// No address, or none that may be dialled.
    #[error(transparent)]
    Dns(#[from] dns::Error),
    /// A scheme other than `http`, `https` and `udp`.
    #[error("trackers of the scheme {0:?} are not supported")]
    BadScheme(String),
    /// Not a URL.
    #[error("not a usable URL")]
    BadUrl,
    /// Announces go to this URL, but it has no scrape (BEP 48).
    #[error("this tracker has no scrape")]
    NoScrape,
    /// An HTTP status other than 200, without a reason in the body.
    #[error("the tracker answered {0}")]
    Status(StatusCode, Retry),
    /// The tracker refuses, in its own words (made printable).
    #[error("the tracker refuses: {reason}")]
    Refused {
        /// Its words.
        reason: String,
        /// When to ask again.
        retry: Retry,
    },
    /// The reply is not one.
    #[error(transparent)]
    BadReply(wire::ReplyError),
    /// The UDP socket failed; most often nobody listens there.
    #[error("cannot reach the tracker: {0}")]
    Socket(#[from] io::Error),
    /// No UDP reply.
    #[error("the tracker does not answer")]
    Timeout,
}

impl From<wire::ReplyError> for Error {
    fn from(error: wire::ReplyError) -> Self {
        match error {
            wire::ReplyError::Failure { reason, retry } => Self::Refused { reason, retry },
            other => Self::BadReply(other),
        }
    }
}

impl Error {
    /// Whether it is of no use to ask this URL again in this run: the guard refuses it, or it is
    /// none that we speak.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Http(error) => error.is_refusal(),
            Self::Dns(error) => matches!(error, dns::Error::Refused { .. }),
            Self::BadScheme(_) | Self::BadUrl | Self::NoScrape => true,
            _ => self.retry() == Retry::Never,
        }
    }

    /// When the tracker wants to be asked again, where it said so.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused { retry, .. } | Self::Status(_, retry) => *retry,
            _ => Retry::Unknown,
        }
    }
}

/// The client. Cheap to clone; clones share connections and UDP connection ids.
#[derive(Clone, Debug)]
pub struct Client {
    http: http::Client,
    udp: udp::Shared,
    config: Config,
}

impl Client {
    /// A client over `http`, whose policy and resolver hold for UDP too. Transaction ids are drawn
    /// from `rng`.
    #[must_use]
    pub fn new(http: http::Client, config: Config, rng: Rng) -> Self {
        Self { http, udp: udp::Shared::new(rng), config }
    }

    /// Announces at `url`.
    pub fn announce<'a>(
        &'a self,
        url: &'a str,
        request: &'a AnnounceRequest,
    ) -> Boxed<'a, Result<AnnounceReply, Error>> {
        Box::pin(async move {
            let stops = request.event == Event::Stopped;
            match scheme(url)? {
                Scheme::Http => {
                    let timeout = if stops { self.config.stopped_timeout } else { self.config.timeout };
                    let url = wire::append_query(url, &wire::announce_query(request));
                    let (status, body) = self.fetch(url, timeout).await?;
                    read(status, wire::parse_announce_reply(&body))
                }
                Scheme::Udp => {
                    let asked = self.udp_ask(url, udp::Ask::Announce(request));
                    let limit = if stops { self.config.stopped_timeout } else { Duration::MAX };
                    match tokio::time::timeout(limit, asked).await.map_err(|_| Error::Timeout)?? {
                        udp::Answer::Announce(reply) => Ok(reply),
                        udp::Answer::Scrape(_) => Err(Error::Timeout),
                    }
                }
            }
        })
    }

    /// Asks at `url` (the one for announces) for the numbers of swarms, at most
    /// [`peerage_wire::tracker::SCRAPE_HASHES_MAX`]. Swarms that the tracker does not know may be
    /// missing in the answer.
    pub async fn scrape(
        &self,
        url: &str,
        hashes: &[[u8; 20]],
    ) -> Result<Vec<([u8; 20], ScrapeEntry)>, Error> {
        match scheme(url)? {
            Scheme::Http => {
                let url = wire::scrape_url(url).ok_or(Error::NoScrape)?;
                let url = wire::append_query(&url, &wire::scrape_query(hashes));
                let (status, body) = self.fetch(url, self.config.timeout).await?;
                let mut entries = read(status, wire::parse_scrape_reply(&body))?;
                // A tracker may answer with more than was asked, up to all that it has.
                entries.retain(|(hash, _)| hashes.contains(hash));
                Ok(entries)
            }
            Scheme::Udp => match self.udp_ask(url, udp::Ask::Scrape(hashes)).await? {
                udp::Answer::Scrape(entries) => Ok(hashes.iter().copied().zip(entries).collect()),
                udp::Answer::Announce(_) => Err(Error::Timeout),
            },
        }
    }

    async fn fetch(&self, url: String, timeout: Duration) -> Result<((StatusCode, Retry), Vec<u8>), Error> {
        let mut request = http::Request::new(url, TRACKER_REPLY_BYTES_MAX as u64);
        request.timeout = Some(timeout);
        let response = self.http.get(&request).await?;
        let after =
            response.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map_or(Retry::Unknown, |seconds| {
            Retry::After(Duration::from_secs(seconds).clamp(INTERVAL_MIN, INTERVAL_MAX))
        });
        Ok(((response.status, after), response.body.bytes().await?))
    }

    async fn udp_ask(&self, url: &str, ask: udp::Ask<'_>) -> Result<udp::Answer, Error> {
        let target = udp::Target::parse(url)?;
        let http = self.http.config();
        let addrs = http.resolver.resolve(&target.host, target.port, http.policy).await?;
        self.udp.ask(&addrs, ask, &target.url_data, &self.config, &http.egress).await
    }
}

/// What a body says, whatever its status: a tracker may well refuse with 400 and a reason.
fn read<T>(status: (StatusCode, Retry), body: Result<T, wire::ReplyError>) -> Result<T, Error> {
    match body {
        Err(failure @ wire::ReplyError::Failure { .. }) => Err(failure.into()),
        _ if status.0 != StatusCode::OK => Err(Error::Status(status.0, status.1)),
        body => Ok(body?),
    }
}

/// Whether `url` is one that [`Client::announce`] can ask. Nothing is resolved or sent.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str) -> Result<(), Error> {
    // Announces take more than this, such as a missing `//`; other clients would not.
    if !url.contains("://") || url.contains(char::is_whitespace) {
        return Err(Error::BadUrl);
    }
    match scheme(url)? {
        Scheme::Http => url::Url::parse(url).map(drop).map_err(|_| Error::BadUrl),
        Scheme::Udp => udp::Target::parse(url).map(drop),
    }
}

enum Scheme {
    Http,
    Udp,
}

fn scheme(url: &str) -> Result<Scheme, Error> {
    let (scheme, _) = url.split_once(':').ok_or(Error::BadUrl)?;
    match scheme.trim().to_ascii_lowercase().as_str() {
        "http" | "https" => Ok(Scheme::Http),
        "udp" => Ok(Scheme::Udp),
        other => Err(Error::BadScheme(peerage_wire::text::printable(other.as_bytes(), 20))),
    }
}

#[cfg(test)]
mod tests;
