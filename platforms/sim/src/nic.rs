//! A simulated network card, and the switch's view of it.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use netdev::{Device, DeviceInfo, ETHERNET_HEADER_LEN, MacAddress, Receiver, Transmitter};

/// IP packets in bytes that the simulated links carry.
pub(crate) const MTU: usize = 1500;

#[derive(Debug)]
struct Ring {
    frames: VecDeque<Vec<u8>>,
    capacity: usize,
}

type SharedRing = Rc<RefCell<Ring>>;

/// A host's card.
#[derive(Debug)]
pub(crate) struct Nic {
    mac: MacAddress,
    rx: NicReceiver,
    tx: NicTransmitter,
}

#[derive(Debug)]
pub(crate) struct NicReceiver(SharedRing);

#[derive(Debug)]
pub(crate) struct NicTransmitter(SharedRing);

/// The socket in the wall.
#[derive(Debug)]
pub(crate) struct Port {
    to_host: SharedRing,
    from_host: SharedRing,
}

/// A card whose rings hold so many frames, and its port.
pub(crate) fn nic(mac: MacAddress, rx_ring: usize, tx_ring: usize) -> (Nic, Port) {
    let ring = |capacity| Rc::new(RefCell::new(Ring { frames: VecDeque::new(), capacity }));
    let (to_host, from_host) = (ring(rx_ring), ring(tx_ring));
    let (rx, tx) = (NicReceiver(to_host.clone()), NicTransmitter(from_host.clone()));
    (Nic { mac, rx, tx }, Port { to_host, from_host })
}

impl Port {
    /// Whether there was room for the frame; without, it is lost.
    pub(crate) fn deliver(&self, frame: Vec<u8>) -> bool {
        self.to_host.borrow_mut().push(frame)
    }

    /// Whether the host has frames that it has not taken.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.to_host.borrow().frames.is_empty()
    }

    /// The oldest frame that the host has sent.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        self.from_host.borrow_mut().frames.pop_front()
    }
}

impl Ring {
    fn has_room(&self) -> bool {
        self.frames.len() < self.capacity
    }

    fn push(&mut self, frame: Vec<u8>) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.frames.push_back(frame);
        }
        has_room
    }
}

impl Device for Nic {
    type Rx = NicReceiver;
    type Tx = NicTransmitter;

    fn info(&self) -> DeviceInfo {
        DeviceInfo { mac: self.mac, mtu: MTU }
    }

    fn split(&mut self) -> (&mut NicReceiver, &mut NicTransmitter) {
        (&mut self.rx, &mut self.tx)
    }

    fn unmask_interrupts(&mut self) -> bool {
        self.rx.0.borrow().frames.is_empty()
    }

    fn mask_interrupts(&mut self) {}
}

impl Receiver for NicReceiver {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let mut frame = self.0.borrow_mut().frames.pop_front()?;
        Some(read(&mut frame))
    }
}

impl Transmitter for NicTransmitter {
    fn is_ready(&mut self) -> bool {
        self.0.borrow().has_room()
    }

    fn transmit<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(len <= MTU + ETHERNET_HEADER_LEN, "a frame of {len} bytes exceeds the MTU");
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        assert!(self.0.borrow_mut().push(frame), "transmit on a full ring");
        result
    }

    fn flush(&mut self) {}
}
