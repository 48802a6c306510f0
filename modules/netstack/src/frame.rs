//! Parses a received frame as far as the demultiplexer needs it.
//!
//! Nothing is validated here beyond lengths: whoever gets the frame (smoltcp) checks checksums and
//! addresses. A frame that cannot be parsed is [`Class::Other`], which no socket sees.

use core::net::{IpAddr, SocketAddr};

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber,
    UdpPacket,
};

/// The two ends of a flow, as this host sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tuple {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// What the demultiplexer needs to know of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) tuple: Tuple,
    pub(crate) seq: TcpSeqNumber,
    /// The acknowledgement number, if the ACK bit is set.
    pub(crate) ack: Option<TcpSeqNumber>,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    /// Length in sequence space: payload, SYN and FIN.
    pub(crate) len: usize,
}

impl Segment {
    pub(crate) fn end(&self) -> TcpSeqNumber {
        self.seq + self.len
    }
}

/// Identifies the datagram that an IPv4 fragment belongs to (RFC 791 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FragmentKey {
    source: IpAddr,
    destination: IpAddr,
    ident: u16,
    protocol: IpProtocol,
}

/// Who a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Tcp(Segment),
    Udp(Tuple),
    /// An ARP packet or an NDP message: a neighbour may have become known.
    NeighbourDiscovery,
    /// Answered by the interface itself (ICMP), or by nobody.
    Other,
}

/// A frame's class, and the datagram it is a part of if it is a fragment. `class` is known for the
/// first fragment only; the others carry no ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) class: Class,
    pub(crate) fragment: Option<FragmentKey>,
    pub(crate) is_first: bool,
}

impl Parsed {
    fn whole(class: Class) -> Self {
        Parsed { class, fragment: None, is_first: true }
    }
}

pub(crate) fn parse(frame: &[u8]) -> Parsed {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
        return Parsed::whole(Class::Other);
    };
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => parse_ipv4(ethernet.payload()),
        EthernetProtocol::Ipv6 => Parsed::whole(parse_ipv6(ethernet.payload())),
        EthernetProtocol::Arp => Parsed::whole(Class::NeighbourDiscovery),
        _ => Parsed::whole(Class::Other),
    }
}

fn parse_ipv4(packet: &[u8]) -> Parsed {
    let Ok(packet) = Ipv4Packet::new_checked(packet) else {
        return Parsed::whole(Class::Other);
    };
    let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
    let protocol = packet.next_header();
    let is_first = packet.frag_offset() == 0;
    let is_fragment = packet.more_frags() || !is_first;
    let class = match is_first {
        true => parse_transport(protocol, source, destination, packet.payload(), is_fragment),
        false => Class::Other,
    };
    let key = FragmentKey { source, destination, ident: packet.ident(), protocol };
    Parsed { class, fragment: is_fragment.then_some(key), is_first }
}

/// Extension headers are not followed: smoltcp hands what is behind them to no socket either, when
/// it is polled with none.
fn parse_ipv6(packet: &[u8]) -> Class {
    let Ok(packet) = Ipv6Packet::new_checked(packet) else {
        return Class::Other;
    };
    if packet.next_header() == IpProtocol::Icmpv6 {
        return Class::NeighbourDiscovery;
    }
    let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
    parse_transport(packet.next_header(), source, destination, packet.payload(), false)
}

/// The datagram's own length is only right for a whole one, so a first fragment is read without.
fn parse_transport(
    protocol: IpProtocol,
    source: IpAddr,
    destination: IpAddr,
    payload: &[u8],
    is_fragment: bool,
) -> Class {
    match protocol {
        IpProtocol::Tcp => parse_tcp(source, destination, payload),
        IpProtocol::Udp => parse_udp(source, destination, payload, is_fragment),
        _ => Class::Other,
    }
}

fn parse_tcp(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Class {
    let Ok(segment) = TcpPacket::new_checked(payload) else {
        return Class::Other;
    };
    Class::Tcp(Segment {
        tuple: Tuple {
            local: SocketAddr::new(destination, segment.dst_port()),
            remote: SocketAddr::new(source, segment.src_port()),
        },
        seq: segment.seq_number(),
        ack: segment.ack().then(|| segment.ack_number()),
        syn: segment.syn(),
        fin: segment.fin(),
        rst: segment.rst(),
        len: segment.payload().len() + usize::from(segment.syn()) + usize::from(segment.fin()),
    })
}

fn parse_udp(source: IpAddr, destination: IpAddr, payload: &[u8], is_fragment: bool) -> Class {
    let datagram = UdpPacket::new_unchecked(payload);
    if payload.len() < 8 || (!is_fragment && datagram.check_len().is_err()) {
        return Class::Other;
    }
    Class::Udp(Tuple {
        local: SocketAddr::new(destination, datagram.dst_port()),
        remote: SocketAddr::new(source, datagram.src_port()),
    })
}

/// Whether a frame of our own is an ARP packet or an NDP solicitation (RFC 4861 section 4.3).
pub(crate) fn is_neighbour_discovery(frame: &[u8]) -> bool {
    const ICMPV6_NEIGHBOUR_SOLICITATION: u8 = 135;
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
        return false;
    };
    match ethernet.ethertype() {
        EthernetProtocol::Arp => true,
        EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(ethernet.payload()).is_ok_and(|packet| {
            packet.next_header() == IpProtocol::Icmpv6
                && packet.payload().first() == Some(&ICMPV6_NEIGHBOUR_SOLICITATION)
        }),
        _ => false,
    }
}

/// Remembers where the first fragments of datagrams went, so that the others follow: smoltcp hands a
/// reassembled datagram to the sockets it is polled with when the last piece arrives.
#[derive(Debug, Default)]
pub(crate) struct FragmentRoutes {
    /// A ring: as many datagrams at a time as smoltcp reassembles, twice over.
    routes: [Option<(FragmentKey, Class)>; 8],
    next: usize,
}

impl FragmentRoutes {
    pub(crate) fn class_of(&mut self, parsed: &Parsed) -> Class {
        match parsed.fragment {
            None => parsed.class,
            Some(key) if parsed.is_first => {
                self.routes[self.next] = Some((key, parsed.class));
                self.next = (self.next + 1) % self.routes.len();
                parsed.class
            }
            Some(key) => self
                .routes
                .iter()
                .flatten()
                .find(|(known, _)| *known == key)
                .map_or(Class::Other, |(_, class)| *class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_of_any_length_is_other() {
        for len in 0..200 {
            for byte in [0x00, 0x08, 0x45, 0x60, 0x86, 0xdd, 0xff] {
                let frame = alloc::vec![byte; len];
                assert_eq!(parse(&frame).class, Class::Other);
                assert!(!is_neighbour_discovery(&frame));
            }
        }
    }

    #[test]
    fn later_fragments_follow_the_first() {
        let ip = IpAddr::from([10, 0, 0, 1]);
        let key =
            |ident| FragmentKey { source: ip, destination: ip, ident, protocol: IpProtocol::Udp };
        let socket = SocketAddr::new(ip, 7);
        let class = Class::Udp(Tuple { local: socket, remote: socket });
        let first = |ident| Parsed { class, fragment: Some(key(ident)), is_first: true };
        let later =
            |ident| Parsed { class: Class::Other, fragment: Some(key(ident)), is_first: false };

        let mut routes = FragmentRoutes::default();
        assert_eq!(routes.class_of(&later(1)), Class::Other);
        assert_eq!(routes.class_of(&first(1)), class);
        assert_eq!(routes.class_of(&later(1)), class);
        for ident in 2..10 {
            routes.class_of(&first(ident));
        }
        assert_eq!(routes.class_of(&later(1)), Class::Other, "the oldest is forgotten");
    }
}
