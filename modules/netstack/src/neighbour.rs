//! Neighbours: what the interface does not do by itself (RFC 826, RFC 4861).
//!
//! smoltcp keeps the cache and asks, but at most once in 200 ms whoever it is for. So a question that
//! it holds back is asked here, once a second for each neighbour, as RFC 1122 section 2.3.2.1 has it.

use alloc::collections::BTreeMap;
use core::{net::IpAddr, time::Duration};

use netdev::Transmitter;
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::{
    engine::Engine,
    flow::{FlowId, Kind},
    reply,
    time::Instant,
};

/// How soon the same neighbour may be asked for again.
pub(crate) const NEIGHBOUR_RETRY: Duration = Duration::from_secs(1);

/// Neighbours remembered as asked for: more than can be asked for in earnest within a second. Beyond
/// it questions wait for smoltcp.
const ASKED_MAX: usize = 256;

/// When which neighbour was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked(BTreeMap<IpAddr, Instant>);

impl Asked {
    /// Whether to ask now; then it counts as asked.
    fn may_ask(&mut self, neighbour: IpAddr, now: Instant) -> bool {
        if self.0.len() >= ASKED_MAX {
            self.0.retain(|_, asked| *asked + NEIGHBOUR_RETRY > now);
        }
        let is_due = self.0.get(&neighbour).is_none_or(|asked| *asked + NEIGHBOUR_RETRY <= now);
        let may_ask = is_due && self.0.len() < ASKED_MAX;
        if may_ask {
            self.0.insert(neighbour, now);
        }
        may_ask
    }
}

impl Engine {
    /// Asks for the neighbour that packets to `remote` go to. `has_asked` if smoltcp has just done so.
    /// IPv6 is left to smoltcp.
    pub(crate) fn ask_for_neighbour(
        &mut self,
        remote: IpAddr,
        has_asked: bool,
        tx: &mut impl Transmitter,
    ) {
        let HardwareAddress::Ethernet(mac) = self.iface.hardware_addr();
        let (Some(IpAddr::V4(target)), Some(source)) =
            (self.next_hop(remote), self.ipv4.as_ref().map(|config| config.address))
        else {
            return;
        };
        if tx.is_ready() && self.asked.may_ask(target.into(), self.now) && !has_asked {
            let activity = reply::ask_for_neighbour(mac, source, target, tx);
            self.count_sent(&activity);
        }
    }

    /// Whom a TCP flow or the DHCP client talks to, if that is one host.
    pub(crate) fn peer_of(&self, id: FlowId) -> Option<IpAddr> {
        match &self.flows[id].kind {
            Kind::Tcp(flow) => Some(flow.tuple.remote.ip()),
            Kind::Dhcp => self.dhcp_server.map(IpAddr::V4),
            Kind::Udp(_) => None,
        }
    }

    /// The neighbour that packets to `remote` go to, if there is a way.
    pub(crate) fn next_hop(&self, remote: IpAddr) -> Option<IpAddr> {
        let is_on_link = |cidr: &IpCidr| cidr.contains_addr(&remote.into());
        if self.iface.ip_addrs().iter().any(is_on_link) {
            return Some(remote);
        }
        let gateway = self.ipv4.as_ref().and_then(|config| config.gateway);
        gateway.filter(|_| remote.is_ipv4()).map(IpAddr::V4)
    }
}
