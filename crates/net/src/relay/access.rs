//! Whom a relay serves: everybody, or those on a list.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use iroh_relay::server::{Access, AccessControl, ClientRequest};
use peerage_base::PeerId;

/// Peers on a list.
pub const ALLOWED_MAX: usize = 100_000;
/// Refused peers that are told of, each once: a relay on the internet is knocked at by many.
const TOLD_MAX: usize = 1_000;

/// A list of peers that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// A line is no key.
    #[error("line {0} is not the key of a peer: one a line, as `x.pg` has it in links; # begins a comment")]
    Line(usize),
    /// More than [`ALLOWED_MAX`].
    #[error("more than {ALLOWED_MAX} peers")]
    TooMany,
}

/// Who may use a relay, and who hears of those that may not.
#[derive(Clone, Default)]
pub struct Guests {
    /// `None`: everybody.
    allowed: Option<Arc<BTreeSet<PeerId>>>,
    told: Arc<Mutex<BTreeSet<PeerId>>>,
    on_refused: Option<Arc<dyn Fn(PeerId) + Send + Sync>>,
}

impl std::fmt::Debug for Guests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.allowed {
            Some(allowed) => write!(f, "{} guests", allowed.len()),
            None => f.write_str("everybody"),
        }
    }
}

impl Guests {
    /// Those of a list: one key a line, `#` begins a comment. `on_refused` hears of each other once.
    ///
    /// # Errors
    /// See [`BadList`].
    pub fn listed(text: &str, on_refused: impl Fn(PeerId) + Send + Sync + 'static) -> Result<Self, BadList> {
        let mut allowed = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let key = line.split('#').next().unwrap_or_default().trim();
            if key.is_empty() {
                continue;
            }
            allowed.insert(key.parse().map_err(|_| BadList::Line(number + 1))?);
            if allowed.len() > ALLOWED_MAX {
                return Err(BadList::TooMany);
            }
        }
        Ok(Self {
            allowed: Some(Arc::new(allowed)),
            on_refused: Some(Arc::new(on_refused)),
            ..Self::default()
        })
    }

    /// Whether this peer is let in. Whoever is not is told of.
    fn admits(&self, peer: PeerId) -> bool {
        if self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&peer)) {
            return true;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX
            && told.insert(peer)
            && let Some(on_refused) = &self.on_refused
        {
            on_refused(peer);
        }
        false
    }
}

impl AccessControl for Guests {
    /// The peer has proved by then that it holds its key.
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        if self.admits(PeerId(*request.endpoint_id().as_bytes())) {
            return Access::Allow;
        }
        Access::Deny { reason: Some("it is not on the list of those who may use it".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_who_is_let_in_and_others_are_told_of_once() {
        let (friend, stranger) = (PeerId([7; 32]), PeerId([8; 32]));
        let refused = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&refused);
        let text = format!("# friends\n\n  {friend}  # at home\n");
        let guests = Guests::listed(&text, move |peer| heard.lock().unwrap().push(peer)).unwrap();
        assert!(guests.admits(friend) && !guests.admits(stranger) && !guests.admits(stranger));
        assert_eq!(*refused.lock().unwrap(), [stranger]);
        assert!(Guests::default().admits(stranger));
        assert!(!Guests::listed("", |_| {}).unwrap().admits(friend), "an empty list is nobody");
    }

    #[test]
    fn what_is_no_key_is_told_with_its_line() {
        let text = format!("{}\nme\n", PeerId([7; 32]));
        assert_eq!(Guests::listed(&text, |_| {}).unwrap_err(), BadList::Line(2));
    }
}
