//! What UDP, ICMP and raw sockets have in common: datagrams in, datagrams out.

mod inbox;
mod outbox;

use core::{net::SocketAddr, time::Duration};

use netdev::Transmitter;
use smoltcp::wire::{IpProtocol, UdpPacket};

pub(crate) use self::{
    inbox::{Arrived, Inbox, Note},
    outbox::{Datagram, Outbox},
};
use crate::{
    engine::{Engine, FRAMES_PER_TURN, Turn},
    error::{RecvError, SendError},
    flow::FlowId,
    ip::{Body, Checksum, Header, InterfaceId, Unresolved, pseudo_header_sum},
    stats::{Reason, Verdict},
    time::Instant,
};

/// Length of a UDP header, in bytes.
pub(crate) const UDP_HEADER_LEN: usize = 8;
/// Where the checksum is in that header, in bytes (RFC 768).
const UDP_CHECKSUM_AT: u16 = 6;
/// What a socket takes of the memory budget beside its datagrams, in bytes.
pub(crate) const SOCKET_MEMORY: usize = 1024;
/// How long a dropped socket may take to send what it has: a few searches for a neighbour.
const ORPHAN_LIFETIME: Duration = Duration::from_secs(3);

/// A received datagram, beside its data.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
/// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
/// here.try_send_to(b"hello", there.local_addr())?;
/// poll();
/// let received: Received = there.try_receive(&mut [0; 2])?;
/// assert_eq!((received.len, received.full_len), (2, 5));
/// assert_eq!(received.from, here.local_addr());
/// assert_eq!(received.interface, InterfaceId::LOOPBACK);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes copied into the buffer.
    pub len: usize,
    /// Bytes that the datagram has: more than `len` if it was cut.
    pub full_len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address that it was sent to: ours, a broadcast address or a group.
    pub to: SocketAddr,
    /// The interface that it came by.
    pub interface: InterfaceId,
    /// The hop limit that it came with.
    pub hop_limit: u8,
}

/// What a socket has received and is about to send.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// Nobody owns the socket any more.
    is_orphan: bool,
    /// When an orphan is given up.
    give_up: Option<Instant>,
}

impl Queues {
    /// When it is to be looked at again, whatever happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.give_up, self.outbox.deadline()].into_iter().flatten().min()
    }
}

/// In.
impl Engine {
    /// Puts a datagram into a socket's buffer.
    pub(crate) fn deliver_datagram(
        &mut self,
        id: FlowId,
        arrived: &Arrived,
        data: &[u8],
    ) -> Verdict {
        let Engine { flows, budget, woken, .. } = self;
        let flow = &mut flows[id];
        let Some(queues) = flow.queues() else {
            return Verdict::Dropped(Reason::NoSocket);
        };
        if !queues.inbox.has_room(data.len()) {
            return Verdict::Dropped(Reason::BufferFull);
        }
        let memory = inbox::memory(data.len());
        if !budget.reserve(memory) {
            return Verdict::Dropped(Reason::NoMemory);
        }
        queues.inbox.push(*arrived, data);
        flow.memory += memory;
        flow.readers.drain_into(woken);
        Verdict::Delivered
    }

    /// Copies the oldest datagram into `buffer`, cut to its length, and takes it off unless it is
    /// only looked at.
    pub(crate) fn receive(
        &mut self,
        id: FlowId,
        buffer: &mut [u8],
        is_peek: bool,
    ) -> Result<(Received, Note), RecvError> {
        let queues = self.flows[id].queues().ok_or(RecvError::WouldBlock)?;
        let (arrived, data) = queues.inbox.first().ok_or(RecvError::WouldBlock)?;
        let len = data.len().min(buffer.len());
        buffer[..len].copy_from_slice(&data[..len]);
        let received = Received {
            len,
            full_len: data.len(),
            from: arrived.from,
            to: arrived.to,
            interface: arrived.interface,
            hop_limit: arrived.hop_limit,
        };
        let note = arrived.note;
        if !is_peek {
            let memory = inbox::memory(data.len());
            queues.inbox.pop();
            self.release_memory(id, memory);
        }
        Ok((received, note))
    }
}

/// Out.
impl Engine {
    /// Queues a datagram to be sent.
    pub(crate) fn queue_datagram(
        &mut self,
        id: FlowId,
        datagram: Datagram,
    ) -> Result<(), SendError> {
        let interface = datagram.interface;
        let memory = datagram.memory();
        let Engine { flows, budget, .. } = self;
        let Some(queues) = flows[id].queues() else {
            return Ok(());
        };
        if !queues.outbox.takes(Some(datagram.header.destination)) {
            return Err(SendError::WouldBlock);
        }
        if !budget.reserve(memory) {
            return Err(SendError::NoMemory);
        }
        let (dropped, dropped_memory) = queues.outbox.push(datagram);
        self.flows[id].memory += memory;
        self.stats.dropped_no_neighbour += dropped;
        self.release_memory(id, dropped_memory);
        self.mark_dirty_on(id, interface);
        Ok(())
    }

    /// Sends what waits for an interface. A datagram whose neighbour is not known steps aside.
    pub(crate) fn send_datagrams(
        &mut self,
        id: FlowId,
        interface: InterfaceId,
        tx: &mut impl Transmitter,
    ) -> Turn {
        let mut turn = Turn::default();
        while turn.frames < FRAMES_PER_TURN {
            if !self.ip.flush(interface, tx) || !tx.is_ready() {
                turn.blocked = true;
                break;
            }
            let queues = self.flows[id].queues();
            let Some(datagram) = queues.and_then(|queues| queues.outbox.pop(interface)) else {
                break;
            };
            match self.send_datagram(&datagram, tx) {
                Ok(frames) => {
                    turn.frames += frames;
                    self.release_memory(id, datagram.memory());
                }
                Err(unresolved) => self.park(id, datagram, unresolved),
            }
        }
        turn
    }

    /// Returns how many frames it took.
    fn send_datagram(
        &mut self,
        datagram: &Datagram,
        tx: &mut impl Transmitter,
    ) -> Result<usize, Unresolved> {
        let Datagram { interface, header, .. } = datagram;
        let is_known = |ip| self.ip.owner(ip).is_some();
        if !header.source.is_unspecified() && !is_known(header.source) {
            self.stats.dropped_no_route += 1;
            return Ok(1);
        }
        let len = datagram.len();
        let mtu = self.ip.path_mtu(*interface, header.destination);
        let to = self.ip.resolve(*interface, header, self.now)?;
        if header.len() + len <= mtu {
            let has_checksum = datagram.ports.is_some();
            let (checksum, checksum_at) =
                match has_checksum && self.ip.interface(*interface).offloads.checksum {
                    true => (Checksum::PseudoHeader, Some(UDP_CHECKSUM_AT)),
                    false => (Checksum::Whole, None),
                };
            let body = Body { len, checksum_at, cut: None };
            self.ip.transmit_to(*interface, to, header, body, tx, |buffer| {
                datagram.emit(buffer, checksum);
            });
            self.loop_back(datagram);
            return Ok(1);
        }
        let mut payload = alloc::vec![0; len];
        datagram.emit(&mut payload, Checksum::Whole);
        self.ip.enqueue_packet(*interface, to, header, mtu, &payload);
        self.ip.flush(*interface, tx);
        self.loop_back(datagram);
        Ok(len.div_ceil(mtu))
    }

    /// Gives members on this host their copy (RFC 1112 section 6.1).
    fn loop_back(&mut self, datagram: &Datagram) {
        let group = datagram.header.destination;
        let is_wanted = datagram.is_looped
            && group.is_multicast()
            && datagram.interface != InterfaceId::LOOPBACK
            && self.ip.interfaces.iter().any(|interface| interface.is_member(group));
        if is_wanted {
            let id = InterfaceId::LOOPBACK;
            let (mac, mtu) = (self.ip.interface(id).mac, self.ip.interface(id).mtu);
            let mut payload = alloc::vec![0; datagram.len()];
            datagram.emit(&mut payload, Checksum::Whole);
            self.ip.enqueue_packet(id, mac, &datagram.header, mtu, &payload);
        }
    }

    fn park(&mut self, id: FlowId, datagram: Datagram, unresolved: Unresolved) {
        let now = self.now;
        if let Some(queues) = self.flows[id].queues() {
            let (dropped, memory) = queues.outbox.park(datagram, unresolved.neighbour, now);
            self.stats.dropped_no_neighbour += dropped;
            self.release_memory(id, memory);
        }
        self.await_neighbour(id, unresolved);
    }
}

/// Life.
impl Engine {
    /// Returns whether the socket lives on.
    pub(crate) fn settle_datagrams(&mut self, id: FlowId) -> bool {
        let now = self.now;
        let Some(queues) = self.flows[id].queues() else {
            return true;
        };
        let (dropped, memory) = queues.outbox.expire(now);
        let (nothing_waits, writable) = (queues.outbox.is_empty(), queues.outbox.has_room());
        let is_orphan = queues.is_orphan;
        if is_orphan {
            // Not when it was released: the time of an application's call is not known.
            queues.give_up.get_or_insert(now + ORPHAN_LIFETIME);
        }
        let is_given_up = queues.give_up.is_some_and(|give_up| give_up <= now);
        self.stats.dropped_no_neighbour += dropped;
        self.release_memory(id, memory);
        if is_orphan {
            return !nothing_waits && !is_given_up;
        }
        if writable {
            let Engine { flows, woken, .. } = self;
            flows[id].writers.drain_into(woken);
        }
        true
    }

    /// The application lets go of a socket: what it has received is gone, what it sent still goes out.
    pub(crate) fn orphan(&mut self, id: FlowId) {
        let Some(queues) = self.flows[id].queues() else {
            return;
        };
        if queues.outbox.is_empty() {
            return self.remove(id);
        }
        queues.is_orphan = true;
        let memory = queues.inbox.clear();
        self.release_memory(id, memory);
        self.dismiss(id);
        self.mark_dirty(id);
    }

    pub(crate) fn release_memory(&mut self, id: FlowId, bytes: usize) {
        self.flows[id].memory -= bytes;
        self.budget.release(bytes);
    }
}

impl Datagram {
    /// Length of what follows the IP header, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.data.len() + if self.ports.is_some() { UDP_HEADER_LEN } else { 0 }
    }

    /// Writes what follows the IP header, with the checksum or what the device needs for it.
    fn emit(&self, buffer: &mut [u8], checksum: Checksum) {
        let Some((from, to)) = self.ports else {
            return buffer.copy_from_slice(&self.data);
        };
        let Header { source, destination, .. } = self.header;
        buffer[UDP_HEADER_LEN..].copy_from_slice(&self.data);
        let len = buffer.len() as u16;
        let mut udp = UdpPacket::new_unchecked(buffer);
        udp.set_src_port(from);
        udp.set_dst_port(to);
        udp.set_len(len);
        match checksum {
            Checksum::Whole => udp.fill_checksum(&source.into(), &destination.into()),
            Checksum::PseudoHeader => {
                let sum = pseudo_header_sum(source, destination, IpProtocol::Udp, len.into());
                udp.set_checksum(sum);
            }
        }
    }
}
