//! Datagrams that arrive: which socket they are for.

use alloc::vec::Vec;
use core::{
    hash::BuildHasher,
    net::{IpAddr, SocketAddr},
};

use netdev::Transmitter;
use smoltcp::wire::UdpPacket;

use super::UdpFlow;
use crate::{
    datagram::{Arrived, Note},
    engine::Engine,
    flow::{FlowId, Kind, Tuple},
    ip::{Cast, ErrorKind, ErrorMessage, IcmpError, InterfaceId, Packet},
    stats::{Reason, Verdict},
};

/// How well a socket's address fits: a specific one before all of a family before both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    BothFamilies,
    Family,
    Address,
}

fn fit(socket: &UdpFlow, destination: IpAddr) -> Option<Fit> {
    let local = socket.local.ip();
    if local == destination {
        return Some(Fit::Address);
    }
    if !local.is_unspecified() {
        return None;
    }
    match local.is_ipv4() == destination.is_ipv4() {
        true => Some(Fit::Family),
        false => (destination.is_ipv4() && socket.is_dual()).then_some(Fit::BothFamilies),
    }
}

impl Engine {
    pub(crate) fn udp_packet(&mut self, packet: &Packet<'_>, tx: &mut impl Transmitter) -> Verdict {
        let Ok(udp) = UdpPacket::new_checked(packet.payload) else {
            return Verdict::Dropped(Reason::MalformedUdp);
        };
        // IPv6 does not do without a checksum (RFC 8200 section 8.1).
        let has_checksum = udp.checksum() != 0 || packet.source.is_ipv4();
        let (from, to) = (packet.source.into(), packet.destination.into());
        if !has_checksum || !(packet.is_verified || udp.verify_checksum(&from, &to)) {
            return Verdict::Dropped(Reason::UdpChecksum);
        }
        let tuple = Tuple {
            local: SocketAddr::new(packet.destination, udp.dst_port()),
            remote: SocketAddr::new(packet.source, udp.src_port()),
        };
        if self.is_lease_message(packet.interface, &tuple) {
            return self.lease_message(packet, udp.payload());
        }
        if self.resolver_awaits(&tuple) {
            return self.resolver_message(&tuple, udp.payload());
        }
        match packet.cast {
            Cast::Unicast => {}
            Cast::Offered => return Verdict::Dropped(Reason::OtherHost),
            Cast::Broadcast | Cast::Multicast => {
                return self.udp_to_many(packet, &tuple, udp.payload());
            }
        }
        match self.udp_socket_for(&tuple) {
            Some(id) => self.deliver_udp(id, packet, &tuple, udp.payload()),
            // RFC 1122 section 4.1.3.1.
            None => {
                let error = ErrorMessage::port_unreachable(packet.source.is_ipv4());
                self.answer_error(packet, error, Reason::NoSocket, tx)
            }
        }
    }

    /// The socket for a datagram to us alone: one that is connected to its sender, else the one whose
    /// address fits best. Sockets that share an address have their peers divided among them.
    fn udp_socket_for(&self, tuple: &Tuple) -> Option<FlowId> {
        if let Some(id) = self.udp_ports.connected(tuple) {
            return Some(id);
        }
        let fit_of = |id: &FlowId| match &self.flows[*id].kind {
            Kind::Udp(socket) => fit(socket, tuple.local.ip()),
            _ => None,
        };
        let open = self.udp_ports.open(tuple.local.port());
        let best = open.iter().filter_map(fit_of).max()?;
        let candidates = || open.iter().copied().filter(|id| fit_of(id) == Some(best));
        let shares = |id: FlowId| matches!(&self.flows[id].kind, Kind::Udp(one) if one.reuse_port);
        match candidates().all(shares) {
            true => {
                let index = self.spread.hash_one(tuple) % candidates().count().max(1) as u64;
                candidates().nth(index as usize)
            }
            false => open.iter().copied().rfind(|id| fit_of(id) == Some(best)),
        }
    }

    /// Every member of the group gets a copy, or every socket of the port for a broadcast (RFC 1122
    /// section 4.1.3.3).
    fn udp_to_many(&mut self, packet: &Packet<'_>, tuple: &Tuple, data: &[u8]) -> Verdict {
        let group = tuple.local.ip();
        let is_looped = packet.interface == InterfaceId::LOOPBACK;
        let wants = |id: &FlowId| {
            let Kind::Udp(socket) = &self.flows[*id].kind else {
                return false;
            };
            let is_peer = socket.remote.is_none_or(|remote| {
                (remote.ip(), remote.port()) == (tuple.remote.ip(), tuple.remote.port())
            });
            let is_bound = fit(socket, group).is_some() || socket.remote.is_some();
            let is_member = packet.cast == Cast::Broadcast
                || socket.memberships.iter().any(|member| {
                    member.group == group && (is_looped || member.interface == packet.interface)
                });
            is_peer && is_bound && is_member
        };
        let takers: Vec<FlowId> = self.udp_ports.all(tuple.local.port()).filter(wants).collect();
        let mut verdict = Verdict::Dropped(Reason::NoSocket);
        for id in takers {
            let one = self.deliver_udp(id, packet, tuple, data);
            if verdict != Verdict::Delivered {
                verdict = one;
            }
        }
        verdict
    }

    fn deliver_udp(
        &mut self,
        id: FlowId,
        packet: &Packet<'_>,
        tuple: &Tuple,
        data: &[u8],
    ) -> Verdict {
        let Kind::Udp(socket) = &self.flows[id].kind else {
            return Verdict::Dropped(Reason::NoSocket);
        };
        let arrived = Arrived {
            from: socket.shown(tuple.remote, packet.interface),
            to: socket.shown(tuple.local, packet.interface),
            interface: packet.interface,
            hop_limit: packet.hop_limit,
            note: Note::Plain,
        };
        self.deliver_datagram(id, &arrived, data)
    }

    /// An ICMP error about a datagram of ours. Returns whether it can be true.
    pub(crate) fn udp_icmp_error(&mut self, tuple: Tuple, error: IcmpError) -> bool {
        if error.kind.is_hard() && self.resolver_awaits(&tuple) {
            self.resolver_unreachable(&tuple);
            return true;
        }
        let connected = self.udp_ports.connected(&tuple);
        let is_ours = connected.is_some() || self.udp_socket_for(&tuple).is_some();
        if is_ours && let ErrorKind::TooBig(mtu) = error.kind {
            self.lower_path_mtu(tuple.remote.ip(), mtu);
        }
        // Only a socket with one peer knows whom it is about (RFC 1122 section 4.1.3.3).
        if error.kind.is_hard()
            && let Some(id) = connected
            && let Some(udp) = self.flows[id].udp()
        {
            udp.is_refused = true;
            let Engine { flows, woken, .. } = self;
            flows[id].readers.drain_into(woken);
            flows[id].writers.drain_into(woken);
        }
        is_ours
    }
}
