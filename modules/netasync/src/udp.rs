//! UDP for tasks.

use core::{
    future::ready,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use axerrno::{AxError, AxResult};
use netstack::{Interest, InterfaceId, Multicast, Received, RecvError};

use crate::{
    addr::ToSocketAddrs,
    error::{ToAxError, ax},
    reactor::{Source, ready_io},
    resolve::{first, try_each},
    runtime::Handle,
};

/// A UDP socket.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use netasync::UdpSocket;
/// let socket = UdpSocket::bind("0.0.0.0:7").await?;
/// let mut buffer = [0; 1500];
/// let (len, peer) = socket.recv_from(&mut buffer).await?;
/// socket.send_to(&buffer[..len], peer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UdpSocket(netstack::UdpSocket);

/// Where it is, and whom it talks to.
impl UdpSocket {
    /// Binds to `address`; port 0 chooses one. `[::]` takes IPv4 as well.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = UdpSocket::bind("0.0.0.0:0").await?;
    /// assert_ne!(socket.local_addr().port(), 0, "one was chosen");
    /// let ours = UdpSocket::bind("192.0.2.1:7").await;
    /// assert_eq!(ours.unwrap_err(), axerrno::AxError::BadAddress);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `AddrInUse`; `BadAddress` if no interface has the address; `InvalidInput` if `address` is
    /// not one; `NoMemory`; those of [`lookup_host`](crate::lookup_host).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn bind(address: impl ToSocketAddrs) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        let bind = |local| ready(ax(netstack::UdpSocket::bind(&stack, local)).map(Self));
        try_each(address, bind).await
    }

    /// The same, but other sockets that are bound like this may have the same address and port.
    /// Datagrams to a group or to everybody go to all of them, others to the last one.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let first = UdpSocket::bind_shared("0.0.0.0:5353").await?;
    /// let second = UdpSocket::bind_shared("0.0.0.0:5353").await?;
    /// assert_eq!(first.local_addr(), second.local_addr());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn bind_shared(address: impl ToSocketAddrs) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        let bind = |local: SocketAddr| {
            let socket = ax(netstack::UdpSocket::unbound(&stack, local.is_ipv4()))?;
            socket.set_reuse_address(true);
            ax(socket.bind_to(local)).map(|()| Self(socket))
        };
        try_each(address, |local| ready(bind(local))).await
    }

    /// What it is bound to. A connected socket has the address that its peer sees.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// socket.connect("127.0.0.1:9").await?;
    /// assert_eq!(socket.local_addr(), "127.0.0.1:7".parse().unwrap());
    /// # Ok(()) });
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Takes datagrams from `address` only from now on, and [`send`](Self::send)s there.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// here.connect("127.0.0.1:9").await?;
    /// here.send(b"hello").await?;
    /// assert_eq!(there.recv_from(&mut [0; 100]).await?, (5, here.local_addr()));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotFound` without a route; `InvalidInput` if `address` cannot be sent to; `AddrInUse` if
    /// another socket has the same two ends; those of [`lookup_host`](crate::lookup_host).
    pub async fn connect(&self, address: impl ToSocketAddrs) -> AxResult<()> {
        try_each(address, |remote| ready(ax(self.0.connect(remote)))).await
    }

    /// Whom it is connected to.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// assert_eq!(here.peer_addr(), Err(AxError::NotConnected));
    /// here.connect("127.0.0.1:9").await?;
    /// assert_eq!(here.peer_addr()?.port(), 9);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> AxResult<SocketAddr> {
        self.0.peer_addr().ok_or(AxError::NotConnected)
    }
}

/// Datagrams.
impl UdpSocket {
    /// Sends one datagram; waits if there is no room. Returns its length.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// assert_eq!(here.send_to(b"hello", "127.0.0.1:9").await?, 5);
    /// let result = here.send_to(&[0; 70_000], "127.0.0.1:9").await;
    /// assert_eq!(result, Err(AxError::OutOfRange));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotFound` without a route; `OutOfRange` if `data` does not fit a datagram; `InvalidInput`
    /// if `address` cannot be sent to; `PermissionDenied` if it is a broadcast address and
    /// [`set_broadcast`](Self::set_broadcast) has not been called; those of
    /// [`lookup_host`](crate::lookup_host).
    pub async fn send_to(&self, data: &[u8], address: impl ToSocketAddrs) -> AxResult<usize> {
        let remote = first(address).await?;
        let send = || self.0.try_send_to(data, remote);
        ready_io(self.source(Interest::Write), send).await.map(|()| data.len())
    }

    /// Sends one datagram to the peer; waits if there is no room. Returns its length.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// assert_eq!(here.send(b"hello").await, Err(AxError::NotConnected));
    /// here.connect("127.0.0.1:9").await?;
    /// assert_eq!(here.send(b"hello").await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotConnected`; `ConnectionRefused`, once, if an earlier datagram was answered with "port
    /// unreachable"; those of [`send_to`](Self::send_to).
    pub async fn send(&self, data: &[u8]) -> AxResult<usize> {
        let send = || self.0.try_send(data);
        ready_io(self.source(Interest::Write), send).await.map(|()| data.len())
    }

    /// Waits for a datagram: its length, cut to `buffer`'s, and its sender.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// here.send_to(b"hello", there.local_addr()).await?;
    /// let mut buffer = [0; 1500];
    /// let (len, from) = there.recv_from(&mut buffer).await?;
    /// assert_eq!((&buffer[..len], from), (&b"hello"[..], here.local_addr()));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `ConnectionRefused`, once, if the peer of a connected socket has answered a datagram with
    /// "port unreachable".
    pub async fn recv_from(&self, buffer: &mut [u8]) -> AxResult<(usize, SocketAddr)> {
        self.when_readable(|| self.0.try_recv_from(buffer)).await
    }

    /// Waits for a datagram: its length, cut to `buffer`'s.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// here.send_to(b"hello", there.local_addr()).await?;
    /// assert_eq!(there.recv(&mut [0; 2]).await?, 2, "the rest is lost");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub async fn recv(&self, buffer: &mut [u8]) -> AxResult<usize> {
        self.when_readable(|| self.0.try_recv(buffer)).await
    }

    /// Waits for a datagram and tells all about it: also how long it was before it was cut to
    /// `buffer`'s length, where it was sent to, and by which interface it came.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// here.send_to(b"hello", there.local_addr()).await?;
    /// let received = there.recv_msg(&mut [0; 2]).await?;
    /// assert_eq!((received.len, received.full_len), (2, 5));
    /// assert_eq!((received.from, received.to), (here.local_addr(), there.local_addr()));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub async fn recv_msg(&self, buffer: &mut [u8]) -> AxResult<Received> {
        self.when_readable(|| self.0.try_receive(buffer)).await
    }

    /// Like [`recv_from`](Self::recv_from), but the datagram stays to be received.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// here.send_to(b"hello", there.local_addr()).await?;
    /// assert_eq!(there.peek_from(&mut [0; 100]).await?, (5, here.local_addr()));
    /// assert_eq!(there.recv(&mut [0; 100]).await?, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub async fn peek_from(&self, buffer: &mut [u8]) -> AxResult<(usize, SocketAddr)> {
        self.when_readable(|| self.0.try_peek_from(buffer)).await
    }

    /// Waits until receiving would not block. An error stays to be told.
    pub(crate) async fn readable(&self) -> AxResult<()> {
        let look = || self.0.is_ready(Interest::Read).then_some(());
        self.when_readable(|| look().ok_or(RecvError::WouldBlock)).await
    }

    pub(crate) fn source(&self, interest: Interest) -> Source<'_> {
        Source::Datagrams(&self.0, interest)
    }

    pub(crate) fn socket(&self) -> &netstack::UdpSocket {
        &self.0
    }

    async fn when_readable<T, E: ToAxError>(
        &self,
        attempt: impl FnMut() -> Result<T, E>,
    ) -> AxResult<T> {
        ready_io(self.source(Interest::Read), attempt).await
    }
}

/// Options.
impl UdpSocket {
    /// Lets the socket send to broadcast addresses; off by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// let wake_up = socket.send_to(b"hello", "255.255.255.255:9").await;
    /// assert_eq!(wake_up, Err(AxError::PermissionDenied));
    /// socket.set_broadcast(true);
    /// assert_eq!(socket.send_to(b"hello", "255.255.255.255:9").await?, 5);
    /// # Ok(()) });
    /// ```
    pub fn set_broadcast(&self, broadcast: bool) {
        self.0.set_broadcast(broadcast);
    }

    /// Whether it may.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// assert!(!socket.broadcast());
    /// socket.set_broadcast(true);
    /// assert!(socket.broadcast());
    /// # Ok(()) });
    /// ```
    pub fn broadcast(&self) -> bool {
        self.0.broadcast()
    }

    /// Hops that a datagram to one host may take: IPv4's time to live, IPv6's hop limit; 64 by
    /// default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let here = UdpSocket::bind("127.0.0.1:7").await?;
    /// # let there = UdpSocket::bind("127.0.0.1:9").await?;
    /// here.set_ttl(3);
    /// here.send_to(b"hello", there.local_addr()).await?;
    /// assert_eq!(there.recv_msg(&mut []).await?.hop_limit, 3);
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
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// assert_eq!(socket.ttl(), 64);
    /// # Ok(()) });
    /// ```
    pub fn ttl(&self) -> u8 {
        self.0.hop_limit()
    }

    /// How far datagrams to groups go, by which interface, and whether members on this host get
    /// them.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// # use netstack::Multicast;
    /// socket.set_multicast(Multicast { hop_limit: 8, is_looped: false, interface: None });
    /// assert_eq!(socket.multicast().hop_limit, 8);
    /// # Ok(()) });
    /// ```
    pub fn set_multicast(&self, multicast: Multicast) {
        self.0.set_multicast(multicast);
    }

    /// What [`set_multicast`](Self::set_multicast) has set.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// # use netstack::Multicast;
    /// assert_eq!(socket.multicast(), Multicast::default());
    /// assert_eq!(socket.multicast().hop_limit, 1, "this link only");
    /// # Ok(()) });
    /// ```
    pub fn multicast(&self) -> Multicast {
        self.0.multicast()
    }

    /// Bytes that may wait to be received, what is kept beside each datagram included: 2 KiB to
    /// 4 MiB, 208 KiB by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// socket.set_recv_buffer_size(1 << 20)?;
    /// assert_eq!(socket.set_recv_buffer_size(100), Err(AxError::InvalidInput));
    /// assert_eq!(socket.recv_buffer_size(), 1 << 20);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it is out of this range.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> AxResult<()> {
        ax(self.0.set_receive_buffer(bytes))
    }

    /// What [`set_recv_buffer_size`](Self::set_recv_buffer_size) has set.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// assert_eq!(socket.recv_buffer_size(), 208 * 1024);
    /// # Ok(()) });
    /// ```
    pub fn recv_buffer_size(&self) -> usize {
        self.0.receive_buffer()
    }

    /// Bytes that may wait to be sent: 2 KiB to 4 MiB, 64 KiB by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// socket.set_send_buffer_size(1 << 20)?;
    /// assert_eq!(socket.set_send_buffer_size(100), Err(AxError::InvalidInput));
    /// assert_eq!(socket.send_buffer_size(), 1 << 20);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it is out of this range.
    pub fn set_send_buffer_size(&self, bytes: usize) -> AxResult<()> {
        ax(self.0.set_send_buffer(bytes))
    }

    /// What [`set_send_buffer_size`](Self::set_send_buffer_size) has set.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # let socket = UdpSocket::bind("0.0.0.0:7").await?;
    /// assert_eq!(socket.send_buffer_size(), 64 * 1024);
    /// # Ok(()) });
    /// ```
    pub fn send_buffer_size(&self) -> usize {
        self.0.send_buffer()
    }
}

/// Groups.
impl UdpSocket {
    /// Receives what is sent to a group, by the interface that has the address given, or, if it is
    /// unspecified, by the one that leads there.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # use core::net::{Ipv4Addr, Ipv6Addr};
    /// let socket = UdpSocket::bind("0.0.0.0:5353").await?;
    /// let group = Ipv4Addr::new(224, 0, 0, 251);
    /// socket.join_multicast_v4(group, Ipv4Addr::new(10, 0, 0, 1))?;
    /// socket.send_to(b"is anybody there?", (group, 5353)).await?;
    /// assert_eq!(socket.recv_msg(&mut []).await?.to.ip(), group);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if it is not a group; `NoSuchDevice` without such an interface; `AddrInUse`
    /// if it has been joined already; `StorageFull` if too many have been.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> AxResult<()> {
        ax(self.0.join(group.into(), with_address(interface)?))
    }

    /// Receives it no more.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # use core::net::{Ipv4Addr, Ipv6Addr};
    /// let socket = UdpSocket::bind("0.0.0.0:5353").await?;
    /// let (group, any) = (Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::UNSPECIFIED);
    /// socket.join_multicast_v4(group, any)?;
    /// socket.leave_multicast_v4(group, any)?;
    /// assert_eq!(socket.leave_multicast_v4(group, any), Err(AxError::NotFound));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `NotFound` if it has not been joined; those of
    /// [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> AxResult<()> {
        ax(self.0.leave(group.into(), with_address(interface)?))
    }

    /// The same for IPv6, with the interface itself or the one that leads there.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # use core::net::{Ipv4Addr, Ipv6Addr};
    /// let socket = UdpSocket::bind("[::]:5353").await?;
    /// let group: Ipv6Addr = "ff02::fb".parse().unwrap();
    /// let interface = Handle::current().stack().interfaces()[0].id;
    /// socket.join_multicast_v6(&group, Some(interface))?;
    /// assert_eq!(socket.join_multicast_v6(&group, Some(interface)), Err(AxError::AddrInUse));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(
        &self,
        group: &Ipv6Addr,
        interface: Option<InterfaceId>,
    ) -> AxResult<()> {
        ax(self.0.join((*group).into(), interface))
    }

    /// Receives it no more.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netasync::*;
    /// # world::run(async {
    /// # use axerrno::AxError;
    /// # use core::net::{Ipv4Addr, Ipv6Addr};
    /// let socket = UdpSocket::bind("[::]:5353").await?;
    /// let group: Ipv6Addr = "ff02::fb".parse().unwrap();
    /// let interface = Handle::current().stack().interfaces()[0].id;
    /// socket.join_multicast_v6(&group, Some(interface))?;
    /// socket.leave_multicast_v6(&group, Some(interface))?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Those of [`leave_multicast_v4`](Self::leave_multicast_v4).
    pub fn leave_multicast_v6(
        &self,
        group: &Ipv6Addr,
        interface: Option<InterfaceId>,
    ) -> AxResult<()> {
        ax(self.0.leave((*group).into(), interface))
    }
}

/// The interface that has an address; none in particular if it is unspecified.
fn with_address(address: Ipv4Addr) -> AxResult<Option<InterfaceId>> {
    if address.is_unspecified() {
        return Ok(None);
    }
    let has = |(ip, _): &(IpAddr, u8)| *ip == IpAddr::V4(address);
    let interfaces = Handle::current().stack().interfaces();
    let found = interfaces.iter().find(|interface| interface.addresses.iter().any(has));
    found.map(|interface| Some(interface.id)).ok_or(AxError::NoSuchDevice)
}
