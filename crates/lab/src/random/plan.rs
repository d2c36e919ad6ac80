//! What is run: drawn from a seed, or read from a file.

use peerage_base::{Duration, Rng};
use peerage_content::metainfo::Version;
use peerage_peer::sim::{Behaviour, Content, Lie, NodeSpec};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Nodes of a plan, at most.
const NODES_MAX: usize = 64;
/// Bytes of a plan's content, at most.
const CONTENT_BYTES_MAX: usize = 64 << 20;
/// Honest nodes that a seed draws, at most.
const HONEST_MAX: usize = 24;

/// A scenario of whole peers: who comes when, is how, and goes when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where the content, and all that is left to chance, comes from.
    pub seed: u64,
    /// How pieces are hashed.
    pub pieces: Pieces,
    /// Bytes of a piece.
    pub piece_bytes: u32,
    /// Bytes of each file.
    pub files: Vec<usize>,
    /// When all faults are over, in virtual milliseconds.
    pub faults_ms: u64,
    /// The nodes.
    #[serde(rename = "node")]
    pub nodes: Vec<PlannedNode>,
}

/// The torrent's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pieces {
    /// SHA-1 (BEP 3).
    V1,
    /// Merkle trees (BEP 52).
    V2,
    /// Both.
    Hybrid,
}

/// What a node is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// It has everything.
    Share,
    /// It says so, and sends falsified blocks; it is gone when the faults are over.
    Lie,
    /// It fetches, by a `.torrent` file.
    FetchTorrent,
    /// It fetches, by a magnet link.
    FetchMagnet,
    /// It goes on with a download.
    Resume,
}

/// A node of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedNode {
    /// What it is there for.
    pub does: Does,
    /// The share of the data that it begins with, where it resumes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub has: f64,
    /// When it comes.
    #[serde(default)]
    pub comes_ms: u64,
    /// When it vanishes; never where this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes_ms: Option<u64>,
    /// Its part of a way's time.
    pub latency_ms: u64,
    /// Bytes on the way for each connection and direction.
    pub window_bytes: usize,
    /// Bytes that it can send each second.
    pub up_bytes_per_s: u64,
    /// Bytes that it can get each second.
    pub down_bytes_per_s: u64,
    /// Behind a NAT: nobody reaches it whom it has not dialled.
    #[serde(default, skip_serializing_if = "is_false")]
    pub walled: bool,
    /// The share of blocks after which it hangs up.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hangs_up: f64,
    /// The share of blocks that it falsifies, where it lies; 1 is the last block of each piece.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub falsifies: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is no TOML, or has other keys.
    #[error("{0}")]
    Toml(String),
    /// A value that makes no sense.
    #[error("{0}")]
    Value(String),
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::from_number(seed ^ 0x5EED_0000_0000_0000);
        let pieces = [Pieces::V1, Pieces::Hybrid, Pieces::V2][rng.index(3)];
        let files = (0..1 + rng.index(3)).map(|_| 1 + rng.index(1_500_000)).collect();
        let piece_bytes = 16_384 << rng.below(4);
        let mut plan = Self { seed, pieces, piece_bytes, files, faults_ms: 0, nodes: Vec::new() };
        for _ in 0..1 + rng.index(3) {
            plan.nodes.push(PlannedNode::draw(Does::Share, 0, &mut rng));
        }
        for _ in 0..rng.index(4) {
            plan.nodes.push(PlannedNode::draw(Does::Lie, 0, &mut rng));
        }
        for _ in 0..2 + rng.index(7) {
            plan.draw_leecher(&mut rng);
        }
        for _ in 0..5 + rng.below(40) {
            plan.disturb(&mut rng);
            plan.faults_ms += 200 + rng.below(2800);
        }
        plan
    }

    /// One thing goes wrong, or none. One who has everything and one who fetches stay.
    fn disturb(&mut self, rng: &mut Rng) {
        let now = self.faults_ms;
        let there = |plan: &Self, fits: fn(&PlannedNode) -> bool| -> Vec<usize> {
            let all = plan.nodes.iter().enumerate();
            all.filter(|(_, node)| node.goes_ms.is_none() && fits(node)).map(|(index, _)| index).collect()
        };
        let leechers = there(self, PlannedNode::is_leecher);
        let seeds = there(self, |node| node.does == Does::Share);
        let honest = self.nodes.iter().filter(|node| node.does != Does::Lie).count();
        let gone = match rng.below(6) {
            0 | 1 if leechers.len() > 1 => rng.choose(&leechers).copied(),
            2 if seeds.len() > 1 => seeds.first().copied(),
            3 | 4 if honest < HONEST_MAX => {
                self.draw_leecher(rng);
                None
            }
            _ => None,
        };
        if let Some(node) = gone.and_then(|gone| self.nodes.get_mut(gone)) {
            // Who has only just come is there for a moment.
            node.goes_ms = Some(now.max(node.comes_ms + 1));
        }
    }

    fn draw_leecher(&mut self, rng: &mut Rng) {
        let does = [Does::Resume, Does::FetchTorrent, Does::FetchMagnet, Does::FetchMagnet][rng.index(4)];
        let node = PlannedNode::draw(does, self.faults_ms, rng);
        self.nodes.push(node);
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let plan: Self = toml::from_str(text).map_err(|error| PlanError::Toml(error.to_string()))?;
        plan.check().map_err(PlanError::Value)?;
        Ok(plan)
    }

    /// As [`Self::parse`] reads it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Whether it can be run, and whether all of it can complete.
    pub(super) fn check(&self) -> Result<(), String> {
        let total = self.files.iter().fold(0_usize, |sum, len| sum.saturating_add(*len));
        if !(1..=CONTENT_BYTES_MAX).contains(&total) || self.files.contains(&0) {
            return Err(format!(
                "`files` must have a byte or more each, and {CONTENT_BYTES_MAX} at most in all"
            ));
        }
        if !self.piece_bytes.is_power_of_two() || !(16_384..=1 << 22).contains(&self.piece_bytes) {
            return Err("`piece_bytes` must be a power of two between 16384 and 4194304".to_owned());
        }
        if !(2..=NODES_MAX).contains(&self.nodes.len()) {
            return Err(format!("{} nodes: there must be 2 to {NODES_MAX}", self.nodes.len()));
        }
        if self.faults_ms > 86_400_000 {
            return Err("`faults_ms` must be a day at most".to_owned());
        }
        for (at, node) in self.nodes.iter().enumerate() {
            node.check(self.faults_ms).map_err(|problem| format!("node {}: {problem}", at + 1))?;
        }
        let stays = |fits: fn(&PlannedNode) -> bool| {
            self.nodes.iter().any(|node| fits(node) && node.goes_ms.is_none() && !node.walled)
        };
        if !stays(|node| node.does == Does::Share) {
            return Err("one node that shares must stay and be open, else nobody can complete".to_owned());
        }
        if !self.nodes.iter().any(|node| node.is_leecher() && node.goes_ms.is_none()) {
            return Err("one node that fetches must stay, else nothing is tested".to_owned());
        }
        Ok(())
    }

    /// What comes (`true`) and goes when: milliseconds, node.
    pub(super) fn schedule(&self) -> Vec<(u64, usize, bool)> {
        let mut schedule = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            schedule.push((node.comes_ms, index, true));
            schedule.extend(node.goes_ms.map(|at_ms| (at_ms, index, false)));
        }
        schedule.sort_unstable_by_key(|(at_ms, index, comes)| (*at_ms, !*comes, *index));
        schedule
    }

    pub(super) fn content(&self) -> Content {
        let version = match self.pieces {
            Pieces::V1 => Version::V1,
            Pieces::V2 => Version::V2,
            Pieces::Hybrid => Version::Hybrid,
        };
        Content::with(self.seed, &self.files, self.piece_bytes, version)
    }
}

/// In a line.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |fits: fn(&PlannedNode) -> bool| self.nodes.iter().filter(|node| fits(node)).count();
        write!(
            f,
            "{:?}, {} bytes in {} files, pieces of {}; {} share, {} fetch, {} lie, {} vanish, {:.1} s of faults",
            self.pieces,
            self.files.iter().sum::<usize>(),
            self.files.len(),
            self.piece_bytes,
            count(|node| node.does == Does::Share),
            count(PlannedNode::is_leecher),
            count(|node| node.does == Does::Lie),
            count(|node| node.goes_ms.is_some()),
            self.faults_ms as f64 / 1000.0
        )
    }
}

impl PlannedNode {
    fn draw(does: Does, comes_ms: u64, rng: &mut Rng) -> Self {
        let lies = does == Does::Lie;
        let hangs_up = match (lies, rng.below(10)) {
            (true, 0..5) => rng.unit() / 10.0,
            (false, 0..2) => 0.01,
            _ => 0.0,
        };
        let falsifies = if rng.below(3) == 0 { 1.0 } else { rng.unit() };
        Self {
            does,
            has: if does == Does::Resume { rng.unit() } else { 0.0 },
            comes_ms,
            goes_ms: None,
            latency_ms: 1 + rng.below(80),
            window_bytes: (64 << 10) << rng.below(4),
            up_bytes_per_s: (64 << 10) << rng.below(5),
            down_bytes_per_s: (512 << 10) << rng.below(4),
            walled: rng.below(5) == 0 && does != Does::Share,
            hangs_up,
            falsifies: if lies { falsifies } else { 0.0 },
        }
    }

    /// Whether it is to complete.
    #[must_use]
    pub fn is_leecher(&self) -> bool {
        matches!(self.does, Does::FetchTorrent | Does::FetchMagnet | Does::Resume)
    }

    fn check(&self, faults_ms: u64) -> Result<(), String> {
        let shares = [("has", self.has), ("hangs_up", self.hangs_up), ("falsifies", self.falsifies)];
        if let Some((key, share)) = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(format!("`{key}` is {share}, which is not between 0 and 1"));
        }
        if self.comes_ms > faults_ms
            || self.goes_ms.is_some_and(|goes| goes <= self.comes_ms || goes > faults_ms)
        {
            return Err(format!("it must come before it goes, and both within `faults_ms`, {faults_ms}"));
        }
        let rates = [
            ("window_bytes", self.window_bytes as u64),
            ("up_bytes_per_s", self.up_bytes_per_s),
            ("down_bytes_per_s", self.down_bytes_per_s),
        ];
        if let Some((key, value)) = rates.into_iter().find(|(_, value)| !(1024..=1 << 32).contains(value)) {
            return Err(format!("`{key}` is {value}, which is not between 1024 and 4294967296"));
        }
        if self.latency_ms > 60_000 {
            return Err("`latency_ms` must be a minute at most".to_owned());
        }
        Ok(())
    }

    pub(super) fn spec(&self) -> NodeSpec {
        let lie = match self.falsifies {
            share if self.does != Does::Lie || share <= 0.0 => Lie::Never,
            share if share >= 1.0 => Lie::LastBlock,
            share => Lie::Sometimes(share),
        };
        NodeSpec {
            latency: Duration::from_millis(self.latency_ms),
            window: self.window_bytes,
            walled: self.walled,
            behaviour: Behaviour { lie, hang_up: self.hangs_up, tamper: None },
            ..NodeSpec::with_rates(self.up_bytes_per_s, self.down_bytes_per_s)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_plans_can_be_run_and_written_and_read() {
        for seed in 0..300 {
            let plan = Plan::draw(seed);
            assert_eq!(plan.check(), Ok(()), "seed {seed}");
            assert_eq!(Plan::parse(&plan.to_toml()), Ok(plan), "seed {seed}");
        }
    }

    #[test]
    fn a_bad_plan_is_told_apart() {
        let plan = Plan::draw(1);
        let problem = |change: fn(&mut Plan)| {
            let mut plan = plan.clone();
            change(&mut plan);
            Plan::parse(&plan.to_toml()).unwrap_err().to_string()
        };
        assert!(problem(|plan| plan.files = vec![usize::MAX / 4; 2]).contains("`files`"));
        assert!(problem(|plan| plan.files.clear()).contains("`files`"));
        assert!(problem(|plan| plan.piece_bytes = 5).contains("`piece_bytes`"));
        assert!(problem(|plan| plan.nodes.truncate(1)).contains("1 nodes"));
        assert!(problem(|plan| plan.nodes[1].has = 2.0).contains("node 2: `has` is 2"));
        assert!(problem(|plan| plan.nodes[0].comes_ms = u64::MAX >> 1).contains("node 1: it must come"));
        assert!(problem(|plan| plan.nodes[0].up_bytes_per_s = 0).contains("`up_bytes_per_s` is 0"));
        assert!(problem(|plan| plan.nodes.retain(|node| node.does != Does::Share)).contains("shares"));
        assert!(problem(|plan| plan.nodes.retain(|node| !node.is_leecher())).contains("must"));
        assert!(Plan::parse("seed = 1\nother = 2\n").unwrap_err().to_string().contains("other"));
    }
}
