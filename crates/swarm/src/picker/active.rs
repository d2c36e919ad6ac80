//! A piece that is being fetched, block by block.

const FREE: u8 = 0;
const RECEIVED: u8 = u8::MAX;
/// The blocks of one piece. The storage is used again for the next piece.
#[derive(Clone, Debug, Default)]
pub struct Active {
    /// The piece; meaningless while `live` is false.
    pub(super) piece: u32,
    pub(super) live: bool,
    /// Per block: `FREE`, `RECEIVED`, or the number of peers it is asked of.
    blocks: Vec<u8>,
    /// Per block: the party that sent it, as the caller named it.
    from: Vec<u32>,
    pub(super) free: u32,
    pub(super) received: u32,
    /// No block before `head`, and none from `tail` on, is free.
    head: u32,
    tail: u32,
    /// The peer that fetches the piece front to back; others take from the back, and only when they
    /// have nothing better to do.
    pub(super) owner: Option<u32>,
    /// The only peer that may be asked, so that a failure has one culprit.
    pub(super) sole: Option<u32>,
    /// Whether the piece is in the picker's list of those with free blocks.
    pub(super) listed: bool,
}

impl Active {
    pub(super) fn start(&mut self, piece: u32, blocks: u32) {
        self.piece = piece;
        self.live = true;
        self.blocks.clear();
        self.blocks.resize(blocks as usize, FREE);
        self.from.clear();
        self.from.resize(blocks as usize, 0);
        (self.free, self.received, self.head, self.tail) = (blocks, 0, 0, blocks);
        (self.owner, self.sole) = (None, None);
    }

    /// Marks the first free block as asked for.
    pub(super) fn take_front(&mut self) -> Option<u32> {
        while self.head < self.tail && self.blocks[self.head as usize] != FREE {
            self.head += 1;
        }
        (self.head < self.tail).then(|| self.take(self.head))
    }

    /// Marks the last free block as asked for.
    pub(super) fn take_back(&mut self) -> Option<u32> {
        while self.head < self.tail && self.blocks[self.tail as usize - 1] != FREE {
            self.tail -= 1;
        }
        (self.head < self.tail).then(|| self.take(self.tail - 1))
    }

    fn take(&mut self, index: u32) -> u32 {
        self.blocks[index as usize] = 1;
        self.free -= 1;
        index
    }

    /// Asks one more peer for a block that is asked for already, if of fewer than `max` peers.
    pub(super) fn copy(&mut self, index: u32, max: u8) -> bool {
        match self.blocks.get_mut(index as usize) {
            Some(copies) if (1..max).contains(copies) => {
                *copies += 1;
                true
            }
            _ => false,
        }
    }

    /// One peer less is asked for a block. Returns whether it is free now.
    pub(super) fn release(&mut self, index: u32) -> bool {
        match self.blocks.get_mut(index as usize) {
            Some(copies) if *copies != FREE && *copies != RECEIVED => {
                *copies -= 1;
                if *copies != FREE {
                    return false;
                }
                self.set_free(index);
                true
            }
            _ => false,
        }
    }

    /// A block arrived. Returns how many peers were asked for it; 0: none, it is not accepted.
    pub(super) fn receive(&mut self, index: u32, party: u32) -> u8 {
        let Some(state) = self.blocks.get_mut(index as usize) else {
            return 0;
        };
        if *state == FREE || *state == RECEIVED {
            return 0;
        }
        self.received += 1;
        self.from[index as usize] = party;
        std::mem::replace(state, RECEIVED)
    }

    /// A received block is lost again. Returns whether it had been received.
    pub(super) fn unreceive(&mut self, index: u32) -> bool {
        if self.blocks.get(index as usize) != Some(&RECEIVED) {
            return false;
        }
        self.blocks[index as usize] = FREE;
        self.received -= 1;
        self.set_free(index);
        true
    }

    fn set_free(&mut self, index: u32) {
        self.free += 1;
        self.head = self.head.min(index);
        self.tail = self.tail.max(index + 1);
    }

    /// Blocks that are asked for.
    pub(super) fn requested(&self) -> u32 {
        self.blocks.len() as u32 - self.free - self.received
    }

    pub(super) fn is_complete(&self) -> bool {
        self.received as usize == self.blocks.len()
    }

    pub(super) fn is_untouched(&self) -> bool {
        self.free as usize == self.blocks.len()
    }

    pub(super) fn blocks(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Who sent each block of a complete piece.
    pub(super) fn parties(&self) -> &[u32] {
        &self.from
    }

    /// Peers asked for each block, `None` where it has been received; for tests.
    #[cfg(test)]
    pub(super) fn copies(&self) -> impl Iterator<Item = Option<u8>> {
        self.blocks.iter().map(|copies| (*copies != RECEIVED).then_some(*copies))
    }
}
