//! What the application asks for.

use alloc::boxed::Box;
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    BUFFER_LEN_TIGHT, FLOW_OVERHEAD, KeepAlive, Phase, TcpFlow, TcpInfo,
    connection::{BUFFER_LEN_MAX, BUFFER_LEN_MIN, Connection, End, Options, Ports, State},
    mss,
    output::{is_readable, is_writable},
};
use crate::{
    engine::Engine,
    error::{ConnectError, ReadError, WriteError},
    flow::{Flow, FlowId, Kind, Tuple},
    ip::{InterfaceId, to_canonical},
    stack::{Interest, Shutdown},
};

/// The shortest times of keep-alive, as Linux has them.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);
/// The shortest time after which unacknowledged data ends a connection: a few retransmissions.
const USER_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// What can be set on a connection. A value out of range is taken as the nearest in it; what is read
/// back is what holds.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let (client, server) = world::pair(&stack, &mut poll);
/// use core::time::Duration;
/// let options = TcpOptions { linger: Some(Duration::ZERO), ..Default::default() };
/// client.set_options(options);
/// drop(client);
/// poll();
/// assert_eq!(server.try_read(&mut [0; 100]), Err(ReadError::Reset));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpOptions {
    /// Sends small writes at once instead of gathering them while data is in flight (RFC 9293
    /// section 3.7.4). Off by default.
    pub nodelay: bool,
    /// When a silent peer is probed (RFC 9293 section 3.8.4). `None`, the default, is never. At least
    /// a second each, and one probe.
    pub keep_alive: Option<KeepAlive>,
    /// How long a dropped connection may go on delivering before it is reset. Zero resets it at
    /// once; `None`, the default, is five minutes.
    pub linger: Option<Duration>,
    /// How long data may go unacknowledged before the connection is given up (RFC 5482): at least a
    /// second, two minutes by default.
    pub user_timeout: Duration,
    /// Hops that a packet may take: at least one, 64 by default.
    pub hop_limit: u8,
    /// Bytes that may be written and not acknowledged: 512 to 16 MiB, 256 KiB by default. Memory is
    /// taken as they are.
    pub send_buffer_len: usize,
    /// Bytes that may arrive and not be read, also what the window announces: 512 to 16 MiB, 1 MiB
    /// by default. On a connection it cannot exceed what the window scale of its SYN can say.
    pub receive_buffer_len: usize,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Options::default().into()
    }
}

impl From<Options> for TcpOptions {
    fn from(options: Options) -> Self {
        TcpOptions {
            nodelay: options.nodelay,
            keep_alive: options.keep_alive,
            linger: options.linger,
            user_timeout: options.user_timeout.into(),
            hop_limit: options.hop_limit,
            send_buffer_len: options.send_buffer_len,
            receive_buffer_len: options.receive_buffer_len,
        }
    }
}

impl From<TcpOptions> for Options {
    fn from(options: TcpOptions) -> Self {
        let buffer_len = |len: usize| len.clamp(BUFFER_LEN_MIN, BUFFER_LEN_MAX);
        let keep_alive = options.keep_alive.map(|keep_alive| KeepAlive {
            idle: keep_alive.idle.max(KEEP_ALIVE_MIN),
            interval: keep_alive.interval.max(KEEP_ALIVE_MIN),
            count: keep_alive.count.max(1),
        });
        Options {
            nodelay: options.nodelay,
            keep_alive,
            linger: options.linger,
            user_timeout: options.user_timeout.max(USER_TIMEOUT_MIN).into(),
            hop_limit: options.hop_limit.max(1),
            send_buffer_len: buffer_len(options.send_buffer_len),
            receive_buffer_len: buffer_len(options.receive_buffer_len),
        }
    }
}

/// Connections come to be.
impl Engine {
    /// Whether the memory budget has room for one more connection.
    pub(super) fn has_room_for_connection(&self) -> bool {
        self.budget.fits(FLOW_OVERHEAD + 2 * BUFFER_LEN_TIGHT)
    }

    /// Options as memory allows them.
    pub(super) fn modest(&self, options: Options) -> Options {
        match self.budget.is_tight() {
            false => options,
            true => Options {
                send_buffer_len: options.send_buffer_len.min(BUFFER_LEN_TIGHT),
                receive_buffer_len: options.receive_buffer_len.min(BUFFER_LEN_TIGHT),
                ..options
            },
        }
    }

    /// Makes a flow, if the memory budget allows.
    pub(super) fn new_tcp(
        &mut self,
        tuple: Tuple,
        phase: Phase,
        interface: InterfaceId,
        connection: Connection,
    ) -> Option<FlowId> {
        if !self.budget.reserve(FLOW_OVERHEAD) {
            return None;
        }
        let flow = TcpFlow {
            tuple,
            phase,
            is_listed: true,
            is_mapped: false,
            connection: Box::new(connection),
            interface,
            next_hop: None,
            is_retired: false,
            is_ended: false,
            give_up: None,
            retry: None,
            finished_since: None,
        };
        let id = self.flows.insert(Flow::new(Kind::Tcp(flow), FLOW_OVERHEAD));
        self.tcp.tuples.insert(tuple, id);
        Some(id)
    }

    /// Begins to connect from `local` (the address may be unspecified and the port zero: chosen).
    pub(crate) fn connect(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<(FlowId, Tuple), ConnectError> {
        let is_mapped = remote.ip() != to_canonical(remote.ip());
        let remote = SocketAddr::new(to_canonical(remote.ip()), remote.port());
        if !self.is_connectable(remote) {
            return Err(ConnectError::Invalid);
        }
        let (address, port) = self.local_wish(local, remote, is_mapped)?;
        let path = self.ip.route(remote.ip(), address).ok_or(ConnectError::Unreachable)?;
        let tuple_of = |port| Tuple { local: SocketAddr::new(path.source, port), remote };
        let is_free = |engine: &Self, port| engine.tcp.is_free(&tuple_of(port));
        let port = match port {
            // Nobody means to connect to itself who does not say so.
            0 => self
                .ephemeral_port(|engine, port| {
                    tuple_of(port).local != remote && is_free(engine, port)
                })
                .ok_or(ConnectError::NoPorts)?,
            port if is_free(self, port) => port,
            _ => return Err(ConnectError::InUse),
        };
        if !self.has_room_for_connection() {
            return Err(ConnectError::NoMemory);
        }
        let tuple = tuple_of(port);
        let isn = self.tcp.isns.isn(&tuple, self.now);
        let ports = Ports { local: port, remote: remote.port() };
        let options = self.modest(Options::from(*options));
        let connection = Connection::connect(ports, isn, mss(path.mtu, remote.ip()), options);
        let id = self
            .new_tcp(tuple, Phase::Open, path.interface, connection)
            .ok_or(ConnectError::NoMemory)?;
        self.stats.tcp_connected += 1;
        self.mark_dirty(id);
        let flow = self.flows[id].tcp().expect("just made");
        flow.is_mapped = is_mapped;
        Ok((id, flow.shown()))
    }

    /// The local address and port that were asked for, if they make sense with the remote ones.
    fn local_wish(
        &self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        is_mapped: bool,
    ) -> Result<(Option<IpAddr>, u16), ConnectError> {
        let Some(local) = local else {
            return Ok((None, 0));
        };
        let ip = to_canonical(local.ip());
        if ip.is_unspecified() {
            let is_same = local.is_ipv4() == remote.is_ipv4() || is_mapped;
            return is_same.then_some((None, local.port())).ok_or(ConnectError::Invalid);
        }
        let is_ours = ip.is_ipv4() == remote.is_ipv4() && self.ip.is_ours(ip);
        is_ours.then_some((Some(ip), local.port())).ok_or(ConnectError::Invalid)
    }

    /// Whether a connection to `remote` makes sense: RFC 1122 section 4.2.3.10.
    fn is_connectable(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip();
        let is_one_host = !(ip.is_unspecified() || ip.is_multicast() || self.ip.is_broadcast(ip));
        is_one_host && remote.port() != 0
    }

    /// Forgets what is kept about a connection outside of its flow.
    pub(crate) fn tcp_removed(&mut self, mut flow: TcpFlow) {
        flow.connection.release(&mut self.budget);
        self.tcp.unlist(&mut flow);
    }
}

/// Connections are used.
impl Engine {
    /// The application lets go of a connection: what it wrote is still delivered.
    pub(crate) fn release_tcp(&mut self, id: FlowId) {
        let Engine { flows, tcp, budget, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return;
        };
        flow.phase = Phase::Orphan;
        let connection = &mut flow.connection;
        let is_impatient = connection.options().linger == Some(Duration::ZERO);
        // Unread data is lost, so the peer must not take it for delivered (RFC 2525 section 2.17).
        match is_impatient || connection.readable_len() > 0 {
            true => connection.abort(),
            false => connection.close(),
        }
        connection.shut_read(budget);
        let is_gone = connection.state() == State::Closed && !connection.owes_anything();
        // RFC 9293 section 3.10.4: what was never answered is deleted at once, so that its ends are
        // free for another attempt before the next turn.
        if is_gone {
            tcp.unlist(flow);
        }
        self.dismiss(id);
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_abort(&mut self, id: FlowId) {
        if let Some(flow) = self.flows[id].tcp() {
            flow.connection.abort();
        }
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_connected(&mut self, id: FlowId) -> Result<(), ConnectError> {
        let Some(flow) = self.flows[id].tcp() else {
            return Ok(());
        };
        match flow.connection.end() {
            Some(End::Refused | End::Reset) => Err(ConnectError::Refused),
            Some(End::TimedOut) => Err(ConnectError::TimedOut),
            Some(End::Unreachable) => Err(ConnectError::Unreachable),
            None if flow.connection.is_connecting() => Err(ConnectError::WouldBlock),
            None | Some(End::Finished) => Ok(()),
        }
    }

    pub(crate) fn tcp_read(&mut self, id: FlowId, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let Engine { flows, budget, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return Ok(0);
        };
        if buffer.is_empty() {
            return Ok(0);
        }
        let len = flow.connection.read(buffer, budget);
        if len > 0 {
            // Only if the window is to be opened: most reads send nothing.
            if flow.connection.owes_anything() {
                self.mark_dirty(id);
            }
            return Ok(len);
        }
        nothing_to_read(flow)
    }

    /// Like reading, but it stays to be read.
    pub(crate) fn tcp_peek(&mut self, id: FlowId, buffer: &mut [u8]) -> Result<usize, ReadError> {
        match self.flows[id].tcp() {
            Some(flow) if !buffer.is_empty() => match flow.connection.peek(buffer) {
                0 => nothing_to_read(flow),
                len => Ok(len),
            },
            _ => Ok(0),
        }
    }

    pub(crate) fn tcp_write(&mut self, id: FlowId, data: &[u8]) -> Result<usize, WriteError> {
        let Engine { flows, budget, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return Err(WriteError::Closed);
        };
        let len = flow.connection.write(data, budget);
        if len > 0 {
            self.mark_dirty(id);
            return Ok(len);
        }
        match nothing_written(flow) {
            WriteError::WouldBlock if data.is_empty() && is_writable(&flow.connection) => Ok(0),
            error => Err(error),
        }
    }

    /// Bytes written and not yet acknowledged.
    pub(crate) fn tcp_unacknowledged(&mut self, id: FlowId) -> usize {
        self.flows[id].tcp().map_or(0, |flow| flow.connection.send_queue_len())
    }

    pub(crate) fn tcp_shutdown(&mut self, id: FlowId, how: Shutdown) {
        let Engine { flows, budget, .. } = self;
        if let Some(flow) = flows[id].tcp() {
            if how != Shutdown::Write {
                flow.connection.shut_read(budget);
            }
            if how != Shutdown::Read {
                flow.connection.close();
            }
        }
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_options(&mut self, id: FlowId) -> TcpOptions {
        self.flows[id].tcp().map(|flow| (*flow.connection.options()).into()).unwrap_or_default()
    }

    pub(crate) fn tcp_set_options(&mut self, id: FlowId, options: TcpOptions) {
        if let Some(flow) = self.flows[id].tcp() {
            flow.connection.set_options(options.into());
        }
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_info(&mut self, id: FlowId) -> TcpInfo {
        self.flows[id].tcp().expect("a stream's flow").connection.info()
    }

    /// Whether reading or writing (of at least a byte) would not block.
    pub(crate) fn is_tcp_ready(&mut self, id: FlowId, interest: Interest) -> bool {
        let Engine { flows, budget, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return true;
        };
        let connection = &flow.connection;
        match interest {
            Interest::Read => {
                connection.readable_len() > 0 || nothing_to_read(flow) != Err(ReadError::WouldBlock)
            }
            Interest::Write => {
                connection.has_room(budget) || nothing_written(flow) != WriteError::WouldBlock
            }
        }
    }
}

/// What reading comes to when nothing can be read at once.
fn nothing_to_read(flow: &TcpFlow) -> Result<usize, ReadError> {
    let connection = &flow.connection;
    match connection.end() {
        _ if connection.is_read_shut() => Ok(0),
        Some(End::Reset | End::Refused) => Err(ReadError::Reset),
        Some(End::TimedOut) => Err(ReadError::TimedOut),
        Some(End::Unreachable) => Err(ReadError::Unreachable),
        _ if is_readable(connection) => Ok(0),
        _ => Err(ReadError::WouldBlock),
    }
}

/// Why nothing of what there was to write was taken.
fn nothing_written(flow: &TcpFlow) -> WriteError {
    match flow.connection.end() {
        Some(End::Reset | End::Refused) => WriteError::Reset,
        Some(End::TimedOut) => WriteError::TimedOut,
        Some(End::Unreachable) => WriteError::Unreachable,
        _ if !flow.connection.may_write() => WriteError::Closed,
        _ => WriteError::WouldBlock,
    }
}
