//! How much memory is left.
//!
//! The kernel's allocator ends the program when it runs dry, so memory is budgeted beforehand.

use axalloc::global_allocator;

/// Free bytes of the heap, from which tasks' stacks and DMA pages come as well.
///
/// Not all of it can be had in one piece.
pub fn free_bytes() -> usize {
    // The allocator has a single level: its pages are the same bytes again.
    global_allocator().available_bytes()
}
