//! Names, wherever a call takes them.

use axerrno::AxError;
use netasync::{TcpListener, UdpSocket, lookup_host};

use crate::probe::Probe;

pub(crate) async fn look_up(probe: Probe) {
    let look_up = async |name| lookup_host(name).await.map(Iterator::collect::<Vec<_>>);
    let found = probe.again(|| look_up("two.test:7")).await;
    assert_eq!(found, Ok(["10.0.0.77:7", "10.0.0.1:7"].map(|text| text.parse().unwrap()).into()));
    assert_eq!(probe.again(|| look_up("nobody.test:7")).await, Err(AxError::NotFound));
}

/// Addresses, and what is known without a server, are there at once.
pub(crate) async fn look_up_of_addresses(probe: Probe) {
    for name in ["10.0.0.1:7", "[::1]:7"] {
        let found = probe.again(|| lookup_host(name)).await;
        assert_eq!(found.expect("it is one").count(), 1);
    }
}

pub(crate) async fn bind_a_listener(probe: Probe) {
    let listener = probe.again(|| TcpListener::bind("here.test:7")).await.expect("it is ours");
    assert_eq!(listener.local_addr(), "10.0.0.2:7".parse().unwrap());
}

pub(crate) async fn bind_a_socket(probe: Probe) {
    let socket = probe.again(|| UdpSocket::bind("here.test:7")).await.expect("it is ours");
    assert_eq!(socket.local_addr(), "10.0.0.2:7".parse().unwrap());
    let shared = probe.again(|| UdpSocket::bind_shared("here.test:8")).await.expect("it is ours");
    assert_eq!(shared.local_addr(), "10.0.0.2:8".parse().unwrap());
}

pub(crate) async fn connect_a_socket(probe: Probe) {
    let socket = UdpSocket::bind("10.0.0.2:0").await.expect("a port is free");
    probe.again(|| socket.connect("server.test:7")).await.expect("there is a route");
    assert_eq!(socket.peer_addr(), Ok("10.0.0.1:7".parse().unwrap()));
}
