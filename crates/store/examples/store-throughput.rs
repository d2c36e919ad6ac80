//! How fast content is written and hashed: `cargo run --release -p peerage-store --example
//! store-throughput [FOLDER] [MiB] [piece KiB] [run KiB] [workers] [queue MiB] [v2]`.
//!
//! Hands over runs of 16 KiB blocks, cut out of buffers with a 13-byte gap between them, as a
//! network thread does; buffers are used again. Prints MiB/s and CPU seconds per GiB.

use std::{path::PathBuf, sync::Arc, time::Instant};

use bytes::Bytes;
use crossbeam_channel::bounded;
use peerage_base::TorrentId;
use peerage_store::{AddTorrent, CheckMode, Mode, Place, Report, Store, StoreConfig, WriteJob, WriteRefused};

#[path = "../tests/it/common/torrent.rs"]
#[allow(dead_code)]
mod torrent;

const BLOCK: usize = 16 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |index: usize, default: usize| args.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let folder = PathBuf::from(args.first().map_or("/dev/shm", String::as_str));
    let (mib, piece_kib, run_kib) = (number(1, 2048), number(2, 1024), number(3, 1024));
    let (workers, queue_mib) = (number(4, 2), number(5, 8));
    let v2 = args.get(6).is_some_and(|text| text == "v2");
    let target = folder.join(format!("peerage-throughput-{}", std::process::id()));
    let (total, piece_len, run_len) = (mib << 20, piece_kib << 10, run_kib << 10);
    let hashes = content(total, piece_len, v2);
    let (sender, reports) = bounded(100_000);
    let config = StoreConfig { workers, queue_bytes_max: (queue_mib as u64) << 20, ..StoreConfig::default() };
    let store = Store::open(config, Arc::new(move |batch: Vec<Report>| sender.send(batch).unwrap_or(())))
        .expect("store");
    let info = Arc::clone(hashes.info());
    let torrent = store
        .add(AddTorrent {
            id: TorrentId(0),
            hashes,
            metadata: Bytes::new(),
            place: Place::Under(target.clone()),
            mode: Mode::Download,
            wanted: None,
        })
        .expect("torrent");
    torrent.check(CheckMode::Resume);
    while !reports.recv().expect("check").iter().any(|report| matches!(report, Report::Checked { .. })) {}

    let buffers: Vec<Bytes> = (0..UNIQUE).map(|index| with_gaps(&piece(index, piece_len))).collect();
    let (cpu, start, mut batches, mut verified, mut full) = (cpu_seconds(), Instant::now(), 0, 0, 0);
    let pieces = info.layout.pieces();
    let mut scratch = Vec::new();
    let mut drain = |wait: bool| {
        let mut next = if wait { reports.recv().ok() } else { reports.try_recv().ok() };
        while let Some(batch) = next {
            batches += 1;
            for report in batch {
                match report {
                    Report::Verified { ok, .. } => {
                        assert!(ok);
                        verified += 1;
                    }
                    Report::Failed { error, .. } => panic!("{error}"),
                    _ => {}
                }
            }
            next = reports.try_recv().ok();
        }
        verified
    };
    for number in 0..pieces {
        let source = &buffers[number as usize % UNIQUE];
        for begin in (0..info.layout.piece_len(number) as usize).step_by(run_len) {
            let end = (begin + run_len).min(info.layout.piece_len(number) as usize);
            let data = (begin..end).step_by(BLOCK).map(|at| {
                let gap = 13 * (at / BLOCK + 1);
                source.slice(at + gap..(at + BLOCK).min(end) + gap)
            });
            let mut job = WriteJob { piece: number, begin: begin as u32, data: data.collect() };
            loop {
                match torrent.try_write(job) {
                    Ok(()) => break,
                    Err(WriteRefused::Full(back)) => {
                        job = back;
                        full += 1;
                        if !store.help(&mut scratch) {
                            std::thread::sleep(std::time::Duration::from_micros(100));
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        torrent.verify(number, false);
        drain(false);
    }
    while drain(true) < pieces {}
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "write + {} {mib} MiB, pieces {piece_kib} KiB, runs {run_kib} KiB, {workers} workers, queue {queue_mib} MiB: \
         {:.0} MiB/s, {:.2} CPU s/GiB, {batches} report batches, full {full} times",
        if v2 { "SHA-256" } else { "SHA-1" },
        mib as f64 / wall,
        cpu / (mib as f64 / 1024.0),
    );
    read(&torrent, &info, mib);
    torrent.close();
    store.close();
    std::fs::remove_dir_all(&target).expect("clean up");
}

/// Reading it all for peers, in runs of 64 blocks.
fn read(torrent: &peerage_store::TorrentStore, info: &peerage_content::Info, mib: usize) {
    let (cpu, start, mut out) = (cpu_seconds(), Instant::now(), Vec::new());
    for piece in 0..info.layout.pieces() {
        let blocks: Vec<_> = (0..info.layout.blocks(piece))
            .map(|index| info.layout.block(piece, index))
            .map(|block| peerage_store::BlockRange { piece, begin: block.begin, len: block.len })
            .collect();
        for run in blocks.chunks(64) {
            torrent.read_blocks(run, 13, &mut out).expect("read");
        }
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("read for peers: {:.0} MiB/s, {:.2} CPU s/GiB", mib as f64 / wall, cpu / (mib as f64 / 1024.0));
}

/// Different pieces; the content repeats them, so that making it does not take long.
const UNIQUE: usize = 16;

fn piece(index: usize, len: usize) -> Vec<u8> {
    torrent::noise(index as u64 + 1, len)
}

fn content(total: usize, piece_len: usize, v2: bool) -> Arc<peerage_content::Hashes> {
    use sha1::Digest;
    if v2 {
        let bytes = (0..total.div_ceil(piece_len)).flat_map(|index| piece(index % UNIQUE, piece_len));
        let files = vec![("data".to_owned(), bytes.take(total).collect())];
        return torrent::make(torrent::Kind::V2, "throughput", &files, piece_len as u32);
    }
    let hashes: Vec<Vec<u8>> =
        (0..UNIQUE).map(|index| sha1::Sha1::digest(piece(index, piece_len)).to_vec()).collect();
    let pieces = (0..total / piece_len).flat_map(|index| hashes[index % UNIQUE].clone()).collect();
    let files = [(Vec::new(), total as u64, false)];
    let info = torrent::info_v1(b"throughput", false, &files, piece_len as u32, pieces);
    let info = peerage_content::Info::parse(&info).expect("info");
    Arc::new(peerage_content::Hashes::new(Arc::new(info)))
}

fn with_gaps(piece: &[u8]) -> Bytes {
    piece.chunks(BLOCK).flat_map(|block| [&[0; 13], block].concat()).collect::<Vec<u8>>().into()
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|index| fields.get(*index)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}
