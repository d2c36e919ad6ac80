//! What was written and is not acknowledged.
//!
//! Bytes wait in one ring from when they are written until they are acknowledged; packets are ranges of
//! it. Packets are numbered without end here, and by the lowest 16 bits on the wire.
//!
//! **Loss** is judged by the order of transmissions, as RFC 8985 (RACK) and RFC 9002 do: a packet is lost
//! when three that were sent later arrived, or one did and a round trip and a bit has passed. So a lost
//! retransmission is noticed like any other.
//!
//! **Liars.** A receiver that acknowledges what it has not got drives a sender beyond what the path
//! carries (threats.md W9). So now and then one packet is held back until something behind it has
//! arrived: who acknowledges it before it was sent is unmasked.

use super::ring::Ring;
use peerage_base::limits::UTP_PACKETS_OUT_MAX;
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::utp::{HEADER_LEN, SelectiveAck};
use std::collections::VecDeque;

/// Later transmissions that must have arrived before a packet counts as lost (BEP 29: 3).
const REORDER_MIN: u64 = 3;
const REORDER_MAX: u64 = 64;

/// Packets, in windows and at least, between two that are held back.
const HOLD_WINDOWS: u64 = 8;
const HOLD_PACKETS: u64 = 512;
/// The first one comes within so many packets, while the window is still small.
const HOLD_FIRST: u64 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Numbered, and not sent yet on purpose.
    Held,
    InFlight,
    /// Not sent again yet.
    Lost,
    /// Arrived, though something before it did not.
    Arrived,
}

#[derive(Debug)]
struct Sent {
    /// Place of its first byte in the stream, and bytes.
    offset: u64,
    len: usize,
    fin: bool,
    fate: Fate,
    /// Number of its latest transmission, when that was, and how many there were.
    transmission: u64,
    sent_at: Instant,
    times: u32,
}

impl Sent {
    fn weight(&self) -> usize {
        self.len + HEADER_LEN
    }
}

/// An acknowledgement that no honest receiver sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Of numbers that do not exist yet. May be forged by another: it is ignored.
    Unsent,
    /// Of the packet that was held back.
    Held,
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    /// Bytes of packets that arrived, with their headers.
    pub bytes: usize,
    /// A round trip, where one can be told.
    pub round_trip: Option<Duration>,
    /// It is older than what is known.
    pub old: bool,
}

/// What to put on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    index: usize,
    /// The lowest bits of its number.
    pub seq: u16,
    /// Bytes of payload.
    pub len: usize,
    /// The last packet.
    pub fin: bool,
}

#[derive(Debug)]
pub(super) struct Sender {
    ring: Ring,
    /// Place of the first byte of `ring` in the stream.
    ring_start: u64,
    /// Up to here, packets are numbered.
    cut: u64,
    packets: VecDeque<Sent>,
    /// Number of the first of `packets`: the next to be acknowledged.
    first: u64,
    in_flight: usize,
    lost: usize,
    /// The packet that is held back, and the first transmission after that was decided.
    held: Option<(u64, u64)>,
    /// No packet before this number is lost.
    lost_from: u64,
    transmissions: u64,
    /// The newest transmission that arrived.
    newest: u64,
    reorder: u64,
    /// Losses of transmissions before this number are one event with those that were counted.
    recovering: u64,
    /// When a packet becomes lost by time alone.
    pub(super) lost_at: Option<Instant>,
    hold_at: u64,
    /// The end was asked for, and was numbered.
    fin: bool,
    fin_cut: bool,
    rng: Rng,
}

impl Sender {
    /// Nothing written; the first packet gets the number `first`.
    pub(super) fn new(first: u16, mut rng: Rng) -> Self {
        // Far from zero, so that numbers before the first exist.
        let first = u64::from(first) + (1 << 32);
        let hold_at = first + 16 + rng.below(HOLD_FIRST);
        Self {
            ring: Ring::default(),
            ring_start: 0,
            cut: 0,
            packets: VecDeque::new(),
            first,
            in_flight: 0,
            lost: 0,
            held: None,
            lost_from: first,
            transmissions: 1,
            newest: 0,
            reorder: REORDER_MIN,
            recovering: 0,
            lost_at: None,
            hold_at,
            fin: false,
            fin_cut: false,
            rng,
        }
    }

    /// Number of the next new packet.
    pub(super) fn seq(&self) -> u16 {
        (self.first + self.packets.len() as u64) as u16
    }

    /// Bytes in the network, headers included.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Bytes written and not sent.
    pub(super) fn unsent(&self) -> usize {
        self.ring.len() - (self.cut - self.ring_start) as usize
    }

    /// Bytes sent and not acknowledged in order: what the peer keeps room for.
    fn outstanding(&self) -> usize {
        (self.cut - self.ring_start) as usize
    }

    /// Whether nothing waits for the peer.
    pub(super) fn is_idle(&self) -> bool {
        self.packets.is_empty() && self.unsent() == 0
    }

    /// Whether there is something that could be sent if the windows allowed.
    pub(super) fn is_waiting(&self) -> bool {
        self.lost > 0 || self.unsent() > 0 || (self.fin && !self.fin_cut)
    }

    /// Whether the end was sent and acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.fin_cut && self.packets.is_empty()
    }

    /// Whether the end was asked for.
    pub(super) fn is_finishing(&self) -> bool {
        self.fin
    }

    pub(super) fn finish(&mut self) {
        self.fin = true;
    }

    /// Takes of `bytes` what fits while at most `unsent_max` bytes are unsent.
    pub(super) fn write(&mut self, bytes: &[u8], unsent_max: usize) -> usize {
        let len = bytes.len().min(unsent_max.saturating_sub(self.unsent()));
        self.ring.push(bytes.get(..len).unwrap_or_default());
        len
    }

    /// Nothing of what was written is needed any more.
    pub(super) fn clear(&mut self) {
        self.ring = Ring::default();
        self.packets = VecDeque::new();
        (self.ring_start, self.in_flight, self.lost, self.lost_at) = (self.cut, 0, 0, None);
    }

    /// The peer acknowledges. `rtt_min` tells an acknowledgement of a first transmission from one of a
    /// later one.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        ack: u16,
        selective: Option<SelectiveAck<'_>>,
        rtt_min: Option<Duration>,
    ) -> Result<News, Lie> {
        let arrived = ack.wrapping_sub((self.first as u16).wrapping_sub(1));
        if arrived >= 0x8000 {
            // An old one that was overtaken.
            return Ok(News { old: true, ..News::default() });
        }
        let arrived = usize::from(arrived);
        if arrived > self.packets.len() {
            return Err(Lie::Unsent);
        }
        if self.held.is_some_and(|(held, _)| held < self.first + arrived as u64) {
            return Err(Lie::Held);
        }
        let mut news = News::default();
        // The transmission of which the round trip is told.
        let mut clocked = 0;
        for index in 0..arrived {
            self.arrive(now, index, rtt_min, &mut news, &mut clocked);
        }
        let payload: usize = self.packets.drain(..arrived).map(|packet| packet.len).sum();
        self.first += arrived as u64;
        self.ring_start += payload as u64;
        self.ring.skip(payload);
        for place in selective.iter().flat_map(SelectiveAck::arrived) {
            // Place 0 is the packet after the first one that is missing.
            let index = place + 1;
            match self.packets.get(index).map(|packet| packet.fate) {
                None => return Err(Lie::Unsent),
                Some(Fate::Held) => return Err(Lie::Held),
                Some(_) => self.arrive(now, index, rtt_min, &mut news, &mut clocked),
            }
        }
        if self.held.is_some_and(|(_, since)| self.newest >= since) {
            self.release();
        }
        Ok(news)
    }

    fn arrive(
        &mut self,
        now: Instant,
        index: usize,
        rtt_min: Option<Duration>,
        news: &mut News,
        clocked: &mut u64,
    ) {
        let Some(packet) = self.packets.get_mut(index) else { return };
        match packet.fate {
            Fate::Arrived | Fate::Held => return,
            Fate::InFlight => self.in_flight -= packet.weight(),
            Fate::Lost => self.lost -= 1,
        }
        packet.fate = Fate::Arrived;
        news.bytes += packet.weight();
        let taken = now.since(packet.sent_at);
        if packet.times == 1 {
            if packet.transmission > *clocked {
                *clocked = packet.transmission;
                news.round_trip = Some(taken);
            }
        } else if rtt_min.is_some_and(|least| taken < least) {
            // The first transmission arrived after all: the path reorders more than was thought.
            self.reorder = (self.reorder * 2).min(REORDER_MAX);
            return;
        }
        self.newest = self.newest.max(packet.transmission);
    }

    /// Finds what is lost. Tells whether that is news within this round trip.
    pub(super) fn detect_loss(&mut self, now: Instant, round_trip: Duration) -> bool {
        self.lost_at = None;
        let patience = round_trip + round_trip / 8 + Duration::from_millis(1);
        let mut news = false;
        for (index, packet) in self.packets.iter_mut().enumerate() {
            if packet.fate != Fate::InFlight {
                continue;
            }
            if packet.transmission > self.newest {
                // What was sent once lies in the order of its transmissions.
                if packet.times == 1 {
                    break;
                }
                continue;
            }
            let due = packet.sent_at + patience;
            if packet.transmission + self.reorder <= self.newest || due <= now {
                packet.fate = Fate::Lost;
                self.in_flight -= packet.weight();
                self.lost += 1;
                self.lost_from = self.lost_from.min(self.first + index as u64);
                news |= packet.transmission >= self.recovering;
            } else {
                self.lost_at = Some(self.lost_at.map_or(due, |earliest| earliest.min(due)));
            }
        }
        if news {
            self.recovering = self.transmissions;
        }
        news
    }

    /// Nothing arrives any more: all that is in flight counts as lost.
    pub(super) fn time_out(&mut self) {
        self.release();
        for packet in self.packets.iter_mut().filter(|packet| packet.fate == Fate::InFlight) {
            packet.fate = Fate::Lost;
            self.lost += 1;
        }
        self.in_flight = 0;
        self.lost_from = self.first;
        self.recovering = self.transmissions;
        self.lost_at = None;
    }

    /// The last packet that did not arrive is to be sent again, so that the peer says what it has.
    pub(super) fn probe(&mut self) {
        self.release();
        let first = self.first;
        let last =
            self.packets.iter_mut().enumerate().rev().find(|(_, packet)| packet.fate == Fate::InFlight);
        if let Some((index, packet)) = last {
            packet.fate = Fate::Lost;
            self.in_flight -= packet.weight();
            self.lost += 1;
            self.lost_from = self.lost_from.min(first + index as u64);
        }
    }

    /// The packet that was held back may go.
    fn release(&mut self) {
        let Some((held, _)) = self.held.take() else { return };
        if let Some(packet) =
            held.checked_sub(self.first).and_then(|index| self.packets.get_mut(index as usize))
        {
            packet.fate = Fate::Lost;
            self.lost += 1;
            self.lost_from = self.lost_from.min(held);
        }
    }

    /// What to send next, if the congestion window and the peer's allow. A packet holds at most `len_max`
    /// bytes; `force` sends one packet whatever the windows say.
    pub(super) fn next(
        &mut self,
        window: usize,
        peer_window: usize,
        len_max: usize,
        force: bool,
    ) -> Option<Next> {
        let fits = |weight: usize, in_flight: usize| force || in_flight == 0 || in_flight + weight <= window;
        if self.lost > 0 {
            let from = self.lost_from.saturating_sub(self.first) as usize;
            let mut rest = self.packets.iter().enumerate().skip(from);
            let (index, packet) = rest.find(|(_, packet)| packet.fate == Fate::Lost)?;
            self.lost_from = self.first + index as u64;
            return fits(packet.weight(), self.in_flight).then(|| self.named(index)).flatten();
        }
        let len = self.unsent().min(len_max);
        let fin = len == 0 && self.fin && !self.fin_cut;
        if (len == 0 && !fin)
            || self.packets.len() >= UTP_PACKETS_OUT_MAX
            || !fits(len + HEADER_LEN, self.in_flight)
        {
            return None;
        }
        if self.outstanding() + len > peer_window && !(force && self.packets.is_empty()) && !fin {
            return None;
        }
        self.number(len, fin);
        // Behind a packet that is held back another must go at once, or nothing would release it.
        let roomy = self.unsent() >= len_max && self.outstanding() + len_max <= peer_window;
        if !fin && !force && roomy && self.hold_is_due(window, len_max) {
            let seq = self.first + self.packets.len() as u64 - 1;
            self.held = Some((seq, self.transmissions));
            if let Some(packet) = self.packets.back_mut() {
                packet.fate = Fate::Held;
                self.lost -= 1;
            }
            self.number(len_max, false);
        }
        self.named(self.packets.len() - 1)
    }

    fn hold_is_due(&mut self, window: usize, len_max: usize) -> bool {
        let seq = self.first + self.packets.len() as u64;
        if seq < self.hold_at || self.held.is_some() {
            return false;
        }
        let between = HOLD_PACKETS.max(HOLD_WINDOWS * (window / len_max.max(1)) as u64);
        self.hold_at = seq + between + self.rng.below(between);
        true
    }

    fn number(&mut self, len: usize, fin: bool) {
        let (offset, sent_at) = (self.cut, Instant::ZERO);
        self.packets.push_back(Sent {
            offset,
            len,
            fin,
            fate: Fate::Lost,
            transmission: 0,
            sent_at,
            times: 0,
        });
        self.lost += 1;
        self.cut += len as u64;
        self.fin_cut |= fin;
    }

    fn named(&self, index: usize) -> Option<Next> {
        let packet = self.packets.get(index)?;
        let seq = (self.first + index as u64) as u16;
        Some(Next { index, seq, len: packet.len, fin: packet.fin })
    }

    /// The packet that [`Self::next`] named goes out: appends its payload.
    pub(super) fn send(&mut self, now: Instant, next: Next, out: &mut Vec<u8>) {
        let Some(packet) = self.packets.get_mut(next.index) else { return };
        packet.fate = Fate::InFlight;
        packet.transmission = self.transmissions;
        packet.sent_at = now;
        packet.times += 1;
        self.transmissions += 1;
        self.in_flight += packet.weight();
        self.lost -= 1;
        self.ring.copy((packet.offset - self.ring_start) as usize, packet.len, out);
    }
}
