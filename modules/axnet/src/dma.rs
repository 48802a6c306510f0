//! Memory that devices read and write.

use core::ptr::NonNull;

use axalloc::{UsageKind, global_allocator};
use axhal::mem::{PAGE_SIZE_4K, VirtAddr, pa, phys_to_virt, virt_to_phys};
use qemu_x86_64::paging;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// The kernel's memory as virtio drivers use it. Nothing is copied: all memory is mapped linearly,
/// so that any buffer can be lent to a device.
#[derive(Debug)]
pub(crate) struct ArceOsHal;

// SAFETY: `dma_alloc` gives zeroed, page-aligned pages of the global allocator, which nobody else
// has until `dma_dealloc`; `mmio_phys_to_virt` gives an address mapped for good.
unsafe impl Hal for ArceOsHal {
    /// Out of memory, the physical address is 0, which the callers take for an error.
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let Some(address) = allocate_pages(pages) else {
            log::error!("no memory for {} KiB of DMA buffers", pages * PAGE_SIZE_4K / 1024);
            return (0, NonNull::dangling());
        };
        // SAFETY: the pages were just allocated, and nobody else knows of them.
        unsafe { address.write_bytes(0, pages * PAGE_SIZE_4K) };
        (physical(address), address)
    }

    unsafe fn dma_dealloc(_: PhysAddr, address: NonNull<u8>, pages: usize) -> i32 {
        global_allocator().dealloc_pages(address.as_ptr() as usize, pages, UsageKind::Dma);
        0
    }

    /// # Panics
    /// When there is no memory for page tables.
    unsafe fn mmio_phys_to_virt(address: PhysAddr, size: usize) -> NonNull<u8> {
        let address = address as usize;
        paging::map_device::<Self>(address, size);
        // The kernel's half of the address space does not contain 0.
        NonNull::new(phys_to_virt(pa!(address)).as_mut_ptr()).expect("kernel address is not null")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        physical(buffer.cast())
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

fn allocate_pages(pages: usize) -> Option<NonNull<u8>> {
    let address = global_allocator().alloc_pages(pages, PAGE_SIZE_4K, UsageKind::Dma).ok()?;
    NonNull::new(address as *mut u8)
}

fn physical(address: NonNull<u8>) -> PhysAddr {
    virt_to_phys(VirtAddr::from_mut_ptr_of(address.as_ptr())).as_usize() as PhysAddr
}
