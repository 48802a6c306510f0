//! Connections in TIME-WAIT, a few dozen bytes each, after their sockets and buffers are gone
//! (RFC 9293 section 3.10.7.4).

use alloc::collections::VecDeque;
use core::time::Duration;

use hashbrown::HashMap;
use smoltcp::wire::TcpSeqNumber;

use crate::{
    frame::{Segment, Tuple},
    hash::Keyed,
    time::Instant,
};

/// How long a connection stays. RFC 9293 asks for twice the maximum segment lifetime; like smoltcp
/// we take 10 s, because a new SYN with a higher sequence number is let through anyway (RFC 6191).
const TIME_WAIT: Duration = Duration::from_secs(10);

/// Connections kept at most, about 1 MiB; the oldest leaves early when a new one comes.
const LEN_MAX: usize = 8192;

/// What to do with a segment for a connection in TIME-WAIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No such connection.
    Unknown,
    /// A new connection may take the place of the old one, which has been forgotten.
    Reuse,
    /// The peer has not seen our last acknowledgement: acknowledge again.
    Acknowledge,
    /// Nothing to say.
    Drop,
}

#[derive(Debug)]
struct Entry {
    /// The sequence number behind the peer's FIN.
    receive_next: TcpSeqNumber,
    expires: Instant,
}

#[derive(Debug)]
pub(crate) struct TimeWait {
    entries: HashMap<Tuple, Entry, Keyed>,
    /// In the order of expiry. May name entries that have been renewed or reused since.
    queue: VecDeque<(Instant, Tuple)>,
}

impl TimeWait {
    pub(crate) fn new(hasher: Keyed) -> Self {
        TimeWait { entries: HashMap::with_hasher(hasher), queue: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.entries.contains_key(tuple)
    }

    pub(crate) fn insert(&mut self, tuple: Tuple, receive_next: TcpSeqNumber, now: Instant) {
        // The queue, not the table: a tuple that is reused over and over has many places in it.
        if self.queue.len() >= LEN_MAX {
            self.forget_oldest();
        }
        let expires = (now + TIME_WAIT).rounded_up();
        self.entries.insert(tuple, Entry { receive_next, expires });
        self.queue.push_back((expires, tuple));
    }

    pub(crate) fn judge(&mut self, segment: &Segment) -> Verdict {
        let Some(entry) = self.entries.get(&segment.tuple) else {
            return Verdict::Unknown;
        };
        if segment.rst {
            // RFC 1337: a reset must not end TIME-WAIT.
            Verdict::Drop
        } else if segment.syn && segment.ack.is_none() && segment.seq > entry.receive_next {
            self.entries.remove(&segment.tuple);
            Verdict::Reuse
        } else if segment.fin && segment.ack.is_some() {
            Verdict::Acknowledge
        } else {
            Verdict::Drop
        }
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        while self.queue.front().is_some_and(|(expires, _)| *expires <= now) {
            self.forget_oldest();
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|(expires, _)| *expires)
    }

    fn forget_oldest(&mut self) {
        let Some((expires, tuple)) = self.queue.pop_front() else {
            return;
        };
        if self.entries.get(&tuple).is_some_and(|entry| entry.expires == expires) {
            self.entries.remove(&tuple);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: SocketAddr::from(([10, 0, 0, 1], 80)),
            remote: SocketAddr::from(([10, 0, 0, 2], port)),
        }
    }

    fn segment(seq: i32) -> Segment {
        Segment {
            tuple: tuple(1000),
            seq: TcpSeqNumber(seq),
            ack: None,
            syn: false,
            fin: false,
            rst: false,
            len: 0,
        }
    }

    fn waiting() -> TimeWait {
        let mut time_wait = TimeWait::new(Keyed::new([1, 2]));
        time_wait.insert(tuple(1000), TcpSeqNumber(500), Instant::ZERO);
        time_wait
    }

    #[test]
    fn a_newer_syn_reuses_and_an_older_one_does_not() {
        let mut time_wait = waiting();
        let syn = |seq| Segment { syn: true, len: 1, ..segment(seq) };
        assert_eq!(time_wait.judge(&syn(500)), Verdict::Drop);
        assert_eq!(time_wait.judge(&syn(499)), Verdict::Drop);
        assert_eq!(time_wait.judge(&syn(501)), Verdict::Reuse);
        assert_eq!(time_wait.judge(&syn(501)), Verdict::Unknown);
    }

    #[test]
    fn a_repeated_fin_is_acknowledged_and_a_reset_ignored() {
        let mut time_wait = waiting();
        let ack = Some(TcpSeqNumber(7));
        let fin = Segment { fin: true, ack, len: 1, ..segment(499) };
        assert_eq!(time_wait.judge(&fin), Verdict::Acknowledge);
        assert_eq!(time_wait.judge(&Segment { ack, ..segment(500) }), Verdict::Drop);
        assert_eq!(time_wait.judge(&Segment { rst: true, ..segment(500) }), Verdict::Drop);
        assert_eq!(time_wait.len(), 1);
    }

    #[test]
    fn entries_expire_and_the_table_is_bounded() {
        let mut time_wait = waiting();
        assert_eq!(time_wait.deadline(), Some(Instant::ZERO + TIME_WAIT));
        time_wait.expire(Instant::ZERO + TIME_WAIT);
        assert_eq!((time_wait.len(), time_wait.deadline()), (0, None));

        for port in 0..=LEN_MAX as u16 {
            time_wait.insert(tuple(port), TcpSeqNumber(0), Instant::ZERO);
        }
        assert_eq!(time_wait.len(), LEN_MAX);
        assert!(!time_wait.contains(&tuple(0)) && time_wait.contains(&tuple(1)));
    }
}
