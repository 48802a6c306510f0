//! The receiving half: every buffer is with the device, except those that are being read.
//!
//! Buffers go back in the order in which they came, so that the buffers of a long frame lie one
//! behind the other, and the frame is read where it is. Only one that goes over the end of the
//! memory is copied, or one from a device that does not use buffers in their order.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use netdev::{ETHERNET_HEADER_LEN, FRAME_LEN_MAX, Receiver, RxOffload};
use spin::Mutex;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal};

use crate::OpenError;
use crate::header::{self, HEADER_LEN};
use crate::init::Features;
use crate::ring::{Ring, Used};

/// The index of `receiveq1` (5.1.2).
pub(crate) const QUEUE: u16 = 0;

/// Bytes of a buffer: a frame of Ethernet's MTU fits, half a page. Measured: streams are as fast as
/// with whole pages.
pub(crate) const BUFFER_LEN: usize = 2048;

/// One notification per this fraction of the ring: the device keeps the rest meanwhile, so that
/// it does not run dry.
const ANNOUNCE_FRACTION: u16 = 4;

/// The receiving half of a [`VirtioNet`](crate::VirtioNet).
///
/// ```no_run
/// # use netdev::Receiver;
/// # use virtio_drivers::{Hal, transport::Transport};
/// # use virtio_net::ReceiveQueue;
/// # fn discard<H: Hal, T: Transport>(rx: &mut ReceiveQueue<H, T>) {
/// while rx.receive(|_, _| ()).is_some() {}
/// # }
/// ```
pub struct ReceiveQueue<H: Hal, T: Transport> {
    ring: Ring<H, T>,
    features: Features,
    /// The buffers of a frame that is being read or is not complete.
    parts: Vec<Used>,
    /// A frame whose buffers do not lie one behind the other.
    copy: Vec<u8>,
    dropped: u64,
}

impl<H: Hal, T: Transport> ReceiveQueue<H, T> {
    pub(crate) fn new(transport: &Arc<Mutex<T>>, features: Features) -> Result<Self, OpenError> {
        let len = |size| usize::from(size) * BUFFER_LEN;
        let mut ring = Ring::new(transport, QUEUE, BufferDirection::DeviceToDriver, len)?;
        for id in 0..ring.size() {
            ring.place(id, usize::from(id) * BUFFER_LEN, BUFFER_LEN);
            ring.post(id);
        }
        Ok(Self { ring, features, parts: Vec::new(), copy: Vec::new(), dropped: 0 })
    }

    /// Frames dropped because no frame can have the length that the device has reported.
    ///
    /// ```no_run
    /// # use netdev::Device;
    /// # use virtio_drivers::{Hal, transport::Transport};
    /// # use virtio_net::VirtioNet;
    /// # fn is_sound<H: Hal, T: Transport>(net: &mut VirtioNet<H, T>) -> bool {
    /// let (rx, _) = net.split();
    /// rx.frames_dropped() == 0
    /// # }
    /// ```
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
        self.ring.is_broken() || self.ring.unmask_interrupts()
    }

    /// Collects the buffers of the next frame in `parts`. False if they are not all there yet.
    fn collect(&mut self) -> bool {
        if self.parts.is_empty() {
            let Some(first) = self.ring.pop() else { return false };
            self.parts.push(first);
        }
        let count = self.count();
        if count > self.ring.size() {
            self.ring.give_up(format_args!("it used {count} buffers for a frame"));
            return false;
        }
        while self.parts.len() < usize::from(count) {
            let Some(next) = self.ring.pop() else { return false };
            self.parts.push(next);
        }
        true
    }

    /// How many buffers the frame has that begins with the first one of `parts`.
    fn count(&mut self) -> u16 {
        if !self.features.mergeable() {
            return 1;
        }
        let first = self.parts[0].id;
        // Of 0 buffers, which no frame has, the first one is here already.
        header::buffers(self.buffers(first, HEADER_LEN)).max(1)
    }

    /// Bytes of buffers that the device does not have, one behind the other from `first` on.
    fn buffers(&mut self, first: u16, len: usize) -> &mut [u8] {
        let count = len.div_ceil(BUFFER_LEN) as u16;
        let has_all = (first..first + count).all(|id| !self.ring.is_posted(id));
        assert!(has_all, "the device has some of the buffers from {first} on");
        // SAFETY: the buffers are where `new` has placed them, and the device has none of them.
        unsafe { self.ring.bytes(usize::from(first) * BUFFER_LEN, len) }
    }

    /// The length of the collected frame with its header, if a frame can have it.
    fn len(&self) -> Option<usize> {
        let mut len = 0;
        for part in &self.parts {
            let written = part.written as usize;
            if written > BUFFER_LEN {
                return None;
            }
            len += written;
        }
        let has_header = self.parts[0].written as usize >= HEADER_LEN;
        let range = HEADER_LEN + ETHERNET_HEADER_LEN..=HEADER_LEN + FRAME_LEN_MAX;
        (has_header && range.contains(&len)).then_some(len)
    }

    /// Whether the collected buffers lie one behind the other, without a gap.
    fn is_contiguous(&self) -> bool {
        self.parts
            .windows(2)
            .all(|pair| pair[1].id == pair[0].id + 1 && pair[0].written as usize == BUFFER_LEN)
    }

    /// The collected frame with its header, which has `len` bytes.
    fn frame(&mut self, len: usize) -> &mut [u8] {
        if self.is_contiguous() {
            return self.buffers(self.parts[0].id, len);
        }
        let mut copy = mem::take(&mut self.copy);
        copy.clear();
        for index in 0..self.parts.len() {
            let part = self.parts[index];
            copy.extend_from_slice(self.buffers(part.id, part.written as usize));
        }
        self.copy = copy;
        &mut self.copy
    }

    fn drop_frame(&mut self) {
        // Once, because the device decides how often this happens.
        if self.dropped == 0 {
            let parts = &self.parts;
            log::warn!("virtio-net: device reports a frame of {parts:?}, which is dropped");
        }
        self.dropped += 1;
        self.recycle();
    }

    /// Gives the collected buffers back.
    fn recycle(&mut self) {
        for part in self.parts.drain(..) {
            self.ring.post(part.id);
        }
        if self.ring.unannounced() >= self.ring.size() / ANNOUNCE_FRACTION {
            self.ring.announce();
        }
    }
}

impl<H: Hal, T: Transport> Receiver for ReceiveQueue<H, T> {
    fn receive<R>(&mut self, read: impl FnOnce(&mut [u8], RxOffload) -> R) -> Option<R> {
        // Frames with impossible lengths are passed over, at most a ring full of them, so that a
        // device that produces nothing else cannot keep us.
        for _ in 0..self.ring.size() {
            if !self.collect() {
                break;
            }
            let Some(len) = self.len() else {
                self.drop_frame();
                continue;
            };
            let (header, frame) = self.frame(len).split_at_mut(HEADER_LEN);
            let result = read(frame, header::received(header));
            self.recycle();
            return Some(result);
        }
        // Nothing follows that could complete the batch.
        self.ring.announce();
        None
    }
}
