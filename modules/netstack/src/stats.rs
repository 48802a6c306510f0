//! What the stack counts.

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the stack was made, and gauges of what it holds now.
        ///
        /// Every frame that comes in is in `frames_received`. Not every drop has a counter yet: those
        /// of malformed frames, of impossible sources and of full UDP buffers have none.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Every figure with its name, in the order of the struct.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

stats! {
    /// Frames taken from the device.
    frames_received,
    /// Frames handed to the device.
    frames_sent,
    /// Bytes of those received, from the Ethernet header on.
    bytes_received,
    /// Bytes of those sent, from the Ethernet header on.
    bytes_sent,
    /// Connections whose handshake this end accepted and completed.
    tcp_accepted,
    /// Connections that this end opened.
    tcp_connected,
    /// Connections that the peer reset.
    tcp_reset,
    /// Connections given up because the peer stopped answering.
    tcp_timed_out,
    /// SYNs dropped because the listener's accept queue was full.
    dropped_backlog_full,
    /// SYNs dropped because the memory budget was spent.
    dropped_no_memory,
    /// Datagrams dropped because the neighbour they were for did not answer.
    dropped_no_neighbour,
    /// Segments of a connection in TIME-WAIT that needed no answer.
    dropped_time_wait,
    /// Half-open connections given up for newer ones.
    evicted_half_open,
    /// Gauge: connections that the application holds.
    tcp_open,
    /// Gauge: connections waiting to be accepted.
    tcp_backlog,
    /// Gauge: connections whose handshake has not ended.
    tcp_half_open,
    /// Gauge: connections that the application has dropped and that are still delivering.
    tcp_orphans,
    /// Gauge: connections in TIME-WAIT.
    tcp_time_wait,
    /// Gauge: listeners.
    tcp_listeners,
    /// Gauge: UDP sockets.
    udp_sockets,
    /// Gauge: bytes of the memory budget in use.
    memory_used,
}
