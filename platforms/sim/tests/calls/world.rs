//! Runs an exchange as often as its call waits, and drops the call at another wait each time.

use std::{net::Ipv4Addr, pin::Pin, thread, time::Duration};

use netstack::{Instant, Stack, Want};
use sim::{
    Direction, Forwarding, HostConfig, HostId, Network, Outcome,
    impairment::{Chance, Rules},
};

use crate::probe::{Probe, Tasks, Wakers};

pub(crate) type Exchange = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A call, and an exchange in which it is made.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What runs on host 0, 10.0.0.1, until the exchange is over.
    pub(crate) peer: fn(Tasks) -> Exchange,
    /// What runs on host 1, 10.0.0.2, and makes the call.
    pub(crate) exchange: fn(Probe) -> Exchange,
    /// How often the call waits at least if nothing is lost; zero if it never does.
    pub(crate) waits_min: u64,
    /// Who may keep the waker of a dropped call until it is woken or its object goes: a stream or a
    /// handle that was polled through a reference cannot tell that nobody waits any more.
    pub(crate) keepers_max: usize,
}

/// Networks that lose frames; one more loses none.
const FAULTY_SEEDS: u64 = 3;

const SERVER: HostId = 0;
const CLIENT: HostId = 1;

const LIMIT: Duration = Duration::from_secs(300);
/// An ownerless connection's 300 s, and TIME-WAIT.
const QUIET: Duration = Duration::from_secs(330);
/// What one more call may take in a network without faults beside what all took before: half of a
/// retransmission timeout, so that no lost wakeup hides behind one.
const EXTRA: Duration = Duration::from_millis(100);
/// Names that may be looked up at a time.
const LOOKUPS_MAX: usize = 32;

/// Drops the case's call at every wait, one per run, in networks with and without faults.
pub(crate) fn check(case: &Case) {
    for seed in 0..=FAULTY_SEEDS {
        for wakers in [Wakers::Own, Wakers::OfTask] {
            let whole = Run { case, seed, wakers, drop_after: None }.check();
            assert!(seed > 0 || whole.waits >= case.waits_min, "{} waits", whole.waits);
            assert!(case.waits_min > 0 || whole.waits == 0, "{} waits", whole.waits);
            for wait in 1..=whole.waits {
                let run = Run { case, seed, wakers, drop_after: Some(wait) };
                let took = run.check().took;
                // The call is made twice, and what it waited for may come at another time.
                assert!(seed > 0 || took <= 2 * whole.took + EXTRA, "{run}: {took:?}");
            }
        }
    }
}

struct Run<'a> {
    case: &'a Case,
    /// Zero is the network without faults.
    seed: u64,
    wakers: Wakers,
    drop_after: Option<u64>,
}

#[derive(Debug)]
struct Report {
    waits: u64,
    took: Duration,
}

impl Run<'_> {
    fn check(&self) -> Report {
        let _context = Context(self.to_string());
        let mut network = self.network();
        let tasks = [SERVER, CLIENT].map(|host| Tasks::new(network.meter(host)));
        let probe = Probe::new(tasks[CLIENT].clone(), self.wakers, self.seed > 0, self.drop_after);
        let before = [SERVER, CLIENT].map(|host| sim::gauges(&network.stack(host).stats()));

        let peer = network.spawn(SERVER, (self.case.peer)(tasks[SERVER].clone()));
        let exchange = network.spawn(CLIENT, (self.case.exchange)(probe.clone()));
        let outcome = network.run(Instant::ZERO + LIMIT, || exchange.is_finished());
        assert_eq!(outcome, Outcome::Done);
        let took = network.now() - Instant::ZERO;
        assert_eq!(probe.is_dropped(), self.drop_after.is_some());
        let keepers = probe.keepers();
        assert!(keepers <= self.case.keepers_max, "{keepers} keep the dropped call's waker");

        network.abort(SERVER, peer);
        let end = network.now() + QUIET;
        assert_eq!(network.run(end, || false), Outcome::Idle, "at rest");
        let after = [SERVER, CLIENT].map(|host| sim::gauges(&network.stack(host).stats()));
        assert_eq!(before, after, "what the stacks hold, before and after");
        assert_eq!(tasks.map(|tasks| tasks.alive()), [0, 0], "tasks that have not ended");
        assert_eq!(probe.kept_wakers(), 0, "wakers that somebody keeps");
        check_lookups(network.stack(CLIENT));
        Report { waits: probe.waits(), took }
    }

    fn network(&self) -> Network {
        let mut network = Network::new(self.seed, Forwarding::Learning);
        for _ in [SERVER, CLIENT] {
            let name_servers = vec![Ipv4Addr::new(10, 0, 0, 1)];
            let host = network.add_host(HostConfig { name_servers, ..Default::default() });
            network.set_rules(host, Direction::Up, rules(self.seed > 0));
        }
        network
    }
}

impl std::fmt::Display for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Run { case, seed, wakers, drop_after } = self;
        write!(f, "{}, seed {seed}, wakers {wakers:?}, dropped after {drop_after:?}", case.name)
    }
}

/// Says where the panic of a task comes from.
struct Context(String);

impl Drop for Context {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("in {}", self.0);
        }
    }
}

fn rules(is_faulty: bool) -> Rules {
    let delay = Duration::from_millis(1);
    if !is_faulty {
        return Rules { delay, ..Rules::default() };
    }
    Rules {
        loss: Chance::per_mille(50),
        duplication: Chance::per_mille(20),
        reordering: Chance::per_mille(50),
        delay,
        lateness: Duration::from_millis(5),
        ..Rules::default()
    }
}

/// Every lookup that was dropped has made room.
fn check_lookups(stack: &Stack) {
    let lookups = (0..LOOKUPS_MAX).map(|_| stack.resolve("another.test", Want::Any));
    let refused = lookups.collect::<Vec<_>>().into_iter().filter(Result::is_err).count();
    assert_eq!(refused, 0, "lookups that are left");
}
