//! Datagrams that are longer than their path's MTU, cut (RFC 791 section 3.2, RFC 8200 section 4.5).

use alloc::{vec, vec::Vec};
use core::hash::BuildHasher;

use netdev::{ETHERNET_HEADER_LEN, MacAddress};
use smoltcp::wire::IpProtocol;

use super::header::{Addresses, Header, Piece, emit_ethernet};
use crate::hash::Keyed;

/// Length of the IPv6 fragment header, in bytes.
pub(crate) const FRAGMENT_HEADER_LEN: usize = 8;

/// Counters of datagrams: so many that one destination learns little of what others are sent.
const COUNTERS: usize = 256;

/// Names for datagrams that are or may be cut, which nobody else can predict (RFC 7739 section 5.3):
/// a keyed hash of the addresses, and a counter that keeps them apart.
#[derive(Debug)]
pub(crate) struct Idents {
    secret: Keyed,
    counters: [u32; COUNTERS],
}

impl Idents {
    pub(crate) fn new(secret: Keyed) -> Self {
        Idents { secret, counters: [0; COUNTERS] }
    }

    pub(crate) fn next(&mut self, header: &Header) -> u32 {
        let hash =
            self.secret.hash_one((header.source, header.destination, u8::from(header.protocol)));
        let counter = &mut self.counters[(hash >> 32) as usize % COUNTERS];
        *counter = counter.wrapping_add(1);
        (hash as u32).wrapping_add(*counter)
    }
}

/// The frames that carry a payload: one if it fits, else as many as it takes.
pub(crate) fn cut(
    from: MacAddress,
    to: MacAddress,
    header: &Header,
    mtu: usize,
    ident: u32,
    payload: &[u8],
) -> Vec<Vec<u8>> {
    if header.len() + payload.len() <= mtu {
        if header.may_be_cut() {
            let whole = Piece { ident, ..Piece::default() };
            return vec![piece(from, to, header, whole, payload)];
        }
        return vec![super::output::frame(from, to, header, payload.len(), |buffer| {
            buffer.copy_from_slice(payload);
        })];
    }
    let overhead = header.len() + if header.source.is_ipv6() { FRAGMENT_HEADER_LEN } else { 0 };
    // All but the last are a multiple of eight bytes long.
    let step = (mtu.saturating_sub(overhead) / 8 * 8).max(8);
    let pieces = payload.chunks(step).enumerate();
    pieces
        .map(|(index, data)| {
            let offset = index * step;
            let more_follow = offset + data.len() < payload.len();
            piece(from, to, header, Piece { ident, offset, more_follow }, data)
        })
        .collect()
}

fn piece(from: MacAddress, to: MacAddress, header: &Header, piece: Piece, data: &[u8]) -> Vec<u8> {
    match header.addresses() {
        Addresses::V4(source, destination) => {
            let len = ETHERNET_HEADER_LEN + header.len() + data.len();
            let mut frame = vec![0; len];
            let packet = emit_ethernet(&mut frame, from, to, header.ethertype());
            header.emit_ipv4(packet, (source, destination), data.len(), piece, false);
            packet[header.len()..].copy_from_slice(data);
            frame
        }
        Addresses::V6(source, destination) => {
            let len = FRAGMENT_HEADER_LEN + data.len();
            let mut frame = vec![0; ETHERNET_HEADER_LEN + header.len() + len];
            let packet = emit_ethernet(&mut frame, from, to, header.ethertype());
            header.emit_ipv6(packet, (source, destination), len, IpProtocol::Ipv6Frag);
            let (fragment, rest) = packet[header.len()..].split_at_mut(FRAGMENT_HEADER_LEN);
            fragment[0] = header.protocol.into();
            let offset = piece.offset as u16 | u16::from(piece.more_follow);
            fragment[2..4].copy_from_slice(&offset.to_be_bytes());
            fragment[4..8].copy_from_slice(&piece.ident.to_be_bytes());
            rest.copy_from_slice(data);
            frame
        }
    }
}
