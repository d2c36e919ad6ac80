//! Write tokens: who stores with us has been sent one, so its address is its own.

use core::hash::Hasher;
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::krpc::Id;
use siphasher::sip::SipHasher24;
use std::net::IpAddr;

/// A secret makes tokens for this time, and is believed for as long again (BEP 5).
const ROTATION: Duration = Duration::from_secs(300);

/// Makes and checks tokens, without keeping any: a token is a keyed hash of address and target.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    current: [u8; 16],
    previous: [u8; 16],
    rotated: Instant,
    rng: Rng,
}

impl Tokens {
    pub(super) fn new(mut rng: Rng) -> Self {
        let mut tokens =
            Self { current: [0; 16], previous: [0; 16], rotated: Instant::ZERO, rng: rng.fork() };
        rng.fill(&mut tokens.current);
        rng.fill(&mut tokens.previous);
        tokens
    }

    /// What a host gets that may store at `target`.
    pub(super) fn make(&mut self, now: Instant, ip: IpAddr, target: &Id) -> [u8; 8] {
        self.rotate(now);
        hash(&self.current, ip, target)
    }

    /// Whether the host was given this token, for this target, at most ten minutes ago.
    pub(super) fn check(&mut self, now: Instant, ip: IpAddr, target: &Id, token: &[u8]) -> bool {
        self.rotate(now);
        // Comparing stops at the first difference: over a network nothing is learnt from that about a
        // hash whose key changes every five minutes.
        [&self.current, &self.previous].into_iter().any(|secret| hash(secret, ip, target)[..] == *token)
    }

    fn rotate(&mut self, now: Instant) {
        let age = now.since(self.rotated);
        if age < ROTATION {
            return;
        }
        self.previous = self.current;
        if age >= ROTATION * 2 {
            self.rng.fill(&mut self.previous);
        }
        self.rng.fill(&mut self.current);
        self.rotated = now;
    }
}

fn hash(secret: &[u8; 16], ip: IpAddr, target: &Id) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    match ip {
        IpAddr::V4(ip) => hasher.write(&ip.octets()),
        IpAddr::V6(ip) => hasher.write(&ip.octets()),
    }
    hasher.write(&target.0);
    hasher.finish().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_base::Key;

    #[test]
    fn a_token_is_for_one_host_one_target_and_ten_minutes() {
        let mut tokens = Tokens::new(Rng::from_number(1));
        let (ip, other): (IpAddr, IpAddr) = ("1.2.3.4".parse().unwrap(), "1.2.3.5".parse().unwrap());
        let (target, elsewhere) = (Key([1; 20]), Key([2; 20]));
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let token = tokens.make(at(1000), ip, &target);
        assert!(tokens.check(at(1001), ip, &target, &token));
        assert!(!tokens.check(at(1001), other, &target, &token));
        assert!(!tokens.check(at(1001), ip, &elsewhere, &token));
        assert!(!tokens.check(at(1001), ip, &target, &token[..7]));
        assert!(!tokens.check(at(1001), ip, &target, b""));
        assert!(tokens.check(at(1299), ip, &target, &token), "the same secret");
        assert!(tokens.check(at(1301), ip, &target, &token), "the secret before");
        assert!(!tokens.check(at(1700), ip, &target, &token), "two secrets ago");
        let old = tokens.make(at(2000), ip, &target);
        assert!(!tokens.check(at(9000), ip, &target, &old), "long silence ends both secrets");
    }
}
