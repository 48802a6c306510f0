//! TCP flows: what smoltcp leaves to its user (RFC 9293).
//!
//! Demultiplexing, who owns a connection, why it ended, connections that outlive their owner, and
//! TIME-WAIT without a socket.

use core::{
    mem,
    net::{IpAddr, SocketAddr},
    task::Waker,
    time::Duration,
};

use netdev::Transmitter;
use smoltcp::{
    socket::tcp::{CongestionControl, Socket, SocketBuffer, State},
    wire::{IpListenEndpoint, TcpSeqNumber},
};

use crate::{
    engine::Engine,
    error::{ConnectError, ReadError, WriteError},
    flow::{Flow, FlowId, Kind},
    frame::{Segment, Tuple},
    isn::Numbering,
    listener::ListenerId,
    reply,
    stack::{Interest, Shutdown},
    time::{Clock, Instant},
    time_wait::Verdict,
};

/// Bytes that a connection buffers each way: what 1.3 Gbit/s needs at 0.4 ms, and 200 Mbit/s at
/// 2.6 ms.
const BUFFER_LEN: usize = 64 * 1024;
/// The same while the memory budget is tight.
const BUFFER_LEN_TIGHT: usize = 8 * 1024;
/// What a flow takes beside its buffers: smoltcp's socket, our state and table entries.
const FLOW_OVERHEAD: usize = 2 * 1024;

/// How long a SYN of ours may go unanswered. Shorter than Linux's two minutes, longer than any
/// handshake that is going to succeed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a simultaneous open may take; handshakes that a peer began have no socket yet.
const HALF_OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long data may go unacknowledged: RFC 9293 section 3.8.3 wants at least 100 s.
const USER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a peer that has our FIN may keep an ownerless connection half open, as Linux has it.
const FIN_WAIT_2_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an ownerless connection may take to deliver, even if the peer keeps answering.
const ORPHAN_LIFETIME: Duration = Duration::from_secs(300);
/// How long an ownerless connection may look for the neighbour that its reset goes to.
const RESET_TIMEOUT: Duration = Duration::from_secs(1);
/// Delayed acknowledgement: well under the 200 ms after which peers retransmit.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(10);
/// The shortest interval of keep-alive probes, as Linux has it.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);
/// Unanswered keep-alive probes after which the peer is taken for gone.
const KEEP_ALIVE_PROBES: u32 = 4;

/// Who holds a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A listener's, while its handshake is being completed.
    HalfOpen(ListenerId),
    /// A listener's, in its accept queue.
    Queued(ListenerId),
    /// The application's.
    Open,
    /// Nobody's: it delivers what it has, then goes.
    Orphan,
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both ends have finished.
    Finished,
    Refused,
    Reset,
    TimedOut,
}

#[derive(Debug)]
pub(crate) struct TcpFlow {
    pub(crate) tuple: Tuple,
    pub(crate) numbering: Numbering,
    pub(crate) phase: Phase,
    pub(crate) end: Option<End>,
    /// When an orphan is given up.
    give_up: Option<Instant>,
    /// How long the peer may be silent in the flow's present state. smoltcp's own timeout counts the
    /// silence before there was anything to wait for, and so resets what was idle.
    patience: Option<Duration>,
    /// When the peer was last heard, or the present patience with it began.
    silent_since: Instant,
    /// TIME-WAIT goes on without the socket, which is only read from.
    pub(crate) is_retired: bool,
    /// smoltcp's state when the flow was last settled.
    state: State,
    /// The sequence number behind the peer's FIN, for TIME-WAIT.
    receive_next: TcpSeqNumber,
    read_shut: bool,
    keep_alive: Option<Duration>,
}

impl TcpFlow {
    fn is_connecting(&self) -> bool {
        self.end.is_none() && matches!(self.state, State::SynSent | State::SynReceived)
    }

    /// When the flow is given up if nothing more is heard from the peer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let patience = self.patience.map(|patience| self.silent_since + patience);
        [patience, self.give_up].into_iter().flatten().min()
    }
}

/// Whether reading would not block.
fn is_readable(flow: &TcpFlow, socket: &Socket<'_>) -> bool {
    socket.can_recv() || flow.read_shut || !(flow.is_connecting() || socket.may_recv())
}

/// Whether writing would not block.
fn is_writable(flow: &TcpFlow, socket: &Socket<'_>) -> bool {
    socket.can_send() || !(flow.is_connecting() || socket.may_send())
}

/// What arrives.
impl Engine {
    pub(crate) fn tcp_segment(
        &mut self,
        segment: &Segment,
        frame: &mut [u8],
        tx: &mut impl Transmitter,
    ) {
        // Broadcast and multicast are dropped in silence (RFC 1122 section 4.2.3.10); smoltcp answers.
        if !self.has_address(segment.tuple.local.ip()) {
            return;
        }
        if let Some(&id) = self.tuples.get(&segment.tuple) {
            return self.deliver(id, segment, frame, tx);
        }
        if self.handshakes.contains(&segment.tuple) {
            return self.continue_handshake(segment, frame, tx);
        }
        match self.time_wait.judge(segment) {
            Verdict::Unknown | Verdict::Reuse => {}
            Verdict::Acknowledge => return self.acknowledge(segment, frame, tx),
            Verdict::Drop => return self.stats.dropped_time_wait += 1,
        }
        if segment.syn && segment.ack.is_none() && !segment.rst {
            self.syn(segment, frame, tx);
        } else {
            self.feed_none(frame, tx);
        }
    }

    pub(crate) fn deliver(
        &mut self,
        id: FlowId,
        segment: &Segment,
        frame: &mut [u8],
        tx: &mut impl Transmitter,
    ) {
        let Some((flow, socket)) = self.flows[id].tcp() else {
            return;
        };
        // smoltcp counts on having sent its SYN when another comes (simultaneous open).
        if socket.state() == State::SynSent && !flow.numbering.has_begun() {
            return;
        }
        let before = socket.state();
        self.feed(id, frame, tx);
        let now = self.now;
        let Some((flow, socket)) = self.flows[id].tcp() else {
            return;
        };
        if !flow.is_connecting() {
            flow.silent_since = now;
        }
        let state = socket.state();
        if matches!(state, State::CloseWait | State::Closing | State::TimeWait)
            && before != state
            && segment.fin
        {
            flow.receive_next = segment.end();
        }
        if socket.state() == State::Closed && flow.end.is_none() && segment.rst {
            flow.end = Some(match flow.state {
                State::SynSent => End::Refused,
                _ => End::Reset,
            });
            self.stats.tcp_reset += 1;
        }
        if let Phase::HalfOpen(listener) = flow.phase
            && !matches!(state, State::Listen | State::SynReceived | State::Closed)
        {
            self.queue_for_accept(id, listener);
        }
    }

    /// Answers a repeated FIN after the socket is gone. The acknowledgement number that the peer
    /// sends is our next sequence number: it has seen our FIN.
    fn acknowledge(&mut self, segment: &Segment, frame: &[u8], tx: &mut impl Transmitter) {
        let activity = reply::acknowledge(frame, segment, tx);
        self.count_sent(&activity);
    }

    /// How much a new connection may buffer each way.
    pub(crate) fn buffer_len(&self) -> usize {
        if self.budget.is_tight() { BUFFER_LEN_TIGHT } else { BUFFER_LEN }
    }

    /// Whether the memory budget has room for a connection with such buffers.
    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        self.budget.fits(memory(len))
    }

    /// Makes a flow with a socket, if the memory budget allows.
    pub(crate) fn new_tcp(
        &mut self,
        tuple: Tuple,
        phase: Phase,
        len: usize,
        numbering: Numbering,
    ) -> Option<FlowId> {
        let memory = memory(len);
        if !self.budget.reserve(memory) {
            return None;
        }
        let buffer = || SocketBuffer::new(alloc::vec![0; len]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_ack_delay(Some(Clock::Tcp.duration(ACK_DELAY)));
        socket.set_congestion_control(CongestionControl::Reno);
        let flow = TcpFlow {
            tuple,
            numbering,
            phase,
            end: None,
            give_up: None,
            patience: None,
            silent_since: self.now,
            is_retired: false,
            state: State::Closed,
            receive_next: TcpSeqNumber::default(),
            read_shut: false,
            keep_alive: None,
        };
        let id = self.flows.insert(Flow::new(Kind::Tcp(flow), Clock::Tcp, socket, memory));
        self.tuples.insert(tuple, id);
        Some(id)
    }
}

/// What follows from a change.
impl Engine {
    /// Returns whether the flow lives on.
    pub(crate) fn settle_tcp(&mut self, id: FlowId) -> bool {
        let now = self.now;
        let Some((flow, socket)) = self.flows[id].tcp() else {
            return true;
        };
        let state = socket.state();
        if state == State::Closed && flow.end.is_none() && flow.state != State::Closed {
            flow.end = Some(match flow.state {
                State::LastAck | State::TimeWait | State::Closing => End::Finished,
                _ if flow.phase == Phase::Orphan => End::Finished,
                _ => End::TimedOut,
            });
            self.stats.tcp_timed_out += u64::from(flow.end == Some(End::TimedOut));
        }
        flow.state = state;
        if flow.read_shut && socket.can_recv() {
            // Nobody will read it; kept, it would close the window and stall the peer.
            while socket.recv(|data| (data.len(), data.len())).is_ok_and(|len| len > 0) {}
            self.mark_dirty(id);
            return true;
        }
        let patience = patience(flow, socket);
        if flow.patience != patience {
            flow.patience = patience;
            flow.silent_since = now;
        }
        if state != State::Closed && flow.deadline().is_some_and(|deadline| deadline <= now) {
            return self.give_up(id);
        }
        let (tuple, phase) = (flow.tuple, flow.phase);
        let dead = state == State::Closed && !socket.can_recv();
        if state == State::Closed && self.tuples.get(&tuple) == Some(&id) {
            // A new connection may come from the same place while the application holds this one.
            self.tuples.remove(&tuple);
        }
        match phase {
            // It is made and queued within one call, or given up there.
            Phase::HalfOpen(_) => false,
            Phase::Queued(listener) => {
                if dead {
                    self.leave_accept_queue(id, listener);
                }
                !dead
            }
            Phase::Open => {
                self.wake_ready(id);
                true
            }
            Phase::Orphan => self.settle_orphan(id, now),
        }
    }

    fn wake_ready(&mut self, id: FlowId) {
        let flow = &mut self.flows[id];
        let Some((tcp, socket)) = flow.tcp() else {
            return;
        };
        let (readable, writable) = (is_readable(tcp, socket), is_writable(tcp, socket));
        if readable {
            flow.readers.drain_into(&mut self.woken);
        }
        if writable {
            flow.writers.drain_into(&mut self.woken);
        }
    }

    fn settle_orphan(&mut self, id: FlowId, now: Instant) -> bool {
        let is_looking = self.awaiting_neighbour.contains(&id);
        let Some((flow, socket)) = self.flows[id].tcp() else {
            return false;
        };
        // Not when it was released: the time of an application's call is not known.
        flow.give_up.get_or_insert(now + ORPHAN_LIFETIME);
        match flow.state {
            // One reset has been sent, or nobody can be found to send it to.
            State::Closed => is_looking && flow.deadline().is_some_and(|deadline| deadline > now),
            State::Listen => false,
            State::TimeWait => {
                self.retire(id);
                false
            }
            _ => {
                // Data for nobody must be answered with a reset (RFC 9293 section 3.10.7.1), or the
                // peer believes it delivered.
                if socket.can_recv() {
                    socket.abort();
                    self.mark_dirty(id);
                }
                true
            }
        }
    }

    /// Resets a connection whose time is up. The flow is settled again when that has been sent.
    fn give_up(&mut self, id: FlowId) -> bool {
        if let Some((flow, socket)) = self.flows[id].tcp() {
            flow.end.get_or_insert(End::TimedOut);
            socket.abort();
        }
        self.stats.tcp_timed_out += 1;
        self.mark_dirty(id);
        true
    }

    /// Moves a connection in TIME-WAIT to where it needs no socket. The socket, if the application
    /// still has it, keeps what has not been read: smoltcp would throw that away in the end.
    pub(crate) fn retire(&mut self, id: FlowId) {
        let now = self.now;
        let Some((flow, _)) = self.flows[id].tcp() else {
            return;
        };
        if mem::replace(&mut flow.is_retired, true) {
            return;
        }
        let (tuple, receive_next) = (flow.tuple, flow.receive_next);
        self.tuples.remove(&tuple);
        self.time_wait.insert(tuple, receive_next, now);
    }
}

/// How long the peer may be silent in the flow's present state.
fn patience(flow: &TcpFlow, socket: &Socket<'_>) -> Option<Duration> {
    match flow.state {
        State::Closed if flow.phase == Phase::Orphan => Some(RESET_TIMEOUT),
        State::Closed => None,
        State::SynSent => Some(CONNECT_TIMEOUT),
        State::Listen | State::SynReceived => Some(HALF_OPEN_TIMEOUT),
        State::FinWait2 if flow.phase == Phase::Orphan => Some(FIN_WAIT_2_TIMEOUT),
        State::FinWait1 | State::Closing | State::LastAck => Some(USER_TIMEOUT),
        _ if socket.send_queue() > 0 => Some(USER_TIMEOUT),
        _ => flow.keep_alive.map(|interval| interval * KEEP_ALIVE_PROBES),
    }
}

/// What the application asks for.
impl Engine {
    /// Begins to connect from `local` (the address may be unspecified and the port zero: chosen).
    pub(crate) fn connect(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<FlowId, ConnectError> {
        let tuple = self.choose_tuple(local, remote)?;
        let numbering = self.isns.numbering(&tuple, self.now);
        let id = self
            .new_tcp(tuple, Phase::Open, self.buffer_len(), numbering)
            .ok_or(ConnectError::NoMemory)?;
        let Engine { flows, iface, .. } = self;
        if let Some((flow, socket)) = flows[id].tcp() {
            flow.state = State::SynSent;
            socket
                .connect(iface.context(), tuple.remote, tuple.local)
                .expect("a fresh socket with two specified addresses of one family");
        }
        self.stats.tcp_connected += 1;
        self.mark_dirty(id);
        Ok(id)
    }

    fn choose_tuple(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<Tuple, ConnectError> {
        if !self.is_connectable(remote) {
            return Err(ConnectError::Invalid);
        }
        let source = self.source_address(remote.ip()).ok_or(ConnectError::Unreachable)?;
        let address = match local.map(|local| local.ip()).filter(|ip| !ip.is_unspecified()) {
            None => source,
            Some(ip) if ip.is_ipv4() == remote.is_ipv4() && self.has_address(ip) => ip,
            Some(_) => return Err(ConnectError::Invalid),
        };
        let is_free = |engine: &Self, port| {
            let tuple = Tuple { local: SocketAddr::new(address, port), remote };
            !engine.tuples.contains_key(&tuple) && !engine.time_wait.contains(&tuple)
        };
        let port = match local.map_or(0, |local| local.port()) {
            0 => self.ephemeral_port(is_free).ok_or(ConnectError::NoPorts)?,
            port if is_free(self, port) => port,
            _ => return Err(ConnectError::InUse),
        };
        Ok(Tuple { local: SocketAddr::new(address, port), remote })
    }

    /// Whether a connection to `remote` makes sense: RFC 1122 section 4.2.3.10.
    fn is_connectable(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip();
        !(ip.is_unspecified() || ip.is_multicast() || self.is_broadcast(ip)) && remote.port() != 0
    }

    /// The application lets go of a connection: what it wrote is still delivered.
    pub(crate) fn release_tcp(&mut self, id: FlowId) {
        let Some((flow, socket)) = self.flows[id].tcp() else {
            return;
        };
        flow.phase = Phase::Orphan;
        // Unread data is lost, so the peer must not take it for delivered (RFC 2525 section 2.17).
        match socket.can_recv() {
            true => socket.abort(),
            false => socket.close(),
        }
        self.mark_dirty(id);
    }

    pub(crate) fn is_half_open(&mut self, id: FlowId) -> bool {
        self.flows[id].tcp().is_some_and(|(flow, _)| matches!(flow.phase, Phase::HalfOpen(_)))
    }

    pub(crate) fn tcp_abort(&mut self, id: FlowId) {
        if let Some((flow, socket)) = self.flows[id].tcp() {
            flow.end.get_or_insert(End::Finished);
            socket.abort();
        }
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_connected(&mut self, id: FlowId) -> Result<(), ConnectError> {
        match self.flows[id].tcp() {
            Some((flow, _)) => match flow.end {
                Some(End::Refused | End::Reset) => Err(ConnectError::Refused),
                Some(End::TimedOut) => Err(ConnectError::TimedOut),
                None if flow.is_connecting() => Err(ConnectError::WouldBlock),
                None | Some(End::Finished) => Ok(()),
            },
            None => Ok(()),
        }
    }

    pub(crate) fn tcp_read(&mut self, id: FlowId, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let Some((flow, socket)) = self.flows[id].tcp() else {
            return Ok(0);
        };
        if buffer.is_empty() || flow.read_shut {
            return Ok(0);
        }
        if socket.can_recv() {
            let len = socket.recv_slice(buffer).unwrap_or(0);
            self.mark_dirty(id);
            return Ok(len);
        }
        match flow.end {
            Some(End::Reset | End::Refused) => Err(ReadError::Reset),
            Some(End::TimedOut) => Err(ReadError::TimedOut),
            _ if is_readable(flow, socket) => Ok(0),
            _ => Err(ReadError::WouldBlock),
        }
    }

    pub(crate) fn tcp_write(&mut self, id: FlowId, data: &[u8]) -> Result<usize, WriteError> {
        let Some((flow, socket)) = self.flows[id].tcp() else {
            return Err(WriteError::Closed);
        };
        if socket.can_send() {
            let len = socket.send_slice(data).unwrap_or(0);
            self.mark_dirty(id);
            return Ok(len);
        }
        match flow.end {
            Some(End::Reset | End::Refused) => Err(WriteError::Reset),
            Some(End::TimedOut) => Err(WriteError::TimedOut),
            _ if is_writable(flow, socket) => Err(WriteError::Closed),
            _ => Err(WriteError::WouldBlock),
        }
    }

    /// Bytes written and not yet acknowledged.
    pub(crate) fn tcp_unacknowledged(&mut self, id: FlowId) -> usize {
        self.flows[id].tcp().map_or(0, |(_, socket)| socket.send_queue())
    }

    pub(crate) fn tcp_shutdown(&mut self, id: FlowId, how: Shutdown) {
        if let Some((flow, socket)) = self.flows[id].tcp() {
            flow.read_shut |= how != Shutdown::Write;
            if how != Shutdown::Read {
                socket.close();
            }
        }
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_set_nodelay(&mut self, id: FlowId, nodelay: bool) {
        if let Some((_, socket)) = self.flows[id].tcp() {
            socket.set_nagle_enabled(!nodelay);
        }
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_set_keep_alive(&mut self, id: FlowId, interval: Option<Duration>) {
        if let Some((flow, socket)) = self.flows[id].tcp() {
            flow.keep_alive = interval.map(|interval| interval.max(KEEP_ALIVE_MIN));
            socket.set_keep_alive(flow.keep_alive.map(|interval| Clock::Tcp.duration(interval)));
        }
        self.mark_dirty(id);
    }

    pub(crate) fn tcp_register(&mut self, id: FlowId, interest: Interest, waker: &Waker) {
        let flow = &mut self.flows[id];
        match interest {
            Interest::Read => flow.readers.register(waker),
            Interest::Write => flow.writers.register(waker),
        }
    }
}

/// What a connection takes of the memory budget.
fn memory(buffer_len: usize) -> usize {
    2 * buffer_len + FLOW_OVERHEAD
}

/// The largest segment that a packet of `mtu` bytes to `ip` carries (RFC 9293 section 3.7.1).
pub(crate) fn mss(mtu: usize, ip: IpAddr) -> u16 {
    const TCP_HEADER_LEN: usize = 20;
    let ip_header_len = if ip.is_ipv4() { 20 } else { 40 };
    u16::try_from(mtu - ip_header_len - TCP_HEADER_LEN).unwrap_or(u16::MAX)
}

/// The window scale that smoltcp announces for a buffer (RFC 7323 section 2.3).
pub(crate) fn window_scale(buffer_len: usize) -> u8 {
    let bits = usize::BITS - buffer_len.leading_zeros();
    bits.saturating_sub(u16::BITS) as u8
}

/// Where a passive socket listens: on exactly the address that the SYN came to.
pub(crate) fn listen_endpoint(local: SocketAddr) -> IpListenEndpoint {
    IpListenEndpoint { addr: Some(local.ip().into()), port: local.port() }
}
