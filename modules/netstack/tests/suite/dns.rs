//! Names (RFC 1035): the resolver's way to its servers and back.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use netstack::{
    Addressing, BindError, Config, InterfaceId, Ipv4Config, ResolveError, UdpSocket, Want,
};

use crate::harness::{
    Bell,
    bench::{Bench, INWARD},
    config, wire,
};

/// The servers 10.0.0.2 and 10.0.0.3.
fn with_servers() -> Bench {
    let addressing = Addressing::Static(Ipv4Config {
        address: [10, 0, 0, 1].into(),
        prefix_len: 24,
        gateway: None,
        dns: vec![[10, 0, 0, 2].into(), [10, 0, 0, 3].into()],
    });
    Bench::with_config(&Config { addressing, ..config(1) })
}

/// The questions sent: from, to, message.
fn questions(bench: &mut Bench) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
    let sent = bench.take_sent();
    let questions = sent.iter().filter_map(|frame| wire::udp(frame));
    let of_dns = questions.filter(|(_, to, _)| to.port() == 53);
    of_dns.map(|(from, to, message)| (from, to, message.to_vec())).collect()
}

/// An answer with one address, or with a response code.
fn answer(question: &[u8], outcome: Result<IpAddr, u8>) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80 | outcome.err().unwrap_or(0)]);
    if let Ok(ip) = outcome {
        message[7] = 1;
        let (kind, data) = match ip {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (28, ip.octets().to_vec()),
        };
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        message.extend(data);
    }
    message
}

/// RFC 1035 section 4, RFC 3596 section 2.
#[test]
fn a_name_is_asked_for_and_found() {
    let mut bench = with_servers();
    let stack = bench.stack();
    // Long after the last turn: the time of a call is not known.
    bench.run_for(Duration::from_secs(1000));
    bench.take_sent();
    let lookup = stack.resolve("example.com", Want::Any).unwrap();
    let (bell, waker) = Bell::new();
    lookup.register(&waker);
    assert_eq!(lookup.try_result(), Err(ResolveError::WouldBlock));
    let asked = questions(&mut bench);
    assert_eq!(asked.len(), 2, "A and AAAA");
    assert_ne!(asked[0].0.port(), asked[1].0.port(), "RFC 5452 section 9.2");
    let taken = UdpSocket::bind(&stack, asked[0].0).unwrap_err();
    assert_eq!(taken, BindError::InUse);
    let addresses: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    for ((from, to, message), address) in asked.iter().zip(addresses) {
        // Another's answer and a wrong number change nothing (RFC 5452 section 9.1).
        let reply = answer(message, Ok(address));
        bench.inject(&wire::datagram(INWARD, "10.0.0.9:53".parse().unwrap(), *from, &reply));
        let mut forged = reply.clone();
        forged[0] ^= 1;
        bench.inject(&wire::datagram(INWARD, *to, *from, &forged));
        bench.settle();
        assert_eq!((bell.rings(), lookup.try_result()), (0, Err(ResolveError::WouldBlock)));
        bench.inject(&wire::datagram(INWARD, *to, *from, &reply));
        if address.is_ipv6() {
            bench.settle();
        }
    }
    assert_eq!((bell.rings(), lookup.try_result()), (1, Ok(addresses.to_vec())));
    // Known for a minute.
    let again = stack.resolve("EXAMPLE.com.", Want::Ipv4).unwrap();
    assert_eq!((questions(&mut bench).len(), again.try_result()), (0, Ok(addresses[..1].to_vec())));
    drop((lookup, again));
    bench.run_for(Duration::from_secs(10));
    let stats = bench.stats();
    assert_eq!((stats.udp_sockets, stats.memory_used), (0, 0));
}

/// RFC 1035 section 7.2: one server after the other, for a bounded time.
#[test]
fn silence_is_asked_elsewhere_and_ends() {
    let mut bench = with_servers();
    let lookup = bench.stack().resolve("example.com", Want::Ipv4).unwrap();
    bench.run_for(Duration::from_millis(1500));
    let asked = questions(&mut bench);
    let servers: Vec<_> = asked.iter().map(|(_, to, _)| to.ip().to_string()).collect();
    assert_eq!(servers, ["10.0.0.2", "10.0.0.3"]);
    bench.run_for(Duration::from_secs(20));
    assert_eq!(lookup.try_result(), Err(ResolveError::TimedOut));
    questions(&mut bench);

    let refused = bench.stack().resolve("example.org", Want::Ipv4).unwrap();
    let (from, to, message) = questions(&mut bench).remove(0);
    bench.inject(&wire::datagram(INWARD, to, from, &answer(&message, Err(3))));
    bench.settle();
    assert_eq!(refused.try_result(), Err(ResolveError::NotFound));
    drop((lookup, refused));
    bench.run_for(Duration::from_secs(20));
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(1000));
    assert_eq!(bench.host.turns, 0);
}

/// RFC 1035 section 7.2, RFC 1122 section 4.1.3.3.
#[test]
fn a_server_that_nobody_runs_is_passed_over() {
    let mut bench = with_servers();
    let lookup = bench.stack().resolve("example.com", Want::Ipv4).unwrap();
    bench.settle();
    let sent = bench.take_sent();
    let question = sent.iter().find(|frame| wire::udp(frame).is_some()).unwrap();
    let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
    message.extend(&question[14..]);
    let server = wire::udp(question).unwrap().1.ip();
    bench.inject(&wire::icmpv4(INWARD, server, [10, 0, 0, 1].into(), &message));
    let asked = questions(&mut bench);
    assert_eq!(asked[0].1, "10.0.0.3:53".parse().unwrap());
    drop(lookup);
}

/// RFC 6761 section 6.3.
#[test]
fn some_names_need_no_server() {
    let mut bench = Bench::new();
    let stack = bench.stack();
    for (name, want) in [
        ("192.0.2.1", Ok(vec!["192.0.2.1".parse().unwrap()])),
        ("2001:db8::1", Ok(vec!["2001:db8::1".parse().unwrap()])),
        ("localhost", Ok(vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()])),
        ("two..dots", Err(ResolveError::InvalidName)),
        ("example.com", Err(ResolveError::NoServers)),
    ] {
        let lookup = stack.resolve(name, Want::Any).unwrap();
        bench.settle();
        assert_eq!(lookup.try_result(), want, "{name}");
    }
    let many: Vec<_> = (0..40).map(|_| stack.resolve("example.com", Want::Any)).collect();
    assert_eq!(many.iter().filter(|lookup| lookup.is_ok()).count(), 32);
    assert_eq!(many[39].as_ref().unwrap_err(), &ResolveError::TooMany);
}

/// RFC 5452 section 9.1: an answer goes to where the question came from.
#[test]
fn answers_to_another_address_of_ours_are_not_believed() {
    let mut bench = with_servers();
    let other: IpAddr = [10, 0, 0, 7].into();
    bench.stack().add_address(InterfaceId::FIRST, other, 24).unwrap();
    let lookup = bench.stack().resolve("example.com", Want::Ipv4).unwrap();
    let (from, to, message) = questions(&mut bench).remove(0);
    let reply = answer(&message, Ok("192.0.2.7".parse().unwrap()));
    for wrong in [other, [10, 0, 0, 255].into(), [224, 0, 0, 1].into()] {
        let wrong = SocketAddr::new(wrong, from.port());
        bench.inject(&wire::datagram(INWARD, to, wrong, &reply));
        bench.settle();
        assert_eq!(lookup.try_result(), Err(ResolveError::WouldBlock), "{wrong}");
    }
    bench.inject(&wire::datagram(INWARD, to, from, &reply));
    bench.settle();
    assert!(lookup.try_result().is_ok());
}

/// RFC 5452 section 9.2: a scan does not tell the port of a question from one of nobody.
#[test]
fn the_port_of_a_question_is_closed_to_others() {
    let mut bench = with_servers();
    let _lookup = bench.stack().resolve("example.com", Want::Ipv4).unwrap();
    let (from, ..) = questions(&mut bench).remove(0);
    bench.inject(&wire::datagram(INWARD, "10.0.0.9:53".parse().unwrap(), from, b"?"));
    let sent = bench.take_sent();
    let answer =
        sent.iter().find_map(|frame| wire::icmp(frame)).map(|(kind, code, _)| (kind, code));
    assert_eq!(answer, Some((3, 3)));
}
