//! Two runtimes on one cable, under a clock that only moves when both would sleep.

#![allow(dead_code, reason = "each test file uses its own part of the world")]

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use netasync::{Machine, Runner};
use netdev::cable::{CableEnd, cable};
use netstack::{Addressing, Config, Instant, Ipv4Config, Next};

/// Turns after which a test is taken to be stuck in a loop.
const TURNS_MAX: usize = 1_000_000;

#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Machine for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Only [`World::block_on_client`] sleeps; nothing but a timer can end that.
    fn sleep(&self, deadline: Option<Instant>, ready: &dyn Fn() -> bool) {
        assert!(!ready(), "asleep with something to do");
        let deadline = deadline.expect("deadlock: nothing is ready and no timer runs");
        self.0.fetch_max(deadline.micros(), Ordering::Relaxed);
    }
}

pub(crate) struct World {
    clock: Clock,
    pub(crate) server: Runner<CableEnd>,
    pub(crate) client: Runner<CableEnd>,
}

/// The server's address with `port`.
pub(crate) fn server_addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Clock::default();
        let (left, right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
        // The client asks the server for names, and the server nobody.
        let config = |last, dns: &[_]| Config {
            addressing: Addressing::Static(Ipv4Config {
                address: [10, 0, 0, last].into(),
                prefix_len: 24,
                gateway: None,
                dns: dns.to_vec(),
            }),
            seed: [last; 32],
            memory_limit: 16 << 20,
        };
        World {
            server: Runner::new(clock.clone(), left, &config(1, &[])),
            client: Runner::new(clock.clone(), right, &config(2, &[[10, 0, 0, 1].into()])),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Runs both to the end of the client's future. The server's task goes on beyond it.
    pub(crate) fn run<S, C>(&mut self, server: S, client: C) -> C::Output
    where
        S: Future<Output = ()> + Send + 'static,
        C: Future + Send + 'static,
        C::Output: Send,
    {
        self.server.handle().spawn(server);
        self.run_client(client)
    }

    /// Runs both to the ends of both futures.
    pub(crate) fn run_both<S, C>(&mut self, server: S, client: C)
    where
        S: Future<Output = ()> + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        let server = self.server.handle().spawn(server);
        self.run_client(client);
        self.turn_until(|| server.is_finished());
    }

    pub(crate) fn run_client<C>(&mut self, client: C) -> C::Output
    where
        C: Future + Send + 'static,
        C::Output: Send,
    {
        let result = Arc::new(std::sync::Mutex::new(None));
        let slot = result.clone();
        let task = self.client.handle().spawn(async move {
            let output = client.await;
            *slot.lock().unwrap() = Some(output);
        });
        self.turn_until(|| task.is_finished());
        result.lock().unwrap().take().expect("the client's task panicked")
    }

    fn turn_until(&mut self, is_over: impl Fn() -> bool) {
        for _ in 0..TURNS_MAX {
            if is_over() {
                return;
            }
            let rests = self.turn(&is_over);
            assert!(!rests || is_over(), "deadlock: nothing is ready, no timer runs");
        }
        panic!("no end after {TURNS_MAX} turns");
    }

    /// Runs the client alone, which sleeps by itself.
    pub(crate) fn block_on_client<F: Future>(&mut self, future: F) -> F::Output {
        self.client.block_on(future)
    }

    /// Runs the server alone, for as long as the clock shows less than `end`.
    pub(crate) fn run_server_until(&mut self, end: Instant) {
        for _ in 0..TURNS_MAX {
            match self.server.turn() {
                Next::Now => {}
                Next::At(deadline) if deadline < end => {
                    self.clock.0.fetch_max(deadline.micros(), Ordering::Relaxed);
                }
                _ => return,
            }
        }
        panic!("no rest after {TURNS_MAX} turns");
    }

    /// One turn of each; when both would sleep, no frame is under way and `is_over` says no, the
    /// clock moves on to the earlier deadline. Returns whether nothing will ever happen again.
    fn turn(&mut self, is_over: impl Fn() -> bool) -> bool {
        let before = self.frames_sent();
        let (server, client) = (self.server.turn(), self.client.turn());
        let is_busy = server == Next::Now || client == Next::Now || self.frames_sent() != before;
        if is_busy || is_over() {
            return false;
        }
        let deadlines = [server, client].into_iter().filter_map(|next| match next {
            Next::At(deadline) => Some(deadline.micros()),
            _ => None,
        });
        let deadline = deadlines.min();
        self.clock.0.fetch_max(deadline.unwrap_or(0), Ordering::Relaxed);
        deadline.is_none()
    }

    fn frames_sent(&self) -> u64 {
        let sent = |runner: &Runner<CableEnd>| runner.handle().stack().stats().frames_sent;
        sent(&self.server) + sent(&self.client)
    }
}
