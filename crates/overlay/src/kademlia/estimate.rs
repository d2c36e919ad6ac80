//! How many nodes there are, and whether a key is crowded.

use peerage_base::Key;
use std::collections::VecDeque;

/// Look-ups that an estimate is made of. The deviation falls to about 7 % by then (papers: 0.281 ·
/// look-ups^-0.529).
const SAMPLES_MAX: usize = 32;

/// Samples without which there is no estimate.
const SAMPLES_MIN: usize = 3;

/// The number of nodes in the network, from the distances that look-ups of random keys ended with.
///
/// The middle sample counts: whoever crowds some keys moves the estimate little.
#[derive(Clone, Debug, Default)]
pub struct SizeEstimate {
    samples: VecDeque<f64>,
}

impl SizeEstimate {
    /// A look-up ended with these distances, closest first.
    pub fn add<const N: usize>(&mut self, distances: &[Key<N>]) {
        if distances.len() < 4 {
            return;
        }
        // The i-th closest of n evenly spread nodes is i / (n + 1) away on average: a line through
        // the origin is fitted to the distances (least squares).
        let (mut squares, mut products) = (0.0, 0.0);
        for (index, distance) in distances.iter().enumerate() {
            let rank = index as f64 + 1.0;
            squares += rank * rank;
            products += rank * distance.fraction();
        }
        if products <= 0.0 {
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((squares / products - 1.0).max(1.0));
    }

    /// About how many nodes there are; `None` before enough look-ups.
    #[must_use]
    pub fn nodes(&self) -> Option<f64> {
        if self.samples.len() < SAMPLES_MIN {
            return None;
        }
        let mut samples: Vec<f64> = self.samples.iter().copied().collect();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }
}

/// Whether `distances` (closest first) are smaller than chance allows among `nodes` nodes: somebody
/// has made identifiers for this key. One honest key in 500 looks so, and a few more where the
/// estimate is bad.
#[must_use]
pub fn too_close<const N: usize>(distances: &[Key<N>], nodes: f64) -> bool {
    let Some(last) = distances.last() else { return false };
    if distances.len() < 4 || nodes < 50.0 {
        return false;
    }
    // n times the distance of the k-th closest has a gamma distribution of shape k; its low quantile
    // by Wilson and Hilferty (1931), z = 2.88 for 0.2 %.
    let shape = distances.len() as f64;
    let cube_root = 1.0 - 1.0 / (9.0 * shape) - 2.88 / (9.0 * shape).sqrt();
    nodes * last.fraction() < shape * cube_root.max(0.0).powi(3)
}

/// The distance within which `count` of `nodes` evenly spread nodes are.
#[must_use]
pub fn radius<const N: usize>(count: f64, nodes: f64) -> Key<N> {
    let mut rest = (count / nodes.max(1.0)).clamp(0.0, 1.0);
    let mut bytes = [0_u8; N];
    for byte in &mut bytes {
        rest *= 256.0;
        let digit = rest.floor().min(255.0);
        // Within a byte by construction.
        *byte = digit as u8;
        rest -= digit;
    }
    Key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Rng;

    /// The distances of the `k` nodes closest to a random key, among `nodes` of them.
    fn closest(nodes: usize, k: usize, rng: &mut Rng) -> Vec<Key<20>> {
        let mut keys: Vec<Key<20>> = (0..nodes).map(|_| Key::random(rng)).collect();
        keys.select_nth_unstable(k);
        keys.truncate(k);
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_size_of_a_network_is_found() {
        let mut rng = Rng::from_number(1);
        for nodes in [500, 5_000] {
            let mut estimate = SizeEstimate::default();
            assert_eq!(estimate.nodes(), None);
            (0..32).for_each(|_| estimate.add(&closest(nodes, 8, &mut rng)));
            let found = estimate.nodes().unwrap();
            assert!((0.8..1.25).contains(&(found / nodes as f64)), "{nodes}: {found}");
        }
    }

    /// threats.md D2: ground identifiers are found in 95 % of cases, with at most 1 % false alarms.
    #[test]
    fn ground_identifiers_are_told_from_chance() {
        let mut rng = Rng::from_number(2);
        let nodes = 2_000;
        let (mut alarms, mut found) = (0, 0);
        for _ in 0..1_000 {
            let honest = closest(nodes, 8, &mut rng);
            alarms += u32::from(too_close(&honest, nodes as f64));
            // Twenty that are all closer than the closest honest node.
            let mut ground: Vec<Key<20>> = (0..20)
                .map(|_| {
                    let bits = honest[0].common_bits(&Key([0; 20])) + 1;
                    Key([0; 20]).random_beside(bits, &mut rng)
                })
                .collect();
            ground.sort_unstable();
            found += u32::from(too_close(&ground[..8], nodes as f64));
        }
        assert!(alarms <= 10, "{alarms} false alarms of 1,000");
        assert!(found >= 950, "{found} of 1,000 found");
    }

    #[test]
    fn few_nodes_are_never_suspicious() {
        assert!(!too_close::<20>(&[], 1e6));
        assert!(!too_close(&[Key([0; 20]); 3], 1e6));
        assert!(!too_close(&[Key([0; 20]); 8], 20.0));
    }

    #[test]
    fn a_radius_holds_its_share_of_the_keyspace() {
        for (count, nodes) in [(1.0_f64, 2.0), (8.0, 10_000.0), (5.0, 1.0)] {
            let share = (count / nodes).min(1.0);
            assert!((radius::<20>(count, nodes).fraction() - share).abs() < 1e-9, "{count} of {nodes}");
        }
    }
}
