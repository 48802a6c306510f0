//! `apps/echo` against sockets of the host.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use e2e::{Boot, Guest, needs_tap, run, wire::guest_addr6};

const PATIENCE: Duration = Duration::from_secs(30);

fn connect(guest: &Guest, port: u16) -> TcpStream {
    let stream = TcpStream::connect(guest.addr(port)).expect("the guest accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    stream
}

fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn streams_come_back() {
    let guest = Boot::new("echo").serve();
    let clients: Vec<_> = (1..=50)
        .map(|seed| {
            let mut stream = connect(&guest, 7);
            thread::spawn(move || {
                let sent = noise(100_000, seed);
                let mut reader = stream.try_clone().unwrap();
                let receiver = thread::spawn(move || {
                    let mut received = vec![];
                    reader.read_to_end(&mut received).unwrap();
                    received
                });
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert!(receiver.join().unwrap() == sent, "seed {seed}");
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn discard_takes_everything_and_chargen_follows_the_rfc() {
    let guest = Boot::new("echo").serve();
    let mut discard = connect(&guest, 9);
    discard.write_all(&noise(5_000_000, 7)).unwrap();
    discard.shutdown(Shutdown::Write).unwrap();
    assert_eq!(discard.read(&mut [0]).unwrap(), 0, "nothing but the end comes back");

    let mut chargen = connect(&guest, 19);
    let mut text = vec![0; 74 * 200];
    chargen.read_exact(&mut text).unwrap();
    for (number, line) in text.chunks(74).enumerate() {
        let expected: Vec<u8> = (0..72).map(|i| b' ' + ((number + i) % 95) as u8).collect();
        assert_eq!((&line[..72], &line[72..]), (&expected[..], &b"\r\n"[..]), "line {number}");
    }
}

#[test]
fn datagrams_come_back() {
    let guest = Boot::new("echo").serve();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(guest.addr(7)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buffer = vec![0; 70_000];
    // User networking does not pass fragments.
    let lens: &[usize] = match needs_tap() {
        true => &[0, 1, 512, 1400],
        false => &[0, 1, 512, 1472, 1473, 4000, 20_000, 65_507],
    };
    for (seed, &len) in (1..).zip(lens) {
        let sent = noise(len, seed);
        // A datagram may be lost; five in a row are not.
        let answer = (0..5).find_map(|_| {
            socket.send(&sent).unwrap();
            socket.recv(&mut buffer).ok()
        });
        assert_eq!(answer, Some(len), "length {len}");
        assert!(buffer[..len] == sent, "length {len}");
    }
}

#[test]
fn the_guest_answers_pings_and_ipv6() {
    if needs_tap() {
        return;
    }
    let guest = Boot::new("echo").serve();
    let addr = guest.addr(7);
    let mut probe = connect(&guest, 7);
    probe.write_all(b"x").unwrap();
    probe.read_exact(&mut [0]).unwrap();
    let mut v6 = TcpStream::connect(guest_addr6(7)).expect("the guest accepts on IPv6");
    v6.write_all(b"six").unwrap();
    let mut answer = [0; 3];
    v6.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"six");
    run(Command::new("ping").args(["-c", "3", "-W", "2", &addr.ip().to_string()]));
}
