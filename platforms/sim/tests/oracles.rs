//! Scenarios that are wrong on purpose: every oracle can fail.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use netasync::{TcpListener, TcpStream, sleep, yield_now};
use netstack::Instant;
use sim::{
    Direction, Forwarding, HostConfig, Network, Outcome, check_plan,
    impairment::{Outage, Rate, Rules},
    scenario::{Kind, Plan, run},
};

/// Everything that is found wrong with a workload, in one text.
fn violations(kind: Kind) -> String {
    let violations = run(&Plan::single(1, kind), &[]).violations;
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn seconds(secs: u64) -> Instant {
    millis(secs * 1_000)
}

fn millis(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// Two hosts: a server, then a client.
fn pair() -> Network {
    let mut network = Network::new(1, Forwarding::Learning);
    network.add_host(HostConfig::default());
    network.add_host(HostConfig::default());
    network.heal(Duration::from_micros(10));
    network
}

#[test]
fn good_workloads_are_not_complained_about() {
    let pause = Duration::from_millis(5);
    for kind in [
        Kind::Bulk { up: 300_000, down: 200_000 },
        Kind::Impatient { up: 300_000, down: 200_000 },
        Kind::HalfClose { up: 200_000, down: 100_000, pause },
        Kind::Echo { rounds: 50, len_max: 5000 },
        Kind::Short { count: 100, at_once: 20 },
        Kind::Restarts { count: 20, restarts: 3 },
        Kind::Aborts { count: 20 },
        Kind::Dropped { count: 20 },
        Kind::Refused,
        Kind::Nobody,
        Kind::Datagrams { count: 20, len_max: 9000 },
    ] {
        assert_eq!(violations(kind), "", "{kind:?}");
    }
}

#[test]
fn other_bytes_than_were_sent_are_found() {
    assert!(violations(Kind::Lying).contains("wrong bytes in 100 from 0 on"));
}

#[test]
fn a_workload_that_does_not_end_is_found() {
    let found = violations(Kind::Mute);
    assert!(found.contains("not finished in time: [Mute]"), "{found}");
    assert!(found.contains("1 connections are still being served"), "{found}");
}

#[test]
fn a_deadlock_is_found() {
    assert!(violations(Kind::Forlorn).contains("a deadlock: [Forlorn] wait for ever"));
}

#[test]
fn a_leaked_connection_is_found() {
    let found = violations(Kind::Hoarding);
    assert!(found.contains("host 0: tcp_open is 1 after the end"), "{found}");
    assert!(found.contains("host 0: memory_used is"), "{found}");
}

#[test]
fn a_busy_task_is_found() {
    assert!(violations(Kind::Busy).contains("turns and polls too many in a second"));
}

#[test]
fn a_failure_leaves_its_packets_and_says_how_to_repeat_it() {
    let folder = std::env::temp_dir().join(format!("sim-oracles-{}", std::process::id()));
    let failure = check_plan(&Plan::single(77, Kind::Lying), &folder).unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("seed 77 failed") && text.contains("make sim SEED=77"), "{text}");
    for host in 0..2 {
        let file = fs::read(folder.join(format!("77-{host}.pcap"))).unwrap();
        assert_eq!(file[..4], 0xa1b2_c3d4_u32.to_le_bytes());
        assert!(file.len() > 500);
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn hosts_that_spin_are_found() {
    let mut network = pair();
    network.spawn(0, async {
        loop {
            yield_now().await;
        }
    });
    assert_eq!(network.run(seconds(1), || false), Outcome::Spinning);
}

#[test]
fn a_host_that_misses_a_call_is_found() {
    let mut network = pair();
    let task = network.spawn(1, sleep_for(60_000));
    // Until addresses have been announced, which would turn the host.
    assert_eq!(network.run(seconds(10), || task.is_finished()), Outcome::Deadline);
    // Nobody tells the network that the host has something to send.
    let stack = network.stack(1).clone();
    let _stream = netstack::TcpStream::connect(&stack, None, "10.0.0.1:7".parse().unwrap());
    // A probe comes once in eight rests: enough of them for one.
    for tick in 0..100 {
        network.spawn(0, sleep_for(tick));
    }
    assert_eq!(network.run(seconds(30), || false), Outcome::LostWakeup(1));
}

async fn sleep_for(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

#[test]
fn a_partition_cuts_and_heals() {
    let mut network = pair();
    let outage = Outage { from: seconds(0), until: seconds(5) };
    network.partition(sim::Partition { outage, hosts: vec![0] });
    let connected = Arc::new(AtomicBool::new(false));
    let flag = connected.clone();
    network.spawn(0, async {
        let listener = TcpListener::bind("10.0.0.1:7").await.unwrap();
        let _stream = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    network.spawn(1, async move {
        let _stream = TcpStream::connect("10.0.0.1:7").await.unwrap();
        flag.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    });
    let is_connected = || connected.load(Ordering::Relaxed);
    assert_eq!(network.run(seconds(5), is_connected), Outcome::Deadline);
    assert_eq!(network.run(seconds(20), is_connected), Outcome::Done);
}

#[test]
fn the_lanes_of_a_link_have_rules_of_their_own() {
    let mut network = pair();
    let delay = Duration::from_secs(2);
    network.set_rules(1, Direction::Up, Rules { delay, ..Rules::default() });
    let refused = Arc::new(AtomicBool::new(false));
    let flag = refused.clone();
    network.spawn(1, async move {
        flag.store(TcpStream::connect("10.0.0.1:9").await.is_err(), Ordering::Relaxed);
    });
    let is_refused = || refused.load(Ordering::Relaxed);
    // Only the SYN is late, not its answer.
    assert_eq!(network.run(millis(1_900), is_refused), Outcome::Deadline);
    assert_eq!(network.run(millis(2_100), is_refused), Outcome::Done);
}

/// Acknowledgements must be acceptable while the peer's window is closed and probed.
#[test]
fn a_client_that_reads_late_gets_everything() {
    let mut plan = Plan::single(1, Kind::Stubborn { up: 400_000, down: 200_000 });
    // No faults: a line slow enough for the server to probe the closed window meanwhile.
    plan.hosts[0].up.rate = Some(Rate { bits_per_second: 1_000_000, queue_bytes: 1 << 20 });
    plan.heal_at = seconds(60);
    let violations = run(&plan, &[]).violations;
    assert!(violations.is_empty(), "{violations:?}");
}
