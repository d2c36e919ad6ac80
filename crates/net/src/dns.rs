//! Names to addresses: asked once per hop, and pinned.
//!
//! The answer is checked, and the very addresses that were checked are dialled. A name that answers
//! differently a moment later (DNS rebinding, threats.md S3) therefore gains nothing.

use crate::guard::Policy;
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

/// Addresses of one name that are tried at most.
pub const ADDRS_MAX: usize = 8;

/// How long the system's resolver may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(15);

type Answer = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Where names are resolved.
#[derive(Clone, Default)]
pub enum Resolver {
    /// The operating system's resolver.
    #[default]
    System,
    /// A function of host and port: for tests.
    Fixed(Arc<Answer>),
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Fixed(_) => "Fixed",
        })
    }
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resolver failed, or knows no address.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Every address is local or reserved; see [`crate::guard`].
    #[error("{host} is a local or reserved address; local targets need --allow-local")]
    Refused {
        /// The name or address.
        host: String,
    },
}

impl Resolver {
    /// The addresses of `host` (a name, or an IP literal with or without brackets) that `policy`
    /// permits, at most [`ADDRS_MAX`], families interleaved with IPv6 first.
    pub async fn resolve(&self, host: &str, port: u16, policy: Policy) -> Result<Vec<SocketAddr>, Error> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let refused = || Error::Refused { host: host.to_owned() };
        let answer = if let Ok(ip) = bare.parse() {
            vec![SocketAddr::new(ip, port)]
        } else {
            if is_local_name(bare) && !policy.allow_local {
                return Err(refused());
            }
            let found = match self {
                Self::System => system(bare, port).await,
                Self::Fixed(answer) => answer(bare, port),
            };
            found.map_err(|source| Error::Resolve { host: host.to_owned(), source })?
        };
        if answer.is_empty() {
            let source = io::Error::new(io::ErrorKind::NotFound, "no address");
            return Err(Error::Resolve { host: host.to_owned(), source });
        }
        let permitted: Vec<_> = answer
            .into_iter()
            .map(|addr| SocketAddr::new(addr.ip().to_canonical(), port))
            .filter(|addr| policy.permits(addr.ip()))
            .collect();
        if permitted.is_empty() { Err(refused()) } else { Ok(interleave(&permitted)) }
    }
}

async fn system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Ok(answer) => answer.map(Iterator::collect),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Names that mean this machine or this site, whatever a resolver says (RFC 6761, 6762, 8375, 9476).
fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or("");
    matches!(last, "localhost" | "local" | "internal" | "localdomain" | "lan") || host.ends_with("home.arpa")
}

/// Alternates IPv6 and IPv4 (RFC 8305), so that one broken family delays by one step only.
fn interleave(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut v6 = addrs.iter().filter(|addr| addr.is_ipv6());
    let mut v4 = addrs.iter().filter(|addr| addr.is_ipv4());
    let mut out = Vec::with_capacity(ADDRS_MAX);
    loop {
        let before = out.len();
        out.extend(v6.next());
        out.extend(v4.next());
        if out.len() == before || out.len() >= ADDRS_MAX {
            out.truncate(ADDRS_MAX);
            return out;
        }
    }
}
