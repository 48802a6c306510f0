//! A simulated network card, and the switch's view of it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use netdev::{
    Device, DeviceInfo, ETHERNET_HEADER_LEN, FRAME_LEN_MAX, MacAddress, Offloads, Receiver,
    RxOffload, Transmitter, TxOffload,
};
use netstack::Instant;

use crate::{offload, rng::Rng};

/// IP packets in bytes that the simulated links carry.
pub(crate) const MTU: usize = 1500;
/// The longest frame on a link, in bytes.
const FRAME_LEN: usize = MTU + ETHERNET_HEADER_LEN;
/// A card that pauses does so once in so many frames.
const PAUSE_ONE_IN: u64 = 50;

/// What a card does besides carrying frames. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    /// What it does to frames that are transmitted.
    pub offloads: Offloads,
    /// What it does to frames that are received.
    pub reception: Reception,
    /// Bytes of frames that it holds for the link; at least a frame of the link's longest.
    pub tx_region: usize,
    /// How fast it takes frames from the host.
    pub pace: Pace,
    /// Whether it keeps frames to other stations and other groups from the host.
    pub filters: bool,
}

/// How fast a card takes frames from its ring. By default at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// How long a frame takes.
    pub interval: Duration,
    /// Now and then it takes none for up to this long, until faults end.
    pub pause_max: Duration,
}

/// What a card does to received frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// Nothing.
    Plain,
    /// It says which checksums of TCP and UDP are right.
    Verifying,
    /// And joins segments of one flow that wait to one frame, whose checksum is rubbish.
    Joining,
}

impl Default for Card {
    fn default() -> Self {
        Card {
            offloads: Offloads::default(),
            reception: Reception::Plain,
            tx_region: Card::TX_REGION,
            pace: Pace::default(),
            filters: false,
        }
    }
}

impl Card {
    /// As much as our driver has.
    const TX_REGION: usize = 1 << 20;

    /// A card that does everything.
    pub fn able() -> Self {
        let offloads = Offloads { checksum: true, segmentation_v4: true, segmentation_v6: true };
        Card { offloads, reception: Reception::Joining, filters: true, ..Card::default() }
    }

    /// Whether it does what a frame asks for.
    fn takes(&self, offload: &TxOffload) -> bool {
        let Offloads { checksum, segmentation_v4, segmentation_v6 } = self.offloads;
        let cuts = offload.segmentation.is_none_or(|cut| match cut.is_ipv4 {
            true => segmentation_v4,
            false => segmentation_v6,
        });
        (checksum || offload.checksum.is_none()) && cuts
    }
}

/// An interrupt that the host has not seen, if it has asked for one.
#[derive(Debug, Clone, Default)]
struct Line {
    is_masked: Rc<Cell<bool>>,
    is_pending: Rc<Cell<bool>>,
}

impl Line {
    fn raise(&self) {
        self.is_pending.set(self.is_pending.get() || !self.is_masked.get());
    }
}

/// Frames for the host.
#[derive(Debug)]
struct Incoming {
    frames: VecDeque<Vec<u8>>,
    capacity: usize,
    line: Line,
    mac: MacAddress,
    /// The groups that it lets through; all if nobody has said which.
    groups: Option<Vec<MacAddress>>,
    /// Frames that the host has taken.
    taken: u64,
}

impl Incoming {
    /// Whether a frame to a station is for the host.
    fn lets_through(&self, to: &[u8]) -> bool {
        const BROADCAST: [u8; 6] = [0xff; 6];
        self.groups.as_ref().is_none_or(|groups| {
            let is_group = || groups.iter().any(|group| group[..] == *to);
            *to == self.mac || *to == BROADCAST || is_group()
        })
    }
}

/// Frames for the link.
#[derive(Debug)]
struct Outgoing {
    queued: VecDeque<(Vec<u8>, TxOffload)>,
    capacity: usize,
    /// Bytes in the region.
    used: usize,
    /// What the frame that was taken last has been cut into.
    pieces: VecDeque<Vec<u8>>,
    line: Line,
    /// The host has been told that there is no room.
    is_awaited: bool,
    /// Frames that the host has handed over, as they go on the wire.
    handed: u64,
}

/// A host's card.
#[derive(Debug)]
pub(crate) struct Nic {
    mac: MacAddress,
    rx: NicReceiver,
    tx: NicTransmitter,
}

#[derive(Debug)]
pub(crate) struct NicReceiver {
    ring: Rc<RefCell<Incoming>>,
    reception: Reception,
}

#[derive(Debug)]
pub(crate) struct NicTransmitter {
    ring: Rc<RefCell<Outgoing>>,
    card: Card,
}

/// The socket in the wall.
#[derive(Debug)]
pub(crate) struct Port {
    to_host: Rc<RefCell<Incoming>>,
    from_host: Rc<RefCell<Outgoing>>,
    is_interrupted: Rc<Cell<bool>>,
    pace: Pace,
    rng: Rng,
    /// When the next frame may be taken.
    free_at: Instant,
}

/// A card whose rings hold so many frames, and its port. `rng` draws its pauses.
pub(crate) fn nic(
    mac: MacAddress,
    (rx_ring, tx_ring): (usize, usize),
    card: Card,
    rng: Rng,
) -> (Nic, Port) {
    assert!(card.tx_region >= FRAME_LEN, "a region too small for any frame");
    let is_interrupted = Rc::new(Cell::new(false));
    let line = || Line { is_masked: Rc::default(), is_pending: is_interrupted.clone() };
    let to_host = Incoming {
        frames: VecDeque::new(),
        capacity: rx_ring,
        line: line(),
        mac,
        groups: None,
        taken: 0,
    };
    let from_host = Outgoing {
        queued: VecDeque::new(),
        capacity: tx_ring,
        used: 0,
        pieces: VecDeque::new(),
        line: line(),
        is_awaited: false,
        handed: 0,
    };
    let (to_host, from_host) = (Rc::new(RefCell::new(to_host)), Rc::new(RefCell::new(from_host)));
    let rx = NicReceiver { ring: to_host.clone(), reception: card.reception };
    let tx = NicTransmitter { ring: from_host.clone(), card };
    let (pace, free_at) = (card.pace, Instant::ZERO);
    (Nic { mac, rx, tx }, Port { to_host, from_host, is_interrupted, pace, rng, free_at })
}

impl Port {
    /// Puts the frame where the host finds it; without room it is lost.
    pub(crate) fn deliver(&self, frame: Vec<u8>) {
        let mut ring = self.to_host.borrow_mut();
        if ring.frames.len() < ring.capacity && ring.lets_through(&frame[..6]) {
            ring.frames.push_back(frame);
            ring.line.raise();
        }
    }

    /// Whether the card has interrupted the host since the last [`acknowledge`](Self::acknowledge).
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.get()
    }

    pub(crate) fn acknowledge(&self) {
        self.is_interrupted.set(false);
    }

    /// Frames that the host has taken, and that it has handed over, so far.
    pub(crate) fn moved(&self) -> (u64, u64) {
        (self.to_host.borrow().taken, self.from_host.borrow().handed)
    }

    /// The oldest frame that the host has sent, as it goes on the wire, if the card takes it now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        let is_due = self.next_at().is_some_and(|at| at <= now);
        let Outgoing { queued, used, pieces, line, .. } = &mut *self.from_host.borrow_mut();
        if pieces.is_empty() && is_due {
            let (frame, offload) = queued.pop_front()?;
            *used -= frame.len();
            line.raise();
            pieces.extend(offload::transmitted(frame, &offload));
            let Pace { interval, pause_max } = self.pace;
            let pauses = !pause_max.is_zero() && self.rng.one_in(PAUSE_ONE_IN);
            let pause =
                if pauses { self.rng.duration(Duration::ZERO, pause_max) } else { Duration::ZERO };
            self.free_at = now + interval + pause;
        }
        pieces.pop_front()
    }

    /// When it takes the next one, if there is one.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let has_frames = !self.from_host.borrow().queued.is_empty();
        has_frames.then_some(self.free_at)
    }

    /// From the next frame on it does not pause.
    pub(crate) fn heal(&mut self) {
        self.pace.pause_max = Duration::ZERO;
    }
}

impl Device for Nic {
    type Rx = NicReceiver;
    type Tx = NicTransmitter;

    fn info(&self) -> DeviceInfo {
        DeviceInfo { mac: self.mac, mtu: MTU, offloads: self.tx.card.offloads }
    }

    fn split(&mut self) -> (&mut NicReceiver, &mut NicTransmitter) {
        (&mut self.rx, &mut self.tx)
    }

    fn unmask_interrupts(&mut self) -> bool {
        let (rx, tx) = (self.rx.ring.borrow(), self.tx.ring.borrow());
        let (line, has_happened) = match tx.is_awaited {
            true => (&tx.line, self.tx.has_room()),
            false => (&rx.line, !rx.frames.is_empty()),
        };
        line.is_masked.set(has_happened);
        !has_happened
    }

    fn mask_interrupts(&mut self) {
        self.rx.ring.borrow().line.is_masked.set(true);
        self.tx.ring.borrow().line.is_masked.set(true);
    }

    fn set_multicast_filter(&mut self, groups: &[MacAddress]) {
        if self.tx.card.filters {
            self.rx.ring.borrow_mut().groups = Some(groups.to_vec());
        }
    }
}

impl NicReceiver {
    fn take(&mut self) -> Option<(Vec<u8>, RxOffload)> {
        let Incoming { frames, taken, .. } = &mut *self.ring.borrow_mut();
        *taken += u64::from(!frames.is_empty());
        match self.reception {
            Reception::Plain => frames.pop_front().map(|frame| (frame, RxOffload::default())),
            Reception::Verifying => frames.pop_front().map(|frame| {
                let is_verified = offload::is_verified(&frame);
                (frame, RxOffload { is_verified })
            }),
            Reception::Joining => offload::take_joined(frames),
        }
    }
}

impl Receiver for NicReceiver {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        let (mut frame, offload) = self.take()?;
        Some(read(&mut frame, offload))
    }
}

impl NicTransmitter {
    fn room(&self) -> usize {
        self.card.tx_region - self.ring.borrow().used
    }

    fn has_room(&self) -> bool {
        let ring = self.ring.borrow();
        ring.queued.len() < ring.capacity && self.room() >= FRAME_LEN
    }
}

impl Transmitter for NicTransmitter {
    fn is_ready(&mut self) -> bool {
        let has_room = self.has_room();
        self.ring.borrow_mut().is_awaited = !has_room;
        has_room
    }

    fn segmented_len_max(&mut self) -> usize {
        let Offloads { segmentation_v4, segmentation_v6, .. } = self.card.offloads;
        match segmentation_v4 || segmentation_v6 {
            true => self.room().min(FRAME_LEN_MAX),
            false => FRAME_LEN,
        }
    }

    fn transmit<R>(
        &mut self,
        len: usize,
        offload: TxOffload,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        assert!(self.is_ready(), "transmit on a full ring");
        assert!(self.card.takes(&offload), "{:?} for {offload:?}", self.card);
        let len_max = match offload.segmentation {
            Some(_) => self.segmented_len_max(),
            None => FRAME_LEN,
        };
        assert!(len <= len_max, "a frame of {len} bytes where {len_max} fit");
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        offload::check(&frame, &offload, MTU);
        let mut ring = self.ring.borrow_mut();
        ring.used += len;
        ring.handed += offload::frames(len, &offload);
        ring.queued.push_back((frame, offload));
        result
    }

    fn flush(&mut self) {}
}
