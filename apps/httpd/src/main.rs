//! An HTTP/1.1 server on port 80 with keep-alive and pipelining.
//!
//! `/` a page with the stack's live counters, `/stats` the same as JSON, `/bytes/N` a body of N bytes
//! (byte i is i modulo 256), `POST /echo` the request's body.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod service;

use alloc::{format, string::String, vec, vec::Vec};
use core::net::{Ipv4Addr, Ipv6Addr};

use axwire::{
    io::{AxResult, BufStream, Write},
    net::{Shutdown, TcpListener, TcpStream},
    println,
    task::LocalSet,
    time::{Duration, timeout},
};
use edge_http::{Method, io::Error};
use futures_util::{FutureExt, future};

use crate::service::{Connection, HttpResult, Stream, bytes, echo, fail, page, stats};

/// How long a client may take to send the head of a request, or leave a connection idle. Long,
/// because QEMU's user networking passes on only a few new connections per second to a client that
/// opens hundreds.
const IDLE: Duration = Duration::from_secs(180);
/// How long a client may take to close its end after we have closed ours.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that the head of a request may have.
const HEAD_LEN_MAX: usize = 4096;

#[axwire::main]
async fn main() -> AxResult<()> {
    let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).await?;
    let v6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80)).await?;
    println!("httpd: listening on port 80");
    // The library's futures are not Send, so that they all run in this task.
    let connections = LocalSet::new();
    let listen = async |listener: TcpListener| -> AxResult<()> {
        loop {
            let (stream, _peer) = listener.accept().await?;
            // A client that goes away in the middle is no error of ours.
            connections.spawn_local(serve(BufStream::new(stream)).map(drop));
        }
    };
    connections.run_until(future::try_join(listen(v4), listen(v6))).await.map(drop)
}

/// Serves one connection to its end.
async fn serve(mut stream: Stream) -> HttpResult {
    let mut head = vec![0; HEAD_LEN_MAX];
    while exchange(&mut stream, &mut head).await? {}
    stream.flush().await.map_err(Error::Io)?;
    // Closing with unread input resets the connection, and the reset may overtake the last answer.
    let stream: &TcpStream = stream.get_ref();
    stream.shutdown(Shutdown::Write);
    let drained = async { while let Ok(1..) = stream.read(&mut head).await {} };
    let _ = timeout(LINGER, drained).await;
    Ok(())
}

/// Answers one request. Returns whether the connection may carry another.
async fn exchange(stream: &mut Stream, head: &mut [u8]) -> HttpResult<bool> {
    let request = timeout(IDLE, Connection::new(head, &mut *stream)).await;
    let mut connection = match request {
        Ok(Ok(connection)) => connection,
        Err(_) | Ok(Err(Error::ConnectionClosed | Error::Io(_))) => return Ok(false),
        Ok(Err(error)) => return refuse(stream, error).await,
    };
    let headers = connection.headers()?;
    let method = headers.method;
    let path = String::from(headers.path.split('?').next().unwrap_or_default());
    match (method, path.as_str()) {
        (Method::Get | Method::Head, "/") => page(&mut connection).await?,
        (Method::Get | Method::Head, "/stats") => stats(&mut connection).await?,
        (Method::Get | Method::Head, path) if path.starts_with("/bytes/") => {
            bytes(&mut connection, &path["/bytes/".len()..]).await?;
        }
        (Method::Post, "/echo") => echo(&mut connection).await?,
        (_, "/" | "/stats" | "/echo") => fail(&mut connection, 405, "wrong method").await?,
        _ => fail(&mut connection, 404, "there are /, /stats, /bytes/N and /echo").await?,
    }
    if method == Method::Head {
        // The library takes a promised body that is not sent for a broken answer.
        return Ok(false);
    }
    connection.complete().await?;
    Ok(!connection.needs_close())
}

/// Answers what is not an HTTP request.
async fn refuse<E: core::fmt::Debug>(stream: &mut Stream, error: Error<E>) -> HttpResult<bool> {
    let (status, reason) = match error {
        Error::TooLongHeaders | Error::TooManyHeaders => (431, "Request Header Fields Too Large"),
        _ => (400, "Bad Request"),
    };
    let text = format!("{error:?}\n");
    let answer: Vec<u8> = format!(
        "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .into();
    stream.write_all(&answer).await.map_err(Error::Io)?;
    Ok(false)
}
