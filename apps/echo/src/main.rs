//! Echo on TCP and UDP port 7 (RFC 862), discard on TCP 9 (RFC 863), character generator on TCP 19
//! (RFC 864).

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axwire::{
    io::AxResult,
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    println, task,
    time::Duration,
};

/// How often a silent peer is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Bytes read at a time from a stream.
const BUFFER_LEN: usize = 16 * 1024;
/// The largest UDP payload.
const DATAGRAM_LEN_MAX: usize = 65_507;

#[axwire::main]
async fn main() -> AxResult<()> {
    for family in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        task::spawn(serve(TcpListener::bind((family, 7)).await?, echo));
        task::spawn(serve(TcpListener::bind((family, 9)).await?, discard));
        task::spawn(serve(TcpListener::bind((family, 19)).await?, chargen));
        task::spawn(echo_datagrams(UdpSocket::bind((family, 7)).await?));
    }
    println!("echo: TCP and UDP 7 echo, TCP 9 discard, TCP 19 chargen");
    core::future::pending().await
}

/// Gives each connection a task of its own.
async fn serve<F>(listener: TcpListener, service: fn(TcpStream) -> F)
where
    F: Future<Output = AxResult<()>> + Send + 'static,
{
    while let Ok((stream, _peer)) = listener.accept().await {
        stream.set_keep_alive(Some(KEEP_ALIVE));
        // What comes back must not wait for the acknowledgement of what came back before.
        stream.set_nodelay(true);
        // A connection that breaks is its peer's affair.
        task::spawn(async move {
            let _ = service(stream).await;
        });
    }
}

async fn echo(stream: TcpStream) -> AxResult<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}

async fn discard(stream: TcpStream) -> AxResult<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Lines of 72 out of 95 printing characters, each line one character further on.
async fn chargen(stream: TcpStream) -> AxResult<()> {
    const LINE_LEN: usize = 72;
    let printing = || b' '..=b'~';
    let lines: Vec<u8> = (0..printing().count())
        .flat_map(|start| {
            printing().cycle().skip(start).take(LINE_LEN).chain(b"\r\n".iter().copied())
        })
        .collect();
    stream.shutdown(Shutdown::Read);
    loop {
        stream.write_all(&lines).await?;
    }
}

async fn echo_datagrams(socket: UdpSocket) {
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
        // A peer that cannot be answered loses its datagram, as the network may do as well.
        let _ = socket.send_to(&buffer[..len], peer).await;
    }
}
