//! The traits by which the `no_std` ecosystem asks for a network: its HTTP, MQTT and TLS libraries
//! work with [`Network`] and this crate's sockets as they are.
//!
//! | module | what lives there |
//! |---|---|
//! | here | [`Network`], and names |
//! | `embedded` | embedded-nal-async |
//! | `edge` | edge-nal |
//! | `futures` | futures-io, for libraries on hosts; with the feature `std` |

mod edge;
mod embedded;
#[cfg(feature = "std")]
mod futures;

use alloc::vec::Vec;
use core::net::IpAddr;

use axerrno::AxError;

use crate::{io, resolve::look_up};

/// The network of the runtime that the calling task runs in, for libraries that want a value to
/// ask for it. Its methods are those of the traits `TcpConnect`, `TcpBind`, `UdpBind`,
/// `UdpConnect`, `UdpStack` and `Dns` of embedded-nal-async and edge-nal.
///
/// ```no_run
/// use embedded_nal_async::{AddrType, Dns, TcpConnect};
/// # async fn example() -> Result<(), netasync::io::Error> {
/// let network = netasync::Network;
/// let address = network.get_host_by_name("server.example", AddrType::Either).await?;
/// let stream = network.connect((address, 80).into()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Network;

impl Network {
    /// The first address of a host that suits; IPv4 before IPv6.
    async fn host(self, name: &str, suits: impl Fn(&IpAddr) -> bool) -> Result<IpAddr, io::Error> {
        let addresses: Vec<IpAddr> = match name.parse() {
            Ok(address) => Vec::from([address]),
            Err(_) => look_up(name).await?,
        };
        addresses.into_iter().find(suits).ok_or(io::Error(AxError::NotFound))
    }
}
