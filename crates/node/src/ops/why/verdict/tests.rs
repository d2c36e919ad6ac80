//! What is concluded, case by case.

use super::*;
use peerage_api::event::{Road, RoadKind};
use peerage_api::why::{Attempt, WebSeed};

const TOTAL: u32 = 10;

fn met(pieces: u32, chokes: bool) -> Found {
    let met = Met { pieces, chokes, connected: true, ..Met::default() };
    Found { addr: "9.9.9.9:1".to_owned(), met: Some(met), ..Found::default() }
}

fn failed(obstacles: &[Obstacle]) -> Found {
    let attempt = |obstacle: &Obstacle| Attempt {
        road: Road { kind: RoadKind::Tcp, rtt_ms: None, relay: None },
        incoming: false,
        times: 1,
        result: Step::Failed,
        obstacle: Some(*obstacle),
        reason: None,
    };
    Found { attempts: obstacles.iter().map(attempt).collect(), ..Found::default() }
}

fn tracker(peers: Option<usize>, error: Option<&str>) -> Origin {
    let url = Some("http://t/announce".to_owned());
    Origin { kind: "tracker".to_owned(), url, peers, error: error.map(str::to_owned) }
}

fn judged(why: Why) -> (u8, String, String) {
    let Conclusion { code, message, exit, .. } = conclude(&why);
    (exit, code, message)
}

fn of_peers(peers: Vec<Found>) -> (u8, String, String) {
    judged(Why { pieces: Some(TOTAL), peers, ..Why::default() })
}

#[test]
fn who_has_it_and_serves_makes_it_work_whatever_became_of_others() {
    let (exit, code, message) =
        of_peers(vec![failed(&[Obstacle::Refused]), met(3, false), met(TOTAL, false)]);
    assert_eq!((exit, code.as_str()), (0, "OK"));
    assert!(message.contains("serves us"), "{message}");
    let (exit, _, message) = of_peers(vec![met(TOTAL, true)]);
    assert!(exit == 0 && message.contains("served others first"), "{message}");
    let web = |error: Option<&str>| WebSeed {
        url: "http://w/".to_owned(),
        error: error.map(str::to_owned),
        asked: true,
    };
    let with = |seed| judged(Why { pieces: Some(TOTAL), web_seeds: vec![seed], ..Why::default() });
    assert_eq!(with(web(None)).0, 0);
    let (exit, _, message) = with(web(Some("the server answered 404")));
    assert!(exit == 5 && message.ends_with("; the web seed http://w/: the server answered 404"), "{message}");
}

#[test]
fn who_has_not_all_of_it_is_told_apart_from_who_has_none() {
    let (exit, code, message) = of_peers(vec![met(3, false), met(4, true)]);
    assert_eq!((exit, code.as_str()), (3, "E_INCOMPLETE"));
    assert!(message.contains("4 of 10 pieces"), "{message}");
    assert_eq!(of_peers(vec![met(0, true)]).1, "E_NO_PROVIDERS");
    let unknown = Why { peers: vec![met(0, true)], ..Why::default() };
    assert_eq!(judged(unknown).1, "E_NO_METADATA");
}

#[test]
fn what_all_have_in_common_is_said_once() {
    use Obstacle::{HungUp, NoAnswer, OtherTorrent, Refused};
    // Each is judged by what tells most of it.
    let refused = failed(&[NoAnswer, Refused]);
    let (exit, code, message) = of_peers(vec![refused.clone(), refused.clone()]);
    assert_eq!(
        (exit, code.as_str(), message.as_str()),
        (6, "E_UNREACHABLE", "all 2 peers found refused the connection")
    );
    let (_, _, message) = of_peers(vec![refused.clone()]);
    assert_eq!(message, "the one peer found refused the connection");
    let (exit, _, message) = of_peers(vec![failed(&[NoAnswer]), refused.clone(), refused]);
    let wanted = "none of 3 peers was met: 2 refused the connection, 1 did not answer";
    assert_eq!((exit, message.as_str()), (6, wanted));
    // Reached, and of no use: that is another thing than not to be reached.
    let (exit, code, _) = of_peers(vec![failed(&[HungUp]), failed(&[OtherTorrent])]);
    assert_eq!((exit, code.as_str()), (5, "E_NO_PROVIDERS"));
}

#[test]
fn where_nobody_was_named_the_sources_are_to_blame() {
    let of = |sources| judged(Why { sources, ..Why::default() });
    assert_eq!(
        of(vec![]),
        (5, "E_NO_PROVIDERS".into(), "no peer found: the link names no peer and no tracker".into())
    );
    let (exit, _, message) = of(vec![tracker(Some(0), None)]);
    assert_eq!((exit, message.as_str()), (5, "no peer found: the tracker knows nobody"));
    let (exit, code, message) = of(vec![tracker(None, Some("it burns")), tracker(None, None)]);
    assert_eq!((exit, code.as_str()), (6, "E_TRACKER"));
    assert_eq!(message, "no peer found: http://t/announce: it burns (and so for 1 more)");
    // One that answers is no failure of trackers.
    assert_eq!(of(vec![tracker(None, Some("it burns")), tracker(Some(0), None)]).0, 5);
    // A source that this page does not know by name.
    let other = Origin { kind: "dht".to_owned(), peers: Some(0), ..Origin::default() };
    assert_eq!(of(vec![other]).2, "no peer found");
}

#[test]
fn addresses_that_may_not_be_dialled_are_the_reason_only_where_there_is_no_other() {
    let refused = Found { refused: Some("its range".to_owned()), ..Found::default() };
    let (exit, code, message) = of_peers(vec![refused.clone()]);
    assert_eq!((exit, code.as_str()), (6, "E_REFUSED"));
    assert_eq!(message, "1 peer was named, and none may be dialled: its range");
    assert_eq!(of_peers(vec![refused, failed(&[Obstacle::Refused])]).1, "E_UNREACHABLE");
}
