//! IGMP and MLD messages: queries and others' reports are parsed, our reports and leaves written.
//!
//! smoltcp writes them all and parses most. Queries are parsed here: the length of one tells its
//! version, and with it what its response time means.

use alloc::{vec, vec::Vec};
use core::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use smoltcp::wire::{
    Icmpv6Message, Icmpv6Packet, IgmpPacket, IgmpRepr, IgmpVersion, MldAddressRecordRepr,
    MldRecordType, MldRepr,
};

const IGMP_LEN: usize = 8;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transmit {
    /// An IPv4 packet of protocol 2 with [`Transmit::HOP_LIMIT`] and
    /// [`Transmit::IPV4_ROUTER_ALERT`].
    Igmp { destination: Ipv4Addr, message: [u8; IGMP_LEN] },
    /// See [`MldReport::emit`].
    Mld(MldReport),
}

impl Transmit {
    /// None of these messages leaves the link (RFC 2236 section 2, RFC 3810 section 5).
    pub(crate) const HOP_LIMIT: u8 = 1;
    /// The options of the IPv4 header (RFC 2113 section 2.1).
    pub(crate) const IPV4_ROUTER_ALERT: [u8; 4] = [148, 4, 0, 0];

    pub(super) fn igmp_report(group_addr: Ipv4Addr) -> Self {
        let report = IgmpRepr::MembershipReport { group_addr, version: IgmpVersion::Version2 };
        Transmit::igmp(group_addr, &report)
    }

    /// RFC 2236 section 9: to all routers.
    pub(super) fn igmp_leave(group_addr: Ipv4Addr) -> Self {
        const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
        Transmit::igmp(ALL_ROUTERS, &IgmpRepr::LeaveGroup { group_addr })
    }

    fn igmp(destination: Ipv4Addr, repr: &IgmpRepr) -> Self {
        let mut message = [0; IGMP_LEN];
        repr.emit(&mut IgmpPacket::new_unchecked(&mut message[..]));
        Transmit::Igmp { destination, message }
    }
}

/// An MLDv2 report (RFC 3810 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MldReport {
    pub(super) records: Vec<(MldRecordType, Ipv6Addr)>,
}

impl MldReport {
    /// RFC 3810 section 5.2.14: all routers that know MLDv2.
    pub(crate) const DESTINATION: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

    /// What follows the IPv6 header, whose next header is 0: the hop-by-hop options header with a
    /// router alert, without which routers and switches do not look at the report, and the ICMPv6
    /// message. `source` is the interface's link-local address, or the unspecified address while
    /// that is tentative (RFC 3590).
    pub(crate) fn emit(&self, source: Ipv6Addr) -> Vec<u8> {
        const ICMPV6: u8 = 58;
        const HOP_BY_HOP: [u8; 8] = [ICMPV6, 0, 5, 2, 0, 0, 1, 0];
        const HEADER_LEN: usize = 8;
        const RECORD_LEN: usize = 20;
        let record = |&(record_type, group)| MldAddressRecordRepr::new(record_type, group);
        let records: Vec<MldAddressRecordRepr<'_>> = self.records.iter().map(record).collect();
        let mut bytes = vec![0; HOP_BY_HOP.len() + HEADER_LEN + records.len() * RECORD_LEN];
        let (hop_by_hop, message) = bytes.split_at_mut(HOP_BY_HOP.len());
        hop_by_hop.copy_from_slice(&HOP_BY_HOP);
        let mut packet = Icmpv6Packet::new_unchecked(message);
        MldRepr::ReportRecordReprs(&records).emit(&mut packet);
        packet.fill_checksum(&source, &Self::DESTINATION);
        bytes
    }
}

/// An IGMP message of another host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IgmpMessage {
    /// All groups are meant if none is named.
    Query {
        group: Option<Ipv4Addr>,
        within: Duration,
    },
    Report {
        group: Ipv4Addr,
    },
    /// It does not concern hosts.
    Other,
}

impl IgmpMessage {
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        const QUERY: u8 = 0x11;
        let packet = IgmpPacket::new_checked(message).ok().filter(IgmpPacket::verify_checksum)?;
        let group = packet.group_addr();
        if message[0] == QUERY {
            let within = igmp_response_time(packet.max_resp_code(), message.len());
            let group = (!group.is_unspecified()).then_some(group);
            let is_valid = group.is_none_or(|group| group.is_multicast());
            return is_valid.then_some(IgmpMessage::Query { group, within });
        }
        match IgmpRepr::parse(&packet) {
            Ok(IgmpRepr::MembershipReport { group_addr, .. }) => {
                Some(IgmpMessage::Report { group: group_addr })
            }
            _ => Some(IgmpMessage::Other),
        }
    }
}

/// Tenths of seconds (RFC 2236 section 2.2); longer queries are version 3 and have a floating point
/// number (RFC 3376 section 4.1.1); zero is version 1 (RFC 2236 section 4).
fn igmp_response_time(code: u8, len: usize) -> Duration {
    const VERSION_1: Duration = Duration::from_secs(10);
    let is_version_3 = len > IGMP_LEN;
    let tenths = match code {
        0 if !is_version_3 => return VERSION_1,
        128.. if is_version_3 => u64::from(code & 0xf | 0x10) << ((code >> 4 & 7) + 3),
        _ => code.into(),
    };
    Duration::from_millis(tenths * 100)
}

/// A query of an MLD router.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MldQuery {
    /// All groups are meant if none is named.
    pub(super) group: Option<Ipv6Addr>,
    pub(super) within: Duration,
}

impl MldQuery {
    /// RFC 3810 section 8.1: 24 bytes are version 1, 28 and more are version 2.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        const VERSION_1_LEN: usize = 24;
        const VERSION_2_LEN_MIN: usize = 28;
        let (&[kind, _, _, _, high, low, _, _], rest) = message.split_first_chunk()?;
        let (group, _) = rest.split_first_chunk::<16>()?;
        let is_version_1 = message.len() == VERSION_1_LEN;
        let is_query = Icmpv6Message::from(kind) == Icmpv6Message::MldQuery;
        if !is_query || !(is_version_1 || message.len() >= VERSION_2_LEN_MIN) {
            return None;
        }
        let code = u16::from_be_bytes([high, low]);
        let millis = if is_version_1 { code.into() } else { mld_response_millis(code) };
        let group = Some(Ipv6Addr::from(*group)).filter(|group| !group.is_unspecified());
        let is_valid = group.is_none_or(|group| group.is_multicast());
        is_valid.then(|| MldQuery { group, within: Duration::from_millis(millis) })
    }
}

/// RFC 3810 section 5.1.3: a floating point number if the first bit is set.
fn mld_response_millis(code: u16) -> u64 {
    match code {
        0x8000.. => u64::from(code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3),
        _ => code.into(),
    }
}
