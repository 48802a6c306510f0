//! `apps/httpget`, which finds its server by name.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    thread,
};

use e2e::{Boot, Guest, needs_tap, wire::HOST_IP};

const NETWORK: &str = "net.ip=10.0.2.15/24 net.gw=10.0.2.2 net.dns=10.0.2.2";
const TYPE_A: u8 = 1;
const NAME_ERROR: u8 = 3;

/// Answers one question (RFC 1035 section 4.1): "server.test" is the host, and has no IPv6 address;
/// nothing else exists.
fn answer(question: &[u8]) -> Vec<u8> {
    const SERVER: &[u8] = b"\x06server\x04test\0";
    let is_server = question[12..].starts_with(SERVER);
    let is_address = is_server && question[12 + SERVER.len() + 1] == TYPE_A;
    let code = if is_server { 0 } else { NAME_ERROR };
    let mut message = question[..2].to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    message.extend(&question[12..]);
    if is_address {
        // The name is the question's; the record lives a minute.
        message.extend([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(HOST_IP);
    }
    message
}

/// Answers for as long as the test runs.
fn name_server() {
    let socket = UdpSocket::bind((Ipv4Addr::from(HOST_IP), 53)).expect("nobody else serves names");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..len]), from);
        }
    });
}

/// Serves one request; returns it.
fn serve(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    stream.write_all(answer).unwrap();
    String::from_utf8(request).unwrap()
}

fn guest(words: &str) -> Guest {
    Boot::new("httpget").append_only(&format!("{NETWORK} {words}")).start()
}

#[test]
fn a_server_is_found_by_its_name() {
    if needs_tap() {
        return;
    }
    name_server();
    let listener = TcpListener::bind((Ipv4Addr::from(HOST_IP), 8000)).unwrap();
    let mut client = guest("httpget.url=http://server.test:8000/x httpget.count=2");
    for _ in 0..2 {
        let request = serve(&listener);
        assert!(request.starts_with("GET /x HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("Host: server.test:8000\r\n"), "{request}");
    }
    let console = client.wait_for_end();
    assert_eq!(console.matches("httpget: 200, 5 bytes").count(), 2, "{console}");
    drop(client);

    let console = guest("httpget.url=http://nobody.test/").wait_for_end();
    assert!(console.contains("httpget: http://nobody.test/: Entity not found"), "{console}");
}

#[test]
fn a_wrong_url_is_named() {
    for url in ["ftp://10.0.2.2/", "http://", "http:///x", "http://:80/", "http://10.0.2.2:x/"] {
        let console = guest(&format!("httpget.url={url}")).wait_for_end();
        assert!(console.contains(&format!("httpget.url={url}: not of the form")), "{console}");
    }
}
