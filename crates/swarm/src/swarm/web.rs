//! Web seeds (BEP 19), fed by the driver's HTTP client.

use super::Swarm;
use crate::Bitfield;
use crate::{
    Block, BlockVerdict, Bucket, Output, WebChange, WebSeedId,
    blame::Source,
    picker::{Asker, Pick},
    requests::Asked,
    web::{self, WebSeed},
};
use peerage_base::{
    Instant,
    limits::{BLOCK_LEN, WEB_SEEDS_MAX},
};

impl Swarm {
    /// Adds a web seed; the parent knows its URL. `None` beyond
    /// [`WEB_SEEDS_MAX`]. It is asked for one range at a time.
    pub fn add_web_seed(&mut self, now: Instant) -> Option<WebSeedId> {
        if self.web_seeds.len() >= WEB_SEEDS_MAX {
            return None;
        }
        let number = self.web_seeds.len() as u32;
        let party = self.blame.join(Source::Web(WebSeedId(number)));
        self.web_seeds.push(WebSeed::new(number, party));
        if let Some(body) = &mut self.body {
            body.picker.availability().add_whole();
        }
        self.tick_at.get_or_insert(now + super::timers::TICK);
        Some(WebSeedId(number))
    }

    /// A block from a web seed. See [`BlockVerdict`].
    pub fn handle_web_block(&mut self, now: Instant, web_seed: WebSeedId, block: Block) -> BlockVerdict {
        let (Some(web), Some(body)) = (self.web_seeds.get_mut(web_seed.0 as usize), &mut self.body) else {
            return BlockVerdict::Drop;
        };
        let index = body.picker.geometry().index_of(block);
        let Some(asked) = index.and_then(|index| web.take(block.piece, index)) else {
            self.stats.wasted += u64::from(block.len);
            return BlockVerdict::Drop;
        };
        self.busy = true;
        self.asked -= u64::from(asked.len);
        let (party, slot) = (web.party, web.slot);
        self.web_rate.add(u64::from(asked.len));
        self.accept(now, party, slot, asked.pick, block)
    }

    /// A web seed's request ended.
    pub fn handle_web(&mut self, now: Instant, web_seed: WebSeedId, change: WebChange) {
        let Some(web) = self.web_seeds.get_mut(web_seed.0 as usize) else { return };
        let was_gone = web.gone;
        web.gone |= change == WebChange::Gone;
        let left = web.end(now, change == WebChange::Done);
        let (gone, slot) = (web.gone && !was_gone, web.slot);
        let Some(body) = &mut self.body else { return };
        // After a good end it goes on with the same piece, which may be larger than one request.
        if change != WebChange::Done || !left.is_empty() {
            for asked in left {
                self.asked -= u64::from(asked.len);
                body.picker.release(asked.pick);
            }
            web.current = None;
            body.picker.disown(slot);
        }
        if gone {
            body.picker.availability().remove_whole();
        }
    }

    /// A web seed gave bad data: it is not asked again.
    pub(super) fn drop_web_seed(&mut self, now: Instant, web_seed: WebSeedId) {
        self.handle_web(now, web_seed, WebChange::Gone);
    }

    /// A peer delivered a block that a web seed was asked for, too.
    pub(super) fn cancel_web(&mut self, pick: Pick) {
        for web in &mut self.web_seeds {
            if let Some(asked) = web.take(pick.piece, pick.index) {
                self.asked -= u64::from(asked.len);
            }
        }
    }

    pub(super) fn pump_web(&mut self, now: Instant, down: &mut Bucket) {
        let Some(body) = &mut self.body else { return };
        if self.web_seeds.is_empty()
            || self.paused.is_some()
            || !self.config.fetch
            || body.picker.wanted().is_empty()
        {
            return;
        }
        let all = Bitfield::full(body.picker.geometry().pieces());
        for (number, web) in self.web_seeds.iter_mut().enumerate().filter(|(_, web)| web.is_idle(now)) {
            let room = self.config.inflight_bytes_max.saturating_sub(self.asked + self.unwritten)
                / u64::from(BLOCK_LEN);
            let allowed = down.allowance(u64::from(BLOCK_LEN)).min(self.down.allowance(u64::from(BLOCK_LEN)));
            let count = usize::try_from(room.min(allowed)).unwrap_or(usize::MAX).min(web::BLOCKS_MAX);
            let asker = Asker { slot: web.slot, have: &all, whole: true, only: None };
            self.picks.clear();
            body.picker.pick(&asker, &mut web.current, count, &mut self.rng, &mut self.picks);
            let geometry = body.picker.geometry();
            let (run, taken, rest) =
                web::first_run(&self.picks, |pick| geometry.block(pick.piece, pick.index));
            let Some(run) = run else { continue };
            for pick in taken {
                let len = geometry.block(pick.piece, pick.index).len;
                web.asked.push_back(Asked { pick: *pick, len, at: now });
            }
            self.asked += u64::from(run.len);
            down.take(u64::from(run.len));
            self.down.take(u64::from(run.len));
            web.busy = true;
            for pick in rest {
                body.picker.release(*pick);
            }
            let Block { piece, begin, len } = run;
            let web_seed = WebSeedId(number as u32);
            self.outputs.push_back(Output::WebRequest { web_seed, piece, begin, len });
        }
    }
}
