//! Keys and their values: how long they live and how much memory they take. Knows no protocol;
//! the time, in milliseconds, is an argument.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{hash::Hasher, mem};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::resp::{BULK_LEN_MAX, integer};

/// What an entry takes beside its key and value: its place in the map and in the order of deadlines,
/// nodes of which are half empty at worst, and the allocator's bounds.
const ENTRY_LEN: usize = 256;

/// A key's hash. Two keys never have the same: of a billion, with a chance of one to 2^68.
type Id = u128;

/// Why something was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreError {
    OutOfMemory,
    NotInteger,
    /// The sum has no place in 64 bits.
    Overflow,
    /// The value would be longer than any argument may be.
    TooLong,
}

/// What becomes of a key's lifetime when it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Endless,
    Kept,
    Until(u64),
}

/// When a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeLeft {
    NoKey,
    Endless,
    Millis(u64),
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    value: Vec<u8>,
    deadline: Option<u64>,
}

/// The database.
///
/// It is a tree of hashes. A tree, because a hash table doubles in one piece of memory, of which
/// there may be none, and an allocation that fails ends the machine. Of hashes, because comparing
/// keys reads memory all over the machine. Keys come from strangers, so the hash has a random key.
#[derive(Debug)]
pub(crate) struct Store {
    entries: BTreeMap<Id, Entry>,
    deadlines: BTreeSet<(u64, Id)>,
    seed: [u8; 16],
    used: usize,
    limit: usize,
    has_room: fn(usize) -> bool,
    expired: u64,
}

impl Store {
    /// `limit` is in bytes; `has_room` says whether the machine has so many.
    pub(crate) fn new(seed: [u8; 16], limit: usize, has_room: fn(usize) -> bool) -> Self {
        Store {
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            seed,
            used: 0,
            limit,
            has_room,
            expired: 0,
        }
    }

    /// Memory that the entries take, in bytes, and how much they may take.
    pub(crate) fn memory(&self) -> (usize, usize) {
        (self.used, self.limit)
    }

    /// How many keys have ended by themselves.
    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    /// How many keys there are, and how many of them will end.
    pub(crate) fn len(&mut self, now_ms: u64) -> (usize, usize) {
        self.sweep(now_ms, usize::MAX);
        (self.entries.len(), self.deadlines.len())
    }

    /// Every key, in an order that depends on the seed.
    pub(crate) fn keys(&mut self, now_ms: u64) -> impl Iterator<Item = &[u8]> {
        self.sweep(now_ms, usize::MAX);
        self.entries.values().map(|entry| &*entry.key)
    }

    pub(crate) fn get(&mut self, key: &[u8], now_ms: u64) -> Option<&[u8]> {
        let id = self.settle(key, now_ms);
        self.entries.get(&id).map(|entry| &*entry.value)
    }

    pub(crate) fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        lifetime: Lifetime,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let id = self.settle(key, now_ms);
        let Some(entry) = self.entries.get_mut(&id) else {
            return self.insert(id, key, value, lifetime);
        };
        let old = entry.value.capacity();
        if value.len() > old && !may_grow(self.limit - self.used + old, value.len(), self.has_room)
        {
            return Err(StoreError::OutOfMemory);
        }
        entry.value = value.to_vec();
        self.used = self.used - old + entry.value.capacity();
        let deadline = match lifetime {
            Lifetime::Endless => None,
            Lifetime::Kept => entry.deadline,
            Lifetime::Until(deadline) => Some(deadline),
        };
        if deadline != entry.deadline {
            self.set_deadline(id, deadline);
        }
        Ok(())
    }

    /// Whether entries of these lengths can all be set.
    pub(crate) fn has_room<'a>(
        &self,
        mut entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> bool {
        let sum = entries.try_fold(0, |sum: usize, (key, value)| {
            sum.checked_add(ENTRY_LEN + key.len() + value.len())
        });
        sum.is_some_and(|sum| may_grow(self.limit - self.used, sum, self.has_room))
    }

    /// Removes a key; whether there was one.
    pub(crate) fn remove(&mut self, key: &[u8], now_ms: u64) -> bool {
        let id = self.settle(key, now_ms);
        self.drop_entry(id)
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.deadlines.clear();
        self.used = 0;
    }

    /// Writes behind the value, or makes one. Returns its length.
    pub(crate) fn append(
        &mut self,
        key: &[u8],
        tail: &[u8],
        now_ms: u64,
    ) -> Result<usize, StoreError> {
        let id = self.settle(key, now_ms);
        let Some(entry) = self.entries.get_mut(&id) else {
            return self.insert(id, key, tail, Lifetime::Endless).map(|()| tail.len());
        };
        let len = entry.value.len() + tail.len();
        if len > BULK_LEN_MAX {
            return Err(StoreError::TooLong);
        }
        let old = entry.value.capacity();
        if len > old {
            // It doubles, so that writing byte by byte is not copying byte by byte.
            let capacity = len.max(old * 2);
            if !may_grow(self.limit - self.used + old, capacity, self.has_room) {
                return Err(StoreError::OutOfMemory);
            }
            entry.value.reserve_exact(capacity - entry.value.len());
        }
        entry.value.extend_from_slice(tail);
        let more = entry.value.capacity() - old;
        self.used += more;
        Ok(len)
    }

    /// Adds to a value that is a number; one that is not there is zero. Returns the sum.
    pub(crate) fn add(&mut self, key: &[u8], delta: i64, now_ms: u64) -> Result<i64, StoreError> {
        let value = match self.get(key, now_ms) {
            Some(value) => integer(value).ok_or(StoreError::NotInteger)?,
            None => 0,
        };
        let sum = value.checked_add(delta).ok_or(StoreError::Overflow)?;
        let mut digits = Digits::default();
        self.set(key, digits.write(sum), Lifetime::Kept, now_ms)?;
        Ok(sum)
    }

    /// Changes when a key ends, `None` being never; a time that has passed removes it. Whether
    /// there is such a key.
    pub(crate) fn expire(&mut self, key: &[u8], deadline: Option<u64>, now_ms: u64) -> bool {
        let id = self.settle(key, now_ms);
        let is_there = self.entries.contains_key(&id);
        if is_there {
            self.set_deadline(id, deadline);
            self.settle(key, now_ms);
        }
        is_there
    }

    pub(crate) fn time_left(&mut self, key: &[u8], now_ms: u64) -> TimeLeft {
        let id = self.settle(key, now_ms);
        match self.entries.get(&id).map(|entry| entry.deadline) {
            None => TimeLeft::NoKey,
            Some(None) => TimeLeft::Endless,
            Some(Some(deadline)) => TimeLeft::Millis(deadline - now_ms),
        }
    }

    /// Removes keys that have ended, at most `count`. Returns how many it removed.
    pub(crate) fn sweep(&mut self, now_ms: u64, count: usize) -> usize {
        let mut removed = 0;
        while removed < count
            && let Some(id) = self.first_due(now_ms)
        {
            self.drop_entry(id);
            self.expired += 1;
            removed += 1;
        }
        removed
    }

    /// What has ended first.
    fn first_due(&self, now_ms: u64) -> Option<Id> {
        let (deadline, id) = self.deadlines.first()?;
        (*deadline <= now_ms).then_some(*id)
    }

    /// Removes the key if it has ended. It is looked up only if some key has.
    fn settle(&mut self, key: &[u8], now_ms: u64) -> Id {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(key);
        let id = hasher.finish128().as_u128();
        if self.first_due(now_ms).is_some() {
            let deadline = self.entries.get(&id).and_then(|entry| entry.deadline);
            if deadline.is_some_and(|deadline| deadline <= now_ms) {
                self.drop_entry(id);
                self.expired += 1;
            }
        }
        id
    }

    /// Makes an entry that is not there.
    fn insert(
        &mut self,
        id: Id,
        key: &[u8],
        value: &[u8],
        lifetime: Lifetime,
    ) -> Result<(), StoreError> {
        let len = ENTRY_LEN + key.len() + value.len();
        if !may_grow(self.limit - self.used, len, self.has_room) {
            return Err(StoreError::OutOfMemory);
        }
        let entry = Entry { key: key.into(), value: value.to_vec(), deadline: None };
        self.used += entry.cost();
        self.entries.insert(id, entry);
        if let Lifetime::Until(deadline) = lifetime {
            self.set_deadline(id, Some(deadline));
        }
        Ok(())
    }

    /// Whether there was such an entry.
    fn drop_entry(&mut self, id: Id) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        self.used -= entry.cost();
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        true
    }

    fn set_deadline(&mut self, id: Id, deadline: Option<u64>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if let Some(old) = mem::replace(&mut entry.deadline, deadline) {
            self.deadlines.remove(&(old, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }
}

impl Entry {
    fn cost(&self) -> usize {
        ENTRY_LEN + self.key.len() + self.value.capacity()
    }
}

/// Whether `len` bytes may be allocated where the limit leaves `free`.
fn may_grow(free: usize, len: usize, has_room: fn(usize) -> bool) -> bool {
    len <= free && has_room(len)
}

/// A number in decimal, without an allocation.
#[derive(Debug, Default)]
struct Digits {
    /// The longest is that of `i64::MIN`.
    bytes: [u8; 20],
    len: usize,
}

impl Digits {
    fn write(&mut self, value: i64) -> &[u8] {
        self.len = 0;
        // No number has more digits.
        let _ = core::fmt::write(self, format_args!("{value}"));
        &self.bytes[..self.len]
    }
}

impl core::fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
