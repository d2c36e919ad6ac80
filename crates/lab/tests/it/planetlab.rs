//! The loader and the model against the measured matrix, where it is beside the tree.

use peerage_base::Rng;
use peerage_lab::figures::{mean, quantile};
use peerage_lab::latency::{Latency, Matrix};

/// papers.md, section 8: quantiles of PlanetLab-490 slice 1 in milliseconds.
const QUANTILES: [(f64, f64); 6] =
    [(0.05, 19.3), (0.25, 59.3), (0.5, 135.0), (0.75, 201.8), (0.95, 324.9), (0.99, 412.6)];

#[test]
fn the_loader_gives_the_published_figures() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/planetlab-490/rtt_ms.tsv");
    let Ok(text) = std::fs::read_to_string(file) else {
        println!("skipped: {file} is absent");
        return;
    };
    let matrix = Matrix::parse(&text).expect("a matrix");
    let places = matrix.places();
    assert_eq!(places, 490);
    let mut times: Vec<f64> =
        (0..places).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| matrix.rtt_ms(a, b)).collect();
    assert!((mean(&times) - 146.8).abs() < 0.1, "mean {}", mean(&times));
    times.sort_by(f64::total_cmp);
    for (share, published) in QUANTILES {
        let ours = quantile(&times, share);
        assert!((ours - published).abs() < 0.2, "p{}: {ours} against {published}", share * 100.0);
    }
    // 5.9 % of the triangles have a way round that is shorter than the direct one.
    let mut rng = Rng::from_number(1);
    let mut draw = || rng.index(places);
    let triangles = 400_000;
    let violated = (0..triangles)
        .filter(|_| {
            let (a, b, c) = (draw(), draw(), draw());
            a != b && b != c && a != c && matrix.rtt_ms(a, b) > matrix.rtt_ms(a, c) + matrix.rtt_ms(c, b)
        })
        .count();
    let share = violated as f64 / triangles as f64;
    println!("{:.2} % of the sides of triangles are longer than the other two", share * 100.0);
    assert!((0.04..0.08).contains(&share), "{share}");
    // Nodes of a network are at its places.
    let latency = Latency::matrix(matrix, 1000, &mut Rng::from_number(2));
    let mut ways: Vec<f64> = (0..1000)
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .map(|(a, b)| latency.one_way_us(a, b) as f64 / 500.0)
        .collect();
    ways.sort_by(f64::total_cmp);
    assert!((quantile(&ways, 0.5) - 135.0).abs() < 10.0, "{}", quantile(&ways, 0.5));
}
