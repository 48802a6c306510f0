//! embedded-nal-async.

use core::net::SocketAddr;

use embedded_nal_async::{ConnectedUdp, TcpConnect, UdpStack, UnconnectedUdp};

use super::Network;
use crate::{TcpStream, UdpSocket, io::Error};

impl TcpConnect for Network {
    type Error = Error;
    type Connection<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        Ok(TcpStream::connect(remote).await?)
    }
}

impl UdpStack for Network {
    type Error = Error;
    type Connected = UdpSocket;
    type UniquelyBound = UdpSocket;
    type MultiplyBound = UdpSocket;

    async fn connect_from(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(SocketAddr, UdpSocket), Error> {
        let socket = UdpSocket::bind(local).await?;
        socket.connect(remote).await?;
        Ok((socket.local_addr(), socket))
    }

    async fn bind_single(&self, local: SocketAddr) -> Result<(SocketAddr, UdpSocket), Error> {
        let socket = UdpSocket::bind(local).await?;
        Ok((socket.local_addr(), socket))
    }

    async fn bind_multiple(&self, local: SocketAddr) -> Result<UdpSocket, Error> {
        Ok(UdpSocket::bind(local).await?)
    }
}

impl ConnectedUdp for UdpSocket {
    type Error = Error;

    async fn send(&mut self, data: &[u8]) -> Result<(), Error> {
        UdpSocket::send(self, data).await?;
        Ok(())
    }

    async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.recv(buffer).await?)
    }
}

impl UnconnectedUdp for UdpSocket {
    type Error = Error;

    /// The route to `remote` chooses the address that it is sent from, whatever `local` is.
    async fn send(
        &mut self,
        _local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Result<(), Error> {
        self.send_to(data, remote).await?;
        Ok(())
    }

    async fn receive_into(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr, SocketAddr), Error> {
        let received = self.recv_msg(buffer).await?;
        Ok((received.len, received.to, received.from))
    }
}
