//! Packets whose checksums are right whatever is in them, so that a stack looks at what is behind.

use std::net::IpAddr;

use netdev::ETHERNET_HEADER_LEN;

use crate::{
    cases::input::Input,
    harness::{bench::INWARD, wire},
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The fields of a TCP header that an input decides.
pub(super) struct Tcp<'a> {
    pub(super) ports: (u16, u16),
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) options: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Tcp<'_> {
    pub(super) fn frame(&self, from: IpAddr, to: IpAddr) -> Vec<u8> {
        let words = self.options.len().div_ceil(4).min(10);
        let mut bytes = Vec::new();
        bytes.extend(self.ports.0.to_be_bytes());
        bytes.extend(self.ports.1.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([(5 + words as u8) << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.options);
        bytes.resize(20 + 4 * words, 0);
        bytes.extend(self.payload);
        packet(from, to, TCP, &bytes)
    }
}

pub(super) fn udp(ends: [(IpAddr, u16); 2], payload: &[u8]) -> Vec<u8> {
    let [(from, from_port), (to, to_port)] = ends;
    let mut bytes = Vec::new();
    bytes.extend(from_port.to_be_bytes());
    bytes.extend(to_port.to_be_bytes());
    bytes.extend((payload.len() as u16 + 8).to_be_bytes());
    bytes.extend([0; 2]);
    bytes.extend(payload);
    packet(from, to, UDP, &bytes)
}

/// An IP packet to the host with any payload and right checksums.
pub(super) fn packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = wire::ip(INWARD, from, to, protocol.into(), payload);
    repair(&mut frame);
    frame
}

/// Does to a frame what the input says: mostly nothing, else a few bytes are changed or its end is
/// lost, and then mostly the checksums are made right again.
pub(super) fn mutate(frame: &mut Vec<u8>, input: &mut Input<'_>) {
    let what = input.u8();
    if what < 192 || frame.is_empty() {
        return;
    }
    for _ in 0..what % 4 {
        let index = usize::from(input.u16()) % frame.len();
        frame[index] ^= input.u8();
    }
    if what & 4 != 0 {
        frame.truncate(usize::from(input.u16()) % frame.len());
    }
    if what & 24 != 0 {
        repair(frame);
    }
}

/// Makes the checksums of an IP packet right, as far as it is one.
pub(super) fn repair(frame: &mut [u8]) {
    let Some((ethernet, packet)) = frame.split_at_mut_checked(ETHERNET_HEADER_LEN) else {
        return;
    };
    match ethernet[12..] {
        [0x08, 0x00] => repair_ipv4(packet),
        [0x86, 0xdd] if packet.len() >= 40 => {
            let (header, payload) = packet.split_at_mut(40);
            let len = usize::from(u16::from_be_bytes([header[4], header[5]])).min(payload.len());
            let protocol = header[6];
            repair_transport(protocol, &header[8..40], &mut payload[..len]);
        }
        _ => {}
    }
}

fn repair_ipv4(packet: &mut [u8]) {
    const FRAGMENT: u16 = 0x3fff;
    let header_len = packet.first().map_or(0, |first| usize::from(first & 0xf) * 4);
    if header_len < 20 || packet.len() < header_len {
        return;
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]])).min(packet.len());
    let (header, payload) = packet.split_at_mut(header_len);
    put(header, 10, 0);
    let is_fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0;
    if let (false, Some(payload)) =
        (is_fragment, payload.get_mut(..total.max(header_len) - header_len))
    {
        repair_transport(header[9], &header[12..20], payload);
    }
}

fn repair_transport(protocol: u8, addresses: &[u8], payload: &mut [u8]) {
    let (index, pseudo) = match protocol {
        TCP => (16, true),
        UDP => (6, true),
        ICMPV6 => (2, true),
        ICMP => (2, false),
        _ => return,
    };
    if payload.len() >= index + 2 {
        let pseudo = match pseudo {
            true => sum(addresses) + u32::from(protocol) + payload.len() as u32,
            false => 0,
        };
        put(payload, index, pseudo);
    }
}

/// Puts the Internet checksum (RFC 1071) of `bytes` at `index`.
fn put(bytes: &mut [u8], index: usize, seed: u32) {
    bytes[index..index + 2].fill(0);
    let mut sum = sum(bytes) + seed;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[index..index + 2].copy_from_slice(&(!sum as u16).to_be_bytes());
}

fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    bytes.chunks(2).map(word).sum()
}
