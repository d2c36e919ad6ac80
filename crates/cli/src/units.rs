//! Sizes, rates and durations as people write and read them.

use std::time::Duration;

/// A number of bytes: `512`, `1.5MiB`, `20 MB`, `64k`. `k`, `M`, `G` alone and `KiB`, `MiB`, `GiB` are
/// powers of 1024; `kB`, `MB`, `GB` of 1000.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("`{text}` is not a size; write 512k, 20MB or 1.5GiB")),
    };
    let value: f64 =
        number.parse().map_err(|_| format!("`{text}` is not a size; write 512k, 20MB or 1.5GiB"))?;
    let bytes = value * factor as f64;
    if bytes.is_finite() && bytes >= 0.0 && bytes < 2f64.powi(63) {
        Ok(bytes as u64)
    } else {
        Err(format!("`{text}` is too large"))
    }
}

/// A rate in bytes per second: a size, with or without `/s`.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let size = text.strip_suffix("/s").or_else(|| text.strip_suffix("ps")).unwrap_or(text);
    parse_size(size).map_err(|_| format!("`{text}` is not a rate; write 500k, 2MB/s or 10MiB/s"))
}

/// A switch: `on` or `off`.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

/// A duration: `90`, `90s`, `5m`, `2h`, `1d`, `250ms`.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is not a duration; write 90s, 5m or 2h");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let value: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(value * factor).map_err(|_| wrong())
}

/// A size for people: `1.4 GiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A duration for people: `2h 03m`, `4m 10s`, `12s`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("64k"), Ok(65_536));
        assert_eq!(parse_size("1.5 MiB"), Ok(1_572_864));
        assert_eq!(parse_size("20MB"), Ok(20_000_000));
        for wrong in ["", "-1", "abc", "1x", "1e99GiB", "99999999999TiB", "."] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn rates_and_durations() {
        assert_eq!(parse_rate("2MiB/s"), Ok(2 << 20));
        assert_eq!((parse_switch("on"), parse_switch("off")), (Ok(true), Ok(false)));
        assert!(parse_switch("yes").is_err());
        assert!(parse_rate("fast").unwrap_err().contains("2MB/s"));
        assert_eq!(parse_duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "-5s", "5 weeks", "1e400d", "999999999999999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            (duration(12), duration(250), duration(7380)),
            ("12s".into(), "4m 10s".into(), "2h 03m".into())
        );
    }
}
