//! Raw IP sockets.

use core::{net::SocketAddr, task::Waker};

use crate::{
    datagram::Received,
    error::{BindError, RecvError, SendError},
    flow::FlowId,
    stack::{Interest, Stack},
};

/// Sends and receives what follows the IP header, of one IP version and protocol.
///
/// It gets copies of what is for this host; TCP, UDP and ICMP answer as if it were not there.
#[derive(Debug)]
pub struct RawSocket {
    stack: Stack,
    id: FlowId,
}

impl RawSocket {
    /// A socket for a protocol by its IANA number.
    ///
    /// # Errors
    /// There is no room.
    pub fn new(stack: &Stack, is_ipv4: bool, protocol: u8) -> Result<Self, BindError> {
        let id = stack.with(|engine| engine.new_raw(is_ipv4, protocol))?;
        Ok(RawSocket { stack: stack.clone(), id })
    }

    /// Queues a packet. The port of `to` does not matter; checksums in `payload` are the caller's.
    ///
    /// # Errors
    /// There is no room or no route, or `payload` does not fit a packet.
    pub fn try_send_to(&self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.stack.with(|engine| engine.raw_send(self.id, payload, to))
    }

    /// Takes the oldest packet's payload, cut to `buffer`'s length. Ports are zero.
    ///
    /// # Errors
    /// None has arrived.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.stack
            .with(|engine| engine.receive(self.id, buffer, false))
            .map(|(received, _)| received)
    }

    /// Sets the hop limit (TTL) of packets; 64 by default.
    pub fn set_hop_limit(&self, hop_limit: u8) {
        self.stack.with(|engine| {
            if let Some(present) = engine.raw_hop_limit(self.id) {
                *present = hop_limit;
            }
        });
    }

    /// The hop limit of packets.
    pub fn hop_limit(&self) -> u8 {
        self.stack.with(|engine| engine.raw_hop_limit(self.id).map_or(0, |present| *present))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    pub fn register(&self, interest: Interest, waker: &Waker) {
        self.stack.with(|engine| engine.register(self.id, interest, waker));
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_raw(self.id));
    }
}
