//! Bad certificates and old TLS (threats.md S5), on each outbound client.

use super::*;
use crate::{
    testing::{Hostile, quick},
    tracker, web_seed,
};
use peerage_base::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A chain and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

fn signed(params: CertificateParams, by: &Issuer) -> Identity {
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, by).unwrap();
    Identity { chain: vec![cert.der().clone()], key }
}

/// An HTTPS server that says "ok", and counts the requests that reach it.
struct Secure {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Secure {
    async fn start(identity: &Identity, reply: &'static str) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, mut tasks) = (requests.clone(), JoinSet::new());
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buf = [0; 4096];
                if matches!(stream.read(&mut buf).await, Ok(1..)) {
                    count.fetch_add(1, SeqCst);
                    let _ = stream.write_all(reply.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        Self { addr, requests, _tasks: tasks }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/announce", self.addr.port())
    }
}

const REPLY: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 27\r\nConnection: close\r\n\r\nd8:intervali60e5:peers0:1:xe";

struct Trust {
    root: Issuer,
    folder: tempfile::TempDir,
}

impl Trust {
    fn new() -> Self {
        let root = authority("test root");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Self { root, folder }
    }

    fn client(&self, crl: bool) -> Client {
        let file = |name: &str| self.folder.path().join(name);
        Client::new(Config {
            extra_roots: Some(file("root.pem")),
            revocation_lists: if crl { vec![file("crl.pem")] } else { Vec::new() },
            ..quick(true)
        })
    }
}

/// Each outbound client refuses at the handshake: no request reaches the server.
async fn refused_by_all(client: &Client, server: &Secure, host: &str, why: &str) {
    let url = server.url(host);
    let tls = |error: &Error| matches!(error, Error::Tls(_));
    let plain = client.get(&Request::new(&url, 1000)).await.expect_err(why);
    assert!(tls(&plain), "{why}: {plain}");
    let tracker = tracker::Client::new(client.clone(), tracker::Config::default(), Rng::from_number(1));
    let announce = tracker.announce(&url, &tracker::AnnounceRequest::default()).await.expect_err(why);
    assert!(matches!(&announce, tracker::Error::Http(error) if tls(error)), "{why}: {announce}");
    let scrape = tracker.scrape(&url, &[[1; 20]]).await.expect_err(why);
    assert!(matches!(&scrape, tracker::Error::Http(error) if tls(error)), "{why}: {scrape}");
    let part = web_seed::FilePart { name: "n", path: &[], file_len: 10, range: 0..10 };
    let seed = web_seed::fetch(client, &url, &part).await.expect_err(why);
    assert!(matches!(&seed, web_seed::Error::Http(error) if tls(error)), "{why}: {seed}");
    let torrent = web_seed::fetch_torrent(client, &url).await.expect_err(why);
    assert!(matches!(&torrent, web_seed::Error::Http(error) if tls(error)), "{why}: {torrent}");
    assert_eq!(server.requests.load(SeqCst), 0, "{why}");
}

#[tokio::test]
async fn s5_bad_certificates_are_refused_and_good_ones_are_not() {
    let trust = Trust::new();
    let client = trust.client(false);

    // The control: the same client takes a good certificate, for a name with a dot at the end too.
    let good = Secure::start(&signed(params("good.example"), &trust.root), REPLY).await;
    for host in ["good.example", "good.example.", "GOOD.example"] {
        let response = client.get(&Request::new(good.url(host), 1000)).await.expect(host);
        assert!(response.body.bytes().await.unwrap().starts_with(b"d8:"));
    }
    let of_ip = Secure::start(&signed(params("127.0.0.1"), &trust.root), REPLY).await;
    assert!(client.get(&Request::new(of_ip.url("127.0.0.1"), 1000)).await.is_ok());

    let mut old = params("bad.example");
    old.not_after = date_time_ymd(2021, 1, 1);
    let mut early = params("bad.example");
    early.not_before = date_time_ymd(2089, 1, 1);
    // Signed by a certificate that may not sign.
    let leaf = CertifiedIssuer::signed_by(params("leaf.example"), KeyPair::generate().unwrap(), &trust.root)
        .unwrap();
    let mut below = signed(params("bad.example"), &leaf);
    below.chain.push(leaf.der().clone());
    let self_key = KeyPair::generate().unwrap();
    let own = params("bad.example").self_signed(&self_key).unwrap();
    let cases = [
        ("expired", signed(old, &trust.root)),
        ("not valid yet", signed(early, &trust.root)),
        ("self-signed", Identity { chain: vec![own.der().clone()], key: self_key }),
        ("unknown authority", signed(params("bad.example"), &authority("somebody"))),
        (
            "an authority of the same name with another key",
            signed(params("bad.example"), &authority("test root")),
        ),
        ("wrong host", signed(params("other.example"), &trust.root)),
        ("a wildcard too wide", signed(params("*.example"), &trust.root)),
        ("signed by a leaf", below),
    ];
    for (why, identity) in &cases {
        let server = Secure::start(identity, REPLY).await;
        let host = if *why == "a wildcard too wide" { "a.bad.example" } else { "bad.example" };
        refused_by_all(&client, &server, host, why).await;
    }
    // A certificate for a name says nothing about an address.
    refused_by_all(
        &client,
        &Secure::start(&signed(params("x.example"), &trust.root), REPLY).await,
        "127.0.0.1",
        "IP",
    )
    .await;
    // The system's roots alone do not know our authority.
    let strict = Client::new(quick(true));
    refused_by_all(
        &strict,
        &Secure::start(&signed(params("x.example"), &trust.root), REPLY).await,
        "x.example",
        "roots",
    )
    .await;
}

#[tokio::test]
async fn s5_revoked_certificates_are_refused_where_a_list_is_given() {
    let trust = Trust::new();
    let mut revoked = params("bad.example");
    revoked.serial_number = Some(SerialNumber::from(42));
    let revoked = signed(revoked, &trust.root);
    let mut fine = params("good.example");
    fine.serial_number = Some(SerialNumber::from(43));
    let fine = signed(fine, &trust.root);
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(42),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&trust.root).unwrap();
    std::fs::write(trust.folder.path().join("crl.pem"), list.pem().unwrap()).unwrap();
    let client = trust.client(true);
    refused_by_all(&client, &Secure::start(&revoked, REPLY).await, "bad.example", "revoked").await;
    let good = Secure::start(&fine, REPLY).await;
    assert!(client.get(&Request::new(good.url("good.example"), 1000)).await.is_ok());
    // Without a list revocation is not known: said in `Config::revocation_lists`.
    let unaware = Secure::start(&revoked, REPLY).await;
    assert!(trust.client(false).get(&Request::new(unaware.url("bad.example"), 1000)).await.is_ok());
}

/// rustls implements nothing below TLS 1.2, so a server that answers with an old version cannot be
/// made from it: this one is a ServerHello by hand.
#[tokio::test]
async fn s5_old_tls_is_not_offered_and_not_taken() {
    let trust = Trust::new();
    for minor in [0u8, 1, 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = vec![0; 4096];
            let len = stream.read(&mut hello).await.unwrap();
            hello.truncate(len);
            // Record, ServerHello, random, no session, RSA with AES-128-CBC, no compression.
            let mut reply = vec![0x16, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor];
            reply.extend_from_slice(&[7; 32]);
            reply.extend_from_slice(&[0, 0, 0x2f, 0]);
            let _ = stream.write_all(&reply).await;
            let mut alert = Vec::new();
            let _ = stream.read_to_end(&mut alert).await;
            (hello, alert)
        });
        let url = format!("https://old.example:{}/", addr.port());
        let error = trust.client(false).get(&Request::new(url, 1000)).await.unwrap_err();
        assert!(matches!(error, Error::Tls(_)), "{error}");
        let (hello, alert) = server.await.unwrap();
        // supported_versions (43) of the ClientHello: TLS 1.3 and 1.2 in either order, nothing else.
        let both = [[0, 43, 0, 5, 4, 3, 4, 3, 3], [0, 43, 0, 5, 4, 3, 3, 3, 4]];
        assert!(hello.windows(9).any(|part| both.iter().any(|versions| part == versions)));
        // A fatal alert, 70: protocol_version.
        assert_eq!(alert.get(5..7), Some(&[2, 70][..]), "minor {minor}: {alert:?}");
    }
}

#[tokio::test]
async fn s2_https_never_becomes_http() {
    let trust = Trust::new();
    let plain = Hostile::sends(REPLY).await;
    let location: &'static str = format!(
        "HTTP/1.1 302 X\r\nLocation: http://plain.example:{}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        plain.addr.port()
    )
    .leak();
    let server = Secure::start(&signed(params("good.example"), &trust.root), location).await;
    let error = trust.client(false).get(&Request::new(server.url("good.example"), 1000)).await.unwrap_err();
    assert!(matches!(error, Error::RedirectToPlain) && error.is_refusal(), "{error}");
    assert_eq!(plain.hits(), 0);
}
