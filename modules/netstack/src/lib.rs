//! The protocol engine: interfaces, flows, listeners, UDP and DHCP behind non-blocking sockets.
//!
//! A functional core. Three things go in (a frame, an application's call, the time), three come out
//! (frames, wakeups, the next deadline). It never fetches the time, randomness or a device: all are
//! arguments. It is the only crate that names smoltcp, and it is not async: wakers go in, nothing is
//! awaited.
//!
//! | module | what lives there |
//! |---|---|
//! | `stack` | [`Stack`], shared by sockets and whoever polls it; its configuration |
//! | `socket` | [`TcpListener`], [`TcpStream`], [`UdpSocket`] |
//! | `engine` | the turn: frames in, dirty flows out, timers |
//! | `tcp`, `handshake`, `listener`, `udp`, `interface` | the protocols' rules, each an `impl Engine` |
//! | `flow`, `frame`, `phy` | one smoltcp socket in its set; a frame's class; smoltcp's view of a device |
//! | `time_wait`, `reply` | what needs no socket |
//! | `isn`, `neighbour`, `outbox` | sequence numbers, questions and waiting datagrams that smoltcp leaves to us |
//! | `time`, `hash`, `sync`, `stats`, `error` | the small change |
//!
//! ```
//! use netdev::cable::cable;
//! use netstack::{Addressing, Config, Instant, Ipv4Config, Next, Stack, TcpListener, TcpStream};
//!
//! let config = |last, seed| Config {
//!     addressing: Addressing::Static(Ipv4Config {
//!         address: [10, 0, 0, last].into(),
//!         prefix_len: 24,
//!         gateway: None,
//!         dns: vec![],
//!     }),
//!     seed: [seed; 32],
//!     memory_limit: 1 << 20,
//! };
//! let (mut left, mut right) = cable([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 1500);
//! let server = Stack::new(&config(1, 7), &left);
//! let client = Stack::new(&config(2, 8), &right);
//!
//! let listener = TcpListener::bind(&server, "10.0.0.1:80".parse()?, 16)?;
//! let stream = TcpStream::connect(&client, None, listener.local_addr())?;
//! for turn in 0..8 {
//!     let now = Instant::from_micros(turn);
//!     client.poll(now, &mut right, 64);
//!     server.poll(now, &mut left, 64);
//! }
//! assert_eq!(stream.try_connected(), Ok(()));
//! assert_eq!(listener.try_accept()?.peer_addr(), stream.local_addr());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod engine;
mod error;
mod flow;
mod frame;
mod handshake;
mod hash;
mod interface;
mod isn;
mod listener;
mod neighbour;
mod outbox;
mod phy;
mod reply;
mod socket;
mod stack;
mod stats;
mod sync;
mod tcp;
mod time;
mod time_wait;
mod udp;

pub use error::{
    AcceptError, BindError, ConnectError, ReadError, RecvError, SendError, WriteError,
};
pub use interface::{Addressing, Ipv4Config};
pub use socket::{TcpListener, TcpStream, UdpSocket};
pub use stack::{Config, Interest, Next, Shutdown, Stack};
pub use stats::Stats;
pub use time::Instant;
