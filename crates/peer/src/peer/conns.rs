//! The connections, open or not.
//!
//! **Invariant.** Each is in exactly one [`Stage`]; the counts agree with the table; a number never
//! comes again: it has a counter above the index of its slot, which makes lookups one step.

use super::punch::Allowance;
use crate::road::RoadKind;
use peerage_base::{ConnId, Instant, PeerId, TorrentId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Bits of a [`ConnId`] that hold the slot.
const SLOT_BITS: u32 = 16;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// We are opening it.
    Dialling,
    /// It is open; the other side's handshake is missing.
    Greeting,
    /// Handshakes are done.
    Up,
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) addr: SocketAddr,
    pub(crate) outgoing: bool,
    /// Known from the dial, or from the handshake of an incoming one.
    pub(crate) torrent: Option<TorrentId>,
    pub(crate) stage: Stage,
    /// When the stage began.
    pub(crate) since: Instant,
    /// When it is closed for lack of a handshake.
    deadline: Instant,
    /// The other side's id, once [`Stage::Up`].
    pub(crate) peer_id: [u8; 20],
    /// Where the other side listens: its entry among the candidates.
    pub(crate) listen: Option<SocketAddr>,
    /// We dialled it with an encrypted start.
    pub(crate) encrypted: bool,
    /// What it runs on.
    pub(crate) road: RoadKind,
    /// Who the other side has proved to be.
    pub(crate) key: Option<PeerId>,
    /// A block was accepted from it or sent to it.
    pub(crate) useful: bool,
    /// Hole punching that it may bring about.
    pub(super) punches: Allowance,
    /// What the other side counts as for caps.
    host: IpAddr,
}

impl Conn {
    /// Whether the other end is at this address, or listens there.
    pub(crate) fn is_at(&self, addr: SocketAddr) -> bool {
        self.addr == addr || self.listen == Some(addr)
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<Option<Conn>>,
    free: Vec<usize>,
    counter: u64,
    len: usize,
    /// Of those not [`Stage::Up`], when they are closed.
    deadlines: BTreeSet<(Instant, ConnId)>,
    dialled_half_open: usize,
    per_torrent: BTreeMap<TorrentId, usize>,
    per_host: BTreeMap<(TorrentId, IpAddr), usize>,
}

impl Conns {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Outgoing ones whose handshakes are not done.
    pub(crate) fn half_open_out(&self) -> usize {
        self.dialled_half_open
    }

    /// Incoming ones whose handshakes are not done.
    pub(crate) fn half_open_in(&self) -> usize {
        self.deadlines.len() - self.dialled_half_open
    }

    pub(crate) fn of_torrent(&self, torrent: TorrentId) -> usize {
        self.per_torrent.get(&torrent).copied().unwrap_or(0)
    }

    pub(crate) fn of_host(&self, torrent: TorrentId, host: IpAddr) -> usize {
        self.per_host.get(&(torrent, host)).copied().unwrap_or(0)
    }

    pub(crate) fn insert(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        dialled_for: Option<TorrentId>,
        deadline: Instant,
    ) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.counter += 1;
        let id = ConnId(self.counter << SLOT_BITS | slot as u64);
        let outgoing = dialled_for.is_some();
        let stage = if outgoing { Stage::Dialling } else { Stage::Greeting };
        self.slots[slot] = Some(Conn {
            id,
            addr,
            outgoing,
            torrent: None,
            stage,
            since: now,
            deadline,
            peer_id: [0; 20],
            listen: outgoing.then_some(addr),
            encrypted: false,
            road: RoadKind::Tcp,
            key: None,
            useful: false,
            punches: Allowance::default(),
            host: crate::addr::host(addr.ip()),
        });
        self.len += 1;
        self.deadlines.insert((deadline, id));
        self.dialled_half_open += usize::from(outgoing);
        if let Some(torrent) = dialled_for {
            self.set_torrent(id, torrent);
        }
        id
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slots.get(slot_of(id))?.as_ref().filter(|conn| conn.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(slot_of(id))?.as_mut().filter(|conn| conn.id == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.slots.iter().flatten()
    }

    /// The torrent of an incoming connection is known.
    pub(crate) fn set_torrent(&mut self, id: ConnId, torrent: TorrentId) {
        let Some(conn) = self.get_mut(id) else { return };
        debug_assert!(conn.torrent.is_none());
        conn.torrent = Some(torrent);
        let host = conn.host;
        *self.per_torrent.entry(torrent).or_default() += 1;
        *self.per_host.entry((torrent, host)).or_default() += 1;
    }

    /// The dial succeeded.
    pub(crate) fn set_greeting(&mut self, now: Instant, id: ConnId, deadline: Instant) {
        let Some(conn) = self.get_mut(id) else { return };
        let old = core::mem::replace(&mut conn.deadline, deadline);
        conn.stage = Stage::Greeting;
        conn.since = now;
        self.deadlines.remove(&(old, id));
        self.deadlines.insert((deadline, id));
    }

    /// The handshakes are done.
    pub(crate) fn set_up(&mut self, now: Instant, id: ConnId, peer_id: [u8; 20]) {
        let Some(conn) = self.get_mut(id) else { return };
        conn.stage = Stage::Up;
        conn.since = now;
        conn.peer_id = peer_id;
        let (deadline, outgoing) = (conn.deadline, conn.outgoing);
        self.deadlines.remove(&(deadline, id));
        self.dialled_half_open -= usize::from(outgoing);
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let slot = slot_of(id);
        let conn = self.slots.get_mut(slot)?.take_if(|conn| conn.id == id)?;
        self.free.push(slot);
        self.len -= 1;
        if conn.stage != Stage::Up {
            self.deadlines.remove(&(conn.deadline, id));
            self.dialled_half_open -= usize::from(conn.outgoing);
        }
        if let Some(torrent) = conn.torrent {
            decrement(&mut self.per_torrent, torrent);
            decrement(&mut self.per_host, (torrent, conn.host));
        }
        Some(conn)
    }

    /// The next one to be closed for lack of a handshake, and when.
    pub(crate) fn next_deadline(&self) -> Option<(Instant, ConnId)> {
        self.deadlines.first().copied()
    }

    /// The incoming connection that has waited longest for its handshake.
    pub(crate) fn oldest_half_open_in(&self) -> Option<&Conn> {
        self.deadlines.iter().filter_map(|(_, id)| self.get(*id)).find(|conn| !conn.outgoing)
    }
}

fn slot_of(id: ConnId) -> usize {
    (id.0 & ((1 << SLOT_BITS) - 1)) as usize
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever happens, counts agree with the table and numbers never come again.
        #[test]
        fn counts_agree_and_numbers_are_new(commands in prop::collection::vec((0u8..5, any::<prop::sample::Index>(), 0u8..3), 1..300)) {
            let (mut conns, mut now) = (Conns::default(), Instant::ZERO);
            let (mut live, mut ever): (Vec<ConnId>, BTreeSet<ConnId>) = (Vec::new(), BTreeSet::new());
            for (command, index, n) in commands {
                now += peerage_base::Duration::from_secs(1);
                let addr = SocketAddr::from(([1, 1, 1, n], 5));
                if command == 0 || live.is_empty() {
                    let id = conns.insert(now, addr, (n > 0).then_some(TorrentId(n.into())), now);
                    prop_assert!(ever.insert(id));
                    live.push(id);
                    continue;
                }
                let id = live[index.index(live.len())];
                let conn = conns.get(id).unwrap().clone();
                match command {
                    1 if conn.torrent.is_none() => conns.set_torrent(id, TorrentId(n.into())),
                    2 if conn.stage == Stage::Dialling => conns.set_greeting(now, id, now),
                    3 if conn.stage == Stage::Greeting => conns.set_up(now, id, [n; 20]),
                    4 => {
                        conns.remove(id).unwrap();
                        prop_assert!(conns.remove(id).is_none());
                        live.retain(|other| *other != id);
                    }
                    _ => {}
                }
                let all: Vec<&Conn> = conns.iter().collect();
                let pending = all.iter().filter(|conn| conn.stage != Stage::Up);
                prop_assert_eq!(all.len(), live.len());
                prop_assert_eq!(conns.len(), live.len());
                prop_assert_eq!(pending.clone().filter(|conn| conn.outgoing).count(), conns.half_open_out());
                prop_assert_eq!(pending.filter(|conn| !conn.outgoing).count(), conns.half_open_in());
                for torrent in 0..3 {
                    let torrent = TorrentId(torrent);
                    let of = all.iter().filter(|conn| conn.torrent == Some(torrent));
                    prop_assert_eq!(of.clone().count(), conns.of_torrent(torrent));
                    let host = IpAddr::from([1, 1, 1, n]);
                    prop_assert_eq!(of.filter(|conn| conn.addr.ip() == host).count(), conns.of_host(torrent, host));
                }
            }
        }
    }
}
