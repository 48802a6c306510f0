//! What can be set on a UDP socket, and the groups that it is in.

use core::net::IpAddr;

use super::UdpFlow;
use crate::{
    engine::Engine,
    error::JoinError,
    flow::{FlowId, Kind},
    ip::InterfaceId,
};

/// Groups that one socket may be in, as Linux has it.
const MEMBERSHIPS_MAX: usize = 20;

/// How a socket sends to groups.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
/// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
/// here.set_multicast(Multicast { is_looped: false, ..Multicast::default() });
/// assert_eq!(here.multicast().hop_limit, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multicast {
    /// How far: 1, the default, is this link (RFC 1112 section 6.1).
    pub hop_limit: u8,
    /// Members on this host get a copy; the default.
    pub is_looped: bool,
    /// By which interface; by default where the default route goes.
    pub interface: Option<InterfaceId>,
}

impl Default for Multicast {
    fn default() -> Self {
        Multicast { hop_limit: 1, is_looped: true, interface: None }
    }
}

/// A group that a socket is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) group: IpAddr,
    pub(crate) interface: InterfaceId,
}

impl Engine {
    /// Reads or changes a socket's options.
    pub(crate) fn udp_option<R>(
        &mut self,
        id: FlowId,
        access: impl FnOnce(&mut UdpFlow) -> R,
    ) -> R {
        match &mut self.flows[id].kind {
            Kind::Udp(udp) => access(udp),
            _ => unreachable!("a UDP socket's flow is one of UDP"),
        }
    }

    pub(crate) fn udp_join(
        &mut self,
        id: FlowId,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), JoinError> {
        let membership = self.membership(id, group, interface)?;
        let memberships = self.udp_option(id, |udp| udp.memberships.clone());
        if memberships.contains(&membership) {
            return Err(JoinError::Exists);
        }
        if memberships.len() >= MEMBERSHIPS_MAX {
            return Err(JoinError::TooMany);
        }
        self.join_group(membership.interface, group)?;
        self.udp_option(id, |udp| udp.memberships.push(membership));
        Ok(())
    }

    pub(crate) fn udp_leave(
        &mut self,
        id: FlowId,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), JoinError> {
        let membership = self.membership(id, group, interface)?;
        let was_member = self.udp_option(id, |udp| {
            let before = udp.memberships.len();
            udp.memberships.retain(|other| *other != membership);
            udp.memberships.len() < before
        });
        if !was_member {
            return Err(JoinError::NotFound);
        }
        self.leave_group(membership.interface, group);
        Ok(())
    }

    pub(crate) fn leave_all(&mut self, id: FlowId) {
        let memberships = self.udp_option(id, |udp| core::mem::take(&mut udp.memberships));
        for Membership { group, interface } in memberships {
            self.leave_group(interface, group);
        }
    }

    fn membership(
        &mut self,
        id: FlowId,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<Membership, JoinError> {
        let speaks = self.udp_option(id, |udp| udp.speaks(group));
        if !group.is_multicast() || !speaks {
            return Err(JoinError::Invalid);
        }
        let path = self.ip.route_via(group, None, interface);
        // The loopback interface has members, but no routes to groups.
        let chosen = interface.or(path.map(|path| path.interface)).ok_or(JoinError::NoInterface)?;
        match self.ip.interfaces.get(chosen.index()) {
            Some(_) => Ok(Membership { group, interface: chosen }),
            None => Err(JoinError::NoInterface),
        }
    }
}
