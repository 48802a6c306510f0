//! Listeners, with a bounded accept queue, which smoltcp does not have.
//!
//! A SYN begins a handshake ([`crate::handshake`]); when it completes, the flow enters the accept
//! queue. A full queue drops SYNs and completing acknowledgements in silence, so that the peer tries
//! again.

use alloc::collections::VecDeque;
use core::{net::SocketAddr, task::Waker};

use netdev::Transmitter;

use crate::{
    engine::Engine,
    error::{AcceptError, BindError},
    flow::{FlowId, WakerSet},
    frame::{Segment, Tuple},
    tcp::Phase,
};

pub(crate) type ListenerId = usize;

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    backlog: usize,
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
        self.begin_handshake(segment, listener, frame, tx);
    }

    /// Whether connections that would be queued must wait.
    pub(crate) fn is_listener_full(&self, id: ListenerId) -> bool {
        self.listeners[id].is_full()
    }

    /// The handshake is complete. At once, not when the flow is settled: the next segment may be for
    /// the same listener, and must find its queue as full as it is.
    pub(crate) fn queue_for_accept(&mut self, id: FlowId, listener: ListenerId) {
        let queues = &mut self.listeners[listener];
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
        self.handshakes.remove_listener(id);
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
