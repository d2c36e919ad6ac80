//! The node's place in the mainline DHT: the pure machine ([`peerage_overlay::mainline`]), a task that drives
//! it, and what is remembered between runs.
//!
//! The task has the time, the sockets (shared with uTP) and the file; who wants something of it has a
//! [`Dht`] and gives it commands. What waits is bounded: commands by [`COMMANDS_MAX`], datagrams by the
//! socket's own queue. A command that finds the queue full is dropped, and its answers with it.

mod memory;
mod seeds;
mod task;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use peerage_api::request::NodeConfig;
use peerage_base::addr::Ranges;
use peerage_net::utp::UtpSocket;
use peerage_overlay::mainline::{Config, Item, Report, Stats};
use peerage_wire::krpc::Id;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Commands that wait for the task; more are dropped.
const COMMANDS_MAX: usize = 256;

/// What a node is started with.
pub(crate) struct Setup {
    /// The UDP sockets, one of each family at most.
    pub sockets: Vec<Arc<UtpSocket>>,
    /// Where to begin: `HOST:PORT`.
    pub seeds: Vec<String>,
    /// Nearby ranges in which nodes may be asked that others name.
    pub ranges: Ranges,
    /// Asks, and answers nobody (BEP 43). Its identifier is new in each run.
    pub read_only: bool,
    /// The folder in which nodes are remembered between runs; `None`: nothing is.
    pub state_dir: Option<PathBuf>,
    /// Settings of the machine; ranges and role are overruled by those above.
    pub config: Config,
}

/// The nearby ranges that are open to nodes that others name: those of our own address, and of the nodes that the
/// user or the configuration names: who names one nearby wants the network that it is in.
pub(crate) fn ranges(config: &NodeConfig) -> Ranges {
    let named = config.bootstrap.iter().filter_map(|seed| seed.parse::<SocketAddr>().ok());
    let own: Vec<IpAddr> = config.listen.into_iter().chain(named).map(|addr| addr.ip()).collect();
    Ranges::new(config.allow_local, &own)
}

/// What is looked up.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    /// Whether a node is there.
    Ping(SocketAddr),
    /// The peers of a torrent.
    Peers(Id),
    /// The same, and how many there are (BEP 33).
    Scrape(Id),
    /// The same as [`Self::Peers`], and says that we are one: at this port, as a seed or not.
    Announce(Id, Option<u16>, bool),
    /// A stored item, with the salt of a mutable one.
    Get(Id, Vec<u8>),
    /// Stores an item.
    Put(Item),
}

/// What comes of a look-up: any number of findings, then the report.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Peers of the torrent.
    Peers(Vec<SocketAddr>),
    /// The item; of a mutable one a newer version may follow.
    Item(Item),
    /// The end.
    Done(Report),
}

/// Takes the answers of one look-up. Called from the task: it must not wait.
pub(crate) type Answers = Box<dyn FnMut(Answer) + Send>;

/// How the node is doing.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// Its identifiers in the networks of IPv4 and IPv6.
    pub ids: [Id; 2],
    /// Nodes in its two tables.
    pub nodes: [usize; 2],
    /// About how many nodes the two networks have.
    pub network: [Option<f64>; 2],
    /// Where others see us.
    pub external: Vec<IpAddr>,
    /// Torrents and items that it keeps for others.
    pub kept: (usize, usize),
    /// Nodes remembered from earlier runs.
    pub remembered: usize,
    /// Counters.
    pub stats: Stats,
}

enum Command {
    Look(Lookup, Answers),
    Meet(SocketAddr),
    Status(oneshot::Sender<Status>),
    Close,
}

/// The way to the node. Dropping it ends the node without a word: see [`Self::close`].
pub(crate) struct Dht {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Dht {
    /// Starts the node. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn start(setup: Setup) -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let task = tokio::spawn(task::Task::new(setup, seed).run(receiver));
        Ok(Self { commands, task })
    }

    /// Begins a look-up.
    pub(crate) fn look(&self, lookup: Lookup, answers: Answers) {
        let _ = self.commands.try_send(Command::Look(lookup, answers));
    }

    /// A peer says that there is a node: it is asked, and entered when it answers.
    pub(crate) fn meet(&self, addr: SocketAddr) {
        let _ = self.commands.try_send(Command::Meet(addr));
    }

    /// How it is doing; `None` once it has ended.
    pub(crate) async fn status(&self) -> Option<Status> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Status(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Ends it, after the table is on disk.
    pub(crate) async fn close(self) {
        let _ = self.commands.send(Command::Close).await;
        let _ = self.task.await;
    }
}
