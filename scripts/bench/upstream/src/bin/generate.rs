//! Bytes without end on TCP port 19.

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
    bench_upstream::serve_in_turn(19, generate);
}

fn generate(mut stream: TcpStream) -> io::Result<()> {
    let chunk = vec![b'x'; BUFFER_LEN];
    loop {
        stream.write_all(&chunk)?;
    }
}
