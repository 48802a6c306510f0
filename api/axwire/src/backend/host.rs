//! On a host an application compiles, and says that it cannot run there yet.

extern crate std;

use alloc::{string::String, vec::Vec};

/// Writes a line to the console.
pub use std::println;

pub(crate) fn run(_application: impl Future<Output = ()>) {
    std::eprintln!("axwire: there is no network for this host; build an image with `make image`");
    std::process::exit(1);
}

pub(crate) fn free_memory() -> usize {
    usize::MAX
}

pub(crate) fn command_line() -> String {
    std::env::args().skip(1).collect::<Vec<_>>().join(" ")
}
