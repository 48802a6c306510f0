//! Cards that take their time, and cards that filter.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axerrno::AxResult;
use netasync::{Shutdown, TcpListener, TcpStream, UdpSocket, sleep};
use netstack::Instant;
use sim::{
    Activity, Card, Forwarding, HostConfig, HostId, Network, Outcome, Pace,
    scenario::{Kind, Plan, run},
};

const SERVER: &str = "10.0.0.1:7";

fn seconds(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

fn network(hosts: usize, host: &HostConfig) -> Network {
    let mut network = Network::new(1, Forwarding::Flooding);
    for _ in 0..hosts {
        network.add_host(host.clone());
    }
    network.heal(Duration::from_micros(10));
    network
}

/// Two hosts, the second of which sends so many bytes to the first one by a slow card.
fn transfer(pace: Pace, tx_ring: usize, len: usize, until: Instant) -> (Network, Outcome) {
    let mut network = network(1, &HostConfig::default());
    let card = Card { pace, ..Card::default() };
    network.add_host(HostConfig { tx_ring, card, ..HostConfig::default() });
    let task = network.spawn(0, async move {
        let listener = TcpListener::bind(SERVER).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut received = 0;
        while let Ok(more @ 1..) = stream.read(&mut [0; 4096]).await {
            received += more;
        }
        assert_eq!(received, len);
    });
    network.spawn(1, async move {
        let stream = TcpStream::connect(SERVER).await.unwrap();
        stream.write_all(&vec![7; len]).await.unwrap();
        stream.shutdown(Shutdown::Write);
    });
    let outcome = network.run(until, || task.is_finished());
    (network, outcome)
}

#[test]
fn a_slow_card_is_as_fast_as_it_says_and_nobody_spins() {
    const LEN: usize = 300_000;
    let segments = LEN.div_ceil(1460) as u32;
    let interval = Duration::from_millis(3);
    for tx_ring in [1, 4, 256] {
        let pace = Pace { interval, ..Pace::default() };
        let (network, outcome) = transfer(pace, tx_ring, LEN, seconds(60));
        assert_eq!(outcome, Outcome::Done);
        let took = network.now() - Instant::ZERO;
        assert!(took > interval * segments && took < interval * segments * 2, "{took:?}");
        let Activity { fruitless_turns, excess, .. } = network.activity(1);
        assert!(fruitless_turns < 50 && excess < 100, "{fruitless_turns} in vain, {excess} more");
    }
}

/// A ring that is full for as long as one looks.
#[test]
fn a_card_that_stands_still_is_slept_on() {
    let pace = Pace { interval: Duration::from_secs(3600), ..Pace::default() };
    let (network, outcome) = transfer(pace, 1, 300_000, seconds(600));
    assert_eq!(outcome, Outcome::Deadline);
    let Activity { fruitless_turns, excess, .. } = network.activity(1);
    assert!(fruitless_turns < 10 && excess < 20, "{fruitless_turns} in vain, {excess} more");
}

#[test]
fn seeds_draw_slow_cards_and_cards_that_filter() {
    let cards: Vec<_> =
        (0..50).flat_map(|seed| Plan::draw(seed).hosts).map(|host| host.card).collect();
    let any = |is: &dyn Fn(&Card) -> bool| cards.iter().any(is);
    assert!(
        any(&|card| card.pace == Pace::default()) && any(&|card| !card.pace.interval.is_zero())
    );
    assert!(any(&|card| !card.pace.pause_max.is_zero()));
    assert!(any(&|card| card.filters) && any(&|card| !card.filters));
    let mut plan = Plan::single(1, Kind::Stubborn { up: 300_000, down: 200_000 });
    let pace = Pace { interval: Duration::from_micros(300), pause_max: Duration::from_secs(2) };
    plan.hosts.iter_mut().for_each(|host| {
        host.card.pace = pace;
        host.tx_ring = 4;
    });
    plan.heal_at = seconds(60);
    let reports = [run(&plan, &[]), run(&plan, &[])];
    assert!(reports[0].violations.is_empty(), "{:?}", reports[0].violations);
    assert_eq!(reports[0].trace, reports[1].trace);
}

fn filtering() -> HostConfig {
    HostConfig { card: Card { filters: true, ..Card::default() }, ..HostConfig::default() }
}

fn received(network: &Network, host: HostId) -> u64 {
    network.stack(host).stats().frames_received
}

/// Solicitations for neighbours, which go to a group, arrive; what others say to each other does not.
#[test]
fn strangers_frames_are_kept_away() {
    for is_ipv6 in [true, false] {
        let mut network = network(3, &filtering());
        network.run(seconds(10), || false);
        let server = match network.stack(0).ipv6().filter(|_| is_ipv6) {
            Some(ip) => SocketAddr::from((ip, 7)),
            None => SERVER.parse().unwrap(),
        };
        let before = received(&network, 2);
        network.spawn(0, async move {
            let listener = TcpListener::bind(server).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[7; 100_000]).await.unwrap();
        });
        let task = network.spawn(1, async move {
            let stream = TcpStream::connect(server).await.unwrap();
            stream.read_exact(&mut [0; 100_000]).await.unwrap();
        });
        assert_eq!(network.run(seconds(20), || task.is_finished()), Outcome::Done);
        // Who asks for an IPv4 neighbour asks everybody.
        assert_eq!(received(&network, 2) - before, u64::from(!is_ipv6));
    }
}

fn join(socket: &UdpSocket, group: IpAddr) -> AxResult<()> {
    match group {
        IpAddr::V4(group) => socket.join_multicast_v4(group, Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(group) => socket.join_multicast_v6(&group, None),
    }
}

fn leave(socket: &UdpSocket, group: IpAddr) -> AxResult<()> {
    match group {
        IpAddr::V4(group) => socket.leave_multicast_v4(group, Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(group) => socket.leave_multicast_v6(&group, None),
    }
}

#[test]
fn groups_are_let_through_while_they_are_joined() {
    let group4: SocketAddr = "224.0.0.251:5353".parse().unwrap();
    let group6 = SocketAddr::from((Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), 5353));
    for group in [group4, group6] {
        let mut network = network(3, &filtering());
        network.run(seconds(10), || false);
        let before = received(&network, 2);
        let member = network.spawn(0, async move {
            let wildcard = if group.is_ipv4() { "0.0.0.0:5353" } else { "[::]:5353" };
            let socket = UdpSocket::bind(wildcard).await.unwrap();
            for _ in 0..2 {
                join(&socket, group.ip()).unwrap();
                let (len, _) = socket.recv_from(&mut [0; 10]).await.unwrap();
                assert_eq!(len, 5);
                leave(&socket, group.ip()).unwrap();
                // What comes meanwhile is for nobody.
                sleep(Duration::from_secs(10)).await;
            }
        });
        network.spawn(1, async move {
            let wildcard = if group.is_ipv4() { "0.0.0.0:9" } else { "[::]:9" };
            let socket = UdpSocket::bind(wildcard).await.unwrap();
            loop {
                sleep(Duration::from_secs(1)).await;
                socket.send_to(b"hello", group).await.unwrap();
            }
        });
        assert_eq!(network.run(seconds(60), || member.is_finished()), Outcome::Done);
        assert_eq!(received(&network, 2), before, "it has joined nothing");
        let dropped = network.stack(0).stats().dropped_other_host;
        assert_eq!(dropped, 0, "nothing comes to a member that has left");
    }
}
