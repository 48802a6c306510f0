//! One interface: its link, its addresses and what waits for its device.

use alloc::{collections::VecDeque, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netdev::{DeviceInfo, MacAddress, Offloads, Transmitter, TxOffload};

use super::{
    address::{self, Address, multicast_mac},
    membership::Membership,
    neighbour,
};
use crate::{
    addressing::Autoconf,
    flow::FlowId,
    time::{Instant, earlier},
    timed::Timed,
};

/// Interfaces that a stack may have, the loopback interface included: as many as a set has bits.
pub(crate) const INTERFACES_MAX: usize = u32::BITS as usize;

/// Frames of the stack's own that may wait for a device: the pieces of two of the longest datagrams
/// at an MTU of 1500, of one at the smallest.
const QUEUE_LEN_MAX: usize = 128;

/// Names an interface of a stack.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// stack.set_mtu(InterfaceId::FIRST, 1280)?;
/// let second = stack.add_interface(&world::device(), &Addressing::Manual)?;
/// assert!(second > InterfaceId::FIRST && InterfaceId::FIRST > InterfaceId::LOOPBACK);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(u8);

impl InterfaceId {
    /// The loopback interface, which every stack has.
    pub const LOOPBACK: InterfaceId = InterfaceId(0);
    /// The interface that a stack is made with.
    pub const FIRST: InterfaceId = InterfaceId(1);

    /// The interface with a number, as the zone of an IPv6 address has it (RFC 4007 section 6). Zero,
    /// the default zone, is that of the first device.
    pub(crate) fn of_zone(zone: u32) -> Option<Self> {
        match zone {
            0 => None,
            zone => u8::try_from(zone).ok().map(InterfaceId),
        }
    }

    /// The zone that its link-local addresses are shown with.
    pub(crate) fn zone(self) -> u32 {
        match self {
            InterfaceId::FIRST => 0,
            other => u32::from(other.0),
        }
    }

    pub(crate) fn new(index: usize) -> Self {
        debug_assert!(index < INTERFACES_MAX, "interfaces are limited where they are added");
        InterfaceId(index as u8)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Debug for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {}", self.0)
    }
}

/// A set of interfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct InterfaceSet(u32);

impl InterfaceSet {
    fn bit(id: InterfaceId) -> u32 {
        1 << id.index()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn contains(self, id: InterfaceId) -> bool {
        self.0 & Self::bit(id) != 0
    }

    /// Returns whether it was not there.
    pub(crate) fn insert(&mut self, id: InterfaceId) -> bool {
        let is_new = !self.contains(id);
        self.0 |= Self::bit(id);
        is_new
    }

    /// Returns whether it was there.
    pub(crate) fn remove(&mut self, id: InterfaceId) -> bool {
        let was_there = self.contains(id);
        self.0 &= !Self::bit(id);
        was_there
    }
}

#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) id: InterfaceId,
    pub(crate) mac: MacAddress,
    pub(crate) offloads: Offloads,
    /// As the device has said last.
    pub(crate) is_link_up: bool,
    /// The largest IP packet that the device carries, in bytes.
    pub(crate) device_mtu: usize,
    /// The largest that the application wants.
    pub(crate) mtu_wanted: usize,
    /// The largest that we send.
    pub(crate) mtu: usize,
    /// Best first within each family.
    pub(crate) addresses: Timed<Vec<Address>>,
    /// New ones, of which the neighbours have not heard yet.
    pub(crate) unannounced: Vec<IpAddr>,
    /// Name servers, as the IPv4 configuration has them.
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) membership: Timed<Membership>,
    pub(crate) autoconf: Timed<Autoconf>,
    /// Flows with something to send here or to settle, oldest first.
    pub(crate) dirty: VecDeque<FlowId>,
    /// The same, but not before the next turn.
    pub(crate) later: Vec<FlowId>,
    /// What is left to do waits for room in the device, which tells when there is some.
    pub(crate) is_blocked: bool,
    /// Frames of the stack's own, which go before everything else.
    queue: VecDeque<Vec<u8>>,
}

impl Interface {
    pub(crate) fn new(id: InterfaceId, info: &DeviceInfo, is_link_up: bool) -> Self {
        Interface {
            id,
            mac: info.mac,
            offloads: info.offloads,
            is_link_up,
            device_mtu: info.mtu,
            mtu_wanted: info.mtu,
            mtu: info.mtu,
            addresses: Timed::default(),
            unannounced: Vec::new(),
            dns: Vec::new(),
            membership: Timed::default(),
            autoconf: Timed::default(),
            dirty: VecDeque::new(),
            later: Vec::new(),
            is_blocked: false,
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.id == InterfaceId::LOOPBACK
    }

    /// Whether there is something to do that a turn could do.
    pub(crate) fn has_work(&self) -> bool {
        let has_flows = !(self.dirty.is_empty() && self.later.is_empty());
        let has_frames = self.has_queued() || !self.unannounced.is_empty();
        (has_flows || has_frames) && !self.is_blocked || !self.is_filtered()
    }

    /// Whether the device knows which groups are for us. The loopback interface's need not.
    fn is_filtered(&self) -> bool {
        self.membership.is_filtered() || self.is_loopback()
    }

    /// The groups that the device is to let through, if they have changed since the last call.
    pub(crate) fn multicast_filter(&mut self) -> Option<Vec<MacAddress>> {
        if self.is_filtered() {
            return None;
        }
        let mut groups = Vec::new();
        for group in self.membership.for_filter().map(multicast_mac) {
            // There are few.
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Some(groups)
    }

    /// When one of its machines has something to do.
    pub(crate) fn autoconf_deadline(&mut self) -> Option<Instant> {
        earlier(self.autoconf.deadline(), self.membership.deadline())
    }

    /// When something other than its frames has something to do.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        earlier(self.addresses.deadline(), self.autoconf_deadline())
    }

    /// Queues a frame of the stack's own. Returns whether there was room.
    pub(crate) fn enqueue(&mut self, frame: Vec<u8>) -> bool {
        let has_room = self.queue.len() < QUEUE_LEN_MAX;
        if has_room {
            self.queue.push_back(frame);
        }
        has_room
    }

    /// Whether a datagram of so many pieces may be queued.
    pub(crate) fn has_room_for(&self, frames: usize) -> bool {
        self.queue.is_empty() || self.queue.len() + frames <= QUEUE_LEN_MAX
    }

    /// Whether frames of the stack's own wait.
    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends what is queued. Returns how many bytes each frame had, until the transmitter is full.
    pub(crate) fn flush_one(&mut self, tx: &mut impl Transmitter) -> Flushed {
        if self.queue.is_empty() {
            return Flushed::Nothing;
        }
        if !tx.is_ready() {
            return Flushed::Blocked;
        }
        let frame = self.queue.pop_front().expect("the queue is not empty");
        tx.transmit(frame.len(), TxOffload::default(), |buffer| buffer.copy_from_slice(&frame));
        Flushed::Frame(frame.len())
    }

    /// Our address with that number, if it is on this interface.
    pub(crate) fn address(&self, ip: IpAddr) -> Option<&Address> {
        self.addresses.iter().find(|address| address.ip == ip)
    }

    pub(crate) fn has_address(&self, ip: IpAddr) -> bool {
        self.address(ip).is_some()
    }

    /// Whether another host may still say that an address of ours is its own (RFC 4862 section 5.4.4),
    /// or has not been asked yet.
    pub(crate) fn is_tentative(&self, ip: IpAddr) -> bool {
        let is_contested = |own: &Address| own.contested_until.is_some();
        self.unannounced.contains(&ip) || self.address(ip).is_some_and(is_contested)
    }

    /// The first IPv4 address.
    pub(crate) fn ipv4(&self) -> Option<(Ipv4Addr, u8)> {
        self.addresses.iter().find_map(|address| match address.ip {
            IpAddr::V4(ip) => Some((ip, address.prefix_len)),
            IpAddr::V6(_) => None,
        })
    }

    /// The link-local IPv6 address.
    pub(crate) fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(ip),
            _ => None,
        })
    }

    pub(crate) fn is_on_link(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.covers(ip))
    }

    pub(crate) fn is_broadcast(&self, ip: Ipv4Addr) -> bool {
        ip.is_broadcast() || self.addresses.iter().any(|address| address.broadcast() == Some(ip))
    }

    /// Whether packets for a group are taken.
    pub(crate) fn is_member(&self, group: IpAddr) -> bool {
        self.membership.contains(group)
    }

    /// The address to talk to `destination` from, by way of `next_hop` (RFC 6724 section 5).
    pub(crate) fn source_for(&self, destination: IpAddr, next_hop: IpAddr) -> Option<IpAddr> {
        address::choose_source(&self.addresses, destination, next_hop)
    }

    pub(crate) fn key(&self, ip: IpAddr) -> neighbour::Key {
        neighbour::Key { interface: self.id, ip }
    }
}

/// What [`Interface::flush_one`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    Nothing,
    Blocked,
    /// So many bytes.
    Frame(usize),
}
