//! Runner, executor, timers and async sockets over [`netstack`].
//!
//! The imperative shell: it decides when the stack is polled, which task runs next and when the
//! machine sleeps. It knows no operating system: a [`Machine`] tells the time and sleeps, a
//! [`netdev::Device`] carries frames, and both are arguments of the [`Runner`].
//!
//! | module | what lives there |
//! |---|---|
//! | `runner` | [`Runner`]: ready tasks, stack, sleep |
//! | `executor`, `wake` | [`spawn`], [`JoinHandle`], the ready queue and the flag that ends a sleep |
//! | `local` | [`LocalSet`], for futures that are not `Send` |
//! | `timer` | [`sleep`], [`timeout`], [`yield_now`] |
//! | `reactor` | a call that would block becomes a future |
//! | `tcp`, `udp`, `icmp` | [`TcpListener`], [`TcpStream`], [`TcpSocket`], [`UdpSocket`], [`IcmpSocket`], [`RawSocket`], [`ping`] |
//! | `addr`, `resolve` | [`ToSocketAddrs`], [`lookup_host`] |
//! | `io` | [`AsyncRead`](io::AsyncRead), [`AsyncWrite`](io::AsyncWrite), buffering, embedded-io |
//! | `runtime`, `machine`, `sync`, `error` | what tasks share; what it runs on; locks; one mapping of errors |
//!
//! Every future may be dropped at any point: nothing is lost that a later call would have seen.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod addr;
mod error;
mod executor;
mod icmp;
pub mod io;
mod local;
mod machine;
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
pub use executor::{JoinError, JoinHandle, spawn};
pub use icmp::{IcmpSocket, RawSocket, ping};
pub use local::LocalSet;
pub use machine::Machine;
pub use netstack::Shutdown;
pub use resolve::lookup_host;
pub use runner::Runner;
pub use runtime::Handle;
pub use tcp::{TcpListener, TcpSocket, TcpStream};
pub use timer::{Elapsed, Sleep, sleep, timeout, yield_now};
pub use udp::UdpSocket;
