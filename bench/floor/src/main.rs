//! The floor: what the bare job of one seed and one leecher costs on this machine.
//!
//! No protocol, no selection, no resume state: bytes go from a file through one
//! loopback TCP stream into another file, and every piece is hashed. The harness
//! (`bench/run`) measures BitTorrent clients against it.
//!
//! ```text
//! peerage-bench-floor transfer --input FILE --output FILE [--hash sha1|sha256|none]
//!                              [--sender sendfile|copy] [--receiver two|rotate]
//! peerage-bench-floor hash --input FILE
//! ```
//!
//! One JSON object on stdout.

mod hash;
mod receive;
mod send;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

/// The piece size of all hashing.
const PIECE: usize = 1 << 20;
const MIB: f64 = 1_048_576.0;

/// CPU seconds, user and system, that this process has used.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Options of the command line, all of the form `--name value`.
struct Options(BTreeMap<String, String>);

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").with_context(|| format!("unexpected {word}"))?;
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    fn get(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("--{name} is missing"))
    }

    fn get_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }
}

/// Runs a seed process and receives from it in this one.
fn transfer(options: &Options) -> Result<serde_json::Value> {
    let input = options.get("input")?;
    let output = options.get("output")?;
    let sender = options.get_or("sender", "sendfile");
    let receiver = options.get_or("receiver", "two");
    let algorithm = hash::Algorithm::named(options.get_or("hash", "sha1"))?;
    let size = fs::metadata(input).with_context(|| input.to_owned())?.len();

    let file = File::options().create(true).truncate(true).write(true).open(output)?;
    file.set_len(size)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut seed = Command::new(std::env::current_exe()?)
        .args(["seed", "--input", input, "--sender", sender])
        .args(["--to", &listener.local_addr()?.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let (stream, _) = listener.accept()?;

    let (start, cpu) = (Instant::now(), cpu_seconds());
    let received = match receiver {
        "two" => receive::write_and_hash_apart(stream, &file, algorithm)?,
        "rotate" => receive::rotate(stream, &file, algorithm)?,
        other => bail!("unknown receiver {other}"),
    };
    let (seconds, leech_cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);

    let stdout = seed.stdout.take().context("the seed has no stdout")?;
    let line = BufReader::new(stdout).lines().next().context("the seed said nothing")??;
    ensure!(seed.wait()?.success(), "the seed failed");
    ensure!(received == size, "received {received} of {size} bytes");
    let report: serde_json::Value = serde_json::from_str(&line)?;
    let seed_cpu = report["cpu_seconds"].as_f64().context("the seed's CPU time")?;
    Ok(json!({
        "bytes": size,
        "seconds": seconds,
        "mib_per_second": size as f64 / MIB / seconds,
        "seed_cpu_seconds": seed_cpu,
        "leech_cpu_seconds": leech_cpu,
    }))
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().context("a mode: transfer or hash")?;
    let options = Options::parse(words)?;
    let answer = match mode.as_str() {
        "transfer" => transfer(&options)?,
        "seed" => send::run(options.get("input")?, options.get("to")?, options.get("sender")?)?,
        "hash" => hash::both(options.get("input")?)?,
        other => bail!("unknown mode {other}"),
    };
    println!("{answer}");
    Ok(())
}
