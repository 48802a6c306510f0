//! The engine: three inputs (frame, application call, timer), three outputs (frames, wakeups, the
//! next deadline).
//!
//! A frame or a call that changes a flow puts it on the dirty list of an interface; a turn of
//! [`Engine::poll`] lets each dirty flow send, then settles it: who can be woken, when is it due
//! next, has it ended. The protocols' own rules live in [`crate::tcp`], [`crate::udp`],
//! [`crate::ip`] and others, each as an `impl Engine` of its own.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{mem, task::Waker};

use chacha20::ChaCha12Rng;
use hashbrown::HashMap;
use netdev::{Device, Receiver, Transmitter};
use rand_core::{Rng, SeedableRng};
use slab::Slab;

use crate::{
    flow::{Budget, Flow, FlowId, Kind, Registrations, WakerSet},
    hash::{Keyed, TableHasher},
    ip::{InterfaceId, Ip, Loopback, NeighbourKey, Unresolved},
    resolver::Lookups,
    stack::{Config, Next},
    stats::Stats,
    tcp::Tcp,
    time::{Instant, Span, earlier},
    udp::Ports,
};

/// Frames that one flow may send before the next one has its turn: two bursts of 16 segments, as
/// many as a 64 KiB buffer holds with room to spare.
pub(crate) const FRAMES_PER_TURN: usize = 48;

/// How often timers other than flows' are looked at while one turn follows the other: under load they
/// are late by this and a turn at most, which matters little, as most measure seconds. Before a sleep
/// those that have come due always are.
const CONTROL_INTERVAL: Span = Span::from_millis(1);

/// The first port that IANA leaves to ephemeral use (RFC 6335 section 6).
const EPHEMERAL_PORT_MIN: u16 = 49152;

pub(crate) struct Engine {
    pub(crate) ip: Ip,
    pub(crate) now: Instant,
    pub(crate) rng: ChaCha12Rng,
    /// Chooses among sockets that share an address.
    pub(crate) spread: Keyed,

    pub(crate) flows: Slab<Flow>,
    pub(crate) tcp: Tcp,
    pub(crate) udp_ports: Ports,
    /// ICMP sockets by version (is it IPv4?) and identifier.
    pub(crate) idents: HashMap<(bool, u16), FlowId, TableHasher>,
    /// Raw sockets by version and protocol.
    pub(crate) raw_sockets: BTreeMap<(bool, u8), Vec<FlowId>>,

    /// Something has changed since flows looked at their paths.
    pub(crate) are_paths_stale: bool,
    loopback: Loopback,
    deadlines: BTreeSet<(Instant, FlowId)>,
    /// When timers other than flows' are looked at next.
    control_due: Instant,
    /// Flows that wait until a neighbour answers.
    pub(crate) waiting: BTreeMap<NeighbourKey, Vec<FlowId>>,

    pub(crate) lookups: Lookups,
    pub(crate) config_waiters: WakerSet,
    pub(crate) registrations: Registrations,
    pub(crate) budget: Budget,
    pub(crate) stats: Stats,
    /// To be woken when the lock has been let go.
    pub(crate) woken: Vec<Waker>,
    /// Whoever polls the stack; woken when an application call left it something to do.
    pub(crate) poller: Option<Waker>,
}

impl Engine {
    pub(crate) fn new(config: &Config, device: &impl Device) -> Self {
        let mut rng = ChaCha12Rng::from_seed(config.seed);
        let hasher = TableHasher::new(&mut rng);
        let [idents, isns, spread] =
            core::array::from_fn(|_| Keyed::new([rng.next_u64(), rng.next_u64()]));
        let tcp = Tcp::new(hasher, isns);
        let mut engine = Engine {
            ip: Ip::new(hasher, idents),
            now: Instant::ZERO,
            rng,
            spread,
            flows: Slab::new(),
            tcp,
            udp_ports: Ports::new(hasher),
            idents: HashMap::with_hasher(hasher),
            raw_sockets: BTreeMap::new(),
            are_paths_stale: false,
            loopback: Loopback::default(),
            deadlines: BTreeSet::new(),
            control_due: Instant::ZERO,
            waiting: BTreeMap::new(),
            lookups: Lookups::default(),
            config_waiters: WakerSet::default(),
            registrations: Registrations::default(),
            budget: Budget::new(config.memory_limit),
            stats: Stats::default(),
            woken: Vec::new(),
            poller: None,
        };
        engine.add_loopback();
        let first = engine.add_interface(device, &config.addressing);
        debug_assert_eq!(first, Ok(InterfaceId::FIRST), "the table of interfaces is empty");
        engine
    }

    /// A turn: timers, the loopback interface, and the interface that `device` is.
    pub(crate) fn poll<D: Device>(
        &mut self,
        id: InterfaceId,
        now: Instant,
        device: &mut D,
        budget: usize,
    ) -> Next {
        let had_work = self.has_work_beside(id);
        // Two pollers may have asked for the time in one order and come here in the other.
        self.now = self.now.max(now);
        let is_link_up = device.link_up();
        if is_link_up != self.ip.interface(id).is_link_up {
            self.link_changed(id, is_link_up);
        }
        self.expire_deadlines();
        let is_control_due = self.now >= self.control_due || self.lookups.has_new;
        if is_control_due {
            self.control();
        }
        let (rx, tx) = device.split();
        let is_done = self.turn(id, rx, tx, budget);
        // Before the frames leave that ask for answers to a new group.
        if let Some(groups) = self.ip.interface_mut(id).multicast_filter() {
            device.set_multicast_filter(&groups);
        }
        device.split().1.flush();
        // After the device: what it brought may have an answer within this host.
        let is_loopback_done = !self.has_work_on_loopback() || self.turn_of_loopback(budget);
        if !had_work && self.has_work_beside(id) {
            // Another interface has something to do; whoever polls that one must hear of it.
            self.woken.extend(self.poller.clone());
        }
        if !is_done || !is_loopback_done || self.has_work_on(id) {
            return Next::Now;
        }
        let control = self.control_deadline();
        if control.is_some_and(|due| due <= self.now) {
            self.control_due = Instant::ZERO;
            if !is_control_due {
                // It has come due in this turn.
                return self.poll(id, now, device, budget);
            }
        }
        let flows = self.deadlines.first().map(|(deadline, _)| *deadline);
        earlier(control, flows).map_or(Next::Idle, Next::At)
    }

    /// Does what is due but for flows.
    fn control(&mut self) {
        self.ip_timers();
        self.run_resolver();
        self.tcp_timers();
        self.control_due = self.now + CONTROL_INTERVAL;
    }

    fn control_deadline(&mut self) -> Option<Instant> {
        let others = earlier(self.tcp_deadline(), self.lookups.deadline());
        earlier(self.ip_deadline(), others)
    }

    fn turn_of_loopback(&mut self, budget: usize) -> bool {
        let mut loopback = mem::take(&mut self.loopback);
        let (rx, tx) = loopback.split();
        let is_done = self.turn(InterfaceId::LOOPBACK, rx, tx, budget);
        self.loopback = loopback;
        is_done
    }

    /// Returns whether nothing is left to do that there is room for.
    fn turn(
        &mut self,
        id: InterfaceId,
        rx: &mut impl Receiver,
        tx: &mut impl Transmitter,
        budget: usize,
    ) -> bool {
        // There hardly ever are any, and this is every turn.
        if !self.ip.interface(id).unannounced.is_empty() {
            self.announce_addresses(id);
        }
        let interface = self.ip.interface_mut(id);
        if !interface.later.is_empty() {
            interface.dirty.extend(interface.later.drain(..));
        }
        let more_to_receive = self.ingress(id, rx, tx, budget);
        self.refresh_paths();
        let more_to_send = self.egress(id, tx, budget);
        let is_flushed = self.ip.flush(id, tx);
        let is_done = !more_to_receive && !more_to_send && is_flushed;
        // Asked last, so that the device knows that somebody waits.
        let is_blocked = !is_done && !tx.is_ready();
        self.ip.interface_mut(id).is_blocked = is_blocked;
        is_done || is_blocked
    }

    fn expire_deadlines(&mut self) {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > self.now {
                break;
            }
            self.deadlines.pop_first();
            self.flows[id].scheduled = None;
            self.mark_dirty(id);
        }
    }

    /// Takes up to `budget` frames. Returns whether more may be waiting.
    fn ingress(
        &mut self,
        id: InterfaceId,
        rx: &mut impl Receiver,
        tx: &mut impl Transmitter,
        budget: usize,
    ) -> bool {
        for _ in 0..budget {
            // A frame may need an answer: without room for it the frame waits in the device. The
            // loopback interface has as much room as it has given away.
            let has_room = self.ip.flush(id, tx) && tx.is_ready();
            if !has_room && id != InterfaceId::LOOPBACK {
                return true;
            }
            if rx.receive(|frame, offload| self.frame(id, frame, offload, tx)).is_none() {
                return false;
            }
        }
        true
    }

    /// Lets dirty flows send until about `budget` frames are out. Returns whether more is to be sent.
    fn egress(&mut self, id: InterfaceId, tx: &mut impl Transmitter, budget: usize) -> bool {
        let mut sent = 0;
        while sent < budget {
            let Some(flow_id) = self.ip.interface_mut(id).dirty.pop_front() else {
                return false;
            };
            // The flow may have ended since.
            let Some(flow) = self.flows.get_mut(flow_id) else {
                continue;
            };
            if !flow.dirty.remove(id) {
                continue;
            }
            let turn = match &flow.kind {
                Kind::Tcp(tcp) if tcp.interface() != id => {
                    // Its path has changed since: this is not the device that it leads to.
                    self.mark_dirty(flow_id);
                    continue;
                }
                Kind::Tcp(_) => self.send_tcp(flow_id, tx),
                Kind::Udp(_) | Kind::Icmp(_) | Kind::Raw(_) => self.send_datagrams(flow_id, id, tx),
            };
            sent += turn.frames.max(1);
            if turn.blocked {
                self.flows[flow_id].dirty.insert(id);
                self.ip.interface_mut(id).dirty.push_front(flow_id);
                return true;
            }
            if turn.frames >= FRAMES_PER_TURN {
                self.mark_dirty_on(flow_id, id);
            }
            self.settle(flow_id);
        }
        !self.ip.interface(id).dirty.is_empty()
    }

    /// Brings everything that hangs on a flow up to date after it changed.
    fn settle(&mut self, id: FlowId) {
        let is_alive = match self.flows[id].kind {
            Kind::Tcp(_) => self.settle_tcp(id),
            Kind::Udp(_) | Kind::Icmp(_) | Kind::Raw(_) => self.settle_datagrams(id),
        };
        match is_alive {
            true => self.schedule(id),
            false => self.remove(id),
        }
    }

    /// Enters a flow's next deadline into the timer queue.
    ///
    /// A deadline that moves further away, as a retransmission's does with every acknowledgement,
    /// leaves the queue alone: the flow is looked at early once and scheduled again.
    fn schedule(&mut self, id: FlowId) {
        let flow = &mut self.flows[id];
        if !flow.dirty.is_empty() {
            return;
        }
        let due = match &mut flow.kind {
            Kind::Tcp(tcp) => tcp.schedule(),
            Kind::Udp(udp) => udp.queues.deadline(),
            Kind::Icmp(icmp) => icmp.queues.deadline(),
            Kind::Raw(raw) => raw.queues.deadline(),
        };
        let Some(due) = due else {
            return;
        };
        if due <= self.now {
            return self.mark_dirty(id);
        }
        if flow.scheduled.is_some_and(|scheduled| scheduled <= due) {
            return;
        }
        if let Some(later) = flow.scheduled.replace(due) {
            self.deadlines.remove(&(later, id));
        }
        self.deadlines.insert((due, id));
    }

    /// Has a flow looked at in the next turn of the interface that it belongs to.
    pub(crate) fn mark_dirty(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get(id) {
            self.mark_dirty_on(id, flow.interface());
        }
    }

    pub(crate) fn mark_dirty_on(&mut self, id: FlowId, interface: InterfaceId) {
        if let Some(flow) = self.flows.get_mut(id)
            && flow.dirty.insert(interface)
        {
            self.ip.interface_mut(interface).dirty.push_back(id);
        }
    }

    /// Has a flow looked at in the turn after this one, unless it is to be in this one.
    pub(crate) fn mark_for_later(&mut self, id: FlowId) {
        let flow = &mut self.flows[id];
        let interface = flow.interface();
        if flow.dirty.insert(interface) {
            self.ip.interface_mut(interface).later.push(id);
        }
    }

    /// Has a flow looked at when a neighbour answers, or does not.
    pub(crate) fn await_neighbour(&mut self, id: FlowId, unresolved: Unresolved) {
        if !unresolved.is_asked {
            return;
        }
        let waiting = self.waiting.entry(unresolved.neighbour).or_default();
        if waiting.last() != Some(&id) && !waiting.contains(&id) {
            waiting.push(id);
        }
    }

    fn has_work_on(&self, id: InterfaceId) -> bool {
        self.ip.interface(id).has_work() || self.has_work_on_loopback()
    }

    fn has_work_on_loopback(&self) -> bool {
        self.ip.interface(InterfaceId::LOOPBACK).has_work() || !self.loopback.is_empty()
    }

    /// Whether an interface other than that and the loopback interface has something to do.
    fn has_work_beside(&self, id: InterfaceId) -> bool {
        let mut others = self.ip.interfaces.iter().skip(1).filter(|one| one.id != id);
        others.any(|one| one.has_work())
    }

    pub(crate) fn has_work(&self) -> bool {
        self.lookups.has_new
            || !self.loopback.is_empty()
            || self.ip.interfaces.iter().any(|one| one.has_work())
    }

    /// Who is to be woken now that the lock is let go.
    pub(crate) fn take_woken(&mut self) -> Vec<Waker> {
        // What is empty may have room that is worth keeping.
        if self.woken.is_empty() { Vec::new() } else { mem::take(&mut self.woken) }
    }

    /// Takes room for wakers back.
    pub(crate) fn keep_woken(&mut self, empty: Vec<Waker>) {
        if self.woken.capacity() == 0 {
            self.woken = empty;
        }
    }

    /// Forgets a flow and gives back what it held.
    pub(crate) fn remove(&mut self, id: FlowId) {
        let mut flow = self.flows.remove(id);
        if let Some(scheduled) = flow.scheduled {
            self.deadlines.remove(&(scheduled, id));
        }
        flow.readers.drain_into(&mut self.woken);
        flow.writers.drain_into(&mut self.woken);
        self.budget.release(flow.memory);
        if let Kind::Tcp(tcp) = flow.kind {
            self.tcp_removed(tcp);
        }
    }

    /// A free ephemeral port, from a random start (RFC 6056 section 3.3.1).
    pub(crate) fn ephemeral_port(&mut self, is_free: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        let count = u32::from(u16::MAX - EPHEMERAL_PORT_MIN) + 1;
        let start = self.rng.next_u32() % count;
        (0..count)
            .map(|step| EPHEMERAL_PORT_MIN + ((start + step) % count) as u16)
            .find(|&port| is_free(self, port))
    }
}

/// What a flow did in one turn.
#[derive(Default)]
pub(crate) struct Turn {
    /// Frames sent.
    pub(crate) frames: usize,
    /// It has more to send, and the transmitter is full.
    pub(crate) blocked: bool,
}
