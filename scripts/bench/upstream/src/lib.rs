//! What Axwire is measured beside: the services of `apps/httpd` and `apps/echo` on upstream's
//! ArceOS, each in an image of its own, because a task that waits takes its turn of the processor
//! there.
//!
//! - `bin/http`: `/bytes/N` on port 80, to the byte what `apps/httpd` answers
//! - `bin/tcp_echo`, `bin/udp_echo`: port 7
//! - `bin/discard`, `bin/generate`: ports 9 and 19, one connection at a time

#![no_std]

extern crate alloc;
extern crate axstd as std;

use alloc::vec;
use std::{
    io::{self, prelude::*},
    net::{TcpListener, TcpStream},
    println, thread,
};

use bench_http::HEAD_LEN_MAX;

/// Bytes read or written at a time: those of `apps/echo`.
const BUFFER_LEN: usize = 16 * 1024;

/// Serves each connection in a thread of its own, for ever.
pub fn serve(port: u16, service: fn(TcpStream) -> io::Result<()>) {
    listen(port, |stream| {
        thread::spawn(move || {
            // A connection that breaks is its peer's affair.
            let _ = service(stream);
        });
    });
}

/// Serves one connection after the other, for ever: nobody waits beside it.
pub fn serve_in_turn(port: u16, service: fn(TcpStream) -> io::Result<()>) {
    listen(port, |stream| {
        let _ = service(stream);
    });
}

fn listen(port: u16, serve: impl Fn(TcpStream)) {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    println!("bench-upstream: listening");
    loop {
        match listener.accept() {
            Ok((stream, _peer)) => serve(stream),
            Err(error) => println!("bench-upstream: accept: {error:?}"),
        }
    }
}

/// Answers requests, as long as they are understood.
///
/// # Errors
/// The connection breaks.
pub fn http(mut stream: TcpStream) -> io::Result<()> {
    let (mut chunk, mut input, mut output) = (vec![0; HEAD_LEN_MAX], vec![], vec![]);
    loop {
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return stream.shutdown();
        }
        input.extend_from_slice(&chunk[..len]);
        let Ok(is_last) = bench_http::answer(&mut input, &mut output) else {
            return stream.shutdown();
        };
        stream.write_all(&output)?;
        output.clear();
        if is_last {
            return stream.shutdown();
        }
    }
}

/// Sends back what comes.
///
/// # Errors
/// The connection breaks.
pub fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(),
            len => stream.write_all(&buffer[..len])?,
        }
    }
}

/// Takes what comes.
///
/// # Errors
/// The connection breaks.
pub fn discard(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    while stream.read(&mut buffer)? > 0 {}
    stream.shutdown()
}

/// Sends without end.
///
/// # Errors
/// The connection breaks.
pub fn generate(mut stream: TcpStream) -> io::Result<()> {
    let chunk = vec![b'x'; BUFFER_LEN];
    loop {
        stream.write_all(&chunk)?;
    }
}
