//! Frames that are made without a socket.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netdev::{ETHERNET_HEADER_LEN, Transmitter};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, IpRepr, Ipv6Packet, Ipv6Repr,
        NdiscNeighborFlags, NdiscRepr, TcpControl, TcpPacket, TcpRepr,
    },
};

use crate::{frame::Segment, phy::Activity};

const HOP_LIMIT: u8 = 64;

/// The stations between which a frame goes, and what it carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) ours: EthernetAddress,
    pub(crate) theirs: EthernetAddress,
    pub(crate) ethertype: EthernetProtocol,
}

impl Link {
    /// The way back to where a frame came from.
    pub(crate) fn of_answer(frame: &EthernetFrame<&[u8]>) -> Self {
        Link { ours: frame.dst_addr(), theirs: frame.src_addr(), ethertype: frame.ethertype() }
    }

    pub(crate) fn reversed(&self) -> Self {
        Link { ours: self.theirs, theirs: self.ours, ethertype: self.ethertype }
    }
}

/// Acknowledges `segment`, which came in `frame`, to where the frame came from. The transmitter must
/// be ready.
pub(crate) fn acknowledge(frame: &[u8], segment: &Segment, tx: &mut impl Transmitter) -> Activity {
    let (local, remote) = (segment.tuple.local, segment.tuple.remote);
    let tcp = TcpRepr {
        src_port: local.port(),
        dst_port: remote.port(),
        control: TcpControl::None,
        seq_number: segment.ack.unwrap_or_default(),
        ack_number: Some(segment.end()),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let link = Link::of_answer(&EthernetFrame::new_unchecked(frame));
    self::segment(&link, local, remote, &tcp, tx)
}

/// Sends a segment from our end of a link. The transmitter must be ready.
pub(crate) fn segment(
    link: &Link,
    from: SocketAddr,
    to: SocketAddr,
    tcp: &TcpRepr<'_>,
    tx: &mut impl Transmitter,
) -> Activity {
    let (source, destination) = (from.ip().into(), to.ip().into());
    let ip = IpRepr::new(source, destination, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
    let len = ETHERNET_HEADER_LEN + ip.buffer_len();
    let checksums = ChecksumCapabilities::default();
    tx.transmit(len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(link.ours);
        ethernet.set_dst_addr(link.theirs);
        ethernet.set_ethertype(link.ethertype);
        let packet = ethernet.payload_mut();
        ip.emit(&mut *packet, &checksums);
        let mut payload = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        tcp.emit(&mut payload, &source, &destination, &checksums);
    });
    Activity::of_frame(len)
}

/// Asks everybody who has the address `target` (RFC 826). The transmitter must be ready.
pub(crate) fn ask_for_neighbour(
    mac: EthernetAddress,
    source: Ipv4Addr,
    target: Ipv4Addr,
    tx: &mut impl Transmitter,
) -> Activity {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: target,
    };
    send_arp(mac, EthernetAddress::BROADCAST, &arp, tx)
}

/// What the neighbour `whose` would answer (RFC 826, RFC 4861 section 4.4) if it were asked for its
/// station, `link.theirs`: a frame to be received, not sent.
pub(crate) fn neighbour_answer(
    link: &Link,
    whose: IpAddr,
    ours: IpAddr,
    tx: &mut impl Transmitter,
) {
    match (whose, ours) {
        (IpAddr::V4(whose), IpAddr::V4(ours)) => {
            let arp = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: link.theirs,
                source_protocol_addr: whose,
                target_hardware_addr: link.ours,
                target_protocol_addr: ours,
            };
            send_arp(link.theirs, link.ours, &arp, tx);
        }
        (IpAddr::V6(whose), IpAddr::V6(ours)) => send_advert(link, whose, ours, tx),
        _ => {}
    }
}

fn send_arp(
    from: EthernetAddress,
    to: EthernetAddress,
    arp: &ArpRepr,
    tx: &mut impl Transmitter,
) -> Activity {
    let len = ETHERNET_HEADER_LEN + arp.buffer_len();
    tx.transmit(len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(from);
        ethernet.set_dst_addr(to);
        ethernet.set_ethertype(EthernetProtocol::Arp);
        arp.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    });
    Activity::of_frame(len)
}

fn send_advert(link: &Link, whose: Ipv6Addr, ours: Ipv6Addr, tx: &mut impl Transmitter) {
    let advert = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::SOLICITED,
        target_addr: whose,
        lladdr: Some(HardwareAddress::Ethernet(link.theirs).into()),
    });
    let ip = Ipv6Repr {
        src_addr: whose,
        dst_addr: ours,
        next_header: IpProtocol::Icmpv6,
        payload_len: advert.buffer_len(),
        hop_limit: u8::MAX,
    };
    let len = ETHERNET_HEADER_LEN + ip.buffer_len() + advert.buffer_len();
    let checksums = ChecksumCapabilities::default();
    tx.transmit(len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(link.theirs);
        ethernet.set_dst_addr(link.ours);
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet);
        let mut payload = Icmpv6Packet::new_unchecked(packet.payload_mut());
        advert.emit(&whose, &ours, &mut payload, &checksums);
    });
}
