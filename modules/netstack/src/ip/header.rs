//! IP and Ethernet headers, written.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netdev::{ETHERNET_HEADER_LEN, MacAddress};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet,
};

pub(crate) const IPV4_HEADER_LEN: usize = 20;
pub(crate) const IPV6_HEADER_LEN: usize = 40;
/// Where the checksum of an IPv4 header is, in bytes.
const CHECKSUM_AT: usize = 10;

/// What a packet says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: IpProtocol,
    pub(crate) hop_limit: u8,
}

/// The two addresses, of one family.
pub(crate) enum Addresses {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

/// Which piece of a datagram a packet is (RFC 791 section 3.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) ident: u32,
    /// In bytes, a multiple of eight.
    pub(crate) offset: usize,
    pub(crate) more_follow: bool,
}

/// How much of a transport's checksum is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    Whole,
    /// The pseudo-header's sum, not inverted: the device adds the rest.
    PseudoHeader,
}

/// The sum of an IPv4 header, not inverted; all ones if its checksum is right (RFC 791 section 3.1).
/// Words may be added in any byte order (RFC 1071 section 2), and two at a time.
pub(crate) fn ipv4_header_sum(header: &[u8]) -> u16 {
    let (words, rest) = header.as_chunks();
    debug_assert!(rest.is_empty(), "the header's length is given in words");
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    // At most 15 words, so that nothing is carried out of the second step.
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum + (sum >> 16)) as u16
}

/// The sum of the pseudo-header of a segment of `len` bytes (RFC 9293 section 3.1, RFC 8200 section
/// 8.1), not inverted.
pub(crate) fn pseudo_header_sum(
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    len: usize,
) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum()
    };
    let addresses = [source, destination].into_iter().map(|ip| match ip {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    });
    let mut sum = addresses.sum::<u32>() + u32::from(u8::from(protocol)) + len as u32;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Length of an IP header without options, in bytes.
pub(crate) fn header_len(ip: IpAddr) -> usize {
    if ip.is_ipv4() { IPV4_HEADER_LEN } else { IPV6_HEADER_LEN }
}

impl Header {
    pub(crate) fn len(&self) -> usize {
        header_len(self.destination)
    }

    pub(crate) fn addresses(&self) -> Addresses {
        match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Addresses::V4(from, to),
            (IpAddr::V6(from), IpAddr::V6(to)) => Addresses::V6(from, to),
            _ => unreachable!("routes join addresses of one family"),
        }
    }

    pub(crate) fn ethertype(&self) -> EthernetProtocol {
        match self.destination {
            IpAddr::V4(_) => EthernetProtocol::Ipv4,
            IpAddr::V6(_) => EthernetProtocol::Ipv6,
        }
    }

    /// Whether routers may cut the packet, so that it needs a number (RFC 6864 section 4). TCP finds
    /// out its path's MTU (RFC 1191).
    pub(crate) fn may_be_cut(&self) -> bool {
        self.destination.is_ipv4() && self.protocol != IpProtocol::Tcp
    }

    /// Writes the header of a whole packet with `len` bytes of payload to the front of `packet`.
    pub(crate) fn emit(&self, packet: &mut [u8], len: usize, ident: u32) {
        match self.addresses() {
            Addresses::V4(from, to) => {
                let whole = Piece { ident, ..Piece::default() };
                self.emit_ipv4(packet, (from, to), len, whole, !self.may_be_cut());
            }
            Addresses::V6(from, to) => self.emit_ipv6(packet, (from, to), len, self.protocol),
        }
    }

    pub(crate) fn emit_ipv4(
        &self,
        packet: &mut [u8],
        (from, to): (Ipv4Addr, Ipv4Addr),
        len: usize,
        piece: Piece,
        dont_fragment: bool,
    ) {
        let mut ip = Ipv4Packet::new_unchecked(&mut *packet);
        ip.set_version(4);
        ip.set_header_len(IPV4_HEADER_LEN as u8);
        ip.set_dscp(0);
        ip.set_ecn(0);
        ip.set_total_len((IPV4_HEADER_LEN + len) as u16);
        ip.set_ident(piece.ident as u16);
        ip.clear_flags();
        ip.set_dont_frag(dont_fragment);
        ip.set_more_frags(piece.more_follow);
        ip.set_frag_offset(piece.offset as u16);
        ip.set_hop_limit(self.hop_limit);
        ip.set_next_header(self.protocol);
        ip.set_src_addr(from);
        ip.set_dst_addr(to);
        ip.set_checksum(0);
        let sum = ipv4_header_sum(&ip.into_inner()[..IPV4_HEADER_LEN]);
        packet[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&(!sum).to_ne_bytes());
    }

    pub(crate) fn emit_ipv6(
        &self,
        packet: &mut [u8],
        (from, to): (Ipv6Addr, Ipv6Addr),
        len: usize,
        next_header: IpProtocol,
    ) {
        let mut ip = Ipv6Packet::new_unchecked(packet);
        ip.set_version(6);
        ip.set_traffic_class(0);
        ip.set_flow_label(0);
        ip.set_payload_len(len as u16);
        ip.set_next_header(next_header);
        ip.set_hop_limit(self.hop_limit);
        ip.set_src_addr(from);
        ip.set_dst_addr(to);
    }
}

/// Writes an Ethernet header and returns what is behind it.
pub(crate) fn emit_ethernet(
    frame: &mut [u8],
    from: MacAddress,
    to: MacAddress,
    ethertype: EthernetProtocol,
) -> &mut [u8] {
    let mut ethernet = EthernetFrame::new_unchecked(&mut *frame);
    ethernet.set_src_addr(EthernetAddress(from));
    ethernet.set_dst_addr(EthernetAddress(to));
    ethernet.set_ethertype(ethertype);
    &mut frame[ETHERNET_HEADER_LEN..]
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha12Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    /// Word by word, as RFC 1071 section 1 begins.
    fn slow_sum(header: &[u8]) -> u16 {
        let words = header.chunks_exact(2).map(|word| u16::from_ne_bytes([word[0], word[1]]));
        words.fold(0, |sum, word| {
            let (sum, carries) = sum.overflowing_add(word);
            sum + u16::from(carries)
        })
    }

    #[test]
    fn the_sum_by_long_words_is_that_by_short_ones() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        for round in 0..10_000 {
            let mut header = [0; 60];
            let header = &mut header[..20 + round % 11 * 4];
            match round / 11 % 3 {
                0 => rng.fill_bytes(header),
                // Where carries are born.
                1 => header.iter_mut().for_each(|byte| *byte = (rng.next_u32() as u8 & 1) * 0xff),
                _ => header.fill(0xff),
            }
            assert_eq!(ipv4_header_sum(header), slow_sum(header), "{header:x?}");
        }
    }
}
