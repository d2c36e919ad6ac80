//! Connection ids of the UDP tracker (BEP 15): proof that a sender receives at its address.
//!
//! An id is a keyed hash of the sender's IP address and of the minute, so that nothing is stored
//! for a sender that may be forged. An id is valid in the minute that made it and in the next one.

use aws_lc_rs::hmac;
use std::{net::IpAddr, time::Duration};

/// BEP 15: "A client can use a connection ID until one minute after it has received it. Trackers
/// should accept the connection ID until two minutes after it has been send."
const WINDOW: Duration = Duration::from_secs(60);

pub(super) struct ConnectionIds(hmac::Key);

impl ConnectionIds {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The id for `ip`, `uptime` after the server's start.
    pub(super) fn make(&self, ip: IpAddr, uptime: Duration) -> u64 {
        self.of_window(ip, window(uptime))
    }

    /// Whether `id` was made for `ip` in this window or the last.
    pub(super) fn check(&self, id: u64, ip: IpAddr, uptime: Duration) -> bool {
        let now = window(uptime);
        self.of_window(ip, now) == id || now.checked_sub(1).is_some_and(|last| self.of_window(ip, last) == id)
    }

    fn of_window(&self, ip: IpAddr, window: u64) -> u64 {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&window.to_be_bytes());
        match ip {
            IpAddr::V4(v4) => context.update(&v4.octets()),
            IpAddr::V6(v6) => context.update(&v6.octets()),
        }
        let mut short = [0; 8];
        short.copy_from_slice(&context.sign().as_ref()[..8]);
        u64::from_be_bytes(short)
    }
}

fn window(uptime: Duration) -> u64 {
    uptime.as_secs() / WINDOW.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_for_one_address_one_secret_and_two_minutes() {
        let ids = ConnectionIds::new(&[1; 32]);
        let (ip, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let at = Duration::from_secs;
        let id = ids.make(ip, at(30));
        assert!(ids.check(id, ip, at(59)) && ids.check(id, ip, at(119)));
        assert!(
            !ids.check(id, ip, at(120)) && !ids.check(id, other, at(30)) && !ids.check(id ^ 1, ip, at(30))
        );
        assert!(!ConnectionIds::new(&[2; 32]).check(id, ip, at(30)));
        // An id from the future is not valid either.
        assert!(!ids.check(ids.make(ip, at(120)), ip, at(60)));
    }
}
