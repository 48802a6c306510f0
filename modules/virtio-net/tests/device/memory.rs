//! DMA memory on the host's heap, at "physical" addresses that are its own. Books are kept per
//! thread, and so per test.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::{NonNull, with_exposed_provenance, with_exposed_provenance_mut};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

#[derive(Debug)]
pub struct FakeHal;

#[derive(Default)]
struct Books {
    /// Pages by address.
    live: BTreeMap<usize, usize>,
    /// Those allocations that a device knows of.
    in_use: BTreeSet<usize>,
    allocations_left: Option<usize>,
}

thread_local! {
    static BOOKS: RefCell<Books> = RefCell::default();
}

/// Allocations that have not been freed.
pub fn live() -> usize {
    BOOKS.with_borrow(|books| books.live.len())
}

/// Makes every allocation fail after some more.
pub fn set_allocations_left(count: usize) {
    BOOKS.with_borrow_mut(|books| books.allocations_left = Some(count));
}

/// A device learns about an address, whose allocation may not be freed from here on.
pub fn set_in_use(address: PhysAddr) {
    BOOKS.with_borrow_mut(|books| {
        let address = address as usize;
        let (&base, &pages) = books.live.range(..=address).next_back().expect("no DMA memory");
        assert!(address < base + pages * PAGE_SIZE, "beyond DMA memory");
        books.in_use.insert(base);
    });
}

/// A device has forgotten all addresses.
pub fn set_unused() {
    BOOKS.with_borrow_mut(|books| books.in_use.clear());
}

pub fn load<V: Copy>(address: PhysAddr) -> V {
    // SAFETY: the driver has given the address to the device, in memory that `set_in_use` keeps it
    // from freeing.
    unsafe { with_exposed_provenance::<V>(address as usize).read_volatile() }
}

pub fn store<V: Copy>(address: PhysAddr, value: V) {
    // SAFETY: as in `load`.
    unsafe { with_exposed_provenance_mut::<V>(address as usize).write_volatile(value) }
}

fn layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap()
}

// SAFETY: `dma_alloc` gives zeroed, aligned memory that nobody else has until `dma_dealloc`;
// `mmio_phys_to_virt` is for tests that keep their registers in memory at the same address.
unsafe impl Hal for FakeHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        BOOKS.with_borrow_mut(|books| {
            if let Some(left) = &mut books.allocations_left {
                if *left == 0 {
                    return (0, NonNull::dangling());
                }
                *left -= 1;
            }
            // SAFETY: the layout has a size, because nobody asks for zero pages.
            let base = NonNull::new(unsafe { alloc_zeroed(layout(pages)) }).unwrap();
            let address = base.as_ptr().expose_provenance();
            books.live.insert(address, pages);
            (address as PhysAddr, base)
        })
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        BOOKS.with_borrow_mut(|books| {
            let address = vaddr.as_ptr().addr();
            assert!(!books.in_use.contains(&address), "memory freed before the device was reset");
            assert_eq!(paddr as usize, address);
            assert_eq!(books.live.remove(&address), Some(pages));
        });
        // SAFETY: `dma_alloc` has allocated it with this layout, says the line above.
        unsafe { dealloc(vaddr.as_ptr(), layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(with_exposed_provenance_mut(paddr as usize)).unwrap()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let address = buffer.as_ptr().cast::<u8>().expose_provenance() as PhysAddr;
        set_in_use(address);
        address
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
