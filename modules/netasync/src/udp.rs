//! UDP for tasks.

use core::net::SocketAddr;

use axerrno::AxResult;
use netstack::Interest;

use crate::{addr::ToSocketAddr, error::ax, reactor::ready_io, runtime::Handle};

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket(netstack::UdpSocket);

impl UdpSocket {
    /// Binds to `address`; port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`; `BadAddress` if no interface has the address; `InvalidInput` if `address` is not
    /// one; `NoMemory`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn bind(address: impl ToSocketAddr) -> AxResult<Self> {
        let address = address.to_socket_addr()?;
        ax(netstack::UdpSocket::bind(Handle::current().stack(), address)).map(Self)
    }

    /// What it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Sends one datagram; waits if there is no room.
    ///
    /// # Errors
    /// `NotFound` without a route; `OutOfRange` if `data` does not fit a datagram; `InvalidInput` if
    /// `address` cannot be sent to.
    pub async fn send_to(&self, data: &[u8], address: impl ToSocketAddr) -> AxResult<usize> {
        let address = address.to_socket_addr()?;
        ready_io(
            || self.0.try_send_to(data, address),
            |waker| self.0.register(Interest::Write, waker),
        )
        .await?;
        Ok(data.len())
    }

    /// Waits for a datagram: its length, cut to `buffer`'s, and its sender.
    ///
    /// # Errors
    /// None today.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> AxResult<(usize, SocketAddr)> {
        ready_io(|| self.0.try_recv_from(buffer), |waker| self.0.register(Interest::Read, waker))
            .await
    }
}
