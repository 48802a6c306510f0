//! The tasks that wait for one event.

use alloc::vec::Vec;
use core::task::Waker;

/// Entries that a set keeps room for when they have gone: most sockets have one task that waits.
const CAPACITY_KEPT: usize = 8;

/// A task's place among those that wait for a socket, for when it waits no longer. The socket
/// forgets it when it has woken the task.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let (client, server) = world::pair(&stack, &mut poll);
/// # let (bell, waker) = world::Bell::new();
/// let registration: Registration = server.register(Interest::Read, &waker);
/// server.deregister(registration);
/// client.try_write(b"hello")?;
/// poll();
/// assert!(!bell.has_rung());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Registration(u64);

/// Where a stack's registrations come from: all differ, so that one which is forgotten cannot be
/// taken for another's, not even another socket's.
#[derive(Debug, Default)]
pub(crate) struct Registrations(u64);

/// Wakers, each with the number of its registration. A task that waits for two reasons is in it
/// twice: giving up one must not end the other.
///
/// Entering one takes constant time; so does taking one back, but for the search (binary) and on
/// average.
#[derive(Debug, Default)]
pub(crate) struct WakerSet {
    /// In the order of their numbers. Nothing where one was taken back.
    entries: Vec<(u64, Option<Waker>)>,
    /// How many were taken back and still have an entry: no more than half.
    removed: usize,
}

impl WakerSet {
    pub(crate) fn insert(
        &mut self,
        registrations: &mut Registrations,
        waker: &Waker,
    ) -> Registration {
        let number = registrations.0;
        registrations.0 += 1;
        self.entries.push((number, Some(waker.clone())));
        Registration(number)
    }

    /// Takes a waker back, if it is still there. It is to be dropped when no lock is held: it may
    /// hold the last reference to a task, whose destructor may call the stack.
    #[inline]
    pub(crate) fn remove(&mut self, registration: &Registration) -> Option<Waker> {
        // A task that was woken has no place any more.
        if self.entries.is_empty() { None } else { self.remove_entry(registration) }
    }

    fn remove_entry(&mut self, registration: &Registration) -> Option<Waker> {
        let index = self.entries.binary_search_by_key(&registration.0, |entry| entry.0).ok()?;
        let waker = self.entries[index].1.take()?;
        self.removed += 1;
        if self.removed > self.entries.len() / 2 {
            self.entries.retain(|(_, waker)| waker.is_some());
            self.removed = 0;
            self.shrink();
        }
        Some(waker)
    }

    /// Moves the wakers to `woken`, to be woken when no lock is held. Returns whether there are any.
    pub(crate) fn drain_into(&mut self, woken: &mut Vec<Waker>) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        let known = woken.len();
        woken.extend(self.entries.drain(..).filter_map(|(_, waker)| waker));
        self.removed = 0;
        self.shrink();
        woken.len() > known
    }

    fn shrink(&mut self) {
        self.entries.shrink_to(CAPACITY_KEPT.max(2 * self.entries.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> (Registrations, WakerSet) {
        let (mut registrations, mut set) = (Registrations::default(), WakerSet::default());
        for _ in 0..count {
            let _ = set.insert(&mut registrations, Waker::noop());
        }
        (registrations, set)
    }

    fn woken(mut set: WakerSet) -> usize {
        let mut woken = Vec::new();
        set.drain_into(&mut woken);
        woken.len()
    }

    #[test]
    fn what_is_taken_back_in_any_order_gives_its_room_back() {
        const COUNT: u64 = 10_000;
        // 7919 is a prime, so that every number comes up once.
        let orders: [fn(u64) -> u64; 3] = [|n| n, |n| COUNT - 1 - n, |n| n * 7919 % COUNT];
        for order in orders {
            let (_, mut set) = filled(COUNT);
            for number in 0..COUNT {
                assert!(set.remove(&Registration(order(number))).is_some());
                assert!(set.remove(&Registration(order(number))).is_none(), "it is gone");
                let left = (COUNT - 1 - number) as usize;
                assert_eq!(set.entries.len() - set.removed, left);
                assert!(set.entries.len() <= (2 * left).max(1));
            }
            assert!(set.entries.capacity() <= CAPACITY_KEPT);
        }
    }

    #[test]
    fn a_registration_that_was_woken_takes_nothing_back() {
        let (mut registrations, mut set) = filled(3);
        assert!(set.remove(&Registration(1)).is_some());
        let mut woken_first = Vec::new();
        set.drain_into(&mut woken_first);
        assert_eq!(woken_first.len(), 2);
        set.insert(&mut registrations, Waker::noop());
        assert!((0..3).all(|number| set.remove(&Registration(number)).is_none()));
        assert_eq!(woken(set), 1);
    }
}
