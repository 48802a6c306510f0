//! TCP (RFC 9293): who a segment is for, who holds a connection, and what outlives its holder.
//!
//! | module | what lives there |
//! |---|---|
//! | `mod` | [`TcpFlow`], [`Tcp`]: the flow and the tables |
//! | `input` | segments, to the connection, handshake or listener that they are for |
//! | `output` | what connections send; what follows for their holders |
//! | `call` | what the application asks for |
//! | `connection` | one connection's protocol, without sockets and tables |
//! | `listener`, `handshake`, `time_wait` | before there is a connection, and after |
//! | `segment`, `seq`, `isn` | headers and numbers |

mod call;
pub(crate) mod connection;
mod handshake;
mod input;
mod isn;
mod listener;
mod output;
mod segment;
mod seq;
mod time_wait;

use alloc::{boxed::Box, vec::Vec};
use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use hashbrown::HashMap;
use slab::Slab;

pub(crate) use self::listener::ListenerId;
pub use self::{
    call::TcpOptions,
    connection::{KeepAlive, State as TcpState, TcpInfo},
    listener::ListenOptions,
};
use self::{
    connection::{Connection, State},
    handshake::Handshakes,
    isn::IsnSource,
    listener::Listener,
    time_wait::TimeWait,
};
use crate::{
    flow::{FlowId, Tuple},
    hash::{Keyed, TableHasher},
    ip::InterfaceId,
    time::{Instant, earlier},
};

/// What a flow takes beside its buffers: the connection, the least of its buffers, entries in tables
/// that may be half empty. Measured by `tests/footprint.rs`.
const FLOW_OVERHEAD: usize = 3 * 1024;
/// Buffers of a new connection while the memory budget is tight.
const BUFFER_LEN_TIGHT: usize = 8 * 1024;
/// How long a peer that has our FIN may keep an ownerless connection half open, as Linux has it.
const FIN_WAIT_2_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an ownerless connection may take to deliver, even if the peer keeps answering.
const ORPHAN_LIFETIME: Duration = Duration::from_secs(300);

/// Who holds a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A listener's, in its accept queue.
    Queued(ListenerId),
    /// The application's.
    Open,
    /// Nobody's: it delivers what it has, then goes.
    Orphan,
}

#[derive(Debug)]
pub(crate) struct TcpFlow {
    pub(crate) tuple: Tuple,
    pub(crate) phase: Phase,
    /// Stands in the table of tuples, where no other flow has its ends.
    is_listed: bool,
    /// An IPv4 connection that the application sees through an IPv6 socket.
    pub(crate) is_mapped: bool,
    /// Moved out of most accesses' way: the demultiplexer looks at the rest.
    pub(crate) connection: Box<Connection>,
    interface: InterfaceId,
    /// Whom its packets are handed to, once one has been sent on this path.
    next_hop: Option<IpAddr>,
    /// TIME-WAIT goes on without the connection, which is only read from.
    is_retired: bool,
    /// Its end has been counted and told.
    is_ended: bool,
    /// When an orphan is given up, and since when it waits for the peer's FIN.
    give_up: Option<Instant>,
    /// When its neighbour may be asked for, of whom too many others kept it.
    retry: Option<Instant>,
    finished_since: Option<Instant>,
}

impl TcpFlow {
    /// The interface that its packets leave by.
    pub(crate) fn interface(&self) -> InterfaceId {
        self.interface
    }

    /// When it is to be looked at again, whatever happens.
    pub(crate) fn schedule(&mut self) -> Option<Instant> {
        if self.is_retired || self.connection.state() == State::Closed {
            return self.retry;
        }
        let half_closed = self.finished_since.map(|since| since + FIN_WAIT_2_TIMEOUT);
        let ours = earlier(earlier(self.give_up, half_closed), self.retry);
        earlier(self.connection.schedule(), ours)
    }

    /// Whether an orphan has had its time: to deliver, or to wait for the peer's FIN. Counted from its
    /// first turn, because the time of an application's call is not known.
    fn has_lived(&mut self, now: Instant) -> bool {
        let lifetime = self.connection.options().linger.unwrap_or(ORPHAN_LIFETIME);
        let give_up = *self.give_up.get_or_insert(now + lifetime);
        self.finished_since = match self.connection.state() {
            State::FinWait2 => self.finished_since.or(Some(now)),
            _ => None,
        };
        let half_closed = self.finished_since.map(|since| since + FIN_WAIT_2_TIMEOUT);
        give_up <= now || half_closed.is_some_and(|end| end <= now)
    }

    /// Its ends, as the application sees them.
    pub(crate) fn shown(&self) -> Tuple {
        match self.is_mapped {
            true => Tuple { local: mapped(self.tuple.local), remote: mapped(self.tuple.remote) },
            false => self.tuple,
        }
    }
}

/// An IPv4 address as one of IPv6 (RFC 4291 section 2.5.5.2).
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(Ipv4Addr::to_ipv6_mapped(&ip).into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// All that TCP keeps outside of its flows.
#[derive(Debug)]
pub(crate) struct Tcp {
    tuples: HashMap<Tuple, FlowId, TableHasher>,
    pub(crate) listeners: Slab<Listener>,
    ports: HashMap<u16, Vec<ListenerId>, TableHasher>,
    pub(crate) handshakes: Handshakes,
    pub(crate) time_wait: TimeWait,
    isns: IsnSource,
}

impl Tcp {
    pub(crate) fn new(hasher: TableHasher, secret: Keyed) -> Self {
        Tcp {
            tuples: HashMap::with_hasher(hasher),
            listeners: Slab::new(),
            ports: HashMap::with_hasher(hasher),
            handshakes: Handshakes::new(hasher),
            time_wait: TimeWait::new(hasher),
            isns: IsnSource::new(secret),
        }
    }

    /// The flow between two ends.
    pub(crate) fn flow(&self, tuple: &Tuple) -> Option<FlowId> {
        self.tuples.get(tuple).copied()
    }

    /// Segments between its ends are not for a flow any more. Returns whether they were.
    fn unlist(&mut self, flow: &mut TcpFlow) -> bool {
        let was_listed = core::mem::take(&mut flow.is_listed);
        if was_listed {
            self.tuples.remove(&flow.tuple);
        }
        was_listed
    }

    /// Whether no connection is between two ends, not even a past one.
    fn is_free(&self, tuple: &Tuple) -> bool {
        !self.tuples.contains_key(tuple) && !self.time_wait.contains(tuple)
    }

    /// Whether connections are on a local port, past ones included. Looks at all of them.
    fn has_connections_on(&self, port: u16) -> bool {
        let is_on = |tuple: &Tuple| tuple.local.port() == port;
        self.tuples.keys().any(is_on) || self.time_wait.has_port(port)
    }
}

/// The largest segment that a packet of `mtu` bytes to `ip` carries (RFC 9293 section 3.7.1).
fn mss(mtu: usize, ip: IpAddr) -> u16 {
    const TCP_HEADER_LEN: usize = 20;
    let ip_header_len = if ip.is_ipv4() { 20 } else { 40 };
    u16::try_from(mtu.saturating_sub(ip_header_len + TCP_HEADER_LEN)).unwrap_or(u16::MAX)
}
