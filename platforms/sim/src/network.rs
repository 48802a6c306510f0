//! Hosts on a switch, and the event queue that drives time.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use netasync::{JoinHandle, Machine, Runner};
use netdev::pcap::Tap;
use netstack::{Addressing, Config, Instant, Ipv4Config, Next, Stack};

use crate::{
    activity::{Activity, ActivityLog},
    capture::{Capture, Recorder},
    clock::Clock,
    impairment::{Impairment, Outage, Rules},
    meter::Meter,
    nic::{Card, Nic, Port, nic},
    rng::Rng,
    switch::{Forwarding, Switch},
    trace::Trace,
};

/// Turns at one instant, of all hosts, after which they are taken to be in a loop.
const TURNS_PER_INSTANT_MAX: usize = 100_000;

/// Once in so many rests every host is turned without reason, to see whether it missed one.
const PROBE_ONE_IN: u64 = 8;

/// Streams of the network's random numbers. Links follow from here on, two per host.
const STREAM_NETWORK: u64 = 1 << 32;
const STREAM_LINKS: u64 = 2 << 32;
/// And cards from here on, one per host.
const STREAM_CARDS: u64 = 3 << 32;

/// A host's number on its network, from zero.
pub type HostId = usize;

/// What a host is made from.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Frames that the card holds for the host; what exceeds it is lost.
    pub rx_ring: usize,
    /// Frames that the card holds for the link; the host waits for room.
    pub tx_ring: usize,
    /// What the card does for the host.
    pub card: Card,
    /// The stack's memory budget in bytes.
    pub memory_limit: usize,
    /// Name servers, best first.
    pub name_servers: Vec<Ipv4Addr>,
    /// Where the host's frames are kept, if wanted.
    pub capture: Option<Capture>,
}

impl Default for HostConfig {
    fn default() -> Self {
        HostConfig {
            rx_ring: 256,
            tx_ring: 256,
            card: Card::default(),
            memory_limit: 16 << 20,
            name_servers: vec![],
            capture: None,
        }
    }
}

/// A direction of a host's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the host to the switch.
    Up,
    /// From the switch to the host.
    Down,
}

/// Why [`Network::run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The condition holds.
    Done,
    /// Time is up.
    Deadline,
    /// Nothing is ready, nothing is under way, no timer runs.
    Idle,
    /// Hosts are turned without end while time stands still.
    Spinning,
    /// The host slept although it had something to do.
    LostWakeup(HostId),
}

/// Some hosts that cannot reach the others for a time, nor be reached.
#[derive(Debug, Clone)]
pub struct Partition {
    /// When.
    pub outage: Outage,
    /// The hosts on one side.
    pub hosts: Vec<HostId>,
}

struct Host {
    runner: Runner<Tap<Nic, Recorder>>,
    port: Port,
    up: Lane,
    down: Lane,
    meter: Meter,
    activity: ActivityLog,
    next: Next,
    /// It must be turned: something outside of it has called it, or it may not sleep.
    is_called: bool,
}

/// One direction of a link.
struct Lane {
    impairment: Impairment,
    rng: Rng,
}

enum Place {
    Switch,
    Host,
}

/// A frame that arrives somewhere: for the switch by this host's port, or for this host.
struct Arrival {
    place: Place,
    port: usize,
    frame: Vec<u8>,
}

/// A network of hosts that live in virtual time.
pub struct Network {
    clock: Clock,
    rng: Rng,
    seed: u64,
    switch: Switch,
    hosts: Vec<Host>,
    partitions: Vec<Partition>,
    /// By time; the number keeps the order of equal ones.
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    launched: u64,
    trace: Trace,
}

impl Network {
    /// A network without hosts. Everything random about it follows from `seed`.
    pub fn new(seed: u64, forwarding: Forwarding) -> Self {
        Network {
            clock: Clock::default(),
            rng: Rng::new(seed, STREAM_NETWORK),
            seed,
            switch: Switch::new(forwarding),
            hosts: Vec::new(),
            partitions: Vec::new(),
            arrivals: BTreeMap::new(),
            launched: 0,
            trace: Trace::default(),
        }
    }

    /// One more host, with a link that carries everything at once. Number `n` has the address
    /// 10.0.0.`n + 1`/24.
    ///
    /// # Panics
    /// With more than 250 hosts.
    pub fn add_host(&mut self, config: HostConfig) -> HostId {
        let id = self.switch.add_port();
        let last = u8::try_from(id + 1).ok().filter(|&last| last <= 250).expect("a /24 is full");
        let HostConfig { rx_ring, tx_ring, card, .. } = config;
        let rng = Rng::new(self.seed, STREAM_CARDS + id as u64);
        let (nic, port) = nic([2, 0, 0, 0, 0, last], (rx_ring, tx_ring), card, rng);
        let recorder = Recorder { clock: self.clock.clone(), capture: config.capture };
        let stack = Config {
            addressing: Addressing::Static(Ipv4Config {
                address: [10, 0, 0, last].into(),
                prefix_len: 24,
                gateway: None,
                dns: config.name_servers,
            }),
            seed: self.rng.bytes(),
            memory_limit: config.memory_limit,
        };
        let lane = |number: usize| Lane {
            impairment: Impairment::default(),
            rng: Rng::new(self.seed, STREAM_LINKS + number as u64),
        };
        self.hosts.push(Host {
            runner: Runner::new(self.clock.clone(), Tap::new(nic, recorder), &stack),
            port,
            up: lane(2 * id),
            down: lane(2 * id + 1),
            meter: Meter::default(),
            activity: ActivityLog::default(),
            next: Next::Now,
            is_called: true,
        });
        id
    }

    /// Replaces the rules of one direction of a host's link.
    pub fn set_rules(&mut self, host: HostId, direction: Direction, rules: Rules) {
        self.lane(host, direction).impairment.set_rules(rules);
    }

    /// One direction of a host's link, for its rules and counters.
    pub fn impairment(&self, host: HostId, direction: Direction) -> &Impairment {
        match direction {
            Direction::Up => &self.hosts[host].up.impairment,
            Direction::Down => &self.hosts[host].down.impairment,
        }
    }

    /// Adds a partition.
    pub fn partition(&mut self, partition: Partition) {
        self.partitions.push(partition);
    }

    /// From now on every link carries everything, after `delay`, and no card pauses.
    pub fn heal(&mut self, delay: Duration) {
        self.partitions.clear();
        for host in &mut self.hosts {
            host.port.heal();
            for lane in [&mut host.up, &mut host.down] {
                lane.impairment.set_rules(Rules { delay, ..Rules::default() });
            }
        }
    }

    /// Runs `future` as a task of `host`.
    pub fn spawn<F>(&mut self, host: HostId, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let host = &mut self.hosts[host];
        host.is_called = true;
        host.runner.handle().spawn(host.meter.watch(future))
    }

    /// Stops a task of `host`: its future is dropped.
    pub fn abort<T>(&mut self, host: HostId, task: JoinHandle<T>) {
        self.hosts[host].is_called = true;
        task.abort();
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// How many hosts there are.
    pub fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// A host's stack. Whoever opens sockets on it from outside of the host's tasks must
    /// [`call`](Self::call) the host.
    pub fn stack(&self, host: HostId) -> &Stack {
        self.hosts[host].runner.handle().stack()
    }

    /// Turns a host once more, because something outside of it has changed.
    pub fn call(&mut self, host: HostId) {
        self.hosts[host].is_called = true;
    }

    /// Counts polls of a host's tasks: for those that its tasks spawn.
    pub fn meter(&self, host: HostId) -> Meter {
        self.hosts[host].meter.clone()
    }

    /// How busy a host has been.
    pub fn activity(&self, host: HostId) -> Activity {
        self.hosts[host].activity.worst()
    }

    /// Whether a host would sleep until somebody calls or writes.
    pub fn is_idle(&self, host: HostId) -> bool {
        self.hosts[host].next == Next::Idle
    }

    /// A hash of every frame so far, with times and places: equal for equal runs.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Runs until `is_done`, which is asked whenever all hosts would sleep, or until `deadline`.
    pub fn run(&mut self, deadline: Instant, mut is_done: impl FnMut() -> bool) -> Outcome {
        loop {
            if let Err(outcome) = self.settle() {
                return outcome;
            }
            if is_done() {
                return Outcome::Done;
            }
            match self.next_event() {
                None => return Outcome::Idle,
                Some(at) if at > deadline => {
                    self.clock.advance(deadline);
                    return Outcome::Deadline;
                }
                Some(at) => self.clock.advance(at),
            }
        }
    }

    fn lane(&mut self, host: HostId, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Up => &mut self.hosts[host].up,
            Direction::Down => &mut self.hosts[host].down,
        }
    }

    /// Whatever is to happen at this instant.
    fn settle(&mut self) -> Result<(), Outcome> {
        for _ in 0..TURNS_PER_INSTANT_MAX {
            self.deliver_due();
            (0..self.hosts.len()).for_each(|id| self.drain(id));
            let due = (0..self.hosts.len()).filter(|&id| self.is_due(id)).collect::<Vec<_>>();
            if !due.is_empty() {
                due.into_iter().for_each(|id| self.turn(id));
            } else if !self.has_arrival_due() {
                return self.probe();
            }
        }
        Err(Outcome::Spinning)
    }

    fn is_due(&self, id: HostId) -> bool {
        let host = &self.hosts[id];
        let by_time = match host.next {
            Next::Now => true,
            Next::At(at) => at <= self.now(),
            Next::Idle => false,
        };
        by_time || host.is_called || host.port.is_interrupted()
    }

    /// Turns a host, and puts on its link what its card takes at once.
    fn turn(&mut self, id: HostId) {
        let now = self.clock.now();
        let host = &mut self.hosts[id];
        let (frames, polls) = host.turn();
        host.activity.turned(now, frames, polls);
        // Now and then the card is done with something before the host asks for an interrupt.
        if self.rng.one_in(2) {
            self.drain(id);
        }
        self.hosts[id].rest();
        self.drain(id);
    }

    /// Puts on a host's link what its card takes now.
    fn drain(&mut self, id: HostId) {
        while let Some(frame) = self.hosts[id].port.take(self.clock.now()) {
            self.launch(id, Place::Switch, &frame);
        }
    }

    /// When all sleep: a turn that nobody asked for must find nothing to do.
    fn probe(&mut self) -> Result<(), Outcome> {
        if !self.rng.one_in(PROBE_ONE_IN) {
            return Ok(());
        }
        for id in 0..self.hosts.len() {
            let host = &mut self.hosts[id];
            let has_moved = host.turn() != (0, 0);
            host.rest();
            if has_moved || host.next == Next::Now || host.is_called {
                return Err(Outcome::LostWakeup(id));
            }
        }
        Ok(())
    }

    /// Sends a frame along one direction of a host's link.
    fn launch(&mut self, port: usize, place: Place, frame: &[u8]) {
        let now = self.clock.now();
        let host = &mut self.hosts[port];
        let lane = match place {
            Place::Switch => &mut host.up,
            Place::Host => &mut host.down,
        };
        let (impairment, rng) = (&mut lane.impairment, &mut lane.rng);
        let is_up = matches!(place, Place::Switch);
        for delivery in impairment.apply(frame, now, rng) {
            let place = if is_up { Place::Switch } else { Place::Host };
            self.launched += 1;
            let arrival = Arrival { place, port, frame: delivery.frame };
            self.arrivals.insert((delivery.at, self.launched), arrival);
        }
    }

    fn has_arrival_due(&self) -> bool {
        self.arrivals.first_key_value().is_some_and(|((at, _), _)| *at <= self.now())
    }

    fn deliver_due(&mut self) {
        while self.has_arrival_due()
            && let Some((_, arrival)) = self.arrivals.pop_first()
        {
            self.arrive(arrival);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let Arrival { place, port, frame } = arrival;
        match place {
            Place::Switch => {
                self.trace.frame(self.clock.now(), port, true, &frame);
                for to in self.switch.forward(port, &frame) {
                    if self.is_connected(port, to) {
                        self.launch(to, Place::Host, &frame);
                    }
                }
            }
            Place::Host => {
                self.trace.frame(self.clock.now(), port, false, &frame);
                self.hosts[port].port.deliver(frame);
            }
        }
    }

    fn is_connected(&self, from: HostId, to: HostId) -> bool {
        let now = self.clock.now();
        self.partitions
            .iter()
            .filter(|partition| partition.outage.covers(now))
            .all(|partition| partition.hosts.contains(&from) == partition.hosts.contains(&to))
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
        let deadlines = self.hosts.iter().filter_map(|host| match host.next {
            Next::At(at) => Some(at),
            Next::Now | Next::Idle => None,
        });
        let takes = self.hosts.iter().filter_map(|host| host.port.next_at());
        deadlines.chain(takes).chain(arrival).min()
    }
}

impl Host {
    /// Returns how many frames have moved, and how many polls of tasks that took.
    fn turn(&mut self) -> (u64, u64) {
        let ((taken, handed), polls) = (self.port.moved(), self.meter.polls());
        self.port.acknowledge();
        self.next = self.runner.turn();
        self.is_called = false;
        let (taken_now, handed_now) = self.port.moved();
        (taken_now - taken + handed_now - handed, self.meter.polls() - polls)
    }

    /// Has the card interrupt it when there is something to do, unless there is.
    fn rest(&mut self) {
        self.is_called |= self.next != Next::Now && !self.runner.may_sleep();
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Network { seed, hosts, arrivals, .. } = self;
        f.debug_struct("Network")
            .field("seed", seed)
            .field("now", &self.now())
            .field("hosts", &hosts.len())
            .field("arrivals", &arrivals.len())
            .finish_non_exhaustive()
    }
}
