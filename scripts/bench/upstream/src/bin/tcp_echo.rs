//! Echo on TCP port 7.

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
    bench_upstream::serve(7, echo);
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(),
            len => stream.write_all(&buffer[..len])?,
        }
    }
}
