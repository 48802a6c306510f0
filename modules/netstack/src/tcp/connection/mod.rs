//! One TCP connection (RFC 9293): segments, calls and the time in; segments and a deadline out.
//!
//! It knows no socket, no table and no device. Whoever owns it hands it segments
//! ([`Connection::on_segment`]), lets it look at the time ([`Connection::on_time`]), sends what it
//! plans ([`Connection::next_segment`], [`Connection::sent`]) and asks when it is due.
//!
//! | module | what lives there |
//! |---|---|
//! | `arrival` | segments that arrive: RFC 9293 section 3.10.7, RFC 5961 |
//! | `acknowledge` | what an acknowledgement means for what was sent |
//! | `transmit` | what is sent next |
//! | `timers` | retransmission, probes, keep-alive, giving up |
//! | `scoreboard`, `congestion`, `cubic`, `rtt` | loss detection, how much may be in flight, for how long |
//! | `ring`, `reassembly` | bytes to be acknowledged, bytes to be read |

mod acknowledge;
mod arrival;
mod congestion;
mod cubic;
mod options;
mod reassembly;
mod ring;
mod rtt;
mod scoreboard;
mod statistics;
#[cfg(test)]
mod tests;
mod timers;
mod transmit;

pub(crate) use arrival::Reaction;
use congestion::Congestion;
pub use options::KeepAlive;
pub(crate) use options::{BUFFER_LEN_MAX, BUFFER_LEN_MIN, Options};
use reassembly::Reassembly;
use ring::Ring;
use rtt::Rtt;
use scoreboard::Scoreboard;
use statistics::Counters;
pub use statistics::TcpInfo;

use super::{segment::Block, seq::Seq};
use crate::{
    flow::Budget,
    time::{Instant, Span},
};

/// What a peer takes that does not say (RFC 9293 section 3.7.1).
const MSS_DEFAULT: u16 = 536;
/// No path is so narrow, and smaller segments would be all header: as Linux has it, and more than
/// the longest options.
const MSS_MIN: u16 = 48;

/// RFC 9293 section 3.3.2. LISTEN is the listener's; TIME-WAIT is left to a table of its own.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let (client, server) = world::pair(&stack, &mut poll);
/// client.shutdown(Shutdown::Write);
/// poll();
/// assert_eq!(client.info().state, TcpState::FinWait2);
/// assert_eq!(server.info().state, TcpState::CloseWait);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A SYN was sent.
    SynSent,
    /// SYNs crossed (simultaneous open).
    SynReceived,
    /// Open both ways.
    Established,
    /// This end has finished; its FIN is not acknowledged.
    FinWait1,
    /// This end has finished, the peer knows it.
    FinWait2,
    /// The peer has finished.
    CloseWait,
    /// Both have finished, at once; our FIN is not acknowledged.
    Closing,
    /// Both have finished, the peer first; our FIN is not acknowledged.
    LastAck,
    /// Both have finished and know it; late segments may come.
    TimeWait,
    /// There is no connection.
    Closed,
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both ends have finished, or this one has given it up.
    Finished,
    Refused,
    Reset,
    TimedOut,
    Unreachable,
}

/// What a connection is to send besides data, at the next opportunity.
#[derive(Debug, Default)]
struct Owed {
    syn: bool,
    ack: bool,
    reset: bool,
    /// A segment that only asks for an acknowledgement: of the window, or of being there.
    probe: bool,
    /// A tail loss probe.
    tail_probe: bool,
    /// Less than a full segment, because the peer's window has room for no more.
    push: bool,
}

/// Both ends' ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) local: u16,
    pub(crate) remote: u16,
}

/// What both SYNs of a handshake said that this end answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handshake {
    pub(crate) iss: Seq,
    pub(crate) irs: Seq,
    pub(crate) peer_mss: Option<u16>,
    pub(crate) peer_window: u16,
    /// `None` if windows are not scaled either way (RFC 7323 section 2.2).
    pub(crate) peer_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    /// The round trip that the handshake took, if nothing of it was repeated.
    pub(crate) rtt: Option<Span>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    ports: Ports,
    state: State,
    end: Option<End>,
    options: Options,

    // Sending: the variables of RFC 9293 section 3.3.1.
    iss: Seq,
    snd_una: Seq,
    snd_nxt: Seq,
    snd_wnd: u32,
    snd_wnd_max: u32,
    snd_wl1: Seq,
    snd_wl2: Seq,
    snd_scale: u8,
    sack_permitted: bool,
    /// Text of a segment at most, each way of announcing it considered.
    mss: u16,
    /// The same as far as the path to the peer allows.
    path_mss: u16,
    /// What was written and is not acknowledged; it begins at `snd_una`.
    outbox: Ring,
    fin_sent: bool,
    /// Closed while the handshake goes on.
    closes_early: bool,
    board: Scoreboard,
    congestion: Congestion,
    rtt: Rtt,
    /// Acknowledgements that told nothing new, in a row; for peers without SACK.
    duplicates: u32,
    /// The congestion window held back what could have been sent up to here.
    limited_until: Option<Seq>,
    /// Where a tail loss probe ends that is not acknowledged, and whether it repeated something.
    tail_probe: Option<(Seq, bool)>,

    // Receiving.
    irs: Seq,
    rcv_nxt: Seq,
    /// The right edge of the window as announced; it never moves back.
    rcv_edge: Seq,
    rcv_scale: u8,
    inbox: Reassembly,
    /// Where the peer's FIN stands, once it has come.
    fin_at: Option<Seq>,
    read_shut: bool,
    /// The largest text of a segment so far.
    segment_len_max: u16,
    /// Bytes received since the last acknowledgement.
    unacknowledged: u32,
    /// Text that arrived twice, to be reported once (RFC 2883).
    duplicate: Option<Block>,

    owed: Owed,
    /// When something is due, as of the last look: nothing is before that.
    due: Option<Instant>,
    ack_due: Option<Instant>,
    /// When a hole is taken for a loss unless it is filled.
    reorder_due: Option<Instant>,
    /// Since when the retransmission timer runs.
    rto_from: Instant,
    last_sent: Instant,
    /// When something was last sent that had not been sent before.
    last_new: Instant,
    heard: Instant,
    /// Since when the peer has owed an acknowledgement.
    waiting_since: Option<Instant>,
    /// Since when the peer's window has been in the way with nothing in flight.
    blocked_since: Option<Instant>,
    probed: Instant,
    probes: u8,
    challenged: Option<Instant>,
    counters: Counters,
}

impl Connection {
    /// A connection whose SYN is to be sent (RFC 9293 section 3.10.1).
    pub(crate) fn connect(ports: Ports, iss: Seq, path_mss: u16, options: Options) -> Self {
        let connection = Self::new(ports, iss, path_mss, options);
        Connection { owed: Owed { syn: true, ..Owed::default() }, ..connection }
    }

    /// A connection whose handshake the peer began and is completing (RFC 9293 section 3.10.7.4, in
    /// SYN-RECEIVED); the segment that completes it comes next.
    pub(crate) fn accept(
        ports: Ports,
        handshake: &Handshake,
        path_mss: u16,
        options: Options,
        now: Instant,
    ) -> Self {
        let mut connection = Self::new(ports, handshake.iss, path_mss, options);
        connection.snd_nxt = handshake.iss + 1;
        connection.snd_una = connection.snd_nxt;
        connection.adopt(handshake, now);
        if handshake.rtt.is_none() {
            connection.rtt.syn_was_lost();
        }
        connection.state = State::Established;
        connection
    }

    fn new(ports: Ports, iss: Seq, path_mss: u16, options: Options) -> Self {
        Connection {
            ports,
            state: State::SynSent,
            end: None,
            iss,
            snd_una: iss,
            snd_nxt: iss,
            snd_wnd: 0,
            snd_wnd_max: 0,
            snd_wl1: Seq::default(),
            snd_wl2: iss,
            snd_scale: 0,
            sack_permitted: false,
            mss: MSS_DEFAULT.min(path_mss),
            path_mss,
            outbox: Ring::default(),
            fin_sent: false,
            closes_early: false,
            board: Scoreboard::default(),
            congestion: Congestion::new(u32::from(MSS_DEFAULT.min(path_mss))),
            rtt: Rtt::new(),
            duplicates: 0,
            limited_until: None,
            tail_probe: None,
            irs: Seq::default(),
            rcv_nxt: Seq::default(),
            rcv_edge: Seq::default(),
            rcv_scale: options.window_scale(),
            inbox: Reassembly::default(),
            fin_at: None,
            read_shut: false,
            segment_len_max: MSS_DEFAULT,
            unacknowledged: 0,
            duplicate: None,
            owed: Owed::default(),
            due: None,
            ack_due: None,
            reorder_due: None,
            rto_from: Instant::ZERO,
            last_sent: Instant::ZERO,
            last_new: Instant::ZERO,
            heard: Instant::ZERO,
            waiting_since: None,
            blocked_since: None,
            probed: Instant::ZERO,
            probes: 0,
            challenged: None,
            counters: Counters::default(),
            options,
        }
    }

    /// Takes over what the peer's SYN said.
    fn adopt(&mut self, handshake: &Handshake, now: Instant) {
        self.irs = handshake.irs;
        self.rcv_nxt = handshake.irs + 1;
        self.rcv_edge = self.rcv_nxt + u32::from(self.options.syn_window());
        self.snd_wl1 = handshake.irs;
        self.snd_wl2 = self.snd_una;
        self.snd_wnd = u32::from(handshake.peer_window);
        self.snd_wnd_max = self.snd_wnd;
        match handshake.peer_scale {
            Some(scale) => self.snd_scale = scale,
            None => {
                self.rcv_scale = 0;
                self.set_options(self.options);
            }
        }
        self.sack_permitted = handshake.sack_permitted;
        let peer_mss = handshake.peer_mss.unwrap_or(MSS_DEFAULT).max(MSS_MIN);
        self.mss = peer_mss.min(self.path_mss);
        self.congestion.begin(u32::from(self.mss));
        if let Some(rtt) = handshake.rtt {
            self.rtt.sample(rtt);
        }
        self.heard = now;
        self.last_sent = now;
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Why it is closed, if it is.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether the handshake goes on.
    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.state, State::SynSent | State::SynReceived)
    }

    /// Behind the peer's FIN, once it has come and all before it.
    pub(crate) fn receive_next(&self) -> Seq {
        self.rcv_nxt
    }

    /// Whether a number was sent and is not acknowledged: what ICMP errors about this connection quote
    /// (RFC 5927 section 4.1).
    pub(crate) fn is_in_flight(&self, seq: Seq) -> bool {
        self.snd_una <= seq && seq < self.snd_nxt
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The path carries segments of `path_mss`: its MTU has changed. What was sent in larger ones and
    /// is not acknowledged is sent again.
    pub(crate) fn set_path_mss(&mut self, path_mss: u16) {
        let path_mss = path_mss.max(MSS_MIN);
        if path_mss < self.mss {
            self.mss = path_mss;
            self.congestion.set_mss(u32::from(path_mss));
            self.board.lose_everything();
        }
        self.path_mss = path_mss;
    }

    /// A router says how much the path carries. It cannot be more than our own link does (RFC 8201
    /// section 4).
    pub(crate) fn lower_path_mss(&mut self, path_mss: u16) {
        self.set_path_mss(path_mss.min(self.path_mss));
    }
}

/// What the application asks for.
impl Connection {
    /// Bytes that can be read at once.
    pub(crate) fn readable_len(&self) -> usize {
        self.inbox.len()
    }

    /// Whether no more than what can be read at once will ever come.
    pub(crate) fn is_at_end(&self) -> bool {
        let state_is_open = matches!(
            self.state,
            State::SynSent
                | State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
        );
        self.read_shut || !state_is_open
    }

    /// Whether this end may still write.
    pub(crate) fn may_write(&self) -> bool {
        match self.state {
            State::SynSent | State::SynReceived => !self.closes_early,
            State::Established | State::CloseWait => true,
            _ => false,
        }
    }

    /// Bytes written and not acknowledged.
    pub(crate) fn send_queue_len(&self) -> usize {
        self.outbox.len()
    }

    /// Bytes that the send buffer has room for, memory permitting.
    pub(crate) fn writable_len(&self) -> usize {
        match self.may_write() && !self.is_connecting() {
            true => self.options.send_buffer_len.saturating_sub(self.outbox.len()),
            false => 0,
        }
    }

    /// Whether there is room, and memory, for at least a byte.
    pub(crate) fn has_room(&self, budget: &Budget) -> bool {
        self.writable_len() > 0 && self.outbox.may_grow(budget)
    }

    /// Reads what has arrived. Opens the window when enough has been read.
    pub(crate) fn read(&mut self, buffer: &mut [u8], budget: &mut Budget) -> usize {
        let len = self.inbox.read(buffer, budget);
        self.owed.ack |= len > 0 && self.is_window_update_due();
        len
    }

    pub(crate) fn peek(&self, buffer: &mut [u8]) -> usize {
        self.inbox.peek(buffer)
    }

    /// Queues as much of `data` as there is room for.
    pub(crate) fn write(&mut self, data: &[u8], budget: &mut Budget) -> usize {
        let len = data.len().min(self.writable_len());
        if len == 0 {
            return 0;
        }
        let queued = self.outbox.len();
        let room = self.outbox.make_room(queued + len, budget);
        let len = len.min(room - queued);
        self.outbox.write_at(queued, &data[..len]);
        self.outbox.extend(len);
        len
    }

    /// A FIN follows what has been written (RFC 9293 section 3.10.4).
    pub(crate) fn close(&mut self) {
        match self.state {
            State::SynSent => self.finish(End::Finished),
            // The FIN waits for the peer's word on our SYN.
            State::SynReceived => self.closes_early = true,
            State::Established => self.state = State::FinWait1,
            State::CloseWait => self.state = State::LastAck,
            _ => {}
        }
    }

    /// Nothing will be read any more: what comes is acknowledged and thrown away, because a closed
    /// window would stall the peer.
    pub(crate) fn shut_read(&mut self, budget: &mut Budget) {
        self.read_shut = true;
        self.discard_input(budget);
    }

    fn discard_input(&mut self, budget: &mut Budget) {
        self.inbox.discard(self.inbox.len(), budget);
        self.owed.ack |= self.is_window_update_due();
    }

    /// Resets the connection (RFC 9293 section 3.10.5).
    pub(crate) fn abort(&mut self) {
        if self.state == State::Closed {
            // The reset may be owed yet.
            return;
        }
        let is_synchronised = !matches!(self.state, State::SynSent | State::TimeWait);
        self.finish(End::Finished);
        self.owed.reset = is_synchronised;
    }

    /// It is over: nothing is sent any more.
    fn finish(&mut self, end: End) {
        self.state = State::Closed;
        self.end.get_or_insert(end);
        self.owed = Owed::default();
        self.ack_due = None;
        self.board.clear();
    }

    /// The path to the peer is gone.
    pub(crate) fn fail(&mut self, end: End) {
        self.finish(end);
    }

    /// Gives all buffers back. What was received is lost.
    pub(crate) fn release(&mut self, budget: &mut Budget) {
        self.inbox.release(budget);
        self.outbox.release(budget);
    }
}

impl Connection {
    /// A receive buffer larger than the window scale can say would never fill.
    pub(crate) fn set_options(&mut self, options: Options) {
        let announceable = usize::from(u16::MAX) << self.rcv_scale;
        let receive_buffer_len = options.receive_buffer_len.min(announceable);
        self.options = Options { receive_buffer_len, ..options };
        self.owed.ack |= self.is_window_update_due();
    }

    /// Whether something is to be sent besides what was written.
    pub(crate) fn owes_anything(&self) -> bool {
        self.owed.ack || self.owed.reset
    }

    pub(crate) fn is_read_shut(&self) -> bool {
        self.read_shut
    }

    /// Behind all that was sent.
    pub(crate) fn send_next(&self) -> Seq {
        self.snd_nxt
    }
}
