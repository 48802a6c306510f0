//! How much memory is left.
//!
//! The kernel's allocator ends the program when it runs dry, so memory is budgeted beforehand.
//!
//! ```no_run
//! if axnet::memory::free_bytes() < 1 << 20 {
//!     axnet::println!("less than 1 MiB is left");
//! }
//! ```

use core::alloc::Layout;

use axalloc::{UsageKind, global_allocator};
use axhal::mem::PAGE_SIZE_4K;

/// The part of all memory that must be free in one piece, or what is free does not count. Tables
/// grow by moving to twice their length, and among thousands of connections holes are small.
const PIECE_SHARE: usize = 32;

/// Bytes that can still be allocated, from the heap, from which tasks' stacks and DMA pages come as
/// well. None if they lie in small pieces.
///
/// ```no_run
/// let memory_limit = axnet::memory::free_bytes() / 2;
/// ```
pub fn free_bytes() -> usize {
    // The heap grows by taking pages; where it has all of them from the start, they are its own
    // bytes.
    let allocator = global_allocator();
    let free = allocator.available_bytes().max(allocator.available_pages() * PAGE_SIZE_4K);
    let used = allocator.used_bytes().max(allocator.used_pages() * PAGE_SIZE_4K);
    // While most is free, so is a piece.
    if free > used || has_piece((free + used) / PIECE_SHARE) { free } else { 0 }
}

/// Whether `len` bytes can be had in one piece.
fn has_piece(len: usize) -> bool {
    let allocator = global_allocator();
    let pages = len / PAGE_SIZE_4K;
    if let Ok(start) = allocator.alloc_pages(pages, PAGE_SIZE_4K, UsageKind::Global) {
        allocator.dealloc_pages(start, pages, UsageKind::Global);
        return true;
    }
    // Without the pages for it the heap does not grow: it has the piece already or not.
    let layout = Layout::from_size_align(pages * PAGE_SIZE_4K, 1);
    let piece = layout.ok().and_then(|layout| Some((allocator.alloc(layout).ok()?, layout)));
    piece.map(|(start, layout)| allocator.dealloc(start, layout)).is_some()
}
