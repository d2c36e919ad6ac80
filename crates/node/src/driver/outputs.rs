//! Carrying out what the machine wants.

use peerage_base::{ConnId, Instant, TorrentId};
use peerage_net::road::Outgoing;
use peerage_net::tracker::{self, Retry};
use peerage_peer::{AnnounceRequest, INTERVAL_MAX, Output, TrackerFailure, TrackerId};

use super::writes::StoreJob;
use super::{Driver, End, Input, News, Trace, web};

impl Driver {
    pub(super) fn carry_out(&mut self, now: Instant, output: Output) {
        tracing::trace!(?output);
        match output {
            Output::Send { conn, bytes } => {
                let Some(link) = self.connections.get(&conn) else { return };
                if !link.connection.send(Outgoing::Frames(bytes)) {
                    self.drop_connection(now, conn, "does not read what is sent to it");
                }
            }
            Output::SendBlock { conn, torrent, block } => self.uploads.push(conn, torrent, block),
            Output::Verify { torrent, piece, digests } => {
                self.store_job(torrent, StoreJob::Verify { piece, digests });
            }
            Output::Dial { conn, addr, road, encrypt, .. } => {
                self.trace_dial(conn, addr, &road, encrypt.is_some());
                self.dial(conn, addr, road, encrypt);
            }
            Output::Disconnect { conn, reason } => {
                self.disconnect(conn, &reason.to_string());
                self.trace(Trace::Closed(conn, End::Left(reason)));
            }
            Output::Found { addr, source, refused, .. } => self.trace(Trace::Found(addr, source, refused)),
            Output::Greeted { conn, .. } => self.trace(Trace::Greeted(conn)),
            Output::Announce { torrent, tracker, url, request } => {
                self.announce(torrent, tracker, url, request)
            }
            Output::WebRequest { torrent, web_seed, url, piece, begin, len } => {
                if let Some(of) = self.torrents.get(&torrent) {
                    let request = web::Request { torrent, web_seed, url, piece, begin, len };
                    web::spawn(self.web.clone(), request, of.info.clone(), self.inbox.clone());
                }
            }
            Output::Search { torrent, info_hash, announce } => self.search(torrent, info_hash, announce),
            Output::AnnounceLan { info_hashes } => self.announce_lan(info_hashes),
            Output::DhtNode { addr } => self.dht.iter().for_each(|dht| dht.meet(addr)),
            Output::Banned { addr, reason, .. } => self.news.push_back(News::Banned(addr, reason)),
            Output::TrackerStatus { torrent, url, result } => {
                self.news.push_back(News::Tracker(torrent, url, result));
            }
            Output::Event { torrent, event } => self.news.push_back(News::Swarm(torrent, event)),
        }
    }

    fn disconnect(&mut self, conn: ConnId, reason: &str) {
        self.give_up(conn);
        self.forget(conn, reason);
    }

    fn announce(&mut self, torrent: TorrentId, tracker: TrackerId, url: String, request: AnnounceRequest) {
        self.announces += 1;
        let (client, inbox) = (self.trackers.clone(), self.inbox.clone());
        tokio::spawn(async move {
            let result = client.announce(&url, &request).await.map_err(failure);
            inbox.put(Input::Tracker(torrent, tracker, result));
        });
    }
}

/// What the machine is told of a failed announce. A tracker that is of no use in this run is asked again
/// as late as may be.
fn failure(error: tracker::Error) -> TrackerFailure {
    let retry = match error.retry() {
        Retry::After(wait) => Some(wait),
        _ if error.is_final() => Some(INTERVAL_MAX),
        _ => None,
    };
    TrackerFailure { message: error.to_string(), retry }
}
