//! What stands before every handler: names, origins, rights, sizes and times.
//!
//! A page of another site makes a browser send requests with its user's address, cookies and all. So: the name by
//! which we are called must be ours (else it may be another's name that leads here, DNS rebinding); a request that says it
//! comes from another origin is refused; and a session's cookie counts only with the token that the page alone knows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use peerage_api::control::{API_VERSION, Scope};

use super::Shared;
use super::access::Denied;
use super::reply::Refusal;
use super::server::Caller;

/// Bytes of a body: a torrent file in base64 and what surrounds it.
const BODY_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Bytes of a body elsewhere than where torrents are added.
const SMALL_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a body may take.
const BODY_LIMIT: Duration = Duration::from_secs(20);
/// Methods that change something.
const METHODS: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// The cookie of a session.
pub(super) const COOKIE: &str = "peerage_session";
/// The header that proves that a request is the page's.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// What the page may do: nothing but what comes from here.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Looks at a request before its handler does, and at the answer after it.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let content = request.uri().path().starts_with("/stream/");
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let mut response = match admit(&shared, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    // Methods that somebody has made up are told as one.
    let method = if method.is_safe() || METHODS.contains(&method) { method.as_str() } else { "other" };
    shared.metrics.answered(route, method, response.status().as_u16(), begin.elapsed());
    let headers = response.headers_mut();
    let fixed = [
        // What strangers have made runs nothing, whatever a browser takes it for.
        (
            header::CONTENT_SECURITY_POLICY,
            if content { "default-src 'none'; sandbox" } else { CONTENT_POLICY },
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("x-api-version"), API_VERSION),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn admit(shared: &Shared, request: Request) -> Result<Request, Refusal> {
    let caller = request.extensions().get::<Caller>().copied().unwrap_or(Caller::Stranger);
    if caller == Caller::Stranger {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "E_DENIED", "this socket is another user's"));
    }
    let headers = request.headers();
    if let Caller::At(_) = caller {
        check_host(shared, headers)?;
    }
    check_origin(headers, &request)?;
    let need = needed(request.method(), request.uri().path());
    if let Some(need) = need {
        let scope = scope(shared, caller, &request)?;
        if scope < need {
            let message = format!("this takes a token of scope {need}, and yours has {scope}");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "E_SCOPE", message)
                .hint("`peerage token new --scope …` makes one"));
        }
    }
    read_body(request).await
}

/// The scope that a request needs; `None`: it is open to everybody who may call at all.
fn needed(method: &Method, path: &str) -> Option<Scope> {
    const OPEN: [&str; 4] = ["/healthz", "/livez", "/readyz", "/openapi.json"];
    let rest = path.strip_prefix("/api/v1/");
    if rest.is_none() && !path.starts_with("/stream/") && path != "/metrics" {
        // Health, the document, the page's own files: nothing in them is anybody's secret.
        debug_assert!(OPEN.iter().all(|open| !open.starts_with("/api/")));
        return None;
    }
    match (method, rest) {
        (&Method::POST, Some("session")) => None,
        (_, Some("session")) => Some(Scope::Read),
        (_, Some(rest)) if rest == "tokens" || rest.starts_with("tokens/") || rest == "login-links" => {
            Some(Scope::Admin)
        }
        (&Method::GET | &Method::HEAD, Some("config" | "doctor" | "logs")) => Some(Scope::Admin),
        (&Method::GET | &Method::HEAD, _) => Some(Scope::Read),
        (_, Some(rest)) if rest.starts_with("config") => Some(Scope::Admin),
        _ => Some(Scope::Control),
    }
}

/// We answer to our own names alone.
fn check_host(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let misdirected = || {
        Refusal::new(StatusCode::MISDIRECTED_REQUEST, "E_HOST", "this is not the name of this server")
            .hint("call it by the address that `peerage daemon` prints; `api.hosts` permits more names")
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(misdirected()) };
    let host = host.to_str().map_err(|_| misdirected())?.to_ascii_lowercase();
    let name = host_name(&host).ok_or_else(misdirected)?;
    let own = shared.addr.map(|addr| addr.ip());
    let is_ours = name == "localhost"
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || Some(ip) == own)
        || shared.hosts.iter().any(|host| host == name);
    if is_ours { Ok(()) } else { Err(misdirected()) }
}

/// The name in `NAME[:PORT]`, without the brackets of IPv6.
fn host_name(host: &str) -> Option<&str> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port_fits = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (port_fits && !name.is_empty()).then_some(name)
}

/// Whoever says that it comes from elsewhere is refused. A link on another page may lead to ours.
fn check_origin(headers: &HeaderMap, request: &Request) -> Result<(), Refusal> {
    let foreign =
        || Refusal::new(StatusCode::FORBIDDEN, "E_ORIGIN", "requests of other sites are not answered");
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(&HeaderName::from_static("sec-fetch-site")) {
        let navigates = text(&HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
            && *request.method() == Method::GET
            && request.uri().path() == "/";
        if !matches!(site, "same-origin" | "none") && !navigates {
            return Err(foreign());
        }
    }
    if let Some(origin) = text(&header::ORIGIN) {
        let host = text(&header::HOST).unwrap_or_default().to_ascii_lowercase();
        let ours =
            ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host.as_str()));
        if !ours {
            return Err(foreign());
        }
    }
    Ok(())
}

/// What the request's token or session permits.
fn scope(shared: &Shared, caller: Caller, request: &Request) -> Result<Scope, Refusal> {
    let headers = request.headers();
    let from = match caller {
        Caller::At(ip) => Some(ip),
        _ => None,
    };
    if let Some(bearer) = headers.get(header::AUTHORIZATION) {
        let text = bearer.to_str().unwrap_or_default();
        let token = text.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let token = token.map_or("", |(_, token)| token.trim());
        return shared.access.token(from, token).map_err(denied);
    }
    // Players send no headers of ours: for what they read the token may stand in the URL.
    let query =
        request.uri().query().filter(|_| request.uri().path().starts_with("/stream/")).unwrap_or_default();
    if let Some(token) = query.split('&').find_map(|pair| pair.strip_prefix("token=")) {
        return shared.access.token(from, token).map_err(denied);
    }
    if let Some(name) = cookie(headers) {
        let session = shared.access.session(name).ok_or_else(|| denied(Denied::Unknown))?;
        let safe = matches!(*request.method(), Method::GET | Method::HEAD);
        if !safe && headers.get(CSRF).map(HeaderValue::as_bytes) != Some(session.csrf_token.as_bytes()) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "E_CSRF",
                "the session's X-Csrf-Token is missing or wrong",
            )
            .hint("GET /api/v1/session tells it"));
        }
        return Ok(session.scope);
    }
    match caller {
        Caller::Owner => Ok(Scope::Admin),
        _ => Err(Refusal::new(StatusCode::UNAUTHORIZED, "E_NO_TOKEN_GIVEN", "this takes a token")
            .hint("send Authorization: Bearer …; `peerage token new` makes one, `peerage token url` a link for a browser")),
    }
}

pub(super) fn denied(denied: Denied) -> Refusal {
    match denied {
        Denied::Unknown => {
            Refusal::new(StatusCode::UNAUTHORIZED, "E_TOKEN", "this token or session is not known")
                .hint("`peerage token new` makes one, `peerage token url` a link for a browser")
        }
        Denied::Locked => Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "E_LOCKED",
            "too many wrong tokens came from this address; none is looked at for a minute",
        ),
    }
}

/// The session's name.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Reads the body whole, within its limits.
async fn read_body(request: Request) -> Result<Request, Refusal> {
    let (parts, body) = request.into_parts();
    let adds = parts.uri.path() == "/api/v1/transfers";
    let max = if adds { BODY_BYTES_MAX } else { SMALL_BODY_BYTES_MAX };
    let too_large = || {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "E_TOO_LARGE", format!("a body has at most {max} bytes"))
    };
    let length = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_LIMIT, to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        // The length was not told before.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "E_SLOW", "the body did not come in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_told_from_ports() {
        for (host, name) in [
            ("localhost", Some("localhost")),
            ("127.0.0.1:7732", Some("127.0.0.1")),
            ("[::1]:7732", Some("::1")),
            ("[::1]", Some("::1")),
            ("", None),
            (":80", None),
            ("a:b", None),
            ("a:99999", None),
            ("[::1", None),
            ("[::1]x", None),
            ("127.0.0.1:80:80", None),
        ] {
            assert_eq!(host_name(host), name, "{host}");
        }
    }

    #[test]
    fn every_route_that_changes_something_needs_more_than_to_look() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(needed(&method, "/api/v1/transfers/a") >= Some(Scope::Control));
            assert!(needed(&method, "/api/v1/unknown") >= Some(Scope::Control));
            assert_eq!(needed(&method, "/api/v1/tokens"), Some(Scope::Admin));
        }
        assert_eq!(needed(&Method::GET, "/api/v1/transfers"), Some(Scope::Read));
        assert_eq!(needed(&Method::GET, "/stream/a/0"), Some(Scope::Read));
        assert_eq!(needed(&Method::GET, "/healthz"), None);
    }
}
