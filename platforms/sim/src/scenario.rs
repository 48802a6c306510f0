//! Random scenarios: what a seed draws, how it runs, and what must hold.
//!
//! A scenario has three parts: faults, with workloads; healing, after which every workload must
//! come to its end; and quiet, after which nothing may be left.

mod client;
mod content;
mod datagrams;
mod ledger;
mod plan;
mod server;
mod wire;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use netasync::JoinHandle;
use netstack::{Instant, Stats, TcpListener, UdpSocket};

pub use content::{Content, Digest};
pub use ledger::{Totals, Violation};
pub use plan::{HostPlan, Kind, Plan, Workload};

use self::{
    client::Client,
    datagrams::{Requester, unspecified},
    ledger::Ledger,
    server::Server,
};
use crate::{
    activity::Activity,
    capture::Capture,
    network::{Direction, HostConfig, HostId, Network, Outcome},
    rng::Rng,
};

/// How soon after healing every workload must have ended. The longest silence is a retransmission
/// timeout that has backed off to 12 s, or a connection attempt of 30 s that began during an outage
/// and is made once more.
const LIVENESS: Duration = Duration::from_secs(90);
/// How long anything may take to be forgotten: an ownerless connection's 300 s, and TIME-WAIT.
const QUIET: Duration = Duration::from_secs(330);
/// A frame's way to the switch once faults have ended.
const HEALED_DELAY: Duration = Duration::from_micros(50);

/// Turns per second in which nothing may be done, for timers that fire early.
const FRUITLESS_TURNS_MAX: u64 = 400;
/// Turns and polls per second, beyond those that frames explain.
const EXCESS_MAX: u64 = 1000;

/// The first server's port; each workload has one of its own.
const PORT: u16 = 1000;
/// Streams of the seed's random numbers, for clients and servers.
const STREAM_CLIENTS: u64 = 1 << 8;
const STREAM_SERVERS: u64 = 1 << 16;

/// How a scenario went.
#[derive(Debug, Clone)]
pub struct Report {
    /// What must not have happened; empty if all is well.
    pub violations: Vec<Violation>,
    /// A hash of every frame with its time.
    pub trace: u64,
    /// What was achieved.
    pub totals: Totals,
    /// How long it took, in virtual time.
    pub ended: Instant,
    /// The busiest second of any host.
    pub activity: Activity,
}

/// Runs a scenario. Host `n`'s frames are kept in `captures[n]`, if there is one.
pub fn run(plan: &Plan, captures: &[Capture]) -> Report {
    let mut scenario = Scenario::new(plan, captures);
    scenario.work(plan);
    scenario.rest();
    scenario.report()
}

struct Scenario {
    seed: u64,
    network: Network,
    ledger: Ledger,
    servers: Vec<(HostId, JoinHandle<()>)>,
    ports: Vec<(HostId, SocketAddr)>,
    baseline: Vec<Stats>,
}

impl Scenario {
    fn new(plan: &Plan, captures: &[Capture]) -> Self {
        let network = build(plan, captures);
        let baseline = (0..plan.hosts.len()).map(|host| network.stack(host).stats()).collect();
        let mut scenario = Scenario {
            seed: plan.seed,
            network,
            ledger: Ledger::default(),
            servers: vec![],
            ports: vec![],
            baseline,
        };
        for (number, workload) in plan.workloads.iter().enumerate() {
            scenario.start(number, workload);
        }
        scenario
    }

    fn start(&mut self, number: usize, workload: &Workload) {
        let &Workload { client, server, is_ipv6, start, kind } = workload;
        let port = PORT + number as u16;
        let ip = match kind {
            Kind::Nobody => Ipv4Addr::new(10, 0, 0, 254).into(),
            _ if is_ipv6 => self.network.stack(server).ipv6().map_or(self.ipv4(server), Into::into),
            _ => self.ipv4(server),
        };
        let remote = SocketAddr::new(ip, port);
        if !matches!(kind, Kind::Nobody | Kind::Refused) {
            // Half of the servers have a wildcard for an address.
            let local = if number.is_multiple_of(2) { unspecified(remote, port) } else { remote };
            self.start_server(server, local, kind);
        }
        self.ledger.began(number as u64);
        let rng = Rng::new(self.seed, STREAM_CLIENTS + number as u64);
        let (ledger, workload) = (self.ledger.clone(), number as u64);
        if let Kind::Datagrams { count, len_max } = kind {
            let client_task = Requester { ledger, rng, workload, server: remote, count, len_max };
            self.network.spawn(client, client_task.run(start));
        } else {
            let meter = self.network.meter(client);
            let client_task =
                Client { ledger, meter, rng, workload, server: remote, kind, opened: 0 };
            self.network.spawn(client, client_task.run(start));
        }
    }

    fn start_server(&mut self, host: HostId, local: SocketAddr, kind: Kind) {
        let ledger = self.ledger.clone();
        let task = if matches!(kind, Kind::Datagrams { .. }) {
            self.network.spawn(host, datagrams::answer(ledger, local))
        } else {
            let rng = Rng::new(self.seed, STREAM_SERVERS + u64::from(local.port()));
            let meter = self.network.meter(host);
            let server = Server { ledger, meter, rng, local, kind };
            self.network.spawn(host, server.run())
        };
        self.servers.push((host, task));
        self.ports.push((host, local));
    }

    fn ipv4(&self, host: HostId) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, host as u8 + 1).into()
    }

    /// Faults, and what comes after them until the workloads have ended.
    fn work(&mut self, plan: &Plan) {
        let ledger = self.ledger.clone();
        let mut outcome = self.network.run(plan.heal_at, || ledger.is_finished());
        self.network.heal(HEALED_DELAY);
        if outcome == Outcome::Deadline {
            outcome = self.network.run(plan.heal_at + LIVENESS, || ledger.is_finished());
        }
        let unfinished = self.ledger.unfinished();
        let kinds: Vec<_> =
            unfinished.iter().map(|&number| plan.workloads[number as usize].kind).collect();
        match outcome {
            Outcome::Done => {}
            Outcome::Idle => self.ledger.violation(format!("a deadlock: {kinds:?} wait for ever")),
            Outcome::Deadline => self.ledger.violation(format!("not finished in time: {kinds:?}")),
            Outcome::Spinning => self.ledger.violation("hosts spin while time stands still"),
            Outcome::LostWakeup(host) => {
                self.ledger.violation(format!("host {host} slept with something to do"));
            }
        }
    }

    /// Stops the servers and waits until nothing happens any more.
    fn rest(&mut self) {
        for (host, task) in self.servers.drain(..) {
            self.network.abort(host, task);
        }
        let end = self.network.now() + QUIET;
        match self.network.run(end, || false) {
            Outcome::Idle => {}
            Outcome::LostWakeup(host) => {
                self.ledger.violation(format!("host {host} slept with something to do"));
            }
            outcome => self.ledger.violation(format!("no rest after the end: {outcome:?}")),
        }
    }

    fn report(&self) -> Report {
        for host in 0..self.network.host_count() {
            self.check_gauges(host);
        }
        self.check_ports();
        let (totals, mut violations) = self.ledger.close();
        violations.extend(self.check_activity());
        Report {
            violations,
            trace: self.network.trace_hash(),
            totals,
            ended: self.network.now(),
            activity: self.activity(),
        }
    }

    fn check_gauges(&self, host: HostId) {
        let (before, after) =
            (gauges(&self.baseline[host]), gauges(&self.network.stack(host).stats()));
        for ((name, before), (_, after)) in before.into_iter().zip(after) {
            if before != after {
                self.ledger.violation(format!("host {host}: {name} is {after} after the end"));
            }
        }
    }

    /// Every port that was used can be used again.
    fn check_ports(&self) {
        for &(host, local) in &self.ports {
            let stack = self.network.stack(host);
            let tcp = TcpListener::bind(stack, local, 1).map(drop);
            let udp = UdpSocket::bind(stack, local).map(drop);
            if tcp.and(udp).is_err() {
                self.ledger.violation(format!("host {host}: {local} is still taken"));
            }
        }
    }

    fn activity(&self) -> Activity {
        let hosts = (0..self.network.host_count()).map(|host| self.network.activity(host));
        hosts.fold(Activity::default(), |one, other| Activity {
            fruitless_turns: one.fruitless_turns.max(other.fruitless_turns),
            excess: one.excess.max(other.excess),
            frames: one.frames.max(other.frames),
        })
    }

    fn check_activity(&self) -> Vec<Violation> {
        let Activity { fruitless_turns, excess, .. } = self.activity();
        let limits = [
            ("turns in vain", fruitless_turns, FRUITLESS_TURNS_MAX),
            ("turns and polls too many", excess, EXCESS_MAX),
        ];
        let broken = limits.into_iter().filter(|(_, count, limit)| count > limit);
        broken
            .map(|(what, count, _)| Violation::new(format!("{count} {what} in a second")))
            .collect()
    }
}

fn build(plan: &Plan, captures: &[Capture]) -> Network {
    let mut network = Network::new(plan.seed, plan.forwarding);
    for (number, host) in plan.hosts.iter().enumerate() {
        let &HostPlan { rx_ring, tx_ring, card, memory_limit, .. } = host;
        let capture = captures.get(number).cloned();
        let config =
            HostConfig { rx_ring, tx_ring, card, memory_limit, capture, ..Default::default() };
        let id = network.add_host(config);
        network.set_rules(id, Direction::Up, host.up.clone());
        network.set_rules(id, Direction::Down, host.down.clone());
    }
    plan.partitions.iter().cloned().for_each(|partition| network.partition(partition));
    network
}

/// What a stack holds, by name: when all has ended, what it held before it began.
pub fn gauges(stats: &Stats) -> Vec<(&'static str, u64)> {
    const GAUGES: [&str; 8] = [
        "tcp_open",
        "tcp_backlog",
        "tcp_half_open",
        "tcp_orphans",
        "tcp_time_wait",
        "tcp_listeners",
        "udp_sockets",
        "memory_used",
    ];
    stats.iter().filter(|(name, _)| GAUGES.contains(name)).collect()
}
