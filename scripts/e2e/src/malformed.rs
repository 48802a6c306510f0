//! Frames that no well-behaved host sends, from a seed.
//!
//! Each is sound up to some layer, with checksums that are right, so that what is wrong is looked
//! at; some are then cut or damaged as well.

use std::net::{Ipv4Addr, Ipv6Addr};

use chacha20::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    GUEST_IP,
    wire::{
        ACK, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, GUEST_IP6, GUEST_MAC, HOST_IP,
        PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_IGMP, PROTOCOL_TCP, PROTOCOL_UDP, RST, SYN,
        ethernet, internet_checksum, ipv4, ipv6, seal, seal_ipv4, tcp, udp,
    },
};

/// What fits a frame behind the longest headers of ours.
const DATA_LEN_MAX: usize = 1400;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

/// The frames; they never end.
#[derive(Debug)]
pub struct Malformed {
    rng: ChaCha8Rng,
    /// The host's station.
    mac: [u8; 6],
}

impl Malformed {
    /// The same seed makes the same frames.
    pub fn new(seed: u64, mac: [u8; 6]) -> Self {
        Malformed { rng: ChaCha8Rng::seed_from_u64(seed), mac }
    }
}

impl Iterator for Malformed {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        const KINDS: [fn(&mut Malformed) -> Vec<u8>; 13] = [
            Malformed::noise,
            Malformed::noise_behind_ipv4,
            Malformed::wrong_ipv4_header,
            Malformed::ipv4_options,
            Malformed::fragment,
            Malformed::tcp_options,
            Malformed::tcp_flags,
            Malformed::udp_length,
            Malformed::icmp,
            Malformed::arp,
            Malformed::ipv6_extensions,
            Malformed::ndp,
            Malformed::membership,
        ];
        let kind = self.below(KINDS.len());
        let mut frame = KINDS[kind](self);
        match self.below(4) {
            0 => frame.truncate(14 + self.below(frame.len() - 13)),
            1 => self.damage(&mut frame),
            _ => {}
        }
        Some(frame)
    }
}

/// Chances.
impl Malformed {
    fn below(&mut self, end: usize) -> usize {
        self.rng.next_u32() as usize % end
    }

    fn byte(&mut self) -> u8 {
        self.rng.next_u32() as u8
    }

    fn word(&mut self) -> u16 {
        self.rng.next_u32() as u16
    }

    fn bytes(&mut self, len_max: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.below(len_max + 1)];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Numbers that lengths and offsets are compared with, and others.
    fn edge(&mut self) -> u16 {
        let any = self.word();
        self.pick(&[0, 1, 7, 8, 19, 20, 21, 0x7fff, 0x8000, 0xfff8, 0xffff, any])
    }

    fn damage(&mut self, frame: &mut [u8]) {
        for _ in 0..=self.below(4) {
            let place = self.below(frame.len());
            let any = self.byte();
            frame[place] = self.pick(&[0, 0xff, 0x7f, 0x80, frame[place] ^ 1, any]);
        }
    }

    /// Mostly the host, sometimes one that is absent, or that may not send at all.
    fn source(&mut self) -> Ipv4Addr {
        let last = self.byte();
        match self.below(8) {
            0 => Ipv4Addr::new(10, 0, 2, last),
            1 => Ipv4Addr::new(203, 0, 113, last),
            2 => self.pick(&[
                Ipv4Addr::LOCALHOST,
                Ipv4Addr::BROADCAST,
                Ipv4Addr::UNSPECIFIED,
                Ipv4Addr::new(224, 0, 0, 1),
                Ipv4Addr::new(10, 0, 2, 255),
                Ipv4Addr::from(GUEST_IP),
            ]),
            _ => Ipv4Addr::from(HOST_IP),
        }
    }

    fn source6(&mut self) -> Ipv6Addr {
        let last = self.word();
        let near = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, last);
        self.pick(&[near, ROUTER, GUEST_IP6, Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, ALL_NODES])
    }

    /// From a port that is nobody's to one that may be somebody's.
    fn ports(&mut self) -> (u16, u16) {
        let any = self.word();
        (self.word(), self.pick(&[80, 80, 80, 53, 68, 0, any]))
    }
}

/// Frames.
impl Malformed {
    fn frame4(&self, packet: &[u8]) -> Vec<u8> {
        ethernet(GUEST_MAC, self.mac, ETHERTYPE_IPV4, packet)
    }

    fn frame6(&mut self, packet: &[u8]) -> Vec<u8> {
        let to = self.pick(&[GUEST_MAC, [0x33, 0x33, 0, 0, 0, 1], [0xff; 6]]);
        ethernet(to, self.mac, ETHERTYPE_IPV6, packet)
    }

    fn noise(&mut self) -> Vec<u8> {
        let any = self.word();
        let ethertype = self.pick(&[ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_IPV6, 0x8100, any]);
        let data = self.bytes(DATA_LEN_MAX);
        ethernet(GUEST_MAC, self.mac, ethertype, &data)
    }

    fn noise_behind_ipv4(&mut self) -> Vec<u8> {
        let any = self.byte();
        let protocol =
            self.pick(&[PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP, PROTOCOL_IGMP, 0, any]);
        let (from, data) = (self.source(), self.bytes(DATA_LEN_MAX));
        self.frame4(&ipv4(protocol, from, &data))
    }

    fn wrong_ipv4_header(&mut self) -> Vec<u8> {
        let (from, ports) = (self.source(), self.ports());
        let mut packet = ipv4(PROTOCOL_TCP, from, &tcp(ports, 1, SYN, 0, &[]));
        match self.below(4) {
            0 => packet[0] = self.byte(),
            1 => packet[2..4].copy_from_slice(&self.edge().to_be_bytes()),
            2 => packet[6..8].copy_from_slice(&self.edge().to_be_bytes()),
            _ => packet[8] = 0,
        }
        seal_ipv4(&mut packet);
        self.frame4(&packet)
    }

    /// Source routes, time stamps, and options longer than their room.
    fn ipv4_options(&mut self) -> Vec<u8> {
        let words = 1 + self.below(10);
        let mut options = vec![0; words * 4];
        self.rng.fill_bytes(&mut options);
        options[0] = self.pick(&[0, 1, 7, 68, 131, 137, 148]);
        options.extend(udp(self.ports(), b"options"));
        let mut packet = ipv4(PROTOCOL_UDP, HOST_IP.into(), &options);
        packet[0] = 0x45 + words as u8;
        // The checksum covers the options, too.
        packet[10..12].fill(0);
        let checksum = internet_checksum(&packet[..20 + words * 4]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        self.frame4(&packet)
    }

    /// Pieces of a few datagrams, which overlap, and of many, which never end.
    fn fragment(&mut self) -> Vec<u8> {
        let any = self.word();
        let protocol = self.pick(&[PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP]);
        let (from, data) = (self.source(), self.bytes(DATA_LEN_MAX));
        let mut packet = ipv4(protocol, from, &data);
        let ident = self.pick(&[1, 2, 3, any]);
        let offset = self.pick(&[0, 1, 2, 100, 8191, any % 8192]);
        let more = self.pick(&[0x2000, 0x2000, 0]);
        packet[4..6].copy_from_slice(&ident.to_be_bytes());
        packet[6..8].copy_from_slice(&(offset | more).to_be_bytes());
        seal_ipv4(&mut packet);
        self.frame4(&packet)
    }

    fn tcp_options(&mut self) -> Vec<u8> {
        let (from, ports) = (self.source(), self.ports());
        let mut rest = self.bytes(60);
        if let Some(kind) = rest.first_mut() {
            *kind = self.pick(&[0, 1, 2, 3, 4, 5, 8, 254]);
        }
        // As many as there are, or as many as the field can say.
        let len = self.pick(&[rest.len() & !3, 40]).min(40);
        let flags = self.pick(&[SYN, SYN, RST, ACK]);
        let seq = self.rng.next_u32();
        self.segment(from, tcp(ports, seq, flags, len, &rest))
    }

    fn tcp_flags(&mut self) -> Vec<u8> {
        let (from, ports) = (self.source(), self.ports());
        let data = self.bytes(DATA_LEN_MAX);
        let mut segment = tcp(ports, self.rng.next_u32(), self.rng.next_u32() as u8, 0, &data);
        segment[8..12].copy_from_slice(&self.rng.next_u32().to_be_bytes());
        segment[18..20].copy_from_slice(&self.rng.next_u32().to_be_bytes()[..2]);
        self.segment(from, segment)
    }

    fn segment(&self, from: Ipv4Addr, mut segment: Vec<u8>) -> Vec<u8> {
        seal(&mut segment, 16, PROTOCOL_TCP, from.into(), Ipv4Addr::from(GUEST_IP).into());
        self.frame4(&ipv4(PROTOCOL_TCP, from, &segment))
    }

    fn udp_length(&mut self) -> Vec<u8> {
        let (from, data) = (self.source(), self.bytes(DATA_LEN_MAX));
        let mut datagram = udp(self.ports(), &data);
        datagram[4..6].copy_from_slice(&self.edge().to_be_bytes());
        seal(&mut datagram, 6, PROTOCOL_UDP, from.into(), Ipv4Addr::from(GUEST_IP).into());
        self.frame4(&ipv4(PROTOCOL_UDP, from, &datagram))
    }

    /// Requests, and errors that quote connections which may or may not be.
    fn icmp(&mut self) -> Vec<u8> {
        let from = self.source();
        let any = self.byte();
        let mut message = vec![self.pick(&[0, 3, 3, 4, 5, 8, 11, 12, 13, any])];
        message.extend([self.below(16) as u8, 0, 0, 0, 0]);
        message.extend(self.edge().to_be_bytes());
        let mut quote =
            ipv4(PROTOCOL_TCP, GUEST_IP.into(), &tcp((80, self.word()), 1, ACK, 0, &[]));
        quote[16..20].copy_from_slice(&HOST_IP);
        quote.truncate(self.below(quote.len() + 1));
        message.extend(quote);
        let checksum = internet_checksum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        self.frame4(&ipv4(PROTOCOL_ICMP, from, &message))
    }

    /// Claims of every kind: also that the host, or the guest itself, is somewhere else.
    fn arp(&mut self) -> Vec<u8> {
        let lens = self.pick(&[[6, 4], [6, 4], [6, 4], [0, 0], [255, 255], [6, 16]]);
        let mut packet = vec![0, self.pick(&[1, 1, 1, 6]), 0x08, 0, lens[0], lens[1], 0];
        packet.push(self.pick(&[1, 2, 1, 2, 0, 9]));
        packet.extend([2, 0, 0, 0, 0, self.byte()]);
        packet.extend(self.source().octets());
        packet.extend([0; 6]);
        packet.extend(self.pick(&[GUEST_IP, GUEST_IP, HOST_IP, [0; 4]]));
        let to = self.pick(&[GUEST_MAC, [0xff; 6]]);
        ethernet(to, self.mac, ETHERTYPE_ARP, &packet)
    }

    /// Extension headers by the dozen, with lengths that lead anywhere.
    fn ipv6_extensions(&mut self) -> Vec<u8> {
        let first = self.pick(&[0, 43, 44, 60]);
        let mut rest = vec![];
        for _ in 0..self.below(20) {
            let any = self.byte();
            let mut header = [0; 8];
            self.rng.fill_bytes(&mut header);
            header[0] = self.pick(&[0, 43, 44, 60, 6, 17, 58, 59, any]);
            header[1] = self.pick(&[0, 0, 0, 1, 255]);
            rest.extend(header);
        }
        rest.extend(self.bytes(100));
        let (from, any) = (self.source6(), self.byte());
        let packet = ipv6(first, any, from, GUEST_IP6, &rest);
        self.frame6(&packet)
    }

    /// Advertisements, solicitations and redirects, with options whose lengths are wrong.
    fn ndp(&mut self) -> Vec<u8> {
        let kind = 133 + self.below(5) as u8;
        let mut message = vec![kind, 0, 0, 0];
        let fixed_len = [4, 12, 20, 20, 36][usize::from(kind - 133)];
        let mut fixed = vec![0; fixed_len];
        self.rng.fill_bytes(&mut fixed);
        if fixed_len >= 20 {
            let target = self.pick(&[GUEST_IP6, ROUTER, ALL_NODES]);
            fixed[4..20].copy_from_slice(&target.octets());
        }
        message.extend(fixed);
        for _ in 0..self.below(6) {
            let words = self.pick(&[0, 1, 1, 2, 4, 255]);
            message.extend([self.pick(&[1, 2, 3, 4, 5, 24, 25, 31]), words]);
            let mut option = vec![0; (usize::from(words) * 8).saturating_sub(2).min(62)];
            self.rng.fill_bytes(&mut option);
            message.extend(option);
        }
        let (from, hop_limit) = (self.source6(), self.pick(&[255, 255, 255, 64]));
        let is_for_all = self.below(2) == 0;
        self.icmpv6(from, is_for_all, hop_limit, message)
    }

    fn icmpv6(
        &mut self,
        from: Ipv6Addr,
        is_for_all: bool,
        hop_limit: u8,
        mut message: Vec<u8>,
    ) -> Vec<u8> {
        let to = if is_for_all { ALL_NODES } else { GUEST_IP6 };
        seal(&mut message, 2, PROTOCOL_ICMPV6, from.into(), to.into());
        let packet = ipv6(PROTOCOL_ICMPV6, hop_limit, from, to, &message);
        self.frame6(&packet)
    }

    /// Queries and reports about groups, with counts that promise more than there is.
    fn membership(&mut self) -> Vec<u8> {
        let kind = self.pick(&[0x11, 0x12, 0x16, 0x17, 0x22, 130, 131, 132, 143]);
        let mut message = vec![kind, self.byte(), 0, 0];
        message.extend(self.bytes(60));
        if kind >= 130 {
            let from = self.source6();
            return self.icmpv6(from, true, 1, message);
        }
        let checksum = internet_checksum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        let from = self.source();
        self.frame4(&ipv4(PROTOCOL_IGMP, from, &message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_frames_and_all_fit_the_wire() {
        let frames = |seed| Malformed::new(seed, [2; 6]).take(10_000).collect::<Vec<_>>();
        assert_eq!(frames(1), frames(1));
        assert_ne!(frames(1), frames(2));
        assert!(frames(1).iter().all(|frame| (14..=1514).contains(&frame.len())));
    }
}
