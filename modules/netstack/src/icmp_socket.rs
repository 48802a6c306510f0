//! ICMP sockets: echo requests out; their replies and the errors about them in.

use core::net::{IpAddr, SocketAddr};

use rand_core::Rng;
use smoltcp::wire::IpProtocol;

use crate::{
    datagram::{Arrived, Datagram, Note, Queues, Received, SOCKET_MEMORY},
    engine::Engine,
    error::{BindError, RecvError, SendError},
    flow::{Flow, FlowId, Kind},
    ip::{
        ErrorKind, HOP_LIMIT_DEFAULT, Header, ICMP_HEADER_LEN, IcmpError, InterfaceId, Packet,
        fill_checksum,
    },
    stats::{Reason, Verdict},
    udp::zone_of,
};

/// The longest data of an echo request: 65,535 bytes less two headers.
const DATA_LEN_MAX: usize = 65_507;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// What came to an ICMP socket.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let socket = IcmpSocket::new(&stack, true, Some(7))?;
/// socket.try_send_to(1, b"are you there?", "127.0.0.1:0".parse()?)?;
/// poll();
/// let echo: Echo = socket.try_receive(&mut [0; 100])?;
/// assert_eq!((echo.sequence, echo.error, echo.received.len), (1, None, 14));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// The number of the request.
    pub sequence: u16,
    /// Why there was no reply, if it is an error. [`Received::from`] is then who says so, and there is
    /// no data.
    pub error: Option<ErrorKind>,
    /// Lengths and addresses. Ports are zero.
    pub received: Received,
}

#[derive(Debug)]
pub(crate) struct IcmpFlow {
    is_ipv4: bool,
    ident: u16,
    pub(crate) hop_limit: u8,
    pub(crate) queues: Queues,
}

impl Engine {
    /// A socket with the identifier given, or a free one.
    pub(crate) fn new_icmp(
        &mut self,
        is_ipv4: bool,
        ident: Option<u16>,
    ) -> Result<FlowId, BindError> {
        let is_free = |engine: &Self, ident| !engine.idents.contains_key(&(is_ipv4, ident));
        let ident = match ident {
            Some(ident) if is_free(self, ident) => ident,
            Some(_) => return Err(BindError::InUse),
            None => {
                let start = self.rng.next_u32() as u16;
                let mut idents = (0..=u16::MAX).map(|step| start.wrapping_add(step));
                idents.find(|&ident| is_free(self, ident)).ok_or(BindError::NoPorts)?
            }
        };
        if !self.budget.reserve(SOCKET_MEMORY) {
            return Err(BindError::NoMemory);
        }
        let queues = Queues::default();
        let flow = IcmpFlow { is_ipv4, ident, hop_limit: HOP_LIMIT_DEFAULT, queues };
        let id = self.flows.insert(Flow::new(Kind::Icmp(flow), SOCKET_MEMORY));
        self.idents.insert((is_ipv4, ident), id);
        Ok(id)
    }

    pub(crate) fn release_icmp(&mut self, id: FlowId) {
        if let Kind::Icmp(flow) = &self.flows[id].kind {
            let key = (flow.is_ipv4, flow.ident);
            self.idents.remove(&key);
        }
        self.orphan(id);
    }

    pub(crate) fn icmp_ident(&self, id: FlowId) -> u16 {
        match &self.flows[id].kind {
            Kind::Icmp(flow) => flow.ident,
            _ => 0,
        }
    }

    pub(crate) fn icmp_hop_limit(&mut self, id: FlowId) -> Option<&mut u8> {
        match &mut self.flows[id].kind {
            Kind::Icmp(flow) => Some(&mut flow.hop_limit),
            _ => None,
        }
    }

    /// Sends an echo request.
    pub(crate) fn icmp_send(
        &mut self,
        id: FlowId,
        sequence: u16,
        data: &[u8],
        to: SocketAddr,
    ) -> Result<(), SendError> {
        let Kind::Icmp(flow) = &self.flows[id].kind else {
            return Err(SendError::Invalid);
        };
        let (is_ipv4, ident, hop_limit) = (flow.is_ipv4, flow.ident, flow.hop_limit);
        let ip = to.ip();
        if ip.is_ipv4() != is_ipv4 || ip.is_unspecified() {
            return Err(SendError::Invalid);
        }
        if self.ip.is_broadcast(ip) {
            return Err(SendError::NoBroadcast);
        }
        if data.len() > DATA_LEN_MAX {
            return Err(SendError::TooLong);
        }
        let path = self.ip.route_via(ip, None, zone_of(to)).ok_or(SendError::Unreachable)?;
        let protocol = if is_ipv4 { IpProtocol::Icmp } else { IpProtocol::Icmpv6 };
        let header = Header { source: path.source, destination: ip, protocol, hop_limit };
        let mut message = alloc::vec![0; ICMP_HEADER_LEN + data.len()];
        message[0] = if is_ipv4 { ECHO_REQUEST } else { ECHO_REQUEST_V6 };
        message[4..6].copy_from_slice(&ident.to_be_bytes());
        message[6..8].copy_from_slice(&sequence.to_be_bytes());
        message[ICMP_HEADER_LEN..].copy_from_slice(data);
        fill_checksum(&mut message, &header);
        let datagram = Datagram {
            interface: path.interface,
            header,
            ports: None,
            is_looped: true,
            data: message,
            give_up: None,
        };
        self.queue_datagram(id, datagram)
    }

    pub(crate) fn icmp_recv(&mut self, id: FlowId, buffer: &mut [u8]) -> Result<Echo, RecvError> {
        let (received, note) = self.receive(id, buffer, false)?;
        let (sequence, error) = match note {
            Note::Plain => (0, None),
            Note::EchoReply { sequence } => (sequence, None),
            Note::Error { sequence, kind } => (sequence, Some(kind)),
        };
        Ok(Echo { sequence, error, received })
    }

    /// A reply with a right checksum.
    pub(crate) fn echo_reply(&mut self, packet: &Packet<'_>) -> Verdict {
        let word = |index| u16::from_be_bytes([packet.payload[index], packet.payload[index + 1]]);
        let (ident, sequence) = (word(4), word(6));
        let Some(&id) = self.idents.get(&(packet.source.is_ipv4(), ident)) else {
            return Verdict::Dropped(Reason::UnwantedIcmp);
        };
        let arrived = arrived(packet, packet.source, Note::EchoReply { sequence });
        self.deliver_datagram(id, &arrived, &packet.payload[ICMP_HEADER_LEN..])
    }

    /// An error about a request. Returns whether somebody has sent that.
    pub(crate) fn icmp_socket_error(
        &mut self,
        ident: u16,
        sequence: u16,
        to: IpAddr,
        error: IcmpError,
        packet: &Packet<'_>,
    ) -> bool {
        let Some(&id) = self.idents.get(&(to.is_ipv4(), ident)) else {
            return false;
        };
        if let ErrorKind::TooBig(mtu) = error.kind {
            self.lower_path_mtu(to, mtu);
        }
        let note = Note::Error { sequence, kind: error.kind };
        // A full buffer costs the news, not its truth.
        self.deliver_datagram(id, &arrived(packet, error.from, note), &[]);
        true
    }
}

fn arrived(packet: &Packet<'_>, from: IpAddr, note: Note) -> Arrived {
    Arrived {
        from: with_zone(from, packet.interface),
        to: with_zone(packet.destination, packet.interface),
        interface: packet.interface,
        hop_limit: packet.hop_limit,
        note,
    }
}

/// An address without a port, with its zone.
pub(crate) fn with_zone(ip: IpAddr, interface: InterfaceId) -> SocketAddr {
    let mut address = SocketAddr::new(ip, 0);
    if let SocketAddr::V6(address) = &mut address
        && address.ip().is_unicast_link_local()
    {
        address.set_scope_id(interface.zone());
    }
    address
}
