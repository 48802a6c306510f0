//! Takes everything on TCP port 9.

#![no_std]
#![no_main]

extern crate alloc;
extern crate axstd as std;

use alloc::vec;
use std::{
    io::{self, prelude::*},
    net::TcpStream,
};

use bench_upstream::BUFFER_LEN;

#[unsafe(no_mangle)]
fn main() {
    bench_upstream::serve_in_turn(9, discard);
}

fn discard(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    while stream.read(&mut buffer)? > 0 {}
    stream.shutdown()
}
