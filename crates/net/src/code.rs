//! Short codes: a link is handed over by a number and two words, `4711-orbit-walnut`, said aloud.
//!
//! The number is a place at a relay: a key that everyone can make from it, under which the sharer waits. The
//! words are the password of SPAKE2 (the `spake2` crate), so that whoever does not know them, the relay or
//! another who takes the place, learns nothing of the link and has one guess for each contact. A code is for
//! one use, and void after [`GUESSES_MAX`] wrong guesses.
//!
//! The link travels under a key of that exchange: the keys of the connection's ends prove nothing here.

mod exchange;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use bip39::Language;
use peerage_base::Contact;
use tokio::time::timeout;

use crate::Boxed;
use crate::identity::Identity;
use crate::relay::{ProbeError, probe};
use crate::road::{Quic, QuicConfig, QuicError};
pub use exchange::{ExchangeError, LINK_BYTES_MAX};

/// Wrong guesses after which a code is void: together they hit one time in a million.
pub const GUESSES_MAX: u32 = 4;

/// Places at a relay. Two sharers that draw the same one at the same time hinder each other.
const PLACES: u16 = 9_999;

/// How long one contact may take, from the open connection to the end.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(10);

/// How long the sharer may take to answer at all.
const DIAL_LIMIT: Duration = Duration::from_secs(8);

/// Letters by which a word of the list is told from all others (BIP 39).
const PREFIX_LETTERS: usize = 4;

/// A place and two words: 22 bits that nobody can guess at leisure.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    place: u16,
    words: [&'static str; 2],
}

/// Why a text is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeParseError {
    /// Not a number and two words.
    #[error("a code is a number and two words, as 4711-orbit-walnut")]
    Shape,
    /// A word that no code has.
    #[error("no code has the word \"{0}\"")]
    Word(String),
}

/// Why a link was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// No way to relays.
    #[error(transparent)]
    Quic(#[from] QuicError),
    /// The relay does not answer, or does not let us in.
    #[error("the relay cannot be used: {0}")]
    Relay(#[from] ProbeError),
    /// It was lost.
    #[error("the relay is not reached any more")]
    Lost,
    /// Nobody is at the place.
    #[error("nobody waits at the relay under this number: {0}")]
    Nobody(io::Error),
    /// Somebody is, and does not know the words, or breaks off.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// Too many tried other words.
    #[error("the code was guessed wrong {GUESSES_MAX} times, and is void")]
    Void,
}

impl Code {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let number = u64::from_le_bytes(bytes);
        let words = Language::English.word_list();
        // A power of two of them, so that each is as likely; and of 2^42 numbers, a place almost.
        let word = |bits: u64| words[(number >> bits) as usize % words.len()];
        let place = 1 + ((number >> 22) % u64::from(PLACES)) as u16;
        Ok(Self { place, words: [word(0), word(11)] })
    }

    /// The key that stands for the place, which everyone can make.
    fn at(&self) -> Identity {
        let name = format!("peerage code 1, place {}", self.place);
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let mut seed = [0; 32];
        seed.copy_from_slice(hash.as_ref());
        Identity::from_seed(seed)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.place, self.words[0], self.words[1])
    }
}

/// Without the words, which are a secret.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-…", self.place)
    }
}

impl FromStr for Code {
    type Err = CodeParseError;

    /// Words may be cut after four letters, in any case, and blanks may stand for hyphens.
    fn from_str(text: &str) -> Result<Self, CodeParseError> {
        let text = text.trim().to_ascii_lowercase();
        let mut parts = text.split(['-', ' ']);
        let (Some(place), Some(first), Some(second), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CodeParseError::Shape);
        };
        let place = place.parse().ok().filter(|place| (1..=PLACES).contains(place));
        let letters = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let place = place.filter(|_| letters(first) && letters(second)).ok_or(CodeParseError::Shape)?;
        Ok(Self { place, words: [word(first)?, word(second)?] })
    }
}

fn word(typed: &str) -> Result<&'static str, CodeParseError> {
    let english = Language::English;
    let unknown = || CodeParseError::Word(typed.to_owned());
    if let Some(index) = english.find_word(typed) {
        return english.word_list().get(usize::from(index)).copied().ok_or_else(unknown);
    }
    let mut found = english.words_by_prefix_iter(typed).filter(|_| typed.len() >= PREFIX_LETTERS);
    found.next().ok_or_else(unknown)
}

/// A sharer that waits for who says its code.
pub struct Desk {
    quic: Quic,
    code: Code,
}

impl Desk {
    /// Takes the code's place at a relay.
    ///
    /// # Errors
    /// No relay can be reached.
    pub fn open<'a>(relay: &'a str, code: Code) -> Boxed<'a, Result<Self, CodeError>> {
        Box::pin(async move {
            let at = code.at();
            probe(&at, relay).await?;
            let quic = bind(&at, relay).await?;
            match quic.contact().await.relay {
                Some(_) => Ok(Self { quic, code }),
                None => Err(CodeError::Lost),
            }
        })
    }

    /// Hands the link to the first who knows the words.
    ///
    /// # Errors
    /// Too many wrong guesses, or the relay is gone for good.
    pub fn serve<'a>(self, link: &'a str) -> Boxed<'a, Result<(), CodeError>> {
        Box::pin(async move {
            let mut wrong = 0;
            while wrong < GUESSES_MAX {
                let incoming = self.quic.accept().await.ok_or(CodeError::Lost)?;
                let Ok(mut greeted) = incoming.open(false).await else { continue };
                match timeout(EXCHANGE_LIMIT, exchange::give(&mut greeted.stream, &self.code, link)).await {
                    Ok(Ok(())) => {
                        self.quic.close().await;
                        return Ok(());
                    }
                    Ok(Err(ExchangeError::WrongWords)) => wrong += 1,
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            self.quic.close().await;
            Err(CodeError::Void)
        })
    }
}

/// Fetches the link that a code stands for.
///
/// # Errors
/// See [`CodeError`].
pub fn fetch<'a>(relay: &'a str, code: &'a Code) -> Boxed<'a, Result<String, CodeError>> {
    Box::pin(async move {
        let mut seed = [0; 32];
        rand::fill(&mut seed)
            .map_err(|_| ExchangeError::Io(io::Error::other("the system gives no random numbers")))?;
        let identity = Identity::from_seed(seed);
        probe(&identity, relay).await?;
        let quic = bind(&identity, relay).await?;
        let at = Contact { relay: Some(relay.to_owned()), ..Contact::new(code.at().id()) };
        let dialled = timeout(DIAL_LIMIT, quic.dial(&at)).await;
        let mut greeted =
            dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(CodeError::Nobody)?;
        let link = timeout(EXCHANGE_LIMIT, exchange::take(&mut greeted.stream, code)).await;
        let link = link.unwrap_or(Err(ExchangeError::Io(io::ErrorKind::TimedOut.into())));
        quic.close().await;
        Ok(link?)
    })
}

async fn bind(identity: &Identity, relay: &str) -> Result<Quic, QuicError> {
    let ways = QuicConfig { addr: None, relays: vec![relay.to_owned()], relayed_only: true };
    Quic::bind(identity, &ways).await
}

#[cfg(test)]
mod tests;
