//! Roots of trust and the TLS connector.

use super::Error;
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject},
};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// A connector that is made at its first use: loading the system's roots takes milliseconds.
#[derive(Debug)]
pub(super) struct Lazy {
    extra_roots: Option<PathBuf>,
    revocation_lists: Vec<PathBuf>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Lazy {
    pub(super) fn new(extra_roots: Option<PathBuf>, revocation_lists: Vec<PathBuf>) -> Self {
        Self { extra_roots, revocation_lists, config: OnceCell::new() }
    }

    pub(super) async fn connector(&self) -> Result<TlsConnector, Error> {
        let made = self.config.get_or_try_init(|| async {
            let (extra, lists) = (self.extra_roots.clone(), self.revocation_lists.clone());
            let load = move || client_config(extra, &lists);
            tokio::task::spawn_blocking(load).await.map_err(|error| Error::Roots(error.to_string()))?
        });
        Ok(TlsConnector::from(made.await?.clone()))
    }
}

/// TLS 1.2 and 1.3 (rustls has nothing older), certificates verified against the system's roots, or
/// Mozilla's where the system has none.
fn client_config(extra: Option<PathBuf>, lists: &[PathBuf]) -> Result<Arc<ClientConfig>, Error> {
    let text = |error: &dyn std::fmt::Display| Error::Roots(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = extra {
        for cert in CertificateDer::pem_file_iter(path).map_err(|e| text(&e))? {
            roots.add(cert.map_err(|e| text(&e))?).map_err(|e| text(&e))?;
        }
    }
    let mut crls = Vec::new();
    for path in lists {
        for crl in CertificateRevocationListDer::pem_file_iter(path).map_err(|e| text(&e))? {
            crls.push(crl.map_err(|e| text(&e))?);
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if !crls.is_empty() {
        // A list covers its own authority's certificates; others stay as they are.
        verifier = verifier.with_crls(crls).allow_unknown_revocation_status();
    }
    let verifier = verifier.build().map_err(|e| text(&e))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| text(&e))?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
