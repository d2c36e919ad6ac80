//! `peerage why`: for one link, who was found, dialled and met, and what follows from it.

use serde::{Deserialize, Serialize};

use crate::event::Road;

/// What was found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name, where it is known.
    pub name: Option<String>,
    /// SHA-1 infohash in hexadecimal.
    pub infohash_v1: Option<String>,
    /// SHA-256 infohash in hexadecimal.
    pub infohash_v2: Option<String>,
    /// Number of pieces; absent: nobody has given the description of the content.
    pub pieces: Option<u32>,
    /// How long it took.
    pub seconds: f64,
    /// Who could name peers, and how many each has named.
    pub sources: Vec<Origin>,
    /// Peers, in the order in which they were found.
    pub peers: Vec<Found>,
    /// Web seeds.
    pub web_seeds: Vec<WebSeed>,
    /// What its reader should know.
    pub warnings: Vec<String>,
    /// What follows.
    pub verdict: Conclusion,
}

/// Somebody who could name peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `link` (or the user), `tracker`, `dht`, `lan`, `pex`, `incoming`, ...
    pub kind: String,
    /// Its URL, where it has one.
    pub url: Option<String>,
    /// Peers named; absent: there was no answer.
    pub peers: Option<usize>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A peer that somebody named, or that came by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its address, or the beginning of its key.
    pub addr: String,
    /// Kinds of [`Origin`] that named it.
    pub sources: Vec<String>,
    /// Why it was not dialled.
    pub refused: Option<String>,
    /// Dials, and connections that it opened: one entry for each road and result.
    pub attempts: Vec<Attempt>,
    /// What it showed while it was connected.
    pub met: Option<Met>,
}

/// A way that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The road; its relay is that of the link as long as there is no connection.
    pub road: Road,
    /// The peer opened it, not we.
    pub incoming: bool,
    /// How often, with the same result.
    pub times: u32,
    /// How far it is.
    pub result: Step,
    /// What stood in the way.
    pub obstacle: Option<Obstacle>,
    /// The same in words.
    pub reason: Option<String>,
}

/// How far a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is being opened.
    Dialling,
    /// It is open, and no handshake has come.
    Open,
    /// Both handshakes are done.
    Up,
    /// It was never opened, or closed before the handshakes were done.
    Failed,
    /// It was closed after the handshakes.
    Closed,
}

/// What stands in the way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// Nobody listens there.
    Refused,
    /// There is no way to its network.
    NoRoute,
    /// Nothing answers.
    NoAnswer,
    /// It takes the connection and says nothing.
    Mute,
    /// It closes the connection before its handshake: it has another torrent, or no place for us.
    HungUp,
    /// Another peer than the one named by its key.
    OtherPeer,
    /// The relay on the way does not let us in.
    Denied,
    /// It is about another torrent.
    OtherTorrent,
    /// It speaks something else.
    OtherProtocol,
    /// The encrypted start fails, or one of the two does not want it as the other does.
    Encryption,
    /// We ourselves.
    Ourselves,
    /// Nothing wrong: it goes on over another connection.
    GoesOn,
    /// Anything else, in words beside it.
    Other,
}

/// What a peer showed while it was connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// Its client's name, as it says.
    pub client: String,
    /// Pieces that it says it has.
    pub pieces: u32,
    /// It would not serve us so far (a seed serves some peers at a time).
    pub chokes: bool,
    /// Bytes of content that it gave us.
    pub downloaded: u64,
    /// Bytes of content that it had of us.
    pub uploaded: u64,
    /// It is connected still.
    pub connected: bool,
}

/// A web seed, asked for one byte's place without taking it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSeed {
    /// Its URL.
    pub url: String,
    /// What is wrong with it; absent with `asked`: nothing.
    pub error: Option<String>,
    /// It has answered. Not asked: the description of the content is not known, or time ran out.
    pub asked: bool,
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conclusion {
    /// `OK`, or a stable name, `E_…`.
    pub code: String,
    /// One plain sentence.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The exit code that goes with it.
    pub exit: u8,
}
