//! Which block is asked of which peer next.
//!
//! **Order.** The piece the peer is at; pieces that others began and left; then a new piece: at first
//! any (so that there is soon something to trade), later the rarest of the highest priority, or in
//! sequential mode the next one; then what another peer is at, from its end; in the endgame what is
//! already asked of others.
//!
//! A peer that is fast enough fetches whole pieces alone, so that their blocks arrive in order and are
//! hashed as they come. Slow peers share.
//!
//! **Invariants.** A piece is in exactly one [`PieceState`]. Outside [`Picker::pick_endgame`] a block
//! is given out only when nobody is asked for it.

mod active;
#[cfg(test)]
mod tests;

use crate::{Bitfield, Block, availability::Availability, config::Priority, geometry::Geometry};
use active::Active;
use peerage_base::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Pieces that are picked by chance before rarity counts (libtorrent: 4).
const RANDOM_FIRST: u32 = 4;
/// Peers that one block is asked of in the endgame, at first and at most.
const COPIES_START: u8 = 3;
const COPIES_MAX: u8 = 100;

/// What a piece is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PieceState {
    /// Verified.
    Have,
    /// Not wanted.
    Skipped,
    /// Wanted, but its hash is not known yet (version 2 without piece layer).
    Locked,
    /// Wanted, and nothing is asked for.
    Open,
    /// Some blocks are asked for or received.
    Active,
    /// All blocks are received, the hash is being computed.
    Verifying,
}

/// A block given out: its piece's place among the active ones, and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Place among the active pieces.
    pub active: u32,
    /// The piece.
    pub piece: u32,
    /// Index of the block within the piece.
    pub index: u32,
}

/// The peer to pick for.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The number by which the caller knows it.
    pub slot: u32,
    /// What it has.
    pub have: &'a Bitfield,
    /// Whether it is fast enough for pieces of its own.
    pub whole: bool,
    /// While it chokes us: the pieces it allows nevertheless (BEP 6).
    pub only: Option<&'a [u32]>,
}

impl Asker<'_> {
    fn may(&self, piece: u32) -> bool {
        self.have.get(piece) && self.only.is_none_or(|only| only.contains(&piece))
    }
}

/// What came of a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Other peers were asked for it too.
    pub duplicates: bool,
    /// It was the last one of its piece.
    pub complete: bool,
}

/// The pieces of a torrent, and which blocks are asked for.
#[derive(Clone, Debug)]
pub struct Picker {
    geometry: Geometry,
    states: Vec<PieceState>,
    priorities: Vec<Priority>,
    have: Bitfield,
    /// Wanted and not verified.
    wanted: Bitfield,
    open: Bitfield,
    availability: Availability,
    actives: Vec<Active>,
    vacant: Vec<u32>,
    places: BTreeMap<u32, u32>,
    /// Active pieces with free blocks.
    unfinished: Vec<u32>,
    /// Pieces that failed once: each goes to one peer alone.
    suspects: BTreeSet<u32>,
    /// In sequential mode: where reading is.
    sequential: Option<u32>,
    /// Peers that one block may be asked of now, see [`Self::allow_copies`].
    copies: u8,
    left: u64,
    epoch: u64,
}

impl Picker {
    /// All pieces that are not in `have` are wanted.
    #[must_use]
    pub fn new(geometry: Geometry, have: Bitfield) -> Self {
        let pieces = geometry.pieces();
        let have = if have.len() == pieces { have } else { have.resized(pieces).0 };
        let mut picker = Self {
            geometry,
            states: vec![PieceState::Have; pieces as usize],
            priorities: vec![Priority::Normal; pieces as usize],
            wanted: Bitfield::new(pieces),
            open: Bitfield::new(pieces),
            availability: Availability::new(pieces),
            actives: Vec::new(),
            vacant: Vec::new(),
            places: BTreeMap::new(),
            unfinished: Vec::new(),
            suspects: BTreeSet::new(),
            sequential: None,
            copies: COPIES_START,
            left: 0,
            epoch: 0,
            have,
        };
        for piece in (0..pieces).filter(|piece| !picker.have.get(*piece)).collect::<Vec<_>>() {
            picker.want(piece);
            picker.set_open(piece);
        }
        picker
    }

    /// The blocks.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The verified pieces.
    #[must_use]
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// The pieces that are wanted and not verified.
    #[must_use]
    pub fn wanted(&self) -> &Bitfield {
        &self.wanted
    }

    /// Payload bytes of the wanted pieces.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Counts of pieces among peers; its lists are the picker's own.
    pub fn availability(&mut self) -> &mut Availability {
        &mut self.availability
    }

    /// Peers that have `piece`.
    #[must_use]
    pub fn count(&self, piece: u32) -> u32 {
        self.availability.count(piece)
    }

    /// What a piece is at; `None` from the last one on.
    #[must_use]
    pub fn state(&self, piece: u32) -> Option<PieceState> {
        self.states.get(piece as usize).copied()
    }

    /// Grows whenever a block or piece becomes free: a peer for which nothing was found is asked about
    /// again only then, or when it has something new.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Pieces that some peer still has to be asked for are none: what is left is asked of somebody.
    #[must_use]
    pub fn is_endgame(&self) -> bool {
        self.unfinished.is_empty() && !self.availability.reachable()
    }

    /// Sequential mode from a piece on; `None`: rarest first.
    pub fn set_sequential(&mut self, from: Option<u32>) {
        self.sequential = from;
        self.epoch += 1;
    }

    /// Whether sequential mode is on.
    #[must_use]
    pub fn sequential(&self) -> Option<u32> {
        self.sequential
    }

    /// Changes how much each piece is wanted. Pieces being fetched are finished nevertheless.
    pub fn set_priorities(&mut self, priority: impl Fn(u32) -> Priority) {
        for piece in 0..self.geometry.pieces() {
            let class = priority(piece);
            self.priorities[piece as usize] = class;
            match (self.states[piece as usize], class) {
                (PieceState::Open | PieceState::Locked, Priority::Skip) => {
                    self.close(piece);
                    self.unwant(piece);
                    self.states[piece as usize] = PieceState::Skipped;
                }
                (PieceState::Open, _) => self.set_open(piece),
                (PieceState::Skipped, Priority::Low | Priority::Normal | Priority::High) => {
                    self.want(piece);
                    self.set_open(piece);
                }
                _ => {}
            }
        }
    }

    /// An open piece cannot be verified yet: it is not asked for.
    pub fn lock(&mut self, piece: u32) {
        if self.state(piece) == Some(PieceState::Open) {
            self.close(piece);
            self.states[piece as usize] = PieceState::Locked;
        }
    }

    /// A locked piece can be verified now.
    pub fn unlock(&mut self, piece: u32) {
        if self.state(piece) == Some(PieceState::Locked) {
            self.set_open(piece);
        }
    }

    /// Gives out up to `count` free blocks for a peer. `current` is the peer's own piece, kept by the
    /// caller between calls.
    pub fn pick(
        &mut self,
        asker: &Asker<'_>,
        current: &mut Option<u32>,
        count: usize,
        rng: &mut Rng,
        out: &mut Vec<Pick>,
    ) {
        let end = out.len() + count;
        while out.len() < end {
            let own = current.filter(|at| self.is_own(*at, asker));
            let Some(at) = own.or_else(|| self.choose(asker, rng)) else {
                break;
            };
            let active = &mut self.actives[at as usize];
            if active.owner.is_none() && asker.whole && self.sequential.is_none() {
                active.owner = Some(asker.slot);
            }
            let own = active.owner == Some(asker.slot) || active.sole == Some(asker.slot);
            *current = own.then_some(at);
            let front = own || active.owner.is_none();
            while out.len() < end {
                let index = if front { active.take_front() } else { active.take_back() };
                let Some(index) = index else { break };
                out.push(Pick { active: at, piece: active.piece, index });
            }
            if active.free == 0 {
                active.owner = None;
                *current = None;
                self.unlist_unfinished(at);
            }
        }
    }

    /// In the endgame: few copies, so that little comes twice; `stuck`: one more than before, lest as
    /// many silent peers as that hold up the rest.
    pub fn allow_copies(&mut self, stuck: bool) {
        self.copies = if stuck { (self.copies + 1).min(COPIES_MAX) } else { COPIES_START };
    }

    /// In the endgame: gives out blocks that are asked of others. `is_mine` tells what is asked of the
    /// same peer already.
    pub fn pick_endgame(
        &mut self,
        asker: &Asker<'_>,
        count: usize,
        rng: &mut Rng,
        is_mine: impl Fn(&Pick) -> bool,
        out: &mut Vec<Pick>,
    ) {
        let end = out.len() + count;
        let first = rng.index(self.actives.len().max(1));
        let order = (first..self.actives.len()).chain(0..first.min(self.actives.len()));
        for at in order {
            let active = &mut self.actives[at];
            if !active.live || active.requested() == 0 || active.sole.is_some() || !asker.may(active.piece) {
                continue;
            }
            for index in 0..active.blocks() {
                if out.len() >= end {
                    return;
                }
                let pick = Pick { active: at as u32, piece: active.piece, index };
                if !is_mine(&pick) && active.copy(index, self.copies) {
                    out.push(pick);
                }
            }
        }
    }

    fn is_own(&self, at: u32, asker: &Asker<'_>) -> bool {
        let Some(active) = self.actives.get(at as usize) else {
            return false;
        };
        let own = active.owner == Some(asker.slot) || active.sole == Some(asker.slot);
        active.live && active.free > 0 && own && asker.may(active.piece)
    }

    fn choose(&mut self, asker: &Asker<'_>, rng: &mut Rng) -> Option<u32> {
        if let Some(at) = self.choose_unfinished(asker, true) {
            return Some(at);
        }
        if let Some(piece) = self.choose_open(asker, rng) {
            return Some(self.activate(piece, asker));
        }
        self.choose_unfinished(asker, false)
    }

    /// A piece with free blocks that the peer may take: one without owner that is nearest to its end,
    /// or, when `ownerless` is false, the one of another peer that has most to do. In sequential mode
    /// the first one.
    fn choose_unfinished(&self, asker: &Asker<'_>, ownerless: bool) -> Option<u32> {
        let fits = |at: &&u32| {
            let active = &self.actives[**at as usize];
            let mine = active.sole.is_none_or(|sole| sole == asker.slot);
            mine && active.owner.is_none() == ownerless && asker.may(active.piece)
        };
        let key = |at: &&u32| {
            let active = &self.actives[**at as usize];
            let first = if self.sequential.is_some() { active.piece } else { 0 };
            (first, if ownerless { active.free } else { u32::MAX - active.free }, active.piece)
        };
        self.unfinished.iter().filter(fits).min_by_key(key).copied()
    }

    fn choose_open(&self, asker: &Asker<'_>, rng: &mut Rng) -> Option<u32> {
        if let Some(only) = asker.only {
            return only.iter().copied().find(|piece| self.open.get(*piece) && asker.have.get(*piece));
        }
        if let Some(from) = self.sequential {
            let ahead = self.open.first_common(asker.have, from);
            return ahead.or_else(|| self.open.first_common(asker.have, 0));
        }
        if self.have.count() < RANDOM_FIRST {
            // Priorities hold from the first piece on: chance decides among the highest only.
            let start = rng.below(u64::from(self.open.len())) as u32;
            let found = self.open.first_common(asker.have, start);
            let plain = found.filter(|piece| self.priorities[*piece as usize] == Priority::High);
            if plain.is_some()
                || self.priorities.iter().all(|class| *class != Priority::High) && found.is_some()
            {
                return found;
            }
        }
        self.availability.rarest(asker.have, &self.open, rng)
    }

    fn activate(&mut self, piece: u32, asker: &Asker<'_>) -> u32 {
        self.close(piece);
        self.states[piece as usize] = PieceState::Active;
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.actives.push(Active::default());
            self.actives.len() as u32 - 1
        });
        let blocks = self.geometry.blocks(piece);
        let active = &mut self.actives[at as usize];
        active.start(piece, blocks);
        active.sole = self.suspects.contains(&piece).then_some(asker.slot);
        self.places.insert(piece, at);
        self.list_unfinished(at);
        at
    }

    /// A peer is not asked for a block any more.
    pub fn release(&mut self, pick: Pick) {
        let Some(active) = self.actives.get_mut(pick.active as usize) else {
            return;
        };
        if !active.live || active.piece != pick.piece || !active.release(pick.index) {
            return;
        }
        self.epoch += 1;
        if active.is_untouched() {
            self.reopen(pick.active);
        } else {
            self.list_unfinished(pick.active);
        }
    }

    /// A peer is gone or chokes us, and its requests are released: it owns nothing any more.
    pub fn disown(&mut self, slot: u32) {
        for at in 0..self.actives.len() {
            let active = &mut self.actives[at];
            if active.owner == Some(slot) {
                active.owner = None;
                self.epoch += 1;
            }
            if active.live && active.sole == Some(slot) && !active.is_complete() {
                self.reopen(at as u32);
                self.epoch += 1;
            }
        }
    }

    /// A block arrived from a peer that was asked for it. `party` is who answers for it.
    pub fn receive(&mut self, pick: Pick, party: u32) -> Option<Received> {
        let active = self.actives.get_mut(pick.active as usize)?;
        if !active.live || active.piece != pick.piece {
            return None;
        }
        let copies = active.receive(pick.index, party);
        if copies == 0 {
            return None;
        }
        let complete = active.is_complete();
        if complete {
            self.states[pick.piece as usize] = PieceState::Verifying;
        }
        Some(Received { duplicates: copies > 1, complete })
    }

    /// The index of a block and its piece's place, when that piece is being fetched.
    #[must_use]
    pub fn find(&self, block: Block) -> Option<Pick> {
        let index = self.geometry.index_of(block)?;
        let active = *self.places.get(&block.piece)?;
        Some(Pick { active, piece: block.piece, index })
    }

    /// Who sent each block of a piece that is being verified.
    #[must_use]
    pub fn parties(&self, piece: u32) -> Option<&[u32]> {
        let at = *self.places.get(&piece)?;
        (self.state(piece) == Some(PieceState::Verifying)).then(|| self.actives[at as usize].parties())
    }

    /// A piece being verified turned out right or wrong. A wrong one is fetched again, from one peer
    /// alone. Returns false for a piece that is not being verified.
    pub fn verified(&mut self, piece: u32, ok: bool) -> bool {
        if self.state(piece) != Some(PieceState::Verifying) {
            return false;
        }
        let Some(&at) = self.places.get(&piece) else {
            return false;
        };
        if ok {
            self.suspects.remove(&piece);
            self.vacate(at);
            self.unwant(piece);
            self.have.set(piece);
            self.states[piece as usize] = PieceState::Have;
        } else {
            self.suspects.insert(piece);
            self.epoch += 1;
            self.reopen(at);
        }
        true
    }

    /// Received bytes could not be written: their blocks are free again. Returns their bytes.
    pub fn unreceive(&mut self, piece: u32, begin: u32, len: u32) -> u64 {
        let Some(&at) = self.places.get(&piece) else {
            return 0;
        };
        let end = u64::from(begin) + u64::from(len);
        let mut bytes = 0;
        for index in 0..self.geometry.blocks(piece) {
            let block = self.geometry.block(piece, index);
            let within = block.begin >= begin && u64::from(block.begin) < end;
            if within && self.actives[at as usize].unreceive(index) {
                bytes += u64::from(block.len);
            }
        }
        if bytes > 0 {
            self.epoch += 1;
            self.states[piece as usize] = PieceState::Active;
            if self.actives[at as usize].is_untouched() {
                self.reopen(at);
            } else {
                self.list_unfinished(at);
            }
        }
        bytes
    }

    /// A verified piece is not there any more. Returns whether it was verified.
    pub fn lose(&mut self, piece: u32) -> bool {
        if !self.have.clear(piece) {
            return false;
        }
        self.epoch += 1;
        if self.priorities[piece as usize] == Priority::Skip {
            self.states[piece as usize] = PieceState::Skipped;
        } else {
            self.want(piece);
            self.set_open(piece);
        }
        true
    }

    /// A lost piece is there again, unless it is being fetched already. Returns whether it counts now.
    pub fn regain(&mut self, piece: u32) -> bool {
        if !matches!(self.state(piece), Some(PieceState::Open | PieceState::Skipped)) {
            return false;
        }
        self.close(piece);
        self.unwant(piece);
        self.suspects.remove(&piece);
        self.have.set(piece);
        self.states[piece as usize] = PieceState::Have;
        true
    }

    fn want(&mut self, piece: u32) {
        if self.wanted.set(piece) {
            self.left += u64::from(self.geometry.data_len(piece));
        }
    }

    fn unwant(&mut self, piece: u32) {
        if self.wanted.clear(piece) {
            self.left -= u64::from(self.geometry.data_len(piece));
        }
    }

    fn set_open(&mut self, piece: u32) {
        self.states[piece as usize] = PieceState::Open;
        self.open.set(piece);
        self.availability.list(piece, self.priorities[piece as usize]);
        self.epoch += 1;
    }

    fn close(&mut self, piece: u32) {
        self.open.clear(piece);
        self.availability.unlist(piece);
    }

    /// An active piece goes back to where nothing of it is asked for or received.
    fn reopen(&mut self, at: u32) {
        let piece = self.actives[at as usize].piece;
        self.vacate(at);
        if self.priorities[piece as usize] == Priority::Skip {
            self.unwant(piece);
            self.states[piece as usize] = PieceState::Skipped;
        } else {
            self.set_open(piece);
        }
    }

    fn vacate(&mut self, at: u32) {
        self.unlist_unfinished(at);
        let active = &mut self.actives[at as usize];
        active.live = false;
        (active.owner, active.sole) = (None, None);
        self.places.remove(&active.piece);
        self.vacant.push(at);
    }

    fn list_unfinished(&mut self, at: u32) {
        let active = &mut self.actives[at as usize];
        if !active.listed && active.free > 0 {
            active.listed = true;
            self.unfinished.push(at);
        }
    }

    fn unlist_unfinished(&mut self, at: u32) {
        let active = &mut self.actives[at as usize];
        if active.listed {
            active.listed = false;
            self.unfinished.retain(|other| *other != at);
        }
    }
}
