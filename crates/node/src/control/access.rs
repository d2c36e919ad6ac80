//! Tokens, sessions and one-time links.
//!
//! A secret has 256 random bits and is known by its SHA-256; so it is looked up by its digest, and nothing that
//! takes time depends on how much of a guess is right. The first token is kept in a file of this user's alone, where
//! commands find it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use peerage_api::control::{LoginLink, Scope, Session, Token};
use peerage_api::error::{ExitCode, Failure};
use sha2::{Digest, Sha256};

use crate::daemon::catalog::{Catalog, Loaded, TokenRecord};
use crate::daemon::unix_now;

/// The file with the first token, in the state folder.
const FIRST_FILE: &str = "api-token";
/// Name of the first token. It is as old as its file, and revoked by removing that.
const FIRST: &str = "first";
/// Sessions at a time; the oldest goes.
const SESSIONS_MAX: usize = 64;
/// A session that is not used ends after this time.
const SESSION_SECONDS: u64 = 7 * 24 * 3600;
/// One-time links at a time, and how long each is good.
const LINKS_MAX: usize = 16;
const LINK_SECONDS: u64 = 24 * 3600;
/// Wrong tokens from one address within [`GUESS_WINDOW`], after which no token is looked at for [`LOCK_TIME`].
const GUESSES_MAX: u32 = 10;
const GUESS_WINDOW: Duration = Duration::from_secs(60);
const LOCK_TIME: Duration = Duration::from_secs(60);
/// Addresses whose guesses are counted.
const GUESSERS_MAX: usize = 1024;
/// Tokens at most.
pub(super) const TOKENS_MAX: usize = 256;

/// Who may do what.
pub(crate) struct Access {
    inner: Mutex<Inner>,
    first_file: PathBuf,
}

struct Inner {
    /// By the digest of the secret.
    tokens: HashMap<String, Known>,
    sessions: BTreeMap<String, Open>,
    links: BTreeMap<String, (Scope, u64)>,
    guesses: HashMap<IpAddr, Guesses>,
}

struct Known {
    record: TokenRecord,
    used_at: Option<u64>,
}

struct Open {
    scope: Scope,
    csrf: String,
    expires_at: u64,
}

struct Guesses {
    wrong: u32,
    since: Instant,
    locked_until: Option<Instant>,
}

/// Why a secret is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Unknown,
    /// Too many wrong ones came from there.
    Locked,
}

/// 256 random bits as text.
pub(super) fn secret() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(
            ExitCode::Unclassified,
            "E_SYSTEM",
            format!("the system gives no random numbers: {error}"),
        )
    })?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// What stands for a secret.
pub(super) fn digest(secret: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(secret.as_bytes()))
}

impl Access {
    /// With the tokens that were made, and the first one, made where there is none.
    ///
    /// # Errors
    /// Its file cannot be read or made.
    pub fn new(state_dir: &Path, _: &Catalog, loaded: &Loaded) -> Result<Self, Failure> {
        let first_file = state_dir.join(FIRST_FILE);
        let first = first_token(&first_file)?;
        let record = TokenRecord {
            id: FIRST.to_owned(),
            name: format!("in {}", first_file.display()),
            scope: Scope::Admin,
            created_at: 0,
            digest: digest(&first),
        };
        let records = std::iter::once(record).chain(loaded.tokens.iter().cloned());
        let tokens = records.map(|record| (record.digest.clone(), Known { record, used_at: None })).collect();
        let inner =
            Inner { tokens, sessions: BTreeMap::new(), links: BTreeMap::new(), guesses: HashMap::new() };
        Ok(Self { inner: Mutex::new(inner), first_file })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn first_file(&self) -> &Path {
        &self.first_file
    }

    /// A link that opens the page once, with all rights.
    pub fn login_url(&self, base: &str) -> String {
        self.login_link(base).map(|link| link.url).unwrap_or_default()
    }

    pub(super) fn login_link(&self, base: &str) -> Result<LoginLink, Failure> {
        let token = secret()?;
        let expires_at = unix_now() + LINK_SECONDS;
        let mut inner = self.lock();
        inner.links.retain(|_, (_, until)| *until > unix_now());
        while inner.links.len() >= LINKS_MAX {
            let oldest =
                inner.links.iter().min_by_key(|(_, (_, until))| *until).map(|(digest, _)| digest.clone());
            oldest.and_then(|digest| inner.links.remove(&digest));
        }
        inner.links.insert(digest(&token), (Scope::Admin, expires_at));
        Ok(LoginLink { url: format!("{base}/#token={token}"), expires_at })
    }

    /// What a token permits. Wrong ones are counted by where they come from.
    pub(super) fn token(&self, from: Option<IpAddr>, text: &str) -> Result<Scope, Denied> {
        let mut inner = self.lock();
        inner.check_lock(from)?;
        let now = unix_now();
        match inner.tokens.get_mut(&digest(text)) {
            Some(known) => {
                // To the minute: more would be a diary.
                known.used_at = Some(now - now % 60);
                Ok(known.record.scope)
            }
            None => Err(inner.guessed_wrong(from)),
        }
    }

    /// Opens a session for a token or, once, a link's: its name, which is secret, and what its user is told.
    pub(super) fn open_session(
        &self,
        from: Option<IpAddr>,
        text: &str,
    ) -> Result<Result<(String, Session), Denied>, Failure> {
        let (name, csrf) = (secret()?, secret()?);
        let mut inner = self.lock();
        if let Err(denied) = inner.check_lock(from) {
            return Ok(Err(denied));
        }
        let now = unix_now();
        let digest_of = digest(text);
        let link = inner.links.remove(&digest_of).filter(|(_, until)| *until > now).map(|(scope, _)| scope);
        let Some(scope) = link.or_else(|| inner.tokens.get(&digest_of).map(|known| known.record.scope))
        else {
            return Ok(Err(inner.guessed_wrong(from)));
        };
        let expires_at = now + SESSION_SECONDS;
        inner.sessions.retain(|_, open| open.expires_at > now);
        while inner.sessions.len() >= SESSIONS_MAX {
            let oldest =
                inner.sessions.iter().min_by_key(|(_, open)| open.expires_at).map(|(name, _)| name.clone());
            oldest.and_then(|name| inner.sessions.remove(&name));
        }
        inner.sessions.insert(digest(&name), Open { scope, csrf: csrf.clone(), expires_at });
        Ok(Ok((name, Session { scope, csrf_token: csrf, expires_at })))
    }

    /// The session of this name, which lives on from now.
    pub(super) fn session(&self, name: &str) -> Option<Session> {
        let mut inner = self.lock();
        let now = unix_now();
        let open = inner.sessions.get_mut(&digest(name)).filter(|open| open.expires_at > now)?;
        open.expires_at = now + SESSION_SECONDS;
        Some(Session { scope: open.scope, csrf_token: open.csrf.clone(), expires_at: open.expires_at })
    }

    pub(super) fn close_session(&self, name: &str) {
        self.lock().sessions.remove(&digest(name));
    }

    /// All tokens, without their secrets.
    pub(super) fn tokens(&self) -> Vec<Token> {
        let inner = self.lock();
        let mut tokens: Vec<Token> = inner.tokens.values().map(Known::shown).collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        tokens
    }

    pub(super) fn add_token(&self, record: TokenRecord) -> Result<Token, Failure> {
        let mut inner = self.lock();
        if inner.tokens.len() >= TOKENS_MAX {
            let message = format!("there are {TOKENS_MAX} tokens already");
            return Err(Failure::new(ExitCode::Conflict, "E_TOO_MANY", message).hint("revoke some of them"));
        }
        let known = Known { record, used_at: None };
        let token = known.shown();
        inner.tokens.insert(known.record.digest.clone(), known);
        Ok(token)
    }

    /// Takes a token's rights away; sessions that were opened with it end, too (all do: they do not say by which).
    pub(super) fn revoke(&self, id: &str) -> Result<(), Failure> {
        let mut inner = self.lock();
        let found = inner
            .tokens
            .values()
            .find(|known| known.record.id == id)
            .map(|known| known.record.digest.clone());
        let Some(digest) = found else {
            let message = format!("there is no token {}", crate::ops::printable(id));
            return Err(
                Failure::new(ExitCode::NotFound, "E_NO_TOKEN", message).hint("`peerage token ls` lists them")
            );
        };
        inner.tokens.remove(&digest);
        inner.sessions.clear();
        drop(inner);
        if id == FIRST {
            // The next start makes another.
            let _ = fs::remove_file(&self.first_file);
        }
        Ok(())
    }
}

impl Known {
    fn shown(&self) -> Token {
        let TokenRecord { id, name, scope, created_at, .. } = self.record.clone();
        Token { id, name, scope, created_at, used_at: self.used_at }
    }
}

impl Inner {
    fn check_lock(&mut self, from: Option<IpAddr>) -> Result<(), Denied> {
        let Some(guesses) = from.and_then(|from| self.guesses.get_mut(&from)) else { return Ok(()) };
        match guesses.locked_until {
            Some(until) if Instant::now() < until => Err(Denied::Locked),
            Some(_) => {
                (guesses.wrong, guesses.locked_until) = (0, None);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn guessed_wrong(&mut self, from: Option<IpAddr>) -> Denied {
        let Some(from) = from else { return Denied::Unknown };
        let now = Instant::now();
        if self.guesses.len() >= GUESSERS_MAX {
            self.guesses.retain(|_, guesses| now.duration_since(guesses.since) < GUESS_WINDOW + LOCK_TIME);
        }
        if self.guesses.len() >= GUESSERS_MAX && !self.guesses.contains_key(&from) {
            // So many at once are one guesser: none of the new ones is looked at.
            return Denied::Locked;
        }
        let guesses =
            self.guesses.entry(from).or_insert(Guesses { wrong: 0, since: now, locked_until: None });
        if now.duration_since(guesses.since) > GUESS_WINDOW {
            (guesses.wrong, guesses.since) = (0, now);
        }
        guesses.wrong += 1;
        if guesses.wrong >= GUESSES_MAX {
            guesses.locked_until = Some(now + LOCK_TIME);
            tracing::warn!(%from, "too many wrong tokens: no token from there is looked at for a minute");
        }
        Denied::Unknown
    }
}

/// The first token: read, or made at the first start.
fn first_token(path: &Path) -> Result<String, Failure> {
    let fail = |error: std::io::Error| {
        crate::ops::io_failure(&path.display().to_string(), &error)
            .hint("`peerage paths` shows the folders; --home DIR or PEERAGE_HOME puts them elsewhere")
    };
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 43 => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let token = secret()?;
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
            writeln!(file, "{token}")?;
            file.sync_all()
        });
    written.and_then(|()| fs::rename(&draft, path)).map_err(fail)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(dir: &Path) -> Access {
        let (catalog, loaded) = Catalog::open(dir).unwrap();
        let access = Access::new(dir, &catalog, &loaded).unwrap();
        catalog.close();
        access
    }

    #[test]
    fn the_first_token_is_private_and_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = access(dir.path());
        let text = fs::read_to_string(first.first_file()).unwrap();
        assert_eq!(fs::metadata(first.first_file()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(first.token(None, text.trim()), Ok(Scope::Admin));
        drop(first);
        assert_eq!(access(dir.path()).token(None, text.trim()), Ok(Scope::Admin));
    }

    #[test]
    fn guessing_is_locked_out_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let access = access(dir.path());
        let text = fs::read_to_string(access.first_file()).unwrap();
        let (guesser, other) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 2])));
        for _ in 0..GUESSES_MAX {
            assert_eq!(access.token(guesser, "wrong"), Err(Denied::Unknown));
        }
        assert_eq!(
            access.token(guesser, text.trim()),
            Err(Denied::Locked),
            "a right one is not looked at either"
        );
        assert_eq!(access.token(other, text.trim()), Ok(Scope::Admin));
        assert_eq!(access.token(None, text.trim()), Ok(Scope::Admin));
    }

    #[test]
    fn a_link_opens_one_session() {
        let dir = tempfile::tempdir().unwrap();
        let access = access(dir.path());
        let url = access.login_url("http://h");
        let token = url.rsplit('=').next().unwrap();
        let (name, session) = access.open_session(None, token).unwrap().unwrap();
        assert!(access.open_session(None, token).unwrap().is_err());
        assert_eq!(access.session(&name), Some(session));
        access.revoke(FIRST).unwrap();
        assert_eq!(access.session(&name), None);
    }
}
