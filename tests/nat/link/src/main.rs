//! A link between two TUN devices, for the network laboratory (`tests/nat`): what it reads from one
//! it writes to the other, after a delay, with jitter, reordering, duplicates and bursts of loss.
//!
//! The devices are its standard input and output, both open for reading and writing: the
//! laboratory makes them in the two namespaces that the link joins. Any pair of descriptors that
//! keep packets apart will do. It ends when one of them does.
//!
//! Rates and independent losses are the kernel's business (`tbf`, nftables).

mod line;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use peerage_base::Rng;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use line::{Conditions, Line};

/// The largest packet of a TUN device.
const PACKET_MAX: usize = 65_536;
/// Packets read from one side before the other has its turn.
const TURN: usize = 64;

#[derive(Parser)]
#[command(about = "Joins the TUN devices at stdin and stdout by a link with these conditions, both ways")]
struct Arguments {
    /// One-way delay, milliseconds.
    #[arg(long, default_value_t = 0.0)]
    delay: f64,
    /// The delay is uniform in delay ± jitter, milliseconds.
    #[arg(long, default_value_t = 0.0)]
    jitter: f64,
    /// Fraction of packets that are held back.
    #[arg(long, default_value_t = 0.0)]
    reorder: f64,
    /// For how long, milliseconds.
    #[arg(long, default_value_t = 0.0)]
    reorder_by: f64,
    /// Fraction of packets that arrive twice.
    #[arg(long, default_value_t = 0.0)]
    duplicate: f64,
    /// Chance, per packet, that a burst of loss begins.
    #[arg(long, default_value_t = 0.0)]
    burst_begin: f64,
    /// Chance, per packet, that it ends.
    #[arg(long, default_value_t = 1.0)]
    burst_end: f64,
    /// Seed of the dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Arguments {
    fn conditions(&self) -> Result<Conditions> {
        let millis = |value: f64| Duration::try_from_secs_f64(value / 1e3).context("not a time");
        Ok(Conditions {
            delay: millis(self.delay)?,
            jitter: millis(self.jitter)?,
            reorder: self.reorder,
            reorder_by: millis(self.reorder_by)?,
            duplicate: self.duplicate,
            burst_begin: self.burst_begin,
            burst_end: self.burst_end,
        })
    }
}

/// Reads up to [`TURN`] packets into the line. `false` when the device is gone.
fn take(from: BorrowedFd, line: &mut Line, begin: Instant, buffer: &mut [u8]) -> Result<bool> {
    for _ in 0..TURN {
        match rustix::io::read(from, &mut *buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => line.push(begin.elapsed(), buffer.get(..length).unwrap_or_default()),
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(Errno::BADFD) => return Ok(false),
            Err(error) => return Err(error).context("read"),
        }
    }
    Ok(true)
}

/// Writes all that is due. A packet that the device does not take is lost, as on a wire.
fn give(to: BorrowedFd, line: &mut Line, begin: Instant) {
    while let Some(packet) = line.pop(begin.elapsed()) {
        let _ = rustix::io::write(to, &packet);
    }
}

/// How long to wait for the next packet that is due; `None` without one.
fn patience(lines: [&Line; 2], begin: Instant) -> Option<Timespec> {
    let due = lines.into_iter().filter_map(Line::next_due).min()?;
    due.saturating_sub(begin.elapsed()).try_into().ok()
}

fn run(a: BorrowedFd, b: BorrowedFd, conditions: Conditions, seed: u64) -> Result<[line::Counts; 2]> {
    for side in [a, b] {
        let flags = rustix::fs::fcntl_getfl(side)?;
        rustix::fs::fcntl_setfl(side, flags | rustix::fs::OFlags::NONBLOCK)?;
    }
    let mut dice = Rng::from_number(seed);
    let mut there = Line::new(conditions, dice.fork());
    let mut back = Line::new(conditions, dice.fork());
    let begin = Instant::now();
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        let mut sides =
            [PollFd::from_borrowed_fd(a, PollFlags::IN), PollFd::from_borrowed_fd(b, PollFlags::IN)];
        let wait = patience([&there, &back], begin);
        match rustix::event::poll(&mut sides, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        let [ready_a, ready_b] = sides.map(|side| !side.revents().is_empty());
        if ready_a && !take(a, &mut there, begin, &mut buffer)? {
            break;
        }
        if ready_b && !take(b, &mut back, begin, &mut buffer)? {
            break;
        }
        give(b, &mut there, begin);
        give(a, &mut back, begin);
    }
    Ok([there.counts(), back.counts()])
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let conditions = arguments.conditions()?;
    let (a, b) = (std::io::stdin(), std::io::stdout());
    for (name, counts) in
        ["there", "back"].into_iter().zip(run(a.as_fd(), b.as_fd(), conditions, arguments.seed)?)
    {
        eprintln!("{name}: {counts:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn packets_pass_both_ways_after_the_delay() {
        let (a, near_a) = UnixDatagram::pair().unwrap();
        let (b, near_b) = UnixDatagram::pair().unwrap();
        let delay = Duration::from_millis(20);
        let link = std::thread::spawn(move || {
            run(near_a.as_fd(), near_b.as_fd(), Conditions { delay, ..Conditions::default() }, 1)
        });
        let mut buffer = [0; 8];
        let begin = Instant::now();
        a.send(b"there").unwrap();
        b.send(b"back").unwrap();
        assert_eq!(b.recv(&mut buffer).map(|length| buffer[..length].to_vec()).unwrap(), b"there");
        assert_eq!(a.recv(&mut buffer).map(|length| buffer[..length].to_vec()).unwrap(), b"back");
        assert!(begin.elapsed() >= delay);
        // An empty packet cannot come from a TUN device: it reads as the end.
        a.send(b"").unwrap();
        let counts = link.join().unwrap().unwrap();
        assert_eq!(counts.map(|counts| counts.taken), [1, 1]);
    }
}
