//! The stack that applications and pollers share.

use alloc::{sync::Arc, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    task::Waker,
};

use netdev::Device;

use crate::{
    addressing::{Addressing, Ipv4Config},
    engine::Engine,
    error::ResolveError,
    flow::Kind,
    ip::{AddressError, InterfaceError, InterfaceId, InterfaceInfo, MtuError, Origin, RouteError},
    resolver::{Lookup, Want},
    stats::Stats,
    sync::Mutex,
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

/// The network stack of one host. Clones share it.
///
/// It never looks at a clock or a device of its own: whoever calls [`poll`](Self::poll) brings both.
#[derive(Clone)]
pub struct Stack(Arc<Mutex<Engine>>);

impl Stack {
    /// A stack whose first interface is `device`, which must be the one that is polled later.
    pub fn new(config: &Config, device: &impl Device) -> Self {
        Stack(Arc::new(Mutex::new(Engine::new(config, device))))
    }

    /// Moves frames of the first interface both ways, serves the loopback interface, runs timers and
    /// wakes tasks; about `budget` frames each way at most.
    ///
    /// `now` must not run backwards.
    pub fn poll(&self, now: Instant, device: &mut impl Device, budget: usize) -> Next {
        self.poll_interface(InterfaceId::FIRST, now, device, budget)
    }

    /// The same for any interface, with the device that it was added with.
    ///
    /// When it says that there is something to do later, polling any interface does it.
    ///
    /// # Panics
    /// If `id` is the loopback interface, or of another stack that has more.
    pub fn poll_interface(
        &self,
        id: InterfaceId,
        now: Instant,
        device: &mut impl Device,
        budget: usize,
    ) -> Next {
        assert!(id != InterfaceId::LOOPBACK, "the loopback interface has no device");
        let (next, woken) = {
            let mut engine = self.0.lock();
            let next = engine.poll(id, now, device, budget);
            (next, core::mem::take(&mut engine.woken))
        };
        woken.into_iter().for_each(Waker::wake);
        next
    }

    /// Sets who is woken when an application call gives the stack something to do, or one interface's
    /// turn another one: whoever polls it.
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
            engine.refresh_paths();
            let poller = engine.has_work().then(|| engine.poller.clone()).flatten();
            (result, core::mem::take(&mut engine.woken), poller)
        };
        woken.into_iter().chain(poller).for_each(Waker::wake);
        result
    }

    /// Adds an interface with a device of its own.
    ///
    /// # Errors
    /// There are too many.
    pub fn add_interface(
        &self,
        device: &impl Device,
        addressing: &Addressing,
    ) -> Result<InterfaceId, InterfaceError> {
        self.with(|engine| engine.add_interface(device, addressing))
    }

    /// All interfaces, the loopback interface first.
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.0.lock().interface_infos()
    }

    /// Sets the largest IP packet that an interface sends, in bytes.
    ///
    /// # Errors
    /// The device does not carry it, or IPv6 needs more.
    pub fn set_mtu(&self, id: InterfaceId, mtu: usize) -> Result<(), MtuError> {
        self.with(|engine| engine.set_mtu(id, mtu))
    }

    /// Adds an address and a route to its network. The neighbours are told; an IPv6 address that
    /// another host has is removed again (RFC 4862 section 5.4).
    ///
    /// # Errors
    /// It cannot be one, is there already, or there are too many.
    pub fn add_address(
        &self,
        id: InterfaceId,
        address: IpAddr,
        prefix_len: u8,
    ) -> Result<(), AddressError> {
        self.with(|engine| engine.add_address(id, address, prefix_len, Origin::Manual))
    }

    /// Removes an address. Connections from it end.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_address(&self, id: InterfaceId, address: IpAddr) -> Result<(), AddressError> {
        self.with(|engine| engine.remove_address(id, address))
    }

    /// Sends packets for a network to a router. Longer prefixes go before shorter ones.
    ///
    /// # Errors
    /// The router is not on a link, or there are too many routes.
    pub fn add_route(
        &self,
        network: IpAddr,
        prefix_len: u8,
        gateway: IpAddr,
    ) -> Result<(), RouteError> {
        self.with(|engine| engine.add_route(network, prefix_len, gateway))
    }

    /// Removes a route, whoever has added it.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_route(
        &self,
        network: IpAddr,
        prefix_len: u8,
        gateway: IpAddr,
    ) -> Result<(), RouteError> {
        self.with(|engine| engine.remove_route(network, prefix_len, gateway))
    }

    /// Says that an interface's link has come back, perhaps elsewhere: addresses, routers and groups
    /// are asked for and announced again.
    pub fn restart_link(&self, id: InterfaceId) {
        self.with(|engine| engine.restart_link(id));
    }

    /// Gives an interface's DHCP lease back, before the machine is switched off. Nothing is leased
    /// again until [`restart_link`](Self::restart_link).
    pub fn release_lease(&self, id: InterfaceId) {
        self.with(|engine| engine.release_lease(id));
    }

    /// Looks for a name's addresses. A name that is an address, and `localhost`, need no server.
    ///
    /// # Errors
    /// Too many are being looked for.
    pub fn resolve(&self, name: &str, want: Want) -> Result<Lookup, ResolveError> {
        Lookup::new(self, name, want)
    }

    /// The name servers that the interfaces know, those of IPv4 first.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        self.0.lock().name_servers()
    }

    /// The first interface's IPv4 configuration, once it has one.
    pub fn ipv4(&self) -> Option<Ipv4Config> {
        self.0.lock().ipv4_config()
    }

    /// The first interface's link-local IPv6 address.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.0.lock().ip.interface(InterfaceId::FIRST).link_local()
    }

    /// Wakes `waker` at the next change of an address, a route or an MTU.
    pub fn register_config(&self, waker: &Waker) {
        self.0.lock().config_waiters.register(waker);
    }

    /// What has been counted, and what the stack holds now. Looks at every socket.
    pub fn stats(&self) -> Stats {
        let engine = self.0.lock();
        let mut stats = engine.stats;
        stats.frames_sent = engine.ip.sent.frames;
        stats.bytes_sent = engine.ip.sent.bytes;
        stats.dropped_queue_full = engine.ip.sent.queue_full;
        stats.reassembly_evicted = engine.ip.reassembly.evicted;
        for (_, flow) in &engine.flows {
            match &flow.kind {
                Kind::Tcp(_) => {}
                Kind::Udp(_) => stats.udp_sockets += 1,
                Kind::Icmp(_) | Kind::Raw(_) => stats.raw_sockets += 1,
            }
        }
        engine.tcp_gauges(&mut stats);
        stats.neighbours = engine.ip.neighbours.len() as u64;
        stats.memory_used = engine.budget.used() as u64;
        stats
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}
