//! A node that stays: many transfers under one driver, steered through the control API.
//!
//! **What it is.** [`Daemon`] owns the driver and all transfers, on one thread. The control server runs on a thread
//! of its own: it reads the [`Board`], and for all else sends calls, which the daemon carries out between two turns
//! of the driver.
//!
//! **Invariants.**
//! - A change is acknowledged once the [`Catalog`] has it durably: `kill -9` loses nothing that was acknowledged.
//! - A transfer is open in the machine and in the store, or in neither. It is opened and closed by threads that may
//!   wait for the disk; the daemon's own thread does not.
//! - Files of the user's own (shares, and downloads that are complete) are only read.
//!
//! **Where to start.** [`Daemon::run`]; `commands` for what the API asks, `running` for the life of a transfer.

pub(crate) mod board;
pub(crate) mod catalog;
mod commands;
mod files;
mod jobs;
mod news;
mod on_complete;
mod queries;
pub(crate) mod record;
mod rules;
mod running;
mod schedule;
mod status;
mod streams;
mod supervisor;
mod transfer;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage_api::Event;
use peerage_api::control::Change;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::request::{self, NodeConfig};
use peerage_base::{Contact, Instant, TorrentId};
use tokio::sync::{mpsc, oneshot};

use crate::driver::{Driver, Who};
use crate::inbox::Inbox;
use crate::ops::{Named, printable, ways};
use crate::{Boxed, Sink, Stop, control, link, lock};
use board::Board;
use catalog::{Catalog, Table};
pub(crate) use commands::Addition;
use jobs::Jobs;
use running::Opened;
pub(crate) use streams::{Piece, Stream};
use transfer::Transfer;

/// Calls of the API that wait.
const CALLS_MAX: usize = 256;
/// Calls carried out between two turns of the driver.
const CALLS_PER_TURN: usize = 64;
/// How often progress is told.
const TICK: Duration = Duration::from_secs(1);
/// How often totals are written that no command changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// How long the goodbye to trackers and peers may take.
const GOODBYE_LIMIT: Duration = Duration::from_secs(3);

/// Something that the API wants done.
type Call = Box<dyn FnOnce(&mut Daemon) + Send>;

/// The way to the daemon, for the control server. Clones share it.
#[derive(Clone)]
pub(crate) struct Handle {
    calls: mpsc::Sender<Call>,
    pub board: Arc<Board>,
}

impl Handle {
    /// Has `call` done on the daemon's thread.
    ///
    /// # Errors
    /// The daemon is ending.
    pub async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Daemon) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        let call: Call = Box::new(move |daemon| drop(sender.send(call(daemon))));
        self.calls.send(call).await.map_err(|_| ending())?;
        receiver.await.map_err(|_| ending())?
    }

    /// The same for what changes something: answers when the change is durable.
    ///
    /// # Errors
    /// What `call` says; the daemon is ending; the change could not be written.
    pub async fn change<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Daemon) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        let call: Call = Box::new(move |daemon| {
            let result = call(daemon);
            daemon.save_changed();
            daemon.catalog.settle(move |settled| drop(sender.send(settled.and(result))));
        });
        self.calls.send(call).await.map_err(|_| ending())?;
        receiver.await.map_err(|_| ending())?
    }
}

fn ending() -> Failure {
    Failure::new(ExitCode::NoDaemon, "E_ENDING", "the daemon is ending")
}

/// Work that other threads have done for the daemon.
enum Done {
    /// The files of a transfer are open, for this torrent of the machine.
    Opened(String, TorrentId, Result<Box<Opened>, Failure>),
    /// The files of a transfer are closed, and what was to follow is done.
    Closed(String, Result<(), Failure>),
    /// Another choice of files is in force in the store.
    Chosen(String, TorrentId),
    /// Addresses of named peers.
    Resolved(TorrentId, Named),
    /// The watch folder was looked at.
    Watched(Box<watch::Look>),
    /// Something about the watch folder went wrong.
    WatchFailed(String),
    /// The program for what is complete failed, for this transfer.
    ProgramFailed(String, String),
    /// A job went on or ended.
    Job(String, jobs::Step),
}

/// The daemon.
pub(crate) struct Daemon {
    pub driver: Driver,
    config: NodeConfig,
    request: request::Daemon,
    transfers: BTreeMap<String, Transfer>,
    by_torrent: BTreeMap<TorrentId, String>,
    catalog: Catalog,
    board: Arc<Board>,
    inbox: Inbox<Done>,
    jobs: Jobs,
    /// Transfers that must be shown anew, and those that must be written.
    dirty: BTreeSet<String>,
    unsaved: BTreeSet<String>,
    /// Transfers whose files are being opened.
    opening: BTreeSet<TorrentId>,
    rules: rules::Rules,
    status: status::Kept,
    streams: streams::Streams,
    watch: Option<watch::Watch>,
    on_complete: Option<on_complete::OnComplete>,
    /// How others reach us by relays.
    contact: Option<Contact>,
    next_tick: Instant,
    next_save: Instant,
    /// Transfers may have to start or stop.
    unsettled: bool,
}

/// Runs a node until `stop`.
///
/// # Errors
/// Another one runs in the same folders, a port or file cannot be opened.
pub fn daemon(
    request: request::Daemon,
    config: NodeConfig,
    stop: Stop,
    sink: Sink,
) -> Boxed<'static, Result<(), Failure>> {
    Box::pin(async move {
        ways::check(&config)?;
        let _lock = lock_state(&config.state_dir)?;
        let listeners = control::listen(&request)?;
        let (catalog, loaded) = Catalog::open(&config.state_dir)?;
        let access = control::Access::new(&config.state_dir, &catalog, &loaded)?;
        let driver = Driver::start(&config, Who::Known)?;
        ways::tell(&config, &sink);
        if let Some(error) = driver.udp_failure() {
            sink(Event::Warning { message: format!("{error}: no uTP and no DHT there") });
        }
        let board = Arc::new(Board::new(run_name()?));
        let (calls, receiver) = mpsc::channel(CALLS_MAX);
        let handle = Handle { calls, board: Arc::clone(&board) };
        let mut daemon = Daemon::new(driver, config, request, catalog, board);
        daemon.load(loaded);
        daemon.take_habits()?;
        daemon.go_online().await;
        daemon.watch_status().await;
        daemon.driver.accept_peers();
        daemon.publish();
        let ready = daemon.ready(&listeners, &access);
        let server = control::start(listeners, handle, access, daemon.server_setup())?;
        sink(ready);
        supervisor::ready();
        daemon.run(receiver, &stop, &sink).await;
        supervisor::stopping();
        server.stop();
        daemon.finish().await;
        Ok(())
    })
}

/// Holds the lock that says who the daemon of these folders is; the file tells its process.
fn lock_state(dir: &Path) -> Result<File, Failure> {
    const NAME: &str = "daemon.lock";
    let path = dir.join(NAME);
    let mut file = lock::take(dir, NAME).map_err(|error| {
        if error.kind() != std::io::ErrorKind::WouldBlock {
            return crate::ops::io_failure(&path.display().to_string(), &error)
                .hint("`peerage paths` shows the folders; --home DIR or PEERAGE_HOME puts them elsewhere");
        }
        let mut pid = String::new();
        let _ = File::open(&path).map(|file| file.take(20).read_to_string(&mut pid));
        let who = if pid.trim().is_empty() { String::new() } else { format!(" (pid {})", pid.trim()) };
        Failure::new(
            ExitCode::Locked,
            "E_RUNNING",
            format!("a daemon is already running for these folders{who}"),
        )
        .hint("`peerage status` shows it; another one needs folders of its own (--home DIR)")
    })?;
    let written = file.set_len(0).and_then(|()| file.rewind());
    let _ = written.and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Tells this run from others.
fn run_name() -> Result<String, Failure> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(
            ExitCode::Unclassified,
            "E_SYSTEM",
            format!("the system gives no random numbers: {error}"),
        )
    })?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// Whether a text is a schedule, such as `mon-fri 08:00-18:00`.
///
/// # Errors
/// What is wrong with it.
pub fn check_schedule(text: &str) -> Result<(), String> {
    text.parse::<schedule::Schedule>().map(drop)
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Daemon {
    fn new(
        driver: Driver,
        config: NodeConfig,
        request: request::Daemon,
        catalog: Catalog,
        board: Arc<Board>,
    ) -> Self {
        let now = driver.now();
        Self {
            rules: rules::Rules::new(&request, [config.upload_limit, config.download_limit]),
            driver,
            config,
            request,
            transfers: BTreeMap::new(),
            by_torrent: BTreeMap::new(),
            catalog,
            board,
            inbox: Inbox::new(),
            jobs: Jobs::default(),
            dirty: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            opening: BTreeSet::new(),
            status: status::Kept::new(),
            streams: streams::Streams::default(),
            watch: None,
            on_complete: None,
            contact: None,
            next_tick: now + TICK,
            next_save: now + SAVE_INTERVAL,
            unsettled: true,
        }
    }

    /// Takes up what earlier runs have left.
    fn load(&mut self, loaded: catalog::Loaded) {
        self.rules.load(&loaded.meta);
        self.apply_rates();
        for record in loaded.transfers {
            self.dirty.insert(record.id.clone());
            self.transfers.insert(record.id.clone(), Transfer::new(record));
        }
    }

    /// The watch folder, and the program for what is complete.
    fn take_habits(&mut self) -> Result<(), Failure> {
        let now = self.driver.now();
        self.watch = self.request.watch.clone().map(|folder| watch::Watch::new(folder, now));
        if let Some(program) = self.request.on_complete.clone() {
            let started = on_complete::OnComplete::start(program, self.inbox.clone());
            self.on_complete = Some(started.map_err(|error| {
                Failure::new(
                    ExitCode::Unclassified,
                    "E_SYSTEM",
                    format!("the system gives no thread: {error}"),
                )
            })?);
        }
        Ok(())
    }

    /// Lets peers in by QUIC, where there are relays.
    async fn go_online(&mut self) {
        match self.driver.go_online().await {
            Ok(Some(contact)) => {
                if contact.relay.is_none() {
                    let why = self.driver.denial().unwrap_or_else(|| "no relay answers".to_owned());
                    self.warn(format!(
                        "{why}; links lead only to where this machine can be reached directly"
                    ));
                }
                self.contact = Some(contact);
            }
            Ok(None) => {}
            Err(error) => self.warn(error.to_string()),
        }
    }

    /// What the user is told when it serves.
    fn ready(&self, listeners: &control::Listeners, access: &control::Access) -> Event {
        let listen = self.driver.local_addrs();
        let status = self.status.dht.as_ref();
        Event::DaemonReady {
            listen: listen.iter().map(ToString::to_string).collect(),
            reachable: link::reachable(&listen).iter().map(ToString::to_string).collect(),
            node_id: status.map(|status| status.ids[0].to_string()).unwrap_or_default(),
            node_id_v6: status.map(|status| status.ids[1].to_string()).unwrap_or_default(),
            socket: listeners.socket_path().to_owned(),
            api: listeners.url(),
            login: listeners.url().map(|url| access.login_url(&url)),
            transfers: self.transfers.len(),
        }
    }

    /// Turns until `stop`.
    async fn run(&mut self, mut calls: mpsc::Receiver<Call>, stop: &Stop, sink: &Sink) {
        while !stop.is_requested() {
            let wake = self.next_tick;
            let inbox = self.inbox.clone();
            let mut first = None;
            tokio::select! {
                biased;
                () = self.driver.turn(wake) => {}
                call = calls.recv() => first = call,
                () = inbox.wait() => {}
                () = stop.requested() => break,
            }
            let more = std::iter::from_fn(|| calls.try_recv().ok()).take(CALLS_PER_TURN);
            let waiting: Vec<Call> = first.into_iter().chain(more).collect();
            for call in waiting {
                call(self);
            }
            let mut done = Vec::new();
            self.inbox.take(&mut done);
            for done in done {
                self.on_done(done);
            }
            while let Some(news) = self.driver.news() {
                self.on_news(news);
            }
            if self.driver.now() >= self.next_tick {
                self.next_tick = self.driver.now() + TICK;
                self.tick(sink).await;
            }
            if std::mem::take(&mut self.unsettled) {
                self.settle_transfers();
            }
            self.save_changed();
            self.publish();
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Opened(id, torrent, result) => self.on_opened(&id, torrent, result),
            Done::Closed(id, result) => self.on_closed(&id, result),
            Done::Chosen(id, torrent) => self.on_chosen(&id, torrent),
            Done::Resolved(torrent, named) => {
                let now = self.driver.now();
                for contact in &named.contacts {
                    self.driver.peer.add_contact(now, torrent, contact);
                }
                for addr in named.addrs {
                    self.driver.peer.add_peer(now, torrent, addr);
                }
            }
            Done::Watched(look) => self.on_watched(*look),
            Done::WatchFailed(message) => self.warn(message),
            Done::ProgramFailed(id, message) => self.warn_of(&id, &message),
            Done::Job(id, step) => self.on_job(&id, step),
        }
    }

    /// Once a second.
    async fn tick(&mut self, sink: &Sink) {
        self.watch_rooms();
        self.keep_rules();
        self.look_at_watch_folder();
        self.watch_status().await;
        self.mark_moved();
        supervisor::alive();
        let now = self.driver.now();
        if now >= self.next_save {
            self.next_save = now + SAVE_INTERVAL;
            self.count_all();
            if let Some(status) = self.status.dht_reply(&self.driver) {
                sink(Event::DhtStatus { status });
            }
        }
    }

    /// Writes the records that have changed.
    fn save_changed(&mut self) {
        for id in std::mem::take(&mut self.unsaved) {
            if let Some(transfer) = self.transfers.get(&id) {
                self.catalog.put_record(&transfer.record);
            }
        }
        if self.rules.take_unsaved() {
            self.catalog.put(Table::Meta, rules::KEY, self.rules.encode());
        }
    }

    /// A transfer's record has changed: it is written and shown anew.
    fn changed(&mut self, id: &str) {
        self.dirty.insert(id.to_owned());
        self.unsaved.insert(id.to_owned());
    }

    /// Tells an event.
    fn tell(&self, change: Change) {
        self.board.tell(unix_now(), change);
    }

    fn warn(&mut self, message: String) {
        self.status.warn(message.clone());
        self.tell(Change::Warning { message, transfer: None });
    }

    fn warn_of(&self, id: &str, message: &str) {
        self.tell(Change::Warning { message: printable(message), transfer: Some(id.to_owned()) });
    }

    /// Keeps a value of the control server's.
    pub(crate) fn keep(&self, table: Table, key: &str, value: Vec<u8>) {
        self.catalog.put(table, key, value);
    }

    /// Forgets a value of the control server's.
    pub(crate) fn drop_kept(&self, table: Table, key: &str) {
        self.catalog.remove(table, key);
    }

    fn server_setup(&self) -> control::Setup {
        control::Setup {
            http: self.driver.http().clone(),
            config: self.config.clone(),
            request: self.request.clone(),
        }
    }

    /// Says goodbye to trackers and peers, and closes everything.
    async fn finish(mut self) {
        self.count_all();
        self.save_changed();
        let now = self.driver.now();
        let unmapping = self.driver.close_mapping();
        self.driver.peer.stop(now);
        // The last announces begin when the machine's outputs are carried out, not before.
        self.driver.turn(now).await;
        let limit = now + GOODBYE_LIMIT;
        while self.driver.is_announcing() && self.driver.now() < limit {
            self.driver.turn(limit).await;
        }
        if let Some(unmapping) = unmapping {
            let _ = unmapping.await;
        }
        self.driver.close_dht().await;
        self.driver.go_offline().await;
        self.driver.store.close();
        self.catalog.close();
    }
}
