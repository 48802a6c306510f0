//! ICMP's sockets: echo requests and what comes of them.

use core::{net::SocketAddr, task::Waker};

use crate::{
    error::{BindError, RecvError, SendError},
    flow::{FlowId, Registration},
    icmp_socket::Echo,
    stack::{Interest, Stack},
};

/// Sends echo requests with one identifier, and receives their replies and the errors about them.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// let socket = IcmpSocket::new(&stack, true, None)?;
/// socket.try_send_to(1, b"are you there?", "10.0.0.1:0".parse()?)?;
/// poll();
/// assert_eq!(socket.try_receive(&mut [0; 100])?.error, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IcmpSocket {
    stack: Stack,
    id: FlowId,
}

impl IcmpSocket {
    /// A socket with the identifier given, or with a free one.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let socket = IcmpSocket::new(&stack, true, Some(7))?;
    /// let second = IcmpSocket::new(&stack, true, Some(7));
    /// assert_eq!(second.unwrap_err(), BindError::InUse);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The identifier is taken, or there is no room.
    pub fn new(stack: &Stack, is_ipv4: bool, ident: Option<u16>) -> Result<Self, BindError> {
        let id = stack.with(|engine| engine.new_icmp(is_ipv4, ident))?;
        Ok(IcmpSocket { stack: stack.clone(), id })
    }

    /// Its identifier.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// assert_eq!(IcmpSocket::new(&stack, true, Some(7))?.ident(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ident(&self) -> u16 {
        self.stack.with(|engine| engine.icmp_ident(self.id))
    }

    /// Queues an echo request. The port of `to` does not matter.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = IcmpSocket::new(&stack, true, Some(7))?;
    /// socket.try_send_to(1, b"are you there?", "10.0.0.1:0".parse()?)?;
    /// let sent = socket.try_send_to(2, b"and you?", "[::1]:0".parse()?);
    /// assert_eq!(sent, Err(SendError::Invalid), "it is a socket of IPv4");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no room or no route, or `data` does not fit a packet.
    pub fn try_send_to(&self, sequence: u16, data: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.stack.with(|engine| engine.icmp_send(self.id, sequence, data, to))
    }

    /// Takes the oldest reply or error; its data is cut to `buffer`'s length.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = IcmpSocket::new(&stack, true, Some(7))?;
    /// assert_eq!(socket.try_receive(&mut []), Err(RecvError::WouldBlock));
    /// socket.try_send_to(7, b"are you there?", "10.0.0.1:0".parse()?)?;
    /// poll();
    /// assert_eq!(socket.try_receive(&mut [])?.sequence, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// None has arrived.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Echo, RecvError> {
        self.stack.with(|engine| engine.icmp_recv(self.id, buffer))
    }

    /// Sets the hop limit (TTL) of requests; 64 by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = IcmpSocket::new(&stack, true, Some(7))?;
    /// socket.set_hop_limit(3);
    /// assert_eq!(socket.hop_limit(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_hop_limit(&self, hop_limit: u8) {
        self.stack.with(|engine| {
            if let Some(present) = engine.icmp_hop_limit(self.id) {
                *present = hop_limit;
            }
        });
    }

    /// The hop limit of requests.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = IcmpSocket::new(&stack, true, Some(7))?;
    /// assert_eq!(socket.hop_limit(), 64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hop_limit(&self) -> u8 {
        self.stack.with(|engine| engine.icmp_hop_limit(self.id).map_or(0, |present| *present))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = IcmpSocket::new(&stack, true, Some(7))?;
    /// # let (bell, waker) = world::Bell::new();
    /// socket.register(Interest::Read, &waker);
    /// socket.try_send_to(1, b"are you there?", "10.0.0.1:0".parse()?)?;
    /// poll();
    /// assert!(bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(&self, interest: Interest, waker: &Waker) -> Registration {
        self.stack.look(|engine| engine.register(self.id, interest, waker))
    }

    /// Takes back what [`register`](Self::register) has registered, if it has not been woken.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = IcmpSocket::new(&stack, true, Some(7))?;
    /// # let (bell, waker) = world::Bell::new();
    /// let registration = socket.register(Interest::Read, &waker);
    /// socket.deregister(registration);
    /// socket.try_send_to(1, b"are you there?", "10.0.0.1:0".parse()?)?;
    /// poll();
    /// assert!(!bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deregister(&self, registration: Registration) {
        drop(self.stack.look(|engine| engine.deregister(self.id, &registration)));
    }
}

impl Drop for IcmpSocket {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_icmp(self.id));
    }
}
