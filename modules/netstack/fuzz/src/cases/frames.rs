//! Any frames into hosts with live sockets: a listener, connections opened by either end, a UDP
//! socket, a DHCP client.
//!
//! Most frames are built to be looked at: right checksums, sequence numbers near the right ones.
//! Nobody panics or spins, everything is given back, and the host serves afterwards.

mod craft;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use netstack::{
    Addressing, Config, IcmpSocket, Interest, Lookup, Shutdown, Stack, TcpListener, TcpStream,
    UdpSocket, Want,
};
use smoltcp::wire::{ArpOperation, TcpControl};

use super::{
    calls::assert_nothing_held,
    input::{Input, card},
    packet::{self, Tcp},
};
use crate::harness::{
    Bell,
    apps::{accepted, dial, drain, listen},
    at,
    bench::{Bench, INWARD},
    config,
    wire::{self, Segment},
};

/// Of what is to be done next: from here on a frame's checksum counts as verified.
const VERIFIED_FROM: u8 = 192;
/// A few connections with large buffers, a few more with small ones.
const MEMORY: usize = 1 << 20;
/// Connections of the application at most.
const STREAMS_MAX: usize = 8;
/// Connections that are remembered at most, for the next segment.
const PEERS_MAX: usize = 16;
/// Names that are looked for at a time.
const LOOKUPS_MAX: usize = 4;
/// Longer than an orphan may live, and than a connection waits for a peer that has gone.
const AFTERMATH: Duration = Duration::from_secs(400);
/// A handful of sockets' timers, and their acknowledgements.
const FRUITLESS_TURNS_PER_SECOND_MAX: u64 = 400;

/// Runs an input.
///
/// # Panics
/// When the stack breaks a promise.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new(bytes);
    while !input.is_empty() {
        world.step(&mut input);
    }
    world.end();
}

/// The test's end of a connection, as the host's last segment has it.
#[derive(Clone, Copy)]
struct Peer {
    ips: [IpAddr; 2],
    ports: [u16; 2],
    seq: u32,
    ack: u32,
}

struct World {
    bench: Bench,
    /// The host's IPv6 address, unless somebody claims it at the beginning.
    six: IpAddr,
    /// A host that waits for an address, with the last frame it broadcast.
    dhcp: Bench,
    transaction: Vec<u8>,
    peers: Vec<Peer>,
    /// The last frame that the host sent.
    last: Vec<u8>,
    listeners: Vec<TcpListener>,
    streams: Vec<TcpStream>,
    socket: Option<UdpSocket>,
    ping: Option<IcmpSocket>,
    lookups: Vec<Lookup>,
    /// The host's last question to a name server, and who asked whom.
    query: ([SocketAddr; 2], Vec<u8>),
}

impl World {
    fn new(input: &[u8]) -> Self {
        let served = Config { memory_limit: MEMORY, ..with_name_server() };
        let mut bench = Bench::with_card(&served, card(1, input));
        let dhcp = Config { addressing: Addressing::Dhcp, memory_limit: MEMORY, ..config(3) };
        let mut dhcp = Bench::silent(&dhcp);
        for bench in [&mut bench, &mut dhcp] {
            bench.host.fruitless_max = FRUITLESS_TURNS_PER_SECOND_MAX;
        }
        let stack = bench.stack();
        let any = "0.0.0.0:80".parse().unwrap();
        let listeners = [any, (bench.host.ip6(), 80).into()].map(|local| listen(&stack, local));
        let mut world = World {
            six: bench.host.ip6(),
            bench,
            dhcp,
            transaction: Vec::new(),
            peers: Vec::new(),
            last: Vec::new(),
            listeners: listeners.into(),
            streams: Vec::new(),
            socket: UdpSocket::bind(&stack, at(1, 7)).ok(),
            ping: IcmpSocket::new(&stack, true, Some(7)).ok(),
            lookups: Vec::new(),
            query: ([at(1, 0), at(2, 53)], Vec::new()),
        };
        let group = Ipv4Addr::new(239, 1, 2, 3).into();
        world.socket.iter().for_each(|socket| socket.join(group, None).unwrap());
        world.settle();
        world.open_both_ways(&stack);
        world
    }

    /// Two connections: port 1000 to the host's 80, and one of the host's to port 2000.
    fn open_both_ways(&mut self, stack: &Stack) {
        self.bench.open(1000, 80);
        self.streams.extend(accepted(&self.listeners[0]));
        self.streams.push(dial(stack, at(2, 2000)));
        self.settle();
        let peer = *self.peers.last().expect("the host has sent a SYN");
        self.inject(&peer.segment(0x12, 0x100, peer.ack, &[]));
        assert_eq!(self.streams[1].try_connected(), Ok(()));
        // Something that is in flight, and acknowledgements to learn the numbers from.
        for stream in &self.streams {
            stream.try_write(&[1; 100]).unwrap();
        }
        self.settle();
    }

    fn settle(&mut self) {
        for frame in self.bench.take_sent() {
            self.learn(&frame);
            if let Some((from, to, payload)) = wire::udp(&frame)
                && to.port() == 53
            {
                self.query = ([from, to], payload.to_vec());
            }
            self.last = frame;
        }
        for frame in self.dhcp.take_sent() {
            if let Some((_, to, payload)) = wire::udp(&frame)
                && to.port() == 67
            {
                self.transaction = payload.get(4..8).unwrap_or_default().to_vec();
            }
        }
    }

    fn learn(&mut self, frame: &[u8]) {
        let Some(segment) = wire::tcp(frame) else {
            return;
        };
        let flag = matches!(segment.control, TcpControl::Syn | TcpControl::Fin);
        let peer = Peer {
            ips: [segment.to.ip(), segment.from.ip()],
            ports: [segment.to.port(), segment.from.port()],
            seq: segment.ack.unwrap_or(0) as u32,
            ack: (segment.seq as u32)
                .wrapping_add(segment.payload.len() as u32)
                .wrapping_add(u32::from(flag)),
        };
        self.peers.retain(|known| (known.ips, known.ports) != (peer.ips, peer.ports));
        self.peers.truncate(PEERS_MAX - 1);
        self.peers.push(peer);
    }

    fn inject(&mut self, frame: &[u8]) {
        self.bench.inject(frame);
        self.settle();
    }

    fn pass(&mut self, duration: Duration) {
        self.bench.run_for(duration);
        self.dhcp.run_for(duration);
        self.settle();
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.u8();
        let is_verified = what >= VERIFIED_FROM;
        let mut frame = match what % 22 {
            0 => {
                let len = usize::from(input.u16()) % 1515;
                input.bytes(len).to_vec()
            }
            1..7 if is_verified => self.tcp([1, 2, 40][usize::from(what % 3)], input),
            1..7 => self.tcp(1, input),
            7 | 8 => self.udp(input),
            9 => craft::arp(input),
            10 => craft::fragment(input),
            11 => self.any_protocol(input),
            12 => self.neighbour_discovery(input),
            13 => return self.answer_dhcp(input),
            14 => self.mirrored(),
            15 => craft::icmp_error(&self.last, input),
            16 => self.answer_query(input),
            17..20 => return self.call(input),
            _ => return self.pass(input.duration()),
        };
        packet::mutate(&mut frame, input);
        match is_verified {
            true => self.bench.inject_verified(&frame),
            false => self.bench.inject(&frame),
        }
        self.settle();
    }

    fn ips(&self, input: &mut Input<'_>) -> [IpAddr; 2] {
        let six = self.six;
        let peer = |last| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last]);
        match input.u8() {
            0..160 => [at(2, 0).ip(), at(1, 0).ip()],
            160..200 => [peer(2), six],
            200..210 => [six, six],
            210..220 => [at(1, 0).ip(), at(1, 0).ip()],
            220..230 => [at(2, 0).ip(), at(255, 0).ip()],
            230..240 => [peer(2), IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1])],
            240..250 => [[0; 4].into(), at(1, 0).ip()],
            _ => [[input.u8(); 4].into(), [input.u8(); 4].into()],
        }
    }

    /// So many segments as one, as a card may join them.
    fn tcp(&self, segments: usize, input: &mut Input<'_>) -> Vec<u8> {
        let known = (!self.peers.is_empty() && input.below(4) > 0)
            .then(|| self.peers[input.below(self.peers.len())]);
        let peer = known.unwrap_or_else(|| Peer {
            ips: self.ips(input),
            ports: [1000 + u16::from(input.u8() % 8), input.choose(&[80, 81, 0])],
            seq: 0,
            ack: 0,
        });
        let flags = input.choose(&[0x10, 0x18, 0x02, 0x12, 0x11, 0x04, 0x14, 0x01, 0, 0x3f]);
        let options = match input.u8() {
            0..200 => Vec::new(),
            200..230 => craft::sack_option(peer.ack, input),
            more => input.bytes(usize::from(more - 230)).to_vec(),
        };
        let payload_len = match input.u8() {
            0..64 => 0,
            little @ 64..192 => usize::from(little),
            _ => usize::from(input.u16()) % 1400,
        };
        let segment = Tcp {
            ports: (peer.ports[0], peer.ports[1]),
            seq: peer.seq.wrapping_add(input.offset()),
            ack: peer.ack.wrapping_add(input.offset()),
            flags,
            window: input.choose(&[0xffff, 0, 1, 100, 0x7fff]),
            options: &options,
            payload: &vec![7; segments * payload_len],
        };
        segment.frame(peer.ips[0], peer.ips[1])
    }

    fn udp(&self, input: &mut Input<'_>) -> Vec<u8> {
        let [from, to] = self.ips(input);
        let ports = [input.choose(&[7, 67, 53, 0]), input.choose(&[7, 68, 9, 0])];
        let len = usize::from(input.u16()) % 1400;
        packet::udp([(from, ports[0]), (to, ports[1])], &vec![7; len])
    }

    fn any_protocol(&self, input: &mut Input<'_>) -> Vec<u8> {
        const PROTOCOLS: [u8; 12] = [1, 58, 58, 58, 58, 0, 43, 44, 60, 2, 59, 255];
        let [from, to] = self.ips(input);
        let protocol = input.choose(&PROTOCOLS);
        let len = input.below(128);
        packet::packet(from, to, protocol, input.bytes(len))
    }

    fn answer_dhcp(&mut self, input: &mut Input<'_>) {
        let mut frame = craft::dhcp_answer(&self.transaction, input);
        packet::mutate(&mut frame, input);
        self.dhcp.inject(&frame);
        self.settle();
    }

    fn neighbour_discovery(&self, input: &mut Input<'_>) -> Vec<u8> {
        match self.six {
            IpAddr::V6(host) => craft::neighbour_discovery(host, input),
            IpAddr::V4(_) => Vec::new(),
        }
    }

    fn answer_query(&self, input: &mut Input<'_>) -> Vec<u8> {
        let ([asker, server], query) = &self.query;
        let answer = craft::dns_answer(query, input);
        packet::udp([server, asker].map(|end| (end.ip(), end.port())), &answer)
    }

    /// The host's last frame, as if its peer had sent it.
    fn mirrored(&self) -> Vec<u8> {
        let mut frame = self.last.clone();
        if frame.len() >= 34 {
            frame[..12].rotate_left(6);
            match frame[12..14] {
                [0x86, 0xdd] if frame.len() >= 54 => frame[22..54].rotate_left(16),
                _ => frame[26..34].rotate_left(4),
            }
        }
        frame
    }

    fn call(&mut self, input: &mut Input<'_>) {
        let stack = self.bench.stack();
        match input.below(10) {
            0 => self.streams.truncate(input.below(STREAMS_MAX)),
            1 if self.streams.len() < STREAMS_MAX => {
                let remote = at(2, 2000 + u16::from(input.u8() % 4));
                self.streams.extend(TcpStream::connect(&stack, None, remote));
            }
            2 if self.streams.len() < STREAMS_MAX => {
                self.streams.extend(self.listeners.iter().find_map(accepted));
            }
            3 => self.exchange_datagram(input),
            4 if self.lookups.len() < LOOKUPS_MAX => {
                self.lookups.extend(stack.resolve("a.example", Want::Any));
            }
            5 => {
                self.lookups.iter().for_each(|lookup| drop(lookup.try_result()));
                self.lookups.truncate(input.below(LOOKUPS_MAX));
            }
            _ if self.streams.is_empty() => {}
            _ => {
                let index = input.below(self.streams.len());
                call_stream(&self.streams[index], input);
            }
        }
        self.settle();
    }

    fn exchange_datagram(&self, input: &mut Input<'_>) {
        if let Some(socket) = &self.socket {
            let _ = socket.try_recv_from(&mut [0; 100]);
            let _ = socket.try_send_to(&vec![1; usize::from(input.u16())], at(2, 7));
        }
        if let Some(ping) = &self.ping {
            let _ = ping.try_receive(&mut [0; 100]);
            let _ = ping.try_send_to(input.u16(), b"ping", at(2, 0));
        }
    }

    /// The application lets go of everything; then the host holds nothing, and serves.
    fn end(mut self) {
        self.streams.clear();
        self.listeners.clear();
        self.socket = None;
        self.ping = None;
        self.lookups.clear();
        self.pass(AFTERMATH);
        let stack = self.bench.stack();
        assert_nothing_held(&stack);

        self.inject(&wire::arp(
            INWARD,
            ArpOperation::Request,
            [10, 0, 0, 2].into(),
            [10, 0, 0, 1].into(),
        ));
        let listener = listen(&stack, at(1, 99));
        let peer = self.bench.open(5000, 99);
        let stream = accepted(&listener).expect("the handshake is complete");
        self.inject(&Segment { payload: b"alive", ..peer.send(TcpControl::Psh) }.frame(INWARD));
        let mut heard = Vec::new();
        drain(&stream, &mut heard);
        assert_eq!(heard, b"alive");
    }
}

/// The host 10.0.0.1, whose name server is 10.0.0.2.
fn with_name_server() -> Config {
    let mut config = config(1);
    if let Addressing::Static(ipv4) = &mut config.addressing {
        ipv4.dns = vec![Ipv4Addr::new(10, 0, 0, 2)];
    }
    config
}

impl Peer {
    fn segment(&self, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
        let ports = (self.ports[0], self.ports[1]);
        let segment = Tcp { ports, seq, ack, flags, window: u16::MAX, options: &[], payload };
        segment.frame(self.ips[0], self.ips[1])
    }
}

fn call_stream(stream: &TcpStream, input: &mut Input<'_>) {
    match input.below(8) {
        0 | 1 => drop(stream.try_read(&mut vec![0; usize::from(input.u16())])),
        2 | 3 => drop(stream.try_write(&vec![1; usize::from(input.u16())])),
        4 => stream.shutdown(input.choose(&[Shutdown::Write, Shutdown::Read, Shutdown::Both])),
        5 => stream.abort(),
        6 => stream.set_keep_alive(input.keep_alive()),
        _ => {
            let interest = input.choose(&[Interest::Read, Interest::Write]);
            let _ = stream.register(interest, &Bell::new().1);
        }
    }
}
