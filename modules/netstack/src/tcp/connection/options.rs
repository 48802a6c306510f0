//! What an application sets on a connection or, for all that come, on a listener.

use core::time::Duration;

use crate::time::Span;

/// Bytes that are written and not acknowledged at most: what 100 Mbit/s needs at 20 ms. Memory is
/// taken as they are, here and below, so that an idle connection has none.
const SEND_BUFFER_LEN: usize = 256 * 1024;
/// Bytes that are received and not read at most: four times as much, because while a hole is filled,
/// and filled again, whole round trips arrive behind it.
const RECEIVE_BUFFER_LEN: usize = 1024 * 1024;
/// The smallest that can be set: one small request.
pub(crate) const BUFFER_LEN_MIN: usize = 512;
/// The largest that can be set: what 1 Gbit/s needs at 100 ms, and some more.
pub(crate) const BUFFER_LEN_MAX: usize = 16 << 20;

/// How long data may go unacknowledged: RFC 9293 section 3.8.3 wants at least 100 s.
const USER_TIMEOUT: Span = Span::from_secs(120);
const HOP_LIMIT: u8 = 64;

/// When a silent peer is asked whether it is still there (RFC 9293 section 3.8.4).
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let (client, server) = world::pair(&stack, &mut poll);
/// # use core::time::Duration;
/// // The peer is given up after 60 + 2 * 10 seconds of silence.
/// let (idle, interval) = (Duration::from_secs(60), Duration::from_secs(10));
/// client.set_keep_alive(Some(KeepAlive { idle, interval, count: 2 }));
/// assert_eq!(client.options().keep_alive.map(|probes| probes.idle), Some(idle));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long the peer may be silent before the first probe.
    pub idle: Duration,
    /// From one probe to the next.
    pub interval: Duration,
    /// Unanswered probes after which the connection is given up.
    pub count: u8,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) nodelay: bool,
    pub(crate) keep_alive: Option<KeepAlive>,
    /// How long dropping the socket may go on delivering; zero resets at once.
    pub(crate) linger: Option<Duration>,
    /// How long data may go unacknowledged before the connection is given up (RFC 5482).
    pub(crate) user_timeout: Span,
    pub(crate) hop_limit: u8,
    pub(crate) send_buffer_len: usize,
    pub(crate) receive_buffer_len: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            nodelay: false,
            keep_alive: None,
            linger: None,
            user_timeout: USER_TIMEOUT,
            hop_limit: HOP_LIMIT,
            send_buffer_len: SEND_BUFFER_LEN,
            receive_buffer_len: RECEIVE_BUFFER_LEN,
        }
    }
}

impl Options {
    /// The shift with which the whole receive buffer can be announced (RFC 7323 section 2.3).
    pub(crate) fn window_scale(&self) -> u8 {
        let bits = usize::BITS - self.receive_buffer_len.leading_zeros();
        bits.saturating_sub(u16::BITS) as u8
    }

    /// The window in a SYN, which is never scaled.
    pub(crate) fn syn_window(&self) -> u16 {
        u16::try_from(self.receive_buffer_len).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_scale_is_just_large_enough() {
        for (len, scale) in
            [(512, 0), (65_535, 0), (65_536, 1), (RECEIVE_BUFFER_LEN, 5), (16 << 20, 9)]
        {
            let options = Options { receive_buffer_len: len, ..Options::default() };
            assert_eq!(options.window_scale(), scale);
            assert!(u64::from(u16::MAX) << scale >= len as u64);
        }
    }
}
