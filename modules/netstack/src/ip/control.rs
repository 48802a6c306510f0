//! What is changed at run time: interfaces, addresses, routes, MTUs and group memberships.

use alloc::vec::Vec;
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use netdev::{Device, MacAddress};

use super::{
    address::{ADDRESSES_MAX, Address, Origin, is_usable_unicast, link_local, prefix_len_max},
    arp,
    interface::{INTERFACES_MAX, Interface, InterfaceId},
    loopback, membership, ndp,
    neighbour::{Due, Key},
    pmtu::{IPV4_MTU_MIN, IPV6_MTU_MIN},
    route::Route,
};
use crate::{
    addressing::{Addressing, Ipv4Config},
    engine::Engine,
    error::JoinError,
    flow::{FlowId, Kind},
    time::{Instant, earlier},
};

/// How long another host may object to a new address (RFC 4862 section 5.1: one probe, one second).
const CONTEST: Duration = Duration::from_secs(1);
errors! {
    /// Why an interface was not added.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let add = || stack.add_interface(&world::device(), &Addressing::Manual);
    /// let error = std::iter::repeat_with(add).find_map(Result::err);
    /// assert_eq!(error, Some(InterfaceError::TooMany));
    /// assert_eq!(stack.interfaces().len(), 32);
    /// ```
    InterfaceError {
        /// A stack has 31 beside the loopback interface at most.
        TooMany = "the stack has as many interfaces as it can",
    }

    /// Why an address was not added or removed.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let id = InterfaceId::FIRST;
    /// assert_eq!(stack.add_address(id, [10, 0, 0, 1].into(), 24), Err(AddressError::Exists));
    /// assert_eq!(stack.add_address(id, [224, 0, 0, 1].into(), 24), Err(AddressError::Invalid));
    /// ```
    AddressError {
        /// There is no such interface, or it is the loopback interface.
        NoInterface = "there is no such interface",
        /// It is not one host's address, or the prefix is longer than it.
        Invalid = "not an address that a host can have",
        /// An interface has it already.
        Exists = "the address is one of ours already",
        /// An interface has 16 addresses at most.
        TooMany = "the interface has as many addresses as it can",
        /// The interface does not have it.
        NotFound = "the interface does not have the address",
    }

    /// Why a route was not added or removed.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let network = [192, 168, 0, 0].into();
    /// let added = stack.add_route(network, 16, [10, 9, 9, 9].into());
    /// assert_eq!(added, Err(RouteError::GatewayUnreachable));
    /// let removed = stack.remove_route(network, 16, [10, 0, 0, 2].into());
    /// assert_eq!(removed, Err(RouteError::NotFound));
    /// ```
    RouteError {
        /// There is no such interface.
        NoInterface = "there is no such interface",
        /// The prefix is longer than an address, or the gateway is of the other family.
        Invalid = "not a network, or not a gateway to it",
        /// The gateway is not in a network of an interface.
        GatewayUnreachable = "the gateway is not on a link",
        /// It is there already.
        Exists = "the route is there already",
        /// There are 64 routes at most.
        TooMany = "the table has as many routes as it can",
        /// There is none.
        NotFound = "there is no such route",
    }

    /// Why an MTU was not set.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// assert_eq!(stack.set_mtu(InterfaceId::FIRST, 576), Err(MtuError::TooSmall));
    /// assert_eq!(stack.set_mtu(InterfaceId::FIRST, 9000), Err(MtuError::TooLarge));
    /// ```
    MtuError {
        /// There is no such interface, or it is the loopback interface.
        NoInterface = "there is no such interface",
        /// Less than 1280 bytes, which IPv6 needs (RFC 8200 section 5).
        TooSmall = "smaller than IPv6 allows",
        /// More than the device carries.
        TooLarge = "larger than the device carries",
    }
}

/// What an interface is at present.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let info: &InterfaceInfo = &stack.interfaces()[1];
/// assert_eq!((info.id, info.mtu, info.is_link_up), (InterfaceId::FIRST, 1500, true));
/// assert!(info.addresses.contains(&([10, 0, 0, 1].into(), 24)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its name in calls.
    pub id: InterfaceId,
    /// The station's address; zeros for the loopback interface.
    pub mac: MacAddress,
    /// Whether its link has a carrier, as far as its device can tell.
    pub is_link_up: bool,
    /// The largest IP packet that it sends, in bytes.
    pub mtu: usize,
    /// Its addresses with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The groups that it is in, those that every host is in excepted.
    pub groups: Vec<IpAddr>,
}

/// Interfaces.
impl Engine {
    pub(crate) fn add_loopback(&mut self) {
        let id = InterfaceId::LOOPBACK;
        let mut interface = Interface::new(id, &loopback::INFO, true);
        let addresses = [(IpAddr::from(Ipv4Addr::LOCALHOST), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
        for (ip, prefix_len) in addresses {
            interface.addresses.push(Address::new(ip, prefix_len, Origin::Manual));
        }
        self.ip.interfaces.push(interface);
    }

    pub(crate) fn add_interface(
        &mut self,
        device: &impl Device,
        addressing: &Addressing,
    ) -> Result<InterfaceId, InterfaceError> {
        if self.ip.interfaces.len() >= INTERFACES_MAX {
            return Err(InterfaceError::TooMany);
        }
        let info = device.info();
        let id = InterfaceId::new(self.ip.interfaces.len());
        self.ip.interfaces.push(Interface::new(id, &info, device.link_up()));
        if info.mtu >= IPV6_MTU_MIN {
            self.discover_routers(id);
            const LINK_LOCAL_PREFIX_LEN: u8 = 64;
            let address = link_local(info.mac).into();
            self.push_address(id, Address::new(address, LINK_LOCAL_PREFIX_LEN, Origin::LinkLocal));
        }
        self.configure(id, addressing);
        Ok(id)
    }

    fn check_interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.ip.interfaces.get(id.index()).filter(|interface| !interface.is_loopback())
    }

    pub(crate) fn interface_infos(&self) -> Vec<InterfaceInfo> {
        let info = |interface: &Interface| InterfaceInfo {
            id: interface.id,
            mac: interface.mac,
            is_link_up: interface.is_link_up,
            mtu: interface.mtu,
            addresses: interface.addresses.iter().map(|own| (own.ip, own.prefix_len)).collect(),
            groups: interface.membership.groups().collect(),
        };
        self.ip.interfaces.iter().map(info).collect()
    }

    pub(crate) fn set_mtu(&mut self, id: InterfaceId, mtu: usize) -> Result<(), MtuError> {
        let interface = self.check_interface(id).ok_or(MtuError::NoInterface)?;
        let has_ipv6 = interface.addresses.iter().any(|address| address.ip.is_ipv6());
        let mtu_min = if has_ipv6 { IPV6_MTU_MIN } else { IPV4_MTU_MIN };
        if mtu < mtu_min {
            return Err(MtuError::TooSmall);
        }
        if mtu > interface.device_mtu {
            return Err(MtuError::TooLarge);
        }
        self.ip.interface_mut(id).mtu_wanted = mtu;
        self.update_mtu(id);
        Ok(())
    }
}

/// Addresses.
impl Engine {
    pub(crate) fn add_address(
        &mut self,
        id: InterfaceId,
        ip: IpAddr,
        prefix_len: u8,
        origin: Origin,
    ) -> Result<(), AddressError> {
        let interface = self.check_interface(id).ok_or(AddressError::NoInterface)?;
        let is_too_small = ip.is_ipv6() && interface.mtu < IPV6_MTU_MIN;
        if !is_usable_unicast(ip) || prefix_len > prefix_len_max(ip) || is_too_small {
            return Err(AddressError::Invalid);
        }
        if interface.addresses.len() >= ADDRESSES_MAX {
            return Err(AddressError::TooMany);
        }
        // The same link-local address may be on several links.
        let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if interface.has_address(ip) || (self.ip.is_ours(ip) && !is_link_local) {
            return Err(AddressError::Exists);
        }
        self.push_address(id, Address::new(ip, prefix_len, origin));
        self.paths_changed();
        Ok(())
    }

    fn push_address(&mut self, id: InterfaceId, address: Address) {
        let ip = address.ip;
        let interface = self.ip.interface_mut(id);
        interface.addresses.push(address);
        interface.unannounced.push(ip);
        self.address_added(id, ip);
    }

    pub(crate) fn remove_address(
        &mut self,
        id: InterfaceId,
        ip: IpAddr,
    ) -> Result<(), AddressError> {
        let interface = self.check_interface(id).ok_or(AddressError::NoInterface)?;
        if !interface.has_address(ip) {
            return Err(AddressError::NotFound);
        }
        self.drop_address(id, ip);
        Ok(())
    }

    /// Removes an address of an interface, if it has it.
    pub(crate) fn drop_address(&mut self, id: InterfaceId, ip: IpAddr) {
        let interface = self.ip.interface_mut(id);
        let before = interface.addresses.len();
        interface.addresses.retain(|address| address.ip != ip);
        interface.unannounced.retain(|other| *other != ip);
        if interface.addresses.len() < before {
            self.address_removed(id, ip);
            self.paths_changed();
        }
    }

    /// Tells the neighbours about new addresses: IPv4's are announced (RFC 5227 section 2.3), IPv6's
    /// first asked about (RFC 4862 section 5.4) and announced a second later.
    pub(crate) fn announce_addresses(&mut self, id: InterfaceId) {
        let now = self.now;
        let interface = self.ip.interface_mut(id);
        let mac = interface.mac;
        let new = core::mem::take(&mut interface.unannounced);
        for ip in new {
            match ip {
                IpAddr::V4(ip) => self.ip.enqueue(id, arp::announcement(mac, ip)),
                IpAddr::V6(target) => {
                    self.ip.enqueue(id, ndp::probe(mac, target));
                    let addresses = &mut self.ip.interface_mut(id).addresses;
                    if let Some(address) = addresses.iter_mut().find(|address| address.ip == ip) {
                        address.contested_until = Some(now + CONTEST);
                    }
                }
            }
        }
    }

    /// Ends the contests for addresses whose time is up.
    pub(crate) fn win_addresses(&mut self) {
        let now = self.now;
        for index in 0..self.ip.interfaces.len() {
            let interface = &mut self.ip.interfaces[index];
            if interface.addresses.deadline().is_none_or(|until| until > now) {
                continue;
            }
            let (id, mac) = (interface.id, interface.mac);
            let is_won =
                |address: &&mut Address| address.contested_until.is_some_and(|until| until <= now);
            let mut won = Vec::new();
            for address in interface.addresses.iter_mut().filter(is_won) {
                address.contested_until = None;
                won.push(address.ip);
            }
            for ip in won {
                if let IpAddr::V6(ip) = ip {
                    self.ip.enqueue(id, ndp::announcement(mac, ip));
                }
            }
        }
    }

    /// The MTU is the least of what was set, leased and advertised.
    pub(crate) fn update_mtu(&mut self, id: InterfaceId) {
        let interface = self.ip.interface_mut(id);
        let said = [interface.autoconf.leased_mtu, interface.autoconf.advertised_mtu];
        let mtu = said.into_iter().flatten().fold(interface.mtu_wanted, usize::min);
        if interface.mtu != mtu {
            interface.mtu = mtu;
            self.paths_changed();
        }
    }

    /// An address, a route or an MTU has changed: every flow is to look at its path again.
    pub(crate) fn paths_changed(&mut self) {
        self.config_waiters.drain_into(&mut self.woken);
        self.update_name_servers();
        self.are_paths_stale = true;
    }

    /// Has every flow look at its path, once for all the changes of a turn or a call: neighbours can
    /// make paths change with every frame.
    #[inline]
    pub(crate) fn refresh_paths(&mut self) {
        if core::mem::take(&mut self.are_paths_stale) {
            self.change_paths();
        }
    }

    #[cold]
    fn change_paths(&mut self) {
        let is_tcp = |kind: &Kind| matches!(kind, Kind::Tcp(_));
        let flows = self.flows.iter().filter(|(_, flow)| is_tcp(&flow.kind));
        let ids: Vec<FlowId> = flows.map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.tcp_path_changed(id));
    }

    /// The first interface's IPv4 configuration.
    pub(crate) fn ipv4_config(&self) -> Option<Ipv4Config> {
        let interface = self.ip.interfaces.get(InterfaceId::FIRST.index())?;
        let (address, prefix_len) = interface.ipv4()?;
        let gateway = self.ip.routes.default_gateway(interface.id, true);
        let gateway = gateway.and_then(|gateway| match gateway {
            IpAddr::V4(gateway) => Some(gateway),
            IpAddr::V6(_) => None,
        });
        Some(Ipv4Config { address, prefix_len, gateway, dns: interface.dns.clone() })
    }
}

/// Routes.
impl Engine {
    pub(crate) fn add_route(
        &mut self,
        destination: IpAddr,
        prefix_len: u8,
        gateway: IpAddr,
    ) -> Result<(), RouteError> {
        if destination.is_ipv4() != gateway.is_ipv4() || prefix_len > prefix_len_max(destination) {
            return Err(RouteError::Invalid);
        }
        let on_link = |one: &&Interface| !one.is_loopback() && one.is_on_link(gateway);
        let interface = self.ip.interfaces.iter().find(on_link);
        let id = interface.ok_or(RouteError::GatewayUnreachable)?.id;
        self.insert_route(Route::new(destination, prefix_len, Some(gateway), id, Origin::Manual))
    }

    pub(crate) fn insert_route(&mut self, route: Route) -> Result<(), RouteError> {
        if self.ip.routes.contains(&route) {
            return Err(RouteError::Exists);
        }
        if self.ip.routes.is_full() {
            return Err(RouteError::TooMany);
        }
        self.ip.routes.insert(route);
        self.paths_changed();
        Ok(())
    }

    pub(crate) fn remove_route(
        &mut self,
        destination: IpAddr,
        prefix_len: u8,
        gateway: IpAddr,
    ) -> Result<(), RouteError> {
        if prefix_len > prefix_len_max(destination) {
            return Err(RouteError::Invalid);
        }
        let network = super::address::network(destination, prefix_len);
        let is_it = |route: &Route| {
            (route.network, route.prefix_len, route.gateway) == (network, prefix_len, Some(gateway))
        };
        if !self.ip.routes.remove(is_it) {
            return Err(RouteError::NotFound);
        }
        self.paths_changed();
        Ok(())
    }
}

/// Groups.
impl Engine {
    pub(crate) fn join_group(&mut self, id: InterfaceId, group: IpAddr) -> Result<(), JoinError> {
        let now = self.now;
        self.ip.interface_mut(id).membership.join(group, now).map_err(|error| match error {
            membership::JoinError::NotMulticast => JoinError::Invalid,
            membership::JoinError::TooMany => JoinError::TooMany,
        })?;
        self.report_groups(id);
        Ok(())
    }

    pub(crate) fn leave_group(&mut self, id: InterfaceId, group: IpAddr) {
        let now = self.now;
        self.ip.interface_mut(id).membership.leave(group, now);
        self.report_groups(id);
    }
}

/// Time.
impl Engine {
    /// Neighbours that are asked again or given up, contests that end, fragments that did not come.
    pub(crate) fn ip_timers(&mut self) {
        let now = self.now;
        while let Some(due) = self.ip.neighbours.next_due(now) {
            match due {
                Due::Ask(neighbour) => self.ip.ask(neighbour, None),
                Due::Unreachable(neighbour) => self.neighbour_unreachable(neighbour),
            }
        }
        self.stats.reassembly_timed_out += self.ip.reassembly.expire(now);
        self.ip.path_mtus.expire(now);
        self.win_addresses();
        self.run_autoconf();
    }

    pub(crate) fn ip_deadline(&mut self) -> Option<Instant> {
        let packets = earlier(self.ip.neighbours.deadline(), self.ip.reassembly.deadline());
        // The loopback interface has none.
        let interfaces = self.ip.interfaces.iter_mut().skip(1);
        interfaces.fold(packets, |first, interface| earlier(first, interface.deadline()))
    }

    /// A question was answered: whoever waited for it goes on.
    pub(crate) fn neighbour_found(&mut self, neighbour: Key) {
        self.send_waiting_lease(neighbour);
        for id in self.waiting.remove(&neighbour).unwrap_or_default() {
            let Some(flow) = self.flows.get_mut(id) else {
                continue;
            };
            match flow.queues() {
                Some(queues) => {
                    queues.outbox.unpark(neighbour);
                    self.mark_dirty_on(id, neighbour.interface);
                }
                None => self.tcp_path_changed(id),
            }
        }
    }

    /// A question was not answered: what waited for it is dropped.
    fn neighbour_unreachable(&mut self, neighbour: Key) {
        self.router_unreachable(neighbour);
        for id in self.waiting.remove(&neighbour).unwrap_or_default() {
            let Some(flow) = self.flows.get_mut(id) else {
                continue;
            };
            match flow.queues() {
                Some(queues) => {
                    let (dropped, bytes) = queues.outbox.drop_parked(neighbour);
                    self.stats.dropped_no_neighbour += dropped;
                    self.release_memory(id, bytes);
                    self.mark_dirty_on(id, neighbour.interface);
                }
                None => self.tcp_neighbour_unreachable(id),
            }
        }
    }
}
