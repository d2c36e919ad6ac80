//! The program that is run when a download is complete: `daemon.on_complete`.
//!
//! No shell reads anything: the program is started by its path, without arguments, and is told what it is about in
//! its environment, where no letter of a hostile name means anything. One runs at a time, in the order of
//! completion; one that takes longer than [`LIMIT`] is ended.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::Done;
use super::record::Record;
use crate::inbox::Inbox;

/// How long it may run.
const LIMIT: Duration = Duration::from_mins(10);
/// Completions that wait for their turn.
const WAITING_MAX: usize = 1000;
const STEP: Duration = Duration::from_millis(100);

/// What a run is about.
pub(super) struct Completion {
    id: String,
    name: String,
    path: String,
    bytes: u64,
}

/// The way to the thread that runs it.
pub(super) struct OnComplete(SyncSender<Completion>);

impl OnComplete {
    /// A thread that waits for completions. It ends with the daemon, but not before a program that it has started.
    pub fn start(program: PathBuf, inbox: Inbox<Done>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("on-complete".to_owned())
            .spawn(move || work(&program, &receiver, &inbox))?;
        Ok(Self(sender))
    }

    /// A download is complete.
    ///
    /// # Errors
    /// Too many wait.
    pub fn run(&self, record: &Record, path: &str) -> Result<(), &'static str> {
        let completion = Completion {
            id: record.id.clone(),
            name: record.name.clone(),
            path: path.to_owned(),
            bytes: record.wanted,
        };
        self.0.try_send(completion).map_err(|error| match error {
            TrySendError::Full(_) => "too many completions wait for daemon.on_complete",
            TrySendError::Disconnected(_) => "the thread of daemon.on_complete has ended",
        })
    }
}

fn work(program: &Path, completions: &Receiver<Completion>, inbox: &Inbox<Done>) {
    for completion in completions {
        if let Err(why) = run(program, &completion, LIMIT) {
            inbox.put(Done::ProgramFailed(completion.id, format!("{}: {why}", program.display())));
        }
    }
}

fn run(program: &Path, about: &Completion, limit: Duration) -> Result<(), String> {
    let clean = |text: &str| text.replace('\0', "");
    let mut child = Command::new(program)
        .env("PEERAGE_TRANSFER", &about.id)
        .env("PEERAGE_NAME", clean(&about.name))
        .env("PEERAGE_PATH", clean(&about.path))
        .env("PEERAGE_BYTES", about.bytes.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("does not start: {error}"))?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if begun.elapsed() >= limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("took longer than {} s, and was ended", limit.as_secs()));
            }
            Ok(None) => std::thread::sleep(STEP),
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn about(name: &str) -> Completion {
        Completion { id: "1".to_owned(), name: name.to_owned(), path: "/x".to_owned(), bytes: 5 }
    }

    fn program(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("program");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn hostile_names_are_only_text() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let text = format!("#!/bin/sh\nprintf %s \"$PEERAGE_NAME\" > {}\n", out.display());
        let name = "$(touch /tmp/owned)`id`; rm -rf \"x\"\n'\0";
        run(&program(dir.path(), &text), &about(name), LIMIT).unwrap();
        assert_eq!(std::fs::read_to_string(out).unwrap(), name.trim_end_matches('\0'));
    }

    #[test]
    fn failures_and_endless_programs_are_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(run(&dir.path().join("none"), &about("a"), LIMIT).unwrap_err().contains("does not start"));
        let failing = program(dir.path(), "#!/bin/sh\nexit 3\n");
        assert!(run(&failing, &about("a"), LIMIT).unwrap_err().contains("status: 3"));
        let endless = program(dir.path(), "#!/bin/sh\nexec sleep 1000\n");
        let begun = Instant::now();
        let why = run(&endless, &about("a"), Duration::from_millis(300)).unwrap_err();
        assert!(why.contains("was ended") && begun.elapsed() < Duration::from_secs(30), "{why}");
    }
}
