//! Raw sockets: what follows the IP header, of one protocol, in and out.
//!
//! They get copies: whatever they receive goes on to TCP, UDP and ICMP as if they were not there.

use core::net::SocketAddr;

use smoltcp::wire::IpProtocol;

use crate::{
    datagram::{Arrived, Datagram, Note, Queues, SOCKET_MEMORY},
    engine::Engine,
    error::{BindError, SendError},
    flow::{Flow, FlowId, Kind},
    icmp_socket::with_zone,
    ip::{HOP_LIMIT_DEFAULT, Header, Packet},
    stats::Verdict,
    udp::zone_of,
};

/// The longest payload of an IPv4 packet.
const PAYLOAD_LEN_MAX: usize = 65_515;

#[derive(Debug)]
pub(crate) struct RawFlow {
    is_ipv4: bool,
    protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) queues: Queues,
}

impl Engine {
    pub(crate) fn new_raw(&mut self, is_ipv4: bool, protocol: u8) -> Result<FlowId, BindError> {
        if !self.budget.reserve(SOCKET_MEMORY) {
            return Err(BindError::NoMemory);
        }
        let queues = Queues::default();
        let flow = RawFlow { is_ipv4, protocol, hop_limit: HOP_LIMIT_DEFAULT, queues };
        let id = self.flows.insert(Flow::new(Kind::Raw(flow), SOCKET_MEMORY));
        self.raw_sockets.entry((is_ipv4, protocol)).or_default().push(id);
        Ok(id)
    }

    pub(crate) fn release_raw(&mut self, id: FlowId) {
        if let Kind::Raw(flow) = &self.flows[id].kind {
            let key = (flow.is_ipv4, flow.protocol);
            if let Some(ids) = self.raw_sockets.get_mut(&key) {
                ids.retain(|&other| other != id);
                if ids.is_empty() {
                    self.raw_sockets.remove(&key);
                }
            }
        }
        self.orphan(id);
    }

    pub(crate) fn raw_hop_limit(&mut self, id: FlowId) -> Option<&mut u8> {
        match &mut self.flows[id].kind {
            Kind::Raw(flow) => Some(&mut flow.hop_limit),
            _ => None,
        }
    }

    pub(crate) fn raw_send(
        &mut self,
        id: FlowId,
        payload: &[u8],
        to: SocketAddr,
    ) -> Result<(), SendError> {
        let Kind::Raw(flow) = &self.flows[id].kind else {
            return Err(SendError::Invalid);
        };
        let (is_ipv4, protocol, hop_limit) = (flow.is_ipv4, flow.protocol, flow.hop_limit);
        let ip = to.ip();
        if ip.is_ipv4() != is_ipv4 || ip.is_unspecified() {
            return Err(SendError::Invalid);
        }
        if self.ip.is_broadcast(ip) {
            return Err(SendError::NoBroadcast);
        }
        if payload.len() > PAYLOAD_LEN_MAX {
            return Err(SendError::TooLong);
        }
        let path = self.ip.route_via(ip, None, zone_of(to)).ok_or(SendError::Unreachable)?;
        let protocol = IpProtocol::from(protocol);
        let header = Header { source: path.source, destination: ip, protocol, hop_limit };
        let datagram = Datagram {
            interface: path.interface,
            header,
            ports: None,
            is_looped: true,
            data: payload.into(),
            give_up: None,
        };
        self.queue_datagram(id, datagram)
    }

    /// Gives raw sockets their copies of a packet. Returns whether there were any.
    pub(crate) fn raw_packet(&mut self, packet: &Packet<'_>, protocol: IpProtocol) -> bool {
        if self.raw_sockets.is_empty() {
            return false;
        }
        let key = (packet.source.is_ipv4(), protocol.into());
        let ids = self.raw_sockets.get(&key).cloned().unwrap_or_default();
        let arrived = Arrived {
            from: with_zone(packet.source, packet.interface),
            to: with_zone(packet.destination, packet.interface),
            interface: packet.interface,
            hop_limit: packet.hop_limit,
            note: Note::Plain,
        };
        let mut is_taken = false;
        for id in ids {
            is_taken |= self.deliver_datagram(id, &arrived, packet.payload) == Verdict::Delivered;
        }
        is_taken
    }
}
