//! What servers have answered, for as long as it holds.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Outcome, message::Family, name::Name};
use crate::time::Instant;

/// Names and families. When all are taken, what would end first gives way.
const ENTRIES_MAX: usize = 64;
/// However long its owner says: a mistake is gone after a day.
const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// RFC 2308 section 5 allows hours; what does not exist yet is often about to.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Default)]
pub(super) struct Cache(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    name: Name,
    family: Family,
    outcome: Outcome,
    until: Instant,
}

impl Cache {
    pub(super) fn get(&self, name: &Name, family: Family, now: Instant) -> Option<Outcome> {
        let is_it = |entry: &&Entry| entry.is_for(name, family) && entry.until > now;
        self.0.iter().find(is_it).map(|entry| entry.outcome.clone())
    }

    /// Keeps an answer, found or not, for `ttl` within limits.
    pub(super) fn insert(
        &mut self,
        name: &Name,
        family: Family,
        outcome: &Outcome,
        now: Instant,
        ttl: Duration,
    ) {
        let ttl_max = if outcome.is_ok() { TTL_MAX } else { NEGATIVE_TTL_MAX };
        let until = now + ttl.min(ttl_max);
        self.0.retain(|entry| entry.until > now && !entry.is_for(name, family));
        if until == now {
            return;
        }
        if self.0.len() >= ENTRIES_MAX {
            let first = (0..self.0.len()).min_by_key(|&place| self.0[place].until);
            first.map(|place| self.0.swap_remove(place));
        }
        self.0.push(Entry { name: name.clone(), family, outcome: outcome.clone(), until });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Entry {
    fn is_for(&self, name: &Name, family: Family) -> bool {
        self.family == family && self.name == *name
    }
}
