//! A flow: one end of communication, with all that is scheduled and waits for it.

mod wakers;

use core::{
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    task::Waker,
};

pub use self::wakers::Registration;
pub(crate) use self::wakers::{Registrations, WakerSet};
use crate::{
    datagram::Queues,
    engine::Engine,
    icmp_socket::IcmpFlow,
    ip::{InterfaceId, InterfaceSet},
    raw::RawFlow,
    stack::Interest,
    tcp::TcpFlow,
    time::Instant,
    udp::UdpFlow,
};

pub(crate) type FlowId = usize;

/// The two ends of a flow, as this host sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tuple {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// Every packet's tuple is hashed, so the hasher is fed as few words as there are.
impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(u32::from(self.local.port()) << 16 | u32::from(self.remote.port()));
        match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                state.write_u64(u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits()));
            }
            (local, remote) => {
                hash_ip(local, state);
                hash_ip(remote, state);
            }
        }
    }
}

/// Feeds an address to a hasher. Addresses of both families may be keys of one table.
pub(crate) fn hash_ip<H: Hasher>(ip: IpAddr, state: &mut H) {
    match ip {
        IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            state.write_u64((bits >> 64) as u64);
            state.write_u64(bits as u64);
        }
    }
}

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(TcpFlow),
    Udp(UdpFlow),
    Icmp(IcmpFlow),
    Raw(RawFlow),
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) kind: Kind,
    pub(crate) readers: WakerSet,
    pub(crate) writers: WakerSet,
    /// The interfaces on whose dirty lists it is.
    pub(crate) dirty: InterfaceSet,
    /// The deadline under which it stands in the timer queue; never later than the true one.
    pub(crate) scheduled: Option<Instant>,
    /// What it takes of the memory budget, in bytes.
    pub(crate) memory: usize,
}

impl Flow {
    pub(crate) fn new(kind: Kind, memory: usize) -> Self {
        Flow {
            kind,
            readers: WakerSet::default(),
            writers: WakerSet::default(),
            dirty: InterfaceSet::default(),
            scheduled: None,
            memory,
        }
    }

    /// The flow's TCP half, if it is one.
    pub(crate) fn tcp(&mut self) -> Option<&mut TcpFlow> {
        match &mut self.kind {
            Kind::Tcp(flow) => Some(flow),
            _ => None,
        }
    }

    /// The flow's UDP half, if it is one.
    pub(crate) fn udp(&mut self) -> Option<&mut UdpFlow> {
        match &mut self.kind {
            Kind::Udp(flow) => Some(flow),
            _ => None,
        }
    }

    /// What a flow of datagrams has received and is about to send.
    pub(crate) fn queues(&mut self) -> Option<&mut Queues> {
        match &mut self.kind {
            Kind::Tcp(_) => None,
            Kind::Udp(flow) => Some(&mut flow.queues),
            Kind::Icmp(flow) => Some(&mut flow.queues),
            Kind::Raw(flow) => Some(&mut flow.queues),
        }
    }

    /// The interface that looks after it when nothing says which.
    pub(crate) fn interface(&self) -> InterfaceId {
        match &self.kind {
            Kind::Tcp(flow) => flow.interface(),
            Kind::Udp(_) | Kind::Icmp(_) | Kind::Raw(_) => InterfaceId::LOOPBACK,
        }
    }
}

/// Who waits for a flow.
impl Engine {
    pub(crate) fn register(
        &mut self,
        id: FlowId,
        interest: Interest,
        waker: &Waker,
    ) -> Registration {
        let flow = &mut self.flows[id];
        match interest {
            Interest::Read => flow.readers.insert(&mut self.registrations, waker),
            Interest::Write => flow.writers.insert(&mut self.registrations, waker),
        }
    }

    /// Returns the waker, which is to be dropped when the stack's lock has been let go.
    pub(crate) fn deregister(&mut self, id: FlowId, registration: &Registration) -> Option<Waker> {
        let flow = &mut self.flows[id];
        let reader = flow.readers.remove(registration);
        reader.or_else(|| flow.writers.remove(registration))
    }

    /// Nobody waits for a flow any more that its application has let go of.
    pub(crate) fn dismiss(&mut self, id: FlowId) {
        let Engine { flows, woken, .. } = self;
        flows[id].readers.drain_into(woken);
        flows[id].writers.drain_into(woken);
    }
}

/// Bytes that sockets may take. An allocation that fails ends an ArceOS image, so what a remote
/// party can make the stack allocate is counted before it is asked for.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: usize,
    /// What the machine has left, if that can be told.
    free: Option<fn() -> usize>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Budget { limit, used: 0, free: None }
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn set_free(&mut self, free: fn() -> usize) {
        self.free = Some(free);
    }

    fn free(&self) -> usize {
        self.free.map_or(usize::MAX, |free| free())
    }

    /// Whether more than half is gone, of the budget or of what the machine could have given for it:
    /// time to be modest.
    pub(crate) fn is_tight(&self) -> bool {
        self.used > self.limit / 2 || self.free() < self.limit
    }

    /// The application allocates as well, for every connection that it accepts. So a quarter of the
    /// limit must stay free when sockets have had theirs. What takes nothing, because it has been
    /// counted before, always fits.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        let has_left = |free: usize| free >= bytes + self.limit / 4;
        bytes == 0 || (self.limit - self.used >= bytes && has_left(self.free()))
    }

    pub(crate) fn reserve(&mut self, bytes: usize) -> bool {
        let fits = self.fits(bytes);
        if fits {
            self.used += bytes;
        }
        fits
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used, "released more than was reserved");
        self.used -= bytes;
    }
}
