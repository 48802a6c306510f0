//! What an idle connection takes: bytes that the allocator has given out, and bytes of the budget.
//!
//! A binary of its own, because it counts what the whole process allocates.

use std::{net::SocketAddr, time::Duration};

use counting::live_bytes;
use netdev::cable::{CableEnd, cable};
use netstack::{
    Addressing, Config, Instant, Ipv4Config, ListenOptions, Next, Stack, TcpListener, TcpOptions,
    TcpStream,
};

mod counting;

/// Connections of either host. Tables double as they grow, so that their share of a connection
/// depends on this; a little more than a power of two is the worst.
const CONNECTIONS: usize = 2100;
/// 100,000 connections fit a machine of 512 MiB.
const BYTES_MAX: usize = (512 << 20) / 100_000;
/// The smallest buffers that can be set.
const BUFFER_LEN_MIN: usize = 512;

/// Two hosts on a cable, and the time.
struct Hosts {
    ends: [(Stack, CableEnd); 2],
    now: Instant,
}

impl Hosts {
    fn new() -> Self {
        let host = |last: u8, device: CableEnd| {
            let addressing = Addressing::Static(Ipv4Config {
                address: [10, 0, 0, last].into(),
                prefix_len: 24,
                gateway: None,
                dns: vec![],
            });
            let config = Config { addressing, seed: [last; 32], memory_limit: 1 << 30 };
            (Stack::new(&config, &device), device)
        };
        let (left, right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
        Hosts { ends: [host(1, left), host(2, right)], now: Instant::ZERO }
    }

    fn poll(&mut self) -> [Next; 2] {
        self.ends.each_mut().map(|(stack, end)| stack.poll(self.now, end, 64))
    }

    /// Polls both until `done`, a millisecond at a time.
    fn run_until(&mut self, mut done: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            let nexts = self.poll();
            if done() {
                return;
            }
            if !nexts.contains(&Next::Now) {
                self.now = self.now + Duration::from_millis(1);
            }
        }
        panic!("nothing more happens");
    }

    /// Lets a while pass, in which everything that is under way comes to an end.
    fn rest(&mut self) {
        let end = self.now + Duration::from_secs(2);
        while self.now < end {
            self.now = self.now + Duration::from_millis(1);
            self.poll();
        }
    }

    fn budget_used(&self) -> u64 {
        self.ends.iter().map(|(stack, _)| stack.stats().memory_used).sum()
    }

    /// A connection over which one request has been echoed.
    fn echo(&mut self, listener: &TcpListener, options: &TcpOptions) -> [TcpStream; 2] {
        let stack = &self.ends[1].0;
        let client = TcpStream::connect_with(stack, None, listener.local_addr(), options).unwrap();
        let mut server = None;
        self.run_until(|| {
            server = server.take().or_else(|| listener.try_accept().ok());
            server.is_some() && client.try_connected().is_ok()
        });
        let server = server.expect("just accepted");
        for (from, to) in [(&client, &server), (&server, &client)] {
            from.try_write(b"hello").unwrap();
            self.run_until(|| to.try_read(&mut [0; 64]) == Ok(5));
        }
        self.run_until(|| client.unacknowledged() + server.unacknowledged() == 0);
        [client, server]
    }
}

/// Bytes of the allocator and of the budget that each end of an idle connection takes.
fn measure(connection: TcpOptions) -> (usize, usize) {
    let mut hosts = Hosts::new();
    let local = SocketAddr::from(([10, 0, 0, 1], 80));
    let options = ListenOptions { connection, ..ListenOptions::default() };
    let listener = TcpListener::bind_with(&hosts.ends[0].0, local, 16, &options).unwrap();
    // Finds the neighbours, and has the cable's queues grow.
    drop(hosts.echo(&listener, &connection));
    hosts.rest();
    let mut streams = Vec::with_capacity(CONNECTIONS);
    let (live, used) = (live_bytes(), hosts.budget_used());
    streams.extend((0..CONNECTIONS).map(|_| hosts.echo(&listener, &connection)));
    hosts.rest();
    let ends = 2 * CONNECTIONS;
    let (live, used) = (live_bytes() - live, hosts.budget_used() - used);
    (live / ends, used as usize / ends)
}

#[test]
fn a_hundred_thousand_idle_connections_fit_half_a_gigabyte() {
    let smallest = TcpOptions {
        send_buffer_len: BUFFER_LEN_MIN,
        receive_buffer_len: BUFFER_LEN_MIN,
        ..TcpOptions::default()
    };
    for (buffers, options) in [("the smallest", smallest), ("default", TcpOptions::default())] {
        let (allocated, budgeted) = measure(options);
        println!("{buffers} buffers: {allocated} bytes allocated, {budgeted} of the budget");
        assert!(allocated <= BYTES_MAX && budgeted <= BYTES_MAX);
        assert!(allocated <= budgeted, "the budget does not count all of it");
    }
}
