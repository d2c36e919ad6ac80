//! What is searched for, by whom, how often, and how many copies of it there are.

use peerage_base::Rng;
use serde::{Deserialize, Serialize};

/// How many copies of an object there are (Cohen and Shenker, SIGCOMM 2002).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// The same number of each.
    #[default]
    Uniform,
    /// By popularity.
    Proportional,
    /// By the square root of popularity: the fewest messages for random search.
    Sqrt,
}

/// The searches of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkloadConfig {
    /// How many.
    pub searches: usize,
    /// When the first one starts, after the network stands.
    pub start_s: f64,
    /// Time over which they are spread (a Poisson process).
    pub over_s: f64,
    /// A search that has no result after this time has failed.
    pub timeout_s: f64,
    /// Different objects; 0: each search is for a random key, and finds the nodes responsible for it.
    pub objects: usize,
    /// Zipf's exponent of their popularity; 0: all alike.
    pub zipf: f64,
    /// Copies of an object, on average.
    pub copies: f64,
    /// How copies are dealt.
    pub replication: Replication,
}

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self {
            searches: 1000,
            start_s: 0.0,
            over_s: 60.0,
            timeout_s: 30.0,
            objects: 0,
            zipf: 0.0,
            copies: 8.0,
            replication: Replication::Uniform,
        }
    }
}

/// Objects with a popularity each, the most popular one first.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Popularities, each added to those before; the last is 1.
    sums: Vec<f64>,
    copies: Vec<usize>,
}

impl Objects {
    /// Objects as a workload wants them, in a network of so many nodes.
    #[must_use]
    pub fn new(config: &WorkloadConfig, nodes: usize) -> Self {
        let weights: Vec<f64> = (1..=config.objects).map(|rank| (rank as f64).powf(-config.zipf)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let sums = weights.iter().map(|weight| {
            sum += weight / total;
            sum
        });
        let sums = sums.collect();
        let shares: Vec<f64> = match config.replication {
            Replication::Uniform => vec![1.0; config.objects],
            Replication::Proportional => weights,
            Replication::Sqrt => weights.iter().map(|weight| weight.sqrt()).collect(),
        };
        let all: f64 = shares.iter().sum();
        let slots = config.copies * config.objects as f64;
        let copies = shares.iter().map(|share| ((share / all * slots).round() as usize).clamp(1, nodes));
        Self { sums, copies: copies.collect() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.copies.len()
    }

    /// Whether there is none: searches are for random keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Copies of an object.
    #[must_use]
    pub fn copies(&self, object: usize) -> usize {
        self.copies.get(object).copied().unwrap_or(0)
    }

    /// Which nodes of those online have which objects: pairs of object and node, drawn evenly.
    #[must_use]
    pub fn deal(&self, online: &[bool], rng: &mut Rng) -> Vec<(u32, usize)> {
        let mut there: Vec<usize> = (0..online.len()).filter(|index| online[*index]).collect();
        let mut dealt = Vec::new();
        for object in 0..self.len() {
            for at in 0..self.copies(object).min(there.len()) {
                let other = at + rng.index(there.len() - at);
                there.swap(at, other);
                dealt.push((object as u32, there[at]));
            }
        }
        dealt
    }

    /// An object, by popularity; a random number where there are no objects.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        if self.is_empty() {
            return rng.next_u32();
        }
        let unit = rng.unit();
        self.sums.partition_point(|sum| *sum <= unit).min(self.sums.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(replication: Replication) -> Objects {
        let config = WorkloadConfig {
            objects: 1000,
            zipf: 1.0,
            copies: 10.0,
            replication,
            ..WorkloadConfig::default()
        };
        Objects::new(&config, 100_000)
    }

    /// Zipf's law: the first of 1,000 objects has 1 / H(1000) = 13.4 % of the searches.
    #[test]
    fn popularity_follows_zipfs_law() {
        let (objects, mut rng) = (objects(Replication::Uniform), Rng::from_number(1));
        let mut counts = [0_u32; 1000];
        (0..100_000).for_each(|_| counts[objects.draw(&mut rng) as usize] += 1);
        assert!((13_000..13_750).contains(&counts[0]), "{}", counts[0]);
        assert!((6_450..6_950).contains(&counts[1]), "{}", counts[1]);
    }

    #[test]
    fn copies_are_dealt_by_the_rule() {
        let [uniform, proportional, sqrt] =
            [Replication::Uniform, Replication::Proportional, Replication::Sqrt].map(objects);
        assert!((0..1000).all(|object| uniform.copies(object) == 10));
        // 10,000 slots: 10,000 / H(1000) = 1,336; and 10,000 / sum of 1 / sqrt(i) = 10,000 / 61.8 = 162.
        assert_eq!(proportional.copies(0), 1336);
        assert_eq!(sqrt.copies(0), 162);
        assert!(proportional.copies(999) == 1 && sqrt.copies(999) == 5);
    }
}
