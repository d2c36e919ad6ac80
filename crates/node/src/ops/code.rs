//! Handing a link over by a short code, through a relay that both sides know.

use std::time::Duration;

use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_net::code::{self, Code, CodeError, CodeParseError, Desk, ExchangeError};

use crate::{Sink, Stop};

/// The relay at which both sides meet.
fn relay(config: &NodeConfig) -> Result<&str, Failure> {
    let usage = |message: &str, hint: &str| Failure::new(ExitCode::Usage, "E_NO_RELAY", message).hint(hint);
    if config.bind.is_some() || config.via == ViaPolicy::Direct {
        return Err(usage(
            "a code is handed over at a relay, and --bind and --via direct use none",
            "leave them away, or hand over the link",
        ));
    }
    config.relays.first().map(String::as_str).ok_or_else(|| {
        usage(
            "a code is handed over at a relay that both sides name, and none is named",
            "name the same one on both sides with --relay URL or network.relays; `peerage relay` runs one",
        )
    })
}

fn failure(error: &CodeError) -> Failure {
    let (exit, hint) = match error {
        CodeError::Quic(_) => (ExitCode::Unclassified, "`peerage doctor` tells more"),
        CodeError::Relay(_) | CodeError::Lost => {
            (ExitCode::Unreachable, "`peerage doctor --relay URL` tells more")
        }
        CodeError::Nobody(_) => (
            ExitCode::NotFound,
            "is the share still running, at the same relay (--relay), and the number right? A code is for one use",
        ),
        CodeError::Exchange(ExchangeError::Io(_)) => (ExitCode::Unreachable, "try again"),
        CodeError::Exchange(_) | CodeError::Void => (
            ExitCode::Denied,
            "type it again; after a few wrong ones it is void, and the sharer needs a new one",
        ),
    };
    Failure::new(exit, "E_CODE", error.to_string()).hint(hint)
}

/// A code's place at the relay, taken.
pub(super) struct Offer {
    desk: Desk,
    code: Code,
}

impl Offer {
    /// Draws a code and takes its place.
    ///
    /// # Errors
    /// No relay is named, or it is not reached.
    pub async fn open(config: &NodeConfig) -> Result<Self, Failure> {
        let relay = relay(config)?;
        let code = Code::random().map_err(|error| super::io_failure("a code", &error))?;
        let desk = Desk::open(relay, code.clone()).await.map_err(|error| failure(&error))?;
        Ok(Self { desk, code })
    }

    /// What to say to the other side.
    pub fn code(&self) -> String {
        self.code.to_string()
    }

    /// Waits for the other side beside the share, and tells what became of the code.
    pub fn serve(self, link: String, sink: Sink) {
        tokio::spawn(async move {
            match self.desk.serve(&link).await {
                Ok(()) => sink(Event::CodeUsed),
                Err(error) => sink(Event::Warning { message: error.to_string() }),
            }
        });
    }
}

/// Whether text is a code, perhaps one with a misspelt word.
#[must_use]
pub fn is_code(text: &str) -> bool {
    !matches!(text.parse::<Code>(), Err(CodeParseError::Shape))
}

/// Whether text begins as a code does: with a number and a word.
pub(super) fn begins_as_code(text: &str) -> bool {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = &text[digits..];
    let letters = rest.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-' || byte == b' ');
    (1..=4).contains(&digits) && rest.starts_with(['-', ' ']) && letters
}

/// The link that `text` stands for, where it is a code. `None`: it is none.
///
/// # Errors
/// A code with a misspelt word, one that nobody answers to, or `stop`.
pub(crate) async fn resolve(
    text: &str,
    config: &NodeConfig,
    stop: &Stop,
    limit: Option<f64>,
) -> Result<Option<String>, Failure> {
    let code: Code = match text.parse() {
        // What is there under this name is meant.
        _ if std::path::Path::new(text).exists() => return Ok(None),
        Ok(code) => code,
        Err(CodeParseError::Shape) => return Ok(None),
        Err(error) => {
            let hint = "the words of codes are English ones; four letters of each are enough";
            return Err(Failure::new(ExitCode::Usage, "E_CODE", error.to_string()).hint(hint));
        }
    };
    let relay = relay(config)?;
    let limit = limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok()).unwrap_or(Duration::MAX);
    tokio::select! {
        link = tokio::time::timeout(limit, code::fetch(relay, &code)) => match link {
            Ok(link) => link.map(Some).map_err(|error| failure(&error)),
            Err(_) => Err(Failure::new(ExitCode::Timeout, "E_TIMEOUT", "nobody answered to the code in time")),
        },
        () = stop.requested() => {
            Err(Failure::new(ExitCode::Interrupted, "E_CANCELLED", "stopped before anybody answered to the code"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_names() {
        assert!(is_code("4711-orbit-walnut") && is_code("4711-orbit-wallnut"));
        assert!(!is_code("4711-orbit") && !is_code("holiday-2-photos"));
        assert!(begins_as_code("4711-orbit") && begins_as_code("7-") && begins_as_code("4711-orbit-wal-nut"));
        for name in ["2024", "2024-05-01", "photos", "1-photo.jpg", "123456-a", ""] {
            assert!(!begins_as_code(name), "{name}");
        }
    }
}
