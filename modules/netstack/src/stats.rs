//! What the stack counts.

/// Counters since the stack was made, and gauges of what it holds now.
///
/// Every frame that comes in is in `frames_received`; one that is dropped is in exactly one of the
/// `dropped_*` counters as well, unless smoltcp dropped it as malformed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames taken from the device.
    pub frames_received: u64,
    /// Frames handed to the device.
    pub frames_sent: u64,
    /// Bytes of those received, from the Ethernet header on.
    pub bytes_received: u64,
    /// Bytes of those sent, from the Ethernet header on.
    pub bytes_sent: u64,
    /// Connections whose handshake this end accepted and completed.
    pub tcp_accepted: u64,
    /// Connections that this end opened.
    pub tcp_connected: u64,
    /// Connections that the peer reset.
    pub tcp_reset: u64,
    /// Connections given up because the peer stopped answering.
    pub tcp_timed_out: u64,
    /// SYNs dropped because the listener's accept queue was full.
    pub dropped_backlog_full: u64,
    /// SYNs dropped because the memory budget was spent.
    pub dropped_no_memory: u64,
    /// Segments of a connection in TIME-WAIT that needed no answer.
    pub dropped_time_wait: u64,
    /// Half-open connections given up for newer ones.
    pub evicted_half_open: u64,

    /// Gauge: connections that the application holds.
    pub tcp_open: usize,
    /// Gauge: connections waiting to be accepted.
    pub tcp_backlog: usize,
    /// Gauge: connections whose handshake has not ended.
    pub tcp_half_open: usize,
    /// Gauge: connections that the application has dropped and that are still delivering.
    pub tcp_orphans: usize,
    /// Gauge: connections in TIME-WAIT.
    pub tcp_time_wait: usize,
    /// Gauge: listeners.
    pub tcp_listeners: usize,
    /// Gauge: UDP sockets.
    pub udp_sockets: usize,
    /// Gauge: bytes of the memory budget in use.
    pub memory_used: usize,
}
