//! Interfaces, addresses and routes: loopback, several devices, and what is changed at run time.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use netdev::{
    Device, Receiver, Transmitter, TxOffload,
    cable::{CableEnd, cable},
};
use netstack::{
    AddressError, Addressing, BindError, Config, Instant, InterfaceId, Ipv4Config, MtuError, Next,
    RouteError, SendError, Stack, UdpSocket,
};
use smoltcp::wire::{ArpOperation, Ipv4Packet};

use crate::harness::{Bell, MTU, apps::noise, at, bench::Bench, config, mac, wire};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// RFC 1122 section 3.2.1.3 (g): what is for ourselves does not appear on the wire.
#[test]
fn packets_to_ourselves_stay_here() {
    let mut bench = Bench::new();
    let own_six = SocketAddr::new(bench.host.ip6(), 7);
    for (bound, to, from) in [
        ("127.0.0.1:7", socket("127.0.0.1:7"), "127.0.0.1:9"),
        ("0.0.0.0:7", socket("127.9.9.9:7"), "127.0.0.1:9"),
        ("0.0.0.0:7", at(1, 7), "10.0.0.1:9"),
        ("[::1]:7", socket("[::1]:7"), "[::1]:9"),
        ("[::]:7", own_six, "[::]:9"),
    ] {
        let receiver = UdpSocket::bind(&bench.stack(), socket(bound)).unwrap();
        let sender = UdpSocket::bind(&bench.stack(), socket(from)).unwrap();
        for len in [0, 100, 40_000] {
            let data = noise(len, 1);
            sender.try_send_to(&data, to).unwrap();
            bench.settle();
            let mut buffer = vec![0; 65_536];
            let got = receiver.try_receive(&mut buffer).unwrap();
            assert!(buffer[..got.len] == data, "{to}");
            assert_eq!(got.interface, InterfaceId::LOOPBACK);
        }
    }
    assert!(bench.take_sent().is_empty(), "nothing on the wire");
    // Nobody there: the answer stays here as well.
    let sender = UdpSocket::bind(&bench.stack(), socket("127.0.0.1:0")).unwrap();
    sender.connect(socket("127.0.0.1:99")).unwrap();
    sender.try_send(b"hello?").unwrap();
    bench.settle();
    assert_eq!(sender.try_send(b"hello?"), Err(SendError::Refused));
    assert_eq!(sender.try_send_to(b"out?", at(2, 7)), Err(SendError::Unreachable));
}

#[test]
fn loopback_addresses_do_not_come_from_the_wire() {
    let mut bench = Bench::new();
    let any = UdpSocket::bind(&bench.stack(), socket("0.0.0.0:7")).unwrap();
    for (from, to) in [(at(2, 9), socket("127.0.0.1:7")), (socket("127.0.0.1:9"), at(1, 7))] {
        bench.inject(&wire::datagram(crate::harness::bench::INWARD, from, to, b"x"));
        bench.settle();
    }
    assert!(any.try_recv(&mut [0; 9]).is_err());
    let stats = bench.stats();
    assert_eq!((stats.dropped_other_host, stats.dropped_martian_source), (1, 1));
}

#[test]
fn a_busy_loopback_is_bounded_and_wakes_the_poller() {
    let bench = Bench::new();
    let receiver = UdpSocket::bind(&bench.stack(), socket("127.0.0.1:7")).unwrap();
    let sender = UdpSocket::bind(&bench.stack(), socket("127.0.0.1:9")).unwrap();
    let (bell, waker) = Bell::new();
    bench.stack().set_poller(&waker);
    let mut received = 0;
    let mut device = cable(mac(1), mac(9), MTU).0;
    for round in 0..200 {
        while sender.try_send_to(&noise(1000, round), socket("127.0.0.1:7")).is_ok() {}
        assert!(bell.rings() > 0);
        let mut turns = 0;
        while bench.stack().poll(bench.now, &mut device, 64) == Next::Now {
            turns += 1;
            assert!(turns < 50);
        }
        while receiver.try_recv(&mut [0; 1000]).is_ok() {
            received += 1;
        }
    }
    assert!(received > 5000, "{received}");
    assert_eq!(bench.stats().dropped_buffer_full, 0);
}

/// A host with two networks, and the far ends of its cables.
struct Router {
    stack: Stack,
    second: InterfaceId,
    devices: [CableEnd; 2],
    wires: [CableEnd; 2],
    now: Instant,
}

impl Router {
    fn new() -> Self {
        let (first, first_wire) = cable(mac(1), mac(0xff), MTU);
        let (second, second_wire) = cable(mac(0x11), mac(0xff), 9000);
        let stack = Stack::new(&config(1), &first);
        let addressing = Addressing::Static(Ipv4Config {
            address: [192, 168, 7, 1].into(),
            prefix_len: 24,
            gateway: Some([192, 168, 7, 254].into()),
            dns: vec![],
        });
        let id = stack.add_interface(&second, &addressing).unwrap();
        let mut router = Router {
            stack,
            second: id,
            devices: [first, second],
            wires: [first_wire, second_wire],
            now: Instant::ZERO,
        };
        router.settle();
        router
    }

    /// Polls until nothing is left to do; what went out by each device.
    fn settle(&mut self) -> [Vec<Vec<u8>>; 2] {
        let ids = [InterfaceId::FIRST, self.second];
        for _ in 0..20 {
            for (index, id) in ids.into_iter().enumerate() {
                self.stack.poll_interface(id, self.now, &mut self.devices[index], 64);
            }
        }
        self.wires.each_mut().map(|wire| {
            std::iter::from_fn(|| wire.split().0.receive(|frame, _| frame.to_vec())).collect()
        })
    }

    fn inject(&mut self, index: usize, frame: &[u8]) {
        let (_, tx) = self.wires[index].split();
        tx.transmit(frame.len(), TxOffload::default(), |buffer| buffer.copy_from_slice(frame));
    }

    /// Answers every question of a network.
    fn answer(&mut self, index: usize, frames: &[Vec<u8>]) -> usize {
        let [IpAddr::V4(first), IpAddr::V4(second)] = [ip("10.0.0.1"), ip("192.168.7.1")] else {
            unreachable!();
        };
        let ours = [first, second][index];
        let macs = ([2, 0, 0, 0, 1, index as u8], [mac(1), mac(0x11)][index]);
        let targets = frames.iter().filter_map(|frame| wire::arp_target(frame));
        let targets: Vec<_> = targets.filter(|target| *target != ours).collect();
        for target in &targets {
            self.inject(index, &wire::arp(macs, ArpOperation::Reply, *target, ours));
        }
        targets.len()
    }
}

/// RFC 1122 section 3.3.1: the interface is the route's, and the source is the interface's.
#[test]
fn datagrams_leave_by_the_interface_that_the_route_says() {
    let mut router = Router::new();
    let sender = UdpSocket::bind(&router.stack, socket("0.0.0.0:9")).unwrap();
    for (to, index, source) in [
        ("10.0.0.2:7", 0, "10.0.0.1"),
        ("192.168.7.2:7", 1, "192.168.7.1"),
        ("8.8.8.8:53", 1, "192.168.7.1"),
    ] {
        sender.try_send_to(b"hello", socket(to)).unwrap();
        let sent = router.settle();
        assert!(sent[1 - index].iter().all(|frame| wire::arp_target(frame).is_none()));
        assert_eq!(router.answer(index, &sent[index]), 1, "{to}");
        let sent = router.settle();
        let (from, dest, _) = wire::udp(&sent[index][0]).unwrap();
        assert_eq!((from, dest), (SocketAddr::new(ip(source), 9), socket(to)));
        assert!(sent[1 - index].is_empty());
    }
    // The strong host model: an address is its interface's.
    let bound = UdpSocket::bind(&router.stack, socket("10.0.0.1:9")).unwrap();
    assert_eq!(bound.try_send_to(b"x", socket("8.8.8.8:53")), Err(SendError::Unreachable));
    let macs = ([2, 0, 0, 0, 1, 1], mac(0x11));
    router.inject(1, &wire::datagram(macs, socket("192.168.7.9:1"), at(1, 9), b"x"));
    router.settle();
    assert_eq!(router.stack.stats().dropped_other_host, 1);
}

#[test]
fn longer_routes_go_before_shorter_ones() {
    let mut router = Router::new();
    let stack = router.stack.clone();
    let sender = UdpSocket::bind(&stack, socket("0.0.0.0:9")).unwrap();
    let gateway = |router: &mut Router| {
        sender.try_send_to(b"x", socket("172.16.5.5:7")).unwrap();
        let sent = router.settle();
        let targets = sent.iter().flatten().filter_map(|frame| wire::arp_target(frame));
        let targets: Vec<_> = targets.collect();
        // A question lasts; the next destination needs one of its own.
        for _ in 0..10 {
            router.now = router.now + Duration::from_secs(1);
            router.settle();
        }
        IpAddr::from(targets[0])
    };
    assert_eq!(gateway(&mut router), ip("192.168.7.254"));
    stack.add_route(ip("172.16.0.0"), 12, ip("10.0.0.254")).unwrap();
    assert_eq!(gateway(&mut router), ip("10.0.0.254"));
    stack.add_route(ip("172.16.5.0"), 24, ip("10.0.0.253")).unwrap();
    assert_eq!(gateway(&mut router), ip("10.0.0.253"));
    stack.remove_route(ip("172.16.5.0"), 24, ip("10.0.0.253")).unwrap();
    assert_eq!(gateway(&mut router), ip("10.0.0.254"));
    let add = |network, len, gateway| stack.add_route(ip(network), len, ip(gateway)).unwrap_err();
    assert_eq!(add("172.16.0.0", 12, "10.0.0.254"), RouteError::Exists);
    assert_eq!(add("172.16.0.0", 33, "10.0.0.254"), RouteError::Invalid);
    assert_eq!(add("172.16.0.0", 12, "11.0.0.1"), RouteError::GatewayUnreachable);
    let gone = stack.remove_route(ip("172.16.5.0"), 24, ip("10.0.0.253"));
    assert_eq!(gone, Err(RouteError::NotFound));
    let full =
        (0..100_u8).find_map(|n| stack.add_route([99, n, 0, 0].into(), 16, ip("10.0.0.254")).err());
    assert_eq!(full, Some(RouteError::TooMany));
}

/// RFC 5227 section 2.3: neighbours hear of a new address at once.
#[test]
fn addresses_come_and_go() {
    let mut bench = Bench::new();
    let stack = bench.stack();
    let id = InterfaceId::FIRST;
    let (bell, waker) = Bell::new();
    stack.register_config(&waker);
    assert_eq!(UdpSocket::bind(&stack, at(5, 7)).unwrap_err(), BindError::NotOurs);
    stack.add_address(id, ip("10.0.0.5"), 24).unwrap();
    assert_eq!(bell.rings(), 1);
    bench.answers_arp = false;
    let sent = bench.take_sent();
    let announced: Vec<_> = sent.iter().filter_map(|frame| wire::arp_target(frame)).collect();
    assert_eq!(announced, ["10.0.0.5".parse::<std::net::Ipv4Addr>().unwrap()]);
    bench.answers_arp = true;
    let bound = UdpSocket::bind(&stack, at(5, 7)).unwrap();
    bound.try_send_to(b"from five", at(2, 7)).unwrap();
    let sent = bench.take_sent();
    assert_eq!(wire::udp(&sent[0]).unwrap().0, at(5, 7));
    let add = |address, len| stack.add_address(id, ip(address), len).unwrap_err();
    assert_eq!(add("10.0.0.5", 24), AddressError::Exists);
    assert_eq!(add("10.0.0.6", 33), AddressError::Invalid);
    assert_eq!(add("224.0.0.6", 24), AddressError::Invalid);
    let loopback = stack.add_address(InterfaceId::LOOPBACK, ip("10.0.0.9"), 24);
    assert_eq!(loopback, Err(AddressError::NoInterface));
    stack.remove_address(id, ip("10.0.0.5")).unwrap();
    assert_eq!(stack.remove_address(id, ip("10.0.0.5")), Err(AddressError::NotFound));
    assert_eq!(bound.try_send_to(b"x", at(2, 7)), Err(SendError::Unreachable));
    let mut first = 10;
    let full = std::iter::from_fn(|| {
        first += 1;
        Some(stack.add_address(id, ip(&format!("10.0.0.{first}")), 24))
    });
    assert_eq!(full.take(40).find_map(Result::err), Some(AddressError::TooMany));
    let addresses = stack.interfaces()[1].addresses.len();
    assert_eq!(addresses, 16);
}

#[test]
fn an_mtu_is_kept_to() {
    let mut bench = Bench::new();
    let stack = bench.stack();
    let id = InterfaceId::FIRST;
    assert_eq!(stack.set_mtu(id, 1279), Err(MtuError::TooSmall));
    assert_eq!(stack.set_mtu(id, 1501), Err(MtuError::TooLarge));
    assert_eq!(stack.set_mtu(InterfaceId::LOOPBACK, 1400), Err(MtuError::NoInterface));
    stack.set_mtu(id, 1300).unwrap();
    assert_eq!(stack.interfaces()[1].mtu, 1300);
    let socket = UdpSocket::bind(&stack, at(1, 9)).unwrap();
    socket.try_send_to(&noise(5000, 1), at(2, 7)).unwrap();
    let sent = bench.take_sent();
    assert_eq!(sent.len(), 4);
    for frame in &sent {
        let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        assert!(packet.total_len() <= 1300 && packet.verify_checksum());
    }
}

#[test]
fn interfaces_are_limited() {
    let (device, _wire) = cable(mac(1), mac(2), MTU);
    let stack = Stack::new(&config(1), &device);
    let added = (0..40).filter(|_| stack.add_interface(&device, &Addressing::Manual).is_ok());
    assert_eq!((added.count(), stack.interfaces().len()), (30, 32));
}

/// Whoever polls hears of work for any interface, and which one it is does not matter to timers.
#[test]
fn work_for_any_interface_wakes_the_poller() {
    let mut router = Router::new();
    for _ in 0..20 {
        router.now = router.now + Duration::from_secs(1);
        router.settle();
    }
    let (bell, waker) = Bell::new();
    router.stack.set_poller(&waker);
    let sender = UdpSocket::bind(&router.stack, socket("0.0.0.0:9")).unwrap();
    sender.try_send_to(b"hello", socket("192.168.7.2:7")).unwrap();
    assert!(bell.rings() > 0);
    let asked = |router: &mut Router| {
        let sent = router.settle();
        sent[1].iter().filter_map(|frame| wire::arp_target(frame)).count()
    };
    assert_eq!(asked(&mut router), 1);
    // The first interface's turn finds the question due; the second one is to send it.
    router.now = router.now + Duration::from_secs(1);
    bell.rings();
    let next = router.stack.poll(router.now, &mut router.devices[0], 64);
    assert!(bell.rings() > 0 && next != Next::Now, "{next:?}");
    assert_eq!(asked(&mut router), 1);
}

/// RFC 4007 section 6: the same link-local address may be on every link.
#[test]
fn zones_tell_links_apart() {
    let mut router = Router::new();
    let sender = UdpSocket::bind(&router.stack, socket("[::]:9")).unwrap();
    let peer = "fe80::99".parse().unwrap();
    for (zone, index) in [(0, 0), (2, 1)] {
        let to = std::net::SocketAddrV6::new(peer, 7, 0, zone);
        sender.try_send_to(b"hello", to.into()).unwrap();
        let sent = router.settle();
        let asked = sent.map(|frames| {
            frames
                .iter()
                .filter(|frame| wire::solicited(frame).is_some_and(|it| it.0 == peer))
                .count()
        });
        assert_eq!((asked[index], asked[1 - index]), (1, 0));
    }
}

/// RFC 1812 section 5.2.4.3: the longest prefix, whichever interface it is on.
#[test]
fn the_narrowest_network_on_a_link_is_taken() {
    let mut router = Router::new();
    let sender = UdpSocket::bind(&router.stack, socket("0.0.0.0:9")).unwrap();
    router.stack.add_address(InterfaceId::FIRST, ip("172.16.0.1"), 12).unwrap();
    router.stack.add_address(router.second, ip("172.16.7.1"), 24).unwrap();
    router.settle();
    for (to, index) in [("172.16.7.9:7", 1), ("172.16.8.9:7", 0)] {
        sender.try_send_to(b"hello", socket(to)).unwrap();
        let sent = router.settle();
        let asked = sent
            .map(|frames| frames.iter().filter(|frame| wire::arp_target(frame).is_some()).count());
        assert_eq!((asked[index], asked[1 - index]), (1, 0), "{to}");
    }
}

/// Clouds lease networks of one address, whose router lies outside of it.
#[test]
fn a_router_outside_the_network_is_found() {
    let addressing = Addressing::Static(Ipv4Config {
        address: [10, 0, 0, 1].into(),
        prefix_len: 32,
        gateway: Some([10, 0, 0, 254].into()),
        dns: vec![],
    });
    let mut bench = Bench::with_config(&Config { addressing, ..config(1) });
    let sender = UdpSocket::bind(&bench.stack(), at(1, 9)).unwrap();
    sender.try_send_to(b"hello", socket("192.0.2.1:7")).unwrap();
    let sent = bench.take_sent();
    assert_eq!(sent.iter().filter(|frame| wire::udp(frame).is_some()).count(), 1);
    // Nobody else outside of it is believed.
    let neighbours = bench.stats().neighbours;
    let stranger = wire::arp(
        (mac(3), [0xff; 6]),
        ArpOperation::Request,
        [10, 0, 0, 3].into(),
        [10, 0, 0, 1].into(),
    );
    bench.inject(&stranger);
    bench.settle();
    assert_eq!(bench.stats().neighbours, neighbours);
}

#[test]
fn a_link_that_comes_back_wakes_the_poller() {
    let config = Config { addressing: Addressing::Dhcp, ..config(1) };
    let mut bench = Bench::silent(&config);
    let stack = bench.stack();
    bench.run_for(Duration::from_secs(20));
    stack.release_lease(InterfaceId::FIRST);
    let own = bench.host.ip6();
    stack.remove_address(InterfaceId::FIRST, own).unwrap();
    bench.run_for(Duration::from_secs(20));
    bench.take_sent();
    let (bell, waker) = Bell::new();
    stack.set_poller(&waker);
    stack.restart_link(InterfaceId::FIRST);
    assert!(bell.rings() > 0);
}
