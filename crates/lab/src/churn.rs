//! How long nodes stay, and how long they are away.

use peerage_base::{Duration, Rng};
use serde::Deserialize;

/// A distribution of times.
///
/// Published parameters (Weibull shape, scale): KAD sessions 0.545, 357.7 minutes and 0.615, 169.5 minutes
/// (Steiner et al.); BitTorrent 0.34, 21.3, 0.38, 42.4 and 0.59, 41.9 minutes (Stutzbach and Rejaie 2006).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Times {
    /// All equal.
    Constant {
        /// How long.
        seconds: f64,
    },
    /// Without memory: the same chance to end at each moment.
    Exponential {
        /// The mean.
        mean_s: f64,
    },
    /// Many short ones and some very long ones, where the shape is below 1.
    Weibull {
        /// The shape.
        shape: f64,
        /// The scale.
        scale_s: f64,
    },
    /// Measured times, one of which is drawn each time.
    Trace {
        /// A file with one time in seconds on each line.
        file: String,
        /// What it holds; filled in by whoever reads files.
        #[serde(skip)]
        seconds: Vec<f64>,
    },
}

impl Times {
    /// A time.
    pub fn draw(&self, rng: &mut Rng) -> Duration {
        // In 0..1, so that its logarithm is finite.
        let unit = 1.0 - rng.unit();
        let seconds = match self {
            Self::Constant { seconds } => *seconds,
            Self::Exponential { mean_s } => -unit.ln() * mean_s,
            Self::Weibull { shape, scale_s } => scale_s * (-unit.ln()).powf(1.0 / shape),
            Self::Trace { seconds, .. } => rng.choose(seconds).copied().unwrap_or(0.0),
        };
        Duration::from_secs_f64(seconds.clamp(0.001, 1e9))
    }

    /// What is left of a session that was under way at a random moment (the inspection paradox: long sessions are
    /// met more often). Drawn by walking along sessions for a long while.
    pub fn draw_rest(&self, rng: &mut Rng) -> Duration {
        let sessions: Vec<f64> = (0..64).map(|_| self.draw(rng).as_secs_f64()).collect();
        let mut at = rng.unit() * sessions.iter().sum::<f64>();
        for session in &sessions {
            if at < *session {
                return Duration::from_secs_f64((session - at).max(0.001));
            }
            at -= session;
        }
        self.draw(rng)
    }

    /// What is wrong with the parameters: the key and why.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let positive = |key, value: f64| {
            let fine = value.is_finite() && value > 0.0;
            (!fine).then(|| (key, format!("{value} is not a positive number")))
        };
        match self {
            Self::Constant { seconds } => positive("seconds", *seconds),
            Self::Exponential { mean_s } => positive("mean_s", *mean_s),
            Self::Weibull { shape, scale_s } => {
                positive("shape", *shape).or_else(|| positive("scale_s", *scale_s))
            }
            Self::Trace { seconds, .. } => {
                seconds.is_empty().then(|| ("file", "the trace has no times".to_owned()))
            }
        }
    }

    /// Reads a trace: one time in seconds on each line; lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// The number of the first line that is no time.
    pub fn parse_trace(text: &str) -> Result<Vec<f64>, usize> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let time = |line: &str| line.parse::<f64>().ok().filter(|time| time.is_finite() && *time > 0.0);
        lines.map(|(at, line)| time(line).ok_or(at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(times: &Times) -> Vec<f64> {
        let mut rng = Rng::from_number(5);
        let mut draws: Vec<f64> = (0..200_000).map(|_| times.draw(&mut rng).as_secs_f64()).collect();
        draws.sort_by(f64::total_cmp);
        draws
    }

    /// papers.md, section 5: KAD sessions, first crawl: median 182.6 and mean 617.5 minutes.
    #[test]
    fn weibull_has_the_published_median_and_mean() {
        let draws = draws(&Times::Weibull { shape: 0.54512, scale_s: 357.7152 });
        let (median, mean) = (draws[100_000], draws.iter().sum::<f64>() / 200_000.0);
        assert!((median / 182.6 - 1.0).abs() < 0.02, "{median}");
        assert!((mean / 617.5 - 1.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn exponential_times_have_their_mean_and_traces_their_values() {
        let draws = draws(&Times::Exponential { mean_s: 60.0 });
        let mean = draws.iter().sum::<f64>() / 200_000.0;
        assert!((mean - 60.0).abs() < 0.6 && (draws[100_000] - 60.0 * 2_f64.ln()).abs() < 0.6);
        let seconds = Times::parse_trace("# times\n5\n\n 7.5 \n").unwrap();
        assert_eq!(seconds, [5.0, 7.5]);
        let trace = Times::Trace { file: String::new(), seconds };
        let time = trace.draw(&mut Rng::from_number(1)).as_secs_f64();
        assert!(time == 5.0 || time == 7.5);
        assert_eq!(Times::parse_trace("5\nx"), Err(2));
        assert_eq!(Times::parse_trace("5\n-1"), Err(2));
    }

    /// Met at a random moment, a session without memory has as much before it as a new one.
    #[test]
    fn what_is_left_of_a_session_without_memory_is_a_session() {
        let (times, mut rng) = (Times::Exponential { mean_s: 100.0 }, Rng::from_number(2));
        let mean = (0..20_000).map(|_| times.draw_rest(&mut rng).as_secs_f64()).sum::<f64>() / 20_000.0;
        assert!((mean - 100.0).abs() < 4.0, "{mean}");
    }
}
