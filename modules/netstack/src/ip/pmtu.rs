//! Path MTUs that routers told us (RFC 1191, RFC 8201).

use alloc::collections::VecDeque;
use core::{net::IpAddr, time::Duration};

use hashbrown::HashMap;

use crate::{hash::TableHasher, time::Instant};

/// Destinations remembered: a host behind one tunnel talks to fewer at a time. Beyond it the oldest
/// is forgotten, which costs it one lost packet.
const LEN_MAX: usize = 256;
/// How long a value is believed: RFC 1191 section 6.3 and RFC 8201 section 4 recommend ten minutes.
const LIFETIME: Duration = Duration::from_secs(600);
/// Smaller values are lies or not worth following: every host takes 576 bytes (RFC 1122 section
/// 3.3.2); what Linux calls min_pmtu.
pub(crate) const IPV4_MTU_MIN: usize = 576;
/// RFC 8200 section 5.
pub(crate) const IPV6_MTU_MIN: usize = 1280;

pub(crate) fn mtu_min(ip: IpAddr) -> usize {
    if ip.is_ipv4() { IPV4_MTU_MIN } else { IPV6_MTU_MIN }
}

#[derive(Debug)]
pub(crate) struct PathMtus {
    mtus: HashMap<IpAddr, (usize, Instant), TableHasher>,
    /// In the order of their expiry; an entry that was renewed is in it twice.
    queue: VecDeque<(Instant, IpAddr)>,
}

impl PathMtus {
    pub(crate) fn new(hasher: TableHasher) -> Self {
        PathMtus { mtus: HashMap::with_hasher(hasher), queue: VecDeque::new() }
    }

    pub(crate) fn get(&self, destination: IpAddr) -> Option<usize> {
        // Most hosts never learn any.
        if self.queue.is_empty() {
            return None;
        }
        self.mtus.get(&destination).map(|(mtu, _)| *mtu)
    }

    /// Returns whether that is less than what was known.
    pub(crate) fn lower(&mut self, destination: IpAddr, mtu: usize, now: Instant) -> bool {
        let mtu = mtu.max(mtu_min(destination));
        if self.mtus.get(&destination).is_some_and(|(known, _)| *known <= mtu) {
            return false;
        }
        if self.queue.len() >= LEN_MAX {
            self.forget_oldest();
        }
        let expires = now + LIFETIME;
        self.mtus.insert(destination, (mtu, expires));
        self.queue.push_back((expires, destination));
        true
    }

    /// Forgets what has grown old.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.queue.front().is_some_and(|(expires, _)| *expires <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((expires, destination)) = self.queue.pop_front() else {
            return;
        };
        if self.mtus.get(&destination).is_some_and(|entry| entry.1 == expires) {
            self.mtus.remove(&destination);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_have_a_floor_and_grow_old() {
        let mut mtus = PathMtus::new(crate::hash::table_hasher(1));
        let (four, six) = (IpAddr::from([192, 0, 2, 1]), "2001:db8::1".parse().unwrap());
        assert!(mtus.lower(four, 1400, Instant::ZERO) && mtus.lower(four, 68, Instant::ZERO));
        assert!(!mtus.lower(four, 1500, Instant::ZERO));
        assert!(mtus.lower(six, 68, Instant::from_micros(1)));
        assert_eq!((mtus.get(four), mtus.get(six)), (Some(576), Some(1280)));
        mtus.expire(Instant::ZERO + LIFETIME);
        assert_eq!((mtus.get(four), mtus.get(six)), (None, Some(1280)));
        for last in 0..=u16::MAX {
            let [high, low] = last.to_be_bytes();
            mtus.lower([10, 0, high, low].into(), 1000, Instant::ZERO);
        }
        assert_eq!((mtus.mtus.len(), mtus.queue.len()), (LEN_MAX, LEN_MAX));
    }
}
