use std::num::NonZeroU32;

use super::*;
use crate::relay::{Guests, Relay};

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

#[test]
fn codes_are_typed_as_people_type() {
    let written = code("4711-orbit-walnut");
    assert_eq!(written.to_string(), "4711-orbit-walnut");
    for text in ["4711 orbit walnut", " 4711-ORBIT-Walnut\n", "4711-orbi-waln", "4711-orbit-walnu"] {
        assert_eq!(code(text), written, "{text}");
    }
    // A whole word may begin another.
    assert_eq!(code("1-act-fit").to_string(), "1-act-fit");
    let wrong = |text: &str| text.parse::<Code>().unwrap_err();
    let shapeless = [
        "",
        "4711",
        "4711-orbit",
        "0-orbit-walnut",
        "10000-orbit-walnut",
        "-1-orbit-walnut",
        "x-orbit-walnut",
        "4711-orbit-walnut-x",
        "4711--walnut",
        "4711-or8it-walnut",
        "4711-orbit-",
    ];
    for text in shapeless {
        assert_eq!(wrong(text), CodeParseError::Shape, "{text}");
    }
    assert_eq!(wrong("4711-orbit-peerage"), CodeParseError::Word("peerage".into()));
    assert_eq!(
        wrong("4711-orb-walnut"),
        CodeParseError::Word("orb".into()),
        "three letters may be many words"
    );
}

#[test]
fn drawn_codes_are_read_again_and_differ() {
    let drawn: std::collections::BTreeSet<String> =
        (0..100).map(|_| Code::random().unwrap().to_string()).collect();
    assert!(drawn.iter().all(|text| code(text).to_string() == *text));
    assert!(drawn.len() > 98, "{drawn:?}");
}

/// Both ends on a pipe that an onlooker may change.
async fn meet(
    giver: &str,
    taker: &str,
    link: &str,
    change: impl Fn(usize, &mut u8) + Send + Sync + 'static,
) -> (Result<(), ExchangeError>, Result<String, ExchangeError>) {
    let (mut a, mut a_outside) = tokio::io::duplex(64);
    let (mut b, mut b_outside) = tokio::io::duplex(64);
    let wire = tokio::spawn(async move {
        let (mut from_a, mut to_a) = tokio::io::split(&mut a_outside);
        let (mut from_b, mut to_b) = tokio::io::split(&mut b_outside);
        let forward = async {
            let mut at = 0;
            let mut byte = [0];
            while tokio::io::AsyncReadExt::read_exact(&mut from_a, &mut byte).await.is_ok() {
                change(at, &mut byte[0]);
                at += 1;
                if tokio::io::AsyncWriteExt::write_all(&mut to_b, &byte).await.is_err() {
                    break;
                }
            }
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_b).await;
        };
        let back = async {
            let _ = tokio::io::copy(&mut from_b, &mut to_a).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut to_a).await;
        };
        tokio::join!(forward, back);
    });
    let (giver, taker) = (code(giver), code(taker));
    let give = async {
        let result = exchange::give(&mut a, &giver, link).await;
        drop(a);
        result
    };
    let take = async {
        let result = exchange::take(&mut b, &taker).await;
        drop(b);
        result
    };
    let met = tokio::join!(give, take);
    wire.abort();
    met
}

#[tokio::test]
async fn who_knows_the_words_gets_the_link() {
    for link in ["magnet:?xt=urn:btih:0123", "", &"x".repeat(LINK_BYTES_MAX)] {
        let (given, taken) = meet("7-orbit-walnut", "7-orbit-walnut", link, |_, _| {}).await;
        assert!(given.is_ok() && taken.unwrap() == link);
    }
    let long = "x".repeat(LINK_BYTES_MAX + 1);
    let (given, taken) = meet("7-orbit-walnut", "7-orbit-walnut", &long, |_, _| {}).await;
    assert!(matches!(given, Err(ExchangeError::TooLong)) && taken.is_err());
}

#[tokio::test]
async fn other_words_get_nothing() {
    for other in ["7-orbit-wall", "7-walnut-orbit", "8-orbit-walnut"] {
        let (given, taken) = meet("7-orbit-walnut", other, "secret", |_, _| {}).await;
        assert!(matches!(given, Err(ExchangeError::WrongWords)), "{other}: {given:?}");
        assert!(matches!(taken, Err(ExchangeError::WrongWords)), "{other}: {taken:?}");
    }
}

/// Whatever byte of the sharer an onlooker changes, the getter never takes another link.
#[tokio::test]
async fn a_changed_byte_gives_no_other_link() {
    let len = 33 + 2 + "secret".len() + 16;
    for at in 0..len {
        let (_, taken) =
            meet("7-orbit-walnut", "7-orbit-walnut", "secret", move |n, byte| *byte ^= u8::from(n == at))
                .await;
        assert!(taken.is_err(), "byte {at}");
    }
}

async fn relay() -> (Relay, String) {
    let identity = Identity::from_seed([9; 32]);
    let rate = NonZeroU32::new(1 << 20).unwrap();
    let relay =
        Relay::serve(&identity, "127.0.0.1:0".parse().unwrap(), rate, Guests::default()).await.unwrap();
    let name = format!("https://{}#{}", relay.addr().unwrap(), relay.key());
    (relay, name)
}

#[tokio::test]
async fn a_code_leads_through_a_relay_and_is_void_after_wrong_guesses() {
    let (_relay, name) = relay().await;
    let desk = Desk::open(&name, code("7-orbit-walnut")).await.unwrap();
    let served = tokio::spawn(async move { desk.serve("magnet:?xt=urn:btih:0123").await });
    let wrong = fetch(&name, &code("7-orbit-wall")).await;
    assert!(matches!(wrong, Err(CodeError::Exchange(ExchangeError::WrongWords))), "{wrong:?}");
    assert_eq!(fetch(&name, &code("7-orbit-walnut")).await.unwrap(), "magnet:?xt=urn:btih:0123");
    assert!(served.await.unwrap().is_ok());

    let desk = Desk::open(&name, code("8-orbit-walnut")).await.unwrap();
    let served = tokio::spawn(async move { desk.serve("secret").await });
    for _ in 0..GUESSES_MAX {
        assert!(fetch(&name, &code("8-orbit-wall")).await.is_err());
    }
    assert!(matches!(served.await.unwrap(), Err(CodeError::Void)));
}
