//! Buffers in memory that the device reads and writes.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::OpenError;

/// Bytes of a buffer: half a page holds the header and a frame with an MTU of up to 2022.
pub(crate) const SLOT_LEN: usize = PAGE_SIZE / 2;

/// A buffer of one [`Pool`]. Whoever has it may access the buffer; there is one per buffer.
#[derive(Debug)]
pub(crate) struct Slot(u16);

/// One contiguous region of DMA memory, divided into buffers.
pub(crate) struct Pool<H: Hal> {
    paddr: PhysAddr,
    base: NonNull<u8>,
    pages: usize,
    hal: PhantomData<H>,
}

impl<H: Hal> Pool<H> {
    /// Allocates `count` zeroed buffers, and says which they are.
    pub(crate) fn new(
        count: u16,
        direction: BufferDirection,
    ) -> Result<(Self, impl Iterator<Item = Slot> + use<H>), OpenError> {
        let pages = (usize::from(count) * SLOT_LEN).div_ceil(PAGE_SIZE);
        let (paddr, base) = H::dma_alloc(pages, direction);
        if paddr == 0 {
            return Err(OpenError::NoMemory);
        }
        Ok((Self { paddr, base, pages, hal: PhantomData }, (0..count).map(Slot)))
    }

    /// A buffer, as long as neither it nor its slot is with the device.
    pub(crate) fn lend(&mut self, slot: &mut Slot) -> &mut [u8] {
        let offset = usize::from(slot.0) * SLOT_LEN;
        assert!(offset + SLOT_LEN <= self.pages * PAGE_SIZE, "a slot of another pool");
        // SAFETY: the range lies within the allocation (just checked), which is initialised (`Hal`
        // zeroes it) and lives as long as `self`. No other reference to the range exists: slots do
        // not overlap, there is one `Slot` per buffer, and it stays borrowed with the result.
        unsafe { slice::from_raw_parts_mut(self.base.add(offset).as_ptr(), SLOT_LEN) }
    }
}

// SAFETY: the memory belongs to the pool and to no thread, and `Hal`'s functions have no receiver
// that would.
unsafe impl<H: Hal> Send for Pool<H> {}

impl<H: Hal> Drop for Pool<H> {
    fn drop(&mut self) {
        // SAFETY: these are the values that `dma_alloc` was called with and returned, and this is
        // the only call.
        let status = unsafe { H::dma_dealloc(self.paddr, self.base, self.pages) };
        if status != 0 {
            log::error!("virtio-net: freeing {} DMA pages failed: {status}", self.pages);
        }
    }
}
