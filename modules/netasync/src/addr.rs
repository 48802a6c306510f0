//! What sockets take as an address.

use core::net::{IpAddr, SocketAddr};

use axerrno::{AxError, AxResult};

/// Something that names a socket address: a [`SocketAddr`], an address and a port, or text such as
/// `"0.0.0.0:80"` and `"[::]:80"`.
pub trait ToSocketAddr {
    /// The address.
    ///
    /// # Errors
    /// `InvalidInput` if the text is not an address.
    fn to_socket_addr(&self) -> AxResult<SocketAddr>;
}

impl ToSocketAddr for SocketAddr {
    fn to_socket_addr(&self) -> AxResult<SocketAddr> {
        Ok(*self)
    }
}

impl<I: Into<IpAddr> + Copy> ToSocketAddr for (I, u16) {
    fn to_socket_addr(&self) -> AxResult<SocketAddr> {
        Ok(SocketAddr::new(self.0.into(), self.1))
    }
}

impl ToSocketAddr for &str {
    fn to_socket_addr(&self) -> AxResult<SocketAddr> {
        self.parse().map_err(|_| AxError::InvalidInput)
    }
}
