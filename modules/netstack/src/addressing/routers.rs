//! What routers advertise, applied (RFC 4861 section 6.3, RFC 4862 section 5.5).

use core::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::NdiscRepr;

use crate::{
    engine::Engine,
    ip::{
        InterfaceId, NeighbourKey, Origin, Packet, Route, multicast_mac, ndp,
        slaac::{Output, Slaac},
    },
    stats::{Reason, Verdict},
};

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// What interface identifiers are derived from beside the station's address (RFC 7217 section 5).
/// Nothing outlives a boot that a secret could be kept in, and a server whose address changes at
/// every boot cannot be found; so they are opaque, not secret.
const IDENTIFIER_KEY: [u64; 2] = [0x6178_7769_7265_2d36, 0x7374_6162_6c65_2d69];

impl Engine {
    pub(crate) fn discover_routers(&mut self, id: InterfaceId) {
        let now = self.now;
        let interface = self.ip.interface_mut(id);
        let mtu_max = u32::try_from(interface.device_mtu).unwrap_or(u32::MAX);
        let slaac = Slaac::new(IDENTIFIER_KEY, interface.mac, mtu_max, now);
        interface.autoconf.slaac = Some(slaac);
    }

    pub(crate) fn router_advertisement(
        &mut self,
        packet: &Packet<'_>,
        source: Ipv6Addr,
    ) -> Verdict {
        let now = self.now;
        let (hop_limit, message) = (packet.hop_limit, packet.payload);
        let slaac = self.ip.interface_mut(packet.interface).autoconf.slaac.as_mut();
        if !slaac.is_some_and(|slaac| slaac.on_advert(source, hop_limit, message, now)) {
            return Verdict::Dropped(Reason::MalformedNdp);
        }
        self.run_router_discovery(packet.interface);
        Verdict::Delivered
    }

    pub(super) fn run_router_discovery(&mut self, id: InterfaceId) {
        loop {
            let now = self.now;
            let slaac = self.ip.interface_mut(id).autoconf.slaac.as_mut();
            match slaac.and_then(|slaac| slaac.poll(now)) {
                Some(output) => self.apply_advertised(id, output),
                None => return,
            }
        }
    }

    fn apply_advertised(&mut self, id: InterfaceId, output: Output) {
        match output {
            Output::SolicitRouters => self.solicit_routers(id),
            // The interface has its link-local address from the beginning (RFC 4291 appendix A).
            Output::AddAddress { address, .. } if address.is_unicast_link_local() => {}
            Output::AddAddress { address, prefix_len } => {
                let added = self.add_address(id, address.into(), prefix_len, Origin::Slaac);
                if let Err(error) = added {
                    log::warn!("{address}: {error}");
                }
            }
            Output::SetDeprecated { address, is_deprecated } => {
                let addresses = &mut self.ip.interface_mut(id).addresses;
                let own = addresses.iter_mut().find(|own| own.ip == IpAddr::V6(address));
                if let Some(own) = own {
                    own.is_deprecated = is_deprecated;
                }
            }
            Output::RemoveAddress(address) => self.drop_address(id, address.into()),
            Output::AddPrefix { prefix, prefix_len } => {
                self.advertised_route(Route::new(
                    prefix.into(),
                    prefix_len,
                    None,
                    id,
                    Origin::Slaac,
                ));
            }
            Output::RemovePrefix { prefix, prefix_len } => {
                let gone = Route::new(prefix.into(), prefix_len, None, id, Origin::Slaac);
                self.ip.routes.remove(|route| *route == gone);
                self.paths_changed();
            }
            Output::DefaultRouter(router) => self.set_default_router(id, router),
            Output::DnsServers(servers) => {
                self.ip.interface_mut(id).autoconf.advertised_dns = servers;
                self.update_name_servers();
            }
            Output::Mtu(mtu) => {
                let mtu = usize::try_from(mtu).ok();
                self.ip.interface_mut(id).autoconf.advertised_mtu = mtu;
                self.update_mtu(id);
            }
            // Ours is what RFC 1700 recommends; sockets that want another one say so.
            Output::HopLimit(_) => {}
        }
    }

    fn set_default_router(&mut self, id: InterfaceId, router: Option<Ipv6Addr>) {
        self.ip.routes.remove(|route| {
            (route.interface, route.origin, route.prefix_len) == (id, Origin::Slaac, 0)
        });
        if let Some(router) = router {
            let everything = Ipv6Addr::UNSPECIFIED.into();
            self.advertised_route(Route::new(
                everything,
                0,
                Some(router.into()),
                id,
                Origin::Slaac,
            ));
        }
        self.paths_changed();
    }

    fn advertised_route(&mut self, route: Route) {
        if let Err(error) = self.insert_route(route) {
            log::warn!("a route that a router advertises: {error}");
        }
    }

    /// RFC 4861 section 6.3.7.
    fn solicit_routers(&mut self, id: InterfaceId) {
        let interface = self.ip.interface(id);
        let source = interface.link_local().filter(|ip| !interface.is_tentative((*ip).into()));
        let lladdr = source.map(|_| ndp::lladdr(interface.mac));
        let source = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let station = multicast_mac(ALL_ROUTERS.into());
        let solicitation = NdiscRepr::RouterSolicit { lladdr };
        let frame = ndp::message(interface.mac, station, source, ALL_ROUTERS, solicitation);
        self.ip.enqueue(id, frame);
    }

    /// Another host has an address of ours: routers' prefixes have others for us.
    pub(crate) fn address_lost(&mut self, id: InterfaceId, address: Ipv6Addr) {
        if let Some(slaac) = &mut self.ip.interface_mut(id).autoconf.slaac {
            slaac.on_duplicate(address);
        }
        self.run_router_discovery(id);
    }

    /// A neighbour does not answer: if it is a router, another one is used.
    pub(crate) fn router_unreachable(&mut self, neighbour: NeighbourKey) {
        if let IpAddr::V6(ip) = neighbour.ip
            && let Some(slaac) = &mut self.ip.interface_mut(neighbour.interface).autoconf.slaac
        {
            slaac.on_router_unreachable(ip);
            self.run_router_discovery(neighbour.interface);
        }
    }
}
