//! Fetching version 2 piece layers from peers (BEP 52), for torrents that came as a magnet link.
//!
//! Each request carries its whole proof, so that each answer is judged alone, and a wrong one has one
//! culprit.

use peerage_base::{Duration, Instant};
use peerage_content::{Layout, merkle};
use peerage_wire::HashRequest;
use std::collections::BTreeMap;

type Hash = [u8; 32];

/// Requests waiting at one peer.
const REQUESTS_MAX: usize = 8;
/// A request unanswered for so long goes to another peer; its peer rests as long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What came of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody was asked this, or the layer is not whole yet.
    Going,
    /// A whole layer; all files with this root have it.
    Layer {
        /// The root.
        root: Hash,
        /// The files.
        files: Vec<usize>,
        /// The layer.
        layer: Vec<Hash>,
    },
    /// The hashes do not lead to the root: the peer lied.
    Bad,
}

#[derive(Clone, Debug)]
struct Fetch {
    files: Vec<usize>,
    len: u64,
    /// Per request, in the order of the layer: the hashes, once they came.
    parts: Vec<Option<Vec<Hash>>>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    slot: u32,
    at: Instant,
}

/// The missing layers of a torrent.
#[derive(Clone, Debug, Default)]
pub struct LayerFetch {
    fetches: BTreeMap<Hash, Fetch>,
    /// Requests to make, with their place in their layer; some wait for an answer.
    requests: BTreeMap<HashRequest, (usize, Option<Asked>)>,
    /// Peers that refused or were silent, and until when they rest.
    resting: BTreeMap<u32, Instant>,
}

impl LayerFetch {
    /// The layers of these files are missing.
    #[must_use]
    pub fn new(layout: &Layout, files: impl Iterator<Item = usize>) -> Self {
        let mut fetch = Self::default();
        for index in files {
            let Some(file) = layout.files().get(index) else { continue };
            let Some(root) = file.root else { continue };
            if let Some(known) = fetch.fetches.get_mut(&root) {
                known.files.push(index);
                continue;
            }
            let mut parts = 0;
            for request in merkle::layer_requests(root, file.len, layout.nominal_piece_len()) {
                fetch.requests.insert(request, (parts, None));
                parts += 1;
            }
            fetch.fetches.insert(root, Fetch { files: vec![index], len: file.len, parts: vec![None; parts] });
        }
        fetch
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// A peer is gone.
    pub fn remove(&mut self, slot: u32) {
        self.resting.remove(&slot);
        self.free(|asked| asked.slot == slot);
    }

    fn free(&mut self, which: impl Fn(&Asked) -> bool) {
        for (_, asked) in self.requests.values_mut() {
            if asked.as_ref().is_some_and(&which) {
                *asked = None;
            }
        }
    }

    /// Requests to send now. `peers`: who may be asked.
    pub fn poll(&mut self, now: Instant, peers: &[u32]) -> Vec<(u32, HashRequest)> {
        let mut waiting: BTreeMap<u32, usize> = BTreeMap::new();
        for (_, asked) in self.requests.values_mut() {
            match *asked {
                Some(Asked { slot, at }) if now.since(at) >= TIMEOUT => {
                    self.resting.insert(slot, now + TIMEOUT);
                    *asked = None;
                }
                Some(Asked { slot, .. }) => *waiting.entry(slot).or_default() += 1,
                None => {}
            }
        }
        self.resting.retain(|_, until| *until > now);
        let rested = |slot: &&u32| !self.resting.contains_key(slot);
        let mut free: Vec<(u32, usize)> = peers
            .iter()
            .filter(rested)
            .map(|slot| (*slot, REQUESTS_MAX.saturating_sub(waiting.get(slot).copied().unwrap_or(0))))
            .collect();
        let mut sends = Vec::new();
        for (request, (_, asked)) in &mut self.requests {
            if asked.is_some() {
                continue;
            }
            let Some((slot, room)) = free.iter_mut().max_by_key(|(slot, room)| (*room, u32::MAX - slot))
            else {
                break;
            };
            if *room == 0 {
                break;
            }
            *room -= 1;
            *asked = Some(Asked { slot: *slot, at: now });
            sends.push((*slot, *request));
        }
        sends
    }

    /// A peer refuses.
    pub fn handle_reject(&mut self, now: Instant, slot: u32, request: &HashRequest) {
        if let Some((_, asked)) = self.requests.get_mut(request)
            && asked.is_some_and(|asked| asked.slot == slot)
        {
            *asked = None;
            self.resting.insert(slot, now + TIMEOUT);
        }
    }

    /// Hashes arrived.
    pub fn handle_hashes(&mut self, slot: u32, request: &HashRequest, hashes: &[Hash]) -> Outcome {
        let Some((part, asked)) = self.requests.get(request) else { return Outcome::Going };
        if !asked.is_some_and(|asked| asked.slot == slot) {
            return Outcome::Going;
        }
        let Some(fetch) = self.fetches.get_mut(&request.root) else { return Outcome::Going };
        let Ok(nodes) = merkle::verify(request, hashes, fetch.len) else {
            self.free(|asked| asked.slot == slot);
            return Outcome::Bad;
        };
        if let Some(place) = fetch.parts.get_mut(*part) {
            *place = Some(nodes.to_vec());
        }
        self.requests.remove(request);
        if fetch.parts.iter().any(Option::is_none) {
            return Outcome::Going;
        }
        let Some(fetch) = self.fetches.remove(&request.root) else { return Outcome::Going };
        let layer = fetch.parts.into_iter().flatten().flatten().collect();
        Outcome::Layer { root: request.root, files: fetch.files, layer }
    }
}
