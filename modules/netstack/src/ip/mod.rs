//! The Internet layer: interfaces, addresses, routes and neighbours; packets in and out.
//!
//! | module | what lives there |
//! |---|---|
//! | `mod` | [`Ip`]: what all interfaces share; where a packet goes, and how it gets there |
//! | `input` | what arrives, from the Ethernet header to the transport's door |
//! | `header`, `extension` | headers written; IPv6 extension headers read |
//! | `interface`, `address`, `route`, `neighbour`, `pmtu` | the tables |
//! | `arp`, `ndp`, `icmp` | the protocols beside IP |
//! | `slaac`, `membership` | router discovery and group membership, as pure machines |
//! | `fragment`, `reassembly` | long datagrams |
//! | `control` | what is changed at run time |
//! | `loopback` | the interface that needs no device |

mod address;
mod arp;
mod control;
mod extension;
mod fragment;
mod header;
mod icmp;
mod input;
mod interface;
mod loopback;
pub(crate) mod membership;
pub(crate) mod ndp;
mod neighbour;
mod output;
mod pmtu;
mod reassembly;
mod route;
pub(crate) mod slaac;

use core::net::IpAddr;

use netdev::MacAddress;

use crate::flow::FlowId;

pub use self::icmp::ErrorKind;
pub(crate) use self::{
    address::{Address, Origin, multicast_mac, to_canonical},
    neighbour::Key as NeighbourKey,
    route::Route,
};
pub use self::{
    control::{AddressError, InterfaceError, InterfaceInfo, MtuError, RouteError},
    interface::InterfaceId,
};
pub(crate) use self::{
    header::{Checksum, Header, emit_ethernet, pseudo_header_sum},
    icmp::{ErrorMessage, ICMP_HEADER_LEN, IcmpError, fill_checksum},
    interface::{Interface, InterfaceSet},
    loopback::Loopback,
    output::{Body, Cut, Ip, Path, Unresolved, frame},
};

/// The hop limit of packets for which nobody wants another one (RFC 1700).
pub(crate) const HOP_LIMIT_DEFAULT: u8 = 64;

/// The stations between which a frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) ours: MacAddress,
    pub(crate) theirs: MacAddress,
    /// It was sent to us alone.
    pub(crate) is_unicast: bool,
}

/// Whom a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    /// One host: us.
    Unicast,
    /// An address that may be about to be leased to us.
    Offered,
    Broadcast,
    Multicast,
}

/// What is known of the connection that a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demux {
    /// Nobody has looked, or it has not come by its connection's own way.
    Unknown,
    /// There is none.
    NoFlow,
    Flow(FlowId),
}

/// A packet for us, whole and with a sound header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) interface: InterfaceId,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) cast: Cast,
    pub(crate) hop_limit: u8,
    /// The whole transport segment.
    pub(crate) payload: &'a [u8],
    /// The transport's checksum need not be looked at.
    pub(crate) is_verified: bool,
    pub(crate) link: Link,
    pub(crate) connection: Demux,
    /// The packet from its IP header on, to be quoted.
    pub(crate) whole: &'a [u8],
}
