//! Listeners, each with a bounded accept queue.
//!
//! A SYN begins a handshake ([`super::handshake`]); when it completes, the connection enters the accept
//! queue. A full queue drops SYNs and completing acknowledgements in silence, so that the peer tries
//! again.

use alloc::collections::VecDeque;
use core::{
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    task::Waker,
};

use netdev::Transmitter;

use super::{Phase, connection::Options, segment::Segment, seq::Seq};
use crate::{
    engine::Engine,
    error::{AcceptError, BindError},
    flow::{FlowId, Registration, Tuple, WakerSet},
    ip::Packet,
    stats::{Reason, Verdict},
};

pub(crate) type ListenerId = usize;

/// How a listener shares its port, and what its connections begin with.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let options = ListenOptions { only_v6: true, ..Default::default() };
/// let listener = TcpListener::bind_with(&stack, "[::]:80".parse()?, 8, &options)?;
/// // IPv4 is left to another one.
/// let second = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// May take a port on which connections of an earlier listener still end (SO_REUSEADDR). On by
    /// default, as in Rust's standard library.
    pub reuse_address: bool,
    /// May share its address with other listeners that say the same; each connection goes to one of
    /// them, chosen by a hash of its ends (SO_REUSEPORT).
    pub reuse_port: bool,
    /// A listener on `[::]` takes IPv6 only (IPV6_V6ONLY); otherwise IPv4 as well, with addresses
    /// mapped into IPv6.
    pub only_v6: bool,
    /// What every connection begins with.
    pub connection: super::TcpOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            reuse_address: true,
            reuse_port: false,
            only_v6: false,
            connection: super::TcpOptions::default(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    pub(crate) options: Options,
    reuse_port: bool,
    only_v6: bool,
    backlog: usize,
    /// Oldest first.
    accept_queue: VecDeque<FlowId>,
    acceptors: WakerSet,
}

impl Listener {
    fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.backlog
    }

    /// Whether it takes IPv4 connections on an IPv6 address.
    pub(crate) fn is_dual_stack(&self) -> bool {
        self.local.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !self.only_v6
    }

    /// How well it matches a local address: exactly, as its family's wildcard, or as the other's.
    fn rank(&self, local: IpAddr) -> Option<u8> {
        match self.local.ip() {
            ip if ip == local => Some(0),
            ip if ip.is_unspecified() && ip.is_ipv4() == local.is_ipv4() => Some(1),
            _ if self.is_dual_stack() && local.is_ipv4() => Some(2),
            _ => None,
        }
    }

    /// Whether another listener gets in its way: only on the same address. The demultiplexer tells a
    /// specific address from a wildcard, and IPv4's wildcard from a `[::]` that takes IPv4 as well.
    fn conflicts(&self, local: IpAddr, options: &ListenOptions) -> bool {
        self.local.ip() == local && !(self.reuse_port && options.reuse_port)
    }
}

impl Engine {
    /// Listens on `local`; port 0 chooses one.
    pub(crate) fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        options: &ListenOptions,
    ) -> Result<ListenerId, BindError> {
        if backlog == 0 {
            return Err(BindError::NoBacklog);
        }
        if !local.ip().is_unspecified() && !self.ip.is_ours(local.ip()) {
            return Err(BindError::NotOurs);
        }
        let is_free = |engine: &Self, port| engine.may_listen(local.ip(), port, options);
        let port = match local.port() {
            0 => self.ephemeral_port(is_free).ok_or(BindError::NoPorts)?,
            port if is_free(self, port) => port,
            _ => return Err(BindError::InUse),
        };
        let id = self.tcp.listeners.insert(Listener {
            local: SocketAddr::new(local.ip(), port),
            options: options.connection.into(),
            reuse_port: options.reuse_port,
            only_v6: options.only_v6,
            backlog,
            accept_queue: VecDeque::new(),
            acceptors: WakerSet::default(),
        });
        self.tcp.ports.entry(port).or_default().push(id);
        Ok(id)
    }

    fn may_listen(&self, local: IpAddr, port: u16, options: &ListenOptions) -> bool {
        let listeners = self.tcp.ports.get(&port).map(|ids| ids.as_slice()).unwrap_or_default();
        let is_taken = listeners.iter().any(|&id| self.tcp.listeners[id].conflicts(local, options));
        let is_waiting = || listeners.is_empty() && self.tcp.has_connections_on(port);
        !is_taken && (options.reuse_address || !is_waiting())
    }

    /// The listener for a connection: the one that matches best; of several, the one that the hash of
    /// its ends says.
    fn listener_for(&self, tuple: &Tuple) -> Option<ListenerId> {
        let ids = self.tcp.ports.get(&tuple.local.port())?;
        let local = tuple.local.ip();
        let rank = |id: &ListenerId| self.tcp.listeners[*id].rank(local);
        let ranked = ids.iter().filter_map(|id| Some((rank(id)?, *id)));
        let (best, first) = ranked.clone().min_by_key(|(rank, _)| *rank)?;
        if !self.tcp.listeners[first].reuse_port {
            return Some(first);
        }
        let group = || ranked.clone().filter(|(rank, _)| *rank == best);
        let hash = self.spread.hash_one(tuple) as usize;
        group().nth(hash % group().count()).map(|(_, id)| id)
    }

    /// A SYN for no connection that is known; `above` is where the numbers of the one before ended.
    pub(crate) fn syn(
        &mut self,
        tuple: Tuple,
        segment: &Segment<'_>,
        above: Option<Seq>,
        packet: &Packet<'_>,
        tx: &mut impl Transmitter,
    ) -> Verdict {
        let Some(listener) = self.listener_for(&tuple) else {
            return self.refuse(segment, packet, tx);
        };
        if self.tcp.listeners[listener].is_full() {
            return Verdict::Dropped(Reason::BacklogFull);
        }
        self.begin_handshake(tuple, segment, listener, above, packet, tx)
    }

    /// Whether connections that would be queued must wait.
    pub(crate) fn is_listener_full(&self, id: ListenerId) -> bool {
        self.tcp.listeners[id].is_full()
    }

    /// The handshake is complete. At once, not when the flow is settled: the next segment may be for
    /// the same listener, and must find its queue as full as it is.
    pub(crate) fn queue_for_accept(&mut self, id: FlowId, listener: ListenerId) {
        let queues = &mut self.tcp.listeners[listener];
        queues.accept_queue.push_back(id);
        queues.acceptors.drain_into(&mut self.woken);
        self.stats.tcp_accepted += 1;
    }

    pub(crate) fn leave_accept_queue(&mut self, id: FlowId, listener: ListenerId) {
        self.tcp.listeners[listener].accept_queue.retain(|&other| other != id);
    }

    /// The oldest connection that waits. Its ends, as the listener's family has them.
    pub(crate) fn accept(&mut self, listener: ListenerId) -> Result<(FlowId, Tuple), AcceptError> {
        let listener = &mut self.tcp.listeners[listener];
        let id = listener.accept_queue.pop_front().ok_or(AcceptError::WouldBlock)?;
        let is_dual_stack = listener.is_dual_stack();
        let flow = self.flows[id].tcp().expect("only TCP flows are queued");
        flow.phase = Phase::Open;
        flow.is_mapped = is_dual_stack && flow.tuple.local.is_ipv4();
        Ok((id, flow.shown()))
    }

    /// Whether a connection waits.
    pub(crate) fn has_connection(&self, listener: ListenerId) -> bool {
        !self.tcp.listeners[listener].accept_queue.is_empty()
    }

    pub(crate) fn register_acceptor(
        &mut self,
        listener: ListenerId,
        waker: &Waker,
    ) -> Registration {
        self.tcp.listeners[listener].acceptors.insert(&mut self.registrations, waker)
    }

    pub(crate) fn deregister_acceptor(
        &mut self,
        listener: ListenerId,
        registration: &Registration,
    ) -> Option<Waker> {
        self.tcp.listeners[listener].acceptors.remove(registration)
    }

    /// The application lets go of a listener: connections that it has not accepted are reset.
    pub(crate) fn release_listener(&mut self, id: ListenerId) {
        let mut listener = self.tcp.listeners.remove(id);
        listener.acceptors.drain_into(&mut self.woken);
        if let Some(ids) = self.tcp.ports.get_mut(&listener.local.port()) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.tcp.ports.remove(&listener.local.port());
            }
        }
        // Handshakes end in silence: the peer may not exist, and hears if it does when it goes on.
        self.tcp.handshakes.remove_listener(id);
        listener.accept_queue.into_iter().for_each(|id| self.disown(id));
    }

    /// Resets a connection that no application has seen.
    fn disown(&mut self, id: FlowId) {
        if let Some(flow) = self.flows[id].tcp() {
            flow.phase = Phase::Orphan;
            flow.connection.abort();
        }
        self.mark_dirty(id);
    }
}
