//! Published results, run again: the paper's number, ours, and whether they agree.
//!
//! **To add a result**: a file below this one with a function that gives [`Row`]s, and a line in [`EXPERIMENTS`].
//! Where ours differs, the row's note says why.

mod resilience;

use serde::Serialize;
use std::fmt::Write as _;

/// A published number and ours.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Authors, title, year.
    pub paper: &'static str,
    /// Which number of it, with its parameters.
    pub figure: String,
    /// The published number, and what it was read from where that is not the paper's text.
    pub theirs: String,
    /// Our number.
    pub ours: f64,
    /// The range in which ours agrees.
    pub range: (f64, f64),
    /// Why it differs, or what was done differently; empty where there is nothing to say.
    pub note: String,
}

impl Row {
    /// Whether ours is within the tolerance.
    #[must_use]
    pub fn holds(&self) -> bool {
        (self.range.0..=self.range.1).contains(&self.ours)
    }
}

/// An experiment: its name, and what runs it.
pub type Experiment = (&'static str, Run);

/// Runs an experiment, with so many nodes, or the paper's number where that is 0. The closure is told which share is
/// done, many times a second; after `false` the rows are those that were finished until then.
pub type Run = fn(usize, &mut dyn FnMut(f64) -> bool) -> Vec<Row>;

/// All experiments.
pub const EXPERIMENTS: &[Experiment] = &[("static-resilience", resilience::xor)];

/// The page `docs/reproduction.md`; of a `partial` run it says so.
#[must_use]
pub fn page(rows: &[Row], partial: bool) -> String {
    let mut page = "# Published results, reproduced\n\nMade by `peerage lab reproduce`: each line is a number of a \
paper and what the lab's protocols give for it.\nThe tolerance was set before the run. \"No\" stands where ours is \
outside; the note says why.\n\n| paper | figure | published | ours | tolerated | agrees | note |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    if partial {
        page = page.replacen("\n\n| paper", "\n\n**The run was stopped: lines are missing.**\n\n| paper", 1);
    }
    for row in rows {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.2} | {:.2} to {:.2} | {} | {} |",
            row.paper,
            row.figure,
            row.theirs,
            row.ours,
            row.range.0,
            row.range.1,
            if row.holds() { "yes" } else { "**no**" },
            row.note
        );
    }
    page
}
