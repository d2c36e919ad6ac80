//! What will happen when.

use super::NodeId;
use super::link::LinkId;
use crate::{AnnounceReply, StoreEvent, TrackerFailure, TrackerId};
use peerage_base::{ConnId, Instant, TorrentId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens at a moment. A link's side is the one that *sends*, but for
/// [`Event::Fin`].
#[derive(Debug)]
pub(super) enum Event {
    /// A machine's deadline.
    Wake(NodeId),
    /// A side's uplink has sent a chunk.
    UplinkFree(LinkId, usize),
    /// A chunk reaches the other side's downlink.
    Arrive(LinkId, usize, Vec<u8>),
    /// A chunk has passed it.
    Deliver(LinkId, usize, Vec<u8>),
    /// The sender learns of that.
    Ack(LinkId, usize, usize),
    /// A dial reaches its target.
    Syn(LinkId),
    /// The answer to it.
    SynAck(LinkId, bool),
    /// A side learns that the other closed.
    Fin(LinkId, usize),
    /// A dial of an address where nobody is has failed.
    NoRoute(NodeId, ConnId),
    /// A disk has done a job.
    Stored(NodeId, TorrentId, StoreEvent),
    /// The tracker's answer.
    Announced(NodeId, TorrentId, TrackerId, Result<AnnounceReply, TrackerFailure>),
}

/// The queue: by time, then by order of scheduling.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Events {
    pub(super) fn push(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at, number: self.count, event }));
    }

    pub(super) fn pop_until(&mut self, end: Instant) -> Option<(Instant, Event)> {
        if self.heap.peek()?.0.at > end {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}
