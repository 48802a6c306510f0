//! Who is at the other end: services on host 0, and clients of host 1.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axerrno::AxResult;
use futures_util::future::{join_all, join5};
use netasync::{RawSocket, TcpListener, TcpStream, UdpSocket, sleep};

use crate::probe::Tasks;

/// Answers everything with the same, over TCP and UDP.
pub(crate) const ECHO: &str = "10.0.0.1:7";
/// Sends [`content`] in pieces, and ends.
pub(crate) const SOURCE: &str = "10.0.0.1:19";
/// Is silent.
pub(crate) const NOBODY: &str = "10.0.0.77:7";
/// Where [`callers`] connect to.
pub(crate) const HERE: &str = "10.0.0.2:7";
/// For experiments (RFC 3692); answered like [`ECHO`].
pub(crate) const PROTOCOL: u8 = 253;
/// How many [`callers`] there are.
pub(crate) const CALLERS: u8 = 5;

const LEN: usize = 5000;
/// Several to a segment, and several waits for the one who reads them.
const PIECE_LEN: usize = 500;
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn server() -> IpAddr {
    [10, 0, 0, 1].into()
}

/// Lines, all different; no byte is zero.
pub(crate) fn content() -> Vec<u8> {
    let lines = (0..).flat_map(|number| format!("line {number}\n").into_bytes());
    lines.take(LEN).collect()
}

/// What host 0 offers.
pub(crate) async fn services(tasks: Tasks) {
    let echo = serve(&tasks, ECHO, echo);
    let source = serve(&tasks, SOURCE, source);
    join5(echo, source, echo_datagrams(), echo_packets(), answer_names()).await;
}

/// What the clients of host 1 do: each sends its number and waits for the same.
pub(crate) async fn callers(_: Tasks) {
    let calls = (0..CALLERS).map(|number| async move {
        // Two come at a time.
        sleep(PAUSE * u32::from(1 + number / 2)).await;
        let stream = TcpStream::connect(HERE).await.expect("somebody listens");
        let mut answer = [0];
        stream.write_all(&[number]).await.expect("somebody reads");
        stream.read_exact(&mut answer).await.expect("somebody answers");
        assert_eq!(answer, [number]);
    });
    join_all(calls).await;
}

async fn serve<F>(tasks: &Tasks, address: &str, service: fn(TcpStream) -> F)
where
    F: Future<Output = AxResult<()>> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.expect("nobody else listens");
    loop {
        let (stream, _) = listener.accept().await.expect("it waits");
        // Errors are those of clients that have given up.
        tasks.spawn(async move {
            let _broken = service(stream).await;
        });
    }
}

/// Sends everything back.
pub(crate) async fn echo(stream: TcpStream) -> AxResult<()> {
    let mut buffer = [0; 1000];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}

async fn source(stream: TcpStream) -> AxResult<()> {
    stream.set_nodelay(true);
    for piece in content().chunks(PIECE_LEN) {
        stream.write_all(piece).await?;
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn echo_datagrams() {
    let socket = UdpSocket::bind(ECHO).await.expect("nobody else has the port");
    let mut buffer = [0; 2000];
    loop {
        // Errors are those of datagrams whose senders have gone.
        if let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _sent = socket.send_to(&buffer[..len], from).await;
        }
    }
}

async fn echo_packets() {
    let socket = RawSocket::towards(server(), PROTOCOL).expect("there is memory");
    let mut buffer = [0; 10_000];
    loop {
        let received = socket.recv(&mut buffer).await.expect("it waits");
        let _sent = socket.send_to(&buffer[..received.len], received.from.ip()).await;
    }
}

/// A name server (RFC 1035 section 4.1). It thinks before it answers.
async fn answer_names() {
    let socket = Arc::new(UdpSocket::bind("10.0.0.1:53").await.expect("nobody else has the port"));
    let mut buffer = [0; 512];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        sleep(PAUSE).await;
        let _sent = socket.send_to(&answer(&buffer[..len]), from).await;
    }
}

/// The addresses of a name.
fn addresses(name: &str) -> &'static [&'static str] {
    match name {
        "server.test" => &["10.0.0.1"],
        "here.test" => &["10.0.0.2"],
        // The first is silent.
        "two.test" => &["10.0.0.77", "10.0.0.1"],
        "mixed.test" => &["10.0.0.1", "fe80::77"],
        _ => &[],
    }
}

fn answer(question: &[u8]) -> Vec<u8> {
    const TYPE_A: u8 = 1;
    let (mut name, mut at) = (String::new(), 12);
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        name += &String::from_utf8_lossy(&question[at + 1..end]);
        name += ".";
        at = end;
    }
    let kind = question[at + 2];
    let all = addresses(name.trim_end_matches('.')).iter().map(|text| text.parse());
    let all = all.map(|ip| ip.expect("the table has addresses"));
    let found: Vec<IpAddr> = all.filter(|ip: &IpAddr| ip.is_ipv4() == (kind == TYPE_A)).collect();
    let mut message = question[..2].to_vec();
    message.extend([0x81, 0x80, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
    message.extend(&question[12..]);
    for ip in found {
        // The name is the question's. It is not to be kept: every lookup asks.
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0]);
        match ip {
            IpAddr::V4(ip) => message.extend([&[4], &ip.octets()[..]].concat()),
            IpAddr::V6(ip) => message.extend([&[16], &ip.octets()[..]].concat()),
        }
    }
    message
}
