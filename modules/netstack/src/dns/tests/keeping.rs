//! What is kept of answers, and for how long.

use alloc::format;

use super::{
    super::{ResolveError, Want},
    NAME, NX, SERVERS, World, ip,
};

/// RFC 2308 sections 2 and 5: NXDOMAIN and NODATA, kept as long as the SOA record says.
#[test]
fn what_does_not_exist_is_told_apart_and_kept() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    world.answer(|answer| answer.rcode(NX).soa(600, 100));
    assert_eq!(world.result(id), Some(Err(ResolveError::NotFound)));
    let id = world.ask("v4.example.org", Want::Ipv6);
    world.answer(|answer| answer.soa(100_000, 100_000));
    assert_eq!(world.result(id), Some(Err(ResolveError::NoAddress)));
    let id = world.ask("bare.example.org", Want::Ipv6);
    world.answer(|answer| answer.rcode(NX));
    assert_eq!(world.result(id), Some(Err(ResolveError::NotFound)));
    assert_eq!(world.sent.len(), 3);
    world.run(99_000);
    let id = world.ask(NAME, Want::Ipv4);
    assert_eq!(world.result(id), Some(Err(ResolveError::NotFound)), "kept");
    let id = world.ask("bare.example.org", Want::Ipv6);
    assert_eq!(world.result(id), None, "without an SOA record it is not");
    world.run(1000);
    let id = world.ask(NAME, Want::Ipv4);
    assert_eq!(world.result(id), None, "the lesser of the two times");
    world.run(200_000);
    let id = world.ask("v4.example.org", Want::Ipv6);
    assert_eq!(world.result(id), None, "five minutes at most");
}

/// RFC 1035 section 7.4.
#[test]
fn answers_are_kept_for_their_time() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    world.answer(|answer| answer.address("192.0.2.7", 10).address("192.0.2.8", 20));
    world.result(id).unwrap().unwrap();
    world.run(9_999);
    let id = world.ask("www.EXAMPLE.org", Want::Ipv4);
    assert_eq!(world.result(id), Some(Ok(["192.0.2.7", "192.0.2.8"].map(ip).to_vec())));
    world.run(1);
    let id = world.ask(NAME, Want::Ipv4);
    assert_eq!(world.result(id), None);
    world.answer(|answer| answer.address("192.0.2.9", 0x8000_0000));
    world.result(id).unwrap().unwrap();
    assert_eq!(world.resolver.cache.len(), 0, "RFC 2181 section 8: no time at all");

    for number in 0..100 {
        let id = world.ask(&format!("n{number}.example.org"), Want::Ipv4);
        world.answer(|answer| answer.address("192.0.2.7", 1000 + number));
        world.result(id).unwrap().unwrap();
    }
    assert_eq!(world.resolver.cache.len(), 64);
    let asked = world.sent.len();
    let id = world.ask("n99.example.org", Want::Ipv4);
    assert!(world.result(id).is_some() && world.sent.len() == asked);
    world.resolver.set_servers(&[ip(SERVERS[1])]);
    assert_eq!(world.resolver.cache.len(), 0, "another network, another view");
}
