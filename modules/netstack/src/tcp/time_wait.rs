//! Connections in TIME-WAIT, a few dozen bytes each, after their sockets and buffers are gone
//! (RFC 9293 section 3.10.7.4).

use alloc::collections::VecDeque;
use core::time::Duration;

use hashbrown::HashMap;

use super::{segment::Segment, seq::Seq};
use crate::{flow::Tuple, hash::TableHasher, time::Instant};

/// How long a connection stays. RFC 9293 asks for twice the maximum segment lifetime; 10 s do,
/// because a new SYN with a higher sequence number is let through anyway (RFC 6191).
const TIME_WAIT: Duration = Duration::from_secs(10);

/// Connections kept at most, about 1 MiB; the oldest leaves early when a new one comes.
const LEN_MAX: usize = 8192;

/// What to do with a segment for a connection in TIME-WAIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// No such connection.
    Unknown,
    /// A new connection may take the place of the old one. Its numbers begin with `above` or later
    /// (RFC 9293 section 3.6.1).
    Reuse { above: Seq },
    /// The peer has not seen our last acknowledgement: it is sent again, with these numbers.
    Acknowledge { seq: Seq, ack: Seq },
    /// Nothing to say.
    Drop,
}

#[derive(Debug)]
struct Entry {
    /// Behind our FIN.
    send_next: Seq,
    /// Behind the peer's FIN.
    receive_next: Seq,
    expires: Instant,
}

#[derive(Debug)]
pub(crate) struct TimeWait {
    entries: HashMap<Tuple, Entry, TableHasher>,
    /// In the order of expiry. May name entries that have been renewed or reused since.
    queue: VecDeque<(Instant, Tuple)>,
}

impl TimeWait {
    pub(crate) fn new(hasher: TableHasher) -> Self {
        TimeWait { entries: HashMap::with_hasher(hasher), queue: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.entries.contains_key(tuple)
    }

    /// Whether a connection of a local port is here. Looks at all of them.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.entries.keys().any(|tuple| tuple.local.port() == port)
    }

    pub(crate) fn insert(&mut self, tuple: Tuple, send_next: Seq, receive_next: Seq, now: Instant) {
        // The queue, not the table: a tuple that is reused over and over has many places in it.
        if self.queue.len() >= LEN_MAX {
            self.forget_oldest();
        }
        let expires = (now + TIME_WAIT).rounded_up();
        self.entries.insert(tuple, Entry { send_next, receive_next, expires });
        self.queue.push_back((expires, tuple));
    }

    pub(crate) fn judge(&self, tuple: &Tuple, segment: &Segment<'_>) -> Judgement {
        let Some(entry) = self.entries.get(tuple) else {
            return Judgement::Unknown;
        };
        if segment.flags.rst {
            // RFC 1337: a reset must not end TIME-WAIT.
            Judgement::Drop
        } else if segment.flags.syn && segment.ack.is_none() && entry.receive_next < segment.seq {
            Judgement::Reuse { above: entry.send_next }
        } else if segment.flags.fin && segment.ack.is_some() {
            Judgement::Acknowledge { seq: entry.send_next, ack: entry.receive_next }
        } else {
            Judgement::Drop
        }
    }

    /// A new connection takes the place of the old one.
    pub(crate) fn remove(&mut self, tuple: &Tuple) {
        self.entries.remove(tuple);
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
    use crate::tcp::segment::{Flags, SegmentOptions};

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: SocketAddr::from(([10, 0, 0, 1], 80)),
            remote: SocketAddr::from(([10, 0, 0, 2], port)),
        }
    }

    fn segment(seq: u32) -> Segment<'static> {
        Segment {
            source_port: 1000,
            destination_port: 80,
            seq: Seq(seq),
            ack: None,
            flags: Flags::default(),
            window: 0,
            options: SegmentOptions::default(),
            payload: &[],
        }
    }

    fn waiting() -> TimeWait {
        let mut time_wait = TimeWait::new(crate::hash::table_hasher(1));
        time_wait.insert(tuple(1000), Seq(7), Seq(500), Instant::ZERO);
        time_wait
    }

    #[test]
    fn a_newer_syn_reuses_and_an_older_one_does_not() {
        let mut time_wait = waiting();
        let judge = |time_wait: &TimeWait, seq| {
            let flags = Flags { syn: true, ..Flags::default() };
            time_wait.judge(&tuple(1000), &Segment { flags, ..segment(seq) })
        };
        assert_eq!(judge(&time_wait, 500), Judgement::Drop);
        assert_eq!(judge(&time_wait, 499), Judgement::Drop);
        assert_eq!(judge(&time_wait, 501), Judgement::Reuse { above: Seq(7) });
        time_wait.remove(&tuple(1000));
        assert_eq!(judge(&time_wait, 501), Judgement::Unknown);
    }

    #[test]
    fn a_repeated_fin_is_acknowledged_and_a_reset_ignored() {
        let time_wait = waiting();
        let judge = |flags, seq| {
            time_wait.judge(&tuple(1000), &Segment { ack: Some(Seq(7)), flags, ..segment(seq) })
        };
        let fin = Flags { fin: true, ..Flags::default() };
        let rst = Flags { rst: true, ..Flags::default() };
        let acknowledge = Judgement::Acknowledge { seq: Seq(7), ack: Seq(500) };
        assert_eq!(judge(fin, 499), acknowledge);
        assert_eq!(judge(Flags::default(), 500), Judgement::Drop);
        assert_eq!(judge(rst, 500), Judgement::Drop);
        assert_eq!(time_wait.len(), 1);
        assert!(time_wait.has_port(80) && !time_wait.has_port(81));
    }

    #[test]
    fn entries_expire_and_the_table_is_bounded() {
        let mut time_wait = waiting();
        assert_eq!(time_wait.deadline(), Some(Instant::ZERO + TIME_WAIT));
        time_wait.expire(Instant::ZERO + TIME_WAIT);
        assert_eq!((time_wait.len(), time_wait.deadline()), (0, None));

        for port in 0..=LEN_MAX as u16 {
            time_wait.insert(tuple(port), Seq(0), Seq(0), Instant::ZERO);
        }
        assert_eq!(time_wait.len(), LEN_MAX);
        assert!(!time_wait.contains(&tuple(0)) && time_wait.contains(&tuple(1)));
        // One tuple that comes again and again does not grow the queue.
        for _ in 0..=LEN_MAX {
            time_wait.insert(tuple(1), Seq(0), Seq(0), Instant::ZERO);
        }
        assert_eq!((time_wait.len(), time_wait.queue.len()), (1, LEN_MAX));
    }
}
