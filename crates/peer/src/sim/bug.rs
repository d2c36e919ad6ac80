//! Bugs to plant: what a test must find that claims to find bugs.

/// A bug of all simulated disks. The machines are those of production, and have none of it; a test over them that
/// passes all the same does not see what it should. There is one for each thing that such a test checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Pieces are said to be right without a look at them: who is lied to keeps wrong data for right.
    UncheckedPieces,
    /// A bit of a block turns over now and then: honest nodes are blamed for it.
    RottenDisk,
    /// A piece's check is forgotten now and then: its download never ends.
    LostJobs,
}

impl Bug {
    /// All of them, with the names by which people choose them.
    pub const ALL: [(&'static str, Self); 3] = [
        ("unchecked-pieces", Self::UncheckedPieces),
        ("rotten-disk", Self::RottenDisk),
        ("lost-jobs", Self::LostJobs),
    ];
}

/// "Now and then" is once in so many jobs.
pub(super) const RARE: u64 = 100;
