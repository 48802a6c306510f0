//! Handshakes that peers began, before there is a socket (RFC 9293 section 3.5).
//!
//! A SYN is answered from a few dozen bytes of state, so that a flood of them costs next to nothing
//! and does not keep others out. When the handshake completes, a socket is made, the SYN is played
//! to it again, its own SYN-ACK is kept back, and its sequence numbers are shifted to those that the
//! peer knows ([`crate::isn`]).

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::time::Duration;

use hashbrown::HashMap;
use netdev::{ETHERNET_HEADER_LEN, Transmitter};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetFrame, EthernetProtocol, HardwareAddress, Ipv4Packet, Ipv6Packet, TcpControl,
        TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

use crate::{
    engine::Engine,
    flow::FlowId,
    frame::{self, Class, Segment, Tuple},
    hash::Keyed,
    isn::Numbering,
    listener::ListenerId,
    reply::{self, Link},
    tcp::{self, Phase},
    time::Instant,
};

/// Handshakes at a time, about 1 MiB in all. A flood of 10,000 SYNs per second takes 400 ms to push a
/// handshake out: longer than a round trip.
const LEN_MAX: usize = 4096;
/// With more than this many, unanswered SYN-ACKs are not repeated: they are a flood's.
const REPEAT_LEN_MAX: usize = LEN_MAX / 4;

/// When a SYN-ACK is repeated after the one before; then the handshake is given up. RFC 6298 section
/// 2.1 begins with a second and doubles it.
const REPEATS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How often a peer that has acknowledged is asked again, each second, because there was no room for
/// its connection. Then it is told with a reset.
const ROOM_REPEATS: usize = 30;

/// One handshake: what the SYN said, and what was answered.
#[derive(Debug, Clone)]
struct HalfOpen {
    listener: ListenerId,
    link: Link,
    peer_isn: TcpSeqNumber,
    mss: Option<u16>,
    window_scale: Option<u8>,
    window_len: u16,
    sack_permitted: bool,
    /// Our initial sequence number.
    isn: u32,
    /// The size that the socket's buffers will have: the window scale follows from it.
    buffer_len: usize,
    /// The peer has answered, and there was no room.
    is_acknowledged: bool,
    repeats: usize,
    due: Instant,
}

impl HalfOpen {
    fn syn(&self, tuple: &Tuple) -> TcpRepr<'static> {
        TcpRepr {
            src_port: tuple.remote.port(),
            dst_port: tuple.local.port(),
            control: TcpControl::Syn,
            seq_number: self.peer_isn,
            ack_number: None,
            window_len: self.window_len,
            window_scale: self.window_scale,
            max_seg_size: self.mss,
            sack_permitted: self.sack_permitted,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        }
    }

    fn syn_ack(&self, tuple: &Tuple, mss: u16) -> TcpRepr<'static> {
        TcpRepr {
            src_port: tuple.local.port(),
            dst_port: tuple.remote.port(),
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(self.isn as i32),
            ack_number: Some(self.peer_isn + 1),
            window_len: u16::try_from(self.buffer_len).unwrap_or(u16::MAX),
            window_scale: self.window_scale.map(|_| tcp::window_scale(self.buffer_len)),
            max_seg_size: Some(mss),
            sack_permitted: self.sack_permitted,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        }
    }

    /// How long to wait for an answer to the next SYN-ACK, if there is to be one.
    fn next_repeat(&self, is_flood: bool) -> Option<Duration> {
        match self.is_acknowledged {
            true => (self.repeats < ROOM_REPEATS).then_some(REPEATS[0]),
            false => REPEATS.get(self.repeats).copied().filter(|_| !is_flood),
        }
    }

    /// A reset for a peer that takes the connection for established.
    fn reset(&self, tuple: &Tuple) -> TcpRepr<'static> {
        let seq_number = TcpSeqNumber(self.isn.wrapping_add(1) as i32);
        TcpRepr {
            control: TcpControl::Rst,
            seq_number,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            ..self.syn_ack(tuple, 0)
        }
    }

    /// Whether a segment acknowledges our SYN.
    fn is_acknowledged_by(&self, segment: &Segment) -> bool {
        segment.ack.is_some_and(|ack| ack.0 as u32 == self.isn.wrapping_add(1))
    }

    /// Whether a segment begins in the window that we announced.
    fn expects(&self, seq: TcpSeqNumber) -> bool {
        let next = self.peer_isn + 1;
        seq >= next && seq < next + self.buffer_len.min(u16::MAX.into())
    }
}

/// Every handshake under way.
#[derive(Debug)]
pub(crate) struct Handshakes {
    entries: HashMap<Tuple, HalfOpen, Keyed>,
    /// By when they are due. Exactly one place for each.
    queue: BTreeSet<(Instant, Tuple)>,
}

impl Handshakes {
    pub(crate) fn new(hasher: Keyed) -> Self {
        Handshakes { entries: HashMap::with_hasher(hasher), queue: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.entries.contains_key(tuple)
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
        segment: &Segment,
        listener: ListenerId,
        frame: &[u8],
        tx: &mut impl Transmitter,
    ) {
        let Some((syn, link)) = parse_syn(frame, segment) else {
            return;
        };
        if !self.is_proper(segment, &link) {
            return;
        }
        let buffer_len = self.buffer_len();
        if !self.has_room_for(buffer_len) {
            self.stats.dropped_no_memory += 1;
            return;
        }
        if self.handshakes.len() >= LEN_MAX {
            self.stats.evicted_half_open += 1;
            self.handshakes.evict();
        }
        let entry = HalfOpen {
            listener,
            link,
            peer_isn: syn.seq_number,
            mss: syn.max_seg_size,
            window_scale: syn.window_scale,
            window_len: syn.window_len,
            sack_permitted: syn.sack_permitted,
            isn: self.isns.isn(&segment.tuple, self.now),
            buffer_len,
            is_acknowledged: false,
            repeats: 0,
            due: (self.now + REPEATS[0]).rounded_up(),
        };
        self.send_syn_ack(&segment.tuple, &entry, tx);
        self.handshakes.insert(segment.tuple, entry);
    }

    /// Whether a SYN came to us alone and from one host that is not us (RFC 1122 section 4.2.3.10).
    fn is_proper(&self, segment: &Segment, link: &Link) -> bool {
        let is_ours = HardwareAddress::Ethernet(link.ours) == self.iface.hardware_addr();
        is_ours && self.is_proper_source(segment.tuple.remote.ip())
    }

    /// A segment for a handshake under way.
    pub(crate) fn continue_handshake(
        &mut self,
        segment: &Segment,
        frame: &mut [u8],
        tx: &mut impl Transmitter,
    ) {
        let tuple = &segment.tuple;
        let entry = &self.handshakes.entries[tuple];
        let (listener, expected) = (entry.listener, entry.expects(segment.seq));
        if segment.rst {
            // RFC 5961 section 3.2: only the exact number is believed.
            if segment.seq == entry.peer_isn + 1 {
                self.handshakes.remove(tuple);
            }
        } else if segment.syn && segment.ack.is_none() {
            if segment.seq == entry.peer_isn {
                // Ours was lost, or is under way.
                let entry = entry.clone();
                self.send_syn_ack(tuple, &entry, tx);
            } else {
                // The peer has begun anew.
                self.handshakes.remove(tuple);
                self.begin_handshake(segment, listener, frame, tx);
            }
        } else if !entry.is_acknowledged_by(segment) {
            // RFC 9293 section 3.10.7.4: an acknowledgement of something else is answered by a reset.
            self.feed_none(frame, tx);
        } else if self.is_listener_full(listener) {
            self.stats.dropped_backlog_full += 1;
            self.handshakes.acknowledge(tuple);
        } else if expected {
            self.complete_handshake(segment, frame, tx);
        }
    }

    /// Makes the socket. If that does not succeed, the segment counts as lost: the peer or our next
    /// SYN-ACK brings another.
    fn complete_handshake(
        &mut self,
        segment: &Segment,
        frame: &mut [u8],
        tx: &mut impl Transmitter,
    ) {
        let tuple = segment.tuple;
        let entry = self.handshakes.entries[&tuple].clone();
        let phase = Phase::HalfOpen(entry.listener);
        let numbering = Numbering::beginning_at(entry.isn);
        let Some(id) = self.new_tcp(tuple, phase, entry.buffer_len, numbering) else {
            self.stats.dropped_no_memory += 1;
            self.handshakes.acknowledge(&tuple);
            return;
        };
        if self.replay_syn(id, &tuple, &entry) {
            self.deliver(id, segment, frame, tx);
        }
        match self.is_half_open(id) {
            true => self.remove(id),
            false => drop(self.handshakes.remove(&tuple)),
        }
    }

    /// Brings a fresh socket to where it has sent the SYN-ACK that the peer has. False if there is no
    /// way back to the peer.
    fn replay_syn(&mut self, id: FlowId, tuple: &Tuple, entry: &HalfOpen) -> bool {
        if let Some((_, socket)) = self.flows[id].tcp() {
            let endpoint = tcp::listen_endpoint(tuple.local);
            socket.listen(endpoint).expect("a fresh socket and a port that is not 0");
        }
        let mut syn = Kept::default();
        let back = entry.link.reversed();
        reply::segment(&back, tuple.remote, tuple.local, &entry.syn(tuple), &mut syn);

        // What is kept here was not sent.
        let before = (self.stats.frames_sent, self.stats.bytes_sent);
        let mut answer = Kept::default();
        self.feed(id, &mut syn.frame, &mut answer);
        self.send(id, &mut answer);
        if !answer.is_segment() {
            // The peer has just proved where it can be reached: no need to ask for that.
            self.introduce_neighbour(tuple, &entry.link);
            self.send(id, &mut answer);
        }
        (self.stats.frames_sent, self.stats.bytes_sent) = before;
        answer.is_segment()
    }

    /// Has the interface learn the next hop on the way back to a peer, as if it had asked.
    fn introduce_neighbour(&mut self, tuple: &Tuple, link: &Link) {
        if let Some(next_hop) = self.next_hop(tuple.remote.ip()) {
            let mut answer = Kept::default();
            reply::neighbour_answer(link, next_hop, tuple.local.ip(), &mut answer);
            self.feed_none(&answer.frame, &mut Kept::default());
        }
    }

    fn send_syn_ack(&mut self, tuple: &Tuple, entry: &HalfOpen, tx: &mut impl Transmitter) {
        let mss = tcp::mss(self.mtu(), tuple.local.ip());
        let syn_ack = entry.syn_ack(tuple, mss);
        let activity = reply::segment(&entry.link, tuple.local, tuple.remote, &syn_ack, tx);
        self.count_sent(&activity);
    }

    /// Repeats SYN-ACKs and gives up what has waited long enough.
    pub(crate) fn repeat_handshakes(&mut self, tx: &mut impl Transmitter) {
        while tx.is_ready()
            && let Some(tuple) = self.handshakes.first_due(self.now)
            && let Some(mut entry) = self.handshakes.remove(&tuple)
        {
            entry.repeats += 1;
            if let Some(wait) = entry.next_repeat(self.handshakes.len() > REPEAT_LEN_MAX) {
                entry.due = (self.now + wait).rounded_up();
                self.send_syn_ack(&tuple, &entry, tx);
                self.handshakes.insert(tuple, entry);
            } else if entry.is_acknowledged {
                let (link, reset) = (&entry.link, entry.reset(&tuple));
                let activity = reply::segment(link, tuple.local, tuple.remote, &reset, tx);
                self.count_sent(&activity);
            }
        }
    }
}

/// The SYN in a frame, if it is sound, and the way that its answer goes.
fn parse_syn<'a>(frame: &'a [u8], segment: &Segment) -> Option<(TcpRepr<'a>, Link)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let link = Link::of_answer(&ethernet);
    let packet = &frame[ETHERNET_HEADER_LEN..];
    let payload = match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            (ip.verify_checksum() && !ip.more_frags())
                .then(|| &packet[usize::from(ip.header_len())..usize::from(ip.total_len())])?
        }
        _ => Ipv6Packet::new_checked(packet)
            .ok()
            .map(|ip| &packet[ip.header_len()..ip.header_len() + usize::from(ip.payload_len())])?,
    };
    let (from, to) = (segment.tuple.remote.ip().into(), segment.tuple.local.ip().into());
    let tcp = TcpPacket::new_checked(payload).ok()?;
    let repr = TcpRepr::parse(&tcp, &from, &to, &ChecksumCapabilities::default()).ok()?;
    (repr.control == TcpControl::Syn).then_some((repr, link))
}

/// A transmitter that sends nothing: it keeps the last frame.
#[derive(Default)]
struct Kept {
    frame: Vec<u8>,
}

impl Kept {
    fn is_segment(&self) -> bool {
        matches!(frame::parse(&self.frame).class, Class::Tcp(_))
    }
}

impl Transmitter for Kept {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn transmit<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.frame = vec![0; len];
        write(&mut self.frame)
    }

    fn flush(&mut self) {}
}
