//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echo replies, errors out and errors in.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use alloc::vec::Vec;

use netdev::Transmitter;
use rand_core::Rng;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet,
};

use super::{
    Cast, HOP_LIMIT_DEFAULT, Packet,
    address::is_usable_unicast,
    extension::{self, Upper},
    header::{Header, header_len},
    output::Body,
    pmtu::{IPV4_MTU_MIN, IPV6_MTU_MIN},
};
use crate::{
    engine::Engine,
    flow::Tuple,
    stats::{Reason, Verdict},
    time::Instant,
};

/// Type, code, checksum and four bytes that depend on them.
pub(crate) const ICMP_HEADER_LEN: usize = 8;

/// Errors sent in a burst, on average: what a port scan at line rate may have at once.
const ERRORS_BURST: u32 = 50;
/// Time between errors in the long run, 100 a second (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4
/// (f)): no amplifier, and enough for every client that tries a port.
const ERROR_INTERVAL: Duration = Duration::from_millis(10);

/// Bounds the errors that we send: a bucket of tokens.
#[derive(Debug)]
pub(crate) struct RateLimit {
    tokens: u32,
    refilled: Instant,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit { tokens: ERRORS_BURST, refilled: Instant::ZERO }
    }
}

impl RateLimit {
    /// An error takes one token on average. Who counts errors must not learn how many others have
    /// got, and so which ports of ours swallowed what was forged (CVE-2020-25705).
    fn take(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        const COST_MAX: u32 = 2;
        let steps = (now - self.refilled).as_micros() / ERROR_INTERVAL.as_micros();
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.refilled = self.refilled + ERROR_INTERVAL.saturating_mul(steps);
        self.tokens = self.tokens.saturating_add(steps).min(ERRORS_BURST);
        let has_token = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(rng.next_u32() % (COST_MAX + 1));
        has_token
    }
}

/// What an ICMP error says.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let socket = IcmpSocket::new(&stack, true, None)?;
/// socket.try_send_to(1, b"are you there?", "127.0.0.1:0".parse()?)?;
/// poll();
/// let said = match socket.try_receive(&mut [])?.error {
///     None => "it is there",
///     Some(ErrorKind::TimeExceeded) => "a router is on the way there",
///     Some(_) => "it cannot be reached",
/// };
/// assert_eq!(said, "it is there");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No way to the network or the host.
    HostUnreachable,
    /// The host does not speak the protocol.
    ProtocolUnreachable,
    /// Nobody has the port.
    PortUnreachable,
    /// A firewall is in the way.
    Prohibited,
    /// A link carries packets of so many bytes only.
    TooBig(usize),
    /// The hop limit was reached, or a fragment got lost.
    TimeExceeded,
    /// A header was not understood.
    ParameterProblem,
}

impl ErrorKind {
    /// Whether trying again is of no use (RFC 1122 section 4.2.3.9).
    pub(crate) fn is_hard(self) -> bool {
        matches!(self, Self::PortUnreachable | Self::ProtocolUnreachable)
    }
}

/// An ICMP error that quotes a packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) kind: ErrorKind,
    /// Who sent it.
    pub(crate) from: IpAddr,
}

/// An error to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorMessage {
    kind: u8,
    code: u8,
    /// The bytes behind the checksum.
    rest: u32,
    even_to_group: bool,
}

impl ErrorMessage {
    pub(crate) fn port_unreachable(is_ipv4: bool) -> Self {
        let (kind, code) = if is_ipv4 { (3, 3) } else { (1, 4) };
        ErrorMessage { kind, code, rest: 0, even_to_group: false }
    }

    /// RFC 1122 section 3.2.2.1.
    pub(crate) fn protocol_unreachable() -> Self {
        ErrorMessage { kind: 3, code: 2, rest: 0, even_to_group: false }
    }

    /// RFC 4443 section 3.4.
    pub(crate) fn parameter_problem(code: u8, pointer: u32, even_to_group: bool) -> Self {
        ErrorMessage { kind: 4, code, rest: pointer, even_to_group }
    }
}

/// The packet that an error quotes, as far as it is there.
struct Quote<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    payload: &'a [u8],
}

impl Quote<'_> {
    fn word(&self, index: usize) -> Option<u16> {
        let bytes = self.payload.get(index..index + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// The two ends, of TCP and UDP.
    fn tuple(&self) -> Option<Tuple> {
        Some(Tuple {
            local: SocketAddr::new(self.source, self.word(0)?),
            remote: SocketAddr::new(self.destination, self.word(2)?),
        })
    }
}

fn parse_quote(bytes: &[u8], is_ipv4: bool) -> Option<Quote<'_>> {
    match is_ipv4 {
        true => {
            let ip = Ipv4Packet::new_unchecked(bytes);
            let payload = bytes.len().checked_sub(20).map(|_| usize::from(ip.header_len()))?;
            let is_sound = ip.version() == 4 && payload >= 20 && ip.frag_offset() == 0;
            is_sound.then_some(())?;
            Some(Quote {
                source: ip.src_addr().into(),
                destination: ip.dst_addr().into(),
                protocol: ip.next_header(),
                payload: bytes.get(payload..)?,
            })
        }
        false => {
            let ip = Ipv6Packet::new_unchecked(bytes);
            (bytes.len() >= 40 && ip.version() == 6).then_some(())?;
            let Ok(Upper::Transport { protocol, offset, .. }) = extension::walk(bytes) else {
                return None;
            };
            Some(Quote {
                source: ip.src_addr().into(),
                destination: ip.dst_addr().into(),
                protocol: protocol.into(),
                payload: bytes.get(offset..)?,
            })
        }
    }
}

impl Engine {
    pub(crate) fn icmpv4(&mut self, packet: &Packet<'_>, tx: &mut impl Transmitter) -> Verdict {
        let Ok(icmp) = Icmpv4Packet::new_checked(packet.payload) else {
            return Verdict::Dropped(Reason::MalformedIcmp);
        };
        if packet.payload.len() < ICMP_HEADER_LEN {
            return Verdict::Dropped(Reason::MalformedIcmp);
        }
        if !icmp.verify_checksum() {
            return Verdict::Dropped(Reason::IcmpChecksum);
        }
        let kind = match (icmp.msg_type(), icmp.msg_code()) {
            (Icmpv4Message::EchoRequest, 0) => return self.echo_request(packet, tx),
            (Icmpv4Message::EchoReply, 0) => return self.echo_reply(packet),
            (Icmpv4Message::DstUnreachable, 2) => ErrorKind::ProtocolUnreachable,
            (Icmpv4Message::DstUnreachable, 3) => ErrorKind::PortUnreachable,
            (Icmpv4Message::DstUnreachable, 4) => {
                let mtu = u16::from_be_bytes([packet.payload[6], packet.payload[7]]);
                // Routers older than RFC 1191 do not say how much fits.
                ErrorKind::TooBig(usize::from(mtu).max(IPV4_MTU_MIN))
            }
            (Icmpv4Message::DstUnreachable, 9 | 10 | 13) => ErrorKind::Prohibited,
            (Icmpv4Message::DstUnreachable, _) => ErrorKind::HostUnreachable,
            (Icmpv4Message::TimeExceeded, _) => ErrorKind::TimeExceeded,
            (Icmpv4Message::ParamProblem, _) => ErrorKind::ParameterProblem,
            _ => return Verdict::Dropped(Reason::UnwantedIcmp),
        };
        self.icmp_error(packet, kind)
    }

    pub(crate) fn icmpv6(&mut self, packet: &Packet<'_>, tx: &mut impl Transmitter) -> Verdict {
        let (IpAddr::V6(from), IpAddr::V6(to)) = (packet.source, packet.destination) else {
            return Verdict::Dropped(Reason::MalformedIcmp);
        };
        let Ok(icmp) = Icmpv6Packet::new_checked(packet.payload) else {
            return Verdict::Dropped(Reason::MalformedIcmp);
        };
        if packet.payload.len() < ICMP_HEADER_LEN {
            return Verdict::Dropped(Reason::MalformedIcmp);
        }
        if !icmp.verify_checksum(&from, &to) {
            return Verdict::Dropped(Reason::IcmpChecksum);
        }
        if icmp.msg_type().is_ndisc() {
            return self.neighbour_discovery(packet, &icmp, tx);
        }
        if icmp.msg_type().is_mld() {
            return self.multicast_listener(packet);
        }
        let kind = match (icmp.msg_type(), icmp.msg_code()) {
            (Icmpv6Message::EchoRequest, 0) => return self.echo_request(packet, tx),
            (Icmpv6Message::EchoReply, 0) => return self.echo_reply(packet),
            (Icmpv6Message::DstUnreachable, 1) => ErrorKind::Prohibited,
            (Icmpv6Message::DstUnreachable, 4) => ErrorKind::PortUnreachable,
            (Icmpv6Message::DstUnreachable, _) => ErrorKind::HostUnreachable,
            (Icmpv6Message::PktTooBig, _) => {
                let mtu = usize::try_from(icmp.pkt_too_big_mtu()).unwrap_or(usize::MAX);
                ErrorKind::TooBig(mtu.max(IPV6_MTU_MIN))
            }
            (Icmpv6Message::TimeExceeded, _) => ErrorKind::TimeExceeded,
            // An unknown next header at the other end is its way to say "protocol unreachable".
            (Icmpv6Message::ParamProblem, 1) => ErrorKind::ProtocolUnreachable,
            (Icmpv6Message::ParamProblem, _) => ErrorKind::ParameterProblem,
            _ => return Verdict::Dropped(Reason::UnwantedIcmp),
        };
        self.icmp_error(packet, kind)
    }

    /// Sends back what came (RFC 1122 section 3.2.2.6, RFC 4443 section 4.2).
    fn echo_request(&mut self, packet: &Packet<'_>, tx: &mut impl Transmitter) -> Verdict {
        let is_ipv4 = packet.source.is_ipv4();
        let source = match packet.cast {
            Cast::Unicast => Some(packet.destination),
            // RFC 1122 lets us ignore those, and an answer would help to flood somebody.
            _ if is_ipv4 => None,
            _ => self.ip.interface(packet.interface).source_for(packet.source, packet.source),
        };
        let Some(source) = source else {
            return Verdict::Dropped(Reason::UnwantedIcmp);
        };
        let protocol = if is_ipv4 { IpProtocol::Icmp } else { IpProtocol::Icmpv6 };
        let header =
            Header { source, destination: packet.source, protocol, hop_limit: HOP_LIMIT_DEFAULT };
        let (id, to) = (packet.interface, packet.link.theirs);
        let mtu = self.ip.interface(id).mtu;
        let write = |buffer: &mut [u8]| {
            buffer.copy_from_slice(packet.payload);
            buffer[0] = if is_ipv4 { 0 } else { 129 };
            fill_checksum(buffer, &header);
        };
        if header.len() + packet.payload.len() <= mtu {
            self.ip.transmit_to(id, to, &header, Body::whole(packet.payload.len()), tx, write);
        } else {
            let mut payload = Vec::from(packet.payload);
            write(&mut payload);
            self.ip.enqueue_packet(id, to, &header, mtu, &payload);
        }
        Verdict::Answered
    }

    /// Answers a packet with an error, if that may be done (RFC 1122 section 3.2.2, RFC 4443 section
    /// 2.4 (e)); otherwise it is dropped for `reason`.
    pub(crate) fn answer_error(
        &mut self,
        packet: &Packet<'_>,
        error: ErrorMessage,
        reason: Reason,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let is_for_us = packet.cast == Cast::Unicast && packet.link.is_unicast;
        let is_loopback = packet.source.is_loopback() && packet.destination.is_loopback();
        let is_answerable = is_usable_unicast(packet.source) || is_loopback;
        let is_to_error = packet.source.is_ipv6() && extension::carries_error(packet.whole);
        if !is_answerable || is_to_error || !(is_for_us || error.even_to_group) {
            return Verdict::Dropped(reason);
        }
        let source = match packet.cast {
            Cast::Unicast => Some(packet.destination),
            _ => self.ip.interface(packet.interface).source_for(packet.source, packet.source),
        };
        let Some(source) = source else {
            return Verdict::Dropped(reason);
        };
        if !self.ip.error_limit.take(self.now, &mut self.rng) {
            return Verdict::Dropped(Reason::RateLimited);
        }
        self.send_error(packet, source, error, tx);
        Verdict::Answered
    }

    fn send_error(
        &mut self,
        packet: &Packet<'_>,
        source: IpAddr,
        error: ErrorMessage,
        tx: &mut impl Transmitter,
    ) {
        let is_ipv4 = source.is_ipv4();
        // As much as every host takes (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c)).
        let mtu_min = if is_ipv4 { IPV4_MTU_MIN } else { IPV6_MTU_MIN };
        let mtu = mtu_min.min(self.ip.interface(packet.interface).mtu);
        let quote_max = mtu.saturating_sub(header_len(source) + ICMP_HEADER_LEN);
        let quote = &packet.whole[..packet.whole.len().min(quote_max)];
        let protocol = if is_ipv4 { IpProtocol::Icmp } else { IpProtocol::Icmpv6 };
        let header =
            Header { source, destination: packet.source, protocol, hop_limit: HOP_LIMIT_DEFAULT };
        let len = ICMP_HEADER_LEN + quote.len();
        let (to, body) = (packet.link.theirs, Body::whole(len));
        self.ip.transmit_to(packet.interface, to, &header, body, tx, |buffer| {
            buffer[..4].copy_from_slice(&[error.kind, error.code, 0, 0]);
            buffer[4..8].copy_from_slice(&error.rest.to_be_bytes());
            buffer[ICMP_HEADER_LEN..].copy_from_slice(quote);
            fill_checksum(buffer, &header);
        });
    }

    /// Tells whoever sent the packet that an error quotes.
    fn icmp_error(&mut self, packet: &Packet<'_>, kind: ErrorKind) -> Verdict {
        let quoted = &packet.payload[ICMP_HEADER_LEN..];
        let Some(quote) = parse_quote(quoted, packet.source.is_ipv4()) else {
            return Verdict::Dropped(Reason::MalformedIcmp);
        };
        // What routers may cut is too big for none of them (RFC 1191 section 3).
        let is_cut = quote.source.is_ipv4() && quote.protocol != IpProtocol::Tcp;
        let is_impossible = is_cut && matches!(kind, ErrorKind::TooBig(_));
        if quote.source != packet.destination || is_impossible {
            return Verdict::Dropped(Reason::UnwantedIcmp);
        }
        let error = IcmpError { kind, from: packet.source };
        let is_believed = match quote.protocol {
            IpProtocol::Tcp => self.quoted_segment(&quote, error),
            IpProtocol::Udp => quote.tuple().is_some_and(|tuple| self.udp_icmp_error(tuple, error)),
            IpProtocol::Icmp | IpProtocol::Icmpv6 => self.quoted_echo(&quote, error, packet),
            _ => false,
        };
        match is_believed {
            true => Verdict::Delivered,
            false => Verdict::Dropped(Reason::UnwantedIcmp),
        }
    }

    fn quoted_segment(&mut self, quote: &Quote<'_>, error: IcmpError) -> bool {
        let (Some(tuple), Some(high), Some(low)) = (quote.tuple(), quote.word(4), quote.word(6))
        else {
            return false;
        };
        self.tcp_icmp_error(tuple, u32::from(high) << 16 | u32::from(low), error)
    }

    fn quoted_echo(&mut self, quote: &Quote<'_>, error: IcmpError, packet: &Packet<'_>) -> bool {
        let kind = if quote.source.is_ipv4() { 8 } else { 128 };
        if quote.payload.first() != Some(&kind) {
            return false;
        }
        let (Some(ident), Some(sequence)) = (quote.word(4), quote.word(6)) else {
            return false;
        };
        self.icmp_socket_error(ident, sequence, quote.destination, error, packet)
    }

    /// A path carries less than was thought. Whoever calls has made sure that we can have sent what
    /// the news quotes.
    pub(crate) fn lower_path_mtu(&mut self, destination: IpAddr, mtu: usize) -> bool {
        self.ip.path_mtus.lower(destination, mtu, self.now)
    }
}

/// Fills in the checksum of an ICMP message.
pub(crate) fn fill_checksum(message: &mut [u8], header: &Header) {
    match (header.source, header.destination) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            Icmpv6Packet::new_unchecked(message).fill_checksum(&from, &to);
        }
        _ => Icmpv4Packet::new_unchecked(message).fill_checksum(),
    }
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn errors_are_limited_and_the_bucket_fills_again() {
        let (mut limit, mut rng) = (RateLimit::default(), ChaCha8Rng::seed_from_u64(1));
        let mut now = Instant::ZERO + Duration::from_secs(1000);
        let mut take = |now| (0..200).filter(|_| limit.take(now, &mut rng)).count();
        assert!((25..=100).contains(&take(now)));
        now = now + Duration::from_millis(105);
        assert!((5..=20).contains(&take(now)));
        let mut sent = 0;
        for _ in 0..1000 {
            now = now + Duration::from_secs(1);
            sent += take(now);
        }
        assert!((45_000..55_000).contains(&sent), "{sent}");
    }

    #[test]
    fn any_quote_is_survived() {
        for len in 0..100 {
            for byte in [0, 0x45, 0x4f, 0x60, 0x06, 0xff] {
                let bytes = alloc::vec![byte; len];
                for is_ipv4 in [true, false] {
                    let quote = parse_quote(&bytes, is_ipv4);
                    let _ = quote.and_then(|quote| quote.tuple());
                }
            }
        }
    }
}
