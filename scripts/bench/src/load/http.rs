//! Requests for a small body.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime, task,
};

use super::Until;

/// What is asked for: 100 bytes, byte i is i.
pub(crate) const PATH: &str = "/bytes/100";
const BODY_LEN: u8 = 100;
/// How long a response may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a connection carries more than one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reuse {
    Kept,
    New,
}

/// Sends requests over `connections` at a time, one at a time on each. Returns how long each took;
/// on a new connection that includes opening it and seeing its end.
///
/// # Errors
/// A connection fails, or an answer is wrong.
pub(crate) fn run(
    addr: SocketAddr,
    connections: usize,
    until: Until,
    reuse: Reuse,
) -> io::Result<Vec<Duration>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let share = until.share(connections);
    let clients = async {
        let clients = (0..connections).map(|_| match reuse {
            Reuse::Kept => task::spawn_local(keep(addr, share)),
            Reuse::New => task::spawn_local(renew(addr, share)),
        });
        let mut times = vec![];
        for client in clients.collect::<Vec<_>>() {
            times.extend(client.await??);
        }
        Ok(times)
    };
    runtime.block_on(task::LocalSet::new().run_until(clients))
}

/// Whether a server that may not be there yet answers a request. A SYN waits so long for its answer.
///
/// # Errors
/// It answers something else.
pub(crate) fn answers(addr: SocketAddr, patience: Duration) -> io::Result<bool> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async {
        let mut stream = tokio::time::timeout(patience, connect(addr)).await??;
        within(exchange(&mut stream, &request(""), &response(""))).await
    });
    match asked {
        Err(error) if error.kind() == io::ErrorKind::Other => Err(error),
        asked => Ok(asked.is_ok()),
    }
}

async fn keep(addr: SocketAddr, until: Until) -> io::Result<Vec<Duration>> {
    let (request, response) = (request(""), response(""));
    let mut stream = connect(addr).await?;
    let (mut times, since) = (vec![], Instant::now());
    while !until.is_over(times.len() as u64, since) {
        let began = Instant::now();
        within(exchange(&mut stream, &request, &response)).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

async fn renew(addr: SocketAddr, until: Until) -> io::Result<Vec<Duration>> {
    const CLOSE: &str = "Connection: close\r\n";
    let (request, response) = (request(CLOSE), response(CLOSE));
    let (mut times, since) = (vec![], Instant::now());
    while !until.is_over(times.len() as u64, since) {
        let began = Instant::now();
        let mut stream = connect(addr).await?;
        within(exchange(&mut stream, &request, &response)).await?;
        within(end(&mut stream)).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = within(TcpStream::connect(addr)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn exchange(stream: &mut TcpStream, request: &[u8], expected: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    let mut response = vec![0; expected.len()];
    stream.read_exact(&mut response).await?;
    if response != expected {
        let response = String::from_utf8_lossy(&response);
        return Err(io::Error::other(format!("a wrong response: {response:?}")));
    }
    Ok(())
}

/// Waits for the server's end. Upstream resets some connections there, when all is said.
async fn end(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0]).await {
        Ok(0) => Ok(()),
        Ok(_) => Err(io::Error::other("there is more than the response")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}

async fn within<T>(io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, io).await?
}

/// What is sent; `fields` are whole lines.
fn request(fields: &str) -> Vec<u8> {
    format!("GET {PATH} HTTP/1.1\r\nHost: guest\r\n{fields}\r\n").into()
}

/// What every server answers, to the byte.
fn response(fields: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {BODY_LEN}\r\n{fields}\r\n"
    );
    head.bytes().chain(0..BODY_LEN).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// What is made of a server that answers once, so.
    fn asked_of(answer: Vec<u8>) -> io::Result<bool> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client comes");
            let mut asked = vec![0; request("").len()];
            stream.read_exact(&mut asked).expect("it asks");
            assert_eq!(asked, request(""));
            stream.write_all(&answer).expect("it listens");
        });
        let is_answered = answers(addr, PATIENCE);
        server.join().expect("the server does not panic");
        is_answered
    }

    #[test]
    fn only_the_whole_answer_is_one() {
        assert!(asked_of(response("")).expect("the right answer"));
        assert!(!asked_of(response("")[1..].to_vec()).expect("none yet"));
        let wrong = asked_of(response("").iter().rev().copied().collect());
        assert!(wrong.expect_err("a wrong answer").to_string().contains("wrong response"));
    }

    #[test]
    fn a_server_that_is_not_there_yet_does_not_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it has one");
        drop(listener);
        assert!(!answers(addr, PATIENCE).expect("nothing wrong"));
    }
}
