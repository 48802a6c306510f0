//! The Linux server: as much of HTTP as [`crate::exchange`] speaks.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use socket2::{Domain, Socket, Type};

/// Where the server listens in its namespace.
const PORT: u16 = 80;
/// No connection is to profit from what the kernel has learnt from another.
pub(crate) const SYSCTL_FORGET: &str = "/proc/sys/net/ipv4/tcp_no_metrics_save";

/// Serves one connection after the other, for ever. As `httpd` does, it answers when it has the
/// whole body.
///
/// # Errors
/// The port is taken, or the kernel does not know the congestion control.
pub(crate) fn run(congestion: &str) -> io::Result<()> {
    fs::write(SYSCTL_FORGET, "1")?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Accepted connections inherit it.
    socket.set_tcp_congestion(congestion.as_bytes())?;
    socket.bind(&SocketAddr::from(([0, 0, 0, 0], PORT)).into())?;
    socket.listen(16)?;
    let listener = TcpListener::from(socket);
    println!("bench-lossy: listening on port {PORT}");
    for stream in listener.incoming() {
        // A client that goes away ends its connection, no more.
        let _ = serve(&stream?);
    }
    Ok(())
}

fn serve(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(len) = body_len(&mut reader)? {
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
        let mut writer = stream;
        writer.write_all(head.as_bytes())?;
        writer.write_all(&body)?;
    }
    Ok(())
}

/// The length of the next request's body; `None` if there is no next request.
fn body_len(reader: &mut impl BufRead) -> io::Result<Option<usize>> {
    let (mut line, mut len) = (String::new(), None);
    while reader.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            return len.map(Some).ok_or(io::ErrorKind::InvalidData.into());
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            len = value.trim().parse().ok();
        }
        line.clear();
    }
    Ok(None)
}
