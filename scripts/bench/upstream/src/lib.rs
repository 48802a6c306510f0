//! What Axwire is measured beside: the services of `apps/httpd` and `apps/echo` on upstream's
//! ArceOS, each in an image of its own, because a task that waits takes its turn of the processor
//! there.
//!
//! - `bin/http`: `/bytes/N` on port 80, to the byte what `apps/httpd` answers
//! - `bin/tcp_echo`, `bin/udp_echo`: port 7
//! - `bin/discard`, `bin/generate`: ports 9 and 19, one connection at a time

#![no_std]

extern crate axstd as std;

use std::{
    io,
    net::{TcpListener, TcpStream},
    println, thread,
};

/// Bytes read or written at a time: those of `apps/echo`.
pub const BUFFER_LEN: usize = 16 * 1024;

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
