//! How fast content is hashed for a new torrent, against the two hashes alone: `cargo run --release
//! -p peerage-store --example hashing [FOLDER] [MiB]`.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use peerage_content::Version;
use peerage_store::{HashRequest, hash_paths};
use sha1::{Digest, Sha1};
use sha2::Sha256;

#[path = "../tests/it/common/torrent.rs"]
#[allow(dead_code)]
mod torrent;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = PathBuf::from(args.first().map_or("/dev/shm", String::as_str));
    let mib: usize = args.get(1).and_then(|text| text.parse().ok()).unwrap_or(1024);
    let target = folder.join(format!("peerage-hashing-{}", std::process::id()));
    std::fs::create_dir_all(&target).expect("folder");
    let bytes = torrent::noise(1, mib << 20);
    std::fs::write(target.join("large"), &bytes).expect("file");
    let small = target.join("small");
    std::fs::create_dir_all(&small).expect("folder");
    for (index, part) in bytes[..bytes.len() / 4].chunks(50_000).enumerate() {
        std::fs::write(small.join(index.to_string()), part).expect("file");
    }
    for _ in 0..3 {
        let limit = alone(&bytes);
        for (name, part) in [("large", 1.0), ("small", 0.25)] {
            let (cpu, start) = (cpu_seconds(), Instant::now());
            let request = HashRequest {
                paths: vec![target.join(name)],
                name: None,
                piece_len: None,
                version: Version::Hybrid,
                private: false,
                threads: 0,
                progress: None,
                cancel: Arc::new(AtomicBool::new(false)),
            };
            let made = hash_paths(&request).expect("hashes");
            let rate = mib as f64 * part / start.elapsed().as_secs_f64();
            let files = made.paths.len();
            let cpu = (cpu_seconds() - cpu) / (mib as f64 * part / 1024.0);
            println!(
                "{name}: {files} files, {rate:.0} MiB/s, {cpu:.2} CPU s/GiB; {:.0} % of the hashes alone by time, {:.0} % by CPU ({:.0} MiB/s, {:.2} CPU s/GiB)",
                100.0 * rate / limit.0,
                100.0 * limit.1 / cpu,
                limit.0,
                limit.1,
            );
        }
    }
    std::fs::remove_dir_all(&target).expect("clean up");
}

/// Both hashes over memory, a part on each core; MiB/s, and CPU seconds per GiB.
fn alone(bytes: &[u8]) -> (f64, f64) {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let (cpu, start) = (cpu_seconds(), Instant::now());
    std::thread::scope(|scope| {
        for part in bytes.chunks(bytes.len() / cores) {
            scope.spawn(|| {
                for piece in part.chunks(256 * 1024) {
                    std::hint::black_box(Sha1::digest(piece));
                    for block in piece.chunks(16 * 1024) {
                        std::hint::black_box(Sha256::digest(block));
                    }
                }
            });
        }
    });
    let mib = bytes.len() as f64 / f64::from(1 << 20);
    (mib / start.elapsed().as_secs_f64(), (cpu_seconds() - cpu) / (mib / 1024.0))
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|index| fields.get(*index)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}
