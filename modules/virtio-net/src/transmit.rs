//! The transmitting half. Buffers that the device is done with are taken back when none is left.

use alloc::sync::Arc;
use alloc::{vec, vec::Vec};

use netdev::{ETHERNET_HEADER_LEN, Transmitter};
use spin::Mutex;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal};

use crate::pool::Slot;
use crate::ring::Ring;
use crate::{HEADER_LEN, OpenError};

/// The index of `transmitq1` (5.1.2).
const QUEUE: u16 = 1;

/// The transmitting half of a [`VirtioNet`](crate::VirtioNet).
pub struct TransmitQueue<H: Hal, T: Transport, const N: usize> {
    ring: Ring<H, T, N>,
    frame_len_max: usize,
    /// Buffers that the device does not hold. Their headers are zero, which means that there is
    /// nothing left to do to the frame: the memory began as zeros, and only frames are written.
    free: Vec<Slot>,
}

impl<H: Hal, T: Transport, const N: usize> TransmitQueue<H, T, N> {
    pub(crate) fn new(transport: &Arc<Mutex<T>>, mtu: usize) -> Result<Self, OpenError> {
        let (ring, slots) = Ring::new(transport, QUEUE, BufferDirection::DriverToDevice)?;
        Ok(Self { ring, frame_len_max: mtu + ETHERNET_HEADER_LEN, free: slots.collect() })
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.ring.is_broken()
    }

    /// Takes back what was sent. At most N buffers: no more are with the device.
    fn reclaim(&mut self) {
        while let Some((slot, _)) = self.ring.pop() {
            self.free.push(slot);
        }
    }
}

impl<H: Hal, T: Transport, const N: usize> Transmitter for TransmitQueue<H, T, N> {
    /// A broken device is ready, like a cable that ends nowhere.
    fn is_ready(&mut self) -> bool {
        if self.free.is_empty() {
            self.reclaim();
        }
        !self.free.is_empty() || self.ring.is_broken()
    }

    fn transmit<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(self.is_ready(), "transmit on a full ring");
        assert!(len <= self.frame_len_max, "a frame of {len} bytes exceeds the MTU");
        // Only a broken device is ready without a buffer.
        let Some(mut slot) = self.free.pop() else { return write(&mut vec![0; len]) };
        let result = write(&mut self.ring.lend(&mut slot)[HEADER_LEN..][..len]);
        if self.ring.is_broken() {
            self.free.push(slot);
        } else {
            self.ring.post(slot, HEADER_LEN + len);
        }
        result
    }

    fn flush(&mut self) {
        self.ring.announce();
    }
}
