//! The receiving side: a TCP stream into a file, every piece hashed.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::PIECE;
use crate::hash::{Algorithm, PieceHasher};

/// Size and number of buffers between the two threads.
const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 16;
/// Threads that take turns in [`rotate`].
const TURNS: usize = 3;

/// Reads until the buffer is full or the stream ends.
fn fill(mut stream: &TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match stream.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Receives and writes in one thread, hashes in another: the floor.
pub fn write_and_hash_apart(stream: TcpStream, file: &File, algorithm: Algorithm) -> Result<u64> {
    let (free_in, free) = sync_channel::<Vec<u8>>(BUFFERS);
    let (full_in, full) = sync_channel::<(Vec<u8>, usize)>(BUFFERS);
    for _ in 0..BUFFERS {
        free_in.send(vec![0; BUFFER])?;
    }
    thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let mut hasher = PieceHasher::new(algorithm);
            for (buffer, count) in full {
                hasher.update(&buffer[..count]);
                // The receiver is gone only after its last buffer.
                let _ = free_in.send(buffer);
            }
            hasher.finish()
        });
        let mut at = 0;
        loop {
            let mut buffer = free.recv().context("the hashing thread ended")?;
            let count = fill(&stream, &mut buffer)?;
            if count == 0 {
                break;
            }
            file.write_all_at(&buffer[..count], at)?;
            at += count as u64;
            full_in.send((buffer, count)).context("the hashing thread ended")?;
        }
        drop(full_in);
        hashing.join().map_err(|_| anyhow!("the hashing thread panicked"))?;
        Ok(at)
    })
}

/// Threads take turns: who has the stream receives one piece, hands the stream
/// on, then writes and hashes its piece. No buffer changes hands, and no core is
/// idle: the best arrangement known, for comparison.
pub fn rotate(stream: TcpStream, file: &File, algorithm: Algorithm) -> Result<u64> {
    let turn = Mutex::new((stream, 0_u64));
    let work = || -> Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let (count, start) = {
                let mut turn = turn.lock().map_err(|_| anyhow!("a thread panicked"))?;
                let count = fill(&turn.0, &mut buffer)?;
                let start = turn.1;
                turn.1 += count as u64;
                (count, start)
            };
            if count == 0 {
                return Ok(());
            }
            let mut hasher = PieceHasher::new(algorithm);
            let mut at = start;
            for part in buffer[..count].chunks(BUFFER) {
                file.write_all_at(part, at)?;
                hasher.update(part);
                at += part.len() as u64;
            }
            hasher.finish();
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..TURNS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    Ok(turn.into_inner().map_err(|_| anyhow!("a thread panicked"))?.1)
}
