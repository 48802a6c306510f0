//! What sockets take as an address.

use alloc::{string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use axerrno::{AxError, AxResult};

/// Something that names socket addresses, as std and tokio have it: a [`SocketAddr`] or several, an
/// address and a port, or a host and a port, `("example.org", 80)` or `"example.org:80"`. A host
/// may be an address, too: `"0.0.0.0:80"`, `"[::]:80"`.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use netasync::TcpStream;
/// TcpStream::connect("server.example:80").await?;
/// TcpStream::connect(("server.example", 80)).await?;
/// TcpStream::connect("[fe80::1]:80").await?;
/// # Ok(())
/// # }
/// ```
pub trait ToSocketAddrs {
    /// What is named, before any name is looked up.
    ///
    /// ```
    /// use netasync::{Target, ToSocketAddrs};
    ///
    /// assert_eq!("10.0.2.2:80".to_target()?, Target::Address("10.0.2.2:80".parse().unwrap()));
    /// assert_eq!("no port".to_target(), Err(axerrno::AxError::InvalidInput));
    /// # axerrno::AxResult::Ok(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if the text has no port.
    fn to_target(&self) -> AxResult<Target<'_>>;
}

/// What a [`ToSocketAddrs`] names.
///
/// ```no_run
/// use netasync::{Target, ToSocketAddrs};
/// assert_eq!("server.example:80".to_target(), Ok(Target::Host("server.example", 80)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// One address.
    Address(SocketAddr),
    /// Several, to be tried in this order.
    Addresses(&'a [SocketAddr]),
    /// A port of a host whose addresses are to be looked up.
    Host(&'a str, u16),
}

impl<'a> Target<'a> {
    fn of_host(host: &'a str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Target::Address(SocketAddr::new(ip, port)),
            Err(_) => Target::Host(host, port),
        }
    }
}

/// The one address that is named.
///
/// # Errors
/// `InvalidInput` if it is a name, or not one.
pub(crate) fn literal(named: &impl ToSocketAddrs) -> AxResult<SocketAddr> {
    match named.to_target()? {
        Target::Address(address) => Ok(address),
        Target::Addresses(addresses) => addresses.first().copied().ok_or(AxError::InvalidInput),
        Target::Host(..) => Err(AxError::InvalidInput),
    }
}

impl ToSocketAddrs for str {
    fn to_target(&self) -> AxResult<Target<'_>> {
        if let Ok(address) = self.parse() {
            return Ok(Target::Address(address));
        }
        let (host, port) = self.rsplit_once(':').ok_or(AxError::InvalidInput)?;
        let port = port.parse().map_err(|_| AxError::InvalidInput)?;
        Ok(Target::of_host(host, port))
    }
}

impl ToSocketAddrs for String {
    fn to_target(&self) -> AxResult<Target<'_>> {
        self.as_str().to_target()
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_target(&self) -> AxResult<Target<'_>> {
        Ok(Target::of_host(self.0, self.1))
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_target(&self) -> AxResult<Target<'_>> {
        Ok(Target::of_host(&self.0, self.1))
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_target(&self) -> AxResult<Target<'_>> {
        Ok(Target::Addresses(self))
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {
    fn to_target(&self) -> AxResult<Target<'_>> {
        Ok(Target::Addresses(self))
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_target(&self) -> AxResult<Target<'_>> {
        (**self).to_target()
    }
}

macro_rules! addresses {
    ($($kind:ty,)*) => {$(
        impl ToSocketAddrs for $kind {
            fn to_target(&self) -> AxResult<Target<'_>> {
                Ok(Target::Address((*self).into()))
            }
        }
    )*};
}

addresses! {
    SocketAddr, SocketAddrV4, SocketAddrV6,
    (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16),
}
