//! UDP for tasks.

use core::{
    future::{poll_fn, ready},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll},
};

use axerrno::{AxError, AxResult};
use netstack::{Interest, InterfaceId, Multicast, Received};

use crate::{
    addr::ToSocketAddrs,
    error::{ToAxError, ax},
    reactor::{poll_io, ready_io},
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
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Takes datagrams from `address` only from now on, and [`send`](Self::send)s there.
    ///
    /// # Errors
    /// `NotFound` without a route; `InvalidInput` if `address` cannot be sent to; `AddrInUse` if
    /// another socket has the same two ends; those of [`lookup_host`](crate::lookup_host).
    pub async fn connect(&self, address: impl ToSocketAddrs) -> AxResult<()> {
        try_each(address, |remote| ready(ax(self.0.connect(remote)))).await
    }

    /// Whom it is connected to.
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
    /// # Errors
    /// `NotFound` without a route; `OutOfRange` if `data` does not fit a datagram; `InvalidInput`
    /// if `address` cannot be sent to; `PermissionDenied` if it is a broadcast address and
    /// [`set_broadcast`](Self::set_broadcast) has not been called; those of
    /// [`lookup_host`](crate::lookup_host).
    pub async fn send_to(&self, data: &[u8], address: impl ToSocketAddrs) -> AxResult<usize> {
        let remote = first(address).await?;
        poll_fn(|cx| self.poll_send_to(cx, data, remote)).await
    }

    /// Sends one datagram to the peer; waits if there is no room. Returns its length.
    ///
    /// # Errors
    /// `NotConnected`; `ConnectionRefused`, once, if an earlier datagram was answered with "port
    /// unreachable"; those of [`send_to`](Self::send_to).
    pub async fn send(&self, data: &[u8]) -> AxResult<usize> {
        poll_fn(|cx| self.poll_send(cx, data)).await
    }

    /// Waits for a datagram: its length, cut to `buffer`'s, and its sender.
    ///
    /// # Errors
    /// `ConnectionRefused`, once, if the peer of a connected socket has answered a datagram with
    /// "port unreachable".
    pub async fn recv_from(&self, buffer: &mut [u8]) -> AxResult<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_recv_from(cx, buffer)).await
    }

    /// Waits for a datagram: its length, cut to `buffer`'s.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub async fn recv(&self, buffer: &mut [u8]) -> AxResult<usize> {
        poll_fn(|cx| self.poll_recv(cx, buffer)).await
    }

    /// Waits for a datagram and tells all about it: also how long it was before it was cut to
    /// `buffer`'s length, where it was sent to, and by which interface it came.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub async fn recv_msg(&self, buffer: &mut [u8]) -> AxResult<Received> {
        self.when_readable(|| self.0.try_receive(buffer)).await
    }

    /// Like [`recv_from`](Self::recv_from), but the datagram stays to be received.
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    pub async fn peek_from(&self, buffer: &mut [u8]) -> AxResult<(usize, SocketAddr)> {
        self.when_readable(|| self.0.try_peek_from(buffer)).await
    }

    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<AxResult<usize>> {
        let register = |waker: &_| self.0.register(Interest::Write, waker);
        poll_io(cx, || self.0.try_send(data), register).map_ok(|()| data.len())
    }

    pub(crate) fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        remote: SocketAddr,
    ) -> Poll<AxResult<usize>> {
        let register = |waker: &_| self.0.register(Interest::Write, waker);
        poll_io(cx, || self.0.try_send_to(data, remote), register).map_ok(|()| data.len())
    }

    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<AxResult<usize>> {
        self.poll_recv_from(cx, buffer).map_ok(|(len, _)| len)
    }

    pub(crate) fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<AxResult<(usize, SocketAddr)>> {
        let register = |waker: &_| self.0.register(Interest::Read, waker);
        poll_io(cx, || self.0.try_recv_from(buffer), register)
    }

    async fn when_readable<T, E: ToAxError>(
        &self,
        attempt: impl FnMut() -> Result<T, E>,
    ) -> AxResult<T> {
        ready_io(attempt, |waker| self.0.register(Interest::Read, waker)).await
    }
}

/// Options.
impl UdpSocket {
    /// Lets the socket send to broadcast addresses; off by default.
    pub fn set_broadcast(&self, broadcast: bool) {
        self.0.set_broadcast(broadcast);
    }

    /// Whether it may.
    pub fn broadcast(&self) -> bool {
        self.0.broadcast()
    }

    /// Hops that a datagram to one host may take: IPv4's time to live, IPv6's hop limit; 64 by
    /// default.
    pub fn set_ttl(&self, ttl: u8) {
        self.0.set_hop_limit(ttl);
    }

    /// What [`set_ttl`](Self::set_ttl) has set.
    pub fn ttl(&self) -> u8 {
        self.0.hop_limit()
    }

    /// How far datagrams to groups go, by which interface, and whether members on this host get
    /// them.
    pub fn set_multicast(&self, multicast: Multicast) {
        self.0.set_multicast(multicast);
    }

    /// What [`set_multicast`](Self::set_multicast) has set.
    pub fn multicast(&self) -> Multicast {
        self.0.multicast()
    }

    /// Bytes that may wait to be received, what is kept beside each datagram included: 2 KiB to
    /// 4 MiB, 208 KiB by default.
    ///
    /// # Errors
    /// `InvalidInput` if it is out of this range.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> AxResult<()> {
        ax(self.0.set_receive_buffer(bytes))
    }

    /// What [`set_recv_buffer_size`](Self::set_recv_buffer_size) has set.
    pub fn recv_buffer_size(&self) -> usize {
        self.0.receive_buffer()
    }

    /// Bytes that may wait to be sent: 2 KiB to 4 MiB, 64 KiB by default.
    ///
    /// # Errors
    /// `InvalidInput` if it is out of this range.
    pub fn set_send_buffer_size(&self, bytes: usize) -> AxResult<()> {
        ax(self.0.set_send_buffer(bytes))
    }

    /// What [`set_send_buffer_size`](Self::set_send_buffer_size) has set.
    pub fn send_buffer_size(&self) -> usize {
        self.0.send_buffer()
    }
}

/// Groups.
impl UdpSocket {
    /// Receives what is sent to a group, by the interface that has the address given, or, if it is
    /// unspecified, by the one that leads there.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a group; `NoSuchDevice` without such an interface; `AddrInUse`
    /// if it has been joined already; `StorageFull` if too many have been.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> AxResult<()> {
        ax(self.0.join(group.into(), with_address(interface)?))
    }

    /// Receives it no more.
    ///
    /// # Errors
    /// `NotFound` if it has not been joined; those of
    /// [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> AxResult<()> {
        ax(self.0.leave(group.into(), with_address(interface)?))
    }

    /// The same for IPv6, with the interface itself or the one that leads there.
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
