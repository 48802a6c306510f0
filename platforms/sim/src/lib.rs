//! Hosts on a faulty network in virtual time, deterministic to the bit.
//!
//! A platform for tests: every host is a [`netasync::Runner`] with a simulated card on a simulated
//! switch, and everything random follows from one seed. It is not a model of TCP or of a network's
//! performance: processors are infinitely fast, and only what crosses a link takes time. What it
//! does show is how a stack recovers from loss.
//!
//! | module | what lives there |
//! |---|---|
//! | `network` | [`Network`]: hosts, the switch between them, the event queue |
//! | [`impairment`] | what a link does to frames: loss, delay, reordering, rate, outages |
//! | [`scenario`] | random topologies, faults and workloads, and what must hold |
//! | `seeds` | [`check`]: a seed's scenario, replayed and captured when it fails |
//! | [`transfer`] | one long stream over one faulty link, and how long it took |
//! | [`units`] | rules as people write them: `2%`, `20ms`, `100Mbit` |
//! | `switch`, `nic`, `offload`, `clock` | the parts of a network |
//! | `rng`, `meter`, `activity`, `trace`, `capture` | what is drawn, counted, hashed and kept |
//!
//! ```
//! use std::time::Duration;
//!
//! use netasync::{TcpListener, TcpStream};
//! use netstack::Instant;
//! use sim::{Direction, Forwarding, HostConfig, Network, Outcome};
//! use sim::impairment::{Chance, Rules};
//!
//! let mut network = Network::new(7, Forwarding::Learning);
//! let server = network.add_host(HostConfig::default());
//! let client = network.add_host(HostConfig::default());
//! network.set_rules(client, Direction::Up, Rules {
//!     loss: Chance::per_mille(100),
//!     delay: Duration::from_millis(1),
//!     ..Rules::default()
//! });
//!
//! network.spawn(server, async {
//!     let listener = TcpListener::bind("10.0.0.1:7").await.unwrap();
//!     let (stream, _) = listener.accept().await.unwrap();
//!     stream.write_all(b"hello").await.unwrap();
//! });
//! let task = network.spawn(client, async {
//!     let stream = TcpStream::connect("10.0.0.1:7").await.unwrap();
//!     let mut greeting = [0; 5];
//!     stream.read_exact(&mut greeting).await.unwrap();
//!     assert_eq!(&greeting, b"hello");
//! });
//! let a_minute = Instant::ZERO + Duration::from_secs(60);
//! assert_eq!(network.run(a_minute, || task.is_finished()), Outcome::Done);
//! ```

#![forbid(unsafe_code)]

mod activity;
mod capture;
mod clock;
pub mod impairment;
mod meter;
mod network;
mod nic;
mod offload;
mod rng;
pub mod scenario;
mod seeds;
mod switch;
mod trace;
pub mod transfer;
pub mod units;

pub use activity::Activity;
pub use capture::Capture;
pub use clock::Clock;
pub use meter::{Meter, Watched};
pub use network::{Direction, HostConfig, HostId, Network, Outcome, Partition};
pub use nic::{Card, Pace, Reception};
pub use rng::Rng;
pub use scenario::gauges;
pub use seeds::{Failure, check, check_plan};
pub use switch::Forwarding;
