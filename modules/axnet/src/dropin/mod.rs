//! The drop-in for upstream's axnet: what `axruntime` starts and `axstd::net` calls.
//!
//! The stack is polled by a task of its own, pinned to the boot CPU, which the card's interrupt or
//! a socket's call wakes. Unlike under [`run`](crate::run), the kernel keeps its scheduler, its
//! idle task and a tick of 100 Hz, which the program's own sleeps need.
//!
//! | module | what lives there |
//! |---|---|
//! | `poller` | the task that polls the stack, and what wakes it |
//! | `tasks` | parking of the tasks that use sockets, on any CPU |
//! | `tick` | the boot CPU's timer: the kernel's tick and the stack's deadlines |
//! | `idle` | an interrupt ends the idle task's turn |
//! | `bench` | raw frames for a while |

mod bench;
mod idle;
pub(crate) mod poller;
mod tasks;
mod tick;

use alloc::vec::Vec;
use core::net::IpAddr;

use axdriver::{AxDeviceContainer, AxNetDevice};
use axerrno::AxResult;
use qemu_x86_64::pci;

pub use self::bench::{bench_receive, bench_transmit};
use crate::blocking;

/// A TCP socket of the machine's network stack.
///
/// ```no_run
/// # fn example() -> axerrno::AxResult {
/// let socket = axnet::TcpSocket::new();
/// socket.connect(([10, 0, 2, 2], 80).into())?;
/// socket.send(b"GET / HTTP/1.0\r\n\r\n")?;
/// # Ok(())
/// # }
/// ```
pub type TcpSocket = blocking::TcpSocket<tasks::ArceOs>;

/// A UDP socket of the machine's network stack.
///
/// ```no_run
/// # fn example() -> axerrno::AxResult {
/// let socket = axnet::UdpSocket::new();
/// socket.bind(([0, 0, 0, 0], 7).into())?;
/// let (len, from) = socket.recv_from(&mut [0; 1500])?;
/// # Ok(())
/// # }
/// ```
pub type UdpSocket = blocking::UdpSocket<tasks::ArceOs>;

/// Looks up the addresses of a host: those of IPv4, or, if it has none, those of IPv6.
///
/// ```no_run
/// # fn example() -> axerrno::AxResult {
/// for address in axnet::dns_query("server.example")? {
///     axnet::println!("{address}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`blocking::dns_query`].
pub fn dns_query(name: &str) -> AxResult<Vec<IpAddr>> {
    blocking::dns_query::<tasks::ArceOs>(name)
}

/// Lets the stack be polled, if it has anything to do. Nobody needs to call it.
///
/// ```no_run
/// # fn is_done() -> bool { true }
/// while !is_done() {
///     axnet::poll_interfaces();
/// }
/// ```
pub fn poll_interfaces() {
    axtask::yield_now();
}

/// Takes the network card over from the kernel's driver and brings the network up.
///
/// The kernel calls it once, before `main`. The network is up before the first call that needs it
/// returns; what goes wrong is said on the console.
///
/// ```no_run
/// fn start(devices: axdriver::AllDevices) {
///     axnet::init_network(devices.net);
/// }
/// ```
pub fn init_network(cards: AxDeviceContainer<AxNetDevice>) {
    // A program may do without threads, but its network does not.
    if axtask::current_may_uninit().is_none() {
        axtask::init_scheduler();
        tick::put_off();
    }
    // The driver frees its buffers before it resets the card, which must not write to them then.
    pci::stop_network_cards();
    drop(cards);
    poller::spawn();
}
