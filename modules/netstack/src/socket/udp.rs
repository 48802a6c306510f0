//! UDP's sockets.

use core::{
    net::{IpAddr, SocketAddr},
    task::Waker,
};

use crate::{
    datagram::Received,
    error::{BindError, BufferError, ConnectError, JoinError, RecvError, SendError},
    flow::FlowId,
    ip::InterfaceId,
    stack::{Interest, Stack},
    udp::Multicast,
};

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    stack: Stack,
    id: FlowId,
}

/// Where it is.
impl UdpSocket {
    /// A socket that has no port yet: it gets one when it is bound, connected or sent from. Options
    /// that decide about sharing a port are set before.
    ///
    /// # Errors
    /// There is no room.
    pub fn unbound(stack: &Stack, is_ipv4: bool) -> Result<Self, BindError> {
        let id = stack.with(|engine| engine.new_udp(is_ipv4))?;
        Ok(UdpSocket { stack: stack.clone(), id })
    }

    /// Binds to `local`. An unspecified address means all of its family, port 0 a free one. `[::]`
    /// takes IPv4 as well unless [`set_only_v6`](Self::set_only_v6) says otherwise.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or there is no room.
    pub fn bind(stack: &Stack, local: SocketAddr) -> Result<Self, BindError> {
        let socket = Self::unbound(stack, local.is_ipv4())?;
        socket.bind_to(local)?;
        Ok(socket)
    }

    /// Binds an unbound socket.
    ///
    /// # Errors
    /// The same, or it is bound.
    pub fn bind_to(&self, local: SocketAddr) -> Result<(), BindError> {
        self.stack.with(|engine| engine.bind_udp(self.id, local))
    }

    /// What it is bound to; port 0 if it is not. A connected socket has the address that its peer
    /// sees.
    pub fn local_addr(&self) -> SocketAddr {
        self.stack.with(|engine| engine.udp_local(self.id))
    }

    /// Takes datagrams from `remote` only from now on, and sends there by default. Does not wait.
    ///
    /// # Errors
    /// `remote` cannot be reached or sent to, or another socket has the same two ends.
    pub fn connect(&self, remote: SocketAddr) -> Result<(), ConnectError> {
        self.stack.with(|engine| engine.connect_udp(self.id, remote))
    }

    /// Takes datagrams from everybody again.
    pub fn disconnect(&self) {
        self.stack.with(|engine| engine.disconnect_udp(self.id));
    }

    /// Whom it is connected to.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.stack.with(|engine| engine.udp_peer(self.id))
    }
}

/// Datagrams.
impl UdpSocket {
    /// Queues one datagram.
    ///
    /// # Errors
    /// There is no room or no route, or `data` does not fit a datagram.
    pub fn try_send_to(&self, data: &[u8], remote: SocketAddr) -> Result<(), SendError> {
        self.stack.with(|engine| engine.udp_send(self.id, data, Some(remote)))
    }

    /// Queues one datagram to the peer.
    ///
    /// # Errors
    /// The same; or there is no peer, or it has refused an earlier one (told once).
    pub fn try_send(&self, data: &[u8]) -> Result<(), SendError> {
        self.stack.with(|engine| engine.udp_send(self.id, data, None))
    }

    /// Takes the oldest datagram: its length, cut to `buffer`'s, and its sender.
    ///
    /// # Errors
    /// None has arrived, or the peer has refused one of ours (told once).
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), RecvError> {
        self.try_receive(buffer).map(|received| (received.len, received.from))
    }

    /// Takes the oldest datagram: its length, cut to `buffer`'s.
    ///
    /// # Errors
    /// The same.
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.try_receive(buffer).map(|received| received.len)
    }

    /// Takes the oldest datagram, and tells all about it.
    ///
    /// # Errors
    /// The same.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.stack.with(|engine| engine.udp_recv(self.id, buffer, false))
    }

    /// Copies the oldest datagram and leaves it where it is.
    ///
    /// # Errors
    /// The same.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.stack.with(|engine| engine.udp_recv(self.id, buffer, true))
    }

    /// [`try_peek`](Self::try_peek)'s length and sender.
    ///
    /// # Errors
    /// The same.
    pub fn try_peek_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), RecvError> {
        self.try_peek(buffer).map(|received| (received.len, received.from))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    pub fn register(&self, interest: Interest, waker: &Waker) {
        self.stack.with(|engine| engine.register(self.id, interest, waker));
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $get:ident, $set:ident: $kind:ty = $($field:ident).+,)*) => {
        /// Options.
        impl UdpSocket {
            $(
                $(#[$doc])*
                pub fn $set(&self, value: $kind) {
                    self.stack.with(|engine| {
                        engine.udp_option(self.id, |udp| udp.$($field).+ = value);
                    });
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set.")]
                pub fn $get(&self) -> $kind {
                    self.stack.with(|engine| engine.udp_option(self.id, |udp| udp.$($field).+))
                }
            )*
        }
    };
}

options! {
    /// Lets other sockets with this option have the same address and port. Datagrams to a group or to
    /// everybody go to all of them, others to the last one.
    reuse_address, set_reuse_address: bool = reuse_address,
    /// Lets other sockets with this option have the same address and port, and divides their peers
    /// among them.
    reuse_port, set_reuse_port: bool = reuse_port,
    /// Has an IPv6 socket take no IPv4.
    only_v6, set_only_v6: bool = only_v6,
    /// Lets the socket send to broadcast addresses.
    broadcast, set_broadcast: bool = may_broadcast,
    /// The hop limit (TTL) of what is sent to one host; 64 by default.
    hop_limit, set_hop_limit: u8 = hop_limit,
    /// How far what is sent to groups goes, by which interface, and whether it comes back.
    multicast, set_multicast: Multicast = multicast,
}

/// Groups and buffers.
impl UdpSocket {
    /// Receives what is sent to a group, by the interface given or the one that leads there.
    ///
    /// # Errors
    /// It is not a group, there is no such interface, or there are too many.
    pub fn join(&self, group: IpAddr, interface: Option<InterfaceId>) -> Result<(), JoinError> {
        self.stack.with(|engine| engine.udp_join(self.id, group, interface))
    }

    /// Receives it no more.
    ///
    /// # Errors
    /// It has not been joined.
    pub fn leave(&self, group: IpAddr, interface: Option<InterfaceId>) -> Result<(), JoinError> {
        self.stack.with(|engine| engine.udp_leave(self.id, group, interface))
    }

    /// Bytes that may wait to be read, what is kept beside each datagram included.
    pub fn receive_buffer(&self) -> usize {
        self.stack.with(|engine| engine.udp_option(self.id, |udp| udp.queues.inbox.limit()))
    }

    /// Sets it; 208 KiB by default.
    ///
    /// # Errors
    /// Less than 2 KiB or more than 4 MiB.
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<(), BufferError> {
        let set = |udp: &mut crate::udp::UdpFlow| udp.queues.inbox.set_limit(bytes);
        self.stack.with(|engine| engine.udp_option(self.id, set))
    }

    /// Bytes that may wait to be sent.
    pub fn send_buffer(&self) -> usize {
        self.stack.with(|engine| engine.udp_option(self.id, |udp| udp.queues.outbox.limit()))
    }

    /// Sets it; 64 KiB by default.
    ///
    /// # Errors
    /// Less than 2 KiB or more than 4 MiB.
    pub fn set_send_buffer(&self, bytes: usize) -> Result<(), BufferError> {
        let set = |udp: &mut crate::udp::UdpFlow| udp.queues.outbox.set_limit(bytes);
        self.stack.with(|engine| engine.udp_option(self.id, set))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_udp(self.id));
    }
}
