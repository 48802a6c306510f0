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

use core::net::IpAddr;

use axerrno::AxError;
use netstack::Want;

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
    /// The first address of a host; IPv4 before IPv6.
    async fn host(self, name: &str, want: Want) -> Result<IpAddr, io::Error> {
        let found = look_up(name, want).await?;
        found.first().copied().ok_or(io::Error(AxError::NotFound))
    }
}

/// Names, which both crates ask for in the same words.
macro_rules! names {
    ($($nal:ident)*) => {$(
        impl $nal::Dns for Network {
            type Error = io::Error;

            async fn get_host_by_name(
                &self,
                host: &str,
                kind: $nal::AddrType,
            ) -> Result<IpAddr, io::Error> {
                let want = match kind {
                    $nal::AddrType::IPv4 => Want::Ipv4,
                    $nal::AddrType::IPv6 => Want::Ipv6,
                    $nal::AddrType::Either => Want::Any,
                };
                self.host(host, want).await
            }

            /// Not supported.
            async fn get_host_by_address(
                &self,
                _: IpAddr,
                _: &mut [u8],
            ) -> Result<usize, io::Error> {
                Err(io::Error(AxError::Unsupported))
            }
        }
    )*};
}

names!(edge_nal embedded_nal_async);
