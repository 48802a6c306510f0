//! Group membership on the wire: IGMP (RFC 2236) and MLD (RFC 3810).

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netdev::{ETHERNET_HEADER_LEN, MacAddress};
use smoltcp::wire::{IpProtocol, Ipv4Packet};

use crate::{
    engine::Engine,
    ip::{
        Header, InterfaceId, Packet, emit_ethernet, frame,
        membership::{MldReport, Transmit, solicited_node},
        multicast_mac,
    },
    stats::{Reason, Verdict},
};

impl Engine {
    /// An IGMP message.
    pub(crate) fn group_membership(&mut self, packet: &Packet<'_>) -> Verdict {
        let Engine { ip, rng, now, .. } = self;
        let membership = &mut ip.interface_mut(packet.interface).membership;
        match membership.on_igmp(packet.payload, *now, rng) {
            true => Verdict::Delivered,
            false => Verdict::Dropped(Reason::MalformedMembership),
        }
    }

    /// An MLD message with a right checksum.
    pub(crate) fn multicast_listener(&mut self, packet: &Packet<'_>) -> Verdict {
        let IpAddr::V6(source) = packet.source else {
            return Verdict::Dropped(Reason::MalformedMembership);
        };
        let Engine { ip, rng, now, .. } = self;
        let membership = &mut ip.interface_mut(packet.interface).membership;
        match membership.on_mld(source, packet.hop_limit, packet.payload, *now, rng) {
            true => Verdict::Delivered,
            false => Verdict::Dropped(Reason::MalformedMembership),
        }
    }

    /// Sends the reports that are due. The loopback interface has nobody to report to.
    pub(crate) fn report_groups(&mut self, id: InterfaceId) {
        if id == InterfaceId::LOOPBACK {
            return;
        }
        loop {
            let Engine { ip, rng, now, .. } = self;
            let interface = ip.interface_mut(id);
            let frame = match interface.membership.poll(*now, rng) {
                None => return,
                Some(Transmit::Igmp { destination, message }) => {
                    let source = interface.ipv4().map_or(Ipv4Addr::UNSPECIFIED, |(ip, _)| ip);
                    igmp(interface.mac, source, destination, &message)
                }
                Some(Transmit::Mld(report)) => {
                    let source = interface.link_local();
                    // RFC 3590 section 4.
                    let source = source.filter(|ip| !interface.is_tentative((*ip).into()));
                    mld(interface.mac, source.unwrap_or(Ipv6Addr::UNSPECIFIED), &report)
                }
            };
            ip.enqueue(id, frame);
        }
    }

    /// Neighbours ask for an IPv6 address in a group (RFC 4291 section 2.7.1).
    pub(crate) fn address_added(&mut self, id: InterfaceId, ip: IpAddr) {
        if let IpAddr::V6(ip) = ip
            && let Err(error) = self.join_group(id, solicited_node(ip).into())
        {
            log::warn!("neighbours will not find {ip}: {error}");
        }
    }

    pub(crate) fn address_removed(&mut self, id: InterfaceId, ip: IpAddr) {
        if let IpAddr::V6(ip) = ip {
            self.leave_group(id, solicited_node(ip).into());
        }
    }
}

fn igmp(mac: MacAddress, source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    const OPTIONS: [u8; 4] = Transmit::IPV4_ROUTER_ALERT;
    const HEADER_LEN: usize = 20 + OPTIONS.len();
    let header = Header {
        source: source.into(),
        destination: destination.into(),
        protocol: IpProtocol::Igmp,
        hop_limit: Transmit::HOP_LIMIT,
    };
    let mut frame = vec![0; ETHERNET_HEADER_LEN + HEADER_LEN + message.len()];
    let station = multicast_mac(destination.into());
    let packet = emit_ethernet(&mut frame, mac, station, header.ethertype());
    header.emit(packet, OPTIONS.len() + message.len(), 0);
    packet[20..HEADER_LEN].copy_from_slice(&OPTIONS);
    packet[HEADER_LEN..].copy_from_slice(message);
    let mut ip = Ipv4Packet::new_unchecked(packet);
    ip.set_header_len(HEADER_LEN as u8);
    ip.fill_checksum();
    frame
}

fn mld(mac: MacAddress, source: Ipv6Addr, report: &MldReport) -> Vec<u8> {
    let destination = MldReport::DESTINATION;
    let header = Header {
        source: source.into(),
        destination: destination.into(),
        protocol: IpProtocol::HopByHop,
        hop_limit: Transmit::HOP_LIMIT,
    };
    let bytes = report.emit(source);
    frame(mac, multicast_mac(destination.into()), &header, bytes.len(), |buffer| {
        buffer.copy_from_slice(&bytes);
    })
}
