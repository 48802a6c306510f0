//! Datagrams on their way out.
//!
//! A datagram for a neighbour that has not answered yet is parked, so that it holds up nobody else's;
//! if no answer comes it is dropped, as RFC 1122 section 2.3.2.2 allows.

use alloc::{collections::VecDeque, vec::Vec};
use core::{net::SocketAddr, time::Duration};

use crate::time::Instant;

/// Bytes that may wait: one datagram of the largest size.
pub(crate) const LEN_MAX: usize = 64 * 1024;
/// Datagrams that may wait to be sent, and as many for neighbours: what a transmit ring holds.
const DATAGRAMS_MAX: usize = 256;
/// How long a datagram waits for its neighbour: one question and a generous answer.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) to: SocketAddr,
    pub(crate) data: Vec<u8>,
    /// When it is dropped, once it has waited for a neighbour.
    give_up: Option<Instant>,
}

impl Datagram {
    pub(crate) fn new(to: SocketAddr, data: &[u8]) -> Self {
        Datagram { to, data: data.into(), give_up: None }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// To be sent, oldest first.
    ready: VecDeque<Datagram>,
    /// Waiting for neighbours, by when they are given up.
    parked: VecDeque<Datagram>,
    /// Bytes in both.
    len: usize,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.parked.is_empty()
    }

    /// Whether a datagram of usual size may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() < DATAGRAMS_MAX && self.len < LEN_MAX / 2
    }

    /// Returns whether there was room, and how many parked datagrams were dropped to make it: those for
    /// others. Whoever sends a lot to a neighbour that has not answered yet waits for the answer.
    pub(crate) fn push(&mut self, datagram: Datagram) -> (bool, u64) {
        let mut dropped = 0;
        while self.len + datagram.data.len() > LEN_MAX
            && let Some(oldest) = self.parked.pop_front_if(|oldest| oldest.to != datagram.to)
        {
            self.len -= oldest.data.len();
            dropped += 1;
        }
        let fits = self.ready.len() < DATAGRAMS_MAX && self.len + datagram.data.len() <= LEN_MAX;
        if fits {
            self.len += datagram.data.len();
            self.ready.push_back(datagram);
        }
        (fits, dropped)
    }

    pub(crate) fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.ready.pop_front()?;
        self.len -= datagram.data.len();
        Some(datagram)
    }

    /// Sets a datagram aside. Returns how many were dropped for it.
    pub(crate) fn park(&mut self, mut datagram: Datagram, now: Instant) -> u64 {
        let give_up = *datagram.give_up.get_or_insert(now + PATIENCE);
        let is_full = self.parked.len() >= DATAGRAMS_MAX;
        if is_full && let Some(oldest) = self.parked.pop_front() {
            self.len -= oldest.data.len();
        }
        self.len += datagram.data.len();
        let place = self.parked.partition_point(|other| other.give_up <= Some(give_up));
        self.parked.insert(place, datagram);
        u64::from(is_full)
    }

    /// Has every parked datagram tried again: a neighbour may have answered.
    pub(crate) fn unpark(&mut self) {
        while let Some(datagram) = self.parked.pop_back() {
            self.ready.push_front(datagram);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.parked.front().and_then(|datagram| datagram.give_up)
    }

    /// Drops what has waited long enough. Returns how many.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let mut dropped = 0;
        while self.deadline().is_some_and(|give_up| give_up <= now) {
            let datagram = self.parked.pop_front().expect("it has a deadline");
            self.len -= datagram.data.len();
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(last: u8, len: usize) -> Datagram {
        Datagram::new(SocketAddr::from(([10, 0, 0, last], 7)), &alloc::vec![last; len])
    }

    #[test]
    fn parked_datagrams_come_back_in_order_and_expire() {
        let mut outbox = Outbox::default();
        let second = Instant::ZERO + PATIENCE;
        for last in 1..=3 {
            assert_eq!(outbox.push(datagram(last, 10)), (true, 0));
        }
        let (first, other) = (outbox.pop().unwrap(), outbox.pop().unwrap());
        outbox.park(first, Instant::ZERO);
        outbox.park(other, Instant::from_micros(5));
        outbox.unpark();
        assert_eq!(outbox.pop().map(|datagram| datagram.data[0]), Some(1));
        let other = outbox.pop().unwrap();
        outbox.park(other, Instant::from_micros(900_000));
        assert_eq!(
            outbox.deadline(),
            Some(second + Duration::from_micros(5)),
            "it does not begin anew"
        );
        assert_eq!(outbox.expire(second), 0);
        assert_eq!(outbox.expire(second + Duration::from_micros(5)), 1);
        assert_eq!((outbox.pop().map(|datagram| datagram.data[0]), outbox.len), (Some(3), 0));
    }

    #[test]
    fn room_is_bounded_by_number_and_by_length() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(datagram(1, LEN_MAX)), (true, 0));
        assert_eq!((outbox.push(datagram(1, 1)), outbox.has_room()), ((false, 0), false));
        let parked = outbox.pop().unwrap();
        outbox.park(parked, Instant::ZERO);
        assert_eq!(outbox.push(datagram(1, 1)), (false, 0), "it waits for the same neighbour");
        assert_eq!(outbox.push(datagram(2, 1)), (true, 1), "what is parked for others makes room");
        outbox.pop();
        assert!((0..DATAGRAMS_MAX).all(|_| outbox.push(datagram(1, 0)).0));
        assert!(!outbox.push(datagram(1, 0)).0);
        let dropped: u64 =
            (0..=DATAGRAMS_MAX).map(|_| outbox.park(datagram(1, 1), Instant::ZERO)).sum();
        assert_eq!((dropped, outbox.len), (1, DATAGRAMS_MAX));
    }
}
