//! A split virtqueue (2.7) whose buffers are one region of memory, guarded against the device.
//!
//! A buffer is named by its descriptor, and there is one descriptor per buffer; a request to the
//! device has two, by the first of which it is named. What the device returns is checked against
//! records that it cannot reach.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::mem::{self, ManuallyDrop};
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU16, Ordering, fence};

use spin::Mutex;
use virtio_drivers::transport::Transport;
use virtio_drivers::{BufferDirection, Hal};

use crate::OpenError;
use crate::control;
use crate::dma::Dma;
use crate::error::Direction;
use crate::init;

/// Descriptors of a queue at most: what QEMU's queues have at most. With 2 KiB each, the buffers of
/// the receive queue then take 2 MiB.
const SIZE_MAX: u32 = 1024;
/// Descriptors of a queue at least: the longest frame takes 33 buffers of 2 KiB.
const SIZE_MIN: u32 = 64;

/// `VIRTQ_DESC_F_NEXT` (2.7.5).
const DESCRIPTOR_NEXT: u16 = 1;
/// `VIRTQ_DESC_F_WRITE` (2.7.5).
const DESCRIPTOR_WRITE: u16 = 2;
const DESCRIPTOR_LEN: usize = 16;
/// `VIRTQ_AVAIL_F_NO_INTERRUPT` (2.7.6).
const NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY` (2.7.8).
const NO_NOTIFY: u16 = 1;
/// The flags and the index, before the entries of the available and of the used ring.
const RING_HEADER_LEN: usize = 4;
const USED_ENTRY_LEN: usize = 8;

/// A descriptor (2.7.5).
#[repr(C)]
struct Descriptor {
    address: u64,
    len: u32,
    flags: u16,
    next: u16,
}

/// A buffer that the device is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) id: u16,
    /// Bytes written, according to the device.
    pub(crate) written: u32,
}

/// A virtqueue and the memory that its buffers are in.
pub(crate) struct Ring<H: Hal, T: Transport> {
    transport: Arc<Mutex<T>>,
    index: u16,
    /// Whether the device writes the buffers, rather than reads them.
    is_written: bool,
    /// A power of two.
    size: u16,
    areas: Areas,
    /// What `areas` points to.
    rings: ManuallyDrop<Dma<H>>,
    buffers: ManuallyDrop<Dma<H>>,
    /// By descriptor: whether the device has it.
    is_posted: Box<[bool]>,
    /// The next entry of the available ring to write. This and the next two run on beyond the size,
    /// and wrap.
    available: u16,
    /// The next entry of the used ring to read.
    used: u16,
    /// The device's index of the used ring, as it was read last.
    used_end: u16,
    /// Buffers posted since the device was last told.
    unannounced: u16,
    is_broken: bool,
}

/// The three areas of a virtqueue (2.7).
struct Areas {
    descriptors: NonNull<Descriptor>,
    available: NonNull<u8>,
    used: NonNull<u8>,
}

// SAFETY: the areas belong to the ring and to no thread.
unsafe impl Send for Areas {}

impl<H: Hal, T: Transport> Ring<H, T> {
    /// Sets up a queue as large as the device's, with interrupts masked. `buffers_len` says how many
    /// bytes of buffers that takes. The driver has all of them.
    pub(crate) fn new(
        transport: &Arc<Mutex<T>>,
        index: u16,
        direction: BufferDirection,
        buffers_len: impl FnOnce(u16) -> usize,
    ) -> Result<Self, OpenError> {
        let size = choose_size(transport.lock().max_queue_size(index), index)?;
        let buffers = Dma::new(buffers_len(size), direction)?;
        let layout = Layout::new(size);
        let rings = Dma::new(layout.len, BufferDirection::Both)?;
        let areas = Areas {
            descriptors: rings.pointer(0, layout.available).cast(),
            available: rings.pointer(layout.available, layout.used - layout.available),
            used: rings.pointer(layout.used, layout.len - layout.used),
        };
        if transport.lock().queue_used(index) {
            return Err(OpenError::QueueRefused(index));
        }
        let mut ring = Self {
            transport: transport.clone(),
            index,
            is_written: direction == BufferDirection::DeviceToDriver,
            size,
            areas,
            rings: ManuallyDrop::new(rings),
            buffers: ManuallyDrop::new(buffers),
            is_posted: vec![false; size.into()].into(),
            available: 0,
            used: 0,
            used_end: 0,
            unannounced: 0,
            is_broken: false,
        };
        ring.set_interrupts(false);
        ring.enable(&layout)?;
        Ok(ring)
    }

    fn enable(&mut self, layout: &Layout) -> Result<(), OpenError> {
        let mut transport = self.transport.lock();
        transport.queue_set(
            self.index,
            self.size.into(),
            self.rings.physical(0),
            self.rings.physical(layout.available),
            self.rings.physical(layout.used),
        );
        match transport.queue_used(self.index) {
            true => Ok(()),
            false => Err(OpenError::QueueRefused(self.index)),
        }
    }

    /// Descriptors, and so buffers that the device can have at once.
    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// Whether the device has broken the rules. It gets no more buffers then.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Says where the buffer of a descriptor is, which the device must not have.
    pub(crate) fn place(&mut self, id: u16, offset: usize, len: usize) {
        assert!(!self.is_posted(id), "the device has buffer {id}");
        let flags = if self.is_written { DESCRIPTOR_WRITE } else { 0 };
        self.describe(id, (offset, len), flags, 0);
    }

    /// Says where the device reads a request and where it writes the answer, each by offset and
    /// length. Posted by the descriptor, it takes the next one, too.
    pub(crate) fn place_request(
        &mut self,
        id: u16,
        request: (usize, usize),
        answer: (usize, usize),
    ) {
        let next = id + 1;
        let has_any = self.is_posted(id) || self.is_posted(next);
        assert!(!has_any, "the device has request {id}");
        self.describe(id, request, DESCRIPTOR_NEXT, next);
        self.describe(next, answer, DESCRIPTOR_WRITE, 0);
    }

    /// Writes a descriptor that the device does not have.
    fn describe(&mut self, id: u16, (offset, len): (usize, usize), flags: u16, next: u16) {
        // Nothing beyond the region is ever given away.
        self.buffers.pointer(offset, len);
        let address = self.buffers.physical(offset);
        let descriptor = Descriptor { address, len: len as u32, flags, next };
        // SAFETY: the table has `size` entries, as `is_posted` has, which the callers have looked
        // into, and the device does not read this one.
        unsafe { self.areas.descriptors.add(id.into()).write_volatile(descriptor) };
    }

    /// Bytes of buffers.
    ///
    /// # Safety
    /// The device must not have a buffer that they are part of.
    pub(crate) unsafe fn bytes(&mut self, offset: usize, len: usize) -> &mut [u8] {
        let bytes = self.buffers.pointer(offset, len);
        // SAFETY: they are part of the region, which is initialised (`Hal` zeroes it) and lives as
        // long as `self`. No other reference exists, because this one keeps `self` borrowed, and
        // the device does not access them, says the caller.
        unsafe { slice::from_raw_parts_mut(bytes.as_ptr(), len) }
    }

    /// Whether the device has a buffer.
    pub(crate) fn is_posted(&self, id: u16) -> bool {
        self.is_posted[usize::from(id)]
    }

    /// Gives the device a buffer that it does not have. It learns about it by
    /// [`announce`](Self::announce).
    pub(crate) fn post(&mut self, id: u16) {
        let was_posted = mem::replace(&mut self.is_posted[usize::from(id)], true);
        assert!(!was_posted, "the device has buffer {id}");
        let entry = RING_HEADER_LEN + 2 * usize::from(self.available & (self.size - 1));
        // SAFETY: the ring has `size` entries of two bytes behind its header.
        unsafe { self.areas.available.add(entry).cast::<u16>().write_volatile(id.to_le()) };
        self.available = self.available.wrapping_add(1);
        // The entry and its descriptor must be written before the index (2.7.13.3.1).
        self.available_word(1).store(self.available.to_le(), Ordering::Release);
        self.unannounced += 1;
    }

    /// Whether [`pop`](Self::pop) may find something.
    pub(crate) fn has_used(&mut self) -> bool {
        if self.used != self.used_end {
            return true;
        }
        if self.is_broken {
            return false;
        }
        // Entries must not be read before the index (2.7.14).
        self.used_end = u16::from_le(self.used_word(1).load(Ordering::Acquire));
        if self.used_end.wrapping_sub(self.used) > self.available.wrapping_sub(self.used) {
            self.give_up(format_args!("it returned more buffers than it has"));
        }
        self.used != self.used_end
    }

    /// Takes back the oldest buffer that the device is done with.
    pub(crate) fn pop(&mut self) -> Option<Used> {
        if !self.has_used() {
            return None;
        }
        let (id, written) = self.used_entry(self.used);
        let Some(is_posted) = self.is_posted.get_mut(id as usize).filter(|posted| **posted) else {
            self.give_up(format_args!("it returned buffer {id}, which it does not have"));
            return None;
        };
        *is_posted = false;
        self.used = self.used.wrapping_add(1);
        // What is posted is below `size`, which has 16 bits.
        Some(Used { id: id as u16, written })
    }

    /// Stops using the queue, and says why in the log.
    pub(crate) fn give_up(&mut self, reason: core::fmt::Arguments<'_>) {
        let direction = Direction(self.index);
        log::error!("virtio-net: {direction} queue given up, device is broken: {reason}");
        self.is_broken = true;
        self.used_end = self.used;
        self.set_interrupts(false);
    }

    /// Buffers that the device has not been told about.
    pub(crate) fn unannounced(&self) -> u16 {
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
        let flags = u16::from_le(self.used_word(0).load(Ordering::Relaxed));
        if flags & NO_NOTIFY == 0 {
            self.transport.lock().notify(self.index);
        }
    }

    /// Asks the device for interrupts, or for none (2.7.7). Advisory.
    pub(crate) fn set_interrupts(&mut self, enabled: bool) {
        let flags = if enabled { 0 } else { NO_INTERRUPT };
        self.available_word(0).store(flags.to_le(), Ordering::Relaxed);
    }

    /// Asks for interrupts, unless the device has returned buffers already. Then false.
    pub(crate) fn unmask_interrupts(&mut self) -> bool {
        self.set_interrupts(true);
        // The used index must not be read before the flag is written (2.7.14): a buffer that is
        // returned between the two would wait without an interrupt.
        fence(Ordering::SeqCst);
        let must_poll = self.has_used();
        if must_poll {
            self.set_interrupts(false);
        }
        !must_poll
    }

    /// The flags (0) and the index (1) of the available ring.
    fn available_word(&self, word: usize) -> &AtomicU16 {
        // SAFETY: both are part of the ring, which is aligned and lives as long as `self`.
        unsafe { self.areas.available.cast::<AtomicU16>().add(word).as_ref() }
    }

    /// The flags (0) and the index (1) of the used ring.
    fn used_word(&self, word: usize) -> &AtomicU16 {
        // SAFETY: both are part of the ring, which is aligned and lives as long as `self`.
        unsafe { self.areas.used.cast::<AtomicU16>().add(word).as_ref() }
    }

    /// An entry of the used ring: the descriptor and the bytes written.
    fn used_entry(&self, index: u16) -> (u32, u32) {
        let offset = RING_HEADER_LEN + USED_ENTRY_LEN * usize::from(index & (self.size - 1));
        // SAFETY: the ring has `size` entries of two words behind its header, and is aligned.
        let words = unsafe {
            let entry = self.areas.used.add(offset).cast::<u32>();
            (entry.read_volatile(), entry.add(1).read_volatile())
        };
        (u32::from_le(words.0), u32::from_le(words.1))
    }
}

impl<H: Hal, T: Transport> Drop for Ring<H, T> {
    /// Nothing is freed that the device may still write to. One that does not finish its reset
    /// keeps the memory.
    fn drop(&mut self) {
        if !init::reset(&mut *self.transport.lock()) {
            log::error!("virtio-net: device does not finish its reset, its memory is not freed");
            return;
        }
        // SAFETY: neither field is used after this, because `self` is being dropped.
        unsafe {
            ManuallyDrop::drop(&mut self.rings);
            ManuallyDrop::drop(&mut self.buffers);
        }
    }
}

/// Where the areas are, in bytes from the first one, which is the descriptor table.
struct Layout {
    available: usize,
    used: usize,
    len: usize,
}

impl Layout {
    fn new(size: u16) -> Self {
        let size = usize::from(size);
        let available = DESCRIPTOR_LEN * size;
        // Each ring ends with a word for `VIRTIO_F_EVENT_IDX`.
        let used = (available + RING_HEADER_LEN + 2 * size + 2).next_multiple_of(4);
        Self { available, used, len: used + RING_HEADER_LEN + USED_ENTRY_LEN * size + 2 }
    }
}

/// As large as the device's, but a power of two (2.7).
fn choose_size(size_max: u32, queue: u16) -> Result<u16, OpenError> {
    let size_min = if queue == control::QUEUE { control::DESCRIPTORS } else { SIZE_MIN };
    match size_max {
        0 => Err(OpenError::NoQueue(queue)),
        _ if size_max < size_min => {
            Err(OpenError::QueueTooSmall { queue, size_max, size: size_min as usize })
        }
        _ => Ok(1 << size_max.min(SIZE_MAX).ilog2()),
    }
}
