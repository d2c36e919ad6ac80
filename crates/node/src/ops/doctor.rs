//! `peerage doctor`: what could keep this machine from sharing and getting, one check for each.
//!
//! Nothing is left behind: ports are closed again, a mapped one is given back, no file is written.

mod network;
mod relay;

use crate::Boxed;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use peerage_api::reply::Check;
use peerage_api::request::NodeConfig;

/// Files that a node has open besides its connections: content, state, sockets of trackers.
const DESCRIPTORS_BESIDE: u64 = 128;
/// The state of a torrent of a million pieces, some times over.
const STATE_BYTES_MIN: u64 = 64 << 20;
/// Below it few downloads find room.
const DOWNLOAD_BYTES_MIN: u64 = 1 << 30;
/// When this check was written, and a time to come: a clock outside is wrong. Seconds since 1970.
const CLOCK: std::ops::Range<u64> = 1_795_000_000..4_102_444_800;

/// Runs every check. `downloads`: where downloads go. Takes seconds, mostly for routers and servers that
/// do not answer.
pub fn doctor<'a>(config: &'a NodeConfig, downloads: &'a Path) -> Boxed<'a, Vec<Check>> {
    Box::pin(async move {
        let mut checks = vec![
            network::port(config),
            descriptors(config),
            folder("state", &config.state_dir, STATE_BYTES_MIN),
            folder("downloads", downloads, DOWNLOAD_BYTES_MIN),
            clock(SystemTime::now()),
            network::ipv6(),
        ];
        checks.extend(network::interface(config));
        checks.extend(network::outside(config).await);
        checks
    })
}

fn descriptors(config: &NodeConfig) -> Check {
    const NAME: &str = "descriptors";
    let needed = (config.connections_max + config.half_open_max) as u64 + DESCRIPTORS_BESIDE;
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        Some(limit) if limit < needed => Check::warning(
            NAME,
            format!("{limit} files may be open, and {needed} may be needed"),
            format!("`ulimit -n {needed}` before the start, or fewer with network.connections"),
        ),
        Some(limit) => Check::ok(NAME, format!("{limit} files may be open, {needed} are needed at most")),
        None => Check::ok(NAME, "as many files as needed may be open"),
    }
}

/// Whether a folder, or the one in which it will be made, can be written, and has room.
fn folder(name: &str, folder: &Path, least: u64) -> Check {
    const ELSEWHERE: &str = "`peerage paths` shows the folders; --home, -o and get.folder name others";
    let there = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let Some(base) = there.ancestors().find(|path| path.exists()) else {
        return Check::failed(name, format!("{} cannot be made", there.display()), ELSEWHERE);
    };
    if !base.is_dir() {
        return Check::failed(name, format!("{} is not a folder", base.display()), ELSEWHERE);
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    if let Err(error) = rustix::fs::access(base, access) {
        return Check::failed(name, format!("{} cannot be written: {error}", base.display()), ELSEWHERE);
    }
    let free = match rustix::fs::statvfs(base) {
        Ok(system) => system.f_bavail.saturating_mul(system.f_frsize),
        Err(error) => {
            return Check::failed(
                name,
                format!("{} cannot be asked for room: {error}", base.display()),
                ELSEWHERE,
            );
        }
    };
    let message = format!("{} can be written, {} MiB are free", there.display(), free >> 20);
    if free < least {
        return Check::warning(name, message, "free space there, or choose another folder");
    }
    Check::ok(name, message)
}

/// Certificates of HTTPS trackers and web seeds are judged by the clock.
fn clock(now: SystemTime) -> Check {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    // A Gregorian year's mean length: near enough for people.
    let year = 1970.0 + seconds as f64 / 31_556_952.0;
    if CLOCK.contains(&seconds) {
        Check::ok("clock", format!("it is {}", year as u64))
    } else {
        let message =
            format!("the clock says {}: certificates of HTTPS trackers will seem wrong", year as u64);
        Check::failed("clock", message, "set the clock, or have it set from the network (NTP)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_api::reply::Verdict;
    use std::time::Duration;

    #[test]
    fn a_clock_that_was_never_set_is_found() {
        let at = |seconds| clock(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0).verdict, Verdict::Failed);
        assert!(at(0).message.contains("1970"), "{}", at(0).message);
        assert_eq!(at(CLOCK.start - 1).verdict, Verdict::Failed);
        let right = at(1_800_000_000); // 2027-01-15
        assert_eq!((right.verdict, right.message.as_str()), (Verdict::Ok, "it is 2027"));
    }

    #[test]
    fn folders_are_judged_by_where_they_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("not/yet/there");
        assert_eq!(folder("state", &below, 1).verdict, Verdict::Ok);
        assert!(!below.exists() && !dir.path().join("not").exists());
        // Nothing has so much room.
        assert_eq!(folder("state", &below, u64::MAX).verdict, Verdict::Warning);
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert_eq!(folder("state", &file.join("below"), 1).verdict, Verdict::Failed);
        // The system's own folder cannot be written, not even by root.
        assert_eq!(folder("state", Path::new("/proc/1"), 1).verdict, Verdict::Failed);
    }
}
