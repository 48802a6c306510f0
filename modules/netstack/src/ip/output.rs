//! Where a packet goes, and how it gets there.

use alloc::{vec, vec::Vec};
use core::{cmp::Reverse, net::IpAddr};

use netdev::{
    ETHERNET_HEADER_LEN, MacAddress, PartialChecksum, Segmentation, Transmitter, TxOffload,
};
use smoltcp::wire::IpProtocol;

use super::{
    Packet,
    address::multicast_mac,
    arp, fragment,
    header::{Header, emit_ethernet},
    icmp::RateLimit,
    interface::{Flushed, Interface, InterfaceId},
    ndp,
    neighbour::{Key, Neighbours, Resolution},
    pmtu::PathMtus,
    reassembly::Reassembly,
    route::Routes,
};
use crate::{
    hash::{Keyed, TableHasher},
    time::Instant,
};

/// What all interfaces share.
#[derive(Debug)]
pub(crate) struct Ip {
    /// By their numbers; the first one is the loopback interface.
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) routes: Routes,
    pub(crate) neighbours: Neighbours,
    pub(crate) path_mtus: PathMtus,
    pub(crate) reassembly: Reassembly,
    pub(crate) error_limit: RateLimit,
    pub(crate) idents: fragment::Idents,
    pub(crate) sent: Sent,
}

/// What has been sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Frames of the stack's own that found no room in the queue.
    pub(crate) queue_full: u64,
}

/// How packets to a destination go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) interface: InterfaceId,
    pub(crate) source: IpAddr,
    pub(crate) next_hop: IpAddr,
    /// The largest IP packet, in bytes.
    pub(crate) mtu: usize,
}

/// What follows the IP header, and what of it is left to the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// Length in bytes.
    pub(crate) len: usize,
    /// The checksum, whose field is so many bytes behind the beginning of the transport's header.
    pub(crate) checksum_at: Option<u16>,
    pub(crate) cut: Option<Cut>,
}

/// How a packet is cut into segments; both in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) transport_header_len: usize,
    pub(crate) payload_len: u16,
}

impl Body {
    /// One that leaves nothing to the device.
    pub(crate) fn whole(len: usize) -> Self {
        Body { len, ..Body::default() }
    }

    fn offload(&self, header: &Header) -> TxOffload {
        // Headers are some hundred bytes long.
        let start = (ETHERNET_HEADER_LEN + header.len()) as u16;
        TxOffload {
            checksum: self.checksum_at.map(|offset| PartialChecksum { start, offset }),
            segmentation: self.cut.map(|cut| Segmentation {
                payload_len: cut.payload_len,
                header_len: start + cut.transport_header_len as u16,
                is_ipv4: header.destination.is_ipv4(),
            }),
        }
    }
}

/// The next hop's station is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) neighbour: Key,
    /// It has been asked for, so that there will be an answer or an end to it. Otherwise too many
    /// others are being asked for: try again later.
    pub(crate) is_asked: bool,
}

impl Ip {
    /// Without interfaces.
    pub(crate) fn new(hasher: TableHasher, secret: Keyed) -> Self {
        Ip {
            interfaces: Vec::new(),
            routes: Routes::default(),
            neighbours: Neighbours::new(hasher),
            path_mtus: PathMtus::new(hasher),
            reassembly: Reassembly::default(),
            error_limit: RateLimit::default(),
            idents: fragment::Idents::new(secret),
            sent: Sent::default(),
        }
    }

    pub(crate) fn interface(&self, id: InterfaceId) -> &Interface {
        &self.interfaces[id.index()]
    }

    pub(crate) fn interface_mut(&mut self, id: InterfaceId) -> &mut Interface {
        &mut self.interfaces[id.index()]
    }

    /// Whether an address is one of ours, on whatever interface.
    pub(crate) fn is_ours(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.owner(ip).is_some()
    }

    /// The interface that has an address of ours.
    pub(crate) fn owner(&self, ip: IpAddr) -> Option<InterfaceId> {
        if ip.is_loopback() {
            return Some(InterfaceId::LOOPBACK);
        }
        self.interfaces.iter().find(|interface| interface.has_address(ip)).map(|owner| owner.id)
    }

    /// Whether packets to an address go to all hosts of a network (RFC 919).
    pub(crate) fn is_broadcast(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => {
                ip.is_broadcast() || self.interfaces.iter().any(|one| one.is_broadcast(ip))
            }
            IpAddr::V6(_) => false,
        }
    }

    /// The way to `destination`, from `source` if that is given: then by its interface (RFC 1122
    /// section 3.3.4.2, the strong host model).
    pub(crate) fn route(&self, destination: IpAddr, source: Option<IpAddr>) -> Option<Path> {
        self.route_via(destination, source, None)
    }

    /// The same by a certain interface, if one is given.
    pub(crate) fn route_via(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        via: Option<InterfaceId>,
    ) -> Option<Path> {
        let is_other_family = |source: IpAddr| source.is_ipv4() != destination.is_ipv4();
        if destination.is_unspecified() || source.is_some_and(is_other_family) {
            return None;
        }
        if self.is_ours(destination) {
            return self.route_to_ourselves(destination, source);
        }
        let owner = match source {
            Some(source) => Some(self.owner(source)?),
            None => None,
        };
        let only = via.or(owner);
        let is_allowed = |id| only.is_none_or(|only| only == id);
        let (id, next_hop) = match self.is_group(destination) {
            true => (only.or_else(|| self.group_interface(destination))?, destination),
            false => self.unicast_hop(destination, is_allowed)?,
        };
        let interface = self.interfaces.get(id.index()).filter(|one| !one.is_loopback())?;
        let source = source.or_else(|| interface.source_for(destination, next_hop))?;
        Some(Path { interface: id, source, next_hop, mtu: self.path_mtu(id, destination) })
    }

    /// The largest IP packet that gets to a destination by way of an interface, in bytes.
    pub(crate) fn path_mtu(&self, id: InterfaceId, destination: IpAddr) -> usize {
        let mtu = self.interface(id).mtu;
        self.path_mtus.get(destination).map_or(mtu, |path| path.min(mtu))
    }

    fn is_group(&self, destination: IpAddr) -> bool {
        destination.is_multicast() || destination == IpAddr::from([255; 4])
    }

    fn route_to_ourselves(&self, destination: IpAddr, source: Option<IpAddr>) -> Option<Path> {
        let mtu = self.interface(InterfaceId::LOOPBACK).mtu;
        let source = source.unwrap_or(destination);
        Some(Path { interface: InterfaceId::LOOPBACK, source, next_hop: destination, mtu })
    }

    fn unicast_hop(
        &self,
        destination: IpAddr,
        is_allowed: impl Fn(InterfaceId) -> bool,
    ) -> Option<(InterfaceId, IpAddr)> {
        let on_link = self.interfaces.iter().filter(|one| is_allowed(one.id)).flat_map(|one| {
            let prefix = one.addresses.iter().filter(|address| address.covers(destination));
            prefix.map(|address| (address.prefix_len, Reverse(one.id)))
        });
        let on_link = on_link.max().map(|(len, Reverse(id))| (len, id));
        let route = self.routes.lookup(destination, is_allowed);
        match (on_link, route) {
            (Some((len, id)), route) if route.is_none_or(|route| route.prefix_len <= len) => {
                Some((id, destination))
            }
            (_, Some(route)) => Some((route.interface, route.gateway.unwrap_or(destination))),
            (_, None) => None,
        }
    }

    /// Where packets to a group go when nobody says: where the default route goes, else by the first
    /// interface that has an address.
    fn group_interface(&self, group: IpAddr) -> Option<InterfaceId> {
        let has_address = |one: &&Interface| {
            !one.is_loopback()
                && one.addresses.iter().any(|own| own.ip.is_ipv4() == group.is_ipv4())
        };
        let first = || self.interfaces.iter().find(has_address).map(|one| one.id);
        self.routes.default_interface(group.is_ipv4()).or_else(first)
    }

    /// Sends a packet to a station; `write` writes its body. At most the MTU, unless it is to be cut.
    /// The transmitter must be ready.
    pub(crate) fn transmit_to(
        &mut self,
        id: InterfaceId,
        to: MacAddress,
        header: &Header,
        body: Body,
        tx: &mut impl Transmitter,
        write: impl FnOnce(&mut [u8]),
    ) {
        let from = self.interface(id).mac;
        let ident = if header.may_be_cut() { self.idents.next(header) } else { 0 };
        let header_len = header.len();
        let frame_len = ETHERNET_HEADER_LEN + header_len + body.len;
        tx.transmit(frame_len, body.offload(header), |frame| {
            let packet = emit_ethernet(frame, from, to, header.ethertype());
            header.emit(packet, body.len, ident);
            write(&mut packet[header_len..]);
        });
        self.count_sent(frame_len);
    }

    /// Answers a packet by the way it came, whatever the neighbour table knows. The answer must fit
    /// one packet, and the transmitter must be ready.
    pub(crate) fn reply(
        &mut self,
        packet: &Packet<'_>,
        (protocol, hop_limit): (IpProtocol, u8),
        len: usize,
        tx: &mut impl Transmitter,
        write: impl FnOnce(&mut [u8]),
    ) {
        let (source, destination) = (packet.destination, packet.source);
        let header = Header { source, destination, protocol, hop_limit };
        let body = Body::whole(len);
        self.transmit_to(packet.interface, packet.link.theirs, &header, body, tx, write);
    }

    /// Queues a packet to a station, in pieces if it is longer than `mtu`. Returns whether there was
    /// room.
    pub(crate) fn enqueue_packet(
        &mut self,
        id: InterfaceId,
        to: MacAddress,
        header: &Header,
        mtu: usize,
        payload: &[u8],
    ) -> bool {
        let ident = self.idents.next(header);
        let interface = &mut self.interfaces[id.index()];
        let frames = fragment::cut(interface.mac, to, header, mtu, ident, payload);
        let has_room = interface.has_room_for(frames.len());
        match has_room {
            true => frames.into_iter().for_each(|frame| {
                interface.enqueue(frame);
            }),
            false => self.sent.queue_full += 1,
        }
        has_room
    }

    /// The station that a packet goes to.
    pub(crate) fn resolve(
        &mut self,
        id: InterfaceId,
        header: &Header,
        now: Instant,
    ) -> Result<MacAddress, Unresolved> {
        let interface = &self.interfaces[id.index()];
        let destination = header.destination;
        if interface.is_loopback() {
            return Ok(interface.mac);
        }
        match destination {
            _ if destination.is_multicast() => return Ok(multicast_mac(destination)),
            IpAddr::V4(ip) if interface.is_broadcast(ip) => return Ok([0xff; 6]),
            _ => {}
        }
        let next_hop = self.next_hop(interface.id, destination);
        self.resolve_hop(id, next_hop, now)
    }

    /// The station that a next hop is, which is one host.
    pub(crate) fn resolve_hop(
        &mut self,
        id: InterfaceId,
        next_hop: IpAddr,
        now: Instant,
    ) -> Result<MacAddress, Unresolved> {
        let interface = &self.interfaces[id.index()];
        if interface.is_loopback() {
            return Ok(interface.mac);
        }
        let neighbour = interface.key(next_hop);
        match self.neighbours.resolve(neighbour, now) {
            Resolution::Known(mac) => Ok(mac),
            Resolution::Doubtful(mac) => {
                self.ask(neighbour, Some(mac));
                Ok(mac)
            }
            Resolution::Ask => {
                self.ask(neighbour, None);
                Err(Unresolved { neighbour, is_asked: true })
            }
            Resolution::Wait { is_asked } => Err(Unresolved { neighbour, is_asked }),
        }
    }

    /// Whom a packet that leaves by an interface is handed to.
    pub(crate) fn next_hop(&self, id: InterfaceId, destination: IpAddr) -> IpAddr {
        let interface = self.interface(id);
        if interface.is_on_link(destination) && !self.routes.has_specific() {
            return destination;
        }
        self.unicast_hop(destination, |one| one == id).map_or(destination, |(_, next_hop)| next_hop)
    }

    /// Asks everybody, or the station where it was last, for a neighbour (RFC 826, RFC 4861 section
    /// 7.2.2).
    pub(crate) fn ask(&mut self, neighbour: Key, station: Option<MacAddress>) {
        let interface = self.interface(neighbour.interface);
        let source = interface.source_for(neighbour.ip, neighbour.ip);
        let frame = match (neighbour.ip, source) {
            (IpAddr::V4(target), Some(IpAddr::V4(source))) => {
                arp::question(interface.mac, source, target, station)
            }
            (IpAddr::V6(target), Some(IpAddr::V6(source))) => {
                // RFC 4429 section 3.2.
                let ours = (!interface.is_tentative(source.into())).then_some(interface.mac);
                ndp::solicitation((interface.mac, ours), source, target, station)
            }
            // The address has gone; the question ends unanswered.
            _ => return,
        };
        self.enqueue(neighbour.interface, frame);
    }

    /// Queues a frame of the stack's own.
    pub(crate) fn enqueue(&mut self, id: InterfaceId, frame: Vec<u8>) {
        let is_queued = self.interface_mut(id).enqueue(frame);
        self.sent.queue_full += u64::from(!is_queued);
    }

    /// Sends what an interface has queued. Returns whether all of it is out.
    #[inline]
    pub(crate) fn flush(&mut self, id: InterfaceId, tx: &mut impl Transmitter) -> bool {
        // Asked before and after every frame, when there is hardly ever anything.
        !self.interface(id).has_queued() || self.flush_queued(id, tx)
    }

    #[cold]
    fn flush_queued(&mut self, id: InterfaceId, tx: &mut impl Transmitter) -> bool {
        loop {
            match self.interface_mut(id).flush_one(tx) {
                Flushed::Nothing => return true,
                Flushed::Blocked => return false,
                Flushed::Frame(len) => self.count_sent(len),
            }
        }
    }

    pub(crate) fn count_sent(&mut self, frame_len: usize) {
        self.sent.frames += 1;
        self.sent.bytes += frame_len as u64;
    }
}

/// A frame in memory of its own, with a packet that no router cuts.
pub(crate) fn frame(
    from: MacAddress,
    to: MacAddress,
    header: &Header,
    len: usize,
    write: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_HEADER_LEN + header.len() + len];
    let packet = emit_ethernet(&mut frame, from, to, header.ethertype());
    header.emit(packet, len, 0);
    write(&mut packet[header.len()..]);
    frame
}
