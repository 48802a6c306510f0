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
//! | `socket` | [`TcpStream`], [`TcpListener`], [`UdpSocket`], [`IcmpSocket`], [`RawSocket`] |
//! | `engine` | the turn: frames in, dirty flows out, timers |
//! | `ip` | interfaces, addresses, routes, neighbours, ICMP, fragments; each protocol an `impl Engine` |
//! | `addressing`, `dhcp` | where addresses come from |
//! | `resolver`, `dns` | names |
//! | `tcp`, `udp`, `icmp_socket`, `raw` | the transports' rules, each an `impl Engine` |
//! | `flow`, `datagram` | what all sockets have in common, and all but TCP's |
//! | `time`, `hash`, `sync`, `stats`, `error` | the small change |
//!
//! ```
//! use netdev::cable::cable;
//! use netstack::{Addressing, Config, Instant, Ipv4Config, Stack, UdpSocket};
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
//! let receiver = UdpSocket::bind(&server, "10.0.0.1:53".parse()?)?;
//! let sender = UdpSocket::bind(&client, "10.0.0.2:0".parse()?)?;
//! sender.try_send_to(b"hello", receiver.local_addr())?;
//! for turn in 0..8 {
//!     let now = Instant::from_micros(turn);
//!     client.poll(now, &mut right, 64);
//!     server.poll(now, &mut left, 64);
//! }
//! let mut buffer = [0; 8];
//! assert_eq!(receiver.try_recv_from(&mut buffer), Ok((5, sender.local_addr())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[macro_use]
mod error;

mod addressing;
mod datagram;
mod dhcp;
mod dns;
mod engine;
mod flow;
mod hash;
mod icmp_socket;
mod ip;
mod raw;
mod resolver;
mod socket;
mod stack;
mod stats;
mod sync;
mod tcp;
mod time;
mod timed;
mod udp;

pub use addressing::{Addressing, Ipv4Config};
pub use datagram::Received;
pub use error::{
    AcceptError, BindError, BufferError, ConnectError, JoinError, ReadError, RecvError,
    ResolveError, SendError, WriteError,
};
pub use flow::Registration;
pub use icmp_socket::Echo;
pub use ip::{
    AddressError, ErrorKind, InterfaceError, InterfaceId, InterfaceInfo, MtuError, RouteError,
};
pub use resolver::{Lookup, Want};
pub use socket::{IcmpSocket, RawSocket, TcpListener, TcpStream, UdpSocket};
pub use stack::{Config, Interest, Next, Shutdown, Stack};
pub use stats::Stats;
pub use tcp::{KeepAlive, ListenOptions, TcpInfo, TcpOptions, TcpState};
pub use time::Instant;
pub use udp::Multicast;
