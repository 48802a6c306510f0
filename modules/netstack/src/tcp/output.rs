//! What connections send, and what follows for those who hold them.

use core::time::Duration;

use netdev::{ETHERNET_HEADER_LEN, Transmitter};
use smoltcp::wire::IpProtocol;

use super::{
    Phase, TcpFlow,
    connection::{Connection, End, State},
    mss,
    segment::CHECKSUM_AT,
};
use crate::{
    engine::{Engine, FRAMES_PER_TURN, Turn},
    flow::{FlowId, Kind},
    ip::{Body, Checksum, Header},
    stats::Stats,
    time::Instant,
};

/// How soon a neighbour is asked for again when too many others are being asked for.
const QUESTION_RETRY: Duration = Duration::from_millis(100);

/// Whether reading would not block.
pub(super) fn is_readable(connection: &Connection) -> bool {
    connection.readable_len() > 0 || connection.is_at_end()
}

/// Whether writing would not block: there is room, or there will never be any.
pub(super) fn is_writable(connection: &Connection) -> bool {
    let has_room = !connection.is_connecting() && connection.writable_len() > 0;
    has_room || !connection.may_write()
}

impl Engine {
    /// Lets a connection send what it may.
    pub(crate) fn send_tcp(&mut self, id: FlowId, tx: &mut impl Transmitter) -> Turn {
        let mut turn = Turn::default();
        let mut unresolved = None;
        let Engine { flows, ip, now, budget, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return turn;
        };
        if flow.is_retired {
            return turn;
        }
        let TcpFlow { tuple, connection, interface, next_hop, retry, .. } = flow;
        connection.on_time(*now, budget);
        if !connection.wants_to_send() {
            connection.end_turn(*now);
            *retry = None;
            return turn;
        }
        let (source, destination) = (tuple.local.ip(), tuple.remote.ip());
        let hop_limit = connection.options().hop_limit;
        let header = Header { source, destination, protocol: IpProtocol::Tcp, hop_limit };
        let offloads = ip.interface(*interface).offloads;
        let is_cut = match destination.is_ipv4() {
            true => offloads.segmentation_v4,
            false => offloads.segmentation_v6,
        };
        let (checksum, checksum_at) = match offloads.checksum {
            true => (Checksum::PseudoHeader, Some(CHECKSUM_AT)),
            false => (Checksum::Whole, None),
        };
        let headers_len = ETHERNET_HEADER_LEN + header.len();
        loop {
            // Before the card is asked for its room: what is queued takes some of it, and what has
            // been sent makes some.
            let is_ready = ip.flush(*interface, tx) && tx.is_ready();
            let len_max = if is_cut { tx.segmented_len_max() } else { 0 };
            let Some(plan) = connection.next_segment(len_max.saturating_sub(headers_len)) else {
                break;
            };
            if !is_ready {
                turn.blocked = true;
                break;
            }
            let hop = *next_hop.get_or_insert_with(|| ip.next_hop(*interface, destination));
            let station = match ip.resolve_hop(*interface, hop, *now) {
                Ok(station) => station,
                Err(error) => {
                    unresolved = Some(error);
                    break;
                }
            };
            let body = Body { len: plan.len(), checksum_at, cut: plan.cut() };
            ip.transmit_to(*interface, station, &header, body, tx, |bytes| {
                connection.write_segment(&plan, bytes, source, destination, checksum);
            });
            connection.sent(&plan, *now);
            turn.frames += 1;
            if turn.frames == FRAMES_PER_TURN || !connection.wants_to_send() {
                break;
            }
        }
        connection.end_turn(*now);
        *retry = unresolved.filter(|one| !one.is_asked).map(|_| *now + QUESTION_RETRY);
        if let Some(unresolved) = unresolved {
            self.await_neighbour(id, unresolved);
        }
        turn
    }

    /// Brings up to date what hangs on a connection. Returns whether it lives on.
    pub(crate) fn settle_tcp(&mut self, id: FlowId) -> bool {
        self.note_end(id);
        let now = self.now;
        let Some(flow) = self.flows[id].tcp() else {
            return true;
        };
        let state = flow.connection.state();
        if state == State::TimeWait && !flow.connection.owes_anything() {
            self.retire(id);
        }
        let Some(flow) = self.flows[id].tcp() else {
            return true;
        };
        let is_over = state == State::Closed;
        match flow.phase {
            Phase::Queued(listener) => {
                let is_dead = is_over && flow.connection.readable_len() == 0;
                if is_dead {
                    self.leave_accept_queue(id, listener);
                }
                !is_dead
            }
            Phase::Open => {
                self.wake_ready(id);
                true
            }
            Phase::Orphan => {
                if flow.is_retired || (is_over && !flow.connection.owes_anything()) {
                    return false;
                }
                if !is_over && flow.has_lived(now) {
                    // The peer is told, once.
                    flow.connection.abort();
                    self.stats.tcp_timed_out += 1;
                    self.mark_dirty(id);
                }
                true
            }
        }
    }

    /// Counts a connection's end, once, and makes room for another one between the same ends.
    fn note_end(&mut self, id: FlowId) {
        let Engine { flows, tcp, stats, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return;
        };
        let Some(end) = flow.connection.end().filter(|_| !flow.is_ended) else {
            return;
        };
        flow.is_ended = true;
        match end {
            End::Reset | End::Refused => stats.tcp_reset += 1,
            End::TimedOut | End::Unreachable => stats.tcp_timed_out += 1,
            End::Finished => {}
        }
        tcp.unlist(flow);
    }

    fn wake_ready(&mut self, id: FlowId) {
        let flow = &mut self.flows[id];
        let Some(tcp) = flow.tcp() else {
            return;
        };
        let (readable, writable) = (is_readable(&tcp.connection), is_writable(&tcp.connection));
        if readable {
            flow.readers.drain_into(&mut self.woken);
        }
        if writable {
            flow.writers.drain_into(&mut self.woken);
        }
    }

    /// Moves a connection in TIME-WAIT to where it needs no buffers. What the application has not read
    /// stays.
    fn retire(&mut self, id: FlowId) {
        let Engine { flows, tcp, now, .. } = self;
        let Some(flow) = flows[id].tcp().filter(|flow| !flow.is_retired) else {
            return;
        };
        flow.is_retired = true;
        if tcp.unlist(flow) {
            let (sent, received) = (flow.connection.send_next(), flow.connection.receive_next());
            tcp.time_wait.insert(flow.tuple, sent, received, *now);
        }
    }

    /// The connection's path has changed: an address, a route or an MTU, or its neighbour was found.
    pub(crate) fn tcp_path_changed(&mut self, id: FlowId) {
        let Engine { flows, ip, .. } = self;
        let Some(flow) = flows[id].tcp() else {
            return;
        };
        let (local, remote) = (flow.tuple.local.ip(), flow.tuple.remote.ip());
        flow.next_hop = None;
        if !ip.is_ours(local) {
            // Nothing can be sent from an address that is not ours any more, nor received.
            flow.connection.fail(End::Unreachable);
        } else if let Some(path) = ip.route(remote, Some(local)) {
            flow.interface = path.interface;
            flow.connection.set_path_mss(mss(path.mtu, remote));
        }
        self.mark_dirty(id);
    }

    /// The neighbour that the connection's packets go to does not answer. It is asked again, for as
    /// long as the connection waits, because links come back; a reset is not worth that.
    pub(crate) fn tcp_neighbour_unreachable(&mut self, id: FlowId) {
        if let Some(flow) = self.flows[id].tcp()
            && flow.connection.state() == State::Closed
        {
            flow.connection.fail(End::Unreachable);
        }
        self.mark_dirty(id);
    }
}

/// What the engine asks of TCP besides.
impl Engine {
    /// Handshakes and TIME-WAIT: what is due.
    pub(crate) fn tcp_timers(&mut self) {
        self.tcp.time_wait.expire(self.now);
        self.repeat_handshakes();
    }

    /// When [`tcp_timers`](Self::tcp_timers) has something to do.
    pub(crate) fn tcp_deadline(&self) -> Option<Instant> {
        let deadlines = [self.tcp.handshakes.deadline(), self.tcp.time_wait.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Counts what the connections are.
    pub(crate) fn tcp_gauges(&self, stats: &mut Stats) {
        for (_, flow) in &self.flows {
            if let Kind::Tcp(tcp) = &flow.kind {
                match tcp.phase {
                    Phase::Queued(_) => stats.tcp_backlog += 1,
                    Phase::Open => stats.tcp_open += 1,
                    Phase::Orphan => stats.tcp_orphans += 1,
                }
            }
        }
        stats.tcp_half_open = self.tcp.handshakes.len() as u64;
        stats.tcp_time_wait = self.tcp.time_wait.len() as u64;
        stats.tcp_listeners = self.tcp.listeners.len() as u64;
    }
}
