//! Asynchronous networking for ArceOS unikernels.
//!
//! This is what applications import, with the names and habits of std and tokio. It adds nothing to
//! what it re-exports but the entry point: [`main`] sets the machine up, brings up the network and
//! runs an `async fn main`.
//!
//! ```no_run
//! use axwire::{io::AxResult, net::TcpListener, task};
//!
//! #[axwire::main]
//! async fn main() -> AxResult<()> {
//!     let listener = TcpListener::bind("0.0.0.0:7").await?;
//!     loop {
//!         let (stream, _peer) = listener.accept().await?;
//!         task::spawn(async move {
//!             let mut buffer = [0; 1024];
//!             while let Ok(len @ 1..) = stream.read(&mut buffer).await {
//!                 if stream.write_all(&buffer[..len]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//! ```
//!
//! An image also needs `#![no_std]` and `#![no_main]`; write them as
//! `#![cfg_attr(target_os = "none", no_std, no_main)]`, and the program compiles on a host as well,
//! for tests and tools. The network's configuration is told at run time, on the kernel's command
//! line; see the README.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg_attr(target_os = "none", path = "backend/arceos.rs")]
#[cfg_attr(not(target_os = "none"), path = "backend/host.rs")]
mod backend;

use alloc::string::{String, ToString};
use core::fmt::Display;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

pub use axwire_macros::main;
pub use backend::println;

/// Sockets.
pub mod net {
    pub use netasync::{
        IcmpSocket, RawSocket, Shutdown, Target, TcpListener, TcpSocket, TcpStream, ToSocketAddrs,
        UdpSocket, lookup_host, ping,
    };
    pub use netstack::{
        Echo, ErrorKind, InterfaceId, KeepAlive, Multicast, Received, Stats, TcpInfo, TcpState,
    };

    use core::task::Poll;

    use netasync::Handle;

    /// What the network stack has counted, and what it holds now.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn stats() -> Stats {
        Handle::current().stack().stats()
    }

    /// Waits until the interface has an IPv4 address.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn has_address() {
        let stack = Handle::current().stack().clone();
        core::future::poll_fn(|cx| {
            // Registered first, so that no change is missed in between.
            stack.register_config(cx.waker());
            match stack.ipv4() {
                Some(_) => Poll::Ready(()),
                None => Poll::Pending,
            }
        })
        .await;
    }
}

/// Reading, writing and errors.
pub mod io {
    pub use axerrno::{AxError, AxResult};
    pub use embedded_io_async::{BufRead, Read, Write};
    pub use netasync::io::{AsyncRead, AsyncWrite, BufStream, Error};
}

/// Clocks and timers.
pub mod time {
    pub use core::time::Duration;

    pub use netasync::{Elapsed, sleep, timeout};

    use netasync::Handle;

    /// The time since the machine started, more or less: it counts from the start of the runtime's
    /// clock and never runs backwards.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn uptime() -> Duration {
        Duration::from_micros(Handle::current().now().micros())
    }
}

/// Tasks.
pub mod task {
    pub use netasync::{JoinError, JoinHandle, LocalSet, spawn, yield_now};
}

/// Memory.
pub mod memory {
    /// Bytes that can still be allocated. An allocation that fails ends a unikernel: look first
    /// before buffering what others send.
    pub fn free() -> usize {
        crate::backend::free_memory()
    }
}

/// What the application was started with: the kernel's command line in an image, the arguments on a
/// host.
pub fn command_line() -> String {
    backend::command_line()
}

/// What an `async fn main` may return.
pub trait Termination {
    /// What to say on the console, if something went wrong.
    fn complaint(self) -> Option<String>;
}

impl Termination for () {
    fn complaint(self) -> Option<String> {
        None
    }
}

impl<E: Display> Termination for Result<(), E> {
    fn complaint(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// Runs an application to its end: what [`main`] expands to.
#[doc(hidden)]
pub fn start<F: Future<Output: Termination>>(application: F) {
    backend::run(async {
        if let Some(complaint) = application.await.complaint() {
            println!("axwire: main failed: {complaint}");
        }
    });
}
