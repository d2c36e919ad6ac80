//! Whatever the order, the cuts and the threads: what is on disk in the end is the content, and each
//! verdict on a piece is right.

use crate::common::{self, BLOCK, Kind, Rig, Space, as_tree, make, noise, sample, tree};
use peerage_store::{Arrangement, CheckMode, Mode, Place, Report, StoreConfig, WriteJob, WriteRefused};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const KINDS: [Kind; 3] = [Kind::V1, Kind::V2, Kind::Hybrid];

fn config(inline: bool, workers: usize) -> StoreConfig {
    let arrangement = if inline { Arrangement::Inline } else { Arrangement::Affinity };
    StoreConfig { workers, arrangement, queue_bytes_max: 256 * 1024, ..StoreConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_any_cuts(
        kind in prop::sample::select(&KINDS[..]),
        piece_len in prop::sample::select(&[BLOCK, 2 * BLOCK, 4 * BLOCK][..]),
        inline in any::<bool>(),
        workers in 1usize..4,
        seed in any::<u64>(),
        bad in any::<bool>(),
    ) {
        let temp = tempfile::tempdir().unwrap();
        let files = sample(piece_len as usize);
        let hashes = make(kind, "content", &files, piece_len);
        let dir = temp.path().join("content");
        let rig = Rig::download(&hashes, &dir, config(inline, workers), None);
        let layout = rig.layout().clone();
        prop_assert_eq!(rig.check(CheckMode::Resume).have.count(), 0);
        let space = Space::new(&layout, &files);
        let dice = noise(seed, 1 << 14);
        let mut dice = dice.chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).cycle();
        let mut roll = |below: u32| dice.next().unwrap() % below.max(1);

        // Runs of one or more blocks, cut into slices anywhere, in any order; some of them twice.
        let mut runs = Vec::new();
        for piece in 0..layout.pieces() {
            let len = layout.data_len(piece);
            let mut begin = 0;
            while begin < len {
                let take = ((1 + roll(3)) * BLOCK).min(len - begin);
                runs.push((piece, begin, take));
                if roll(8) == 0 {
                    runs.push((piece, begin, take));
                }
                begin += take;
            }
        }
        for index in (1..runs.len()).rev() {
            runs.swap(index, roll(index as u32 + 1) as usize);
        }
        for (piece, begin, len) in runs {
            let bytes = space.range(&layout, piece, begin, len);
            let (mut data, mut at) = (Vec::new(), 0);
            while at < len {
                let cut = (at + 1 + roll(20_000)).min(len);
                data.push(bytes.slice(at as usize..cut as usize));
                at = cut;
            }
            rig.write(piece, begin, data);
        }
        if bad {
            // One byte of one block is wrong: it is found, named, and mended.
            let piece = roll(layout.pieces());
            let block = layout.block(piece, roll(layout.blocks(piece)));
            let mut wrong = space.range(&layout, piece, block.begin, block.len).to_vec();
            let at = roll(block.len) as usize;
            wrong[at] ^= 1;
            rig.write(piece, block.begin, vec![wrong.into()]);
            let (ok, digests) = rig.verify(piece, true);
            prop_assert!(!ok);
            let digests = digests.unwrap();
            prop_assert_eq!(digests.len(), layout.blocks(piece) as usize);
            for (index, digest) in digests.iter().enumerate() {
                let begin = index as u32 * BLOCK;
                let len = layout.block(piece, index as u32).len;
                let right: [u8; 32] = Sha256::digest(space.range(&layout, piece, begin, len)).into();
                prop_assert_eq!(*digest == right, begin != block.begin, "block {}", index);
            }
            rig.write(piece, block.begin, vec![space.range(&layout, piece, block.begin, block.len)]);
        }
        for piece in 0..layout.pieces() {
            prop_assert!(rig.verify(piece, false).0, "piece {}", piece);
        }
        let mut out = Vec::new();
        for piece in 0..layout.pieces() {
            let len = layout.piece_len(piece);
            let block = peerage_store::BlockRange { piece, begin: 0, len };
            rig.torrent.read_blocks(&[block, block], 13, &mut out).unwrap();
            let right = space.range(&layout, piece, 0, len);
            prop_assert_eq!(&out[13..13 + len as usize], &right[..]);
            prop_assert_eq!(&out[26 + len as usize..], &right[..]);
        }
        prop_assert_eq!(rig.store.queued_bytes(), 0);
        rig.close();
        prop_assert_eq!(tree(&dir), as_tree(&files));
    }
}

#[test]
fn a_piece_with_a_missing_block_is_bad() {
    for kind in KINDS {
        let temp = tempfile::tempdir().unwrap();
        let files = vec![("f".to_owned(), noise(1, 10 * BLOCK as usize))];
        let hashes = make(kind, "content", &files, 4 * BLOCK);
        let rig = Rig::download(&hashes, &temp.path().join("content"), StoreConfig::default(), None);
        rig.check(CheckMode::Resume);
        let space = Space::new(rig.layout(), &files);
        for index in [0, 1, 3] {
            let block = rig.layout().block(1, index);
            rig.write(1, block.begin, vec![space.range(rig.layout(), 1, block.begin, block.len)]);
        }
        assert!(!rig.verify(1, false).0);
        assert!(!rig.verify(2, false).0, "a piece of which nothing was written");
        assert!(rig.fetch(&space, 1));
        // Not served before it is verified.
        let block = |piece| peerage_store::BlockRange { piece, begin: 0, len: BLOCK };
        let mut out = Vec::new();
        assert!(rig.torrent.read_blocks(&[block(1)], 0, &mut out).is_ok());
        assert!(rig.torrent.read_blocks(&[block(1), block(2)], 0, &mut out).is_err());
        rig.close();
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let files = vec![("f".to_owned(), noise(1, 3 * BLOCK as usize + 1))];
    let hashes = make(Kind::V1, "content", &files, 2 * BLOCK);
    let dir = temp.path().join("content");
    let rig = Rig::download(&hashes, &dir, StoreConfig::default(), None);
    rig.check(CheckMode::Resume);
    let refused = |piece, begin, len| {
        let job = WriteJob { piece, begin, data: vec![vec![0; len].into()] };
        matches!(rig.torrent.try_write(job), Err(WriteRefused::Closed(_)))
    };
    assert!(refused(2, 0, 1) && refused(u32::MAX, 0, 1), "no such piece");
    assert!(refused(0, 2 * BLOCK, 1) && refused(0, u32::MAX, 1), "beyond the piece");
    assert!(refused(1, 0, BLOCK as usize + 2) && refused(0, 0, 0));
    let mut out = Vec::new();
    for (piece, begin, len) in [(2, 0, 1), (0, u32::MAX, 2), (1, BLOCK, 2), (0, 0, 1)] {
        let block = peerage_store::BlockRange { piece, begin, len };
        assert!(rig.torrent.read_blocks(&[block], 13, &mut out).is_err());
        assert!(rig.torrent.try_read_blocks(&[block], 13, &mut out).is_err());
    }
    rig.torrent.close();
    assert!(refused(0, 0, 1), "closed");
    rig.close();

    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("f"), &files[0].1).unwrap();
    let before = tree(&dir);
    let rig = Rig::seed(&hashes, &dir, StoreConfig::default());
    assert!(rig.check(CheckMode::Full).have.is_full());
    let job = WriteJob { piece: 0, begin: 0, data: vec![vec![0; 10].into()] };
    assert!(matches!(rig.torrent.try_write(job), Err(WriteRefused::Closed(_))), "a seed is never written to");
    rig.close();
    assert_eq!(tree(&dir), before);
}

#[test]
fn a_full_queue_refuses_and_then_takes() {
    let temp = tempfile::tempdir().unwrap();
    let files = vec![("f".to_owned(), noise(1, 64 * BLOCK as usize))];
    let hashes = make(Kind::V1, "content", &files, 4 * BLOCK);
    let config = StoreConfig { workers: 1, queue_bytes_max: 2 * u64::from(BLOCK), ..StoreConfig::default() };
    let rig = Rig::download(&hashes, &temp.path().join("content"), config, None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    let mut refusals = 0;
    for piece in 0..rig.layout().pieces() {
        for index in 0..4 {
            let begin = index * BLOCK;
            let mut job =
                WriteJob { piece, begin, data: vec![space.range(rig.layout(), piece, begin, BLOCK)] };
            while let Err(WriteRefused::Full(back)) = rig.torrent.try_write(job.clone()) {
                assert!(rig.store.queued_bytes() <= 2 * u64::from(BLOCK));
                refusals += 1;
                rig.store.help(&mut Vec::new());
                job = back;
            }
        }
        rig.torrent.verify(piece, false);
    }
    for piece in 0..rig.layout().pieces() {
        let ok = rig.log.wait("verdict", |report| match report {
            Report::Verified { piece: of, ok, .. } if *of == piece => Some(*ok),
            _ => None,
        });
        assert!(ok);
    }
    assert!(refusals > 0);
    rig.close();
}

#[test]
fn reports_of_writes_cover_every_byte_once() {
    let temp = tempfile::tempdir().unwrap();
    let files = vec![("f".to_owned(), noise(1, 20 * BLOCK as usize + 3))];
    let hashes = make(Kind::V1, "content", &files, 4 * BLOCK);
    let rig = Rig::download(&hashes, &temp.path().join("content"), StoreConfig::default(), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    rig.fetch_all(&space);
    let layout = rig.layout().clone();
    let log = rig.close();
    let (mut written, mut done) = (0, 0);
    for report in log.take() {
        match report {
            Report::Written { len, .. } => written += u64::from(len),
            Report::FileDone { file: 0, .. } => done += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((written, done), (layout.total_len(), 1));
}

#[test]
fn open_files_stay_within_the_limit() {
    let temp = tempfile::tempdir().unwrap();
    let files: common::Files = (0..300).map(|index| (format!("{index:03}"), noise(index, 3000))).collect();
    let hashes = make(Kind::V1, "content", &files, 2 * BLOCK);
    let dir = temp.path().join("content");
    let config = StoreConfig { files_open_max: Some(8), ..StoreConfig::default() };
    let rig = Rig::download(&hashes, &dir, config.clone(), None);
    rig.check(CheckMode::Resume);
    let space = Space::new(rig.layout(), &files);
    let open = || {
        let below = |path: &std::path::Path| std::fs::read_link(path).is_ok_and(|to| to.starts_with(&dir));
        std::fs::read_dir("/proc/self/fd").unwrap().filter(|fd| below(&fd.as_ref().unwrap().path())).count()
    };
    for piece in 0..rig.layout().pieces() {
        assert!(rig.fetch(&space, piece));
        assert!(open() <= 12, "{} files are open", open());
    }
    rig.close();
    assert_eq!(tree(&dir), as_tree(&files));
    let rig = Rig::seed(&hashes, &dir, config);
    assert!(rig.check(CheckMode::Full).have.is_full());
    assert!(open() <= 12);
    rig.close();
    assert_eq!(open(), 0, "files stay open after closing");
}

#[test]
fn two_torrents_of_one_store_do_not_mix() {
    let temp = tempfile::tempdir().unwrap();
    let (store, log) = common::open(StoreConfig::default());
    let names = ["one", "two"];
    let parts: Vec<_> = (0..2u64)
        .map(|index| {
            let files = vec![("f".to_owned(), noise(index + 50, 9 * BLOCK as usize))];
            let hashes = make(Kind::V1, names[index as usize], &files, 2 * BLOCK);
            let dir = temp.path().join(names[index as usize]);
            let mut torrent = common::add(&hashes, Place::Under(dir), Mode::Download);
            torrent.id = peerage_base::TorrentId(index as u32);
            let torrent = store.add(torrent).unwrap();
            let rig = Rig { store: store.clone(), torrent, hashes, log: log.clone() };
            rig.check(CheckMode::Resume);
            (rig, files)
        })
        .collect();
    for piece in 0..5 {
        for (rig, files) in &parts {
            assert!(rig.fetch(&Space::new(rig.layout(), files), piece));
        }
    }
    store.close();
    for (name, (_, files)) in names.iter().zip(&parts) {
        assert_eq!(tree(&temp.path().join(name)), as_tree(files));
    }
}
