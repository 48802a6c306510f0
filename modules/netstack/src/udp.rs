//! UDP sockets (RFC 768).

use alloc::vec;
use core::{net::SocketAddr, task::Waker, time::Duration};

use netdev::Transmitter;
use smoltcp::{
    socket::udp::{PacketBuffer, PacketMetadata, SendError as SmoltcpSendError, Socket},
    wire::IpListenEndpoint,
};

use crate::{
    engine::Engine,
    error::{BindError, RecvError, SendError},
    flow::{Flow, FlowId, Kind},
    frame::Tuple,
    listener::conflicts,
    stack::Interest,
    time::{Clock, Instant},
};

/// The largest payload of an IPv4 datagram: 65,535 bytes less two headers.
const PAYLOAD_LEN_MAX: usize = 65_507;
/// Bytes that a socket buffers each way: one datagram of the largest size.
const BUFFER_LEN: usize = 64 * 1024;
/// Datagrams that a socket buffers each way: as many as a receive ring holds.
const BUFFER_DATAGRAMS: usize = 256;
/// What a socket takes of the memory budget: buffers, their metadata, smoltcp's socket.
const MEMORY: usize = 2 * (BUFFER_LEN + BUFFER_DATAGRAMS * size_of::<PacketMetadata>()) + 1024;

/// How long a dropped socket may take to send what it has: a few searches for a neighbour.
const ORPHAN_LIFETIME: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct UdpFlow {
    pub(crate) local: SocketAddr,
    /// Nobody owns the socket any more.
    is_orphan: bool,
    /// When an orphan is given up.
    give_up: Option<Instant>,
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
        let buffer = || {
            PacketBuffer::new(vec![PacketMetadata::EMPTY; BUFFER_DATAGRAMS], vec![0; BUFFER_LEN])
        };
        let mut socket = Socket::new(buffer(), buffer());
        let addr = (!local.ip().is_unspecified()).then(|| local.ip().into());
        socket.bind(IpListenEndpoint { addr, port }).expect("a fresh socket and a port not 0");
        let flow =
            UdpFlow { local: SocketAddr::new(local.ip(), port), is_orphan: false, give_up: None };
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

    /// Returns whether the socket lives on.
    pub(crate) fn settle_udp(&mut self, id: FlowId) -> bool {
        let now = self.now;
        let flow = &mut self.flows[id];
        let Some((udp, socket)) = flow.udp() else {
            return true;
        };
        if udp.is_orphan {
            // Not when it was released: the time of an application's call is not known.
            let give_up = *udp.give_up.get_or_insert(now + ORPHAN_LIFETIME);
            return socket.send_queue() > 0 && now < give_up;
        }
        let (readable, writable) = (socket.can_recv(), socket.can_send());
        if readable {
            flow.readers.drain_into(&mut self.woken);
        }
        if writable {
            flow.writers.drain_into(&mut self.woken);
        }
        true
    }

    pub(crate) fn udp_send(
        &mut self,
        id: FlowId,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), SendError> {
        if remote.port() == 0 || remote.ip().is_unspecified() {
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
        if let Some((_, socket)) = self.flows[id].udp() {
            socket.send_slice(data, remote).map_err(|error| match error {
                SmoltcpSendError::BufferFull => SendError::WouldBlock,
                SmoltcpSendError::Unaddressable => SendError::Invalid,
            })?;
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
