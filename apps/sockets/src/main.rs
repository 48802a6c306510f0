//! Opens sockets until it is told no, says how many it got and why no more, closes all of them, and
//! waits until it gets one again.
//!
//! `sockets.peer=HOST:PORT` on the command line is where its connections go; without it there are
//! none.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use axwire::{
    command_line,
    io::AxResult,
    net::{TcpStream, UdpSocket, has_address},
    println,
    time::{Duration, sleep, timeout},
};

/// How long closed connections may take to be gone: their ends are acknowledged by the peer.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

#[axwire::main]
async fn main() {
    has_address().await;
    exhaust("UDP", || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).await;
    let line = command_line();
    let mut words = line.split_ascii_whitespace();
    if let Some(peer) = words.find_map(|word| word.strip_prefix("sockets.peer=")) {
        exhaust("TCP", || TcpStream::connect(peer)).await;
    }
}

async fn exhaust<S, F: Future<Output = AxResult<S>>>(protocol: &str, open: impl Fn() -> F) {
    let mut sockets = Vec::new();
    let error = loop {
        match open().await {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error,
        }
    };
    println!("sockets: {} by {protocol}, then {error:?}", sockets.len());
    drop(sockets);
    let again = async {
        while open().await.is_err() {
            sleep(PAUSE).await;
        }
    };
    match timeout(PATIENCE, again).await {
        Ok(()) => println!("sockets: {protocol} again"),
        Err(elapsed) => println!("sockets: {protocol}: {elapsed}"),
    }
}
