//! Two devices joined by a wire in memory: what one end transmits, the other receives, in order.
//!
//! Deterministic and lossless; for tests on the host.
//!
//! ```
//! use netdev::{Device, Transmitter, TxOffload, cable::cable};
//!
//! let (mut left, right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
//! let (_, tx) = left.split();
//! let fits = (0..1000).take_while(|_| {
//!     tx.is_ready() && tx.transmit(60, TxOffload::default(), |_| true)
//! });
//! assert_eq!(fits.count(), 256, "a ring of a usual network card");
//! ```

use alloc::{collections::VecDeque, rc::Rc, vec, vec::Vec};
use core::cell::RefCell;

use crate::{
    Device, DeviceInfo, ETHERNET_HEADER_LEN, MacAddress, Offloads, Receiver, RxOffload,
    Transmitter, TxOffload,
};

/// Frames that each direction of a cable holds: the ring size of a usual NIC, so that a sender that
/// outruns the receiver meets a transmitter that is not ready.
const CAPACITY: usize = 256;

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a cable made by [`cable`].
///
/// ```
/// use netdev::{Device, cable::{CableEnd, cable}};
///
/// let ends: (CableEnd, CableEnd) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// assert_eq!(ends.1.info().mac, [2, 0, 0, 0, 0, 2]);
/// ```
#[derive(Debug)]
pub struct CableEnd {
    info: DeviceInfo,
    rx: CableReceiver,
    tx: CableTransmitter,
}

/// The receiving half of a [`CableEnd`].
///
/// ```
/// # use netdev::{Device, Receiver, cable::{CableReceiver, cable}};
/// # let (mut left, _) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// let rx: &mut CableReceiver = left.split().0;
/// assert_eq!(rx.receive(|frame, _| frame.len()), None);
/// ```
#[derive(Debug)]
pub struct CableReceiver(Queue);

/// The transmitting half of a [`CableEnd`].
///
/// ```
/// # use netdev::{Device, Transmitter, cable::{CableTransmitter, cable}};
/// # let (mut left, _) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// let tx: &mut CableTransmitter = left.split().1;
/// assert!(tx.is_ready());
/// ```
#[derive(Debug)]
pub struct CableTransmitter {
    queue: Queue,
    frame_len_max: usize,
    /// Somebody has been told that there is no room.
    is_awaited: bool,
}

/// Joins two devices with the given addresses; both have an MTU of `mtu` bytes.
///
/// ```
/// use netdev::{Device, Receiver, Transmitter, TxOffload, cable::cable};
///
/// let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
/// left.split().1.transmit(60, TxOffload::default(), |frame| frame.fill(7));
/// assert_eq!(right.split().0.receive(|frame, _| frame.len()), Some(60));
/// assert_eq!(right.split().0.receive(|frame, _| frame.len()), None);
/// ```
pub fn cable(left: MacAddress, right: MacAddress, mtu: usize) -> (CableEnd, CableEnd) {
    let (to_right, to_left) = (Queue::default(), Queue::default());
    let end = |mac, rx: &Queue, tx: &Queue| CableEnd {
        info: DeviceInfo { mac, mtu, offloads: Offloads::default() },
        rx: CableReceiver(rx.clone()),
        tx: CableTransmitter {
            queue: tx.clone(),
            frame_len_max: mtu + ETHERNET_HEADER_LEN,
            is_awaited: false,
        },
    };
    (end(left, &to_left, &to_right), end(right, &to_right, &to_left))
}

impl Device for CableEnd {
    type Rx = CableReceiver;
    type Tx = CableTransmitter;

    fn info(&self) -> DeviceInfo {
        self.info
    }

    fn split(&mut self) -> (&mut CableReceiver, &mut CableTransmitter) {
        (&mut self.rx, &mut self.tx)
    }

    fn unmask_interrupts(&mut self) -> bool {
        match self.tx.is_awaited {
            true => !self.tx.has_room(),
            false => self.rx.0.borrow().is_empty(),
        }
    }

    fn mask_interrupts(&mut self) {}
}

impl Receiver for CableReceiver {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        let mut frame = self.0.borrow_mut().pop_front()?;
        Some(read(&mut frame, RxOffload::default()))
    }
}

impl CableTransmitter {
    fn has_room(&self) -> bool {
        self.queue.borrow().len() < CAPACITY
    }
}

impl Transmitter for CableTransmitter {
    fn is_ready(&mut self) -> bool {
        self.is_awaited = !self.has_room();
        !self.is_awaited
    }

    fn segmented_len_max(&mut self) -> usize {
        self.frame_len_max
    }

    fn transmit<R>(
        &mut self,
        len: usize,
        offload: TxOffload,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        assert!(self.is_ready(), "transmit on a full cable");
        assert_eq!(offload, TxOffload::default(), "a cable does nothing to frames");
        assert!(len <= self.frame_len_max, "a frame of {len} bytes exceeds the MTU");
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.queue.borrow_mut().push_back(frame);
        result
    }

    fn flush(&mut self) {}
}
