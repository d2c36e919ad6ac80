//! Distributions: quantiles, means, histograms.

use serde::Serialize;

/// The value below which this share of sorted `values` lies (nearest rank). 0 when there is none.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0)
}

/// The arithmetic mean, 0 when there is none.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// A distribution, as reports show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub min: f64,
    /// Half are below.
    pub p50: f64,
    /// 90 % are below.
    pub p90: f64,
    /// 95 % are below.
    pub p95: f64,
    /// 99 % are below.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
    /// Bars of equal width: where each begins, and how many values are in it.
    pub bars: Vec<(f64, usize)>,
}

/// Bars of a histogram, at most.
const BARS_MAX: usize = 48;

impl Distribution {
    /// Of these values. `whole` ones, such as hops, get bars of whole widths.
    #[must_use]
    pub fn new(mut values: Vec<f64>, whole: bool) -> Self {
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first().copied(), values.last().copied()) else {
            return Self::default();
        };
        let at = |share: f64| quantile(&values, share);
        // The last hundredth would squeeze all others into a corner: it shares the last bar.
        let top = if whole && max - min < BARS_MAX as f64 { max } else { at(0.99).max(min) };
        let width = width(top - min, whole);
        let start = (min / width).floor() * width;
        let count = (((top - start) / width).floor() as usize + 1).min(BARS_MAX + 2);
        let mut bars: Vec<(f64, usize)> = (0..count).map(|bar| (start + bar as f64 * width, 0)).collect();
        for value in &values {
            let bar = (((value - start) / width) as usize).min(count - 1);
            if let Some(bar) = bars.get_mut(bar) {
                bar.1 += 1;
            }
        }
        Self {
            count: values.len(),
            mean: mean(&values),
            min,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max,
            bars,
        }
    }
}

/// A round width of bars for a range.
fn width(range: f64, whole: bool) -> f64 {
    let mut width = if whole { 1.0 } else { 1e-6 };
    for factor in [2.0, 2.5, 2.0].into_iter().cycle().take(60) {
        if range / width < BARS_MAX as f64 {
            break;
        }
        width *= factor;
        if whole {
            width = width.ceil();
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_values() {
        let hops = Distribution::new(vec![3.0, 1.0, 2.0, 2.0], true);
        assert_eq!((hops.mean, hops.min, hops.max, hops.count), (2.0, 1.0, 3.0, 4));
        assert_eq!(hops.bars, [(1.0, 1), (2.0, 2), (3.0, 1)]);
        let times = Distribution::new((0..=1000).map(f64::from).collect(), false);
        assert_eq!((times.p50, times.p90, times.p99), (500.0, 900.0, 990.0));
        assert_eq!(times.bars.iter().map(|bar| bar.1).sum::<usize>(), 1001);
        assert!(times.bars.len() <= BARS_MAX + 2, "{}", times.bars.len());
        assert_eq!(Distribution::new(Vec::new(), true), Distribution::default());
        let far = Distribution::new(vec![5.0, 1e12], true);
        assert_eq!(far.bars.iter().map(|bar| bar.1).sum::<usize>(), 2);
    }
}
