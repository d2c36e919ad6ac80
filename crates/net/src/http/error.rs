//! What can go wrong in a request.

use crate::dns;

/// Why a request failed. The texts contain nothing that the server wrote.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL, or one without a host.
    #[error("not a usable URL: {0}")]
    BadUrl(String),
    /// A scheme other than `http` and `https`.
    #[error("the scheme {0:?} is not supported")]
    BadScheme(String),
    /// No address, or none that may be dialled.
    #[error(transparent)]
    Dns(#[from] dns::Error),
    /// The TCP connection failed.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// The TLS handshake failed: most often a certificate that is not valid for this host.
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    /// The roots of trust could not be loaded.
    #[error("cannot load certificates: {0}")]
    Roots(String),
    /// The server does not speak HTTP/1.1 well, or closed the connection in between.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// What took too long.
    #[error("timeout: {0}")]
    Timeout(&'static str),
    /// More redirects than allowed.
    #[error("more than {0} redirects")]
    TooManyRedirects(u32),
    /// A redirect from a public server to a local or reserved address.
    #[error("a public server redirects to a local address")]
    RedirectToLocal,
    /// A redirect from `https` to `http`.
    #[error("a redirect from https to http")]
    RedirectToPlain,
    /// A redirect whose target is missing or not a URL.
    #[error("a redirect to nowhere")]
    BadRedirect,
    /// The body is larger than asked for.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The body has an encoding that was not offered, or is not what it says.
    #[error("the body's encoding is wrong")]
    BadEncoding,
}

impl Error {
    /// Whether the guard refused the target, so that trying again is useless.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::BadUrl(_)
                | Self::BadScheme(_)
                | Self::Dns(dns::Error::Refused { .. })
                | Self::RedirectToLocal
                | Self::RedirectToPlain
        )
    }
}
