//! Fetches `httpget.url=http://ADDRESS[:PORT]/PATH`, given on the kernel's command line, and says how
//! it went; `httpget.count=N` times, `httpget.interval=SECONDS` apart. The machine is then powered
//! off.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
    vec,
};
use core::net::SocketAddr;

use axwire::{
    command_line,
    io::{BufStream, Read},
    net::{TcpStream, has_address},
    println,
    time::{Duration, sleep, timeout},
};
use edge_http::{
    ConnectionType, Method, RequestHeaders, ResponseHeaders,
    io::{Body, Error},
};

/// How long one fetch may take, and how long the network may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines and bytes that the head of an answer may have.
const HEADERS_MAX: usize = 32;
const HEAD_LEN_MAX: usize = 4096;

#[axwire::main]
async fn main() -> Result<(), String> {
    let line = command_line();
    let url = option(&line, "httpget.url").ok_or("httpget.url=http://ADDRESS/PATH is missing")?;
    let (address, path) = parse_url(url)?;
    let number = |name, default| match option(&line, name) {
        None => Ok(default),
        Some(value) => value.parse::<u32>().map_err(|_| format!("{name}={value}: not a number")),
    };
    let count = number("httpget.count", 1)?;
    let interval = Duration::from_secs(number("httpget.interval", 1)?.into());
    timeout(PATIENCE, has_address()).await.map_err(|_| "the network has no address")?;
    for turn in 0..count {
        if turn > 0 {
            sleep(interval).await;
        }
        match timeout(PATIENCE, fetch(address, path)).await {
            Ok(Ok((status, len))) => println!("httpget: {status}, {len} bytes"),
            Ok(Err(error)) => println!("httpget: {url}: {error}"),
            Err(elapsed) => println!("httpget: {url}: {elapsed}"),
        }
    }
    Ok(())
}

fn option<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn parse_url(url: &str) -> Result<(SocketAddr, &str), String> {
    let complaint = || format!("httpget.url={url}: not of the form http://ADDRESS[:PORT]/PATH");
    let rest = url.strip_prefix("http://").ok_or_else(complaint)?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let with_port = host.parse().or_else(|_| format!("{host}:80").parse());
    let path = if path.is_empty() { "/" } else { path };
    with_port.map(|address| (address, path)).map_err(|_| complaint())
}

/// Returns the status and the number of bytes in the body.
async fn fetch(address: SocketAddr, path: &str) -> Result<(u16, usize), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    exchange(&mut BufStream::new(stream), address, path).await.map_err(|error| format!("{error:?}"))
}

async fn exchange(
    stream: &mut BufStream<TcpStream>,
    address: SocketAddr,
    path: &str,
) -> Result<(u16, usize), Error<axwire::io::Error>> {
    let host = address.to_string();
    let mut request = RequestHeaders::<4>::new();
    request.method = Method::Get;
    request.path = path;
    request.headers.set_host(&host).set_connection_close();
    request.send(false, &mut *stream).await?;

    let mut head = vec![0; HEAD_LEN_MAX];
    let mut response = ResponseHeaders::<HEADERS_MAX>::new();
    let (rest, len) = response.receive(&mut head, &mut *stream, true).await?;
    let (_, body) = response.resolve(ConnectionType::Close)?;
    let status = response.code;
    let mut body = Body::new(body, rest, len, stream);
    let mut buffer = vec![0; HEAD_LEN_MAX];
    let mut total = 0;
    loop {
        match body.read(&mut buffer).await? {
            0 => return Ok((status, total)),
            len => total += len,
        }
    }
}
