//! Where to begin when nobody is known: addresses as they are, names by the system's resolver.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Seed nodes of one run; more are left out.
const SEEDS_MAX: usize = 32;

/// Addresses of one name.
const ADDRS_MAX: usize = 8;

/// How long a name may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(15);

/// Names are asked this long after a start with remembered nodes: where those answer, no name is asked, which
/// would tell a name server what runs here.
const GRACE: Duration = Duration::from_secs(3);

/// Time between two rounds of asking, doubled with each.
const AGAIN_FIRST: Duration = Duration::from_secs(15);
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// With fewer nodes in the table names are asked.
const FEW: usize = 8;

/// The names to ask, and those being asked.
pub(super) struct Seeds {
    addrs: Vec<SocketAddr>,
    names: Vec<String>,
    asking: JoinSet<Vec<SocketAddr>>,
    next_at: Instant,
    again: Duration,
}

impl Seeds {
    /// `remembers`: there are nodes of an earlier run.
    pub(super) fn new(seeds: &[String], remembers: bool) -> Self {
        let (mut addrs, mut names) = (Vec::new(), Vec::new());
        for seed in seeds.iter().take(SEEDS_MAX) {
            match seed.parse() {
                Ok(addr) => addrs.push(addr),
                Err(_) => names.push(seed.clone()),
            }
        }
        let next_at = Instant::now() + if remembers { GRACE } else { Duration::ZERO };
        Self { addrs, names, asking: JoinSet::new(), next_at, again: AGAIN_FIRST }
    }

    /// Those that need no name server.
    pub(super) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The next addresses of a name; `nodes`: how many the table has. A name that leads nowhere is no news:
    /// it may tomorrow.
    pub(super) async fn next(&mut self, nodes: usize) -> Vec<SocketAddr> {
        loop {
            if let Some(found) = self.asking.join_next().await {
                return found.unwrap_or_default();
            }
            if self.names.is_empty() {
                return std::future::pending().await;
            }
            sleep_until(self.next_at).await;
            self.next_at = Instant::now() + self.again;
            self.again = (self.again * 2).min(AGAIN_MAX);
            if nodes >= FEW {
                continue;
            }
            for name in &self.names {
                self.asking.spawn(resolve(name.clone()));
            }
        }
    }
}

async fn resolve(name: String) -> Vec<SocketAddr> {
    match timeout(RESOLVE_LIMIT, tokio::net::lookup_host(&name)).await {
        Ok(Ok(addrs)) => addrs.take(ADDRS_MAX).collect(),
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "a seed node of the DHT");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(name, "no answer about a seed node of the DHT");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn names_are_asked_only_where_few_nodes_are_known() {
        let seeds = ["127.0.0.1:5".to_owned(), "no port".to_owned()];
        let mut fresh = Seeds::new(&seeds, false);
        assert_eq!(fresh.addrs(), ["127.0.0.1:5".parse().unwrap()]);
        let begun = Instant::now();
        // "no port" is no name that a resolver is asked for: it fails at once.
        assert!(fresh.next(0).await.is_empty());
        assert!(begun.elapsed() < Duration::from_secs(1));
        let mut remembering = Seeds::new(&seeds, true);
        assert!(remembering.next(FEW - 1).await.is_empty());
        assert!(begun.elapsed() >= GRACE);
        let served = timeout(Duration::from_secs(7200), Seeds::new(&seeds, true).next(FEW)).await;
        assert!(served.is_err(), "enough are known");
    }
}
