//! What arrives: from the Ethernet header to the transport's door.

use core::net::{IpAddr, SocketAddr};

use netdev::{RxOffload, Transmitter};
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet};

use super::{
    Cast, Demux, InterfaceId, Link, Packet,
    address::is_usable_unicast,
    extension::{self, Stop, Upper},
    fragment::FRAGMENT_HEADER_LEN,
    header::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, ipv4_header_sum},
    icmp::ErrorMessage,
    ndp,
    reassembly::{Fragment, Key, Outcome},
};
use crate::{
    engine::Engine,
    flow::Tuple,
    stats::{Reason, Verdict},
};

const fn dropped(reason: Reason) -> Verdict {
    Verdict::Dropped(reason)
}

impl Engine {
    /// Takes in a frame. The transmitter must be ready for one answer.
    pub(crate) fn frame(
        &mut self,
        id: InterfaceId,
        frame: &[u8],
        offload: RxOffload,
        tx: &mut impl Transmitter,
    ) {
        match id {
            InterfaceId::LOOPBACK => self.stats.packets_looped += 1,
            _ => {
                self.stats.frames_received += 1;
                self.stats.bytes_received += frame.len() as u64;
            }
        }
        let verdict = self.ethernet(id, frame, offload, tx);
        self.stats.count(verdict);
    }

    fn ethernet(
        &mut self,
        id: InterfaceId,
        frame: &[u8],
        offload: RxOffload,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
            return dropped(Reason::MalformedFrame);
        };
        let (to, from) = (ethernet.dst_addr(), ethernet.src_addr());
        if !from.is_unicast() {
            return dropped(Reason::MalformedFrame);
        }
        let ours = self.ip.interface(id).mac;
        let is_unicast = to.0 == ours;
        // The bit of groups is broadcast's as well. Which groups are ours the IP address says.
        if !is_unicast && !to.is_multicast() {
            return dropped(Reason::OtherStation);
        }
        let link = Link { ours, theirs: from.0, is_unicast };
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.arp(id, &link, ethernet.payload(), tx),
            EthernetProtocol::Ipv4 => self.ipv4(id, link, ethernet.payload(), offload, tx),
            EthernetProtocol::Ipv6 => self.ipv6(id, link, ethernet.payload(), offload, tx),
            _ => dropped(Reason::UnknownEthertype),
        }
    }

    fn ipv4(
        &mut self,
        id: InterfaceId,
        link: Link,
        bytes: &[u8],
        offload: RxOffload,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let Ok(ip) = Ipv4Packet::new_checked(bytes) else {
            return dropped(Reason::MalformedIp);
        };
        let header_len = usize::from(ip.header_len());
        if ip.version() != 4 || header_len < IPV4_HEADER_LEN {
            return dropped(Reason::MalformedIp);
        }
        if ipv4_header_sum(&bytes[..header_len]) != u16::MAX {
            return dropped(Reason::IpChecksum);
        }
        let (source, destination) = (ip.src_addr().into(), ip.dst_addr().into());
        // What lies behind is padding of the frame.
        let whole = &bytes[..usize::from(ip.total_len())];
        let (protocol, payload) = (ip.next_header(), &whole[header_len..]);
        let is_piece = ip.more_frags() || ip.frag_offset() != 0;
        let connection = match is_piece {
            true => Demux::Unknown,
            false => self.connection_of(id, &link, protocol, (source, destination), payload),
        };
        let cast = match connection {
            Demux::Flow(_) => Cast::Unicast,
            _ => match self.admit(id, &link, source, destination) {
                Ok(cast) => cast,
                Err(reason) => return dropped(reason),
            },
        };
        let packet = Packet {
            interface: id,
            source,
            destination,
            cast,
            hop_limit: ip.hop_limit(),
            payload,
            is_verified: offload.is_verified,
            connection,
            link,
            whole,
        };
        if is_piece {
            let key = Key {
                interface: id,
                source,
                destination,
                protocol: protocol.into(),
                ident: ip.ident().into(),
            };
            let fragment = Fragment {
                key,
                offset: usize::from(ip.frag_offset()),
                more_follow: ip.more_frags(),
                data: packet.payload,
                header: &whole[..header_len],
            };
            return self.ipv4_fragment(&packet, protocol, &fragment, tx);
        }
        self.transport(&packet, protocol, 0, tx)
    }

    fn ipv4_fragment(
        &mut self,
        packet: &Packet<'_>,
        protocol: IpProtocol,
        fragment: &Fragment<'_>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        match self.reassemble(fragment) {
            Ok((mut whole, header_len)) => {
                let Ok(len) = u16::try_from(whole.len()) else {
                    return dropped(Reason::BadFragment);
                };
                let mut ip = Ipv4Packet::new_unchecked(&mut whole);
                ip.set_total_len(len);
                ip.clear_flags();
                ip.set_frag_offset(0);
                ip.fill_checksum();
                // What a device says about a piece it does not say about the whole.
                let (payload, is_verified) = (&whole[header_len..], false);
                let packet = Packet { payload, is_verified, whole: &whole, ..*packet };
                self.transport(&packet, protocol, 0, tx)
            }
            Err(verdict) => verdict,
        }
    }

    fn ipv6(
        &mut self,
        id: InterfaceId,
        link: Link,
        bytes: &[u8],
        offload: RxOffload,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let Ok(ip) = Ipv6Packet::new_checked(bytes) else {
            return dropped(Reason::MalformedIp);
        };
        if ip.version() != 6 {
            return dropped(Reason::MalformedIp);
        }
        let (source, destination) = (ip.src_addr().into(), ip.dst_addr().into());
        let whole = &bytes[..ip.total_len()];
        let (protocol, payload) = (ip.next_header(), &whole[IPV6_HEADER_LEN..]);
        let connection = self.connection_of(id, &link, protocol, (source, destination), payload);
        let cast = match connection {
            Demux::Flow(_) => Cast::Unicast,
            _ => match self.admit(id, &link, source, destination) {
                Ok(cast) => cast,
                Err(reason) => return dropped(reason),
            },
        };
        let packet = Packet {
            interface: id,
            source,
            destination,
            cast,
            hop_limit: ip.hop_limit(),
            payload,
            is_verified: offload.is_verified,
            connection,
            link,
            whole,
        };
        match connection {
            Demux::Flow(_) => self.transport(&packet, protocol, 0, tx),
            _ => self.ipv6_packet(&packet, true, tx),
        }
    }

    /// What is behind the IPv6 header. A datagram that was put together has no fragments in it.
    fn ipv6_packet(
        &mut self,
        packet: &Packet<'_>,
        may_be_fragment: bool,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        match extension::walk(packet.whole) {
            Ok(Upper::Transport { protocol, offset, named_at }) => {
                let payload = &packet.whole[offset..];
                // RFC 6980 section 5.
                if !may_be_fragment && ndp::is_discovery(protocol, payload) {
                    return dropped(Reason::MalformedNdp);
                }
                self.transport(&Packet { payload, ..*packet }, protocol.into(), named_at, tx)
            }
            Ok(Upper::Fragment { offset, named_at }) if may_be_fragment => {
                self.ipv6_fragment(packet, offset, named_at, tx)
            }
            Ok(Upper::Fragment { .. }) => dropped(Reason::BadFragment),
            Ok(Upper::Nothing) | Err(Stop::Discard) => dropped(Reason::ExtensionHeader),
            Err(Stop::Problem { code, pointer, even_to_group }) => {
                let error = ErrorMessage::parameter_problem(code, pointer, even_to_group);
                self.answer_error(packet, error, Reason::ExtensionHeader, tx)
            }
        }
    }

    fn ipv6_fragment(
        &mut self,
        packet: &Packet<'_>,
        offset: usize,
        named_at: usize,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let Some(fragment) = packet.whole.get(offset..offset + FRAGMENT_HEADER_LEN) else {
            return dropped(Reason::BadFragment);
        };
        let placed = u16::from_be_bytes([fragment[2], fragment[3]]);
        let ident = u32::from_be_bytes([fragment[4], fragment[5], fragment[6], fragment[7]]);
        let data = &packet.whole[offset + FRAGMENT_HEADER_LEN..];
        let (start, more_follow) = (usize::from(placed & !7), placed & 1 == 1);
        let mut header = alloc::vec::Vec::new();
        if start == 0 {
            header.extend_from_slice(&packet.whole[..offset]);
            header[named_at] = fragment[0];
        }
        let (source, destination) = (packet.source, packet.destination);
        let key = Key { interface: packet.interface, source, destination, protocol: 0, ident };
        let piece = Fragment { key, offset: start, more_follow, data, header: &header };
        // RFC 6946: a fragment that is the whole has nothing to do with others of its number.
        let (mut whole, header_len) = match start == 0 && !more_follow {
            true => ([&header[..], data].concat(), header.len()),
            false => match self.reassemble(&piece) {
                Ok(whole) => whole,
                Err(verdict) => return verdict,
            },
        };
        debug_assert!(header_len >= IPV6_HEADER_LEN, "the first fragment's header");
        // RFC 8200 section 4.5: it has a length that the header can say.
        let Ok(len) = u16::try_from(whole.len() - IPV6_HEADER_LEN) else {
            return dropped(Reason::BadFragment);
        };
        Ipv6Packet::new_unchecked(&mut whole).set_payload_len(len);
        // What a device says about a piece it does not say about the whole.
        let packet = Packet { whole: &whole, is_verified: false, ..*packet };
        self.ipv6_packet(&packet, false, tx)
    }

    /// The packet that a fragment completes, and the length of its header; or what else became of it.
    fn reassemble(
        &mut self,
        fragment: &Fragment<'_>,
    ) -> Result<(alloc::vec::Vec<u8>, usize), Verdict> {
        match self.ip.reassembly.insert(fragment, self.now) {
            Outcome::Whole { packet, header_len } => {
                self.stats.datagrams_reassembled += 1;
                Ok((packet, header_len))
            }
            Outcome::Held => Err(Verdict::Held),
            Outcome::Rejected => Err(dropped(Reason::BadFragment)),
            Outcome::Overlaps => {
                self.stats.reassembly_overlapped += 1;
                Err(dropped(Reason::BadFragment))
            }
        }
    }

    /// Whether a packet may come from where it says and is for us.
    fn admit(
        &self,
        id: InterfaceId,
        link: &Link,
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<Cast, Reason> {
        let cast = self.cast(id, destination);
        if !self.is_proper_source(id, source, destination) {
            return Err(Reason::MartianSource);
        }
        match cast {
            // RFC 1122 section 3.3.6: what is for one host is not sent to all.
            Some(Cast::Unicast) if !link.is_unicast => Err(Reason::OtherHost),
            Some(cast) => Ok(cast),
            None => Err(Reason::OtherHost),
        }
    }

    /// The connection that a packet belongs to, if it has come by the connection's own way: then its
    /// ends were looked at when it began.
    fn connection_of(
        &self,
        id: InterfaceId,
        link: &Link,
        protocol: IpProtocol,
        (source, destination): (IpAddr, IpAddr),
        segment: &[u8],
    ) -> Demux {
        let &[from_high, from_low, to_high, to_low, ..] = segment else {
            return Demux::Unknown;
        };
        if protocol != IpProtocol::Tcp || !link.is_unicast {
            return Demux::Unknown;
        }
        let port = |high, low| u16::from_be_bytes([high, low]);
        let flow = self.tcp.flow(&Tuple {
            local: SocketAddr::new(destination, port(to_high, to_low)),
            remote: SocketAddr::new(source, port(from_high, from_low)),
        });
        match flow {
            Some(flow) if self.flows[flow].interface() == id => Demux::Flow(flow),
            Some(_) => Demux::Unknown,
            None => Demux::NoFlow,
        }
    }

    /// Whom a packet that came by an interface is for, if it is for us (the strong host model of RFC
    /// 1122 section 3.3.4.2).
    fn cast(&self, id: InterfaceId, destination: IpAddr) -> Option<Cast> {
        let interface = self.ip.interface(id);
        match destination {
            _ if destination.is_multicast() => {
                self.is_member(id, destination).then_some(Cast::Multicast)
            }
            _ if id == InterfaceId::LOOPBACK && self.ip.is_ours(destination) => Some(Cast::Unicast),
            _ if interface.has_address(destination) => Some(Cast::Unicast),
            IpAddr::V4(ip) if interface.is_broadcast(ip) => Some(Cast::Broadcast),
            // A lease is offered to the address that we shall have (RFC 2131 section 4.1).
            _ if self.is_being_leased(id) && destination.is_ipv4() => Some(Cast::Offered),
            _ => None,
        }
    }

    /// Whether packets for a group that come by an interface are for us.
    fn is_member(&self, id: InterfaceId, group: IpAddr) -> bool {
        match id {
            // Looped back for whoever has joined, on whatever interface.
            InterfaceId::LOOPBACK => self.ip.interfaces.iter().any(|one| one.is_member(group)),
            _ => self.ip.interface(id).is_member(group),
        }
    }

    /// Whether packets may come from an address (RFC 1122 section 3.2.1.3): from one host, not us.
    fn is_proper_source(&self, id: InterfaceId, source: IpAddr, destination: IpAddr) -> bool {
        if id == InterfaceId::LOOPBACK {
            return self.ip.is_ours(source);
        }
        match source {
            // Duplicate address detection and group membership before there is an address; switches
            // that ask for members (RFC 4541 section 2.1.1).
            _ if source.is_unspecified() => destination.is_multicast(),
            IpAddr::V4(ip) if self.ip.is_broadcast(ip.into()) => false,
            _ if self.is_contested(id, source) => destination.is_multicast(),
            _ => is_usable_unicast(source) && !self.ip.is_ours(source),
        }
    }

    /// Whether another host may still say that an address of ours is its own (RFC 4862 section 5.4.4).
    fn is_contested(&self, id: InterfaceId, source: IpAddr) -> bool {
        let own = self.ip.interface(id).address(source);
        own.is_some_and(|own| own.contested_until.is_some())
    }

    /// A packet whose protocol is named at `named_at`, counted from its IP header.
    fn transport(
        &mut self,
        packet: &Packet<'_>,
        protocol: IpProtocol,
        named_at: usize,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        if matches!(packet.connection, Demux::Flow(_)) && self.raw_sockets.is_empty() {
            return self.tcp_segment(packet, tx);
        }
        if packet.cast == Cast::Offered && protocol != IpProtocol::Udp {
            return dropped(Reason::OtherHost);
        }
        // From nobody only that may come which says so, from our own address what contests it.
        let is_nobodys =
            packet.source.is_unspecified() || self.is_contested(packet.interface, packet.source);
        if is_nobodys && !matches!(protocol, IpProtocol::Icmpv6 | IpProtocol::Igmp) {
            return dropped(Reason::MartianSource);
        }
        let is_wanted = self.raw_packet(packet, protocol);
        match (protocol, packet.source.is_ipv4()) {
            (IpProtocol::Tcp, _) if packet.cast != Cast::Unicast => dropped(Reason::TcpNotUnicast),
            (IpProtocol::Tcp, _) => self.tcp_segment(packet, tx),
            (IpProtocol::Udp, _) => self.udp_packet(packet, tx),
            (IpProtocol::Icmp, true) => self.icmpv4(packet, tx),
            (IpProtocol::Igmp, true) => self.group_membership(packet),
            (IpProtocol::Icmpv6, false) => self.icmpv6(packet, tx),
            _ if is_wanted => Verdict::Delivered,
            (_, true) => {
                let error = ErrorMessage::protocol_unreachable();
                self.answer_error(packet, error, Reason::UnknownProtocol, tx)
            }
            (_, false) => {
                let (code, pointer) = (extension::UNKNOWN_NEXT_HEADER, named_at as u32);
                let error = ErrorMessage::parameter_problem(code, pointer, false);
                self.answer_error(packet, error, Reason::UnknownProtocol, tx)
            }
        }
    }
}
