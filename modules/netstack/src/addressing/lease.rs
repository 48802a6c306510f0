//! The DHCP client's way to its server (RFC 2131).

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::{IpProtocol, UdpPacket};

use super::Ipv4Config;
use crate::{
    datagram::UDP_HEADER_LEN,
    dhcp::{self, Client, Output, Transmit},
    engine::Engine,
    flow::Tuple,
    ip::{HOP_LIMIT_DEFAULT, Header, InterfaceId, NeighbourKey, Origin, Packet},
    stats::{Reason, Verdict},
};

const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;
/// A leased MTU below what IPv6 needs (RFC 8200 section 5) is not followed: the interface has one for
/// both.
const MTU_MIN: u16 = 1280;

impl Engine {
    pub(super) fn begin_lease(&mut self, id: InterfaceId) {
        let now = self.now;
        let interface = self.ip.interface_mut(id);
        let mtu_max = u16::try_from(interface.device_mtu).unwrap_or(u16::MAX);
        interface.autoconf.dhcp = Some(Client::new(interface.mac, None, mtu_max, now));
    }

    /// Whether a lease may be offered to an address that is not ours yet.
    pub(crate) fn is_being_leased(&self, id: InterfaceId) -> bool {
        let interface = self.ip.interface(id);
        interface.autoconf.dhcp.is_some() && interface.ipv4().is_none()
    }

    pub(crate) fn is_lease_message(&self, id: InterfaceId, tuple: &Tuple) -> bool {
        (tuple.remote.port(), tuple.local.port()) == (SERVER_PORT, CLIENT_PORT)
            && tuple.local.is_ipv4()
            && self.ip.interface(id).autoconf.dhcp.is_some()
    }

    pub(crate) fn lease_message(&mut self, packet: &Packet<'_>, data: &[u8]) -> Verdict {
        let now = self.now;
        let client = self.ip.interface_mut(packet.interface).autoconf.dhcp.as_mut();
        if !client.is_some_and(|client| client.on_message(data, now)) {
            return Verdict::Dropped(Reason::NoSocket);
        }
        self.run_lease(packet.interface);
        // Request and answer have gone both ways: it need not be asked for before it is renewed from.
        self.introduce(packet.interface, packet.source, packet.link.theirs);
        Verdict::Delivered
    }

    pub(super) fn run_lease(&mut self, id: InterfaceId) {
        loop {
            let Engine { ip, rng, now, .. } = self;
            let interface = ip.interfaces.get_mut(id.index());
            let client = interface.and_then(|interface| interface.autoconf.dhcp.as_mut());
            match client.and_then(|client| client.poll(*now, rng)) {
                Some(Output::Transmit(transmit)) => self.send_to_server(id, &transmit),
                Some(Output::Configured(config)) => self.apply_lease(id, Some(config)),
                Some(Output::Deconfigured) => self.apply_lease(id, None),
                None => return,
            }
        }
    }

    /// Gives the lease back (RFC 2131 section 4.4.6); the address goes when that is on its way.
    pub(crate) fn release_lease(&mut self, id: InterfaceId) {
        let Engine { ip, rng, now, .. } = self;
        let interface = ip.interfaces.get_mut(id.index());
        let client = interface.and_then(|interface| interface.autoconf.dhcp.as_mut());
        if let Some(transmit) = client.and_then(|client| client.release(*now, rng)) {
            self.send_to_server(id, &transmit);
        }
        self.run_lease(id);
    }

    fn apply_lease(&mut self, id: InterfaceId, lease: Option<dhcp::Config>) {
        match &lease {
            Some(lease) => log::info!("DHCP: leased {}/{}", lease.address, lease.prefix_len),
            None => log::warn!("DHCP: the lease was lost"),
        }
        let mtu = lease.as_ref().and_then(|lease| lease.mtu).filter(|mtu| *mtu >= MTU_MIN);
        self.ip.interface_mut(id).autoconf.leased_mtu = mtu.map(usize::from);
        let config = lease.map(|lease| Ipv4Config {
            address: lease.address,
            prefix_len: lease.prefix_len,
            gateway: lease.gateway,
            dns: lease.dns,
        });
        self.set_ipv4(id, config.as_ref(), Origin::Dhcp);
        self.update_mtu(id);
    }

    fn send_to_server(&mut self, id: InterfaceId, transmit: &Transmit) {
        let header = Header {
            source: transmit.source.into(),
            destination: transmit.destination.into(),
            protocol: IpProtocol::Udp,
            hop_limit: HOP_LIMIT_DEFAULT,
        };
        let datagram = datagram(&header, &transmit.payload);
        match self.ip.resolve(id, &header, self.now) {
            Ok(station) => {
                let mtu = self.ip.interface(id).mtu;
                self.ip.enqueue_packet(id, station, &header, mtu, &datagram);
            }
            // Only the last one: it is repeated anyway.
            Err(unresolved) => {
                let waiting = (unresolved.neighbour, header, datagram);
                self.ip.interface_mut(id).autoconf.waiting = Some(waiting);
            }
        }
    }

    /// Sends what has waited for a server's station.
    pub(crate) fn send_waiting_lease(&mut self, neighbour: NeighbourKey) {
        let id = neighbour.interface;
        let waiting = &mut self.ip.interface_mut(id).autoconf.waiting;
        let Some((_, header, datagram)) = waiting.take_if(|waiting| waiting.0 == neighbour) else {
            return;
        };
        if let Ok(station) = self.ip.resolve(id, &header, self.now)
            && self.ip.interface(id).has_address(header.source)
        {
            let mtu = self.ip.interface(id).mtu;
            self.ip.enqueue_packet(id, station, &header, mtu, &datagram);
        }
    }
}

fn datagram(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; UDP_HEADER_LEN + payload.len()];
    bytes[UDP_HEADER_LEN..].copy_from_slice(payload);
    let len = bytes.len() as u16;
    let mut udp = UdpPacket::new_unchecked(&mut bytes);
    udp.set_src_port(CLIENT_PORT);
    udp.set_dst_port(SERVER_PORT);
    udp.set_len(len);
    let to_v4 = |ip| match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    udp.fill_checksum(&to_v4(header.source).into(), &to_v4(header.destination).into());
    bytes
}
