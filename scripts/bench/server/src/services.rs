//! Echo, discard, and bytes without end.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

/// Bytes read or written at a time: those of `apps/echo`.
const BUFFER_LEN: usize = 16 * 1024;
/// The largest UDP payload.
const DATAGRAM_LEN_MAX: usize = 65_507;

pub(crate) async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}

pub(crate) async fn discard(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

pub(crate) async fn generate(mut stream: TcpStream) -> io::Result<()> {
    let chunk = vec![b'x'; BUFFER_LEN];
    loop {
        stream.write_all(&chunk).await?;
    }
}

pub(crate) async fn echo_datagrams(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await?;
        // A peer that cannot be answered loses its datagram.
        let _ = socket.send_to(&buffer[..len], peer).await;
    }
}
