//! Echo on UDP port 7.

#![no_std]
#![no_main]

extern crate alloc;
extern crate axstd as std;

use alloc::vec;
use std::{net::UdpSocket, println};

/// The largest UDP payload.
const DATAGRAM_LEN_MAX: usize = 65_507;

#[unsafe(no_mangle)]
fn main() {
    let socket = UdpSocket::bind(("0.0.0.0", 7)).expect("the port is free");
    println!("bench-upstream: listening");
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    loop {
        if let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            // A peer that cannot be answered loses its datagram.
            let _ = socket.send_to(&buffer[..len], peer);
        }
    }
}
