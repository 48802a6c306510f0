//! `apps/httpget`, which finds its server by name.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
};

use e2e::{Boot, Guest, names, needs_tap, wire::HOST_IP};

const NETWORK: &str = "net.ip=10.0.2.15/24 net.gw=10.0.2.2 net.dns=10.0.2.2";

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
    names::serve();
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
