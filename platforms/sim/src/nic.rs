//! A simulated network card, and the switch's view of it.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use netdev::{
    Device, DeviceInfo, ETHERNET_HEADER_LEN, FRAME_LEN_MAX, MacAddress, Offloads, Receiver,
    RxOffload, Transmitter, TxOffload,
};

use crate::offload;

/// IP packets in bytes that the simulated links carry.
pub(crate) const MTU: usize = 1500;
/// The longest frame on a link, in bytes.
const FRAME_LEN: usize = MTU + ETHERNET_HEADER_LEN;

/// What a card does besides carrying frames. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    /// What it does to frames that are transmitted.
    pub offloads: Offloads,
    /// What it does to frames that are received.
    pub reception: Reception,
    /// Bytes of frames that it holds for the link; at least a frame of the link's longest.
    pub tx_region: usize,
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
        }
    }
}

impl Card {
    /// As much as our driver has.
    const TX_REGION: usize = 1 << 20;

    /// A card that does everything.
    pub fn able() -> Self {
        let offloads = Offloads { checksum: true, segmentation_v4: true, segmentation_v6: true };
        Card { offloads, reception: Reception::Joining, tx_region: Card::TX_REGION }
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

/// Frames for the host.
#[derive(Debug)]
struct Incoming {
    frames: VecDeque<Vec<u8>>,
    capacity: usize,
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
}

/// A card whose rings hold so many frames, and its port.
pub(crate) fn nic(mac: MacAddress, rx_ring: usize, tx_ring: usize, card: Card) -> (Nic, Port) {
    assert!(card.tx_region >= FRAME_LEN, "a region too small for any frame");
    let to_host = Incoming { frames: VecDeque::new(), capacity: rx_ring };
    let from_host =
        Outgoing { queued: VecDeque::new(), capacity: tx_ring, used: 0, pieces: VecDeque::new() };
    let (to_host, from_host) = (Rc::new(RefCell::new(to_host)), Rc::new(RefCell::new(from_host)));
    let rx = NicReceiver { ring: to_host.clone(), reception: card.reception };
    let tx = NicTransmitter { ring: from_host.clone(), card };
    (Nic { mac, rx, tx }, Port { to_host, from_host })
}

impl Port {
    /// Puts the frame where the host finds it; without room it is lost.
    pub(crate) fn deliver(&self, frame: Vec<u8>) {
        let Incoming { frames, capacity } = &mut *self.to_host.borrow_mut();
        if frames.len() < *capacity {
            frames.push_back(frame);
        }
    }

    /// Whether the host has frames that it has not taken.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.to_host.borrow().frames.is_empty()
    }

    /// The oldest frame that the host has sent, as it goes on the wire.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let Outgoing { queued, used, pieces, .. } = &mut *self.from_host.borrow_mut();
        if pieces.is_empty() {
            let (frame, offload) = queued.pop_front()?;
            *used -= frame.len();
            pieces.extend(offload::transmitted(frame, &offload));
        }
        pieces.pop_front()
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
        self.rx.ring.borrow().frames.is_empty()
    }

    fn mask_interrupts(&mut self) {}
}

impl NicReceiver {
    fn take(&mut self) -> Option<(Vec<u8>, RxOffload)> {
        let frames = &mut self.ring.borrow_mut().frames;
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
}

impl Transmitter for NicTransmitter {
    fn is_ready(&mut self) -> bool {
        let ring = self.ring.borrow();
        ring.queued.len() < ring.capacity && self.room() >= FRAME_LEN
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
        ring.queued.push_back((frame, offload));
        result
    }

    fn flush(&mut self) {}
}
