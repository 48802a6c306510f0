//! A link in memory: two rings of frames that are allocated once.
//!
//! Leaner than `netdev::cable`, which allocates every frame, and a device for either stack, so that
//! both pay the same for it.

use std::{cell::RefCell, rc::Rc};

use netdev::{
    Device, DeviceInfo, ETHERNET_HEADER_LEN, MacAddress, Offloads, Receiver, RxOffload,
    Transmitter, TxOffload,
};
use smoltcp::{
    phy::{self, DeviceCapabilities, Medium},
    time::Instant,
};

const MTU: usize = 1500;
const FRAME_LEN_MAX: usize = MTU + ETHERNET_HEADER_LEN;
/// Frames that a ring holds: as many as a usual NIC's.
const CAPACITY: usize = 256;

struct Ring {
    frames: Vec<[u8; FRAME_LEN_MAX]>,
    lens: Vec<usize>,
    sent: usize,
    received: usize,
}

impl Ring {
    fn new() -> Rc<RefCell<Ring>> {
        let (frames, lens) = (vec![[0; FRAME_LEN_MAX]; CAPACITY], vec![0; CAPACITY]);
        Rc::new(RefCell::new(Ring { frames, lens, sent: 0, received: 0 }))
    }

    fn is_empty(&self) -> bool {
        self.sent == self.received
    }

    fn is_full(&self) -> bool {
        self.sent - self.received == CAPACITY
    }

    fn push<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(!self.is_full(), "transmit on a full ring");
        let slot = self.sent % CAPACITY;
        self.lens[slot] = len;
        self.sent += 1;
        write(&mut self.frames[slot][..len])
    }

    fn pop<R>(&mut self, read: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let slot = self.received % CAPACITY;
        self.received += 1;
        Some(read(&mut self.frames[slot][..self.lens[slot]]))
    }
}

/// The receiving half of an end.
pub(crate) struct Rx(Rc<RefCell<Ring>>);

/// The transmitting half of an end.
pub(crate) struct Tx(Rc<RefCell<Ring>>);

/// One end of a link.
pub(crate) struct End {
    mac: MacAddress,
    rx: Rx,
    tx: Tx,
}

pub(crate) const SERVER_MAC: MacAddress = [2, 0, 0, 0, 0, 1];
pub(crate) const CLIENT_MAC: MacAddress = [2, 0, 0, 0, 0, 2];

/// A link between the server and the client.
pub(crate) fn link() -> (End, End) {
    let (one, other) = (Ring::new(), Ring::new());
    let server = End { mac: SERVER_MAC, rx: Rx(one.clone()), tx: Tx(other.clone()) };
    let client = End { mac: CLIENT_MAC, rx: Rx(other), tx: Tx(one) };
    (server, client)
}

impl End {
    /// Whether a frame waits to be received.
    pub(crate) fn has_frames(&self) -> bool {
        !self.rx.0.borrow().is_empty()
    }

    /// Frames that both ends have sent.
    pub(crate) fn frames(&self) -> usize {
        self.rx.0.borrow().sent + self.tx.0.borrow().sent
    }
}

impl Device for End {
    type Rx = Rx;
    type Tx = Tx;

    fn info(&self) -> DeviceInfo {
        DeviceInfo { mac: self.mac, mtu: MTU, offloads: Offloads::default() }
    }

    fn split(&mut self) -> (&mut Rx, &mut Tx) {
        (&mut self.rx, &mut self.tx)
    }

    fn unmask_interrupts(&mut self) -> bool {
        !self.has_frames()
    }

    fn mask_interrupts(&mut self) {}
}

impl Receiver for Rx {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        self.0.borrow_mut().pop(|frame| read(frame, RxOffload::default()))
    }
}

impl Transmitter for Tx {
    fn is_ready(&mut self) -> bool {
        !self.0.borrow().is_full()
    }

    fn segmented_len_max(&mut self) -> usize {
        FRAME_LEN_MAX
    }

    fn transmit<R>(&mut self, len: usize, _: TxOffload, write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.0.borrow_mut().push(len, write)
    }

    fn flush(&mut self) {}
}

impl phy::Device for End {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        self.has_frames().then_some((RxToken(&mut self.rx), TxToken(&mut self.tx)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        self.tx.is_ready().then_some(TxToken(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_LEN_MAX;
        capabilities
    }
}

/// smoltcp's right to one received frame.
pub(crate) struct RxToken<'a>(&'a mut Rx);

/// smoltcp's right to send one frame.
pub(crate) struct TxToken<'a>(&'a mut Tx);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        self.0.receive(|frame, _| read(frame)).expect("a token is given out for a waiting frame")
    }
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.transmit(len, TxOffload::default(), write)
    }
}
