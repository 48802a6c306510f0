//! As much of HTTP/1.1 as the clients speak: `/bytes/N`, kept connections, pipelining.

use std::io;

use httparse::{EMPTY_HEADER, Request, Status};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Bytes that the head of a request may have.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// Fields that it may have.
const HEADERS_MAX: usize = 64;
/// The longest body that is made up.
const BODY_LEN_MAX: usize = 1 << 20;

/// Serves one connection to its end.
pub(crate) async fn serve(mut stream: TcpStream) -> io::Result<()> {
    // A connection on which nothing comes takes no memory.
    stream.readable().await?;
    let (mut input, mut output) = (Vec::with_capacity(HEAD_LEN_MAX), Vec::new());
    while stream.read_buf(&mut input).await? > 0 {
        let mut start = 0;
        let mut is_last = false;
        while !is_last && let Some((wanted, len)) = parse(&input[start..])? {
            start += len;
            is_last = wanted.is_last;
            respond(&wanted, &mut output);
        }
        input.drain(..start);
        stream.write_all(&output).await?;
        output.clear();
        if is_last {
            return close(stream).await;
        }
    }
    Ok(())
}

/// RFC 9112 section 9.6: the peer is to see the response before the connection ends.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    body_len: usize,
    is_last: bool,
}

/// What the first request of `input` wants, and the length of its head; nothing if it goes on.
fn parse(input: &[u8]) -> io::Result<Option<(Wanted, usize)>> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let parsed = request.parse(input);
    let len = match parsed.map_err(|error| io::Error::other(error.to_string()))? {
        Status::Complete(len) => len,
        Status::Partial if input.len() < HEAD_LEN_MAX => return Ok(None),
        Status::Partial => return Err(io::ErrorKind::InvalidData.into()),
    };
    let path = request.path.unwrap_or_default();
    let number = path.strip_prefix("/bytes/").and_then(|number| number.parse().ok());
    let body_len = number.filter(|len| *len <= BODY_LEN_MAX).ok_or(io::ErrorKind::InvalidData)?;
    let is_last = request.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection")
            && header.value.eq_ignore_ascii_case(b"close")
    });
    Ok(Some((Wanted { body_len, is_last }, len)))
}

fn respond(wanted: &Wanted, output: &mut Vec<u8>) {
    let &Wanted { body_len, is_last } = wanted;
    let connection = if is_last { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {body_len}\r\n{connection}\r\n"
    );
    output.extend_from_slice(head.as_bytes());
    output.extend((0..body_len).map(|i| i as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET /bytes/3 HTTP/1.1\r\nHost: guest\r\n\r\n";

    #[test]
    fn requests_one_after_the_other() {
        let two = [REQUEST, b"GET /bytes/5 HTTP/1.1\r\nConnection: Close\r\n\r\n"].concat();
        let first = (Wanted { body_len: 3, is_last: false }, REQUEST.len());
        assert_eq!(parse(&two).expect("valid"), Some(first));
        let (second, len) = parse(&two[REQUEST.len()..]).expect("valid").expect("complete");
        assert_eq!(second, Wanted { body_len: 5, is_last: true });
        assert_eq!(REQUEST.len() + len, two.len());
    }

    #[test]
    fn a_head_that_goes_on() {
        assert_eq!(parse(&REQUEST[..20]).expect("valid so far"), None);
    }

    #[test]
    fn what_is_not_understood() {
        parse(b"GET / HTTP/1.1\r\n\r\n").expect_err("no such path");
        parse(b"GET /bytes/1000000000 HTTP/1.1\r\n\r\n").expect_err("too long");
        parse(&[b'x'; HEAD_LEN_MAX]).expect_err("too long a head");
    }

    #[test]
    fn the_response_of_httpd() {
        let mut output = vec![];
        respond(&Wanted { body_len: 3, is_last: true }, &mut output);
        let expected = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
            Content-Length: 3\r\nConnection: close\r\n\r\n\x00\x01\x02";
        assert_eq!(output, expected);
    }
}
