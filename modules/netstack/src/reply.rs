//! Frames that are sent without a socket.

use core::net::Ipv4Addr;

use netdev::{ETHERNET_HEADER_LEN, Transmitter};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr,
    },
};

use crate::{frame::Segment, phy::Activity};

const HOP_LIMIT: u8 = 64;

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
    let (source, destination) = (local.ip().into(), remote.ip().into());
    let ip = IpRepr::new(source, destination, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
    let len = ETHERNET_HEADER_LEN + ip.buffer_len();
    let received = EthernetFrame::new_unchecked(frame);
    let checksums = ChecksumCapabilities::default();
    tx.transmit(len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(received.dst_addr());
        ethernet.set_dst_addr(received.src_addr());
        ethernet.set_ethertype(received.ethertype());
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
    let len = ETHERNET_HEADER_LEN + arp.buffer_len();
    tx.transmit(len, |buffer| {
        let mut ethernet = EthernetFrame::new_unchecked(buffer);
        ethernet.set_src_addr(mac);
        ethernet.set_dst_addr(EthernetAddress::BROADCAST);
        ethernet.set_ethertype(EthernetProtocol::Arp);
        arp.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    });
    Activity::of_frame(len)
}
