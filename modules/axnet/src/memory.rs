//! How much memory is left.
//!
//! The kernel's allocator ends the program when it runs dry, so memory is budgeted beforehand.

use axalloc::global_allocator;
use axhal::mem::PAGE_SIZE_4K;

/// Free bytes of the heap, from which tasks' stacks and DMA pages come as well.
///
/// Not all of it can be had in one piece.
pub fn free_bytes() -> usize {
    // The heap grows by taking pages; where it has all of them from the start, they are its own
    // bytes.
    let allocator = global_allocator();
    allocator.available_bytes().max(allocator.available_pages() * PAGE_SIZE_4K)
}
