use super::*;
use peerage_base::Rng;
use proptest::prelude::*;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    max: Duration::from_secs(1800),
    user_max: Duration::from_secs(30),
};

fn table() -> (Candidates, Rng) {
    (Candidates::new(BACKOFF), Rng::from_number(1))
}

fn numbered(i: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::from((0x0b00_0000 + i).to_be_bytes()), 6881)
}

fn teller(i: u32) -> Option<IpAddr> {
    Some(IpAddr::from((0x2000_0000 + i).to_be_bytes()))
}

fn any(_: SocketAddr, _: Source) -> bool {
    true
}

#[test]
fn better_sources_are_dialled_first() {
    let (mut table, mut rng) = table();
    let now = Instant::ZERO;
    table.add(now, numbered(1), Source::Pex, teller(1), &mut rng);
    table.add(now, numbered(2), Source::Incoming, None, &mut rng);
    table.add(now, numbered(3), Source::Tracker, None, &mut rng);
    table.add(now, numbered(4), Source::User, None, &mut rng);
    for expected in [4, 3, 2, 1] {
        let addr = table.next(now, any).unwrap();
        assert_eq!(addr, numbered(expected));
        table.begin(addr);
    }
    assert_eq!(table.next(now, any), None);
    assert_eq!(table.next_at(), None);
}

#[test]
fn an_address_is_known_once_and_its_best_source_counts() {
    let (mut table, mut rng) = table();
    let now = Instant::ZERO;
    assert!(table.add(now, numbered(1), Source::Pex, teller(1), &mut rng));
    assert!(!table.add(now, numbered(1), Source::Tracker, None, &mut rng));
    assert!(!table.add(now, numbered(1), Source::Pex, teller(2), &mut rng));
    assert_eq!((table.len(), table.source(numbered(1)), table.pex), (1, Some(Source::Tracker), 0));
    assert!(table.tellers.is_empty());
}

#[test]
fn the_first_retry_is_fast_and_later_ones_are_ever_slower() {
    let (mut table, mut rng) = table();
    let mut now = Instant::ZERO;
    table.add(now, numbered(1), Source::User, None, &mut rng);
    let mut last = Duration::ZERO;
    for attempt in 0..20 {
        table.begin(numbered(1));
        assert_eq!(table.next(now, any), None, "busy");
        table.ended(now, numbered(1), Ending::Failed, &mut rng);
        let wait = table.next_at().unwrap() - now;
        match attempt {
            0 => assert!(wait <= Duration::from_millis(650), "{wait:?}"),
            1..=2 => assert!(wait > last * 2, "{wait:?} after {last:?}"),
            _ => assert!(wait <= BACKOFF.user_max.mul_f64(1.25)),
        }
        assert_eq!(table.next(now, any), None);
        now += wait;
        assert_eq!(table.next(now, any), Some(numbered(1)), "the user's peers are never given up");
        last = wait;
    }
}

#[test]
fn strangers_addresses_are_given_up_and_proven_ones_later() {
    let (mut table, mut rng) = table();
    let now = Instant::ZERO;
    for (i, source) in [(1, Source::Pex), (2, Source::Tracker), (3, Source::Tracker)] {
        table.add(now, numbered(i), source, None, &mut rng);
    }
    table.proven(numbered(3));
    let mut failures = [0; 4];
    for (i, count) in failures.iter_mut().enumerate().skip(1) {
        let addr = numbered(i as u32);
        while table.source(addr).is_some() {
            table.ended(now, addr, Ending::Failed, &mut rng);
            *count += 1;
        }
    }
    assert_eq!(failures[1..], [FAILURES_MAX_PEX, FAILURES_MAX_UNPROVEN, FAILURES_MAX_PROVEN]);
}

#[test]
fn endings_decide_the_next_dial() {
    let (mut table, mut rng) = table();
    let now = Instant::ZERO;
    for i in 1..=3 {
        table.add(now, numbered(i), Source::Tracker, None, &mut rng);
        table.begin(numbered(i));
    }
    table.ended(now, numbered(1), Ending::Useful, &mut rng);
    table.ended(now, numbered(2), Ending::Useless, &mut rng);
    table.ended(now, numbered(3), Ending::Never, &mut rng);
    let soon = now + Duration::from_secs(1);
    assert_eq!(table.next(soon, any), Some(numbered(1)));
    table.begin(numbered(1));
    assert_eq!(table.next(soon, any), None);
    assert_eq!(table.next(now + USELESS_WAIT * 2, any), Some(numbered(2)));
    table.begin(numbered(2));
    assert!(!table.add(now, numbered(3), Source::Tracker, None, &mut rng), "dead ones stay dead");
    assert_eq!(table.next(Instant::FAR_FUTURE, any), None);
    assert!(table.add(now, numbered(3), Source::User, None, &mut rng), "but for the user's word");
}

#[test]
fn a_million_fake_peers_leave_the_honest_ones_in_place() {
    let (mut table, mut rng) = table();
    let now = Instant::ZERO;
    for i in 0..1000 {
        assert!(table.add(now, numbered(i), Source::Tracker, None, &mut rng));
    }
    for i in 1000..1100 {
        assert!(table.add(now, numbered(i), Source::Pex, teller(0), &mut rng));
    }
    for i in 0..1_000_000 {
        table.add(now, numbered(10_000 + i), Source::Pex, teller(1 + i % 20), &mut rng);
    }
    assert!(table.len() <= CANDIDATES_MAX);
    assert_eq!(table.by_addr.values().filter(|c| c.source == Source::Tracker).count(), 1000);
    let honest = table.by_addr.values().filter(|c| c.teller == teller(0)).count();
    let fair = PEX_MAX / 21;
    assert!(honest >= fair, "{honest} of 100 left, a fair share is {fair}");
    assert!(table.tellers.values().all(|count| *count <= PER_TELLER_MAX));
}

#[test]
fn a_full_table_makes_room_for_better_sources_only() {
    let (mut table, mut rng) = table();
    let now = Instant::ZERO;
    for i in 0..CANDIDATES_MAX as u32 {
        table.add(now, numbered(i), Source::Tracker, None, &mut rng);
    }
    assert!(!table.add(now, numbered(9_000), Source::Pex, teller(1), &mut rng));
    assert!(!table.add(now, numbered(9_001), Source::Incoming, None, &mut rng));
    assert!(table.add(now, numbered(9_002), Source::User, None, &mut rng));
    assert_eq!(table.len(), CANDIDATES_MAX);
}

proptest! {
    /// Whatever is done, the counts agree with the table and the maxima hold.
    #[test]
    fn counts_agree_after_arbitrary_commands(commands in prop::collection::vec((0u8..8, 0u32..400, 0u32..4), 1..800)) {
        let (mut table, mut rng) = table();
        let mut now = Instant::ZERO;
        for (command, i, j) in commands {
            now += Duration::from_millis(u64::from(i));
            let addr = numbered(i);
            match command {
                0..=2 => { table.add(now, addr, Source::Pex, teller(j), &mut rng); }
                3 => { table.add(now, addr, [Source::Incoming, Source::Tracker, Source::User][j as usize % 3], None, &mut rng); }
                4 => table.begin(addr),
                5 => table.ended(now, addr, [Ending::Failed, Ending::Short, Ending::Useless, Ending::Never][j as usize], &mut rng),
                6 => table.remove(addr),
                _ => table.retain(|addr, _| addr != numbered(i)),
            }
            let pex: Vec<_> = table.by_addr.values().filter(|c| c.is_pex()).collect();
            prop_assert_eq!(pex.len(), table.pex);
            let told: u32 = table.tellers.values().sum();
            prop_assert_eq!(told as usize, pex.iter().filter(|c| c.teller.is_some()).count());
            prop_assert!(table.len() <= CANDIDATES_MAX && table.pex <= PEX_MAX);
        }
    }
}
