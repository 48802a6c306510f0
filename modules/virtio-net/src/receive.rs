//! The receiving half: every buffer is with the device, except the one that is being read.

use alloc::sync::Arc;
use core::sync::atomic::{Ordering, fence};

use netdev::{ETHERNET_HEADER_LEN, Receiver};
use spin::Mutex;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal};

use crate::pool::{SLOT_LEN, Slot};
use crate::ring::Ring;
use crate::{HEADER_LEN, OpenError};

/// The index of `receiveq1` (5.1.2).
pub(crate) const QUEUE: u16 = 0;

/// One notification per this fraction of the ring: the device keeps the rest meanwhile, so that
/// it does not run dry.
const ANNOUNCE_FRACTION: usize = 4;

/// The receiving half of a [`VirtioNet`](crate::VirtioNet).
pub struct ReceiveQueue<H: Hal, T: Transport, const N: usize> {
    ring: Ring<H, T, N>,
    dropped: u64,
}

impl<H: Hal, T: Transport, const N: usize> ReceiveQueue<H, T, N> {
    pub(crate) fn new(transport: &Arc<Mutex<T>>) -> Result<Self, OpenError> {
        let (mut ring, slots) = Ring::new(transport, QUEUE, BufferDirection::DeviceToDriver)?;
        for slot in slots {
            ring.post(slot, SLOT_LEN);
        }
        Ok(Self { ring, dropped: 0 })
    }

    /// Frames dropped because no frame can have the length that the device has reported.
    pub fn frames_dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.ring.is_broken()
    }

    pub(crate) fn announce(&mut self) {
        self.ring.announce();
    }

    pub(crate) fn mask_interrupts(&mut self) {
        self.ring.set_interrupts(false);
    }

    /// Of a broken device nothing is waiting, and nothing to come: its owner may sleep.
    pub(crate) fn unmask_interrupts(&mut self) -> bool {
        if self.ring.is_broken() {
            return true;
        }
        self.ring.announce();
        self.ring.set_interrupts(true);
        // The used index must not be read before the flag is written (2.7.14): a frame that
        // arrives between the two would wait without an interrupt.
        fence(Ordering::SeqCst);
        if self.ring.has_used() {
            self.ring.set_interrupts(false);
            return false;
        }
        true
    }

    /// The next frame and its end in the buffer. Frames with impossible lengths are passed over,
    /// at most a ring full of them, so that a device that produces nothing else cannot keep us.
    fn next_frame(&mut self) -> Option<(Slot, usize)> {
        for _ in 0..N {
            let (slot, written) = self.ring.pop()?;
            match frame_end(written) {
                Some(end) => return Some((slot, end)),
                None => self.drop_frame(slot, written),
            }
        }
        None
    }

    fn drop_frame(&mut self, slot: Slot, written: u32) {
        // Once, because the device decides how often this happens.
        if self.dropped == 0 {
            log::warn!("virtio-net: device reports a frame of {written} bytes, which is dropped");
        }
        self.dropped += 1;
        self.repost(slot);
    }

    fn repost(&mut self, slot: Slot) {
        self.ring.post(slot, SLOT_LEN);
        if self.ring.unannounced() >= N / ANNOUNCE_FRACTION {
            self.ring.announce();
        }
    }
}

impl<H: Hal, T: Transport, const N: usize> Receiver for ReceiveQueue<H, T, N> {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let Some((mut slot, end)) = self.next_frame() else {
            // Nothing follows that could complete the batch.
            self.ring.announce();
            return None;
        };
        let result = read(&mut self.ring.lend(&mut slot)[HEADER_LEN..end]);
        self.repost(slot);
        Some(result)
    }
}

/// Where a frame ends in its buffer, if the device has written a header and a frame at all.
fn frame_end(written: u32) -> Option<usize> {
    let end = written as usize;
    (HEADER_LEN + ETHERNET_HEADER_LEN..=SLOT_LEN).contains(&end).then_some(end)
}
