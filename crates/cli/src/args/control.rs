//! Arguments of the commands that speak to a running daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::units::parse_duration;

/// Which daemon.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Daemon options")]
pub struct Reach {
    /// API of the daemon, as it prints it [default: the socket of the one in the same folders]
    #[arg(long, value_name = "URL", env = "PEERAGE_API_URL", global = true)]
    pub api: Option<String>,
    /// File with a token [default: the daemon's own in the same folders]
    #[arg(long, value_name = "FILE", env = "PEERAGE_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
}

/// `peerage ls`.
#[derive(Debug, Args)]
pub struct List {
    /// Only those whose name contains it, or whose id begins with it
    pub text: Option<String>,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

/// A transfer of the daemon.
#[derive(Debug, Args)]
pub struct Which {
    /// Name of the transfer, its id, or the beginning of it
    pub transfer: String,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

/// `peerage pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// Name or id of the transfer, and how long, such as 2h; the time alone pauses everything
    #[arg(value_name = "TRANSFER|TIME", num_args = 0..=2)]
    pub what: Vec<String>,
    /// Everything
    #[arg(long)]
    pub all: bool,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

impl Pause {
    /// The transfer (`None`: all) and the time.
    pub fn meant(&self) -> anyhow::Result<(Option<String>, Option<Duration>)> {
        let time = |text: &str| {
            parse_duration(text).ok().filter(|_| {
                text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(['s', 'm', 'h', 'd'])
            })
        };
        let usage = |message: &str| {
            use peerage_api::error::{ExitCode, Failure};
            Failure::new(ExitCode::Usage, "E_USAGE", message)
                .hint("as in `peerage pause NAME`, `peerage pause NAME 2h`, `peerage pause 2h`, `peerage pause --all`")
        };
        match (self.what.as_slice(), self.all) {
            ([], true) => Ok((None, None)),
            ([one], _) if time(one).is_some() => Ok((None, time(one))),
            ([one], false) => Ok((Some(one.clone()), None)),
            ([one, two], false) => match time(two) {
                Some(time) => Ok((Some(one.clone()), Some(time))),
                None => Err(usage(&format!("`{two}` is not a time")).into()),
            },
            _ => Err(usage("say what to pause").into()),
        }
    }
}

/// `peerage resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Name or id of the transfer
    #[arg(required_unless_present = "all")]
    pub transfer: Option<String>,
    /// Everything that is not paused itself
    #[arg(long, conflicts_with = "transfer")]
    pub all: bool,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

/// `peerage rm`.
#[derive(Debug, Args)]
pub struct Remove {
    /// Name or id of the transfer
    pub transfer: String,
    /// Delete its files, too; those of a share are never deleted
    #[arg(long)]
    pub data: bool,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

/// `peerage move`.
#[derive(Debug, Args)]
pub struct MoveTo {
    /// Name or id of the transfer
    pub transfer: String,
    /// The new folder
    pub folder: PathBuf,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

/// `peerage limits`.
#[derive(Debug, Args)]
pub struct Limit {
    /// Bytes per second to peers, such as 2MB/s, or off
    #[arg(long, value_name = "RATE")]
    pub upload: Option<String>,
    /// Bytes per second from peers, or off
    #[arg(long, value_name = "RATE")]
    pub download: Option<String>,
    /// Downloads at a time; 0: unlimited
    #[arg(long, value_name = "NUMBER")]
    pub downloads: Option<u64>,
    /// Whether the alternative limits are in force, until the schedule changes that: on or off
    #[arg(long, value_name = "SWITCH", value_parser = crate::units::parse_switch)]
    pub alternative: Option<bool>,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

/// `peerage token`.
#[derive(Debug, Args)]
pub struct Token {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
    /// Daemon options.
    #[command(flatten)]
    pub reach: Reach,
}

/// `peerage token …`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List tokens
    Ls,
    /// Make a token and print its secret, once
    New {
        /// What it is for
        name: String,
        /// What it permits: read, control or admin
        #[arg(long, default_value = "control")]
        scope: peerage_api::control::Scope,
    },
    /// Take a token's rights away
    Revoke {
        /// Its id, as `peerage token ls` shows it
        id: String,
    },
    /// Print a link that opens the daemon's page once
    Url,
}
