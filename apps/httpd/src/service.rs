//! What stands behind each path.

use alloc::{collections::VecDeque, format, string::ToString, vec, vec::Vec};

use axwire::{
    io::{BufStream, Error as IoError, Read, Write},
    memory, net,
    net::TcpStream,
    time,
};
use edge_http::{
    Method,
    io::{Error, server},
};

/// Lines that the head of a request may have.
const HEADERS_MAX: usize = 32;
/// The largest body that `/echo` keeps; it answers when it has all of it.
const ECHO_LEN_MAX: usize = 64 << 20;
/// Memory that `/echo` leaves to everybody else.
const MEMORY_RESERVE: usize = 4 << 20;
/// A piece of a body, sent or kept at a time; a multiple of 256.
const PIECE_LEN: usize = 16 * 1024;

pub(crate) type Stream = BufStream<TcpStream>;
pub(crate) type Connection<'a> = server::Connection<'a, &'a mut Stream, HEADERS_MAX>;
pub(crate) type HttpResult<T = ()> = Result<T, Error<IoError>>;

/// A page that shows the counters and fetches them anew every second.
pub(crate) async fn page(connection: &mut Connection<'_>) -> HttpResult {
    respond(connection, "text/html; charset=utf-8", include_bytes!("page.html")).await
}

/// Every counter of the stack as JSON.
pub(crate) async fn stats(connection: &mut Connection<'_>) -> HttpResult {
    let uptime_ms = time::uptime().as_millis();
    let mut json = format!("{{\"uptime_ms\":{uptime_ms},\"memory_free\":{}", memory::free());
    for (name, value) in net::stats().iter() {
        json += &format!(",\"{name}\":{value}");
    }
    json += "}\n";
    respond(connection, "application/json", json.as_bytes()).await
}

/// A body of as many bytes as `len` says.
pub(crate) async fn bytes(connection: &mut Connection<'_>, len: &str) -> HttpResult {
    let Ok(mut left) = len.parse::<u64>() else {
        return fail(connection, 400, "/bytes/N wants N to be a number below 2^64").await;
    };
    if !begin(connection, 200, "application/octet-stream", left).await? {
        return Ok(());
    }
    let piece: Vec<u8> = (0..PIECE_LEN).map(|i| i as u8).collect();
    while left > 0 {
        let len = left.min(PIECE_LEN as u64);
        connection.write_all(&piece[..len as usize]).await?;
        left -= len;
    }
    Ok(())
}

/// The request's body. It is kept until it is complete, because many a client does not read before
/// it has sent everything.
pub(crate) async fn echo(connection: &mut Connection<'_>) -> HttpResult {
    let headers = connection.headers()?;
    let announced = headers.headers.content_len().unwrap_or(0);
    if headers.headers.get("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        let stream = connection.split().1.as_raw_reader();
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(Error::Io)?;
    }
    if announced > ECHO_LEN_MAX as u64 {
        return fail(connection, 413, "/echo takes 64 MiB at most").await;
    }
    let mut body: VecDeque<Vec<u8>> = VecDeque::new();
    let mut len = 0;
    loop {
        if memory::free() < PIECE_LEN + MEMORY_RESERVE {
            return fail(connection, 503, "no memory is left for this body").await;
        }
        let piece = read_piece(connection).await?;
        len += piece.len();
        if len > ECHO_LEN_MAX {
            return fail(connection, 413, "/echo takes 64 MiB at most").await;
        }
        let is_last = piece.len() < PIECE_LEN;
        body.push_back(piece);
        if is_last {
            break;
        }
    }
    begin(connection, 200, "application/octet-stream", len as u64).await?;
    while let Some(piece) = body.pop_front() {
        connection.write_all(&piece).await?;
    }
    Ok(())
}

/// Reads until a piece is full or the body ends.
async fn read_piece(connection: &mut Connection<'_>) -> HttpResult<Vec<u8>> {
    let mut piece = vec![0; PIECE_LEN];
    let mut len = 0;
    while len < PIECE_LEN {
        match connection.read(&mut piece[len..]).await? {
            0 => break,
            read => len += read,
        }
    }
    piece.truncate(len);
    Ok(piece)
}

/// An error with a line that says why.
pub(crate) async fn fail(connection: &mut Connection<'_>, status: u16, why: &str) -> HttpResult {
    let text = format!("{why}\n");
    if begin(connection, status, "text/plain", text.len() as u64).await? {
        connection.write_all(text.as_bytes()).await?;
    }
    Ok(())
}

async fn respond(connection: &mut Connection<'_>, content_type: &str, body: &[u8]) -> HttpResult {
    if begin(connection, 200, content_type, body.len() as u64).await? {
        connection.write_all(body).await?;
    }
    Ok(())
}

/// Sends the head of a response. Returns whether a body follows.
async fn begin(
    connection: &mut Connection<'_>,
    status: u16,
    content_type: &str,
    len: u64,
) -> HttpResult<bool> {
    let is_head = connection.headers()?.method == Method::Head;
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        _ => "Service Unavailable",
    };
    let len = len.to_string();
    let headers = [("Content-Type", content_type), ("Content-Length", len.as_str())];
    connection.initiate_response(status, Some(reason), &headers).await?;
    Ok(!is_head)
}
