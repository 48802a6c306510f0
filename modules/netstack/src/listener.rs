//! Listeners: a bounded SYN queue and a bounded accept queue, which smoltcp does not have.
//!
//! A SYN makes a flow of its own, half open. When the handshake completes the flow moves to the
//! accept queue. A full accept queue drops SYNs and completing acknowledgements in silence, so that
//! the peer tries again; a full SYN queue gives up its oldest entry.

use alloc::collections::VecDeque;
use core::{net::SocketAddr, task::Waker};

use netdev::Transmitter;
use smoltcp::socket::tcp::State;

use crate::{
    engine::Engine,
    error::{AcceptError, BindError},
    flow::{FlowId, WakerSet},
    frame::{Segment, Tuple},
    tcp::{Phase, listen_endpoint},
};

/// Half-open connections per listener. A handshake on a LAN takes less than a millisecond; these
/// many cover a burst of as many SYNs as a receive ring holds.
const HALF_OPEN_MAX: usize = 256;

pub(crate) type ListenerId = usize;

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    backlog: usize,
    /// Oldest first.
    half_open: VecDeque<FlowId>,
    /// Oldest first.
    accept_queue: VecDeque<FlowId>,
    acceptors: WakerSet,
}

impl Listener {
    fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.backlog
    }
}

impl Engine {
    /// Listens on `local`; port 0 chooses one.
    pub(crate) fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<ListenerId, BindError> {
        if backlog == 0 {
            return Err(BindError::NoBacklog);
        }
        if !local.ip().is_unspecified() && !self.has_address(local.ip()) {
            return Err(BindError::NotOurs);
        }
        let is_free = |engine: &Self, port| {
            let listeners = engine.tcp_ports.get(&port).map(|ids| ids.as_slice());
            !listeners
                .unwrap_or_default()
                .iter()
                .any(|&id| conflicts(engine.listeners[id].local, SocketAddr::new(local.ip(), port)))
        };
        let port = match local.port() {
            0 => self.ephemeral_port(is_free).ok_or(BindError::NoPorts)?,
            port if is_free(self, port) => port,
            _ => return Err(BindError::InUse),
        };
        let id = self.listeners.insert(Listener {
            local: SocketAddr::new(local.ip(), port),
            backlog,
            half_open: VecDeque::new(),
            accept_queue: VecDeque::new(),
            acceptors: WakerSet::default(),
        });
        self.tcp_ports.entry(port).or_default().push(id);
        Ok(id)
    }

    /// The listener for a local address: one bound to it before one bound to all.
    fn listener_for(&self, local: SocketAddr) -> Option<ListenerId> {
        let ids = self.tcp_ports.get(&local.port())?;
        let bound_to = |ip| ids.iter().copied().find(|&id| self.listeners[id].local.ip() == ip);
        bound_to(local.ip()).or_else(|| bound_to(wildcard(local)))
    }

    /// A SYN for no connection that is known.
    pub(crate) fn syn(&mut self, segment: &Segment, frame: &mut [u8], tx: &mut impl Transmitter) {
        let Tuple { local, remote } = segment.tuple;
        let listener = match self.listener_for(local) {
            Some(id) if remote.port() != 0 => id,
            _ => return self.feed_none(frame, tx),
        };
        if self.listeners[listener].is_full() {
            self.stats.dropped_backlog_full += 1;
            return;
        }
        if self.listeners[listener].half_open.len() >= HALF_OPEN_MAX {
            self.evict_half_open(listener);
        }
        let Some(id) = self.new_half_open(segment.tuple, listener) else {
            self.stats.dropped_no_memory += 1;
            return;
        };
        if let Some((_, socket)) = self.flows[id].tcp() {
            socket.listen(listen_endpoint(local)).expect("a fresh socket and a port that is not 0");
        }
        self.listeners[listener].half_open.push_back(id);
        self.deliver(id, segment, frame, tx);
    }

    /// Makes room, if the memory budget is spent, at the cost of the listener's older handshakes: a
    /// flood of SYNs can hold the memory that is left only until the next SYN.
    fn new_half_open(&mut self, tuple: Tuple, listener: ListenerId) -> Option<FlowId> {
        loop {
            match self.new_tcp(tuple, Phase::HalfOpen(listener)) {
                None if self.evict_half_open(listener) => {}
                id => return id,
            }
        }
    }

    /// Returns whether there was one.
    fn evict_half_open(&mut self, listener: ListenerId) -> bool {
        let oldest = self.listeners[listener].half_open.pop_front();
        if let Some(oldest) = oldest {
            self.stats.evicted_half_open += 1;
            self.remove(oldest);
        }
        oldest.is_some()
    }

    /// Whether a half-open flow's segment must wait because there is no room to accept it. A reset
    /// needs no room.
    pub(crate) fn must_wait_for_room(&mut self, id: FlowId, segment: &Segment) -> bool {
        match self.flows[id].tcp() {
            Some((flow, _)) => match flow.phase {
                Phase::HalfOpen(listener) => {
                    !segment.rst && !segment.syn && self.listeners[listener].is_full()
                }
                _ => false,
            },
            None => false,
        }
    }

    /// Returns whether the flow lives on.
    pub(crate) fn settle_half_open(
        &mut self,
        id: FlowId,
        listener: ListenerId,
        state: State,
    ) -> bool {
        // Otherwise the SYN was not one (a wrong checksum), or the peer reset or never answered.
        let is_alive = state == State::SynReceived;
        if !is_alive {
            self.listeners[listener].half_open.retain(|&other| other != id);
        }
        is_alive
    }

    /// The handshake is complete. At once, not when the flow is settled: the next segment may be for
    /// the same listener, and must find its queue as full as it is.
    pub(crate) fn queue_for_accept(&mut self, id: FlowId, listener: ListenerId) {
        let queues = &mut self.listeners[listener];
        queues.half_open.retain(|&other| other != id);
        queues.accept_queue.push_back(id);
        queues.acceptors.drain_into(&mut self.woken);
        self.stats.tcp_accepted += 1;
        if let Some((flow, _)) = self.flows[id].tcp() {
            flow.phase = Phase::Queued(listener);
        }
    }

    pub(crate) fn leave_accept_queue(&mut self, id: FlowId, listener: ListenerId) {
        self.listeners[listener].accept_queue.retain(|&other| other != id);
    }

    pub(crate) fn accept(&mut self, listener: ListenerId) -> Result<(FlowId, Tuple), AcceptError> {
        let queue = &mut self.listeners[listener].accept_queue;
        let id = queue.pop_front().ok_or(AcceptError::WouldBlock)?;
        let (flow, _) = self.flows[id].tcp().expect("only TCP flows are queued");
        flow.phase = Phase::Open;
        Ok((id, flow.tuple))
    }

    pub(crate) fn register_acceptor(&mut self, listener: ListenerId, waker: &Waker) {
        self.listeners[listener].acceptors.register(waker);
    }

    /// The application lets go of a listener: connections that it has not accepted are reset.
    pub(crate) fn release_listener(&mut self, id: ListenerId) {
        let mut listener = self.listeners.remove(id);
        listener.acceptors.drain_into(&mut self.woken);
        if let Some(ids) = self.tcp_ports.get_mut(&listener.local.port()) {
            ids.retain(|&other| other != id);
        }
        self.tcp_ports.retain(|_, ids| !ids.is_empty());
        // Handshakes end in silence: the peer may not exist, and hears if it does when it goes on.
        listener.half_open.into_iter().for_each(|id| self.remove(id));
        listener.accept_queue.into_iter().for_each(|id| self.disown(id));
    }

    /// Resets a connection that no application has seen.
    fn disown(&mut self, id: FlowId) {
        if let Some((flow, socket)) = self.flows[id].tcp() {
            flow.phase = Phase::Orphan;
            socket.abort();
        }
        self.mark_dirty(id);
    }
}

fn wildcard(local: SocketAddr) -> core::net::IpAddr {
    match local {
        SocketAddr::V4(_) => core::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => core::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether two sockets on one port get in each other's way: with the same address. A specific
/// address beside the wildcard of its family is told apart by the demultiplexer.
pub(crate) fn conflicts(one: SocketAddr, other: SocketAddr) -> bool {
    one == other
}
