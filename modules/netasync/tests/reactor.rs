//! Submission and completion.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axerrno::AxError;
use netasync::{
    AsyncIoBackend, Completion, Handle, IoOperation, IoReactor, Outcome, RequestId, Shutdown,
    TcpListener, TcpStream, UdpSocket, sleep, spawn, timeout,
};
use world::{World, server_addr};

mod world;

const CLIENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 9000);

/// Waits for the completion of one request, and of no other.
async fn complete(reactor: &mut IoReactor, operation: IoOperation) -> Completion {
    let id = reactor.submit(operation).unwrap();
    reactor.ready().await;
    let mut ended = reactor.poll();
    assert_eq!((ended.len(), reactor.under_way()), (1, 0));
    let (ended_id, completion) = ended.remove(0);
    assert_eq!(ended_id, id);
    completion
}

async fn transfer(reactor: &mut IoReactor, operation: IoOperation) -> (usize, Vec<u8>) {
    let Completion { result, buffer } = complete(reactor, operation).await;
    match result.unwrap() {
        Outcome::Transferred(len) => (len, buffer),
        other => panic!("{other:?}"),
    }
}

/// Echoes over TCP, by completions alone.
async fn tcp_server() {
    let mut reactor = IoReactor::new(1);
    let listener = Arc::new(TcpListener::bind(server_addr(7)).await.unwrap());
    let accepted = complete(&mut reactor, IoOperation::Accept { listener }).await.result;
    let Ok(Outcome::Accepted(stream, peer)) = accepted else { panic!("{accepted:?}") };
    assert_eq!(stream.peer_addr(), peer);
    let stream = Arc::new(stream);
    loop {
        let read = IoOperation::Read { stream: stream.clone(), buffer: vec![0; 100] };
        let (len, mut buffer) = transfer(&mut reactor, read).await;
        if len == 0 {
            return;
        }
        buffer.truncate(len);
        let write = IoOperation::Write { stream: stream.clone(), buffer };
        assert_eq!(transfer(&mut reactor, write).await.0, len);
    }
}

#[test]
fn a_stream_is_made_read_and_written_by_requests() {
    World::new().run(tcp_server(), async {
        let mut reactor = IoReactor::new(1);
        let connect = IoOperation::Connect { remote: server_addr(7) };
        let Completion { result, buffer } = complete(&mut reactor, connect).await;
        let Ok(Outcome::Connected(stream)) = result else { panic!("{result:?}") };
        assert!(buffer.is_empty());
        let stream = Arc::new(stream);
        let write = IoOperation::Write { stream: stream.clone(), buffer: b"hello".to_vec() };
        assert_eq!(transfer(&mut reactor, write).await, (5, b"hello".to_vec()));
        let read = IoOperation::Read { stream: stream.clone(), buffer: vec![0; 8] };
        assert_eq!(transfer(&mut reactor, read).await, (5, b"hello\0\0\0".to_vec()));
        stream.shutdown(Shutdown::Write);
        let write = IoOperation::Write { stream, buffer: vec![7; 2] };
        let Completion { result, buffer } = complete(&mut reactor, write).await;
        assert_eq!((result.err(), buffer), (Some(AxError::BrokenPipe), vec![7; 2]));
    });
}

#[test]
fn a_refused_connection_is_a_completion() {
    World::new().run_client(async {
        let mut reactor = IoReactor::new(1);
        let elsewhere = SocketAddr::from(([192, 168, 1, 1], 80));
        for (remote, error) in
            [(elsewhere, AxError::NotFound), (CLIENT, AxError::ConnectionRefused)]
        {
            let connect = IoOperation::Connect { remote };
            assert_eq!(complete(&mut reactor, connect).await.result.err(), Some(error));
        }
    });
}

#[test]
fn datagrams_are_sent_and_received_by_requests() {
    let server = async {
        let mut reactor = IoReactor::new(1);
        let socket = Arc::new(UdpSocket::bind(server_addr(7)).await.unwrap());
        let receive = IoOperation::RecvFrom { socket: socket.clone(), buffer: vec![0; 100] };
        let Completion { result, mut buffer } = complete(&mut reactor, receive).await;
        let Ok(Outcome::ReceivedFrom(len, remote)) = result else { panic!("{result:?}") };
        assert_eq!(remote, CLIENT);
        buffer.truncate(len);
        transfer(&mut reactor, IoOperation::SendTo { socket, buffer, remote }).await;
    };
    World::new().run(server, async {
        let mut reactor = IoReactor::new(1);
        let socket = Arc::new(UdpSocket::bind(CLIENT).await.unwrap());
        let send = IoOperation::Send { socket: socket.clone(), buffer: b"ping".to_vec() };
        let unconnected = complete(&mut reactor, send).await;
        assert_eq!(unconnected.result.err(), Some(AxError::NotConnected));
        socket.connect(server_addr(7)).await.unwrap();
        let send = IoOperation::Send { socket: socket.clone(), buffer: unconnected.buffer };
        assert_eq!(transfer(&mut reactor, send).await.0, 4);
        let receive = IoOperation::Recv { socket, buffer: vec![0; 4] };
        assert_eq!(transfer(&mut reactor, receive).await, (4, b"ping".to_vec()));
    });
}

#[test]
fn a_cancelled_request_gives_its_buffer_back_and_takes_nothing() {
    let server = async {
        let listener = TcpListener::bind(server_addr(7)).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        sleep(Duration::from_millis(10)).await;
        stream.write_all(b"late").await.unwrap();
    };
    World::new().run(server, async {
        let mut reactor = IoReactor::new(4);
        let stream = Arc::new(TcpStream::connect(server_addr(7)).await.unwrap());
        let read = || IoOperation::Read { stream: stream.clone(), buffer: vec![1; 4] };
        let [first, second] = [read(), read()].map(|read| reactor.submit(read).unwrap());
        let connect = IoOperation::Connect { remote: SocketAddr::from(([10, 0, 0, 9], 80)) };
        let connect = reactor.submit(connect).unwrap();
        assert!(timeout(Duration::from_millis(1), reactor.ready()).await.is_err());
        assert_eq!(reactor.cancel(first), Some(vec![1; 4]));
        assert_eq!(reactor.cancel(first), None, "it is gone");
        assert_eq!(reactor.cancel(connect), Some(vec![]));
        assert_eq!(Handle::current().stack().stats().tcp_open, 1, "the other is gone, too");
        reactor.ready().await;
        assert_eq!(reactor.cancel(second), None, "it has ended");
        let ended = reactor.poll();
        assert_eq!((ended.len(), ended[0].0, &ended[0].1.buffer[..]), (1, second, &b"late"[..]));
        assert_eq!(reactor.under_way(), 0);
    });
}

#[test]
fn requests_have_a_limit_and_a_rejected_one_is_given_back() {
    World::new().run_client(async {
        let mut reactor = IoReactor::new(2);
        let socket = Arc::new(UdpSocket::bind(CLIENT).await.unwrap());
        let receive = |byte| IoOperation::Recv { socket: socket.clone(), buffer: vec![byte] };
        let first = reactor.submit(receive(1)).unwrap();
        reactor.submit(receive(2)).unwrap();
        let rejected = reactor.submit(receive(3)).unwrap_err();
        assert_eq!(rejected.to_string(), "too many requests are under way");
        assert!(matches!(&rejected.0, IoOperation::Recv { buffer, .. } if buffer == &[3]));
        assert_eq!(AxError::from(rejected), AxError::ResourceBusy);
        assert_eq!(reactor.cancel(first), Some(vec![1]));
        assert!(reactor.submit(receive(3)).is_ok(), "there is room again");
    });
}

#[test]
fn a_thousand_connections_are_served_by_one_task() {
    const COUNT: usize = 1000;
    let server = async {
        let mut reactor = IoReactor::new(COUNT + 1);
        let listener = Arc::new(TcpListener::bind(server_addr(7)).await.unwrap());
        let mut streams = BTreeMap::new();
        reactor.submit(IoOperation::Accept { listener: listener.clone() }).unwrap();
        loop {
            reactor.ready().await;
            for (id, Completion { result, mut buffer }) in reactor.poll() {
                match result.unwrap() {
                    Outcome::Accepted(stream, _) => {
                        let stream = Arc::new(stream);
                        let read = IoOperation::Read { stream: stream.clone(), buffer: vec![0; 9] };
                        streams.insert(reactor.submit(read).unwrap(), stream);
                        let accept = IoOperation::Accept { listener: listener.clone() };
                        reactor.submit(accept).unwrap();
                    }
                    Outcome::Transferred(len) => {
                        // What was read is written; what was written needs nothing more.
                        if let Some(stream) = streams.remove(&id) {
                            buffer.truncate(len);
                            reactor.submit(IoOperation::Write { stream, buffer }).unwrap();
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    World::new().run(server, async {
        let tasks: Vec<_> = (0..COUNT as u32)
            .map(|number| {
                spawn(async move {
                    let stream = TcpStream::connect(server_addr(7)).await.unwrap();
                    stream.write_all(&number.to_be_bytes()).await.unwrap();
                    let mut answer = [0; 4];
                    stream.read_exact(&mut answer).await.unwrap();
                    assert_eq!(u32::from_be_bytes(answer), number);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Ends every request when it is asked the second time.
#[derive(Default)]
struct Slow {
    begun: Vec<RequestId>,
    rounds: u32,
}

impl AsyncIoBackend for Slow {
    fn submit(&mut self, id: RequestId, _operation: IoOperation) {
        self.begun.push(id);
    }

    fn poll(&mut self) -> Vec<(RequestId, Completion)> {
        self.rounds += 1;
        if self.rounds.is_multiple_of(2) {
            let end = |id| (id, Completion { result: Ok(Outcome::Transferred(0)), buffer: vec![] });
            return self.begun.drain(..).map(end).collect();
        }
        vec![]
    }

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn cancel(&mut self, _id: RequestId) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn a_reactor_takes_any_backend() {
    World::new().run_client(async {
        let mut reactor = IoReactor::with_backend(Slow::default(), 1);
        let id = reactor.submit(IoOperation::Connect { remote: CLIENT }).unwrap();
        reactor.ready().await;
        assert!(reactor.poll().is_empty());
        assert_eq!(reactor.under_way(), 1);
        assert_eq!(reactor.poll()[0].0, id);
        assert_eq!(reactor.under_way(), 0);
    });
}
