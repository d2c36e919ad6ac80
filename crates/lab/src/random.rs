//! Swarm testing: the whole scenario is drawn from a seed, and run with complete [`Peer`](peerage_peer::Peer)
//! machines on the network of [`peerage_peer::sim`].
//!
//! First everything goes wrong: nodes vanish, come back with a part of their data, hang up, and lie. All the while
//! safety is checked: whoever says that it is complete has exactly the content, and no honest node bans another.
//! Then the faults end, and liveness is checked: every honest node completes.
//!
//! The feature `planted-bug` puts a bug into the swarm machine which this must find.

use peerage_base::{Duration, Rng};
use peerage_content::metainfo::Version;
use peerage_peer::sim::{Behaviour, Content, How, Lie, Net, NodeId, NodeSpec};

/// How long it takes at most, in virtual time, until all are complete after the faults.
const HEAL: Duration = Duration::from_secs(1200);

/// What a seed drew, and how it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Passed {
    /// What was drawn.
    pub drawn: String,
    /// Hash over everything that was delivered.
    pub trace: u64,
    /// Events handled.
    pub events: u64,
    /// Virtual seconds.
    pub virtual_s: f64,
}

/// A seed under which something does not hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("seed {seed}: {what} ({drawn})")]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// What was drawn.
    pub drawn: String,
    /// What does not hold.
    pub what: String,
}

/// The network under test.
struct Test {
    net: Net,
    rng: Rng,
    content: Content,
    /// Honest nodes that have everything.
    seeds: Vec<NodeId>,
    liars: Vec<NodeId>,
    /// Honest nodes that fetch and are there.
    leechers: Vec<NodeId>,
    /// Honest nodes, those that vanished included.
    honest: Vec<NodeId>,
    drawn: String,
}

/// Runs the scenario of a seed.
///
/// # Errors
/// What does not hold.
pub fn run(seed: u64) -> Result<Passed, Violation> {
    let mut test = Test::draw(seed);
    let violation = |test: &Test, what: String| Violation { seed, drawn: test.drawn.clone(), what };
    let spans = 5 + test.rng.below(40);
    for _ in 0..spans {
        test.disturb();
        test.net.run_for(Duration::from_millis(200 + test.rng.below(2800)));
        test.safe().map_err(|what| violation(&test, what))?;
    }
    test.heal();
    let leechers = test.leechers.clone();
    let done = test.net.run_until_done(HEAL, &leechers);
    test.safe().map_err(|what| violation(&test, what))?;
    let missing = leechers.iter().filter(|id| test.net.done_at(**id).is_none()).count();
    if !done {
        let what = format!(
            "{missing} of {} nodes are not complete {} s after the faults",
            leechers.len(),
            HEAL.as_secs()
        );
        return Err(violation(&test, what));
    }
    let (trace, events) = (test.net.trace(), test.net.steps());
    Ok(Passed { drawn: test.drawn, trace, events, virtual_s: test.net.now().as_secs_f64() })
}

impl Test {
    fn draw(seed: u64) -> Self {
        let mut rng = Rng::from_number(seed ^ 0x5EED_0000_0000_0000);
        let mut net = Net::new(seed);
        let version = [Version::V1, Version::Hybrid, Version::V2][rng.index(3)];
        let lens: Vec<usize> = (0..1 + rng.index(3)).map(|_| 1 + rng.index(1_500_000)).collect();
        let piece_len = 16_384 << rng.below(4);
        let content = Content::with(seed, &lens, piece_len, version);
        let (mut seeds, mut liars) = (Vec::new(), Vec::new());
        for _ in 0..1 + rng.index(3) {
            let id = net.add(spec(&mut rng));
            net.share_tracked(id, &content);
            seeds.push(id);
        }
        for _ in 0..rng.index(4) {
            let id = net.add(NodeSpec { behaviour: liar(&mut rng), ..spec(&mut rng) });
            net.share_tracked(id, &content);
            liars.push(id);
        }
        let drawn = format!(
            "{version:?}, {} bytes in pieces of {piece_len}, {} seeds, {} liars",
            content.len(),
            seeds.len(),
            liars.len()
        );
        let honest = seeds.clone();
        let mut test = Self { net, rng, content, seeds, liars, leechers: Vec::new(), honest, drawn };
        for _ in 0..2 + test.rng.index(7) {
            test.join();
        }
        test
    }

    /// An honest node comes: new, or with a part of the data.
    fn join(&mut self) {
        let id = self.net.add(spec(&mut self.rng));
        match self.rng.below(4) {
            0 => {
                let share = self.rng.unit();
                self.net.resume_tracked(id, &self.content, share);
            }
            1 => {
                self.net.fetch(id, &self.content, How::Torrent, &[], true);
            }
            _ => {
                self.net.fetch(id, &self.content, How::Magnet, &[], true);
            }
        }
        self.leechers.push(id);
        self.honest.push(id);
    }

    /// One thing goes wrong, or none.
    fn disturb(&mut self) {
        match self.rng.below(6) {
            0 | 1 if self.leechers.len() > 1 => {
                let at = self.rng.index(self.leechers.len());
                let id = self.leechers.swap_remove(at);
                self.net.kill(id);
                self.drawn += &format!(", {} vanishes at {:.1} s", id.0, self.net.now().as_secs_f64());
            }
            2 if self.seeds.len() > 1 => {
                let id = self.seeds.swap_remove(0);
                self.net.kill(id);
                self.drawn += &format!(", seed {} vanishes at {:.1} s", id.0, self.net.now().as_secs_f64());
            }
            3 | 4 if self.honest.len() < 24 => self.join(),
            _ => {}
        }
    }

    /// The faults end: liars are gone.
    fn heal(&mut self) {
        for id in std::mem::take(&mut self.liars) {
            self.net.kill(id);
        }
    }

    /// What must hold at any time.
    fn safe(&self) -> Result<(), String> {
        for id in &self.honest {
            if self.net.done_at(*id).is_some() && !self.net.has_exactly(*id, &self.content) {
                return Err(format!("node {} says that it is complete, and has other bytes", id.0));
            }
            for (addr, reason) in self.net.banned(*id) {
                let victim = self.honest.iter().find(|other| self.net.addr(**other).ip() == addr.ip());
                if let Some(victim) = victim {
                    return Err(format!("honest node {} was banned by {}: {reason}", victim.0, id.0));
                }
            }
        }
        Ok(())
    }
}

fn spec(rng: &mut Rng) -> NodeSpec {
    let behaviour = Behaviour { hang_up: if rng.below(5) == 0 { 0.01 } else { 0.0 }, ..Behaviour::default() };
    NodeSpec {
        latency: Duration::from_millis(1 + rng.below(80)),
        window: (64 << 10) << rng.below(4),
        behaviour,
        ..NodeSpec::with_rates((64 << 10) << rng.below(5), (512 << 10) << rng.below(4))
    }
}

fn liar(rng: &mut Rng) -> Behaviour {
    let lie = match rng.below(3) {
        0 => Lie::LastBlock,
        _ => Lie::Sometimes(rng.unit()),
    };
    Behaviour { lie, hang_up: if rng.below(2) == 0 { rng.unit() / 10.0 } else { 0.0 }, tamper: None }
}
