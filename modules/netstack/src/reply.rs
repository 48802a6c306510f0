//! Segments that answer a frame when there is no socket to do it.

use netdev::{ETHERNET_HEADER_LEN, Transmitter};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{EthernetFrame, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr},
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
