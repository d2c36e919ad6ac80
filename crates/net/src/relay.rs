//! Relays: servers of the users' own that pass sealed packets between peers that cannot reach each other,
//! and tell each peer its address as the internet sees it.
//!
//! A relay is trusted with nothing: what it passes is encrypted between the peers. It is named by a URL with
//! its key behind a `#`, `https://HOST:PORT#KEY`, and shows a certificate under that key, so that it needs no
//! domain and no authority. Without a key the certificate must be one that the web trusts.

mod access;
mod probe;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use iroh_relay::server::{
    CertConfig, ClientRateLimit, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig,
};
use iroh_relay::tls::CaTlsConfig;
use peerage_base::PeerId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

pub use access::{ALLOWED_MAX, BadList, Guests};
pub use probe::{ProbeError, probe};

use crate::Boxed;
use crate::identity::Identity;
use crate::road::tls;

/// A relay's text cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a relay is named as https://HOST:PORT#KEY, as `peerage relay` prints it")]
pub struct BadRelay;

/// A relay, as links name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayAddr {
    /// Its URL, without the key.
    pub url: String,
    /// Its port, for both TCP and UDP.
    pub port: u16,
    /// Its key.
    pub key: Option<PeerId>,
}

impl FromStr for RelayAddr {
    type Err = BadRelay;

    fn from_str(text: &str) -> Result<Self, BadRelay> {
        let (url, key) = match text.split_once('#') {
            Some((url, key)) => (url, Some(key.parse().map_err(|_| BadRelay)?)),
            None => (text, None),
        };
        let parsed = url::Url::parse(url).map_err(|_| BadRelay)?;
        let plain = parsed.scheme() == "https" && parsed.has_host() && parsed.username().is_empty();
        let port = parsed.port_or_known_default().filter(|port| plain && *port > 0).ok_or(BadRelay)?;
        Ok(Self { url: url.to_owned(), port, key })
    }
}

/// The keys of the relays that are known, and how they are named in full. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pins(Arc<Mutex<BTreeMap<String, Option<PeerId>>>>);

impl Pins {
    pub(crate) fn add(&self, relay: &RelayAddr) {
        self.lock().insert(plain(&relay.url), relay.key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// A relay's URL with its key, where it has one.
    pub(crate) fn full(&self, url: &url::Url) -> String {
        let url = plain(url.as_str());
        match self.lock().get(&url).copied().flatten() {
            Some(key) => format!("{url}#{key}"),
            None => url,
        }
    }

    /// What judges the certificates of relays.
    pub(crate) fn trust(&self) -> CaTlsConfig {
        let pins = self.clone();
        CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider| {
            let mut roots = RootCertStore::empty();
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            let web = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(io::Error::other)?;
            Ok(Arc::new(Verifier { pins: pins.clone(), web, provider }) as Arc<dyn ServerCertVerifier>)
        }))
    }

    /// The known key that a certificate is about: its bytes stand in it.
    fn key_in(&self, certificate: &[u8]) -> Option<PeerId> {
        let keys: Vec<PeerId> = self.lock().values().copied().flatten().collect();
        keys.into_iter().find(|key| {
            let wanted = tls::spki(key);
            certificate.windows(wanted.len()).any(|bytes| bytes == wanted)
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<PeerId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As both we and iroh write it.
fn plain(url: &str) -> String {
    url::Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.as_str().trim_end_matches('/').to_owned())
}

/// Takes a certificate under a known key when its holder signs with that key, and any that the web trusts.
#[derive(Debug)]
struct Verifier {
    pins: Pins,
    web: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.pins.key_in(end_entity) {
            Some(_) => Ok(ServerCertVerified::assertion()),
            None => self.web.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key) = self.pins.key_in(certificate) else {
            return self.web.verify_tls13_signature(message, certificate, signed);
        };
        let algorithms = &self.provider.signature_verification_algorithms;
        let key = SubjectPublicKeyInfoDer::from(tls::spki(&key));
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}

/// Why a relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// A port is in use, or not permitted.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, String),
}

/// A running relay. Dropping it ends it.
pub struct Relay {
    server: Server,
    key: PeerId,
}

impl Relay {
    /// Serves `guests` at `addr`, on TCP and UDP. Each may send so many bytes per second.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub fn serve<'a>(
        identity: &'a Identity,
        addr: SocketAddr,
        rate: std::num::NonZeroU32,
        guests: Guests,
    ) -> Boxed<'a, Result<Self, RelayError>> {
        Box::pin(async move {
            let wrong = |error: &dyn std::fmt::Display| RelayError::Certificate(error.to_string());
            let secret = PrivatePkcs8KeyDer::from(tls::pkcs8(identity));
            let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&secret, &rcgen::PKCS_ED25519)
                .map_err(|e| wrong(&e))?;
            let params =
                rcgen::CertificateParams::new(vec!["relay.invalid".to_owned()]).map_err(|e| wrong(&e))?;
            let certificate = params.self_signed(&pair).map_err(|e| wrong(&e))?;
            let server_config = rustls::ServerConfig::builder_with_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| wrong(&e))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret.into())
            .map_err(|e| wrong(&e))?;
            let mut relay = RelayConfig::new((addr.ip(), 0));
            relay.limits.client_rx = Some(ClientRateLimit::new(rate));
            relay.access = Arc::new(guests);
            relay.tls = Some(TlsConfig::new(addr, CertConfig::Manual { server_config }));
            let mut config = ServerConfig::default();
            config.relay = Some(relay);
            config.quic = Some(QuicConfig::new(addr));
            let server = Server::spawn(config)
                .await
                .map_err(|error| RelayError::Listen(addr, format!("{error:#}")))?;
            Ok(Self { server, key: identity.id() })
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.server.https_addr()
    }

    /// Its key, which belongs into its name.
    #[must_use]
    pub fn key(&self) -> PeerId {
        self.key
    }

    /// Ends it in good order.
    pub fn close(self) -> Boxed<'static, ()> {
        Box::pin(async move {
            let _ = self.server.shutdown().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_named_by_a_url_and_a_key() {
        let key = PeerId([7; 32]);
        let relay: RelayAddr = format!("https://192.0.2.1:7842#{key}").parse().unwrap();
        assert_eq!((relay.url.as_str(), relay.port, relay.key), ("https://192.0.2.1:7842", 7842, Some(key)));
        let relay: RelayAddr = "https://relay.example".parse().unwrap();
        assert_eq!((relay.port, relay.key), (443, None));
        for text in [
            "",
            "relay.example",
            "http://relay.example",
            "https://relay.example#key",
            "https://me@x",
            "https://x:0",
        ] {
            assert_eq!(text.parse::<RelayAddr>(), Err(BadRelay), "{text}");
        }
    }

    #[test]
    fn a_relay_is_told_with_its_key() {
        let (pins, key) = (Pins::default(), PeerId([7; 32]));
        let text = format!("https://192.0.2.1:7842#{key}");
        pins.add(&text.parse().unwrap());
        assert_eq!(pins.full(&"https://192.0.2.1:7842/".parse().unwrap()), text);
        assert_eq!(pins.full(&"https://other.example/".parse().unwrap()), "https://other.example");
    }
}
