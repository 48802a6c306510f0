//! The transmitting half. Frames are written one behind the other into one region of memory, whose
//! end is followed by its beginning. What the device is done with is taken back when a batch begins
//! and when there is no room.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

use netdev::{ETHERNET_HEADER_LEN, FRAME_LEN_MAX, Transmitter, TxOffload};
use spin::Mutex;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal};

use crate::OpenError;
use crate::header::{self, HEADER_LEN};
use crate::init::Features;
use crate::ring::Ring;

/// The index of `transmitq1` (5.1.2).
const QUEUE: u16 = 1;

/// Frames begin where a cache line does, so that the device reads none that is being written.
const FRAME_ALIGN: usize = 64;
/// Bytes of frames that wait for the device: three of the longest, one that the device reads, one
/// that is being written and one between them. Measured: a stream is as fast as with sixteen.
const REGION_LEN: usize = 3 * (HEADER_LEN + FRAME_LEN_MAX).next_multiple_of(FRAME_ALIGN);

/// The transmitting half of a [`VirtioNet`](crate::VirtioNet).
///
/// ```no_run
/// # use netdev::{Transmitter, TxOffload};
/// # use virtio_drivers::{Hal, transport::Transport};
/// # use virtio_net::TransmitQueue;
/// # fn send<H: Hal, T: Transport>(tx: &mut TransmitQueue<H, T>, frame: &[u8]) {
/// tx.transmit(frame.len(), TxOffload::default(), |room| room.copy_from_slice(frame));
/// tx.flush();
/// # }
/// ```
pub struct TransmitQueue<H: Hal, T: Transport> {
    ring: Ring<H, T>,
    features: Features,
    frame_len_max: usize,
    /// Frames queued so far. Their descriptors follow each other; this and the next one wrap.
    queued: u16,
    /// Frames taken back so far.
    taken_back: u16,
    /// Where the next frame begins. This and the next one count on beyond the region's end.
    head: usize,
    /// Where the oldest frame begins that has not been taken back.
    tail: usize,
    /// By descriptor: where its frame ends.
    ends: Box<[usize]>,
    /// Somebody has been told that there is no room.
    is_awaited: bool,
}

impl<H: Hal, T: Transport> TransmitQueue<H, T> {
    pub(crate) fn new(
        transport: &Arc<Mutex<T>>,
        features: Features,
        mtu: usize,
    ) -> Result<Self, OpenError> {
        let ring = Ring::new(transport, QUEUE, BufferDirection::DriverToDevice, |_| REGION_LEN)?;
        let ends = vec![0; ring.size().into()].into();
        Ok(Self {
            ring,
            features,
            frame_len_max: mtu + ETHERNET_HEADER_LEN,
            queued: 0,
            taken_back: 0,
            head: 0,
            tail: 0,
            ends,
            is_awaited: false,
        })
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.ring.is_broken()
    }

    pub(crate) fn mask_interrupts(&mut self) {
        self.ring.set_interrupts(false);
    }

    /// Whether somebody waits for room. Of a broken device nobody does.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited && !self.ring.is_broken()
    }

    /// Asks for an interrupt when a frame has been sent, unless one has, or it turns out that none
    /// will be. Then false.
    pub(crate) fn unmask_interrupts(&mut self) -> bool {
        self.ring.unmask_interrupts() && !self.ring.is_broken()
    }

    /// Takes back what was sent. A device may be done with frames in any order; their memory is
    /// free in the order in which they were queued.
    fn reclaim(&mut self) {
        while self.ring.pop().is_some() {}
        while self.taken_back != self.queued && !self.ring.is_posted(self.id(self.taken_back)) {
            self.tail = self.ends[usize::from(self.id(self.taken_back))];
            self.taken_back = self.taken_back.wrapping_add(1);
        }
        if self.taken_back == self.queued {
            // Memory that is in the cache is better than memory that is not.
            (self.head, self.tail) = (0, 0);
        }
    }

    /// The descriptor of a frame.
    fn id(&self, frame: u16) -> u16 {
        frame & (self.ring.size() - 1)
    }

    /// Bytes that are free from the head up to the region's end, and from its beginning on.
    fn free(&self) -> (usize, usize) {
        if self.queued.wrapping_sub(self.taken_back) == self.ring.size() {
            return (0, 0);
        }
        let free = REGION_LEN - (self.head - self.tail);
        let at_end = REGION_LEN - self.head % REGION_LEN;
        (free.min(at_end), free.saturating_sub(at_end))
    }

    /// Bytes of the longest frame that there is room for.
    fn room(&self) -> usize {
        let (at_end, at_beginning) = self.free();
        at_end.max(at_beginning).saturating_sub(HEADER_LEN)
    }

    /// Finds room for a frame with its header: its descriptor, and where it begins.
    ///
    /// # Panics
    /// There is none.
    fn place(&mut self, len: usize) -> (u16, usize) {
        let (at_end, at_beginning) = self.free();
        if at_end < len {
            assert!(at_beginning >= len, "transmit on a full ring");
            self.head = self.head.next_multiple_of(REGION_LEN);
        }
        let (id, offset) = (self.id(self.queued), self.head % REGION_LEN);
        self.head += len.next_multiple_of(FRAME_ALIGN);
        self.ends[usize::from(id)] = self.head;
        self.ring.place(id, offset, len);
        (id, offset)
    }

    fn check(&mut self, len: usize, offload: &TxOffload) {
        let len_max = match offload.segmentation {
            None => self.frame_len_max,
            Some(_) => self.segmented_len_max(),
        };
        assert!(len <= len_max, "a frame of {len} bytes exceeds the MTU or what can be cut");
        assert!(self.features.takes(offload), "the device does not do that: {offload:?}");
    }
}

impl<H: Hal, T: Transport> Transmitter for TransmitQueue<H, T> {
    /// A broken device is ready, like a cable that ends nowhere.
    fn is_ready(&mut self) -> bool {
        let mut room = self.room();
        if room < self.frame_len_max {
            self.reclaim();
            room = self.room();
        }
        self.is_awaited = room < self.frame_len_max;
        !self.is_awaited || self.ring.is_broken()
    }

    fn segmented_len_max(&mut self) -> usize {
        match self.features.segmentation() && !self.ring.is_broken() {
            true => self.room().min(FRAME_LEN_MAX),
            false => self.frame_len_max,
        }
    }

    fn transmit<R>(
        &mut self,
        len: usize,
        offload: TxOffload,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if self.ring.is_broken() {
            return write(&mut vec![0; len]);
        }
        self.check(len, &offload);
        let (id, offset) = self.place(HEADER_LEN + len);
        // SAFETY: the bytes are those of buffer `id` alone, which has just been placed: what the
        // device has lies between the tail and the head as it was before.
        let bytes = unsafe { self.ring.bytes(offset, HEADER_LEN + len) };
        let (header, frame) = bytes.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&header::transmitted(&offload));
        let result = write(frame);
        self.ring.post(id);
        self.queued = self.queued.wrapping_add(1);
        result
    }

    fn flush(&mut self) {
        self.ring.announce();
        // Once for a batch; what has just been announced comes back the next time. Not if somebody has
        // been told that there is no room: what makes some is to end his sleep.
        if !self.is_awaited {
            self.reclaim();
        }
    }
}
