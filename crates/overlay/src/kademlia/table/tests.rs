use super::*;
use peerage_base::Rng;
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// A contact in a network of its own.
fn honest(n: u32, rng: &mut Rng) -> Contact<20> {
    let ip = Ipv4Addr::from(0x1400_0000 + n * 256 + 1);
    Contact { key: Key::random(rng), addr: SocketAddr::new(ip.into(), 6881) }
}

fn table() -> Table<20> {
    Table::new(Key([0; 20]), TableConfig::default())
}

/// A table as after some time on the internet.
fn warm(rng: &mut Rng) -> Table<20> {
    let mut table = table();
    (0..5_000).for_each(|n| table.confirm(at(0), honest(n, rng)));
    table
}

fn count(table: &Table<20>, hostile: impl Fn(&Contact<20>) -> bool) -> usize {
    table.entries().filter(|entry| hostile(&entry.contact)).count()
}

/// threats.md D3: one host with 100,000 identifiers, one /24, sixteen /24; each answers when asked.
#[test]
fn floods_of_identifiers_get_a_small_share() {
    let mut rng = Rng::from_number(1);
    for (nets, hosts, at_most) in [(1, 1, 1), (1, 250, 10), (16, 250, 160)] {
        let mut table = warm(&mut rng);
        let honest_before = table.len();
        for n in 0..100_000_u32 {
            let ip = Ipv4Addr::from(0x5000_0000 | (n % nets) << 8 | (1 + n / nets % hosts));
            let contact = Contact {
                key: Key::random(&mut rng),
                addr: SocketAddr::new(ip.into(), 1 + (n % 60_000) as u16),
            };
            if n % 100 == 0 {
                // Meanwhile honest contacts come and go.
                let victim = table.entries().nth(rng.index(table.len())).map(|entry| entry.contact);
                for _ in 0..6 {
                    let _ = table.fail(&victim.expect("a contact"));
                }
                table.confirm(at(u64::from(n)), honest(10_000 + n, &mut rng));
            }
            table.confirm(at(u64::from(n)), contact);
        }
        let hostile =
            count(&table, |contact| matches!(contact.addr.ip(), IpAddr::V4(ip) if ip.octets()[0] == 0x50));
        let share = hostile as f64 / table.len() as f64;
        println!(
            "{nets} networks of {hosts} hosts: {hostile} of {} contacts ({honest_before} before)",
            table.len()
        );
        assert!(hostile <= at_most, "{hostile} of {nets} networks");
        assert!(share <= 0.35, "{share}");
        for bucket in &table.buckets {
            let mut nets = BTreeMap::new();
            for entry in &bucket.entries {
                *nets.entry(subnet(entry.contact.addr.ip())).or_insert(0) += 1;
            }
            assert!(nets.values().all(|count| *count <= 2), "{nets:?}");
        }
    }
}

/// The same for an IPv6 /64, and no limit for machines nearby.
#[test]
fn a_v6_subscriber_is_one_network_and_nearby_hosts_are_not() {
    let mut rng = Rng::from_number(2);
    let mut table = table();
    for n in 1..200 {
        let addr = format!("[2a00:1:2:3::{n:x}]:6881").parse().unwrap();
        table.confirm(at(0), Contact { key: Key::random(&mut rng), addr });
    }
    assert_eq!(table.len(), 1, "a /64 is one host");
    for port in 1..50 {
        let addr = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        table.confirm(at(0), Contact { key: Key::random(&mut rng), addr });
    }
    assert!(table.len() > 40, "{}", table.len());
}

#[test]
fn old_contacts_that_answer_stay_and_silent_ones_give_way() {
    let mut rng = Rng::from_number(3);
    let mut table = warm(&mut rng);
    let before: Vec<_> = table.entries().map(|entry| entry.contact).collect();
    let newcomers: Vec<_> = (20_000..30_000).map(|n| honest(n, &mut rng)).collect();
    newcomers.iter().for_each(|contact| table.confirm(at(10), *contact));
    assert!(before.iter().all(|contact| table.contains(contact)));
    // A silent one's place goes to one that waits, once that has answered.
    let silent = before[0];
    assert_eq!(table.fail(&silent), None, "once is chance");
    let next = table.fail(&silent).expect("somebody waits");
    assert!(newcomers.contains(&next) && table.contains(&silent));
    assert!(!table.closest(&silent.key, 8).contains(&silent), "it is told to nobody");
    table.confirm(at(11), next);
    assert!(table.contains(&next) && !table.contains(&silent));
}

/// Whoever claims a key that is in the table, from elsewhere, does not get its place.
#[test]
fn a_key_is_not_taken_over() {
    let mut rng = Rng::from_number(4);
    let mut table = table();
    let (owner, mut thief) = (honest(1, &mut rng), honest(2, &mut rng));
    thief.key = owner.key;
    table.confirm(at(0), owner);
    table.confirm(at(1), thief);
    assert!(table.contains(&owner) && !table.contains(&thief));
    // An owner that moved house is found again.
    table.fail(&owner);
    table.confirm(at(2), thief);
    assert!(table.contains(&thief) && !table.contains(&owner));
}

#[test]
fn silent_contacts_and_buckets_are_looked_after() {
    let mut rng = Rng::from_number(5);
    let mut table = warm(&mut rng);
    assert_eq!((table.stalest(at(899)), table.refresh(at(899), &mut rng)), (None, None));
    assert!(table.stalest(at(900)).is_some());
    let depth = table.depth();
    let refreshed: Vec<usize> = std::iter::from_fn(|| table.refresh(at(900), &mut rng))
        .map(|key| Key([0; 20]).common_bits(&key))
        .collect();
    assert_eq!(refreshed, (0..depth).collect::<Vec<_>>(), "each bucket once, by a key of its own");
    let failed = table.entries().nth(7).expect("a contact").contact;
    table.fail(&failed);
    assert_eq!(table.stalest(at(0)), Some(failed), "who did not answer is asked again first");
}

proptest! {
    /// The closest contacts are those that a search of all of them finds.
    #[test]
    fn the_closest_are_the_closest(seed: u64, size in 0_u32..400, count in 1_usize..40) {
        let mut rng = Rng::from_number(seed);
        let mut table = Table::new(Key::random(&mut rng), TableConfig::default());
        (0..size).for_each(|n| table.confirm(at(0), honest(n, &mut rng)));
        for _ in 0..8 {
            let target = if rng.below(4) == 0 { table.local() } else { Key::random(&mut rng) };
            let mut all: Vec<_> = table.entries().map(|entry| entry.contact).collect();
            all.sort_by_key(|contact| contact.key.distance(&target));
            all.truncate(count);
            prop_assert_eq!(table.closest(&target, count), all);
        }
    }

    /// Counts of contacts, hosts and networks agree with the contacts after any history.
    #[test]
    fn the_books_balance(seed: u64) {
        let mut rng = Rng::from_number(seed);
        let mut table = table();
        let contacts: Vec<_> = (0..600_u16)
            .map(|n| {
                // Some hosts under two identifiers, some networks with several hosts.
                let ip = Ipv4Addr::new(20, (n % 80) as u8, 1, 1 + (n % 250) as u8);
                Contact { key: Key::random(&mut rng), addr: SocketAddr::new(ip.into(), 6881) }
            })
            .collect();
        for _ in 0..2_000 {
            let contact = contacts[rng.index(contacts.len())];
            if rng.below(3) == 0 {
                let _ = table.fail(&contact);
            } else {
                table.confirm(at(0), contact);
            }
        }
        prop_assert_eq!(table.len(), table.entries().count());
        prop_assert_eq!(table.hosts.values().sum::<usize>(), table.len());
        prop_assert_eq!(table.subnets.values().sum::<usize>(), table.len());
        prop_assert_eq!(table.excess, table.subnets.values().map(|count| count.saturating_sub(2)).sum::<usize>());
        for (index, bucket) in table.buckets.iter().enumerate() {
            prop_assert!(bucket.entries.len() <= table.size_of(index));
            prop_assert!(bucket.waiting.len() <= table.config.replacements_max);
        }
    }
}
