//! What the user sees: the result on stdout, everything else on stderr; with `--json`, events and
//! documents on stdout and errors as JSON on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use peerage_api::counted;
use peerage_api::error::Failure;
use peerage_api::event::{Event, Line, Progress, Stage};
use serde::Serialize;

use crate::args::{Global, When};
use crate::units;

/// Off a terminal, progress is one line in this time.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// How events and results reach the user.
pub struct Output {
    json: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
    last_plain: Option<Instant>,
}

impl Output {
    /// As the global options say.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let draw = match global.progress {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        let bar = (draw && !global.quiet && !global.json).then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style("{msg}"));
            bar
        });
        Self { json: global.json, quiet: global.quiet, bar, last_plain: None }
    }

    /// Prints a query's answer: the JSON document, or what `human` makes of it.
    ///
    /// # Errors
    /// stdout is closed.
    pub fn reply<T: Serialize>(&self, reply: &T, human: impl FnOnce(&T) -> String) -> io::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(reply)? + "\n" } else { human(reply) };
        write_stdout(&text)
    }

    /// Whether results are JSON documents.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints text that is a result in itself.
    ///
    /// # Errors
    /// stdout is closed.
    pub fn text(&self, text: &str) -> io::Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(|| write_stdout(text)),
            None => write_stdout(text),
        }
    }

    /// Shows an event. A closed stdout is not an error here: a share goes on when its reader leaves.
    pub fn event(&mut self, event: Event) {
        if self.json {
            if let Ok(line) = serde_json::to_string(&Line::from(event)) {
                let _ = write_stdout(&(line + "\n"));
            }
            return;
        }
        match &event {
            Event::Hashing { done, total } => self.bar_at("hashing", *done, *total, ""),
            Event::Progress(progress) => self.progress(progress),
            Event::Ready { listen, link, code, name, total, .. } => {
                self.clear();
                let _ = write_stdout(&format!("{}\n", code.as_ref().unwrap_or(link)));
                if let Some(code) = code {
                    self.say(&format!("the other side says `peerage get {code}`, with the same relay; once"));
                    self.say(&format!("the link: {link}"));
                }
                let at = if listen.is_empty() {
                    "by relay".to_owned()
                } else {
                    format!("on {}", listen.join(", "))
                };
                self.say(&format!(
                    "serving {name} ({}) {at}; anyone with the link can get it; Ctrl-C stops",
                    units::size(*total),
                ));
            }
            Event::Published { .. } => self.published(&event),
            Event::CodeUsed => self.say("the code was used; the share goes on for whoever has the link"),
            Event::TrackerReady { .. } | Event::RelayReady { .. } | Event::DaemonReady { .. } => {
                self.ready(&event);
            }
            Event::Metadata { name, total, files } => {
                self.say(&format!("{name}: {} in {}", units::size(*total), counted(*files, "file")));
            }
            Event::Complete { .. } => self.complete(&event),
            Event::PeerBanned { addr, reason } => self.say(&format!("banned {addr}: {reason}")),
            Event::Paused { reason } => self.say(&format!("paused: {reason}")),
            Event::Resumed => self.say("going on"),
            Event::Warning { message } => self.say(&format!("warning: {message}")),
            Event::Tracker { url, error: Some(error), .. } => self.say(&format!("tracker {url}: {error}")),
            Event::PortMapped { external, method } => {
                self.say(&format!("the router leads {external} here (by {method})"));
            }
            Event::Interrupted { resume, done, total } => {
                self.clear();
                let have = if *total == 0 {
                    String::new()
                } else {
                    format!(" at {} of {}", units::size(*done), units::size(*total))
                };
                self.say(&format!("stopped{have}; go on with: {resume}"));
            }
            Event::Stats(_)
            | Event::FileDone { .. }
            | Event::PeerConnected { .. }
            | Event::PeerDisconnected { .. }
            | Event::Dht { .. }
            | Event::DhtStatus { .. }
            | Event::Tracker { .. } => {}
        }
    }

    /// All that was asked for is there.
    fn complete(&self, event: &Event) {
        let Event::Complete { path, downloaded, seconds, sources } = event else { return };
        self.clear();
        let _ = write_stdout(&format!("{}\n", path.display()));
        let rate = (*downloaded as f64 / seconds.max(0.001)) as u64;
        let sources = sources.to_string();
        let peers = if sources.is_empty() { sources } else { format!("; peers: {sources}") };
        if *downloaded == 0 {
            self.say("complete and verified: all of it was there");
        } else {
            self.say(&format!(
                "complete and verified: {} fetched in {seconds:.1} s ({}/s){peers}",
                units::size(*downloaded),
                units::size(rate)
            ));
        }
    }

    /// A name that stands for what is shared.
    fn published(&self, event: &Event) {
        let Event::Published { name, link, seq, nodes, .. } = event else { return };
        let nodes = counted(*nodes, "node");
        self.say(&format!("published under `{name}` as version {seq}, at {nodes}; who follows it: {link}"));
    }

    /// What only serves: where, and how it ends.
    fn ready(&self, event: &Event) {
        match event {
            Event::TrackerReady { http, udp } => {
                let _ = write_stdout(&format!("{http}\n{udp}\n"));
                self.say("tracker ready; Ctrl-C stops");
            }
            Event::RelayReady { urls } => {
                let _ = write_stdout(&format!("{}\n", urls.join("\n")));
                self.say("relay ready; share with --relay URL; Ctrl-C stops");
            }
            Event::DaemonReady { listen, reachable, node_id, socket, api, login, transfers, .. } => {
                let _ = write_stdout(&format!("{}\n", reachable.join("\n")));
                self.say(&format!("{} on {}", counted(*transfers, "transfer"), listen.join(", ")));
                if !node_id.is_empty() {
                    self.say(&format!("serving the DHT as {node_id}; others begin here with --bootstrap"));
                }
                self.say(&format!("API on {}", socket.display()));
                if let (Some(api), Some(login)) = (api, login) {
                    self.say(&format!("and on {api}; open it in a browser, once, with {login}"));
                }
                self.say("ready; Ctrl-C stops");
            }
            _ => {}
        }
    }

    /// Shows how far a simulation is, on stderr.
    pub fn simulating(&mut self, progress: &peerage_lab::run::Progress) {
        let share = if progress.searches > 0 && progress.phase == "searching" {
            progress.searched as f64 / progress.searches as f64
        } else {
            progress.at_s / progress.end_s.max(1e-9)
        };
        let detail = format!(
            "at {:.1} s, {} events, {} of {} searches",
            progress.at_s, progress.events, progress.searched, progress.searches
        );
        self.working(progress.phase, share, &detail);
    }

    /// Shows how much of some work is done, on stderr.
    pub fn working(&mut self, what: &str, share: f64, detail: &str) {
        let percent = (share.clamp(0.0, 1.0) * 100.0) as u64;
        if let Some(bar) = &self.bar {
            bar.set_style(style("{msg} [{bar:24}] {prefix}"));
            bar.set_length(100);
            bar.set_position(percent);
            bar.set_prefix(detail.to_owned());
            bar.set_message(what.to_owned());
        } else if self.last_plain.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) {
            let first = self.last_plain.replace(Instant::now()).is_none();
            if !first {
                self.say(&format!("{what} {percent} % {detail}"));
            }
        }
    }

    /// Ends the progress line.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// A notice on stderr.
    pub fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => {
                let _ = writeln!(anstream::stderr(), "{text}");
            }
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let stage = match progress.stage {
            Stage::Finding => "finding peers",
            Stage::Metadata => "asking what it is",
            Stage::Checking => "checking",
            Stage::Downloading => "downloading",
            Stage::Paused => "paused",
            Stage::Seeding => "serving",
        };
        let peers = match (progress.peers, progress.known) {
            (0, 0) => "no peer known yet".to_owned(),
            (0, 1) => "the 1 known peer not reached yet".to_owned(),
            (0, known) => format!("none of {known} peers reached yet ({})", progress.sources),
            (peers, _) => counted(peers, "peer"),
        };
        let mut detail = peers;
        if let Some(road) = &progress.road {
            detail += &format!(" ({road})");
        }
        let moving = progress.down_rate > 0 && progress.stage != Stage::Paused;
        if moving || progress.stage == Stage::Downloading {
            detail += &format!(", down {}/s", units::size(progress.down_rate));
        }
        if progress.up_rate > 0 || progress.stage == Stage::Seeding {
            detail += &format!(", up {}/s", units::size(progress.up_rate));
        }
        if let Some(late) = progress.announce_lag {
            detail += &format!(", the DHT has taken no announce for {}", units::duration(late));
        }
        if let Some(eta) = progress.eta {
            detail += &format!(", {} left", units::duration(eta));
        }
        self.bar_at(stage, progress.done, progress.total, &detail);
    }

    fn bar_at(&mut self, stage: &str, done: u64, total: u64, detail: &str) {
        let percent =
            if total == 0 { String::new() } else { format!(" {:.0} %", done as f64 * 100.0 / total as f64) };
        if let Some(bar) = &self.bar {
            if total > 0 && stage != "serving" {
                bar.set_style(style("{msg} [{bar:24}] {prefix}"));
                bar.set_length(total);
                bar.set_position(done);
                bar.set_prefix(format!("{}/{} {detail}", units::size(done), units::size(total)));
                bar.set_message(format!("{stage}{percent}"));
            } else {
                bar.set_style(style("{msg}"));
                bar.set_message(format!("{stage}: {detail}"));
                bar.tick();
            }
        } else if self.last_plain.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) {
            let first = self.last_plain.replace(Instant::now()).is_none();
            // The first line would say only that nothing has happened yet.
            if !first {
                self.say(&format!("{stage}{percent} {detail}"));
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn write_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Prints a failure on stderr: as JSON with `--json`, otherwise a sentence and what to do next.
pub fn failure(failure: &Failure, json: bool) {
    if json {
        let document = serde_json::json!({ "schema_version": peerage_api::SCHEMA_VERSION, "error": failure });
        eprintln!("{document}");
        return;
    }
    let mut stderr = anstream::stderr();
    let _ = writeln!(stderr, "\x1b[1;31m{}\x1b[0m: {}", failure.code, failure.message);
    if let Some(hint) = &failure.hint {
        let _ = writeln!(stderr, "  {hint}");
    }
}
