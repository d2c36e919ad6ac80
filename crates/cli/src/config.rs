//! The configuration: defaults, then the file, then variables, then `--set`; each value remembers where
//! it came from. Flags of a command are laid over it by the command.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::Setting;
use peerage_api::request::{self, EncryptionPolicy, NodeConfig, TlsPolicy, ViaPolicy};
use toml::de::{DeTable, DeValue};

use crate::args::parse_seed;
use crate::units::{parse_duration, parse_rate, parse_switch};

/// One setting: its key, default, what it does, and the check of its text.
struct Known {
    key: &'static str,
    default: &'static str,
    help: &'static str,
    check: fn(&str) -> Result<(), String>,
}

/// Public nodes at which the mainline DHT begins; those of libtorrent, transmission and µTorrent.
const BOOTSTRAP: &str = "router.bittorrent.com:6881,dht.transmissionbt.com:6881,router.utorrent.com:6881,dht.libtorrent.org:25401";

/// Every setting there is.
const KNOWN: &[Known] = &[
    Known {
        key: "network.listen",
        default: "",
        help: "Address and port to listen on; empty: every address",
        check: check_listen,
    },
    Known {
        key: "network.port",
        default: "7731",
        help: "Port when no address is given; another free one when it is in use",
        check: check_number::<u16>,
    },
    Known {
        key: "network.connections",
        default: "200",
        help: "Open connections at most",
        check: check_count,
    },
    Known {
        key: "network.half_open",
        default: "64",
        help: "Connections being opened at most",
        check: check_count,
    },
    Known {
        key: "network.allow_local",
        default: "false",
        help: "Trackers and web seeds may be on this machine or the local network",
        check: check_bool,
    },
    Known {
        key: "network.encryption",
        default: "allow",
        help: "Encrypted connections: off, allow (those who want it), prefer, require",
        check: check_encryption,
    },
    Known {
        key: "network.port_mapping",
        default: "on",
        help: "Ask the router to lead the port here: on, off",
        check: |text| parse_switch(text).map(drop),
    },
    Known {
        key: "network.stun_servers",
        default: "",
        help: "Servers that tell how others see us, host:port, with commas between; empty: nobody is asked",
        check: check_servers,
    },
    Known {
        key: "network.tls",
        default: "on",
        help: "TLS between Peerage nodes: off, on, require (no other connections)",
        check: check_tls,
    },
    Known { key: "network.utp", default: "on", help: "uTP beside TCP: off, on", check: check_switch },
    Known {
        key: "network.dht",
        default: "on",
        help: "Look for peers in the DHT, and answer others there: on, off",
        check: check_switch,
    },
    Known {
        key: "network.local_discovery",
        default: "true",
        help: "Look for peers on the local network, and answer others there",
        check: check_bool,
    },
    Known {
        key: "network.bootstrap",
        default: BOOTSTRAP,
        help: "Nodes at which the DHT begins when no other is known, host:port, with commas between",
        check: check_seeds,
    },
    Known {
        key: "network.via",
        default: "any",
        help: "How peers are met: any, direct (no relay), relay (nobody else is contacted)",
        check: |text| text.parse::<ViaPolicy>().map(drop).map_err(|error| error.to_string()),
    },
    Known {
        key: "network.bind",
        default: "",
        help: "Interface, by name or address, by which everything leaves; empty: as the system routes it",
        check: |_| Ok(()),
    },
    Known {
        key: "network.relays",
        default: "",
        help: "Relays through which shares can be reached, as `peerage relay` prints them, separated by blanks",
        check: check_relays,
    },
    Known {
        key: "limits.upload",
        default: "",
        help: "Bytes per second to peers, such as 2MB/s; empty: unlimited",
        check: check_rate,
    },
    Known {
        key: "limits.download",
        default: "",
        help: "Bytes per second from peers; empty: unlimited",
        check: check_rate,
    },
    Known {
        key: "limits.upload_slots",
        default: "",
        help: "Peers served at once; empty: by measured capacity",
        check: check_slots,
    },
    Known {
        key: "daemon.upload",
        default: "1250kB/s",
        help: "Bytes per second to peers of a daemon where limits.upload is empty; empty: unlimited",
        check: check_rate,
    },
    Known {
        key: "daemon.downloads",
        default: "5",
        help: "Downloads of a daemon at a time, the others wait; 0: unlimited",
        check: check_number::<u32>,
    },
    Known {
        key: "daemon.watch",
        default: "",
        help: "Folder in which a daemon looks for .torrent and .magnet files to add; empty: none",
        check: check_path,
    },
    Known {
        key: "daemon.on_complete",
        default: "",
        help: "Program that a daemon runs, without a shell, when a download is complete: PEERAGE_NAME, PEERAGE_PATH, PEERAGE_TRANSFER and PEERAGE_BYTES tell it of what",
        check: check_path,
    },
    Known {
        key: "alternative.upload",
        default: "",
        help: "Bytes per second to peers while the alternative limits are in force; empty: unlimited",
        check: check_rate,
    },
    Known {
        key: "alternative.download",
        default: "",
        help: "Bytes per second from peers while the alternative limits are in force; empty: unlimited",
        check: check_rate,
    },
    Known {
        key: "alternative.schedule",
        default: "",
        help: "When the alternative limits are in force, such as mon-fri 08:00-18:00; sat,sun 10:00-12:00; empty: only by hand",
        check: peerage_node::check_schedule,
    },
    Known {
        key: "seed.ratio",
        default: "0",
        help: "A daemon's complete transfer pauses at this ratio of sent to received; 0: never",
        check: check_ratio,
    },
    Known {
        key: "seed.time",
        default: "0",
        help: "A daemon's complete transfer pauses when it was served for this time; 0: never",
        check: check_duration,
    },
    Known {
        key: "api.listen",
        default: "",
        help: "Address and port of the daemon's API; empty: 127.0.0.1:7732, or a free port",
        check: check_listen,
    },
    Known {
        key: "api.hosts",
        default: "",
        help: "Names besides this machine's own by which the API may be called, with commas between",
        check: |_| Ok(()),
    },
    Known {
        key: "store.io_threads",
        default: "2",
        help: "Threads that read, write and hash",
        check: check_threads,
    },
    Known {
        key: "get.folder",
        default: "",
        help: "Where downloads go unless -o says otherwise; empty: the current folder",
        check: |_| Ok(()),
    },
    Known {
        key: "get.stall_timeout",
        default: "60s",
        help: "Give up when nothing has moved for this time; 0 waits for ever",
        check: check_duration,
    },
];

fn check_listen(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    text.parse::<SocketAddr>()
        .map(drop)
        .map_err(|_| "is not an address and port, such as 0.0.0.0:7731 or [::]:7731".into())
}

fn check_number<T: std::str::FromStr>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|_| "is not a number that fits".into())
}

/// None at all would be a peer that can never meet another.
fn check_count(text: &str) -> Result<(), String> {
    match text.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("is not a number from 1 to 65535".into()),
    }
}

fn check_threads(text: &str) -> Result<(), String> {
    match text.parse::<usize>() {
        Ok(1..=64) => Ok(()),
        _ => Err("is not a number from 1 to 64".into()),
    }
}

fn check_slots(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { check_threads(text) }
}

fn check_encryption(text: &str) -> Result<(), String> {
    text.parse::<EncryptionPolicy>().map(drop).map_err(|error| error.to_string())
}

/// More would be asked than anybody needs.
const STUN_SERVERS_MAX: usize = 8;

fn check_servers(text: &str) -> Result<(), String> {
    let right = |server: &str| {
        server
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0))
    };
    if servers(text).count() > STUN_SERVERS_MAX {
        Err(format!("has more than {STUN_SERVERS_MAX} servers"))
    } else if servers(text).all(right) {
        Ok(())
    } else {
        Err("is not a list such as stun.example.org:3478,192.0.2.7:3478".into())
    }
}

fn check_seeds(text: &str) -> Result<(), String> {
    servers(text).try_for_each(|seed| parse_seed(seed).map(drop).map_err(|why| format!("`{seed}` {why}")))
}

/// The parts of a list with commas.
fn servers(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|server| !server.is_empty())
}

fn check_tls(text: &str) -> Result<(), String> {
    text.parse::<TlsPolicy>().map(drop).map_err(|error| error.to_string())
}

fn check_relays(text: &str) -> Result<(), String> {
    text.split_whitespace().try_for_each(peerage_node::check_relay)
}

fn check_bool(text: &str) -> Result<(), String> {
    text.parse::<bool>().map(drop).map_err(|_| "is neither true nor false".into())
}

fn check_switch(text: &str) -> Result<(), String> {
    parse_switch(text).map(drop)
}

fn check_rate(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Ok(())
    } else {
        parse_rate(text).map(drop).map_err(|_| "is not a rate, such as 500k or 2MB/s".into())
    }
}

/// A daemon's current folder is nobody's choice.
fn check_path(text: &str) -> Result<(), String> {
    if text.is_empty() || Path::new(text).is_absolute() {
        Ok(())
    } else {
        Err("is not an absolute path".into())
    }
}

fn check_ratio(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio.is_finite() && ratio >= 0.0 => Ok(()),
        _ => Err("is not a ratio, such as 1.5".into()),
    }
}

fn check_duration(text: &str) -> Result<(), String> {
    parse_duration(text).map(drop).map_err(|_| "is not a duration, such as 90s or 5m".into())
}

/// The settings in force, each with its origin.
#[derive(Clone, Debug)]
pub struct Config {
    values: BTreeMap<&'static str, (String, String)>,
}

impl Config {
    /// Reads `file` (a missing one is an empty one unless `required`), then the variables
    /// `PEERAGE_SECTION__KEY`, then `set` (`section.key=value`).
    ///
    /// # Errors
    /// A sentence with file, line and key for whatever is wrong, and the nearest known key for an
    /// unknown one.
    pub fn load(
        file: &Path,
        required: bool,
        variables: impl Iterator<Item = (String, String)>,
        set: &[String],
    ) -> Result<Self, Failure> {
        let mut config = Self::defaults();
        match std::fs::read_to_string(file) {
            Ok(text) => config.read_file(file, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {}
            Err(error) => return Err(wrong(format!("{}: cannot be read: {error}", file.display()))),
        }
        for (name, value) in variables {
            // Two underscores tell a setting from a flag's variable, such as PEERAGE_LISTEN.
            let Some((section, key)) = name.strip_prefix("PEERAGE_").and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let key = format!("{}.{}", section.to_ascii_lowercase(), key.to_ascii_lowercase());
            config.set(&key, value, &name).map_err(|why| wrong(format!("variable {name}: {why}")))?;
        }
        for item in set {
            let (key, value) = item
                .split_once('=')
                .ok_or_else(|| wrong(format!("--set {item}: write --set section.key=value")))?;
            config
                .set(key.trim(), value.to_owned(), "--set")
                .map_err(|why| wrong(format!("--set: {why}")))?;
        }
        Ok(config)
    }

    fn read_file(&mut self, file: &Path, text: &str) -> Result<(), Failure> {
        let place = |at: usize| {
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            format!("{}, line {line}", file.display())
        };
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(format!("{}: {}", place(at), error.message()))
        })?;
        for (section, table) in document.get_ref() {
            let DeValue::Table(table) = table.get_ref() else {
                return Err(wrong(format!(
                    "{}: `{}` stands outside a section",
                    place(section.span().start),
                    section.get_ref()
                )));
            };
            for (key, value) in table {
                let at = place(key.span().start);
                let name = format!("{}.{}", section.get_ref(), key.get_ref());
                let value = match value.get_ref() {
                    DeValue::String(text) => text.to_string(),
                    DeValue::Boolean(flag) => flag.to_string(),
                    DeValue::Integer(number) => number.as_str().replace('_', ""),
                    _ => {
                        return Err(wrong(format!("{at}: `{name}` must be a text, a number, true or false")));
                    }
                };
                self.set(&name, value, &file.display().to_string())
                    .map_err(|why| wrong(format!("{at}: {why}")))?;
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String, origin: &str) -> Result<(), String> {
        let Some(known) = KNOWN.iter().find(|known| known.key == key) else {
            let nearest = KNOWN.iter().map(|known| known.key).min_by_key(|name| distance(name, key));
            let hint = nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            return Err(format!("there is no setting `{key}`{hint}"));
        };
        (known.check)(&value).map_err(|why| format!("`{key}`: `{value}` {why}"))?;
        self.values.insert(known.key, (value, origin.to_owned()));
        Ok(())
    }

    /// What holds where nothing is configured.
    #[must_use]
    pub fn defaults() -> Self {
        let value = |known: &Known| (known.key, (known.default.to_owned(), "default".to_owned()));
        Self { values: KNOWN.iter().map(value).collect() }
    }

    /// Every setting with its origin, in order.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        KNOWN
            .iter()
            .filter_map(|known| {
                let (value, origin) = self.values.get(known.key)?;
                Some(Setting {
                    key: known.key.to_owned(),
                    value: value.clone(),
                    origin: origin.clone(),
                    help: known.help.to_owned(),
                })
            })
            .collect()
    }

    /// The text of a setting; checked when it was set, so its parts parse.
    fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(value, _)| value.as_str())
    }

    fn path(&self, key: &str) -> Option<std::path::PathBuf> {
        Some(self.text(key)).filter(|text| !text.is_empty()).map(Into::into)
    }

    /// The folder for downloads, where one is set.
    #[must_use]
    pub fn download_folder(&self) -> Option<std::path::PathBuf> {
        self.path("get.folder")
    }

    /// How long a download may stand still; `None` waits for ever.
    #[must_use]
    pub fn stall_timeout(&self) -> Option<Duration> {
        parse_duration(self.text("get.stall_timeout")).ok().filter(|time| !time.is_zero())
    }

    /// What a daemon is started with, besides its node.
    #[must_use]
    pub fn daemon(&self, runtime_dir: &Path, downloads: &Path) -> request::Daemon {
        let seconds = parse_duration(self.text("seed.time")).unwrap_or_default();
        request::Daemon {
            api: self.text("api.listen").parse().ok(),
            insecure: false,
            hosts: servers(self.text("api.hosts")).map(str::to_owned).collect(),
            runtime_dir: runtime_dir.to_path_buf(),
            downloads: downloads.to_path_buf(),
            downloads_max: self.text("daemon.downloads").parse().unwrap_or_default(),
            ratio_goal: self.text("seed.ratio").parse().unwrap_or_default(),
            seeding_goal: seconds.as_secs(),
            alternative: ["alternative.upload", "alternative.download"]
                .map(|key| parse_rate(self.text(key)).ok().filter(|rate| *rate > 0)),
            schedule: self.text("alternative.schedule").to_owned(),
            watch: self.path("daemon.watch"),
            on_complete: self.path("daemon.on_complete"),
            settings: self.settings().into_iter().map(shown).collect(),
        }
    }

    /// Bytes per second to peers of a daemon that has no other limit.
    #[must_use]
    pub fn daemon_upload(&self) -> Option<u64> {
        parse_rate(self.text("daemon.upload")).ok()
    }

    /// What a node is started with.
    #[must_use]
    pub fn node(&self, state_dir: &Path) -> NodeConfig {
        let number = |key| self.text(key).parse().unwrap_or_default();
        NodeConfig {
            listen: self.text("network.listen").parse().ok(),
            port: self.text("network.port").parse().unwrap_or_default(),
            connections_max: number("network.connections"),
            half_open_max: number("network.half_open"),
            upload_limit: parse_rate(self.text("limits.upload")).ok(),
            download_limit: parse_rate(self.text("limits.download")).ok(),
            upload_slots: self.text("limits.upload_slots").parse().ok(),
            allow_local: self.text("network.allow_local") == "true",
            encryption: self.text("network.encryption").parse().unwrap_or_default(),
            port_mapping: parse_switch(self.text("network.port_mapping")).unwrap_or_default(),
            stun_servers: servers(self.text("network.stun_servers")).map(str::to_owned).collect(),
            tls: self.text("network.tls").parse().unwrap_or_default(),
            relays: self.text("network.relays").split_whitespace().map(str::to_owned).collect(),
            utp: self.text("network.utp") == "on",
            dht: parse_switch(self.text("network.dht")).unwrap_or_default(),
            local_discovery: self.text("network.local_discovery") == "true",
            bootstrap: servers(self.text("network.bootstrap")).map(str::to_owned).collect(),
            via: self.text("network.via").parse().unwrap_or_default(),
            bind: Some(self.text("network.bind").to_owned()).filter(|text| !text.is_empty()),
            io_threads: number("store.io_threads"),
            state_dir: state_dir.to_path_buf(),
        }
    }
}

fn shown(setting: Setting) -> peerage_api::control::Setting {
    let Setting { key, value, origin, help } = setting;
    peerage_api::control::Setting { key, value, origin, help }
}

fn wrong(message: String) -> Failure {
    Failure::new(ExitCode::Config, "E_CONFIG", message).hint("`peerage config show` lists every setting")
}

/// Edit distance, for the nearest known key.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)], set: &[&str]) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(&file, true, variables, &set.iter().map(|&item| item.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn later_layers_win_and_origins_are_kept() {
        let file = "[limits]\nupload = \"1MB/s\"\ndownload = \"2MB/s\"\n[network]\nport = 7_000\n";
        let config =
            load(file, &[("PEERAGE_LIMITS__UPLOAD", "3MB/s"), ("PEERAGE_LISTEN", "x")], &["network.port=1"])
                .unwrap();
        let node = config.node(Path::new("s"));
        assert_eq!(
            (node.upload_limit, node.download_limit, node.port),
            (Some(3_000_000), Some(2_000_000), 1)
        );
        let origin = |key: &str| config.settings().into_iter().find(|s| s.key == key).unwrap().origin;
        assert_eq!(origin("limits.upload"), "PEERAGE_LIMITS__UPLOAD");
        assert_eq!(origin("network.port"), "--set");
        assert!(origin("limits.download").ends_with("config.toml"));
        assert_eq!(origin("store.io_threads"), "default");
    }

    #[test]
    fn lists_have_commas() {
        let config = load("", &[], &["network.stun_servers=a.example:1, [2001:db8::1]:2"]).unwrap();
        assert_eq!(config.node(Path::new("s")).stun_servers, ["a.example:1", "[2001:db8::1]:2"]);
        assert!(Config::defaults().node(Path::new("s")).stun_servers.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, part) in [
            (
                "[limits]\n\nuplod = \"1MB/s\"\n",
                "line 3: there is no setting `limits.uplod`; did you mean `limits.upload`?",
            ),
            ("[limits]\nupload = \"fast\"\n", "line 2: `limits.upload`: `fast` is not a rate"),
            ("[limits]\nupload = [1]\n", "line 2"),
            ("[limits\n", "line 1"),
            ("port = 1\n", "outside a section"),
            ("[network]\nport = 99999\n", "is not a number that fits"),
            ("[network]\nconnections = 0\n", "line 2: `network.connections`: `0` is not a number from 1 to"),
            ("[network]\nstun_servers = \"a:1, b\"\n", "is not a list such as stun.example.org:3478"),
            ("[network]\nport_mapping = true\n", "`true` is neither on nor off"),
            ("[network]\nhalf_open = 65536\n", "is not a number from 1 to 65535"),
        ] {
            let failure = load(text, &[], &[]).unwrap_err();
            assert!(failure.message.contains(part), "{text:?} gave {}", failure.message);
            assert_eq!(failure.exit, 12);
        }
        assert!(
            load("", &[("PEERAGE_NETWORK__PORT", "x")], &[])
                .unwrap_err()
                .message
                .contains("PEERAGE_NETWORK__PORT")
        );
        assert!(load("", &[], &["network.port"]).unwrap_err().message.contains("section.key=value"));
    }
}
