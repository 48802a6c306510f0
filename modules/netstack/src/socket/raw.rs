//! Raw IP sockets.

use core::{net::SocketAddr, task::Waker};

use crate::{
    datagram::Received,
    error::{BindError, RecvError, SendError},
    flow::{FlowId, Registration},
    stack::{Interest, Stack},
};

/// Sends and receives what follows the IP header, of one IP version and protocol.
///
/// It gets copies of what is for this host; TCP, UDP and ICMP answer as if it were not there.
///
/// ```
/// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
/// # use netstack::*;
/// # let (stack, mut poll) = world::host();
/// // OSPF.
/// let socket = RawSocket::new(&stack, true, 89)?;
/// socket.try_send_to(b"hello", "10.0.0.1:0".parse()?)?;
/// poll();
/// let mut buffer = [0; 100];
/// assert_eq!(socket.try_receive(&mut buffer)?.len, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RawSocket {
    stack: Stack,
    id: FlowId,
}

impl RawSocket {
    /// A socket for a protocol by its IANA number.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// let socket = RawSocket::new(&stack, true, 89)?;
    /// assert_eq!(stack.stats().raw_sockets, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no room.
    pub fn new(stack: &Stack, is_ipv4: bool, protocol: u8) -> Result<Self, BindError> {
        let id = stack.with(|engine| engine.new_raw(is_ipv4, protocol))?;
        Ok(RawSocket { stack: stack.clone(), id })
    }

    /// Queues a packet. The port of `to` does not matter; checksums in `payload` are the caller's.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = RawSocket::new(&stack, true, 89)?;
    /// socket.try_send_to(b"hello", "10.0.0.1:0".parse()?)?;
    /// let sent = socket.try_send_to(&[0; 70_000], "10.0.0.1:0".parse()?);
    /// assert_eq!(sent, Err(SendError::TooLong));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no room or no route, or `payload` does not fit a packet.
    pub fn try_send_to(&self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.stack.with(|engine| engine.raw_send(self.id, payload, to))
    }

    /// Takes the oldest packet's payload, cut to `buffer`'s length. Ports are zero.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = RawSocket::new(&stack, true, 89)?;
    /// socket.try_send_to(b"hello", "10.0.0.1:0".parse()?)?;
    /// poll();
    /// let received = socket.try_receive(&mut [0; 2])?;
    /// assert_eq!((received.len, received.full_len), (2, 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// None has arrived.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.stack
            .with(|engine| engine.receive(self.id, buffer, false))
            .map(|(received, _)| received)
    }

    /// Sets the hop limit (TTL) of packets; 64 by default.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = RawSocket::new(&stack, true, 89)?;
    /// socket.set_hop_limit(3);
    /// assert_eq!(socket.hop_limit(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_hop_limit(&self, hop_limit: u8) {
        self.stack.with(|engine| {
            if let Some(present) = engine.raw_hop_limit(self.id) {
                *present = hop_limit;
            }
        });
    }

    /// The hop limit of packets.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = RawSocket::new(&stack, true, 89)?;
    /// assert_eq!(socket.hop_limit(), 64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hop_limit(&self) -> u8 {
        self.stack.with(|engine| engine.raw_hop_limit(self.id).map_or(0, |present| *present))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    ///
    /// ```
    /// # mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/example.rs")); }
    /// # use netstack::*;
    /// # let (stack, mut poll) = world::host();
    /// # let socket = RawSocket::new(&stack, true, 89)?;
    /// # let (bell, waker) = world::Bell::new();
    /// socket.register(Interest::Read, &waker);
    /// socket.try_send_to(b"hello", "10.0.0.1:0".parse()?)?;
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
    /// # let socket = RawSocket::new(&stack, true, 89)?;
    /// # let (bell, waker) = world::Bell::new();
    /// let registration = socket.register(Interest::Read, &waker);
    /// socket.deregister(registration);
    /// socket.try_send_to(b"hello", "10.0.0.1:0".parse()?)?;
    /// poll();
    /// assert!(!bell.has_rung());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deregister(&self, registration: Registration) {
        drop(self.stack.look(|engine| engine.deregister(self.id, &registration)));
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_raw(self.id));
    }
}
