//! Fetches `httpget.url=http://HOST[:PORT]/PATH`, given on the kernel's command line, and says how
//! it went; `httpget.count=N` times, `httpget.interval=SECONDS` apart. The machine is then powered
//! off. A host is an address or a name, which is looked up for every fetch.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::{
    format,
    string::{String, ToString},
    vec,
};
use axwire::{
    command_line,
    io::{BufStream, Read},
    net::{TcpStream, ToSocketAddrs, has_address},
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
    let url = option(&line, "httpget.url").ok_or("httpget.url=http://HOST/PATH is missing")?;
    let url = Url::parse(url)?;
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
        match timeout(PATIENCE, fetch(&url)).await {
            Ok(Ok((status, len))) => println!("httpget: {status}, {len} bytes"),
            Ok(Err(error)) => println!("httpget: {}: {error}", url.text),
            Err(elapsed) => println!("httpget: {}: {elapsed}", url.text),
        }
    }
    Ok(())
}

fn option<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Where to go, and what to ask for there.
struct Url<'a> {
    text: &'a str,
    /// The host, with its port if that is given.
    authority: &'a str,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let complaint = || format!("httpget.url={text}: not of the form http://HOST[:PORT]/PATH");
        let rest = text.strip_prefix("http://").ok_or_else(complaint)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let url = Url { text, authority, path: if path.is_empty() { "/" } else { path } };
        let names_host = !authority.is_empty() && !authority.starts_with(':');
        let is_sound = names_host && url.target().to_target().is_ok();
        is_sound.then_some(url).ok_or_else(complaint)
    }

    /// The host with its port.
    fn target(&self) -> String {
        // What follows the last bracket: the colons of an IPv6 address are none of the port's.
        match self.authority.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
            true => self.authority.into(),
            false => format!("{}:80", self.authority),
        }
    }
}

/// Returns the status and the number of bytes in the body.
async fn fetch(url: &Url<'_>) -> Result<(u16, usize), String> {
    let stream = TcpStream::connect(url.target()).await.map_err(|error| error.to_string())?;
    exchange(&mut BufStream::new(stream), url).await.map_err(|error| format!("{error:?}"))
}

async fn exchange(
    stream: &mut BufStream<TcpStream>,
    url: &Url<'_>,
) -> Result<(u16, usize), Error<axwire::io::Error>> {
    let mut request = RequestHeaders::<4>::new();
    request.method = Method::Get;
    request.path = url.path;
    request.headers.set_host(url.authority).set_connection_close();
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
