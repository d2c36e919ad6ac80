//! How many copies which object should have (Cohen and Shenker, "Replication Strategies in Unstructured Peer-to-Peer
//! Networks", SIGCOMM 2002).
//!
//! A search that asks random nodes finds an object with copies on a share `s` of the nodes after about `1/s` of them.
//! Over all queries, copies in proportion to popularity cost exactly as much as the same number for each; the square
//! root of popularity costs least.

/// How copies are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// The same for each object.
    Uniform,
    /// As the object's popularity.
    Proportional,
    /// As the square root of the object's popularity.
    SquareRoot,
}

/// Popularity by rank, as Zipf's law has it: `1/rank^exponent`, in shares of one.
#[must_use]
pub fn zipf(objects: usize, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=objects).map(|rank| (rank as f64).powf(-exponent)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Shares out `copies` copies among objects of these popularities: whole numbers, at least 1 each and at most `nodes`,
/// the fractions to those with the largest.
#[must_use]
pub fn allocate(allocation: Allocation, popularity: &[f64], copies: usize, nodes: usize) -> Vec<usize> {
    let weight = |popularity: &f64| match allocation {
        Allocation::Uniform => 1.0,
        Allocation::Proportional => popularity.max(0.0),
        Allocation::SquareRoot => popularity.max(0.0).sqrt(),
    };
    let weights: Vec<f64> = popularity.iter().map(weight).collect();
    let sum: f64 = weights.iter().sum();
    let (sum, most) = (if sum > 0.0 { sum } else { 1.0 }, nodes.max(1));
    let wanted: Vec<f64> = weights.iter().map(|weight| weight / sum * copies as f64).collect();
    let mut shares: Vec<usize> = wanted.iter().map(|wanted| (*wanted as usize).clamp(1, most)).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| wanted[*b].fract().total_cmp(&wanted[*a].fract()).then(a.cmp(b)));
    let mut left = copies.saturating_sub(shares.iter().sum());
    while left > 0 && shares.iter().any(|share| *share < most) {
        for at in &order {
            if left > 0 && shares[*at] < most {
                shares[*at] += 1;
                left -= 1;
            }
        }
    }
    shares
}

/// Nodes that a search asks on average: the sum over objects of popularity times nodes per copy (the paper's expected
/// search size).
#[must_use]
pub fn search_size(popularity: &[f64], copies: &[usize], nodes: usize) -> f64 {
    let cost = |(popularity, copies): (&f64, &usize)| popularity * nodes as f64 / (*copies).max(1) as f64;
    popularity.iter().zip(copies).map(cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn copies_are_shared_out_as_named() {
        let popularity = [0.64, 0.16, 0.16, 0.04];
        assert_eq!(allocate(Allocation::Uniform, &popularity, 100, 1000), [25, 25, 25, 25]);
        assert_eq!(allocate(Allocation::Proportional, &popularity, 100, 1000), [64, 16, 16, 4]);
        assert_eq!(allocate(Allocation::SquareRoot, &popularity, 90, 1000), [40, 20, 20, 10]);
        // What has no room goes to the others in turn.
        assert_eq!(allocate(Allocation::Proportional, &popularity, 100, 50), [50, 21, 21, 8]);
    }

    proptest! {
        #[test]
        fn no_copy_is_lost_nor_made(
            popularity in prop::collection::vec(0.0_f64..1.0, 1..50),
            copies in 0_usize..5_000,
            nodes in 1_usize..200,
        ) {
            for allocation in [Allocation::Uniform, Allocation::Proportional, Allocation::SquareRoot] {
                let shares = allocate(allocation, &popularity, copies, nodes);
                prop_assert!(shares.iter().all(|share| (1..=nodes).contains(share)));
                let sum: usize = shares.iter().sum();
                let possible = popularity.len() * nodes;
                if copies >= 2 * popularity.len() && copies <= possible {
                    prop_assert!(sum >= copies);
                    prop_assert!(sum <= copies + popularity.len(), "at least one each");
                }
            }
        }
    }
}
