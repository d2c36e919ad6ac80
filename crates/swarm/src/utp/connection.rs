//! One connection.

use super::ledbat::{Acked, Ledbat};
use super::receiver::Receiver;
use super::rtt::Rtt;
use super::sender::{Lie, Next, Sender};
use super::{Config, Event, Read, Reason, UtpId, Written};
use peerage_base::{Duration, Instant, Rng};
use peerage_wire::utp::{HEADER_LEN, Header, Kind, Packet, SELECTIVE_ACK_BYTES_MAX};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Bytes of the datagrams that are given to the kernel at once: what one IP packet may hold.
const BATCH_BYTES_MAX: usize = 65_000;

/// The first wait for the answer to a SYN (BEP 29: 1 s); it doubles.
const SYN_WAIT: Duration = Duration::from_secs(1);

/// How far behind our newest packet a reset may name one, to be believed.
const RESET_SPAN: u16 = 1000;

/// How long a finished connection still answers a repeated FIN.
const FINISHED_WAIT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// We sent a SYN with this number, so many times, first at this time.
    Opening(u16, u32, Instant),
    /// Another sent a SYN, at this time; nothing shows yet that it is where it says.
    HalfOpen(Instant),
    Open,
    Closed(Reason),
}

/// What a connection needs to know of its surroundings.
pub(super) struct Context<'a> {
    pub now: Instant,
    pub config: &'a Config,
    pub id: UtpId,
    pub events: &'a mut VecDeque<(UtpId, Event)>,
}

impl Context<'_> {
    fn event(&mut self, event: Event) {
        self.events.push_back((self.id, event));
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) addr: SocketAddr,
    /// The connection's numbers, as the peer's packets and ours name it.
    pub(super) receive_id: u16,
    pub(super) send_id: u16,
    pub(super) incoming: bool,
    pub(super) state: State,
    /// In the endpoint's queue of those that have something to send.
    pub(super) queued: bool,
    sender: Sender,
    receiver: Receiver,
    rtt: Rtt,
    ledbat: Ledbat,
    /// Bytes of payload in a packet.
    len_max: usize,
    peer_window: usize,
    /// Our clock minus theirs at the last packet.
    difference: u32,
    last_heard: Instant,
    last_sent: Instant,
    timeout_at: Option<Instant>,
    probe_at: Option<Instant>,
    probed: bool,
    persist_at: Option<Instant>,
    /// One packet goes out whatever the windows say.
    force: bool,
    syn_due: bool,
    state_due: bool,
    reset_due: bool,
    told_readable: bool,
    wants_write: bool,
    /// Nobody uses it any more; when it will be forgotten.
    released: Option<Instant>,
}

impl Connection {
    fn new(
        config: &Config,
        now: Instant,
        addr: SocketAddr,
        receive_id: u16,
        send_id: u16,
        mut rng: Rng,
    ) -> Self {
        let datagram = if addr.is_ipv4() { config.datagram_bytes_v4 } else { config.datagram_bytes_v6 };
        let first = rng.next_u32() as u16;
        Self {
            addr,
            receive_id,
            send_id,
            incoming: false,
            // The SYN takes the number before the first packet's.
            state: State::Opening(first.wrapping_sub(1), 0, now),
            queued: false,
            sender: Sender::new(first, rng),
            receiver: Receiver::new(0, config),
            rtt: Rtt::new(),
            ledbat: Ledbat::new(config, datagram),
            len_max: datagram - HEADER_LEN,
            peer_window: 0,
            difference: 0,
            last_heard: now,
            last_sent: now,
            timeout_at: None,
            probe_at: None,
            probed: false,
            persist_at: None,
            force: false,
            syn_due: true,
            state_due: false,
            reset_due: false,
            told_readable: false,
            wants_write: false,
            released: None,
        }
    }

    /// One that we open.
    pub(super) fn open(config: &Config, now: Instant, addr: SocketAddr, receive_id: u16, rng: Rng) -> Self {
        Self::new(config, now, addr, receive_id, receive_id.wrapping_add(1), rng)
    }

    /// One that a SYN asks for.
    pub(super) fn accept(config: &Config, now: Instant, addr: SocketAddr, syn: &Header, rng: Rng) -> Self {
        let mut connection =
            Self::new(config, now, addr, syn.connection.wrapping_add(1), syn.connection, rng);
        connection.incoming = true;
        connection.state = State::HalfOpen(now);
        connection.syn_due = false;
        connection.state_due = true;
        connection.receiver = Receiver::new(syn.seq.wrapping_add(1), config);
        connection.peer_window = syn.window as usize;
        connection.difference = micros(now).wrapping_sub(syn.timestamp);
        connection
    }

    /// A packet that names this connection.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, packet: &Packet<'_>) {
        let header = &packet.header;
        match (self.state, header.kind) {
            (State::Closed(_), _) => {}
            (_, Kind::Reset) => self.on_reset(cx, header.ack),
            // Once more: our answer was lost.
            (State::HalfOpen(_), Kind::Syn) => self.state_due = true,
            (_, Kind::Syn) => self.state_due |= self.incoming,
            (State::Opening(syn, tries, since), Kind::State) => {
                if header.ack == syn {
                    self.hear(cx.now, header);
                    // The number is that of the next packet, as libutp and all that speak with it have it.
                    self.receiver = Receiver::new(header.seq, cx.config);
                    self.peer_window = header.window as usize;
                    if tries == 1 {
                        self.rtt.sample(cx.now, cx.now.since(since));
                    }
                    self.state = State::Open;
                    cx.event(Event::Connected);
                }
            }
            (State::Opening(..), _) => {}
            (State::HalfOpen(_) | State::Open, _) => self.on_packet(cx, packet),
        }
    }

    fn hear(&mut self, now: Instant, header: &Header) {
        self.last_heard = now;
        self.difference = micros(now).wrapping_sub(header.timestamp);
    }

    fn on_reset(&mut self, cx: &mut Context<'_>, ack: u16) {
        // Another who only guesses the connection must also guess this (BEP 29 names no check).
        let newest = match self.state {
            State::Opening(syn, ..) => syn,
            _ => self.sender.seq(),
        };
        if newest.wrapping_sub(ack) <= RESET_SPAN {
            self.fail(cx, Reason::Reset);
        }
    }

    fn on_packet(&mut self, cx: &mut Context<'_>, packet: &Packet<'_>) {
        let header = &packet.header;
        let in_flight = self.sender.in_flight();
        let news =
            match self.sender.acknowledge(cx.now, header.ack, packet.selective_ack, self.rtt.smallest()) {
                Ok(news) => news,
                Err(Lie::Unsent) => return,
                Err(Lie::Held) => {
                    self.reset_due = true;
                    return self.fail(cx, Reason::Lied);
                }
            };
        self.hear(cx.now, header);
        if matches!(self.state, State::HalfOpen(_)) {
            self.state = State::Open;
            cx.event(Event::Accepted(self.addr));
        }
        if !news.old {
            self.peer_window = header.window as usize;
        }
        if header.timestamp_difference != 0 {
            self.ledbat.sample(cx.now, header.timestamp_difference);
        }
        match news.round_trip {
            Some(sample) => self.rtt.sample(cx.now, sample),
            None if news.bytes > 0 => self.rtt.progress(),
            None => {}
        }
        if news.bytes > 0 {
            let (round_trip, standing) = (self.rtt.smoothed(), self.rtt.standing());
            self.ledbat.on_ack(cx.now, Acked { bytes: news.bytes, in_flight, round_trip, standing });
            (self.timeout_at, self.persist_at, self.probed) = (None, None, false);
            self.find_losses(cx.now);
            self.arm(cx);
        }
        if matches!(header.kind, Kind::Data | Kind::Fin) {
            let fin = header.kind == Kind::Fin;
            self.receiver.receive(cx.now, header.seq, packet.payload, fin, cx.config.ack_delay);
        }
        self.tell(cx);
    }

    fn find_losses(&mut self, now: Instant) {
        if self.sender.detect_loss(now, self.rtt.smoothed()) {
            self.ledbat.on_loss();
        }
    }

    fn tell(&mut self, cx: &mut Context<'_>) {
        if !self.told_readable && self.receiver.is_readable() && self.released.is_none() {
            self.told_readable = true;
            cx.event(Event::Readable);
        }
        if self.wants_write && self.sender.unsent() <= cx.config.unsent_bytes_max / 2 {
            self.wants_write = false;
            cx.event(Event::Writable);
        }
    }

    fn fail(&mut self, cx: &mut Context<'_>, reason: Reason) {
        if matches!(self.state, State::HalfOpen(_)) {
            // Nobody heard of it.
            self.released = Some(cx.now);
        }
        self.state = State::Closed(reason);
        self.sender.clear();
        if self.released.is_none() {
            cx.event(Event::Closed(reason));
        }
    }

    /// Whether packets may still name it.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Whether it can be forgotten.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        match self.state {
            State::HalfOpen(since) => now.since(since) >= HALF_OPEN_LIMIT,
            State::Closed(_) if self.reset_due => false,
            State::Closed(_) => self.released.is_some(),
            _ => self.released.is_some_and(|until| until <= now),
        }
    }

    pub(super) fn is_released(&self) -> bool {
        self.released.is_some()
    }

    pub(super) fn read(&mut self, now: Instant, out: &mut [u8]) -> Read {
        let len = self.receiver.read(now, out);
        if len > 0 {
            return Read::Bytes(len);
        }
        if self.receiver.has_ended() {
            return Read::End;
        }
        if let State::Closed(reason) = self.state {
            return Read::Closed(reason);
        }
        self.told_readable = false;
        Read::Pending
    }

    pub(super) fn must_acknowledge(&self, now: Instant) -> bool {
        self.state == State::Open && self.receiver.due(now)
    }

    pub(super) fn write(&mut self, config: &Config, bytes: &[u8]) -> Written {
        if let State::Closed(reason) = self.state {
            return Written::Closed(reason);
        }
        if self.sender.is_finishing() {
            return Written::Finished;
        }
        match self.sender.write(bytes, config.unsent_bytes_max) {
            0 => {
                self.wants_write = true;
                Written::Full
            }
            len => Written::Bytes(len),
        }
    }

    pub(super) fn unsent(&self) -> usize {
        self.sender.unsent()
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sender.is_idle()
    }

    pub(super) fn finish(&mut self) {
        self.sender.finish();
    }

    pub(super) fn release(&mut self, now: Instant, config: &Config) {
        if matches!(self.state, State::Opening(..)) && self.sender.is_idle() {
            self.state = State::Closed(Reason::Reset);
        }
        self.sender.finish();
        self.receiver.discard();
        self.released = Some(self.released.unwrap_or(now + config.linger));
        self.hasten(now);
    }

    /// Ends it now.
    pub(super) fn reset(&mut self, now: Instant) {
        self.reset_due = !self.is_closed();
        self.state = State::Closed(Reason::Reset);
        self.sender.clear();
        self.receiver.discard();
        self.released = Some(now);
    }

    /// Both streams have ended: what is left to do is to answer repetitions.
    fn hasten(&mut self, now: Instant) {
        if self.sender.is_done() && self.receiver.is_whole() {
            self.released = self.released.map(|until| until.min(now + FINISHED_WAIT));
        }
    }

    /// The next deadline, and what it is for.
    pub(super) fn deadline(&self, config: &Config) -> Option<(Instant, &'static str)> {
        match self.state {
            State::Opening(_, tries, since) => {
                let wait = SYN_WAIT * ((1 << tries.min(8)) - 1);
                let at = (since + wait).min(since + config.connect_limit);
                return Some((at, "opening"));
            }
            State::HalfOpen(since) => return Some((since + HALF_OPEN_LIMIT, "half open")),
            State::Closed(_) => return None,
            State::Open => {}
        }
        [
            (self.timeout_at, "retransmission"),
            (self.probe_at, "probe"),
            (self.persist_at, "full window"),
            (self.sender.lost_at, "loss"),
            (self.receiver.due_at(), "acknowledgement"),
            (self.released, "forgetting"),
            (Some(self.last_sent + config.keep_alive), "keep-alive"),
        ]
        .into_iter()
        .filter_map(|(at, why)| Some((at?, why)))
        .min()
    }

    /// A deadline passed, perhaps.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let (now, config) = (cx.now, cx.config);
        if let State::Opening(syn, tries, since) = self.state {
            if now.since(since) >= config.connect_limit {
                self.fail(cx, Reason::TimedOut);
            } else if tries > 0 && now.since(since) >= SYN_WAIT * ((1 << tries.min(8)) - 1) {
                self.state = State::Opening(syn, tries, since);
                self.syn_due = true;
            }
            return;
        }
        if self.state != State::Open {
            return;
        }
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.sender.lost_at) {
            self.find_losses(now);
            self.arm(cx);
        }
        if passed(self.probe_at) {
            (self.probe_at, self.probed, self.force) = (None, true, true);
            self.sender.probe();
        }
        if passed(self.persist_at) {
            (self.persist_at, self.force) = (None, true);
            self.rtt.back_off();
        }
        if passed(self.timeout_at) {
            self.timeout_at = None;
            if now.since(self.last_heard) >= config.dead_after {
                return self.fail(cx, Reason::TimedOut);
            }
            self.rtt.back_off();
            self.sender.time_out();
            self.ledbat.on_timeout();
        }
        if now.since(self.last_sent) >= config.keep_alive {
            self.state_due = true;
            self.receiver.shrink();
        }
        if passed(self.released) && !(self.sender.is_done() && self.receiver.is_whole()) {
            self.reset(now);
        }
    }

    /// Sets the timers of what is in flight.
    fn arm(&mut self, cx: &Context<'_>) {
        if self.sender.in_flight() == 0 {
            (self.timeout_at, self.probe_at) = (None, None);
            return;
        }
        self.timeout_at.get_or_insert(cx.now + self.rtt.timeout(cx.config));
        if !self.probed {
            self.probe_at = Some(cx.now + self.rtt.probe(cx.config));
        }
    }

    /// Fills `out` with datagrams. Returns the size of each, `None` when there is nothing to send.
    pub(super) fn transmit(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Option<usize> {
        match self.state {
            State::Opening(syn, tries, since) => {
                if !std::mem::take(&mut self.syn_due) {
                    return None;
                }
                self.state = State::Opening(syn, tries + 1, since);
                let mut header = self.header(cx, Kind::Syn, syn);
                (header.connection, header.ack) = (self.receive_id, 0);
                header.encode(&[], out);
            }
            State::Closed(_) => {
                if !std::mem::take(&mut self.reset_due) {
                    return None;
                }
                self.header(cx, Kind::Reset, self.sender.seq()).encode(&[], out);
            }
            State::HalfOpen(_) | State::Open => return self.transmit_open(cx, out),
        }
        self.last_sent = cx.now;
        Some(out.len())
    }

    fn transmit_open(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Option<usize> {
        // What is missing is told before anything else; only a packet of its own has room for it.
        if self.state_due || (self.receiver.has_gap() && self.receiver.due(cx.now)) {
            return Some(self.send_state(cx, out));
        }
        if self.state == State::Open {
            let segment = self.send_packets(cx, out);
            if segment > 0 {
                self.tell(cx);
                return Some(segment);
            }
            self.mind_full_window(cx);
        }
        self.receiver.due(cx.now).then(|| self.send_state(cx, out))
    }

    /// Data as far as the windows allow. Returns the size of the datagrams, 0 for none.
    fn send_packets(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> usize {
        let (mut segment, mut count) = (0, 0);
        let window = self.ledbat.window();
        while count < cx.config.segments_max.max(1) && out.len() + segment <= BATCH_BYTES_MAX {
            let Some(next) = self.sender.next(window, self.peer_window, self.len_max, self.force) else {
                break;
            };
            let len = HEADER_LEN + next.len;
            if count > 0 && len > segment {
                // It begins the next run.
                break;
            }
            self.force = false;
            self.send_packet(cx, next, out);
            count += 1;
            segment = segment.max(len);
            if len < segment {
                break;
            }
        }
        if count > 0 {
            self.persist_at = None;
            self.last_sent = cx.now;
            self.arm(cx);
        }
        segment
    }

    fn send_packet(&mut self, cx: &Context<'_>, next: Next, out: &mut Vec<u8>) {
        let kind = if next.fin { Kind::Fin } else { Kind::Data };
        self.header(cx, kind, next.seq).encode(&[], out);
        self.sender.send(cx.now, next, out);
    }

    fn send_state(&mut self, cx: &Context<'_>, out: &mut Vec<u8>) -> usize {
        self.state_due = false;
        self.last_sent = cx.now;
        let header = self.header(cx, Kind::State, self.sender.seq());
        let mut bits = [0; SELECTIVE_ACK_BYTES_MAX];
        header.encode(self.receiver.selective_ack(&mut bits), out);
        out.len()
    }

    /// The peer has no room: its telling us of some may get lost, so it is asked now and then.
    fn mind_full_window(&mut self, cx: &Context<'_>) {
        if self.sender.is_waiting() && self.sender.in_flight() == 0 && self.persist_at.is_none() {
            self.persist_at = Some(cx.now + self.rtt.timeout(cx.config));
        }
    }

    fn header(&mut self, cx: &Context<'_>, kind: Kind, seq: u16) -> Header {
        Header {
            kind,
            connection: self.send_id,
            timestamp: micros(cx.now),
            timestamp_difference: self.difference,
            window: self.receiver.tell(),
            seq,
            ack: self.receiver.ack(),
        }
    }

    /// After anything was received.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.released.is_some() {
            self.hasten(now);
        }
    }
}

/// How long a SYN's sender may take to show itself.
const HALF_OPEN_LIMIT: Duration = Duration::from_secs(10);

fn micros(now: Instant) -> u32 {
    now.as_micros() as u32
}
