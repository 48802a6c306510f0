//! Listening.

use core::{future::ready, net::SocketAddr};

use axerrno::AxResult;
use netstack::ListenOptions;

use super::TcpStream;
use crate::{
    addr::ToSocketAddrs, error::ax, reactor::ready_io, resolve::try_each, runtime::Handle,
};

/// Connections that may wait to be accepted, as tokio has it.
const BACKLOG: usize = 1024;

/// Accepts connections.
#[derive(Debug)]
pub struct TcpListener(netstack::TcpListener);

impl TcpListener {
    /// Listens on `address`; port 0 chooses one. Up to 1,024 connections wait to be accepted. A
    /// [`TcpSocket`](super::TcpSocket) has options.
    ///
    /// # Errors
    /// `AddrInUse`; `BadAddress` if no interface has the address; `InvalidInput` if `address` is
    /// not one; those of [`lookup_host`](crate::lookup_host).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn bind(address: impl ToSocketAddrs) -> AxResult<Self> {
        let options = ListenOptions::default();
        try_each(address, |local| ready(Self::bind_with(local, BACKLOG, &options))).await
    }

    pub(super) fn bind_with(
        local: SocketAddr,
        backlog: usize,
        options: &ListenOptions,
    ) -> AxResult<Self> {
        let stack = Handle::current().stack().clone();
        ax(netstack::TcpListener::bind_with(&stack, local, backlog, options)).map(Self)
    }

    /// Waits for a connection. Any number of tasks may wait at a time.
    ///
    /// # Errors
    /// None today.
    pub async fn accept(&self) -> AxResult<(TcpStream, SocketAddr)> {
        let accepted = ready_io(|| self.0.try_accept(), |waker| self.0.register(waker));
        let stream = TcpStream::new(accepted.await?);
        let peer = stream.peer_addr();
        Ok((stream, peer))
    }

    /// What it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}
