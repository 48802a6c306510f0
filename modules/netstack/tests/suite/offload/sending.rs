//! How segments are handed to the card. That the same goes on the wire with every card, all scripts
//! of `timeline` show.

use std::{net::SocketAddr, time::Duration};

use netdev::{FRAME_LEN_MAX, Offloads, PartialChecksum, Segmentation, TxOffload};
use netstack::{TcpOptions, UdpSocket};
use smoltcp::wire::{ArpOperation, IpProtocol, TcpControl};

use crate::{
    harness::{
        CLIENT, Host, Net, SERVER,
        apps::{SOON, Transfer, accepted, dial, drain, listen, noise, pair, pour},
        at,
        bench::{Bench, INWARD},
        card::{CUTTING, Card, PLAIN, Request, SUMMING},
        config,
        link::{Faults, Link},
        mac,
        wire::{self, Segment},
    },
    timeline::{ACCEPTED, Timeline, defaults, play_on},
};

fn play(scripts: &[&str]) {
    play_on(CUTTING, defaults(), scripts);
}

#[test]
fn what_the_congestion_window_has_room_for_goes_out_as_one() {
    play(&[
        ACCEPTED,
        "
        handed
        write 20500
        > . 1:10001(10*1000) ack 1 win 32768
        handed 10000/1000
    +10 < . 1:1(0) ack 10001
        > . 10001:20001(10*1000) ack 1
        handed 10000/1000 // Nagle's rule keeps the rest.
    +10 < . 1:1(0) ack 20001
        > P. 20001:20501(500) ack 1
        handed 500
        ",
    ]);
}

#[test]
fn without_nagles_rule_the_rest_is_a_frame_of_its_own() {
    let options = TcpOptions { nodelay: true, ..defaults() };
    let script = "
        handed
        write 3500
        > . 1:3001(3*1000) ack 1 win 32768
        > P. 3001:3501(500) ack 1
        handed 3000/1000 500
    +10 < . 1:1(0) ack 3501
        write 4000
        > P. 3501:7501(4*1000) ack 1
        handed 4000/1000
        ";
    play_on(CUTTING, options, &[ACCEPTED, script]);
}

#[test]
fn a_full_segment_is_not_cut() {
    play(&[
        ACCEPTED,
        "
        handed
        write 1000
        > P. 1:1001(1000) ack 1 win 32768
        handed 1000
        ",
    ]);
}

#[test]
fn the_peers_window_is_kept() {
    play(&[
        ACCEPTED,
        "
        handed
    +10 < . 1:1(0) ack 1 win 27 // 3456 bytes.
        write 10000
        > . 1:3001(3*1000) ack 1 win 32768
        handed 3000/1000
    +10 < . 1:1(0) ack 3001 win 40 // 5120 bytes.
        > . 3001:8001(5*1000) ack 1
        handed 5000/1000
        ",
    ]);
}

#[test]
fn a_fin_goes_with_the_last_segment() {
    play(&[
        ACCEPTED,
        "
        handed
        write 13000
        > . 1:10001(10*1000) ack 1 win 32768
        shutdown
    +10 < . 1:1(0) ack 10001
        > FP. 10001:13001(3*1000) ack 1
        handed 10000/1000 3000/1000
        ",
    ]);
    play(&[
        ACCEPTED,
        "
        handed
        write 13500
        > . 1:10001(10*1000) ack 1 win 32768
        shutdown
    +10 < . 1:1(0) ack 10001
        > . 10001:13001(3*1000) ack 1
        > FP. 13001:13501(500) ack 1
        handed 10000/1000 3000/1000 500
        ",
    ]);
}

/// RFC 6691: what options take, the text has not.
#[test]
fn selective_acknowledgements_make_every_segment_shorter() {
    play(&[
        ACCEPTED,
        "
        handed
        < . 1001:2001(1000) ack 1
        > . 1:1(0) ack 1 win 32768 <sack 1001:2001>
        write 5000
        > . 1:4941(5*988) ack 1 <sack 1001:2001>
        handed 0 4940/988
    +10 < . 1:1001(1000) ack 4941
        > P. 4941:5001(60) ack 2001 win 32518
        handed 60
        ",
    ]);
}

#[test]
fn what_is_lost_of_a_long_frame_is_sent_again_segment_by_segment() {
    play(&[
        ACCEPTED,
        "
        handed
        write 10000
        > P. 1:10001(10*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 1 <sack 2001:3001>
        < . 1:1(0) ack 1 <sack 2001:10001>
        > . 1:1001(1000) ack 1
        > . 1001:2001(1000) ack 1
        handed 10000/1000 1000 1000
    +10 < . 1:1(0) ack 10001
        write 9000
        > . 10001:17001(7*1000) ack 1 // The window has been reduced.
    +10 < . 1:1(0) ack 17001
        > P. 17001:19001(2*1000) ack 1
        handed 7000/1000 2000/1000
        ",
    ]);
}

#[test]
fn a_long_frame_that_is_lost_whole_is_sent_again() {
    play(&[
        ACCEPTED,
        "
        handed
        write 3000
        > P. 1:3001(3*1000) ack 1 win 32768
        handed 3000/1000
    +20 > P. 2001:3001(1000) ack 1
   +200 > . 1:1001(1000) ack 1
    +10 < . 1:1(0) ack 1001
        > . 1001:2001(1000) ack 1
        > P. 2001:3001(1000) ack 1
        handed 1000 1000 1000 1000
    +10 < . 1:1(0) ack 3001
        write 2000
        > P. 3001:5001(2*1000) ack 1
        handed 2000/1000
        ",
    ]);
}

/// RFC 1191: what is under way in long frames is too long, and is sent again.
#[test]
fn a_path_that_becomes_narrow_is_cut_for() {
    for is_ipv4 in [true, false] {
        let mss = if is_ipv4 { 1240 } else { 1220 };
        let (repaired, full) = (1 + 11 * mss, 26_000 / mss);
        let mut timeline = Timeline::new(is_ipv4, CUTTING);
        timeline.options = defaults();
        timeline.play(
            "
        listen
        < S 0:0(0) win 65535 <mss 1400,sackOK,ws 7>
        > S. 0:0(0) ack 1 win 65535 <mss max,ws 3,sackOK>
    +10 < . 1:1(0) ack 1 win 512
        accept
        handed
        write 40000
        > . 1:14001(10*1400) ack 1 win 32768
        handed 14000/1400
        ",
        );
        timeline.play(&format!(
            "
        < icmp mtu 1280 seq 1
        > . 1:{repaired}(11*{mss}) ack 1
        > . {repaired}:14001({}) ack 1
        handed {} {}
    +10 < . 1:1(0) ack 14001
        > . 14001:{}({full}*{mss}) ack 1
        handed {}/{mss}
        ",
            14_001 - repaired,
            vec![mss.to_string(); 11].join(" "),
            14_001 - repaired,
            14_001 + full * mss,
            full * mss,
        ));
    }
}

/// A card whose memory is short gets what it has room for, and the rest when it has sent that.
#[test]
fn a_card_with_little_room_gets_shorter_frames() {
    for is_ipv4 in [true, false] {
        let mut timeline = Timeline::new(is_ipv4, CUTTING);
        timeline.options = defaults();
        timeline.play(ACCEPTED);
        timeline.bench.host.card.shrink(7200);
        timeline.play(
            "
        handed
        write 10000
        > . 1:7001(7*1000) ack 1 win 32768
        > P. 7001:10001(3*1000) ack 1
        handed 7000/1000 3000/1000
        ",
        );
        timeline.bench.host.card.shrink(1600);
        timeline.play(
            "
    +10 < . 1:1(0) ack 10001
        write 3000
        > P. 10001:13001(3*1000) ack 1
        handed 1000 1000 1000
        ",
        );
    }
}

#[test]
fn a_card_that_only_sums_gets_segments() {
    let script = "
        handed
        write 2500
        > . 1:2001(2*1000) ack 1 win 32768
    +10 < . 1:1(0) ack 2001
        > P. 2001:2501(500) ack 1
        handed 1000 1000 500
        ";
    play_on(SUMMING, defaults(), &[ACCEPTED, script]);
    play_on(PLAIN, defaults(), &[ACCEPTED, &script.replace("handed 1000 1000 500", WHOLE)]);
}

const WHOLE: &str = "handed 1000whole 1000whole 500whole";

#[test]
fn a_card_cuts_the_versions_that_it_says() {
    let burst = "
        handed
        write 2000
        > P. 1:2001(2*1000) ack 1 win 32768
        ";
    for (segmentation_v4, segmentation_v6) in [(true, false), (false, true)] {
        for is_ipv4 in [true, false] {
            let offloads = Offloads { checksum: true, segmentation_v4, segmentation_v6 };
            let mut timeline = Timeline::new(is_ipv4, offloads);
            timeline.options = defaults();
            timeline.play(ACCEPTED);
            timeline.play(burst);
            let is_cut = if is_ipv4 { segmentation_v4 } else { segmentation_v6 };
            timeline.play(if is_cut { "handed 2000/1000" } else { "handed 1000 1000" });
        }
    }
}

/// What a frame asks for is what it is.
#[test]
fn a_request_says_where_things_are() {
    for (is_ipv4, start) in [(true, 34), (false, 54)] {
        let mut timeline = Timeline::new(is_ipv4, CUTTING);
        timeline.options = defaults();
        timeline.play(ACCEPTED);
        timeline.play("handed\n write 3000\n > P. 1:3001(3*1000) ack 1 win 32768");
        let handed = timeline.bench.host.take_handed();
        let checksum = PartialChecksum { start, offset: 16 };
        let cut = Segmentation { payload_len: 1000, header_len: start + 20, is_ipv4 };
        let offload = TxOffload { checksum: Some(checksum), segmentation: Some(cut) };
        assert_eq!(handed.iter().map(|one| one.offload).collect::<Vec<_>>(), [offload]);
        assert_eq!(handed[0].frame.len(), usize::from(start) + 3020);
    }
}

fn cutting_net(link: Link) -> Net {
    let mut net = Net::new(link);
    net.hosts = [1, 2].map(|last| Host::with_card(&config(last), Card::new(mac(last), CUTTING)));
    net
}

/// No frame is longer than IP can say, and many are about as long.
#[test]
fn the_longest_frame_is_a_packet_of_64_kilobytes() {
    for is_ipv4 in [true, false] {
        let mut net = cutting_net(Link::perfect());
        let to = match is_ipv4 {
            true => at(1, 80),
            false => SocketAddr::new(net.hosts[SERVER].ip6(), 80),
        };
        let listener = listen(&net.server(), to);
        let client = dial(&net.client(), to);
        let mut server = None;
        net.run_until(SOON, || {
            server = server.take().or_else(|| accepted(&listener));
            server.is_some()
        });
        let server = server.unwrap();
        net.hosts[CLIENT].take_handed();
        let data = noise(3_000_000, 1);
        let mut ends = [Transfer::new(&client, &data), Transfer::new(&server, &[])];
        net.run_until(SOON, || ends[0].advance() & ends[1].advance());
        assert!(ends[1].received == data);
        let handed = net.hosts[CLIENT].take_handed();
        let longest = handed.iter().map(|request| request.frame.len()).max().unwrap();
        let headers = if is_ipv4 { 54 } else { 74 };
        let mss = if is_ipv4 { 1460 } else { 1440 };
        let most = (FRAME_LEN_MAX - headers - 40) / mss * mss + headers;
        assert_eq!(longest, most);
        assert!(handed.len() < 3_000_000 / mss / 10, "{} frames", handed.len());
    }
}

#[test]
fn everything_arrives_over_a_faulty_link() {
    for seed in 0..6 {
        let mut net = cutting_net(Link::faulty(Faults::all(30), seed));
        let (server, client) = pair(&mut net);
        let (up, down) = (noise(1_000_000, 1), noise(1_000_000, 2));
        let mut ends = [Transfer::new(&server, &down), Transfer::new(&client, &up)];
        net.run_until(Duration::from_secs(400), || ends[0].advance() & ends[1].advance());
        assert!(ends[0].received == up && ends[1].received == down, "other bytes");
    }
}

fn bench(offloads: Offloads) -> Bench {
    Bench::with_card(&config(1), Card::new(mac(1), offloads))
}

/// What the host hands over while `call` runs, without questions for neighbours.
fn handed(bench: &mut Bench, call: impl FnOnce()) -> Vec<Request> {
    bench.host.take_handed();
    call();
    bench.take_sent();
    let mut handed = bench.host.take_handed();
    handed.retain(|request| {
        wire::arp_target(&request.frame).is_none() && wire::solicited(&request.frame).is_none()
    });
    handed
}

#[test]
fn checksums_of_datagrams_are_left_to_the_card() {
    let mut bench = bench(SUMMING);
    let socket = UdpSocket::bind(&bench.stack(), "[::]:7".parse().unwrap()).unwrap();
    let peers = [at(2, 9), "[fe80::2]:9".parse().unwrap()];
    for (to, start) in peers.into_iter().zip([34, 54]) {
        let longest = 1514 - usize::from(start) - 8;
        for len in [0, 1, longest] {
            let sent = handed(&mut bench, || {
                socket.try_send_to(&noise(len, 1), to).unwrap();
            });
            let checksum = Some(PartialChecksum { start, offset: 6 });
            let offload = TxOffload { checksum, segmentation: None };
            assert_eq!(sent.iter().map(|one| one.offload).collect::<Vec<_>>(), [offload]);
            // Summed up here, and verified.
            assert_eq!(wire::udp(&sent[0].frames()[0]).unwrap().2, noise(len, 1));
        }
        // No card sums up what is in several frames.
        let sent = handed(&mut bench, || {
            socket.try_send_to(&noise(longest + 1, 1), to).unwrap();
        });
        assert_eq!(
            sent.iter().map(|one| one.offload).collect::<Vec<_>>(),
            [TxOffload::default(); 2]
        );
    }
}

/// Handshakes before there is a connection, resets without one, questions for neighbours, echoes and
/// errors are small: whole checksums, whatever the card can do.
#[test]
fn the_stacks_own_frames_are_whole() {
    let mut bench = bench(CUTTING);
    let _listener = listen(&bench.stack(), at(1, 80));
    let echo = wire::icmpv4(INWARD, at(2, 0).ip(), at(1, 0).ip(), &[8, 0, 0, 0, 0, 1, 0, 1]);
    let frames = [
        Segment::new(at(2, 9), at(1, 80), TcpControl::Syn, 0).frame(INWARD),
        Segment::new(at(2, 9), at(1, 81), TcpControl::Syn, 0).frame(INWARD),
        wire::datagram(INWARD, at(2, 9), at(1, 9), b"nobody"),
        wire::arp(INWARD, ArpOperation::Request, [10, 0, 0, 2].into(), [10, 0, 0, 1].into()),
        echo,
    ];
    bench.host.take_handed();
    for (count, frame) in (1..).zip(&frames) {
        bench.inject(frame);
        assert_eq!(bench.take_sent().len(), 1, "frame {count} is answered");
    }
    let sent = bench.host.take_handed();
    assert_eq!(sent.len(), frames.len());
    for request in &sent {
        assert_eq!(request.offload, TxOffload::default());
        let protocol = wire::ip_payload(&request.frame).map(|(protocol, ..)| protocol);
        let is_tcp = protocol == Some(IpProtocol::Tcp);
        assert!(!is_tcp || wire::tcp(&request.frame).is_some(), "a right checksum");
    }
}

/// Packets to this host's own addresses meet no card.
#[test]
fn what_is_looped_back_is_whole() {
    let mut bench = bench(CUTTING);
    let listener = listen(&bench.stack(), at(1, 80));
    let client = dial(&bench.stack(), at(1, 80));
    bench.settle();
    let server = accepted(&listener).unwrap();
    let data = noise(100_000, 1);
    let mut rest = &data[..];
    let mut heard = Vec::new();
    while heard.len() < data.len() {
        pour(&client, &mut rest);
        bench.settle();
        drain(&server, &mut heard);
    }
    assert!(heard == data);
    assert_eq!(bench.stats().dropped_tcp_checksum, 0);
}

/// What the stack itself has queued goes out first, and takes room: here a question for a neighbour
/// that has not been heard of for long, which one connection's segment has caused.
#[test]
fn what_is_queued_takes_room_from_what_is_cut() {
    const FIRST_LEN: usize = 10;
    let mut bench = bench(CUTTING);
    let listener = listen(&bench.stack(), at(1, 80));
    let streams = [1000, 1001].map(|port| {
        bench.open(port, 80);
        accepted(&listener).unwrap()
    });
    bench.run_for(Duration::from_secs(100));
    // Room for the first segment and, if nothing comes between, two more: headers of TCP are counted
    // with 60 bytes before it is known that they have 20.
    bench.host.card.shrink(54 + FIRST_LEN + 34 + 60 + 2 * 1460);
    bench.host.take_handed();
    streams[0].try_write(&noise(FIRST_LEN, 1)).unwrap();
    streams[1].try_write(&noise(2 * 1460, 1)).unwrap();
    bench.take_sent();
    let lens: Vec<_> = bench.host.take_handed().iter().map(|one| one.frame.len()).collect();
    assert_eq!(lens, [54 + FIRST_LEN, 42, 54 + 1460, 54 + 1460]);
}
