//! What a machine says, until it is fetched, with the counts of it.

use super::{Output, Report, SearchId, Stats};
use peerage_wire::overlay::{DecodeError, Frame};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Outputs in order, and counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    pub(crate) stats: Stats,
    next: u64,
}

impl Outbox {
    /// A name for a command.
    pub(crate) fn name(&mut self) -> SearchId {
        self.next += 1;
        SearchId(self.next)
    }

    /// Reads what arrived, and counts it.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Result<Frame, DecodeError> {
        self.stats.received += 1;
        Frame::decode(bytes).inspect_err(|_| self.stats.malformed += 1)
    }

    /// Sends a frame that keeps the overlay in order.
    pub(crate) fn send(&mut self, to: SocketAddr, frame: &Frame) {
        self.push(to, frame, None);
    }

    /// Sends a frame for somebody's search; for which, when it is one of this node.
    pub(crate) fn send_search(&mut self, to: SocketAddr, frame: &Frame, search: Option<SearchId>) {
        self.stats.sent_search += 1;
        self.push(to, frame, search);
    }

    fn push(&mut self, to: SocketAddr, frame: &Frame, search: Option<SearchId>) {
        let bytes = frame.encode();
        self.stats.sent += 1;
        self.stats.sent_bytes += bytes.len() as u64;
        self.queue.push_back(Output::Send { to, bytes, search });
    }

    /// Tells how a search ended.
    pub(crate) fn end(&mut self, search: SearchId, report: Report) {
        let found = !report.holders.is_empty();
        self.stats.found += u64::from(found);
        let output =
            if found { Output::Found { search, report } } else { Output::NotFound { search, report } };
        self.queue.push_back(output);
    }

    pub(crate) fn tell(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}
