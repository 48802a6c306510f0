//! The client: sends a body, gets it back, and takes the time of both.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use sim::scenario::Content;
use socket2::{Domain, Socket, Type};

/// The longest body of one request: `httpd` keeps at most 64 MiB.
const REQUEST_LEN_MAX: u64 = 50_000_000;
/// Bytes in one write, and in one read.
const PIECE_LEN: usize = 64 * 1024;
/// The content's key; any other would do.
const CONTENT: u64 = 1;
/// How long a handshake may take: several lost SYNs.
const CONNECT_TIME: Duration = Duration::from_secs(60);

/// How long each direction took, seen from the server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// From the first byte sent to the first of the answer.
    pub(crate) received: Duration,
    /// From the first byte of the answer to the last.
    pub(crate) sent: Duration,
}

/// Sends `size` bytes to `server` and has them sent back, in as few requests as it takes, on one
/// connection with Linux's `congestion` control at this end. `limit` is for each direction.
///
/// # Errors
/// The connection breaks, takes too long, or brings back other bytes.
pub(crate) fn run(
    server: SocketAddr,
    size: u64,
    congestion: &str,
    limit: Duration,
    progress: &(impl Fn(u64) + Sync),
) -> io::Result<Times> {
    let mut connection = BufReader::with_capacity(PIECE_LEN, connect(server, congestion)?);
    // The same bytes for both, each from the beginning on.
    let (mut sent, mut echoed) = (Content::new(CONTENT), Content::new(CONTENT));
    let (mut times, mut left) = (Times::default(), size);
    while left > 0 {
        let len = REQUEST_LEN_MAX.min(left);
        let request = Request { len, limit, progress };
        let once = request.exchange(&mut connection, &mut sent, &mut echoed)?;
        times.received += once.received;
        times.sent += once.sent;
        left -= len;
        if times.received.max(times.sent) > limit {
            return Err(late());
        }
    }
    match sent.digest() == echoed.digest() {
        true => Ok(times),
        false => Err(io::Error::other("other bytes came back than were sent")),
    }
}

fn connect(server: SocketAddr, congestion: &str) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_tcp_congestion(congestion.as_bytes())?;
    socket.connect_timeout(&server.into(), CONNECT_TIME)?;
    Ok(socket.into())
}

/// One request and its answer.
struct Request<'a, P> {
    len: u64,
    /// How long each direction may take.
    limit: Duration,
    progress: &'a P,
}

impl<P: Fn(u64) + Sync> Request<'_, P> {
    fn exchange(
        &self,
        connection: &mut BufReader<TcpStream>,
        sent: &mut Content,
        echoed: &mut Content,
    ) -> io::Result<Times> {
        let mut writer = connection.get_ref().try_clone()?;
        let since = Instant::now();
        thread::scope(|scope| {
            // In a thread of its own, so that a refusal is seen before all is sent.
            scope.spawn(move || self.send(&mut writer, sent));
            let result = self.answer(connection, echoed, since);
            if result.is_err() {
                let _ = connection.get_ref().shutdown(Shutdown::Both);
            }
            result
        })
    }

    fn send(&self, stream: &mut TcpStream, content: &mut Content) -> io::Result<()> {
        let len = self.len;
        let head = format!("POST /echo HTTP/1.1\r\nHost: lossy\r\nContent-Length: {len}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut piece = vec![0; PIECE_LEN];
        let mut left = len;
        while left > 0 {
            let piece = &mut piece[..left.min(PIECE_LEN as u64) as usize];
            content.fill(piece);
            stream.write_all(piece)?;
            left -= piece.len() as u64;
            (self.progress)(piece.len() as u64);
        }
        Ok(())
    }

    fn answer(
        &self,
        connection: &mut BufReader<TcpStream>,
        content: &mut Content,
        since: Instant,
    ) -> io::Result<Times> {
        connection.get_ref().set_read_timeout(Some(self.limit))?;
        if connection.fill_buf().map_err(in_words)?.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let received = since.elapsed();
        let since = Instant::now();
        check_head(connection, self.len)?;
        let mut piece = vec![0; PIECE_LEN];
        let mut left = self.len;
        while left > 0 {
            let room = left.min(PIECE_LEN as u64) as usize;
            let len = connection.read(&mut piece[..room]).map_err(in_words)?;
            if len == 0 || !content.check(&piece[..len]) {
                return Err(io::Error::other("the echo ends early, or is another"));
            }
            if since.elapsed() > self.limit {
                return Err(late());
            }
            left -= len as u64;
            (self.progress)(len as u64);
        }
        Ok(Times { received, sent: since.elapsed() })
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "took longer than allowed")
}

/// A read that timed out says something else.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => late(),
        _ => error,
    }
}

/// Reads the head of the answer.
fn check_head(connection: &mut impl BufRead, len: u64) -> io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let wanted = format!("content-length: {len}\r\n");
    if head.starts_with("HTTP/1.1 200 ") && head.to_ascii_lowercase().contains(&wanted) {
        return Ok(());
    }
    Err(io::Error::other(format!("refused: {head}")))
}
