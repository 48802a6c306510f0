//! Datagrams on their way out.
//!
//! A datagram for a neighbour that has not answered yet is parked, so that it holds up nobody else's;
//! if no answer comes it is dropped, as RFC 1122 section 2.3.2.2 allows.

use alloc::{collections::VecDeque, vec::Vec};
use core::{net::IpAddr, time::Duration};

use super::inbox::{LIMIT_MAX, LIMIT_MIN};
use crate::{
    error::BufferError,
    ip::{Header, InterfaceId, NeighbourKey},
    time::Instant,
};

/// Bytes that may wait by default: one datagram of the largest size.
const LIMIT_DEFAULT: usize = 64 * 1024;
/// Datagrams that may wait to be sent, and as many for neighbours: what a transmit ring holds.
const DATAGRAMS_MAX: usize = 256;
/// How long a datagram waits for its neighbour: one question and a generous answer.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) interface: InterfaceId,
    pub(crate) header: Header,
    /// The source's and the destination's, of UDP.
    pub(crate) ports: Option<(u16, u16)>,
    /// Members of the group on this host get a copy.
    pub(crate) is_looped: bool,
    pub(crate) data: Vec<u8>,
    /// When it is dropped, once it has waited for a neighbour.
    pub(crate) give_up: Option<Instant>,
}

impl Datagram {
    /// What it takes of the memory budget, in bytes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Datagram>() + self.data.len()
    }
}

#[derive(Debug)]
struct Parked {
    datagram: Datagram,
    neighbour: NeighbourKey,
    give_up: Instant,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    /// To be sent, oldest first.
    ready: VecDeque<Datagram>,
    /// Waiting for neighbours, by when they are given up.
    parked: VecDeque<Parked>,
    /// Bytes in both.
    len: usize,
    limit: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox { ready: VecDeque::new(), parked: VecDeque::new(), len: 0, limit: LIMIT_DEFAULT }
    }
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.parked.is_empty()
    }

    /// Whether so much is free that those are woken who wait for room.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() < DATAGRAMS_MAX && self.len < self.limit / 2
    }

    /// Whether a datagram for `to` may be pushed, or for somebody. That does not depend on its length:
    /// the last one may go beyond the limit, as in Linux, so that whoever is told of room has it.
    ///
    /// Parked datagrams for others make room. Whoever sends a lot to a neighbour that has not answered
    /// yet waits for the answer.
    pub(crate) fn takes(&self, to: Option<IpAddr>) -> bool {
        let is_for_others = |parked: &&Parked| Some(parked.datagram.header.destination) != to;
        let lens = self.parked.iter().take_while(is_for_others).map(|one| one.datagram.data.len());
        let has_bytes = self.len < self.limit || self.len - lens.sum::<usize>() < self.limit;
        self.ready.len() < DATAGRAMS_MAX && has_bytes
    }

    /// Adds a datagram that it [takes](Self::takes). Returns how many parked ones were dropped for it,
    /// and their memory.
    pub(crate) fn push(&mut self, datagram: Datagram) -> (u64, usize) {
        let (mut dropped, mut memory) = (0, 0);
        while self.len >= self.limit
            && let Some(oldest) = self.parked.pop_front()
        {
            self.len -= oldest.datagram.data.len();
            memory += oldest.datagram.memory();
            dropped += 1;
        }
        self.len += datagram.data.len();
        self.ready.push_back(datagram);
        (dropped, memory)
    }

    /// Takes the oldest that leaves by an interface.
    pub(crate) fn pop(&mut self, interface: InterfaceId) -> Option<Datagram> {
        let index = self.ready.iter().position(|datagram| datagram.interface == interface)?;
        let datagram = self.ready.remove(index)?;
        self.len -= datagram.data.len();
        Some(datagram)
    }

    /// Sets a datagram aside. Returns how many were dropped for it, and their memory.
    pub(crate) fn park(
        &mut self,
        mut datagram: Datagram,
        neighbour: NeighbourKey,
        now: Instant,
    ) -> (u64, usize) {
        let give_up = *datagram.give_up.get_or_insert(now + PATIENCE);
        let mut dropped = (0, 0);
        if self.parked.len() >= DATAGRAMS_MAX
            && let Some(oldest) = self.parked.pop_front()
        {
            self.len -= oldest.datagram.data.len();
            dropped = (1, oldest.datagram.memory());
        }
        self.len += datagram.data.len();
        let place = self.parked.partition_point(|other| other.give_up <= give_up);
        self.parked.insert(place, Parked { datagram, neighbour, give_up });
        dropped
    }

    /// A neighbour has answered: what waits for it is sent before everything else.
    pub(crate) fn unpark(&mut self, neighbour: NeighbourKey) {
        let (found, rest): (VecDeque<_>, VecDeque<_>) =
            self.parked.drain(..).partition(|parked| parked.neighbour == neighbour);
        self.parked = rest;
        found.into_iter().rev().for_each(|parked| self.ready.push_front(parked.datagram));
    }

    /// A neighbour does not answer. Returns how many datagrams that costs, and their memory.
    pub(crate) fn drop_parked(&mut self, neighbour: NeighbourKey) -> (u64, usize) {
        let (mut dropped, mut memory) = (0, 0);
        let len = &mut self.len;
        self.parked.retain(|parked| {
            let is_lost = parked.neighbour == neighbour;
            if is_lost {
                *len -= parked.datagram.data.len();
                memory += parked.datagram.memory();
                dropped += 1;
            }
            !is_lost
        });
        (dropped, memory)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.parked.front().map(|parked| parked.give_up)
    }

    /// Drops what has waited long enough. Returns how many, and their memory.
    pub(crate) fn expire(&mut self, now: Instant) -> (u64, usize) {
        let (mut dropped, mut memory) = (0, 0);
        while let Some(parked) = self.parked.pop_front_if(|parked| parked.give_up <= now) {
            self.len -= parked.datagram.data.len();
            memory += parked.datagram.memory();
            dropped += 1;
        }
        (dropped, memory)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: usize) -> Result<(), BufferError> {
        if limit < LIMIT_MIN {
            return Err(BufferError::TooSmall);
        }
        if limit > LIMIT_MAX {
            return Err(BufferError::TooLarge);
        }
        self.limit = limit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::IpProtocol;

    use super::*;

    const VIA: InterfaceId = InterfaceId::FIRST;

    fn datagram(last: u8, len: usize) -> Datagram {
        let header = Header {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, last].into(),
            protocol: IpProtocol::Udp,
            hop_limit: 64,
        };
        Datagram {
            interface: VIA,
            header,
            ports: None,
            is_looped: false,
            data: alloc::vec![last; len],
            give_up: None,
        }
    }

    fn neighbour(last: u8) -> NeighbourKey {
        NeighbourKey { interface: VIA, ip: [10, 0, 0, last].into() }
    }

    /// Returns how many datagrams were dropped for it, if it is taken.
    fn push(outbox: &mut Outbox, datagram: Datagram) -> Option<u64> {
        let to = datagram.header.destination;
        outbox.takes(Some(to)).then(|| outbox.push(datagram).0)
    }

    #[test]
    fn parked_datagrams_come_back_in_order_and_expire() {
        let mut outbox = Outbox::default();
        let second = Instant::ZERO + PATIENCE;
        for last in 1..=3 {
            assert_eq!(push(&mut outbox, datagram(last, 10)), Some(0));
        }
        let (first, other) = (outbox.pop(VIA).unwrap(), outbox.pop(VIA).unwrap());
        outbox.park(first, neighbour(1), Instant::ZERO);
        outbox.park(other, neighbour(2), Instant::from_micros(5));
        outbox.unpark(neighbour(1));
        assert_eq!(outbox.pop(VIA).map(|datagram| datagram.data[0]), Some(1));
        outbox.unpark(neighbour(2));
        let other = outbox.pop(VIA).unwrap();
        outbox.park(other, neighbour(2), Instant::from_micros(900_000));
        let due = second + Duration::from_micros(5);
        assert_eq!(outbox.deadline(), Some(due), "it does not begin anew");
        assert_eq!(outbox.expire(second).0, 0);
        assert_eq!(outbox.expire(due).0, 1);
        assert_eq!((outbox.pop(VIA).map(|datagram| datagram.data[0]), outbox.len), (Some(3), 0));
    }

    #[test]
    fn room_is_bounded_by_number_and_by_length() {
        let mut outbox = Outbox::default();
        assert_eq!(push(&mut outbox, datagram(1, 1)), Some(0));
        assert_eq!(push(&mut outbox, datagram(1, LIMIT_DEFAULT)), Some(0), "the last goes beyond");
        assert_eq!((push(&mut outbox, datagram(1, 0)), outbox.has_room()), (None, false));
        assert!(!outbox.takes(None), "nobody has room");
        for _ in 0..2 {
            let parked = outbox.pop(VIA).unwrap();
            outbox.park(parked, neighbour(1), Instant::ZERO);
        }
        assert_eq!(push(&mut outbox, datagram(1, 1)), None, "it waits for the same neighbour");
        assert!(outbox.takes(None), "others need not wait");
        let dropped = push(&mut outbox, datagram(2, 1));
        assert_eq!(dropped, Some(2), "what is parked for others makes room");
        outbox.pop(VIA);
        assert!((0..DATAGRAMS_MAX).all(|_| push(&mut outbox, datagram(1, 0)) == Some(0)));
        assert!(!outbox.takes(Some([10, 0, 0, 1].into())) && !outbox.takes(None));
        let mut park = |_| outbox.park(datagram(1, 1), neighbour(1), Instant::ZERO).0;
        let dropped: u64 = (0..=DATAGRAMS_MAX).map(&mut park).sum();
        assert_eq!((dropped, outbox.len), (1, DATAGRAMS_MAX));
        assert_eq!(outbox.drop_parked(neighbour(1)).0, DATAGRAMS_MAX as u64);
        assert_eq!(outbox.len, 0);
    }

    #[test]
    fn interfaces_do_not_hold_each_other_up() {
        let mut outbox = Outbox::default();
        outbox.push(Datagram { interface: InterfaceId::LOOPBACK, ..datagram(1, 1) });
        outbox.push(datagram(2, 1));
        assert_eq!(outbox.pop(VIA).map(|datagram| datagram.data[0]), Some(2));
        assert!(outbox.pop(VIA).is_none());
        assert!(outbox.pop(InterfaceId::LOOPBACK).is_some());
    }
}
