//! Bulk transfer: what is written arrives, whatever the link does.

use std::time::Duration;

use netstack::{Interest, Shutdown, TcpStream};

use crate::harness::{
    Bell, CLIENT, Net, SERVER,
    apps::{Outcome, Transfer, drain, noise, pair, pour},
    link::{Faults, Link},
};

const MEGABYTE: usize = 1_000_000;

/// Sends `len` bytes each way at once and checks every one of them.
fn exchange(net: &mut Net, len: usize, limit: Duration) {
    let (server, client) = pair(net);
    let (up, down) = (noise(len, 1), noise(len, 2));
    let mut at_server = Transfer::new(&server, &down);
    let mut at_client = Transfer::new(&client, &up);
    net.run_until(limit, || at_server.advance() & at_client.advance());
    assert_eq!(at_server.outcome, Some(Outcome::EndOfStream));
    assert_eq!(at_client.outcome, Some(Outcome::EndOfStream));
    assert!(at_server.received == up, "the server received something else");
    assert!(at_client.received == down, "the client received something else");

    drop((server, client));
    net.run_for(Duration::from_secs(400));
    for host in &net.hosts {
        let stats = host.stats();
        assert_eq!((stats.memory_used, stats.tcp_orphans, stats.tcp_time_wait), (0, 0, 0));
    }
}

fn lossy(per_mille: u32, seed: u64) -> Net {
    Net::new(Link::faulty(Faults::all(per_mille), seed))
}

#[test]
fn ten_megabytes_each_way() {
    let mut net = Net::new(Link::perfect());
    exchange(&mut net, 10 * MEGABYTE, Duration::from_secs(60));
}

#[test]
fn ten_megabytes_each_way_with_one_percent_of_every_fault() {
    exchange(&mut lossy(10, 1), 10 * MEGABYTE, Duration::from_secs(600));
}

#[test]
fn megabytes_each_way_with_five_percent_of_every_fault() {
    for seed in 0..6 {
        exchange(&mut lossy(50, seed), 2 * MEGABYTE, Duration::from_secs(400));
    }
}

#[test]
fn a_simulation_repeats_to_the_bit() {
    let run = || {
        let mut net = lossy(30, 9);
        net.link.record();
        exchange(&mut net, MEGABYTE / 10, Duration::from_secs(600));
        net.link.recorded().into_iter().map(|sent| (sent.at, sent.frame)).collect::<Vec<_>>()
    };
    assert!(run() == run());
}

/// The window closes and opens again all the time (RFC 9293 section 3.8.6).
#[test]
fn a_slow_reader_gets_everything() {
    for per_mille in [0, 20] {
        let mut net = lossy(per_mille, 4);
        let (server, client) = pair(&mut net);
        let data = noise(300_000, 3);
        let mut rest = &data[..];
        let (mut received, mut buffer) = (Vec::new(), [0; 100]);
        while received.len() < data.len() {
            pour(&client, &mut rest);
            if let Ok(len) = server.try_read(&mut buffer) {
                received.extend_from_slice(&buffer[..len]);
            }
            net.run_for(Duration::from_micros(100));
            assert!(net.now.micros() < 300_000_000, "it stalls at {}", received.len());
        }
        assert!(received == data);
    }
}

/// RFC 9293 section 3.8.6.1: the sender of a zero window's peer probes, and learns of its reopening
/// even if the announcement is lost.
#[test]
fn a_lost_window_update_does_not_stall_for_ever() {
    let mut net = Net::new(Link::perfect());
    let (server, client) = pair(&mut net);
    let data = noise(1_600_000, 5);
    let mut rest = &data[..];
    for _ in 0..20 {
        pour(&client, &mut rest);
        net.run_for(Duration::from_millis(50));
    }
    assert_eq!(client.unacknowledged(), 256 * 1024, "both buffers are full");
    net.run_for(Duration::from_secs(300));
    assert_eq!(drain(&client, &mut Vec::new()), None, "a peer that answers probes is alive");

    let mut received = Vec::new();
    net.link.filter(|sent| sent.from != SERVER);
    drain(&server, &mut received);
    net.run_briefly();
    net.link.mend();
    net.run_until(Duration::from_secs(120), || {
        pour(&client, &mut rest);
        drain(&server, &mut received);
        received.len() == data.len()
    });
    assert!(received == data);
}

/// Applications that do nothing until a waker rings: one that is lost stops them.
#[test]
fn no_wakeup_is_lost() {
    struct End {
        stream: TcpStream,
        bell: std::sync::Arc<Bell>,
        waker: std::task::Waker,
        rest: usize,
        received: usize,
        is_over: bool,
    }
    impl End {
        fn new(stream: TcpStream) -> Self {
            let (bell, waker) = Bell::new();
            waker.wake_by_ref();
            End { stream, bell, waker, rest: 500_000, received: 0, is_over: false }
        }
        fn advance(&mut self) {
            if self.bell.rings() == 0 {
                return;
            }
            self.stream.register(Interest::Read, &self.waker);
            self.stream.register(Interest::Write, &self.waker);
            let data = vec![1; self.rest];
            let mut unsent = &data[..];
            pour(&self.stream, &mut unsent);
            if unsent.is_empty() && self.rest > 0 {
                self.stream.shutdown(Shutdown::Write);
            }
            self.rest = unsent.len();
            let mut heard = Vec::new();
            self.is_over = drain(&self.stream, &mut heard).is_some();
            self.received += heard.len();
        }
    }
    for per_mille in [0, 20] {
        let mut net = lossy(per_mille, 6);
        let (server, client) = pair(&mut net);
        let (mut server, mut client) = (End::new(server), End::new(client));
        net.run_until(Duration::from_secs(300), || {
            server.advance();
            client.advance();
            server.is_over && client.is_over
        });
        assert_eq!((server.received, client.received), (500_000, 500_000));
    }
}

#[test]
fn many_connections_share_a_lossy_link() {
    let mut net = lossy(20, 7);
    let pairs: Vec<_> = (0..20).map(|_| pair(&mut net)).collect();
    let data: Vec<_> = (0..20).map(|seed| noise(50_000, seed)).collect();
    let mut ends: Vec<_> = pairs
        .iter()
        .zip(&data)
        .flat_map(|((server, client), data)| {
            [Transfer::new(server, data), Transfer::new(client, data)]
        })
        .collect();
    net.run_until(Duration::from_secs(600), || {
        ends.iter_mut().fold(true, |all, end| end.advance() & all)
    });
    for (end, data) in ends.iter().zip(data.iter().flat_map(|data| [data, data])) {
        assert!(end.received == *data);
    }
    assert_eq!(net.hosts[CLIENT].stats().tcp_timed_out, 0);
}
