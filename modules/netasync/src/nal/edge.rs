//! edge-nal.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axerrno::AxError;
use edge_nal::{
    Close, MulticastV4, MulticastV6, Readable, TcpAccept, TcpBind, TcpConnect, TcpShutdown,
    TcpSplit, UdpBind, UdpConnect, UdpReceive, UdpSend, UdpSplit, UdpSplitMulticast,
};
use embedded_io_async::ErrorType;
use netstack::{InterfaceId, Shutdown};

use super::Network;
use crate::{Handle, TcpListener, TcpStream, UdpSocket, io::Error};

impl TcpConnect for Network {
    type Error = Error;
    type Socket<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        Ok(TcpStream::connect(remote).await?)
    }
}

impl TcpBind for Network {
    type Error = Error;
    type Accept<'a> = TcpListener;

    async fn bind(&self, local: SocketAddr) -> Result<TcpListener, Error> {
        Ok(TcpListener::bind(local).await?)
    }
}

impl TcpAccept for TcpListener {
    type Error = Error;
    type Socket<'a> = TcpStream;

    async fn accept(&self) -> Result<(SocketAddr, TcpStream), Error> {
        let (stream, peer) = TcpListener::accept(self).await?;
        Ok((peer, stream))
    }
}

impl TcpSplit for TcpStream {
    type Read<'a> = &'a TcpStream;
    type Write<'a> = &'a TcpStream;

    fn split(&mut self) -> (&TcpStream, &TcpStream) {
        (self, self)
    }
}

impl TcpShutdown for TcpStream {
    async fn close(&mut self, what: Close) -> Result<(), Error> {
        self.shutdown(match what {
            Close::Read => Shutdown::Read,
            Close::Write => Shutdown::Write,
            Close::Both => Shutdown::Both,
        });
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), Error> {
        TcpStream::abort(self);
        Ok(())
    }
}

impl Readable for TcpStream {
    async fn readable(&mut self) -> Result<(), Error> {
        Ok(TcpStream::readable(self).await?)
    }
}

impl Readable for &TcpStream {
    /// An error is something to read, too.
    async fn readable(&mut self) -> Result<(), Error> {
        Ok(TcpStream::readable(self).await?)
    }
}

impl UdpBind for Network {
    type Error = Error;
    type Socket<'a> = UdpSocket;

    async fn bind(&self, local: SocketAddr) -> Result<UdpSocket, Error> {
        Ok(UdpSocket::bind(local).await?)
    }
}

impl UdpConnect for Network {
    type Error = Error;
    type Socket<'a> = UdpSocket;

    async fn connect(&self, local: SocketAddr, remote: SocketAddr) -> Result<UdpSocket, Error> {
        let socket = UdpSocket::bind(local).await?;
        socket.connect(remote).await?;
        Ok(socket)
    }
}

impl ErrorType for UdpSocket {
    type Error = Error;
}

impl ErrorType for &UdpSocket {
    type Error = Error;
}

impl UdpSplit for UdpSocket {
    type Receive<'a> = &'a UdpSocket;
    type Send<'a> = &'a UdpSocket;

    fn split(&mut self) -> (&UdpSocket, &UdpSocket) {
        (self, self)
    }
}

impl UdpSplitMulticast for UdpSocket {
    type MulticastV4<'a> = &'a UdpSocket;
    type MulticastV6<'a> = &'a UdpSocket;

    fn split_multicast(&mut self) -> (&UdpSocket, &UdpSocket, &UdpSocket, &UdpSocket) {
        (self, self, self, self)
    }
}

/// For a socket and for a reference to one.
macro_rules! datagrams {
    ($($socket:ty)*) => {$(
        impl UdpReceive for $socket {
            async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
                Ok(self.recv_from(buffer).await?)
            }
        }

        impl UdpSend for $socket {
            /// A connected socket sends to its peer.
            async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
                match self.peer_addr() {
                    Ok(_) => UdpSocket::send(self, data).await?,
                    Err(_) => self.send_to(data, remote).await?,
                };
                Ok(())
            }
        }

        impl Readable for $socket {
            /// So is an error, which the next to receive is told.
            async fn readable(&mut self) -> Result<(), Error> {
                Ok(UdpSocket::readable(self).await?)
            }
        }

        impl MulticastV4 for $socket {
            async fn join_v4(&mut self, group: Ipv4Addr, interface: Ipv4Addr) -> Result<(), Error> {
                Ok(self.join_multicast_v4(group, interface)?)
            }

            async fn leave_v4(
                &mut self,
                group: Ipv4Addr,
                interface: Ipv4Addr,
            ) -> Result<(), Error> {
                Ok(self.leave_multicast_v4(group, interface)?)
            }
        }

        impl MulticastV6 for $socket {
            async fn join_v6(&mut self, group: Ipv6Addr, interface: u32) -> Result<(), Error> {
                Ok(self.join_multicast_v6(&group, numbered(interface)?)?)
            }

            async fn leave_v6(&mut self, group: Ipv6Addr, interface: u32) -> Result<(), Error> {
                Ok(self.leave_multicast_v6(&group, numbered(interface)?)?)
            }
        }
    )*};
}

datagrams!(UdpSocket & UdpSocket);

/// An interface by its number; zero, as in POSIX, is none in particular.
fn numbered(number: u32) -> Result<Option<InterfaceId>, Error> {
    if number == 0 {
        return Ok(None);
    }
    let interfaces = Handle::current().stack().interfaces();
    let found = interfaces.get(number as usize).ok_or(Error(AxError::NoSuchDevice))?;
    Ok(Some(found.id))
}
