//! Hashing: piece by piece in a transfer, and both hashes of a file on all cores.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{MIB, PIECE, cpu_seconds};

/// A v2 torrent's leaf.
const LEAF: usize = 16 << 10;
/// How much is read, and hashed twice while it is in the core's own cache.
const STEP: usize = 256 << 10;

/// What a transfer hashes with.
#[derive(Clone, Copy)]
pub enum Algorithm {
    /// Nothing.
    None,
    /// SHA-1, as v1 torrents.
    Sha1,
    /// SHA-256, as v2 torrents.
    Sha256,
}

impl Algorithm {
    /// By the name on the command line.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "none" => Self::None,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            other => bail!("unknown hash {other}"),
        })
    }
}

/// Hashes a stream of bytes in pieces, and keeps only a trace of the digests,
/// so that the work is not optimised away.
pub struct PieceHasher {
    state: State,
    in_piece: usize,
    trace: u8,
}

enum State {
    None,
    Sha1(Sha1),
    Sha256(Sha256),
}

impl PieceHasher {
    /// A hasher at the start of a piece.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::None => State::None,
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
        };
        Self { state, in_piece: 0, trace: 0 }
    }

    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE - self.in_piece));
            match &mut self.state {
                State::None => {}
                State::Sha1(hasher) => hasher.update(now),
                State::Sha256(hasher) => hasher.update(now),
            }
            self.in_piece += now.len();
            if self.in_piece == PIECE {
                self.finish();
            }
            bytes = rest;
        }
    }

    /// Ends the piece, and returns the trace of all pieces so far.
    pub fn finish(&mut self) -> u8 {
        self.in_piece = 0;
        self.trace ^= match &mut self.state {
            State::None => 0,
            State::Sha1(hasher) => hasher.finalize_reset()[0],
            State::Sha256(hasher) => hasher.finalize_reset()[0],
        };
        self.trace
    }
}

/// Reads at `at` until the buffer is full or the file ends.
fn read_full(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// SHA-1 of every piece and SHA-256 of every 16 KiB leaf, on all cores, each
/// byte read once: what creating a hybrid torrent costs at least.
pub fn both(input: &str) -> Result<serde_json::Value> {
    let file = File::open(input)?;
    let size = file.metadata()?.len();
    let threads = thread::available_parallelism()?.get();
    let next = AtomicU64::new(0);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let work = || -> Result<u8> {
        let mut buffer = vec![0; STEP];
        let mut trace = 0;
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed) * PIECE as u64;
            if piece >= size {
                return Ok(trace);
            }
            let mut sha1 = PieceHasher::new(Algorithm::Sha1);
            for at in (piece..piece + PIECE as u64).step_by(STEP) {
                let count = read_full(&file, &mut buffer, at)?;
                sha1.update(&buffer[..count]);
                for leaf in buffer[..count].chunks(LEAF) {
                    trace ^= Sha256::digest(leaf)[0];
                }
            }
            trace ^= sha1.finish();
        }
    };
    let trace = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_fold(0, |all, worker| {
            Ok::<u8, anyhow::Error>(all ^ worker.join().map_err(|_| anyhow!("a worker panicked"))??)
        })
    })?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "bytes": size,
        "seconds": seconds,
        "mib_per_second": size as f64 / MIB / seconds,
        "cpu_seconds": cpu_seconds() - cpu,
        "threads": threads,
        "trace": trace,
    }))
}
