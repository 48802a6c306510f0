//! What a server's offer or acknowledgement must hold to be believed, and for how long it holds.

use alloc::vec::Vec;
use core::{net::Ipv4Addr, time::Duration};

use super::message::Reply;

/// Leases, also of no time at all, last at least this long: a server that hands out shorter ones
/// must not have us ask more than a few times per minute.
const LEASE_MIN: Duration = Duration::from_secs(30);
/// RFC 2132 section 9.2: for ever.
const LEASE_INFINITE_SECS: u32 = u32::MAX;
/// RFC 1122 section 3.3.3: every host takes datagrams of 576 bytes. A smaller MTU is a mistake or
/// an attack: it would have us send ten times the packets.
const MTU_MIN: u16 = 576;

/// What an interface is to be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix_len: u8,
    /// On the link if any of the server's routers is.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// At most four, best first.
    pub(crate) dns: Vec<Ipv4Addr>,
    /// At least 576, and no more than the link carries.
    pub(crate) mtu: Option<u16>,
}

/// An offer or a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) config: Config,
    pub(super) server: Ipv4Addr,
    /// `None` if it never ends.
    pub(super) times: Option<Times>,
}

/// Since the request was sent (RFC 2131 section 4.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// T1.
    pub(super) renew: Duration,
    /// T2.
    pub(super) rebind: Duration,
    pub(super) expire: Duration,
}

impl Lease {
    /// `None` if the message lacks what RFC 2131 table 3 demands, or holds what cannot be.
    pub(super) fn of(reply: &Reply<'_>, mtu_max: u16) -> Option<Self> {
        let address = reply.address;
        let prefix_len = prefix_len(reply.subnet_mask, address)?;
        let is_usable = is_host(address) && !is_edge_of_network(address, prefix_len);
        let server = reply.server.filter(|server| is_host(*server))?;
        let lease_secs = reply.lease_secs?;
        is_usable.then(|| Lease {
            config: Config {
                address,
                prefix_len,
                gateway: gateway(&reply.routers, address, prefix_len),
                dns: name_servers(&reply.dns),
                mtu: reply.mtu.filter(|mtu| (MTU_MIN..=mtu_max).contains(mtu)),
            },
            server,
            times: times(lease_secs, reply.renewal_secs, reply.rebinding_secs),
        })
    }
}

/// Whether an address can be one host's, as seen from another.
fn is_host(address: Ipv4Addr) -> bool {
    const CLASS_E_START: u8 = 240;
    let first = address.octets()[0];
    first != 0 && !address.is_loopback() && !address.is_multicast() && first < CLASS_E_START
}

fn network_mask(prefix_len: u8) -> u32 {
    u32::MAX.checked_shl(u32::BITS - u32::from(prefix_len)).unwrap_or(0)
}

/// The length of a mask that is contiguous and not empty; without one that of the address's class,
/// as before masks were told (RFC 950 section 2.1).
fn prefix_len(mask: Option<Ipv4Addr>, address: Ipv4Addr) -> Option<u8> {
    let Some(mask) = mask else {
        return Some(match address.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            192.. => 24,
        });
    };
    let len = u32::from(mask).leading_ones() as u8;
    (len > 0 && network_mask(len) == u32::from(mask)).then_some(len)
}

/// Whether an address is its network's own or its broadcast address. Networks of one or two have
/// neither (RFC 3021).
fn is_edge_of_network(address: Ipv4Addr, prefix_len: u8) -> bool {
    let host = u32::from(address) & !network_mask(prefix_len);
    prefix_len < 31 && (host == 0 || host == !network_mask(prefix_len))
}

fn gateway(routers: &[Ipv4Addr], address: Ipv4Addr, prefix_len: u8) -> Option<Ipv4Addr> {
    let network = |ip: Ipv4Addr| u32::from(ip) & network_mask(prefix_len);
    let usable = || routers.iter().copied().filter(|ip| is_host(*ip) && *ip != address);
    let on_link =
        |ip: &Ipv4Addr| network(*ip) == network(address) && !is_edge_of_network(*ip, prefix_len);
    // Clouds lease networks of one address whose router lies outside.
    usable().find(on_link).or_else(|| usable().next())
}

fn name_servers(told: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
    let mut servers = Vec::new();
    for &server in told {
        if is_host(server) && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// T1 and T2 as told if they make sense, else half and seven eighths (RFC 2131 section 4.4.5).
fn times(lease: u32, renewal: Option<u32>, rebinding: Option<u32>) -> Option<Times> {
    if lease == LEASE_INFINITE_SECS {
        return None;
    }
    let seconds = |secs: u32| Duration::from_secs(secs.into());
    let expire = seconds(lease).max(LEASE_MIN);
    let half = expire / 2;
    let rebind = rebinding.map(seconds).filter(|rebind| (half..expire).contains(rebind));
    let rebind = rebind.unwrap_or(expire / 8 * 7);
    let renew = renewal.map(seconds).filter(|renew| (LEASE_MIN / 2..rebind).contains(renew));
    Some(Times { renew: renew.unwrap_or(half), rebind, expire })
}
