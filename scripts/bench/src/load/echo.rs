//! Messages that come back, one at a time.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

/// A small message: a cache line.
const LEN: usize = 64;
/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The round-trip times of `count` messages on one connection.
///
/// # Errors
/// The connection breaks, or another message comes back.
pub(crate) fn tcp(addr: SocketAddr, count: u64) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    round_trips(count, |message, answer| {
        stream.write_all(message)?;
        stream.read_exact(answer)
    })
}

/// The same by datagrams.
///
/// # Errors
/// One is lost, or another message comes back.
pub(crate) fn udp(addr: SocketAddr, count: u64) -> io::Result<Vec<Duration>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    round_trips(count, |message, answer| {
        socket.send(message)?;
        match socket.recv(answer)? {
            LEN => Ok(()),
            len => Err(io::Error::other(format!("{len} bytes came back"))),
        }
    })
}

fn round_trips(
    count: u64,
    mut round_trip: impl FnMut(&[u8; LEN], &mut [u8; LEN]) -> io::Result<()>,
) -> io::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count as usize);
    for number in 0..count {
        let (message, mut answer) = (message(number), [0; LEN]);
        let began = Instant::now();
        round_trip(&message, &mut answer)?;
        times.push(began.elapsed());
        if answer != message {
            return Err(io::Error::other("another message came back"));
        }
    }
    Ok(times)
}

/// Different each time.
fn message(number: u64) -> [u8; LEN] {
    let mut message = [0x55; LEN];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}
