//! Name resolution: the DNS resolver's way to its servers (RFC 1035, RFC 5452).

use alloc::{string::String, vec::Vec};
use core::{
    net::{IpAddr, SocketAddr},
    task::Waker,
};

use slab::Slab;
use smoltcp::wire::IpProtocol;

pub use crate::dns::Want;
use crate::{
    datagram::Datagram,
    dns::{self, QueryId, StartError, Transmit},
    engine::Engine,
    error::ResolveError,
    flow::{Registration, Tuple, WakerSet},
    ip::{HOP_LIMIT_DEFAULT, Header},
    stack::Stack,
    stats::{Reason, Verdict},
};

/// Names that may be looked for at a time, those whose result nobody has taken included.
const LOOKUPS_MAX: usize = 32;

/// A name that is being looked for. Dropping it ends the search.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let lookup: Lookup = stack.resolve("10.0.2.2", Want::Any)?;
/// poll();
/// assert_eq!(lookup.try_result()?.len(), 1, "it is an address");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lookup {
    stack: Stack,
    id: usize,
}

impl Lookup {
    pub(crate) fn new(stack: &Stack, name: &str, want: Want) -> Result<Self, ResolveError> {
        let id = stack.with(|engine| engine.begin_lookup(name, want))?;
        Ok(Lookup { stack: stack.clone(), id })
    }

    /// The addresses, IPv4 first.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let lookup = stack.resolve("localhost", Want::Any)?;
    /// assert_eq!(lookup.try_result(), Err(ResolveError::WouldBlock));
    /// poll();
    /// assert!(lookup.try_result()?.iter().all(|address| address.is_loopback()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// They are not known yet, or there are none.
    pub fn try_result(&self) -> Result<Vec<IpAddr>, ResolveError> {
        self.stack.with(|engine| engine.lookups.all[self.id].outcome.clone())
    }

    /// Wakes `waker`, once, when there is a result.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (bell, waker) = world::Bell::new();
    /// let lookup = stack.resolve("localhost", Want::Any)?;
    /// lookup.register(&waker);
    /// poll();
    /// assert!(bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(&self, waker: &Waker) -> Registration {
        self.stack.look(|engine| {
            engine.lookups.all[self.id].waiting.insert(&mut engine.registrations, waker)
        })
    }

    /// Takes back what [`register`](Self::register) has registered, if it has not been woken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let (bell, waker) = world::Bell::new();
    /// let lookup = stack.resolve("localhost", Want::Any)?;
    /// let registration = lookup.register(&waker);
    /// lookup.deregister(registration);
    /// poll();
    /// assert!(!bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deregister(&self, registration: Registration) {
        drop(self.stack.look(|engine| engine.lookups.all[self.id].waiting.remove(&registration)));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.end_lookup(self.id));
    }
}

/// What applications look for.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    all: Slab<Entry>,
    resolver: dns::Resolver,
    /// Some have not begun: calls do not know the time.
    pub(crate) has_new: bool,
}

#[derive(Debug)]
struct Entry {
    /// The question, until it has begun.
    question: Option<(String, Want)>,
    query: Option<QueryId>,
    outcome: Result<Vec<IpAddr>, ResolveError>,
    waiting: WakerSet,
}

impl Lookups {
    pub(crate) fn deadline(&self) -> Option<crate::time::Instant> {
        self.resolver.deadline()
    }
}

impl Engine {
    fn begin_lookup(&mut self, name: &str, want: Want) -> Result<usize, ResolveError> {
        const NAME_LEN_MAX: usize = 255;
        if self.lookups.all.len() >= LOOKUPS_MAX {
            return Err(ResolveError::TooMany);
        }
        if name.len() > NAME_LEN_MAX {
            return Err(ResolveError::InvalidName);
        }
        self.lookups.has_new = true;
        Ok(self.lookups.all.insert(Entry {
            question: Some((name.into(), want)),
            query: None,
            outcome: Err(ResolveError::WouldBlock),
            waiting: WakerSet::default(),
        }))
    }

    fn end_lookup(&mut self, id: usize) {
        let mut entry = self.lookups.all.remove(id);
        // Not dropped here, where the stack is locked: a waker may hold the last reference to a task.
        entry.waiting.drain_into(&mut self.woken);
        if let Some(query) = entry.query {
            self.lookups.resolver.cancel(query);
        }
    }

    pub(crate) fn update_name_servers(&mut self) {
        let servers = self.name_servers();
        self.lookups.resolver.set_servers(&servers);
    }

    /// Begins what is new, sends what is due, tells who has a result.
    pub(crate) fn run_resolver(&mut self) {
        let now = self.now;
        let is_due = self.lookups.deadline().is_some_and(|due| due <= now);
        if !self.lookups.has_new && !is_due {
            return;
        }
        self.lookups.has_new = false;
        let Lookups { all, resolver, .. } = &mut self.lookups;
        for (_, entry) in all.iter_mut() {
            if let Some((name, want)) = entry.question.take() {
                match resolver.start(&name, want, now) {
                    Ok(query) => entry.query = Some(query),
                    Err(StartError::InvalidName) => entry.outcome = Err(ResolveError::InvalidName),
                    Err(StartError::TooMany) => entry.outcome = Err(ResolveError::TooMany),
                }
            }
        }
        self.drive_resolver();
    }

    fn drive_resolver(&mut self) {
        while let Some(transmit) = self.lookups.resolver.poll(self.now, &mut self.rng) {
            self.ask_server(transmit);
        }
        self.collect_results();
    }

    fn collect_results(&mut self) {
        let Engine { lookups: Lookups { all, resolver, .. }, woken, .. } = self;
        for (_, entry) in all.iter_mut() {
            if let Some(outcome) = entry.query.and_then(|query| resolver.result(query)) {
                entry.query = None;
                entry.outcome = outcome.map_err(ResolveError::from);
            }
            if entry.outcome != Err(ResolveError::WouldBlock) {
                entry.waiting.drain_into(woken);
            }
        }
    }

    /// Sends a question from a port of its own (RFC 5452 section 9.2), by a socket that lives until
    /// it is out. What cannot be sent is asked again later.
    fn ask_server(&mut self, transmit: Transmit) {
        let Transmit { question, server, payload } = transmit;
        let Some(path) = self.ip.route(server.ip(), None) else {
            return;
        };
        let is_free = |engine: &Self, port| {
            engine.udp_ports.all(port).next().is_none() && !engine.resolver_owns(port)
        };
        let Some(port) = self.ephemeral_port(is_free) else {
            return;
        };
        let Ok(id) = self.new_udp(server.is_ipv4()) else {
            return;
        };
        let datagram = Datagram {
            interface: path.interface,
            header: Header {
                source: path.source,
                destination: server.ip(),
                protocol: IpProtocol::Udp,
                hop_limit: HOP_LIMIT_DEFAULT,
            },
            ports: Some((port, server.port())),
            is_looped: false,
            data: payload,
            give_up: None,
        };
        if self.queue_datagram(id, datagram).is_ok() {
            let local = SocketAddr::new(path.source, port);
            self.lookups.resolver.sent_from(question, local);
        }
        self.orphan(id);
    }

    /// Whether an answer is awaited at a port.
    pub(crate) fn resolver_owns(&self, port: u16) -> bool {
        self.lookups.resolver.owns_port(port)
    }

    /// Whether an answer is awaited between two ends.
    pub(crate) fn resolver_awaits(&self, tuple: &Tuple) -> bool {
        self.lookups.resolver.awaits(tuple.remote, tuple.local)
    }

    pub(crate) fn resolver_message(&mut self, tuple: &Tuple, data: &[u8]) -> Verdict {
        if !self.lookups.resolver.on_message(tuple.remote, tuple.local, data, self.now) {
            return Verdict::Dropped(Reason::NoSocket);
        }
        self.drive_resolver();
        Verdict::Delivered
    }

    /// Nobody listens where a question went (ICMP).
    pub(crate) fn resolver_unreachable(&mut self, tuple: &Tuple) {
        self.lookups.resolver.on_unreachable(tuple.remote, tuple.local, self.now);
        self.drive_resolver();
    }
}

impl From<dns::ResolveError> for ResolveError {
    fn from(error: dns::ResolveError) -> Self {
        match error {
            dns::ResolveError::NotFound => ResolveError::NotFound,
            dns::ResolveError::NoAddress => ResolveError::NoAddress,
            dns::ResolveError::ServerFailure => ResolveError::ServerFailure,
            dns::ResolveError::TimedOut => ResolveError::TimedOut,
            dns::ResolveError::NoServers => ResolveError::NoServers,
        }
    }
}
