//! Whatever comes from the wire, the stack neither panics nor stops serving.

use std::time::Duration;

use chacha20::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
use netstack::{Interest, UdpSocket};

use crate::harness::{
    Bell, CLIENT, Net, SERVER,
    apps::{SOON, drain, listen, noise, pair, pour},
    at,
    link::Link,
};

/// Every kind of frame that two hosts exchange, in both directions.
fn specimens() -> Vec<Vec<u8>> {
    let mut net = Net::new(Link::perfect());
    net.link.record();
    let (server, client) = pair(&mut net);
    let datagrams = UdpSocket::bind(&net.client(), at(2, 9)).unwrap();
    let _receiver = UdpSocket::bind(&net.server(), at(1, 7)).unwrap();
    for len in [10, 5000] {
        datagrams.try_send_to(&noise(len, 1), at(1, 7)).unwrap();
        datagrams.try_send_to(&noise(len, 1), at(1, 8)).unwrap();
    }
    pour(&client, &mut &noise(10_000, 2)[..]);
    net.run_briefly();
    drain(&server, &mut Vec::new());
    let server_ip = net.hosts[SERVER].ip6();
    let _six = listen(&net.server(), (server_ip, 80).into());
    let six = crate::harness::apps::dial(&net.client(), (server_ip, 80).into());
    net.run_briefly();
    drop((server, client, six));
    net.run_briefly();
    net.link.recorded().into_iter().map(|sent| sent.frame).collect()
}

/// A few bits, a length field's worth of bytes, or the end of the frame are wrong.
fn mutate(frame: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    for _ in 0..1 + rng.next_u32() % 4 {
        let index = match rng.next_u32() % 2 {
            0 => rng.next_u32() as usize % frame.len().min(64),
            _ => rng.next_u32() as usize % frame.len(),
        };
        match rng.next_u32() % 4 {
            0 => frame[index] ^= 1 << (rng.next_u32() % 8),
            1 => frame[index] = rng.next_u32() as u8,
            2 => frame[index] = [0, 0xff, 0x7f, 0x80][rng.next_u32() as usize % 4],
            _ => frame.truncate(index.max(1)),
        }
    }
}

/// Makes the checksums right again, so that what is behind them is looked at.
fn repair(frame: &mut [u8]) {
    use smoltcp::wire::{
        EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
    };
    let Ok(mut ethernet) = EthernetFrame::new_checked(frame) else {
        return;
    };
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return;
    }
    let Ok(mut packet) = Ipv4Packet::new_checked(ethernet.payload_mut()) else {
        return;
    };
    packet.fill_checksum();
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    match packet.next_header() {
        IpProtocol::Tcp => {
            if let Ok(mut tcp) = TcpPacket::new_checked(packet.payload_mut()) {
                tcp.fill_checksum(&from, &to);
            }
        }
        IpProtocol::Udp => {
            if let Ok(mut udp) = UdpPacket::new_checked(packet.payload_mut()) {
                udp.fill_checksum(&from, &to);
            }
        }
        _ => {}
    }
}

#[test]
fn twenty_thousand_mutations_do_no_harm() {
    let specimens = specimens();
    assert!(specimens.len() > 30);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut net = Net::new(Link::perfect());
    net.hosts.iter_mut().for_each(|host| host.fruitless_max = 10_000);
    let _tcp = listen(&net.server(), at(1, 80));
    let udp = UdpSocket::bind(&net.server(), at(1, 7)).unwrap();
    for round in 0..20_000 {
        let mut frame = specimens[rng.next_u32() as usize % specimens.len()].clone();
        mutate(&mut frame, &mut rng);
        if round % 2 == 0 {
            repair(&mut frame);
        }
        let to = if rng.next_u32() % 4 == 0 { CLIENT } else { SERVER };
        net.hosts[to].deliver(&frame);
        net.run_for(Duration::from_micros(u64::from(rng.next_u32() % 2000)));
        let _ = udp.try_recv_from(&mut [0; 100]);
    }
    drop(_tcp);
    // Long enough for poisoned neighbours to be forgotten and for half a datagram to be given up.
    net.run_for(Duration::from_secs(400));
    let (server, client) = pair(&mut net);
    let (bell, waker) = Bell::new();
    server.register(Interest::Read, &waker);
    pour(&client, &mut &b"alive"[..]);
    let mut heard = Vec::new();
    net.run_until(SOON, || {
        drain(&server, &mut heard);
        heard == b"alive"
    });
    assert_eq!(bell.rings(), 1);
    let held = net.hosts.each_ref().map(|host| host.stats().tcp_half_open);
    assert_eq!(held, [0, 0]);
}
