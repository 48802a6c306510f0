//! Blocking sockets with the interface of upstream's axnet 0.3.0-preview.3.
//!
//! The sockets are netstack's. What is added here is what POSIX adds: a socket is bound, listens,
//! is being connected or is connected, each call has an error in each of these states, and a call
//! that cannot be answered parks its task. They are generic over the [`System`] that parks, so that
//! they are tested with the host's threads; on ArceOS `axnet::TcpSocket` is a [`TcpSocket`] that
//! parks tasks.
//!
//! It differs from upstream's code where that is not what its documentation or POSIX says:
//!
//! - a connection that breaks reads `ConnectionReset` or `TimedOut`, not `ConnectionRefused`;
//! - a second `connect` is `AlreadyConnected`, or `InProgress` while the first is under way;
//! - a listener's `peer_addr` is `NotConnected`, not an unspecified address;
//! - `set_nodelay(true)` has small writes sent at once, where upstream's has them gathered.
//!
//! Beyond upstream there are timeouts, `take_error`, and errors for what upstream leaves out: an
//! address that cannot be reached is `NotFound`, one that is not ours `BadAddress`, a spent memory
//! budget `NoMemory`, a machine without a network card `NoSuchDevice`.
//!
//! | module | what lives there |
//! |---|---|
//! | `tcp`, `udp` | [`TcpSocket`], [`UdpSocket`] |
//! | `dns` | [`dns_query`] |
//! | `wait` | a call that would block becomes one that waits |
//!
//! ```
//! # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
//! # use world::TcpSocket;
//! let (server, client) = (TcpSocket::new(), TcpSocket::new());
//! server.listen()?;
//! let port = server.local_addr()?.port();
//! client.connect(([127, 0, 0, 1], port).into())?;
//! assert_eq!(server.accept()?.peer_addr()?, client.local_addr()?);
//! # axerrno::AxResult::Ok(())
//! ```

mod dns;
mod tcp;
mod udp;
mod wait;

use axerrno::AxResult;
use core::time::Duration;
use netstack::{Instant, Stack};

pub use self::{dns::dns_query, tcp::TcpSocket, udp::UdpSocket, wait::Expired};

#[cfg(target_os = "none")]
pub use axio::PollState;

/// Whether a socket can be read or written, as axio has it. (That crate needs an unstable
/// compiler.)
///
/// ```
/// let unconnected = axnet::blocking::PollState::default();
/// assert!(!unconnected.readable && !unconnected.writable);
/// ```
#[cfg(not(target_os = "none"))]
#[derive(Debug, Default, Clone, Copy)]
pub struct PollState {
    /// A call that reads would not block.
    pub readable: bool,
    /// A call that writes would not block.
    pub writable: bool,
}

/// How long the first calls that need an address wait for one, counted from the start of the
/// machine. Upstream's programs do not know that an address may have to be asked for.
///
/// ```
/// // A program that does not know that addresses are asked for waits no longer than this.
/// assert_eq!(axnet::blocking::ADDRESS_PATIENCE.as_secs(), 15);
/// ```
pub const ADDRESS_PATIENCE: Duration = Duration::from_secs(15);

/// What blocking sockets need of the operating system.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use axerrno::AxError;
/// use axnet::blocking::{Expired, System, TcpSocket};
/// # use core::time::Duration;
/// # use netstack::Instant;
/// # use world::Host;
///
/// /// The machine of a program that never waits for long.
/// struct Hasty;
///
/// impl System for Hasty {
///     type Unpreempted = ();
/// #   fn stack() -> axerrno::AxResult<netstack::Stack> { Host::stack() }
/// #   fn now() -> Instant { Host::now() }
/// #   fn yield_now() { Host::yield_now() }
/// #   fn hold_off_preemption() {}
///
///     fn block_on<F: Future>(future: F, _: Option<Instant>) -> Result<F::Output, Expired> {
///         Host::block_on(future, Some(Self::now() + Duration::from_secs(1)))
///     }
/// }
///
/// let socket = TcpSocket::<Hasty>::new();
/// socket.listen()?;
/// assert_eq!(socket.accept().unwrap_err(), AxError::TimedOut);
/// # axerrno::AxResult::Ok(())
/// ```
pub trait System: 'static {
    /// Holds off preemption of the calling task.
    type Unpreempted;

    /// The network stack.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::Host;
    /// # use axnet::blocking::System;
    /// assert_eq!(Host::stack()?.interfaces().len(), 2);
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `NoSuchDevice` if the machine has no network card.
    fn stack() -> AxResult<Stack>;

    /// The time since the machine started.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::Host;
    /// # use axnet::blocking::System;
    /// let begun = Host::now();
    /// assert!(Host::now() >= begun, "it never runs backwards");
    /// ```
    fn now() -> Instant;

    /// Parks the calling task until `future` is ready.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::Host;
    /// # use axnet::blocking::System;
    /// assert_eq!(Host::block_on(async { 6 * 7 }, None), Ok(42));
    /// ```
    ///
    /// # Errors
    /// `deadline` has come before.
    fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Result<F::Output, Expired>;

    /// Lets whoever polls the stack run.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::Host;
    /// # use axnet::blocking::System;
    /// let socket = axnet::blocking::UdpSocket::<Host>::new();
    /// socket.connect("10.0.0.255:9".parse().unwrap())?;
    /// socket.send(b"hello")?;
    /// let frames_sent = Host::stack()?.stats().frames_sent;
    /// Host::yield_now();
    /// assert!(Host::stack()?.stats().frames_sent > frames_sent);
    /// # axerrno::AxResult::Ok(())
    /// ```
    fn yield_now();

    /// Holds off preemption: whoever polls the stack must not find it locked by a task that it
    /// keeps from running.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use world::Host;
    /// # use axnet::blocking::System;
    /// let _unpreempted = Host::hold_off_preemption();
    /// assert_eq!(Host::stack()?.stats().tcp_open, 0);
    /// # axerrno::AxResult::Ok(())
    /// ```
    fn hold_off_preemption() -> Self::Unpreempted;
}

/// Calls into the stack or a socket, without preemption.
fn quietly<S: System, R>(call: impl FnOnce() -> R) -> R {
    let _unpreempted = S::hold_off_preemption();
    call()
}
