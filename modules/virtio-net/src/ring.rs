//! A virtqueue and its buffers, one descriptor per frame, guarded against the device.
//!
//! `VirtQueue` takes the device's word for some things: a used buffer that it does not know makes
//! it panic or corrupts its free list. So each one is checked here first, against records that the
//! device cannot reach.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::{self, ManuallyDrop};
use core::sync::atomic::{Ordering, fence};

use spin::Mutex;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Error, Hal};

use crate::OpenError;
use crate::error::Direction;
use crate::init;
use crate::pool::{Pool, Slot};

/// A virtqueue with `N` descriptors, and as many buffers.
pub(crate) struct Ring<H: Hal, T: Transport, const N: usize> {
    transport: Arc<Mutex<T>>,
    index: u16,
    /// Whether the device writes the buffers, rather than reads them.
    is_written: bool,
    /// Boxed, as [`posted`](Self::posted) is: 12 KiB that would move about with the device.
    queue: ManuallyDrop<Box<VirtQueue<H, N>>>,
    pool: ManuallyDrop<Pool<H>>,
    /// What the device holds, by descriptor.
    posted: Box<[Option<Posted>; N]>,
    /// Buffers posted since the device was last told.
    unannounced: usize,
    is_broken: bool,
}

struct Posted {
    slot: Slot,
    len: usize,
}

impl<H: Hal, T: Transport, const N: usize> Ring<H, T, N> {
    /// Sets up a queue, with interrupts masked. The driver has all of its buffers.
    pub(crate) fn new(
        transport: &Arc<Mutex<T>>,
        index: u16,
        direction: BufferDirection,
    ) -> Result<(Self, impl Iterator<Item = Slot> + use<H, T, N>), OpenError> {
        check_size::<N>(transport.lock().max_queue_size(index), index)?;
        // `VirtQueue` requires that N fits 16 bits.
        let (pool, slots) = Pool::new(N as u16, direction)?;
        let queue = VirtQueue::new(&mut *transport.lock(), index, false, false)
            .map_err(|error| open_error(error, index))?;
        let mut ring = Self {
            transport: transport.clone(),
            index,
            is_written: direction == BufferDirection::DeviceToDriver,
            queue: ManuallyDrop::new(Box::new(queue)),
            pool: ManuallyDrop::new(pool),
            posted: Box::new([const { None }; N]),
            unannounced: 0,
            is_broken: false,
        };
        if !transport.lock().queue_used(index) {
            return Err(OpenError::QueueRefused(index));
        }
        ring.set_interrupts(false);
        Ok((ring, slots))
    }

    /// Whether the device has broken the rules. It gets no more buffers back then.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether [`pop`](Self::pop) may find something.
    pub(crate) fn has_used(&self) -> bool {
        !self.is_broken && self.queue.can_pop()
    }

    /// A buffer that the driver has.
    pub(crate) fn lend(&mut self, slot: &mut Slot) -> &mut [u8] {
        self.pool.lend(slot)
    }

    /// Gives the device the first `len` bytes of a buffer. It learns about it by
    /// [`announce`](Self::announce).
    pub(crate) fn post(&mut self, mut slot: Slot, len: usize) {
        let buffer = &mut self.pool.lend(&mut slot)[..len];
        // SAFETY: the buffer is part of `pool`, which lives until the device is reset, and nobody
        // accesses it until `pop`, because that takes the slot, which goes into `posted`.
        let token = unsafe {
            if self.is_written {
                self.queue.add(&[], &mut [buffer])
            } else {
                self.queue.add(&[buffer], &mut [])
            }
        };
        // Each of the N buffers takes one of the N descriptors, and none is in the queue twice.
        let token = token.expect("a descriptor for every buffer");
        self.posted[usize::from(token)] = Some(Posted { slot, len });
        self.unannounced += 1;
    }

    /// Takes back the oldest buffer that the device is done with, and how many bytes of it were
    /// written according to the device.
    pub(crate) fn pop(&mut self) -> Option<(Slot, u32)> {
        if self.is_broken {
            return None;
        }
        // The queue looks at the lower half of the 32-bit id; only whether that one is with the
        // device matters.
        let token = self.queue.peek_used()?;
        let Some(mut posted) = self.posted.get_mut(usize::from(token)).and_then(Option::take)
        else {
            self.give_up(format_args!("it returned buffer {token}, which it does not have"));
            return None;
        };
        let buffer = &mut self.pool.lend(&mut posted.slot)[..posted.len];
        // SAFETY: `post` added the same buffer and got this token.
        let written = unsafe {
            if self.is_written {
                self.queue.pop_used(token, &[], &mut [buffer])
            } else {
                self.queue.pop_used(token, &[buffer], &mut [])
            }
        };
        match written {
            Ok(written) => Some((posted.slot, written)),
            // The ring has changed since `peek_used`. The buffer is lost, as all others are.
            Err(error) => {
                self.give_up(format_args!("it changed its used ring in use: {error}"));
                None
            }
        }
    }

    fn give_up(&mut self, reason: core::fmt::Arguments<'_>) {
        log::error!("virtio-net: {} queue given up, device is broken: {reason}", self.direction());
        self.is_broken = true;
        self.set_interrupts(false);
    }

    pub(crate) fn direction(&self) -> Direction {
        Direction(self.index)
    }

    /// Buffers that the device has not been told about.
    pub(crate) fn unannounced(&self) -> usize {
        self.unannounced
    }

    /// Tells the device about new buffers, unless it says that it looks by itself.
    pub(crate) fn announce(&mut self) {
        if mem::take(&mut self.unannounced) == 0 {
            return;
        }
        // The flag must not be read before the available index is written (2.7.13.4.1): the device
        // sets the flag and looks at the index in the opposite order.
        fence(Ordering::SeqCst);
        if self.queue.should_notify() {
            self.transport.lock().notify(self.index);
        }
    }

    /// Asks the device for interrupts, or for none (2.7.7). Advisory.
    pub(crate) fn set_interrupts(&mut self, enabled: bool) {
        self.queue.set_dev_notify(enabled);
    }
}

impl<H: Hal, T: Transport, const N: usize> Drop for Ring<H, T, N> {
    /// Nothing is freed that the device may still write to. One that does not finish its reset
    /// keeps the memory.
    fn drop(&mut self) {
        if !init::reset(&mut *self.transport.lock()) {
            log::error!("virtio-net: device does not finish its reset, its memory is not freed");
            return;
        }
        // SAFETY: neither field is used after this, because `self` is being dropped.
        unsafe {
            ManuallyDrop::drop(&mut self.queue);
            ManuallyDrop::drop(&mut self.pool);
        }
    }
}

fn check_size<const N: usize>(size_max: u32, queue: u16) -> Result<(), OpenError> {
    match size_max {
        0 => Err(OpenError::NoQueue(queue)),
        _ if (size_max as usize) < N => Err(OpenError::QueueTooSmall { queue, size_max, size: N }),
        _ => Ok(()),
    }
}

/// With the size checked, what remains are a queue in use after a reset, and memory.
fn open_error(error: Error, queue: u16) -> OpenError {
    match error {
        Error::DmaError => OpenError::NoMemory,
        _ => OpenError::QueueRefused(queue),
    }
}
