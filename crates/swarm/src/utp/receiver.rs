//! What was received and is not read, and what is to be acknowledged.

use super::Config;
use super::ring::Ring;
use peerage_base::limits::UTP_PACKETS_EARLY_MAX;
use peerage_base::{Duration, Instant};
use peerage_wire::utp::SELECTIVE_ACK_BYTES_MAX;
use std::collections::VecDeque;

/// A reader has kept up when so many times the room has passed through it.
const KEPT_UP: u64 = 4;

#[derive(Debug)]
pub(super) struct Receiver {
    ring: Ring,
    /// Number of the first packet that is missing.
    next: u64,
    /// Packets after the missing one, the first of which is `next + 1`.
    early: VecDeque<Option<Box<[u8]>>>,
    early_bytes: usize,
    /// Room in bytes, and how far it may grow.
    room: usize,
    room_max: usize,
    /// Bytes read since the room grew.
    read: u64,
    fin: Option<u64>,
    /// Packets that are not acknowledged yet.
    due: u32,
    due_at: Option<Instant>,
    /// The window that was told last.
    told: usize,
    /// Nobody reads any more.
    deaf: bool,
}

impl Receiver {
    /// The first packet that is expected has the number `next`.
    pub(super) fn new(next: u16, config: &Config) -> Self {
        Self {
            ring: Ring::default(),
            next: u64::from(next) + (1 << 32),
            early: VecDeque::new(),
            early_bytes: 0,
            room: config.receive_bytes_min,
            room_max: config.receive_bytes_max,
            read: 0,
            fin: None,
            due: 0,
            due_at: None,
            told: config.receive_bytes_min,
            deaf: false,
        }
    }

    /// Every packet up to this number has arrived.
    pub(super) fn ack(&self) -> u16 {
        (self.next - 1) as u16
    }

    /// Bytes that the peer may send beyond [`Self::ack`].
    pub(super) fn window(&self) -> usize {
        self.room.saturating_sub(self.ring.len())
    }

    /// The window that is told is this one.
    pub(super) fn tell(&mut self) -> u32 {
        self.told = self.window();
        (self.due, self.due_at) = (0, None);
        u32::try_from(self.told).unwrap_or(u32::MAX)
    }

    /// Whether all of the stream was read.
    pub(super) fn has_ended(&self) -> bool {
        self.ring.is_empty() && self.is_whole()
    }

    /// Whether all of the stream is here.
    pub(super) fn is_whole(&self) -> bool {
        self.fin.is_some_and(|fin| self.next > fin)
    }

    /// Whether a read would say something.
    pub(super) fn is_readable(&self) -> bool {
        !self.ring.is_empty() || self.is_whole()
    }

    /// Whether something arrived behind a gap.
    pub(super) fn has_gap(&self) -> bool {
        !self.early.is_empty()
    }

    /// Whether an acknowledgement should go now; and if not, when.
    pub(super) fn due(&self, now: Instant) -> bool {
        self.due >= 2 || self.due_at.is_some_and(|at| at <= now)
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    fn acknowledge_now(&mut self, now: Instant) {
        self.due_at = Some(now);
    }

    /// A packet of data, or the last one. False: it was not expected, and is forgotten.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        seq: u16,
        payload: &[u8],
        fin: bool,
        delay: Duration,
    ) -> bool {
        let ahead = seq.wrapping_sub(self.next as u16);
        if ahead >= 0x8000 {
            // Once more: the acknowledgement was lost.
            self.acknowledge_now(now);
            return true;
        }
        let number = self.next + u64::from(ahead);
        let beyond = self.fin.is_some_and(|end| number > end || (fin && number != end));
        let held = self.ring.len() + self.early_bytes;
        if beyond || usize::from(ahead) > UTP_PACKETS_EARLY_MAX || (held + payload.len() > self.room && !fin)
        {
            self.acknowledge_now(now);
            return false;
        }
        if fin {
            self.fin = Some(number);
        }
        if ahead > 0 {
            // Each is acknowledged at once: the sender counts them.
            self.keep(usize::from(ahead) - 1, payload);
            self.acknowledge_now(now);
            return true;
        }
        self.take(payload);
        if !self.early.is_empty() {
            self.acknowledge_now(now);
            // The front of `early` is the packet `next` from here on, until a gap was taken off.
            while let Some(Some(bytes)) = self.early.pop_front() {
                self.early_bytes -= bytes.len();
                self.take(&bytes);
            }
        }
        self.due = self.due.saturating_add(1);
        self.due_at = Some(self.due_at.unwrap_or(now + delay));
        if self.is_whole() {
            self.acknowledge_now(now);
            self.early = VecDeque::new();
            self.early_bytes = 0;
        }
        true
    }

    fn take(&mut self, payload: &[u8]) {
        self.next += 1;
        if !self.deaf {
            self.ring.push(payload);
        }
    }

    fn keep(&mut self, place: usize, payload: &[u8]) {
        if self.early.len() <= place {
            self.early.resize(place + 1, None);
        }
        if let Some(slot @ None) = self.early.get_mut(place) {
            *slot = Some(payload.into());
            self.early_bytes += payload.len();
        }
    }

    /// The bits of a selective ack, at most [`SELECTIVE_ACK_BYTES_MAX`] bytes; nothing without a gap.
    pub(super) fn selective_ack<'a>(&self, bits: &'a mut [u8; SELECTIVE_ACK_BYTES_MAX]) -> &'a [u8] {
        let mut len = 0;
        for (place, _) in self.early.iter().enumerate().filter(|(_, packet)| packet.is_some()) {
            let Some(byte) = bits.get_mut(place / 8) else { break };
            *byte |= 1 << (place % 8);
            len = place / 8 + 1;
        }
        bits.get(..len.next_multiple_of(4)).unwrap_or_default()
    }

    /// Moves bytes to the reader.
    pub(super) fn read(&mut self, now: Instant, out: &mut [u8]) -> usize {
        let len = self.ring.take(out);
        self.read += len as u64;
        if self.ring.is_empty() && self.room < self.room_max && self.read >= KEPT_UP * self.room as u64 {
            self.room = (self.room * 2).min(self.room_max);
            self.read = 0;
        }
        // A sender that waits for room hears of it. One that has half the room does not wait.
        if len > 0 && self.told <= self.room / 2 && self.window() >= self.told + self.room / 4 {
            self.acknowledge_now(now);
        }
        len
    }

    /// What is here and what comes is forgotten: nobody reads any more.
    pub(super) fn discard(&mut self) {
        self.deaf = true;
        self.ring = Ring::default();
    }

    /// Gives memory back while nothing moves.
    pub(super) fn shrink(&mut self) {
        self.ring.shrink();
        self.early.shrink_to(0);
    }
}

#[cfg(test)]
mod tests;
