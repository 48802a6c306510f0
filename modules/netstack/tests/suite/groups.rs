//! Multicast and its reports: IGMP (RFC 2236), MLD (RFC 3810), sockets in groups (RFC 1112).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use netstack::{InterfaceId, JoinError, Multicast, UdpSocket};
use smoltcp::wire::{IpProtocol, Ipv4Packet};

use crate::harness::{
    CLIENT, Net, SERVER, at,
    bench::{Bench, INWARD},
    config,
    link::Link,
    wire,
};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_MAC: [u8; 6] = [1, 0, 0x5e, 1, 2, 3];
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x77);

fn quiet() -> Bench {
    let mut bench = Bench::silent(&config(1));
    bench.run_for(Duration::from_secs(20));
    bench.take_sent();
    bench
}

fn bind(bench: &Bench, to: &str) -> UdpSocket {
    UdpSocket::bind(&bench.stack(), to.parse().unwrap()).unwrap()
}

/// The IGMP messages sent: type, group and destination.
fn igmp(bench: &mut Bench) -> Vec<(u8, Ipv4Addr, IpAddr)> {
    let sent = bench.take_sent();
    let of_frame = |frame: &Vec<u8>| {
        let (protocol, _, to, payload) = wire::ip_payload(frame)?;
        (protocol == IpProtocol::Igmp).then_some(())?;
        let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        assert!(packet.verify_checksum() && packet.hop_limit() == 1);
        assert_eq!((packet.header_len(), &frame[34..38]), (24, &[148, 4, 0, 0][..]), "RFC 2113");
        let group: [u8; 4] = payload[4..8].try_into().unwrap();
        Some((payload[0], group.into(), to))
    };
    sent.iter().filter_map(of_frame).collect()
}

#[test]
fn members_receive_and_others_do_not() {
    let mut bench = quiet();
    let member = bind(&bench, "0.0.0.0:7");
    let datagram = wire::datagram((INWARD.0, GROUP_MAC), at(2, 9), (GROUP, 7).into(), b"all");
    let receives = |bench: &mut Bench, socket: &UdpSocket| {
        bench.inject(&datagram);
        bench.settle();
        socket.try_recv(&mut [0; 9]).is_ok()
    };
    assert!(!receives(&mut bench, &member));
    assert_eq!(bench.stats().dropped_other_host, 1);
    member.join(GROUP.into(), None).unwrap();
    assert!(receives(&mut bench, &member));
    let other = bind(&bench, "[::]:7");
    bench.inject(&datagram);
    bench.settle();
    assert!(other.try_recv(&mut [0; 9]).is_err(), "it has not joined");
    assert!(member.try_recv(&mut [0; 9]).is_ok());
    member.leave(GROUP.into(), None).unwrap();
    assert!(!receives(&mut bench, &member));

    assert_eq!(member.join(at(1, 0).ip(), None), Err(JoinError::Invalid));
    assert_eq!(member.join(GROUP_V6.into(), None), Err(JoinError::Invalid));
    assert_eq!(member.leave(GROUP.into(), None), Err(JoinError::NotFound));
    member.join(GROUP.into(), Some(InterfaceId::FIRST)).unwrap();
    assert_eq!(member.join(GROUP.into(), None), Err(JoinError::Exists));
    let many = (0..40).find_map(|last| member.join([239, 9, 9, last].into(), None).err());
    assert_eq!(many, Some(JoinError::TooMany));
}

/// RFC 2236 sections 3 and 6.
#[test]
fn igmp_reports_answers_and_leaves() {
    const REPORT: u8 = 0x16;
    const LEAVE: u8 = 0x17;
    let mut bench = quiet();
    let member = bind(&bench, "0.0.0.0:7");
    member.join(GROUP.into(), None).unwrap();
    bench.run_for(Duration::from_secs(11));
    let report = (REPORT, GROUP, GROUP.into());
    assert_eq!(igmp(&mut bench), [report, report], "twice within ten seconds");
    bench.run_for(Duration::from_secs(100));
    assert_eq!(igmp(&mut bench), []);

    let mut query = vec![0x11, 50, 0, 0, 0, 0, 0, 0];
    let checksum = !0x1132_u16;
    query[2..4].copy_from_slice(&checksum.to_be_bytes());
    let all_hosts = Ipv4Addr::new(224, 0, 0, 1);
    let macs = (INWARD.0, [1, 0, 0x5e, 0, 0, 1]);
    bench.inject(&wire::ip(macs, at(2, 0).ip(), all_hosts.into(), IpProtocol::Igmp, &query));
    bench.run_for(Duration::from_millis(5100));
    assert_eq!(igmp(&mut bench), [report], "within five seconds");
    // RFC 4541 section 2.1.1: switches ask from nobody.
    let nobody = Ipv4Addr::UNSPECIFIED.into();
    bench.inject(&wire::ip(macs, nobody, all_hosts.into(), IpProtocol::Igmp, &query));
    bench.run_for(Duration::from_millis(5100));
    assert_eq!(igmp(&mut bench), [report], "within five seconds");
    let martians = bench.stats().dropped_martian_source;
    bench.inject(&wire::ip(macs, nobody, all_hosts.into(), IpProtocol::Udp, &query));
    bench.inject(&wire::ip(INWARD, nobody, at(1, 0).ip(), IpProtocol::Igmp, &query));
    bench.settle();
    assert_eq!(bench.stats().dropped_martian_source, martians + 2);
    drop(member);
    bench.run_for(Duration::from_secs(1));
    let all_routers = Ipv4Addr::new(224, 0, 0, 2);
    assert_eq!(igmp(&mut bench), [(LEAVE, GROUP, all_routers.into())]);
    bench.host.turns = 0;
    bench.run_for(Duration::from_secs(1000));
    assert_eq!(bench.host.turns, 0);
}

/// RFC 3810: MLDv2 reports, for the solicited-node groups of addresses too.
#[test]
fn mld_reports() {
    let mut bench = Bench::silent(&config(1));
    bench.run_for(Duration::from_secs(20));
    let report = |group: Ipv6Addr| {
        move |frame: &Vec<u8>| {
            // Behind the hop-by-hop header with its router alert.
            let is_report = frame.len() > 82 && frame[20] == 0 && frame[62] == 143;
            is_report && frame[62..].windows(16).any(|bytes| bytes == group.octets())
        }
    };
    let IpAddr::V6(ours) = bench.host.ip6() else {
        unreachable!();
    };
    let sent = bench.take_sent();
    let own_group = wire::solicited_node(ours);
    assert_eq!(sent.iter().filter(|frame| report(own_group)(frame)).count(), 2);
    let member = bind(&bench, "[::]:7");
    member.join(GROUP_V6.into(), None).unwrap();
    bench.run_for(Duration::from_secs(2));
    let sent = bench.take_sent();
    assert_eq!(sent.iter().filter(|frame| report(GROUP_V6)(frame)).count(), 2);
    let datagram = wire::datagram(
        (INWARD.0, [0x33, 0x33, 0, 0, 0, 0x77]),
        "[fe80::2]:9".parse().unwrap(),
        (GROUP_V6, 7).into(),
        b"six",
    );
    bench.inject(&datagram);
    bench.settle();
    assert_eq!(member.try_recv(&mut [0; 9]), Ok(3));
}

/// RFC 1112 section 6.1: the hop limit is one unless said otherwise; members here get a copy.
#[test]
fn what_is_sent_to_a_group_comes_back_if_wanted() {
    let mut net = Net::new(Link::perfect());
    for group in [IpAddr::from(GROUP), GROUP_V6.into()] {
        let bind = |host: usize| {
            let any = if group.is_ipv4() { "0.0.0.0:7" } else { "[::]:7" };
            UdpSocket::bind(&net.hosts[host].stack, any.parse().unwrap()).unwrap()
        };
        let (here, there) = (bind(CLIENT), bind(SERVER));
        here.join(group, None).unwrap();
        there.join(group, None).unwrap();
        for (is_looped, hop_limit) in [(true, 1), (false, 9)] {
            here.set_multicast(Multicast { is_looped, hop_limit, interface: None });
            assert_eq!(here.multicast().hop_limit, hop_limit);
            here.try_send_to(b"hello", SocketAddr::new(group, 7)).unwrap();
            net.run_briefly();
            let got = there.try_receive(&mut [0; 9]).unwrap();
            assert_eq!((got.hop_limit, got.to.ip()), (hop_limit, group));
            assert_eq!(here.try_recv(&mut [0; 9]).is_ok(), is_looped);
        }
    }
}
