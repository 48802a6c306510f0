//! A station of the tests' own on the tap: whole frames, with whatever in them.
//!
//! Frames are sent by the host's side of the tap (AF_PACKET), so that the guest receives them as it
//! does everything else. What the host's own stack makes of the answers is its affair: it resets
//! connections that it does not know.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex, sys::socket::bind};
use socket2::{Domain, Protocol, Socket, Type};

use crate::GUEST_IP;

/// The host's address on the tap.
pub const HOST_IP: [u8; 4] = [10, 0, 2, 2];
/// The guest's station: QEMU's default.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// The guest's link-local address: RFC 4291 appendix A makes it of the station.
pub const GUEST_IP6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe12, 0x3456);

/// IPv4's EtherType.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP's EtherType.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// IPv6's EtherType.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// ICMP's protocol number.
pub const PROTOCOL_ICMP: u8 = 1;
/// IGMP's protocol number.
pub const PROTOCOL_IGMP: u8 = 2;
/// TCP's protocol number.
pub const PROTOCOL_TCP: u8 = 6;
/// UDP's protocol number.
pub const PROTOCOL_UDP: u8 = 17;
/// ICMPv6's protocol number.
pub const PROTOCOL_ICMPV6: u8 = 58;
/// A flag of TCP.
pub const SYN: u8 = 2;
/// A flag of TCP.
pub const RST: u8 = 4;
/// A flag of TCP.
pub const ACK: u8 = 16;

const ETHERNET_HEADER_LEN: usize = 14;
const IPV4_HEADER_LEN: usize = 20;
/// A SYN's answers come in bursts of thousands.
const RECEIVE_BUFFER_LEN: usize = 16 << 20;

/// The host's side of the tap.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    /// The host's station.
    pub mac: [u8; 6],
}

impl Wire {
    /// Sends only.
    ///
    /// # Errors
    /// Raw sockets are not allowed, or there is no tap.
    pub fn open() -> io::Result<Wire> {
        Self::with_protocol(0)
    }

    /// Sends, and receives the guest's IPv4 packets.
    ///
    /// # Errors
    /// The same.
    pub fn listen() -> io::Result<Wire> {
        let wire = Self::with_protocol(ETHERTYPE_IPV4)?;
        wire.socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN)?;
        Ok(wire)
    }

    fn with_protocol(ethertype: u16) -> io::Result<Wire> {
        let protocol = Protocol::from(i32::from(ethertype.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        let tap = getifaddrs()?.find_map(|interface| {
            let link = interface.address.as_ref()?.as_link_addr().copied();
            link.filter(|_| interface.interface_name == "tap0")
        });
        let tap = tap.ok_or(io::ErrorKind::NotFound)?;
        bind(socket.as_raw_fd(), &tap)?;
        Ok(Wire { socket, mac: tap.addr().unwrap_or_default() })
    }

    /// Sends a frame. Whether there was room for it; it may be lost on the way nevertheless.
    pub fn send(&self, frame: &[u8]) -> bool {
        self.socket.send(frame).is_ok()
    }

    /// A frame of the guest's, cut to `buffer`'s length; none if none comes in this time.
    ///
    /// # Panics
    /// If `patience` is zero.
    pub fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Option<usize> {
        self.socket.set_read_timeout(Some(patience)).expect("a timeout above zero");
        io::Read::read(&mut self.socket, buffer).ok()
    }

    /// A frame for the guest.
    pub fn frame(&self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        ethernet(GUEST_MAC, self.mac, ethertype, payload)
    }
}

/// The guest's port by IPv6, on its link-local address.
///
/// # Panics
/// If there is no tap.
pub fn guest_addr6(port: u16) -> SocketAddrV6 {
    let scope = if_nametoindex("tap0").expect("scripts/netns.sh has made the tap");
    SocketAddrV6::new(GUEST_IP6, port, 0, scope)
}

/// An Ethernet frame.
pub fn ethernet(to: [u8; 6], from: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with a sound header.
pub fn ipv4(protocol: u8, from: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let len = (IPV4_HEADER_LEN + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(GUEST_IP);
    seal_ipv4(&mut packet);
    packet.extend(payload);
    packet
}

/// Makes the checksum of an IPv4 header without options right.
pub fn seal_ipv4(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let checksum = internet_checksum(&packet[..IPV4_HEADER_LEN]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// An IPv6 packet with a sound header.
pub fn ipv6(next: u8, hop_limit: u8, from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hop_limit]);
    packet.extend([from.octets(), to.octets()].concat());
    packet.extend(payload);
    packet
}

/// A TCP segment; `rest` is what follows the fixed header, the first `options_len` bytes of it
/// options. Its checksum is zero.
pub fn tcp(ports: (u16, u16), seq: u32, flags: u8, options_len: usize, rest: &[u8]) -> Vec<u8> {
    let mut segment = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend([0, 0, 0, 0, ((5 + options_len / 4) as u8) << 4, flags]);
    segment.extend([0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(rest);
    segment
}

/// A UDP datagram. Its checksum is zero: over IPv4, it has none.
pub fn udp(ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut datagram = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    datagram.extend((8 + data.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    datagram
}

/// Makes the checksum at `place` right for a message between two addresses, which a pseudo-header
/// names (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub fn seal(message: &mut [u8], place: usize, protocol: u8, from: IpAddr, to: IpAddr) {
    let Some(checksum) = message.get_mut(place..place + 2) else {
        return;
    };
    checksum.fill(0);
    let mut sum = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
        _ => vec![],
    };
    // The length is that of both pseudo-headers: what is zero adds nothing.
    sum.extend((message.len() as u32).to_be_bytes());
    sum.extend([0, 0, 0, protocol]);
    sum.extend(&*message);
    let checksum = internet_checksum(&sum);
    message[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// A SYN to the guest from anywhere, as a frame.
pub fn syn(wire: &Wire, from: SocketAddrV4, port: u16, seq: u32) -> Vec<u8> {
    let mut segment = tcp((from.port(), port), seq, SYN, 0, &[]);
    seal(&mut segment, 16, PROTOCOL_TCP, (*from.ip()).into(), IpAddr::from(GUEST_IP));
    wire.frame(ETHERTYPE_IPV4, &ipv4(PROTOCOL_TCP, *from.ip(), &segment))
}

/// What a frame from the guest to the host has behind its IPv4 header, and the protocol.
pub fn parse_ipv4(frame: &[u8]) -> Option<(u8, &[u8])> {
    let packet = frame.get(ETHERNET_HEADER_LEN..)?;
    let is_answer = packet.get(12..20)? == [GUEST_IP, HOST_IP].concat();
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    let payload = packet.get(header_len..)?;
    is_answer.then_some((packet[9], payload))
}

/// RFC 1071.
pub fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
