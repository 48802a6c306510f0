//! A flow: one smoltcp socket in a set of its own, with all that is scheduled and waits for it.
//!
//! smoltcp looks at every socket of a set for every frame; with one set per flow behind a hash, the
//! cost of a frame does not depend on how many flows there are.

use alloc::vec::Vec;
use core::task::Waker;

use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::{AnySocket, dhcpv4, tcp, udp},
};

use crate::{
    isn::Numbering,
    tcp::TcpFlow,
    time::{Clock, Instant},
    udp::UdpFlow,
};

pub(crate) type FlowId = usize;

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(TcpFlow),
    Udp(UdpFlow),
    Dhcp,
}

impl Kind {
    /// What stands between a TCP flow's sequence numbers and smoltcp's.
    pub(crate) fn numbering(&mut self) -> Option<&mut Numbering> {
        match self {
            Kind::Tcp(flow) => Some(&mut flow.numbering),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(crate) kind: Kind,
    pub(crate) clock: Clock,
    pub(crate) readers: WakerSet,
    pub(crate) writers: WakerSet,
    /// It is on the dirty list.
    pub(crate) dirty: bool,
    /// The deadline under which it stands in the timer queue; never later than the true one.
    pub(crate) scheduled: Option<Instant>,
    /// What it takes of the memory budget, in bytes.
    pub(crate) memory: usize,
}

impl Flow {
    pub(crate) fn new<S: AnySocket<'static>>(
        kind: Kind,
        clock: Clock,
        socket: S,
        memory: usize,
    ) -> Self {
        // One, or the first push makes room for four: 4 KiB per flow.
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Flow {
            set,
            handle,
            kind,
            clock,
            readers: WakerSet::default(),
            writers: WakerSet::default(),
            dirty: false,
            scheduled: None,
            memory,
        }
    }

    /// The flow's TCP half, if it is one.
    pub(crate) fn tcp(&mut self) -> Option<(&mut TcpFlow, &mut tcp::Socket<'static>)> {
        match &mut self.kind {
            Kind::Tcp(flow) => Some((flow, self.set.get_mut(self.handle))),
            _ => None,
        }
    }

    /// Whether smoltcp's socket is only read from.
    pub(crate) fn is_retired(&self) -> bool {
        matches!(&self.kind, Kind::Tcp(flow) if flow.is_retired)
    }

    /// The flow's UDP half, if it is one.
    pub(crate) fn udp(&mut self) -> Option<(&mut UdpFlow, &mut udp::Socket<'static>)> {
        match &mut self.kind {
            Kind::Udp(flow) => Some((flow, self.set.get_mut(self.handle))),
            _ => None,
        }
    }

    /// The flow's DHCP client, if it is one.
    pub(crate) fn dhcp(&mut self) -> Option<&mut dhcpv4::Socket<'static>> {
        match &self.kind {
            Kind::Dhcp => Some(self.set.get_mut(self.handle)),
            _ => None,
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
    /// limit must stay free when sockets have had theirs.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.limit - self.used >= bytes && self.free() >= bytes + self.limit / 4
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
