//! An HTTP/1.1 server on port 80, with a thread for each connection and keep-alive.
//!
//! `/` says hello, `/bytes/N` is a body of N bytes (byte i is i modulo 256), `POST /echo` is
//! answered with the request's body. It is written for upstream's ArceOS and names nothing of
//! Axwire's.

#![no_std]
#![no_main]

extern crate alloc;
#[macro_use]
extern crate axstd as std;

use alloc::{format, string::String, vec, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::{
    io::{self, prelude::*},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Threads at a time. An allocation that fails ends the machine, and each has a stack of 256 KiB,
/// which one with 64 MiB must have left beside the sockets; twice, because the kernel may take its
/// time to give back those of threads that have ended. Further connections wait to be accepted.
const THREADS_MAX: usize = 32;
/// How often it is looked whether one of them has ended.
const LOOK: Duration = Duration::from_millis(10);

/// The longest request head that is read.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// Bytes of a body that are read or written at a time: a multiple of 256.
const CHUNK_LEN: usize = 16 * 1024;

/// Threads that serve.
static THREADS: AtomicUsize = AtomicUsize::new(0);

#[unsafe(no_mangle)]
fn main() {
    let listener = TcpListener::bind("0.0.0.0:80").expect("port 80 is free");
    println!("threads: listening on port 80");
    loop {
        while THREADS.load(Ordering::Acquire) >= THREADS_MAX {
            thread::sleep(LOOK);
        }
        match listener.accept() {
            Ok((stream, _peer)) => {
                THREADS.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || {
                    // A connection that breaks is its peer's affair.
                    let _ = serve(stream);
                    THREADS.fetch_sub(1, Ordering::Release);
                });
            }
            Err(error) => println!("threads: accept: {error:?}"),
        }
    }
}

/// Serves one connection to its end.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = Request::read(&mut stream, &mut buffer)? {
        let number = request.path.strip_prefix("/bytes/").and_then(|number| number.parse().ok());
        match (request.path.as_str(), number) {
            ("/", _) => respond(&mut stream, "200 OK", b"Hello from a thread of its own\n")?,
            ("/echo", _) => echo(&mut stream, &mut buffer, request.body_len)?,
            (_, Some(len)) => bytes(&mut stream, len)?,
            _ => respond(&mut stream, "404 Not Found", b"there are /, /bytes/N and /echo\n")?,
        }
        if request.is_last {
            break;
        }
    }
    stream.shutdown()
}

struct Request {
    path: String,
    body_len: usize,
    is_last: bool,
}

impl Request {
    /// Reads a head; leaves what has come after it in `buffer`. Nothing at the end of the stream.
    fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = buffer.drain(..end + 4).collect();
                return Ok(Self::parse(&String::from_utf8_lossy(&head)));
            }
            let mut chunk = [0; 1024];
            match stream.read(&mut chunk)? {
                0 => return Ok(None),
                _ if buffer.len() > HEAD_LEN_MAX => return Ok(None),
                len => buffer.extend_from_slice(&chunk[..len]),
            }
        }
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let path = words.nth(1)?.into();
        let mut request = Request { path, body_len: 0, is_last: words.next()? == "HTTP/1.0" };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                request.body_len = value.trim().parse().ok()?;
            } else if name.eq_ignore_ascii_case("connection") {
                request.is_last = value.trim().eq_ignore_ascii_case("close");
            }
        }
        Some(request)
    }
}

fn respond(stream: &mut TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let mut response = head(status, body.len()).into_bytes();
    response.extend_from_slice(body);
    stream.write_all(&response)
}

fn head(status: &str, len: usize) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n")
}

fn bytes(stream: &mut TcpStream, len: usize) -> io::Result<()> {
    let chunk: Vec<u8> = (0..CHUNK_LEN).map(|i| i as u8).collect();
    // The beginning in one piece: a second would wait for the acknowledgement of the first.
    let mut left = len - len.min(CHUNK_LEN);
    let mut beginning = head("200 OK", len).into_bytes();
    beginning.extend_from_slice(&chunk[..len - left]);
    stream.write_all(&beginning)?;
    while left > 0 {
        let part = left.min(CHUNK_LEN);
        stream.write_all(&chunk[..part])?;
        left -= part;
    }
    Ok(())
}

fn echo(stream: &mut TcpStream, buffer: &mut Vec<u8>, len: usize) -> io::Result<()> {
    stream.write_all(head("200 OK", len).as_bytes())?;
    let early: Vec<u8> = buffer.drain(..len.min(buffer.len())).collect();
    stream.write_all(&early)?;
    let mut left = len - early.len();
    let mut chunk = vec![0; CHUNK_LEN];
    while left > 0 {
        let part = stream.read(&mut chunk[..left.min(CHUNK_LEN)])?;
        if part == 0 {
            break;
        }
        stream.write_all(&chunk[..part])?;
        left -= part;
    }
    Ok(())
}
