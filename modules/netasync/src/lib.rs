//! Runner, executor, timers and async sockets over [`netstack`].
//!
//! The imperative shell: it decides when the stack is polled, which task runs next and when the
//! machine sleeps. It knows no operating system: a [`Machine`] tells the time and sleeps, a
//! [`netdev::Device`] carries frames, and both are arguments of the [`Runner`].
//!
//! | module | what lives there |
//! |---|---|
//! | `runner` | [`Runner`]: ready tasks, stack, sleep |
//! | `polling` | whether to look for work a little longer before a sleep |
//! | `executor`, `wake` | [`spawn`], [`JoinHandle`], the ready queue and the flag that ends a sleep |
//! | `local` | [`LocalSet`], for futures that are not `Send` |
//! | `timer`, `interval` | [`sleep`], [`timeout`], [`yield_now`], [`interval`](interval()) |
//! | `reactor` | a call that would block becomes a future; [`IoReactor`]: submission and completion |
//! | `tcp`, `udp`, `icmp` | [`TcpListener`], [`TcpStream`], [`TcpSocket`], [`Pool`], [`UdpSocket`], [`IcmpSocket`], [`RawSocket`], [`ping`] |
//! | `addr`, `resolve`, `race` | [`ToSocketAddrs`], [`lookup_host`]; which address answers first |
//! | `io` | [`AsyncRead`](io::AsyncRead), [`AsyncWrite`](io::AsyncWrite), buffering, embedded-io |
//! | `cancel`, `condition` | [`CancellationToken`], and what tasks wait with for each other |
//! | `nal` | [`Network`]: embedded-nal-async, edge-nal, futures-io |
//! | `random` | [`fill_random`] |
//! | `runtime`, `machine`, `sync`, `error` | what tasks share; what it runs on; locks; one mapping of errors |
//!
//! `models` has models of what several processors or an interrupt may do at once, for loom.
//!
//! Every future may be dropped at any point: nothing is lost that a later call would have seen.
//!
//! ```
//! # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
//! use netasync::{TcpListener, TcpStream, spawn};
//!
//! # world::run(async {
//! let listener = TcpListener::bind("0.0.0.0:7").await?;
//! let greeting = spawn(async move {
//!     let (stream, _peer) = listener.accept().await?;
//!     stream.write_all(b"hello").await
//! });
//! let stream = TcpStream::connect("localhost:7").await?;
//! let mut buffer = [0; 5];
//! stream.read_exact(&mut buffer).await?;
//! assert_eq!((&buffer, greeting.await), (b"hello", Ok(Ok(()))));
//! # Ok(()) });
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod addr;
mod cancel;
mod condition;
pub mod error;
mod executor;
mod icmp;
mod interval;
pub mod io;
mod local;
mod machine;
#[cfg(all(test, loom))]
mod models;
mod nal;
mod polling;
mod race;
mod random;
mod reactor;
mod resolve;
mod runner;
mod runtime;
mod sync;
mod tcp;
mod timer;
mod udp;
mod wake;

pub use addr::{Target, ToSocketAddrs};
pub use cancel::CancellationToken;
pub use executor::{AbortHandle, JoinError, JoinHandle, spawn};
pub use icmp::{IcmpSocket, RawSocket, ping};
pub use interval::{Interval, interval};
pub use local::LocalSet;
pub use machine::Machine;
pub use nal::Network;
pub use netstack::Shutdown;
pub use random::fill_random;
pub use reactor::{
    AsyncIoBackend, Completion, IoOperation, IoReactor, Outcome, Rejected, RequestId, SocketBackend,
};
pub use resolve::lookup_host;
pub use runner::Runner;
pub use runtime::{Handle, has_address};
pub use tcp::{
    Incoming, OwnedReadHalf, OwnedWriteHalf, Pool, Pooled, ReuniteError, TcpListener, TcpSocket,
    TcpStream,
};
pub use timer::{Elapsed, Sleep, Timeout, sleep, timeout, yield_now};
pub use udp::UdpSocket;
