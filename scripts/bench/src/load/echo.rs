//! Messages that come back, one at a time.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use super::Until;

/// A small message: a cache line.
const LEN: usize = 64;
/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing may come back until what was sent counts as lost.
const SILENCE: Duration = Duration::from_millis(100);

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

/// How many datagrams come back until then, with so many on their way at once. Lost ones are
/// replaced.
///
/// # Errors
/// The server has gone, or is silent.
pub(crate) fn udp_at_once(addr: SocketAddr, at_once: usize, until: Until) -> io::Result<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(addr)?;
    socket.set_read_timeout(Some(SILENCE))?;
    let (began, mut heard) = (Instant::now(), Instant::now());
    let (mut answered, mut due) = (0, at_once);
    while !until.is_over(answered, began) {
        for _ in 0..due {
            socket.send(&message(answered))?;
        }
        due = match socket.recv(&mut [0; LEN]) {
            Ok(_) => {
                (answered, heard) = (answered + 1, Instant::now());
                1
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if heard.elapsed() < PATIENCE => at_once,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
    }
    Ok(answered)
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_lost_is_replaced() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let addr = server.local_addr().expect("it is bound");
        thread::spawn(move || {
            let mut buffer = [0; LEN];
            for number in 0.. {
                let (len, peer) = server.recv_from(&mut buffer).expect("somebody sends");
                // Everything that is on its way at first.
                if number >= 4 {
                    let _ = server.send_to(&buffer[..len], peer);
                }
            }
        });
        assert_eq!(udp_at_once(addr, 4, Until::Count(100)).expect("answers"), 100);
    }

    #[test]
    fn nobody_there() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let addr = socket.local_addr().expect("it is bound");
        drop(socket);
        udp_at_once(addr, 4, Until::Count(1)).expect_err("the port is closed");
    }
}
