//! The engine: three inputs (frame, application call, timer), three outputs (frames, wakeups, the
//! next deadline).
//!
//! A frame or a call that changes a flow puts it on the dirty list; a turn of [`Engine::poll`] lets
//! each dirty flow send, then settles it: who can be woken, when is it due next, has it ended. The
//! protocols' own rules live in [`crate::tcp`], [`crate::listener`], [`crate::udp`] and
//! [`crate::interface`], each as an `impl Engine` of its own.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec,
    vec::Vec,
};
use core::{net::Ipv4Addr, task::Waker, time::Duration};

use hashbrown::HashMap;
use netdev::{Device, Receiver, Transmitter};
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use slab::Slab;
use smoltcp::{
    iface::{Config as InterfaceConfig, Interface, SocketSet},
    phy::DeviceCapabilities,
    socket::tcp::State,
    wire::{EthernetAddress, HardwareAddress},
};

use crate::{
    flow::{Budget, Flow, FlowId, Kind, WakerSet},
    frame::{self, Class, FragmentRoutes, Tuple},
    handshake::Handshakes,
    hash::Keyed,
    interface::{Ipv4Config, link_local},
    isn::IsnSource,
    listener::{Listener, ListenerId},
    neighbour::{Asked, NEIGHBOUR_RETRY},
    phy::{self, Activity, Phy},
    stack::{Config, Next},
    stats::Stats,
    tcp::ACK_DELAY,
    time::{Clock, Instant},
    time_wait::TimeWait,
};

/// Frames that one flow may send before the next one has its turn: two bursts of 16 segments, as
/// many as a 64 KiB buffer holds with room to spare.
pub(crate) const FRAMES_PER_TURN: usize = 48;

/// How soon a flow is asked again that says it must send at once and sends nothing. It should not
/// happen; if it does, it costs a hundred calls per second rather than a processor.
const STUCK_RETRY: Duration = Duration::from_millis(10);

/// How often a flow may acknowledge that has sent everything, its FIN included, and says that it must
/// send at once.
const NEEDLESS_ACK_RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Engine {
    pub(crate) iface: Interface,
    pub(crate) capabilities: DeviceCapabilities,
    pub(crate) now: Instant,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) isns: IsnSource,

    pub(crate) flows: Slab<Flow>,
    pub(crate) tuples: HashMap<Tuple, FlowId, Keyed>,
    pub(crate) listeners: Slab<Listener>,
    pub(crate) tcp_ports: HashMap<u16, Vec<ListenerId>, Keyed>,
    pub(crate) udp_ports: HashMap<u16, Vec<FlowId>, Keyed>,
    pub(crate) handshakes: Handshakes,
    pub(crate) time_wait: TimeWait,
    fragments: FragmentRoutes,
    /// What ARP, ICMP and frames for nobody are polled against.
    no_sockets: SocketSet<'static>,

    /// Flows with something to send or to settle, oldest first.
    dirty: VecDeque<FlowId>,
    deadlines: BTreeSet<(Instant, FlowId)>,
    /// Flows that wait until some neighbour answers.
    pub(crate) awaiting_neighbour: BTreeSet<FlowId>,

    pub(crate) ipv4: Option<Ipv4Config>,
    pub(crate) dhcp: Option<FlowId>,
    /// Whom the lease came from.
    pub(crate) dhcp_server: Option<Ipv4Addr>,
    pub(crate) asked: Asked,
    pub(crate) config_waiters: WakerSet,

    pub(crate) budget: Budget,
    pub(crate) stats: Stats,
    /// To be woken when the lock has been let go.
    pub(crate) woken: Vec<Waker>,
    /// Whoever polls the stack; woken when an application call left it something to do.
    pub(crate) poller: Option<Waker>,
}

impl Engine {
    pub(crate) fn new(config: &Config, device: &impl Device) -> Self {
        let info = device.info();
        let mut rng = ChaCha12Rng::from_seed(config.seed);
        let hasher = Keyed::new([rng.next_u64(), rng.next_u64()]);
        let isns = IsnSource::new(Keyed::new([rng.next_u64(), rng.next_u64()]));
        let mac = HardwareAddress::Ethernet(EthernetAddress(info.mac));
        let mut iface_config = InterfaceConfig::new(mac);
        iface_config.random_seed = rng.next_u64();
        let capabilities = phy::capabilities(&info);
        let mut nothing = phy::Nothing(&capabilities);
        let iface = Interface::new(iface_config, &mut nothing, Clock::Tcp.instant(Instant::ZERO));
        let mut engine = Engine {
            iface,
            capabilities,
            now: Instant::ZERO,
            rng,
            isns,
            flows: Slab::new(),
            tuples: HashMap::with_hasher(hasher),
            listeners: Slab::new(),
            tcp_ports: HashMap::with_hasher(hasher),
            udp_ports: HashMap::with_hasher(hasher),
            handshakes: Handshakes::new(hasher),
            time_wait: TimeWait::new(hasher),
            fragments: FragmentRoutes::default(),
            no_sockets: SocketSet::new(vec![]),
            dirty: VecDeque::new(),
            deadlines: BTreeSet::new(),
            awaiting_neighbour: BTreeSet::new(),
            ipv4: None,
            dhcp: None,
            dhcp_server: None,
            asked: Asked::default(),
            config_waiters: WakerSet::default(),
            budget: Budget::new(config.memory_limit),
            stats: Stats::default(),
            woken: Vec::new(),
            poller: None,
        };
        engine.configure(&config.addressing, link_local(info.mac));
        engine
    }

    pub(crate) fn poll<D: Device>(&mut self, now: Instant, device: &mut D, budget: usize) -> Next {
        self.now = now;
        self.time_wait.expire(now);
        self.expire_deadlines();
        let (rx, tx) = device.split();
        self.repeat_handshakes(tx);
        let more_to_receive = self.ingress(rx, tx, budget);
        let more_to_send = self.egress(tx, budget);
        tx.flush();
        if more_to_receive || more_to_send {
            return Next::Now;
        }
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let others = [self.handshakes.deadline(), self.time_wait.deadline()];
        match others.into_iter().chain([deadline]).flatten().min() {
            Some(deadline) => Next::At(deadline),
            None => Next::Idle,
        }
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
        rx: &mut impl Receiver,
        tx: &mut impl Transmitter,
        budget: usize,
    ) -> bool {
        for _ in 0..budget {
            // A frame may need an answer: without room for it the frame waits in the device.
            if !self.send_fragments(tx) || !tx.is_ready() {
                return true;
            }
            if rx.receive(|frame| self.frame(frame, tx)).is_none() {
                return false;
            }
        }
        true
    }

    fn frame(&mut self, frame: &mut [u8], tx: &mut impl Transmitter) {
        self.stats.frames_received += 1;
        self.stats.bytes_received += frame.len() as u64;
        let parsed = frame::parse(frame);
        match self.fragments.class_of(&parsed) {
            Class::Tcp(segment) => self.tcp_segment(&segment, frame, tx),
            Class::Udp(tuple) => self.udp_datagram(&tuple, frame, tx),
            Class::NeighbourDiscovery => {
                self.feed_none(frame, tx);
                self.retry_awaiting_neighbour();
            }
            Class::Other => self.feed_none(frame, tx),
        }
    }

    fn retry_awaiting_neighbour(&mut self) {
        // They stay until they have sent something: it may have been another neighbour's answer.
        for &id in &self.awaiting_neighbour {
            let Some(flow) = self.flows.get_mut(id) else {
                continue;
            };
            if let Some((udp, _)) = flow.udp() {
                udp.outbox.unpark();
            }
            if !flow.dirty {
                flow.dirty = true;
                self.dirty.push_back(id);
            }
        }
    }

    /// Hands a frame to the flow it is for.
    pub(crate) fn feed(&mut self, id: FlowId, frame: &mut [u8], tx: &mut impl Transmitter) {
        let flow = &mut self.flows[id];
        let mut numbering = flow.kind.numbering();
        if let Some(numbering) = &mut numbering {
            numbering.incoming(frame);
        }
        let mut phy = Phy::with_frame(&self.capabilities, frame, tx).numbered(numbering);
        self.iface.poll_ingress_single(flow.clock.instant(self.now), &mut phy, &mut flow.set);
        let activity = phy.activity;
        self.count_sent(&activity);
        self.mark_dirty(id);
    }

    /// Hands a frame to the interface alone, which answers what needs no socket: ARP, echo requests,
    /// and with a reset or "port unreachable" what is for nobody.
    pub(crate) fn feed_none(&mut self, frame: &[u8], tx: &mut impl Transmitter) {
        let mut phy = Phy::with_frame(&self.capabilities, frame, tx);
        let now = Clock::Tcp.instant(self.now);
        self.iface.poll_ingress_single(now, &mut phy, &mut self.no_sockets);
        let activity = phy.activity;
        self.count_sent(&activity);
    }

    pub(crate) fn count_sent(&mut self, activity: &Activity) {
        self.stats.frames_sent += activity.frames;
        self.stats.bytes_sent += activity.bytes;
    }

    /// Lets dirty flows send until about `budget` frames are out. Returns whether more is to be sent.
    fn egress(&mut self, tx: &mut impl Transmitter, budget: usize) -> bool {
        let mut sent = 0;
        while sent < budget {
            let Some(id) = self.dirty.pop_front() else {
                return false;
            };
            // The flow may have ended since.
            let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.dirty) else {
                continue;
            };
            flow.dirty = false;
            let turn = match flow.kind {
                Kind::Udp(_) => self.send_datagrams(id, tx),
                Kind::Tcp(_) | Kind::Dhcp => self.send(id, tx),
            };
            sent += turn.frames.max(1);
            if turn.blocked {
                self.flows[id].dirty = true;
                self.dirty.push_front(id);
                return true;
            }
            if turn.frames >= FRAMES_PER_TURN {
                self.mark_dirty(id);
            }
            self.settle(id, &turn);
        }
        !self.dirty.is_empty()
    }

    /// Lets one flow send what it may.
    pub(crate) fn send(&mut self, id: FlowId, tx: &mut impl Transmitter) -> Turn {
        let mut turn = Turn::default();
        while turn.frames < FRAMES_PER_TURN {
            // smoltcp forgets a fast retransmission that it has no room for.
            if !self.send_fragments(tx) || !tx.is_ready() {
                turn.blocked = true;
                break;
            }
            let flow = &mut self.flows[id];
            if flow.is_retired() {
                break;
            }
            let now = flow.clock.instant(self.now);
            let numbering = flow.kind.numbering();
            let mut phy = Phy::transmit_only(&self.capabilities, tx).numbered(numbering);
            self.iface.poll_egress(now, &mut phy, &mut flow.set);
            let activity = phy.activity;
            self.count_sent(&activity);
            if activity.payloads > 0 {
                self.awaiting_neighbour.remove(&id);
            }
            if activity.awaits_neighbour() {
                self.awaiting_neighbour.insert(id);
                if let Some(peer) = self.peer_of(id) {
                    self.ask_for_neighbour(peer, activity.frames > 0, tx);
                }
            }
            turn.blocked = activity.blocked;
            turn.searched |= activity.frames > activity.payloads;
            if activity.payloads == 0 {
                break;
            }
            turn.frames += 1;
            if self.is_done_sending(id) {
                break;
            }
        }
        turn
    }

    /// Whether a flow has nothing to send but one acknowledgement at a time. smoltcp forgets to stop
    /// its timer for window probes when the peer has our FIN, and would acknowledge without end.
    fn is_done_sending(&mut self, id: FlowId) -> bool {
        self.flows[id].tcp().is_some_and(|(_, socket)| socket.state() == State::FinWait2)
    }

    /// Sends what is left of a datagram that is being fragmented: smoltcp has room for one, and
    /// would begin the next over it. Returns whether all of it is out.
    pub(crate) fn send_fragments(&mut self, tx: &mut impl Transmitter) -> bool {
        let now = Clock::Tcp.instant(self.now);
        // Without sockets, fragments are the only thing that an interface can be due for.
        while self.iface.poll_at(now, &self.no_sockets).is_some() {
            let mut phy = Phy::transmit_only(&self.capabilities, tx);
            self.iface.poll_egress(now, &mut phy, &mut self.no_sockets);
            let activity = phy.activity;
            self.count_sent(&activity);
            if activity.blocked {
                return false;
            }
        }
        true
    }

    /// Brings everything that hangs on a flow up to date after it changed.
    fn settle(&mut self, id: FlowId, turn: &Turn) {
        let alive = match self.flows[id].kind {
            Kind::Tcp(_) => self.settle_tcp(id),
            Kind::Udp(_) => self.settle_udp(id),
            Kind::Dhcp => self.settle_dhcp(id),
        };
        match alive {
            true => self.schedule(id, turn),
            false => self.remove(id),
        }
    }

    /// Enters a flow's next deadline into the timer queue.
    ///
    /// A deadline that moves further away, as a retransmission's does with every acknowledgement,
    /// leaves the queue alone: the flow is looked at early once and scheduled again.
    fn schedule(&mut self, id: FlowId, turn: &Turn) {
        let flow = &mut self.flows[id];
        if flow.dirty || flow.is_retired() {
            return;
        }
        let state = flow.tcp().map(|(_, socket)| socket.state());
        let due = match state {
            // A reset that finds no neighbour is not worth a second search: an answer sends it.
            Some(State::Closed) if self.awaiting_neighbour.contains(&id) => None,
            _ => self.iface.poll_at(flow.clock.instant(self.now), &flow.set),
        };
        let mut due = due.map(|due| flow.clock.deadline(due));
        if turn.searched {
            due = due.map(|due| due.max(self.now + NEIGHBOUR_RETRY));
        }
        if state == Some(State::TimeWait) && due.is_some_and(|due| due > self.now + ACK_DELAY) {
            // No acknowledgement is owed any more: all that runs is smoltcp's TIME-WAIT.
            return self.retire(id);
        }
        let give_up = match &flow.kind {
            Kind::Tcp(tcp) => tcp.deadline(),
            Kind::Udp(udp) => udp.deadline(),
            Kind::Dhcp => None,
        };
        let Some(mut due) = [due, give_up].into_iter().flatten().min() else {
            return;
        };
        if due <= self.now {
            let is_done_sending = matches!(state, Some(State::FinWait2));
            if turn.frames > 0 && !is_done_sending {
                return self.mark_dirty(id);
            }
            due = self.now + if is_done_sending { NEEDLESS_ACK_RETRY } else { STUCK_RETRY };
        }
        if flow.scheduled.is_some_and(|scheduled| scheduled <= due) {
            return;
        }
        if let Some(later) = flow.scheduled.replace(due) {
            self.deadlines.remove(&(later, id));
        }
        self.deadlines.insert((due, id));
    }

    pub(crate) fn mark_dirty(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(id)
            && !flow.dirty
        {
            flow.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// The largest IP packet that the interface sends, in bytes.
    pub(crate) fn mtu(&self) -> usize {
        self.capabilities.ip_mtu()
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Forgets a flow and gives back what it held.
    pub(crate) fn remove(&mut self, id: FlowId) {
        let mut flow = self.flows.remove(id);
        if let Some(scheduled) = flow.scheduled {
            self.deadlines.remove(&(scheduled, id));
        }
        flow.readers.drain_into(&mut self.woken);
        flow.writers.drain_into(&mut self.woken);
        self.awaiting_neighbour.remove(&id);
        self.budget.release(flow.memory);
        match &flow.kind {
            Kind::Tcp(tcp) if self.tuples.get(&tcp.tuple) == Some(&id) => {
                self.tuples.remove(&tcp.tuple);
            }
            Kind::Tcp(_) => {}
            Kind::Udp(udp) => self.release_udp_port(udp.local.port(), id),
            Kind::Dhcp => {}
        }
    }
}

/// What a flow did in one turn.
#[derive(Default)]
pub(crate) struct Turn {
    /// Frames sent, except searches for a neighbour.
    pub(crate) frames: usize,
    pub(crate) searched: bool,
    pub(crate) blocked: bool,
}
