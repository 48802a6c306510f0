//! Servers and clients in one runtime.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use futures_util::future::{join, join_all};
use netasync::{Handle, Shutdown, TcpListener, TcpStream, UdpSocket, sleep, spawn};
use world::World;

mod world;

const LEN: usize = 1_000_000;

fn pattern() -> Vec<u8> {
    (0..LEN).map(|i| (i * 31 + i / 251) as u8).collect()
}

async fn echo_one(listener: TcpListener) {
    let (stream, peer) = listener.accept().await.unwrap();
    assert_eq!(stream.local_addr().ip(), peer.ip(), "both ends are here");
    let mut buffer = [0; 5000];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..len]).await.unwrap();
    }
}

/// A megabyte there and back.
async fn exchange(ip: IpAddr) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr();
    let server = spawn(echo_one(listener));
    let stream = TcpStream::connect(address).await.unwrap();
    let (sent, mut received) = (pattern(), vec![0; LEN]);
    let write = async {
        stream.write_all(&sent).await.unwrap();
        stream.shutdown(Shutdown::Write);
    };
    let (_, read) = join(write, stream.read_exact(&mut received)).await;
    assert_eq!(read, Ok(()));
    assert!(received == sent, "other bytes came back");
    assert_eq!(stream.read(&mut [0]).await, Ok(0));
    server.await.unwrap();
}

#[test]
fn a_server_and_a_client_meet_on_every_address_of_their_own() {
    let mut world = World::new();
    world.block_on_client(async {
        let own = Handle::current().stack().ipv4().unwrap().address;
        let addresses = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 1, 2, 3), own];
        let mut addresses: Vec<IpAddr> = addresses.map(IpAddr::from).into();
        addresses.push(Ipv6Addr::LOCALHOST.into());
        join_all(addresses.into_iter().map(exchange)).await;
        // TIME-WAIT ends.
        sleep(Duration::from_secs(60)).await;
    });
    let stats = world.client.handle().stack().stats();
    assert_eq!((stats.tcp_connected, stats.tcp_accepted), (4, 4));
    assert_eq!((stats.tcp_open, stats.tcp_orphans, stats.memory_used), (0, 0, 0));
    assert!(stats.packets_looped > 100, "nothing of it went to the card: {stats:?}");
}

#[test]
fn localhost_is_where_a_listener_on_any_address_is() {
    World::new().block_on_client(async {
        let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
        let server = spawn(echo_one(listener));
        let stream = TcpStream::connect("localhost:80").await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello");
        drop(stream);
        server.await.unwrap();
    });
}

#[test]
fn datagrams_between_tasks_arrive() {
    World::new().block_on_client(async {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let server = UdpSocket::bind((ip, 0)).await.unwrap();
            let client = UdpSocket::bind((ip, 0)).await.unwrap();
            client.connect(server.local_addr()).await.unwrap();
            let mut buffer = vec![0; 65_507];
            for len in [0, 1, 1500, 20_000, 65_507] {
                assert_eq!(client.send(&pattern()[..len]).await, Ok(len));
                let received = server.recv_from(&mut buffer).await;
                assert_eq!(received, Ok((len, client.local_addr())));
                assert!(buffer[..len] == pattern()[..len], "{len} bytes");
            }
        }
    });
}
