//! A shell on the console that tries the network out; `help` lists what it knows.
//!
//! It is written for upstream's ArceOS and names nothing of Axwire's.

#![no_std]
#![no_main]

extern crate alloc;
#[macro_use]
extern crate axstd as std;

use alloc::{string::String, vec::Vec};
use std::{
    io::{self, prelude::*},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    thread,
    time::{Duration, Instant},
};

const HELP: &str = "resolve HOST:PORT | say tcp|udp ADDRESS TEXT | serve PORT | sleep MS | \
                    open tcp|udp ADDRESS | bench transmit|receive | exit";
/// The longest answer that is shown.
const ANSWER_LEN_MAX: usize = 2048;
/// How long closed connections may take to be gone: their ends are acknowledged by the peer.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

#[unsafe(no_mangle)]
fn main() {
    println!("shell: {HELP}");
    let mut line = String::new();
    loop {
        print!("> ");
        line.clear();
        read_line(&mut line);
        let mut words = line.split_whitespace();
        let command = words.next().unwrap_or("");
        if command == "exit" {
            println!("shell: bye");
            return;
        }
        if let Err(error) = run(command, words) {
            println!("shell: {}: {error:?}", line.trim());
        }
    }
}

/// Reads from the console, and shows what is typed, to the end of the line.
fn read_line(line: &mut String) {
    loop {
        let mut byte = [0];
        match io::stdin().read(&mut byte) {
            Ok(1) if matches!(byte[0], b'\r' | b'\n') => return println!(),
            Ok(1) if byte[0].is_ascii_graphic() || byte[0] == b' ' => {
                print!("{}", byte[0] as char);
                line.push(byte[0] as char);
            }
            _ => {}
        }
    }
}

fn run<'a>(command: &str, mut words: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let mut word = || words.next().ok_or(io::Error::InvalidInput);
    match command {
        "" => Ok(()),
        "resolve" => {
            for address in word()?.to_socket_addrs()? {
                println!("shell: {address}");
            }
            Ok(())
        }
        "say" => match (word()?, word()?, word()?) {
            ("tcp", address, text) => say_tcp(address, text),
            ("udp", address, text) => say_udp(address, text),
            _ => Err(io::Error::InvalidInput),
        },
        "open" => match (word()?, word()?) {
            ("tcp", address) => exhaust("tcp", address, || TcpStream::connect(address)),
            ("udp", address) => exhaust("udp", address, || UdpSocket::bind(address)),
            _ => Err(io::Error::InvalidInput),
        },
        "serve" => serve(word()?.parse().map_err(|_| io::Error::InvalidInput)?),
        "bench" => {
            match word()? {
                "transmit" => axnet::bench_transmit(),
                "receive" => axnet::bench_receive(),
                _ => return Err(io::Error::InvalidInput),
            }
            println!("shell: measured");
            Ok(())
        }
        "sleep" => {
            let millis = word()?.parse().map_err(|_| io::Error::InvalidInput)?;
            let start = Instant::now();
            thread::sleep(Duration::from_millis(millis));
            println!("shell: slept {} ms", start.elapsed().as_millis());
            Ok(())
        }
        _ => {
            println!("shell: {HELP}");
            Ok(())
        }
    }
}

fn say_tcp(address: &str, text: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(text.as_bytes())?;
    show(|buffer| stream.read(buffer))
}

fn say_udp(address: &str, text: &str) -> io::Result<()> {
    let peer: SocketAddr = address.parse().map_err(|_| io::Error::InvalidInput)?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(peer)?;
    socket.send(text.as_bytes())?;
    show(|buffer| socket.recv(buffer))
}

fn show(receive: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
    let mut buffer = [0; ANSWER_LEN_MAX];
    let len = receive(&mut buffer)?;
    println!("shell: {}", String::from_utf8_lossy(&buffer[..len]));
    Ok(())
}

/// Opens sockets until it is told no, closes all of them, and waits until it gets one again.
fn exhaust<S>(protocol: &str, address: &str, open: impl Fn() -> io::Result<S>) -> io::Result<()> {
    let mut sockets = Vec::new();
    let error = loop {
        match open() {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error,
        }
    };
    println!("shell: {} sockets, then {error:?}", sockets.len());
    drop(sockets);
    let start = Instant::now();
    while let Err(error) = open() {
        if start.elapsed() > PATIENCE {
            return Err(error);
        }
        thread::sleep(PAUSE);
    }
    println!("shell: open {protocol} {address}: one again");
    Ok(())
}

/// Echoes what comes over connections to a port, each in a thread, while the shell goes on.
fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port)))?;
    println!("shell: {} echoes", listener.local_addr()?);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut buffer = [0; ANSWER_LEN_MAX];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..len]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(())
}
