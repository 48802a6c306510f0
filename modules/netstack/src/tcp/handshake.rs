//! Handshakes that peers began, before there is a connection (RFC 9293 section 3.5).
//!
//! A SYN is answered from a few dozen bytes of state, so that a flood of them costs next to nothing
//! and does not keep others out. The connection is made when the peer completes the handshake.

use alloc::{collections::BTreeSet, vec};
use core::time::Duration;

use hashbrown::HashMap;
use netdev::{MacAddress, Transmitter};
use smoltcp::wire::IpProtocol;

use super::{
    Phase,
    connection::{self, Connection, Ports},
    listener::ListenerId,
    mss,
    segment::{Flags, Header, Segment, SegmentOptions},
    seq::Seq,
};
use crate::{
    engine::Engine,
    flow::Tuple,
    hash::TableHasher,
    ip::{self, InterfaceId, Packet},
    stats::{Reason, Verdict},
    time::Instant,
};

/// Handshakes at a time, about 1 MiB in all. A flood of 10,000 SYNs per second takes 400 ms to push a
/// handshake out: longer than a round trip.
const LEN_MAX: usize = 4096;
/// With more than this many, unanswered SYN-ACKs are not repeated: they are a flood's.
const REPEAT_LEN_MAX: usize = LEN_MAX / 4;

/// When a SYN-ACK is repeated after the one before; then the handshake is given up, after as long as
/// most peers try themselves. RFC 6298 section 2.1 begins with a second and doubles it.
const REPEATS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// How often a peer that has acknowledged is asked again, each second, because there was no room for
/// its connection. Then it is told with a reset.
const ROOM_REPEATS: usize = 30;

/// One handshake: what the SYN said, and what was answered.
#[derive(Debug)]
struct HalfOpen {
    listener: ListenerId,
    interface: InterfaceId,
    station: MacAddress,
    syn: connection::Handshake,
    /// What is announced: the segment size and the receive buffer that the connection will have.
    mss: u16,
    receive_buffer_len: usize,
    /// The peer has answered, and there was no room.
    is_acknowledged: bool,
    repeats: usize,
    began: Instant,
    due: Instant,
}

impl HalfOpen {
    fn syn_ack(&self, tuple: &Tuple, options: &connection::Options) -> Header {
        let scale = self.syn.peer_scale.map(|_| options.window_scale());
        Header {
            source_port: tuple.local.port(),
            destination_port: tuple.remote.port(),
            seq: self.syn.iss,
            ack: Some(self.syn.irs + 1),
            flags: Flags { syn: true, ..Flags::default() },
            window: options.syn_window(),
            options: SegmentOptions {
                mss: Some(self.mss),
                window_scale: scale,
                sack_permitted: self.syn.sack_permitted,
                ..SegmentOptions::default()
            },
        }
    }

    /// A reset for a peer that takes the connection for established.
    fn reset(&self, tuple: &Tuple) -> Header {
        Header {
            source_port: tuple.local.port(),
            destination_port: tuple.remote.port(),
            seq: self.syn.iss + 1,
            ack: Some(self.syn.irs + 1),
            flags: Flags { rst: true, ..Flags::default() },
            window: 0,
            options: SegmentOptions::default(),
        }
    }

    /// How long to wait for an answer to the next SYN-ACK, if there is to be one.
    fn next_repeat(&self, is_flood: bool) -> Option<Duration> {
        match self.is_acknowledged {
            true => (self.repeats < ROOM_REPEATS).then_some(REPEATS[0]),
            false => REPEATS.get(self.repeats).copied().filter(|_| !is_flood),
        }
    }

    /// Whether a segment acknowledges our SYN.
    fn is_acknowledged_by(&self, segment: &Segment<'_>) -> bool {
        segment.ack == Some(self.syn.iss + 1)
    }

    /// Whether a segment begins in the window that we announced.
    fn expects(&self, seq: Seq) -> bool {
        let next = self.syn.irs + 1;
        let len = self.receive_buffer_len.min(u16::MAX.into()) as u32;
        next <= seq && seq < next + len
    }
}

/// Every handshake under way.
#[derive(Debug)]
pub(crate) struct Handshakes {
    entries: HashMap<Tuple, HalfOpen, TableHasher>,
    /// By when they are due. Exactly one place for each.
    queue: BTreeSet<(Instant, Tuple)>,
}

impl Handshakes {
    pub(crate) fn new(hasher: TableHasher) -> Self {
        Handshakes { entries: HashMap::with_hasher(hasher), queue: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    fn insert(&mut self, tuple: Tuple, entry: HalfOpen) {
        self.queue.insert((entry.due, tuple));
        self.entries.insert(tuple, entry);
    }

    fn remove(&mut self, tuple: &Tuple) -> Option<HalfOpen> {
        let entry = self.entries.remove(tuple)?;
        self.queue.remove(&(entry.due, *tuple));
        Some(entry)
    }

    pub(crate) fn remove_listener(&mut self, listener: ListenerId) {
        self.entries.retain(|_, entry| entry.listener != listener);
        let entries = &self.entries;
        self.queue.retain(|(_, tuple)| entries.contains_key(tuple));
    }

    fn acknowledge(&mut self, tuple: &Tuple) {
        if let Some(entry) = self.entries.get_mut(tuple) {
            entry.is_acknowledged = true;
        }
    }

    fn first_due(&self, now: Instant) -> Option<Tuple> {
        self.queue.first().filter(|(due, _)| *due <= now).map(|(_, tuple)| *tuple)
    }

    /// Gives up the one that has waited longest for its first answer.
    fn evict(&mut self) {
        if let Some((_, tuple)) = self.queue.pop_first() {
            self.entries.remove(&tuple);
        }
    }
}

impl Engine {
    /// A SYN for a listener that has room.
    pub(crate) fn begin_handshake(
        &mut self,
        tuple: Tuple,
        segment: &Segment<'_>,
        listener: ListenerId,
        above: Option<Seq>,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        if !self.has_room_for_connection() {
            return Verdict::Dropped(Reason::NoMemory);
        }
        if self.tcp.handshakes.len() >= LEN_MAX {
            self.stats.evicted_half_open += 1;
            self.tcp.handshakes.evict();
        }
        let mtu = self.ip.interface(packet.interface).mtu;
        let isn = self.tcp.isns.isn(&tuple, self.now);
        let options = self.options_for(listener);
        let entry = HalfOpen {
            listener,
            interface: packet.interface,
            station: packet.link.theirs,
            syn: connection::Handshake {
                iss: above.map_or(isn, |above| isn.max(above)),
                irs: segment.seq,
                peer_mss: segment.options.mss,
                peer_window: segment.window,
                peer_scale: segment.options.window_scale,
                sack_permitted: segment.options.sack_permitted,
                rtt: None,
            },
            mss: mss(mtu, tuple.remote.ip()),
            receive_buffer_len: options.receive_buffer_len,
            is_acknowledged: false,
            repeats: 0,
            began: self.now,
            due: (self.now + REPEATS[0]).rounded_up(),
        };
        self.answer(&entry.syn_ack(&tuple, &options), options.hop_limit, packet, tx);
        self.tcp.handshakes.insert(tuple, entry);
        if above.is_some() {
            self.tcp.time_wait.remove(&tuple);
        }
        Verdict::Answered
    }

    /// The options of a connection that a listener will get.
    fn options_for(&self, listener: ListenerId) -> connection::Options {
        let options = self.tcp.listeners[listener].options;
        self.modest(options)
    }

    fn options_of(&self, entry: &HalfOpen) -> connection::Options {
        let receive_buffer_len = entry.receive_buffer_len;
        connection::Options { receive_buffer_len, ..self.options_for(entry.listener) }
    }

    /// A segment for a handshake under way, if there is one.
    pub(crate) fn continue_handshake(
        &mut self,
        tuple: Tuple,
        segment: &Segment<'_>,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) -> Option<Verdict> {
        let entry = self.tcp.handshakes.entries.get(&tuple)?;
        let (listener, is_expected) = (entry.listener, entry.expects(segment.seq));
        Some(if segment.flags.rst {
            // RFC 5961 section 3.2: only the exact number is believed.
            if segment.seq == entry.syn.irs + 1 {
                self.tcp.handshakes.remove(&tuple);
            }
            Verdict::Delivered
        } else if segment.flags.syn && segment.ack.is_none() {
            if segment.seq == entry.syn.irs {
                // Ours was lost, or is under way.
                let options = self.options_of(entry);
                let header = entry.syn_ack(&tuple, &options);
                self.answer(&header, options.hop_limit, packet, tx);
                return Some(Verdict::Answered);
            }
            // The peer has begun anew.
            let above = Some(entry.syn.iss);
            self.tcp.handshakes.remove(&tuple);
            self.begin_handshake(tuple, segment, listener, above, packet, tx)
        } else if segment.ack.is_none() {
            Verdict::Dropped(Reason::NoConnection)
        } else if !entry.is_acknowledged_by(segment) {
            // RFC 9293 section 3.10.7.4: an acknowledgement of something else is answered by a reset.
            self.refuse(segment, packet, tx)
        } else if self.is_listener_full(listener) {
            self.tcp.handshakes.acknowledge(&tuple);
            Verdict::Dropped(Reason::BacklogFull)
        } else if is_expected {
            self.complete_handshake(tuple, segment, packet, tx)
        } else {
            Verdict::Dropped(Reason::NoConnection)
        })
    }

    /// Makes the connection. If there is no room, the segment counts as lost: the peer or our next
    /// SYN-ACK brings another.
    fn complete_handshake(
        &mut self,
        tuple: Tuple,
        segment: &Segment<'_>,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let Some(mut entry) = self.tcp.handshakes.remove(&tuple) else {
            return Verdict::Dropped(Reason::NoConnection);
        };
        let listener = entry.listener;
        let was_prompt = entry.repeats == 0 && !entry.is_acknowledged;
        let rtt = was_prompt.then(|| self.now.since(entry.began));
        let handshake = connection::Handshake { rtt, ..entry.syn };
        let ports = Ports { local: tuple.local.port(), remote: tuple.remote.port() };
        let options = self.options_of(&entry);
        let (interface, station) = (entry.interface, entry.station);
        let remote = tuple.remote.ip();
        // The path may have become narrower than what was announced.
        let path_mss = entry.mss.min(mss(self.ip.path_mtu(interface, remote), remote));
        let connection = Connection::accept(ports, &handshake, path_mss, options, self.now);
        let phase = Phase::Queued(listener);
        let Some(id) = self.new_tcp(tuple, phase, interface, connection) else {
            entry.is_acknowledged = true;
            self.tcp.handshakes.insert(tuple, entry);
            return Verdict::Dropped(Reason::NoMemory);
        };
        // The peer has just proved where it can be reached: no need to ask for that.
        self.introduce(interface, remote, station);
        self.queue_for_accept(id, listener);
        self.deliver(id, segment, packet, tx)
    }

    /// Repeats SYN-ACKs and gives up what has waited long enough.
    pub(crate) fn repeat_handshakes(&mut self) {
        while let Some(tuple) = self.tcp.handshakes.first_due(self.now)
            && let Some(mut entry) = self.tcp.handshakes.remove(&tuple)
        {
            entry.repeats += 1;
            if let Some(wait) = entry.next_repeat(self.tcp.handshakes.len() > REPEAT_LEN_MAX) {
                entry.due = (self.now + wait).rounded_up();
                let header = entry.syn_ack(&tuple, &self.options_of(&entry));
                self.enqueue_segment(&tuple, &entry, &header);
                self.tcp.handshakes.insert(tuple, entry);
            } else if entry.is_acknowledged {
                self.enqueue_segment(&tuple, &entry, &entry.reset(&tuple));
            }
        }
    }

    fn enqueue_segment(&mut self, tuple: &Tuple, entry: &HalfOpen, header: &Header) {
        let (source, destination) = (tuple.local.ip(), tuple.remote.ip());
        let mut segment = vec![0; header.len()];
        header.emit(&mut segment, source, destination, ip::Checksum::Whole);
        let hop_limit = self.options_of(entry).hop_limit;
        let ip = ip::Header { source, destination, protocol: IpProtocol::Tcp, hop_limit };
        let mtu = self.ip.interface(entry.interface).mtu;
        self.ip.enqueue_packet(entry.interface, entry.station, &ip, mtu, &segment);
    }
}
