//! Getting what a link names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::event::Stage;
use peerage_api::request::{Get, NodeConfig, ViaPolicy};
use peerage_api::{Event, counted};
use peerage_base::{Contact, Instant};
use peerage_content::{Hashes, Info, Magnet};
use peerage_peer::TorrentParams;
use peerage_store::{AddTorrent, CheckMode, CheckOutcome, Mode, Place, Report};
use peerage_swarm::{Event as SwarmEvent, PauseReason, Priority};

use super::changes::Changes;
use super::selection::Selection;
use super::session::{Opened, Session, add_failure, early_stage, resolve};
use super::source::{self, Source};
use super::stdout::Writer;
use super::{Outcome, code, io_failure, names, ways};
use crate::driver::{News, Torrent, Who};
use crate::{Boxed, Sink, Stop};

/// How often a download that waits for room on the disk looks again.
const ROOM_INTERVAL: Duration = Duration::from_secs(2);
/// Free bytes with which it goes on.
const ROOM_MIN: u64 = 4 * 1024 * 1024;

/// Gets `request.link`, verified, and goes on serving it when asked to.
///
/// # Errors
/// The link is wrong, nobody has it, time ran out, something else stands where it should go, the disk
/// fails.
pub fn get(
    mut request: Get,
    config: NodeConfig,
    stop: Stop,
    sink: Sink,
) -> Boxed<'static, Result<Outcome, Failure>> {
    Box::pin(async move {
        if let Some(link) = code::resolve(&request.link, &config, &stop, request.timeout).await? {
            // A code is for one use: what goes on later needs the link.
            request.resume_command = request.resume_command.replacen(&request.link, &format!("'{link}'"), 1);
            request.link = link;
        }
        // Those go on with the newest: the command stays as it is.
        if let Some(link) = names::resolve(&request.link, &config, &stop).await? {
            request.link = link;
        }
        let who = if request.known { Who::Known } else { Who::Anyone };
        let mut session = Session::start(&config, who, sink, stop)?;
        let result = Download::run(&mut session, &request).await;
        if matches!(result, Ok(Outcome::Interrupted)) {
            let (done, total) = (session.done(), session.wanted);
            session.tell(Event::Interrupted { resume: request.resume_command.clone(), done, total });
        }
        session.finish().await;
        result
    })
}

/// A download under way.
struct Download<'a> {
    request: &'a Get,
    selection: Selection,
    started: Instant,
    /// When it must have ended.
    until: Option<Instant>,
    /// When something last moved, and what had been done then.
    moved: (Instant, u64),
    /// Waiting for room since then.
    room_check: Option<Instant>,
    writer: Option<Writer>,
    changes: Changes,
    complete: bool,
    /// Nodes of the DHT, by all look-ups together.
    nodes_asked: usize,
}

impl<'a> Download<'a> {
    async fn run(session: &mut Session, request: &'a Get) -> Result<Outcome, Failure> {
        let stop = session.stop.clone();
        let started = session.driver.now();
        let limit = request.timeout.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let until = limit.map(|limit| started + limit);
        let source = tokio::select! {
            source = source::open(&request.link, session.via, session.driver.http()) => source?,
            () = stop.requested() => return Ok(Outcome::Interrupted),
            () = pass(limit) => return Err(time_is_up(session, request)),
        };
        let contacts: &[Contact] = match &source {
            Source::Magnet(magnet) => &magnet.contacts,
            Source::Torrent(_) => &[],
        };
        ways::check_link(session.via, contacts)?;
        let indexes = match &source {
            Source::Magnet(magnet) => magnet.select.clone(),
            Source::Torrent(_) => Vec::new(),
        };
        let mut download = Self {
            request,
            selection: Selection::new(&request.select, &indexes)?,
            started,
            until,
            moved: (started, 0),
            room_check: None,
            writer: None,
            changes: Changes::default(),
            complete: false,
            nodes_asked: 0,
        };
        if download.begin(session, source).await? {
            download.drive(session).await
        } else {
            Ok(Outcome::Interrupted)
        }
    }

    /// Adds the torrent to the node. `false` when the user stopped it.
    async fn begin(&mut self, session: &mut Session, source: Source) -> Result<bool, Failure> {
        let (hashes, private) = match &source {
            Source::Torrent(metainfo) => (metainfo.info.hashes, metainfo.info.private),
            Source::Magnet(magnet) => (magnet.hashes, false),
        };
        let mut params = TorrentParams::new(hashes);
        params.private = private;
        params.config.upload_slots = session.upload_slots;
        session.add_torrent(params)?;
        let (contacts, addrs, mut trackers, web_seeds) = match source {
            Source::Torrent(metainfo) => {
                let hashes = metainfo.hashes();
                if !self.open(session, hashes).await? {
                    return Ok(false);
                }
                (Vec::new(), Vec::new(), metainfo.trackers.clone(), metainfo.web_seeds.clone())
            }
            Source::Magnet(magnet) => {
                if let Some(info) = self.remembered(session, &magnet)
                    && !self.open(session, Hashes::new(Arc::new(info))).await?
                {
                    return Ok(false);
                }
                let tiers = magnet.trackers.iter().map(|url| vec![url.clone()]).collect();
                (magnet.contacts, magnet.peers, tiers, magnet.web_seeds)
            }
        };
        if self.is_done(session) && !self.request.seed {
            // Nothing is wanted of anybody, and so nobody is told.
            return Ok(true);
        }
        session.driver.accept_peers();
        trackers.extend(self.request.trackers.iter().map(|url| vec![url.clone()]));
        let peers: Vec<String> = addrs.into_iter().chain(self.request.peers.iter().cloned()).collect();
        let left = self.until.map(|until| until.since(session.driver.now()));
        let named = tokio::select! {
            named = resolve(&peers, session.via, &session.sink) => named,
            () = session.stop.requested() => return Ok(false),
            () = pass(left) => return Err(time_is_up(session, self.request)),
        };
        let now = session.driver.now();
        for url in web_seeds {
            session.driver.peer.add_web_seed(now, session.torrent, url);
        }
        session.look_for_peers(&contacts, named, trackers);
        Ok(true)
    }

    /// What an earlier run of the same command learned of a link's torrent.
    fn remembered(&self, session: &Session, magnet: &Magnet) -> Option<Info> {
        let name = magnet.name.as_deref().map(|name| peerage_content::name::sanitise(name.as_bytes()));
        let folders =
            name.map(|name| self.request.into.join(name)).into_iter().chain([self.request.into.clone()]);
        let info =
            folders.filter_map(|folder| session.driver.store.metadata(&magnet.hashes, &folder)).next()?;
        Info::parse(&info).ok().filter(|info| info.hashes.wire().any(|hash| magnet.hashes.matches(&hash)))
    }

    /// The content is known: opens its files, checks what is there, and begins to fetch. `false` when
    /// the user stopped it.
    async fn open(&mut self, session: &mut Session, hashes: Hashes) -> Result<bool, Failure> {
        let info = Arc::clone(hashes.info());
        let wanted = self.selection.wanted(&info)?;
        let files = info.layout.files();
        session.wanted = files
            .iter()
            .zip(&wanted)
            .filter(|(file, wanted)| **wanted && !file.is_pad())
            .map(|(file, _)| file.len)
            .sum();
        session.tell(Event::Metadata {
            name: info.name.clone(),
            total: session.wanted,
            files: files.iter().zip(&wanted).filter(|(file, wanted)| **wanted && !file.is_pad()).count(),
        });
        let hashes = Arc::new(hashes);
        let add = AddTorrent {
            id: session.torrent,
            hashes: Arc::clone(&hashes),
            metadata: Bytes::copy_from_slice(info.raw()),
            place: Place::Under(self.folder(&info)),
            mode: Mode::Download,
            wanted: Some(wanted.clone()),
        };
        let store = session.driver.store.add(add.clone()).map_err(|error| add_failure(&error))?;
        let torrent = Torrent { store: store.clone(), info: Arc::clone(&info), hashes: Arc::clone(&hashes) };
        let Some(Opened { outcome, files: named }) =
            session.open(add, torrent, CheckMode::Resume, self.until).await?
        else {
            if !session.stop.is_requested() {
                return Err(time_is_up(session, self.request));
            }
            return Ok(false);
        };
        refuse_conflicts(&outcome)?;
        heed_errors(session, &wanted, &outcome.errors)?;
        if self.request.stdout {
            self.writer = Some(start_writer(&info, &wanted, store, session.driver.waker())?);
            outcome.have.iter().for_each(|piece| self.tell_writer(piece));
        }
        self.changes = Changes::new(&info, &wanted, &outcome.have);
        session.set_content(&hashes, &outcome.have, self.changes.priorities(&info));
        if self.request.sequential {
            let first = files
                .iter()
                .zip(&wanted)
                .find(|(_, wanted)| **wanted)
                .map_or(0, |(file, _)| file.pieces.start);
            let now = session.driver.now();
            if let Some(swarm) = session.driver.peer.swarm_mut(session.torrent) {
                swarm.set_sequential(now, Some(first));
            }
        }
        self.moved = (session.driver.now(), session.done());
        for report in named {
            self.on_file(session, report)?;
        }
        Ok(true)
    }

    fn folder(&self, info: &Info) -> PathBuf {
        if info.folder { self.request.into.join(&info.name) } else { self.request.into.clone() }
    }

    /// Runs until it is complete, stopped, or out of time.
    async fn drive(&mut self, session: &mut Session) -> Result<Outcome, Failure> {
        loop {
            if session.stop.is_requested() {
                return Ok(if self.complete { Outcome::Complete } else { Outcome::Interrupted });
            }
            session.turn().await;
            while let Some(news) = session.driver.news() {
                self.on_news(session, news).await?;
            }
            if !self.complete && self.is_done(session) && !self.changes.is_waiting() {
                self.settle_files(session).await?;
                if let Some(ended) = self.write_out(session).await? {
                    return Ok(ended);
                }
                self.finish(session);
                if !self.request.seed {
                    return Ok(Outcome::Complete);
                }
            }
            if session.tick() {
                session.tell(Event::Progress(session.progress(self.stage(session))));
                session.tell(Event::Stats(session.stats()));
                self.look_for_room(session);
                self.watch_time(session)?;
            }
            if self.is_reader_gone()? {
                return Ok(Outcome::ReaderGone);
            }
        }
    }

    fn is_done(&self, session: &Session) -> bool {
        session.driver.peer.swarm(session.torrent).is_some_and(|swarm| swarm.has_content() && swarm.is_done())
    }

    async fn on_news(&mut self, session: &mut Session, news: News) -> Result<(), Failure> {
        match news {
            News::Swarm(_, SwarmEvent::Metadata { info }) => {
                let info = Info::parse(&info).map_err(|error| {
                    Failure::new(
                        ExitCode::Integrity,
                        "E_TORRENT",
                        format!("what the link names is not a good torrent: {error}"),
                    )
                })?;
                let hashes = Hashes::new(Arc::new(info));
                // A stop during the check is seen by the loop.
                self.open(session, hashes).await?;
            }
            News::Swarm(_, SwarmEvent::PieceDone { piece }) => self.tell_writer(piece),
            News::Swarm(_, SwarmEvent::PieceLayer { root, layer }) => {
                session.driver.add_layer(session.torrent, root, &layer)
            }
            News::Swarm(_, SwarmEvent::Paused { reason: PauseReason::DiskFull }) => {
                if self.room_check.is_none() {
                    let folder = self.request.into.display();
                    let reason =
                        format!("no room on the disk of {folder}; free some, and it goes on by itself");
                    session.tell(Event::Paused { reason });
                }
                self.room_check = Some(session.driver.now() + ROOM_INTERVAL);
            }
            News::Store(Report::Failed { full: false, denied, error, .. }) => {
                let failure = if denied {
                    Failure::new(ExitCode::Denied, "E_DENIED", error)
                } else {
                    Failure::new(ExitCode::Unclassified, "E_DISK", format!("the disk failed: {error}"))
                };
                return Err(
                    failure.hint(format!("mend it, then go on with: {}", self.request.resume_command))
                );
            }
            News::Store(report @ (Report::Lost { .. } | Report::Rechecked { .. })) => {
                let known = match &report {
                    Report::Lost { file, .. } => self.changes.lose(*file),
                    Report::Rechecked { file, good, .. } => self.changes.judge(*file, good),
                    _ => false,
                };
                session.report(News::Store(report));
                if known && !self.complete {
                    self.go_around_changes(session)?;
                }
            }
            News::Store(report @ (Report::FileDone { .. } | Report::FileBlocked { .. })) => {
                self.on_file(session, report)?;
            }
            News::Searched(report, asked) => {
                self.nodes_asked += asked;
                session.report(News::Searched(report, asked));
            }
            other => session.report(other),
        }
        Ok(())
    }

    /// A file took its name, or could not.
    fn on_file(&mut self, session: &mut Session, report: Report) -> Result<(), Failure> {
        match report {
            Report::FileBlocked { error, taken, .. } => {
                let (exit, code) =
                    if taken { (ExitCode::Conflict, "E_EXISTS") } else { (ExitCode::Unclassified, "E_DISK") };
                Err(Failure::new(exit, code, error)
                    .hint(format!("mend that, then go on with: {}", self.request.resume_command)))
            }
            Report::FileDone { file, .. } => {
                self.changes.done(file);
                if let Some(torrent) = session.driver.torrents.get(&session.torrent) {
                    let path = self.folder(&torrent.info).join(session.file_name(file));
                    session.tell(Event::FileDone { path });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Files that are done are never written again: what another program changed there is not fetched.
    fn go_around_changes(&self, session: &mut Session) -> Result<(), Failure> {
        let Some(torrent) = session.driver.torrents.get(&session.torrent) else { return Ok(()) };
        let info = Arc::clone(&torrent.info);
        if let Some((changed, other)) = self.changes.in_the_way(&info) {
            let (changed, other) = (session.file_name(changed), session.file_name(other));
            let message =
                format!("another program changed {changed}, and {other} needs a piece that both are in");
            return Err(Failure::new(ExitCode::Integrity, "E_CHANGED", message)
                .hint(format!("mend it, move it away, or fetch it again: {}", self.request.resume_command)));
        }
        let now = session.driver.now();
        if let Some(swarm) = session.driver.peer.swarm_mut(session.torrent) {
            swarm.set_priorities(now, &self.changes.priorities(&info));
        }
        Ok(())
    }

    fn tell_writer(&self, piece: u32) {
        if let Some(writer) = &self.writer {
            writer.piece(piece);
        }
    }

    fn stage(&self, session: &Session) -> Stage {
        let Some(swarm) = session.driver.peer.swarm(session.torrent) else { return Stage::Finding };
        match (swarm.has_content(), self.room_check.is_some(), self.complete) {
            (_, _, true) => Stage::Seeding,
            (_, true, _) => Stage::Paused,
            (false, ..) => early_stage(swarm.stats().peers),
            (true, ..) if swarm.stats().peers == 0 => Stage::Finding,
            (true, ..) => Stage::Downloading,
        }
    }

    /// Everything has arrived: waits until the last file has its own name, which the store's threads give
    /// it, and hears of those that could not take theirs.
    async fn settle_files(&mut self, session: &mut Session) -> Result<(), Failure> {
        if let Some(torrent) = session.driver.torrents.get(&session.torrent) {
            torrent.store.checkpoint();
        }
        let now = session.driver.now();
        session.driver.turn(now).await;
        while let Some(news) = session.driver.news() {
            self.on_news(session, news).await?;
        }
        Ok(())
    }

    /// Waits until the reader of our output has taken all of it, and serves meanwhile. Otherwise, how
    /// the download has ended.
    async fn write_out(&mut self, session: &mut Session) -> Result<Option<Outcome>, Failure> {
        loop {
            if self.is_reader_gone()? {
                return Ok(Some(Outcome::ReaderGone));
            }
            let Some(writer) = &mut self.writer else { return Ok(None) };
            writer.close();
            if session.stop.is_requested() {
                return Ok(Some(Outcome::Interrupted));
            }
            session.turn().await;
            while let Some(news) = session.driver.news() {
                self.on_news(session, news).await?;
            }
            if session.tick() {
                session.tell(Event::Progress(session.progress(self.stage(session))));
                session.tell(Event::Stats(session.stats()));
                self.watch_limit(session)?;
            }
        }
    }

    /// Looks whether writing to standard output has ended: all is out, the reader has gone (`true`), or
    /// it failed.
    fn is_reader_gone(&mut self) -> Result<bool, Failure> {
        let Some(result) = self.writer.as_ref().and_then(Writer::ended) else { return Ok(false) };
        self.writer = None;
        match result {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(true),
            Err(error) => Err(io_failure("standard output", &error)),
        }
    }

    fn finish(&mut self, session: &mut Session) {
        self.complete = true;
        let Some(torrent) = session.driver.torrents.get(&session.torrent) else { return };
        let info = Arc::clone(&torrent.info);
        let now = session.driver.now();
        if let Some(swarm) = session.driver.peer.swarm_mut(session.torrent) {
            // What gets lost from now on is never fetched: the files are the user's own, and only read.
            swarm.set_priorities(now, &vec![Priority::Skip; info.layout.files().len()]);
        }
        let downloaded = session.stats().downloaded;
        let seconds = session.driver.now().since(self.started).as_secs_f64();
        let path = self.request.into.join(&info.name);
        if !self.request.stdout {
            session.tell(Event::Complete { path, downloaded, seconds, sources: session.sources() });
        }
    }

    /// A download that waits for room goes on when there is some.
    fn look_for_room(&mut self, session: &mut Session) {
        let now = session.driver.now();
        if self.room_check.is_none_or(|at| now < at) {
            return;
        }
        self.room_check = Some(now + ROOM_INTERVAL);
        self.moved.0 = now;
        if free_bytes(&self.request.into) >= ROOM_MIN {
            self.room_check = None;
            session.tell(Event::Resumed);
            if let Some(swarm) = session.driver.peer.swarm_mut(session.torrent) {
                swarm.resume(now);
            }
        }
    }

    /// Ends what takes too long, with what can be said about why.
    fn watch_time(&mut self, session: &Session) -> Result<(), Failure> {
        if self.complete {
            return Ok(());
        }
        let now = session.driver.now();
        let done = session.done() + session.stats().downloaded;
        if done != self.moved.1 {
            self.moved = (now, done);
        }
        self.watch_limit(session)?;
        // Nobody else may be asked, and a relay does not change its mind.
        if session.via == ViaPolicy::Relay
            && session.stats().peers == 0
            && let Some(failure) = denied(session)
        {
            return Err(failure);
        }
        let passed = |limit| now.since(self.moved.0).as_secs_f64() >= limit;
        if self.request.stall_timeout.is_some_and(passed) {
            return Err(self.stalled(session));
        }
        Ok(())
    }

    /// Ends what has taken longer than the user allows.
    fn watch_limit(&self, session: &Session) -> Result<(), Failure> {
        if self.until.is_some_and(|until| session.driver.now() >= until) {
            return Err(time_is_up(session, self.request));
        }
        Ok(())
    }

    /// Who was asked for peers, for people.
    fn asked(&self, session: &Session) -> String {
        let nodes = counted(self.nodes_asked, "DHT node");
        match (self.nodes_asked, session.driver.has_dht()) {
            (0, true) => ", and no DHT node has answered".to_owned(),
            (0, false) => String::new(),
            _ => format!(" (asked {nodes})"),
        }
    }

    fn stalled(&self, session: &Session) -> Failure {
        if let Some(failure) = session.interface_failure() {
            return failure;
        }
        let progress = session.progress(Stage::Finding);
        if let Some(failure) = denied(session).filter(|_| progress.peers == 0) {
            return failure;
        }
        let seconds = self.request.stall_timeout.unwrap_or_default();
        let again = "; --wait keeps trying";
        match (progress.peers, progress.known) {
            (0, 0) => Failure::new(
                ExitCode::NotFound,
                "E_NO_PROVIDERS",
                format!("nobody who has it was found in {seconds:.0} s{}", self.asked(session)),
            )
            .hint(match session.driver.peer.stats().addresses_refused {
                0 => format!("check the link, or name someone with --peer ADDR:PORT or --tracker URL{again}"),
                _ => "only addresses of a local network were named; --allow-local takes those".to_owned(),
            }),
            (0, known) if session.stats().downloaded > 0 => Failure::new(
                ExitCode::Timeout,
                "E_STALLED",
                format!("nobody is left who serves: {}", unreachable(known)),
            )
            .hint(format!("what is here is kept; go on with: {}{again}", self.request.resume_command)),
            (0, known) => Failure::new(ExitCode::Unreachable, "E_UNREACHABLE", unreachable(known))
                .hint("is the sharer still running, and can this machine reach it? --wait keeps trying"),
            (peers, _) => Failure::new(
                ExitCode::Timeout,
                "E_STALLED",
                format!("nothing has come from {} for {seconds:.0} s", counted(peers, "peer")),
            )
            .hint(format!("what is here is kept; go on with: {}{again}", self.request.resume_command)),
        }
    }
}

/// A relay does not let us in.
fn denied(session: &Session) -> Option<Failure> {
    let failure = |denial| Failure::new(ExitCode::Unreachable, "E_RELAY", denial).hint(ways::RELAY_DENIES);
    session.driver.denial().map(failure)
}

fn unreachable(known: usize) -> String {
    match known {
        1 => "1 peer is known, and could not be reached".to_owned(),
        _ => format!("{known} peers are known, and none could be reached"),
    }
}

/// Waits for so long; for ever without a limit.
async fn pass(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn time_is_up(session: &Session, request: &Get) -> Failure {
    let message = format!("the time limit has passed with {} of {} bytes", session.done(), session.wanted);
    Failure::new(ExitCode::Timeout, "E_TIMEOUT", message)
        .hint(format!("go on with: {}", request.resume_command))
}

fn refuse_conflicts(outcome: &CheckOutcome) -> Result<(), Failure> {
    let Some(first) = outcome.conflicts.first() else { return Ok(()) };
    let more = match outcome.conflicts.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Err(Failure::new(
        ExitCode::Conflict,
        "E_EXISTS",
        format!("{}{more} exists and is something else", first.display()),
    )
    .hint("move it away, or choose another folder with -o DIR; nothing was changed"))
}

/// A wanted file that could not be made, moved or named ends the download; of others the user is told.
fn heed_errors(session: &Session, wanted: &[bool], errors: &[String]) -> Result<(), Failure> {
    let Some(torrent) = session.driver.torrents.get(&session.torrent) else { return Ok(()) };
    let paths: Vec<(String, bool)> = wanted
        .iter()
        .enumerate()
        .map(|(file, wanted)| (torrent.store.path(file).display().to_string(), *wanted))
        .collect();
    for error in errors {
        if is_about_wanted(&paths, error) {
            return Err(Failure::new(ExitCode::Unclassified, "E_DISK", error)
                .hint("mend that, then run the same command again"));
        }
        session.tell(Event::Warning { message: error.clone() });
    }
    Ok(())
}

/// Whether the check's error, `PATH: what went wrong`, is about a wanted one of `paths`. What only
/// changed during the check is fetched again.
fn is_about_wanted(paths: &[(String, bool)], error: &str) -> bool {
    let of_file = |path: &str| error.strip_prefix(path).is_some_and(|rest| rest.starts_with(": "));
    // A path may itself go on as another's error would.
    let longest = paths.iter().filter(|(path, _)| of_file(path)).max_by_key(|(path, _)| path.len());
    longest.is_some_and(|(_, wanted)| *wanted)
}

fn start_writer(
    info: &Info,
    wanted: &[bool],
    store: peerage_store::TorrentStore,
    wake: impl FnOnce() + Send + 'static,
) -> Result<Writer, Failure> {
    let files = info.layout.files();
    let mut chosen =
        (0..files.len()).filter(|index| wanted.get(*index) == Some(&true) && files[*index].attr.is_stored());
    let (Some(file), None) = (chosen.next(), chosen.next()) else {
        return Err(Failure::new(
            ExitCode::Usage,
            "E_USAGE",
            "--stdout writes one file, and this is several",
        )
        .hint("choose one with --select; `peerage inspect` lists the files of a torrent"));
    };
    Writer::start(info, file, store, wake).map_err(|error| io_failure("cannot start a thread", &error))
}

/// Bytes that may still be written to the disk of `folder`; none when it cannot be told.
pub(crate) fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_wanted_files_are_told_from_others() {
        let paths = [("d/a".to_owned(), true), ("d/a: b".to_owned(), false), ("d/c".to_owned(), true)];
        assert!(is_about_wanted(&paths, "d/a: permission denied"));
        assert!(!is_about_wanted(&paths, "d/a: b: permission denied"));
        assert!(!is_about_wanted(&paths, "d/c changed while it was being checked"));
        assert!(!is_about_wanted(&paths, "permission denied"));
    }
}
