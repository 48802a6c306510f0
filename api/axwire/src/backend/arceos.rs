//! The ArceOS backend: the only part of the API that names the kernel.

pub(crate) use axnet::{memory::free_bytes as free_memory, run};

/// Writes a line to the console.
pub use axnet::println;
