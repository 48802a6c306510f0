//! The interface's addresses and routes: static, or leased by DHCP (RFC 2131).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netdev::MacAddress;
use rand_core::RngCore;
use smoltcp::{
    socket::dhcpv4::{Event, Socket as DhcpSocket},
    wire::{IpAddress, IpCidr, Ipv4Cidr, Ipv6Cidr},
};

use crate::{
    engine::Engine,
    flow::{Flow, FlowId, Kind},
    time::Clock,
};

/// An IPv4 address with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv4Config {
    /// Our address.
    pub address: Ipv4Addr,
    /// The length of its network prefix in bits, at most 32.
    pub prefix_len: u8,
    /// The router for everything outside the network, if there is one.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, best first.
    pub dns: Vec<Ipv4Addr>,
}

/// Where the interface's IPv4 address comes from. IPv6 has its link-local address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// From a DHCP server.
    Dhcp,
    /// From the configuration.
    Static(Ipv4Config),
}

/// The first port that IANA leaves to ephemeral use (RFC 6335 section 6).
const EPHEMERAL_PORT_MIN: u16 = 49152;

impl Engine {
    pub(crate) fn configure(&mut self, addressing: &Addressing, link_local: Ipv6Addr) {
        const LINK_LOCAL_PREFIX_LEN: u8 = 64;
        self.set_addresses(|addresses| {
            addresses.push(IpCidr::Ipv6(Ipv6Cidr::new(link_local, LINK_LOCAL_PREFIX_LEN)));
        });
        match addressing {
            Addressing::Static(config) => self.set_ipv4(Some(config.clone())),
            Addressing::Dhcp => {
                let socket = DhcpSocket::new();
                let id = self.flows.insert(Flow::new(Kind::Dhcp, Clock::Real, socket, 0));
                self.dhcp = Some(id);
                self.mark_dirty(id);
            }
        }
    }

    fn set_addresses(&mut self, change: impl FnOnce(&mut Vec<IpCidr>)) {
        self.iface.update_ip_addrs(|addresses| {
            let mut list = addresses.to_vec();
            change(&mut list);
            addresses.clear();
            // One IPv6 and one IPv4 address at most: fewer than the interface has room for.
            addresses.extend(list);
        });
    }

    fn set_ipv4(&mut self, config: Option<Ipv4Config>) {
        self.set_addresses(|addresses| {
            addresses.retain(|cidr| matches!(cidr, IpCidr::Ipv6(_)));
            if let Some(config) = &config {
                addresses.push(Ipv4Cidr::new(config.address, config.prefix_len).into());
            }
        });
        self.iface.routes_mut().remove_default_ipv4_route();
        if let Some(gateway) = config.as_ref().and_then(|config| config.gateway) {
            let added = self.iface.routes_mut().add_default_ipv4_route(gateway);
            added.expect("the routing table holds nothing but the default route");
        }
        self.ipv4 = config;
        self.config_waiters.drain_into(&mut self.woken);
        // smoltcp closes a flow whose source address has gone when it next lets it send.
        let ids: Vec<FlowId> = self.flows.iter().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.mark_dirty(id));
    }

    /// Returns whether the flow lives on: always.
    pub(crate) fn settle_dhcp(&mut self, id: FlowId) -> bool {
        let Some(socket) = self.flows[id].dhcp() else {
            return true;
        };
        let config = match socket.poll() {
            None => return true,
            Some(Event::Deconfigured) => None,
            Some(Event::Configured(lease)) => {
                self.dhcp_server = Some(lease.server.address);
                Some(Ipv4Config {
                    address: lease.address.address(),
                    prefix_len: lease.address.prefix_len(),
                    gateway: lease.router,
                    dns: lease.dns_servers.iter().copied().collect(),
                })
            }
        };
        match &config {
            Some(config) => log::info!("DHCP: leased {}/{}", config.address, config.prefix_len),
            None if self.ipv4.is_some() => log::warn!("DHCP: the lease was lost"),
            None => {}
        }
        if config != self.ipv4 {
            self.set_ipv4(config);
        }
        true
    }

    pub(crate) fn has_address(&self, ip: IpAddr) -> bool {
        self.iface.has_ip_addr(IpAddress::from(ip))
    }

    /// Whether packets may come from an address (RFC 1122 section 3.2.1.3): from one host, not us.
    pub(crate) fn is_proper_source(&self, from: IpAddr) -> bool {
        let is_special = from.is_unspecified() || from.is_multicast() || from.is_loopback();
        !is_special && !self.is_broadcast(from) && !self.has_address(from)
    }

    pub(crate) fn is_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else {
            return false;
        };
        ip.is_broadcast()
            || self.iface.ip_addrs().iter().any(|cidr| match cidr {
                IpCidr::Ipv4(cidr) => cidr.broadcast() == Some(ip),
                IpCidr::Ipv6(_) => false,
            })
    }

    /// Our address for talking to `remote`, if there is a route to it.
    pub(crate) fn source_address(&self, remote: IpAddr) -> Option<IpAddr> {
        let on_link = |cidr: &IpCidr| cidr.contains_addr(&remote.into());
        let has_route = match remote {
            IpAddr::V4(ip) => {
                ip.is_broadcast() || self.iface.routes().get_default_ipv4_route().is_some()
            }
            IpAddr::V6(ip) => ip.is_multicast(),
        };
        if !has_route && !self.iface.ip_addrs().iter().any(on_link) {
            return None;
        }
        self.iface.get_source_address(&remote.into()).map(IpAddr::from)
    }

    /// The largest UDP payload that fits one IPv6 packet: smoltcp does not fragment those.
    pub(crate) fn udp6_payload_len_max(&self) -> usize {
        const IPV6_AND_UDP_HEADERS_LEN: usize = 48;
        self.mtu() - IPV6_AND_UDP_HEADERS_LEN
    }

    /// A free ephemeral port, from a random start (RFC 6056 section 3.3.1).
    pub(crate) fn ephemeral_port(&mut self, is_free: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        let count = u32::from(u16::MAX - EPHEMERAL_PORT_MIN) + 1;
        let start = self.rng.next_u32() % count;
        (0..count)
            .map(|step| EPHEMERAL_PORT_MIN + ((start + step) % count) as u16)
            .find(|&port| is_free(self, port))
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

    #[test]
    fn link_local_follows_the_rfc() {
        let mac = [0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde];
        assert_eq!(link_local(mac), "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap());
    }
}
