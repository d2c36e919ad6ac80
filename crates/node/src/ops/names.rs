//! Names that update: keys, what is published under them, and what they lead to (BEP 46).

use std::time::Duration;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::reply::{KeyInfo, Keys as KeysReply, Secret};
use peerage_api::request::NodeConfig;
use peerage_api::{Event, SCHEMA_VERSION};
use peerage_base::{InfoHashV1, Instant};
use peerage_net::identity::Identity;
use peerage_overlay::mainline::{Item, torrent_of, torrent_value};
use peerage_wire::krpc::Signed;
use tokio::sync::mpsc;

use super::dht::brief;
use super::session::Session;
use crate::Stop;
use crate::dht::{Answer, Lookup};
use crate::names::{KeyError, Keys, export, public};

/// What a link to a key begins with.
const SCHEME: &str = "peerage:";

/// Whether text is a name that updates, and no link to one torrent.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(SCHEME) || (text.contains("xs=urn:btpk:") && !text.contains("xt="))
}

/// Others forget an item after two hours (BEP 44 asks for one anew each hour).
const RENEW: Duration = Duration::from_secs(3600);

/// After a try that no node took; doubled each time, to [`RENEW`] at most.
const RETRY_FIRST: Duration = Duration::from_secs(2);

/// Answers of one look-up that wait here; more are dropped.
const ANSWERS_MAX: usize = 256;

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let message = error.to_string();
        match &error {
            KeyError::Name(_) | KeyError::Secret => Self::new(ExitCode::Usage, "E_KEY", message),
            KeyError::Absent(_) => Self::new(ExitCode::NotFound, "E_NO_KEY", message)
                .hint("`peerage key ls` shows those that are there, `peerage key new NAME` makes one"),
            KeyError::Taken(_) => Self::new(ExitCode::Conflict, "E_EXISTS", message)
                .hint("choose another name; none is replaced"),
            KeyError::File { source, .. } => Self::of_kind(source.kind(), message),
            KeyError::Identity(_) => Self::new(ExitCode::Config, "E_KEY", message)
                .hint("put the file's backup there (`peerage key import`), or remove it"),
        }
    }
}

fn info(name: &str, key: &Identity) -> KeyInfo {
    let public_key = public(key);
    let link = format!("magnet:?xs=urn:btpk:{public_key}");
    KeyInfo { schema_version: SCHEMA_VERSION, name: name.to_owned(), public_key, link }
}

/// The keys of this machine.
///
/// # Errors
/// The folder cannot be read.
pub fn key_list(config: &NodeConfig) -> Result<KeysReply, Failure> {
    let keys = Keys::of(&config.state_dir).list()?;
    let keys = keys.iter().map(|(name, key)| info(name, key)).collect();
    Ok(KeysReply { schema_version: SCHEMA_VERSION, keys })
}

/// Makes a key.
///
/// # Errors
/// The name is none or taken, the folder cannot be written.
pub fn key_new(name: &str, config: &NodeConfig) -> Result<KeyInfo, Failure> {
    Ok(info(name, &Keys::of(&config.state_dir).make(name)?))
}

/// The secret of a key, as [`key_import`] takes it.
///
/// # Errors
/// There is none of that name.
pub fn key_export(name: &str, config: &NodeConfig) -> Result<Secret, Failure> {
    let key = Keys::of(&config.state_dir).open(name)?;
    Ok(Secret { schema_version: SCHEMA_VERSION, name: name.to_owned(), secret: export(&key) })
}

/// Takes a key in that was exported.
///
/// # Errors
/// The name is none or taken, the text no secret, the folder cannot be written.
pub fn key_import(name: &str, secret: &str, config: &NodeConfig) -> Result<KeyInfo, Failure> {
    Ok(info(name, &Keys::of(&config.state_dir).import(name, secret)?))
}

/// Who is followed: a public key, and the salt of one of its places.
#[derive(Debug, PartialEq, Eq)]
struct Followed {
    key: [u8; 32],
    salt: Vec<u8>,
}

/// What a link says of a key; `None`: it is of another kind.
fn parse(link: &str, keys: &Keys) -> Result<Option<Followed>, Failure> {
    let bad = || {
        Failure::new(
            ExitCode::Usage,
            "E_LINK",
            "the link names no public key: 64 hexadecimal digits, or a key's name",
        )
        .hint("`peerage key ls` shows your own; a link to another's is magnet:?xs=urn:btpk:KEY")
    };
    let public = |text: &str| {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap_or_default();
        <[u8; 32]>::try_from(bytes).ok()
    };
    if let Some(name) = link.strip_prefix(SCHEME) {
        let key = match public(name) {
            Some(key) => key,
            None if name.len() == 64 => return Err(bad()),
            None => keys.open(name)?.id().0,
        };
        return Ok(Some(Followed { key, salt: Vec::new() }));
    }
    let Some(query) =
        link.get(..8).filter(|start| start.eq_ignore_ascii_case("magnet:?")).and_then(|_| link.get(8..))
    else {
        return Ok(None);
    };
    let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name));
    let Some(key) = value("xs=urn:btpk:").filter(|_| value("xt=").is_none()) else { return Ok(None) };
    let salt = data_encoding::HEXLOWER_PERMISSIVE.decode(value("s=").unwrap_or_default().as_bytes());
    let (Some(key), Ok(salt)) = (public(key), salt) else { return Err(bad()) };
    Ok(Some(Followed { key, salt }))
}

/// The link of what was last published under the key that `link` names; `None` where it names none.
///
/// # Errors
/// Nothing is published there, no node answers, or `stop` came first.
pub(super) async fn resolve(link: &str, config: &NodeConfig, stop: &Stop) -> Result<Option<String>, Failure> {
    let Some(followed) = parse(link, &Keys::of(&config.state_dir))? else { return Ok(None) };
    let target = Item::mutable_target(&followed.key, &followed.salt);
    // On a port of its own: the usual one is the download's.
    let listen = config.listen.map(|addr| (addr.ip(), 0).into());
    let config = NodeConfig { listen, ..config.clone() };
    let item = brief(&config, stop, async |node| {
        node.join().await?;
        Ok(node.get(target, &followed.salt).await?.0)
    })
    .await?;
    let hash = item.as_ref().and_then(torrent_of).ok_or_else(|| {
        let (code, what) = match item {
            Some(_) => ("E_ITEM", "what is stored under the key is no torrent"),
            None => ("E_NO_ITEM", "nothing is published under the key"),
        };
        Failure::new(ExitCode::NotFound, code, what)
            .hint("what nobody renews is forgotten after two hours: is its publisher still running?")
    })?;
    Ok(Some(format!("magnet:?xt=urn:btih:{}", InfoHashV1(hash))))
}

/// Keeps one info hash stored under a key while a share runs.
pub(super) struct Publisher {
    key: Identity,
    name: String,
    value: Vec<u8>,
    state: State,
    next_at: Instant,
    wait: Duration,
    published: bool,
}

enum State {
    /// Until the time has come.
    Waiting,
    /// Asking what is there, for its version.
    Asking(mpsc::Receiver<Answer>, i64),
    /// Storing.
    Storing(mpsc::Receiver<Answer>, Box<Item>),
}

impl Publisher {
    /// Opens the key.
    ///
    /// # Errors
    /// There is none, or there is no DHT to store in.
    pub fn open(name: &str, config: &NodeConfig) -> Result<Self, Failure> {
        let key = Keys::of(&config.state_dir).open(name)?;
        if !config.dht || config.via == peerage_api::request::ViaPolicy::Relay {
            let message = "a name is published in the DHT, which is off";
            return Err(
                Failure::new(ExitCode::Usage, "E_USAGE", message).hint("leave --dht off or --via relay away")
            );
        }
        let (next_at, wait) = (Instant::ZERO, RETRY_FIRST);
        let (value, state, published) = (Vec::new(), State::Waiting, false);
        Ok(Self { key, name: name.to_owned(), value, state, next_at, wait, published })
    }

    /// What it is about.
    pub fn set_torrent(&mut self, info_hash: [u8; 20]) {
        self.value = torrent_value(&info_hash);
    }

    /// Whether some node has taken it.
    pub fn is_published(&self) -> bool {
        self.published
    }

    /// Goes on with what is due, or has been answered.
    pub fn poll(&mut self, session: &Session) {
        let now = session.driver.now();
        let id = self.key.id().0;
        let target = Item::mutable_target(&id, b"");
        match std::mem::replace(&mut self.state, State::Waiting) {
            State::Waiting if now >= self.next_at => {
                if let Some(answers) = look(session, Lookup::Get(target, Vec::new())) {
                    self.state = State::Asking(answers, 0);
                }
            }
            State::Waiting => {}
            State::Asking(mut answers, mut seq) => loop {
                match answers.try_recv() {
                    Ok(Answer::Item(item)) => {
                        // The same again keeps its version: it is only renewed.
                        let next = if item.value() == self.value {
                            item.seq()
                        } else {
                            item.seq().saturating_add(1)
                        };
                        seq = seq.max(next);
                    }
                    Ok(Answer::Peers(_)) => {}
                    Err(mpsc::error::TryRecvError::Empty) => {
                        self.state = State::Asking(answers, seq);
                        return;
                    }
                    Ok(Answer::Done(_)) | Err(mpsc::error::TryRecvError::Disconnected) => {
                        return self.store(session, seq.max(1));
                    }
                }
            },
            State::Storing(mut answers, item) => match answers.try_recv() {
                Ok(Answer::Done(report)) => {
                    self.ended(session, report.stored, item.seq());
                }
                Ok(_) | Err(mpsc::error::TryRecvError::Empty) => self.state = State::Storing(answers, item),
                Err(mpsc::error::TryRecvError::Disconnected) => self.ended(session, 0, item.seq()),
            },
        }
    }

    fn store(&mut self, session: &Session, seq: i64) {
        let signature = self.key.sign(&Item::signed_bytes(b"", seq, &self.value));
        let signed = Signed { key: self.key.id().0, seq, signature };
        let Ok(item) = Item::new(self.value.clone(), Some(signed), Vec::new()) else { return };
        if let Some(answers) = look(session, Lookup::Put(item.clone())) {
            self.state = State::Storing(answers, Box::new(item));
        }
    }

    fn ended(&mut self, session: &Session, stored: usize, seq: i64) {
        let now = session.driver.now();
        if stored > 0 {
            self.published = true;
            (self.next_at, self.wait) = (now + RENEW, RETRY_FIRST);
            let public_key = public(&self.key);
            let link = format!("magnet:?xs=urn:btpk:{public_key}");
            session.tell(Event::Published { name: self.name.clone(), public_key, link, seq, nodes: stored });
        } else {
            self.next_at = now + self.wait;
            self.wait = (self.wait * 2).min(RENEW);
        }
    }
}

fn look(session: &Session, lookup: Lookup) -> Option<mpsc::Receiver<Answer>> {
    let (sender, receiver) = mpsc::channel(ANSWERS_MAX);
    session.driver.look(lookup, Box::new(move |answer| drop(sender.try_send(answer)))).then_some(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of BEP 46.
    const KEY: &str = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";

    #[test]
    fn links_to_keys_are_told_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::of(dir.path());
        let own = keys.make("blog").unwrap();
        let parse = |link: &str| super::parse(link, &keys);
        let key = data_encoding::HEXLOWER.decode(KEY.as_bytes()).unwrap().try_into().unwrap();
        let plain = || Some(Followed { key, salt: Vec::new() });
        assert_eq!(parse(&format!("magnet:?xs=urn:btpk:{KEY}")).unwrap(), plain());
        assert_eq!(parse(&format!("peerage:{KEY}")).unwrap(), plain());
        assert_eq!(parse("peerage:blog").unwrap(), Some(Followed { key: own.id().0, salt: Vec::new() }));
        let salted = parse(&format!("magnet:?dn=x&xs=urn:btpk:{KEY}&s=6e")).unwrap();
        assert_eq!(salted, Some(Followed { key, salt: b"n".to_vec() }));
        for other in
            ["magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567", "a.torrent", KEY, "mägnet:?x"]
        {
            assert_eq!(parse(other).unwrap(), None, "{other}");
        }
        for bad in
            ["magnet:?xs=urn:btpk:12", "peerage:none", "peerage:../x", &format!("peerage:{}", "z".repeat(64))]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
