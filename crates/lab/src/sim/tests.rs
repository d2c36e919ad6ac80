//! Each kind of fault, seen from a protocol of one message: a node greets all others, who greet back.

use super::*;
use crate::latency::Latency;
use crate::link::LinkConfig;
use crate::run::pass;
use crate::scenario::{FaultKind, Scenario, ScenarioError};

/// What every node heard, in order: from whom and when, in milliseconds.
#[derive(Debug, Default)]
struct Greeter {
    heard: Vec<(u32, u64)>,
}

struct Greeting;

impl Protocol for Greeting {
    type Node = Greeter;

    fn new(_: &Scenario, _: &mut [Role], _: &mut Rng) -> Result<Self, ScenarioError> {
        Ok(Self)
    }
    fn check(_: &Scenario) -> Result<(), ScenarioError> {
        Ok(())
    }
    fn node(&mut self, _: NodeId, _: &mut Rng) -> Greeter {
        Greeter::default()
    }
    fn fill(&mut self, _: &mut [Greeter], _: &[bool], _: &mut Rng) -> bool {
        true
    }
    fn join(&mut self, _: &mut Greeter, _: &mut Context<'_>, _: &[NodeId]) {}
    fn handle_message(&mut self, node: &mut Greeter, cx: &mut Context<'_>, from: NodeId, frame: &[u8]) {
        node.heard.push((from.0, cx.now().as_micros() / 1000));
        if frame == b"hello" {
            cx.send(from, b"hello to you".to_vec(), None);
        }
    }
    fn handle_timeout(&mut self, _: &mut Greeter, _: &mut Context<'_>) {}
    fn poll_timeout(&self, _: &Greeter) -> Option<Instant> {
        None
    }
    fn search(&mut self, _: &mut Greeter, cx: &mut Context<'_>, search: SearchId, _: ObjectId) {
        let me = cx.me();
        for other in (0..cx.nodes() as u32).map(NodeId).filter(|other| *other != me) {
            cx.send(other, b"hello".to_vec(), Some(search));
        }
    }
    fn neighbours(&self, _: &Greeter) -> Vec<NodeId> {
        Vec::new()
    }
}

fn parts(nodes: usize) -> Parts {
    Parts {
        rng: Rng::from_number(1),
        latency: Latency::Constant(10_000),
        links: Links::new(LinkConfig::default(), nodes),
        nats: Nats::default(),
        faults: Vec::new(),
        roles: vec![Role::Honest; nodes],
        churn: None,
        workload: WorkloadConfig { searches: 0, ..WorkloadConfig::default() },
    }
}

fn fault(kind: FaultKind) -> Fault {
    Fault { kind, at_s: 1.0, for_s: 1.0, share: 0.5, delay_ms: 300.0 }
}

fn sim(parts: Parts) -> Sim<Greeting> {
    let mut sim = Sim::new(Greeting, parts);
    assert!(sim.build());
    sim.begin_workload();
    sim
}

/// Node 0 greets everybody now; who answers within a second.
fn answers(sim: &mut Sim<Greeting>) -> Vec<u32> {
    sim.nodes.iter_mut().for_each(|node| node.heard.clear());
    for other in 1..sim.nodes.len() as u32 {
        sim.world.send(NodeId(0), NodeId(other), b"hello".to_vec(), None);
    }
    pass(sim, 0.9);
    let mut heard: Vec<u32> = sim.nodes[0].heard.iter().map(|(from, _)| *from).collect();
    heard.sort_unstable();
    heard
}

#[test]
fn without_faults_everybody_answers_after_two_ways() {
    let mut sim = sim(parts(20));
    assert_eq!(answers(&mut sim), (1..20).collect::<Vec<u32>>());
    assert!(sim.nodes[0].heard.iter().all(|(_, at_ms)| *at_ms == 20));
    assert_eq!((sim.world.counters.sent, sim.world.counters.delivered), (38, 38));
}

#[test]
fn a_partition_keeps_its_sides_apart_and_heals() {
    let mut sim = sim(Parts { faults: vec![fault(FaultKind::Partition)], ..parts(40) });
    assert_eq!(answers(&mut sim).len(), 39);
    pass(&mut sim, 0.2);
    let within = answers(&mut sim).len();
    assert!((8..32).contains(&within), "{within}");
    assert_eq!(sim.world.counters.cut as usize, 39 - within);
    pass(&mut sim, 0.2);
    assert_eq!(answers(&mut sim).len(), 39);
}

/// What one side sends is lost; what the other side sends arrives, but its answer does not.
#[test]
fn a_one_way_fault_is_asymmetric() {
    let mut sim = sim(Parts { faults: vec![fault(FaultKind::OneWay)], ..parts(40) });
    pass(&mut sim, 1.1);
    let answered = answers(&mut sim).len();
    let heard = sim.nodes[1..].iter().filter(|node| !node.heard.is_empty()).count();
    assert!(answered < 39 && (heard == 39 || heard == answered), "{answered} answered, {heard} heard");
    assert!(sim.world.counters.cut > 0);
}

#[test]
fn crashed_nodes_are_silent_and_come_back() {
    let mut sim = sim(Parts { faults: vec![Fault { share: 1.0, ..fault(FaultKind::Crash) }], ..parts(5) });
    pass(&mut sim, 1.1);
    assert!(answers(&mut sim).is_empty());
    assert_eq!((sim.world.counters.nobody, sim.world.counters.left), (4, 5));
    pass(&mut sim, 0.2);
    assert_eq!(answers(&mut sim).len(), 4);
}

#[test]
fn slow_nodes_get_everything_late() {
    let mut sim = sim(Parts { faults: vec![Fault { share: 1.0, ..fault(FaultKind::Slow) }], ..parts(3) });
    pass(&mut sim, 1.1);
    answers(&mut sim);
    let began = 1100;
    assert!(sim.nodes[0].heard.iter().all(|(_, at_ms)| *at_ms == began + 620), "{:?}", sim.nodes[0].heard);
}

#[test]
fn silent_nodes_say_nothing() {
    let roles = vec![Role::Honest, Role::Silent, Role::Honest];
    let mut sim = sim(Parts { roles, ..parts(3) });
    assert_eq!(answers(&mut sim), [2]);
}

#[test]
fn nats_keep_strangers_out() {
    let kinds = vec![crate::nat::Kind::Open, crate::nat::Kind::Moderate, crate::nat::Kind::Open];
    let mut sim = sim(Parts { nats: Nats::of(kinds), ..parts(3) });
    assert_eq!(answers(&mut sim), [2]);
    assert_eq!(sim.world.counters.filtered, 1);
}

#[test]
fn lossy_links_lose_and_repeat() {
    let config = LinkConfig { loss: 0.2, duplicate: 0.2, ..LinkConfig::default() };
    let mut sim = sim(Parts { links: Links::new(config, 500), ..parts(500) });
    let heard = answers(&mut sim);
    // Each way passes 80 % once and 16 % a second time: 0.96 of 499 there, and 0.96 of those back.
    assert!((420..500).contains(&heard.len()), "{}", heard.len());
    let counters = sim.world.counters;
    assert!((150..250).contains(&counters.lost) && (110..220).contains(&counters.duplicated), "{counters:?}");
}

#[test]
fn churn_keeps_the_share_online_that_its_times_give() {
    use crate::churn::Times;
    let churn =
        Churn { session: Times::Exponential { mean_s: 30.0 }, away: Times::Exponential { mean_s: 10.0 } };
    let mut sim = sim(Parts { churn: Some(churn), ..parts(4000) });
    let online = |sim: &Sim<Greeting>| sim.world.online.iter().filter(|online| **online).count();
    for _ in 0..10 {
        assert!((2850..3150).contains(&online(&sim)), "{}", online(&sim));
        pass(&mut sim, 6.0);
    }
    // 3,000 sessions of 30 s each end in 60 s about twice.
    assert!((5600..6400).contains(&sim.world.counters.left), "{}", sim.world.counters.left);
}
