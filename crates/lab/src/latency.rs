//! How long datagrams travel.
//!
//! Nodes have places: rows of a measured matrix, or points drawn from a model in two dimensions and a height (the
//! way from a place to the core of the internet, as in Vivaldi, Dabek et al. 2004). The model's clusters were
//! fitted to the PlanetLab matrix of `uofa-rzhu3/NetLatency-Data`, slice 1: an embedding of it (median relative
//! error 7 %), then eight clusters by k-means. A test compares its quantiles with the matrix's.

use peerage_base::Rng;

/// Share, centre, deviation, height: see [`CLUSTERS`].
type Cluster = (f64, [f64; 2], [f64; 2], [f64; 2]);

/// The model's clusters: share of the nodes; centre and deviation on the plane, in milliseconds of round trip;
/// mean and deviation of the height's logarithm.
const CLUSTERS: [Cluster; 8] = [
    (0.333, [33.5, -30.0], [15.7, 10.3], [1.16, 1.94]),
    (0.224, [-72.7, 28.2], [8.7, 10.6], [1.24, 1.42]),
    (0.208, [-82.4, 0.6], [16.2, 8.6], [1.60, 1.08]),
    (0.090, [97.0, -24.5], [6.9, 7.6], [-0.40, 1.91]),
    (0.088, [149.3, 123.6], [56.6, 46.0], [-1.63, 1.25]),
    (0.020, [206.8, -132.9], [16.6, 2.8], [-0.26, 1.10]),
    (0.020, [-150.6, 45.0], [73.3, 7.3], [0.06, 0.58]),
    (0.016, [-39.1, -203.5], [22.3, 35.6], [-0.12, 2.18]),
];

/// The shortest way, in microseconds: two machines of one room.
const ONE_WAY_MIN_US: u64 = 50;

/// Rows of a matrix, at most.
pub const PLACES_MAX: usize = 10_000;

/// Measured round-trip times between places.
#[derive(Clone, Debug)]
pub struct Matrix {
    places: usize,
    /// Milliseconds, row by row.
    rtt_ms: Vec<f32>,
}

/// Why a text is no matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// A row has another number of columns than there are rows.
    #[error("line {line} has {columns} columns, the table has {rows} rows: it must be square")]
    NotSquare {
        /// Counted from 1.
        line: usize,
        /// In this line.
        columns: usize,
        /// Of the table.
        rows: usize,
    },
    /// A cell that is no time.
    #[error("line {line}, column {column}: {cell:?} is not a round-trip time in milliseconds")]
    NotATime {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is there.
        cell: String,
    },
    /// Too few or too many rows.
    #[error("{0} rows: a matrix has 2 to {PLACES_MAX}")]
    Size(usize),
}

impl Matrix {
    /// Reads rows of round-trip times in milliseconds, separated by tabs, spaces or commas.
    ///
    /// # Errors
    /// See [`MatrixError`].
    pub fn parse(text: &str) -> Result<Self, MatrixError> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let rows = lines.len();
        if !(2..=PLACES_MAX).contains(&rows) {
            return Err(MatrixError::Size(rows));
        }
        let mut rtt_ms = Vec::with_capacity(rows * rows);
        for (at, line) in lines.iter().enumerate() {
            let cells = line.split([',', '\t', ' ']).map(str::trim).filter(|cell| !cell.is_empty());
            let before = rtt_ms.len();
            for (column, cell) in cells.enumerate() {
                let time = cell.parse::<f32>().ok().filter(|time| time.is_finite() && *time >= 0.0);
                let bad = || MatrixError::NotATime {
                    line: at + 1,
                    column: column + 1,
                    cell: cell.chars().take(40).collect(),
                };
                rtt_ms.push(time.ok_or_else(bad)?);
            }
            let columns = rtt_ms.len() - before;
            if columns != rows {
                return Err(MatrixError::NotSquare { line: at + 1, columns, rows });
            }
        }
        Ok(Self { places: rows, rtt_ms })
    }

    /// Rows.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    /// A round-trip time in milliseconds.
    #[must_use]
    pub fn rtt_ms(&self, from: usize, to: usize) -> f64 {
        f64::from(self.rtt_ms.get(from * self.places + to).copied().unwrap_or(0.0))
    }
}

/// Where every node is, and how long the ways between them are.
#[derive(Clone, Debug)]
pub enum Latency {
    /// All ways take this long, in microseconds.
    Constant(u64),
    /// Places of a measured matrix: each node's row.
    Matrix(Matrix, Vec<u16>),
    /// Points: two coordinates and a height, in milliseconds of round trip.
    Plane(Vec<[f32; 3]>),
}

impl Latency {
    /// Nodes at random places of a matrix.
    #[must_use]
    pub fn matrix(matrix: Matrix, nodes: usize, rng: &mut Rng) -> Self {
        let places = (0..nodes).map(|_| rng.index(matrix.places) as u16).collect();
        Self::Matrix(matrix, places)
    }

    /// Nodes at random points of the model.
    #[must_use]
    pub fn plane(nodes: usize, rng: &mut Rng) -> Self {
        Self::Plane((0..nodes).map(|_| point(rng)).collect())
    }

    /// How long a datagram travels, in microseconds.
    #[must_use]
    pub fn one_way_us(&self, from: usize, to: usize) -> u64 {
        let rtt_ms = match self {
            Self::Constant(us) => return *us,
            Self::Matrix(matrix, places) => {
                let place = |node: usize| usize::from(places.get(node).copied().unwrap_or(0));
                matrix.rtt_ms(place(from), place(to))
            }
            Self::Plane(points) => {
                let (Some(a), Some(b)) = (points.get(from), points.get(to)) else { return ONE_WAY_MIN_US };
                f64::from(((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt() + a[2] + b[2])
            }
        };
        ((rtt_ms * 500.0) as u64).max(ONE_WAY_MIN_US)
    }
}

/// A point of the model.
fn point(rng: &mut Rng) -> [f32; 3] {
    let total: f64 = CLUSTERS.iter().map(|cluster| cluster.0).sum();
    let mut left = rng.unit() * total;
    let chosen = CLUSTERS.iter().find(|cluster| {
        left -= cluster.0;
        left < 0.0
    });
    let (_, centre, deviation, height) = chosen.unwrap_or(&CLUSTERS[0]);
    let (x, y) = normal_pair(rng);
    let (z, _) = normal_pair(rng);
    let height = (height[0] + z * height[1]).exp();
    // A long tail is cut: no way to the core takes a second.
    [
        (centre[0] + x * deviation[0]) as f32,
        (centre[1] + y * deviation[1]) as f32,
        height.clamp(0.05, 500.0) as f32,
    ]
}

/// Two independent numbers of the standard normal distribution (Box and Muller).
pub(crate) fn normal_pair(rng: &mut Rng) -> (f64, f64) {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    let angle = std::f64::consts::TAU * rng.unit();
    (radius * angle.cos(), radius * angle.sin())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::quantile;

    /// Round-trip times in milliseconds between pairs of nodes, sorted.
    fn times(latency: &Latency, nodes: usize) -> Vec<f64> {
        let pair = |a: usize| (0..a).map(move |b| latency.one_way_us(a, b) as f64 / 500.0);
        let mut times: Vec<f64> = (0..nodes).flat_map(pair).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// papers.md, section 8, loader check of PlanetLab-490 slice 1: quantiles in milliseconds.
    const PLANETLAB: [(f64, f64); 6] =
        [(0.05, 19.3), (0.25, 59.3), (0.5, 135.0), (0.75, 201.8), (0.95, 324.9), (0.99, 412.6)];

    /// The model was fitted to that matrix; its figures are compared with the published ones.
    #[test]
    fn the_model_has_the_quantiles_of_the_measured_matrix() {
        let times = times(&Latency::plane(1500, &mut Rng::from_number(3)), 1500);
        for (share, measured) in PLANETLAB {
            let ours = quantile(&times, share);
            println!("p{:.0}: measured {measured}, model {ours:.1}", share * 100.0);
            assert!((ours / measured - 1.0).abs() < 0.15, "p{}: {ours} against {measured}", share * 100.0);
        }
    }

    #[test]
    fn a_table_is_read_and_a_bad_one_is_told_apart() {
        let matrix = Matrix::parse("0\t10.5\n10.5\t0\n").unwrap();
        assert_eq!((matrix.places(), matrix.rtt_ms(0, 1)), (2, 10.5));
        let error = |text: &str| Matrix::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("0 1 2\n1 0\n2 1 0"),
            "line 2 has 2 columns, the table has 3 rows: it must be square"
        );
        assert!(error("0 x\n1 0").starts_with("line 1, column 2: \"x\" is not"));
        assert!(error("0 -1\n1 0").contains("column 2"));
        assert!(error("0 inf\n1 0").contains("column 2"));
        assert_eq!(error(""), "0 rows: a matrix has 2 to 10000");
    }
}
