//! Names and messages, sound and otherwise.

use alloc::{format, vec::Vec};

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{
    super::{
        Resolver, StartError, Want,
        message::{self, Family, Reply},
        name::Name,
    },
    A, Answer, NAME, wire,
};
use crate::time::Instant;

/// RFC 1035 section 2.3.4.
#[test]
fn names_are_checked() {
    let long = "a".repeat(63);
    let longest = [&long[..], &long, &long, &long[..61]].join(".");
    assert_eq!(longest.len(), 253);
    for good in ["a", "_sip._tcp.example.org", "xn--a-0.b", "9.to", &long, &longest] {
        assert!(Name::parse(good).is_some(), "{good}");
        assert_eq!(Name::parse(&format!("{good}.")), Name::parse(good));
    }
    let too_long = (format!("{long}a"), format!("{longest}a"));
    let bad = ["", ".", "a..b", ".a", "a..", "a b", "b\u{e4}r", "10.0.0.256", "a.b\0", "[::1]"];
    for bad in bad.into_iter().chain([&too_long.0[..], &too_long.1]) {
        assert_eq!(Name::parse(bad), None, "{bad}");
        let started = Resolver::default().start(bad, Want::Any, Instant::ZERO);
        assert_eq!(started, Err(StartError::InvalidName));
    }
}

/// RFC 1035 section 4.1.4.
#[test]
fn pointers_lead_backwards_only() {
    let message = [&wire("example.org")[..], b"\x03www\xc0\0", b"\xc0\x13", b"\xc0\x0d"].concat();
    let name = |at| Name::read(&message, at);
    assert_eq!(name(13), Some((Name::parse("www.example.org").unwrap(), 19)));
    assert_eq!(name(19), None, "to itself");
    assert_eq!(Name::read(b"\xc0\x02\x01a\0", 0), None, "forwards");
    assert_eq!(name(21).map(|(_, end)| end), Some(23));
    assert_eq!(Name::read(b"\xc0", 0), None);
    assert_eq!(Name::read(b"\x40a\0", 0), None);
    let chain: Vec<u8> = (0..40).flat_map(|at: u8| [0xc0, at.saturating_sub(1) * 2]).collect();
    assert_eq!(Name::read(&[&[0, 0][..], &chain].concat(), 80), None, "too many");
}

#[test]
fn garbage_is_harmless() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let name = Name::parse(NAME).unwrap();
    let question = message::question(7, &name, Family::Ipv4);
    let good = Answer::to(&question).alias(NAME, "b.example.org").soa(60, 60);
    let good = good.record(&wire("b.example.org"), A, 60, &[192, 0, 2, 7]);
    let mut understood = 0;
    for round in 0..40_000_u32 {
        let mut bytes = good.bytes.clone();
        for _ in 0..rng.next_u32() % 6 {
            let place = rng.next_u32() as usize % bytes.len();
            bytes[place] ^= 1 << (rng.next_u32() % 8);
        }
        match round % 5 {
            0 => rng.fill_bytes(&mut bytes[question.len()..]),
            1 => rng.fill_bytes(&mut bytes),
            2 => bytes.iter_mut().skip(question.len()).step_by(3).for_each(|byte| *byte |= 0xc0),
            _ => {}
        }
        bytes.truncate(bytes.len() - (rng.next_u32() as usize % 60).saturating_sub(30));
        let reply = message::parse(&bytes, 7, &name, Family::Ipv4);
        understood += u32::from(reply.is_some_and(|reply| reply != Reply::Failure));
        Name::read(&bytes, rng.next_u32() as usize % 300);
    }
    assert!(understood > 1000, "{understood}");
    for len in 0..question.len() {
        assert_eq!(message::parse(&good.bytes[..len], 7, &name, Family::Ipv4), None);
    }
}
