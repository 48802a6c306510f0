//! Counts what is allocated.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The system's allocator, counted.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static ZEROED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to `System` as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    /// Not by way of `alloc`, so that buffers are told apart.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        ZEROED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Relaxed);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Bytes that a connection takes at one end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PerFlow {
    pub(crate) all: usize,
    pub(crate) without_buffers: usize,
}

/// Measures what `open`, which opens `flows` connections, leaves allocated at each end.
///
/// Buffers are what is allocated zeroed: nothing else in either stack is.
pub(crate) fn per_flow(flows: usize, open: impl FnOnce()) -> PerFlow {
    let (live, zeroed) = (LIVE.load(Relaxed), ZEROED.load(Relaxed));
    open();
    let all = LIVE.load(Relaxed).saturating_sub(live);
    let buffers = ZEROED.load(Relaxed) - zeroed;
    let ends = 2 * flows;
    PerFlow { all: all / ends, without_buffers: all.saturating_sub(buffers) / ends }
}

/// The most that the process has had of the machine's memory, in MiB, if the system tells.
pub(crate) fn peak_mib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}
