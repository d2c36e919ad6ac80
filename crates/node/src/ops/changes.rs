//! Files of a download that were done, and were then changed by another program.

use std::collections::{BTreeMap, BTreeSet};

use peerage_content::{File, Info};
use peerage_store::PieceSet;
use peerage_swarm::Priority;

/// Which files are fetched. A file that has its name is the user's own, and only read: when it changes,
/// neither it nor what shares a piece with it is fetched before the store has judged it again.
#[derive(Default)]
pub(crate) struct Changes {
    wanted: Vec<bool>,
    done: BTreeSet<usize>,
    /// Those that changed, with their good pieces once they were judged.
    lost: BTreeMap<usize, Option<BTreeSet<u32>>>,
}

impl Changes {
    /// After the check of what is there has found the pieces `have`.
    pub fn new(info: &Info, wanted: &[bool], have: &PieceSet) -> Self {
        let whole =
            |file: &File| file.attr.is_stored() && file.pieces.clone().all(|piece| have.contains(piece));
        let files = info.layout.files().iter().zip(wanted).enumerate();
        let done = files.filter(|(_, (file, wanted))| **wanted && whole(file)).map(|(index, _)| index);
        Self { wanted: wanted.to_vec(), done: done.collect(), lost: BTreeMap::new() }
    }

    /// Another choice of files.
    pub fn choose(&mut self, wanted: &[bool]) {
        self.wanted = wanted.to_vec();
    }

    /// A file has its name.
    pub fn done(&mut self, file: usize) {
        self.done.insert(file);
    }

    /// A file changed; whether it was done, and so is left alone.
    pub fn lose(&mut self, file: usize) -> bool {
        let done = self.done.contains(&file);
        if done {
            self.lost.insert(file, None);
        }
        done
    }

    /// A file was judged again, and has these good pieces; whether it is one of those left alone.
    pub fn judge(&mut self, file: usize, good: &[u32]) -> bool {
        self.lost.get_mut(&file).map(|judged| *judged = Some(good.iter().copied().collect())).is_some()
    }

    /// Whether a file is still to be judged.
    pub fn is_waiting(&self) -> bool {
        self.lost.values().any(Option::is_none)
    }

    /// A file that was changed for good, and one that cannot be finished without it.
    pub fn in_the_way(&self, info: &Info) -> Option<(usize, usize)> {
        let files = info.layout.files();
        self.lost.iter().find_map(|(lost, good)| {
            let good = good.as_ref()?;
            let pieces = files.get(*lost)?.pieces.clone();
            let needs = |file: &File| {
                let shared = file.pieces.start.max(pieces.start)..file.pieces.end.min(pieces.end);
                shared.into_iter().any(|piece| !good.contains(&piece))
            };
            let open = |index: &usize| self.wanted.get(*index) == Some(&true) && !self.done.contains(index);
            let other = (0..files.len()).filter(open).find(|index| needs(&files[*index]))?;
            Some((*lost, other))
        })
    }

    /// What to fetch, by file.
    pub fn priorities(&self, info: &Info) -> Vec<Priority> {
        let files = info.layout.files();
        let left_alone = |index: usize, file: &File| {
            self.lost.contains_key(&index)
                || self.lost.iter().filter(|(_, good)| good.is_none()).any(|(lost, _)| {
                    let other = &files[*lost].pieces;
                    file.pieces.start < other.end && other.start < file.pieces.end
                })
        };
        let of_file = |(index, (file, wanted)): (usize, (&File, &bool))| {
            if *wanted && !left_alone(index, file) { Priority::Normal } else { Priority::Skip }
        };
        files.iter().zip(&self.wanted).enumerate().map(of_file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three files of 20,000 bytes in pieces of 16 KiB: `a` in 0 and 1, `b` in 1 and 2, `c` in 2 and 3.
    fn info() -> Info {
        let mut raw = b"d5:filesl".to_vec();
        for name in ["a", "b", "c"] {
            raw.extend(format!("d6:lengthi20000e4:pathl1:{name}ee").bytes());
        }
        raw.extend(b"e4:name1:n12:piece lengthi16384e6:pieces80:");
        raw.extend([1; 80]);
        raw.push(b'e');
        Info::parse(&raw).unwrap()
    }

    #[test]
    fn what_changed_is_left_alone_until_it_is_judged() {
        use Priority::{Normal, Skip};
        let info = info();
        let mut changes = Changes::new(&info, &[true; 3], &PieceSet::new(4));
        assert!(!changes.lose(0), "it is fetched again where it was not done");
        changes.done(0);
        assert!(changes.lose(0) && changes.is_waiting());
        assert_eq!(changes.priorities(&info), [Skip, Skip, Normal]);
        assert_eq!(changes.in_the_way(&info), None);

        assert!(changes.judge(0, &[1]) && !changes.is_waiting());
        assert_eq!(changes.priorities(&info), [Skip, Normal, Normal]);
        assert_eq!(changes.in_the_way(&info), None, "the piece that both are in is good");

        assert!(changes.lose(0) && changes.judge(0, &[0]));
        assert_eq!(changes.in_the_way(&info), Some((0, 1)));
        changes.done(1);
        assert_eq!(changes.in_the_way(&info), None);
    }

    #[test]
    fn files_that_were_there_whole_are_done() {
        let info = info();
        let mut have = PieceSet::new(4);
        have.insert(0);
        have.insert(1);
        let mut changes = Changes::new(&info, &[true, true, false], &have);
        assert!(changes.lose(0) && !changes.lose(1) && !changes.lose(2));
    }
}
