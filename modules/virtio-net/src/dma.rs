//! Memory that the device reads and writes.

use core::marker::PhantomData;
use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::OpenError;

/// One contiguous region, zeroed at first.
pub(crate) struct Dma<H: Hal> {
    paddr: PhysAddr,
    base: NonNull<u8>,
    pages: usize,
    hal: PhantomData<H>,
}

impl<H: Hal> Dma<H> {
    /// Allocates `len` bytes, not 0.
    pub(crate) fn new(len: usize, direction: BufferDirection) -> Result<Self, OpenError> {
        let pages = len.div_ceil(PAGE_SIZE);
        let (paddr, base) = H::dma_alloc(pages, direction);
        if paddr == 0 {
            return Err(OpenError::NoMemory);
        }
        Ok(Self { paddr, base, pages, hal: PhantomData })
    }

    pub(crate) fn len(&self) -> usize {
        self.pages * PAGE_SIZE
    }

    /// Where the device finds the byte at `offset`.
    pub(crate) fn physical(&self, offset: usize) -> PhysAddr {
        self.paddr + offset as PhysAddr
    }

    /// A pointer to the `len` bytes at `offset`, valid as long as `self`.
    ///
    /// # Panics
    /// When they are not part of the region.
    pub(crate) fn pointer(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset <= self.len() && len <= self.len() - offset, "beyond the DMA region");
        // SAFETY: the offset lies within the allocation (just checked).
        unsafe { self.base.add(offset) }
    }
}

// SAFETY: the memory belongs to the region and to no thread, and `Hal`'s functions have no receiver
// that would.
unsafe impl<H: Hal> Send for Dma<H> {}

impl<H: Hal> Drop for Dma<H> {
    fn drop(&mut self) {
        // SAFETY: these are the values that `dma_alloc` was called with and returned, and this is
        // the only call.
        let status = unsafe { H::dma_dealloc(self.paddr, self.base, self.pages) };
        if status != 0 {
            log::error!("virtio-net: freeing {} DMA pages failed: {status}", self.pages);
        }
    }
}
