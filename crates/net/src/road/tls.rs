//! TLS 1.3 between two Peerage nodes (RFC 8446): both show the key that is their [`PeerId`], as a raw
//! public key (RFC 7250). There are no certificates, names or authorities: the key is the name.

use std::io;
use std::sync::Arc;

use peerage_base::PeerId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::rewound::Rewound;
use crate::identity::Identity;

/// The protocol and its version (RFC 7301).
const ALPN: &[u8] = b"peerage/1";

/// An Ed25519 public key as a SubjectPublicKeyInfo: all that stands before its 32 bytes (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// An Ed25519 secret in PKCS #8: all that stands before its 32 bytes (RFC 8410 section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Bytes that are encrypted before the kernel is called: sixteen records.
const BUFFER: usize = 256 * 1024;

/// A TLS connection over TCP.
pub type Session = TlsStream<Rewound<TcpStream>>;

/// Opens and accepts TLS connections under one identity. Clones share it.
#[derive(Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// # Errors
    /// The cryptographic library does not take the key: a fault of the library or the machine.
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let signer = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8(identity)))?;
        let public = CertificateDer::from(spki(&identity.id()));
        let key = Arc::new(CertifiedKey::new(vec![public], signer));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(Expect(None, provider.signature_verification_algorithms)))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&key))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would save a signature, and cost memory for each peer ever met.
        config.send_tls13_tickets = 0;
        Ok(Self { provider, key, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Opens a session on a socket that we dialled. The other end must be `peer`, where one is named. Returns
    /// who it is.
    ///
    /// # Errors
    /// The other end closes, is somebody else, or does not speak this.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        peer: Option<PeerId>,
    ) -> io::Result<(Session, PeerId)> {
        let algorithms = self.provider.signature_verification_algorithms;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Expect(peer, algorithms)))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(
                &self.key,
            ))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        // There is no name to tell, and so nothing for an onlooker to read.
        config.enable_sni = false;
        let name = ServerName::try_from("peerage.invalid").map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        let session = connector.connect(name, Rewound::new(stream, Vec::new())).await;
        let mut session = session.map_err(OtherPeer::unwrap_in)?;
        session.get_mut().1.set_buffer_limit(Some(BUFFER));
        let peer = other_end(session.get_ref().1)?;
        Ok((session.into(), peer))
    }

    /// Accepts a session on a socket that came in, whose first bytes are read already. Returns who the
    /// other end is.
    ///
    /// # Errors
    /// The other end closes, shows no key, or does not speak this.
    pub(super) async fn accept(&self, stream: TcpStream, first: Vec<u8>) -> io::Result<(Session, PeerId)> {
        let mut session = self.acceptor.accept(Rewound::new(stream, first)).await?;
        session.get_mut().1.set_buffer_limit(Some(BUFFER));
        let peer = other_end(session.get_ref().1)?;
        Ok((session.into(), peer))
    }
}

/// Somebody answers, and is not the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another peer answers there: {0}")]
pub(super) struct OtherPeer(PeerId);

impl OtherPeer {
    /// Whether that is why a session was not opened.
    pub(super) fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<Self>())
    }

    /// Takes it out of what the library wraps it in.
    fn unwrap_in(error: io::Error) -> io::Error {
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
        let Some(Error::Other(other)) = tls else { return error };
        match other.0.downcast_ref::<Self>() {
            Some(other) => io::Error::new(io::ErrorKind::InvalidData, *other),
            None => error,
        }
    }
}

/// The secret, as libraries take it.
pub(crate) fn pkcs8(identity: &Identity) -> Vec<u8> {
    PKCS8_PREFIX.iter().chain(identity.seed()).copied().collect()
}

/// The public key, as libraries take it.
pub(crate) fn spki(peer: &PeerId) -> Vec<u8> {
    SPKI_PREFIX.iter().chain(&peer.0).copied().collect()
}

/// Suites by what they cost on machines with AES instructions. The key exchange withstands a quantum
/// computer where both ends know it (draft-ietf-tls-ecdhe-mlkem).
pub(crate) fn provider() -> CryptoProvider {
    use aws_lc_rs::{cipher_suite, kx_group};
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

/// Who is at the other end. A peer without our protocol's name is let in by the library, and refused here.
fn other_end<D>(state: &rustls::ConnectionCommon<D>) -> io::Result<PeerId> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    if state.alpn_protocol() != Some(ALPN) {
        return Err(invalid("it speaks another protocol over TLS"));
    }
    let shown = state.peer_certificates().and_then(|keys| keys.first());
    shown.and_then(|key| peer_id(key)).ok_or_else(|| invalid("it shows no key"))
}

fn peer_id(spki: &[u8]) -> Option<PeerId> {
    spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(PeerId)
}

/// Accepts Ed25519 keys: that of one peer, or any. That the other end holds it is what its signature of
/// the handshake shows.
#[derive(Debug)]
struct Expect(Option<PeerId>, WebPkiSupportedAlgorithms);

impl Expect {
    fn check(&self, shown: &[u8]) -> Result<(), Error> {
        match (self.0, peer_id(shown)) {
            (_, None) => Err(CertificateError::BadEncoding.into()),
            (Some(expected), Some(peer)) if peer != expected => {
                Err(Error::Other(OtherError(Arc::new(OtherPeer(peer)))))
            }
            _ => Ok(()),
        }
    }
}

/// The half that verifiers of either end have in common.
macro_rules! judge_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _key: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.2 is not spoken".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            key: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let key = SubjectPublicKeyInfoDer::from(&key[..]);
            verify_tls13_signature_with_raw_key(message, &key, signed, &self.1)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Expect {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    judge_signatures!();
}

impl ClientCertVerifier for Expect {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    judge_signatures!();
}

#[cfg(test)]
mod tests;
