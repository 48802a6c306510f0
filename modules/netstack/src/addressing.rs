//! Where an interface's addresses and routes come from.

mod groups;
mod lease;
mod routers;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    dhcp,
    engine::Engine,
    ip::{Header, Interface, InterfaceId, NeighbourKey, Origin, Route, slaac::Slaac},
    time::{Instant, earlier},
    timed::Deadline,
};

/// An IPv4 address with all that belongs to it.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let config = Ipv4Config {
///     address: [10, 0, 0, 1].into(),
///     prefix_len: 24,
///     gateway: None,
///     dns: vec![[10, 0, 0, 2].into()],
/// };
/// assert_eq!(stack.ipv4(), Some(config));
/// ```
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

/// Where an interface's IPv4 address comes from. IPv6 addresses it makes by itself.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// let device = world::device();
/// let stack = Stack::new(&Config { addressing: Addressing::Dhcp, ..world::config() }, &device);
/// assert_eq!(stack.ipv4(), None, "no server has answered");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// From a DHCP server.
    Dhcp,
    /// From the configuration.
    Static(Ipv4Config),
    /// Nowhere: addresses are added by calls.
    Manual,
}

/// What an interface configures by itself, and what it has been told.
#[derive(Debug, Default)]
pub(crate) struct Autoconf {
    dhcp: Option<dhcp::Client>,
    slaac: Option<Slaac>,
    /// A message to a server whose station is being asked for.
    waiting: Option<(NeighbourKey, Header, Vec<u8>)>,
    /// Name servers that routers advertise (RFC 8106).
    advertised_dns: Vec<Ipv6Addr>,
    pub(crate) leased_mtu: Option<usize>,
    pub(crate) advertised_mtu: Option<usize>,
}

impl Deadline for Autoconf {
    fn deadline(&self) -> Option<Instant> {
        let dhcp = self.dhcp.as_ref().and_then(dhcp::Client::deadline);
        earlier(dhcp, self.slaac.as_ref().and_then(Slaac::deadline))
    }
}

impl Engine {
    pub(crate) fn configure(&mut self, id: InterfaceId, addressing: &Addressing) {
        match addressing {
            Addressing::Static(config) => self.set_ipv4(id, Some(config), Origin::Manual),
            Addressing::Dhcp => self.begin_lease(id),
            Addressing::Manual => {}
        }
    }

    /// Replaces what an origin has said about an interface.
    pub(crate) fn set_ipv4(
        &mut self,
        id: InterfaceId,
        config: Option<&Ipv4Config>,
        origin: Origin,
    ) {
        let stale = |address: &&crate::ip::Address| {
            address.ip.is_ipv4()
                && address.origin == origin
                && config.is_none_or(|config| {
                    (address.ip, address.prefix_len) != (config.address.into(), config.prefix_len)
                })
        };
        let addresses = &self.ip.interface(id).addresses;
        let stale: Vec<IpAddr> = addresses.iter().filter(stale).map(|own| own.ip).collect();
        stale.into_iter().for_each(|ip| self.drop_address(id, ip));
        let is_old = |route: &Route| route.interface == id && route.origin == origin;
        self.ip.routes.remove(|route| is_old(route) && route.network.is_ipv4());
        self.ip.interface_mut(id).dns.clear();
        if let Some(config) = config {
            self.apply_ipv4(id, config, origin);
        }
        self.paths_changed();
    }

    fn apply_ipv4(&mut self, id: InterfaceId, config: &Ipv4Config, origin: Origin) {
        let ip = config.address.into();
        if !self.ip.interface(id).has_address(ip)
            && let Err(error) = self.add_address(id, ip, config.prefix_len, origin)
        {
            return log::warn!("{}/{}: {error}", config.address, config.prefix_len);
        }
        if let Some(gateway) = config.gateway {
            let default = Ipv4Addr::UNSPECIFIED.into();
            let route = Route::new(default, 0, Some(gateway.into()), id, origin);
            if let Err(error) = self.insert_route(route) {
                log::warn!("the router {gateway}: {error}");
            }
        }
        self.ip.interface_mut(id).dns = config.dns.clone();
    }

    /// The name servers of all interfaces, those of IPv4 first.
    pub(crate) fn name_servers(&self) -> Vec<IpAddr> {
        let interfaces = &self.ip.interfaces;
        let leased = interfaces.iter().flat_map(|one| one.dns.iter().map(|ip| IpAddr::V4(*ip)));
        let advertised = interfaces.iter().flat_map(|one| &one.autoconf.advertised_dns);
        leased.chain(advertised.map(|ip| IpAddr::V6(*ip))).collect()
    }

    /// The link has gone, or come back. Nothing is given up because it has gone: who waits for an
    /// answer does so for as long as it would wait for a silent peer.
    pub(crate) fn link_changed(&mut self, id: InterfaceId, is_up: bool) {
        self.ip.interface_mut(id).is_link_up = is_up;
        self.config_waiters.drain_into(&mut self.woken);
        if is_up {
            self.restart_link(id);
        }
    }

    /// The link has come back, perhaps elsewhere: everything is asked for and said again.
    pub(crate) fn restart_link(&mut self, id: InterfaceId) {
        let now = self.now;
        if self.ip.interfaces.get(id.index()).is_none_or(Interface::is_loopback) {
            return;
        }
        let Engine { ip, rng, .. } = self;
        let interface = ip.interface_mut(id);
        interface.unannounced = interface.addresses.iter().map(|own| own.ip).collect();
        if let Some(client) = &mut interface.autoconf.dhcp {
            client.reconnect(now, rng);
        }
        if let Some(slaac) = &mut interface.autoconf.slaac {
            slaac.restart(now);
        }
        interface.membership.restart(now);
        // All of that is due now, even if no frame waits yet.
        self.woken.extend(self.poller.clone());
    }

    /// Lets the machines do what is due.
    pub(crate) fn run_autoconf(&mut self) {
        let now = self.now;
        // The loopback interface has nobody to ask or to tell.
        for index in 1..self.ip.interfaces.len() {
            let id = InterfaceId::new(index);
            let due = self.ip.interface_mut(id).autoconf_deadline();
            if due.is_some_and(|due| due <= now) {
                self.run_lease(id);
                self.run_router_discovery(id);
                self.report_groups(id);
            }
        }
    }
}
