use alloc::{format, vec::Vec};

use super::{BULK_LEN_MAX, ENTRY_LEN, Lifetime, Store, StoreError, TimeLeft};

fn store(limit: usize) -> Store {
    Store::new([7; 16], limit, |_| true)
}

/// A store with room, in which `k` is `value`.
fn with(value: &[u8]) -> Store {
    let mut store = store(1 << 30);
    store.set(b"k", value, Lifetime::Endless, 0).unwrap();
    store
}

#[test]
fn values_are_kept_replaced_and_removed() {
    let mut store = with(b"a");
    assert_eq!(store.get(b"k", 0), Some(&b"a"[..]));
    store.set(b"k", b"longer", Lifetime::Endless, 0).unwrap();
    assert_eq!(store.get(b"k", 0), Some(&b"longer"[..]));
    assert_eq!(store.len(0), (1, 0));
    assert!(store.remove(b"k", 0) && !store.remove(b"k", 0));
    assert_eq!(store.get(b"k", 0), None);
    assert_eq!(store.memory().0, 0);
}

#[test]
fn keys_end_when_they_are_asked_for() {
    let mut store = store(1 << 20);
    store.set(b"k", b"v", Lifetime::Until(100), 0).unwrap();
    assert_eq!(store.time_left(b"k", 40), TimeLeft::Millis(60));
    assert!(store.get(b"k", 99).is_some());
    assert_eq!(store.get(b"k", 100), None);
    assert_eq!((store.memory().0, store.len(100), store.expired()), (0, (0, 0), 1));
    assert_eq!(store.time_left(b"k", 100), TimeLeft::NoKey);
}

#[test]
fn keys_end_though_nobody_asks() {
    let mut store = store(1 << 20);
    for i in 0..10 {
        store.set(format!("{i}").as_bytes(), b"v", Lifetime::Until(100 - i), 0).unwrap();
    }
    store.set(b"stays", b"v", Lifetime::Endless, 0).unwrap();
    assert_eq!((store.sweep(90, 100), store.sweep(95, 2), store.sweep(95, 100)), (0, 2, 3));
    assert_eq!(store.sweep(1000, 100), 5);
    assert_eq!(store.keys(1000).collect::<Vec<_>>(), [b"stays"]);
}

#[test]
fn lifetimes_change() {
    let mut store = store(1 << 20);
    store.set(b"k", b"v", Lifetime::Until(100), 0).unwrap();
    store.set(b"k", b"w", Lifetime::Kept, 50).unwrap();
    assert_eq!(store.time_left(b"k", 50), TimeLeft::Millis(50));
    assert!(store.expire(b"k", Some(200), 60));
    assert_eq!((store.sweep(150, 10), store.time_left(b"k", 150)), (0, TimeLeft::Millis(50)));
    store.set(b"k", b"x", Lifetime::Endless, 150).unwrap();
    assert_eq!((store.time_left(b"k", 250), store.len(250)), (TimeLeft::Endless, (1, 0)));
    assert!(store.expire(b"k", Some(260), 250) && store.expire(b"k", None, 250));
    assert_eq!(store.time_left(b"k", 300), TimeLeft::Endless);
    // A time that has passed removes the key.
    assert!(store.expire(b"k", Some(1), 300) && !store.expire(b"k", None, 300));
    assert_eq!(store.memory().0, 0);
}

#[test]
fn an_ended_value_is_not_built_on() {
    let mut store = store(1 << 20);
    store.set(b"n", b"5", Lifetime::Until(10), 0).unwrap();
    assert_eq!(store.add(b"n", 1, 20), Ok(1));
    store.set(b"s", b"5", Lifetime::Until(10), 0).unwrap();
    assert_eq!(store.append(b"s", b"x", 20), Ok(1));
    store.set(b"t", b"5", Lifetime::Until(30), 20).unwrap();
    store.set(b"t", b"6", Lifetime::Kept, 40).unwrap();
    assert_eq!(store.time_left(b"t", 40), TimeLeft::Endless);
}

#[test]
fn numbers_are_added() {
    let mut store = with(b"-9223372036854775808");
    assert_eq!(store.add(b"k", -1, 0), Err(StoreError::Overflow));
    assert_eq!(store.add(b"k", 1, 0), Ok(i64::MIN + 1));
    assert_eq!(store.get(b"k", 0), Some(&b"-9223372036854775807"[..]));
    assert_eq!(store.add(b"new", -3, 0), Ok(-3));
    assert_eq!(with(b"1x").add(b"k", 1, 0), Err(StoreError::NotInteger));
    assert_eq!(with(b"").add(b"k", 1, 0), Err(StoreError::NotInteger));
}

#[test]
fn values_grow_to_their_limit() {
    let mut store = with(b"ab");
    assert_eq!(store.append(b"k", b"cd", 0), Ok(4));
    assert_eq!(store.get(b"k", 0), Some(&b"abcd"[..]));
    let long = alloc::vec![0; BULK_LEN_MAX - 4];
    assert_eq!(store.append(b"k", &long, 0), Ok(BULK_LEN_MAX));
    assert_eq!(store.append(b"k", b"x", 0), Err(StoreError::TooLong));
    store.remove(b"k", 0);
    assert_eq!(store.memory().0, 0);
}

#[test]
fn memory_has_a_limit() {
    let mut store = store(2 * (ENTRY_LEN + 1 + 100));
    let value = [0; 100];
    store.set(b"a", &value, Lifetime::Endless, 0).unwrap();
    store.set(b"b", &value, Lifetime::Until(50), 0).unwrap();
    assert_eq!(store.set(b"c", b"", Lifetime::Endless, 0), Err(StoreError::OutOfMemory));
    assert_eq!(store.append(b"a", b"x", 0), Err(StoreError::OutOfMemory));
    // One takes the place of another of its length, or of one that has ended.
    assert_eq!(store.set(b"a", &value, Lifetime::Endless, 0), Ok(()));
    assert_eq!(store.get(b"b", 60), None);
    assert_eq!(store.set(b"c", &value, Lifetime::Endless, 60), Ok(()));
    let pairs = |count| (0..count).map(|_| (&b"d"[..], &value[..]));
    assert!(!store.has_room(pairs(1)));
    store.clear();
    assert_eq!((store.len(60), store.memory().0), ((0, 0), 0));
    assert!(store.has_room(pairs(2)) && !store.has_room(pairs(3)));
}

#[test]
fn the_machine_has_a_limit_too() {
    let mut store = Store::new([7; 16], 1 << 20, |len| len < 1000);
    assert_eq!(store.set(b"a", &[0; 100], Lifetime::Endless, 0), Ok(()));
    assert_eq!(store.set(b"b", &[0; 1000], Lifetime::Endless, 0), Err(StoreError::OutOfMemory));
    assert_eq!(store.append(b"a", &[0; 1000], 0), Err(StoreError::OutOfMemory));
    assert_eq!(store.append(b"a", &[0; 100], 0), Ok(200));
}

#[test]
fn memory_is_counted_right() {
    let mut store = store(100_000);
    let mut seed = 1_u32;
    let mut random = |end: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % end
    };
    for now in 0..20_000 {
        let key = format!("{}", random(50));
        let value = alloc::vec![b'1'; random(300) as usize];
        let lifetime = [Lifetime::Endless, Lifetime::Kept, Lifetime::Until(now + 30)];
        // What is refused is refused; what counts is below.
        let _ = match random(5) {
            0 => store.set(key.as_bytes(), &value, lifetime[random(3) as usize], now).err(),
            1 => store.append(key.as_bytes(), &value, now).err(),
            2 => store.add(key.as_bytes(), 7, now).err(),
            3 => {
                store.remove(key.as_bytes(), now);
                None
            }
            _ => {
                store.expire(key.as_bytes(), Some(now + 10), now);
                None
            }
        };
        let counted =
            |store: &Store| -> usize { store.entries.values().map(super::Entry::cost).sum() };
        assert_eq!(store.used, counted(&store));
        assert!(store.used <= store.limit);
        let ending = store.entries.values().filter(|entry| entry.deadline.is_some()).count();
        assert_eq!(store.deadlines.len(), ending);
    }
    store.sweep(u64::MAX, usize::MAX);
    assert!(store.expired() > 100);
}
