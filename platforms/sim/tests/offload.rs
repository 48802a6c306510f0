//! Cards that cut, join and verify: fewer frames for the hosts, the same streams.

use std::time::Duration;

use netasync::{Shutdown, TcpListener, TcpStream};
use netdev::Offloads;
use netstack::Instant;
use netstack::Stats;
use sim::{
    Card, Direction, Forwarding, HostConfig, Network, Outcome, Reception,
    impairment::{Chance, Rules},
    scenario::{Kind, Plan, run},
    transfer::{Sender, Transfer},
};

const LEN: usize = 2_000_000;

/// What sender and receiver have counted, and frames on the sender's link, after a stream.
fn stream(card: Card, is_ipv6: bool, corruption: Chance) -> ([Stats; 2], u64) {
    let mut network = Network::new(1, Forwarding::Learning);
    let [receiver, sender] =
        [0, 1].map(|_| network.add_host(HostConfig { card, ..HostConfig::default() }));
    let delay = Duration::from_millis(1);
    network.set_rules(sender, Direction::Up, Rules { delay, corruption, ..Rules::default() });
    let address = match network.stack(receiver).ipv6().filter(|_| is_ipv6) {
        Some(ip) => (ip, 7).into(),
        None => std::net::SocketAddr::from(([10, 0, 0, 1], 7)),
    };
    let task = network.spawn(receiver, async move {
        let listener = TcpListener::bind(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (mut len, mut buffer) = (0, vec![0; 16 * 1024]);
        while let Ok(more @ 1..) = stream.read(&mut buffer).await {
            assert!(buffer[..more].iter().zip(len..).all(|(byte, at)| *byte == at as u8));
            len += more;
        }
        assert_eq!(len, LEN);
    });
    network.spawn(sender, async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let data: Vec<_> = (0..LEN).map(|at| at as u8).collect();
        stream.write_all(&data).await.unwrap();
        stream.shutdown(Shutdown::Write);
    });
    let deadline = Instant::ZERO + Duration::from_secs(60);
    assert_eq!(network.run(deadline, || task.is_finished()), Outcome::Done);
    // What is still under way arrives.
    network.run(network.now() + Duration::from_secs(5), || false);
    let stats = [sender, receiver].map(|host| network.stack(host).stats());
    (stats, network.impairment(sender, Direction::Up).counters().offered)
}

#[test]
fn hosts_see_fewer_frames_than_the_link() {
    for is_ipv6 in [true, false] {
        let ([sender, receiver], on_link) = stream(Card::able(), is_ipv6, Chance::NEVER);
        assert!(sender.frames_sent * 10 < on_link, "{} of {on_link}", sender.frames_sent);
        let received = receiver.frames_received;
        assert!(received * 10 < on_link, "{received} of {on_link}");
    }
    let ([sender, receiver], on_link) = stream(Card::default(), false, Chance::NEVER);
    assert_eq!(sender.frames_sent, on_link);
    assert_eq!(receiver.frames_received, on_link);
}

#[test]
fn a_card_does_what_it_says_and_no_more() {
    let cuts_v4 = Offloads { checksum: true, segmentation_v4: true, segmentation_v6: false };
    let card = Card { offloads: cuts_v4, ..Card::default() };
    for is_ipv6 in [true, false] {
        let ([sender, receiver], on_link) = stream(card, is_ipv6, Chance::NEVER);
        assert_eq!(sender.frames_sent == on_link, is_ipv6);
        assert_eq!(receiver.frames_received, on_link, "nothing is joined");
    }
}

#[test]
fn damaged_frames_are_found_whoever_looks() {
    for reception in [Reception::Plain, Reception::Verifying, Reception::Joining] {
        let card = Card { reception, ..Card::able() };
        let ([_, receiver], _) = stream(card, false, Chance::per_mille(20));
        assert!(receiver.dropped_tcp_checksum > 0, "{reception:?}");
    }
}

/// In a region that holds little, frames are cut short, and the host waits for room.
#[test]
fn a_small_region_is_enough() {
    let ([roomy, _], _) = stream(Card::able(), false, Chance::NEVER);
    let scarce = Card { tx_region: 6000, ..Card::able() };
    let ([scarce, _], on_link) = stream(scarce, false, Chance::NEVER);
    assert!(scarce.frames_sent > 5 * roomy.frames_sent && scarce.frames_sent < on_link);
}

/// On the wire nothing tells one card from another but the time that it saves the host.
#[test]
fn a_transfer_takes_as_long_with_every_card() {
    let took = |card| {
        let transfer = Transfer {
            seed: 1,
            len: 3_000_000,
            sender: Sender::Client,
            loss: Chance::per_mille(20),
            rtt: Duration::from_millis(20),
            rate: None,
            card,
            limit: Duration::from_secs(600),
        };
        sim::transfer::run(&transfer).expect("it arrives").took
    };
    let (plain, able) = (took(Card::default()).as_secs_f64(), took(Card::able()).as_secs_f64());
    assert!((plain / able - 1.0).abs() < 0.25, "{plain} s and {able} s");
}

#[test]
fn seeds_draw_every_kind_of_card() {
    let hosts: Vec<_> = (0..50).flat_map(|seed| Plan::draw(seed).hosts).collect();
    let any = |is: &dyn Fn(&Card) -> bool| hosts.iter().any(|host| is(&host.card));
    assert!(any(&|card| card.offloads == Offloads::default()));
    assert!(any(&|card| card.offloads == Card::able().offloads));
    assert!(any(&|card| card.offloads.checksum && !card.offloads.segmentation_v4));
    assert!(any(&|card| card.offloads.segmentation_v4 != card.offloads.segmentation_v6));
    for reception in [Reception::Plain, Reception::Verifying, Reception::Joining] {
        assert!(any(&|card| card.reception == reception));
    }
    // Whatever the card, a scenario is the same one again.
    let mut plan = Plan::single(1, Kind::Bulk { up: 300_000, down: 200_000 });
    plan.hosts.iter_mut().for_each(|host| host.card = Card::able());
    let reports = [run(&plan, &[]), run(&plan, &[])];
    assert!(reports[0].violations.is_empty(), "{:?}", reports[0].violations);
    assert_eq!(reports[0].trace, reports[1].trace);
}
