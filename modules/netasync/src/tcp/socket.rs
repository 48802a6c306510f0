//! Sockets that are not yet what they are to be.

use core::net::SocketAddr;

use axerrno::{AxError, AxResult};
use netstack::ListenOptions;

use super::{TcpListener, TcpStream};
use crate::{
    addr::{ToSocketAddrs, literal},
    resolve::try_each,
};

/// A socket that becomes a listener or a stream, as POSIX has it.
#[derive(Debug, Default)]
pub struct TcpSocket {
    local: Option<SocketAddr>,
    pub(super) options: ListenOptions,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Listening(TcpListener),
    Connected(TcpStream),
}

impl TcpSocket {
    /// A socket that is neither bound nor connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the local address; it is taken when the socket listens or connects.
    ///
    /// # Errors
    /// `AlreadyConnected` if it does already; `InvalidInput` if `address` is not one.
    pub fn bind(&mut self, address: impl ToSocketAddrs) -> AxResult<()> {
        self.check_fresh()?;
        self.local = Some(literal(&address)?);
        Ok(())
    }

    /// Listens on the address that it is bound to, with at most `backlog` connections waiting.
    ///
    /// # Errors
    /// `InvalidInput` if it is not bound or `backlog` is zero; those of [`TcpListener::bind`].
    pub fn listen(&mut self, backlog: usize) -> AxResult<()> {
        self.check_fresh()?;
        let local = self.local.ok_or(AxError::InvalidInput)?;
        self.state = State::Listening(TcpListener::bind_with(local, backlog, &self.options)?);
        Ok(())
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen; those of [`TcpListener::accept`].
    pub async fn accept(&self) -> AxResult<(TcpStream, SocketAddr)> {
        match &self.state {
            State::Listening(listener) => listener.accept().await,
            _ => Err(AxError::InvalidInput),
        }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// `AlreadyConnected` if it is connected or listens; those of [`TcpStream::connect`].
    pub async fn connect(&mut self, address: impl ToSocketAddrs) -> AxResult<()> {
        self.check_fresh()?;
        let (local, options) = (self.local, self.options.connection);
        let connect = |remote| TcpStream::connect_with(local, remote, options);
        let stream = try_each(address, connect).await?;
        self.state = State::Connected(stream);
        Ok(())
    }

    /// The connection, for reading and writing.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn stream(&self) -> AxResult<&TcpStream> {
        match &self.state {
            State::Connected(stream) => Ok(stream),
            _ => Err(AxError::NotConnected),
        }
    }

    /// The connection, without the socket.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn into_stream(self) -> AxResult<TcpStream> {
        match self.state {
            State::Connected(stream) => Ok(stream),
            _ => Err(AxError::NotConnected),
        }
    }

    /// What it is bound to, if it is.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Fresh => self.local,
            State::Listening(listener) => Some(listener.local_addr()),
            State::Connected(stream) => Some(stream.local_addr()),
        }
    }

    fn check_fresh(&self) -> AxResult<()> {
        match self.state {
            State::Fresh => Ok(()),
            _ => Err(AxError::AlreadyConnected),
        }
    }
}

macro_rules! sharing {
    ($($(#[$doc:meta])* $get:ident, $set:ident = $field:ident,)*) => {
        /// How a listener shares its address: set before it listens.
        impl TcpSocket {
            $(
                $(#[$doc])*
                pub fn $set(&mut self, value: bool) {
                    self.options.$field = value;
                }

                #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set.")]
                pub fn $get(&self) -> bool {
                    self.options.$field
                }
            )*
        }
    };
}

sharing! {
    /// May take a port on which connections of an earlier listener still end. On by default, as in
    /// Rust's standard library.
    reuseaddr, set_reuseaddr = reuse_address,
    /// May share its address with other listeners that say the same; each connection goes to one of
    /// them, chosen by a hash of its ends.
    reuseport, set_reuseport = reuse_port,
    /// A listener on `[::]` takes IPv6 only; otherwise IPv4 as well, with addresses mapped into
    /// IPv6.
    only_v6, set_only_v6 = only_v6,
}
