//! DHCP messages (RFC 2131 section 2, RFC 2132): what we send and what servers send.
//!
//! smoltcp's `DhcpPacket` and `DhcpRepr` know the header and write requests. The options of replies
//! are parsed here: they may lie in three places (RFC 2131 section 4.1), and a list may be longer
//! than smoltcp's or split into several options (RFC 3396).

use alloc::{vec, vec::Vec};
use core::net::Ipv4Addr;

use netdev::MacAddress;
use smoltcp::wire::{
    DhcpMessageType, DhcpOpCode, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
};

/// Routers that are looked at, to find one on the link.
pub(super) const ROUTERS_MAX: usize = 4;
/// Name servers that are kept: as many as the resolver asks.
pub(super) const DNS_SERVERS_MAX: usize = 4;
/// RFC 1542 section 2.1: shorter messages may be dropped on the way.
const MESSAGE_LEN_MIN: usize = 300;
/// RFC 2132 section 9.10: the smallest value that the option may have.
const MAX_SIZE_MIN: u16 = 576;

const MAGIC_COOKIE: u32 = 0x6382_5363;
const HARDWARE_ETHERNET: u8 = 1;
const HARDWARE_LEN: u8 = 6;

/// The fixed fields that may hold options besides (RFC 2131 section 4.1).
const SNAME: core::ops::Range<usize> = 44..108;
const FILE: core::ops::Range<usize> = 108..236;
const OPTIONS_START: usize = 240;

/// Option codes (RFC 2132).
pub(super) mod code {
    pub(in crate::dhcp) const PAD: u8 = 0;
    pub(in crate::dhcp) const SUBNET_MASK: u8 = 1;
    pub(in crate::dhcp) const ROUTER: u8 = 3;
    pub(in crate::dhcp) const DNS_SERVER: u8 = 6;
    pub(in crate::dhcp) const HOST_NAME: u8 = 12;
    pub(in crate::dhcp) const INTERFACE_MTU: u8 = 26;
    pub(in crate::dhcp) const LEASE_TIME: u8 = 51;
    pub(in crate::dhcp) const OVERLOAD: u8 = 52;
    pub(in crate::dhcp) const MESSAGE_TYPE: u8 = 53;
    pub(in crate::dhcp) const SERVER_ID: u8 = 54;
    pub(in crate::dhcp) const MESSAGE: u8 = 56;
    pub(in crate::dhcp) const RENEWAL_TIME: u8 = 58;
    pub(in crate::dhcp) const REBINDING_TIME: u8 = 59;
    pub(in crate::dhcp) const END: u8 = 255;
}

/// What we would like to be told.
const PARAMETERS: &[u8] = &[
    code::SUBNET_MASK,
    code::ROUTER,
    code::DNS_SERVER,
    code::INTERFACE_MTU,
    code::LEASE_TIME,
    code::RENEWAL_TIME,
    code::REBINDING_TIME,
];

/// What a message of ours asks for, with what RFC 2131 table 5 has in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum RequestKind {
    Discover,
    /// In answer to an offer.
    Request {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    /// In REBOOTING.
    Verify {
        address: Ipv4Addr,
    },
    /// In RENEWING and REBINDING.
    Renew {
        address: Ipv4Addr,
    },
    Release {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
}

/// A message of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) kind: RequestKind,
    pub(super) xid: u32,
    pub(super) secs: u16,
    pub(super) mac: MacAddress,
    pub(super) hostname: Option<&'a str>,
    /// The largest message that we can take.
    pub(super) mtu: u16,
}

impl Request<'_> {
    pub(super) fn emit(&self) -> Vec<u8> {
        let hostname =
            self.hostname.map(|name| DhcpOption { kind: code::HOST_NAME, data: name.as_bytes() });
        let is_release = matches!(self.kind, RequestKind::Release { .. });
        let repr = DhcpRepr {
            parameter_request_list: (!is_release).then_some(PARAMETERS),
            max_size: (!is_release).then_some(self.mtu.max(MAX_SIZE_MIN)),
            additional_options: if is_release { &[] } else { hostname.as_slice() },
            ..self.repr()
        };
        let mut message = vec![0; repr.buffer_len().max(MESSAGE_LEN_MIN)];
        let written = repr.emit(&mut DhcpPacket::new_unchecked(&mut message[..]));
        written.expect("the buffer is as long as the message, and no option longer than 255 bytes");
        message
    }

    /// The header, and the options that differ from kind to kind.
    fn repr(&self) -> DhcpRepr<'_> {
        use RequestKind::{Discover, Release, Renew, Verify};
        let (message_type, client_ip, requested_ip, server) = match self.kind {
            Discover => (DhcpMessageType::Discover, None, None, None),
            RequestKind::Request { address, server } => {
                (DhcpMessageType::Request, None, Some(address), Some(server))
            }
            Verify { address } => (DhcpMessageType::Request, None, Some(address), None),
            Renew { address } => (DhcpMessageType::Request, Some(address), None, None),
            Release { address, server } => {
                (DhcpMessageType::Release, Some(address), None, Some(server))
            }
        };
        DhcpRepr {
            message_type,
            transaction_id: self.xid,
            secs: self.secs,
            client_hardware_address: EthernetAddress(self.mac),
            client_ip: client_ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip,
            client_identifier: Some(EthernetAddress(self.mac)),
            server_identifier: server,
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        }
    }
}

/// The kinds of message that a server sends to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyKind {
    Offer,
    Ack,
    Nak,
}

/// A message of a server: well formed, not yet believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub(super) kind: ReplyKind,
    pub(super) xid: u32,
    pub(super) address: Ipv4Addr,
    pub(super) server: Option<Ipv4Addr>,
    pub(super) subnet_mask: Option<Ipv4Addr>,
    pub(super) routers: Vec<Ipv4Addr>,
    pub(super) dns: Vec<Ipv4Addr>,
    pub(super) mtu: Option<u16>,
    pub(super) lease_secs: Option<u32>,
    pub(super) renewal_secs: Option<u32>,
    pub(super) rebinding_secs: Option<u32>,
    /// Why a request is refused, in the server's words.
    pub(super) message: &'a [u8],
}

impl<'a> Reply<'a> {
    /// `None` if it is malformed or for another client than `mac`.
    pub(super) fn parse(payload: &'a [u8], mac: MacAddress) -> Option<Self> {
        let packet = DhcpPacket::new_checked(payload).ok()?;
        let is_ours = packet.opcode() == DhcpOpCode::Reply
            && payload[1] == HARDWARE_ETHERNET
            && packet.hardware_len() == HARDWARE_LEN
            && packet.magic_number() == MAGIC_COOKIE
            && packet.client_hardware_address() == EthernetAddress(mac);
        if !is_ours {
            return None;
        }
        let mut reply = Reply {
            kind: ReplyKind::Nak,
            xid: packet.transaction_id(),
            address: packet.your_ip(),
            server: None,
            subnet_mask: None,
            routers: Vec::new(),
            dns: Vec::new(),
            mtu: None,
            lease_secs: None,
            renewal_secs: None,
            rebinding_secs: None,
            message: &[],
        };
        let mut kind = None;
        for option in all_options(payload) {
            match option.kind {
                code::MESSAGE_TYPE => kind = kind.or(reply_kind(option.data)),
                _ => reply.take(option),
            }
        }
        reply.kind = kind?;
        Some(reply)
    }

    /// Of an option that must not be repeated the first counts.
    fn take(&mut self, DhcpOption { kind, data }: DhcpOption<'a>) {
        match kind {
            code::SUBNET_MASK => self.subnet_mask = self.subnet_mask.or(address(data)),
            code::SERVER_ID => self.server = self.server.or(address(data)),
            code::ROUTER => take_addresses(&mut self.routers, data, ROUTERS_MAX),
            code::DNS_SERVER => take_addresses(&mut self.dns, data, DNS_SERVERS_MAX),
            code::INTERFACE_MTU => {
                let mtu = data.try_into().ok().map(u16::from_be_bytes);
                self.mtu = self.mtu.or(mtu);
            }
            code::LEASE_TIME => self.lease_secs = self.lease_secs.or(seconds(data)),
            code::RENEWAL_TIME => self.renewal_secs = self.renewal_secs.or(seconds(data)),
            code::REBINDING_TIME => self.rebinding_secs = self.rebinding_secs.or(seconds(data)),
            code::MESSAGE => self.message = data,
            _ => {}
        }
    }
}

fn reply_kind(data: &[u8]) -> Option<ReplyKind> {
    match DhcpMessageType::from(*data.first()?) {
        DhcpMessageType::Offer => Some(ReplyKind::Offer),
        DhcpMessageType::Ack => Some(ReplyKind::Ack),
        DhcpMessageType::Nak => Some(ReplyKind::Nak),
        _ => None,
    }
}

fn address(data: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = data.try_into().ok()?;
    Some(octets.into())
}

fn seconds(data: &[u8]) -> Option<u32> {
    data.try_into().ok().map(u32::from_be_bytes)
}

fn take_addresses(list: &mut Vec<Ipv4Addr>, data: &[u8], count_max: usize) {
    let addresses = data.chunks_exact(4).filter_map(address);
    list.extend(addresses.take(count_max - list.len()));
}

/// The options of a message that has its fixed fields: those of the options field, then those of
/// the fields that it says are overloaded, in the order of RFC 2131 section 4.1.
fn all_options(payload: &[u8]) -> impl Iterator<Item = DhcpOption<'_>> {
    const OF_FILE: u8 = 1;
    const OF_SNAME: u8 = 2;
    let field = &payload[OPTIONS_START..];
    let overload = options(field).find(|option| option.kind == code::OVERLOAD);
    let overloaded = overload.and_then(|option| option.data.first().copied()).unwrap_or(0);
    let part = |flag: u8, place| if overloaded & flag != 0 { &payload[place] } else { &[][..] };
    options(field).chain(options(part(OF_FILE, FILE))).chain(options(part(OF_SNAME, SNAME)))
}

/// The options in a field, up to its end or to the first that does not fit.
fn options(mut field: &[u8]) -> impl Iterator<Item = DhcpOption<'_>> {
    core::iter::from_fn(move || {
        while let Some((&code::PAD, rest)) = field.split_first() {
            field = rest;
        }
        let (&kind, rest) = field.split_first().filter(|(kind, _)| **kind != code::END)?;
        let (&len, rest) = rest.split_first()?;
        let (data, rest) = rest.split_at_checked(len.into())?;
        field = rest;
        Some(DhcpOption { kind, data })
    })
}
