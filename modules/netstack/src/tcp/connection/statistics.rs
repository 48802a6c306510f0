//! What a connection tells about itself.

use core::time::Duration;

use super::{Connection, State};

/// Counted since the connection began.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) segments_sent: u64,
    pub(super) segments_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_retransmitted: u64,
    pub(super) bytes_acknowledged: u64,
    pub(super) bytes_received: u64,
    pub(super) retransmissions: u32,
    pub(super) timeouts: u32,
    pub(super) tail_probes: u32,
    pub(super) out_of_order: u32,
}

/// A connection's state, as Linux's `TCP_INFO` has it. Lengths are in bytes.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let (client, server) = world::pair(&stack, &mut poll);
/// let info: TcpInfo = client.info();
/// assert_eq!((info.state, info.in_flight, info.lost), (TcpState::Established, 0, 0));
/// assert!(info.sack_permitted);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// RFC 9293 section 3.3.2.
    pub state: State,
    /// Smoothed round-trip time (RFC 6298); `None` before the first measurement.
    pub rtt: Option<Duration>,
    /// The round-trip time's variation (RFC 6298).
    pub rtt_variation: Duration,
    /// The shortest round trip measured.
    pub rtt_min: Option<Duration>,
    /// The retransmission timeout, backed off.
    pub rto: Duration,
    /// Text of a segment that is sent, at most.
    pub mss: u16,
    /// The congestion window (RFC 9438).
    pub congestion_window: u32,
    /// Where slow start ends.
    pub slow_start_threshold: u32,
    /// What the peer's window has room for, counted from what it has acknowledged.
    pub send_window: u32,
    /// What our window has room for.
    pub receive_window: u32,
    /// Written and not acknowledged.
    pub send_queue: usize,
    /// Received in order and not read.
    pub receive_queue: usize,
    /// Sent and thought to be on its way.
    pub in_flight: u32,
    /// Sent and thought to be lost.
    pub lost: u32,
    /// Sent and reported to have arrived out of order (RFC 2018).
    pub sacked: u32,
    /// Both ends do selective acknowledgements.
    pub sack_permitted: bool,
    /// The path has been seen to reorder (RFC 8985).
    pub reordering_seen: bool,
    /// Segments sent, those without text included.
    pub segments_sent: u64,
    /// Segments received.
    pub segments_received: u64,
    /// Bytes of text sent, those sent again included.
    pub bytes_sent: u64,
    /// Of those, the ones sent again.
    pub bytes_retransmitted: u64,
    /// Bytes of text that the peer has acknowledged.
    pub bytes_acknowledged: u64,
    /// Bytes of text received in order.
    pub bytes_received: u64,
    /// Segments sent again.
    pub retransmissions: u32,
    /// How often the retransmission timeout ran out.
    pub timeouts: u32,
    /// Tail loss probes sent (RFC 8985 section 7).
    pub tail_probes: u32,
    /// Segments received ahead of a hole.
    pub out_of_order: u32,
}

impl Connection {
    pub(crate) fn info(&self) -> TcpInfo {
        TcpInfo {
            state: self.state,
            rtt: self.rtt.smoothed().map(Duration::from),
            rtt_variation: self.rtt.variation().into(),
            rtt_min: self.rtt.min().map(Duration::from),
            rto: self.rtt.rto().into(),
            mss: self.mss,
            congestion_window: self.congestion.window(),
            slow_start_threshold: self.congestion.slow_start_threshold(),
            send_window: self.snd_wnd,
            receive_window: self.rcv_edge - self.rcv_nxt,
            send_queue: self.outbox.len(),
            receive_queue: self.inbox.len(),
            in_flight: self.board.flying(),
            lost: self.board.lost(),
            sacked: self.board.sacked(),
            sack_permitted: self.sack_permitted,
            reordering_seen: self.board.reordering_seen(),
            segments_sent: self.counters.segments_sent,
            segments_received: self.counters.segments_received,
            bytes_sent: self.counters.bytes_sent,
            bytes_retransmitted: self.counters.bytes_retransmitted,
            bytes_acknowledged: self.counters.bytes_acknowledged,
            bytes_received: self.counters.bytes_received,
            retransmissions: self.counters.retransmissions,
            timeouts: self.counters.timeouts,
            tail_probes: self.counters.tail_probes,
            out_of_order: self.counters.out_of_order,
        }
    }
}
