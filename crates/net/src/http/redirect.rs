//! One hop of a request, and what the next may be.

use super::{Error, HeaderMap, Request, StatusCode, Url, connect::Origin, header};
use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::Empty;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use std::net::SocketAddr;

/// Bytes of a URL at most: what servers commonly take, with room for a web seed's deep path.
const URL_BYTES_MAX: usize = 16 * 1024;

/// Where the next request goes, and what it carries.
#[derive(Debug)]
pub(super) struct Hop {
    /// Without credentials and fragment.
    url: Url,
    /// The `Authorization` header, for `url`'s origin only.
    authorization: Option<HeaderValue>,
    /// Whether a public server answered before: then the next must be public too.
    public_only: bool,
}

impl Hop {
    /// The first hop, to a URL as a stranger wrote it.
    pub(super) fn first(text: &str) -> Result<Self, Error> {
        if text.len() > URL_BYTES_MAX {
            return Err(Error::BadUrl("too long".to_owned()));
        }
        let url = Url::parse(text).map_err(|error| Error::BadUrl(error.to_string()))?;
        let authorization = authorization(&url);
        let url = checked(url)?;
        Ok(Self { url, authorization, public_only: false })
    }

    /// The hop that `location` leads to, when the server at `addr` sent it.
    pub(super) fn follow(self, location: &HeaderValue, addr: SocketAddr) -> Result<Self, Error> {
        let text = std::str::from_utf8(location.as_bytes()).map_err(|_| Error::BadRedirect)?;
        if text.len() > URL_BYTES_MAX {
            return Err(Error::BadRedirect);
        }
        let url = checked(self.url.join(text).map_err(|_| Error::BadRedirect)?)?;
        if self.url.scheme() == "https" && url.scheme() != "https" {
            return Err(Error::RedirectToPlain);
        }
        // Credentials that the redirect itself names are dropped; ours stay with their origin.
        let authorization = self.authorization.filter(|_| url.origin() == self.url.origin());
        let public_only = self.public_only || crate::guard::is_public(addr.ip());
        Ok(Self { url, authorization, public_only })
    }

    /// Whether the chain so far allows `addr`.
    pub(super) fn may_dial(&self, addr: SocketAddr) -> bool {
        !self.public_only || crate::guard::is_public(addr.ip())
    }

    /// What a connection for this hop is for.
    pub(super) fn origin(&self) -> Result<Origin, Error> {
        let host = self.url.host_str().ok_or_else(|| Error::BadUrl("no host".to_owned()))?;
        let port = self.url.port_or_known_default().ok_or_else(|| Error::BadUrl("no port".to_owned()))?;
        Ok(Origin { tls: self.url.scheme() == "https", host: host.to_owned(), port })
    }

    /// The request's head.
    pub(super) fn request(
        &self,
        request: &Request,
        user_agent: &str,
    ) -> Result<hyper::Request<Empty<Bytes>>, Error> {
        let bad = |_| Error::BadUrl("not a request target".to_owned());
        let mut target = self.url.path().to_owned();
        if let Some(query) = self.url.query() {
            target.push('?');
            target.push_str(query);
        }
        let host = self.url.host_str().unwrap_or_default();
        let host = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut head = hyper::Request::get(target)
            .header(header::HOST, host)
            .header(header::USER_AGENT, user_agent)
            .header(header::ACCEPT, "*/*");
        if let Some(range) = &request.range {
            head =
                head.header(header::RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let gzip = request.gzip && request.range.is_none();
        head = head.header(header::ACCEPT_ENCODING, if gzip { "gzip" } else { "identity" });
        if let Some(value) = &self.authorization {
            head = head.header(header::AUTHORIZATION, value);
        }
        head.body(Empty::new()).map_err(bad)
    }

    pub(super) fn into_url(self) -> Url {
        self.url
    }
}

/// `url` without credentials and fragment, if it is one that we speak.
fn checked(mut url: Url) -> Result<Url, Error> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::BadScheme(url.scheme().to_owned()));
    }
    if !url.has_host() || url.port() == Some(0) {
        return Err(Error::BadUrl("no host or no port".to_owned()));
    }
    // Cannot fail for a URL with a host; a failure would leave credentials in place.
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    stripped.map_err(|()| Error::BadUrl("credentials".to_owned()))?;
    url.set_fragment(None);
    Ok(url)
}

/// RFC 7617, from the part before an `@`.
fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or("")));
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(&pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The target of a redirect that is to be followed. A `GET` stays a `GET` with all five.
pub(super) fn location(status: StatusCode, headers: &HeaderMap) -> Option<&HeaderValue> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    headers.get(header::LOCATION)
}
