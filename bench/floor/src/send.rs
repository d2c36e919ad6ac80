//! The sending side: a file into a TCP stream.

use std::fs::File;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::FileExt;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::cpu_seconds;

const STEP: usize = 512 << 10;

/// Sends the whole file by `sender`, and reports the CPU time it took.
pub fn run(input: &str, to: &str, sender: &str) -> Result<serde_json::Value> {
    let file = File::open(input)?;
    let size = file.metadata()?.len();
    let stream = TcpStream::connect(to)?;
    let cpu = cpu_seconds();
    match sender {
        "sendfile" => sendfile(&file, size, &stream)?,
        "copy" => copy(&file, size, &stream)?,
        other => bail!("unknown sender {other}"),
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(json!({ "cpu_seconds": cpu_seconds() - cpu }))
}

/// In the kernel, from the page cache.
fn sendfile(file: &File, size: u64, stream: &TcpStream) -> Result<()> {
    let mut at = 0;
    while at < size {
        let sent = rustix::fs::sendfile(stream, file, Some(&mut at), STEP)?;
        ensure!(sent > 0, "the file ended early");
    }
    Ok(())
}

/// Read into a buffer that stays in the cache, and send that.
fn copy(file: &File, size: u64, mut stream: &TcpStream) -> Result<()> {
    let mut buffer = vec![0; STEP];
    let mut at = 0;
    while at < size {
        let count = file.read_at(&mut buffer, at)?;
        ensure!(count > 0, "the file ended early");
        stream.write_all(&buffer[..count])?;
        at += count as u64;
    }
    Ok(())
}
