//! An HTTP/1.1 server on port 80 with keep-alive and pipelining.
//!
//! `/` a page with the stack's live counters, in several parts, `/stats` the same as JSON, `/bytes/N`
//! a body of N bytes (byte i is i modulo 256), `POST /echo` the request's body.
//!
//! | module | what lives there |
//! |---|---|
//! | `http` | requests, responses, and when a connection ends |
//! | `service` | what stands behind each path, and the memory that it may take |

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

mod http;
mod service;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axwire::{
    io::{AxResult, BufStream},
    net::{TcpSocket, TcpStream},
    println, task,
    time::Duration,
};
use futures_util::future;

use crate::http::{Exchange, Failure, Method, Status};

/// How often a silent client is asked whether it is still there. One that vanished without a word
/// is gone after five of these.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;

#[axwire::main]
async fn main() -> AxResult<()> {
    service::measure_memory();
    let v4 = listener(Ipv4Addr::UNSPECIFIED.into())?;
    let v6 = listener(Ipv6Addr::UNSPECIFIED.into())?;
    println!("httpd: listening on port 80");
    future::try_join(listen(v4), listen(v6)).await.map(drop)
}

/// A listener, with the options that its connections begin with.
fn listener(address: IpAddr) -> AxResult<TcpSocket> {
    let mut socket = TcpSocket::new();
    socket.set_keep_alive(Some(KEEP_ALIVE));
    // Writes are gathered already; the end of a response must not wait for an acknowledgement.
    socket.set_nodelay(true);
    socket.bind((address, 80))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

async fn listen(listener: TcpSocket) -> AxResult<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        if service::has_room() {
            task::spawn(serve(stream));
        }
    }
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream) {
    let mut stream = BufStream::new(stream);
    let end = loop {
        match exchange(&mut stream).await {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    http::close(stream, end).await;
}

/// Answers one request. Returns whether the connection may carry another.
async fn exchange(stream: &mut http::Stream) -> Result<bool, Failure> {
    let mut exchange = Exchange::receive(stream).await?;
    route(&mut exchange).await?;
    // Asked first: most requests have no body, and a future for it would be moved about.
    let is_read = exchange.is_read() || exchange.skip().await;
    Ok(is_read && exchange.keeps_alive())
}

async fn route(exchange: &mut Exchange<'_>) -> Result<(), Failure> {
    let path = core::mem::take(&mut exchange.request.path);
    let is_read = matches!(exchange.request.method, Method::Get | Method::Head);
    let is_sent = exchange.request.method == Method::Post;
    let number = path.strip_prefix("/bytes/");
    match (path.as_str(), service::part(&path), number) {
        ("/echo", ..) if is_sent => service::echo(exchange).await,
        ("/echo", ..) => service::only(exchange, "POST").await,
        ("/stats", ..) if is_read => service::stats(exchange).await,
        (_, Some(part), _) if is_read => service::page(exchange, part).await,
        (_, _, Some(number)) if is_read => service::bytes(exchange, number).await,
        ("/stats", ..) | (_, Some(_), _) | (_, _, Some(_)) => {
            service::only(exchange, "GET, HEAD").await
        }
        _ => exchange.fail(Status::NotFound, "there are /, /stats, /bytes/N and /echo").await,
    }
}
