//! Outputs: the peer's own, and those of its torrents' machines, translated.

use super::Peer;
use super::conns::Stage;
use crate::addr;
use crate::event::{CloseReason, Output, Source};
use peerage_base::{ConnId, TorrentId, limits::PEX_PEERS_MAX};
use peerage_swarm::Event;
use std::net::SocketAddr;

impl Peer {
    /// What is to be done; drained to `None` after every batch of inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            let id = *self.dirty.last()?;
            let output = self.torrents.get_mut(&id).and_then(|torrent| torrent.swarm.poll_output());
            match output {
                Some(output) => {
                    if let Some(output) = self.translate(id, output) {
                        return Some(output);
                    }
                }
                None => self.settle(id),
            }
        }
    }

    /// The torrent's machine is drained: its timer is set anew.
    fn settle(&mut self, id: TorrentId) {
        match self.dirty.last() {
            Some(last) if *last == id => drop(self.dirty.pop()),
            _ => self.dirty.retain(|dirty| *dirty != id),
        }
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        torrent.dirty = false;
        let due = torrent.due_at();
        if due == torrent.timer {
            return;
        }
        if let Some(old) = core::mem::replace(&mut torrent.timer, due) {
            self.timers.remove(&(old, id));
        }
        if let Some(due) = due {
            self.timers.insert((due, id));
        }
    }

    fn translate(&mut self, torrent: TorrentId, output: peerage_swarm::Output) -> Option<Output> {
        use peerage_swarm::Output as From;
        match output {
            From::Send { conn, bytes } => self.is_up(conn).then_some(Output::Send { conn, bytes }),
            From::SendBlock { conn, block } => {
                let known = self.conns.get_mut(conn).filter(|known| known.stage == Stage::Up)?;
                known.useful = true;
                Some(Output::SendBlock { conn, torrent, block })
            }
            From::Verify { piece, digests } => Some(Output::Verify { torrent, piece, digests }),
            From::WebRequest { web_seed, piece, begin, len } => {
                let seeds = &self.torrents.get(&torrent)?.web_seeds;
                let url = seeds.iter().find(|(id, _)| *id == web_seed)?.1.clone();
                Some(Output::WebRequest { torrent, web_seed, url, piece, begin, len })
            }
            From::Disconnect { conn, reason } => {
                self.close(self.now, conn, CloseReason::Swarm(reason));
                None
            }
            From::Candidates { from, addrs } => {
                self.on_candidates(torrent, from, addrs);
                None
            }
            From::Holepunch { from, message } => {
                self.on_holepunch(torrent, from, message);
                None
            }
            From::Ban { conn, addr, reason } => {
                self.on_ban(conn, addr, reason.to_string());
                None
            }
            From::Event(event) => {
                self.on_event(torrent, &event);
                Some(Output::Event { torrent, event })
            }
        }
    }

    fn is_up(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some_and(|conn| conn.stage == Stage::Up)
    }

    fn on_candidates(&mut self, id: TorrentId, from: ConnId, mut addrs: Vec<SocketAddr>) {
        let Some(teller) = self.conns.get(from).map(|conn| addr::host(conn.addr.ip())) else { return };
        if self.torrents.get(&id).is_none_or(|torrent| torrent.private) {
            return;
        }
        addrs.truncate(PEX_PEERS_MAX);
        self.add_candidates(self.now, id, Source::Pex, Some(teller), &addrs);
    }

    /// The machine found a liar out: both where it connected from and where it listens.
    fn on_ban(&mut self, conn: ConnId, addr: SocketAddr, reason: String) {
        let listen = self.conns.get(conn).and_then(|conn| conn.listen);
        self.ban_addr(self.now, addr, reason.clone());
        if let Some(listen) = listen.filter(|listen| *listen != addr) {
            self.bans.add(self.now, listen, self.config.ban_duration, reason);
        }
    }

    fn on_event(&mut self, id: TorrentId, event: &Event) {
        let Some(torrent) = self.torrents.get_mut(&id) else { return };
        if *event == Event::Done {
            // A selection that is complete is no completed download (BEP 21).
            if torrent.swarm.stats().left == 0 {
                torrent.trackers.complete(self.now);
            }
            self.announce(self.now, id);
            self.share_inflight();
        }
    }
}
