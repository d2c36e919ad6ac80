//! Static resilience of the XOR geometry: Gummadi et al., SIGCOMM 2003, figure 1.
//!
//! 65,536 nodes with one random contact for each number of shared bits; then a share of them fails at once, nothing
//! is repaired, and messages are passed to the contact closest to their target. A path fails where no contact that
//! lives is closer than the node itself. Tables are the lab's Kademlia's, buckets of one.

use super::Row;
use crate::NodeId;
use crate::protocol::kademlia::{Keyspace, Node};
use peerage_base::Rng;

const PAPER: &str =
    "Gummadi et al., The impact of DHT routing geometry on resilience and proximity, SIGCOMM 2003";
const NODES: usize = 65_536;
const PATHS: usize = 20_000;

/// Failed paths in % by failed nodes in %: the figure's, digitised, and a reference run with exactly 16 random contacts
/// a node.
const FAILED: [(usize, f64, f64); 9] = [
    (10, 5.0, 6.7),
    (20, 13.0, 17.2),
    (30, 25.1, 30.9),
    (40, 41.5, 47.1),
    (50, 61.3, 65.4),
    (60, 80.5, 84.7),
    (70, 93.8, 95.3),
    (80, 98.9, 99.3),
    (90, 99.9, 99.9),
];

/// The rows of the XOR geometry.
pub(super) fn xor(nodes: usize, go_on: &mut dyn FnMut(f64) -> bool) -> Vec<Row> {
    let nodes = if nodes == 0 { NODES } else { nodes };
    let mut rng = Rng::from_number(2003);
    let keys = Keyspace::random(nodes, &mut rng);
    let mut network: Vec<Node> =
        (0..nodes as u32).map(|index| Node::new(NodeId(index), keys.prefix(NodeId(index)))).collect();
    keys.fill(&mut network, &vec![true; nodes], 1, &mut rng);
    let mut rows = Vec::new();
    for (failed, figure, reference) in FAILED {
        let alive: Vec<bool> = (0..nodes).map(|_| rng.unit() >= failed as f64 / 100.0).collect();
        let there: Vec<u32> = (0..nodes as u32).filter(|index| alive[*index as usize]).collect();
        let mut broken = 0;
        for path in 0..PATHS {
            let done = rows.len() as f64 + path as f64 / PATHS as f64;
            if path % 500 == 0 && !go_on(done / FAILED.len() as f64) {
                return rows;
            }
            let (from, to) = (there[rng.index(there.len())], there[rng.index(there.len())]);
            broken += usize::from(!reaches(&network, &keys, &alive, from, to));
        }
        rows.push(Row {
            paper: PAPER,
            figure: format!("Fig. 1, XOR: failed paths in % at {failed} % failed nodes, {nodes} nodes"),
            theirs: format!("{figure} (digitised); {reference} by a reference run with 16 contacts a node"),
            ours: broken as f64 * 100.0 / PATHS as f64,
            range: (reference - 2.0, reference + 2.0),
            note: "the paper does not say how many contacts a node has; its figure is a little better"
                .to_owned(),
        });
    }
    rows
}

/// Whether a message passed greedily from `from` arrives at `to`.
fn reaches(network: &[Node], keys: &Keyspace, alive: &[bool], from: u32, to: u32) -> bool {
    let target = keys.prefix(NodeId(to));
    let mut at = from;
    while at != to {
        let contacts = network[at as usize].table().contacts();
        let living = contacts.filter(|contact| alive[contact.index as usize]);
        let Some(next) = living.min_by_key(|contact| contact.prefix ^ target) else { return false };
        if next.prefix ^ target >= keys.prefix(NodeId(at)) ^ target {
            return false;
        }
        at = next.index;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// papers.md, section 3: the paper's number of nodes, in a few seconds.
    #[test]
    fn the_xor_geometry_fails_as_published() {
        for row in xor(0, &mut |_| true) {
            println!("{}: {} against {}", row.figure, row.ours, row.theirs);
            assert!(row.holds(), "{row:?}");
        }
    }

    #[test]
    fn a_stopped_run_has_the_rows_that_were_done() {
        let rows = xor(1000, &mut |share| share < 0.5);
        assert_eq!(rows.len(), 4);
        assert!(crate::reproduction::page(&rows, true).contains("**The run was stopped"));
    }
}
