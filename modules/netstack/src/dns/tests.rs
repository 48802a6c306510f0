//! Timelines of questions and answers (RFC 1035 section 7).

mod keeping;
mod messages;

use alloc::{format, string::String, vec, vec::Vec};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use chacha20::ChaCha8Rng;
use rand_core::SeedableRng;

use super::{QueryId, ResolveError, Resolver, StartError, Want};
use crate::time::Instant;

const SERVERS: [&str; 2] = ["10.0.0.2", "2001:db8::53"];
const NAME: &str = "www.example.org";
const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const NX: u8 = 3;
const SERVFAIL: u8 = 2;
const TRUNCATED: u8 = 0x02;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Our end of a question.
fn local(port: u16) -> SocketAddr {
    SocketAddr::new(ip("10.0.0.1"), port)
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

fn octets(address: &str) -> Vec<u8> {
    match ip(address) {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// An answer in the making: the question it repeats, and records.
#[derive(Clone)]
struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    fn to(question: &[u8]) -> Self {
        let mut bytes = question.to_vec();
        bytes[2] |= 0x80;
        Answer { bytes }
    }

    fn rcode(mut self, rcode: u8) -> Self {
        self.bytes[3] |= rcode;
        self
    }

    fn flag(mut self, flag: u8) -> Self {
        self.bytes[2] |= flag;
        self
    }

    fn record(mut self, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Self {
        // An SOA record belongs to the authorities.
        self.bytes[if kind == SOA { 9 } else { 7 }] += 1;
        self.bytes.extend(owner);
        self.bytes.extend([kind.to_be_bytes(), [0, 1]].concat());
        self.bytes.extend(ttl.to_be_bytes());
        self.bytes.extend((data.len() as u16).to_be_bytes());
        self.bytes.extend(data);
        self
    }

    /// An address of the name that was asked for, by a pointer to it.
    fn address(self, address: &str, ttl: u32) -> Self {
        let data = octets(address);
        let kind = if data.len() == 4 { A } else { AAAA };
        self.record(&[0xc0, 12], kind, ttl, &data)
    }

    fn alias(self, owner: &str, target: &str) -> Self {
        self.record(&wire(owner), CNAME, 60, &wire(target))
    }

    fn soa(self, ttl: u32, minimum: u32) -> Self {
        let mut data = [wire("ns.example.org"), wire("root.example.org"), vec![0; 16]].concat();
        data.extend(minimum.to_be_bytes());
        self.record(&wire("example.org"), SOA, ttl, &data)
    }
}

#[derive(Debug, Clone)]
struct Sent {
    at_ms: u128,
    server: SocketAddr,
    port: u16,
    payload: Vec<u8>,
}

impl Sent {
    fn kind(&self) -> u16 {
        let tail = &self.payload[self.payload.len() - 4..];
        u16::from_be_bytes([tail[0], tail[1]])
    }
}

struct World {
    now: Instant,
    rng: ChaCha8Rng,
    resolver: Resolver,
    sent: Vec<Sent>,
    port: u16,
}

impl World {
    fn new() -> Self {
        let mut resolver = Resolver::default();
        resolver.set_servers(&SERVERS.map(ip));
        let rng = ChaCha8Rng::seed_from_u64(5);
        World { now: Instant::ZERO, rng, resolver, sent: Vec::new(), port: 50_000 }
    }

    fn poll(&mut self) {
        while let Some(transmit) = self.resolver.poll(self.now, &mut self.rng) {
            self.port += 1;
            self.resolver.sent_from(transmit.question, local(self.port));
            assert!(self.resolver.owns_port(self.port));
            let at_ms = (self.now - Instant::ZERO).as_millis();
            let (server, payload, port) = (transmit.server, transmit.payload, self.port);
            self.sent.push(Sent { at_ms, server, port, payload });
        }
    }

    fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.poll();
        while let Some(at) = self.resolver.deadline().filter(|at| *at <= end) {
            assert!(at > self.now, "a deadline that polling does not move");
            self.now = at;
            self.poll();
        }
        self.now = end;
    }

    fn ask(&mut self, name: &str, want: Want) -> QueryId {
        let id = self.resolver.start(name, want, self.now).unwrap();
        self.poll();
        id
    }

    fn last(&self) -> Sent {
        self.sent.last().unwrap().clone()
    }

    fn hear(&mut self, sent: &Sent, bytes: &[u8]) -> bool {
        let is_answer = self.resolver.on_message(sent.server, local(sent.port), bytes, self.now);
        self.poll();
        is_answer
    }

    /// Answers the last question.
    fn answer(&mut self, answer: impl Fn(Answer) -> Answer) {
        let sent = self.last();
        assert!(self.hear(&sent, &answer(Answer::to(&sent.payload)).bytes));
    }

    fn result(&mut self, id: QueryId) -> Option<Result<Vec<IpAddr>, ResolveError>> {
        let is_done = self.resolver.is_done(id);
        let result = self.resolver.result(id);
        assert_eq!(result.is_some(), is_done);
        result
    }
}

/// RFC 1035 section 4, RFC 3596 section 2.
#[test]
fn addresses_of_both_families_are_asked_for() {
    let mut world = World::new();
    let id = world.ask("WWW.Example.org.", Want::Any);
    let questions = world.sent.clone();
    assert_eq!(questions.iter().map(Sent::kind).collect::<Vec<_>>(), [A, AAAA]);
    assert_ne!(questions[0].payload[..2], questions[1].payload[..2], "ids are random");
    assert_eq!(questions[0].server, SocketAddr::new(ip(SERVERS[0]), 53));
    let expected = [&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &wire(NAME), &[0, 1, 0, 1]].concat();
    assert_eq!(questions[0].payload[2..], expected);

    let v6 = Answer::to(&questions[1].payload).address("2001:db8::7", 60);
    assert!(world.hear(&questions[1], &v6.bytes));
    assert_eq!(world.result(id), None);
    let v4 = Answer::to(&questions[0].payload).address("192.0.2.7", 60).address("192.0.2.8", 60);
    assert!(world.hear(&questions[0], &v4.bytes));
    let all = ["192.0.2.7", "192.0.2.8", "2001:db8::7"].map(ip);
    assert_eq!(world.result(id), Some(Ok(all.to_vec())));
    assert_eq!(world.resolver.result(id), None, "it has been taken");
    assert_eq!(world.resolver.deadline(), None);
    assert!(!world.resolver.owns_port(questions[0].port));
}

/// Servers in turn, each for 1, 2, then 4 s; given up after 15 s. RFC 5452 section 9.2: another id
/// and port each time.
#[test]
fn questions_are_repeated_to_every_server() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    world.run(14_999);
    assert_eq!(world.result(id), None);
    let times: Vec<_> = world.sent.iter().map(|sent| sent.at_ms).collect();
    assert_eq!(times, [0, 1000, 2000, 4000, 6000, 10_000, 14_000]);
    let servers: Vec<_> = world.sent.iter().map(|sent| sent.server.ip()).collect();
    assert_eq!(servers[..4], [ip(SERVERS[0]), ip(SERVERS[1]), ip(SERVERS[0]), ip(SERVERS[1])]);
    let mut ids: Vec<_> = world.sent.iter().map(|sent| sent.payload[..2].to_vec()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    world.run(1);
    assert_eq!(world.result(id), Some(Err(ResolveError::TimedOut)));
    assert!(world.resolver.questions.is_empty());
}

/// RFC 5452 section 9.1: the id, the question, the server's address and port, and ours.
#[test]
fn forged_answers_are_ignored() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    let sent = world.last();
    let good = Answer::to(&sent.payload).address("192.0.2.7", 60).bytes;
    let changed = |place: usize, bits: u8| {
        let mut bytes = good.clone();
        bytes[place] ^= bits;
        bytes
    };
    let at_type = sent.payload.len() - 3;
    let forged =
        [(0, 1), (1, 1), (2, 0x80), (2, 0x08), (5, 3), (14, 1), (at_type, 2), (at_type + 2, 1)];
    for (place, bits) in forged {
        assert!(!world.hear(&sent, &changed(place, bits)), "byte {place}");
    }
    let from = |server: &str, port| SocketAddr::new(ip(server), port);
    for (server, to) in [
        (from("10.0.0.9", 53), local(sent.port)),
        (from(SERVERS[0], 54), local(sent.port)),
        (from(SERVERS[1], 53), local(sent.port)),
        (sent.server, local(sent.port + 1)),
        (sent.server, from("10.0.0.7", sent.port)),
    ] {
        assert!(!world.resolver.awaits(server, to), "{server} {to}");
        assert!(!world.resolver.on_message(server, to, &good, world.now), "{server} {to}");
    }
    assert_eq!(world.result(id), None);
    assert!(world.hear(&sent, &changed(14, 0x20)), "case does not matter");
    assert_eq!(world.result(id), Some(Ok(vec![ip("192.0.2.7")])));
    assert!(!world.hear(&sent, &good), "nobody asks any more");

    let id = world.ask("late.example.org", Want::Ipv4);
    let first = world.last();
    world.run(1000);
    let late = Answer::to(&first.payload).address("192.0.2.9", 60).bytes;
    assert!(!world.hear(&first, &late), "another question is out");
    world.resolver.cancel(id);
    assert_eq!((world.resolver.deadline(), world.resolver.questions.len()), (None, 0));
}

/// RFC 1034 section 3.6.2.
#[test]
fn aliases_are_followed() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    world.answer(|answer| {
        let answer = answer.record(&wire("b.example.net"), A, 30, &octets("192.0.2.7"));
        // Somebody else's address.
        let answer = answer.record(&wire("evil.example.net"), A, 30, &octets("192.0.2.66"));
        answer.alias("a.example.net", "B.example.net").alias(NAME, "a.example.net")
    });
    assert_eq!(world.result(id), Some(Ok(vec![ip("192.0.2.7")])), "in one answer, in any order");

    let id = world.ask("two.example.org", Want::Ipv4);
    world.answer(|answer| answer.alias("two.example.org", "three.example.org"));
    assert_eq!(world.result(id), None);
    assert_eq!(
        world.last().payload[12..],
        [&wire("three.example.org")[..], &[0, 1, 0, 1]].concat()
    );
    world.answer(|answer| answer.address("192.0.2.8", 600));
    assert_eq!(world.result(id), Some(Ok(vec![ip("192.0.2.8")])), "in two answers");
    world.run(59_000);
    let id = world.ask("two.example.org", Want::Ipv4);
    assert!(world.result(id).is_some(), "it is known under the first name");
    world.run(1000);
    let id = world.ask("two.example.org", Want::Ipv4);
    assert_eq!(world.result(id), None, "for as long as the alias holds");
}

/// RFC 1034 section 5.3.3: work for one question is bounded.
#[test]
fn endless_aliases_end() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    for number in 0..20 {
        let owner = if number == 0 { String::from(NAME) } else { format!("n{number}.example.org") };
        if world.resolver.is_done(id) {
            break;
        }
        world.answer(|answer| answer.alias(&owner, &format!("n{}.example.org", number + 1)));
    }
    assert_eq!(world.result(id), Some(Err(ResolveError::ServerFailure)));
    assert_eq!(world.sent.len(), 9);
    let id = world.ask("loop.example.org", Want::Ipv4);
    for _ in SERVERS {
        world.answer(|answer| answer.alias("loop.example.org", "loop.example.org"));
    }
    assert_eq!(world.result(id), Some(Err(ResolveError::ServerFailure)));
}

/// RFC 1035 section 7.2.
#[test]
fn a_server_that_fails_is_passed_over() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    world.answer(|answer| answer.rcode(SERVFAIL));
    assert_eq!(world.sent.len(), 2, "at once");
    assert_eq!(world.last().server.ip(), ip(SERVERS[1]));
    world.run(3000);
    let rest: Vec<_> = world.sent[1..].iter().map(|sent| sent.server.ip()).collect();
    assert!(rest.iter().all(|server| *server == ip(SERVERS[1])), "the other is not asked again");
    world.answer(|answer| answer.address("192.0.2.7", 60));
    assert_eq!(world.result(id), Some(Ok(vec![ip("192.0.2.7")])));

    let id = world.ask("fail.example.org", Want::Ipv4);
    world.answer(|answer| answer.rcode(5));
    let sent = world.last();
    world.resolver.on_unreachable(sent.server, local(sent.port), world.now);
    world.poll();
    assert_eq!(world.result(id), Some(Err(ResolveError::ServerFailure)));
    let id = world.ask("fail.example.org", Want::Ipv4);
    assert_eq!(world.result(id), None, "failures are not kept");
    let sent = world.last();
    let cut = Answer::to(&sent.payload).address("192.0.2.7", 60).bytes;
    assert!(world.hear(&sent, &cut[..cut.len() - 1]), "malformed: the next one");
    assert_eq!(world.last().server.ip(), ip(SERVERS[1]));
}

/// RFC 2181 section 9 would have it asked again over TCP, which is not here.
#[test]
fn a_truncated_answer_is_used_as_it_is() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Ipv4);
    let sent = world.last();
    let answer = Answer::to(&sent.payload).flag(TRUNCATED);
    let answer = answer.address("192.0.2.7", 60).address("192.0.2.8", 60).bytes;
    assert!(world.hear(&sent, &answer[..answer.len() - 3]));
    assert_eq!(world.result(id), Some(Ok(vec![ip("192.0.2.7")])));
    let id = world.ask("empty.example.org", Want::Ipv4);
    world.answer(|answer| answer.flag(TRUNCATED));
    assert_eq!(world.result(id), None);
    assert_eq!(world.last().server.ip(), ip(SERVERS[1]), "another server may say more");
}

/// RFC 6761 section 6.3, and addresses that are written as such.
#[test]
fn some_names_need_no_server() {
    let mut resolver = Resolver::default();
    let mut resolve = |name: &str, want| {
        let id = resolver.start(name, want, Instant::ZERO).unwrap();
        let result = resolver.result(id);
        resolver.cancel(id);
        result
    };
    let both = vec![ip("127.0.0.1"), ip("::1")];
    assert_eq!(resolve("localhost", Want::Any), Some(Ok(both.clone())));
    assert_eq!(resolve("a.b.LocalHost.", Want::Any), Some(Ok(both)));
    assert_eq!(resolve("localhost", Want::Ipv6), Some(Ok(vec![ip("::1")])));
    assert_eq!(resolve("192.0.2.7", Want::Any), Some(Ok(vec![ip("192.0.2.7")])));
    assert_eq!(resolve("2001:db8::7", Want::Any), Some(Ok(vec![ip("2001:db8::7")])));
    assert_eq!(resolve("192.0.2.7", Want::Ipv6), Some(Err(ResolveError::NoAddress)));
    assert_eq!(resolve("notlocalhost", Want::Any), None);
    let id = resolver.start(NAME, Want::Any, Instant::ZERO).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    assert_eq!(resolver.poll(Instant::ZERO, &mut rng), None);
    assert_eq!(resolver.result(id), Some(Err(ResolveError::NoServers)));
}

#[test]
fn everything_is_bounded() {
    let mut world = World::new();
    world.resolver.set_servers(&[ip(SERVERS[0]); 9]);
    assert_eq!(world.resolver.servers.len(), 4);
    let first = world.ask(NAME, Want::Any);
    let second = world.ask(NAME, Want::Any);
    assert_eq!(world.sent.len(), 2, "RFC 5452 section 5: one question for both");
    world.resolver.cancel(first);
    assert_eq!(world.resolver.questions.len(), 2);
    world.resolver.cancel(second);
    assert_eq!(world.resolver.questions.len(), 0);
    let name = |number| format!("n{number}.example.org");
    let ids: Vec<_> = (0..32).map(|number| world.ask(&name(number), Want::Any)).collect();
    assert_eq!(world.resolver.start(NAME, Want::Any, world.now), Err(StartError::TooMany));
    assert_eq!(world.resolver.questions.len(), 64);
    world.run(20_000);
    for id in ids {
        assert_eq!(world.result(id), Some(Err(ResolveError::TimedOut)));
    }
    let id = world.ask(NAME, Want::Ipv4);
    world.answer(|answer| {
        (0..25).fold(answer, |answer, last| answer.address(&format!("192.0.2.{last}"), 9))
    });
    assert_eq!(world.result(id).unwrap().unwrap().len(), 16);
}

/// Servers that never answer questions for the other family cost a second, not fifteen.
#[test]
fn one_family_does_not_wait_long_for_the_other() {
    let mut world = World::new();
    let id = world.ask(NAME, Want::Any);
    let v4 = world.sent[0].clone();
    world.hear(&v4, &Answer::to(&v4.payload).address("192.0.2.7", 60).bytes);
    world.run(999);
    assert_eq!(world.result(id), None);
    world.run(1);
    assert_eq!(world.result(id), Some(Ok(vec![ip("192.0.2.7")])));
    assert!(world.resolver.questions.is_empty());
    let id = world.ask("none.example.org", Want::Any);
    let v6 = world.last();
    world.hear(&v6, &Answer::to(&v6.payload).soa(60, 60).bytes);
    world.run(10_000);
    assert_eq!(world.result(id), None, "without an address there is no hurry");
}
