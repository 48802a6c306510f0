//! Frames by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netdev::MacAddress;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        Icmpv4Packet, Icmpv6Packet, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl,
        TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
    },
};

const HOP_LIMIT: u8 = 64;
const ETHERNET: usize = 14;

pub(crate) type Addresses = (MacAddress, MacAddress);

fn frame((from, to): Addresses, ethertype: EthernetProtocol, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; ETHERNET + len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(from));
    frame.set_dst_addr(EthernetAddress(to));
    frame.set_ethertype(ethertype);
    bytes
}

fn ip_frame(macs: Addresses, ip: &IpRepr) -> Vec<u8> {
    let ethertype = match ip {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    let mut bytes = frame(macs, ethertype, ip.buffer_len());
    ip.emit(&mut bytes[ETHERNET..], &ChecksumCapabilities::default());
    bytes
}

/// A TCP segment of one's own making.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) control: TcpControl,
    pub(crate) seq: i32,
    pub(crate) ack: Option<i32>,
    pub(crate) window: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(crate) fn new(from: SocketAddr, to: SocketAddr, control: TcpControl, seq: i32) -> Self {
        Segment { from, to, control, seq, ack: None, window: u16::MAX, payload: &[] }
    }

    pub(crate) fn ack(self, ack: i32) -> Self {
        Segment { ack: Some(ack), ..self }
    }

    pub(crate) fn payload(self, payload: &'a [u8]) -> Self {
        Segment { payload, ..self }
    }

    pub(crate) fn frame(&self, macs: Addresses) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: self.from.port(),
            dst_port: self.to.port(),
            control: self.control,
            seq_number: TcpSeqNumber(self.seq),
            ack_number: self.ack.map(TcpSeqNumber),
            window_len: self.window,
            window_scale: None,
            max_seg_size: (self.control == TcpControl::Syn).then_some(1460),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: self.payload,
        };
        let (source, destination) = (self.from.ip().into(), self.to.ip().into());
        let ip = IpRepr::new(source, destination, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
        let mut bytes = ip_frame(macs, &ip);
        let mut packet = TcpPacket::new_unchecked(&mut bytes[ETHERNET + ip.header_len()..]);
        tcp.emit(&mut packet, &source, &destination, &ChecksumCapabilities::default());
        bytes
    }
}

/// A UDP datagram in one frame.
pub(crate) fn datagram(
    macs: Addresses,
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
) -> Vec<u8> {
    let udp = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let (source, destination) = (from.ip().into(), to.ip().into());
    let len = udp.header_len() + payload.len();
    let ip = IpRepr::new(source, destination, IpProtocol::Udp, len, HOP_LIMIT);
    let mut bytes = ip_frame(macs, &ip);
    let mut packet = UdpPacket::new_unchecked(&mut bytes[ETHERNET + ip.header_len()..]);
    udp.emit(
        &mut packet,
        &source,
        &destination,
        payload.len(),
        |buffer| buffer.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    bytes
}

/// An ARP packet: a question to everybody, or an answer.
pub(crate) fn arp(
    macs: Addresses,
    operation: ArpOperation,
    from: Ipv4Addr,
    to: Ipv4Addr,
) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(macs.0),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress(macs.1),
        target_protocol_addr: to,
    };
    let mut bytes = frame(macs, EthernetProtocol::Arp, repr.buffer_len());
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[ETHERNET..]));
    bytes
}

pub(crate) fn is_arp(frame: &[u8]) -> bool {
    EthernetFrame::new_unchecked(frame).ethertype() == EthernetProtocol::Arp
}

/// Whom an ARP request asks for.
pub(crate) fn arp_target(frame: &[u8]) -> Option<Ipv4Addr> {
    let packet = ArpPacket::new_unchecked(EthernetFrame::new_unchecked(frame).payload());
    match (is_arp(frame), ArpRepr::parse(&packet)) {
        (true, Ok(ArpRepr::EthernetIpv4 { operation, target_protocol_addr, .. })) => {
            (operation == ArpOperation::Request).then_some(target_protocol_addr)
        }
        _ => None,
    }
}

/// An ICMPv6 message whose checksum is made right, from a sender with a hop limit.
pub(crate) fn icmpv6(
    macs: Addresses,
    [from, to]: [Ipv6Addr; 2],
    hop_limit: u8,
    message: &[u8],
) -> Vec<u8> {
    let mut message = message.to_vec();
    Icmpv6Packet::new_unchecked(&mut message).fill_checksum(&from, &to);
    let mut frame = ip(macs, from.into(), to.into(), IpProtocol::Icmpv6, &message);
    Ipv6Packet::new_unchecked(&mut frame[ETHERNET..]).set_hop_limit(hop_limit);
    frame
}

/// A neighbour solicitation (RFC 4861 section 4.3), from nobody for duplicate address detection.
pub(crate) fn solicitation(macs: Addresses, from: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    if !from.is_unspecified() {
        message.extend([1, 1]);
        message.extend(macs.0);
    }
    icmpv6(macs, [from, solicited_node(target)], 255, &message)
}

/// An answer to one (RFC 4861 section 4.4) with its flags: 0x60 is solicited and overrides.
pub(crate) fn advertisement(macs: Addresses, target: Ipv6Addr, to: Ipv6Addr, flags: u8) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(macs.0);
    icmpv6(macs, [target, to], 255, &message)
}

pub(crate) fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Whom a neighbour solicitation asks for, and who asks.
pub(crate) fn solicited(frame: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let (protocol, IpAddr::V6(from), _, payload) = ip_payload(frame)? else {
        return None;
    };
    let is_it = protocol == IpProtocol::Icmpv6 && payload.first() == Some(&135);
    let target: [u8; 16] = payload.get(8..24)?.try_into().ok()?;
    is_it.then(|| (target.into(), from))
}

/// Type, code and body of an ICMP message of either version.
pub(crate) fn icmp(frame: &[u8]) -> Option<(u8, u8, &[u8])> {
    let (protocol, _, _, payload) = ip_payload(frame)?;
    let is_icmp = matches!(protocol, IpProtocol::Icmp | IpProtocol::Icmpv6);
    (is_icmp && payload.len() >= 8).then(|| (payload[0], payload[1], &payload[4..]))
}

/// An ICMPv4 message whose checksum is made right.
pub(crate) fn icmpv4(macs: Addresses, from: IpAddr, to: IpAddr, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    Icmpv4Packet::new_unchecked(&mut message).fill_checksum();
    ip(macs, from, to, IpProtocol::Icmp, &message)
}

/// The IP payload of a frame, with its protocol and addresses.
pub(crate) fn ip_payload(frame: &[u8]) -> Option<(IpProtocol, IpAddr, IpAddr, &[u8])> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            Some((packet.next_header(), from, to, packet.payload()))
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            Some((packet.next_header(), from, to, packet.payload()))
        }
        _ => None,
    }
}

/// A TCP segment that a stack has sent, if the frame is one.
pub(crate) fn tcp(frame: &[u8]) -> Option<Segment<'_>> {
    let (protocol, from, to, payload) = ip_payload(frame)?;
    if protocol != IpProtocol::Tcp {
        return None;
    }
    let packet = TcpPacket::new_checked(payload).ok()?;
    let repr =
        TcpRepr::parse(&packet, &from.into(), &to.into(), &ChecksumCapabilities::default()).ok()?;
    let header_len = usize::from(packet.header_len());
    Some(Segment {
        from: SocketAddr::new(from, repr.src_port),
        to: SocketAddr::new(to, repr.dst_port),
        control: repr.control,
        seq: repr.seq_number.0,
        ack: repr.ack_number.map(|ack| ack.0),
        window: repr.window_len,
        payload: &payload[header_len..],
    })
}

/// Whether the frame carries TCP data.
pub(crate) fn has_tcp_payload(frame: &[u8]) -> bool {
    tcp(frame).is_some_and(|segment| !segment.payload.is_empty())
}

pub(crate) fn is_control(frame: &[u8], control: TcpControl) -> bool {
    tcp(frame).is_some_and(|segment| segment.control == control)
}

/// An IP packet with any payload.
pub(crate) fn ip(
    macs: Addresses,
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    payload: &[u8],
) -> Vec<u8> {
    let ip = IpRepr::new(from.into(), to.into(), protocol, payload.len(), HOP_LIMIT);
    let mut bytes = ip_frame(macs, &ip);
    bytes[ETHERNET + ip.header_len()..].copy_from_slice(payload);
    bytes
}

/// A UDP datagram that a stack has sent, if the frame is a whole one: from, to, payload.
pub(crate) fn udp(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let (protocol, from, to, payload) = ip_payload(frame)?;
    if protocol != IpProtocol::Udp {
        return None;
    }
    let packet = UdpPacket::new_checked(payload).ok()?;
    let (from, to) =
        (SocketAddr::new(from, packet.src_port()), SocketAddr::new(to, packet.dst_port()));
    Some((from, to, &payload[8..]))
}
