//! The command line, as clap sees it. Every text that `--help`, the man page and the completions show
//! is here; those that speak to a running daemon are in [`control`].

mod control;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use peerage_api::request::{EncryptionPolicy, TlsPolicy, ViaPolicy};

pub use control::{Limit, List, MoveTo, Pause, Reach, Remove, Resume, Token, TokenCommand, Which};

use crate::units::{parse_duration, parse_rate, parse_size, parse_switch};

/// Share files by a link that every BitTorrent client can open, and get what such links name.
#[derive(Debug, Parser)]
#[command(
    name = "peerage",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "EXAMPLES:\n  peerage share ./holiday          print a link, serve until Ctrl-C\n  peerage get 'magnet:?xt=...'     fetch it, verified, from everyone who has it\n  peerage 'magnet:?xt=...'         the same\n\nA command that was interrupted goes on when it is run again."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print JSON on stdout: one document, or one event per line for long operations
    #[arg(long, global = true, env = "PEERAGE_JSON", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Say more on stderr; twice for every message between peers
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// No colours
    #[arg(long, global = true)]
    pub no_color: bool,
    /// When to draw progress
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "PEERAGE_PROGRESS")]
    pub progress: When,
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", env = "PEERAGE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Set one configuration value for this run
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Keep everything in one folder instead of the system's usual ones
    #[arg(long, global = true, value_name = "DIR", env = "PEERAGE_HOME")]
    pub home: Option<PathBuf>,
}

/// When to draw progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Share files or a folder: print a link and serve until Ctrl-C
    #[command(alias = "send")]
    Share(Share),
    /// Get what a magnet link, a .torrent file or URL, or an infohash names
    #[command(visible_aliases = ["receive", "rx"], alias = "recv")]
    Get(Get),
    /// Make a .torrent file
    Create(Create),
    /// Show what a .torrent file or a link says
    Inspect(Inspect),
    /// Check whether data on disk is what a .torrent file describes
    Verify(Verify),
    /// Run a node that stays: it downloads, shares, serves the DHT, and is steered through its API
    Daemon(Daemon),
    /// Show how the daemon is doing
    Status(Reach),
    /// List the daemon's transfers
    Ls(List),
    /// Show the peers of a transfer of the daemon
    Peers(Which),
    /// Pause a transfer of the daemon, or all, for some time or until it is resumed
    Pause(Pause),
    /// Go on with a transfer that was paused, or stopped by a failure
    Resume(Resume),
    /// Remove a transfer from the daemon
    Rm(Remove),
    /// Move the files of a transfer into another folder
    Move(MoveTo),
    /// Show or change what the daemon uses at most
    Limits(Limit),
    /// Follow what happens in the daemon
    Events(Reach),
    /// Tell by the exit code whether the daemon is well
    Health(Reach),
    /// List, make and revoke what permits programs to use the API
    Token(Token),
    /// Ask the DHT: who has a torrent, what is stored, whether a node is there
    Dht(Dht),
    /// Share a path, and make it the newest under a key: who follows the key gets it
    Publish(Publish),
    /// Keys to publish under: list, make, export, import
    Key(Key),
    /// Run a small tracker, HTTP and UDP on one port
    Tracker(Tracker),
    /// Run a relay, through which peers behind NATs reach each other
    Relay(Relay),
    /// Check whether this machine can share and get, and say what to do where it cannot
    Doctor(Doctor),
    /// Tell for one link who was found, who was reached, and why not
    Why(Why),
    /// Run protocols on a simulated internet, and look at what happens
    Lab(Lab),
    /// Show where configuration, state and downloads are kept
    Paths,
    /// Show or check the configuration
    Config(Config),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command into a folder
    Man {
        /// Write `peerage.1`, `peerage-get.1`, ... into this folder
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// Options of the network, for commands that talk to peers.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network options")]
pub struct Network {
    /// Address and port to listen on [default: every address, port 7731 or a free one]
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// A peer to connect to; may be repeated
    #[arg(long = "peer", value_name = "ADDR:PORT", value_parser = parse_peer)]
    pub peers: Vec<String>,
    /// A tracker to announce to; may be repeated
    #[arg(long = "tracker", value_name = "URL", value_parser = parse_tracker)]
    pub trackers: Vec<String>,
    /// Send at most so much per second, such as 500k or 2MB/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate, env = "PEERAGE_UPLOAD_LIMIT")]
    pub upload_limit: Option<u64>,
    /// Fetch at most so much per second
    #[arg(long, value_name = "RATE", value_parser = parse_rate, env = "PEERAGE_DOWNLOAD_LIMIT")]
    pub download_limit: Option<u64>,
    /// Trackers, web seeds and DHT nodes may be on this machine or the local network
    #[arg(long)]
    pub allow_local: bool,
    /// Encrypt connections: off, allow (those who want it), prefer, or require [default: allow]
    #[arg(long, value_name = "POLICY", env = "PEERAGE_ENCRYPTION")]
    pub encryption: Option<EncryptionPolicy>,
    /// A relay through which a share can be reached from anywhere, as `peerage relay` prints it; may be
    /// repeated
    #[arg(long = "relay", value_name = "URL", value_parser = parse_relay)]
    pub relays: Vec<String>,
    /// Ask the router to lead the port here: on or off [default: on]
    #[arg(long, value_name = "on|off", value_parser = parse_switch, env = "PEERAGE_PORT_MAPPING")]
    pub port_mapping: Option<bool>,
    /// TLS between Peerage nodes: off, on, or require (no other connections) [default: on]
    #[arg(long, value_name = "POLICY", env = "PEERAGE_TLS")]
    pub tls: Option<TlsPolicy>,
    /// uTP beside TCP: off, or on [default: on]
    #[arg(long, value_name = "SWITCH", value_parser = parse_switch, env = "PEERAGE_UTP")]
    pub utp: Option<bool>,
    /// Look for peers in the DHT, and answer others there: on or off [default: on]
    #[arg(long, value_name = "on|off", value_parser = parse_switch, env = "PEERAGE_DHT")]
    pub dht: Option<bool>,
    /// Do not look for peers on the local network, nor answer others there
    #[arg(long, env = "PEERAGE_NO_LAN", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub no_lan: bool,
    /// A node of the DHT to begin at, instead of the usual ones; may be repeated
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_seed)]
    pub bootstrap: Vec<String>,
    /// How peers are met: any, direct (no relay), or relay (nobody else is contacted, or learns of this
    /// machine's address) [default: any]
    #[arg(long, value_name = "WAY", env = "PEERAGE_VIA")]
    pub via: Option<ViaPolicy>,
    /// Interface, by name or address, by which everything leaves; where it is down, nothing does
    #[arg(long, value_name = "IFACE", env = "PEERAGE_BIND")]
    pub bind: Option<String>,
}

/// Options of the DHT, for commands that use nothing else.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network options")]
pub struct DhtNetwork {
    /// Address and UDP port to listen on [default: every address]
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_LISTEN", global = true)]
    pub listen: Option<SocketAddr>,
    /// A node to begin at, instead of the usual ones; may be repeated
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_seed, global = true)]
    pub bootstrap: Vec<String>,
    /// Nodes may be on this machine or the local network
    #[arg(long, global = true)]
    pub allow_local: bool,
}

/// `peerage daemon`.
#[derive(Debug, Args)]
pub struct Daemon {
    /// Address and port of the control API, besides its socket [default: 127.0.0.1:7732, or a free port]
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_API")]
    pub api: Option<SocketAddr>,
    /// Let the control API listen where other machines reach it, though what it says is not encrypted
    #[arg(long)]
    pub api_insecure: bool,
    /// Where downloads go unless they say otherwise [default: get.folder, else ~/Downloads]
    #[arg(short, long = "output", value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Network options.
    #[command(flatten)]
    pub network: Network,
}

/// `peerage dht`.
#[derive(Debug, Args)]
pub struct Dht {
    /// What to do.
    #[command(subcommand)]
    pub command: DhtCommand,
    /// Network options.
    #[command(flatten)]
    pub network: DhtNetwork,
}

/// `peerage dht …`.
#[derive(Debug, Subcommand)]
pub enum DhtCommand {
    /// Join, and show how that goes
    Status,
    /// Find the peers of a torrent, and the nodes closest to it
    Lookup {
        /// Infohash, magnet link or .torrent file
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Store a text, of which others keep copies for two hours; prints where
    Put {
        /// The text, of 995 bytes at most
        #[arg(value_name = "VALUE")]
        value: String,
        /// Sign it with the key in this file, made where there is none: then it can be replaced
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Another place of the same key
        #[arg(long, value_name = "TEXT", default_value = "", requires = "key")]
        salt: String,
        /// The version [default: the one after what is stored]
        #[arg(long, value_name = "NUMBER", requires = "key", value_parser = clap::value_parser!(i64).range(0..))]
        seq: Option<i64>,
    },
    /// Read what is stored
    Get {
        /// Where it is, or the public key that signs it
        #[arg(value_name = "KEY")]
        target: String,
        /// Another place of the same key
        #[arg(long, value_name = "TEXT", default_value = "")]
        salt: String,
    },
    /// Ask a node whether it is there
    Ping {
        /// Where
        #[arg(value_name = "ADDR:PORT", value_parser = parse_seed)]
        addr: String,
    },
}

/// `peerage doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Address and port that will be listened on [default: every address, port 7731]
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Ask the router for a port, and give it back: on or off [default: on]
    #[arg(long, value_name = "on|off", value_parser = parse_switch, env = "PEERAGE_PORT_MAPPING")]
    pub port_mapping: Option<bool>,
    /// A relay to check, besides those of the configuration; may be repeated
    #[arg(long = "relay", value_name = "URL", value_parser = parse_relay)]
    pub relays: Vec<String>,
    /// Interface to check, as `share` and `get` take it
    #[arg(long, value_name = "IFACE", env = "PEERAGE_BIND")]
    pub bind: Option<String>,
}

/// `peerage share`.
#[derive(Debug, Args)]
pub struct Share {
    /// Files or folders; served in place, never copied
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// A .torrent file that describes PATH: the data is checked, then served
    #[arg(long, value_name = "FILE")]
    pub torrent: Option<PathBuf>,
    /// Name in the link, instead of the file's or folder's; several paths are named after the current
    /// folder unless this is given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Send each piece once before any twice, as the first seed of a large crowd (BEP 16)
    #[arg(long)]
    pub super_seeding: bool,
    /// Stay in the foreground, also where a daemon runs
    #[arg(long)]
    pub here: bool,
    /// Print a short code to say aloud, such as 4711-orbit-walnut, instead of the link: `peerage get CODE` takes
    /// it once, where both sides name the same relay (--relay)
    #[arg(long)]
    pub code: bool,
    /// Network options.
    #[command(flatten)]
    pub network: Network,
}

/// `peerage publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// Name of the key, as `peerage key new` made it
    #[arg(long, value_name = "NAME")]
    pub key: String,
    /// The file or folder; served in place, never copied
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Name in the link, instead of the file's or folder's
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Network options.
    #[command(flatten)]
    pub network: Network,
}

/// `peerage key`.
#[derive(Debug, Args)]
pub struct Key {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// `peerage key …`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Show the keys of this machine, with the links that follow them
    Ls,
    /// Make a key
    New {
        /// What to call it
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Print a key's secret, to keep it safe or to publish from another machine
    Export {
        /// Which one
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Take a key in that was exported: its secret comes on stdin, or in a file
    Import {
        /// What to call it
        #[arg(value_name = "NAME")]
        name: String,
        /// The file with the secret [default: stdin]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// `peerage get`.
#[derive(Debug, Args)]
pub struct Get {
    /// Magnet link, .torrent file, URL of one, infohash, short code, or peerage:KEY (the newest that was published
    /// under a key)
    #[arg(value_name = "LINK", allow_hyphen_values = false)]
    pub link: String,
    /// Folder to put it into [default: the current folder]
    #[arg(short, long = "output", value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Only files whose path matches, such as '*.flac' or 'disc1/**'; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub select: Vec<String>,
    /// Fetch from the start to the end, rather than rare parts first
    #[arg(long)]
    pub sequential: bool,
    /// Stay in the foreground, also where a daemon runs
    #[arg(long)]
    pub here: bool,
    /// Write the content to stdout, in order, as it arrives (one file; see --select); the content is also
    /// kept in the folder
    #[arg(long)]
    pub stdout: bool,
    /// Show this machine's own key, as `share` does, and not a new one: for relays that let in only those on
    /// their list
    #[arg(long)]
    pub known: bool,
    /// Go on serving when complete, until Ctrl-C
    #[arg(long)]
    pub seed: bool,
    /// Give up after this time, such as 10m
    #[arg(long, value_name = "TIME", value_parser = parse_duration, env = "PEERAGE_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// Give up when nothing has moved for this time; 0 waits for ever [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, env = "PEERAGE_STALL_TIMEOUT")]
    pub stall_timeout: Option<Duration>,
    /// Wait for ever for somebody who has it
    #[arg(long, conflicts_with = "stall_timeout")]
    pub wait: bool,
    /// Network options.
    #[command(flatten)]
    pub network: Network,
}

/// `peerage why`.
#[derive(Debug, Args)]
pub struct Why {
    /// Magnet link, .torrent file, URL of one, or infohash
    #[arg(value_name = "LINK", allow_hyphen_values = false)]
    pub link: String,
    /// Show this machine's own key, as `share` does, and not a new one: for relays that let in only those on
    /// their list
    #[arg(long)]
    pub known: bool,
    /// End after this time at the latest
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "15s")]
    pub timeout: Duration,
    /// Network options.
    #[command(flatten)]
    pub network: Network,
}

/// `peerage create`.
#[derive(Debug, Args)]
pub struct Create {
    /// File or folder
    pub path: PathBuf,
    /// Where to write the torrent [default: the name with .torrent, in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// For old clients: SHA-1 pieces alone
    #[arg(long, conflicts_with = "v2")]
    pub v1: bool,
    /// SHA-256 Merkle trees alone (BEP 52)
    #[arg(long)]
    pub v2: bool,
    /// Bytes of a piece, a power of two from 16KiB to 512MiB [default: by size]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub piece_length: Option<u64>,
    /// Name, instead of the path's last part
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A tracker; may be repeated, each a tier of its own
    #[arg(long = "tracker", value_name = "URL", value_parser = parse_tracker)]
    pub trackers: Vec<String>,
    /// A web seed (BEP 19); may be repeated
    #[arg(long = "web-seed", value_name = "URL")]
    pub web_seeds: Vec<String>,
    /// A comment for readers
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Only its trackers may tell who has it (BEP 27)
    #[arg(long)]
    pub private: bool,
    /// Replace an existing file
    #[arg(short, long)]
    pub force: bool,
}

/// `peerage inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// .torrent file, magnet link or infohash
    #[arg(value_name = "FILE|LINK")]
    pub source: String,
}

/// `peerage verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// .torrent file
    pub torrent: PathBuf,
    /// The file or folder that it describes, or the folder that holds it
    pub path: PathBuf,
}

/// `peerage tracker`.
#[derive(Debug, Args)]
pub struct Tracker {
    /// Address and port, for HTTP and UDP [default: every address, port 6969]
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_TRACKER_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Time that peers are told to wait between announces, such as 30m
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30m")]
    pub interval: Duration,
}

/// `peerage relay`.
#[derive(Debug, Args)]
pub struct Relay {
    /// Address and port, for TCP and UDP [default: every IPv4 address, port 7842]
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_RELAY_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Serve those peers alone whose keys are in this file, one a line (`x.pg` in links); each of them must
    /// use `--known`
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,
    /// What each client may send per second, such as 2MB/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "8MiB/s")]
    pub client_limit: u64,
}

/// `peerage lab`.
#[derive(Debug, Args)]
pub struct Lab {
    /// What to do.
    #[command(subcommand)]
    pub command: LabCommand,
}

/// `peerage lab …`.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Run a scenario; exits with 8 when something that it expects does not hold
    Run {
        /// A scenario file, or the name of one (see `peerage lab list`)
        #[arg(value_name = "SCENARIO")]
        scenario: String,
        /// What differs from the scenario, and where the report goes.
        #[command(flatten)]
        options: LabRun,
    },
    /// Run several scenarios, and show their figures side by side
    Compare {
        /// Scenario files, or names
        #[arg(value_name = "SCENARIO", required = true, num_args = 2..)]
        scenarios: Vec<String>,
        /// What differs from the scenarios, and where the page goes.
        #[command(flatten)]
        options: LabRun,
    },
    /// Draw faults at random, over whole peers, and check that nothing breaks; exits with 8 when something does
    SwarmTest(SwarmTest),
    /// Run published experiments again: prints a page with their numbers and ours
    Reproduce {
        /// Nodes, instead of the papers' numbers
        #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
        nodes: usize,
    },
    /// Walk through the kinds of peer-to-peer network, with a live run of each
    Tour {
        /// Where all chance comes from: the same seed gives the same runs
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        seed: u64,
        /// Write the walk as a page, with pictures, into this folder
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List the scenarios and the protocols
    List,
    /// Tell how a protocol works, and what can be set
    Explain {
        /// Its name
        #[arg(value_name = "PROTOCOL")]
        protocol: String,
    },
}

/// `peerage lab swarm-test`.
#[derive(Clone, Debug, Args)]
pub struct SwarmTest {
    /// From this seed on, up to but without that one
    #[arg(long, value_name = "A..B", default_value = "0..20", value_parser = parse_seeds)]
    pub seeds: std::ops::Range<u64>,
    /// Run the plan in this file instead, as `--out` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    pub plan: Option<PathBuf>,
    /// Run so many seeds at a time [default: the machine's cores]
    #[arg(long, value_name = "NUMBER")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Give all simulated disks a bug, to see that it is found: unchecked-pieces, rotten-disk or lost-jobs
    #[arg(long, value_name = "BUG", value_parser = parse_bug)]
    pub planted_bug: Option<peerage_lab::random::Bug>,
    /// Write each seed that fails, made as small as possible, into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Options of a run in the lab.
#[derive(Clone, Debug, Args)]
pub struct LabRun {
    /// Where all chance comes from: the same seed gives the same run [default: the scenario's]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Nodes [default: the scenario's]
    #[arg(long, value_name = "NUMBER")]
    pub nodes: Option<usize>,
    /// Write report.json, tables and a page with charts into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `peerage config`.
#[derive(Debug, Args)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// `peerage config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting, its value and where it comes from
    Show,
    /// Check the configuration file and say what is wrong with it
    Check,
}

/// Where something is: a typing error is not found out by a name server.
pub(crate) fn parse_seed(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0) => {
            Ok(text.to_owned())
        }
        _ => Err("is not an address such as 192.0.2.7:6881 or dht.example.org:6881".to_owned()),
    }
}

fn parse_seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let range = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    // Plans are TOML, whose numbers have a sign.
    let fits = |range: &std::ops::Range<u64>| !range.is_empty() && range.end <= i64::MAX as u64;
    range.filter(fits).ok_or_else(|| "is not a range of seeds such as 0..100".to_owned())
}

fn parse_bug(text: &str) -> Result<peerage_lab::random::Bug, String> {
    let bugs = peerage_lab::random::Bug::ALL;
    let known = bugs.iter().find(|(name, _)| *name == text).map(|(_, bug)| *bug);
    known.ok_or_else(|| format!("is none of {}", bugs.map(|(name, _)| name).join(", ")))
}

/// A peer: where it is, or who it is and where, as links name it (`x.pg`).
fn parse_peer(text: &str) -> Result<String, String> {
    if peerage_node::is_contact(text) {
        return Ok(text.to_owned());
    }
    parse_seed(text)
}

fn parse_relay(text: &str) -> Result<String, String> {
    peerage_node::check_relay(text).map(|()| text.to_owned())
}

/// A tracker that the user names: a typing error must not become a part of links and torrents.
fn parse_tracker(text: &str) -> Result<String, String> {
    if peerage_node::is_tracker_url(text) {
        Ok(text.to_owned())
    } else {
        Err("a tracker is a URL such as http://host:port/announce or udp://host:port".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_address_or_a_contact() {
        let parse = |peer: &str| Cli::try_parse_from(["peerage", "get", "a", "--peer", peer]);
        let key = "a".repeat(52);
        assert!(parse("192.0.2.7:6881").is_ok() && parse("host.example:1").is_ok());
        assert!(parse("foo").unwrap_err().to_string().contains("192.0.2.7:6881"));
        assert!(parse(&format!("{key},udp/192.0.2.7:6881")).is_ok());
        assert!(parse(&format!("{key},udp/192.0.2.7:0")).is_err());
    }

    #[test]
    fn a_tracker_must_be_a_url() {
        let parse = |tracker| Cli::try_parse_from(["peerage", "create", "a", "--tracker", tracker]);
        assert!(parse("udp://host:1").is_ok() && parse("https://host/announce").is_ok());
        assert!(parse("foo").unwrap_err().to_string().contains("udp://host:port"));
    }
}
