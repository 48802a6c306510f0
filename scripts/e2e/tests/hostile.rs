//! Packets that no well-behaved host sends, from a raw socket on the tap.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use e2e::{Boot, GUEST_IP, Guest, curl, eventually, needs_tap};
use socket2::{Domain, Protocol, Socket, Type};

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// Sends IPv4 packets with whatever source.
struct Spoofer(Socket);

impl Spoofer {
    fn new() -> Self {
        // IPPROTO_RAW: the header is ours, the kernel fills in its checksum.
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)));
        Spoofer(socket.expect("root in the namespace may open raw sockets"))
    }

    fn send(&self, from: Ipv4Addr, protocol: u8, mut payload: Vec<u8>, checksum_at: usize) {
        let to = Ipv4Addr::from(GUEST_IP);
        let mut pseudo = [from.octets(), to.octets()].concat();
        pseudo.extend([0, protocol]);
        pseudo.extend((payload.len() as u16).to_be_bytes());
        pseudo.extend(&payload);
        let checksum = internet_checksum(&pseudo);
        payload[checksum_at..checksum_at + 2].copy_from_slice(&checksum.to_be_bytes());

        let len = 20 + payload.len() as u16;
        let mut packet = vec![0x45, 0];
        packet.extend(len.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        packet.extend([from.octets(), to.octets()].concat());
        packet.extend(payload);
        // A full queue loses the packet, as a network may.
        let _ = self.0.send_to(&packet, &SocketAddrV4::new(to, 0).into());
    }

    fn syn(&self, from: Ipv4Addr, port: u16) {
        let mut tcp = [port.to_be_bytes(), 80_u16.to_be_bytes()].concat();
        tcp.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
        self.send(from, PROTOCOL_TCP, tcp, 16);
    }

    fn datagram(&self, from: Ipv4Addr, to_port: u16) {
        let mut udp = [9999_u16.to_be_bytes(), to_port.to_be_bytes()].concat();
        udp.extend([0, 12, 0, 0, b's', b'p', b'o', b'o']);
        self.send(from, PROTOCOL_UDP, udp, 6);
    }
}

/// RFC 1071.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

fn fetch(guest: &Guest) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(guest.addr(80)).expect("the guest accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout above zero");
    stream.write_all(b"GET /bytes/10 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.ends_with(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    begun.elapsed()
}

#[test]
fn a_flood_of_syns_keeps_nobody_out_and_takes_no_memory() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("httpd").serve();
    fetch(&guest);
    let spoofer = Spoofer::new();
    let mut slow = 0;
    for round in 0..200_u16 {
        for host in 0..100 {
            // Absent neighbours, and hosts that are nowhere.
            let near = Ipv4Addr::new(10, 0, 2, 100 + host);
            let far = Ipv4Addr::new(203, 0, 113, host);
            spoofer.syn(if round % 2 == 0 { near } else { far }, 1024 + round);
        }
        slow += usize::from(fetch(&guest) > Duration::from_secs(1));
    }
    let stats = guest.stats();
    assert!(slow <= 2, "{slow} of 200 clients waited for more than a second");
    assert!(stats["tcp_half_open"].as_u64().unwrap() <= 4096);
    assert!(stats["memory_used"].as_u64().unwrap() < 4 << 20, "{stats}");
    eventually(Duration::from_secs(30), || guest.stat("tcp_half_open"), |open| *open == 0);
}

#[test]
fn datagrams_from_absent_neighbours_do_not_silence_the_echo() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("echo").serve();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(guest.addr(7)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let spoofer = Spoofer::new();
    let mut lost = 0;
    for host in 0..100 {
        spoofer.datagram(Ipv4Addr::new(10, 0, 2, 100 + host), 7);
        // Our own address, everybody, nobody, and the echo port of the guest itself.
        spoofer.datagram(Ipv4Addr::from(GUEST_IP), 7);
        spoofer.datagram(Ipv4Addr::new(10, 0, 2, 255), 7);
        spoofer.datagram(Ipv4Addr::UNSPECIFIED, 7);
        socket.send(&[host]).unwrap();
        lost += usize::from(socket.recv(&mut [0; 10]).is_err());
    }
    assert!(lost <= 2, "{lost} of 100 datagrams were not answered");
}

#[test]
fn connections_reset_before_they_are_accepted_leave_nothing() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("httpd").serve();
    let before = guest.stat("memory_used");
    for _ in 0..5000 {
        let stream = TcpStream::connect(guest.addr(80)).expect("the guest accepts");
        // Zero seconds of linger: a reset instead of a FIN.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    eventually(Duration::from_secs(30), || guest.stat("memory_used"), |used| *used == before);
    assert_eq!(curl(&[&guest.url("/bytes/2")]), [0, 1]);
}
