//! What the API asks of one transfer.

use data_encoding::BASE64;
use peerage_api::control::{File, FileList, Peer, PeerList, Pieces, TransferDetail};
use peerage_api::error::Failure;
use peerage_base::Contact;
use peerage_base::contact::shown;
use peerage_content::Magnet;

use super::Daemon;
use crate::link;

/// Files of a page.
const FILES_PAGE_MAX: usize = 10_000;

impl Daemon {
    /// A transfer with what only one at a time is asked for.
    pub(crate) fn detail(&self, id: &str) -> Result<TransferDetail, Failure> {
        let transfer = self.find(id)?;
        let record = &transfer.record;
        let torrent = transfer.run().map(|run| run.torrent);
        let stats = torrent.and_then(|torrent| self.driver.peer.swarm(torrent)).map(|swarm| swarm.stats());
        let known = torrent.map_or(0, |torrent| self.driver.peer.known(torrent));
        Ok(TransferDetail {
            transfer: transfer.shown(stats, known),
            link: self.link(id)?,
            pieces: record.pieces,
            piece_length: record.piece_length,
            trackers: transfer.trackers.clone(),
            web_seeds: record.web_seeds.clone(),
            comment: record.comment.clone(),
            wasted: stats.map_or(0, |stats| stats.wasted),
            hash_failures: stats.map_or(0, |stats| stats.pieces_failed),
            road: torrent.and_then(|torrent| self.driver.busiest_road(torrent)),
        })
    }

    /// The link to give to others.
    fn link(&self, id: &str) -> Result<String, Failure> {
        let record = &self.find(id)?.record;
        let reachable = link::reachable(&self.driver.local_addrs());
        let contact = self.contact.clone().or_else(|| self.driver.key().map(Contact::new));
        let magnet = Magnet {
            name: (!record.name.is_empty()).then(|| record.name.clone()),
            len: record.described.then_some(record.total),
            trackers: record.trackers.iter().flatten().cloned().collect(),
            web_seeds: record.web_seeds.clone(),
            peers: reachable.iter().map(ToString::to_string).collect(),
            contacts: contact.map(|contact| Contact { tcp: reachable, ..contact }).into_iter().collect(),
            ..Magnet::new(record.hashes())
        };
        Ok(magnet.to_string())
    }

    /// The files of a transfer, from number `from` on.
    pub(crate) fn files(&self, id: &str, from: usize, limit: usize) -> Result<FileList, Failure> {
        let transfer = self.find(id)?;
        let hashes = self.hashes_of(id)?;
        let info = hashes.info();
        let swarm = transfer.run().and_then(|run| self.driver.peer.swarm(run.torrent));
        let have = swarm.and_then(|swarm| swarm.have());
        let complete = transfer.record.complete;
        let bytes_of = |file: &peerage_content::File| match have {
            Some(have) => {
                let within = |piece: u32| {
                    let begin = info.layout.piece_offset(piece);
                    let end = begin + u64::from(info.layout.piece_len(piece));
                    end.min(file.offset + file.len).saturating_sub(begin.max(file.offset))
                };
                file.pieces.clone().filter(|piece| have.get(*piece)).map(within).sum()
            }
            None if complete => file.len,
            None => 0,
        };
        let limit = limit.clamp(1, FILES_PAGE_MAX);
        let mut rest = info.layout.files().iter().enumerate().skip(from).filter(|(_, file)| !file.is_pad());
        let files = rest.by_ref().take(limit).map(|(index, file)| File {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            path: file.path.to_string(),
            size: file.len,
            done: bytes_of(file),
            priority: transfer.record.priority(index),
        });
        let files = files.collect();
        Ok(FileList { files, next: rest.next().map(|(index, _)| index.to_string()) })
    }

    /// The connected peers of a transfer.
    pub(crate) fn peers(&self, id: &str) -> Result<PeerList, Failure> {
        let transfer = self.find(id)?;
        let Some(run) = transfer.run() else { return Ok(PeerList::default()) };
        let peers = self.driver.peer.peers(run.torrent).into_iter().map(|peer| {
            let stats = peer.stats;
            Peer {
                addr: shown(peer.addr),
                client: crate::ops::printable(&stats.client),
                key: peer.key.map(|key| key.to_string()),
                road: self.driver.road(peer.conn),
                incoming: !stats.outgoing,
                pieces: stats.pieces,
                down_rate: stats.download_rate,
                up_rate: stats.upload_rate,
                downloaded: stats.downloaded,
                uploaded: stats.uploaded,
                chokes_us: stats.peer_choking,
                choked: stats.am_choking,
                interesting: stats.am_interested,
                interested: stats.peer_interested,
                snubbed: stats.snubbed,
            }
        });
        Ok(PeerList { peers: peers.collect() })
    }

    /// Which pieces of a transfer are here.
    pub(crate) fn pieces(&self, id: &str) -> Result<Pieces, Failure> {
        let transfer = self.find(id)?;
        let record = &transfer.record;
        let mut reply =
            Pieces { pieces: record.pieces, piece_length: record.piece_length, ..Pieces::default() };
        let have = transfer.run().and_then(|run| self.driver.peer.swarm(run.torrent)?.have());
        let bytes = match have {
            Some(have) => {
                reply.have = have.count();
                have.to_bytes().to_vec()
            }
            None => vec![0; reply.pieces.div_ceil(8) as usize],
        };
        reply.bitfield = BASE64.encode(&bytes);
        Ok(reply)
    }
}
