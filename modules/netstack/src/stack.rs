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
    flow::{Kind, Registration},
    ip::{AddressError, InterfaceError, InterfaceId, InterfaceInfo, MtuError, Origin, RouteError},
    resolver::{Lookup, Want},
    stats::Stats,
    sync::Mutex,
    time::Instant,
};

/// Wakers that room is kept for: a busy turn's.
const WOKEN_KEPT: usize = 64;

/// What a stack is made from.
///
/// ```
/// use netstack::{Addressing, Config, Stack};
///
/// # let entropy = [7; 32];
/// let (device, _) = netdev::cable::cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// let config = Config { addressing: Addressing::Dhcp, seed: entropy, memory_limit: 8 << 20 };
/// let stack = Stack::new(&config, &device);
/// assert_eq!(stack.stats().memory_used, 0);
/// ```
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
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// let mut device = world::device();
/// let stack = Stack::new(&world::config(), &device);
/// let mut now = Instant::ZERO;
/// // Time as it passes for a host that sleeps whenever it may.
/// for _ in 0..1000 {
///     now = match stack.poll(now, &mut device, 64) {
///         Next::Now => now,
///         Next::At(deadline) => deadline,
///         Next::Idle => break,
///     };
/// }
/// assert!(now > Instant::ZERO);
/// ```
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
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let (client, server) = world::pair(&stack, &mut poll);
/// # let (bell, waker) = world::Bell::new();
/// assert!(client.is_ready(Interest::Write));
/// server.register(Interest::Read, &waker);
/// client.try_write(b"hello")?;
/// poll();
/// assert!(bell.has_rung());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Data, the end of the stream or an error.
    Read,
    /// Room to write, the end of the handshake or an error.
    Write,
}

/// Which half of a connection to shut down.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// # let (client, server) = world::pair(&stack, &mut poll);
/// client.shutdown(Shutdown::Read);
/// assert_eq!(client.try_read(&mut [0; 100])?, 0);
/// client.shutdown(Shutdown::Write);
/// assert_eq!(client.try_write(b"hello"), Err(WriteError::Closed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// let (mut device, _) = netdev::cable::cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// let stack = Stack::new(&world::config(), &device);
/// let listener = TcpListener::bind(&stack, "0.0.0.0:80".parse()?, 8)?;
/// let _next = stack.poll(Instant::from_micros(1), &mut device, 64);
/// assert_eq!(stack.clone().stats().tcp_listeners, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Stack(Arc<Mutex<Engine>>);

impl Stack {
    /// A stack whose first interface is `device`, which must be the one that is polled later.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let mut device = world::device();
    /// let stack = Stack::new(&world::config(), &device);
    /// assert_eq!(stack.interfaces().len(), 2, "the device's, and the loopback interface");
    /// ```
    pub fn new(config: &Config, device: &impl Device) -> Self {
        Stack(Arc::new(Mutex::new(Engine::new(config, device))))
    }

    /// Moves frames of the first interface both ways, serves the loopback interface, runs timers and
    /// wakes tasks; about `budget` frames each way at most.
    ///
    /// `now` must not run backwards.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let mut device = world::device();
    /// let stack = Stack::new(&world::config(), &device);
    /// let next = stack.poll(Instant::from_micros(1), &mut device, 64);
    /// assert_ne!(next, Next::Idle, "addresses are being announced");
    /// ```
    pub fn poll(&self, now: Instant, device: &mut impl Device, budget: usize) -> Next {
        self.poll_interface(InterfaceId::FIRST, now, device, budget)
    }

    /// The same for any interface, with the device that it was added with.
    ///
    /// When it says that there is something to do later, polling any interface does it.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let mut second = world::device();
    /// let id = stack.add_interface(&second, &Addressing::Dhcp)?;
    /// let frames_sent = stack.stats().frames_sent;
    /// stack.poll_interface(id, Instant::from_micros(1), &mut second, 64);
    /// assert!(stack.stats().frames_sent > frames_sent);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
            (next, engine.take_woken())
        };
        if !woken.is_empty() {
            self.wake(woken);
        }
        next
    }

    /// Wakes all without the lock, and gives their room back: every turn needs it.
    fn wake(&self, mut woken: Vec<Waker>) {
        woken.drain(..).for_each(Waker::wake);
        if woken.capacity() <= WOKEN_KEPT {
            self.0.lock().keep_woken(woken);
        }
    }

    /// Sets who is woken when an application call gives the stack something to do, or one interface's
    /// turn another one: whoever polls it.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (bell, waker) = world::Bell::new();
    /// poll();
    /// stack.set_poller(&waker);
    /// let stream = TcpStream::connect(&stack, None, "127.0.0.1:80".parse()?)?;
    /// assert!(bell.has_rung(), "there is a SYN to send");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_poller(&self, waker: &Waker) {
        // The old one is dropped when the lock has been let go.
        let _old = self.0.lock().poller.replace(waker.clone());
    }

    /// Has the stack look at what the machine has left before it takes memory for a socket, besides
    /// [`Config::memory_limit`]. `free` tells it in bytes; it is called with the stack locked.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// stack.set_free_memory(|| 0);
    /// let socket = UdpSocket::unbound(&stack, true);
    /// assert_eq!(socket.unwrap_err(), BindError::NoMemory);
    /// ```
    pub fn set_free_memory(&self, free: fn() -> usize) {
        self.0.lock().budget.set_free(free);
    }

    /// Runs an application call, and wakes whom it concerns when the lock has been let go.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&mut Engine) -> R) -> R {
        let (result, woken, poller) = {
            let mut engine = self.0.lock();
            let result = call(&mut engine);
            engine.refresh_paths();
            let has_work = engine.has_work();
            if !has_work && engine.woken.is_empty() {
                // Most calls read.
                return result;
            }
            let poller = has_work.then(|| engine.poller.clone()).flatten();
            (result, engine.take_woken(), poller)
        };
        if !woken.is_empty() {
            self.wake(woken);
        }
        poller.into_iter().for_each(Waker::wake);
        result
    }

    /// Enters who waits, or asks who has to: the stack has nothing more to do after that.
    pub(crate) fn look<R>(&self, call: impl FnOnce(&mut Engine) -> R) -> R {
        call(&mut self.0.lock())
    }

    /// Adds an interface with a device of its own.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let second = stack.add_interface(&world::device(), &Addressing::Dhcp)?;
    /// assert_eq!(stack.interfaces()[2].id, second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let ids: Vec<_> = stack.interfaces().iter().map(|interface| interface.id).collect();
    /// assert_eq!(ids, [InterfaceId::LOOPBACK, InterfaceId::FIRST]);
    /// ```
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.0.lock().interface_infos()
    }

    /// Sets the largest IP packet that an interface sends, in bytes.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// stack.set_mtu(InterfaceId::FIRST, 1400)?;
    /// assert_eq!(stack.interfaces()[1].mtu, 1400);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The device does not carry it, or IPv6 needs more.
    pub fn set_mtu(&self, id: InterfaceId, mtu: usize) -> Result<(), MtuError> {
        self.with(|engine| engine.set_mtu(id, mtu))
    }

    /// Adds an address and a route to its network. The neighbours are told; an IPv6 address that
    /// another host has is removed again (RFC 4862 section 5.4).
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// stack.add_address(InterfaceId::FIRST, [192, 168, 0, 1].into(), 24)?;
    /// let listener = TcpListener::bind(&stack, "192.168.0.1:80".parse()?, 8)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let address = [10, 0, 0, 1].into();
    /// stack.remove_address(InterfaceId::FIRST, address)?;
    /// let again = stack.remove_address(InterfaceId::FIRST, address);
    /// assert_eq!((stack.ipv4(), again), (None, Err(AddressError::NotFound)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_address(&self, id: InterfaceId, address: IpAddr) -> Result<(), AddressError> {
        self.with(|engine| engine.remove_address(id, address))
    }

    /// Sends packets for a network to a router. Longer prefixes go before shorter ones.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// stack.add_route([192, 0, 2, 0].into(), 24, [10, 0, 0, 2].into())?;
    /// let stream = TcpStream::connect(&stack, None, "192.0.2.1:80".parse()?)?;
    /// assert_eq!(stream.local_addr().ip().to_string(), "10.0.0.1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let (network, router) = ([192, 0, 2, 0].into(), [10, 0, 0, 2].into());
    /// stack.add_route(network, 24, router)?;
    /// stack.remove_route(network, 24, router)?;
    /// let stream = TcpStream::connect(&stack, None, "192.0.2.1:80".parse()?);
    /// assert_eq!(stream.unwrap_err(), ConnectError::Unreachable);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Says that an interface's link has come back, perhaps elsewhere: routers and groups are asked for,
    /// addresses announced and a DHCP lease verified (RFC 2131 section 3.7). A device that can tell
    /// needs no such call.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// poll();
    /// let frames_sent = stack.stats().frames_sent;
    /// stack.restart_link(InterfaceId::FIRST);
    /// poll();
    /// assert!(stack.stats().frames_sent > frames_sent, "the address is announced");
    /// ```
    pub fn restart_link(&self, id: InterfaceId) {
        self.with(|engine| engine.restart_link(id));
    }

    /// Gives an interface's DHCP lease back, before the machine is switched off. Nothing is leased
    /// again until its link comes back, or [`restart_link`](Self::restart_link) says so.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// let mut device = world::device();
    /// let config = Config { addressing: Addressing::Dhcp, ..world::config() };
    /// let stack = Stack::new(&config, &device);
    /// stack.release_lease(InterfaceId::FIRST);
    /// stack.poll(Instant::from_micros(1), &mut device, 64);
    /// assert_eq!(stack.ipv4(), None);
    /// ```
    pub fn release_lease(&self, id: InterfaceId) {
        self.with(|engine| engine.release_lease(id));
    }

    /// Looks for a name's addresses. A name that is an address, and `localhost`, need no server.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let lookup = stack.resolve("localhost", Want::Ipv4)?;
    /// poll();
    /// assert_eq!(lookup.try_result()?[0].to_string(), "127.0.0.1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Too many are being looked for.
    pub fn resolve(&self, name: &str, want: Want) -> Result<Lookup, ResolveError> {
        Lookup::new(self, name, want)
    }

    /// The name servers that the interfaces know, those of IPv4 first.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// assert_eq!(stack.name_servers()[0].to_string(), "10.0.0.2");
    /// ```
    pub fn name_servers(&self) -> Vec<IpAddr> {
        self.0.lock().name_servers()
    }

    /// The first interface's IPv4 configuration, once it has one.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let config = stack.ipv4().expect("it is a static one");
    /// assert_eq!((config.address.octets(), config.prefix_len), ([10, 0, 0, 1], 24));
    /// ```
    pub fn ipv4(&self) -> Option<Ipv4Config> {
        self.0.lock().ipv4_config()
    }

    /// The first interface's link-local IPv6 address.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// // Made from the station's address (RFC 4291 appendix A).
    /// assert_eq!(stack.ipv6(), "fe80::ff:fe00:1".parse().ok());
    /// ```
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.0.lock().ip.interface(InterfaceId::FIRST).link_local()
    }

    /// Wakes `waker`, once, at the next change of an address, a route or an MTU.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (bell, waker) = world::Bell::new();
    /// stack.register_config(&waker);
    /// stack.add_address(InterfaceId::FIRST, [192, 168, 0, 1].into(), 24)?;
    /// poll();
    /// assert!(bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register_config(&self, waker: &Waker) -> Registration {
        self.look(|engine| engine.config_waiters.insert(&mut engine.registrations, waker))
    }

    /// Takes back what [`register_config`](Self::register_config) has registered, if it has not been
    /// woken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (bell, waker) = world::Bell::new();
    /// let registration = stack.register_config(&waker);
    /// stack.deregister_config(registration);
    /// stack.add_address(InterfaceId::FIRST, [192, 168, 0, 1].into(), 24)?;
    /// poll();
    /// assert!(!bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deregister_config(&self, registration: Registration) {
        drop(self.look(|engine| engine.config_waiters.remove(&registration)));
    }

    /// What has been counted, and what the stack holds now. Looks at every socket.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (client, server) = world::pair(&stack, &mut poll);
    /// let stats = stack.stats();
    /// assert_eq!((stats.tcp_open, stats.tcp_accepted, stats.tcp_connected), (2, 1, 1));
    /// ```
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
