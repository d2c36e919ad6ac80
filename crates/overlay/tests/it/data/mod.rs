//! Measured round-trip times.

#![allow(dead_code, reason = "each test uses its part")]

use peerage_base::{Duration, Rng};
use std::sync::Arc;

/// Round-trip times between places.
#[derive(Clone)]
pub struct Latencies(Arc<Vec<Vec<f64>>>);

impl Latencies {
    /// PlanetLab's, where the measured data are beside the tree; else places on a plane with about
    /// the same middle.
    pub fn load() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/planetlab-490/rtt_ms.tsv");
        let path = std::path::Path::new(file);
        if !path.exists() {
            println!("latencies: a synthetic plane ({file} is absent)");
            return Self::plane();
        }
        let text = std::io::read_to_string(std::io::BufReader::new(open(path))).expect("a table");
        let row = |line: &str| line.split('\t').map(|cell| cell.trim().parse().expect("a number")).collect();
        Self(Arc::new(text.lines().map(row).collect()))
    }

    fn plane() -> Self {
        let mut rng = Rng::from_number(490);
        let places: Vec<(f64, f64)> = (0..490).map(|_| (rng.unit() * 260.0, rng.unit() * 260.0)).collect();
        let rtt = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).hypot(a.1 - b.1);
        Self(Arc::new(places.iter().map(|a| places.iter().map(|b| rtt(a, b)).collect()).collect()))
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.0.len()
    }

    /// The round trip between two, as it was measured.
    pub fn rtt(&self, from: usize, to: usize) -> Duration {
        Duration::from_secs_f64(self.0[from][to] / 1000.0)
    }

    /// Half of it, for places counted on and on; never nothing.
    pub fn one_way(&self, from: usize, to: usize) -> Duration {
        let places = self.0.len();
        let rtt_ms = self.0[from % places][to % places].max(1.0);
        Duration::from_secs_f64(rtt_ms / 2000.0)
    }
}

#[allow(clippy::disallowed_types, reason = "a test reads its data")]
fn open(path: &std::path::Path) -> std::fs::File {
    std::fs::File::open(path).expect("readable")
}
