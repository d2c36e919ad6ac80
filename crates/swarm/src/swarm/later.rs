//! To be filled in: version 2 hashes, super-seeding, web seeds.

use super::{Swarm, messages::Result};
use crate::{Block, BlockVerdict, Message, WebChange, WebSeedId};
use peerage_base::Instant;

impl Swarm {
    pub(super) fn is_super_seeding(&self) -> bool {
        false
    }
    pub(super) fn reveal(&mut self, _slot: u32) {}
    pub(super) fn allow_fast(&mut self, _slot: u32) {}
    pub(super) fn on_told(&mut self, _slot: u32, _piece: u32) {}
    pub(super) fn lock_unverifiable(&mut self) {}
    pub(super) fn poll_hashes(&mut self, _now: Instant) {}
    pub(super) fn on_hash_message(&mut self, _now: Instant, _slot: u32, _message: Message) -> Result {
        Ok(())
    }
    /// Reveals pieces one by one (BEP 16).
    pub fn set_super_seeding(&mut self, _now: Instant, _on: bool) {}
    /// Adds a web seed (BEP 19); the parent knows its URL.
    pub fn add_web_seed(&mut self, _now: Instant) -> WebSeedId {
        WebSeedId(0)
    }
    /// A block from a web seed.
    pub fn handle_web_block(&mut self, _now: Instant, _web_seed: WebSeedId, _block: Block) -> BlockVerdict {
        BlockVerdict::Drop
    }
    /// A web seed's request ended.
    pub fn handle_web(&mut self, _now: Instant, _web_seed: WebSeedId, _change: WebChange) {}
}
