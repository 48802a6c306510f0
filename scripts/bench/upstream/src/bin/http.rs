//! As much of HTTP/1.1 on port 80 as the clients speak: `/bytes/N`, kept connections, pipelining.

#![no_std]
#![no_main]

extern crate alloc;
extern crate axstd as std;

use alloc::{format, vec, vec::Vec};
use std::{
    io::{self, prelude::*},
    net::TcpStream,
};

use httparse::{EMPTY_HEADER, Request, Status};

/// Bytes that the head of a request may have.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// Fields that it may have.
const HEADERS_MAX: usize = 64;
/// The longest body that is made up.
const BODY_LEN_MAX: usize = 1 << 20;

#[unsafe(no_mangle)]
fn main() {
    bench_upstream::serve(80, serve);
}

/// Serves one connection to its end.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (mut chunk, mut input, mut output) = (vec![0; HEAD_LEN_MAX], vec![], vec![]);
    loop {
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return stream.shutdown();
        }
        input.extend_from_slice(&chunk[..len]);
        let (mut start, mut is_last) = (0, false);
        while !is_last && let Some((wanted, len)) = parse(&input[start..]) {
            start += len;
            is_last = wanted.is_last;
            respond(&wanted, &mut output);
        }
        input.drain(..start);
        if input.len() > HEAD_LEN_MAX {
            return stream.shutdown();
        }
        stream.write_all(&output)?;
        output.clear();
        if is_last {
            return stream.shutdown();
        }
    }
}

struct Wanted {
    body_len: usize,
    is_last: bool,
}

/// What the first request of `input` wants, and the length of its head; nothing if it goes on, or
/// is not understood.
fn parse(input: &[u8]) -> Option<(Wanted, usize)> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let Ok(Status::Complete(len)) = request.parse(input) else {
        return None;
    };
    let number = request.path?.strip_prefix("/bytes/")?.parse().ok();
    let body_len = number.filter(|len| *len <= BODY_LEN_MAX)?;
    let is_last = request.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection")
            && header.value.eq_ignore_ascii_case(b"close")
    });
    Some((Wanted { body_len, is_last }, len))
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
