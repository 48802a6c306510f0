//! DHCP (RFC 2131) against a small server.

use std::{
    mem::take,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use netstack::{
    Addressing, Config, ConnectError, Instant, InterfaceId, Ipv4Config, ReadError, TcpStream,
};
use smoltcp::wire::{
    ArpOperation, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, TcpControl,
};

use crate::harness::{
    Bell, Host,
    apps::{accepted, listen},
    at, config, mac,
    wire::{self, Addresses, Segment},
};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const INWARD: Addresses = ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
const LEASE: u32 = 1000;

/// A host that asks for its address, and a server that leases it.
struct Net {
    now: Instant,
    host: Host,
    /// What the server has heard: when, what, and whether from one to one.
    heard: Vec<(Instant, DhcpMessageType, bool)>,
    answers: bool,
    /// The next request is answered with a NAK.
    refuses: bool,
    sent: Vec<Vec<u8>>,
}

impl Net {
    fn new() -> Self {
        let config = Config { addressing: Addressing::Dhcp, ..config(1) };
        Net {
            now: Instant::ZERO,
            host: Host::new(&config, 1),
            heard: Vec::new(),
            answers: true,
            refuses: false,
            sent: Vec::new(),
        }
    }

    /// A host that has its lease.
    fn leased() -> Self {
        let mut net = Self::new();
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.host.stack.ipv4(), Some(lease()));
        net.heard.clear();
        net.sent.clear();
        net
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            while let Some(frames) = self.host.turn(self.now) {
                frames.into_iter().for_each(|frame| self.take(frame));
            }
            match self.host.deadline() {
                Some(at) if at <= end => self.now = at,
                _ => break,
            }
        }
        self.now = end;
    }

    fn take(&mut self, frame: Vec<u8>) {
        if wire::arp_target(&frame) == Some(SERVER) {
            let answer = wire::arp(INWARD, ArpOperation::Reply, SERVER, LEASED);
            self.host.deliver(&answer);
        }
        match wire::udp(&frame) {
            Some((_, to, payload)) if to.port() == 67 => self.serve(to.ip(), payload),
            _ => self.sent.push(frame.clone()),
        }
    }

    fn serve(&mut self, to: IpAddr, request: &[u8]) {
        let packet = DhcpPacket::new_checked(request).unwrap();
        let request = DhcpRepr::parse(&packet).unwrap();
        self.heard.push((self.now, request.message_type, to == IpAddr::from(SERVER)));
        let message_type = match request.message_type {
            _ if !self.answers => return,
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if take(&mut self.refuses) => DhcpMessageType::Nak,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            DhcpMessageType::Release => return,
            other => panic!("an unexpected {other:?}"),
        };
        let answer = DhcpRepr {
            message_type,
            client_hardware_address: EthernetAddress(mac(1)),
            your_ip: LEASED,
            server_ip: SERVER,
            server_identifier: Some(SERVER),
            router: Some(SERVER),
            subnet_mask: Some([255, 255, 255, 0].into()),
            dns_servers: Some([SERVER].into_iter().collect()),
            lease_duration: Some(LEASE),
            client_ip: Ipv4Addr::UNSPECIFIED,
            client_identifier: None,
            requested_ip: None,
            parameter_request_list: None,
            max_size: None,
            ..request
        };
        let mut payload = vec![0; answer.buffer_len()];
        answer.emit(&mut DhcpPacket::new_unchecked(&mut payload)).unwrap();
        let (from, to) = (SocketAddr::from((SERVER, 67)), SocketAddr::from((LEASED, 68)));
        self.host.deliver(&wire::datagram(INWARD, from, to, &payload));
    }
}

fn lease() -> Ipv4Config {
    Ipv4Config { address: LEASED, prefix_len: 24, gateway: Some(SERVER), dns: vec![SERVER] }
}

/// RFC 2131 section 3.1.
#[test]
fn a_lease_is_applied_and_announced() {
    let mut net = Net::new();
    let stack = net.host.stack.clone();
    let (bell, waker) = Bell::new();
    net.answers = false;
    net.run_for(Duration::from_millis(1));
    stack.register_config(&waker);
    assert_eq!(stack.ipv4(), None);
    let early = TcpStream::connect(&stack, None, at(2, 80));
    assert_eq!(early.unwrap_err(), ConnectError::Unreachable);

    net.answers = true;
    net.run_for(Duration::from_secs(30));
    assert_eq!((bell.rings(), stack.ipv4()), (1, Some(lease())));
    let asked: Vec<_> = net.heard.iter().map(|(_, message, _)| *message).collect();
    assert_eq!(asked.first(), Some(&DhcpMessageType::Discover));
    assert_eq!(asked.last(), Some(&DhcpMessageType::Request));
    let stream = TcpStream::connect(&stack, None, "192.0.2.1:80".parse().unwrap()).unwrap();
    assert_eq!(stream.local_addr().ip(), IpAddr::from(LEASED));
}

/// RFC 2131 section 4.4.5: T1 is half of the lease, in seconds, and the request goes to the server
/// alone.
#[test]
fn a_lease_is_renewed_at_half_its_time() {
    let mut net = Net::leased();
    let stack = net.host.stack.clone();
    let (bell, waker) = Bell::new();
    stack.register_config(&waker);
    let begun = net.now;
    net.run_for(Duration::from_secs(3 * u64::from(LEASE)));
    let renewals: Vec<_> = net.heard.iter().map(|(when, ..)| (*when - begun).as_secs()).collect();
    assert_eq!(renewals, [499, 999, 1499, 1999, 2499, 2999], "one at every half lease");
    assert!(net.heard.iter().all(|(_, _, is_unicast)| *is_unicast));
    assert_eq!((bell.rings(), stack.ipv4()), (0, Some(lease())));
}

/// Connections that search for neighbours do not keep the client from finding its server.
#[test]
fn a_lease_is_renewed_while_others_look_for_neighbours() {
    let mut net = Net::leased();
    let stack = net.host.stack.clone();
    let begun = net.now;
    for _ in 0..60 {
        let _stream = TcpStream::connect(&stack, None, at(99, 80)).unwrap();
        net.run_for(Duration::from_secs(10));
    }
    let (when, message, is_unicast) = net.heard[0];
    assert_eq!((message, is_unicast), (DhcpMessageType::Request, true));
    assert!((499..510).contains(&(when - begun).as_secs()), "{when:?}");
}

/// RFC 2131 section 4.4.5: T2, then the end of the lease, and of what used its address.
#[test]
fn without_a_server_the_lease_ends_when_it_is_due() {
    let mut net = Net::leased();
    let stack = net.host.stack.clone();
    let listener = listen(&stack, at(1, 80));
    let syn = Segment::new(at(2, 7), at(1, 80), TcpControl::Syn, 0);
    net.host.deliver(&syn.frame(INWARD));
    net.run_for(Duration::from_millis(1));
    let sent = net.sent.iter().rev().find_map(|frame| wire::tcp(frame)).unwrap();
    let ack = syn_ack(sent.seq);
    net.host.deliver(&ack.frame(INWARD));
    net.run_for(Duration::from_millis(1));
    let stream = accepted(&listener).unwrap();

    let (bell, waker) = Bell::new();
    stack.register_config(&waker);
    net.answers = false;
    net.run_for(Duration::from_secs(u64::from(LEASE) - 10));
    assert_eq!((bell.rings(), stack.ipv4()), (0, Some(lease())));
    let broadcast = net.heard.iter().find(|(_, _, is_unicast)| !is_unicast);
    assert!(broadcast.is_some(), "T2 has passed: any server will do");
    assert_eq!(stream.try_read(&mut [0; 8]), Err(ReadError::WouldBlock));

    net.run_for(Duration::from_secs(20));
    assert_eq!((bell.rings(), stack.ipv4()), (1, None));
    assert_eq!(stream.try_read(&mut [0; 8]), Err(ReadError::Unreachable), "its address has gone");
    let refused = TcpStream::connect(&stack, None, at(2, 80));
    assert_eq!(refused.unwrap_err(), ConnectError::Unreachable);

    net.answers = true;
    net.run_for(Duration::from_secs(30));
    assert_eq!(stack.ipv4(), Some(lease()));
}

fn syn_ack(seq: i32) -> Segment<'static> {
    Segment::new(at(2, 7), at(1, 80), TcpControl::None, 1).ack(seq.wrapping_add(1))
}

/// RFC 2131 section 4.4.5: the address is given up at once.
#[test]
fn a_refused_renewal_begins_again() {
    let mut net = Net::leased();
    let stack = net.host.stack.clone();
    let (bell, waker) = Bell::new();
    stack.register_config(&waker);
    net.refuses = true;
    net.run_for(Duration::from_secs(u64::from(LEASE) / 2));
    assert_eq!((bell.rings(), stack.ipv4()), (1, Some(lease())));
    let asked: Vec<_> = net.heard.iter().map(|(_, message, _)| *message).collect();
    use DhcpMessageType::{Discover, Request};
    assert_eq!(asked, [Request, Discover, Request]);
}

/// RFC 2131 section 4.1: not more often than every few seconds.
#[test]
fn without_a_server_the_client_asks_at_leisure() {
    let mut net = Net::new();
    net.answers = false;
    net.run_for(Duration::from_secs(600));
    let count = net.heard.len();
    assert!((10..=20).contains(&count), "{count} questions in ten minutes");
}

/// RFC 2131 section 3.7: the server is asked whether the lease still holds, and connections that use
/// it live on.
#[test]
fn a_link_that_comes_back_has_the_lease_verified() {
    let mut net = Net::leased();
    let stack = net.host.stack.clone();
    let (bell, waker) = Bell::new();
    use DhcpMessageType::{Discover, Request};
    for is_up in [false, true] {
        stack.register_config(&waker);
        let rings = bell.rings();
        net.host.set_link(is_up);
        net.run_for(Duration::from_secs(100));
        assert!(bell.rings() > rings);
        assert_eq!(stack.interfaces()[1].is_link_up, is_up);
        assert_eq!(stack.ipv4(), Some(lease()));
        let said: Vec<_> = net.heard.drain(..).map(|(_, kind, unicast)| (kind, unicast)).collect();
        assert_eq!(said, [(Request, false)][..usize::from(is_up)]);
    }
    let announced = net.sent.iter().any(|frame| wire::arp_target(frame) == Some(LEASED));
    assert!(announced, "RFC 5227 section 2.3");

    net.refuses = true;
    net.host.set_link(false);
    net.run_for(Duration::from_secs(1));
    net.host.set_link(true);
    net.run_for(Duration::from_secs(1));
    let said: Vec<_> = net.heard.iter().map(|(_, message, _)| *message).collect();
    assert_eq!(said, [Request, Discover, Request], "it is another network");
}

/// RFC 2131 section 4.4.6.
#[test]
fn a_lease_is_given_back_and_taken_again() {
    let mut net = Net::leased();
    let stack = net.host.stack.clone();
    stack.release_lease(InterfaceId::FIRST);
    assert_eq!(stack.ipv4(), None);
    net.run_for(Duration::from_secs(3600));
    let said: Vec<_> = net.heard.iter().map(|(_, message, unicast)| (*message, *unicast)).collect();
    assert_eq!(said, [(DhcpMessageType::Release, true)]);
    stack.restart_link(InterfaceId::FIRST);
    net.run_for(Duration::from_secs(10));
    assert_eq!(stack.ipv4(), Some(lease()));
}
