//! The neighbour table, for ARP (RFC 826) and neighbour discovery (RFC 4861 section 7.3) alike.
//!
//! What is used is kept: an entry whose time is up is used on while it is being asked for again.
//! Hosts that speak without having been asked are remembered too, but only in a part of the table,
//! so that a flood of them cannot push out those that flows talk to.

use alloc::collections::{BTreeSet, VecDeque};
use core::{
    hash::{Hash, Hasher},
    net::IpAddr,
    time::Duration,
};

use hashbrown::HashMap;
use netdev::MacAddress;
use slab::Slab;

use super::interface::InterfaceId;
use crate::{flow::hash_ip, hash::TableHasher, time::Instant};

/// Neighbours known or asked for: two networks of the usual size.
pub(crate) const ENTRIES_MAX: usize = 512;
/// Of those, the ones that spoke without being asked and have not been used yet.
const STRANGERS_MAX: usize = ENTRIES_MAX / 2;
/// Neighbours asked for at a time. Whoever answers does so within milliseconds, so these are absent
/// ones, of which a scan of the network may not take more of the table.
const QUESTIONS_MAX: usize = 64;
/// How soon the same neighbour may be asked for again (RFC 1122 section 2.3.2.1, RFC 4861 section 10:
/// RETRANS_TIMER).
const RETRY: Duration = Duration::from_secs(1);
/// Questions without an answer after which a neighbour is unreachable (RFC 4861 section 10).
const TRIES: u8 = 3;
/// How long a neighbour that answered is used without being asked again: between RFC 4861's 30 s and
/// the minutes of ARP (RFC 1122 section 2.3.2.1).
const REACHABLE: Duration = Duration::from_secs(60);
/// How long one that spoke unasked is used before it is asked (RFC 4861 section 10:
/// DELAY_FIRST_PROBE_TIME).
const FIRST_PROBE_DELAY: Duration = Duration::from_secs(5);

/// A neighbour on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) interface: InterfaceId,
    pub(crate) ip: IpAddr,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_ip(self.ip, state);
        state.write_u32(self.interface.index() as u32);
    }
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// Unknown while it is being asked for.
    mac: Option<MacAddress>,
    /// When it was last known to be there.
    confirmed: Option<Instant>,
    /// Questions since.
    tries: u8,
    next_question: Instant,
    used: Instant,
    /// It has spoken without having been asked, and nobody has used it.
    is_stranger: bool,
}

/// What is known of a neighbour that a packet goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    Known(MacAddress),
    /// To be used, and asked once more.
    Doubtful(MacAddress),
    /// Unknown; to be asked for now.
    Ask,
    /// Unknown; it has been asked for, or too many others are.
    Wait {
        is_asked: bool,
    },
}

/// What a message says about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The answer to a question of ours.
    Answer,
    /// It asked us something.
    Question,
    /// It told everybody.
    Announcement,
    /// It took part in a handshake, which proves both directions.
    Handshake,
}

/// What happens when the time of a question is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Ask(Key),
    Unreachable(Key),
}

#[derive(Debug)]
pub(crate) struct Neighbours {
    entries: Slab<Entry>,
    index: HashMap<Key, usize, TableHasher>,
    /// The entry that was looked up last: most packets go where the one before went.
    recent: usize,
    /// Those that are unknown, by when they are asked again or given up.
    questions: BTreeSet<(Instant, Key)>,
    /// Entries that were strangers when they came, oldest first; each once.
    strangers: VecDeque<Key>,
    strangers_len: usize,
}

impl Neighbours {
    pub(crate) fn new(hasher: TableHasher) -> Self {
        Neighbours {
            entries: Slab::new(),
            index: HashMap::with_hasher(hasher),
            recent: 0,
            questions: BTreeSet::new(),
            strangers: VecDeque::new(),
            strangers_len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn knows(&self, key: Key) -> bool {
        self.index.contains_key(&key)
    }

    /// The station of a neighbour, if it is known.
    pub(crate) fn station(&self, key: Key) -> Option<MacAddress> {
        self.index.get(&key).and_then(|slot| self.entries[*slot].mac)
    }

    /// Another station claims to have a known neighbour's address: it is asked about soon.
    pub(crate) fn doubt(&mut self, key: Key, now: Instant) {
        if let Some(&slot) = self.index.get(&key) {
            let entry = &mut self.entries[slot];
            // Whose time is up is asked already.
            if entry.confirmed.take().is_some() {
                entry.tries = 0;
                entry.next_question = now + FIRST_PROBE_DELAY;
            }
        }
    }

    /// Looks up where a packet goes, and notes that somebody needs it.
    pub(crate) fn resolve(&mut self, key: Key, now: Instant) -> Resolution {
        let is_recent = self.entries.get(self.recent).is_some_and(|entry| entry.key == key);
        if !is_recent {
            let Some(&slot) = self.index.get(&key) else {
                return self.begin(key, now);
            };
            self.recent = slot;
        }
        let entry = &mut self.entries[self.recent];
        entry.used = now;
        self.strangers_len -= usize::from(core::mem::take(&mut entry.is_stranger));
        let Some(mac) = entry.mac else {
            return Resolution::Wait { is_asked: true };
        };
        let is_fresh = entry.confirmed.is_some_and(|confirmed| now < confirmed + REACHABLE);
        if is_fresh || now < entry.next_question {
            return Resolution::Known(mac);
        }
        if entry.tries < TRIES {
            entry.tries += 1;
            entry.next_question = now + RETRY;
            return Resolution::Doubtful(mac);
        }
        self.remove(key);
        self.begin(key, now)
    }

    fn begin(&mut self, key: Key, now: Instant) -> Resolution {
        if self.questions.len() >= QUESTIONS_MAX {
            return Resolution::Wait { is_asked: false };
        }
        let next_question = now + RETRY;
        self.insert(Entry {
            key,
            mac: None,
            confirmed: None,
            tries: 1,
            next_question,
            used: now,
            is_stranger: false,
        });
        self.questions.insert((next_question, key));
        Resolution::Ask
    }

    /// Takes in what a message says. Returns whether somebody may have waited for it.
    pub(crate) fn learn(
        &mut self,
        key: Key,
        mac: MacAddress,
        evidence: Evidence,
        now: Instant,
    ) -> bool {
        let Some(&slot) = self.index.get(&key) else {
            match evidence {
                Evidence::Question | Evidence::Handshake => self.meet(key, mac, evidence, now),
                // Nobody has asked (RFC 4861 section 7.2.5).
                Evidence::Answer | Evidence::Announcement => {}
            }
            return false;
        };
        let entry = &mut self.entries[slot];
        let was_unknown = entry.mac.is_none();
        let is_news = entry.mac != Some(mac);
        entry.mac = Some(mac);
        if matches!(evidence, Evidence::Answer | Evidence::Handshake) || was_unknown {
            entry.confirmed = Some(now);
            entry.tries = 0;
        } else if is_news {
            // It is where it says, or it lies: asked about soon.
            entry.confirmed = None;
            entry.tries = 0;
            entry.next_question = now + FIRST_PROBE_DELAY;
        }
        if was_unknown {
            self.questions.remove(&(entry.next_question, key));
        }
        was_unknown
    }

    /// Remembers one that spoke without having been asked.
    fn meet(&mut self, key: Key, mac: MacAddress, evidence: Evidence, now: Instant) {
        let is_stranger = evidence != Evidence::Handshake;
        let confirmed = (!is_stranger).then_some(now);
        if is_stranger {
            self.make_room_for_stranger();
        }
        self.insert(Entry {
            key,
            mac: Some(mac),
            confirmed,
            tries: 0,
            next_question: now + FIRST_PROBE_DELAY,
            used: now,
            is_stranger,
        });
        if is_stranger {
            self.strangers.push_back(key);
            self.strangers_len += 1;
        }
    }

    fn is_stranger(&self, key: &Key) -> bool {
        self.index.get(key).is_some_and(|slot| self.entries[*slot].is_stranger)
    }

    fn make_room_for_stranger(&mut self) {
        while self.strangers.len() >= STRANGERS_MAX {
            let Some(oldest) = self.strangers.pop_front() else {
                return;
            };
            if self.is_stranger(&oldest) {
                self.remove(oldest);
            }
        }
    }

    /// A full table loses a stranger first, then whoever has not been used for the longest time;
    /// nobody who is being asked for, because flows wait for the end of that.
    fn insert(&mut self, entry: Entry) {
        while self.entries.len() >= ENTRIES_MAX {
            let stranger = loop {
                match self.strangers.pop_front() {
                    Some(key) if self.is_stranger(&key) => break Some(key),
                    Some(_) => {}
                    None => break None,
                }
            };
            let known = self.entries.iter().filter(|(_, entry)| entry.mac.is_some());
            let oldest = known.min_by_key(|(_, entry)| (entry.used, entry.key));
            let evicted = stranger.or_else(|| oldest.map(|(_, entry)| entry.key));
            let Some(evicted) = evicted else {
                break;
            };
            self.remove(evicted);
        }
        let key = entry.key;
        let slot = self.entries.insert(entry);
        self.index.insert(key, slot);
    }

    fn remove(&mut self, key: Key) {
        let Some(slot) = self.index.remove(&key) else {
            return;
        };
        let entry = self.entries.remove(slot);
        if entry.mac.is_none() {
            self.questions.remove(&(entry.next_question, key));
        }
        self.strangers_len -= usize::from(entry.is_stranger);
    }

    /// When [`next_due`](Self::next_due) has something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.questions.first().map(|(due, _)| *due)
    }

    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Due> {
        let &(due, key) = self.questions.first()?;
        if due > now {
            return None;
        }
        self.questions.pop_first();
        let entry = &mut self.entries[*self.index.get(&key)?];
        if entry.tries >= TRIES {
            self.remove(key);
            return Some(Due::Unreachable(key));
        }
        entry.tries += 1;
        entry.next_question = now + RETRY;
        self.questions.insert((entry.next_question, key));
        Some(Due::Ask(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = [2, 0, 0, 0, 0, 1];
    const OTHER_MAC: MacAddress = [2, 0, 0, 0, 0, 2];

    fn key(number: u16) -> Key {
        let [high, low] = number.to_be_bytes();
        Key { interface: InterfaceId::FIRST, ip: [10, 0, high, low].into() }
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    fn table() -> Neighbours {
        Neighbours::new(crate::hash::table_hasher(1))
    }

    /// RFC 4861 section 7.2.2: three questions, a second apart.
    #[test]
    fn silence_is_asked_three_times() {
        let mut table = table();
        assert_eq!(table.resolve(key(1), at(0)), Resolution::Ask);
        assert_eq!(table.resolve(key(1), at(0)), Resolution::Wait { is_asked: true });
        assert_eq!(table.next_due(at(0)), None);
        assert_eq!(table.next_due(at(1)), Some(Due::Ask(key(1))));
        assert_eq!(table.next_due(at(2)), Some(Due::Ask(key(1))));
        assert_eq!(table.next_due(at(3)), Some(Due::Unreachable(key(1))));
        assert_eq!((table.len(), table.deadline()), (0, None));
    }

    /// RFC 4861 section 7.3.3: used while it is being probed, then looked for anew.
    #[test]
    fn a_stale_entry_is_used_while_it_is_asked_for() {
        let mut table = table();
        table.resolve(key(1), at(0));
        assert!(table.learn(key(1), MAC, Evidence::Answer, at(0)));
        assert_eq!(table.resolve(key(1), at(59)), Resolution::Known(MAC));
        for second in 60..63 {
            assert_eq!(table.resolve(key(1), at(second)), Resolution::Doubtful(MAC));
            assert_eq!(table.resolve(key(1), at(second)), Resolution::Known(MAC));
        }
        let mut answered = table.learn(key(1), MAC, Evidence::Answer, at(62));
        assert!(!answered, "nobody has waited");
        assert_eq!(table.resolve(key(1), at(100)), Resolution::Known(MAC));
        for second in 122..125 {
            assert_eq!(table.resolve(key(1), at(second)), Resolution::Doubtful(MAC));
        }
        assert_eq!(table.resolve(key(1), at(125)), Resolution::Ask);
        answered = table.learn(key(1), OTHER_MAC, Evidence::Answer, at(125));
        assert!(answered);
        assert_eq!(table.resolve(key(1), at(125)), Resolution::Known(OTHER_MAC));
    }

    #[test]
    fn announcements_change_what_is_known_and_add_nothing() {
        let mut table = table();
        assert!(!table.learn(key(1), MAC, Evidence::Announcement, at(0)));
        assert!(!table.learn(key(1), MAC, Evidence::Answer, at(0)));
        assert_eq!(table.len(), 0);
        table.learn(key(1), MAC, Evidence::Question, at(0));
        table.learn(key(1), OTHER_MAC, Evidence::Announcement, at(0));
        assert_eq!(table.resolve(key(1), at(1)), Resolution::Known(OTHER_MAC));
        assert_eq!(table.resolve(key(1), at(5)), Resolution::Doubtful(OTHER_MAC));
    }

    #[test]
    fn a_flood_of_strangers_leaves_friends_alone() {
        let mut table = table();
        for friend in 0..200 {
            table.resolve(key(friend), at(0));
            if friend % 20 == 19 {
                (friend - 19..=friend).for_each(|friend| {
                    table.learn(key(friend), MAC, Evidence::Answer, at(0));
                });
            }
        }
        for stranger in 1000..5000 {
            table.learn(key(stranger), OTHER_MAC, Evidence::Question, at(1));
        }
        assert_eq!((table.len(), table.strangers_len), (200 + STRANGERS_MAX, STRANGERS_MAX));
        assert!((0..200).all(|n| table.resolve(key(n), at(2)) == Resolution::Known(MAC)));
        // One of them is talked to and becomes a friend.
        assert_eq!(table.resolve(key(4999), at(2)), Resolution::Known(OTHER_MAC));
        for stranger in 5000..9000 {
            table.learn(key(stranger), OTHER_MAC, Evidence::Question, at(3));
        }
        assert_eq!(table.resolve(key(4999), at(4)), Resolution::Known(OTHER_MAC));
        assert!(table.strangers.len() <= STRANGERS_MAX);
    }

    #[test]
    fn a_full_table_loses_who_has_not_been_used() {
        let mut table = table();
        for number in 0..600 {
            table.resolve(key(number), at(u64::from(number)));
            table.learn(key(number), MAC, Evidence::Answer, at(u64::from(number)));
            table.resolve(key(0), at(u64::from(number)));
            table.learn(key(0), MAC, Evidence::Answer, at(u64::from(number)));
        }
        assert_eq!(table.len(), ENTRIES_MAX);
        assert_eq!(table.resolve(key(0), at(600)), Resolution::Known(MAC));
        assert_eq!(table.resolve(key(1), at(600)), Resolution::Ask);
    }

    #[test]
    fn a_scan_of_the_network_takes_a_part_of_the_table() {
        let mut table = table();
        for number in 0..1000 {
            table.resolve(key(number), at(0));
        }
        assert_eq!(table.len(), QUESTIONS_MAX);
        assert_eq!(table.resolve(key(999), at(0)), Resolution::Wait { is_asked: false });
    }

    /// Flows wait for the end of a question; whoever floods the table must not take it away.
    #[test]
    fn whoever_is_asked_for_keeps_its_place() {
        let mut table = table();
        assert_eq!(table.resolve(key(1), at(0)), Resolution::Ask);
        for number in 1000..2000 {
            table.learn(key(number), MAC, Evidence::Handshake, at(1));
        }
        assert_eq!(table.len(), ENTRIES_MAX);
        assert_eq!(table.next_due(at(1)), Some(Due::Ask(key(1))));
    }
}
