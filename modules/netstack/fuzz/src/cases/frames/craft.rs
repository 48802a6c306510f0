//! Frames that are built to be believed, as far as the input lets them.

use std::net::Ipv6Addr;

use netdev::ETHERNET_HEADER_LEN;
use smoltcp::wire::ArpOperation;

use super::super::{input::Input, packet};
use crate::harness::{
    at,
    bench::INWARD,
    wire::{self, ip_payload},
};

/// A selective acknowledgement (RFC 2018 section 3) of what is in flight, or of what is not.
pub(super) fn sack_option(sent_up_to: u32, input: &mut Input<'_>) -> Vec<u8> {
    let blocks = 1 + input.below(4);
    let mut option = vec![1, 1, 5, 2 + 8 * blocks as u8];
    for _ in 0..blocks {
        let right = sent_up_to.wrapping_sub(u32::from(input.u16() % 8192));
        let left = right.wrapping_sub(u32::from(input.u16() % 4096)).wrapping_add(input.offset());
        option.extend(left.to_be_bytes());
        option.extend(right.to_be_bytes());
    }
    option
}

/// An ICMP error about the host's last frame (RFC 792, RFC 4443), from its receiver or a router.
pub(super) fn icmp_error(last: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let quoted = &last[ETHERNET_HEADER_LEN.min(last.len())..];
    let quoted = &quoted[..quoted.len().min(28 + input.below(256))];
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let (from, to) = match ip_payload(last) {
        Some((_, from, to, _)) if input.below(4) > 0 => (to, from),
        Some((_, from, _, _)) if from.is_ipv6() => (router.into(), from),
        _ => (at(9, 0).ip(), at(1, 0).ip()),
    };
    let is_ipv4 = from.is_ipv4() && to.is_ipv4();
    let (protocol, kinds) = if is_ipv4 { (1, [3, 3, 11, 12]) } else { (58, [1, 2, 3, 4]) };
    let mut message = vec![input.choose(&kinds), input.u8() % 16, 0, 0];
    message.extend(input.choose(&[0_u32, 1, 68, 576, 1280, 1400, 1500, u32::MAX]).to_be_bytes());
    message.extend(quoted);
    packet::packet(from, to, protocol, &message)
}

/// A router's or a neighbour's message (RFC 4861 section 4) with any options.
pub(super) fn neighbour_discovery(host: Ipv6Addr, input: &mut Input<'_>) -> Vec<u8> {
    let peer = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = match input.choose(&[134, 134, 135, 136, 137]) {
        134 => router_advertisement(input),
        kind => neighbour_message(kind, input.choose(&[host, peer, everybody]), input),
    };
    for _ in 0..input.below(4) {
        message.extend(option(input));
    }
    let from = input.choose(&[peer, peer, Ipv6Addr::UNSPECIFIED, host]);
    let to = input.choose(&[host, everybody, wire::solicited_node(host)]);
    wire::icmpv6(INWARD, [from, to], input.choose(&[255, 255, 255, 64]), &message)
}

fn neighbour_message(kind: u8, target: Ipv6Addr, input: &mut Input<'_>) -> Vec<u8> {
    const REDIRECT: u8 = 137;
    let mut message = vec![kind, 0, 0, 0, input.u8(), 0, 0, 0];
    message.extend(target.octets());
    if kind == REDIRECT {
        message.extend(target.octets());
    }
    message
}

fn router_advertisement(input: &mut Input<'_>) -> Vec<u8> {
    let times = [0_u32, 1, 1000, 30_000, u32::MAX];
    let mut message = vec![134, 0, 0, 0, input.u8(), input.u8()];
    message.extend(input.choose(&[0_u16, 1, 1800, u16::MAX]).to_be_bytes());
    message.extend(input.choose(&times).to_be_bytes());
    message.extend(input.choose(&times).to_be_bytes());
    message
}

/// A link-layer address, a prefix (RFC 4861 section 4.6.2), an MTU, name servers (RFC 8106), or
/// anything.
fn option(input: &mut Input<'_>) -> Vec<u8> {
    let lifetime = input.choose(&[0_u32, 1, 3600, 7200, u32::MAX]).to_be_bytes();
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from(input.u8() % 8), 0, 0, 0, 0).octets();
    match input.below(6) {
        0 => [&[input.choose(&[1, 2]), 1][..], &[2, 0, 0, 0, 0, 2]].concat(),
        1 | 2 => {
            let len = input.choose(&[64, 64, 0, 48, 128, 255]);
            [&[3, 4, len, 0xc0][..], &lifetime, &lifetime, &[0; 4], &prefix].concat()
        }
        3 => {
            let mtu = input.choose(&[1280_u32, 0, 1500, 9000, u32::MAX]);
            [&[5, 1, 0, 0][..], &mtu.to_be_bytes()].concat()
        }
        4 => [&[25, 3, 0, 0][..], &lifetime, &prefix].concat(),
        _ => input.bytes(8).to_vec(),
    }
}

/// An answer to a DNS query (RFC 1035 section 4) with any records.
pub(super) fn dns_answer(query: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut answer = query.to_vec();
    let records = input.below(5);
    if answer.len() >= 12 {
        answer[2..4].copy_from_slice(&[0x81, 0x80 | input.choose(&[0, 0, 0, 2, 3, 5])]);
        answer[7] = records as u8;
    }
    for _ in 0..records {
        // The name that was asked for, one that points at itself, or one inside another record.
        let pointer = input.choose(&[12, 12, 12, answer.len() as u8, 40]);
        let kind = input.choose(&[1, 28, 5, 41]);
        answer.extend([0xc0, pointer, 0, kind, 0, 1, 0, 0, 0, input.u8()]);
        let len = match kind {
            1 => 4,
            28 => 16,
            _ => input.below(32),
        };
        let data = input.bytes(len);
        answer.extend([0, data.len() as u8 + input.choose(&[0, 0, 0, 1])]);
        answer.extend(data);
    }
    answer
}

/// A DHCP message to the host without an address (RFC 2131 section 2), with any options.
pub(super) fn dhcp_answer(transaction: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut message = vec![0; 236];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[4..4 + transaction.len()].copy_from_slice(transaction);
    message[16..20].copy_from_slice(&[10, 0, 0, 3]);
    message[20..24].copy_from_slice(&[10, 0, 0, 2]);
    message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    message.extend([99, 130, 83, 99]);
    message.extend([53, 1, input.choose(&[2, 5, 6, 0])]);
    message.extend([54, 4, 10, 0, 0, 2, 1, 4, 255, 255, 255, 0, 51, 4]);
    message.extend(input.choose(&[60_u32, 3600, 0, 1, u32::MAX]).to_be_bytes());
    let len = input.below(64);
    message.extend(input.bytes(len));
    message.push(255);
    packet::udp([(at(2, 0).ip(), 67), ([255; 4].into(), 68)], &message)
}

pub(super) fn arp(input: &mut Input<'_>) -> Vec<u8> {
    let operation = input.choose(&[ArpOperation::Request, ArpOperation::Reply]);
    let from = [10, 0, 0, input.choose(&[2, 1, 3, 255])].into();
    let to = [10, 0, 0, input.choose(&[1, 2, 255])].into();
    wire::arp(INWARD, operation, from, to)
}

/// A piece of an IPv4 datagram (RFC 791 section 3.2).
pub(super) fn fragment(input: &mut Input<'_>) -> Vec<u8> {
    const FLAGS_AND_OFFSET: usize = 20;
    const IDENTIFICATION: usize = 18;
    let protocol = input.choose(&[17, 6, 1]);
    let len = usize::from(input.u16()) % 1480;
    let mut payload = vec![0; len];
    let header = [0, 7, 0, 7, 0, input.u8(), 0, 0];
    payload.iter_mut().zip(header).for_each(|(to, from)| *to = from);
    let mut frame = packet::packet(at(2, 0).ip(), at(1, 0).ip(), protocol, &payload);
    frame[IDENTIFICATION + 1] = input.u8() % 4;
    let offset = input.choose(&[0, 1, 2, 100, 185, 370, 8000, 8191]);
    let more = u16::from(input.bool()) << 13;
    frame[FLAGS_AND_OFFSET..FLAGS_AND_OFFSET + 2].copy_from_slice(&(offset | more).to_be_bytes());
    packet::repair(&mut frame);
    frame
}
