//! As much of HTTP/1.1 as the benchmark's clients speak: `/bytes/N`, kept connections, pipelining.
//! Bytes in, bytes out, for the servers of Linux and of upstream's ArceOS; to the byte what
//! `apps/httpd` answers.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{format, vec::Vec};

use httparse::{EMPTY_HEADER, Request, Status};

/// Bytes that the head of a request may have.
pub const HEAD_LEN_MAX: usize = 8 * 1024;
/// Fields that it may have.
const HEADERS_MAX: usize = 64;
/// The longest body that is made up.
const BODY_LEN_MAX: usize = 1 << 20;

/// A request is not understood, or its head is too long.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid;

/// Takes the whole requests at the beginning of `input` and appends their responses to `output`.
/// Returns whether the connection ends with the last one.
///
/// # Errors
/// A request is invalid.
pub fn answer(input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<bool, Invalid> {
    let (mut start, mut is_last) = (0, false);
    while !is_last && let Some((wanted, len)) = parse(&input[start..])? {
        start += len;
        is_last = wanted.is_last;
        respond(&wanted, output);
    }
    input.drain(..start);
    Ok(is_last)
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    body_len: usize,
    is_last: bool,
}

/// What the first request of `input` wants, and the length of its head; nothing if it goes on.
fn parse(input: &[u8]) -> Result<Option<(Wanted, usize)>, Invalid> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let len = match request.parse(input) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if input.len() < HEAD_LEN_MAX => return Ok(None),
        _ => return Err(Invalid),
    };
    let path = request.path.unwrap_or_default();
    let number = path.strip_prefix("/bytes/").and_then(|number| number.parse().ok());
    let body_len = number.filter(|len| *len <= BODY_LEN_MAX).ok_or(Invalid)?;
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
    const LAST: &[u8] = b"GET /bytes/2 HTTP/1.1\r\nConnection: Close\r\n\r\n";
    /// What `apps/httpd` answers.
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
        Content-Length: 3\r\n\r\n\x00\x01\x02";
    const LAST_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
        Content-Length: 2\r\nConnection: close\r\n\r\n\x00\x01";

    #[test]
    fn requests_one_after_the_other() {
        let (mut input, mut output) = ([REQUEST, LAST, REQUEST].concat(), Vec::new());
        assert_eq!(answer(&mut input, &mut output), Ok(true));
        assert_eq!(output, [RESPONSE, LAST_RESPONSE].concat());
        assert_eq!(input, REQUEST, "what follows the last is nobody's");
    }

    #[test]
    fn a_head_that_goes_on() {
        let (begin, rest) = REQUEST.split_at(20);
        let (mut input, mut output) = ([REQUEST, begin].concat(), Vec::new());
        assert_eq!(answer(&mut input, &mut output), Ok(false));
        assert_eq!((&input[..], &output[..]), (begin, RESPONSE));
        input.extend_from_slice(rest);
        assert_eq!(answer(&mut input, &mut output), Ok(false));
        assert_eq!((&input[..], output), (&[][..], [RESPONSE, RESPONSE].concat()));
    }

    #[test]
    fn what_is_not_understood() {
        let long = [b'x'; HEAD_LEN_MAX];
        let unknown: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /bytes/1000000000 HTTP/1.1\r\n\r\n",
            b"GET /bytes/3 HTTP/9\r\n\r\n",
            &long,
        ];
        for request in unknown {
            assert_eq!(answer(&mut request.to_vec(), &mut Vec::new()), Err(Invalid));
        }
    }
}
