//! UDP (RFC 768): who may have which port, and what is sent from it.

mod input;
mod options;
mod ports;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::wire::IpProtocol;

pub use self::options::Multicast;
pub(crate) use self::{options::Membership, ports::Ports};
use crate::{
    datagram::{Datagram, Queues, Received, SOCKET_MEMORY},
    engine::Engine,
    error::{BindError, ConnectError, RecvError, SendError},
    flow::{Flow, FlowId, Kind, Tuple},
    ip::{HOP_LIMIT_DEFAULT, Header, InterfaceId, Path, to_canonical},
    stack::Interest,
};

/// The longest payload of an IPv4 datagram: 65,535 bytes less two headers.
const PAYLOAD_LEN_MAX_IPV4: usize = 65_507;
/// The same of IPv6, whose length does not count its header.
const PAYLOAD_LEN_MAX_IPV6: usize = 65_527;

#[derive(Debug)]
pub(crate) struct UdpFlow {
    /// Port 0 if it has none yet.
    pub(crate) local: SocketAddr,
    /// What the application bound it to, before a connection chose the address.
    bound: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) queues: Queues,
    /// The peer's port is nobody's; told once.
    is_refused: bool,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    /// An IPv6 socket that takes no IPv4.
    pub(crate) only_v6: bool,
    pub(crate) may_broadcast: bool,
    pub(crate) hop_limit: u8,
    pub(crate) multicast: Multicast,
    memberships: Vec<Membership>,
}

impl UdpFlow {
    fn new(local: SocketAddr) -> Self {
        UdpFlow {
            local,
            bound: local,
            remote: None,
            queues: Queues::default(),
            is_refused: false,
            reuse_address: false,
            reuse_port: false,
            only_v6: false,
            may_broadcast: false,
            hop_limit: HOP_LIMIT_DEFAULT,
            multicast: Multicast::default(),
            memberships: Vec::new(),
        }
    }

    /// Whether it takes IPv4 beside IPv6.
    fn is_dual(&self) -> bool {
        self.local.is_ipv6() && !self.only_v6 && self.local.ip().is_unspecified()
    }

    /// The peer as an IPv4 address if it is one.
    fn canonical(&self, remote: SocketAddr) -> SocketAddr {
        match to_canonical(remote.ip()) {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), remote.port()),
            IpAddr::V6(_) => remote,
        }
    }

    /// Whether the socket speaks the IP version of a canonical address.
    fn speaks(&self, ip: IpAddr) -> bool {
        let is_dual = !self.only_v6 && self.bound.ip().is_unspecified();
        self.bound.is_ipv4() == ip.is_ipv4() || (ip.is_ipv4() && is_dual)
    }

    /// An address as the application sees it: an IPv6 socket sees IPv4 mapped (RFC 4291 section
    /// 2.5.5.2).
    fn shown(&self, address: SocketAddr, interface: InterfaceId) -> SocketAddr {
        match (self.bound.is_ipv6(), address) {
            (true, SocketAddr::V4(address)) => {
                SocketAddr::new(address.ip().to_ipv6_mapped().into(), address.port())
            }
            (_, SocketAddr::V6(mut address)) if address.ip().is_unicast_link_local() => {
                address.set_scope_id(interface.zone());
                address.into()
            }
            _ => address,
        }
    }
}

/// Life.
impl Engine {
    /// A socket without a port.
    pub(crate) fn new_udp(&mut self, is_ipv4: bool) -> Result<FlowId, BindError> {
        if !self.budget.reserve(SOCKET_MEMORY) {
            return Err(BindError::NoMemory);
        }
        let local = SocketAddr::new(unspecified(is_ipv4), 0);
        Ok(self.flows.insert(Flow::new(Kind::Udp(UdpFlow::new(local)), SOCKET_MEMORY)))
    }

    /// Binds a socket to `local`; port 0 chooses one.
    pub(crate) fn bind_udp(&mut self, id: FlowId, local: SocketAddr) -> Result<(), BindError> {
        let Some(udp) = self.flows[id].udp() else {
            return Err(BindError::WrongFamily);
        };
        if udp.local.port() != 0 {
            return Err(BindError::Bound);
        }
        if udp.local.is_ipv4() != local.is_ipv4() {
            return Err(BindError::WrongFamily);
        }
        let ip = local.ip();
        if !(ip.is_unspecified() || ip.is_multicast() || self.ip.is_ours(ip)) {
            return Err(BindError::NotOurs);
        }
        let is_free = |engine: &Self, port| engine.may_bind(id, SocketAddr::new(ip, port));
        let port = match local.port() {
            0 => self.ephemeral_port(is_free).ok_or(BindError::NoPorts)?,
            port if is_free(self, port) => port,
            _ => return Err(BindError::InUse),
        };
        if let Some(udp) = self.flows[id].udp() {
            udp.bound = with_port(local, port);
            udp.local = udp.bound;
        }
        self.udp_ports.insert(port, id);
        Ok(())
    }

    /// Whether the sockets that have a port let another one have it: with another address, or because
    /// all agree to share it.
    fn may_bind(&self, id: FlowId, wanted: SocketAddr) -> bool {
        let Kind::Udp(socket) = &self.flows[id].kind else {
            return false;
        };
        let shares = |other: &UdpFlow| {
            (other.reuse_address && socket.reuse_address) || (other.reuse_port && socket.reuse_port)
        };
        if self.resolver_owns(wanted.port()) {
            return false;
        }
        self.udp_ports.all(wanted.port()).all(|other| match &self.flows[other].kind {
            Kind::Udp(other) => other.bound.ip() != wanted.ip() || shares(other),
            _ => true,
        })
    }

    /// Takes datagrams from `remote` only from now on, and sends there by default.
    pub(crate) fn connect_udp(
        &mut self,
        id: FlowId,
        remote: SocketAddr,
    ) -> Result<(), ConnectError> {
        let Some(udp) = self.flows[id].udp() else {
            return Err(ConnectError::Invalid);
        };
        let target = udp.canonical(remote);
        if !udp.speaks(target.ip()) || target.port() == 0 || target.ip().is_unspecified() {
            return Err(ConnectError::Invalid);
        }
        let source = Some(to_canonical(udp.bound.ip())).filter(is_single);
        let path = self.ip.route_via(target.ip(), source, zone_of(remote));
        let path = path.ok_or(ConnectError::Unreachable)?;
        if self.is_unbound(id) {
            self.autobind(id).map_err(|error| match error {
                BindError::NoMemory => ConnectError::NoMemory,
                _ => ConnectError::NoPorts,
            })?;
        }
        self.disconnect_udp(id);
        let Some(udp) = self.flows[id].udp() else {
            return Err(ConnectError::Invalid);
        };
        let local = SocketAddr::new(path.source, udp.local.port());
        let tuple = Tuple { local, remote: SocketAddr::new(target.ip(), target.port()) };
        if !self.udp_ports.connect(id, tuple) {
            return Err(ConnectError::InUse);
        }
        if let Some(udp) = self.flows[id].udp() {
            udp.local = local;
            udp.remote = Some(with_zone(target, path.interface));
        }
        Ok(())
    }

    /// Takes datagrams from everybody again.
    pub(crate) fn disconnect_udp(&mut self, id: FlowId) {
        let Some(udp) = self.flows[id].udp() else {
            return;
        };
        udp.is_refused = false;
        let (local, bound) = (udp.local, udp.bound);
        if let Some(remote) = udp.remote.take() {
            udp.local = bound;
            let remote = SocketAddr::new(remote.ip(), remote.port());
            self.udp_ports.disconnect(id, Tuple { local, remote });
        }
    }

    fn is_unbound(&mut self, id: FlowId) -> bool {
        self.flows[id].udp().is_some_and(|udp| udp.local.port() == 0)
    }

    fn autobind(&mut self, id: FlowId) -> Result<(), BindError> {
        let is_ipv4 = self.flows[id].udp().is_some_and(|udp| udp.bound.is_ipv4());
        self.bind_udp(id, SocketAddr::new(unspecified(is_ipv4), 0))
    }

    /// The application lets go of a socket: its port is free at once, for whoever binds next.
    pub(crate) fn release_udp(&mut self, id: FlowId) {
        self.disconnect_udp(id);
        self.leave_all(id);
        self.release_udp_port(id);
        self.orphan(id);
    }

    fn release_udp_port(&mut self, id: FlowId) {
        if let Some(udp) = self.flows[id].udp() {
            let port = udp.local.port();
            self.udp_ports.remove(port, id);
        }
    }
}

/// What the application asks for.
impl Engine {
    pub(crate) fn udp_send(
        &mut self,
        id: FlowId,
        data: &[u8],
        remote: Option<SocketAddr>,
    ) -> Result<(), SendError> {
        let Some(udp) = self.flows[id].udp() else {
            return Err(SendError::Invalid);
        };
        if core::mem::take(&mut udp.is_refused) {
            return Err(SendError::Refused);
        }
        let remote = remote.or(udp.remote).ok_or(SendError::NotConnected)?;
        let target = udp.canonical(remote);
        if target.port() == 0 || target.ip().is_unspecified() || !udp.speaks(target.ip()) {
            return Err(SendError::Invalid);
        }
        let len_max = if target.is_ipv4() { PAYLOAD_LEN_MAX_IPV4 } else { PAYLOAD_LEN_MAX_IPV6 };
        if data.len() > len_max {
            return Err(SendError::TooLong);
        }
        let may_broadcast = udp.may_broadcast;
        if !may_broadcast && self.ip.is_broadcast(target.ip()) {
            return Err(SendError::NoBroadcast);
        }
        let path = self.udp_path(id, remote, target).ok_or(SendError::Unreachable)?;
        if self.is_unbound(id) {
            self.autobind(id).map_err(|_| SendError::NoPorts)?;
        }
        let datagram = self.datagram(id, path, target, data);
        self.queue_datagram(id, datagram)
    }

    fn udp_path(&mut self, id: FlowId, remote: SocketAddr, target: SocketAddr) -> Option<Path> {
        let udp = self.flows[id].udp()?;
        let local = to_canonical(udp.local.ip());
        let source = Some(local).filter(is_single).filter(|ip| ip.is_ipv4() == target.is_ipv4());
        let is_group = target.ip().is_multicast();
        let via = zone_of(remote).or(udp.multicast.interface.filter(|_| is_group));
        self.ip.route_via(target.ip(), source, via)
    }

    fn datagram(&mut self, id: FlowId, path: Path, to: SocketAddr, data: &[u8]) -> Datagram {
        let Kind::Udp(udp) = &self.flows[id].kind else {
            unreachable!("udp_send has looked");
        };
        let is_group = to.ip().is_multicast();
        let hop_limit = if is_group { udp.multicast.hop_limit } else { udp.hop_limit };
        Datagram {
            interface: path.interface,
            header: Header {
                source: path.source,
                destination: to.ip(),
                protocol: IpProtocol::Udp,
                hop_limit,
            },
            ports: Some((udp.local.port(), to.port())),
            is_looped: udp.multicast.is_looped,
            data: data.into(),
            give_up: None,
        }
    }

    pub(crate) fn udp_recv(
        &mut self,
        id: FlowId,
        buffer: &mut [u8],
        is_peek: bool,
    ) -> Result<Received, RecvError> {
        if let Some(udp) = self.flows[id].udp()
            && core::mem::take(&mut udp.is_refused)
        {
            return Err(RecvError::Refused);
        }
        self.receive(id, buffer, is_peek).map(|(received, _)| received)
    }

    /// Whether receiving, or sending (to its peer, if it has one, else to somebody), would not block.
    pub(crate) fn is_udp_ready(&self, id: FlowId, interest: Interest) -> bool {
        let Kind::Udp(udp) = &self.flows[id].kind else {
            return true;
        };
        let is_served = match interest {
            Interest::Read => udp.queues.inbox.first().is_some(),
            Interest::Write => {
                let peer = udp.remote.map(|remote| udp.canonical(remote).ip());
                udp.queues.outbox.takes(peer)
            }
        };
        udp.is_refused || is_served
    }

    pub(crate) fn udp_local(&self, id: FlowId) -> SocketAddr {
        match &self.flows[id].kind {
            Kind::Udp(udp) => udp.shown(udp.local, InterfaceId::FIRST),
            _ => SocketAddr::new(unspecified(true), 0),
        }
    }

    pub(crate) fn udp_peer(&self, id: FlowId) -> Option<SocketAddr> {
        match &self.flows[id].kind {
            Kind::Udp(udp) => udp.remote.map(|remote| udp.shown(remote, InterfaceId::FIRST)),
            _ => None,
        }
    }
}

fn unspecified(is_ipv4: bool) -> IpAddr {
    if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Whether packets can come from an address that a socket is bound to.
fn is_single(ip: &IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The interface that an address names by its zone.
pub(crate) fn zone_of(address: SocketAddr) -> Option<InterfaceId> {
    match address {
        SocketAddr::V6(address) => InterfaceId::of_zone(address.scope_id()),
        SocketAddr::V4(_) => None,
    }
}

fn with_zone(address: SocketAddr, interface: InterfaceId) -> SocketAddr {
    match address {
        SocketAddr::V6(mut address) if address.ip().is_unicast_link_local() => {
            address.set_scope_id(interface.zone());
            address.into()
        }
        _ => address,
    }
}
