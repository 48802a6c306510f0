//! The socket that POSIX knows: it reads and writes itself, and need not wait.

use std::time::Duration;

use axerrno::AxError;
use netasync::{Handle, Shutdown, TcpSocket, sleep, spawn};
use world::{World, server_addr};

mod world;

/// Echoes on one connection after the other.
async fn echo_server() {
    let mut socket = TcpSocket::new();
    socket.bind(server_addr(7)).unwrap();
    socket.listen(8).unwrap();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        spawn(async move {
            let mut buffer = [0; 1000];
            while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..len]).await.unwrap();
            }
        });
    }
}

#[test]
fn a_socket_reads_and_writes_itself() {
    World::new().run(echo_server(), async {
        let mut socket = TcpSocket::new();
        assert_eq!(socket.local_addr(), Err(AxError::NotConnected));
        assert_eq!(socket.peer_addr(), Err(AxError::NotConnected));
        assert_eq!(socket.shutdown(Shutdown::Write), Err(AxError::NotConnected));
        assert_eq!(socket.read(&mut [0]).await, Err(AxError::NotConnected));
        assert_eq!(socket.write_all(&[0]).await, Err(AxError::NotConnected));
        socket.connect(server_addr(7)).await.unwrap();
        assert_eq!(socket.peer_addr(), Ok(server_addr(7)));
        socket.write_all(b"hello").await.unwrap();
        assert_eq!(socket.write(b"!").await, Ok(1));
        let mut answer = [0; 6];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello!");
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(socket.write(b"x").await, Err(AxError::BrokenPipe));
        assert_eq!(socket.read(&mut answer).await, Ok(0));
        socket.close();
        sleep(Duration::from_secs(30)).await;
        assert_eq!(Handle::current().stack().stats().tcp_open, 0);
    });
}

#[test]
fn a_socket_that_is_not_to_wait_says_so_at_every_call() {
    World::new().run(echo_server(), async {
        let mut listener = TcpSocket::new();
        listener.set_nonblocking(true);
        listener.bind("10.0.0.2:80").unwrap();
        listener.listen(1).unwrap();
        assert_eq!(listener.accept().await.err(), Some(AxError::WouldBlock));

        let mut socket = TcpSocket::new();
        socket.set_nonblocking(true);
        let name = socket.connect("server.test:7").await;
        assert_eq!(name, Err(AxError::InvalidInput), "looking it up would take time");
        assert_eq!(socket.connect(server_addr(7)).await, Err(AxError::WouldBlock), "begun");
        assert_eq!(socket.connect(server_addr(7)).await, Err(AxError::WouldBlock), "under way");
        assert_eq!(socket.write(b"x").await, Err(AxError::NotConnected));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(socket.connect(server_addr(7)).await, Ok(()));
        assert_eq!(socket.connect(server_addr(7)).await, Err(AxError::AlreadyConnected));

        let mut buffer = [0; 4];
        assert_eq!(socket.read(&mut buffer).await, Err(AxError::WouldBlock));
        assert_eq!(socket.write(b"ping").await, Ok(4));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(socket.read(&mut buffer).await, Ok(4));
        let much = vec![0; 10 << 20];
        assert_eq!(socket.write_all(&much).await, Err(AxError::WouldBlock), "it does not fit");

        socket.set_nonblocking(false);
        assert_eq!(socket.read(&mut buffer).await, Ok(4), "it waits again");
    });
}

#[test]
fn a_connection_that_nobody_waited_for_can_be_waited_for_or_fail() {
    World::new().run(echo_server(), async {
        let mut socket = TcpSocket::new();
        socket.set_nonblocking(true);
        assert_eq!(socket.connect(server_addr(7)).await, Err(AxError::WouldBlock));
        socket.set_nonblocking(false);
        assert_eq!(socket.connect(server_addr(7)).await, Ok(()));

        let mut socket = TcpSocket::new();
        socket.set_nonblocking(true);
        assert_eq!(socket.connect(server_addr(81)).await, Err(AxError::WouldBlock));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(socket.connect(server_addr(81)).await, Err(AxError::ConnectionRefused));
        assert_eq!(socket.connect(server_addr(7)).await, Err(AxError::WouldBlock), "anew");
    });
}
