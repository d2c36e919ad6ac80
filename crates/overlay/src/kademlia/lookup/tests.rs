use super::*;
use peerage_base::Rng;
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// Nodes that know their neighbourhood and some others, without a network between them.
struct World {
    nodes: Vec<Contact<20>>,
    /// By node: whom it knows.
    known: Vec<Vec<usize>>,
}

impl World {
    fn new(size: usize, rng: &mut Rng) -> Self {
        let contact = |n: usize, rng: &mut Rng| Contact {
            key: Key::random(rng),
            addr: SocketAddr::new(Ipv4Addr::from(0x1400_0000 + n as u32 * 256 + 1).into(), 6881),
        };
        let nodes: Vec<_> = (0..size).map(|n| contact(n, rng)).collect();
        let known = nodes
            .iter()
            .map(|node| {
                let mut order: Vec<usize> = (0..size).collect();
                order.sort_by_key(|other| nodes[*other].key.distance(&node.key));
                let mut known = order[..12.min(size)].to_vec();
                known.extend((0..20).map(|_| rng.index(size)));
                known
            })
            .collect();
        Self { nodes, known }
    }

    fn answer(&self, addr: SocketAddr, target: &Key<20>) -> Option<(Contact<20>, Vec<(Contact<20>, bool)>)> {
        let at = self.nodes.iter().position(|node| node.addr == addr)?;
        let mut known: Vec<_> = self.known[at].iter().map(|other| self.nodes[*other]).collect();
        known.sort_by_key(|contact| contact.key.distance(target));
        Some((self.nodes[at], known.into_iter().take(8).map(|contact| (contact, false)).collect()))
    }

    fn closest(&self, target: &Key<20>, count: usize) -> Vec<Contact<20>> {
        let mut all = self.nodes.clone();
        all.sort_by_key(|contact| contact.key.distance(target));
        all.truncate(count);
        all
    }
}

/// Runs a look-up; `fate` says of each question whether it is answered.
fn run(
    world: &World,
    lookup: &mut Lookup<20>,
    rng: &mut Rng,
    mut fate: impl FnMut(SocketAddr) -> bool,
) -> Vec<SocketAddr> {
    let (mut asked, mut waiting) = (Vec::new(), Vec::new());
    loop {
        while let Some(ask) = lookup.poll() {
            asked.push(ask.addr);
            waiting.push(ask);
        }
        if lookup.is_done() {
            return asked;
        }
        assert!(!waiting.is_empty(), "neither done nor waiting");
        let ask = waiting.swap_remove(rng.index(waiting.len()));
        match world.answer(ask.addr, &ask.target).filter(|_| fate(ask.addr)) {
            Some((from, named)) => assert!(lookup.answer(from, false, named)),
            None => lookup.fail(ask.addr),
        }
    }
}

fn config(paths: usize) -> LookupConfig {
    LookupConfig { paths, ..LookupConfig::default() }
}

fn begin(seeds: &[Contact<20>], target: Key<20>, paths: usize) -> Lookup<20> {
    let seeds: Vec<_> = seeds.iter().map(|contact| (*contact, false)).collect();
    Lookup::new(target, config(paths), &seeds, [])
}

fn some_of(world: &World, count: usize, rng: &mut Rng) -> Vec<Contact<20>> {
    (0..count).map(|_| world.nodes[rng.index(world.nodes.len())]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever the order of answers and the number of paths: the closest eight of all that were heard
    /// of have answered, and nobody was asked twice.
    #[test]
    fn the_closest_heard_of_have_answered(seed: u64, paths in prop::sample::select(vec![1_usize, 2, 4, 8])) {
        let mut rng = Rng::from_number(seed);
        let world = World::new(150, &mut rng);
        let (target, seeds) = (Key::random(&mut rng), some_of(&world, 16, &mut rng));
        let mut lookup = begin(&seeds, target, paths);
        let mut answered = Vec::new();
        let asked = run(&world, &mut lookup, &mut rng, |addr| {
            answered.push(addr);
            true
        });
        let named = answered.iter().flat_map(|addr| world.answer(*addr, &target).unwrap().1).map(|named| named.0);
        let heard: BTreeSet<_> = named.chain(seeds).map(|contact| contact.key.distance(&target)).collect();
        prop_assert_eq!(lookup.distances(8), heard.into_iter().take(8).collect::<Vec<_>>());
        let distinct: BTreeSet<_> = asked.iter().collect();
        prop_assert_eq!(distinct.len(), asked.len());
    }

    /// It ends, with those that answer, when many do not.
    #[test]
    fn silence_ends_it_too(seed: u64, silent in 0_u64..=10) {
        let mut rng = Rng::from_number(seed);
        let world = World::new(100, &mut rng);
        let (target, seeds) = (Key::random(&mut rng), some_of(&world, 16, &mut rng));
        let mut lookup = begin(&seeds, target, 4);
        let (mut chance, mut answered) = (rng.fork(), 0);
        run(&world, &mut lookup, &mut rng, |_| {
            let speaks = chance.below(10) >= silent;
            answered += usize::from(speaks);
            speaks
        });
        prop_assert_eq!(lookup.closest(8).len(), answered.min(8));
    }
}

/// The closest eight of the whole network are found. Whoever knows only its neighbourhood may never name
/// the eighth, so this is a rate.
#[test]
fn the_closest_of_all_are_found() {
    for paths in [1, 2, 4, 8] {
        let (mut hits, runs) = (0, 100);
        for seed in 0..runs {
            let mut rng = Rng::from_number(seed);
            let world = World::new(150, &mut rng);
            let (target, seeds) = (Key::random(&mut rng), some_of(&world, 16, &mut rng));
            let mut lookup = begin(&seeds, target, paths);
            run(&world, &mut lookup, &mut rng, |_| true);
            let (found, wanted) = (lookup.closest(8), world.closest(&target, 8));
            hits += wanted.iter().filter(|contact| found.contains(contact)).count();
        }
        let share = hits as f64 / (8 * runs) as f64;
        assert!(share > 0.9, "{share} by {paths} paths");
    }
}

/// A late node holds nothing up, and counts when its answer comes.
#[test]
fn a_late_answer_is_welcome() {
    let mut rng = Rng::from_number(1);
    let world = World::new(50, &mut rng);
    let target = world.nodes[0].key;
    let seeds: Vec<_> = world.closest(&target, 9).into_iter().map(|contact| (contact, false)).collect();
    let mut lookup = Lookup::new(target, LookupConfig { alpha: 16, ..config(1) }, &seeds, []);
    let asked: Vec<_> = std::iter::from_fn(|| lookup.poll()).map(|ask| ask.addr).collect();
    assert_eq!(asked.len(), 8, "the closest eight, not the ninth");
    for addr in &asked[1..] {
        let (from, _) = world.answer(*addr, &target).unwrap();
        lookup.answer(from, false, []);
    }
    assert!(!lookup.is_done() && lookup.poll().is_none());
    lookup.late(asked[0]);
    let ninth = lookup.poll().expect("the ninth instead");
    lookup.answer(world.answer(ninth.addr, &target).unwrap().0, false, []);
    assert!(lookup.is_done());
    assert!(!lookup.closest(8).iter().any(|contact| contact.addr == asked[0]));
    lookup.answer(world.nodes[0], false, []);
    assert_eq!(lookup.closest(8)[0], world.nodes[0]);
}

/// After a pause of our own, everybody seems late: who is on the way is waited for.
#[test]
fn it_does_not_end_with_nothing_while_answers_are_on_the_way() {
    let mut rng = Rng::from_number(5);
    let world = World::new(6, &mut rng);
    let target = Key::random(&mut rng);
    let mut lookup = begin(&world.nodes, target, 1);
    let asked: Vec<_> = std::iter::from_fn(|| {
        let ask = lookup.poll()?;
        lookup.late(ask.addr);
        Some(ask.addr)
    })
    .collect();
    assert_eq!(asked.len(), 6);
    assert!(!lookup.is_done() && lookup.closest(8).is_empty());
    for addr in &asked[..5] {
        lookup.answer(world.answer(*addr, &target).unwrap().0, false, []);
    }
    assert!(!lookup.is_done(), "the sixth may come");
    lookup.fail(asked[5]);
    assert!(lookup.is_done());
    assert_eq!(lookup.closest(8).len(), 5);
}

/// Who names a wrong port of an honest host does not keep us from the right one.
#[test]
fn a_host_is_asked_once_unless_it_was_silent() {
    let mut rng = Rng::from_number(2);
    let node = World::new(1, &mut rng).nodes[0];
    let wrong = Contact { key: node.key.flipped(159), addr: SocketAddr::new(node.addr.ip(), 1) };
    let target = wrong.key;
    let mut lookup = Lookup::new(target, config(1), &[(wrong, false), (node, false)], []);
    assert_eq!(lookup.poll().map(|ask| ask.addr), Some(wrong.addr));
    assert_eq!(lookup.poll(), None, "one at a time");
    lookup.fail(wrong.addr);
    assert_eq!(lookup.poll().map(|ask| ask.addr), Some(node.addr));
    lookup.answer(node, false, [(Contact { key: target, addr: SocketAddr::new(node.addr.ip(), 9) }, false)]);
    assert_eq!(lookup.poll(), None, "it answered");
    assert!(lookup.is_done());
}

#[test]
fn suspects_are_asked_last() {
    let mut rng = Rng::from_number(3);
    let world = World::new(10, &mut rng);
    let target = world.nodes[0].key;
    let suspects = [0, 1, 2].map(|at| (world.nodes[at], true));
    let others = [3, 4].map(|at| (world.nodes[at], false));
    let mut lookup =
        Lookup::new(target, LookupConfig { alpha: 1, ..config(1) }, &[&suspects[..], &others].concat(), []);
    let mut order = Vec::new();
    while let Some(ask) = lookup.poll() {
        let (from, _) = world.answer(ask.addr, &target).unwrap();
        let at = world.nodes.iter().position(|node| *node == from).unwrap();
        order.push(at);
        lookup.answer(from, at < 3, []);
    }
    order[..2].sort_unstable();
    assert_eq!(order[..3], [3, 4, 0]);
    assert_eq!(lookup.distances(8).len(), 2, "suspects are no measure");
}

/// One /24 gives at most two of the nodes at which something is stored.
#[test]
fn one_network_does_not_keep_all_copies() {
    let mut rng = Rng::from_number(4);
    let world = World::new(10, &mut rng);
    let target = Key::random(&mut rng);
    let crowd = (1..=100_u8).map(|n| Contact {
        key: target.random_beside(40, &mut Rng::from_number(u64::from(n))),
        addr: SocketAddr::new(Ipv4Addr::new(80, 1, 1, n).into(), 6881),
    });
    let all: Vec<_> = crowd.chain(world.nodes.iter().copied()).map(|contact| (contact, false)).collect();
    let mut lookup = Lookup::new(target, config(1), &all, []);
    while let Some(ask) = lookup.poll() {
        let contact = all.iter().find(|(contact, _)| contact.addr == ask.addr).unwrap().0;
        lookup.answer(contact, false, []);
    }
    let crowded = |contact: &Contact<20>| contact.addr.ip().to_string().starts_with("80.1.1.");
    let found = lookup.closest(8);
    assert_eq!((found.iter().filter(|contact| crowded(contact)).count(), found.len()), (2, 6));
}
