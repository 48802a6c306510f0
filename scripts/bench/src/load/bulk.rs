//! A stream in one direction: to a server that discards it, or from one that makes it up.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::Until;
use crate::results::Sample;

/// Bytes written or read at a time.
const CHUNK_LEN: usize = 128 * 1024;
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a stream was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl Transfer {
    /// Its rate.
    pub(crate) fn sample(&self, name: &str) -> Sample {
        Sample::more(name, "MB/s", self.bytes as f64 / 1e6 / self.took.as_secs_f64())
    }
}

/// Connects to a server.
///
/// # Errors
/// It does not answer.
pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends until then, and waits until the server has taken everything and closed its end.
///
/// # Errors
/// The connection breaks or stands still.
pub(crate) fn send(mut stream: TcpStream, until: Until) -> io::Result<Transfer> {
    let chunk = vec![0x5a; CHUNK_LEN];
    let (began, mut bytes) = (Instant::now(), 0);
    while !until.is_over(bytes, began) {
        stream.write_all(&chunk)?;
        bytes += CHUNK_LEN as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(Transfer { bytes, took: began.elapsed() }),
        _ => Err(io::Error::other("the server that discards has sent something")),
    }
}

/// Receives until then, and breaks the connection off. The time begins with the first byte.
///
/// # Errors
/// The connection breaks or stands still.
pub(crate) fn receive(mut stream: TcpStream, until: Until) -> io::Result<Transfer> {
    let mut chunk = vec![0; CHUNK_LEN];
    stream.read_exact(&mut chunk[..1])?;
    let (began, mut bytes) = (Instant::now(), 0);
    while !until.is_over(bytes, began) {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => bytes += len as u64,
        }
    }
    Ok(Transfer { bytes, took: began.elapsed() })
}
