//! On a host an application compiles, and says that it cannot run there yet.

extern crate std;

/// Writes a line to the console.
pub use std::println;

pub(crate) fn run(_application: impl Future<Output = ()>) {
    std::eprintln!("axwire: there is no network for this host; build an image with `make image`");
    std::process::exit(1);
}

pub(crate) fn free_memory() -> usize {
    usize::MAX
}
