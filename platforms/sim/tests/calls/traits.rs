//! The calls of embedded-io, embedded-nal and edge-nal.

use std::{net::SocketAddr, time::Duration};

use edge_nal::{Readable, TcpAccept, TcpBind, UdpBind, UdpConnect, UdpReceive, UdpSend, UdpSplit};
use embedded_io_async::{Read, Write};
use embedded_nal_async::{AddrType, ConnectedUdp, UdpStack, UnconnectedUdp};
use netasync::{Network, TcpStream, io::Error, timeout};

use crate::{
    datagrams::{COUNT, number_of, receive_numbered, send_numbered, socket},
    peers::{CALLERS, ECHO, HERE, content, echo, server},
    probe::Probe,
    streams::{self, PIECE_LEN, expect_echo, read_content, source, write_content},
};

fn echo_address() -> SocketAddr {
    ECHO.parse().expect("an address")
}

fn here() -> SocketAddr {
    "10.0.0.2:0".parse().expect("an address")
}

pub(crate) async fn embedded_read(probe: Probe) {
    let mut stream = source().await;
    read_content!(probe, buffer => Read::read(&mut stream, &mut buffer));
}

pub(crate) async fn embedded_write(probe: Probe) {
    let mut stream = streams::echo().await;
    write_content!(probe, data => Write::write(&mut stream, data));
    while probe.attempt(Write::flush(&mut stream)).await.is_none() {}
    expect_echo(&stream).await;
}

pub(crate) async fn embedded_connect(probe: Probe) {
    let connect = || embedded_nal_async::TcpConnect::connect(&Network, echo_address());
    drop(probe.again(connect).await.expect("it listens"));
}

pub(crate) async fn embedded_names(probe: Probe) {
    use embedded_nal_async::Dns;
    let look_up = || Network.get_host_by_name("server.test", AddrType::Either);
    assert_eq!(probe.again(look_up).await, Ok(server()));
}

/// Binding never waits.
pub(crate) async fn embedded_bind(probe: Probe) {
    probe.again(|| Network.connect_from(here(), echo_address())).await.expect("a port is free");
    probe.again(|| Network.bind_single(here())).await.expect("a port is free");
    probe.again(|| Network.bind_multiple(here())).await.expect("a port is free");
}

/// Asks by datagrams, one after the other, until each is answered.
macro_rules! ask {
    ($probe:ident, $number:ident => $send:expr, $buffer:ident => $receive:expr) => {
        for $number in 0..COUNT {
            let mut asked = 0;
            'asking: loop {
                asked += 1;
                while $probe.attempt($send).await.is_none() {}
                let patience = Duration::from_millis(300);
                let mut $buffer = [0; 200];
                while let Ok(answer) = timeout(patience, $probe.attempt($receive)).await {
                    match answer.transpose().expect("nobody refuses") {
                        Some(len) if number_of(&$buffer[..len]) == $number => break 'asking,
                        Some(_) | None => {}
                    }
                }
            }
            assert!($probe.is_faulty() || asked == 1, "asked {asked} times");
        }
    };
}

pub(crate) async fn embedded_connected_udp(probe: Probe) {
    let connect = || Network.connect_from(here(), echo_address());
    let (_, mut socket) = probe.again(connect).await.expect("a port is free");
    ask!(
        probe,
        number => ConnectedUdp::send(&mut socket, &[number; 100]),
        buffer => ConnectedUdp::receive_into(&mut socket, &mut buffer)
    );
}

pub(crate) async fn embedded_unconnected_udp(probe: Probe) {
    let (local, mut socket) =
        probe.again(|| Network.bind_single(here())).await.expect("a port is free");
    ask!(
        probe,
        number => UnconnectedUdp::send(&mut socket, local, echo_address(), &[number; 100]),
        buffer => async {
            let (len, to, from) = UnconnectedUdp::receive_into(&mut socket, &mut buffer).await?;
            assert_eq!((to, from), (local, echo_address()));
            Ok::<_, Error>(len)
        }
    );
}

pub(crate) async fn edge_connect(probe: Probe) {
    let connect = || edge_nal::TcpConnect::connect(&Network, echo_address());
    drop(probe.again(connect).await.expect("it listens"));
}

pub(crate) async fn edge_accept(probe: Probe) {
    let bind = || TcpBind::bind(&Network, HERE.parse().unwrap());
    let acceptor = probe.again(bind).await.expect("nobody else listens");
    for _ in 0..CALLERS {
        let (_, stream) = probe.again(|| TcpAccept::accept(&acceptor)).await.expect("it listens");
        // Errors are those of callers that have their answer.
        probe.tasks.spawn(async move {
            let _broken = echo(stream).await;
        });
    }
}

pub(crate) async fn edge_names(probe: Probe) {
    use edge_nal::Dns;
    let look_up = || Network.get_host_by_name("server.test", edge_nal::AddrType::IPv4);
    assert_eq!(probe.again(look_up).await, Ok(server()));
}

/// Whoever waits takes nothing.
pub(crate) async fn edge_readable_stream(probe: Probe) {
    let mut stream = source().await;
    let mut received = vec![];
    loop {
        if probe.attempt(Readable::readable(&mut stream)).await.is_some() {
            let mut buffer = [0; PIECE_LEN];
            let read = timeout(Duration::ZERO, TcpStream::read(&stream, &mut buffer)).await;
            match read.expect("something is there").expect("it is connected") {
                0 => break,
                len => received.extend_from_slice(&buffer[..len]),
            }
        }
    }
    assert!(received == content());
}

pub(crate) async fn edge_readable_socket(probe: Probe) {
    let socket = socket().await;
    send_numbered!(probe, socket, number => socket.send_to(&[number; 100], ECHO));
    receive_numbered!(probe, async {
        (&*socket).readable().await.expect("nobody refuses");
        let mut buffer = [0; 200];
        let (len, _) = socket.recv_from(&mut buffer).await.expect("it is there");
        number_of(&buffer[..len])
    });
}

pub(crate) async fn edge_udp(probe: Probe) {
    let bind = || UdpBind::bind(&Network, here());
    let mut socket = probe.again(bind).await.expect("a port is free");
    let (mut receiver, mut sender) = UdpSplit::split(&mut socket);
    ask!(
        probe,
        number => UdpSend::send(&mut sender, echo_address(), &[number; 100]),
        buffer => async {
            let (len, from) = UdpReceive::receive(&mut receiver, &mut buffer).await?;
            assert_eq!(from, echo_address());
            Ok::<_, Error>(len)
        }
    );
}

pub(crate) async fn edge_connected_udp(probe: Probe) {
    let connect = || UdpConnect::connect(&Network, here(), echo_address());
    let mut socket = probe.again(connect).await.expect("a port is free");
    ask!(
        probe,
        number => UdpSend::send(&mut socket, echo_address(), &[number; 100]),
        buffer => async {
            Ok::<_, Error>(UdpReceive::receive(&mut socket, &mut buffer).await?.0)
        }
    );
}
