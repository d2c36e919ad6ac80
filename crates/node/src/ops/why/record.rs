//! What was told of each peer, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use peerage_api::why::{Attempt, Found, Met, Obstacle, Origin, Step};
use peerage_base::ConnId;
use peerage_base::contact::shown;
use peerage_net::road::Obstacle as Opening;
use peerage_peer::{CloseReason, PeerInfo, SearchReport, Source};

use super::super::session::printable;
use crate::driver::{End, Trace};

/// Peers that are reported; of more only the number is told.
const PEERS_MAX: usize = 200;

/// A connection, or a dial, that has not ended.
struct Live {
    peer: SocketAddr,
    attempt: Attempt,
}

/// All that is known so far.
#[derive(Default)]
pub(super) struct Record {
    /// By number, in the order in which they were found.
    peers: Vec<(SocketAddr, Found)>,
    numbers: BTreeMap<SocketAddr, usize>,
    live: BTreeMap<ConnId, Live>,
    /// Addresses named by each kind of source.
    named: BTreeMap<&'static str, BTreeSet<SocketAddr>>,
    trackers: Vec<Origin>,
    /// The DHT, where it is asked.
    dht: Option<Origin>,
    /// The local network is asked.
    lan: bool,
    /// Peers beyond [`PEERS_MAX`].
    beyond: BTreeSet<SocketAddr>,
    /// Something new was learned since this was last asked.
    news: bool,
}

impl Record {
    /// The DHT will be asked.
    pub fn expect_dht(&mut self) {
        self.dht = Some(Origin { kind: name(Source::Dht).to_owned(), ..Origin::default() });
    }

    /// The local network is asked: who is there may answer at any time.
    pub fn expect_lan(&mut self) {
        self.lan = true;
    }

    /// A look-up in the DHT ended.
    pub fn on_search(&mut self, report: SearchReport) {
        let Some(dht) = &mut self.dht else { return };
        if report.answered == 0 {
            dht.error = Some("no node has answered".to_owned());
        } else {
            dht.peers = Some(dht.peers.unwrap_or_default().max(report.peers));
            dht.error = None;
        }
        self.news = true;
    }

    /// Whether the DHT was asked, and has not answered yet.
    pub fn is_searching(&self) -> bool {
        self.dht.as_ref().is_some_and(|dht| dht.peers.is_none() && dht.error.is_none())
    }

    /// Trackers that will be asked.
    pub fn expect_trackers(&mut self, tiers: &[Vec<String>]) {
        let origin = |url: &String| Origin {
            kind: "tracker".to_owned(),
            url: Some(printable(url)),
            peers: None,
            error: None,
        };
        self.trackers.extend(tiers.iter().flatten().map(origin));
    }

    pub fn on_tracker(&mut self, url: &str, result: Result<usize, String>) {
        let url = printable(url);
        let Some(tracker) = self.trackers.iter_mut().find(|known| known.url.as_ref() == Some(&url)) else {
            return;
        };
        match result {
            Ok(peers) => {
                tracker.peers = Some(tracker.peers.unwrap_or_default().max(peers));
                tracker.error = None;
            }
            Err(error) => tracker.error = Some(printable(&error)),
        }
        self.news = true;
    }

    pub fn on_trace(&mut self, trace: Trace) {
        match trace {
            Trace::Found(addr, source, refused) => {
                let source = name(source);
                self.name(addr, source);
                if let Some(found) = self.peer(addr) {
                    found.refused = refused.map(|refusal| refusal.to_string());
                }
            }
            Trace::Opening(conn, addr, road, incoming) => {
                if incoming {
                    self.name(addr, "incoming");
                }
                let attempt = Attempt {
                    road,
                    incoming,
                    times: 1,
                    result: Step::Dialling,
                    obstacle: None,
                    reason: None,
                };
                self.news |= !self.is_known(addr, &attempt);
                self.live.insert(conn, Live { peer: addr, attempt });
            }
            Trace::Open(conn, road) => {
                if let Some(live) = self.live.get_mut(&conn) {
                    live.attempt.road = road;
                    live.attempt.result = Step::Open;
                }
            }
            Trace::Greeted(conn) => {
                if let Some(live) = self.live.get_mut(&conn) {
                    live.attempt.result = Step::Up;
                    self.news = true;
                }
            }
            Trace::Closed(conn, end) => self.on_closed(conn, &end),
        }
    }

    /// What connected peers say of themselves.
    pub fn on_peers(&mut self, peers: &[PeerInfo], total: Option<u32>) {
        for info in peers {
            let Some(live) = self.live.get_mut(&info.conn).filter(|live| live.attempt.result == Step::Up)
            else {
                continue;
            };
            let addr = live.peer;
            let stats = &info.stats;
            let met = Met {
                client: printable(&stats.client),
                pieces: stats.pieces.min(total.unwrap_or(u32::MAX)),
                chokes: stats.peer_choking,
                downloaded: stats.downloaded,
                uploaded: stats.uploaded,
                connected: true,
            };
            let Some(found) = self.peer(addr) else { continue };
            if found.met.as_ref() != Some(&met) {
                found.met = Some(met);
                self.news = true;
            }
        }
    }

    /// Whether something new was learned since the last call.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Whether a way is being tried that was not tried before.
    pub fn is_trying(&self) -> bool {
        let new = |live: &Live| live.attempt.result < Step::Up && !self.is_known(live.peer, &live.attempt);
        self.live.values().any(new)
    }

    /// Connections over which a peer could still show more.
    pub fn met(&self) -> impl Iterator<Item = &Met> {
        self.peers.iter().filter_map(|(_, found)| found.met.as_ref()).filter(|met| met.connected)
    }

    /// The whole, as it is reported: sources, peers, and how many more there were.
    pub fn finish(mut self) -> (Vec<Origin>, Vec<Found>, usize) {
        let live = std::mem::take(&mut self.live);
        for Live { peer, mut attempt } in live.into_values() {
            attempt.obstacle = match attempt.result {
                Step::Dialling => Some(Obstacle::NoAnswer),
                Step::Open => Some(Obstacle::Mute),
                _ => None,
            };
            let tried = self.is_known(peer, &attempt);
            // Of what was tried before nothing new is known.
            if let Some(found) = self.peer(peer).filter(|_| !tried || attempt.result == Step::Up) {
                found.attempts.push(attempt);
            }
        }
        let mut origins = Vec::new();
        let count = |kind: &str| self.named.get(kind).map(BTreeSet::len);
        let told = |kind: &str| Origin {
            kind: kind.to_owned(),
            url: None,
            peers: Some(count(kind).unwrap_or_default()),
            error: None,
        };
        origins.push(told(name(Source::User)));
        origins.append(&mut self.trackers);
        origins.extend(self.dht);
        origins.extend(self.lan.then(|| told(name(Source::Lan))));
        let apart = [Source::User, Source::Tracker, Source::Dht, Source::Lan].map(name);
        let other = |kind: &&&str| !apart.contains(kind);
        origins.extend(self.named.keys().filter(other).map(|kind| told(kind)));
        (origins, self.peers.into_iter().map(|(_, found)| found).collect(), self.beyond.len())
    }

    fn on_closed(&mut self, conn: ConnId, end: &End) {
        let Some(Live { peer, mut attempt }) = self.live.remove(&conn) else { return };
        let (obstacle, reason) = judge(attempt.result, end);
        attempt.result = if attempt.result == Step::Up { Step::Closed } else { Step::Failed };
        attempt.obstacle = Some(obstacle);
        attempt.reason = Some(printable(&reason));
        let Some(found) = self.peer(peer) else { return };
        if let Some(met) = &mut found.met {
            met.connected = false;
        }
        let same = |known: &&mut Attempt| {
            known.road.kind == attempt.road.kind
                && known.incoming == attempt.incoming
                && (known.result, known.obstacle) == (attempt.result, attempt.obstacle)
        };
        match found.attempts.iter_mut().find(same) {
            Some(known) => known.times += 1,
            None => {
                found.attempts.push(attempt);
                self.news = true;
            }
        }
    }

    fn is_known(&self, addr: SocketAddr, attempt: &Attempt) -> bool {
        let found = self.numbers.get(&addr).and_then(|number| self.peers.get(*number));
        let same =
            |known: &Attempt| known.road.kind == attempt.road.kind && known.incoming == attempt.incoming;
        found.is_some_and(|(_, found)| found.attempts.iter().any(same))
    }

    fn name(&mut self, addr: SocketAddr, source: &'static str) {
        self.named.entry(source).or_default().insert(addr);
        let Some(found) = self.peer(addr) else { return };
        if !found.sources.iter().any(|known| known == source) {
            found.sources.push(source.to_owned());
            self.news = true;
        }
    }

    /// The entry of a peer; `None` beyond what is reported.
    fn peer(&mut self, addr: SocketAddr) -> Option<&mut Found> {
        let number = match self.numbers.get(&addr) {
            Some(number) => *number,
            None if self.peers.len() >= PEERS_MAX => {
                self.beyond.insert(addr);
                return None;
            }
            None => {
                let number = self.peers.len();
                self.peers.push((addr, Found { addr: shown(addr), ..Found::default() }));
                self.numbers.insert(addr, number);
                number
            }
        };
        self.peers.get_mut(number).map(|(_, found)| found)
    }
}

/// What the user calls a source.
fn name(source: Source) -> &'static str {
    match source {
        Source::User => "link",
        Source::Tracker => "tracker",
        Source::Pex => "pex",
        Source::Incoming => "incoming",
        Source::Dht => "dht",
        Source::Lan => "lan",
    }
}

/// What stood in the way, and in words.
fn judge(reached: Step, end: &End) -> (Obstacle, String) {
    let obstacle = match end {
        End::Failed(opening, reason) => return (opening_obstacle(*opening), reason.clone()),
        End::Lost(reason) if reached == Step::Up => return (Obstacle::Other, reason.clone()),
        End::Lost(reason) => return (Obstacle::HungUp, reason.clone()),
        End::Left(reason) => match reason {
            CloseReason::DialTimeout => Obstacle::NoAnswer,
            CloseReason::HandshakeTimeout => Obstacle::Mute,
            CloseReason::Garbage(_) => Obstacle::OtherProtocol,
            CloseReason::UnknownTorrent => Obstacle::OtherTorrent,
            CloseReason::SelfConnection => Obstacle::Ourselves,
            CloseReason::Upgrade | CloseReason::Duplicate => Obstacle::GoesOn,
            _ => Obstacle::Other,
        },
    };
    let End::Left(reason) = end else { return (obstacle, String::new()) };
    (obstacle, reason.to_string())
}

fn opening_obstacle(opening: Opening) -> Obstacle {
    match opening {
        Opening::Refused => Obstacle::Refused,
        Opening::NoRoute => Obstacle::NoRoute,
        Opening::NoAnswer => Obstacle::NoAnswer,
        Opening::HungUp => Obstacle::HungUp,
        Opening::OtherPeer => Obstacle::OtherPeer,
        Opening::Denied => Obstacle::Denied,
        Opening::Encryption => Obstacle::Encryption,
        Opening::OtherProtocol => Obstacle::OtherProtocol,
        Opening::Other => Obstacle::Other,
    }
}
