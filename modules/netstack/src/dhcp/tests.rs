//! Timelines of messages (RFC 2131 sections 3.1 and 4.4).

mod messages;

use alloc::{vec, vec::Vec};
use core::{net::Ipv4Addr, time::Duration};

use chacha20::ChaCha8Rng;
use rand_core::SeedableRng;
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};

use super::{Client, Config, Output, Transmit, message::code};
use crate::time::Instant;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const LEASE: u32 = 1000;
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// A server's message in the making.
#[derive(Clone)]
struct Answer {
    address: Ipv4Addr,
    mac: [u8; 6],
    xid: u32,
    options: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    fn new(kind: u8, xid: u32) -> Self {
        let options = vec![
            (code::MESSAGE_TYPE, vec![kind]),
            (code::SERVER_ID, SERVER.octets().to_vec()),
            (code::SUBNET_MASK, vec![255, 255, 255, 0]),
            (code::ROUTER, SERVER.octets().to_vec()),
            (code::DNS_SERVER, SERVER.octets().to_vec()),
            (code::LEASE_TIME, LEASE.to_be_bytes().to_vec()),
        ];
        Answer { address: LEASED, mac: MAC, xid, options }
    }

    /// Replaces an option; an empty one is left out.
    fn with(mut self, code: u8, data: &[u8]) -> Self {
        self.options.retain(|(other, _)| *other != code);
        if !data.is_empty() {
            self.options.push((code, data.to_vec()));
        }
        self
    }

    fn address(self, address: [u8; 4]) -> Self {
        Answer { address: address.into(), ..self }
    }

    fn lease(self, secs: u32) -> Self {
        self.with(code::LEASE_TIME, &secs.to_be_bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 240];
        bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&self.xid.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.address.octets());
        bytes[28..34].copy_from_slice(&self.mac);
        bytes[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        for (code, data) in &self.options {
            bytes.extend([*code, data.len() as u8]);
            bytes.extend(data);
        }
        bytes.push(code::END);
        bytes
    }
}

type Change = fn(Answer) -> Answer;

/// What the client sent, parsed.
#[derive(Debug, Clone)]
struct Sent {
    at: Instant,
    kind: DhcpMessageType,
    xid: u32,
    secs: u16,
    client_ip: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    route: (Ipv4Addr, Ipv4Addr),
}

impl Sent {
    fn new(at: Instant, transmit: &Transmit) -> Self {
        let packet = DhcpPacket::new_checked(&transmit.payload[..]).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        assert_eq!(repr.client_hardware_address.0, MAC);
        assert_eq!(repr.client_identifier.map(|id| id.0), Some(MAC), "RFC 2131 section 4.2");
        assert!(transmit.payload.len() >= 300, "RFC 1542 section 2.1");
        Sent {
            at,
            kind: repr.message_type,
            xid: repr.transaction_id,
            secs: repr.secs,
            client_ip: repr.client_ip,
            requested: repr.requested_ip,
            server: repr.server_identifier,
            route: (transmit.source, transmit.destination),
        }
    }
}

struct World {
    now: Instant,
    rng: ChaCha8Rng,
    client: Client,
    sent: Vec<Sent>,
    events: Vec<Option<Config>>,
}

impl World {
    fn new() -> Self {
        let client = Client::new(MAC, Some("unikernel"), 1500, Instant::ZERO);
        let rng = ChaCha8Rng::seed_from_u64(1);
        World { now: Instant::ZERO, rng, client, sent: Vec::new(), events: Vec::new() }
    }

    fn bound(answer: impl Fn(Answer) -> Answer) -> Self {
        let mut world = World::new();
        world.run(Duration::ZERO);
        world.hear(&answer(Answer::new(OFFER, world.xid())));
        world.hear(&answer(Answer::new(ACK, world.xid())));
        assert_eq!(world.events.len(), 1, "configured");
        world.sent.clear();
        world.events.clear();
        world
    }

    fn poll(&mut self) {
        while let Some(output) = self.client.poll(self.now, &mut self.rng) {
            match output {
                Output::Transmit(transmit) => self.sent.push(Sent::new(self.now, &transmit)),
                Output::Configured(config) => self.events.push(Some(config)),
                Output::Deconfigured => self.events.push(None),
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.poll();
        while let Some(at) = self.client.deadline().filter(|at| *at <= end) {
            assert!(at > self.now, "a deadline that polling does not move");
            self.now = at;
            self.poll();
        }
        self.now = end;
    }

    fn hear(&mut self, answer: &Answer) -> bool {
        let is_news = self.client.on_message(&answer.bytes(), self.now);
        self.poll();
        is_news
    }

    fn xid(&self) -> u32 {
        self.sent.last().unwrap().xid
    }

    fn kinds(&self) -> Vec<DhcpMessageType> {
        self.sent.iter().map(|sent| sent.kind).collect()
    }

    fn seconds(&self) -> Vec<u64> {
        self.sent.iter().map(|sent| (sent.at - Instant::ZERO).as_secs()).collect()
    }
}

fn config() -> Config {
    Config { address: LEASED, prefix_len: 24, gateway: Some(SERVER), dns: vec![SERVER], mtu: None }
}

fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

use DhcpMessageType::{Discover, Release, Request};

/// RFC 2131 section 3.1.
#[test]
fn discover_offer_request_ack() {
    let mut world = World::new();
    assert_eq!(world.client.deadline(), Some(Instant::ZERO));
    world.run(Duration::ZERO);
    let discover = world.sent[0].clone();
    assert_eq!((discover.kind, discover.requested, discover.server), (Discover, None, None));
    assert_eq!(discover.route, (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));

    assert!(world.hear(&Answer::new(OFFER, discover.xid)));
    let request = world.sent[1].clone();
    assert_eq!(
        (request.kind, request.requested, request.server),
        (Request, Some(LEASED), Some(SERVER))
    );
    assert_eq!((request.xid, request.client_ip), (discover.xid, Ipv4Addr::UNSPECIFIED));
    assert_eq!(request.route, discover.route, "table 5");
    assert!(!world.hear(&Answer::new(OFFER, discover.xid)), "one is enough");
    assert!(world.events.is_empty());

    assert!(world.hear(&Answer::new(ACK, discover.xid)));
    assert_eq!(world.events, [Some(config())]);
    assert_eq!(world.client.deadline(), Some(Instant::ZERO + secs(LEASE / 2)), "T1");
}

/// RFC 2131 section 4.1: 4, 8, ... 64 s, each by up to a second more or less; ours begin with 1 s.
#[test]
fn discovers_are_repeated_ever_more_slowly() {
    let mut world = World::new();
    world.run(secs(400));
    let times: Vec<_> = world.sent.iter().map(|sent| sent.at).collect();
    let waits: Vec<_> = times.windows(2).map(|two| (two[1] - two[0]).as_millis()).collect();
    let expected = [1000, 4000, 8000, 16000, 32000, 64000, 64000, 64000, 64000, 64000];
    for (wait, expected) in waits.iter().zip(expected) {
        assert!(wait.abs_diff(expected) <= 1000, "{waits:?}");
    }
    assert!(waits.iter().any(|wait| wait % 1000 != 0), "randomized");
    assert!(world.sent.iter().all(|sent| sent.xid == world.xid()), "a late offer still counts");
    assert_eq!(world.sent[0].secs, 0);
    assert!(world.sent[6].secs > 50, "RFC 2131 section 2");
}

/// RFC 2131 section 4.4.1: DHCPREQUEST has the `secs` of DHCPDISCOVER; section 3.1 item 5: it is
/// repeated, then the client begins anew.
#[test]
fn without_an_acknowledgement_it_begins_anew() {
    let mut world = World::new();
    world.run(secs(20));
    let discovers = world.sent.len();
    let secs_field = world.sent.last().unwrap().secs;
    assert!(secs_field > 0);
    let first_xid = world.xid();
    world.hear(&Answer::new(OFFER, first_xid));
    world.run(secs(40));
    let after = &world.kinds()[discovers..];
    assert_eq!(&after[..5], [Request, Request, Request, Request, Discover]);
    assert!(world.sent[discovers..discovers + 4].iter().all(|sent| sent.secs == secs_field));
    assert_ne!(world.xid(), first_xid);
}

/// RFC 2131 section 4.4.5: T1, unicast from our address, `ciaddr` filled in, no server identifier.
#[test]
fn a_lease_is_renewed_at_half_its_time() {
    let mut world = World::bound(|answer| answer);
    world.run(secs(499));
    assert!(world.sent.is_empty());
    world.run(secs(2));
    let renewal = world.sent[0].clone();
    assert_eq!((renewal.kind, renewal.client_ip), (Request, LEASED));
    assert_eq!((renewal.requested, renewal.server), (None, None));
    assert_eq!(renewal.route, (LEASED, SERVER));
    assert!(!world.hear(&Answer::new(ACK, renewal.xid + 1)), "not its transaction");
    let foreign = Answer::new(ACK, renewal.xid).with(code::SERVER_ID, &OTHER.octets());
    assert!(!world.hear(&foreign), "another server was not asked");
    assert!(world.hear(&Answer::new(ACK, renewal.xid)));
    assert!(world.events.is_empty(), "nothing has changed");
    let since = Instant::ZERO + secs(500);
    assert_eq!(world.client.deadline(), Some(since + secs(500)), "since the request was sent");
}

/// RFC 2131 section 4.4.5.
#[test]
fn a_renewal_that_changes_the_configuration_says_so() {
    let mut world = World::bound(|answer| answer);
    world.run(secs(500));
    let changed = Answer::new(ACK, world.xid()).with(code::DNS_SERVER, &OTHER.octets());
    assert!(world.hear(&changed));
    assert_eq!(world.events, [Some(Config { dns: vec![OTHER], ..config() })]);
}

/// RFC 2131 section 4.4.5: retries wait for half of what remains; at T2 any server is asked; at the
/// end the address is given up and another looked for.
#[test]
fn a_lease_that_nobody_renews_is_rebound_and_expires() {
    let mut world = World::bound(|answer| answer);
    world.run(secs(LEASE - 1));
    assert_eq!(world.seconds(), [500, 687, 781, 841, 875, 937, 997]);
    let unicast: Vec<_> = world.sent.iter().map(|sent| sent.route.1 == SERVER).collect();
    assert_eq!(unicast, [true, true, true, true, false, false, false]);
    let rebinding = world.sent.last().unwrap();
    assert_eq!(rebinding.route, (LEASED, Ipv4Addr::BROADCAST));
    assert_eq!((rebinding.client_ip, rebinding.secs), (LEASED, 122));
    assert!(world.events.is_empty());
    world.run(secs(1));
    assert_eq!(world.events, [None]);
    assert_eq!(world.sent.last().unwrap().kind, Discover);
}

/// RFC 2131 section 4.4.5, REBINDING.
#[test]
fn any_server_may_answer_when_rebinding() {
    let mut world = World::bound(|answer| answer);
    world.run(secs(880));
    let answer = Answer::new(ACK, world.xid()).with(code::SERVER_ID, &OTHER.octets());
    assert!(world.hear(&answer));
    world.sent.clear();
    world.run(secs(495));
    assert_eq!(world.sent[0].route, (LEASED, OTHER), "it is the lease's server now");
}

/// A late wake-up finds the lease over, not due for renewal.
#[test]
fn a_lease_that_ended_while_asleep_is_over() {
    let mut world = World::bound(|answer| answer);
    world.now = Instant::ZERO + secs(5000);
    world.poll();
    assert_eq!((world.events.as_slice(), world.kinds().as_slice()), (&[None][..], &[Discover][..]));
}

/// RFC 2131 section 3.1 item 5 and 4.4.5: the address is given up at once, but the client does not
/// run in circles.
#[test]
fn a_refusal_begins_anew_at_a_bounded_rate() {
    let mut world = World::bound(|answer| answer);
    world.run(secs(500));
    let nak =
        Answer::new(NAK, world.xid()).with(code::MESSAGE, b"no\x1b[2J").with(code::ROUTER, &[]);
    assert!(!world.hear(&nak.clone().with(code::SERVER_ID, &OTHER.octets())));
    assert!(world.hear(&nak));
    assert_eq!((world.events.as_slice(), world.kinds().last()), (&[None][..], Some(&Discover)));
    world.sent.clear();
    for _ in 0..200 {
        world.run(Duration::from_millis(500));
        if let Some(last) = world.sent.last().cloned() {
            world.hear(&Answer::new(OFFER, last.xid));
            world.hear(&Answer::new(NAK, last.xid));
        }
    }
    let discovers = world.kinds().iter().filter(|kind| **kind == Discover).count();
    assert!((15..=21).contains(&discovers), "{discovers} in 100 s");
}

/// A server that leases for no time at all is asked twice per lease of 30 s.
#[test]
fn a_lease_of_no_time_does_not_make_the_client_spin() {
    let mut world = World::bound(|answer| answer.lease(0));
    world.run(secs(100));
    let early: Vec<_> = world.seconds().into_iter().filter(|at| *at < 30).collect();
    assert_eq!(early, [15, 20, 24, 26], "T1, two retries, T2");
    assert!(world.events.contains(&None));
}

/// RFC 2132 section 9.2.
#[test]
fn an_infinite_lease_has_no_deadline() {
    let mut world = World::bound(|answer| answer.lease(u32::MAX));
    assert_eq!(world.client.deadline(), None);
    world.run(secs(u32::MAX));
    assert!(world.sent.is_empty() && world.events.is_empty());
}

/// RFC 2131 section 4.4.6.
#[test]
fn a_lease_can_be_given_back() {
    let mut world = World::bound(|answer| answer);
    let release = world.client.release(world.now, &mut world.rng).unwrap();
    let sent = Sent::new(world.now, &release);
    assert_eq!((sent.kind, sent.client_ip, sent.server), (Release, LEASED, Some(SERVER)));
    assert_eq!((sent.route, sent.requested), ((LEASED, SERVER), None));
    world.run(secs(2000));
    assert_eq!((world.events.as_slice(), world.sent.len()), (&[None][..], 0));
    assert_eq!(world.client.deadline(), None);
    assert_eq!(world.client.release(world.now, &mut world.rng), None);
    world.client.reconnect(world.now, &mut world.rng);
    world.poll();
    assert_eq!(world.kinds(), [Discover]);
}

/// RFC 2131 sections 3.2 and 4.3.2: by broadcast, with the address as a wish and without a server.
#[test]
fn a_lease_is_verified_when_the_link_comes_back() {
    for lease in [LEASE, u32::MAX] {
        let mut world = World::bound(move |answer| answer.lease(lease));
        world.client.reconnect(world.now, &mut world.rng);
        world.poll();
        let sent = &world.sent[0];
        assert_eq!((sent.kind, sent.client_ip), (Request, Ipv4Addr::UNSPECIFIED));
        assert_eq!((sent.requested, sent.server), (Some(LEASED), None));
        assert_eq!(sent.route, (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
        world.hear(&Answer::new(ACK, world.xid()).lease(lease));
        world.run(secs(LEASE / 2 - 1));
        assert_eq!(world.kinds(), [Request], "until half of it is over");
        assert!(world.events.is_empty(), "it is the same");
    }
}

/// RFC 2131 section 3.2, 2: nobody objects.
#[test]
fn a_lease_that_nobody_verifies_is_used_to_its_end() {
    let mut world = World::bound(|answer| answer);
    world.client.reconnect(world.now, &mut world.rng);
    world.run(secs(LEASE - 1));
    assert!(world.events.is_empty());
    assert_eq!(world.seconds()[..5], [0, 1, 4, 12, 500], "four times, and at T1");
    world.run(secs(1));
    assert_eq!(world.events, [None]);
}

/// The end of the lease comes before that of the questions.
#[test]
fn a_lease_ends_while_it_is_verified() {
    let mut world = World::bound(|answer| answer.lease(40));
    world.run(secs(39));
    world.client.reconnect(world.now, &mut world.rng);
    world.run(secs(1));
    assert_eq!(world.events, [None]);
}

#[test]
fn a_lease_of_another_network_is_given_up() {
    let mut world = World::bound(|answer| answer);
    world.run(secs(10));
    world.client.reconnect(world.now, &mut world.rng);
    world.poll();
    world.hear(&Answer::new(NAK, world.xid()));
    assert_eq!(world.events, [None]);
    assert_eq!(world.kinds(), [Request, Discover]);
}
