//! A host's network card, whose link is in the test's hands. It may have offloads.

use std::collections::VecDeque;

use netdev::{
    Device, DeviceInfo, ETHERNET_HEADER_LEN, FRAME_LEN_MAX, MacAddress, Offloads, Receiver,
    RxOffload, Segmentation, Transmitter, TxOffload,
};
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

use super::{MTU, wire};

/// Frames that each direction holds, as a cable does.
const CAPACITY: usize = 256;
/// Bytes that the transmitter holds: more than any test needs.
const REGION: usize = 1 << 20;
/// The longest frame that is not to be cut, in bytes.
const FRAME_LEN: usize = MTU + ETHERNET_HEADER_LEN;

/// No offloads.
pub(crate) const PLAIN: Offloads =
    Offloads { checksum: false, segmentation_v4: false, segmentation_v6: false };
/// Checksums alone.
pub(crate) const SUMMING: Offloads = Offloads { checksum: true, ..PLAIN };
/// Everything.
pub(crate) const CUTTING: Offloads =
    Offloads { checksum: true, segmentation_v4: true, segmentation_v6: true };

/// A frame as the stack has handed it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) frame: Vec<u8>,
    pub(crate) offload: TxOffload,
}

pub(crate) struct Card {
    mac: MacAddress,
    is_link_up: bool,
    rx: CardReceiver,
    tx: CardTransmitter,
}

pub(crate) struct CardReceiver(VecDeque<(Vec<u8>, RxOffload)>);

pub(crate) struct CardTransmitter {
    offloads: Offloads,
    region: usize,
    requests: Vec<Request>,
    /// The host has been told that there is no room.
    is_awaited: bool,
}

impl Card {
    pub(crate) fn new(mac: MacAddress, offloads: Offloads) -> Self {
        let tx =
            CardTransmitter { offloads, region: REGION, requests: Vec::new(), is_awaited: false };
        Card { mac, is_link_up: true, rx: CardReceiver(VecDeque::new()), tx }
    }

    /// Whether there is a link.
    pub(crate) fn set_link(&mut self, is_up: bool) {
        self.is_link_up = is_up;
    }

    /// Has the transmitter hold fewer bytes.
    pub(crate) fn shrink(&mut self, region: usize) {
        self.tx.region = region;
    }

    /// Puts a frame where the host finds it. Returns whether there was room for it.
    pub(crate) fn deliver(&mut self, frame: &[u8], offload: RxOffload) -> bool {
        let has_room = self.rx.0.len() < CAPACITY;
        if has_room {
            self.rx.0.push_back((frame.to_vec(), offload));
        }
        has_room
    }

    /// What the host has sent since the last look.
    pub(crate) fn take(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.tx.requests)
    }
}

impl Device for Card {
    type Rx = CardReceiver;
    type Tx = CardTransmitter;

    fn info(&self) -> DeviceInfo {
        DeviceInfo { mac: self.mac, mtu: MTU, offloads: self.tx.offloads }
    }

    fn split(&mut self) -> (&mut CardReceiver, &mut CardTransmitter) {
        (&mut self.rx, &mut self.tx)
    }

    fn link_up(&self) -> bool {
        self.is_link_up
    }

    fn unmask_interrupts(&mut self) -> bool {
        match self.tx.is_awaited {
            true => !self.tx.has_room(),
            false => self.rx.0.is_empty(),
        }
    }

    fn mask_interrupts(&mut self) {}
}

impl Receiver for CardReceiver {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        let (mut frame, offload) = self.0.pop_front()?;
        Some(read(&mut frame, offload))
    }
}

impl CardTransmitter {
    fn room(&self) -> usize {
        let used: usize = self.requests.iter().map(|request| request.frame.len()).sum();
        self.region - used
    }

    fn has_room(&self) -> bool {
        self.requests.len() < CAPACITY && self.room() >= FRAME_LEN
    }

    fn takes(&self, offload: &TxOffload) -> bool {
        let cuts = |cut: Segmentation| match cut.is_ipv4 {
            true => self.offloads.segmentation_v4,
            false => self.offloads.segmentation_v6,
        };
        (self.offloads.checksum || offload.checksum.is_none())
            && offload.segmentation.is_none_or(|cut| cuts(cut) && offload.checksum.is_some())
    }
}

impl Transmitter for CardTransmitter {
    fn is_ready(&mut self) -> bool {
        self.is_awaited = !self.has_room();
        !self.is_awaited
    }

    fn segmented_len_max(&mut self) -> usize {
        match self.offloads.segmentation_v4 || self.offloads.segmentation_v6 {
            true => self.room().min(FRAME_LEN_MAX),
            false => FRAME_LEN,
        }
    }

    fn transmit<R>(
        &mut self,
        len: usize,
        offload: TxOffload,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        assert!(self.is_ready(), "transmit on a full card");
        assert!(self.takes(&offload), "{offload:?} of a card with {:?}", self.offloads);
        let len_max = if offload.segmentation.is_some() { self.room() } else { FRAME_LEN };
        assert!(len <= len_max.min(FRAME_LEN_MAX), "a frame of {len} bytes");
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.requests.push(Request { frame, offload });
        result
    }

    fn flush(&mut self) {}
}

impl Request {
    /// What goes on the wire.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let whole = self.completed();
        match self.offload.segmentation {
            None => vec![whole],
            Some(segmentation) => cut(&whole, segmentation),
        }
    }

    /// With the checksum over all of it.
    fn completed(&self) -> Vec<u8> {
        let mut frame = self.frame.clone();
        if let Some(checksum) = self.offload.checksum {
            let (start, offset) = (usize::from(checksum.start), usize::from(checksum.offset));
            let word =
                |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            let mut sum: u32 = frame[start..].chunks(2).map(word).sum();
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            frame[start + offset..][..2].copy_from_slice(&(!sum as u16).to_be_bytes());
            assert!(is_sound(&frame), "what the card was left with does not make it whole");
        }
        frame
    }
}

fn is_sound(frame: &[u8]) -> bool {
    let Some((protocol, from, to, payload)) = wire::ip_payload(frame) else {
        return false;
    };
    let (from, to) = (from.into(), to.into());
    match protocol {
        IpProtocol::Tcp => TcpPacket::new_unchecked(payload).verify_checksum(&from, &to),
        IpProtocol::Udp => UdpPacket::new_unchecked(payload).verify_checksum(&from, &to),
        _ => false,
    }
}

/// A frame's segments.
fn cut(frame: &[u8], cut: Segmentation) -> Vec<Vec<u8>> {
    let (_, from, to, _) = wire::ip_payload(frame).expect("a sound packet");
    let (header, text) = frame.split_at(cut.header_len.into());
    let step = usize::from(cut.payload_len);
    let segment = |(index, piece): (usize, &[u8])| {
        let mut segment = [header, piece].concat();
        let len = (segment.len() - ETHERNET_HEADER_LEN) as u16;
        let packet = &mut segment[ETHERNET_HEADER_LEN..];
        if cut.is_ipv4 {
            let mut ip = Ipv4Packet::new_unchecked(&mut *packet);
            ip.set_total_len(len);
            ip.set_ident(ip.ident().wrapping_add(index as u16));
            ip.fill_checksum();
        } else {
            Ipv6Packet::new_unchecked(&mut *packet).set_payload_len(len - 40);
        }
        let ip_len = if cut.is_ipv4 { 20 } else { 40 };
        let mut tcp = TcpPacket::new_unchecked(&mut packet[ip_len..]);
        tcp.set_seq_number(tcp.seq_number() + index * step);
        if (index + 1) * step < text.len() {
            tcp.set_fin(false);
            tcp.set_psh(false);
        }
        tcp.fill_checksum(&from.into(), &to.into());
        segment
    };
    text.chunks(step).enumerate().map(segment).collect()
}
