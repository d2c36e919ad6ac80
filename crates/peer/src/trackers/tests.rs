use super::*;
use peerage_base::Rng;
use proptest::prelude::*;

const ANNOUNCER: Announcer = Announcer { peer_id: [7; 20], port: 6881, key: 99 };

fn trackers(tiers: &[&[&str]]) -> (Trackers, Rng) {
    let mut rng = Rng::from_number(5);
    let mut trackers = Trackers::new(ANNOUNCER, vec![[1; 20]]);
    let tiers: Vec<Vec<String>> =
        tiers.iter().map(|tier| tier.iter().map(|url| (*url).to_owned()).collect()).collect();
    trackers.add(Instant::ZERO, &tiers, &mut rng);
    (trackers, rng)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn reply(interval: u64) -> AnnounceReply {
    AnnounceReply { interval: secs(interval), ..AnnounceReply::default() }
}

fn drain(trackers: &mut Trackers, now: Instant, rng: &mut Rng) -> Vec<Announce> {
    core::iter::from_fn(|| trackers.poll(now, Progress::default(), rng)).collect()
}

#[test]
fn every_tier_is_announced_to_at_once_by_one_tracker_each() {
    let (mut t, mut rng) =
        trackers(&[&["http://a/announce", "http://b/announce"], &["udp://c:1"], &["https://d/"]]);
    let first = drain(&mut t, Instant::ZERO, &mut rng);
    assert_eq!(first.len(), 3);
    assert!(first.iter().all(|a| a.request.event == AnnounceEvent::Started && a.request.port == 6881));
    assert_eq!((first[1].url.as_str(), first[2].url.as_str()), ("udp://c:1", "https://d/"));
}

#[test]
fn a_hybrid_is_announced_under_both_hashes() {
    let mut rng = Rng::from_number(5);
    let mut t = Trackers::new(ANNOUNCER, vec![[1; 20], [2; 20]]);
    t.add(Instant::ZERO, &[vec!["http://a/".into()]], &mut rng);
    let hashes: Vec<_> = drain(&mut t, Instant::ZERO, &mut rng).iter().map(|a| a.request.info_hash).collect();
    assert_eq!(hashes, [[1; 20], [2; 20]]);
}

#[test]
fn within_a_tier_the_next_is_tried_at_once_and_the_one_that_answers_is_first_from_then_on() {
    let (mut t, mut rng) = trackers(&[&["http://a/", "http://b/", "http://c/"]]);
    let mut now = Instant::ZERO;
    let mut tried = Vec::new();
    for _ in 0..2 {
        let announce = drain(&mut t, now, &mut rng).remove(0);
        t.handle(now, announce.tracker, Err(None), &mut rng).unwrap();
        tried.push(announce.url);
    }
    let third = drain(&mut t, now, &mut rng).remove(0);
    assert!(!tried.contains(&third.url));
    t.handle(now, third.tracker, Ok(&reply(100)), &mut rng).unwrap();
    assert!(drain(&mut t, now + secs(99), &mut rng).is_empty());
    now += secs(111);
    let again = drain(&mut t, now, &mut rng).remove(0);
    assert_eq!((again.url, again.request.event), (third.url, AnnounceEvent::None));
}

#[test]
fn tiers_are_shuffled() {
    let firsts: BTreeSet<String> = (0..50)
        .map(|seed| {
            let mut rng = Rng::from_number(seed);
            let mut t = Trackers::new(ANNOUNCER, vec![[1; 20]]);
            t.add(
                Instant::ZERO,
                &[vec!["http://a/".into(), "http://b/".into(), "http://c/".into()]],
                &mut rng,
            );
            drain(&mut t, Instant::ZERO, &mut rng).remove(0).url
        })
        .collect();
    assert_eq!(firsts.len(), 3);
}

#[test]
fn intervals_stay_between_a_minute_and_an_hour_whatever_the_tracker_says() {
    for interval in [0, 1, 59, 60, 1800, 3600, 86_400, u64::MAX] {
        for min in [None, Some(secs(0)), Some(Duration::MAX)] {
            let (mut t, mut rng) = trackers(&[&["http://a/"]]);
            let id = drain(&mut t, Instant::ZERO, &mut rng).remove(0).tracker;
            let reply = AnnounceReply { min_interval: min, ..reply(interval) };
            t.handle(Instant::ZERO, id, Ok(&reply), &mut rng).unwrap();
            for hurry in [false, true] {
                if hurry {
                    t.hurry();
                }
                let wait = t.next_at().unwrap() - Instant::ZERO;
                assert!(wait >= INTERVAL_MIN && wait <= INTERVAL_MAX, "{interval} {min:?}: {wait:?}");
            }
        }
    }
}

#[test]
fn failures_wait_longer_and_longer_up_to_an_hour() {
    let (mut t, mut rng) = trackers(&[&["http://a/"]]);
    let (mut now, mut last) = (Instant::ZERO, Duration::ZERO);
    for round in 0..12 {
        let id = drain(&mut t, now, &mut rng).remove(0).tracker;
        t.handle(now, id, Err(None), &mut rng).unwrap();
        t.hurry();
        let wait = t.next_at().unwrap() - now;
        assert!(wait >= INTERVAL_MIN && wait <= INTERVAL_MAX);
        assert!(round > 4 || wait > last, "{wait:?} after {last:?}");
        last = wait;
        now += wait;
    }
    assert_eq!(last, INTERVAL_MAX);
}

#[test]
fn completed_is_told_once_and_stopped_to_those_that_know_us() {
    let (mut t, mut rng) = trackers(&[&["http://a/"], &["http://b/"]]);
    let mut now = Instant::ZERO;
    let first = drain(&mut t, now, &mut rng);
    t.handle(now, first[0].tracker, Ok(&reply(1800)), &mut rng).unwrap();
    t.handle(now, first[1].tracker, Err(None), &mut rng).unwrap();
    now += secs(5);
    t.complete(now);
    let told = drain(&mut t, now, &mut rng);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].tracker, told[0].request.event), (first[0].tracker, AnnounceEvent::Completed));
    t.handle(now, told[0].tracker, Ok(&reply(1800)), &mut rng).unwrap();
    t.complete(now);
    now += secs(3600);
    let later = drain(&mut t, now, &mut rng);
    assert_eq!(later[0].request.event, AnnounceEvent::None, "told once");
    // The other tracker hears `started` first; it is asked but has not answered: it is told too.
    assert_eq!(later[1].request.event, AnnounceEvent::Started);
    let last = t.stop(Progress { num_want: 50, ..Progress::default() });
    assert_eq!(last.len(), 2);
    assert!(last.iter().all(|a| a.request.event == AnnounceEvent::Stopped && a.request.num_want == Some(0)));
    assert_eq!(t.next_at(), None);
    assert!(drain(&mut t, now + secs(9999), &mut rng).is_empty());
}

#[test]
fn a_download_that_ends_while_started_is_under_way_is_told_right_after() {
    let (mut t, mut rng) = trackers(&[&["http://a/"]]);
    let id = drain(&mut t, Instant::ZERO, &mut rng).remove(0).tracker;
    t.complete(Instant::ZERO);
    assert!(drain(&mut t, Instant::ZERO, &mut rng).is_empty());
    t.handle(Instant::ZERO, id, Ok(&reply(1800)), &mut rng).unwrap();
    assert_eq!(drain(&mut t, Instant::ZERO, &mut rng).remove(0).request.event, AnnounceEvent::Completed);
}

#[test]
fn a_seed_from_the_start_never_says_completed() {
    let (mut t, mut rng) = trackers(&[&["http://a/"]]);
    t.was_complete();
    t.complete(Instant::ZERO);
    let id = drain(&mut t, Instant::ZERO, &mut rng).remove(0).tracker;
    t.handle(Instant::ZERO, id, Ok(&reply(60)), &mut rng).unwrap();
    assert_eq!(
        drain(&mut t, Instant::ZERO + secs(70), &mut rng).remove(0).request.event,
        AnnounceEvent::None
    );
}

#[test]
fn the_tracker_s_own_id_is_sent_back_unless_it_is_huge() {
    let (mut t, mut rng) = trackers(&[&["http://a/"]]);
    let mut now = Instant::ZERO;
    for (own, expected) in [(vec![1, 2], Some(vec![1, 2])), (vec![0; 100_000], Some(vec![1, 2]))] {
        let id = drain(&mut t, now, &mut rng).remove(0).tracker;
        t.handle(now, id, Ok(&AnnounceReply { tracker_id: Some(own), ..reply(60) }), &mut rng).unwrap();
        now += secs(70);
        let again = drain(&mut t, now, &mut rng).remove(0);
        assert_eq!(again.request.tracker_id, expected);
        t.handle(now, again.tracker, Ok(&reply(60)), &mut rng).unwrap();
        now += secs(70);
    }
}

#[test]
fn urls_are_filtered_counted_once_and_bounded() {
    let (mut t, mut rng) =
        trackers(&[&["http://a/", "http://a/"], &["http://a/"], &["wss://w/", "ftp://f/", "x"]]);
    assert_eq!(t.tiers.len(), 1);
    let many: Vec<Vec<String>> = (0..1000).map(|i| vec![format!("http://t{i}/")]).collect();
    assert_eq!(t.add(Instant::ZERO, &many, &mut rng), TRACKERS_MAX - 1);
    assert_eq!(t.add(Instant::ZERO, &[vec!["http://late/".into()]], &mut rng), 0);
}

#[test]
fn an_answer_that_never_comes_counts_as_a_failure_and_a_late_or_unknown_one_is_ignored() {
    let (mut t, mut rng) = trackers(&[&["http://a/"]]);
    let id = drain(&mut t, Instant::ZERO, &mut rng).remove(0).tracker;
    let now = t.next_at().unwrap();
    assert_eq!(now, Instant::ZERO + ANSWER_TIMEOUT);
    assert!(drain(&mut t, now, &mut rng).is_empty());
    assert!(t.next_at().unwrap() >= now + INTERVAL_MIN);
    assert_eq!(t.handle(now, id, Ok(&reply(60)), &mut rng), None);
    assert_eq!(t.handle(now, TrackerId(77), Ok(&reply(60)), &mut rng), None);
}

proptest! {
    /// However trackers answer, one tier never announces regularly more than once a minute.
    #[test]
    fn a_tier_is_never_hammered(answers in prop::collection::vec((0u8..4, any::<u64>()), 1..60)) {
        let (mut t, mut rng) = trackers(&[&["http://a/"]]);
        let mut now = Instant::ZERO;
        let mut last: Option<Instant> = None;
        for (kind, number) in answers {
            now = now.max(t.next_at().unwrap());
            for announce in drain(&mut t, now, &mut rng) {
                if let Some(last) = last {
                    prop_assert!(now - last >= INTERVAL_MIN);
                }
                last = Some(now);
                match kind {
                    0 => t.handle(now, announce.tracker, Err(Some(secs(number))), &mut rng),
                    1 => t.handle(now, announce.tracker, Err(None), &mut rng),
                    2 => t.handle(now, announce.tracker, Ok(&reply(number)), &mut rng),
                    _ => None,
                };
            }
            t.hurry();
        }
    }
}

#[test]
fn a_new_port_is_told_as_soon_as_the_tracker_allows() {
    let allowed = INTERVAL_MIN;
    // Told before the answer, and after it.
    for late in [false, true] {
        let (mut t, mut rng) = trackers(&[&["http://a/"]]);
        let first = drain(&mut t, Instant::ZERO, &mut rng).remove(0);
        if !late {
            t.set_port(7000);
        }
        t.handle(Instant::ZERO, first.tracker, Ok(&reply(1800)), &mut rng).unwrap();
        if late {
            t.set_port(7000);
        }
        let before = Instant::from_micros(Instant::ZERO.as_micros() + allowed.as_micros() as u64 - 1);
        assert!(drain(&mut t, before, &mut rng).is_empty());
        let second = drain(&mut t, Instant::ZERO + allowed, &mut rng).remove(0);
        assert_eq!((first.request.port, second.request.port), (6881, 7000));
        // The same port again is no news.
        t.handle(Instant::ZERO + allowed, second.tracker, Ok(&reply(1800)), &mut rng).unwrap();
        t.set_port(7000);
        assert!(drain(&mut t, Instant::ZERO + allowed + secs(1700), &mut rng).is_empty());
    }
}
