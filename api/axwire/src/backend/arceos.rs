//! The ArceOS backend: the only part of the API that names the kernel.

// The kernel's runtime, which calls `main`, comes with it.
use axstd as _;

pub(crate) use axnet::{memory::free_bytes as free_memory, run};

pub(crate) fn command_line() -> alloc::string::String {
    axnet::command_line().unwrap_or_default()
}

/// Writes a line to the console.
pub use axnet::println;
