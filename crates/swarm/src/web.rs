//! Web seeds (BEP 19): sources that have everything and answer one range after another.

use crate::{Block, picker::Pick, requests::Asked};
use peerage_base::{Duration, Instant};
use std::collections::VecDeque;

/// Blocks asked for with one request: 4 MiB.
pub const BLOCKS_MAX: usize = 256;
/// Picker slots of web seeds count down from here; peers' count up from 0.
const SLOTS_FROM: u32 = u32::MAX;
/// How long one rests after its first failure; doubled with each further one.
const REST: Duration = Duration::from_secs(10);

/// One web seed.
#[derive(Clone, Debug)]
pub struct WebSeed {
    /// Its number in [`crate::blame`].
    pub party: u32,
    /// Its number for the picker.
    pub slot: u32,
    /// The piece that it fetches alone.
    pub current: Option<u32>,
    /// What its request is for and has not come yet.
    pub asked: VecDeque<Asked>,
    /// It answers a request.
    pub busy: bool,
    /// It will not be asked again.
    pub gone: bool,
    failures: u32,
    rests_until: Instant,
}

impl WebSeed {
    /// The web seed with this number.
    #[must_use]
    pub fn new(number: u32, party: u32) -> Self {
        Self {
            party,
            slot: SLOTS_FROM - number,
            current: None,
            asked: VecDeque::new(),
            busy: false,
            gone: false,
            failures: 0,
            rests_until: Instant::ZERO,
        }
    }

    /// Whether it can be asked.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        !self.busy && !self.gone && self.rests_until <= now
    }

    /// The request that a block answers, taken out.
    pub fn take(&mut self, piece: u32, index: u32) -> Option<Asked> {
        let fits = |asked: &Asked| asked.pick.piece == piece && asked.pick.index == index;
        let at = self.asked.iter().position(fits)?;
        self.asked.remove(at)
    }

    /// A request ended; what did not come is given back.
    pub fn end(&mut self, now: Instant, ok: bool) -> Vec<Asked> {
        self.busy = false;
        if ok {
            self.failures = 0;
        } else {
            self.rests_until = now + REST * (1 << self.failures.min(8));
            self.failures += 1;
        }
        self.asked.drain(..).collect()
    }
}

/// The first run of blocks that lie side by side in one piece, and the picks after it.
#[must_use]
pub fn first_run(picks: &[Pick], block: impl Fn(&Pick) -> Block) -> (Option<Block>, &[Pick], &[Pick]) {
    let Some(mut run) = picks.first().map(&block) else { return (None, &[], &[]) };
    let mut end = 1;
    for pick in &picks[1..] {
        let next = block(pick);
        if next.piece != run.piece || next.begin != run.begin + run.len {
            break;
        }
        run.len += next.len;
        end += 1;
    }
    (Some(run), &picks[..end], &picks[end..])
}
