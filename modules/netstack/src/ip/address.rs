//! Addresses: what kinds there are, and which of ours to use.

use alloc::vec::Vec;
use core::{
    cmp::Reverse,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netdev::MacAddress;

use crate::{time::Instant, timed::Deadline};

/// Addresses that one interface may have: more than any host needs, few enough to be looked through
/// for every packet.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// Where an address or a route came from, and so who may take it away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Manual,
    LinkLocal,
    Dhcp,
    /// Router advertisements (RFC 4862).
    Slaac,
}

/// An address of ours.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    pub(crate) prefix_len: u8,
    pub(crate) origin: Origin,
    /// Not to be used for new communication (RFC 4862 section 5.5.4).
    pub(crate) is_deprecated: bool,
    /// Until when another host that has it makes us give it up (RFC 4862 section 5.4). It is used
    /// meanwhile (RFC 4429).
    pub(crate) contested_until: Option<Instant>,
}

impl Deadline for Vec<Address> {
    /// When a contest for one of them ends.
    fn deadline(&self) -> Option<Instant> {
        self.iter().filter_map(|address| address.contested_until).min()
    }
}

impl Address {
    pub(crate) fn new(ip: IpAddr, prefix_len: u8, origin: Origin) -> Self {
        Address { ip, prefix_len, origin, is_deprecated: false, contested_until: None }
    }

    /// Whether an address lies in its network.
    pub(crate) fn covers(&self, ip: IpAddr) -> bool {
        // Autonomous addresses need not be of a network that is on the link (RFC 4862 section 5.5.3).
        self.origin != Origin::Slaac && common_bits(self.ip, ip) >= u32::from(self.prefix_len)
    }

    /// The address of all hosts in its network (RFC 919), if there is one.
    pub(crate) fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.ip {
            IpAddr::V4(ip) if self.prefix_len < 31 => {
                Some((u32::from(ip) | u32::MAX >> self.prefix_len).into())
            }
            _ => None,
        }
    }
}

/// How many bits two addresses have in common; none if they are of different families.
pub(crate) fn common_bits(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u32::from(one) ^ u32::from(other)).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (u128::from(one) ^ u128::from(other)).leading_zeros()
        }
        _ => 0,
    }
}

pub(crate) fn prefix_len_max(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The first address of a network.
pub(crate) fn network(ip: IpAddr, prefix_len: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
            Ipv6Addr::from(u128::from(ip) & mask).into()
        }
    }
}

/// The source for `destination`: of the same family and scope, not deprecated, the longest common
/// prefix (RFC 6724 section 5, rules 2, 3 and 8), of IPv4 with the next hop: that router is likelier
/// to know our network. The first one wins.
pub(crate) fn choose_source(
    addresses: &[Address],
    destination: IpAddr,
    next_hop: IpAddr,
) -> Option<IpAddr> {
    let like = if destination.is_ipv4() { next_hop } else { destination };
    let rank = |address: &&Address| {
        let has_scope = scope(address.ip) >= scope(destination);
        let excess = scope(address.ip).abs_diff(scope(destination));
        let bits = common_bits(address.ip, like).min(u32::from(address.prefix_len));
        (!has_scope, excess, address.is_deprecated, Reverse(bits))
    };
    let of_family = |address: &&Address| address.ip.is_ipv4() == destination.is_ipv4();
    addresses.iter().filter(of_family).min_by_key(rank).map(|address| address.ip)
}

/// The scope of an address as RFC 4291 section 2.7 numbers it (RFC 6724 section 3.1).
fn scope(ip: IpAddr) -> u8 {
    const LINK_LOCAL: u8 = 2;
    const GLOBAL: u8 = 14;
    match ip {
        IpAddr::V6(ip) if ip.is_multicast() => ip.octets()[1] & 0xf,
        IpAddr::V6(ip) if ip.is_unicast_link_local() || ip.is_loopback() => LINK_LOCAL,
        // IPv4's only matters among themselves: every private address may talk to every other.
        _ => GLOBAL,
    }
}

/// Whether an address can be one host's, on the wire (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5).
pub(crate) fn is_usable_unicast(ip: IpAddr) -> bool {
    let is_special = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback();
    let is_reserved = match ip {
        // "This network" (RFC 1122) and the reserved class E (RFC 1112), with the broadcast address.
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.octets()[0] >= 240,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
    };
    !is_special && !is_reserved
}

/// An IPv4 address that was given as an IPv6 one (RFC 4291 section 2.5.5.2) as what it is.
pub(crate) fn to_canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The group that an IPv6 address is asked for by (RFC 4291 section 2.7.1).
pub(crate) fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The station address of a group (RFC 1112 section 6.4, RFC 2464 section 7).
pub(crate) fn multicast_mac(group: IpAddr) -> MacAddress {
    match group {
        IpAddr::V4(group) => {
            let [_, a, b, c] = group.octets();
            [0x01, 0x00, 0x5e, a & 0x7f, b, c]
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            [0x33, 0x33, a, b, c, d]
        }
    }
}

/// The link-local address made from a MAC address (RFC 4291 appendix A).
pub(crate) fn link_local(mac: MacAddress) -> Ipv6Addr {
    const UNIVERSAL_LOCAL_BIT: u8 = 0x02;
    let [a, b, c, d, e, f] = mac;
    let word = |high, low| u16::from_be_bytes([high, low]);
    let first = a ^ UNIVERSAL_LOCAL_BIT;
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(first, b), word(c, 0xff), word(0xfe, d), word(e, f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn link_local_follows_the_rfc() {
        let mac = [0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde];
        assert_eq!(IpAddr::from(link_local(mac)), ip("fe80::3656:78ff:fe9a:bcde"));
    }

    #[test]
    fn groups_follow_the_rfcs() {
        let node = "fe80::3656:78ff:fe9a:bcde".parse().unwrap();
        assert_eq!(IpAddr::from(solicited_node(node)), ip("ff02::1:ff9a:bcde"));
        assert_eq!(multicast_mac(ip("239.255.1.2")), [1, 0, 0x5e, 0x7f, 1, 2]);
        assert_eq!(multicast_mac(ip("ff02::1:ff9a:bcde")), [0x33, 0x33, 0xff, 0x9a, 0xbc, 0xde]);
    }

    #[test]
    fn networks_have_a_first_and_a_last_address() {
        assert_eq!(network(ip("10.1.2.3"), 24), ip("10.1.2.0"));
        assert_eq!(network(ip("10.1.2.3"), 0), ip("0.0.0.0"));
        assert_eq!(network(ip("2001:db8::5"), 64), ip("2001:db8::"));
        assert_eq!(network(ip("2001:db8::5"), 128), ip("2001:db8::5"));
        let broadcast =
            |prefix_len| Address::new(ip("10.1.2.3"), prefix_len, Origin::Manual).broadcast();
        assert_eq!(broadcast(24), Some([10, 1, 2, 255].into()));
        assert_eq!(broadcast(31), None, "RFC 3021");
    }

    /// RFC 6724 section 10.1.
    #[test]
    fn the_source_has_the_scope_of_the_destination() {
        let address = |text| Address::new(ip(text), 64, Origin::Manual);
        let addresses = [address("fe80::1"), address("2001:db8:1::1"), address("2001:db8:2::1")];
        let chosen = |to| choose_source(&addresses, ip(to), ip(to));
        assert_eq!(chosen("fe80::2"), Some(ip("fe80::1")));
        assert_eq!(chosen("ff02::1"), Some(ip("fe80::1")));
        assert_eq!(chosen("2001:db8:2::2"), Some(ip("2001:db8:2::1")));
        assert_eq!(chosen("2001:db8:8000::2"), Some(ip("2001:db8:1::1")));
        assert_eq!(chosen("10.0.0.1"), None);
        let router = ip("fe80::9");
        let far = choose_source(&addresses, ip("2001:db8:2:1::2"), router);
        assert_eq!(far, Some(ip("2001:db8:2::1")), "rule 8 looks at the destination");
        let mut deprecated = addresses.clone();
        deprecated[2].is_deprecated = true;
        let to = ip("2001:db8:2::2");
        assert_eq!(choose_source(&deprecated, to, to), Some(ip("2001:db8:1::1")));
    }
}
