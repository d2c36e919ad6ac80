//! Whether a relay would do its part: it is reached, proves its key, and lets us in.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::{BadRelay, Pins, RelayAddr};
use crate::Boxed;
use crate::dns::{self, Resolver};
use crate::egress::Egress;
use crate::guard::Policy;
use crate::identity::Identity;
use crate::road::{Quic, QuicConfig, QuicError, dial, tls};

/// For each of the steps.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// What is wrong with a relay.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Its text.
    #[error(transparent)]
    Name(#[from] BadRelay),
    /// Its name leads nowhere.
    #[error(transparent)]
    Dns(#[from] dns::Error),
    /// Its port does not open.
    #[error("{0}")]
    Connect(io::Error),
    /// Another than the one named, or no relay.
    #[error("it does not prove that it is the one named: {0}")]
    Proof(io::Error),
    /// It does not let us in; in its own words.
    #[error("{0}")]
    Denied(String),
    /// It is there, and does not serve.
    #[error("it takes connections, and does not serve as a relay")]
    NoService,
    /// Something of our own.
    #[error(transparent)]
    Own(#[from] QuicError),
}

/// Tries a relay. Returns the time to it and back.
///
/// # Errors
/// See [`ProbeError`].
pub fn probe<'a>(identity: &'a Identity, relay: &'a str) -> Boxed<'a, Result<Duration, ProbeError>> {
    Box::pin(async move {
        let addr: RelayAddr = relay.parse()?;
        let url = url::Url::parse(&addr.url).map_err(|_| BadRelay)?;
        let host = url.host_str().ok_or(BadRelay)?;
        // The user's own choice may be on this machine or network.
        let found = Resolver::System.resolve(host, addr.port, Policy { allow_local: true }).await?;
        let mut opened = Err(ProbeError::Connect(io::ErrorKind::AddrNotAvailable.into()));
        for target in found {
            let begun = Instant::now();
            match dial(target, STEP_LIMIT, &Egress::default()).await {
                Ok(stream) => {
                    opened = Ok((stream, begun.elapsed()));
                    break;
                }
                Err(error) => opened = Err(ProbeError::Connect(error)),
            }
        }
        let (stream, time) = opened?;
        let pins = Pins::default();
        pins.add(&addr);
        let config = pins.trust().client_config(Arc::new(tls::provider())).map_err(ProbeError::Proof)?;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|error| ProbeError::Proof(io::Error::other(error)))?;
        let session = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let session = tokio::time::timeout(STEP_LIMIT, session).await.unwrap_or_else(|late| Err(late.into()));
        drop(session.map_err(ProbeError::Proof)?);
        let ways = QuicConfig { relays: vec![relay.to_owned()], relayed_only: true, ..QuicConfig::default() };
        let quic = Quic::bind(identity, &ways).await?;
        quic.contact().await;
        let served = quic.is_served();
        let denial = quic.denial();
        quic.close().await;
        match (served, denial) {
            (true, _) => Ok(time),
            (false, Some(denial)) => Err(ProbeError::Denied(denial)),
            (false, None) => Err(ProbeError::NoService),
        }
    })
}
