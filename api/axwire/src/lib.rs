//! Asynchronous networking for ArceOS unikernels.
//!
//! This is what applications import, with the names and habits of std and tokio. It adds nothing to
//! what it re-exports but the entry point: [`main`] sets the machine up, brings up the network and
//! runs an `async fn main`.
//!
//! # From an empty folder to an answer
//!
//! It takes a checkout of Axwire, and a machine with Debian or Ubuntu, on which the command of step 3
//! installs what is missing. The checkout may lie anywhere; here it is `axwire`, and the commands
//! are given in the folder that holds it.
//!
//! **1. The folder:**
//!
//! ```sh
//! mkdir -p hello/src
//! ```
//!
//! The application names Axwire in its `hello/Cargo.toml`:
//!
//! ```toml
//! [package]
//! name = "hello"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [dependencies]
//! axwire = { path = "../axwire/api/axwire" }
//! ```
//!
//! **2. The program.** The first line makes it an image's program on a machine without an operating
//! system; on a host it compiles as it is, for its tests. It goes into `hello/src/main.rs`:
//!
//! ```no_run
//! #![cfg_attr(target_os = "none", no_std, no_main)]
//!
//! use axwire::{
//!     io::{AxResult, BufReadExt, BufReader},
//!     net::{TcpListener, TcpStream},
//!     println, task,
//! };
//!
//! #[axwire::main]
//! async fn main() -> AxResult<()> {
//!     let listener = TcpListener::bind("0.0.0.0:7").await?;
//!     println!("hello: listening on {}", listener.local_addr());
//!     loop {
//!         let (stream, _peer) = listener.accept().await?;
//!         task::spawn(async move {
//!             if let Err(error) = greet(&stream).await {
//!                 println!("hello: {}: {error}", stream.peer_addr());
//!             }
//!         });
//!     }
//! }
//!
//! /// Greets everybody whose name is sent.
//! async fn greet(stream: &TcpStream) -> AxResult<()> {
//!     let mut names = BufReader::new(stream).lines();
//!     while let Some(name) = names.next_line().await? {
//!         stream.write_all(b"hello, ").await?;
//!         stream.write_all(name.as_bytes()).await?;
//!         stream.write_all(b"\n").await?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! **3. The image.** One command builds it and boots it under QEMU, whose network passes port 8007
//! of this machine on to port 7 of the guest. The folder must have the application's name; without a
//! lock file of its own it gets the checkout's. The console says `hello: listening on 0.0.0.0:7`.
//!
//! ```sh
//! make -C axwire run A=$PWD/hello HOSTFWD=tcp:8007:7
//! ```
//!
//! **4. The answer**, from another terminal:
//!
//! ```sh
//! echo world | nc -q1 127.0.0.1 8007      # hello, world
//! ```
//!
//! Leave QEMU with Ctrl-A X. The network's configuration is told at run time, on the kernel's
//! command line; see the README.
//!
//! # What goes where
//!
//! | to | take |
//! |---|---|
//! | listen, connect (by name, too), send datagrams, ping | [`net`] |
//! | read and write by lines or in small pieces, copy | [`io`] |
//! | wait, give up, do something every second | [`time`] |
//! | run tasks, stop them | [`task`] |
//! | wait for one of several things, or for all | [`select_biased!`], [`join!`], [`try_join!`] |
//! | use a connection for many requests | [`net::Pool`] |
//! | keep many operations under way from one place | [`net::IoReactor`] |
//! | use a library for HTTP, MQTT or TLS | [`net::Network`], the traits of [`io`] |
//!
//! # Giving up
//!
//! Any future may be dropped at any point: nothing is lost that a later call would have seen, and
//! nothing is left behind. So every operation has a time limit if it is given one, and can be
//! stopped by a signal:
//!
//! ```no_run
//! use axwire::{
//!     io::AxResult,
//!     net::TcpStream,
//!     task::CancellationToken,
//!     time::{Duration, timeout},
//! };
//!
//! # async fn example(stop: CancellationToken) -> AxResult<()> {
//! let stream = timeout(Duration::from_secs(5), TcpStream::connect("server.example:80")).await??;
//! let mut buffer = [0; 1024];
//! match stop.run_until_cancelled(stream.read(&mut buffer)).await {
//!     Some(len) => axwire::println!("{} bytes", len?),
//!     None => axwire::println!("told to stop"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Calls that do their work in several steps (`read_exact`, `write_all`) cannot say how far they
//! got when they are dropped; `read` and `write` can be called again.
//!
//! # Libraries of others
//!
//! Sockets have the traits of embedded-io-async; [`net::Network`] has those of embedded-nal-async
//! and edge-nal, by which libraries ask for connections and names. edge-http, reqwless, rust-mqtt
//! and embedded-tls work as they are; `apps/mqtt` and `apps/tls` show it. A library whose futures
//! are not `Send` runs in a [`task::LocalSet`].

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
/// Waits for several futures at once. `select_biased!` looks at its futures in their order; they
/// must be fused: `future.fuse()`, with the trait [`futures_util::FutureExt`].
pub use futures_util::{self, join, select_biased, try_join};

/// Sockets.
///
/// ```no_run
/// use axwire::net::{TcpListener, UdpSocket, lookup_host, ping};
/// # use axwire::time::Duration;
///
/// # async fn example() -> axwire::io::AxResult<()> {
/// let listener = TcpListener::bind("[::]:7").await?;
/// let socket = UdpSocket::bind("0.0.0.0:7").await?;
/// for address in lookup_host("server.example:7").await? {
///     let taken = ping(address.ip(), Duration::from_secs(1)).await?;
///     socket.send_to(b"hello", address).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub mod net {
    pub use netasync::{
        AsyncIoBackend, Completion, IcmpSocket, Incoming, IoOperation, IoReactor, Network, Outcome,
        OwnedReadHalf, OwnedWriteHalf, Pool, Pooled, RawSocket, Rejected, RequestId, ReuniteError,
        Shutdown, SocketBackend, Target, TcpListener, TcpSocket, TcpStream, ToSocketAddrs,
        UdpSocket, has_address, lookup_host, ping,
    };
    pub use netstack::{
        Echo, ErrorKind, InterfaceId, KeepAlive, Multicast, Received, Stats, TcpInfo, TcpState,
    };

    use netasync::Handle;

    /// What the network stack has counted, and what it holds now.
    ///
    /// ```no_run
    /// # async fn example() -> axwire::io::AxResult<()> {
    /// let stats = axwire::net::stats();
    /// axwire::println!("{} connections, {} bytes", stats.tcp_open, stats.memory_used);
    /// for (name, figure) in stats.iter().filter(|(_, figure)| *figure > 0) {
    ///     axwire::println!("{name}: {figure}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn stats() -> Stats {
        Handle::current().stack().stats()
    }
}

/// Reading, writing and errors.
///
/// ```no_run
/// use axwire::{io::{AxResult, BufReadExt, BufReader, copy}, net::TcpStream};
///
/// # async fn example(mut stream: TcpStream, mut log: TcpStream) -> AxResult<()> {
/// let mut lines = BufReader::new(&stream).lines();
/// while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
///     axwire::println!("{line}");
/// }
/// copy(&mut lines.into_inner(), &mut log).await?;
/// # Ok(())
/// # }
/// ```
pub mod io {
    pub use axerrno::{AxError, AxResult};
    pub use embedded_io_async::{BufRead, Read, Write};
    pub use netasync::io::{
        AsyncRead, AsyncWrite, BufReadExt, BufReader, BufStream, BufWriter, Error, LineError,
        Lines, copy, copy_buf,
    };
}

/// Clocks and timers.
///
/// ```no_run
/// use axwire::time::{Duration, interval, sleep, uptime};
///
/// # async fn example() {
/// sleep(Duration::from_millis(100)).await;
/// let mut seconds = interval(Duration::from_secs(1));
/// while uptime() < Duration::from_secs(60) {
///     seconds.tick().await;
/// }
/// # }
/// ```
pub mod time {
    pub use core::time::Duration;

    pub use netasync::{Elapsed, Interval, Sleep, Timeout, interval, sleep, timeout};
    pub use netstack::Instant;

    use netasync::Handle;

    /// The time since the machine started, more or less: it counts from the start of the runtime's
    /// clock and never runs backwards.
    ///
    /// ```no_run
    /// # async fn example() -> axwire::io::AxResult<()> {
    /// use axwire::time::{Duration, sleep, uptime};
    ///
    /// let begun = uptime();
    /// sleep(Duration::from_secs(5)).await;
    /// assert!(uptime() - begun >= Duration::from_secs(5));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn uptime() -> Duration {
        Duration::from_micros(Handle::current().now().micros())
    }
}

/// Tasks.
///
/// ```no_run
/// use axwire::task::{CancellationToken, spawn};
///
/// # async fn serve() {}
/// # async fn example() {
/// let stop = CancellationToken::new();
/// let server = spawn({
///     let stop = stop.clone();
///     async move { stop.run_until_cancelled(serve()).await }
/// });
/// stop.cancel();
/// assert!(server.await.is_ok());
/// # }
/// ```
pub mod task {
    pub use netasync::{
        AbortHandle, CancellationToken, JoinError, JoinHandle, LocalSet, spawn, yield_now,
    };
}

/// Random numbers.
///
/// ```no_run
/// # async fn example() {
/// let mut key = [0; 32];
/// axwire::random::fill(&mut key);
/// # }
/// ```
pub mod random {
    pub use netasync::fill_random as fill;
}

/// Memory.
///
/// ```
/// /// Room for a message, unless the machine is short of memory.
/// fn buffer(len: usize) -> Option<Vec<u8>> {
///     (axwire::memory::free() / 2 > len).then(|| Vec::with_capacity(len))
/// }
/// assert!(buffer(1000).is_some());
/// ```
pub mod memory {
    /// Bytes that can still be allocated; none if they lie in small pieces. An allocation that
    /// fails ends a unikernel: look first before buffering what others send.
    ///
    /// ```
    /// assert!(axwire::memory::free() > 1 << 20, "the machine is short of memory");
    /// ```
    pub fn free() -> usize {
        crate::backend::free_memory()
    }
}

/// What the application was started with: the kernel's command line in an image, the arguments on a
/// host.
///
/// ```
/// /// The value of a word `key=value`.
/// fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
///     line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
/// }
/// let line = axwire::command_line();
/// assert_eq!(value(&line, "broker").unwrap_or("10.0.2.2:1883"), "10.0.2.2:1883");
/// ```
pub fn command_line() -> String {
    backend::command_line()
}

/// What an `async fn main` may return.
///
/// ```
/// use axwire::Termination;
///
/// // With this, `async fn main() -> Exit` is possible.
/// struct Exit(u8);
///
/// impl Termination for Exit {
///     fn complaint(self) -> Option<String> {
///         (self.0 != 0).then(|| format!("exit code {}", self.0))
///     }
/// }
/// assert_eq!(Exit(3).complaint(), Some("exit code 3".into()));
/// ```
pub trait Termination {
    /// What to say on the console, if something went wrong.
    ///
    /// ```
    /// use axwire::{Termination, io::AxError};
    ///
    /// assert_eq!(Ok::<(), AxError>(()).complaint(), None);
    /// assert_eq!(Err(AxError::AddrInUse).complaint(), Some(AxError::AddrInUse.to_string()));
    /// ```
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
