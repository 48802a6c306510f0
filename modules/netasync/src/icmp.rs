//! Below the transports: echo requests and raw packets.

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axerrno::{AxError, AxResult};
use netstack::{Echo, Interest, Received};

use crate::{
    error::ax,
    reactor::{Source, ready_io},
    runtime::Handle,
    timer::timeout,
};

/// Sends echo requests, and receives their replies and the errors about them.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use netasync::IcmpSocket;
/// let router = [10, 0, 2, 2].into();
/// let socket = IcmpSocket::towards(router)?;
/// socket.send_to(1, b"is anybody there?", router).await?;
/// let echo = socket.recv(&mut [0; 64]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct IcmpSocket(netstack::IcmpSocket);

impl IcmpSocket {
    /// A socket for requests to `address` and others of its IP version, with an identifier of its
    /// own.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = IcmpSocket::towards("fe80::1".parse().unwrap())?;
    /// assert_eq!(socket.ttl(), 64);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NoMemory`; `AddrInUse` if all 65,536 identifiers are.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn towards(address: IpAddr) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        ax(netstack::IcmpSocket::new(&stack, address.is_ipv4(), None)).map(Self)
    }

    /// Sends an echo request; waits if there is no room.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = IcmpSocket::towards([127, 0, 0, 1].into())?;
    /// socket.send_to(1, b"are you there?", [127, 0, 0, 1].into()).await?;
    /// // It is a socket of IPv4.
    /// let sent = socket.send_to(2, b"and you?", "::1".parse().unwrap()).await;
    /// assert_eq!(sent, Err(axerrno::AxError::InvalidInput));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotFound` without a route; `OutOfRange` if `data` does not fit a packet; `InvalidInput` if
    /// `address` is of the other IP version; `PermissionDenied` if it is a broadcast address.
    pub async fn send_to(&self, sequence: u16, data: &[u8], address: IpAddr) -> AxResult<()> {
        let send = || self.0.try_send_to(sequence, data, SocketAddr::new(address, 0));
        ready_io(Source::Echoes(&self.0, Interest::Write), send).await
    }

    /// Waits for a reply, or an error about a request; its data is cut to `buffer`'s length.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = IcmpSocket::towards([127, 0, 0, 1].into())?;
    /// socket.send_to(7, b"are you there?", [127, 0, 0, 1].into()).await?;
    /// let mut buffer = [0; 64];
    /// let echo = socket.recv(&mut buffer).await?;
    /// assert_eq!((echo.sequence, echo.error), (7, None));
    /// assert_eq!(&buffer[..echo.received.len], b"are you there?");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// None today.
    pub async fn recv(&self, buffer: &mut [u8]) -> AxResult<Echo> {
        let receive = || self.0.try_receive(buffer);
        ready_io(Source::Echoes(&self.0, Interest::Read), receive).await
    }

    /// Hops that a request may take; 64 by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = IcmpSocket::towards([127, 0, 0, 1].into())?;
    /// // To see which router is the third.
    /// socket.set_ttl(3);
    /// assert_eq!(socket.ttl(), 3);
    /// # Ok(()) });
    /// ```
    pub fn set_ttl(&self, ttl: u8) {
        self.0.set_hop_limit(ttl);
    }

    /// What [`set_ttl`](Self::set_ttl) has set.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// assert_eq!(IcmpSocket::towards([127, 0, 0, 1].into())?.ttl(), 64);
    /// # Ok(()) });
    /// ```
    pub fn ttl(&self) -> u8 {
        self.0.hop_limit()
    }
}

/// Sends one echo request of 56 bytes, as ping does, and returns how long its reply took.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use core::time::Duration;
/// let taken = netasync::ping([10, 0, 2, 2].into(), Duration::from_secs(1)).await?;
/// println!("{} us", taken.as_micros());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `TimedOut` after `patience`; `NotFound` if there is no way to the host; `Io` for other errors
/// about it; those of [`IcmpSocket::send_to`].
///
/// # Panics
/// Outside of a runtime.
pub async fn ping(address: IpAddr, patience: Duration) -> AxResult<Duration> {
    const DATA: [u8; 56] = [0; 56];
    let socket = IcmpSocket::towards(address)?;
    let begun = Handle::current().now();
    socket.send_to(0, &DATA, address).await?;
    match timeout(patience, socket.recv(&mut [])).await??.error {
        None => Ok(Handle::current().now() - begun),
        Some(netstack::ErrorKind::HostUnreachable) => Err(AxError::NotFound),
        Some(_) => Err(AxError::Io),
    }
}

/// Sends and receives what follows the IP header, of one IP version and protocol.
///
/// It gets copies of what is for this host; TCP, UDP and ICMP answer as if it were not there.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use netasync::RawSocket;
/// /// OSPF.
/// const PROTOCOL: u8 = 89;
/// let socket = RawSocket::towards([10, 0, 2, 2].into(), PROTOCOL)?;
/// let mut packet = [0; 1500];
/// let received = socket.recv(&mut packet).await?;
/// println!("{} bytes from {}", received.len, received.from.ip());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RawSocket(netstack::RawSocket);

impl RawSocket {
    /// A socket for a protocol by its IANA number, of the IP version of `address`, which does not
    /// matter otherwise.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// /// OSPF, for IPv6.
    /// let socket = RawSocket::towards("ff02::5".parse().unwrap(), 89)?;
    /// assert_eq!(socket.ttl(), 64);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NoMemory`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn towards(address: IpAddr, protocol: u8) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        ax(netstack::RawSocket::new(&stack, address.is_ipv4(), protocol)).map(Self)
    }

    /// Sends a packet, whose checksums are the caller's; waits if there is no room. Returns the
    /// payload's length.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = RawSocket::towards([127, 0, 0, 1].into(), 89)?;
    /// assert_eq!(socket.send_to(b"hello", [127, 0, 0, 1].into()).await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`IcmpSocket::send_to`].
    pub async fn send_to(&self, payload: &[u8], address: IpAddr) -> AxResult<usize> {
        let send = || self.0.try_send_to(payload, SocketAddr::new(address, 0));
        ready_io(Source::Packets(&self.0, Interest::Write), send).await?;
        Ok(payload.len())
    }

    /// Waits for a packet's payload, cut to `buffer`'s length, and tells all about it. Ports are
    /// zero.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = RawSocket::towards([127, 0, 0, 1].into(), 89)?;
    /// socket.send_to(b"hello", [127, 0, 0, 1].into()).await?;
    /// let received = socket.recv(&mut [0; 3]).await?;
    /// assert_eq!((received.len, received.full_len), (3, 5));
    /// assert!(received.from.ip().is_loopback());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// None today.
    pub async fn recv(&self, buffer: &mut [u8]) -> AxResult<Received> {
        let receive = || self.0.try_receive(buffer);
        ready_io(Source::Packets(&self.0, Interest::Read), receive).await
    }

    /// Hops that a packet may take; 64 by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = RawSocket::towards([224, 0, 0, 5].into(), 89)?;
    /// // OSPF does not leave the link (RFC 2328 section A.1).
    /// socket.set_ttl(1);
    /// assert_eq!(socket.ttl(), 1);
    /// # Ok(()) });
    /// ```
    pub fn set_ttl(&self, ttl: u8) {
        self.0.set_hop_limit(ttl);
    }

    /// What [`set_ttl`](Self::set_ttl) has set.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// assert_eq!(RawSocket::towards([224, 0, 0, 5].into(), 89)?.ttl(), 64);
    /// # Ok(()) });
    /// ```
    pub fn ttl(&self) -> u8 {
        self.0.hop_limit()
    }
}
