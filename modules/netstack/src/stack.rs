//! The stack that applications and pollers share.

use alloc::sync::Arc;
use core::{fmt, net::Ipv6Addr, task::Waker};

use netdev::Device;
use smoltcp::wire::IpCidr;

use crate::{
    engine::Engine,
    flow::Kind,
    interface::{Addressing, Ipv4Config},
    stats::Stats,
    sync::Mutex,
    tcp::Phase,
    time::Instant,
};

/// What a stack is made from.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the IPv4 address comes from.
    pub addressing: Addressing,
    /// Entropy for sequence numbers, ports and hash keys. Must differ at every boot and be unknown to
    /// others.
    pub seed: [u8; 32],
    /// Bytes that all sockets and their buffers may take. Beyond it new connections are dropped and
    /// new sockets refused.
    pub memory_limit: usize,
}

/// When [`Stack::poll`] wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: frames or flows are waiting.
    Now,
    /// At this instant, or earlier when a frame arrives or an application calls.
    At(Instant),
    /// When a frame arrives or an application calls.
    Idle,
}

/// The direction that a waker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Data, the end of the stream or an error.
    Read,
    /// Room to write, the end of the handshake or an error.
    Write,
}

/// Which half of a connection to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Reads return the end of the stream from now on.
    Read,
    /// A FIN follows what has been written.
    Write,
    /// Both.
    Both,
}

/// The network stack of one interface. Clones share it.
///
/// It never looks at a clock or a device of its own: whoever calls [`poll`](Self::poll) brings both.
#[derive(Clone)]
pub struct Stack(Arc<Mutex<Engine>>);

impl Stack {
    /// A stack for `device`, which must be the one that is polled later.
    pub fn new(config: &Config, device: &impl Device) -> Self {
        Stack(Arc::new(Mutex::new(Engine::new(config, device))))
    }

    /// Moves frames both ways, runs timers and wakes tasks; about `budget` frames each way at most.
    ///
    /// `now` must not run backwards.
    pub fn poll(&self, now: Instant, device: &mut impl Device, budget: usize) -> Next {
        let (next, woken) = {
            let mut engine = self.0.lock();
            let next = engine.poll(now, device, budget);
            (next, core::mem::take(&mut engine.woken))
        };
        woken.into_iter().for_each(Waker::wake);
        next
    }

    /// Sets who is woken when an application call gives the stack something to do: whoever polls it.
    pub fn set_poller(&self, waker: &Waker) {
        self.0.lock().poller = Some(waker.clone());
    }

    /// Has the stack look at what the machine has left before it takes memory for a socket, besides
    /// [`Config::memory_limit`]. `free` tells it in bytes; it is called with the stack locked.
    pub fn set_free_memory(&self, free: fn() -> usize) {
        self.0.lock().budget.set_free(free);
    }

    /// Runs an application call, and wakes whom it concerns when the lock has been let go.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&mut Engine) -> R) -> R {
        let (result, woken, poller) = {
            let mut engine = self.0.lock();
            let result = call(&mut engine);
            let poller = engine.has_work().then(|| engine.poller.clone()).flatten();
            (result, core::mem::take(&mut engine.woken), poller)
        };
        woken.into_iter().chain(poller).for_each(Waker::wake);
        result
    }

    /// The interface's IPv4 configuration, once it has one.
    pub fn ipv4(&self) -> Option<Ipv4Config> {
        self.0.lock().ipv4.clone()
    }

    /// The interface's link-local IPv6 address.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        let engine = self.0.lock();
        engine.iface.ip_addrs().iter().find_map(|cidr| match cidr {
            IpCidr::Ipv6(cidr) => Some(cidr.address()),
            IpCidr::Ipv4(_) => None,
        })
    }

    /// Wakes `waker` at the next change of the IPv4 configuration.
    pub fn register_config(&self, waker: &Waker) {
        self.0.lock().config_waiters.register(waker);
    }

    /// What has been counted, and what the stack holds now. Looks at every socket.
    pub fn stats(&self) -> Stats {
        let engine = self.0.lock();
        let mut stats = engine.stats;
        for (_, flow) in &engine.flows {
            match &flow.kind {
                Kind::Tcp(tcp) => match tcp.phase {
                    // Only while a handshake completes, within one turn.
                    Phase::HalfOpen(_) => {}
                    Phase::Queued(_) => stats.tcp_backlog += 1,
                    Phase::Open => stats.tcp_open += 1,
                    Phase::Orphan => stats.tcp_orphans += 1,
                },
                Kind::Udp(_) => stats.udp_sockets += 1,
                Kind::Dhcp => {}
            }
        }
        stats.tcp_half_open = engine.handshakes.len() as u64;
        stats.tcp_time_wait = engine.time_wait.len() as u64;
        stats.tcp_listeners = engine.listeners.len() as u64;
        stats.memory_used = engine.budget.used() as u64;
        stats
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}
