//! Fuzz targets for every decoder of `wire` and `content`.
//!
//! **What it is.** [`TARGETS`] names plain functions from bytes to [`Outcome`]. The coverage-guided
//! program (`src/bin/coverage.rs`, libFuzzer), the replay of the kept seeds (`tests/replay.rs`) and
//! a person with a failing input all call the same functions through [`run`].
//!
//! **Invariants.** A target fails by panicking, and only for a bug. It is deterministic. It checks a
//! property beside the absence of panics wherever its decoder promises one.
//!
//! **Where to start.** `README.md` has the commands.

mod content;
pub mod seeds;
mod wire;

/// What a decoder said of an input. The replay demands that seeds reach both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was decoded, and its properties were checked.
    Accepted,
    /// It was refused with an error.
    Refused,
}

impl Outcome {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Accepted } else { Self::Refused }
    }
}

/// A target: what a decoder does with these bytes.
pub type Target = fn(&[u8]) -> Outcome;

/// Every target but the canary.
pub const TARGETS: &[(&str, Target)] = &[
    ("bencode", wire::bencode),
    ("bencode_prefix", wire::bencode_prefix),
    ("handshake", wire::handshake),
    ("peer_message", wire::peer_message),
    ("frame_splitter", wire::frame_splitter),
    ("extended", wire::extended),
    ("extension_handshake", wire::extension_handshake),
    ("ut_metadata", wire::ut_metadata),
    ("ut_pex", wire::ut_pex),
    ("ut_holepunch", wire::ut_holepunch),
    ("start", wire::start),
    ("mse", wire::mse),
    ("krpc", wire::krpc),
    ("overlay_frame", wire::overlay_frame),
    ("lsd", wire::lsd),
    ("gossip", wire::gossip),
    ("coordinates", wire::coordinates),
    ("utp", wire::utp),
    ("tracker_announce_reply", wire::tracker_announce_reply),
    ("tracker_scrape_reply", wire::tracker_scrape_reply),
    ("tracker_announce_query", wire::tracker_announce_query),
    ("tracker_scrape_query", wire::tracker_scrape_query),
    ("tracker_url", wire::tracker_url),
    ("udp_tracker_request", wire::udp_tracker_request),
    ("udp_tracker_reply", wire::udp_tracker_reply),
    ("stun", wire::stun),
    ("printable", wire::printable),
    ("metainfo", content::metainfo),
    ("info", content::info),
    ("magnet", content::magnet),
    ("link", content::link),
    ("name", content::name),
    ("paths", content::paths),
    ("layout", content::layout),
    ("merkle", content::merkle),
];

/// A planted bug behind five bytes, tested one after the other as a decoder does: a fuzzer that does
/// not find it in seconds is blind, and a replay that does not fail on it checks nothing.
pub const CANARY: (&str, Target) = ("canary", canary);

/// What the canary says.
pub const CANARY_SONG: &str = "the canary sings";

fn canary(bytes: &[u8]) -> Outcome {
    for (index, wanted) in b"cave!".iter().enumerate() {
        if bytes.get(index) != Some(wanted) {
            return Outcome::Refused;
        }
    }
    panic!("{CANARY_SONG}");
}

/// The target with this name, the canary included.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().chain([&CANARY]).find(|(known, _)| *known == name).map(|(_, target)| *target)
}
