//! UDP's sockets.

use core::{
    net::{IpAddr, SocketAddr},
    task::Waker,
};

use crate::{
    datagram::Received,
    error::{BindError, BufferError, ConnectError, JoinError, RecvError, SendError},
    flow::{FlowId, Registration},
    ip::InterfaceId,
    stack::{Interest, Stack},
    udp::Multicast,
};

/// A UDP socket.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let server = UdpSocket::bind(&stack, "0.0.0.0:7".parse()?)?;
/// let client = UdpSocket::bind(&stack, "127.0.0.1:0".parse()?)?;
/// client.try_send_to(b"hello", "127.0.0.1:7".parse()?)?;
/// poll();
/// assert_eq!(server.try_recv_from(&mut [0; 1500])?, (5, client.local_addr()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let socket = UdpSocket::unbound(&stack, true)?;
    /// assert_eq!(socket.local_addr().port(), 0);
    /// socket.try_send_to(b"hello", "10.0.0.2:7".parse()?)?;
    /// assert_ne!(socket.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let socket = UdpSocket::bind(&stack, "0.0.0.0:7".parse()?)?;
    /// let second = UdpSocket::bind(&stack, "0.0.0.0:7".parse()?);
    /// assert_eq!(second.unwrap_err(), BindError::InUse);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let sockets = [UdpSocket::unbound(&stack, true)?, UdpSocket::unbound(&stack, true)?];
    /// for socket in &sockets {
    ///     socket.set_reuse_address(true);
    ///     socket.bind_to("0.0.0.0:5353".parse()?)?;
    /// }
    /// assert_eq!(sockets[0].bind_to("0.0.0.0:5353".parse()?), Err(BindError::Bound));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same, or it is bound.
    pub fn bind_to(&self, local: SocketAddr) -> Result<(), BindError> {
        self.stack.with(|engine| engine.bind_udp(self.id, local))
    }

    /// What it is bound to; port 0 if it is not. A connected socket has the address that its peer
    /// sees.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let socket = UdpSocket::bind(&stack, "0.0.0.0:7".parse()?)?;
    /// socket.connect("127.0.0.1:9".parse()?)?;
    /// assert_eq!(socket.local_addr(), "127.0.0.1:7".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.stack.with(|engine| engine.udp_local(self.id))
    }

    /// Takes datagrams from `remote` only from now on, and sends there by default. Does not wait.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.connect(there.local_addr())?;
    /// here.try_send(b"hello")?;
    /// poll();
    /// assert_eq!(there.try_recv_from(&mut [0; 100])?, (5, here.local_addr()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `remote` cannot be reached or sent to, or another socket has the same two ends.
    pub fn connect(&self, remote: SocketAddr) -> Result<(), ConnectError> {
        self.stack.with(|engine| engine.connect_udp(self.id, remote))
    }

    /// Takes datagrams from everybody again.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.connect(there.local_addr())?;
    /// here.disconnect();
    /// assert_eq!(here.peer_addr(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn disconnect(&self) {
        self.stack.with(|engine| engine.disconnect_udp(self.id));
    }

    /// Whom it is connected to.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert_eq!(here.peer_addr(), None);
    /// here.connect(there.local_addr())?;
    /// assert_eq!(here.peer_addr(), Some(there.local_addr()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.stack.with(|engine| engine.udp_peer(self.id))
    }
}

/// Datagrams.
impl UdpSocket {
    /// Queues one datagram.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// let sent = here.try_send_to(b"hello", "255.255.255.255:9".parse()?);
    /// assert_eq!(sent, Err(SendError::NoBroadcast));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no room or no route, or `data` does not fit a datagram.
    pub fn try_send_to(&self, data: &[u8], remote: SocketAddr) -> Result<(), SendError> {
        self.stack.with(|engine| engine.udp_send(self.id, data, Some(remote)))
    }

    /// Queues one datagram to the peer.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert_eq!(here.try_send(b"hello"), Err(SendError::NotConnected));
    /// here.connect(there.local_addr())?;
    /// here.try_send(b"hello")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same; or there is no peer, or it has refused an earlier one (told once).
    pub fn try_send(&self, data: &[u8]) -> Result<(), SendError> {
        self.stack.with(|engine| engine.udp_send(self.id, data, None))
    }

    /// Takes the oldest datagram: its length, cut to `buffer`'s, and its sender.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// let mut buffer = [0; 1500];
    /// let (len, from) = there.try_recv_from(&mut buffer)?;
    /// assert_eq!((&buffer[..len], from), (&b"hello"[..], here.local_addr()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// None has arrived, or the peer has refused one of ours (told once).
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), RecvError> {
        self.try_receive(buffer).map(|received| (received.len, received.from))
    }

    /// Takes the oldest datagram: its length, cut to `buffer`'s.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// assert_eq!(there.try_recv(&mut [0; 2])?, 2);
    /// assert_eq!(there.try_recv(&mut [0; 2]), Err(RecvError::WouldBlock), "the rest is lost");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same.
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.try_receive(buffer).map(|received| received.len)
    }

    /// Takes the oldest datagram, and tells all about it.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// let received = there.try_receive(&mut [0; 2])?;
    /// assert_eq!((received.len, received.full_len), (2, 5));
    /// assert_eq!((received.from, received.to), (here.local_addr(), there.local_addr()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.stack.with(|engine| engine.udp_recv(self.id, buffer, false))
    }

    /// Copies the oldest datagram and leaves it where it is.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// let full_len = there.try_peek(&mut [])?.full_len;
    /// assert_eq!(there.try_recv(&mut vec![0; full_len])?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.stack.with(|engine| engine.udp_recv(self.id, buffer, true))
    }

    /// [`try_peek`](Self::try_peek)'s length and sender.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// assert_eq!(there.try_peek_from(&mut [0; 100])?, (5, here.local_addr()));
    /// assert_eq!(there.try_recv(&mut [0; 100])?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The same.
    pub fn try_peek_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), RecvError> {
        self.try_peek(buffer).map(|received| (received.len, received.from))
    }

    /// Whether receiving, or sending, would not answer `WouldBlock`; takes nothing, no error either. A
    /// socket without a peer can send when it can send to somebody: who is being looked for on a link
    /// may have to be waited for.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert!(here.is_ready(Interest::Write) && !there.is_ready(Interest::Read));
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// assert!(there.is_ready(Interest::Read));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready(&self, interest: Interest) -> bool {
        self.stack.look(|engine| engine.is_udp_ready(self.id, interest))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// # let (bell, waker) = world::Bell::new();
    /// there.register(Interest::Read, &waker);
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// assert!(bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(&self, interest: Interest, waker: &Waker) -> Registration {
        self.stack.look(|engine| engine.register(self.id, interest, waker))
    }

    /// The same, or `None` if `interest` can be served now: instead of another try after registering.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, _) = world::host();
    /// # let socket = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let (_, waker) = world::Bell::new();
    /// assert!(socket.register_unless_ready(Interest::Read, &waker).is_some());
    /// assert!(socket.register_unless_ready(Interest::Write, &waker).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register_unless_ready(&self, interest: Interest, waker: &Waker) -> Option<Registration> {
        self.stack.look(|engine| {
            let is_ready = engine.is_udp_ready(self.id, interest);
            (!is_ready).then(|| engine.register(self.id, interest, waker))
        })
    }

    /// Takes back what [`register`](Self::register) has registered, if it has not been woken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// # let (bell, waker) = world::Bell::new();
    /// let registration = there.register(Interest::Read, &waker);
    /// there.deregister(registration);
    /// here.try_send_to(b"hello", there.local_addr())?;
    /// poll();
    /// assert!(!bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deregister(&self, registration: Registration) {
        drop(self.stack.look(|engine| engine.deregister(self.id, &registration)));
    }
}

/// What an example of an option has around it.
macro_rules! example {
    ($($line:expr),*) => {
        concat!(
            "\n```\n# mod world { include!(concat!(env!(\"CARGO_MANIFEST_DIR\"), ",
            "\"/tests/world/example.rs\")); }\n",
            "# use netstack::*;\n# let (stack, _) = world::host();\n",
            "let socket = UdpSocket::unbound(&stack, false)?;\n",
            $($line,)* "# Ok::<(), Box<dyn std::error::Error>>(())\n```"
        )
    };
}

/// Each with its default and another value, for the examples.
macro_rules! options {
    ($(
        $(#[$doc:meta])*
        $get:ident, $set:ident: $kind:ty = $($field:ident).+, $default:literal, $other:literal;
    )*) => {
        /// Options.
        impl UdpSocket {
            $(
                $(#[$doc])*
                #[doc = example!(
                    "socket.", stringify!($set), "(", $other, ");\n",
                    "assert_eq!(socket.", stringify!($get), "(), ", $other, ");\n"
                )]
                pub fn $set(&self, value: $kind) {
                    self.stack.with(|engine| {
                        engine.udp_option(self.id, |udp| udp.$($field).+ = value);
                    });
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set.")]
                #[doc = example!("assert_eq!(socket.", stringify!($get), "(), ", $default, ");\n")]
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
    reuse_address, set_reuse_address: bool = reuse_address, "false", "true";
    /// Lets other sockets with this option have the same address and port, and divides their peers
    /// among them.
    reuse_port, set_reuse_port: bool = reuse_port, "false", "true";
    /// Has an IPv6 socket take no IPv4.
    only_v6, set_only_v6: bool = only_v6, "false", "true";
    /// Lets the socket send to broadcast addresses.
    broadcast, set_broadcast: bool = may_broadcast, "false", "true";
    /// The hop limit (TTL) of what is sent to one host; 64 by default.
    hop_limit, set_hop_limit: u8 = hop_limit, "64", "3";
    /// How far what is sent to groups goes, by which interface, and whether it comes back.
    multicast, set_multicast: Multicast = multicast, "Multicast::default()",
        "Multicast { hop_limit: 8, is_looped: false, interface: None }";
}

/// Groups and buffers.
impl UdpSocket {
    /// Receives what is sent to a group, by the interface given or the one that leads there.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let socket = UdpSocket::bind(&stack, "0.0.0.0:5353".parse()?)?;
    /// socket.join([224, 0, 0, 251].into(), Some(InterfaceId::FIRST))?;
    /// socket.try_send_to(b"is anybody there?", "224.0.0.251:5353".parse()?)?;
    /// poll();
    /// assert_eq!(socket.try_receive(&mut [])?.to, "224.0.0.251:5353".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// It is not a group, there is no such interface, or there are too many.
    pub fn join(&self, group: IpAddr, interface: Option<InterfaceId>) -> Result<(), JoinError> {
        self.stack.with(|engine| engine.udp_join(self.id, group, interface))
    }

    /// Receives it no more.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.join([224, 0, 0, 251].into(), Some(InterfaceId::FIRST))?;
    /// let leave = || here.leave([224, 0, 0, 251].into(), Some(InterfaceId::FIRST));
    /// assert_eq!((leave(), leave()), (Ok(()), Err(JoinError::NotFound)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// It has not been joined.
    pub fn leave(&self, group: IpAddr, interface: Option<InterfaceId>) -> Result<(), JoinError> {
        self.stack.with(|engine| engine.udp_leave(self.id, group, interface))
    }

    /// Bytes that may wait to be read, what is kept beside each datagram included.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert_eq!(here.receive_buffer(), 208 * 1024);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive_buffer(&self) -> usize {
        self.stack.with(|engine| engine.udp_option(self.id, |udp| udp.queues.inbox.limit()))
    }

    /// Sets it; 208 KiB by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.set_receive_buffer(1 << 20)?;
    /// assert_eq!(here.receive_buffer(), 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Less than 2 KiB or more than 4 MiB.
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<(), BufferError> {
        let set = |udp: &mut crate::udp::UdpFlow| udp.queues.inbox.set_limit(bytes);
        self.stack.with(|engine| engine.udp_option(self.id, set))
    }

    /// Bytes that may wait to be sent.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// assert_eq!(here.send_buffer(), 64 * 1024);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_buffer(&self) -> usize {
        self.stack.with(|engine| engine.udp_option(self.id, |udp| udp.queues.outbox.limit()))
    }

    /// Sets it; 64 KiB by default. The last datagram may go beyond it.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let here = UdpSocket::bind(&stack, "127.0.0.1:7".parse()?)?;
    /// # let there = UdpSocket::bind(&stack, "127.0.0.1:9".parse()?)?;
    /// here.set_send_buffer(1 << 20)?;
    /// assert_eq!(here.send_buffer(), 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
