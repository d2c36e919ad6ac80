//! What one peer asks of us.
//!
//! Requests are never dropped in silence, since clients without the fast extension (rtorrent) wait two
//! minutes for each one that is: they queue, generously, and only a flood that no honest client makes
//! is answered by parting.

use crate::Block;
use peerage_base::limits::REQUESTS_IN_MAX;
use std::collections::{BTreeMap, VecDeque};

/// Requests kept for a peer without the fast extension. rtorrent asks for a fifth of a second's rate in
/// KiB as blocks, at 650 MiB/s so many; 12 bytes each.
pub const REQUESTS_IN_SLOW_MAX: usize = 16 * REQUESTS_IN_MAX;
/// Refused requests beyond the queue's bound, since one was last served, after which we part.
const OVERFLOWS_MAX: u32 = REQUESTS_IN_MAX as u32;
/// Queues up to this length are searched; in longer ones a cancelled request is marked.
const SEARCH_MAX: usize = 512;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits.
    Queued,
    /// The queue is full: refuse it, the peer understands (BEP 6).
    Refused,
    /// A flood: part.
    Flood,
}

/// The requests of one peer, in their order.
#[derive(Clone, Debug, Default)]
pub struct Uploads {
    queue: VecDeque<Block>,
    /// Cancelled requests that are still in a long queue, and how often.
    cancelled: BTreeMap<Block, u32>,
    overflows: u32,
}

impl Uploads {
    /// Requests waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a request in. `fast`: the peer understands refusals.
    pub fn push(&mut self, block: Block, fast: bool) -> Pushed {
        let max = if fast { REQUESTS_IN_MAX } else { REQUESTS_IN_SLOW_MAX };
        if self.queue.len() < max {
            // An old mark, perhaps of a cancel that crossed with the block, must not swallow it.
            self.take_mark(block);
            self.queue.push_back(block);
            return Pushed::Queued;
        }
        self.overflows += 1;
        if fast && self.overflows <= OVERFLOWS_MAX { Pushed::Refused } else { Pushed::Flood }
    }

    /// Takes a request back. Returns whether it is to be refused now; a marked one is when it is due.
    pub fn cancel(&mut self, block: Block) -> bool {
        if self.queue.len() <= SEARCH_MAX {
            let found = self.queue.iter().position(|waiting| *waiting == block);
            return found.and_then(|at| self.queue.remove(at)).is_some();
        }
        if self.cancelled.len() < REQUESTS_IN_MAX {
            *self.cancelled.entry(block).or_default() += 1;
        }
        false
    }

    /// The next request; cancelled ones before it go to `refused`.
    pub fn pop(&mut self, refused: &mut Vec<Block>) -> Option<Block> {
        while let Some(block) = self.queue.pop_front() {
            if !self.take_mark(block) {
                self.overflows = 0;
                return Some(block);
            }
            refused.push(block);
        }
        self.cancelled.clear();
        None
    }

    /// The request of the lowest rank among the first ones: for when the line is the bottleneck, and
    /// it matters what goes first.
    pub fn pop_by(&mut self, rank: impl Fn(Block) -> u32, refused: &mut Vec<Block>) -> Option<(u32, Block)> {
        loop {
            let (at, best) = self.best(&rank)?;
            let block = self.queue.remove(at)?;
            if !self.take_mark(block) {
                self.overflows = 0;
                return Some((best, block));
            }
            refused.push(block);
        }
    }

    /// The lowest rank among the first requests.
    pub fn best_rank(&self, rank: impl Fn(Block) -> u32) -> Option<u32> {
        self.best(&rank).map(|(_, best)| best)
    }

    fn best(&self, rank: &impl Fn(Block) -> u32) -> Option<(usize, u32)> {
        // Requests of one piece stand together: each piece is judged once.
        let mut best: Option<(usize, u32)> = None;
        let mut last = None;
        for (at, block) in self.queue.iter().take(SEARCH_MAX).enumerate() {
            if last == Some(block.piece) {
                continue;
            }
            last = Some(block.piece);
            let judged = rank(*block);
            if best.is_none_or(|(_, least)| judged < least) {
                best = Some((at, judged));
            }
            if judged == 0 {
                break;
            }
        }
        best
    }

    /// Takes every request out, cancelled ones too: we choke the peer, or have not the piece.
    pub fn clear(&mut self) -> impl Iterator<Item = Block> {
        self.cancelled.clear();
        std::mem::take(&mut self.queue).into_iter()
    }

    /// Takes out the requests for one piece: we do not have it any more.
    pub fn remove_piece(&mut self, piece: u32) -> Vec<Block> {
        let gone = self.queue.iter().copied().filter(|block| block.piece == piece).collect();
        self.queue.retain(|block| block.piece != piece);
        gone
    }

    fn take_mark(&mut self, block: Block) -> bool {
        if self.cancelled.is_empty() {
            return false;
        }
        match self.cancelled.get_mut(&block) {
            Some(1) => self.cancelled.remove(&block).is_some(),
            Some(times) => {
                *times -= 1;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(at: u32) -> Block {
        Block { piece: at / 16, begin: at % 16 * 16384, len: 16384 }
    }

    #[test]
    fn floods_are_bounded_and_told_from_honest_haste() {
        let mut fast = Uploads::default();
        let verdicts: Vec<Pushed> = (0..100_000).map(|at| fast.push(block(at), true)).collect();
        assert_eq!(fast.len(), REQUESTS_IN_MAX);
        assert_eq!(verdicts[REQUESTS_IN_MAX - 1..=REQUESTS_IN_MAX], [Pushed::Queued, Pushed::Refused]);
        assert_eq!(verdicts.last(), Some(&Pushed::Flood));
        let mut slow = Uploads::default();
        for at in 0..1_000_000 {
            let refused = slow.push(block(at), false) != Pushed::Queued;
            assert_eq!(refused, at as usize >= REQUESTS_IN_SLOW_MAX);
        }
        assert_eq!(slow.len(), REQUESTS_IN_SLOW_MAX);
    }

    #[test]
    fn cancelled_requests_are_refused_once_in_short_and_long_queues() {
        for len in [10, 5000] {
            let mut uploads = Uploads::default();
            (0..len).for_each(|at| _ = uploads.push(block(at), true));
            let mut refused = Vec::new();
            if uploads.cancel(block(3)) {
                refused.push(block(3));
            }
            uploads.cancel(block(len + 1));
            let mut served = Vec::new();
            while let Some(block) = uploads.pop(&mut refused) {
                served.push(block);
            }
            assert_eq!(refused, [block(3)]);
            assert!(served.into_iter().eq((0..len).filter(|at| *at != 3).map(block)));
        }
    }

    #[test]
    fn the_lowest_rank_goes_first_and_equals_keep_their_order() {
        let mut uploads = Uploads::default();
        (0..64).for_each(|at| _ = uploads.push(block(at), true));
        let rank = |block: Block| if block.piece == 2 { 1 } else { 5 };
        let mut order = Vec::new();
        while let Some((_, block)) = uploads.pop_by(rank, &mut Vec::new()) {
            order.push(block);
        }
        assert!(order[..16].iter().copied().eq((32..48).map(block)));
        assert!(order[16..32].iter().copied().eq((0..16).map(block)));
    }

    #[test]
    fn a_new_request_outranks_an_old_cancel() {
        let mut uploads = Uploads::default();
        let block = |piece| Block { piece, begin: 0, len: 1 };
        (0..SEARCH_MAX as u32 + 2).for_each(|piece| _ = uploads.push(block(piece), false));
        assert!(!uploads.cancel(block(9999)), "sent already");
        uploads.push(block(9999), false);
        let mut refused = Vec::new();
        let mut last = None;
        while let Some(block) = uploads.pop(&mut refused) {
            last = Some(block);
        }
        assert_eq!((last, refused.len()), (Some(block(9999)), 0));
    }
}
