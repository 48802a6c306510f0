//! The queue of timers, without clock and lock.
//!
//! Most timers are time limits, which are given up and soon followed by another, later one. So a
//! timer that is given up leaves its place behind, and the next one takes that if it is not too late:
//! the order of places does not change, which is what would cost. A timer may be looked at early for
//! that reason: who has set it looks at the clock, and sets it again.

use alloc::{collections::BTreeSet, vec::Vec};
use core::{mem, task::Waker};

use netstack::Instant;
use slab::Slab;

/// Places of timers that were given up, kept for the next ones: a turn's tasks may each give up one and
/// take another.
const SPARE_MAX: usize = 64;

#[derive(Debug)]
struct Place {
    /// When it is looked at: no later than the deadline of the timer that has it.
    due: Instant,
    /// Of the timer that has it, or had it last.
    id: u64,
    /// `None` if no timer has it.
    waker: Option<Waker>,
}

/// A timer's place, if that has not been looked at since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    slot: usize,
    id: u64,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    next_id: u64,
    places: Slab<Place>,
    order: BTreeSet<(Instant, usize)>,
    /// Places that no timer has.
    spare: Vec<usize>,
}

impl Queue {
    /// Enters a timer.
    pub(super) fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        let id = self.next_id;
        self.next_id += 1;
        let places = &self.places;
        if let Some(slot) = self.spare.pop_if(|slot| places[*slot].due <= deadline) {
            let place = &mut self.places[slot];
            (place.id, place.waker) = (id, Some(waker));
            return Key { slot, id };
        }
        let slot = self.places.insert(Place { due: deadline, id, waker: Some(waker) });
        self.order.insert((deadline, slot));
        Key { slot, id }
    }

    /// Has another waker woken by a timer. Returns the one before, or
    /// `waker` itself if the timer has no place any more.
    pub(super) fn replace(&mut self, key: Key, waker: Waker) -> Result<Waker, Waker> {
        match self.place(key).and_then(|place| place.waker.as_mut()) {
            Some(known) => Ok(mem::replace(known, waker)),
            None => Err(waker),
        }
    }

    /// Takes a timer away. Returns its waker, which may hold the last reference to a task: to be
    /// dropped without a lock.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        let place = self.place(key)?;
        let (due, waker) = (place.due, place.waker.take()?);
        if self.spare.len() < SPARE_MAX {
            self.spare.push(key.slot);
        } else {
            self.order.remove(&(due, key.slot));
            self.places.remove(key.slot);
        }
        Some(waker)
    }

    /// The waker at the first place, if that is due; nobody may have it any more.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Option<Waker>> {
        let (due, slot) = *self.order.first()?;
        (due <= now).then(|| self.pop_first(slot))
    }

    /// When to look at the queue again. Lets places go that no timer has, so that nobody is woken for
    /// them.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        loop {
            let (due, slot) = *self.order.first()?;
            if self.places[slot].waker.is_some() {
                return Some(due);
            }
            self.pop_first(slot);
        }
    }

    fn pop_first(&mut self, slot: usize) -> Option<Waker> {
        self.order.pop_first();
        let waker = self.places.remove(slot).waker;
        if waker.is_none() {
            self.spare.retain(|spare| *spare != slot);
        }
        waker
    }

    fn place(&mut self, key: Key) -> Option<&mut Place> {
        self.places.get_mut(key.slot).filter(|place| place.id == key.id)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{sync::Arc, task::Wake};
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// What is due, in order: how many wakers and how many empty places.
    fn drain(queue: &mut Queue, now: u64) -> (usize, usize) {
        let (mut wakers, mut empty) = (0, 0);
        while let Some(waker) = queue.pop_due(at(now)) {
            *if waker.is_some() { &mut wakers } else { &mut empty } += 1;
        }
        (wakers, empty)
    }

    #[test]
    fn timers_come_due_in_the_order_of_their_deadlines() {
        let mut queue = Queue::default();
        let counts = [30, 10, 20, 10].map(|deadline| {
            let count = Arc::new(Count::default());
            queue.insert(at(deadline), count.clone().into());
            count
        });
        assert_eq!(queue.next_deadline(), Some(at(10)));
        assert!(queue.pop_due(at(9)).is_none());
        for (now, woken) in [(10, [0, 1, 0, 1]), (29, [0, 1, 1, 1]), (30, [1, 1, 1, 1])] {
            while let Some(waker) = queue.pop_due(at(now)) {
                waker.expect("nobody has given up").wake();
            }
            assert_eq!(counts.each_ref().map(|count| count.0.load(Relaxed)), woken);
        }
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_place_that_was_given_up_goes_to_a_later_timer_only() {
        let mut queue = Queue::default();
        let first = queue.insert(at(10), Waker::noop().clone());
        assert!(queue.remove(first).is_some());
        assert!(queue.remove(first).is_none() && queue.spare.len() == 1, "it is given up once");
        let earlier = queue.insert(at(5), Waker::noop().clone());
        let later = queue.insert(at(20), Waker::noop().clone());
        assert_eq!((queue.places.len(), queue.order.len()), (2, 2));
        assert!(queue.replace(later, Waker::noop().clone()).is_ok());
        assert!(queue.replace(first, Waker::noop().clone()).is_err(), "it is another's");
        assert!(queue.remove(earlier).is_some());
        // Looked at early, at 10: who has set it will set it again.
        assert_eq!((queue.next_deadline(), drain(&mut queue, 10)), (Some(at(10)), (1, 0)));
        assert!(queue.replace(later, Waker::noop().clone()).is_err());
        assert!(queue.places.is_empty() && queue.order.is_empty() && queue.spare.is_empty());
    }

    #[test]
    fn places_that_nobody_has_are_few_and_wake_nobody() {
        let mut queue = Queue::default();
        let keys: Vec<_> =
            (0..1000).map(|i| queue.insert(at(100 + i), Waker::noop().clone())).collect();
        keys.into_iter().for_each(|key| drop(queue.remove(key)));
        assert_eq!((queue.spare.len(), queue.places.len()), (SPARE_MAX, SPARE_MAX));
        assert_eq!(drain(&mut queue, 109), (0, 10));
        assert_eq!(queue.spare.len(), SPARE_MAX - 10);
        let last = queue.insert(at(50), Waker::noop().clone());
        assert_eq!(queue.next_deadline(), Some(at(50)));
        drop(queue.remove(last));
        assert_eq!(queue.next_deadline(), None);
        assert!(queue.places.is_empty() && queue.spare.is_empty());
    }
}
