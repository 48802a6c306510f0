//! The routing table: longest prefix first (RFC 1812 section 5.2.4.3).

use alloc::vec::Vec;
use core::net::IpAddr;

use super::{
    address::{Origin, common_bits, network},
    interface::InterfaceId,
};

/// Routes beside those of the addresses' own networks: enough for a host, few enough to be looked
/// through.
pub(crate) const ROUTES_MAX: usize = 64;

/// The way to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) network: IpAddr,
    pub(crate) prefix_len: u8,
    /// The router, or nothing if the network is on the link.
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) interface: InterfaceId,
    pub(crate) origin: Origin,
}

impl Route {
    pub(crate) fn new(
        destination: IpAddr,
        prefix_len: u8,
        gateway: Option<IpAddr>,
        interface: InterfaceId,
        origin: Origin,
    ) -> Self {
        let network = network(destination, prefix_len);
        Route { network, prefix_len, gateway, interface, origin }
    }

    fn covers(&self, ip: IpAddr) -> bool {
        self.network.is_ipv4() == ip.is_ipv4()
            && common_bits(self.network, ip) >= u32::from(self.prefix_len)
    }
}

/// By descending prefix length; of equal ones the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= ROUTES_MAX
    }

    pub(crate) fn contains(&self, route: &Route) -> bool {
        self.0.contains(route)
    }

    pub(crate) fn insert(&mut self, route: Route) {
        let place = self.0.partition_point(|other| other.prefix_len >= route.prefix_len);
        self.0.insert(place, route);
    }

    /// Removes the routes for which `is_unwanted`. Returns whether there were any.
    pub(crate) fn remove(&mut self, is_unwanted: impl Fn(&Route) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|route| !is_unwanted(route));
        self.0.len() < before
    }

    /// The best route to a destination by one of the interfaces allowed.
    pub(crate) fn lookup(
        &self,
        destination: IpAddr,
        is_allowed: impl Fn(InterfaceId) -> bool,
    ) -> Option<&Route> {
        self.0.iter().find(|route| route.covers(destination) && is_allowed(route.interface))
    }

    /// Whether there are routes other than default ones, which may go before an address's network.
    pub(crate) fn has_specific(&self) -> bool {
        self.0.first().is_some_and(|route| route.prefix_len > 0)
    }

    /// The interface of the default route.
    pub(crate) fn default_interface(&self, is_ipv4: bool) -> Option<InterfaceId> {
        let is_default =
            |route: &&Route| route.prefix_len == 0 && route.network.is_ipv4() == is_ipv4;
        self.0.iter().find(is_default).map(|route| route.interface)
    }

    /// The default router of an interface.
    pub(crate) fn default_gateway(&self, interface: InterfaceId, is_ipv4: bool) -> Option<IpAddr> {
        let is_default = |route: &&Route| {
            route.prefix_len == 0
                && route.interface == interface
                && route.network.is_ipv4() == is_ipv4
        };
        self.0.iter().find(is_default).and_then(|route| route.gateway)
    }
}
