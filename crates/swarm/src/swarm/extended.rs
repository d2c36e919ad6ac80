//! The extension protocol (BEP 10): handshake, metadata (9), peer exchange (11), upload-only (21),
//! don't-have (54), hole punching (55).

use super::{Swarm, messages::Result};
use crate::{
    Event, Message, Output, Reason,
    metadata::{Outcome, Want},
    peers::Peer,
    pex,
};
use peerage_base::contact::is_placeholder;
use peerage_base::{ConnId, Instant, limits};
use peerage_wire::extension::{self, Extended, HANDSHAKE_ID, Holepunch, LOCAL_IDS, MetadataMessage, flags};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Bytes of metadata that one peer gets beyond four times what there is: who was cut off asks again.
const METADATA_SERVED_MAX: u64 = 1024 * 1024;

impl Swarm {
    /// Our extension handshake; once more when the metadata became known.
    pub(super) fn say_extensions(&mut self, slot: u32) {
        let Some(peer) = self.peers.get(slot).filter(|peer| peer.extended) else { return };
        let mut ids = LOCAL_IDS;
        if self.private || !self.config.pex {
            ids.pex = None;
        }
        if self.private || !self.config.holepunch {
            ids.holepunch = None;
        }
        let size = self.body.as_ref().map(|body| body.hashes.info().raw().len());
        let handshake = extension::Handshake {
            ids,
            client: Some(self.config.client.clone()),
            port: Some(self.local.listen_port).filter(|port| *port != 0),
            reqq: Some(limits::REQUESTS_IN_MAX as u32),
            metadata_size: size.and_then(|size| u32::try_from(size).ok()),
            your_ip: Some(peer.addr.ip()).filter(|ip| !is_placeholder(*ip)),
            upload_only: Some(self.is_done()).filter(|done| *done || peer.said_upload_only),
        };
        let said = handshake.upload_only == Some(true);
        self.peers.send(slot, &Message::Extended { id: HANDSHAKE_ID, payload: handshake.encode() });
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.said_upload_only = said;
        }
    }

    pub(super) fn on_extended(&mut self, now: Instant, slot: u32, id: u8, payload: &[u8]) -> Result {
        let extended = extension::decode(id, payload).map_err(|_| Reason::Protocol("extension message"))?;
        match extended {
            Extended::Handshake(handshake) => self.on_extension_handshake(now, slot, &handshake),
            Extended::Metadata(message) => return self.on_metadata(now, slot, message),
            Extended::Pex(pex) => return self.on_pex(now, slot, pex.added),
            Extended::UploadOnly(on) => {
                if let Some(peer) = self.peers.get_mut(slot) {
                    peer.upload_only = on;
                    self.part_if_redundant(slot);
                }
            }
            Extended::DontHave(piece) => self.on_dont_have(slot, piece),
            Extended::Holepunch(message) => self.on_holepunch(slot, message),
            Extended::Unknown(_) => {}
        }
        Ok(())
    }

    fn on_extension_handshake(&mut self, now: Instant, slot: u32, handshake: &extension::Handshake) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let first = !std::mem::replace(&mut peer.said_extensions, true);
        peer.ids = peer.ids.updated(handshake.ids);
        if let Some(client) = &handshake.client {
            peer.client.clone_from(client);
        }
        peer.listen_port = handshake.port.or(peer.listen_port);
        if let Some(reqq) = handshake.reqq {
            peer.pipeline.set_reqq(reqq);
        }
        peer.upload_only = handshake.upload_only.unwrap_or(peer.upload_only);
        let offers = peer.ids.metadata.and(handshake.metadata_size);
        if self.body.is_none()
            && let Some(size) = offers
        {
            self.metadata.offer(slot, size);
            self.poll_metadata(now);
        }
        let lost: Vec<u32> = self.body.iter().flat_map(|body| &body.lost).copied().collect();
        if first {
            lost.into_iter().for_each(|piece| _ = self.say_dont_have(slot, piece));
        }
        self.part_if_redundant(slot);
    }

    /// Takes back that we have a piece (BEP 54). Returns whether the peer understands it.
    pub(super) fn say_dont_have(&mut self, slot: u32, piece: u32) -> bool {
        let Some(id) = self.peers.get(slot).and_then(|peer| peer.ids.dont_have) else { return false };
        let payload = extension::encode_dont_have(piece);
        self.peers.send(slot, &Message::Extended { id, payload });
        true
    }

    pub(super) fn poll_metadata(&mut self, now: Instant) {
        if self.body.is_none() && !self.metadata_done {
            let wants = self.metadata.poll(now);
            self.ask_metadata(&wants);
        }
    }

    fn ask_metadata(&mut self, wants: &[Want]) {
        for want in wants {
            self.send_metadata(want.slot, &MetadataMessage::Request { piece: want.piece });
        }
    }

    fn send_metadata(&mut self, slot: u32, message: &MetadataMessage) {
        if let Some(id) = self.peers.get(slot).and_then(|peer| peer.ids.metadata) {
            self.peers.send(slot, &Message::Extended { id, payload: message.encode() });
        }
    }

    fn on_metadata(&mut self, now: Instant, slot: u32, message: MetadataMessage) -> Result {
        match message {
            MetadataMessage::Request { piece } => return self.serve_metadata(slot, piece),
            MetadataMessage::Reject { .. } => {
                self.metadata.handle_reject(now, slot);
                self.poll_metadata(now);
            }
            MetadataMessage::Data { piece, total_size, bytes }
                if self.body.is_none() && !self.metadata_done =>
            {
                match self.metadata.handle_data(slot, piece, total_size, bytes) {
                    Outcome::Going => {
                        let wants = self.metadata.more(slot);
                        self.ask_metadata(&wants);
                    }
                    Outcome::Done(info) => {
                        self.metadata_done = true;
                        self.event(Event::Metadata { info });
                    }
                    Outcome::Bad => {
                        if let Some(party) = self.peers.get(slot).map(|peer| peer.party) {
                            self.ban_party(now, party, Reason::BadMetadata);
                        }
                        self.poll_metadata(now);
                    }
                }
            }
            MetadataMessage::Data { .. } | MetadataMessage::Unknown => {}
        }
        Ok(())
    }

    fn serve_metadata(&mut self, slot: u32, piece: u32) -> Result {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let raw = self.body.as_ref().map(|body| body.hashes.info().raw());
        let chunk = raw.and_then(|raw| raw.chunks(limits::METADATA_PIECE_LEN).nth(piece as usize));
        let reply = match (chunk, raw) {
            (Some(chunk), Some(raw)) => {
                peer.metadata_served += chunk.len() as u64;
                if peer.metadata_served > METADATA_SERVED_MAX + 4 * raw.len() as u64 {
                    return Err(Reason::Flood("metadata requests"));
                }
                let total_size = u32::try_from(raw.len()).unwrap_or(u32::MAX);
                MetadataMessage::Data { piece, total_size, bytes: chunk.to_vec() }
            }
            _ => MetadataMessage::Reject { piece },
        };
        self.send_metadata(slot, &reply);
        Ok(())
    }

    fn on_holepunch(&mut self, slot: u32, message: Holepunch) {
        let Some(peer) = self.peers.get(slot).filter(|_| self.config.holepunch && !self.private) else {
            return;
        };
        if message != Holepunch::Unknown {
            self.outputs.push_back(Output::Holepunch { from: peer.conn, message });
        }
    }

    /// Whether a peer takes part in hole punching.
    #[must_use]
    pub fn punches(&self, conn: ConnId) -> bool {
        let mut those = self.peers.iter().filter(|peer| peer.ids.holepunch.is_some());
        self.config.holepunch && !self.private && those.any(|peer| peer.conn == conn)
    }

    /// Sends a message of hole punching to a peer that takes part in it.
    pub fn say_holepunch(&mut self, conn: ConnId, message: Holepunch) {
        let Some(slot) = self.peers.slot(conn) else { return };
        if let Some(id) = self.peers.get(slot).and_then(|peer| peer.ids.holepunch) {
            self.peers.send(slot, &Message::Extended { id, payload: message.encode() });
        }
    }

    fn on_pex(&mut self, now: Instant, slot: u32, added: Vec<extension::PexPeer>) -> Result {
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        let verdict = peer.exchange.receive(now);
        if verdict == pex::Verdict::Flood {
            return Err(Reason::Flood("peer exchange"));
        }
        if verdict == pex::Verdict::Read && self.config.pex && !self.private {
            let addrs: Vec<SocketAddr> =
                added.iter().map(|peer| peer.addr).filter(|addr| addr.port() != 0).collect();
            if !addrs.is_empty() {
                self.outputs.push_back(Output::Candidates { from: peer.conn, addrs });
            }
        }
        Ok(())
    }

    /// Tells each peer of the others, when that is due.
    pub(super) fn exchange(&mut self, now: Instant) {
        if self.private || !self.config.pex {
            return;
        }
        let known: BTreeMap<SocketAddr, u8> =
            self.peers.iter().filter_map(|peer| Some((peer.listens_at()?, pex_flags(peer)))).collect();
        // Whoever is not of the local network cannot reach those who are, and need not know of them.
        let mut global = known.clone();
        global.retain(|addr, _| !pex::is_local(addr.ip()));
        let mut messages = Vec::new();
        for peer in self.peers.iter_mut() {
            let Some(id) = peer.ids.pex else { continue };
            let own = peer.listens_at();
            let told = if pex::is_local(peer.addr.ip()) { &known } else { &global };
            if let Some(news) = peer.exchange.poll(now, told, own) {
                messages.push((peer.slot, Message::Extended { id, payload: news.encode() }));
            }
        }
        messages.iter().for_each(|(slot, message)| self.peers.send(*slot, message));
    }

    fn on_dont_have(&mut self, slot: u32, piece: u32) {
        let (Some(peer), Some(body)) = (self.peers.get_mut(slot), &mut self.body) else { return };
        if !peer.have.get(piece) {
            return;
        }
        let availability = body.picker.availability();
        if std::mem::take(&mut peer.whole) {
            availability.remove_whole();
            peer.have.iter().for_each(|piece| availability.add(piece));
        }
        availability.remove(piece);
        peer.have.clear(piece);
        if peer.pipeline.is_empty() {
            peer.current = None;
            body.picker.disown(slot);
        }
        if body.picker.wanted().get(piece) {
            peer.wants = peer.wants.saturating_sub(1);
            self.update_interest(slot);
        }
    }
}

fn pex_flags(peer: &Peer) -> u8 {
    let seed = if peer.is_seed() || peer.upload_only { flags::SEED } else { 0 };
    let punches = if peer.ids.holepunch.is_some() { flags::HOLEPUNCH | flags::UTP } else { 0 };
    let utp = if peer.utp { flags::UTP } else { 0 };
    seed | punches | utp | if peer.outgoing { flags::REACHABLE } else { 0 }
}
