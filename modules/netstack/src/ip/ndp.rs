//! Neighbour discovery (RFC 4861) and duplicate address detection (RFC 4862 section 5.4).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use netdev::{MacAddress, Transmitter};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetAddress, HardwareAddress, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol,
        NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
    },
};

use super::{
    InterfaceId, Packet,
    address::{ALL_NODES, multicast_mac, solicited_node},
    header::Header,
    neighbour::{Evidence, Key},
    output::{Body, frame},
};
use crate::{
    engine::Engine,
    stats::{Reason, Verdict},
};

/// What shows that a message was not forwarded (RFC 4861 section 3.1).
pub(crate) const HOP_LIMIT: u8 = 255;

pub(crate) fn lladdr(mac: MacAddress) -> RawHardwareAddress {
    HardwareAddress::Ethernet(EthernetAddress(mac)).into()
}

/// A message in a frame.
pub(crate) fn message(
    mac: MacAddress,
    station: MacAddress,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    repr: NdiscRepr<'_>,
) -> Vec<u8> {
    let icmp = Icmpv6Repr::Ndisc(repr);
    let header = Header {
        source: source.into(),
        destination: destination.into(),
        protocol: IpProtocol::Icmpv6,
        hop_limit: HOP_LIMIT,
    };
    frame(mac, station, &header, icmp.buffer_len(), |buffer| {
        let mut packet = Icmpv6Packet::new_unchecked(buffer);
        icmp.emit(&source, &destination, &mut packet, &ChecksumCapabilities::default());
    })
}

/// A question for a station, to its group or to the one that it was last (RFC 4861 section 7.2.2).
/// It may leave out which station asks.
pub(crate) fn solicitation(
    (mac, named): (MacAddress, Option<MacAddress>),
    source: Ipv6Addr,
    target: Ipv6Addr,
    station: Option<MacAddress>,
) -> Vec<u8> {
    let destination = if station.is_some() { target } else { solicited_node(target) };
    let station = station.unwrap_or(multicast_mac(destination.into()));
    let lladdr = named.map(lladdr);
    message(
        mac,
        station,
        source,
        destination,
        NdiscRepr::NeighborSolicit { target_addr: target, lladdr },
    )
}

/// Asks whether somebody else has an address that we want (RFC 4862 section 5.4.2).
pub(crate) fn probe(mac: MacAddress, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let repr = NdiscRepr::NeighborSolicit { target_addr: target, lladdr: None };
    message(mac, multicast_mac(group.into()), Ipv6Addr::UNSPECIFIED, group, repr)
}

/// Tells everybody which station has an address (RFC 4861 section 7.2.6).
pub(crate) fn announcement(mac: MacAddress, address: Ipv6Addr) -> Vec<u8> {
    let repr = NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: address,
        lladdr: Some(lladdr(mac)),
    };
    message(mac, multicast_mac(ALL_NODES.into()), address, ALL_NODES, repr)
}

/// Whether what follows IPv6's headers is a message of this protocol.
pub(crate) fn is_discovery(protocol: u8, payload: &[u8]) -> bool {
    let kind = payload.first().map(|kind| Icmpv6Message::from(*kind));
    IpProtocol::from(protocol) == IpProtocol::Icmpv6 && kind.is_some_and(|kind| kind.is_ndisc())
}

/// The station in a link-layer address option, if it can be one.
fn station(option: Option<RawHardwareAddress>) -> Option<MacAddress> {
    let bytes: MacAddress = option?.as_bytes().get(..6)?.try_into().ok()?;
    EthernetAddress(bytes).is_unicast().then_some(bytes)
}

impl Engine {
    /// A message with a right checksum.
    pub(crate) fn neighbour_discovery(
        &mut self,
        packet: &Packet<'_>,
        icmp: &Icmpv6Packet<&[u8]>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        const MALFORMED: Verdict = Verdict::Dropped(Reason::MalformedNdp);
        let IpAddr::V6(source) = packet.source else {
            return MALFORMED;
        };
        if packet.hop_limit != HOP_LIMIT || icmp.msg_code() != 0 {
            return MALFORMED;
        }
        if icmp.msg_type() == Icmpv6Message::RouterAdvert {
            return self.router_advertisement(packet, source);
        }
        match NdiscRepr::parse(icmp) {
            Ok(NdiscRepr::NeighborSolicit { target_addr, lladdr }) if is_target(target_addr) => {
                self.neighbour_solicitation(packet, source, target_addr, station(lladdr), tx)
            }
            Ok(NdiscRepr::NeighborAdvert { flags, target_addr, lladdr })
                if is_target(target_addr) =>
            {
                self.neighbour_advertisement(packet, flags, target_addr, station(lladdr))
            }
            // Redirects are not followed: a router works without, and anybody can forge one.
            Ok(NdiscRepr::Redirect { .. } | NdiscRepr::RouterSolicit { .. }) => {
                Verdict::Dropped(Reason::UnwantedIcmp)
            }
            _ => MALFORMED,
        }
    }

    /// RFC 4861 section 7.2.3.
    fn neighbour_solicitation(
        &mut self,
        packet: &Packet<'_>,
        source: Ipv6Addr,
        target: Ipv6Addr,
        station: Option<MacAddress>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let id = packet.interface;
        let Some(address) = self.ip.interface(id).address(target.into()) else {
            return Verdict::Dropped(Reason::UnwantedIcmp);
        };
        if source.is_unspecified() {
            // RFC 4861 section 7.1.1.
            if packet.destination != solicited_node(target) || station.is_some() {
                return Verdict::Dropped(Reason::MalformedNdp);
            }
            // A link that reflects what we send: our own probe (RFC 4862 section 5.4.3).
            if packet.link.theirs == packet.link.ours {
                return Verdict::Dropped(Reason::UnwantedIcmp);
            }
            // Another host wants it as well. Whoever has it already says so (RFC 4862 section 5.4.3).
            if address.contested_until.is_some() {
                self.lose_address(id, target);
                return Verdict::Delivered;
            }
            let mac = self.ip.interface(id).mac;
            self.ip.enqueue(id, announcement(mac, target));
            return Verdict::Answered;
        }
        if let Some(mac) = station {
            let key = Key { interface: id, ip: source.into() };
            self.learn_neighbour(key, mac, Evidence::Question);
        }
        self.advertise(packet, source, target, tx);
        Verdict::Answered
    }

    /// Answers to the station that asked.
    fn advertise(
        &mut self,
        packet: &Packet<'_>,
        asker: Ipv6Addr,
        target: Ipv6Addr,
        tx: &mut impl Transmitter,
    ) {
        let interface = self.ip.interface(packet.interface);
        let ours = interface.mac;
        // RFC 4429 section 3.3.
        let may_override = !interface.is_tentative(target.into());
        let mut flags = NdiscNeighborFlags::SOLICITED;
        flags.set(NdiscNeighborFlags::OVERRIDE, may_override);
        let icmp = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
            flags,
            target_addr: target,
            lladdr: Some(lladdr(ours)),
        });
        let header = Header {
            source: target.into(),
            destination: asker.into(),
            protocol: IpProtocol::Icmpv6,
            hop_limit: HOP_LIMIT,
        };
        let (id, to, len) = (packet.interface, packet.link.theirs, icmp.buffer_len());
        self.ip.transmit_to(id, to, &header, Body::whole(len), tx, |buffer| {
            let mut packet = Icmpv6Packet::new_unchecked(buffer);
            icmp.emit(&target, &asker, &mut packet, &ChecksumCapabilities::default());
        });
    }

    /// RFC 4861 section 7.2.5.
    fn neighbour_advertisement(
        &mut self,
        packet: &Packet<'_>,
        flags: NdiscNeighborFlags,
        target: Ipv6Addr,
        station: Option<MacAddress>,
    ) -> Verdict {
        let id = packet.interface;
        let is_solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
        if is_solicited && packet.destination.is_multicast() {
            return Verdict::Dropped(Reason::MalformedNdp);
        }
        if let Some(address) = self.ip.interface(id).address(target.into()) {
            match address.contested_until {
                Some(_) => self.lose_address(id, target),
                None => self.stats.address_conflicts += 1,
            }
            return Verdict::Delivered;
        }
        // An answer to a question to one station may come without its address.
        let station = station.unwrap_or(packet.link.theirs);
        let key = Key { interface: id, ip: target.into() };
        let known = self.ip.neighbours.station(key);
        if !flags.contains(NdiscNeighborFlags::OVERRIDE) && known.is_some_and(|it| it != station) {
            self.ip.neighbours.doubt(key, self.now);
            return Verdict::Delivered;
        }
        let evidence = if is_solicited { Evidence::Answer } else { Evidence::Announcement };
        self.learn_neighbour(key, station, evidence);
        Verdict::Delivered
    }

    /// Gives up an address that somebody else has (RFC 4862 section 5.4.5).
    fn lose_address(&mut self, id: InterfaceId, address: Ipv6Addr) {
        log::warn!("{address} belongs to another host");
        self.stats.address_conflicts += 1;
        self.drop_address(id, address.into());
        self.address_lost(id, address);
    }
}

fn is_target(target: Ipv6Addr) -> bool {
    !target.is_multicast()
}
