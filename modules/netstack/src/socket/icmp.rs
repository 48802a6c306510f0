//! ICMP's sockets: echo requests and what comes of them.

use core::{net::SocketAddr, task::Waker};

use crate::{
    error::{BindError, RecvError, SendError},
    flow::FlowId,
    icmp_socket::Echo,
    stack::{Interest, Stack},
};

/// Sends echo requests with one identifier, and receives their replies and the errors about them.
#[derive(Debug)]
pub struct IcmpSocket {
    stack: Stack,
    id: FlowId,
}

impl IcmpSocket {
    /// A socket with the identifier given, or with a free one.
    ///
    /// # Errors
    /// The identifier is taken, or there is no room.
    pub fn new(stack: &Stack, is_ipv4: bool, ident: Option<u16>) -> Result<Self, BindError> {
        let id = stack.with(|engine| engine.new_icmp(is_ipv4, ident))?;
        Ok(IcmpSocket { stack: stack.clone(), id })
    }

    /// Its identifier.
    pub fn ident(&self) -> u16 {
        self.stack.with(|engine| engine.icmp_ident(self.id))
    }

    /// Queues an echo request. The port of `to` does not matter.
    ///
    /// # Errors
    /// There is no room or no route, or `data` does not fit a packet.
    pub fn try_send_to(&self, sequence: u16, data: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.stack.with(|engine| engine.icmp_send(self.id, sequence, data, to))
    }

    /// Takes the oldest reply or error; its data is cut to `buffer`'s length.
    ///
    /// # Errors
    /// None has arrived.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Echo, RecvError> {
        self.stack.with(|engine| engine.icmp_recv(self.id, buffer))
    }

    /// Sets the hop limit (TTL) of requests; 64 by default.
    pub fn set_hop_limit(&self, hop_limit: u8) {
        self.stack.with(|engine| {
            if let Some(present) = engine.icmp_hop_limit(self.id) {
                *present = hop_limit;
            }
        });
    }

    /// The hop limit of requests.
    pub fn hop_limit(&self) -> u8 {
        self.stack.with(|engine| engine.icmp_hop_limit(self.id).map_or(0, |present| *present))
    }

    /// Wakes `waker`, once, when `interest` may be served.
    pub fn register(&self, interest: Interest, waker: &Waker) {
        self.stack.with(|engine| engine.register(self.id, interest, waker));
    }
}

impl Drop for IcmpSocket {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.release_icmp(self.id));
    }
}
