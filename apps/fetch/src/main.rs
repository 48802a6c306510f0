//! An HTTP client: connects to a server by its name, asks for one page and prints the answer.
//!
//! It is written for upstream's ArceOS, without threads, and names nothing of Axwire's.

#![no_std]
#![no_main]

extern crate alloc;
#[macro_use]
extern crate axstd as std;

use alloc::{string::String, vec::Vec};
use std::{
    io::{self, prelude::*},
    net::{TcpStream, ToSocketAddrs},
};

const HOST: &str = "server.test";
const PORT: u16 = 8000;
const REQUEST: &str = "GET / HTTP/1.0\r\nHost: server.test\r\nAccept: */*\r\n\r\n";

#[unsafe(no_mangle)]
fn main() {
    match fetch() {
        Ok(answer) => println!("fetch: {} bytes\n{answer}", answer.len()),
        Err(error) => println!("fetch: {HOST}:{PORT}: {error:?}"),
    }
}

fn fetch() -> io::Result<String> {
    for address in (HOST, PORT).to_socket_addrs()? {
        println!("fetch: {HOST} is {address}");
    }
    let mut stream = TcpStream::connect((HOST, PORT))?;
    println!("fetch: connected from {}", stream.local_addr()?);
    stream.write_all(REQUEST.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            len => answer.extend_from_slice(&buffer[..len]),
        }
    }
}
