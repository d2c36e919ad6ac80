use std::num::NonZeroU32;

use super::*;
use crate::relay::{Guests, ProbeError, Relay, probe};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn identity(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

async fn end(number: u8, relays: &[String]) -> Quic {
    let ways = QuicConfig { addr: Some(LOOPBACK), relays: relays.to_vec(), relayed_only: false };
    Quic::bind(&identity(number), &ways).await.unwrap()
}

async fn relay(guests: Guests) -> (Relay, String) {
    let rate = NonZeroU32::new(100 << 20).unwrap();
    let relay = Relay::serve(&identity(9), (LOOPBACK, 0).into(), rate, guests).await.unwrap();
    let name = format!("https://{}#{}", relay.addr().unwrap(), relay.key());
    (relay, name)
}

/// Waits for a peer, and again where it was only asked to prove its address.
async fn accepted(quic: &Quic, prove_address: bool) -> io::Result<Greeted> {
    loop {
        match quic.accept().await.expect("open").open(prove_address).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result,
        }
    }
}

/// A stream is there for the other end with its first byte only: both greet.
async fn meet(a: &Quic, b: &Quic, contact: &Contact) -> (io::Result<Greeted>, Option<io::Result<Greeted>>) {
    let dialled = async {
        let mut greeted = a.dial(contact).await?;
        if let Stream::Quic(stream) = &mut greeted.stream {
            stream.sink.write_all(b"").await?;
            // What the connection does by itself: the handshake goes out.
            let _ = tokio::io::AsyncWriteExt::write(&mut stream.sink, &[0x13]).await?;
        }
        Ok(greeted)
    };
    let limit = tokio::time::timeout(Duration::from_secs(10), accepted(b, false));
    let (dialled, accepted) = tokio::join!(dialled, limit);
    (dialled, accepted.ok())
}

#[tokio::test]
async fn both_ends_know_each_other() {
    let (a, b) = (end(1, &[]).await, end(2, &[]).await);
    let contact = b.contact().await;
    assert!(!contact.udp.is_empty() && contact.relay.is_none());
    let (dialled, accepted) = meet(&a, &b, &contact).await;
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap().unwrap());
    assert_eq!((dialled.peer, accepted.peer), (Some(identity(2).id()), Some(identity(1).id())));
    let Stream::Quic(stream) = &dialled.stream else { panic!("not QUIC") };
    let (relay, _) = stream.path().now().unwrap();
    assert_eq!(relay, None);
}

#[tokio::test]
async fn another_peer_than_the_expected_one_is_refused() {
    let (a, b) = (end(1, &[]).await, end(2, &[]).await);
    let contact = Contact { udp: b.contact().await.udp, ..Contact::new(identity(3).id()) };
    let (dialled, _) = meet(&a, &b, &contact).await;
    assert!(dialled.is_err());
}

#[tokio::test]
async fn a_relay_leads_to_a_peer_of_whom_no_address_is_known() {
    let (_relay, name) = relay(Guests::default()).await;
    let b = end(2, std::slice::from_ref(&name)).await;
    let contact = b.contact().await;
    assert_eq!(contact.relay.as_deref(), Some(name.as_str()));
    let a = end(1, &[]).await;
    let only_relay = Contact { udp: Vec::new(), ..contact };
    let (dialled, accepted) = meet(&a, &b, &only_relay).await;
    assert_eq!(dialled.unwrap().peer, Some(identity(2).id()));
    assert_eq!(accepted.unwrap().unwrap().peer, Some(identity(1).id()));
}

/// What a peer sends first goes over both ways, and each copy must be as good as the other.
#[tokio::test]
async fn a_relay_and_an_address_at_once_do_not_hinder_each_other() {
    let (_relay, name) = relay(Guests::default()).await;
    let b = end(2, std::slice::from_ref(&name)).await;
    let contact = b.contact().await;
    assert!(!contact.udp.is_empty() && contact.relay.is_some());
    for n in 10..16 {
        let a = end(n, &[]).await;
        let (dialled, accepted) = meet(&a, &b, &contact).await;
        assert_eq!(dialled.expect("a connection").peer, Some(identity(2).id()), "dial {n}");
        assert!(accepted.is_some());
    }
}

/// Under a flood, who dials proves first that it is where it says.
#[tokio::test]
async fn an_address_can_be_proved_first() {
    let (a, b) = (end(1, &[]).await, end(2, &[]).await);
    let contact = b.contact().await;
    let dialled = async {
        let mut greeted = a.dial(&contact).await?;
        if let Stream::Quic(stream) = &mut greeted.stream {
            tokio::io::AsyncWriteExt::write(&mut stream.sink, &[0x13]).await?;
        }
        Ok::<_, io::Error>(greeted)
    };
    let (dialled, accepted) = tokio::join!(dialled, accepted(&b, true));
    assert_eq!(dialled.unwrap().peer, Some(identity(2).id()));
    assert_eq!(accepted.unwrap().peer, Some(identity(1).id()));
}

#[tokio::test]
async fn a_relay_that_cannot_prove_its_key_is_not_used() {
    let (relay, _) = relay(Guests::default()).await;
    let false_name = format!("https://{}#{}", relay.addr().unwrap(), identity(8).id());
    let b = end(2, &[false_name]).await;
    assert_eq!(b.contact().await.relay, None);
}

async fn relayed(number: u8, relays: &[String]) -> Quic {
    let ways = QuicConfig { relays: relays.to_vec(), relayed_only: true, ..QuicConfig::default() };
    Quic::bind(&identity(number), &ways).await.unwrap()
}

#[tokio::test]
async fn where_only_relays_may_be_used_no_address_is_told_and_none_is_dialled() {
    let (_relay, name) = relay(Guests::default()).await;
    let b = relayed(2, std::slice::from_ref(&name)).await;
    let contact = b.contact().await;
    assert!(contact.udp.is_empty(), "{contact:?}");
    let a = relayed(1, &[]).await;
    let (dialled, accepted) = meet(&a, &b, &contact).await;
    let dialled = dialled.unwrap();
    assert_eq!(accepted.unwrap().unwrap().peer, Some(identity(1).id()));
    // It stays there: long enough for a hole to be punched, on loopback.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (via, _) = dialled.path().unwrap().now().unwrap();
    assert_eq!(via.as_deref(), Some("127.0.0.1"));
    // And an address in a link is passed over.
    let open = end(3, &[]).await;
    let contact = open.contact().await;
    assert!(!contact.udp.is_empty());
    let dial = tokio::time::timeout(Duration::from_secs(3), a.dial(&contact)).await;
    assert!(!matches!(dial, Ok(Ok(_))));
}

#[tokio::test]
async fn a_relay_with_a_list_lets_in_those_on_it_and_tells_the_others() {
    let list = format!("{}\n{}\n", identity(1).id(), identity(2).id());
    let refused = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&refused);
    let guests = Guests::listed(&list, move |peer| heard.lock().unwrap().push(peer)).unwrap();
    let (_relay, name) = relay(guests).await;
    let b = end(2, std::slice::from_ref(&name)).await;
    let contact = Contact { udp: Vec::new(), ..b.contact().await };
    assert!(contact.relay.is_some());
    let (dialled, _) = meet(&end(1, &[]).await, &b, &contact).await;
    assert!(dialled.is_ok());
    let stranger = identity(3).id();
    let error = end(3, &[]).await.dial(&contact).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    let words = format!("the relay 127.0.0.1 does not let {stranger} in");
    assert!(error.to_string().starts_with(&words), "{error}");
    assert_eq!(*refused.lock().unwrap(), [stranger]);
}

#[tokio::test]
async fn a_probe_tells_what_is_wrong_with_a_relay() {
    let list = identity(1).id().to_string();
    let (relay, name) = relay(Guests::listed(&list, |_| {}).unwrap()).await;
    assert!(probe(&identity(1), &name).await.unwrap() < Duration::from_secs(1));
    let denied = probe(&identity(3), &name).await.unwrap_err();
    assert!(matches!(denied, ProbeError::Denied(_)), "{denied}");
    let other = format!("https://{}#{}", relay.addr().unwrap(), identity(8).id());
    let other = probe(&identity(1), &other).await.unwrap_err();
    assert!(matches!(other, ProbeError::Proof(_)), "{other}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = probe(&identity(1), &format!("https://{closed}#{}", relay.key())).await.unwrap_err();
    assert!(matches!(nobody, ProbeError::Connect(_)), "{nobody}");
    assert!(matches!(probe(&identity(1), "relay").await.unwrap_err(), ProbeError::Name(_)));
}
