//! UDP sockets (RFC 768).

use alloc::{vec, vec::Vec};
use core::{net::SocketAddr, task::Waker, time::Duration};

use netdev::Transmitter;
use smoltcp::{
    iface::SocketSet,
    socket::udp::{PacketBuffer, PacketMetadata, Socket},
    wire::IpListenEndpoint,
};

use crate::{
    engine::{Engine, FRAMES_PER_TURN, Turn},
    error::{BindError, RecvError, SendError},
    flow::{Flow, FlowId, Kind},
    frame::Tuple,
    listener::conflicts,
    outbox::{self, Datagram, Outbox},
    phy::Phy,
    stack::Interest,
    time::{Clock, Instant},
};

/// The largest payload of an IPv4 datagram: 65,535 bytes less two headers.
const PAYLOAD_LEN_MAX: usize = 65_507;
/// Bytes that a socket buffers of what it receives: one datagram of the largest size.
const BUFFER_LEN: usize = 64 * 1024;
/// Datagrams that a socket buffers of what it receives: as many as a receive ring holds.
const BUFFER_DATAGRAMS: usize = 256;
/// What a socket takes of the memory budget: its buffer, its outbox, what is being sent.
const MEMORY: usize =
    BUFFER_LEN + BUFFER_DATAGRAMS * size_of::<PacketMetadata>() + outbox::LEN_MAX + 1024;

/// How long a dropped socket may take to send what it has: a few searches for a neighbour.
const ORPHAN_LIFETIME: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct UdpFlow {
    pub(crate) local: SocketAddr,
    pub(crate) outbox: Outbox,
    /// Nobody owns the socket any more.
    is_orphan: bool,
    /// When an orphan is given up.
    give_up: Option<Instant>,
}

impl UdpFlow {
    /// When it is to be looked at again, whatever happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.give_up, self.outbox.deadline()].into_iter().flatten().min()
    }
}

/// Where a socket is bound, as smoltcp has it.
fn endpoint(local: SocketAddr) -> IpListenEndpoint {
    let addr = (!local.ip().is_unspecified()).then(|| local.ip().into());
    IpListenEndpoint { addr, port: local.port() }
}

/// What a datagram came to.
enum Fate {
    Sent,
    /// Its neighbour must be found first; `searched` if smoltcp has begun to.
    Waits {
        searched: bool,
    },
}

impl Engine {
    /// Binds to `local`; port 0 chooses one.
    pub(crate) fn bind_udp(&mut self, local: SocketAddr) -> Result<FlowId, BindError> {
        if !local.ip().is_unspecified() && !self.has_address(local.ip()) {
            return Err(BindError::NotOurs);
        }
        let is_free = |engine: &Self, port| {
            let wanted = SocketAddr::new(local.ip(), port);
            !engine.udp_on(port).any(|(_, bound)| conflicts(bound, wanted))
        };
        let port = match local.port() {
            0 => self.ephemeral_port(is_free).ok_or(BindError::NoPorts)?,
            port if is_free(self, port) => port,
            _ => return Err(BindError::InUse),
        };
        if !self.budget.reserve(MEMORY) {
            return Err(BindError::NoMemory);
        }
        let local = SocketAddr::new(local.ip(), port);
        let received =
            PacketBuffer::new(vec![PacketMetadata::EMPTY; BUFFER_DATAGRAMS], vec![0; BUFFER_LEN]);
        let mut socket = Socket::new(received, PacketBuffer::new(vec![], vec![]));
        socket.bind(endpoint(local)).expect("a fresh socket and a port not 0");
        let flow = UdpFlow { local, outbox: Outbox::default(), is_orphan: false, give_up: None };
        let id = self.flows.insert(Flow::new(Kind::Udp(flow), Clock::Tcp, socket, MEMORY));
        self.udp_ports.entry(port).or_default().push(id);
        Ok(id)
    }

    /// The sockets on a port, with what they are bound to.
    fn udp_on(&self, port: u16) -> impl Iterator<Item = (FlowId, SocketAddr)> {
        let ids = self.udp_ports.get(&port).map(|ids| ids.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|&id| match &self.flows[id].kind {
            Kind::Udp(flow) => Some((id, flow.local)),
            _ => None,
        })
    }

    pub(crate) fn udp_datagram(
        &mut self,
        tuple: &Tuple,
        frame: &mut [u8],
        tx: &mut impl Transmitter,
    ) {
        const DHCP_CLIENT_PORT: u16 = 68;
        let local = tuple.local;
        if let Some(id) = self.dhcp
            && local.port() == DHCP_CLIENT_PORT
        {
            return self.feed(id, frame, tx);
        }
        if !self.is_proper_source(tuple.remote.ip()) {
            return;
        }
        let exact = self.udp_on(local.port()).find(|(_, bound)| bound.ip() == local.ip());
        let socket = exact.or_else(|| {
            self.udp_on(local.port()).find(|(_, bound)| {
                bound.ip().is_unspecified() && bound.is_ipv4() == local.is_ipv4()
            })
        });
        match socket {
            Some((id, _)) => self.feed(id, frame, tx),
            None => self.feed_none(frame, tx),
        }
    }

    /// Sends what waits in the outbox. A datagram whose neighbour is not known steps aside.
    pub(crate) fn send_datagrams(&mut self, id: FlowId, tx: &mut impl Transmitter) -> Turn {
        let mut turn = Turn::default();
        while turn.frames < FRAMES_PER_TURN {
            if !self.send_fragments(tx) || !tx.is_ready() {
                turn.blocked = true;
                break;
            }
            let Some((udp, _)) = self.flows[id].udp() else {
                break;
            };
            let Some(datagram) = udp.outbox.pop() else {
                break;
            };
            match self.send_datagram(id, &datagram, tx) {
                Fate::Sent => turn.frames += 1,
                Fate::Waits { searched } => {
                    turn.searched |= searched;
                    self.park(id, datagram, searched, tx);
                }
            }
        }
        turn
    }

    /// smoltcp holds everything that is behind a datagram whose neighbour it does not know. So it is
    /// given one at a time, in a socket that can be thrown away.
    fn send_datagram(
        &mut self,
        id: FlowId,
        datagram: &Datagram,
        tx: &mut impl Transmitter,
    ) -> Fate {
        let Kind::Udp(udp) = &self.flows[id].kind else {
            return Fate::Sent;
        };
        let buffer = PacketBuffer::new(vec![PacketMetadata::EMPTY], vec![0; datagram.data.len()]);
        let mut socket = Socket::new(PacketBuffer::new(vec![], vec![]), buffer);
        socket.bind(endpoint(udp.local)).expect("a fresh socket and a port not 0");
        let queued = socket.send_slice(&datagram.data, datagram.to);
        debug_assert!(queued.is_ok(), "a buffer as long as the datagram");
        let mut set = SocketSet::new(Vec::with_capacity(1));
        set.add(socket);
        let mut phy = Phy::transmit_only(&self.capabilities, tx);
        self.iface.poll_egress(Clock::Tcp.instant(self.now), &mut phy, &mut set);
        let activity = phy.activity;
        self.count_sent(&activity);
        match activity.awaits_neighbour() {
            true => Fate::Waits { searched: activity.frames > 0 },
            false => Fate::Sent,
        }
    }

    fn park(&mut self, id: FlowId, datagram: Datagram, searched: bool, tx: &mut impl Transmitter) {
        let to = datagram.to.ip();
        let now = self.now;
        if let Some((udp, _)) = self.flows[id].udp() {
            self.stats.dropped_no_neighbour += udp.outbox.park(datagram, now);
        }
        self.awaiting_neighbour.insert(id);
        self.ask_for_neighbour(to, searched, tx);
    }

    /// Returns whether the socket lives on.
    pub(crate) fn settle_udp(&mut self, id: FlowId) -> bool {
        let now = self.now;
        let flow = &mut self.flows[id];
        let Some((udp, socket)) = flow.udp() else {
            return true;
        };
        let dropped = udp.outbox.expire(now);
        let (nothing_waits, writable) = (udp.outbox.is_empty(), udp.outbox.has_room());
        if udp.is_orphan {
            // Not when it was released: the time of an application's call is not known.
            let give_up = *udp.give_up.get_or_insert(now + ORPHAN_LIFETIME);
            self.stats.dropped_no_neighbour += dropped;
            return !nothing_waits && now < give_up;
        }
        let readable = socket.can_recv();
        if readable {
            flow.readers.drain_into(&mut self.woken);
        }
        if writable {
            flow.writers.drain_into(&mut self.woken);
        }
        self.stats.dropped_no_neighbour += dropped;
        true
    }

    pub(crate) fn udp_send(
        &mut self,
        id: FlowId,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), SendError> {
        let is_other_family = match self.flows[id].udp() {
            Some((udp, _)) => udp.local.is_ipv4() != remote.is_ipv4(),
            None => false,
        };
        if remote.port() == 0 || remote.ip().is_unspecified() || is_other_family {
            return Err(SendError::Invalid);
        }
        let len_max = match remote {
            SocketAddr::V4(_) => PAYLOAD_LEN_MAX,
            SocketAddr::V6(_) => self.udp6_payload_len_max(),
        };
        if data.len() > len_max {
            return Err(SendError::TooLong);
        }
        if self.source_address(remote.ip()).is_none() {
            return Err(SendError::Unreachable);
        }
        if let Some((udp, _)) = self.flows[id].udp() {
            let (is_queued, dropped) = udp.outbox.push(Datagram::new(remote, data));
            self.stats.dropped_no_neighbour += dropped;
            if !is_queued {
                return Err(SendError::WouldBlock);
            }
        }
        self.mark_dirty(id);
        Ok(())
    }

    /// Copies the oldest datagram into `buffer`, cut to its length, and says who sent it.
    pub(crate) fn udp_recv(
        &mut self,
        id: FlowId,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), RecvError> {
        let Some((_, socket)) = self.flows[id].udp() else {
            return Err(RecvError::WouldBlock);
        };
        let (data, from) = socket.recv().map_err(|_| RecvError::WouldBlock)?;
        let len = data.len().min(buffer.len());
        buffer[..len].copy_from_slice(&data[..len]);
        Ok((len, SocketAddr::new(from.endpoint.addr.into(), from.endpoint.port)))
    }

    pub(crate) fn udp_register(&mut self, id: FlowId, interest: Interest, waker: &Waker) {
        let flow = &mut self.flows[id];
        match interest {
            Interest::Read => flow.readers.register(waker),
            Interest::Write => flow.writers.register(waker),
        }
    }

    /// The application lets go of a socket: what it sent still goes out.
    pub(crate) fn release_udp(&mut self, id: FlowId) {
        if let Some((udp, _)) = self.flows[id].udp() {
            let port = udp.local.port();
            udp.is_orphan = true;
            // The port is free at once, for whoever binds next.
            self.release_udp_port(port, id);
        }
        self.mark_dirty(id);
    }

    pub(crate) fn release_udp_port(&mut self, port: u16, id: FlowId) {
        if let Some(ids) = self.udp_ports.get_mut(&port) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.udp_ports.remove(&port);
            }
        }
    }
}
