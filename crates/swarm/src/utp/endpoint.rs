//! All connections of one socket.

use super::connection::{Connection, Context, State};
use super::{Config, Event, Output, Read, Reason, UtpId, Written};
use peerage_base::{Instant, Rng};
use peerage_wire::utp::{Header, Kind, Packet};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Resets that wait to be sent. They answer packets of connections that we do not know; more than this
/// at once is a flood, and is not answered.
const RESETS_MAX: usize = 32;

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that are no uTP.
    pub garbage: u64,
    /// Packets of connections that we do not know.
    pub strangers: u64,
    /// Requests for a connection beyond a maximum.
    pub refused: u64,
    /// Half-open connections that gave way to newer ones.
    pub evicted: u64,
}

/// No more connections are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many connections over uTP")]
pub struct Full;

/// The machine of one UDP socket.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    rng: Rng,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// By the peer's address, and the number by which its packets name the connection.
    known: BTreeMap<(SocketAddr, u16), u32>,
    /// The latest of `known`: datagrams of one connection come in runs.
    latest: Option<((SocketAddr, u16), u32)>,
    /// Those that others began, the oldest first; those that are open meanwhile are skipped.
    half_open: VecDeque<UtpId>,
    /// Connections that may have something to send.
    ready: VecDeque<u32>,
    events: VecDeque<(UtpId, Event)>,
    resets: VecDeque<(SocketAddr, Header)>,
    stats: Stats,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Endpoint {
    /// Without connections.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        Self {
            config,
            rng,
            slots: Vec::new(),
            vacant: Vec::new(),
            known: BTreeMap::new(),
            latest: None,
            half_open: VecDeque::new(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            resets: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Opens a connection. [`Event::Connected`] or [`Event::Closed`] follows.
    ///
    /// # Errors
    /// [`Full`].
    pub fn connect(&mut self, now: Instant, addr: SocketAddr) -> Result<UtpId, Full> {
        if self.known.len() >= self.config.connections_max {
            return Err(Full);
        }
        // One of 65,536 numbers is free: a host has far fewer connections.
        let guesses: [u16; 64] = std::array::from_fn(|_| self.rng.next_u32() as u16);
        let receive_id = guesses.into_iter().find(|id| self.is_free(addr, *id)).ok_or(Full)?;
        let connection = Connection::open(&self.config, now, addr, receive_id, self.rng.fork());
        Ok(self.insert(connection))
    }

    /// Neither name of the connection is in use.
    fn is_free(&self, addr: SocketAddr, id: u16) -> bool {
        let used = |id: u16| self.known.contains_key(&(addr, id));
        !used(id) && !used(id.wrapping_add(1))
    }

    fn insert(&mut self, connection: Connection) -> UtpId {
        let key = (connection.addr, connection.receive_id);
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        place.connection = Some(Box::new(connection));
        let id = UtpId { slot, generation: place.generation };
        self.known.insert(key, slot);
        self.touch(slot);
        id
    }

    /// A datagram came in.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Ok(packet) = Packet::decode(datagram) else {
            self.stats.garbage += 1;
            return;
        };
        let header = packet.header;
        let found = match header.kind {
            Kind::Syn => self.find(from, header.connection.wrapping_add(1)),
            Kind::Reset => {
                self.find(from, header.connection).or_else(|| self.find_by_send_id(from, header.connection))
            }
            _ => self.find(from, header.connection),
        };
        match (found, header.kind) {
            (Some(slot), Kind::Data | Kind::State | Kind::Fin)
                if self.is_half_open(slot) && self.host_is_full(from.ip()) =>
            {
                self.stats.refused += 1;
                self.remove(slot);
            }
            (Some(slot), _) => {
                self.with(now, slot, |connection, cx| connection.receive(cx, &packet));
            }
            (None, Kind::Syn) => self.on_syn(now, from, &header),
            (None, Kind::Reset) => self.stats.strangers += 1,
            (None, _) => {
                self.stats.strangers += 1;
                if self.resets.len() < RESETS_MAX {
                    self.resets.push_back((from, header));
                }
            }
        }
    }

    fn find(&mut self, from: SocketAddr, id: u16) -> Option<u32> {
        let key = (from, id);
        if let Some((latest, slot)) = self.latest
            && latest == key
        {
            return Some(slot);
        }
        let slot = *self.known.get(&key)?;
        self.latest = Some((key, slot));
        Some(slot)
    }

    /// Who does not know a connection resets it by the number that it was sent.
    fn find_by_send_id(&mut self, from: SocketAddr, id: u16) -> Option<u32> {
        [id.wrapping_sub(1), id.wrapping_add(1)].into_iter().find_map(|receive_id| {
            let slot = *self.known.get(&(from, receive_id))?;
            (self.slots.get(slot as usize)?.connection.as_ref()?.send_id == id).then_some(slot)
        })
    }

    fn on_syn(&mut self, now: Instant, from: SocketAddr, header: &Header) {
        if self.known.len() >= self.config.connections_max || self.host_is_full(from.ip()) {
            self.stats.refused += 1;
            return;
        }
        let rng = self.rng.fork();
        let connection = Connection::accept(&self.config, now, from, header, rng);
        let id = self.insert(connection);
        self.half_open.push_back(id);
        // Under a flood the oldest goes: an honest peer needs one round trip to show itself.
        let mut half_open = std::mem::take(&mut self.half_open);
        half_open.retain(|id| self.get(*id).is_some() && self.is_half_open(id.slot));
        self.half_open = half_open;
        if self.half_open.len() > self.config.half_open_max
            && let Some(oldest) = self.half_open.pop_front()
        {
            self.stats.evicted += 1;
            self.remove(oldest.slot);
        }
    }

    /// Whether this address has opened as many connections as it may. Those that are half open do not
    /// count: they may be forged.
    fn host_is_full(&self, ip: IpAddr) -> bool {
        let theirs = |connection: &&Connection| {
            let open = !matches!(connection.state, State::HalfOpen(_)) && !connection.is_released();
            connection.incoming && open && connection.addr.ip() == ip
        };
        self.connections().filter(theirs).count() >= self.config.connections_per_host_max
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| slot.connection.as_deref())
    }

    /// Bytes that were received, into `out`.
    pub fn read(&mut self, now: Instant, id: UtpId, out: &mut [u8]) -> Read {
        let Some(place) =
            self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)
        else {
            return Read::Closed(Reason::Reset);
        };
        let Some(connection) = &mut place.connection else { return Read::Closed(Reason::Reset) };
        let read = connection.read(now, out);
        // Most reads leave nothing to be sent.
        if connection.must_acknowledge(now) {
            self.touch(id.slot);
        }
        read
    }

    /// Takes bytes to send: as many as there is room for.
    pub fn write(&mut self, now: Instant, id: UtpId, bytes: &[u8]) -> Written {
        self.of(now, id, |connection, cx| connection.write(cx.config, bytes))
            .unwrap_or(Written::Closed(Reason::Reset))
    }

    /// Bytes that were written and not sent.
    #[must_use]
    pub fn unsent(&self, id: UtpId) -> usize {
        self.get(id).map_or(0, Connection::unsent)
    }

    /// Whether all that was written is acknowledged.
    #[must_use]
    pub fn is_sent(&self, id: UtpId) -> bool {
        self.get(id).is_none_or(Connection::is_sent)
    }

    /// Where the other end is.
    #[must_use]
    pub fn addr(&self, id: UtpId) -> Option<SocketAddr> {
        self.get(id).map(|connection| connection.addr)
    }

    /// Our stream ends here; the peer's may go on.
    pub fn close(&mut self, now: Instant, id: UtpId) {
        self.of(now, id, |connection, _| connection.finish());
    }

    /// Nobody uses the connection any more: it ends once what was written has arrived, or after
    /// [`Config::linger`]. No events follow.
    pub fn release(&mut self, now: Instant, id: UtpId) {
        self.of(now, id, |connection, cx| connection.release(cx.now, cx.config));
    }

    /// Ends the connection at once, and tells the peer. No events follow.
    pub fn reset(&mut self, now: Instant, id: UtpId) {
        self.of(now, id, |connection, cx| connection.reset(cx.now));
    }

    /// A deadline passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for slot in 0..self.slots.len() {
            let due = self.slots[slot].connection.as_ref().is_some_and(|connection| {
                connection.deadline(&self.config).is_some_and(|(at, _)| at <= now) || connection.is_gone(now)
            });
            if due {
                self.with(now, slot as u32, |connection, cx| connection.handle_timeout(cx));
            }
        }
    }

    /// Whether [`Self::poll_output`] may have something: after a read or a write it is to be drained.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !(self.events.is_empty() && self.resets.is_empty() && self.ready.is_empty())
    }

    /// Changes [`Config::segments_max`]: a kernel may turn out to take less at once.
    pub fn set_segments_max(&mut self, segments_max: usize) {
        self.config.segments_max = segments_max;
    }

    /// What is to be done next; to be drained to `None` after every batch of inputs. Datagrams are put
    /// into `out`, which is cleared first.
    pub fn poll_output(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Output> {
        out.clear();
        if let Some((id, event)) = self.events.pop_front() {
            return Some(Output::Event(id, event));
        }
        if let Some((to, header)) = self.resets.pop_front() {
            let reset = Header {
                kind: Kind::Reset,
                connection: header.connection,
                timestamp: now.as_micros() as u32,
                timestamp_difference: 0,
                window: 0,
                seq: self.rng.next_u32() as u16,
                ack: header.seq,
            };
            reset.encode(&[], out);
            return Some(Output::Send { to, segment: out.len() });
        }
        while let Some(slot) = self.ready.pop_front() {
            let segment = self.with(now, slot, |connection, cx| connection.transmit(cx, out));
            // Whoever sent something may have more, and waits for its turn behind the others.
            let connection = self.slots.get_mut(slot as usize).and_then(|slot| slot.connection.as_mut());
            match (segment, connection) {
                (Some((Some(segment), to)), connection) => {
                    if connection.is_some() {
                        self.ready.push_back(slot);
                    }
                    return Some(Output::Send { to, segment });
                }
                (_, Some(connection)) => connection.queued = false,
                (_, None) => {}
            }
            if let Some((id, event)) = self.events.pop_front() {
                return Some(Output::Event(id, event));
            }
        }
        None
    }

    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.connections().filter_map(|connection| connection.deadline(&self.config)).min()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Connections, half-open ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn get(&self, id: UtpId) -> Option<&Connection> {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.connection.as_deref()
    }

    /// Does something with a connection, if it is still there.
    fn of<T>(
        &mut self,
        now: Instant,
        id: UtpId,
        work: impl FnOnce(&mut Connection, &mut Context<'_>) -> T,
    ) -> Option<T> {
        self.get(id)?;
        let (done, _) = self.with(now, id.slot, work)?;
        Some(done)
    }

    /// Does something with the connection of a slot, and sees to what follows from it. Also tells the
    /// peer's address.
    fn with<T>(
        &mut self,
        now: Instant,
        slot: u32,
        work: impl FnOnce(&mut Connection, &mut Context<'_>) -> T,
    ) -> Option<(T, SocketAddr)> {
        let place = self.slots.get_mut(slot as usize)?;
        let id = UtpId { slot, generation: place.generation };
        let connection = place.connection.as_mut()?;
        let mut cx = Context { now, config: &self.config, id, events: &mut self.events };
        let was_closed = connection.is_closed();
        let done = work(connection, &mut cx);
        connection.settle(now);
        let addr = connection.addr;
        if connection.is_closed() && !was_closed {
            self.known.remove(&(addr, connection.receive_id));
            self.latest = None;
        }
        if connection.is_gone(now) {
            self.remove(slot);
        } else {
            self.touch(slot);
        }
        Some((done, addr))
    }

    fn touch(&mut self, slot: u32) {
        if let Some(connection) = self.slots.get_mut(slot as usize).and_then(|slot| slot.connection.as_mut())
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push_back(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        let Some(connection) = place.connection.take() else { return };
        place.generation = place.generation.wrapping_add(1);
        let key = (connection.addr, connection.receive_id);
        if self.known.get(&key) == Some(&slot) {
            self.known.remove(&key);
        }
        self.latest = None;
        self.ready.retain(|ready| *ready != slot);
        self.vacant.push(slot);
    }

    fn is_half_open(&self, slot: u32) -> bool {
        let connection = self.slots.get(slot as usize).and_then(|slot| slot.connection.as_ref());
        connection.is_some_and(|connection| matches!(connection.state, State::HalfOpen(_)))
    }
}
