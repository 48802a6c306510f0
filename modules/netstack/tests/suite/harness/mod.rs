//! Hosts on a simulated link in virtual time.
//!
//! A host is polled when its own stack asks for it and at no other time: at the instant that
//! [`Next`] names, when a frame has arrived, or when an application call has woken the poller. So a
//! stack that forgets to ask hangs here, and one that asks without need fails an assertion.

pub(crate) mod apps;
pub(crate) mod bench;
pub(crate) mod card;
pub(crate) mod link;
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use netdev::{Device, MacAddress, RxOffload};
use netstack::{Addressing, Config, Instant, Ipv4Config, Next, Stack, Stats};

use self::{
    card::{Card, PLAIN, Request},
    link::Link,
};

pub(crate) const MTU: usize = 1500;
/// Frames that a host takes and sends in one turn.
const BUDGET: usize = 64;
/// Turns in a row that may say "at once" and then do nothing.
const FRUITLESS_TURNS_MAX: usize = 4;
/// Turns per second that may do nothing because a timer fired early, with a handful of flows.
const FRUITLESS_TURNS_PER_SECOND_MAX: u64 = 40;

/// What a host has by default: more than any test needs.
pub(crate) const AMPLE_MEMORY: usize = 64 << 20;

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    pub(crate) fn new() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell::default());
        (bell.clone(), bell.into())
    }

    /// How often it rang since the last look.
    pub(crate) fn rings(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// 10.0.0.`last` with the given port.
pub(crate) fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], port))
}

pub(crate) fn mac(last: u8) -> MacAddress {
    [2, 0, 0, 0, 0, last]
}

/// The configuration of the host 10.0.0.`last`/24.
pub(crate) fn config(last: u8) -> Config {
    Config {
        addressing: Addressing::Static(Ipv4Config {
            address: [10, 0, 0, last].into(),
            prefix_len: 24,
            gateway: None,
            dns: vec![],
        }),
        seed: [last; 32],
        memory_limit: AMPLE_MEMORY,
    }
}

/// A stack, its device and whoever polls it.
pub(crate) struct Host {
    pub(crate) stack: Stack,
    pub(crate) card: Card,
    /// What the host has handed to its card since the last look, if wanted.
    handed: Option<Vec<Request>>,
    called: Arc<Bell>,
    next: Next,
    /// Turns that the host has had.
    pub(crate) turns: u64,
    fruitless_in_a_row: usize,
    fruitless: u64,
    fruitless_since: Instant,
    /// Turns per second that may do nothing.
    pub(crate) fruitless_max: u64,
}

impl Host {
    pub(crate) fn new(config: &Config, last: u8) -> Self {
        Self::with_card(config, Card::new(mac(last), PLAIN))
    }

    pub(crate) fn with_card(config: &Config, card: Card) -> Self {
        let stack = Stack::new(config, &card);
        let (called, waker) = Bell::new();
        stack.set_poller(&waker);
        Host {
            stack,
            card,
            handed: None,
            called,
            next: Next::Now,
            turns: 0,
            fruitless_in_a_row: 0,
            fruitless: 0,
            fruitless_since: Instant::ZERO,
            fruitless_max: FRUITLESS_TURNS_PER_SECOND_MAX,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stack.stats()
    }

    pub(crate) fn ip6(&self) -> IpAddr {
        self.stack.ipv6().expect("every interface has a link-local address").into()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.next {
            Next::At(deadline) => Some(deadline),
            Next::Now | Next::Idle => None,
        }
    }

    /// What the host has handed to its card since the last look, which is the first if there is none.
    pub(crate) fn take_handed(&mut self) -> Vec<Request> {
        self.handed.replace(Vec::new()).unwrap_or_default()
    }

    /// Puts a frame on the wire towards the host. Returns whether there was room for it.
    pub(crate) fn deliver(&mut self, frame: &[u8]) -> bool {
        self.card.deliver(frame, RxOffload::default())
    }

    /// Pulls the plug, or puts it back: the card interrupts.
    pub(crate) fn set_link(&mut self, is_up: bool) {
        self.card.set_link(is_up);
        self.next = Next::Now;
    }

    /// Polls the host if something asks for it. Returns what it sent, or nothing if it slept.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<Vec<Vec<u8>>> {
        let has_frames = !self.card.unmask_interrupts();
        let was_called = self.called.rings() > 0;
        let is_due = self.next == Next::Now || self.deadline().is_some_and(|at| at <= now);
        if !(has_frames || was_called || is_due) {
            return None;
        }
        self.turns += 1;
        let looped = self.stats().packets_looped;
        self.next = self.stack.poll(now, &mut self.card, BUDGET);
        assert!(self.deadline().is_none_or(|at| at > now), "a deadline that has passed");
        let requests = self.card.take();
        let sent: Vec<_> = requests.iter().flat_map(Request::frames).collect();
        self.handed.iter_mut().for_each(|handed| handed.extend(requests.iter().cloned()));
        let has_looped = self.stats().packets_looped > looped;
        self.judge(now, has_frames || was_called || has_looped || !sent.is_empty());
        Some(sent)
    }

    fn judge(&mut self, now: Instant, was_fruitful: bool) {
        if now - self.fruitless_since >= Duration::from_secs(1) {
            self.fruitless_since = now;
            self.fruitless = 0;
        }
        if was_fruitful {
            self.fruitless_in_a_row = 0;
            return;
        }
        self.fruitless += 1;
        self.fruitless_in_a_row += usize::from(self.next == Next::Now);
        assert!(self.fruitless_in_a_row <= FRUITLESS_TURNS_MAX, "the stack spins");
        assert!(self.fruitless <= self.fruitless_max, "the stack is polled in vain");
    }
}

/// Two hosts, 10.0.0.1 and 10.0.0.2, on a link.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) hosts: [Host; 2],
    pub(crate) link: Link,
    /// Frames on their way, by arrival: to which host, and what.
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
}

/// The index of 10.0.0.1 in [`Net::hosts`], by convention the server.
pub(crate) const SERVER: usize = 0;
/// The index of 10.0.0.2, by convention the client.
pub(crate) const CLIENT: usize = 1;

impl Net {
    pub(crate) fn new(link: Link) -> Self {
        Self::with_configs(&config(1), &config(2), link)
    }

    pub(crate) fn with_configs(server: &Config, client: &Config, link: Link) -> Self {
        Net {
            now: Instant::ZERO,
            hosts: [Host::new(server, 1), Host::new(client, 2)],
            link,
            flying: BTreeMap::new(),
            sent: 0,
        }
    }

    pub(crate) fn server(&self) -> Stack {
        self.hosts[SERVER].stack.clone()
    }

    pub(crate) fn client(&self) -> Stack {
        self.hosts[CLIENT].stack.clone()
    }

    fn launch(&mut self, from: usize, frame: Vec<u8>) {
        for (delay, frame) in self.link.carry(self.now, from, frame) {
            self.sent += 1;
            self.flying.insert((self.now + delay, self.sent), (1 - from, frame));
        }
    }

    /// Whatever is to happen at this instant. Returns whether anything was.
    fn settle(&mut self) -> bool {
        let mut happened = false;
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            let (to, frame) = entry.get();
            if !self.hosts[*to].deliver(frame) {
                break;
            }
            entry.remove();
            happened = true;
        }
        for from in [SERVER, CLIENT] {
            for frame in self.hosts[from].turn(self.now).into_iter().flatten() {
                self.launch(from, frame);
                happened = true;
            }
            happened |= self.hosts[from].next == Next::Now;
        }
        happened
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let deadlines = self.hosts.iter().filter_map(Host::deadline);
        deadlines.chain(arrival).min()
    }

    /// One event, not later than `end`. Returns false when there is none.
    fn step(&mut self, end: Instant) -> bool {
        if self.settle() {
            return true;
        }
        match self.next_event() {
            Some(at) if at <= end => {
                self.now = self.now.max(at);
                true
            }
            _ => false,
        }
    }

    /// Runs until `done`, which plays the applications and is asked after every event.
    ///
    /// Panics when that takes longer than `limit` of virtual time, or when nothing is left to happen.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut() -> bool) {
        let end = self.now + limit;
        while !done() {
            // What `done` called may have woken a poller, so a step that finds nothing is no proof.
            assert!(self.step(end) || self.settle() || done(), "nothing more happens");
        }
    }

    /// Runs for a time.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs for long enough for a few round trips, and for less than a retransmission.
    pub(crate) fn run_briefly(&mut self) {
        self.run_for(Duration::from_millis(30));
    }

    /// How many turns the hosts have had since the last look.
    pub(crate) fn turns(&mut self) -> [u64; 2] {
        self.hosts.each_mut().map(|host| std::mem::take(&mut host.turns))
    }
}
