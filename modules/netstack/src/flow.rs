//! A flow: one end of communication, with all that is scheduled and waits for it.

use alloc::vec::Vec;
use core::{net::SocketAddr, task::Waker};

use crate::{
    datagram::Queues,
    icmp_socket::IcmpFlow,
    ip::{InterfaceId, InterfaceSet},
    raw::RawFlow,
    tcp::TcpFlow,
    time::Instant,
    udp::UdpFlow,
};

pub(crate) type FlowId = usize;

/// The two ends of a flow, as this host sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tuple {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
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

/// The tasks that wait for one event; any number, each at most once.
#[derive(Debug, Default)]
pub(crate) struct WakerSet(Vec<Waker>);

impl WakerSet {
    pub(crate) fn register(&mut self, waker: &Waker) {
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    /// Moves the wakers to `woken`, to be woken when no lock is held.
    pub(crate) fn drain_into(&mut self, woken: &mut Vec<Waker>) {
        woken.append(&mut self.0);
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
